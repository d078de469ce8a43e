/* SPDX-License-Identifier: Apache-2.0
 *
 * text_link.c -- what is known only at the end of a text: which functions are called, and the nodes' numbers
 */
#include "text.h"

/* ---- functions ---- */

typedef struct callee callee;
typedef struct call {
	callee *to;
	struct call *next;
} call;

struct callee {
	qdq_function *function;
	callee *same_name; /* the next function of that name: another domain or overload */
	call *calls;
	uint64_t callers; /* calls from functions' bodies */
};

typedef struct linker {
	qdq_text_reader *r;
	qdq_map by_name;
	callee *callees;
	callee *caller; /* the function whose body is looked at */
} linker;

static callee *find(const linker *l, qdq_name domain, qdq_name name, qdq_name overload)
{
	callee *c = qdq_map_get(&l->by_name, name);

	while (c != NULL && (c->function->domain != domain || c->function->overload != overload))
		c = c->same_name;
	return c;
}

static void declare_functions(linker *l)
{
	qdq_text_reader *r = l->r;
	qdq_model *m = r->m;

	l->callees = qdq_array(&r->scratch, callee, m->functions.count);
	for (size_t i = 0; i < m->functions.count; i++) {
		qdq_function *f = m->functions.items[i];

		if (find(l, f->domain, f->name, f->overload) != NULL)
			qdq_text_fail(r, r->function_names.items[i], "function '%s' of domain '%s' is defined twice",
				      f->name, f->domain);
		l->callees[i] = (callee){.function = f, .same_name = qdq_map_get(&l->by_name, f->name)};
		qdq_map_set(&l->by_name, f->name, &l->callees[i]);
	}
}

static void link_call(linker *l, qdq_node *n)
{
	callee *c = find(l, n->domain, n->op_type, n->overload);
	call *made;

	if (c == NULL)
		return;
	n->function = c->function;
	n->op = &qdq_ops[QDQ_OP_NONE]; /* the model's own definition comes before the table's */
	if (l->caller == NULL)
		return;
	made = qdq_new(&l->r->scratch, call);
	*made = (call){c, l->caller->calls};
	l->caller->calls = made;
	c->callers++;
}

static size_t graphs_of(const qdq_attr *a, qdq_graph *const **out)
{
	if (*a->ref != '\0' || (a->type != QDQ_ATTR_GRAPH && a->type != QDQ_ATTR_GRAPHS))
		return 0;
	*out = a->type == QDQ_ATTR_GRAPH ? &a->u.g : a->u.graphs;
	return a->type == QDQ_ATTR_GRAPH ? 1 : a->count;
}

static void link_graph(linker *l, qdq_graph *g)
{
	qdq_graph *const *graphs;

	for (qdq_node *n = g->first; n != NULL; n = qdq_after(n)) {
		link_call(l, n);
		for (uint32_t i = 0; i < n->n_attrs; i++)
			for (size_t j = graphs_of(&n->attrs[i], &graphs); j-- > 0;)
				link_graph(l, graphs[j]);
	}
}

/* Functions must not call each other in a circle: take away what nobody calls until nothing is left. */
static void check_recursion(linker *l, size_t count)
{
	QDQ_VEC(callee *) ready = {0};

	for (size_t i = 0; i < count; i++)
		if (l->callees[i].callers == 0)
			*qdq_push(&l->r->scratch, &ready) = &l->callees[i];
	for (size_t taken = 0; taken < ready.count; taken++)
		for (call *c = ready.items[taken]->calls; c != NULL; c = c->next)
			if (--c->to->callers == 0)
				*qdq_push(&l->r->scratch, &ready) = c->to;
	for (size_t i = 0; i < count && ready.count < count; i++)
		if (l->callees[i].callers != 0)
			qdq_text_fail(l->r, l->r->function_names.items[i],
				      "function '%s' calls itself, or is called in a circle of functions",
				      l->callees[i].function->name);
}

static void link_functions(qdq_text_reader *r)
{
	linker l = {.r = r};
	qdq_model *m = r->m;

	qdq_map_init(&l.by_name, &r->scratch);
	declare_functions(&l);
	link_graph(&l, m->graph);
	for (size_t i = 0; i < m->functions.count; i++) {
		l.caller = &l.callees[i];
		link_graph(&l, m->functions.items[i]->body);
	}
	check_recursion(&l, m->functions.count);
}

/* ---- origins ---- */

/* A graph's nodes have consecutive numbers; then come those of its nested graphs, one after the other. */
static void number_graph(qdq_text_reader *r, qdq_graph *g)
{
	qdq_model *m = r->m;
	qdq_origin *origins = qdq_array(&m->arena, qdq_origin, g->n_nodes), *o = origins;
	qdq_graph *const *graphs;

	for (qdq_node *n = g->first; n != NULL; n = qdq_after(n), o++) {
		*o = (qdq_origin){.index = (uint32_t)m->origins.count, .name = n->name, .op_type = n->op_type};
		n->origin = o;
		m->origins.items[m->origins.count++] = o;
	}
	for (qdq_node *n = g->first; n != NULL; n = qdq_after(n)) {
		for (uint32_t i = 0; i < n->n_attrs; i++) {
			size_t count = graphs_of(&n->attrs[i], &graphs);

			for (size_t j = 0; j < count; j++)
				number_graph(r, graphs[j]);
		}
	}
}

void qdq_text_link(qdq_text_reader *r)
{
	qdq_model *m = r->m;

	if (m->functions.count != 0)
		link_functions(r);
	for (size_t i = 0; i < r->homeless.count; i++)
		if (r->homeless.items[i].node->function == NULL)
			qdq_text_fail(r, r->homeless.items[i].at,
				      "the model imports no opset of ai.onnx, which operator %s is of",
				      r->homeless.items[i].node->op_type);
	m->origins.items = qdq_array(&m->arena, const qdq_origin *, m->n_nodes);
	m->origins.capacity = m->n_nodes;
	number_graph(r, m->graph);
	for (size_t i = 0; i < m->functions.count; i++)
		number_graph(r, m->functions.items[i]->body);
}

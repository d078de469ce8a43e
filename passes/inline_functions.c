/* SPDX-License-Identifier: Apache-2.0
 *
 * inline_functions -- the user's own functions that hold Q/DQ or a weighted operator
 *
 *   x -- [block: DQ Conv Relu] -- y  =>   x -- block/DQ -- block/Conv -- block/Relu -- y
 *
 *   When    the function, or one that it calls, holds an operator that quantization is about, and is written in the
 *           model's opsets (or its operators mean the same there). What comes in is limited
 *   Keeps   other functions; names, with the call's name in front
 *   Exact   EXACT: a call means its body
 *   Needs   nothing                         Breaks  nothing (types are inferred anew)
 *   After   nothing                         Before  canonicalize
 *   Tests   test/golden/inline_functions/   Ref     ONNX IR, FunctionProto
 */
#include "moves.h"

#define DEPTH 64	   /* of nested graphs */
#define MOST_NODES 1000000 /* that may come in, and GROWTH for each node that there is: calls in calls multiply */
#define GROWTH 16

struct inlining {
	qdq_run *run;
	const qdq_node *call;
	const char *prefix; /* of names */
	qdq_map values;	    /* of the function -> of the graph */
	uint64_t copied;    /* nodes, with those of nested graphs */
};

/* ---- which functions ---- */

struct call {
	struct function *caller;
	struct call *next;
};

/* What is known of a function of the model. */
struct function {
	const qdq_function *function;
	struct call *calls; /* of it, in the bodies of others */
	uint64_t waits;	    /* calls in its own body of functions that are not looked at yet */
	uint64_t size;	    /* nodes, with those of what it calls; saturates */
	bool holds;	    /* it, or one that it calls, has an operator that quantization is about */
	bool called;
};

struct functions {
	qdq_map by_function;
	QDQ_VEC(struct function *) ready; /* all, in the end, callees first */
	uint64_t budget;		  /* nodes that may still come in */
};

static struct function *known(const struct functions *all, const qdq_node *call)
{
	return call->function != NULL ? qdq_map_get(&all->by_function, call->function) : NULL;
}

/* Also those in nested graphs, which wait for what they call as well. */
static void note_calls(struct functions *all, qdq_arena *arena, struct function *f, const qdq_graph *g, int depth)
{
	for (const qdq_node *n = g->first; n != NULL; n = qdq_after(n)) {
		struct function *callee = known(all, n);

		if (callee != NULL) {
			struct call *c = qdq_new(arena, struct call);

			*c = (struct call){f, callee->calls};
			callee->calls = c;
			f->waits++;
		}
		for (uint32_t i = 0; i < n->n_attrs && depth < DEPTH; i++) {
			qdq_graph *const *graphs;
			size_t count = qdq_attr_graphs(&n->attrs[i], &graphs);

			for (size_t j = 0; j < count; j++)
				note_calls(all, arena, f, graphs[j], depth + 1);
		}
	}
}

/* Nested graphs come in with the body. */
static void measure(const struct functions *all, struct function *f, const qdq_graph *g, int depth)
{
	for (const qdq_node *n = g->first; n != NULL; n = qdq_after(n)) {
		const struct function *callee = known(all, n);

		f->holds = f->holds || (callee != NULL && callee->holds) || n->op->family == QDQ_FAMILY_WEIGHTED ||
			   n->op->cls == QDQ_CLASS_QUANT || n->op->cls == QDQ_CLASS_QFORM;
		f->size += 1 + (callee != NULL ? callee->size : 0);
		f->size = f->size > UINT32_MAX ? UINT32_MAX : f->size;
		for (uint32_t i = 0; i < n->n_attrs && depth < DEPTH; i++) {
			qdq_graph *const *graphs;
			size_t count = qdq_attr_graphs(&n->attrs[i], &graphs);

			for (size_t j = 0; j < count; j++)
				measure(all, f, graphs[j], depth + 1);
		}
	}
}

/* All functions of the model, callees first: each is looked at once, however often and deep it is called. (The loader
 * knows no circles.) */
static void find_functions(qdq_run *r, struct functions *all)
{
	qdq_arena *arena = &r->scratch;
	const qdq_model *m = r->model;

	*all = (struct functions){.budget = MOST_NODES + UINT64_C(1) * GROWTH * m->n_nodes};
	qdq_map_init(&all->by_function, arena);
	for (size_t i = 0; i < m->functions.count; i++) {
		struct function *f = qdq_new(arena, struct function);

		f->function = m->functions.items[i];
		qdq_map_set(&all->by_function, f->function, f);
	}
	for (size_t i = 0; i < m->functions.count; i++) {
		struct function *f = qdq_map_get(&all->by_function, m->functions.items[i]);

		if (f->function->body != NULL)
			note_calls(all, arena, f, f->function->body, 0);
		if (f->waits == 0)
			*qdq_push(arena, &all->ready) = f;
	}
	for (size_t i = 0; i < all->ready.count; i++) {
		struct function *f = all->ready.items[i];

		if (f->function->body != NULL)
			measure(all, f, f->function->body, 0);
		for (const struct call *c = f->calls; c != NULL; c = c->next)
			if (--c->caller->waits == 0)
				*qdq_push(arena, &all->ready) = c->caller;
	}
}

static int64_t version_of(const qdq_model *m, qdq_name domain)
{
	for (size_t i = 0; i < m->opsets.count; i++)
		if (m->opsets.items[i].domain == domain)
			return m->opsets.items[i].version;
	return -1;
}

static int64_t function_version(const qdq_function *f, qdq_name domain)
{
	for (size_t i = 0; i < f->opsets.count; i++)
		if (f->opsets.items[i].domain == domain)
			return f->opsets.items[i].version;
	return -1;
}

/* Does each node of the body mean in the model's opsets what it means in the function's? */
static bool means_the_same(const qdq_model *m, const qdq_function *f, const qdq_graph *g, int depth)
{
	for (const qdq_node *n = g->first; n != NULL; n = qdq_after(n)) {
		int64_t inner = function_version(f, n->domain), outer = version_of(m, n->domain);

		if (inner != outer && outer >= 0 &&
		    (n->op->id == QDQ_OP_NONE ||
		     qdq_op_version(n->op, (int)inner) != qdq_op_version(n->op, (int)outer)))
			return false;
		for (uint32_t i = 0; i < n->n_attrs; i++) {
			const qdq_attr *a = &n->attrs[i];

			if (a->type == QDQ_ATTR_GRAPH && a->u.g != NULL &&
			    (depth >= DEPTH || !means_the_same(m, f, a->u.g, depth + 1)))
				return false;
			for (size_t j = 0; a->type == QDQ_ATTR_GRAPHS && j < a->count; j++)
				if (depth >= DEPTH || !means_the_same(m, f, a->u.graphs[j], depth + 1))
					return false;
		}
	}
	return true;
}

/* Domains that only the function imports are the model's now. */
static void import_domains(qdq_model *m, const qdq_function *f)
{
	for (size_t i = 0; i < f->opsets.count; i++)
		if (version_of(m, f->opsets.items[i].domain) < 0)
			*qdq_push(&m->arena, &m->opsets) = f->opsets.items[i];
}

/* ---- copying a body ---- */

static void copy_body(struct inlining *in, const qdq_graph *from, qdq_graph *to, qdq_node *before);

static qdq_name inner_name(const struct inlining *in, qdq_name name)
{
	if (*name == '\0')
		return name;
	return qdq_unique_name(&in->run->model->names, qdq_format(&in->run->scratch, "%s/%s", in->prefix, name));
}

static qdq_value *copy_value(struct inlining *in, qdq_graph *to, const qdq_value *v)
{
	qdq_value *w;

	if (v == NULL)
		return NULL;
	w = qdq_map_get(&in->values, v);
	if (w != NULL || v->is_input) /* an input without an entry was left out by the call */
		return w;
	w = qdq_value_create(to, inner_name(in, v->name));
	w->type = v->type;
	w->shape = v->shape;
	w->tensor = v->tensor;
	w->not_tensor = v->not_tensor;
	w->tree = v->tree;
	qdq_map_set(&in->values, v, w);
	return w;
}

static qdq_graph *copy_nested(struct inlining *in, const qdq_graph *from, qdq_node *parent)
{
	qdq_graph *to = qdq_graph_create(in->run->model, parent, from->name);

	to->foreign = from->foreign;
	for (size_t i = 0; i < from->inputs.count; i++) {
		const qdq_value *v = from->inputs.items[i];
		qdq_value *w = qdq_graph_add_input(to, inner_name(in, v->name));

		w->type = v->type;
		w->shape = v->shape;
		w->tensor = v->tensor;
		w->not_tensor = v->not_tensor;
		w->tree = v->tree;
		qdq_map_set(&in->values, v, w);
	}
	for (size_t i = 0; i < from->constants.count; i++)
		*qdq_push(&in->run->model->arena, &to->constants) = copy_value(in, to, from->constants.items[i]);
	copy_body(in, from, to, NULL);
	for (size_t i = 0; i < from->outputs.count; i++)
		qdq_graph_add_output(to, copy_value(in, to, from->outputs.items[i]));
	return to;
}

/* What the call gives for a parameter of the function, or its default; NULL: nothing. */
static const qdq_attr *argument(const struct inlining *in, qdq_name ref)
{
	const qdq_function *f = in->call->function;
	const qdq_attr *given = qdq_attr_find(in->call, ref);

	for (size_t i = 0; given == NULL && i < f->defaults.count; i++)
		if (f->defaults.items[i].name == ref)
			return &f->defaults.items[i];
	return given;
}

static void copy_attrs(struct inlining *in, const qdq_node *from, qdq_node *to)
{
	to->attrs = qdq_array(&in->run->model->arena, qdq_attr, from->n_attrs);
	for (uint32_t i = 0; i < from->n_attrs; i++) {
		const qdq_attr *given = &from->attrs[i];
		qdq_attr *a;

		if (*given->ref != '\0') {
			given = argument(in, given->ref);
			if (given == NULL)
				continue;
		}
		a = &to->attrs[to->n_attrs++];
		*a = *given;
		a->name = from->attrs[i].name;
		if (a->type == QDQ_ATTR_GRAPH && a->u.g != NULL) {
			a->u.g = copy_nested(in, a->u.g, to);
		} else if (a->type == QDQ_ATTR_GRAPHS) {
			qdq_graph **graphs = qdq_array(&in->run->model->arena, qdq_graph *, a->count);

			for (size_t j = 0; j < a->count; j++)
				graphs[j] = copy_nested(in, given->u.graphs[j], to);
			a->u.graphs = graphs;
		}
	}
}

static void copy_body(struct inlining *in, const qdq_graph *from, qdq_graph *to, qdq_node *before)
{
	qdq_arena *scratch = &in->run->scratch;

	for (const qdq_node *n = from->first; n != NULL; n = qdq_after(n)) {
		qdq_value **inputs = qdq_array(scratch, qdq_value *, n->n_inputs);
		qdq_value **outputs = qdq_array(scratch, qdq_value *, n->n_outputs);
		qdq_node *copy;

		for (uint32_t i = 0; i < n->n_inputs; i++)
			inputs[i] = copy_value(in, to, n->inputs[i].value);
		for (uint32_t i = 0; i < n->n_outputs; i++)
			outputs[i] = copy_value(in, to, n->outputs[i]);
		copy = qdq_node_create(to, before, n->domain, n->op_type, inner_name(in, n->name), n->n_inputs, inputs,
				       n->n_outputs, outputs);
		in->copied++;
		copy->overload = n->overload;
		copy->function = n->function;
		copy->origin = n->origin != NULL ? n->origin : in->call->origin;
		copy->foreign = n->foreign;
		copy_attrs(in, n, copy);
	}
}

/* ---- one call ---- */

/* What the body calls `inner` is the call's output y: its definer defines y, or hands it on where it has a name
 * already. */
static void connect_output(struct inlining *in, qdq_map *done, qdq_node *call, qdq_value *y, const qdq_value *inner)
{
	qdq_value *v = copy_value(in, call->graph, inner);

	if (v == NULL)
		return;
	if (!inner->is_input && v->def != NULL && qdq_map_get(done, inner) == NULL) {
		for (uint32_t i = 0; i < v->def->n_outputs; i++) {
			if (v->def->outputs[i] == v) {
				qdq_value_redefine(y, v->def, i);
				qdq_map_set(&in->values, inner, y);
				qdq_map_set(done, inner, y);
				return;
			}
		}
	}
	qdq_value_redefine(y, qdq_node_insert(call->graph, call, QDQ_OP_Identity, y->name, 1, &v, 1, call->origin), 0);
}

/* How many nodes came in. */
static uint64_t inline_call(qdq_run *r, qdq_node *call)
{
	const qdq_function *f = call->function;
	struct inlining in = {.run = r, .call = call, .prefix = *call->name != '\0' ? call->name : f->name};
	qdq_map done;

	qdq_map_init(&in.values, &r->scratch);
	qdq_map_init(&done, &r->scratch);
	import_domains(r->model, f);
	for (size_t i = 0; i < f->body->inputs.count; i++)
		if (qdq_in(call, (uint32_t)i) != NULL)
			qdq_map_set(&in.values, f->body->inputs.items[i], qdq_in(call, (uint32_t)i));
	copy_body(&in, f->body, call->graph, call);
	for (uint32_t i = 0; i < f->body->outputs.count && i < call->n_outputs; i++)
		if (call->outputs[i] != NULL)
			connect_output(&in, &done, call, call->outputs[i], f->body->outputs.items[i]);
	qdq_applied(r, "inline_functions.call", QDQ_EXACT, 0, call->origin);
	qdq_node_remove(call);
	return in.copied;
}

/* ---- functions that nobody calls any more ---- */

static void mark_called(const struct functions *all, const qdq_graph *g, int depth)
{
	for (const qdq_node *n = g->first; n != NULL; n = qdq_after(n)) {
		struct function *f = known(all, n);

		if (f != NULL)
			f->called = true;
		for (uint32_t i = 0; i < n->n_attrs && depth < DEPTH; i++) {
			qdq_graph *const *graphs;
			size_t count = qdq_attr_graphs(&n->attrs[i], &graphs);

			for (size_t j = 0; j < count; j++)
				mark_called(all, graphs[j], depth + 1);
		}
	}
}

static void drop_uncalled(qdq_model *m, const struct functions *all)
{
	size_t kept = 0;

	mark_called(all, m->graph, 0);
	for (size_t i = all->ready.count; i-- > 0;) /* callers first */
		if (all->ready.items[i]->called && all->ready.items[i]->function->body != NULL)
			mark_called(all, all->ready.items[i]->function->body, 0);
	for (size_t i = 0; i < m->functions.count; i++) {
		const struct function *f = qdq_map_get(&all->by_function, m->functions.items[i]);

		if (f->called || !f->holds)
			m->functions.items[kept++] = m->functions.items[i];
	}
	m->functions.count = kept;
}

/* ---- all of them ---- */

static bool may_come_in(qdq_run *r, const struct functions *all, const qdq_node *n)
{
	const struct function *f = known(all, n);
	qdq_reason why = {0};

	if (f == NULL || f->function->body == NULL || n->region != NULL || !f->holds)
		return false;
	if (!means_the_same(r->model, f->function, f->function->body, 0))
		why = (qdq_reason){.code = QDQ_REASON_UNKNOWN_OP, .detail = f->function->name};
	else if (f->size > all->budget)
		why.code = QDQ_REASON_IN_FUNCTION;
	if (why.code != QDQ_REASON_NONE)
		qdq_declined(r, "inline_functions.call", n->origin, &why);
	return why.code == QDQ_REASON_NONE;
}

static bool inline_calls(qdq_run *r, struct functions *all, qdq_graph *g)
{
	bool any = false;
	uint64_t copied;
	qdq_node *next;

	for (qdq_node *n = g->first; n != NULL; n = next) {
		qdq_node *previous = n->prev;

		next = qdq_after(n);
		if (!may_come_in(r, all, n))
			continue;
		copied = inline_call(r, n); /* what that calls has its turn */
		all->budget -= copied < all->budget ? copied : all->budget;
		any = true;
		next = previous != NULL ? previous->next : g->first; /* what came in may be calls too */
	}
	return any;
}

/* The graphs that nodes of g hold, and that passes enter, are yet to be looked at. */
static void push_held(qdq_arena *arena, const qdq_graph *g, qdq_graphs *list)
{
	for (const qdq_node *n = g->first; n != NULL; n = qdq_after(n)) {
		for (uint32_t i = 0; qdq_enters(n) && i < n->n_attrs; i++) {
			qdq_graph *const *graphs;
			size_t count = qdq_attr_graphs(&n->attrs[i], &graphs);

			for (size_t j = 0; j < count; j++)
				*qdq_push(arena, list) = graphs[j];
		}
	}
}

/* The turn of the main graph is that of its nested graphs too: functions are looked at once. Nested graphs may come in
 * with a call, so each graph's are found when its own calls are done. */
static void run(qdq_run *r)
{
	struct functions all;
	qdq_graphs nested = {0};
	bool any;

	if (r->model->functions.count == 0 || r->kept != NULL)
		return;
	r->kept = r;
	find_functions(r, &all);
	any = inline_calls(r, &all, r->graph);
	if (r->graph == r->model->graph)
		push_held(&r->scratch, r->graph, &nested);
	for (size_t i = 0; i < nested.count; i++) {
		qdq_graph *g = nested.items[i];

		any = inline_calls(r, &all, g) || any;
		push_held(&r->scratch, g, &nested);
	}
	if (any)
		drop_uncalled(r->model, &all);
}

static const qdq_rule rules[] = {
    {.name = "inline_functions.call",
     .exactness = QDQ_EXACT,
     .text = "a call of the user's function that holds Q/DQ or a weighted operator becomes its body"},
};

const qdq_pass qdq_pass_inline_functions = {"inline_functions",
					    "inline the user's functions that hold Q/DQ or weighted operators",
					    rules,
					    QDQ_COUNTOF(rules),
					    run,
					    true};

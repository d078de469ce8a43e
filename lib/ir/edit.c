/* SPDX-License-Identifier: Apache-2.0
 *
 * edit.c -- the only way to change a graph: every call leaves use lists, definitions and counts right
 *
 * What is taken out stays in the arena until the model goes; n->graph == NULL marks a removed node.
 */
#include "ir.h"

/* ---- lists ---- */

static void link_use(qdq_use *u, qdq_value *v)
{
	u->value = v;
	u->prev = NULL;
	u->next = NULL;
	if (v == NULL)
		return;
	u->next = v->uses;
	if (v->uses != NULL)
		v->uses->prev = u;
	v->uses = u;
	v->n_uses++;
}

static void unlink_use(qdq_use *u)
{
	qdq_value *v = u->value;

	if (v == NULL)
		return;
	if (u->prev != NULL)
		u->prev->next = u->next;
	else
		v->uses = u->next;
	if (u->next != NULL)
		u->next->prev = u->prev;
	v->n_uses--;
	u->value = NULL;
}

static void link_node(qdq_node *n, qdq_graph *g, qdq_node *before)
{
	n->graph = g;
	n->next = before;
	n->prev = before != NULL ? before->prev : g->last;
	if (n->prev != NULL)
		n->prev->next = n;
	else
		g->first = n;
	if (n->next != NULL)
		n->next->prev = n;
	else
		g->last = n;
	g->n_nodes++;
}

static void unlink_node(qdq_node *n)
{
	qdq_graph *g = n->graph;

	if (n->prev != NULL)
		n->prev->next = n->next;
	else
		g->first = n->next;
	if (n->next != NULL)
		n->next->prev = n->prev;
	else
		g->last = n->prev;
	n->prev = n->next = NULL;
	n->graph = NULL;
	g->n_nodes--;
}

/* ---- nodes ---- */

static void check_room(qdq_model *m)
{
	if (m->n_nodes >= m->ctx->options.max_nodes)
		qdq_fail(m->ctx, QDQ_EMODEL, &(qdq_where){.file = m->path}, "more than %u nodes (the limit max_nodes)",
			 m->ctx->options.max_nodes);
}

static qdq_node *new_node(qdq_model *m, uint32_t n_inputs, uint32_t n_outputs)
{
	qdq_node *n = qdq_new(&m->node_memory, qdq_node);

	n->n_inputs = n_inputs;
	n->n_outputs = n_outputs;
	n->inputs = qdq_array(&m->list_memory, qdq_use, n_inputs);
	n->outputs = qdq_array(&m->list_memory, qdq_value *, n_outputs);
	return n;
}

qdq_node *qdq_node_create(qdq_graph *g, qdq_node *before, const char *domain, const char *op_type, qdq_name name,
			  uint32_t n_inputs, qdq_value *const *inputs, uint32_t n_outputs, qdq_value *const *outputs)
{
	qdq_model *m = g->model;
	qdq_node *n;

	check_room(m);
	n = new_node(m, n_inputs, n_outputs);
	n->domain = qdq_intern(&m->names, domain);
	n->op_type = qdq_intern(&m->names, op_type);
	n->overload = qdq_intern(&m->names, "");
	n->name = name;
	n->op = qdq_op_find(n->domain, n->op_type);
	m->present[n->op->id] = true;
	m->n_compute += n->op->family != QDQ_FAMILY_NONE;
	n->id = m->n_nodes++;
	for (uint32_t i = 0; i < n_inputs; i++) {
		n->inputs[i].node = n;
		link_use(&n->inputs[i], inputs[i]);
	}
	m->n_mute++;
	for (uint32_t i = 0, named = 0; i < n_outputs; i++) {
		n->outputs[i] = outputs[i];
		if (outputs[i] == NULL)
			continue;
		outputs[i]->def = n;
		m->n_mute -= named++ == 0;
	}
	link_node(n, g, before);
	return n;
}

qdq_name qdq_node_name_for(qdq_model *m, qdq_op_id op, const char *hint)
{
	const char *name = qdq_ops[op].name;
	size_t before = strlen(hint), behind = strlen(name);
	char few[256];

	if (before + behind + 2 > sizeof few)
		return qdq_unique_name(&m->names, qdq_format(&m->arena, "%s_%s", hint, name));
	memcpy(few, hint, before);
	few[before] = '_';
	memcpy(few + before + 1, name, behind + 1);
	return qdq_unique_name(&m->names, few);
}

qdq_node *qdq_node_insert(qdq_graph *g, qdq_node *before, qdq_op_id op, const char *name_hint, uint32_t n_inputs,
			  qdq_value *const *inputs, uint32_t n_outputs, const qdq_origin *origin)
{
	qdq_model *m = g->model;
	const qdq_op_info *info = &qdq_ops[op];
	qdq_value *few[4];
	qdq_value **outputs = n_outputs <= QDQ_COUNTOF(few) ? few : qdq_array(&m->arena, qdq_value *, n_outputs);
	qdq_name name = qdq_node_name_for(m, op, name_hint);
	qdq_node *n;

	for (uint32_t i = 0; i < n_outputs; i++)
		outputs[i] = qdq_value_create(g, qdq_unique_name(&m->names, name_hint));
	n = qdq_node_create(g, before, info->domain, info->name, name, n_inputs, inputs, n_outputs, outputs);
	n->origin = origin;
	return n;
}

qdq_node *qdq_node_clone(qdq_node *n, qdq_node *before)
{
	qdq_graph *g = before != NULL ? before->graph : n->graph;
	qdq_model *m = g->model;
	qdq_value **inputs = qdq_array(&m->arena, qdq_value *, n->n_inputs);
	qdq_value **outputs = qdq_array(&m->arena, qdq_value *, n->n_outputs);
	qdq_node *copy;

	for (uint32_t i = 0; i < n->n_inputs; i++)
		inputs[i] = n->inputs[i].value;
	for (uint32_t i = 0; i < n->n_outputs; i++) {
		qdq_value *v = n->outputs[i];

		if (v == NULL)
			continue;
		outputs[i] = qdq_value_create(g, qdq_unique_name(&m->names, v->name));
		outputs[i]->type = v->type;
		outputs[i]->shape = v->shape;
		outputs[i]->contents = v->contents;
		outputs[i]->not_tensor = v->not_tensor;
		outputs[i]->tree = v->tree;
		outputs[i]->foreign = v->foreign;
	}
	copy = qdq_node_create(g, before, n->domain, n->op_type,
			       *n->name == '\0' ? n->name : qdq_unique_name(&m->names, n->name), n->n_inputs, inputs,
			       n->n_outputs, outputs);
	copy->overload = n->overload;
	copy->wanted = n->wanted;
	copy->attrs = qdq_array(&m->arena, qdq_attr, n->n_attrs);
	copy->n_attrs = n->n_attrs;
	if (n->n_attrs != 0)
		memcpy(copy->attrs, n->attrs, n->n_attrs * sizeof *n->attrs);
	copy->function = n->function;
	copy->origin = n->origin;
	copy->foreign = n->foreign;
	return copy;
}

void qdq_node_remove(qdq_node *n)
{
	for (uint32_t i = 0; i < n->n_inputs; i++)
		unlink_use(&n->inputs[i]);
	for (uint32_t i = 0; i < n->n_outputs; i++)
		if (n->outputs[i] != NULL && n->outputs[i]->def == n)
			n->outputs[i]->def = NULL;
	for (uint32_t i = 0; i < n->n_attrs; i++) { /* captures of nested graphs are uses too */
		qdq_attr *a = &n->attrs[i];
		qdq_graph *const *graphs;
		size_t count = qdq_attr_graphs(a, &graphs);

		for (size_t j = 0; j < count; j++) {
			qdq_graph *body = graphs[j];

			while (body->last != NULL)
				qdq_node_remove(body->last);
		}
	}
	unlink_node(n);
}

void qdq_node_move(qdq_node *n, qdq_graph *g, qdq_node *before)
{
	if (before == n)
		return;
	unlink_node(n);
	link_node(n, g, before);
	for (uint32_t i = 0; i < n->n_outputs; i++)
		if (n->outputs[i] != NULL)
			n->outputs[i]->graph = g;
}

void qdq_node_set_op(qdq_node *n, qdq_op_id op)
{
	qdq_model *m = n->graph->model;

	n->op = &qdq_ops[op];
	m->present[op] = true;
	n->op_type = qdq_intern(&m->names, n->op->name);
	n->domain = qdq_intern(&m->names, n->op->domain);
}

void qdq_node_resize_inputs(qdq_node *n, uint32_t n_inputs)
{
	qdq_use *grown = qdq_array(&n->graph->model->arena, qdq_use, n_inputs);

	for (uint32_t i = 0; i < n_inputs; i++)
		grown[i].node = n;
	for (uint32_t i = 0; i < n->n_inputs; i++) {
		qdq_value *v = n->inputs[i].value;

		unlink_use(&n->inputs[i]);
		if (i < n_inputs)
			link_use(&grown[i], v);
	}
	n->inputs = grown;
	n->n_inputs = n_inputs;
}

/* ---- values ---- */

void qdq_use_set(qdq_use *u, qdq_value *v)
{
	if (u->value == v)
		return;
	unlink_use(u);
	link_use(u, v);
}

void qdq_value_replace_uses(qdq_value *old, qdq_value *by)
{
	if (old == by)
		return;
	while (old->uses != NULL)
		qdq_use_set(old->uses, by);
}

void qdq_value_replace(qdq_value *old, qdq_value *by)
{
	qdq_graph *g = old->graph;

	qdq_value_replace_uses(old, by);
	if (old == by || old->n_outputs == 0)
		return;
	for (size_t i = 0; i < g->outputs.count; i++) {
		if (g->outputs.items[i] == old) {
			g->outputs.items[i] = by;
			by->n_outputs++;
		}
	}
	old->n_outputs = 0;
}

void qdq_value_redefine(qdq_value *v, qdq_node *n, uint32_t i)
{
	qdq_value *old = n->outputs[i];

	if (old == v)
		return;
	if (v->def != NULL)
		for (uint32_t j = 0; j < v->def->n_outputs; j++)
			if (v->def->outputs[j] == v)
				v->def->outputs[j] = NULL;
	if (old != NULL) {
		qdq_value_replace(old, v);
		old->def = NULL;
	}
	n->outputs[i] = v;
	v->def = n;
	v->graph = n->graph;
}

void qdq_value_set_constant(qdq_value *v, const qdq_tensor *t)
{
	qdq_model *m = v->graph->model;

	if (v->def != NULL)
		for (uint32_t i = 0; i < v->def->n_outputs; i++)
			if (v->def->outputs[i] == v)
				v->def->outputs[i] = NULL;
	v->def = NULL;
	v->tensor = t;
	v->type = t->type;
	v->shape = qdq_shape_new(m, t->rank, t->dims);
	*qdq_push(&m->arena, &v->graph->constants) = v;
}

void qdq_constant_set(qdq_value *v, const qdq_tensor *t)
{
	v->tensor = t;
	qdq_value_set_type(v, t->type, qdq_shape_new(v->graph->model, t->rank, t->dims));
}

void qdq_graph_drop_constants(qdq_graph *g)
{
	size_t kept = 0;

	for (size_t i = 0; i < g->constants.count; i++) {
		qdq_value *v = g->constants.items[i];

		if (!qdq_value_unread(v) || v->is_input)
			g->constants.items[kept++] = v;
	}
	g->constants.count = kept;
}

void qdq_value_rename(qdq_value *v, qdq_name name)
{
	v->name = name;
}

void qdq_value_set_type(qdq_value *v, qdq_type type, const qdq_shape *shape)
{
	v->type = type;
	v->shape = shape;
	v->said_type = type;
	v->said_shape = shape;
}

/* ---- attributes ---- */

qdq_attr *qdq_attr_set(qdq_node *n, const char *name, qdq_attr_type type)
{
	qdq_model *m = n->graph->model;
	qdq_name interned = qdq_intern(&m->names, name);
	qdq_attr *grown;
	uint32_t i;

	for (i = 0; i < n->n_attrs; i++)
		if (n->attrs[i].name == interned)
			break;
	/* Copies share their attributes' array with nobody, but attributes of a clone were copied flat: write afresh.
	 */
	if (i == n->n_attrs) {
		grown = qdq_array(&m->arena, qdq_attr, (size_t)n->n_attrs + 1);
		if (n->n_attrs != 0)
			memcpy(grown, n->attrs, n->n_attrs * sizeof *grown);
		n->attrs = grown;
		n->n_attrs++;
	}
	n->attrs[i] = (qdq_attr){.name = interned, .type = type, .ref = qdq_intern(&m->names, "")};
	return &n->attrs[i];
}

void qdq_attr_set_int(qdq_node *n, const char *name, int64_t i)
{
	qdq_attr_set(n, name, QDQ_ATTR_INT)->u.i = i;
}

void qdq_attr_set_float(qdq_node *n, const char *name, float f)
{
	qdq_attr_set(n, name, QDQ_ATTR_FLOAT)->u.f = f;
}

void qdq_attr_set_ints(qdq_node *n, const char *name, const int64_t *ints, size_t count)
{
	int64_t *copy = qdq_array(&n->graph->model->arena, int64_t, count);
	qdq_attr *a = qdq_attr_set(n, name, QDQ_ATTR_INTS);

	if (count != 0)
		memcpy(copy, ints, count * sizeof *copy);
	a->u.ints = copy;
	a->count = count;
}

void qdq_attr_set_string(qdq_node *n, const char *name, const char *s)
{
	size_t size = strlen(s);
	const char *copy = qdq_copy(&n->graph->model->arena, s, size);

	qdq_attr_set(n, name, QDQ_ATTR_STRING)->u.s = (qdq_bytes){copy, size};
}

void qdq_attr_remove(qdq_node *n, const char *name)
{
	for (uint32_t i = 0; i < n->n_attrs; i++) {
		if (strcmp(n->attrs[i].name, name) == 0) {
			memmove(&n->attrs[i], &n->attrs[i + 1], (n->n_attrs - i - 1) * sizeof *n->attrs);
			n->n_attrs--;
			return;
		}
	}
}

/* ---- origins and order ---- */

/* Whether the list names the node already. Only its start is looked at: twins stand side by side, and a node that
 * stands for a million others is not walked for each of them. */
static bool is_named(const qdq_origin *list, const qdq_origin *o)
{
	for (int patience = 16; list != NULL && patience > 0; list = list->next, patience--)
		if (list->index == o->index)
			return true;
	return false;
}

static const qdq_origin *prepend(qdq_model *m, const qdq_origin *o, const qdq_origin *next)
{
	qdq_origin *copy = qdq_new(&m->arena, qdq_origin);

	*copy = *o;
	copy->next = next;
	return copy;
}

const qdq_origin *qdq_origin_join(qdq_model *m, const qdq_origin *a, const qdq_origin *b)
{
	const qdq_origin *x = a, *y = b, *rest;

	if (a == NULL || b == NULL || a == b)
		return a != NULL ? a : b;
	while (x->next != NULL && y->next != NULL) {
		x = x->next;
		y = y->next;
	}
	/* a's first stays first; behind it the shorter list is put before the longer, which both share from now on */
	rest = y->next == NULL ? a->next : b;
	for (const qdq_origin *o = y->next == NULL ? b : a->next; o != NULL; o = o->next)
		if (o->index != a->index && !is_named(rest, o))
			rest = prepend(m, o, rest);
	if (rest == a->next)
		return a;
	return is_named(rest, a) ? rest : prepend(m, a, rest);
}

/* The node of g that defines v or holds the graph that defines it; NULL: v is from outside or needs no node. */
static qdq_node *definer_in(const qdq_value *v, const qdq_graph *g)
{
	return v != NULL && v->def != NULL && v->def->graph == g ? v->def : NULL;
}

/* Depth-first from each node in the present order, without recursion. `place` tells meanwhile: 0 unseen, 1 on the stack, 2 placed.
 * Captures of nested graphs are walked as if they were inputs of the node that holds them. */
struct frame {
	qdq_node *node;		/* of the sorted graph */
	const qdq_node *reader; /* the node itself, or one inside its nested graphs */
	uint32_t input;
};

static const qdq_graph *first_nested(const qdq_node *n, const qdq_graph *after)
{
	bool take = after == NULL;

	for (uint32_t i = 0; i < n->n_attrs; i++) {
		const qdq_attr *a = &n->attrs[i];
		qdq_graph *const *graphs;
		size_t count = qdq_attr_graphs(a, &graphs);

		for (size_t j = 0; j < count; j++) {
			const qdq_graph *g = graphs[j];

			if (take && g->first != NULL)
				return g;
			take = take || g == after;
		}
	}
	return NULL;
}

/* The reader behind r in the walk over n and everything nested in it; NULL at the end. */
static const qdq_node *next_reader(const qdq_node *n, const qdq_node *r)
{
	const qdq_graph *nested = first_nested(r, NULL);

	if (nested != NULL)
		return nested->first;
	while (r != n) {
		const qdq_graph *g = r->graph;

		if (r->next != NULL)
			return r->next;
		r = g->parent;
		nested = first_nested(r, g);
		if (nested != NULL)
			return nested->first;
	}
	return NULL;
}

/* The next definer in g that f's node waits for and that is not placed; NULL when all are. */
static qdq_node *next_wanted(struct frame *f, const qdq_graph *g)
{
	while (f->reader != NULL) {
		while (f->input < f->reader->n_inputs) {
			qdq_node *d = definer_in(f->reader->inputs[f->input++].value, g);

			if (d != NULL && d != f->node && d->place != 2)
				return d;
		}
		f->reader = next_reader(f->node, f->reader);
		f->input = 0;
	}
	return NULL;
}

struct sort {
	qdq_graph *g;
	bool cyclic;
};

static void sort(void *arg, qdq_arena *scratch)
{
	struct sort *s = arg;
	qdq_graph *g = s->g;
	QDQ_VEC(struct frame) stack = {0};
	qdq_node *placed = NULL; /* last node in its place */

	for (qdq_node *n = g->first; n != NULL; n = qdq_after(n))
		n->place = 0;
	for (qdq_node *n = g->first; n != NULL && !s->cyclic; n = placed == NULL ? NULL : placed->next) {
		/* Everything up to `placed` is in place; n is the first that is not. */
		n->place = 1;
		*qdq_push(scratch, &stack) = (struct frame){n, n, 0};
		while (stack.count != 0 && !s->cyclic) {
			struct frame *top = &stack.items[stack.count - 1];
			qdq_node *wanted = next_wanted(top, g);

			if (wanted == NULL) {
				qdq_node *done = top->node;

				done->place = 2;
				if ((placed == NULL ? g->first : placed->next) != done)
					qdq_node_move(done, g, placed == NULL ? g->first : placed->next);
				placed = done;
				stack.count--;
			} else if (wanted->place == 1) {
				s->cyclic = true;
			} else {
				wanted->place = 1;
				*qdq_push(scratch, &stack) = (struct frame){wanted, wanted, 0};
			}
		}
	}
}

bool qdq_graph_sort(qdq_graph *g)
{
	struct sort s = {.g = g};

	qdq_with_scratch(g->model->ctx, sort, &s);
	return !s.cyclic;
}

void qdq_graph_number(qdq_graph *g)
{
	uint32_t place = 0;

	for (qdq_node *n = g->first; n != NULL; n = qdq_after(n))
		n->place = ++place;
}

/* SPDX-License-Identifier: Apache-2.0
 *
 * graph.c -- runs a whole graph, node by node
 *
 * A table by value id holds what has been computed. Nodes that hold a graph (regions, calls, If, Loop) bind its inputs
 * to tensors in the same table and run it: what a nested graph captures is there already.
 */
#include "kernel.h"

typedef struct run {
	qdq_model *m;
	qdq_arena *arena;
	const qdq_tensor **values; /* by value id */
	const qdq_node *failed;
	int depth;
	const qdq_node *call; /* of the function whose body runs; NULL: none */
	const qdq_function *function;
	int opset;
} run;

static qdq_eval_result run_graph(run *r, const qdq_graph *g);

static const qdq_tensor *value_of(const run *r, const qdq_value *v)
{
	if (v == NULL)
		return NULL;
	return r->values[v->id] != NULL ? r->values[v->id] : v->tensor;
}

/* A node of a function's body as its call means it: attributes that refer to the function's are filled in. */
static const qdq_node *resolve(const run *r, const qdq_node *n)
{
	bool refers = false;

	for (uint32_t i = 0; i < n->n_attrs; i++)
		refers |= n->attrs[i].ref != NULL && n->attrs[i].ref[0] != '\0';
	if (!refers || r->call == NULL)
		return n;
	qdq_node *copy = qdq_new(r->arena, qdq_node);
	qdq_attr *attrs = qdq_array(r->arena, qdq_attr, n->n_attrs);
	*copy = *n;
	copy->attrs = attrs;
	copy->n_attrs = 0;
	for (uint32_t i = 0; i < n->n_attrs; i++) {
		const qdq_attr *a = &n->attrs[i], *given = a;
		if (a->ref != NULL && a->ref[0] != '\0') {
			given = qdq_attr_find(r->call, a->ref);
			for (size_t k = 0; given == NULL && k < r->function->defaults.count; k++)
				if (r->function->defaults.items[k].name == a->ref)
					given = &r->function->defaults.items[k];
		}
		if (given == NULL)
			continue; /* left out in the call: left out here */
		attrs[copy->n_attrs] = *given;
		attrs[copy->n_attrs].name = a->name;
		attrs[copy->n_attrs++].ref = "";
	}
	return copy;
}

static void store_outputs(run *r, const qdq_node *n, const qdq_graph *from)
{
	for (uint32_t i = 0; i < n->n_outputs && i < from->outputs.count; i++)
		if (n->outputs[i] != NULL)
			r->values[n->outputs[i]->id] = value_of(r, from->outputs.items[i]);
}

/* A graph whose inputs are the node's. */
static qdq_eval_result run_body(run *r, const qdq_node *n, const qdq_graph *body)
{
	const qdq_tensor **bound = qdq_array(r->arena, const qdq_tensor *, body->inputs.count);

	for (uint32_t i = 0; i < body->inputs.count; i++)
		bound[i] = value_of(r, qdq_in(n, i));
	for (uint32_t i = 0; i < body->inputs.count; i++)
		r->values[body->inputs.items[i]->id] = bound[i];
	qdq_eval_result result = run_graph(r, body);
	if (result == QDQ_EVAL_OK)
		store_outputs(r, n, body);
	return result;
}

static qdq_eval_result run_function(run *r, const qdq_node *n)
{
	run inner = *r;

	inner.call = n;
	inner.function = n->function;
	for (size_t i = 0; i < n->function->opsets.count; i++)
		if (n->function->opsets.items[i].domain[0] == '\0')
			inner.opset = (int)n->function->opsets.items[i].version;
	qdq_eval_result result = run_body(&inner, n, n->function->body);
	r->failed = inner.failed;
	return result;
}

static bool truth(const qdq_tensor *t)
{
	return t->count == 1 && t->type == QDQ_TYPE_BOOL && *(const uint8_t *)t->data != 0;
}

static qdq_eval_result run_if(run *r, const qdq_node *n)
{
	const qdq_tensor *condition = value_of(r, qdq_in(n, 0));

	if (condition == NULL)
		return QDQ_EVAL_UNSUPPORTED;
	const qdq_attr *branch = qdq_attr_find(n, truth(condition) ? "then_branch" : "else_branch");
	if (branch == NULL || branch->type != QDQ_ATTR_GRAPH || branch->u.g == NULL)
		return QDQ_EVAL_UNSUPPORTED;
	qdq_eval_result result = run_graph(r, branch->u.g);
	if (result == QDQ_EVAL_OK)
		store_outputs(r, n, branch->u.g);
	return result;
}

/* Values of one scan output, one for each iteration, under a new first dimension. */
static const qdq_tensor *stack(run *r, const qdq_tensor *const *parts, int64_t count)
{
	const qdq_tensor *first = count > 0 ? parts[0] : NULL;

	if (first == NULL || first->rank == QDQ_EVAL_RANK || qdq_type_get(first->type)->bits < 8)
		return NULL;
	qdq_tensor *t = qdq_new(r->arena, qdq_tensor);
	int64_t *dims = qdq_array(r->arena, int64_t, (size_t)first->rank + 1);
	dims[0] = count;
	if (first->rank > 0)
		memcpy(dims + 1, first->dims, (size_t)first->rank * sizeof *dims);
	char *data = qdq_alloc_array(r->arena, (size_t)count, (size_t)first->size);
	for (int64_t i = 0; i < count; i++) {
		if (parts[i]->type != first->type || parts[i]->size != first->size)
			return NULL;
		if (first->size > 0)
			memcpy(data + (size_t)i * first->size, parts[i]->data, (size_t)first->size);
	}
	*t = (qdq_tensor){.type = first->type, .rank = first->rank + 1, .dims = dims, .data = data};
	t->count = first->count * (uint64_t)count;
	t->size = first->size * (uint64_t)count;
	return t;
}

static const qdq_tensor *scalar_of(run *r, qdq_type type, int64_t value)
{
	qdq_tensor *t = qdq_new(r->arena, qdq_tensor);
	char *data = qdq_alloc(r->arena, sizeof value);

	*t = (qdq_tensor){.type = type, .count = 1, .data = data, .size = type == QDQ_TYPE_BOOL ? 1 : sizeof value};
	t->dims = qdq_array(r->arena, int64_t, 1);
	memcpy(data, &value, sizeof value); /* little-endian, so a bool is the first byte */
	return t;
}

/* Body inputs: iteration, condition, carried values. Outputs: condition, carried values, scan outputs. */
static qdq_eval_result run_loop(run *r, const qdq_node *n)
{
	const qdq_attr *a = qdq_attr_find(n, "body");
	const qdq_tensor *trips = value_of(r, qdq_in(n, 0)), *condition = value_of(r, qdq_in(n, 1));
	int64_t limit = INT64_MAX, i = 0;

	if (a == NULL || a->type != QDQ_ATTR_GRAPH || a->u.g == NULL)
		return QDQ_EVAL_UNSUPPORTED;
	const qdq_graph *body = a->u.g;
	uint32_t carried = n->n_inputs > 2 ? n->n_inputs - 2 : 0;
	if (body->inputs.count != carried + 2u || body->outputs.count < carried + 1u ||
	    body->outputs.count != n->n_outputs + 1u)
		return QDQ_EVAL_UNSUPPORTED;
	uint32_t scans = n->n_outputs - carried;
	if (trips != NULL && trips->type == QDQ_TYPE_INT64 && trips->count == 1)
		memcpy(&limit, trips->data, sizeof limit);
	const qdq_tensor **state = qdq_array(r->arena, const qdq_tensor *, carried);
	QDQ_VEC(const qdq_tensor *) *scan = qdq_alloc_array(r->arena, scans, sizeof *scan);
	for (uint32_t k = 0; k < carried; k++)
		state[k] = value_of(r, qdq_in(n, k + 2));
	bool more = condition == NULL || truth(condition);
	for (; more && i < limit; i++) {
		r->values[body->inputs.items[0]->id] = scalar_of(r, QDQ_TYPE_INT64, i);
		r->values[body->inputs.items[1]->id] = scalar_of(r, QDQ_TYPE_BOOL, 1);
		for (uint32_t k = 0; k < carried; k++)
			r->values[body->inputs.items[k + 2]->id] = state[k];
		qdq_eval_result result = run_graph(r, body);
		if (result != QDQ_EVAL_OK)
			return result;
		const qdq_tensor *next = value_of(r, body->outputs.items[0]);
		more = next == NULL || truth(next);
		for (uint32_t k = 0; k < carried; k++)
			state[k] = value_of(r, body->outputs.items[k + 1]);
		for (uint32_t k = 0; k < scans; k++)
			*qdq_push(r->arena, &scan[k]) = value_of(r, body->outputs.items[carried + 1 + k]);
	}
	for (uint32_t k = 0; k < n->n_outputs; k++) {
		const qdq_tensor *t = k < carried ? state[k] : stack(r, scan[k - carried].items, i);
		if (n->outputs[k] != NULL && t == NULL)
			return QDQ_EVAL_UNSUPPORTED;
		if (n->outputs[k] != NULL)
			r->values[n->outputs[k]->id] = t;
	}
	return QDQ_EVAL_OK;
}

static qdq_eval_result run_node(run *r, const qdq_node *node)
{
	const qdq_node *n = resolve(r, node);

	if (qdq_is(n, QDQ_OP_REGION))
		return run_body(r, n, n->region->body);
	if (n->function != NULL)
		return run_function(r, n);
	if (qdq_is(n, QDQ_OP_If))
		return run_if(r, n);
	if (qdq_is(n, QDQ_OP_Loop))
		return run_loop(r, n);
	const qdq_tensor **in = qdq_array(r->arena, const qdq_tensor *, n->n_inputs);
	const qdq_tensor **out = qdq_array(r->arena, const qdq_tensor *, n->n_outputs);
	for (uint32_t i = 0; i < n->n_inputs; i++) {
		in[i] = value_of(r, qdq_in(n, i));
		if (in[i] == NULL && qdq_in(n, i) != NULL && r->call == NULL)
			return QDQ_EVAL_UNSUPPORTED; /* no tensor: an optional or a sequence */
	}
	qdq_eval_result result = qdq_eval_node_in(r->m, r->opset, r->arena, n, in, out, 0);
	for (uint32_t i = 0; result == QDQ_EVAL_OK && i < n->n_outputs; i++)
		if (n->outputs[i] != NULL)
			r->values[n->outputs[i]->id] = out[i];
	return result;
}

static qdq_eval_result run_graph(run *r, const qdq_graph *g)
{
	enum { DEEPEST = 100 };

	if (r->depth >= DEEPEST)
		return QDQ_EVAL_UNSUPPORTED;
	r->depth++;
	for (const qdq_node *n = g->first; n != NULL; n = qdq_after(n)) {
		qdq_eval_result result = run_node(r, n);
		if (result != QDQ_EVAL_OK) {
			r->failed = r->failed != NULL ? r->failed : n;
			return result;
		}
	}
	r->depth--;
	return QDQ_EVAL_OK;
}

qdq_eval_result qdq_eval_graph(qdq_model *m, const qdq_graph *g, qdq_arena *arena, const qdq_tensor *const *inputs,
			       const qdq_tensor **outputs, const qdq_node **failed)
{
	run r = {.m = m, .arena = arena, .opset = m->opset};

	r.values = qdq_array(arena, const qdq_tensor *, m->n_values);
	for (size_t i = 0; i < g->inputs.count; i++)
		r.values[g->inputs.items[i]->id] = inputs[i];
	qdq_eval_result result = run_graph(&r, g);
	if (failed != NULL)
		*failed = r.failed;
	for (size_t i = 0; i < g->outputs.count; i++) {
		outputs[i] = result == QDQ_EVAL_OK ? value_of(&r, g->outputs.items[i]) : NULL;
		if (result == QDQ_EVAL_OK && outputs[i] == NULL)
			return QDQ_EVAL_UNSUPPORTED;
	}
	return result;
}

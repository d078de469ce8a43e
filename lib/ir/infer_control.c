/* SPDX-License-Identifier: Apache-2.0
 *
 * infer_control.c -- inference of what holds graphs: regions, calls of functions, If, Loop, Scan
 *
 * A body's inputs take what is known of the node's operands, the body is walked, and its outputs say what the node's
 * are. Nothing is assumed of what a loop carries but its type.
 */
#include "infer.h"

#define DEPTH 128 /* of graphs and calls in one another */

static void walk_body(qdq_infer *c, qdq_graph *body)
{
	if (c->depth >= DEPTH)
		return;
	c->depth++;
	qdq_infer_nodes(c, body);
	c->depth--;
}

static qdq_graph *graph_attr(const qdq_node *n, const char *name)
{
	const qdq_attr *a = qdq_attr_find(n, name);

	return a != NULL && a->type == QDQ_ATTR_GRAPH ? a->u.g : NULL;
}

/* An operator that the table does not know, or knows no rule for: what is nested in it is still walked. */
void qdq_infer_none(qdq_infer *c, qdq_node *n)
{
	for (uint32_t i = 0; i < n->n_attrs; i++) {
		const qdq_attr *a = &n->attrs[i];

		qdq_graph *const *graphs;
		size_t count = qdq_attr_graphs(a, &graphs);

		for (size_t j = 0; j < count; j++)
			walk_body(c, graphs[j]);
	}
}

static void bind(qdq_graph *body, size_t i, const qdq_value *from)
{
	qdq_value *to = i < body->inputs.count ? body->inputs.items[i] : NULL;

	if (to == NULL || from == NULL)
		return;
	to->type = from->type;
	to->shape = from->shape;
	to->contents = from->contents;
	to->not_tensor = from->not_tensor;
}

static void copy_outputs(qdq_infer *c, qdq_node *n, const qdq_graph *body)
{
	for (uint32_t i = 0; i < n->n_outputs && i < body->outputs.count; i++) {
		const qdq_value *from = body->outputs.items[i];
		qdq_dims contents;

		if (from->not_tensor || n->outputs[i] == NULL)
			continue;
		qdq_infer_put_shape(c, n, i, from->type, from->shape);
		if (qdq_infer_copy(from->contents, &contents))
			qdq_infer_put_contents(c, n, i, &contents);
	}
}

void qdq_infer_region(qdq_infer *c, qdq_node *n)
{
	if (n->region == NULL)
		return;
	for (uint32_t i = 0; i < n->n_inputs; i++)
		bind(n->region->body, i, n->inputs[i].value);
	walk_body(c, n->region->body);
	copy_outputs(c, n, n->region->body);
}

/* ---- functions ---- */

/* Forgets what a call made known. */
static void forget(qdq_graph *g, int depth)
{
	for (size_t i = 0; i < g->inputs.count; i++) {
		qdq_value *v = g->inputs.items[i];

		v->contents = NULL;
		if (!v->declared) {
			v->type = QDQ_TYPE_NONE;
			v->shape = NULL;
		}
	}
	for (qdq_node *n = g->first; n != NULL; n = qdq_after(n)) {
		for (uint32_t i = 0; i < n->n_outputs; i++) {
			qdq_value *v = n->outputs[i];

			if (v == NULL)
				continue;
			v->contents = NULL;
			if (!v->declared) {
				v->type = QDQ_TYPE_NONE;
				v->shape = NULL;
			}
		}
		for (uint32_t i = 0; i < n->n_attrs && depth < DEPTH; i++) {
			const qdq_attr *a = &n->attrs[i];

			qdq_graph *const *graphs;
			size_t count = qdq_attr_graphs(a, &graphs);

			for (size_t j = 0; j < count; j++)
				forget(graphs[j], depth + 1);
		}
	}
}

static bool all_known(const qdq_node *n)
{
	for (uint32_t i = 0; i < n->n_outputs; i++) {
		const qdq_value *v = n->outputs[i];

		if (v != NULL && !v->not_tensor && (v->type == QDQ_TYPE_NONE || v->shape == NULL))
			return false;
	}
	return true;
}

/* A function's body belongs to all its calls, so it is walked for this one and cleared again. */
void qdq_infer_call(qdq_infer *c, qdq_node *n)
{
	const qdq_function *f = n->function;
	qdq_infer inner = *c;

	if (all_known(n) || f->body == NULL || c->depth >= DEPTH || f == c->function || c->budget <= f->body->n_nodes)
		return;
	inner.function = f;
	inner.is_call = true;
	inner.budget -= f->body->n_nodes + UINT64_C(1);
	for (size_t i = 0; i < f->opsets.count; i++)
		if (*f->opsets.items[i].domain == '\0' && f->opsets.items[i].version <= INT32_MAX)
			inner.opset = (int)f->opsets.items[i].version;
	forget(f->body, 0);
	for (uint32_t i = 0; i < n->n_inputs && i < f->body->inputs.count; i++) {
		qdq_value *to = f->body->inputs.items[i], *from = n->inputs[i].value;

		if (from == NULL || to->declared)
			continue;
		to->type = from->type;
		to->shape = from->shape;
		to->contents = qdq_infer_contents(c, from);
	}
	walk_body(&inner, f->body);
	copy_outputs(c, n, f->body);
	forget(f->body, 0);
	c->budget = inner.budget;
}

/* ---- If ---- */

/* What two values have in common. */
static void unite(const qdq_value *a, const qdq_value *b, qdq_type *type, qdq_dims *dims)
{
	qdq_dims other;

	*type = a->type == b->type ? a->type : a->type == QDQ_TYPE_NONE ? b->type : a->type;
	if (!qdq_infer_copy(a->shape, dims))
		return;
	if (!qdq_infer_copy(b->shape, &other) || other.rank != dims->rank) {
		dims->rank = -1;
		return;
	}
	for (int i = 0; i < dims->rank; i++)
		if (dims->d[i] != other.d[i])
			dims->d[i] = QDQ_DIM_ANY;
}

void qdq_infer_if(qdq_infer *c, qdq_node *n)
{
	qdq_graph *yes = graph_attr(n, "then_branch"), *no = graph_attr(n, "else_branch");
	const qdq_shape *condition = qdq_infer_contents(c, qdq_in(n, 0));
	qdq_type type;
	qdq_dims dims;

	if (yes == NULL || no == NULL)
		return;
	walk_body(c, yes);
	walk_body(c, no);
	if (condition != NULL && condition->rank == 1 && condition->dim[0] >= 0) {
		copy_outputs(c, n, condition->dim[0] != 0 ? yes : no);
		return;
	}
	for (uint32_t i = 0; i < n->n_outputs && i < yes->outputs.count && i < no->outputs.count; i++) {
		const qdq_value *a = yes->outputs.items[i], *b = no->outputs.items[i];

		if (a->not_tensor || b->not_tensor)
			continue;
		unite(a, b, &type, &dims);
		qdq_infer_put(c, n, i, type, &dims);
	}
}

/* ---- Loop ---- */

static qdq_value *port(const qdq_graph *body, bool output, size_t i)
{
	if (output)
		return i < body->outputs.count ? body->outputs.items[i] : NULL;
	return i < body->inputs.count ? body->inputs.items[i] : NULL;
}

/* A dimension put in at `axis`. */
static void put_stacked(qdq_infer *c, qdq_node *n, uint32_t i, const qdq_value *v, int64_t axis, qdq_dim length)
{
	qdq_dims dims;
	int at;

	if (v->not_tensor)
		return;
	if (!qdq_infer_copy(v->shape, &dims) || dims.rank == QDQ_INFER_RANK ||
	    !qdq_infer_axis(axis, dims.rank + 1, &at)) {
		qdq_infer_put(c, n, i, v->type, NULL);
		return;
	}
	memmove(&dims.d[at + 1], &dims.d[at], (size_t)(dims.rank - at) * sizeof *dims.d);
	dims.d[at] = length;
	dims.rank++;
	qdq_infer_put(c, n, i, v->type, &dims);
}

void qdq_infer_loop(qdq_infer *c, qdq_node *n)
{
	qdq_graph *body = graph_attr(n, "body");
	uint32_t states = n->n_inputs > 2 ? n->n_inputs - 2 : 0;
	qdq_dims scalar = {0}, dims;
	qdq_type type;

	if (body == NULL)
		return;
	qdq_infer_settle_dims(c, n, port(body, false, 0), QDQ_TYPE_INT64, &scalar);
	qdq_infer_settle_dims(c, n, port(body, false, 1), QDQ_TYPE_BOOL, &scalar);
	for (uint32_t i = 0; i < states; i++)
		qdq_infer_settle_dims(c, n, port(body, false, i + 2), qdq_infer_type(n, i + 2), NULL);
	walk_body(c, body);
	for (uint32_t i = 0; i < n->n_outputs; i++) {
		const qdq_value *last = port(body, true, i + UINT32_C(1)), *first = qdq_in(n, i + 2);

		if (last == NULL || last->not_tensor)
			continue;
		if (i >= states) {
			put_stacked(c, n, i, last, 0, QDQ_DIM_ANY);
			continue;
		}
		if (first == NULL)
			continue;
		unite(first, last, &type, &dims);
		qdq_infer_put(c, n, i, type, &dims);
	}
}

/* ---- Scan ---- */

/* An operand without one of its dimensions, which is stored in *length. */
static void bind_slice(qdq_infer *c, qdq_node *n, qdq_value *to, const qdq_value *from, int64_t axis, qdq_dim *length)
{
	qdq_dims dims;
	int at;

	if (to == NULL || from == NULL)
		return;
	if (!qdq_infer_copy(from->shape, &dims) || !qdq_infer_axis(axis, dims.rank, &at)) {
		qdq_infer_settle_dims(c, n, to, from->type, NULL);
		return;
	}
	if (*length < 0)
		*length = dims.d[at];
	dims.rank--;
	memmove(&dims.d[at], &dims.d[at + 1], (size_t)(dims.rank - at) * sizeof *dims.d);
	qdq_infer_settle_dims(c, n, to, from->type, &dims);
}

/* Opset 8: a batch dimension in front of everything, and the lengths of the sequences as input 0. */
static void scan_batched(qdq_infer *c, qdq_node *n, qdq_graph *body, uint32_t scans)
{
	uint32_t states = n->n_inputs > scans + 1 ? n->n_inputs - scans - 1 : 0;
	qdq_dim batch = QDQ_DIM_ANY, length = QDQ_DIM_ANY;

	for (uint32_t i = 0; i + 1 < n->n_inputs; i++) {
		const qdq_value *from = qdq_in(n, i + 1);
		qdq_dims dims;
		int drop = i < states ? 1 : 2;

		if (from == NULL || !qdq_infer_copy(from->shape, &dims) || dims.rank < drop)
			continue;
		batch = dims.d[0];
		length = drop == 2 ? dims.d[1] : length;
		dims.rank -= drop;
		memmove(&dims.d[0], &dims.d[drop], (size_t)dims.rank * sizeof *dims.d);
		qdq_infer_settle_dims(c, n, port(body, false, i), from->type, &dims);
	}
	walk_body(c, body);
	for (uint32_t i = 0; i < n->n_outputs; i++) {
		const qdq_value *v = port(body, true, i);
		qdq_dims dims;
		int more = i < states ? 1 : 2;

		if (v == NULL)
			continue;
		if (!qdq_infer_copy(v->shape, &dims) || dims.rank + more > QDQ_INFER_RANK) {
			qdq_infer_put(c, n, i, v->type, NULL);
			continue;
		}
		memmove(&dims.d[more], &dims.d[0], (size_t)dims.rank * sizeof *dims.d);
		dims.d[0] = batch;
		if (more == 2)
			dims.d[1] = length;
		dims.rank += more;
		qdq_infer_put(c, n, i, v->type, &dims);
	}
}

void qdq_infer_scan(qdq_infer *c, qdq_node *n)
{
	qdq_graph *body = graph_attr(n, "body");
	int64_t wanted = qdq_attr_int(n, "num_scan_inputs", 0);
	uint32_t scans, states;
	qdq_dim length = QDQ_DIM_ANY;

	if (body == NULL || wanted < 0 || wanted > n->n_inputs)
		return;
	scans = (uint32_t)wanted;
	if (c->opset < 9) {
		scan_batched(c, n, body, scans);
		return;
	}
	states = n->n_inputs - scans;
	for (uint32_t i = 0; i < states; i++)
		if (qdq_in(n, i) != NULL)
			qdq_infer_settle(c, n, port(body, false, i), qdq_infer_type(n, i), qdq_infer_shape(n, i));
	for (uint32_t i = 0; i < scans; i++)
		bind_slice(c, n, port(body, false, states + i), qdq_in(n, states + i),
			   qdq_attr_int_at(n, "scan_input_axes", i, 0), &length);
	walk_body(c, body);
	for (uint32_t i = 0; i < n->n_outputs; i++) {
		const qdq_value *v = port(body, true, i);

		if (v == NULL)
			continue;
		if (i < states)
			qdq_infer_put_shape(c, n, i, v->type, v->shape);
		else
			put_stacked(c, n, i, v, qdq_attr_int_at(n, "scan_output_axes", i - states, 0), length);
	}
}

/* SPDX-License-Identifier: Apache-2.0
 *
 * identities -- operators that change nothing, and views of views
 *
 *   x -- Reshape(shape of x) -- y          =>   x       also Expand, Slice, Transpose, Tile, Pad, Concat of one tensor …
 *   x -- Cast(type of x) -- y              =>   x
 *   x -- Gather(0, 1 … n-1) -- y           =>   x -- Reshape -- y      all of the axis, in order
 *   x -- Flatten -- Reshape(s) -- y        =>   x -- Reshape(s) -- y
 *   x -- Shape -- Gather -- Concat(12, 64) --.
 *   x ---------------------------------------+-- Reshape -- y   =>   x -- Reshape(0, 0, 12, 64) -- y
 *
 *   When    shapes say so: dimensions are equal as numbers or symbols; what indices, pads and steps say is constant; of
 *           two views the first has no other reader and the second names every dimension itself (no 0: "as it is")
 *   Keeps   names of graph outputs
 *   Exact   EXACT: elements, their order and the shape are the same
 *   Needs   types, shapes                   Breaks  nothing
 *   After   fold                            Before  sink_dq
 *   Tests   test/golden/identities/         Ref     ONNX operators: Reshape, Expand, Gather
 */
#include "moves.h"

/* ---- moves that move nothing ---- */

static bool all_are(qdq_run *r, const qdq_value *v, int64_t number)
{
	const int64_t *items;
	size_t count;

	if (!qdq_value_ints(v, &r->scratch, &items, &count))
		return false;
	for (size_t i = 0; i < count; i++)
		if (items[i] != number)
			return false;
	return true;
}

/* 0, 1, 2 … count - 1. */
static bool counts_up(const int64_t *items, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (items[i] != (int64_t)i)
			return false;
	return true;
}

/* Does no step of a Slice go backward? One that takes as many elements as there are then takes each in its place. */
static bool goes_forward(qdq_run *r, const qdq_node *n)
{
	const int64_t *steps;
	size_t count;

	if (qdq_in(n, 4) == NULL)
		return true;
	if (!qdq_value_ints(qdq_in(n, 4), &r->scratch, &steps, &count))
		return false;
	for (size_t i = 0; i < count; i++)
		if (steps[i] < 0)
			return false;
	return true;
}

static bool pads_nothing(qdq_run *r, const qdq_node *n)
{
	size_t count;
	const int64_t *pads;

	if (qdq_in(n, 1) != NULL)
		return all_are(r, qdq_in(n, 1), 0);
	pads = qdq_attr_ints(n, "pads", &count);
	for (size_t i = 0; i < count; i++)
		if (pads[i] != 0)
			return false;
	return count != 0;
}

static bool turns_nothing(const qdq_node *n)
{
	size_t count;
	const int64_t *perm = qdq_attr_ints(n, "perm", &count);

	return count != 0 && counts_up(perm, count);
}

bool qdq_moves_nothing(qdq_run *r, const qdq_node *n)
{
	const qdq_value *x = qdq_in(n, 0), *y = qdq_out(n, 0);

	if (x == NULL || y == NULL || x->type != y->type || !qdq_shape_equal(x->shape, y->shape))
		return false;
	switch (n->op->id) {
	case QDQ_OP_Expand:
	case QDQ_OP_Tile:
		return true;
	case QDQ_OP_Slice:
		return goes_forward(r, n);
	case QDQ_OP_Pad:
		return pads_nothing(r, n);
	case QDQ_OP_Transpose:
		return turns_nothing(n);
	case QDQ_OP_Concat:
		return n->n_inputs == 1;
	default:
		return n->op->axis == QDQ_AXIS_VIEW;
	}
}

/* ---- others ---- */

static bool without_effect(qdq_run *r, const qdq_match *match, qdq_reason *why)
{
	return qdq_moves_nothing(r, qdq_match_root(match)) && !qdq_holds_rounding(r, qdq_match_root(match), why);
}

static bool same_type(qdq_run *r, const qdq_match *match, qdq_reason *why)
{
	const qdq_node *n = qdq_match_root(match);

	return qdq_in(n, 0)->type != QDQ_TYPE_NONE && qdq_in(n, 0)->type == n->outputs[0]->type &&
	       !qdq_holds_rounding(r, n, why);
}

/* Every element of the axis in its place, and an output whose shape can be written down: one dimension may be unknown. */
static bool gathers_all(qdq_run *r, const qdq_match *match, qdq_reason *why)
{
	const qdq_node *n = qdq_match_root(match);
	const qdq_shape *x = qdq_in(n, 0)->shape, *y = n->outputs[0]->shape;
	int64_t axis = qdq_attr_int(n, "axis", 0);
	const int64_t *indices;
	size_t count;
	int unknown = 0;

	(void)why;
	if (x == NULL || y == NULL || qdq_value_constant(qdq_in(n, 0)) != NULL || r->model->opset < 5)
		return false;
	axis += axis < 0 ? x->rank : 0;
	for (int32_t i = 0; i < y->rank; i++) {
		if (y->dim[i] == 0)
			return false;
		unknown += y->dim[i] < 0;
	}
	return unknown <= 1 && axis >= 0 && axis < x->rank &&
	       qdq_value_ints(qdq_in(n, 1), &r->scratch, &indices, &count) && x->dim[axis] == (qdq_dim)count &&
	       counts_up(indices, count);
}

static bool make_shape(qdq_run *r, qdq_match *match)
{
	const qdq_node *n = qdq_match_root(match);
	const qdq_shape *y = n->outputs[0]->shape;
	int64_t rank = y->rank;
	qdq_model *m = r->model;
	qdq_tensor *t = qdq_tensor_new(m, QDQ_TYPE_INT64, 1, &rank);
	int64_t *dims = (int64_t *)(uintptr_t)t->data;
	const char *name = qdq_format(&r->scratch, "%s_shape", n->outputs[0]->name);

	for (int32_t i = 0; i < y->rank; i++)
		dims[i] = y->dim[i] < 0 ? -1 : y->dim[i];
	qdq_match_bind(match, "shape", qdq_graph_add_constant(n->graph, qdq_unique_name(&m->names, name), t));
	return true;
}

bool qdq_view_of_view(qdq_run *r, const qdq_node *n)
{
	const qdq_value *v = qdq_in(n, 0);
	const int64_t *items;
	size_t count;

	if (n->op->id != QDQ_OP_Reshape || v == NULL || v->def == NULL || v->def->op->axis != QDQ_AXIS_VIEW ||
	    v->def->graph != n->graph || qdq_only_use(v) == NULL ||
	    !qdq_value_ints(qdq_in(n, 1), &r->scratch, &items, &count))
		return false;
	for (size_t i = 0; i < count; i++)
		if (items[i] == 0)
			return false;
	return true;
}

void qdq_skip_view(qdq_node *n)
{
	qdq_node *view = n->inputs[0].value->def;

	qdq_use_set(&n->inputs[0], qdq_in(view, 0));
	qdq_node_remove(view);
}

static bool of_view(qdq_run *r, const qdq_match *match, qdq_reason *why)
{
	return qdq_view_of_view(r, qdq_match_root(match)) &&
	       !qdq_holds_rounding(r, qdq_in(qdq_match_root(match), 0)->def, why);
}

static bool skip_view(qdq_run *r, qdq_match *match)
{
	(void)r;
	qdq_skip_view(qdq_match_root(match));
	return true;
}

/* A dimension that Reshape is to give: a number, 0 for the one that it reads in this place, -1 for any; -2: neither. Any is
 * what is left when the others are known; beside one that may be 0 itself that would not be known. */
static int64_t known_dimension(const qdq_model *m, const qdq_shape *x, int32_t i, qdq_dim d)
{
	int64_t number;

	if (qdq_dim_value(m, d, &number))
		return number == 0 || number < -1 ? -2 : number;
	return x != NULL && i < x->rank && x->dim[i] == d ? 0 : -1;
}

static bool known_shape(qdq_run *r, const qdq_node *n, int64_t *dims)
{
	const qdq_value *shape = qdq_in(n, 1);
	const qdq_shape *c = shape->contents;
	int copied = 0, any = 0;

	for (int32_t i = 0; i < c->rank; i++) {
		int64_t dim = known_dimension(r->model, qdq_in(n, 0)->shape, i, c->dim[i]);

		if (dim == -2)
			return false;
		copied += dim == 0;
		any += dim == -1;
		if (dims != NULL)
			dims[i] = dim;
	}
	return any <= 1 && (any == 0 || copied == 0);
}

static bool has_known_shape(qdq_run *r, const qdq_match *match, qdq_reason *why)
{
	const qdq_node *n = qdq_match_root(match);
	const qdq_value *shape = qdq_in(n, 1);

	(void)why;
	return qdq_value_constant(shape) == NULL && shape->contents != NULL && shape->type == QDQ_TYPE_INT64 &&
	       qdq_attr_int(n, "allowzero", 0) == 0 && known_shape(r, n, NULL);
}

static bool give_shape(qdq_run *r, qdq_match *match)
{
	qdq_node *n = qdq_match_root(match);
	int64_t rank = qdq_in(n, 1)->contents->rank;
	qdq_tensor *t = qdq_tensor_new(r->model, QDQ_TYPE_INT64, 1, &rank);
	const char *name = qdq_format(&r->scratch, "%s_shape", n->outputs[0]->name);

	known_shape(r, n, (int64_t *)(uintptr_t)t->data);
	qdq_use_set(&n->inputs[1], qdq_graph_add_constant(n->graph, qdq_unique_name(&r->model->names, name), t));
	return true;
}

static void run(qdq_run *r)
{
	if (r->changes != 0)
		qdq_drop_dead(r); /* what computed shapes */
}

static const qdq_rule rules[] = {
    {"identities.move", "(@MOVE x _*)", "x", without_effect, NULL, QDQ_EXACT,
     "what moves, repeats, pads or selects elements goes, where each stays in its place"},
    {"identities.cast", "(Cast x)", "x", same_type, NULL, QDQ_EXACT, "a Cast to the type that it reads goes"},
    {"identities.gather", "(Gather x _)", "(Reshape x shape)", gathers_all, make_shape, QDQ_EXACT,
     "a Gather of the whole axis in its order becomes a Reshape"},
    {"identities.view", "(Reshape (@MOVE x _*) _)", NULL, of_view, skip_view, QDQ_EXACT,
     "a Reshape reads what stands in front of another view"},
    {"identities.shape", "(Reshape x _)", NULL, has_known_shape, give_shape, QDQ_EXACT,
     "a shape that repeats dimensions of the tensor, or leaves one open, is written as a constant"},
};

const qdq_pass qdq_pass_identities = {
    "identities", "drop operators that change nothing", rules, QDQ_COUNTOF(rules), run, false};

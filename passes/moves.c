/* SPDX-License-Identifier: Apache-2.0
 *
 * moves.c -- when a quantization may pass an operator
 *
 * MOVE operators copy elements, so Q and DQ commute with them whatever the scale is; a per-channel one must find its
 * axis again behind the operator. MONO operators choose among elements they compare: Q and DQ are monotone for
 * scales > 0, so the choice is the same on both sides. Clamps commute if their bounds are codes.
 */
#include <math.h>

#include "moves.h"

qdq_node *qdq_reader(const qdq_value *v)
{
	const qdq_use *u = qdq_only_use(v);

	return u != NULL && u->node->graph == v->graph ? u->node : NULL;
}

bool qdq_is_clamp(const qdq_node *n)
{
	return n->op->cls == QDQ_CLASS_MONO && n->op->axis == QDQ_AXIS_SAME;
}

static bool refuse(qdq_reason *why, qdq_reason_code code, const char *operand, const char *detail)
{
	*why = (qdq_reason){.code = code, .operand = operand, .detail = detail};
	return false;
}

bool qdq_params_movable(const qdq_params *p, qdq_reason *why)
{
	const char *operand = p->scale->name;
	const qdq_type_info *type = qdq_type_get(p->codes);

	if (type->is_float && type->bits <= 8)
		return refuse(why, QDQ_REASON_TYPE_FLOAT8, operand, NULL);
	if (type->bits == 16)
		return refuse(why, QDQ_REASON_TYPE_16BIT, operand, NULL);
	if (type->bits != 0 && type->bits < 8)
		return refuse(why, QDQ_REASON_TYPE_4BIT, operand, NULL);
	if (!qdq_type_is_int8(p->codes))
		return refuse(why, QDQ_REASON_TYPE_INT32, operand, NULL);
	if (p->block != 0)
		return refuse(why, QDQ_REASON_BLOCKED, operand, NULL);
	if (!p->constant)
		return refuse(why, QDQ_REASON_SCALE_DYNAMIC, operand, NULL);
	return true;
}

bool qdq_one_zero(const qdq_params *p)
{
	qdq_extent zeros = qdq_params_zeros(p);

	return zeros.least == zeros.greatest;
}

bool qdq_centred(const qdq_params *p)
{
	qdq_extent zeros = qdq_params_zeros(p);

	return zeros.least == 0 && zeros.greatest == 0;
}

qdq_node *qdq_dequantized(const qdq_value *v, qdq_params *p)
{
	qdq_node *dq = qdq_def(v, QDQ_OP_DequantizeLinear);
	qdq_reason why;

	return dq != NULL && qdq_params_of(dq, p) && qdq_params_movable(p, &why) ? dq : NULL;
}

void qdq_float_reason(const qdq_value *v, qdq_reason *why)
{
	const qdq_node *n = qdq_value_inner(v)->def; /* what a fused operator computes comes from a node inside */

	*why = (qdq_reason){.code = QDQ_REASON_INPUT_FLOAT};
	if (n == NULL)
		return;
	if (qdq_is_fake_quantizer(n)) {
		if (qdq_fake_reads(n, why))
			why->code = QDQ_REASON_NOT_EXACT;
	} else if (n->op->id == QDQ_OP_NONE && n->function == NULL) {
		*why = (qdq_reason){.code = QDQ_REASON_UNKNOWN_OP, .detail = n->op_type};
	} else if (n->op->id == QDQ_OP_Cast && qdq_dequantizer(qdq_in(n, 0)) != NULL) {
		why->code = QDQ_REASON_CAST_BETWEEN;
	}
}

/* ---- constants: bounds and padding values ---- */

/* The code of a real value, if dequantizing it gives exactly the value back; per tensor, or zero points all alike. */
static bool exact_code(const qdq_params *p, double real, int64_t *code)
{
	double scale = qdq_params_scale(p, 0);
	int64_t zero = qdq_params_zero(p, 0);
	double q;

	if (!p->per_tensor) {
		for (uint64_t c = 1; c < p->count; c++)
			if (qdq_params_zero(p, c) != zero)
				return false;
		*code = zero;
		return real == 0 && !signbit(real) && p->positive; /* a scale < 0 gives -0 */
	}
	q = qdq_round_half_even((double)((float)real / (float)scale)) + (double)zero;
	if (!(q >= (double)qdq_type_min(p->codes) && q <= (double)qdq_type_max(p->codes)))
		return false;
	*code = (int64_t)q;
	return qdq_params_real(p, 0, *code) == real && signbit(scale * (double)(*code - zero)) == signbit(real) &&
	       qdq_params_gives(p, 0, real, *code);
}

/* A bound of Clip as a code: exact, or beyond the codes on its own side (then it never binds). */
static bool bound_code(const qdq_params *p, const qdq_value *bound, bool lower, int64_t *code)
{
	int64_t end = lower ? qdq_type_min(p->codes) : qdq_type_max(p->codes);
	double real, reach;

	*code = end;
	if (bound == NULL)
		return true;
	if (!p->per_tensor || !qdq_value_scalar(bound, &real) || isnan(real))
		return false;
	reach = qdq_params_real(p, 0, end);
	if (lower ? real <= reach : real >= reach)
		return qdq_params_gives(p, 0, real, end);
	return exact_code(p, real, code);
}

static bool clip_codes(const qdq_node *n, const qdq_params *p, int64_t *low, int64_t *high)
{
	return n->graph->model->opset >= 11 && bound_code(p, qdq_in(n, 1), true, low) &&
	       bound_code(p, qdq_in(n, 2), false, high);
}

/* Padding other than by a constant copies elements. */
static bool pad_code(const qdq_node *n, const qdq_params *p, int64_t *code)
{
	double real = 0;

	*code = 0;
	if (!qdq_attr_string_is(n, "mode", "constant", "constant"))
		return true;
	if (n->graph->model->opset < 11)
		real = (double)qdq_attr_float(n, "value", 0);
	else if (qdq_in(n, 2) != NULL && !qdq_value_scalar(qdq_in(n, 2), &real))
		return false;
	return exact_code(p, real, code);
}

static void set_code(qdq_node *n, uint32_t input, qdq_type type, int64_t code)
{
	qdq_model *m = n->graph->model;
	qdq_tensor *t = qdq_tensor_new(m, type, 0, NULL);
	qdq_name name = qdq_unique_name(&m->names, qdq_format(&m->arena, "%s_code%u", n->outputs[0]->name, input));

	*(uint8_t *)(void *)(uintptr_t)t->data = (uint8_t)code;
	if (input >= n->n_inputs)
		qdq_node_resize_inputs(n, input + 1);
	qdq_use_set(&n->inputs[input], qdq_graph_add_constant(n->graph, name, t));
}

void qdq_constants_to_codes(qdq_node *n, const qdq_params *p)
{
	int64_t low, high;

	if (n->op->id == QDQ_OP_Clip && clip_codes(n, p, &low, &high)) {
		set_code(n, 1, p->codes, low);
		set_code(n, 2, p->codes, high);
	} else if (n->op->id == QDQ_OP_Pad && pad_code(n, p, &low)) {
		if (low != 0)
			set_code(n, 2, p->codes, low);
		else if (n->n_inputs > 2) /* what it pads with where it is not told */
			qdq_use_set(&n->inputs[2], NULL);
	}
}

/* ---- axes ---- */

static bool same_dim(const qdq_value *a, int64_t i, const qdq_value *b, int64_t j)
{
	return a->shape != NULL && b->shape != NULL && i >= 0 && j >= 0 && i < a->shape->rank && j < b->shape->rank &&
	       a->shape->dim[i] == b->shape->dim[j];
}

/* Product of dimensions before axis; false where one is symbolic. */
static bool leading(const qdq_shape *s, int64_t axis, int64_t *product)
{
	*product = 1;
	for (int64_t i = 0; i < axis; i++)
		if (s->dim[i] < 0 || qdq_mul_overflow(*product, s->dim[i], product))
			return false;
	return true;
}

/* Leading dimensions that are equal one by one need not be known. */
static bool same_leading(const qdq_shape *a, int64_t i, const qdq_shape *b, int64_t j)
{
	int64_t p, q, skip = 0;

	while (skip < i && skip < j && a->dim[skip] == b->dim[skip])
		skip++;
	if (skip == i && skip == j)
		return true;
	return leading(a, i, &p) && leading(b, j, &q) && p == q;
}

/* Reshape and kin: an axis survives if its dimension and the number of elements before it do. */
static bool view_axis(const qdq_value *from, int64_t axis, const qdq_value *to, int64_t *out)
{
	if (from->shape == NULL || to->shape == NULL || axis < 0 || axis >= from->shape->rank)
		return false;
	for (int64_t j = 0; j < to->shape->rank; j++) {
		if (same_dim(from, axis, to, j) && same_leading(from->shape, axis, to->shape, j)) {
			*out = j;
			return true;
		}
	}
	return false;
}

static bool perm_axis(const qdq_node *n, int64_t axis, bool toward_output, int64_t *out)
{
	const qdq_value *x = qdq_in(n, 0);
	int64_t rank = x->shape != NULL ? x->shape->rank : -1;
	size_t count;
	const int64_t *perm = qdq_attr_ints(n, "perm", &count);

	if (perm == NULL && rank > 0) {
		*out = rank - 1 - axis;
		return *out >= 0 && *out < rank;
	}
	if (perm == NULL)
		return false;
	if (!toward_output) {
		*out = axis >= 0 && axis < (int64_t)count ? perm[axis] : -1;
		return *out >= 0;
	}
	for (size_t i = 0; i < count; i++) {
		if (perm[i] == axis) {
			*out = (int64_t)i;
			return true;
		}
	}
	return false;
}

/* ---- does an operator leave an axis as it is? ---- */

/* Element i of a constant list of integers; false where it is none, or shorter. */
static bool listed(const qdq_value *v, uint64_t i, int64_t *out)
{
	const qdq_tensor *t = qdq_value_constant(v);

	return t != NULL && i < t->count && qdq_tensor_int(t, i, out);
}

/* Where `axis` stands in a list of axes (an input); -1: nowhere, -2: that is not known. */
static int64_t position(const qdq_value *axes, int64_t axis, int64_t rank)
{
	const qdq_tensor *t = qdq_value_constant(axes);
	int64_t a;

	if (t == NULL)
		return -2;
	for (uint64_t i = 0; i < t->count; i++) {
		if (!listed(axes, i, &a))
			return -2;
		if (a == axis || a + rank == axis)
			return (int64_t)i;
	}
	return -1;
}

static bool slice_leaves(const qdq_node *n, int64_t axis, int64_t rank)
{
	const qdq_tensor *starts;
	size_t count;
	const int64_t *axes;

	if (n->graph->model->opset >= 10) {
		if (qdq_in(n, 3) != NULL)
			return position(qdq_in(n, 3), axis, rank) == -1;
		starts = qdq_value_constant(qdq_in(n, 1));
		return starts != NULL && axis >= (int64_t)starts->count;
	}
	axes = qdq_attr_ints(n, "axes", &count);
	if (axes == NULL) {
		qdq_attr_ints(n, "starts", &count);
		return axis >= (int64_t)count;
	}
	for (size_t i = 0; i < count; i++)
		if (axes[i] == axis || axes[i] + rank == axis)
			return false;
	return true;
}

static bool pad_leaves(const qdq_node *n, int64_t axis, int64_t rank)
{
	int64_t at = axis, count = rank, before, after;
	size_t given;
	const int64_t *pads;

	if (n->graph->model->opset < 11) {
		pads = qdq_attr_ints(n, "pads", &given);
		return pads != NULL && given == 2 * (size_t)rank && pads[axis] == 0 && pads[axis + rank] == 0;
	}
	if (qdq_in(n, 3) != NULL) {
		at = position(qdq_in(n, 3), axis, rank);
		if (at < 0)
			return at == -1;
		count = (int64_t)qdq_value_constant(qdq_in(n, 3))->count;
	}
	return listed(qdq_in(n, 1), (uint64_t)at, &before) && listed(qdq_in(n, 1), (uint64_t)(at + count), &after) &&
	       before == 0 && after == 0;
}

/* Equal lengths are not enough: elements may have been reversed, shifted, picked or compared along the axis. */
static bool leaves(const qdq_node *n, int64_t axis, int64_t rank)
{
	int64_t own;

	switch (n->op->id) {
	case QDQ_OP_Slice:
		return slice_leaves(n, axis, rank);
	case QDQ_OP_Pad:
		return pad_leaves(n, axis, rank);
	case QDQ_OP_ReverseSequence:
		own = qdq_attr_int(n, "time_axis", 0);
		break;
	case QDQ_OP_TopK:
		own = qdq_attr_int(n, "axis", -1);
		break;
	case QDQ_OP_Gather:
	case QDQ_OP_GatherElements:
	case QDQ_OP_Compress:
	case QDQ_OP_Concat:
	case QDQ_OP_Split:
	case QDQ_OP_ArgMax:
	case QDQ_OP_ArgMin:
		own = qdq_attr_int(n, "axis", 0);
		break;
	default:
		return true;
	}
	return own != axis && own + rank != axis;
}

/* Resize and Upsample along other axes only: the scale of this one is 1. */
static bool not_resized(const qdq_node *n, int64_t axis)
{
	const qdq_value *scales;
	const qdq_tensor *t;
	float scale;

	if (n->op->id != QDQ_OP_Resize && n->op->id != QDQ_OP_Upsample)
		return true;
	if (qdq_attr_find(n, "axes") != NULL || n->graph->model->opset < 9)
		return false; /* rare forms */
	scales = qdq_in(n, n->op->id == QDQ_OP_Resize && n->graph->model->opset >= 11 ? 2 : 1);
	t = scales != NULL ? qdq_value_constant(scales) : NULL;
	if (t == NULL || t->count == 0)
		return qdq_in(n, 3) != NULL; /* sizes: lengths are equal, so the scale is 1 */
	if (t->type != QDQ_TYPE_FLOAT || (uint64_t)axis >= t->count)
		return false;
	memcpy(&scale, (const char *)t->data + (size_t)axis * sizeof scale, sizeof scale);
	return scale == 1;
}

/* Elementwise, of several inputs perhaps: none may be broadcast into place. */
static bool same_place(const qdq_node *n, int64_t axis)
{
	const qdq_value *y = qdq_out(n, 0);

	if (n->n_inputs == 1 || n->op->id != QDQ_OP_Where)
		return true;
	for (uint32_t i = 0; i < n->n_inputs; i++) {
		const qdq_value *x = qdq_op_data_input(n, i) ? qdq_in(n, i) : NULL;

		if (x != NULL && (!same_dim(x, axis, y, axis) || x->shape->rank != y->shape->rank))
			return false;
	}
	return true;
}

/* The axis on the other side of n. */
static bool map_axis(const qdq_node *n, int64_t axis, bool toward_output, int64_t *out)
{
	const qdq_value *x = NULL;
	const qdq_value *y = qdq_out(n, 0);
	const qdq_value *from, *to;

	for (uint32_t i = 0; i < n->n_inputs && x == NULL; i++)
		x = qdq_op_data_input(n, i) ? qdq_in(n, i) : NULL;
	if (x == NULL || y == NULL)
		return false;
	from = toward_output ? x : y;
	to = toward_output ? y : x;
	*out = axis;
	switch (n->op->axis) {
	case QDQ_AXIS_SAME:
		return same_place(n, axis);
	case QDQ_AXIS_PERM:
		return perm_axis(n, axis, toward_output, out);
	case QDQ_AXIS_VIEW:
		return view_axis(from, axis, to, out);
	case QDQ_AXIS_CHANNEL:
		return (axis == 0 || axis == 1) && same_dim(x, axis, y, axis) && not_resized(n, axis);
	case QDQ_AXIS_UNTOUCHED:
		if (x->shape == NULL || !leaves(n, axis, x->shape->rank))
			return false;
		return same_dim(x, axis, y, axis) && x->shape->rank == y->shape->rank;
	default:
		return false;
	}
}

/* ---- operators ---- */

bool qdq_takes_nearest(const qdq_node *n, qdq_reason *why)
{
	qdq_bytes mode = qdq_attr_string(n, "mode", "nearest");

	if (!qdq_op_interpolates(n))
		return true;
	return refuse(why, QDQ_REASON_RESIZE_MODE, NULL, qdq_copy(&n->graph->model->arena, mode.data, mode.size));
}

/* Does Dropout only hand its input on? */
bool qdq_passes_through(const qdq_node *n)
{
	const qdq_value *mask = qdq_out(n, 1);
	const qdq_value *training = qdq_in(n, 2);
	const qdq_tensor *t;

	if (n->op->id == QDQ_OP_Identity)
		return true;
	if (mask != NULL && !qdq_value_unread(mask))
		return false;
	if (training == NULL)
		return n->graph->model->opset >= 7 || qdq_attr_int(n, "is_test", 0) != 0;
	t = qdq_value_constant(training);
	return t != NULL && t->type == QDQ_TYPE_BOOL && t->size == 1 && *(const uint8_t *)t->data == 0;
}

static bool constants_pass(const qdq_node *n, const qdq_params *p, qdq_reason *why)
{
	int64_t low, high;

	switch (n->op->id) {
	case QDQ_OP_Resize:
	case QDQ_OP_Upsample:
		return qdq_takes_nearest(n, why);
	case QDQ_OP_Clip:
		return clip_codes(n, p, &low, &high) ||
		       refuse(why, QDQ_REASON_BOUND_VALUE, n->outputs[0]->name, "of Clip");
	case QDQ_OP_Dropout:
		return qdq_passes_through(n);
	case QDQ_OP_CenterCropPad: /* fills with 0, which must be the code 0 */
		return (exact_code(p, 0, &low) && low == 0) ||
		       refuse(why, QDQ_REASON_PAD_VALUE, n->outputs[0]->name, NULL);
	case QDQ_OP_Pad:
		return pad_code(n, p, &low) || refuse(why, QDQ_REASON_PAD_VALUE, n->outputs[0]->name, NULL);
	default:
		return true;
	}
}

/* Indices that an operator gives beside the values: quantizing first may make ties that were none. */
static bool index_is_read(const qdq_node *n)
{
	const qdq_value *indices = qdq_out(n, 1);

	return n->op->cls == QDQ_CLASS_MONO && indices != NULL && !qdq_value_unread(indices);
}

/* Does DQ tell all codes apart, in their order? Not where it overflows, or rounds to few bits. */
static bool is_strict(const qdq_params *p)
{
	for (uint64_t c = 0; c < p->count; c++) {
		double previous = -INFINITY;

		for (int64_t q = qdq_type_min(p->codes); q <= qdq_type_max(p->codes); q++) {
			double x = qdq_params_real(p, c, q);

			if (!(x > previous) || isinf(x))
				return false;
			previous = x;
		}
	}
	return true;
}

static bool gives_indices(const qdq_node *n)
{
	return index_is_read(n) || n->outputs[0]->type == QDQ_TYPE_INT64;
}

bool qdq_passes_operator(const qdq_node *n, const qdq_params *p, bool toward_output, qdq_params *out, qdq_reason *why)
{
	*why = (qdq_reason){0};
	if (!qdq_is_move(n) || qdq_out(n, 0) == NULL)
		return false;
	if (qdq_kept_float(n))
		return refuse(why, QDQ_REASON_KEPT_FLOAT, n->outputs[0]->name, qdq_type_text(n->wanted));
	if (!qdq_params_movable(p, why))
		return false;
	if (n->op->cls == QDQ_CLASS_MONO && !p->positive)
		return refuse(why, QDQ_REASON_SCALE_SIGN, p->scale->name, NULL);
	if (!toward_output && index_is_read(n))
		return refuse(why, QDQ_REASON_SEVERAL_READERS, qdq_out(n, 1)->name, "the output of indices");
	if (toward_output && n->op->cls == QDQ_CLASS_MONO && gives_indices(n) && !is_strict(p))
		return refuse(why, QDQ_REASON_ROUND_TRIP, p->scale->name, NULL);
	if (!constants_pass(n, p, why))
		return false;
	*out = *p;
	if (!p->per_tensor && (qdq_in(n, 0) == NULL || qdq_in(n, 0)->shape == NULL || qdq_out(n, 0)->shape == NULL))
		return refuse(why, QDQ_REASON_SHAPE_UNKNOWN, p->scale->name, NULL);
	if (!p->per_tensor && !map_axis(n, p->axis, toward_output, &out->axis))
		return refuse(why, QDQ_REASON_AXIS_LOST, p->scale->name, n->op->name);
	return true;
}

bool qdq_runs_on_codes(const qdq_node *n, const qdq_params *p)
{
	if (!qdq_op_takes_codes(n->op, n->graph->model->opset, p->codes))
		return false;
	return n->op->id != QDQ_OP_Relu || qdq_centred(p);
}

bool qdq_slow_pool(const qdq_run *r, const qdq_node *n, const qdq_params *p)
{
	return r->options->target == QDQ_TARGET_ORT_CPU && n->op->family == QDQ_FAMILY_POOL &&
	       p->real != QDQ_TYPE_FLOAT;
}

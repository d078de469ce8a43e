/* SPDX-License-Identifier: Apache-2.0
 *
 * infer_elementwise.c -- inference of what works element by element, broadcasts or reduces
 */
#include "infer.h"

static bool has_contents(const qdq_node *n)
{
	const qdq_value *v = qdq_in(n, n->op->id == QDQ_OP_Where ? 1 : 0);

	return v != NULL && (v->type == QDQ_TYPE_INT64 || v->type == QDQ_TYPE_INT32 || v->type == QDQ_TYPE_BOOL) &&
	       (v->shape == NULL || v->shape->rank <= 1);
}

void qdq_infer_same(qdq_infer *c, qdq_node *n)
{
	qdq_infer_put_shape(c, n, 0, qdq_infer_type(n, 0), qdq_infer_shape(n, 0));
	if (!has_contents(n))
		return;
	if (n->op->id == QDQ_OP_Identity)
		qdq_infer_contents_same(c, n);
	else if (n->op->cls == QDQ_CLASS_POINTWISE)
		qdq_infer_contents_elementwise(c, n);
}

void qdq_infer_same_bool(qdq_infer *c, qdq_node *n)
{
	qdq_infer_put_shape(c, n, 0, QDQ_TYPE_BOOL, qdq_infer_shape(n, 0));
	if (n->op->id == QDQ_OP_Not)
		qdq_infer_contents_elementwise(c, n);
}

/* ---- broadcasting ---- */

static void broadcast(qdq_infer *c, qdq_node *n, qdq_type type)
{
	qdq_dims out = {0}, in;
	bool same = true;

	for (uint32_t i = 1; i < n->n_inputs; i++)
		same = same && qdq_infer_shape(n, i) == qdq_infer_shape(n, 0);
	/* before opset 7 the second input was stretched to the first, and a slope is so for ever */
	if (same || n->op->id == QDQ_OP_PRelu || c->opset < 7) {
		qdq_infer_put_shape(c, n, 0, type, qdq_infer_shape(n, 0));
	} else {
		for (uint32_t i = 0; i < n->n_inputs && out.rank >= 0; i++) {
			qdq_infer_dims(n, i, &in);
			qdq_infer_broadcast_into(&out, &in);
		}
		qdq_infer_put(c, n, 0, type, &out);
	}
	if (has_contents(n))
		qdq_infer_contents_elementwise(c, n);
}

void qdq_infer_broadcast(qdq_infer *c, qdq_node *n)
{
	qdq_type type = qdq_infer_type(n, 0);

	if (type == QDQ_TYPE_NONE && n->op->id != QDQ_OP_Pow)
		type = qdq_infer_type(n, 1);
	broadcast(c, n, type);
}

void qdq_infer_broadcast_bool(qdq_infer *c, qdq_node *n)
{
	broadcast(c, n, QDQ_TYPE_BOOL);
}

void qdq_infer_where(qdq_infer *c, qdq_node *n)
{
	qdq_type type = qdq_infer_type(n, 1);

	broadcast(c, n, type != QDQ_TYPE_NONE ? type : qdq_infer_type(n, 2));
}

/* ---- types that change ---- */

void qdq_infer_cast(qdq_infer *c, qdq_node *n)
{
	const qdq_attr *to = qdq_attr_find(n, "to");
	qdq_type type = QDQ_TYPE_NONE;

	if (to != NULL && to->type == QDQ_ATTR_INT && to->u.i > 0 && to->u.i <= QDQ_TYPE_INT2)
		type = (qdq_type)to->u.i;
	qdq_infer_put_shape(c, n, 0, type, qdq_infer_shape(n, 0));
	if (has_contents(n) && (type == QDQ_TYPE_INT64 || type == QDQ_TYPE_INT32))
		qdq_infer_contents_same(c, n);
}

void qdq_infer_bit_cast(qdq_infer *c, qdq_node *n)
{
	int64_t to = qdq_attr_int(n, "to", 0);

	qdq_infer_put_shape(c, n, 0, to > 0 && to <= QDQ_TYPE_INT2 ? (qdq_type)to : QDQ_TYPE_NONE,
			    qdq_infer_shape(n, 0));
}

void qdq_infer_cast_like(qdq_infer *c, qdq_node *n)
{
	qdq_type type = qdq_infer_type(n, 1);

	qdq_infer_put_shape(c, n, 0, type, qdq_infer_shape(n, 0));
	if (has_contents(n) && (type == QDQ_TYPE_INT64 || type == QDQ_TYPE_INT32))
		qdq_infer_contents_same(c, n);
}

static qdq_type type_attr(const qdq_node *n, const char *name)
{
	int64_t type = qdq_attr_int(n, name, 0);

	return type > 0 && type <= QDQ_TYPE_INT2 ? (qdq_type)type : QDQ_TYPE_NONE;
}

void qdq_infer_quantize(qdq_infer *c, qdq_node *n)
{
	qdq_type type = type_attr(n, "output_dtype");

	if (qdq_in(n, 2) != NULL)
		type = qdq_infer_type(n, 2);
	else if (type == QDQ_TYPE_NONE)
		type = QDQ_TYPE_UINT8;
	qdq_infer_put_shape(c, n, 0, type, qdq_infer_shape(n, 0));
}

void qdq_infer_dequantize(qdq_infer *c, qdq_node *n)
{
	qdq_type type = type_attr(n, "output_dtype");

	qdq_infer_put_shape(c, n, 0, type != QDQ_TYPE_NONE ? type : qdq_infer_type(n, 1), qdq_infer_shape(n, 0));
}

void qdq_infer_dynamic_quantize(qdq_infer *c, qdq_node *n)
{
	qdq_dims scalar = {0};

	qdq_infer_put_shape(c, n, 0, QDQ_TYPE_UINT8, qdq_infer_shape(n, 0));
	qdq_infer_put(c, n, 1, QDQ_TYPE_FLOAT, &scalar);
	qdq_infer_put(c, n, 2, QDQ_TYPE_UINT8, &scalar);
}

/* ---- operators on codes ---- */

static void broadcast_two(qdq_infer *c, qdq_node *n, qdq_type type, const uint32_t *inputs, size_t count)
{
	qdq_dims out = {0}, in;

	for (size_t i = 0; i < count && out.rank >= 0; i++) {
		qdq_infer_dims(n, inputs[i], &in);
		qdq_infer_broadcast_into(&out, &in);
	}
	qdq_infer_put(c, n, 0, type, &out);
}

void qdq_infer_qlinear_binary(qdq_infer *c, qdq_node *n)
{
	static const uint32_t inputs[] = {0, 3};

	broadcast_two(c, n, qdq_infer_type(n, 0), inputs, 2);
}

void qdq_infer_qlinear_where(qdq_infer *c, qdq_node *n)
{
	static const uint32_t inputs[] = {0, 1, 4};

	broadcast_two(c, n, qdq_infer_type(n, 1), inputs, 3);
}

/* ---- normalizations ---- */

void qdq_infer_batch_norm(qdq_infer *c, qdq_node *n)
{
	qdq_infer_put_shape(c, n, 0, qdq_infer_type(n, 0), qdq_infer_shape(n, 0));
	for (uint32_t i = 1; i < n->n_outputs; i++)
		qdq_infer_put_shape(c, n, i, qdq_infer_type(n, i % 2 == 1 ? 3 : 4),
				    qdq_infer_shape(n, i % 2 == 1 ? 3 : 4));
}

void qdq_infer_dropout(qdq_infer *c, qdq_node *n)
{
	qdq_type type = qdq_infer_type(n, 0);

	qdq_infer_put_shape(c, n, 0, type, qdq_infer_shape(n, 0));
	qdq_infer_put_shape(c, n, 1, c->opset < 10 ? type : QDQ_TYPE_BOOL, qdq_infer_shape(n, 0));
}

void qdq_infer_layer_norm(qdq_infer *c, qdq_node *n)
{
	int64_t stash = qdq_attr_int(n, "stash_type", 1);
	qdq_dims dims;
	int axis;

	qdq_infer_put_shape(c, n, 0, qdq_infer_type(n, 0), qdq_infer_shape(n, 0));
	if (n->n_outputs < 2)
		return;
	if (qdq_infer_dims(n, 0, &dims) && qdq_infer_axis(qdq_attr_int(n, "axis", -1), dims.rank, &axis)) {
		for (int i = axis; i < dims.rank; i++)
			dims.d[i] = 1;
	} else {
		dims.rank = -1;
	}
	for (uint32_t i = 1; i < 3; i++)
		qdq_infer_put(c, n, i, stash > 0 && stash <= QDQ_TYPE_INT2 ? (qdq_type)stash : QDQ_TYPE_NONE, &dims);
}

/* Its type is that of the scale. */
void qdq_infer_rms_norm(qdq_infer *c, qdq_node *n)
{
	qdq_infer_put_shape(c, n, 0, qdq_infer_type(n, 1), qdq_infer_shape(n, 0));
}

void qdq_infer_skip_layer_norm(qdq_infer *c, qdq_node *n)
{
	qdq_dims dims;

	qdq_infer_put_shape(c, n, 0, qdq_infer_type(n, 0), qdq_infer_shape(n, 0));
	qdq_infer_put_shape(c, n, 3, qdq_infer_type(n, 0), qdq_infer_shape(n, 0));
	if (n->n_outputs < 2)
		return;
	if (qdq_infer_dims(n, 0, &dims) && dims.rank > 0)
		dims.d[dims.rank - 1] = 1;
	qdq_infer_put(c, n, 1, QDQ_TYPE_FLOAT, &dims);
	qdq_infer_put(c, n, 2, QDQ_TYPE_FLOAT, &dims);
}

/* ---- reductions ---- */

/* Drops the axes of `mask`, or makes them 1. */
static void reduce_dims(qdq_dims *dims, uint32_t mask, bool keep)
{
	int rank = 0;

	for (int i = 0; i < dims->rank; i++) {
		bool reduced = (mask >> i & 1) != 0;

		if (!reduced || keep)
			dims->d[rank++] = reduced ? 1 : dims->d[i];
	}
	dims->rank = rank;
}

/* How many axes there are is often known where they are not. */
static void reduce_unknown_axes(const qdq_node *n, qdq_dims *dims, bool keep)
{
	const qdq_shape *axes = qdq_infer_shape(n, 1);

	if (!keep && (axes == NULL || axes->rank != 1 || axes->dim[0] < 0 || axes->dim[0] > dims->rank)) {
		dims->rank = -1;
		return;
	}
	if (!keep)
		dims->rank -= (int)axes->dim[0];
	for (int i = 0; i < dims->rank; i++)
		dims->d[i] = QDQ_DIM_ANY;
}

void qdq_infer_reduce(qdq_infer *c, qdq_node *n)
{
	uint32_t axes_input = n->op->id == QDQ_OP_ms_QLinearReduceMean ? UINT32_MAX : 1;
	bool keep = qdq_attr_int(n, "keepdims", 1) != 0, all;
	qdq_type type = qdq_infer_type(n, 0);
	qdq_dims dims;
	uint32_t mask;
	qdq_known known;

	qdq_infer_dims(n, 0, &dims);
	known = qdq_infer_axes(c, n, axes_input, "axes", dims.rank, &mask);
	all = known == QDQ_ABSENT || (known == QDQ_KNOWN && mask == 0);
	if (all && qdq_attr_int(n, "noop_with_empty_axes", 0) != 0) {
		qdq_infer_put_shape(c, n, 0, type, qdq_infer_shape(n, 0));
		return;
	}
	if (all && !keep)
		dims.rank = 0;
	else if (dims.rank >= 0 && (all || known == QDQ_KNOWN))
		reduce_dims(&dims, all ? UINT32_MAX : mask, keep);
	else if (dims.rank >= 0)
		reduce_unknown_axes(n, &dims, keep);
	qdq_infer_put(c, n, 0, type, &dims);
	if (has_contents(n) && qdq_out(n, 0) != NULL)
		qdq_infer_contents_reduce(c, n);
}

void qdq_infer_arg_reduce(qdq_infer *c, qdq_node *n)
{
	qdq_dims dims;
	int axis;

	if (qdq_infer_dims(n, 0, &dims) && qdq_infer_axis(qdq_attr_int(n, "axis", 0), dims.rank, &axis))
		reduce_dims(&dims, UINT32_C(1) << axis, qdq_attr_int(n, "keepdims", 1) != 0);
	else
		dims.rank = -1;
	qdq_infer_put(c, n, 0, QDQ_TYPE_INT64, &dims);
}

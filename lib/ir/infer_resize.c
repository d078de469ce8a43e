/* SPDX-License-Identifier: Apache-2.0
 *
 * infer_resize.c -- inference of what changes sizes: Pad, Resize and kin, depth to space, crops
 */
#include <math.h>

#include "infer.h"

/* ---- Pad ---- */

void qdq_infer_pad(qdq_infer *c, qdq_node *n)
{
	const char *name = qdq_attr_find(n, "paddings") != NULL ? "paddings" : "pads";
	qdq_dims dims, pads;
	qdq_ints ints, axes;
	qdq_known known = qdq_infer_ints(c, n, 3, NULL, &axes);
	int count, axis;

	if (qdq_in(n, 1) == NULL && qdq_infer_ints(c, n, 1, name, &ints) == QDQ_KNOWN) {
		pads.rank = ints.count;
		for (int i = 0; i < ints.count; i++)
			pads.d[i] = qdq_infer_add(c, 0, ints.at[i] == INT64_MIN ? -INT64_MAX : ints.at[i]);
	} else {
		qdq_infer_copy(qdq_infer_contents(c, qdq_in(n, 1)), &pads);
	}
	qdq_infer_dims(n, 0, &dims);
	count = known == QDQ_KNOWN ? axes.count : dims.rank;
	if (dims.rank < 0 || pads.rank != 2 * count || known == QDQ_UNKNOWN) {
		for (int i = 0; i < dims.rank; i++)
			dims.d[i] = QDQ_DIM_ANY;
		qdq_infer_put(c, n, 0, qdq_infer_type(n, 0), &dims);
		return;
	}
	for (int i = 0; i < count; i++) {
		if (!qdq_infer_axis(known == QDQ_KNOWN ? axes.at[i] : i, dims.rank, &axis))
			return;
		dims.d[axis] = qdq_infer_binary(c, QDQ_DIM_ADD, dims.d[axis], pads.d[i]);
		dims.d[axis] = qdq_infer_size(c, qdq_infer_binary(c, QDQ_DIM_ADD, dims.d[axis], pads.d[i + count]));
	}
	qdq_infer_put(c, n, 0, qdq_infer_type(n, 0), &dims);
}

/* ---- Resize ---- */

/* Constant reals of input i or of an attribute; how many there are, or -1. */
static int reals(const qdq_node *n, uint32_t i, const char *name, double *out)
{
	const qdq_attr *a = NULL;
	const qdq_value *v = qdq_in(n, i);
	const qdq_tensor *t = qdq_infer_tensor(v);

	if (v != NULL && qdq_def(v, QDQ_OP_Constant) != NULL)
		a = qdq_attr_find(v->def, "value_floats");
	else if (v == NULL && name != NULL)
		a = qdq_attr_find(n, name);
	if (a != NULL && a->type == QDQ_ATTR_FLOATS && a->count <= QDQ_INFER_RANK) {
		for (size_t k = 0; k < a->count; k++)
			out[k] = (double)a->u.floats[k];
		return (int)a->count;
	}
	if (t == NULL || t->count > QDQ_INFER_RANK)
		return -1;
	for (uint64_t k = 0; k < t->count; k++)
		if (!qdq_tensor_real(t, k, &out[k]))
			return -1;
	return (int)t->count;
}

static qdq_dim scaled(qdq_infer *c, qdq_dim d, double scale)
{
	double inverse = 1 / scale;

	if (d == QDQ_DIM_ANY || !(scale > 0 && scale < 1e9))
		return QDQ_DIM_ANY;
	if (d >= 0) /* runtimes multiply in float */
		return (double)d * scale < 9e15 ? (qdq_dim)floorf((float)d * (float)scale) : QDQ_DIM_ANY;
	if (scale == floor(scale))
		return qdq_infer_mul(c, d, (qdq_dim)scale);
	return inverse == floor(inverse) ? qdq_infer_div(c, d, (qdq_dim)inverse) : QDQ_DIM_ANY;
}

/* One scale for all axes, so that the sizes asked for are not passed (or not missed). */
static void keep_aspect(qdq_infer *c, const qdq_node *n, qdq_dims *dims, const int *axis, const qdq_dims *sizes)
{
	bool larger = qdq_attr_string_is(n, "keep_aspect_ratio_policy", "stretch", "not_smaller");
	double scale = larger ? 0 : INFINITY;
	bool known = true;
	int64_t size;

	for (int i = 0; i < sizes->rank; i++) {
		qdq_dim d = dims->d[axis[i]];

		known = known && d > 0 && sizes->d[i] != QDQ_DIM_ANY && qdq_dim_value(c->m, sizes->d[i], &size);
		if (known)
			scale = larger ? fmax(scale, (double)size / (double)d) : fmin(scale, (double)size / (double)d);
	}
	for (int i = 0; i < sizes->rank; i++) {
		qdq_dim *d = &dims->d[axis[i]];

		*d = known && (double)*d * scale < 9e15 ? (qdq_dim)floor((double)*d * scale + 0.5) : QDQ_DIM_ANY;
	}
}

void qdq_infer_resize(qdq_infer *c, qdq_node *n)
{
	uint32_t scales_input = c->opset < 11 ? 1 : 2;
	qdq_dims dims, sizes;
	qdq_ints axes;
	double scales[QDQ_INFER_RANK];
	int count = -1, axis[QDQ_INFER_RANK];
	bool with_sizes = c->opset >= 11 && qdq_in(n, 3) != NULL;

	if (!qdq_infer_dims(n, 0, &dims)) {
		qdq_infer_put(c, n, 0, qdq_infer_type(n, 0), NULL);
		return;
	}
	if (with_sizes && qdq_infer_copy(qdq_infer_contents(c, n->inputs[3].value), &sizes))
		count = sizes.rank;
	else if (!with_sizes)
		count = reals(n, scales_input, NULL, scales);
	if (qdq_infer_ints(c, n, UINT32_MAX, "axes", &axes) != QDQ_KNOWN) {
		axes.count = dims.rank;
		for (int i = 0; i < dims.rank; i++)
			axes.at[i] = i;
	}
	for (int i = 0; i < axes.count; i++) {
		if (!qdq_infer_axis(axes.at[i], dims.rank, &axis[i]))
			return;
		if (count != axes.count)
			dims.d[axis[i]] = QDQ_DIM_ANY;
		else if (!with_sizes)
			dims.d[axis[i]] = scaled(c, dims.d[axis[i]], scales[i]);
	}
	if (with_sizes && count == axes.count) {
		bool keep = !qdq_attr_string_is(n, "keep_aspect_ratio_policy", "stretch", "stretch");

		for (int i = 0; i < count && !keep; i++)
			dims.d[axis[i]] = qdq_infer_size(c, sizes.d[i]);
		if (keep)
			keep_aspect(c, n, &dims, axis, &sizes);
	}
	qdq_infer_put(c, n, 0, qdq_infer_type(n, 0), &dims);
}

void qdq_infer_upsample(qdq_infer *c, qdq_node *n)
{
	double scales[QDQ_INFER_RANK] = {1, 1};
	int count;
	qdq_dims dims;

	qdq_infer_dims(n, 0, &dims);
	if (c->opset < 7) {
		scales[2] = (double)qdq_attr_float(n, "height_scale", 0);
		scales[3] = (double)qdq_attr_float(n, "width_scale", 0);
		count = 4;
	} else {
		count = reals(n, 1, "scales", scales);
	}
	for (int i = 0; i < dims.rank; i++)
		dims.d[i] = count == dims.rank ? scaled(c, dims.d[i], scales[i]) : QDQ_DIM_ANY;
	qdq_infer_put(c, n, 0, qdq_infer_type(n, 0), &dims);
}

/* ---- blocks ---- */

void qdq_infer_depth_to_space(qdq_infer *c, qdq_node *n)
{
	int64_t block = qdq_attr_int(n, "blocksize", 0);
	qdq_dims dims;

	if (qdq_infer_dims(n, 0, &dims) && dims.rank == 4 && block > 0 && block < INT32_MAX) {
		dims.d[1] = qdq_infer_div(c, dims.d[1], block * block);
		dims.d[2] = qdq_infer_mul(c, dims.d[2], block);
		dims.d[3] = qdq_infer_mul(c, dims.d[3], block);
	} else {
		dims.rank = -1;
	}
	qdq_infer_put(c, n, 0, qdq_infer_type(n, 0), &dims);
}

void qdq_infer_space_to_depth(qdq_infer *c, qdq_node *n)
{
	int64_t block = qdq_attr_int(n, "blocksize", 0);
	qdq_dims dims;

	if (qdq_infer_dims(n, 0, &dims) && dims.rank == 4 && block > 0 && block < INT32_MAX) {
		dims.d[1] = qdq_infer_mul(c, dims.d[1], block * block);
		dims.d[2] = qdq_infer_div(c, dims.d[2], block);
		dims.d[3] = qdq_infer_div(c, dims.d[3], block);
	} else {
		dims.rank = -1;
	}
	qdq_infer_put(c, n, 0, qdq_infer_type(n, 0), &dims);
}

void qdq_infer_center_crop_pad(qdq_infer *c, qdq_node *n)
{
	qdq_dims dims, shape;
	qdq_ints axes;
	bool with_axes = qdq_infer_ints(c, n, UINT32_MAX, "axes", &axes) == QDQ_KNOWN;
	int axis, count;

	qdq_infer_dims(n, 0, &dims);
	qdq_infer_copy(qdq_infer_contents(c, qdq_in(n, 1)), &shape);
	count = with_axes ? axes.count : dims.rank;
	for (int i = 0; dims.rank >= 0 && i < count; i++) {
		if (!qdq_infer_axis(with_axes ? axes.at[i] : i, dims.rank, &axis))
			return;
		dims.d[axis] = shape.rank == count ? qdq_infer_size(c, shape.d[i]) : QDQ_DIM_ANY;
	}
	qdq_infer_put(c, n, 0, qdq_infer_type(n, 0), &dims);
}

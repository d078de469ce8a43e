/* SPDX-License-Identifier: Apache-2.0
 *
 * infer_window.c -- inference of what slides a window: convolutions and pools
 */
#include "infer.h"

/* What the attributes say of the spatial dimensions. */
typedef struct window {
	int rank; /* spatial dimensions */
	qdq_dim kernel[QDQ_INFER_RANK];
	int64_t stride[QDQ_INFER_RANK], dilation[QDQ_INFER_RANK];
	int64_t before[QDQ_INFER_RANK], after[QDQ_INFER_RANK];
	bool same; /* auto_pad SAME_UPPER or SAME_LOWER */
	bool ceil;
} window;

/* A list of `rank` positive numbers, all `absent` where the attribute is not given. */
static bool read_list(const qdq_node *n, const char *name, int rank, int64_t absent, int64_t *out)
{
	size_t count;
	const int64_t *ints = qdq_attr_ints(n, name, &count);

	if (ints != NULL && count != (size_t)rank)
		return false;
	for (int i = 0; i < rank; i++) {
		out[i] = ints != NULL ? ints[i] : absent;
		if (out[i] < absent || out[i] > INT32_MAX)
			return false;
	}
	return true;
}

/* `weights` (may be NULL) gives the kernel where the attribute does not. */
static bool read_window(const qdq_node *n, int rank, const qdq_shape *weights, window *w)
{
	size_t count, n_pads;
	const int64_t *kernel = qdq_attr_ints(n, "kernel_shape", &count), *pads = qdq_attr_ints(n, "pads", &n_pads);

	*w = (window){.rank = rank};
	if (rank < 0 || !read_list(n, "strides", rank, 1, w->stride) ||
	    !read_list(n, "dilations", rank, 1, w->dilation) || (kernel != NULL && count != (size_t)rank) ||
	    (pads != NULL && n_pads != 2 * (size_t)rank) ||
	    (kernel == NULL && weights != NULL && weights->rank != rank + 2))
		return false;
	w->same =
	    qdq_attr_string_is(n, "auto_pad", "", "SAME_UPPER") || qdq_attr_string_is(n, "auto_pad", "", "SAME_LOWER");
	if (qdq_attr_string_is(n, "auto_pad", "", "VALID"))
		pads = NULL;
	w->ceil = qdq_attr_int(n, "ceil_mode", 0) != 0;
	for (int i = 0; i < rank; i++) {
		w->kernel[i] = kernel != NULL ? kernel[i] : weights != NULL ? weights->dim[i + 2] : QDQ_DIM_ANY;
		if (kernel != NULL && (kernel[i] < 1 || kernel[i] > INT32_MAX))
			return false;
		w->before[i] = pads != NULL ? pads[i] : 0;
		w->after[i] = pads != NULL ? pads[rank + i] : 0;
		if (w->before[i] < -INT32_MAX || w->before[i] > INT32_MAX || w->after[i] < -INT32_MAX ||
		    w->after[i] > INT32_MAX)
			return false;
	}
	return true;
}

/* (kernel - 1) * dilation + 1 */
static qdq_dim extent(qdq_infer *c, const window *w, int i)
{
	return qdq_infer_add(c, qdq_infer_mul(c, qdq_infer_add(c, w->kernel[i], -1), w->dilation[i]), 1);
}

static qdq_dim slide(qdq_infer *c, const window *w, int i, qdq_dim length)
{
	int64_t stride = w->stride[i], known;
	qdq_dim span, out;

	if (stride == 1 && w->kernel[i] >= 0 &&
	    (w->same || w->before[i] + w->after[i] == (w->kernel[i] - 1) * w->dilation[i]))
		return length;
	if (w->same)
		return qdq_infer_div(c, qdq_infer_add(c, length, stride - 1), stride);
	/* all that is known in one number first: expressions are dear */
	if (w->kernel[i] >= 0)
		span = qdq_infer_add(c, length, w->before[i] + w->after[i] - (w->kernel[i] - 1) * w->dilation[i] - 1);
	else
		span = qdq_infer_binary(c, QDQ_DIM_SUB, qdq_infer_add(c, length, w->before[i] + w->after[i]),
					extent(c, w, i));
	if (span == QDQ_DIM_ANY || (qdq_dim_value(c->m, span, &known) && known < 0))
		return QDQ_DIM_ANY;
	out = qdq_infer_div(c, qdq_infer_add(c, span, w->ceil ? 2 * stride - 1 : stride), stride);
	/* a window that would start in the padding behind the end is left out */
	if (w->ceil && length >= 0 && out > 1 && (out - 1) * stride >= length + w->before[i])
		out--;
	return out;
}

static void put_window(qdq_infer *c, qdq_node *n, qdq_type type, const qdq_dims *in, qdq_dim channels, const window *w)
{
	qdq_dims out = {.rank = in->rank};

	out.d[0] = in->d[0];
	out.d[1] = channels;
	for (int i = 0; i < w->rank; i++)
		out.d[i + 2] = slide(c, w, i, in->d[i + 2]);
	qdq_infer_put(c, n, 0, type, &out);
}

/* ---- convolutions ---- */

static qdq_type conv_type(const qdq_node *n)
{
	switch (n->op->id) {
	case QDQ_OP_ConvInteger:
		return QDQ_TYPE_INT32;
	case QDQ_OP_QLinearConv:
	case QDQ_OP_ms_QLinearConv:
		return qdq_infer_type(n, 7) != QDQ_TYPE_NONE ? qdq_infer_type(n, 7) : qdq_infer_type(n, 0);
	default:
		return qdq_infer_type(n, 0) != QDQ_TYPE_NONE ? qdq_infer_type(n, 0) : qdq_infer_type(n, 1);
	}
}

void qdq_infer_conv(qdq_infer *c, qdq_node *n)
{
	bool linear = n->op->id == QDQ_OP_QLinearConv || n->op->id == QDQ_OP_ms_QLinearConv;
	const qdq_shape *weights = qdq_infer_shape(n, linear ? 3 : 1);
	bool last = qdq_attr_int(n, "channels_last", 0) != 0;
	qdq_dims in, channels_last;
	window w;

	if (!qdq_infer_dims(n, 0, &in) || in.rank < 2 || (weights != NULL && weights->rank != in.rank) ||
	    !read_window(n, in.rank - 2, weights, &w)) {
		qdq_infer_put(c, n, 0, conv_type(n), NULL);
		return;
	}
	if (!last) {
		put_window(c, n, conv_type(n), &in, weights != NULL ? weights->dim[0] : QDQ_DIM_ANY, &w);
		return;
	}
	channels_last = in;
	for (int i = 0; i < w.rank; i++)
		channels_last.d[i + 1] = slide(c, &w, i, in.d[i + 1]);
	channels_last.d[in.rank - 1] = weights != NULL ? weights->dim[0] : QDQ_DIM_ANY;
	qdq_infer_put(c, n, 0, conv_type(n), &channels_last);
}

/* The state is what the next call has to see of this one: the last kernel - 1 steps. */
void qdq_infer_causal_conv(qdq_infer *c, qdq_node *n)
{
	const qdq_shape *weights = qdq_infer_shape(n, 1);
	qdq_dims dims;

	qdq_infer_put_shape(c, n, 0, qdq_infer_type(n, 0), qdq_infer_shape(n, 0));
	if (qdq_infer_dims(n, 0, &dims) && dims.rank == 3)
		dims.d[2] = weights != NULL && weights->rank == 3 ? qdq_infer_add(c, weights->dim[2], -1) : QDQ_DIM_ANY;
	else
		dims.rank = -1;
	qdq_infer_put(c, n, 1, qdq_infer_type(n, 0), &dims);
}

void qdq_infer_deform_conv(qdq_infer *c, qdq_node *n)
{
	qdq_infer_conv(c, n);
}

/* stride * (in - 1) + output_padding + extent - pads */
static qdq_dim spread(qdq_infer *c, const window *w, int i, qdq_dim length, int64_t more)
{
	int64_t known;
	qdq_dim out;

	if (w->same)
		return qdq_infer_mul(c, length, w->stride[i]);
	out = qdq_infer_mul(c, qdq_infer_add(c, length, -1), w->stride[i]);
	out = qdq_infer_binary(c, QDQ_DIM_ADD, out, extent(c, w, i));
	out = qdq_infer_add(c, out, more - w->before[i] - w->after[i]);
	return out != QDQ_DIM_ANY && qdq_dim_value(c->m, out, &known) && known < 0 ? QDQ_DIM_ANY : out;
}

void qdq_infer_conv_transpose(qdq_infer *c, qdq_node *n)
{
	const qdq_shape *weights = qdq_infer_shape(n, 1);
	qdq_dims out;
	size_t count;
	const int64_t *given = qdq_attr_ints(n, "output_shape", &count);
	int64_t more[QDQ_INFER_RANK], group = qdq_attr_int(n, "group", 1);
	window w;

	if (!qdq_infer_dims(n, 0, &out) || out.rank < 2 || (weights != NULL && weights->rank != out.rank) ||
	    !read_window(n, out.rank - 2, weights, &w) || !read_list(n, "output_padding", out.rank - 2, 0, more)) {
		qdq_infer_put(c, n, 0, conv_type(n), NULL);
		return;
	}
	out.d[1] = weights != NULL && group > 0 ? qdq_infer_mul(c, weights->dim[1], group) : QDQ_DIM_ANY;
	for (int i = 0; i < w.rank; i++) {
		if (given != NULL && (count == (size_t)w.rank || count == (size_t)out.rank)) {
			int64_t length = given[count - (size_t)w.rank + (size_t)i];
			out.d[i + 2] = length >= 0 ? length : QDQ_DIM_ANY;
		} else {
			out.d[i + 2] = spread(c, &w, i, out.d[i + 2], more[i]);
		}
	}
	qdq_infer_put(c, n, 0, conv_type(n), &out);
}

void qdq_infer_max_unpool(qdq_infer *c, qdq_node *n)
{
	const qdq_shape *given = qdq_infer_contents(c, qdq_in(n, 2));
	qdq_dims out;
	window w;

	if (!qdq_infer_dims(n, 0, &out) || out.rank < 2 || !read_window(n, out.rank - 2, NULL, &w)) {
		qdq_infer_put(c, n, 0, qdq_infer_type(n, 0), NULL);
		return;
	}
	for (int i = 0; i < w.rank; i++)
		out.d[i + 2] = qdq_in(n, 2) != NULL ? QDQ_DIM_ANY : spread(c, &w, i, out.d[i + 2], 0);
	if (given != NULL && given->rank == out.rank)
		qdq_infer_copy(given, &out);
	qdq_infer_put(c, n, 0, qdq_infer_type(n, 0), &out);
}

void qdq_infer_col2_im(qdq_infer *c, qdq_node *n)
{
	const qdq_shape *length = qdq_infer_shape(n, 1);
	qdq_dims image, block, in, out = {.rank = -1};

	if (length != NULL && length->rank == 1 && length->dim[0] >= 0 && length->dim[0] + 2 <= QDQ_INFER_RANK) {
		out.rank = (int)length->dim[0] + 2;
		for (int i = 0; i < out.rank; i++)
			out.d[i] = QDQ_DIM_ANY;
	}
	if (qdq_infer_copy(qdq_infer_contents(c, qdq_in(n, 1)), &image) && image.rank + 2 <= QDQ_INFER_RANK) {
		out.rank = image.rank + 2;
		out.d[0] = out.d[1] = QDQ_DIM_ANY;
		memcpy(&out.d[2], image.d, (size_t)image.rank * sizeof *image.d);
	}
	if (out.rank >= 0 && qdq_infer_dims(n, 0, &in) && in.rank == 3) {
		qdq_dim area = 1;

		qdq_infer_copy(qdq_infer_contents(c, qdq_in(n, 2)), &block);
		for (int i = 0; i < block.rank; i++)
			area = qdq_infer_mul(c, area, block.d[i]);
		out.d[0] = in.d[0];
		out.d[1] = block.rank > 0 && area != 0 ? qdq_infer_div(c, in.d[1], area) : QDQ_DIM_ANY;
	}
	qdq_infer_put(c, n, 0, qdq_infer_type(n, 0), &out);
}

/* ---- pools ---- */

void qdq_infer_pool(qdq_infer *c, qdq_node *n)
{
	const qdq_shape *weights = NULL;
	qdq_dims in;
	window w;

	if (!qdq_infer_dims(n, 0, &in) || in.rank < 2 || !read_window(n, in.rank - 2, weights, &w)) {
		qdq_infer_put(c, n, 0, qdq_infer_type(n, 0), NULL);
		qdq_infer_put(c, n, 1, QDQ_TYPE_INT64, NULL);
		return;
	}
	put_window(c, n, qdq_infer_type(n, 0), &in, in.d[1], &w);
	if (qdq_out(n, 0) != NULL)
		qdq_infer_put_shape(c, n, 1, QDQ_TYPE_INT64, n->outputs[0]->shape);
}

void qdq_infer_qlinear_pool(qdq_infer *c, qdq_node *n)
{
	qdq_dims in;
	window w;

	if (qdq_attr_int(n, "channels_last", 0) == 0) {
		qdq_infer_pool(c, n);
		return;
	}
	if (!qdq_infer_dims(n, 0, &in) || in.rank < 2 || !read_window(n, in.rank - 2, NULL, &w))
		in.rank = -1;
	for (int i = 0; in.rank >= 0 && i < w.rank; i++)
		in.d[i + 1] = slide(c, &w, i, in.d[i + 1]);
	qdq_infer_put(c, n, 0, qdq_infer_type(n, 0), &in);
}

static void put_global(qdq_infer *c, qdq_node *n, int from, int behind)
{
	qdq_dims dims;

	qdq_infer_dims(n, 0, &dims);
	for (int i = from; i < dims.rank - behind; i++)
		dims.d[i] = 1;
	qdq_infer_put(c, n, 0, qdq_infer_type(n, 0), &dims);
}

void qdq_infer_global_pool(qdq_infer *c, qdq_node *n)
{
	put_global(c, n, 2, 0);
}

void qdq_infer_qlinear_global_pool(qdq_infer *c, qdq_node *n)
{
	bool last = qdq_attr_int(n, "channels_last", 0) != 0;

	put_global(c, n, last ? 1 : 2, last ? 1 : 0);
}

/* ---- regions of interest ---- */

void qdq_infer_roi_align(qdq_infer *c, qdq_node *n)
{
	const qdq_shape *in = qdq_infer_shape(n, 0), *rois = qdq_infer_shape(n, 1), *batch = qdq_infer_shape(n, 2);
	qdq_dims out = {.rank = 4};

	out.d[0] = rois != NULL && rois->rank == 2 ? rois->dim[0] : QDQ_DIM_ANY;
	if (out.d[0] < 0 && batch != NULL && batch->rank == 1)
		out.d[0] = batch->dim[0];
	out.d[1] = in != NULL && in->rank == 4 ? in->dim[1] : QDQ_DIM_ANY;
	out.d[2] = qdq_attr_int(n, "output_height", 1);
	out.d[3] = qdq_attr_int(n, "output_width", 1);
	for (int i = 2; i < 4; i++)
		if (out.d[i] < 0)
			out.d[i] = QDQ_DIM_ANY;
	qdq_infer_put(c, n, 0, qdq_infer_type(n, 0), &out);
}

void qdq_infer_max_roi_pool(qdq_infer *c, qdq_node *n)
{
	const qdq_shape *in = qdq_infer_shape(n, 0), *rois = qdq_infer_shape(n, 1);
	qdq_dims out = {.rank = 4};
	size_t count;
	const int64_t *pooled = qdq_attr_ints(n, "pooled_shape", &count);

	out.d[0] = rois != NULL && rois->rank == 2 ? rois->dim[0] : QDQ_DIM_ANY;
	out.d[1] = in != NULL && in->rank == 4 ? in->dim[1] : QDQ_DIM_ANY;
	out.d[2] = count == 2 && pooled[0] >= 0 ? pooled[0] : QDQ_DIM_ANY;
	out.d[3] = count == 2 && pooled[1] >= 0 ? pooled[1] : QDQ_DIM_ANY;
	qdq_infer_put(c, n, 0, qdq_infer_type(n, 0), &out);
}

void qdq_infer_grid_sample(qdq_infer *c, qdq_node *n)
{
	const qdq_shape *grid = qdq_infer_shape(n, 1);
	qdq_dims out;

	if (qdq_infer_dims(n, 0, &out) && out.rank >= 2)
		for (int i = 2; i < out.rank; i++)
			out.d[i] = grid != NULL && grid->rank == out.rank ? grid->dim[i - 1] : QDQ_DIM_ANY;
	qdq_infer_put(c, n, 0, qdq_infer_type(n, 0), &out);
}

void qdq_infer_affine_grid(qdq_infer *c, qdq_node *n)
{
	const qdq_shape *length = qdq_infer_shape(n, 1);
	qdq_dims size;

	/* [N, C, H, W] gives [N, H, W, 2]; with a depth there are three coordinates */
	if (qdq_infer_copy(qdq_infer_contents(c, qdq_in(n, 1)), &size) && (size.rank == 4 || size.rank == 5)) {
		memmove(&size.d[1], &size.d[2], (size_t)(size.rank - 2) * sizeof *size.d);
		size.d[size.rank - 1] = size.rank - 2;
	} else if (length != NULL && length->rank == 1 && (length->dim[0] == 4 || length->dim[0] == 5)) {
		size.rank = (int)length->dim[0];
		for (int i = 0; i < size.rank; i++)
			size.d[i] = i + 1 < size.rank ? QDQ_DIM_ANY : size.rank - 2;
	} else {
		size.rank = -1;
	}
	qdq_infer_put(c, n, 0, qdq_infer_type(n, 0), &size);
}

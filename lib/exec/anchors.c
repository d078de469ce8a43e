/* SPDX-License-Identifier: Apache-2.0
 *
 * anchors.c -- the operators that kernels begin with: contractions, pools, Concat
 */
#include "lower.h"

/* ---- geometry ---- */

/* Padding in front of one spatial axis. ONNX gives what SAME means by the output's length. */
static int64_t pad_before(const qdq_node *n, size_t axis, size_t axes, int64_t in, int64_t out, int64_t window,
			  int64_t stride)
{
	size_t count = 0;
	const int64_t *pads = qdq_attr_ints(n, "pads", &count);
	int64_t total = (out - 1) * stride + window - in;

	if (total < 0)
		total = 0;
	if (qdq_attr_string_is(n, "auto_pad", "NOTSET", "SAME_UPPER"))
		return total / 2;
	if (qdq_attr_string_is(n, "auto_pad", "NOTSET", "SAME_LOWER"))
		return (total + 1) / 2;
	if (qdq_attr_string_is(n, "auto_pad", "NOTSET", "VALID"))
		return 0;
	return pads != NULL && count == 2 * axes ? pads[axis] : 0;
}

/* What inference takes. Where the file states the result's shape, nobody has looked at the attributes yet. */
static bool is_size(int64_t n)
{
	return n >= 1 && n <= INT32_MAX;
}

static bool is_padding(int64_t n)
{
	return n >= -INT32_MAX && n <= INT32_MAX;
}

/* The window of a node with one or two spatial axes, kernel sizes given; one axis is a row of height 1. y NULL: one
 * window, which is the whole image. False: it cannot be counted with. */
static bool window_of(const qdq_node *n, const qdq_shape *x, const qdq_shape *y, const int64_t *kernel, qdq_window *out)
{
	size_t axes = (size_t)x->rank - 2;
	int64_t in[2] = {1, 1}, to[2] = {1, 1}, k[2] = {1, 1}, stride[2] = {1, 1}, dilation[2] = {1, 1},
		pad[2] = {0, 0};

	for (size_t i = 0; i < axes; i++) {
		size_t at = 2 - axes + i;

		in[at] = x->dim[2 + i];
		to[at] = y != NULL ? y->dim[2 + i] : 1;
		k[at] = kernel[i];
		stride[at] = qdq_attr_int_at(n, "strides", i, 1);
		dilation[at] = qdq_attr_int_at(n, "dilations", i, 1);
		if (!is_size(in[at]) || !is_size(to[at]) || !is_size(k[at]) || !is_size(stride[at]) ||
		    !is_size(dilation[at]))
			return false;
		pad[at] = pad_before(n, i, axes, in[at], to[at], (k[at] - 1) * dilation[at] + 1, stride[at]);
	}
	*out = (qdq_window){.n = x->dim[0],
			    .h = in[0],
			    .w = in[1],
			    .oh = to[0],
			    .ow = to[1],
			    .kh = k[0],
			    .kw = k[1],
			    .sh = stride[0],
			    .sw = stride[1],
			    .dh = dilation[0],
			    .dw = dilation[1],
			    .top = pad[0],
			    .left = pad[1]};
	return is_padding(out->top) && is_padding(out->left);
}

/* The padding that a transposed convolution takes away in front: what its output lacks of all that it could have. */
static int64_t transposed_pad(const qdq_node *n, size_t axis, size_t axes, int64_t in, int64_t out, int64_t window,
			      int64_t stride)
{
	size_t count = 0;
	bool upper = qdq_attr_string_is(n, "auto_pad", "NOTSET", "SAME_UPPER");
	int64_t total = (in - 1) * stride + window + qdq_attr_int_at(n, "output_padding", axis, 0) - out;
	bool same = upper || qdq_attr_string_is(n, "auto_pad", "NOTSET", "SAME_LOWER");

	if (!same && (qdq_attr_ints(n, "output_shape", &count) == NULL || count == 0))
		return pad_before(n, axis, axes, in, out, window, stride);
	if (total < 0)
		total = 0;
	return upper ? total / 2 : total - total / 2;
}

bool qdq_conv_window(const qdq_node *n, const qdq_shape *x, const qdq_shape *y, const int64_t *kernel, qdq_conv *g)
{
	size_t axes = (size_t)x->rank - 2;
	qdq_window w;

	if (!window_of(n, x, y, kernel, &w))
		return false;
	for (size_t i = 0; i < axes; i++)
		if (!is_padding(qdq_attr_int_at(n, "output_padding", i, 0)))
			return false;
	if (qdq_is(n, QDQ_OP_ConvTranspose)) {
		w.top = axes == 2 ? transposed_pad(n, 0, axes, w.h, w.oh, (w.kh - 1) * w.dh + 1, w.sh) : 0;
		w.left = transposed_pad(n, axes - 1, axes, w.w, w.ow, (w.kw - 1) * w.dw + 1, w.sw);
	}
	*g = (qdq_conv){.n = w.n,
			.h = w.h,
			.w = w.w,
			.oh = w.oh,
			.ow = w.ow,
			.kh = w.kh,
			.kw = w.kw,
			.sh = w.sh,
			.sw = w.sw,
			.dh = w.dh,
			.dw = w.dw,
			.top = w.top,
			.left = w.left};
	return true;
}

static bool image(const qdq_value *v)
{
	return v != NULL && qdq_shape_known(v->shape) && v->shape->rank >= 3 && v->shape->rank <= 4;
}

/* ---- contractions ---- */

static const known *codes_of(const lowering *l, const qdq_value *v)
{
	const known *k = qdq_known_of(l, v);

	return k != NULL && k->kind == KNOWN_SOURCE && k->quant.scale != NULL && qdq_type_is_int8(k->quant.type) ? k
														 : NULL;
}

static bool conv_geometry(lowering *l, const qdq_node *n, const qdq_value *x, const qdq_tensor *w)
{
	const qdq_value *y = n->outputs[0];
	int64_t kernel[2] = {1, 1};
	qdq_conv *g = &l->k.conv;

	if (l->k.last_axis || !image(x) || w->rank != x->shape->rank || !qdq_shape_known(y->shape))
		return false;
	for (int32_t i = 2; i < w->rank; i++)
		kernel[i - 2] = w->dims[i];
	if (!qdq_conv_window(n, x->shape, y->shape, kernel, g))
		return false;
	g->c = x->shape->dim[1];
	g->k = w->dims[0];
	g->groups = qdq_attr_int(n, "group", 1);
	g->weights = w->data;
	g->by_k = w->dims[1] * g->kh * g->kw;
	g->by_c = g->kh * g->kw;
	g->by_tap = 1;
	return g->groups > 0 && g->c % g->groups == 0 && g->k % g->groups == 0 && w->dims[1] == g->c / g->groups;
}

/* One axis of a transposed convolution at one place in its stride: an ordinary convolution of stride 1. */
typedef struct phase {
	int64_t first;	/* tap of the kernel */
	int64_t taps;	/* of the window: every stride-th, backwards */
	int64_t before; /* padding */
	int64_t out;
} phase;

static phase phase_of(int64_t place, int64_t stride, int64_t pad, int64_t kernel, int64_t out)
{
	phase p = {.first = (place + pad) % stride, .taps = 1};

	if (kernel > p.first)
		p.taps = (kernel - p.first + stride - 1) / stride;
	p.before = p.taps - 1 - (place + pad) / stride;
	p.out = (out - place + stride - 1) / stride;
	return p;
}

/* The weights of the windows [k][c][taps]; where the kernel has no tap, zero points. */
static void phase_weights(lowering *l, const qdq_tensor *w, const phase *y, const phase *x, int64_t sh, int64_t sw)
{
	qdq_conv *g = &l->k.conv;
	int64_t taps = y->taps * x->taps, kh = w->rank == 4 ? w->dims[2] : 1, kw = w->dims[w->rank - 1];
	uint8_t *codes = qdq_alloc(l->p->arena, (size_t)(g->k * g->c * taps));

	for (int64_t i = 0; i < g->k * g->c * taps; i++) {
		int64_t k = i / taps / g->c, c = i / taps % g->c;
		int64_t r = y->first + sh * (y->taps - 1 - i % taps / x->taps);
		int64_t s = x->first + sw * (x->taps - 1 - i % x->taps);

		codes[i] = r < kh && s < kw ? ((const uint8_t *)w->data)[((c * g->k + k) * kh + r) * kw + s]
					    : (uint8_t)qdq_quant_zero(&l->weight, (uint64_t)k);
	}
	g->weights = codes;
	g->by_k = g->c * taps;
	g->by_c = taps;
	g->by_tap = 1;
}

static bool transposed_geometry(lowering *l, const qdq_node *n, const qdq_value *x, const qdq_tensor *w)
{
	const qdq_value *v = n->outputs[0];
	int64_t kernel[2] = {1, 1}, place[2];
	qdq_conv *g = &l->k.conv, whole;
	phase rows, columns;

	if (l->k.last_axis || !image(x) || w->rank != x->shape->rank || !qdq_shape_known(v->shape) ||
	    qdq_attr_int(n, "group", 1) != 1 || w->dims[0] != x->shape->dim[1] || !qdq_is_full(l, v))
		return false;
	for (int32_t i = 2; i < w->rank; i++)
		kernel[i - 2] = w->dims[i];
	if (!qdq_conv_window(n, x->shape, v->shape, kernel, &whole) || whole.dh != 1 || whole.dw != 1 ||
	    whole.oh < whole.sh || whole.ow < whole.sw || whole.top < 0 || whole.left < 0)
		return false;
	l->parts = (uint32_t)(whole.sh * whole.sw);
	place[0] = l->part / whole.sw;
	place[1] = l->part % whole.sw;
	rows = phase_of(place[0], whole.sh, whole.top, whole.kh, whole.oh);
	columns = phase_of(place[1], whole.sw, whole.left, whole.kw, whole.ow);
	*g = whole;
	g->sh = g->sw = g->groups = 1;
	g->c = x->shape->dim[1];
	g->k = w->dims[1];
	g->oh = rows.out;
	g->ow = columns.out;
	g->kh = rows.taps;
	g->kw = columns.taps;
	g->top = rows.before;
	g->left = columns.before;
	l->k.grid = (qdq_grid){whole.sh, whole.sw, place[0], place[1], g->oh, g->ow, whole.oh, whole.ow};
	l->k.pixels = g->n * g->oh * g->ow;
	l->weight.axis = l->weight.axis == 1 ? 0 : -1; /* by output, as those of a convolution */
	phase_weights(l, w, &rows, &columns, whole.sh, whole.sw);
	return true;
}

static bool product_geometry(lowering *l, const qdq_node *n, const qdq_value *x, const qdq_tensor *w)
{
	bool gemm = qdq_is(n, QDQ_OP_Gemm), turned = gemm && qdq_attr_int(n, "transB", 0) != 0;
	qdq_conv *g = &l->k.conv;

	if (!qdq_shape_known(x->shape) ||
	    (l->k.last_axis ? x->shape->rank < 3 || qdq_plan_in_rows(x) : x->shape->rank != 2) || w->rank != 2 ||
	    (gemm && (qdq_attr_int(n, "transA", 0) != 0 || qdq_attr_float(n, "alpha", 1) != 1 ||
		      qdq_attr_float(n, "beta", 1) != 1)))
		return false;
	*g = (qdq_conv){.n = l->k.pixels,
			.h = 1,
			.w = 1,
			.c = x->shape->dim[x->shape->rank - 1],
			.oh = 1,
			.ow = 1,
			.k = w->dims[turned ? 0 : 1],
			.kh = 1,
			.kw = 1,
			.sh = 1,
			.sw = 1,
			.dh = 1,
			.dw = 1,
			.groups = 1};
	if (w->dims[turned ? 1 : 0] != g->c)
		return false;
	g->weights = w->data;
	g->by_k = turned ? g->c : 1;
	g->by_c = turned ? 1 : g->k;
	l->weight.axis = turned ? l->weight.axis : 1 - l->weight.axis;
	return true;
}

static void weight_zeros(lowering *l)
{
	int32_t *zeros = qdq_array(l->p->arena, int32_t, (uint64_t)l->k.conv.k);
	bool any = false;

	for (int64_t c = 0; c < l->k.conv.k; c++) {
		zeros[c] = qdq_quant_zero(&l->weight, (uint64_t)c);
		any |= zeros[c] != 0;
	}
	l->k.conv.zw = any ? zeros : NULL;
}

/* One number for each channel, or one for all? The C of a Gemm may have one for each row as well. */
static bool along_columns(const qdq_tensor *t, uint64_t channels)
{
	return t->count == 1 || (t->count == channels && (uint64_t)t->dims[t->rank - 1] == channels);
}

/* The bias: codes of the accumulator where its scale is that of the products, else real numbers. */
static bool lower_bias(lowering *l, const qdq_node *n)
{
	const known *k = qdq_known_of(l, qdq_in(n, 2));
	const qdq_tensor *t = qdq_constant(l, k != NULL ? k->outer : qdq_in(n, 2));
	uint64_t count = (uint64_t)l->k.conv.k;
	int32_t *codes = qdq_array(l->p->arena, int32_t, count);
	double *real = qdq_array(l->p->scratch, double, count);
	bool fits = k != NULL && k->quant.scale != NULL && k->quant.type == QDQ_TYPE_INT32;

	if (qdq_in(n, 2) == NULL)
		return true;
	if (t == NULL || !along_columns(t, count))
		return false;
	for (uint64_t c = 0; c < count; c++) {
		double product = qdq_quant_scale(&l->main.quant, 0) * qdq_quant_scale(&l->weight, c);
		int64_t code = 0;

		if (k == NULL || k->quant.scale == NULL) {
			if (!qdq_tensor_real(t, t->count == 1 ? 0 : c, &real[c]))
				return false;
			continue;
		}
		if (!qdq_tensor_int(t, t->count == 1 ? 0 : c, &code))
			return false;
		code -= qdq_quant_zero(&k->quant, c);
		real[c] = (double)code * qdq_quant_scale(&k->quant, c);
		fits = fits && fabs(qdq_quant_scale(&k->quant, c) - product) <= 1e-6 * product && code >= INT32_MIN &&
		       code <= INT32_MAX;
		codes[c] = (int32_t)code;
	}
	l->k.bias = fits ? codes : NULL;
	l->bias = fits ? NULL : real;
	return true;
}

double qdq_lower_most(const lowering *l)
{
	const qdq_conv *g = &l->k.conv;

	return 255.0 * 255.0 * (double)(g->c / g->groups) * (double)g->kh * (double)g->kw;
}

/* No sum may leave int32, with its bias. */
static bool sums_fit(const lowering *l)
{
	const qdq_conv *g = &l->k.conv;
	double most = qdq_lower_most(l);

	for (int64_t c = 0; l->k.bias != NULL && c < g->k; c++)
		if (most + fabs((double)l->k.bias[c]) > (double)INT32_MAX)
			return false;
	return most <= (double)INT32_MAX;
}

bool qdq_lower_contraction(lowering *l, qdq_node *n)
{
	const known *x = codes_of(l, qdq_in(n, 0)), *w = codes_of(l, qdq_in(n, 1));
	const qdq_tensor *weights = w == NULL ? NULL : qdq_value_constant(w->outer);
	int64_t k;

	if (l->anchored || x == NULL || weights == NULL || weights->data == NULL || x->quant.scale->count != 1 ||
	    (x->quant.zero != NULL && x->quant.zero->count != 1))
		return false;
	l->main = *x;
	l->weight = w->quant;
	if (!(qdq_is(n, QDQ_OP_Conv)		? conv_geometry(l, n, x->outer, weights)
	      : qdq_is(n, QDQ_OP_ConvTranspose) ? transposed_geometry(l, n, x->outer, weights)
						: product_geometry(l, n, x->outer, weights)))
		return false;
	k = l->k.conv.k;
	if (k != l->k.channels || l->k.conv.n * l->k.conv.oh * l->k.conv.ow != l->k.pixels ||
	    (l->weight.scale->count != 1 && (l->weight.scale->count != (uint64_t)k || l->weight.axis != 0)) ||
	    !lower_bias(l, n) || !sums_fit(l))
		return false;
	weight_zeros(l);
	l->k.conv.x_signed = x->quant.type == QDQ_TYPE_INT8;
	l->k.conv.w_signed = w->quant.type == QDQ_TYPE_INT8;
	l->k.conv.zx = qdq_quant_zero(&x->quant, 0);
	l->k.anchor = QDQ_ANCHOR_CONTRACT;
	l->anchored = true;
	*qdq_push(l->scratch, &l->units) = 0;
	*qdq_push(l->scratch, &l->known) = (known){.v = n->outputs[0], .kind = KNOWN_REGISTER};
	return true;
}

/* ---- pools ---- */

/* Is this ReduceMean the mean of each channel's image? */
static bool means_images(const lowering *l, const qdq_node *n, const qdq_shape *x)
{
	const qdq_tensor *t = qdq_constant(l, qdq_in(n, 1));
	bool seen[2] = {false, false};
	size_t count = 0;
	const int64_t *axes = qdq_attr_ints(n, "axes", &count);

	if (qdq_in(n, 1) != NULL && t == NULL)
		return false;
	count = t != NULL ? (size_t)t->count : count;
	for (size_t i = 0; i < count; i++) {
		int64_t axis = 0;

		if (t != NULL ? !qdq_tensor_int(t, i, &axis) : axes == NULL)
			return false;
		axis = t != NULL ? axis : axes[i];
		axis += axis < 0 ? x->rank : 0;
		if (axis < 2 || axis >= x->rank)
			return false;
		seen[axis - 2] = true;
	}
	return seen[0] && (x->rank == 3 || seen[1]);
}

/* Codes in: of a DQ in the region, or as they are (then codes come out). */
bool qdq_lower_pool(lowering *l, qdq_node *n)
{
	const known *found = qdq_known_of(l, qdq_in(n, 0));
	const qdq_value *x = found != NULL ? found->outer : qdq_outer(l, qdq_in(n, 0));
	bool reduce = qdq_is(n, QDQ_OP_ReduceMean);
	bool mean = reduce || qdq_is(n, QDQ_OP_AveragePool) || qdq_is(n, QDQ_OP_GlobalAveragePool);
	bool global = reduce || qdq_is(n, QDQ_OP_GlobalMaxPool) || qdq_is(n, QDQ_OP_GlobalAveragePool);
	int64_t kernel[2] = {1, 1};
	quant q = {0};

	if (l->k.last_axis || l->anchored || (found != NULL && found->kind != KNOWN_SOURCE) || !image(x) ||
	    !(reduce ? means_images(l, n, x->shape) : image(n->outputs[0])) || !qdq_type_is_int8(x->type) ||
	    !qdq_is_full(l, n->outputs[0])) /* it would be spread over a larger result */
		return false;
	if (mean && qdq_attr_int(n, "ceil_mode", 0) != 0)
		return false; /* windows that reach beyond the padding count less */
	q = found != NULL ? found->quant : (quant){.type = x->type};
	if ((mean && q.scale == NULL) || (q.scale != NULL && q.scale->count != 1))
		return false;
	for (int32_t i = 2; i < x->shape->rank; i++)
		kernel[i - 2] = global ? x->shape->dim[i] : qdq_attr_int_at(n, "kernel_shape", (size_t)i - 2, 1);
	if (!window_of(n, x->shape, global ? NULL : n->outputs[0]->shape, kernel, &l->k.window) ||
	    (double)l->k.window.kh * (double)l->k.window.kw * 255 > 16777216)
		return false; /* a sum must be exact as a float */
	l->k.window.count_pads = qdq_attr_int(n, "count_include_pad", 0) != 0;
	l->main = (known){.v = qdq_in(n, 0), .kind = KNOWN_SOURCE, .outer = x, .quant = q};
	l->k.anchor = mean ? QDQ_ANCHOR_MEAN : QDQ_ANCHOR_MAX;
	l->anchored = true;
	*qdq_push(l->scratch, &l->units) = 0;
	*qdq_push(l->scratch, &l->known) =
	    (known){.v = n->outputs[0], .kind = KNOWN_REGISTER, .quant = q.scale == NULL ? q : (quant){0}};
	return true;
}

/* ---- Concat ---- */

/* One kernel for each input, which writes its channels in their place. */
bool qdq_lower_concat(lowering *l, qdq_node *n)
{
	const qdq_value *v = qdq_in(n, l->part), *y = n->outputs[0];
	const known *k = v == NULL ? NULL : qdq_known_of(l, v);
	const qdq_value *outer = k != NULL && k->outer != NULL ? k->outer : v == NULL ? NULL : qdq_outer(l, v);
	int64_t axis = qdq_attr_int(n, "axis", 1);

	if (l->k.last_axis || v == NULL || (l->parts != 0 && l->part >= l->parts) || y->shape == NULL ||
	    (axis < 0 ? axis + y->shape->rank : axis) != 1 || !qdq_shape_known(v->shape) ||
	    v->shape->rank != y->shape->rank)
		return false;
	l->parts = n->n_inputs;
	l->k.channels = v->shape->dim[1];
	if (k == NULL && (outer == NULL || !qdq_type_is_int8(outer->type)))
		return false;
	if (k != NULL) {
		known copy = *k;

		copy.v = y;
		*qdq_push(l->scratch, &l->known) = copy;
		return true;
	}
	*qdq_push(l->scratch, &l->known) =
	    (known){.v = y, .kind = KNOWN_SOURCE, .outer = outer, .quant = {.type = outer->type}};
	return true;
}

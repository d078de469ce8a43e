/* SPDX-License-Identifier: Apache-2.0
 *
 * contract.c -- what multiplies and accumulates: MatMul, Gemm, Conv, ConvTranspose, on floats and on codes
 *
 * Everything accumulates in double. Sums of products of 8-bit codes are far below 2^53, so on codes that is exact
 * integer arithmetic, and one core serves both.
 */
#include <math.h>

#include "kernel.h"

/* Codes less their zero point: one, or one for each index of `axis`. */
static const double *centered(qdq_eval *e, const qdq_tensor *t, const qdq_tensor *zero, int axis)
{
	if (t == NULL || qdq_type_get(t->type)->bits > 8 || qdq_wide_of(t->type) != QDQ_WIDE_INT)
		return NULL;
	const double *codes = qdq_eval_doubles(e, t), *zeros = zero == NULL ? NULL : qdq_eval_doubles(e, zero);
	double *out = qdq_eval_temp(e, t->count, sizeof *out);
	if (zero != NULL && (zeros == NULL || zero->type != t->type))
		return NULL;
	bool many = zero != NULL && zero->count != 1;
	if (many && (axis < 0 || axis >= t->rank || zero->count != (uint64_t)t->dims[axis]))
		return NULL;
	int64_t inner = many ? qdq_product(t->dims, axis + 1, t->rank) : 1;
	for (int64_t i = 0; i < (int64_t)t->count; i++)
		out[i] = codes[i] - (zeros == NULL ? 0 : zeros[many ? i / inner % t->dims[axis] : 0]);
	return out;
}

/* ---- matrices ---- */

typedef struct matmul {
	int rank; /* of the result, with the two matrix dimensions even where they are dropped */
	int64_t dims[QDQ_EVAL_RANK];
	int64_t m, k, n;
	int64_t a_strides[QDQ_EVAL_RANK], b_strides[QDQ_EVAL_RANK]; /* of the batch dimensions */
	int out_rank;
	int64_t out_dims[QDQ_EVAL_RANK];
} matmul;

/* Shapes as numpy's matmul: lists are promoted to matrices, batches broadcast. */
static bool matmul_init(matmul *p, const qdq_tensor *a, const qdq_tensor *b)
{
	int64_t a_dims[QDQ_EVAL_RANK], b_dims[QDQ_EVAL_RANK], column[2], row[2];
	qdq_tensor x = *a, y = *b;

	if (a->rank < 1 || b->rank < 1)
		return false;
	if (a->rank == 1) {
		row[0] = 1;
		row[1] = a->dims[0];
		x.rank = 2;
		x.dims = row;
	}
	if (b->rank == 1) {
		column[0] = b->dims[0];
		column[1] = 1;
		y.rank = 2;
		y.dims = column;
	}
	p->m = x.dims[x.rank - 2];
	p->k = x.dims[x.rank - 1];
	p->n = y.dims[y.rank - 1];
	if (y.dims[y.rank - 2] != p->k)
		return false;
	/* batch dimensions alone: matrices count as one element */
	memcpy(a_dims, x.dims, (size_t)x.rank * sizeof *a_dims);
	memcpy(b_dims, y.dims, (size_t)y.rank * sizeof *b_dims);
	x.rank -= 2;
	y.rank -= 2;
	x.dims = a_dims;
	y.dims = b_dims;
	p->rank = 0;
	if (!qdq_broadcast_dims(&x, &p->rank, p->dims) || !qdq_broadcast_dims(&y, &p->rank, p->dims) ||
	    p->rank + 2 > QDQ_EVAL_RANK)
		return false;
	qdq_broadcast_strides(&x, p->rank, p->dims, p->a_strides);
	qdq_broadcast_strides(&y, p->rank, p->dims, p->b_strides);
	memcpy(p->out_dims, p->dims, (size_t)p->rank * sizeof *p->dims);
	p->out_rank = p->rank;
	if (a->rank > 1)
		p->out_dims[p->out_rank++] = p->m;
	if (b->rank > 1)
		p->out_dims[p->out_rank++] = p->n;
	return true;
}

/* c += a * b, with the row lengths of dense matrices. */
static void multiply(const double *a, const double *b, double *c, int64_t m, int64_t k, int64_t n)
{
	for (int64_t i = 0; i < m; i++)
		for (int64_t l = 0; l < k; l++) {
			double factor = a[i * k + l];
			for (int64_t j = 0; j < n; j++)
				c[i * n + j] += factor * b[l * n + j];
		}
}

static void matmul_run(const matmul *p, const double *a, const double *b, double *c)
{
	int64_t strides[QDQ_EVAL_RANK];
	qdq_walk w;

	qdq_walk_init(&w, p->rank, p->dims);
	qdq_strides(p->rank, p->dims, strides);
	qdq_walk_add(&w, 0, strides);
	qdq_walk_add(&w, 0, p->a_strides);
	qdq_walk_add(&w, 0, p->b_strides);
	for (qdq_walk_start(&w); !w.done; qdq_walk_next(&w))
		for (int64_t i = 0; i < w.run; i++)
			multiply(a + (w.at[1] + i * w.step[1]) * p->m * p->k,
				 b + (w.at[2] + i * w.step[2]) * p->k * p->n,
				 c + (w.at[0] + i * w.step[0]) * p->m * p->n, p->m, p->k, p->n);
}

bool qdq_eval_matmul(qdq_eval *e)
{
	const qdq_tensor *a = qdq_eval_in(e, 0), *b = qdq_eval_in(e, 1);
	matmul p;

	if (!qdq_eval_is_real(a) || b == NULL || a->type != b->type || !matmul_init(&p, a, b))
		return false;
	double *c = qdq_eval_new_doubles(e, a->type, p.out_rank, p.out_dims);
	if (c == NULL)
		return false;
	matmul_run(&p, qdq_eval_doubles(e, a), qdq_eval_doubles(e, b), c);
	return qdq_eval_put_doubles(e, 0, a->type, p.out_rank, p.out_dims, c);
}

bool qdq_eval_matmul_integer(qdq_eval *e)
{
	const qdq_tensor *a = qdq_eval_in(e, 0), *b = qdq_eval_in(e, 1);
	matmul p;

	if (a == NULL || b == NULL || !matmul_init(&p, a, b))
		return false;
	const double *x = centered(e, a, qdq_eval_in(e, 2), a->rank - 2);
	const double *y = centered(e, b, qdq_eval_in(e, 3), b->rank - 1);
	double *c = qdq_eval_new_doubles(e, QDQ_TYPE_INT32, p.out_rank, p.out_dims);
	if (x == NULL || y == NULL || c == NULL)
		return false;
	matmul_run(&p, x, y, c);
	return qdq_eval_put_doubles(e, 0, QDQ_TYPE_INT32, p.out_rank, p.out_dims, c);
}

/* The matrix, or its transpose. */
static const double *oriented(qdq_eval *e, const double *x, const int64_t *dims, bool transpose)
{
	double *y;

	if (!transpose)
		return x;
	y = qdq_eval_temp(e, (uint64_t)(dims[0] * dims[1]), sizeof *y);
	for (int64_t i = 0; i < dims[0]; i++)
		for (int64_t j = 0; j < dims[1]; j++)
			y[j * dims[0] + i] = x[i * dims[1] + j];
	return y;
}

/* dims = (m, n) of A' B', which is computed into *out. */
static bool gemm_product(qdq_eval *e, const qdq_tensor *a, const qdq_tensor *b, const double *x, const double *y,
			 qdq_type type, int64_t *dims, double **out)
{
	bool turn_a = qdq_attr_int(e->n, "transA", 0) != 0, turn_b = qdq_attr_int(e->n, "transB", 0) != 0;

	if (x == NULL || y == NULL || a->rank != 2 || b->rank != 2)
		return false;
	int64_t k = a->dims[turn_a ? 0 : 1];
	dims[0] = a->dims[turn_a ? 1 : 0];
	dims[1] = b->dims[turn_b ? 0 : 1];
	*out = b->dims[turn_b ? 1 : 0] == k ? qdq_eval_new_doubles(e, type, 2, dims) : NULL;
	if (*out == NULL)
		return false;
	multiply(oriented(e, x, a->dims, turn_a), oriented(e, y, b->dims, turn_b), *out, dims[0], k, dims[1]);
	return true;
}

/* c += factor * t, broadcast to the two dimensions. */
static bool gemm_add(qdq_eval *e, const qdq_tensor *t, double factor, const int64_t *dims, double *c)
{
	int64_t whole[QDQ_EVAL_RANK], strides[QDQ_EVAL_RANK];
	const double *values = qdq_eval_doubles(e, t);
	int rank = 2;

	memcpy(whole, dims, 2 * sizeof *dims);
	if (values == NULL || !qdq_broadcast_dims(t, &rank, whole) || rank != 2 || whole[0] != dims[0] ||
	    whole[1] != dims[1])
		return false;
	qdq_broadcast_strides(t, 2, dims, strides);
	for (int64_t i = 0; i < dims[0]; i++)
		for (int64_t j = 0; j < dims[1]; j++)
			c[i * dims[1] + j] += factor * values[i * strides[0] + j * strides[1]];
	return true;
}

bool qdq_eval_gemm(qdq_eval *e)
{
	const qdq_tensor *a = qdq_eval_in(e, 0), *b = qdq_eval_in(e, 1), *add = qdq_eval_in(e, 2);
	double alpha = (double)qdq_attr_float(e->n, "alpha", 1), beta = (double)qdq_attr_float(e->n, "beta", 1), *c;
	int64_t dims[2];

	if (!qdq_eval_is_real(a) || b == NULL || b->type != a->type || (add != NULL && add->type != a->type) ||
	    !gemm_product(e, a, b, qdq_eval_doubles(e, a), qdq_eval_doubles(e, b), a->type, dims, &c))
		return false;
	for (int64_t i = 0; i < dims[0] * dims[1]; i++)
		c[i] *= alpha;
	if (add != NULL && !gemm_add(e, add, beta, dims, c))
		return false;
	return qdq_eval_put_doubles(e, 0, a->type, 2, dims, c);
}

/* ---- convolutions ---- */

typedef struct conv {
	qdq_window w;
	int64_t batch, channels, filters, group;
	int rank; /* of input and output */
	int64_t out_dims[QDQ_EVAL_RANK];
} conv;

static bool conv_init(qdq_eval *e, conv *p, const qdq_tensor *x, const qdq_tensor *w)
{
	if (x == NULL || w == NULL || x->rank < 3 || w->rank != x->rank)
		return false;
	p->rank = x->rank;
	p->group = qdq_attr_int(e->n, "group", 1);
	p->batch = x->dims[0];
	p->channels = x->dims[1];
	p->filters = w->dims[0];
	if (p->group < 1 || p->filters % p->group != 0 || p->channels % p->group != 0 ||
	    p->channels / p->group != w->dims[1] || !qdq_window_init(e, &p->w, x->rank - 2, x->dims + 2, w->dims + 2))
		return false;
	p->out_dims[0] = p->batch;
	p->out_dims[1] = p->filters;
	memcpy(p->out_dims + 2, p->w.out, (size_t)p->w.rank * sizeof *p->w.out);
	return true;
}

/* y[row of the output] += factor * x[row of the input], where both are inside. */
static void conv_row(const qdq_window *w, const double *x, double *y, double factor, int64_t k)
{
	int last = w->rank - 1;
	int64_t stride = w->stride[last], shift = k * w->dilation[last] - w->pad[last], in = w->in[last];
	int64_t from = shift < 0 ? (-shift + stride - 1) / stride : 0;
	int64_t to = in - shift <= 0 ? 0 : (in - shift - 1) / stride + 1;

	to = to < w->out[last] ? to : w->out[last];
	if (stride == 1)
		for (int64_t i = from; i < to; i++)
			y[i] += factor * x[i + shift];
	else
		for (int64_t i = from; i < to; i++)
			y[i] += factor * x[i * stride + shift];
}

/* One channel of the input through one kernel place into one plane of the output. */
static void conv_plane(const qdq_window *w, const double *x, double *y, double factor, const int64_t *k)
{
	int64_t out[QDQ_EVAL_RANK] = {0}, rows = 0;
	int last = w->rank - 1;

	do {
		int64_t row = 0;
		bool inside = true;
		for (int i = 0; i < last && inside; i++) {
			int64_t at = out[i] * w->stride[i] - w->pad[i] + k[i] * w->dilation[i];
			inside = at >= 0 && at < w->in[i];
			row = row * w->in[i] + at;
		}
		if (inside)
			conv_row(w, x + row * w->in[last], y + rows * w->out[last], factor, k[last]);
		rows++;
	} while (qdq_next_index(last, out, w->out));
}

/* A window of one place that moves by one sees a plane as one long row. */
static void flatten_window(qdq_window *w)
{
	for (int i = 0; i < w->rank; i++)
		if (w->kernel[i] != 1 || w->stride[i] != 1 || w->in[i] != w->out[i] || w->pad[i] != 0)
			return;
	w->in[0] = w->out[0] = qdq_product(w->in, 0, w->rank);
	w->rank = 1;
}

static void conv_run(const conv *p, const double *x, const double *w, double *y)
{
	qdq_window window = p->w;
	int64_t in = qdq_product(window.in, 0, window.rank), out = qdq_product(window.out, 0, window.rank);
	int64_t each = p->channels / p->group, filters = p->filters / p->group;

	if (out == 0)
		return;
	flatten_window(&window);
	for (int64_t at = 0; at < p->batch * p->filters; at++) {
		int64_t n = at / p->filters, m = at % p->filters, group = m / filters;
		const double *kernel = w + m * each * qdq_product(window.kernel, 0, window.rank);
		for (int64_t c = 0; c < each; c++) {
			const double *plane = x + (n * p->channels + group * each + c) * in;
			int64_t k[QDQ_EVAL_RANK] = {0};
			do
				conv_plane(&window, plane, y + at * out, *kernel++, k);
			while (qdq_next_index(window.rank, k, window.kernel));
		}
	}
}

/* y += bias, one for each filter. */
static bool conv_bias(qdq_eval *e, const conv *p, const qdq_tensor *bias, double *y)
{
	if (bias == NULL)
		return true;
	const double *b = (int64_t)bias->count == p->filters ? qdq_eval_doubles(e, bias) : NULL;
	if (b == NULL)
		return false;
	int64_t plane = qdq_product(p->out_dims, 2, p->rank);
	for (int64_t i = 0; i < p->batch * p->filters * plane; i++)
		y[i] += b[i / plane % p->filters];
	return true;
}

bool qdq_eval_conv(qdq_eval *e)
{
	const qdq_tensor *x = qdq_eval_in(e, 0), *w = qdq_eval_in(e, 1), *bias = qdq_eval_in(e, 2);
	conv p;

	if (!qdq_eval_is_real(x) || !conv_init(e, &p, x, w) || w->type != x->type ||
	    (bias != NULL && bias->type != x->type))
		return false;
	double *y = qdq_eval_new_doubles(e, x->type, p.rank, p.out_dims);
	if (y == NULL)
		return false;
	conv_run(&p, qdq_eval_doubles(e, x), qdq_eval_doubles(e, w), y);
	return conv_bias(e, &p, bias, y) && qdq_eval_put_doubles(e, 0, x->type, p.rank, p.out_dims, y);
}

bool qdq_eval_conv_integer(qdq_eval *e)
{
	const qdq_tensor *x = qdq_eval_in(e, 0), *w = qdq_eval_in(e, 1);
	conv p;

	if (!conv_init(e, &p, x, w))
		return false;
	const double *a = centered(e, x, qdq_eval_in(e, 2), -1), *b = centered(e, w, qdq_eval_in(e, 3), 0);
	double *y = qdq_eval_new_doubles(e, QDQ_TYPE_INT32, p.rank, p.out_dims);
	if (a == NULL || b == NULL || y == NULL)
		return false;
	conv_run(&p, a, b, y);
	return qdq_eval_put_doubles(e, 0, QDQ_TYPE_INT32, p.rank, p.out_dims, y);
}

/* Pads and output size of a transposed convolution; the window runs over its output. */
static bool transpose_geometry(qdq_eval *e, qdq_window *w)
{
	size_t n_extra, n_shape;
	const int64_t *extra = qdq_attr_ints(e->n, "output_padding", &n_extra);
	const int64_t *shape = qdq_attr_ints(e->n, "output_shape", &n_shape);
	bool upper = qdq_attr_string_is(e->n, "auto_pad", "NOTSET", "SAME_UPPER");
	bool lower = qdq_attr_string_is(e->n, "auto_pad", "NOTSET", "SAME_LOWER");

	if (n_extra != 0 && n_extra != (size_t)w->rank)
		return false;
	if (n_shape != 0 && n_shape != (size_t)w->rank) {
		if (n_shape != (size_t)w->rank + 2)
			return false;
		shape += 2; /* the whole shape, as some exporters write it */
	}
	for (int i = 0; i < w->rank; i++) {
		int64_t full;
		if (qdq_mul_overflow(w->in[i] - 1, w->stride[i], &full) ||
		    qdq_add_overflow(full, (w->kernel[i] - 1) * w->dilation[i] + 1, &full) ||
		    qdq_add_overflow(full, n_extra != 0 ? extra[i] : 0, &full))
			return false;
		if (n_shape == 0 && !upper && !lower) {
			w->out[i] = full - w->pad[i] - w->pad_end[i];
		} else {
			w->out[i] = n_shape != 0 ? shape[i] : w->in[i] * w->stride[i];
			int64_t total = full > w->out[i] ? full - w->out[i] : 0;
			w->pad[i] = upper ? total / 2 : total - total / 2;
		}
		if (w->out[i] < 0)
			return false;
	}
	return true;
}

/* Attributes as for a convolution, but pads of a window that does not have to fit the input. */
static bool transpose_init(qdq_eval *e, conv *p, const qdq_tensor *x, const qdq_tensor *w)
{
	int64_t dims[QDQ_EVAL_RANK];

	if (w == NULL || x->rank < 3 || w->rank != x->rank || x->count == 0)
		return false;
	p->rank = x->rank;
	p->group = qdq_attr_int(e->n, "group", 1);
	p->batch = x->dims[0];
	p->channels = x->dims[1];
	if (p->group < 1 || p->channels % p->group != 0 || w->dims[0] != p->channels ||
	    qdq_mul_overflow(w->dims[1], p->group, &p->filters))
		return false;
	/* any input that the window fits into serves to read the attributes */
	for (int i = 2; i < x->rank; i++)
		if (w->dims[i] < 1 || w->dims[i] > INT32_MAX)
			return false;
	for (int i = 0; i < x->rank - 2; i++)
		dims[i] = INT64_C(1) << 62;
	if (!qdq_window_init(e, &p->w, x->rank - 2, dims, w->dims + 2))
		return false;
	memcpy(p->w.in, x->dims + 2, (size_t)p->w.rank * sizeof *p->w.in);
	if (!transpose_geometry(e, &p->w))
		return false;
	p->out_dims[0] = p->batch;
	p->out_dims[1] = p->filters;
	memcpy(p->out_dims + 2, p->w.out, (size_t)p->w.rank * sizeof *p->w.out);
	return true;
}

/* Each input element goes, times the kernel, to the window that it stands for in the output. */
static void transpose_plane(const qdq_window *w, const double *x, const double *kernel, double *y)
{
	int64_t in[QDQ_EVAL_RANK] = {0};

	do {
		int64_t k[QDQ_EVAL_RANK] = {0};
		const double *factor = kernel;
		do {
			int64_t offset = 0;
			bool inside = true;
			for (int i = 0; i < w->rank && inside; i++) {
				int64_t at = in[i] * w->stride[i] + k[i] * w->dilation[i] - w->pad[i];
				inside = at >= 0 && at < w->out[i];
				offset = offset * w->out[i] + at;
			}
			if (inside)
				y[offset] += *x * *factor;
			factor++;
		} while (qdq_next_index(w->rank, k, w->kernel));
		x++;
	} while (qdq_next_index(w->rank, in, w->in));
}

bool qdq_eval_conv_transpose(qdq_eval *e)
{
	const qdq_tensor *x = qdq_eval_in(e, 0), *w = qdq_eval_in(e, 1), *bias = qdq_eval_in(e, 2);
	conv p;

	if (!qdq_eval_is_real(x) || !transpose_init(e, &p, x, w) || w->type != x->type ||
	    (bias != NULL && bias->type != x->type))
		return false;
	double *y = qdq_eval_new_doubles(e, x->type, p.rank, p.out_dims);
	if (y == NULL)
		return false;
	const double *a = qdq_eval_doubles(e, x), *b = qdq_eval_doubles(e, w);
	int64_t in = qdq_product(p.w.in, 0, p.w.rank), out = qdq_product(p.w.out, 0, p.w.rank);
	int64_t kernel = qdq_product(p.w.kernel, 0, p.w.rank), each = p.channels / p.group;
	int64_t filters = p.filters / p.group;
	for (int64_t at = 0; out > 0 && at < p.batch * p.channels; at++) {
		int64_t n = at / p.channels, c = at % p.channels, group = c / each;
		for (int64_t m = 0; m < filters; m++)
			transpose_plane(&p.w, a + at * in, b + (c * filters + m) * kernel,
					y + (n * p.filters + group * filters + m) * out);
	}
	return conv_bias(e, &p, bias, y) && qdq_eval_put_doubles(e, 0, x->type, p.rank, p.out_dims, y);
}

/* ---- with quantized operands and result ---- */

/* Scales of one factor: one, or `count`. */
static const double *scales_of(qdq_eval *e, const qdq_tensor *t, int64_t count)
{
	return qdq_eval_is_real(t) && (t->count == 1 || (int64_t)t->count == count) ? qdq_eval_doubles(e, t) : NULL;
}

/* values[i] *= a * b[channel] / y, as runtimes do it: one float factor for each channel, one float product. */
static bool rescale(qdq_eval *e, double *values, int64_t count, int64_t inner, int64_t channels, const qdq_tensor *a,
		    const qdq_tensor *b, const qdq_tensor *y)
{
	const double *sa = scales_of(e, a, 1), *sb = scales_of(e, b, channels), *sy = y ? scales_of(e, y, 1) : NULL;

	if (sa == NULL || sb == NULL || (y != NULL && sy == NULL))
		return false;
	for (int64_t i = 0; i < count; i++) {
		float factor = (float)sa[0] * (float)sb[b->count == 1 ? 0 : i / inner % channels];
		if (sy != NULL)
			factor /= (float)sy[0];
		values[i] = (double)((float)values[i] * factor);
	}
	return true;
}

bool qdq_eval_qlinear_conv(qdq_eval *e)
{
	const qdq_tensor *x = qdq_eval_in(e, 0), *w = qdq_eval_in(e, 3);
	conv p;

	if (!conv_init(e, &p, x, w) || qdq_attr_int(e->n, "channels_last", 0) != 0)
		return false;
	const double *a = centered(e, x, qdq_eval_in(e, 2), -1), *b = centered(e, w, qdq_eval_in(e, 5), 0);
	double *y = qdq_eval_new_doubles(e, x->type, p.rank, p.out_dims);
	if (a == NULL || b == NULL || y == NULL)
		return false;
	conv_run(&p, a, b, y);
	int64_t count = qdq_product(p.out_dims, 0, p.rank), plane = qdq_product(p.out_dims, 2, p.rank);
	return conv_bias(e, &p, qdq_eval_in(e, 8), y) &&
	       rescale(e, y, count, plane, p.filters, qdq_eval_in(e, 1), qdq_eval_in(e, 4), qdq_eval_in(e, 6)) &&
	       qdq_eval_requantize(e, 0, p.rank, p.out_dims, y, NULL, qdq_eval_in(e, 7));
}

bool qdq_eval_qlinear_matmul(qdq_eval *e)
{
	const qdq_tensor *a = qdq_eval_in(e, 0), *b = qdq_eval_in(e, 3);
	matmul p;

	if (a == NULL || b == NULL || !matmul_init(&p, a, b))
		return false;
	const double *x = centered(e, a, qdq_eval_in(e, 2), a->rank - 2);
	const double *y = centered(e, b, qdq_eval_in(e, 5), b->rank - 1);
	double *c = qdq_eval_new_doubles(e, QDQ_TYPE_INT8, p.out_rank, p.out_dims);
	if (x == NULL || y == NULL || c == NULL)
		return false;
	matmul_run(&p, x, y, c);
	return rescale(e, c, qdq_product(p.out_dims, 0, p.out_rank), 1, p.n, qdq_eval_in(e, 1), qdq_eval_in(e, 4),
		       qdq_eval_in(e, 6)) &&
	       qdq_eval_requantize(e, 0, p.out_rank, p.out_dims, c, NULL, qdq_eval_in(e, 7));
}

/* com.microsoft: alpha * A' B' + C on codes, C being int32 in the product's scale; without an output scale, float. */
bool qdq_eval_qgemm(qdq_eval *e)
{
	const qdq_tensor *a = qdq_eval_in(e, 0), *b = qdq_eval_in(e, 3), *add = qdq_eval_in(e, 6);
	float alpha = qdq_attr_float(e->n, "alpha", 1);
	bool turn_b = qdq_attr_int(e->n, "transB", 0) != 0;
	double *c;
	int64_t dims[2];

	const double *x = centered(e, a, qdq_eval_in(e, 2), -1);
	const double *y = b == NULL ? NULL : centered(e, b, qdq_eval_in(e, 5), turn_b ? 0 : 1);
	if (!gemm_product(e, a, b, x, y, QDQ_TYPE_FLOAT, dims, &c) || (add != NULL && !gemm_add(e, add, 1, dims, c)))
		return false;
	int64_t count = dims[0] * dims[1];
	if (!rescale(e, c, count, 1, dims[1], qdq_eval_in(e, 1), qdq_eval_in(e, 4), qdq_eval_in(e, 7)))
		return false;
	for (int64_t i = 0; i < count; i++)
		c[i] = (double)((float)c[i] * alpha);
	if (qdq_eval_in(e, 7) == NULL)
		return qdq_eval_put_doubles(e, 0, QDQ_TYPE_FLOAT, 2, dims, c);
	return qdq_eval_requantize(e, 0, 2, dims, c, NULL, qdq_eval_in(e, 8));
}

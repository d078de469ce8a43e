/* SPDX-License-Identifier: Apache-2.0
 *
 * window.c -- the geometry of convolutions and pools, and the pools themselves
 *
 * A window slides over the spatial dimensions of an (N, C, D1, D2 …) tensor. Attributes give kernel, strides, dilations
 * and pads; auto_pad chooses pads by itself; ceil_mode lets a last window hang over the end.
 */
#include <math.h>

#include "kernel.h"

/* Attribute `name` has nothing, or one positive number (non-negative for pads) for each place. */
static bool read_list(const qdq_node *n, const char *name, int count, int64_t absent, int64_t least, int64_t *out)
{
	size_t given;
	const int64_t *values = qdq_attr_ints(n, name, &given);

	if (given != 0 && given != (size_t)count)
		return false;
	for (int i = 0; i < count; i++) {
		out[i] = given != 0 ? values[i] : absent;
		if (out[i] < least || out[i] > INT32_MAX)
			return false;
	}
	return true;
}

/* Pads by auto_pad, for one dimension; the odd one goes to the side that it names. */
static void auto_pad(qdq_window *w, int i, int64_t extent, bool upper)
{
	w->out[i] = w->in[i] == 0 ? 0 : (w->in[i] - 1) / w->stride[i] + 1;
	int64_t total = (w->out[i] - 1) * w->stride[i] + extent - w->in[i];
	total = total < 0 ? 0 : total;
	w->pad[i] = upper ? total / 2 : total - total / 2;
	w->pad_end[i] = total - w->pad[i];
}

bool qdq_window_init(qdq_eval *e, qdq_window *w, int rank, const int64_t *in, const int64_t *kernel)
{
	const qdq_node *n = e->n;
	int64_t pads[2 * QDQ_EVAL_RANK];
	bool ceil_mode = qdq_attr_int(n, "ceil_mode", 0) != 0;
	bool upper = qdq_attr_string_is(n, "auto_pad", "NOTSET", "SAME_UPPER");
	bool lower = qdq_attr_string_is(n, "auto_pad", "NOTSET", "SAME_LOWER");
	bool valid = qdq_attr_string_is(n, "auto_pad", "NOTSET", "VALID");

	w->rank = rank;
	if (!read_list(n, "strides", rank, 1, 1, w->stride) || !read_list(n, "dilations", rank, 1, 1, w->dilation) ||
	    !read_list(n, "pads", 2 * rank, 0, 0, pads) || !read_list(n, "kernel_shape", rank, -1, -1, w->kernel))
		return false;
	for (int i = 0; i < rank; i++) {
		w->in[i] = in[i];
		if (kernel != NULL) {
			if (w->kernel[i] != -1 && w->kernel[i] != kernel[i])
				return false;
			w->kernel[i] = kernel[i];
		}
		if (w->kernel[i] < 1 || w->kernel[i] > INT32_MAX)
			return false;
		w->pad[i] = valid ? 0 : pads[i];
		w->pad_end[i] = valid ? 0 : pads[rank + i];
		int64_t extent, room;
		if (qdq_mul_overflow(w->kernel[i] - 1, w->dilation[i], &extent) ||
		    qdq_add_overflow(in[i], w->pad[i] + w->pad_end[i] - extent - 1, &room))
			return false;
		extent++;
		if (upper || lower) {
			auto_pad(w, i, extent, upper);
			continue;
		}
		if (room < 0)
			return false;
		w->out[i] = (ceil_mode ? (room + w->stride[i] - 1) / w->stride[i] : room / w->stride[i]) + 1;
		/* a window that would begin behind the end of the input does not count */
		if (ceil_mode && (w->out[i] - 1) * w->stride[i] >= in[i] + w->pad[i])
			w->out[i]--;
	}
	return true;
}

/* ---- pools ---- */

typedef enum pool_kind { POOL_MAX, POOL_AVERAGE, POOL_LP } pool_kind;

typedef struct pool {
	qdq_window w;
	pool_kind kind;
	bool count_pads;   /* an average over the padding too */
	int64_t p;	   /* of LpPool */
	bool column_major; /* of MaxPool's indices */
} pool;

/* The number of positions of the window that lie inside the padded input (not behind its end, by ceil_mode). */
static int64_t window_size(const pool *p, const int64_t *out)
{
	int64_t size = 1;

	for (int i = 0; i < p->w.rank; i++) {
		int64_t begin = out[i] * p->w.stride[i] - p->w.pad[i], inside = 0;
		for (int64_t k = 0; k < p->w.kernel[i]; k++)
			inside += begin + k * p->w.dilation[i] < p->w.in[i] + p->w.pad_end[i];
		size *= inside;
	}
	return size;
}

/* Position in x that kernel place k of the window at `out` reads; false where it is padding. */
static bool window_source(const qdq_window *w, const int64_t *out, const int64_t *k, int64_t *offset)
{
	*offset = 0;
	for (int i = 0; i < w->rank; i++) {
		int64_t at = out[i] * w->stride[i] - w->pad[i] + k[i] * w->dilation[i];
		if (at < 0 || at >= w->in[i])
			return false;
		*offset = *offset * w->in[i] + at;
	}
	return true;
}

/* One window over one channel; *which is the place of the greatest element. */
static double pool_window(const pool *p, const double *x, const int64_t *out, int64_t *which)
{
	int64_t k[QDQ_EVAL_RANK] = {0}, offset, seen = 0;
	double result = p->kind == POOL_MAX ? -INFINITY : 0;

	*which = -1;
	do {
		if (!window_source(&p->w, out, k, &offset))
			continue;
		double v = x[offset];
		seen++;
		if (p->kind == POOL_AVERAGE) {
			result += v;
		} else if (p->kind == POOL_LP) {
			result += pow(fabs(v), (double)p->p);
		} else if (*which < 0 || v > result || isnan(v)) {
			result = v;
			*which = offset;
		}
	} while (qdq_next_index(p->w.rank, k, p->w.kernel));
	if (p->kind == POOL_AVERAGE)
		result /= (double)(p->count_pads ? window_size(p, out) : seen);
	return p->kind == POOL_LP ? pow(result, 1 / (double)p->p) : result;
}

static int64_t column_major(const qdq_window *w, int64_t offset)
{
	int64_t result = 0, factor[QDQ_EVAL_RANK], product = 1;

	for (int i = 0; i < w->rank; i++) {
		factor[i] = product;
		product *= w->in[i];
	}
	for (int i = w->rank - 1; i >= 0; i--) {
		result += offset % w->in[i] * factor[i];
		offset /= w->in[i];
	}
	return result;
}

/* y (and indices, which may be NULL) of all channels of x. */
static void pool_all(const pool *p, const double *x, int64_t channels, double *y, int64_t *indices)
{
	int64_t plane = qdq_product(p->w.in, 0, p->w.rank), at = 0, which;

	if (channels * qdq_product(p->w.out, 0, p->w.rank) == 0)
		return;
	for (int64_t c = 0; c < channels; c++) {
		int64_t out[QDQ_EVAL_RANK] = {0};
		do {
			y[at] = pool_window(p, x + c * plane, out, &which);
			if (indices != NULL)
				indices[at] = c * plane + (p->column_major ? column_major(&p->w, which) : which);
			at++;
		} while (qdq_next_index(p->w.rank, out, p->w.out));
	}
}

static bool pool_init(qdq_eval *e, const qdq_tensor *x, pool *p, int64_t *dims)
{
	if (x == NULL || x->rank < 3 || !qdq_window_init(e, &p->w, x->rank - 2, x->dims + 2, NULL))
		return false;
	dims[0] = x->dims[0];
	dims[1] = x->dims[1];
	for (int i = 0; i < p->w.rank; i++) {
		dims[i + 2] = p->w.out[i];
		if (p->w.out[i] < 0)
			return false;
	}
	/* the work that attributes alone may ask for */
	const int64_t most = INT64_C(1) << 34;
	int64_t work = 1;
	for (int i = 0; i < x->rank; i++)
		if (qdq_mul_overflow(work, dims[i], &work) ||
		    (i > 1 && qdq_mul_overflow(work, p->w.kernel[i - 2], &work)) || work > most)
			return false;
	p->count_pads = qdq_attr_int(e->n, "count_include_pad", 0) != 0;
	p->p = qdq_attr_int(e->n, "p", 2);
	p->column_major = qdq_attr_int(e->n, "storage_order", 0) != 0;
	return true;
}

bool qdq_eval_pool(qdq_eval *e)
{
	const qdq_tensor *x = qdq_eval_in(e, 0);
	const double *values = qdq_eval_doubles(e, x);
	pool p = {.kind = e->op == QDQ_OP_MaxPool ? POOL_MAX : e->op == QDQ_OP_LpPool ? POOL_LP : POOL_AVERAGE};
	int64_t dims[QDQ_EVAL_RANK], *indices = NULL;

	if (values == NULL || (p.kind != POOL_MAX && !qdq_eval_is_real(x)) || qdq_type_get(x->type)->bits == 64)
		return false;
	if (!pool_init(e, x, &p, dims) || (e->op == QDQ_OP_LpPool && (e->version < 2 || p.p < 1)))
		return false;
	double *y = qdq_eval_new_doubles(e, x->type, x->rank, dims);
	if (y == NULL)
		return false;
	if (p.kind == POOL_MAX && e->n_out > 1) {
		indices = qdq_eval_output(e, 1, QDQ_TYPE_INT64, x->rank, dims);
		if (indices == NULL)
			return false;
	}
	pool_all(&p, values, dims[0] * dims[1], y, indices);
	return qdq_eval_put_doubles(e, 0, x->type, x->rank, dims, y);
}

bool qdq_eval_qlinear_pool(qdq_eval *e)
{
	const qdq_tensor *x = qdq_eval_in(e, 0);
	pool p = {.kind = POOL_AVERAGE};
	int64_t dims[QDQ_EVAL_RANK];
	const double *values;

	if (qdq_attr_int(e->n, "channels_last", 0) != 0 || !pool_init(e, x, &p, dims) ||
	    !qdq_eval_dequantized(e, x, qdq_eval_in(e, 1), qdq_eval_in(e, 2), 0, &values))
		return false;
	double *y = qdq_eval_new_doubles(e, x->type, x->rank, dims);
	if (y == NULL)
		return false;
	pool_all(&p, values, dims[0] * dims[1], y, NULL);
	return qdq_eval_requantize(e, 0, x->rank, dims, y, qdq_eval_in(e, 3), qdq_eval_in(e, 4));
}

/* ---- global pools: the window is the whole plane ---- */

static bool global_pool(qdq_eval *e, const qdq_tensor *x, const double *values, pool_kind kind, int64_t *dims,
			double **out)
{
	pool p = {.kind = kind, .p = qdq_attr_int(e->n, "p", 2)};

	if (x->rank < 3 || p.p < 1)
		return false;
	p.w.rank = x->rank - 2;
	for (int i = 0; i < x->rank; i++)
		dims[i] = i < 2 ? x->dims[i] : 1;
	for (int i = 0; i < p.w.rank; i++) {
		p.w.in[i] = p.w.kernel[i] = x->dims[i + 2];
		p.w.out[i] = p.w.stride[i] = p.w.dilation[i] = 1;
		if (x->dims[i + 2] == 0)
			return false;
	}
	*out = qdq_eval_temp(e, (uint64_t)(dims[0] * dims[1]), sizeof **out);
	pool_all(&p, values, dims[0] * dims[1], *out, NULL);
	return true;
}

bool qdq_eval_global_pool(qdq_eval *e)
{
	const qdq_tensor *x = qdq_eval_in(e, 0);
	pool_kind kind = e->op == QDQ_OP_GlobalMaxPool	? POOL_MAX
			 : e->op == QDQ_OP_GlobalLpPool ? POOL_LP
							: POOL_AVERAGE;
	int64_t dims[QDQ_EVAL_RANK];
	double *y;

	if (!qdq_eval_is_real(x) || (e->op == QDQ_OP_GlobalLpPool && e->version < 2))
		return false;
	return global_pool(e, x, qdq_eval_doubles(e, x), kind, dims, &y) &&
	       qdq_eval_put_doubles(e, 0, x->type, x->rank, dims, y);
}

bool qdq_eval_qlinear_global_pool(qdq_eval *e)
{
	const qdq_tensor *x = qdq_eval_in(e, 0);
	int64_t dims[QDQ_EVAL_RANK];
	const double *values;
	double *y;

	return qdq_attr_int(e->n, "channels_last", 0) == 0 &&
	       qdq_eval_dequantized(e, x, qdq_eval_in(e, 1), qdq_eval_in(e, 2), 0, &values) &&
	       global_pool(e, x, values, POOL_AVERAGE, dims, &y) &&
	       qdq_eval_requantize(e, 0, x->rank, dims, y, qdq_eval_in(e, 3), qdq_eval_in(e, 4));
}

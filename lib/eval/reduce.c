/* SPDX-License-Identifier: Apache-2.0
 *
 * reduce.c -- reductions over axes: sums, means, norms, extremes, ArgMax, CumSum
 *
 * One walk over the input; the output's stride is 0 along what is reduced, so each element is added to its place in an
 * array of accumulators: double for floats, wrapping 64-bit integers for integers.
 */
#include <math.h>

#include "kernel.h"

typedef enum kind { SUM, SUM_SQUARE, SUM_ABS, SUM_EXP, PRODUCT, MAXIMUM, MINIMUM } kind;
typedef enum finish { PLAIN, MEAN, ROOT, LOG } finish;

typedef struct reduce_row {
	kind how;
	finish then;
} reduce_row;

static const reduce_row rows[QDQ_OP_COUNT] = {
    [QDQ_OP_ReduceL1] = {SUM_ABS, PLAIN},  [QDQ_OP_ReduceL2] = {SUM_SQUARE, ROOT},
    [QDQ_OP_ReduceLogSum] = {SUM, LOG},	   [QDQ_OP_ReduceLogSumExp] = {SUM_EXP, LOG},
    [QDQ_OP_ReduceMax] = {MAXIMUM, PLAIN}, [QDQ_OP_ReduceMean] = {SUM, MEAN},
    [QDQ_OP_ReduceMin] = {MINIMUM, PLAIN}, [QDQ_OP_ReduceProd] = {PRODUCT, PLAIN},
    [QDQ_OP_ReduceSum] = {SUM, PLAIN},	   [QDQ_OP_ReduceSumSquare] = {SUM_SQUARE, PLAIN},
};

static double real_step(kind how, double sum, double v)
{
	switch (how) {
	case SUM:
		return sum + v;
	case SUM_SQUARE:
		return sum + v * v;
	case SUM_ABS:
		return sum + fabs(v);
	case PRODUCT:
		return sum * v;
	case MAXIMUM:
		return v > sum || isnan(v) ? v : sum;
	case MINIMUM:
		return v < sum || isnan(v) ? v : sum;
	default:
		return sum + exp(v);
	}
}

static int64_t integer_step(kind how, int64_t sum, int64_t v, int64_t flip)
{
	uint64_t s = (uint64_t)sum, u = (uint64_t)v;

	switch (how) {
	case SUM:
		return (int64_t)(s + u);
	case SUM_SQUARE:
		return (int64_t)(s + u * u);
	case SUM_ABS:
		return (int64_t)(s + (v < 0 && flip == 0 ? 0 - u : u));
	case PRODUCT:
		return (int64_t)(s * u);
	case MAXIMUM:
		return (v ^ flip) > (sum ^ flip) ? v : sum;
	default:
		return (v ^ flip) < (sum ^ flip) ? v : sum;
	}
}

/* What a reduction of nothing gives, in the type itself. */
static int64_t integer_start(kind how, qdq_type type)
{
	bool wide = qdq_type_get(type)->bits == 64, is_signed = qdq_type_get(type)->is_signed;

	switch (how) {
	case PRODUCT:
		return 1;
	case MAXIMUM:
		return wide ? (is_signed ? INT64_MIN : 0) : qdq_type_min(type);
	case MINIMUM:
		return wide ? (is_signed ? INT64_MAX : -1) : qdq_type_max(type);
	default:
		return 0;
	}
}

static double real_start(kind how)
{
	return how == PRODUCT ? 1 : how == MAXIMUM ? -INFINITY : how == MINIMUM ? INFINITY : 0;
}

/* A run that shares one accumulator, or has one for each element. */
static void reduce_run(kind how, const qdq_tensor *x, const qdq_walk *w, double *reals, int64_t *integers)
{
	int64_t flip = x->type == QDQ_TYPE_UINT64 ? INT64_MIN : 0;
	qdq_chunk c;

	for (int64_t i = 0; i < w->run; i += QDQ_CHUNK) {
		size_t n = qdq_min_size(QDQ_CHUNK, (size_t)(w->run - i));
		int64_t to = w->at[1] + i * w->step[1];
		qdq_load(&c, x->type, x->data, w->at[0] + i * w->step[0], w->step[0], n);
		if (integers != NULL) {
			for (size_t k = 0; k < n; k++, to += w->step[1])
				integers[to] = integer_step(how, integers[to], c.i[k], flip);
			continue;
		}
		qdq_convert(&c, x->type, QDQ_TYPE_DOUBLE, n);
		if (w->step[1] == 0) {
			double sum = reals[to];
			for (size_t k = 0; k < n; k++)
				sum = real_step(how, sum, c.d[k]);
			reals[to] = sum;
			continue;
		}
		for (size_t k = 0; k < n; k++, to += w->step[1])
			reals[to] = real_step(how, reals[to], c.d[k]);
	}
}

static void reduce_all(kind how, const qdq_tensor *x, const int64_t *to_strides, double *reals, int64_t *integers)
{
	int64_t strides[QDQ_EVAL_RANK];
	qdq_walk w;

	qdq_walk_init(&w, x->rank, x->dims);
	qdq_strides(x->rank, x->dims, strides);
	qdq_walk_add(&w, 0, strides);
	qdq_walk_add(&w, 0, to_strides);
	for (qdq_walk_start(&w); !w.done; qdq_walk_next(&w))
		reduce_run(how, x, &w, reals, integers);
}

/* log(sum(exp(x))) with the greatest element taken out first. */
static void log_sum_exp(qdq_eval *e, const qdq_tensor *x, const int64_t *to_strides, double *sums, int64_t count)
{
	double *most = qdq_eval_temp(e, (uint64_t)count, sizeof *most);
	const double *values = qdq_eval_doubles(e, x);
	int64_t strides[QDQ_EVAL_RANK];
	qdq_walk w;

	for (int64_t i = 0; i < count; i++)
		most[i] = -INFINITY;
	reduce_all(MAXIMUM, x, to_strides, most, NULL);
	for (int64_t i = 0; i < count; i++)
		if (!isfinite(most[i]))
			most[i] = 0;
	qdq_walk_init(&w, x->rank, x->dims);
	qdq_strides(x->rank, x->dims, strides);
	qdq_walk_add(&w, 0, strides);
	qdq_walk_add(&w, 0, to_strides);
	for (qdq_walk_start(&w); !w.done; qdq_walk_next(&w))
		for (int64_t i = 0; i < w.run; i++) {
			int64_t to = w.at[1] + i * w.step[1];
			sums[to] += exp(values[w.at[0] + i * w.step[0]] - most[to]);
		}
	for (int64_t i = 0; i < count; i++)
		sums[i] = log(sums[i]) + most[i];
}

static double real_finish(finish then, double v, double count)
{
	return then == MEAN ? v / count : then == ROOT ? sqrt(v) : then == LOG ? log(v) : v;
}

/* The accumulators into output 0. */
static bool reduce_store(qdq_eval *e, qdq_type type, finish then, double each, int rank, const int64_t *dims,
			 double *reals, int64_t *integers)
{
	int64_t count = qdq_product(dims, 0, rank);

	if (integers == NULL) {
		for (int64_t i = 0; i < count; i++)
			reals[i] = real_finish(then, reals[i], each);
		return qdq_eval_put_doubles(e, 0, type, rank, dims, reals);
	}
	void *y = qdq_eval_output(e, 0, type, rank, dims);
	if (y == NULL || (then == MEAN && each == 0))
		return false;
	for (int64_t i = 0; i < count; i++) {
		qdq_chunk c = {.i = {integers[i]}};
		if (then != PLAIN) {
			qdq_convert(&c, type, QDQ_TYPE_DOUBLE, 1);
			c.d[0] = real_finish(then, c.d[0], each);
			qdq_convert(&c, QDQ_TYPE_DOUBLE, type, 1);
		}
		qdq_store(&c, type, y, i, 1, 1);
	}
	return true;
}

bool qdq_eval_reduce(qdq_eval *e)
{
	const qdq_tensor *x = qdq_eval_in(e, 0);
	const reduce_row *row = &rows[e->op];
	bool which[QDQ_EVAL_RANK], keep = qdq_attr_int(e->n, "keepdims", 1) != 0;
	int64_t dims[QDQ_EVAL_RANK], whole[QDQ_EVAL_RANK], strides[QDQ_EVAL_RANK];
	int given, rank = 0;

	if (x == NULL || qdq_wide_of(x->type) == QDQ_WIDE_NONE || !qdq_eval_axes(e, 1, x->rank, which, &given))
		return false;
	if (given == 0 && qdq_attr_int(e->n, "noop_with_empty_axes", 0) != 0 && row->how != SUM_EXP &&
	    row->then == PLAIN && row->how != SUM_ABS && row->how != SUM_SQUARE)
		return qdq_eval_share(e, 0, x, x->rank, x->dims);
	bool all = given == 0 && qdq_attr_int(e->n, "noop_with_empty_axes", 0) == 0;
	for (int i = 0; i < x->rank; i++) {
		bool reduced = which[i] || all;
		whole[i] = reduced ? 1 : x->dims[i];
		if (!reduced || keep)
			dims[rank++] = whole[i];
	}
	int64_t count = qdq_product(whole, 0, x->rank), each = 1;
	for (int i = 0; i < x->rank; i++)
		each *= whole[i] == x->dims[i] ? 1 : x->dims[i];
	qdq_strides(x->rank, whole, strides);
	for (int i = 0; i < x->rank; i++)
		strides[i] = whole[i] == 1 ? 0 : strides[i];
	bool integer = qdq_wide_of(x->type) == QDQ_WIDE_INT && row->how != SUM_EXP;
	double *reals = integer ? NULL : qdq_eval_temp(e, (uint64_t)count, sizeof *reals);
	int64_t *integers = integer ? qdq_eval_temp(e, (uint64_t)count, sizeof *integers) : NULL;
	for (int64_t i = 0; i < count; i++) {
		if (integer)
			integers[i] = integer_start(row->how, x->type);
		else
			reals[i] = real_start(row->how);
	}
	if (row->how == SUM_EXP) {
		log_sum_exp(e, x, strides, reals, count);
		return qdq_eval_put_doubles(e, 0, x->type, rank, dims, reals);
	}
	reduce_all(row->how, x, strides, reals, integers);
	return reduce_store(e, x->type, row->then, (double)each, rank, dims, reals, integers);
}

/* ---- ArgMax and ArgMin ---- */

/* Does element b come before element a, as greatest or least? */
static bool beats(const qdq_chunk *b, const qdq_chunk *a, qdq_type type, bool greatest, bool last)
{
	int64_t flip = type == QDQ_TYPE_UINT64 ? INT64_MIN : 0;
	int order;

	switch (qdq_wide_of(type)) {
	case QDQ_WIDE_F32:
		order = (b->f[0] > a->f[0]) - (b->f[0] < a->f[0]);
		break;
	case QDQ_WIDE_F64:
		order = (b->d[0] > a->d[0]) - (b->d[0] < a->d[0]);
		break;
	default:
		order = ((b->i[0] ^ flip) > (a->i[0] ^ flip)) - ((b->i[0] ^ flip) < (a->i[0] ^ flip));
		break;
	}
	return greatest ? order > 0 || (last && order == 0) : order < 0 || (last && order == 0);
}

bool qdq_eval_arg_reduce(qdq_eval *e)
{
	const qdq_tensor *x = qdq_eval_in(e, 0);
	bool greatest = e->op == QDQ_OP_ArgMax, last = qdq_attr_int(e->n, "select_last_index", 0) != 0;
	bool keep = qdq_attr_int(e->n, "keepdims", 1) != 0;
	int64_t dims[QDQ_EVAL_RANK];
	int axis, rank = 0;

	if (x == NULL || qdq_wide_of(x->type) == QDQ_WIDE_NONE ||
	    !qdq_eval_axis(qdq_attr_int(e->n, "axis", 0), x->rank, &axis) || x->dims[axis] == 0)
		return false;
	for (int i = 0; i < x->rank; i++)
		if (i != axis || keep)
			dims[rank++] = i == axis ? 1 : x->dims[i];
	int64_t *y = qdq_eval_output(e, 0, QDQ_TYPE_INT64, rank, dims);
	if (y == NULL)
		return false;
	int64_t outer = qdq_product(x->dims, 0, axis), inner = qdq_product(x->dims, axis + 1, x->rank);
	for (int64_t at = 0; at < outer * inner; at++) {
		int64_t first = at / inner * x->dims[axis] * inner + at % inner;
		qdq_chunk best, c;
		qdq_load(&best, x->type, x->data, first, 1, 1);
		for (int64_t i = 1; i < x->dims[axis]; i++) {
			qdq_load(&c, x->type, x->data, first + i * inner, 1, 1);
			if (beats(&c, &best, x->type, greatest, last)) {
				best = c;
				y[at] = i;
			}
		}
	}
	return true;
}

/* ---- CumSum ---- */

bool qdq_eval_cum_sum(qdq_eval *e)
{
	const qdq_tensor *x = qdq_eval_in(e, 0);
	bool exclusive = qdq_attr_int(e->n, "exclusive", 0) != 0, reverse = qdq_attr_int(e->n, "reverse", 0) != 0;
	const int64_t *where;
	int64_t count;
	int axis;

	if (x == NULL || qdq_wide_of(x->type) == QDQ_WIDE_NONE ||
	    !qdq_eval_ints(e, qdq_eval_in(e, 1), &where, &count) || count != 1 ||
	    !qdq_eval_axis(where[0], x->rank, &axis))
		return false;
	void *y = qdq_eval_output(e, 0, x->type, x->rank, x->dims);
	if (y == NULL)
		return false;
	bool integer = qdq_wide_of(x->type) == QDQ_WIDE_INT;
	int64_t outer = qdq_product(x->dims, 0, axis), inner = qdq_product(x->dims, axis + 1, x->rank);
	int64_t dim = x->dims[axis];
	for (int64_t at = 0; at < outer * inner; at++) {
		int64_t first = at / inner * dim * inner + at % inner;
		double real = 0;
		uint64_t sum = 0;
		for (int64_t k = 0; k < dim; k++) {
			int64_t place = first + (reverse ? dim - 1 - k : k) * inner;
			qdq_chunk c, before;
			qdq_load(&c, x->type, x->data, place, 1, 1);
			if (integer) {
				before.i[0] = (int64_t)sum;
				sum += (uint64_t)c.i[0];
				c.i[0] = (int64_t)sum;
			} else {
				before.d[0] = real;
				qdq_convert(&c, x->type, QDQ_TYPE_DOUBLE, 1);
				real += c.d[0];
				c.d[0] = exclusive ? before.d[0] : real;
				qdq_convert(&c, QDQ_TYPE_DOUBLE, x->type, 1);
			}
			qdq_store(integer && exclusive ? &before : &c, x->type, y, place, 1, 1);
		}
	}
	return true;
}

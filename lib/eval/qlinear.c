/* SPDX-License-Identifier: Apache-2.0
 *
 * qlinear.c -- com.microsoft's pointwise operators and means on codes: dequantize, compute in float, quantize
 */
#include <math.h>

#include "kernel.h"

static double binary(const qdq_eval *e, double a, double b)
{
	return e->op == QDQ_OP_ms_QLinearAdd ? (double)((float)a + (float)b) : (double)((float)a * (float)b);
}

bool qdq_eval_qlinear_binary(qdq_eval *e)
{
	const qdq_tensor *a = qdq_eval_in(e, 0), *b = qdq_eval_in(e, 3);
	int64_t dims[QDQ_EVAL_RANK], strides[QDQ_EVAL_RANK];
	const double *x, *z;
	int rank = 0;
	qdq_walk w;

	if (!qdq_eval_dequantized(e, a, qdq_eval_in(e, 1), qdq_eval_in(e, 2), 0, &x) ||
	    !qdq_eval_dequantized(e, b, qdq_eval_in(e, 4), qdq_eval_in(e, 5), 0, &z) ||
	    !qdq_broadcast_dims(a, &rank, dims) || !qdq_broadcast_dims(b, &rank, dims))
		return false;
	double *y = qdq_eval_new_doubles(e, a->type, rank, dims);
	if (y == NULL)
		return false;
	qdq_walk_init(&w, rank, dims);
	qdq_strides(rank, dims, strides);
	qdq_walk_add(&w, 0, strides);
	qdq_broadcast_strides(a, rank, dims, strides);
	qdq_walk_add(&w, 0, strides);
	qdq_broadcast_strides(b, rank, dims, strides);
	qdq_walk_add(&w, 0, strides);
	for (qdq_walk_start(&w); !w.done; qdq_walk_next(&w))
		for (int64_t i = 0; i < w.run; i++)
			y[w.at[0] + i * w.step[0]] = binary(e, x[w.at[1] + i * w.step[1]], z[w.at[2] + i * w.step[2]]);
	return qdq_eval_requantize(e, 0, rank, dims, y, qdq_eval_in(e, 6), qdq_eval_in(e, 7));
}

bool qdq_eval_qlinear_unary(qdq_eval *e)
{
	const qdq_tensor *x = qdq_eval_in(e, 0);
	float alpha = qdq_attr_float(e->n, "alpha", 0.01f);
	const double *values;

	if (!qdq_eval_dequantized(e, x, qdq_eval_in(e, 1), qdq_eval_in(e, 2), 0, &values))
		return false;
	double *y = qdq_eval_temp(e, x->count, sizeof *y);
	for (uint64_t i = 0; i < x->count; i++) {
		float v = (float)values[i];
		if (e->op == QDQ_OP_ms_QLinearLeakyRelu)
			y[i] = (double)(v >= 0 ? v : alpha * v);
		else
			y[i] = 1 / (1 + exp(-values[i]));
	}
	return qdq_eval_requantize(e, 0, x->rank, x->dims, y, qdq_eval_in(e, 3), qdq_eval_in(e, 4));
}

/* Inputs are the output's scale and zero point, then three for each part. */
bool qdq_eval_qlinear_concat(qdq_eval *e)
{
	const qdq_tensor *first = qdq_eval_in(e, 2);
	int64_t dims[QDQ_EVAL_RANK], at = 0;
	int axis;

	if (first == NULL || e->n_in % 3 != 2 || !qdq_eval_axis(qdq_attr_int(e->n, "axis", 0), first->rank, &axis))
		return false;
	memcpy(dims, first->dims, (size_t)first->rank * sizeof *dims);
	dims[axis] = 0;
	uint64_t count = 0;
	for (uint32_t i = 2; i < e->n_in; i += 3) {
		const qdq_tensor *t = qdq_eval_in(e, i);
		if (t == NULL || t->rank != first->rank)
			return false;
		for (int k = 0; k < t->rank; k++)
			if (k != axis && t->dims[k] != first->dims[k])
				return false;
		dims[axis] += t->dims[axis];
		count += t->count;
	}
	double *y = qdq_eval_temp(e, count, sizeof *y);
	int64_t outer = qdq_product(dims, 0, axis), inner = qdq_product(dims, axis + 1, first->rank);
	for (uint32_t i = 2; i < e->n_in; i += 3) {
		const qdq_tensor *t = qdq_eval_in(e, i);
		const double *values;
		if (!qdq_eval_dequantized(e, t, qdq_eval_in(e, i + 1), qdq_eval_in(e, i + 2), 0, &values))
			return false;
		int64_t length = t->dims[axis] * inner;
		for (int64_t o = 0; o < outer; o++)
			for (int64_t k = 0; k < length; k++)
				y[o * dims[axis] * inner + at + k] = values[o * length + k];
		at += length;
	}
	return qdq_eval_requantize(e, 0, first->rank, dims, y, qdq_eval_in(e, 0), qdq_eval_in(e, 1));
}

bool qdq_eval_qlinear_where(qdq_eval *e)
{
	const qdq_tensor *condition = qdq_eval_in(e, 0), *a = qdq_eval_in(e, 1), *b = qdq_eval_in(e, 4);
	int64_t dims[QDQ_EVAL_RANK], strides[QDQ_EVAL_RANK];
	const double *x, *z;
	int rank = 0;
	qdq_walk w;

	if (condition == NULL || condition->type != QDQ_TYPE_BOOL ||
	    !qdq_eval_dequantized(e, a, qdq_eval_in(e, 2), qdq_eval_in(e, 3), 0, &x) ||
	    !qdq_eval_dequantized(e, b, qdq_eval_in(e, 5), qdq_eval_in(e, 6), 0, &z) ||
	    !qdq_broadcast_dims(condition, &rank, dims) || !qdq_broadcast_dims(a, &rank, dims) ||
	    !qdq_broadcast_dims(b, &rank, dims))
		return false;
	double *y = qdq_eval_new_doubles(e, a->type, rank, dims);
	if (y == NULL)
		return false;
	qdq_walk_init(&w, rank, dims);
	qdq_strides(rank, dims, strides);
	qdq_walk_add(&w, 0, strides);
	qdq_broadcast_strides(condition, rank, dims, strides);
	qdq_walk_add(&w, 0, strides);
	qdq_broadcast_strides(a, rank, dims, strides);
	qdq_walk_add(&w, 0, strides);
	qdq_broadcast_strides(b, rank, dims, strides);
	qdq_walk_add(&w, 0, strides);
	const uint8_t *chosen = condition->data;
	for (qdq_walk_start(&w); !w.done; qdq_walk_next(&w))
		for (int64_t i = 0; i < w.run; i++)
			y[w.at[0] + i * w.step[0]] = chosen[w.at[1] + i * w.step[1]] != 0 ? x[w.at[2] + i * w.step[2]]
											  : z[w.at[3] + i * w.step[3]];
	return qdq_eval_requantize(e, 0, rank, dims, y, qdq_eval_in(e, 7), qdq_eval_in(e, 8));
}

bool qdq_eval_qlinear_reduce_mean(qdq_eval *e)
{
	const qdq_tensor *x = qdq_eval_in(e, 0);
	int64_t whole[QDQ_EVAL_RANK], dims[QDQ_EVAL_RANK], own[QDQ_EVAL_RANK], strides[QDQ_EVAL_RANK];
	bool which[QDQ_EVAL_RANK], keep = qdq_attr_int(e->n, "keepdims", 1) != 0;
	const double *values;
	int given, rank = 0;
	qdq_walk w;

	if (!qdq_eval_dequantized(e, x, qdq_eval_in(e, 1), qdq_eval_in(e, 2), 0, &values) || x->count == 0 ||
	    !qdq_eval_axes(e, UINT32_MAX, x->rank, which, &given))
		return false;
	for (int i = 0; i < x->rank; i++) {
		whole[i] = which[i] || given == 0 ? 1 : x->dims[i];
		if (whole[i] == x->dims[i] && !(which[i] || given == 0))
			dims[rank++] = whole[i];
		else if (keep)
			dims[rank++] = 1;
	}
	int64_t count = qdq_product(whole, 0, x->rank);
	double *y = qdq_eval_temp(e, (uint64_t)count, sizeof *y);
	qdq_strides(x->rank, x->dims, own);
	qdq_strides(x->rank, whole, strides);
	for (int i = 0; i < x->rank; i++)
		strides[i] = whole[i] == 1 ? 0 : strides[i];
	qdq_walk_init(&w, x->rank, x->dims);
	qdq_walk_add(&w, 0, own);
	qdq_walk_add(&w, 0, strides);
	for (qdq_walk_start(&w); !w.done; qdq_walk_next(&w))
		for (int64_t i = 0; i < w.run; i++)
			y[w.at[1] + i * w.step[1]] += values[w.at[0] + i * w.step[0]];
	for (int64_t i = 0; i < count; i++)
		y[i] /= (double)((int64_t)x->count / count);
	return qdq_eval_requantize(e, 0, rank, dims, y, qdq_eval_in(e, 3), qdq_eval_in(e, 4));
}

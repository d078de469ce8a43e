/* SPDX-License-Identifier: Apache-2.0
 *
 * norm.c -- Softmax and the normalizations, in double, rounded once
 */
#include <math.h>

#include "kernel.h"

static void softmax_line(double *x, int64_t dim, int64_t stride, bool logarithm)
{
	double most = -INFINITY, sum = 0;

	for (int64_t i = 0; i < dim; i++)
		most = x[i * stride] > most ? x[i * stride] : most;
	for (int64_t i = 0; i < dim; i++)
		sum += exp(x[i * stride] - most);
	for (int64_t i = 0; i < dim; i++) {
		double v = x[i * stride] - most;
		x[i * stride] = logarithm ? v - log(sum) : exp(v) / sum;
	}
}

/* A copy of the input as doubles, to be worked on in place. */
static double *own_doubles(qdq_eval *e, const qdq_tensor *x)
{
	const double *values = qdq_eval_is_real(x) ? qdq_eval_doubles(e, x) : NULL;
	double *own;

	if (values == NULL)
		return NULL;
	own = qdq_eval_temp(e, x->count, sizeof *own);
	if (x->count > 0)
		memcpy(own, values, x->count * sizeof *own);
	return own;
}

/* Up to opset 12 over everything from the axis on, then over the axis alone. */
static bool softmax(const qdq_tensor *x, double *y, int64_t axis_attr, bool old, bool logarithm)
{
	int axis = 0;

	if (x->rank > 0 && !qdq_eval_axis(axis_attr, x->rank, &axis))
		return false;
	int64_t outer = qdq_product(x->dims, 0, axis);
	int64_t dim = qdq_product(x->dims, axis, old || x->rank == 0 ? x->rank : axis + 1);
	int64_t inner = outer * dim == 0 ? 0 : (int64_t)x->count / (outer * dim);
	for (int64_t at = 0; at < outer * inner; at++)
		softmax_line(y + at / inner * dim * inner + at % inner, dim, inner, logarithm);
	return true;
}

bool qdq_eval_softmax(qdq_eval *e)
{
	const qdq_tensor *x = qdq_eval_in(e, 0);
	bool old = e->version < 13;
	double *y = own_doubles(e, x);

	return y != NULL && softmax(x, y, qdq_attr_int(e->n, "axis", old ? 1 : -1), old, e->op == QDQ_OP_LogSoftmax) &&
	       qdq_eval_put_doubles(e, 0, x->type, x->rank, x->dims, y);
}

bool qdq_eval_qlinear_softmax(qdq_eval *e)
{
	const qdq_tensor *x = qdq_eval_in(e, 0);
	const double *values;

	if (!qdq_eval_dequantized(e, x, qdq_eval_in(e, 1), qdq_eval_in(e, 2), 0, &values))
		return false;
	double *y = qdq_eval_temp(e, x->count, sizeof *y);
	memcpy(y, values, x->count * sizeof *y);
	return softmax(x, y, qdq_attr_int(e->n, "axis", -1), qdq_attr_int(e->n, "opset", 13) < 13, false) &&
	       qdq_eval_requantize(e, 0, x->rank, x->dims, y, qdq_eval_in(e, 3), qdq_eval_in(e, 4));
}

bool qdq_eval_batch_norm(qdq_eval *e)
{
	const qdq_tensor *x = qdq_eval_in(e, 0);
	double *y = own_doubles(e, x), epsilon = (double)qdq_attr_float(e->n, "epsilon", 9.999999747378752e-06f);
	const double *parameter[4];

	if (y == NULL || x->rank < 1 || qdq_attr_int(e->n, "training_mode", 0) != 0 ||
	    qdq_attr_int(e->n, "spatial", 1) != 1 || (e->version < 7 && qdq_attr_int(e->n, "is_test", 0) == 0))
		return false;
	int64_t channels = x->rank > 1 ? x->dims[1] : 1;
	for (uint32_t i = 0; i < 4; i++) {
		const qdq_tensor *t = qdq_eval_in(e, i + 1);
		if (!qdq_eval_is_real(t) || (int64_t)t->count != channels)
			return false;
		parameter[i] = qdq_eval_doubles(e, t);
	}
	int64_t inner = qdq_product(x->dims, 2 < x->rank ? 2 : x->rank, x->rank);
	for (uint64_t i = 0; i < x->count; i++) {
		int64_t c = (int64_t)i / inner % channels;
		y[i] = (y[i] - parameter[2][c]) / sqrt(parameter[3][c] + epsilon) * parameter[0][c] + parameter[1][c];
	}
	return qdq_eval_put_doubles(e, 0, x->type, x->rank, x->dims, y);
}

/* Mean 0 and variance 1 over `dim` neighbours; gives back the mean and the inverse deviation. */
static void normalize_line(double *x, int64_t dim, double epsilon, bool centered, double *mean, double *inverse)
{
	double sum = 0, square = 0;

	for (int64_t i = 0; i < dim; i++)
		sum += x[i];
	*mean = centered ? sum / (double)dim : 0;
	for (int64_t i = 0; i < dim; i++)
		square += (x[i] - *mean) * (x[i] - *mean);
	*inverse = 1 / sqrt(square / (double)dim + epsilon);
	for (int64_t i = 0; i < dim; i++)
		x[i] = (x[i] - *mean) * *inverse;
}

/* LayerNormalization, and RMSNormalization, which does not subtract the mean and has no bias. */
bool qdq_eval_layer_norm(qdq_eval *e)
{
	const qdq_tensor *x = qdq_eval_in(e, 0), *scale = qdq_eval_in(e, 1), *bias = qdq_eval_in(e, 2);
	double *y = own_doubles(e, x), epsilon = (double)qdq_attr_float(e->n, "epsilon", 9.999999747378752e-06f);
	bool centered = e->op == QDQ_OP_LayerNormalization;
	int64_t strides[QDQ_EVAL_RANK], dense[QDQ_EVAL_RANK], dims[QDQ_EVAL_RANK];
	int axis, rank;
	qdq_walk w;

	if (y == NULL || !qdq_eval_is_real(scale) || !qdq_eval_axis(qdq_attr_int(e->n, "axis", -1), x->rank, &axis))
		return false;
	int64_t outer = qdq_product(x->dims, 0, axis), dim = qdq_product(x->dims, axis, x->rank);
	double *mean = qdq_eval_temp(e, (uint64_t)outer, sizeof *mean);
	double *inverse = qdq_eval_temp(e, (uint64_t)outer, sizeof *inverse);
	for (int64_t i = 0; i < outer; i++)
		normalize_line(y + i * dim, dim, epsilon, centered, &mean[i], &inverse[i]);
	for (int k = 0; k < 2; k++) { /* times the scale, plus the bias, each broadcast */
		const qdq_tensor *t = k == 0 ? scale : bias;
		if (t == NULL)
			continue;
		rank = x->rank;
		memcpy(dims, x->dims, (size_t)rank * sizeof *dims);
		if (!qdq_eval_is_real(t) || !qdq_broadcast_dims(t, &rank, dims) || rank != x->rank ||
		    memcmp(dims, x->dims, (size_t)rank * sizeof *dims) != 0)
			return false;
		const double *by = qdq_eval_doubles(e, t);
		qdq_walk_init(&w, rank, dims);
		qdq_strides(rank, dims, dense);
		qdq_walk_add(&w, 0, dense);
		qdq_broadcast_strides(t, rank, dims, strides);
		qdq_walk_add(&w, 0, strides);
		for (qdq_walk_start(&w); !w.done; qdq_walk_next(&w))
			for (int64_t i = 0; i < w.run; i++) {
				double *v = &y[w.at[0] + i * w.step[0]], b = by[w.at[1] + i * w.step[1]];
				*v = k == 0 ? *v * b : *v + b;
			}
	}
	for (int i = 0; i < x->rank; i++)
		dims[i] = i < axis ? x->dims[i] : 1;
	qdq_type stash = qdq_attr_int(e->n, "stash_type", 1) == QDQ_TYPE_FLOAT ? QDQ_TYPE_FLOAT : x->type;
	return qdq_eval_put_doubles(e, 0, x->type, x->rank, x->dims, y) &&
	       (e->n_out < 2 || qdq_eval_put_doubles(e, 1, stash, x->rank, dims, mean)) &&
	       (e->n_out < 3 || qdq_eval_put_doubles(e, 2, stash, x->rank, dims, inverse));
}

/* InstanceNormalization, and GroupNormalization over several channels at a time. */
bool qdq_eval_instance_norm(qdq_eval *e)
{
	const qdq_tensor *x = qdq_eval_in(e, 0), *scale = qdq_eval_in(e, 1), *bias = qdq_eval_in(e, 2);
	double *y = own_doubles(e, x), epsilon = (double)qdq_attr_float(e->n, "epsilon", 9.999999747378752e-06f);
	double mean, inverse;

	if (y == NULL || x->rank < 2 || !qdq_eval_is_real(scale) || !qdq_eval_is_real(bias))
		return false;
	int64_t channels = x->dims[1], inner = qdq_product(x->dims, 2, x->rank);
	bool grouped = e->op == QDQ_OP_GroupNormalization;
	int64_t groups = grouped ? qdq_attr_int(e->n, "num_groups", 0) : channels;
	int64_t parameters =
	    grouped && e->version < 21 ? groups : channels; /* one for each group, later each channel */
	if (x->count > 0 && (groups <= 0 || channels % groups != 0))
		return false;
	if ((int64_t)scale->count != parameters || (int64_t)bias->count != parameters)
		return false;
	const double *a = qdq_eval_doubles(e, scale), *b = qdq_eval_doubles(e, bias);
	int64_t each = x->count == 0 ? 1 : channels / groups * inner;
	for (int64_t at = 0; at < (int64_t)x->count; at += each)
		normalize_line(y + at, each, epsilon, true, &mean, &inverse);
	for (int64_t i = 0; i < (int64_t)x->count; i++) {
		int64_t c = i / inner % channels * parameters / channels;
		y[i] = y[i] * a[c] + b[c];
	}
	return qdq_eval_put_doubles(e, 0, x->type, x->rank, x->dims, y);
}

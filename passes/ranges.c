/* SPDX-License-Identifier: Apache-2.0
 *
 * ranges.c -- what a float tensor can be at most: intervals from codes and constants through the operators
 *
 * Codes mean values between their least and their greatest; most operators keep that, some narrow it, and a contraction
 * with constant weights enlarges it by no more than the sum of the weights of its worst channel. It looks back over at
 * most DEPTH operators, and at VISITS of them together.
 */
#include <float.h>
#include <math.h>

#include "ranges.h"

#define DEPTH 12
#define VISITS 1024
#define MOST_ELEMENTS (4u << 20) /* of a constant that is read through */

/* How far it may still look: operators one behind the other, and all together. */
struct limits {
	int depth, visits;
};

static bool range_of(const qdq_value *v, qdq_range *out, struct limits *left);

static qdq_range hull(qdq_range a, qdq_range b)
{
	return (qdq_range){fmin(a.low, b.low), fmax(a.high, b.high)};
}

static bool is_known(const qdq_range *r)
{
	return isfinite(r->low) && isfinite(r->high);
}

static double reach_of(qdq_range r)
{
	return fmax(fabs(r.low), fabs(r.high));
}

/* ---- codes ---- */

qdq_range qdq_range_of_codes(const qdq_params *p)
{
	qdq_range r = {INFINITY, -INFINITY};

	for (uint64_t c = 0; c < p->count; c++) {
		double scale = qdq_params_scale(p, c);
		double low = (double)(qdq_type_min(p->codes) - qdq_params_zero(p, c)) * scale;
		double high = (double)(qdq_type_max(p->codes) - qdq_params_zero(p, c)) * scale;

		r = hull(r, (qdq_range){fmin(low, high), fmax(low, high)});
	}
	return r;
}

/* What a product in the float type loses, relatively. */
static double loss_of(qdq_type real)
{
	return real == QDQ_TYPE_FLOAT16 ? 0x1p-11 : real == QDQ_TYPE_BFLOAT16 ? 0x1p-8 : 0x1p-23;
}

double qdq_rounding_bound(const qdq_params *p, const qdq_range *r)
{
	qdq_range codes = qdq_range_of_codes(p);
	double half = 0;

	for (uint64_t c = 0; c < p->count; c++)
		half = fmax(half, qdq_params_scale(p, c) / 2);
	return fmax(half, fmax(r->high - codes.high, codes.low - r->low)) + 2 * loss_of(p->real) * reach_of(codes);
}

bool qdq_plain_params(const qdq_node *n, qdq_params *p)
{
	qdq_reason why;

	return n != NULL && qdq_params_of(n, p) && qdq_params_movable(p, &why) && p->per_tensor && p->positive;
}

bool qdq_bounded_for(const qdq_run *r, const qdq_node *n)
{
	return !r->options->exact && (r->options->allow_bounded || n->wanted == QDQ_TYPE_INT8);
}

/* ---- constants and contractions ---- */

/* The constant behind v, plain or dequantized: real value of element i. */
struct weight {
	const qdq_tensor *tensor;
	qdq_params params;
	bool quantized;
	uint64_t stride, channels; /* of the axis of the scales */
};

static bool open_weight(const qdq_value *v, struct weight *w)
{
	const qdq_node *dq = qdq_def(v, QDQ_OP_DequantizeLinear);
	qdq_reason why;

	*w = (struct weight){.tensor = qdq_value_constant(v), .stride = 1, .channels = 1};
	if (dq != NULL && qdq_params_of(dq, &w->params) && qdq_params_movable(&w->params, &why)) {
		w->quantized = true;
		w->tensor = qdq_value_constant(qdq_in(dq, 0));
	}
	if (w->tensor == NULL || w->tensor->count > MOST_ELEMENTS || w->tensor->data == NULL)
		return false;
	if (!w->quantized || w->params.per_tensor)
		return w->quantized || w->tensor->type == QDQ_TYPE_FLOAT || w->tensor->type == QDQ_TYPE_FLOAT16;
	if (w->params.axis < 0 || w->params.axis >= w->tensor->rank)
		return false;
	w->channels = w->params.count;
	for (int32_t i = (int32_t)w->params.axis + 1; i < w->tensor->rank; i++)
		w->stride *= (uint64_t)w->tensor->dims[i];
	return w->stride != 0 && w->channels != 0;
}

static double weight_at(const struct weight *w, uint64_t i)
{
	uint64_t c = w->channels == 1 ? 0 : i / w->stride % w->channels;
	double x = NAN;
	int64_t code;

	if (!w->quantized)
		return qdq_tensor_real(w->tensor, i, &x) ? x : NAN;
	if (!qdq_tensor_int(w->tensor, i, &code))
		return NAN;
	return (double)(code - qdq_params_zero(&w->params, c)) * qdq_params_scale(&w->params, c);
}

static bool range_of_constant(const qdq_value *v, qdq_range *out)
{
	struct weight w;

	if (!open_weight(v, &w) || w.tensor->count == 0)
		return false;
	*out = (qdq_range){INFINITY, -INFINITY};
	for (uint64_t i = 0; i < w.tensor->count; i++) {
		double x = weight_at(&w, i);

		if (isnan(x))
			return false;
		*out = hull(*out, (qdq_range){x, x});
	}
	return true;
}

/* The sum of |w| of the output channel where it is greatest. */
static bool greatest_sum(const qdq_node *n, double *out)
{
	qdq_ctx *ctx = n->graph->model->ctx;
	int64_t axis = qdq_free_axis(n, 1);
	uint64_t channels, stride = 1;
	struct weight w;
	double *sums;

	*out = 0;
	if (!open_weight(qdq_in(n, 1), &w) || axis < 0 || axis >= w.tensor->rank)
		return false;
	channels = (uint64_t)w.tensor->dims[axis];
	for (int32_t i = (int32_t)axis + 1; i < w.tensor->rank; i++)
		stride *= (uint64_t)w.tensor->dims[i];
	if (channels == 0 || stride == 0)
		return false;
	sums = qdq_ctx_alloc(ctx, channels * sizeof *sums);
	memset(sums, 0, channels * sizeof *sums);
	for (uint64_t i = 0; i < w.tensor->count; i++)
		sums[i / stride % channels] += fabs(weight_at(&w, i));
	for (uint64_t c = 0; c < channels; c++)
		*out = isnan(sums[c]) ? INFINITY : fmax(*out, sums[c]);
	qdq_ctx_release(ctx, sums, channels * sizeof *sums);
	return isfinite(*out);
}

static bool range_of_contraction(const qdq_node *n, qdq_range *out, struct limits *left)
{
	bool gemm = n->op->id == QDQ_OP_Gemm;
	qdq_range x, bias = {0, 0};
	double sum, alpha = gemm ? fabs((double)qdq_attr_float(n, "alpha", 1)) : 1;
	double beta = gemm ? fabs((double)qdq_attr_float(n, "beta", 1)) : 1, most;

	if (qdq_in(n, 0) == NULL || qdq_in(n, 1) == NULL || !range_of(qdq_in(n, 0), &x, left) || !greatest_sum(n, &sum))
		return false;
	if (qdq_in(n, 2) != NULL && !range_of(qdq_in(n, 2), &bias, left))
		return false;
	most = (alpha * sum * reach_of(x) + beta * reach_of(bias)) *
	       (n->outputs[0]->type == QDQ_TYPE_FLOAT ? 1.00001 : 1.01); /* sums of floats round */
	*out = (qdq_range){-most, most};
	return true;
}

/* ---- operators of one tensor ---- */

enum rule { WITH_ZERO, NOT_NEGATIVE, FIXED };

static const struct {
	qdq_op_id op;
	enum rule rule;
	qdq_range fixed;
} unary[] = {
    /* phi(x) between 0 and x: the range, and 0 */
    {QDQ_OP_AveragePool, WITH_ZERO, {0, 0}},
    {QDQ_OP_GlobalAveragePool, WITH_ZERO, {0, 0}},
    {QDQ_OP_ReduceMean, WITH_ZERO, {0, 0}},
    {QDQ_OP_HardSwish, WITH_ZERO, {0, 0}},
    {QDQ_OP_Gelu, WITH_ZERO, {0, 0}},
    {QDQ_OP_Mish, WITH_ZERO, {0, 0}},
    {QDQ_OP_Softsign, WITH_ZERO, {0, 0}},
    {QDQ_OP_Relu, NOT_NEGATIVE, {0, 0}},
    {QDQ_OP_Sigmoid, FIXED, {0, 1}},
    {QDQ_OP_HardSigmoid, FIXED, {0, 1}},
    {QDQ_OP_Softmax, FIXED, {0, 1}},
    {QDQ_OP_Tanh, FIXED, {-1, 1}},
    {QDQ_OP_Erf, FIXED, {-1, 1}},
    {QDQ_OP_Sin, FIXED, {-1, 1}},
    {QDQ_OP_Cos, FIXED, {-1, 1}},
};

/* LeakyRelu with a slope from 0 to 1, Elu with an alpha from 0 to 1. */
static bool keeps_with_zero(const qdq_node *n)
{
	float alpha = qdq_attr_float(n, "alpha", n->op->id == QDQ_OP_Elu ? 1.0F : 0.01F);

	return (n->op->id == QDQ_OP_LeakyRelu || n->op->id == QDQ_OP_Elu) && alpha >= 0 && alpha <= 1;
}

/* True where n is such an operator; then *good says whether something is known. */
static bool range_of_unary(const qdq_node *n, qdq_range *out, struct limits *left, bool *good)
{
	const qdq_range zero = {0, 0};
	size_t i = 0;

	while (i < QDQ_COUNTOF(unary) && unary[i].op != n->op->id)
		i++;
	if (i == QDQ_COUNTOF(unary) && !keeps_with_zero(n))
		return false;
	if (i < QDQ_COUNTOF(unary) && unary[i].rule == FIXED) {
		*out = unary[i].fixed;
		*good = true;
		return true;
	}
	*good = qdq_in(n, 0) != NULL && range_of(qdq_in(n, 0), out, left);
	if (*good && i < QDQ_COUNTOF(unary) && unary[i].rule == NOT_NEGATIVE)
		*out = (qdq_range){fmax(out->low, 0), fmax(out->high, 0)};
	else if (*good)
		*out = hull(*out, zero);
	return true;
}

/* ---- operators of several ---- */

static bool bound_of(const qdq_node *n, uint32_t input, const char *attribute, double absent, double *out)
{
	if (n->graph->model->opset < 11)
		*out = qdq_attr_find(n, attribute) != NULL ? (double)qdq_attr_float(n, attribute, 0) : absent;
	else if (qdq_in(n, input) == NULL)
		*out = absent;
	else
		return qdq_value_scalar(qdq_in(n, input), out) && !isnan(*out);
	return true;
}

static bool range_of_clip(const qdq_node *n, qdq_range *out, struct limits *left)
{
	qdq_range x = {-INFINITY, INFINITY};
	double low, high;

	range_of(qdq_in(n, 0), &x, left);
	if (!bound_of(n, 1, "min", -INFINITY, &low) || !bound_of(n, 2, "max", INFINITY, &high) || low > high)
		return false;
	*out = (qdq_range){fmin(fmax(x.low, low), high), fmin(fmax(x.high, low), high)};
	return is_known(out);
}

/* Elements are picked, or weighted with numbers from 0 to 1 that add up to 1. */
static bool picks(const qdq_node *n)
{
	if (n->op->id == QDQ_OP_Resize || n->op->id == QDQ_OP_Upsample)
		return !qdq_attr_string_is(n, "mode", "nearest", "cubic");
	return n->op->id != QDQ_OP_ArgMax && n->op->id != QDQ_OP_ArgMin;
}

static bool range_of_picked(const qdq_node *n, const qdq_value *v, qdq_range *out, struct limits *left)
{
	bool any = false;
	qdq_range x;

	if (!picks(n) || v->type == QDQ_TYPE_INT64)
		return false;
	for (uint32_t i = 0; i < n->n_inputs; i++) {
		if (qdq_in(n, i) == NULL || !qdq_op_data_input(n, i))
			continue;
		if (!range_of(qdq_in(n, i), &x, left))
			return false;
		*out = any ? hull(*out, x) : x;
		any = true;
	}
	if (n->op->cls == QDQ_CLASS_MOVE) { /* what fills in is 0 but for these */
		double fill = 0;

		if (n->op->id == QDQ_OP_Pad && n->graph->model->opset < 11)
			fill = (double)qdq_attr_float(n, "value", 0);
		else if (n->op->id == QDQ_OP_Pad && qdq_in(n, 2) != NULL && !qdq_value_scalar(qdq_in(n, 2), &fill))
			return false;
		else if (n->op->id == QDQ_OP_Resize)
			fill = (double)qdq_attr_float(n, "extrapolation_value", 0);
		*out = hull(*out, (qdq_range){fmin(fill, 0), fmax(fill, 0)});
	}
	return any;
}

static bool range_of_binary(const qdq_node *n, qdq_range *out, struct limits *left)
{
	qdq_range a, b;

	if (n->n_inputs != 2 || !range_of(qdq_in(n, 0), &a, left) || !range_of(qdq_in(n, 1), &b, left))
		return false;
	if (n->op->id == QDQ_OP_Add)
		*out = (qdq_range){a.low + b.low, a.high + b.high};
	else if (n->op->id == QDQ_OP_Sub)
		*out = (qdq_range){a.low - b.high, a.high - b.low};
	else
		*out = hull(
		    hull((qdq_range){a.low * b.low, a.low * b.low}, (qdq_range){a.low * b.high, a.low * b.high}),
		    hull((qdq_range){a.high * b.low, a.high * b.low}, (qdq_range){a.high * b.high, a.high * b.high}));
	return true;
}

static bool range_of_node(const qdq_node *n, const qdq_value *v, qdq_range *out, struct limits *left)
{
	bool good;

	if (n->op->id == QDQ_OP_Clip)
		return range_of_clip(n, out, left);
	if (range_of_unary(n, out, left, &good))
		return good;
	if (n->op->id == QDQ_OP_Add || n->op->id == QDQ_OP_Sub || n->op->id == QDQ_OP_Mul)
		return range_of_binary(n, out, left);
	if (qdq_is_move(n))
		return range_of_picked(n, v, out, left);
	return n->op->cls == QDQ_CLASS_CONTRACT && range_of_contraction(n, out, left);
}

static bool look_behind(const qdq_value *v, qdq_range *out, struct limits *left)
{
	bool good;

	left->depth--;
	good = range_of_node(v->def, v, out, left);
	left->depth++;
	return good;
}

static bool range_of(const qdq_value *v, qdq_range *out, struct limits *left)
{
	qdq_reason why;
	qdq_params p;
	qdq_range r;

	if (v == NULL || left->depth == 0 || left->visits == 0)
		return false;
	left->visits--;
	if (qdq_def(v, QDQ_OP_DequantizeLinear) != NULL && qdq_params_of(v->def, &p) && p.codes == QDQ_TYPE_INT32) {
		const qdq_tensor *codes = qdq_value_constant(qdq_in(v->def, 0));
		double most = 0;

		for (uint64_t i = 0; codes != NULL && i < codes->count && p.constant; i++) {
			int64_t code = 0;

			qdq_tensor_int(codes, i, &code);
			most = fmax(most, fabs((double)code * qdq_params_scale(&p, p.per_tensor ? 0 : i % p.count)));
		}
		*out = (qdq_range){-most, most};
		return codes != NULL && p.constant && p.count != 0;
	}
	if (qdq_def(v, QDQ_OP_DequantizeLinear) != NULL && qdq_params_of(v->def, &p) && qdq_params_movable(&p, &why))
		r = qdq_range_of_codes(&p);
	else if (v->def == NULL ? !range_of_constant(v, &r) : !look_behind(v, &r, left))
		return false;
	*out = r;
	return is_known(&r);
}

bool qdq_range_of(const qdq_value *v, qdq_range *out)
{
	struct limits left = {DEPTH, VISITS};

	return range_of(v, out, &left);
}

/* SPDX-License-Identifier: Apache-2.0
 *
 * contract.c -- can a Conv, ConvTranspose, Gemm or MatMul run in INT8? If not, which operand is to blame, and why
 *
 *   sum_k (s_x (x_k - z_x)) (s_w[c] (w_kc - z_w))  =  s_x s_w[c]  sum_k (x_k - z_x)(w_kc - z_w)
 *
 * Scales leave the sum if they do not change along k: an activation's must be one number (or belong to a dimension
 * that is not summed), a weight's may change along the output channels.
 */
#include <math.h>

#include "moves.h"

static bool refuse(qdq_reason *why, qdq_reason_code code, const qdq_value *operand, const char *detail)
{
	*why = (qdq_reason){.code = code, .operand = operand != NULL ? operand->name : NULL, .detail = detail};
	if (operand != NULL && operand->def != NULL)
		why->cause = qdq_node_label(qdq_value_inner(operand)->def);
	return false;
}

/* ---- axes that are not summed over ---- */

static int64_t rank_of(const qdq_value *v)
{
	return v->shape != NULL ? v->shape->rank : -1;
}

/* A depthwise Conv sums over no input channels. */
static bool is_depthwise(const qdq_node *n)
{
	const qdq_value *x = qdq_in(n, 0);

	return n->op->id == QDQ_OP_Conv && rank_of(x) > 1 && x->shape->dim[1] >= 0 &&
	       qdq_attr_int(n, "group", 1) == x->shape->dim[1];
}

int64_t qdq_free_axis(const qdq_node *n, uint32_t index)
{
	const qdq_value *v = qdq_in(n, index);

	switch (n->op->id) {
	case QDQ_OP_Conv:
		return index == 1 ? 0 : is_depthwise(n) ? 1 : -1;
	case QDQ_OP_ConvTranspose:
		return index == 1 ? 1 : -1;
	case QDQ_OP_Gemm:
		if (index == 0)
			return qdq_attr_int(n, "transA", 0) != 0 ? 1 : 0;
		return qdq_attr_int(n, "transB", 0) != 0 ? 0 : 1;
	case QDQ_OP_MatMul:
		if (rank_of(v) < 2)
			return -1;
		return index == 0 ? rank_of(v) - 2 : rank_of(v) - 1;
	default:
		return -1;
	}
}

/* ---- the sum ---- */

/* Length of the sum of one output element, or -1 where it is not known. */
static int64_t sum_length(const qdq_node *n)
{
	const qdq_value *x = qdq_in(n, 0);
	const qdq_value *w = qdq_in(n, 1);
	const qdq_shape *s = w->shape;
	int64_t product = 1;

	if (n->op->id == QDQ_OP_MatMul || n->op->id == QDQ_OP_Gemm) {
		int64_t rank = rank_of(x);
		bool trans = n->op->id == QDQ_OP_Gemm && qdq_attr_int(n, "transA", 0) != 0;

		return rank > 0 && x->shape->dim[trans ? 0 : rank - 1] >= 0 ? x->shape->dim[trans ? 0 : rank - 1] : -1;
	}
	if (s == NULL)
		return -1;
	for (int32_t i = 0; i < s->rank; i++) {
		if (i == (n->op->id == QDQ_OP_Conv ? 0 : 1))
			continue;
		if (s->dim[i] < 0 || qdq_mul_overflow(product, s->dim[i], &product))
			return -1;
	}
	return product;
}

int64_t qdq_params_reach(const qdq_params *p)
{
	qdq_extent zeros = qdq_params_zeros(p);
	int64_t below = (int64_t)zeros.greatest - qdq_type_min(p->codes);
	int64_t above = qdq_type_max(p->codes) - (int64_t)zeros.least;

	return below > above ? below : above;
}

/* Sum of |w - zero| over the whole weight, for the channel where it is greatest; codes are int8 or uint8. The channels
 * lie `stride` apart: element i belongs to channel (i / stride) % channels. */
static int64_t greatest_channel(const qdq_node *n, const qdq_params *p, const qdq_tensor *w)
{
	qdq_ctx *ctx = n->graph->model->ctx;
	int64_t axis = qdq_free_axis(n, 1);
	uint64_t channels, stride = 1;
	int64_t *sums;
	int64_t most = 0;

	if (axis < 0 || axis >= w->rank)
		return INT64_MAX;
	channels = (uint64_t)w->dims[axis];
	for (int32_t i = (int32_t)axis + 1; i < w->rank; i++)
		stride *= (uint64_t)w->dims[i];
	if (channels == 0 || stride == 0)
		return 0;
	sums = qdq_ctx_alloc(ctx, channels * sizeof *sums);
	memset(sums, 0, channels * sizeof *sums);
	for (uint64_t i = 0; i < w->count; i++) {
		uint64_t c = i / stride % channels;
		int64_t code = p->codes == QDQ_TYPE_INT8 ? ((const int8_t *)w->data)[i] : ((const uint8_t *)w->data)[i];
		int64_t value = code - qdq_params_zero(p, p->per_tensor ? 0 : c);

		sums[c] += value < 0 ? -value : value;
	}
	for (uint64_t c = 0; c < channels; c++)
		most = sums[c] > most ? sums[c] : most;
	qdq_ctx_release(ctx, sums, channels * sizeof *sums);
	return most;
}

/* Does the integer sum stay within `limit` for every input? First by the number of terms; only if that says no, from the
 * weights. */
static bool sum_fits(const qdq_node *n, const qdq_params *x, const qdq_params *w, int64_t limit, qdq_reason *why)
{
	int64_t length = sum_length(n);
	int64_t term = qdq_params_reach(x) * qdq_params_reach(w);
	int64_t bound = length;
	const qdq_node *dq = qdq_in(n, 1)->def;
	const qdq_tensor *weight = qdq_value_constant(qdq_in(dq, 0));

	if (length >= 0 && !qdq_mul_overflow(length, term, &bound) && bound <= limit)
		return true;
	if (length < 0 && weight == NULL)
		return true; /* a symbolic length, as attention has it: whoever binds it knows the bound */
	if (weight != NULL && qdq_type_is_int8(weight->type)) {
		int64_t most = greatest_channel(n, w, weight);

		if (most != INT64_MAX && !qdq_mul_overflow(most, qdq_params_reach(x), &bound) && bound <= limit)
			return true;
	}
	return refuse(why, QDQ_REASON_ACCUMULATOR, qdq_in(n, 1),
		      qdq_format(&n->graph->model->arena, "up to %lld", (long long)bound));
}

/* ---- operands ---- */

/* Is v constant, or a constant that is quantized in the graph, and moved perhaps? */
static bool is_weight(const qdq_value *v)
{
	const qdq_node *n;

	v = qdq_value_outer((qdq_value *)(uintptr_t)v);
	n = v->def;
	while (n != NULL && n->n_inputs > 0 && qdq_in(n, 0) != NULL &&
	       (n->op->id == QDQ_OP_QuantizeLinear || n->op->id == QDQ_OP_ms_QuantizeLinear ||
		(n->op->cls == QDQ_CLASS_MOVE && n->n_outputs == 1))) {
		for (uint32_t i = 1; i < n->n_inputs; i++)
			if (qdq_in(n, i) != NULL && qdq_value_constant(qdq_in(n, i)) == NULL)
				return false;
		v = qdq_value_outer(qdq_in(n, 0));
		n = v->def;
	}
	return qdq_value_constant(v) != NULL;
}

bool qdq_contract_operand(const qdq_node *n, uint32_t index, qdq_params *p, qdq_reason *why)
{
	const qdq_value *v = qdq_in(n, index);
	const qdq_node *dq = qdq_dequantizer(v);
	qdq_extent scales;

	if (dq == NULL || !qdq_params_of(dq, p)) {
		v = qdq_value_outer(qdq_in(n, index));
		if (index == 1 && qdq_value_constant(v) != NULL)
			return refuse(why, QDQ_REASON_WEIGHT_FLOAT, v, NULL);
		qdq_float_reason(v, why);
		return refuse(why, why->code, v, why->detail);
	}
	if (!qdq_params_movable(p, why)) {
		why->operand = v->name;
		why->cause = qdq_node_label(dq);
		return false;
	}
	if (dq->op->id == QDQ_OP_ms_DequantizeLinear && p->real != QDQ_TYPE_FLOAT)
		return refuse(why, QDQ_REASON_OPSET, v, "a DequantizeLinear of float16 inside a fused operator");
	scales = qdq_params_scales(p);
	if (!isfinite(scales.least) || !isfinite(scales.greatest))
		return refuse(why, QDQ_REASON_SCALE_SIGN, v, NULL);
	if (!p->per_tensor && p->axis != qdq_free_axis(n, index)) {
		bool weight = index == 1 || is_weight(qdq_in(dq, 0));
		const char *axis = qdq_format(&n->graph->model->arena, "%lld", (long long)p->axis);

		return refuse(why, weight ? QDQ_REASON_WEIGHT_AXIS : QDQ_REASON_INPUT_PER_CHANNEL, v, axis);
	}
	return true;
}

bool qdq_contract_int8(const qdq_node *n, qdq_reason *why)
{
	return qdq_contract_within(n, INT32_MAX, why);
}

bool qdq_contract_within(const qdq_node *n, int64_t limit, qdq_reason *why)
{
	qdq_reason weight_why;
	qdq_params x, w;
	bool input, weight;

	if (qdq_in(n, 0) == NULL || qdq_in(n, 1) == NULL)
		return false;
	input = qdq_contract_operand(n, 0, &x, why);
	weight = qdq_contract_operand(n, 1, &w, &weight_why);
	if (!input && !weight && why->code == QDQ_REASON_INPUT_FLOAT && weight_why.code == QDQ_REASON_WEIGHT_FLOAT)
		return refuse(why, QDQ_REASON_BOTH_FLOAT, qdq_value_outer(qdq_in(n, 0)), NULL);
	if (!input)
		return false;
	if (!weight) {
		*why = weight_why;
		return false;
	}
	if ((n->op->id == QDQ_OP_Conv || n->op->id == QDQ_OP_ConvTranspose) && !is_weight(qdq_in(qdq_in(n, 1)->def, 0)))
		return refuse(why, QDQ_REASON_WEIGHT_DYNAMIC, qdq_in(n, 1), NULL);
	return sum_fits(n, &x, &w, limit, why);
}

/* float products of the exporter's and ours differ by a rounding or two */
#define CLOSE 1e-5

bool qdq_bias_scale_fits(const qdq_node *n)
{
	qdq_params x, w, b;
	const qdq_tensor *weights, *biases;
	uint64_t channels;
	double input;

	if (!qdq_params_of(qdq_in(n, 2)->def, &b) || b.codes != QDQ_TYPE_INT32 || !b.constant ||
	    !qdq_params_of(qdq_in(n, 0)->def, &x) || !x.constant || !qdq_params_of(qdq_in(n, 1)->def, &w) ||
	    !w.constant)
		return true;
	if (!b.per_tensor && b.axis != rank_of(qdq_in(n, 2)) - 1)
		return false; /* one for each row of a Gemm's result */
	channels = b.count > w.count ? b.count : w.count;
	input = qdq_params_scale(&x, 0);
	weights = qdq_value_constant(w.scale);
	biases = qdq_value_constant(b.scale);
	for (uint64_t c = 0; c < channels; c++) {
		double product = input * qdq_scale_at(weights, c), given = qdq_scale_at(biases, c);

		if (fabs(product - given) > CLOSE * fabs(product))
			return false;
	}
	return true;
}

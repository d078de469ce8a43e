/* SPDX-License-Identifier: Apache-2.0
 *
 * repair_weights -- a float weight whose partner is quantized gets its codes
 *
 *   q -- DQ --.                       q -- DQ --.
 *   w --------+-- Conv -- y    =>    w' -- DQ --+-- Conv -- y      w' = round(w / s), s[c] = max |w[c]| / 127
 *
 *   When    a Conv, ConvTranspose, Gemm or MatMul reads a DQ that could be multiplied in INT8, and a float constant. One
 *           scale for each output channel (one for all before opset 13, and of ConvTranspose for TensorRT, which has no
 *           kernel for its channels), symmetric; a channel of zeros takes the least scale of the others
 *   Keeps   the weight itself for other readers; a weight that is not finite, or whose integer sum may pass 32 bits
 *   Exact   BOUNDED, and the only one that runs without --allow=bounded: half an operator that was meant to be INT8 runs
 *           in float otherwise. The bound is max |x| times the sum of |w - DQ(w')|, of the channel where it is greatest
 *   Needs   types and shapes                Breaks  nothing
 *   After   fold, sink_dq                   Before  hoist_q, fuse
 *   Tests   test/golden/repair_weights/     Ref     ONNX Runtime's WeightBiasQuantization, TensorRT developer guide
 */
#include <float.h>
#include <math.h>

#include "moves.h"

#define MOST 127 /* the symmetric codes are -127 to 127 */

/* A weight on its way: element i belongs to the channel i / stride % channels. */
struct weight {
	const qdq_tensor *tensor;
	int64_t axis; /* -1: one scale for all */
	uint64_t channels, stride;
	double *greatest, *lost; /* of each channel: greatest |w|, then the sum of |w - DQ(w')| */
	int64_t *sums;		 /* of |w'| */
	qdq_tensor *codes, *scales, *zeros;
};

static uint64_t channel_of(const struct weight *w, uint64_t i)
{
	return w->channels == 1 ? 0 : i / w->stride % w->channels;
}

static float element(const qdq_tensor *t, uint64_t i)
{
	uint16_t half;
	float f;

	if (t->type == QDQ_TYPE_FLOAT16) {
		memcpy(&half, (const char *)t->data + i * sizeof half, sizeof half);
		return qdq_f16_to_f32(half);
	}
	memcpy(&f, (const char *)t->data + i * sizeof f, sizeof f); /* a file's tensors may lie anywhere */
	return f;
}

/* ---- what can be completed ---- */

/* The axis that may have scales of its own, or -1. */
static int64_t channel_axis(const qdq_run *r, const qdq_node *n, uint32_t index)
{
	if (r->model->opset < 13)
		return -1;
	if (n->op->id == QDQ_OP_ConvTranspose && r->options->target == QDQ_TARGET_TENSORRT)
		return -1;
	return qdq_free_axis(n, index);
}

/* The float constant that n reads as operand `index`; NULL: it reads none, or one that no Q takes in this opset. */
static const qdq_tensor *float_weight(const qdq_run *r, const qdq_node *n, uint32_t index)
{
	const qdq_tensor *t = qdq_in(n, index) != NULL ? qdq_value_constant(qdq_in(n, index)) : NULL;

	if (t == NULL || t->count == 0 || t->data == NULL || r->model->opset < 10)
		return NULL;
	return t->type == QDQ_TYPE_FLOAT || (t->type == QDQ_TYPE_FLOAT16 && r->model->opset >= 19) ? t : NULL;
}

/* Greatest |x| of what the DQ of the other operand gives. */
static double greatest_input(const qdq_params *p)
{
	double most = 0;

	for (uint64_t c = 0; c < p->count; c++) {
		double zero = (double)qdq_params_zero(p, c);
		double below = zero - (double)qdq_type_min(p->codes), above = (double)qdq_type_max(p->codes) - zero;
		double reach = (below > above ? below : above) * fabs(qdq_params_scale(p, c));

		most = reach > most ? reach : most;
	}
	return most;
}

static bool measure(qdq_run *r, struct weight *w)
{
	w->channels = w->axis >= 0 ? (uint64_t)w->tensor->dims[w->axis] : 1;
	w->stride = 1;
	for (int32_t i = (int32_t)w->axis + 1; w->axis >= 0 && i < w->tensor->rank; i++)
		w->stride *= (uint64_t)w->tensor->dims[i];
	w->greatest = qdq_array(&r->scratch, double, w->channels);
	w->lost = qdq_array(&r->scratch, double, w->channels);
	w->sums = qdq_array(&r->scratch, int64_t, w->channels);
	for (uint64_t i = 0; i < w->tensor->count; i++) {
		double x = fabs((double)element(w->tensor, i));
		double *most = &w->greatest[channel_of(w, i)];

		if (!(x <= FLT_MAX))
			return false;
		*most = x > *most ? x : *most;
	}
	return true;
}

/* ---- scales and codes ---- */

/* The least scale of the weight's type that reaches x with 127 steps; a normal number, so that nothing is lost in it. */
static double scale_for(qdq_type type, double x)
{
	float s = (float)(x / MOST);

	if (type == QDQ_TYPE_FLOAT)
		return (double)(s < FLT_MIN ? FLT_MIN : s);
	s = qdq_f16_to_f32(qdq_f32_to_f16(s));
	if ((double)s * MOST < x)
		s = qdq_f16_to_f32((uint16_t)(qdq_f32_to_f16(s) + 1));
	return (double)(s < 0x1p-14F ? 0x1p-14F : s);
}

static void put_scale(const struct weight *w, uint64_t c, double scale)
{
	char *data = (char *)(uintptr_t)w->scales->data;
	float f = (float)scale;
	uint16_t half = qdq_f32_to_f16(f);

	if (w->scales->type == QDQ_TYPE_FLOAT)
		memcpy(data + c * sizeof f, &f, sizeof f);
	else
		memcpy(data + c * sizeof half, &half, sizeof half);
}

static void choose_scales(const struct weight *w)
{
	double least = 0;

	for (uint64_t c = 0; c < w->channels; c++) {
		double scale = scale_for(w->tensor->type, w->greatest[c]);

		if (w->greatest[c] > 0 && (least == 0 || scale < least))
			least = scale;
		put_scale(w, c, scale);
	}
	for (uint64_t c = 0; c < w->channels; c++)
		if (w->greatest[c] == 0)
			put_scale(w, c, least > 0 ? least : 1);
}

static void quantize(qdq_run *r, struct weight *w)
{
	int32_t rank = w->axis >= 0 ? 1 : 0;
	int64_t dims = (int64_t)w->channels;
	int8_t *codes;

	w->codes = qdq_tensor_new(r->model, QDQ_TYPE_INT8, w->tensor->rank, w->tensor->dims);
	w->scales = qdq_tensor_new(r->model, w->tensor->type, rank, &dims);
	w->zeros = qdq_tensor_new(r->model, QDQ_TYPE_INT8, rank, &dims);
	choose_scales(w);
	codes = (int8_t *)(uintptr_t)w->codes->data;
	for (uint64_t i = 0; i < w->tensor->count; i++) {
		uint64_t c = channel_of(w, i);
		float x = element(w->tensor, i), scale = element(w->scales, c);
		double q = qdq_round_half_even((double)(x / scale));
		int code = q > MOST ? MOST : q < -MOST ? -MOST : (int)q;
		float back = (float)code * scale;

		codes[i] = (int8_t)code;
		if (w->tensor->type == QDQ_TYPE_FLOAT16)
			back = qdq_f16_to_f32(qdq_f32_to_f16(back));
		w->lost[c] += fabs((double)x - (double)back);
		w->sums[c] += code < 0 ? -code : code;
	}
}

/* ---- one operator ---- */

static qdq_value *constant(qdq_run *r, const qdq_value *w, const char *what, const qdq_tensor *t)
{
	qdq_name name = qdq_unique_name(&r->model->names, qdq_format(&r->scratch, "%s_%s", w->name, what));

	return qdq_graph_add_constant(r->graph, name, t);
}

static void insert(qdq_run *r, qdq_node *n, uint32_t index, const struct weight *w)
{
	const qdq_value *old = qdq_in(n, index);
	qdq_value *codes = constant(r, old, "codes", w->codes);
	qdq_params p = {.codes = QDQ_TYPE_INT8,
			.real = w->tensor->type,
			.scale = constant(r, old, "scale", w->scales),
			.zero = constant(r, old, "zero_point", w->zeros),
			.constant = true,
			.per_tensor = w->axis < 0 || w->channels == 1,
			.axis = w->axis,
			.count = w->channels,
			.positive = true};
	qdq_node *dq =
	    qdq_dequantize_insert(n->graph, n, codes, &p, qdq_format(&r->scratch, "%s_dq", old->name), n->origin);

	if (w->axis >= 0)
		qdq_attr_set_int(dq, "axis", w->axis);
	qdq_use_set(&n->inputs[index], dq->outputs[0]);
}

static void decline(qdq_run *r, const qdq_node *n, uint32_t index, qdq_reason_code code, const char *detail)
{
	qdq_reason why = {.code = code, .operand = qdq_in(n, index)->name, .detail = detail};

	qdq_declined(r, "repair_weights.complete", n->origin, &why);
}

static void complete(qdq_run *r, qdq_node *n, uint32_t index)
{
	struct weight w = {.tensor = float_weight(r, n, index)};
	double bound = 0, alpha = n->op->id == QDQ_OP_Gemm ? fabs((double)qdq_attr_float(n, "alpha", 1)) : 1;
	int64_t most = 0, sum;
	qdq_params x;
	qdq_reason why;

	if (w.tensor == NULL || !qdq_contract_operand(n, 1 - index, &x, &why))
		return;
	if (!qdq_precision_int8(n, r->options->target, &why)) { /* it would not be INT8 all the same */
		qdq_declined(r, "repair_weights.complete", n->origin, &why);
		return;
	}
	w.axis = channel_axis(r, n, index);
	if (r->options->exact) {
		decline(r, n, index, QDQ_REASON_NOT_EXACT, NULL);
		return;
	}
	if (!measure(r, &w)) {
		decline(r, n, index, QDQ_REASON_NOT_FINITE, NULL);
		return;
	}
	quantize(r, &w);
	for (uint64_t c = 0; c < w.channels; c++) {
		most = w.sums[c] > most ? w.sums[c] : most;
		bound = w.lost[c] > bound ? w.lost[c] : bound;
	}
	if (qdq_mul_overflow(most, qdq_params_reach(&x), &sum) || sum > INT32_MAX) {
		decline(r, n, index, QDQ_REASON_ACCUMULATOR,
			qdq_format(&r->model->arena, "up to %lld", (long long)sum));
		return;
	}
	qdq_applied_within(r, "repair_weights.complete", bound * greatest_input(&x) * alpha, n->outputs[0], n->origin);
	insert(r, n, index, &w);
}

static void run(qdq_run *r)
{
	if (!qdq_model_has_class(r->model, QDQ_CLASS_CONTRACT))
		return;
	for (qdq_node *n = r->graph->first; n != NULL; n = qdq_after(n)) {
		if (n->op->cls != QDQ_CLASS_CONTRACT || qdq_out(n, 0) == NULL || qdq_kept_float(n))
			continue;
		complete(r, n, 1);
		if (n->op->id == QDQ_OP_Gemm || n->op->id == QDQ_OP_MatMul)
			complete(r, n, 0);
	}
}

static const qdq_rule rules[] = {
    {.name = "repair_weights.complete",
     .exactness = QDQ_BOUNDED,
     .text = "a float weight becomes int8 codes where the activation is quantized; without --allow=bounded too"},
};

const qdq_pass qdq_pass_repair_weights = {
    "repair_weights", "quantize float weights whose partner is quantized", rules, QDQ_COUNTOF(rules), run, false};

/* SPDX-License-Identifier: Apache-2.0
 *
 * fold_bn -- BatchNormalization into the weights in front of it, where not one bit changes; for ONNX Runtime any
 *
 *   x -- Conv(DQ(w, s)) -- BN -- y     =>   x -- Conv(DQ(w, s * a)) -- y       a[c] = gamma[c] / sqrt(var[c] + epsilon)
 *   x -- Conv(DQ(w, s), b) -- BN -- y  =>   x -- Conv(DQ(v, s * |a|), (b - mean) * a + beta) -- y      v[c] is w[c] or -w[c]
 *
 *   When    every a[c] is a power of two, mean and beta are 0, and the Conv, ConvTranspose or Gemm has no bias: then
 *           all that happens to its sums is an exact scaling, which may as well happen to the weights' scales. For
 *           the target ort-cpu, whose integer kernels take nothing between the product and its Q: any a[c] that is not
 *           0, any constant bias, which is at most 8192 steps of the Q behind
 *   Keeps   every other BatchNormalization: it becomes a per-channel step of the epilogue (fuse), in its own arithmetic
 *   Exact   EXACT (but for the sign of a zero, which no quantization sees); STEP1 for the second
 *   Needs   constants                       Breaks  nothing
 *   After   fold                            Before  sink_dq, fuse
 *   Tests   test/golden/fold_bn/            Ref     ONNX BatchNormalization
 */
#include <math.h>

#include "moves.h"

static bool floats_of(const qdq_value *v, const float **out, uint64_t *count)
{
	const qdq_tensor *t = qdq_value_constant(v);

	if (t == NULL || t->type != QDQ_TYPE_FLOAT)
		return false;
	*out = t->data;
	*count = t->count;
	return true;
}

static float read_float(const float *data, uint64_t i)
{
	float f;

	memcpy(&f, (const char *)data + i * sizeof f, sizeof f); /* a file's tensors may lie anywhere */
	return f;
}

static bool all_zero(const qdq_value *v, uint64_t channels)
{
	const float *data;
	uint64_t count;

	if (!floats_of(v, &data, &count) || count != channels)
		return false;
	for (uint64_t c = 0; c < count; c++)
		if (read_float(data, c) != 0)
			return false;
	return true;
}

/* The factors of a BatchNormalization that only scales, and by powers of two; NULL: it does more. */
static const float *pure_factors(qdq_run *r, const qdq_node *bn, uint64_t *channels)
{
	const float *gamma, *variance;
	uint64_t count;
	float epsilon = qdq_attr_float(bn, "epsilon", 1e-5f);
	float *factors;

	if (bn->n_inputs < 5 || !floats_of(qdq_in(bn, 1), &gamma, channels) ||
	    !floats_of(qdq_in(bn, 4), &variance, &count) || count != *channels || !all_zero(qdq_in(bn, 2), count) ||
	    !all_zero(qdq_in(bn, 3), count))
		return NULL;
	factors = qdq_array(&r->scratch, float, count);
	for (uint64_t c = 0; c < count; c++) {
		float root = sqrtf(read_float(variance, c) + epsilon);
		int exponent;

		factors[c] = read_float(gamma, c) / root;
		/* both, so that a runtime that divides and one that multiplies by the inverse agree */
		if (!(factors[c] > 0) || frexpf(factors[c], &exponent) != 0.5f || frexpf(root, &exponent) != 0.5f)
			return NULL;
	}
	return factors;
}

/* The scale of the weight's DQ times the factors, for each channel; NULL: it is not that simple. */
static qdq_value *scaled(qdq_run *r, const qdq_node *dq, const qdq_node *n, const float *factors, uint64_t channels)
{
	const qdq_tensor *scale = qdq_value_constant(qdq_in(dq, 1));
	int64_t axis = n->op->id == QDQ_OP_Conv || qdq_attr_int(n, "transB", 0) != 0 ? 0 : 1;
	qdq_tensor *t;
	qdq_params p;

	if (!qdq_params_of(dq, &p) || !p.constant || p.real != QDQ_TYPE_FLOAT || scale->type != QDQ_TYPE_FLOAT ||
	    p.block != 0)
		return NULL;
	if (p.per_tensor ? channels != 1 : p.axis != axis || p.count != channels)
		return NULL;
	t = qdq_tensor_new(r->model, QDQ_TYPE_FLOAT, scale->rank, scale->dims);
	for (uint64_t c = 0; c < channels; c++) {
		float s = read_float(scale->data, c) * factors[c];

		if (!isnormal(s))
			return NULL; /* where the scaling would round */
		memcpy((char *)(uintptr_t)t->data + c * sizeof s, &s, sizeof s);
	}
	return qdq_graph_add_constant(n->graph, qdq_unique_name(&r->model->names, qdq_in(dq, 1)->name), t);
}

/* ---- any factors (ort-cpu) ---- */

#define MOST_STEPS 8192.0 /* of an offset: 24 bits of a float leave 1/2048 of a step */

/* What a BatchNormalization does to a channel: sum * factor + offset. */
typedef struct affine {
	uint64_t channels;
	double *factor, *offset;
} affine;

/* The bias of n, one number for each channel, into `out`; false: it is none. */
static bool add_bias(const qdq_node *n, affine *out)
{
	const qdq_value *v = qdq_in(n, 2);
	const qdq_node *dq = v != NULL ? v->def : NULL;
	const qdq_tensor *t = v != NULL ? qdq_value_constant(dq != NULL ? qdq_in(dq, 0) : v) : NULL;
	qdq_params p = {.count = 1};
	int64_t code;
	double real;

	if (v == NULL)
		return true;
	if (t == NULL || t->rank != 1 || t->count != out->channels || v->type != QDQ_TYPE_FLOAT ||
	    (dq != NULL && (!qdq_is_dequantizer(dq) || !qdq_params_of(dq, &p) || !p.constant || p.block != 0 ||
			    (p.count != 1 && p.count != t->count))))
		return false;
	for (uint64_t c = 0; c < t->count; c++) {
		uint64_t k = p.count == 1 ? 0 : c;

		if (dq == NULL ? !qdq_tensor_real(t, c, &real) : !qdq_tensor_int(t, c, &code))
			return false;
		if (dq != NULL)
			real = (double)(code - (p.zero != NULL ? qdq_params_zero(&p, k) : 0)) * qdq_params_scale(&p, k);
		out->offset[c] += real * out->factor[c];
	}
	return true;
}

/* The Q behind bn, over clamps and sums; NULL: there is none. */
static const qdq_node *quantizer_behind(const qdq_node *bn)
{
	const qdq_value *v = bn->outputs[0];
	const qdq_use *u = qdq_only_use(v);

	while (u != NULL && (qdq_is_clamp(u->node) || u->node->op->id == QDQ_OP_Add)) {
		v = qdq_out(u->node, 0);
		u = v != NULL ? qdq_only_use(v) : NULL;
	}
	for (u = v != NULL ? v->uses : NULL; u != NULL; u = u->next)
		if (qdq_is_quantizer(u->node) && qdq_use_index(u) == 0)
			return u->node;
	return NULL;
}

/* Does a float carry the offsets to a small part of a step of the Q behind, if there is one? */
static bool offsets_fit(const qdq_node *bn, const affine *a)
{
	const qdq_node *q = quantizer_behind(bn);
	qdq_params p;

	if (q == NULL || !qdq_params_of(q, &p) || !p.constant)
		return true;
	for (uint64_t k = 0; k < p.count; k++)
		for (uint64_t c = 0; c < a->channels; c++)
			if (fabs(a->offset[c]) > MOST_STEPS * qdq_params_scale(&p, p.per_tensor ? 0 : k))
				return false;
	return true;
}

static bool any_factors(qdq_run *r, const qdq_node *bn, const qdq_node *n, affine *out)
{
	const float *of[4]; /* gamma, beta, mean, variance */
	float epsilon = qdq_attr_float(bn, "epsilon", 1e-5f);
	uint64_t count;

	for (uint32_t i = 0; i < 4; i++) {
		if (!floats_of(qdq_in(bn, i + 1), &of[i], &count) || (i != 0 && count != out->channels))
			return false;
		out->channels = count;
	}
	out->factor = qdq_array(&r->scratch, double, count);
	out->offset = qdq_array(&r->scratch, double, count);
	for (uint64_t c = 0; c < count; c++) {
		double root = sqrt((double)read_float(of[3], c) + (double)epsilon);

		out->factor[c] = (double)read_float(of[0], c) / root;
		out->offset[c] = (double)read_float(of[1], c) - (double)read_float(of[2], c) * out->factor[c];
		if (!isnormal((float)out->factor[c]) || !isfinite(out->offset[c]))
			return false;
	}
	return add_bias(n, out);
}

/* Codes of the weight, turned around where the factor is negative; NULL: they cannot be. `w` is that of a Conv. */
static qdq_value *turned(qdq_run *r, const qdq_node *dq, const affine *a)
{
	const qdq_tensor *w = qdq_value_constant(qdq_in(dq, 0));
	qdq_tensor *t;
	bool turns = false;

	for (uint64_t c = 0; c < a->channels; c++)
		turns = turns || a->factor[c] < 0;
	if (!turns)
		return qdq_in(dq, 0);
	if (w->type != QDQ_TYPE_INT8)
		return NULL;
	t = qdq_tensor_new(r->model, QDQ_TYPE_INT8, w->rank, w->dims);
	for (uint64_t i = 0; i < w->count; i++) {
		int8_t code = ((const int8_t *)w->data)[i];
		bool negative = a->factor[i / (w->count / a->channels)] < 0;

		if (negative && code == INT8_MIN)
			return NULL;
		((int8_t *)(uintptr_t)t->data)[i] = (int8_t)(negative ? -code : code);
	}
	return qdq_graph_add_constant(r->graph, qdq_unique_name(&r->model->names, qdq_in(dq, 0)->name), t);
}

static qdq_value *float_list(qdq_run *r, const char *hint, const double *values, uint64_t count)
{
	int64_t dim = (int64_t)count;
	qdq_tensor *t = qdq_tensor_new(r->model, QDQ_TYPE_FLOAT, 1, &dim);

	for (uint64_t c = 0; c < count; c++)
		qdq_tensor_set_real(t, c, values[c]);
	return qdq_graph_add_constant(r->graph, qdq_unique_name(&r->model->names, hint), t);
}

/* The DQ of a Conv's weight, whose scales may be others for each output channel. */
static bool takes_factors(const qdq_node *n, const qdq_node *dq, qdq_params *p)
{
	const qdq_tensor *w = qdq_value_constant(qdq_in(dq, 0));

	return n->op->id == QDQ_OP_Conv && w != NULL && w->count != 0 && qdq_type_is_int8(w->type) &&
	       n->graph->model->opset >= 13 && qdq_is(dq, QDQ_OP_DequantizeLinear) && qdq_params_of(dq, p) &&
	       p->constant && p->real == QDQ_TYPE_FLOAT && p->block == 0 && qdq_one_zero(p) &&
	       (p->zero == NULL || qdq_params_zero(p, 0) == 0) &&
	       (p->per_tensor || (p->axis == 0 && (int64_t)p->count == w->dims[0]));
}

/* A zero point for each channel, as many as there are scales. */
static qdq_value *zeros(qdq_run *r, const qdq_node *dq, int64_t channels)
{
	return qdq_graph_add_constant(r->graph, qdq_unique_name(&r->model->names, qdq_in(dq, 1)->name),
				      qdq_tensor_new(r->model, qdq_in(dq, 0)->type, 1, &channels));
}

/* Is n a Conv that takes the whole of bn? Then its weight and bias do. */
static bool take_any(qdq_run *r, const qdq_node *bn, qdq_node *n, qdq_node *dq)
{
	affine a = {.channels = 0};
	qdq_value *codes, *bias;
	double *scale;
	qdq_params p;

	if (r->options->target != QDQ_TARGET_ORT_CPU || !takes_factors(n, dq, &p) || !any_factors(r, bn, n, &a) ||
	    (int64_t)a.channels != qdq_value_constant(qdq_in(dq, 0))->dims[0])
		return false;
	scale = qdq_array(&r->scratch, double, a.channels);
	for (uint64_t c = 0; c < a.channels; c++) {
		scale[c] = qdq_params_scale(&p, p.per_tensor ? 0 : c) * fabs(a.factor[c]);
		if (!isnormal((float)scale[c]))
			return false;
	}
	codes = turned(r, dq, &a);
	if (codes == NULL)
		return false;
	if (!qdq_allowed(r, QDQ_STEP1) || !offsets_fit(bn, &a)) {
		const qdq_reason why = {.code =
					    qdq_allowed(r, QDQ_STEP1) ? QDQ_REASON_BIAS_RANGE : QDQ_REASON_NOT_EXACT,
					.operand = qdq_in(bn, 0)->name};

		qdq_declined(r, "fold_bn.any", bn->origin, &why);
		return false;
	}
	bias = float_list(r, qdq_in(n, 2) != NULL ? qdq_in(n, 2)->name : qdq_in(bn, 2)->name, a.offset, a.channels);
	qdq_use_set(&dq->inputs[0], codes);
	qdq_use_set(&dq->inputs[1], float_list(r, qdq_in(dq, 1)->name, scale, a.channels));
	if (p.per_tensor && qdq_in(dq, 2) != NULL)
		qdq_use_set(&dq->inputs[2], zeros(r, dq, (int64_t)a.channels));
	qdq_attr_set_int(dq, "axis", 0);
	qdq_node_resize_inputs(n, 3);
	qdq_use_set(&n->inputs[2], bias);
	return true;
}

/* ---- both ---- */

static bool take_pure(qdq_run *r, const qdq_node *bn, qdq_node *n, qdq_node *dq)
{
	bool group =
	    n->op->id == QDQ_OP_ConvTranspose && qdq_attr_int(n, "group", 1) != 1; /* axis 1 is not all channels */
	qdq_value *scale;
	const float *factors;
	uint64_t channels;

	if (group || !qdq_is(dq, QDQ_OP_DequantizeLinear) || qdq_in(n, 2) != NULL)
		return false;
	factors = pure_factors(r, bn, &channels);
	scale = factors != NULL ? scaled(r, dq, n, factors, channels) : NULL;
	if (scale != NULL)
		qdq_use_set(&dq->inputs[1], scale);
	return scale != NULL;
}

/* Nobody else may see what changes: the contraction's result, and the weight in front of it. */
static void fold(qdq_run *r, qdq_node *bn)
{
	qdq_value *sum = qdq_in(bn, 0);
	qdq_node *n = sum != NULL ? sum->def : NULL;
	qdq_node *dq;
	qdq_value *y = qdq_out(bn, 0);
	bool pure;

	if (n == NULL || n->graph != bn->graph || n->op->cls != QDQ_CLASS_CONTRACT || n->op->id == QDQ_OP_MatMul ||
	    y == NULL || bn->n_outputs != 1 || bn->n_inputs < 5 || qdq_attr_int(bn, "training_mode", 0) != 0 ||
	    qdq_only_use(sum) == NULL || qdq_in(n, 1) == NULL)
		return;
	dq = qdq_in(n, 1)->def;
	if (dq == NULL || dq->graph != n->graph || qdq_only_use(qdq_in(n, 1)) == NULL)
		return;
	pure = take_pure(r, bn, n, dq);
	if (!pure && !take_any(r, bn, n, dq))
		return;
	qdq_use_set(&bn->inputs[0], NULL);
	n->origin = qdq_origin_join(r->model, n->origin, bn->origin);
	for (uint32_t i = 0; i < n->n_outputs; i++)
		if (n->outputs[i] == sum)
			qdq_value_redefine(y, n, i);
	qdq_applied(r, pure ? "fold_bn.scale" : "fold_bn.any", pure ? QDQ_EXACT : QDQ_STEP1, 0, bn->origin);
	qdq_node_remove(bn);
}

static void run(qdq_run *r)
{
	qdq_node *next;

	if (!qdq_model_has(r->model, QDQ_OP_BatchNormalization))
		return;
	for (qdq_node *n = r->graph->first; n != NULL; n = next) {
		next = qdq_after(n);
		if (n->op->id == QDQ_OP_BatchNormalization)
			fold(r, n);
	}
}

static const qdq_rule rules[] = {
    {.name = "fold_bn.scale",
     .exactness = QDQ_EXACT,
     .text = "BatchNormalization by powers of two goes into the scales of the weight in front"},
    {.name = "fold_bn.any",
     .exactness = QDQ_STEP1,
     .text = "BatchNormalization goes into scales and bias of the Conv in front (target ort-cpu)"},
};

const qdq_pass qdq_pass_fold_bn = {
    "fold_bn", "fold BatchNormalization into the product in front", rules, QDQ_COUNTOF(rules), run, false};

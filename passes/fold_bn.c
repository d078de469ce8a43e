/* SPDX-License-Identifier: Apache-2.0
 *
 * fold_bn -- BatchNormalization into the weights in front of it, where not one bit changes
 *
 *   x -- Conv(DQ(w, s)) -- BN -- y   =>   x -- Conv(DQ(w, s * a)) -- y        a[c] = gamma[c] / sqrt(var[c] + epsilon)
 *
 *   When    every a[c] is a power of two, mean and beta are 0, and the Conv, ConvTranspose or Gemm has no bias: then
 *           all that happens to its sums is an exact scaling, which may as well happen to the weights' scales
 *   Keeps   every other BatchNormalization: it becomes a per-channel step of the epilogue (fuse), in its own arithmetic
 *   Exact   EXACT (but for the sign of a zero, which no quantization sees)
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

static bool has_no_bias(const qdq_node *n)
{
	return qdq_in(n, 2) == NULL;
}

/* Nobody else may see what changes: the contraction's result, and the weight in front of it. */
static void fold(qdq_run *r, qdq_node *bn)
{
	qdq_value *sum = qdq_in(bn, 0);
	qdq_node *n = sum != NULL ? sum->def : NULL;
	qdq_node *dq;
	qdq_value *scale, *y = qdq_out(bn, 0);
	const float *factors;
	uint64_t channels;
	bool group;

	if (n == NULL || n->graph != bn->graph || n->op->cls != QDQ_CLASS_CONTRACT || n->op->id == QDQ_OP_MatMul ||
	    y == NULL || bn->n_outputs != 1 || qdq_attr_int(bn, "training_mode", 0) != 0 || !has_no_bias(n) ||
	    qdq_only_use(sum) == NULL)
		return;
	group = n->op->id == QDQ_OP_ConvTranspose && qdq_attr_int(n, "group", 1) != 1; /* axis 1 is not all channels */
	dq = qdq_def(qdq_in(n, 1), QDQ_OP_DequantizeLinear);
	factors = pure_factors(r, bn, &channels);
	if (group || dq == NULL || factors == NULL || qdq_only_use(dq->outputs[0]) == NULL)
		return;
	scale = scaled(r, dq, n, factors, channels);
	if (scale == NULL)
		return;
	qdq_use_set(&dq->inputs[1], scale);
	qdq_use_set(&bn->inputs[0], NULL);
	n->origin = qdq_origin_join(r->model, n->origin, bn->origin);
	for (uint32_t i = 0; i < n->n_outputs; i++)
		if (n->outputs[i] == sum)
			qdq_value_redefine(y, n, i);
	qdq_applied(r, "fold_bn.scale", QDQ_EXACT, 0, bn->origin);
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
};

const qdq_pass qdq_pass_fold_bn = {
    "fold_bn", "fold BatchNormalization into scales where that is exact", rules, QDQ_COUNTOF(rules), run, false};

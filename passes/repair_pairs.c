/* SPDX-License-Identifier: Apache-2.0
 *
 * repair_pairs -- Q/DQ pairs that stand between operators which are one kernel without them
 *
 *   Conv -- Q -- DQ -- BatchNormalization        =>   Conv -- Clip -- BatchNormalization
 *   Conv -- Q -- DQ -- Add -- DQ (residual)      =>   Conv -- Clip -- Add -- DQ (residual)
 *   Conv -- Q -- DQ --+-- Sigmoid -- Q -- DQ -- Mul   =>   Conv -- Clip --+-- Sigmoid -- Mul
 *                     '--------------------------'                      '---------------'
 *
 *   When    the pair is all that reads the result of a Conv, ConvTranspose, Gemm or MatMul, and a BatchNormalization, an
 *           activation that is computed in float, its own product with a Sigmoid (that pair goes too), or the Add of a
 *           quantized residual is all that reads the pair. Of an Add with a pair on both arms the arm that is computed
 *           last loses it, the other one is the residual. Not for ONNX Runtime, which wants a pair behind every operator;
 *           in front of activations not for our own kernels, which look functions of codes up in a table
 *   Keeps   what the codes could reach (Clip); the name of what DQ gave; pairs in front of Relu and Clip, which sink_dq
 *           takes to the other side
 *   Exact   BOUNDED: half a step, the rounding that is gone
 *   Needs   types                           Breaks  nothing
 *   After   fold, precision                 Before  sink_dq, fuse
 *   Tests   test/golden/repair_pairs/       Ref     TensorRT developer guide, Q/DQ placement recommendations
 */
#include "ranges.h"

#define RULE "repair_pairs.remove"
#define CLIP_HAS_INPUTS 11 /* since this opset */

struct pair {
	qdq_node *q, *dq;
	qdq_params p;
	qdq_node *behind; /* what reads it, and should be one kernel with what is in front */
};

static bool is_gate(const qdq_node *n)
{
	return qdq_is(n, QDQ_OP_Sigmoid) || qdq_is(n, QDQ_OP_HardSigmoid);
}

/* The pair that q begins, if it is all that reads x; per tensor, and equal on both sides. */
static bool find_pair(qdq_node *q, struct pair *out)
{
	const qdq_value *x = qdq_in(q, 0);
	const qdq_use *u;
	qdq_params p;

	if (x == NULL || qdq_only_use(x) == NULL || !qdq_plain_params(q, &out->p))
		return false;
	u = qdq_only_use(q->outputs[0]);
	if (u == NULL || !qdq_is(u->node, QDQ_OP_DequantizeLinear) || u->node->graph != q->graph ||
	    !qdq_plain_params(u->node, &p) || !qdq_params_equal(&p, &out->p))
		return false;
	out->q = q;
	out->dq = u->node;
	return u->node->outputs[0]->n_outputs == 0;
}

/* The only reader of what n gives, behind a pair perhaps. */
static qdq_node *only_reader(const qdq_node *n)
{
	const qdq_use *u = qdq_only_use(n->outputs[0]);
	struct pair pair;

	if (u == NULL || !qdq_is(u->node, QDQ_OP_QuantizeLinear) || !find_pair(u->node, &pair))
		return u != NULL ? u->node : NULL;
	u = qdq_only_use(pair.dq->outputs[0]);
	return u != NULL ? u->node : NULL;
}

/* The Mul of y * gate(y), where these two are all that reads y. */
static qdq_node *gated(const qdq_value *y)
{
	qdq_node *gate = y->uses->node, *mul = y->uses->next->node;

	if (gate->op->id == QDQ_OP_Mul) {
		gate = mul;
		mul = y->uses->node;
	}
	return is_gate(gate) && mul->op->id == QDQ_OP_Mul && !qdq_kept_float(gate) && !qdq_kept_float(mul) &&
		       only_reader(gate) == mul
		   ? mul
		   : NULL;
}

static bool is_contracted(const qdq_value *v, const qdq_graph *g)
{
	return v != NULL && v->def != NULL && v->def->graph == g && v->def->op->cls == QDQ_CLASS_CONTRACT &&
	       !qdq_kept_float(v->def);
}

/* A pair on the arm of the gate: y = x * Q/DQ(gate(x)), x a contraction's result, behind a pair perhaps. */
static qdq_node *gate_mate(const struct pair *pair)
{
	qdq_node *gate = qdq_in(pair->q, 0)->def;
	const qdq_value *x = qdq_in(gate, 0), *inner = x;

	if (qdq_def(x, QDQ_OP_DequantizeLinear) != NULL && qdq_def(qdq_in(x->def, 0), QDQ_OP_QuantizeLinear) != NULL)
		inner = qdq_in(qdq_in(x->def, 0)->def, 0);
	else if (qdq_def(x, QDQ_OP_Clip) != NULL) /* what the pair has become */
		inner = qdq_in(x->def, 0);
	return x != NULL && x->n_uses == 2 && x->n_outputs == 0 && is_contracted(inner, pair->q->graph) ? gated(x)
													: NULL;
}

/* What should follow in one kernel; NULL: the pair may stay. */
static qdq_node *kernel_mate(const struct pair *pair, qdq_target target, const qdq_map *residual_of)
{
	const qdq_value *y = pair->dq->outputs[0], *other;
	bool table =
	    target == QDQ_TARGET_CUDA; /* there, functions of codes are looked up: a pair in front is welcome */
	qdq_node *n = y->n_uses != 0 ? y->uses->node : NULL;

	if (!is_contracted(qdq_in(pair->q, 0), pair->q->graph))
		return NULL;
	if (y->n_uses == 2)
		return table ? NULL : gated(y);
	if (y->n_uses != 1 || qdq_kept_float(n))
		return NULL;
	if (n->op->id == QDQ_OP_BatchNormalization)
		return qdq_use_index(y->uses) == 0 ? n : NULL;
	if (n->op->cls == QDQ_CLASS_POINTWISE && n->op->family == QDQ_FAMILY_ACTIVATION)
		return table ? NULL : n;
	if (n->op->id != QDQ_OP_Add || qdq_map_get(residual_of, n) != NULL)
		return NULL;
	other = qdq_in(n, 1 - qdq_use_index(y->uses));
	return other != y && qdq_def(other, QDQ_OP_DequantizeLinear) != NULL ? n : NULL;
}

static qdq_value *bound(qdq_run *r, const struct pair *pair, const char *what, double x)
{
	qdq_tensor *t = qdq_tensor_new(r->model, qdq_in(pair->q, 0)->type, 0, NULL);
	float f = (float)x;
	uint16_t half = t->type == QDQ_TYPE_FLOAT16 ? qdq_f32_to_f16(f) : qdq_f32_to_bf16(f);

	if (t->type == QDQ_TYPE_FLOAT)
		memcpy((void *)(uintptr_t)t->data, &f, sizeof f);
	else
		memcpy((void *)(uintptr_t)t->data, &half, sizeof half);
	return qdq_graph_add_constant(
	    r->graph,
	    qdq_unique_name(&r->model->names, qdq_format(&r->scratch, "%s_%s", pair->dq->outputs[0]->name, what)), t);
}

static void replace(qdq_run *r, const struct pair *pair)
{
	qdq_range codes = qdq_range_of_codes(&pair->p);
	qdq_value *inputs[3] = {qdq_in(pair->q, 0), NULL, NULL}, *y = pair->dq->outputs[0];
	bool with_inputs = r->model->opset >= CLIP_HAS_INPUTS;
	qdq_node *clip;

	if (is_gate(inputs[0]->def)) { /* from 0 to 1 by itself */
		qdq_value_replace_uses(y, inputs[0]);
		qdq_node_remove(pair->dq);
		qdq_node_remove(pair->q);
		return;
	}
	if (with_inputs) {
		inputs[1] = bound(r, pair, "low", codes.low);
		inputs[2] = bound(r, pair, "high", codes.high);
	}
	clip =
	    qdq_node_insert(r->graph, pair->q, QDQ_OP_Clip, y->name, with_inputs ? 3 : 1, inputs, 1, pair->q->origin);
	if (!with_inputs) {
		qdq_attr_set_float(clip, "min", (float)codes.low);
		qdq_attr_set_float(clip, "max", (float)codes.high);
	}
	qdq_use_set(&pair->dq->inputs[0], NULL);
	qdq_value_redefine(y, clip, 0);
	qdq_node_remove(pair->dq);
	qdq_node_remove(pair->q);
}

static void remove_pair(qdq_run *r, const struct pair *pair)
{
	qdq_node *front = qdq_in(pair->q, 0)->def;
	qdq_range range = is_gate(front) ? (qdq_range){0, 1} : qdq_range_of_codes(&pair->p);

	if (!qdq_bounded_for(r, front)) {
		qdq_reason why = {.code = QDQ_REASON_MISPLACED,
				  .operand = qdq_in(pair->q, 0)->name,
				  .cause = qdq_node_label(pair->q),
				  .detail = pair->behind->op_type};

		qdq_declined(r, RULE, front->origin, &why);
		return;
	}
	qdq_applied_within(r, RULE, qdq_rounding_bound(&pair->p, &range), pair->dq->outputs[0], pair->q->origin);
	replace(r, pair);
}

static void behind_contraction(qdq_run *r, qdq_node *q, qdq_map *residual_of)
{
	struct pair pair;

	if (q->graph == NULL || !find_pair(q, &pair) || qdq_in(q, 0)->def == NULL)
		return;
	pair.behind = kernel_mate(&pair, r->options->target, residual_of);
	if (pair.behind == NULL)
		return;
	if (pair.behind->op->id == QDQ_OP_Add)
		qdq_map_set(residual_of, pair.behind, pair.behind);
	remove_pair(r, &pair);
}

static void behind_gate(qdq_run *r, qdq_node *q)
{
	struct pair pair;

	if (q->graph == NULL || !find_pair(q, &pair) || !is_gate(qdq_in(q, 0)->def))
		return;
	pair.behind = gate_mate(&pair);
	if (pair.behind != NULL)
		remove_pair(r, &pair);
}

static void run(qdq_run *r)
{
	QDQ_VEC(qdq_node *) quantizers = {0};
	qdq_map residual_of;

	if (r->options->target == QDQ_TARGET_ORT_CPU || !qdq_model_has_class(r->model, QDQ_CLASS_CONTRACT))
		return;
	for (qdq_node *n = r->graph->first; n != NULL; n = qdq_after(n))
		if (n->op->id == QDQ_OP_QuantizeLinear)
			*qdq_push(&r->scratch, &quantizers) = n;
	qdq_map_init(&residual_of, &r->scratch);
	for (size_t i = quantizers.count; i-- > 0;) /* backward: an Add meets the arm that is computed last first */
		behind_contraction(r, quantizers.items[i], &residual_of);
	for (size_t i = 0; i < quantizers.count && r->options->target != QDQ_TARGET_CUDA; i++)
		behind_gate(r, quantizers.items[i]);
}

static const qdq_rule rules[] = {
    {.name = RULE,
     .exactness = QDQ_BOUNDED,
     .text = "a pair between a contraction and what should follow it in one kernel becomes a Clip"},
};

const qdq_pass qdq_pass_repair_pairs = {
    "repair_pairs", "take away Q/DQ pairs that keep kernels apart", rules, QDQ_COUNTOF(rules), run, false};

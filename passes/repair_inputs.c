/* SPDX-License-Identifier: Apache-2.0
 *
 * repair_inputs -- a float input whose partner is quantized gets a Q/DQ pair, where its range is known
 *
 *   q -- DQ(s) -- AveragePool -- Conv        =>   q -- DQ(s) -- AveragePool -- Q(s) -- DQ(s) -- Conv
 *   a -- Softmax -- MatMul -- y              =>   a -- Softmax -- Q(1/255) -- DQ(1/255) -- MatMul -- y
 *   x --+-- Q(s) -- DQ(s) -- Conv -- Add     =>   x -- Q(s) --+-- DQ(s) -- Conv -- Add
 *       '---------------------------'                         '-- DQ(s) ----------'
 *
 *   When    an input of a Conv, ConvTranspose, Gemm or MatMul whose other operand is quantized, or the residual of an
 *           Add behind a contraction. The parameters are those of another Q of the tensor; else those of a DQ that it
 *           comes from through operators that keep the range (of a Concat the largest); else, for a contraction, those
 *           of a range that the operator in front has by itself. And it must be known what the tensor can be at most
 *   Keeps   the tensor itself for other readers
 *   Exact   BOUNDED: half a step, or what the tensor can be beyond the codes; said of what the operator reads in place of
 *           the tensor. Over what only moves elements sink_dq has brought the DQ already, exactly
 *   Needs   types, shapes                   Breaks  nothing
 *   After   sink_dq, precision              Before  repair_weights, hoist_q
 *   Tests   test/golden/repair_inputs/      Ref     TensorRT developer guide: insert missing Q/DQ where max |f(x)| = max |x|
 */
#include <math.h>

#include "ranges.h"

#define RULE "repair_inputs.quantize"
#define DEPTH 8	    /* operators between the DQ and the input */
#define READERS 256 /* of a tensor, among which a Q is looked for: each of them looks */
#define VISITS 1024 /* that are looked at, on all ways */

/* ---- where parameters come from ---- */

/* A Q of v; of several the first. */
static qdq_node *quantizer_of(const qdq_value *v, qdq_params *p)
{
	qdq_node *found = NULL;

	if (v->n_uses > READERS)
		return NULL;
	for (const qdq_use *u = v->uses; u != NULL; u = u->next) { /* newest first */
		qdq_params other;

		if (qdq_is(u->node, QDQ_OP_QuantizeLinear) && qdq_use_index(u) == 0 && u->node->graph == v->graph &&
		    qdq_plain_params(u->node, &other)) {
			*p = other;
			found = u->node;
		}
	}
	return found;
}

/* Does n give values from the range of what it reads (and 0)? */
static bool keeps_range(const qdq_node *n)
{
	switch (n->op->cls) {
	case QDQ_CLASS_MOVE:
	case QDQ_CLASS_MONO:
		return true;
	case QDQ_CLASS_REDUCE:
		return n->op->family == QDQ_FAMILY_POOL;
	case QDQ_CLASS_POINTWISE:
		return n->op->family == QDQ_FAMILY_ACTIVATION;
	default:
		return false;
	}
}

/* The parameters of the DQ that v comes from; those that reach furthest, where several do. */
static bool params_behind(const qdq_value *v, qdq_params *p, int depth, int *visits)
{
	const qdq_node *n = v != NULL ? v->def : NULL;
	bool any = false;

	if (n == NULL || depth == 0 || (*visits)++ >= VISITS)
		return false;
	if (n->op->id == QDQ_OP_DequantizeLinear)
		return qdq_plain_params(n, p);
	if (!keeps_range(n))
		return false;
	for (uint32_t i = 0; i < n->n_inputs; i++) {
		bool data = qdq_is_move(n) ? qdq_op_data_input(n, i) : i == 0;
		qdq_range a, b;
		qdq_params other;

		if (!data || qdq_in(n, i) == NULL)
			continue;
		if (!params_behind(qdq_in(n, i), &other, depth - 1, visits))
			return false;
		a = any ? qdq_range_of_codes(p) : (qdq_range){0, 0};
		b = qdq_range_of_codes(&other);
		if (!any || b.high - b.low > a.high - a.low)
			*p = other;
		any = true;
	}
	return any;
}

static qdq_value *constant(qdq_run *r, const qdq_value *v, const char *what, qdq_tensor *t)
{
	return qdq_graph_add_constant(
	    r->graph, qdq_unique_name(&r->model->names, qdq_format(&r->scratch, "%s_%s", v->name, what)), t);
}

/* Parameters for a range that begins at 0, or that is as large on both sides. */
static bool params_for(qdq_run *r, const qdq_value *v, const qdq_range *range, qdq_params *p)
{
	bool positive = range->low >= 0 && r->options->target != QDQ_TARGET_TENSORRT;
	bool shifted = !positive && r->options->target == QDQ_TARGET_ORT_CPU; /* it likes uint8 */
	qdq_type codes = positive || shifted ? QDQ_TYPE_UINT8 : QDQ_TYPE_INT8;
	float scale = (float)(fmax(fabs(range->low), fabs(range->high)) / (positive ? 255 : 127) * (1 + 1e-6));
	qdq_tensor *s, *z;

	if (v->type != QDQ_TYPE_FLOAT || !(scale > 0) || isinf(scale))
		return false;
	s = qdq_tensor_new(r->model, QDQ_TYPE_FLOAT, 0, NULL);
	z = qdq_tensor_new(r->model, codes, 0, NULL);
	memcpy((void *)(uintptr_t)s->data, &scale, sizeof scale);
	*(uint8_t *)(void *)(uintptr_t)z->data = shifted ? 128 : 0;
	*p = (qdq_params){.codes = codes,
			  .real = QDQ_TYPE_FLOAT,
			  .scale = constant(r, v, "scale", s),
			  .zero = constant(r, v, "zero_point", z),
			  .constant = true,
			  .per_tensor = true,
			  .count = 1,
			  .positive = true};
	return true;
}

/* Does the operator in front bound its result by itself, whatever it reads? */
static bool has_own_range(const qdq_value *v)
{
	const qdq_node *n = v->def;

	return n != NULL && (n->op->id == QDQ_OP_Softmax || n->op->id == QDQ_OP_Sigmoid ||
			     n->op->id == QDQ_OP_HardSigmoid || n->op->id == QDQ_OP_Tanh || n->op->id == QDQ_OP_Clip);
}

/* ---- one operand ---- */

static void decline(qdq_run *r, const qdq_node *n, const qdq_value *v, qdq_reason_code code)
{
	qdq_reason why = {.code = code, .operand = v->name};

	if (v->def != NULL)
		why.cause = qdq_node_label(v->def);
	qdq_declined(r, RULE, n->origin, &why);
}

static void insert(qdq_run *r, qdq_node *n, uint32_t index, qdq_node *q, const qdq_params *p)
{
	qdq_value *v = qdq_in(n, index);
	const char *hint = qdq_format(&r->scratch, "%s_dq", v->name);
	qdq_node *dq;

	if (q == NULL)
		q = qdq_quantize_insert(r->graph, n, v, p, qdq_format(&r->scratch, "%s_q", v->name), n->origin);
	dq = qdq_dequantize_insert(r->graph, n, q->outputs[0], p, hint, n->origin);
	qdq_use_set(&n->inputs[index], dq->outputs[0]);
}

static void quantize(qdq_run *r, qdq_node *n, uint32_t index, bool own_range)
{
	qdq_value *v = qdq_in(n, index);
	qdq_range range;
	qdq_params p;
	int visits = 0;
	qdq_node *q = quantizer_of(v, &p);
	bool known = qdq_range_of(v, &range), found = q != NULL || params_behind(v, &p, DEPTH, &visits);
	bool own = !found && own_range && known && has_own_range(v);

	if (!known && found) {
		decline(r, n, v, QDQ_REASON_RANGE_UNKNOWN);
		return;
	}
	if (!found && !own)
		return; /* nobody says how to quantize it: the reason is input-float */
	if (!qdq_bounded_for(r, n)) {
		decline(r, n, v, r->options->exact ? QDQ_REASON_NOT_EXACT : QDQ_REASON_NOT_BOUNDED);
		return;
	}
	if (own && !params_for(r, v, &range, &p))
		return;
	/* a Q that stands behind n cannot be read; one that this pass made stands in front */
	qdq_applied_within(r, RULE, qdq_rounding_bound(&p, &range), v, n->origin);
	insert(r, n, index, q != NULL && q->place < n->place ? q : NULL, &p);
}

/* ---- which operands ---- */

static bool is_float_activation(const qdq_value *v)
{
	return v != NULL && (v->def != NULL || v->is_input) && qdq_def(v, QDQ_OP_DequantizeLinear) == NULL &&
	       (v->type == QDQ_TYPE_FLOAT || v->type == QDQ_TYPE_FLOAT16) && v->graph->parent == NULL;
}

static void look_at_contraction(qdq_run *r, qdq_node *n)
{
	uint32_t operands = n->op->id == QDQ_OP_Conv || n->op->id == QDQ_OP_ConvTranspose ? 1 : 2;
	qdq_reason why;
	qdq_params p;

	for (uint32_t i = 0; i < operands; i++) {
		bool partner = qdq_in(n, 1 - i) != NULL &&
			       (qdq_contract_operand(n, 1 - i, &p, &why) ||
				(n->wanted == QDQ_TYPE_INT8 && qdq_value_constant(qdq_in(n, 1 - i)) != NULL));

		if (partner && is_float_activation(qdq_in(n, i)))
			quantize(r, n, i, true);
	}
}

/* What the Add takes from a contraction that is only for it: its epilogue computes the sum. */
static bool is_backbone(const qdq_value *v)
{
	qdq_reason why;

	return v != NULL && v->def != NULL && v->def->op->cls == QDQ_CLASS_CONTRACT && qdq_only_use(v) != NULL &&
	       qdq_contract_int8(v->def, &why);
}

static void look_at_addition(qdq_run *r, qdq_node *n)
{
	for (uint32_t i = 0; i < 2 && n->n_inputs == 2; i++) {
		const qdq_value *v = qdq_in(n, i), *other = qdq_in(n, 1 - i);

		if (!is_float_activation(v) || is_backbone(v) || v == other)
			continue;
		if (is_backbone(other) ||
		    (qdq_def(other, QDQ_OP_DequantizeLinear) != NULL && other->def->graph == n->graph))
			quantize(r, n, i, false);
	}
}

static void run(qdq_run *r)
{
	if (!qdq_model_has_class(r->model, QDQ_CLASS_CONTRACT) || !qdq_model_has(r->model, QDQ_OP_DequantizeLinear))
		return;
	qdq_graph_number(r->graph);
	for (qdq_node *n = r->graph->first; n != NULL; n = qdq_after(n)) {
		if (qdq_kept_float(n) || qdq_out(n, 0) == NULL)
			continue;
		if (n->op->cls == QDQ_CLASS_CONTRACT)
			look_at_contraction(r, n);
		else if (n->op->id == QDQ_OP_Add)
			look_at_addition(r, n);
	}
}

static const qdq_rule rules[] = {
    {.name = RULE,
     .exactness = QDQ_BOUNDED,
     .text = "an input whose partner is quantized, or a residual, gets the Q/DQ that its range allows"},
};

const qdq_pass qdq_pass_repair_inputs = {"repair_inputs",
					 "quantize inputs whose partner is quantized and whose range is known",
					 rules,
					 QDQ_COUNTOF(rules),
					 run,
					 false};

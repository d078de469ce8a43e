/* SPDX-License-Identifier: Apache-2.0
 *
 * explain -- why each compute operator that is not INT8 on both sides is not
 *
 *   changes nothing: it looks at the graph as it will be written and records one reason for each such operator
 *
 *   When    always                          Keeps   everything
 *   Exact   EXACT
 *   Needs   types and shapes                Breaks  nothing
 *   After   cleanup                         Before  nothing
 *   Tests   test/golden/reasons/            Ref     docs/reasons.md
 */
#include "outline.h"

/* A fused operator is known by the user's node that it is about. */
static const char *label(const qdq_node *n)
{
	return qdq_node_label(n->region != NULL && n->region->anchor != NULL ? n->region->anchor : n);
}

static void say(qdq_run *r, const qdq_node *n, qdq_reason_code code, const qdq_value *operand, const qdq_node *cause,
		const char *detail)
{
	qdq_reason why = {.code = code, .detail = detail};

	if (operand != NULL)
		why.operand = operand->name;
	if (cause != NULL)
		why.cause = label(cause);
	qdq_declined(r, "explain.reason", n->origin, &why);
}

static bool is_compute(const qdq_node *n)
{
	return n->op->family != QDQ_FAMILY_NONE;
}

/* ---- regions ---- */

/* Port i of the region's node: the value outside. */
static const qdq_value *outer_output(const qdq_node *region, size_t i)
{
	return region->outputs[i];
}

/* The first operand of a region's inner node that is no codes; the value outside, where it comes from there. */
static const qdq_value *float_operand(const qdq_node *region, const qdq_node *n)
{
	const qdq_graph *body = region->region->body;
	const qdq_value *v = qdq_in(n, qdq_def(qdq_in(n, 0), QDQ_OP_DequantizeLinear) == NULL ? 0 : 1);

	for (size_t i = 0; i < body->inputs.count; i++)
		if (body->inputs.items[i] == v)
			return region->inputs[i].value;
	return v;
}

/* A region that computes from floats: which products and sums do not, and why the others do. */
static void explain_float(qdq_run *r, const qdq_node *region)
{
	for (const qdq_node *n = region->region->body->first; n != NULL; n = qdq_after(n)) {
		const qdq_value *v;

		if (!is_compute(n))
			continue;
		if (n->op->cls == QDQ_CLASS_CONTRACT && qdq_product_of_codes(n)) {
			say(r, n, QDQ_REASON_OUTPUT_FLOAT, NULL, qdq_reader(n->outputs[0]), NULL);
		} else if (n->op->cls == QDQ_CLASS_CONTRACT || n->op->id == QDQ_OP_Add) {
			v = float_operand(region, n);
			say(r, n, n->op->id == QDQ_OP_Add ? QDQ_REASON_OPERAND_FLOAT : QDQ_REASON_INPUT_FLOAT, v,
			    v->def, NULL);
		} else {
			say(r, n, QDQ_REASON_FLOAT_ONLY, NULL, NULL, n->op_type);
		}
	}
}

static void explain_region(qdq_run *r, const qdq_node *region)
{
	const qdq_graph *body = region->region->body;
	const qdq_value *real = NULL;
	size_t codes = 0;

	if (!qdq_region_reads_codes(region)) {
		explain_float(r, region);
		return;
	}
	for (size_t i = 0; i < body->outputs.count; i++) {
		if (qdq_type_is_int8(body->outputs.items[i]->type))
			codes++;
		else if (real == NULL)
			real = outer_output(region, i);
	}
	if (real == NULL)
		return;
	for (const qdq_node *n = body->first; n != NULL; n = qdq_after(n))
		if (is_compute(n))
			say(r, n, codes != 0 ? QDQ_REASON_OUTPUT_SHARED : QDQ_REASON_OUTPUT_FLOAT, real,
			    real->uses != NULL ? real->uses->node : NULL, NULL);
}

/* ---- operators that stayed in float ---- */

static bool from_dynamic(const qdq_value *v)
{
	return v != NULL && v->def != NULL && v->def->op->id == QDQ_OP_DynamicQuantizeLinear;
}

/* What keeps the data input v from being codes; false where it is codes behind a DQ. */
static bool input_reason(const qdq_value *v, qdq_reason *why)
{
	const qdq_node *dq = qdq_def(v, QDQ_OP_DequantizeLinear);
	qdq_params p;

	if (dq != NULL && qdq_params_of(dq, &p)) {
		if (from_dynamic(qdq_in(dq, 0)))
			why->code = QDQ_REASON_DYNAMIC_QUANTIZE;
		else if (qdq_params_movable(&p, why) && p.positive)
			return false;
		else if (why->code == QDQ_REASON_NONE)
			why->code = QDQ_REASON_SCALE_SIGN;
		why->operand = v->name;
		why->cause = qdq_node_label(dq);
		return true;
	}
	qdq_float_reason(v, why);
	why->operand = v->name;
	why->cause = v->def != NULL ? label(v->def) : NULL;
	return true;
}

static bool on_codes(const qdq_node *n)
{
	bool any = false;

	for (uint32_t i = 0; i < n->n_inputs; i++)
		any = any || (qdq_in(n, i) != NULL && qdq_type_is_int8(qdq_in(n, i)->type));
	return any && n->n_outputs > 0 && n->outputs[0] != NULL && qdq_type_is_int8(n->outputs[0]->type);
}

static const qdq_node *float_reader(const qdq_value *v)
{
	for (const qdq_use *u = v->uses; u != NULL; u = u->next)
		if (u->node->op->id != QDQ_OP_QuantizeLinear)
			return u->node;
	return NULL;
}

/* Pools, Add, Mul, Concat, clamps: codes are wanted on both sides. */
static void explain_between(qdq_run *r, const qdq_node *n)
{
	uint32_t operands =
	    n->op->family == QDQ_FAMILY_ELEMENTWISE || n->op->family == QDQ_FAMILY_CONCAT ? n->n_inputs : 1;
	uint32_t quantized = 0, real = 0;
	qdq_reason why = {0}, first = {0};

	for (uint32_t i = 0; i < operands; i++) {
		const qdq_value *v = qdq_in(n, i);

		if (v == NULL || (n->op->family == QDQ_FAMILY_ELEMENTWISE && qdq_value_constant(v) != NULL))
			continue;
		why = (qdq_reason){0};
		if (!input_reason(v, &why)) {
			quantized++;
		} else if (real++ == 0) {
			first = why;
		}
	}
	if (real != 0) {
		if (quantized != 0 && first.code == QDQ_REASON_INPUT_FLOAT)
			first.code = QDQ_REASON_OPERAND_FLOAT;
		qdq_declined(r, "explain.reason", n->origin, &first);
	} else if (!qdq_precision_int8(n, r->options->target, &why)) {
		qdq_declined(r, "explain.reason", n->origin, &why);
	} else if (n->outputs[0] != NULL) {
		say(r, n, QDQ_REASON_NEEDS_BOTH, n->outputs[0], float_reader(n->outputs[0]), "its output");
	}
}

/* Integer forms that stayed what they are. */
static void explain_form(qdq_run *r, const qdq_node *n)
{
	const qdq_value *y = qdq_out(n, 0);
	qdq_reason why = {0};

	if (from_dynamic(qdq_in(n, 0)))
		say(r, n, QDQ_REASON_DYNAMIC_QUANTIZE, qdq_in(n, 0), qdq_in(n, 0)->def, NULL);
	else if (n->op->id == QDQ_OP_ms_DynamicQuantizeMatMul)
		say(r, n, QDQ_REASON_DYNAMIC_QUANTIZE, qdq_in(n, 0), NULL, NULL);
	else if (n->op->id == QDQ_OP_ms_MatMulNBits)
		say(r, n, QDQ_REASON_WEIGHT_ONLY, qdq_in(n, 1), NULL, NULL);
	else if ((n->op->id == QDQ_OP_ConvInteger || n->op->id == QDQ_OP_MatMulInteger) &&
		 !qdq_integer_reads(n, &why) && why.code != QDQ_REASON_NONE)
		qdq_declined(r, "explain.reason", n->origin, &why);
	else if (y != NULL && !qdq_type_is_int8(y->type))
		say(r, n, QDQ_REASON_OUTPUT_FLOAT, y, float_reader(y), NULL);
}

static void explain_node(qdq_run *r, const qdq_node *n)
{
	qdq_reason why = {0};

	if (qdq_kept_float(n)) {
		say(r, n, QDQ_REASON_KEPT_FLOAT, n->n_outputs > 0 ? n->outputs[0] : NULL, NULL,
		    qdq_type_text(n->wanted));
	} else if (n->op->cls == QDQ_CLASS_CONTRACT) {
		if (!qdq_contract_int8(n, &why) || !qdq_precision_int8(n, r->options->target, &why)) {
			const qdq_node *dq = qdq_def(qdq_in(n, 0), QDQ_OP_DequantizeLinear);

			if (dq != NULL && from_dynamic(qdq_in(dq, 0)))
				why = (qdq_reason){.code = QDQ_REASON_DYNAMIC_QUANTIZE,
						   .operand = qdq_in(dq, 0)->name,
						   .cause = qdq_node_label(qdq_in(dq, 0)->def)};
			qdq_declined(r, "explain.reason", n->origin, &why);
		}
	} else if (n->op->cls == QDQ_CLASS_QFORM) {
		explain_form(r, n);
	} else if (on_codes(n)) {
		return;
	} else if (qdq_precision_listed(n, r->options->target) && n->n_outputs > 0) {
		explain_between(r, n);
	} else {
		say(r, n, QDQ_REASON_FLOAT_ONLY, n->n_outputs > 0 ? n->outputs[0] : NULL, NULL, n->op_type);
	}
}

/* ---- everything ---- */

static void explain_nested(qdq_run *r, const qdq_node *holder);

static void explain_inside(qdq_run *r, const qdq_graph *g, const qdq_node *holder)
{
	for (const qdq_node *n = g->first; n != NULL; n = qdq_after(n)) {
		if (is_compute(n))
			say(r, n, QDQ_REASON_IN_SUBGRAPH, NULL, holder, holder->op_type);
		explain_nested(r, n);
	}
}

static void explain_nested(qdq_run *r, const qdq_node *holder)
{
	for (uint32_t i = 0; i < holder->n_attrs; i++) {
		const qdq_attr *a = &holder->attrs[i];

		qdq_graph *const *graphs;
		size_t count = qdq_attr_graphs(a, &graphs);

		for (size_t j = 0; j < count; j++)
			explain_inside(r, graphs[j], holder);
	}
}

static void run(qdq_run *r)
{
	for (const qdq_node *n = r->graph->first; n != NULL; n = qdq_after(n)) {
		if (n->region != NULL)
			explain_region(r, n);
		else if (is_compute(n))
			explain_node(r, n);
		explain_nested(r, n);
	}
}

static const qdq_rule rules[] = {
    {.name = "explain.reason",
     .exactness = QDQ_EXACT,
     .text = "says why an operator is not INT8 on both sides; changes nothing"},
};

const qdq_pass qdq_pass_explain = {"explain", "record why operators are not INT8", rules, QDQ_COUNTOF(rules), run,
				   false};

/* SPDX-License-Identifier: Apache-2.0
 *
 * verdict.c -- is an operator in a region INT8? A contraction if its operands are, the others if codes go in and out
 */
#include "outline.h"
#include "verdict.h"

static const qdq_value *outside(const qdq_value *v)
{
	const qdq_value *outer = qdq_value_outer((qdq_value *)(uintptr_t)v);

	return outer != NULL ? outer : v;
}

static bool from_dynamic(const qdq_value *codes)
{
	const qdq_value *v = codes != NULL ? outside(codes) : NULL;

	return v != NULL && v->def != NULL && v->def->op->id == QDQ_OP_DynamicQuantizeLinear;
}

/* What keeps codes from being 8-bit ones with constant, positive scales; false: nothing. */
static bool codes_reason(const qdq_node *dq, qdq_reason *why)
{
	qdq_params p;

	*why = (qdq_reason){0};
	if (from_dynamic(qdq_in(dq, 0))) {
		const qdq_value *codes = outside(qdq_in(dq, 0));

		*why = (qdq_reason){.code = QDQ_REASON_DYNAMIC_QUANTIZE, .operand = codes->name};
		why->cause = qdq_node_label(codes->def);
		return true;
	}
	if (!qdq_params_of(dq, &p) || (qdq_params_movable(&p, why) && p.positive))
		return false;
	if (why->code == QDQ_REASON_NONE)
		why->code = QDQ_REASON_SCALE_SIGN;
	why->operand = dq->outputs[0]->name;
	why->cause = qdq_node_label(dq);
	return true;
}

static void float_reason(const qdq_value *v, qdq_reason *why)
{
	v = outside(v);
	qdq_float_reason(v, why);
	why->operand = v->name;
	why->cause = v->def != NULL ? qdq_node_label(qdq_value_inner(v)->def) : NULL;
}

bool qdq_input_reason(const qdq_value *v, qdq_reason *why)
{
	const qdq_node *dq = qdq_dequantizer(v);

	if (dq != NULL)
		return codes_reason(dq, why);
	float_reason(v, why);
	return true;
}

/* ---- the border of a region ---- */

static void note_floats(qdq_border *b, const qdq_reason *why)
{
	if (!b->reads_floats)
		b->why = *why;
	b->reads_floats = true;
}

/* Is v data that a move selects from? That is read though it be constant. */
static bool is_table(const qdq_value *v)
{
	for (const qdq_use *u = v->uses; u != NULL; u = u->next)
		if (u->node->op->cls == QDQ_CLASS_MOVE && qdq_op_data_input(u->node, qdq_use_index(u)))
			return true;
	return false;
}

static void look_at_input(qdq_border *b, const qdq_node *n, uint32_t i)
{
	const qdq_value *v = qdq_in(n, i);
	bool quant = qdq_is_dequantizer(n) || qdq_is_quantizer(n);
	bool rows =
	    qdq_is_dequantizer(n) ? is_table(n->outputs[0]) : n->op->cls == QDQ_CLASS_MOVE && qdq_op_data_input(n, i);
	qdq_reason why;

	if (v == NULL || !v->is_input || (quant && i != 0) || (!rows && qdq_value_constant(v) != NULL))
		return;
	if (qdq_is_dequantizer(n)) {
		if (codes_reason(n, &why))
			note_floats(b, &why);
		else
			b->reads_codes = b->reads_codes || qdq_type_is_int8(v->type);
	} else if (qdq_type_is_int8(v->type)) {
		b->reads_codes = true;
	} else if (v->type != QDQ_TYPE_NONE && qdq_type_get(v->type)->is_float) {
		float_reason(v, &why);
		if (rows && why.cause == NULL)
			why.cause = qdq_node_label(n);
		note_floats(b, &why);
	}
}

/* An attention computes from what its products read; a mask is added to what they give. */
static void look_at_product(qdq_border *b, const qdq_node *n)
{
	qdq_reason why;

	b->reads_codes = true;
	if (n->op->cls == QDQ_CLASS_CONTRACT && !qdq_contract_int8(n, &why))
		note_floats(b, &why);
}

void qdq_border_of(const qdq_node *region, qdq_border *out)
{
	const qdq_graph *body = region->region->body;

	*out = (qdq_border){0};
	for (const qdq_node *n = body->first; n != NULL; n = qdq_after(n)) {
		if (region->region->kind == QDQ_REGION_ATTENTION)
			look_at_product(out, n);
		for (uint32_t i = 0; region->region->kind != QDQ_REGION_ATTENTION && i < n->n_inputs; i++)
			look_at_input(out, n, i);
	}
	for (uint32_t i = 0; i < body->outputs.count; i++) {
		if (qdq_type_is_int8(body->outputs.items[i]->type))
			out->writes_codes = true;
		else if (out->written == NULL)
			out->written = region->outputs[i];
	}
}

/* ---- operators in it ---- */

bool qdq_contract_reason(const qdq_node *n, qdq_reason *why)
{
	const qdq_node *dq = qdq_dequantizer(qdq_in(n, 0));

	return !qdq_contract_int8(n, why) && (dq == NULL || !from_dynamic(qdq_in(dq, 0)) || codes_reason(dq, why));
}

/* Does n join several tensors? */
static bool joins(const qdq_node *n)
{
	uint32_t operands = 0;

	for (uint32_t i = 0; i < n->n_inputs; i++)
		operands += qdq_in(n, i) != NULL && !qdq_is_weight(qdq_in(n, i));
	return operands > 1;
}

static const qdq_node *reader_of(const qdq_value *v)
{
	const qdq_node *n = v->uses != NULL ? v->uses->node : NULL;

	return n != NULL && n->region != NULL && n->region->anchor != NULL ? n->region->anchor : n;
}

/* Also where a float16 network gives float32. */
static bool is_dequantized(const qdq_value *written)
{
	const qdq_value *v = qdq_value_inner(written);
	const qdq_node *cast = qdq_def(v, QDQ_OP_Cast);

	return qdq_dequantizer(cast != NULL ? qdq_in(cast, 0) : v) != NULL;
}

/* Codes go in, but not out: which of the two is lacking. */
static void output_reason(const qdq_node *region, const qdq_border *b, qdq_reason *why)
{
	const qdq_node *anchor = region->region->anchor;
	const qdq_node *reader = reader_of(b->written);

	*why = (qdq_reason){.code = QDQ_REASON_OUTPUT_FLOAT, .operand = b->written->name};
	why->cause = reader != NULL ? qdq_node_label(reader) : NULL;
	if (is_dequantized(b->written)) {
		why->code = QDQ_REASON_OUTPUT_DEQUANTIZED;
	} else if (b->writes_codes) {
		why->code = QDQ_REASON_OUTPUT_SHARED;
	} else if (anchor != NULL && anchor->op->cls != QDQ_CLASS_CONTRACT && region->region->kind != QDQ_REGION_NORM) {
		why->code = QDQ_REASON_NEEDS_BOTH;
		why->detail = "its output";
	}
}

/* In an attention one of whose products is of floats: the other one writes floats, and the rest is between them. */
static qdq_verdict verdict_beside_floats(const qdq_node *n, qdq_reason *why)
{
	const qdq_node *reader = qdq_reader(n->outputs[0]);

	if (n->op->cls != QDQ_CLASS_CONTRACT) {
		*why = (qdq_reason){.code = QDQ_REASON_FLOAT_ONLY, .detail = n->op_type};
		return QDQ_VERDICT_FLOAT;
	}
	*why = (qdq_reason){.code = QDQ_REASON_OUTPUT_FLOAT};
	why->cause = reader != NULL ? qdq_node_label(reader) : NULL;
	return QDQ_VERDICT_INT8_FLOAT;
}

qdq_verdict qdq_verdict_inside(const qdq_node *n, const qdq_node *region, const qdq_border *b, qdq_reason *why)
{
	bool contraction = n->op->cls == QDQ_CLASS_CONTRACT;

	*why = (qdq_reason){0};
	if (contraction && qdq_contract_reason(n, why))
		return QDQ_VERDICT_FLOAT;
	if (b->reads_floats && region->region->kind == QDQ_REGION_ATTENTION)
		return verdict_beside_floats(n, why);
	if (!contraction && (b->reads_floats || !b->reads_codes)) {
		*why = b->reads_floats ? b->why : (qdq_reason){.code = QDQ_REASON_INPUT_FLOAT};
		if (b->reads_codes && why->code == QDQ_REASON_INPUT_FLOAT && joins(n))
			why->code = QDQ_REASON_OPERAND_FLOAT;
		return QDQ_VERDICT_FLOAT;
	}
	if (b->written == NULL)
		return QDQ_VERDICT_INT8_INT8;
	output_reason(region, b, why);
	return QDQ_VERDICT_INT8_FLOAT;
}

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
#include "verdict.h"

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

/* Something that the user's file had, and that the report lists: not what stands for a Q or DQ now. */
static bool is_compute(const qdq_node *n)
{
	return n->op->family != QDQ_FAMILY_NONE &&
	       (n->origin == NULL || qdq_op_find("", n->origin->op_type)->cls != QDQ_CLASS_QUANT);
}

/* ---- regions ---- */

static void explain_region(qdq_run *r, const qdq_node *region)
{
	qdq_border border;
	qdq_reason why;

	qdq_border_of(region, &border);
	for (const qdq_node *n = region->region->body->first; n != NULL; n = qdq_after(n))
		if (is_compute(n) && qdq_verdict_inside(n, region, &border, &why) != QDQ_VERDICT_INT8_INT8)
			qdq_declined(r, "explain.reason", n->origin, &why);
}

/* ---- operators that stayed in float ---- */

static bool from_dynamic(const qdq_value *v)
{
	return v != NULL && v->def != NULL && v->def->op->id == QDQ_OP_DynamicQuantizeLinear;
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
		if (!qdq_input_reason(v, &why)) {
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
		if (qdq_contract_reason(n, &why) || !qdq_precision_int8(n, r->options->target, &why))
			qdq_declined(r, "explain.reason", n->origin, &why);
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

/* Passes do not go into the graphs of operators that the library does not know to run them as they stand. */
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

/* What earlier passes said. One look at it serves all graphs. */
struct said {
	qdq_map repairs; /* why an input stayed float, by the origin of its reader */
	qdq_map refused; /* a float that is one only because TensorRT does not take its Q/DQ, by its name */
};

static const struct said *what_was_said(qdq_run *r)
{
	qdq_event *events = r->model->events.items;
	struct said *s = r->kept;

	if (s != NULL)
		return s;
	r->kept = s = qdq_new(&r->memory, struct said);
	qdq_map_init(&s->repairs, &r->memory);
	qdq_map_init(&s->refused, &r->memory);
	for (size_t i = 0; i < r->model->events.count; i++) {
		if (!events[i].declined)
			continue;
		if (events[i].node != NULL && strcmp(events[i].pass, "repair_inputs") == 0)
			qdq_map_set(&s->repairs, events[i].node, &events[i]);
		if (events[i].operand != NULL && r->options->target == QDQ_TARGET_TENSORRT &&
		    strncmp(events[i].rule, "tensorrt_", 9) == 0)
			qdq_map_set(&s->refused, events[i].operand, &events[i]);
	}
	return s;
}

/* The reason of `better`, which is about the same thing and knows more. */
static void take_reason(qdq_event *e, const qdq_event *better)
{
	e->reason = better->reason;
	e->cause = better->cause;
	e->message = better->message;
}

/* Reasons from event `first` on give way to better ones. */
static void prefer_what_was_said(qdq_run *r, const struct said *s, size_t first)
{
	for (size_t i = first; i < r->model->events.count; i++) {
		qdq_event *e = &r->model->events.items[i];
		const qdq_event *refused = e->operand != NULL ? qdq_map_get(&s->refused, e->operand) : NULL;
		const qdq_event *repair = e->node != NULL ? qdq_map_get(&s->repairs, e->node) : NULL;

		if (refused != NULL)
			take_reason(e, refused); /* with the Q or DQ as cause */
		if (repair != NULL && (e->reason == QDQ_REASON_INPUT_FLOAT || e->reason == QDQ_REASON_OPERAND_FLOAT)) {
			take_reason(e, repair);
			e->operand = repair->operand;
		}
	}
}

static void run(qdq_run *r)
{
	const struct said *said = what_was_said(r);
	size_t first = r->model->events.count;

	for (const qdq_node *n = r->graph->first; n != NULL; n = qdq_after(n)) {
		if (n->region != NULL)
			explain_region(r, n);
		else if (is_compute(n))
			explain_node(r, n);
		if (!qdq_enters(n)) /* else its graphs have their own turn */
			explain_nested(r, n);
	}
	prefer_what_was_said(r, said, first);
}

static const qdq_rule rules[] = {
    {.name = "explain.reason",
     .exactness = QDQ_EXACT,
     .text = "says why an operator is not INT8 on both sides; changes nothing"},
};

const qdq_pass qdq_pass_explain = {"explain", "record why operators are not INT8", rules, QDQ_COUNTOF(rules), run,
				   false};

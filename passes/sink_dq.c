/* SPDX-License-Identifier: Apache-2.0
 *
 * sink_dq -- DequantizeLinear toward the outputs
 *
 *   q -- DQ -- Transpose -- y        =>   q -- Transpose -- DQ -- y
 *   q -- DQ -- DepthToSpace -- y     =>   q -- [DQ -- DepthToSpace -- Q] -- DQ -- y    where codes are not legal
 *   x -- Q -- DQ -- Relu -- y        =>   x -- Relu -- Q -- DQ -- y
 *   q -- DQ -- Transpose -- Cast(float16) -- y   =>   q -- Transpose -- DQ -- y         (absorb_cast)
 *   q -- DQ -- Shape -- s            =>   q -- Shape -- s                              reads no data
 *   q -- DQ -- Clip -- y             =>   q -- DQ -- y                               bounds that no code exceeds
 *   w -- DQ -- Transpose -- y        =>   w' -- DQ -- y                                a constant w: computed at once
 *
 *   When    class MOVE or MONO; all data inputs dequantized with equal, constant 8-bit parameters; scale > 0 for MONO; with
 *           --exact not where float16 would be rounded elsewhere (roundings.c)
 *   Keeps   the name of y; a DQ that others read stays for them; a per-channel axis is remapped or the move declined
 *   Exact   EXACT: elements are moved or chosen, never computed; the inserted pair only where Q(DQ(q)) == q
 *   Needs   shapes (per-channel axes)       Breaks  nothing
 *   After   fold, fold_bn                   Before  hoist_q, cancel
 *   Tests   test/golden/sink_dq/            Ref     TensorRT developer guide, "delay DQ"
 */
#include "moves.h"

#define PAIRS 16 /* that one clamp goes over */

/* The one dequantization behind all data inputs of n; false where there is none, or they differ (then *differ is set).
 */
static bool common_params(const qdq_node *n, qdq_params *p, bool *differ)
{
	bool any = false;
	qdq_params q;

	*differ = false;
	for (uint32_t i = 0; i < n->n_inputs; i++) {
		if (!qdq_op_data_input(n, i) || qdq_in(n, i) == NULL)
			continue;
		if (qdq_dequantized(qdq_in(n, i), &q) == NULL) {
			*differ = false;
			return false;
		}
		*differ = *differ || (any && !qdq_params_equal(p, &q));
		if (!any)
			*p = q;
		any = true;
	}
	return any && !*differ;
}

/* A DQ that may not move: of 16 bits, blocked, with a scale that is computed at run time … */
static bool is_stuck(const qdq_node *n, qdq_reason *why)
{
	qdq_params p;

	*why = (qdq_reason){0};
	for (uint32_t i = 0; i < n->n_inputs; i++) {
		const qdq_node *dq = qdq_op_data_input(n, i) ? qdq_def(qdq_in(n, i), QDQ_OP_DequantizeLinear) : NULL;

		if (dq != NULL && qdq_params_of(dq, &p) && !qdq_params_movable(&p, why)) {
			why->cause = qdq_node_label(dq);
			return true;
		}
	}
	return false;
}

/* Do nothing but Qs read what n gives? */
static bool all_quantized(const qdq_node *n)
{
	for (uint32_t i = 0; i < n->n_outputs; i++)
		if (n->outputs[i] != NULL && !qdq_value_unread(n->outputs[i]) && !qdq_only_quantized(n->outputs[i]))
			return false;
	return true;
}

/* Is somebody behind y better off with codes? */
static bool wanted(const qdq_value *y)
{
	for (const qdq_use *u = y->uses; u != NULL; u = u->next)
		if (u->node->op->cls == QDQ_CLASS_CONTRACT || u->node->op->family == QDQ_FAMILY_POOL ||
		    u->node->op->family == QDQ_FAMILY_ELEMENTWISE || u->node->op->family == QDQ_FAMILY_CONCAT ||
		    u->node->op->cls == QDQ_CLASS_MOVE)
			return true;
	return false;
}

static void drop_unread(qdq_node *dq)
{
	if (qdq_node_unread(dq))
		qdq_node_remove(dq);
}

/* n reads codes instead of what dequantizes them. */
static void read_codes(qdq_node *n)
{
	for (uint32_t i = 0; i < n->n_inputs; i++) {
		qdq_node *dq = qdq_op_data_input(n, i) ? qdq_def(qdq_in(n, i), QDQ_OP_DequantizeLinear) : NULL;

		if (dq == NULL)
			continue;
		qdq_use_set(&n->inputs[i], dq->inputs[0].value);
		drop_unread(dq);
	}
}

/* Output i of n under a new name and as codes; the old value is dequantized from it. */
static void dequantize_output(qdq_node *n, uint32_t i, const qdq_params *p, const qdq_origin *origin)
{
	qdq_graph *g = n->graph;
	qdq_value *y = n->outputs[i];
	qdq_value *codes = qdq_value_create(g, qdq_unique_name(&g->model->names, y->name));

	qdq_value_set_type(codes, p->codes, y->shape);
	n->outputs[i] = codes;
	codes->def = n;
	y->def = NULL;
	qdq_dequantize_into(y, n->next, codes, p, origin);
}

static void onto_codes(qdq_node *n, const qdq_params *in, const qdq_params *out, const qdq_origin *origin)
{
	read_codes(n);
	qdq_constants_to_codes(n, in);
	for (uint32_t i = 0; i < n->n_outputs; i++)
		if (n->outputs[i] != NULL && n->outputs[i]->type != QDQ_TYPE_INT64)
			dequantize_output(n, i, out, origin);
}

/* n stays in float, but its output becomes codes and is dequantized anew: a unit that fuses. */
static void make_unit(qdq_node *n, const qdq_params *out, const qdq_origin *origin)
{
	qdq_graph *g = n->graph;
	qdq_value *y = n->outputs[0];
	qdq_value *real = qdq_value_create(g, qdq_unique_name(&g->model->names, y->name));
	qdq_node *q;

	qdq_value_set_type(real, y->type, y->shape);
	n->outputs[0] = real;
	real->def = n;
	y->def = NULL;
	q = qdq_quantize_insert(g, n->next, real, out, y->name, origin);
	qdq_dequantize_into(y, q->next, q->outputs[0], out, origin);
}

/* The Q of the pair that gives x, if nobody else reads in between, or x. */
static qdq_node *pair_of(const qdq_value *x, qdq_params *p)
{
	qdq_node *dq = qdq_dequantized(x, p);
	qdq_node *q = dq != NULL ? qdq_def(qdq_in(dq, 0), QDQ_OP_QuantizeLinear) : NULL;
	qdq_params a;

	if (q == NULL || qdq_only_use(q->outputs[0]) == NULL || qdq_only_use(x) == NULL || !qdq_params_of(q, &a) ||
	    !qdq_params_equal(&a, p))
		return NULL;
	return q;
}

/* The Q of the furthest pair that clamp n can stand in front of, with all between; NULL where there is none. */
static qdq_node *furthest_pair(const qdq_node *n)
{
	qdq_node *q, *furthest = NULL;
	const qdq_value *x = qdq_in(n, 0);
	qdq_params p, before, out;
	qdq_reason why;

	for (int i = 0; i < PAIRS && (q = pair_of(x, &p)) != NULL; i++) {
		if ((furthest == NULL || !qdq_params_equal(&before, &p)) &&
		    !qdq_passes_operator(n, &p, true, &out, &why))
			break;
		before = p;
		furthest = q;
		x = qdq_in(q, 0);
	}
	return furthest;
}

/* x -- Q -- DQ -- Relu  =>  x -- Relu -- Q -- DQ, over as many pairs as there are. */
static bool swap_clamp(qdq_node *n)
{
	qdq_node *last = qdq_in(n, 0)->def, *q = furthest_pair(n);
	qdq_value *y = n->outputs[0];
	qdq_value *clamped;

	if (q == NULL)
		return false;
	clamped = qdq_value_create(n->graph, qdq_unique_name(&n->graph->model->names, y->name));
	qdq_value_set_type(clamped, qdq_in(q, 0)->type, y->shape);
	n->outputs[0] = clamped;
	clamped->def = n;
	y->def = NULL;
	qdq_use_set(&n->inputs[0], qdq_in(q, 0));
	qdq_node_move(n, n->graph, q);
	qdq_use_set(&q->inputs[0], clamped);
	qdq_value_redefine(y, last, 0);
	return true;
}

/* Are the codes of all data inputs constants, as behind the Transpose of a weight? */
static bool reads_constants(const qdq_node *n)
{
	for (uint32_t i = 0; i < n->n_inputs; i++)
		if (qdq_op_data_input(n, i) && qdq_in(n, i) != NULL &&
		    qdq_value_constant(qdq_in(qdq_in(n, i)->def, 0)) == NULL)
			return false;
	return true;
}

static void drop_pass_through(qdq_node *n)
{
	qdq_value_replace_uses(n->outputs[0], qdq_in(n, 0));
	qdq_node_remove(n);
}

/* Of codes, Identity is nothing, and neither is a Clip with bounds that no code exceeds. */
static bool passes_codes(const qdq_node *n)
{
	qdq_type codes = qdq_in(n, 0)->type;
	double low, high;

	return n->op->id == QDQ_OP_Identity ||
	       (n->op->id == QDQ_OP_Clip && qdq_value_scalar(qdq_in(n, 1), &low) &&
		qdq_value_scalar(qdq_in(n, 2), &high) && low <= (double)qdq_type_min(codes) &&
		high >= (double)qdq_type_max(codes));
}

/* May the DQs of n's data go over it, and onto which parameters? Else the report has the reason, where there is one. */
static bool may_sink(qdq_run *r, const qdq_node *n, qdq_params *in, qdq_params *out)
{
	qdq_reason why = {0};
	bool differ, good = common_params(n, in, &differ);

	if (differ)
		why.code = QDQ_REASON_SCALES_DIFFER;
	else if (!good)
		is_stuck(n, &why);
	else if (qdq_moves_nothing(r, n)) /* it stands between the names of two graph outputs */
		return false;
	good = good && qdq_passes_operator(n, in, true, out, &why);
	if (good && qdq_rounds_in_place(r, in) && !all_quantized(n) && !reads_constants(n)) {
		why = (qdq_reason){.code = QDQ_REASON_HALF_ROUNDING, .operand = n->outputs[0]->name};
		good = false;
	}
	if (!good && why.code != QDQ_REASON_NONE)
		qdq_declined(r, "sink_dq.move", n->origin, &why);
	return good;
}

/* Is n, whose result only Qs read, one unit with them, so that it had better not work on codes? */
static bool is_unit(const qdq_run *r, const qdq_node *n, const qdq_params *in, const qdq_params *out)
{
	qdq_params q;

	if (!qdq_only_quantized(n->outputs[0]))
		return false;
	if (qdq_is_clamp(n) || qdq_slow_pool(r, n, in))
		return true;
	/* a Concat with other parameters requantizes on its way */
	return n->op->family == QDQ_FAMILY_CONCAT &&
	       (!qdq_params_of(n->outputs[0]->uses->node, &q) || !qdq_params_equal(out, &q));
}

static void move_onto_codes(qdq_run *r, qdq_node *n, const qdq_params *in, const qdq_params *out)
{
	const qdq_origin *origin = n->origin;
	bool constant = reads_constants(n);

	onto_codes(n, in, out, origin);
	qdq_applied(r, "sink_dq.move", QDQ_EXACT, 0, origin);
	if (passes_codes(n))
		drop_pass_through(n);
	else if (constant)
		qdq_fold_node(r, n);
}

static void sink(qdq_run *r, qdq_node *n)
{
	qdq_params in, out;

	if (!may_sink(r, n, &in, &out))
		return;
	if (qdq_is_clamp(n) && swap_clamp(n)) {
		qdq_applied(r, "sink_dq.clamp", QDQ_EXACT, 0, n->origin);
		may_sink(r, n, &in, &out); /* why it goes no further */
	} else if (is_unit(r, n, &in, &out)) {
		return;
	} else if (qdq_runs_on_codes(n, &in)) {
		move_onto_codes(r, n, &in, &out);
	} else if (!qdq_only_quantized(n->outputs[0]) && wanted(n->outputs[0]) && qdq_params_round_trip(&out)) {
		make_unit(n, &out, n->origin);
		qdq_applied(r, "sink_dq.unit", QDQ_EXACT, 0, n->origin);
	}
}

static void run(qdq_run *r)
{
	qdq_node *next;

	for (qdq_node *n = r->graph->first; n != NULL; n = next) {
		next = qdq_after(n);
		if (n->op->cls == QDQ_CLASS_SHAPE) {
			qdq_node *dq = qdq_def(qdq_in(n, 0), QDQ_OP_DequantizeLinear);

			if (dq == NULL)
				continue;
			qdq_use_set(&n->inputs[0], dq->inputs[0].value);
			drop_unread(dq);
			qdq_changed(r);
		} else if (qdq_is_move(n)) {
			sink(r, n);
		} else if (n->op->id == QDQ_OP_Cast) {
			qdq_give_cast(r, n);
		}
	}
}

static const qdq_rule rules[] = {
    {.name = "sink_dq.move",
     .exactness = QDQ_EXACT,
     .text = "DQ goes over an operator that moves or chooses elements, which then works on codes"},
    {.name = "sink_dq.clamp", .exactness = QDQ_EXACT, .text = "Relu or Clip goes in front of the pair that feeds it"},
    {.name = "sink_dq.unit",
     .exactness = QDQ_EXACT,
     .text = "where codes are not legal: the operator keeps its DQ and gets a Q of its own"},
};

const qdq_pass qdq_pass_sink_dq = {
    "sink_dq", "move DequantizeLinear toward the outputs", rules, QDQ_COUNTOF(rules), run, false};

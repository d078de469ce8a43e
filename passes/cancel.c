/* SPDX-License-Identifier: Apache-2.0
 *
 * cancel -- pairs that undo each other, and one Q for all who ask for the same codes
 *
 *   q -- DQ -- Q -- q'               =>   q            equal parameters, and Q(DQ(q)) == q for every code
 *   x --+-- Q -- a                   =>   x -- Q --+-- a
 *       '-- Q -- b                                 '-- b
 *
 *   When    parameters equal as constants, every code tried; never where Q's output is a graph output (its name stays)
 *   Keeps   Q -> DQ pairs: they round
 *   Exact   EXACT
 *   Needs   nothing                         Breaks  nothing
 *   After   sink_dq, hoist_q                Before  fuse
 *   Tests   test/golden/cancel/             Ref     ONNX QuantizeLinear
 */
#include "moves.h"

static void drop_unread(qdq_node *n)
{
	if (n->outputs[0]->n_uses == 0 && n->outputs[0]->n_outputs == 0)
		qdq_node_remove(n);
}

/* q -- DQ -- Q  =>  q */
static void cancel_pair(qdq_run *r, qdq_node *q)
{
	qdq_node *dq = qdq_def(qdq_in(q, 0), QDQ_OP_DequantizeLinear);
	const qdq_origin *origin = q->origin;
	qdq_params a, b;

	if (dq == NULL || !qdq_params_of(dq, &a) || !qdq_params_of(q, &b) || !qdq_params_equal(&a, &b))
		return;
	if (q->outputs[0]->n_outputs != 0)
		return;
	if (!qdq_params_round_trip(&a)) {
		qdq_reason why = {.code = QDQ_REASON_ROUND_TRIP, .operand = qdq_in(q, 0)->name};

		if (a.constant)
			qdq_declined(r, "cancel.pair", origin, &why);
		return;
	}
	qdq_value_replace_uses(q->outputs[0], qdq_in(dq, 0));
	qdq_node_remove(q);
	drop_unread(dq);
	qdq_applied(r, "cancel.pair", QDQ_EXACT, 0, origin);
}

/* All other Qs of x with the parameters of q become q. */
static void merge(qdq_run *r, qdq_node *q)
{
	qdq_value *x = qdq_in(q, 0);
	qdq_use *next;
	qdq_params a, b;

	if (x->n_uses < 2 || !qdq_params_of(q, &a))
		return;
	for (qdq_use *u = x->uses; u != NULL; u = next) {
		qdq_node *other = u->node;
		const qdq_origin *origin = other->origin;

		next = u->next;
		if (other == q || !qdq_is(other, QDQ_OP_QuantizeLinear) || other->graph != q->graph ||
		    qdq_use_index(u) != 0 || other->outputs[0]->n_outputs != 0 || !qdq_params_of(other, &b) ||
		    !qdq_params_equal(&a, &b))
			continue;
		qdq_value_replace_uses(other->outputs[0], q->outputs[0]);
		qdq_node_remove(other);
		qdq_applied(r, "cancel.merge", QDQ_EXACT, 0, origin);
	}
}

static void run(qdq_run *r)
{
	qdq_node *next;

	for (qdq_node *n = r->graph->first; n != NULL; n = next) {
		if (qdq_is(n, QDQ_OP_QuantizeLinear))
			merge(r, n); /* may remove what follows, so ask for `next` afterwards */
		next = n->next;
		if (qdq_is(n, QDQ_OP_QuantizeLinear))
			cancel_pair(r, n);
	}
}

const qdq_pass qdq_pass_cancel = {"cancel", "cancel DQ-Q pairs and merge equal Qs", NULL, 0, run};

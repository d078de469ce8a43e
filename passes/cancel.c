/* SPDX-License-Identifier: Apache-2.0
 *
 * cancel -- pairs that undo each other, and one Q for all who ask for the same codes
 *
 *   q -- DQ -- Q -- q'               =>   q            equal parameters, and Q(DQ(q)) == q for every code
 *   x --+-- Q -- a                   =>   x -- Q --+-- a
 *       '-- Q -- b                                 '-- b
 *
 *   When    parameters equal as constants, every code tried; a graph output keeps its name: whoever makes q makes it, so
 *           a pair between an input of the graph and an output stays
 *   Keeps   Q -> DQ pairs: they round
 *   Exact   EXACT
 *   Needs   nothing                         Breaks  nothing
 *   After   sink_dq, hoist_q                Before  fuse
 *   Tests   test/golden/cancel/             Ref     ONNX QuantizeLinear
 */
#include "moves.h"

/* ---- q -- DQ -- Q  =>  q ---- */

static bool gives_back(qdq_run *r, const qdq_match *match, qdq_reason *why)
{
	qdq_params a, b;

	(void)r;
	if (!qdq_params_of(qdq_match_node(match, "dq"), &a) || !qdq_params_of(qdq_match_root(match), &b) ||
	    !qdq_params_equal(&a, &b))
		return false;
	if (qdq_params_round_trip(&a))
		return true;
	if (a.constant)
		*why = (qdq_reason){.code = QDQ_REASON_ROUND_TRIP, .operand = qdq_in(qdq_match_root(match), 0)->name};
	return false;
}

static const qdq_rule rules[] = {
    {"cancel.pair", "(QuantizeLinear (DequantizeLinear*:dq x _ z?) _ y?)", "x", gives_back, NULL, QDQ_EXACT,
     "DQ and Q with equal parameters go, where every code survives the trip"},
    {.name = "cancel.merge", .exactness = QDQ_EXACT, .text = "of Qs of one tensor with equal parameters one stays"},
};

/* ---- one Q for equal parameters ---- */

/* Qs that look alike; of equal ones of one value only the first. */
struct seen {
	qdq_node *q;
	struct seen *next;
};

static uint64_t hash_q(const qdq_value *x, const qdq_params *p)
{
	const qdq_tensor *scale = qdq_value_constant(p->scale);
	uint64_t h = qdq_hash(&x, sizeof x, p->codes);

	/* scales that are equal as constants hash alike, whichever initializer holds them */
	return scale != NULL ? qdq_hash(scale->data, (size_t)scale->size, h) : qdq_hash(&p->scale, sizeof p->scale, h);
}

/* Nodes come in the order of the graph, so the one that stays is defined before whatever reads the others. */
static void merge(qdq_run *r, qdq_map *by_hash, qdq_node *q)
{
	const qdq_value *x = qdq_in(q, 0);
	const qdq_origin *origin = q->origin;
	const void *key;
	struct seen *first, *s;
	qdq_params p, other;

	if (x == NULL || x->n_uses < 2 || !qdq_params_of(q, &p))
		return;
	key = (const void *)(uintptr_t)(hash_q(x, &p) | 1);
	first = qdq_map_get(by_hash, key);
	for (s = first; s != NULL; s = s->next)
		if (qdq_in(s->q, 0) == x && qdq_params_of(s->q, &other) && qdq_params_equal(&p, &other))
			break;
	if (s == NULL) {
		s = qdq_new(&r->scratch, struct seen);
		*s = (struct seen){q, first};
		qdq_map_set(by_hash, key, s);
	} else if (q->outputs[0]->n_outputs == 0) { /* else its name stays */
		qdq_value_replace_uses(q->outputs[0], s->q->outputs[0]);
		qdq_node_remove(q);
		qdq_applied(r, "cancel.merge", QDQ_EXACT, 0, origin);
	}
}

static void run(qdq_run *r)
{
	qdq_map by_hash;
	qdq_node *next;

	qdq_map_init(&by_hash, &r->scratch);
	for (qdq_node *n = r->graph->first; n != NULL; n = next) {
		next = qdq_after(n);
		if (qdq_is(n, QDQ_OP_QuantizeLinear))
			merge(r, &by_hash, n);
	}
}

const qdq_pass qdq_pass_cancel = {"cancel", "cancel DQ-Q pairs and merge equal Qs", rules, QDQ_COUNTOF(rules), run,
				  false};

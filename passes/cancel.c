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
    {"cancel.pair", "(QuantizeLinear (DequantizeLinear*:dq x _ z?) _ y?)", "x", gives_back, NULL, QDQ_EXACT},
};

/* ---- one Q for equal parameters ---- */

/* The first Qs of a value, by what their parameters hash to. */
struct seen {
	qdq_node *q;
	struct seen *next;
};

static uint64_t hash_params(const qdq_params *p)
{
	const qdq_tensor *scale = qdq_value_constant(p->scale);
	uint64_t h = qdq_hash(&p->codes, sizeof p->codes, p->count);

	/* scales that are equal as constants hash alike, whichever initializer holds them */
	return scale != NULL ? qdq_hash(scale->data, (size_t)scale->size, h) : qdq_hash(&p->scale, sizeof p->scale, h);
}

static void merge_into(qdq_run *r, qdq_node *q, qdq_node *into)
{
	const qdq_origin *origin = q->origin;

	qdq_value_replace_uses(q->outputs[0], into->outputs[0]);
	qdq_node_remove(q);
	qdq_applied(r, "cancel.merge", QDQ_EXACT, 0, origin);
}

/* All Qs of x with equal parameters become the one that stands first. */
static void merge_readers(qdq_run *r, const qdq_value *x)
{
	const qdq_use *u = x->uses, *before;
	qdq_map by_hash;
	qdq_params a, b;

	qdq_map_init(&by_hash, &r->scratch);
	while (u->next != NULL) /* uses are listed newest first */
		u = u->next;
	for (; u != NULL; u = before) {
		qdq_node *q = u->node;
		struct seen *s;
		const void *key;

		before = u->prev;
		if (!qdq_is(q, QDQ_OP_QuantizeLinear) || q->graph != r->graph || qdq_use_index(u) != 0 ||
		    !qdq_params_of(q, &a))
			continue;
		key = (const void *)(uintptr_t)(hash_params(&a) | 1);
		for (s = qdq_map_get(&by_hash, key); s != NULL; s = s->next)
			if (qdq_params_of(s->q, &b) && qdq_params_equal(&a, &b))
				break;
		if (s != NULL && s->q->order < q->order && q->outputs[0]->n_outputs == 0) {
			merge_into(r, q, s->q);
		} else if (s != NULL && s->q->order > q->order && s->q->outputs[0]->n_outputs == 0) {
			merge_into(r, s->q, q);
			s->q = q;
		} else if (s == NULL) {
			s = qdq_new(&r->scratch, struct seen);
			*s = (struct seen){q, qdq_map_get(&by_hash, key)};
			qdq_map_set(&by_hash, key, s);
		}
	}
}

static void run(qdq_run *r)
{
	qdq_map done;
	qdq_node *next;

	qdq_map_init(&done, &r->scratch);
	for (qdq_node *n = r->graph->first; n != NULL; n = next) {
		qdq_value *x = qdq_is(n, QDQ_OP_QuantizeLinear) ? qdq_in(n, 0) : NULL;

		if (x != NULL && x->n_uses > 1 && qdq_map_get(&done, x) == NULL) {
			if (done.count == 0)
				qdq_graph_number(r->graph);
			qdq_map_set(&done, x, x);
			merge_readers(r, x); /* n stays: it is the first of them */
		}
		next = n->next;
	}
}

const qdq_pass qdq_pass_cancel = {"cancel", "cancel DQ-Q pairs and merge equal Qs", rules, QDQ_COUNTOF(rules), run,
				  false};

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

/* Qs of a value with equal parameters: the one that stands first. */
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

/* The group of q among those that were seen; NULL: it opens a new one. */
static struct seen *find_group(const qdq_map *by_hash, const void *key, const qdq_params *p)
{
	struct seen *s = qdq_map_get(by_hash, key);
	qdq_params other;

	while (s != NULL && !(qdq_params_of(s->q, &other) && qdq_params_equal(p, &other)))
		s = s->next;
	return s;
}

static bool is_q_of(const qdq_run *r, const qdq_use *u, qdq_params *p)
{
	return qdq_is(u->node, QDQ_OP_QuantizeLinear) && u->node->graph == r->graph && qdq_use_index(u) == 0 &&
	       qdq_params_of(u->node, p);
}

static const void *key_of(const qdq_params *p)
{
	return (const void *)(uintptr_t)(hash_params(p) | 1);
}

/* All Qs of x with equal parameters become the one that stands first. */
static void merge_readers(qdq_run *r, const qdq_value *x)
{
	qdq_use *next;
	qdq_map by_hash;
	qdq_params p;

	qdq_map_init(&by_hash, &r->scratch);
	for (const qdq_use *u = x->uses; u != NULL; u = u->next) {
		struct seen *s;

		if (!is_q_of(r, u, &p))
			continue;
		s = find_group(&by_hash, key_of(&p), &p);
		if (s == NULL) {
			s = qdq_new(&r->scratch, struct seen);
			*s = (struct seen){u->node, qdq_map_get(&by_hash, key_of(&p))};
			qdq_map_set(&by_hash, key_of(&p), s);
		} else if (u->node->order < s->q->order) {
			s->q = u->node;
		}
	}
	for (qdq_use *u = x->uses; u != NULL; u = next) {
		const struct seen *s;

		next = u->next;
		if (!is_q_of(r, u, &p) || u->node->outputs[0]->n_outputs != 0)
			continue;
		s = find_group(&by_hash, key_of(&p), &p);
		if (s->q != u->node)
			merge_into(r, u->node, s->q);
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

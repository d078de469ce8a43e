/* SPDX-License-Identifier: Apache-2.0
 *
 * cleanup -- what nobody reads, and what is computed twice
 *
 *   x --+-- Shape -- a               =>   x -- Shape --+-- a
 *       '-- Shape -- b                                 '-- b
 *   x -- DQ -- (nobody)              =>   x
 *
 *   When    no reader and no graph output; or the same deterministic operator, inputs and attributes
 *   Keeps   DQs apart (each belongs to its reader), operators that the table does not know, names of graph outputs; what
 *           the user wants in one precision apart from its equals; with --exact what may round float16 for one reader only
 *   Exact   EXACT
 *   Needs   nothing                         Breaks  nothing
 *   After   fuse                            Before  explain
 *   Tests   test/golden/cleanup/            Ref     value numbering, any compiler textbook
 */
#include "../lib/eval/eval.h"
#include "moves.h"

/* ---- dead code ---- */

static bool is_dead(const qdq_node *n)
{
	bool unknown = n->op->id == QDQ_OP_NONE && n->function == NULL; /* who knows what it does */

	return !unknown && qdq_node_unread(n);
}

/* From the end, so that one sweep takes whole chains. */
void qdq_drop_dead(qdq_run *r)
{
	qdq_node *previous;

	for (qdq_node *n = r->graph->last; n != NULL; n = previous) {
		previous = n->prev;
		if (is_dead(n)) {
			qdq_node_remove(n);
			qdq_changed(r);
		}
	}
}

/* ---- common subexpressions ---- */

/* Nodes with the same hash, newest first. */
struct same {
	qdq_node *node;
	struct same *next;
};

static bool is_mergeable(const qdq_node *n)
{
	if (n->region != NULL || n->op->id == QDQ_OP_DequantizeLinear || n->op->id == QDQ_OP_ms_DequantizeLinear ||
	    n->op->id == QDQ_OP_Dropout || !qdq_eval_known(n)) /* what is random has no evaluator */
		return false;
	for (uint32_t i = 0; i < n->n_attrs; i++)
		if (n->attrs[i].type != QDQ_ATTR_INT && n->attrs[i].type != QDQ_ATTR_FLOAT &&
		    n->attrs[i].type != QDQ_ATTR_INTS && n->attrs[i].type != QDQ_ATTR_FLOATS &&
		    n->attrs[i].type != QDQ_ATTR_STRING)
			return false;
	for (uint32_t i = 0; i < n->n_outputs; i++)
		if (n->outputs[i] != NULL && (n->outputs[i]->n_outputs != 0 || n->outputs[i]->not_tensor))
			return false;
	return n->n_outputs != 0;
}

static uint64_t hash_node(const qdq_node *n)
{
	uint64_t h = qdq_hash(&n->op, sizeof n->op, n->n_inputs);

	for (uint32_t i = 0; i < n->n_inputs; i++)
		h = qdq_hash(&n->inputs[i].value, sizeof n->inputs[i].value, h);
	return h;
}

static bool same_attr(const qdq_attr *a, const qdq_attr *b)
{
	if (a->type != b->type || a->ref != b->ref)
		return false;
	switch (a->type) {
	case QDQ_ATTR_INT:
		return a->u.i == b->u.i;
	case QDQ_ATTR_FLOAT:
		return memcmp(&a->u.f, &b->u.f, sizeof a->u.f) == 0;
	case QDQ_ATTR_STRING:
		return a->u.s.size == b->u.s.size && memcmp(a->u.s.data, b->u.s.data, a->u.s.size) == 0;
	case QDQ_ATTR_INTS:
		return a->count == b->count &&
		       (a->count == 0 || memcmp(a->u.ints, b->u.ints, a->count * sizeof *a->u.ints) == 0);
	case QDQ_ATTR_FLOATS:
		return a->count == b->count &&
		       (a->count == 0 || memcmp(a->u.floats, b->u.floats, a->count * sizeof *a->u.floats) == 0);
	default:
		return false;
	}
}

static bool same_node(const qdq_node *a, const qdq_node *b)
{
	if (a->op != b->op || a->n_inputs != b->n_inputs || a->n_outputs != b->n_outputs || a->n_attrs != b->n_attrs)
		return false;
	for (uint32_t i = 0; i < a->n_inputs; i++)
		if (a->inputs[i].value != b->inputs[i].value)
			return false;
	for (uint32_t i = 0; i < a->n_outputs; i++)
		if ((a->outputs[i] == NULL) != (b->outputs[i] == NULL))
			return false;
	for (uint32_t i = 0; i < a->n_attrs; i++) {
		const qdq_attr *other = qdq_attr_find(b, a->attrs[i].name);

		if (other == NULL || !same_attr(&a->attrs[i], other))
			return false;
	}
	return true;
}

static bool merge(qdq_run *r, qdq_node *n, qdq_node *into)
{
	const qdq_origin *origin = n->origin;

	if (qdq_rounds_apart(r, n) || qdq_rounds_apart(r, into)) {
		qdq_declined(r, "cleanup.merge", origin, &(qdq_reason){.code = QDQ_REASON_HALF_ROUNDING});
		return false;
	}
	for (uint32_t i = 0; i < n->n_outputs; i++)
		if (n->outputs[i] != NULL)
			qdq_value_replace_uses(n->outputs[i], into->outputs[i]);
	into->origin = qdq_origin_join(r->model, into->origin, origin);
	qdq_node_remove(n);
	qdq_applied(r, "cleanup.merge", QDQ_EXACT, 0, origin);
	return true;
}

void qdq_merge_equal(qdq_run *r)
{
	int patience; /* nodes that only look alike */
	qdq_map seen;
	qdq_node *next;

	qdq_map_init(&seen, &r->scratch);
	for (qdq_node *n = r->graph->first; n != NULL; n = next) {
		struct same *first, *s;
		const void *key;

		next = qdq_after(n);
		if (!is_mergeable(n))
			continue;
		key = (const void *)(uintptr_t)(hash_node(n) | 1);
		first = qdq_map_get(&seen, key);
		for (s = first, patience = 16; s != NULL && patience > 0; s = s->next, patience--)
			if (same_node(s->node, n) && qdq_wanted_alike(r, s->node, n))
				break;
		if (s != NULL && patience > 0 && merge(r, n, s->node))
			continue;
		s = qdq_new(&r->scratch, struct same);
		*s = (struct same){n, first};
		qdq_map_set(&seen, key, s);
	}
}

static void run(qdq_run *r)
{
	uint64_t before;

	qdq_drop_dead(r);
	before = r->changes;
	qdq_merge_equal(r);
	if (r->changes != before)
		qdq_drop_dead(r);
	qdq_graph_drop_constants(r->graph);
}

static const qdq_rule rules[] = {
    {.name = "cleanup.merge",
     .exactness = QDQ_EXACT,
     .text = "of equal operators with equal inputs one stays, for all readers"},
};

const qdq_pass qdq_pass_cleanup = {
    "cleanup", "drop what nobody reads and compute nothing twice", rules, QDQ_COUNTOF(rules), run, false};

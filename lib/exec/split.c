/* SPDX-License-Identifier: Apache-2.0
 *
 * split.c -- a fused operator that no kernel runs whole becomes several that kernels run, and nodes
 *
 *      [DQ DQ Conv Erf Mul Q]   =>   [DQ DQ Conv]  Erf  [Mul Q]
 *
 * This happens in the session's own copy of the model, while the plan is made. The region is dissolved; front to back, each
 * node begins a piece, which takes in whatever of the nodes behind it can be computed from it and still lowers. A
 * piece is a region again, so everything else (checking, profiles, devices) sees nothing new. A node that no kernel
 * covers stays as it is; weights that it reads are dequantized once, here.
 */
#include "lower.h"

typedef struct splitting {
	qdq_plan *p;
	qdq_graph *g;
	qdq_arena *scratch;
	QDQ_VEC(qdq_node *) left; /* in order; those that no piece has yet */
	QDQ_VEC(qdq_node *) piece;
	const qdq_node *anchor; /* of the region that is split */
	qdq_name name;		/* and its name */
	bool named;		/* a piece has that name */
	qdq_node *front, *end;	/* the nodes in front of the region and behind it; NULL: none */
} splitting;

/* ---- DQs of what comes from outside ---- */

static bool is_member(const splitting *s, const qdq_node *n)
{
	for (size_t i = 0; i < s->left.count; i++)
		if (s->left.items[i] == n)
			return true;
	for (size_t i = 0; i < s->piece.count; i++)
		if (s->piece.items[i] == n)
			return true;
	return false;
}

/* A DQ of codes that the region was given: it goes with its reader. */
static bool is_source(const splitting *s, const qdq_node *n)
{
	const qdq_value *x = qdq_in(n, 0);

	return qdq_is_dequantizer(n) && x != NULL && (x->def == NULL || !is_member(s, x->def));
}

/* Every source has one reader of its own. */
static void clone_sources(splitting *s)
{
	for (size_t i = 0; i < s->left.count; i++) {
		qdq_node *n = s->left.items[i];

		if (!is_source(s, n))
			continue;
		while (n->outputs[0]->n_uses > 1 || (n->outputs[0]->n_uses == 1 && n->outputs[0]->n_outputs != 0)) {
			qdq_use *u = n->outputs[0]->uses;
			qdq_node *copy = qdq_node_clone(n, n);

			qdq_use_set(u, copy->outputs[0]);
			*qdq_push(s->scratch, &s->left) = copy;
			memmove(s->left.items + i + 1, s->left.items + i,
				(s->left.count - i - 1) * sizeof *s->left.items);
			s->left.items[i++] = copy;
		}
	}
}

/* ---- pieces ---- */

/* The sources of n, then n, as the last of the piece. */
static void take(splitting *s, qdq_node *n)
{
	for (uint32_t i = 0; i < n->n_inputs; i++) {
		qdq_node *dq = qdq_in(n, i) != NULL ? qdq_in(n, i)->def : NULL;

		if (dq != NULL && is_member(s, dq) && is_source(s, dq) && qdq_only_use(dq->outputs[0]) != NULL)
			*qdq_push(s->scratch, &s->piece) = dq;
	}
	*qdq_push(s->scratch, &s->piece) = n;
}

static bool in_piece(const splitting *s, const qdq_node *n)
{
	for (size_t i = 0; i < s->piece.count; i++)
		if (s->piece.items[i] == n)
			return true;
	return false;
}

/* Can n be computed from the piece, what is done already and sources, and from the piece at all? */
static bool follows(const splitting *s, const qdq_node *n)
{
	bool reads = false;

	for (uint32_t i = 0; i < n->n_inputs; i++) {
		const qdq_node *def = qdq_in(n, i) != NULL ? qdq_in(n, i)->def : NULL;

		if (def == NULL || !is_member(s, def))
			continue;
		if (in_piece(s, def))
			reads = true;
		else if (!is_source(s, def))
			return false;
	}
	return reads;
}

/* ---- trying ---- */

/* Brings nodes of the piece in front of what is left; they read nothing of that. */
static void to_front(const splitting *s)
{
	qdq_node *before = s->end;

	for (size_t i = s->left.count; i-- > 0;)
		if (!in_piece(s, s->left.items[i]))
			before = s->left.items[i];
	for (size_t i = 0; i < s->piece.count; i++)
		qdq_node_move(s->piece.items[i], s->g, before);
}

static qdq_node *outline(splitting *s, qdq_name name)
{
	qdq_node *made;

	to_front(s);
	made = qdq_region_create(s->g, s->piece.items, s->piece.count, name);
	qdq_plan_grow(s->p);
	return made;
}

/* Does a kernel run the piece? The plan and the graph stay as they were. */
static bool lowers(splitting *s)
{
	qdq_plan *p = s->p;
	qdq_arena *arena = p->arena;
	size_t kernels = p->kernels.count, buffers = p->buffers.count;
	qdq_node *made = outline(s, s->name);
	bool good;

	p->arena = s->scratch;
	good = qdq_lower(p, made);
	p->arena = arena;
	for (size_t i = buffers; i < p->buffers.count; i++)
		if (p->buffer_of[p->buffers.items[i].value->id] == i + 1)
			p->buffer_of[p->buffers.items[i].value->id] = 0;
	p->buffers.count = buffers;
	p->kernels.count = kernels;
	qdq_region_expand(made);
	for (size_t i = 0; i < s->left.count; i++)
		qdq_node_move(s->left.items[i], s->g, s->end);
	return good;
}

static void grow(splitting *s)
{
	for (size_t i = 0; i < s->left.count; i++) {
		qdq_node *n = s->left.items[i];
		size_t count = s->piece.count;

		if (in_piece(s, n) || is_source(s, n) || !follows(s, n))
			continue;
		take(s, n);
		if (!lowers(s))
			s->piece.count = count;
	}
}

/* ---- settling ---- */

static void drop_piece(splitting *s)
{
	size_t kept = 0;

	for (size_t i = 0; i < s->left.count; i++)
		if (!in_piece(s, s->left.items[i]))
			s->left.items[kept++] = s->left.items[i];
	s->left.count = kept;
	s->piece.count = 0;
}

static void keep_region(splitting *s)
{
	const qdq_node *named = NULL;
	qdq_name name = s->name;
	bool anchored = in_piece(s, s->anchor);

	for (size_t i = 0; i < s->piece.count; i++)
		if (named == NULL || is_source(s, named))
			named = s->piece.items[i];
	if (!anchored || s->named)
		name = qdq_unique_name(
		    &s->p->m->names,
		    qdq_format(s->scratch, "%s.fused", *named->name != '\0' ? named->name : named->outputs[0]->name));
	s->named = s->named || anchored;
	(void)outline(s, name);
	drop_piece(s);
}

/* A node that stays by itself, behind its sources. */
static void keep_node(splitting *s)
{
	size_t count;

	to_front(s);
	count = s->piece.count;
	drop_piece(s);
	for (size_t i = 0; i < count; i++)
		(void)qdq_fold_weights(s->p, s->piece.items[i]);
}

/* The next that is no source, or one that nobody reads. */
static qdq_node *next_node(const splitting *s)
{
	for (size_t i = 0; i < s->left.count; i++)
		if (!is_source(s, s->left.items[i]))
			return s->left.items[i];
	return s->left.items[0];
}

static void split(void *arg, qdq_arena *scratch)
{
	splitting *s = arg;

	s->scratch = scratch;
	for (qdq_node *n = s->front != NULL ? s->front->next : s->g->first; n != s->end; n = n->next)
		*qdq_push(scratch, &s->left) = n;
	while (s->left.count != 0) {
		clone_sources(s); /* a DQ is one too once the Q in front of it is in a piece */
		qdq_plan_grow(s->p);
		take(s, next_node(s));
		if (lowers(s)) {
			grow(s);
			keep_region(s);
		} else {
			keep_node(s);
		}
	}
	qdq_plan_grow(s->p);
}

qdq_node *qdq_split(qdq_plan *p, qdq_node *region)
{
	splitting s = {.p = p,
		       .g = region->graph,
		       .anchor = region->region->anchor,
		       .name = region->name,
		       .front = region->prev,
		       .end = region->next};

	qdq_region_expand(region);
	qdq_with_scratch(p->m->ctx, split, &s);
	return s.front != NULL ? s.front->next : s.g->first;
}

/* The DQ of a constant, once and for all. */
bool qdq_fold_weights(qdq_plan *p, qdq_node *n)
{
	const qdq_tensor *in[3] = {NULL}, *out[1] = {NULL};

	if (!qdq_is_dequantizer(n) || n->n_inputs > 3 || n->outputs[0]->n_outputs != 0)
		return false;
	for (uint32_t i = 0; i < n->n_inputs; i++) {
		in[i] = qdq_in(n, i) != NULL ? qdq_value_constant(qdq_in(n, i)) : NULL;
		if (qdq_in(n, i) != NULL && in[i] == NULL)
			return false;
	}
	if (qdq_eval_node(p->m, &p->m->arena, n, in, out, 0) != QDQ_EVAL_OK)
		return false;
	qdq_value_set_constant(n->outputs[0], out[0]);
	qdq_node_remove(n);
	return true;
}

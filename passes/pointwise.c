/* SPDX-License-Identifier: Apache-2.0
 *
 * pointwise.c -- regions of pointwise operators alone: tables, and what joins up to four tensors
 *
 *   a -- DQ --+-- Sigmoid --.                            a --.
 *             '-------------+-- Mul -- Q -- y     =>     b --+-- [ ... ] -- y
 *   b -- DQ -- Add ---------'
 *   c -- DQ ---'
 *
 * A region begins with its last operator and grows toward the inputs: what is read only inside comes in, so there is one
 * way out, and a region is convex (see epilogue.c). Q -> DQ between two such operators stays as a rounding step.
 */
#include "epilogue.h"

enum { MOST_NODES = 48, MOST_INPUTS = QDQ_MOST_OTHERS };

/* A value that the region reads. */
struct seen {
	qdq_value *v;
	uint32_t uses; /* by nodes inside */
	bool inside;   /* its definer is in the region too */
};

struct growing {
	qdq_run *run;
	qdq_graph *graph;
	QDQ_VEC(qdq_node *) found; /* each behind all that read it */
	QDQ_VEC(struct seen) seen;
	uint32_t inputs; /* seen values that are not inside */
};

static struct seen *find_seen(const struct growing *g, const qdq_value *v)
{
	for (size_t i = 0; i < g->seen.count; i++)
		if (g->seen.items[i].v == v)
			return &g->seen.items[i];
	return NULL;
}

/* Values that n would bring as new inputs. */
static uint32_t new_inputs(const struct growing *g, const qdq_node *n)
{
	uint32_t count = 0;

	for (uint32_t i = 0; i < n->n_inputs; i++)
		count += qdq_in(n, i) != NULL && !qdq_is_weight(qdq_in(n, i)) && find_seen(g, qdq_in(n, i)) == NULL;
	return count;
}

static bool read_once(const qdq_value *v, const qdq_graph *g)
{
	return qdq_only_use(v) != NULL && v->graph == g;
}

/* May n, whose output is read inside only, come in? */
static bool may_enter(const struct growing *g, const qdq_node *n)
{
	qdq_reason why;

	return n != NULL && n->graph == g->graph && qdq_is_float_pointwise(n) && g->found.count < MOST_NODES &&
	       qdq_precision_int8(n, g->run->options->target, &why) && g->inputs - 1 + new_inputs(g, n) <= MOST_INPUTS;
}

/* Takes in what defines the value that s is about: a pointwise operator, or one with Q -> DQ behind it. */
static bool enter(struct growing *g, const qdq_value *v)
{
	qdq_node *n = v->def;
	qdq_node *dq = qdq_def(v, QDQ_OP_DequantizeLinear);
	qdq_node *q = dq != NULL && read_once(qdq_in(dq, 0), g->graph) ? qdq_in(dq, 0)->def : NULL;

	if (dq != NULL) {
		if (!qdq_is(q, QDQ_OP_QuantizeLinear) || q->graph != g->graph || !qdq_is_rounding(dq) ||
		    !qdq_is_rounding(q) || !read_once(qdq_in(q, 0), g->graph))
			return false;
		n = qdq_in(q, 0)->def;
	}
	if (!may_enter(g, n))
		return false;
	if (dq != NULL) {
		*qdq_push(&g->run->scratch, &g->found) = dq;
		*qdq_push(&g->run->scratch, &g->found) = q;
	}
	*qdq_push(&g->run->scratch, &g->found) = n;
	return true;
}

/* Everything that n reads; what only the region reads now comes in. */
static void look(struct growing *g, const qdq_node *n)
{
	for (uint32_t i = 0; i < n->n_inputs; i++) {
		qdq_value *v = qdq_in(n, i);
		struct seen *s;

		if (v == NULL || qdq_is_weight(v))
			continue;
		s = find_seen(g, v);
		if (s == NULL) {
			s = qdq_push(&g->run->scratch, &g->seen);
			*s = (struct seen){.v = v};
			g->inputs++;
		}
		s->uses++;
	}
	for (size_t i = 0; i < g->seen.count; i++) {
		struct seen *s = &g->seen.items[i];

		if (s->inside || s->uses != s->v->n_uses || s->v->n_outputs != 0 || !enter(g, s->v))
			continue;
		s->inside = true;
		g->inputs--;
	}
}

/* The region's members: DQs in front, then the nodes, then what follows the last one. False: it is not worth a region. */
static bool gather(struct growing *g, qdq_builder *b)
{
	size_t operators = 0, casts = 0;

	for (size_t i = g->found.count; i-- > 0;) {
		qdq_node *n = g->found.items[i];

		operators += n->op->cls != QDQ_CLASS_QUANT;
		casts += qdq_is(n, QDQ_OP_Cast);
		for (uint32_t j = 0; j < n->n_inputs && n->op->cls != QDQ_CLASS_QUANT; j++) {
			const qdq_value *v = qdq_in(n, j);
			const struct seen *s = v != NULL ? find_seen(g, v) : NULL;

			if (v != NULL && (s == NULL || !s->inside))
				qdq_take_dequantizer(b, &n->inputs[j]);
		}
	}
	for (size_t i = g->found.count; i-- > 0;)
		qdq_take(b, g->found.items[i]);
	for (size_t i = 0; i < g->seen.count && b->n_others < QDQ_MOST_OTHERS; i++)
		if (!g->seen.items[i].inside)
			b->others[b->n_others++] = g->seen.items[i].v;
	qdq_grow(b, g->found.items[0]->outputs[0]);
	return operators > casts && (operators > 1 || b->members.count > 1);
}

void qdq_fuse_pointwise(qdq_run *r, qdq_node *n)
{
	struct growing g = {.run = r, .graph = n->graph};
	qdq_builder b = {.run = r, .graph = n->graph, .most_others = MOST_INPUTS};

	qdq_reason why;

	if (!qdq_is_float_pointwise(n) || qdq_value_unread(n->outputs[0]) ||
	    !qdq_precision_int8(n, r->options->target, &why))
		return;
	*qdq_push(&r->scratch, &g.found) = n;
	for (size_t i = 0; i < g.found.count; i++)
		if (g.found.items[i]->op->cls != QDQ_CLASS_QUANT)
			look(&g, g.found.items[i]);
	if (gather(&g, &b))
		qdq_commit(&b);
}

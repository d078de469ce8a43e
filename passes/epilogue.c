/* SPDX-License-Identifier: Apache-2.0
 *
 * epilogue.c -- how a region grows behind its anchor, and how it is closed
 *
 *            .-- Sigmoid -- Q -- DQ --.
 *   conv -- Q -- DQ ------------------+-- Mul -- Q -- DQ -- Add -- Q -- y
 *                                                  r -- DQ -'
 *
 * Growing goes from one *frontier* to the next: a single value, behind which everything is outside and through which
 * everything inside goes. Nodes are taken in one by one as long as all that they read is inside (or constant, or one of
 * the few other tensors); whenever only one value is read outside, that is the next frontier. A DAG that does not come
 * together within REACH nodes is left again. With one way out a region is convex: what another operand is made of
 * cannot depend on the region, for then the graph would have a cycle.
 */
#include "epilogue.h"

enum {
	REACH = 48,   /* nodes between two frontiers */
	LONG = 256,   /* nodes: from there on it grows no more, or planning it would take forever */
	FORK = 16,    /* readers of a value inside */
	OPERANDS = 64 /* of a node */
};

/* ---- what is taken in ---- */

void qdq_take(qdq_builder *b, qdq_node *n)
{
	*qdq_push(&b->run->scratch, &b->members) = (struct qdq_member){n, NULL};
}

bool qdq_take_dequantizer(qdq_builder *b, qdq_use *u)
{
	qdq_node *dq = qdq_dequantizer(u->value);

	if (dq == NULL || dq->graph != b->graph || !qdq_keeps_type(dq))
		return false;
	if (qdq_rounds_by_order(b->run, dq)) {
		qdq_declined(b->run, "fuse.concat", u->node->origin,
			     &(qdq_reason){.code = QDQ_REASON_HALF_ROUNDING, .operand = u->value->name});
		return false;
	}
	*qdq_push(&b->run->scratch, &b->members) = (struct qdq_member){dq, u};
	return true;
}

bool qdq_fits_into(const qdq_value *other, const qdq_value *v)
{
	const qdq_shape *a = other->shape;
	const qdq_shape *b = v->shape;

	if (a == NULL || b == NULL || a->rank > b->rank)
		return a != NULL && a->rank == 0;
	for (int32_t i = 0; i < a->rank; i++) {
		qdq_dim d = a->dim[a->rank - 1 - i];

		if (d != 1 && d != b->dim[b->rank - 1 - i])
			return false;
	}
	return true;
}

/* ---- steps ---- */

static bool is_real(const qdq_value *v)
{
	return v != NULL && (v->type == QDQ_TYPE_FLOAT || v->type == QDQ_TYPE_FLOAT16 || v->type == QDQ_TYPE_BFLOAT16 ||
			     v->type == QDQ_TYPE_DOUBLE);
}

static bool constant_operands(const qdq_node *n, uint32_t from)
{
	for (uint32_t i = from; i < n->n_inputs; i++)
		if (qdq_in(n, i) != NULL && qdq_value_constant(qdq_in(n, i)) == NULL)
			return false;
	return true;
}

bool qdq_is_float_pointwise(const qdq_node *n)
{
	if (n->n_inputs > OPERANDS || !qdq_is_pointwise(n) || qdq_kept_float(n) || !is_real(qdq_out(n, 0)))
		return false;
	for (uint32_t i = 1; i < n->n_outputs; i++)
		if (n->outputs[i] != NULL)
			return false;
	if (n->op->id == QDQ_OP_BatchNormalization)
		return is_real(qdq_in(n, 0)) && constant_operands(n, 1) && qdq_attr_int(n, "training_mode", 0) == 0;
	if (n->op->axis == QDQ_AXIS_SAME) /* Relu, Clip: the bounds are parameters */
		return is_real(qdq_in(n, 0)) && constant_operands(n, 1);
	for (uint32_t i = 0; i < n->n_inputs; i++)
		if (qdq_in(n, i) != NULL && !is_real(qdq_in(n, i)))
			return false;
	return n->n_inputs != 0;
}

static struct qdq_live *find_live(const qdq_builder *b, const qdq_value *v)
{
	for (size_t i = 0; i < b->live.count; i++)
		if (b->live.items[i].v == v)
			return &b->live.items[i];
	return NULL;
}

static bool is_other(const qdq_builder *b, const qdq_value *v)
{
	for (uint32_t i = 0; i < b->n_others; i++)
		if (b->others[i] == v)
			return true;
	return false;
}

/* Can the region compute n from what it has: everything that n reads is inside, constant, or (if may_read) one of the
 * other tensors, and nothing is larger than what is inside? */
static bool is_step(const qdq_builder *b, const qdq_node *n, bool may_read)
{
	uint32_t others = b->n_others;
	bool inside = false;

	if (qdq_out(n, 0) == NULL)
		return false;
	if (qdq_is(n, QDQ_OP_QuantizeLinear) || qdq_is(n, QDQ_OP_DequantizeLinear))
		return find_live(b, qdq_in(n, 0)) != NULL && qdq_is_rounding(n);
	if (qdq_is_clamp(n) && qdq_type_is_int8(n->outputs[0]->type)) /* it runs on codes */
		return !qdq_kept_float(n) && find_live(b, qdq_in(n, 0)) != NULL && constant_operands(n, 1);
	if (!qdq_is_float_pointwise(n) || is_other(b, n->outputs[0]))
		return false;
	for (uint32_t i = 0; i < n->n_inputs; i++) {
		const qdq_value *v = qdq_in(n, i);

		if (v == NULL)
			continue;
		if (find_live(b, v) != NULL) {
			inside = true;
			continue;
		}
		if (n->op->axis != QDQ_AXIS_SAME && n->op->id != QDQ_OP_BatchNormalization &&
		    !qdq_fits_into(v, b->live.items[0].v))
			return false;
		if (qdq_is_weight(v) || is_other(b, v))
			continue;
		if (!may_read || others++ >= b->most_others)
			return false;
	}
	return inside;
}

static bool is_member(const qdq_builder *b, size_t mark, const qdq_node *n)
{
	for (size_t i = mark; i < b->members.count; i++)
		if (b->members.items[i].node == n)
			return true;
	return false;
}

/* The first reader of v in the order of the graph: uses are listed newest first. */
static const qdq_use *oldest(const qdq_value *v)
{
	const qdq_use *u = v->uses;

	while (u != NULL && u->next != NULL)
		u = u->next;
	return u;
}

/* A node that can be computed next; one that needs another tensor only if there is no other. */
static qdq_node *next_step(const qdq_builder *b, size_t mark)
{
	for (int may_read = 0; may_read <= 1; may_read++) {
		for (size_t i = 0; i < b->live.count; i++) {
			const struct qdq_live *l = &b->live.items[i];

			if (l->left == 0 || l->v->n_uses > FORK)
				continue;
			for (const qdq_use *u = oldest(l->v); u != NULL; u = u->prev)
				if (u->node->graph == b->graph && !is_member(b, mark, u->node) &&
				    is_step(b, u->node, may_read != 0))
					return u->node;
		}
	}
	return NULL;
}

static void push_live(qdq_builder *b, qdq_value *v)
{
	*qdq_push(&b->run->scratch, &b->live) = (struct qdq_live){v, v->n_uses + v->n_outputs};
}

static void take_step(qdq_builder *b, qdq_node *n)
{
	for (uint32_t i = 0; i < n->n_inputs; i++) {
		qdq_value *v = qdq_in(n, i);
		struct qdq_live *l = v != NULL ? find_live(b, v) : NULL;

		if (l != NULL)
			l->left--;
		if (v == NULL || l != NULL || qdq_value_constant(v) != NULL)
			continue;
		if (!qdq_is_weight(v) && !is_other(b, v))
			b->others[b->n_others++] = v;
		qdq_take_dequantizer(b, &n->inputs[i]);
	}
	qdq_take(b, n);
	push_live(b, n->outputs[0]);
}

/* ---- from frontier to frontier ---- */

/* The one value that is read outside; NULL where there are several. */
static qdq_value *only_open(const qdq_builder *b)
{
	qdq_value *v = NULL;

	for (size_t i = 0; i < b->live.count; i++) {
		if (b->live.items[i].left == 0)
			continue;
		if (v != NULL)
			return NULL;
		v = b->live.items[i].v;
	}
	return v;
}

/* May a region end with v? With what a DQ gives only where the network itself wants it: others can take the codes. */
static bool may_end(const qdq_value *v)
{
	return qdq_def(v, QDQ_OP_DequantizeLinear) == NULL || (v->n_uses == 0 && v->n_outputs != 0);
}

/* From the frontier v to the next one; NULL: there is none, and nothing was taken in. */
static qdq_value *advance(qdq_builder *b, qdq_value *v)
{
	size_t mark = b->members.count;
	uint32_t others = b->n_others;

	if (v->n_outputs != 0)
		return NULL;
	b->live.count = 0;
	push_live(b, v);
	while (b->members.count - mark < REACH) {
		qdq_node *n = next_step(b, mark);
		qdq_value *open;

		if (n == NULL)
			break;
		take_step(b, n);
		open = only_open(b);
		if (open != NULL && open != v && may_end(open))
			return open;
	}
	b->members.count = mark;
	b->n_others = others;
	return NULL;
}

/* ---- the last frontier ---- */

/* Codes that several read: whoever wants them requantized gets that as another output. */
static void take_requantizers(qdq_builder *b, const qdq_value *codes)
{
	for (const qdq_use *u = oldest(codes); u != NULL; u = u->prev) {
		qdq_node *dq = u->node;
		qdq_node *q = qdq_is(dq, QDQ_OP_DequantizeLinear) && dq->graph == b->graph && qdq_is_rounding(dq)
				  ? qdq_reader(dq->outputs[0])
				  : NULL;

		if (q != NULL && qdq_is(q, QDQ_OP_QuantizeLinear) && qdq_is_rounding(q)) {
			qdq_take(b, dq);
			qdq_take(b, q);
		}
	}
}

void qdq_take_quantizers(qdq_builder *b, const qdq_value *v)
{
	for (const qdq_use *u = oldest(v); u != NULL; u = u->prev) {
		if (u->node->graph == b->graph && qdq_is(u->node, QDQ_OP_QuantizeLinear) && qdq_use_index(u) == 0 &&
		    qdq_is_rounding(u->node)) {
			qdq_take(b, u->node);
			take_requantizers(b, u->node->outputs[0]);
		}
	}
}

void qdq_grow(qdq_builder *b, qdq_value *v)
{
	for (qdq_value *next = v; next != NULL; next = b->members.count < LONG ? advance(b, v) : NULL)
		v = next;
	if (qdq_reader(v) != NULL)
		return;
	if (qdq_type_is_int8(v->type))
		take_requantizers(b, v);
	else
		qdq_take_quantizers(b, v);
}

/* ---- making the region ---- */

/* How many of the uses of member i's DQ are in the region, from member i on. */
static uint32_t uses_inside(const qdq_builder *b, size_t i)
{
	uint32_t count = 0;

	for (size_t j = i; j < b->members.count && j - i <= REACH; j++)
		count += b->members.items[j].use != NULL && b->members.items[j].node == b->members.items[i].node;
	return count;
}

/* The place in `nodes` of the DQ of member i, if an earlier member brought it. */
static bool brought(const qdq_builder *b, size_t i, const size_t *places, size_t *place)
{
	for (size_t j = i; j-- > 0 && i - j <= REACH;) {
		if (b->members.items[j].use != NULL && b->members.items[j].node == b->members.items[i].node) {
			*place = places[j];
			return true;
		}
	}
	return false;
}

/* The nodes that move in: a DQ that others read as well is cloned, once. */
static size_t settle(qdq_builder *b, qdq_node **nodes)
{
	size_t *places = qdq_array(&b->run->scratch, size_t, b->members.count);
	size_t count = 0;

	for (size_t i = 0; i < b->members.count; i++) {
		qdq_node *n = b->members.items[i].node;
		qdq_use *u = b->members.items[i].use;

		if (u != NULL && brought(b, i, places, &places[i])) {
			qdq_use_set(u, nodes[places[i]]->outputs[0]);
			continue;
		}
		if (u != NULL && (n->outputs[0]->n_outputs != 0 || n->outputs[0]->n_uses != uses_inside(b, i))) {
			n = qdq_node_clone(n, n->next);
			qdq_use_set(u, n->outputs[0]);
		}
		places[i] = count;
		nodes[count++] = n;
	}
	return count;
}

qdq_node *qdq_commit(qdq_builder *b)
{
	qdq_run *r = b->run;
	qdq_model *m = r->model;
	qdq_node **nodes = qdq_array(&r->scratch, qdq_node *, b->members.count);
	size_t count = settle(b, nodes);
	const qdq_node *named = NULL;
	const qdq_origin *origin;
	const char *base;
	qdq_node *region;

	for (size_t i = 0; i < count; i++)
		if (qdq_region_outranks(nodes[i], named))
			named = nodes[i];
	named = named != NULL ? named : nodes[0];
	origin = named->origin;
	base = *named->name != '\0' ? named->name : named->outputs[0]->name;
	region = qdq_region_create(b->graph, nodes, count,
				   qdq_unique_name(&m->names, qdq_format(&r->scratch, "%s.fused", base)));
	qdq_applied(r, r->pass->rules[region->region->kind].name, QDQ_EXACT, 0, origin); /* fuse's */
	return region;
}

/* SPDX-License-Identifier: Apache-2.0
 *
 * attention -- softmax(q k^T · scale + mask) v into one region, with the moves that split and join the heads
 *
 *   q -- Reshape -- Transpose -- DQ --.
 *   k -- Reshape -- Transpose -- DQ --+-- MatMul -- Mul -- Q -- DQ --.                                     q --.
 *   mask -- DQ ------------------------------------------------------+-- Add -- Q -- DQ -- Softmax --.     k --|
 *   v -- Reshape -- Transpose -- DQ -----------------------------------------------------  Q -- DQ --+ =>  m --+-- [ … ] -- y
 *                                              y -- Reshape -- Transpose -- Q -- MatMul -------------'     v --'
 *
 *   When    two MatMuls of activations, with a Softmax over the last axis between them and else only pointwise steps,
 *           roundings and views; each MatMul runs in INT8 (contract.c) or reads a float, and something of it is
 *           quantized. What feeds them comes in as long as nobody else reads it: moves of one tensor (a Split of q, k
 *           and v too), a constant scale, DQs, and Qs of what was dequantized or moved; behind them views, Transposes and Qs
 *           What is computed of one value of split heads (rotary embeddings) comes in whole
 *   Keeps   every node and every name; a DQ that others read is cloned
 *   Exact   EXACT: a region is the very nodes that it replaced
 *   Needs   shapes (which operand of an Add is the mask)     Breaks  order (restored at the end)
 *   After   cancel                          Before  fuse
 *   Tests   test/golden/attention/          Ref     Vaswani et al., Attention is all you need, section 3.2
 */
#include "epilogue.h"

enum {
	VISITS = 64, /* steps between MatMul and Softmax that are looked at */
	CONE = 48,   /* nodes between MatMul and heads */
	OTHERS = 2   /* tensors that such nodes read beside the heads */
};

struct attention {
	qdq_run *run;
	qdq_outline out;
	qdq_node *softmax, *scores, *mix; /* q k^T; the product with v */
	const qdq_value *shared;	  /* a value inside that others read as well */
	int visits;
};

/* ---- the steps between the products ---- */

static bool is_product(const qdq_node *n)
{
	return n->op->id == QDQ_OP_MatMul && qdq_in(n, 0) != NULL && qdq_in(n, 1) != NULL &&
	       !qdq_is_weight(qdq_in(n, 0)) && !qdq_is_weight(qdq_in(n, 1));
}

static bool is_float(const qdq_value *v)
{
	return qdq_type_get(v->type)->is_float;
}

/* May operand i of n be the scores? A mask is smaller, or comes second. */
static bool may_carry(const qdq_node *n, uint32_t i)
{
	const qdq_value *v = qdq_in(n, i);
	const qdq_value *y = n->outputs[0];

	if (v == NULL || qdq_value_constant(v) != NULL)
		return false;
	if (n->op->cls == QDQ_CLASS_QUANT)
		return i == 0 && qdq_is_rounding(n);
	if (n->op->axis == QDQ_AXIS_VIEW)
		return i == 0;
	if (v->shape != NULL && y->shape != NULL && !qdq_shape_equal(v->shape, y->shape))
		return false;
	if (n->op->id == QDQ_OP_Where)
		return i != 0;
	return (n->op->cls == QDQ_CLASS_POINTWISE || qdq_is_clamp(n) || n->op->id == QDQ_OP_Max ||
		n->op->id == QDQ_OP_Min) &&
	       is_float(v) && is_float(y);
}

/* A step on the way, whose other operands' DQs come in too. */
static void take_step(struct attention *a, qdq_node *n, const qdq_value *from)
{
	qdq_outline_take(&a->out, n);
	for (uint32_t i = 0; i < n->n_inputs; i++)
		if (qdq_in(n, i) != from)
			qdq_outline_take_dequantizer(&a->out, qdq_in(n, i));
}

static void notice_readers(struct attention *a, const qdq_value *v)
{
	if (qdq_reader(v) == NULL && a->shared == NULL)
		a->shared = v;
}

/* The product that v comes from; the steps between are taken. NULL: there is none, and nothing was taken. */
static qdq_node *find_scores(struct attention *a, qdq_value *v)
{
	qdq_node *n = v->def;

	if (n == NULL || n->graph != a->run->graph || n->region != NULL || qdq_out(n, 0) != v || a->visits++ >= VISITS)
		return NULL;
	if (is_product(n)) {
		notice_readers(a, v);
		return n;
	}
	for (uint32_t i = 0; i < n->n_inputs; i++) {
		qdq_node *found = may_carry(n, i) ? find_scores(a, qdq_in(n, i)) : NULL;

		if (found != NULL) {
			notice_readers(a, v);
			take_step(a, n, qdq_in(n, i));
			return found;
		}
	}
	return NULL;
}

/* The product that reads v, the probabilities, on its left. */
static qdq_node *find_mix(struct attention *a, qdq_value *v)
{
	for (const qdq_use *u = v->uses; u != NULL; u = u->next) {
		qdq_node *n = u->node;
		qdq_node *found;

		if (n->graph != a->run->graph || n->region != NULL || qdq_out(n, 0) == NULL || a->visits++ >= VISITS)
			continue;
		if (is_product(n) && qdq_use_index(u) == 0 && qdq_in(n, 1) != v)
			found = n;
		else
			found = may_carry(n, qdq_use_index(u)) ? find_mix(a, n->outputs[0]) : NULL;
		if (found == NULL)
			continue;
		notice_readers(a, v);
		if (found != n)
			take_step(a, n, v);
		return found;
	}
	return NULL;
}

/* ---- how heads are split ---- */

/* Rearranges or selects elements of one tensor: its index, else -1. */
static int moved_operand(const qdq_node *n)
{
	int data = -1;

	if (n->op->cls != QDQ_CLASS_MOVE || n->op->family != QDQ_FAMILY_NONE || n->op->id == QDQ_OP_Pad)
		return -1;
	for (uint32_t i = 0; i < n->n_inputs; i++) {
		const qdq_value *v = qdq_in(n, i);

		if (v == NULL)
			continue;
		if (qdq_op_data_input(n, i)) {
			if (data >= 0 || qdq_value_constant(v) != NULL)
				return -1;
			data = (int)i;
		} else if (n->op->axis != QDQ_AXIS_VIEW && n->op->id != QDQ_OP_Expand &&
			   qdq_value_constant(v) == NULL) {
			return -1;
		}
	}
	return data;
}

/* One number, as it is or dequantized. */
static bool is_number(const qdq_value *v)
{
	return v != NULL && qdq_is_weight(v) && v->shape != NULL && qdq_shape_known(v->shape) &&
	       qdq_shape_count(v->shape, NULL) == 1;
}

static bool is_arranging(const qdq_node *n)
{
	return n->op->axis == QDQ_AXIS_VIEW || n->op->axis == QDQ_AXIS_PERM;
}

/* A Mul or Div by one number, or a Cast between floats: the operand that it scales, else -1. */
static int scaled_operand(const qdq_node *n)
{
	if (n->op->id == QDQ_OP_Cast && is_float(qdq_in(n, 0)) && is_float(n->outputs[0]))
		return 0;
	if (n->op->id == QDQ_OP_Mul && n->n_inputs == 2 && is_number(qdq_in(n, 0)))
		return qdq_is_weight(qdq_in(n, 1)) ? -1 : 1;
	if ((n->op->id == QDQ_OP_Mul || n->op->id == QDQ_OP_Div) && n->n_inputs == 2 && is_number(qdq_in(n, 1)))
		return qdq_is_weight(qdq_in(n, 0)) ? -1 : 0;
	return -1;
}

/* Does q round what was dequantized, or moved since the projection, with a scale between at most? Else it is the
 * projection's own. */
static bool rounds_inside(const qdq_node *q)
{
	const qdq_value *v = qdq_in(q, 0);

	while (v->def != NULL && v->def->graph == q->graph && v->def->region == NULL) {
		const qdq_node *n = v->def;
		int scaled;

		if (n->op->id == QDQ_OP_DequantizeLinear)
			return qdq_is_rounding(n);
		if (moved_operand(n) >= 0)
			return true;
		scaled = scaled_operand(n);
		if (scaled < 0 || qdq_reader(v) == NULL)
			return false;
		v = qdq_in(n, (uint32_t)scaled);
	}
	return false;
}

/* What of n goes on toward the projection, if n may come in: its index, else -1. */
static int fed_operand(const struct attention *a, const qdq_node *n)
{
	int operand;

	qdq_params p;

	if (n->op->id == QDQ_OP_DequantizeLinear)
		return qdq_dequantized(n->outputs[0], &p) != NULL ? 0 : -1;
	if (!qdq_outline_holds_readers(&a->out, n) || qdq_kept_float(n))
		return -1;
	if (n->op->id == QDQ_OP_QuantizeLinear)
		return qdq_is_rounding(n) && rounds_inside(n) ? 0 : -1;
	operand = moved_operand(n);
	return operand >= 0 ? operand : scaled_operand(n);
}

/* What is computed of split heads in front of a product, as rotary embeddings are: everything between one value, which is
 * moved, and the product.
 *
 *   heads --+-- Slice -- Neg --+-- Concat -- Mul --.
 *           |-- Slice ---------'                   +-- Add -- product
 *           '------------------------------ Mul ---'
 */
struct cone {
	qdq_outline nodes;
	QDQ_VEC(qdq_value *) open; /* read by the nodes, but not made by one */
};

static bool is_inner(const qdq_outline *o, const qdq_node *n)
{
	return qdq_outline_has(o, n) && (n->op->id != QDQ_OP_DequantizeLinear || qdq_outline_holds_readers(o, n));
}

static bool read_inside(const struct attention *a, const struct cone *c, const qdq_node *n)
{
	for (uint32_t i = 0; i < n->n_outputs; i++) {
		if (n->outputs[i] == NULL)
			continue;
		if (n->outputs[i]->n_outputs != 0)
			return false;
		for (const qdq_use *u = n->outputs[i]->uses; u != NULL; u = u->next)
			if (!is_inner(&a->out, u->node) && !qdq_outline_has(&c->nodes, u->node))
				return false;
	}
	return true;
}

static bool may_turn(const qdq_node *n)
{
	if (qdq_kept_float(n))
		return false;
	if (n->op->cls == QDQ_CLASS_QUANT)
		return qdq_is_rounding(n);
	return n->op->id == QDQ_OP_Concat || moved_operand(n) >= 0 || qdq_is_float_pointwise(n);
}

/* May what makes v come in? */
static bool is_expandable(const struct attention *a, const struct cone *c, const qdq_value *v)
{
	const qdq_node *n = v->def;

	return n != NULL && n->graph == a->run->graph && n->region == NULL && may_turn(n) && read_inside(a, c, n);
}

/* The last node that may come in. */
static qdq_node *last_open(const struct attention *a, const struct cone *c)
{
	qdq_node *last = NULL;

	for (size_t i = 0; i < c->open.count; i++) {
		qdq_node *n = c->open.items[i]->def;

		if (is_expandable(a, c, c->open.items[i]) && (last == NULL || n->place > last->place))
			last = n;
	}
	return last;
}

/* The moved value that all else comes from, beside a few tensors of others (the tables of rotary embeddings). */
static qdq_value *only_source(const struct attention *a, const struct cone *c)
{
	qdq_value *source = NULL;

	for (size_t i = 0; i < c->open.count; i++) {
		if (!is_expandable(a, c, c->open.items[i]))
			continue;
		if (source != NULL)
			return NULL;
		source = c->open.items[i];
	}
	return source != NULL && is_arranging(source->def) && c->open.count <= 1 + OTHERS ? source : NULL;
}

static void open_value(const struct attention *a, struct cone *c, qdq_value *v)
{
	for (size_t i = 0; i < c->open.count; i++)
		if (c->open.items[i] == v)
			return;
	*qdq_push(&a->run->scratch, &c->open) = v;
}

static void enter(const struct attention *a, struct cone *c, qdq_node *n)
{
	size_t kept = 0;
	bool quant = n->op->cls == QDQ_CLASS_QUANT;

	qdq_outline_take(&c->nodes, n);
	for (size_t i = 0; i < c->open.count; i++)
		if (c->open.items[i]->def != n)
			c->open.items[kept++] = c->open.items[i];
	c->open.count = kept;
	for (uint32_t i = 0; i < (quant ? 1 : n->n_inputs); i++) {
		qdq_value *v = qdq_in(n, i);

		if (v != NULL && !qdq_is_weight(v) && (n->op->cls != QDQ_CLASS_MOVE || qdq_op_data_input(n, i)))
			open_value(a, c, v);
	}
}

/* Takes in what lies between v and the moved value that it is computed from; that value, or NULL: there is none. */
static qdq_value *take_turned(struct attention *a, qdq_value *v)
{
	struct cone c = {0};
	qdq_value *source = NULL;
	qdq_node *n;

	qdq_outline_init(&c.nodes, a->run);
	open_value(a, &c, v);
	while (source == NULL && c.nodes.nodes.count < CONE && (n = last_open(a, &c)) != NULL) {
		enter(a, &c, n);
		source = only_source(a, &c);
	}
	for (size_t i = 0; source != NULL && i < c.nodes.nodes.count; i++)
		take_step(a, c.nodes.nodes.items[i], NULL);
	return source;
}

static qdq_value *take_fed(struct attention *a, qdq_value *v)
{
	qdq_node *n = v->def;
	int operand;

	if (n == NULL || n->graph != a->run->graph || n->region != NULL)
		return NULL;
	operand = fed_operand(a, n);
	if (operand < 0)
		return take_turned(a, v);
	v = qdq_in(n, (uint32_t)operand);
	take_step(a, n, v);
	return v;
}

/* From the products back toward the projections, until nothing more comes in. A Split waits for all its readers. */
static void take_heads(struct attention *a)
{
	qdq_value *ends[] = {qdq_in(a->scores, 0), qdq_in(a->scores, 1), qdq_in(a->mix, 1)};
	bool grew = true;

	while (grew) {
		grew = false;
		for (size_t i = 0; i < QDQ_COUNTOF(ends); i++) {
			qdq_value *v = take_fed(a, ends[i]);

			grew = grew || v != NULL;
			ends[i] = v != NULL ? v : ends[i];
		}
	}
}

/* ---- how they are joined ---- */

static bool is_arrangement(const qdq_node *n, const qdq_value *v)
{
	return is_arranging(n) && qdq_in(n, 0) == v;
}

/* Does the pair Q -> DQ before n go on to something that is taken? */
static bool goes_on(const qdq_node *dq)
{
	const qdq_node *next = qdq_reader(dq->outputs[0]);

	return next != NULL &&
	       (is_arrangement(next, dq->outputs[0]) || (qdq_is(next, QDQ_OP_QuantizeLinear) && qdq_is_rounding(next)));
}

static bool joins(const qdq_node *n, const qdq_value *v)
{
	bool codes = qdq_type_is_int8(v->type);
	int operand = scaled_operand(n);

	if (n->op->id == QDQ_OP_QuantizeLinear)
		return !codes && qdq_in(n, 0) == v && qdq_is_rounding(n);
	if (n->op->id == QDQ_OP_DequantizeLinear)
		return codes && qdq_in(n, 0) == v && qdq_is_rounding(n) && goes_on(n);
	return is_arrangement(n, v) || (operand >= 0 && qdq_in(n, (uint32_t)operand) == v);
}

static void take_join(struct attention *a)
{
	qdq_value *v = a->mix->outputs[0];

	for (;;) {
		qdq_node *n = qdq_reader(v);

		if (n == NULL || n->region != NULL || n->n_outputs != 1 || n->outputs[0] == NULL || qdq_kept_float(n) ||
		    !joins(n, v))
			break;
		take_step(a, n, v);
		v = n->outputs[0];
	}
	if (!qdq_type_is_int8(v->type))
		qdq_outline_take_quantizers(&a->out, v);
}

/* ---- whether it may be one ---- */

static bool over_last_axis(const qdq_node *softmax, int opset)
{
	const qdq_value *x = qdq_in(softmax, 0);
	int64_t axis = qdq_attr_int(softmax, "axis", opset < 13 ? 1 : -1);

	return axis == -1 || (x->shape != NULL && axis == x->shape->rank - 1);
}

static bool refuse(struct attention *a, const qdq_reason *why)
{
	qdq_declined(a->run, "attention.fuse", a->softmax->origin, why);
	return false;
}

/* A product of codes must be one that INT8 can compute; one that reads a float stays what it is. */
static bool product_ok(struct attention *a, const qdq_node *n)
{
	qdq_reason why = {0};

	return qdq_def(qdq_in(n, 0), QDQ_OP_DequantizeLinear) == NULL ||
	       qdq_def(qdq_in(n, 1), QDQ_OP_DequantizeLinear) == NULL ||
	       (qdq_contract_int8(n, &why) && qdq_precision_int8(n, a->run->options->target, &why)) || refuse(a, &why);
}

static bool allowed(struct attention *a)
{
	qdq_reason why = {.code = QDQ_REASON_INNER_SHARED, .detail = "attention"};

	if (!over_last_axis(a->softmax, a->run->model->opset)) {
		why = (qdq_reason){.code = QDQ_REASON_SOFTMAX_AXIS, .operand = qdq_in(a->softmax, 0)->name};
		return refuse(a, &why);
	}
	if (a->shared != NULL) {
		why.operand = a->shared->name;
		why.cause = qdq_node_label(a->shared->def);
		return refuse(a, &why);
	}
	if (qdq_outline_kept(&a->out, &why))
		return refuse(a, &why);
	return product_ok(a, a->scores) && product_ok(a, a->mix);
}

static bool any_quantized(const qdq_outline *o)
{
	for (size_t i = 0; i < o->nodes.count; i++)
		if (o->nodes.items[i]->op->cls == QDQ_CLASS_QUANT)
			return true;
	return false;
}

static void fuse(qdq_run *r, qdq_node *softmax)
{
	struct attention a = {.run = r, .softmax = softmax};

	if (qdq_in(softmax, 0) == NULL || qdq_out(softmax, 0) == NULL)
		return;
	qdq_outline_init(&a.out, r);
	qdq_outline_take(&a.out, softmax);
	a.scores = find_scores(&a, qdq_in(softmax, 0));
	a.visits = 0;
	a.mix = a.scores != NULL ? find_mix(&a, softmax->outputs[0]) : NULL;
	if (a.mix == NULL)
		return;
	qdq_outline_take(&a.out, a.scores);
	qdq_outline_take(&a.out, a.mix);
	if (!allowed(&a))
		return;
	take_heads(&a);
	take_join(&a);
	if (any_quantized(&a.out))
		qdq_outline_commit(&a.out, a.scores, "attention.fuse");
}

static void run(qdq_run *r)
{
	QDQ_VEC(qdq_node *) found = {0};
	uint64_t before = r->changes;

	if (!qdq_model_has(r->model, QDQ_OP_Softmax))
		return;
	for (qdq_node *n = r->graph->first; n != NULL; n = qdq_after(n))
		if (n->op->id == QDQ_OP_Softmax)
			*qdq_push(&r->scratch, &found) = n;
	if (found.count == 0)
		return;
	qdq_graph_number(r->graph);
	for (size_t i = 0; i < found.count; i++)
		if (found.items[i]->graph == r->graph) /* no other attention has it yet */
			fuse(r, found.items[i]);
	if (r->changes != before)
		qdq_outline_sort(r);
}

static const qdq_rule rules[] = {
    {.name = "attention.fuse",
     .text = "two products with a Softmax between, and the moves that split and join the heads"},
};

const qdq_pass qdq_pass_attention = {"attention", "outline attention with its heads", rules, QDQ_COUNTOF(rules), run,
				     false};

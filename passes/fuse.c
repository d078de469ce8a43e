/* SPDX-License-Identifier: Apache-2.0
 *
 * fuse -- operators and the Q/DQ around them into regions
 *
 *   x -- DQ --.                                          x --.
 *   w -- DQ --+-- Conv -- Q -- DQ --.                    w --+-- [ … ] -- y
 *   b --------'                      Add -- Relu -- Q =>  b --|
 *   r -- DQ -------------------------'                   r --'
 *
 *   When    a contraction that can run in INT8 (contract.c), with what follows it as long as one reader takes it: bias,
 *           BatchNormalization, Relu, Clip, the residual Add (int8 or float operand), Q, and Q -> DQ pairs, which stay
 *           as rounding steps; several Qs of one result, or a float reader beside them, are several outputs. Pools, Add,
 *           Mul, Concat with codes on both sides. A MOVE or MONO operator between DQ and Q that is not legal on codes.
 *           What is left of DQ -> Q requantizes
 *   Keeps   every node and every name; a DQ that others read is cloned; values of the epilogue never grow
 *   Exact   EXACT: a region is the very nodes that it replaced
 *   Needs   shapes (for the Add)            Breaks  order (restored at the end)
 *   After   cancel                          Before  cleanup, explain
 *   Tests   test/golden/fuse/               Ref     TensorRT developer guide, Q/DQ fusion
 */
#include "moves.h"

/* Where a kind of region is an index, its rule has it. */
static const qdq_rule rules[] = {
    [QDQ_REGION_CONV] = {.name = "fuse.conv", .text = "Conv or ConvTranspose with its epilogue"},
    [QDQ_REGION_GEMM] = {.name = "fuse.gemm", .text = "Gemm with its epilogue"},
    [QDQ_REGION_MATMUL] = {.name = "fuse.matmul", .text = "MatMul with its epilogue"},
    [QDQ_REGION_POOL] = {.name = "fuse.pool", .text = "a pool or mean between codes"},
    [QDQ_REGION_ELTWISE] = {.name = "fuse.eltwise", .text = "Add, Mul, Relu or Clip between codes"},
    [QDQ_REGION_CONCAT] = {.name = "fuse.concat", .text = "Concat that requantizes what it joins"},
    [QDQ_REGION_MOVE] = {.name = "fuse.move",
			 .text = "an operator that moves or chooses elements, where codes are not legal"},
    [QDQ_REGION_REQUANTIZE] = {.name = "fuse.requantize", .text = "DQ and Q with different parameters"},
    [QDQ_REGION_REQUANTIZE + 1] = {.name = "fuse.bias",
				   .text =
				       "an int32 bias inside the integer sum (declined only: it is then a float bias)"},
};

/* What a region under construction holds. Nodes in an order that is right for the body; a DQ comes with the use that
 * wants it, since it is cloned if others read it too. */
struct member {
	qdq_node *node;
	qdq_use *use; /* of a DQ that feeds the region; NULL: the node itself moves in */
};

struct builder {
	qdq_run *run;
	qdq_graph *graph;
	QDQ_VEC(struct member) members;
	bool writes_codes; /* some Q was taken in behind the anchor */
};

static void take(struct builder *b, qdq_node *n, qdq_use *use)
{
	*qdq_push(&b->run->scratch, &b->members) = (struct member){n, use};
}

/* Takes in the DQ behind an input, if there is one with movable parameters. */
static bool take_dequantizer(struct builder *b, qdq_use *u)
{
	qdq_params p;
	qdq_node *dq = qdq_dequantized(u->value, &p);

	if (dq == NULL || dq->graph != b->graph)
		return false;
	take(b, dq, u);
	return true;
}

/* ---- the epilogue ---- */

/* Does `other` broadcast into v without making it larger? */
static bool fits_into(const qdq_value *other, const qdq_value *v)
{
	const qdq_shape *a = other->shape;
	const qdq_shape *b = v->shape;

	if (a == NULL || b == NULL || a->rank > b->rank)
		return a != NULL && qdq_shape_known(a) && qdq_shape_count(a, NULL) == 1 && a->rank == 0;
	for (int32_t i = 0; i < a->rank; i++) {
		qdq_dim d = a->dim[a->rank - 1 - i];

		if (d != 1 && d != b->dim[b->rank - 1 - i])
			return false;
	}
	return true;
}

static bool constant_operands(const qdq_node *n, uint32_t from)
{
	for (uint32_t i = from; i < n->n_inputs; i++)
		if (qdq_in(n, i) != NULL && qdq_value_constant(qdq_in(n, i)) == NULL)
			return false;
	return true;
}

/* A Q or DQ that an epilogue can compute: 8 bits, constant, scale > 0. */
static bool is_rounding(const qdq_node *n)
{
	qdq_reason why;
	qdq_params p;

	return qdq_params_of(n, &p) && qdq_params_movable(&p, &why) && p.positive;
}

static qdq_node *reader(const struct builder *b, const qdq_value *v)
{
	const qdq_use *u = qdq_only_use(v);

	return u != NULL && u->node->graph == b->graph && !qdq_kept_float(u->node) ? u->node : NULL;
}

/* May the step n, which reads v, be part of the epilogue of a contraction? */
static bool is_step(const qdq_node *n, const qdq_value *v)
{
	if (qdq_is_clamp(n) && n->op->id != QDQ_OP_Identity)
		return qdq_in(n, 0) == v && constant_operands(n, 1);
	if (n->op->id == QDQ_OP_BatchNormalization)
		return qdq_in(n, 0) == v && n->n_outputs == 1 && constant_operands(n, 1) &&
		       qdq_attr_int(n, "training_mode", 0) == 0;
	if ((n->op->id == QDQ_OP_Add || n->op->id == QDQ_OP_Mul) && n->n_inputs == 2) {
		const qdq_value *other = qdq_in(n, qdq_in(n, 0) == v ? 1 : 0);

		if (other == NULL || other == v || !fits_into(other, v) || qdq_type_is_int8(v->type))
			return false;
		return n->op->id == QDQ_OP_Add || qdq_value_constant(other) != NULL;
	}
	return false;
}

/* Is what follows the pair Q -> DQ (q's output) something for this region, so that the pair becomes a rounding step? */
static bool continues(const struct builder *b, const qdq_node *dq)
{
	const qdq_value *v = dq->outputs[0];
	const qdq_node *next = reader(b, v);

	if (v->n_uses == 0)
		return v->n_outputs != 0;
	return next != NULL && (is_step(next, v) || (qdq_is(next, QDQ_OP_QuantizeLinear) && is_rounding(next)));
}

static void take_step(struct builder *b, qdq_node *n, const qdq_value *v)
{
	for (uint32_t i = 0; i < n->n_inputs; i++)
		if (qdq_in(n, i) != NULL && qdq_in(n, i) != v)
			take_dequantizer(b, &n->inputs[i]);
	take(b, n, NULL);
}

/* The first reader of v in the order of the graph: uses are listed newest first. */
static const qdq_use *oldest(const qdq_value *v)
{
	const qdq_use *u = v->uses;

	while (u != NULL && u->next != NULL)
		u = u->next;
	return u;
}

/* Codes that several read: whoever wants them requantized gets that as another output. */
static void take_requantizers(struct builder *b, const qdq_value *codes)
{
	for (const qdq_use *u = oldest(codes); u != NULL; u = u->prev) {
		qdq_node *dq = u->node;
		qdq_node *q = qdq_is(dq, QDQ_OP_DequantizeLinear) && dq->graph == b->graph && is_rounding(dq)
				  ? reader(b, dq->outputs[0])
				  : NULL;

		if (q != NULL && qdq_is(q, QDQ_OP_QuantizeLinear) && is_rounding(q)) {
			take(b, dq, NULL);
			take(b, q, NULL);
		}
	}
}

/* A float value that several read, or that is a graph output: its Qs come in as outputs. */
static void take_quantizers(struct builder *b, const qdq_value *v)
{
	for (const qdq_use *u = oldest(v); u != NULL; u = u->prev) {
		if (u->node->graph == b->graph && qdq_is(u->node, QDQ_OP_QuantizeLinear) && qdq_use_index(u) == 0 &&
		    is_rounding(u->node)) {
			take(b, u->node, NULL);
			take_requantizers(b, u->node->outputs[0]);
			b->writes_codes = true;
		}
	}
}

/* Grows the epilogue from v, one step after the other. */
static void grow(struct builder *b, qdq_value *v)
{
	for (;;) {
		qdq_node *n = reader(b, v);
		bool codes = qdq_type_is_int8(v->type);

		if (n == NULL) {
			if (codes)
				take_requantizers(b, v);
			else
				take_quantizers(b, v);
			return;
		}
		if (is_step(n, v)) {
			take_step(b, n, v);
		} else if (!codes && qdq_is(n, QDQ_OP_QuantizeLinear) && qdq_in(n, 0) == v && is_rounding(n)) {
			take(b, n, NULL);
			b->writes_codes = true;
		} else if (codes && qdq_is(n, QDQ_OP_DequantizeLinear) && qdq_in(n, 0) == v && is_rounding(n) &&
			   continues(b, n)) {
			take(b, n, NULL);
		} else {
			return;
		}
		v = n->outputs[0];
	}
}

/* ---- making the region ---- */

static void commit(struct builder *b, qdq_region_kind kind, qdq_node *anchor)
{
	qdq_run *r = b->run;
	qdq_model *m = r->model;
	const qdq_node *named = anchor != NULL ? anchor : b->members.items[0].node;
	const char *base = *named->name != '\0' ? named->name : named->outputs[0]->name;
	qdq_node **nodes = qdq_array(&r->scratch, qdq_node *, b->members.count);

	for (size_t i = 0; i < b->members.count; i++) {
		qdq_node *n = b->members.items[i].node;
		qdq_use *u = b->members.items[i].use;

		if (u != NULL && qdq_only_use(n->outputs[0]) == NULL) {
			n = qdq_node_clone(n, n->next);
			qdq_use_set(u, n->outputs[0]);
		}
		nodes[i] = n;
	}
	qdq_region_create(b->graph, kind, anchor, nodes, b->members.count,
			  qdq_unique_name(&m->names, qdq_format(&r->scratch, "%s.fused", base)));
	qdq_applied(r, rules[kind].name, QDQ_EXACT, 0, named->origin);
}

static void fuse_contraction(qdq_run *r, qdq_node *n)
{
	struct builder b = {.run = r, .graph = n->graph};
	qdq_region_kind kind = n->op->id == QDQ_OP_Gemm	    ? QDQ_REGION_GEMM
			       : n->op->id == QDQ_OP_MatMul ? QDQ_REGION_MATMUL
							    : QDQ_REGION_CONV;
	qdq_reason why;

	if (qdq_kept_float(n) || !qdq_contract_int8(n, &why) || !qdq_precision_int8(n, r->options->target, &why))
		return;
	if (qdq_def(qdq_in(n, 2), QDQ_OP_DequantizeLinear) != NULL && !qdq_bias_scale_fits(n)) {
		why = (qdq_reason){.code = QDQ_REASON_BIAS_SCALE, .operand = qdq_in(n, 2)->name};
		why.cause = qdq_node_label(qdq_in(n, 2)->def);
		qdq_declined(r, "fuse.bias", n->origin, &why);
	}
	for (uint32_t i = 0; i < n->n_inputs; i++) {
		qdq_node *dq = qdq_def(qdq_in(n, i), QDQ_OP_DequantizeLinear);
		qdq_node *q = dq != NULL ? qdq_def(qdq_in(dq, 0), QDQ_OP_QuantizeLinear) : NULL;

		if (dq == NULL || dq->graph != n->graph)
			continue;
		/* a weight's Q that was not folded stays with it */
		if (i == 1 && q != NULL && qdq_value_constant(qdq_in(q, 0)) != NULL &&
		    qdq_only_use(q->outputs[0]) != NULL && qdq_only_use(dq->outputs[0]) != NULL)
			take(&b, q, NULL);
		take(&b, dq, &n->inputs[i]);
	}
	take(&b, n, NULL);
	grow(&b, n->outputs[0]);
	commit(&b, kind, n);
}

/* Operators that run in INT8 only between codes: pools, Add, Mul, Concat, and moves that codes may not take. */
static void fuse_between(qdq_run *r, qdq_node *n, qdq_region_kind kind)
{
	struct builder b = {.run = r, .graph = n->graph};

	if (qdq_type_is_int8(n->outputs[0]->type))
		return;
	for (uint32_t i = 0; i < n->n_inputs; i++) {
		qdq_value *v = qdq_in(n, i);
		bool data = (n->op->cls == QDQ_CLASS_MOVE || n->op->cls == QDQ_CLASS_MONO) ? qdq_op_data_input(n, i)
			    : n->op->family == QDQ_FAMILY_POOL				   ? i == 0
											   : true;

		if (v == NULL || !data || (kind == QDQ_REGION_ELTWISE && qdq_value_constant(v) != NULL))
			continue;
		if (!take_dequantizer(&b, &n->inputs[i]))
			return;
	}
	if (b.members.count == 0)
		return;
	take(&b, n, NULL);
	grow(&b, n->outputs[0]);
	if (b.writes_codes)
		commit(&b, kind, n);
}

/* a -- DQ -- Q --.
 * b -------------+-- Concat     the Concat of codes requantizes on the way in */
static void fuse_code_concat(qdq_run *r, qdq_node *n)
{
	struct builder b = {.run = r, .graph = n->graph};
	size_t pairs = 0;

	for (uint32_t i = 0; i < n->n_inputs; i++) {
		qdq_node *q = qdq_def(qdq_in(n, i), QDQ_OP_QuantizeLinear);

		if (q == NULL || q->graph != n->graph || reader(&b, q->outputs[0]) != n || !is_rounding(q) ||
		    !take_dequantizer(&b, &q->inputs[0]))
			continue;
		take(&b, q, NULL);
		pairs++;
	}
	if (pairs == 0)
		return;
	take(&b, n, NULL);
	commit(&b, QDQ_REGION_CONCAT, n);
}

static void fuse_requantize(qdq_run *r, qdq_node *q)
{
	struct builder b = {.run = r, .graph = q->graph};

	if (!is_rounding(q) || !take_dequantizer(&b, &q->inputs[0]))
		return;
	take(&b, q, NULL);
	commit(&b, QDQ_REGION_REQUANTIZE, NULL);
}

static void fuse_other(qdq_run *r, qdq_node *n)
{
	qdq_reason why;

	if (qdq_out(n, 0) == NULL || qdq_kept_float(n) || !qdq_precision_int8(n, r->options->target, &why))
		return;
	if (n->op->family == QDQ_FAMILY_CONCAT && qdq_type_is_int8(n->outputs[0]->type))
		fuse_code_concat(r, n);
	else if (n->op->family == QDQ_FAMILY_CONCAT)
		fuse_between(r, n, QDQ_REGION_CONCAT);
	else if (n->op->cls == QDQ_CLASS_REDUCE && n->op->family == QDQ_FAMILY_POOL)
		fuse_between(r, n, QDQ_REGION_POOL);
	else if (n->op->id == QDQ_OP_Add || n->op->id == QDQ_OP_Mul)
		fuse_between(r, n, QDQ_REGION_ELTWISE);
	else if (n->op->cls == QDQ_CLASS_MONO && n->op->family == QDQ_FAMILY_POOL)
		fuse_between(r, n, QDQ_REGION_POOL);
	else if (qdq_is_clamp(n))
		fuse_between(r, n, QDQ_REGION_ELTWISE);
	else if (n->op->cls == QDQ_CLASS_MOVE || n->op->cls == QDQ_CLASS_MONO)
		fuse_between(r, n, QDQ_REGION_MOVE);
}

typedef QDQ_VEC(qdq_node *) node_list;

/* Fuses from the end of the graph: a residual Add goes to the arm that is computed last. */
static void each_backward(qdq_run *r, void (*fuse)(qdq_run *r, qdq_node *n), const node_list *nodes)
{
	for (size_t i = nodes->count; i-- > 0;)
		if (nodes->items[i]->graph == r->graph) /* no region has it yet */
			fuse(r, nodes->items[i]);
}

static bool is_other(const qdq_node *n)
{
	return n->op->cls == QDQ_CLASS_MOVE || n->op->cls == QDQ_CLASS_MONO || n->op->cls == QDQ_CLASS_REDUCE ||
	       n->op->family == QDQ_FAMILY_ELEMENTWISE;
}

/* Room for one event each, so that the list need not grow again and again. */
static void reserve_events(qdq_run *r, size_t count)
{
	qdq_model *m = r->model;
	size_t wanted = m->events.count + count;
	qdq_event *events;

	if (wanted <= m->events.capacity)
		return;
	events = qdq_array(&m->arena, qdq_event, wanted);
	if (m->events.count != 0)
		memcpy(events, m->events.items, m->events.count * sizeof *events);
	m->events.items = events;
	m->events.capacity = wanted;
}

static void run(qdq_run *r)
{
	node_list contractions = {0}, others = {0}, quantizers = {0};
	uint64_t before = r->changes;

	for (qdq_node *n = r->graph->first; n != NULL; n = qdq_after(n)) {
		if (n->op->cls == QDQ_CLASS_CONTRACT)
			*qdq_push(&r->scratch, &contractions) = n;
		else if (n->op->id == QDQ_OP_QuantizeLinear)
			*qdq_push(&r->scratch, &quantizers) = n;
		else if (is_other(n))
			*qdq_push(&r->scratch, &others) = n;
	}
	reserve_events(r, contractions.count);
	each_backward(r, fuse_contraction, &contractions);
	each_backward(r, fuse_other, &others);
	each_backward(r, fuse_requantize, &quantizers);
	if (r->changes != before && !qdq_graph_sort(r->graph))
		qdq_fail(r->ctx, QDQ_EMODEL, &(qdq_where){.file = r->model->path}, "fusing made a cycle");
}

const qdq_pass qdq_pass_fuse = {
    "fuse", "outline operators and their Q/DQ into fused operators", rules, QDQ_COUNTOF(rules), run, false};

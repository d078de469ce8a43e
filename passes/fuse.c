/* SPDX-License-Identifier: Apache-2.0
 *
 * fuse -- operators and the Q/DQ around them into regions
 *
 *   x -- DQ --.                                          x --.
 *   w -- DQ --+-- Conv -- Q -- DQ --.                    w --+-- [ … ] -- y
 *   b --------'                      Add -- Relu -- Q =>  b --|
 *   r -- DQ -------------------------'                   r --'
 *
 *   When    a contraction that can run in INT8 (contract.c), with its epilogue (epilogue.c): any DAG of pointwise
 *           operators and Q -> DQ pairs, which stay as rounding steps, with one other tensor at most; several Qs of one
 *           result, or a float reader beside them, are several outputs. A Pad goes into the Conv behind it. Then float
 *           contractions, pools, norms, Concat with their DQs and their epilogue; pointwise operators (pointwise.c); a
 *           MOVE or MONO operator between DQ and Q that is not legal on codes. What is left of DQ -> Q requantizes.
 *           Networks without Q/DQ are left alone
 *   Keeps   every node and every name; a DQ that others read is cloned; values of the epilogue never grow
 *   Exact   EXACT: a region is the very nodes that it replaced
 *   Needs   shapes (for other operands)     Breaks  order (restored at the end)
 *   After   cancel                          Before  cleanup, explain
 *   Tests   test/golden/fuse/               Ref     TensorRT developer guide, Q/DQ fusion
 */
#include "epilogue.h"

/* Where a kind of region is an index, its rule has it. */
static const qdq_rule rules[] = {
    [QDQ_REGION_CONV] = {.name = "fuse.conv", .text = "Conv or ConvTranspose with its epilogue"},
    [QDQ_REGION_GEMM] = {.name = "fuse.gemm", .text = "Gemm with its epilogue"},
    [QDQ_REGION_MATMUL] = {.name = "fuse.matmul", .text = "MatMul with its epilogue"},
    [QDQ_REGION_POOL] = {.name = "fuse.pool", .text = "a pool, mean or sum with its Q/DQ and epilogue"},
    [QDQ_REGION_ELTWISE] = {.name = "fuse.eltwise", .text = "pointwise operators of up to four tensors"},
    [QDQ_REGION_LUT] = {.name = "fuse.lut", .text = "pointwise operators from codes to codes: a table of 256"},
    [QDQ_REGION_CONCAT] = {.name = "fuse.concat", .text = "Concat that requantizes what it joins"},
    [QDQ_REGION_MOVE] = {.name = "fuse.move",
			 .text = "an operator that moves or chooses elements, where codes are not legal"},
    [QDQ_REGION_REQUANTIZE] = {.name = "fuse.requantize", .text = "DQ and Q with different parameters"},
    [QDQ_REGION_NORM] = {.name = "fuse.norm", .text = "a normalization of floats with its epilogue"},
    [QDQ_REGION_NORM + 1] = {.name = "fuse.bias",
			     .text = "an int32 bias inside the integer sum (declined only: it is then a float bias)"},
};

/* ---- contractions ---- */

/* v's definer, if it is this operator and nobody but the region will read v. */
static qdq_node *alone(const qdq_builder *b, const qdq_value *v, qdq_op_id op)
{
	qdq_node *n = qdq_def(v, op);

	return n != NULL && n->graph == b->graph && qdq_only_use(v) != NULL && !qdq_kept_float(n) ? n : NULL;
}

/* x -- Pad -- DQ -- Conv,  x -- DQ -- Pad -- Q -- DQ -- Conv,  x -- DQ -- Pad -- Conv: the Pad is a larger border of the
 * window, on codes, between codes, or of floats. What is in front of the Conv's own DQ. */
static void take_pad(qdq_builder *b, const qdq_value *v)
{
	qdq_node *dq = alone(b, v, QDQ_OP_DequantizeLinear);
	qdq_node *q = dq != NULL ? alone(b, qdq_in(dq, 0), QDQ_OP_QuantizeLinear) : NULL;
	qdq_node *pad = alone(b, q != NULL ? qdq_in(q, 0) : dq != NULL ? qdq_in(dq, 0) : v, QDQ_OP_Pad);

	if (pad == NULL || (q != NULL && !qdq_is_rounding(q)))
		return;
	qdq_take_dequantizer(b, &pad->inputs[0]);
	qdq_take(b, pad);
	if (q != NULL)
		qdq_take(b, q);
}

/* The DQs in front of a contraction; a weight's Q that was not folded stays with it. */
static void take_operands(qdq_builder *b, qdq_node *n)
{
	if (n->op->id == QDQ_OP_Conv)
		take_pad(b, qdq_in(n, 0));
	for (uint32_t i = 0; i < n->n_inputs; i++) {
		qdq_node *dq = qdq_dequantizer(qdq_in(n, i));
		qdq_node *q = dq != NULL ? qdq_def(qdq_in(dq, 0), QDQ_OP_QuantizeLinear) : NULL;

		if (i == 1 && dq != NULL && dq->graph == n->graph && q != NULL && q->graph == n->graph &&
		    qdq_value_constant(qdq_in(q, 0)) != NULL && qdq_only_use(q->outputs[0]) != NULL &&
		    qdq_only_use(dq->outputs[0]) != NULL)
			qdq_take(b, q);
		qdq_take_dequantizer(b, &n->inputs[i]);
	}
}

static void fuse_int8_contraction(qdq_run *r, qdq_node *n)
{
	qdq_builder b = {.run = r, .graph = n->graph, .most_others = 1};
	qdq_reason why;

	if (qdq_kept_float(n) || !qdq_contract_int8(n, &why) || !qdq_precision_int8(n, r->options->target, &why))
		return;
	if (qdq_dequantizer(qdq_in(n, 2)) != NULL && !qdq_bias_scale_fits(n)) {
		why = (qdq_reason){.code = QDQ_REASON_BIAS_SCALE, .operand = qdq_in(n, 2)->name};
		why.cause = qdq_node_label(qdq_in(n, 2)->def);
		qdq_declined(r, "fuse.bias", n->origin, &why);
	}
	take_operands(&b, n);
	qdq_take(&b, n);
	qdq_grow(&b, n->outputs[0]);
	qdq_commit(&b);
}

static void fuse_float_contraction(qdq_run *r, qdq_node *n)
{
	qdq_builder b = {.run = r, .graph = n->graph, .most_others = 1};
	qdq_reason why;

	/* what is INT8 for all but this target stands alone, so that its reason is this target's */
	if (qdq_kept_float(n) || qdq_contract_int8(n, &why))
		return;
	take_operands(&b, n);
	qdq_take(&b, n);
	qdq_grow(&b, n->outputs[0]);
	if (b.members.count > 1)
		qdq_commit(&b);
}

/* ---- other operators ---- */

/* a -- DQ -- Q --.
 * b -------------+-- Concat     the Concat of codes requantizes on the way in */
static void fuse_code_concat(qdq_run *r, qdq_node *n)
{
	qdq_builder b = {.run = r, .graph = n->graph};

	for (uint32_t i = 0; i < n->n_inputs; i++) {
		qdq_node *q = qdq_def(qdq_in(n, i), QDQ_OP_QuantizeLinear);

		if (q != NULL && q->graph == n->graph && qdq_only_use(q->outputs[0]) != NULL && qdq_is_rounding(q) &&
		    qdq_take_dequantizer(&b, &q->inputs[0]))
			qdq_take(&b, q);
	}
	if (b.members.count == 0)
		return;
	qdq_take(&b, n);
	qdq_commit(&b);
}

/* Is input i of n data that may be dequantized in front of it? */
static bool takes_data(const qdq_node *n, uint32_t i)
{
	if (qdq_is_move(n))
		return qdq_op_data_input(n, i);
	return n->op->cls != QDQ_CLASS_REDUCE || i == 0;
}

static qdq_value *only_live_output(const qdq_node *n)
{
	qdq_value *live = NULL;

	for (uint32_t i = 0; i < n->n_outputs; i++) {
		if (n->outputs[i] == NULL || qdq_value_unread(n->outputs[i]))
			continue;
		if (live != NULL)
			return NULL;
		live = n->outputs[i];
	}
	return live;
}

/* Pools, norms, Concat and moves that stand on floats. A move costs nothing where its input is float already. */
static void fuse_on_floats(qdq_run *r, qdq_node *n)
{
	qdq_builder b = {.run = r, .graph = n->graph, .most_others = 1};
	bool move = n->op->cls == QDQ_CLASS_MOVE && n->op->family != QDQ_FAMILY_CONCAT;
	qdq_value *y = only_live_output(n);
	size_t quantized;

	for (uint32_t i = 0; i < n->n_inputs; i++)
		if (qdq_in(n, i) != NULL && takes_data(n, i))
			qdq_take_dequantizer(&b, &n->inputs[i]);
	quantized = b.members.count;
	if (move && quantized == 0)
		return;
	qdq_take(&b, n);
	if (y != NULL) {
		qdq_grow(&b, y);
	} else {
		for (uint32_t i = 0; i < n->n_outputs; i++)
			if (n->outputs[i] != NULL)
				qdq_take_quantizers(&b, n->outputs[i]);
	}
	if (b.members.count > 1)
		qdq_commit(&b);
}

static void fuse_other(qdq_run *r, qdq_node *n)
{
	const qdq_value *y = qdq_out(n, 0);
	qdq_reason why;

	if (y == NULL || qdq_node_unread(n) || qdq_kept_float(n) || !qdq_precision_int8(n, r->options->target, &why))
		return;
	if (qdq_type_is_int8(y->type)) {
		if (n->op->family == QDQ_FAMILY_CONCAT)
			fuse_code_concat(r, n);
	} else if (y->type != QDQ_TYPE_NONE && qdq_type_get(y->type)->is_float) {
		fuse_on_floats(r, n);
	}
}

static void fuse_requantize(qdq_run *r, qdq_node *q)
{
	qdq_builder b = {.run = r, .graph = q->graph};

	if (!qdq_is_rounding(q) || qdq_def(qdq_in(q, 0), QDQ_OP_DequantizeLinear) == NULL ||
	    !qdq_is_rounding(qdq_in(q, 0)->def) || !qdq_take_dequantizer(&b, &q->inputs[0]))
		return;
	qdq_take(&b, q);
	qdq_commit(&b);
}

/* ---- all of them ---- */

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
	return qdq_is_move(n) || n->op->cls == QDQ_CLASS_REDUCE || n->op->cls == QDQ_CLASS_NORM;
}

/* Room for one event each, so that the list need not grow again and again. */
static void reserve_events(qdq_run *r, size_t count)
{
	qdq_model *m = r->model;
	size_t wanted = m->events.count + count;
	qdq_event *events;

	if (wanted <= m->events.capacity)
		return;
	if (wanted < 2 * m->events.capacity) /* a model may have many small graphs */
		wanted = 2 * m->events.capacity;
	events = qdq_array(&m->arena, qdq_event, wanted);
	if (m->events.count != 0)
		memcpy(events, m->events.items, m->events.count * sizeof *events);
	m->events.items = events;
	m->events.capacity = wanted;
}

static void run(qdq_run *r)
{
	node_list contractions = {0}, others = {0}, pointwise = {0}, quantizers = {0};
	uint64_t before = r->changes;

	if (!qdq_model_has(r->model, QDQ_OP_QuantizeLinear) && !qdq_model_has(r->model, QDQ_OP_DequantizeLinear))
		return;
	for (qdq_node *n = r->graph->first; n != NULL; n = qdq_after(n)) {
		if (n->op->cls == QDQ_CLASS_CONTRACT)
			*qdq_push(&r->scratch, &contractions) = n;
		else if (n->op->id == QDQ_OP_QuantizeLinear)
			*qdq_push(&r->scratch, &quantizers) = n;
		else if (qdq_is_pointwise(n))
			*qdq_push(&r->scratch, &pointwise) = n;
		else if (is_other(n))
			*qdq_push(&r->scratch, &others) = n;
	}
	reserve_events(r, contractions.count);
	each_backward(r, fuse_int8_contraction, &contractions);
	each_backward(r, fuse_float_contraction, &contractions);
	each_backward(r, fuse_other, &others);
	each_backward(r, qdq_fuse_pointwise, &pointwise);
	each_backward(r, fuse_requantize, &quantizers);
	if (r->changes != before && !qdq_graph_sort(r->graph))
		qdq_fail(r->ctx, QDQ_EMODEL, &(qdq_where){.file = r->model->path}, "fusing made a cycle");
}

const qdq_pass qdq_pass_fuse = {
    "fuse", "outline operators and their Q/DQ into fused operators", rules, QDQ_COUNTOF(rules), run, false};

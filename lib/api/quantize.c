/* SPDX-License-Identifier: Apache-2.0
 *
 * quantize.c -- inserting, removing and moving Q and DQ by hand
 */
#include <math.h>

#include "../../passes/moves.h"
#include "api.h"

struct call {
	qdq_model *m;
	qdq_value *v;
	qdq_node *n, *over;
	const qdq_quant *quant;
	size_t index;
	bool dequantize;
	qdq_value *made;
	qdq_node *made_node;
};

/* ---- parameters ---- */

static void check_quant(const struct call *c)
{
	const qdq_quant *q = c->quant;

	if (q == NULL)
		qdq_misuse(c->m, "the quantization parameters are NULL");
	if (q->version != QDQ_QUANT_VERSION)
		qdq_misuse(c->m, "qdq_quant has version %u, this library knows %d", q->version, QDQ_QUANT_VERSION);
	if (!qdq_type_is_int8(q->codes) && q->codes != QDQ_TYPE_INT16 && q->codes != QDQ_TYPE_UINT16 &&
	    !(c->dequantize && q->codes == QDQ_TYPE_INT32))
		qdq_misuse(c->m, "codes of type %s are not supported here", qdq_type_text(q->codes));
	if (q->count == 0 || q->scales == NULL)
		qdq_misuse(c->m, "there is no scale");
	for (size_t i = 0; i < q->count; i++) {
		if (!(q->scales[i] > 0) || isinf(q->scales[i]))
			qdq_misuse(c->m, "scale %zu is not a number above zero", i);
		if (q->zero_points != NULL &&
		    (q->zero_points[i] < qdq_type_min(q->codes) || q->zero_points[i] > qdq_type_max(q->codes)))
			qdq_misuse(c->m, "zero point %zu is no code of type %s", i, qdq_type_text(q->codes));
	}
}

static void check_codes(const struct call *c)
{
	const qdq_quant *q = c->quant;

	if ((q->codes == QDQ_TYPE_INT16 || q->codes == QDQ_TYPE_UINT16) && c->m->opset < 21)
		qdq_misuse(c->m, "opset %d has no %s codes: they came with 21", c->m->opset, qdq_type_text(q->codes));
	for (size_t i = 0; q->codes == QDQ_TYPE_INT32 && q->zero_points != NULL && i < q->count; i++)
		if (q->zero_points[i] != 0)
			qdq_misuse(c->m, "int32 codes have no zero point");
}

static int64_t check_axis(const struct call *c)
{
	const qdq_shape *shape = c->v->shape;
	int64_t axis = c->quant->axis;

	if (c->quant->count == 1)
		return 0;
	if (shape == NULL)
		qdq_misuse(c->m, "the rank of '%s' is not known: it takes one scale only", c->v->name);
	if (axis < -shape->rank || axis >= shape->rank)
		qdq_misuse(c->m, "'%s' has no axis %lld", c->v->name, (long long)axis);
	axis += axis < 0 ? shape->rank : 0;
	if (shape->dim[axis] >= 0 && (uint64_t)shape->dim[axis] != c->quant->count)
		qdq_misuse(c->m, "%zu scales for axis %lld of '%s', which has %lld elements", c->quant->count,
			   (long long)axis, c->v->name, (long long)shape->dim[axis]);
	if (c->m->opset < 13)
		qdq_misuse(c->m, "opset %d has no scales per channel", c->m->opset);
	return axis;
}

static void write_scale(qdq_tensor *t, size_t i, float scale)
{
	char *data = (char *)(uintptr_t)t->data;
	uint16_t half;

	if (t->type == QDQ_TYPE_FLOAT) {
		memcpy(data + i * sizeof scale, &scale, sizeof scale);
		return;
	}
	half = t->type == QDQ_TYPE_FLOAT16 ? qdq_f32_to_f16(scale) : qdq_f32_to_bf16(scale);
	memcpy(data + i * sizeof half, &half, sizeof half);
}

static void write_zero(qdq_tensor *t, size_t i, int32_t zero)
{
	uint32_t bits = (uint32_t)zero;
	size_t size = qdq_type_get(t->type)->bits / 8u;
	char *data = (char *)(uintptr_t)t->data + i * size;

	for (size_t b = 0; b < size; b++)
		data[b] = (char)(unsigned char)(bits >> (8 * b));
}

static qdq_value *constant(qdq_model *m, const qdq_value *v, const char *what, qdq_tensor *t)
{
	return qdq_graph_add_constant(m->graph,
				      qdq_unique_name(&m->names, qdq_format(&m->arena, "%s_%s", v->name, what)), t);
}

/* A scale that is fine in float32 may vanish, or overflow, in 16 bits. */
static void check_scale(const struct call *c, qdq_type real, float scale)
{
	float kept = real == QDQ_TYPE_FLOAT16	 ? qdq_f16_to_f32(qdq_f32_to_f16(scale))
		     : real == QDQ_TYPE_BFLOAT16 ? qdq_bf16_to_f32(qdq_f32_to_bf16(scale))
						 : scale;

	if (!(kept > 0) || isinf(kept))
		qdq_misuse(c->m, "a scale of %g is none in %s, which '%s' has", (double)scale, qdq_type_text(real),
			   c->v->name);
}

/* The scale has the type of the float side. */
static qdq_params make_params(const struct call *c, qdq_type real)
{
	const qdq_quant *q = c->quant;
	int64_t axis = check_axis(c), count = (int64_t)q->count;
	int32_t rank = count == 1 ? 0 : 1;
	qdq_tensor *scale = qdq_tensor_new(c->m, real, rank, &count);
	qdq_tensor *zero = qdq_tensor_new(c->m, q->codes, rank, &count);

	check_codes(c);
	for (size_t i = 0; i < q->count; i++) {
		check_scale(c, real, q->scales[i]);
		write_scale(scale, i, q->scales[i]);
		write_zero(zero, i, q->zero_points == NULL ? 0 : q->zero_points[i]);
	}
	return (qdq_params){
	    .codes = q->codes,
	    .real = real,
	    .scale = constant(c->m, c->v, "scale", scale),
	    .zero = constant(c->m, c->v, "zero_point", zero),
	    .constant = true,
	    .per_tensor = count == 1,
	    .axis = axis,
	    .count = q->count,
	    .positive = true,
	};
}

/* ---- inserting ---- */

static void expect_top(const struct call *c)
{
	qdq_expect_value(c->m, c->v, "the tensor");
	if (c->v->graph != c->m->graph)
		qdq_misuse(c->m, "'%s' is inside a nested graph or a fused operator", c->v->name);
	if (c->m->opset < 10)
		qdq_misuse(c->m, "opset %d has no QuantizeLinear", c->m->opset);
}

static qdq_type real_type(const struct call *c)
{
	qdq_type t = c->v->type;

	if (t == QDQ_TYPE_FLOAT || (c->m->opset >= 19 && (t == QDQ_TYPE_FLOAT16 || t == QDQ_TYPE_BFLOAT16)))
		return t;
	qdq_misuse(c->m, "'%s' has type %s, which opset %d does not quantize", c->v->name, qdq_type_text(t),
		   c->m->opset);
}

/* Where nodes that read v go: behind its producer. */
static qdq_node *behind(const qdq_value *v)
{
	return v->def != NULL ? v->def->next : v->graph->first;
}

static void add_quantize(void *arg)
{
	struct call *c = arg;
	qdq_params p;

	expect_top(c);
	check_quant(c);
	p = make_params(c, real_type(c));
	c->made =
	    qdq_quantize_insert(c->m->graph, behind(c->v), c->v, &p, qdq_format(&c->m->arena, "%s_q", c->v->name), NULL)
		->outputs[0];
	qdq_edited(c->m);
}

qdq_status qdq_add_quantize(qdq_value **out, qdq_model *m, qdq_value *v, const qdq_quant *quant)
{
	struct call c = {.m = m, .v = v, .quant = quant};
	qdq_status status = qdq_change(m, add_quantize, &c);

	if (out != NULL)
		*out = c.made;
	return status;
}

static void add_dequantize(void *arg)
{
	struct call *c = arg;
	qdq_params p;

	expect_top(c);
	check_quant(c);
	if (c->v->type != c->quant->codes)
		qdq_misuse(c->m, "'%s' has type %s, not %s", c->v->name, qdq_type_text(c->v->type),
			   qdq_type_text(c->quant->codes));
	p = make_params(c, QDQ_TYPE_FLOAT);
	if (p.codes == QDQ_TYPE_INT32)
		p.zero = NULL;
	c->made = qdq_dequantize_insert(c->m->graph, behind(c->v), c->v, &p,
					qdq_format(&c->m->arena, "%s_dq", c->v->name), NULL)
		      ->outputs[0];
	qdq_edited(c->m);
}

qdq_status qdq_add_dequantize(qdq_value **out, qdq_model *m, qdq_value *v, const qdq_quant *quant)
{
	struct call c = {.m = m, .v = v, .quant = quant, .dequantize = true};
	qdq_status status = qdq_change(m, add_dequantize, &c);

	if (out != NULL)
		*out = c.made;
	return status;
}

/* v -> Q -> DQ, read by nobody yet. */
static qdq_node *insert_pair(qdq_model *m, qdq_node *before, qdq_value *v, const qdq_params *p)
{
	qdq_graph *g = m->graph;
	qdq_node *q = qdq_quantize_insert(g, before, v, p, qdq_format(&m->arena, "%s_q", v->name), NULL);

	return qdq_dequantize_insert(g, before, q->outputs[0], p, qdq_format(&m->arena, "%s_dq", v->name), NULL);
}

static void redirect(qdq_value *from, qdq_value *to, const qdq_node *but)
{
	for (qdq_use *u = from->uses, *next; u != NULL; u = next) {
		next = u->next;
		if (u->node != but)
			qdq_use_set(u, to);
	}
}

static void add_qdq(void *arg)
{
	struct call *c = arg;
	qdq_params p;
	qdq_node *dq, *q;

	expect_top(c);
	check_quant(c);
	if (c->n != NULL) {
		qdq_expect_node(c->m, c->n, "the reader");
		if (qdq_node_input(c->n, c->index) != c->v)
			qdq_misuse(c->m, "input %zu of '%s' does not read '%s'", c->index, c->n->name, c->v->name);
	}
	p = make_params(c, real_type(c));
	dq = insert_pair(c->m, behind(c->v), c->v, &p);
	q = dq->inputs[0].value->def;
	if (c->n != NULL)
		qdq_use_set(&c->n->inputs[c->index], dq->outputs[0]);
	else
		redirect(c->v, dq->outputs[0], q);
	c->made_node = dq;
	qdq_edited(c->m);
}

qdq_status qdq_add_qdq(qdq_node **out, qdq_model *m, qdq_value *v, const qdq_quant *quant, qdq_node *reader,
		       size_t index)
{
	struct call c = {.m = m, .v = v, .quant = quant, .n = reader, .index = index};
	qdq_status status = qdq_change(m, add_qdq, &c);

	if (out != NULL)
		*out = c.made_node;
	return status;
}

/* ---- pairs ---- */

/* The Q of a DQ; misuse where dq is none or does not follow one. */
static qdq_node *quantizer_of(const struct call *c)
{
	qdq_node *q;

	qdq_expect_node(c->m, c->n, "the DequantizeLinear");
	if (!qdq_is(c->n, QDQ_OP_DequantizeLinear) || c->n->graph != c->m->graph)
		qdq_misuse(c->m, "'%s' is no DequantizeLinear of the main graph", c->n->name);
	q = qdq_def(qdq_in(c->n, 0), QDQ_OP_QuantizeLinear);
	if (q == NULL || qdq_in(q, 0) == NULL || qdq_out(c->n, 0) == NULL)
		qdq_misuse(c->m, "'%s' does not follow a QuantizeLinear", c->n->name);
	return q;
}

/* Removes what nothing reads any more. */
static void drop_pair(qdq_node *q, qdq_node *dq)
{
	if (qdq_node_unread(dq))
		qdq_node_remove(dq);
	if (qdq_node_unread(q))
		qdq_node_remove(q);
}

static void remove_qdq(void *arg)
{
	struct call *c = arg;
	qdq_node *q = quantizer_of(c);
	qdq_value *x = qdq_in(q, 0), *y = qdq_out(c->n, 0);

	if (y->n_outputs != 0)
		qdq_misuse(c->m, "'%s' is an output of the network: give it another one first (qdq_set_output)",
			   y->name);
	qdq_value_replace_uses(y, x);
	drop_pair(q, c->n);
	qdq_edited(c->m);
}

qdq_status qdq_remove_qdq(qdq_model *m, qdq_node *dq)
{
	struct call c = {.m = m, .n = dq};

	return qdq_change(m, remove_qdq, &c);
}

QDQ_NORETURN static void refuse_move(const struct call *c, const qdq_reason *why)
{
	const qdq_reason_info *info = &qdq_reasons[why->code];
	const char *hole = info->message == NULL ? NULL : strstr(info->message, "%s");
	const char *text = info->message;

	if (why->code == QDQ_REASON_NONE || text == NULL)
		text = "it neither rearranges elements nor preserves their order";
	else if (hole != NULL)
		text = qdq_format(&c->m->arena, "%.*s%s%s", (int)(hole - text), text,
				  why->detail == NULL ? "it" : why->detail, hole + 2);
	qdq_misuse(c->m, "quantization cannot pass '%s' (%s): %s", c->over->name, c->over->op_type, text);
}

/* op reads the pair on all its data inputs: it reads what they quantize, and one pair stands behind it. The names that
 * readers of its output know stay theirs. */
static void move_down(struct call *c)
{
	qdq_node *op = c->over;
	qdq_params p, moved, other;
	qdq_reason why;
	qdq_value *y = op->outputs[0], *inner;

	qdq_params_of(c->n, &p);
	if (!qdq_passes_operator(op, &p, true, &moved, &why))
		refuse_move(c, &why);
	for (uint32_t i = 0; i < op->n_inputs; i++) {
		qdq_node *dq = qdq_def(qdq_in(op, i), QDQ_OP_DequantizeLinear);

		if (!qdq_op_data_input(op, i) || qdq_in(op, i) == NULL)
			continue;
		if (dq == NULL || !qdq_params_of(dq, &other) || !qdq_params_equal(&p, &other) ||
		    qdq_def(qdq_in(dq, 0), QDQ_OP_QuantizeLinear) == NULL)
			qdq_misuse(c->m, "input %u of '%s' has no Q/DQ pair with the same parameters", i, op->name);
	}
	for (uint32_t i = 0; i < op->n_inputs; i++) {
		qdq_node *dq, *q;

		if (!qdq_op_data_input(op, i) || qdq_in(op, i) == NULL)
			continue;
		dq = qdq_in(op, i)->def;
		q = qdq_in(dq, 0)->def;
		qdq_use_set(&op->inputs[i], qdq_in(q, 0));
		drop_pair(q, dq);
	}
	inner = qdq_value_create(c->m->graph, qdq_unique_name(&c->m->names, y->name));
	qdq_value_set_type(inner, y->type, y->shape);
	qdq_value_redefine(inner, op, 0);
	qdq_value_replace(inner, y);
	c->made_node = insert_pair(c->m, op->next, inner, &moved);
	qdq_value_redefine(y, c->made_node, 0);
}

/* The pair reads op's output: it goes to op's data inputs, and what read the pair reads op. */
static void move_up(struct call *c, qdq_node *q)
{
	qdq_node *op = c->over;
	qdq_value *y = qdq_in(q, 0), *z = qdq_out(c->n, 0);
	qdq_params p, moved;
	qdq_reason why;

	qdq_params_of(c->n, &p);
	if (!qdq_passes_operator(op, &p, false, &moved, &why))
		refuse_move(c, &why);
	if (y != op->outputs[0] || qdq_only_use(y) == NULL || qdq_only_use(q->outputs[0]) == NULL)
		qdq_misuse(c->m, "'%s' or its codes have other readers, for which the move would change values",
			   y->name);
	for (uint32_t i = 0; i < op->n_inputs; i++) {
		qdq_value *x = qdq_in(op, i);
		qdq_node *dq;

		if (!qdq_op_data_input(op, i) || x == NULL)
			continue;
		dq = insert_pair(c->m, op, x, &moved);
		qdq_use_set(&op->inputs[i], dq->outputs[0]);
		c->made_node = c->made_node == NULL ? dq : c->made_node;
	}
	qdq_node_remove(c->n);
	qdq_node_remove(q);
	qdq_value_redefine(z, op, 0);
}

static void move_qdq(void *arg)
{
	struct call *c = arg;
	qdq_node *q = quantizer_of(c);
	qdq_params p, other;

	qdq_expect_node(c->m, c->over, "the operator");
	if (c->over->graph != c->m->graph || qdq_out(c->over, 0) == NULL)
		qdq_misuse(c->m, "'%s' is no operator of the main graph that computes something", c->over->name);
	if (!qdq_params_of(c->n, &p) || !qdq_params_of(q, &other) || !qdq_params_equal(&p, &other))
		qdq_misuse(c->m, "'%s' and its QuantizeLinear have different parameters", c->n->name);
	if (qdq_in(q, 0)->def == c->over) {
		move_up(c, q);
	} else {
		bool reads = false;

		for (uint32_t i = 0; i < c->over->n_inputs; i++)
			reads = reads || (qdq_in(c->over, i) == c->n->outputs[0] && qdq_op_data_input(c->over, i));
		if (!reads)
			qdq_misuse(c->m, "'%s' neither reads '%s' as data nor computes what it quantizes",
				   c->over->name, c->n->name);
		move_down(c);
	}
	qdq_edited(c->m);
}

qdq_status qdq_move_qdq(qdq_node **out, qdq_model *m, qdq_node *dq, qdq_node *over)
{
	struct call c = {.m = m, .n = dq, .over = over};
	qdq_status status = qdq_change(m, move_qdq, &c);

	if (out != NULL)
		*out = c.made_node;
	return status;
}

/* SPDX-License-Identifier: Apache-2.0
 *
 * to_u8 -- activations as uint8 instead of int8, for kernels that multiply uint8 by int8
 *
 *   x -- Q(s8, z) -- MaxPool -- DQ(s8, z)   =>   x -- Q(u8, z + 128) -- MaxPool -- DQ(u8, z + 128)
 *   x -- Q(s8, 0) -- Relu    -- DQ(s8, 0)   =>   x -- Q(u8, 128) -- Clip(128, 255) -- DQ(u8, 128)
 *
 *   When    the target is ort-cpu. Codes that Q, DQ and operators of class MOVE or MONO hand on form a class; it turns as
 *           a whole, or not at all where the network's inputs or outputs, another operator or a nested graph sees it.
 *           Constants in it turn too, but weights stay int8. Fused operators of a file that was read are dissolved first,
 *           unless this has been done to them already
 *   Keeps   every name
 *   Exact   EXACT: all codes and zero points are 128 higher; a Resize that interpolates rounds codes, and stays
 *   Needs   types                           Breaks  nothing
 *   After   cancel                          Before  fuse
 *   Tests   test/golden/to_u8/              Ref     ONNX Runtime, session.qdqisint8allowed; MLAS
 */
#include "moves.h"

#define SHIFT 128

/* Classes of values: a forest. What is known of a class stands at its root. */
typedef struct class
{
	struct class *parent; /* NULL: this is the root */
	bool fixed;	      /* somebody needs it as it is */
	bool wanted;	      /* it is computed, or something but the second operand of a product reads it */
	bool reported;
} class;

typedef struct turning {
	qdq_run *r;
	qdq_map classes; /* of values that are int8: as many as there are of these, in a body of If or Loop too */
	qdq_map zeros;	 /* zero points of int8 and what they became */
} turning;

static class *root(turning *t, const qdq_value *v)
{
	class *c = qdq_map_get(&t->classes, v);

	if (c == NULL) {
		c = qdq_new(&t->r->scratch, class);
		c->fixed = v->graph != t->r->graph; /* others see it */
		qdq_map_set(&t->classes, v, c);
	}
	while (c->parent != NULL) {
		if (c->parent->parent != NULL) /* long ways become short */
			c->parent = c->parent->parent;
		c = c->parent;
	}
	return c;
}

static void join(turning *t, const qdq_value *a, const qdq_value *b)
{
	class *x = root(t, a), *y = root(t, b);

	if (x == y)
		return;
	x->fixed = x->fixed || y->fixed;
	x->wanted = x->wanted || y->wanted;
	y->parent = x;
}

static bool is_s8(const qdq_value *v)
{
	return v != NULL && v->type == QDQ_TYPE_INT8;
}

/* ---- finding the classes ---- */

static void fix_operands(turning *t, const qdq_node *n)
{
	for (uint32_t i = 0; i < n->n_inputs; i++)
		if (is_s8(qdq_in(n, i)))
			root(t, qdq_in(n, i))->fixed = true;
	for (uint32_t i = 0; i < n->n_outputs; i++)
		if (is_s8(qdq_out(n, i)))
			root(t, n->outputs[i])->fixed = true;
}

/* A Q or DQ: can its zero point be another constant? */
static bool has_constant_zero(const qdq_node *n)
{
	qdq_params p;

	return qdq_params_of(n, &p) && p.constant && p.block == 0 && (qdq_is_dequantizer(n) || p.zero != NULL);
}

/* Is dq there for nothing but the second operand of products? */
static bool is_second(const qdq_node *dq)
{
	const qdq_value *v = dq->outputs[0];

	for (const qdq_use *u = v->uses; u != NULL; u = u->next)
		if (u->node->op->cls != QDQ_CLASS_CONTRACT || qdq_use_index(u) != 1)
			return false;
	return v->n_outputs == 0;
}

/* What moves codes must do so with uint8, and its constants (bounds, padding) must be constants. */
static bool moves_u8(const qdq_node *n)
{
	int opset = n->graph->model->opset;

	if (n->op->id == QDQ_OP_Relu) /* becomes Clip */
		return qdq_op_takes_codes(&qdq_ops[QDQ_OP_Clip], opset, QDQ_TYPE_UINT8);
	if (n->op->id == QDQ_OP_CenterCropPad || qdq_op_interpolates(n) ||
	    !qdq_op_takes_codes(n->op, opset, QDQ_TYPE_UINT8))
		return false;
	if (n->op->id == QDQ_OP_Pad && opset < 11)
		return false;
	for (uint32_t i = 0; i < n->n_inputs; i++)
		if (!qdq_op_data_input(n, i) && is_s8(qdq_in(n, i)) && qdq_value_constant(qdq_in(n, i)) == NULL)
			return false;
	return true;
}

static void join_operands(turning *t, const qdq_node *n)
{
	const qdq_value *first = NULL;

	for (uint32_t i = 0; i < n->n_inputs + n->n_outputs; i++) {
		bool input = i < n->n_inputs;
		const qdq_value *v = input ? qdq_in(n, i) : qdq_out(n, i - n->n_inputs);

		if (!is_s8(v) || (input && !qdq_op_data_input(n, i)))
			continue;
		if (first == NULL)
			first = v;
		else
			join(t, first, v);
	}
}

/* Zero points, bounds and padding values: whoever reads them gets others where that is needed. */
static void fix_constants(turning *t, const qdq_node *n)
{
	bool moves = qdq_is_move(n);

	for (uint32_t i = 1; i < n->n_inputs; i++)
		if (is_s8(qdq_in(n, i)) && !(moves && qdq_op_data_input(n, i)))
			root(t, qdq_in(n, i))->fixed = true;
}

static void look_at(turning *t, const qdq_node *n)
{
	fix_constants(t, n);
	if (qdq_is_quantizer(n) || qdq_is_dequantizer(n)) {
		if (!has_constant_zero(n))
			fix_operands(t, n);
		else if (qdq_is_dequantizer(n) && is_s8(qdq_in(n, 0)) && !is_second(n))
			root(t, qdq_in(n, 0))->wanted = true;
	} else if (qdq_is_move(n)) {
		join_operands(t, n);
		if (!moves_u8(n))
			fix_operands(t, n);
	} else if (n->op->cls != QDQ_CLASS_SHAPE) {
		fix_operands(t, n);
	}
}

/* What is seen from outside: the network's inputs and outputs, captures of nested graphs. */
static void look_outside(turning *t, const qdq_value *v)
{
	if (v->is_input || v->n_outputs != 0)
		root(t, v)->fixed = true;
	for (const qdq_use *u = v->uses; u != NULL; u = u->next)
		if (u->node->graph != t->r->graph)
			root(t, v)->fixed = true;
}

static void find_classes(turning *t)
{
	const qdq_graph *g = t->r->graph;

	for (const qdq_node *n = g->first; n != NULL; n = qdq_after(n)) {
		look_at(t, n);
		for (uint32_t i = 0; i < n->n_outputs; i++) {
			if (!is_s8(qdq_out(n, i)))
				continue;
			root(t, n->outputs[i])->wanted = true;
			look_outside(t, n->outputs[i]);
		}
	}
	for (size_t i = 0; i < g->inputs.count; i++)
		if (is_s8(g->inputs.items[i]))
			look_outside(t, g->inputs.items[i]);
	for (size_t i = 0; i < g->constants.count; i++)
		if (is_s8(g->constants.items[i]))
			look_outside(t, g->constants.items[i]);
}

/* ---- turning them ---- */

static bool turns(turning *t, const qdq_value *v)
{
	const class *c;

	if (!is_s8(v) || v->graph != t->r->graph)
		return false;
	c = root(t, v);
	return c->wanted && !c->fixed;
}

static qdq_tensor *turned(qdq_model *m, const qdq_tensor *from)
{
	qdq_tensor *to = qdq_tensor_new(m, QDQ_TYPE_UINT8, from->rank, from->dims);
	uint8_t *codes = (void *)(uintptr_t)to->data;

	for (uint64_t i = 0; i < from->count; i++)
		codes[i] = (uint8_t)(((const uint8_t *)from->data)[i] ^ SHIFT);
	return to;
}

static qdq_value *add_code(qdq_graph *g, const char *hint, uint8_t code, int32_t rank, const int64_t *dims)
{
	qdq_tensor *t = qdq_tensor_new(g->model, QDQ_TYPE_UINT8, rank, dims);

	memset((void *)(uintptr_t)t->data, code, (size_t)t->size);
	return qdq_graph_add_constant(g, qdq_unique_name(&g->model->names, hint), t);
}

/* The zero point that `zero` becomes; one for all who share it. Its absence is 0, of the shape of the scale. */
static qdq_value *turned_zero(turning *t, qdq_value *zero, const qdq_value *scale)
{
	qdq_model *m = t->r->model;
	const void *key = zero != NULL ? zero : scale;
	qdq_value *known = qdq_map_get(&t->zeros, key);
	const qdq_tensor *s = qdq_value_constant(scale);

	if (known != NULL)
		return known;
	if (zero != NULL)
		known = qdq_graph_add_constant(t->r->graph, qdq_unique_name(&m->names, zero->name),
					       turned(m, qdq_value_constant(zero)));
	else
		known =
		    add_code(t->r->graph, qdq_format(&t->r->scratch, "%s_zero", scale->name), SHIFT, s->rank, s->dims);
	qdq_map_set(&t->zeros, key, known);
	return known;
}

static void turn_quantizer(turning *t, qdq_node *n)
{
	if (n->n_inputs < 3)
		qdq_node_resize_inputs(n, 3);
	qdq_use_set(&n->inputs[2], turned_zero(t, qdq_in(n, 2), qdq_in(n, 1)));
	if (qdq_is_quantizer(n))
		qdq_attr_remove(n, "output_dtype");
}

static void set_constant(qdq_node *n, uint32_t index, qdq_value *v)
{
	if (index >= n->n_inputs)
		qdq_node_resize_inputs(n, index + 1);
	qdq_use_set(&n->inputs[index], v);
}

/* Bounds of a Clip and the padding value; Relu becomes a Clip at what 0 became. */
static void turn_constants(turning *t, qdq_node *n)
{
	qdq_graph *g = t->r->graph;
	const char *hint = qdq_format(&t->r->scratch, "%s_code", n->outputs[0]->name);

	if (n->op->id == QDQ_OP_Relu) {
		qdq_node_set_op(n, QDQ_OP_Clip);
		set_constant(n, 1, add_code(g, hint, SHIFT, 0, NULL));
		return;
	}
	if (n->op->id == QDQ_OP_Pad && qdq_in(n, 2) == NULL)
		set_constant(n, 2, add_code(g, hint, SHIFT, 0, NULL)); /* the default is 0 */
	for (uint32_t i = 0; i < n->n_inputs; i++)
		if (!qdq_op_data_input(n, i) && is_s8(qdq_in(n, i)))
			set_constant(n, i,
				     qdq_graph_add_constant(g, qdq_unique_name(&g->model->names, hint),
							    turned(g->model, qdq_value_constant(qdq_in(n, i)))));
}

static void report(turning *t, const qdq_value *v, const qdq_node *n)
{
	class *c = root(t, v);

	if (!c->reported)
		qdq_applied(t->r, "to_u8.codes", QDQ_EXACT, 0, n->origin);
	c->reported = true;
}

/* Types of values turn when all nodes have, since they tell which turn. */
static void turn_node(turning *t, qdq_node *n)
{
	const qdq_value *codes = NULL;

	for (uint32_t i = 0; i < n->n_inputs && codes == NULL; i++)
		if (turns(t, qdq_in(n, i)) &&
		    (qdq_is_dequantizer(n) ? i == 0 : !qdq_is_quantizer(n) && qdq_op_data_input(n, i)))
			codes = qdq_in(n, i);
	for (uint32_t i = 0; i < n->n_outputs && codes == NULL; i++)
		if (turns(t, qdq_out(n, i)))
			codes = n->outputs[i];
	if (codes == NULL)
		return;
	report(t, codes, n);
	if (qdq_is_quantizer(n) || qdq_is_dequantizer(n))
		turn_quantizer(t, n);
	else
		turn_constants(t, n);
}

static void turn_values(turning *t, const qdq_value *const *list, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		qdq_value *v = (qdq_value *)(uintptr_t)list[i];

		if (v == NULL || !turns(t, v))
			continue;
		if (qdq_value_constant(v) != NULL)
			qdq_constant_set(v, turned(t->r->model, qdq_value_constant(v)));
		else
			qdq_value_set_type(v, QDQ_TYPE_UINT8, v->shape);
	}
}

/* ---- fused operators of a file that was read ---- */

/* What the port v of a region stands for, if that is a constant. */
static const qdq_tensor *port_constant(const qdq_node *region, const qdq_value *v)
{
	const qdq_graph *body = region->region->body;

	for (size_t i = 0; v != NULL && v->def == NULL && i < body->inputs.count; i++)
		if (body->inputs.items[i] == v)
			return region->inputs[i].value != NULL ? qdq_value_constant(region->inputs[i].value) : NULL;
	return NULL;
}

static bool only_quantized(const qdq_value *v)
{
	const qdq_use *u = v != NULL ? qdq_only_use(v) : NULL;
	qdq_params p;

	return u != NULL && qdq_is_quantizer(u->node) && qdq_params_of(u->node, &p) && p.per_tensor &&
	       p.real == QDQ_TYPE_FLOAT;
}

/* A product that conv_phases or bias_codes would change, where they may. */
static bool product_settled(const qdq_node *region, const qdq_node *n)
{
	const qdq_tensor *bias = port_constant(region, qdq_in(n, 2));
	const qdq_node *dq = qdq_def(qdq_in(n, 0), QDQ_OP_DequantizeLinear);
	qdq_params x;

	if (!only_quantized(qdq_out(n, 0)) || dq == NULL || !qdq_params_of(dq, &x) || !x.per_tensor)
		return true;
	return n->op->id != QDQ_OP_ConvTranspose && (bias == NULL || bias->type != QDQ_TYPE_FLOAT);
}

/* Is there nothing in n, a node of a region, that the passes for this target would change? */
static bool is_settled(const qdq_run *r, const qdq_node *region, const qdq_node *n)
{
	if (qdq_is_quantizer(n))
		return !is_s8(qdq_out(n, 0)) || port_constant(region, qdq_in(n, 0)) != NULL;
	if (qdq_is_dequantizer(n))
		return !is_s8(qdq_in(n, 0)) || qdq_in(n, 0)->def != NULL || port_constant(region, qdq_in(n, 0)) != NULL;
	if (qdq_is_clamp(n))
		return !only_quantized(qdq_out(n, 0)) || qdq_in(n, 0) == NULL || !qdq_could_write_codes(qdq_in(n, 0));
	return n->op->cls != QDQ_CLASS_CONTRACT || r->options->exact || product_settled(region, n);
}

static bool all_settled(const qdq_run *r)
{
	for (const qdq_node *region = r->graph->first; region != NULL; region = qdq_after(region)) {
		if (region->region == NULL)
			continue;
		for (const qdq_node *n = region->region->body->first; n != NULL; n = qdq_after(n))
			if (!is_settled(r, region, n))
				return false;
	}
	return true;
}

/* Their codes are inside: they are made again, unless this has been done for the target already. */
static void expand_regions(const qdq_run *r)
{
	qdq_node *next;

	if (all_settled(r))
		return;
	for (qdq_node *n = r->graph->first; n != NULL; n = next) {
		next = qdq_after(n);
		if (n->region != NULL)
			qdq_region_expand(n);
	}
}

static void run(qdq_run *r)
{
	turning t = {.r = r};
	qdq_graph *g = r->graph;
	size_t constants;

	if (r->options->target != QDQ_TARGET_ORT_CPU)
		return;
	expand_regions(r);
	qdq_map_init(&t.classes, &r->scratch);
	qdq_map_init(&t.zeros, &r->scratch);
	constants = g->constants.count;
	find_classes(&t);
	for (qdq_node *n = g->first; n != NULL; n = qdq_after(n))
		turn_node(&t, n);
	for (qdq_node *n = g->first; n != NULL; n = qdq_after(n))
		turn_values(&t, (const qdq_value *const *)n->outputs, n->n_outputs);
	turn_values(&t, (const qdq_value *const *)g->constants.items, constants);
}

static const qdq_rule rules[] = {
    {.name = "to_u8.codes", .exactness = QDQ_EXACT, .text = "int8 codes that are handed on become uint8, 128 higher"},
};

const qdq_pass qdq_pass_to_u8 = {"to_u8", "activations as uint8 (target ort-cpu)", rules, QDQ_COUNTOF(rules), run,
				 false};

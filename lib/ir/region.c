/* SPDX-License-Identifier: Apache-2.0
 *
 * region.c -- outlining: a fused operator is a node that holds the nodes it replaced
 *
 *      x -- DQ --.                               x --.
 *      w -- DQ --+-- Conv -- Relu -- Q -- y  =>  w --+-- [DQ DQ Conv Relu Q] -- y
 *      b --------'                               b --'
 *
 * The nodes themselves move into the body, under their own names. A value that crosses the border exists twice: the
 * outer one keeps its name (and stays graph output), the inner one is a port, which has none until it is written.
 */
#include "ir.h"

const char *const qdq_region_kind_names[QDQ_REGION_KINDS] = {
    [QDQ_REGION_CONV] = "conv",		  [QDQ_REGION_GEMM] = "gemm",	    [QDQ_REGION_MATMUL] = "matmul",
    [QDQ_REGION_POOL] = "pool",		  [QDQ_REGION_ELTWISE] = "eltwise", [QDQ_REGION_LUT] = "lut",
    [QDQ_REGION_CONCAT] = "concat",	  [QDQ_REGION_MOVE] = "move",	    [QDQ_REGION_REQUANTIZE] = "requantize",
    [QDQ_REGION_ATTENTION] = "attention", [QDQ_REGION_NORM] = "norm",
};

/* What Netron shows: QConv_17. */
static const char *const op_types[QDQ_REGION_KINDS] = {
    [QDQ_REGION_CONV] = "QConv",	   [QDQ_REGION_GEMM] = "QGemm",	      [QDQ_REGION_MATMUL] = "QMatMul",
    [QDQ_REGION_POOL] = "QPool",	   [QDQ_REGION_ELTWISE] = "QEltwise", [QDQ_REGION_LUT] = "QLut",
    [QDQ_REGION_CONCAT] = "QConcat",	   [QDQ_REGION_MOVE] = "QMove",	      [QDQ_REGION_REQUANTIZE] = "Requantize",
    [QDQ_REGION_ATTENTION] = "QAttention", [QDQ_REGION_NORM] = "QNorm",
};

/* ---- ports ---- */

/* It gets its name when it is written: see lib/emit. */
static qdq_value *new_port(qdq_graph *body, const qdq_value *outer)
{
	qdq_value *inner = qdq_value_create(body, qdq_intern(&body->model->names, ""));

	inner->type = outer->type;
	inner->shape = outer->shape;
	inner->contents = outer->contents;
	inner->not_tensor = outer->not_tensor;
	inner->tree = outer->tree;
	return inner;
}

struct ports {
	QDQ_VEC(qdq_value *) inputs;  /* outer values */
	QDQ_VEC(qdq_value *) outputs; /* outer values */
	qdq_map inner;		      /* outer -> inner; only of regions that read many values */
};

enum { FEW = 16 };

/* The inner value of an outer one that the body reads already, or NULL. */
static qdq_value *find_port(const qdq_graph *body, const struct ports *p, const qdq_value *outer)
{
	if (p->inputs.count > FEW)
		return qdq_map_get(&p->inner, outer);
	for (size_t i = 0; i < p->inputs.count; i++)
		if (p->inputs.items[i] == outer)
			return body->inputs.items[i];
	return NULL;
}

static void add_port(qdq_graph *body, struct ports *p, qdq_arena *scratch, qdq_value *outer, qdq_value *inner)
{
	inner->place = (uint32_t)body->inputs.count;
	*qdq_push(scratch, &body->inputs) = inner; /* until keep_ports */
	*qdq_push(scratch, &p->inputs) = outer;
	if (p->inputs.count == FEW + 1) {
		qdq_map_init(&p->inner, scratch);
		for (size_t i = 0; i < FEW; i++)
			qdq_map_set(&p->inner, p->inputs.items[i], body->inputs.items[i]);
	}
	if (p->inputs.count > FEW)
		qdq_map_set(&p->inner, outer, inner);
}

/* The inner value of an outer one that the body reads; made at its first use. */
static qdq_value *input_port(qdq_graph *body, struct ports *p, qdq_arena *scratch, qdq_value *outer)
{
	qdq_value *inner = find_port(body, p, outer);

	if (inner == NULL) {
		inner = new_port(body, outer);
		inner->is_input = true;
		add_port(body, p, scratch, outer, inner);
	}
	return inner;
}

/* Is v, defined by a node of the body, read outside it? */
static bool escapes(const qdq_value *v, const qdq_graph *body)
{
	if (v->n_outputs != 0)
		return true;
	for (const qdq_use *u = v->uses; u != NULL; u = u->next)
		if (u->node->graph != body)
			return true;
	return false;
}

static void output_port(qdq_graph *body, struct ports *p, qdq_arena *scratch, qdq_node *n, uint32_t i)
{
	qdq_value *outer = n->outputs[i];
	qdq_value *inner = new_port(body, outer);
	qdq_use *next;

	inner->def = n;
	n->outputs[i] = inner;
	for (qdq_use *u = outer->uses; u != NULL; u = next) {
		next = u->next;
		if (u->node->graph == body)
			qdq_use_set(u, inner);
	}
	outer->def = NULL;
	qdq_graph_add_output(body, inner);
	*qdq_push(scratch, &p->outputs) = outer;
}

/* ---- what a body is ---- */

bool qdq_is_pointwise(const qdq_node *n)
{
	if (n->op->cls == QDQ_CLASS_MONO)
		return n->op->axis == QDQ_AXIS_SAME || n->op->family == QDQ_FAMILY_ELEMENTWISE;
	return n->op->cls == QDQ_CLASS_POINTWISE || n->op->id == QDQ_OP_BatchNormalization;
}

/* A mean of what the body computes itself, as the variance is. Pools read codes, or what is dequantized. */
static bool is_inner_mean(const qdq_node *n)
{
	const qdq_value *x = qdq_in(n, 0);
	const qdq_node *dq = qdq_def(x, QDQ_OP_DequantizeLinear);

	if (n->op->cls != QDQ_CLASS_REDUCE || x == NULL || x->def == NULL)
		return false;
	return dq != NULL ? qdq_def(qdq_in(dq, 0), QDQ_OP_QuantizeLinear) != NULL
			  : x->def->op->cls == QDQ_CLASS_POINTWISE;
}

static int strength(const qdq_node *n)
{
	if (n == NULL || n->op->cls == QDQ_CLASS_QUANT)
		return 0;
	if (n->op->cls == QDQ_CLASS_CONTRACT)
		return 5;
	if (qdq_is_pointwise(n))
		return 2;
	if (n->op->cls == QDQ_CLASS_NORM || is_inner_mean(n))
		return 4;
	if (n->op->cls == QDQ_CLASS_REDUCE || n->op->family == QDQ_FAMILY_POOL || n->op->family == QDQ_FAMILY_CONCAT)
		return 3;
	return 1;
}

bool qdq_region_outranks(const qdq_node *n, const qdq_node *other)
{
	return strength(n) > strength(other);
}

static qdq_region_kind kind_of(const qdq_node *anchor)
{
	switch (anchor->op->id) {
	case QDQ_OP_Conv:
	case QDQ_OP_ConvTranspose:
		return QDQ_REGION_CONV;
	case QDQ_OP_Gemm:
		return QDQ_REGION_GEMM;
	case QDQ_OP_MatMul:
		return QDQ_REGION_MATMUL;
	default:
		break;
	}
	if (qdq_is_pointwise(anchor))
		return QDQ_REGION_ELTWISE;
	if (anchor->op->cls == QDQ_CLASS_NORM || is_inner_mean(anchor))
		return QDQ_REGION_NORM;
	if (anchor->op->cls == QDQ_CLASS_REDUCE || anchor->op->family == QDQ_FAMILY_POOL)
		return QDQ_REGION_POOL;
	return anchor->op->family == QDQ_FAMILY_CONCAT ? QDQ_REGION_CONCAT : QDQ_REGION_MOVE;
}

/* Is what a body of pointwise operators computes a table: from one 8-bit tensor to one, with numbers as constants? */
static bool is_table(const qdq_graph *body, qdq_value *const *outer)
{
	size_t data = 0;

	if (body->outputs.count != 1 || !qdq_type_is_int8(body->outputs.items[0]->type))
		return false;
	for (size_t i = 0; i < body->inputs.count; i++) {
		const qdq_tensor *t = qdq_value_constant(outer[i]);

		if (t != NULL ? t->count != 1 : (!qdq_type_is_int8(body->inputs.items[i]->type) || data++ != 0))
			return false;
	}
	for (const qdq_node *n = body->first; n != NULL; n = qdq_after(n))
		if (strength(n) != 0 && !qdq_is_pointwise(n))
			return false;
	return data == 1;
}

/* outer[i]: what input i of the body stands for. */
static qdq_region_kind classify(const qdq_graph *body, qdq_value *const *outer, qdq_node **anchor)
{
	qdq_region_kind kind;
	int contractions = 0;

	*anchor = NULL;
	for (qdq_node *n = body->first; n != NULL; n = qdq_after(n)) {
		contractions += n->op->cls == QDQ_CLASS_CONTRACT;
		if (qdq_region_outranks(n, *anchor))
			*anchor = n;
	}
	if (contractions > 1)
		return QDQ_REGION_ATTENTION;
	if (*anchor == NULL)
		return QDQ_REGION_REQUANTIZE;
	kind = kind_of(*anchor);
	return kind == QDQ_REGION_ELTWISE && is_table(body, outer) ? QDQ_REGION_LUT : kind;
}

struct classifying {
	const qdq_graph *body;
	qdq_node **anchor;
	qdq_region_kind kind;
};

static void classify_loaded(void *arg, qdq_arena *scratch)
{
	struct classifying *c = arg;
	const qdq_node *n = c->body->parent;
	qdq_value **outer = qdq_array(scratch, qdq_value *, n->n_inputs);

	for (uint32_t i = 0; i < n->n_inputs; i++)
		outer[i] = qdq_in(n, i);
	c->kind = classify(c->body, outer, c->anchor);
}

qdq_region_kind qdq_region_classify(const qdq_graph *body, qdq_node **anchor)
{
	struct classifying c = {.body = body, .anchor = anchor};

	qdq_with_scratch(body->model->ctx, classify_loaded, &c);
	return c.kind;
}

/* ---- outlining ---- */

/* The first node behind the last of the region that is not of the region itself. */
static qdq_node *behind(qdq_node *const *nodes, size_t count)
{
	qdq_node *n = nodes[count - 1]->next;

	for (size_t i = 0; n != NULL && i < count; i++) {
		if (nodes[i] == n) {
			n = n->next;
			i = (size_t)-1;
		}
	}
	return n;
}

/* The list of inputs grew in scratch memory; a model has many regions, so it is kept without spare room. */
static void keep_ports(qdq_graph *body, const struct ports *p)
{
	qdq_value **inputs = qdq_array(&body->model->arena, qdq_value *, p->inputs.count);

	if (p->inputs.count != 0)
		memcpy(inputs, body->inputs.items, p->inputs.count * sizeof *inputs);
	body->inputs.items = inputs;
	body->inputs.capacity = p->inputs.count;
}

struct outline {
	qdq_graph *g;
	qdq_node *const *nodes;
	size_t count;
	qdq_name name;
	qdq_graph *body;
	qdq_node *made;
};

static void outline(void *arg, qdq_arena *scratch)
{
	struct outline *o = arg;
	qdq_model *m = o->g->model;
	qdq_node *before = behind(o->nodes, o->count);
	qdq_region *region = qdq_new(&m->arena, qdq_region);
	struct ports ports = {0};
	const char *op_type;

	for (size_t i = 0; i < o->count; i++)
		qdq_node_move(o->nodes[i], o->body, NULL);
	for (size_t i = 0; i < o->count; i++) {
		qdq_node *n = o->nodes[i];

		for (uint32_t j = 0; j < n->n_inputs; j++) {
			qdq_use *u = &n->inputs[j];

			if (u->value != NULL && u->value->graph != o->body)
				qdq_use_set(u, input_port(o->body, &ports, scratch, u->value));
		}
		for (uint32_t j = 0; j < n->n_outputs; j++)
			if (n->outputs[j] != NULL && escapes(n->outputs[j], o->body))
				output_port(o->body, &ports, scratch, n, j);
	}
	for (size_t i = 0; i < ports.outputs.count; i++)
		ports.outputs.items[i]->graph = o->g;
	keep_ports(o->body, &ports);
	*region = (qdq_region){.body = o->body};
	region->kind = classify(o->body, ports.inputs.items, &region->anchor);
	op_type = qdq_format(scratch, "%s_%u", op_types[region->kind], ++m->n_regions);
	o->made = qdq_node_create(o->g, before, QDQ_REGION_DOMAIN, qdq_unique_name(&m->names, op_type), o->name,
				  (uint32_t)ports.inputs.count, ports.inputs.items, (uint32_t)ports.outputs.count,
				  ports.outputs.items);
	o->made->op = &qdq_ops[QDQ_OP_REGION];
	o->made->region = region;
	o->body->parent = o->made;
}

qdq_node *qdq_region_create(qdq_graph *g, qdq_node *const *nodes, size_t count, qdq_name name)
{
	struct outline o = {
	    .g = g,
	    .nodes = nodes,
	    .count = count,
	    .name = name,
	    .body = qdq_graph_create(g->model, NULL, name),
	};
	const qdq_node *anchor;
	const qdq_origin *origin = NULL;

	qdq_with_scratch(g->model->ctx, outline, &o);
	for (size_t i = 0; i < count && origin == NULL; i++)
		origin = nodes[i]->origin;
	anchor = o.made->region->anchor;
	o.made->origin = anchor != NULL && anchor->origin != NULL ? anchor->origin : origin;
	return o.made;
}

void qdq_region_expand(qdq_node *region)
{
	qdq_graph *g = region->graph;
	qdq_graph *body = region->region->body;

	for (size_t i = 0; i < body->inputs.count; i++)
		qdq_value_replace_uses(body->inputs.items[i], region->inputs[i].value);
	for (size_t i = 0; i < body->outputs.count; i++) {
		qdq_value *inner = body->outputs.items[i];
		qdq_value *outer = region->outputs[i];
		uint32_t port = 0;

		inner->n_outputs = 0;
		if (inner->is_input || outer == NULL)
			continue;
		while (inner->def->outputs[port] != inner)
			port++;
		qdq_value_redefine(outer, inner->def, port);
		region->outputs[i] = NULL;
	}
	while (body->first != NULL)
		qdq_node_move(body->first, g, region);
	qdq_node_remove(region);
}

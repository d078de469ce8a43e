/* SPDX-License-Identifier: Apache-2.0
 *
 * copy.c -- a model once more: graphs, nodes and values anew, tensors and names by reference
 *
 * The copy borrows tensors, strings and foreign messages from the original, which must outlive it.
 */
#include "ir.h"

struct copy {
	qdq_model *from, *to;
	qdq_value **values; /* by id of the original */
	qdq_map functions;  /* qdq_function of the original -> of the copy */
};

static void copy_graph(struct copy *c, const qdq_graph *from, qdq_graph *to);

static qdq_value *copy_value(struct copy *c, qdq_graph *to, const qdq_value *v)
{
	qdq_value *w;

	if (v == NULL)
		return NULL;
	if (c->values[v->id] != NULL)
		return c->values[v->id];
	w = qdq_value_create(to, qdq_intern(&c->to->names, v->name));
	w->type = v->type;
	w->is_input = v->is_input;
	w->place = v->place;
	w->not_tensor = v->not_tensor;
	w->declared = v->declared;
	w->said_type = v->said_type;
	w->said_shape = v->said_shape;
	w->shape = v->shape;
	w->tensor = v->tensor;
	w->contents = v->contents;
	w->tree = v->tree;
	w->foreign = v->foreign;
	c->values[v->id] = w;
	return w;
}

static qdq_graph *copy_nested(struct copy *c, const qdq_graph *g, qdq_node *parent)
{
	qdq_graph *to = qdq_graph_create(c->to, parent, qdq_intern(&c->to->names, g->name));

	copy_graph(c, g, to);
	return to;
}

static void copy_attrs(struct copy *c, const qdq_node *from, qdq_node *to)
{
	qdq_arena *arena = &c->to->arena;

	to->n_attrs = from->n_attrs;
	to->attrs = qdq_array(arena, qdq_attr, from->n_attrs);
	for (uint32_t i = 0; i < from->n_attrs; i++) {
		qdq_attr *a = &to->attrs[i];

		*a = from->attrs[i];
		a->name = qdq_intern(&c->to->names, a->name);
		a->ref = qdq_intern(&c->to->names, a->ref);
		if (a->type == QDQ_ATTR_GRAPH && a->u.g != NULL) {
			a->u.g = copy_nested(c, a->u.g, to);
		} else if (a->type == QDQ_ATTR_GRAPHS) {
			qdq_graph **graphs = qdq_array(arena, qdq_graph *, a->count);

			for (size_t j = 0; j < a->count; j++)
				graphs[j] = copy_nested(c, from->attrs[i].u.graphs[j], to);
			a->u.graphs = graphs;
		}
	}
}

static void copy_node(struct copy *c, const qdq_node *n, qdq_graph *to)
{
	qdq_arena *arena = &c->to->arena;
	qdq_value **inputs = qdq_array(arena, qdq_value *, n->n_inputs);
	qdq_value **outputs = qdq_array(arena, qdq_value *, n->n_outputs);
	qdq_node *copy;

	for (uint32_t i = 0; i < n->n_inputs; i++)
		inputs[i] = copy_value(c, to, n->inputs[i].value);
	for (uint32_t i = 0; i < n->n_outputs; i++)
		outputs[i] = copy_value(c, to, n->outputs[i]);
	copy = qdq_node_create(to, NULL, n->domain, n->op_type, qdq_intern(&c->to->names, n->name), n->n_inputs, inputs,
			       n->n_outputs, outputs);
	copy->op = n->op;
	copy->overload = qdq_intern(&c->to->names, n->overload);
	copy->function = n->function != NULL ? qdq_map_get(&c->functions, n->function) : NULL;
	copy->origin = n->origin;
	copy->wanted = n->wanted;
	copy->foreign = n->foreign;
	copy_attrs(c, n, copy);
	if (n->region != NULL) {
		copy->region = qdq_new(arena, qdq_region);
		copy->region->body = copy_nested(c, n->region->body, copy);
		copy->region->kind = qdq_region_classify(copy->region->body, &copy->region->anchor);
	}
}

static void copy_graph(struct copy *c, const qdq_graph *from, qdq_graph *to)
{
	qdq_arena *arena = &c->to->arena;

	to->foreign = from->foreign;
	for (size_t i = 0; i < from->inputs.count; i++)
		*qdq_push(arena, &to->inputs) = copy_value(c, to, from->inputs.items[i]);
	for (size_t i = 0; i < from->constants.count; i++)
		*qdq_push(arena, &to->constants) = copy_value(c, to, from->constants.items[i]);
	for (const qdq_node *n = from->first; n != NULL; n = qdq_after(n))
		copy_node(c, n, to);
	for (size_t i = 0; i < from->outputs.count; i++)
		qdq_graph_add_output(to, copy_value(c, to, from->outputs.items[i]));
}

static void copy_function(struct copy *c, const qdq_function *from, qdq_function *to)
{
	qdq_arena *arena = &c->to->arena;

	for (size_t i = 0; i < from->attrs.count; i++)
		*qdq_push(arena, &to->attrs) = qdq_intern(&c->to->names, from->attrs.items[i]);
	for (size_t i = 0; i < from->defaults.count; i++) {
		qdq_attr *a = qdq_push(arena, &to->defaults);

		*a = from->defaults.items[i];
		a->name = qdq_intern(&c->to->names, a->name);
		a->ref = qdq_intern(&c->to->names, a->ref);
	}
	for (size_t i = 0; i < from->opsets.count; i++)
		*qdq_push(arena, &to->opsets) =
		    (qdq_opset){qdq_intern(&c->to->names, from->opsets.items[i].domain), from->opsets.items[i].version};
	to->doc_string = from->doc_string;
	to->foreign = from->foreign;
	to->body = copy_nested(c, from->body, NULL);
	to->body->function = to;
}

/* Foreign records are shared with the first original, and so speak of its values. */
static void keep_twins(struct copy *c)
{
	const qdq_model *from = c->from;

	c->to->twins = c->values;
	c->to->n_twins = from->n_values;
	if (from->twins == NULL)
		return;
	c->to->n_twins = from->n_twins;
	c->to->twins = qdq_array(&c->to->arena, qdq_value *, from->n_twins);
	for (uint32_t i = 0; i < from->n_twins; i++)
		c->to->twins[i] = from->twins[i] == NULL ? NULL : c->values[from->twins[i]->id];
}

struct copy_call {
	qdq_model *from, *to;
};

static void copy_model(void *arg)
{
	struct copy_call *call = arg;
	const qdq_model *from = call->from;
	qdq_model *to = call->to;
	struct copy c = {.from = call->from, .to = to};

	c.values = qdq_array(&to->arena, qdq_value *, from->n_values);
	qdq_map_init(&c.functions, &to->arena);
	to->ir_version = from->ir_version;
	to->opset = from->opset;
	to->has_external = from->has_external;
	to->baseline = from->baseline;
	to->about = from->about;
	to->foreign = from->foreign;
	to->graph->name = qdq_intern(&to->names, from->graph->name);
	for (size_t i = 0; i < from->opsets.count; i++)
		*qdq_push(&to->arena, &to->opsets) =
		    (qdq_opset){qdq_intern(&to->names, from->opsets.items[i].domain), from->opsets.items[i].version};
	for (size_t i = 0; i < from->dims.count; i++) { /* the same table, so that dimensions keep their numbers */
		*qdq_push(&to->arena, &to->dims) = from->dims.items[i];
		to->dims.items[i].symbol = qdq_intern(&to->names, from->dims.items[i].symbol);
	}
	for (size_t i = 0; i < from->origins.count; i++)
		*qdq_push(&to->arena, &to->origins) = from->origins.items[i];
	for (size_t i = 0; i < from->events.count; i++)
		*qdq_push(&to->arena, &to->events) = from->events.items[i];
	for (size_t i = 0; i < from->functions.count; i++) {
		qdq_function *f = qdq_new(&to->arena, qdq_function);

		f->domain = qdq_intern(&to->names, from->functions.items[i]->domain);
		f->name = qdq_intern(&to->names, from->functions.items[i]->name);
		f->overload = qdq_intern(&to->names, from->functions.items[i]->overload);
		*qdq_push(&to->arena, &to->functions) = f;
		qdq_map_set(&c.functions, from->functions.items[i], f);
	}
	for (size_t i = 0; i < from->functions.count; i++)
		if (from->functions.items[i]->body != NULL && from->functions.items[i]->body->parent == NULL)
			copy_function(&c, from->functions.items[i], to->functions.items[i]);
	copy_graph(&c, from->graph, to->graph);
	keep_twins(&c);
}

qdq_model *qdq_model_copy(qdq_ctx *ctx, qdq_model *m)
{
	struct copy_call call = {m, qdq_model_create(ctx, m->path)};
	qdq_status status = qdq_guard(ctx, copy_model, &call);

	if (status != QDQ_OK) {
		qdq_model_destroy(call.to);
		qdq_throw(ctx, status);
	}
	return call.to;
}

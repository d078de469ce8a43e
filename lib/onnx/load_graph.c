/* SPDX-License-Identifier: Apache-2.0
 *
 * load_graph.c -- graphs and functions' bodies: inputs, initializers, nodes, types, outputs
 */
#include "load.h"

/* ---- types ---- */

static qdq_dim load_dim(qdq_model *m, const Onnx__TensorShapeProto__Dimension *d)
{
	if (d->value_case == ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_VALUE && d->dim_value >= 0)
		return d->dim_value;
	if (d->value_case == ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_PARAM && *d->dim_param != '\0')
		return qdq_dim_symbol(m, qdq_intern(&m->names, d->dim_param));
	return qdq_dim_unknown(m);
}

const qdq_shape *qdq_load_shape(qdq_load *l, const Onnx__TensorShapeProto *proto, const char *name)
{
	qdq_dim few[8];
	qdq_dim *dims = few;

	if (proto->n_dim > QDQ_COUNTOF(few))
		dims = qdq_array(&l->scratch, qdq_dim, proto->n_dim);
	if (proto->n_dim > INT32_MAX)
		qdq_load_fail(l, name, "the shape of '%s' has too many dimensions", name);
	for (size_t i = 0; i < proto->n_dim; i++)
		dims[i] = load_dim(l->m, proto->dim[i]);
	return qdq_shape_new(l->m, (int32_t)proto->n_dim, dims);
}

/* What a declaration says about v is taken over where nothing is known yet; data speaks for itself. */
static void load_type(qdq_load *l, const Onnx__TypeProto *proto, qdq_value *v)
{
	const Onnx__TypeProto__Tensor *t;

	v->declared = true;
	if (proto == NULL)
		return;
	if (proto->value_case != ONNX__TYPE_PROTO__VALUE_TENSOR_TYPE) {
		v->not_tensor = proto->value_case != ONNX__TYPE_PROTO__VALUE__NOT_SET;
		if (v->tree == NULL)
			v->tree = qdq_load_tree(l, proto, v->name);
		return;
	}
	t = proto->tensor_type;
	if (v->type == QDQ_TYPE_NONE && qdq_type_get((qdq_type)t->elem_type) != qdq_type_get(QDQ_TYPE_NONE))
		v->type = (qdq_type)t->elem_type;
	if (v->shape == NULL && t->shape != NULL)
		v->shape = qdq_load_shape(l, t->shape, v->name);
	if (v->said_type == QDQ_TYPE_NONE)
		v->said_type = v->type;
	if (v->said_shape == NULL)
		v->said_shape = v->shape;
}

static void load_info(qdq_load *l, qdq_onnx_info *info, const Onnx__ValueInfoProto *proto, qdq_value *v)
{
	info->proto = proto;
	info->value = v;
	if (v == NULL)
		return;
	load_type(l, proto->type, v);
	if (v->foreign == NULL)
		v->foreign = proto;
}

/* Once all declarations are read: what the writer compares with. */
static void settle(qdq_onnx_info *infos, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		if (infos[i].value != NULL) {
			infos[i].type = infos[i].value->type;
			infos[i].shape = infos[i].value->shape;
		}
	}
}

static void load_infos(qdq_load *l, qdq_graph *g, qdq_onnx_graph *record, size_t count,
		       Onnx__ValueInfoProto *const *protos)
{
	record->n_infos = count;
	record->infos = qdq_array(&l->m->arena, qdq_onnx_info, count);
	for (size_t i = 0; i < count; i++) {
		qdq_value *v = qdq_load_lookup(l, protos[i]->name);

		load_info(l, &record->infos[i], protos[i], v != NULL && v->graph == g ? v : NULL);
	}
	settle(record->inputs, record->n_inputs);
	settle(record->outputs, record->n_outputs);
	settle(record->infos, record->n_infos);
}

/* ---- inputs and initializers ---- */

static qdq_name wanted_name(qdq_load *l, const char *name, const char *what)
{
	if (name == NULL || *name == '\0')
		qdq_load_fail(l, NULL, "%s has no name", what);
	return qdq_load_name(l, name);
}

/* Up to IR version 3 every initializer had to be listed as an input; what is listed so was meant as a constant. */
static void load_inputs(qdq_load *l, qdq_graph *g, qdq_onnx_graph *record, const Onnx__GraphProto *proto)
{
	record->n_inputs = proto->n_input;
	record->inputs = qdq_array(&l->m->arena, qdq_onnx_info, proto->n_input);
	for (size_t i = 0; i < proto->n_input; i++) {
		qdq_name name = wanted_name(l, proto->input[i]->name, "an input of the graph");
		qdq_value *constant = l->m->ir_version <= 3 ? qdq_load_lookup(l, name) : NULL;
		qdq_value *v =
		    constant != NULL && constant->graph == g && constant->tensor != NULL && !constant->is_input
			? constant
			: qdq_graph_add_input(g, name);

		load_info(l, &record->inputs[i], proto->input[i], v);
		if (v != constant)
			qdq_load_bind(l, v);
	}
}

static void load_initializers(qdq_load *l, qdq_graph *g, qdq_onnx_graph *record, const Onnx__GraphProto *proto)
{
	record->n_tensors = proto->n_initializer;
	record->tensors = qdq_array(&l->m->arena, qdq_value *, proto->n_initializer);
	for (size_t i = 0; i < proto->n_initializer; i++) {
		const Onnx__TensorProto *p = proto->initializer[i];
		qdq_name name = wanted_name(l, p->name, "an initializer");
		const qdq_tensor *t = qdq_load_tensor(l, p, name);
		qdq_value *v = qdq_load_lookup(l, name);

		if (v != NULL && v->graph == g && v->is_input && v->tensor == NULL) {
			v->tensor = t; /* the default of an input */
		} else {
			v = qdq_graph_add_constant(g, name, t);
			qdq_load_bind(l, v);
		}
		record->tensors[i] = v;
	}
}

/* A sparse initializer is a value whose data the IR does not look at. */
static void load_sparse(qdq_load *l, qdq_graph *g, qdq_onnx_graph *record, const Onnx__GraphProto *proto)
{
	record->n_sparse = proto->n_sparse_initializer;
	record->sparse = qdq_array(&l->m->arena, qdq_value *, proto->n_sparse_initializer);
	for (size_t i = 0; i < proto->n_sparse_initializer; i++) {
		const Onnx__SparseTensorProto *p = proto->sparse_initializer[i];
		qdq_name name = wanted_name(l, p->values != NULL ? p->values->name : NULL, "a sparse initializer");
		qdq_value *v = qdq_load_lookup(l, name);

		if (v == NULL || v->graph != g || !v->is_input) {
			v = qdq_load_define(l, g, name);
		}
		record->sparse[i] = v;
		if (qdq_type_get((qdq_type)p->values->data_type) != qdq_type_get(QDQ_TYPE_NONE))
			v->type = (qdq_type)p->values->data_type;
	}
}

/* ---- outputs ---- */

static qdq_value *find_output(qdq_load *l, qdq_graph *g, const char *name)
{
	qdq_value *v = qdq_load_lookup(l, wanted_name(l, name, "an output of the graph"));

	if (v == NULL)
		qdq_load_fail(l, name, "output '%s' is computed by no node and is no input", name);
	if (v->graph != g)
		qdq_load_fail(l, name, "output '%s' of a nested graph is computed outside of it", name);
	return v;
}

static void load_outputs(qdq_load *l, qdq_graph *g, qdq_onnx_graph *record, const Onnx__GraphProto *proto)
{
	record->n_outputs = proto->n_output;
	record->outputs = qdq_array(&l->m->arena, qdq_onnx_info, proto->n_output);
	for (size_t i = 0; i < proto->n_output; i++) {
		qdq_value *v = find_output(l, g, proto->output[i]->name);

		load_info(l, &record->outputs[i], proto->output[i], v);
		qdq_graph_add_output(g, v);
	}
}

/* ---- both kinds ---- */

void qdq_load_graph(qdq_load *l, qdq_graph *g, const Onnx__GraphProto *proto)
{
	qdq_onnx_graph *record = qdq_new(&l->m->arena, qdq_onnx_graph);
	size_t mark = l->bound.count;

	g->name = qdq_load_name(l, proto->name);
	g->foreign = record;
	record->proto = proto;
	if (l->m->ir_version <= 3) {
		load_initializers(l, g, record, proto);
		load_inputs(l, g, record, proto);
	} else {
		load_inputs(l, g, record, proto);
		load_initializers(l, g, record, proto);
	}
	load_sparse(l, g, record, proto);
	qdq_load_nodes(l, g, proto->n_node, proto->node);
	load_outputs(l, g, record, proto);
	load_infos(l, g, record, proto->n_value_info, proto->value_info);
	if (g->parent != NULL)
		qdq_load_unbind(l, mark);
}

void qdq_load_function(qdq_load *l, qdq_function *f, const Onnx__FunctionProto *proto)
{
	qdq_arena *a = &l->m->arena;
	qdq_graph *g = f->body;
	qdq_onnx_graph *record = qdq_new(a, qdq_onnx_graph);

	g->foreign = record;
	f->doc_string = proto->doc_string;
	f->opsets.items = qdq_load_opsets(l, proto->n_opset_import, proto->opset_import);
	f->opsets.count = f->opsets.capacity = proto->n_opset_import;
	for (size_t i = 0; i < proto->n_attribute; i++)
		*qdq_push(a, &f->attrs) = qdq_load_name(l, proto->attribute[i]);
	for (size_t i = 0; i < proto->n_attribute_proto; i++) {
		qdq_attr attr = {0};

		qdq_load_attr(l, NULL, &attr, proto->attribute_proto[i]);
		*qdq_push(a, &f->defaults) = attr;
	}
	for (size_t i = 0; i < proto->n_input; i++)
		qdq_load_bind(l, qdq_graph_add_input(g, wanted_name(l, proto->input[i], "an input of a function")));
	qdq_load_nodes(l, g, proto->n_node, proto->node);
	for (size_t i = 0; i < proto->n_output; i++)
		qdq_graph_add_output(g, find_output(l, g, proto->output[i]));
	load_infos(l, g, record, proto->n_value_info, proto->value_info);
	qdq_load_unbind(l, 0);
}

/* SPDX-License-Identifier: Apache-2.0
 *
 * save_graph.c -- graphs and functions as messages
 *
 * Lists keep the order of the user's file for what is still there; what is new comes behind it, in the IR's order.
 */
#include "save.h"

enum mark {
	LISTED = 1,	 /* in its graph's inputs or constants */
	INFO_DONE = 2,	 /* its type is written */
	TENSOR_DONE = 4, /* its data is written */
};

static bool marked(const qdq_save *s, const qdq_value *v, enum mark mark)
{
	return (s->marks[v->id] & mark) != 0;
}

static void mark(qdq_save *s, const qdq_value *v, enum mark mark)
{
	s->marks[v->id] = (unsigned char)(s->marks[v->id] | mark);
}

static void mark_listed(qdq_save *s, const qdq_graph *g)
{
	for (size_t i = 0; i < g->inputs.count; i++)
		mark(s, g->inputs.items[i], LISTED);
	for (size_t i = 0; i < g->constants.count; i++)
		mark(s, g->constants.items[i], LISTED);
}

/* ---- nodes ---- */

static void save_nodes(qdq_save *s, const qdq_graph *g, Onnx__NodeProto **list)
{
	Onnx__NodeProto *protos = qdq_array(&s->scratch, Onnx__NodeProto, g->n_nodes);

	for (const qdq_node *n = g->first; n != NULL; n = qdq_after(n)) {
		qdq_save_node(s, n, protos);
		*list++ = protos++;
	}
}

/* ---- initializers ---- */

typedef QDQ_VEC(Onnx__TensorProto *) tensors;

static void save_initializer(qdq_save *s, const qdq_value *v, tensors *out)
{
	if (marked(s, v, TENSOR_DONE) || v->tensor == NULL)
		return;
	mark(s, v, TENSOR_DONE);
	*qdq_push(&s->scratch, out) = qdq_save_tensor(s, v->tensor, v->name);
}

static void save_initializers(qdq_save *s, const qdq_graph *g, Onnx__GraphProto *out)
{
	const qdq_onnx_graph *record = g->foreign;
	tensors list = {0};

	for (size_t i = 0; record != NULL && i < record->n_tensors; i++) {
		const qdq_value *v = qdq_value_here(s->m, record->tensors[i]);

		if (v != NULL && marked(s, v, LISTED))
			save_initializer(s, v, &list);
	}
	for (size_t i = 0; i < g->constants.count; i++)
		save_initializer(s, g->constants.items[i], &list);
	for (size_t i = 0; i < g->inputs.count; i++)
		save_initializer(s, g->inputs.items[i], &list);
	out->initializer = list.items;
	out->n_initializer = list.count;
}

/* Only the names can change. */
static void save_sparse(qdq_save *s, const qdq_onnx_graph *record, Onnx__GraphProto *out)
{
	out->sparse_initializer = qdq_array(&s->scratch, Onnx__SparseTensorProto *, record->n_sparse);
	for (size_t i = 0; i < record->n_sparse; i++) {
		Onnx__SparseTensorProto *old = record->proto->sparse_initializer[i];
		Onnx__SparseTensorProto *copy = qdq_new(&s->scratch, Onnx__SparseTensorProto);

		*copy = *old;
		copy->values = qdq_new(&s->scratch, Onnx__TensorProto);
		*copy->values = *old->values;
		copy->values->name = qdq_save_string(old->values->name, record->sparse[i]->name);
		out->sparse_initializer[i] = copy;
	}
}

/* ---- inputs, outputs, value_info ---- */

typedef QDQ_VEC(Onnx__ValueInfoProto *) infos;

/* An entry that was in the file: as it was, if v is what it was. */
static Onnx__ValueInfoProto *info_of(qdq_save *s, const qdq_onnx_info *info, const qdq_value *v)
{
	if (info == NULL)
		return qdq_save_info(s, v, v->foreign);
	if (qdq_value_here(s->m, info->value) == v && info->type == qdq_value_told_type(v) &&
	    (info->shape == qdq_value_told_shape(v) || qdq_shape_equal(info->shape, qdq_value_told_shape(v))) &&
	    strcmp(info->proto->name == NULL ? "" : info->proto->name, v->name) == 0)
		return (Onnx__ValueInfoProto *)(uintptr_t)info->proto;
	return qdq_save_info(s, v, info->proto);
}

/* The values of `list`, each with its entry of the file, looked up by value where the order has changed. */
static void save_list(qdq_save *s, qdq_value *const *list, size_t count, const qdq_onnx_info *old, size_t n_old,
		      infos *out)
{
	qdq_map by_value = {0};

	for (size_t i = 0; i < count; i++) {
		qdq_value *v = list[i];
		const qdq_onnx_info *info = i < n_old && qdq_value_here(s->m, old[i].value) == v ? &old[i] : NULL;

		if (info == NULL && n_old != 0) {
			if (by_value.arena == NULL) {
				qdq_map_init(&by_value, &s->scratch);
				for (size_t j = n_old; j-- > 0;)
					if (qdq_value_here(s->m, old[j].value) != NULL)
						qdq_map_set(&by_value, qdq_value_here(s->m, old[j].value),
							    qdq_unconst(&old[j]));
			}
			info = qdq_map_get(&by_value, v);
		}
		mark(s, v, INFO_DONE);
		*qdq_push(&s->scratch, out) = info_of(s, info, v);
	}
}

/* Up to IR version 3 initializers are inputs too. */
static void save_old_inputs(qdq_save *s, const qdq_graph *g, const qdq_onnx_graph *record, infos *out)
{
	for (size_t i = 0; record != NULL && i < record->n_inputs; i++) {
		const qdq_onnx_info *info = &record->inputs[i];
		const qdq_value *v = qdq_value_here(s->m, info->value);

		if (v == NULL || !marked(s, v, LISTED) || marked(s, v, INFO_DONE))
			continue;
		mark(s, v, INFO_DONE);
		*qdq_push(&s->scratch, out) = info_of(s, info, v);
	}
	for (size_t i = 0; i < g->inputs.count + g->constants.count; i++) {
		const qdq_value *v = i < g->inputs.count ? g->inputs.items[i] : g->constants.items[i - g->inputs.count];

		if (marked(s, v, INFO_DONE))
			continue;
		mark(s, v, INFO_DONE);
		*qdq_push(&s->scratch, out) = info_of(s, NULL, v);
	}
}

static bool lives_in(const qdq_save *s, const qdq_value *v, const qdq_graph *g)
{
	return v->graph == g && (v->def != NULL ? v->def->graph == g : marked(s, v, LISTED));
}

static void save_declared(qdq_save *s, const qdq_value *v, infos *out)
{
	if (v == NULL || !v->declared || marked(s, v, INFO_DONE))
		return;
	mark(s, v, INFO_DONE);
	*qdq_push(&s->scratch, out) = info_of(s, NULL, v);
}

static void save_value_info(qdq_save *s, const qdq_graph *g, infos *out)
{
	const qdq_onnx_graph *record = g->foreign;

	for (size_t i = 0; record != NULL && i < record->n_infos; i++) {
		const qdq_onnx_info *info = &record->infos[i];
		const qdq_value *v = qdq_value_here(s->m, info->value);

		if (info->value == NULL) {
			*qdq_push(&s->scratch, out) = (Onnx__ValueInfoProto *)(uintptr_t)info->proto;
		} else if (v != NULL && lives_in(s, v, g)) {
			mark(s, v, INFO_DONE);
			*qdq_push(&s->scratch, out) = info_of(s, info, v);
		}
	}
	for (const qdq_node *n = g->first; n != NULL; n = qdq_after(n))
		for (uint32_t i = 0; i < n->n_outputs; i++)
			save_declared(s, n->outputs[i], out);
}

/* ---- graphs ---- */

Onnx__GraphProto *qdq_save_graph(qdq_save *s, qdq_graph *g, bool nodes)
{
	const qdq_onnx_graph *record = g->foreign;
	Onnx__GraphProto *out = qdq_new(&s->scratch, Onnx__GraphProto);
	infos inputs = {0}, outputs = {0}, values = {0};

	onnx__graph_proto__init(out);
	if (record != NULL && record->proto != NULL)
		*out = *record->proto;
	mark_listed(s, g);
	out->name = qdq_save_string(out->name, g->name);
	out->n_node = nodes ? g->n_nodes : 0;
	out->node = qdq_array(&s->scratch, Onnx__NodeProto *, out->n_node);
	if (nodes)
		save_nodes(s, g, out->node);
	save_initializers(s, g, out);
	if (record != NULL && record->n_sparse != 0)
		save_sparse(s, record, out);
	if (s->m->ir_version <= 3)
		save_old_inputs(s, g, record, &inputs);
	else
		save_list(s, g->inputs.items, g->inputs.count, record == NULL ? NULL : record->inputs,
			  record == NULL ? 0 : record->n_inputs, &inputs);
	save_list(s, g->outputs.items, g->outputs.count, record == NULL ? NULL : record->outputs,
		  record == NULL ? 0 : record->n_outputs, &outputs);
	save_value_info(s, g, &values);
	out->input = inputs.items;
	out->n_input = inputs.count;
	out->output = outputs.items;
	out->n_output = outputs.count;
	out->value_info = values.items;
	out->n_value_info = values.count;
	return out;
}

/* ---- functions ---- */

static char **save_names(qdq_save *s, qdq_value *const *values, size_t count)
{
	char **names = qdq_array(&s->scratch, char *, count);

	for (size_t i = 0; i < count; i++)
		names[i] = qdq_unconst(values[i]->name);
	return names;
}

/* A function has no initializers: its constants are Constant nodes. */
static Onnx__NodeProto *save_constant(qdq_save *s, const qdq_value *v)
{
	Onnx__NodeProto *out = qdq_new(&s->scratch, Onnx__NodeProto);
	qdq_attr value = {.name = "value", .type = QDQ_ATTR_TENSOR, .ref = "", .u.t = v->tensor};

	onnx__node_proto__init(out);
	out->op_type = qdq_unconst("Constant");
	out->output = qdq_new(&s->scratch, char *);
	out->output[0] = qdq_unconst(v->name);
	out->n_output = 1;
	out->attribute = qdq_new(&s->scratch, Onnx__AttributeProto *);
	out->attribute[0] = qdq_save_attr(s, &value);
	out->n_attribute = 1;
	return out;
}

static void save_attrs(qdq_save *s, const qdq_function *f, Onnx__FunctionProto *out)
{
	out->n_attribute = f->attrs.count;
	out->attribute = qdq_array(&s->scratch, char *, f->attrs.count);
	for (size_t i = 0; i < f->attrs.count; i++)
		out->attribute[i] = qdq_unconst(f->attrs.items[i]);
	out->n_attribute_proto = f->defaults.count;
	out->attribute_proto = qdq_array(&s->scratch, Onnx__AttributeProto *, f->defaults.count);
	for (size_t i = 0; i < f->defaults.count; i++)
		out->attribute_proto[i] = qdq_save_attr(s, &f->defaults.items[i]);
}

static void save_body(qdq_save *s, const qdq_graph *g, Onnx__FunctionProto *out)
{
	const qdq_onnx_graph *record = g->foreign;
	infos values = {0};

	mark_listed(s, g);
	out->n_input = g->inputs.count;
	out->input = save_names(s, g->inputs.items, g->inputs.count);
	out->n_output = g->outputs.count;
	out->output = save_names(s, g->outputs.items, g->outputs.count);
	out->n_node = g->constants.count + g->n_nodes;
	out->node = qdq_array(&s->scratch, Onnx__NodeProto *, out->n_node);
	for (size_t i = 0; i < g->constants.count; i++)
		out->node[i] = save_constant(s, g->constants.items[i]);
	save_nodes(s, g, out->node + g->constants.count);
	if (s->m->ir_version >= 10 || (record != NULL && record->n_infos != 0)) {
		save_value_info(s, g, &values);
		for (size_t i = 0; i < g->inputs.count; i++)
			save_declared(s, g->inputs.items[i], &values);
	}
	out->value_info = values.items;
	out->n_value_info = values.count;
}

Onnx__OperatorSetIdProto **qdq_save_opsets(qdq_save *s, const qdq_opset *opsets, size_t count, size_t old_count,
					   Onnx__OperatorSetIdProto **old)
{
	Onnx__OperatorSetIdProto **out = qdq_array(&s->scratch, Onnx__OperatorSetIdProto *, count);

	for (size_t i = 0; i < count; i++) {
		const char *domain = opsets[i].domain, *was = i >= old_count ? NULL : old[i]->domain;
		bool same = i < old_count && (strcmp(was == NULL ? "" : was, domain) == 0 ||
					      (*domain == '\0' && strcmp(was, "ai.onnx") == 0));

		out[i] = qdq_new(&s->scratch, Onnx__OperatorSetIdProto);
		onnx__operator_set_id_proto__init(out[i]);
		if (same)
			*out[i] = *old[i];
		else
			out[i]->domain = qdq_unconst(domain);
		if (!same || out[i]->version != opsets[i].version) {
			out[i]->has_version = true;
			out[i]->version = opsets[i].version;
		}
	}
	return out;
}

Onnx__FunctionProto *qdq_save_function(qdq_save *s, const qdq_function *f)
{
	Onnx__FunctionProto *out = qdq_new(&s->scratch, Onnx__FunctionProto);

	onnx__function_proto__init(out);
	s->tokens = s->tokens || f->foreign != NULL;
	if (f->foreign != NULL)
		*out = *(const Onnx__FunctionProto *)f->foreign;
	else
		out->doc_string = qdq_unconst(f->doc_string);
	out->name = qdq_save_string(out->name, f->name);
	if (*f->domain != '\0' || (out->domain != NULL && strcmp(out->domain, "ai.onnx") != 0))
		out->domain = qdq_save_string(out->domain, f->domain);
	out->overload = qdq_save_string(out->overload, f->overload);
	out->opset_import =
	    qdq_save_opsets(s, f->opsets.items, f->opsets.count, out->n_opset_import, out->opset_import);
	out->n_opset_import = f->opsets.count;
	save_attrs(s, f, out);
	save_body(s, f->body, out);
	return out;
}

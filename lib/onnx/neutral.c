/* SPDX-License-Identifier: Apache-2.0
 *
 * neutral.c -- what the IR says, without protobuf, of types that are not a tensor's and of the file itself
 *
 * The writer of ONNX files needs it only for models that came from a text; the writer of text for all.
 */
#include "load.h"
#include "save.h"

/* ---- messages into trees ---- */

static qdq_type element(int32_t type)
{
	return qdq_type_get((qdq_type)type) != qdq_type_get(QDQ_TYPE_NONE) ? (qdq_type)type : QDQ_TYPE_NONE;
}

const qdq_type_tree *qdq_load_tree(qdq_load *l, const Onnx__TypeProto *p, const char *label)
{
	qdq_type_tree *t;

	if (p == NULL || p->value_case == ONNX__TYPE_PROTO__VALUE__NOT_SET)
		return NULL;
	t = qdq_new(&l->m->arena, qdq_type_tree);
	t->domain = t->name = qdq_intern(&l->m->names, "");
	switch (p->value_case) {
	case ONNX__TYPE_PROTO__VALUE_TENSOR_TYPE:
		t->kind = QDQ_KIND_TENSOR;
		t->type = element(p->tensor_type->elem_type);
		t->shape = p->tensor_type->shape == NULL ? NULL : qdq_load_shape(l, p->tensor_type->shape, label);
		break;
	case ONNX__TYPE_PROTO__VALUE_SPARSE_TENSOR_TYPE:
		t->kind = QDQ_KIND_SPARSE;
		t->type = element(p->sparse_tensor_type->elem_type);
		t->shape = p->sparse_tensor_type->shape == NULL
			       ? NULL
			       : qdq_load_shape(l, p->sparse_tensor_type->shape, label);
		break;
	case ONNX__TYPE_PROTO__VALUE_SEQUENCE_TYPE:
		t->kind = QDQ_KIND_SEQUENCE;
		t->inner = qdq_load_tree(l, p->sequence_type->elem_type, label);
		break;
	case ONNX__TYPE_PROTO__VALUE_OPTIONAL_TYPE:
		t->kind = QDQ_KIND_OPTIONAL;
		t->inner = qdq_load_tree(l, p->optional_type->elem_type, label);
		break;
	case ONNX__TYPE_PROTO__VALUE_MAP_TYPE:
		t->kind = QDQ_KIND_MAP;
		t->type = element(p->map_type->key_type);
		t->inner = qdq_load_tree(l, p->map_type->value_type, label);
		break;
	default:
		t->kind = QDQ_KIND_OPAQUE;
		t->domain = qdq_intern(&l->m->names, p->opaque_type->domain);
		t->name = qdq_intern(&l->m->names, p->opaque_type->name);
	}
	return t;
}

void qdq_load_type_attr(qdq_load *l, qdq_attr *out, const Onnx__AttributeProto *p)
{
	const qdq_type_tree **trees;

	if (out->type == QDQ_ATTR_TYPE_PROTO)
		out->u.tp = qdq_load_tree(l, p->tp, out->name);
	if (out->type != QDQ_ATTR_TYPE_PROTOS)
		return;
	trees = qdq_array(&l->m->arena, const qdq_type_tree *, p->n_type_protos);
	for (size_t i = 0; i < p->n_type_protos; i++)
		trees[i] = qdq_load_tree(l, p->type_protos[i], out->name);
	out->u.tps = trees;
	out->count = p->n_type_protos;
}

/* ---- trees into messages ---- */

Onnx__TypeProto *qdq_save_tree(qdq_save *s, const qdq_type_tree *t)
{
	Onnx__TypeProto *out;

	if (t == NULL)
		return NULL;
	out = qdq_new(&s->scratch, Onnx__TypeProto);
	onnx__type_proto__init(out);
	switch (t->kind) {
	case QDQ_KIND_TENSOR:
		out->value_case = ONNX__TYPE_PROTO__VALUE_TENSOR_TYPE;
		out->tensor_type = qdq_new(&s->scratch, Onnx__TypeProto__Tensor);
		onnx__type_proto__tensor__init(out->tensor_type);
		out->tensor_type->has_elem_type = true;
		out->tensor_type->elem_type = (int32_t)t->type;
		out->tensor_type->shape = t->shape == NULL ? NULL : qdq_save_shape(s, t->shape, NULL);
		break;
	case QDQ_KIND_SPARSE:
		out->value_case = ONNX__TYPE_PROTO__VALUE_SPARSE_TENSOR_TYPE;
		out->sparse_tensor_type = qdq_new(&s->scratch, Onnx__TypeProto__SparseTensor);
		onnx__type_proto__sparse_tensor__init(out->sparse_tensor_type);
		out->sparse_tensor_type->has_elem_type = true;
		out->sparse_tensor_type->elem_type = (int32_t)t->type;
		out->sparse_tensor_type->shape = t->shape == NULL ? NULL : qdq_save_shape(s, t->shape, NULL);
		break;
	case QDQ_KIND_SEQUENCE:
		out->value_case = ONNX__TYPE_PROTO__VALUE_SEQUENCE_TYPE;
		out->sequence_type = qdq_new(&s->scratch, Onnx__TypeProto__Sequence);
		onnx__type_proto__sequence__init(out->sequence_type);
		out->sequence_type->elem_type = qdq_save_tree(s, t->inner);
		break;
	case QDQ_KIND_OPTIONAL:
		out->value_case = ONNX__TYPE_PROTO__VALUE_OPTIONAL_TYPE;
		out->optional_type = qdq_new(&s->scratch, Onnx__TypeProto__Optional);
		onnx__type_proto__optional__init(out->optional_type);
		out->optional_type->elem_type = qdq_save_tree(s, t->inner);
		break;
	case QDQ_KIND_MAP:
		out->value_case = ONNX__TYPE_PROTO__VALUE_MAP_TYPE;
		out->map_type = qdq_new(&s->scratch, Onnx__TypeProto__Map);
		onnx__type_proto__map__init(out->map_type);
		out->map_type->has_key_type = true;
		out->map_type->key_type = (int32_t)t->type;
		out->map_type->value_type = qdq_save_tree(s, t->inner);
		break;
	case QDQ_KIND_OPAQUE:
		out->value_case = ONNX__TYPE_PROTO__VALUE_OPAQUE_TYPE;
		out->opaque_type = qdq_new(&s->scratch, Onnx__TypeProto__Opaque);
		onnx__type_proto__opaque__init(out->opaque_type);
		out->opaque_type->domain = *t->domain == '\0' ? NULL : qdq_unconst(t->domain);
		out->opaque_type->name = qdq_unconst(t->name);
	}
	return out;
}

void qdq_save_type_attr(qdq_save *s, const qdq_attr *a, Onnx__AttributeProto *out)
{
	if (a->type == QDQ_ATTR_TYPE_PROTO && out->tp == NULL)
		out->tp = qdq_save_tree(s, a->u.tp);
	if (a->type != QDQ_ATTR_TYPE_PROTOS || out->n_type_protos != 0)
		return;
	out->type_protos = qdq_array(&s->scratch, Onnx__TypeProto *, a->count);
	out->n_type_protos = a->count;
	for (size_t i = 0; i < a->count; i++)
		out->type_protos[i] = qdq_save_tree(s, a->u.tps[i]);
}

/* ---- the file about itself ---- */

void qdq_load_about(qdq_load *l, const Onnx__ModelProto *p)
{
	qdq_arena *a = &l->m->arena;
	qdq_about *about = qdq_new(a, qdq_about);
	const char *beyond = "";

	about->producer_name = p->producer_name;
	about->producer_version = p->producer_version;
	about->domain = p->domain;
	about->doc_string = p->doc_string;
	about->model_version = p->has_model_version ? &p->model_version : NULL;
	about->n_metadata = p->n_metadata_props;
	if (p->n_metadata_props != 0)
		about->metadata = qdq_alloc_array(a, p->n_metadata_props, sizeof *about->metadata);
	for (size_t i = 0; i < p->n_metadata_props; i++) {
		about->metadata[i][0] = p->metadata_props[i]->key;
		about->metadata[i][1] = p->metadata_props[i]->value;
	}
	if (p->n_training_info != 0)
		beyond = "training information";
	if (p->n_configuration != 0)
		beyond = qdq_format(a, "%s%s%s", beyond, *beyond == '\0' ? "" : ", ", "device configurations");
	if (p->graph->n_quantization_annotation != 0)
		beyond = qdq_format(a, "%s%s%s", beyond, *beyond == '\0' ? "" : ", ", "quantization annotations");
	if (p->graph->n_metadata_props != 0)
		beyond = qdq_format(a, "%s%s%s", beyond, *beyond == '\0' ? "" : ", ", "metadata of graphs");
	about->beyond = beyond;
	l->m->about = about;
}

/* Of a model that did not come from an ONNX file. */
void qdq_save_about(const qdq_about *about, Onnx__ModelProto *out)
{
	if (about == NULL)
		return;
	out->producer_name = qdq_unconst(about->producer_name);
	out->producer_version = qdq_unconst(about->producer_version);
	out->domain = qdq_unconst(about->domain);
	out->doc_string = qdq_unconst(about->doc_string);
	out->has_model_version = about->model_version != NULL;
	if (about->model_version != NULL)
		out->model_version = *about->model_version;
}

void qdq_save_metadata(qdq_save *s, const qdq_about *about, Onnx__ModelProto *out)
{
	Onnx__StringStringEntryProto *entries;

	if (about == NULL || about->n_metadata == 0)
		return;
	entries = qdq_array(&s->scratch, Onnx__StringStringEntryProto, about->n_metadata);
	out->metadata_props = qdq_array(&s->scratch, Onnx__StringStringEntryProto *, about->n_metadata);
	out->n_metadata_props = about->n_metadata;
	for (size_t i = 0; i < about->n_metadata; i++) {
		onnx__string_string_entry_proto__init(&entries[i]);
		entries[i].key = qdq_unconst(about->metadata[i][0]);
		entries[i].value = qdq_unconst(about->metadata[i][1]);
		out->metadata_props[i] = &entries[i];
	}
}

/* SPDX-License-Identifier: Apache-2.0
 *
 * save_node.c -- nodes, attributes and tensors as messages
 */
#include "save.h"

#include <inttypes.h>

char *qdq_save_string(const char *old, const char *now)
{
	return qdq_unconst(strcmp(old == NULL ? "" : old, now) == 0 ? old : now);
}

static bool same_string(const char *old, const char *now)
{
	return strcmp(old == NULL ? "" : old, now) == 0;
}

/* ---- tensors ---- */

#define LEAST_EXTERNAL 1024 /* bytes; smaller tensors stay in the model */

static bool goes_out(const qdq_save *s, const qdq_tensor *t)
{
	return s->location != NULL && t->size >= LEAST_EXTERNAL && t->type != QDQ_TYPE_STRING;
}

/* The record of the message that t was loaded from, unless t is a changed copy. */
static const qdq_onnx_tensor *record_of(const qdq_tensor *t)
{
	const qdq_onnx_tensor *record = t->foreign;

	return record != NULL && record->owner == t ? record : NULL;
}

static bool tensor_unchanged(const qdq_save *s, const qdq_tensor *t, const Onnx__TensorProto *proto)
{
	const qdq_onnx_tensor *record = record_of(t);

	return record != NULL && record->proto == proto && !t->external && !goes_out(s, t);
}

static void set_entry(qdq_save *s, Onnx__TensorProto *out, const char *key, const char *value)
{
	Onnx__StringStringEntryProto *entry = qdq_new(&s->scratch, Onnx__StringStringEntryProto);

	onnx__string_string_entry_proto__init(entry);
	entry->key = qdq_unconst(key);
	entry->value = qdq_unconst(value);
	out->external_data[out->n_external_data++] = entry;
}

/* Pages for what may be mapped on its own, cache lines for the rest. */
static uint64_t aligned(uint64_t offset, uint64_t size)
{
	uint64_t to = size >= (UINT64_C(1) << 20) ? 4096 : 64;

	return (offset + to - 1) / to * to;
}

static void put_outside(qdq_save *s, const qdq_tensor *t, Onnx__TensorProto *out)
{
	uint64_t offset = aligned(s->parts_end, t->size);

	*qdq_push(&s->keep, &s->parts) = (qdq_external_part){t, offset};
	s->parts_end = offset + t->size;
	out->has_raw_data = false;
	out->has_data_location = true;
	out->data_location = 1;
	out->external_data = qdq_array(&s->scratch, Onnx__StringStringEntryProto *, 3);
	out->n_external_data = 0;
	set_entry(s, out, "location", s->location);
	set_entry(s, out, "offset", qdq_format(&s->scratch, "%" PRIu64, offset));
	set_entry(s, out, "length", qdq_format(&s->scratch, "%" PRIu64, t->size));
}

static void put_inside(qdq_save *s, const qdq_tensor *t, Onnx__TensorProto *out)
{
	qdq_payload *payload = qdq_new(&s->keep, qdq_payload);
	qdq_payload **token = qdq_new(&s->scratch, qdq_payload *);

	*payload = (qdq_payload){t->data, (size_t)t->size, t->source, false};
	*token = payload;
	out->has_raw_data = true;
	out->raw_data = (ProtobufCBinaryData){QDQ_TOKEN_SIZE, (uint8_t *)token};
	out->has_data_location = false;
	out->external_data = NULL;
	out->n_external_data = 0;
}

static void put_strings(qdq_save *s, const qdq_tensor *t, Onnx__TensorProto *out)
{
	out->n_string_data = (size_t)t->count;
	out->string_data = qdq_array(&s->scratch, ProtobufCBinaryData, (size_t)t->count);
	for (size_t i = 0; i < out->n_string_data; i++)
		out->string_data[i] =
		    (ProtobufCBinaryData){t->strings[i].size, (uint8_t *)qdq_unconst(t->strings[i].data)};
}

Onnx__TensorProto *qdq_save_tensor(qdq_save *s, const qdq_tensor *t, const char *name)
{
	const qdq_onnx_tensor *record = record_of(t);
	Onnx__TensorProto *out = qdq_new(&s->scratch, Onnx__TensorProto);

	onnx__tensor_proto__init(out);
	if (record != NULL) {
		*out = *record->proto;
	} else {
		out->n_dims = (size_t)t->rank;
		out->dims = (int64_t *)(uintptr_t)t->dims;
		out->has_data_type = true;
		out->data_type = (int32_t)t->type;
	}
	if (name != NULL)
		out->name = qdq_save_string(out->name, name);
	if (goes_out(s, t))
		put_outside(s, t, out);
	else if (t->type == QDQ_TYPE_STRING && record == NULL)
		put_strings(s, t, out);
	else if (t->type != QDQ_TYPE_STRING && t->size != 0 && (record == NULL || t->external))
		put_inside(s, t, out);
	return out;
}

/* ---- attributes ---- */

static bool same_bytes(const ProtobufCBinaryData *old, const qdq_bytes *now)
{
	return old->len == now->size && (old->len == 0 || memcmp(old->data, now->data, old->len) == 0);
}

static bool same_array(const void *old, size_t old_count, const void *now, size_t count, size_t size)
{
	return old_count == count && (count == 0 || old == now || memcmp(old, now, count * size) == 0);
}

static bool type_kept(const qdq_attr *a, const Onnx__AttributeProto *p)
{
	return p->type == (int32_t)a->type || !p->has_type || p->type == QDQ_ATTR_NONE;
}

/* Does the message still say what the attribute says? Never so for graphs. */
static bool attr_unchanged(const qdq_save *s, const qdq_attr *a, const Onnx__AttributeProto *p)
{
	if (!type_kept(a, p) || !same_string(p->name, a->name) || !same_string(p->ref_attr_name, a->ref))
		return false;
	if (*a->ref != '\0')
		return true;
	switch (a->type) {
	case QDQ_ATTR_FLOAT:
		return memcmp(&p->f, &a->u.f, sizeof p->f) == 0;
	case QDQ_ATTR_INT:
		return p->i == a->u.i;
	case QDQ_ATTR_STRING:
		return same_bytes(&p->s, &a->u.s);
	case QDQ_ATTR_FLOATS:
		return same_array(p->floats, p->n_floats, a->u.floats, a->count, sizeof(float));
	case QDQ_ATTR_INTS:
		return same_array(p->ints, p->n_ints, a->u.ints, a->count, sizeof(int64_t));
	case QDQ_ATTR_STRINGS:
		for (size_t i = 0; i < a->count; i++)
			if (a->count != p->n_strings || !same_bytes(&p->strings[i], &a->u.strings[i]))
				return false;
		return a->count == p->n_strings;
	case QDQ_ATTR_TENSOR:
		return tensor_unchanged(s, a->u.t, p->t);
	case QDQ_ATTR_TENSORS:
		for (size_t i = 0; i < a->count; i++)
			if (a->count != p->n_tensors || !tensor_unchanged(s, a->u.tensors[i], p->tensors[i]))
				return false;
		return a->count == p->n_tensors;
	case QDQ_ATTR_GRAPH:
	case QDQ_ATTR_GRAPHS:
		return false;
	default:
		return true;
	}
}

static ProtobufCBinaryData binary(const qdq_bytes *b)
{
	return (ProtobufCBinaryData){b->size, (uint8_t *)qdq_unconst(b->data)};
}

static void put_plural(qdq_save *s, const qdq_attr *a, Onnx__AttributeProto *out)
{
	switch (a->type) {
	case QDQ_ATTR_FLOATS:
		out->floats = (float *)(uintptr_t)a->u.floats;
		out->n_floats = a->count;
		break;
	case QDQ_ATTR_INTS:
		out->ints = (int64_t *)(uintptr_t)a->u.ints;
		out->n_ints = a->count;
		break;
	case QDQ_ATTR_STRINGS:
		out->strings = qdq_array(&s->scratch, ProtobufCBinaryData, a->count);
		out->n_strings = a->count;
		for (size_t i = 0; i < a->count; i++)
			out->strings[i] = binary(&a->u.strings[i]);
		break;
	case QDQ_ATTR_TENSORS:
		out->tensors = qdq_array(&s->scratch, Onnx__TensorProto *, a->count);
		out->n_tensors = a->count;
		for (size_t i = 0; i < a->count; i++)
			out->tensors[i] = qdq_save_tensor(s, a->u.tensors[i], NULL);
		break;
	case QDQ_ATTR_GRAPHS:
		out->graphs = qdq_array(&s->scratch, Onnx__GraphProto *, a->count);
		out->n_graphs = a->count;
		for (size_t i = 0; i < a->count; i++)
			out->graphs[i] = qdq_save_graph(s, a->u.graphs[i], true);
		break;
	default: /* the old message has it, if there is one */
		qdq_save_type_attr(s, a, out);
	}
}

static void put_value(qdq_save *s, const qdq_attr *a, Onnx__AttributeProto *out)
{
	switch (a->type) {
	case QDQ_ATTR_FLOAT:
		out->has_f = true;
		out->f = a->u.f;
		break;
	case QDQ_ATTR_INT:
		out->has_i = true;
		out->i = a->u.i;
		break;
	case QDQ_ATTR_STRING:
		out->has_s = true;
		out->s = binary(&a->u.s);
		break;
	case QDQ_ATTR_TENSOR:
		out->t = qdq_save_tensor(s, a->u.t, NULL);
		break;
	case QDQ_ATTR_GRAPH:
		out->g = qdq_save_graph(s, a->u.g, true);
		break;
	default:
		put_plural(s, a, out);
	}
}

Onnx__AttributeProto *qdq_save_attr(qdq_save *s, const qdq_attr *a)
{
	const Onnx__AttributeProto *old = a->foreign;
	Onnx__AttributeProto *out;

	s->tokens = s->tokens || old != NULL || a->type == QDQ_ATTR_TENSOR || a->type == QDQ_ATTR_GRAPH ||
		    a->type >= QDQ_ATTR_TENSORS;
	if (old != NULL && attr_unchanged(s, a, old))
		return (Onnx__AttributeProto *)(uintptr_t)old;
	out = qdq_new(&s->scratch, Onnx__AttributeProto);
	onnx__attribute_proto__init(out);
	if (old != NULL && type_kept(a, old)) {
		*out = *old;
	} else {
		out->has_type = true;
		out->type = (int32_t)a->type;
	}
	out->name = qdq_save_string(out->name, a->name);
	out->ref_attr_name = *a->ref == '\0' ? NULL : qdq_save_string(out->ref_attr_name, a->ref);
	if (*a->ref == '\0')
		put_value(s, a, out);
	return out;
}

/* ---- nodes ---- */

void qdq_save_node(qdq_save *s, const qdq_node *n, Onnx__NodeProto *out)
{
	const Onnx__NodeProto *old = n->foreign;
	char **names = qdq_array(&s->scratch, char *, (size_t)n->n_inputs + n->n_outputs);

	s->tokens = s->tokens || old != NULL;
	if (old != NULL)
		*out = *old;
	else
		onnx__node_proto__init(out);
	out->input = names;
	out->n_input = n->n_inputs;
	for (uint32_t i = 0; i < n->n_inputs; i++)
		*names++ = qdq_unconst(n->inputs[i].value == NULL ? "" : n->inputs[i].value->name);
	out->output = names;
	out->n_output = n->n_outputs;
	for (uint32_t i = 0; i < n->n_outputs; i++)
		*names++ = qdq_unconst(n->outputs[i] == NULL ? "" : n->outputs[i]->name);
	out->name = qdq_save_string(out->name, n->name);
	out->op_type = qdq_save_string(out->op_type, n->op_type);
	if (*n->domain != '\0' || (out->domain != NULL && strcmp(out->domain, "ai.onnx") != 0))
		out->domain = qdq_save_string(out->domain, n->domain);
	out->overload = qdq_save_string(out->overload, n->overload);
	out->attribute = n->n_attrs == 0 ? NULL : qdq_array(&s->scratch, Onnx__AttributeProto *, n->n_attrs);
	out->n_attribute = n->n_attrs;
	for (uint32_t i = 0; i < n->n_attrs; i++)
		out->attribute[i] = qdq_save_attr(s, &n->attrs[i]);
}

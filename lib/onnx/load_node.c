/* SPDX-License-Identifier: Apache-2.0
 *
 * load_node.c -- nodes and their attributes
 *
 * Nodes are unpacked one by one. Most have nothing but names, numbers and strings: their message is needed only for a
 * moment, and lies in an arena that the next node takes over. A node with a doc string, metadata, tensors, graphs or
 * fields that the IR does not know is unpacked to stay, as the `foreign` part of what is made of it.
 */
#include "load.h"

#include <inttypes.h>

/* ---- attributes ---- */

/* Files of IR version 1 may leave the type out: it is that of the field that is there. */
static int type_of(const Onnx__AttributeProto *p)
{
	if (p->has_type && p->type != QDQ_ATTR_NONE)
		return p->type;
	const struct {
		bool there;
		int type;
	} fields[] = {
	    {p->has_f, QDQ_ATTR_FLOAT},
	    {p->has_i, QDQ_ATTR_INT},
	    {p->has_s, QDQ_ATTR_STRING},
	    {p->t != NULL, QDQ_ATTR_TENSOR},
	    {p->g != NULL, QDQ_ATTR_GRAPH},
	    {p->n_floats != 0, QDQ_ATTR_FLOATS},
	    {p->n_ints != 0, QDQ_ATTR_INTS},
	    {p->n_strings != 0, QDQ_ATTR_STRINGS},
	    {p->n_tensors != 0, QDQ_ATTR_TENSORS},
	    {p->n_graphs != 0, QDQ_ATTR_GRAPHS},
	    {p->sparse_tensor != NULL, QDQ_ATTR_SPARSE_TENSOR},
	    {p->n_sparse_tensors != 0, QDQ_ATTR_SPARSE_TENSORS},
	    {p->tp != NULL, QDQ_ATTR_TYPE_PROTO},
	    {p->n_type_protos != 0, QDQ_ATTR_TYPE_PROTOS},
	};
	for (size_t i = 0; i < QDQ_COUNTOF(fields); i++)
		if (fields[i].there)
			return fields[i].type;
	return QDQ_ATTR_NONE;
}

/* What a message holds, where it stays. */
static const void *keep(qdq_load *l, const void *data, size_t size)
{
	return l->transient && size != 0 ? qdq_copy(&l->m->arena, data, size) : data;
}

static qdq_bytes load_string(qdq_load *l, const ProtobufCBinaryData *b)
{
	return (qdq_bytes){b->len == 0 ? "" : keep(l, b->data, b->len), b->len};
}

static const qdq_bytes *load_strings(qdq_load *l, size_t count, const ProtobufCBinaryData *strings)
{
	qdq_bytes *out = qdq_array(&l->m->arena, qdq_bytes, count);

	for (size_t i = 0; i < count; i++)
		out[i] = load_string(l, &strings[i]);
	return out;
}

static qdq_graph *load_nested(qdq_load *l, qdq_node *n, const Onnx__GraphProto *proto)
{
	qdq_graph *g;

	if (n == NULL)
		qdq_load_fail(l, NULL, "the default of a function's attribute cannot be a graph");
	g = qdq_graph_create(l->m, n, qdq_load_name(l, ""));
	qdq_load_graph(l, g, proto);
	return g;
}

static void load_plural(qdq_load *l, qdq_node *n, qdq_attr *out, const Onnx__AttributeProto *p)
{
	qdq_arena *a = &l->m->arena;

	switch (out->type) {
	case QDQ_ATTR_FLOATS:
		out->u.floats = keep(l, p->floats, p->n_floats * sizeof(float));
		out->count = p->n_floats;
		break;
	case QDQ_ATTR_INTS:
		out->u.ints = keep(l, p->ints, p->n_ints * sizeof(int64_t));
		out->count = p->n_ints;
		break;
	case QDQ_ATTR_STRINGS:
		out->u.strings = load_strings(l, p->n_strings, p->strings);
		out->count = p->n_strings;
		break;
	case QDQ_ATTR_TENSORS: {
		const qdq_tensor **tensors = qdq_array(a, const qdq_tensor *, p->n_tensors);

		for (size_t i = 0; i < p->n_tensors; i++)
			tensors[i] = qdq_load_tensor(l, p->tensors[i], out->name);
		out->u.tensors = tensors;
		out->count = p->n_tensors;
		break;
	}
	case QDQ_ATTR_GRAPHS:
		out->u.graphs = qdq_array(a, qdq_graph *, p->n_graphs);
		for (size_t i = 0; i < p->n_graphs; i++) {
			out->u.graphs[i] = load_nested(l, n, p->graphs[i]);
			out->count = i + 1;
		}
		break;
	default: /* sparse tensors: the IR has only their message */
		qdq_load_type_attr(l, out, p);
	}
}

void qdq_load_attr(qdq_load *l, qdq_node *n, qdq_attr *out, const Onnx__AttributeProto *p)
{
	int type = type_of(p);

	*out = (qdq_attr){.name = qdq_load_name(l, p->name),
			  .ref = qdq_load_name(l, p->ref_attr_name),
			  .foreign = l->transient ? NULL : p};
	if (*out->name == '\0')
		qdq_load_fail(l, NULL, "an attribute has no name");
	if (type < QDQ_ATTR_NONE || type > QDQ_ATTR_TYPE_PROTOS)
		qdq_load_fail(l, NULL, "attribute '%s' has unknown type %d", out->name, type);
	out->type = (qdq_attr_type)type;
	/* Graphs are taken apart; one that is not taken over would be lost. */
	if ((p->g != NULL && (type != QDQ_ATTR_GRAPH || *out->ref != '\0')) ||
	    (p->n_graphs != 0 && (type != QDQ_ATTR_GRAPHS || *out->ref != '\0')))
		qdq_load_fail(l, NULL, "attribute '%s' holds a graph, but its type says otherwise", out->name);
	if (*out->ref != '\0')
		return;
	switch (out->type) {
	case QDQ_ATTR_FLOAT:
		out->u.f = p->f;
		break;
	case QDQ_ATTR_INT:
		out->u.i = p->i;
		break;
	case QDQ_ATTR_STRING:
		out->u.s = load_string(l, &p->s);
		break;
	case QDQ_ATTR_TENSOR:
		if (p->t == NULL)
			qdq_load_fail(l, NULL, "attribute '%s' is of type TENSOR but holds none", out->name);
		out->u.t = qdq_load_tensor(l, p->t, out->name);
		break;
	case QDQ_ATTR_GRAPH:
		if (p->g == NULL)
			qdq_load_fail(l, NULL, "attribute '%s' is of type GRAPH but holds none", out->name);
		out->u.g = load_nested(l, n, p->g);
		break;
	default:
		load_plural(l, n, out, p);
	}
}

static void check_twice(qdq_load *l, const qdq_node *n)
{
	qdq_map seen;

	if (n->n_attrs <= 16) {
		for (uint32_t i = 1; i < n->n_attrs; i++)
			for (uint32_t j = 0; j < i; j++)
				if (n->attrs[i].name == n->attrs[j].name)
					qdq_load_fail(l, NULL, "attribute '%s' is given twice", n->attrs[i].name);
		return;
	}
	qdq_map_init(&seen, &l->scratch);
	for (uint32_t i = 0; i < n->n_attrs; i++) {
		if (qdq_map_get(&seen, n->attrs[i].name) != NULL)
			qdq_load_fail(l, NULL, "attribute '%s' is given twice", n->attrs[i].name);
		qdq_map_set(&seen, n->attrs[i].name, &n->attrs[i]);
	}
}

/* n->n_attrs counts those that are complete, so that a half-read node can be walked. */
static void load_attrs(qdq_load *l, qdq_node *n, const Onnx__NodeProto *p)
{
	if (p->n_attribute == 0)
		return;
	n->attrs = qdq_array(&l->m->arena, qdq_attr, p->n_attribute);
	for (size_t i = 0; i < p->n_attribute; i++) {
		qdq_load_attr(l, n, &n->attrs[i], p->attribute[i]);
		n->n_attrs++;
	}
	check_twice(l, n);
}

/* ---- nodes ---- */

/* The number of the next node in the rest of f's graph that defines `name`; false where none does. */
static bool defined_later(const qdq_frame *f, const char *name, uint32_t *index)
{
	const uint8_t *at = f->at;
	size_t length = strlen(name);
	qdq_field node, output;

	for (*index = f->index + 1; at != f->end && qdq_wire_field(&at, f->end, &node) == NULL;) {
		if (node.id != f->id)
			continue;
		for (const uint8_t *p = node.data; p != node.data + node.size;)
			if (qdq_wire_field(&p, node.data + node.size, &output) != NULL ||
			    (output.id == 2 && output.size == length && memcmp(output.data, name, length) == 0))
				return true;
		++*index;
	}
	return false;
}

/* A node reads what is not defined: is it defined later, or not at all? */
QDQ_NORETURN static void fail_undefined(qdq_load *l, const char *name)
{
	uint32_t index;

	for (const qdq_frame *f = l->frame; f != NULL; f = f->outer) {
		for (size_t i = 0; f->proto != NULL && i < f->proto->n_output; i++)
			if (strcmp(f->proto->output[i], name) == 0)
				qdq_load_fail(l, name, "'%s' is read by the node that defines it: a cycle", name);
		if (defined_later(f, name, &index))
			qdq_load_fail(l, name,
				      "'%s' is read before a later node, #%" PRIu32
				      ", defines it: the nodes are not sorted, or form a cycle",
				      name, index);
	}
	qdq_load_fail(l, name, "'%s' is read but not defined: no node, input or initializer has that name", name);
}

static void read_inputs(qdq_load *l, const Onnx__NodeProto *p)
{
	for (size_t i = 0; i < p->n_input; i++) {
		qdq_value *v = NULL;

		if (*p->input[i] != '\0') {
			v = qdq_load_lookup(l, p->input[i]);
			if (v == NULL)
				fail_undefined(l, p->input[i]);
		}
		*qdq_push(&l->scratch, &l->values) = v;
	}
}

/* Where the node holds graphs, they must not see its outputs: these are bound behind them. */
static void make_outputs(qdq_load *l, qdq_graph *g, const Onnx__NodeProto *p)
{
	for (size_t i = 0; i < p->n_output; i++) {
		qdq_value *v = NULL;

		if (*p->output[i] != '\0')
			v = l->transient ? qdq_load_define(l, g, p->output[i])
					 : qdq_value_create(g, qdq_load_name(l, p->output[i]));
		*qdq_push(&l->scratch, &l->values) = v;
	}
}

static void bind_outputs(qdq_load *l, const qdq_node *n)
{
	for (uint32_t i = 0; i < n->n_outputs; i++)
		if (n->outputs[i] != NULL)
			qdq_load_bind(l, n->outputs[i]);
}

static void note_call(qdq_load *l, qdq_node *n)
{
	qdq_callee *callee = qdq_load_callee(l, n->domain, n->op_type, n->overload);
	qdq_call *call;

	if (callee == NULL)
		return;
	n->function = callee->function;
	n->op = &qdq_ops[QDQ_OP_NONE]; /* the model's own definition comes before the table's */
	if (l->caller == NULL)
		return;
	call = qdq_new(&l->scratch, qdq_call);
	*call = (qdq_call){callee, l->caller->calls};
	l->caller->calls = call;
	callee->callers++;
}

/* An attribute that the IR holds completely: a type, and the one field that goes with it. */
static bool plain_attr(const Onnx__AttributeProto *p)
{
	const struct {
		bool there;
		int type;
	} fields[] = {
	    {p->has_f, QDQ_ATTR_FLOAT},		 {p->has_i, QDQ_ATTR_INT},	  {p->has_s, QDQ_ATTR_STRING},
	    {p->n_floats != 0, QDQ_ATTR_FLOATS}, {p->n_ints != 0, QDQ_ATTR_INTS}, {p->n_strings != 0, QDQ_ATTR_STRINGS},
	};
	bool is_ref = p->ref_attr_name != NULL;

	if (!p->has_type || (is_ref && *p->ref_attr_name == '\0'))
		return false;
	for (size_t i = 0; i < QDQ_COUNTOF(fields); i++) {
		bool optional = fields[i].type >= QDQ_ATTR_FLOATS;
		bool mine = fields[i].type == p->type && !is_ref;

		if (fields[i].there ? !mine : mine && !optional)
			return false;
	}
	return is_ref || p->type <= QDQ_ATTR_STRING || (p->type >= QDQ_ATTR_FLOATS && p->type <= QDQ_ATTR_STRINGS);
}

static bool plain_node(const Onnx__NodeProto *p)
{
	for (size_t i = 0; i < p->n_attribute; i++)
		if (!plain_attr(p->attribute[i]))
			return false;
	return true;
}

/* What the writer must know of a node whose message does not stay: whether an empty name, and the empty domain, were
 * written or left out. There are six answers, made once each; the usual one is NULL. */
static const Onnx__NodeProto *remainder_of(qdq_load *l, const Onnx__NodeProto *p)
{
	bool name = p->name != NULL && *p->name == '\0';
	unsigned domain = p->domain == NULL ? 0 : *p->domain == '\0' ? 1 : strcmp(p->domain, "ai.onnx") == 0 ? 2 : 0;
	unsigned index = (name ? 3 : 0) + domain;
	Onnx__NodeProto *made;

	if (index == 0 || l->remainders[index] != NULL)
		return l->remainders[index];
	made = qdq_new(&l->m->arena, Onnx__NodeProto);
	onnx__node_proto__init(made);
	if (name)
		made->name = qdq_copy(&l->m->arena, "", 0);
	if (domain != 0)
		made->domain = qdq_copy(&l->m->arena, p->domain, strlen(p->domain));
	l->remainders[index] = made;
	return made;
}

/* w: set up for a node; its data is what f has. */
static const Onnx__NodeProto *read_node(qdq_load *l, qdq_wire *w, const qdq_field *f)
{
	const Onnx__NodeProto *p = NULL;

	qdq_arena_reset(&l->node_scratch);
	w->data = (const char *)f->data;
	w->size = w->total = f->size;
	l->transient = true;
	if (l->rich) { /* else the check of the whole file saw nothing to take out of any node */
		qdq_wire_scan(w);
		l->transient = !w->rich;
	}
	if (l->transient) {
		p = (const Onnx__NodeProto *)qdq_load_unpack(l, w, &l->node_scratch, &l->node_scratch);
		l->transient = plain_node(p);
	}
	if (!l->transient)
		p = (const Onnx__NodeProto *)qdq_load_unpack(l, w, &l->node_scratch, &l->m->arena);
	return p;
}

static void load_node(qdq_load *l, qdq_graph *g, const Onnx__NodeProto *p, qdq_origin *origin, uint32_t index)
{
	qdq_model *m = l->m;
	bool transient = l->transient;
	qdq_node *n;

	if (p->op_type == NULL || *p->op_type == '\0')
		qdq_load_fail(l, NULL, "a node has no operator");
	if (p->n_input > UINT32_MAX || p->n_output > UINT32_MAX || p->n_attribute > UINT32_MAX)
		qdq_load_fail(l, NULL, "a node has too many inputs, outputs or attributes");
	qdq_prefetch_name(&m->names, p->name); /* new names miss the cache; meanwhile the inputs are looked up */
	if (p->n_output != 0)
		qdq_prefetch_name(&m->names, p->output[0]);
	l->values.count = 0;
	read_inputs(l, p);
	make_outputs(l, g, p);
	n = qdq_node_create(g, NULL, qdq_load_domain(l, p->domain), p->op_type, qdq_load_name(l, p->name),
			    (uint32_t)p->n_input, l->values.items, (uint32_t)p->n_output, l->values.items + p->n_input);
	n->foreign = l->transient ? remainder_of(l, p) : p;
	if (p->overload != NULL)
		n->overload = qdq_load_name(l, p->overload);
	*origin = (qdq_origin){.index = index, .name = n->name, .op_type = n->op_type};
	n->origin = origin;
	m->origins.items[index] = origin;
	note_call(l, n);
	if (m->opset == 0 && *n->domain == '\0' && n->function == NULL && l->caller == NULL)
		qdq_load_fail(l, NULL, "the model imports no opset of ai.onnx, which this operator is of");
	load_attrs(l, n, p);
	if (!transient)
		bind_outputs(l, n);
}

void qdq_load_nodes(qdq_load *l, qdq_graph *g, size_t count, Onnx__NodeProto *const *protos)
{
	qdq_frame frame = {.outer = l->frame, .index = l->next_origin};
	qdq_wire w = {.ctx = l->ctx,
		      .path = l->path,
		      .mode = QDQ_WIRE_STRIP,
		      .message = &onnx__node_proto__descriptor,
		      .source = l->source,
		      .scratch = &l->node_scratch,
		      .keep = &l->m->arena};
	const qdq_nodes *nodes;
	qdq_origin *origins;
	qdq_field f;

	if (count == 0)
		return;
	memcpy(&nodes, protos[0]->base.unknown_fields[0].data + 1, sizeof nodes); /* behind its length */
	origins = qdq_array(&l->m->arena, qdq_origin, nodes->count);
	l->next_origin += (uint32_t)nodes->count;
	l->frame = &frame;
	frame.at = nodes->begin;
	frame.end = nodes->end;
	frame.id = nodes->id;
	while (frame.at != frame.end && qdq_wire_field(&frame.at, frame.end, &f) == NULL) {
		if (f.id != frame.id)
			continue;
		frame.proto = NULL;
		frame.proto = read_node(l, &w, &f);
		load_node(l, g, frame.proto, origins++, frame.index);
		frame.index++;
	}
	l->transient = false;
	l->frame = frame.outer;
}

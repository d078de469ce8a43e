/* SPDX-License-Identifier: Apache-2.0
 *
 * save_model.c -- from a model to the fragments of a file
 *
 * protobuf-c packs messages with tokens for payloads; the scan of wire.h finds the tokens and says how the messages
 * around them grow. The main graph's nodes are made and packed one at a time, so that a million of them are never
 * there as messages together. Fields come in the order of their numbers, as protobuf itself would write them.
 */
#include "save.h"

#define FIRST_CHUNK ((size_t)32 << 10)
#define LAST_CHUNK ((size_t)1 << 20)
#define TAG_GRAPH (7u << 3 | QDQ_WIRE_BYTES)	 /* of ModelProto */
#define TAG_NODE (1u << 3 | QDQ_WIRE_BYTES)	 /* of GraphProto */
#define TAG_FUNCTION (25u << 3 | QDQ_WIRE_BYTES) /* of ModelProto */

/* ---- fragments ---- */

/* A fragment without tokens needs no scan: nothing is put into it. */
static void add_fragment(qdq_save *s, const ProtobufCMessageDescriptor *message, const char *data, size_t size,
			 bool tokens)
{
	qdq_wire w = {.ctx = s->ctx,
		      .path = s->m->path,
		      .mode = QDQ_WIRE_RESTORE,
		      .message = message,
		      .data = data,
		      .size = size,
		      .scratch = &s->keep,
		      .keep = &s->keep};

	if (size == 0)
		return;
	w.total = size;
	if (tokens)
		qdq_wire_scan(&w);
	s->total += w.total;
	*qdq_push(&s->keep, &s->fragments) = w;
}

static void pack_message(qdq_save *s, const ProtobufCMessage *message)
{
	size_t size = protobuf_c_message_get_packed_size(message);
	char *data;

	if (size > INT32_MAX)
		qdq_fail(s->ctx, QDQ_EMODEL, &(qdq_where){.file = s->m->path},
			 "the model is too large for an ONNX file even without its weights");
	data = qdq_alloc(&s->keep, size);
	protobuf_c_message_pack(message, (uint8_t *)data);
	add_fragment(s, message->descriptor, data, size, true);
}

/* ---- many messages, one after the other ---- */

/* Elements of one repeated field. */
typedef struct chunk {
	const ProtobufCMessageDescriptor *message; /* that has the field */
	uint32_t tag;
	char *data;
	size_t used, room;
	size_t next_room;
	bool tokens; /* some element may hold one */
} chunk;

static void finish_chunk(qdq_save *s, chunk *c)
{
	add_fragment(s, c->message, c->data, c->used, c->tokens);
	c->tokens = false;
	c->used = 0;
	c->data = NULL;
	c->room = 0;
}

/* One more element. */
static void pack_element(qdq_save *s, chunk *c, const ProtobufCMessage *element)
{
	size_t size = protobuf_c_message_get_packed_size(element);
	uint8_t head[20];
	size_t head_size = qdq_wire_put_varint(head, c->tag);

	head_size += qdq_wire_put_varint(head + head_size, size);
	if (size > c->room - c->used || head_size > c->room - c->used - size) {
		finish_chunk(s, c);
		c->room = size + head_size > c->next_room ? size + head_size : c->next_room;
		if (c->next_room < LAST_CHUNK)
			c->next_room *= 2;
		c->data = qdq_alloc(&s->keep, c->room);
	}
	memcpy(c->data + c->used, head, head_size);
	protobuf_c_message_pack(element, (uint8_t *)c->data + c->used + head_size);
	c->used += head_size + size;
	c->tokens = c->tokens || s->tokens;
	s->tokens = false;
}

/* ---- the main graph ---- */

static void build_graph(qdq_save *s, qdq_graph *g)
{
	chunk c = {.message = &onnx__graph_proto__descriptor, .tag = TAG_NODE, .next_room = FIRST_CHUNK};
	uint64_t before = s->total;

	s->graph_begin = s->fragments.count;
	for (const qdq_node *n = g->first; n != NULL; n = qdq_after(n)) {
		Onnx__NodeProto node;

		qdq_save_node(s, n, &node);
		pack_element(s, &c, &node.base);
		qdq_arena_reset(&s->scratch);
	}
	finish_chunk(s, &c);
	pack_message(s, &qdq_save_graph(s, g, false)->base);
	qdq_arena_reset(&s->scratch);
	s->graph_size = s->total - before;
}

/* ---- the model ---- */

/* What comes before the graph: fields 1 to 6. */
static void build_head(qdq_save *s)
{
	const qdq_onnx_model *record = s->m->foreign;
	Onnx__ModelProto out;

	onnx__model_proto__init(&out);
	if (record != NULL && record->proto != NULL)
		out = *record->proto;
	else
		qdq_save_about(s->m->about, &out);
	if (record == NULL || record->proto == NULL || out.ir_version != s->m->ir_version) {
		out.has_ir_version = true;
		out.ir_version = s->m->ir_version;
	}
	out.base.n_unknown_fields = 0;
	out.graph = NULL;
	out.n_opset_import = out.n_metadata_props = out.n_training_info = out.n_functions = out.n_configuration = 0;
	pack_message(s, &out.base);
}

static void build_functions(qdq_save *s)
{
	chunk c = {.message = &onnx__model_proto__descriptor, .tag = TAG_FUNCTION, .next_room = FIRST_CHUNK};

	for (size_t i = 0; i < s->m->functions.count; i++) {
		pack_element(s, &c, &qdq_save_function(s, s->m->functions.items[i])->base);
		qdq_arena_reset(&s->scratch);
	}
	finish_chunk(s, &c);
}

/* What comes behind it: imports, metadata, training information; functions; and what has later numbers. */
static void build_tail(qdq_save *s)
{
	const qdq_onnx_model *record = s->m->foreign;
	bool has_record = record != NULL && record->proto != NULL;
	qdq_model *m = s->m;
	Onnx__ModelProto out, last;

	onnx__model_proto__init(&out);
	onnx__model_proto__init(&last);
	if (!has_record) {
		qdq_save_metadata(s, m->about, &out);
	} else {
		out = *record->proto;
		out.has_ir_version = out.has_model_version = false;
		out.producer_name = out.producer_version = out.domain = out.doc_string = NULL;
		out.graph = NULL;
		last.configuration = out.configuration;
		last.n_configuration = out.n_configuration;
		last.base.unknown_fields = out.base.unknown_fields;
		last.base.n_unknown_fields = out.base.n_unknown_fields;
		out.n_configuration = 0;
		out.base.n_unknown_fields = 0;
	}
	out.opset_import = qdq_save_opsets(s, m->opsets.items, m->opsets.count, out.n_opset_import, out.opset_import);
	out.n_opset_import = m->opsets.count;
	out.n_functions = 0;
	pack_message(s, &out.base);
	qdq_arena_reset(&s->scratch);
	build_functions(s);
	pack_message(s, &last.base);
}

void qdq_save_build(qdq_save *s)
{
	uint8_t head[11];

	s->parts.count = 0;
	s->parts_end = 0;
	s->fragments.count = 0;
	s->total = 0;
	s->marks = qdq_array(&s->keep, unsigned char, s->m->n_values);
	build_head(s);
	build_graph(s, s->m->graph);
	build_tail(s);
	s->total += 1 + qdq_wire_put_varint(head, s->graph_size);
}

void qdq_save_emit(const qdq_save *s,
		   void (*piece)(void *user, const void *data, size_t size, const qdq_source *source), void *user)
{
	uint8_t head[11];

	for (size_t i = 0; i <= s->fragments.count; i++) {
		if (i == s->graph_begin) {
			head[0] = TAG_GRAPH;
			piece(user, head, 1 + qdq_wire_put_varint(head + 1, s->graph_size), NULL);
		}
		if (i < s->fragments.count)
			qdq_wire_emit(&s->fragments.items[i], piece, user);
	}
}

/* SPDX-License-Identifier: Apache-2.0
 *
 * wire.c -- one pass over protobuf's wire format, driven by the generated descriptors
 *
 * The pass makes a list of patches in file order. A message gets a LENGTH patch before its inside is scanned; if
 * nothing inside changed, the patch is dropped again, so that untouched stretches stay whole and are copied at once.
 */
#include "wire.h"

#include <inttypes.h>

#include "onnx.pb-c.h"

#define MOST_DEPTH 1000u /* whatever the options say: protobuf-c takes some kilobytes of stack for each level */
#define TENSOR (&onnx__tensor_proto__descriptor)
#define NODE (&onnx__node_proto__descriptor)
#define ATTRIBUTE (&onnx__attribute_proto__descriptor)
#define GRAPH (&onnx__graph_proto__descriptor)
#define FUNCTION (&onnx__function_proto__descriptor)
#define TYPE (&onnx__type_proto__descriptor)
#define TRAINING (&onnx__training_info_proto__descriptor)

/* ---- reading fields ---- */

size_t qdq_wire_varint(const uint8_t *at, const uint8_t *end, uint64_t *out)
{
	uint64_t value = 0;
	size_t size = 0;

	do {
		if (at + size == end || size == 10)
			return 0;
		value |= (uint64_t)(at[size] & 0x7f) << (7 * size);
	} while (at[size++] >= 0x80);
	*out = value;
	return size;
}

size_t qdq_wire_put_varint(uint8_t *out, uint64_t value)
{
	size_t size = 0;

	for (; value >= 0x80; value >>= 7)
		out[size++] = (uint8_t)(value | 0x80);
	out[size++] = (uint8_t)value;
	return size;
}

static const char *read_length(const uint8_t **at, const uint8_t *end, qdq_field *out)
{
	uint64_t length;
	size_t used = qdq_wire_varint(*at, end, &length);

	if (used == 0)
		return "the file ends within a length";
	if (used > 5)
		return "a length is malformed";
	*at += used;
	if (length > (uint64_t)(end - *at))
		return "a length reaches beyond what encloses it (truncated or damaged)";
	out->data = *at;
	out->size = (size_t)length;
	*at += length;
	return NULL;
}

const char *qdq_wire_field(const uint8_t **at, const uint8_t *end, qdq_field *out)
{
	uint64_t tag;
	size_t used = qdq_wire_varint(*at, end, &tag);

	if (used == 0 || used > 5 || tag > UINT32_MAX)
		return "a field's tag is malformed";
	*at += used;
	out->id = (uint32_t)(tag >> 3);
	out->wire = (unsigned)(tag & 7);
	if (out->id == 0)
		return "a field has number 0";
	switch (out->wire) {
	case QDQ_WIRE_VARINT:
		used = qdq_wire_varint(*at, end, &out->value);
		if (used == 0)
			return "a number is cut off or too long";
		*at += used;
		return NULL;
	case QDQ_WIRE_BYTES:
		return read_length(at, end, out);
	case QDQ_WIRE_64BIT:
	case QDQ_WIRE_32BIT:
		out->data = *at;
		out->size = out->wire == QDQ_WIRE_64BIT ? 8 : 4;
		if ((size_t)(end - *at) < out->size)
			return "the file ends within a number";
		*at += out->size;
		return NULL;
	default:
		return "a field has a wire type that ONNX does not use";
	}
}

/* ---- checks ---- */

QDQ_NORETURN static void refuse(const qdq_wire *w, const ProtobufCMessageDescriptor *message, const uint8_t *at,
				const char *what)
{
	qdq_fail(w->ctx, QDQ_EMODEL, &(qdq_where){.file = w->path}, "not a valid ONNX file: at byte %zu, in %s: %s",
		 (size_t)(at - (const uint8_t *)w->data), message->short_name, what);
}

QDQ_NORETURN static void refuse_field(const qdq_wire *w, const ProtobufCMessageDescriptor *message, const uint8_t *at,
				      const ProtobufCFieldDescriptor *field, const char *what)
{
	qdq_fail(w->ctx, QDQ_EMODEL, &(qdq_where){.file = w->path},
		 "not a valid ONNX file: at byte %zu, field %s of %s %s", (size_t)(at - (const uint8_t *)w->data),
		 field->name, message->short_name, what);
}

static unsigned wire_of(ProtobufCType type)
{
	switch (type) {
	case PROTOBUF_C_TYPE_FLOAT:
		return QDQ_WIRE_32BIT;
	case PROTOBUF_C_TYPE_DOUBLE:
		return QDQ_WIRE_64BIT;
	case PROTOBUF_C_TYPE_STRING:
	case PROTOBUF_C_TYPE_BYTES:
	case PROTOBUF_C_TYPE_MESSAGE:
		return QDQ_WIRE_BYTES;
	default:
		return QDQ_WIRE_VARINT; /* onnx.proto has no other types */
	}
}

static bool packed_well_formed(const qdq_field *f, unsigned wire)
{
	const uint8_t *at = f->data, *end = f->data + f->size;
	uint64_t value;
	size_t used;

	if (wire != QDQ_WIRE_VARINT)
		return f->size % (wire == QDQ_WIRE_64BIT ? 8 : 4) == 0;
	for (; at != end; at += used) {
		used = qdq_wire_varint(at, end, &value);
		if (used == 0)
			return false;
	}
	return true;
}

static bool is_payload(uint32_t id)
{
	return id < 12 &&
	       (1u << id & (1u << QDQ_FIELD_FLOAT_DATA | 1u << QDQ_FIELD_INT32_DATA | 1u << QDQ_FIELD_INT64_DATA |
			    1u << QDQ_FIELD_RAW_DATA | 1u << QDQ_FIELD_DOUBLE_DATA | 1u << QDQ_FIELD_UINT64_DATA));
}

/* Wire type and content of a known field that is no message. */
static void check_field(const qdq_wire *w, const ProtobufCMessageDescriptor *message,
			const ProtobufCFieldDescriptor *known, const qdq_field *f, const uint8_t *at)
{
	unsigned expected = wire_of(known->type);

	if (f->wire != expected) {
		if (f->wire != QDQ_WIRE_BYTES || known->label != PROTOBUF_C_LABEL_REPEATED)
			refuse_field(w, message, at, known, "has the wrong wire type");
		if (!(message == TENSOR && is_payload(f->id)) && !packed_well_formed(f, expected))
			refuse_field(w, message, at, known, "is malformed");
	} else if (known->type == PROTOBUF_C_TYPE_STRING && memchr(f->data, 0, f->size) != NULL) {
		refuse_field(w, message, at, known, "holds a NUL character");
	}
}

/* ---- patches ---- */

static size_t varint_width(uint64_t value)
{
	size_t width = 1;

	for (; value >= 0x80; value >>= 7)
		width++;
	return width;
}

static size_t patched_size(const qdq_patch *p)
{
	switch (p->kind) {
	case QDQ_PATCH_LENGTH:
		return varint_width(p->u.length);
	case QDQ_PATCH_TOKEN:
		return 2 + QDQ_TOKEN_SIZE;
	case QDQ_PATCH_NODES:
		return 4 + QDQ_TOKEN_SIZE;
	case QDQ_PATCH_PAYLOAD:
		return p->u.payload->size + (p->u.payload->framed ? 0 : 1 + varint_width(p->u.payload->size));
	default:
		return 0;
	}
}

static qdq_patch *add_patch(qdq_wire *w, qdq_patch_kind kind, const uint8_t *at, const uint8_t *end)
{
	qdq_patch *p = qdq_push(w->scratch, &w->patches);

	*p = (qdq_patch){.at = (size_t)(at - (const uint8_t *)w->data), .size = (size_t)(end - at), .kind = kind};
	return p;
}

/* ---- taking out and putting in ---- */

/* What is taken out of one message: its runs of fields side by side. The first one is replaced by a token. */
typedef struct cut {
	size_t first, last; /* patches, by index plus one; 0: none yet */
	size_t count;	    /* fields */
} cut;

static int64_t take_out(qdq_wire *w, cut *c, qdq_patch_kind token, const uint8_t *at, const uint8_t *end)
{
	qdq_patch *last = c->last == 0 ? NULL : &w->patches.items[c->last - 1];
	int64_t growth = at - end;

	c->count++;
	if (last != NULL && (const uint8_t *)w->data + last->at + last->size == at) {
		last->size += (size_t)(end - at);
		return growth;
	}
	last = add_patch(w, c->first == 0 ? token : QDQ_PATCH_REMOVE, at, end);
	c->last = w->patches.count;
	if (c->first == 0) {
		c->first = c->last;
		growth += (int64_t)patched_size(last);
	}
	return growth;
}

/* All payload fields of a tensor have been seen. */
static void make_payload(qdq_wire *w, const cut *c)
{
	qdq_patch *run = &w->patches.items[c->first - 1];
	size_t count = c->last - (c->first - 1);
	qdq_payload *payload = qdq_new(w->keep, qdq_payload);
	size_t size = 0;

	*payload = (qdq_payload){w->data + run->at, run->size, w->source, true};
	run->u.payload = payload;
	if (count == 1)
		return;
	for (size_t i = 0; i < count; i++) /* strewn over the message: gather it */
		size += run[i].size;
	*payload = (qdq_payload){qdq_alloc(w->keep, size), size, NULL, true};
	size = 0;
	for (size_t i = 0; i < count; i++) {
		memcpy((char *)(uintptr_t)payload->data + size, w->data + run[i].at, run[i].size);
		size += run[i].size;
	}
}

static int64_t put_in(qdq_wire *w, const qdq_field *f, const uint8_t *at, const uint8_t *end)
{
	qdq_payload *payload;
	qdq_patch *p = add_patch(w, QDQ_PATCH_PAYLOAD, at, end);

	memcpy(&payload, f->data, sizeof payload);
	p->u.payload = payload;
	return (int64_t)patched_size(p) - (int64_t)p->size;
}

/* ---- messages ---- */

static int64_t scan(qdq_wire *w, const ProtobufCMessageDescriptor *message, const uint8_t *at, const uint8_t *end);

/* A message inside a message: `field` is its tag, data[-…] its length. Returns by how much the whole field grows. */
static int64_t scan_child(qdq_wire *w, const ProtobufCMessageDescriptor *message, const qdq_field *f,
			  const uint8_t *length_at)
{
	size_t mark = w->patches.count;
	size_t old_width = (size_t)(f->data - length_at);
	int64_t growth;
	qdq_patch *p;

	add_patch(w, QDQ_PATCH_LENGTH, length_at, f->data);
	growth = scan(w, message, f->data, f->data + f->size);
	if (w->patches.count == mark + 1) {
		w->patches.count = mark;
		return 0;
	}
	p = &w->patches.items[mark];
	p->u.length = (uint64_t)((int64_t)f->size + growth);
	return growth + (int64_t)varint_width(p->u.length) - (int64_t)old_width;
}

/* Where the length of a length-prefixed field stands: behind the tag. */
static const uint8_t *behind_tag(const uint8_t *at)
{
	while (*at >= 0x80)
		at++;
	return at + 1;
}

/* Fields of nodes and attributes beyond names, numbers and strings. */
static bool is_rich(const ProtobufCMessageDescriptor *message, uint32_t id)
{
	const uint32_t node = 1u << 1 | 1u << 2 | 1u << 3 | 1u << 4 | 1u << 5 | 1u << 7;
	const uint32_t attribute =
	    1u << 1 | 1u << 2 | 1u << 3 | 1u << 4 | 1u << 7 | 1u << 8 | 1u << 9 | 1u << 20 | 1u << 21;

	if (message != NODE && message != ATTRIBUTE)
		return false;
	return id >= 32 || ((message == NODE ? node : attribute) >> id & 1) == 0;
}

static bool is_node_list(const ProtobufCMessageDescriptor *message, uint32_t id)
{
	return (message == GRAPH && id == 1) || (message == FUNCTION && id == 7);
}

static int64_t scan_message_field(qdq_wire *w, const ProtobufCMessageDescriptor *message,
				  const ProtobufCFieldDescriptor *known, const qdq_field *f, const uint8_t *start,
				  uint64_t *seen)
{
	if (f->wire != QDQ_WIRE_BYTES)
		refuse_field(w, message, start, known, "has the wrong wire type");
	if (known->label != PROTOBUF_C_LABEL_REPEATED) { /* two of them would be merged */
		if (*seen >> f->id & 1)
			refuse_field(w, message, start, known, "is there twice");
		*seen |= UINT64_C(1) << f->id;
	}
	return scan_child(w, known->descriptor, f, behind_tag(start));
}

static int64_t scan_plain_field(qdq_wire *w, const ProtobufCMessageDescriptor *message,
				const ProtobufCFieldDescriptor *known, const qdq_field *f, const uint8_t *start,
				const uint8_t *end, cut *c)
{
	if (w->mode == QDQ_WIRE_CHECK) {
		check_field(w, message, known, f, start);
		w->names += message == NODE && (f->id == 2 || f->id == 3) && f->size != 0;
		w->external += message == TENSOR && f->id == 14 && f->value == 1;
		return 0;
	}
	if (message != TENSOR)
		return 0;
	if (w->mode == QDQ_WIRE_STRIP)
		return is_payload(f->id) ? take_out(w, c, QDQ_PATCH_TOKEN, start, end) : 0;
	return f->id == QDQ_FIELD_RAW_DATA && f->size == QDQ_TOKEN_SIZE ? put_in(w, f, start, end) : 0;
}

static int64_t scan_fields(qdq_wire *w, const ProtobufCMessageDescriptor *message, const uint8_t *at,
			   const uint8_t *end)
{
	const uint8_t *begin = at;
	bool strip_nodes = w->mode == QDQ_WIRE_STRIP && !w->training;
	uint64_t seen = 0; /* singular messages, by field number */
	cut c = {0};
	int64_t growth = 0;

	while (at != end) {
		const uint8_t *start = at;
		const ProtobufCFieldDescriptor *known;
		qdq_field f;
		const char *wrong = qdq_wire_field(&at, end, &f);

		if (wrong != NULL)
			refuse(w, message, start, wrong);
		known = protobuf_c_message_descriptor_get_field(message, f.id);
		w->rich = w->rich || is_rich(message, f.id);
		if (known == NULL)
			continue;
		if (strip_nodes && is_node_list(message, f.id))
			growth += take_out(w, &c, QDQ_PATCH_NODES, start, at);
		else if (known->type == PROTOBUF_C_TYPE_MESSAGE)
			growth += scan_message_field(w, message, known, &f, start, &seen);
		else
			growth += scan_plain_field(w, message, known, &f, start, at, &c);
	}
	if (c.first != 0 && message == TENSOR) {
		make_payload(w, &c);
	} else if (c.first != 0) {
		qdq_nodes *nodes = qdq_new(w->keep, qdq_nodes);

		*nodes = (qdq_nodes){begin, end, message == GRAPH ? 1 : 7, c.count};
		w->patches.items[c.first - 1].u.nodes = nodes;
	}
	return growth;
}

static int64_t scan(qdq_wire *w, const ProtobufCMessageDescriptor *message, const uint8_t *at, const uint8_t *end)
{
	uint32_t limit = w->ctx->options.max_depth < MOST_DEPTH ? w->ctx->options.max_depth : MOST_DEPTH;
	bool deeper = message == GRAPH || message == TYPE;
	bool training = w->training;
	int64_t growth;

	if (deeper && w->depth++ >= limit)
		qdq_fail(w->ctx, QDQ_EMODEL, &(qdq_where){.file = w->path},
			 "graphs or types are nested more than %" PRIu32 " deep", limit);
	w->nodes += message == NODE;
	w->training = training || message == TRAINING;
	growth = scan_fields(w, message, at, end);
	w->training = training;
	w->depth -= deeper;
	return growth;
}

void qdq_wire_scan(qdq_wire *w)
{
	const uint8_t *data = (const uint8_t *)w->data;

	w->patches.items = NULL;
	w->patches.count = w->patches.capacity = 0;
	w->nodes = w->names = w->external = 0;
	w->rich = w->training = false;
	w->depth = 0;
	w->total = w->size;
	if (w->size != 0)
		w->total += (uint64_t)scan(w, w->message, data, data + w->size);
}

/* What a patch puts in front of a payload, or all that it puts; returns its size. */
static size_t patch_head(const qdq_patch *p, uint8_t head[16])
{
	switch (p->kind) {
	case QDQ_PATCH_LENGTH:
		return qdq_wire_put_varint(head, p->u.length);
	case QDQ_PATCH_TOKEN:
		head[0] = QDQ_FIELD_RAW_DATA << 3 | QDQ_WIRE_BYTES;
		head[1] = QDQ_TOKEN_SIZE;
		memcpy(head + 2, &p->u.payload, QDQ_TOKEN_SIZE);
		return 2 + QDQ_TOKEN_SIZE;
	case QDQ_PATCH_NODES:
		head[0] = (uint8_t)(p->u.nodes->id << 3 | QDQ_WIRE_BYTES);
		head[1] = 2 + QDQ_TOKEN_SIZE;
		head[2] = 15u << 3 | QDQ_WIRE_BYTES; /* a field number that nodes do not have */
		head[3] = QDQ_TOKEN_SIZE;
		memcpy(head + 4, &p->u.nodes, QDQ_TOKEN_SIZE);
		return 4 + QDQ_TOKEN_SIZE;
	case QDQ_PATCH_PAYLOAD:
		if (p->u.payload->framed)
			return 0;
		head[0] = QDQ_FIELD_RAW_DATA << 3 | QDQ_WIRE_BYTES;
		return 1 + qdq_wire_put_varint(head + 1, p->u.payload->size);
	default:
		return 0;
	}
}

void qdq_wire_emit(const qdq_wire *w,
		   void (*piece)(void *user, const void *data, size_t size, const struct qdq_source *source),
		   void *user)
{
	size_t done = 0;

	for (size_t i = 0; i < w->patches.count; i++) {
		const qdq_patch *p = &w->patches.items[i];
		uint8_t head[16];
		size_t size = patch_head(p, head);

		if (p->at != done)
			piece(user, w->data + done, p->at - done, w->source);
		done = p->at + p->size;
		if (size != 0)
			piece(user, head, size, NULL);
		if (p->kind == QDQ_PATCH_PAYLOAD && p->u.payload->size != 0)
			piece(user, p->u.payload->data, p->u.payload->size, p->u.payload->source);
	}
	if (done != w->size)
		piece(user, w->data + done, w->size - done, w->source);
}

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

static size_t put_varint(uint8_t *out, uint64_t value)
{
	size_t size = 0;

	for (; value >= 0x80; value >>= 7)
		out[size++] = (uint8_t)(value | 0x80);
	out[size++] = (uint8_t)value;
	return size;
}

static size_t patched_size(const qdq_patch *p)
{
	switch (p->kind) {
	case QDQ_PATCH_LENGTH:
		return varint_width(p->u.length);
	case QDQ_PATCH_TOKEN:
		return 2 + QDQ_TOKEN_SIZE;
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

/* ---- tensors ---- */

/* A payload field of a TensorProto on the way in. Fields side by side are one run; the first run gets the token, the
 * others go away. `first`: index of the first patch of this tensor, plus one. */
static void take_out(qdq_wire *w, const uint8_t *at, const uint8_t *end, size_t *first)
{
	const uint8_t *base = (const uint8_t *)w->data;
	qdq_patch *last = *first == 0 ? NULL : &w->patches.items[w->patches.count - 1];

	if (last != NULL && base + last->at + last->size == at) {
		last->size += (size_t)(end - at);
	} else {
		add_patch(w, last == NULL ? QDQ_PATCH_TOKEN : QDQ_PATCH_REMOVE, at, end);
		if (*first == 0)
			*first = w->patches.count;
	}
}

/* All payload fields of a tensor have been seen: make the payload. */
static void make_payload(qdq_wire *w, size_t first)
{
	const qdq_patch *run = &w->patches.items[first - 1];
	size_t count = w->patches.count - (first - 1);
	qdq_payload *payload = qdq_new(w->keep, qdq_payload);
	size_t size = 0;

	*payload = (qdq_payload){w->data + run->at, run->size, w->source, true};
	if (count > 1) { /* strewn over the message: gather it */
		char *all;

		for (size_t i = 0; i < count; i++)
			size += run[i].size;
		all = qdq_alloc(w->keep, size);
		size = 0;
		for (size_t i = 0; i < count; i++) {
			memcpy(all + size, w->data + run[i].at, run[i].size);
			size += run[i].size;
		}
		*payload = (qdq_payload){all, size, NULL, true};
	}
	w->patches.items[first - 1].u.payload = payload;
}

static void put_in(qdq_wire *w, const qdq_field *f, const uint8_t *at, const uint8_t *end)
{
	qdq_payload *payload;

	memcpy(&payload, f->data, sizeof payload);
	add_patch(w, QDQ_PATCH_PAYLOAD, at, end)->u.payload = payload;
}

/* ---- messages ---- */

static bool counts_as_depth(const ProtobufCMessageDescriptor *message)
{
	return message == &onnx__graph_proto__descriptor || message == &onnx__type_proto__descriptor;
}

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

static int64_t scan_fields(qdq_wire *w, const ProtobufCMessageDescriptor *message, const uint8_t *at,
			   const uint8_t *end)
{
	uint64_t seen = 0; /* singular messages, by field number: two of them would be merged */
	size_t first = 0;
	int64_t growth = 0;

	while (at != end) {
		const uint8_t *start = at;
		const ProtobufCFieldDescriptor *known;
		qdq_field f;
		const char *wrong = qdq_wire_field(&at, end, &f);

		if (wrong != NULL)
			refuse(w, message, start, wrong);
		known = protobuf_c_message_descriptor_get_field(message, f.id);
		if (known == NULL)
			continue;
		if (known->type == PROTOBUF_C_TYPE_MESSAGE) {
			if (f.wire != QDQ_WIRE_BYTES)
				refuse_field(w, message, start, known, "has the wrong wire type");
			if (known->label != PROTOBUF_C_LABEL_REPEATED) {
				if (seen >> f.id & 1)
					refuse_field(w, message, start, known, "is there twice");
				seen |= UINT64_C(1) << f.id;
			}
			growth += scan_child(w, known->descriptor, &f, behind_tag(start));
			continue;
		}
		check_field(w, message, known, &f, start);
		if (message != TENSOR)
			continue;
		if (f.id == 14 && f.value == 1)
			w->external++;
		if (is_payload(f.id) && !w->restore)
			take_out(w, start, at, &first);
		else if (f.id == QDQ_FIELD_RAW_DATA && f.size == QDQ_TOKEN_SIZE)
			put_in(w, &f, start, at);
	}
	if (first != 0)
		make_payload(w, first);
	return growth;
}

static int64_t scan(qdq_wire *w, const ProtobufCMessageDescriptor *message, const uint8_t *at, const uint8_t *end)
{
	uint32_t limit = w->ctx->options.max_depth < MOST_DEPTH ? w->ctx->options.max_depth : MOST_DEPTH;
	bool deeper = counts_as_depth(message);
	size_t mark = w->patches.count;
	int64_t growth;

	if (deeper && w->depth++ >= limit)
		qdq_fail(w->ctx, QDQ_EMODEL, &(qdq_where){.file = w->path},
			 "graphs or types are nested more than %" PRIu32 " deep", limit);
	if (message == &onnx__node_proto__descriptor)
		w->nodes++;
	growth = scan_fields(w, message, at, end);
	if (message == TENSOR)
		for (size_t i = mark; i < w->patches.count; i++)
			growth += (int64_t)patched_size(&w->patches.items[i]) - (int64_t)w->patches.items[i].size;
	if (deeper)
		w->depth--;
	return growth;
}

void qdq_wire_scan(qdq_wire *w)
{
	const uint8_t *data = (const uint8_t *)w->data;

	w->total = w->size;
	if (w->size != 0)
		w->total += (uint64_t)scan(w, &onnx__model_proto__descriptor, data, data + w->size);
}

void qdq_wire_emit(const qdq_wire *w,
		   void (*piece)(void *user, const void *data, size_t size, const struct qdq_source *source),
		   void *user)
{
	size_t done = 0;

	for (size_t i = 0; i < w->patches.count; i++) {
		const qdq_patch *p = &w->patches.items[i];
		uint8_t head[16];
		size_t size = 0;

		if (p->at != done)
			piece(user, w->data + done, p->at - done, w->source);
		done = p->at + p->size;
		if (p->kind == QDQ_PATCH_LENGTH) {
			size = put_varint(head, p->u.length);
		} else if (p->kind == QDQ_PATCH_TOKEN) {
			head[0] = QDQ_FIELD_RAW_DATA << 3 | QDQ_WIRE_BYTES;
			head[1] = QDQ_TOKEN_SIZE;
			memcpy(head + 2, &p->u.payload, QDQ_TOKEN_SIZE);
			size = 2 + QDQ_TOKEN_SIZE;
		} else if (p->kind == QDQ_PATCH_PAYLOAD && !p->u.payload->framed) {
			head[0] = QDQ_FIELD_RAW_DATA << 3 | QDQ_WIRE_BYTES;
			size = 1 + put_varint(head + 1, p->u.payload->size);
		}
		if (size != 0)
			piece(user, head, size, NULL);
		if (p->kind == QDQ_PATCH_PAYLOAD && p->u.payload->size != 0)
			piece(user, p->u.payload->data, p->u.payload->size, p->u.payload->source);
	}
	if (done != w->size)
		piece(user, w->data + done, w->size - done, w->source);
}

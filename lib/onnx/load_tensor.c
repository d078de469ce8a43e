/* SPDX-License-Identifier: Apache-2.0
 *
 * load_tensor.c -- tensors of every type and storage form, as dense little-endian data
 *
 * Raw data and packed floats stay where they lie in the file. What protobuf stores as varints, or strewn over many
 * fields, is decoded into the arena; never more is allocated than the payload's own size calls for.
 */
#include "load.h"

#include <inttypes.h>

_Static_assert(sizeof(float) == 4 && sizeof(double) == 8, "IEEE formats");

typedef struct reader {
	qdq_load *l;
	const Onnx__TensorProto *proto;
	const char *label;
	qdq_tensor *t;
} reader;

#define FAIL(r, ...) qdq_load_fail((r)->l, (r)->label, __VA_ARGS__)

/* ---- shape ---- */

static void read_shape(reader *r)
{
	const Onnx__TensorProto *p = r->proto;
	qdq_tensor *t = r->t;
	int64_t count = 1;

	if (qdq_type_get((qdq_type)p->data_type) == qdq_type_get(QDQ_TYPE_NONE))
		FAIL(r, "tensor '%s' has unknown element type %" PRId32, r->label, p->data_type);
	if (p->n_dims > INT32_MAX)
		FAIL(r, "tensor '%s' has too many dimensions", r->label);
	for (size_t i = 0; i < p->n_dims; i++) {
		if (p->dims[i] < 0)
			FAIL(r, "tensor '%s' has the negative dimension %" PRId64, r->label, p->dims[i]);
		if (qdq_mul_overflow(count, p->dims[i], &count))
			FAIL(r, "the dimensions of tensor '%s' are too large", r->label);
	}
	t->type = (qdq_type)p->data_type;
	t->rank = (int32_t)p->n_dims;
	t->dims = p->dims;
	t->count = (uint64_t)count;
	if (!qdq_type_size(t->type, t->count, &t->size) || t->size > SIZE_MAX / 2)
		FAIL(r, "the dimensions of tensor '%s' are too large", r->label);
}

QDQ_NORETURN static void fail_size(reader *r, uint64_t found)
{
	FAIL(r, "tensor '%s' has %" PRIu64 " bytes of data, but its type and shape need %" PRIu64, r->label, found,
	     r->t->size);
}

/* ---- data in the file itself ---- */

/* The field that a type's elements are stored in if they are not raw, and the bytes that one entry of it makes. */
static uint32_t typed_field(qdq_type type, unsigned *width)
{
	unsigned bits = qdq_type_get(type)->bits;

	*width = bits < 8 ? 1 : bits / 8;
	switch (type) {
	case QDQ_TYPE_FLOAT:
	case QDQ_TYPE_COMPLEX64:
		*width = 4;
		return QDQ_FIELD_FLOAT_DATA;
	case QDQ_TYPE_DOUBLE:
	case QDQ_TYPE_COMPLEX128:
		*width = 8;
		return QDQ_FIELD_DOUBLE_DATA;
	case QDQ_TYPE_INT64:
		return QDQ_FIELD_INT64_DATA;
	case QDQ_TYPE_UINT32:
	case QDQ_TYPE_UINT64:
		return QDQ_FIELD_UINT64_DATA;
	default:
		return QDQ_FIELD_INT32_DATA;
	}
}

/* What the payload's fields hold together. */
typedef struct content {
	uint64_t fields;   /* with typed elements */
	uint64_t elements; /* typed, of `wanted` */
	qdq_field last;	   /* typed field, or the raw one */
	bool raw, other;   /* raw data; typed data of another field than the type's */
} content;

static uint64_t count_elements(const qdq_field *f, uint32_t id)
{
	uint64_t count = 0;

	if (f->wire != QDQ_WIRE_BYTES)
		return 1;
	if (id == QDQ_FIELD_FLOAT_DATA || id == QDQ_FIELD_DOUBLE_DATA)
		return f->size / (id == QDQ_FIELD_FLOAT_DATA ? 4 : 8);
	for (size_t i = 0; i < f->size; i++)
		count += f->data[i] < 0x80;
	return count;
}

static void survey(reader *r, const qdq_payload *payload, uint32_t wanted, content *out)
{
	const uint8_t *at = (const uint8_t *)payload->data, *end = at + payload->size;
	qdq_field f;

	*out = (content){0};
	while (at != end) {
		if (qdq_wire_field(&at, end, &f) != NULL)
			FAIL(r, "tensor '%s' is malformed", r->label);
		if (f.wire == QDQ_WIRE_BYTES && f.size == 0)
			continue;
		if (f.id == QDQ_FIELD_RAW_DATA) {
			out->raw = true;
			out->last = f;
		} else if (f.id == wanted) {
			out->fields++;
			out->elements += count_elements(&f, wanted);
			if (!out->raw)
				out->last = f;
		} else {
			out->other = true;
		}
	}
}

static void store(reader *r, char *out, uint64_t value, unsigned width)
{
	uint32_t low = (uint32_t)value; /* int32_data keeps 32 bits, however many the varint has */
	int64_t number = low >= 0x80000000u ? (int64_t)low - INT64_C(0x100000000) : (int64_t)low;

	if (width == 8) {
		memcpy(out, &value, 8);
	} else if (width == 4) {
		if (r->t->type == QDQ_TYPE_UINT32 && value > UINT32_MAX)
			FAIL(r, "tensor '%s' holds %" PRIu64 ", which is no uint32", r->label, value);
		memcpy(out, &low, 4);
	} else if (number < -((int64_t)1 << (8 * width - 1)) || number >= (int64_t)1 << 8 * width) {
		FAIL(r, "tensor '%s' holds %" PRId64 ", which is out of range for %s", r->label, number,
		     qdq_type_get(r->t->type)->name);
	} else if (width == 2) {
		memcpy(out, &(uint16_t){(uint16_t)low}, 2);
	} else {
		*out = (char)(low & 0xff);
	}
}

/* One typed field into out; returns the bytes written. */
static size_t decode(reader *r, const qdq_field *f, char *out, unsigned width)
{
	const uint8_t *at, *end;
	size_t done = 0;

	if (f->id == QDQ_FIELD_FLOAT_DATA || f->id == QDQ_FIELD_DOUBLE_DATA) {
		memcpy(out, f->data, f->size);
		return f->size;
	}
	if (f->wire == QDQ_WIRE_VARINT) {
		store(r, out, f->value, width);
		return width;
	}
	at = f->data; /* of a varint there is none */
	end = at + f->size;
	while (at != end) {
		uint64_t value;
		size_t used;

		if (width == 1 && *at < 0x80) { /* as most zero points are */
			out[done++] = (char)*at++;
			continue;
		}
		used = qdq_wire_varint(at, end, &value);
		if (used == 0)
			FAIL(r, "tensor '%s' has a malformed number", r->label);
		store(r, out + done, value, width);
		at += used;
		done += width;
	}
	return done;
}

static void decode_all(reader *r, const qdq_payload *payload, uint32_t wanted, unsigned width)
{
	const uint8_t *at = (const uint8_t *)payload->data, *end = at + payload->size;
	char *out = qdq_alloc(&r->l->m->arena, (size_t)r->t->size);
	qdq_field f;

	r->t->data = out;
	while (at != end)
		if (qdq_wire_field(&at, end, &f) == NULL && f.id == wanted)
			out += decode(r, &f, out, width);
}

static void read_payload(reader *r, const qdq_payload *payload)
{
	qdq_tensor *t = r->t;
	unsigned width;
	uint32_t wanted = typed_field(t->type, &width);
	content c;

	survey(r, payload, wanted, &c);
	if (c.other || (c.raw && c.fields != 0))
		FAIL(r, "tensor '%s' of type %s has data in a field that does not go with its type, or twice", r->label,
		     qdq_type_get(t->type)->name);
	if (c.raw) {
		if (c.last.size != t->size)
			fail_size(r, c.last.size);
	} else {
		if (c.elements > UINT64_MAX / width || c.elements * width != t->size)
			fail_size(r, c.elements * width);
		if (c.fields != 1 || c.last.wire != QDQ_WIRE_BYTES ||
		    (wanted != QDQ_FIELD_FLOAT_DATA && wanted != QDQ_FIELD_DOUBLE_DATA)) {
			decode_all(r, payload, wanted, width);
			return;
		}
		if (c.last.size != t->size) /* a rest that is no whole element */
			fail_size(r, c.last.size);
	}
	t->data = t->size == 0 ? "" : (const void *)c.last.data;
	t->source = payload->source;
}

/* ---- external data ---- */

static bool parse_number(const char *s, uint64_t *out)
{
	uint64_t value = 0;

	if (*s == '\0')
		return false;
	for (; *s != '\0'; s++) {
		unsigned digit = (unsigned)(*s - '0');

		if (digit > 9 || value > (UINT64_MAX - digit) / 10)
			return false;
		value = value * 10 + digit;
	}
	*out = value;
	return true;
}

/* At most so many external files stay open, besides being mapped: some exporters write one for each tensor. */
#define MOST_OPEN 16

static const qdq_source *open_external(reader *r, const char *location)
{
	qdq_load *l = r->l;
	const qdq_where where = {.file = l->path, .operand = r->label};
	qdq_name key = qdq_intern(&l->keys, location);
	qdq_source *s = qdq_map_get(&l->externals, key);

	if (s != NULL)
		return s;
	if (l->path == NULL)
		FAIL(r, "tensor '%s' has external data, but a model in memory has no folder to look in", r->label);
	s = qdq_source_open(&l->m->arena, qdq_source_resolve(&l->scratch, l->path, location, &where), &where);
	s->external = true;
	if (++l->n_externals > MOST_OPEN)
		qdq_source_close_file(s);
	s->next = l->record->sources;
	l->record->sources = s;
	qdq_map_set(&l->externals, key, s);
	return s;
}

static void read_external(reader *r)
{
	const Onnx__TensorProto *p = r->proto;
	qdq_tensor *t = r->t;
	const char *location = "";
	uint64_t offset = 0, length = t->size;
	const qdq_source *s;

	for (size_t i = 0; i < p->n_external_data; i++) {
		const char *key = p->external_data[i]->key, *value = p->external_data[i]->value;
		bool is_offset = key != NULL && strcmp(key, "offset") == 0;

		if (key == NULL || value == NULL)
			continue;
		if (strcmp(key, "location") == 0)
			location = value;
		else if ((is_offset || strcmp(key, "length") == 0) &&
			 !parse_number(value, is_offset ? &offset : &length))
			FAIL(r, "%s '%s' of the external data of tensor '%s' is no number", key, value, r->label);
	}
	if (length != t->size)
		fail_size(r, length);
	s = open_external(r, location);
	if (offset > s->size || length > s->size - offset)
		FAIL(r, "tensor '%s' wants %" PRIu64 " bytes at offset %" PRIu64 " of '%s', which has only %zu",
		     r->label, length, offset, location, s->size);
	t->data = s->data + offset;
	t->source = s;
	t->external = true;
	r->l->m->has_external = true;
	r->l->external--;
}

/* ---- all ---- */

static void read_strings(reader *r)
{
	const Onnx__TensorProto *p = r->proto;
	qdq_bytes *strings = qdq_array(&r->l->m->arena, qdq_bytes, p->n_string_data);

	if (p->n_string_data != r->t->count)
		FAIL(r, "tensor '%s' has %zu strings, but its shape needs %" PRIu64, r->label, p->n_string_data,
		     r->t->count);
	for (size_t i = 0; i < p->n_string_data; i++)
		strings[i] = (qdq_bytes){p->string_data[i].len == 0 ? "" : (const char *)p->string_data[i].data,
					 p->string_data[i].len};
	r->t->strings = strings;
}

const qdq_tensor *qdq_load_tensor(qdq_load *l, const Onnx__TensorProto *proto, const char *label)
{
	reader r = {l, proto, label, qdq_new(&l->m->arena, qdq_tensor)};
	qdq_onnx_tensor *record = qdq_new(&l->m->arena, qdq_onnx_tensor);
	const qdq_payload *payload = NULL;

	if (proto->has_raw_data && proto->raw_data.len == QDQ_TOKEN_SIZE)
		memcpy(&payload, proto->raw_data.data, sizeof payload);
	*record = (qdq_onnx_tensor){r.t, proto, payload};
	r.t->foreign = record;
	read_shape(&r);
	if (proto->segment != NULL)
		FAIL(&r, "tensor '%s' is stored in segments, which is not supported", label);
	if (r.t->type == QDQ_TYPE_STRING && (payload != NULL || proto->data_location == 1))
		FAIL(&r, "tensor '%s' of strings has data that is no strings", label);
	if (r.t->type == QDQ_TYPE_STRING)
		read_strings(&r);
	else if (proto->data_location == 1)
		read_external(&r);
	else if (payload != NULL)
		read_payload(&r, payload);
	else if (r.t->size != 0)
		fail_size(&r, 0);
	else
		r.t->data = "";
	return r.t;
}

/* SPDX-License-Identifier: Apache-2.0
 *
 * text_tensor.c -- tensors' data in the textual syntax: {1, 2, 3} or ["location": "weights", "offset": "0"]
 *
 * The type says how many elements there are; they are allocated only if the rest of the text is long enough for them.
 */
#include <inttypes.h>

#include "text.h"

_Static_assert(sizeof(float) == 4 && sizeof(double) == 8, "IEEE formats");

/* ---- elements ---- */

static int64_t read_ranged(qdq_text_reader *r, int64_t least, int64_t most, const char *type)
{
	qdq_text_literal l;
	int64_t i;

	qdq_text_number(r, &l);
	i = qdq_text_int(r, &l);
	if (i < least || i > most)
		qdq_text_fail(r, l.at, "%" PRId64 " is out of range for %s", i, type);
	return i;
}

static void put_little(char *out, uint64_t bits, unsigned width)
{
	for (unsigned i = 0; i < width; i++)
		out[i] = (char)(bits >> (8 * i) & 0xff);
}

/* Reads one number into `out`, as many bytes as an element of the type has (of a complex one: half as many). */
static void read_number(qdq_text_reader *r, qdq_type type, char *out)
{
	const qdq_type_info *info = qdq_type_get(type);
	unsigned width = info->bits / 8u;
	int64_t codes = (int64_t)1 << (width < 4 ? 8 * width : 32);
	qdq_text_literal l;

	switch (type) {
	case QDQ_TYPE_FLOAT:
	case QDQ_TYPE_COMPLEX64: {
		float f;

		qdq_text_number(r, &l);
		f = qdq_text_float(r, &l);
		memcpy(out, &f, 4);
		break;
	}
	case QDQ_TYPE_DOUBLE:
	case QDQ_TYPE_COMPLEX128: {
		double d;

		qdq_text_number(r, &l);
		d = qdq_text_double(r, &l);
		memcpy(out, &d, 8);
		break;
	}
	case QDQ_TYPE_UINT64:
		qdq_text_number(r, &l);
		put_little(out, qdq_text_unsigned(r, &l), 8);
		break;
	case QDQ_TYPE_INT64:
		qdq_text_number(r, &l);
		put_little(out, (uint64_t)qdq_text_int(r, &l), 8);
		break;
	default: /* floats by their codes, with or without sign */
		if (info->is_float)
			put_little(out, (uint64_t)read_ranged(r, -codes / 2, codes - 1, info->name), width);
		else if (type == QDQ_TYPE_BOOL)
			put_little(out, (uint64_t)read_ranged(r, 0, 255, info->name), width);
		else
			put_little(out, (uint64_t)read_ranged(r, qdq_type_min(type), qdq_type_max(type), info->name),
				   width);
	}
}

/* ---- 4- and 2-bit types ---- */

/* One number is a packed byte, or an element: the first few tell, by how many there are. */
static size_t read_small(qdq_text_reader *r, const qdq_tensor *t, char *out)
{
	unsigned bits = qdq_type_get(t->type)->bits, each = 8 / bits;
	uint64_t count = 0;
	char *elements = NULL;

	do {
		int64_t i = read_ranged(r, -128, 255, qdq_type_get(t->type)->name);

		if (count < t->size)
			out[count] = (char)(i & 0xff);
		if (count == t->size) { /* more than bytes: so these are elements */
			elements = qdq_alloc(&r->scratch, (size_t)t->count);
			memcpy(elements, out, (size_t)t->size);
		}
		if (elements != NULL && count < t->count)
			elements[count] = (char)(i & 0xff);
		count++;
	} while (qdq_text_match(r, ','));
	if (elements == NULL && count == t->size && t->count % each != 0)
		out[count - 1] = (char)(out[count - 1] & ((1 << (t->count % each * bits)) - 1));
	if (elements == NULL || count != t->count)
		return (size_t)count;
	memset(out, 0, (size_t)t->size);
	for (uint64_t i = 0; i < count; i++) {
		int code = (signed char)elements[i];
		int least = (int)qdq_type_min(t->type), most = (1 << bits) - 1;

		if (t->type == QDQ_TYPE_INT4 || t->type == QDQ_TYPE_INT2)
			most = (int)qdq_type_max(t->type);
		if (code < least || code > most)
			qdq_text_fail(r, r->at, "%d is out of range for %s", code, qdq_type_get(t->type)->name);
		out[i / each] = (char)(out[i / each] | (code & ((1 << bits) - 1)) << (i % each * bits));
	}
	return (size_t)t->size;
}

/* ---- all ---- */

static const int64_t *read_dims(qdq_text_reader *r, const qdq_text_type *type, const char *at)
{
	int64_t *dims;

	if (type->tree != NULL)
		qdq_text_fail(r, at, "only tensors have data");
	if (type->shape == NULL)
		qdq_text_fail(r, at, "a tensor with data needs its dimensions");
	dims = qdq_array(&r->m->arena, int64_t, (size_t)type->shape->rank);
	for (int32_t i = 0; i < type->shape->rank; i++) {
		if (type->shape->dim[i] < 0)
			qdq_text_fail(r, at, "a tensor with data needs numbers as dimensions");
		dims[i] = type->shape->dim[i];
	}
	return dims;
}

static qdq_tensor *make_tensor(qdq_text_reader *r, const qdq_text_type *type, const char *at)
{
	const int64_t *dims = read_dims(r, type, at);
	qdq_tensor *t = qdq_new(&r->m->arena, qdq_tensor);
	int64_t count = 1;

	*t = (qdq_tensor){.type = type->type, .dims = dims, .rank = type->shape->rank, .data = ""};
	for (int32_t i = 0; i < t->rank; i++)
		if (qdq_mul_overflow(count, t->dims[i], &count))
			qdq_text_fail(r, at, "the dimensions of a tensor are too large");
	t->count = (uint64_t)count;
	if (!qdq_type_size(t->type, t->count, &t->size) || t->size > SIZE_MAX / 2)
		qdq_text_fail(r, at, "the dimensions of a tensor are too large");
	return t;
}

QDQ_NORETURN static void fail_count(qdq_text_reader *r, const char *at, uint64_t found, uint64_t wanted,
				    const char *label)
{
	qdq_text_fail(r, at, "tensor '%s' has %s%" PRIu64 " elements, but its type calls for %" PRIu64, label,
		      found > wanted ? "at least " : "", found, wanted);
}

static void read_elements(qdq_text_reader *r, qdq_tensor *t, const char *at, const char *label)
{
	bool complex = t->type == QDQ_TYPE_COMPLEX64 || t->type == QDQ_TYPE_COMPLEX128;
	bool small = qdq_type_get(t->type)->bits < 8 && t->type != QDQ_TYPE_STRING;
	unsigned width = qdq_type_get(t->type)->bits / (complex ? 16u : 8u);
	uint64_t wanted = small ? t->size : complex ? 2 * t->count : t->count, count = 0;
	qdq_bytes *strings = NULL;
	char *out = NULL;

	/* each takes a character, and a comma before the next */
	if (wanted > ((uint64_t)(r->end - r->at) + 1) / 2)
		qdq_text_fail(r, at,
			      "tensor '%s' calls for %" PRIu64 " elements, which is more than the text has room for",
			      label, wanted);
	if (t->type == QDQ_TYPE_STRING)
		t->strings = strings = qdq_array(&r->m->arena, qdq_bytes, (size_t)t->count);
	else
		t->data = out = qdq_alloc(&r->m->arena, (size_t)t->size);
	if (t->type == QDQ_TYPE_STRING)
		t->data = NULL;
	if (qdq_text_match(r, '}')) {
		if (wanted != 0)
			fail_count(r, at, 0, wanted, label);
		return;
	}
	if (small) {
		count = read_small(r, t, out);
	} else {
		do {
			if (count == wanted)
				fail_count(r, at, count + 1, wanted, label);
			if (strings != NULL)
				strings[count] = qdq_text_string(r);
			else
				read_number(r, t->type, out + count * width);
			count++;
		} while (qdq_text_match(r, ','));
	}
	qdq_text_expect(r, '}');
	if (count != wanted)
		fail_count(r, at, count, wanted, label);
}

static uint64_t read_size(qdq_text_reader *r)
{
	qdq_text_literal l = {.kind = QDQ_LITERAL_INT};
	qdq_bytes s;

	(void)qdq_text_peek(r);
	l.at = r->at;
	s = qdq_text_string(r);
	for (size_t i = 0; i < s.size; i++)
		if (s.data[i] < '0' || s.data[i] > '9')
			s.size = 0;
	if (s.size == 0)
		qdq_text_fail(r, l.at, "expected a number in quotes");
	l.at = s.data;
	l.size = s.size;
	return qdq_text_unsigned(r, &l);
}

static void read_external(qdq_text_reader *r, qdq_tensor *t, const char *at, const char *label)
{
	qdq_text_external e = {.location = "", .length = t->size, .name = label};

	do {
		qdq_bytes key;

		key = qdq_text_string(r);
		qdq_text_expect(r, ':');
		if (key.size == 8 && memcmp(key.data, "location", 8) == 0)
			e.location = qdq_text_proper_string(r);
		else if (key.size == 6 && memcmp(key.data, "offset", 6) == 0)
			e.offset = read_size(r);
		else if (key.size == 6 && memcmp(key.data, "length", 6) == 0)
			e.length = read_size(r);
		else
			(void)qdq_text_string(r); /* a checksum, or what later versions say */
	} while (qdq_text_match(r, ','));
	qdq_text_expect(r, ']');
	if (t->type == QDQ_TYPE_STRING)
		qdq_text_fail(r, at, "strings cannot lie in another file");
	if (e.length != t->size)
		qdq_text_fail(r, at,
			      "tensor '%s' has %" PRIu64 " bytes of external data, but its type calls for %" PRIu64,
			      label, e.length, t->size);
	if (r->fetch == NULL)
		qdq_text_fail(r, at, "tensor '%s' has external data, but there is no folder to look in", label);
	r->fetch(r->fetch_user, r->m, t, &e);
}

const qdq_tensor *qdq_text_read_tensor(qdq_text_reader *r, const qdq_text_type *type, const char *label)
{
	const char *at;
	qdq_tensor *t;

	(void)qdq_text_peek(r);
	at = r->at;
	t = make_tensor(r, type, at);
	if (qdq_text_match(r, '['))
		read_external(r, t, at, label);
	else if (qdq_text_match(r, '{'))
		read_elements(r, t, at, label);
	else
		qdq_text_fail_expected(r, "'{'");
	return t;
}

/* SPDX-License-Identifier: Apache-2.0
 *
 * npy.c -- the format of one array
 *
 *      \x93NUMPY, version, length of the header, {'descr': '<f4', 'fortran_order': False, 'shape': (1, 3), }, padding, data
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "npz.h"

static const struct kind {
	const char *descr; /* without the byte order */
	qdq_type type;
	size_t size;
} kinds[] = {
    {"f4", QDQ_TYPE_FLOAT, 4},	{"f8", QDQ_TYPE_DOUBLE, 8}, {"f2", QDQ_TYPE_FLOAT16, 2}, {"i1", QDQ_TYPE_INT8, 1},
    {"i2", QDQ_TYPE_INT16, 2},	{"i4", QDQ_TYPE_INT32, 4},  {"i8", QDQ_TYPE_INT64, 8},	 {"u1", QDQ_TYPE_UINT8, 1},
    {"u2", QDQ_TYPE_UINT16, 2}, {"u4", QDQ_TYPE_UINT32, 4}, {"u8", QDQ_TYPE_UINT64, 8},	 {"b1", QDQ_TYPE_BOOL, 1},
};
#define KINDS (sizeof kinds / sizeof *kinds)

/* What a header says, besides the shape. */
typedef struct form {
	const struct kind *kind;
	bool big, fortran;
	size_t before; /* bytes in front of the data */
} form;

/* ---- the header: a dictionary in Python's syntax ---- */

static const char malformed[] = "its header is no dictionary as NumPy writes it";

static void skip_blanks(const char **at)
{
	while (**at == ' ' || **at == '\n')
		++*at;
}

/* The character, behind blanks, if it is there. */
static bool take(const char **at, char c)
{
	skip_blanks(at);
	if (**at != c)
		return false;
	++*at;
	return true;
}

static bool take_word(const char **at, const char *word)
{
	size_t n = strlen(word);

	if (strncmp(*at, word, n) != 0)
		return false;
	*at += n;
	return true;
}

/* A string in quotes of either kind, without escapes; NULL: there is none. */
static const char *take_string(const char **at, size_t *length)
{
	const char *first, *end;
	char quote;

	skip_blanks(at);
	quote = **at;
	if (quote != '\'' && quote != '"')
		return NULL;
	first = *at + 1;
	end = strchr(first, quote);
	if (end == NULL || memchr(first, '\\', (size_t)(end - first)) != NULL)
		return NULL;
	*length = (size_t)(end - first);
	*at = end + 1;
	return first;
}

/* Why a type is refused. */
static const char *refusal(const char *name, size_t n)
{
	if (n == 2 && memcmp(name, "V2", 2) == 0)
		return "its elements are 2 bytes without a type, as NumPy writes bfloat16: bfloat16 is not supported";
	if (n == 2 && (memcmp(name, "V1", 2) == 0 || memcmp(name, "f1", 2) == 0))
		return "its elements are bytes without a type, as NumPy writes floats of 8 bits and integers of 4: "
		       "these are not supported";
	switch (*name) {
	case 'V':
		return "its elements are bytes without a type, which is not supported";
	case 'O':
		return "it holds Python objects, which are not supported";
	case 'c':
		return "it holds complex numbers, which are not supported";
	case 'S':
	case 'U':
		return "it holds strings, which are not supported";
	default:
		return "its type is none of float, int, uint or bool";
	}
}

static const char *take_type(const char **at, form *f)
{
	const char *descr;
	size_t n;

	skip_blanks(at);
	if (**at == '[' || **at == '(')
		return "it holds records, which are not supported";
	descr = take_string(at, &n);
	if (descr == NULL)
		return malformed;
	if (n < 2 || strchr("<>|=", *descr) == NULL)
		return "its type is none of float, int, uint or bool";
	f->big = *descr == '>';
	for (size_t i = 0; i < KINDS; i++)
		if (n == 3 && memcmp(descr + 1, kinds[i].descr, 2) == 0)
			f->kind = &kinds[i];
	return f->kind == NULL ? refusal(descr + 1, n - 1) : NULL;
}

static const char *take_order(const char **at, form *f)
{
	skip_blanks(at);
	f->fortran = take_word(at, "True");
	return f->fortran || take_word(at, "False") ? NULL : "its fortran_order is neither True nor False";
}

/* (), (1,), (1, 3), (1, 3,); (3) is a number in Python, no shape */
static const char *take_shape(const char **at, array *out)
{
	static const char wrong[] = "its shape cannot be read";
	bool comma = true;

	if (!take(at, '('))
		return wrong;
	for (out->rank = 0; !take(at, ')'); comma = take(at, ',')) {
		unsigned long long d;
		char *end;

		if (!comma || **at < '0' || **at > '9' || (**at == '0' && (*at)[1] >= '0' && (*at)[1] <= '9'))
			return wrong;
		if (out->rank == ARRAY_RANK)
			return "it has more than 16 dimensions";
		errno = 0;
		d = strtoull(*at, &end, 10);
		if (errno != 0 || d > INT64_MAX)
			return "its shape is too large";
		*at = end;
		out->dims[out->rank++] = (int64_t)d;
	}
	return out->rank == 1 && !comma ? wrong : NULL;
}

/* One key and its value; each may come once. */
static const char *take_pair(const char **at, array *out, form *f, bool *seen)
{
	static const char *const keys[] = {"descr", "fortran_order", "shape"};
	size_t n, k = 0;
	const char *key = take_string(at, &n);

	if (key == NULL || !take(at, ':'))
		return malformed;
	while (k < 3 && (strlen(keys[k]) != n || memcmp(keys[k], key, n) != 0))
		k++;
	if (k == 3)
		return "its header has another key than descr, fortran_order and shape";
	if (seen[k])
		return "its header gives descr, fortran_order or shape twice";
	seen[k] = true;
	return k == 0 ? take_type(at, f) : k == 1 ? take_order(at, f) : take_shape(at, out);
}

static const char *parse_header(array *out, form *f, const char *header, size_t length)
{
	const char *at = header, *wrong;
	bool seen[3] = {false}, comma = true;

	if (!take(&at, '{'))
		return malformed;
	for (; !take(&at, '}'); comma = take(&at, ',')) {
		wrong = comma ? take_pair(&at, out, f, seen) : malformed;
		if (wrong != NULL)
			return wrong;
	}
	if (!seen[0] || !seen[1] || !seen[2])
		return "its header lacks descr, fortran_order or shape";
	skip_blanks(&at);
	return at == header + length ? NULL : "there is something behind the dictionary of its header";
}

/* ---- the data ---- */

static bool read_exactly(const array_source *from, void *out, size_t size)
{
	return from->read(from->handle, out, size) == size;
}

static const char *read_header(array *out, form *f, const array_source *from)
{
	char header[4096];
	unsigned char start[12];
	size_t length;

	if (!read_exactly(from, start, 8) || memcmp(start, "\x93NUMPY", 6) != 0)
		return "it is no .npy array";
	if (start[6] < 1 || start[6] > 3 || start[7] != 0)
		return "its version of the format is none of 1.0, 2.0 and 3.0";
	f->before = start[6] == 1 ? 10 : 12;
	if (!read_exactly(from, start + 8, f->before - 8))
		return "its header is cut off";
	length = (size_t)start[8] | (size_t)start[9] << 8;
	if (f->before == 12)
		length |= (size_t)start[10] << 16 | (size_t)start[11] << 24;
	if (length >= sizeof header)
		return "its header is too long";
	if (!read_exactly(from, header, length))
		return "its header is cut off";
	header[length] = '\0';
	f->before += length;
	return parse_header(out, f, header, length);
}

/* The bytes of the data into out->size. */
static const char *measure(array *out, const form *f, const array_source *from)
{
	size_t count = 1, most = 1; /* elements; what there would be without dimensions of 0 */

	for (int d = 0; d < out->rank; d++) {
		size_t least = out->dims[d] == 0 ? 1 : (size_t)out->dims[d];

		if (most > SIZE_MAX / 8 / least)
			return "its shape is too large";
		most *= least;
		count *= (size_t)out->dims[d];
	}
	out->type = f->kind->type;
	out->size = count * f->kind->size;
	if (from->size != SIZE_UNKNOWN && (from->size < f->before || from->size - f->before != out->size))
		return "its data has another size than its shape says";
	return out->size > from->most ? "it is too large" : NULL;
}

static void swap_bytes(char *data, size_t count, size_t size)
{
	for (size_t i = 0; i < count; i++) {
		for (size_t k = 0; k < size / 2; k++) {
			char c = data[i * size + k];

			data[i * size + k] = data[i * size + size - 1 - k];
			data[i * size + size - 1 - k] = c;
		}
	}
}

/* Column-major, where the first index runs fastest: each element goes to its place as it comes. */
static bool read_columns(array *a, const array_source *from, size_t size)
{
	char piece[8192];
	size_t stride[ARRAY_RANK], count = a->size / size, at = 0;
	int64_t index[ARRAY_RANK] = {0};

	for (int d = a->rank - 1; d >= 0; d--)
		stride[d] = d == a->rank - 1 ? size : stride[d + 1] * (size_t)a->dims[d + 1];
	for (size_t i = 0, k = 0; i < count; i++, k = (k + size) % sizeof piece) {
		size_t left = (count - i) * size;

		if (k == 0 && !read_exactly(from, piece, left < sizeof piece ? left : sizeof piece))
			return false;
		memcpy((char *)a->data + at, piece + k, size);
		for (int d = 0; d < a->rank; d++) {
			at += stride[d];
			if (++index[d] < a->dims[d])
				break;
			at -= stride[d] * (size_t)a->dims[d];
			index[d] = 0;
		}
	}
	return true;
}

static const char *read_data(array *out, const form *f, const array_source *from)
{
	char more;

	if (!(f->fortran && out->rank > 1 ? read_columns(out, from, f->kind->size)
					  : read_exactly(from, out->data, out->size)) ||
	    from->read(from->handle, &more, 1) != 0)
		return "its data has another size than its shape says";
	if (f->big)
		swap_bytes(out->data, out->size / f->kind->size, f->kind->size);
	for (size_t i = 0; out->type == QDQ_TYPE_BOOL && i < out->size; i++)
		if (((const unsigned char *)out->data)[i] > 1)
			return "a bool of it is neither 0 nor 1";
	return NULL;
}

qdq_status read_npy(array *out, const array_source *from, const char **wrong)
{
	form f = {0};

	*wrong = read_header(out, &f, from);
	if (*wrong == NULL)
		*wrong = measure(out, &f, from);
	if (*wrong != NULL)
		return QDQ_EMODEL;
	out->data = malloc(out->size == 0 ? 1 : out->size);
	if (out->data == NULL) {
		*wrong = "there is no memory for it";
		return QDQ_ENOMEM;
	}
	*wrong = read_data(out, &f, from);
	return *wrong == NULL ? QDQ_OK : QDQ_EMODEL;
}

size_t npy_header(char *header, const array *a)
{
	char text[400];
	const struct kind *kind = NULL;
	size_t n, length;

	for (size_t i = 0; i < KINDS; i++)
		if (kinds[i].type == a->type)
			kind = &kinds[i];
	if (kind == NULL)
		return 0;
	n = (size_t)snprintf(text, sizeof text, "{'descr': '%c%s', 'fortran_order': False, 'shape': (",
			     kind->size == 1 ? '|' : '<', kind->descr);
	for (int d = 0; d < a->rank; d++)
		n += (size_t)snprintf(text + n, sizeof text - n, "%lld%s", (long long)a->dims[d],
				      a->rank == 1 || d + 1 < a->rank ? ", " : "");
	n += (size_t)snprintf(text + n, sizeof text - n, "), }");
	length = (10 + n + 1 + 63) / 64 * 64; /* the data is aligned to 64 bytes */
	memcpy(header, "\x93NUMPY\x01\x00", 8);
	header[8] = (char)((length - 10) & 0xff);
	header[9] = (char)((length - 10) >> 8);
	memcpy(header + 10, text, n);
	memset(header + 10 + n, ' ', length - 10 - n - 1);
	header[length - 1] = '\n';
	return length;
}

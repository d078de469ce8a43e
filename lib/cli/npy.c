/* SPDX-License-Identifier: Apache-2.0
 *
 * npy.c -- the format of one array
 *
 *      \x93NUMPY, version, length of the header, {'descr': '<f4', 'fortran_order': False, 'shape': (1, 3), }, padding, data
 */
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

/* ---- the header ---- */

/* Behind KEY and its colon; NULL: it is not there. */
static const char *value_of(const char *header, const char *key)
{
	const char *at = strstr(header, key);

	if (at == NULL)
		return NULL;
	for (at += strlen(key); *at == ' ' || *at == ':'; at++)
		;
	return at;
}

static const struct kind *kind_of(const char *descr, bool *big)
{
	*big = *descr == '>';
	if (strchr("<>|=", *descr) == NULL || *descr == '\0')
		return NULL;
	for (size_t i = 0; i < KINDS; i++)
		if (strncmp(descr + 1, kinds[i].descr, 2) == 0 && (descr[3] == '\'' || descr[3] == '"'))
			return &kinds[i];
	return NULL;
}

/* "(1, 3, )" */
static bool parse_shape(array *out, const char *at)
{
	if (*at++ != '(')
		return false;
	for (out->rank = 0;; at++) {
		char *end;
		unsigned long long d;

		while (*at == ' ')
			at++;
		if (*at == ')')
			return true;
		if (*at < '0' || *at > '9' || out->rank == ARRAY_RANK)
			return false;
		d = strtoull(at, &end, 10);
		if (d > INT64_MAX)
			return false;
		out->dims[out->rank++] = (int64_t)d;
		for (at = end; *at == ' ';)
			at++;
		if (*at == ')')
			return true;
		if (*at != ',')
			return false;
	}
}

/* ---- the data ---- */

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

/* Column-major to row-major: the last index runs fastest. */
static void turn(const array *a, const char *from, size_t count, size_t size)
{
	int64_t index[ARRAY_RANK] = {0};

	for (size_t i = 0; i < count; i++) {
		size_t at = 0, stride = 1;

		for (int d = 0; d < a->rank; d++) {
			at += (size_t)index[d] * stride;
			stride *= (size_t)a->dims[d];
		}
		memcpy((char *)a->data + i * size, from + at * size, size);
		for (int d = a->rank - 1; d >= 0 && ++index[d] == a->dims[d]; d--)
			index[d] = 0;
	}
}

static const char *take_data(array *out, const struct kind *kind, bool big, bool fortran, const char *data, size_t size)
{
	size_t count = 1, most = 1; /* elements; what there would be without dimensions of 0 */

	for (int d = 0; d < out->rank; d++) {
		size_t least = out->dims[d] == 0 ? 1 : (size_t)out->dims[d];

		if (most > SIZE_MAX / 8 / least)
			return "its shape is too large";
		most *= least;
		count *= (size_t)out->dims[d];
	}
	if (count * kind->size != size)
		return "its data has another size than its shape says";
	out->type = kind->type;
	out->size = size;
	out->data = malloc(size == 0 ? 1 : size);
	if (out->data == NULL)
		return "there is no memory for it";
	if (fortran && out->rank > 1)
		turn(out, data, count, kind->size);
	else
		memcpy(out->data, data, size);
	if (big)
		swap_bytes(out->data, count, kind->size);
	return NULL;
}

const char *parse_npy(array *out, const char *data, size_t size)
{
	size_t length, before;
	char header[4096];
	const char *descr, *fortran, *shape;
	const struct kind *kind;
	bool big;

	if (size < 10 || memcmp(data, "\x93NUMPY", 6) != 0)
		return "it is no .npy array";
	before = data[6] == 1 ? 10 : 12;
	if (data[6] < 1 || data[6] > 3 || size < before)
		return "its version of the format is not known";
	length = (size_t)(unsigned char)data[8] | (size_t)(unsigned char)data[9] << 8;
	if (before == 12)
		length |= (size_t)(unsigned char)data[10] << 16 | (size_t)(unsigned char)data[11] << 24;
	if (length > size - before || length >= sizeof header)
		return "its header is cut off or too long";
	memcpy(header, data + before, length);
	header[length] = '\0';
	descr = value_of(header, "'descr'");
	fortran = value_of(header, "'fortran_order'");
	shape = value_of(header, "'shape'");
	if (descr == NULL || fortran == NULL || shape == NULL || (*descr != '\'' && *descr != '"'))
		return "its header lacks descr, fortran_order or shape, or describes records";
	kind = kind_of(descr + 1, &big);
	if (kind == NULL)
		return "its type is none of float, int, uint or bool";
	if (strncmp(fortran, "True", 4) != 0 && strncmp(fortran, "False", 5) != 0)
		return "its fortran_order is neither True nor False";
	if (!parse_shape(out, shape))
		return "its shape cannot be read, or has more than 16 dimensions";
	return take_data(out, kind, big, strncmp(fortran, "True", 4) == 0, data + before + length,
			 size - before - length);
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

/* SPDX-License-Identifier: Apache-2.0
 *
 * types.c -- elements of every type, widened and narrowed; tensors as cells
 *
 * Data may lie unaligned in a mapped file, so every access is a memcpy. Conversion of a float that an integer cannot
 * hold is what x86 does, which the specification leaves open: the least value of a 32-bit (64-bit) integer, of which
 * narrower types keep the low bits.
 */
#include <math.h>

#include "kernel.h"

qdq_wide qdq_wide_of(qdq_type type)
{
	if (type == QDQ_TYPE_DOUBLE)
		return QDQ_WIDE_F64;
	if (type == QDQ_TYPE_STRING || type == QDQ_TYPE_COMPLEX64 || type == QDQ_TYPE_COMPLEX128)
		return QDQ_WIDE_NONE;
	const qdq_type_info *info = qdq_type_get(type);
	return info->bits == 0 ? QDQ_WIDE_NONE : info->is_float ? QDQ_WIDE_F32 : QDQ_WIDE_INT;
}

/* Code of element i of a packed type, low bits first. */
static uint8_t packed_get(const void *data, int bits, int64_t i)
{
	int per_byte = 8 / bits, shift = (int)(i % per_byte) * bits;

	return (uint8_t)(((const uint8_t *)data)[i / per_byte] >> shift & ((1 << bits) - 1));
}

static void packed_set(void *data, int bits, int64_t i, uint8_t code)
{
	int per_byte = 8 / bits, shift = (int)(i % per_byte) * bits;
	uint8_t *byte = (uint8_t *)data + i / per_byte, mask = (uint8_t)(((1 << bits) - 1) << shift);

	*byte = (uint8_t)((*byte & ~mask) | (code << shift & mask));
}

/* The two's complement value of a code of so many bits. */
static int64_t sign_extend(uint8_t code, int bits)
{
	int sign = 1 << (bits - 1);

	return (code ^ sign) - sign;
}

/* Bytes of an element whose wide form is the element itself; 0 for the others. */
static size_t as_it_is(qdq_type type)
{
	return type == QDQ_TYPE_FLOAT							      ? 4
	       : type == QDQ_TYPE_DOUBLE || type == QDQ_TYPE_INT64 || type == QDQ_TYPE_UINT64 ? 8
											      : 0;
}

/* Types of less than a byte. */
static void load_packed(qdq_chunk *to, qdq_type type, const void *data, int64_t first, int64_t stride, size_t n)
{
	const qdq_type_info *info = qdq_type_get(type);

	for (size_t k = 0; k < n; k++) {
		uint8_t code = packed_get(data, info->bits, first + (int64_t)k * stride);

		if (info->is_float)
			to->f[k] = qdq_f8_to_f32(type, code);
		else
			to->i[k] = info->is_signed ? sign_extend(code, info->bits) : code;
	}
}

#define LOAD(T, field, expression)                                                                            \
	for (size_t k = 0; k < n; k++) {                                                                      \
		T x;                                                                                          \
		memcpy(&x, (const char *)data + (first + (int64_t)k * stride) * (int64_t)sizeof x, sizeof x); \
		to->field[k] = (expression);                                                                  \
	}                                                                                                     \
	break

void qdq_load(qdq_chunk *to, qdq_type type, const void *data, int64_t first, int64_t stride, size_t n)
{
	size_t whole = stride == 1 ? as_it_is(type) : 0;

	if (whole != 0) {
		memcpy(to, (const char *)data + (size_t)first * whole, n * whole);
		return;
	}
	switch (type) {
	case QDQ_TYPE_FLOAT:
		LOAD(float, f, x);
	case QDQ_TYPE_DOUBLE:
		LOAD(double, d, x);
	case QDQ_TYPE_FLOAT16:
		LOAD(uint16_t, f, qdq_f16_to_f32(x));
	case QDQ_TYPE_BFLOAT16:
		LOAD(uint16_t, f, qdq_bf16_to_f32(x));
	case QDQ_TYPE_FLOAT8E4M3FN:
	case QDQ_TYPE_FLOAT8E4M3FNUZ:
	case QDQ_TYPE_FLOAT8E5M2:
	case QDQ_TYPE_FLOAT8E5M2FNUZ:
	case QDQ_TYPE_FLOAT8E8M0:
		LOAD(uint8_t, f, qdq_f8_to_f32(type, x));
	case QDQ_TYPE_BOOL:
	case QDQ_TYPE_UINT8:
		LOAD(uint8_t, i, x);
	case QDQ_TYPE_INT8:
		LOAD(int8_t, i, x);
	case QDQ_TYPE_UINT16:
		LOAD(uint16_t, i, x);
	case QDQ_TYPE_INT16:
		LOAD(int16_t, i, x);
	case QDQ_TYPE_UINT32:
		LOAD(uint32_t, i, x);
	case QDQ_TYPE_INT32:
		LOAD(int32_t, i, x);
	case QDQ_TYPE_UINT64:
	case QDQ_TYPE_INT64:
		LOAD(int64_t, i, x);
	default:
		if (qdq_type_get(type)->bits > 0 && qdq_type_get(type)->bits < 8)
			load_packed(to, type, data, first, stride, n);
		break;
	}
}

#define STORE(T, expression)                                                                            \
	for (size_t k = 0; k < n; k++) {                                                                \
		T x = (T)(expression);                                                                  \
		memcpy((char *)data + (first + (int64_t)k * stride) * (int64_t)sizeof x, &x, sizeof x); \
	}                                                                                               \
	break

void qdq_store(const qdq_chunk *from, qdq_type type, void *data, int64_t first, int64_t stride, size_t n)
{
	size_t whole = stride == 1 ? as_it_is(type) : 0;
	int bits = qdq_type_get(type)->bits;

	if (whole != 0) {
		memcpy((char *)data + (size_t)first * whole, from, n * whole);
		return;
	}
	switch (type) {
	case QDQ_TYPE_FLOAT:
		STORE(float, from->f[k]);
	case QDQ_TYPE_DOUBLE:
		STORE(double, from->d[k]);
	case QDQ_TYPE_FLOAT16:
		STORE(uint16_t, qdq_f32_to_f16(from->f[k]));
	case QDQ_TYPE_BFLOAT16:
		STORE(uint16_t, qdq_f32_to_bf16(from->f[k]));
	case QDQ_TYPE_FLOAT8E4M3FN:
	case QDQ_TYPE_FLOAT8E4M3FNUZ:
	case QDQ_TYPE_FLOAT8E5M2:
	case QDQ_TYPE_FLOAT8E5M2FNUZ:
	case QDQ_TYPE_FLOAT8E8M0:
		STORE(uint8_t, qdq_f32_to_f8(type, from->f[k], true));
	case QDQ_TYPE_FLOAT4E2M1:
		for (size_t k = 0; k < n; k++)
			packed_set(data, bits, first + (int64_t)k * stride, qdq_f32_to_f8(type, from->f[k], true));
		break;
	case QDQ_TYPE_BOOL:
	case QDQ_TYPE_UINT8:
	case QDQ_TYPE_INT8:
		STORE(uint8_t, from->i[k]);
	case QDQ_TYPE_UINT16:
	case QDQ_TYPE_INT16:
		STORE(uint16_t, from->i[k]);
	case QDQ_TYPE_UINT32:
	case QDQ_TYPE_INT32:
		STORE(uint32_t, from->i[k]);
	case QDQ_TYPE_UINT64:
	case QDQ_TYPE_INT64:
		STORE(int64_t, from->i[k]);
	case QDQ_TYPE_UINT4:
	case QDQ_TYPE_INT4:
	case QDQ_TYPE_UINT2:
	case QDQ_TYPE_INT2:
		for (size_t k = 0; k < n; k++)
			packed_set(data, bits, first + (int64_t)k * stride, (uint8_t)from->i[k]);
		break;
	default:
		break;
	}
}

/* ---- conversion between wide forms ---- */

static int64_t int_of_real(double x, qdq_type to)
{
	const double limit = 0x1p63;

	if (to == QDQ_TYPE_BOOL)
		return x != 0;
	if (to == QDQ_TYPE_UINT64 && x >= limit)
		return x < 2 * limit ? (int64_t)((uint64_t)(int64_t)(x - limit) ^ (UINT64_C(1) << 63)) : 0;
	if (to == QDQ_TYPE_INT64 || to == QDQ_TYPE_UINT64 || to == QDQ_TYPE_UINT32)
		return x >= -limit && x < limit ? (int64_t)x : INT64_MIN;
	return x > -2147483649.0 && x < 2147483648.0 ? (int32_t)x : INT32_MIN;
}

void qdq_convert(qdq_chunk *c, qdq_type from, qdq_type to, size_t n)
{
	qdq_wide a = qdq_wide_of(from), b = qdq_wide_of(to);
	bool is_unsigned = from == QDQ_TYPE_UINT64;

	/* double and int64 are as wide as each other, twice a float: so floats grow from the end */
	if (a == QDQ_WIDE_F32 && b == QDQ_WIDE_F64)
		for (size_t k = n; k-- > 0;)
			c->d[k] = c->f[k];
	else if (a == QDQ_WIDE_F32 && b == QDQ_WIDE_INT)
		for (size_t k = n; k-- > 0;)
			c->i[k] = int_of_real(c->f[k], to);
	else if (a == QDQ_WIDE_F64 && b == QDQ_WIDE_F32)
		for (size_t k = 0; k < n; k++)
			c->f[k] = (float)c->d[k];
	else if (a == QDQ_WIDE_F64 && b == QDQ_WIDE_INT)
		for (size_t k = 0; k < n; k++)
			c->i[k] = int_of_real(c->d[k], to);
	else if (a == QDQ_WIDE_INT && b == QDQ_WIDE_F32)
		for (size_t k = 0; k < n; k++)
			c->f[k] = is_unsigned ? (float)(uint64_t)c->i[k] : (float)c->i[k];
	else if (a == QDQ_WIDE_INT && b == QDQ_WIDE_F64)
		for (size_t k = 0; k < n; k++)
			c->d[k] = is_unsigned ? (double)(uint64_t)c->i[k] : (double)c->i[k];
	else if (a == QDQ_WIDE_INT && to == QDQ_TYPE_BOOL)
		for (size_t k = 0; k < n; k++)
			c->i[k] = c->i[k] != 0;
}

/* ---- cells ---- */

static size_t cell_width(qdq_type type)
{
	size_t bits = qdq_type_get(type)->bits;

	return type == QDQ_TYPE_STRING ? sizeof(qdq_bytes) : bits < 8 ? 1 : bits / 8;
}

bool qdq_cells_in(qdq_eval *e, const qdq_tensor *t, qdq_cells *out)
{
	if (t == NULL)
		return false;
	int bits = qdq_type_get(t->type)->bits;
	*out = (qdq_cells){.width = cell_width(t->type)};
	if (t->type == QDQ_TYPE_STRING) {
		out->data = qdq_eval_temp(e, t->count, sizeof(qdq_bytes));
		if (t->count > 0)
			memcpy(out->data, t->strings, t->count * sizeof(qdq_bytes));
	} else if (bits < 8) {
		out->data = qdq_eval_temp(e, t->count, 1);
		for (uint64_t i = 0; i < t->count; i++)
			out->data[i] = (char)packed_get(t->data, bits, (int64_t)i);
	} else {
		/* read only: the one place where constness is dropped, so that both sides of a copy have one type */
		memcpy(&out->data, &t->data, sizeof out->data);
	}
	return true;
}

bool qdq_cells_out(qdq_eval *e, uint32_t i, qdq_type type, int rank, const int64_t *dims, qdq_cells *out)
{
	char *data = qdq_eval_output(e, i, type, rank, dims);

	if (data == NULL)
		return false;
	*out = (qdq_cells){.width = cell_width(type), .data = data};
	int bits = qdq_type_get(type)->bits;
	if (bits >= 8 || bits == 0)
		return true;
	uint64_t count = (uint64_t)qdq_product(dims, 0, rank);
	qdq_cells *pending = qdq_eval_temp(e, 1, sizeof *pending);
	*pending = (qdq_cells){.data = qdq_eval_temp(e, count, 1), .next = e->pending, .width = (size_t)count};
	pending->packed = data;
	pending->bits = bits;
	e->pending = pending;
	out->data = pending->data;
	return true;
}

void qdq_cells_pack(qdq_eval *e)
{
	for (const qdq_cells *p = e->pending; p != NULL; p = p->next)
		for (size_t i = 0; i < p->width; i++)
			packed_set(p->packed, p->bits, (int64_t)i, (uint8_t)p->data[i]);
}

bool qdq_cells_fill(qdq_eval *e, const qdq_tensor *t, qdq_type type, qdq_cells *out)
{
	if (t != NULL)
		return t->count == 1 && t->type == type && qdq_cells_in(e, t, out);
	*out = (qdq_cells){.width = cell_width(type)};
	out->data = qdq_eval_temp(e, 1, out->width);
	return true;
}

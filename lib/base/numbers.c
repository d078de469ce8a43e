/* SPDX-License-Identifier: Apache-2.0
 *
 * numbers.c -- element types, small floats, rounding
 *
 * Every conversion here rounds half to even and is exact otherwise. The formats of eight bits and less share one
 * description (struct small_float), so there is one encoder and one decoder for all of them.
 */
#include <limits.h>
#include <math.h>

#include "base.h"

static const qdq_type_info types[] = {
    [QDQ_TYPE_NONE] = {"undefined", 0, 0, 0},
    [QDQ_TYPE_FLOAT] = {"float", 32, 1, 1},
    [QDQ_TYPE_UINT8] = {"uint8", 8, 0, 0},
    [QDQ_TYPE_INT8] = {"int8", 8, 0, 1},
    [QDQ_TYPE_UINT16] = {"uint16", 16, 0, 0},
    [QDQ_TYPE_INT16] = {"int16", 16, 0, 1},
    [QDQ_TYPE_INT32] = {"int32", 32, 0, 1},
    [QDQ_TYPE_INT64] = {"int64", 64, 0, 1},
    [QDQ_TYPE_STRING] = {"string", 0, 0, 0},
    [QDQ_TYPE_BOOL] = {"bool", 8, 0, 0},
    [QDQ_TYPE_FLOAT16] = {"float16", 16, 1, 1},
    [QDQ_TYPE_DOUBLE] = {"double", 64, 1, 1},
    [QDQ_TYPE_UINT32] = {"uint32", 32, 0, 0},
    [QDQ_TYPE_UINT64] = {"uint64", 64, 0, 0},
    [QDQ_TYPE_COMPLEX64] = {"complex64", 64, 0, 0},
    [QDQ_TYPE_COMPLEX128] = {"complex128", 128, 0, 0},
    [QDQ_TYPE_BFLOAT16] = {"bfloat16", 16, 1, 1},
    [QDQ_TYPE_FLOAT8E4M3FN] = {"float8e4m3fn", 8, 1, 1},
    [QDQ_TYPE_FLOAT8E4M3FNUZ] = {"float8e4m3fnuz", 8, 1, 1},
    [QDQ_TYPE_FLOAT8E5M2] = {"float8e5m2", 8, 1, 1},
    [QDQ_TYPE_FLOAT8E5M2FNUZ] = {"float8e5m2fnuz", 8, 1, 1},
    [QDQ_TYPE_UINT4] = {"uint4", 4, 0, 0},
    [QDQ_TYPE_INT4] = {"int4", 4, 0, 1},
    [QDQ_TYPE_FLOAT4E2M1] = {"float4e2m1", 4, 1, 1},
    [QDQ_TYPE_FLOAT8E8M0] = {"float8e8m0", 8, 1, 0},
    [QDQ_TYPE_UINT2] = {"uint2", 2, 0, 0},
    [QDQ_TYPE_INT2] = {"int2", 2, 0, 1},
};

const qdq_type_info *qdq_type_get(qdq_type type)
{
	return &types[(size_t)type < QDQ_COUNTOF(types) ? type : QDQ_TYPE_NONE];
}

qdq_type qdq_type_find(const char *name, size_t length)
{
	for (size_t i = QDQ_TYPE_NONE + 1; i < QDQ_COUNTOF(types); i++)
		if (strlen(types[i].name) == length && memcmp(types[i].name, name, length) == 0)
			return (qdq_type)i;
	return QDQ_TYPE_NONE;
}

bool qdq_type_size(qdq_type type, uint64_t count, uint64_t *size)
{
	uint64_t bits = qdq_type_get(type)->bits;

	*size = 0;
	if (bits >= 8) {
		if (count > UINT64_MAX / (bits / 8))
			return false;
		*size = count * (bits / 8);
	} else if (bits != 0) {
		uint64_t per_byte = 8 / bits;
		*size = count / per_byte + (count % per_byte != 0);
	}
	return true;
}

int64_t qdq_type_min(qdq_type type)
{
	const qdq_type_info *info = qdq_type_get(type);

	if (info->is_float || !info->is_signed || info->bits == 0 || info->bits > 32)
		return 0;
	return -((int64_t)1 << (info->bits - 1));
}

int64_t qdq_type_max(qdq_type type)
{
	const qdq_type_info *info = qdq_type_get(type);

	if (type == QDQ_TYPE_BOOL)
		return 1;
	if (info->is_float || info->bits == 0 || info->bits > 32)
		return 0;
	return ((int64_t)1 << (info->bits - info->is_signed)) - 1;
}

/* ---- sixteen bits ---- */

static float float_of_bits(uint32_t bits)
{
	float f;

	memcpy(&f, &bits, sizeof f);
	return f;
}

static uint32_t bits_of_float(float f)
{
	uint32_t bits;

	memcpy(&bits, &f, sizeof bits);
	return bits;
}

float qdq_f16_to_f32(uint16_t h)
{
	uint32_t sign = (uint32_t)(h & 0x8000) << 16, exponent = (h >> 10) & 31, mantissa = h & 0x3ff;

	if (exponent == 31)
		return float_of_bits(sign | 0x7f800000 | mantissa << 13);
	if (exponent != 0)
		return float_of_bits(sign | (exponent + 112) << 23 | mantissa << 13);
	float f = (float)mantissa * 0x1p-24f; /* subnormal or zero: exact */
	return sign ? -f : f;
}

uint16_t qdq_f32_to_f16(float f)
{
	uint32_t bits = bits_of_float(f), sign = bits >> 16 & 0x8000, magnitude = bits & 0x7fffffff;

	if (magnitude > 0x7f800000) /* NaN: quiet, upper payload kept */
		return (uint16_t)(sign | 0x7e00 | (magnitude >> 13 & 0x1ff));
	if (magnitude >= 0x477ff000) /* 65520 and above round to infinity */
		return (uint16_t)(sign | 0x7c00);
	if (magnitude < 0x38800000) { /* below the least normal: the unit is 2^-24, and adding 0.5f rounds to it */
		float shifted = float_of_bits(magnitude) + 0.5f;
		return (uint16_t)(sign | (bits_of_float(shifted) - 0x3f000000));
	}
	magnitude += 0xfff + (magnitude >> 13 & 1);
	return (uint16_t)(sign | (magnitude - 0x38000000) >> 13);
}

float qdq_bf16_to_f32(uint16_t h)
{
	return float_of_bits((uint32_t)h << 16);
}

uint16_t qdq_f32_to_bf16(float f)
{
	uint32_t bits = bits_of_float(f);

	if ((bits & 0x7fffffff) > 0x7f800000)
		return (uint16_t)(bits >> 16 | 0x40);
	return (uint16_t)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

/* ---- eight bits and less ---- */

typedef struct small_float {
	uint8_t mantissa_bits;
	int8_t bias;
	uint8_t sign;	    /* the sign bit */
	uint8_t max;	    /* code of the greatest finite value */
	uint8_t nan;	    /* what NaN becomes */
	uint8_t overflow;   /* what too large a value becomes without saturation */
	bool unsigned_zero; /* the sign alone is no negative zero: -0 is 0 */
} small_float;

static const small_float *small_float_get(qdq_type type)
{
	static const small_float e4m3fn = {3, 7, 0x80, 0x7e, 0x7f, 0x7f, false};
	static const small_float e4m3fnuz = {3, 8, 0x80, 0x7f, 0x80, 0x80, true};
	static const small_float e5m2 = {2, 15, 0x80, 0x7b, 0x7f, 0x7c, false};
	static const small_float e5m2fnuz = {2, 16, 0x80, 0x7f, 0x80, 0x80, true};
	static const small_float e2m1 = {1, 1, 0x08, 0x07, 0x08, 0x07, false};

	switch (type) {
	case QDQ_TYPE_FLOAT8E4M3FN:
		return &e4m3fn;
	case QDQ_TYPE_FLOAT8E4M3FNUZ:
		return &e4m3fnuz;
	case QDQ_TYPE_FLOAT8E5M2:
		return &e5m2;
	case QDQ_TYPE_FLOAT8E5M2FNUZ:
		return &e5m2fnuz;
	default:
		return &e2m1;
	}
}

float qdq_f8_to_f32(qdq_type type, uint8_t code)
{
	const small_float *s = small_float_get(type);

	if (type == QDQ_TYPE_FLOAT8E8M0) /* a power of two, no sign, no zero */
		return code == 0xff ? NAN : ldexpf(1.0f, code - 127);
	bool negative = (code & s->sign) != 0;
	int magnitude = code & (s->sign - 1), exponent = magnitude >> s->mantissa_bits;
	int mantissa = magnitude & ((1 << s->mantissa_bits) - 1);
	if (s->unsigned_zero && code == s->nan)
		return NAN;
	if (magnitude > s->max) /* infinity, where the format has one, stands just behind the greatest */
		return type == QDQ_TYPE_FLOAT8E5M2 && mantissa == 0 ? (negative ? -INFINITY : INFINITY) : NAN;
	if (exponent == 0)
		exponent = 1;
	else
		mantissa |= 1 << s->mantissa_bits;
	float f = ldexpf((float)mantissa, exponent - s->bias - s->mantissa_bits);
	return negative ? -f : f;
}

/* Up to the next power of two, which is Cast's default for this type. */
static uint8_t encode_e8m0(float f, bool saturate)
{
	uint32_t bits = bits_of_float(f), magnitude = bits & 0x7fffffff;
	int exponent;

	if (magnitude > 0x7f800000)
		return 0xff;
	if (magnitude == 0x7f800000)
		return saturate ? 0xfe : 0xff;
	if (magnitude == 0)
		return 0;
	float fraction = frexpf(float_of_bits(magnitude), &exponent); /* in [1/2, 1) */
	int code = exponent - (fraction == 0.5f) + 127;
	if (code > 0xfe)
		return saturate ? 0xfe : 0xff;
	return (uint8_t)(code < 0 ? 0 : code);
}

uint8_t qdq_f32_to_f8(qdq_type type, float f, bool saturate)
{
	const small_float *s = small_float_get(type);

	if (type == QDQ_TYPE_FLOAT8E8M0)
		return encode_e8m0(f, saturate);
	uint8_t sign = signbit(f) ? s->sign : 0;
	if (isnan(f))
		return (uint8_t)(s->unsigned_zero ? s->nan : s->nan | sign);
	double magnitude = fabs((double)f);
	int least = 1 - s->bias, exponent = least; /* of the least normal value */
	if (isfinite(magnitude) && magnitude > 0)
		frexp(magnitude, &exponent);
	exponent = exponent - 1 < least ? least : exponent - 1;
	double units = isinf(magnitude) ? 0x1p20 : qdq_round_half_even(ldexp(magnitude, s->mantissa_bits - exponent));
	/* units carries the implicit bit, and a carry out of the mantissa raises the exponent by itself */
	double code = (double)((exponent - least) * (1 << s->mantissa_bits)) + units;
	if (code > s->max)
		return (uint8_t)(saturate ? s->max | sign : s->unsigned_zero ? s->overflow : s->overflow | sign);
	if (code == 0 && s->unsigned_zero)
		return 0;
	return (uint8_t)((uint8_t)code | sign);
}

double qdq_round_half_even(double x)
{
	const double whole = 0x1p52; /* from here on there are no fractions */

	if (!(fabs(x) < whole))
		return x;
	double rounded = fabs(x) + whole;
	rounded -= whole;
	return copysign(rounded, x);
}

/* ---- integers ---- */

bool qdq_mul_overflow(int64_t a, int64_t b, int64_t *out)
{
	*out = (int64_t)((uint64_t)a * (uint64_t)b);
	if (a == 0 || b == 0)
		return false;
	if ((a == -1 && b == INT64_MIN) || (b == -1 && a == INT64_MIN))
		return true;
	return *out / b != a;
}

bool qdq_add_overflow(int64_t a, int64_t b, int64_t *out)
{
	*out = (int64_t)((uint64_t)a + (uint64_t)b);
	return (a >= 0) == (b >= 0) && (*out >= 0) != (a >= 0);
}

/* SPDX-License-Identifier: Apache-2.0
 *
 * numbers.c -- every code of every small float, there and back, and what lies between two codes
 *
 * Decoding is checked against the formats' published extremes and spacing; encoding against decoding, by the
 * definition of rounding: the midpoint of two neighbours goes to the even one, what is nearer to one goes there.
 */
#include <math.h>

#include "../../lib/base/base.h"
#include "suites.h"

typedef struct format {
	qdq_type type;
	uint16_t max;	/* code of the greatest finite value */
	float greatest; /* its value */
	float least;	/* the least value above 0 */
	uint16_t sign;
	bool has_infinity, has_nan, has_negative_zero;
} format;

static const format formats[] = {
    {QDQ_TYPE_FLOAT16, 0x7bff, 65504.0f, 0x1p-24f, 0x8000, true, true, true},
    {QDQ_TYPE_BFLOAT16, 0x7f7f, 0x1.fep127f, 0x1p-133f, 0x8000, true, true, true},
    {QDQ_TYPE_FLOAT8E4M3FN, 0x7e, 448.0f, 0x1p-9f, 0x80, false, true, true},
    {QDQ_TYPE_FLOAT8E4M3FNUZ, 0x7f, 240.0f, 0x1p-10f, 0x80, false, true, false},
    {QDQ_TYPE_FLOAT8E5M2, 0x7b, 57344.0f, 0x1p-16f, 0x80, true, true, true},
    {QDQ_TYPE_FLOAT8E5M2FNUZ, 0x7f, 57344.0f, 0x1p-17f, 0x80, false, true, false},
    {QDQ_TYPE_FLOAT4E2M1, 0x07, 6.0f, 0.5f, 0x08, false, false, true},
};

static float decode(const format *f, uint16_t code)
{
	return f->type == QDQ_TYPE_FLOAT16    ? qdq_f16_to_f32(code)
	       : f->type == QDQ_TYPE_BFLOAT16 ? qdq_bf16_to_f32(code)
					      : qdq_f8_to_f32(f->type, (uint8_t)code);
}

static uint16_t encode(const format *f, float x, bool saturate)
{
	return f->type == QDQ_TYPE_FLOAT16    ? qdq_f32_to_f16(x)
	       : f->type == QDQ_TYPE_BFLOAT16 ? qdq_f32_to_bf16(x)
					      : qdq_f32_to_f8(f->type, x, saturate);
}

START_TEST(decoding)
{
	const format *f = &formats[_i];

	ck_assert(decode(f, 0) == 0 && !signbit(decode(f, 0)));
	ck_assert(decode(f, f->max) == f->greatest);
	ck_assert(decode(f, 1) == f->least);
	for (uint16_t code = 0; code < f->max; code++)
		ck_assert(decode(f, code) < decode(f, (uint16_t)(code + 1)));
	for (uint16_t code = 1; code <= f->max; code++)
		ck_assert(decode(f, code | f->sign) == -decode(f, code));
	if (f->has_negative_zero)
		ck_assert(decode(f, f->sign) == 0 && signbit(decode(f, f->sign)));
	else
		ck_assert(isnan(decode(f, f->sign)));
	if (f->has_infinity)
		ck_assert(isinf(decode(f, (uint16_t)(f->max + 1))) && isnan(decode(f, (uint16_t)(f->max + 2))));
}
END_TEST

START_TEST(encoding)
{
	const format *f = &formats[_i];

	for (uint16_t code = 0; code <= f->max; code++) {
		float x = decode(f, code);
		ck_assert_uint_eq(encode(f, x, true), code);
		if (code != 0 || f->has_negative_zero)
			ck_assert_uint_eq(encode(f, -x, true), code | f->sign);
		if (code == f->max)
			break;
		/* exact in double, and in float but for the least of bfloat16, where float itself ends at 2^-149 */
		float next = decode(f, (uint16_t)(code + 1)), middle = (float)(((double)x + (double)next) / 2);
		ck_assert_uint_eq(encode(f, middle, false), code + (code & 1));
		ck_assert_uint_eq(encode(f, nextafterf(middle, 0), false), code);
		ck_assert_uint_eq(encode(f, nextafterf(middle, INFINITY), false), code + 1);
		ck_assert_uint_eq(encode(f, -nextafterf(middle, INFINITY), false), (code + 1) | f->sign);
	}
}
END_TEST

START_TEST(overflow)
{
	const format *f = &formats[_i];
	float step = f->greatest - decode(f, (uint16_t)(f->max - 1));
	float tie = f->greatest + step / 2; /* goes to the even code: the greatest, or what comes after */
	bool stays = f->max % 2 == 0;

	if (f->type != QDQ_TYPE_BFLOAT16) {
		ck_assert(decode(f, encode(f, nextafterf(tie, 0), false)) == f->greatest);
		uint16_t code = encode(f, tie, false);
		ck_assert((decode(f, code) == f->greatest) == (stays || !f->has_nan));
	}
	if (f->has_infinity)
		ck_assert(isinf(decode(f, encode(f, INFINITY, false))));
	else if (f->has_nan)
		ck_assert(isnan(decode(f, encode(f, INFINITY, false))) && isnan(decode(f, encode(f, 1e30f, false))));
	if (qdq_type_get(f->type)->bits < 16) {
		ck_assert_uint_eq(encode(f, INFINITY, true), f->max);
		ck_assert_uint_eq(encode(f, -INFINITY, true), f->max | f->sign);
		ck_assert_uint_eq(encode(f, 1e30f, true), f->max);
	}
	if (f->has_nan)
		ck_assert(isnan(decode(f, encode(f, NAN, true))) && isnan(decode(f, encode(f, -NAN, false))));
	ck_assert_uint_eq(encode(f, 0, true), 0);
	ck_assert_uint_eq(encode(f, -0.0f, true), f->has_negative_zero ? f->sign : 0);
	ck_assert_uint_eq(encode(f, f->least * 0.499f, true), 0);
}
END_TEST

START_TEST(known_codes)
{
	ck_assert_uint_eq(qdq_f32_to_f16(1.0f), 0x3c00);
	ck_assert_uint_eq(qdq_f32_to_f16(-2.5f), 0xc100);
	ck_assert_uint_eq(qdq_f32_to_f16(65519.996f), 0x7bff);
	ck_assert_uint_eq(qdq_f32_to_f16(65520.0f), 0x7c00);
	ck_assert_uint_eq(qdq_f32_to_f16(0x1p-14f), 0x0400);
	ck_assert_uint_eq(qdq_f32_to_f16(0x1p-25f), 0x0000);
	ck_assert_uint_eq(qdq_f32_to_f16(0x1.8p-25f), 0x0001);
	ck_assert_uint_eq(qdq_f32_to_bf16(1.0f), 0x3f80);
	ck_assert_uint_eq(qdq_f32_to_bf16(0x1.01p0f), 0x3f80); /* a tie: even */
	ck_assert_uint_eq(qdq_f32_to_bf16(0x1.03p0f), 0x3f82);
	ck_assert_uint_eq(qdq_f32_to_f8(QDQ_TYPE_FLOAT8E4M3FN, 1.0f, true), 0x38);
	ck_assert_uint_eq(qdq_f32_to_f8(QDQ_TYPE_FLOAT8E5M2, 1.0f, true), 0x3c);
	ck_assert_uint_eq(qdq_f32_to_f8(QDQ_TYPE_FLOAT8E4M3FNUZ, 1.0f, true), 0x40);
	ck_assert_uint_eq(qdq_f32_to_f8(QDQ_TYPE_FLOAT8E5M2FNUZ, 1.0f, true), 0x40);
	ck_assert_uint_eq(qdq_f32_to_f8(QDQ_TYPE_FLOAT4E2M1, 1.5f, true), 0x03);
	ck_assert_uint_eq(qdq_f32_to_f8(QDQ_TYPE_FLOAT4E2M1, 1e9f, false), 0x07);
}
END_TEST

START_TEST(powers_of_two)
{
	for (unsigned code = 0; code < 0xff; code++) {
		float x = qdq_f8_to_f32(QDQ_TYPE_FLOAT8E8M0, (uint8_t)code);
		ck_assert(x == ldexpf(1, (int)code - 127));
		ck_assert_uint_eq(qdq_f32_to_f8(QDQ_TYPE_FLOAT8E8M0, x, true), code);
		if (code < 0xfe)
			ck_assert_uint_eq(qdq_f32_to_f8(QDQ_TYPE_FLOAT8E8M0, nextafterf(x, INFINITY), true), code + 1);
	}
	ck_assert(isnan(qdq_f8_to_f32(QDQ_TYPE_FLOAT8E8M0, 0xff)));
	ck_assert_uint_eq(qdq_f32_to_f8(QDQ_TYPE_FLOAT8E8M0, NAN, true), 0xff);
	ck_assert_uint_eq(qdq_f32_to_f8(QDQ_TYPE_FLOAT8E8M0, INFINITY, true), 0xfe);
	ck_assert_uint_eq(qdq_f32_to_f8(QDQ_TYPE_FLOAT8E8M0, INFINITY, false), 0xff);
	ck_assert_uint_eq(qdq_f32_to_f8(QDQ_TYPE_FLOAT8E8M0, 0, true), 0);
}
END_TEST

START_TEST(rounding)
{
	static const double cases[][2] = {
	    {0.5, 0},
	    {1.5, 2},
	    {2.5, 2},
	    {-0.5, -0.0},
	    {-1.5, -2},
	    {-2.5, -2},
	    {0.49999999999999994, 0},
	    {3.4999999999999996, 3},
	    {0x1p52, 0x1p52},
	    {0x1p52 + 1, 0x1p52 + 1},
	    {-0x1.8p60, -0x1.8p60},
	    {4503599627370495.5, 0x1p52},
	};

	for (size_t i = 0; i < QDQ_COUNTOF(cases); i++)
		ck_assert(qdq_round_half_even(cases[i][0]) == cases[i][1]);
	ck_assert(signbit(qdq_round_half_even(-0.25)));
	ck_assert(isnan(qdq_round_half_even(NAN)));
	ck_assert(isinf(qdq_round_half_even(-INFINITY)));
}
END_TEST

START_TEST(type_table)
{
	uint64_t size;

	for (int i = QDQ_TYPE_FLOAT; i <= QDQ_TYPE_INT2; i++) {
		const char *name = qdq_type_get((qdq_type)i)->name;
		ck_assert_int_eq((int)qdq_type_find(name, strlen(name)), i);
	}
	ck_assert_int_eq((int)qdq_type_find("floa", 4), QDQ_TYPE_NONE);
	ck_assert_int_eq((int)qdq_type_find("undefined", 9), QDQ_TYPE_NONE);
	ck_assert_int_eq(qdq_type_get((qdq_type)1000)->bits, 0);
	ck_assert_int_eq(qdq_type_min(QDQ_TYPE_INT8), -128);
	ck_assert_int_eq(qdq_type_max(QDQ_TYPE_UINT8), 255);
	ck_assert_int_eq(qdq_type_min(QDQ_TYPE_INT2), -2);
	ck_assert_int_eq(qdq_type_max(QDQ_TYPE_UINT2), 3);
	ck_assert_int_eq(qdq_type_max(QDQ_TYPE_UINT4), 15);
	ck_assert_int_eq(qdq_type_min(QDQ_TYPE_INT32), INT32_MIN);
	ck_assert_int_eq(qdq_type_max(QDQ_TYPE_UINT32), UINT32_MAX);
	ck_assert_int_eq(qdq_type_max(QDQ_TYPE_BOOL), 1);
	ck_assert(qdq_type_size(QDQ_TYPE_INT4, 7, &size) && size == 4);
	ck_assert(qdq_type_size(QDQ_TYPE_UINT2, 5, &size) && size == 2);
	ck_assert(qdq_type_size(QDQ_TYPE_FLOAT16, 5, &size) && size == 10);
	ck_assert(qdq_type_size(QDQ_TYPE_INT4, UINT64_MAX, &size) && size == UINT64_MAX / 2 + 1);
	ck_assert(qdq_type_size(QDQ_TYPE_STRING, UINT64_MAX, &size) && size == 0);
	ck_assert(!qdq_type_size(QDQ_TYPE_DOUBLE, UINT64_MAX / 8 + 1, &size));
}
END_TEST

START_TEST(integers)
{
	int64_t out;

	ck_assert(!qdq_mul_overflow(INT64_MAX / 3, 3, &out) && out == INT64_MAX / 3 * 3);
	ck_assert(!qdq_mul_overflow(INT64_MIN, 1, &out) && out == INT64_MIN);
	ck_assert(qdq_mul_overflow(INT64_MIN, -1, &out));
	ck_assert(qdq_mul_overflow(-1, INT64_MIN, &out));
	ck_assert(qdq_mul_overflow(INT64_C(1) << 32, INT64_C(1) << 31, &out));
	ck_assert(!qdq_mul_overflow(INT64_C(1) << 32, -(INT64_C(1) << 31), &out) && out == INT64_MIN);
	ck_assert(!qdq_mul_overflow(0, INT64_MIN, &out) && out == 0);
	ck_assert(!qdq_add_overflow(INT64_MAX, INT64_MIN, &out) && out == -1);
	ck_assert(qdq_add_overflow(INT64_MAX, 1, &out));
	ck_assert(qdq_add_overflow(INT64_MIN, -1, &out));
	ck_assert(!qdq_add_overflow(INT64_MIN, 0, &out) && out == INT64_MIN);
}
END_TEST

Suite *numbers_suite(void)
{
	Suite *s = suite_create("numbers");
	TCase *t = tcase_create("small floats");
	int count = (int)QDQ_COUNTOF(formats);

	tcase_add_loop_test(t, decoding, 0, count);
	tcase_add_loop_test(t, encoding, 0, count);
	tcase_add_loop_test(t, overflow, 0, count);
	tcase_add_test(t, known_codes);
	tcase_add_test(t, powers_of_two);
	suite_add_tcase(s, t);
	t = tcase_create("types and integers");
	tcase_add_test(t, rounding);
	tcase_add_test(t, type_table);
	tcase_add_test(t, integers);
	suite_add_tcase(s, t);
	return s;
}

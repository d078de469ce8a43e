/* SPDX-License-Identifier: Apache-2.0
 *
 * quant.c -- tests of what scales and zero points say: their extent, and which codes come back
 */
#include <float.h>
#include <math.h>

#include "suites.h"
#include "text_fixture.h"

static qdq_value *numbers(qdq_model *m, qdq_type type, const double *numbers, int64_t count)
{
	qdq_tensor *t = qdq_tensor_new(m, type, 1, &count);

	for (int64_t i = 0; i < count; i++)
		qdq_tensor_set_real(t, (uint64_t)i, numbers[i]);
	return qdq_graph_add_constant(m->graph, qdq_unique_name(&m->names, "c"), t);
}

static const struct {
	qdq_type type;
	int64_t count;
	double numbers[3], least, greatest;
} extents[] = {
    {QDQ_TYPE_FLOAT, 3, {0.5, 0.25, 2}, 0.25, 2},
    {QDQ_TYPE_FLOAT, 3, {-1, 0, 1}, -1, 1},
    {QDQ_TYPE_FLOAT, 3, {1, INFINITY, 2}, 1, INFINITY},
    {QDQ_TYPE_FLOAT, 3, {1, NAN, 2}, NAN, NAN},
    {QDQ_TYPE_FLOAT, 3, {1, 2, NAN}, NAN, NAN},
    {QDQ_TYPE_FLOAT16, 2, {0.5, 0.125}, 0.125, 0.5},
    {QDQ_TYPE_BFLOAT16, 1, {4}, 4, 4},
    {QDQ_TYPE_INT8, 3, {0, 0, 0}, 0, 0},
    {QDQ_TYPE_INT8, 3, {0, 0, -3}, -3, 0},
    {QDQ_TYPE_INT8, 2, {-128, 127}, -128, 127},
    {QDQ_TYPE_UINT8, 2, {0, 255}, 0, 255},
    {QDQ_TYPE_UINT8, 0, {0}, 0, 0},
};

START_TEST(extent)
{
	session s;
	qdq_model *m;
	const qdq_tensor *t;

	start(&s);
	m = parse(&s, HEADER "g () => () {}");
	t = numbers(m, extents[_i].type, extents[_i].numbers, extents[_i].count)->tensor;
	for (int turn = 0; turn < 2; turn++) { /* found, and remembered */
		qdq_extent e = qdq_tensor_extent(t);

		ck_assert(isnan(extents[_i].least) ? isnan(e.least) : e.least == extents[_i].least);
		ck_assert(isnan(extents[_i].greatest) ? isnan(e.greatest) : e.greatest == extents[_i].greatest);
	}
	finish(&s);
}
END_TEST

/* Where no code need be tried, trying them all says the same. */
static const double scales[] = {(double)FLT_MIN,
				(double)FLT_MIN * 1.7,
				(double)FLT_MIN / 2,
				(double)FLT_TRUE_MIN,
				1e-30,
				0.0078125,
				1.0 / 3,
				0.1f,
				3.7e5,
				(double)FLT_MAX / 65536,
				(double)FLT_MAX / 32768,
				(double)FLT_MAX / 255,
				(double)FLT_MAX};

START_TEST(round_trip)
{
	static const qdq_type codes[] = {QDQ_TYPE_INT8, QDQ_TYPE_UINT8, QDQ_TYPE_INT16, QDQ_TYPE_UINT16};
	session s;
	qdq_model *m;

	start(&s);
	m = parse(&s, HEADER "g () => () {}");
	for (size_t i = 0; i < QDQ_COUNTOF(codes); i++) {
		int64_t least = qdq_type_min(codes[i]), greatest = qdq_type_max(codes[i]);
		qdq_params p = {.codes = codes[i],
				.real = QDQ_TYPE_FLOAT,
				.scale = numbers(m, QDQ_TYPE_FLOAT, &scales[_i], 1),
				.constant = true,
				.per_tensor = true,
				.count = 1,
				.positive = true};
		bool all = true;

		for (int64_t q = least; q <= greatest && all; q++)
			all = qdq_params_gives(&p, 0, qdq_params_real(&p, 0, q), q);
		ck_assert_int_eq(qdq_params_round_trip(&p), all);
	}
	finish(&s);
}
END_TEST

START_TEST(numbered)
{
	session s;
	qdq_model *m;

	start(&s);
	m = parse(&s, HEADER "g () => () {}");
	ck_assert_str_eq(qdq_numbered(&m->arena, "a", ".in", 0), "a.in0");
	ck_assert_str_eq(qdq_numbered(&m->arena, "", "", 10), "10");
	ck_assert_str_eq(qdq_numbered(&m->arena, "b", "_", UINT64_MAX), "b_18446744073709551615");
	finish(&s);
}
END_TEST

Suite *quant_suite(void)
{
	Suite *s = suite_create("quant");
	TCase *t = tcase_create("quant");

	tcase_add_loop_test(t, extent, 0, (int)QDQ_COUNTOF(extents));
	tcase_add_loop_test(t, round_trip, 0, (int)QDQ_COUNTOF(scales));
	tcase_add_test(t, numbered);
	suite_add_tcase(s, t);
	return s;
}

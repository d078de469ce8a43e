/* SPDX-License-Identifier: Apache-2.0
 *
 * origins.c -- tests of nodes that stand for several nodes of the user's file
 */
#include "suites.h"
#include "text_fixture.h"

enum { MANY = 100000 };

static qdq_origin one(uint32_t index, const qdq_origin *next)
{
	return (qdq_origin){.index = index, .name = "", .op_type = "Relu", .next = next};
}

static size_t count(const qdq_origin *o)
{
	size_t n = 0;

	for (; o != NULL; o = o->next)
		n++;
	return n;
}

static void join_few(void *arg)
{
	qdq_model *m = ((session *)arg)->m;
	const qdq_origin a = one(1, NULL), again = one(1, NULL), b = one(2, NULL), cb = one(3, &b), ab = one(1, &b);
	const qdq_origin *j;

	ck_assert_ptr_eq(qdq_origin_join(m, NULL, &a), &a);
	ck_assert_ptr_eq(qdq_origin_join(m, &a, NULL), &a);
	ck_assert_ptr_eq(qdq_origin_join(m, &a, &a), &a);
	ck_assert_uint_eq(count(qdq_origin_join(m, &a, &again)), 1);
	ck_assert_uint_eq(count(qdq_origin_join(m, &a, &ab)), 2);
	ck_assert_uint_eq(count(qdq_origin_join(m, &ab, &a)), 2);
	ck_assert_uint_eq(count(qdq_origin_join(m, &ab, &cb)), 3);
	ck_assert_uint_eq(count(qdq_origin_join(m, &b, &ab)), 2);
	j = qdq_origin_join(m, &a, &cb); /* the first stays first, whichever list is longer */
	ck_assert_uint_eq(count(j), 3);
	ck_assert_uint_eq(j->index, 1);
	j = qdq_origin_join(m, &cb, &a);
	ck_assert_uint_eq(count(j), 3);
	ck_assert_uint_eq(j->index, 3);
	ck_assert(a.next == NULL && b.next == NULL && cb.next == &b);
}

static void join_many(void *arg)
{
	qdq_model *m = ((session *)arg)->m;
	qdq_origin *o = qdq_array(&m->arena, qdq_origin, MANY);
	const qdq_origin *left = NULL, *right = NULL;
	uint64_t sum = 0;

	for (uint32_t i = 0; i < MANY; i++) {
		o[i] = one(i, NULL);
		left = qdq_origin_join(m, left, &o[i]);
		right = qdq_origin_join(m, &o[i], right);
	}
	ck_assert_uint_eq(left->index, 0);
	ck_assert_uint_eq(right->index, MANY - 1);
	ck_assert_uint_eq(count(left), MANY);
	ck_assert_uint_eq(count(right), MANY);
	for (; left != NULL; left = left->next)
		sum += left->index;
	ck_assert_uint_eq(sum, (uint64_t)MANY * (MANY - 1) / 2);
}

static void check(void (*body)(void *arg))
{
	session s;

	start(&s);
	s.m = parse(&s, HEADER "g (float[2] x) => (float[2] y) { y = Relu(x) }");
	ck_assert_int_eq(qdq_guard(s.ctx, body, &s), QDQ_OK);
	finish(&s);
}

START_TEST(test_few)
{
	check(join_few);
}
END_TEST

START_TEST(test_many)
{
	check(join_many);
}
END_TEST

Suite *origins_suite(void)
{
	Suite *s = suite_create("origins");
	TCase *c = tcase_create("all");

	tcase_add_test(c, test_few);
	tcase_add_test(c, test_many);
	suite_add_tcase(s, c);
	return s;
}

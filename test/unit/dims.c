/* SPDX-License-Identifier: Apache-2.0
 *
 * dims.c -- tests of dimensions as expressions
 */
#include "suites.h"
#include "text_fixture.h"

/* Expressions in prefix form, numbers and single letters: "*N196" is N * 196 with 196 read to its end. */
static qdq_dim read_dim(qdq_model *m, const char **s)
{
	char letter[2] = {**s, '\0'};

	while (**s == ' ')
		++*s;
	letter[0] = *(*s)++;
	if (letter[0] >= '0' && letter[0] <= '9')
		return strtoll(*s - 1, (char **)(uintptr_t)s, 10);
	if (letter[0] >= 'A' && letter[0] <= 'Z')
		return qdq_dim_symbol(m, qdq_intern(&m->names, letter));
	if (letter[0] == '?')
		return qdq_dim_unknown(m);
	qdq_dim a = read_dim(m, s), b = read_dim(m, s);
	switch (letter[0]) {
	case '*':
		return qdq_dim_binary(m, QDQ_DIM_MUL, a, b);
	case '+':
		return qdq_dim_binary(m, QDQ_DIM_ADD, a, b);
	case '-':
		return qdq_dim_binary(m, QDQ_DIM_SUB, a, b);
	case '/':
		return qdq_dim_binary(m, QDQ_DIM_DIV, a, b);
	case '%':
		return qdq_dim_binary(m, QDQ_DIM_MOD, a, b);
	default:
		ck_abort_msg("not an expression: %s", *s - 1);
	}
}

static qdq_dim dim(qdq_model *m, const char *text)
{
	const char *s = text;

	return read_dim(m, &s);
}

static const struct {
	const char *made, *printed;
} expressions[] = {
    /* numbers */
    {"8", "8"},
    {"* 3 4", "12"},
    {"- 3 4", "-1"},
    {"/ 7 2", "3"},
    {"/ - 0 7 2", "-4"},
    {"% 7 4", "3"},
    {"% - 0 1 4", "3"},
    {"* 9223372036854775807 2", "?"},
    {"+ 9223372036854775807 1", "?"},
    {"/ 3 0", "?"},
    {"% 3 0", "?"},
    /* symbols */
    {"N", "N"},
    {"?", "?"},
    {"* N 196", "N*196"},
    {"* 196 N", "N*196"},
    {"* N 0", "0"},
    {"* N 1", "N"},
    {"+ N 0", "N"},
    {"- N N", "0"},
    {"- N 0", "N"},
    {"- 0 N", "-N"},
    {"- 5 N", "5-N"},
    {"- H + W 1", "H-(W+1)"},
    {"- - H 2 1", "H-3"},
    {"+ - H 2 2", "H"},
    {"+ N N", "N*2"},
    {"- * N 3 N", "N*2"},
    {"* * N 2 3", "N*6"},
    {"* + H 1 W", "H*W+W"},
    {"* N / H 2", "N*(H/2)"},
    {"/ * H 3 * / W 2 6", "H/((W/2)*2)"},
    {"- N / H 2", "N-(H/2)"},
    {"* + H 1 - H 1", "H*H-1"},
    {"+ 1 + H 2", "H+3"},
    /* quotients */
    {"/ * N 196 196", "N"},
    {"/ * N 196 N", "196"},
    {"/ * * N 49 64 * N 64", "49"},
    {"/ * N 6 4", "N*3/2"},
    {"/ N 1", "N"},
    {"/ N N", "1"},
    {"/ 0 N", "0"},
    {"/ + H 1 2", "(H+1)/2"},
    {"/ + * N 2 3 2", "N+1"},
    {"/ + * N 4 2 4", "N"},
    {"/ - * N 4 2 4", "N-1"},
    {"/ / H 2 2", "H/4"},
    {"/ + / + H 1 2 1 2", "(H+3)/4"},
    {"/ + * H N * W N N", "H+W"},
    {"/ * H W N", "H*W/N"},
    {"/ * N N N", "N"},
    {"+ / + H 1 2 / + H 1 2", "((H+1)/2)*2"},
    {"/ + N 1 + N 1", "1"},
    {"% * N 4 4", "0"},
    {"% + * N 4 7 4", "3"},
    {"% N 4", "N%4"},
    {"/ * * * N 4611686018427387904 H 3 2", "?"},
};

START_TEST(simplifies)
{
	session s;
	qdq_model *m;

	start(&s);
	m = parse(&s, HEADER "g () => () {}");
	/* the order of symbols is the order of their birth */
	dim(m, "+ N + H W");
	ck_assert_str_eq(qdq_dim_print(m, &m->arena, dim(m, expressions[_i].made)), expressions[_i].printed);
	finish(&s);
}
END_TEST

/* Pairs that must be one number, however they are made. */
static const char *const equals[][2] = {
    {"* N H", "* H N"},
    {"* * N H W", "* N * W H"},
    {"* * N 3 * H 5", "* 15 * H N"},
    {"+ + N H W", "+ W + N H"},
    {"+ N + H 1", "+ + 1 N H"},
    {"- + N 5 + H 2", "+ - N H 3"},
    {"/ + H 1 2", "/ + 1 H 2"},
    {"/ * H 2 4", "/ H 2"},
    {"* + N 1 2", "+ * N 2 2"},
    {"/ / + H 1 2 3", "/ + H 1 6"},
    {"* N / H 2", "* / H 2 N"},
    {"/ + * N H * H H H", "+ N H"},
    {"/ + * * N N H * H N N", "+ * N H H"},
};

START_TEST(equal_expressions_are_one)
{
	session s;
	qdq_model *m;

	start(&s);
	m = parse(&s, HEADER "g () => () {}");
	ck_assert_int_eq(dim(m, equals[_i][0]), dim(m, equals[_i][1]));
	finish(&s);
}
END_TEST

START_TEST(unequal_expressions_differ)
{
	session s;
	qdq_model *m;
	static const char *const all[] = {"N",	   "H",	    "?",     "* N 2", "+ N 2", "- N 2", "/ N 2",
					  "% N 2", "+ N H", "- N H", "- H N", "* N H", "?"};

	start(&s);
	m = parse(&s, HEADER "g () => () {}");
	for (size_t i = 0; i < QDQ_COUNTOF(all); i++)
		for (size_t j = 0; j < i; j++)
			ck_assert_msg(dim(m, all[i]) != dim(m, all[j]), "%s and %s", all[i], all[j]);
	finish(&s);
}
END_TEST

/* What grows without bound becomes unknown, and nothing overflows on the way. */
START_TEST(gives_up_in_time)
{
	session s;
	qdq_model *m;
	qdq_dim sum = 0, product = 1, nest, power;
	char name[16];

	start(&s);
	m = parse(&s, HEADER "g () => () {}");
	nest = power = dim(m, "N");
	for (int i = 0; i < 100; i++) {
		snprintf(name, sizeof name, "D%d", i);
		qdq_dim d = qdq_dim_symbol(m, qdq_intern(&m->names, name));
		sum = qdq_dim_binary(m, QDQ_DIM_ADD, sum, d);
		product = qdq_dim_binary(m, QDQ_DIM_MUL, product, d);
		nest = qdq_dim_binary(m, QDQ_DIM_DIV,
				      qdq_dim_binary(m, QDQ_DIM_ADD, qdq_dim_binary(m, QDQ_DIM_MUL, nest, 3), d), 7);
		power = qdq_dim_binary(m, QDQ_DIM_MUL, power, power);
	}
	ck_assert_str_eq(qdq_dim_print(m, &m->arena, sum), "?");
	ck_assert_str_eq(qdq_dim_print(m, &m->arena, product), "?");
	ck_assert_str_eq(qdq_dim_print(m, &m->arena, nest), "?");
	ck_assert_str_eq(qdq_dim_print(m, &m->arena, power), "?");
	finish(&s);
}
END_TEST

START_TEST(counts_elements)
{
	session s;
	qdq_model *m;
	bool symbolic;

	start(&s);
	m = parse(&s, HEADER "g () => () {}");
	const qdq_dim known[] = {2, 3, 4}, with_symbol[] = {dim(m, "N"), 3, 4}, huge[] = {INT64_MAX, 3},
		      zero[] = {INT64_MAX, 3, 0};
	ck_assert_int_eq(qdq_shape_count(qdq_shape_new(m, 3, known), &symbolic), 24);
	ck_assert(!symbolic);
	ck_assert_int_eq(qdq_shape_count(qdq_shape_new(m, 3, with_symbol), &symbolic), 12);
	ck_assert(symbolic);
	ck_assert_int_eq(qdq_shape_count(qdq_shape_new(m, 0, NULL), NULL), 1);
	ck_assert_int_eq(qdq_shape_count(qdq_shape_new(m, 2, huge), NULL), INT64_MAX);
	ck_assert_int_eq(qdq_shape_count(qdq_shape_new(m, 3, zero), NULL), 0);
	ck_assert(qdq_shape_known(qdq_shape_new(m, 3, known)));
	ck_assert(!qdq_shape_known(qdq_shape_new(m, 3, with_symbol)));
	ck_assert(!qdq_shape_known(NULL));
	ck_assert(qdq_shape_equal(qdq_shape_new(m, 3, with_symbol), qdq_shape_new(m, 3, with_symbol)));
	ck_assert(!qdq_shape_equal(qdq_shape_new(m, 3, with_symbol), qdq_shape_new(m, 3, known)));
	ck_assert(!qdq_shape_equal(NULL, NULL));
	finish(&s);
}
END_TEST

Suite *dims_suite(void)
{
	Suite *suite = suite_create("dims");
	TCase *c = tcase_create("expressions");

	tcase_add_loop_test(c, simplifies, 0, QDQ_COUNTOF(expressions));
	tcase_add_loop_test(c, equal_expressions_are_one, 0, QDQ_COUNTOF(equals));
	tcase_add_test(c, unequal_expressions_differ);
	tcase_add_test(c, gives_up_in_time);
	tcase_add_test(c, counts_elements);
	suite_add_tcase(suite, c);
	return suite;
}

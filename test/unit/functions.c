/* SPDX-License-Identifier: Apache-2.0
 *
 * functions.c -- the functions that all devices share: how far they are from libm's, in double, and their very bits
 *
 * One float in 997 of all that there are. The sum of the bits is what every compiler and machine must give.
 */
#include <math.h>

#include "../../lib/exec/functions.h"
#include "suites.h"

static double exact_sigmoid(double v)
{
	return 1 / (1 + exp(-v));
}

static double exact_softplus(double v)
{
	return v > 0 ? v + log1p(exp(-v)) : log1p(exp(v));
}

static double exact_mish(double v)
{
	return v * tanh(exact_softplus(v));
}

static const struct {
	float (*function)(float v);
	double (*exact)(double v);
	double most; /* units in the last place */
	uint64_t sum;
} functions[] = {
    {qdq_exp, exp, 0.8, UINT64_C(0x4e07ef2e0a8e0f2c)},
    {qdq_sigmoid, exact_sigmoid, 1.9, UINT64_C(0x65b4487afc17576)},
    {qdq_tanh, tanh, 1.4, UINT64_C(0xd3548ce2556e8052)},
    {qdq_erf, erf, 1.1, UINT64_C(0x889d0920f8cae470)},
    {qdq_softplus, exact_softplus, 2, UINT64_C(0xf972e73bf7202f3c)},
    {qdq_mish, exact_mish, 3.5, UINT64_C(0xa8616f66e34b8d67)},
};

/* Below 2^-120 the last place of a product is that of what it was made of. */
static double last_place(double v)
{
	int exponent;

	frexp(v, &exponent);
	return ldexp(1, (exponent < -119 ? -119 : exponent) - 24);
}

START_TEST(functions_are_near)
{
	double worst = 0;
	uint64_t sum = 0;

	for (uint64_t bits = 0; bits <= UINT32_MAX; bits += 997) {
		uint32_t word = (uint32_t)bits;
		float v, got;
		double exact;

		memcpy(&v, &word, sizeof v);
		if (!isfinite(v))
			continue;
		got = functions[_i].function(v);
		exact = functions[_i].exact((double)v);
		sum = sum * 31 + qdq_bits(got);
		if (fabs(exact) < 3.4e38)
			worst = fmax(worst, fabs((double)got - exact) / last_place(exact));
		else
			ck_assert(isinf(got) || fabs((double)got) > 3.3e38);
	}
	ck_assert_double_le(worst, functions[_i].most);
	ck_assert_msg(sum == functions[_i].sum, "function %d: the bits are 0x%llx", _i, (unsigned long long)sum);
}
END_TEST

START_TEST(no_numbers)
{
	ck_assert(isnan(functions[_i].function(NAN)));
	ck_assert(functions[_i].function(200) == (float)functions[_i].exact(200) || _i == 0);
	ck_assert(functions[_i].function(0) == (float)functions[_i].exact(0));
}
END_TEST

Suite *functions_suite(void)
{
	Suite *s = suite_create("functions");
	TCase *c = tcase_create("all");

	tcase_set_timeout(c, 120);
	tcase_add_loop_test(c, functions_are_near, 0, (int)(sizeof functions / sizeof *functions));
	tcase_add_loop_test(c, no_numbers, 0, (int)(sizeof functions / sizeof *functions));
	suite_add_tcase(s, c);
	return s;
}

/* SPDX-License-Identifier: Apache-2.0
 *
 * contract.c -- which contractions run in INT8: the exact bound of their sums, and the scale of their bias
 */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>

#include "../../passes/moves.h"
#include "suites.h"

/* A column of `length` weights `code` beside one of zeros, read through DQ by a MatMul with int8 activations; and what
 * became of the MatMul in `quant`. */
static qdq_verdict multiply(int length, qdq_type type, int code, int input_zero, int weight_zero, const char **reason)
{
	const float scale = 0.5f;
	const int32_t zeros[2] = {input_zero, weight_zero};
	const qdq_quant input = {QDQ_QUANT_VERSION, QDQ_TYPE_INT8, 1, &scale, &zeros[0], 0};
	const qdq_quant weight = {QDQ_QUANT_VERSION, type, 1, &scale, &zeros[1], 0};
	const int64_t dims[2] = {length, 2}, x_dims[2] = {1, length};
	uint8_t *codes = calloc((size_t)length, 2);
	qdq_value *x, *w, *inputs[2];
	qdq_ctx *ctx;
	qdq_model *m;
	qdq_node *n;
	qdq_reason why = {0};
	bool yes;

	for (int i = 0; i < length; i++)
		codes[2 * i] = (uint8_t)code;
	ck_assert_int_eq(qdq_ctx_new(&ctx, NULL), QDQ_OK);
	ck_assert_int_eq(qdq_model_new(&m, ctx, 17), QDQ_OK);
	ck_assert_int_eq(qdq_add_input(&x, m, "x", QDQ_TYPE_INT8, 2, x_dims, NULL), QDQ_OK);
	ck_assert_int_eq(qdq_add_constant(&w, m, "w", type, 2, dims, codes, (size_t)length * 2), QDQ_OK);
	ck_assert_int_eq(qdq_add_dequantize(&inputs[0], m, x, &input), QDQ_OK);
	ck_assert_int_eq(qdq_add_dequantize(&inputs[1], m, w, &weight), QDQ_OK);
	ck_assert_int_eq(qdq_add_node(&n, m, NULL, NULL, "MatMul", "mul", 2, inputs, 1), QDQ_OK);
	ck_assert_int_eq(qdq_add_output(m, qdq_node_output(n, 0)), QDQ_OK);
	ck_assert_int_eq(qdq_check(m), QDQ_OK);
	yes = qdq_contract_int8(n, &why);
	*reason = yes ? NULL : qdq_reasons[why.code].code;
	qdq_ctx_free(ctx);
	free(codes);
	return yes ? QDQ_VERDICT_INT8_FLOAT : QDQ_VERDICT_FLOAT;
}

/* |x - z| is at most 128 for z = 0, so 2^31 / (128 * |w|) terms fit: 131,071 of |w| = 128, 16.7 million of |w| = 1. */
START_TEST(test_bound)
{
	const char *reason;

	ck_assert_int_eq(multiply(131071, QDQ_TYPE_INT8, -128, 0, 0, &reason), QDQ_VERDICT_INT8_FLOAT);
	ck_assert_int_eq(multiply(131072, QDQ_TYPE_INT8, -128, 0, 0, &reason), QDQ_VERDICT_FLOAT);
	ck_assert_str_eq(reason, "accumulator-overflow");
	/* the weights that are there decide, not those that could be */
	ck_assert_int_eq(multiply(200000, QDQ_TYPE_INT8, 83, 0, 0, &reason), QDQ_VERDICT_INT8_FLOAT);
	ck_assert_int_eq(multiply(200000, QDQ_TYPE_INT8, 84, 0, 0, &reason), QDQ_VERDICT_FLOAT);
	/* the zero points count: |x - 100| is up to 228, and a weight of 0 at zero point 100 is -100 */
	ck_assert_int_eq(multiply(200000, QDQ_TYPE_INT8, 47, 100, 0, &reason), QDQ_VERDICT_INT8_FLOAT);
	ck_assert_int_eq(multiply(200000, QDQ_TYPE_INT8, 48, 100, 0, &reason), QDQ_VERDICT_FLOAT);
	ck_assert_int_eq(multiply(200000, QDQ_TYPE_UINT8, 100, 0, 80, &reason), QDQ_VERDICT_INT8_FLOAT);
	ck_assert_int_eq(multiply(200000, QDQ_TYPE_UINT8, 100, 0, 90, &reason), QDQ_VERDICT_FLOAT);
}
END_TEST

/* ---- the axis of the weight's scales ---- */

static const struct {
	const char *op, *weight, *scales;
	const char *reason; /* NULL: it runs in INT8 */
} axes[] = {
    {"y = Gemm <transB = 1> (a, d)", "float[3,2]", "axis = 0", NULL},
    {"y = Gemm <transB = 1> (a, d)", "float[3,2]", "axis = 1", "weight-axis"},
    {"y = Gemm (a, d)", "float[2,3]", "axis = 1", NULL},
    {"y = Gemm (a, d)", "float[2,3]", "axis = -1", NULL},
    {"y = Gemm (a, d)", "float[2,3]", "axis = 0", "weight-axis"},
    {"y = MatMul (a, d)", "float[2,3]", "axis = 1", NULL},
    {"y = MatMul (a, d)", "float[2,3]", "axis = 0", "weight-axis"},
};

START_TEST(test_axes)
{
	bool tall = strcmp(axes[_i].weight, "float[3,2]") == 0;
	bool first = strcmp(axes[_i].scales, "axis = 0") == 0;
	int count = first == tall ? 3 : 2;
	char text[1024];
	qdq_ctx *ctx;
	qdq_model *m;
	qdq_reason why = {0};

	snprintf(text, sizeof text,
		 "<ir_version: 8, opset_import: [\"\" : 17]>\n"
		 "g (int8[4,2] x) => (float[4,3] y)\n"
		 "<float s = {0.5}, int8 z = {0}, int8[%s] w = {1, 2, 3, 4, 5, 6}, float[%d] sw = {1, 2%s}, int8[%d] "
		 "zw = {0, 0%s}>\n"
		 "{ a = DequantizeLinear(x, s, z) d = DequantizeLinear <%s> (w, sw, zw) %s }",
		 tall ? "3,2" : "2,3", count, count == 3 ? ", 3" : "", count, count == 3 ? ", 0" : "", axes[_i].scales,
		 axes[_i].op);
	ck_assert_int_eq(qdq_ctx_new(&ctx, NULL), QDQ_OK);
	ck_assert_int_eq(qdq_load_memory(&m, ctx, text, strlen(text), "m.onnxtxt"), QDQ_OK);
	ck_assert_int_eq(qdq_contract_int8(m->graph->last, &why), axes[_i].reason == NULL);
	if (axes[_i].reason != NULL)
		ck_assert_str_eq(qdq_reasons[why.code].code, axes[_i].reason);
	qdq_ctx_free(ctx);
}
END_TEST

/* ---- the bias ---- */

static bool bias_fits(const char *scales)
{
	char text[1024];
	qdq_ctx *ctx;
	qdq_model *m;
	bool fits;

	snprintf(text, sizeof text,
		 "<ir_version: 8, opset_import: [\"\" : 17]>\n"
		 "g (int8[4,2] x) => (float[4,2] y)\n"
		 "<float s = {0.1}, int8 z = {0}, int8[2,2] w = {1, 2, 3, 4}, float[2] sw = {0.3, 0.7}, int8[2] zw = "
		 "{0, 0},\n"
		 " int32[2] b = {1, 2}, float[2] sb = {%s}>\n"
		 "{ a = DequantizeLinear(x, s, z) d = DequantizeLinear <axis = 1> (w, sw, zw)\n"
		 "  c = DequantizeLinear <axis = 0> (b, sb) y = Gemm (a, d, c) }",
		 scales);
	ck_assert_int_eq(qdq_ctx_new(&ctx, NULL), QDQ_OK);
	ck_assert_int_eq(qdq_load_memory(&m, ctx, text, strlen(text), "m.onnxtxt"), QDQ_OK);
	fits = qdq_bias_scale_fits(m->graph->last);
	qdq_ctx_free(ctx);
	return fits;
}

START_TEST(test_bias)
{
	ck_assert(bias_fits("0.03, 0.07"));
	ck_assert(bias_fits("0.030000001, 0.07"));
	ck_assert(!bias_fits("0.03, 0.03"));
	ck_assert(!bias_fits("0.0301, 0.07"));
}
END_TEST

Suite *contract_suite(void)
{
	Suite *s = suite_create("contract");
	TCase *c = tcase_create("all");

	tcase_add_test(c, test_bound);
	tcase_add_loop_test(c, test_axes, 0, (int)(sizeof axes / sizeof *axes));
	tcase_add_test(c, test_bias);
	suite_add_tcase(s, c);
	return s;
}

/* SPDX-License-Identifier: Apache-2.0
 *
 * ops.c -- tests of the operator table's functions
 */
#include "suites.h"
#include "text_fixture.h"

START_TEST(finds_every_row)
{
	for (int id = QDQ_OP_REGION + 1; id < QDQ_OP_COUNT; id++) {
		const qdq_op_info *op = &qdq_ops[id];

		ck_assert_int_eq(op->id, id);
		ck_assert_msg(qdq_op_find(op->domain, op->name) == op, "%s is not found: rows out of order?", op->name);
		ck_assert_ptr_nonnull(op->infer);
		ck_assert_int_gt(qdq_op_version(op, 1000), 0);
	}
}
END_TEST

START_TEST(knows_nothing_else)
{
	static const char *const strangers[][2] = {
	    {"", ""},		{"", "A"},
	    {"", "Zzz"},	{"", "conv"},
	    {"", "QLinearAdd"}, {"com.microsoft", "Conv"},
	    {"x", "Conv"},	{"ai.onnx.ml", "Cast"},
	    {"", "Conv2"},	{"", "QGemm"},
	    {"qdqopt", ""},
	};

	for (size_t i = 0; i < QDQ_COUNTOF(strangers); i++) {
		const qdq_op_info *op = qdq_op_find(strangers[i][0], strangers[i][1]);

		ck_assert_int_eq(op->id, QDQ_OP_NONE);
		ck_assert_int_eq(op->cls, QDQ_CLASS_BARRIER);
	}
	ck_assert_int_eq(qdq_op_find("ai.onnx", "Conv")->id, QDQ_OP_Conv);
}
END_TEST

START_TEST(tells_versions)
{
	const qdq_op_info *relu = &qdq_ops[QDQ_OP_Relu];

	ck_assert_int_eq(qdq_op_version(relu, 0), 0);
	ck_assert_int_eq(qdq_op_version(relu, 1), 1);
	ck_assert_int_eq(qdq_op_version(relu, 5), 1);
	ck_assert_int_eq(qdq_op_version(relu, 6), 6);
	ck_assert_int_eq(qdq_op_version(relu, 13), 13);
	ck_assert_int_eq(qdq_op_version(relu, 25), 14);
	ck_assert_int_eq(qdq_op_version(&qdq_ops[QDQ_OP_Gelu], 19), 0);
}
END_TEST

static void expect_arity(qdq_op_id id, int opset, bool outputs, int least, int greatest)
{
	int a, b;

	qdq_op_arity(&qdq_ops[id], opset, outputs, &a, &b);
	ck_assert_msg(a == least && b == greatest, "%s-%d has %d to %d %s", qdq_ops[id].name, opset, a, b,
		      outputs ? "outputs" : "inputs");
}

START_TEST(tells_arity)
{
	expect_arity(QDQ_OP_Conv, 17, false, 2, 3);
	expect_arity(QDQ_OP_Conv, 17, true, 1, 1);
	expect_arity(QDQ_OP_Clip, 6, false, 1, 1);
	expect_arity(QDQ_OP_Clip, 11, false, 1, 3);
	expect_arity(QDQ_OP_Gemm, 9, false, 3, 3);
	expect_arity(QDQ_OP_Gemm, 11, false, 2, 3);
	expect_arity(QDQ_OP_Concat, 13, false, 1, INT32_MAX);
	expect_arity(QDQ_OP_Constant, 13, false, 0, 0);
	expect_arity(QDQ_OP_Split, 13, false, 1, 2);
	expect_arity(QDQ_OP_Split, 11, false, 1, 1);
	expect_arity(QDQ_OP_Split, 11, true, 1, INT32_MAX);
	expect_arity(QDQ_OP_Loop, 13, false, 0, INT32_MAX);
	expect_arity(QDQ_OP_Resize, 10, false, 2, 2);
	expect_arity(QDQ_OP_Resize, 11, false, 3, 4);
	expect_arity(QDQ_OP_Resize, 13, false, 1, 4);
	expect_arity(QDQ_OP_LSTM, 14, true, 0, 3);
	expect_arity(QDQ_OP_BatchNormalization, 9, true, 1, 5);
	expect_arity(QDQ_OP_BatchNormalization, 15, true, 1, 3);
	expect_arity(QDQ_OP_ms_QLinearAdd, 1, false, 7, 8); /* what is optional in the middle takes its place */
	expect_arity(QDQ_OP_ms_QLinearConcat, 1, false, 3, INT32_MAX);
	expect_arity(QDQ_OP_NONE, 17, false, 0, INT32_MAX);
}
END_TEST

START_TEST(tells_codes)
{
	const qdq_op_info *relu = &qdq_ops[QDQ_OP_Relu], *pool = &qdq_ops[QDQ_OP_MaxPool];

	ck_assert(!qdq_op_takes_codes(relu, 13, QDQ_TYPE_INT8));
	ck_assert(qdq_op_takes_codes(relu, 14, QDQ_TYPE_INT8));
	ck_assert(!qdq_op_takes_codes(relu, 25, QDQ_TYPE_UINT8));
	ck_assert(!qdq_op_takes_codes(pool, 11, QDQ_TYPE_UINT8));
	ck_assert(qdq_op_takes_codes(pool, 12, QDQ_TYPE_UINT8));
	ck_assert(!qdq_op_takes_codes(pool, 12, QDQ_TYPE_INT16));
	ck_assert(!qdq_op_takes_codes(&qdq_ops[QDQ_OP_GlobalMaxPool], 25, QDQ_TYPE_INT8));
}
END_TEST

START_TEST(tells_data_inputs)
{
	static const struct {
		const char *op;
		uint32_t wanted; /* a bit for each data input */
	} rows[] = {{"Concat", 7}, {"Where", 6},  {"Pad", 1},  {"Slice", 1},
		    {"Max", 7},	   {"Gather", 1}, {"Conv", 0}, {"Clip", 1}};
	session s;

	start(&s);
	for (size_t i = 0; i < QDQ_COUNTOF(rows); i++) {
		char text[200];
		qdq_model *m;
		uint32_t found = 0;

		snprintf(text, sizeof text, HEADER "g (float[N] a, float[N] b, float[N] c) => () { y = %s(a, b, c) }",
			 rows[i].op);
		m = parse(&s, text);
		for (uint32_t k = 0; k < 3; k++)
			found |= (uint32_t)qdq_op_data_input(m->graph->first, k) << k;
		ck_assert_msg(found == rows[i].wanted, "%s: %u", rows[i].op, found);
	}
	finish(&s);
}
END_TEST

Suite *ops_suite(void)
{
	Suite *suite = suite_create("ops");
	TCase *c = tcase_create("table");

	tcase_add_test(c, finds_every_row);
	tcase_add_test(c, knows_nothing_else);
	tcase_add_test(c, tells_versions);
	tcase_add_test(c, tells_arity);
	tcase_add_test(c, tells_codes);
	tcase_add_test(c, tells_data_inputs);
	suite_add_tcase(suite, c);
	return suite;
}

/* SPDX-License-Identifier: Apache-2.0
 *
 * eval.c -- the reference evaluator: cases worked out by hand from the specification, and hostile ones
 *
 * test/peer/eval.py runs ONNX's own node tests; here stands what those leave out: limits, invalid operands, the older
 * forms of operators, codes and ties of QuantizeLinear, regions.
 */
#include "eval_fixture.h"

/* ---- arithmetic ---- */

START_TEST(arithmetic)
{
	NODE(Add, 1, tensor(QDQ_TYPE_FLOAT, DIMS(2, 1), VALUES(1, 2)), LIST(FLOAT, 10, 20, 30));
	EXPECT(FLOAT, DIMS(2, 3), 11, 21, 31, 12, 22, 32);
	NODE(Add, 1, LIST(INT8, 127, -128), LIST(INT8, 1, -1));
	EXPECT(INT8, DIMS(2), -128, 127);
	NODE(Sub, 1, LIST(UINT8, 1), LIST(UINT8, 2));
	EXPECT(UINT8, DIMS(1), 255);
	NODE(Div, 1, LIST(INT32, -7, 7, INT32_MIN), LIST(INT32, 2, -2, -1));
	EXPECT(INT32, DIMS(3), -3, -3, INT32_MIN);
	NODE(Div, 1, LIST(INT32, 1, 2), LIST(INT32, 1, 0));
	REFUSED();
	NODE(Mod, 1, LIST(INT64, -7, 7), LIST(INT64, 3, -3));
	EXPECT(INT64, DIMS(2), 2, -2);
	NODE(Add, 1, LIST(FLOAT, 1, 2), LIST(FLOAT, 1, 2, 3));
	REFUSED();
	NODE(Add, 1, LIST(FLOAT, 1), LIST(DOUBLE, 1));
	REFUSED();
	/* rounded in float: 2^24 + 1 is a tie, and 1/3 * 3 is 1 */
	NODE(Add, 1, LIST(FLOAT, 0x1p24, 0x1p24), LIST(FLOAT, 1, 3));
	EXPECT(FLOAT, DIMS(2), 0x1p24, 0x1p24 + 4);
	NODE(Sum, 1, LIST(FLOAT, 0x1p24), LIST(FLOAT, 1), LIST(FLOAT, 1));
	EXPECT(FLOAT, DIMS(1), 0x1p24); /* from the left, rounded each time */
	NODE(Mul, 1, LIST(FLOAT16, 256), LIST(FLOAT16, 256));
	EXPECT(FLOAT16, DIMS(1), (double)INFINITY);
	NODE(Max, 1, LIST(FLOAT, 1, NAN, 3), LIST(FLOAT, 2, 2, NAN));
	EXPECT(FLOAT, DIMS(3), 2, NAN, NAN);
	NODE(Equal, 1, LIST(FLOAT, NAN, 0), LIST(FLOAT, NAN, -0.0));
	EXPECT(BOOL, DIMS(2), 0, 1);
	NODE(Pow, 1, LIST(INT32, -2, 3), LIST(INT32, 3, 0));
	EXPECT(INT32, DIMS(2), -8, 1);
	NODE(Pow, 1, LIST(INT32, 9), LIST(FLOAT, 0.5));
	EXPECT(INT32, DIMS(1), 3);
	NODE(Round, 1, LIST(FLOAT, 0.5, 1.5, -2.5));
	EXPECT(FLOAT, DIMS(3), 0, 2, -2);
	NODE(Abs, 1, LIST(INT8, -128, -5));
	EXPECT(INT8, DIMS(2), -128, 5);
	NODE(Where, 1, tensor(QDQ_TYPE_BOOL, DIMS(2, 1), VALUES(1, 0)), LIST(INT4, 1, -2, 3), ONE(INT4, -8));
	EXPECT(INT4, DIMS(2, 3), 1, -2, 3, -8, -8, -8);
}
END_TEST

START_TEST(older_forms)
{
	t.m->opset = 6;
	NODE(Add, 1, tensor(QDQ_TYPE_FLOAT, DIMS(2, 3), VALUES(0, 0, 0, 0, 0, 0)), LIST(FLOAT, 1, 2));
	REFUSED(); /* the shapes do not broadcast by themselves */
	ATTR_INT("broadcast", 1);
	ATTR_INT("axis", 0);
	EXPECT(FLOAT, DIMS(2, 3), 1, 1, 1, 2, 2, 2);
	NODE(Clip, 1, LIST(FLOAT, -9, 0, 9));
	qdq_attr_set_float(t.n, "max", 6);
	EXPECT(FLOAT, DIMS(3), -9, 0, 6);
	NODE(Slice, 1, LIST(FLOAT, 0, 1, 2, 3));
	ATTR_INTS("starts", 1);
	ATTR_INTS("ends", -1);
	EXPECT(FLOAT, DIMS(2), 1, 2);
	NODE(Squeeze, 1, tensor(QDQ_TYPE_FLOAT, DIMS(1, 2, 1), VALUES(1, 2)));
	ATTR_INTS("axes", 0);
	EXPECT(FLOAT, DIMS(2, 1), 1, 2);
	NODE(Pad, 1, LIST(FLOAT, 5));
	ATTR_INTS("pads", 1, 2);
	qdq_attr_set_float(t.n, "value", 7);
	EXPECT(FLOAT, DIMS(4), 7, 5, 7, 7);
	NODE(ReduceSum, 1, tensor(QDQ_TYPE_FLOAT, DIMS(2, 2), VALUES(1, 2, 3, 4)));
	ATTR_INTS("axes", -1);
	ATTR_INT("keepdims", 0);
	EXPECT(FLOAT, DIMS(2), 3, 7);
	NODE(Split, 2, LIST(FLOAT, 1, 2, 3));
	ATTR_INTS("split", 1, 2);
	run();
	expect(1, QDQ_TYPE_FLOAT, DIMS(2), VALUES(2, 3));
	t.m->opset = 1;
	NODE(Cast, 1, LIST(FLOAT, 1.9, -1.9));
	qdq_attr_set_string(t.n, "to", "INT32");
	REFUSED(); /* the names of this version are upper case; ours are not, and nobody folds such files */
	NODE(Reshape, 1, LIST(FLOAT, 1, 2, 3, 4));
	ATTR_INTS("shape", 2, -1);
	EXPECT(FLOAT, DIMS(2, 2), 1, 2, 3, 4);
	t.m->opset = 9;
	NODE(Upsample, 1, tensor(QDQ_TYPE_FLOAT, DIMS(1, 1, 1, 2), VALUES(1, 2)), LIST(FLOAT, 1, 1, 2, 2));
	EXPECT(FLOAT, DIMS(1, 1, 2, 4), 1, 1, 2, 2, 1, 1, 2, 2);
	t.m->opset = 11;
	NODE(Softmax, 1, tensor(QDQ_TYPE_FLOAT, DIMS(1, 2, 2), VALUES(0, 0, 0, 0)));
	EXPECT(FLOAT, DIMS(1, 2, 2), 0.25, 0.25, 0.25, 0.25); /* everything from axis 1 on */
	t.m->opset = 13;
	EXPECT(FLOAT, DIMS(1, 2, 2), 0.5, 0.5, 0.5, 0.5);
}
END_TEST

/* ---- movement ---- */

START_TEST(movement)
{
	const qdq_tensor *x = tensor(QDQ_TYPE_INT4, DIMS(2, 3), VALUES(0, 1, 2, 3, 4, 5));

	NODE(Transpose, 1, x);
	EXPECT(INT4, DIMS(3, 2), 0, 3, 1, 4, 2, 5);
	ATTR_INTS("perm", 0, 0);
	REFUSED();
	NODE(Reshape, 1, x, LIST(INT64, 0, -1));
	EXPECT(INT4, DIMS(2, 3), 0, 1, 2, 3, 4, 5);
	ck_assert_ptr_eq(t.out[0]->data, x->data);
	NODE(Reshape, 1, x, LIST(INT64, 5));
	REFUSED();
	NODE(Reshape, 1, x, LIST(INT64, -1, -1));
	REFUSED();
	NODE(Reshape, 1, x, LIST(INT64, INT64_MIN, 1));
	REFUSED();
	NODE(Gather, 1, x, LIST(INT64, -1, 0));
	ATTR_INT("axis", 1);
	EXPECT(INT4, DIMS(2, 2), 2, 0, 5, 3);
	NODE(Gather, 1, x, LIST(INT64, 2));
	REFUSED();
	NODE(Gather, 1, x, LIST(INT64, -3));
	REFUSED();
	NODE(Slice, 1, LIST(UINT8, 0, 1, 2, 3, 4), LIST(INT64, -1), LIST(INT64, -9), LIST(INT64, 0), LIST(INT64, -2));
	EXPECT(UINT8, DIMS(3), 4, 2, 0);
	NODE(Slice, 1, LIST(UINT8, 0, 1), LIST(INT64, 1), LIST(INT64, 0));
	EXPECT(UINT8, DIMS(0), 0);
	NODE(Slice, 1, LIST(UINT8, 0), LIST(INT64, 0), LIST(INT64, 1), LIST(INT64, 0), LIST(INT64, 0));
	REFUSED();
	NODE(Pad, 1, LIST(INT4, 1, 2, 3), LIST(INT64, 2, -1), ONE(INT4, -8));
	EXPECT(INT4, DIMS(4), -8, -8, 1, 2);
	NODE(Pad, 1, LIST(INT8, 1, 2, 3), LIST(INT64, 2, 2));
	qdq_attr_set_string(t.n, "mode", "reflect");
	EXPECT(INT8, DIMS(7), 3, 2, 1, 2, 3, 2, 1);
	NODE(Pad, 1, LIST(INT8, 1), LIST(INT64, 1, -3));
	REFUSED();
	NODE(Concat, 1, LIST(INT4, 1, 2, 3), LIST(INT4, -4));
	ATTR_INT("axis", 0);
	EXPECT(INT4, DIMS(4), 1, 2, 3, -4);
	NODE(Split, 2, LIST(INT8, 1, 2, 3));
	ATTR_INT("num_outputs", 2);
	run();
	expect(0, QDQ_TYPE_INT8, DIMS(2), VALUES(1, 2));
	expect(1, QDQ_TYPE_INT8, DIMS(1), VALUES(3));
	NODE(ScatterElements, 1, LIST(INT8, 1, 2, 3), LIST(INT64, 0, 0), LIST(INT8, 5, 6));
	qdq_attr_set_string(t.n, "reduction", "add");
	EXPECT(INT8, DIMS(3), 12, 2, 3);
	NODE(Range, 1, ONE(INT64, 5), ONE(INT64, 0), ONE(INT64, -2));
	EXPECT(INT64, DIMS(3), 5, 3, 1);
	NODE(Range, 1, ONE(INT64, 0), ONE(INT64, 1), ONE(INT64, 0));
	REFUSED();
	NODE(OneHot, 1, LIST(INT64, 1, -1, 9), ONE(INT64, 3), LIST(FLOAT, 0, 1));
	EXPECT(FLOAT, DIMS(3, 3), 0, 1, 0, 0, 0, 1, 0, 0, 0);
	NODE(Trilu, 1, tensor(QDQ_TYPE_INT8, DIMS(2, 2), VALUES(1, 2, 3, 4)), ONE(INT64, 1));
	EXPECT(INT8, DIMS(2, 2), 0, 2, 0, 0);
}
END_TEST

START_TEST(conversions)
{
	NODE(Cast, 1, LIST(FLOAT, -1.9, 1.9, 300, NAN, 3e9));
	ATTR_INT("to", QDQ_TYPE_INT32);
	EXPECT(INT32, DIMS(5), -1, 1, 300, INT32_MIN, INT32_MIN);
	NODE(Cast, 1, LIST(INT32, 300, -1));
	ATTR_INT("to", QDQ_TYPE_UINT8);
	EXPECT(UINT8, DIMS(2), 44, 255);
	NODE(Cast, 1, LIST(FLOAT, 0, -0.0, 0.1, NAN));
	ATTR_INT("to", QDQ_TYPE_BOOL);
	EXPECT(BOOL, DIMS(4), 0, 0, 1, 1);
	NODE(Cast, 1, LIST(INT8, 7, -8, 9));
	ATTR_INT("to", QDQ_TYPE_INT4);
	EXPECT(INT4, DIMS(3), 7, -8, -7);
	NODE(Cast, 1, LIST(INT4, 7, -8, -7));
	ATTR_INT("to", QDQ_TYPE_FLOAT);
	EXPECT(FLOAT, DIMS(3), 7, -8, -7);
	NODE(Cast, 1, LIST(DOUBLE, 1e300, 0x1.0000010000001p0));
	ATTR_INT("to", QDQ_TYPE_FLOAT);
	EXPECT(FLOAT, DIMS(2), (double)INFINITY, 0x1.000002p0);
	NODE(Cast, 1, LIST(FLOAT, 1));
	ATTR_INT("to", 99);
	REFUSED();
	NODE(Cast, 1, LIST(FLOAT, 1));
	ATTR_INT("to", QDQ_TYPE_STRING);
	REFUSED();
	NODE(Clip, 1, LIST(INT8, -100, 0, 100), ONE(INT8, -5), ONE(INT8, 6));
	EXPECT(INT8, DIMS(3), -5, 0, 6);
	NODE(Clip, 1, LIST(FLOAT, NAN, 5), ONE(FLOAT, 1), ONE(FLOAT, 2));
	EXPECT(FLOAT, DIMS(2), NAN, 2);
}
END_TEST

/* ---- reductions ---- */

START_TEST(reductions)
{
	const qdq_tensor *x = tensor(QDQ_TYPE_INT32, DIMS(2, 3), VALUES(1, -2, 3, 4, 5, -6));

	NODE(ReduceMax, 1, x, LIST(INT64, 1));
	EXPECT(INT32, DIMS(2, 1), 3, 5);
	NODE(ReduceSum, 1, x);
	ATTR_INT("keepdims", 0);
	EXPECT(INT32, SCALAR, 5);
	NODE(ReduceSum, 1, x);
	ATTR_INT("noop_with_empty_axes", 1);
	EXPECT(INT32, DIMS(2, 3), 1, -2, 3, 4, 5, -6);
	NODE(ReduceL1, 1, x, LIST(INT64, 0));
	EXPECT(INT32, DIMS(1, 3), 5, 7, 9);
	NODE(ReduceSum, 1, x, LIST(INT64, 2));
	REFUSED();
	NODE(ReduceSum, 1, x, LIST(INT64, 0, -2));
	REFUSED();
	NODE(ReduceMax, 1, tensor(QDQ_TYPE_FLOAT, DIMS(0), NULL));
	EXPECT(FLOAT, DIMS(1), -(double)INFINITY);
	NODE(ReduceMean, 1, LIST(FLOAT, 0x1p24, 1, 1, 2));
	EXPECT(FLOAT, DIMS(1), 0x1p22 + 1);
	NODE(ArgMax, 1, LIST(UINT8, 3, 7, 7));
	EXPECT(INT64, DIMS(1), 1);
	ATTR_INT("select_last_index", 1);
	EXPECT(INT64, DIMS(1), 2);
	NODE(CumSum, 1, LIST(INT32, 1, 2, 3), ONE(INT64, 0));
	ATTR_INT("reverse", 1);
	ATTR_INT("exclusive", 1);
	EXPECT(INT32, DIMS(3), 5, 3, 0);
}
END_TEST

/* ---- Q and DQ ---- */

START_TEST(quantize)
{
	NODE(QuantizeLinear, 1, LIST(FLOAT, 0.5, 1.5, 2.5, -0.5, -1.5, 1e9, -1e9, NAN, INFINITY), ONE(FLOAT, 1),
	     ONE(INT8, 3));
	EXPECT(INT8, DIMS(9), 3, 5, 5, 3, 1, 127, -128, -128, 127);
	NODE(QuantizeLinear, 1, LIST(FLOAT, -1, 0, 255.5), ONE(FLOAT, 1));
	EXPECT(UINT8, DIMS(3), 0, 0, 255);
	ATTR_INT("output_dtype", QDQ_TYPE_INT16);
	EXPECT(INT16, DIMS(3), -1, 0, 256);
}
END_TEST

START_TEST(quantize_granularity)
{
	const qdq_tensor *x = tensor(QDQ_TYPE_FLOAT, DIMS(2, 3), VALUES(1, 2, 3, 4, 5, 6));

	NODE(QuantizeLinear, 1, x, LIST(FLOAT, 1, 2), LIST(INT4, 1, -1));
	ATTR_INT("axis", 0);
	EXPECT(INT4, DIMS(2, 3), 2, 3, 4, 1, 1, 2);
	ck_assert_uint_eq(((const uint8_t *)t.out[0]->data)[0], 0x32);
	NODE(QuantizeLinear, 1, x, LIST(FLOAT, 1, 2, 3), LIST(UINT16, 0, 10, 65535));
	EXPECT(UINT16, DIMS(2, 3), 1, 11, 65535, 4, 12, 65535);
	NODE(QuantizeLinear, 1, x, tensor(QDQ_TYPE_FLOAT, DIMS(2, 2), VALUES(1, 0.5, 2, 0.25)));
	ATTR_INT("block_size", 2);
	EXPECT(UINT8, DIMS(2, 3), 1, 2, 6, 2, 2, 24);
	NODE(QuantizeLinear, 1, x, tensor(QDQ_TYPE_FLOAT, DIMS(1, 3), VALUES(1, 0.5, 2)));
	ATTR_INT("block_size", 2);
	ATTR_INT("axis", 0);
	EXPECT(UINT8, DIMS(2, 3), 1, 4, 2, 4, 10, 3);
	NODE(QuantizeLinear, 1, x, LIST(FLOAT, 1, 2), LIST(INT8, 0, 0));
	REFUSED(); /* axis 1 has three channels */
	NODE(QuantizeLinear, 1, x, LIST(FLOAT, 1, 2, 3), ONE(INT8, 0));
	REFUSED();
	NODE(QuantizeLinear, 1, x, tensor(QDQ_TYPE_FLOAT, DIMS(2, 3), VALUES(1, 1, 1, 1, 1, 1)));
	ATTR_INT("block_size", 2);
	REFUSED();
	t.m->opset = 10; /* where every scale is one of the whole tensor */
	NODE(QuantizeLinear, 1, x, tensor(QDQ_TYPE_FLOAT, DIMS(1), VALUES(2)), LIST(INT8, 1));
	EXPECT(INT8, DIMS(2, 3), 1, 2, 3, 3, 3, 4);
}
END_TEST

/* 0.3498… / 0.09997… is 3.4994: as a float16 that is 3.5, a tie, which goes to 4. */
START_TEST(quantize_half)
{
	NODE(QuantizeLinear, 1, LIST(FLOAT16, 0.349853515625), ONE(FLOAT16, 0.1), ONE(INT8, 0));
	EXPECT(INT8, DIMS(1), 3);
	t.m->opset = 23;
	EXPECT(INT8, DIMS(1), 4);
	ATTR_INT("precision", QDQ_TYPE_FLOAT);
	EXPECT(INT8, DIMS(1), 3);
}
END_TEST

START_TEST(dequantize)
{
	NODE(DequantizeLinear, 1, LIST(UINT8, 0, 128, 255), ONE(FLOAT, 0.5), ONE(UINT8, 128));
	EXPECT(FLOAT, DIMS(3), -64, 0, 63.5);
	NODE(DequantizeLinear, 1, LIST(INT32, INT32_MIN, 16777217), ONE(FLOAT, 1));
	EXPECT(FLOAT, DIMS(2), INT32_MIN, 16777216);
	NODE(DequantizeLinear, 1, LIST(INT4, -8, 7, 1), LIST(FLOAT16, 1, 2, 3));
	ATTR_INT("axis", 0);
	EXPECT(FLOAT16, DIMS(3), -8, 14, 3);
	NODE(DequantizeLinear, 1, LIST(UINT8, 1), ONE(FLOAT, 1), ONE(INT8, 0));
	REFUSED();
	NODE(DequantizeLinear, 1, LIST(FLOAT, 1), ONE(FLOAT, 1));
	REFUSED();
	NODE(ms_DequantizeLinear, 1, LIST(UINT16, 65535), ONE(FLOAT, 1), ONE(UINT16, 65534));
	EXPECT(FLOAT, DIMS(1), 1);
}
END_TEST

/* Every code of every 8-bit pair (scale, zero) survives DQ and Q, blocks of 16 and the rest alike. */
START_TEST(round_trip)
{
	double all[256];

	for (int i = 0; i < 256; i++)
		all[i] = i - 128;
	for (int zero = -128; zero < 128; zero += 51) {
		const qdq_tensor *q = tensor(QDQ_TYPE_INT8, DIMS(256), all), *s = ONE(FLOAT, 0.0123),
				 *z = ONE(INT8, zero);
		NODE(DequantizeLinear, 1, q, s, z);
		ck_assert_int_eq(run(), QDQ_EVAL_OK);
		NODE(QuantizeLinear, 1, t.out[0], s, z);
		ck_assert_int_eq(run(), QDQ_EVAL_OK);
		ck_assert(qdq_tensor_equal(t.out[0], q));
	}
}
END_TEST

/* ---- contractions ---- */

START_TEST(contractions)
{
	const qdq_tensor *x = tensor(QDQ_TYPE_FLOAT, DIMS(1, 1, 3, 3), VALUES(1, 2, 3, 4, 5, 6, 7, 8, 9));
	const qdq_tensor *w = tensor(QDQ_TYPE_FLOAT, DIMS(1, 1, 2, 2), VALUES(1, 0, 0, -1));

	NODE(Conv, 1, x, w, LIST(FLOAT, 10));
	EXPECT(FLOAT, DIMS(1, 1, 2, 2), 6, 6, 6, 6);
	ATTR_INTS("pads", 1, 1, 0, 0);
	ATTR_INTS("strides", 2, 2);
	EXPECT(FLOAT, DIMS(1, 1, 2, 2), 9, 7, 3, 6);
	ATTR_INTS("strides", 0, 1);
	REFUSED();
	NODE(ConvTranspose, 1, tensor(QDQ_TYPE_FLOAT, DIMS(1, 1, 1, 2), VALUES(1, 2)), w);
	EXPECT(FLOAT, DIMS(1, 1, 2, 3), 1, 2, 0, 0, -1, -2);
	NODE(MaxPool, 1, x);
	ATTR_INTS("kernel_shape", 2, 2);
	ATTR_INTS("strides", 2, 2);
	EXPECT(FLOAT, DIMS(1, 1, 1, 1), 5);
	ATTR_INT("ceil_mode", 1);
	EXPECT(FLOAT, DIMS(1, 1, 2, 2), 5, 6, 8, 9);
	NODE(AveragePool, 1, x);
	ATTR_INTS("kernel_shape", 2, 2);
	ATTR_INTS("strides", 2, 2);
	ATTR_INTS("pads", 1, 1, 0, 0);
	EXPECT(FLOAT, DIMS(1, 1, 2, 2), 1, 2.5, 5.5, 7);
	ATTR_INT("count_include_pad", 1);
	EXPECT(FLOAT, DIMS(1, 1, 2, 2), 0.25, 1.25, 2.75, 7);
	NODE(Gemm, 1, tensor(QDQ_TYPE_FLOAT, DIMS(2, 1), VALUES(1, 2)),
	     tensor(QDQ_TYPE_FLOAT, DIMS(2, 2), VALUES(1, 2, 3, 4)), ONE(FLOAT, 100));
	ATTR_INT("transA", 1);
	qdq_attr_set_float(t.n, "beta", 0.5);
	EXPECT(FLOAT, DIMS(1, 2), 57, 60);
	NODE(MatMul, 1, tensor(QDQ_TYPE_FLOAT, DIMS(2, 1, 2), VALUES(1, 2, 3, 4)), LIST(FLOAT, 10, 1));
	EXPECT(FLOAT, DIMS(2, 1), 12, 34);
	NODE(MatMul, 1, LIST(FLOAT, 1, 2), LIST(FLOAT, 1, 2, 3));
	REFUSED();
	NODE(MatMulInteger, 1, tensor(QDQ_TYPE_UINT8, DIMS(1, 2), VALUES(255, 0)),
	     tensor(QDQ_TYPE_INT8, DIMS(2, 1), VALUES(-128, 5)), ONE(UINT8, 1), LIST(INT8, 2));
	EXPECT(INT32, DIMS(1, 1), 254 * -130 - 3);
}
END_TEST

/* Codes of com.microsoft's operators that no other runtime here has a kernel for. */
START_TEST(mean_of_codes)
{
	NODE(ms_QLinearReduceMean, 1, tensor(QDQ_TYPE_UINT8, DIMS(2, 2), VALUES(10, 20, 30, 45)), ONE(FLOAT, 0.5),
	     ONE(UINT8, 10), ONE(FLOAT, 0.25), ONE(UINT8, 3));
	ATTR_INTS("axes", 1);
	ATTR_INT("keepdims", 0);
	EXPECT(UINT8, DIMS(2), 13, 58); /* 2.5 / 0.25 + 3; 13.75 / 0.25 + 3 */
	ATTR_INT("keepdims", 1);
	EXPECT(UINT8, DIMS(2, 1), 13, 58);
}
END_TEST

/* ---- limits, exactness ---- */

START_TEST(limits)
{
	t.max_bytes = 1024;
	NODE(ConstantOfShape, 1, LIST(INT64, 1 << 20, 1 << 20));
	ck_assert_int_eq(run(), QDQ_EVAL_TOO_BIG);
	NODE(ConstantOfShape, 1, LIST(INT64, 0x1p40, 0x1p40));
	REFUSED(); /* the product overflows */
	NODE(ConstantOfShape, 1, LIST(INT64, -1));
	REFUSED();
	NODE(ConstantOfShape, 1, LIST(INT64, 256));
	ck_assert_int_eq(run(), QDQ_EVAL_OK);
	NODE(Expand, 1, ONE(FLOAT, 1), LIST(INT64, 1 << 30, 2));
	ck_assert_int_eq(run(), QDQ_EVAL_TOO_BIG);
	NODE(Tile, 1, LIST(FLOAT, 1, 2), LIST(INT64, 0x1p62));
	REFUSED();
	NODE(Range, 1, ONE(INT64, 0), ONE(INT64, 0x1p60), ONE(INT64, 1));
	ck_assert_int_eq(run(), QDQ_EVAL_TOO_BIG);
	NODE(Pad, 1, LIST(FLOAT, 1), LIST(INT64, 1 << 30, 0));
	ck_assert_int_eq(run(), QDQ_EVAL_TOO_BIG);
	NODE(OneHot, 1, LIST(INT64, 1), ONE(INT64, 1 << 30), LIST(FLOAT, 0, 1));
	ck_assert_int_eq(run(), QDQ_EVAL_TOO_BIG);
	NODE(Conv, 1, tensor(QDQ_TYPE_FLOAT, DIMS(1, 1, 1), VALUES(1)),
	     tensor(QDQ_TYPE_FLOAT, DIMS(1, 1, 1), VALUES(1)));
	ATTR_INTS("pads", 1 << 30, 1 << 30);
	ck_assert_int_eq(run(), QDQ_EVAL_TOO_BIG);
	t.max_bytes = 0;
}
END_TEST

static qdq_exactness exactness(void)
{
	return qdq_eval_exactness(t.n);
}

START_TEST(exactness_of_operators)
{
	const qdq_tensor *f = LIST(FLOAT, 1), *i = LIST(INT32, 1), *h = LIST(FLOAT16, 1);

	NODE(Add, 1, f, f);
	ck_assert_int_eq(exactness(), QDQ_EXACT);
	NODE(Sum, 1, f, f, f);
	ck_assert_int_eq(exactness(), QDQ_STEP1);
	NODE(Sum, 1, i, i, i);
	ck_assert_int_eq(exactness(), QDQ_EXACT);
	NODE(ReduceSum, 1, f);
	ck_assert_int_eq(exactness(), QDQ_STEP1);
	NODE(ReduceSum, 1, i);
	ck_assert_int_eq(exactness(), QDQ_EXACT);
	NODE(ReduceMax, 1, f);
	ck_assert_int_eq(exactness(), QDQ_EXACT);
	NODE(Tanh, 1, f);
	ck_assert_int_eq(exactness(), QDQ_STEP1);
	NODE(QuantizeLinear, 1, f, f);
	ck_assert_int_eq(exactness(), QDQ_EXACT);
	NODE(QuantizeLinear, 1, h, h);
	ck_assert_int_eq(exactness(), QDQ_STEP1);
	NODE(DequantizeLinear, 1, LIST(INT8, 1), f);
	ck_assert_int_eq(exactness(), QDQ_EXACT);
	NODE(DequantizeLinear, 1, LIST(INT8, 1), h);
	ck_assert_int_eq(exactness(), QDQ_STEP1);
	NODE(MatMul, 1, f, f);
	ck_assert_int_eq(exactness(), QDQ_STEP1);
	ck_assert(qdq_eval_known(t.n));
	NODE(LSTM, 1, f);
	ck_assert(!qdq_eval_known(t.n));
	REFUSED();
}
END_TEST

/* ---- graphs ---- */

typedef struct graph_run {
	const qdq_tensor *in, *out;
	qdq_eval_result result;
	const qdq_node *failed;
} graph_run;

static void do_graph(void *arg)
{
	graph_run *g = arg;
	g->result = qdq_eval_graph(t.m, t.m->graph, &t.m->arena, &g->in, &g->out, &g->failed);
}

/* y = region(x) with the body Relu(x) + x */
static void do_region(void *arg)
{
	qdq_graph *g = t.m->graph, *body;
	qdq_value *x = qdq_graph_add_input(g, qdq_intern(&t.m->names, "x")), *y, *a, *b, *c;

	(void)arg;
	y = qdq_value_create(g, qdq_intern(&t.m->names, "y"));
	qdq_graph_add_output(g, y);
	qdq_node *n =
	    qdq_node_create(g, NULL, QDQ_REGION_DOMAIN, "eltwise", qdq_intern(&t.m->names, "r"), 1, &x, 1, &y);
	body = qdq_graph_create(t.m, n, qdq_intern(&t.m->names, "body"));
	n->op = &qdq_ops[QDQ_OP_REGION];
	n->region = qdq_new(&t.m->arena, qdq_region);
	n->region->body = body;
	a = qdq_graph_add_input(body, qdq_intern(&t.m->names, "a"));
	b = qdq_value_create(body, qdq_intern(&t.m->names, "b"));
	c = qdq_value_create(body, qdq_intern(&t.m->names, "c"));
	qdq_node_create(body, NULL, "", "Relu", qdq_intern(&t.m->names, ""), 1, &a, 1, &b);
	qdq_node_create(body, NULL, "", "Add", qdq_intern(&t.m->names, ""), 2, (qdq_value *[]){b, a}, 1, &c);
	qdq_graph_add_output(body, c);
}

START_TEST(regions)
{
	graph_run g = {.in = LIST(FLOAT, -1, 2)};

	ck_assert_int_eq(qdq_guard(t.ctx, do_region, NULL), QDQ_OK);
	ck_assert_int_eq(qdq_guard(t.ctx, do_graph, &g), QDQ_OK);
	ck_assert_int_eq(g.result, QDQ_EVAL_OK);
	ck_assert(get(g.out, 0) == -1 && get(g.out, 1) == 4);
	g.in = tensor(QDQ_TYPE_BOOL, DIMS(1), VALUES(1)); /* which Relu does not take */
	t.m->graph->first->region->body->first->op = &qdq_ops[QDQ_OP_LSTM];
	ck_assert_int_eq(qdq_guard(t.ctx, do_graph, &g), QDQ_OK);
	ck_assert_int_eq(g.result, QDQ_EVAL_UNSUPPORTED);
	ck_assert_ptr_eq(g.failed, t.m->graph->first->region->body->first);
}
END_TEST

Suite *eval_suite(void)
{
	Suite *s = suite_create("eval");
	TCase *c = tcase_create("operators");

	tcase_add_checked_fixture(c, setup, teardown);
	tcase_set_timeout(c, 120);
	tcase_add_test(c, arithmetic);
	tcase_add_test(c, older_forms);
	tcase_add_test(c, movement);
	tcase_add_test(c, conversions);
	tcase_add_test(c, reductions);
	tcase_add_test(c, quantize);
	tcase_add_test(c, quantize_granularity);
	tcase_add_test(c, quantize_half);
	tcase_add_test(c, dequantize);
	tcase_add_test(c, round_trip);
	tcase_add_test(c, contractions);
	tcase_add_test(c, mean_of_codes);
	tcase_add_test(c, limits);
	tcase_add_test(c, exactness_of_operators);
	tcase_add_test(c, regions);
	suite_add_tcase(s, c);
	return s;
}

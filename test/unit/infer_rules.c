/* SPDX-License-Identifier: Apache-2.0
 *
 * infer_rules.c -- tests of inference, operator by operator: what test/peer/shapes.py asks of ONNX's models, in short
 */
#include "suites.h"
#include "text_fixture.h"

/* All outputs of the last node, as "type[dims] type[dims]". */
typedef struct rule {
	const char *nodes, *outputs;
} rule;

#define IMAGE "float[2,6,8,10] x"

static const rule rules[] = {
    /* elementwise and types */
    {"y = Dropout(x)", "float[2,6,8,10]"},
    {"y, y1 = Dropout(x)", "float[2,6,8,10] bool[2,6,8,10]"},
    {"y = IsNaN(x)", "bool[2,6,8,10]"},
    {"y = CastLike(x, h)", "float16[2,6,8,10]"},
    {"a = CastLike(l, l) y = ConstantOfShape(a)", "float[2,3]"},
    {"y = PRelu(x, f)", "float[2,6,8,10]"},
    {"y = Pow(x, f)", "float[2,6,8,10]"},
    {"y = Sum(x, f, x)", "float[2,6,8,10]"},
    {"b3 = Equal(x, x) c = And(b3, b3) y = Not(c)", "bool[2,6,8,10]"},
    {"y, y1, y2 = DynamicQuantizeLinear(x)", "uint8[2,6,8,10] float[] uint8[]"},
    {"y, y1, y2 = BatchNormalization<training_mode: int = 1>(x, c6, c6, c6, c6)", "float[2,6,8,10] float[6] float[6]"},
    {"y, y1, y2 = LayerNormalization<axis: int = 2>(x, f)", "float[2,6,8,10] float[2,6,1,1] float[2,6,1,1]"},
    {"y, y1, y2 = LayerNormalization<axis: int = 9>(x, f)", "float[2,6,8,10] float? float?"},
    {"y, y1, y2, y3 = com.microsoft.SkipLayerNormalization(r, r, f)",
     "float[5,2,4] float[5,2,1] float[5,2,1] float[5,2,4]"},
    {"y = com.microsoft.BiasGelu(r, f)", "float[5,2,4]"},
    {"y = RMSNormalization(x, f)", "float[2,6,8,10]"},
    /* reductions */
    {"y = ReduceSum(x, l)", "float[2,6,1,1]"},
    {"y = ReduceSum<keepdims: int = 0>(x, l)", "float[2,6]"},
    {"y = ReduceSum<keepdims: int = 0>(x)", "float[]"},
    {"y = ReduceSum<noop_with_empty_axes: int = 1>(x)", "float[2,6,8,10]"},
    {"y = ReduceSum(x, u)", "float[?,?,?,?]"},
    {"y = ReduceSum<keepdims: int = 0>(x, u)", "float[?,?]"},
    {"y = ReduceSum<keepdims: int = 0>(x, w)", "float?"},
    {"y = ReduceSum<keepdims: int = 0>(w)", "int64[]"},
    {"y = ReduceMean<axes: ints = [7]>(x)", "float[?,?,?,?]"},
    {"y = com.microsoft.QLinearReduceMean<axes: ints = [2, 3], keepdims: int = 0>(q, s, z, s, z)", "int8[2,6]"},
    {"y = ArgMin<axis: int = 8>(x)", "int64?"},
    {"a = ReduceSum<keepdims: int = 0>(l) y = ConstantOfShape(l2)", "float[1,2]"},
    {"a = ReduceMax<axes: ints = [0]>(l) y = Range(i0, i3, i1)", "int64[3]"},
    {"y = CumSum(x, i1)", "float[2,6,8,10]"},
    /* constants and makers */
    {"y = Constant<value_float: float = 1.0>()", "float[]"},
    {"y = Constant<value_floats: floats = [1.0, 2.0]>()", "float[2]"},
    {"y = Constant<value_string: string = \"a\">()", "string[]"},
    {"y = Constant<value_strings: strings = [\"a\", \"b\"]>()", "string[2]"},
    {"y = Constant<value: tensor = int8[2,2] {1, 2, 3, 4}>()", "int8[2,2]"},
    {"y = ConstantOfShape<value: tensor = int32[1] {-1}>(l)", "int32[2,3]"},
    {"y = ConstantOfShape(u)", "float[?,?]"},
    {"y = ConstantOfShape(w)", "float?"},
    {"y = EyeLike<dtype: int = 7>(x2)", "int64[3,7]"},
    {"y = EyeLike(x2)", "float[3,7]"},
    {"y = RandomNormal<shape: ints = [2, 3]>()", "float[2,3]"},
    {"y = RandomUniform<shape: ints = [2, -3], dtype: int = 11>()", "double[2,?]"},
    {"y = RandomNormalLike(x2)", "float[3,7]"},
    {"y = RandomUniformLike<dtype: int = 10>(x2)", "float16[3,7]"},
    {"a = Constant<value_float: float = 1.0>() b3 = Constant<value_float: float = 2.0>()"
     " c = Constant<value_float: float = 0.3>() y = Range(a, b3, c)",
     "float[4]"},
    {"y = Range(i3, i0, i1)", "int64[0]"},
    {"a = Neg(i1) y = Range(i3, i0, a)", "int64[3]"},
    {"y = Range(w0, i3, i1)", "int64[?]"},
    {"y = OneHot(l, i3, f)", "float[2,3]"},
    {"y = OneHot<axis: int = 0>(x2, i3, f)", "float[3,3,7]"},
    {"y = OneHot(w, i3, f)", "float?"},
    {"d = Constant<value: tensor = float {4}>() y = OneHot(l, d, f)", "float[2,4]"},
    {"y, y1, y2, y3 = Unique(x)", "float[?] int64[?] int64[?] int64[?]"},
    {"y = Unique<axis: int = 1>(x)", "float[2,?,8,10]"},
    {"y = NonMaxSuppression(x, x)", "int64[?,3]"},
    {"y, y1 = TopK(x, one)", "float[2,6,8,1] int64[2,6,8,1]"},
    {"y = Shape<start: int = 1, end: int = -1>(x)", "int64[2]"},
    {"y = Shape(w)", "int64[?]"},
    {"y = Size(w)", "int64[]"},
    /* moves */
    {"y = GatherElements(x2, x2)", "float[3,7]"},
    {"y = GatherND(x, l22)", "float[2,8,10]"},
    {"y = GatherND<batch_dims: int = 1>(x, l22)", "float[2,10]"},
    {"y = Gather<axis: int = 2>(x, l22)", "float[2,6,2,2,10]"},
    {"y = Compress(x, w)", "float[?]"},
    {"y = Compress<axis: int = 1>(x, w)", "float[2,?,8,10]"},
    {"y = ReverseSequence(x2, l)", "float[3,7]"},
    {"y = ScatterND(x, l22, x2)", "float[2,6,8,10]"},
    {"y = Expand(f, l)", "float[2,3]"},
    {"y = Expand(x2, u)", "float[3,7]"},
    {"y = Expand(x2, w)", "float?"},
    {"y, y1, y2 = Split<axis: int = 1>(x)", "float[2,2,8,10] float[2,2,8,10] float[2,2,8,10]"},
    {"y, y1 = Split<axis: int = 1>(x, l15)", "float[2,1,8,10] float[2,5,8,10]"},
    {"y, y1 = Split<axis: int = 1>(x, u)", "float[2,?,8,10] float[2,?,8,10]"},
    {"y, y1 = Split(w)", "int64? int64?"},
    {"y = Concat<axis: int = -1>(x, x)", "float[2,6,8,20]"},
    {"y = Concat<axis: int = 0>(w, l)", "int64[?]"},
    {"y = Tile(x2, l)", "float[6,21]"},
    {"y = Slice(x, u, u)", "float[?,?,?,?]"},
    {"y = Slice(x, u, u, one)", "float[2,?,8,10]"},
    {"y = Slice(w, l, l)", "int64?"},
    {"y = Unsqueeze(w, l)", "int64?"},
    {"y = Flatten(w)", "int64[?,?]"},
    {"y = Squeeze(w)", "int64?"},
    {"y = Transpose(w)", "int64?"},
    {"y = Reshape<allowzero: int = 1>(e, z2)", "float[0,2]"},
    {"y = Reshape(x, w)", "float?"},
    /* sizes */
    {"y = Pad(x, u)", "float[?,?,?,?]"},
    {"y = Pad(x, w)", "float[?,?,?,?]"},
    {"s9 = Constant<value: tensor = float[4] {1, 1, 1.5, 2}>() y = Resize(x, , s9)", "float[2,6,12,20]"},
    {"y = Resize(x, , , l4)", "float[2,6,3,4]"},
    {"y = Resize(x, , , w)", "float[?,?,?,?]"},
    {"y = Resize(w)", "int64?"},
    {"s9 = Constant<value_ints: ints = [4, 4]>() y = Resize<axes: ints = [2, 3]>(x, , , s9)", "float[2,6,4,4]"},
    {"s9 = Constant<value_ints: ints = [4, 4]>()"
     " y = Resize<axes: ints = [2, 3], keep_aspect_ratio_policy: string = \"not_larger\">(x, , , s9)",
     "float[2,6,3,4]"},
    {"s9 = Constant<value_ints: ints = [4, 4]>()"
     " y = Resize<axes: ints = [2, 3], keep_aspect_ratio_policy: string = \"not_smaller\">(x, , , s9)",
     "float[2,6,4,5]"},
    {"y = Upsample(x, f4)", "float[2,6,16,30]"},
    {"y = Upsample(x, w)", "float[?,?,?,?]"},
    {"y = DepthToSpace<blocksize: int = 2>(x2)", "float?"},
    {"y = SpaceToDepth<blocksize: int = 2>(x)", "float[2,24,4,5]"},
    {"y = CenterCropPad<axes: ints = [0, 1]>(x2, l)", "float[2,3]"},
    {"y = CenterCropPad(x2, u)", "float[?,?]"},
    {"y = CenterCropPad(x, w)", "float[?,?,?,?]"},
    /* windows */
    {"y = Conv<group: int = 2>(x, k)", "float[2,4,6,8]"},
    {"y = Conv<auto_pad: string = \"SAME_LOWER\", strides: ints = [3, 3]>(x, k)", "float[2,4,3,4]"},
    {"y = Conv<auto_pad: string = \"VALID\", pads: ints = [1, 1, 1, 1]>(x, k)", "float[2,4,6,8]"},
    {"y = Conv<kernel_shape: ints = [9, 9]>(x, k)", "float[2,4,?,2]"},
    {"y = Conv(w, k)", "int64?"},
    {"y = Conv(x, w)", "float[2,?,?,?]"},
    {"y = Conv<kernel_shape: ints = [3, 3]>(x, w)", "float[2,?,6,8]"},
    {"y = ConvInteger(q, q)", "int32[2,2,1,1]"},
    {"y = QLinearConv(q, s, z, q, s, z, s, z8)", "uint8[2,2,1,1]"},
    {"y = com.microsoft.QLinearConv<channels_last: int = 1>(q, s, z, k8, s, z, s, z)", "int8[2,4,8,4]"},
    {"y = com.microsoft.FusedConv(x, k)", "float[2,4,6,8]"},
    {"y = DeformConv(x, k, x)", "float[2,4,6,8]"},
    {"y = ConvTranspose<group: int = 2, strides: ints = [2, 3]>(x4, k)", "float[2,6,17,30]"},
    {"y = ConvTranspose<output_shape: ints = [20, 33]>(x4, k)", "float[2,3,20,33]"},
    {"y = ConvTranspose<auto_pad: string = \"SAME_UPPER\", strides: ints = [2, 2]>(x4, k)", "float[2,3,16,20]"},
    {"y = ConvTranspose(w, k)", "int64?"},
    {"y, y1 = MaxPool<kernel_shape: ints = [3, 3], strides: ints = [2, 2], ceil_mode: int = 1>(x)",
     "float[2,6,4,5] int64[2,6,4,5]"},
    {"y = AveragePool<kernel_shape: ints = [2, 2], strides: ints = [3, 3], ceil_mode: int = 1, pads: ints = [0, 0, 1, "
     "1]>(x)",
     "float[2,6,3,4]"},
    {"y, y1 = MaxPool<kernel_shape: ints = [3]>(w)", "int64? int64?"},
    {"y = MaxUnpool<kernel_shape: ints = [2, 2], strides: ints = [2, 2]>(x, x)", "float[2,6,16,20]"},
    {"y = MaxUnpool<kernel_shape: ints = [2, 2]>(x, x, l4)", "float[2,6,3,4]"},
    {"y = MaxUnpool(w, w)", "int64?"},
    {"y = GlobalMaxPool(x)", "float[2,6,1,1]"},
    {"y = com.microsoft.QLinearGlobalAveragePool<channels_last: int = 1>(q, s, z, s, z)", "int8[2,1,1,4]"},
    {"y = com.microsoft.QLinearGlobalAveragePool(q, s, z, s, z)", "int8[2,6,1,1]"},
    {"y = com.microsoft.QLinearAveragePool<kernel_shape: ints = [2, 2]>(q, s, z, s, z)", "int8[2,6,7,3]"},
    {"y = com.microsoft.QLinearAveragePool<kernel_shape: ints = [2, 2], channels_last: int = 1>(q, s, z, s, z)",
     "int8[2,5,7,4]"},
    {"y = RoiAlign<output_height: int = 3, output_width: int = 4>(x, x2, l)", "float[3,6,3,4]"},
    {"y = MaxRoiPool<pooled_shape: ints = [3, 4]>(x, x2)", "float[3,6,3,4]"},
    {"y = GridSample(x, g)", "float[2,6,5,7]"},
    {"y = AffineGrid(x, l4)", "float[2,3,4,2]"},
    {"y = AffineGrid(x, u)", "float?"},
    {"y = Col2Im(c3, l, l2)", "float[2,3,2,3]"},
    {"y = Col2Im(c3, u, l2)", "float[2,3,?,?]"},
    {"y = CausalConvWithState(r, r)", "float[5,2,4]"},
    /* matrices */
    {"y = MatMul(x, l104)", "float[2,6,8,4]"},
    {"y = MatMul(f, f)", "float[]"},
    {"y = MatMul(w, x)", "int64?"},
    {"y = MatMulInteger(q, q44)", "int32[2,6,8,4]"},
    {"y = QLinearMatMul(q, s, z, q44, s, z, s, z8)", "uint8[2,6,8,4]"},
    {"y = Gemm<transA: int = 1>(x2, m34)", "float[7,4]"},
    {"y = Gemm<transB: int = 1>(x2, m47)", "float[3,4]"},
    {"y = com.microsoft.QGemm(q44, s, z, q44, s, z)", "float[4,4]"},
    {"y = com.microsoft.QGemm(q44, s, z, q44, s, z, , s, z8)", "uint8[4,4]"},
    {"y = com.microsoft.QGemm(q44, s, z, q44, s, z, , s)", "int8[4,4]"},
    {"y = com.microsoft.FusedMatMul<transA: int = 1>(x2, m34)", "float[7,4]"},
    {"y = com.microsoft.FusedMatMul<transB: int = 1>(x2, m47)", "float[3,4]"},
    {"y = com.microsoft.FusedMatMul<transBatchA: int = 1>(x2, m34)", "float?"},
    {"y = com.microsoft.MatMulIntegerToFloat(q, q44, s, s)", "float[2,6,8,4]"},
    {"y = com.microsoft.DynamicQuantizeMatMul(x, l104, s)", "float[2,6,8,4]"},
    {"y = com.microsoft.MatMulNBits<K: int = 4, N: int = 9>(r, q, f)", "float[5,2,9]"},
    {"y = com.microsoft.QLinearAdd(q, s, z, q44, s, z, s, z)", "int8[2,6,?,4]"},
    {"y = com.microsoft.QLinearMul(q, s, z, q, s, z, s, z)", "int8[2,6,8,4]"},
    {"y = com.microsoft.QLinearConcat<axis: int = 1>(s, z, q, s, z, q, s, z)", "int8[2,12,8,4]"},
    {"y = com.microsoft.QLinearWhere(b, q, s, z, q, s, z, s, z)", "int8[2,6,8,4]"},
    {"y = com.microsoft.QLinearSigmoid(q, s, z, s, z)", "int8[2,6,8,4]"},
    {"y = Det(x)", "float[2,6]"},
    {"y = Einsum<equation: string = \"bchw, w d -> bchd\">(x, l104)", "float[2,6,8,4]"},
    {"y = Einsum<equation: string = \"ij,jk\">(x2t, m34)", "float[7,4]"},
    {"y = Einsum<equation: string = \"...ij->...ji\">(x)", "float[2,6,10,8]"},
    {"y = Einsum<equation: string = \"ii->i\">(l44)", "float[4]"},
    {"y = Einsum<equation: string = \"ij->\">(x2)", "float[]"},
    {"y, y1, y2, y3 = Attention(x, x, x)", "float[2,6,8,10] float[2,6,8,10] float[2,6,8,10] float[2,6,8,8]"},
    {"y, y1, y2 = Attention<q_num_heads: int = 2, kv_num_heads: int = 1>(r, r, r)",
     "float[5,2,8] float[5,1,2,4] float[5,1,2,4]"},
    {"y, y1 = Attention(x, x, x, , x, x)", "float[2,6,8,10] float[2,6,16,10]"},
    {"y = com.microsoft.Attention<num_heads: int = 2>(r, l412)", "float[5,2,4]"},
    {"y = com.microsoft.Attention<num_heads: int = 2, qkv_hidden_sizes: ints = [2, 2, 8]>(r, l412)", "float[5,2,8]"},
    {"y = com.microsoft.QAttention<num_heads: int = 2>(r8, q44, f, s, s)", "float[5,2,1]"},
    {"y, y1, y2 = LSTM<hidden_size: int = 3>(r, r, r)", "float[5,1,2,3] float[1,2,3] float[1,2,3]"},
    {"y, y1 = GRU<hidden_size: int = 3, direction: string = \"bidirectional\">(r, r, r)",
     "float[5,2,2,3] float[2,2,3]"},
    {"y, y1 = RNN<layout: int = 1>(r, r, r)", "float[5,2,1,4] float[5,1,4]"},
    {"y, y1, y2 = com.microsoft.EmbedLayerNormalization(i2, , x2, x2, , f, f)", "float[4,9,7] int32[4] float[4,9,7]"},
    {"y = NegativeLogLikelihoodLoss(x2, l)", "float[]"},
    {"y = NegativeLogLikelihoodLoss<reduction: string = \"none\">(x2, l)", "float[2]"},
    {"y, y1 = SoftmaxCrossEntropyLoss(x2, l)", "float[] float[3,7]"},
    {"y = DFT(r1)", "float[5,16,2]"},
    {"y = DFT<onesided: int = 1>(r1)", "float[5,9,2]"},
    {"y = DFT<onesided: int = 1, inverse: int = 1>(r1)", "float[5,30,1]"},
    {"y = DFT(r1, i3)", "float[5,3,2]"},
    {"y = DFT(f)", "float?"},
    {"y = STFT(r1, i3, , i7)", "float[5,4,4,2]"},
    {"y = STFT<onesided: int = 0>(r1, i3, c6)", "float[5,4,6,2]"},
    {"y, y1 = LinearAttention<q_num_heads: int = 2, kv_num_heads: int = 1>(r, r, r)", "float[5,2,8] float[5,1,4,4]"},
    {"y = BitCast<to: int = 6>(x)", "int32[2,6,8,10]"},
    /* what holds graphs */
    {"y, y1 = Loop<body: graph = l (int64 k9, bool d9, float[] v9) => (bool e9, float[] u9, float[] p9)"
     " { e9 = Identity(d9) u9 = Relu(v9) p9 = Transpose(x2) }>(, b, x)",
     "float? float[?,7,3]"},
    {"y = Loop<body: graph = l (int64 k9, bool d9, float[] v9) => (bool e9, float[] u9)"
     " { e9 = Identity(d9) u9 = Relu(x) }>(i3, , x)",
     "float[2,6,8,10]"},
    {"y, y1 = Scan<num_scan_inputs: int = 1, body: graph = l (v9, e9) => (float[] u9, float[] p9)"
     " { u9 = Identity(v9) p9 = Add(v9, e9) }>(f, x2)",
     "float[1] float[3,7]"},
    {"y, y1 = Scan<num_scan_inputs: int = 1, scan_input_axes: ints = [1], scan_output_axes: ints = [-1],"
     " body: graph = l (v9, e9) => (float[] u9, float[] p9) { u9 = Identity(v9) p9 = Relu(e9) }>(f, x2)",
     "float[1] float[3,7]"},
    {"y = some.Thing<body: graph = l () => (float[] u9) { u9 = Relu(x) }>(x)", "??"},
    {"y = SequenceAt(x, i0)", "??"},
};

#define CONSTANTS                                                                                                   \
	"<int64[2] l = {2, 3}, int64[2] l2 = {1, 2}, int64[2] l15 = {1, 5}, int64[4] l4 = {2, 6, 3, 4},"            \
	" int64[2,2] l22 = {0, 0, 1, 1}, int64[2] z2 = {0, 2}, int64[1] one = {1}, int64 i0 = {0}, int64 i1 = {1}," \
	" int64 i3 = {3}, int64 i7 = {7}, float[4] f4 = {1, 1, 2, 3}, float s = {1}, int8 z = {0}, uint8 z8 = {0}>"
#define INPUTS                                                                                                    \
	IMAGE                                                                                                     \
	", float[2,4,8,10] x4, float[3,7] x2, float[7,3] x2t, float[0,4] e, float[1] f, float16[1] h, bool[1] b," \
	" float[6] c6, int64[2] u, int64[] w, int64 w0, float[5,2,4] r, int8[5,2,4] r8, float[5,16,1] r1,"        \
	" float[3,4] m34, float[4,7] m47, float[10,4] l104, float[4,4] l44, float[4,12] l412, float[4,3,3,3] k,"  \
	" int8[4,8,3,1] k8, int8[2,6,8,4] q, int8[4,4] q44, int64[4,9] i2, float[2,5,7,2] g, float[2,6,9] c3"

static void infer_body(void *arg)
{
	session *s = arg;

	qdq_graph_infer(s->m->graph);
}

static const char *outputs_text(qdq_model *m, const qdq_node *n)
{
	const char *text = "";

	for (uint32_t i = 0; i < n->n_outputs; i++) {
		const qdq_value *v = n->outputs[i];

		text = qdq_format(&m->arena, "%s%s%s", text, i == 0 ? "" : " ",
				  v->type == QDQ_TYPE_NONE ? "?" : qdq_type_get(v->type)->name);
		if (v->shape == NULL)
			text = qdq_format(&m->arena, "%s?", text);
		for (int32_t k = 0; v->shape != NULL && k < v->shape->rank; k++)
			text = qdq_format(&m->arena, "%s%s%s", text, k == 0 ? "[" : ",",
					  qdq_dim_print(m, &m->arena, v->shape->dim[k]));
		if (v->shape != NULL)
			text = qdq_format(&m->arena, "%s%s", text, v->shape->rank == 0 ? "[]" : "]");
	}
	return text;
}

static void expect(const char *nodes, const char *outputs, int opset)
{
	session s;
	char text[3000];

	start(&s);
	snprintf(text, sizeof text,
		 "<ir_version: 8, opset_import: [\"\" : %d]>\n"
		 "g (" INPUTS ") => ()" CONSTANTS "{%s}",
		 opset, nodes);
	parse(&s, text);
	ck_assert_int_eq(qdq_guard(s.ctx, infer_body, &s), QDQ_OK);
	ck_assert_msg(strcmp(outputs_text(s.m, s.m->graph->last), outputs) == 0, "%s gives %s, not %s", nodes,
		      outputs_text(s.m, s.m->graph->last), outputs);
	finish(&s);
}

START_TEST(follows_the_rule)
{
	expect(rules[_i].nodes, rules[_i].outputs, 17);
}
END_TEST

/* What was otherwise in an older or newer opset. */
static const struct {
	const char *nodes, *outputs;
	int opset;
} versions[] = {
    {"y = Add<broadcast: int = 1>(x, f)", "float[2,6,8,10]", 6},
    {"y, y1 = Dropout(x)", "float[2,6,8,10] float[2,6,8,10]", 7},
    {"y = Upsample<height_scale: float = 2.0, width_scale: float = 3.0>(x)", "float[2,6,16,30]", 6},
    {"y = Upsample<scales: floats = [1.0, 1.0, 2.0, 3.0]>(x)", "float[2,6,16,30]", 7},
    {"y = Resize(x, f4)", "float[2,6,16,30]", 10},
    {"y = Slice<starts: ints = [1], ends: ints = [-1], axes: ints = [2]>(x)", "float[2,6,6,10]", 9},
    {"y = Slice<starts: ints = [1, 2], ends: ints = [2, 9999]>(x)", "float[1,4,8,10]", 1},
    {"y = Squeeze<axes: ints = [0]>(f)", "float[]", 11},
    {"y = Unsqueeze<axes: ints = [0, -1]>(f)", "float[1,1,1]", 11},
    {"y = Reshape<shape: ints = [0, -1]>(x)", "float[2,480]", 1},
    {"y = Pad<pads: ints = [0, 0, 1, 1, 0, 0, 1, 1]>(x)", "float[2,6,10,12]", 10},
    {"y = Pad<paddings: ints = [0, 0, 1, 1, 0, 0, 1, 1]>(x)", "float[2,6,10,12]", 1},
    {"p = Constant<value_ints: ints = [1, 2]>() y = Pad(x, p, , one)", "float[2,9,8,10]", 18},
    {"y, y1 = Split<axis: int = 1, split: ints = [1, 5]>(x)", "float[2,1,8,10] float[2,5,8,10]", 11},
    {"y, y1, y2, y3 = Split<axis: int = 3, num_outputs: int = 4>(x)",
     "float[2,6,8,3] float[2,6,8,3] float[2,6,8,3] float[2,6,8,1]", 18},
    {"y = ReduceMax(x, l)", "float[2,6,1,1]", 18},
    {"y = ReduceMax<axes: ints = [2, 3]>(x)", "float[2,6,1,1]", 13},
    {"y, y1 = TopK<k: int = 2>(x)", "float[2,6,8,2] int64[2,6,8,2]", 9},
    {"y = Tile(x2, i3, i1)", "float[?,?]", 1},
    {"a = Constant<value_int: int = 0>() y = DFT(r1, , a)", "float[5,16,2]", 20},
    {"y = DFT<axis: int = 1, onesided: int = 1>(r1)", "float[5,9,2]", 17},
    {"y = DFT<onesided: int = 1>(r1, , w0)", "float[?,?,2]", 20},
    {"y = DFT(r1, , w0)", "float[5,16,2]", 20},
    {"y = DFT<onesided: int = 1>(r1)", "float[5,9,2]", 20},
    {"y = DequantizeLinear<output_dtype: int = 10>(q, s)", "float16[2,6,8,4]", 23},
    {"y = QuantizeLinear<output_dtype: int = 3>(x, s)", "int8[2,6,8,10]", 21},
    {"y, y1 = Scan<num_scan_inputs: int = 1, body: graph = l (v9, e9) => (float[] u9, float[] p9)"
     " { u9 = Identity(v9) p9 = Relu(e9) }>(, x2, r)",
     "float[5,7] float[5,2,4]", 8},
};

START_TEST(follows_the_opset)
{
	expect(versions[_i].nodes, versions[_i].outputs, versions[_i].opset);
}
END_TEST

Suite *infer_rules_suite(void)
{
	Suite *suite = suite_create("infer rules");
	TCase *c = tcase_create("operators");

	tcase_add_loop_test(c, follows_the_rule, 0, QDQ_COUNTOF(rules));
	tcase_add_loop_test(c, follows_the_opset, 0, QDQ_COUNTOF(versions));
	suite_add_tcase(suite, c);
	return suite;
}

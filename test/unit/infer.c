/* SPDX-License-Identifier: Apache-2.0
 *
 * infer.c -- tests of types, shapes and contents
 *
 * test/peer/shapes.py holds the rules to ONNX's; here stands what ONNX does not say: symbols, contents, what is done
 * with declarations, regions and calls.
 */
#include "suites.h"
#include "text_fixture.h"

static const qdq_value *last_output(const qdq_model *m)
{
	return m->graph->last->outputs[0];
}

static void infer_body(void *arg)
{
	session *s = arg;

	qdq_graph_infer(s->m->graph);
}

static void infer(session *s)
{
	ck_assert_int_eq(qdq_guard(s->ctx, infer_body, s), QDQ_OK);
}

static const char *shape_text(qdq_model *m, const qdq_shape *s)
{
	const char *text = "";

	if (s == NULL)
		return "none";
	for (int32_t i = 0; i < s->rank; i++)
		text = qdq_format(&m->arena, "%s%s%s", text, i == 0 ? "" : ",", qdq_dim_print(m, &m->arena, s->dim[i]));
	return text;
}

/* The last value of a graph with inputs x (float), t (int64 list), b (bool) must be of this type and shape. */
static const struct {
	const char *nodes, *type, *shape;
} shapes[] = {
    /* symbols go through */
    {"y = Relu(x)", "float", "N,3,H,W"},
    {"y = Add(x, x)", "float", "N,3,H,W"},
    {"y = Equal(x, x)", "bool", "N,3,H,W"},
    {"y = Transpose<perm: ints = [0, 2, 3, 1]>(x)", "float", "N,H,W,3"},
    {"y = Flatten(x)", "float", "N,H*W*3"},
    {"y = Flatten<axis: int = 0>(x)", "float", "1,N*H*W*3"},
    {"y = Concat<axis: int = 2>(x, x)", "float", "N,3,H*2,W"},
    {"y = Concat<axis: int = 1>(x, x)", "float", "N,6,H,W"},
    {"y = GlobalAveragePool(x)", "float", "N,3,1,1"},
    {"y = ReduceMean<axes: ints = [2, -1], keepdims: int = 0>(x)", "float", "N,3"},
    {"y = ArgMax<axis: int = 1, keepdims: int = 0>(x)", "int64", "N,H,W"},
    {"y = Shape(x)", "int64", "4"},
    {"y = Size(x)", "int64", ""},
    {"y = NonZero(x)", "int64", "4,?"},
    /* windows */
    {"y = MaxPool<kernel_shape: ints = [3, 3], strides: ints = [2, 2], pads: ints = [1, 1, 1, 1]>(x)", "float",
     "N,3,(H+1)/2,(W+1)/2"},
    {"y = MaxPool<kernel_shape: ints = [2, 2], strides: ints = [2, 2]>(x)", "float", "N,3,H/2,W/2"},
    {"y = MaxPool<kernel_shape: ints = [2, 2], strides: ints = [2, 2], ceil_mode: int = 1>(x)", "float",
     "N,3,(H+1)/2,(W+1)/2"},
    {"y = AveragePool<kernel_shape: ints = [3, 3]>(x)", "float", "N,3,H-2,W-2"},
    {"y = AveragePool<kernel_shape: ints = [3, 3], auto_pad: string = \"SAME_UPPER\", strides: ints = [2, 2]>(x)",
     "float", "N,3,(H+1)/2,(W+1)/2"},
    {"w = ConstantOfShape<value: tensor = float[1] {1}>(k) y = Conv<pads: ints = [1, 1, 1, 1]>(x, w)", "float",
     "N,8,H,W"},
    {"w = ConstantOfShape<value: tensor = float[1] {1}>(k) y = Conv<strides: ints = [2, 2], dilations: ints = [2, "
     "2]>(x, w)",
     "float", "N,8,(H+1)/2-2,(W+1)/2-2"},
    {"w = ConstantOfShape<value: tensor = float[1] {1}>(k) v = Conv<pads: ints = [1, 1, 1, 1]>(x, w)"
     " y = ConvTranspose<strides: ints = [2, 2], pads: ints = [1, 1, 1, 1], output_padding: ints = [1, 1]>(v, w)",
     "float", "N,3,H*2,W*2"},
    {"y = Conv(x, x)", "float", "N,N,1,1"},
    /* slices, pads, tiles */
    {"y = Slice(x, zero, one, one)", "float", "N,1,H,W"},
    {"s = Constant<value_ints: ints = [1]>() e = Constant<value_ints: ints = [-1]>() a = Constant<value_ints: ints = "
     "[2]>()"
     " y = Slice(x, s, e, a)",
     "float", "N,3,H-2,W"},
    {"s = Constant<value_ints: ints = [0]>() e = Constant<value_ints: ints = [9223372036854775807]>()"
     " a = Constant<value_ints: ints = [3]>() p = Constant<value_ints: ints = [2]>() y = Slice(x, s, e, a, p)",
     "float", "N,3,H,(W+1)/2"},
    {"s = Constant<value_ints: ints = [-1]>() e = Constant<value_ints: ints = [-9223372036854775807]>()"
     " a = Constant<value_ints: ints = [3]>() p = Constant<value_ints: ints = [-1]>() y = Slice(x, s, e, a, p)",
     "float", "N,3,H,W"},
    {"s = Constant<value_ints: ints = [0]>() e = Constant<value_ints: ints = [5]>() a = Constant<value_ints: ints = "
     "[3]>()"
     " y = Slice(x, s, e, a)",
     "float", "N,3,H,?"},
    {"p = Constant<value_ints: ints = [0, 0, 1, 2, 0, 0, 1, -1]>() y = Pad(x, p)", "float", "N,3,H+2,W+1"},
    {"r = Constant<value_ints: ints = [1, 2, 3, 1]>() y = Tile(x, r)", "float", "N,6,H*3,W"},
    {"a, y = Split<axis: int = 3>(x)", "float", "N,3,H,W/2"},
    {"y = DepthToSpace<blocksize: int = 2>(x)", "float", "N,0,H*2,W*2"},
    {"y = SpaceToDepth<blocksize: int = 2>(x)", "float", "N,12,H/2,W/2"},
    {"c = Constant<value_floats: floats = [1.0, 1.0, 2.0, 0.5]>() y = Resize(x, , c)", "float", "N,3,H*2,W/2"},
    /* broadcasting */
    {"o = Constant<value_float: float = 1.0>() y = Mul(x, o)", "float", "N,3,H,W"},
    {"a = GlobalMaxPool(x) y = Mul(a, x)", "float", "N,3,H,W"},
    {"a = Transpose(x) y = Add(a, x)", "float", "?,3,3,?"},
    {"y = Where(b, x, x)", "float", "N,3,H,W"},
    /* views */
    {"r = Constant<value_ints: ints = [0, -1]>() y = Reshape(x, r)", "float", "N,H*W*3"},
    {"r = Constant<value_ints: ints = [-1, 3]>() y = Reshape(x, r)", "float", "N*H*W,3"},
    {"r = Constant<value_ints: ints = [0, 3, -1]>() y = Reshape(x, r)", "float", "N,3,H*W"},
    {"y = Reshape(x, t)", "float", "?,?"},
    {"y = Unsqueeze(x, one)", "float", "N,1,3,H,W"},
    {"a = GlobalMaxPool(x) r = Constant<value_ints: ints = [-1, 2]>() y = Squeeze(a, r)", "float", "N,3"},
    {"y = Squeeze(x)", "float", "none"},
    /* types */
    {"y = Cast<to: int = 10>(x)", "float16", "N,3,H,W"},
    {"sc = Constant<value_float: float = 1.0>() y = QuantizeLinear(x, sc)", "uint8", "N,3,H,W"},
    {"sc = Constant<value_float: float = 1.0>() z = Constant<value: tensor = int8 {0}>() y = QuantizeLinear(x, sc, z)",
     "int8", "N,3,H,W"},
    {"sc = Constant<value_float: float = 1.0>() q = QuantizeLinear(x, sc) y = DequantizeLinear(q, sc)", "float",
     "N,3,H,W"},
    {"y = my.domain.Thing(x)", "?", "none"},
    /* contents: what exporters write */
    {"s = Shape(x) n = Gather(s, i0) u = Unsqueeze(n, zero) m = Constant<value_ints: ints = [-1]>()"
     " r = Concat<axis: int = 0>(u, m) y = Reshape(x, r)",
     "float", "N,H*W*3"},
    {"s = Shape(x) n = Slice(s, zero, one) g = Constant<value_ints: ints = [1, 3, -1]>() r = Concat<axis: int = 0>(n, "
     "g)"
     " y = Reshape(x, r)",
     "float", "N,1,3,H*W"},
    {"s = Shape(x) h = Gather(s, i2) two = Constant<value_int: int = 2>() d = Div(h, two) u = Unsqueeze(d, zero)"
     " m = Constant<value_ints: ints = [0, 3]>() e = Constant<value_ints: ints = [2, -1]>()"
     " r = Concat<axis: int = 0>(m, u, e) y = Reshape(x, r)",
     "float", "N,3,H/2,2,H*W/((H/2)*2)"},
    {"s = Shape(x) y = ConstantOfShape(s)", "float", "N,3,H,W"},
    /* a size without a name is still a size; an integer of which nothing is known is none */
    {"v = NonZero(x) s = Shape(v) l = Gather(s, i1) u = Unsqueeze(l, zero) m = Constant<value_ints: ints = [4, -1]>()"
     " r = Concat<axis: int = 0>(u, m) y = Reshape(v, r)",
     "int64", "?,4,1"},
    {"l = Gather(t, i0) u = Unsqueeze(l, zero) m = Constant<value_ints: ints = [-1]>() r = Concat<axis: int = 0>(u, m)"
     " y = Reshape(x, r)",
     "float", "?,?"},
    {"l = Gather(t, i0) u = Unsqueeze(l, zero) m = Constant<value_ints: ints = [3]>() r = Concat<axis: int = 0>(u, m)"
     " y = Reshape(x, r)",
     "float", "N*H*W,3"},
    {"y = ConstantOfShape(t)", "float", "?,?"},
    {"s = Shape(x) n = Gather(s, i0) d = Constant<value_int: int = 1>() z = Constant<value_int: int = 0>()"
     " y = Range(z, n, d)",
     "int64", "N"},
    {"n = Size(x) d = Constant<value_int: int = 1>() z = Constant<value_int: int = 0>() y = Range(z, n, d)", "int64",
     "N*H*W*3"},
    {"s = Shape(x) p = ReduceProd<keepdims: int = 1>(s) y = Reshape(x, p)", "float", "N*H*W*3"},
    {"s = Shape(x) c = Cast<to: int = 6>(s) d = Cast<to: int = 7>(c) i = Identity(d) y = Expand(x, i)", "float",
     "N,3,H,W"},
    {"e = Constant<value_ints: ints = [-1, 3, 4, -1]>() l = Shape(e) o = ConstantOfShape<value: tensor = int64[1] "
     "{1}>(l)"
     " n = Neg(o) q = Equal(e, n) r = Where(q, o, e) a = GlobalMaxPool(x) y = Expand(a, r)",
     "float", "N,3,4,1"},
    {"s = Shape(x) a, c = Split<axis: int = 0>(s) g = GlobalMaxPool(x) f = Concat<axis: int = 0>(a, c) y = Expand(g, "
     "f)",
     "float", "N,3,H,W"},
    {"s = Shape(x) q = Sub(s, s) m = Max(s, q) y = ConstantOfShape(m)", "float", "?,3,?,?"},
};

#define HEAD                                                                                                          \
	HEADER                                                                                                        \
	"g (float[N,3,H,W] x, int64[2] t, bool[1] b) => ()"                                                           \
	"<int64[1] zero = {0}, int64[1] one = {1}, int64 i0 = {0}, int64 i1 = {1}, int64 i2 = {2}, int64[4] k = {8, " \
	"3, 3, 3}> {"

START_TEST(finds_shapes)
{
	session s;
	qdq_model *m;
	const qdq_value *v;
	char text[2000];

	start(&s);
	snprintf(text, sizeof text, HEAD "%s }", shapes[_i].nodes);
	m = parse(&s, text);
	infer(&s);
	v = last_output(m);
	if (m->graph->last->n_outputs == 2)
		v = m->graph->last->outputs[1];
	ck_assert_str_eq(qdq_type_get(v->type)->bits == 0 ? "?" : qdq_type_get(v->type)->name, shapes[_i].type);
	ck_assert_str_eq(shape_text(m, v->shape), shapes[_i].shape);
	finish(&s);
}
END_TEST

/* A second run finds the same and makes nothing new. */
START_TEST(is_stable)
{
	session s;
	qdq_model *m;
	char text[2000];

	start(&s);
	snprintf(text, sizeof text, HEAD "%s }", shapes[_i].nodes);
	m = parse(&s, text);
	infer(&s);
	const qdq_shape *shape = last_output(m)->shape, *contents = last_output(m)->contents;
	infer(&s);
	infer(&s);
	ck_assert_ptr_eq(last_output(m)->shape, shape);
	ck_assert_ptr_eq(last_output(m)->contents, contents);
	finish(&s);
}
END_TEST

/* ---- declarations ---- */

START_TEST(refines_what_is_declared)
{
	session s;
	qdq_model *m;

	start(&s);
	m = parse(&s, HEADER
		  "g (float[N,3,4] x) => (float[batch,?,unknown] y) <float[A,B,C] v> { v = Relu(x) y = Relu(v) }");
	infer(&s);
	/* what nobody outside sees takes the better name; the graph's output keeps the user's */
	ck_assert_str_eq(shape_text(m, m->graph->first->outputs[0]->shape), "N,3,4");
	ck_assert_str_eq(shape_text(m, last_output(m)->shape), "batch,3,4");
	ck_assert_uint_eq(s.ctx->diagnostics.count, 0);
	finish(&s);
}
END_TEST

START_TEST(keeps_what_is_declared)
{
	session s;
	qdq_model *m;

	start(&s);
	m = parse(&s, HEADER "g (float[N,3] x) => (float[8,5] y) { v = a.B(x) y = a.B(v) }");
	infer(&s);
	ck_assert_str_eq(shape_text(m, last_output(m)->shape), "8,5");
	ck_assert_int_eq(last_output(m)->type, QDQ_TYPE_FLOAT);
	finish(&s);
}
END_TEST

START_TEST(warns_once_of_contradictions)
{
	session s;
	qdq_model *m;

	start(&s);
	m = parse(&s, HEADER "g (float[2,3] x) => (float[2,4] y, float[2,3,1] z) { y = Relu(x) z = Relu(x) }");
	infer(&s);
	ck_assert_uint_eq(s.ctx->diagnostics.count, 2);
	ck_assert_str_eq(s.ctx->diagnostics.items[0].message, "the file says that dimension 1 is 4, but it is 3");
	ck_assert_str_eq(s.ctx->diagnostics.items[0].operand, "y");
	ck_assert_int_eq(s.ctx->diagnostics.items[0].severity, QDQ_WARNING);
	ck_assert_str_eq(s.ctx->diagnostics.items[1].message, "the file says rank 3, but it is 2");
	infer(&s);
	ck_assert_uint_eq(s.ctx->diagnostics.count, 2);
	ck_assert_str_eq(shape_text(m, last_output(m)->shape), "2,3");
	finish(&s);
}
END_TEST

/* A pass that changes an operand's type infers its node: there what is found counts. */
START_TEST(one_node_follows_its_inputs)
{
	session s;
	qdq_model *m;
	qdq_node *pool;

	start(&s);
	m = parse(&s, HEADER "g (int8[1,2,4,4] q, float[1,2,4,4] x) => () <float[1,2,3,3] y> {"
			     " y = MaxPool<kernel_shape: ints = [2, 2]>(x) }");
	pool = m->graph->first;
	qdq_use_set(&pool->inputs[0], m->graph->inputs.items[0]);
	infer(&s);
	ck_assert_int_eq(pool->outputs[0]->type, QDQ_TYPE_FLOAT);
	qdq_node_infer(pool);
	ck_assert_int_eq(pool->outputs[0]->type, QDQ_TYPE_INT8);
	finish(&s);
}
END_TEST

/* ---- nested graphs, functions, regions ---- */

START_TEST(looks_into_branches)
{
	session s;
	qdq_model *m;

	start(&s);
	m = parse(&s, HEADER "g (float[N,3] x, bool c) => () {"
			     " y = If<then_branch: graph = a () => (float p) { p = Relu(x) },"
			     "        else_branch: graph = d () => (float q) { o = Constant<value_ints: ints = [1]>() "
			     "q = Unsqueeze(x, o) }>(c)"
			     " t = Constant<value: tensor = bool {1}>()"
			     " z = If<then_branch: graph = e () => (float p2) { p2 = Relu(x) },"
			     "        else_branch: graph = f () => (float q2) { q2 = Transpose(x) }>(t) }");
	infer(&s);
	ck_assert_int_eq(m->graph->first->outputs[0]->type, QDQ_TYPE_FLOAT);
	ck_assert_str_eq(shape_text(m, m->graph->first->outputs[0]->shape), "none");
	ck_assert_str_eq(shape_text(m, last_output(m)->shape), "N,3");
	finish(&s);
}
END_TEST

START_TEST(looks_into_functions)
{
	session s;
	qdq_model *m;

	start(&s);
	m = parse(&s, "<ir_version: 8, opset_import: [\"\" : 17, \"mine\" : 1]>\n"
		      "g (float[N,3,4] x, float[2,5] z) => () { v = mine.turn(x) y = mine.turn(z) }\n"
		      "<opset_import: [\"\" : 17], domain: \"mine\"> turn (a) => (b) { t = Transpose(a) b = Relu(t) }");
	infer(&s);
	ck_assert_str_eq(shape_text(m, m->graph->first->outputs[0]->shape), "4,3,N");
	ck_assert_str_eq(shape_text(m, last_output(m)->shape), "5,2");
	/* the body belongs to both calls: nothing stays in it */
	ck_assert_ptr_null(m->functions.items[0]->body->first->outputs[0]->shape);
	ck_assert_int_eq(m->functions.items[0]->body->first->outputs[0]->type, QDQ_TYPE_NONE);
	finish(&s);
}
END_TEST

START_TEST(looks_into_regions)
{
	session s;
	qdq_model *m;
	qdq_node *nodes[2], *region;

	start(&s);
	m = parse(
	    &s, HEADER
	    "g (float[N,3,4] x) => (float y) <int64[2] k = {0, -1}> { v = Relu(x) w = Reshape(v, k) y = Relu(w) }");
	infer(&s);
	nodes[0] = m->graph->first->next;
	nodes[1] = nodes[0]->next;
	region = qdq_region_create(m->graph, nodes, 2, qdq_intern(&m->names, "r"));
	for (uint32_t i = 0; i < region->n_outputs; i++)
		qdq_value_set_type(region->outputs[i], QDQ_TYPE_NONE, NULL);
	qdq_value_set_type(region->region->body->first->outputs[0], QDQ_TYPE_NONE, NULL);
	qdq_value_set_type(region->region->body->last->outputs[0], QDQ_TYPE_NONE, NULL);
	qdq_node_infer(region);
	ck_assert_int_eq(region->outputs[0]->type, QDQ_TYPE_FLOAT);
	ck_assert_str_eq(shape_text(m, region->outputs[0]->shape), "N,12");
	ck_assert(qdq_graph_verify(m->graph));
	finish(&s);
}
END_TEST

/* ---- what must not happen ---- */

/* Inputs that no operator allows: nothing is claimed, nothing breaks. */
static const char *const nonsense[] = {
    "y = Reshape(x, x)",
    "y = Transpose<perm: ints = [0, 7, -1, 2]>(x)",
    "y = Transpose<perm: ints = [0]>(x)",
    "y = Conv(t, x)",
    "y = Conv<kernel_shape: ints = [3]>(x, x)",
    "y = Conv<strides: ints = [0, 0]>(x, x)",
    "y = Conv<pads: ints = [9223372036854775807, 1, 1, 1], kernel_shape: ints = [1, 1]>(x, x)",
    "y = MaxPool<kernel_shape: ints = [-3, 0]>(x)",
    "y = MaxPool<kernel_shape: ints = [9223372036854775807, 1]>(x)",
    "y = Flatten<axis: int = 77>(x)",
    "y = Concat<axis: int = 99>(x, x)",
    "y = Concat<axis: int = 1>(x, t)",
    "y = Gather<axis: int = -9>(x, t)",
    "y = GatherND<batch_dims: int = -7>(x, t)",
    "y = Slice(x, t, t, t, t)",
    "y = Split<axis: int = 9>(x)",
    "y = DepthToSpace<blocksize: int = 0>(x)",
    "y = DepthToSpace<blocksize: int = 4611686018427387904>(x)",
    "y = Unsqueeze(x, k)",
    "y = Squeeze(x, k)",
    "y = Tile(x, k)",
    "y = Expand(x, k)",
    "y = Pad(x, k)",
    "y = Resize(x, x, x, x)",
    "y = TopK<axis: int = 8>(x, zero)",
    "y = OneHot(x, x, x)",
    "y = Einsum<equation: string = \"ij,jk->ik\">(x, t)",
    "y = Einsum<equation: string = \"a...->...,,->\">(x)",
    "y = Einsum<equation: string = \"\">(x)",
    "y = LSTM(x, x, x)",
    "y = Range(k, k, k)",
    "y = Range(zero, one, zero)",
    "y = ConstantOfShape(x)",
    "y = Cast<to: int = 99>(x)",
    "y = Cast<to: int = -1>(x)",
    "y = If(b)",
    "y = Loop(zero, b, x)",
    "y = Scan<num_scan_inputs: int = -1>(x)",
    "y = Reshape()",
    "y = Conv()",
    "y = Add()",
    "y = Add(x)",
    "y = Where(b)",
    "y = MatMul(b, zero)",
    "y = Gemm(b, x)",
    "y = Constant()",
    "y = Shape<start: int = -9223372036854775807, end: int = 9223372036854775807>(x)",
    "y = AffineGrid(x, x)",
    "y = Col2Im(x, k, k)",
    "y = DFT(x)",
    "y = STFT(x, zero)",
    "y = Attention(x, x, x)",
    "y = Attention(t, x, x)",
    "y = LayerNormalization<axis: int = 50>(x, x)",
    "y = BatchNormalization(x)",
    "y = com.microsoft.QLinearConcat(x)",
    "y = com.microsoft.QLinearAdd(x)",
    "y = com.microsoft.QLinearConv(x, x, x, x)",
    "y = com.microsoft.QGemm(x)",
    "y = com.microsoft.Attention(x, x)",
    "y = com.microsoft.MatMulNBits<N: int = -1>(x, x)",
};

START_TEST(survives_nonsense)
{
	session s;
	char text[1000];

	start(&s);
	snprintf(text, sizeof text, HEAD "%s z = Relu(y) w = Shape(z) v = Reshape(x, w) }", nonsense[_i]);
	parse(&s, text);
	infer(&s);
	infer(&s);
	finish(&s);
}
END_TEST

/* Chains of shape arithmetic that grow without end: the sizes stay bounded, and so does the time. */
START_TEST(long_chains_stay_cheap)
{
	session s;
	qdq_model *m;
	qdq_value *v;

	start(&s);
	m = parse(&s, HEADER "g (float[N,3,H,W] x) => () { y = Relu(x) }");
	v = m->graph->first->outputs[0];
	for (int i = 0; i < 20000; i++) {
		qdq_value *two[] = {v, v};
		qdq_node *n = qdq_node_insert(m->graph, NULL, QDQ_OP_Concat, "c", 2, two, 1, NULL);
		qdq_attr_set_int(n, "axis", i % 4);
		v = n->outputs[0];
	}
	infer(&s);
	ck_assert_int_eq(v->shape->rank, 4);
	ck_assert_uint_lt(m->dims.count, 200000);
	finish(&s);
}
END_TEST

Suite *infer_suite(void)
{
	Suite *suite = suite_create("infer");
	TCase *c = tcase_create("shapes"), *d = tcase_create("more");

	tcase_add_loop_test(c, finds_shapes, 0, QDQ_COUNTOF(shapes));
	tcase_add_loop_test(c, is_stable, 0, QDQ_COUNTOF(shapes));
	tcase_add_test(d, refines_what_is_declared);
	tcase_add_test(d, keeps_what_is_declared);
	tcase_add_test(d, warns_once_of_contradictions);
	tcase_add_test(d, one_node_follows_its_inputs);
	tcase_add_test(d, looks_into_branches);
	tcase_add_test(d, looks_into_functions);
	tcase_add_test(d, looks_into_regions);
	tcase_add_loop_test(d, survives_nonsense, 0, QDQ_COUNTOF(nonsense));
	tcase_add_test(d, long_chains_stay_cheap);
	suite_add_tcase(suite, c);
	suite_add_tcase(suite, d);
	return suite;
}

/* SPDX-License-Identifier: Apache-2.0
 *
 * text.c -- tests of ONNX's textual syntax: what it means, and how it is written
 */
#include <locale.h>

#include "suites.h"
#include "text_fixture.h"

/* ---- written as it was read ---- */

/* Each is in the writer's own form: it comes out as it went in. */
static const char *const canonical[] = {
    HEADER "g () => ()\n{\n}\n",
    HEADER
    "\"a graph/with \\\"quotes\\\\\" (float[N,3,?,\"a*b\"] x, int8 s, float16[] r, untyped, \"int8\") => (float[N] y)\n"
    "{\n"
    "  [n1] y = Conv <kernel_shape: ints = [3, 3], alpha: float = 0.5> (x, \"\", s)\n"
    "  [\"/layer/1\"] \"onnx::Relu_1\", \"\", z = com.microsoft.Some:thing(y)\n"
    "  = Nothing()\n"
    "}\n",
    /* every element type */
    HEADER "g () => ()\n"
	   "<\n"
	   "  float[3] a1 = {0.1, -0, 1e-45},\n"
	   "  uint8[2] a2 = {0, 255},\n"
	   "  int8[2] a3 = {-128, 127},\n"
	   "  uint16[2] a4 = {0, 65535},\n"
	   "  int16[2] a5 = {-32768, 32767},\n"
	   "  int32[2] a6 = {-2147483648, 2147483647},\n"
	   "  int64[2] a7 = {-9223372036854775808, 9223372036854775807},\n"
	   "  string[3] a8 = {\"\", \"a\\\"b\\\\\", \"\xff\n\"},\n"
	   "  bool[2] a9 = {0, 1},\n"
	   "  float16[2] a10 = {15360, 64512},\n"
	   "  double[3] a11 = {0.1, -5e-324, 1.7976931348623157e+308},\n"
	   "  uint32[2] a12 = {0, 4294967295},\n"
	   "  uint64[2] a13 = {0, 18446744073709551615},\n"
	   "  complex64[2] a14 = {1, 2, nan, -inf},\n"
	   "  complex128 a15 = {0.3, -nan},\n"
	   "  bfloat16 a16 = {16256},\n"
	   "  float8e4m3fn[1] a17 = {127},\n"
	   "  float8e4m3fnuz[1] a18 = {128},\n"
	   "  float8e5m2[1] a19 = {124},\n"
	   "  float8e5m2fnuz[1] a20 = {1},\n"
	   "  uint4[3] a21 = {33, 3},\n"
	   "  int4[2] a22 = {255},\n"
	   "  float4e2m1[1] a23 = {7},\n"
	   "  float8e8m0[1] a24 = {127},\n"
	   "  uint2[5] a25 = {228, 3},\n"
	   "  int2[1] a26 = {3},\n"
	   "  float[0,5] empty = {},\n"
	   "  string[0] nothing = {}\n"
	   ">\n"
	   "{\n"
	   "}\n",
    /* types that are not a tensor's, and what nodes make */
    HEADER
    "g (seq(map(int64, string)) a, optional(seq(float[])) b, sparse_tensor(float16[2,M]) c, opaque() d, opaque(x.y) e)"
    " => ()\n"
    "<float[N] t, seq(int8) u>\n"
    "{\n"
    "  t, u = Op <tp: type_proto = opaque(x.y, z), tps: type_protos = [float[2], seq(int8)]> (a, b, c, d, e)\n"
    "}\n",
    /* attributes */
    HEADER
    "g () => ()\n"
    "{\n"
    "  = Op <f: float = 1, g: float = -inf, h: float = nan, i: int = -9223372036854775808, s: string = "
    "\"a\\\"\\\\\n\", t: "
    "tensor = float[2] {1, 2}, fs: floats = [1, 2.5, nan], is: ints = [], ss: strings = [\"\", \"x\"], ts: tensors = "
    "[int8 {1}, string {\"y\"}], \"a b\": int = 1> ()\n"
    "  = \"do.main-2\".\"an op\":\"o v\"()\n"
    "}\n",
    /* nested graphs and captures */
    HEADER "g (bool c, float[2] x) => (float[2] y)\n"
	   "{\n"
	   "  y = If <then_branch: graph = t () => (float[2] a) {\n"
	   "    a = If <then_branch: graph = u () => (b) {\n"
	   "      b = Relu(x)\n"
	   "    }, else_branch: graph = v () => (b)\n"
	   "      <float k = {1}>\n"
	   "    {\n"
	   "      b = Add(x, k)\n"
	   "    }> (c)\n"
	   "  }, else_branch: graph = w () => (a) {\n"
	   "    a = Neg(x)\n"
	   "  }> (c)\n"
	   "  z = Neg(y)\n"
	   "}\n",
    /* functions */
    "<ir_version: 10, opset_import: [\"\" : 18, \"d\" : 1]>\n"
    "g (float[N] x) => (float[N] y)\n"
    "{\n"
    "  y = d.F:o <k: int = 2> (x)\n"
    "}\n"
    "\n"
    "<domain: \"d\", overload: \"o\", opset_import: [\"\" : 18], doc_string: \"says\">\n"
    "F <k, alpha: float = 1, beta: ints = [1, 2]> (float[N] a, \"float\") => (float[N] b, c)\n"
    "<float[N] t>\n"
    "{\n"
    "  t = LeakyRelu <alpha: float = @alpha, k = @k> (a)\n"
    "  b = G(t)\n"
    "  c = Neg(b)\n"
    "}\n"
    "\n"
    "<domain: \"\", opset_import: []>\n"
    "G (a) => (b)\n"
    "{\n"
    "  b = Neg(a)\n"
    "}\n",
    /* the header over several lines; defaults of inputs */
    "<\n"
    "  ir_version: 8,\n"
    "  opset_import: [\"\" : 17, \"com.microsoft\" : 1],\n"
    "  producer_name: \"somebody\",\n"
    "  producer_version: \"1.0\",\n"
    "  domain: \"a.b\",\n"
    "  model_version: -3,\n"
    "  doc_string: \"two\nlines\",\n"
    "  metadata_props: [\"key\": \"value\", \"\": \"\"]\n"
    ">\n"
    "g (float[2] w = {1, 2}, float[N] v) => (float[2] w)\n"
    "<float[2] v = {3, 4}>\n"
    "{\n"
    "}\n",
    /* before IR version 4 initializers are inputs */
    "<ir_version: 3, opset_import: [\"\" : 8]>\n"
    "g (float[N] x, float[2] w = {1, 2}) => (float[N] y)\n"
    "{\n"
    "  y = Add(x, w)\n"
    "}\n",
};

START_TEST(test_canonical)
{
	session s;

	start(&s);
	parse(&s, canonical[_i]);
	ck_assert_str_eq(print(&s), canonical[_i]);
	finish(&s);
}
END_TEST

/* ---- other ways to write the same ---- */

static const struct {
	const char *text, *canonical;
} forms[] = {
    {"# a comment\n" HEADER "g=>(){}# another", HEADER "g () => ()\n{\n}\n"},
    {"\xef\xbb\xbf<ir_version:8,opset_import:[\"ai.onnx\":17]>g()=>()<>{}", HEADER "g () => ()\n{\n}\n"},
    {HEADER
     "g(float[2]x)=>(){y=ai.onnx.Relu(x)z=Op(,x,)<a=1,b=1.0,c=[1.5,2],d=\"s\",e=[\"s\"],f=nan,h=float{1},i=float[2]>}",
     HEADER "g (float[2] x) => ()\n{\n  y = Relu(x)\n"
	    "  z = Op <a: int = 1, b: float = 1, c: floats = [1.5, 2], d: string = \"s\", e: strings = [\"s\"], f: "
	    "float = nan, "
	    "h: tensor = float {1}, i: type_proto = float[2]> (\"\", x)\n}\n"},
    {HEADER "g () => () { = Op <a: floats = [-0, 1], b: float = 3, t: tensor = float[1] name = {1}, "
	    "u: tensor = float[1] \"n\" {1}, v: int = [1]> () }",
     HEADER
     "g () => ()\n{\n  = Op <a: floats = [-0, 1], b: float = 3, t: tensor = float[1] {1}, u: tensor = float[1] {1}, "
     "v: ints = [1]> ()\n}\n"},
    /* a nested graph's name, as onnx prints it: what is no identifier is changed */
    {HEADER
     "g () => () { = Op <a: graph = \"a/b 1\" () => () {}, b = \"inf\" () => () {}, c: graph = float () => () {}> () }",
     HEADER "g () => ()\n{\n  = Op <a: graph = a_b_1 () => () {\n  }, b: graph = _inf () => () {\n  }, "
	    "c: graph = _float () => () {\n  }> ()\n}\n"},
    /* 4 and 2 bits: one number for each element */
    {HEADER
     "g () => () <int4[3] a = {-8, 7, -1}, uint4[2] b = {1, 15}, uint2[5] c = {0, 1, 2, 3, 3}, int4[1] d = {-1}> {}",
     HEADER "g () => ()\n<int4[3] a = {120, 15}, uint4[2] b = {241}, uint2[5] c = {228, 3}, int4[1] d = {15}>\n{\n}\n"},
    {HEADER "g () => () <float[6] a = {1, 007, 1.50e+2, 1E-3, INF, -Infinity}, float16 h = {-1}> {}",
     HEADER "g () => ()\n<float[6] a = {1, 7, 150, 0.001, inf, -inf}, float16 h = {65535}>\n{\n}\n"},
    {"<ir_version: 3, opset_import: [\"\" : 8]> g (float[N] x, float[2] w) => () <float[2] w = {1, 2}> {}",
     "<ir_version: 3, opset_import: [\"\" : 8]>\ng (float[N] x, float[2] w = {1, 2}) => ()\n{\n}\n"},
    /* a type for what is there already, twice or for nobody */
    {HEADER "g (x) => (y) <float[2] x, float[N] y, float[] y, int8 nobody> { y = Neg(x) }",
     HEADER "g (float[2] x) => (float[N] y)\n{\n  y = Neg(x)\n}\n"},
};

START_TEST(test_forms)
{
	session s;

	start(&s);
	parse(&s, forms[_i].text);
	ck_assert_str_eq(print(&s), forms[_i].canonical);
	finish(&s);
}
END_TEST

/* ---- what it becomes ---- */

static const qdq_tensor *constant(const qdq_graph *g, const char *name)
{
	for (size_t i = 0; i < g->constants.count; i++)
		if (strcmp(g->constants.items[i]->name, name) == 0)
			return g->constants.items[i]->tensor;
	ck_abort_msg("no constant '%s'", name);
	return NULL;
}

static void expect_data(const qdq_graph *g, const char *name, qdq_type type, const char *bytes, size_t size)
{
	const qdq_tensor *t = constant(g, name);

	ck_assert_int_eq(t->type, type);
	ck_assert_uint_eq(t->size, size);
	ck_assert_mem_eq(t->data, bytes, size);
}

START_TEST(test_data)
{
	session s;
	const qdq_graph *g;

	start(&s);
	g = parse(&s, HEADER "g () => () <float f = {1.5}, double d = {-2}, int32 i = {-2}, uint64 u = "
			     "{18446744073709551615}, bool[2] b = "
			     "{0, 1}, float16 h = {15360}, bfloat16 n = {-1}, int4[3] q = {1, -2, 3}, complex64 c = "
			     "{1, -1}, string[2] s = "
			     "{\"a\\\"\", \"\"}, int64[2,0] e = {}> {}")
		->graph;
	expect_data(g, "f", QDQ_TYPE_FLOAT, "\0\0\xc0\x3f", 4);
	expect_data(g, "d", QDQ_TYPE_DOUBLE, "\0\0\0\0\0\0\0\xc0", 8);
	expect_data(g, "i", QDQ_TYPE_INT32, "\xfe\xff\xff\xff", 4);
	expect_data(g, "u", QDQ_TYPE_UINT64, "\xff\xff\xff\xff\xff\xff\xff\xff", 8);
	expect_data(g, "b", QDQ_TYPE_BOOL, "\0\1", 2);
	expect_data(g, "h", QDQ_TYPE_FLOAT16, "\x00\x3c", 2);
	expect_data(g, "n", QDQ_TYPE_BFLOAT16, "\xff\xff", 2);
	expect_data(g, "q", QDQ_TYPE_INT4, "\xe1\x03", 2);
	expect_data(g, "c", QDQ_TYPE_COMPLEX64, "\0\0\x80\x3f\0\0\x80\xbf", 8);
	expect_data(g, "e", QDQ_TYPE_INT64, "", 0);
	ck_assert_int_eq(constant(g, "e")->rank, 2);
	ck_assert_int_eq(constant(g, "f")->rank, 0);
	ck_assert_uint_eq(constant(g, "s")->strings[0].size, 2);
	ck_assert_mem_eq(constant(g, "s")->strings[0].data, "a\"", 2);
	ck_assert_uint_eq(constant(g, "s")->strings[1].size, 0);
	finish(&s);
}
END_TEST

/* Ties and neighbours; each is read as the C library reads it, and written as short as that reads back. */
static const char *const floats[] = {"0",
				     "1",
				     "0.1",
				     "0.3",
				     "16777216",
				     "16777218",
				     "123456.79",
				     "3.4028235e+38",
				     "1e-45",
				     "1.1754942e-38",
				     "1.1754944e-38",
				     "1e+10",
				     "0.33333334",
				     "100000",
				     "1234567",
				     "1e-05",
				     "0.0001",
				     "9.999999e-05",
				     "5e-324",
				     "1.17549435e-38",
				     "1e+22",
				     "8.5899346e+09",
				     "114044060",
				     "0.012345679",
				     "1.0000001",
				     "1.9999999",
				     "0.99999994",
				     "33554432",
				     "6.7108864e+07",
				     "2.3509887e-38",
				     "7e+10",
				     "1.5e-10"};

START_TEST(test_floats)
{
	char text[128], found[64];
	session s;
	float f, wanted = strtof(floats[_i], NULL);

	start(&s);
	snprintf(text, sizeof text, HEADER "g () => () <float f = {%s}> {}", floats[_i]);
	memcpy(&f, constant(parse(&s, text)->graph, "f")->data, sizeof f);
	ck_assert_mem_eq(&f, &wanted, sizeof f);
	ck_assert_int_eq(sscanf(strstr(print(&s), "f = {") + 5, "%63[^}]", found), 1);
	ck_assert_float_eq(strtof(found, NULL), wanted);
	for (int precision = 1; precision < 9; precision++) {
		char shorter[64];
		size_t digits = 0, zeros = 0;

		snprintf(shorter, sizeof shorter, "%.*e", precision - 1, (double)wanted);
		if (strtof(shorter, NULL) != wanted)
			continue;
		for (const char *p = found; *p != '\0' && *p != 'e'; p++) {
			zeros = *p == '0' ? zeros + 1 : *p == '.' ? zeros : 0;
			digits += *p >= '0' && *p <= '9' && (digits != 0 || *p != '0');
		}
		ck_assert_msg(digits <= zeros + (size_t)precision, "%s is longer than %s", found, shorter);
		break;
	}
	finish(&s);
}
END_TEST

/* No decimal comma, wherever the program runs. */
START_TEST(test_locale)
{
	static const char *const names[] = {"de_DE.UTF-8", "de_DE.utf8", "de_DE", "fr_FR.UTF-8"};
	session s;

	for (size_t i = 0; i < QDQ_COUNTOF(names) && setlocale(LC_NUMERIC, names[i]) == NULL; i++)
		;
	start(&s);
	parse(&s,
	      HEADER "g () => () <double[3] d = {1.25, 1e-300, 1.7976931348623157e308}, float[2] f = {1e-40, 2.5}> {}");
	ck_assert_ptr_nonnull(strstr(print(&s), "{1.25, 1e-300, 1.7976931348623157e+308}"));
	ck_assert_ptr_nonnull(strstr(s.out, "{1e-40, 2.5}"));
	setlocale(LC_NUMERIC, "C");
	finish(&s);
}
END_TEST

START_TEST(test_dimensions)
{
	session s;
	const qdq_graph *g;
	const qdq_shape *x, *y;

	start(&s);
	g = parse(&s, HEADER "g (float[N,?,3,?] x, float[3,N] y, float z, float[] u, v) => () {}")->graph;
	x = g->inputs.items[0]->shape;
	y = g->inputs.items[1]->shape;
	ck_assert_int_eq(x->rank, 4);
	ck_assert(x->dim[0] < 0 && x->dim[0] == y->dim[1]);
	ck_assert(x->dim[1] < 0 && x->dim[1] != x->dim[3] && x->dim[1] != x->dim[0]);
	ck_assert(x->dim[2] == 3);
	ck_assert_int_eq(g->inputs.items[2]->shape->rank, 0);
	ck_assert_ptr_null(g->inputs.items[3]->shape);
	ck_assert_int_eq(g->inputs.items[3]->type, QDQ_TYPE_FLOAT);
	ck_assert(g->inputs.items[3]->declared && g->inputs.items[4]->said_type == QDQ_TYPE_NONE);
	ck_assert_int_eq(g->inputs.items[4]->type, QDQ_TYPE_NONE);
	finish(&s);
}
END_TEST

START_TEST(test_values)
{
	session s;
	const qdq_graph *g;
	const qdq_node *n;

	start(&s);
	g = parse(&s, HEADER "g (float x, float d = {1}, float e) => (y, y) <float w = {1}, float e = {2}, float[2] y> "
			     "{ y = Op(x, d, w, e, , w) }")
		->graph;
	n = g->first;
	ck_assert_uint_eq(n->n_inputs, 6);
	ck_assert_ptr_null(n->inputs[4].value);
	ck_assert(n->inputs[1].value->is_input && n->inputs[1].value->tensor != NULL);
	ck_assert_ptr_null(qdq_value_constant(n->inputs[1].value));
	ck_assert(n->inputs[3].value->is_input && n->inputs[3].value->tensor != NULL);
	ck_assert_ptr_nonnull(qdq_value_constant(n->inputs[2].value));
	ck_assert_uint_eq(n->inputs[2].value->n_uses, 2);
	ck_assert_uint_eq(n->outputs[0]->n_outputs, 2);
	ck_assert(n->outputs[0]->declared && n->outputs[0]->shape->rank == 1);
	ck_assert_ptr_eq(n->outputs[0]->def, n);
	ck_assert_uint_eq(g->constants.count, 1);
	/* before IR version 4 a default is a constant */
	g = parse(&s, "<ir_version: 3, opset_import: [\"\" : 8]> g (float x, float d = {1}, float e) => () <float e = "
		      "{2}> {}")
		->graph;
	ck_assert_uint_eq(g->inputs.count, 1);
	ck_assert_uint_eq(g->constants.count, 2);
	ck_assert(!g->constants.items[0]->is_input && g->constants.items[0]->shape->rank == 0);
	finish(&s);
}
END_TEST

/* Numbers go through the main graph, then the nested graphs, then the functions; captures are uses. */
START_TEST(test_origins)
{
	static const char *const order[] = {"a", "b", "c", "d", "e", "f", "h"};
	session s;
	const qdq_model *m;
	const qdq_node *first;

	start(&s);
	m = parse(&s, HEADER
		  "g (x) => () {\n"
		  "[a] p = If <t: graph = t () => () { [d] q = If <u: graph = u () => () { [e] o = Neg(x) }> (x) }, "
		  "v: graph = v () => () { [f] q = Neg(x) }> (x)\n"
		  "[b] q = Neg(p) [c] r = d.F(q) }\n"
		  "<domain: \"d\", opset_import: [\"\" : 17]> F (x) => (y) { [h] y = Neg(x) }");
	ck_assert_uint_eq(m->origins.count, QDQ_COUNTOF(order));
	for (uint32_t i = 0; i < QDQ_COUNTOF(order); i++) {
		ck_assert_uint_eq(m->origins.items[i]->index, i);
		ck_assert_str_eq(m->origins.items[i]->name, order[i]);
	}
	first = m->graph->first;
	ck_assert_ptr_eq(first->origin, m->origins.items[0]);
	ck_assert_ptr_eq(first->attrs[0].u.g->parent, first);
	ck_assert_uint_eq(m->graph->inputs.items[0]->n_uses, 4);
	ck_assert_ptr_eq(first->attrs[0].u.g->first->attrs[0].u.g->parent, first->attrs[0].u.g->first);
	finish(&s);
}
END_TEST

START_TEST(test_functions)
{
	session s;
	const qdq_model *m;
	const qdq_node *n;

	start(&s);
	m = parse(
	    &s,
	    "<ir_version: 8, opset_import: [\"\" : 17]> g (x) => () { a = d.Relu(x) b = Relu(x) c = d.Relu:o(x) e = "
	    "d.Relu:q(x) "
	    "i = If <t: graph = t () => () { k = d.Relu(x) }> (x) }\n"
	    "<domain: \"d\", opset_import: [\"\" : 17]> Relu <p> (x) => (y) { y = d.Relu:o(x) }\n"
	    "<domain: \"d\", overload: \"o\", opset_import: [\"\" : 17]> Relu <q: int = 3> (x) => (y) { y = Relu(x) }");
	ck_assert_uint_eq(m->functions.count, 2);
	ck_assert_str_eq(m->functions.items[0]->attrs.items[0], "p");
	ck_assert_int_eq(m->functions.items[1]->defaults.items[0].u.i, 3);
	n = m->graph->first;
	ck_assert_ptr_eq(n->function, m->functions.items[0]);
	ck_assert_int_eq(n->op->id, QDQ_OP_NONE);
	n = n->next;
	ck_assert_ptr_null(n->function);
	ck_assert_int_eq(n->op->id, QDQ_OP_Relu);
	n = n->next;
	ck_assert_ptr_eq(n->function, m->functions.items[1]);
	n = n->next;
	ck_assert_ptr_null(n->function);
	n = n->next;
	ck_assert_ptr_eq(n->attrs[0].u.g->first->function, m->functions.items[0]);
	ck_assert_ptr_eq(m->functions.items[0]->body->first->function, m->functions.items[1]);
	/* what is no operator of ai.onnx may lack its opset if it is a function */
	parse(&s, "<ir_version: 8> g (x) => () { y = F(x) } <opset_import: [\"\" : 17]> F (x) => (y) { y = Relu(x) }");
	finish(&s);
}
END_TEST

START_TEST(test_external)
{
	static const char text[] =
	    HEADER "g () => () <float[2] w = [\"location\": \"dir/w\", \"offset\": \"4096\", \"length\": \"8\", "
		   "\"checksum\": \"?\"]> {}";
	session s;

	start(&s);
	ck_assert_int_eq(parse_bytes(&s, text, strlen(text)), QDQ_EMODEL);
	ck_assert_str_eq(last_message(&s), "2:26: tensor 'w' has external data, but there is no folder to look in");
	s.fetches = true;
	expect_data(parse(&s, text)->graph, "w", QDQ_TYPE_FLOAT, "\1\2\3\4\5\6\7\10", 8);
	ck_assert_str_eq(s.location, "dir/w");
	ck_assert_uint_eq(s.offset, 4096);
	ck_assert_uint_eq(s.length, 8);
	finish(&s);
}
END_TEST

/* ---- memory and size ---- */

static void print_and_parse(void *arg)
{
	session *s = arg;

	s->m = qdq_text_parse(s->ctx, s->text, s->size, "model.onnxtxt");
	s->answer = qdq_text_print(s->m, collect, s);
}

/* Wherever memory runs out, that is what is said, and nothing is left behind. */
START_TEST(test_memory)
{
	session s = {.fail_at = 2};
	qdq_status status;

	do {
		size_t at = s.fail_at;

		start_with(&s, (qdq_options){.max_depth = 0});
		s.fail_at = at;
		s.text = canonical[_i];
		s.size = strlen(s.text);
		s.allocations = 1;
		status = qdq_guard(s.ctx, print_and_parse, &s);
		ck_assert_int_eq(status, s.allocations >= at ? QDQ_ENOMEM : QDQ_OK);
		ck_assert_uint_lt(at, 200);
		finish(&s);
		s.fail_at = at + 1;
	} while (status != QDQ_OK);
}
END_TEST

/* Long chains, long names and long lists go through the buffers whole. */
START_TEST(test_large)
{
	const size_t nodes = 20000;
	size_t size = 0, room = nodes * 64 + (1 << 20);
	char *text = malloc(room), *first;
	session s;

	ck_assert_ptr_nonnull(text);
	size +=
	    (size_t)snprintf(text, room, HEADER "g (float[N] v0) => (float[N] v%zu)\n<\n  float[100000] w = {0", nodes);
	for (int i = 1; i < 100000; i++)
		size += (size_t)snprintf(text + size, room - size, ", %d", i % 10);
	size += (size_t)snprintf(text + size, room - size, "},\n  float \"");
	memset(text + size, 'x', 100000);
	size += 100000;
	size += (size_t)snprintf(text + size, room - size, " \" = {1}\n>\n{\n");
	for (size_t i = 0; i < nodes; i++)
		size += (size_t)snprintf(text + size, room - size, "  [n%zu] v%zu = Relu(v%zu)\n", i, i + 1, i);
	size += (size_t)snprintf(text + size, room - size, "}\n");
	start(&s);
	parse(&s, text);
	first = text;
	ck_assert_uint_eq(strlen(print(&s)), size);
	ck_assert(strcmp(s.out, first) == 0);
	ck_assert_uint_eq(s.m->graph->n_nodes, nodes);
	finish(&s);
	free(text);
}
END_TEST

/* ---- writing ---- */

START_TEST(test_write_fails)
{
	session s;

	start(&s);
	parse(&s, canonical[0]);
	s.answer = QDQ_EFILE;
	ck_assert_int_eq(qdq_guard(s.ctx, print_body, &s), QDQ_OK);
	ck_assert_int_eq(s.answer, QDQ_EFILE);
	finish(&s);
}
END_TEST

/* What there are no words for is left out, and said. */
START_TEST(test_left_out)
{
	session s;
	qdq_about about = {.beyond = "training information"};
	qdq_value *v;

	start(&s);
	parse(&s, HEADER "g (x) => () { y = Op <a = 1, b = 2, c: graph = \"c d\" () => () {}> (x) }");
	s.m->graph->first->attrs[0].type = QDQ_ATTR_SPARSE_TENSOR;
	s.m->graph->first->attrs[1].type = QDQ_ATTR_NONE;
	v = s.m->graph->inputs.items[0];
	v->is_input = false;
	s.m->graph->inputs.count = 0;
	s.m->about = &about;
	ck_assert_str_eq(print(&s), HEADER "g () => ()\n{\n  y = Op <c: graph = c_d () => () {\n  }> (x)\n}\n");
	ck_assert_str_eq(last_message(&s),
			 "left out of the text, which has no way to say it: training information, sparse tensors "
			 "of attributes, sparse initializers, attributes without value, names of nested graphs "
			 "that are not identifiers");
	ck_assert_uint_eq(s.ctx->diagnostics.count, 1);
	ck_assert_int_eq(s.ctx->diagnostics.items[0].severity, QDQ_WARNING);
	finish(&s);
}
END_TEST

/* A function has no initializers: constants that it holds become nodes. */
START_TEST(test_function_constants)
{
	const int64_t dims[] = {2};
	session s;
	qdq_graph *body;

	start(&s);
	parse(&s, HEADER
	      "g (x) => () { y = d.F(x) }\n<domain: \"d\", opset_import: [\"\" : 17]> F (a) => (b) { b = Neg(a) }");
	body = s.m->functions.items[0]->body;
	qdq_graph_add_constant(body, qdq_intern(&s.m->names, "k"), qdq_tensor_new(s.m, QDQ_TYPE_INT8, 1, dims));
	ck_assert_ptr_nonnull(
	    strstr(print(&s), "{\n  k = Constant <value: tensor = int8[2] {0, 0}> ()\n  b = Neg(a)\n}\n"));
	finish(&s);
}
END_TEST

/* A fused operator is shown with what it holds. */
START_TEST(test_region)
{
	session s;
	qdq_graph *g;
	qdq_node *nodes[2];

	start(&s);
	g = parse(&s, HEADER "g (float[2] x) => (float[2] y) { t = Relu(x) y = Neg(t) }")->graph;
	nodes[0] = g->first;
	nodes[1] = g->last;
	qdq_region_create(g, nodes, 2, qdq_intern(&s.m->names, "fused"));
	print(&s);
	ck_assert_ptr_nonnull(strstr(s.out, "  [fused] y = qdqopt."));
	ck_assert_ptr_nonnull(strstr(s.out, " <body: graph = "));
	ck_assert_ptr_nonnull(strstr(s.out, " = Relu("));
	ck_assert_ptr_nonnull(strstr(s.out, "> (x)\n}\n"));
	finish(&s);
}
END_TEST

Suite *text_suite(void)
{
	Suite *suite = suite_create("text");
	TCase *c = tcase_create("text");

	tcase_set_timeout(c, 60);
	tcase_add_loop_test(c, test_canonical, 0, QDQ_COUNTOF(canonical));
	tcase_add_loop_test(c, test_forms, 0, QDQ_COUNTOF(forms));
	tcase_add_test(c, test_data);
	tcase_add_loop_test(c, test_floats, 0, QDQ_COUNTOF(floats));
	tcase_add_test(c, test_locale);
	tcase_add_test(c, test_dimensions);
	tcase_add_test(c, test_values);
	tcase_add_test(c, test_origins);
	tcase_add_test(c, test_functions);
	tcase_add_test(c, test_external);
	tcase_add_loop_test(c, test_memory, 0, QDQ_COUNTOF(canonical));
	tcase_add_test(c, test_large);
	tcase_add_test(c, test_write_fails);
	tcase_add_test(c, test_left_out);
	tcase_add_test(c, test_function_constants);
	tcase_add_test(c, test_region);
	suite_add_tcase(suite, c);
	return suite;
}

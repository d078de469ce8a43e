/* SPDX-License-Identifier: Apache-2.0
 *
 * report.c -- verdicts, multiply-accumulates and reasons of small networks; text, JSON and explanations
 */
#include <cjson/cJSON.h>
#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "../../lib/report/internal.h"
#include "../../lib/rewrite/rewrite.h"
#include "suites.h"

static struct {
	qdq_ctx *ctx;
	qdq_model *m;
	const qdq_report *r;
	char *text;
	size_t size;
} t;

static void setup(void)
{
	memset(&t, 0, sizeof t);
	ck_assert_int_eq(qdq_ctx_new(&t.ctx, NULL), QDQ_OK);
}

static void teardown(void)
{
	qdq_ctx_free(t.ctx);
	free(t.text);
}

static qdq_status collect(void *user, const void *data, size_t size)
{
	(void)user;
	t.text = realloc(t.text, t.size + size + 1);
	memcpy(t.text + t.size, data, size);
	t.size += size;
	t.text[t.size] = '\0';
	return QDQ_OK;
}

static qdq_status refuse(void *user, const void *data, size_t size)
{
	(void)user, (void)data, (void)size;
	return QDQ_EFILE;
}

static void load(const char *text, const char *passes)
{
	qdq_optimize_options o = {.version = QDQ_OPTIMIZE_OPTIONS_VERSION, .passes = passes};

	ck_assert_msg(qdq_load_memory(&t.m, t.ctx, text, strlen(text), "dir/net.onnxtxt") == QDQ_OK, "%s",
		      qdq_diagnostic_count(t.ctx) != 0 ? qdq_diagnostic_get(t.ctx, 0)->message : "");
	ck_assert_int_eq(qdq_optimize(t.m, &o), QDQ_OK);
	ck_assert_int_eq(qdq_report_new(&t.r, t.m, "dir/out.onnx"), QDQ_OK);
}

static qdq_op_report op(const char *name)
{
	qdq_op_report found;

	ck_assert_msg(qdq_report_find(&found, t.r, name) == QDQ_OK, "%s is not in the report", name);
	return found;
}

#define HEAD "<ir_version: 8, opset_import: [\"\" : 17, \"my\" : 1]>\n"

/* conv is all INT8, gemm writes float, act and plain are float, odd folds away, lost is read by nobody */
static const char network[] = HEAD
    "g (float[N,2,4,4] x) => (float[N,3] y, float[N,2,4,4] z)\n"
    "<float s = {0.5}, int8 zp = {0}, int8[2,1,3,3] w = {1, 2, 3, 4, 5, 6, 7, 8, 9, 1, 2, 3, 4, 5, 6, 7, 8, 9},\n"
    " int8[3,32] v = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13,"
    " 14, 15, 16, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14,"
    " 15, 16, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15,"
    " 16}, float[2] k = {1, 2}, float[2,2,1,1] u = {1, 2, 3, 4}>\n"
    "{ q = QuantizeLinear(x, s, zp) d = DequantizeLinear(q, s, zp) dw = DequantizeLinear(w, s, zp)\n"
    "  [conv] c = Conv <group = 2, pads = [1, 1, 1, 1]> (d, dw) [relu] r = Relu(c)\n"
    "  [qc] qc = QuantizeLinear(r, s, zp) e = DequantizeLinear(qc, s, zp)\n"
    "  [flat] f = Flatten(e) dv = DequantizeLinear(v, s, zp) [gemm] y = Gemm <transB = 1> (f, dv)\n"
    "  [act] a = Sigmoid(x) [odd] o = Mul(k, k) [lost] l = Tanh(o) [plain] z = Conv(a, u, o) }\n";

START_TEST(test_verdicts)
{
	qdq_counts c;

	load(network, NULL);
	ck_assert_int_eq(op("conv").verdict, QDQ_VERDICT_INT8_INT8);
	ck_assert_ptr_null(op("conv").code);
	ck_assert_int_eq(op("relu").verdict, QDQ_VERDICT_INT8_INT8);
	ck_assert_str_eq(op("relu").fused_into, "conv.fused");
	ck_assert_int_eq(op("gemm").verdict, QDQ_VERDICT_INT8_FLOAT);
	ck_assert_str_eq(op("gemm").code, "output-float");
	ck_assert_int_eq(op("act").verdict, QDQ_VERDICT_FLOAT);
	ck_assert_str_eq(op("act").code, "input-float");
	ck_assert_str_eq(op("plain").code, "not-quantized");
	ck_assert_str_eq(op("plain").node, "act");
	ck_assert_str_eq(op("odd").code, "computed-at-build");
	ck_assert_str_eq(op("lost").code, "unused");
	ck_assert_uint_eq(qdq_report_op_count(t.r), 7);
	qdq_report_get_counts(&c, t.r);
	ck_assert_uint_eq(c.weighted, 3);
	ck_assert_uint_eq(c.int8_int8, 1);
	ck_assert_uint_eq(c.int8_float, 1);
	ck_assert_uint_eq(c.float_only, 1);
	ck_assert_uint_eq(c.nodes_before, 14);
	ck_assert_uint_eq(c.q_before, 2);
	ck_assert_uint_eq(c.dq_before, 4);
	ck_assert_uint_eq(c.q_after, 1);
	ck_assert_uint_eq(c.dq_after, 0);
	ck_assert_uint_eq(c.nodes_after, 6); /* Q, conv.fused, Flatten, gemm.fused, Sigmoid, Conv */
}
END_TEST

/* N counts as 1. conv: 2*4*4 outputs of 9; gemm: 3 of 32; plain: 32 of 2. */
START_TEST(test_macs)
{
	qdq_counts c;

	load(network, NULL);
	ck_assert_uint_eq(op("conv").macs, 288);
	ck_assert_uint_eq(op("gemm").macs, 96);
	ck_assert_uint_eq(op("plain").macs, 64);
	ck_assert_uint_eq(op("relu").macs, 0);
	ck_assert_uint_eq(op("conv").bytes, 2 * 32 * 4);
	ck_assert_uint_eq(op("gemm").bytes, (32 + 3) * 4);
	qdq_report_get_counts(&c, t.r);
	ck_assert_uint_eq(c.macs, 448);
	ck_assert_uint_eq(c.macs_int8, 384);
	/* 32 floats in and 32 out of conv, relu, act and plain, which reads what odd gives too; odd and lost do not run */
	ck_assert_uint_eq(c.bytes, 4 * 2 * 32 * 4 + 2 * 4 + (32 + 3) * 4);
	ck_assert_uint_eq(c.bytes_int8, 2 * 2 * 32 * 4 + (32 + 3) * 4);
	ck_assert(qdq_report_coverage(t.r) > 85.71 && qdq_report_coverage(t.r) < 85.72);
}
END_TEST

static const char transposed[] =
    HEAD "g (float[2,4,5,5] x, float[4,3,2,2] w, float[3,7,6] p, float[3,6,2] q, float[6,4] a, float[6,8] b) =>\n"
	 "  (float[2,6,10,10] y, float[3,7,2] m, float[4,8] n)\n"
	 "{ [up] y = ConvTranspose <group = 2, strides = [2, 2]> (x, w) [mm] m = MatMul(p, q)\n"
	 "  [ta] n = Gemm <transA = 1> (a, b) }\n";

/* ConvTranspose: 2*4*5*5 inputs of 3*2*2 each; MatMul 3*7*2 of 6; Gemm 4*8 of 6. */
START_TEST(test_macs_of_others)
{
	load(transposed, NULL);
	ck_assert_uint_eq(op("up").macs, 200 * 12);
	ck_assert_uint_eq(op("mm").macs, 42 * 6);
	ck_assert_uint_eq(op("ta").macs, 32 * 6);
	ck_assert_str_eq(op("up").code, "input-float");
}
END_TEST

/* Without the last pass nothing is silent either; a report before any optimization is one too. */
START_TEST(test_without_reasons)
{
	load(network, "none");
	ck_assert_str_eq(op("conv").code, "not-examined");
	ck_assert_int_eq(op("conv").verdict, QDQ_VERDICT_FLOAT);
	load(network, "fuse");
	ck_assert_int_eq(op("conv").verdict, QDQ_VERDICT_INT8_INT8);
	ck_assert_str_eq(op("gemm").code, "not-examined");
}
END_TEST

/* What nobody reads is not silent either. */
START_TEST(test_unused)
{
	load(HEAD "g (float[2] x) => (float[2] y) { [dead] d = Tanh(x) [live] y = Sigmoid(x) }\n", NULL);
	ck_assert_str_eq(op("dead").code, "unused");
	ck_assert_int_eq(op("dead").verdict, QDQ_VERDICT_FLOAT);
	ck_assert_str_eq(op("live").code, "input-float");
}
END_TEST

/* The DQ that moved behind an operator came from it, but the operator runs on codes, or in its own region. */
START_TEST(test_moved)
{
	load(HEAD "g (int8[1,2,4,4] q, float[2,2,1,1] w) => (float[1,2,2,2] y, float[1,2,1,1] u)\n"
		  "<float s = {0.5}, int8 z = {3}>\n"
		  "{ x = DequantizeLinear(q, s, z) [pool] y = MaxPool <kernel_shape = [2, 2], strides = [2, 2]> (x)\n"
		  "  [global] p = GlobalMaxPool(x) u = Conv(p, w) }\n",
	     NULL);
	ck_assert_int_eq(op("pool").verdict, QDQ_VERDICT_INT8_INT8);
	ck_assert_ptr_null(op("pool").code);
	ck_assert_ptr_null(op("pool").fused_into);
	ck_assert_int_eq(op("global").verdict, QDQ_VERDICT_INT8_INT8);
	ck_assert_ptr_null(op("global").code);
	ck_assert_str_eq(op("global").fused_into, "global.fused");
	load(HEAD "g (int8[2] q) => (float[2] y)\n"
		  "<float s = {0.5}, int8 z = {0}> { x = DequantizeLinear(q, s, z) [act] y = Sigmoid(x) }\n",
	     NULL);
	ck_assert_int_eq(op("act").verdict, QDQ_VERDICT_INT8_FLOAT);
	ck_assert_str_eq(op("act").code, "needs-both-sides");
	ck_assert_str_eq(op("act").fused_into, "act.fused");
}
END_TEST

/* Passes do not look into a function that stays one, so the report itself says why. */
START_TEST(test_function)
{
	load(HEAD "g (float[2] x) => (float[2] y) { [call] u = my.block(x) [out] y = Tanh(u) }\n"
		  "<domain: \"my\", opset_import: [\"\" : 17]> block (a) => (b) { [inside] b = Sigmoid(a) }\n",
	     NULL);
	ck_assert_int_eq(op("inside").verdict, QDQ_VERDICT_FLOAT);
	ck_assert_str_eq(op("inside").code, "in-function");
	ck_assert_str_eq(op("out").code, "input-float");
	ck_assert_str_eq(op("out").node, "call");
}
END_TEST

/* What was saved fused and loaded again is told the same way. */
START_TEST(test_reloaded)
{
	qdq_counts before, after;
	qdq_op_report conv;

	load(network, NULL);
	qdq_report_get_counts(&before, t.r);
	ck_assert_int_eq(qdq_save_sink(t.m, collect, NULL, NULL), QDQ_OK);
	ck_assert_int_eq(qdq_load_memory(&t.m, t.ctx, t.text, t.size, "again.onnx"), QDQ_OK);
	ck_assert_int_eq(qdq_optimize(t.m, NULL), QDQ_OK);
	ck_assert_int_eq(qdq_report_new(&t.r, t.m, NULL), QDQ_OK);
	qdq_report_get_counts(&after, t.r);
	ck_assert_uint_eq(after.macs, before.macs);
	ck_assert_uint_eq(after.macs_int8, before.macs_int8);
	ck_assert_uint_eq(after.int8_int8, before.int8_int8);
	ck_assert_uint_eq(after.int8_float, before.int8_float);
	ck_assert_uint_eq(after.nodes_after, before.nodes_after);
	conv = op("conv");
	ck_assert_int_eq(conv.verdict, QDQ_VERDICT_INT8_INT8);
	ck_assert_uint_eq(conv.macs, 288);
}
END_TEST

/* ---- JSON ---- */

static double number(const cJSON *object, const char *key)
{
	const cJSON *item = cJSON_GetObjectItemCaseSensitive(object, key);

	ck_assert_msg(cJSON_IsNumber(item), "%s is no number", key);
	return item->valuedouble;
}

static const char *string(const cJSON *object, const char *key)
{
	const cJSON *item = cJSON_GetObjectItemCaseSensitive(object, key);

	ck_assert_msg(cJSON_IsString(item), "%s is no string", key);
	return item->valuestring;
}

static const cJSON *element(const cJSON *root, const char *list, const char *name)
{
	const cJSON *items = cJSON_GetObjectItemCaseSensitive(root, list), *item;

	ck_assert_msg(cJSON_IsArray(items), "%s is no list", list);
	cJSON_ArrayForEach(item, items) if (strcmp(string(item, "name"), name) == 0) return item;
	ck_abort_msg("%s has no %s", list, name);
}

START_TEST(test_json)
{
	static const char *const parts[] = {"schema",  "model",	   "target",   "summary",    "ops",
					    "regions", "rewrites", "declined", "diagnostics"};
	const cJSON *summary, *item, *reason;
	cJSON *root;

	load(network, NULL);
	ck_assert_int_eq(qdq_report_print(t.r, QDQ_REPORT_JSON, collect, NULL), QDQ_OK);
	root = cJSON_Parse(t.text);
	ck_assert_msg(root != NULL, "not JSON: %s", t.text);
	for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
		ck_assert_msg(cJSON_HasObjectItem(root, parts[i]), "no %s", parts[i]);
	ck_assert(number(root, "schema") == 1);
	ck_assert_str_eq(string(root, "target"), "cuda");
	ck_assert_str_eq(string(cJSON_GetObjectItem(root, "model"), "name"), "net.onnxtxt");
	summary = cJSON_GetObjectItem(root, "summary");
	ck_assert(number(summary, "weighted") ==
		  number(summary, "int8_int8") + number(summary, "int8_float") + number(summary, "float"));
	ck_assert(number(summary, "macs_int8") == 384);
	item = element(root, "ops", "gemm");
	ck_assert_str_eq(string(item, "verdict"), "int8->float");
	ck_assert_str_eq(string(item, "fused_into"), "gemm.fused");
	ck_assert_int_eq(cJSON_GetArraySize(cJSON_GetObjectItem(item, "inputs")), 2);
	reason = cJSON_GetObjectItem(item, "reason");
	ck_assert_str_eq(string(reason, "code"), "output-float");
	ck_assert_str_eq(string(reason, "operand"), "y");
	ck_assert(number(reason, "macs") == 0); /* it is INT8 already: its fix brings none */
	ck_assert(cJSON_IsNull(cJSON_GetObjectItem(element(root, "ops", "conv"), "reason")));
	item = element(root, "regions", "conv.fused");
	ck_assert_str_eq(string(item, "kind"), "conv");
	ck_assert_int_eq(cJSON_GetArraySize(cJSON_GetObjectItem(item, "ops")), 2);
	ck_assert(number(item, "macs") == 288);
	ck_assert_int_gt(cJSON_GetArraySize(cJSON_GetObjectItem(root, "rewrites")), 2);
	cJSON_Delete(root);
}
END_TEST

/* Names are the user's: quotes, controls and what is no UTF-8 must not break the file. */
START_TEST(test_json_names)
{
	const char *name = "a\"b\\c\n\x01\xc3\xbc\xff\xed\xa0\x80";
	qdq_value *x, *y;
	qdq_node *n;
	const int64_t dims[] = {2};
	cJSON *root;

	ck_assert_int_eq(qdq_model_new(&t.m, t.ctx, 17), QDQ_OK);
	ck_assert_int_eq(qdq_add_input(&x, t.m, "x", QDQ_TYPE_FLOAT, 1, dims, NULL), QDQ_OK);
	ck_assert_int_eq(qdq_add_node(&n, t.m, NULL, NULL, "Tanh", name, 1, &x, 1), QDQ_OK);
	y = qdq_node_output(n, 0);
	ck_assert_int_eq(qdq_add_output(t.m, y), QDQ_OK);
	ck_assert_int_eq(qdq_optimize(t.m, NULL), QDQ_OK);
	ck_assert_int_eq(qdq_report_new(&t.r, t.m, NULL), QDQ_OK);
	ck_assert_int_eq(qdq_report_print(t.r, QDQ_REPORT_JSON, collect, NULL), QDQ_OK);
	root = cJSON_Parse(t.text);
	ck_assert_ptr_nonnull(root);
	ck_assert_str_eq(string(cJSON_GetArrayItem(cJSON_GetObjectItem(root, "ops"), 0), "name"),
			 "a\"b\\c\n\x01\xc3\xbc\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd");
	cJSON_Delete(root);
}
END_TEST

/* ---- text ---- */

START_TEST(test_text)
{
	size_t lines = 0;

	load(network, NULL);
	ck_assert_int_eq(qdq_report_print(t.r, QDQ_REPORT_TEXT, collect, NULL), QDQ_OK);
	ck_assert_msg(strncmp(t.text, "INT8: 2 of 3 weighted operators, 85.71 % of 448 MAC", 51) == 0, "%s", t.text);
	ck_assert_ptr_nonnull(strstr(t.text, "net.onnxtxt   opset 17, 14 nodes  ->  out.onnx   6 nodes   target cuda"));
	ck_assert_ptr_nonnull(strstr(t.text, "Conv (1 with activation)"));
	ck_assert_ptr_nonnull(strstr(t.text, "Gemm 'gemm': no Q reads its output (tensor 'y')"));
	/* by cost: gemm is 96 of 448, plain 64 */
	ck_assert_ptr_nonnull(strstr(t.text, "not-quantized"));
	ck_assert(strstr(t.text, "output-float") < strstr(t.text, "not-quantized"));
	ck_assert_ptr_nonnull(strstr(t.text, "count as 1"));
	ck_assert_ptr_null(strchr(t.text, '\033'));
	for (const char *c = t.text; *c != '\0'; c++)
		lines += *c == '\n';
	ck_assert_uint_le(lines, 30);
	ck_assert_int_eq(qdq_report_print(t.r, QDQ_REPORT_TEXT_COLOUR, collect, NULL), QDQ_OK);
	ck_assert_ptr_nonnull(strchr(t.text, '\033'));
	ck_assert_int_eq(qdq_report_print(t.r, QDQ_REPORT_TEXT, refuse, NULL), QDQ_EFILE);
	ck_assert_int_eq(qdq_report_print(t.r, QDQ_REPORT_JSON, refuse, NULL), QDQ_EFILE);
}
END_TEST

/* The Casts around an operator in float16 are not it: they may be in the regions beside it. */
START_TEST(test_float16)
{
	static const char text[] =
	    HEAD "g (float[1,2,4,4] x) => (float[1,2,1,1] y)\n"
		 "<float s = {0.5}, int8 zp = {0}, float[2,2,1,1] u = {1, 2, 3, 4}>\n"
		 "{ q = QuantizeLinear(x, s, zp) d = DequantizeLinear(q, s, zp) [gap] p = GlobalAveragePool(d)\n"
		 "  [conv] c = Conv(p, u) [sig] a = Sigmoid(c) qa = QuantizeLinear(a, s, zp)\n"
		 "  y = DequantizeLinear(qa, s, zp) }\n";
	const qdq_precision half = {"conv", QDQ_TYPE_FLOAT16};
	qdq_optimize_options o = {.version = QDQ_OPTIMIZE_OPTIONS_VERSION, .precisions = &half, .n_precisions = 1};

	ck_assert_int_eq(qdq_load_memory(&t.m, t.ctx, text, strlen(text), "net.onnxtxt"), QDQ_OK);
	ck_assert_int_eq(qdq_optimize(t.m, &o), QDQ_OK);
	ck_assert_int_eq(qdq_report_new(&t.r, t.m, NULL), QDQ_OK);
	ck_assert_ptr_null(op("conv").fused_into);
	ck_assert_ptr_nonnull(op("gap").fused_into);
	ck_assert_ptr_nonnull(op("sig").fused_into);
	ck_assert_int_eq(qdq_report_print(t.r, QDQ_REPORT_TEXT, collect, NULL), QDQ_OK);
	ck_assert_msg(strstr(t.text, "  float             2   Conv, Sigmoid\n") != NULL, "%s", t.text);
}
END_TEST

/* A rewrite that has no words would be missing from the line about rewrites. */
START_TEST(test_rewrite_words)
{
	for (size_t i = 0; i < qdq_n_passes; i++) {
		const qdq_pass *pass = qdq_passes[i];

		for (size_t k = 0; k < pass->n_rules; k++) {
			if (strcmp(pass->rules[k].name, "explain.reason") == 0)
				continue; /* changes nothing */
			ck_assert_msg(strcmp(qdq_rewrite_words(pass->rules[k].name, true), "others") != 0,
				      "%s has no words in lib/report/text.c", pass->rules[k].name);
		}
	}
	ck_assert_str_eq(qdq_rewrite_words("mine.rule", true), "others");
	ck_assert_str_eq(qdq_rewrite_words("fold_bn.scale", false), "BatchNormalization folded");
}
END_TEST

/* What a caller's own pass did is counted too, and what is not exact is told apart. */
START_TEST(test_own_rewrite)
{
	load(network, NULL);
	*qdq_push(&t.m->arena, &t.m->events) =
	    (qdq_event){.pass = "mine", .rule = "mine.rule", .exactness = QDQ_BOUNDED};
	ck_assert_int_eq(qdq_report_print(t.r, QDQ_REPORT_TEXT, collect, NULL), QDQ_OK);
	ck_assert_ptr_nonnull(strstr(t.text, ", 1 other (1 bounded, "));
}
END_TEST

static size_t count_of(const char *part)
{
	size_t count = 0;

	for (const char *at = t.text; at != NULL && (at = strstr(at, part)) != NULL; at++)
		count++;
	return count;
}

START_TEST(test_one)
{
	load(HEAD "g (float[2] x) => (float[2] y) { y = Relu(x) }", NULL);
	ck_assert_int_eq(qdq_report_print(t.r, QDQ_REPORT_TEXT, collect, NULL), QDQ_OK);
	ck_assert_uint_eq(count_of("opset 17, 1 node  ->  out.onnx   1 node   target"), 1);
	ck_assert_uint_eq(count_of("0 of 0 weighted operators"), 1);
}
END_TEST

START_TEST(test_explain)
{
	load(network, NULL);
	ck_assert_int_eq(qdq_report_explain_node(t.r, "gemm", collect, NULL), QDQ_OK);
	ck_assert_ptr_nonnull(strstr(t.text, "Gemm 'gemm'   int8 -> float"));
	ck_assert_ptr_nonnull(strstr(t.text, "output-float: no Q reads its output; tensor 'y'"));
	ck_assert_ptr_nonnull(strstr(t.text, "fuse.gemm (exact)"));
	t.size = 0;
	ck_assert_int_eq(qdq_report_explain_node(t.r, "*o*", collect, NULL), QDQ_OK);
	ck_assert_uint_eq(count_of("'conv'   int8"), 1);
	ck_assert_uint_eq(count_of("'odd'   float"), 1);
	ck_assert_uint_eq(count_of("'lost'   float"), 1);
	ck_assert_uint_eq(count_of("'gemm'   int8"), 0);
	t.size = 0;
	ck_assert_int_eq(qdq_report_explain_node(t.r, "*", collect, NULL), QDQ_OK);
	ck_assert_uint_eq(count_of("into 'conv.fused' (conv), with conv, relu\n"), 2);
	ck_assert_uint_eq(count_of("into 'gemm.fused' (gemm), with gemm\n"), 1);
	ck_assert_uint_eq(count_of("fuse.conv (exact)"), 1);
	ck_assert_uint_eq(count_of("no verdict of its own"), 0);
	ck_assert_uint_eq(count_of("\n7 other nodes of that name: no compute operators, without a verdict\n"), 1);
	t.size = 0;
	ck_assert_int_eq(qdq_report_explain_node(t.r, "fla?", collect, NULL), QDQ_OK);
	ck_assert_ptr_nonnull(strstr(t.text, "no verdict of its own"));
	ck_assert_ptr_nonnull(strstr(t.text, "sink_dq.move (exact)"));
	ck_assert_int_eq(qdq_report_explain_node(t.r, "nothing?", collect, NULL), QDQ_EUSAGE);
}
END_TEST

static void *allocate(void *user, void *ptr, size_t old_size, size_t new_size)
{
	(void)old_size;
	if (new_size == 0) {
		free(ptr);
		return NULL;
	}
	return *(const bool *)user ? NULL : realloc(ptr, new_size);
}

/* Without memory an explanation fails whole, and can be had once there is some again. */
START_TEST(test_explain_memory)
{
	bool empty = false;
	qdq_options o = {.version = QDQ_OPTIONS_VERSION, .alloc = allocate, .alloc_user = &empty};

	qdq_ctx_free(t.ctx);
	ck_assert_int_eq(qdq_ctx_new(&t.ctx, &o), QDQ_OK);
	load(network, NULL);
	empty = true;
	ck_assert_int_eq(qdq_report_explain_node(t.r, "conv", collect, NULL), QDQ_ENOMEM);
	ck_assert_uint_eq(t.size, 0);
	empty = false;
	ck_assert_int_eq(qdq_report_explain_node(t.r, "conv", collect, NULL), QDQ_OK);
	ck_assert_uint_eq(count_of("'conv'   int8"), 1);
	ck_assert_int_eq(qdq_report_explain_node(t.r, "conv", refuse, NULL), QDQ_EFILE);
}
END_TEST

START_TEST(test_measured)
{
	load(network, NULL);
	ck_assert_int_eq(qdq_report_measured(t.m, "y", 12.345), QDQ_OK);
	ck_assert_int_eq(qdq_report_measured(t.m, "z", 1), QDQ_OK);
	ck_assert_int_eq(qdq_report_measured(t.m, "z", (double)INFINITY), QDQ_OK);
	ck_assert_int_eq(qdq_report_measured(t.m, NULL, 1), QDQ_EUSAGE);
	ck_assert_int_eq(qdq_report_measured(t.m, "y", (double)NAN), QDQ_EUSAGE);
	ck_assert_int_eq(qdq_report_measured(NULL, "y", 1), QDQ_EUSAGE);
	ck_assert_int_eq(qdq_report_print(t.r, QDQ_REPORT_TEXT, collect, NULL), QDQ_OK);
	ck_assert_ptr_nonnull(strstr(t.text, "as it was: y SNR 12.35 dB, z identical\n"));
	ck_assert_int_eq(qdq_report_print(t.r, QDQ_REPORT_JSON, collect, NULL), QDQ_OK);
	ck_assert_ptr_nonnull(strstr(t.text, "{\"name\": \"y\", \"snr\": 12.345, \"identical\": false}"));
	ck_assert_ptr_nonnull(strstr(t.text, "{\"name\": \"z\", \"snr\": null, \"identical\": true}"));
}
END_TEST

/* ---- what if ---- */

/* Each convolution has 16 multiply-accumulates. Two read the float tensor a; one stands behind an operator that is not
 * known; the weight of c4 is float; nothing quantizes between c5 and c6. */
static const char wishes[] =
    HEAD "g (float[1,1,4,4] x, int16[1,1,4,4] qs) => (float[1,1,4,4] u, float[1,1,4,4] v, float[1,1,4,4] y, "
	 "float[1,1,4,4] z,"
	 " float[1,1,4,4] o)\n"
	 "<float s = {0.5}, int8 zp = {0}, int16 zs = {0}, int8[1,1,1,1] qw = {3}, float[1,1,1,1] w = {0.7}>\n"
	 "{ [dw] dw = DequantizeLinear(qw, s, zp)\n  [exp] a = Exp(x)\n"
	 "  [c1] u = Conv(a, dw)\n  [c2] v = Conv(a, dw)\n"
	 "  [ds] d = my.DequantizeLinear(qs, s, zs)\n  [c3] y = Conv(d, dw)\n"
	 "  [q] q = QuantizeLinear(x, s, zp)\n  [dq] dq = DequantizeLinear(q, s, zp)\n  [c4] z = Conv(dq, w)\n"
	 "  [c5] c5 = Conv(dq, dw)\n  [c6] o = Conv(c5, dw) }\n";

static const qdq_report_op *inner_op(const char *name)
{
	size_t count;
	const qdq_report_op *ops = qdq_report_ops(t.r, &count);

	for (size_t i = 0; i < count; i++)
		if (strcmp(ops[i].name, name) == 0)
			return &ops[i];
	ck_abort_msg("%s is not in the report", name);
}

static void expect_gain(const char *name, const char *code, uint64_t gain)
{
	const qdq_report_op *o = inner_op(name);

	ck_assert_msg(o->has_reason && strcmp(o->code, code) == 0, "%s: %s", name,
		      o->has_reason ? o->code : "no reason");
	ck_assert_msg(o->tried && o->gain == gain, "%s: %llu", name, (unsigned long long)o->gain);
}

static void report_with(const qdq_optimize_options *o)
{
	ck_assert_int_eq(qdq_load_memory(&t.m, t.ctx, wishes, strlen(wishes), "net.onnxtxt"), QDQ_OK);
	ck_assert_int_eq(qdq_optimize(t.m, o), QDQ_OK);
	ck_assert_int_eq(qdq_report_new(&t.r, t.m, NULL), QDQ_OK);
}

START_TEST(test_what_if)
{
	static const qdq_precision precisions[] = {{"c4", QDQ_TYPE_FLOAT}, {"c5", QDQ_TYPE_FLOAT}};
	qdq_optimize_options o = {.version = QDQ_OPTIMIZE_OPTIONS_VERSION};
	size_t diagnostics;

	report_with(&o);
	expect_gain("c1", "input-float", 32);
	expect_gain("c2", "input-float", 32);
	ck_assert(!inner_op("c3")->tried); /* behind an operator that is not known: there is no fix */
	expect_gain("c4", "output-float", 0);
	expect_gain("c6", "input-float", 16);
	o.exact = 1;
	diagnostics = qdq_diagnostic_count(t.ctx);
	report_with(&o);
	expect_gain("c4", "weight-float", 16);
	o.exact = 0;
	o.precisions = precisions;
	o.n_precisions = 2;
	report_with(&o);
	expect_gain("c4", "kept-float", 32); /* of both together */
	expect_gain("c5", "kept-float", 32);
	ck_assert_uint_eq(qdq_diagnostic_count(t.ctx), diagnostics); /* trials say nothing */
	o.passes = "fuse,cleanup,explain";
	report_with(&o);
	ck_assert(!inner_op("c1")->tried); /* of another pipeline nothing can be said */
}
END_TEST

/* What a pass writes for Q and DQ is none of the user's operators. */
START_TEST(test_users_own)
{
	static const char source[] =
	    HEAD "g (float[1,1,4,4] x) => (float[1,1,4,4] y, float[1,1,4,4] r)\n"
		 "<float s = {0.5}, uint8 z = {3}, int8 zw = {0}, int8[1,1,1,1] qw = {3}>\n"
		 "{ [q] q = QuantizeLinear(x, s, z)\n  [dq] dq = DequantizeLinear(q, s, z)\n"
		 "  [dw] dw = DequantizeLinear(qw, s, zw)\n  [conv] c = Conv(dq, dw)\n"
		 "  [q2] cq = QuantizeLinear(c, s, z)\n  [dq2] cd = DequantizeLinear(cq, s, z)\n"
		 "  [relu] r = Relu(cd)\n  [next] y = Conv(cd, dw) }\n";
	qdq_optimize_options o = {.version = QDQ_OPTIMIZE_OPTIONS_VERSION, .target = "tensorrt"};

	ck_assert_int_eq(qdq_load_memory(&t.m, t.ctx, source, strlen(source), "net.onnxtxt"), QDQ_OK);
	ck_assert_int_eq(qdq_optimize(t.m, &o), QDQ_OK);
	ck_assert_int_eq(qdq_report_new(&t.r, t.m, NULL), QDQ_OK);
	ck_assert_int_eq(qdq_report_print(t.r, QDQ_REPORT_TEXT, collect, NULL), QDQ_OK);
	ck_assert_ptr_nonnull(strstr(t.text, "2 Conv"));
	ck_assert_ptr_nonnull(strstr(t.text, "Q/DQ as arithmetic"));
	ck_assert_ptr_null(strstr(t.text, "Sub"));
	ck_assert_ptr_null(strstr(t.text, "with a"));
}
END_TEST

START_TEST(test_names_of_the_file)
{
	static const char source[] =
	    HEAD "g (float[1,1,4,4] x) => (float[1,1,4,4] y)\n"
		 "<float s = {0.5}, int8 z = {0}, int8[1,1,1,1] qw = {3}, float[1,1,1,1] w = {0.7}>\n"
		 "{ [q] q = QuantizeLinear(x, s, z)\n  [dq] dq = DequantizeLinear(q, s, z)\n"
		 "  [dw] dw = DequantizeLinear(qw, s, z)\n  [conv] e__1 = Conv(dq, dw)\n"
		 "  [exp] e = Exp(e__1)\n  [next] y = Conv(e, w) }\n";
	qdq_optimize_options o = {.version = QDQ_OPTIMIZE_OPTIONS_VERSION, .float_type = "fp16"};

	ck_assert_int_eq(qdq_load_memory(&t.m, t.ctx, source, strlen(source), "net.onnxtxt"), QDQ_OK);
	ck_assert_int_eq(qdq_optimize(t.m, &o), QDQ_OK);
	ck_assert_int_eq(qdq_report_new(&t.r, t.m, NULL), QDQ_OK);
	ck_assert_str_eq(inner_op("next")->now, "e__2"); /* behind a Cast that nobody asked for */
	ck_assert_str_eq(inner_op("next")->operand, "e");
	ck_assert_str_eq(inner_op("next")->cause, "exp");
	ck_assert_str_eq(qdq_file_name(t.m, "e__1"), "e__1"); /* the file's own */
	ck_assert_str_eq(qdq_file_name(t.m, "nothing__3"), "nothing__3");
	ck_assert_str_eq(qdq_file_name(t.m, "e__"), "e__");
}
END_TEST

static void count_call(void *user, const qdq_diagnostic *d)
{
	(void)d;
	++*(int *)user;
}

/* A trial that does not fit the caller's memory is not made: the report is, and the model can be used. */
START_TEST(test_what_if_memory)
{
	int logged = 0;
	const qdq_options o = {.version = QDQ_OPTIONS_VERSION, .log = count_call, .log_user = &logged};
	size_t held, peak;

	report_with(NULL);
	held = t.ctx->memory;
	peak = t.ctx->memory_peak;
	ck_assert_uint_gt(peak, held); /* copies count */
	ck_assert(inner_op("c1")->tried);
	qdq_ctx_free(t.ctx);
	ck_assert_int_eq(qdq_ctx_new(&t.ctx, &o), QDQ_OK);
	ck_assert_int_eq(qdq_load_memory(&t.m, t.ctx, wishes, strlen(wishes), "net.onnxtxt"), QDQ_OK);
	ck_assert_int_eq(qdq_optimize(t.m, NULL), QDQ_OK);
	logged = 0; /* there is a note of the operator that is not known */
	t.ctx->memory_peak = t.ctx->memory;
	t.ctx->options.max_memory = held;
	ck_assert_int_eq(qdq_report_new(&t.r, t.m, NULL), QDQ_OK);
	ck_assert(!inner_op("c1")->tried);
	ck_assert_uint_eq(t.ctx->memory, held);
	ck_assert_uint_le(t.ctx->memory_peak, held);
	ck_assert_int_eq(logged, 0);
	t.ctx->options.max_memory = peak;
	ck_assert_int_eq(qdq_optimize(t.m, NULL), QDQ_OK); /* it is not poisoned */
	t.ctx->options.max_memory = 0;
	ck_assert_int_eq(qdq_report_new(&t.r, t.m, NULL), QDQ_OK);
	expect_gain("c1", "input-float", 32);
	ck_assert_int_eq(logged, 0);
}
END_TEST

Suite *report_suite(void)
{
	Suite *s = suite_create("report");
	TCase *c = tcase_create("all");

	tcase_add_checked_fixture(c, setup, teardown);
	tcase_add_test(c, test_verdicts);
	tcase_add_test(c, test_macs);
	tcase_add_test(c, test_macs_of_others);
	tcase_add_test(c, test_without_reasons);
	tcase_add_test(c, test_unused);
	tcase_add_test(c, test_moved);
	tcase_add_test(c, test_function);
	tcase_add_test(c, test_reloaded);
	tcase_add_test(c, test_json);
	tcase_add_test(c, test_json_names);
	tcase_add_test(c, test_text);
	tcase_add_test(c, test_rewrite_words);
	tcase_add_test(c, test_own_rewrite);
	tcase_add_test(c, test_float16);
	tcase_add_test(c, test_one);
	tcase_add_test(c, test_explain);
	tcase_add_test(c, test_what_if);
	tcase_add_test(c, test_what_if_memory);
	tcase_add_test(c, test_users_own);
	tcase_add_test(c, test_names_of_the_file);
	tcase_add_test(c, test_measured);
	tcase_add_test(c, test_explain_memory);
	suite_add_tcase(s, c);
	return s;
}

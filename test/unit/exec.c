/* SPDX-License-Identifier: Apache-2.0
 *
 * exec.c -- sessions: what goes in, what comes out, and what is refused
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../../lib/ir/ir.h"
#include "qdqopt_exec.h"
#include "suites.h"

static const char network[] = "<ir_version: 8, opset_import: [\"\" : 17]>\n"
			      "g (float[N,1,2,2] x) => (float[N,1,2,2] y, int8[N,1,2,2] q)\n"
			      "<float s = {0.5}, int8 z = {3}, int8[1,1,1,1] w = {2}, float ws = {1}, int8 wz = {0}>\n"
			      "{\n"
			      "  xq = QuantizeLinear(x, s, z)\n"
			      "  xd = DequantizeLinear(xq, s, z)\n"
			      "  wd = DequantizeLinear(w, ws, wz)\n"
			      "  c = Conv(xd, wd)\n"
			      "  q = QuantizeLinear(c, s, z)\n"
			      "  y = DequantizeLinear(q, s, z)\n"
			      "}\n";

static qdq_ctx *ctx;
static qdq_model *m;
static qdq_session *s;

static void setup(void)
{
	ck_assert_int_eq(qdq_ctx_new(&ctx, NULL), QDQ_OK);
	ck_assert_int_eq(qdq_load_memory(&m, ctx, network, sizeof network - 1, "network.onnxtxt"), QDQ_OK);
	ck_assert_int_eq(qdq_optimize(m, NULL), QDQ_OK);
	ck_assert_int_eq(qdq_session_new(&s, m, NULL), QDQ_OK);
}

static void teardown(void)
{
	qdq_session_free(s);
	s = NULL;
	qdq_ctx_free(ctx);
}

static qdq_binding input(float *data, int64_t batch)
{
	return (qdq_binding){.name = "x",
			     .type = QDQ_TYPE_FLOAT,
			     .rank = 4,
			     .dims = {batch, 1, 2, 2},
			     .data = data,
			     .size = (size_t)batch * 4 * sizeof *data};
}

static void refused(const qdq_binding *in, size_t n, const char *part)
{
	size_t count;

	ck_assert_int_eq(qdq_session_run(s, in, n, NULL, 0), QDQ_EUSAGE);
	count = qdq_diagnostic_count(ctx);
	ck_assert_uint_gt(count, 0);
	ck_assert_msg(strstr(qdq_diagnostic_get(ctx, count - 1)->message, part) != NULL, "'%s' lacks '%s'",
		      qdq_diagnostic_get(ctx, count - 1)->message, part);
}

/* q = saturate(round(2 * (round(x / 0.5)) ...) + 3): of 1, 0.25 (a tie), 100 and NaN */
START_TEST(computes)
{
	float x[4] = {1, 0.25F, 100, NAN};
	qdq_binding in = input(x, 1), out[2] = {{.name = "q"}, {.name = "y"}};
	const int8_t *q;
	const float *y;

	ck_assert_int_eq(qdq_session_run(s, &in, 1, out, 2), QDQ_OK);
	ck_assert_int_eq(out[0].type, QDQ_TYPE_INT8);
	ck_assert_int_eq(out[0].rank, 4);
	ck_assert_uint_eq(out[0].size, 4);
	ck_assert_uint_eq(out[1].size, 16);
	q = out[0].data;
	y = out[1].data;
	ck_assert_int_eq(q[0], 7); /* 2 / 0.5 + 3 */
	ck_assert_int_eq(q[1], 3); /* half to even: 0 */
	ck_assert_int_eq(q[2], 127);
	ck_assert_int_eq(q[3], -128); /* NaN is the lowest code */
	for (int i = 0; i < 4; i++)
		ck_assert_float_eq(y[i], (float)(q[i] - 3) * 0.5F);
}
END_TEST

START_TEST(takes_any_batch)
{
	for (int64_t batch = 1; batch < 20; batch += 6) {
		float *x = calloc((size_t)batch * 4, sizeof *x), y[80] = {0};
		qdq_binding in = input(x, batch), out = {.name = "y", .data = y, .size = sizeof y};
		qdq_session_facts facts;

		ck_assert_ptr_nonnull(x);
		for (int64_t i = 0; i < batch * 4; i++)
			x[i] = (float)(i % 7);
		for (int again = 0; again < 2; again++)
			ck_assert_int_eq(qdq_session_run(s, &in, 1, &out, 1), QDQ_OK);
		ck_assert_int_eq(out.dims[0], batch);
		ck_assert_uint_eq(out.size, (size_t)batch * 16);
		for (int64_t i = 0; i < batch * 4; i++)
			ck_assert_float_eq(y[i], 2 * x[i]);
		ck_assert_int_eq(qdq_session_get_facts(&facts, s), QDQ_OK);
		ck_assert_uint_eq(facts.evaluated, 0);
		ck_assert_uint_ge(facts.arena, facts.largest_live);
		free(x);
	}
}
END_TEST

/* A plan for what was given is not one for the default, nor for another rank. */
START_TEST(tells_shapes_apart)
{
	static const char source[] = "<ir_version: 8, opset_import: [\"\" : 17]>\n"
				     "g (float[N] x) => (float[N] y)\n<float[2] x = {-1, 2}>\n{\n  y = Relu(x)\n}\n";
	float data[6] = {1, 2, 3, -4, 5, 6};
	qdq_binding in = {
	    .name = "x", .type = QDQ_TYPE_FLOAT, .rank = 1, .dims = {6}, .data = data, .size = sizeof data};
	qdq_binding out = {.name = "y"};
	qdq_session *of;
	qdq_model *given;

	ck_assert_int_eq(qdq_load_memory(&given, ctx, source, sizeof source - 1, "default.onnxtxt"), QDQ_OK);
	ck_assert_int_eq(qdq_session_new(&of, given, NULL), QDQ_OK);
	ck_assert_int_eq(qdq_session_run(of, &in, 1, &out, 1), QDQ_OK);
	ck_assert_int_eq(out.dims[0], 6);
	out = (qdq_binding){.name = "y"};
	ck_assert_int_eq(qdq_session_run(of, NULL, 0, &out, 1), QDQ_OK);
	ck_assert_int_eq(out.dims[0], 2);
	ck_assert_float_eq(((float *)out.data)[1], 2);
	qdq_session_free(of);
}
END_TEST

static void keep_bytes(void *user, const qdq_kernel_profile *k)
{
	*(uint64_t *)user = k->bytes;
}

/* The bytes that the last kernel of a network must move. */
static uint64_t bytes_of(const char *source)
{
	uint64_t bytes = 0;
	qdq_session_options o = {.version = QDQ_SESSION_OPTIONS_VERSION, .profile = keep_bytes, .user = &bytes};
	float data[4] = {1, 2, 3, 4};
	qdq_binding in = {
	    .name = "x", .type = QDQ_TYPE_FLOAT, .rank = 1, .dims = {4}, .data = data, .size = sizeof data};
	qdq_session *of;
	qdq_model *read;

	ck_assert_int_eq(qdq_load_memory(&read, ctx, source, strlen(source), "bytes.onnxtxt"), QDQ_OK);
	ck_assert_int_eq(qdq_session_new(&of, read, &o), QDQ_OK);
	ck_assert_int_eq(qdq_session_run(of, &in, 1, NULL, 0), QDQ_OK);
	qdq_session_free(of);
	return bytes;
}

/* What is read twice moves once, and of a table only what is taken from it. */
START_TEST(counts_least_bytes)
{
	ck_assert_uint_eq(bytes_of("<ir_version: 8, opset_import: [\"\" : 17]>\n"
				   "g (float[4] x) => (float[4] y)\n{\n  y = Mul(x, x)\n}\n"),
			  16 + 16);
	ck_assert_uint_eq(bytes_of("<ir_version: 8, opset_import: [\"\" : 17]>\n"
				   "g (float[4] x) => (float[1] y)\n<int64[1] i = {2}>\n{\n  y = Gather(x, i)\n}\n"),
			  4 + 8 + 4);
}
END_TEST

START_TEST(refuses_inputs)
{
	float x[8] = {0};
	qdq_binding in = input(x, 1), two[2] = {in, in};

	refused(NULL, 0, "is missing");
	refused(two, 2, "given twice");
	in.name = "nothing";
	refused(&in, 1, "no input 'nothing'");
	in.name = NULL;
	refused(&in, 1, "no input");
	in = input(x, 1);
	in.on_device = 1;
	refused(&in, 1, "input 'x' is on a device");
	in = input(x, 1);
	in.type = QDQ_TYPE_INT32;
	refused(&in, 1, "must be float");
	in = input(x, 1);
	in.dims[2] = 3;
	refused(&in, 1, "[N, 1, 2, 2]");
	in = input(x, 1);
	in.rank = 3;
	refused(&in, 1, "must have the shape");
	in.rank = 99;
	refused(&in, 1, "99 dimensions");
	in = input(x, 1);
	in.size = 15;
	refused(&in, 1, "needs 16 bytes, but 15");
	in = input(x, 1);
	in.dims[0] = -1;
	refused(&in, 1, "cannot be");
	in.dims[0] = INT64_MAX;
	refused(&in, 1, "cannot be");
	in = input(NULL, 1);
	refused(&in, 1, "needs");
}
END_TEST

START_TEST(refuses_outputs)
{
	float x[4] = {0}, y[3];
	qdq_binding in = input(x, 1), out = {.name = "z"};

	ck_assert_int_eq(qdq_session_run(s, &in, 1, &out, 1), QDQ_EUSAGE);
	out = (qdq_binding){.name = "y", .data = y, .size = sizeof y};
	ck_assert_int_eq(qdq_session_run(s, &in, 1, &out, 1), QDQ_EUSAGE);
	out = (qdq_binding){.name = "y", .on_device = 1};
	ck_assert_int_eq(qdq_session_run(s, &in, 1, &out, 1), QDQ_EUSAGE);
	ck_assert_int_eq(qdq_session_run(NULL, &in, 1, NULL, 0), QDQ_EUSAGE);
	ck_assert_int_eq(qdq_session_run(s, NULL, 1, NULL, 0), QDQ_EUSAGE);
}
END_TEST

START_TEST(refuses_options)
{
	qdq_session_options o = {.version = 99};
	qdq_session *other;

	ck_assert_int_eq(qdq_session_new(&other, m, &o), QDQ_EUSAGE);
	ck_assert_ptr_null(other);
	o = (qdq_session_options){.version = QDQ_SESSION_OPTIONS_VERSION, .instructions = "mmx"};
	ck_assert_int_eq(qdq_session_new(&other, m, &o), QDQ_EUSAGE);
	o = (qdq_session_options){.version = QDQ_SESSION_OPTIONS_VERSION, .threads = -1};
	ck_assert_int_eq(qdq_session_new(&other, m, &o), QDQ_EUSAGE);
	ck_assert_int_eq(qdq_session_new(&other, NULL, NULL), QDQ_EUSAGE);
	ck_assert_int_eq(qdq_session_new(NULL, m, NULL), QDQ_EUSAGE);
}
END_TEST

static const char hopeless[] = "<ir_version: 8, opset_import: [\"\" : 17]>\n"
			       "g (float[4] x) => (int64[1,K] y)\n"
			       "{\n"
			       "  y = NonZero(x)\n"
			       "}\n";

/* Nothing runs, and the node that cannot is named. */
START_TEST(names_what_it_cannot_run)
{
	qdq_model *other;
	qdq_session *t;
	float x[4] = {0};
	qdq_binding in = {.name = "x", .type = QDQ_TYPE_FLOAT, .rank = 1, .dims = {4}, .data = x, .size = sizeof x};
	size_t count = qdq_diagnostic_count(ctx);
	const qdq_diagnostic *d;

	ck_assert_int_eq(qdq_load_memory(&other, ctx, hopeless, sizeof hopeless - 1, "hopeless.onnxtxt"), QDQ_OK);
	ck_assert_int_eq(qdq_session_new(&t, other, NULL), QDQ_OK);
	ck_assert_int_eq(qdq_session_run(t, &in, 1, NULL, 0), QDQ_EMODEL);
	ck_assert_uint_gt(qdq_diagnostic_count(ctx), count);
	d = qdq_diagnostic_get(ctx, count);
	ck_assert_str_eq(d->op, "NonZero");
	ck_assert_ptr_nonnull(strstr(d->message, "shape"));
	qdq_session_free(t);
}
END_TEST

/* Runs a network of one float input [1,1,2,2] and gives the bytes of an output. */
static const void *run_other(const char *source, const char *name, size_t size)
{
	static const float x[4] = {1, -2, 3, 4};
	qdq_binding in = {.name = "x", .type = QDQ_TYPE_FLOAT, .rank = 4, .dims = {1, 1, 2, 2}, .size = sizeof x};
	qdq_binding out = {.name = name};
	static char kept[64];
	qdq_model *other;
	qdq_session *t;

	in.data = (void *)(uintptr_t)x;
	ck_assert_int_eq(qdq_load_memory(&other, ctx, source, strlen(source), "other.onnxtxt"), QDQ_OK);
	ck_assert_int_eq(qdq_optimize(other, NULL), QDQ_OK);
	ck_assert_int_eq(qdq_session_new(&t, other, NULL), QDQ_OK);
	ck_assert_int_eq(qdq_session_run(t, &in, 1, &out, 1), QDQ_OK);
	ck_assert_uint_eq(out.size, size);
	memcpy(kept, out.data, size);
	qdq_session_free(t);
	return kept;
}

/* An input and a constant as outputs. */
START_TEST(outputs_that_no_kernel_writes)
{
	static const char source[] = "<ir_version: 8, opset_import: [\"\" : 17]>\n"
				     "g (float[1,1,2,2] x) => (float[1,1,2,2] x, float[2] c, float[1,1,2,2] y)\n"
				     "<float[2] c = {5, 6}>\n"
				     "{ y = Relu(x) }\n";
	const float *f = run_other(source, "x", 16);

	ck_assert_float_eq(f[1], -2);
	f = run_other(source, "c", 8);
	ck_assert_float_eq(f[1], 6);
	f = run_other(source, "y", 16);
	ck_assert_float_eq(f[1], 0);
}
END_TEST

/* Codes go through the kernel of MaxPool, but not where somebody wants the indices. */
START_TEST(indices_of_a_pool)
{
	static const char source[] = "<ir_version: 8, opset_import: [\"\" : 17]>\n"
				     "g (float[1,1,2,2] x) => (int8[1,1,1,1] y, int64[1,1,1,1] i)\n"
				     "<float s = {1}, int8 z = {0}>\n"
				     "{\n"
				     "  q = QuantizeLinear(x, s, z)\n"
				     "  y, i = MaxPool<kernel_shape = [2, 2]>(q)\n"
				     "}\n";
	int64_t index;

	ck_assert_int_eq(*(const int8_t *)run_other(source, "y", 1), 4);
	memcpy(&index, run_other(source, "i", 8), sizeof index);
	ck_assert_int_eq(index, 3);
}
END_TEST

/* The C of a Gemm is one number for each row here, as many as there are columns. */
START_TEST(a_bias_of_rows)
{
	static const char source[] =
	    "<ir_version: 8, opset_import: [\"\" : 17]>\n"
	    "g (float[1,1,2,2] x) => (float[2,2] y)\n"
	    "<int64[2] two = {2, 2}, float s = {1}, int8 z = {0}, int8[2,2] w = {1, 0, 0, 1},\n"
	    " float[2,1] c = {100, 200}>\n"
	    "{\n"
	    "  r = Reshape(x, two)\n"
	    "  q = QuantizeLinear(r, s, z)\n"
	    "  d = DequantizeLinear(q, s, z)\n"
	    "  v = DequantizeLinear(w, s, z)\n"
	    "  y = Gemm(d, v, c)\n"
	    "}\n";
	const float *y = run_other(source, "y", 16);

	ck_assert_float_eq(y[0], 101);
	ck_assert_float_eq(y[1], 98);
	ck_assert_float_eq(y[2], 203);
	ck_assert_float_eq(y[3], 204);
}
END_TEST

static void keep_gather(void *user, const qdq_kernel_profile *k)
{
	if (strcmp(k->op, "Gather") == 0)
		*(uint64_t *)user = k->bytes;
}

/* Rows of a table that stands behind its DQ for TensorRT are taken of the codes all the same. */
START_TEST(tables_stay_codes)
{
	static const char source[] = "<ir_version: 8, opset_import: [\"\" : 17]>\n"
				     "g (float[4] x) => (float[4,2] y)\n"
				     "<float s = {0.5}, int8 z = {0}, int8[5,2] w = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10}>\n"
				     "{\n"
				     "  i = Cast<to = 7>(x)\n"
				     "  wd = DequantizeLinear(w, s, z)\n"
				     "  t = Gather(wd, i)\n"
				     "  y = Neg(t)\n"
				     "}\n";
	uint64_t bytes = 0;
	qdq_session_options o = {.version = QDQ_SESSION_OPTIONS_VERSION, .profile = keep_gather, .user = &bytes};
	float data[4] = {1, 0, 3, 4}, y[8];
	qdq_binding in = {
	    .name = "x", .type = QDQ_TYPE_FLOAT, .rank = 1, .dims = {4}, .data = data, .size = sizeof data};
	qdq_binding out = {.name = "y", .data = y, .size = sizeof y};
	qdq_session *of;
	qdq_model *read;

	ck_assert_int_eq(qdq_load_memory(&read, ctx, source, sizeof source - 1, "table.onnxtxt"), QDQ_OK);
	ck_assert_int_eq(qdq_optimize(read, NULL), QDQ_OK);
	ck_assert_int_eq(qdq_session_new(&of, read, &o), QDQ_OK);
	ck_assert_int_eq(qdq_session_run(of, &in, 1, &out, 1), QDQ_OK);
	ck_assert_uint_eq(bytes, 8 + 4 * 8 + 8); /* codes in and out */
	for (int i = 0; i < 8; i++)
		ck_assert_float_eq(y[i], -0.5F * (2 * data[i / 2] + (float)(i % 2) + 1));
	qdq_session_free(of);
}
END_TEST

/* ---- long chains ---- */

enum { CHAIN = 4000, LONGEST = 256 + 48 /* passes/epilogue.c */ };

/* x -- Q -- DQ -- Relu -- Mul -- Mul ... -- Q -- y, all of it one function or none of it */
static char *chain(bool fused)
{
	char *text = malloc(CHAIN * 32 + 1024), *to = text;

	ck_assert_ptr_nonnull(text);
	to += sprintf(to, "<ir_version: 8, opset_import: [\"\" : 17, \"qdqopt\" : 1]>\n"
			  "g (float[1,1,2,2] x) => (int8[1,1,2,2] y)\n"
			  "<float s = {0.5}, int8 z = {0}, float a = {0.9999}, int8[1,1,1,1] w = {2}>\n{\n"
			  "  q = QuantizeLinear(x, s, z)\n");
	if (fused)
		to +=
		    sprintf(to, "  y = qdqopt.QConv_1(q, w, s, z, a)\n}\n"
				"<domain: \"qdqopt\", opset_import: [\"\" : 17]>\nQConv_1 (q, w, s, z, a) => (y)\n{\n");
	to += sprintf(to, "  d = DequantizeLinear(q, s, z)\n  e = DequantizeLinear(w, s, z)\n  v0 = Conv(d, e)\n");
	for (int i = 0; i < CHAIN; i++)
		to += sprintf(to, i % 2 == 0 ? "  v%d = Relu(v%d)\n" : "  v%d = Mul(v%d, a)\n", i + 1, i);
	sprintf(to, "  y = QuantizeLinear(v%d, s, z)\n}\n", CHAIN);
	return text;
}

/* 1, times 0.9999 two thousand times, is 1.64 steps of 0.5 */
START_TEST(plans_long_operators)
{
	char *source = chain(_i != 0);

	ck_assert_int_eq(*(const int8_t *)run_other(source, "y", 4), 2);
	free(source);
}
END_TEST

START_TEST(ends_long_operators)
{
	char *source = chain(false);
	qdq_model *long_one;
	size_t regions = 0;

	ck_assert_int_eq(qdq_load_memory(&long_one, ctx, source, strlen(source), "long.onnxtxt"), QDQ_OK);
	ck_assert_int_eq(qdq_optimize(long_one, NULL), QDQ_OK);
	for (const qdq_node *n = long_one->graph->first; n != NULL; n = n->next) {
		size_t nodes = 0;

		for (const qdq_node *i = n->region != NULL ? n->region->body->first : NULL; i != NULL; i = i->next)
			nodes++;
		ck_assert_uint_le(nodes, LONGEST);
		regions += n->region != NULL;
	}
	ck_assert_uint_gt(regions, CHAIN / LONGEST);
	free(source);
}
END_TEST

Suite *exec_suite(void)
{
	Suite *suite = suite_create("exec");
	TCase *c = tcase_create("session");

	tcase_add_checked_fixture(c, setup, teardown);
	tcase_add_test(c, computes);
	tcase_add_test(c, takes_any_batch);
	tcase_add_test(c, tells_shapes_apart);
	tcase_add_test(c, counts_least_bytes);
	tcase_add_test(c, refuses_inputs);
	tcase_add_test(c, refuses_outputs);
	tcase_add_test(c, refuses_options);
	tcase_add_test(c, names_what_it_cannot_run);
	tcase_add_test(c, outputs_that_no_kernel_writes);
	tcase_add_test(c, indices_of_a_pool);
	tcase_add_test(c, a_bias_of_rows);
	tcase_add_test(c, tables_stay_codes);
	tcase_add_loop_test(c, plans_long_operators, 0, 2);
	tcase_add_test(c, ends_long_operators);
	suite_add_tcase(suite, c);
	return suite;
}

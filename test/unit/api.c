/* SPDX-License-Identifier: Apache-2.0
 *
 * api.c -- the public interface: building, editing, wrong uses, running out of memory
 */
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "qdqopt_exec.h"
#include "suites.h"

static qdq_ctx *ctx;
static qdq_model *m;
static qdq_value *x, *w;
static qdq_node *conv, *transpose;

static const float scale = 0.5F;
static const qdq_quant quant = {
    .version = QDQ_QUANT_VERSION,
    .codes = QDQ_TYPE_INT8,
    .count = 1,
    .scales = &scale,
};

/* x -> Conv -> Transpose -> output */
static qdq_status build(void)
{
	static const int64_t x_dims[] = {0, 3, 8, 8}, w_dims[] = {4, 3, 1, 1}, perm[] = {0, 2, 3, 1};
	static const char *const symbols[4] = {"N", NULL, NULL, NULL};
	static const float weights[12] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12};
	qdq_value *inputs[2];
	qdq_status s = qdq_model_new(&m, ctx, 17);

	if (s == QDQ_OK)
		s = qdq_add_input(&x, m, "x", QDQ_TYPE_FLOAT, 4, x_dims, symbols);
	if (s == QDQ_OK)
		s = qdq_add_constant(&w, m, "w", QDQ_TYPE_FLOAT, 4, w_dims, weights, sizeof weights);
	inputs[0] = x;
	inputs[1] = w;
	if (s == QDQ_OK)
		s = qdq_add_node(&conv, m, NULL, "", "Conv", "conv", 2, inputs, 1);
	inputs[0] = qdq_node_output(conv, 0);
	if (s == QDQ_OK)
		s = qdq_add_node(&transpose, m, NULL, "", "Transpose", NULL, 1, inputs, 1);
	if (s == QDQ_OK)
		s = qdq_set_ints(m, transpose, "perm", perm, 4);
	if (s == QDQ_OK)
		s = qdq_rename_value(m, qdq_node_output(transpose, 0), "y");
	return s == QDQ_OK ? qdq_add_output(m, qdq_node_output(transpose, 0)) : s;
}

static void setup(void)
{
	ck_assert_int_eq(qdq_ctx_new(&ctx, NULL), QDQ_OK);
	ck_assert_int_eq(build(), QDQ_OK);
}

static void teardown(void)
{
	qdq_ctx_free(ctx);
}

static void refused(qdq_status s, const char *part)
{
	size_t count = qdq_diagnostic_count(ctx);

	ck_assert_int_eq(s, QDQ_EUSAGE);
	ck_assert_uint_gt(count, 0);
	ck_assert_msg(strstr(qdq_diagnostic_get(ctx, count - 1)->message, part) != NULL, "'%s' lacks '%s'",
		      qdq_diagnostic_get(ctx, count - 1)->message, part);
}

START_TEST(walks_what_was_built)
{
	qdq_node *reader;
	uint32_t input;
	size_t size;

	ck_assert_int_eq(qdq_check(m), QDQ_OK);
	ck_assert_uint_eq(qdq_node_count(m), 2);
	ck_assert_ptr_eq(qdq_first_node(m), conv);
	ck_assert_ptr_eq(qdq_next_node(conv), transpose);
	ck_assert_ptr_null(qdq_next_node(transpose));
	ck_assert_ptr_eq(qdq_find_node(m, "conv"), conv);
	ck_assert_ptr_eq(qdq_find_value(m, "y"), qdq_output_value(m, 0));
	ck_assert_int_eq(qdq_value_rank(qdq_find_value(m, "y")), 4);
	ck_assert_int_eq(qdq_value_dim(qdq_find_value(m, "y"), 0), -1);
	ck_assert_int_eq(qdq_value_dim(qdq_find_value(m, "y"), 3), 4);
	ck_assert_uint_eq(qdq_value_readers(w, &reader, &input, 1), 1);
	ck_assert_ptr_eq(reader, conv);
	ck_assert_uint_eq(input, 1);
	ck_assert_ptr_nonnull(qdq_value_data(w, &size));
	ck_assert_uint_eq(size, 48);
}
END_TEST

START_TEST(inserts_moves_and_removes_pairs)
{
	qdq_node *dq;
	qdq_value *c = qdq_node_output(conv, 0), *y = qdq_node_output(transpose, 0);

	ck_assert_int_eq(qdq_add_qdq(&dq, m, c, &quant, NULL, 0), QDQ_OK);
	ck_assert_uint_eq(qdq_node_count(m), 4);
	ck_assert_ptr_eq(qdq_value_producer(qdq_node_input(transpose, 0)), dq);
	ck_assert_int_eq(qdq_move_qdq(&dq, m, dq, transpose), QDQ_OK);
	ck_assert_uint_eq(qdq_node_count(m), 4);
	ck_assert_ptr_eq(qdq_node_input(transpose, 0), c);
	ck_assert_ptr_eq(qdq_value_producer(y), dq);
	ck_assert_str_eq(qdq_value_name(qdq_output_value(m, 0)), "y");
	ck_assert_int_eq(qdq_check(m), QDQ_OK);
	refused(qdq_remove_qdq(m, dq), "output of the network");
	ck_assert_int_eq(qdq_move_qdq(&dq, m, dq, transpose), QDQ_OK);
	ck_assert_ptr_eq(qdq_value_producer(y), transpose);
	ck_assert_ptr_eq(qdq_value_producer(qdq_node_input(transpose, 0)), dq);
	refused(qdq_move_qdq(NULL, m, dq, conv), "cannot pass 'conv'");
	ck_assert_int_eq(qdq_remove_qdq(m, dq), QDQ_OK);
	ck_assert_uint_eq(qdq_node_count(m), 2);
	ck_assert_ptr_eq(qdq_node_input(transpose, 0), c);
	ck_assert_int_eq(qdq_check(m), QDQ_OK);
}
END_TEST

/* What the struct was when there was version 1. */
struct first_options {
	uint32_t version;
	int exact, allow_bounded;
	const char *passes, *target;
	qdq_status (*after_pass)(void *user, const char *pass, uint64_t changes);
	void *user;
};

START_TEST(takes_old_and_new_options)
{
	struct first_options *old = calloc(1, sizeof *old); /* of this size: nothing behind it may be read */
	qdq_precision precision = {"no such node", QDQ_TYPE_FLOAT};
	qdq_optimize_options o = {.version = QDQ_OPTIMIZE_OPTIONS_VERSION, .precisions = &precision, .n_precisions = 1};
	size_t before = qdq_diagnostic_count(ctx);

	old->version = 1;
	old->passes = "none";
	ck_assert_int_eq(qdq_optimize(m, (const qdq_optimize_options *)(const void *)old), QDQ_OK);
	free(old);
	ck_assert_int_eq(qdq_optimize(m, &o), QDQ_OK);
	ck_assert_uint_eq(qdq_diagnostic_count(ctx), before + 1);
	ck_assert_ptr_nonnull(strstr(qdq_diagnostic_get(ctx, before)->message, "no operator is called 'no such node'"));
	precision.type = QDQ_TYPE_INT16;
	refused(qdq_optimize(m, &o), "cannot be int16");
	precision.nodes = NULL;
	refused(qdq_optimize(m, &o), "names no nodes");
	o.precisions = NULL;
	refused(qdq_optimize(m, &o), "the list is NULL");
	o.version = 0;
	refused(qdq_optimize(m, &o), "version 0");
	o.version = QDQ_OPTIMIZE_OPTIONS_VERSION + 1;
	refused(qdq_optimize(m, &o), "this library knows 1 to");
}
END_TEST

/* Options of a version that the library does not know: behind the version there may be nothing. */
START_TEST(reads_no_more_than_the_version)
{
	static const uint32_t versions[] = {0, 1000};
	uint32_t *version = malloc(sizeof *version);
	const void *options = version;
	qdq_session *session;
	qdq_ctx *other;

	ck_assert_ptr_nonnull(version);
	for (size_t i = 0; i < 2; i++) {
		*version = versions[i];
		ck_assert_int_eq(qdq_optimize(m, options), QDQ_EUSAGE);
		ck_assert_int_eq(qdq_save_file(m, "/dev/null", options), QDQ_EUSAGE);
		ck_assert_int_eq(qdq_add_qdq(NULL, m, x, options, NULL, 0), QDQ_EUSAGE);
		ck_assert_int_eq(qdq_add_quantize(NULL, m, x, options), QDQ_EUSAGE);
		ck_assert_int_eq(qdq_add_dequantize(NULL, m, x, options), QDQ_EUSAGE);
		ck_assert_int_eq(qdq_ctx_new(&other, options), QDQ_EUSAGE);
		ck_assert_int_eq(qdq_session_new(&session, m, options), QDQ_EUSAGE);
	}
	free(version);
}
END_TEST

START_TEST(refuses_wrong_uses)
{
	static const int64_t dims[] = {1};
	qdq_quant bad = quant;
	float negative = -1;
	int32_t far = 128;
	qdq_model *other;
	qdq_value *stranger;

	refused(qdq_add_output(m, NULL), "NULL");
	refused(qdq_add_node(NULL, m, NULL, "", NULL, NULL, 0, NULL, 1), "no name");
	refused(qdq_add_node(NULL, m, NULL, "", "Relu", "conv", 1, &x, 1), "already");
	refused(qdq_add_node(NULL, m, NULL, "", "Relu", NULL, 1, NULL, 1), "NULL");
	refused(qdq_add_constant(NULL, m, NULL, QDQ_TYPE_FLOAT, 1, dims, dims, 3), "3 bytes");
	refused(qdq_add_input(NULL, m, "w", QDQ_TYPE_FLOAT, 1, dims, NULL), "taken");
	refused(qdq_add_input(NULL, m, "v", (qdq_type)99, 1, dims, NULL), "element type");
	refused(qdq_set_node_input(m, conv, 7, x), "no input 7");
	refused(qdq_set_output(m, 3, x), "no output 3");
	refused(qdq_remove_node(m, conv), "still read");
	refused(qdq_remove_attribute(m, conv, "pads"), "no attribute");
	refused(qdq_add_qdq(NULL, m, x, NULL, NULL, 0), "NULL");
	bad.scales = &negative;
	refused(qdq_add_qdq(NULL, m, x, &bad, NULL, 0), "above zero");
	bad = quant;
	bad.zero_points = &far;
	refused(qdq_add_qdq(NULL, m, x, &bad, NULL, 0), "no code");
	bad = quant;
	bad.version = 7;
	refused(qdq_add_qdq(NULL, m, x, &bad, NULL, 0), "version 7");
	refused(qdq_add_qdq(NULL, m, x, &quant, transpose, 0), "does not read");
	refused(qdq_remove_qdq(m, conv), "no DequantizeLinear");
	refused(qdq_save_file(m, NULL, NULL), "NULL");
	ck_assert_int_eq(qdq_model_new(&other, ctx, 17), QDQ_OK);
	ck_assert_int_eq(qdq_add_input(&stranger, other, "z", QDQ_TYPE_FLOAT, 1, dims, NULL), QDQ_OK);
	refused(qdq_add_output(m, stranger), "another model");
	refused(qdq_model_new(&other, ctx, 3), "opset 3");
	ck_assert_uint_eq(qdq_node_count(m), 2); /* nothing of this changed anything */
	ck_assert_int_eq(qdq_check(m), QDQ_OK);
}
END_TEST

START_TEST(takes_null)
{
	qdq_model *none;

	qdq_ctx_free(NULL);
	qdq_model_free(NULL);
	ck_assert_int_eq(qdq_load_file(&none, NULL, "x"), QDQ_EUSAGE);
	ck_assert_int_eq(qdq_load_file(&none, ctx, NULL), QDQ_EUSAGE);
	ck_assert_int_eq(qdq_optimize(NULL, NULL), QDQ_EUSAGE);
	ck_assert_ptr_null(qdq_first_node(NULL));
	ck_assert_ptr_null(qdq_node_input(NULL, 0));
	ck_assert_ptr_null(qdq_node_input(conv, 9));
	ck_assert_int_eq(qdq_value_rank(NULL), -1);
	ck_assert_ptr_null(qdq_diagnostic_get(ctx, 1000));
	ck_assert_int_eq(qdq_load_file(&none, ctx, "/nonexistent/model.onnx"), QDQ_EFILE);
	ck_assert_ptr_null(none);
}
END_TEST

static qdq_status collect(void *user, const void *data, size_t size)
{
	(void)data;
	*(size_t *)user += size;
	return QDQ_OK;
}

static qdq_status refuse_all(void *user, const void *data, size_t size)
{
	(void)user, (void)data, (void)size;
	return QDQ_EDEVICE;
}

/* qdq_save_options of version 1. */
struct first_save_options {
	uint32_t version;
	qdq_emit emit;
	int consume, text;
};

START_TEST(saving_leaves_the_model_as_it_is)
{
	qdq_save_options o = {.version = QDQ_SAVE_OPTIONS_VERSION, .emit = QDQ_EMIT_QDQ};
	struct first_save_options *old = calloc(1, sizeof *old); /* of this size: nothing behind it may be read */
	size_t first = 0, second = 0, third = 0;

	ck_assert_int_eq(qdq_add_qdq(NULL, m, x, &quant, NULL, 0), QDQ_OK);
	ck_assert_int_eq(qdq_add_qdq(NULL, m, w, &quant, NULL, 0), QDQ_OK);
	ck_assert_int_eq(qdq_optimize(m, NULL), QDQ_OK);
	ck_assert_int_eq(qdq_save_sink(m, collect, &first, &o), QDQ_OK);
	ck_assert_int_eq(qdq_save_sink(m, collect, &second, &o), QDQ_OK);
	ck_assert_uint_gt(first, 0);
	ck_assert_uint_eq(first, second);
	old->version = 1;
	old->emit = QDQ_EMIT_QDQ;
	ck_assert_int_eq(qdq_save_sink(m, collect, &third, (const qdq_save_options *)(const void *)old), QDQ_OK);
	free(old);
	ck_assert_uint_eq(first, third);
	ck_assert_int_eq(qdq_save_sink(m, refuse_all, NULL, &o), QDQ_EDEVICE);
	o.version = 0;
	refused(qdq_save_sink(m, collect, &first, &o), "version 0");
	o.version = QDQ_SAVE_OPTIONS_VERSION + 1;
	refused(qdq_save_sink(m, collect, &first, &o), "this library knows 1 to");
}
END_TEST

static qdq_status append(void *user, const void *data, size_t size)
{
	char *text = user;
	size_t used = strlen(text);

	ck_assert_uint_lt(used + size, 65536);
	memcpy(text + used, data, size);
	text[used + size] = '\0';
	return QDQ_OK;
}

/* Each save tells in the model's report what it wrote otherwise; the model stays as it is. */
START_TEST(writes_integer_operators)
{
	const qdq_optimize_options o = {.version = QDQ_OPTIMIZE_OPTIONS_VERSION, .target = "ort-cpu"};
	qdq_save_options s = {.version = QDQ_SAVE_OPTIONS_VERSION, .emit = QDQ_EMIT_QOPERATOR, .text = 1};
	static char integer[65536], exact[65536], report[65536];
	const qdq_report *r;

	ck_assert_int_eq(qdq_add_qdq(NULL, m, x, &quant, NULL, 0), QDQ_OK);
	ck_assert_int_eq(qdq_add_qdq(NULL, m, w, &quant, NULL, 0), QDQ_OK);
	ck_assert_int_eq(qdq_optimize(m, &o), QDQ_OK);
	ck_assert_int_eq(qdq_save_sink(m, append, integer, &s), QDQ_OK);
	ck_assert_ptr_nonnull(strstr(integer, "MatMulIntegerToFloat"));
	ck_assert_int_eq(qdq_report_new(&r, m, NULL), QDQ_OK);
	ck_assert_int_eq(qdq_report_print(r, QDQ_REPORT_JSON, append, report), QDQ_OK);
	ck_assert_ptr_nonnull(strstr(report, "write_qlinear.MatMulIntegerToFloat"));
	s.exact = 1;
	ck_assert_int_eq(qdq_save_sink(m, append, exact, &s), QDQ_OK);
	ck_assert_ptr_null(strstr(exact, "MatMulIntegerToFloat"));
	s.emit = (qdq_emit)3;
	refused(qdq_save_sink(m, append, exact, &s), "no emit mode 3");
}
END_TEST

static qdq_status edit_in_pass(void *user, qdq_model *model)
{
	(void)user;
	return qdq_add_qdq(NULL, model, qdq_input(model, 0), &quant, NULL, 0);
}

START_TEST(runs_passes_of_the_callers)
{
	ck_assert_int_eq(qdq_run_own_pass(m, "mine", edit_in_pass, NULL), QDQ_OK);
	ck_assert_uint_eq(qdq_node_count(m), 4);
	refused(qdq_run_own_pass(m, "none", NULL, NULL), "NULL");
}
END_TEST

/* ---- memory ---- */

struct budget {
	size_t left, held;
};

static void *limited(void *user, void *ptr, size_t old_size, size_t new_size)
{
	struct budget *b = user;

	if (new_size == 0) {
		b->held -= old_size;
		free(ptr);
		return NULL;
	}
	if (b->left == 0)
		return NULL;
	b->left--;
	b->held += new_size - old_size;
	return realloc(ptr, new_size);
}

START_TEST(every_allocation_may_fail)
{
	qdq_ctx *outer = ctx;
	bool done = false;

	for (size_t k = 0; !done; k++) {
		struct budget b = {.left = k};
		qdq_options o = {.version = QDQ_OPTIONS_VERSION, .alloc = limited, .alloc_user = &b};
		qdq_status s = qdq_ctx_new(&ctx, &o);

		if (s == QDQ_OK) {
			s = build();
			if (s == QDQ_OK)
				s = qdq_add_qdq(NULL, m, x, &quant, NULL, 0);
			if (s == QDQ_OK)
				s = qdq_optimize(m, NULL);
			done = s == QDQ_OK;
			if (!done && m != NULL)
				ck_assert_int_ne(qdq_check(m), QDQ_OK); /* poisoned, and says so */
			qdq_ctx_free(ctx);
		}
		ck_assert(done || s == QDQ_ENOMEM);
		ck_assert_uint_eq(b.held, 0);
		ck_assert_uint_lt(k, 10000);
	}
	ctx = outer;
}
END_TEST

Suite *api_suite(void)
{
	Suite *s = suite_create("api");
	TCase *t = tcase_create("api");

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, walks_what_was_built);
	tcase_add_test(t, inserts_moves_and_removes_pairs);
	tcase_add_test(t, takes_old_and_new_options);
	tcase_add_test(t, reads_no_more_than_the_version);
	tcase_add_test(t, refuses_wrong_uses);
	tcase_add_test(t, takes_null);
	tcase_add_test(t, saving_leaves_the_model_as_it_is);
	tcase_add_test(t, writes_integer_operators);
	tcase_add_test(t, runs_passes_of_the_callers);
	tcase_add_test(t, every_allocation_may_fail);
	suite_add_tcase(s, t);
	return s;
}

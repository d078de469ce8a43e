/* SPDX-License-Identifier: Apache-2.0
 *
 * golden.c -- graphs and what becomes of them: test/golden/PASS/NAME.onnxtxt
 *
 *   # RUN: --passes=sink_dq,cancel --exact --allow=bounded --target=tensorrt --keep-float=GLOB --precision=GLOB=int8 --random    all optional; random: it cannot be compared by running it
 *   <ir_version: 8 …> g (…) => (…) { … }           the input
 *   # ==>
 *   <ir_version: 8 …> g (…) => (…) { … }           what it is to become
 *   # REPORT: sink_dq.Transpose node               a rewrite, and the node that it is about
 *   # REPORT: repair_pairs.remove node ; tensor    one within a bound, and what it changes, which may be left out
 *   # REPORT: axis-lost node ; cause ; fix         a reason
 *
 * In a folder reasons a file CODE must give that reason, of a rewrite or of an operator in the report, and its twin
 * not_CODE, which differs in little, must not; each reason has both. Elsewhere
 * a file not_NAME is a negative twin: its graph must stay as it is, and a REPORT line says why. Both sides are also run
 * by the evaluator on extreme and on seeded inputs, and must agree to the bit where every rewrite was EXACT. Where some
 * are BOUNDED the outputs must be the tensors that they change: they may differ by what is stated, all bounds together,
 * or, where no bound is known, as where a rewrite is within a step: by 35 dB.
 * `--bless` writes what comes out now into the files.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "../lib/rewrite/rewrite.h"
#include "fixture.h"

#define MARK "# ==>\n"

static int passed, failed;
static bool bless;

typedef struct golden {
	const char *path;
	text file;
	char passes[512], target[16], keep[64], precision[64];
	bool exact, bounded, io, half, random;
	const char *input, *tail; /* NULL: no mark */
	size_t input_size;
	qdq_ctx *ctx;
	qdq_model *before, *after;
	text report; /* one line for each event */
} golden;

static bool wrong(const golden *c, const char *what, const char *detail)
{
	printf("FAILED %s: %s%s%s\n", c->path, what, detail != NULL ? ": " : "", detail != NULL ? detail : "");
	return false;
}

static const char *last_message(const golden *c)
{
	size_t count = qdq_diagnostic_count(c->ctx);

	return count != 0 ? qdq_diagnostic_get(c->ctx, count - 1)->message : NULL;
}

static bool option_given(const char *run, const char *end, const char *name)
{
	const char *option = strstr(run, name);

	return option != NULL && option < end;
}

static void option_value(const char *run, const char *end, const char *name, char *out, size_t room)
{
	const char *option = strstr(run, name);

	if (option != NULL && option < end)
		snprintf(out, room, "%.*s", (int)strcspn(option + strlen(name), " \n"), option + strlen(name));
}

/* "# RUN:" and where the parts begin. */
static void split(golden *c)
{
	const char *run = strstr(c->file.data, "# RUN:"), *mark = strstr(c->file.data, MARK), *end;

	c->input = c->file.data;
	c->input_size = mark != NULL ? (size_t)(mark - c->file.data) : c->file.size;
	c->tail = mark != NULL ? mark + strlen(MARK) : NULL;
	if (run == NULL)
		return;
	end = run + strcspn(run, "\n");
	option_value(run, end, "--passes=", c->passes, sizeof c->passes);
	option_value(run, end, "--target=", c->target, sizeof c->target);
	option_value(run, end, "--keep-float=", c->keep, sizeof c->keep);
	option_value(run, end, "--precision=", c->precision, sizeof c->precision);
	c->exact = option_given(run, end, "--exact");
	c->bounded = option_given(run, end, "--allow=bounded");
	c->half = option_given(run, end, "--float-type=fp16");
	c->io = option_given(run, end, "--io=int8");
	c->random = option_given(run, end, "--random");
}

static void collect_events(golden *c)
{
	text_add(&c->report, "", 0);
	for (size_t i = 0; i < c->after->events.count; i++) {
		const qdq_event *e = &c->after->events.items[i];
		const char *node = e->node != NULL && e->node->name != NULL ? e->node->name : "";
		char line[2048];

		if (e->declined)
			snprintf(line, sizeof line, "# REPORT: %s %s ; %s ; %s\n", qdq_reasons[e->reason].code, node,
				 e->cause != NULL ? e->cause : "-", qdq_reasons[e->reason].fix);
		else if (e->operand != NULL)
			snprintf(line, sizeof line, "# REPORT: %s %s ; %s\n", e->rule, node, e->operand);
		else
			snprintf(line, sizeof line, "# REPORT: %s %s\n", e->rule, node);
		if (strstr(c->report.data, line) == NULL)
			text_add(&c->report, line, strlen(line));
	}
}

/* Every event is about a rule that some pass lists, and no less exact than that says. */
static bool check_rules(const golden *c)
{
	for (size_t i = 0; i < c->after->events.count; i++) {
		const qdq_event *e = &c->after->events.items[i];
		const qdq_rule *rule = qdq_rule_find(NULL, e->rule);

		if (rule == NULL || e->exactness > rule->exactness)
			return wrong(c, "an event that --list-rules does not tell of", e->rule);
	}
	return true;
}

/* Every REPORT line of the file is among the events. */
static bool check_report(const golden *c)
{
	bool good = true;

	for (const char *line = strstr(c->file.data, "# REPORT:"); line != NULL; line = strstr(line + 1, "# REPORT:")) {
		char wanted[2048], with_tensor[sizeof wanted + 2];

		snprintf(wanted, sizeof wanted, "%.*s\n", (int)strcspn(line, "\n"), line);
		snprintf(with_tensor, sizeof with_tensor, "%.*s ; ", (int)strcspn(wanted, "\n"), wanted);
		if (strstr(c->report.data, wanted) == NULL &&
		    (strstr(wanted, " ; ") != NULL || strstr(c->report.data, with_tensor) == NULL))
			good = wrong(c, "not reported", wanted);
	}
	return good;
}

/* The first line that differs, on both sides. */
static bool same_text(const golden *c, const char *expected, const char *got)
{
	const char *a = expected, *b = got;

	while (*a != '\0' && *a == *b)
		a++, b++;
	if (*a == *b)
		return true;
	while (a > expected && a[-1] != '\n')
		a--, b--;
	wrong(c, "another graph", NULL);
	printf("  expected %.*s\n  got      %.*s\n--- all of it:\n%s---\n", (int)strcspn(a, "\n"), a,
	       (int)strcspn(b, "\n"), b, got);
	return false;
}

static bool check_expected(const golden *c, const char *got)
{
	qdq_model *m;
	text expected;
	bool good;

	if (qdq_load_memory(&m, c->ctx, c->tail, strlen(c->tail), "expected.onnxtxt") != QDQ_OK)
		return wrong(c, "the expected graph is not valid", last_message(c));
	good = print_model(m, &expected) && same_text(c, expected.data, got);
	text_free(&expected);
	qdq_model_free(m);
	return good;
}

static bool check_results(const golden *c)
{
	double within = 0;
	bool good = true;

	for (size_t i = 0; i < c->after->events.count; i++) {
		const qdq_event *e = &c->after->events.items[i];

		if (!e->declined && e->exactness == QDQ_BOUNDED)
			within = within < 0 || isinf(e->bound) ? ROUNDING : within + e->bound;
		else if (!e->declined && e->exactness == QDQ_STEP1)
			within = ROUNDING;
	}
	for (unsigned round = 0; round < INPUT_ROUNDS && good; round++) {
		const char *difference = results_within(c->before, c->after, round, within);

		if (difference != NULL)
			good = wrong(c, "run on both sides", difference);
	}
	return good;
}

static void write_back(const golden *c, const char *got)
{
	FILE *file = fopen(c->path, "wb");

	if (file == NULL)
		exit(2);
	fwrite(c->input, 1, c->input_size, file);
	fprintf(file, "%s%s%s%s", MARK, got, c->report.size != 0 ? "\n" : "", c->report.data);
	fclose(file);
}

/* Of --keep-float and --precision. */
static size_t take_precisions(golden *c, qdq_precision *out)
{
	char *equals = strrchr(c->precision, '=');
	size_t count = 0;

	if (c->keep[0] != '\0')
		out[count++] = (qdq_precision){c->keep, QDQ_TYPE_FLOAT};
	if (equals != NULL) {
		*equals = '\0';
		out[count++] = (qdq_precision){c->precision, strcmp(equals + 1, "int8") == 0   ? QDQ_TYPE_INT8
							     : strcmp(equals + 1, "fp16") == 0 ? QDQ_TYPE_FLOAT16
											       : QDQ_TYPE_FLOAT};
	}
	return count;
}

static bool optimize(golden *c)
{
	qdq_precision precisions[2];
	const qdq_optimize_options options = {.version = QDQ_OPTIMIZE_OPTIONS_VERSION,
					      .precisions = precisions,
					      .n_precisions = take_precisions(c, precisions),
					      .exact = c->exact,
					      .io_int8 = c->io,
					      .float_type = c->half ? "fp16" : NULL,
					      .allow_bounded = c->bounded,
					      .target = c->target[0] != '\0' ? c->target : NULL,
					      .passes = c->passes[0] != '\0' ? c->passes : NULL};

	if (qdq_load_memory(&c->before, c->ctx, c->input, c->input_size, "input.onnxtxt") != QDQ_OK ||
	    qdq_load_memory(&c->after, c->ctx, c->input, c->input_size, "input.onnxtxt") != QDQ_OK)
		return wrong(c, "the input is not valid", last_message(c));
	if (qdq_optimize(c->after, &options) != QDQ_OK)
		return wrong(c, "optimizing failed", last_message(c));
	return true;
}

/* ---- reasons --------------------------------------------------------------------------------------------------------
 */

/* The reason that a file of a folder reasons is called after; NONE: another file. */
static qdq_reason_code reason_of(const char *path, bool *negative)
{
	const char *name = strrchr(path, '/'), *folder = "/reasons";
	size_t length = strlen(folder);
	char code[128];

	if (name == NULL || (size_t)(name - path) < length || memcmp(name - length, folder, length) != 0)
		return QDQ_REASON_NONE;
	*negative = strncmp(++name, "not_", 4) == 0;
	name += *negative ? 4 : 0;
	snprintf(code, sizeof code, "%.*s", (int)strcspn(name, "."), name);
	return qdq_reason_find(code);
}

static bool gives_reason(const golden *c, qdq_reason_code code)
{
	const qdq_report *r;
	qdq_op_report op;

	for (size_t i = 0; i < c->after->events.count; i++)
		if (c->after->events.items[i].declined && c->after->events.items[i].reason == (int)code)
			return true;
	if (qdq_report_new(&r, c->after, NULL) != QDQ_OK)
		return false;
	for (size_t i = 0; i < qdq_report_op_count(r); i++)
		if (qdq_report_get_op(&op, r, i) == QDQ_OK && op.code != NULL &&
		    strcmp(op.code, qdq_reasons[code].code) == 0)
			return true;
	return false;
}

static bool check_reason(const golden *c, qdq_reason_code code, bool negative)
{
	if (code == QDQ_REASON_NONE || gives_reason(c, code) != negative)
		return true;
	return wrong(c, negative ? "it gives the reason" : "it does not give the reason", qdq_reasons[code].code);
}

/* Has each reason its two files? */
static void check_reasons(const char *folder)
{
	for (int code = QDQ_REASON_NONE + 1; code < QDQ_REASON_COUNT; code++) {
		for (int negative = 0; negative < 2; negative++) {
			char path[512];
			FILE *file;

			snprintf(path, sizeof path, "%s/reasons/%s%s.onnxtxt", folder, negative ? "not_" : "",
				 qdq_reasons[code].code);
			file = fopen(path, "rb");
			if (file != NULL)
				fclose(file);
			else
				printf("FAILED %s: there is no such file; each reason has its case and a twin without "
				       "it\n",
				       path);
			passed += file != NULL;
			failed += file == NULL;
		}
	}
}

static bool run(golden *c)
{
	const char *name = strrchr(c->path, '/');
	bool negative = strncmp(name != NULL ? name + 1 : c->path, "not_", 4) == 0, without = false, good;
	qdq_reason_code reason = reason_of(c->path, &without);
	text got, same;

	if (!optimize(c))
		return false;
	collect_events(c);
	if (!print_model(c->after, &got) || !print_model(c->before, &same))
		return wrong(c, "it cannot be printed", last_message(c));
	good = check_rules(c) && (c->random || check_results(c));
	good = check_reason(c, reason, without) && good;
	if (negative && reason == QDQ_REASON_NONE)
		good = same_text(c, same.data, got.data) && good;
	if (bless && good)
		write_back(c, got.data);
	else if (c->tail == NULL)
		good = wrong(c, "no expected graph (make bless writes it)", NULL);
	else
		good = check_expected(c, got.data) && check_report(c) && good;
	text_free(&got);
	text_free(&same);
	return good;
}

static void visit(const char *path)
{
	golden c = {.path = path};

	if (!read_file(path, &c.file) || qdq_ctx_new(&c.ctx, NULL) != QDQ_OK)
		exit(2);
	split(&c);
	if (run(&c))
		passed++;
	else
		failed++;
	qdq_ctx_free(c.ctx);
	text_free(&c.file);
	text_free(&c.report);
}

int main(int argc, char **argv)
{
	const char *folder = NULL;

	for (int i = 1; i < argc; i++) {
		if (strcmp(argv[i], "--bless") == 0)
			bless = true;
		else
			each_file(argv[i], ".onnxtxt", visit), folder = argv[i];
	}
	if (folder != NULL && strstr(folder, "golden/") == NULL) /* all of them */
		check_reasons(folder);
	printf("%d passed, %d failed\n", passed, failed + (passed + failed == 0));
	return failed != 0 || passed == 0;
}

/* SPDX-License-Identifier: Apache-2.0
 *
 * optimize.c -- qdqopt IN OUT, and qdqopt inspect IN
 */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli.h"

typedef struct job {
	const arguments *arguments;
	qdq_ctx *ctx;
	qdq_model *model;
	const qdq_report *report;
	void *held; /* what was read from stdin */
	judge judge;
} job;

static qdq_status after_pass(void *user, const char *pass, uint64_t changes)
{
	job *j = user;
	qdq_save_options text = {.version = QDQ_SAVE_OPTIONS_VERSION, .text = 1};

	if (strcmp(pass, j->arguments->print_after) != 0)
		return QDQ_OK;
	fprintf(stderr, "# after %s (%llu changes)\n", pass, (unsigned long long)changes);
	return qdq_save_sink(j->model, write_stream, stderr, &text);
}

static qdq_status optimize(job *j)
{
	const arguments *a = j->arguments;
	qdq_optimize_options o = optimize_options(a);
	qdq_status status = load_input(&j->model, j->ctx, a->words[0], &j->held);

	o.after_pass = a->print_after != NULL ? after_pass : NULL;
	o.user = j;
	if (status == QDQ_OK)
		status = judge_before(&j->judge, a, j->model);
	if (status == QDQ_OK)
		status = qdq_optimize(j->model, &o);
	return status == QDQ_OK ? judge_after(&j->judge, j->model) : status;
}

static qdq_status write_model(job *j)
{
	qdq_save_options o = {
	    .version = QDQ_SAVE_OPTIONS_VERSION,
	    .emit = j->arguments->emit,
	    .consume = 1,
	    .exact = j->arguments->exact,
	};
	const char *path = j->arguments->words[1];
	qdq_status status;

	if (!is_dash(path))
		return qdq_save_file(j->model, path, &o);
	status = qdq_save_sink(j->model, write_stream, stdout, &o);
	/* A full disk shows here already; then nothing has said so yet. */
	return status == QDQ_OK || ferror(stdout) ? flush_stream(stdout, "standard output") : status;
}

/* To the file, or to the terminal: to stderr where the model itself went to stdout. */
static qdq_status write_report(job *j)
{
	const arguments *a = j->arguments;
	bool to_stderr = a->command == COMMAND_OPTIMIZE && is_dash(a->words[1]);
	FILE *stream = to_stderr ? stderr : stdout;
	bool colour = isatty(fileno(stream)) && getenv("NO_COLOR") == NULL;
	qdq_status status;

	if (a->report_file != NULL)
		return qdq_report_save(j->report, j->model, a->report_file);
	status = qdq_report_print(j->report, colour ? QDQ_REPORT_TEXT_COLOUR : QDQ_REPORT_TEXT, write_stream, stream);
	return status == QDQ_OK || status == QDQ_EFILE ? flush_stream(stream, "the report") : status;
}

static qdq_status finish(job *j)
{
	const arguments *a = j->arguments;
	bool writes = a->command == COMMAND_OPTIMIZE;
	bool reports = a->report || !writes;
	qdq_status status = QDQ_OK;

	if (reports || a->require >= 0)
		status = qdq_report_new(&j->report, j->model, writes ? a->words[1] : NULL);
	if (status == QDQ_OK && writes)
		status = write_model(j);
	if (status == QDQ_OK && reports)
		status = write_report(j);
	return status;
}

int run_optimize(const arguments *a)
{
	job j = {.arguments = a};
	bool quiet = a->quiet;
	qdq_options options = {
	    .version = QDQ_OPTIONS_VERSION, .alloc = alloc_ahead, .log = print_diagnostic, .log_user = &quiet};
	int result = -qdq_ctx_new(&j.ctx, &options);

	if (result != 0) {
		fprintf(stderr, "qdqopt: error: out of memory\n");
		return result;
	}
	result = -optimize(&j);
	if (result == 0)
		result = -finish(&j);
	if (result == 0 && a->require >= 0 && qdq_report_coverage(j.report) < a->require) {
		if (!a->quiet)
			fprintf(stderr,
				"qdqopt: %.2f %% of the multiply-accumulates run in INT8; --require-int8 is %g\n",
				qdq_report_coverage(j.report), a->require);
		result = EXIT_COVERAGE;
	}
	free_judge(&j.judge);
	qdq_ctx_free(j.ctx);
	free(j.held);
	return result;
}

/* SPDX-License-Identifier: Apache-2.0
 *
 * explain.c -- qdqopt explain CODE, and qdqopt explain IN NODE
 */
#include <stdlib.h>

#include "cli.h"

#define MOST_REASONS 256

static int explain_code(const char *code)
{
	const char *codes[MOST_REASONS];
	qdq_reason_text r;
	size_t count = 0;

	if (qdq_reason_by_code(&r, code) == QDQ_OK) {
		printf("%s: %s\n\n%s\n\nfix: %s\n", r.code, r.message, r.explanation, r.fix);
		return -flush_stream(stdout, "standard output");
	}
	while (count < MOST_REASONS && qdq_reason_at(&r, count) == QDQ_OK)
		codes[count++] = r.code;
	fprintf(stderr, "qdqopt: there is no reason '%s'; qdqopt explain --help lists them", code);
	suggest(code, codes, count);
	return -QDQ_EUSAGE;
}

static qdq_status explain_node(const arguments *a, qdq_ctx *ctx, void **held)
{
	qdq_optimize_options o = optimize_options(a);
	const qdq_report *report;
	qdq_model *m;
	qdq_status status = load_input(&m, ctx, a->words[0], held);

	if (status == QDQ_OK)
		status = qdq_optimize(m, &o);
	if (status == QDQ_OK)
		status = qdq_report_new(&report, m, NULL);
	if (status != QDQ_OK)
		return status;
	status = qdq_report_explain_node(report, a->words[1], write_stream, stdout);
	if (status == QDQ_EUSAGE)
		fprintf(stderr, "qdqopt: %s: no compute operator matches '%s'\n", a->words[0], a->words[1]);
	return status == QDQ_OK ? flush_stream(stdout, "standard output") : status;
}

int run_explain(const arguments *a)
{
	bool quiet = a->quiet;
	qdq_options options = {.version = QDQ_OPTIONS_VERSION, .log = print_diagnostic, .log_user = &quiet};
	void *held = NULL;
	qdq_ctx *ctx;
	int result;

	if (a->n_words == 1)
		return explain_code(a->words[0]);
	result = -qdq_ctx_new(&ctx, &options);
	if (result != 0) {
		fprintf(stderr, "qdqopt: error: out of memory\n");
		return result;
	}
	result = -explain_node(a, ctx, &held);
	qdq_ctx_free(ctx);
	free(held);
	return result;
}

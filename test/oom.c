/* SPDX-License-Identifier: Apache-2.0
 *
 * oom.c -- every single allocation fails once: run_oom [--quick] FOLDER…
 *
 * A run is all of it: context, load, optimize, report as text and JSON, save fused, save as Q/DQ, free. The k-th
 * allocation of a run fails, for k = 1, 2 … until a run goes through; then the same with every allocation from the k-th
 * on, and with a limit on memory that grows. A run that fails says QDQ_ENOMEM, gives back what it took, and leaves a
 * model that refuses everything but being freed; one that goes through writes what an undisturbed one writes, but for
 * what fixes would bring: where memory does not last to try them, the report says so much less.
 * The arenas are built with blocks of one allocation each, so nothing hides in a block (see the Makefile).
 * Of a golden graph (test/golden) what stands above its mark is the model. --quick leaves k out above 64, ever more.
 */
#include <stdio.h>
#include <stdlib.h>

#include "../lib/report/report.h"
#include "fixture.h"

#define MARK "# ==>\n"

static unsigned passed, failed;
static bool quick;

/* ---- an allocator that fails ----------------------------------------------------------------------------------------
 */

typedef struct budget {
	uint64_t asked, fails_at; /* 0: never */
	bool for_good;		  /* all behind it fail too */
	bool failed;
	size_t bytes, blocks; /* outstanding */
	bool wrong_size;      /* freed with another size than it was taken with */
} budget;

/* Each piece knows its size. 16 bytes keep the alignment. */
static void *allocate(void *user, void *ptr, size_t old_size, size_t new_size)
{
	budget *b = user;
	char *piece = NULL;

	if (new_size != 0) {
		b->asked++;
		if (b->fails_at != 0 && (b->for_good ? b->asked >= b->fails_at : b->asked == b->fails_at)) {
			b->failed = true;
			return NULL;
		}
		piece = malloc(new_size + 16);
		if (piece == NULL)
			exit(2);
		memcpy(piece, &new_size, sizeof new_size);
		b->bytes += new_size;
		b->blocks++;
		piece += 16;
	}
	if (ptr != NULL) {
		size_t size;

		memcpy(&size, (char *)ptr - 16, sizeof size);
		b->wrong_size = b->wrong_size || size != old_size;
		if (piece != NULL)
			memcpy(piece, ptr, qdq_min_size(size, new_size));
		b->bytes -= size;
		b->blocks--;
		free((char *)ptr - 16);
	}
	return piece;
}

/* ---- a run ----------------------------------------------------------------------------------------------------------
 */

typedef struct run {
	const char *path;
	text file;
	budget budget;
	size_t max_memory;
	text outputs[5]; /* text, JSON, fused, Q/DQ, integer operators */
	size_t tried;	 /* reasons whose fixes the report has tried */
	const char *wrong;
} run;

/* After QDQ_ENOMEM from a call that changes it a model refuses everything. */
static qdq_status refused(run *r, qdq_model *m, qdq_status status)
{
	const qdq_report *report;

	if (status != QDQ_ENOMEM)
		return status;
	if (qdq_optimize(m, NULL) == QDQ_OK || qdq_report_new(&report, m, NULL) == QDQ_OK ||
	    qdq_save_sink(m, text_write, &r->outputs[0], NULL) == QDQ_OK)
		r->wrong = "a model that ran out of memory is still used";
	return status;
}

static size_t count_tried(const qdq_report *report)
{
	size_t n_ops, count = 0;
	const qdq_report_op *ops = qdq_report_ops(report, &n_ops);

	for (size_t i = 0; i < n_ops; i++)
		count += ops[i].tried;
	return count;
}

static qdq_status write_all(run *r, qdq_model *m)
{
	const qdq_save_options fused = {.version = QDQ_SAVE_OPTIONS_VERSION};
	const qdq_save_options plain = {.version = QDQ_SAVE_OPTIONS_VERSION, .emit = QDQ_EMIT_QDQ};
	const qdq_save_options integer = {.version = QDQ_SAVE_OPTIONS_VERSION, .emit = QDQ_EMIT_QOPERATOR};
	const qdq_report *report;
	qdq_status s;

	m->milliseconds = 0; /* the one thing that differs from run to run */
	s = qdq_report_new(&report, m, "out.onnx");
	if (s == QDQ_OK)
		r->tried = count_tried(report);
	if (s == QDQ_OK)
		s = qdq_report_print(report, QDQ_REPORT_TEXT, text_write, &r->outputs[0]);
	if (s == QDQ_OK)
		s = qdq_report_print(report, QDQ_REPORT_JSON, text_write, &r->outputs[1]);
	if (s != QDQ_OK)
		return s;
	s = qdq_save_sink(m, text_write, &r->outputs[2], &fused);
	if (s == QDQ_OK)
		s = qdq_save_sink(m, text_write, &r->outputs[3], &plain);
	if (s == QDQ_OK)
		s = qdq_save_sink(m, text_write, &r->outputs[4], &integer);
	return refused(r, m, s);
}

static qdq_status go(run *r)
{
	const qdq_options options = {
	    .version = QDQ_OPTIONS_VERSION, .alloc = allocate, .alloc_user = &r->budget, .max_memory = r->max_memory};
	qdq_ctx *ctx = NULL;
	qdq_model *m = NULL;
	qdq_status s = qdq_ctx_new(&ctx, &options);

	if (s == QDQ_OK)
		s = qdq_load_memory(&m, ctx, r->file.data, r->file.size, r->path);
	if (s == QDQ_OK)
		s = refused(r, m, qdq_optimize(m, NULL));
	if (s == QDQ_OK)
		s = write_all(r, m);
	if (s != QDQ_OK && s != QDQ_ENOMEM && ctx != NULL)
		printf("%s: %s\n", r->path,
		       qdq_diagnostic_count(ctx) != 0 ? qdq_diagnostic_get(ctx, qdq_diagnostic_count(ctx) - 1)->message
						      : "no message");
	qdq_ctx_free(ctx);
	return s;
}

static void clear(run *r)
{
	for (size_t i = 0; i < QDQ_COUNTOF(r->outputs); i++)
		text_free(&r->outputs[i]);
	r->budget = (budget){0};
	r->max_memory = 0;
	r->tried = 0;
	r->wrong = NULL;
}

/* Two of them are the report. */
static bool same_outputs(const run *a, const run *b)
{
	for (size_t i = a->tried < b->tried ? 2 : 0; i < QDQ_COUNTOF(a->outputs); i++)
		if (a->outputs[i].size != b->outputs[i].size ||
		    (a->outputs[i].size != 0 &&
		     memcmp(a->outputs[i].data, b->outputs[i].data, a->outputs[i].size) != 0))
			return false;
	return true;
}

/* ---- sweeps ---------------------------------------------------------------------------------------------------------
 */

static void judge(run *r, const run *undisturbed, qdq_status s, const char *sweep, uint64_t k)
{
	const char *wrong = r->wrong;
	bool ran_out = r->budget.failed || r->max_memory != 0;

	if (s != QDQ_OK && s != QDQ_ENOMEM)
		wrong = "another status than QDQ_ENOMEM";
	else if (s == QDQ_ENOMEM && !ran_out)
		wrong = "QDQ_ENOMEM although nothing failed";
	else if (r->budget.bytes != 0 || r->budget.blocks != 0)
		wrong = "memory is not given back";
	else if (r->budget.wrong_size)
		wrong = "memory is given back with another size";
	else if (s == QDQ_OK && !same_outputs(r, undisturbed))
		wrong = "it goes through, but writes something else";
	if (wrong == NULL) {
		passed++;
		return;
	}
	failed++;
	printf("FAILED %s: %s %llu: %s (status %d, %zu bytes in %zu pieces left)\n", r->path, sweep,
	       (unsigned long long)k, wrong, (int)s, r->budget.bytes, r->budget.blocks);
}

/* The last run of a sweep is not disturbed. */
static void fail_each(run *r, const run *undisturbed, bool for_good)
{
	bool over = false;

	for (uint64_t k = 1; !over; k += quick && k >= 64 ? 1 + k / 8 : 1) {
		clear(r);
		r->budget = (budget){.fails_at = k, .for_good = for_good};
		judge(r, undisturbed, go(r), for_good ? "all allocations from" : "allocation", k);
		over = !r->budget.failed;
	}
}

static void limit_memory(run *r, const run *undisturbed)
{
	qdq_status s = QDQ_ENOMEM;

	for (size_t limit = 1024; s == QDQ_ENOMEM || r->tried < undisturbed->tried;
	     limit += 1024 + limit / (quick ? 2 : 16)) {
		clear(r);
		r->max_memory = limit;
		s = go(r);
		judge(r, undisturbed, s, "limit", limit);
	}
}

static void visit(const char *path)
{
	run first = {.path = path}, r = {.path = path};
	char *mark;

	if (!read_file(path, &r.file))
		exit(2);
	mark = strcmp(strrchr(path, '.'), ".onnxtxt") == 0 ? strstr(r.file.data, MARK) : NULL;
	if (mark != NULL)
		r.file.size = (size_t)(mark - r.file.data);
	first.file = r.file;
	if (go(&first) != QDQ_OK) {
		printf("FAILED %s: with all the memory it wants\n", path);
		failed++;
	} else {
		judge(&first, &first, QDQ_OK, "no failure", 0);
		fail_each(&r, &first, false);
		fail_each(&r, &first, true);
		limit_memory(&r, &first);
	}
	clear(&r);
	clear(&first);
	text_free(&r.file);
}

int main(int argc, char **argv)
{
	for (int i = 1; i < argc; i++) {
		if (strcmp(argv[i], "--quick") == 0)
			quick = true;
		else
			each_file(argv[i], ".onnx", visit), each_file(argv[i], ".onnxtxt", visit);
	}
	printf("%u passed, %u failed\n", passed, failed + (passed + failed == 0));
	return failed != 0 || passed == 0;
}

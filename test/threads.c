/* SPDX-License-Identifier: Apache-2.0
 *
 * threads.c -- contexts in parallel threads: run_threads FOLDER…
 *
 * Several threads, each with its own context, load, optimize, report and save all models a few times, each thread in
 * another order. What they write must be, byte for byte, what one thread alone wrote before. Under ThreadSanitizer
 * (make check-tsan) this shows that nothing is shared.
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "fixture.h"

#define THREADS 4
#define ROUNDS 3
#define MOST_FILES 64

enum { REPORT, JSON, FUSED, PLAIN, PRINTED, PARTS };

typedef struct result {
	qdq_status status;
	text parts[PARTS];
} result;

static char *paths[MOST_FILES];
static size_t n_paths;
static result alone[MOST_FILES]; /* what one thread wrote; only read by the others */

static void add_path(const char *path)
{
	if (n_paths < MOST_FILES)
		paths[n_paths++] = strdup(path);
}

static qdq_status write_parts(qdq_model *m, result *out)
{
	const qdq_save_options fused = {.version = QDQ_SAVE_OPTIONS_VERSION};
	const qdq_save_options plain = {.version = QDQ_SAVE_OPTIONS_VERSION, .emit = QDQ_EMIT_QDQ};
	const qdq_report *report;
	qdq_status s;

	m->milliseconds = 0; /* the one thing that differs from run to run */
	s = qdq_report_new(&report, m, "out.onnx");
	if (s == QDQ_OK)
		s = qdq_report_print(report, QDQ_REPORT_TEXT, text_write, &out->parts[REPORT]);
	if (s == QDQ_OK)
		s = qdq_report_print(report, QDQ_REPORT_JSON, text_write, &out->parts[JSON]);
	if (s == QDQ_OK)
		s = qdq_save_sink(m, text_write, &out->parts[FUSED], &fused);
	if (s == QDQ_OK)
		s = qdq_save_sink(m, text_write, &out->parts[PLAIN], &plain);
	if (s == QDQ_OK && !print_model(m, &out->parts[PRINTED]))
		s = QDQ_EMODEL;
	return s;
}

/* The model of `path` and all that is made of it; the context is the caller's. */
static void work(qdq_ctx *ctx, const char *path, result *out)
{
	qdq_model *m;

	*out = (result){.status = qdq_load_file(&m, ctx, path)};
	if (out->status == QDQ_OK)
		out->status = qdq_optimize(m, NULL);
	if (out->status == QDQ_OK)
		out->status = write_parts(m, out);
	qdq_model_free(m);
}

static bool same(const result *a, const result *b)
{
	if (a->status != b->status)
		return false;
	for (size_t i = 0; i < PARTS; i++)
		if (a->parts[i].size != b->parts[i].size ||
		    (a->parts[i].size != 0 && memcmp(a->parts[i].data, b->parts[i].data, a->parts[i].size) != 0))
			return false;
	return true;
}

static void forget(result *r)
{
	for (size_t i = 0; i < PARTS; i++)
		text_free(&r->parts[i]);
}

typedef struct worker {
	pthread_t thread;
	size_t number;
	unsigned passed, failed[MOST_FILES]; /* by model */
	bool no_context;
} worker;

static void *run(void *arg)
{
	worker *w = arg;

	for (size_t round = 0; round < ROUNDS; round++) {
		qdq_ctx *ctx;

		if (qdq_ctx_new(&ctx, NULL) != QDQ_OK) {
			w->no_context = true;
			return NULL;
		}
		for (size_t i = 0; i < n_paths; i++) {
			size_t which = (i + w->number * n_paths / THREADS) % n_paths;
			result r;

			work(ctx, paths[which], &r);
			if (r.status == QDQ_OK && same(&r, &alone[which]))
				w->passed++;
			else
				w->failed[which]++;
			forget(&r);
		}
		qdq_ctx_free(ctx);
	}
	return NULL;
}

static bool run_alone(void)
{
	qdq_ctx *ctx;

	if (qdq_ctx_new(&ctx, NULL) != QDQ_OK)
		return false;
	for (size_t i = 0; i < n_paths; i++)
		work(ctx, paths[i], &alone[i]);
	qdq_ctx_free(ctx);
	return true;
}

int main(int argc, char **argv)
{
	worker workers[THREADS] = {0};
	unsigned passed = 0, failed = 0;

	for (int i = 1; i < argc; i++)
		each_file(argv[i], ".onnx", add_path);
	if (!run_alone())
		return 2;
	for (size_t t = 0; t < THREADS; t++) {
		workers[t].number = t;
		if (pthread_create(&workers[t].thread, NULL, run, &workers[t]) != 0)
			return 2;
	}
	for (size_t t = 0; t < THREADS; t++) {
		pthread_join(workers[t].thread, NULL);
		passed += workers[t].passed;
		failed += workers[t].no_context;
		for (size_t i = 0; i < n_paths; i++) {
			failed += workers[t].failed[i];
			if (workers[t].failed[i] != 0)
				printf("FAILED %s: thread %zu, %u of %d times\n", paths[i], t, workers[t].failed[i],
				       ROUNDS);
		}
	}
	for (size_t i = 0; i < n_paths; i++) {
		forget(&alone[i]);
		free(paths[i]);
	}
	printf("%u passed, %u failed\n", passed, failed + (passed + failed == 0));
	return failed != 0 || passed == 0;
}

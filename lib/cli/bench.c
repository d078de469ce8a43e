/* SPDX-License-Identifier: Apache-2.0
 *
 * bench.c -- how long a network takes, and each of its kernels
 */
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "cli.h"

typedef struct job {
	network net;
	double *ms; /* of the timed runs */
	size_t count, room;
	profile profile;
	double shown; /* when the progress bar was drawn last; 0: it never was */
} job;

/* Milliseconds of a clock that only goes forward. */
static double now(void)
{
	struct timespec t;

	return clock_gettime(CLOCK_MONOTONIC, &t) == 0 ? (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6 : 0;
}

/* ---- progress ---- */

enum { BAR = 40, REDRAW_MS = 100 };

static void show(job *j, const char *what, double part)
{
	int filled = part >= 1 ? BAR : (int)(part * BAR);
	double time = now();

	if (j->net.quiet || !isatty(STDERR_FILENO) || time - j->shown < REDRAW_MS)
		return;
	j->shown = time;
	fprintf(stderr, "\r%-8s [%.*s%*s] %3d %%", what, filled, "########################################",
		BAR - filled, "", part >= 1 ? 100 : (int)(part * 100));
}

static void clear_bar(const job *j)
{
	if (j->shown != 0)
		fprintf(stderr, "\r%*s\r", BAR + 20, "");
}

/* ---- runs ---- */

static qdq_status warm_up(job *j)
{
	const arguments *a = j->net.arguments;
	double start = now();
	qdq_status status = run_session(&j->net); /* makes the plan */

	while (status == QDQ_OK && now() - start < a->warmup) {
		show(j, "warm-up", (now() - start) / a->warmup);
		status = run_session(&j->net);
	}
	return status;
}

static bool keep_time(job *j, double ms)
{
	if (j->count == j->room) {
		size_t room = j->room == 0 ? 1024 : j->room * 2;
		double *grown = realloc(j->ms, room * sizeof *grown);

		if (grown == NULL)
			return false;
		j->ms = grown;
		j->room = room;
	}
	j->ms[j->count++] = ms;
	return true;
}

/* Of the timed runs: of their duration and of their number, what is less. */
static double part_done(const job *j, double ms)
{
	const arguments *a = j->net.arguments;
	double time = a->duration > 0 ? ms / (a->duration * 1e3) : 1;
	double runs = a->iterations > 0 ? (double)j->count / (double)a->iterations : 1;

	return time < runs ? time : runs;
}

static qdq_status time_runs(job *j)
{
	const arguments *a = j->net.arguments;
	double begin = now(), end = begin;

	while (end - begin < a->duration * 1e3 || j->count < (size_t)a->iterations) {
		double start = now();
		qdq_status status = run_session(&j->net);

		end = now();
		if (status != QDQ_OK)
			return status;
		if (!keep_time(j, end - start))
			return QDQ_ENOMEM;
		show(j, "timing", part_done(j, end - begin));
	}
	return QDQ_OK;
}

static void take(void *user, const qdq_kernel_profile *k)
{
	take_kernel(&((job *)user)->profile, k);
}

/* In a session of its own: watching costs time. The first run only makes the plan. */
static qdq_status profile_runs(job *j)
{
	const arguments *a = j->net.arguments;
	qdq_status status = open_session(&j->net, (qdq_session_options){.profile = take, .user = j});
	double start;

	if (status == QDQ_OK)
		status = run_session(&j->net);
	start = now();
	for (int i = 0; status == QDQ_OK && i < MOST_PROFILED; i++) {
		if (i >= 3 && now() - start > a->duration * 1e3)
			break;
		show(j, "profile", (double)i / MOST_PROFILED);
		begin_profiled_run(&j->profile);
		status = run_session(&j->net);
	}
	return status == QDQ_OK && j->profile.failed ? QDQ_ENOMEM : status;
}

/* ---- figures ---- */

/* The smallest time that so many percent of the runs did not exceed. */
static double percentile(const job *j, size_t percent)
{
	size_t rank = (j->count * percent + 99) / 100;

	return j->ms[rank == 0 ? 0 : rank - 1];
}

/* The first dimension, where all inputs that have one agree on it; 0: there is no such batch. */
static int64_t batch_of(const network *n)
{
	int64_t batch = 0;

	for (size_t i = 0; i < n->n_inputs; i++) {
		const qdq_binding *b = &n->inputs[i];

		if (b->rank == 0)
			continue;
		if (batch != 0 && b->dims[0] != batch)
			return 0;
		batch = b->dims[0];
	}
	return batch;
}

static void print_times(job *j)
{
	int64_t batch = batch_of(&j->net);
	double sum = 0;

	for (size_t i = 0; i < j->count; i++)
		sum += j->ms[i];
	qsort(j->ms, j->count, sizeof *j->ms, compare_times);
	printf("median %.4g ms\n", median_time(j->ms, j->count));
	printf("min %.4g ms, mean %.4g ms, p90 %.4g ms, p95 %.4g ms, p99 %.4g ms, max %.4g ms, %zu runs\n", j->ms[0],
	       sum / (double)j->count, percentile(j, 90), percentile(j, 95), percentile(j, 99), j->ms[j->count - 1],
	       j->count);
	if (sum > 0)
		printf("throughput %.6g inferences/s", (double)j->count / sum * 1e3);
	if (sum > 0 && batch != 0)
		printf(", %.6g images/s (batch %lld)", (double)j->count / sum * 1e3 * (double)batch, (long long)batch);
	printf("%s", sum > 0 ? "\n" : "");
}

static qdq_status print_all(job *j)
{
	qdq_session_facts f;
	qdq_status status = qdq_session_get_facts(&f, j->net.session);

	if (status != QDQ_OK)
		return status;
	print_times(j);
	if (strcmp(f.device, "cuda") == 0)
		printf("inputs and outputs are in host memory: a run's time includes copying them\n");
	status = print_profile(&j->profile, &f);
	return status == QDQ_OK ? flush_stream(stdout, "standard output") : status;
}

/* ---- the command ---- */

int run_bench(const arguments *a)
{
	job j = {0};
	qdq_status status = load_network(&j.net, a);

	if (status == QDQ_OK)
		status = open_session(&j.net, (qdq_session_options){0});
	if (status == QDQ_OK)
		status = warm_up(&j);
	clear_bar(&j);
	if (status == QDQ_OK)
		print_facts(&j.net);
	if (status == QDQ_OK)
		status = time_runs(&j);
	if (status == QDQ_OK)
		status = profile_runs(&j);
	clear_bar(&j);
	if (status == QDQ_OK)
		status = print_all(&j);
	if (status == QDQ_OK && a->profile != NULL)
		status = write_profile(&j.profile, a->profile);
	if (status == QDQ_ENOMEM)
		fprintf(stderr, "qdqopt: error: out of memory\n");
	free_network(&j.net);
	free_profile(&j.profile);
	free(j.ms);
	return -status;
}

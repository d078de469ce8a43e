/* SPDX-License-Identifier: Apache-2.0
 *
 * gpu.c -- how long a network runs on a GPU: gpu MODEL BATCH RUNS [TIME]
 *
 * Prints: milliseconds of a run (median, data on the device, one CUDA graph, GROUP runs enqueued at a time), milliseconds of
 * a run that is waited for, milliseconds from the opened device to the first result, megabytes on the device, and that
 * memory beside what weights and the largest set of living values need. TIME 1: tactics are timed, not estimated.
 */
#include <stdio.h>
#include <stdlib.h>

#include "../../include/qdqopt_exec.h"
#include "../../lib/exec/cuda/driver.h"
#include "timing.h"

enum { GROUP = 20, MOST_RUNS = 1000 };

static qdq_driver cuda;

static void must(int good, const char *what)
{
	if (!good) {
		fprintf(stderr, "gpu: %s failed\n", what);
		exit(1);
	}
}

/* A float input between -2 and 2, on the device. */
static void make_input(qdq_binding *out, const qdq_value *v, int batch, CUstream stream)
{
	size_t count = 1;
	CUdeviceptr at;
	float *data;
	unsigned state = 1;

	*out = (qdq_binding){.name = qdq_value_name(v), .type = qdq_value_type(v), .rank = qdq_value_rank(v)};
	must(out->type == QDQ_TYPE_FLOAT && out->rank > 0 && out->rank <= QDQ_BINDING_RANK, "an input of floats");
	for (int i = 0; i < out->rank; i++) {
		out->dims[i] = qdq_value_dim(v, i) < 0 ? batch : qdq_value_dim(v, i);
		count *= (size_t)out->dims[i];
	}
	out->size = count * sizeof(float);
	data = malloc(out->size);
	must(data != NULL && cuda.alloc(&at, out->size) == 0, "memory");
	for (size_t i = 0; i < count; i++) {
		state = state * 1664525 + 1013904223;
		data[i] = (float)(state >> 8) / 4194304.0f - 2;
	}
	must(cuda.to_device(at, data, out->size, stream) == 0 && cuda.stream_wait(stream) == 0, "copying");
	free(data);
	out->data = (void *)(uintptr_t)at;
	out->on_device = 1;
}

int main(int argc, char **argv)
{
	qdq_session_options options = {.version = QDQ_SESSION_OPTIONS_VERSION, .device = "cuda"};
	double times[MOST_RUNS], waited[MOST_RUNS], begin, first = 0;
	int batch = argc > 2 ? atoi(argv[2]) : 0, runs = argc > 3 ? atoi(argv[3]) : 0;
	qdq_session_facts facts;
	qdq_session *s;
	qdq_binding input, output;
	CUcontext context;
	CUstream stream;
	CUevent from, to;
	CUdeviceptr at;
	qdq_ctx *ctx;
	qdq_model *m;

	must(batch > 0 && runs > 0 && runs <= MOST_RUNS, "gpu MODEL BATCH RUNS");
	must(qdq_driver_open(&cuda) == NULL && cuda.init(0) == 0 && cuda.context_retain(&context, 0) == 0 &&
		 cuda.context_set(context) == 0 && cuda.stream_new(&stream, 1) == 0 && cuda.event_new(&from, 0) == 0 &&
		 cuda.event_new(&to, 0) == 0 && cuda.alloc(&at, 64 << 20) == 0,
	     "opening the device");
	begin = now();
	options.stream = stream;
	options.time_tactics = argc > 4 && atoi(argv[4]) != 0;
	must(qdq_ctx_new(&ctx, NULL) == QDQ_OK && qdq_load_file(&m, ctx, argv[1]) == QDQ_OK && qdq_input_count(m) == 1,
	     "loading");
	make_input(&input, qdq_input(m, 0), batch, stream);
	output = (qdq_binding){.name = qdq_value_name(qdq_output_value(m, 0)),
			       .data = (void *)(uintptr_t)at,
			       .size = 64 << 20,
			       .on_device = 1};
	must(qdq_optimize(m, NULL) == QDQ_OK && qdq_session_new(&s, m, &options) == QDQ_OK, "a session");
	for (int i = -3; i < runs; i++) {
		float ms = 0;
		double before = now();

		output.size = 64 << 20;
		must(qdq_session_run(s, &input, 1, &output, 1) == QDQ_OK && cuda.stream_wait(stream) == 0, "a run");
		if (i == -3)
			first = now() - begin;
		if (i >= 0)
			waited[i] = now() - before;
		must(cuda.event_record(from, stream) == 0, "timing");
		for (int k = 0; k < GROUP; k++) {
			output.size = 64 << 20;
			must(qdq_session_run(s, &input, 1, &output, 1) == QDQ_OK, "a run");
		}
		must(cuda.event_record(to, stream) == 0 && cuda.event_wait(to) == 0 &&
			 cuda.event_elapsed(&ms, from, to) == 0,
		     "timing");
		if (i >= 0)
			times[i] = (double)ms / GROUP;
	}
	qsort(times, (size_t)runs, sizeof *times, by_value);
	qsort(waited, (size_t)runs, sizeof *waited, by_value);
	must(qdq_session_get_facts(&facts, s) == QDQ_OK, "facts");
	printf("%.4f %.4f %.0f %.1f %.3f %zu\n", times[runs / 2], waited[runs / 2], first,
	       (double)facts.device_memory / 1e6,
	       (double)facts.device_memory / (double)(facts.device_weights + facts.largest_live), facts.elsewhere);
	qdq_session_free(s);
	qdq_ctx_free(ctx);
	return 0;
}

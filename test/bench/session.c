/* SPDX-License-Identifier: Apache-2.0
 *
 * session.c -- how long a network runs: session MODEL THREADS RUNS
 *
 * Prints four numbers: milliseconds of a run (median), milliseconds from the file to the first result, bytes of the arena,
 * and the largest sum of what lives at a time. Inputs are zeros but for a pattern; symbols count as 1.
 */
#include <stdio.h>
#include <stdlib.h>

#include "../../include/qdqopt_exec.h"
#include "timing.h"

enum { MOST_RUNS = 1000 };

/* A float input of ones and zeros. */
static int make_input(qdq_binding *out, const qdq_value *v)
{
	size_t count = 1;

	*out = (qdq_binding){.name = qdq_value_name(v), .type = qdq_value_type(v), .rank = qdq_value_rank(v)};
	if (out->type != QDQ_TYPE_FLOAT || out->rank < 0 || out->rank > QDQ_BINDING_RANK)
		return 0;
	for (int i = 0; i < out->rank; i++) {
		out->dims[i] = qdq_value_dim(v, i) < 0 ? 1 : qdq_value_dim(v, i);
		count *= (size_t)out->dims[i];
	}
	out->size = count * sizeof(float);
	out->data = calloc(count, sizeof(float));
	for (size_t i = 0; out->data != NULL && i < count; i += 3)
		((float *)out->data)[i] = 1;
	return out->data != NULL;
}

int main(int argc, char **argv)
{
	qdq_session_options options = {.version = QDQ_SESSION_OPTIONS_VERSION};
	double begin = now(), first = 0, times[MOST_RUNS];
	int runs = argc > 3 ? atoi(argv[3]) : 1;
	qdq_session_facts facts;
	qdq_session *s = NULL;
	qdq_binding input;
	qdq_ctx *ctx;
	qdq_model *m;

	if (argc < 4 || runs < 1 || runs > MOST_RUNS || qdq_ctx_new(&ctx, NULL) != QDQ_OK)
		return 2;
	options.threads = atoi(argv[2]);
	if (qdq_load_file(&m, ctx, argv[1]) != QDQ_OK || qdq_input_count(m) != 1 ||
	    !make_input(&input, qdq_input(m, 0)) || qdq_optimize(m, NULL) != QDQ_OK ||
	    qdq_session_new(&s, m, &options) != QDQ_OK)
		return 1;
	for (int i = 0; i <= runs; i++) {
		double before = now();

		if (qdq_session_run(s, &input, 1, NULL, 0) != QDQ_OK)
			return 1;
		if (i == 0)
			first = now() - begin;
		else
			times[i - 1] = now() - before;
	}
	qsort(times, (size_t)runs, sizeof *times, by_value);
	if (qdq_session_get_facts(&facts, s) != QDQ_OK)
		return 1;
	printf("%.4f %.2f %llu %llu\n", times[runs / 2], first, (unsigned long long)facts.arena,
	       (unsigned long long)facts.largest_live);
	qdq_session_free(s);
	qdq_ctx_free(ctx);
	free(input.data);
	return 0;
}

/* SPDX-License-Identifier: Apache-2.0
 *
 * run.c -- qdqopt run: optimizes a network and runs it once on given or random inputs
 */
#include <stdlib.h>
#include <string.h>

#include "cli.h"

typedef struct job {
	const arguments *arguments;
	qdq_ctx *ctx;
	qdq_model *model;
	qdq_session *session;
	void *held;
	given_inputs given;
	qdq_binding *inputs, *outputs;
	size_t n_inputs, n_outputs;
	uint64_t differences, large; /* elements; of those, where a rounding is off by more than a step */
	uint64_t far;		     /* of those, where it is not at a tie */
} job;

/* ---- outputs ---- */

static qdq_status write_outputs(const job *j)
{
	array *items = calloc(j->n_outputs + 1, sizeof *items);
	qdq_status status;

	if (items == NULL)
		return QDQ_ENOMEM;
	for (size_t i = 0; i < j->n_outputs; i++) {
		const qdq_binding *b = &j->outputs[i];

		items[i] = (array){.name = (char *)(uintptr_t)b->name,
				   .type = b->type,
				   .rank = b->rank,
				   .size = b->size,
				   .data = b->data};
		for (int d = 0; d < b->rank; d++)
			items[i].dims[d] = b->dims[d];
	}
	status = write_npz(j->arguments->output, items, j->n_outputs);
	free(items);
	return status;
}

static void print_output(const qdq_binding *b)
{
	double least = 0, most = 0;

	printf("%s: %s[", b->name, qdq_type_text(b->type));
	for (int d = 0; d < b->rank; d++)
		printf("%s%lld", d == 0 ? "" : ",", (long long)b->dims[d]);
	printf("]");
	for (size_t i = 0; b->type == QDQ_TYPE_FLOAT && i < b->size / 4; i++) {
		double f = (double)((const float *)b->data)[i];

		least = i == 0 || f < least ? f : least;
		most = i == 0 || f > most ? f : most;
	}
	if (b->type == QDQ_TYPE_FLOAT)
		printf(" from %.7g to %.7g", least, most);
	printf("\n");
}

static void print_facts(const job *j)
{
	qdq_session_facts f;

	if (qdq_session_get_facts(&f, j->session) != QDQ_OK)
		return;
	if (strcmp(f.device, "cuda") == 0)
		fprintf(stderr, "cuda: %zu kernels, %zu of them on the CPU instead; %.1f MB on the device\n", f.kernels,
			f.elsewhere, (double)f.device_memory / 1e6);
	else
		fprintf(stderr,
			"cpu (%s, %d thread%s): %zu kernels, %zu of them by the reference evaluator; %.1f MB between "
			"them\n",
			f.instructions, f.threads, f.threads == 1 ? "" : "s", f.kernels, f.evaluated,
			(double)f.arena / 1e6);
}

enum { LISTED = 100 };

static void print_difference(void *user, const qdq_difference *d)
{
	job *j = user;
	double by = d->rounding != NULL ? d->rounding_got - d->rounding_expected : d->got - d->expected;

	j->large += !(by <= 1 && by >= -1);
	j->far += d->rounding != NULL && !(d->tie <= d->tolerance);
	if (j->differences++ >= LISTED)
		return;
	printf("%s: %s[%llu] is %.9g, its Q/DQ nodes give %.9g (", d->node, d->tensor, (unsigned long long)d->index,
	       d->got, d->expected);
	if (d->rounding != NULL && strcmp(d->rounding, d->tensor) != 0)
		printf("%s is %g, not %g: ", d->rounding, d->rounding_got, d->rounding_expected);
	if (d->has_accumulator)
		printf("accumulator %ld, ", (long)d->accumulator);
	if (d->rounding != NULL)
		printf("%.9g before rounding, %.2g from a tie)\n", d->value, d->tie);
	else
		printf("nothing was rounded otherwise)\n");
}

/* ---- the command ---- */

static qdq_status run(job *j)
{
	const arguments *a = j->arguments;
	qdq_optimize_options how = {.version = QDQ_OPTIMIZE_OPTIONS_VERSION,
				    .exact = a->exact,
				    .allow_bounded = a->bounded,
				    .passes = a->passes,
				    .target = a->target};
	qdq_session_options options = {.version = QDQ_SESSION_OPTIONS_VERSION,
				       .check = a->check ? print_difference : NULL,
				       .user = j,
				       .threads = a->threads,
				       .instructions = a->instructions,
				       .device = a->device,
				       .time_tactics = a->time_tactics};
	qdq_status status = load_input(&j->model, j->ctx, a->words[0], &j->held);

	if (status == QDQ_OK)
		status = read_inputs(&j->given, a);
	if (status == QDQ_OK)
		status = check_inputs(&j->given, j->model, NULL);
	if (status == QDQ_OK)
		status = bind_inputs(&j->inputs, &j->n_inputs, &j->given, j->model);
	if (status == QDQ_OK)
		status = qdq_optimize(j->model, &how);
	if (status == QDQ_OK)
		status = qdq_session_new(&j->session, j->model, &options);
	if (status != QDQ_OK)
		return status;
	j->n_outputs = qdq_output_count(j->model);
	j->outputs = calloc(j->n_outputs + 1, sizeof *j->outputs);
	if (j->outputs == NULL)
		return QDQ_ENOMEM;
	for (size_t i = 0; i < j->n_outputs; i++)
		j->outputs[i].name = qdq_value_name(qdq_output_value(j->model, i));
	status = qdq_session_run(j->session, j->inputs, j->n_inputs, j->outputs, j->n_outputs);
	if (status == QDQ_OK && a->output != NULL)
		status = write_outputs(j);
	for (size_t i = 0; status == QDQ_OK && !a->quiet && i < j->n_outputs; i++)
		print_output(&j->outputs[i]);
	if (status == QDQ_OK && a->check)
		printf(
		    "%llu elements differ from what the Q/DQ nodes give, %llu by more than a step, %llu not at a tie\n",
		    (unsigned long long)j->differences, (unsigned long long)j->large, (unsigned long long)j->far);
	if (status == QDQ_OK && !a->quiet)
		print_facts(j);
	return status == QDQ_OK ? flush_stream(stdout, "standard output") : status;
}

int run_network(const arguments *a)
{
	job j = {.arguments = a};
	bool quiet = a->quiet;
	qdq_options options = {.version = QDQ_OPTIONS_VERSION, .log = print_diagnostic, .log_user = &quiet};
	qdq_status status = qdq_ctx_new(&j.ctx, &options);

	if (status == QDQ_OK)
		status = run(&j);
	if (status == QDQ_ENOMEM)
		fprintf(stderr, "qdqopt: error: out of memory\n");
	qdq_session_free(j.session);
	free_inputs(&j.given);
	free(j.inputs);
	free(j.outputs);
	qdq_ctx_free(j.ctx);
	free(j.held);
	return -status;
}

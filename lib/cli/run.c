/* SPDX-License-Identifier: Apache-2.0
 *
 * run.c -- qdqopt run: optimizes a network and runs it once on given or random inputs
 */
#include <stdlib.h>
#include <string.h>

#include "cli.h"

typedef struct job {
	network net;
	profile profile;
	uint64_t differences, large; /* elements; of those, where a rounding is off by more than a step */
	uint64_t far;		     /* of those, where it is not at a tie */
	double farthest;	     /* from a tie, of those that are not right */
} job;

/* ---- outputs ---- */

static qdq_status write_outputs(const job *j)
{
	array *items = calloc(j->net.n_outputs + 1, sizeof *items);
	qdq_status status;

	if (items == NULL)
		return QDQ_ENOMEM;
	for (size_t i = 0; i < j->net.n_outputs; i++) {
		const qdq_binding *b = &j->net.outputs[i];

		items[i] = (array){.name = (char *)(uintptr_t)b->name,
				   .type = b->type,
				   .rank = b->rank,
				   .size = b->size,
				   .data = b->data};
		for (int d = 0; d < b->rank; d++)
			items[i].dims[d] = b->dims[d];
	}
	status = write_npz(j->net.arguments->output, items, j->net.n_outputs);
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

enum { LISTED = 100 };

static void print_difference(void *user, const qdq_difference *d)
{
	job *j = user;
	double by = d->rounding != NULL ? d->rounding_got - d->rounding_expected : d->got - d->expected;

	j->large += !(by <= 1 && by >= -1);
	if (d->rounding != NULL && !d->is_exact) {
		j->far += !(d->tie <= d->tolerance);
		j->farthest = d->tie > j->farthest ? d->tie : j->farthest;
	}
	if (j->differences++ >= LISTED)
		return;
	printf("%s: %s[%llu] is %.9g, its Q/DQ nodes give %.9g (", d->node, d->tensor, (unsigned long long)d->index,
	       d->got, d->expected);
	if (d->rounding != NULL && strcmp(d->rounding, d->tensor) != 0)
		printf("%s is %g, not %g: ", d->rounding, d->rounding_got, d->rounding_expected);
	if (d->has_accumulator)
		printf("accumulator %ld, ", (long)d->accumulator);
	if (d->rounding != NULL)
		printf("%.9g before rounding, exactly %.11g, %.3g from a tie%s)\n", d->value, d->exact, d->tie,
		       d->is_exact ? ", rounded right" : "");
	else if (d->is_exact)
		printf("nothing was rounded otherwise, exactly %.11g: right)\n", d->exact);
	else
		printf("nothing was rounded otherwise)\n");
}

static void print_verdict(const job *j)
{
	printf("%llu elements differ from what the Q/DQ nodes give, %llu by more than a step, %llu not at a tie",
	       (unsigned long long)j->differences, (unsigned long long)j->large, (unsigned long long)j->far);
	if (j->differences > 0)
		printf(" (%.3g from one at most)", j->farthest);
	printf("\n");
}

static void take(void *user, const qdq_kernel_profile *k)
{
	take_kernel(&((job *)user)->profile, k);
}

/* ---- the command ---- */

static qdq_status run(job *j)
{
	const arguments *a = j->net.arguments;
	qdq_session_options callbacks = {
	    .check = a->check ? print_difference : NULL, .profile = a->profile != NULL ? take : NULL, .user = j};
	qdq_status status = open_session(&j->net, callbacks);

	begin_profiled_run(&j->profile);
	if (status == QDQ_OK)
		status = run_session(&j->net);
	if (status == QDQ_OK && j->profile.failed)
		status = QDQ_ENOMEM;
	if (status == QDQ_OK && a->output != NULL)
		status = write_outputs(j);
	if (status == QDQ_OK && a->profile != NULL)
		status = write_profile(&j->profile, a->profile);
	for (size_t i = 0; status == QDQ_OK && !a->quiet && i < j->net.n_outputs; i++)
		print_output(&j->net.outputs[i]);
	if (status == QDQ_OK && a->check && j->differences > LISTED)
		printf("... and %llu more\n", (unsigned long long)(j->differences - LISTED));
	if (status == QDQ_OK && a->check)
		print_verdict(j);
	if (status == QDQ_OK)
		print_facts(&j->net);
	return status == QDQ_OK ? flush_stream(stdout, "standard output") : status;
}

int run_network(const arguments *a)
{
	job j = {0};
	qdq_status status = load_network(&j.net, a);

	if (status == QDQ_OK)
		status = run(&j);
	if (status == QDQ_ENOMEM)
		fprintf(stderr, "qdqopt: error: out of memory\n");
	free_network(&j.net);
	free_profile(&j.profile);
	return -status;
}

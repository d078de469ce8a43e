/* SPDX-License-Identifier: Apache-2.0
 *
 * run.c -- qdqopt run: optimizes a network and runs it once on given or random inputs
 */
#include <stdlib.h>
#include <string.h>

#include "../../include/qdqopt_exec.h"
#include "cli.h"
#include "npz.h"

#define LARGEST_INPUT ((uint64_t)8 << 30) /* bytes of one file of inputs, unpacked */

typedef struct job {
	const arguments *arguments;
	qdq_ctx *ctx;
	qdq_model *model;
	qdq_session *session;
	void *held;
	arrays files[MOST_INPUTS];
	qdq_binding *inputs, *outputs;
	void **made; /* random inputs */
	size_t n_inputs, n_outputs;
	uint64_t differences, large; /* elements; of those, by more than a step */
} job;

/* ---- inputs ---- */

static const array *given(const job *j, const char *name)
{
	for (int i = 0; i < j->arguments->n_inputs; i++) {
		const array *a = find_array(&j->files[i], name);

		if (a != NULL)
			return a;
	}
	return NULL;
}

/* NAME=FILE.npy, or FILE.npz with the names as keys */
static qdq_status read_inputs(job *j)
{
	for (int i = 0; i < j->arguments->n_inputs; i++) {
		const char *word = j->arguments->inputs[i], *equals = strrchr(word, '=');
		size_t n = strlen(word);
		bool npz = n > 4 && strcmp(word + n - 4, ".npz") == 0;
		char *name = NULL;
		qdq_status status;

		if (!npz) {
			name = strdup(word);
			if (name == NULL)
				return QDQ_ENOMEM;
			name[equals - word] = '\0'; /* arguments.c has seen it */
		}
		status = read_arrays(&j->files[i], npz ? word : equals + 1, name, LARGEST_INPUT);
		free(name);
		if (status != QDQ_OK)
			return status;
	}
	return QDQ_OK;
}

/* Every array must be an input: a misspelt key would be lost in silence. */
static qdq_status check_names(const job *j)
{
	for (int i = 0; i < j->arguments->n_inputs; i++) {
		for (size_t k = 0; k < j->files[i].count; k++) {
			size_t v = 0;

			while (v < qdq_input_count(j->model) &&
			       strcmp(qdq_value_name(qdq_input(j->model, v)), j->files[i].items[k].name) != 0)
				v++;
			if (v == qdq_input_count(j->model)) {
				fprintf(stderr, "qdqopt: error: %s: the model has no input '%s'\n",
					j->arguments->inputs[i], j->files[i].items[k].name);
				return QDQ_EUSAGE;
			}
		}
	}
	return QDQ_OK;
}

static uint64_t next_random(uint64_t *state)
{
	uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);

	z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
	return z ^ (z >> 31);
}

/* Floats from -1 to 1, bytes of any value, other integers 0 or 1; a symbol counts as 1. */
static qdq_status make_random(const qdq_value *v, qdq_binding *out, uint64_t *state)
{
	size_t count = 1, size;

	out->rank = qdq_value_rank(v);
	if (out->rank < 0 || out->rank > QDQ_BINDING_RANK) {
		fprintf(stderr, "qdqopt: error: input '%s' has no known shape: it cannot be random\n", out->name);
		return QDQ_EMODEL;
	}
	for (int i = 0; i < out->rank; i++) {
		int64_t d = qdq_value_dim(v, i);

		out->dims[i] = d < 0 ? 1 : d;
		count *= (size_t)out->dims[i];
	}
	size = out->type == QDQ_TYPE_FLOAT || out->type == QDQ_TYPE_INT32 ? 4 : out->type == QDQ_TYPE_INT64 ? 8 : 1;
	if (size == 1 && out->type != QDQ_TYPE_INT8 && out->type != QDQ_TYPE_UINT8 && out->type != QDQ_TYPE_BOOL) {
		fprintf(stderr, "qdqopt: error: input '%s' is %s: it cannot be random\n", out->name,
			qdq_type_text(out->type));
		return QDQ_EMODEL;
	}
	out->size = count * size;
	out->data = calloc(count == 0 ? 1 : count, size);
	if (out->data == NULL)
		return QDQ_ENOMEM;
	for (size_t i = 0; i < count; i++) {
		uint64_t r = next_random(state);

		if (out->type == QDQ_TYPE_FLOAT)
			((float *)out->data)[i] = (float)((double)(r >> 40) / 8388608.0 - 1);
		else if (out->type == QDQ_TYPE_INT8 || out->type == QDQ_TYPE_UINT8)
			((unsigned char *)out->data)[i] = (unsigned char)(r >> 56);
		else
			((unsigned char *)out->data)[i * size] = (unsigned char)(r >> 63);
	}
	return QDQ_OK;
}

static qdq_status bind_inputs(job *j)
{
	uint64_t state = j->arguments->seed;
	size_t count = qdq_input_count(j->model);

	j->inputs = calloc(count + 1, sizeof *j->inputs);
	j->made = calloc(count + 1, sizeof *j->made);
	if (j->inputs == NULL || j->made == NULL)
		return QDQ_ENOMEM;
	for (size_t i = 0; i < count; i++) {
		const qdq_value *v = qdq_input(j->model, i);
		qdq_binding *b = &j->inputs[j->n_inputs];
		const array *a = given(j, qdq_value_name(v));

		*b = (qdq_binding){.name = qdq_value_name(v), .type = qdq_value_type(v)};
		if (a != NULL) {
			b->type = a->type;
			b->rank = a->rank;
			for (int d = 0; d < a->rank && d < QDQ_BINDING_RANK; d++)
				b->dims[d] = a->dims[d];
			b->data = a->data;
			b->size = a->size;
		} else if (j->arguments->random) {
			qdq_status status = make_random(v, b, &state);

			if (status != QDQ_OK)
				return status;
			j->made[i] = b->data;
		} else {
			continue; /* it has a default, or the session says that it is missing */
		}
		j->n_inputs++;
	}
	return QDQ_OK;
}

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

	if (qdq_session_get_facts(&f, j->session) == QDQ_OK)
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
	double by = d->got > d->expected ? d->got - d->expected : d->expected - d->got;

	j->large += !(by <= 1);
	if (j->differences++ < LISTED)
		printf("%s: %s[%llu] is %.9g, its Q/DQ nodes give %.9g\n", d->node, d->tensor,
		       (unsigned long long)d->index, d->got, d->expected);
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
				       .instructions = a->instructions};
	qdq_status status = load_input(&j->model, j->ctx, a->words[0], &j->held);

	if (status == QDQ_OK)
		status = read_inputs(j);
	if (status == QDQ_OK)
		status = check_names(j);
	if (status == QDQ_OK)
		status = bind_inputs(j);
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
		printf("%llu elements differ from what the Q/DQ nodes give, %llu by more than a step\n",
		       (unsigned long long)j->differences, (unsigned long long)j->large);
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
	for (int i = 0; i < a->n_inputs; i++)
		free_arrays(&j.files[i]);
	for (size_t i = 0; j.made != NULL && i < qdq_input_count(j.model); i++)
		free(j.made[i]);
	free(j.made);
	free(j.inputs);
	free(j.outputs);
	qdq_ctx_free(j.ctx);
	free(j.held);
	return -status;
}

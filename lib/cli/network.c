/* SPDX-License-Identifier: Apache-2.0
 *
 * network.c -- a network as run and bench have it: loaded, optimized, with inputs, in a session
 */
#include <stdlib.h>
#include <string.h>

#include "cli.h"

static qdq_status make_ready(network *n)
{
	const arguments *a = n->arguments;
	qdq_optimize_options how = optimize_options(a);
	qdq_status status = load_input(&n->model, n->ctx, a->words[0], &n->held);

	if (status == QDQ_OK)
		status = read_inputs(&n->given, a);
	if (status == QDQ_OK)
		status = check_inputs(&n->given, n->model, NULL);
	if (status == QDQ_OK)
		status = bind_inputs(&n->inputs, &n->n_inputs, &n->given, n->model);
	if (status == QDQ_OK)
		status = qdq_optimize(n->model, &how);
	if (status != QDQ_OK)
		return status;
	n->n_outputs = qdq_output_count(n->model);
	n->outputs = calloc(n->n_outputs + 1, sizeof *n->outputs);
	return n->outputs == NULL ? QDQ_ENOMEM : QDQ_OK;
}

qdq_status load_network(network *n, const arguments *a)
{
	qdq_options options = {.version = QDQ_OPTIONS_VERSION, .log = print_diagnostic, .log_user = &n->quiet};
	qdq_status status;

	*n = (network){.arguments = a, .quiet = a->quiet};
	status = qdq_ctx_new(&n->ctx, &options);
	return status == QDQ_OK ? make_ready(n) : status;
}

qdq_status open_session(network *n, qdq_session_options callbacks)
{
	const arguments *a = n->arguments;

	callbacks.version = QDQ_SESSION_OPTIONS_VERSION;
	callbacks.threads = a->threads;
	callbacks.instructions = a->instructions;
	callbacks.device = a->device;
	callbacks.time_tactics = a->time_tactics;
	qdq_session_free(n->session);
	return qdq_session_new(&n->session, n->model, &callbacks);
}

qdq_status run_session(network *n)
{
	for (size_t i = 0; i < n->n_outputs; i++)
		n->outputs[i] = (qdq_binding){.name = qdq_value_name(qdq_output_value(n->model, i))};
	return qdq_session_run(n->session, n->inputs, n->n_inputs, n->outputs, n->n_outputs);
}

void print_facts(const network *n)
{
	qdq_session_facts f;

	if (n->quiet || qdq_session_get_facts(&f, n->session) != QDQ_OK)
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

void free_network(network *n)
{
	qdq_session_free(n->session);
	free_inputs(&n->given);
	free(n->inputs);
	free(n->outputs);
	qdq_ctx_free(n->ctx);
	free(n->held);
}

/* SPDX-License-Identifier: Apache-2.0
 *
 * dumpvalues.c -- what inference finds in a model, for test/peer/shapes.py
 *
 * `dumpvalues MODEL.onnx` prints a line "name TAB type TAB shape" for each value, nested graphs included. The model
 * must also pass the checks of a user's file and the verifier, else the exit status is 1.
 */
#include <stdio.h>
#include <stdlib.h>

#include "../../lib/onnx/onnx.h"

typedef struct job {
	qdq_ctx *ctx;
	const char *path;
	bool good;
} job;

static void print_line(void *user, const char *text)
{
	(void)user;
	puts(text);
}

static void log_error(void *user, const qdq_diagnostic *d)
{
	(void)user;
	if (d->severity == QDQ_ERROR)
		fprintf(stderr, "%s '%s': %s\n", d->op == NULL ? "" : d->op, d->node == NULL ? "" : d->node,
			d->message);
}

static void run(void *arg)
{
	job *j = arg;
	qdq_model *m = qdq_onnx_load_file(j->ctx, j->path);

	qdq_graph_infer(m->graph);
	j->good = qdq_model_check(m) && qdq_graph_verify(m->graph);
	qdq_graph_dump_values(m->graph, print_line, NULL);
}

int main(int argc, char **argv)
{
	qdq_options options = {.version = QDQ_OPTIONS_VERSION, .log = log_error};
	job j = {.path = argc == 2 ? argv[1] : ""};

	if (argc != 2 || qdq_ctx_new(&j.ctx, &options) != QDQ_OK)
		return EXIT_FAILURE;
	if (qdq_guard(j.ctx, run, &j) != QDQ_OK)
		j.good = false;
	qdq_ctx_free(j.ctx);
	return j.good ? EXIT_SUCCESS : EXIT_FAILURE;
}

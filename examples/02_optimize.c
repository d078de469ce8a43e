/* SPDX-License-Identifier: Apache-2.0
 *
 * 02_optimize.c -- optimize a model and save it, fused; `02_optimize IN OUT`
 */
#include <stdio.h>

#include <qdqopt.h>

static void complain(void *user, const qdq_diagnostic *d)
{
	(void)user;
	fprintf(stderr, "%s: %s\n", d->node != NULL ? d->node : "-", d->message);
}

int main(int argc, char **argv)
{
	qdq_options options = {.version = QDQ_OPTIONS_VERSION, .log = complain};
	qdq_optimize_options how = {.version = QDQ_OPTIMIZE_OPTIONS_VERSION, .exact = 1};
	qdq_ctx *ctx;
	qdq_model *m;
	qdq_status s = argc == 2 || argc == 3 ? qdq_ctx_new(&ctx, &options) : QDQ_EUSAGE;

	if (s != QDQ_OK)
		return -s;
	s = qdq_load_file(&m, ctx, argv[1]);
	if (s == QDQ_OK)
		s = qdq_optimize(m, &how);
	if (s == QDQ_OK)
		printf("%zu nodes at the top level\n", qdq_node_count(m));
	if (s == QDQ_OK && argc == 3)
		s = qdq_save_file(m, argv[2], NULL);
	qdq_ctx_free(ctx);
	return -s;
}

/* SPDX-License-Identifier: Apache-2.0
 *
 * 01_load.c -- load a model and print its nodes with the types and shapes of what they compute
 */
#include <inttypes.h>
#include <stdio.h>

#include <qdqopt.h>

static void complain(void *user, const qdq_diagnostic *d)
{
	(void)user;
	fprintf(stderr, "%s: %s\n", d->node != NULL ? d->node : "-", d->message);
}

static void print_value(const qdq_value *v)
{
	printf(" %s %s[", qdq_value_name(v), qdq_type_text(qdq_value_type(v)));
	for (int i = 0; i < qdq_value_rank(v); i++) {
		if (qdq_value_dim(v, i) < 0)
			printf(i == 0 ? "?" : ",?");
		else
			printf("%s%" PRId64, i == 0 ? "" : ",", qdq_value_dim(v, i));
	}
	printf("]");
}

int main(int argc, char **argv)
{
	qdq_options options = {.version = QDQ_OPTIONS_VERSION, .log = complain};
	qdq_ctx *ctx;
	qdq_model *m;
	qdq_status s = argc == 2 ? qdq_ctx_new(&ctx, &options) : QDQ_EUSAGE;

	if (s != QDQ_OK)
		return -s;
	s = qdq_load_file(&m, ctx, argv[1]);
	if (s == QDQ_OK) {
		printf("%zu nodes, opset %d\n", qdq_node_count(m), qdq_model_opset(m));
		for (const qdq_node *n = qdq_first_node(m); n != NULL; n = qdq_next_node(n)) {
			printf("%-20s %s ->", qdq_node_op(n), qdq_node_name(n));
			for (size_t i = 0; i < qdq_node_output_count(n); i++)
				if (qdq_node_output(n, i) != NULL)
					print_value(qdq_node_output(n, i));
			printf("\n");
		}
	}
	qdq_ctx_free(ctx); /* and the model with it */
	return -s;
}

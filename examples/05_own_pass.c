/* SPDX-License-Identifier: Apache-2.0
 *
 * 05_own_pass.c -- a pass of one's own: Identity nodes go away
 */
#include <stdio.h>
#include <string.h>

#include <qdqopt.h>

static void complain(void *user, const qdq_diagnostic *d)
{
	(void)user;
	fprintf(stderr, "%s\n", d->message);
}

static qdq_status drop_identities(void *user, qdq_model *m)
{
	size_t *dropped = user;
	qdq_node *next;

	for (qdq_node *n = qdq_first_node(m); n != NULL; n = next) {
		qdq_value *x = qdq_node_input(n, 0), *y = qdq_node_output(n, 0);
		qdq_status s;

		next = qdq_next_node(n);
		if (strcmp(qdq_node_op(n), "Identity") != 0 || qdq_value_is_output(y))
			continue;
		s = qdq_replace_value(m, y, x);
		if (s == QDQ_OK)
			s = qdq_remove_node(m, n);
		if (s != QDQ_OK)
			return s;
		++*dropped;
	}
	return QDQ_OK;
}

int main(int argc, char **argv)
{
	qdq_options options = {.version = QDQ_OPTIONS_VERSION, .log = complain};
	size_t dropped = 0;
	qdq_ctx *ctx;
	qdq_model *m;
	qdq_status s = argc == 2 ? qdq_ctx_new(&ctx, &options) : QDQ_EUSAGE;

	if (s != QDQ_OK)
		return -s;
	s = qdq_load_file(&m, ctx, argv[1]);
	if (s == QDQ_OK)
		s = qdq_run_own_pass(m, "drop_identities", drop_identities, &dropped);
	if (s == QDQ_OK)
		printf("%zu Identity nodes dropped, %zu nodes left\n", dropped, qdq_node_count(m));
	qdq_ctx_free(ctx);
	return -s;
}

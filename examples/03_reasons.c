/* SPDX-License-Identifier: Apache-2.0
 *
 * 03_reasons.c -- list what is not INT8 on both sides, and why
 */
#include <stdio.h>

#include <qdqopt.h>

static void list(const qdq_report *r)
{
	for (size_t i = 0; i < qdq_report_op_count(r); i++) {
		qdq_op_report op;

		if (qdq_report_get_op(&op, r, i) != QDQ_OK || op.verdict == QDQ_VERDICT_INT8_INT8)
			continue;
		printf("%s '%s' is %s", op.op, op.name, op.verdict == QDQ_VERDICT_FLOAT ? "float" : "int8 -> float");
		if (op.code != NULL)
			printf(": %s (%s); fix: %s", op.message, op.code, op.fix);
		printf("\n");
	}
	printf("%.1f %% of the multiply-accumulates run in INT8\n", qdq_report_coverage(r));
}

int main(int argc, char **argv)
{
	const qdq_report *r;
	qdq_ctx *ctx;
	qdq_model *m;
	qdq_status s = argc == 2 ? qdq_ctx_new(&ctx, NULL) : QDQ_EUSAGE;

	if (s != QDQ_OK)
		return -s;
	s = qdq_load_file(&m, ctx, argv[1]);
	if (s == QDQ_OK)
		s = qdq_optimize(m, NULL);
	if (s == QDQ_OK)
		s = qdq_report_new(&r, m, NULL);
	if (s == QDQ_OK)
		list(r);
	for (size_t i = 0; i < qdq_diagnostic_count(ctx); i++) /* without a log function they wait in the context */
		fprintf(stderr, "%s\n", qdq_diagnostic_get(ctx, i)->message);
	qdq_ctx_free(ctx);
	return -s;
}

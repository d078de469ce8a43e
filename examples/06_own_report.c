/* SPDX-License-Identifier: Apache-2.0
 *
 * 06_own_report.c -- a report of one's own: a line of CSV for each compute operator
 */
#include <inttypes.h>
#include <stdio.h>

#include <qdqopt.h>

static void print_csv(const qdq_report *r)
{
	static const char *const verdicts[] = {
	    [QDQ_VERDICT_FLOAT] = "float",
	    [QDQ_VERDICT_INT8_FLOAT] = "int8->float",
	    [QDQ_VERDICT_INT8_INT8] = "int8->int8",
	};
	qdq_op_report op;

	printf("name,operator,verdict,macs,fused_into,reason\n");
	for (size_t i = 0; qdq_report_get_op(&op, r, i) == QDQ_OK; i++)
		printf("%s,%s,%s,%" PRIu64 ",%s,%s\n", op.name, op.op, verdicts[op.verdict], op.macs,
		       op.fused_into != NULL ? op.fused_into : "", op.code != NULL ? op.code : "");
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
		print_csv(r);
	qdq_ctx_free(ctx);
	return -s;
}

/* SPDX-License-Identifier: Apache-2.0
 *
 * 04_build.c -- build a small network with Q/DQ by hand, and set an operator's precision by moving a pair
 *
 *	x -> Q -> DQ -> Conv -> Transpose -> y      The pair behind the Conv makes it int8 -> int8; behind the
 *	w -> Q -> DQ --'                            Transpose it would still be so, since that only moves elements.
 */
#include <stdio.h>

#include <qdqopt.h>

static void complain(void *user, const qdq_diagnostic *d)
{
	(void)user;
	fprintf(stderr, "%s\n", d->message);
}

/* x -> Conv -> Transpose -> y, in float. */
static qdq_status build(qdq_model *m, qdq_value *value[3], qdq_node *node[2])
{
	static const int64_t x_dims[] = {1, 3, 8, 8}, w_dims[] = {4, 3, 1, 1}, perm[] = {0, 2, 3, 1};
	static const float weights[12] = {1, -1, 0.5F, 0.25F, 1, 2, -0.5F, 0.75F, 1, -2, 0.125F, 1};
	qdq_status s = qdq_add_input(&value[0], m, "x", QDQ_TYPE_FLOAT, 4, x_dims, NULL);

	if (s == QDQ_OK)
		s = qdq_add_constant(&value[1], m, "w", QDQ_TYPE_FLOAT, 4, w_dims, weights, sizeof weights);
	if (s == QDQ_OK)
		s = qdq_add_node(&node[0], m, NULL, "", "Conv", "conv", 2, value, 1);
	if (s == QDQ_OK) {
		value[2] = qdq_node_output(node[0], 0);
		s = qdq_add_node(&node[1], m, NULL, "", "Transpose", "to_nhwc", 1, &value[2], 1);
	}
	if (s == QDQ_OK)
		s = qdq_set_ints(m, node[1], "perm", perm, 4);
	return s == QDQ_OK ? qdq_add_output(m, qdq_node_output(node[1], 0)) : s;
}

/* One scale for activations, one for each output channel of the weight. */
static qdq_status quantize(qdq_model *m, qdq_value *const value[3], qdq_node *const node[2])
{
	static const float activation_scale = 0.05F, weight_scales[4] = {0.008F, 0.016F, 0.016F, 0.016F};
	qdq_quant activation = {
	    .version = QDQ_QUANT_VERSION, .codes = QDQ_TYPE_INT8, .count = 1, .scales = &activation_scale};
	qdq_quant weight = {
	    .version = QDQ_QUANT_VERSION, .codes = QDQ_TYPE_INT8, .count = 4, .scales = weight_scales, .axis = 0};
	qdq_node *pair;
	qdq_status s = qdq_add_qdq(NULL, m, value[0], &activation, NULL, 0);

	if (s == QDQ_OK)
		s = qdq_add_qdq(NULL, m, value[1], &weight, NULL, 0);
	if (s == QDQ_OK)
		s = qdq_add_qdq(&pair, m, value[2], &activation, node[1], 0); /* what the Transpose reads */
	if (s == QDQ_OK)
		s = qdq_move_qdq(&pair, m, pair, node[1]);		/* behind the Transpose … */
	return s == QDQ_OK ? qdq_move_qdq(&pair, m, pair, node[1]) : s; /* … and back again */
}

static qdq_status show(qdq_model *m, const char *when)
{
	const qdq_report *r;
	qdq_op_report op;
	qdq_status s = qdq_report_new(&r, m, NULL);

	if (s == QDQ_OK)
		s = qdq_report_find(&op, r, "conv");
	if (s == QDQ_OK)
		printf("%s: %s is %s\n", when, op.name,
		       op.verdict == QDQ_VERDICT_INT8_INT8    ? "int8 -> int8"
		       : op.verdict == QDQ_VERDICT_INT8_FLOAT ? "int8 -> float"
							      : "float");
	return s;
}

int main(void)
{
	qdq_options options = {.version = QDQ_OPTIONS_VERSION, .log = complain};
	qdq_value *value[3];
	qdq_node *node[2];
	qdq_ctx *ctx;
	qdq_model *m;
	qdq_status s = qdq_ctx_new(&ctx, &options);

	if (s != QDQ_OK)
		return -s;
	s = qdq_model_new(&m, ctx, 17);
	if (s == QDQ_OK)
		s = build(m, value, node);
	if (s == QDQ_OK)
		s = quantize(m, value, node);
	if (s == QDQ_OK)
		s = qdq_optimize(m, NULL);
	if (s == QDQ_OK)
		s = show(m, "with Q/DQ around it");
	qdq_ctx_free(ctx);
	return -s;
}

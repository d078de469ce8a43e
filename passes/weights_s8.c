/* SPDX-License-Identifier: Apache-2.0
 *
 * weights_s8 -- weights as int8 instead of uint8, for kernels that multiply uint8 by int8
 *
 *   x (u8) -- DQ ------.                 x (u8) -- DQ -------------.
 *   w -- DQ(u8, z) ----+-- Conv  =>      w - 128 -- DQ(s8, z - 128) +-- Conv
 *
 *   When    the target is ort-cpu. The second operand of a product, whose first has uint8 codes, is a DQ of constant uint8
 *           codes with constant zero points. Not with --exact
 *   Keeps   what else reads the codes
 *   Exact   EXACT: all codes and zero points are 128 lower. On x64 processors without VNNI ONNX Runtime's kernel for uint8
 *           by int8 saturates sums of two products, that for uint8 by uint8 does not: so not with --exact
 *   Needs   types                           Breaks  nothing
 *   After   to_u8                           Before  fuse
 *   Tests   test/golden/weights_s8/         Ref     MLAS
 */
#include "moves.h"

#define SHIFT 128

/* Codes, or zero points, 128 lower. */
static qdq_value *lowered(qdq_run *r, const qdq_value *v)
{
	const qdq_tensor *from = qdq_value_constant(v);
	qdq_tensor *to = qdq_tensor_new(r->model, QDQ_TYPE_INT8, from->rank, from->dims);
	uint8_t *codes = (void *)(uintptr_t)to->data;

	for (uint64_t i = 0; i < from->count; i++)
		codes[i] = ((const uint8_t *)from->data)[i] ^ SHIFT;
	return qdq_graph_add_constant(r->graph,
				      qdq_unique_name(&r->model->names, qdq_format(&r->scratch, "%s_s8", v->name)), to);
}

/* A zero point that was left out is 0. */
static qdq_value *lowest_zero(qdq_run *r, const qdq_value *scale)
{
	const qdq_tensor *s = qdq_value_constant(scale);
	qdq_tensor *zero = qdq_tensor_new(r->model, QDQ_TYPE_INT8, s->rank, s->dims);

	memset((void *)(uintptr_t)zero->data, SHIFT, (size_t)zero->size);
	return qdq_graph_add_constant(
	    r->graph, qdq_unique_name(&r->model->names, qdq_format(&r->scratch, "%s_zero", scale->name)), zero);
}

static void look_at(qdq_run *r, qdq_node *n)
{
	qdq_node *x = qdq_in(n, 0) != NULL ? qdq_in(n, 0)->def : NULL;
	qdq_node *dq = qdq_in(n, 1) != NULL ? qdq_in(n, 1)->def : NULL;
	qdq_value *zero;
	qdq_params left, p;

	if (x == NULL || !qdq_is_dequantizer(x) || !qdq_params_of(x, &left) || left.codes != QDQ_TYPE_UINT8 ||
	    !qdq_is(dq, QDQ_OP_DequantizeLinear) || dq->graph != r->graph || !qdq_params_of(dq, &p) ||
	    p.codes != QDQ_TYPE_UINT8 || !p.constant || p.block != 0 || qdq_value_constant(qdq_in(dq, 0)) == NULL)
		return;
	if (r->options->exact) {
		const qdq_reason why = {.code = QDQ_REASON_NOT_EXACT, .operand = qdq_in(dq, 0)->name};

		qdq_declined(r, "weights_s8.turn", n->origin, &why);
		return;
	}
	zero = p.zero != NULL ? lowered(r, p.zero) : lowest_zero(r, p.scale);
	qdq_use_set(&dq->inputs[0], lowered(r, qdq_in(dq, 0)));
	qdq_node_resize_inputs(dq, 3);
	qdq_use_set(&dq->inputs[2], zero);
	qdq_applied(r, "weights_s8.turn", QDQ_EXACT, 0, n->origin);
}

static void run(qdq_run *r)
{
	if (r->options->target != QDQ_TARGET_ORT_CPU)
		return;
	for (qdq_node *n = r->graph->first; n != NULL; n = qdq_after(n))
		if (n->op->cls == QDQ_CLASS_CONTRACT && qdq_out(n, 0) != NULL && !qdq_kept_float(n))
			look_at(r, n);
}

static const qdq_rule rules[] = {
    {.name = "weights_s8.turn", .exactness = QDQ_EXACT, .text = "a uint8 weight becomes int8, 128 lower"},
};

const qdq_pass qdq_pass_weights_s8 = {
    "weights_s8", "uint8 weights as int8 (target ort-cpu)", rules, QDQ_COUNTOF(rules), run, false};

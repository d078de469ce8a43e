/* SPDX-License-Identifier: Apache-2.0
 *
 * tensorrt_lift -- operators on codes that TensorRT does not take, in float between DQ and Q
 *
 *   q (uint8) -- MaxPool -- DQ -- y   =>   q -- DQ -- MaxPool -- Q -- DQ -- y
 *
 *   When    the target is tensorrt; an operator of class MOVE or MONO reads codes, all of whose outputs that are codes
 *           only DQs with equal parameters read, one scale > 0 with Q(DQ(q)) == q for every code. Bounds of Clip and the
 *           value of Pad become the floats that they mean. Once parameters are such as TensorRT takes, sink_dq puts the
 *           operator on codes again
 *   Keeps   names; what is another function of codes than of what they mean: a Relu or CenterCropPad with a zero point,
 *           a Resize that interpolates
 *   Exact   EXACT: elements are moved or chosen, never computed
 *   Needs   types                           Breaks  nothing
 *   After   canonicalize, read_qlinear, read_fake, read_integer, absorb_cast, precision, repair_pairs, repair_concat
 *   Before  tensorrt_activations, sink_dq
 *   Tests   test/golden/tensorrt_lift/
 *   Ref     sink_dq, backward
 */
#include "tensorrt.h"

static bool is_live(const qdq_value *y)
{
	return y != NULL && !qdq_value_unread(y);
}

/* The parameters of all DQs that read the outputs of n which are codes; false: something else reads one, or they
 * differ. */
static bool common_readers(const qdq_node *n, qdq_params *p)
{
	bool any = false;

	for (uint32_t i = 0; i < n->n_outputs; i++) {
		const qdq_value *y = n->outputs[i];

		if (!is_live(y) || !qdq_type_is_int8(y->type))
			continue;
		for (const qdq_use *u = y->uses; u != NULL; u = u->next) {
			qdq_params q;

			if (!qdq_is(u->node, QDQ_OP_DequantizeLinear) || u->node->graph != n->graph ||
			    qdq_use_index(u) != 0 || !qdq_params_of(u->node, &q) || (any && !qdq_params_equal(p, &q)))
				return false;
			*p = q;
			any = true;
		}
		if (y->n_outputs != 0)
			return false;
	}
	return any;
}

static bool reads_codes(const qdq_node *n)
{
	for (uint32_t i = 0; i < n->n_inputs; i++)
		if (qdq_in(n, i) != NULL && qdq_op_data_input(n, i) && qdq_type_is_int8(qdq_in(n, i)->type))
			return true;
	return false;
}

static bool all_bounds_constant(const qdq_node *n)
{
	for (uint32_t i = 0; i < n->n_inputs; i++)
		if (qdq_in(n, i) != NULL && !qdq_op_data_input(n, i) && qdq_type_is_int8(qdq_in(n, i)->type) &&
		    qdq_value_constant(qdq_in(n, i)) == NULL)
			return false;
	return true;
}

static void lift(qdq_run *r, qdq_node *n)
{
	qdq_params p;
	qdq_reason why;

	if (!reads_codes(n) || !common_readers(n, &p) || !qdq_symmetric_possible(&p) || !p.per_tensor || !p.positive ||
	    !qdq_params_round_trip(&p) || !all_bounds_constant(n))
		return;
	if (qdq_tensorrt_takes(&p, false, &why))
		return;
	if (!qdq_leaves_codes(n, &p))
		return;
	qdq_off_codes(r, n, &p);
	qdq_applied(r, "tensorrt_lift.float", QDQ_EXACT, 0, n->origin);
}

/* Backward: what is lifted gives the operator in front of it a DQ to read its codes. */
static void run(qdq_run *r)
{
	qdq_node *previous;

	if (!qdq_for_tensorrt(r) || !qdq_model_has(r->model, QDQ_OP_DequantizeLinear))
		return;
	for (qdq_node *n = r->graph->last; n != NULL; n = previous) {
		previous = n->prev;
		if (qdq_is_move(n))
			lift(r, n);
	}
}

static const qdq_rule rules[] = {
    {.name = "tensorrt_lift.float",
     .exactness = QDQ_EXACT,
     .text = "an operator on codes that TensorRT does not take goes between DQ and Q"},
};

const qdq_pass qdq_pass_tensorrt_lift = {"tensorrt_lift",
					 "for TensorRT: operators on codes in float, between DQ and Q",
					 rules,
					 QDQ_COUNTOF(rules),
					 run,
					 false};

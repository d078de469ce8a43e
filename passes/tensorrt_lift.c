/* SPDX-License-Identifier: Apache-2.0
 *
 * tensorrt_lift -- operators on codes that TensorRT does not take, in float between DQ and Q
 *
 *   q (uint8) -- MaxPool -- DQ -- y          =>   q -- DQ -- MaxPool -- Q -- DQ -- y
 *   q -- Concat(q, constant codes) -- DQ -- y =>   q -- DQ -- Concat -- Q -- DQ -- y    it takes no constant codes but
 *                                                                                       in front of a DQ
 *
 *   When    the target is tensorrt; an operator of class MOVE or MONO reads codes, all of whose outputs that are codes
 *           only DQs with equal parameters read, one scale > 0 with Q(DQ(q)) == q for every code. Bounds of Clip and the
 *           value of Pad become the floats that they mean. Once parameters are such as TensorRT takes, sink_dq puts the
 *           operator on codes again
 *   Keeps   names; a Relu on codes with a zero point, which is no Relu in float
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

static bool reads_codes(const qdq_node *n, bool *constant)
{
	bool codes = false;

	*constant = false;
	for (uint32_t i = 0; i < n->n_inputs; i++) {
		const qdq_value *x = qdq_in(n, i);

		if (x == NULL || !qdq_type_is_int8(x->type))
			continue;
		codes = codes || qdq_op_data_input(n, i);
		*constant = *constant || qdq_value_constant(x) != NULL;
	}
	return codes;
}

static bool all_bounds_constant(const qdq_node *n)
{
	for (uint32_t i = 0; i < n->n_inputs; i++)
		if (qdq_in(n, i) != NULL && !qdq_op_data_input(n, i) && qdq_type_is_int8(qdq_in(n, i)->type) &&
		    qdq_value_constant(qdq_in(n, i)) == NULL)
			return false;
	return true;
}

/* A Pad without value pads with the code 0. */
static void give_pad_value(qdq_run *r, qdq_node *n, const qdq_params *p)
{
	double real = (double)-qdq_params_zero(p, 0) * qdq_params_scale(p, 0);

	if (n->op->id != QDQ_OP_Pad || qdq_in(n, 2) != NULL || real == 0)
		return;
	if (n->n_inputs < 3)
		qdq_node_resize_inputs(n, 3);
	qdq_use_set(&n->inputs[2], qdq_constant_number(n->graph, p->scale->type, real,
						       qdq_format(&r->scratch, "%s_value", n->outputs[0]->name)));
}

static void read_floats(qdq_run *r, qdq_node *n, const qdq_params *p)
{
	for (uint32_t i = 0; i < n->n_inputs; i++) {
		qdq_value *x = qdq_in(n, i);
		qdq_node *dq;

		if (x == NULL || !qdq_type_is_int8(x->type))
			continue;
		dq = qdq_dequantize_insert(n->graph, n, x, p, x->name, n->origin);
		qdq_use_set(&n->inputs[i], dq->outputs[0]);
		if (!qdq_op_data_input(n, i))
			qdq_fold_dequantizer(r, dq);
	}
}

/* Output i under a new name and as floats; the codes are quantized from it. */
static void quantize_output(qdq_node *n, uint32_t i, const qdq_params *p)
{
	qdq_graph *g = n->graph;
	qdq_value *y = n->outputs[i];
	qdq_value *real = qdq_value_create(g, qdq_unique_name(&g->model->names, y->name));
	qdq_node *q;

	qdq_value_set_type(real, p->scale->type, y->shape);
	n->outputs[i] = real;
	real->def = n;
	y->def = NULL;
	q = qdq_quantize_insert(g, n->next, real, p, y->name, n->origin);
	qdq_value_redefine(y, q, 0);
}

static void lift(qdq_run *r, qdq_node *n)
{
	bool constant;
	qdq_params p;
	qdq_reason why;

	if (!reads_codes(n, &constant) || !common_readers(n, &p) || !qdq_symmetric_possible(&p) || !p.per_tensor ||
	    !p.positive || !qdq_params_round_trip(&p) || !all_bounds_constant(n))
		return;
	if (qdq_tensorrt_takes(&p, false, &why) && !constant)
		return;
	if (n->op->id == QDQ_OP_Relu && qdq_params_zero(&p, 0) != 0)
		return;
	give_pad_value(r, n, &p);
	read_floats(r, n, &p);
	for (uint32_t i = 0; i < n->n_outputs; i++)
		if (n->outputs[i] != NULL && qdq_type_is_int8(n->outputs[i]->type))
			quantize_output(n, i, &p);
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
		if (n->op->cls == QDQ_CLASS_MOVE || n->op->cls == QDQ_CLASS_MONO)
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

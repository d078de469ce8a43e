/* SPDX-License-Identifier: Apache-2.0
 *
 * constants.c -- operators of constant codes work on the codes again
 *
 *      w -- DQ -- Gather -- Q -- y     =>     w -- Gather -- y
 *
 * Files have them between DQ and Q, for readers that take constant codes in front of a DQ alone (passes/constant_codes.c).
 * Here that would be a table of floats, four times as large, and a rounding that rounds nothing. It happens in the session's
 * own copy of the model, in a region that is about to be lowered. Elements are moved, so the codes are the same; what
 * interpolates, or fills in a 0 that is another code, stays where it is.
 */
#include "lower.h"

/* Are all data inputs of n dequantized here with the same scale, some of them constant, and nothing else of them floats? */
static bool reads_constants(const qdq_node *n, qdq_params *p)
{
	bool any = false, constant = false;

	for (uint32_t i = 0; i < n->n_inputs; i++) {
		const qdq_value *x = qdq_in(n, i);
		const qdq_node *dq = qdq_op_data_input(n, i) ? qdq_dequantizer(x) : NULL;
		qdq_params own;

		if (x == NULL)
			continue;
		if (!qdq_op_data_input(n, i)) {
			if (x->type == QDQ_TYPE_NONE || qdq_type_get(x->type)->is_float)
				return false; /* the value of a Pad */
			continue;
		}
		if (dq == NULL || !qdq_params_of(dq, &own) || !own.per_tensor || own.block != 0 ||
		    !qdq_type_is_int8(own.codes) || (any && !qdq_params_equal(p, &own)))
			return false;
		constant = constant || qdq_value_constant(qdq_in(dq, 0)) != NULL;
		*p = own;
		any = true;
	}
	return constant;
}

/* The Q that alone reads n's result and gives back every code; NULL: there is none, or n does not commute with it. */
static qdq_node *gives_back(const qdq_node *n, const qdq_params *p)
{
	const qdq_use *u = n->n_outputs == 1 && n->outputs[0] != NULL ? qdq_only_use(n->outputs[0]) : NULL;
	qdq_params own;

	return qdq_op_takes_codes(n->op, n->graph->model->opset, p->codes) &&
		       qdq_op_commutes(n, qdq_params_zero(p, 0)) && u != NULL && qdq_is_quantizer(u->node) &&
		       qdq_use_index(u) == 0 && u->node->graph == n->graph && qdq_params_of(u->node, &own) &&
		       qdq_params_equal(p, &own) && qdq_params_round_trip(p)
		   ? u->node
		   : NULL;
}

static void onto_codes(qdq_node *n, qdq_node *q, qdq_type codes)
{
	qdq_value *y = q->outputs[0];

	for (uint32_t i = 0; i < n->n_inputs; i++) {
		qdq_node *dq = qdq_op_data_input(n, i) ? qdq_dequantizer(qdq_in(n, i)) : NULL;

		if (dq == NULL)
			continue;
		qdq_use_set(&n->inputs[i], qdq_in(dq, 0));
		if (qdq_node_unread(dq))
			qdq_node_remove(dq);
	}
	qdq_use_set(&q->inputs[0], NULL);
	qdq_value_redefine(y, n, 0);
	qdq_value_set_type(y, codes, y->shape);
	qdq_node_remove(q);
}

void qdq_constants_onto_codes(qdq_node *region)
{
	if (region->region == NULL)
		return;
	for (qdq_node *n = region->region->body->first; n != NULL; n = n->next) {
		qdq_params p;
		qdq_node *q = n->op->cls == QDQ_CLASS_MOVE && reads_constants(n, &p) ? gives_back(n, &p) : NULL;

		if (q != NULL)
			onto_codes(n, q, p.codes);
	}
}

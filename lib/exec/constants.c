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
#include "../eval/eval.h"
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

void qdq_constants_onto_codes(qdq_plan *plan, qdq_node *region)
{
	if (region->region == NULL)
		return;
	for (qdq_node *n = region->region->body->first; n != NULL; n = n->next) {
		qdq_params p;
		qdq_node *q = n->op->cls == QDQ_CLASS_MOVE && reads_constants(n, &p) ? gives_back(n, &p) : NULL;

		if (q == NULL)
			continue;
		onto_codes(n, q, p.codes);
		p.scale = qdq_value_outer(p.scale); /* ports go where the region is split */
		p.zero = p.zero != NULL ? qdq_value_outer(p.zero) : NULL;
		*qdq_push(plan->arena, &plan->moved) = (qdq_moved){n->outputs[0], p};
	}
}

/* ---- what they meant, for check.c ---- */

static void *new_tensor(qdq_arena *a, qdq_type type, size_t size, const qdq_tensor *like, const qdq_tensor **out)
{
	qdq_tensor *t = qdq_new(a, qdq_tensor);
	char *data = qdq_array(a, char, (like->count + 1) * size);

	*t = (qdq_tensor){.type = type,
			  .rank = like->rank,
			  .dims = like->dims,
			  .count = like->count,
			  .data = data,
			  .size = like->count * size};
	*out = t;
	return data;
}

static const qdq_tensor *dequantized(qdq_arena *a, const qdq_params *p, const qdq_tensor *codes)
{
	const qdq_tensor *out;
	float *to = new_tensor(a, QDQ_TYPE_FLOAT, sizeof *to, codes, &out);
	int64_t code;

	for (uint64_t i = 0; i < codes->count; i++)
		to[i] = qdq_tensor_int(codes, i, &code) ? (float)qdq_params_real(p, 0, code) : 0;
	return out;
}

static const qdq_tensor *quantized(qdq_arena *a, const qdq_params *p, const qdq_tensor *reals)
{
	float low = (float)(qdq_type_min(p->codes) - qdq_params_zero(p, 0));
	float high = (float)(qdq_type_max(p->codes) - qdq_params_zero(p, 0));
	const qdq_tensor *out;
	uint8_t *to = new_tensor(a, p->codes, sizeof *to, reals, &out);
	double real;

	for (uint64_t i = 0; i < reals->count; i++) {
		float v = qdq_tensor_real(reals, i, &real) ? (float)real / (float)qdq_params_scale(p, 0) : 0;

		to[i] = (uint8_t)((int64_t)qdq_round_step(v, low, high) + qdq_params_zero(p, 0));
	}
	return out;
}

static const qdq_params *params_of(const qdq_plan *p, const qdq_node *n)
{
	for (size_t i = 0; i < p->moved.count && n != NULL && n->n_outputs == 1; i++)
		if (p->moved.items[i].y == n->outputs[0])
			return &p->moved.items[i].params;
	return NULL;
}

bool qdq_constants_has(const qdq_plan *p, const qdq_node *n)
{
	return params_of(p, n) != NULL;
}

bool qdq_constants_meant(const qdq_plan *p, qdq_arena *a, const qdq_node *n, const qdq_tensor *const *inputs,
			 const qdq_tensor **meant)
{
	const qdq_tensor **in = qdq_array(a, const qdq_tensor *, n->n_inputs + 1), *out[1] = {NULL};
	const qdq_params *moved = params_of(p, n);

	*meant = NULL;
	if (moved == NULL)
		return true;
	for (uint32_t i = 0; i < n->n_inputs; i++)
		in[i] = inputs[i] != NULL && qdq_op_data_input(n, i) ? dequantized(a, moved, inputs[i]) : inputs[i];
	if (qdq_eval_node(p->m, a, n, in, out, 0) != QDQ_EVAL_OK)
		return false;
	*meant = quantized(a, moved, out[0]);
	return true;
}

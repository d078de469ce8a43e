/* SPDX-License-Identifier: Apache-2.0
 *
 * roundings.c -- where ONNX Runtime rounds to float16, which --exact must leave as it is
 *
 * On a CPU it has kernels for float16 of few operators (x64: what moves elements, Clip, Max, Min, Q, DQ). The others compute in
 * float32, between Casts, and two Casts that meet go. Then an operator that has a kernel, but whose float16 neighbours
 * all have none, computes in float32 as well, unless nothing but constants and inputs of the network reach it. So
 *
 *   q -- DQ -- Gemm                nothing is rounded: DQ and Gemm are float32
 *   q -- DQ -- Flatten -- Gemm     the product q * s is rounded: two neighbours have kernels
 *   w -- DQ -- Gemm                it is rounded: w is a constant
 *   DQ -- Cast(float16) -- Gemm    nothing is: the network's own Casts go as well where two meet
 *
 * A node that computes nothing may thus be why a neighbour of it rounds, and a DQ that moves over it would round no
 * more. These functions are about single steps of passes, and rather say "stay" than look far. bfloat16 is not meant:
 * ONNX Runtime computes nothing in it on a CPU.
 */
#include "moves.h"

bool qdq_products_fit(const qdq_params *p)
{
	if (!p->constant || !qdq_type_is_int8(p->codes))
		return false;
	for (uint64_t c = 0; c < p->count; c++)
		for (int64_t q = qdq_type_min(p->codes); q <= qdq_type_max(p->codes); q++)
			if (qdq_params_real(p, c, q) != qdq_params_scale(p, c) * (double)(q - qdq_params_zero(p, c)))
				return false;
	return true;
}

bool qdq_rounds_in_place(const qdq_run *r, const qdq_params *p)
{
	return r->options->exact && p->real == QDQ_TYPE_FLOAT16 && !qdq_products_fit(p);
}

/* Does a node give v when the network runs? */
static bool is_computed(const qdq_value *v)
{
	return v != NULL && v->def != NULL && v->def->op->id != QDQ_OP_Constant;
}

bool qdq_cast_rounds(const qdq_run *r, const qdq_params *p, qdq_type to)
{
	qdq_params narrow = *p;

	narrow.real = to;
	return qdq_rounds_in_place(r, &narrow);
}

/* Is `dq` such a DQ, and does no other node give it anything? */
static bool is_fed_alone(const qdq_run *r, const qdq_node *dq, const qdq_value *v)
{
	qdq_params p;

	if (!qdq_is(dq, QDQ_OP_DequantizeLinear) || !qdq_params_of(dq, &p) || !qdq_rounds_in_place(r, &p))
		return false;
	for (uint32_t i = 0; i < dq->n_inputs; i++)
		if (qdq_in(dq, i) != NULL && qdq_in(dq, i) != v && is_computed(qdq_value_outer(qdq_in(dq, i))))
			return false;
	return true;
}

bool qdq_feeds_alone(const qdq_run *r, const qdq_value *v)
{
	for (const qdq_use *u = r->options->exact ? v->uses : NULL; u != NULL; u = u->next)
		if (u->node->region != NULL ? qdq_feeds_alone(r, u->node->region->body->inputs.items[qdq_use_index(u)])
					    : is_fed_alone(r, u->node, v))
			return true;
	return false;
}

bool qdq_only_quantized(const qdq_value *v)
{
	for (const qdq_use *u = v->uses; u != NULL; u = u->next)
		if (!qdq_is(u->node, QDQ_OP_QuantizeLinear))
			return false;
	return v->n_uses != 0 && v->n_outputs == 0;
}

/* Operators without a kernel for float16. Of those that compare, Max, Min and Clip have one; Relu and pools have none. */
static bool in_float32(const qdq_node *n)
{
	if (n->op->cls == QDQ_CLASS_MONO)
		return n->op->family != QDQ_FAMILY_ELEMENTWISE && n->op->id != QDQ_OP_Clip && n->op->id != QDQ_OP_TopK;
	return n->op->cls == QDQ_CLASS_CONTRACT || n->op->cls == QDQ_CLASS_REDUCE ||
	       (n->op->cls == QDQ_CLASS_POINTWISE && n->op->family != QDQ_FAMILY_NONE);
}

/* The node that computes v, inside a region perhaps; NULL: none does. */
static const qdq_node *writer(const qdq_value *v)
{
	return is_computed(v) ? qdq_value_inner(v)->def : NULL;
}

static bool reads_no_node(const qdq_node *n)
{
	for (uint32_t i = 0; i < n->n_inputs; i++)
		if (qdq_in(n, i) != NULL && is_computed(qdq_value_outer(qdq_in(n, i))))
			return false;
	return true;
}

/* Has n a kernel, and nothing but constants and inputs in front of it? A Cast may go all the same. */
static bool rounds_without_nodes(const qdq_node *n)
{
	return !in_float32(n) && n->op->id != QDQ_OP_Cast && reads_no_node(n);
}

/* Operators that have one, views and Transpose among them. */
static bool in_float16(const qdq_node *n)
{
	return n->op->id == QDQ_OP_QuantizeLinear || n->op->id == QDQ_OP_Cast || n->op->axis == QDQ_AXIS_VIEW ||
	       n->op->axis == QDQ_AXIS_PERM;
}

bool qdq_rounded_in_front(const qdq_run *r, const qdq_value *x)
{
	const qdq_node *from = writer(x);

	return !r->options->exact || x->type != QDQ_TYPE_FLOAT16 || from == NULL ||
	       (in_float16(from) && from->op->id != QDQ_OP_Cast);
}

/* Each reader has a DQ of its own (see qdq_rounds_by_order): do all of these round, whoever writes what they read? */
static bool each_rounds(const qdq_node *dq)
{
	for (const qdq_use *u = dq->outputs[0] != NULL ? dq->outputs[0]->uses : NULL; u != NULL; u = u->next)
		if (!in_float16(u->node) && u->node->op->cls != QDQ_CLASS_SHAPE)
			return false;
	return dq->outputs[0] != NULL && dq->outputs[0]->type == QDQ_TYPE_FLOAT16;
}

/* Does n, if it has a kernel, round what it reads and writes, whoever writes and reads it? */
static bool rounds_if_kernel(const qdq_node *n)
{
	if (n->op->id == QDQ_OP_QuantizeLinear)
		return true;
	if (n->op->id == QDQ_OP_DequantizeLinear)
		return each_rounds(n);
	for (uint32_t i = 0; i < n->n_outputs && !in_float32(n); i++) {
		if (n->outputs[i] == NULL || n->outputs[i]->type != QDQ_TYPE_FLOAT16)
			continue;
		if (n->outputs[i]->n_outputs != 0 && (n->graph->parent == NULL || n->graph->parent->region == NULL))
			return true;
		for (const qdq_use *u = n->outputs[i]->uses; u != NULL; u = u->next)
			if (in_float16(u->node))
				return true;
	}
	return false;
}

/* And surely? */
static bool rounds_anyway(const qdq_node *n)
{
	return (in_float16(n) || n->op->id == QDQ_OP_DequantizeLinear) && rounds_if_kernel(n);
}

/* What is true of all readers of a value. */
struct readers {
	bool float32, rounded, either;
};

static void look_at_readers(const qdq_value *v, struct readers *all)
{
	for (const qdq_use *u = v->uses; u != NULL; u = u->next) {
		bool float32 = in_float32(u->node), rounded = rounds_anyway(u->node);

		if (u->node->region != NULL) {
			look_at_readers(u->node->region->body->inputs.items[qdq_use_index(u)], all);
			continue;
		}
		all->float32 = all->float32 && float32;
		all->rounded = all->rounded && rounded;
		all->either = all->either && (float32 || rounds_if_kernel(u->node));
	}
}

bool qdq_holds_rounding(const qdq_run *r, const qdq_node *n, qdq_reason *why)
{
	const qdq_value *x = qdq_in(n, 0), *y = qdq_out(n, 0);
	const qdq_node *from = x != NULL ? writer(x) : NULL;
	struct readers all = {true, true, true};

	if (!r->options->exact || x == NULL || y == NULL)
		return false;
	*why = (qdq_reason){.code = QDQ_REASON_HALF_ROUNDING, .operand = y->name};
	if (from == NULL && qdq_feeds_alone(r, y))
		return true;
	if (from != NULL && from->op->id == QDQ_OP_Cast && qdq_in(from, 0)->type == QDQ_TYPE_FLOAT16)
		return true; /* without n the Cast might be the network's last, which stays with its rounding */
	if (y->type != QDQ_TYPE_FLOAT16 || in_float32(n))
		return false;
	if (from != NULL && rounds_without_nodes(from))
		return false;
	look_at_readers(y, &all);
	if (from == NULL)
		return !all.either;
	return !(all.float32 && y->n_outputs == 0 && in_float32(from)) && !all.rounded;
}

bool qdq_rounds_for_others(const qdq_run *r, const qdq_node *n, qdq_reason *why)
{
	for (uint32_t i = 0; i < n->n_inputs && r->options->exact; i++) {
		const qdq_value *x = qdq_op_data_input(n, i) ? qdq_in(n, i) : NULL;
		const qdq_node *from = x != NULL ? writer(x) : NULL;
		bool rounded = from == NULL || x->type != QDQ_TYPE_FLOAT16 || qdq_only_use(x) != NULL ||
			       in_float32(from) || rounds_without_nodes(from);

		for (const qdq_use *u = rounded ? NULL : x->uses; u != NULL && !rounded; u = u->next)
			rounded = in_float16(u->node);
		if (rounded)
			continue;
		*why = (qdq_reason){.code = QDQ_REASON_HALF_ROUNDING, .operand = x->name};
		return true;
	}
	return false;
}

static bool read_by_cast(const qdq_value *v)
{
	for (const qdq_use *u = v->uses; u != NULL; u = u->next)
		if (u->node->region != NULL ? read_by_cast(u->node->region->body->inputs.items[qdq_use_index(u)])
					    : u->node->op->id == QDQ_OP_Cast)
			return true;
	return false;
}

bool qdq_rounds_apart(const qdq_run *r, const qdq_node *n)
{
	for (uint32_t i = 0; i < n->n_outputs && r->options->exact; i++)
		if (n->outputs[i] != NULL && n->outputs[i]->type == QDQ_TYPE_FLOAT16 &&
		    (!in_float32(n) || read_by_cast(n->outputs[i])))
			return true;
	return false;
}

/* Does an operator with a list of inputs, as Concat has it, read v, and its result something else than Qs? */
static bool stands_in_list(const qdq_value *v)
{
	for (const qdq_use *u = v->uses; u != NULL; u = u->next)
		if (u->node->region != NULL
			? stands_in_list(u->node->region->body->inputs.items[qdq_use_index(u)])
			: strchr(u->node->op->inputs, '+') != NULL && !qdq_only_quantized(u->node->outputs[0]))
			return true;
	return false;
}

/* ONNX Runtime gives each reader a DQ of its own, behind all nodes that there are, and looks at nodes in this order. Mostly
 * that is the same as a copy in front of the reader; but of a list of inputs it looks at the first alone, so there a DQ may
 * learn of its reader what that did not ask of it. */
bool qdq_rounds_by_order(const qdq_run *r, const qdq_node *dq)
{
	qdq_params p;

	return r->options->exact && qdq_only_use(dq->outputs[0]) == NULL && qdq_params_of(dq, &p) &&
	       qdq_rounds_in_place(r, &p) && stands_in_list(dq->outputs[0]);
}

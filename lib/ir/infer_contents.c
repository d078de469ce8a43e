/* SPDX-License-Identifier: Apache-2.0
 *
 * infer_contents.c -- arithmetic on the contents of small integer tensors
 *
 * Exporters compute shapes in the graph: Shape, Gather, Mul, Concat, Reshape; Equal and Where for an Expand. Here each
 * element is a dimension, known or symbolic, so that what comes out at the end is a shape again.
 */
#include "infer.h"

/* Symbols are sizes, so only a difference can be negative. */
static bool is_size(const qdq_model *m, qdq_dim d, int depth)
{
	const qdq_dim_expr *e;

	if (d >= 0)
		return true;
	if (d == QDQ_DIM_ANY || depth > 8)
		return false;
	e = &m->dims.items[~d];
	switch (e->op) {
	case QDQ_DIM_SYMBOL:
	case QDQ_DIM_MOD:
		return true;
	case QDQ_DIM_SUB:
		return false;
	default:
		return is_size(m, e->a, depth + 1) && is_size(m, e->b, depth + 1);
	}
}

/* The sign of a - b where it is sure; false where it is not. */
static bool compare(qdq_infer *c, qdq_dim a, qdq_dim b, int *sign)
{
	int64_t x, y;

	if (a == QDQ_DIM_ANY || b == QDQ_DIM_ANY)
		return false;
	if (qdq_dim_value(c->m, a, &x) && qdq_dim_value(c->m, b, &y)) {
		*sign = (x > y) - (x < y);
		return true;
	}
	if (qdq_dim_value(c->m, b, &y) && y < 0 && is_size(c->m, a, 0)) {
		*sign = 1;
		return true;
	}
	if (qdq_dim_value(c->m, a, &x) && x < 0 && is_size(c->m, b, 0)) {
		*sign = -1;
		return true;
	}
	if (!qdq_dim_value(c->m, qdq_dim_binary(c->m, QDQ_DIM_SUB, a, b), &x))
		return false;
	*sign = (x > 0) - (x < 0);
	return true;
}

static qdq_dim divide(qdq_infer *c, qdq_dim a, qdq_dim b)
{
	int64_t x, y;

	if (a == QDQ_DIM_ANY || b == QDQ_DIM_ANY || b == 0)
		return QDQ_DIM_ANY;
	if (qdq_dim_value(c->m, a, &x) && qdq_dim_value(c->m, b, &y)) { /* towards zero */
		int64_t q = (x < 0 ? -x : x) / (y < 0 ? -y : y);

		return (x < 0) != (y < 0) ? qdq_dim_binary(c->m, QDQ_DIM_SUB, 0, q) : q;
	}
	return qdq_dim_value(c->m, b, &y) && y < 0 ? QDQ_DIM_ANY : qdq_dim_binary(c->m, QDQ_DIM_DIV, a, b);
}

static qdq_dim binary(qdq_infer *c, const qdq_node *n, qdq_dim a, qdq_dim b)
{
	qdq_op_id op = n->op->id;
	int sign = 0;
	bool sure = false;

	switch (op) {
	case QDQ_OP_Add:
	case QDQ_OP_Sum:
		return qdq_infer_binary(c, QDQ_DIM_ADD, a, b);
	case QDQ_OP_Sub:
		return qdq_infer_binary(c, QDQ_DIM_SUB, a, b);
	case QDQ_OP_Mul:
		return qdq_infer_binary(c, QDQ_DIM_MUL, a, b);
	case QDQ_OP_Div:
		return divide(c, a, b);
	case QDQ_OP_Mod:
		return b > 0 && qdq_attr_int(n, "fmod", 0) == 0 ? qdq_infer_binary(c, QDQ_DIM_MOD, a, b) : QDQ_DIM_ANY;
	case QDQ_OP_And:
		return a == 0 || b == 0 ? 0 : a == 1 && b == 1 ? 1 : QDQ_DIM_ANY;
	case QDQ_OP_Or:
		return a == 1 || b == 1 ? 1 : a == 0 && b == 0 ? 0 : QDQ_DIM_ANY;
	case QDQ_OP_Xor:
		return a >= 0 && b >= 0 ? a != b : QDQ_DIM_ANY;
	default:
		sure = compare(c, a, b, &sign);
		break;
	}
	if (!sure)
		return QDQ_DIM_ANY;
	switch (op) {
	case QDQ_OP_Max:
		return sign >= 0 ? a : b;
	case QDQ_OP_Min:
		return sign <= 0 ? a : b;
	case QDQ_OP_Equal:
		return sign == 0;
	case QDQ_OP_Greater:
		return sign > 0;
	case QDQ_OP_GreaterOrEqual:
		return sign >= 0;
	case QDQ_OP_Less:
		return sign < 0;
	case QDQ_OP_LessOrEqual:
		return sign <= 0;
	default:
		return QDQ_DIM_ANY;
	}
}

static qdq_dim unary(qdq_infer *c, const qdq_node *n, qdq_dim a)
{
	int sign;

	if (a == QDQ_DIM_ANY)
		return a;
	switch (n->op->id) {
	case QDQ_OP_Neg:
		return qdq_infer_binary(c, QDQ_DIM_SUB, 0, a);
	case QDQ_OP_Not:
		return a == 0 ? 1 : a == 1 ? 0 : QDQ_DIM_ANY;
	case QDQ_OP_Abs:
		if (!compare(c, a, 0, &sign))
			return is_size(c->m, a, 0) ? a : QDQ_DIM_ANY;
		return sign < 0 ? qdq_infer_binary(c, QDQ_DIM_SUB, 0, a) : a;
	default:
		return QDQ_DIM_ANY;
	}
}

static qdq_dim element(const qdq_shape *s, int i)
{
	return s->dim[s->rank == 1 ? 0 : i];
}

static bool is_unary(qdq_op_id id)
{
	return id == QDQ_OP_Neg || id == QDQ_OP_Not || id == QDQ_OP_Abs;
}

void qdq_infer_contents_elementwise(qdq_infer *c, qdq_node *n)
{
	const qdq_shape *in[8];
	qdq_dims out = {.rank = 1};

	if (n->n_inputs == 0 || n->n_inputs > QDQ_COUNTOF(in))
		return;
	for (uint32_t i = 0; i < n->n_inputs; i++) {
		in[i] = qdq_infer_contents(c, n->inputs[i].value);
		if (in[i] == NULL || in[i]->rank > QDQ_INFER_RANK || in[i]->rank == 0)
			return;
		if (in[i]->rank != 1 && out.rank != 1 && in[i]->rank != out.rank)
			return;
		if (in[i]->rank != 1)
			out.rank = in[i]->rank;
	}
	if (n->op->id != QDQ_OP_Where && n->n_inputs == 1 && !is_unary(n->op->id))
		return;
	for (int k = 0; k < out.rank; k++) {
		qdq_dim d = element(in[0], k);

		if (n->op->id == QDQ_OP_Where && n->n_inputs == 3) {
			qdq_dim yes = element(in[1], k), no = element(in[2], k);
			d = yes == no || d == 1 ? yes : d == 0 ? no : QDQ_DIM_ANY;
		} else if (n->n_inputs == 1) {
			d = unary(c, n, d);
		}
		for (uint32_t i = 1; i < n->n_inputs && n->op->id != QDQ_OP_Where; i++)
			d = binary(c, n, d, element(in[i], k));
		out.d[k] = d;
	}
	qdq_infer_put_contents(c, n, 0, &out);
}

/* A list is reduced to one element. */
void qdq_infer_contents_reduce(qdq_infer *c, qdq_node *n)
{
	const qdq_shape *in = qdq_infer_contents(c, qdq_in(n, 0));
	qdq_dims out = {.rank = 1};
	int sign;

	if (in == NULL || in->rank == 0 ||
	    (qdq_out(n, 0)->shape != NULL && qdq_shape_count(qdq_out(n, 0)->shape, NULL) != 1))
		return;
	out.d[0] = in->dim[0];
	for (int i = 1; i < in->rank; i++) {
		switch (n->op->id) {
		case QDQ_OP_ReduceProd:
			out.d[0] = qdq_infer_mul(c, out.d[0], in->dim[i]);
			break;
		case QDQ_OP_ReduceSum:
			out.d[0] = qdq_infer_binary(c, QDQ_DIM_ADD, out.d[0], in->dim[i]);
			break;
		case QDQ_OP_ReduceMax:
		case QDQ_OP_ReduceMin:
			if (!compare(c, out.d[0], in->dim[i], &sign))
				return;
			if ((sign < 0) == (n->op->id == QDQ_OP_ReduceMax))
				out.d[0] = in->dim[i];
			break;
		default:
			return;
		}
	}
	qdq_infer_put_contents(c, n, 0, &out);
}

void qdq_infer_contents_same(qdq_infer *c, qdq_node *n)
{
	const qdq_shape *in = qdq_infer_contents(c, qdq_in(n, 0));
	qdq_dims out;

	if (in != NULL && qdq_infer_copy(in, &out))
		qdq_infer_put_contents(c, n, 0, &out);
}

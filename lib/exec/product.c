/* SPDX-License-Identifier: Apache-2.0
 *
 * product.c -- float contractions outside fused operators: their geometry, for cpu/product.c
 */
#include "lower.h"

static bool is_float(const qdq_value *v)
{
	return v != NULL && v->type == QDQ_TYPE_FLOAT && qdq_shape_known(v->shape) &&
	       qdq_shape_count(v->shape, NULL) > 0 && (v->tensor == NULL || v->tensor->data != NULL);
}

/* ---- matrices ---- */

/* Where the factor of each product begins: its batch dimensions are broadcast to those of y. NULL: they do not fit. */
static const int64_t *factor_places(qdq_plan *p, const int64_t *dims, int32_t rank, const int64_t *batch, int32_t ranks,
				    int64_t count, int64_t size)
{
	int64_t *at = qdq_array(p->arena, int64_t, (uint64_t)count);

	for (int32_t d = 0; d < rank; d++)
		if (rank > ranks || (dims[d] != 1 && dims[d] != batch[d + ranks - rank]))
			return NULL;
	for (int64_t i = 0; i < count; i++) {
		int64_t rest = i, stride = 1;

		for (int32_t d = ranks - 1; d >= 0; d--) {
			int64_t index = rest % batch[d], own = d - (ranks - rank) >= 0 ? dims[d - (ranks - rank)] : 1;

			rest /= batch[d];
			at[i] += own == 1 ? 0 : index * stride * size;
			stride *= own;
		}
	}
	return at;
}

/* A list is a row on the left and a column on the right. */
static bool matmul(qdq_plan *p, const qdq_node *n, qdq_product *out)
{
	const qdq_shape *a = qdq_in(n, 0)->shape, *b = qdq_in(n, 1)->shape, *y = n->outputs[0]->shape;
	int32_t ranks = y->rank - (a->rank > 1) - (b->rank > 1);

	if (a->rank < 1 || b->rank < 1 || ranks < 0)
		return false;
	*out = (qdq_product){.m = a->rank > 1 ? a->dim[a->rank - 2] : 1,
			     .k = a->dim[a->rank - 1],
			     .n = b->rank > 1 ? b->dim[b->rank - 1] : 1,
			     .count = 1,
			     .alpha = 1};
	if (b->dim[b->rank > 1 ? b->rank - 2 : 0] != out->k)
		return false;
	for (int32_t i = 0; i < ranks; i++)
		out->count *= y->dim[i];
	out->a_at = factor_places(p, a->dim, a->rank > 2 ? a->rank - 2 : 0, y->dim, ranks, out->count, out->m * out->k);
	out->b_at = factor_places(p, b->dim, b->rank > 2 ? b->rank - 2 : 0, y->dim, ranks, out->count, out->k * out->n);
	return out->a_at != NULL && out->b_at != NULL && out->count * out->m * out->n == qdq_shape_count(y, NULL);
}

/* Is the term that is added a number, a row, a column, or as large as the result? */
static bool fits_matrix(const qdq_shape *add, const qdq_product *p)
{
	return (add->rank < 1 || add->dim[add->rank - 1] == 1 || add->dim[add->rank - 1] == p->n) &&
	       (add->rank < 2 || add->dim[0] == 1 || add->dim[0] == p->m);
}

static bool gemm(qdq_plan *p, const qdq_node *n, qdq_product *out)
{
	const qdq_shape *a = qdq_in(n, 0)->shape, *b = qdq_in(n, 1)->shape;
	const qdq_shape *add = qdq_in(n, 2) != NULL ? qdq_in(n, 2)->shape : NULL, *y = n->outputs[0]->shape;
	bool turn_a = qdq_attr_int(n, "transA", 0) != 0, turn_b = qdq_attr_int(n, "transB", 0) != 0;

	if (a->rank != 2 || b->rank != 2 || a->dim[turn_a ? 0 : 1] != b->dim[turn_b ? 1 : 0] ||
	    (add != NULL && add->rank > 2))
		return false;
	*out = (qdq_product){.m = a->dim[turn_a ? 1 : 0],
			     .k = a->dim[turn_a ? 0 : 1],
			     .n = b->dim[turn_b ? 0 : 1],
			     .count = 1,
			     .turn_a = turn_a,
			     .turn_b = turn_b,
			     .alpha = qdq_attr_float(n, "alpha", 1),
			     .beta = qdq_attr_float(n, "beta", 1)};
	if (out->m * out->n != qdq_shape_count(y, NULL) || (add != NULL && !fits_matrix(add, out)))
		return false;
	out->a_at = out->b_at = qdq_array(p->arena, int64_t, 1);
	if (add != NULL && add->rank >= 1) {
		out->add_column = add->dim[add->rank - 1] != 1;
		out->add_row = add->rank == 2 && add->dim[0] != 1 ? add->dim[1] : 0;
	}
	return true;
}

/* ---- convolutions ---- */

static bool conv(const qdq_node *n, qdq_product *out)
{
	const qdq_shape *x = qdq_in(n, 0)->shape, *w = qdq_in(n, 1)->shape, *y = n->outputs[0]->shape;
	bool transposed = qdq_is(n, QDQ_OP_ConvTranspose);
	int64_t groups = qdq_attr_int(n, "group", 1);
	qdq_conv *g = &out->g;

	if (x->rank < 3 || x->rank > 4 || w->rank != x->rank || y->rank != x->rank || groups < 1 ||
	    x->dim[1] % groups != 0 || y->dim[0] != x->dim[0] ||
	    (qdq_in(n, 2) != NULL && qdq_shape_count(qdq_in(n, 2)->shape, NULL) != y->dim[1]))
		return false;
	*out = (qdq_product){.kind = transposed ? QDQ_PRODUCT_TRANSPOSED : QDQ_PRODUCT_CONV};
	if (!qdq_conv_window(n, x, y, w->dim + 2, g))
		return false;
	g->c = x->dim[1];
	g->k = y->dim[1];
	g->groups = groups;
	if (transposed)
		return w->dim[0] == g->c && w->dim[1] * groups == g->k;
	return g->k % groups == 0 && w->dim[0] == g->k && w->dim[1] * groups == g->c;
}

/* ---- all of them ---- */

bool qdq_lower_product(qdq_plan *p, const qdq_node *n, qdq_product *out)
{
	if (n->region != NULL || qdq_out(n, 0) == NULL || !is_float(n->outputs[0]) || !is_float(qdq_in(n, 0)) ||
	    !is_float(qdq_in(n, 1)) || (qdq_in(n, 2) != NULL && !is_float(qdq_in(n, 2))))
		return false;
	switch (n->op->id) {
	case QDQ_OP_Conv:
	case QDQ_OP_ConvTranspose:
		return conv(n, out) && qdq_product_fits(out);
	case QDQ_OP_Gemm:
		return gemm(p, n, out) && qdq_product_fits(out);
	case QDQ_OP_MatMul:
		return matmul(p, n, out) && qdq_product_fits(out);
	default:
		return false;
	}
}

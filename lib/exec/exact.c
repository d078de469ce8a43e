/* SPDX-License-Identifier: Apache-2.0
 *
 * exact.c -- what a fused operator's Q/DQ nodes mean as real numbers, by double
 *
 * DQ(q) = (q - zero) * scale has at most 9 + 24 bits, so it is exact here; a contraction's products and sums, and what
 * pointwise operators make of them, are right to about 1e-15 of themselves.
 */
#include "exact.h"

#include "../eval/eval.h"

typedef struct evaluation {
	qdq_model *m;
	qdq_arena *arena;
	const qdq_tensor *const *values;
	const qdq_tensor **exact;
} evaluation;

static const qdq_tensor *known(const qdq_tensor *const *values, const qdq_value *v)
{
	return v == NULL ? NULL : values[v->id] != NULL ? values[v->id] : v->tensor;
}

static double *new_doubles(const evaluation *e, const qdq_tensor *like, qdq_tensor **out)
{
	double *data = qdq_array(e->arena, double, like->count + 1);
	qdq_tensor *t = qdq_array(e->arena, qdq_tensor, 1);

	*t = (qdq_tensor){.type = QDQ_TYPE_DOUBLE,
			  .rank = like->rank,
			  .dims = like->dims,
			  .count = like->count,
			  .data = data,
			  .size = like->count * sizeof *data};
	*out = t;
	return data;
}

/* Floats as doubles, everything else as it is. */
static const qdq_tensor *widened(const evaluation *e, const qdq_value *v)
{
	const qdq_tensor *t = v != NULL && e->exact[v->id] != NULL ? e->exact[v->id] : known(e->values, v);
	qdq_tensor *wide;

	if (t == NULL || !qdq_type_get(t->type)->is_float || t->type == QDQ_TYPE_DOUBLE)
		return t;
	double *to = new_doubles(e, t, &wide);
	for (uint64_t i = 0; i < t->count; i++)
		if (!qdq_tensor_real(t, i, &to[i]))
			return t;
	return wide;
}

/* Which of `count` parameters element i of t has: one for all, or one for each index of the axis. -1: neither. */
static int64_t parameter_of(const qdq_tensor *t, uint64_t count, int64_t axis, uint64_t i)
{
	axis += axis < 0 ? t->rank : 0;
	if (count == 1)
		return 0;
	if (axis < 0 || axis >= t->rank || (uint64_t)t->dims[axis] != count)
		return -1;
	for (int32_t d = (int32_t)axis + 1; d < t->rank; d++)
		i /= (uint64_t)t->dims[d];
	return (int64_t)(i % count);
}

static const qdq_tensor *dequantized(const evaluation *e, const qdq_node *n)
{
	const qdq_tensor *q = known(e->values, qdq_in(n, 0)), *scale = known(e->values, qdq_in(n, 1));
	const qdq_tensor *zero = known(e->values, qdq_in(n, 2));
	int64_t axis = qdq_attr_int(n, "axis", 1);
	qdq_tensor *out;

	if (q == NULL || scale == NULL)
		return NULL;
	double *to = new_doubles(e, q, &out);
	for (uint64_t i = 0; i < q->count; i++) {
		int64_t p = parameter_of(q, scale->count, axis, i), code, low = 0;
		double step;

		if (p < 0 || !qdq_tensor_int(q, i, &code) || !qdq_tensor_real(scale, (uint64_t)p, &step) ||
		    (zero != NULL && !qdq_tensor_int(zero, (uint64_t)p, &low)))
			return NULL;
		to[i] = (double)(code - low) * step;
	}
	return out;
}

static void evaluate_node(const evaluation *e, const qdq_node *n)
{
	const qdq_tensor **in = qdq_array(e->arena, const qdq_tensor *, n->n_inputs + 1);
	const qdq_tensor **out = qdq_array(e->arena, const qdq_tensor *, n->n_outputs);

	for (uint32_t i = 0; i < n->n_inputs; i++) {
		in[i] = widened(e, qdq_in(n, i));
		if (qdq_in(n, i) != NULL && in[i] == NULL)
			return;
	}
	if (qdq_eval_node(e->m, e->arena, n, in, out, 0) != QDQ_EVAL_OK)
		return;
	for (uint32_t i = 0; i < n->n_outputs; i++)
		if (n->outputs[i] != NULL && qdq_type_get(out[i]->type)->is_float) /* codes are those of `values` */
			e->exact[n->outputs[i]->id] = out[i];
}

void qdq_exact_values(qdq_model *m, qdq_arena *a, const qdq_graph *body, const qdq_tensor *const *values,
		      const qdq_tensor **exact)
{
	evaluation e = {.m = m, .arena = a, .values = values, .exact = exact};

	for (const qdq_node *n = body->first; n != NULL; n = n->next) {
		if (qdq_is_dequantizer(n))
			exact[n->outputs[0]->id] = dequantized(&e, n);
		else if (!qdq_is_quantizer(n))
			evaluate_node(&e, n);
	}
}

bool qdq_exact_steps(const qdq_value *codes, const qdq_tensor *const *values, const qdq_tensor *const *exact,
		     uint64_t index, double *out)
{
	const qdq_node *n = codes->def;
	const qdq_value *x = n != NULL && qdq_is_quantizer(n) ? qdq_in(n, 0) : NULL;
	const qdq_tensor *t = x == NULL ? NULL : exact[x->id] != NULL ? exact[x->id] : known(values, x);
	const qdq_tensor *scale = x == NULL ? NULL : known(values, qdq_in(n, 1));
	double real, step;
	int64_t p = t == NULL || scale == NULL || index >= t->count
			? -1
			: parameter_of(t, scale->count, qdq_attr_int(n, "axis", 1), index);

	if (p < 0 || !qdq_tensor_real(t, index, &real) || !qdq_tensor_real(scale, (uint64_t)p, &step))
		return false;
	*out = real / step;
	return true;
}

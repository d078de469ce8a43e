/* SPDX-License-Identifier: Apache-2.0
 *
 * infer_make.c -- inference of what makes tensors of its own: constants, shapes, ranges, random numbers, indices
 */
#include <math.h>

#include "infer.h"

static qdq_type type_attr(const qdq_node *n, const char *name, qdq_type absent)
{
	int64_t type = qdq_attr_int(n, name, absent);

	return type > 0 && type <= QDQ_TYPE_INT2 ? (qdq_type)type : QDQ_TYPE_NONE;
}

/* ---- constants ---- */

static void put_tensor(qdq_infer *c, qdq_node *n, const qdq_tensor *t)
{
	qdq_dims dims = {.rank = -1};

	if (t->rank <= QDQ_INFER_RANK) {
		dims.rank = t->rank;
		for (int i = 0; i < t->rank; i++)
			dims.d[i] = t->dims[i];
	}
	qdq_infer_put(c, n, 0, t->type, &dims);
	if (qdq_out(n, 0) != NULL)
		qdq_infer_contents(c, n->outputs[0]);
}

static void put_ints(qdq_infer *c, qdq_node *n, const int64_t *ints, size_t count)
{
	qdq_dims contents = {.rank = (int)count};

	if (count > QDQ_INFER_RANK)
		return;
	for (size_t i = 0; i < count; i++)
		contents.d[i] =
		    ints[i] >= 0 ? ints[i] : qdq_infer_add(c, 0, ints[i] == INT64_MIN ? -INT64_MAX : ints[i]);
	qdq_infer_put_contents(c, n, 0, &contents);
}

void qdq_infer_constant(qdq_infer *c, qdq_node *n)
{
	const qdq_attr *a = n->n_attrs != 0 ? &n->attrs[0] : NULL;
	qdq_dims list = {.rank = 1}, scalar = {0};

	if (a == NULL)
		return;
	list.d[0] = (qdq_dim)a->count;
	switch (a->type) {
	case QDQ_ATTR_TENSOR:
		put_tensor(c, n, a->u.t);
		break;
	case QDQ_ATTR_FLOAT:
		qdq_infer_put(c, n, 0, QDQ_TYPE_FLOAT, &scalar);
		break;
	case QDQ_ATTR_STRING:
		qdq_infer_put(c, n, 0, QDQ_TYPE_STRING, &scalar);
		break;
	case QDQ_ATTR_FLOATS:
		qdq_infer_put(c, n, 0, QDQ_TYPE_FLOAT, &list);
		break;
	case QDQ_ATTR_STRINGS:
		qdq_infer_put(c, n, 0, QDQ_TYPE_STRING, &list);
		break;
	case QDQ_ATTR_INT:
		qdq_infer_put(c, n, 0, QDQ_TYPE_INT64, &scalar);
		put_ints(c, n, &a->u.i, 1);
		break;
	case QDQ_ATTR_INTS:
		qdq_infer_put(c, n, 0, QDQ_TYPE_INT64, &list);
		put_ints(c, n, a->u.ints, a->count);
		break;
	default:
		break; /* a sparse tensor */
	}
}

/* Dimensions that a list in input i holds; where only its length is known, so many unknown ones. */
static void dims_from_list(qdq_infer *c, qdq_node *n, uint32_t i, qdq_dims *out)
{
	const qdq_shape *contents = qdq_infer_contents(c, qdq_in(n, i)), *shape = qdq_infer_shape(n, i);

	if (contents != NULL && qdq_infer_copy(contents, out)) {
		for (int k = 0; k < out->rank; k++)
			out->d[k] = qdq_infer_size(c, out->d[k]);
		return;
	}
	out->rank = -1;
	if (shape == NULL || shape->rank != 1 || shape->dim[0] < 0 || shape->dim[0] > QDQ_INFER_RANK)
		return;
	out->rank = (int)shape->dim[0];
	for (int k = 0; k < out->rank; k++)
		out->d[k] = QDQ_DIM_ANY;
}

void qdq_infer_constant_of_shape(qdq_infer *c, qdq_node *n)
{
	const qdq_attr *a = qdq_attr_find(n, "value");
	const qdq_tensor *t = a != NULL && a->type == QDQ_ATTR_TENSOR ? a->u.t : NULL;
	qdq_dims dims, contents;
	int64_t value;

	dims_from_list(c, n, 0, &dims);
	qdq_infer_put(c, n, 0, t != NULL ? t->type : QDQ_TYPE_FLOAT, &dims);
	if (t == NULL || dims.rank < 0 || dims.rank > 1 ||
	    (dims.rank == 1 && (dims.d[0] < 0 || dims.d[0] > QDQ_INFER_RANK)) ||
	    (t->type != QDQ_TYPE_INT64 && t->type != QDQ_TYPE_INT32) || !qdq_tensor_int(t, 0, &value))
		return;
	contents.rank = dims.rank == 0 ? 1 : (int)dims.d[0];
	for (int k = 0; k < contents.rank; k++)
		contents.d[k] = value >= 0 ? value : qdq_infer_add(c, 0, value == INT64_MIN ? -INT64_MAX : value);
	qdq_infer_put_contents(c, n, 0, &contents);
}

/* ---- shapes ---- */

/* A bound of a slice, counted from the end if negative, moved into the range. */
static int clamp(int64_t at, int rank)
{
	if (at < 0)
		at += rank;
	return at < 0 ? 0 : at > rank ? rank : (int)at;
}

void qdq_infer_shape_of(qdq_infer *c, qdq_node *n)
{
	qdq_dims list = {.rank = 1}, dims;
	int start, end;

	list.d[0] = QDQ_DIM_ANY;
	if (!qdq_infer_dims(n, 0, &dims)) {
		qdq_infer_put(c, n, 0, QDQ_TYPE_INT64, &list);
		return;
	}
	start = clamp(qdq_attr_int(n, "start", 0), dims.rank);
	end = clamp(qdq_attr_int(n, "end", dims.rank), dims.rank);
	dims.rank = end > start ? end - start : 0;
	memmove(&dims.d[0], &dims.d[start], (size_t)dims.rank * sizeof *dims.d);
	list.d[0] = dims.rank;
	qdq_infer_put(c, n, 0, QDQ_TYPE_INT64, &list);
	qdq_infer_put_contents(c, n, 0, &dims);
}

void qdq_infer_size_of(qdq_infer *c, qdq_node *n)
{
	qdq_dims dims, scalar = {0}, contents = {.rank = 1};

	qdq_infer_put(c, n, 0, QDQ_TYPE_INT64, &scalar);
	if (!qdq_infer_dims(n, 0, &dims))
		return;
	contents.d[0] = 1;
	for (int i = 0; i < dims.rank; i++)
		contents.d[0] = qdq_infer_mul(c, contents.d[0], dims.d[i]);
	qdq_infer_put_contents(c, n, 0, &contents);
}

/* ---- ranges ---- */

/* The number that v is, if it is a constant of one element. */
static bool one_real(const qdq_value *v, double *out)
{
	const qdq_node *constant = qdq_def(v, QDQ_OP_Constant);
	const qdq_attr *a = constant != NULL ? qdq_attr_find(constant, "value_float") : NULL;
	const qdq_tensor *t;

	if (a != NULL && a->type == QDQ_ATTR_FLOAT && *a->ref == '\0') {
		*out = (double)a->u.f;
		return true;
	}
	t = qdq_infer_tensor(v);
	return t != NULL && t->count == 1 && qdq_tensor_real(t, 0, out);
}

static bool range_of_reals(const qdq_node *n, int64_t *count)
{
	double at[3], length;

	for (uint32_t i = 0; i < 3; i++)
		if (!one_real(qdq_in(n, i), &at[i]))
			return false;
	length = ceil((at[1] - at[0]) / at[2]);
	if (!(length < 9e15)) /* also not a number */
		return false;
	*count = length > 0 ? (int64_t)length : 0;
	return true;
}

static qdq_dim one_element(qdq_infer *c, qdq_node *n, uint32_t i)
{
	const qdq_shape *s = qdq_infer_contents(c, qdq_in(n, i));

	return s != NULL && s->rank == 1 ? s->dim[0] : QDQ_DIM_ANY;
}

/* ceil((limit - start) / delta), which is limit for the usual Range(0, limit, 1). */
static qdq_dim range_length(qdq_infer *c, qdq_dim start, qdq_dim limit, qdq_dim delta)
{
	int64_t by, known;
	qdq_dim length;

	if (delta == QDQ_DIM_ANY || !qdq_dim_value(c->m, delta, &by) || by == 0)
		return QDQ_DIM_ANY;
	length =
	    by > 0 ? qdq_infer_binary(c, QDQ_DIM_SUB, limit, start) : qdq_infer_binary(c, QDQ_DIM_SUB, start, limit);
	by = by < 0 ? -by : by;
	length = qdq_infer_div(c, qdq_infer_add(c, length, by - 1), by);
	if (length != QDQ_DIM_ANY && qdq_dim_value(c->m, length, &known) && known < 0)
		return 0;
	return qdq_infer_size(c, length);
}

void qdq_infer_range(qdq_infer *c, qdq_node *n)
{
	qdq_dim start = one_element(c, n, 0), delta = one_element(c, n, 2);
	qdq_dims list = {.rank = 1}, contents;
	int64_t count;

	if (range_of_reals(n, &count))
		list.d[0] = count;
	else
		list.d[0] = range_length(c, start, one_element(c, n, 1), delta);
	qdq_infer_put(c, n, 0, qdq_infer_type(n, 0), &list);
	if (list.d[0] < 0 || list.d[0] > QDQ_INFER_RANK || start == QDQ_DIM_ANY)
		return;
	contents.rank = (int)list.d[0];
	for (int i = 0; i < contents.rank; i++)
		contents.d[i] = qdq_infer_binary(c, QDQ_DIM_ADD, start, qdq_infer_mul(c, delta, i));
	qdq_infer_put_contents(c, n, 0, &contents);
}

/* ---- random numbers and the like ---- */

static void put_random(qdq_infer *c, qdq_node *n)
{
	qdq_dims dims = {.rank = -1};
	size_t count;
	const int64_t *shape = qdq_attr_ints(n, "shape", &count);

	if (qdq_attr_find(n, "shape") != NULL && count <= QDQ_INFER_RANK) {
		dims.rank = (int)count;
		for (size_t i = 0; i < count; i++)
			dims.d[i] = shape[i] >= 0 ? shape[i] : QDQ_DIM_ANY;
	}
	qdq_infer_put(c, n, 0, type_attr(n, "dtype", QDQ_TYPE_FLOAT), &dims);
}

void qdq_infer_random_normal(qdq_infer *c, qdq_node *n)
{
	put_random(c, n);
}

void qdq_infer_random_uniform(qdq_infer *c, qdq_node *n)
{
	put_random(c, n);
}

static void put_like(qdq_infer *c, qdq_node *n)
{
	qdq_infer_put_shape(c, n, 0, type_attr(n, "dtype", qdq_infer_type(n, 0)), qdq_infer_shape(n, 0));
}

void qdq_infer_random_normal_like(qdq_infer *c, qdq_node *n)
{
	put_like(c, n);
}

void qdq_infer_random_uniform_like(qdq_infer *c, qdq_node *n)
{
	put_like(c, n);
}

void qdq_infer_eye_like(qdq_infer *c, qdq_node *n)
{
	put_like(c, n);
}

/* ---- indices ---- */

void qdq_infer_one_hot(qdq_infer *c, qdq_node *n)
{
	const qdq_tensor *t = qdq_infer_tensor(qdq_in(n, 1));
	qdq_dim depth = one_element(c, n, 1);
	qdq_dims dims;
	double real;
	int axis;

	if (depth == QDQ_DIM_ANY && t != NULL && t->count == 1 && !qdq_tensor_int(t, 0, &depth))
		depth = qdq_tensor_real(t, 0, &real) && real >= 0 && real < 9e15 ? (int64_t)real : QDQ_DIM_ANY;
	if (!qdq_infer_dims(n, 0, &dims) || dims.rank == QDQ_INFER_RANK ||
	    !qdq_infer_axis(qdq_attr_int(n, "axis", -1), dims.rank + 1, &axis)) {
		qdq_infer_put(c, n, 0, qdq_infer_type(n, 2), NULL);
		return;
	}
	memmove(&dims.d[axis + 1], &dims.d[axis], (size_t)(dims.rank - axis) * sizeof *dims.d);
	dims.d[axis] = qdq_infer_size(c, depth);
	dims.rank++;
	qdq_infer_put(c, n, 0, qdq_infer_type(n, 2), &dims);
}

void qdq_infer_non_zero(qdq_infer *c, qdq_node *n)
{
	const qdq_shape *in = qdq_infer_shape(n, 0);
	qdq_dims dims = {.rank = 2};

	dims.d[0] = in == NULL ? QDQ_DIM_ANY : in->rank;
	dims.d[1] = QDQ_DIM_ANY;
	qdq_infer_put(c, n, 0, QDQ_TYPE_INT64, &dims);
}

void qdq_infer_unique(qdq_infer *c, qdq_node *n)
{
	const qdq_attr *a = qdq_attr_find(n, "axis");
	qdq_dims list = {.rank = 1}, dims;
	int axis;

	list.d[0] = QDQ_DIM_ANY;
	if (a == NULL)
		dims = list;
	else if (qdq_infer_dims(n, 0, &dims) && qdq_infer_axis(a->u.i, dims.rank, &axis))
		dims.d[axis] = QDQ_DIM_ANY;
	else
		dims.rank = -1;
	qdq_infer_put(c, n, 0, qdq_infer_type(n, 0), &dims);
	for (uint32_t i = 1; i < n->n_outputs; i++)
		qdq_infer_put(c, n, i, QDQ_TYPE_INT64, &list);
}

void qdq_infer_non_max_suppression(qdq_infer *c, qdq_node *n)
{
	qdq_dims dims = {.rank = 2};

	dims.d[0] = QDQ_DIM_ANY;
	dims.d[1] = 3;
	qdq_infer_put(c, n, 0, QDQ_TYPE_INT64, &dims);
}

void qdq_infer_top_k(qdq_infer *c, qdq_node *n)
{
	qdq_dims dims;
	int axis;

	if (qdq_infer_dims(n, 0, &dims) && qdq_infer_axis(qdq_attr_int(n, "axis", -1), dims.rank, &axis)) {
		qdq_dim k = qdq_in(n, 1) != NULL ? one_element(c, n, 1) : qdq_attr_int(n, "k", QDQ_DIM_ANY);

		dims.d[axis] = qdq_infer_size(c, k);
	} else {
		dims.rank = -1;
	}
	qdq_infer_put(c, n, 0, qdq_infer_type(n, 0), &dims);
	qdq_infer_put(c, n, 1, QDQ_TYPE_INT64, &dims);
}

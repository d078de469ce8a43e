/* SPDX-License-Identifier: Apache-2.0
 *
 * index.c -- operators whose elements are found by other elements, or made from nothing: Gather, Scatter, OneHot, Range
 * …
 *
 * An index outside its dimension makes a kernel decline.
 */
#include <math.h>

#include "kernel.h"

/* Index i of a dimension, counted from the end where it is negative; false where it is outside. */
static bool in_range(int64_t *i, int64_t dim)
{
	if (*i < 0)
		*i += dim;
	return *i >= 0 && *i < dim;
}

bool qdq_eval_gather(qdq_eval *e)
{
	const qdq_tensor *x = qdq_eval_in(e, 0), *where = qdq_eval_in(e, 1);
	int64_t dims[2 * QDQ_EVAL_RANK], count;
	const int64_t *indices;
	qdq_cells from, to;
	int axis, rank = 0;

	if (x == NULL || !qdq_eval_ints(e, where, &indices, &count) ||
	    !qdq_eval_axis(qdq_attr_int(e->n, "axis", 0), x->rank, &axis))
		return false;
	for (int i = 0; i < axis; i++)
		dims[rank++] = x->dims[i];
	for (int i = 0; i < where->rank; i++)
		dims[rank++] = where->dims[i];
	for (int i = axis + 1; i < x->rank; i++)
		dims[rank++] = x->dims[i];
	int64_t outer = qdq_product(x->dims, 0, axis), inner = qdq_product(x->dims, axis + 1, x->rank), at = 0;
	for (int64_t k = 0; k < count; k++) {
		int64_t i = indices[k];
		if (!in_range(&i, x->dims[axis]))
			return false;
	}
	if (!qdq_cells_out(e, 0, x->type, rank, dims, &to) || !qdq_cells_in(e, x, &from))
		return false;
	for (int64_t o = 0; o < outer; o++) {
		for (int64_t k = 0; k < count; k++, at += inner) {
			int64_t i = indices[k] < 0 ? indices[k] + x->dims[axis] : indices[k];
			qdq_cell_copy(&to, at, &from, (o * x->dims[axis] + i) * inner, inner);
		}
	}
	return true;
}

/* Where element `at` of a tensor with these dimensions lies in x, if its index on `axis` is replaced by i. */
static int64_t element_offset(const qdq_tensor *t, int64_t at, const int64_t *strides, int axis, int64_t i)
{
	int64_t offset = 0;

	for (int k = t->rank - 1; k >= 0; k--) {
		offset += (k == axis ? i : at % t->dims[k]) * strides[k];
		at /= t->dims[k];
	}
	return offset;
}

/* Are the dimensions of `t` (but for axis) at most those of x? */
static bool fits_inside(const qdq_tensor *t, const qdq_tensor *x, int axis)
{
	if (t->rank != x->rank)
		return false;
	for (int i = 0; i < x->rank; i++)
		if (i != axis && t->dims[i] > x->dims[i])
			return false;
	return true;
}

bool qdq_eval_gather_elements(qdq_eval *e)
{
	const qdq_tensor *x = qdq_eval_in(e, 0), *where = qdq_eval_in(e, 1);
	int64_t strides[QDQ_EVAL_RANK], count;
	const int64_t *indices;
	qdq_cells from, to;
	int axis;

	if (x == NULL || !qdq_eval_ints(e, where, &indices, &count) ||
	    !qdq_eval_axis(qdq_attr_int(e->n, "axis", 0), x->rank, &axis) || !fits_inside(where, x, axis))
		return false;
	if (!qdq_cells_out(e, 0, x->type, where->rank, where->dims, &to) || !qdq_cells_in(e, x, &from))
		return false;
	qdq_strides(x->rank, x->dims, strides);
	for (int64_t at = 0; at < count; at++) {
		int64_t i = indices[at];
		if (!in_range(&i, x->dims[axis]))
			return false;
		qdq_cell_copy(&to, at, &from, element_offset(where, at, strides, axis, i), 1);
	}
	return true;
}

/* Offset of the slice that a tuple of `depth` indices names in x, whose tuple starts at axis `first`. */
static bool tuple_offset(const qdq_tensor *x, int first, const int64_t *tuple, int depth, int64_t *out)
{
	*out = 0;
	for (int k = 0; k < depth; k++) {
		int64_t i = tuple[k];
		if (!in_range(&i, x->dims[first + k]))
			return false;
		*out = *out * x->dims[first + k] + i;
	}
	*out *= qdq_product(x->dims, first + depth, x->rank);
	return true;
}

bool qdq_eval_gather_nd(qdq_eval *e)
{
	const qdq_tensor *x = qdq_eval_in(e, 0), *where = qdq_eval_in(e, 1);
	int64_t dims[2 * QDQ_EVAL_RANK], count, batch = qdq_attr_int(e->n, "batch_dims", 0);
	const int64_t *indices;
	qdq_cells from, to;
	int rank = 0;

	if (x == NULL || !qdq_eval_ints(e, where, &indices, &count) || where->rank < 1 || batch < 0 ||
	    batch >= where->rank || batch > x->rank)
		return false;
	int64_t depth = where->dims[where->rank - 1];
	if (depth < 0 || depth > x->rank - batch)
		return false;
	for (int i = 0; i < where->rank - 1; i++) {
		if (i < batch && where->dims[i] != x->dims[i])
			return false;
		dims[rank++] = where->dims[i];
	}
	for (int i = (int)(batch + depth); i < x->rank; i++)
		dims[rank++] = x->dims[i];
	if (!qdq_cells_out(e, 0, x->type, rank, dims, &to) || !qdq_cells_in(e, x, &from))
		return false;
	int64_t slice = qdq_product(x->dims, (int)(batch + depth), x->rank);
	int64_t batches = qdq_product(x->dims, 0, (int)batch), whole = qdq_product(x->dims, (int)batch, x->rank);
	int64_t tuples = qdq_product(where->dims, (int)batch, where->rank - 1), at = 0;
	for (int64_t b = 0; b < batches; b++) {
		for (int64_t k = 0; k < tuples; k++, at++) {
			int64_t offset;
			if (!tuple_offset(x, (int)batch, indices + at * depth, (int)depth, &offset))
				return false;
			qdq_cell_copy(&to, at * slice, &from, b * whole + offset, slice);
		}
	}
	return true;
}

/* ---- Scatter ---- */

typedef enum reduction { REDUCE_NONE, REDUCE_ADD, REDUCE_MUL, REDUCE_MAX, REDUCE_MIN, REDUCE_UNKNOWN } reduction;

static reduction reduction_of(const qdq_node *n)
{
	static const char *const names[] = {"none", "add", "mul", "max", "min"};
	int i = 0;

	while (i < REDUCE_UNKNOWN && !qdq_attr_string_is(n, "reduction", "none", names[i]))
		i++;
	return (reduction)i;
}

static double reduce_real(reduction how, double a, double b)
{
	switch (how) {
	case REDUCE_ADD:
		return a + b;
	case REDUCE_MUL:
		return a * b;
	case REDUCE_MAX:
		return isnan(a) || a > b ? a : b;
	default:
		return isnan(a) || a < b ? a : b;
	}
}

static int64_t reduce_integer(reduction how, int64_t a, int64_t b, bool is_unsigned)
{
	int64_t flip = is_unsigned ? INT64_MIN : 0;
	bool less = (a ^ flip) < (b ^ flip);

	switch (how) {
	case REDUCE_ADD:
		return (int64_t)((uint64_t)a + (uint64_t)b);
	case REDUCE_MUL:
		return (int64_t)((uint64_t)a * (uint64_t)b);
	case REDUCE_MAX:
		return less ? b : a;
	default:
		return less ? a : b;
	}
}

/* to[at …] = to[at …] reduced with n elements of the updates. Only without reduction may the type be any. */
static void scatter(reduction how, qdq_type type, const qdq_cells *to, int64_t at, const qdq_cells *from,
		    int64_t from_at, int64_t n)
{
	qdq_chunk a, b;

	if (how == REDUCE_NONE) {
		qdq_cell_copy(to, at, from, from_at, n);
		return;
	}
	for (int64_t i = 0; i < n; i++) {
		qdq_load(&a, type, to->data, at + i, 1, 1);
		qdq_load(&b, type, from->data, from_at + i, 1, 1);
		if (qdq_wide_of(type) == QDQ_WIDE_INT)
			a.i[0] = reduce_integer(how, a.i[0], b.i[0], !qdq_type_get(type)->is_signed);
		else if (qdq_wide_of(type) == QDQ_WIDE_F64)
			a.d[0] = reduce_real(how, a.d[0], b.d[0]);
		else
			a.f[0] = (float)reduce_real(how, a.f[0], b.f[0]);
		qdq_store(&a, type, to->data, at + i, 1, 1);
	}
}

/* The output, a copy of x, and the updates. */
static bool scatter_begin(qdq_eval *e, const qdq_tensor *x, const qdq_tensor *updates, reduction how, qdq_cells *to,
			  qdq_cells *from)
{
	qdq_cells data;

	if (how == REDUCE_UNKNOWN || updates == NULL || updates->type != x->type)
		return false;
	if (how != REDUCE_NONE && (qdq_wide_of(x->type) == QDQ_WIDE_NONE || qdq_type_get(x->type)->bits < 8))
		return false;
	if (!qdq_cells_out(e, 0, x->type, x->rank, x->dims, to) || !qdq_cells_in(e, x, &data) ||
	    !qdq_cells_in(e, updates, from))
		return false;
	qdq_cell_copy(to, 0, &data, 0, (int64_t)x->count);
	return true;
}

bool qdq_eval_scatter_elements(qdq_eval *e)
{
	const qdq_tensor *x = qdq_eval_in(e, 0), *where = qdq_eval_in(e, 1), *updates = qdq_eval_in(e, 2);
	reduction how = reduction_of(e->n);
	int64_t strides[QDQ_EVAL_RANK], count;
	const int64_t *indices;
	qdq_cells to, from;
	int axis;

	if (x == NULL || !qdq_eval_ints(e, where, &indices, &count) ||
	    !qdq_eval_axis(qdq_attr_int(e->n, "axis", 0), x->rank, &axis) || !fits_inside(where, x, axis) ||
	    updates == NULL || updates->count != where->count || !scatter_begin(e, x, updates, how, &to, &from))
		return false;
	qdq_strides(x->rank, x->dims, strides);
	for (int64_t at = 0; at < count; at++) {
		int64_t i = indices[at];
		if (!in_range(&i, x->dims[axis]))
			return false;
		scatter(how, x->type, &to, element_offset(where, at, strides, axis, i), &from, at, 1);
	}
	return true;
}

bool qdq_eval_scatter_nd(qdq_eval *e)
{
	const qdq_tensor *x = qdq_eval_in(e, 0), *where = qdq_eval_in(e, 1), *updates = qdq_eval_in(e, 2);
	reduction how = reduction_of(e->n);
	const int64_t *indices;
	qdq_cells to, from;
	int64_t count;

	if (x == NULL || !qdq_eval_ints(e, where, &indices, &count) || where->rank < 1)
		return false;
	int64_t depth = where->dims[where->rank - 1], tuples = qdq_product(where->dims, 0, where->rank - 1);
	if (depth > x->rank)
		return false;
	int64_t slice = qdq_product(x->dims, (int)depth, x->rank), total;
	if (updates == NULL || qdq_mul_overflow(tuples, slice, &total) || (int64_t)updates->count != total ||
	    !scatter_begin(e, x, updates, how, &to, &from))
		return false;
	for (int64_t k = 0; k < tuples; k++) {
		int64_t offset;
		if (!tuple_offset(x, 0, indices + k * depth, (int)depth, &offset))
			return false;
		scatter(how, x->type, &to, offset, &from, k * slice, slice);
	}
	return true;
}

/* ---- by a condition ---- */

bool qdq_eval_compress(qdq_eval *e)
{
	const qdq_tensor *x = qdq_eval_in(e, 0), *condition = qdq_eval_in(e, 1);
	bool flat = qdq_attr_find(e->n, "axis") == NULL;
	int64_t dims[QDQ_EVAL_RANK], kept = 0, at = 0;
	qdq_cells from, to;
	int axis = 0;

	if (x == NULL || condition == NULL || condition->type != QDQ_TYPE_BOOL || condition->rank != 1 ||
	    (!flat && !qdq_eval_axis(qdq_attr_int(e->n, "axis", 0), x->rank, &axis)))
		return false;
	int64_t dim = flat ? (int64_t)x->count : x->dims[axis];
	const uint8_t *keep = condition->data;
	int64_t count = (int64_t)condition->count < dim ? (int64_t)condition->count : dim;
	for (int64_t i = 0; i < count; i++)
		kept += keep[i] != 0;
	if (!flat)
		memcpy(dims, x->dims, (size_t)x->rank * sizeof *dims);
	dims[axis] = kept;
	if (!qdq_cells_out(e, 0, x->type, flat ? 1 : x->rank, dims, &to) || !qdq_cells_in(e, x, &from))
		return false;
	int64_t outer = flat ? 1 : qdq_product(x->dims, 0, axis);
	int64_t inner = flat ? 1 : qdq_product(x->dims, axis + 1, x->rank);
	for (int64_t o = 0; o < outer; o++) {
		for (int64_t i = 0; i < count; i++) {
			if (keep[i] == 0)
				continue;
			qdq_cell_copy(&to, at, &from, (o * dim + i) * inner, inner);
			at += inner;
		}
	}
	return true;
}

bool qdq_eval_non_zero(qdq_eval *e)
{
	const qdq_tensor *x = qdq_eval_in(e, 0);
	const double *values = qdq_eval_doubles(e, x);
	int64_t found = 0, at = 0;

	if (values == NULL)
		return false;
	for (uint64_t i = 0; i < x->count; i++)
		found += values[i] != 0;
	int rank = x->rank == 0 ? 1 : x->rank; /* a scalar is seen as one element of a list */
	int64_t dims[2] = {rank, found};
	int64_t *y = qdq_eval_output(e, 0, QDQ_TYPE_INT64, 2, dims);
	if (y == NULL)
		return false;
	for (uint64_t i = 0; i < x->count; i++) {
		if (values[i] == 0)
			continue;
		int64_t rest = (int64_t)i;
		for (int k = x->rank - 1; k >= 0; k--) {
			y[k * found + at] = rest % x->dims[k];
			rest /= x->dims[k];
		}
		at++;
	}
	return true;
}

bool qdq_eval_trilu(qdq_eval *e)
{
	const qdq_tensor *x = qdq_eval_in(e, 0);
	bool upper = qdq_attr_int(e->n, "upper", 1) != 0;
	const int64_t *diagonal = NULL;
	int64_t k = 0, count;
	qdq_cells from, to;

	if (x == NULL || x->rank < 2)
		return false;
	if (qdq_eval_in(e, 1) != NULL) {
		if (!qdq_eval_ints(e, e->in[1], &diagonal, &count) || count != 1)
			return false;
		k = diagonal[0];
	}
	if (!qdq_cells_out(e, 0, x->type, x->rank, x->dims, &to) || !qdq_cells_in(e, x, &from))
		return false;
	int64_t rows = x->dims[x->rank - 2], columns = x->dims[x->rank - 1];
	for (int64_t i = 0; i < (int64_t)x->count / (columns > 0 ? columns : 1); i++) {
		int64_t row = i % rows, edge;
		if (qdq_add_overflow(row, k, &edge))
			edge = k < 0 ? INT64_MIN : INT64_MAX;
		for (int64_t j = 0; j < columns; j++)
			if (upper ? j >= edge : j <= edge)
				qdq_cell_copy(&to, i * columns + j, &from, i * columns + j, 1);
	}
	return true;
}

/* ---- made from nothing ---- */

bool qdq_eval_constant_of_shape(qdq_eval *e)
{
	const qdq_attr *value = qdq_attr_find(e->n, "value");
	const qdq_tensor *v = value != NULL && value->type == QDQ_ATTR_TENSOR ? value->u.t : NULL;
	const int64_t *dims;
	int64_t rank;
	qdq_cells to, fill;

	if (!qdq_eval_ints(e, qdq_eval_in(e, 0), &dims, &rank) || rank > QDQ_EVAL_RANK)
		return false;
	qdq_type type = v != NULL ? v->type : QDQ_TYPE_FLOAT;
	if (!qdq_cells_out(e, 0, type, (int)rank, dims, &to) || !qdq_cells_fill(e, v, type, &fill))
		return false;
	int64_t count = qdq_product(dims, 0, (int)rank);
	for (int64_t i = 0; i < count; i++)
		qdq_cell_copy(&to, i, &fill, 0, 1);
	return true;
}

bool qdq_eval_eye_like(qdq_eval *e)
{
	const qdq_tensor *x = qdq_eval_in(e, 0);
	int64_t k = qdq_attr_int(e->n, "k", 0);

	if (x == NULL || x->rank != 2)
		return false;
	int64_t number = qdq_attr_int(e->n, "dtype", (int64_t)x->type);
	qdq_type type = number > 0 && number <= QDQ_TYPE_INT2 ? (qdq_type)number : QDQ_TYPE_NONE;
	if (qdq_wide_of(type) == QDQ_WIDE_NONE)
		return false;
	void *y = qdq_eval_output(e, 0, type, 2, x->dims);
	if (y == NULL)
		return false;
	qdq_chunk one = {.i = {1}};
	qdq_convert(&one, QDQ_TYPE_INT64, type, 1);
	for (int64_t row = 0; row < x->dims[0]; row++) {
		int64_t column;
		if (!qdq_add_overflow(row, k, &column) && column >= 0 && column < x->dims[1])
			qdq_store(&one, type, y, row * x->dims[1] + column, 1, 1);
	}
	return true;
}

static bool range_integers(qdq_eval *e, qdq_type type, int64_t start, int64_t limit, int64_t delta)
{
	uint64_t span, stride = delta < 0 ? 0 - (uint64_t)delta : (uint64_t)delta, count = 0;

	if (delta == 0)
		return false;
	if (delta > 0 ? limit > start : limit < start) {
		span = delta > 0 ? (uint64_t)limit - (uint64_t)start : (uint64_t)start - (uint64_t)limit;
		count = (span - 1) / stride + 1;
	}
	if (count > INT64_MAX)
		return false;
	int64_t dim = (int64_t)count;
	void *y = qdq_eval_output(e, 0, type, 1, &dim);
	if (y == NULL)
		return false;
	qdq_chunk chunk;
	for (int64_t i = 0; i < dim; i++) {
		chunk.i[0] = (int64_t)((uint64_t)start + (uint64_t)i * (uint64_t)delta);
		qdq_store(&chunk, type, y, i, 1, 1);
	}
	return true;
}

bool qdq_eval_range(qdq_eval *e)
{
	const qdq_tensor *start = qdq_eval_in(e, 0), *limit = qdq_eval_in(e, 1), *delta = qdq_eval_in(e, 2);
	double from, to, by;

	if (!qdq_eval_scalar(start, &from) || !qdq_eval_scalar(limit, &to) || !qdq_eval_scalar(delta, &by) ||
	    start->type != limit->type || start->type != delta->type)
		return false;
	qdq_chunk a, b, c;
	qdq_load(&a, start->type, start->data, 0, 1, 1);
	qdq_load(&b, start->type, limit->data, 0, 1, 1);
	qdq_load(&c, start->type, delta->data, 0, 1, 1);
	if (qdq_wide_of(start->type) == QDQ_WIDE_INT)
		return start->type != QDQ_TYPE_UINT64 && range_integers(e, start->type, a.i[0], b.i[0], c.i[0]);
	double count = ceil((to - from) / by);
	if (!(fabs(count) < 0x1p53))
		return false;
	int64_t dim = count > 0 ? (int64_t)count : 0;
	void *y = qdq_eval_output(e, 0, start->type, 1, &dim);
	if (y == NULL)
		return false;
	for (int64_t i = 0; i < dim; i++) { /* in the type's own precision */
		if (start->type == QDQ_TYPE_DOUBLE)
			b.d[0] = a.d[0] + (double)i * c.d[0];
		else
			b.f[0] = a.f[0] + (float)i * c.f[0];
		qdq_store(&b, start->type, y, i, 1, 1);
	}
	return true;
}

bool qdq_eval_one_hot(qdq_eval *e)
{
	const qdq_tensor *where = qdq_eval_in(e, 0), *values = qdq_eval_in(e, 2);
	const double *indices = qdq_eval_doubles(e, where); /* floats are allowed, and cut to integers */
	int64_t dims[QDQ_EVAL_RANK + 1];
	qdq_cells to, from;
	double depth;
	int axis, rank = 0;

	if (indices == NULL || !qdq_eval_scalar(qdq_eval_in(e, 1), &depth) || !(depth >= 1 && depth < 0x1p53) ||
	    values == NULL || values->count != 2 || where->rank == QDQ_EVAL_RANK ||
	    !qdq_eval_axis(qdq_attr_int(e->n, "axis", -1), where->rank + 1, &axis))
		return false;
	for (int i = 0; i < axis; i++)
		dims[rank++] = where->dims[i];
	dims[rank++] = (int64_t)depth;
	for (int i = axis; i < where->rank; i++)
		dims[rank++] = where->dims[i];
	if (!qdq_cells_out(e, 0, values->type, rank, dims, &to) || !qdq_cells_in(e, values, &from))
		return false;
	int64_t outer = qdq_product(dims, 0, axis), inner = qdq_product(dims, axis + 1, rank), at = 0;
	for (int64_t o = 0; o < outer; o++) {
		for (int64_t k = 0; k < dims[axis]; k++) {
			for (int64_t i = 0; i < inner; i++, at++) {
				double index = trunc(indices[o * inner + i]);
				index = index < 0 ? index + (double)dims[axis] : index;
				qdq_cell_copy(&to, at, &from, index == (double)k, 1);
			}
		}
	}
	return true;
}

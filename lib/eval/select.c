/* SPDX-License-Identifier: Apache-2.0
 *
 * select.c -- TopK, ReverseSequence, CenterCropPad
 */
#include <math.h>
#include <stdlib.h>

#include "kernel.h"

/* ---- TopK ---- */

typedef struct item {
	double real; /* of floats */
	int64_t integer;
	int64_t index;
} item;

/* Smaller first, NaN last; among equals the lower index first. */
static int ascending(const void *left, const void *right)
{
	const item *a = left, *b = right;

	if (isnan(a->real) != isnan(b->real))
		return isnan(a->real) ? 1 : -1;
	if (a->real < b->real || a->integer < b->integer)
		return -1;
	if (a->real > b->real || a->integer > b->integer)
		return 1;
	return (a->index > b->index) - (a->index < b->index);
}

static int descending(const void *left, const void *right)
{
	const item *a = left, *b = right;

	if (isnan(a->real) || isnan(b->real))
		return ascending(left, right);
	if (a->real > b->real || a->integer > b->integer)
		return -1;
	if (a->real < b->real || a->integer < b->integer)
		return 1;
	return (a->index > b->index) - (a->index < b->index);
}

static void read_items(const qdq_tensor *x, int64_t first, int64_t stride, int64_t count, item *items)
{
	int64_t flip = x->type == QDQ_TYPE_UINT64 ? INT64_MIN : 0;
	qdq_chunk c;

	for (int64_t i = 0; i < count; i++) {
		qdq_load(&c, x->type, x->data, first + i * stride, 1, 1);
		items[i] = (item){.index = i};
		if (qdq_wide_of(x->type) == QDQ_WIDE_INT)
			items[i].integer = c.i[0] ^ flip;
		else
			items[i].real = x->type == QDQ_TYPE_DOUBLE ? c.d[0] : (double)c.f[0];
	}
}

bool qdq_eval_top_k(qdq_eval *e)
{
	const qdq_tensor *x = qdq_eval_in(e, 0);
	bool largest = qdq_attr_int(e->n, "largest", 1) != 0;
	int64_t dims[QDQ_EVAL_RANK], k = qdq_attr_int(e->n, "k", -1), count;
	const int64_t *given;
	qdq_cells from, to;
	int axis;

	if (x == NULL || qdq_wide_of(x->type) == QDQ_WIDE_NONE ||
	    !qdq_eval_axis(qdq_attr_int(e->n, "axis", -1), x->rank, &axis))
		return false;
	if (e->version >= 10) {
		if (!qdq_eval_ints(e, qdq_eval_in(e, 1), &given, &count) || count != 1)
			return false;
		k = given[0];
	}
	int64_t dim = x->dims[axis];
	if (k < 0 || k > dim)
		return false;
	memcpy(dims, x->dims, (size_t)x->rank * sizeof *dims);
	dims[axis] = k;
	int64_t *indices = qdq_eval_output(e, 1, QDQ_TYPE_INT64, x->rank, dims);
	if (indices == NULL || !qdq_cells_out(e, 0, x->type, x->rank, dims, &to) || !qdq_cells_in(e, x, &from))
		return false;
	int64_t outer = qdq_product(x->dims, 0, axis), inner = qdq_product(x->dims, axis + 1, x->rank);
	item *items = qdq_eval_temp(e, (uint64_t)dim, sizeof *items);
	for (int64_t line = 0; line < outer * inner; line++) {
		int64_t first = line / inner * dim * inner + line % inner, at = line / inner * k * inner + line % inner;
		read_items(x, first, inner, dim, items);
		qsort(items, (size_t)dim, sizeof *items, largest ? descending : ascending);
		for (int64_t i = 0; i < k; i++, at += inner) {
			indices[at] = items[i].index;
			qdq_cell_copy(&to, at, &from, first + items[i].index * inner, 1);
		}
	}
	return true;
}

/* ---- by position ---- */

bool qdq_eval_reverse_sequence(qdq_eval *e)
{
	const qdq_tensor *x = qdq_eval_in(e, 0);
	int64_t batch_axis = qdq_attr_int(e->n, "batch_axis", 1), time_axis = qdq_attr_int(e->n, "time_axis", 0), count;
	const int64_t *lengths;
	qdq_cells from, to;

	if (x == NULL || x->rank < 2 || batch_axis + time_axis != 1 || batch_axis * time_axis != 0 ||
	    !qdq_eval_ints(e, qdq_eval_in(e, 1), &lengths, &count) || count != x->dims[batch_axis])
		return false;
	for (int64_t i = 0; i < count; i++)
		if (lengths[i] < 0 || lengths[i] > x->dims[time_axis])
			return false;
	if (!qdq_cells_out(e, 0, x->type, x->rank, x->dims, &to) || !qdq_cells_in(e, x, &from))
		return false;
	int64_t inner = qdq_product(x->dims, 2, x->rank);
	for (int64_t i = 0; i < x->dims[0]; i++) {
		for (int64_t j = 0; j < x->dims[1]; j++) {
			int64_t time = time_axis == 0 ? i : j, length = lengths[time_axis == 0 ? j : i];
			int64_t source = time < length ? length - 1 - time : time;
			int64_t row = time_axis == 0 ? source : i, column = time_axis == 0 ? j : source;
			qdq_cell_copy(&to, (i * x->dims[1] + j) * inner, &from, (row * x->dims[1] + column) * inner,
				      inner);
		}
	}
	return true;
}

/* The middle of the input, or the input in the middle of zeros; where that is uneven, the lesser part comes first. */
bool qdq_eval_center_crop_pad(qdq_eval *e)
{
	const qdq_tensor *x = qdq_eval_in(e, 0);
	int64_t dims[QDQ_EVAL_RANK], own[QDQ_EVAL_RANK], *table[QDQ_EVAL_RANK], count;
	size_t n_axes;
	const int64_t *axes = qdq_attr_ints(e->n, "axes", &n_axes), *shape;
	qdq_cells from, to, fill;

	if (x == NULL || !qdq_eval_ints(e, qdq_eval_in(e, 1), &shape, &count) ||
	    count != (n_axes != 0 ? (int64_t)n_axes : x->rank))
		return false;
	memcpy(dims, x->dims, (size_t)x->rank * sizeof *dims);
	for (int64_t i = 0; i < count; i++) {
		int axis = (int)i;
		if ((n_axes != 0 && !qdq_eval_axis(axes[i], x->rank, &axis)) || shape[i] < 0)
			return false;
		dims[axis] = shape[i];
	}
	if (!qdq_cells_out(e, 0, x->type, x->rank, dims, &to) || !qdq_cells_in(e, x, &from) ||
	    !qdq_cells_fill(e, NULL, x->type, &fill))
		return false;
	if (qdq_product(dims, 0, x->rank) == 0)
		return true;
	qdq_strides(x->rank, x->dims, own);
	for (int i = 0; i < x->rank; i++) {
		int64_t more = dims[i] - x->dims[i], shift = more >= 0 ? -(more / 2) : -more / 2;
		table[i] = qdq_eval_temp(e, (uint64_t)dims[i], sizeof *table[i]);
		for (int64_t k = 0; k < dims[i]; k++) {
			int64_t source = k + shift;
			table[i][k] = source < 0 || source >= x->dims[i] ? -1 : source * own[i];
		}
	}
	qdq_copy_by_table(&to, x->rank, dims, table, &from, &fill);
	return true;
}

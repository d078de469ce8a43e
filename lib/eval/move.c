/* SPDX-License-Identifier: Apache-2.0
 *
 * move.c -- operators that place elements by their position: reshapes, Transpose, Slice, Concat, Split, Tile, Pad …
 *
 * Each is a strided copy, or a share of the input's data under other dimensions.
 */
#include "kernel.h"

bool qdq_eval_constant(qdq_eval *e)
{
	static const char *const scalars[] = {"value_float", "value_floats", "value_int",
					      "value_ints",  "value_string", "value_strings"};
	const qdq_attr *a = qdq_attr_find(e->n, "value");

	if (a != NULL)
		return a->type == QDQ_ATTR_TENSOR && qdq_eval_share(e, 0, a->u.t, a->u.t->rank, a->u.t->dims);
	for (size_t i = 0; a == NULL && i < QDQ_COUNTOF(scalars); i++)
		a = qdq_attr_find(e->n, scalars[i]);
	if (a == NULL)
		return false;
	bool real = a->type == QDQ_ATTR_FLOAT || a->type == QDQ_ATTR_FLOATS;
	bool integer = a->type == QDQ_ATTR_INT || a->type == QDQ_ATTR_INTS;
	bool many = a->type == QDQ_ATTR_FLOATS || a->type == QDQ_ATTR_INTS || a->type == QDQ_ATTR_STRINGS;
	int64_t dim = (int64_t)a->count;
	size_t n = many ? a->count : 1;
	qdq_type type = real ? QDQ_TYPE_FLOAT : integer ? QDQ_TYPE_INT64 : QDQ_TYPE_STRING;
	void *y = qdq_eval_output(e, 0, type, many ? 1 : 0, &dim);
	if (y == NULL)
		return false;
	if (real)
		memcpy(y, many ? a->u.floats : &a->u.f, n * sizeof(float));
	else if (integer)
		memcpy(y, many ? a->u.ints : &a->u.i, n * sizeof(int64_t));
	else
		memcpy(y, many ? a->u.strings : &a->u.s, n * sizeof(qdq_bytes));
	return true;
}

/* Identity, and Dropout as it is outside training. */
bool qdq_eval_identity(qdq_eval *e)
{
	const qdq_tensor *x = qdq_eval_in(e, 0);

	if (x == NULL)
		return false;
	if (e->op == QDQ_OP_Dropout) {
		double training;
		if (qdq_eval_in(e, 2) != NULL && (!qdq_eval_scalar(e->in[2], &training) || training != 0))
			return false;
		if (e->version < 7 && qdq_attr_int(e->n, "is_test", 0) == 0)
			return false;
		if (e->n_out > 1 && e->version >= 10) {
			uint8_t *mask = qdq_eval_output(e, 1, QDQ_TYPE_BOOL, x->rank, x->dims);
			if (mask == NULL)
				return false;
			memset(mask, 1, (size_t)x->count);
		}
	}
	return qdq_eval_share(e, 0, x, x->rank, x->dims);
}

/* ---- the same elements under other dimensions ---- */

static bool reshape_dims(qdq_eval *e, const qdq_tensor *x, int *rank, int64_t *dims)
{
	size_t given = 0;
	const int64_t *shape = qdq_attr_ints(e->n, "shape", &given);
	int64_t count = (int64_t)given, known = 1;
	bool zero_is_zero = qdq_attr_int(e->n, "allowzero", 0) != 0;
	int inferred = -1;

	if (e->version >= 5 && !qdq_eval_ints(e, qdq_eval_in(e, 1), &shape, &count))
		return false;
	if (count > QDQ_EVAL_RANK)
		return false;
	*rank = (int)count;
	for (int i = 0; i < *rank; i++) {
		dims[i] = shape[i];
		if (shape[i] == 0 && !zero_is_zero) {
			if (i >= x->rank)
				return false;
			dims[i] = x->dims[i];
		}
		if (dims[i] == -1) {
			if (inferred >= 0)
				return false;
			inferred = i;
		} else if (dims[i] < 0 || qdq_mul_overflow(known, dims[i], &known)) {
			return false;
		}
	}
	if (inferred >= 0) {
		if (known == 0 || (int64_t)x->count % known != 0)
			return false;
		dims[inferred] = (int64_t)x->count / known;
	}
	return true;
}

static bool squeeze_dims(qdq_eval *e, const qdq_tensor *x, int *rank, int64_t *dims)
{
	bool which[QDQ_EVAL_RANK];
	int given;

	if (!qdq_eval_axes(e, 1, x->rank, which, &given))
		return false;
	*rank = 0;
	for (int i = 0; i < x->rank; i++) {
		bool drop = given == 0 ? x->dims[i] == 1 : which[i];
		if (drop && x->dims[i] != 1)
			return false;
		if (!drop)
			dims[(*rank)++] = x->dims[i];
	}
	return true;
}

static bool unsqueeze_dims(qdq_eval *e, const qdq_tensor *x, int *rank, int64_t *dims)
{
	bool which[QDQ_EVAL_RANK];
	size_t given = 0;
	int64_t count;
	const int64_t *axes = qdq_attr_ints(e->n, "axes", &given);
	int n_axes, from = 0;

	count = (int64_t)given;
	if (e->version >= 13 && !qdq_eval_ints(e, qdq_eval_in(e, 1), &axes, &count))
		return false;
	if (count > QDQ_EVAL_RANK - x->rank)
		return false;
	*rank = x->rank + (int)count;
	if (!qdq_eval_axes(e, 1, *rank, which, &n_axes))
		return false;
	for (int i = 0; i < *rank; i++)
		dims[i] = which[i] ? 1 : x->dims[from++];
	return true;
}

bool qdq_eval_view(qdq_eval *e)
{
	const qdq_tensor *x = qdq_eval_in(e, 0);
	int64_t dims[QDQ_EVAL_RANK];
	int rank = 2, axis = 0;
	bool fits;

	if (x == NULL)
		return false;
	switch (e->op) {
	case QDQ_OP_Reshape:
		fits = reshape_dims(e, x, &rank, dims);
		break;
	case QDQ_OP_Squeeze:
		fits = squeeze_dims(e, x, &rank, dims);
		break;
	case QDQ_OP_Unsqueeze:
		fits = unsqueeze_dims(e, x, &rank, dims);
		break;
	default: /* Flatten; its axis may be the rank itself */
		axis = (int)qdq_attr_int(e->n, "axis", 1);
		fits = axis >= -x->rank && axis <= x->rank;
		axis = axis < 0 ? axis + x->rank : axis;
		dims[0] = fits ? qdq_product(x->dims, 0, axis) : 0;
		dims[1] = fits ? qdq_product(x->dims, axis, x->rank) : 0;
		break;
	}
	return fits && qdq_eval_share(e, 0, x, rank, dims);
}

bool qdq_eval_shape_of(qdq_eval *e)
{
	const qdq_tensor *x = qdq_eval_in(e, 0);

	if (x == NULL)
		return false;
	int64_t start = qdq_attr_int(e->n, "start", 0), end = qdq_attr_int(e->n, "end", x->rank);
	start = start < 0 ? start + x->rank : start;
	end = end < 0 ? end + x->rank : end;
	start = start < 0 ? 0 : start > x->rank ? x->rank : start;
	end = end < start ? start : end > x->rank ? x->rank : end;
	int64_t count = end - start;
	int64_t *y = qdq_eval_output(e, 0, QDQ_TYPE_INT64, 1, &count);
	if (y == NULL)
		return false;
	if (count > 0)
		memcpy(y, x->dims + start, (size_t)count * sizeof *y);
	return true;
}

bool qdq_eval_size_of(qdq_eval *e)
{
	const qdq_tensor *x = qdq_eval_in(e, 0);
	int64_t *y = x == NULL ? NULL : qdq_eval_output(e, 0, QDQ_TYPE_INT64, 0, NULL);

	if (y == NULL)
		return false;
	*y = (int64_t)x->count;
	return true;
}

/* ---- strided copies ---- */

/* Output 0 of these dimensions is x read from `first` on with these strides. */
static bool gather_strided(qdq_eval *e, const qdq_tensor *x, int rank, const int64_t *dims, int64_t first,
			   const int64_t *strides)
{
	int64_t dense[QDQ_EVAL_RANK];
	qdq_cells from, to;

	if (!qdq_cells_out(e, 0, x->type, rank, dims, &to) || !qdq_cells_in(e, x, &from))
		return false;
	qdq_strides(rank, dims, dense);
	qdq_copy_strided(&to, 0, dense, &from, first, strides, rank, dims);
	return true;
}

bool qdq_eval_transpose(qdq_eval *e)
{
	const qdq_tensor *x = qdq_eval_in(e, 0);
	int64_t dims[QDQ_EVAL_RANK], strides[QDQ_EVAL_RANK], own[QDQ_EVAL_RANK];
	bool seen[QDQ_EVAL_RANK] = {false};
	size_t count;
	const int64_t *perm = qdq_attr_ints(e->n, "perm", &count);

	if (x == NULL || (count != 0 && count != (size_t)x->rank))
		return false;
	qdq_strides(x->rank, x->dims, own);
	for (int i = 0; i < x->rank; i++) {
		int axis = x->rank - 1 - i;
		if (count != 0 && !qdq_eval_axis(perm[i], x->rank, &axis))
			return false;
		if (seen[axis])
			return false;
		seen[axis] = true;
		dims[i] = x->dims[axis];
		strides[i] = own[axis];
	}
	return gather_strided(e, x, x->rank, dims, 0, strides);
}

/* Start and number of elements that a slice takes of a dimension; may shorten *step, which is not 0. */
static void slice_range(int64_t dim, int64_t *start, int64_t end, int64_t *step, int64_t *count)
{
	int64_t least = *step < 0 ? -1 : 0, greatest = *step < 0 ? dim - 1 : dim;

	*step = *step > dim ? dim : *step < -dim ? -dim : *step;
	if (*step == 0)
		*step = 1; /* of an empty dimension */
	*start = *start < 0 ? *start + dim : *start;
	end = end < 0 ? end + dim : end;
	*start = *start < 0 ? 0 : *start > greatest ? greatest : *start;
	end = end < least ? least : end > greatest ? greatest : end;
	if (*step > 0)
		*count = end > *start ? (end - *start - 1) / *step + 1 : 0;
	else
		*count = *start > end ? (*start - end - 1) / -*step + 1 : 0;
}

bool qdq_eval_slice(qdq_eval *e)
{
	const qdq_tensor *x = qdq_eval_in(e, 0);
	int64_t dims[QDQ_EVAL_RANK], strides[QDQ_EVAL_RANK], first = 0, count[4] = {0};
	const int64_t *list[4] = {NULL}; /* starts, ends, axes, steps */
	bool seen[QDQ_EVAL_RANK] = {false};

	if (x == NULL)
		return false;
	for (uint32_t i = 0; i < 4; i++) {
		static const char *const names[] = {"starts", "ends", "axes", "steps"};
		size_t given = 0;
		if (e->version < 10)
			list[i] = qdq_attr_ints(e->n, names[i], &given);
		count[i] = (int64_t)given;
		if (e->version >= 10 && (qdq_eval_in(e, i + 1) != NULL || i < 2) &&
		    !qdq_eval_ints(e, qdq_eval_in(e, i + 1), &list[i], &count[i]))
			return false;
	}
	if (count[1] != count[0] || (list[2] != NULL && count[2] != count[0]) ||
	    (list[3] != NULL && count[3] != count[0]) || (list[2] == NULL && count[0] > x->rank))
		return false;
	memcpy(dims, x->dims, (size_t)x->rank * sizeof *dims);
	qdq_strides(x->rank, x->dims, strides);
	for (int64_t i = 0; i < count[0]; i++) {
		int axis;
		int64_t start = list[0][i], step = list[3] != NULL ? list[3][i] : 1;
		if (!qdq_eval_axis(list[2] != NULL ? list[2][i] : i, x->rank, &axis) || seen[axis] || step == 0)
			return false;
		seen[axis] = true;
		slice_range(x->dims[axis], &start, list[1][i], &step, &dims[axis]);
		first += dims[axis] > 0 ? start * strides[axis] : 0;
		strides[axis] *= step;
	}
	return gather_strided(e, x, x->rank, dims, first, strides);
}

bool qdq_eval_expand(qdq_eval *e)
{
	const qdq_tensor *x = qdq_eval_in(e, 0);
	int64_t dims[QDQ_EVAL_RANK], strides[QDQ_EVAL_RANK], count;
	const int64_t *shape;

	if (x == NULL || !qdq_eval_ints(e, qdq_eval_in(e, 1), &shape, &count) || count > QDQ_EVAL_RANK)
		return false;
	int rank = (int)count;
	for (int i = 0; i < rank; i++) {
		if (shape[i] < 0)
			return false;
		dims[i] = shape[i];
	}
	if (!qdq_broadcast_dims(x, &rank, dims))
		return false;
	qdq_broadcast_strides(x, rank, dims, strides);
	return gather_strided(e, x, rank, dims, 0, strides);
}

/* Each dimension becomes two, (repeat, dim), of which the first does not move in the input. */
bool qdq_eval_tile(qdq_eval *e)
{
	const qdq_tensor *x = qdq_eval_in(e, 0);
	int64_t dims[QDQ_EVAL_RANK], own[QDQ_EVAL_RANK], dense[QDQ_EVAL_RANK], count, repeat[QDQ_EVAL_RANK];
	int64_t split[QDQ_WALK_RANK], from_strides[QDQ_WALK_RANK], to_strides[QDQ_WALK_RANK];
	const int64_t *repeats;
	qdq_cells from, to;

	if (x == NULL || !qdq_eval_ints(e, qdq_eval_in(e, 1), &repeats, &count))
		return false;
	for (int i = 0; i < x->rank; i++)
		repeat[i] = e->version < 6 ? 1 : i < count ? repeats[i] : -1;
	if (e->version < 6) {
		const int64_t *where;
		int64_t n;
		int axis;
		if (count != 1 || !qdq_eval_ints(e, qdq_eval_in(e, 2), &where, &n) || n != 1 ||
		    !qdq_eval_axis(where[0], x->rank, &axis))
			return false;
		repeat[axis] = repeats[0];
	} else if (count != x->rank) {
		return false;
	}
	for (int i = 0; i < x->rank; i++)
		if (repeat[i] < 0 || qdq_mul_overflow(x->dims[i], repeat[i], &dims[i]))
			return false;
	if (!qdq_cells_out(e, 0, x->type, x->rank, dims, &to) || !qdq_cells_in(e, x, &from))
		return false;
	qdq_strides(x->rank, x->dims, own);
	qdq_strides(x->rank, dims, dense);
	for (int i = 0; i < x->rank; i++) {
		split[2 * i] = repeat[i];
		split[2 * i + 1] = x->dims[i];
		from_strides[2 * i] = 0;
		from_strides[2 * i + 1] = own[i];
		to_strides[2 * i] = dense[i] * x->dims[i];
		to_strides[2 * i + 1] = dense[i];
	}
	qdq_copy_strided(&to, 0, to_strides, &from, 0, from_strides, 2 * x->rank, split);
	return true;
}

bool qdq_eval_concat(qdq_eval *e)
{
	const qdq_tensor *x = qdq_eval_in(e, 0);
	int64_t dims[QDQ_EVAL_RANK], dense[QDQ_EVAL_RANK], own[QDQ_EVAL_RANK], first = 0;
	qdq_cells from, to;
	int axis;

	if (x == NULL || !qdq_eval_axis(qdq_attr_int(e->n, "axis", 1), x->rank, &axis))
		return false;
	memcpy(dims, x->dims, (size_t)x->rank * sizeof *dims);
	for (uint32_t i = 1; i < e->n_in; i++) {
		const qdq_tensor *t = e->in[i];
		if (t == NULL || t->type != x->type || t->rank != x->rank)
			return false;
		for (int k = 0; k < x->rank; k++)
			if (k != axis && t->dims[k] != x->dims[k])
				return false;
		if (qdq_add_overflow(dims[axis], t->dims[axis], &dims[axis]))
			return false;
	}
	if (!qdq_cells_out(e, 0, x->type, x->rank, dims, &to))
		return false;
	qdq_strides(x->rank, dims, dense);
	for (uint32_t i = 0; i < e->n_in; i++) {
		const qdq_tensor *t = e->in[i];
		if (!qdq_cells_in(e, t, &from))
			return false;
		qdq_strides(t->rank, t->dims, own);
		qdq_copy_strided(&to, first, dense, &from, 0, own, t->rank, t->dims);
		first += t->dims[axis] * dense[axis];
	}
	return true;
}

/* The parts of a Split: given, or equal but for the last. */
static bool split_parts(qdq_eval *e, int64_t dim, const int64_t **parts)
{
	size_t given = 0;
	int64_t count, total = 0;

	*parts = qdq_attr_ints(e->n, "split", &given);
	count = (int64_t)given;
	if (qdq_eval_in(e, 1) != NULL && !qdq_eval_ints(e, e->in[1], parts, &count))
		return false;
	if (count == 0) {
		int64_t n = e->n_out, part = n == 0 ? 0 : (dim + n - 1) / n, left = dim;
		int64_t *equal = qdq_eval_temp(e, (uint64_t)n, sizeof *equal);
		if (qdq_attr_int(e->n, "num_outputs", n) != n || (e->version < 18 && n != 0 && dim % n != 0))
			return false;
		for (int64_t i = 0; i < n; i++, left -= equal[i - 1])
			equal[i] = part < left ? part : left;
		*parts = equal;
		count = n;
	}
	if (count != (int64_t)e->n_out)
		return false;
	for (int64_t i = 0; i < count; i++)
		if ((*parts)[i] < 0 || qdq_add_overflow(total, (*parts)[i], &total))
			return false;
	return total == dim;
}

bool qdq_eval_split(qdq_eval *e)
{
	const qdq_tensor *x = qdq_eval_in(e, 0);
	int64_t dims[QDQ_EVAL_RANK], dense[QDQ_EVAL_RANK], own[QDQ_EVAL_RANK], first = 0;
	const int64_t *parts;
	qdq_cells from, to;
	int axis;

	if (x == NULL || !qdq_eval_axis(qdq_attr_int(e->n, "axis", 0), x->rank, &axis) ||
	    !split_parts(e, x->dims[axis], &parts) || !qdq_cells_in(e, x, &from))
		return false;
	memcpy(dims, x->dims, (size_t)x->rank * sizeof *dims);
	qdq_strides(x->rank, x->dims, own);
	for (uint32_t i = 0; i < e->n_out; i++) {
		dims[axis] = parts[i];
		if (!qdq_cells_out(e, i, x->type, x->rank, dims, &to))
			return false;
		qdq_strides(x->rank, dims, dense);
		qdq_copy_strided(&to, 0, dense, &from, first, own, x->rank, dims);
		first += parts[i] * own[axis];
	}
	return true;
}

/* Blocks of b * b pixels and channels: the input seen with six dimensions, in another order. */
static bool block_shuffle(qdq_eval *e, bool to_space)
{
	const qdq_tensor *x = qdq_eval_in(e, 0);
	int64_t b = qdq_attr_int(e->n, "blocksize", 0), dense[6];
	bool crd = qdq_attr_string_is(e->n, "mode", "DCR", "CRD");

	if (x == NULL || x->rank != 4 || b <= 0 || b > INT32_MAX)
		return false;
	int64_t n = x->dims[0], c = x->dims[1], h = x->dims[2], w = x->dims[3];
	if (to_space ? c % (b * b) != 0 : h % b != 0 || w % b != 0)
		return false;
	/* names of the six axes: n, two of the block (p, q), channel c, and pixel (h, w) */
	int64_t pixels = h * w, deep = to_space ? c / (b * b) : c;
	if (to_space) {
		int64_t dims[4] = {n, deep, h * b, w * b}, split[6] = {n, deep, h, b, w, b};
		int64_t of_c = crd ? b * b * pixels : pixels, of_p = crd ? b * pixels : b * deep * pixels;
		int64_t of_q = crd ? pixels : deep * pixels;
		int64_t strides[6] = {c * pixels, of_c, w, of_p, 1, of_q};
		qdq_cells from, to;
		if (!qdq_cells_out(e, 0, x->type, 4, dims, &to) || !qdq_cells_in(e, x, &from))
			return false;
		qdq_strides(6, split, dense);
		qdq_copy_strided(&to, 0, dense, &from, 0, strides, 6, split);
		return true;
	}
	int64_t dims[4] = {n, c * b * b, h / b, w / b};
	int64_t dcr[6] = {n, b, b, c, h / b, w / b}, dcr_strides[6] = {c * pixels, w, 1, pixels, w * b, b};
	int64_t crd_dims[6] = {n, c, b, b, h / b, w / b}, crd_strides[6] = {c * pixels, pixels, w, 1, w * b, b};
	qdq_cells from, to;
	if (!qdq_cells_out(e, 0, x->type, 4, dims, &to) || !qdq_cells_in(e, x, &from))
		return false;
	qdq_strides(6, crd ? crd_dims : dcr, dense);
	qdq_copy_strided(&to, 0, dense, &from, 0, crd ? crd_strides : dcr_strides, 6, crd ? crd_dims : dcr);
	return true;
}

bool qdq_eval_depth_to_space(qdq_eval *e)
{
	return block_shuffle(e, true);
}

bool qdq_eval_space_to_depth(qdq_eval *e)
{
	return block_shuffle(e, false);
}

/* ---- Pad ---- */

typedef enum pad_mode { PAD_CONSTANT, PAD_REFLECT, PAD_EDGE, PAD_WRAP } pad_mode;

/* Which element of a dimension stands at position i, which may lie outside; -1: the fill value. */
static int64_t pad_source(pad_mode mode, int64_t i, int64_t dim)
{
	if (i >= 0 && i < dim)
		return i;
	switch (mode) {
	case PAD_REFLECT: {
		int64_t period = 2 * (dim - 1);
		if (period == 0)
			return 0;
		i = (i % period + period) % period;
		return i < dim ? i : period - i;
	}
	case PAD_EDGE:
		return i < 0 ? 0 : dim - 1;
	case PAD_WRAP:
		return (i % dim + dim) % dim;
	default:
		return -1;
	}
}

/* Pads before and after each axis, from attribute or inputs. */
static bool pad_amounts(qdq_eval *e, int rank, int64_t *before, int64_t *after)
{
	size_t given = 0;
	const int64_t *pads = qdq_attr_ints(e->n, e->version < 2 ? "paddings" : "pads", &given), *axes = NULL;
	int64_t count = (int64_t)given, n_axes = rank;

	if (e->version >= 11 && !qdq_eval_ints(e, qdq_eval_in(e, 1), &pads, &count))
		return false;
	if (qdq_eval_in(e, 3) != NULL && !qdq_eval_ints(e, e->in[3], &axes, &n_axes))
		return false;
	if (count != 2 * n_axes)
		return false;
	for (int i = 0; i < rank; i++)
		before[i] = after[i] = 0;
	for (int64_t i = 0; i < n_axes; i++) {
		int axis;
		if (!qdq_eval_axis(axes != NULL ? axes[i] : i, rank, &axis))
			return false;
		before[axis] = pads[i];
		after[axis] = pads[n_axes + i];
	}
	return true;
}

static bool pad_fill(qdq_eval *e, qdq_type type, qdq_cells *fill)
{
	float value = e->version < 11 ? qdq_attr_float(e->n, "value", 0) : 0;

	if (e->version >= 11 || value == 0)
		return qdq_cells_fill(e, qdq_eval_in(e, 2), type, fill);
	if (qdq_type_get(type)->bits < 8 || !qdq_cells_fill(e, NULL, type, fill))
		return false;
	qdq_chunk chunk = {.f = {value}};
	qdq_convert(&chunk, QDQ_TYPE_FLOAT, type, 1);
	qdq_store(&chunk, type, fill->data, 0, 1, 1);
	return true;
}

bool qdq_eval_pad(qdq_eval *e)
{
	static const char *const modes[] = {"constant", "reflect", "edge", "wrap"};
	const qdq_tensor *x = qdq_eval_in(e, 0);
	int64_t dims[QDQ_EVAL_RANK], before[QDQ_EVAL_RANK], after[QDQ_EVAL_RANK], own[QDQ_EVAL_RANK];
	int64_t *table[QDQ_EVAL_RANK];
	qdq_cells from, to, fill;
	int mode = 0;

	while (mode < 4 && !qdq_attr_string_is(e->n, "mode", "constant", modes[mode]))
		mode++;
	if (x == NULL || mode == 4 || !pad_amounts(e, x->rank, before, after) || !pad_fill(e, x->type, &fill))
		return false;
	for (int i = 0; i < x->rank; i++)
		if (qdq_add_overflow(x->dims[i], before[i], &dims[i]) ||
		    qdq_add_overflow(dims[i], after[i], &dims[i]) || dims[i] < 0 ||
		    (mode != PAD_CONSTANT && x->dims[i] == 0 && dims[i] > 0) || before[i] == INT64_MIN)
			return false;
	if (!qdq_cells_out(e, 0, x->type, x->rank, dims, &to) || !qdq_cells_in(e, x, &from))
		return false;
	if (qdq_product(dims, 0, x->rank) == 0)
		return true;
	qdq_strides(x->rank, x->dims, own);
	for (int i = 0; i < x->rank; i++) {
		table[i] = qdq_eval_temp(e, (uint64_t)dims[i], sizeof *table[i]);
		for (int64_t k = 0; k < dims[i]; k++) {
			int64_t source = pad_source((pad_mode)mode, k - before[i], x->dims[i]);
			table[i][k] = source < 0 ? -1 : source * own[i];
		}
	}
	qdq_copy_by_table(&to, x->rank, dims, table, &from, &fill);
	return true;
}

/* SPDX-License-Identifier: Apache-2.0
 *
 * infer_move.c -- inference of what rearranges: views, transposition, slices, concatenation, gathering, repetition
 */
#include "infer.h"

static void put_contents_if_list(qdq_infer *c, qdq_node *n)
{
	if (qdq_out(n, 0) != NULL && n->outputs[0]->shape != NULL && n->outputs[0]->shape->rank <= 1)
		qdq_infer_contents_same(c, n);
}

static bool is_negative(qdq_infer *c, qdq_dim d)
{
	int64_t value;

	return d != QDQ_DIM_ANY && qdq_dim_value(c->m, d, &value) && value < 0;
}

/* ---- views ---- */

static qdq_dim product(qdq_infer *c, const qdq_dims *dims, int from, int to)
{
	qdq_dim d = 1;

	for (int i = from; i < to; i++)
		d = qdq_infer_mul(c, d, dims->d[i]);
	return d;
}

/* The dimensions wanted, with 0 replaced and what nothing is known of as ANY; the place of -1, or else -1. */
static int wanted_dims(qdq_infer *c, const qdq_node *n, const qdq_dims *in, qdq_dims *out)
{
	bool allow_zero = qdq_attr_int(n, "allowzero", 0) != 0;
	int rest = -1;

	for (int i = 0; i < out->rank; i++) {
		if (out->d[i] == 0 && !allow_zero) {
			out->d[i] = i < in->rank ? in->d[i] : QDQ_DIM_ANY;
			continue;
		}
		if (is_negative(c, out->d[i]))
			rest = i;
		out->d[i] = qdq_infer_size(c, out->d[i]);
	}
	return rest;
}

void qdq_infer_reshape(qdq_infer *c, qdq_node *n)
{
	const qdq_shape *contents = qdq_infer_contents(c, qdq_in(n, 1)), *length = qdq_infer_shape(n, 1);
	qdq_type type = qdq_infer_type(n, 0);
	qdq_dims in, out;
	qdq_ints list;
	int rest, unknown = 0;

	qdq_infer_dims(n, 0, &in);
	if (qdq_in(n, 1) == NULL && qdq_infer_ints(c, n, 1, "shape", &list) == QDQ_KNOWN) {
		out.rank = list.count;
		for (int i = 0; i < out.rank; i++)
			out.d[i] = list.at[i] >= 0 ? list.at[i] : qdq_infer_add(c, 0, -1);
	} else if (!qdq_infer_copy(contents, &out)) {
		out.rank =
		    length != NULL && length->rank == 1 && length->dim[0] >= 0 && length->dim[0] <= QDQ_INFER_RANK
			? (int)length->dim[0]
			: -1;
		for (int i = 0; i < out.rank; i++)
			out.d[i] = QDQ_DIM_ANY;
		qdq_infer_put(c, n, 0, type, &out);
		return;
	}
	rest = wanted_dims(c, n, &in, &out);
	for (int i = 0; i < out.rank; i++) {
		if (out.d[i] != QDQ_DIM_ANY)
			continue;
		unknown++;
		rest = rest < 0 ? i : rest;
	}
	/* One unknown dimension takes what is left, whether it says -1 or not. */
	if (unknown == 1 && in.rank >= 0) {
		out.d[rest] = 1;
		qdq_dim others = product(c, &out, 0, out.rank);
		out.d[rest] = others == 0 ? QDQ_DIM_ANY : qdq_infer_div(c, product(c, &in, 0, in.rank), others);
	}
	qdq_infer_put(c, n, 0, type, &out);
	put_contents_if_list(c, n);
}

void qdq_infer_flatten(qdq_infer *c, qdq_node *n)
{
	qdq_dims in, out = {.rank = 2};
	int axis;

	if (!qdq_infer_dims(n, 0, &in) || !qdq_infer_axis(qdq_attr_int(n, "axis", 1), in.rank + 1, &axis) ||
	    (qdq_attr_int(n, "axis", 1) < 0 && !qdq_infer_axis(qdq_attr_int(n, "axis", 1), in.rank, &axis))) {
		out.d[0] = out.d[1] = QDQ_DIM_ANY;
	} else {
		out.d[0] = product(c, &in, 0, axis);
		out.d[1] = product(c, &in, axis, in.rank);
	}
	qdq_infer_put(c, n, 0, qdq_infer_type(n, 0), &out);
}

void qdq_infer_squeeze(qdq_infer *c, qdq_node *n)
{
	qdq_dims dims;
	uint32_t mask;
	qdq_known known;
	bool sure = qdq_infer_dims(n, 0, &dims);
	int rank = 0;

	known = qdq_infer_axes(c, n, 1, "axes", dims.rank, &mask);
	for (int i = 0; i < dims.rank; i++) {
		bool drop = known == QDQ_ABSENT ? dims.d[i] == 1 : (mask >> i & 1) != 0;

		sure = sure && (known == QDQ_KNOWN || (known == QDQ_ABSENT && dims.d[i] >= 0));
		if (!drop)
			dims.d[rank++] = dims.d[i];
	}
	dims.rank = sure || dims.rank == 0 ? rank : -1;
	qdq_infer_put(c, n, 0, qdq_infer_type(n, 0), &dims);
	put_contents_if_list(c, n);
}

void qdq_infer_unsqueeze(qdq_infer *c, qdq_node *n)
{
	qdq_dims in, out = {.rank = -1};
	qdq_ints axes;
	uint32_t mask = 0;
	int axis, from = 0;

	if (qdq_infer_dims(n, 0, &in) && qdq_infer_ints(c, n, 1, "axes", &axes) == QDQ_KNOWN &&
	    in.rank + axes.count <= QDQ_INFER_RANK) {
		out.rank = in.rank + axes.count;
		for (int i = 0; i < axes.count; i++) {
			if (!qdq_infer_axis(axes.at[i], out.rank, &axis) || (mask >> axis & 1) != 0)
				return;
			mask |= UINT32_C(1) << axis;
		}
		for (int i = 0; i < out.rank; i++)
			out.d[i] = (mask >> i & 1) != 0 ? 1 : in.d[from++];
	}
	qdq_infer_put(c, n, 0, qdq_infer_type(n, 0), &out);
	put_contents_if_list(c, n);
}

/* ---- transposition ---- */

void qdq_infer_transpose(qdq_infer *c, qdq_node *n)
{
	qdq_dims in, out;
	size_t count;
	const int64_t *perm = qdq_attr_ints(n, "perm", &count);

	out.rank = qdq_infer_dims(n, 0, &in) && (perm == NULL || count == (size_t)in.rank) ? in.rank : -1;
	for (int i = 0; i < out.rank; i++) {
		int64_t from = perm == NULL ? in.rank - 1 - i : perm[i];

		if (from < 0 || from >= in.rank) {
			out.rank = -1;
			break;
		}
		out.d[i] = in.d[from];
	}
	qdq_infer_put(c, n, 0, qdq_infer_type(n, 0), &out);
	put_contents_if_list(c, n);
}

/* ---- slices ---- */

/* A bound of a known dimension, as the specification moves it into the range. */
static int64_t clamp(int64_t at, int64_t length, int64_t least, int64_t greatest)
{
	if (at < 0)
		at += length;
	return at < least ? least : at > greatest ? greatest : at;
}

static int64_t known_length(int64_t length, int64_t start, int64_t end, int64_t step)
{
	int64_t distance;

	if (step > 0) {
		distance = clamp(end, length, 0, length) - clamp(start, length, 0, length);
		return distance <= 0 ? 0 : (distance - 1) / step + 1;
	}
	distance = clamp(start, length, 0, length - 1) - clamp(end, length, -1, length - 1);
	if (distance <= 0 || length == 0)
		return 0;
	return step < -distance ? 1 : (distance - 1) / -step + 1;
}

/* A symbolic dimension is taken to be as long as the slice asks for, where it counts from an end. */
static qdq_dim slice_bound(qdq_infer *c, qdq_dim length, qdq_dim at, bool is_end)
{
	int64_t known;
	bool is_known = qdq_dim_value(c->m, at, &known);

	if (at == length || (is_known && known >= INT32_MAX))
		return length;
	if (is_known && known < 0)
		return known <= -INT32_MAX ? 0 : qdq_infer_add(c, length, known);
	if (!is_end || (is_known && known == 0))
		return at;
	/* min(length, at): known only where their difference is */
	return qdq_dim_value(c->m, qdq_dim_binary(c->m, QDQ_DIM_SUB, length, at), &known) ? (known >= 0 ? at : length)
											  : QDQ_DIM_ANY;
}

static qdq_dim slice_length(qdq_infer *c, qdq_dim length, qdq_dim start, qdq_dim end, int64_t step)
{
	int64_t from, to, known;
	qdq_dim out;

	if (length == QDQ_DIM_ANY || step == 0)
		return QDQ_DIM_ANY;
	bool from_known = qdq_dim_value(c->m, start, &from), to_known = qdq_dim_value(c->m, end, &to);
	if (length >= 0 && from_known && to_known)
		return known_length(length, from, to, step);
	if ((!from_known && qdq_infer_size(c, start) == QDQ_DIM_ANY) ||
	    (!to_known && qdq_infer_size(c, end) == QDQ_DIM_ANY))
		return QDQ_DIM_ANY;
	if (step < 0) { /* all of it, backwards */
		if (!qdq_dim_value(c->m, start, &from) || !qdq_dim_value(c->m, end, &to) || to > -INT32_MAX ||
		    (from != -1 && from < INT32_MAX) || step == INT64_MIN)
			return QDQ_DIM_ANY;
		return qdq_infer_div(c, qdq_infer_add(c, length, -step - 1), -step);
	}
	out = qdq_infer_binary(c, QDQ_DIM_SUB, slice_bound(c, length, end, true), slice_bound(c, length, start, false));
	out = qdq_infer_div(c, qdq_infer_add(c, out, step - 1), step);
	if (out != QDQ_DIM_ANY && qdq_dim_value(c->m, out, &known) && known < 0)
		return 0;
	return out;
}

/* Elements start, start + step … of a list whose length is known. */
static void slice_contents(qdq_infer *c, qdq_node *n, qdq_dim start, qdq_dim end, int64_t step)
{
	const qdq_shape *in = qdq_infer_contents(c, qdq_in(n, 0));
	qdq_dims out;
	int64_t from, to;

	if (in == NULL || !qdq_dim_value(c->m, start, &from) || !qdq_dim_value(c->m, end, &to) || step == 0)
		return;
	out.rank = (int)known_length(in->rank, from, to, step);
	from = clamp(from, in->rank, 0, step > 0 ? in->rank : in->rank - 1);
	for (int i = 0; i < out.rank; i++)
		out.d[i] = in->dim[from + i * step];
	qdq_infer_put_contents(c, n, 0, &out);
}

/* Starts and ends may be symbolic. */
static bool slice_list(qdq_infer *c, const qdq_node *n, uint32_t i, const char *name, qdq_dims *out)
{
	qdq_ints ints;

	if (qdq_in(n, i) != NULL)
		return qdq_infer_copy(qdq_infer_contents(c, qdq_in(n, i)), out);
	out->rank = -1;
	if (qdq_infer_ints(c, n, i, name, &ints) != QDQ_KNOWN)
		return false;
	out->rank = ints.count;
	for (int k = 0; k < ints.count; k++)
		out->d[k] = ints.at[k] >= 0 ? ints.at[k]
					    : qdq_infer_add(c, 0, ints.at[k] == INT64_MIN ? -INT64_MAX : ints.at[k]);
	return true;
}

static void forget_dims(qdq_dims *dims, const qdq_ints *axes, qdq_known known)
{
	int axis;

	for (int i = 0; i < dims->rank; i++) {
		bool touched = known != QDQ_KNOWN;

		for (int k = 0; k < axes->count; k++)
			touched = touched || (qdq_infer_axis(axes->at[k], dims->rank, &axis) && axis == i);
		if (touched)
			dims->d[i] = QDQ_DIM_ANY;
	}
}

void qdq_infer_slice(qdq_infer *c, qdq_node *n)
{
	qdq_dims dims, starts, ends;
	qdq_ints axes, steps;
	qdq_known with_axes, with_steps;
	bool is_list;
	int axis;

	if (!qdq_infer_dims(n, 0, &dims)) {
		qdq_infer_put(c, n, 0, qdq_infer_type(n, 0), NULL);
		return;
	}
	is_list = dims.rank == 1;
	with_axes = qdq_infer_ints(c, n, 3, "axes", &axes);
	with_steps = qdq_infer_ints(c, n, 4, NULL, &steps);
	if (!slice_list(c, n, 1, "starts", &starts) || !slice_list(c, n, 2, "ends", &ends) ||
	    starts.rank != ends.rank || with_axes == QDQ_UNKNOWN || with_steps == QDQ_UNKNOWN ||
	    (with_axes == QDQ_KNOWN && axes.count != starts.rank) ||
	    (with_steps == QDQ_KNOWN && steps.count != starts.rank)) {
		forget_dims(&dims, &axes, with_axes);
		qdq_infer_put(c, n, 0, qdq_infer_type(n, 0), &dims);
		return;
	}
	for (int i = 0; i < starts.rank; i++) {
		int64_t step = with_steps == QDQ_KNOWN ? steps.at[i] : 1;

		if (!qdq_infer_axis(with_axes == QDQ_KNOWN ? axes.at[i] : i, dims.rank, &axis))
			return;
		dims.d[axis] = slice_length(c, dims.d[axis], starts.d[i], ends.d[i], step);
	}
	qdq_infer_put(c, n, 0, qdq_infer_type(n, 0), &dims);
	if (is_list && starts.rank == 1)
		slice_contents(c, n, starts.d[0], ends.d[0], with_steps == QDQ_KNOWN ? steps.at[0] : 1);
}

/* ---- splits ---- */

/* Length of output i, where sizes are given. */
static bool split_given(qdq_infer *c, const qdq_node *n, uint32_t i, bool *given, int64_t *out)
{
	const qdq_tensor *t = qdq_infer_tensor(qdq_in(n, 1));
	const qdq_shape *contents = qdq_infer_contents(c, qdq_in(n, 1));
	size_t count;
	const int64_t *sizes = qdq_attr_ints(n, "split", &count);

	*given = qdq_in(n, 1) != NULL || sizes != NULL;
	if (contents != NULL)
		return i < (uint32_t)contents->rank && qdq_dim_value(c->m, contents->dim[i], out) && *out >= 0;
	if (t != NULL)
		return i < t->count && qdq_tensor_int(t, i, out) && *out >= 0;
	if (i < count)
		*out = sizes[i];
	return i < count && *out >= 0;
}

static qdq_dim split_even(qdq_infer *c, qdq_dim length, uint32_t i, uint32_t parts)
{
	int64_t part;

	if (length == QDQ_DIM_ANY)
		return length;
	if (length < 0)
		return qdq_infer_div(c, length, parts);
	part = length / parts + (length % parts != 0);
	if (i + 1 < parts)
		return part;
	return length - part * (parts - 1) >= 0 ? length - part * (parts - 1) : QDQ_DIM_ANY;
}

void qdq_infer_split(qdq_infer *c, qdq_node *n)
{
	const qdq_shape *contents = qdq_infer_contents(c, qdq_in(n, 0));
	qdq_dims in, out;
	qdq_dim at = 0;
	int axis = 0;
	bool known = qdq_infer_dims(n, 0, &in) && qdq_infer_axis(qdq_attr_int(n, "axis", 0), in.rank, &axis);

	for (uint32_t i = 0; i < n->n_outputs; i++) {
		int64_t length;
		bool given;

		if (!known) {
			qdq_infer_put(c, n, i, qdq_infer_type(n, 0), NULL);
			continue;
		}
		out = in;
		if (split_given(c, n, i, &given, &length))
			out.d[axis] = length;
		else
			out.d[axis] = given ? QDQ_DIM_ANY : split_even(c, in.d[axis], i, n->n_outputs);
		qdq_infer_put(c, n, i, qdq_infer_type(n, 0), &out);
		if (contents == NULL || at < 0 || out.d[axis] < 0 || at + out.d[axis] > contents->rank)
			continue;
		qdq_dims part = {.rank = (int)out.d[axis]};
		memcpy(part.d, &contents->dim[at], (size_t)part.rank * sizeof *part.d);
		at += part.rank;
		qdq_infer_put_contents(c, n, i, &part);
	}
}

/* ---- concatenation ---- */

static void concat_contents(qdq_infer *c, qdq_node *n)
{
	qdq_dims out = {0};

	for (uint32_t i = 0; i < n->n_inputs; i++) {
		const qdq_shape *s = qdq_infer_contents(c, n->inputs[i].value), *list = qdq_infer_shape(n, i);
		int count = s != NULL ? s->rank : -1;

		if (s == NULL && list != NULL && list->rank == 1 && list->dim[0] >= 0 && list->dim[0] <= QDQ_INFER_RANK)
			count = (int)list->dim[0];
		if (count < 0 || out.rank + count > QDQ_INFER_RANK)
			return;
		for (int k = 0; k < count; k++)
			out.d[out.rank++] = s != NULL ? s->dim[k] : QDQ_DIM_ANY;
	}
	qdq_infer_put_contents(c, n, 0, &out);
}

/* Inputs first, first + step … */
static void concat(qdq_infer *c, qdq_node *n, uint32_t first, uint32_t step, int64_t wanted_axis)
{
	qdq_type type = QDQ_TYPE_NONE;
	qdq_dims out = {.rank = -1}, in;
	int axis = 0;

	for (uint32_t i = first; i < n->n_inputs; i += step)
		if (type == QDQ_TYPE_NONE)
			type = qdq_infer_type(n, i);
	for (uint32_t i = first; i < n->n_inputs; i += step) {
		bool known = qdq_infer_dims(n, i, &in);

		if (!known && out.rank < 0)
			continue;
		if (out.rank < 0) {
			out = in;
			if (!qdq_infer_axis(wanted_axis, out.rank, &axis)) {
				out.rank = -1;
				break;
			}
			out.d[axis] = i == first ? in.d[axis] : QDQ_DIM_ANY;
			continue;
		}
		if (known && in.rank != out.rank) {
			out.rank = -1;
			break;
		}
		for (int k = 0; k < out.rank; k++) {
			qdq_dim d = known ? in.d[k] : QDQ_DIM_ANY;

			if (k == axis)
				out.d[k] = qdq_infer_binary(c, QDQ_DIM_ADD, out.d[k], d);
			else if (d >= 0)
				out.d[k] = d;
		}
	}
	qdq_infer_put(c, n, 0, type, &out);
}

void qdq_infer_concat(qdq_infer *c, qdq_node *n)
{
	concat(c, n, 0, 1, qdq_attr_int(n, "axis", 1));
	if (qdq_out(n, 0) != NULL && (n->outputs[0]->type == QDQ_TYPE_INT64 || n->outputs[0]->type == QDQ_TYPE_INT32) &&
	    n->outputs[0]->shape != NULL && n->outputs[0]->shape->rank == 1)
		concat_contents(c, n);
}

void qdq_infer_qlinear_concat(qdq_infer *c, qdq_node *n)
{
	concat(c, n, 2, 3, qdq_attr_int(n, "axis", 1));
}

/* ---- gathering ---- */

static void gather_contents(qdq_infer *c, qdq_node *n)
{
	const qdq_shape *data = qdq_infer_contents(c, qdq_in(n, 0)), *indices = qdq_infer_contents(c, qdq_in(n, 1));
	qdq_dims out;
	int64_t at;
	int k;

	if (data == NULL || indices == NULL || !qdq_infer_copy(indices, &out))
		return;
	for (int i = 0; i < out.rank; i++) {
		if (qdq_dim_value(c->m, indices->dim[i], &at) && qdq_infer_axis(at, data->rank, &k))
			out.d[i] = data->dim[k];
		else
			out.d[i] = QDQ_DIM_ANY;
	}
	qdq_infer_put_contents(c, n, 0, &out);
}

void qdq_infer_gather(qdq_infer *c, qdq_node *n)
{
	qdq_dims data, indices, out = {.rank = -1};
	int axis;

	if (qdq_infer_dims(n, 0, &data) && qdq_infer_dims(n, 1, &indices) &&
	    qdq_infer_axis(qdq_attr_int(n, "axis", 0), data.rank, &axis) &&
	    data.rank - 1 + indices.rank <= QDQ_INFER_RANK) {
		out.rank = 0;
		for (int i = 0; i < axis; i++)
			out.d[out.rank++] = data.d[i];
		for (int i = 0; i < indices.rank; i++)
			out.d[out.rank++] = indices.d[i];
		for (int i = axis + 1; i < data.rank; i++)
			out.d[out.rank++] = data.d[i];
	}
	qdq_infer_put(c, n, 0, qdq_infer_type(n, 0), &out);
	if (out.rank >= 0 && out.rank <= 1 && data.rank == 1)
		gather_contents(c, n);
}

void qdq_infer_gather_elements(qdq_infer *c, qdq_node *n)
{
	qdq_infer_put_shape(c, n, 0, qdq_infer_type(n, 0), qdq_infer_shape(n, 1));
}

void qdq_infer_gather_nd(qdq_infer *c, qdq_node *n)
{
	int64_t batch = qdq_attr_int(n, "batch_dims", 0);
	qdq_dims data, indices;

	if (qdq_infer_dims(n, 0, &data) && qdq_infer_dims(n, 1, &indices) && indices.rank > 0 && batch >= 0 &&
	    indices.d[indices.rank - 1] >= 0 && indices.d[indices.rank - 1] <= data.rank - batch) {
		int from = (int)(batch + indices.d[indices.rank - 1]);

		indices.rank--;
		if (indices.rank + data.rank - from > QDQ_INFER_RANK)
			return;
		for (int i = from; i < data.rank; i++)
			indices.d[indices.rank++] = data.d[i];
	} else {
		indices.rank = -1;
	}
	qdq_infer_put(c, n, 0, qdq_infer_type(n, 0), &indices);
}

void qdq_infer_compress(qdq_infer *c, qdq_node *n)
{
	const qdq_attr *a = qdq_attr_find(n, "axis");
	qdq_dims dims = {.rank = 1};
	int axis = 0;

	if (a != NULL && (!qdq_infer_dims(n, 0, &dims) || !qdq_infer_axis(a->u.i, dims.rank, &axis)))
		dims.rank = -1;
	else
		dims.d[axis] = QDQ_DIM_ANY;
	qdq_infer_put(c, n, 0, qdq_infer_type(n, 0), &dims);
}

/* ---- repetition ---- */

void qdq_infer_expand(qdq_infer *c, qdq_node *n)
{
	const qdq_shape *contents = qdq_infer_contents(c, qdq_in(n, 1)), *length = qdq_infer_shape(n, 1);
	const qdq_shape *in = qdq_infer_contents(c, qdq_in(n, 0));
	qdq_dims dims, by;

	qdq_infer_dims(n, 0, &dims);
	if (!qdq_infer_copy(contents, &by)) {
		by.rank = length != NULL && length->rank == 1 && length->dim[0] >= 0 && length->dim[0] <= QDQ_INFER_RANK
			      ? (int)length->dim[0]
			      : -1;
		for (int i = 0; i < by.rank; i++)
			by.d[i] = QDQ_DIM_ANY;
	}
	for (int i = 0; i < by.rank; i++)
		if (is_negative(c, by.d[i])) /* -1 is not of the specification, but runtimes take it for "as it is" */
			by.d[i] = 1;
		else
			by.d[i] = qdq_infer_size(c, by.d[i]);
	qdq_infer_broadcast_into(&dims, &by);
	qdq_infer_put(c, n, 0, qdq_infer_type(n, 0), &dims);
	if (in == NULL || in->rank != 1 || dims.rank < 0 || dims.rank > 1 ||
	    (dims.rank == 1 && (dims.d[0] < 0 || dims.d[0] > QDQ_INFER_RANK)))
		return;
	by.rank = dims.rank == 0 ? 1 : (int)dims.d[0];
	for (int i = 0; i < by.rank; i++)
		by.d[i] = in->dim[0];
	qdq_infer_put_contents(c, n, 0, &by);
}

void qdq_infer_tile(qdq_infer *c, qdq_node *n)
{
	qdq_dims dims, repeats;
	bool known = qdq_infer_copy(qdq_infer_contents(c, qdq_in(n, 1)), &repeats) && c->opset >= 6;

	qdq_infer_dims(n, 0, &dims);
	if (known && dims.rank >= 0 && repeats.rank != dims.rank)
		dims.rank = -1;
	for (int i = 0; i < dims.rank; i++)
		dims.d[i] = known ? qdq_infer_mul(c, dims.d[i], qdq_infer_size(c, repeats.d[i])) : QDQ_DIM_ANY;
	qdq_infer_put(c, n, 0, qdq_infer_type(n, 0), &dims);
}

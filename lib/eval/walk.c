/* SPDX-License-Identifier: Apache-2.0
 *
 * walk.c -- nested loops over several strided operands
 *
 * Dimensions of one are dropped and neighbours that every operand passes without a gap are merged, so the innermost
 * loop, handed out as a run, is as long as it can be: a plain copy is one run, a per-channel operand gives one run for
 * each channel.
 */
#include "kernel.h"

void qdq_walk_init(qdq_walk *w, int rank, const int64_t *dims)
{
	w->rank = rank;
	w->operands = 0;
	for (int i = 0; i < rank; i++)
		w->dim[i] = dims[i];
}

void qdq_walk_add(qdq_walk *w, int64_t first, const int64_t *strides)
{
	int k = w->operands++;

	w->at[k] = first;
	for (int i = 0; i < w->rank; i++)
		w->stride[k][i] = strides[i];
}

static bool merges(const qdq_walk *w, int outer, int inner)
{
	for (int k = 0; k < w->operands; k++)
		if (w->stride[k][outer] != w->stride[k][inner] * w->dim[inner])
			return false;
	return true;
}

static void move_dim(qdq_walk *w, int to, int from)
{
	w->dim[to] = w->dim[from];
	for (int k = 0; k < w->operands; k++)
		w->stride[k][to] = w->stride[k][from];
}

void qdq_walk_start(qdq_walk *w)
{
	int rank = 0;

	w->done = false;
	for (int i = 0; i < w->rank; i++)
		if (w->dim[i] == 0)
			w->done = true;
	if (w->done)
		return;
	for (int i = 0; i < w->rank; i++) {
		if (w->dim[i] == 1)
			continue;
		if (rank > 0 && merges(w, rank - 1, i)) {
			int64_t outer = w->dim[rank - 1];
			move_dim(w, rank - 1, i);
			w->dim[rank - 1] *= outer;
		} else {
			move_dim(w, rank++, i);
		}
	}
	if (rank == 0) { /* one element */
		w->dim[0] = 1;
		for (int k = 0; k < w->operands; k++)
			w->stride[k][0] = 0;
		rank = 1;
	}
	w->rank = rank;
	w->run = w->dim[rank - 1];
	for (int k = 0; k < w->operands; k++)
		w->step[k] = w->stride[k][rank - 1];
	for (int i = 0; i < rank; i++)
		w->index[i] = 0;
}

void qdq_walk_next(qdq_walk *w)
{
	for (int i = w->rank - 2; i >= 0; i--) {
		if (++w->index[i] < w->dim[i]) {
			for (int k = 0; k < w->operands; k++)
				w->at[k] += w->stride[k][i];
			return;
		}
		w->index[i] = 0;
		for (int k = 0; k < w->operands; k++)
			w->at[k] -= w->stride[k][i] * (w->dim[i] - 1);
	}
	w->done = true;
}

bool qdq_next_index(int rank, int64_t *index, const int64_t *dims)
{
	for (int i = rank - 1; i >= 0; i--) {
		if (++index[i] < dims[i])
			return true;
		index[i] = 0;
	}
	return false;
}

void qdq_strides(int rank, const int64_t *dims, int64_t *strides)
{
	int64_t stride = 1;

	for (int i = rank - 1; i >= 0; i--) {
		strides[i] = stride;
		stride *= dims[i];
	}
}

void qdq_broadcast_strides(const qdq_tensor *t, int to_rank, const int64_t *to, int64_t *strides)
{
	int64_t stride = 1;

	for (int i = to_rank - 1; i >= 0; i--) {
		int own = i - (to_rank - t->rank);
		int64_t dim = own >= 0 ? t->dims[own] : 1;
		strides[i] = dim == 1 && to[i] != 1 ? 0 : stride;
		stride *= dim;
	}
}

bool qdq_broadcast_dims(const qdq_tensor *t, int *rank, int64_t *dims)
{
	if (t->rank > *rank) {
		int more = t->rank - *rank;
		memmove(dims + more, dims, (size_t)*rank * sizeof *dims);
		for (int i = 0; i < more; i++)
			dims[i] = 1;
		*rank = t->rank;
	}
	for (int i = 0; i < t->rank; i++) {
		int64_t *dim = &dims[*rank - t->rank + i];
		if (*dim == 1)
			*dim = t->dims[i];
		else if (t->dims[i] != 1 && t->dims[i] != *dim)
			return false;
	}
	return true;
}

void qdq_copy_strided(const qdq_cells *to, int64_t to_first, const int64_t *to_strides, const qdq_cells *from,
		      int64_t from_first, const int64_t *from_strides, int rank, const int64_t *dims)
{
	qdq_walk w;

	qdq_walk_init(&w, rank, dims);
	qdq_walk_add(&w, to_first, to_strides);
	qdq_walk_add(&w, from_first, from_strides);
	for (qdq_walk_start(&w); !w.done; qdq_walk_next(&w)) {
		if (w.step[0] == 1 && w.step[1] == 1) {
			qdq_cell_copy(to, w.at[0], from, w.at[1], w.run);
			continue;
		}
		size_t width = to->width;
		char *y = to->data + w.at[0] * (int64_t)width;
		const char *x = from->data + w.at[1] * (int64_t)width;
		int64_t y_step = w.step[0] * (int64_t)width, x_step = w.step[1] * (int64_t)width;
		for (int64_t i = 0; i < w.run; i++, y += y_step, x += x_step)
			memcpy(y, x, width);
	}
}

void qdq_copy_by_table(const qdq_cells *to, int rank, const int64_t *dims, int64_t *const *table, const qdq_cells *from,
		       const qdq_cells *fill)
{
	int64_t index[QDQ_EVAL_RANK] = {0}, at = 0, one = 1, zero = 0;
	int last = rank - 1;
	int64_t run = rank > 0 ? dims[last] : one;
	const int64_t *inner = rank > 0 ? table[last] : &zero;

	for (;;) {
		int64_t base = 0;
		for (int i = 0; i < last && base >= 0; i++)
			base = table[i][index[i]] < 0 ? -1 : base + table[i][index[i]];
		for (int64_t k = 0; k < run; k++, at++) {
			bool inside = base >= 0 && inner[k] >= 0;
			qdq_cell_copy(to, at, inside ? from : fill, inside ? base + inner[k] : 0, 1);
		}
		if (!qdq_next_index(last, index, dims))
			return;
	}
}

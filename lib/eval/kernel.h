/* SPDX-License-Identifier: Apache-2.0
 *
 * kernel.h -- what the kernels of lib/eval share
 *
 * A kernel reads its node, inputs and attributes from a qdq_eval, makes its outputs with qdq_eval_output and returns
 * true; false declines. Arithmetic goes through chunks: elements of any type are widened to float, double or int64
 * (uint64 by its bits), computed on and narrowed again, so a kernel has at most three bodies. Data movement sees
 * cells: elements of so many bytes, packed types unpacked to a byte each.
 */
#ifndef QDQ_EVAL_KERNEL_H
#define QDQ_EVAL_KERNEL_H

#include "eval.h"

enum {
	QDQ_EVAL_RANK = 16, /* greatest rank of a tensor that is evaluated */
	QDQ_WALK_RANK = 2 * QDQ_EVAL_RANK,
	QDQ_WALK_OPERANDS = 4,
	QDQ_CHUNK = 256
};

typedef struct qdq_eval {
	qdq_model *m;
	qdq_arena *arena;
	const qdq_node *n;
	qdq_op_id op;
	int version; /* of the operator's definition */
	uint32_t n_in;
	const qdq_tensor *const *in;
	uint32_t n_out;
	const qdq_tensor **out;
	uint64_t max_bytes;
	bool too_big;		       /* why a kernel declined */
	qdq_arena *scratch;	       /* temporaries: made on demand, freed after the node */
	struct qdq_cells *pending;     /* outputs made as cells, to be packed */
	_Alignas(16) char small[1024]; /* zeroed: the first temporaries */
	size_t small_used;
} qdq_eval;

typedef bool qdq_eval_fn(qdq_eval *e);

/* ---- eval.c ---- */

/* qdq_eval_node with the opset of a function's body. */
qdq_eval_result qdq_eval_node_in(qdq_model *m, int opset, qdq_arena *arena, const qdq_node *n,
				 const qdq_tensor *const *inputs, const qdq_tensor **outputs, uint64_t max_bytes);
/* NULL where it is absent. */
const qdq_tensor *qdq_eval_in(const qdq_eval *e, uint32_t i);
/* Writable, zeroed data of output i; NULL where a dimension is negative, the size overflows or is too big. */
void *qdq_eval_output(qdq_eval *e, uint32_t i, qdq_type type, int rank, const int64_t *dims);
/* Output i is t's data under other dimensions. */
bool qdq_eval_share(qdq_eval *e, uint32_t i, const qdq_tensor *t, int rank, const int64_t *dims);
/* Zeroed memory that lasts until the node is done; throws. */
void *qdq_eval_temp(qdq_eval *e, uint64_t count, size_t size);
/* All elements of an integer tensor; false where it is none. */
bool qdq_eval_ints(qdq_eval *e, const qdq_tensor *t, const int64_t **out, int64_t *count);
/* The only element of a tensor, of any numeric type. */
bool qdq_eval_scalar(const qdq_tensor *t, double *out);
/* The axes of a node, from attribute `axes` or, where that input exists, from input `index`: which[a] is set for each.
 * *count is 0 where none are given. */
bool qdq_eval_axes(qdq_eval *e, uint32_t index, int rank, bool *which, int *count);
/* A negative axis counts from the end; false where it is out of range. */
bool qdq_eval_axis(int64_t axis, int rank, int *out);
/* Codes of the whole tensor as double, or the reverse: output i from doubles, rounded once. */
const double *qdq_eval_doubles(qdq_eval *e, const qdq_tensor *t);
/* Zeroed doubles for a result of these dimensions; NULL where the output itself would be refused. */
double *qdq_eval_new_doubles(qdq_eval *e, qdq_type type, int rank, const int64_t *dims);
bool qdq_eval_put_doubles(qdq_eval *e, uint32_t i, qdq_type type, int rank, const int64_t *dims, const double *values);
static inline bool qdq_eval_is_real(const qdq_tensor *t)
{
	return t != NULL && qdq_type_get(t->type)->is_float;
}
static inline int64_t qdq_product(const int64_t *dims, int from, int to) /* of a tensor's dims, so it fits */
{
	int64_t product = 1;
	for (int i = from; i < to; i++)
		product *= dims[i];
	return product;
}

/* ---- types.c ---- */

typedef enum qdq_wide { QDQ_WIDE_NONE, QDQ_WIDE_F32, QDQ_WIDE_F64, QDQ_WIDE_INT } qdq_wide;
typedef union qdq_chunk {
	float f[QDQ_CHUNK];
	double d[QDQ_CHUNK];
	int64_t i[QDQ_CHUNK];
} qdq_chunk;

qdq_wide qdq_wide_of(qdq_type type); /* NONE: strings, complex numbers */
/* n <= QDQ_CHUNK elements first, first + stride … of data, in the type's own wide form. */
void qdq_load(qdq_chunk *to, qdq_type type, const void *data, int64_t first, int64_t stride, size_t n);
void qdq_store(const qdq_chunk *from, qdq_type type, void *data, int64_t first, int64_t stride, size_t n);
/* From the wide form of one type to that of another, as Cast does; narrower types of one form differ only in how they
 * are stored. */
void qdq_convert(qdq_chunk *c, qdq_type from, qdq_type to, size_t n);

/* A tensor as cells of `width` bytes. */
typedef struct qdq_cells {
	char *data;
	size_t width;
	/* of an output of a packed type that waits to be packed; width is then the number of cells */
	char *packed;
	int bits;
	struct qdq_cells *next;
} qdq_cells;
bool qdq_cells_in(qdq_eval *e, const qdq_tensor *t, qdq_cells *out);
bool qdq_cells_out(qdq_eval *e, uint32_t i, qdq_type type, int rank, const int64_t *dims, qdq_cells *out);
void qdq_cells_pack(qdq_eval *e);
/* The cell that a one-element tensor holds, or zeros where it is NULL. */
bool qdq_cells_fill(qdq_eval *e, const qdq_tensor *t, qdq_type type, qdq_cells *out);
static inline void qdq_cell_copy(const qdq_cells *to, int64_t at, const qdq_cells *from, int64_t from_at, int64_t n)
{
	memcpy(to->data + (size_t)at * to->width, from->data + (size_t)from_at * to->width, (size_t)n * to->width);
}

/* ---- walk.c: nested loops over several strided operands at once, the innermost one handed out as a run ---- */

typedef struct qdq_walk {
	int rank, operands;
	int64_t dim[QDQ_WALK_RANK];
	int64_t stride[QDQ_WALK_OPERANDS][QDQ_WALK_RANK];
	int64_t index[QDQ_WALK_RANK];
	int64_t at[QDQ_WALK_OPERANDS];	 /* element at which the run begins */
	int64_t step[QDQ_WALK_OPERANDS]; /* from one element of the run to the next */
	int64_t run;			 /* elements in it */
	bool done;
} qdq_walk;

void qdq_walk_init(qdq_walk *w, int rank, const int64_t *dims);
void qdq_walk_add(qdq_walk *w, int64_t first, const int64_t *strides);
void qdq_walk_start(qdq_walk *w);
void qdq_walk_next(qdq_walk *w);
/* Counts a tuple of indices up; false after the last. */
bool qdq_next_index(int rank, int64_t *index, const int64_t *dims);
void qdq_strides(int rank, const int64_t *dims, int64_t *strides);
/* Strides that read a tensor as if it had the (greater or equal) rank and dimensions of `to`. */
void qdq_broadcast_strides(const qdq_tensor *t, int to_rank, const int64_t *to, int64_t *strides);
/* Dimensions of t broadcast with (*rank, dims), in place; false where they do not fit. */
bool qdq_broadcast_dims(const qdq_tensor *t, int *rank, int64_t *dims);
/* cells to[..] = from[..], both strided. */
void qdq_copy_strided(const qdq_cells *to, int64_t to_first, const int64_t *to_strides, const qdq_cells *from,
		      int64_t from_first, const int64_t *from_strides, int rank, const int64_t *dims);
/* Element (i, j, …) of `to` is from[table[0][i] + table[1][j] + …], or `fill` where one of them is -1. No dimension is
 * 0. */
void qdq_copy_by_table(const qdq_cells *to, int rank, const int64_t *dims, int64_t *const *table, const qdq_cells *from,
		       const qdq_cells *fill);

/* ---- quant.c ---- */

/* Parameters of a code tensor, spread over its elements. */
bool qdq_eval_dequantized(qdq_eval *e, const qdq_tensor *q, const qdq_tensor *scale, const qdq_tensor *zero, int axis,
			  const double **out);
/* Output i: reals quantized with one scale (NULL is 1); codes of zero's type (uint8 where that is NULL). */
bool qdq_eval_requantize(qdq_eval *e, uint32_t i, int rank, const int64_t *dims, const double *values,
			 const qdq_tensor *scale, const qdq_tensor *zero);

/* ---- window.c: the geometry of convolutions and pools ---- */

typedef struct qdq_window {
	int rank; /* spatial dimensions */
	int64_t in[QDQ_EVAL_RANK], kernel[QDQ_EVAL_RANK], out[QDQ_EVAL_RANK];
	int64_t stride[QDQ_EVAL_RANK], dilation[QDQ_EVAL_RANK];
	int64_t pad[QDQ_EVAL_RANK], pad_end[QDQ_EVAL_RANK];
} qdq_window;

/* From the node's attributes; kernel may be NULL, then kernel_shape gives it. */
bool qdq_window_init(qdq_eval *e, qdq_window *w, int rank, const int64_t *in, const int64_t *kernel);

/* ---- kernels: one for each word of ops.def's eval column ---- */

#define qdq_eval_none NULL
qdq_eval_fn qdq_eval_arg_reduce, qdq_eval_arith, qdq_eval_batch_norm, qdq_eval_cast, qdq_eval_clip, qdq_eval_compare,
    qdq_eval_compress, qdq_eval_concat, qdq_eval_constant, qdq_eval_constant_of_shape, qdq_eval_cum_sum,
    qdq_eval_depth_to_space, qdq_eval_dequantize, qdq_eval_expand, qdq_eval_eye_like, qdq_eval_gather,
    qdq_eval_gather_elements, qdq_eval_gather_nd, qdq_eval_gemm, qdq_eval_identity, qdq_eval_matmul, qdq_eval_non_zero,
    qdq_eval_one_hot, qdq_eval_pad, qdq_eval_quantize, qdq_eval_range, qdq_eval_reduce, qdq_eval_scatter_elements,
    qdq_eval_scatter_nd, qdq_eval_shape_of, qdq_eval_size_of, qdq_eval_slice, qdq_eval_softmax, qdq_eval_space_to_depth,
    qdq_eval_split, qdq_eval_tile, qdq_eval_transpose, qdq_eval_trilu, qdq_eval_unary, qdq_eval_view, qdq_eval_where;
qdq_eval_fn qdq_eval_conv, qdq_eval_conv_transpose, qdq_eval_conv_integer, qdq_eval_matmul_integer,
    qdq_eval_qlinear_conv, qdq_eval_qlinear_matmul, qdq_eval_qgemm, qdq_eval_pool, qdq_eval_global_pool,
    qdq_eval_resize, qdq_eval_layer_norm, qdq_eval_instance_norm, qdq_eval_qlinear_binary, qdq_eval_qlinear_unary,
    qdq_eval_qlinear_pool, qdq_eval_qlinear_global_pool, qdq_eval_qlinear_concat, qdq_eval_qlinear_where,
    qdq_eval_qlinear_reduce_mean, qdq_eval_qlinear_softmax, qdq_eval_top_k, qdq_eval_reverse_sequence,
    qdq_eval_center_crop_pad, qdq_eval_dynamic_quantize, qdq_eval_fake_quantize, qdq_eval_quant;

#endif

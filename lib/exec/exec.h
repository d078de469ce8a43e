/* SPDX-License-Identifier: Apache-2.0
 *
 * exec.h -- from an optimized model to a plan: kernels in order, buffers with layouts, one arena
 *
 * A plan is made for one set of input shapes. Every node becomes one kernel or a few (lower.c); what no kernel
 * covers is left to lib/eval, node by node, on plain tensors. Values are buffers. A buffer is PLAIN (as ONNX has it) or
 * ROWS: pixels of adjacent channels, axis 1 last, which is NHWC for images and padded to `pitch` elements.
 */
#ifndef QDQ_EXEC_EXEC_H
#define QDQ_EXEC_EXEC_H

#include "../eval/eval.h"
#include "../ir/ir.h"
#include "cpu/cpu.h"
#include "cpu/product.h"
#include "functions.h"
#include "steps.h"

#define QDQ_EXEC_RANK 8

/* ---- buffers ---- */

typedef enum qdq_place { QDQ_PLACE_ARENA, QDQ_PLACE_INPUT, QDQ_PLACE_OUTPUT, QDQ_PLACE_CONSTANT } qdq_place;

typedef struct qdq_buffer {
	const qdq_value *value; /* also of a copy of it in ROWS */
	qdq_type type;
	int32_t rank;
	int64_t dims[QDQ_EXEC_RANK];
	bool rows;		 /* ROWS, else PLAIN */
	bool last_axis;		 /* of ROWS: the last axis has the channels, not axis 1 */
	int64_t pixels, spatial; /* of ROWS: all pixels, pixels of one image */
	int64_t channels, pitch; /* of ROWS */
	uint64_t size;		 /* bytes */
	qdq_place place;
	uint64_t at;	      /* offset in the arena; index of the input or output */
	const void *data;     /* of a constant */
	uint32_t first, last; /* kernels that write and read it first and last */
} qdq_buffer;

/* ---- kernels ---- */

/* Channels of a plain buffer, as a kernel counts them. */
static inline int64_t qdq_buffer_channels(const qdq_buffer *b, bool last_axis)
{
	return b->dims[last_axis ? b->rank - 1 : 1];
}

/* How a kernel sees 8-bit codes or floats of a buffer. */
typedef struct qdq_operand {
	uint32_t buffer;
	float zero;	 /* zero point of codes */
	float ratio;	 /* register = (element - zero) * ratio */
	float divisor;	 /* of floats that are quantized: register = element / divisor; 0: none */
	int64_t channel; /* of a store: where its channels begin in the buffer (Concat) */
	bool each_image; /* one element for each channel of an image, for all its pixels */
} qdq_operand;

typedef enum qdq_binary {		  /* a and b brought to the unit of the result by before and before_second */
			  QDQ_BINARY_ADD, /* fma(b, before_second, a * before) */
			  QDQ_BINARY_SUB, /* fma(-b, before_second, a * before) */
			  QDQ_BINARY_MUL, /* a * b * before_second; before is 1 */
			  QDQ_BINARY_DIV, /* a / b * before_second; before is 1 */
			  QDQ_BINARY_MAX,
			  QDQ_BINARY_MIN
} qdq_binary;

/* Beside those of steps.h; only the CPU has them. */
typedef enum qdq_cpu_step_kind {
	QDQ_STEP_LEAKY = QDQ_STEP_STORE + 1, /* v < 0 ? v * multiplier[c] : v */
	QDQ_STEP_FUNCTION,		     /* one of functions.h, of a number whose unit is 1 */
	QDQ_STEP_TABLE,			     /* table[v - first], where v is an integer: any function of a code */
	QDQ_STEP_LOAD,			     /* another operand: (element - zero) * ratio */
	QDQ_STEP_BINARY			     /* of two registers */
} qdq_cpu_step_kind;

typedef struct qdq_step {
	int kind;	   /* qdq_step_kind or qdq_cpu_step_kind */
	uint32_t from, to; /* registers; LOAD reads none */
	uint32_t second;   /* of BINARY */
	float before;	   /* multiplies `from`, where that has another unit; 1: not */
	float before_second;
	float low, high;
	float first; /* of TABLE: the register that has the first entry */
	qdq_function_id function;
	qdq_binary binary;
	const float *multiplier, *addend; /* per channel */
	const float *table;		  /* 256 entries */
	qdq_operand other;		  /* of ADD, LOAD and STORE */
	const qdq_value *value;		  /* of ROUND and TABLE: the codes that it stands for, in the region; or NULL */
} qdq_step;

/* Does it read or write memory? */
static inline bool qdq_step_has_operand(const qdq_step *s)
{
	return s->kind == QDQ_STEP_ADD || s->kind == QDQ_STEP_LOAD || s->kind == QDQ_STEP_STORE;
}

typedef enum qdq_anchor {
	QDQ_ANCHOR_NODE, /* the node as it is: OpenBLAS runs float contractions, lib/eval everything else */
	QDQ_ANCHOR_CONTRACT,
	QDQ_ANCHOR_LOAD, /* register = operand */
	QDQ_ANCHOR_MUL,	 /* register = product of two operands' codes, exact, times ratio */
	QDQ_ANCHOR_MAX,	 /* of a window */
	QDQ_ANCHOR_MEAN	 /* of a window; the sum of codes is exact */
} qdq_anchor;

typedef struct qdq_window { /* geometry of a pool */
	int64_t n, h, w, oh, ow, kh, kw, sh, sw, dh, dw, top, left;
	bool count_pads; /* MEAN divides by kh * kw everywhere */
} qdq_window;

/* A kernel that computes some rows and columns of its results: a transposed convolution is one for each place in a stride.
 * sh 0: all of them. */
typedef struct qdq_grid {
	int64_t sh, sw;		  /* every so many rows and columns */
	int64_t first_h, first_w; /* from these on */
	int64_t h, w, oh, ow;	  /* how many there are: of the kernel, of the results */
} qdq_grid;

/* The pixel of the results that a kernel counts as `pixel`. */
static inline int64_t qdq_grid_pixel(const qdq_grid *g, int64_t pixel)
{
	int64_t image = pixel / (g->h * g->w), y = pixel / g->w % g->h, x = pixel % g->w;

	return (image * g->oh + y * g->sh + g->first_h) * g->ow + x * g->sw + g->first_w;
}

typedef struct qdq_kernel {
	qdq_anchor anchor;
	qdq_node *node; /* where it comes from */
	int64_t pixels, channels, spatial;
	bool
	    last_axis; /* channels are the last axis (products of more than two dimensions), not axis 1; spatial is 1 */
	qdq_operand in[2];
	float ratio;		    /* of MUL and MEAN */
	const qdq_product *product; /* of NODE: a float contraction; NULL: lib/eval runs it */
	qdq_grid grid;		    /* of CONTRACT; spatial counts pixels of the results */
	qdq_conv conv;
	const int32_t *bias;			 /* k; NULL: none. Part of the accumulator */
	const float *multiplier, *rest, *addend; /* k; of the accumulator, see qdq_scale */
	qdq_window window;
	qdq_step *steps;
	uint32_t n_steps, n_registers;
} qdq_kernel;

/* An operator of constants that stood between DQ and Q (constants.c): what it gives, and the parameters of both. */
typedef struct qdq_moved {
	const qdq_value *y;
	qdq_params params;
} qdq_moved;

typedef struct qdq_plan {
	qdq_model *m;
	qdq_arena *arena;
	qdq_arena *scratch;		     /* while it is made */
	int64_t (*pitch)(int64_t channels);  /* of ROWS; see backend.h */
	bool (*covers)(const qdq_kernel *k); /* has the device its steps? NULL: all; see backend.h */
	qdq_blas *blas;			     /* looked for where it is needed */
	uint32_t *buffer_of;		     /* by id of a value: 1 + its buffer */
	size_t n_buffer_of;
	QDQ_VEC(qdq_buffer) buffers;
	QDQ_VEC(qdq_kernel) kernels;
	QDQ_VEC(qdq_moved) moved;    /* onto codes */
	uint64_t size, largest_live; /* of the arena, in bytes */
} qdq_plan;

/* plan.c: a plan for m, whose shapes are all known, on a device with ROWS of this pitch; throws QDQ_EMODEL that names the first nodes that nothing covers. */
qdq_plan *qdq_plan_make(qdq_arena *a, qdq_model *m, int64_t (*pitch)(int64_t channels),
			bool (*covers)(const qdq_kernel *k), qdq_blas *blas);
/* The buffer of a value, made where there is none yet; its shape is known. */
uint32_t qdq_plan_buffer(qdq_plan *p, const qdq_value *v);
void qdq_plan_grow(qdq_plan *p); /* after values were made */
/* The same in ROWS: itself, or a copy that a kernel makes. */
uint32_t qdq_plan_rows(qdq_plan *p, const qdq_value *v, bool last_axis);
/* Is its buffer in ROWS, with the channels in axis 1? */
bool qdq_plan_in_rows(const qdq_value *v);

/* lower.c: appends the kernels of n and returns true, or leaves the plan as it was and returns false. */
bool qdq_lower(qdq_plan *p, qdq_node *n);
/* cut.c: contractions among the kernels from the nth on, whose steps the device has not, become two kernels. */
void qdq_cut_kernels(qdq_plan *p, size_t n);
/* constants.c: operators of constants that stand between DQ and Q in a region work on codes. */
void qdq_constants_onto_codes(qdq_plan *p, qdq_node *region);
/* Is n such an operator? NULL is none. */
bool qdq_constants_has(const qdq_plan *p, const qdq_node *n);
/* What such an operator meant: DQ, itself, Q. *meant is NULL where n is none; false: the evaluator refuses it. */
bool qdq_constants_meant(const qdq_plan *p, qdq_arena *a, const qdq_node *n, const qdq_tensor *const *inputs,
			 const qdq_tensor **meant);
/* split.c: dissolves a region into smaller ones and nodes, in its place; the first of them. */
qdq_node *qdq_split(qdq_plan *p, qdq_node *region);
/* The DQ of a constant becomes a constant, if n is one that only nodes read. */
bool qdq_fold_weights(qdq_plan *p, qdq_node *n);
/* product.c: is n a float contraction that cpu/product.c can run? All but `multiply` is filled in. */
bool qdq_lower_product(qdq_plan *p, const qdq_node *n, qdq_product *out);

#endif

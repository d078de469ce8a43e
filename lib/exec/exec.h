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
	int64_t pixels, spatial; /* of ROWS: all pixels, pixels of one image */
	int64_t channels, pitch; /* of ROWS */
	uint64_t size;		 /* bytes */
	qdq_place place;
	uint64_t at;	      /* offset in the arena; index of the input or output */
	const void *data;     /* of a constant */
	uint32_t first, last; /* kernels that write and read it first and last */
} qdq_buffer;

/* ---- kernels ---- */

/* How a kernel sees 8-bit codes or floats of a buffer. */
typedef struct qdq_operand {
	uint32_t buffer;
	float zero;	 /* zero point of codes */
	float ratio;	 /* register = (element - zero) * ratio */
	float divisor;	 /* of floats that are quantized: register = element / divisor; 0: none */
	int64_t channel; /* of a store: where its channels begin in the buffer (Concat) */
} qdq_operand;

typedef struct qdq_step {
	qdq_step_kind kind;
	uint32_t from, to; /* registers */
	float before;	   /* multiplies `from`, where that has another unit; 1: not */
	float low, high;
	const float *multiplier, *addend; /* per channel */
	qdq_operand other;		  /* of ADD and STORE */
	const qdq_value *value;		  /* of ROUND: the codes that it stands for, in the region */
} qdq_step;

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

typedef struct qdq_kernel {
	qdq_anchor anchor;
	qdq_node *node; /* where it comes from */
	int64_t pixels, channels, spatial;
	qdq_operand in[2];
	float ratio;		    /* of MUL and MEAN */
	const qdq_product *product; /* of NODE: a float contraction; NULL: lib/eval runs it */
	qdq_conv conv;
	const int32_t *bias;		  /* k; NULL: none. Part of the accumulator */
	const float *multiplier, *addend; /* k; of the accumulator */
	qdq_window window;
	qdq_step *steps;
	uint32_t n_steps, n_registers;
} qdq_kernel;

typedef struct qdq_plan {
	qdq_model *m;
	qdq_arena *arena;
	qdq_arena *scratch;		    /* while it is made */
	int64_t (*pitch)(int64_t channels); /* of ROWS; see backend.h */
	qdq_blas *blas;			    /* looked for where it is needed */
	uint32_t *buffer_of;		    /* by id of a value: 1 + its buffer */
	size_t n_buffer_of;
	QDQ_VEC(qdq_buffer) buffers;
	QDQ_VEC(qdq_kernel) kernels;
	uint64_t size, largest_live; /* of the arena, in bytes */
} qdq_plan;

/* plan.c: a plan for m, whose shapes are all known, with ROWS of this pitch; throws QDQ_EMODEL that names the first nodes that nothing covers. */
qdq_plan *qdq_plan_make(qdq_arena *a, qdq_model *m, int64_t (*pitch)(int64_t channels), qdq_blas *blas);
/* The buffer of a value, made where there is none yet; its shape is known. */
uint32_t qdq_plan_buffer(qdq_plan *p, const qdq_value *v);
void qdq_plan_grow(qdq_plan *p); /* after values were made */
/* The same in ROWS: itself, or a copy that a kernel makes. */
uint32_t qdq_plan_rows(qdq_plan *p, const qdq_value *v);

/* lower.c: appends the kernels of n and returns true, or leaves the plan as it was and returns false. */
bool qdq_lower(qdq_plan *p, qdq_node *n);
/* split.c: dissolves a region into smaller ones and nodes, in its place; the first of them. */
qdq_node *qdq_split(qdq_plan *p, qdq_node *region);
/* The DQ of a constant becomes a constant, if n is one that only nodes read. */
bool qdq_fold_weights(qdq_plan *p, qdq_node *n);
/* product.c: is n a float contraction that cpu/product.c can run? All but `multiply` is filled in. */
bool qdq_lower_product(qdq_plan *p, const qdq_node *n, qdq_product *out);

#endif

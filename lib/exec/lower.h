/* SPDX-License-Identifier: Apache-2.0
 *
 * lower.h -- private to the files that make kernels: lower.c, anchors.c, units.c
 */
#ifndef QDQ_EXEC_LOWER_H
#define QDQ_EXEC_LOWER_H

#include <math.h>

#include "exec.h"

/* What a Q or DQ says. scale NULL: no quantization is known, the codes stand for themselves. */
typedef struct quant {
	qdq_type type; /* of the codes; of a float source: FLOAT */
	const qdq_tensor *scale, *zero;
	int64_t axis;
} quant;

double qdq_quant_scale(const quant *q, uint64_t channel);
int32_t qdq_quant_zero(const quant *q, uint64_t channel);

typedef enum known_kind { KNOWN_SOURCE, KNOWN_REGISTER, KNOWN_TABLE } known_kind;

typedef struct known {
	const qdq_value *v; /* in the body */
	known_kind kind;
	const qdq_value *outer; /* of a source */
	quant quant;		/* of a source; of a register or table that is the output of a Q */
	uint32_t reg;
	const qdq_value *root;	 /* of a table: the codes that it is a function of */
	const qdq_tensor *table; /* its 256 values */
} known;

typedef struct other_operand {
	uint32_t step;
	known k;
} other_operand;

typedef struct lowering {
	qdq_plan *p;
	qdq_model *m;
	qdq_node *n;
	const qdq_graph *body; /* NULL: n itself */
	qdq_arena *scratch;
	qdq_kernel k;
	bool anchored;
	known main, second; /* what the anchor reads */
	quant weight;	    /* of a contraction */
	const double *bias; /* of a contraction: k real numbers; NULL: none, or codes of the accumulator */
	QDQ_VEC(known) known;
	QDQ_VEC(qdq_step) steps;
	QDQ_VEC(double) scales;	   /* by step: of ROUND, and of a TABLE that gives codes; else 0 */
	QDQ_VEC(double) scales_in; /* by step: of the codes that a TABLE reads; else 0 */
	QDQ_VEC(double) units;	   /* by register */
	QDQ_VEC(other_operand) others, stores;
	uint32_t part,
	    parts;	 /* of a Concat: which input this is; of a ConvTranspose: which place in a stride; how many */
	int64_t channel; /* where its channels begin */
} lowering;

/* lower.c */
const qdq_value *qdq_outer(const lowering *l, const qdq_value *v); /* the value that a port stands for */
const qdq_tensor *qdq_constant(const lowering *l, const qdq_value *v);
bool qdq_quant_of(const lowering *l, const qdq_node *n, quant *q);
bool qdq_one_scale(const quant *q);
const known *qdq_known_of(const lowering *l, const qdq_value *v);
const known *qdq_source(lowering *l, const qdq_value *v); /* also a value from outside: codes as they are, or floats */
/* Has it the shape of the result, or one element for each channel of an image? */
bool qdq_is_full(const lowering *l, const qdq_value *v);
bool qdq_is_each_image(const lowering *l, const qdq_value *v);
uint32_t qdq_new_register(lowering *l);
qdq_step *qdq_add_step(lowering *l, int kind, uint32_t from);
bool qdq_load_source(lowering *l, const known *k, uint32_t *out);     /* as the anchor, or in a step */
bool qdq_register_of(lowering *l, const qdq_value *v, uint32_t *out); /* of what is computed here, or loaded */
void qdq_result(lowering *l, const qdq_node *n, uint32_t reg);

/* pointwise.c */
bool qdq_lower_pointwise(lowering *l, const qdq_node *n);

/* tables.c: is n's result a function of one code, that more than clamps compute? Then nothing is computed yet. */
bool qdq_lower_table(lowering *l, const qdq_node *n);
bool qdq_load_table(lowering *l, known *k, uint32_t *out); /* k becomes what the register is */

/* anchors.c */
bool qdq_lower_contraction(lowering *l, qdq_node *n);
/* The largest sum of a contraction, whatever its codes. */
double qdq_lower_most(const lowering *l);
bool qdq_lower_pool(lowering *l, qdq_node *n);
bool qdq_lower_concat(lowering *l, qdq_node *n);
/* Images and window of a (transposed) convolution with one or two spatial axes; one axis is a row of height 1. False: its
 * attributes are none that can be. */
bool qdq_conv_window(const qdq_node *n, const qdq_shape *x, const qdq_shape *y, const int64_t *kernel, qdq_conv *g);

/* units.c: settles units, computes multipliers, appends the kernel. */
bool qdq_lower_finish(lowering *l);

#endif

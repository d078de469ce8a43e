/* SPDX-License-Identifier: Apache-2.0
 *
 * tensorrt.h -- what the passes for TensorRT share: which Q and DQ its parser takes, and symmetric codes in their place
 */
#ifndef QDQ_TENSORRT_H
#define QDQ_TENSORRT_H

#include "moves.h"

static inline bool qdq_for_tensorrt(const qdq_run *r)
{
	return r->options->target == QDQ_TARGET_TENSORRT;
}

/* Bounds are so much greater than what is computed here: float32 rounds quotients of 255 steps and products, and of a
 * bound nine digits are printed. */
#define QDQ_SLACK (1 + 0x1p-14)

/* Does TensorRT take a Q or DQ with these parameters: int8 with zero points 0, constant scales above 0, one for the
 * whole tensor unless the codes are constants? (int4 and float8 it takes its own way: not looked into.) */
bool qdq_tensorrt_takes(const qdq_params *p, bool constant, qdq_reason *why);

/* Are these 8-bit codes whose parameters are finite constants, so that others can be found in their place? */
bool qdq_symmetric_possible(const qdq_params *p);

/* One scale with zero point 0 that reaches as far as the parameters do. */
typedef struct qdq_symmetric {
	double low, high;   /* least and greatest value that the old codes mean */
	double scale, step; /* the new one, and the greatest old one */
	bool exact;	    /* every old code is a new one */
	double bound;	    /* how far Q -> DQ may be from what it was, for values from low to high */
	double slip;	    /* how much of that are roundings of a quotient and a product to 16 bits, twice */
} qdq_symmetric;
qdq_symmetric qdq_symmetric_of(const qdq_params *p);
/* As parameters: new constants, named after `hint`. */
qdq_params qdq_symmetric_params(qdq_graph *g, const qdq_symmetric *s, qdq_type real, const char *hint);

/* The least number of a float type that is no less than x, which is positive. */
double qdq_round_up(qdq_type type, double x);
/* Writes element i of a tensor of floats. */
void qdq_tensor_put(const qdq_tensor *t, uint64_t i, double x);
/* A constant of one number. */
qdq_value *qdq_constant_number(qdq_graph *g, qdq_type type, double x, const char *hint);

#endif

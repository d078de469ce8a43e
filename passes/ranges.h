/* SPDX-License-Identifier: Apache-2.0
 *
 * ranges.h -- what a float tensor can be at most, whatever comes in: the bounds of bounded rewrites rest on it
 */
#ifndef QDQ_RANGES_H
#define QDQ_RANGES_H

#include "moves.h"

typedef struct qdq_range {
	double low, high;
} qdq_range;

/* What v lies between (NaN aside), as far as codes, constants and the operators between tell; false: nothing is known. */
bool qdq_range_of(const qdq_value *v, qdq_range *out);
/* What the codes of p mean: of all channels together. */
qdq_range qdq_range_of_codes(const qdq_params *p);
/* How far x is from DQ(Q(x)) at most, if x lies in r: half a step where the codes reach that far, else what they lack.
 * With what the float type loses in the product. */
double qdq_rounding_bound(const qdq_params *p, const qdq_range *r);
/* A per-tensor Q or DQ with constant 8-bit parameters and a scale above 0. */
bool qdq_plain_params(const qdq_node *n, qdq_params *p);
/* Do rewrites within a bound run for n? Under --allow=bounded, or where the user wants n in INT8. */
bool qdq_bounded_for(const qdq_run *r, const qdq_node *n);

#endif

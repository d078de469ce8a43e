/* SPDX-License-Identifier: Apache-2.0
 *
 * exact.h -- what a fused operator's Q/DQ nodes mean as real numbers
 */
#ifndef QDQ_EXEC_EXACT_H
#define QDQ_EXEC_EXACT_H

#include "../ir/ir.h"

/* The float values of a region's body without the roundings of float32: every operator computes in double, from the
 * codes of `values` (by the value's id: what the reference evaluator gave, also for the body's inputs; a constant may be
 * absent there). exact[id] becomes what each node gives, NULL behind what has no meaning in double; Qs give nothing, since
 * their codes are those of `values`. Throws only for want of memory. */
void qdq_exact_values(qdq_model *m, qdq_arena *a, const qdq_graph *body, const qdq_tensor *const *values,
		      const qdq_tensor **exact);

/* What the Q that gives `codes` rounded at this element, in steps from its zero point; false: it is not known. */
bool qdq_exact_steps(const qdq_value *codes, const qdq_tensor *const *values, const qdq_tensor *const *exact,
		     uint64_t index, double *out);

#endif

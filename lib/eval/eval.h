/* SPDX-License-Identifier: Apache-2.0
 *
 * eval.h -- what every operator means: a plain reference evaluator, one node at a time
 *
 * Written from the ONNX specification, small and slow before fast. Constant folding, lookup tables and the tests lean
 * on it. Float operators compute in their own type (float16 and bfloat16 in float, rounded once); contractions, sums
 * and means accumulate in double.
 */
#ifndef QDQ_EVAL_H
#define QDQ_EVAL_H

#include "../ir/ir.h"

typedef enum qdq_eval_result {
	QDQ_EVAL_OK,
	QDQ_EVAL_UNSUPPORTED, /* no kernel, a type or form that it does not take, or inputs that the operator forbids */
	QDQ_EVAL_TOO_BIG      /* an output would pass max_bytes */
} qdq_eval_result;

/* Is there a kernel for this operator? It may still decline types and forms. */
bool qdq_eval_known(const qdq_node *n);

/* Computes the outputs that n has (others are set to NULL). inputs[i] belongs to input i, NULL where it is absent.
 * Results live in arena; an operator that only renames or reshapes (Identity, Reshape, Constant) gives its input's own
 * data. No output above max_bytes is begun; 0 is no limit. Throws only for want of memory. */
qdq_eval_result qdq_eval_node(qdq_model *m, qdq_arena *arena, const qdq_node *n, const qdq_tensor *const *inputs,
			      const qdq_tensor **outputs, uint64_t max_bytes);

/* EXACT: the result is exactly rounded by definition, so every conforming runtime has the same bits (arithmetic,
 * square root, comparison, selection, casts, data movement, Q/DQ of float32). STEP1: everything else. */
qdq_exactness qdq_eval_exactness(const qdq_node *n);

/* Runs a whole graph: regions and calls of functions through their bodies, If and Loop through their branches.
 * inputs and outputs follow g->inputs and g->outputs; an input may be NULL where it has a default. Where it does not
 * return OK, *failed (which may be NULL) is the node that could not be run. */
qdq_eval_result qdq_eval_graph(qdq_model *m, const qdq_graph *g, qdq_arena *arena, const qdq_tensor *const *inputs,
			       const qdq_tensor **outputs, const qdq_node **failed);

#endif

/* SPDX-License-Identifier: Apache-2.0
 *
 * outline.h -- a region under construction: nodes are taken in, in any order, and become one fused operator
 */
#ifndef QDQ_OUTLINE_H
#define QDQ_OUTLINE_H

#include "moves.h"

typedef struct qdq_outline {
	qdq_run *run;
	qdq_map members; /* of nodes */
	QDQ_VEC(qdq_node *) nodes;
} qdq_outline;

/* The run's graph must have been numbered: that puts a body in order. */
void qdq_outline_init(qdq_outline *o, qdq_run *r);
void qdq_outline_take(qdq_outline *o, qdq_node *n); /* nothing where it is in already */
static inline bool qdq_outline_has(const qdq_outline *o, const qdq_node *n)
{
	return qdq_map_get(&o->members, n) != NULL;
}
/* Is every reader of n's outputs a member, and none of them a graph output? */
bool qdq_outline_holds_readers(const qdq_outline *o, const qdq_node *n);
/* Takes in the DQ of v, if it is one with movable parameters in this graph. Others may read it: it is cloned then. */
bool qdq_outline_take_dequantizer(qdq_outline *o, const qdq_value *v);
/* Takes in the Qs that read v, as further outputs. */
void qdq_outline_take_quantizers(qdq_outline *o, const qdq_value *v);

/* Has what n writes its type in a function, too? What com.microsoft's DQ gives there is float32 to ONNX Runtime. */
bool qdq_keeps_type(const qdq_node *n);

/* Must a member stay what it is, since the user keeps it in float? Then *why says so. */
bool qdq_outline_kept(const qdq_outline *o, qdq_reason *why);

/* The members become a region, named after the anchor, unless one does not keep its type; an event tells it under `rule`. They must be convex: what
 * reads a member's value outside must not lead back to one. The graph has to be sorted when the pass is done. */
void qdq_outline_commit(qdq_outline *o, qdq_node *anchor, const char *rule);
void qdq_outline_sort(qdq_run *r); /* behind the last one */

/* A Q or DQ that a region can compute: 8 bits, constant, scale > 0. */
bool qdq_is_rounding(const qdq_node *n);

/* Is v a constant, or what a chain of Qs and DQs makes of one? */
bool qdq_is_weight(const qdq_value *v);

#endif

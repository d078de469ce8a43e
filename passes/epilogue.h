/* SPDX-License-Identifier: Apache-2.0
 *
 * epilogue.h -- a region under construction: what it takes in, and how it grows behind its anchor
 *
 *   qdq_builder b = {.run = r, .graph = n->graph, .most_others = 1};
 *   qdq_take_dequantizer(&b, &n->inputs[0]);        the DQs in front
 *   qdq_take(&b, n);                                the anchor
 *   qdq_grow(&b, n->outputs[0]);                    whatever can be computed on the way out
 *   qdq_commit(&b);                                 it is one fused operator now
 */
#ifndef QDQ_EPILOGUE_H
#define QDQ_EPILOGUE_H

#include "outline.h"

/* What a region holds. Nodes in an order that is right for the body; a DQ in front comes with the use that wants it,
 * since it is cloned if others read it too. */
struct qdq_member {
	qdq_node *node;
	qdq_use *use; /* NULL: the node itself moves in */
};

/* A value that the epilogue computed, and how many readers outside the region it has still. */
struct qdq_live {
	qdq_value *v;
	uint32_t left;
};

enum { QDQ_MOST_OTHERS = 4 };

typedef struct qdq_builder {
	qdq_run *run;
	qdq_graph *graph;
	uint32_t most_others; /* tensors, constants aside, that the epilogue may read beside its own: at most 4 */
	uint32_t n_others;
	qdq_value *others[QDQ_MOST_OTHERS];
	QDQ_VEC(struct qdq_member) members;
	QDQ_VEC(struct qdq_live) live;
} qdq_builder;

/* The node itself moves in. */
void qdq_take(qdq_builder *b, qdq_node *n);
/* Takes in the DQ behind an input, of whatever parameters; false: there is none. */
bool qdq_take_dequantizer(qdq_builder *b, qdq_use *u);

/* Grows the epilogue behind v, which a member computes: any DAG of pointwise operators and Q -> DQ pairs that comes
 * together again in one value, as far as that goes; then the Qs (and what requantizes) of the last value, if several read
 * it. Whatever is taken in has the shape of v, so nothing grows. */
void qdq_grow(qdq_builder *b, qdq_value *v);
/* The Qs of v as outputs, and what requantizes their codes for others. */
void qdq_take_quantizers(qdq_builder *b, const qdq_value *v);

/* Outlines what was taken in. The region's name is that of its anchor. */
qdq_node *qdq_commit(qdq_builder *b);

/* passes/pointwise.c: a pointwise operator that no region has, with those in front of it and all around them. Call it for
 * the last one first. */
void qdq_fuse_pointwise(qdq_run *r, qdq_node *n);

/* Does `other` broadcast into v without making it larger? */
bool qdq_fits_into(const qdq_value *other, const qdq_value *v);
/* A pointwise operator on floats with one output that is read (BatchNormalization only as it is at inference). */
bool qdq_is_float_pointwise(const qdq_node *n);

#endif

/* SPDX-License-Identifier: Apache-2.0
 *
 * memory.h -- the offline memory planner: a place for every value that lives between kernels
 */
#ifndef QDQ_EXEC_MEMORY_H
#define QDQ_EXEC_MEMORY_H

#include "../base/base.h"

typedef struct qdq_piece {
	uint64_t size;	      /* bytes; 0 takes no memory */
	uint32_t first, last; /* steps, inclusive, during which nothing else may be there */
	uint64_t offset;      /* result */
} qdq_piece;

/* Gives every piece a place in one arena, a multiple of `alignment` (a power of two), so that pieces that live at the same
 * step do not overlap. Returns the arena's size. The same pieces get the same places. Throws QDQ_EMODEL where sizes
 * overflow. */
uint64_t qdq_plan_memory(qdq_piece *pieces, size_t count, uint64_t alignment, qdq_arena *scratch);
/* The largest sum of aligned sizes that live at one step: no plan needs less. */
uint64_t qdq_largest_live(const qdq_piece *pieces, size_t count, uint64_t alignment, qdq_arena *scratch);

#endif

/* SPDX-License-Identifier: Apache-2.0
 *
 * vector.c -- how QDQ_VEC grows: doubling; the old items stay behind in the arena
 */
#include "base.h"

void *qdq_vec_grow(qdq_arena *a, void *items, size_t count, size_t *capacity, size_t size)
{
	size_t wanted = *capacity < 4 ? 4 : *capacity * 2;
	void *grown = qdq_alloc_array(a, wanted, size);

	if (count != 0)
		memcpy(grown, items, count * size);
	*capacity = wanted;
	return grown;
}

/* SPDX-License-Identifier: Apache-2.0
 *
 * memory.c -- the offline memory planner: a place for every value that lives between kernels
 *
 * Greedy: pieces are placed one after the other, each at the lowest gap between those that live at the same time and have
 * their place already. What comes first decides, so several orders are tried and the best is kept: large ones first,
 * those that take most memory for the longest time first, and the order of use (Pisarchyk and Lee, "Efficient Memory
 * Management for Deep Neural Net Inference", 2020, compare such orders).
 */
#include "memory.h"

#include <stdlib.h>

enum { MANY = 4096 }; /* from here on only the order of use, which needs no list of all */

typedef struct item {
	uint64_t size, key;
	uint32_t first, last;
	size_t index;
	uint64_t offset;
} item;

/* ---- the bound ---- */

typedef struct change {
	uint64_t step;
	uint64_t size;
	bool ends;
} change;

/* In order of steps; what ends at a step comes after what begins there. */
static int by_step(const void *a, const void *b)
{
	const change *x = a, *y = b;

	if (x->step != y->step)
		return x->step < y->step ? -1 : 1;
	return (int)x->ends - (int)y->ends;
}

static uint64_t aligned(uint64_t size, uint64_t alignment, qdq_ctx *ctx)
{
	if (size > UINT64_MAX / 4)
		qdq_fail(ctx, QDQ_EMODEL, NULL, "a value is too large to be held in memory");
	return (size + alignment - 1) & ~(alignment - 1);
}

uint64_t qdq_largest_live(const qdq_piece *pieces, size_t count, uint64_t alignment, qdq_arena *scratch)
{
	change *changes = qdq_array(scratch, change, 2 * count);
	uint64_t live = 0, most = 0;

	for (size_t i = 0; i < count; i++) {
		uint64_t size = aligned(pieces[i].size, alignment, scratch->ctx);

		changes[2 * i] = (change){pieces[i].first, size, false};
		changes[2 * i + 1] = (change){pieces[i].last, size, true};
	}
	qsort(changes, 2 * count, sizeof *changes, by_step);
	for (size_t i = 0; i < 2 * count; i++) {
		if (!changes[i].ends && live > UINT64_MAX - changes[i].size)
			qdq_fail(scratch->ctx, QDQ_EMODEL, NULL, "the values that live at a time exceed memory");
		live += changes[i].ends ? 0 - changes[i].size : changes[i].size;
		most = live > most ? live : most;
	}
	return most;
}

/* ---- placing ---- */

static int by_key(const void *a, const void *b)
{
	const item *x = a, *y = b;

	if (x->key != y->key)
		return x->key > y->key ? -1 : 1;
	return x->index < y->index ? -1 : 1;
}

/* placed: those that have a place, by offset. The lowest gap that is large enough. */
static uint64_t lowest_gap(item *const *placed, size_t n, const item *it)
{
	uint64_t end = 0;

	for (size_t i = 0; i < n; i++) {
		const item *p = placed[i];

		if (p->last < it->first || p->first > it->last)
			continue;
		if (p->offset >= end && p->offset - end >= it->size)
			break;
		if (p->offset + p->size > end)
			end = p->offset + p->size;
	}
	return end;
}

static void insert(item **placed, size_t n, item *it)
{
	while (n > 0 && placed[n - 1]->offset > it->offset) {
		placed[n] = placed[n - 1];
		n--;
	}
	placed[n] = it;
}

/* Those that ended before `step` need not be looked at again, where pieces come in order of use. */
static size_t forget(item **placed, size_t n, uint32_t step)
{
	size_t kept = 0;

	for (size_t i = 0; i < n; i++)
		if (placed[i]->last >= step)
			placed[kept++] = placed[i];
	return kept;
}

/* Items in order; returns the size of the arena. */
static uint64_t place(item *items, size_t count, item **placed, bool in_order)
{
	uint64_t size = 0;
	size_t n = 0;

	for (size_t i = 0; i < count; i++) {
		item *it = &items[i];

		if (in_order)
			n = forget(placed, n, it->first);
		it->offset = lowest_gap(placed, n, it);
		insert(placed, n++, it);
		if (it->offset + it->size > size)
			size = it->offset + it->size;
	}
	return size;
}

enum { BY_SIZE, BY_VOLUME, BY_USE, ORDERS };

static uint64_t key_of(const item *it, int order)
{
	uint64_t steps = (uint64_t)it->last - it->first + 1;

	if (order == BY_USE)
		return UINT64_MAX - it->first;
	if (order == BY_VOLUME)
		return it->size > UINT64_MAX / steps ? UINT64_MAX : it->size * steps;
	return it->size;
}

uint64_t qdq_plan_memory(qdq_piece *pieces, size_t count, uint64_t alignment, qdq_arena *scratch)
{
	item *items = qdq_array(scratch, item, count);
	item **placed = qdq_array(scratch, item *, count);
	uint64_t least = qdq_largest_live(pieces, count, alignment, scratch), best = UINT64_MAX;
	size_t n = 0;

	for (size_t i = 0; i < count; i++) {
		pieces[i].offset = 0;
		if (pieces[i].size != 0)
			items[n++] = (item){.size = aligned(pieces[i].size, alignment, scratch->ctx),
					    .first = pieces[i].first,
					    .last = pieces[i].last,
					    .index = i};
	}
	for (int order = n < MANY ? BY_SIZE : BY_USE; order < ORDERS && best != least; order++) {
		uint64_t size;

		for (size_t i = 0; i < n; i++)
			items[i].key = key_of(&items[i], order);
		qsort(items, n, sizeof *items, by_key);
		size = place(items, n, placed, order == BY_USE);
		if (size >= best)
			continue;
		best = size;
		for (size_t i = 0; i < n; i++)
			pieces[items[i].index].offset = items[i].offset;
	}
	return n == 0 ? 0 : best;
}

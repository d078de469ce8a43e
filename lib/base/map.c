/* SPDX-License-Identifier: Apache-2.0
 *
 * map.c -- pointers to pointers: open addressing, linear probing, at most half full
 */
#include "base.h"

struct qdq_map_slot {
	const void *key; /* NULL: free */
	void *value;
};

void qdq_map_init(qdq_map *m, qdq_arena *arena)
{
	*m = (qdq_map){.arena = arena};
}

static size_t spread(const void *key)
{
	uint64_t h = (uint64_t)(uintptr_t)key;

	h = (h ^ (h >> 32)) * UINT64_C(0x9e3779b97f4a7c15);
	return (size_t)(h ^ (h >> 29));
}

static struct qdq_map_slot *find(const qdq_map *m, const void *key)
{
	size_t i = spread(key) & (m->capacity - 1);

	while (m->slots[i].key != NULL && m->slots[i].key != key)
		i = (i + 1) & (m->capacity - 1);
	return &m->slots[i];
}

void *qdq_map_get(const qdq_map *m, const void *key)
{
	return m->capacity == 0 ? NULL : find(m, key)->value;
}

static void resize(qdq_map *m, size_t wanted)
{
	struct qdq_map_slot *old = m->slots;
	size_t n = m->capacity;

	m->slots = qdq_array(m->arena, struct qdq_map_slot, wanted);
	m->capacity = wanted;
	for (size_t i = 0; i < n; i++)
		if (old[i].key != NULL)
			*find(m, old[i].key) = old[i];
}

void qdq_map_reserve(qdq_map *m, size_t count)
{
	size_t wanted = 16;

	while (wanted / 2 <= m->count + count && wanted < SIZE_MAX / 4)
		wanted *= 2;
	if (wanted > m->capacity)
		resize(m, wanted);
}

void qdq_map_set(qdq_map *m, const void *key, void *value)
{
	struct qdq_map_slot *slot;

	if (m->count * 2 >= m->capacity)
		resize(m, m->capacity == 0 ? 16 : 2 * m->capacity);
	slot = find(m, key);
	if (slot->key == NULL)
		m->count++;
	*slot = (struct qdq_map_slot){key, value};
}

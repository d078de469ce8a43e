/* SPDX-License-Identifier: Apache-2.0
 *
 * names.c -- interned strings, and names that nothing else has
 */
#include <stdio.h>

#include "base.h"

struct qdq_names_slot {
	uint64_t hash;
	qdq_name name; /* NULL: free */
	uint32_t length;
	uint32_t suffix; /* of a base name: the last number tried behind it */
};

uint64_t qdq_hash(const void *data, size_t size, uint64_t seed)
{
	const unsigned char *p = data;
	uint64_t h = seed ^ (size * UINT64_C(0x9e3779b97f4a7c15));

	for (; size >= 8; p += 8, size -= 8) {
		uint64_t word;

		memcpy(&word, p, 8);
		h = (h ^ word) * UINT64_C(0xff51afd7ed558ccd);
		h ^= h >> 32;
	}
	for (; size > 0; p++, size--)
		h = (h ^ *p) * UINT64_C(0xc4ceb9fe1a85ec53);
	h ^= h >> 33;
	h *= UINT64_C(0xff51afd7ed558ccd);
	return h ^ (h >> 29);
}

void qdq_names_init(qdq_names *names, qdq_arena *arena)
{
	*names = (qdq_names){.arena = arena};
}

static struct qdq_names_slot *find(const qdq_names *names, const char *s, size_t length, uint64_t hash)
{
	size_t mask = names->capacity - 1;
	size_t i = (size_t)hash & mask;

	for (;; i = (i + 1) & mask) {
		struct qdq_names_slot *slot = &names->slots[i];

		if (slot->name == NULL)
			return slot;
		if (slot->hash == hash && slot->length == length && memcmp(slot->name, s, length) == 0)
			return slot;
	}
}

static void resize(qdq_names *names, size_t wanted)
{
	struct qdq_names_slot *old = names->slots;
	size_t n = names->capacity;

	names->slots = qdq_array(names->arena, struct qdq_names_slot, wanted);
	names->capacity = wanted;
	for (size_t i = 0; i < n; i++)
		if (old[i].name != NULL)
			*find(names, old[i].name, old[i].length, old[i].hash) = old[i];
}

void qdq_names_reserve(qdq_names *names, size_t count)
{
	size_t wanted = 256;

	while (wanted / 2 <= names->count + count && wanted < SIZE_MAX / 4)
		wanted *= 2;
	if (wanted > names->capacity)
		resize(names, wanted);
}

static struct qdq_names_slot *intern(qdq_names *names, const char *s, size_t length)
{
	uint64_t hash = qdq_hash(s, length, 0);
	struct qdq_names_slot *slot;

	if (length > UINT32_MAX)
		qdq_fail(names->arena->ctx, QDQ_EMODEL, NULL, "a name is longer than 4 GiB");
	if (names->count * 2 >= names->capacity)
		resize(names, names->capacity == 0 ? 256 : 2 * names->capacity);
	slot = find(names, s, length, hash);
	if (slot->name == NULL) {
		qdq_name copy = qdq_copy(names->arena, s, length);

		*slot = (struct qdq_names_slot){hash, copy, (uint32_t)length, 1};
		names->count++;
	}
	return slot;
}

qdq_name qdq_intern_n(qdq_names *names, const char *s, size_t length)
{
	return intern(names, s, length)->name;
}

qdq_name qdq_intern(qdq_names *names, const char *s)
{
	if (s == NULL)
		s = "";
	return intern(names, s, strlen(s))->name;
}

qdq_name qdq_find_name(const qdq_names *names, const char *s)
{
	size_t length = strlen(s);

	return names->capacity == 0 ? NULL : find(names, s, length, qdq_hash(s, length, 0))->name;
}

qdq_name qdq_unique_name(qdq_names *names, const char *base)
{
	size_t length = strlen(base);
	uint32_t suffix;
	char *s;

	if (length != 0 && qdq_find_name(names, base) == NULL)
		return qdq_intern_n(names, base, length);
	s = qdq_alloc(names->arena, length + 16);
	suffix = intern(names, base, length)->suffix;
	do {
		suffix++;
		snprintf(s, length + 16, "%s__%u", base, suffix);
	} while (qdq_find_name(names, s) != NULL);
	intern(names, base, length)->suffix = suffix;
	return qdq_intern(names, s);
}

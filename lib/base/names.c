/* SPDX-License-Identifier: Apache-2.0
 *
 * names.c -- interned strings, and names that nothing else has
 *
 * The hash table holds only indices, so that it stays small: in a model of a million nodes every look-up of a new name
 * misses the cache once.
 */
#include <stdio.h>

#include "base.h"

struct qdq_names_entry {
	qdq_name name;
	void *word; /* see qdq_intern_word; between loads, of a base name: the last number tried behind it */
};

struct qdq_names_slot {
	uint32_t tag;	/* high half of the hash */
	uint32_t index; /* of the entry, plus one; 0: free */
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

/* The slot of a name, or the free one where it would go. */
static struct qdq_names_slot *find(const qdq_names *names, const char *s, size_t length, uint64_t hash)
{
	size_t mask = names->capacity - 1;
	size_t i = (size_t)hash & mask;

	for (;; i = (i + 1) & mask) {
		struct qdq_names_slot *slot = &names->slots[i];
		const struct qdq_names_entry *e;

		if (slot->index == 0)
			return slot;
		e = &names->entries[slot->index - 1];
		if (slot->tag == (uint32_t)(hash >> 32) && strncmp(e->name, s, length) == 0 && e->name[length] == '\0')
			return slot;
	}
}

#define ROOM(slots) ((slots) / 4 * 3) /* entries that so many slots are for */

/* Slots and entries lie in one piece of memory outside the arena, which could not give the old one back. */
static size_t table_size(size_t slots)
{
	return slots * sizeof(struct qdq_names_slot) + ROOM(slots) * sizeof(struct qdq_names_entry);
}

static void release(void *object)
{
	qdq_names *names = object;

	if (names->capacity != 0)
		qdq_ctx_release(names->arena->ctx, names->slots, table_size(names->capacity));
	*names = (qdq_names){.arena = names->arena};
}

/* `wanted` slots, a power of two. */
static void resize(qdq_names *names, size_t wanted)
{
	struct qdq_names_slot *slots;
	struct qdq_names_entry *entries;

	if (ROOM(wanted) > UINT32_MAX)
		qdq_fail(names->arena->ctx, QDQ_EMODEL, NULL, "too many names");
	if (names->capacity == 0)
		qdq_arena_defer(names->arena, release, names);
	slots = qdq_ctx_alloc(names->arena->ctx, table_size(wanted));
	entries = (struct qdq_names_entry *)(void *)(slots + wanted);
	qdq_expect_random(slots, wanted * sizeof *slots);
	memset(slots, 0, wanted * sizeof *slots);
	if (names->count != 0)
		memcpy(entries, names->entries, names->count * sizeof *entries);
	for (size_t i = 0; i < names->count; i++) {
		uint64_t hash = qdq_hash(entries[i].name, strlen(entries[i].name), 0);
		size_t at = (size_t)hash & (wanted - 1);

		while (slots[at].index != 0)
			at = (at + 1) & (wanted - 1);
		slots[at] = (struct qdq_names_slot){(uint32_t)(hash >> 32), (uint32_t)i + 1};
	}
	if (names->capacity != 0)
		qdq_ctx_release(names->arena->ctx, names->slots, table_size(names->capacity));
	names->entries = entries;
	names->slots = slots;
	names->room = ROOM(wanted);
	names->capacity = wanted;
}

void qdq_names_reserve(qdq_names *names, size_t count)
{
	size_t wanted = 256;

	while (ROOM(wanted) <= names->count + count && wanted < SIZE_MAX / 4)
		wanted *= 2;
	if (wanted > names->capacity)
		resize(names, wanted);
}

void qdq_prefetch_name(const qdq_names *names, const char *s)
{
#if defined(__GNUC__)
	if (s != NULL && names->capacity != 0)
		__builtin_prefetch(&names->slots[(size_t)qdq_hash(s, strlen(s), 0) & (names->capacity - 1)], 1);
#else
	(void)names, (void)s;
#endif
}

static struct qdq_names_entry *intern(qdq_names *names, const char *s, size_t length)
{
	uint64_t hash = qdq_hash(s, length, 0);
	struct qdq_names_slot *slot;

	if (names->count == names->room)
		resize(names, names->capacity == 0 ? 256 : 2 * names->capacity);
	slot = find(names, s, length, hash);
	if (slot->index == 0) {
		names->entries[names->count] = (struct qdq_names_entry){qdq_copy(names->arena, s, length), NULL};
		*slot = (struct qdq_names_slot){(uint32_t)(hash >> 32), (uint32_t)++names->count};
	}
	return &names->entries[slot->index - 1];
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

void **qdq_intern_word(qdq_names *names, const char *s, qdq_name *out)
{
	struct qdq_names_entry *e = intern(names, s == NULL ? "" : s, s == NULL ? 0 : strlen(s));

	*out = e->name;
	return &e->word;
}

qdq_name qdq_find_name(const qdq_names *names, const char *s)
{
	size_t length = strlen(s);
	const struct qdq_names_slot *slot;

	if (names->capacity == 0)
		return NULL;
	slot = find(names, s, length, qdq_hash(s, length, 0));
	return slot->index == 0 ? NULL : names->entries[slot->index - 1].name;
}

void qdq_forget_words(qdq_names *names)
{
	for (size_t i = 0; i < names->count; i++)
		names->entries[i].word = NULL;
}

qdq_name qdq_unique_name(qdq_names *names, const char *base)
{
	size_t length = strlen(base), before = names->count;
	const struct qdq_names_entry *e = intern(names, base, length);
	uintptr_t suffix = e->word == NULL ? 1 : (uintptr_t)e->word;
	char few[256], *s = few;
	qdq_name made;

	if (length != 0 && names->count != before)
		return e->name; /* new with this very call */
	if (length + 24 > sizeof few)
		s = qdq_alloc(names->arena, length + 24);
	do {
		before = names->count;
		suffix++;
		snprintf(s, length + 24, "%s__%ju", base, (uintmax_t)suffix);
		made = qdq_intern(names, s);
	} while (names->count == before);
	intern(names, base, length)->word = (void *)suffix;
	return made;
}

/* How long s is without __2 at its end; as long as it is where it has no such end. */
static size_t without_number(const char *s, size_t length)
{
	size_t end = length;

	while (end > 0 && s[end - 1] >= '0' && s[end - 1] <= '9')
		end--;
	return end < length && end > 2 && s[end - 1] == '_' && s[end - 2] == '_' ? end - 2 : length;
}

qdq_name qdq_name_before_number(const qdq_names *names, const char *s, size_t count)
{
	size_t length = strlen(s), before = length + 1;

	for (; names->capacity != 0 && length < before; before = length, length = without_number(s, length)) {
		const struct qdq_names_slot *slot = find(names, s, length, qdq_hash(s, length, 0));

		if (slot->index != 0 && slot->index <= count)
			return names->entries[slot->index - 1].name;
	}
	return NULL;
}

bool qdq_any_name_has(const qdq_names *names, const char *part)
{
	for (size_t i = 0; i < names->count; i++)
		if (strstr(names->entries[i].name, part) != NULL)
			return true;
	return false;
}

/* Linear but for the last star. */
bool qdq_glob(const char *pattern, const char *name)
{
	const char *star = NULL, *resume = NULL;

	while (*name != '\0') {
		if (*pattern == '*') {
			star = pattern++;
			resume = name;
		} else if (*pattern == '?' || *pattern == *name) {
			pattern++;
			name++;
		} else if (star != NULL) {
			pattern = star + 1;
			name = ++resume;
		} else {
			return false;
		}
	}
	while (*pattern == '*')
		pattern++;
	return *pattern == '\0';
}

/* SPDX-License-Identifier: Apache-2.0
 *
 * arena.c -- memory that is freed as a whole
 *
 * Blocks grow geometrically up to a bound, so that a small model costs little and a large one few calls. What is
 * larger than a quarter of a block gets one of its own and leaves the current block in use.
 */
#include <stdio.h>

#include "base.h"

#ifndef FIRST_BLOCK /* a test makes every block one allocation */
#define FIRST_BLOCK ((size_t)16 << 10)
#define LAST_BLOCK ((size_t)4 << 20)
#endif
#define ALIGN ((size_t)16)

struct qdq_block {
	qdq_block *older;
	size_t size; /* of the whole block, header included */
};

struct qdq_defer {
	void (*release)(void *object);
	void *object;
	qdq_defer *older;
};

#define HEADER ((sizeof(qdq_block) + ALIGN - 1) / ALIGN * ALIGN)

void qdq_arena_init(qdq_arena *a, qdq_ctx *ctx)
{
	*a = (qdq_arena){.ctx = ctx, .next_block = FIRST_BLOCK};
}

static void run_defers(qdq_arena *a)
{
	while (a->defers != NULL) {
		qdq_defer *d = a->defers;

		a->defers = d->older;
		d->release(d->object);
	}
}

static void free_blocks(qdq_arena *a, qdq_block *keep)
{
	while (a->blocks != keep) {
		qdq_block *b = a->blocks;

		a->blocks = b->older;
		qdq_ctx_release(a->ctx, b, b->size);
	}
}

void qdq_arena_free(qdq_arena *a)
{
	if (a->ctx == NULL)
		return;
	run_defers(a);
	free_blocks(a, NULL);
	qdq_arena_init(a, a->ctx);
}

void qdq_arena_reset(qdq_arena *a)
{
	qdq_block *oldest = a->blocks;

	run_defers(a);
	if (oldest == NULL)
		return;
	while (oldest->older != NULL)
		oldest = oldest->older;
	free_blocks(a, oldest);
	a->next = (char *)oldest + HEADER;
	a->end = (char *)oldest + oldest->size;
	a->next_block = FIRST_BLOCK;
}

static qdq_block *new_block(qdq_arena *a, size_t payload)
{
	qdq_block *b = qdq_ctx_alloc(a->ctx, HEADER + payload);

	b->size = HEADER + payload;
	return b;
}

static void *alloc_slow(qdq_arena *a, size_t size)
{
	qdq_block *b;

	if (size > a->next_block / 4) { /* one of its own, behind the current block */
		b = new_block(a, size);
		if (a->blocks == NULL) {
			b->older = NULL;
			a->blocks = b;
			a->next = a->end = (char *)b + b->size;
		} else {
			b->older = a->blocks->older;
			a->blocks->older = b;
		}
		return (char *)b + HEADER;
	}
	b = new_block(a, a->next_block - HEADER);
	if (a->next_block < LAST_BLOCK)
		a->next_block *= 2;
	b->older = a->blocks;
	a->blocks = b;
	a->next = (char *)b + HEADER + size;
	a->end = (char *)b + b->size;
	return (char *)b + HEADER;
}

void *qdq_alloc(qdq_arena *a, size_t size)
{
	void *p;

	if (size > SIZE_MAX / 2)
		qdq_fail(a->ctx, QDQ_ENOMEM, NULL, "out of memory");
	size = size == 0 ? ALIGN : (size + ALIGN - 1) / ALIGN * ALIGN;
	if (size <= (size_t)(a->end - a->next)) {
		p = a->next;
		a->next += size;
	} else {
		p = alloc_slow(a, size);
	}
	return memset(p, 0, size);
}

void *qdq_alloc_array(qdq_arena *a, size_t count, size_t size)
{
	if (size != 0 && count > SIZE_MAX / 2 / size)
		qdq_fail(a->ctx, QDQ_ENOMEM, NULL, "out of memory");
	return qdq_alloc(a, count * size);
}

void qdq_arena_defer(qdq_arena *a, void (*release)(void *object), void *object)
{
	/* The record must exist before the promise: if there is no memory for it, the object goes at once. */
	struct attempt {
		qdq_arena *arena;
		qdq_defer *made;
	} volatile attempt = {a, NULL};
	jmp_buf here;
	jmp_buf *volatile outer = a->ctx->catcher;

	a->ctx->catcher = &here;
	if (setjmp(here) != 0) {
		a->ctx->catcher = outer;
		release(object);
		qdq_throw(a->ctx, QDQ_ENOMEM);
	}
	attempt.made = qdq_new(a, qdq_defer);
	a->ctx->catcher = outer;
	*attempt.made = (qdq_defer){release, object, a->defers};
	a->defers = attempt.made;
}

char *qdq_copy(qdq_arena *a, const char *s, size_t length)
{
	char *copy = qdq_alloc(a, length + 1);

	if (length != 0)
		memcpy(copy, s, length);
	return copy;
}

char *qdq_numbered(qdq_arena *a, const char *first, const char *second, uint64_t number)
{
	size_t one = strlen(first), two = strlen(second), digits = 1;
	char *s, *at;

	for (uint64_t rest = number; rest >= 10; rest /= 10)
		digits++;
	s = qdq_alloc(a, one + two + digits + 1);
	memcpy(s, first, one);
	memcpy(s + one, second, two);
	at = s + one + two + digits;
	do
		*--at = (char)('0' + number % 10);
	while ((number /= 10) != 0);
	return s;
}

char *qdq_vformat(qdq_arena *a, const char *format, va_list args)
{
	char shortly[256];
	va_list again;
	char *s;
	int length;

	va_copy(again, args);
	length = vsnprintf(shortly, sizeof shortly, format, args);
	if (length < 0)
		length = 0;
	s = qdq_alloc(a, (size_t)length + 1);
	if ((size_t)length < sizeof shortly)
		memcpy(s, shortly, (size_t)length);
	else
		vsnprintf(s, (size_t)length + 1, format, again);
	va_end(again);
	return s;
}

char *qdq_format(qdq_arena *a, const char *format, ...)
{
	va_list args;
	char *s;

	va_start(args, format);
	s = qdq_vformat(a, format, args);
	va_end(args);
	return s;
}

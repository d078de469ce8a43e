/* SPDX-License-Identifier: Apache-2.0
 *
 * base.h -- what every other folder stands on: context, errors, arenas, vectors, names, maps
 *
 * Memory comes from arenas and is never freed piece by piece. A function that cannot go on calls qdq_fail or
 * qdq_throw, which does not return: control comes out of the nearest qdq_guard, and whoever owns the arena frees
 * it. So no function here returns NULL for want of memory and no caller has a clean-up ladder. What is not memory
 * (file descriptors, mappings) is registered with an arena by qdq_arena_defer and released with it.
 */
#ifndef QDQ_BASE_H
#define QDQ_BASE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "qdqopt.h"

#define QDQ_COUNTOF(a) (sizeof(a) / sizeof((a)[0]))
#if defined(__GNUC__)
#define QDQ_PRINTF(f, a) __attribute__((format(printf, f, a)))
#define QDQ_NORETURN __attribute__((noreturn))
#else
#define QDQ_PRINTF(f, a)
#define QDQ_NORETURN
#endif

static inline size_t qdq_min_size(size_t a, size_t b)
{
	return a < b ? a : b;
}

/* ---- arena.c ------------------------------------------------------------------------------------------------ */

typedef struct qdq_block qdq_block;
typedef struct qdq_defer qdq_defer;

/* A growing region of memory, freed as a whole. Not movable once used. */
typedef struct qdq_arena {
	qdq_ctx *ctx;
	qdq_block *blocks; /* newest first */
	char *next, *end;  /* free part of the newest block */
	qdq_defer *defers; /* run, newest first, by reset and free */
	size_t next_block; /* size of the next block */
} qdq_arena;

void qdq_arena_init(qdq_arena *a, qdq_ctx *ctx);
void qdq_arena_free(qdq_arena *a);  /* everything; the arena may be used again */
void qdq_arena_reset(qdq_arena *a); /* as free, but keeps the first block */
/* Zeroed, aligned to 16; throws QDQ_ENOMEM. size 0 gives a valid pointer. */
void *qdq_alloc(qdq_arena *a, size_t size);
void *qdq_alloc_array(qdq_arena *a, size_t count, size_t size); /* checks the product */
char *qdq_copy(qdq_arena *a, const char *s, size_t length);	/* with a NUL behind */
char *qdq_format(qdq_arena *a, const char *format, ...) QDQ_PRINTF(2, 3);
char *qdq_vformat(qdq_arena *a, const char *format, va_list args);
/* The same of "%s%s%u", in a tenth of the time. */
char *qdq_numbered(qdq_arena *a, const char *first, const char *second, uint64_t number);
/* release(object) when the arena is reset or freed. If this throws, release has been called. */
void qdq_arena_defer(qdq_arena *a, void (*release)(void *object), void *object);

#define qdq_new(arena, T) ((T *)qdq_alloc((arena), sizeof(T)))
#define qdq_array(arena, T, count) ((T *)qdq_alloc_array((arena), (count), sizeof(T)))

/* ---- vector.c: QDQ_VEC(T) v = {0};  *qdq_push(arena, &v) = x;  v.items[i] ------------------------------------- */

#define QDQ_VEC(T)                      \
	struct {                        \
		T *items;               \
		size_t count, capacity; \
	}
void *qdq_vec_grow(qdq_arena *a, void *items, size_t count, size_t *capacity, size_t size);
#define qdq_push(arena, v)                                                                                     \
	((v)->items = (v)->count < (v)->capacity                                                               \
			  ? (v)->items                                                                         \
			  : qdq_vec_grow((arena), (v)->items, (v)->count, &(v)->capacity, sizeof *(v)->items), \
	 (v)->items + (v)->count++)

/* ---- names.c: interned strings; equal names are equal pointers ----------------------------------------------- */

typedef const char *qdq_name; /* interned, NUL-terminated; the empty name is "" and interned too */
typedef struct qdq_names {
	qdq_arena *arena;
	struct qdq_names_entry *entries; /* dense, in the order of interning */
	struct qdq_names_slot *slots;	 /* hash table of indices into entries */
	size_t count, room, capacity;	 /* entries, room for entries, slots */
} qdq_names;

void qdq_names_init(qdq_names *names, qdq_arena *arena);
void qdq_names_reserve(qdq_names *names, size_t count); /* room for so many more, to spare growing on the way */
qdq_name qdq_intern(qdq_names *names, const char *s);	/* NULL is "" */
qdq_name qdq_intern_n(qdq_names *names, const char *s, size_t length);
/* Beside each name stands a word for whoever needs one for a while (the loader: what the name means), NULL at first.
 * Valid until the next call that interns. `out` gets the interned name. */
void **qdq_intern_word(qdq_names *names, const char *s, qdq_name *out);
void qdq_forget_words(qdq_names *names); /* all of them: before names are made, since those count with them */
qdq_name qdq_find_name(const qdq_names *names, const char *s); /* NULL where s was never interned */
/* A name that nothing in this table has: base itself if free, else base__2, base__3 … It is interned by the call. */
qdq_name qdq_unique_name(qdq_names *names, const char *base);
/* Of the first `count` names that were interned the one that s is, or that qdq_unique_name made s of; NULL: none. */
qdq_name qdq_name_before_number(const qdq_names *names, const char *s, size_t count);
void qdq_prefetch_name(const qdq_names *names, const char *s);	 /* it will be interned soon */
bool qdq_any_name_has(const qdq_names *names, const char *part); /* O(names) */
/* Does `name` match `pattern`, where * stands for any characters and ? for one? */
bool qdq_glob(const char *pattern, const char *name);
uint64_t qdq_hash(const void *data, size_t size, uint64_t seed);

/* ---- map.c: pointer keys (so interned names too) to pointers ------------------------------------------------- */

typedef struct qdq_map {
	qdq_arena *arena;
	struct qdq_map_slot *slots;
	size_t count, capacity;
} qdq_map;

void qdq_map_init(qdq_map *m, qdq_arena *arena);
void qdq_map_reserve(qdq_map *m, size_t count);	      /* room for so many more keys */
void *qdq_map_get(const qdq_map *m, const void *key); /* NULL: absent */
void qdq_map_set(qdq_map *m, const void *key, void *value);

/* ---- ctx.c: the context, errors, diagnostics ------------------------------------------------------------------ */

struct qdq_ctx {
	qdq_options options;
	size_t memory;	    /* bytes held now */
	size_t memory_peak; /* bytes held at most */
	jmp_buf *catcher;   /* of the innermost guard */
	qdq_arena arena;    /* lives as long as the context: diagnostics, compiled rules */
	QDQ_VEC(qdq_diagnostic) diagnostics;
	uint32_t errors; /* how many of them are errors */
	struct qdq_model *models;
	const void *rules;	  /* compiled rule tables, lib/rewrite's */
	qdq_diagnostic no_memory; /* the one diagnostic that needs no memory */
	size_t no_memory_at;	  /* how many had come before it */
};

/* A context beside another one, for what is only tried: its memory is what the other may still take, and what it says
 * is said to nobody. QDQ_ENOMEM. Free it before the other one changes; qdq_ctx_beside_peak first, for the peak. */
qdq_status qdq_ctx_beside(qdq_ctx **out, const qdq_ctx *ctx);
void qdq_ctx_beside_peak(qdq_ctx *ctx, const qdq_ctx *beside);

/* Runs body(arg). Returns QDQ_OK, or the status thrown from within. Guards nest. */
qdq_status qdq_guard(qdq_ctx *ctx, void (*body)(void *arg), void *arg);
QDQ_NORETURN void qdq_throw(qdq_ctx *ctx, qdq_status status); /* only inside a guard */
/* Runs body with an arena that is freed behind it, and throws on what body throws. */
void qdq_with_scratch(qdq_ctx *ctx, void (*body)(void *arg, qdq_arena *scratch), void *arg);

/* Where a diagnostic points; any field may be NULL. */
typedef struct qdq_where {
	const char *file, *node, *op, *operand;
} qdq_where;

void qdq_diag(qdq_ctx *ctx, qdq_severity severity, const qdq_where *where, const char *format, ...) QDQ_PRINTF(4, 5);
/* An error diagnostic, then qdq_throw(status). */
QDQ_NORETURN void qdq_fail(qdq_ctx *ctx, qdq_status status, const qdq_where *where, const char *format, ...)
    QDQ_PRINTF(4, 5);

/* The caller's allocator, for what lives outside arenas; throws QDQ_ENOMEM. */
void *qdq_ctx_alloc(qdq_ctx *ctx, size_t size);
void qdq_ctx_release(qdq_ctx *ctx, void *p, size_t size);
/* Tells the system that a large piece will be read all over: huge pages spare most of the misses in the TLB. */
void qdq_expect_random(void *p, size_t size);

/* ---- numbers.c: types, halves, rounding ------------------------------------------------------------------------ */

typedef struct qdq_type_info {
	const char *name;  /* as in ONNX's textual syntax: "float", "int8", "float8e4m3fn" */
	uint8_t bits;	   /* per element; 0 for strings */
	uint8_t is_float;  /* any floating type */
	uint8_t is_signed; /* of an integer type */
} qdq_type_info;

const qdq_type_info *qdq_type_get(qdq_type type);	 /* never NULL: the row of NONE for what it does not know */
qdq_type qdq_type_find(const char *name, size_t length); /* QDQ_TYPE_NONE where there is none */
/* Bytes of count elements (4- and 2-bit types are packed); false where the product overflows. */
bool qdq_type_size(qdq_type type, uint64_t count, uint64_t *size);
/* Least and greatest code of an integer type of at most 32 bits. */
int64_t qdq_type_min(qdq_type type);
int64_t qdq_type_max(qdq_type type);

float qdq_f16_to_f32(uint16_t h);
uint16_t qdq_f32_to_f16(float f); /* round half to even, overflow to infinity */
float qdq_bf16_to_f32(uint16_t h);
uint16_t qdq_f32_to_bf16(float f);
float qdq_f8_to_f32(qdq_type type, uint8_t code); /* the four float8 types, e8m0 and e2m1 */
uint8_t qdq_f32_to_f8(qdq_type type, float f, bool saturate);
double qdq_round_half_even(double x);

bool qdq_mul_overflow(int64_t a, int64_t b, int64_t *out);
bool qdq_add_overflow(int64_t a, int64_t b, int64_t *out);

#endif

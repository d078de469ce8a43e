/* SPDX-License-Identifier: Apache-2.0
 *
 * fuzz_text.c -- any text: parse it; what parses must print, and print as the same once more when it is read again
 *
 *   clang -fsanitize=fuzzer,address,undefined …        fuzz_text test/fuzz/corpus/text -max_len=4096
 */
#include <stdlib.h>

#include "../../lib/ir/ir.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

typedef struct attempt {
	qdq_ctx *ctx;
	const void *data;
	size_t size;
	char *out;
	size_t out_size, out_room;
} attempt;

static qdq_status collect(void *user, const void *data, size_t size)
{
	attempt *a = user;

	if (size > a->out_room - a->out_size) {
		char *grown = realloc(a->out, 2 * (a->out_room + size));

		if (grown == NULL)
			abort();
		a->out = grown;
		a->out_room = 2 * (a->out_room + size);
	}
	memcpy(a->out + a->out_size, data, size);
	a->out_size += size;
	return QDQ_OK;
}

/* External data has no folder here: zeros stand for it. */
static void fetch(void *user, qdq_model *m, qdq_tensor *t, const qdq_text_external *e)
{
	(void)user, (void)e;
	if (t->size > 4096)
		qdq_fail(m->ctx, QDQ_EMODEL, NULL, "too much external data");
	t->data = qdq_alloc(&m->arena, (size_t)t->size);
}

static void parse_and_print(void *arg)
{
	attempt *a = arg;

	if (qdq_text_print(qdq_text_parse_with(a->ctx, a->data, a->size, "fuzz", fetch, NULL), collect, a) != QDQ_OK)
		abort();
}

static qdq_status try(attempt *a)
{
	/* What an input may make of itself: some hundred times its size, and a little. */
	const qdq_options options = {.version = QDQ_OPTIONS_VERSION, .max_memory = ((size_t)4 << 20) + 1000 * a->size};
	qdq_status status;

	if (qdq_ctx_new(&a->ctx, &options) != QDQ_OK)
		abort();
	status = qdq_guard(a->ctx, parse_and_print, a);
	while (a->ctx->models != NULL)
		qdq_model_destroy(a->ctx->models);
	if (status != QDQ_OK && a->ctx->errors == 0)
		abort(); /* every failure has a message */
	if (status == QDQ_ENOMEM)
		abort();
	qdq_arena_free(&a->ctx->arena);
	if (a->ctx->memory != 0)
		abort();
	free(a->ctx);
	return status;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	attempt first = {.data = data, .size = size}, second;

	if (try(&first) == QDQ_OK) {
		second = (attempt){.data = first.out, .size = first.out_size};
		if (try(&second) != QDQ_OK || second.out_size != first.out_size ||
		    memcmp(second.out, first.out, first.out_size) != 0)
			abort();
		free(second.out);
	}
	free(first.out);
	return 0;
}

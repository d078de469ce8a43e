/* SPDX-License-Identifier: Apache-2.0
 *
 * fuzz_load.c -- any bytes: load them; what loads must save, load again and then save as the same bytes
 *
 *   clang -fsanitize=fuzzer,address,undefined …        fuzz_load CORPUS -max_len=65536
 */
#include <stdlib.h>

#include "../../lib/onnx/onnx.h"

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
			return QDQ_ENOMEM;
		a->out = grown;
		a->out_room = 2 * (a->out_room + size);
	}
	memcpy(a->out + a->out_size, data, size);
	a->out_size += size;
	return QDQ_OK;
}

static void load_and_save(void *arg)
{
	attempt *a = arg;

	qdq_onnx_save_sink(qdq_onnx_load_memory(a->ctx, a->data, a->size, NULL), collect, a);
}

static qdq_status try(attempt *a)
{
	/* What an input may make of itself: some hundred times its size, and a little. */
	const qdq_options options = {.version = QDQ_OPTIONS_VERSION, .max_memory = ((size_t)64 << 20) + 1000 * a->size};
	qdq_status status;

	if (qdq_ctx_new(&a->ctx, &options) != QDQ_OK)
		abort();
	status = qdq_guard(a->ctx, load_and_save, a);
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

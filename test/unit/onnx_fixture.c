/* SPDX-License-Identifier: Apache-2.0
 *
 * onnx_fixture.c -- loading and saving for the tests of lib/onnx
 */
#include "onnx_fixture.h"

struct onnx_fixture io;

void onnx_setup(void)
{
	memset(&io, 0, sizeof io);
	ck_assert_int_eq(qdq_ctx_new(&io.ctx, NULL), QDQ_OK);
}

void onnx_teardown(void)
{
	while (io.ctx->models != NULL)
		qdq_model_destroy(io.ctx->models);
	qdq_arena_free(&io.ctx->arena);
	ck_assert_uint_eq(io.ctx->memory, 0);
	io.ctx->options.alloc(io.ctx->options.alloc_user, io.ctx, sizeof *io.ctx, 0);
}

void onnx_load(void *unused)
{
	(void)unused;
	io.m = qdq_onnx_load_memory(io.ctx, io.data, io.size, NULL);
}

void onnx_load_path(void *path)
{
	io.m = qdq_onnx_load_file(io.ctx, path);
}

static qdq_status collect(void *user, const void *data, size_t size)
{
	(void)user;
	put_raw(&io.out, data, size);
	return QDQ_OK;
}

void onnx_sink(void *unused)
{
	(void)unused;
	io.out.size = 0;
	qdq_onnx_save_sink(io.m, collect, NULL);
}

void onnx_save_path(void *path)
{
	qdq_onnx_save_file(io.m, path, io.options);
}

qdq_status load_bytes(const void *data, size_t size)
{
	io.data = data;
	io.size = size;
	return qdq_guard(io.ctx, onnx_load, NULL);
}

void finish_model(const bytes *tail)
{
	put_node(&io.graph, "Relu", "x", NULL, "y", NULL);
	put_value(&io.graph, 11, "x");
	put_value(&io.graph, 12, "y");
	put_model(&io.model, &io.graph, tail);
}

const char *complaint(void)
{
	size_t count = io.ctx->diagnostics.count;

	ck_assert_uint_ne(count, 0);
	return io.ctx->diagnostics.items[count - 1].message;
}

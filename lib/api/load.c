/* SPDX-License-Identifier: Apache-2.0
 *
 * load.c -- from files and memory to a model that is inferred and checked
 */
#include "../onnx/onnx.h"
#include "api.h"

bool qdq_has_suffix(const char *path, const char *suffix)
{
	size_t n = strlen(path), k = strlen(suffix);

	return n >= k && memcmp(path + n - k, suffix, k) == 0;
}

bool qdq_is_text_path(const char *path)
{
	return path != NULL && (qdq_has_suffix(path, ".onnxtxt") || qdq_has_suffix(path, ".txt"));
}

#define LEAST_OPSET 7
#define GREATEST_OPSET 25

struct load {
	qdq_ctx *ctx;
	const char *path;
	const void *data;
	size_t size;
	qdq_model *model;
	int opset;
};

static void say_null(void *arg)
{
	qdq_fail(arg, QDQ_EUSAGE, NULL, "an argument is NULL");
}

static void complete(struct load *l)
{
	qdq_emit_read(l->model);
	qdq_graph_infer(l->model->graph);
	if (!qdq_model_check(l->model))
		qdq_throw(l->ctx, QDQ_EMODEL);
#ifndef NDEBUG
	if (!qdq_graph_verify(l->model->graph)) /* the loaders' own business to get right */
		qdq_throw(l->ctx, QDQ_EMODEL);
#endif
	qdq_baseline_take(l->model);
}

/* Runs body, and destroys what it made if it fails. */
static qdq_status load(qdq_model **out, struct load *l, void (*body)(void *arg))
{
	qdq_status status = qdq_guard(l->ctx, body, l);

	if (status != QDQ_OK && l->model != NULL)
		qdq_model_destroy(l->model);
	else
		*out = l->model;
	return status;
}

static void load_file(void *arg)
{
	struct load *l = arg;

	if (qdq_is_text_path(l->path))
		l->model = qdq_onnx_load_text_file(l->ctx, l->path);
	else
		l->model = qdq_onnx_load_file(l->ctx, l->path);
	complete(l);
}

static void load_memory(void *arg)
{
	struct load *l = arg;

	if (qdq_is_text_path(l->path))
		l->model = qdq_text_parse(l->ctx, l->data, l->size, l->path);
	else
		l->model = qdq_onnx_load_memory(l->ctx, l->data, l->size, l->path);
	complete(l);
}

qdq_status qdq_load_file(qdq_model **out, qdq_ctx *ctx, const char *path)
{
	struct load l = {.ctx = ctx, .path = path};

	if (out != NULL)
		*out = NULL;
	if (ctx == NULL)
		return QDQ_EUSAGE;
	if (out == NULL || path == NULL)
		return qdq_guard(ctx, say_null, ctx);
	return load(out, &l, load_file);
}

qdq_status qdq_load_memory(qdq_model **out, qdq_ctx *ctx, const void *data, size_t size, const char *path)
{
	struct load l = {.ctx = ctx, .path = path, .data = data, .size = size};

	if (out != NULL)
		*out = NULL;
	if (ctx == NULL)
		return QDQ_EUSAGE;
	if (out == NULL || (data == NULL && size != 0))
		return qdq_guard(ctx, say_null, ctx);
	return load(out, &l, load_memory);
}

/* The IR version that came with an opset, but at least the first that has all of ours. */
static int64_t ir_version_of(int opset)
{
	return opset <= 12 ? 7 : opset <= 20 ? 8 : opset <= 22 ? 10 : opset == 23 ? 11 : opset == 24 ? 12 : 13;
}

static void make_model(void *arg)
{
	struct load *l = arg;
	qdq_model *m;

	if (l->opset < LEAST_OPSET || l->opset > GREATEST_OPSET)
		qdq_fail(l->ctx, QDQ_EUSAGE, NULL, "opset %d is not between %d and %d", l->opset, LEAST_OPSET,
			 GREATEST_OPSET);
	m = l->model = qdq_model_create(l->ctx, NULL);
	m->opset = l->opset;
	m->ir_version = ir_version_of(l->opset);
	m->graph->name = qdq_intern(&m->names, "network");
	*qdq_push(&m->arena, &m->opsets) = (qdq_opset){qdq_intern(&m->names, ""), l->opset};
}

qdq_status qdq_model_new(qdq_model **out, qdq_ctx *ctx, int opset)
{
	struct load l = {.ctx = ctx, .opset = opset};

	if (out != NULL)
		*out = NULL;
	if (ctx == NULL)
		return QDQ_EUSAGE;
	if (out == NULL)
		return qdq_guard(ctx, say_null, ctx);
	return load(out, &l, make_model);
}

void qdq_model_free(qdq_model *m)
{
	if (m != NULL)
		qdq_model_destroy(m);
}

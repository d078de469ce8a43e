/* SPDX-License-Identifier: Apache-2.0
 *
 * evalrun.c -- runs models through the reference evaluator, for test/peer/eval.py
 *
 * Reads jobs from the standard input, one a line: MODEL.onnx, a file of inputs and one for the outputs, separated by
 * tabs. Answers each with a line: "ok", "unsupported OP", "invalid MESSAGE". A file of tensors holds, for each,
 * little-endian: int32 type (0: absent), int32 rank, int64 dims, uint64 size, then as many bytes of data; strings are
 * each a uint64 length and the bytes.
 */
#include <stdio.h>
#include <stdlib.h>

#include "../../lib/eval/eval.h"
#include "../../lib/onnx/onnx.h"

typedef struct job {
	qdq_ctx *ctx;
	const char *model, *inputs, *outputs;
	const char *answer, *detail;
	char name[128]; /* of the operator that is not supported */
} job;

typedef struct reader {
	qdq_arena *arena;
	const char *at, *end;
} reader;

static void take(reader *r, void *to, size_t size)
{
	if ((size_t)(r->end - r->at) < size)
		qdq_throw(r->arena->ctx, QDQ_EFILE);
	memcpy(to, r->at, size);
	r->at += size;
}

static const qdq_bytes *take_strings(reader *r, uint64_t count)
{
	qdq_bytes *strings = qdq_array(r->arena, qdq_bytes, count);

	for (uint64_t i = 0; i < count; i++) {
		uint64_t length;
		take(r, &length, sizeof length);
		char *copy = qdq_alloc(r->arena, length);
		take(r, copy, length);
		strings[i] = (qdq_bytes){copy, length};
	}
	return strings;
}

static const qdq_tensor *take_tensor(reader *r)
{
	qdq_tensor *t = qdq_new(r->arena, qdq_tensor);
	int32_t type, rank;

	take(r, &type, sizeof type);
	if (type == 0)
		return NULL;
	take(r, &rank, sizeof rank);
	int64_t *dims = qdq_array(r->arena, int64_t, (size_t)rank);
	t->type = (qdq_type)type;
	t->rank = rank;
	t->dims = dims;
	t->count = 1;
	for (int32_t i = 0; i < rank; i++) {
		take(r, &dims[i], sizeof dims[i]);
		t->count *= (uint64_t)dims[i];
	}
	take(r, &t->size, sizeof t->size);
	if (t->type == QDQ_TYPE_STRING) {
		t->strings = take_strings(r, t->count);
		t->size = 0;
		return t;
	}
	/* one byte off, so that kernels meet unaligned data */
	char *data = qdq_alloc(r->arena, t->size + 1);
	take(r, data + 1, t->size);
	t->data = data + 1;
	return t;
}

static reader read_file(qdq_arena *arena, const char *path)
{
	reader r = {.arena = arena};
	FILE *f = fopen(path, "rb");

	if (f == NULL || fseek(f, 0, SEEK_END) != 0)
		qdq_throw(arena->ctx, QDQ_EFILE);
	size_t size = (size_t)ftell(f);
	char *data = qdq_alloc(arena, size);
	rewind(f);
	bool read = fread(data, 1, size, f) == size;
	fclose(f);
	if (!read)
		qdq_throw(arena->ctx, QDQ_EFILE);
	r.at = data;
	r.end = data + size;
	return r;
}

static void put_tensor(FILE *f, const qdq_tensor *t)
{
	int32_t head[2] = {t == NULL ? 0 : (int32_t)t->type, t == NULL ? 0 : t->rank};

	if (t == NULL) {
		fwrite(head, sizeof *head, 1, f);
		return;
	}
	fwrite(head, sizeof *head, 2, f);
	fwrite(t->dims, sizeof *t->dims, (size_t)t->rank, f);
	fwrite(&t->size, sizeof t->size, 1, f);
	if (t->type != QDQ_TYPE_STRING) {
		fwrite(t->data, 1, t->size, f);
		return;
	}
	for (uint64_t i = 0; i < t->count; i++) {
		uint64_t length = t->strings[i].size;
		fwrite(&length, sizeof length, 1, f);
		fwrite(t->strings[i].data, 1, length, f);
	}
}

static void run_job(void *arg)
{
	job *j = arg;
	qdq_model *m = qdq_onnx_load_file(j->ctx, j->model);
	qdq_arena *arena = &m->arena;
	const qdq_graph *g = m->graph;
	reader r = read_file(arena, j->inputs);
	const qdq_tensor **in = qdq_array(arena, const qdq_tensor *, g->inputs.count);
	const qdq_tensor **out = qdq_array(arena, const qdq_tensor *, g->outputs.count);
	const qdq_node *failed = NULL;

	for (size_t i = 0; i < g->inputs.count && r.at < r.end; i++)
		in[i] = take_tensor(&r);
	qdq_eval_result result = qdq_eval_graph(m, g, arena, in, out, &failed);
	if (result == QDQ_EVAL_OK) {
		FILE *f = fopen(j->outputs, "wb");
		if (f == NULL)
			qdq_throw(j->ctx, QDQ_EFILE);
		for (size_t i = 0; i < g->outputs.count; i++)
			put_tensor(f, out[i]);
		fclose(f);
		j->answer = "ok";
	} else {
		j->answer = "unsupported";
		snprintf(j->name, sizeof j->name, "%s", failed != NULL ? failed->op_type : "output");
		j->detail = j->name;
	}
	qdq_model_destroy(m);
}

static void release(qdq_ctx *ctx)
{
	while (ctx->models != NULL)
		qdq_model_destroy(ctx->models);
	qdq_arena_free(&ctx->arena);
	ctx->options.alloc(ctx->options.alloc_user, ctx, sizeof *ctx, 0);
}

int main(void)
{
	char line[8192];

	while (fgets(line, sizeof line, stdin) != NULL) {
		job j = {.detail = ""};
		char *tab = strchr(line, '\t'), *second = tab != NULL ? strchr(tab + 1, '\t') : NULL;
		if (second == NULL)
			return 2;
		*tab = *second = line[strcspn(line, "\n")] = '\0';
		j.model = line;
		j.inputs = tab + 1;
		j.outputs = second + 1;
		if (qdq_ctx_new(&j.ctx, NULL) != QDQ_OK)
			return 4;
		if (qdq_guard(j.ctx, run_job, &j) != QDQ_OK) {
			j.answer = "invalid";
			j.detail = j.ctx->diagnostics.count > 0 ? j.ctx->diagnostics.items[0].message : "";
		}
		printf("%s %s\n", j.answer, j.detail);
		fflush(stdout);
		release(j.ctx);
	}
	return 0;
}

/* SPDX-License-Identifier: Apache-2.0
 *
 * text.c -- files in ONNX's textual syntax: lib/ir reads and writes the text, this folder the files
 */
#include "internal.h"
#include "output.h"

/* ---- reading ---- */

/* The mapped text, which the model borrows from: it goes with the model. */
typedef struct held {
	qdq_arena arena;
} held;

static void release(void *object)
{
	held *h = object;
	qdq_ctx *ctx = h->arena.ctx;

	qdq_arena_free(&h->arena);
	qdq_ctx_release(ctx, h, sizeof *h);
}

typedef struct load_job {
	qdq_ctx *ctx;
	const char *path;
	held *held;
	qdq_model *m;
	qdq_arena scratch;
	qdq_names locations; /* the word of each is its qdq_source */
	uint32_t n_open;
} load_job;

#define MOST_OPEN 16 /* external files that stay open, besides being mapped */

static qdq_onnx_model *record_of(qdq_model *m)
{
	if (m->foreign == NULL)
		m->foreign = qdq_new(&m->arena, qdq_onnx_model);
	return (qdq_onnx_model *)(uintptr_t)m->foreign;
}

static qdq_source *open_external(load_job *j, qdq_model *m, const qdq_text_external *e)
{
	const qdq_where where = {.file = j->path, .operand = e->name};
	qdq_onnx_model *record = record_of(m);
	qdq_name location;
	void **word = qdq_intern_word(&j->locations, e->location, &location);
	qdq_source *s = *word;

	if (s != NULL)
		return s;
	s = qdq_source_open(&m->arena, qdq_source_resolve(&j->scratch, j->path, location, &where), &where);
	s->external = true;
	s->next = record->sources;
	record->sources = s;
	if (++j->n_open > MOST_OPEN)
		qdq_source_close_file(s);
	*word = s;
	return s;
}

static void fetch(void *user, qdq_model *m, qdq_tensor *t, const qdq_text_external *e)
{
	load_job *j = user;
	const qdq_source *s = open_external(j, m, e);

	if (e->offset > s->size || e->length > s->size - e->offset)
		qdq_fail(j->ctx, QDQ_EMODEL, &(qdq_where){.file = j->path, .operand = e->name},
			 "tensor '%s' wants more bytes than '%s' has", e->name, e->location);
	t->data = s->data + e->offset;
	t->source = s;
	t->external = true;
	m->has_external = true;
}

static void run_load(void *arg)
{
	load_job *j = arg;
	const qdq_source *s;

	qdq_names_init(&j->locations, &j->scratch);
	j->held = qdq_ctx_alloc(j->ctx, sizeof *j->held);
	qdq_arena_init(&j->held->arena, j->ctx);
	s = qdq_source_open(&j->held->arena, j->path, &(qdq_where){.file = j->path});
	j->m = qdq_text_parse_with(j->ctx, s->data, s->size, j->path, fetch, j);
	qdq_arena_defer(&j->m->arena, release, j->held);
	j->held = NULL;
}

qdq_model *qdq_onnx_load_text_file(qdq_ctx *ctx, const char *path)
{
	load_job j = {.ctx = ctx, .path = path};
	qdq_status status;

	qdq_arena_init(&j.scratch, ctx);
	status = qdq_guard(ctx, run_load, &j);
	qdq_arena_free(&j.scratch);
	if (status != QDQ_OK) {
		if (j.m != NULL)
			qdq_model_destroy(j.m);
		else if (j.held != NULL)
			release(j.held);
		qdq_throw(ctx, status);
	}
	return j.m;
}

/* ---- writing ---- */

typedef struct save_job {
	qdq_model *m;
	const char *path;
	qdq_output out;
	qdq_arena scratch;
} save_job;

/* In pieces that the output copies at once: the writer's buffer does not stay. */
static qdq_status put(void *user, const void *data, size_t size)
{
	const char *p = data;

	while (size != 0) {
		size_t part = qdq_min_size(size, 2048);

		qdq_output_write(user, p, part, NULL);
		p += part;
		size -= part;
	}
	return QDQ_OK;
}

static void run_save(void *arg)
{
	save_job *j = arg;
	const qdq_onnx_model *record = j->m->foreign;

	qdq_output_prepare(&j->out, &j->scratch, j->path);
	for (const qdq_source *s = record == NULL ? NULL : record->sources; s != NULL; s = s->next)
		if (s->external && qdq_output_is(&j->out, s))
			qdq_fail(j->m->ctx, QDQ_EUSAGE, &(qdq_where){.file = j->m->path},
				 "refused to overwrite '%s': it holds the model's own external data (choose another "
				 "output)",
				 j->path);
	qdq_output_open(&j->out);
	(void)qdq_text_print(j->m, put, &j->out); /* put never fails but by throwing */
	qdq_output_close(&j->out);
	qdq_output_commit(&j->out);
}

void qdq_onnx_save_text_file(qdq_model *m, const char *path)
{
	save_job j = {.m = m, .path = path};
	qdq_status status;

	qdq_arena_init(&j.scratch, m->ctx);
	status = qdq_guard(m->ctx, run_save, &j);
	qdq_output_discard(&j.out);
	qdq_arena_free(&j.scratch);
	if (status != QDQ_OK)
		qdq_throw(m->ctx, status);
}

/* SPDX-License-Identifier: Apache-2.0
 *
 * save.c -- a model into a file or a stream
 *
 * Nothing is written where it will stand before all of it is there: a file gets its name at the very end.
 */
#include "save.h"

#include "output.h"

#include <inttypes.h>

#define LARGEST_FILE ((uint64_t)INT32_MAX) /* protobuf's limit */

/* ---- streams ---- */

typedef struct sink_job {
	qdq_save s;
	qdq_status (*write)(void *user, const void *data, size_t size);
	void *user;
} sink_job;

static void sink_piece(void *user, const void *data, size_t size, const qdq_source *source)
{
	sink_job *j = user;
	qdq_status status = j->write(j->user, data, size);

	(void)source;
	if (status != QDQ_OK)
		qdq_throw(j->s.ctx, status);
}

QDQ_NORETURN static void fail_large(qdq_save *s)
{
	qdq_fail(s->ctx, QDQ_EUSAGE, &(qdq_where){.file = s->m->path},
		 "the model takes %" PRIu64
		 " bytes, more than an ONNX file may have: its weights must go to external data",
		 s->total);
}

static void run_sink(void *arg)
{
	sink_job *j = arg;

	qdq_save_build(&j->s);
	if (j->s.total > LARGEST_FILE)
		fail_large(&j->s);
	qdq_save_emit(&j->s, sink_piece, j);
}

void qdq_onnx_save_sink(qdq_model *m, qdq_status (*write)(void *user, const void *data, size_t size), void *user)
{
	sink_job j = {.s = {.ctx = m->ctx, .m = m}, .write = write, .user = user};
	qdq_status status;

	qdq_arena_init(&j.s.scratch, m->ctx);
	qdq_arena_init(&j.s.keep, m->ctx);
	status = qdq_guard(m->ctx, run_sink, &j);
	qdq_arena_free(&j.s.scratch);
	qdq_arena_free(&j.s.keep);
	if (status != QDQ_OK)
		qdq_throw(m->ctx, status);
}

/* ---- files ---- */

typedef struct file_job {
	qdq_save s;
	qdq_onnx_save options;
	const char *path;
	qdq_output model, weights;
} file_job;

static void file_piece(void *user, const void *data, size_t size, const qdq_source *source)
{
	qdq_output_write(user, data, size, source);
}

static void write_weights(file_job *j)
{
	uint64_t at = 0;

	for (size_t i = 0; i < j->s.parts.count; i++) {
		const qdq_external_part *part = &j->s.parts.items[i];

		qdq_output_zeros(&j->weights, part->offset - at);
		qdq_output_write(&j->weights, part->tensor->data, (size_t)part->tensor->size, part->tensor->source);
		at = part->offset + part->tensor->size;
	}
}

/* External data of the input may be shared with other models: it must not be replaced. */
static void spare_inputs(file_job *j, const qdq_output *out)
{
	const qdq_onnx_model *record = j->s.m->foreign;

	for (const qdq_source *source = record == NULL ? NULL : record->sources; source != NULL; source = source->next)
		if (source->external && qdq_output_is(out, source))
			qdq_fail(
			    j->s.ctx, QDQ_EUSAGE, &(qdq_where){.file = j->s.m->path},
			    "refused to overwrite '%s': it holds the model's own external data (choose another output)",
			    out->path);
}

static void run_file(void *arg)
{
	file_job *j = arg;
	qdq_save *s = &j->s;
	uint64_t limit = j->options.max_size != 0 ? j->options.max_size : LARGEST_FILE;
	bool outside = j->options.external == QDQ_EXTERNAL_ALWAYS ||
		       (j->options.external == QDQ_EXTERNAL_AUTO && s->m->has_external);
	const char *slash;
	const char *weights;

	qdq_output_prepare(&j->model, &s->keep, j->path);
	spare_inputs(j, &j->model);
	weights = qdq_format(&s->keep, "%s.data", j->path);
	slash = strrchr(weights, '/');
	slash = slash == NULL ? weights : slash + 1;
	s->location = outside && !j->model.direct ? slash : NULL;
	qdq_save_build(s);
	if (s->total > limit && s->location == NULL && j->options.external == QDQ_EXTERNAL_AUTO && !j->model.direct) {
		s->location = slash;
		qdq_save_build(s);
	}
	if (s->total > limit)
		fail_large(s);
	if (s->parts.count != 0) {
		qdq_output_prepare(&j->weights, &s->keep, weights);
		spare_inputs(j, &j->weights);
		qdq_output_open(&j->weights);
		write_weights(j);
		qdq_output_close(&j->weights);
	}
	qdq_output_open(&j->model);
	qdq_save_emit(s, file_piece, &j->model);
	qdq_output_close(&j->model);
	if (s->parts.count != 0)
		qdq_output_commit(&j->weights);
	qdq_output_commit(&j->model);
}

void qdq_onnx_save_file(qdq_model *m, const char *path, const qdq_onnx_save *options)
{
	file_job j = {.s = {.ctx = m->ctx, .m = m}, .path = path};
	qdq_status status;

	if (options != NULL)
		j.options = *options;
	qdq_arena_init(&j.s.scratch, m->ctx);
	qdq_arena_init(&j.s.keep, m->ctx);
	status = qdq_guard(m->ctx, run_file, &j);
	qdq_output_discard(&j.model);
	qdq_output_discard(&j.weights);
	qdq_arena_free(&j.s.scratch);
	qdq_arena_free(&j.s.keep);
	if (status != QDQ_OK)
		qdq_throw(m->ctx, status);
}

/* SPDX-License-Identifier: Apache-2.0
 *
 * save.c -- from a model to bytes in a file or a stream
 *
 * Messages are made in a scratch arena and packed to a skeleton; the scan of wire.h puts the payloads in. Nothing is
 * written where it will stand before all of it is there: the file gets its name at the very end.
 */
#include "save.h"

#include "output.h"

#include <inttypes.h>

#define LARGEST_FILE ((uint64_t)INT32_MAX) /* protobuf's limit */

/* ---- bytes ---- */

static void fill_model(qdq_save *s, Onnx__ModelProto *out)
{
	qdq_model *m = s->m;
	const qdq_onnx_model *record = m->foreign;

	onnx__model_proto__init(out);
	if (record != NULL)
		*out = *record->proto;
	if (record == NULL || out->ir_version != m->ir_version) {
		out->has_ir_version = true;
		out->ir_version = m->ir_version;
	}
	out->opset_import =
	    qdq_save_opsets(s, m->opsets.items, m->opsets.count, out->n_opset_import, out->opset_import);
	out->n_opset_import = m->opsets.count;
	out->graph = qdq_save_graph(s, m->graph);
	out->n_functions = m->functions.count;
	out->functions = qdq_array(&s->scratch, Onnx__FunctionProto *, m->functions.count);
	for (size_t i = 0; i < m->functions.count; i++)
		out->functions[i] = qdq_save_function(s, m->functions.items[i]);
}

void qdq_save_build(qdq_save *s, qdq_wire *out)
{
	Onnx__ModelProto model;
	char *skeleton;
	size_t size;

	s->parts.count = 0;
	s->parts_end = 0;
	s->marks = qdq_array(&s->scratch, unsigned char, s->m->n_values);
	fill_model(s, &model);
	size = onnx__model_proto__get_packed_size(&model);
	if (size > LARGEST_FILE)
		qdq_fail(s->ctx, QDQ_EMODEL, &(qdq_where){.file = s->m->path},
			 "the model is too large for an ONNX file even without its weights");
	skeleton = qdq_alloc(&s->scratch, size);
	onnx__model_proto__pack(&model, (uint8_t *)skeleton);
	*out = (qdq_wire){.ctx = s->ctx,
			  .path = s->m->path,
			  .data = skeleton,
			  .size = size,
			  .restore = true,
			  .scratch = &s->scratch,
			  .keep = &s->scratch};
	qdq_wire_scan(out);
}

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

QDQ_NORETURN static void fail_large(qdq_save *s, uint64_t size)
{
	qdq_fail(s->ctx, QDQ_EUSAGE, &(qdq_where){.file = s->m->path},
		 "the model takes %" PRIu64
		 " bytes, more than an ONNX file may have: its weights must go to external data",
		 size);
}

static void run_sink(void *arg)
{
	sink_job *j = arg;
	qdq_wire w;

	qdq_save_build(&j->s, &w);
	if (w.total > LARGEST_FILE)
		fail_large(&j->s, w.total);
	qdq_wire_emit(&w, sink_piece, j);
}

void qdq_onnx_save_sink(qdq_model *m, qdq_status (*write)(void *user, const void *data, size_t size), void *user)
{
	sink_job j = {.s = {.ctx = m->ctx, .m = m}, .write = write, .user = user};
	qdq_status status;

	qdq_arena_init(&j.s.scratch, m->ctx);
	status = qdq_guard(m->ctx, run_sink, &j);
	qdq_arena_free(&j.s.scratch);
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
	qdq_wire w;

	qdq_output_prepare(&j->model, &s->scratch, j->path);
	spare_inputs(j, &j->model);
	weights = qdq_format(&s->scratch, "%s.data", j->path);
	slash = strrchr(weights, '/');
	slash = slash == NULL ? weights : slash + 1;
	s->location = outside && !j->model.direct ? slash : NULL;
	qdq_save_build(s, &w);
	if (w.total > limit && s->location == NULL && j->options.external == QDQ_EXTERNAL_AUTO && !j->model.direct) {
		s->location = slash;
		qdq_save_build(s, &w);
	}
	if (w.total > limit)
		fail_large(s, w.total);
	if (s->parts.count != 0) {
		qdq_output_prepare(&j->weights, &s->scratch, weights);
		spare_inputs(j, &j->weights);
		qdq_output_open(&j->weights);
		write_weights(j);
		qdq_output_close(&j->weights);
	}
	qdq_output_open(&j->model);
	qdq_wire_emit(&w, file_piece, &j->model);
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
	status = qdq_guard(m->ctx, run_file, &j);
	qdq_output_discard(&j.model);
	qdq_output_discard(&j.weights);
	qdq_arena_free(&j.s.scratch);
	if (status != QDQ_OK)
		qdq_throw(m->ctx, status);
}

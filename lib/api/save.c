/* SPDX-License-Identifier: Apache-2.0
 *
 * save.c -- to files and sinks, as fused functions, as plain Q/DQ or as integer operators
 */
#include "../onnx/onnx.h"
#include "api.h"

struct save {
	qdq_model *m;
	const char *path;
	qdq_write_fn *write;
	void *user;
	qdq_save_options options;
	qdq_model *copy; /* what is written instead of m; NULL: m itself */
};

/* What emitting did to the copy is told of the model. */
static void tell(qdq_model *m, const qdq_model *copy, size_t known)
{
	for (size_t i = known; i < copy->events.count; i++) {
		qdq_event e = copy->events.items[i];

		e.operand = e.operand != NULL ? qdq_copy(&m->arena, e.operand, strlen(e.operand)) : NULL;
		e.cause = e.cause != NULL ? qdq_copy(&m->arena, e.cause, strlen(e.cause)) : NULL;
		e.message = e.message != NULL ? qdq_copy(&m->arena, e.message, strlen(e.message)) : NULL;
		*qdq_push(&m->arena, &m->events) = e;
	}
}

static void emit(struct save *s, qdq_model *m)
{
	size_t known = m->events.count;

	if (s->options.emit == QDQ_EMIT_QDQ)
		qdq_emit_qdq(m);
	else
		qdq_emit_qoperator(m, s->options.exact != 0);
	if (m != s->m)
		tell(s->m, m, known);
}

static void write_model(void *arg)
{
	struct save *s = arg;
	qdq_model *m = s->m;

	if (s->options.emit == QDQ_EMIT_FUSED) {
		qdq_emit_fused(m);
	} else {
		if (!s->options.consume)
			m = s->copy = qdq_model_copy(m->ctx, m);
		emit(s, m);
	}
	if (s->path == NULL && s->options.text) {
		qdq_status status = qdq_text_print(m, s->write, s->user);

		if (status != QDQ_OK)
			qdq_throw(m->ctx, status);
	} else if (s->path == NULL) {
		qdq_onnx_save_sink(m, s->write, s->user);
	} else if (qdq_is_text_path(s->path)) {
		qdq_onnx_save_text_file(m, s->path);
	} else {
		qdq_onnx_save_file(m, s->path, NULL);
	}
}

static void save(void *arg)
{
	struct save *s = arg;
	qdq_status status;

	if (s->options.version == 0 || s->options.version > QDQ_SAVE_OPTIONS_VERSION)
		qdq_misuse(s->m, "qdq_save_options has version %u, this library knows 1 to %d", s->options.version,
			   QDQ_SAVE_OPTIONS_VERSION);
	if (s->options.emit < QDQ_EMIT_FUSED || s->options.emit > QDQ_EMIT_QOPERATOR)
		qdq_misuse(s->m, "there is no emit mode %d", (int)s->options.emit);
	if (s->path == NULL && s->write == NULL)
		qdq_misuse(s->m, "there is nothing to write to: path or function is NULL");
	qdq_settle(s->m);
	status = qdq_guard(s->m->ctx, write_model, s);
	if (s->copy != NULL)
		qdq_model_destroy(s->copy);
	if (status != QDQ_OK)
		qdq_throw(s->m->ctx, status);
}

static qdq_status run(qdq_model *m, struct save *s, const qdq_save_options *options)
{
	s->m = m;
	s->options.version = QDQ_SAVE_OPTIONS_VERSION;
	if (options != NULL && options->version == 1) /* shorter: what came later stays as by default */
		memcpy(&s->options, options, offsetof(qdq_save_options, exact));
	else if (options != NULL && options->version == QDQ_SAVE_OPTIONS_VERSION)
		s->options = *options;
	else if (options != NULL) /* it may be shorter: nothing behind the version is looked at */
		s->options.version = options->version;
	return qdq_change(m, save, s);
}

qdq_status qdq_save_file(qdq_model *m, const char *path, const qdq_save_options *options)
{
	struct save s = {.path = path};

	return run(m, &s, options);
}

qdq_status qdq_save_sink(qdq_model *m, qdq_write_fn *write, void *user, const qdq_save_options *options)
{
	struct save s = {.write = write, .user = user};

	return run(m, &s, options);
}

/* SPDX-License-Identifier: Apache-2.0
 *
 * text_fixture.h -- what the tests of the textual syntax share: one context, one text at a time
 */
#ifndef QDQ_TEST_TEXT_FIXTURE_H
#define QDQ_TEST_TEXT_FIXTURE_H

#include <check.h>
#include <stdio.h>
#include <stdlib.h>

#include "../../lib/ir/ir.h"

#define HEADER "<ir_version: 8, opset_import: [\"\" : 17]>\n"

typedef struct session {
	qdq_ctx *ctx;
	qdq_model *m;
	const char *text;
	size_t size;
	char *out;
	size_t out_size, out_room;
	qdq_status answer; /* of the writer's callback */
	size_t allocations, fail_at;
	char location[32];
	uint64_t offset, length;
	bool fetches;
} session;

static inline void *allocate(void *user, void *p, size_t old_size, size_t size)
{
	session *s = user;

	(void)old_size;
	if (size == 0) {
		free(p);
		return NULL;
	}
	s->allocations++;
	return s->allocations == s->fail_at ? NULL : realloc(p, size);
}

static inline void start_with(session *s, qdq_options options)
{
	options.version = QDQ_OPTIONS_VERSION;
	options.alloc = allocate;
	options.alloc_user = s;
	*s = (session){.fail_at = s->fail_at};
	ck_assert_int_eq(qdq_ctx_new(&s->ctx, &options), QDQ_OK);
}

static inline void start(session *s)
{
	*s = (session){.fail_at = 0};
	start_with(s, (qdq_options){.version = QDQ_OPTIONS_VERSION});
}

static inline void finish(session *s)
{
	while (s->ctx->models != NULL)
		qdq_model_destroy(s->ctx->models);
	qdq_arena_free(&s->ctx->arena);
	ck_assert_uint_eq(s->ctx->memory, 0);
	free(s->ctx);
	free(s->out);
}

static inline void fetch(void *user, qdq_model *m, qdq_tensor *t, const qdq_text_external *e)
{
	session *s = user;

	(void)m;
	ck_assert_uint_lt(strlen(e->location), sizeof s->location);
	strcpy(s->location, e->location);
	s->offset = e->offset;
	s->length = e->length;
	t->data = "\1\2\3\4\5\6\7\10";
}

static inline void parse_body(void *arg)
{
	session *s = arg;

	s->m = s->fetches ? qdq_text_parse_with(s->ctx, s->text, s->size, "model.onnxtxt", fetch, s)
			  : qdq_text_parse(s->ctx, s->text, s->size, "model.onnxtxt");
}

static inline qdq_status parse_bytes(session *s, const char *text, size_t size)
{
	s->text = text;
	s->size = size;
	s->m = NULL;
	return qdq_guard(s->ctx, parse_body, s);
}

static inline qdq_model *parse(session *s, const char *text)
{
	qdq_status status = parse_bytes(s, text, strlen(text));

	if (status != QDQ_OK && s->ctx->diagnostics.count != 0)
		ck_abort_msg("%s\n%s", s->ctx->diagnostics.items[s->ctx->diagnostics.count - 1].message, text);
	ck_assert_int_eq(status, QDQ_OK);
	return s->m;
}

static inline qdq_status collect(void *user, const void *data, size_t size)
{
	session *s = user;

	if (s->answer != QDQ_OK)
		return s->answer;
	if (size >= s->out_room - s->out_size) {
		s->out_room = 2 * (s->out_room + size) + 1;
		s->out = realloc(s->out, s->out_room);
		ck_assert_ptr_nonnull(s->out);
	}
	memcpy(s->out + s->out_size, data, size);
	s->out_size += size;
	s->out[s->out_size] = '\0';
	return QDQ_OK;
}

static inline void print_body(void *arg)
{
	session *s = arg;

	s->answer = qdq_text_print(s->m, collect, s);
}

static inline const char *print(session *s)
{
	s->out_size = 0;
	s->answer = QDQ_OK;
	ck_assert_int_eq(qdq_guard(s->ctx, print_body, s), QDQ_OK);
	ck_assert_int_eq(s->answer, QDQ_OK);
	return s->out;
}

static inline const char *last_message(const session *s)
{
	ck_assert_uint_ne(s->ctx->diagnostics.count, 0);
	return s->ctx->diagnostics.items[s->ctx->diagnostics.count - 1].message;
}

#endif

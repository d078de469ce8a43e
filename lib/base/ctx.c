/* SPDX-License-Identifier: Apache-2.0
 *
 * ctx.c -- the context: the caller's allocator, guards, diagnostics
 */
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "base.h"

/* ---- memory ---- */

static void *default_alloc(void *user, void *ptr, size_t old_size, size_t new_size)
{
	(void)user, (void)old_size;
	if (new_size == 0) {
		free(ptr);
		return NULL;
	}
	return realloc(ptr, new_size);
}

void *qdq_ctx_alloc(qdq_ctx *ctx, size_t size)
{
	size_t limit = ctx->options.max_memory;
	void *p = NULL;

	if (size == 0)
		size = 1;
	if (limit == 0 || (size <= limit && ctx->memory <= limit - size))
		p = ctx->options.alloc(ctx->options.alloc_user, NULL, 0, size);
	if (p == NULL)
		qdq_fail(ctx, QDQ_ENOMEM, NULL, "out of memory");
	ctx->memory += size;
	if (ctx->memory > ctx->memory_peak)
		ctx->memory_peak = ctx->memory;
	return p;
}

void qdq_ctx_release(qdq_ctx *ctx, void *p, size_t size)
{
	if (p == NULL)
		return;
	if (size == 0)
		size = 1;
	ctx->memory -= size;
	ctx->options.alloc(ctx->options.alloc_user, p, size, 0);
}

qdq_status qdq_ctx_new(qdq_ctx **out, const qdq_options *options)
{
	qdq_options o = {.version = QDQ_OPTIONS_VERSION};
	qdq_ctx *ctx;

	if (out == NULL)
		return QDQ_EUSAGE;
	*out = NULL;
	if (options != NULL) {
		if (options->version != QDQ_OPTIONS_VERSION)
			return QDQ_EUSAGE;
		o = *options;
	}
	if (o.alloc == NULL)
		o.alloc = default_alloc;
	if (o.max_depth == 0)
		o.max_depth = 100;
	if (o.max_nodes == 0)
		o.max_nodes = 100000000;
	ctx = o.alloc(o.alloc_user, NULL, 0, sizeof *ctx);
	if (ctx == NULL)
		return QDQ_ENOMEM;
	memset(ctx, 0, sizeof *ctx);
	ctx->options = o;
	qdq_arena_init(&ctx->arena, ctx);
	*out = ctx;
	return QDQ_OK;
}

qdq_status qdq_ctx_beside(qdq_ctx **out, const qdq_ctx *ctx)
{
	qdq_options o = ctx->options;
	qdq_status status;

	o.log = NULL;
	if (o.max_memory != 0)
		o.max_memory = o.max_memory > ctx->memory ? o.max_memory - ctx->memory : 1;
	status = qdq_ctx_new(out, &o);
	if (status == QDQ_OK)
		(*out)->rules = ctx->rules; /* they need not be compiled again */
	return status;
}

void qdq_ctx_beside_peak(qdq_ctx *ctx, const qdq_ctx *beside)
{
	if (ctx->memory + beside->memory_peak > ctx->memory_peak)
		ctx->memory_peak = ctx->memory + beside->memory_peak;
}

void qdq_expect_random(void *p, size_t size)
{
	const uintptr_t page = (uintptr_t)2 << 20;
	uintptr_t from = ((uintptr_t)p + page - 1) / page * page, to = ((uintptr_t)p + size) / page * page;

#ifdef MADV_HUGEPAGE
	if (to > from + 2 * page)
		(void)madvise((void *)from, to - from, MADV_HUGEPAGE); /* a wish: whatever memory it is */
#else
	(void)from, (void)to;
#endif
}

/* ---- guards ---- */

qdq_status qdq_guard(qdq_ctx *ctx, void (*body)(void *arg), void *arg)
{
	jmp_buf here;
	jmp_buf *volatile outer = ctx->catcher;
	int thrown;

	ctx->catcher = &here;
	thrown = setjmp(here);
	if (thrown == 0)
		body(arg);
	ctx->catcher = outer;
	return (qdq_status)-thrown;
}

void qdq_throw(qdq_ctx *ctx, qdq_status status)
{
	longjmp(*ctx->catcher, -(int)status);
}

struct with_scratch {
	qdq_arena scratch;
	void (*body)(void *arg, qdq_arena *scratch);
	void *arg;
};

static void run_with_scratch(void *arg)
{
	struct with_scratch *w = arg;

	w->body(w->arg, &w->scratch);
}

void qdq_with_scratch(qdq_ctx *ctx, void (*body)(void *arg, qdq_arena *scratch), void *arg)
{
	struct with_scratch w = {.body = body, .arg = arg};
	qdq_status status;

	qdq_arena_init(&w.scratch, ctx);
	status = qdq_guard(ctx, run_with_scratch, &w);
	qdq_arena_free(&w.scratch);
	if (status != QDQ_OK)
		qdq_throw(ctx, status);
}

/* ---- diagnostics ---- */

static const char *keep(qdq_ctx *ctx, const char *s)
{
	return s == NULL || *s == '\0' ? NULL : qdq_copy(&ctx->arena, s, strlen(s));
}

static void store(qdq_ctx *ctx, qdq_severity severity, const qdq_where *w, const char *format, va_list args)
{
	static const qdq_where nowhere;
	qdq_diagnostic *d;

	if (w == NULL)
		w = &nowhere;
	qdq_diagnostic made = {
	    .severity = severity,
	    .file = keep(ctx, w->file),
	    .node = keep(ctx, w->node),
	    .op = keep(ctx, w->op),
	    .operand = keep(ctx, w->operand),
	    .message = qdq_vformat(&ctx->arena, format, args),
	};
	d = qdq_push(&ctx->arena, &ctx->diagnostics);
	*d = made;
	if (severity == QDQ_ERROR)
		ctx->errors++;
	if (ctx->options.log != NULL)
		ctx->options.log(ctx->options.log_user, d);
}

void qdq_diag(qdq_ctx *ctx, qdq_severity severity, const qdq_where *where, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	store(ctx, severity, where, format, args);
	va_end(args);
}

void qdq_fail(qdq_ctx *ctx, qdq_status status, const qdq_where *where, const char *format, ...)
{
	va_list args;

	if (status == QDQ_ENOMEM) { /* no memory to say so with */
		ctx->no_memory_at = ctx->diagnostics.count;
		ctx->no_memory = (qdq_diagnostic){.severity = QDQ_ERROR, .message = "out of memory"};
		ctx->errors++;
		if (ctx->options.log != NULL)
			ctx->options.log(ctx->options.log_user, &ctx->no_memory);
		qdq_throw(ctx, status);
	}
	va_start(args, format);
	store(ctx, QDQ_ERROR, where, format, args);
	va_end(args);
	qdq_throw(ctx, status);
}

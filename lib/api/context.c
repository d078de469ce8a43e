/* SPDX-License-Identifier: Apache-2.0
 *
 * context.c -- freeing contexts, reading diagnostics, guarding calls
 */
#include <stdarg.h>

#include "api.h"

void qdq_ctx_free(qdq_ctx *ctx)
{
	qdq_options o;

	if (ctx == NULL)
		return;
	while (ctx->models != NULL)
		qdq_model_destroy(ctx->models);
	qdq_arena_free(&ctx->arena);
	o = ctx->options;
	o.alloc(o.alloc_user, ctx, sizeof *ctx, 0);
}

/* Running out of memory leaves one diagnostic that is not in the list. */
size_t qdq_diagnostic_count(const qdq_ctx *ctx)
{
	return ctx == NULL ? 0 : ctx->diagnostics.count + (ctx->no_memory.message != NULL);
}

const qdq_diagnostic *qdq_diagnostic_get(const qdq_ctx *ctx, size_t index)
{
	if (index >= qdq_diagnostic_count(ctx))
		return NULL;
	if (ctx->no_memory.message == NULL || index < ctx->no_memory_at)
		return &ctx->diagnostics.items[index];
	return index == ctx->no_memory_at ? &ctx->no_memory : &ctx->diagnostics.items[index - 1];
}

const char *qdq_version(void)
{
	return QDQ_VERSION_STRING;
}

const char *qdq_status_text(qdq_status status)
{
	switch (status) {
	case QDQ_OK:
		return "success";
	case QDQ_EMODEL:
		return "the model cannot be used";
	case QDQ_EUSAGE:
		return "wrong usage";
	case QDQ_EFILE:
		return "a file cannot be read or written";
	case QDQ_ENOMEM:
		return "out of memory";
	case QDQ_EDEVICE:
		return "a device failed";
	case QDQ_ECANCELLED:
		return "cancelled";
	}
	return "unknown status";
}

const char *qdq_type_text(qdq_type type)
{
	return type == QDQ_TYPE_NONE ? "?" : qdq_type_get(type)->name;
}

/* ---- calls ---- */

static void say_poisoned(void *arg)
{
	qdq_misuse(arg, "memory ran out while this model was changed: it can only be freed");
}

qdq_status qdq_change(qdq_model *m, void (*body)(void *arg), void *arg)
{
	qdq_status status;

	if (m == NULL)
		return QDQ_EUSAGE;
	if (m->poisoned)
		return qdq_guard(m->ctx, say_poisoned, m);
	status = qdq_guard(m->ctx, body, arg);
	if (status == QDQ_ENOMEM)
		m->poisoned = true;
	return status;
}

void qdq_misuse(qdq_model *m, const char *format, ...)
{
	qdq_where where = {.file = m->path};
	const char *text;
	va_list args;

	va_start(args, format);
	text = qdq_vformat(&m->ctx->arena, format, args);
	va_end(args);
	qdq_fail(m->ctx, QDQ_EUSAGE, &where, "%s", text);
}

void qdq_expect_value(qdq_model *m, const qdq_value *v, const char *what)
{
	if (v == NULL)
		qdq_misuse(m, "%s is NULL", what);
	if (v->graph == NULL || v->graph->model != m)
		qdq_misuse(m, "%s belongs to another model", what);
	if (v->def == NULL && !v->is_input && v->tensor == NULL)
		qdq_misuse(m, "%s '%s' was removed with the node that defined it", what, v->name);
}

void qdq_expect_node(qdq_model *m, const qdq_node *n, const char *what)
{
	if (n == NULL)
		qdq_misuse(m, "%s is NULL", what);
	if (n->graph == NULL)
		qdq_misuse(m, "%s '%s' was removed", what, n->name);
	if (n->graph->model != m)
		qdq_misuse(m, "%s belongs to another model", what);
}

/* ---- settling after edits ---- */

void qdq_edited(qdq_model *m)
{
	m->baseline = NULL;
}

static void name_origins(qdq_model *m)
{
	for (qdq_node *n = m->graph->first; n != NULL; n = qdq_after(n)) {
		qdq_origin *o;

		if (n->origin != NULL)
			continue;
		o = qdq_new(&m->arena, qdq_origin);
		*o = (qdq_origin){(uint32_t)m->origins.count, n->name, n->op_type, NULL};
		n->origin = o;
		*qdq_push(&m->arena, &m->origins) = o;
	}
}

/* What was inferred before an edit need not hold any more; what the file declared stays. */
static void forget_types(qdq_graph *g)
{
	for (qdq_node *n = g->first; n != NULL; n = qdq_after(n)) {
		if (n->op->id == QDQ_OP_NONE || n->op->id == QDQ_OP_REGION)
			continue;
		for (uint32_t i = 0; i < n->n_outputs; i++) {
			qdq_value *v = n->outputs[i];

			if (v == NULL || v->not_tensor)
				continue;
			qdq_value_set_type(v, v->declared ? v->said_type : QDQ_TYPE_NONE,
					   v->declared ? v->said_shape : NULL);
			v->contents = NULL;
		}
	}
}

void qdq_forget_declared(qdq_node *n)
{
	for (uint32_t i = 0; i < n->n_outputs; i++)
		if (n->outputs[i] != NULL)
			n->outputs[i]->declared = false;
}

void qdq_reorder_and_infer(qdq_model *m)
{
	if (!qdq_graph_sort(m->graph))
		qdq_fail(m->ctx, QDQ_EMODEL, &(qdq_where){.file = m->path}, "the graph has a cycle");
	forget_types(m->graph);
	qdq_graph_infer(m->graph);
	if (!qdq_graph_verify(m->graph) || !qdq_model_check(m))
		qdq_throw(m->ctx, QDQ_EMODEL);
}

void qdq_settle(qdq_model *m)
{
	if (m->baseline != NULL)
		return;
	name_origins(m);
	qdq_reorder_and_infer(m);
	qdq_baseline_take(m);
}

/* SPDX-License-Identifier: Apache-2.0
 *
 * explain.c -- what happened to one node of the user's file, and why
 */
#include "internal.h"

/* Does `name` match `pattern`, where * stands for any characters and ? for one? Linear but for the last star. */
static bool matches(const char *pattern, const char *name)
{
	const char *star = NULL, *resume = NULL;

	while (*name != '\0') {
		if (*pattern == '*') {
			star = pattern++;
			resume = name;
		} else if (*pattern == '?' || *pattern == *name) {
			pattern++;
			name++;
		} else if (star != NULL) {
			pattern = star + 1;
			name = ++resume;
		} else {
			return false;
		}
	}
	while (*pattern == '*')
		pattern++;
	return *pattern == '\0';
}

static void put_list(qdq_writer *w, const char *const *items, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		qdq_put(w, i != 0 ? ", " : "");
		qdq_put(w, items[i]);
	}
	if (count == 0)
		qdq_put(w, "nothing");
}

static void put_quoted(qdq_writer *w, const char *before, const char *name)
{
	qdq_put(w, before);
	qdq_put(w, "'");
	qdq_put(w, name);
	qdq_put(w, "'");
}

static void put_region(qdq_writer *w, const qdq_report *r, const char *name)
{
	for (size_t i = 0; i < r->regions.count; i++) {
		const qdq_report_region *region = &r->regions.items[i];

		if (strcmp(region->name, name) != 0)
			continue;
		put_quoted(w, "  fused    into ", name);
		qdq_putf(w, " (%s), with ", region->kind);
		put_list(w, region->ops.items, region->ops.count);
		qdq_put(w, "\n           which reads ");
		put_list(w, region->inputs, region->n_inputs);
		qdq_put(w, " and writes ");
		put_list(w, region->outputs, region->n_outputs);
		qdq_put(w, "\n");
		return;
	}
}

static void put_op(qdq_writer *w, const qdq_report *r, const qdq_report_op *op)
{
	static const char *const verdicts[] = {"float", "int8 -> float", "int8 -> int8"};

	qdq_put(w, op->op);
	put_quoted(w, " ", op->name);
	qdq_putf(w, "   %s\n  file     reads ", verdicts[op->verdict]);
	put_list(w, op->inputs, op->n_inputs);
	qdq_put(w, " and writes ");
	put_list(w, op->outputs, op->n_outputs);
	qdq_putf(w, "; %llu MAC, %llu bytes of activations\n", (unsigned long long)op->macs,
		 (unsigned long long)op->bytes);
	if (op->fused_into != NULL)
		put_region(w, r, op->fused_into);
	if (!op->has_reason)
		return;
	qdq_put(w, "  why      ");
	qdq_put(w, op->code);
	qdq_put(w, ": ");
	qdq_put(w, op->message);
	if (op->operand != NULL)
		put_quoted(w, "; tensor ", op->operand);
	if (op->cause != NULL)
		put_quoted(w, "; because of node ", op->cause);
	qdq_put(w, "\n  fix      ");
	qdq_put(w, op->fix);
	qdq_put(w, "\n");
}

static bool is_about(const qdq_event *e, uint32_t index)
{
	for (const qdq_origin *o = e->node; o != NULL; o = o->next)
		if (o->index == index)
			return true;
	return false;
}

static void put_events(qdq_writer *w, const qdq_report *r, uint32_t index)
{
	static const char *const exactness[] = {"exact", "within one step", "bounded"};

	for (size_t i = 0; i < r->m->events.count; i++) {
		const qdq_event *e = &r->m->events.items[i];

		if (!is_about(e, index) || strcmp(e->pass, "explain") == 0)
			continue;
		if (e->declined)
			qdq_putf(w, "  declined %s: %s: ", e->rule, qdq_reasons[e->reason].code);
		else
			qdq_putf(w, "  rewrite  %s (%s)", e->rule, exactness[e->exactness]);
		qdq_put(w, e->declined ? e->message : "");
		qdq_put(w, "\n");
	}
}

qdq_status qdq_report_explain(const qdq_report *r, const char *node, qdq_write_fn *write, void *user)
{
	qdq_writer w = {.write = write, .user = user};
	const qdq_model *m = r->m;
	bool any = false;
	char room[16];

	for (size_t i = 0; i < m->origins.count; i++) {
		const qdq_origin *o = m->origins.items[i];
		const qdq_report_op *op;

		if (o == NULL || !matches(node, qdq_origin_label(o, room)))
			continue;
		op = i < r->n_origins && r->op_of[i] != 0 ? &r->ops[r->op_of[i] - 1] : NULL;
		if (any)
			qdq_put(&w, "\n");
		any = true;
		if (op != NULL) {
			put_op(&w, r, op);
		} else {
			qdq_put(&w, o->op_type);
			put_quoted(&w, " ", qdq_origin_label(o, room));
			qdq_put(&w, "   no compute operator: it has no verdict of its own\n");
		}
		put_events(&w, r, o->index);
	}
	return any ? qdq_writer_end(&w) : QDQ_EUSAGE;
}

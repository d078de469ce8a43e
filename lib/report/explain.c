/* SPDX-License-Identifier: Apache-2.0
 *
 * explain.c -- what happened to one node of the user's file, and why
 *
 * A glob may match every node: events are sorted by the node that they are about once, and regions found by name.
 */
#include <math.h>

#include "internal.h"

/* Event numbers by the index of an origin: those of i are list[first[i]] and the count[i] - 1 behind it. */
struct index {
	const qdq_report *r;
	qdq_arena arena;
	size_t n_origins;
	size_t *first;
	uint32_t *count, *list;
	qdq_map regions; /* name, by its pointer -> region */
};

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

static void put_region(qdq_writer *w, const qdq_report_region *region)
{
	put_quoted(w, "  fused    into ", region->name);
	qdq_putf(w, " (%s), with ", region->kind);
	put_list(w, region->ops.items, region->ops.count);
	qdq_put(w, "\n           which reads ");
	put_list(w, region->inputs, region->n_inputs);
	qdq_put(w, " and writes ");
	put_list(w, region->outputs, region->n_outputs);
	qdq_put(w, "\n");
}

static void put_op(qdq_writer *w, const struct index *x, const qdq_report_op *op)
{
	qdq_put(w, op->op);
	put_quoted(w, " ", op->name);
	qdq_putf(w, "   %s\n  file     reads ", qdq_verdict_names[op->verdict]);
	put_list(w, op->inputs, op->n_inputs);
	qdq_put(w, " and writes ");
	put_list(w, op->outputs, op->n_outputs);
	qdq_putf(w, "; %llu MAC, %llu bytes of activations\n", (unsigned long long)op->macs,
		 (unsigned long long)op->bytes);
	if (op->fused_into != NULL)
		put_region(w, qdq_map_get(&x->regions, op->fused_into));
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
	if (op->tried)
		qdq_putf(w, "\n           which brings %llu MAC more into INT8, in the whole network",
			 (unsigned long long)op->gain);
	qdq_put(w, "\n");
}

static void put_events(qdq_writer *w, const struct index *x, size_t origin)
{
	static const char *const exactness[] = {"exact", "within one step", "bounded"};

	for (uint32_t i = 0; i < x->count[origin]; i++) {
		const qdq_event *e = &x->r->m->events.items[x->list[x->first[origin] + i]];

		if (e->declined)
			qdq_putf(w, "  declined %s: %s: ", e->rule, qdq_reasons[e->reason].code);
		else
			qdq_putf(w, "  rewrite  %s (%s)", e->rule, exactness[e->exactness]);
		if (!e->declined && e->exactness == QDQ_BOUNDED) {
			qdq_put(w, isinf(e->bound) ? ": no bound is known" : ": at most ");
			if (!isinf(e->bound))
				qdq_put_short(w, e->bound, 3);
			put_quoted(w, " in tensor ", e->operand);
		}
		qdq_put(w, e->declined ? e->message : "");
		qdq_put(w, "\n");
	}
}

/* ---- the index ---- */

/* The nodes that an event is about; none for what the pass explain says: that is printed as the operator's reason. */
static const qdq_origin *listed(const qdq_event *e)
{
	return strcmp(e->pass, "explain") == 0 ? NULL : e->node;
}

static void sort_events(struct index *x)
{
	const qdq_model *m = x->r->m;
	size_t total = 0;

	for (size_t i = 0; i < m->events.count; i++)
		for (const qdq_origin *o = listed(&m->events.items[i]); o != NULL; o = o->next)
			if (o->index < x->n_origins)
				x->count[o->index]++;
	for (size_t i = 0; i < x->n_origins; i++) {
		x->first[i] = total;
		total += x->count[i];
		x->count[i] = 0;
	}
	x->list = qdq_array(&x->arena, uint32_t, total);
	for (size_t i = 0; i < m->events.count; i++)
		for (const qdq_origin *o = listed(&m->events.items[i]); o != NULL; o = o->next)
			if (o->index < x->n_origins)
				x->list[x->first[o->index] + x->count[o->index]++] = (uint32_t)i;
}

static void build_index(void *arg)
{
	struct index *x = arg;

	x->n_origins = x->r->m->origins.count;
	x->first = qdq_array(&x->arena, size_t, x->n_origins);
	x->count = qdq_array(&x->arena, uint32_t, x->n_origins);
	sort_events(x);
	qdq_map_init(&x->regions, &x->arena);
	for (size_t i = 0; i < x->r->regions.count; i++)
		qdq_map_set(&x->regions, x->r->regions.items[i].name, &x->r->regions.items[i]);
}

/* ---- everything that matches ---- */

static bool matches(const struct index *x, size_t i, const char *node)
{
	const qdq_origin *o = x->r->m->origins.items[i];
	char room[16];

	return o != NULL && qdq_glob(node, qdq_origin_label(o, room));
}

static const qdq_report_op *operator_at(const struct index *x, size_t i)
{
	const qdq_report *r = x->r;

	return i < r->n_origins && r->op_of[i] != 0 ? &r->ops[r->op_of[i] - 1] : NULL;
}

static void put_match(qdq_writer *w, const struct index *x, size_t i)
{
	const qdq_origin *o = x->r->m->origins.items[i];
	const qdq_report_op *op = operator_at(x, i);
	char room[16];

	if (op != NULL) {
		put_op(w, x, op);
	} else {
		qdq_put(w, o->op_type);
		put_quoted(w, " ", qdq_origin_label(o, room));
		qdq_put(w, "   no compute operator: it has no verdict of its own\n");
	}
	put_events(w, x, i);
}

/* Of a glob the compute operators, where there are any: the Q and DQ between them are not what was meant. */
static qdq_status put_matches(const struct index *x, const char *node, qdq_writer *w)
{
	size_t operators = 0, shown = 0, others = 0;

	for (size_t i = 0; i < x->n_origins; i++)
		operators += operator_at(x, i) != NULL && matches(x, i, node);
	for (size_t i = 0; i < x->n_origins; i++) {
		if (!matches(x, i, node))
			continue;
		if (operators != 0 && operator_at(x, i) == NULL) {
			others++;
			continue;
		}
		qdq_put(w, shown++ != 0 ? "\n" : "");
		put_match(w, x, i);
	}
	if (others != 0)
		qdq_putf(w, "\n%llu other node%s of that name: no compute operator%s, without a verdict\n",
			 (unsigned long long)others, others == 1 ? "" : "s", others == 1 ? "" : "s");
	return shown != 0 ? qdq_writer_end(w) : QDQ_EUSAGE;
}

qdq_status qdq_report_explain(const qdq_report *r, const char *node, qdq_write_fn *write, void *user)
{
	qdq_writer w = {.write = write, .user = user};
	struct index x = {.r = r};
	qdq_status status;

	qdq_arena_init(&x.arena, r->m->ctx);
	status = qdq_guard(r->m->ctx, build_index, &x);
	if (status == QDQ_OK)
		status = put_matches(&x, node, &w);
	qdq_arena_free(&x.arena);
	return status;
}

/* SPDX-License-Identifier: Apache-2.0
 *
 * report.c -- what became of every compute operator of the user's file
 *
 * The baseline lists the operators; the graph as it is now is walked once, and every node tells the operators that it
 * stands for (its origins) where they are; the events of the pass `explain` tell why. All three are joined by the
 * origin's index.
 */
#include "../../passes/verdict.h"
#include "internal.h"

#define DEPTH 100

/* What stands for an operator. A Q or DQ that a pass made takes the operator's origin, and says nothing of it as long
 * as the operator itself is there. */
enum standing { STANDS_NOWHERE, STANDS_QUANT, STANDS_ITSELF };

/* Where an operator of the file is now. */
struct place {
	uint8_t by;		    /* enum standing */
	bool computed, in_function; /* computed: at build, so that nothing of it runs */
	qdq_verdict verdict;	    /* the worst, where it stands in several places */
	const char *region;
};

struct making {
	qdq_model *m;
	qdq_report *r;
	struct place *places;	   /* by the index of the origin */
	const qdq_event **reasons; /* by the index of the origin: the last one recorded */
	size_t n_origins;
	qdq_map by_region; /* name of the region -> its index + 1 */
	bool in_function;  /* the walk is in the body of a function that was not inlined */
};

/* ---- where everything is ---- */

static void put(struct making *k, const qdq_node *n, qdq_verdict verdict, const char *region)
{
	/* a Cast beside an operator that became float16 has its origin, and may be in another region */
	bool converts = n->op->cls == QDQ_CLASS_QUANT || n->op->id == QDQ_OP_Cast;
	enum standing by = converts ? STANDS_QUANT : STANDS_ITSELF;

	for (const qdq_origin *o = n->origin; o != NULL; o = o->next) {
		struct place *p;

		if (o->index >= k->n_origins || k->places[o->index].by > by)
			continue;
		p = &k->places[o->index];
		if (p->by < by) {
			*p = (struct place){(uint8_t)by, p->computed, k->in_function, verdict, region};
			continue;
		}
		p->verdict = p->verdict < verdict ? p->verdict : verdict;
		p->region = p->region != NULL ? p->region : region;
	}
}

static bool is_code(const qdq_value *v)
{
	return v != NULL && qdq_type_is_int8(v->type);
}

/* A node outside regions: integer forms, and what moves or compares codes. */
static qdq_verdict plain_verdict(const qdq_node *n)
{
	bool reads = false;

	if (n->op->cls != QDQ_CLASS_QFORM && n->op->cls != QDQ_CLASS_MOVE && n->op->cls != QDQ_CLASS_MONO)
		return QDQ_VERDICT_FLOAT;
	for (uint32_t i = 0; i < n->n_inputs; i++)
		reads = reads || is_code(qdq_in(n, i));
	if (!reads || (n->op->cls == QDQ_CLASS_QFORM && n->op->family == QDQ_FAMILY_WEIGHTED &&
		       !is_code(qdq_in(n, 0)) && n->n_inputs > 0))
		return QDQ_VERDICT_FLOAT;
	return is_code(qdq_out(n, 0)) ? QDQ_VERDICT_INT8_INT8 : QDQ_VERDICT_INT8_FLOAT;
}

/* Is n an operator of the user's file, be it in another form (QLinearConv, a Relu as Clip)? Arithmetic that stands for a Q
 * or DQ is none, nor is a Clip in front of one. */
static bool is_users(const struct making *k, const qdq_node *n)
{
	for (const qdq_origin *o = n->origin; o != NULL; o = o->next) {
		uint32_t place = o->index < k->n_origins ? k->r->op_of[o->index] : 0;

		if (strstr(o->op_type, n->op_type) != NULL ||
		    (place != 0 && n->op->family == QDQ_FAMILY_ACTIVATION &&
		     k->m->baseline->ops.items[place - 1].family == QDQ_FAMILY_ACTIVATION))
			return true;
	}
	return false;
}

/* What people call a region by: its anchor, or what a Cast in front of it leads to; if that is none of the user's
 * operators, by the strongest that is. NULL: there is none. */
static const qdq_node *named_by(const struct making *k, const qdq_region *region)
{
	const qdq_node *n = region->anchor, *named = NULL;

	if (n == NULL)
		return NULL;
	while (n != NULL && n->op->id == QDQ_OP_Cast)
		for (n = n->next; n != NULL && n->op->family == QDQ_FAMILY_NONE;)
			n = n->next;
	if (n == NULL)
		n = region->anchor;
	if (is_users(k, n))
		return n;
	for (n = region->body->first; n != NULL; n = n->next)
		if (n->op->family != QDQ_FAMILY_NONE && qdq_region_outranks(n, named) && is_users(k, n))
			named = n;
	return named;
}

static void add_region(struct making *k, const qdq_node *n)
{
	qdq_arena *arena = &k->m->arena;
	qdq_report_region *region = qdq_push(arena, &k->r->regions);
	const qdq_node *anchor = n->region->anchor, *named = named_by(k, n->region);
	bool symbolic = false;
	qdq_border border;
	qdq_reason why;

	qdq_border_of(n, &border);
	*region = (qdq_report_region){.name = n->name, .kind = qdq_region_kind_names[n->region->kind]};
	region->verdict = border.written == NULL ? QDQ_VERDICT_INT8_INT8 : QDQ_VERDICT_INT8_FLOAT;
	if (anchor != NULL) {
		/* of an attention its MatMul alone says little */
		region->anchor = n->region->kind == QDQ_REGION_ATTENTION ? region->kind
				 : named != NULL			 ? named->op_type
									 : NULL;
		region->arithmetic = region->anchor == NULL;
		region->verdict = qdq_verdict_inside(anchor, n, &border, &why);
	}
	region->inputs = qdq_type_names(arena, n, false, &region->n_inputs);
	region->outputs = qdq_type_names(arena, n, true, &region->n_outputs);
	region->bytes = qdq_node_bytes(n, &symbolic);
	qdq_map_set(&k->by_region, n->name, (void *)(uintptr_t)k->r->regions.count);
	for (const qdq_node *inner = n->region->body->first; inner != NULL; inner = inner->next) {
		bool listed = inner->op->family != QDQ_FAMILY_NONE && inner != anchor;
		bool further = named != NULL && inner != named && inner->origin != named->origin && is_users(k, inner);

		put(k, inner, listed ? qdq_verdict_inside(inner, n, &border, &why) : region->verdict, n->name);
		region->macs += qdq_node_macs(inner, &symbolic);
		region->clamps = region->clamps || (further && inner->op->family == QDQ_FAMILY_ACTIVATION);
		region->adds = region->adds || (further && inner->op->id == QDQ_OP_Add);
		if (n->region->kind == QDQ_REGION_REQUANTIZE) {
			k->r->counts.q_after += qdq_is_quantizer(inner);
			k->r->counts.dq_after += qdq_is_dequantizer(inner);
		}
	}
}

/* kept: passes do not go into g, so whatever stands there is as it was. */
static void walk(struct making *k, const qdq_graph *g, int depth, bool kept)
{
	for (const qdq_node *n = g->first; n != NULL && depth < DEPTH; n = qdq_after(n)) {
		k->r->counts.q_after += qdq_is_quantizer(n);
		k->r->counts.dq_after += qdq_is_dequantizer(n);
		if (n->region != NULL)
			add_region(k, n);
		else
			put(k, n, kept ? QDQ_VERDICT_FLOAT : plain_verdict(n), NULL);
		for (uint32_t i = 0; i < n->n_attrs; i++) {
			const qdq_attr *a = &n->attrs[i];

			qdq_graph *const *graphs;
			size_t count = qdq_attr_graphs(a, &graphs);

			for (size_t j = 0; j < count; j++)
				walk(k, graphs[j], depth + 1, kept || !qdq_enters(n));
		}
	}
}

static void read_events(struct making *k)
{
	for (size_t i = 0; i < k->m->events.count; i++) {
		const qdq_event *e = &k->m->events.items[i];

		for (const qdq_origin *o = e->node; o != NULL; o = o->next) {
			if (o->index >= k->n_origins)
				continue;
			if (e->declined && strcmp(e->pass, "explain") == 0)
				k->reasons[o->index] = e;
			else if (!e->declined && strncmp(e->rule, "fold.", 5) == 0)
				k->places[o->index].computed = true;
		}
	}
}

/* ---- one operator ---- */

static void set_reason(qdq_report_op *op, qdq_reason_code code, const char *message)
{
	op->has_reason = true;
	op->code = qdq_reasons[code].code;
	op->message = message != NULL ? message : qdq_reasons[code].message;
	op->fix = qdq_reasons[code].fix;
}

/* Nothing is silent: where no pass recorded a reason (explain did not run), the verdict itself gives one. */
static void find_reason(struct making *k, qdq_report_op *op, const qdq_base_op *base, const struct place *p)
{
	const qdq_event *e = base->origin->index < k->n_origins ? k->reasons[base->origin->index] : NULL;

	if (p->by == STANDS_NOWHERE) {
		set_reason(op, p->computed ? QDQ_REASON_CONSTANT : QDQ_REASON_REMOVED, NULL);
	} else if (e != NULL) {
		set_reason(op, (qdq_reason_code)e->reason, e->message);
		op->operand = qdq_file_name(k->m, e->operand);
		op->now = e->operand;
		op->cause = e->cause;
	} else if (p->by == STANDS_QUANT) {
		op->gone = true;
		set_reason(op, QDQ_REASON_QUANTIZATION, NULL);
	} else if (p->in_function) {
		set_reason(op, QDQ_REASON_IN_FUNCTION, NULL);
	} else if (op->verdict == QDQ_VERDICT_INT8_FLOAT) {
		set_reason(op, QDQ_REASON_OUTPUT_FLOAT, NULL);
	} else {
		set_reason(op, QDQ_REASON_NOT_EXAMINED, NULL);
	}
}

static void count_op(qdq_report *r, const qdq_report_op *op)
{
	qdq_counts *c = &r->counts;
	bool int8 = op->verdict != QDQ_VERDICT_FLOAT;

	if (!op->gone) {
		c->bytes += op->bytes;
		c->bytes_int8 += int8 ? op->bytes : 0;
		c->macs += op->macs;
		c->macs_int8 += int8 ? op->macs : 0;
	}
	if (op->family != QDQ_FAMILY_WEIGHTED)
		return;
	c->weighted++;
	if (op->verdict == QDQ_VERDICT_INT8_INT8)
		c->int8_int8++;
	else if (op->verdict == QDQ_VERDICT_INT8_FLOAT)
		c->int8_float++;
	else
		c->float_only++;
}

static const char *name_of(qdq_model *m, const qdq_origin *o)
{
	return *o->name != '\0' ? o->name : qdq_format(&m->arena, "#%u", o->index);
}

static const char *const *type_names(qdq_model *m, const uint8_t *types, uint32_t count)
{
	const char **names = qdq_array(&m->arena, const char *, count);

	for (uint32_t i = 0; i < count; i++)
		names[i] = types[i] == QDQ_TYPE_NONE ? "?" : qdq_type_get((qdq_type)types[i])->name;
	return names;
}

static void add_op(struct making *k, const qdq_base_op *base, qdq_report_op *op)
{
	static const struct place nowhere;
	const struct place *p = base->origin->index < k->n_origins ? &k->places[base->origin->index] : &nowhere;

	*op = (qdq_report_op){.name = name_of(k->m, base->origin),
			      .op = base->origin->op_type,
			      .family = base->family,
			      .verdict = p->by != STANDS_NOWHERE ? p->verdict : QDQ_VERDICT_FLOAT,
			      .inputs = type_names(k->m, base->types, base->n_inputs),
			      .outputs = type_names(k->m, base->types + base->n_inputs, base->n_outputs),
			      .n_inputs = base->n_inputs,
			      .n_outputs = base->n_outputs,
			      .macs = base->macs,
			      .bytes = base->bytes,
			      .fused_into = p->region};
	op->gone = p->by == STANDS_NOWHERE;
	if (op->verdict != QDQ_VERDICT_INT8_INT8)
		find_reason(k, op, base, p);
	if (p->region != NULL) {
		size_t i = (size_t)(uintptr_t)qdq_map_get(&k->by_region, p->region);

		*qdq_push(&k->m->arena, &k->r->regions.items[i - 1].ops) = op->name;
	}
	count_op(k->r, op);
}

qdq_report *qdq_report_make(qdq_model *m, const char *target, const char *out, double milliseconds)
{
	qdq_report *r = qdq_new(&m->arena, qdq_report);
	const struct qdq_baseline *b = m->baseline;
	struct making k = {.m = m, .r = r, .n_origins = m->origins.count};

	r->m = m;
	r->target = target;
	r->output = out != NULL ? qdq_copy(&m->arena, out, strlen(out)) : NULL;
	r->milliseconds = milliseconds;
	r->symbolic = b->symbolic;
	r->counts = (qdq_counts){.nodes_before = b->nodes, .q_before = b->q, .dq_before = b->dq};
	r->counts.nodes_after = m->graph->n_nodes;
	k.places = qdq_array(&m->arena, struct place, k.n_origins);
	k.reasons = qdq_array(&m->arena, const qdq_event *, k.n_origins);
	r->op_of = qdq_array(&m->arena, uint32_t, k.n_origins);
	r->n_origins = k.n_origins;
	for (size_t i = 0; i < b->ops.count; i++)
		if (b->ops.items[i].origin->index < k.n_origins)
			r->op_of[b->ops.items[i].origin->index] = (uint32_t)i + 1;
	qdq_map_init(&k.by_region, &m->arena);
	walk(&k, m->graph, 0, false);
	k.in_function = true;
	for (size_t i = 0; i < m->functions.count; i++) {
		const qdq_graph *body = m->functions.items[i]->body;

		if (body != NULL && body->parent == NULL)
			walk(&k, body, 1, true);
	}
	read_events(&k);
	r->n_ops = b->ops.count;
	r->ops = qdq_array(&m->arena, qdq_report_op, r->n_ops);
	for (size_t i = 0; i < r->n_ops; i++)
		add_op(&k, &b->ops.items[i], &r->ops[i]);
	return r;
}

const qdq_model *qdq_report_model(const qdq_report *r)
{
	return r->m;
}

const qdq_counts *qdq_report_summary(const qdq_report *r)
{
	return &r->counts;
}

qdq_report_op *qdq_report_ops_to_fill(qdq_report *r, size_t *count)
{
	*count = r->n_ops;
	return r->ops;
}

uint32_t qdq_baseline_origin(const qdq_model *m, size_t index)
{
	return m->baseline->ops.items[index].origin->index;
}

const qdq_report_op *qdq_report_ops(const qdq_report *r, size_t *count)
{
	*count = r->n_ops;
	return r->ops;
}

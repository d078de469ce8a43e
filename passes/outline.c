/* SPDX-License-Identifier: Apache-2.0
 *
 * outline.c -- a region under construction
 */
#include "outline.h"

#include <stdlib.h>

void qdq_outline_init(qdq_outline *o, qdq_run *r)
{
	*o = (qdq_outline){.run = r};
	qdq_map_init(&o->members, &r->scratch);
}

void qdq_outline_take(qdq_outline *o, qdq_node *n)
{
	if (qdq_outline_has(o, n))
		return;
	qdq_map_set(&o->members, n, n);
	*qdq_push(&o->run->scratch, &o->nodes) = n;
}

/* Is v read by members alone? A DQ that others read is not: its copy comes in, and it stays. */
static bool read_inside(const qdq_outline *o, const qdq_value *v)
{
	if (v->n_outputs != 0)
		return false;
	for (const qdq_use *u = v->uses; u != NULL; u = u->next)
		if (!qdq_outline_has(o, u->node) ||
		    (qdq_is_dequantizer(u->node) && !read_inside(o, u->node->outputs[0])))
			return false;
	return true;
}

bool qdq_outline_holds_readers(const qdq_outline *o, const qdq_node *n)
{
	for (uint32_t i = 0; i < n->n_outputs; i++)
		if (n->outputs[i] != NULL && !read_inside(o, n->outputs[i]))
			return false;
	return true;
}

bool qdq_is_rounding(const qdq_node *n)
{
	qdq_reason why;
	qdq_params p;

	return qdq_params_of(n, &p) && qdq_params_movable(&p, &why) && p.positive;
}

bool qdq_is_weight(const qdq_value *v)
{
	const qdq_node *n = v->def;

	while (n != NULL && n->op->cls == QDQ_CLASS_QUANT && qdq_in(n, 0) != NULL) {
		v = qdq_in(n, 0);
		n = v->def;
	}
	return qdq_value_constant(v) != NULL;
}

bool qdq_outline_take_dequantizer(qdq_outline *o, const qdq_value *v)
{
	qdq_params p;
	qdq_node *dq = v != NULL ? qdq_dequantized(v, &p) : NULL;

	if (dq == NULL || dq->graph != o->run->graph || qdq_rounds_by_order(o->run, dq))
		return false;
	qdq_outline_take(o, dq);
	return true;
}

void qdq_outline_take_quantizers(qdq_outline *o, const qdq_value *v)
{
	for (const qdq_use *u = v->uses; u != NULL; u = u->next)
		if (u->node->graph == o->run->graph && qdq_is(u->node, QDQ_OP_QuantizeLinear) &&
		    qdq_use_index(u) == 0 && qdq_is_rounding(u->node))
			qdq_outline_take(o, u->node);
}

bool qdq_keeps_type(const qdq_node *n)
{
	return n->op->id != QDQ_OP_ms_DequantizeLinear || n->outputs[0]->type == QDQ_TYPE_FLOAT;
}

bool qdq_outline_kept(const qdq_outline *o, qdq_reason *why)
{
	for (size_t i = 0; i < o->nodes.count; i++) {
		const qdq_node *n = o->nodes.items[i];

		if (!qdq_kept_float(n))
			continue;
		*why = (qdq_reason){
		    .code = QDQ_REASON_KEPT_FLOAT, .cause = qdq_node_label(n), .detail = qdq_type_text(n->wanted)};
		return true;
	}
	return false;
}

/* A DQ that others read as well stays for them; the members read a copy. */
static qdq_node *own(const qdq_outline *o, qdq_node *n)
{
	qdq_node *copy;
	qdq_use *next;

	if (!qdq_is_dequantizer(n) || n->outputs[0]->n_uses == 0 || read_inside(o, n->outputs[0]))
		return n;
	copy = qdq_node_clone(n, n->next);
	for (qdq_use *u = n->outputs[0]->uses; u != NULL; u = next) {
		next = u->next;
		if (qdq_outline_has(o, u->node))
			qdq_use_set(u, copy->outputs[0]);
	}
	return copy;
}

static int compare_places(const void *a, const void *b)
{
	const qdq_node *first = *(qdq_node *const *)a, *second = *(qdq_node *const *)b;

	if (first->place != second->place)
		return first->place < second->place ? -1 : 1;
	return (first->id > second->id) - (first->id < second->id); /* made since: as they were made */
}

/* In the order of the graph. */
static void put_in_order(qdq_outline *o)
{
	qsort(o->nodes.items, o->nodes.count, sizeof *o->nodes.items, compare_places);
}

void qdq_outline_commit(qdq_outline *o, qdq_node *anchor, const char *rule)
{
	qdq_run *r = o->run;
	const char *base = *anchor->name != '\0' ? anchor->name : anchor->outputs[0]->name;
	qdq_name name = qdq_unique_name(&r->model->names, qdq_format(&r->scratch, "%s.fused", base));

	for (size_t i = 0; i < o->nodes.count; i++) {
		if (qdq_keeps_type(o->nodes.items[i]))
			continue;
		qdq_declined(r, rule, anchor->origin,
			     &(qdq_reason){.code = QDQ_REASON_HALF_FORM,
					   .cause = qdq_node_label(o->nodes.items[i]),
					   .detail = "DequantizeLinear of com.microsoft"});
		return;
	}
	put_in_order(o);
	for (size_t i = 0; i < o->nodes.count; i++)
		o->nodes.items[i] = own(o, o->nodes.items[i]);
	qdq_region_create(r->graph, o->nodes.items, o->nodes.count, name);
	qdq_applied(r, rule, QDQ_EXACT, 0, anchor->origin);
}

void qdq_outline_sort(qdq_run *r)
{
	if (!qdq_graph_sort(r->graph))
		qdq_fail(r->ctx, QDQ_EMODEL, &(qdq_where){.file = r->model->path}, "fusing made a cycle");
}

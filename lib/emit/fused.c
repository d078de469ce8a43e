/* SPDX-License-Identifier: Apache-2.0
 *
 * fused.c -- regions as model-local functions, so that the fused file is standard ONNX
 */
#include "../rewrite/rewrite.h"
#include "emit.h"

typedef QDQ_VEC(qdq_node *) qdq_regions;

#define FUNCTIONS_SINCE_IR 8
#define DOMAIN_VERSION 1

static void import_domain(qdq_model *m, qdq_name domain)
{
	for (size_t i = 0; i < m->opsets.count; i++)
		if (m->opsets.items[i].domain == domain)
			return;
	*qdq_push(&m->arena, &m->opsets) = (qdq_opset){domain, DOMAIN_VERSION};
}

/* The function of a region: made anew for each file. A function of our domain that is none, since it is called twice,
 * is the user's like any other. */
static bool is_ours(const qdq_function *f)
{
	return strcmp(f->domain, QDQ_REGION_DOMAIN) == 0 && (f->body == NULL || f->body->parent != NULL);
}

static void drop_ours(qdq_model *m)
{
	size_t kept = 0;

	for (size_t i = 0; i < m->functions.count; i++)
		if (!is_ours(m->functions.items[i]))
			m->functions.items[kept++] = m->functions.items[i];
	m->functions.count = kept;
}

static bool domain_is_called(const qdq_model *m)
{
	for (size_t i = 0; i < m->functions.count; i++)
		if (strcmp(m->functions.items[i]->domain, QDQ_REGION_DOMAIN) == 0)
			return true;
	return false;
}

/* ---- names of ports ---- */

/* `<region>.in0` … and `.out0` …, which nothing else in the file may be called, since some importers inline functions
 * without renaming. Where no name of the model looks like that (`clear`), they need not be interned. */
static qdq_name port_name(qdq_model *m, bool clear, qdq_name region, const char *side, size_t i)
{
	const char *base = qdq_numbered(&m->arena, region, side, i);

	return clear ? base : qdq_unique_name(&m->names, base);
}

static void name_port(qdq_model *m, bool clear, qdq_value *port, qdq_name region, const char *side, size_t i)
{
	if (*port->name == '\0' || (!clear && qdq_find_name(&m->names, port->name) != port->name))
		port->name = port_name(m, clear, region, side, i);
}

static void name_ports(qdq_model *m, bool clear, const qdq_node *n)
{
	const qdq_graph *body = n->region->body;

	for (size_t i = 0; i < body->inputs.count; i++)
		name_port(m, clear, body->inputs.items[i], n->name, ".in", i);
	for (size_t i = 0; i < body->outputs.count; i++)
		name_port(m, clear, body->outputs.items[i], n->name, ".out", i);
}

/* ---- writing ---- */

/* A function imports what its body uses: every domain of the model but ours. */
static qdq_function *as_function(qdq_model *m, qdq_node *n, const qdq_function *before)
{
	qdq_function *f = qdq_new(&m->arena, qdq_function);

	f->domain = n->domain;
	f->name = n->op_type;
	f->overload = n->overload;
	f->body = n->region->body;
	if (before != NULL) { /* the same for all of them */
		f->opsets.items = before->opsets.items;
		f->opsets.count = f->opsets.capacity = before->opsets.count;
		return f;
	}
	for (size_t i = 0; i < m->opsets.count; i++)
		if (m->opsets.items[i].domain != n->domain)
			*qdq_push(&m->arena, &f->opsets) = m->opsets.items[i];
	return f;
}

/* All regions, also those in bodies of If, Loop and Scan, in the order of their nodes. */
static void find_regions(const qdq_graph *g, qdq_arena *arena, qdq_regions *out)
{
	for (qdq_node *n = g->first; n != NULL; n = qdq_after(n)) {
		if (n->region != NULL)
			*qdq_push(arena, out) = n;
		for (uint32_t i = 0; n->region == NULL && i < n->n_attrs; i++) {
			qdq_graph *const *graphs;
			size_t count = qdq_attr_graphs(&n->attrs[i], &graphs);

			for (size_t j = 0; j < count; j++)
				find_regions(graphs[j], arena, out);
		}
	}
}

static void write_functions(void *arg, qdq_arena *scratch)
{
	qdq_model *m = arg;
	const qdq_function *last = NULL;
	qdq_regions regions = {0};
	bool clear;

	find_regions(m->graph, scratch, &regions);
	if (regions.count == 0)
		return;
	import_domain(m, regions.items[0]->domain);
	clear = !qdq_any_name_has(&m->names, ".fused.");
	for (size_t i = 0; i < regions.count; i++) {
		qdq_node *n = regions.items[i];

		name_ports(m, clear, n);
		n->function = last = as_function(m, n, last);
		*qdq_push(&m->arena, &m->functions) = (qdq_function *)(uintptr_t)n->function;
	}
	if (m->ir_version < FUNCTIONS_SINCE_IR)
		m->ir_version = FUNCTIONS_SINCE_IR;
}

void qdq_emit_fused(qdq_model *m)
{
	drop_ours(m);
	qdq_with_scratch(m->ctx, write_functions, m);
}

static void expand_regions(void *arg, qdq_arena *scratch)
{
	qdq_model *m = arg;
	qdq_regions regions = {0};

	find_regions(m->graph, scratch, &regions);
	for (size_t i = 0; i < regions.count; i++)
		qdq_region_expand(regions.items[i]);
}

void qdq_emit_qdq(qdq_model *m)
{
	qdq_with_scratch(m->ctx, expand_regions, m);
	drop_ours(m);
	for (size_t i = 0; i < m->opsets.count && !domain_is_called(m); i++) { /* nothing of our domain is left */
		if (strcmp(m->opsets.items[i].domain, QDQ_REGION_DOMAIN) == 0) {
			m->opsets.items[i] = m->opsets.items[--m->opsets.count];
			break;
		}
	}
}

/* ---- reading back ---- */

static bool has_ports(const qdq_node *n, const qdq_function *f)
{
	return f->body->inputs.count == n->n_inputs && f->body->outputs.count == n->n_outputs && f->attrs.count == 0 &&
	       f->defaults.count == 0 && f->body->first != NULL;
}

#define DEPTH 100 /* of nested graphs; the loader allows no more */

/* Counts the calls of each function, wherever they stand. */
static void count_calls(qdq_map *calls, const qdq_graph *g, int depth)
{
	for (const qdq_node *n = g->first; n != NULL && depth < DEPTH; n = qdq_after(n)) {
		if (n->function != NULL) {
			uintptr_t before = (uintptr_t)qdq_map_get(calls, n->function);

			qdq_map_set(calls, n->function, (void *)(before + 1));
		}
		for (uint32_t i = 0; i < n->n_attrs; i++) {
			const qdq_attr *a = &n->attrs[i];

			qdq_graph *const *graphs;
			size_t count = qdq_attr_graphs(a, &graphs);

			for (size_t j = 0; j < count; j++)
				count_calls(calls, graphs[j], depth + 1);
		}
	}
}

static void read_graph(qdq_model *m, qdq_graph *g, const qdq_map *calls)
{
	for (qdq_node *n = g->first; n != NULL; n = qdq_after(n)) {
		const qdq_function *f = n->function;

		if (f == NULL || strcmp(f->domain, QDQ_REGION_DOMAIN) != 0 || f->body == NULL || !has_ports(n, f) ||
		    (uintptr_t)qdq_map_get(calls, f) != 1)
			continue;
		n->op = &qdq_ops[QDQ_OP_REGION];
		n->region = qdq_new(&m->arena, qdq_region);
		n->region->body = f->body;
		f->body->parent = n;
		n->region->kind = qdq_region_classify(f->body, &n->region->anchor);
	}
}

static void read_regions(void *arg, qdq_arena *scratch)
{
	qdq_model *m = arg;
	qdq_graphs nested = {0};
	qdq_map calls;

	qdq_map_init(&calls, scratch);
	count_calls(&calls, m->graph, 0);
	for (size_t i = 0; i < m->functions.count; i++)
		if (m->functions.items[i]->body != NULL)
			count_calls(&calls, m->functions.items[i]->body, 0);
	read_graph(m, m->graph, &calls);
	qdq_nested_graphs(m, scratch, &nested);
	for (size_t i = 0; i < nested.count; i++)
		read_graph(m, nested.items[i], &calls);
}

void qdq_emit_read(qdq_model *m)
{
	if (domain_is_called(m))
		qdq_with_scratch(m->ctx, read_regions, m);
}

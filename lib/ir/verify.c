/* SPDX-License-Identifier: Apache-2.0
 *
 * verify.c -- every invariant of ir.h: lists that agree both ways, definitions before uses, scopes, ports, names
 *
 * One walk over a graph and everything in it, front to back. A node is `placed` once the walk has come by it; what it
 * reads must have been placed before. Side tables go by the dense ids of nodes and values. It stops at a broken list,
 * where going on could run for ever.
 */
#include "infer.h"

#define MOST 50	  /* messages */
#define DEPTH 200 /* of graphs in one another */

typedef struct verify {
	qdq_model *m;
	qdq_arena scratch;
	qdq_graph *root;
	bool *placed;		 /* by node id */
	uint32_t *n_reads;	 /* by value id: uses met on the walk */
	uint32_t *n_listed;	 /* by value id: times in an output list */
	const qdq_graph **scope; /* by value id: the graph that defined it on this walk */
	qdq_map *names;		 /* of the function or region that is walked: name to value */
	qdq_checked checked;
	int opset, faults;
	int depth;
	bool broken; /* a list cannot be followed */
} verify;

static void fault(verify *k, const qdq_node *n, const qdq_value *v, const char *format, ...) QDQ_PRINTF(4, 5);

static void fault(verify *k, const qdq_node *n, const qdq_value *v, const char *format, ...)
{
	const char *operand = v != NULL ? v->name : NULL;
	qdq_where where = {.file = k->m->path, .operand = operand};
	va_list args;

	if (++k->faults > MOST)
		return;
	if (n != NULL && n->graph != NULL)
		where = qdq_node_where(n, operand);
	va_start(args, format);
	qdq_diag(k->m->ctx, QDQ_ERROR, &where, "%s", qdq_vformat(&k->m->ctx->arena, format, args));
	va_end(args);
}

/* ---- values ---- */

/* The list of uses, and that each stands in its node. */
static void check_uses(verify *k, const qdq_value *v)
{
	const qdq_use *previous = NULL;
	uint32_t count = 0;

	for (const qdq_use *u = v->uses; u != NULL; previous = u, u = u->next) {
		if (++count > v->n_uses) {
			fault(k, u->node, v, "is in the list of uses, which is longer than its count %u", v->n_uses);
			k->broken = true;
			return;
		}
		if (u->value != v || u->prev != previous)
			fault(k, u->node, v, "a use does not link back to its value");
		if (u->node == NULL || u->node->graph == NULL || u < u->node->inputs ||
		    u >= u->node->inputs + u->node->n_inputs)
			fault(k, NULL, v, "is used by what is no input of a node in a graph");
	}
	if (count != v->n_uses)
		fault(k, v->def, v, "counts %u uses, but its list has %u", v->n_uses, count);
}

/* Ports of a region get their names when they are written. */
static bool is_port(const qdq_value *v)
{
	return v->graph->parent != NULL && v->graph->parent->region != NULL && (v->is_input || v->n_outputs != 0);
}

static void define(verify *k, qdq_graph *g, const qdq_node *n, const qdq_value *v)
{
	if (v->graph != g)
		fault(k, n, v, "is defined in a graph that it does not belong to");
	if (v->id >= k->m->n_values) {
		fault(k, n, v, "has an id that was not handed out");
		k->broken = true;
		return;
	}
	if (k->scope[v->id] != NULL)
		fault(k, n, v, "is defined twice");
	k->scope[v->id] = g;
	if (*v->name == '\0' && is_port(v))
		return;
	if (*v->name == '\0')
		fault(k, n, v, "a value has no name");
	else if (qdq_map_get(k->names, v->name) != NULL)
		fault(k, n, v, "another value of the same scope has this name");
	else
		qdq_map_set(k->names, v->name, (void *)(uintptr_t)v);
	check_uses(k, v);
}

/* Leaving a nested graph: its names may come again in the next one. */
static void forget_names(verify *k, const qdq_graph *g)
{
	for (size_t i = 0; i < g->inputs.count; i++)
		qdq_map_set(k->names, g->inputs.items[i]->name, NULL);
	for (size_t i = 0; i < g->constants.count; i++)
		qdq_map_set(k->names, g->constants.items[i]->name, NULL);
	for (const qdq_node *n = g->first; n != NULL; n = qdq_after(n))
		for (uint32_t i = 0; i < n->n_outputs; i++)
			if (n->outputs[i] != NULL)
				qdq_map_set(k->names, n->outputs[i]->name, NULL);
}

/* May a node of g read what is defined in `owner`? A region sees its ports alone. */
static bool is_visible(const qdq_graph *g, const qdq_graph *owner)
{
	while (g != owner) {
		if (g->parent == NULL || qdq_is(g->parent, QDQ_OP_REGION))
			return false;
		g = g->parent->graph;
	}
	return true;
}

static bool is_around(const qdq_graph *outer, const qdq_graph *g)
{
	for (; g->parent != NULL; g = g->parent->graph)
		if (g->parent->graph == outer)
			return true;
	return false;
}

static void check_read(verify *k, const qdq_graph *g, const qdq_node *n, const qdq_value *v)
{
	if (v->id >= k->m->n_values) {
		fault(k, n, v, "reads a value whose id was not handed out");
		return;
	}
	k->n_reads[v->id]++;
	if (!is_visible(g, v->graph)) {
		fault(k, n, v, "reads a value that its graph does not see");
		return;
	}
	if (is_around(v->graph, k->root)) /* not walked: what is outside of a nested graph is taken as it is */
		return;
	if (v->def != NULL && (v->def->id >= k->m->n_nodes || !k->placed[v->def->id]))
		fault(k, n, v, "reads a value that is defined behind it, or by a removed node");
	/* a sparse initializer is a value without definition, of a type but no shape, until somebody gives it one */
	else if (v->def == NULL && !v->is_input && v->tensor == NULL &&
		 (v->type == QDQ_TYPE_NONE || v->contents != NULL))
		fault(k, n, v, "reads a value that nothing defines");
}

/* ---- nodes ---- */

static void check_graph(verify *k, qdq_graph *g);

static void check_inputs(verify *k, const qdq_graph *g, const qdq_node *n)
{
	for (uint32_t i = 0; i < n->n_inputs; i++) {
		const qdq_use *u = &n->inputs[i];
		const qdq_value *v = u->value;

		if (u->node != n)
			fault(k, n, v, "input %u does not know its node", i);
		if (v == NULL)
			continue;
		if ((u->prev != NULL ? u->prev->next : v->uses) != u || (u->next != NULL && u->next->prev != u))
			fault(k, n, v, "input %u is not in the list of uses of its value", i);
		check_read(k, g, n, v);
	}
}

static void check_region(verify *k, qdq_node *n)
{
	const qdq_region *r = n->region;
	qdq_map *names = k->names, own;

	if ((r != NULL) != qdq_is(n, QDQ_OP_REGION))
		fault(k, n, NULL, "only a region holds a region, and always");
	if (r == NULL)
		return;
	if (r->body == NULL || r->body->parent != n) {
		fault(k, n, NULL, "the region's body does not know its node");
		return;
	}
	if (r->body->inputs.count != n->n_inputs || r->body->outputs.count != n->n_outputs)
		fault(k, n, NULL, "has %u inputs and %u outputs, but its body has %zu and %zu", n->n_inputs,
		      n->n_outputs, r->body->inputs.count, r->body->outputs.count);
	if (r->body->constants.count != 0)
		fault(k, n, NULL, "the region's body has constants of its own");
	if (r->kind >= QDQ_REGION_KINDS || (r->anchor == NULL && r->kind != QDQ_REGION_REQUANTIZE))
		fault(k, n, NULL, "the region has no anchor");
	if (r->anchor != NULL && r->anchor->graph != r->body)
		fault(k, n, NULL, "the region's anchor is not in its body");
	qdq_map_init(&own, &k->scratch);
	k->names = &own;
	check_graph(k, r->body);
	k->names = names;
}

static void check_nested(verify *k, qdq_node *n)
{
	for (uint32_t i = 0; i < n->n_attrs; i++) {
		const qdq_attr *a = &n->attrs[i];
		qdq_graph *const *graphs;
		size_t count = qdq_attr_graphs(a, &graphs);

		for (size_t j = 0; j < count && *a->ref == '\0'; j++) {
			qdq_graph *nested = graphs[j];

			if (nested == NULL || nested->parent != n) {
				fault(k, n, NULL, "the graph in attribute '%s' does not know its node", a->name);
				continue;
			}
			check_graph(k, nested);
			if (!k->broken)
				forget_names(k, nested);
		}
	}
}

static void check_outputs(verify *k, qdq_graph *g, const qdq_node *n)
{
	for (uint32_t i = 0; i < n->n_outputs; i++) {
		const qdq_value *v = n->outputs[i];

		if (v == NULL)
			continue;
		if (v->def != n)
			fault(k, n, v, "output %u does not know its node", i);
		if (v->is_input || v->tensor != NULL)
			fault(k, n, v, "output %u is an input of the graph or a constant at the same time", i);
		define(k, g, n, v);
	}
}

static void check_node(verify *k, qdq_graph *g, qdq_node *n)
{
	if (n->graph != g)
		fault(k, n, NULL, "is listed in a graph that it does not belong to");
	if (n->id >= k->m->n_nodes) {
		fault(k, n, NULL, "has an id that was not handed out");
		k->broken = true;
		return;
	}
	if (k->placed[n->id])
		fault(k, n, NULL, "is listed twice");
	check_inputs(k, g, n);
	check_region(k, n);
	check_nested(k, n);
	check_outputs(k, g, n);
	k->placed[n->id] = true;
	if (k->faults == 0 && !qdq_node_check(&k->checked, n, k->opset))
		k->faults++;
}

/* ---- graphs ---- */

/* The list of nodes can be followed from both ends. */
static bool check_list(verify *k, const qdq_graph *g)
{
	const qdq_node *previous = NULL;
	uint32_t count = 0;

	for (const qdq_node *n = g->first; n != NULL; previous = n, n = qdq_after(n)) {
		if (n->prev != previous || ++count > g->n_nodes) {
			fault(k, n, NULL, "the list of nodes is broken here");
			return false;
		}
	}
	if (count != g->n_nodes || g->last != previous) {
		fault(k, NULL, NULL, "graph '%s' counts %u nodes, but lists %u", g->name, g->n_nodes, count);
		return false;
	}
	return true;
}

static void check_ports(verify *k, qdq_graph *g)
{
	for (size_t i = 0; i < g->inputs.count; i++) {
		const qdq_value *v = g->inputs.items[i];

		if (!v->is_input || v->def != NULL)
			fault(k, v->def, v, "is listed as an input, but does not say so");
		define(k, g, NULL, v);
	}
	for (size_t i = 0; i < g->constants.count; i++) {
		const qdq_value *v = g->constants.items[i];

		if (v->tensor == NULL || v->is_input || v->def != NULL)
			fault(k, v->def, v, "is listed as a constant, but is none");
		define(k, g, NULL, v);
	}
}

/* Values are met by where they are defined; what they count must be what the walk has counted. */
static void check_counts(verify *k, const qdq_graph *g, const qdq_value *v)
{
	if (v->n_outputs != k->n_listed[v->id])
		fault(k, v->def, v, "counts %u places among the graph's outputs, but has %u", v->n_outputs,
		      k->n_listed[v->id]);
	if (v->n_uses != k->n_reads[v->id])
		fault(k, v->def, v, "counts %u uses, but nodes of graph '%s' read it %u times", v->n_uses, g->name,
		      k->n_reads[v->id]);
}

static void check_graph(verify *k, qdq_graph *g)
{
	if (k->depth == DEPTH)
		fault(k, NULL, NULL, "graph '%s' lies too deep", g->name);
	if (k->broken || k->faults > MOST || k->depth == DEPTH || !check_list(k, g)) {
		k->broken = true;
		return;
	}
	k->depth++;
	if (g->model != k->m)
		fault(k, NULL, NULL, "graph '%s' belongs to another model", g->name);
	check_ports(k, g);
	for (qdq_node *n = g->first; n != NULL && !k->broken; n = qdq_after(n))
		check_node(k, g, n);
	for (size_t i = 0; i < g->outputs.count && !k->broken; i++) {
		const qdq_value *v = g->outputs.items[i];

		if (v->graph != g || v->id >= k->m->n_values) {
			fault(k, v->def, v, "is an output of a graph that it does not belong to");
			continue;
		}
		k->n_listed[v->id]++;
		if (v->def != NULL ? !k->placed[v->def->id]
				   : !v->is_input && v->tensor == NULL && v->type == QDQ_TYPE_NONE)
			fault(k, v->def, v, "is an output of the graph, but nothing in it defines it");
	}
	for (size_t i = 0; i < g->inputs.count && !k->broken; i++)
		check_counts(k, g, g->inputs.items[i]);
	for (size_t i = 0; i < g->constants.count && !k->broken; i++)
		check_counts(k, g, g->constants.items[i]);
	for (qdq_node *n = g->first; n != NULL && !k->broken; n = qdq_after(n))
		for (uint32_t i = 0; i < n->n_outputs; i++)
			if (n->outputs[i] != NULL)
				check_counts(k, g, n->outputs[i]);
	k->depth--;
}

static void run(void *arg)
{
	verify *k = arg;
	qdq_map names;

	k->placed = qdq_array(&k->scratch, bool, k->m->n_nodes);
	k->n_reads = qdq_array(&k->scratch, uint32_t, k->m->n_values);
	k->n_listed = qdq_array(&k->scratch, uint32_t, k->m->n_values);
	k->scope = qdq_array(&k->scratch, const qdq_graph *, k->m->n_values);
	qdq_map_init(&names, &k->scratch);
	qdq_map_reserve(&names, k->root->n_nodes);
	k->names = &names;
	check_graph(k, k->root);
	if (k->faults > MOST)
		qdq_diag(k->m->ctx, QDQ_ERROR, &(qdq_where){.file = k->m->path}, "%d more faults", k->faults - MOST);
}

bool qdq_graph_verify(qdq_graph *g)
{
	qdq_ctx *ctx = g->model->ctx;
	verify k = {.m = g->model, .root = g, .opset = qdq_graph_opset(g)};
	qdq_status status;

	qdq_arena_init(&k.scratch, ctx);
	status = qdq_guard(ctx, run, &k);
	qdq_arena_free(&k.scratch);
	if (status != QDQ_OK)
		qdq_throw(ctx, status);
	return k.faults == 0 && !k.broken;
}

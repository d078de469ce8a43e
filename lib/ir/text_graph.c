/* SPDX-License-Identifier: Apache-2.0
 *
 * text_graph.c -- graphs in the textual syntax: name (inputs) => (outputs) <initializers and types> { nodes }
 */
#include "text.h"

/* ---- inputs, outputs, initializers ---- */

qdq_name qdq_text_read_info(qdq_text_reader *r, qdq_text_type *type, bool *typed)
{
	const char *at;
	qdq_name name;

	*typed = qdq_text_at_type(r);
	if (*typed)
		qdq_text_read_type(r, type);
	else
		*type = (qdq_text_type){.tree = NULL};
	(void)qdq_text_peek(r);
	at = r->at;
	name = qdq_text_name(r, *typed ? "a name" : "a type or name");
	if (*name == '\0')
		qdq_text_fail(r, at, "an input, output or initializer has no name");
	if (!*typed && (qdq_text_peek(r) == '[' || qdq_text_peek(r) == '"' || qdq_text_peek_word(r).size != 0))
		qdq_text_fail(r, at, "'%s' is not a type", name);
	return name;
}

static const qdq_tensor *read_data(qdq_text_reader *r, const qdq_text_type *type, bool typed, qdq_name name)
{
	if (!typed)
		qdq_text_fail(r, r->at, "'%s' has data, so it needs a type", name);
	return qdq_text_read_tensor(r, type, name);
}

static void read_inputs(qdq_text_reader *r, qdq_graph *g)
{
	qdq_text_type type;
	bool typed;

	if (!qdq_text_match(r, '(') || qdq_text_match(r, ')'))
		return;
	do {
		const char *at;
		qdq_name name;
		qdq_value *v;

		(void)qdq_text_peek(r);
		at = r->at;
		name = qdq_text_read_info(r, &type, &typed);
		v = qdq_graph_add_input(g, name);
		v->declared = true;
		if (typed)
			qdq_text_declare(v, &type);
		if (qdq_text_match(r, '='))
			v->tensor = read_data(r, &type, typed, name);
		qdq_text_bind(r, v, at, 0);
	} while (qdq_text_match(r, ','));
	qdq_text_expect(r, ')');
}

/* They are looked up when the nodes are there. */
static void read_outputs(qdq_text_reader *r)
{
	bool typed;

	qdq_text_expect(r, '(');
	if (qdq_text_match(r, ')'))
		return;
	do {
		qdq_text_output o;

		(void)qdq_text_peek(r);
		o.at = r->at;
		o.name = qdq_text_read_info(r, &o.type, &typed);
		*qdq_push(&r->scratch, &r->outputs) = o;
	} while (qdq_text_match(r, ','));
	qdq_text_expect(r, ')');
}

static void add_initializer(qdq_text_reader *r, qdq_graph *g, qdq_name name, const qdq_tensor *t, const char *at)
{
	qdq_value *v = qdq_text_lookup(r, name);

	if (v != NULL && v->graph == g && v->is_input && v->tensor == NULL)
		v->tensor = t; /* the default of an input */
	else
		qdq_text_bind(r, qdq_graph_add_constant(g, name, t), at, 0);
}

static void read_list(qdq_text_reader *r, qdq_graph *g)
{
	qdq_text_type type;
	bool typed;

	if (!qdq_text_match(r, '<') || qdq_text_match(r, '>'))
		return;
	do {
		const char *at;
		qdq_name name;

		(void)qdq_text_peek(r);
		at = r->at;
		name = qdq_text_read_info(r, &type, &typed);
		if (qdq_text_match(r, '='))
			add_initializer(r, g, name, read_data(r, &type, typed, name), at);
		else if (typed)
			qdq_text_declare_name(r, g, name, &type);
	} while (qdq_text_match(r, ','));
	qdq_text_expect(r, '>');
}

/* Up to IR version 3 every initializer had to be listed as an input; what is listed so was meant as a constant. */
static void settle_old_inputs(qdq_graph *g)
{
	size_t kept = 0;

	for (size_t i = 0; i < g->inputs.count; i++) {
		qdq_value *v = g->inputs.items[i];

		if (v->tensor == NULL) {
			g->inputs.items[kept++] = v;
			continue;
		}
		v->is_input = false;
		v->type = v->tensor->type;
		v->shape = qdq_shape_new(g->model, v->tensor->rank, v->tensor->dims);
		*qdq_push(&g->model->arena, &g->constants) = v;
	}
	g->inputs.count = kept;
}

/* ---- graphs ---- */

void qdq_text_read_graph(qdq_text_reader *r, qdq_graph *g, bool nested)
{
	size_t mark = r->outputs.count;
	const char *node = r->node, *op = r->op;
	qdq_text_scope scope = qdq_text_open(r);

	g->name = qdq_text_name(r, "the name of a graph");
	read_inputs(r, g);
	qdq_text_expect_arrow(r);
	read_outputs(r);
	read_list(r, g);
	if (r->m->ir_version <= 3)
		settle_old_inputs(g);
	qdq_text_read_nodes(r, g);
	r->node = node;
	r->op = op;
	qdq_text_resolve_outputs(r, g, mark);
	qdq_text_close(r, &scope, nested);
}

/* SPDX-License-Identifier: Apache-2.0
 *
 * text_node.c -- nodes in the textual syntax: [label] a, b = domain.Operator:overload <attributes> (inputs)
 */
#include "text.h"

/* ---- lists of names ---- */

/* The next name of a list, into r->token; false at the list's end. Nothing before a comma is an empty name, so (a,) has
 * one name, (,a) two and (,) one. */
static bool next_id(qdq_text_reader *r)
{
	if (qdq_text_peek(r) != ',')
		return qdq_text_token(r);
	*r->token = '\0';
	return true;
}

static void read_outputs(qdq_text_reader *r)
{
	qdq_text_output o = {.type = {.tree = NULL}};

	do {
		(void)qdq_text_peek(r);
		o.at = r->at;
		if (!next_id(r))
			break;
		o.name = qdq_intern(&r->m->names, r->token);
		*qdq_push(&r->scratch, &r->outputs) = o;
	} while (qdq_text_match(r, ','));
}

static void read_inputs(qdq_text_reader *r, uint32_t number)
{
	qdq_text_expect(r, '(');
	do {
		const char *at;
		qdq_value *v;

		(void)qdq_text_peek(r);
		at = r->at;
		if (!next_id(r))
			break;
		v = qdq_text_resolve(r, at, number);
		*qdq_push(&r->scratch, &r->values) = v;
	} while (qdq_text_match(r, ','));
	qdq_text_expect(r, ')');
}

/* ---- operators ---- */

typedef struct operator
{
	qdq_name domain, type, overload;
}
operator;

/* What stands before a '.' is part of the domain: com.microsoft.QGemm. */
static void read_operator(qdq_text_reader *r, operator* out)
{
	const char *domain = "";

	out->type = qdq_text_name(r, "an operator");
	while (qdq_text_match(r, '.')) {
		domain = *domain == '\0' ? out->type : qdq_format(&r->scratch, "%s.%s", domain, out->type);
		out->type = qdq_text_name(r, "an operator");
	}
	out->domain = qdq_intern(&r->m->names, strcmp(domain, "ai.onnx") == 0 ? "" : domain);
	out->overload = qdq_intern(&r->m->names, "");
	if (*out->type == '\0')
		qdq_text_fail(r, r->at, "a node has no operator");
	if (qdq_text_match(r, ':'))
		out->overload = qdq_text_name(r, "the name of an overload");
}

/* ---- nodes ---- */

static qdq_name read_label(qdq_text_reader *r)
{
	if (!qdq_text_match(r, '['))
		return qdq_intern(&r->m->names, "");
	if (!qdq_text_token(r))
		*r->token = '\0';
	qdq_text_expect(r, ']');
	return qdq_intern(&r->m->names, r->token);
}

/* Graphs in attributes were read before the node was there. */
static void adopt_graphs(qdq_node *n)
{
	for (uint32_t i = 0; i < n->n_attrs; i++) {
		const qdq_attr *a = &n->attrs[i];

		if (*a->ref != '\0')
			continue;
		qdq_graph *const *graphs;
		size_t count = qdq_attr_graphs(a, &graphs);

		for (size_t j = 0; j < count; j++)
			graphs[j]->parent = n;
	}
}

/* The node of what stands on the stacks above the marks. */
static qdq_node *make_node(qdq_text_reader *r, qdq_graph *g, const operator* op, qdq_name label, size_t inputs,
			   size_t outputs)
{
	size_t n_inputs = r->values.count - inputs, n_outputs = r->outputs.count - outputs;
	qdq_node *n;

	if (n_inputs > UINT32_MAX || n_outputs > UINT32_MAX)
		qdq_text_fail(r, r->at, "too many inputs or outputs");
	for (size_t i = 0; i < n_outputs; i++) {
		qdq_name name = r->outputs.items[outputs + i].name;

		*qdq_push(&r->scratch, &r->values) = *name == '\0' ? NULL : qdq_text_define(r, g, name);
	}
	n = qdq_node_create(g, NULL, op->domain, op->type, label, (uint32_t)n_inputs, r->values.items + inputs,
			    (uint32_t)n_outputs, r->values.items + inputs + n_inputs);
	n->overload = op->overload;
	r->values.count = inputs;
	return n;
}

static void read_node(qdq_text_reader *r, qdq_graph *g)
{
	uint32_t number = ++r->n_nodes;
	size_t attrs = r->attrs.count, inputs = r->values.count, outputs = r->outputs.count;
	const char *at = r->at;
	qdq_name label;
	operator op;
	qdq_node *n;

	r->node = r->op = NULL;
	label = read_label(r);
	r->node = label;
	read_outputs(r);
	qdq_text_expect(r, '=');
	read_operator(r, &op);
	r->op = op.type;
	qdq_text_read_attrs(r);
	r->node = label;
	r->op = op.type;
	read_inputs(r, number);
	if (r->attrs.count == attrs)
		qdq_text_read_attrs(r);
	n = make_node(r, g, &op, label, inputs, outputs);
	n->attrs = qdq_text_take_attrs(r, attrs, &n->n_attrs);
	adopt_graphs(n);
	if (r->m->opset == 0 && *op.domain == '\0' && !r->in_function)
		*qdq_push(&r->scratch, &r->homeless) = (qdq_text_homeless){n, at};
	for (uint32_t i = 0; i < n->n_outputs; i++)
		if (n->outputs[i] != NULL)
			qdq_text_bind(r, n->outputs[i], r->outputs.items[outputs + i].at, number);
	r->outputs.count = outputs;
}

void qdq_text_read_nodes(qdq_text_reader *r, qdq_graph *g)
{
	qdq_text_expect(r, '{');
	while (!qdq_text_match(r, '}')) {
		if (r->at == r->end)
			qdq_text_fail_expected(r, "a node or '}'");
		read_node(r, g);
	}
	r->node = r->op = NULL;
}

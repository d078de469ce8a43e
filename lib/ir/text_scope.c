/* SPDX-License-Identifier: Apache-2.0
 *
 * text_scope.c -- what names mean while a text is read
 *
 * The word beside each interned name holds the value that it means here. A graph's list declares types of values that
 * its nodes define further on; such a value is made at the declaration and waits in `infos` for its definition.
 *
 * A name that is read but means nothing is not reported at once: whether a later node defines it decides what to say.
 * So reading goes on with a stand-in, until a graph that the reader can see defines the name, or the last of them ends.
 */
#include "text.h"

/* ---- graphs ---- */

qdq_text_scope qdq_text_open(qdq_text_reader *r)
{
	qdq_text_enter(r);
	r->graph_depth++;
	return (qdq_text_scope){r->bound.count, r->declared.count};
}

void qdq_text_close(qdq_text_reader *r, const qdq_text_scope *scope, bool forget)
{
	qdq_name name;

	if (r->missing.name != NULL && r->missing.depth == r->graph_depth && --r->missing.depth == 0)
		qdq_text_settle(r);
	while (forget && r->bound.count > scope->bound)
		*qdq_intern_word(&r->m->names, r->bound.items[--r->bound.count], &name) = NULL;
	while (r->declared.count > scope->declared) {
		const qdq_text_info *info = r->declared.items[--r->declared.count];

		qdq_map_set(&r->infos, info->name, info->outer);
	}
	r->graph_depth--;
	qdq_text_leave(r);
}

/* ---- names that are read ---- */

qdq_value *qdq_text_lookup(qdq_text_reader *r, qdq_name name)
{
	qdq_name interned;

	return *qdq_intern_word(&r->m->names, name, &interned);
}

qdq_value *qdq_text_resolve(qdq_text_reader *r, const char *at, uint32_t node_number)
{
	qdq_name name;
	qdq_value *v;

	if (*r->token == '\0')
		return NULL;
	v = *qdq_intern_word(&r->m->names, r->token, &name);
	if (v != NULL)
		return v;
	if (r->missing.name == NULL)
		r->missing = (qdq_text_missing){name, at, r->graph_depth, node_number, r->node, r->op};
	if (r->nothing == NULL) {
		r->nothing = qdq_new(&r->scratch, qdq_value);
		r->nothing->name = qdq_intern(&r->m->names, "");
	}
	return r->nothing;
}

/* ---- names that are defined ---- */

QDQ_NORETURN static void fail_later(qdq_text_reader *r, const char *at, uint32_t node_number)
{
	qdq_text_missing m = r->missing;
	size_t line = 1;

	r->missing.name = NULL;
	r->node = m.node;
	r->op = m.op;
	if (m.number == node_number)
		qdq_text_fail(r, m.at, "'%s' is read by the node that defines it: a cycle", m.name);
	for (const char *p = r->begin; p < at; p++)
		line += *p == '\n';
	qdq_text_fail(r, m.at, "'%s' is read before line %zu defines it: the nodes are not sorted, or form a cycle",
		      m.name, line);
}

void qdq_text_bind(qdq_text_reader *r, qdq_value *v, const char *at, uint32_t node_number)
{
	qdq_name name;
	void **word = qdq_intern_word(&r->m->names, v->name, &name);

	if (r->missing.name == name && r->graph_depth <= r->missing.depth)
		fail_later(r, at, node_number);
	if (*word != NULL)
		qdq_text_fail(r, at, "'%s' is defined twice", name);
	*word = v;
	*qdq_push(&r->scratch, &r->bound) = name;
}

qdq_value *qdq_text_define(qdq_text_reader *r, qdq_graph *g, qdq_name name)
{
	qdq_text_info *info = r->infos.count == 0 ? NULL : qdq_map_get(&r->infos, name);
	qdq_value *v = info != NULL ? info->value : NULL;

	if (v == NULL || v->graph != g)
		return qdq_value_create(g, name);
	info->value = NULL;
	return v;
}

void qdq_text_declare_name(qdq_text_reader *r, qdq_graph *g, qdq_name name, const qdq_text_type *type)
{
	qdq_value *v = qdq_text_lookup(r, name);
	qdq_text_info *info;

	if (v != NULL && v->graph == g) {
		qdq_text_declare(v, type);
		return;
	}
	info = qdq_map_get(&r->infos, name);
	if (info == NULL || info->value == NULL || info->value->graph != g) {
		qdq_text_info *outer = info;

		info = qdq_new(&r->scratch, qdq_text_info);
		*info = (qdq_text_info){name, qdq_value_create(g, name), outer};
		qdq_map_set(&r->infos, name, info);
		*qdq_push(&r->scratch, &r->declared) = info;
	}
	qdq_text_declare(info->value, type);
}

void qdq_text_resolve_outputs(qdq_text_reader *r, qdq_graph *g, size_t mark)
{
	for (size_t i = mark; i < r->outputs.count; i++) {
		const qdq_text_output *o = &r->outputs.items[i];
		qdq_value *v = qdq_text_lookup(r, o->name);

		if (v == NULL)
			qdq_text_fail(r, o->at, "output '%s' is computed by no node and is no input", o->name);
		if (v->graph != g)
			qdq_text_fail(r, o->at, "output '%s' of a nested graph is computed outside of it", o->name);
		if (v->def != NULL && o->type.tree == NULL) { /* comes before what the graph's list says */
			if (o->type.type != QDQ_TYPE_NONE)
				v->type = o->type.type;
			if (o->type.shape != NULL)
				v->shape = o->type.shape;
		}
		if (o->type.tree != NULL || o->type.type != QDQ_TYPE_NONE)
			qdq_text_declare(v, &o->type);
		v->declared = true; /* listed, if only by its name */
		qdq_graph_add_output(g, v);
	}
	r->outputs.count = mark;
}

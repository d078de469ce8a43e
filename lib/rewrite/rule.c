/* SPDX-License-Identifier: Apache-2.0
 *
 * rule.c -- matching and applying rules (their language: compile.c)
 *
 * A table of rules is compiled once for a context. Rules are looked up by the operator of a node, so a node costs only
 * the rules that could match it. Where a rule has changed something, the nodes that read the result are looked at
 * again; a budget of applications in proportion to the nodes ends what rules that undo each other would do for ever.
 */
#include "rule.h"

#define APPLICATIONS_PER_NODE 8

struct qdq_match {
	const qdq_compiled_rule *rule;
	qdq_node *root;
	qdq_value *values[QDQ_RULE_VARIABLES];
	qdq_node *captures[QDQ_RULE_VARIABLES];
	bool bound[QDQ_RULE_VARIABLES];
	qdq_node *nodes[QDQ_RULE_NODES]; /* from the root down */
	int n_nodes;
};

/* ---- compiled tables ---- */

struct entry {
	const qdq_compiled_rule *rule;
	struct entry *next;
};

struct table {
	const qdq_rule *rules;
	size_t n_rules;
	struct entry *by_op[QDQ_OP_COUNT]; /* in the order of the table */
	const struct table *next;
};

static void index_rule(qdq_arena *arena, struct table *t, const qdq_compiled_rule *rule)
{
	const qdq_term *root = &rule->terms[rule->match];

	for (int op = 0; op < QDQ_OP_COUNT; op++) {
		struct entry **end = &t->by_op[op];

		if (root->op != QDQ_OP_NONE ? root->op != (qdq_op_id)op : qdq_ops[op].cls != root->cls)
			continue;
		while (*end != NULL)
			end = &(*end)->next;
		*end = qdq_new(arena, struct entry);
		(*end)->rule = rule;
	}
}

static const struct table *compiled(qdq_ctx *ctx, const qdq_rule *rules, size_t n_rules)
{
	struct table *t;

	for (const struct table *known = ctx->rules; known != NULL; known = known->next)
		if (known->rules == rules && known->n_rules == n_rules)
			return known;
	t = qdq_new(&ctx->arena, struct table);
	t->rules = rules;
	t->n_rules = n_rules;
	for (size_t i = 0; i < n_rules; i++) {
		qdq_compiled_rule *rule = qdq_new(&ctx->arena, qdq_compiled_rule);

		qdq_rule_compile(ctx, &rules[i], rule);
		index_rule(&ctx->arena, t, rule);
	}
	t->next = ctx->rules;
	ctx->rules = t;
	return t;
}

/* ---- matching ---- */

static bool same_value(const qdq_value *a, const qdq_value *b)
{
	const qdq_tensor *s, *t;

	if (a == b)
		return true;
	if (a == NULL || b == NULL)
		return false;
	s = qdq_value_constant(a);
	t = qdq_value_constant(b);
	return s != NULL && t != NULL && qdq_tensor_equal(s, t);
}

static bool bind(qdq_match *m, int8_t variable, qdq_value *v)
{
	if (m->bound[variable])
		return m->captures[variable] == NULL && same_value(m->values[variable], v);
	m->bound[variable] = true;
	m->values[variable] = v;
	return true;
}

static bool match_node(qdq_match *m, const qdq_term *t, qdq_node *n, unsigned swaps);

static bool match_value(qdq_match *m, const qdq_term *t, qdq_value *v, unsigned swaps)
{
	switch (t->kind) {
	case QDQ_TERM_OPTIONAL:
		return bind(m, t->variable, v);
	case QDQ_TERM_VARIABLE:
		return v != NULL && bind(m, t->variable, v);
	case QDQ_TERM_ANY:
		return v != NULL;
	case QDQ_TERM_NODE:
		return v != NULL && v->def != NULL && v->def->graph == m->root->graph && qdq_out(v->def, 0) == v &&
		       (t->shared || qdq_only_use(v) != NULL) && match_node(m, t, v->def, swaps);
	default:
		return false;
	}
}

static bool match_node(qdq_match *m, const qdq_term *t, qdq_node *n, unsigned swaps)
{
	bool swapped = t->swap >= 0 && (swaps >> t->swap & 1) != 0;
	uint32_t i = 0;

	if (t->op != QDQ_OP_NONE ? n->op->id != t->op : n->op->cls != t->cls)
		return false;
	if ((swapped && n->n_inputs != 2) || m->n_nodes == QDQ_RULE_NODES)
		return false;
	m->nodes[m->n_nodes++] = n;
	if (t->variable >= 0) {
		if (m->bound[t->variable])
			return false;
		m->bound[t->variable] = true;
		m->captures[t->variable] = n;
	}
	for (int8_t c = t->child; c >= 0; c = m->rule->terms[c].next, i++) {
		if (m->rule->terms[c].kind == QDQ_TERM_REST)
			return true;
		if (!match_value(m, &m->rule->terms[c], qdq_in(n, swapped ? 1 - i : i), swaps))
			return false;
	}
	for (; i < n->n_inputs; i++)
		if (qdq_in(n, i) != NULL)
			return false;
	return true;
}

/* Tries every order of the operands of commutative nodes. */
static bool match_rule(qdq_match *m, const qdq_compiled_rule *rule, qdq_node *n)
{
	for (unsigned swaps = 0; swaps < 1u << rule->n_swaps; swaps++) {
		*m = (qdq_match){.rule = rule, .root = n};
		if (match_node(m, &rule->terms[rule->match], n, swaps))
			return true;
	}
	return false;
}

/* ---- what a match says ---- */

static int find_variable(const qdq_match *m, const char *name)
{
	size_t length = strlen(name);

	for (int i = 0; i < m->rule->n_variables; i++)
		if (m->rule->lengths[i] == length && memcmp(m->rule->variables[i], name, length) == 0)
			return i;
	return -1;
}

qdq_value *qdq_match_value(const qdq_match *m, const char *variable)
{
	int i = find_variable(m, variable);

	return i < 0 ? NULL : m->values[i];
}

qdq_node *qdq_match_node(const qdq_match *m, const char *capture)
{
	int i = find_variable(m, capture);

	return i < 0 ? NULL : m->captures[i];
}

qdq_node *qdq_match_root(const qdq_match *m)
{
	return m->root;
}

void qdq_match_bind(qdq_match *m, const char *variable, qdq_value *v)
{
	int i = find_variable(m, variable);

	if (i >= 0) {
		m->bound[i] = true;
		m->values[i] = v;
	}
}

/* ---- building ---- */

typedef QDQ_VEC(qdq_node *) worklist;

static qdq_value *build(qdq_match *m, const qdq_term *t)
{
	qdq_value *inputs[QDQ_RULE_TERMS];
	uint32_t count = 0;
	qdq_node *n;

	if (t->kind != QDQ_TERM_NODE)
		return m->values[t->variable];
	for (int8_t c = t->child; c >= 0; c = m->rule->terms[c].next)
		inputs[count++] = build(m, &m->rule->terms[c]);
	n = qdq_node_insert(m->root->graph, m->root, t->op, m->root->outputs[0]->name, count, inputs, 1,
			    m->root->origin);
	qdq_node_infer(n);
	return n->outputs[0];
}

static bool is_unread(const qdq_node *n)
{
	for (uint32_t i = 0; i < n->n_outputs; i++)
		if (n->outputs[i] != NULL && (n->outputs[i]->n_uses != 0 || n->outputs[i]->n_outputs != 0))
			return false;
	return true;
}

/* The root's result is what was built; what the match leaves without readers goes, from the root down. */
static void replace_root(qdq_match *m, qdq_run *r, worklist *work)
{
	const qdq_term *t = &m->rule->terms[m->rule->build];
	qdq_value *old = m->root->outputs[0];
	qdq_value *made = build(m, t);

	if (t->kind == QDQ_TERM_NODE) {
		*qdq_push(&r->scratch, work) = made->def;
		qdq_value_redefine(old, made->def, 0);
	} else {
		qdq_value_replace_uses(old, made);
	}
	for (int i = 0; i < m->n_nodes; i++)
		if (m->nodes[i]->graph != NULL && is_unread(m->nodes[i]))
			qdq_node_remove(m->nodes[i]);
}

/* A variable cannot take the name of a graph output, and only the first output is replaced. */
static bool can_replace(const qdq_match *m)
{
	const qdq_node *root = m->root;

	if (m->rule->build < 0)
		return true;
	if (qdq_out(root, 0) == NULL)
		return false;
	for (uint32_t i = 1; i < root->n_outputs; i++)
		if (root->outputs[i] != NULL && (root->outputs[i]->n_uses != 0 || root->outputs[i]->n_outputs != 0))
			return false;
	return m->rule->terms[m->rule->build].kind == QDQ_TERM_NODE || root->outputs[0]->n_outputs == 0;
}

/* ---- applying ---- */

static void add_readers(qdq_run *r, worklist *work, const qdq_value *v)
{
	for (const qdq_use *u = v != NULL ? v->uses : NULL; u != NULL; u = u->next)
		if (u->node->graph == r->graph)
			*qdq_push(&r->scratch, work) = u->node;
}

/* True: the rule matched and changed something. */
static bool apply(qdq_run *r, const qdq_compiled_rule *rule, qdq_node *n, worklist *work)
{
	const qdq_rule *source = rule->rule;
	const qdq_origin *origin = n->origin;
	size_t mark = work->count;
	qdq_reason why = {0};
	qdq_match m;

	if (!match_rule(&m, rule, n) || !can_replace(&m))
		return false;
	if (source->guard != NULL && !source->guard(r, &m, &why)) {
		if (why.code != QDQ_REASON_NONE)
			qdq_declined(r, source->name, origin, &why);
		return false;
	}
	if (!qdq_allowed(r, source->exactness)) {
		why = (qdq_reason){.code = r->options->exact ? QDQ_REASON_NOT_EXACT : QDQ_REASON_NOT_BOUNDED};
		qdq_declined(r, source->name, origin, &why);
		return false;
	}
	add_readers(r, work, qdq_out(n, 0));
	if (source->make != NULL && !source->make(r, &m)) {
		work->count = mark;
		return false;
	}
	if (rule->build >= 0)
		replace_root(&m, r, work);
	else if (n->graph == r->graph)
		*qdq_push(&r->scratch, work) = n;
	qdq_applied(r, source->name, source->exactness, 0, origin);
	return true;
}

void qdq_rules_apply(qdq_run *r, const qdq_rule *rules, size_t n_rules)
{
	const struct table *t = compiled(r->ctx, rules, n_rules);
	uint64_t budget = ((uint64_t)r->graph->n_nodes + 1) * APPLICATIONS_PER_NODE;
	worklist work = {0};

	for (qdq_node *n = r->graph->first; n != NULL; n = n->next)
		if (t->by_op[n->op->id] != NULL)
			*qdq_push(&r->scratch, &work) = n;
	for (size_t at = 0; at < work.count && budget != 0; at++) {
		const struct entry *e = work.items[at]->graph == r->graph ? t->by_op[work.items[at]->op->id] : NULL;

		for (; e != NULL; e = e->next) {
			if (apply(r, e->rule, work.items[at], &work)) {
				budget--;
				break; /* the node may be gone; what reads the result comes again */
			}
		}
	}
}

/* SPDX-License-Identifier: Apache-2.0
 *
 * rule.c -- matching and applying rules (their language: compile.c)
 *
 * A table of rules is compiled once for a context. Rules are looked up by the operator of a node, so a node costs only
 * the rules that could match it. Where a rule has changed something, what was built and the roots that could see the
 * change from where they stand are looked at again; a budget of applications in proportion to the nodes ends what rules
 * that undo each other would do for ever. Refusals are reported when that is over: a node that is asked again may agree.
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
	bool inner[QDQ_OP_COUNT];	   /* may stand below the root of a match */
	int levels;			   /* the most of any rule */
	const struct table *next;
};

static bool may_be(const qdq_term *t, qdq_op_id op)
{
	return t->op != QDQ_OP_NONE ? t->op == op : qdq_ops[op].cls == t->cls;
}

static void index_rule(qdq_arena *arena, struct table *t, const qdq_compiled_rule *rule)
{
	if (rule->levels > t->levels)
		t->levels = rule->levels;
	for (int op = 0; op < QDQ_OP_COUNT; op++) {
		struct entry **end = &t->by_op[op];

		for (int i = 0; i < rule->n_match; i++)
			if (i != rule->match && rule->terms[i].kind == QDQ_TERM_NODE)
				t->inner[op] = t->inner[op] || may_be(&rule->terms[i], (qdq_op_id)op);
		if (!may_be(&rule->terms[rule->match], (qdq_op_id)op))
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
		qdq_compiled_rule *rule;

		if (rules[i].match == NULL) /* the pass's code does it */
			continue;
		rule = qdq_new(&ctx->arena, qdq_compiled_rule);
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

	if (!may_be(t, n->op->id))
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

/* ---- what is looked at again ---- */

struct refusal {
	const qdq_rule *rule;
	const qdq_node *node;
	const qdq_origin *origin;
	qdq_reason why;
	bool stale; /* the node was asked again */
	struct refusal *next_of_node;
};

struct applying {
	qdq_run *run;
	const struct table *table;
	QDQ_VEC(qdq_node *) work;
	QDQ_VEC(struct refusal *) refusals;
	qdq_map by_node; /* its latest refusal */
};

static void look_at(struct applying *a, qdq_node *n)
{
	if (n->graph == a->run->graph && a->table->by_op[n->op->id] != NULL)
		*qdq_push(&a->run->scratch, &a->work) = n;
}

/* v or who reads it changes: so may what the roots match that see it through at most `levels` nodes. */
static void look_below(struct applying *a, const qdq_value *v, int levels)
{
	for (const qdq_use *u = v != NULL ? v->uses : NULL; u != NULL; u = u->next) {
		look_at(a, u->node);
		if (levels > 1 && a->table->inner[u->node->op->id])
			look_below(a, qdq_out(u->node, 0), levels - 1);
	}
}

/* What n alone kept from being read only once may match now. */
static void remove_node(struct applying *a, qdq_node *n)
{
	qdq_value **read = qdq_array(&a->run->scratch, qdq_value *, n->n_inputs);
	uint32_t count = n->n_inputs;

	for (uint32_t i = 0; i < count; i++)
		read[i] = qdq_in(n, i);
	qdq_node_remove(n);
	for (uint32_t i = 0; i < count; i++)
		if (read[i] != NULL && qdq_only_use(read[i]) != NULL)
			look_below(a, read[i], a->table->levels);
}

/* ---- building ---- */

/* Every name of what is to be built has a value; one of the match may be absent as an operand. */
static void check_values(const qdq_run *r, const qdq_match *m)
{
	const qdq_compiled_rule *rule = m->rule;

	for (int i = rule->n_match; i < rule->n_terms; i++) {
		int v = rule->terms[i].variable;

		if (rule->terms[i].kind != QDQ_TERM_NODE &&
		    (!m->bound[v] || (i == rule->build && m->values[v] == NULL)))
			qdq_fail(r->ctx, QDQ_EUSAGE, NULL, "rule %s: its maker gives %.*s no value", rule->rule->name,
				 rule->lengths[v], rule->variables[v]);
	}
}

static qdq_value *build(struct applying *a, qdq_match *m, const qdq_term *t)
{
	qdq_value *inputs[QDQ_RULE_TERMS];
	uint32_t count = 0;
	qdq_node *n;

	if (t->kind != QDQ_TERM_NODE)
		return m->values[t->variable];
	for (int8_t c = t->child; c >= 0; c = m->rule->terms[c].next)
		inputs[count++] = build(a, m, &m->rule->terms[c]);
	while (count > 0 && inputs[count - 1] == NULL)
		count--;
	n = qdq_node_insert(m->root->graph, m->root, t->op, m->root->outputs[0]->name, count, inputs, 1,
			    m->root->origin);
	qdq_node_infer(n);
	look_at(a, n);
	return n->outputs[0];
}

/* Can whoever makes v make what is called `y`, an output of the graph, instead? */
static bool can_be_called(const qdq_value *v, const qdq_value *y)
{
	return v != NULL && v->def != NULL && v->graph == y->graph && v->n_outputs == 0 && !v->not_tensor &&
	       v->type == y->type;
}

/* Whatever reads y, the outside too, gets v. */
static void replace_value(qdq_match *m, qdq_value *y, qdq_value *v)
{
	qdq_node *n = v->def;

	if (y->n_outputs == 0) {
		qdq_value_replace_uses(y, v);
		return;
	}
	for (uint32_t i = 0; i < m->root->n_inputs; i++) /* else it would read what it makes */
		if (qdq_in(m->root, i) == v)
			qdq_use_set(&m->root->inputs[i], NULL);
	for (uint32_t i = 0; i < n->n_outputs; i++) {
		if (n->outputs[i] == v) {
			qdq_value_redefine(y, n, i);
			break;
		}
	}
}

/* The root's result is what was built; what the match leaves without readers goes, from the root down. */
static void replace_root(struct applying *a, qdq_match *m)
{
	const qdq_term *t = &m->rule->terms[m->rule->build];
	qdq_value *old = m->root->outputs[0];
	qdq_value *made = build(a, m, t);

	if (t->kind == QDQ_TERM_NODE)
		qdq_value_redefine(old, made->def, 0);
	else
		replace_value(m, old, made);
	for (int i = 0; i < m->n_nodes; i++)
		if (m->nodes[i]->graph != NULL && qdq_node_unread(m->nodes[i]))
			remove_node(a, m->nodes[i]);
}

/* Only the first output is replaced; a variable must be able to take the name of a graph output. */
static bool can_replace(const qdq_match *m)
{
	const qdq_node *root = m->root;

	if (m->rule->build < 0)
		return true;
	if (qdq_out(root, 0) == NULL)
		return false;
	for (uint32_t i = 1; i < root->n_outputs; i++)
		if (root->outputs[i] != NULL && !qdq_value_unread(root->outputs[i]))
			return false;
	return m->rule->terms[m->rule->build].kind == QDQ_TERM_NODE || root->outputs[0]->n_outputs == 0 ||
	       can_be_called(m->values[m->rule->terms[m->rule->build].variable], root->outputs[0]);
}

/* ---- refusals ---- */

static void refuse(struct applying *a, const qdq_rule *rule, const qdq_node *n, const qdq_reason *why)
{
	struct refusal *refusal;

	if (why->code == QDQ_REASON_NONE)
		return;
	refusal = qdq_new(&a->run->scratch, struct refusal);
	*refusal = (struct refusal){rule, n, n->origin, *why, false, qdq_map_get(&a->by_node, n)};
	qdq_map_set(&a->by_node, n, refusal);
	*qdq_push(&a->run->scratch, &a->refusals) = refusal;
}

/* What n refused so far does not count: it is asked again. */
static void forget_refusals(struct applying *a, const qdq_node *n)
{
	struct refusal *known = qdq_map_get(&a->by_node, n);

	if (known == NULL)
		return;
	for (struct refusal *f = known; f != NULL; f = f->next_of_node)
		f->stale = true;
	qdq_map_set(&a->by_node, n, NULL);
}

static void report_refusals(struct applying *a)
{
	for (size_t i = 0; i < a->refusals.count; i++) {
		const struct refusal *f = a->refusals.items[i];

		if (!f->stale && f->node->graph == a->run->graph)
			qdq_declined(a->run, f->rule->name, f->origin, &f->why);
	}
}

/* ---- applying ---- */

/* Tries every order of the operands of commutative nodes, until the guard agrees; else *why is what it said first. */
static bool find_match(qdq_run *r, const qdq_compiled_rule *rule, qdq_node *n, qdq_match *m, qdq_reason *why)
{
	for (unsigned swaps = 0; swaps < 1u << rule->n_swaps; swaps++) {
		qdq_reason reason = {0};

		*m = (qdq_match){.rule = rule, .root = n};
		if (!match_node(m, &rule->terms[rule->match], n, swaps) || !can_replace(m))
			continue;
		if (rule->rule->guard == NULL || rule->rule->guard(r, m, &reason))
			return true;
		if (why->code == QDQ_REASON_NONE)
			*why = reason;
	}
	return false;
}

/* The maker has done everything: whatever defines the results now, and n itself, may match again. */
static void look_at_made(struct applying *a, qdq_node *n, qdq_value *result)
{
	look_at(a, n);
	if (result != NULL && result->def != NULL && result->def != n)
		look_at(a, result->def);
}

/* True: the rule matched and changed something. */
static bool apply(struct applying *a, const qdq_compiled_rule *rule, qdq_node *n)
{
	qdq_run *r = a->run;
	const qdq_rule *source = rule->rule;
	const qdq_origin *origin = n->origin;
	qdq_value *result = qdq_out(n, 0);
	size_t mark = a->work.count;
	qdq_reason why = {0};
	qdq_match m;

	if (!find_match(r, rule, n, &m, &why)) {
		refuse(a, source, n, &why);
		return false;
	}
	if (!qdq_allowed(r, source->exactness)) {
		why = (qdq_reason){.code = r->options->exact ? QDQ_REASON_NOT_EXACT : QDQ_REASON_NOT_BOUNDED};
		refuse(a, source, n, &why);
		return false;
	}
	for (uint32_t i = 0; i < n->n_outputs; i++)
		look_below(a, n->outputs[i], a->table->levels);
	if (source->make != NULL && !source->make(r, &m)) {
		a->work.count = mark;
		return false;
	}
	if (rule->build >= 0) {
		check_values(r, &m);
		replace_root(a, &m);
	} else {
		look_at_made(a, n, result);
	}
	qdq_applied(r, source->name, source->exactness, 0, origin);
	return true;
}

static bool any_matches(const qdq_rule *rules, size_t n_rules)
{
	for (size_t i = 0; i < n_rules; i++)
		if (rules[i].match != NULL)
			return true;
	return false;
}

void qdq_rules_apply(qdq_run *r, const qdq_rule *rules, size_t n_rules)
{
	struct applying a = {.run = r};
	uint64_t budget = ((uint64_t)r->graph->n_nodes + 1) * APPLICATIONS_PER_NODE;

	if (!any_matches(rules, n_rules))
		return;
	a.table = compiled(r->ctx, rules, n_rules);
	qdq_map_init(&a.by_node, &r->scratch);
	for (qdq_node *n = r->graph->first; n != NULL; n = qdq_after(n))
		look_at(&a, n);
	for (size_t at = 0; at < a.work.count && budget != 0; at++) {
		qdq_node *n = a.work.items[at];
		const struct entry *e = n->graph == r->graph ? a.table->by_op[n->op->id] : NULL;

		if (e != NULL)
			forget_refusals(&a, n);
		for (; e != NULL; e = e->next) {
			if (apply(&a, e->rule, n)) {
				budget--;
				break; /* the node may be gone; what reads the result comes again */
			}
		}
	}
	report_refusals(&a);
}

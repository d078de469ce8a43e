/* SPDX-License-Identifier: Apache-2.0
 *
 * compile.c -- the text of a rule into terms
 *
 *   pattern = "(" head ["*"] [":" name] operand … ")"
 *   head    = operator of ai.onnx | "ms_" operator of com.microsoft | "@" CLASS
 *   operand = pattern | name | name "?" | "_" | "_*"
 *
 * A name stands for a value (or, behind ":", for a node). The second time it stands for the same value, or for a
 * constant of the same type, shape and bytes. "?" may be absent, "_" is any value, "_*" whatever follows. An inner node
 * with "*" may have readers outside the match. Operands that a pattern does not mention must be absent.
 *
 * What is built is a pattern of operators and names. Names that the match does not have are given by the rule's maker;
 * an operand that was absent in the match is absent in what is built.
 */
#include "rule.h"

/* What a name stands for. */
enum meaning { PRESENT, MAYBE_ABSENT, A_NODE, MADE };

struct compiler {
	qdq_ctx *ctx;
	qdq_compiled_rule *out;
	const char *at;
	bool building;
	bool repeats; /* a name of the match stands there twice */
	enum meaning meanings[QDQ_RULE_VARIABLES];
};

QDQ_NORETURN static void wrong(const struct compiler *c, const char *what)
{
	qdq_fail(c->ctx, QDQ_EUSAGE, NULL, "rule %s: %s at '%.20s'", c->out->rule->name, what, c->at);
}

static void skip_space(struct compiler *c)
{
	while (*c->at == ' ' || *c->at == '\t' || *c->at == '\n')
		c->at++;
}

static size_t word_length(const char *s)
{
	size_t n = 0;

	while ((s[n] >= 'a' && s[n] <= 'z') || (s[n] >= 'A' && s[n] <= 'Z') || (s[n] >= '0' && s[n] <= '9') ||
	       s[n] == '_')
		n++;
	return n;
}

static int8_t new_term(struct compiler *c, qdq_term_kind kind)
{
	if (c->out->n_terms == QDQ_RULE_TERMS)
		wrong(c, "the rule is too long");
	c->out->terms[c->out->n_terms] = (qdq_term){.kind = kind, .swap = -1, .variable = -1, .child = -1, .next = -1};
	return (int8_t)c->out->n_terms++;
}

static int find_name(const struct compiler *c, size_t length)
{
	const qdq_compiled_rule *r = c->out;

	for (int i = 0; i < r->n_variables; i++)
		if (r->lengths[i] == length && memcmp(r->variables[i], c->at, length) == 0)
			return i;
	return -1;
}

static int8_t new_name(struct compiler *c, size_t length, enum meaning meaning)
{
	qdq_compiled_rule *r = c->out;

	if (c->building && r->rule->make == NULL)
		wrong(c, "nothing gives it a value");
	if (r->n_variables == QDQ_RULE_VARIABLES || length > UINT8_MAX)
		wrong(c, "too many names");
	r->variables[r->n_variables] = c->at;
	r->lengths[r->n_variables] = (uint8_t)length;
	c->meanings[r->n_variables] = c->building ? MADE : meaning;
	return (int8_t)r->n_variables++;
}

static int8_t read_name(struct compiler *c, size_t length, enum meaning meaning)
{
	int i = find_name(c, length);

	if (i < 0)
		return new_name(c, length, meaning);
	if (c->building) {
		if (c->meanings[i] == A_NODE)
			wrong(c, "the name of a node is no value");
		return (int8_t)i;
	}
	if (meaning == A_NODE || c->meanings[i] == A_NODE)
		wrong(c, "the name stands for two things");
	if (meaning == PRESENT)
		c->meanings[i] = PRESENT;
	c->repeats = true;
	return (int8_t)i;
}

/* ---- heads ---- */

static qdq_class read_class(struct compiler *c, size_t length)
{
	static const char *const names[] = {
	    [QDQ_CLASS_BARRIER] = "BARRIER",   [QDQ_CLASS_MOVE] = "MOVE",	    [QDQ_CLASS_MONO] = "MONO",
	    [QDQ_CLASS_CONTRACT] = "CONTRACT", [QDQ_CLASS_POINTWISE] = "POINTWISE", [QDQ_CLASS_REDUCE] = "REDUCE",
	    [QDQ_CLASS_NORM] = "NORM",	       [QDQ_CLASS_QUANT] = "QUANT",	    [QDQ_CLASS_QFORM] = "QFORM",
	    [QDQ_CLASS_SHAPE] = "SHAPE",
	};

	for (size_t i = 0; i < QDQ_COUNTOF(names); i++)
		if (strlen(names[i]) == length && memcmp(names[i], c->at, length) == 0)
			return (qdq_class)i;
	wrong(c, "there is no such class");
}

static qdq_op_id read_op(struct compiler *c, size_t length)
{
	bool ms = length > 3 && memcmp(c->at, "ms_", 3) == 0;
	const qdq_op_info *op;
	char name[64];

	if (length == 0 || length >= sizeof name)
		wrong(c, "an operator is expected");
	memcpy(name, c->at, length);
	name[length] = '\0';
	op = qdq_op_find(ms ? "com.microsoft" : "", name + (ms ? 3 : 0));
	if (op->id == QDQ_OP_NONE)
		wrong(c, "there is no such operator");
	return op->id;
}

static bool commutes(qdq_op_id op)
{
	switch (op) {
	case QDQ_OP_Add:
	case QDQ_OP_Mul:
	case QDQ_OP_Min:
	case QDQ_OP_Max:
	case QDQ_OP_And:
	case QDQ_OP_Or:
	case QDQ_OP_Xor:
	case QDQ_OP_Equal:
		return true;
	default:
		return false;
	}
}

static void read_head(struct compiler *c, qdq_term *t)
{
	bool is_class = *c->at == '@';
	size_t length;

	c->at += is_class;
	length = word_length(c->at);
	if (is_class && c->building)
		wrong(c, "a class cannot be built");
	if (is_class)
		t->cls = read_class(c, length);
	else
		t->op = read_op(c, length);
	c->at += length;
	if (*c->at == '*') {
		t->shared = true;
		c->at++;
	}
	if (*c->at == ':') {
		if (c->building)
			wrong(c, "what is built has no name");
		c->at++;
		length = word_length(c->at);
		if (length == 0)
			wrong(c, "a name is expected");
		t->variable = read_name(c, length, A_NODE);
		c->at += length;
	}
	if (!c->building && commutes(t->op)) {
		if (c->out->n_swaps == QDQ_RULE_SWAPS)
			wrong(c, "too many commutative operators");
		t->swap = (int8_t)c->out->n_swaps++;
	}
}

/* ---- terms ---- */

static int8_t read_operand(struct compiler *c)
{
	size_t length = word_length(c->at);
	bool optional;
	int8_t term;

	if (length == 1 && *c->at == '_') {
		term = new_term(c, c->at[1] == '*' ? QDQ_TERM_REST : QDQ_TERM_ANY);
		if (c->building)
			wrong(c, "what is built needs a name");
		c->at += c->at[1] == '*' ? 2 : 1;
		return term;
	}
	if (*c->at < 'a' || *c->at > 'z')
		wrong(c, "an operand is expected");
	optional = c->at[length] == '?';
	term = new_term(c, optional ? QDQ_TERM_OPTIONAL : QDQ_TERM_VARIABLE);
	c->out->terms[term].variable = read_name(c, length, optional ? MAYBE_ABSENT : PRESENT);
	c->at += length + optional;
	return term;
}

/* The operators whose parentheses are open, and the last operand of each. */
struct open {
	int8_t terms[QDQ_RULE_NODES], last[QDQ_RULE_NODES];
	int depth;
};

/* Puts `term` behind the operands of the innermost operator. */
static void add_operand(struct compiler *c, struct open *o, int8_t term)
{
	int8_t *last = &o->last[o->depth - 1];
	qdq_term *terms = c->out->terms;

	if (*last >= 0 && terms[*last].kind == QDQ_TERM_REST)
		wrong(c, "something follows _*");
	if (*last < 0)
		terms[o->terms[o->depth - 1]].child = term;
	else
		terms[*last].next = term;
	*last = term;
}

/* Patterns nest without recursion. */
static int8_t read_pattern(struct compiler *c)
{
	struct open o = {.depth = 0};
	int8_t term, root = -1;
	int nodes = 0;

	do {
		skip_space(c);
		if (*c->at == ')') {
			if (o.depth == 0)
				wrong(c, "a pattern is expected");
			c->at++;
			o.depth--;
			continue;
		}
		if (*c->at == '(') {
			if (nodes++ == QDQ_RULE_NODES)
				wrong(c, "too many nodes");
			c->at++;
			skip_space(c);
			term = new_term(c, QDQ_TERM_NODE);
			read_head(c, &c->out->terms[term]);
		} else {
			term = read_operand(c);
		}
		if (o.depth == 0)
			root = term;
		else
			add_operand(c, &o, term);
		if (c->out->terms[term].kind == QDQ_TERM_NODE) {
			if (!c->building && o.depth > c->out->levels)
				c->out->levels = o.depth;
			o.terms[o.depth] = term;
			o.last[o.depth++] = -1;
		}
	} while (o.depth > 0);
	skip_space(c);
	if (*c->at != '\0')
		wrong(c, "something follows the pattern");
	return root;
}

/* What the root's result becomes is there in every match. */
static void check_result(struct compiler *c)
{
	const qdq_term *t = &c->out->terms[c->out->build];

	c->at = c->out->rule->build;
	if (t->kind != QDQ_TERM_NODE && c->meanings[t->variable] == MAYBE_ABSENT)
		wrong(c, "it may be absent");
}

void qdq_rule_compile(qdq_ctx *ctx, const qdq_rule *rule, qdq_compiled_rule *out)
{
	struct compiler c = {.ctx = ctx, .out = out, .at = rule->match};

	*out = (qdq_compiled_rule){.rule = rule, .build = -1};
	out->match = read_pattern(&c);
	if (out->terms[out->match].kind != QDQ_TERM_NODE)
		wrong(&c, "a rule matches a node");
	out->levels += out->levels == 0 || c.repeats; /* the readers of equal operands can be one deeper */
	out->n_match = out->n_terms;
	if (rule->build == NULL && rule->make == NULL)
		qdq_fail(ctx, QDQ_EUSAGE, NULL, "rule %s: it builds nothing", rule->name);
	if (rule->build == NULL)
		return;
	c.building = true;
	c.at = rule->build;
	out->build = read_pattern(&c);
	check_result(&c);
}

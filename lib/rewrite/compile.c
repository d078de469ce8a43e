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
 */
#include "rule.h"

struct compiler {
	qdq_ctx *ctx;
	qdq_compiled_rule *out;
	const char *at;
	bool building;
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

static int8_t variable(struct compiler *c, size_t length)
{
	qdq_compiled_rule *r = c->out;

	for (int i = 0; i < r->n_variables; i++)
		if (r->lengths[i] == length && memcmp(r->variables[i], c->at, length) == 0)
			return (int8_t)i;
	if (r->n_variables == QDQ_RULE_VARIABLES || length > UINT8_MAX)
		wrong(c, "too many names");
	r->variables[r->n_variables] = c->at;
	r->lengths[r->n_variables] = (uint8_t)length;
	return (int8_t)r->n_variables++;
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
		c->at++;
		length = word_length(c->at);
		if (length == 0)
			wrong(c, "a name is expected");
		t->variable = variable(c, length);
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
	int8_t term;

	if (length == 0)
		wrong(c, "an operand is expected");
	if (length == 1 && *c->at == '_') {
		term = new_term(c, c->at[1] == '*' ? QDQ_TERM_REST : QDQ_TERM_ANY);
		if (c->building)
			wrong(c, "what is built needs a name");
		c->at += c->at[1] == '*' ? 2 : 1;
		return term;
	}
	term = new_term(c, c->at[length] == '?' ? QDQ_TERM_OPTIONAL : QDQ_TERM_VARIABLE);
	c->out->terms[term].variable = variable(c, length);
	c->at += length + (c->at[length] == '?');
	return term;
}

/* Patterns nest without recursion: the open ones are on a stack. */
static int8_t read_pattern(struct compiler *c)
{
	int8_t stack[QDQ_RULE_NODES], last[QDQ_RULE_NODES], root = -1;
	int depth = 0, nodes = 0;

	do {
		int8_t term;

		skip_space(c);
		if (*c->at == ')') {
			if (depth == 0)
				wrong(c, "a pattern is expected");
			c->at++;
			depth--;
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
		if (depth == 0)
			root = term;
		else if (last[depth - 1] < 0)
			c->out->terms[stack[depth - 1]].child = term;
		else
			c->out->terms[last[depth - 1]].next = term;
		if (depth > 0) {
			if (last[depth - 1] >= 0 && c->out->terms[last[depth - 1]].kind == QDQ_TERM_REST)
				wrong(c, "something follows _*");
			last[depth - 1] = term;
		}
		if (c->out->terms[term].kind == QDQ_TERM_NODE) {
			stack[depth] = term;
			last[depth++] = -1;
		}
	} while (depth > 0);
	skip_space(c);
	if (*c->at != '\0')
		wrong(c, "something follows the pattern");
	return root;
}

void qdq_rule_compile(qdq_ctx *ctx, const qdq_rule *rule, qdq_compiled_rule *out)
{
	struct compiler c = {.ctx = ctx, .out = out, .at = rule->match};

	*out = (qdq_compiled_rule){.rule = rule, .build = -1};
	out->match = read_pattern(&c);
	if (out->terms[out->match].kind != QDQ_TERM_NODE)
		wrong(&c, "a rule matches a node");
	c.building = true;
	c.at = rule->build;
	if (rule->build != NULL)
		out->build = read_pattern(&c);
	else if (rule->make == NULL)
		qdq_fail(ctx, QDQ_EUSAGE, NULL, "rule %s: it builds nothing", rule->name);
}

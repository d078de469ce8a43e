/* SPDX-License-Identifier: Apache-2.0
 *
 * text_lex.c -- the smallest pieces of the textual syntax, and messages that say where
 */
#include <inttypes.h>
#include <math.h>

#include "text.h"

/* ---- messages ---- */

static void position(const qdq_text_reader *r, const char *at, size_t *line, size_t *column)
{
	const char *start = r->begin;

	*line = 1;
	for (const char *p = r->begin; p < at; p++) {
		if (*p == '\n') {
			++*line;
			start = p + 1;
		}
	}
	*column = 1;
	for (const char *p = start; p < at; p++)
		*column += (*p & 0xc0) != 0x80; /* characters, not bytes */
}

/* A name that was missing all along is the first fault; what went wrong behind it does not matter. */
void qdq_text_settle(qdq_text_reader *r)
{
	qdq_text_missing m = r->missing;

	if (m.name == NULL)
		return;
	r->missing.name = NULL;
	r->node = m.node;
	r->op = m.op;
	qdq_text_fail(r, m.at, "'%s' is read but not defined: no node, input or initializer has that name", m.name);
}

void qdq_text_fail(qdq_text_reader *r, const char *at, const char *format, ...)
{
	qdq_where where = {.file = r->m->path, .node = r->node, .op = r->op};
	size_t line, column;
	const char *message;
	va_list args;

	qdq_text_settle(r);
	va_start(args, format);
	message = qdq_vformat(&r->scratch, format, args);
	va_end(args);
	position(r, at, &line, &column);
	qdq_fail(r->ctx, QDQ_EMODEL, &where, "%zu:%zu: %s", line, column, message);
}

/* What stands at the reader's place, in a few characters. */
static const char *excerpt(qdq_text_reader *r)
{
	const char *p = r->at;
	size_t size = 0;

	if (qdq_text_peek(r) < 0)
		return "the end of the text";
	p = r->at;
	while (size < 24 && p + size < r->end) {
		size_t length = qdq_text_utf8(p + size, (size_t)(r->end - p) - size);
		bool word = length > 1 || qdq_text_is_identifier(p + size, 1) || (p[size] >= '0' && p[size] <= '9');

		if (length == 0 || (unsigned char)p[size] < ' ' || (size != 0 && !word && *p != '"'))
			break;
		size += length;
		if ((!word && *p != '"') || (*p == '"' && size > 1 && p[size - 1] == '"'))
			break;
	}
	if (size == 0)
		return qdq_format(&r->scratch, "byte 0x%02x", (unsigned)(unsigned char)*p);
	return qdq_format(&r->scratch, "'%.*s'", (int)size, p);
}

void qdq_text_fail_expected(qdq_text_reader *r, const char *what)
{
	const char *before = excerpt(r);

	qdq_text_fail(r, r->at, "expected %s before %s", what, before);
}

/* ---- characters ---- */

int qdq_text_peek(qdq_text_reader *r)
{
	for (;;) {
		while (r->at < r->end && (*r->at == ' ' || (*r->at >= '\t' && *r->at <= '\r')))
			r->at++;
		if (r->at == r->end)
			return -1;
		if (*r->at != '#')
			return (unsigned char)*r->at;
		r->at = memchr(r->at, '\n', (size_t)(r->end - r->at));
		if (r->at == NULL)
			r->at = r->end;
	}
}

bool qdq_text_match(qdq_text_reader *r, char c)
{
	if (qdq_text_peek(r) != c)
		return false;
	r->at++;
	return true;
}

void qdq_text_expect(qdq_text_reader *r, char c)
{
	const char what[] = {'\'', c, '\'', '\0'};

	if (!qdq_text_match(r, c))
		qdq_text_fail_expected(r, what);
}

void qdq_text_expect_arrow(qdq_text_reader *r)
{
	if (qdq_text_peek(r) != '=' || r->end - r->at < 2 || r->at[1] != '>')
		qdq_text_fail_expected(r, "'=>'");
	r->at += 2;
}

/* ---- words and strings ---- */

static bool is_letter(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

qdq_bytes qdq_text_peek_word(qdq_text_reader *r)
{
	const char *p;

	(void)qdq_text_peek(r);
	p = r->at;
	if (p < r->end && is_letter(*p))
		while (p < r->end && (is_letter(*p) || is_digit(*p)))
			p++;
	return (qdq_bytes){r->at, (size_t)(p - r->at)};
}

bool qdq_text_word(qdq_text_reader *r, qdq_bytes *out)
{
	*out = qdq_text_peek_word(r);
	r->at += out->size;
	return out->size != 0;
}

/* What is between the quotes, still with its backslashes. */
static qdq_bytes read_quoted(qdq_text_reader *r, bool *escaped)
{
	const char *begin, *p;

	if (qdq_text_peek(r) != '"')
		qdq_text_fail_expected(r, "a string");
	*escaped = false;
	begin = r->at + 1;
	for (p = begin; p < r->end && *p != '"'; p++) {
		if (*p == '\\') {
			*escaped = true;
			if (++p == r->end)
				break;
		}
	}
	if (p == r->end)
		qdq_text_fail(r, r->at, "the string that begins here does not end");
	r->at = p + 1;
	return (qdq_bytes){begin, (size_t)(p - begin)};
}

static size_t unescape(char *out, qdq_bytes quoted)
{
	size_t size = 0;

	for (size_t i = 0; i < quoted.size; i++) {
		if (quoted.data[i] == '\\')
			i++;
		out[size++] = quoted.data[i];
	}
	return size;
}

qdq_bytes qdq_text_string(qdq_text_reader *r)
{
	bool escaped;
	qdq_bytes quoted = read_quoted(r, &escaped);
	char *copy;

	if (!escaped)
		return quoted;
	copy = qdq_alloc(&r->m->arena, quoted.size);
	return (qdq_bytes){copy, unescape(copy, quoted)};
}

static void check_proper(qdq_text_reader *r, const char *at, const char *s, size_t size)
{
	for (size_t i = 0; i < size;) {
		size_t length = qdq_text_utf8(s + i, size - i);

		if (length == 0)
			qdq_text_fail(r, at, "a name or text that is not UTF-8");
		if (s[i] == '\0')
			qdq_text_fail(r, at, "a name or text with a NUL character");
		i += length;
	}
}

const char *qdq_text_proper_string(qdq_text_reader *r)
{
	const char *at;
	qdq_bytes s;

	(void)qdq_text_peek(r);
	at = r->at;
	s = qdq_text_string(r);
	check_proper(r, at, s.data, s.size);
	return qdq_copy(&r->m->arena, s.data, s.size);
}

static char *token_room(qdq_text_reader *r, size_t size)
{
	if (size >= r->token_room) {
		r->token_room = 2 * size + 64;
		r->token = qdq_alloc(&r->scratch, r->token_room);
	}
	return r->token;
}

bool qdq_text_token(qdq_text_reader *r)
{
	const char *at;
	qdq_bytes s;
	bool escaped;

	if (qdq_text_peek(r) != '"') {
		if (!qdq_text_word(r, &s))
			return false;
		memcpy(token_room(r, s.size), s.data, s.size);
		r->token[s.size] = '\0';
		return true;
	}
	at = r->at;
	s = read_quoted(r, &escaped);
	token_room(r, s.size);
	s.size = unescape(r->token, s);
	r->token[s.size] = '\0';
	check_proper(r, at, r->token, s.size);
	return true;
}

qdq_name qdq_text_name(qdq_text_reader *r, const char *what)
{
	if (!qdq_text_token(r))
		qdq_text_fail_expected(r, what);
	return qdq_intern(&r->m->names, r->token);
}

/* ---- numbers ---- */

void qdq_text_number(qdq_text_reader *r, qdq_text_literal *out)
{
	const char *p, *end = r->end;
	bool point = false;

	(void)qdq_text_peek(r);
	p = r->at;
	*out = (qdq_text_literal){.kind = QDQ_LITERAL_INT, .at = p};
	if (p < end && *p == '-')
		p++;
	if (p < end && is_letter(*p)) {
		const char *word = p;

		while (p < end && (is_letter(*p) || is_digit(*p)))
			p++;
		if (!qdq_text_is_float_word(word, (size_t)(p - word)))
			qdq_text_fail_expected(r, "a number");
		out->kind = QDQ_LITERAL_FLOAT;
	} else {
		if (p == end || !is_digit(*p))
			qdq_text_fail_expected(r, "a number");
		for (; p < end && (is_digit(*p) || (*p == '.' && !point)); p++)
			point = point || *p == '.';
		if (p < end && (*p == 'e' || *p == 'E')) {
			point = true;
			if (++p < end && (*p == '+' || *p == '-'))
				p++;
			while (p < end && is_digit(*p))
				p++;
		}
		if (point)
			out->kind = QDQ_LITERAL_FLOAT;
	}
	out->size = (size_t)(p - out->at);
	r->at = p;
}

/* The digits of an integer behind its sign, if any; false where they are too many. */
static bool magnitude(const qdq_text_literal *l, bool *negative, uint64_t *out)
{
	const char *p = l->at, *end = l->at + l->size;

	*negative = *p == '-';
	*out = 0;
	for (p += *negative; p < end; p++) {
		unsigned digit = (unsigned)(*p - '0');

		if (*out > (UINT64_MAX - digit) / 10)
			return false;
		*out = *out * 10 + digit;
	}
	return true;
}

static void want_int(qdq_text_reader *r, const qdq_text_literal *l)
{
	if (l->kind != QDQ_LITERAL_INT)
		qdq_text_fail(r, l->at, "%.*s is not a whole number", (int)qdq_min_size(l->size, 40), l->at);
}

QDQ_NORETURN static void fail_range(qdq_text_reader *r, const qdq_text_literal *l)
{
	qdq_text_fail(r, l->at, "%.*s is out of range", (int)qdq_min_size(l->size, 40), l->at);
}

int64_t qdq_text_int(qdq_text_reader *r, const qdq_text_literal *l)
{
	bool negative;
	uint64_t u;

	want_int(r, l);
	if (!magnitude(l, &negative, &u) || u > (uint64_t)INT64_MAX + negative)
		fail_range(r, l);
	return negative ? (int64_t)(0 - u) : (int64_t)u;
}

uint64_t qdq_text_unsigned(qdq_text_reader *r, const qdq_text_literal *l)
{
	bool negative;
	uint64_t u;

	want_int(r, l);
	if (!magnitude(l, &negative, &u) || (negative && u != 0))
		fail_range(r, l);
	return u;
}

/* nan, inf, infinity. */
static bool special(const char *s, size_t size, double *out)
{
	if (!is_letter(*s))
		return false;
	(void)size;
	*out = *s == 'n' || *s == 'N' ? (double)NAN : (double)INFINITY;
	return true;
}

float qdq_text_float(qdq_text_reader *r, const qdq_text_literal *l)
{
	size_t sign = *l->at == '-';
	double wide;
	float f;

	if (special(l->at + sign, l->size - sign, &wide))
		f = (float)wide;
	else if (!qdq_text_to_float(l->at + sign, l->size - sign, &f))
		fail_range(r, l);
	return sign ? -f : f;
}

double qdq_text_double(qdq_text_reader *r, const qdq_text_literal *l)
{
	size_t sign = *l->at == '-';
	double d;

	if (!special(l->at + sign, l->size - sign, &d) && !qdq_text_to_double(l->at + sign, l->size - sign, &d))
		fail_range(r, l);
	return sign ? -d : d;
}

/* ---- depth ---- */

#define MOST_DEPTH 1000 /* whatever the options say: each level takes its part of the stack */

void qdq_text_enter(qdq_text_reader *r)
{
	uint32_t limit = r->ctx->options.max_depth < MOST_DEPTH ? r->ctx->options.max_depth : MOST_DEPTH;

	if (++r->depth > limit)
		qdq_text_fail(r, r->at, "graphs or types are nested deeper than the limit of %" PRIu32, limit);
}

void qdq_text_leave(qdq_text_reader *r)
{
	r->depth--;
}

/* SPDX-License-Identifier: Apache-2.0
 *
 * dims.c -- dimensions as expressions over symbols, and shapes made of them
 *
 * An expression is brought into a normal form as it is made: a sum of products with whole coefficients, ordered by
 * the age of the symbols, with a constant last. Floor division takes out what divides evenly. Equal expressions so
 * become equal trees, and hash-consing gives equal trees one number. What overflows, or has more terms than anybody
 * would want to read, becomes an unknown dimension.
 */
#include <stdio.h>
#include <stdlib.h>

#include "ir.h"

#define TERMS 12   /* of a sum */
#define FACTORS 12 /* of a product */

/* factor[0] * factor[1] * … * coefficient; factors are symbols, quotients and remainders. */
typedef struct term {
	int64_t coefficient;
	int n_factors;
	qdq_dim factor[FACTORS];
} term;

/* term[0] + term[1] + … + constant */
typedef struct sum {
	int64_t constant;
	int n_terms;
	term term[TERMS];
} sum;

static const qdq_dim_expr *expr_of(const qdq_model *m, qdq_dim d)
{
	return &m->dims.items[~d];
}

/* ---- hash-consing ---- */

static qdq_dim expr_intern(qdq_model *m, qdq_dim_op op, qdq_name symbol, qdq_dim a, qdq_dim b)
{
	struct {
		int64_t op, a, b;
		uintptr_t symbol;
	} key = {(int64_t)op, a, b, (uintptr_t)symbol};
	uintptr_t slot = (uintptr_t)qdq_hash(&key, sizeof key, 0) | 1;

	for (;; slot += 2) {
		/* the map holds numbers, one more than the index */
		uintptr_t found = (uintptr_t)qdq_map_get(&m->dim_index, (const void *)slot);

		if (found == 0)
			break;
		const qdq_dim_expr *e = &m->dims.items[found - 1];
		if (e->op == op && e->symbol == symbol && e->a == a && e->b == b)
			return ~(qdq_dim)(found - 1);
	}
	*qdq_push(&m->arena, &m->dims) = (qdq_dim_expr){op, symbol, a, b};
	qdq_map_set(&m->dim_index, (const void *)slot, (void *)(uintptr_t)m->dims.count);
	return ~(qdq_dim)(m->dims.count - 1);
}

qdq_dim qdq_dim_symbol(qdq_model *m, qdq_name symbol)
{
	if (*symbol == '\0')
		return qdq_dim_unknown(m);
	return expr_intern(m, QDQ_DIM_SYMBOL, symbol, 0, 0);
}

qdq_dim qdq_dim_unknown(qdq_model *m)
{
	*qdq_push(&m->arena, &m->dims) = (qdq_dim_expr){.op = QDQ_DIM_SYMBOL, .symbol = qdq_intern(&m->names, "")};
	return ~(qdq_dim)(m->dims.count - 1);
}

bool qdq_dim_value(const qdq_model *m, qdq_dim d, int64_t *out)
{
	const qdq_dim_expr *e;

	*out = d;
	if (d >= 0)
		return true;
	e = expr_of(m, d);
	if (e->op != QDQ_DIM_SUB || e->a != 0 || e->b < 0)
		return false;
	*out = -e->b;
	return true;
}

static qdq_dim number(qdq_model *m, int64_t value)
{
	if (value >= 0)
		return value;
	return expr_intern(m, QDQ_DIM_SUB, qdq_intern(&m->names, ""), 0, value == INT64_MIN ? INT64_MAX : -value);
}

/* ---- taking apart ---- */

/* Older expressions first; the numbers of older ones are greater. */
static int compare_products(const term *a, const term *b)
{
	for (int i = 0; i < a->n_factors && i < b->n_factors; i++)
		if (a->factor[i] != b->factor[i])
			return a->factor[i] > b->factor[i] ? -1 : 1;
	return a->n_factors - b->n_factors;
}

static bool add_term(sum *s, const term *t)
{
	int at = 0;

	if (t->coefficient == 0)
		return true;
	if (t->n_factors == 0)
		return !qdq_add_overflow(s->constant, t->coefficient, &s->constant);
	while (at < s->n_terms && compare_products(&s->term[at], t) < 0)
		at++;
	if (at < s->n_terms && compare_products(&s->term[at], t) == 0) {
		if (qdq_add_overflow(s->term[at].coefficient, t->coefficient, &s->term[at].coefficient))
			return false;
		if (s->term[at].coefficient == 0) {
			s->n_terms--;
			memmove(&s->term[at], &s->term[at + 1], (size_t)(s->n_terms - at) * sizeof(term));
		}
		return true;
	}
	if (s->n_terms == TERMS)
		return false;
	memmove(&s->term[at + 1], &s->term[at], (size_t)(s->n_terms - at) * sizeof(term));
	s->term[at] = *t;
	s->n_terms++;
	return true;
}

static bool add_factor(term *t, qdq_dim d)
{
	int at = t->n_factors;

	if (d >= 0)
		return !qdq_mul_overflow(t->coefficient, d, &t->coefficient);
	if (t->n_factors == FACTORS)
		return false;
	while (at > 0 && t->factor[at - 1] < d) {
		t->factor[at] = t->factor[at - 1];
		at--;
	}
	t->factor[at] = d;
	t->n_factors++;
	return true;
}

/* Adds scale * d, where d is in normal form, so its sums are no deeper than TERMS and its products than FACTORS. */
static bool take_apart(const qdq_model *m, qdq_dim d, int64_t scale, sum *s)
{
	term t;

	t.coefficient = scale;
	t.n_factors = 0;
	while (d < 0) {
		const qdq_dim_expr *e = expr_of(m, d);

		if (e->op == QDQ_DIM_ADD || e->op == QDQ_DIM_SUB)
			return take_apart(m, e->a, scale, s) &&
			       take_apart(m, e->b, e->op == QDQ_DIM_ADD ? scale : -scale, s);
		if (e->op != QDQ_DIM_MUL)
			break;
		if (!add_factor(&t, e->b))
			return false;
		d = e->a;
	}
	return add_factor(&t, d) && add_term(s, &t);
}

/* ---- putting together ---- */

static qdq_dim build_term(qdq_model *m, const term *t, int64_t coefficient)
{
	qdq_name none = qdq_intern(&m->names, "");
	qdq_dim d = t->factor[0];

	for (int i = 1; i < t->n_factors; i++)
		d = expr_intern(m, QDQ_DIM_MUL, none, d, t->factor[i]);
	return coefficient == 1 ? d : expr_intern(m, QDQ_DIM_MUL, none, d, coefficient);
}

/* The terms of one sign and the constant, if it has that sign. */
static qdq_dim build_side(qdq_model *m, const sum *s, int64_t sign)
{
	qdq_name none = qdq_intern(&m->names, "");
	int64_t constant = s->constant * sign;
	qdq_dim d = 0;

	for (int i = 0; i < s->n_terms; i++) {
		int64_t coefficient = s->term[i].coefficient * sign;

		if (coefficient < 0)
			continue;
		qdq_dim t = build_term(m, &s->term[i], coefficient);
		d = d == 0 ? t : expr_intern(m, QDQ_DIM_ADD, none, d, t);
	}
	if (constant <= 0)
		return d;
	return d == 0 ? constant : expr_intern(m, QDQ_DIM_ADD, none, d, constant);
}

static qdq_dim build(qdq_model *m, const sum *s)
{
	if (s->n_terms == 0)
		return number(m, s->constant);
	if (s->constant == INT64_MIN)
		return qdq_dim_unknown(m);
	for (int i = 0; i < s->n_terms; i++)
		if (s->term[i].coefficient == INT64_MIN)
			return qdq_dim_unknown(m);
	qdq_dim plus = build_side(m, s, 1), minus = build_side(m, s, -1);
	return minus == 0 ? plus : expr_intern(m, QDQ_DIM_SUB, qdq_intern(&m->names, ""), plus, minus);
}

/* ---- products ---- */

static bool multiply(const sum *a, const sum *b, sum *out)
{
	out->constant = 0;
	out->n_terms = 0;
	for (int i = 0; i <= a->n_terms; i++) {
		for (int j = 0; j <= b->n_terms; j++) {
			term t = i < a->n_terms ? a->term[i] : (term){.coefficient = a->constant};
			const term *by = &b->term[j];

			if (qdq_mul_overflow(t.coefficient, j < b->n_terms ? by->coefficient : b->constant,
					     &t.coefficient))
				return false;
			for (int k = 0; j < b->n_terms && k < by->n_factors; k++)
				if (!add_factor(&t, by->factor[k]))
					return false;
			if (!add_term(out, &t))
				return false;
		}
	}
	return true;
}

/* ---- quotients ---- */

static int64_t floor_div(int64_t a, int64_t b)
{
	return a / b - (a % b != 0 && (a < 0) != (b < 0));
}

static int64_t gcd(int64_t a, int64_t b)
{
	if (a == INT64_MIN || b == INT64_MIN)
		return 1;
	while (b != 0) {
		int64_t r = a % b;

		a = b;
		b = r;
	}
	return a < 0 ? -a : a;
}

static bool has_factor(const term *t, qdq_dim factor, int *at)
{
	for (*at = 0; *at < t->n_factors; ++*at)
		if (t->factor[*at] == factor)
			return true;
	return false;
}

static void drop_factor(term *t, int at)
{
	t->n_factors--;
	memmove(&t->factor[at], &t->factor[at + 1], (size_t)(t->n_factors - at) * sizeof(qdq_dim));
}

/* Takes out of both what every term of s and the divisor have in common. */
static void cancel(sum *s, term *divisor)
{
	int at;

	if (s->constant != 0)
		return;
	for (int i = 0; i < divisor->n_factors;) {
		qdq_dim factor = divisor->factor[i];
		bool everywhere = true;

		for (int j = 0; j < s->n_terms; j++)
			everywhere = everywhere && has_factor(&s->term[j], factor, &at);
		if (!everywhere) {
			i++;
			continue;
		}
		drop_factor(divisor, i);
		for (int j = 0; j < s->n_terms; j++)
			if (has_factor(&s->term[j], factor, &at))
				drop_factor(&s->term[j], at);
	}
	/* without the factors the order of the terms may be another, and one of them may be the constant */
	sum sorted = {0};
	for (int j = 0; j < s->n_terms; j++)
		add_term(&sorted, &s->term[j]);
	*s = sorted;
}

/* The greatest number that divides both comes out: floor(g x / (g y)) = floor(x / y). */
static void reduce(sum *s, term *divisor)
{
	int64_t common = gcd(divisor->coefficient, s->constant);

	for (int i = 0; i < s->n_terms; i++)
		common = gcd(common, s->term[i].coefficient);
	if (common <= 1)
		return;
	for (int i = 0; i < s->n_terms; i++)
		s->term[i].coefficient /= common;
	s->constant /= common;
	divisor->coefficient /= common;
}

/* floor(x / c + k) / d = floor((x + k c) / (c d)): quotients of quotients become one. */
static bool unnest(const qdq_model *m, sum *s, int64_t *divisor)
{
	const qdq_dim_expr *e;
	int64_t offset, product;
	sum inner = {0};

	if (s->n_terms != 1 || s->term[0].n_factors != 1 || s->term[0].coefficient != 1)
		return false;
	e = expr_of(m, s->term[0].factor[0]);
	if (e->op != QDQ_DIM_DIV || e->b <= 0 || qdq_mul_overflow(s->constant, e->b, &offset) ||
	    qdq_mul_overflow(*divisor, e->b, &product) || !take_apart(m, e->a, 1, &inner) ||
	    qdq_add_overflow(inner.constant, offset, &inner.constant))
		return false;
	*s = inner;
	*divisor = product;
	return true;
}

/* floor(s / c) for a number c > 0: what divides evenly comes out. */
static qdq_dim divide_by_number(qdq_model *m, sum *s, int64_t c)
{
	sum whole = {0};
	int64_t common = c, quotient;

	while (unnest(m, s, &c))
		common = c;
	for (int i = 0; i < s->n_terms;) {
		term *t = &s->term[i];

		if (t->coefficient % c != 0) {
			common = gcd(common, t->coefficient);
			i++;
			continue;
		}
		t->coefficient /= c;
		if (!add_term(&whole, t))
			return qdq_dim_unknown(m);
		s->n_terms--;
		memmove(t, t + 1, (size_t)(s->n_terms - i) * sizeof(term));
	}
	quotient = floor_div(s->constant, c);
	if (qdq_add_overflow(whole.constant, quotient, &whole.constant))
		return qdq_dim_unknown(m);
	s->constant -= quotient * c;
	if (s->n_terms == 0)
		return build(m, &whole);
	/* floor((g x + k) / (g d)) = floor((x + floor(k / g)) / d) */
	for (int i = 0; i < s->n_terms; i++)
		s->term[i].coefficient /= common;
	s->constant = floor_div(s->constant, common);
	term rest = {.coefficient = 1, .n_factors = 1};
	rest.factor[0] = expr_intern(m, QDQ_DIM_DIV, qdq_intern(&m->names, ""), build(m, s), c / common);
	return add_term(&whole, &rest) ? build(m, &whole) : qdq_dim_unknown(m);
}

static qdq_dim divide(qdq_model *m, sum *s, sum *by)
{
	term divisor;
	sum rest = {0};

	if (by->n_terms == 0) {
		if (by->constant <= 0)
			return qdq_dim_unknown(m);
		return divide_by_number(m, s, by->constant);
	}
	if (by->n_terms > 1 || by->constant != 0) {
		qdq_dim a = build(m, s), b = build(m, by);

		return a == b ? 1 : expr_intern(m, QDQ_DIM_DIV, qdq_intern(&m->names, ""), a, b);
	}
	divisor = by->term[0];
	cancel(s, &divisor);
	reduce(s, &divisor);
	if (divisor.n_factors == 0)
		return divisor.coefficient > 0 ? divide_by_number(m, s, divisor.coefficient) : qdq_dim_unknown(m);
	if (s->n_terms == 0 && s->constant == 0)
		return 0;
	if (!add_term(&rest, &divisor))
		return qdq_dim_unknown(m);
	return expr_intern(m, QDQ_DIM_DIV, qdq_intern(&m->names, ""), build(m, s), build(m, &rest));
}

/* s mod c: multiples of c fall away. */
static qdq_dim remainder_of(qdq_model *m, sum *s, sum *by)
{
	int64_t c = by->constant;

	if (by->n_terms != 0 || c <= 0)
		return qdq_dim_unknown(m);
	for (int i = 0; i < s->n_terms;) {
		if (s->term[i].coefficient % c != 0) {
			i++;
			continue;
		}
		s->n_terms--;
		memmove(&s->term[i], &s->term[i + 1], (size_t)(s->n_terms - i) * sizeof(term));
	}
	s->constant -= floor_div(s->constant, c) * c;
	if (s->n_terms == 0)
		return s->constant;
	return expr_intern(m, QDQ_DIM_MOD, qdq_intern(&m->names, ""), build(m, s), c);
}

static qdq_dim both_known(qdq_model *m, qdq_dim_op op, int64_t a, int64_t b)
{
	int64_t result = 0;
	bool failed = false;

	switch (op) {
	case QDQ_DIM_MUL:
		failed = qdq_mul_overflow(a, b, &result);
		break;
	case QDQ_DIM_ADD:
		failed = qdq_add_overflow(a, b, &result);
		break;
	case QDQ_DIM_SUB:
		failed = b == INT64_MIN || qdq_add_overflow(a, -b, &result);
		break;
	case QDQ_DIM_DIV:
	case QDQ_DIM_MOD:
		failed = b <= 0;
		if (!failed)
			result = op == QDQ_DIM_DIV ? floor_div(a, b) : a - floor_div(a, b) * b;
		break;
	case QDQ_DIM_SYMBOL:
		failed = true;
		break;
	}
	return failed ? qdq_dim_unknown(m) : number(m, result);
}

qdq_dim qdq_dim_binary(qdq_model *m, qdq_dim_op op, qdq_dim a, qdq_dim b)
{
	sum x, y, product;
	int64_t p, q;

	bool a_known = qdq_dim_value(m, a, &p), b_known = qdq_dim_value(m, b, &q);

	if (a_known && b_known)
		return both_known(m, op, p, q);
	if (b_known &&
	    (q == 0 ? op == QDQ_DIM_ADD || op == QDQ_DIM_SUB : q == 1 && (op == QDQ_DIM_MUL || op == QDQ_DIM_DIV)))
		return a;
	x.constant = y.constant = 0;
	x.n_terms = y.n_terms = 0;
	if (!take_apart(m, a, 1, &x))
		return qdq_dim_unknown(m);
	if (op == QDQ_DIM_ADD || op == QDQ_DIM_SUB)
		return take_apart(m, b, op == QDQ_DIM_ADD ? 1 : -1, &x) ? build(m, &x) : qdq_dim_unknown(m);
	if (!take_apart(m, b, 1, &y))
		return qdq_dim_unknown(m);
	switch (op) {
	case QDQ_DIM_MUL:
		return multiply(&x, &y, &product) ? build(m, &product) : qdq_dim_unknown(m);
	case QDQ_DIM_DIV:
		return divide(m, &x, &y);
	case QDQ_DIM_MOD:
		return remainder_of(m, &x, &y);
	default:
		return qdq_dim_unknown(m);
	}
}

/* ---- text ---- */

typedef struct text {
	const qdq_model *m;
	char at[240];
	size_t length;
	int depth;
	bool failed; /* too long, too deep, or something in it has no name */
} text;

static void put(text *t, const char *s)
{
	size_t length = strlen(s);

	if (t->failed || length >= sizeof t->at - t->length) {
		t->failed = true;
		return;
	}
	memcpy(t->at + t->length, s, length + 1);
	t->length += length;
}

/* What stands in a sum needs no brackets, in a product all but products do, and behind a division everything does. */
typedef enum place { IN_SUM, IN_PRODUCT, IN_DIVISOR } place;

static void put_dim(text *t, qdq_dim d, place at);

static void put_binary(text *t, const qdq_dim_expr *e, place at)
{
	static const char *const signs[] = {"", "*", "+", "/", "%", "-"};
	bool is_sum = e->op == QDQ_DIM_ADD || e->op == QDQ_DIM_SUB,
	     is_quotient = e->op == QDQ_DIM_DIV || e->op == QDQ_DIM_MOD;
	bool brackets = at == IN_DIVISOR || (at == IN_PRODUCT && e->op != QDQ_DIM_MUL);

	if (brackets)
		put(t, "(");
	if (!(e->op == QDQ_DIM_SUB && e->a == 0))
		put_dim(t, e->a, is_sum ? IN_SUM : IN_PRODUCT);
	put(t, signs[e->op]);
	put_dim(t, e->b, is_quotient ? IN_DIVISOR : e->op == QDQ_DIM_ADD ? IN_SUM : IN_PRODUCT);
	if (brackets)
		put(t, ")");
}

static void put_dim(text *t, qdq_dim d, place at)
{
	char digits[24];
	const qdq_dim_expr *e;

	if (d >= 0) {
		snprintf(digits, sizeof digits, "%lld", (long long)d);
		put(t, digits);
		return;
	}
	e = expr_of(t->m, d);
	if (t->failed || ++t->depth > 24) {
		t->failed = true;
		return;
	}
	if (e->op == QDQ_DIM_SYMBOL) {
		t->failed = t->failed || *e->symbol == '\0';
		put(t, e->symbol);
	} else {
		put_binary(t, e, at);
	}
	t->depth--;
}

const char *qdq_dim_print(qdq_model *m, qdq_arena *a, qdq_dim d)
{
	text t = {.m = m};

	put_dim(&t, d, IN_SUM);
	return t.failed ? "?" : qdq_copy(a, t.at, t.length);
}

/* ---- shapes ---- */

const qdq_shape *qdq_shape_new(qdq_model *m, int32_t rank, const qdq_dim *dims)
{
	qdq_shape *s = qdq_alloc(&m->arena, sizeof *s + (size_t)rank * sizeof *dims);

	s->rank = rank;
	if (rank != 0)
		memcpy(s->dim, dims, (size_t)rank * sizeof *dims);
	return s;
}

bool qdq_shape_equal(const qdq_shape *a, const qdq_shape *b)
{
	if (a == NULL || b == NULL || a->rank != b->rank)
		return false;
	return a == b || a->rank == 0 || memcmp(a->dim, b->dim, (size_t)a->rank * sizeof *a->dim) == 0;
}

int64_t qdq_shape_count(const qdq_shape *s, bool *symbolic)
{
	int64_t count = 1;
	bool overflow = false, zero = false;

	if (symbolic != NULL)
		*symbolic = false;
	for (int32_t i = 0; i < s->rank; i++) {
		if (s->dim[i] < 0 && symbolic != NULL)
			*symbolic = true;
		if (s->dim[i] < 0)
			continue;
		zero = zero || s->dim[i] == 0;
		overflow = overflow || qdq_mul_overflow(count, s->dim[i], &count);
	}
	return zero ? 0 : overflow ? INT64_MAX : count;
}

bool qdq_shape_known(const qdq_shape *s)
{
	if (s == NULL)
		return false;
	for (int32_t i = 0; i < s->rank; i++)
		if (s->dim[i] < 0)
			return false;
	return true;
}

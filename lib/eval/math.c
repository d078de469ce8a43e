/* SPDX-License-Identifier: Apache-2.0
 *
 * math.c -- operators that work element by element on one input: unary functions, Clip, Cast
 *
 * Functions that IEEE 754 rounds exactly run in the element's own type; the others run in double and are rounded once,
 * which is closer to their mathematical value than any float library.
 */
#include <math.h>

#include "kernel.h"

static double sigmoid(double v)
{
	return v >= 0 ? 1 / (1 + exp(-v)) : exp(v) / (1 + exp(v));
}

#define hard_sigmoid(v) ((v) < 0 ? 0 : (v) > 1 ? 1 : (v))

typedef void unary_fn(const qdq_chunk *x, qdq_chunk *y, size_t n, const double *p);

/* A body for float and one for double; v is the element, a and b the operator's parameters. */
#define REAL(name, T, expression)                                                           \
	static void name##_f32(const qdq_chunk *x, qdq_chunk *y, size_t n, const double *p) \
	{                                                                                   \
		T a = (T)(float)p[0], b = (T)(float)p[1];                                   \
		(void)a, (void)b;                                                           \
		for (size_t k = 0; k < n; k++) {                                            \
			T v = x->f[k];                                                      \
			y->f[k] = (float)(expression);                                      \
		}                                                                           \
	}                                                                                   \
	static void name##_f64(const qdq_chunk *x, qdq_chunk *y, size_t n, const double *p) \
	{                                                                                   \
		double a = p[0], b = p[1];                                                  \
		(void)a, (void)b;                                                           \
		for (size_t k = 0; k < n; k++) {                                            \
			double v = x->d[k];                                                 \
			y->d[k] = (double)(expression);                                     \
		}                                                                           \
	}
#define OWN(name, expression) REAL(name, float, expression)   /* in the element's type */
#define WIDE(name, expression) REAL(name, double, expression) /* in double */

/* Integer bodies: v is the element as int64, u its bits. */
#define INTEGER(name, expression)                                                           \
	static void name##_int(const qdq_chunk *x, qdq_chunk *y, size_t n, const double *p) \
	{                                                                                   \
		(void)p;                                                                    \
		for (size_t k = 0; k < n; k++) {                                            \
			int64_t v = x->i[k];                                                \
			uint64_t u = (uint64_t)v;                                           \
			(void)v, (void)u;                                                   \
			y->i[k] = (int64_t)(expression);                                    \
		}                                                                           \
	}
/* To bool: reads floats, writes integers. */
#define TEST(name, expression)                                                              \
	static void name##_f32(const qdq_chunk *x, qdq_chunk *y, size_t n, const double *p) \
	{                                                                                   \
		bool a = p[0] != 0, b = p[1] != 0;                                          \
		(void)a, (void)b;                                                           \
		for (size_t k = 0; k < n; k++) {                                            \
			double v = x->f[k];                                                 \
			y->i[k] = (expression);                                             \
		}                                                                           \
	}                                                                                   \
	static void name##_f64(const qdq_chunk *x, qdq_chunk *y, size_t n, const double *p) \
	{                                                                                   \
		bool a = p[0] != 0, b = p[1] != 0;                                          \
		(void)a, (void)b;                                                           \
		for (size_t k = 0; k < n; k++) {                                            \
			double v = x->d[k];                                                 \
			y->i[k] = (expression);                                             \
		}                                                                           \
	}

/* clang-format off */
OWN(abs, fabs(v))
OWN(neg, -v)
OWN(floor, floor(v))
OWN(ceil, ceil(v))
OWN(round, qdq_round_half_even(v))
OWN(sign, v > 0 ? 1 : v < 0 ? -1 : v)
OWN(reciprocal, 1 / v)
OWN(relu, v < 0 ? 0 : v)
OWN(leaky_relu, v >= 0 ? v : a * v)
OWN(thresholded_relu, v > a ? v : 0)
OWN(hard_sigmoid, hard_sigmoid(a * v + b))
OWN(shrink, v < -b ? v + a : v > b ? v - a : 0)
WIDE(sqrt, sqrt(v)) /* of a float, rounding the double root again changes nothing */
WIDE(exp, exp(v))
WIDE(log, log(v))
WIDE(sin, sin(v))
WIDE(cos, cos(v))
WIDE(tan, tan(v))
WIDE(asin, asin(v))
WIDE(acos, acos(v))
WIDE(atan, atan(v))
WIDE(sinh, sinh(v))
WIDE(cosh, cosh(v))
WIDE(tanh, tanh(v))
WIDE(asinh, asinh(v))
WIDE(acosh, acosh(v))
WIDE(atanh, atanh(v))
WIDE(erf, erf(v))
WIDE(sigmoid, sigmoid(v))
WIDE(softplus, v > 0 ? v + log1p(exp(-v)) : log1p(exp(v)))
WIDE(softsign, v / (1 + fabs(v)))
WIDE(elu, v >= 0 ? v : a * expm1(v))
WIDE(celu, v >= 0 ? v : a * expm1(v / a))
WIDE(selu, v > 0 ? b * v : b * (a * expm1(v)))
WIDE(mish, v * tanh(v > 0 ? v + log1p(exp(-v)) : log1p(exp(v))))
WIDE(swish, v * sigmoid(a * v))
WIDE(hard_swish, v * hard_sigmoid(v / 6 + 0.5))
WIDE(gelu, 0.5 * v * (1 + erf(v * 0.70710678118654752440)))
WIDE(gelu_tanh, 0.5 * v * (1 + tanh(0.79788456080286535588 * (v + 0.044715 * v * v * v))))
INTEGER(abs, v < 0 ? 0 - u : u)
INTEGER(neg, 0 - u)
INTEGER(sign, (v > 0) - (v < 0))
INTEGER(relu, v > 0 ? v : 0)
INTEGER(not, v == 0)
INTEGER(bitwise_not, ~u)
INTEGER(same, u)
INTEGER(sign_unsigned, u != 0)
TEST(is_nan, isnan(v))
TEST(is_inf, isinf(v) && (v > 0 ? b : a))
/* clang-format on */

typedef struct unary_row {
	unary_fn *f32, *f64, *integer;
	const char *a_name, *b_name; /* parameters and their defaults */
	double a, b;
	bool test; /* the result is bool */
} unary_row;

#define BOTH(name) .f32 = name##_f32, .f64 = name##_f64
static const unary_row rows[QDQ_OP_COUNT] = {
    [QDQ_OP_Abs] = {BOTH(abs), .integer = abs_int},
    [QDQ_OP_Acos] = {BOTH(acos)},
    [QDQ_OP_Acosh] = {BOTH(acosh)},
    [QDQ_OP_Asin] = {BOTH(asin)},
    [QDQ_OP_Asinh] = {BOTH(asinh)},
    [QDQ_OP_Atan] = {BOTH(atan)},
    [QDQ_OP_Atanh] = {BOTH(atanh)},
    [QDQ_OP_BitwiseNot] = {.integer = bitwise_not_int},
    [QDQ_OP_Ceil] = {BOTH(ceil)},
    [QDQ_OP_Celu] = {BOTH(celu), .a_name = "alpha", .a = 1},
    [QDQ_OP_Cos] = {BOTH(cos)},
    [QDQ_OP_Cosh] = {BOTH(cosh)},
    [QDQ_OP_Elu] = {BOTH(elu), .a_name = "alpha", .a = 1},
    [QDQ_OP_Erf] = {BOTH(erf)},
    [QDQ_OP_Exp] = {BOTH(exp)},
    [QDQ_OP_Floor] = {BOTH(floor)},
    [QDQ_OP_Gelu] = {BOTH(gelu)},
    [QDQ_OP_HardSigmoid] = {BOTH(hard_sigmoid), .a_name = "alpha", .b_name = "beta", .a = 0.20000000298023224,
			    .b = 0.5},
    [QDQ_OP_HardSwish] = {BOTH(hard_swish)},
    [QDQ_OP_IsInf] = {BOTH(is_inf), .a_name = "detect_negative", .b_name = "detect_positive", .a = 1, .b = 1,
		      .test = true},
    [QDQ_OP_IsNaN] = {BOTH(is_nan), .test = true},
    [QDQ_OP_LeakyRelu] = {BOTH(leaky_relu), .a_name = "alpha", .a = 0.009999999776482582},
    [QDQ_OP_Log] = {BOTH(log)},
    [QDQ_OP_Mish] = {BOTH(mish)},
    [QDQ_OP_Neg] = {BOTH(neg), .integer = neg_int},
    [QDQ_OP_Not] = {.integer = not_int},
    [QDQ_OP_Reciprocal] = {BOTH(reciprocal)},
    [QDQ_OP_Relu] = {BOTH(relu), .integer = relu_int},
    [QDQ_OP_Round] = {BOTH(round)},
    [QDQ_OP_Selu] = {BOTH(selu), .a_name = "alpha", .b_name = "gamma", .a = 1.6732631921768188,
		     .b = 1.0507010221481323},
    [QDQ_OP_Shrink] = {BOTH(shrink), .a_name = "bias", .b_name = "lambd", .a = 0, .b = 0.5},
    [QDQ_OP_Sigmoid] = {BOTH(sigmoid)},
    [QDQ_OP_Sign] = {BOTH(sign), .integer = sign_int},
    [QDQ_OP_Sin] = {BOTH(sin)},
    [QDQ_OP_Sinh] = {BOTH(sinh)},
    [QDQ_OP_Softplus] = {BOTH(softplus)},
    [QDQ_OP_Softsign] = {BOTH(softsign)},
    [QDQ_OP_Sqrt] = {BOTH(sqrt)},
    [QDQ_OP_Swish] = {BOTH(swish), .a_name = "alpha", .a = 1},
    [QDQ_OP_Tan] = {BOTH(tan)},
    [QDQ_OP_Tanh] = {BOTH(tanh)},
    [QDQ_OP_ThresholdedRelu] = {BOTH(thresholded_relu), .a_name = "alpha", .a = 1},
    [QDQ_OP_ms_Gelu] = {BOTH(gelu)},
    [QDQ_OP_ms_QuickGelu] = {BOTH(swish), .a_name = "alpha", .a = 1.7020000219345093},
};

/* The body for this node and type, and its parameters. */
static unary_fn *unary_choose(const qdq_eval *e, qdq_type type, double *p)
{
	const unary_row *row = &rows[e->op];
	bool is_unsigned = !qdq_type_get(type)->is_signed;

	p[0] = row->a;
	p[1] = row->b;
	if (row->test && row->a_name != NULL) {
		p[0] = (double)qdq_attr_int(e->n, row->a_name, 1);
		p[1] = (double)qdq_attr_int(e->n, row->b_name, 1);
	} else {
		if (e->op == QDQ_OP_Selu && e->version < 6) {
			p[0] = 1.673200011253357;
			p[1] = 1.0506999492645264;
		}
		if (row->a_name != NULL)
			p[0] = (double)qdq_attr_float(e->n, row->a_name, (float)p[0]);
		if (row->b_name != NULL)
			p[1] = (double)qdq_attr_float(e->n, row->b_name, (float)p[1]);
	}
	switch (qdq_wide_of(type)) {
	case QDQ_WIDE_F32:
		if (e->op == QDQ_OP_Gelu && qdq_attr_string_is(e->n, "approximate", "none", "tanh"))
			return gelu_tanh_f32;
		return row->f32;
	case QDQ_WIDE_F64:
		if (e->op == QDQ_OP_Gelu && qdq_attr_string_is(e->n, "approximate", "none", "tanh"))
			return gelu_tanh_f64;
		return row->f64;
	case QDQ_WIDE_INT:
		if (is_unsigned && (e->op == QDQ_OP_Abs || e->op == QDQ_OP_Relu))
			return same_int;
		if (is_unsigned && e->op == QDQ_OP_Sign)
			return sign_unsigned_int;
		return row->integer;
	default:
		return NULL;
	}
}

bool qdq_eval_unary(qdq_eval *e)
{
	const qdq_tensor *x = qdq_eval_in(e, 0);
	double p[2];

	if (x == NULL)
		return false;
	unary_fn *body = unary_choose(e, x->type, p);
	if (body == NULL)
		return false;
	qdq_type type = rows[e->op].test ? QDQ_TYPE_BOOL : x->type;
	void *y = qdq_eval_output(e, 0, type, x->rank, x->dims);
	if (y == NULL)
		return false;
	qdq_chunk in, out;
	for (uint64_t i = 0; i < x->count; i += QDQ_CHUNK) {
		size_t n = qdq_min_size(QDQ_CHUNK, (size_t)(x->count - i));
		qdq_load(&in, x->type, x->data, (int64_t)i, 1, n);
		body(&in, &out, n, p);
		qdq_store(&out, type, y, (int64_t)i, 1, n);
	}
	return true;
}

/* ---- Clip ---- */

static void clip_chunk(qdq_chunk *c, qdq_type type, const qdq_chunk *low, const qdq_chunk *high, size_t n)
{
	switch (qdq_wide_of(type)) {
	case QDQ_WIDE_F32:
		for (size_t k = 0; k < n; k++) {
			float v = c->f[k] < low->f[0] ? low->f[0] : c->f[k];
			c->f[k] = v > high->f[0] ? high->f[0] : v;
		}
		break;
	case QDQ_WIDE_F64:
		for (size_t k = 0; k < n; k++) {
			double v = c->d[k] < low->d[0] ? low->d[0] : c->d[k];
			c->d[k] = v > high->d[0] ? high->d[0] : v;
		}
		break;
	default:
		for (size_t k = 0; k < n; k++) {
			/* flipping the sign bit orders unsigned numbers as signed ones */
			int64_t flip = type == QDQ_TYPE_UINT64 ? INT64_MIN : 0;
			int64_t v = (c->i[k] ^ flip) < (low->i[0] ^ flip) ? low->i[0] : c->i[k];
			c->i[k] = (v ^ flip) > (high->i[0] ^ flip) ? high->i[0] : v;
		}
		break;
	}
}

/* The bound from its input, its attribute, or none at all. */
static bool clip_bound(qdq_eval *e, uint32_t index, const char *attr, qdq_type type, bool upper, qdq_chunk *out)
{
	const qdq_tensor *t = qdq_eval_in(e, index);

	if (t != NULL) {
		if (t->count != 1 || t->type != type)
			return false;
		qdq_load(out, type, t->data, 0, 1, 1);
		return true;
	}
	float absent = upper ? INFINITY : -INFINITY;
	if (qdq_wide_of(type) != QDQ_WIDE_INT) {
		out->f[0] = e->version < 11 ? qdq_attr_float(e->n, attr, absent) : absent;
		qdq_convert(out, QDQ_TYPE_FLOAT, type, 1);
	} else if (type == QDQ_TYPE_UINT64) {
		out->i[0] = upper ? -1 : 0;
	} else {
		out->i[0] = upper ? INT64_MAX : INT64_MIN;
	}
	return true;
}

bool qdq_eval_clip(qdq_eval *e)
{
	const qdq_tensor *x = qdq_eval_in(e, 0);
	qdq_chunk low, high, chunk;

	if (x == NULL || qdq_wide_of(x->type) == QDQ_WIDE_NONE)
		return false;
	if (!clip_bound(e, 1, "min", x->type, false, &low) || !clip_bound(e, 2, "max", x->type, true, &high))
		return false;
	void *y = qdq_eval_output(e, 0, x->type, x->rank, x->dims);
	if (y == NULL)
		return false;
	for (uint64_t i = 0; i < x->count; i += QDQ_CHUNK) {
		size_t n = qdq_min_size(QDQ_CHUNK, (size_t)(x->count - i));
		qdq_load(&chunk, x->type, x->data, (int64_t)i, 1, n);
		clip_chunk(&chunk, x->type, &low, &high, n);
		qdq_store(&chunk, x->type, y, (int64_t)i, 1, n);
	}
	return true;
}

/* ---- Cast ---- */

static bool is_float8(qdq_type type)
{
	return qdq_type_get(type)->is_float && qdq_type_get(type)->bits <= 8;
}

/* To e8m0 the attribute round_mode chooses the power of two; the magnitude counts. */
static uint8_t cast_e8m0(float f, bool saturate, bool nearest, bool down)
{
	uint8_t up = qdq_f32_to_f8(QDQ_TYPE_FLOAT8E8M0, f, saturate);

	if (!saturate && f == 0)
		return 0xff;
	if (up == 0 || up == 0xff || !(nearest || down))
		return up;
	double above = qdq_f8_to_f32(QDQ_TYPE_FLOAT8E8M0, up), magnitude = fabs((double)f);
	if (magnitude >= above)
		return up;
	return down || magnitude < 0.75 * above ? (uint8_t)(up - 1) : up; /* halfway goes up */
}

static void store_float8(const qdq_eval *e, const qdq_chunk *c, qdq_type type, uint8_t *to, size_t n, bool saturate)
{
	bool nearest = qdq_attr_string_is(e->n, "round_mode", "up", "nearest");
	bool down = qdq_attr_string_is(e->n, "round_mode", "up", "down");

	for (size_t k = 0; k < n; k++)
		to[k] = type == QDQ_TYPE_FLOAT8E8M0 ? cast_e8m0(c->f[k], saturate, nearest, down)
						    : qdq_f32_to_f8(type, c->f[k], saturate);
}

bool qdq_eval_cast(qdq_eval *e)
{
	const qdq_tensor *x = qdq_eval_in(e, 0), *like = qdq_eval_in(e, 1);
	bool saturate = qdq_attr_int(e->n, "saturate", 1) != 0;
	qdq_type to;

	if (e->op == QDQ_OP_CastLike) {
		if (like == NULL)
			return false;
		to = like->type;
	} else if (e->version < 6) {
		qdq_bytes name = qdq_attr_string(e->n, "to", "");
		to = qdq_type_find(name.data, name.size);
	} else {
		int64_t number = qdq_attr_int(e->n, "to", 0);
		to = number > 0 && number <= QDQ_TYPE_INT2 ? (qdq_type)number : QDQ_TYPE_NONE;
	}
	if (x == NULL || to == QDQ_TYPE_NONE)
		return false;
	if (x->type == to)
		return qdq_eval_share(e, 0, x, x->rank, x->dims);
	if (qdq_wide_of(x->type) == QDQ_WIDE_NONE || qdq_wide_of(to) == QDQ_WIDE_NONE)
		return false;
	void *y = qdq_eval_output(e, 0, to, x->rank, x->dims);
	if (y == NULL)
		return false;
	bool to_float8 = is_float8(to) && qdq_type_get(to)->bits == 8;
	qdq_chunk chunk;
	for (uint64_t i = 0; i < x->count; i += QDQ_CHUNK) {
		size_t n = qdq_min_size(QDQ_CHUNK, (size_t)(x->count - i));
		qdq_load(&chunk, x->type, x->data, (int64_t)i, 1, n);
		qdq_convert(&chunk, x->type, to, n);
		if (to_float8)
			store_float8(e, &chunk, to, (uint8_t *)y + i, n, saturate);
		else
			qdq_store(&chunk, to, y, (int64_t)i, 1, n);
	}
	return true;
}

/* SPDX-License-Identifier: Apache-2.0
 *
 * arith.c -- operators of several inputs that are broadcast against each other: arithmetic, logic, comparison, Where
 *
 * An operator of any number of inputs (Sum, Max …) is applied from the left, two at a time, each step rounded to the
 * element's type.
 */
#include <math.h>

#include "kernel.h"

typedef void binary_fn(const qdq_chunk *a, const qdq_chunk *b, qdq_chunk *y, size_t n);

#define BODY(name, T, in, out, expression)                                               \
	static void name(const qdq_chunk *x, const qdq_chunk *z, qdq_chunk *y, size_t n) \
	{                                                                                \
		for (size_t k = 0; k < n; k++) {                                         \
			T a = (T)x->in[k], b = (T)z->in[k];                              \
			(void)b;                                                         \
			y->out[k] = (expression);                                        \
		}                                                                        \
	}
#define REAL(name, expression)                    \
	BODY(name##_f32, float, f, f, expression) \
	BODY(name##_f64, double, d, d, expression)
#define SIGNED(name, expression) BODY(name##_i64, int64_t, i, i, (int64_t)(expression))
#define UNSIGNED(name, expression) BODY(name##_u64, uint64_t, i, i, (int64_t)(expression))
#define COMPARE(name, operation)                      \
	BODY(name##_f32, float, f, i, a operation b)  \
	BODY(name##_f64, double, d, i, a operation b) \
	SIGNED(name, a operation b)                   \
	UNSIGNED(name, a operation b)

static int64_t power(int64_t base, int64_t exponent)
{
	uint64_t result = 1, factor = (uint64_t)base;

	if (exponent < 0) /* the reciprocal, towards zero */
		return base == 1 ? 1 : base == -1 ? (exponent % 2 != 0 ? -1 : 1) : 0;
	for (; exponent != 0; exponent >>= 1, factor *= factor)
		if (exponent & 1)
			result *= factor;
	return (int64_t)result;
}

/* The quotient towards zero, and the remainder with the sign of the divisor; b is not 0. */
static int64_t quotient(int64_t a, int64_t b)
{
	return b == -1 ? (int64_t)(0 - (uint64_t)a) : a / b;
}

static int64_t floor_remainder(int64_t a, int64_t b)
{
	int64_t rest = b == -1 ? 0 : a % b;

	return rest != 0 && (rest < 0) != (b < 0) ? rest + b : rest;
}

/* Rounded to the operands' type by the caller; a zero has the sign of the divisor. */
static double floor_fmod(double a, double b)
{
	double rest = fmod(a, b);

	if (rest == 0)
		return copysign(0, b);
	return (rest < 0) != (b < 0) ? rest + b : rest;
}

/* clang-format off */
REAL(add, a + b)
REAL(sub, a - b)
REAL(mul, a * b)
REAL(div, a / b)
REAL(max, a < b || isnan(b) ? b : a)
REAL(min, a > b || isnan(b) ? b : a)
REAL(prelu, a < 0 ? a * b : a)
BODY(pow_f32, double, f, f, (float)pow(a, b))
BODY(pow_f64, double, d, d, pow(a, b))
BODY(fmod_f32, double, f, f, (float)fmod(a, b))
BODY(fmod_f64, double, d, d, fmod(a, b))
UNSIGNED(add, a + b)
UNSIGNED(sub, a - b)
UNSIGNED(mul, a * b)
SIGNED(div, quotient(a, b))
UNSIGNED(div, a / b)
SIGNED(mod, floor_remainder(a, b))
UNSIGNED(mod, a % b)
SIGNED(fmod, b == -1 ? 0 : a % b)
SIGNED(max, a < b ? b : a)
UNSIGNED(max, a < b ? b : a)
SIGNED(min, a > b ? b : a)
UNSIGNED(min, a > b ? b : a)
SIGNED(prelu, a < 0 ? (int64_t)((uint64_t)a * (uint64_t)b) : a)
UNSIGNED(prelu, a)
SIGNED(pow, power(a, b))
SIGNED(and, a & b)
SIGNED(or, a | b)
SIGNED(xor, a ^ b)
SIGNED(logical_and, a != 0 && b != 0)
SIGNED(logical_or, a != 0 || b != 0)
SIGNED(logical_xor, (a != 0) != (b != 0))
UNSIGNED(shift_left, b < 64 ? a << b : 0) /* a negative shift is a very great one */
SIGNED(shift_right, b >= 0 && b < 64 ? (a < 0 ? ~(~a >> b) : a >> b) : a < 0 ? -1 : 0)
BODY(mod_f32, float, f, f, (float)floor_fmod(a, b))
BODY(mod_f64, double, d, d, floor_fmod(a, b))
UNSIGNED(shift_right, b < 64 ? a >> b : 0)
COMPARE(equal, ==)
COMPARE(greater, >)
COMPARE(greater_or_equal, >=)
COMPARE(less, <)
COMPARE(less_or_equal, <=)
/* clang-format on */

typedef struct binary_row {
	binary_fn *f32, *f64, *i64, *u64; /* NULL: not for these types */
} binary_row;

#define REALS(name) .f32 = name##_f32, .f64 = name##_f64
#define INTS(name) .i64 = name##_i64, .u64 = name##_u64
static const binary_row rows[QDQ_OP_COUNT] = {
    [QDQ_OP_Add] = {REALS(add), .i64 = add_u64, .u64 = add_u64},
    [QDQ_OP_And] = {.i64 = logical_and_i64, .u64 = logical_and_i64},
    [QDQ_OP_BitShift] = {.i64 = shift_left_u64, .u64 = shift_left_u64},
    [QDQ_OP_BitwiseAnd] = {.i64 = and_i64, .u64 = and_i64},
    [QDQ_OP_BitwiseOr] = {.i64 = or_i64, .u64 = or_i64},
    [QDQ_OP_BitwiseXor] = {.i64 = xor_i64, .u64 = xor_i64},
    [QDQ_OP_Div] = {REALS(div), INTS(div)},
    [QDQ_OP_Equal] = {REALS(equal), INTS(equal)},
    [QDQ_OP_Greater] = {REALS(greater), INTS(greater)},
    [QDQ_OP_GreaterOrEqual] = {REALS(greater_or_equal), INTS(greater_or_equal)},
    [QDQ_OP_Less] = {REALS(less), INTS(less)},
    [QDQ_OP_LessOrEqual] = {REALS(less_or_equal), INTS(less_or_equal)},
    [QDQ_OP_Max] = {REALS(max), INTS(max)},
    [QDQ_OP_Mean] = {REALS(add)},
    [QDQ_OP_Min] = {REALS(min), INTS(min)},
    [QDQ_OP_Mod] = {REALS(mod), INTS(mod)},
    [QDQ_OP_Mul] = {REALS(mul), .i64 = mul_u64, .u64 = mul_u64},
    [QDQ_OP_Or] = {.i64 = logical_or_i64, .u64 = logical_or_i64},
    [QDQ_OP_PRelu] = {REALS(prelu), INTS(prelu)},
    [QDQ_OP_Pow] = {REALS(pow), .i64 = pow_i64, .u64 = pow_i64},
    [QDQ_OP_Sub] = {REALS(sub), .i64 = sub_u64, .u64 = sub_u64},
    [QDQ_OP_Sum] = {REALS(add), .i64 = add_u64, .u64 = add_u64},
    [QDQ_OP_Xor] = {.i64 = logical_xor_i64, .u64 = logical_xor_i64},
};

static const binary_row fmod_row = {REALS(fmod), .i64 = fmod_i64, .u64 = mod_u64};

static const binary_row shift_right_row = {INTS(shift_right)};

static const binary_row *choose_row(const qdq_eval *e)
{
	if (e->op == QDQ_OP_Mod && qdq_attr_int(e->n, "fmod", 0) != 0)
		return &fmod_row;
	if (e->op == QDQ_OP_BitShift && qdq_attr_string_is(e->n, "direction", "", "RIGHT"))
		return &shift_right_row;
	return &rows[e->op];
}

static binary_fn *choose(const qdq_eval *e, qdq_type type)
{
	const binary_row *row = choose_row(e);

	switch (qdq_wide_of(type)) {
	case QDQ_WIDE_F32:
		return row->f32;
	case QDQ_WIDE_F64:
		return row->f64;
	case QDQ_WIDE_INT:
		return type == QDQ_TYPE_BOOL || qdq_type_get(type)->is_signed ? row->i64 : row->u64;
	default:
		return NULL;
	}
}

static bool has_zero(const qdq_tensor *t)
{
	qdq_chunk chunk;

	for (uint64_t i = 0; i < t->count; i += QDQ_CHUNK) {
		size_t n = qdq_min_size(QDQ_CHUNK, (size_t)(t->count - i));
		qdq_load(&chunk, t->type, t->data, (int64_t)i, 1, n);
		for (size_t k = 0; k < n; k++)
			if (chunk.i[k] == 0)
				return true;
	}
	return false;
}

/* y = body(a, b), broadcast; type is that in which they meet. */
static void apply(binary_fn *body, const qdq_tensor *a, const qdq_tensor *b, qdq_type type, qdq_type to, void *y,
		  int rank, const int64_t *dims)
{
	int64_t strides[QDQ_EVAL_RANK];
	qdq_chunk x, z, out;
	qdq_walk w;

	qdq_walk_init(&w, rank, dims);
	qdq_strides(rank, dims, strides);
	qdq_walk_add(&w, 0, strides);
	qdq_broadcast_strides(a, rank, dims, strides);
	qdq_walk_add(&w, 0, strides);
	qdq_broadcast_strides(b, rank, dims, strides);
	qdq_walk_add(&w, 0, strides);
	for (qdq_walk_start(&w); !w.done; qdq_walk_next(&w)) {
		for (int64_t i = 0; i < w.run; i += QDQ_CHUNK) {
			size_t n = qdq_min_size(QDQ_CHUNK, (size_t)(w.run - i));
			qdq_load(&x, a->type, a->data, w.at[1] + i * w.step[1], w.step[1], n);
			qdq_load(&z, b->type, b->data, w.at[2] + i * w.step[2], w.step[2], n);
			qdq_convert(&x, a->type, type, n);
			qdq_convert(&z, b->type, type, n);
			body(&x, &z, &out, n);
			if (to != QDQ_TYPE_BOOL)
				qdq_convert(&out, type, to, n);
			qdq_store(&out, to, y, w.at[0] + i * w.step[0], w.step[0], n);
		}
	}
}

/* Up to opset 6 the second operand is placed at an axis and broadcast only on request. */
static bool old_broadcast(qdq_eval *e, const qdq_tensor *a, const qdq_tensor **b, qdq_tensor *placed, int64_t *dims)
{
	const qdq_tensor *t = *b;
	int axis = a->rank - t->rank;

	if (qdq_attr_int(e->n, "broadcast", 0) == 0)
		return true;
	if (axis < 0 ||
	    (qdq_attr_find(e->n, "axis") != NULL && !qdq_eval_axis(qdq_attr_int(e->n, "axis", 0), a->rank + 1, &axis)))
		return false;
	if (axis + t->rank > a->rank)
		return false;
	for (int i = 0; i < a->rank; i++)
		dims[i] = i >= axis && i < axis + t->rank ? t->dims[i - axis] : 1;
	*placed = *t;
	placed->rank = a->rank;
	placed->dims = dims;
	*b = placed;
	return true;
}

/* One step of an operator, into a temporary or, at the last, into the output. */
static bool step(qdq_eval *e, const qdq_tensor *a, const qdq_tensor *b, qdq_type to, bool last, qdq_tensor *result)
{
	int64_t *dims = qdq_eval_temp(e, QDQ_EVAL_RANK, sizeof *dims), placed_dims[QDQ_EVAL_RANK];
	int rank = a->rank;
	qdq_type type = a->type;
	qdq_tensor placed;

	if (a->type != b->type) {
		if (e->op != QDQ_OP_Pow)
			return false;
		if (qdq_type_get(b->type)->is_float && !qdq_type_get(a->type)->is_float)
			type = QDQ_TYPE_DOUBLE;
	}
	binary_fn *body = choose(e, type);
	bool divides = e->op == QDQ_OP_Div || e->op == QDQ_OP_Mod;
	if (body == NULL || (divides && qdq_wide_of(type) == QDQ_WIDE_INT && has_zero(b)))
		return false;
	if (e->version < 7 && e->op != QDQ_OP_Sum && !old_broadcast(e, a, &b, &placed, placed_dims))
		return false;
	if (rank != 0)
		memcpy(dims, a->dims, (size_t)rank * sizeof *dims);
	if (!qdq_broadcast_dims(b, &rank, dims))
		return false;
	void *y = qdq_eval_output(e, last ? 0 : UINT32_MAX, to, rank, dims);
	if (y == NULL)
		return false;
	apply(body, a, b, type, to, y, rank, dims);
	*result = (qdq_tensor){.type = to, .rank = rank, .dims = dims, .data = y};
	result->count = (uint64_t)qdq_product(dims, 0, rank);
	return true;
}

static void divide_by(const qdq_tensor *t, void *data, double count)
{
	qdq_chunk chunk;

	for (uint64_t i = 0; i < t->count; i += QDQ_CHUNK) {
		size_t n = qdq_min_size(QDQ_CHUNK, (size_t)(t->count - i));
		qdq_load(&chunk, t->type, data, (int64_t)i, 1, n);
		qdq_convert(&chunk, t->type, QDQ_TYPE_DOUBLE, n);
		for (size_t k = 0; k < n; k++)
			chunk.d[k] /= count;
		qdq_convert(&chunk, QDQ_TYPE_DOUBLE, t->type, n);
		qdq_store(&chunk, t->type, data, (int64_t)i, 1, n);
	}
}

static bool operate(qdq_eval *e, bool compare)
{
	const qdq_tensor *a = qdq_eval_in(e, 0);
	qdq_tensor result;

	if (a == NULL || choose(e, a->type) == NULL)
		return false;
	if (e->n_in == 1)
		return qdq_eval_share(e, 0, a, a->rank, a->dims);
	for (uint32_t i = 1; i < e->n_in; i++) {
		if (e->in[i] == NULL)
			return false;
		if (!step(e, a, e->in[i], compare ? QDQ_TYPE_BOOL : a->type, i + 1 == e->n_in, &result))
			return false;
		a = &result;
	}
	if (e->op == QDQ_OP_Mean) {
		void *data;
		memcpy(&data, &result.data, sizeof data); /* our own output, writable */
		divide_by(&result, data, e->n_in);
	}
	return true;
}

bool qdq_eval_arith(qdq_eval *e)
{
	return operate(e, false);
}

/* Equal alone takes strings. */
static bool compare_strings(qdq_eval *e, const qdq_tensor *a, const qdq_tensor *b)
{
	int64_t dims[QDQ_EVAL_RANK], strides[QDQ_EVAL_RANK];
	int rank = a->rank;
	qdq_walk w;

	if (e->op != QDQ_OP_Equal)
		return false;
	if (rank != 0)
		memcpy(dims, a->dims, (size_t)rank * sizeof *dims);
	if (!qdq_broadcast_dims(b, &rank, dims))
		return false;
	bool *y = qdq_eval_output(e, 0, QDQ_TYPE_BOOL, rank, dims);
	if (y == NULL)
		return false;
	qdq_walk_init(&w, rank, dims);
	qdq_strides(rank, dims, strides);
	qdq_walk_add(&w, 0, strides);
	qdq_broadcast_strides(a, rank, dims, strides);
	qdq_walk_add(&w, 0, strides);
	qdq_broadcast_strides(b, rank, dims, strides);
	qdq_walk_add(&w, 0, strides);
	for (qdq_walk_start(&w); !w.done; qdq_walk_next(&w)) {
		for (int64_t i = 0; i < w.run; i++) {
			const qdq_bytes *s = &a->strings[w.at[1] + i * w.step[1]];
			const qdq_bytes *t = &b->strings[w.at[2] + i * w.step[2]];
			y[w.at[0] + i * w.step[0]] =
			    s->size == t->size && (s->size == 0 || memcmp(s->data, t->data, s->size) == 0);
		}
	}
	return true;
}

bool qdq_eval_compare(qdq_eval *e)
{
	const qdq_tensor *a = qdq_eval_in(e, 0), *b = qdq_eval_in(e, 1);

	if (a == NULL || b == NULL)
		return false;
	if (a->type == QDQ_TYPE_STRING && b->type == QDQ_TYPE_STRING)
		return compare_strings(e, a, b);
	return operate(e, true);
}

bool qdq_eval_where(qdq_eval *e)
{
	const qdq_tensor *condition = qdq_eval_in(e, 0), *x = qdq_eval_in(e, 1), *z = qdq_eval_in(e, 2);
	int64_t dims[QDQ_EVAL_RANK], strides[QDQ_EVAL_RANK];
	qdq_cells from_x, from_z, to;
	int rank = 0;
	qdq_walk w;

	if (condition == NULL || condition->type != QDQ_TYPE_BOOL || x == NULL || z == NULL || x->type != z->type)
		return false;
	if (!qdq_broadcast_dims(condition, &rank, dims) || !qdq_broadcast_dims(x, &rank, dims) ||
	    !qdq_broadcast_dims(z, &rank, dims) || !qdq_cells_out(e, 0, x->type, rank, dims, &to) ||
	    !qdq_cells_in(e, x, &from_x) || !qdq_cells_in(e, z, &from_z))
		return false;
	qdq_walk_init(&w, rank, dims);
	qdq_strides(rank, dims, strides);
	qdq_walk_add(&w, 0, strides);
	qdq_broadcast_strides(condition, rank, dims, strides);
	qdq_walk_add(&w, 0, strides);
	qdq_broadcast_strides(x, rank, dims, strides);
	qdq_walk_add(&w, 0, strides);
	qdq_broadcast_strides(z, rank, dims, strides);
	qdq_walk_add(&w, 0, strides);
	const uint8_t *chosen = condition->data;
	for (qdq_walk_start(&w); !w.done; qdq_walk_next(&w)) {
		for (int64_t i = 0; i < w.run; i++) {
			bool first = chosen[w.at[1] + i * w.step[1]] != 0;
			qdq_cell_copy(&to, w.at[0] + i * w.step[0], first ? &from_x : &from_z,
				      first ? w.at[2] + i * w.step[2] : w.at[3] + i * w.step[3], 1);
		}
	}
	return true;
}

/* SPDX-License-Identifier: Apache-2.0
 *
 * pointwise.c -- pointwise operators of a fused one become steps
 *
 * What has a constant operand is an fma per channel, a clamp or a slope; what has one operand a function of functions.h, or a
 * few steps; everything else reads two registers, and another tensor of the region becomes one by being loaded.
 */
#include "lower.h"

/* ---- steps that give what n does ---- */

static qdq_step *add_step(lowering *l, const qdq_node *n, int kind, uint32_t from)
{
	qdq_step *s = qdq_add_step(l, kind, from);

	qdq_result(l, n, s->to);
	return s;
}

static bool affine(lowering *l, const qdq_node *n, uint32_t from, const float *multiplier, const float *addend)
{
	qdq_step *s = add_step(l, n, QDQ_STEP_AFFINE, from);

	s->multiplier = multiplier;
	s->addend = addend;
	return true;
}

static bool function(lowering *l, const qdq_node *n, uint32_t from, qdq_function_id f)
{
	add_step(l, n, QDQ_STEP_FUNCTION, from)->function = f;
	return true;
}

static bool clamp(lowering *l, const qdq_node *n, uint32_t from, float low, float high)
{
	qdq_step *s = add_step(l, n, QDQ_STEP_CLAMP, from);

	s->low = low;
	s->high = high;
	return true;
}

static bool leaky(lowering *l, const qdq_node *n, uint32_t from, const float *slopes)
{
	add_step(l, n, QDQ_STEP_LEAKY, from)->multiplier = slopes;
	return true;
}

static bool binary(lowering *l, const qdq_node *n, qdq_binary op, uint32_t a, uint32_t b)
{
	qdq_step *s = add_step(l, n, QDQ_STEP_BINARY, a);

	s->second = b;
	s->binary = op;
	return true;
}

/* ---- clamps ---- */

static bool bound(const lowering *l, const qdq_node *n, uint32_t i, const char *attr, double absent, float *out)
{
	double value = absent;

	if (l->m->opset < 11)
		value = (double)qdq_attr_float(n, attr, (float)absent);
	else if (qdq_in(n, i) != NULL &&
		 (qdq_constant(l, qdq_in(n, i)) == NULL || !qdq_tensor_real(qdq_constant(l, qdq_in(n, i)), 0, &value)))
		return false;
	*out = (float)value;
	return true;
}

static bool lower_clamp(lowering *l, const qdq_node *n)
{
	float low = 0, high = INFINITY;
	uint32_t from;

	if (n->outputs[0]->type != QDQ_TYPE_FLOAT || !qdq_register_of(l, qdq_in(n, 0), &from))
		return false;
	if (qdq_is(n, QDQ_OP_Clip) &&
	    (!bound(l, n, 1, "min", -INFINITY, &low) || !bound(l, n, 2, "max", INFINITY, &high)))
		return false;
	return clamp(l, n, from, low, high);
}

/* ---- operands ---- */

/* Does a constant that is broadcast into y differ along the axis of the channels only? */
static bool along_channels(const lowering *l, const qdq_tensor *t, const qdq_value *y)
{
	int32_t axis = l->k.last_axis ? y->shape->rank - 1 : 1;

	for (int32_t i = 0; t->count != 1 && i < t->rank; i++)
		if (t->dims[i] != 1 && y->shape->rank - t->rank + i != axis)
			return false;
	return true;
}

/* A constant that is one number, or one for each channel, as k floats; NULL: it is neither. */
static float *per_channel(const lowering *l, const qdq_value *v)
{
	const qdq_tensor *t = qdq_constant(l, v);
	uint64_t k = (uint64_t)l->k.channels;
	float *out;

	if (t == NULL || t->type != QDQ_TYPE_FLOAT || (t->count != 1 && t->count != k))
		return NULL;
	out = qdq_array(l->p->arena, float, k);
	for (uint64_t c = 0; c < k; c++) {
		double value = 0;

		(void)qdq_tensor_real(t, t->count == 1 ? 0 : c, &value);
		out[c] = (float)value;
	}
	return out;
}

static float *filled(const lowering *l, float value)
{
	float *out = qdq_array(l->p->arena, float, (uint64_t)l->k.channels);

	for (int64_t c = 0; c < l->k.channels; c++)
		out[c] = value;
	return out;
}

static bool same_shape(const qdq_value *a, const qdq_value *b)
{
	return a->shape != NULL && qdq_shape_equal(a->shape, b->shape);
}

/* x * y of codes: the product of differences is exact. */
static bool multiply_sources(lowering *l, const qdq_node *n, const known *a, const known *b)
{
	if (l->anchored || a->quant.scale == NULL || b->quant.scale == NULL || !qdq_one_scale(&a->quant) ||
	    !qdq_one_scale(&b->quant) || !same_shape(a->outer, n->outputs[0]) || !same_shape(b->outer, n->outputs[0]) ||
	    !qdq_is_full(l, a->outer) || !qdq_is_full(l, b->outer))
		return false;
	l->anchored = true;
	l->k.anchor = QDQ_ANCHOR_MUL;
	l->main = *a;
	l->second = *b;
	qdq_result(l, n, qdq_new_register(l));
	return true;
}

static bool add_other(lowering *l, const qdq_node *n, const qdq_value *v, const known *other)
{
	uint32_t from;
	known o = *other;
	qdq_step *s;

	if (o.kind != KNOWN_SOURCE || !qdq_one_scale(&o.quant) || !same_shape(o.outer, n->outputs[0]) ||
	    !qdq_is_full(l, o.outer) || !same_shape(v, n->outputs[0]) ||
	    (o.quant.scale == NULL && o.outer->type != QDQ_TYPE_FLOAT) || !qdq_register_of(l, v, &from))
		return false;
	s = qdq_add_step(l, QDQ_STEP_ADD, from);
	*qdq_push(l->scratch, &l->others) = (other_operand){(uint32_t)l->steps.count - 1, o};
	qdq_result(l, n, s->to);
	return true;
}

/* ---- two operands, one of which is a constant ---- */

static float *mapped(const lowering *l, const float *numbers, float (*f)(float x))
{
	float *out = qdq_array(l->p->arena, float, (uint64_t)l->k.channels);

	for (int64_t c = 0; c < l->k.channels; c++)
		out[c] = f(numbers[c]);
	return out;
}

static float negative(float x)
{
	return -x;
}

static float inverse(float x)
{
	return 1 / x;
}

/* The register of what was computed last. */
static uint32_t last(const lowering *l)
{
	return l->steps.items[l->steps.count - 1].to;
}

/* v ^ 2, v ^ 3, the square root */
static bool power(lowering *l, const qdq_node *n, uint32_t v, const float *numbers)
{
	float exponent = numbers[0];

	for (int64_t c = 1; c < l->k.channels; c++)
		if (!(numbers[c] == exponent))
			return false;
	if (exponent == 0.5F)
		return function(l, n, v, QDQ_FUNCTION_SQRT);
	if (exponent == 2)
		return binary(l, n, QDQ_BINARY_MUL, v, v);
	return exponent == 3 && binary(l, n, QDQ_BINARY_MUL, v, v) && binary(l, n, QDQ_BINARY_MUL, last(l), v);
}

/* The constant is the right operand, or the left one. */
static bool with_numbers(lowering *l, const qdq_node *n, uint32_t v, const float *numbers, bool left)
{
	switch (n->op->id) {
	case QDQ_OP_Add:
	case QDQ_OP_Sum:
		return affine(l, n, v, filled(l, 1), numbers);
	case QDQ_OP_Sub:
		return left ? affine(l, n, v, filled(l, -1), numbers)
			    : affine(l, n, v, filled(l, 1), mapped(l, numbers, negative));
	case QDQ_OP_Mul:
		return affine(l, n, v, numbers, filled(l, 0));
	case QDQ_OP_Div:
		return left ? function(l, n, v, QDQ_FUNCTION_RECIPROCAL) && affine(l, n, last(l), numbers, filled(l, 0))
			    : affine(l, n, v, mapped(l, numbers, inverse), filled(l, 0));
	case QDQ_OP_PRelu:
		return !left && leaky(l, n, v, numbers);
	case QDQ_OP_Pow:
		return !left && power(l, n, v, numbers);
	case QDQ_OP_Max:
	case QDQ_OP_Min:
		for (int64_t c = 0; c < l->k.channels; c++)
			if (!(numbers[c] == numbers[0])) /* nor is NaN a bound */
				return false;
		return qdq_is(n, QDQ_OP_Max) ? clamp(l, n, v, numbers[0], INFINITY)
					     : clamp(l, n, v, -INFINITY, numbers[0]);
	default:
		return false;
	}
}

/* ---- two operands ---- */

static bool binary_of(const qdq_node *n, qdq_binary *out)
{
	static const struct {
		qdq_op_id op;
		qdq_binary binary;
	} all[] = {{QDQ_OP_Add, QDQ_BINARY_ADD}, {QDQ_OP_Sum, QDQ_BINARY_ADD}, {QDQ_OP_Sub, QDQ_BINARY_SUB},
		   {QDQ_OP_Mul, QDQ_BINARY_MUL}, {QDQ_OP_Div, QDQ_BINARY_DIV}, {QDQ_OP_Max, QDQ_BINARY_MAX},
		   {QDQ_OP_Min, QDQ_BINARY_MIN}};

	for (size_t i = 0; i < sizeof all / sizeof *all; i++)
		if (qdq_is(n, all[i].op)) {
			*out = all[i].binary;
			return true;
		}
	return false;
}

/* Is b the sigmoid of a? */
static bool is_sigmoid_of(const lowering *l, uint32_t a, uint32_t b)
{
	for (size_t i = 0; i < l->steps.count; i++) {
		const qdq_step *s = &l->steps.items[i];

		if (s->kind == QDQ_STEP_FUNCTION && s->function == QDQ_FUNCTION_SIGMOID && s->from == a && s->to == b)
			return true;
	}
	return false;
}

static bool two_registers(lowering *l, const qdq_node *n)
{
	/* what has the result's shape is loaded first, since it may be the anchor */
	bool second_first = qdq_source(l, qdq_in(n, 0)) != NULL && qdq_source(l, qdq_in(n, 0))->kind == KNOWN_SOURCE &&
			    !qdq_is_full(l, qdq_source(l, qdq_in(n, 0))->outer);
	uint32_t first, second;
	qdq_binary op;

	if (!binary_of(n, &op) || (second_first && !qdq_register_of(l, qdq_in(n, 1), &second)) ||
	    !qdq_register_of(l, qdq_in(n, 0), &first) || !qdq_register_of(l, qdq_in(n, 1), &second))
		return false;
	if (op == QDQ_BINARY_MUL && is_sigmoid_of(l, first, second))
		return function(l, n, first, QDQ_FUNCTION_SILU);
	if (op == QDQ_BINARY_MUL && is_sigmoid_of(l, second, first))
		return function(l, n, second, QDQ_FUNCTION_SILU);
	return binary(l, n, op, first, second);
}

static bool lower_binary(lowering *l, const qdq_node *n)
{
	const known *a = qdq_source(l, qdq_in(n, 0));
	known first = a != NULL ? *a : (known){.v = NULL};
	const known *b = qdq_source(l, qdq_in(n, 1));
	bool left = qdq_constant(l, qdq_in(n, 0)) != NULL;
	bool swapped = left || (b != NULL && b->kind == KNOWN_REGISTER && first.kind == KNOWN_SOURCE);
	const qdq_value *v = qdq_in(n, swapped ? 1 : 0), *w = qdq_in(n, swapped ? 0 : 1);
	float *numbers = per_channel(l, w);
	uint32_t from;

	if (n->n_inputs != 2 || qdq_in(n, 0) == NULL || qdq_in(n, 1) == NULL)
		return false;
	if (numbers != NULL)
		return along_channels(l, qdq_constant(l, w), n->outputs[0]) && same_shape(v, n->outputs[0]) &&
		       qdq_register_of(l, v, &from) && with_numbers(l, n, from, numbers, left);
	if (a == NULL || b == NULL)
		return false;
	if (qdq_is(n, QDQ_OP_Add) && v != w && add_other(l, n, v, swapped ? &first : b))
		return true;
	if (qdq_is(n, QDQ_OP_Mul) && v != w && first.kind == KNOWN_SOURCE && b->kind == KNOWN_SOURCE &&
	    multiply_sources(l, n, &first, b))
		return true;
	return two_registers(l, n);
}

static bool lower_bn(lowering *l, const qdq_node *n)
{
	double epsilon = (double)qdq_attr_float(n, "epsilon", 1e-5f);
	float *part[5] = {NULL};
	uint32_t from;

	if (l->k.last_axis)
		return false;
	for (uint32_t i = 1; i < 5; i++) {
		part[i] = per_channel(l, qdq_in(n, i));
		if (part[i] == NULL || qdq_constant(l, qdq_in(n, i))->count != (uint64_t)l->k.channels)
			return false;
	}
	if (!qdq_register_of(l, qdq_in(n, 0), &from))
		return false;
	for (int64_t c = 0; c < l->k.channels; c++) {
		double scale = (double)part[1][c] / sqrt((double)part[4][c] + epsilon);

		part[2][c] = (float)((double)part[2][c] - (double)part[3][c] * scale);
		part[1][c] = (float)scale;
	}
	return affine(l, n, from, part[1], part[2]);
}

/* ---- one operand ---- */

/* What is one function each. */
static bool function_of(const qdq_node *n, qdq_function_id *out)
{
	static const struct {
		qdq_op_id op;
		qdq_function_id function;
	} all[] = {{QDQ_OP_Exp, QDQ_FUNCTION_EXP},	     {QDQ_OP_Sigmoid, QDQ_FUNCTION_SIGMOID},
		   {QDQ_OP_Tanh, QDQ_FUNCTION_TANH},	     {QDQ_OP_Erf, QDQ_FUNCTION_ERF},
		   {QDQ_OP_Gelu, QDQ_FUNCTION_GELU},	     {QDQ_OP_ms_Gelu, QDQ_FUNCTION_GELU},
		   {QDQ_OP_Softplus, QDQ_FUNCTION_SOFTPLUS}, {QDQ_OP_Mish, QDQ_FUNCTION_MISH},
		   {QDQ_OP_Softsign, QDQ_FUNCTION_SOFTSIGN}, {QDQ_OP_Abs, QDQ_FUNCTION_ABS},
		   {QDQ_OP_Sqrt, QDQ_FUNCTION_SQRT},	     {QDQ_OP_Reciprocal, QDQ_FUNCTION_RECIPROCAL}};

	for (size_t i = 0; i < sizeof all / sizeof *all; i++)
		if (qdq_is(n, all[i].op)) {
			*out = all[i].function;
			if (*out == QDQ_FUNCTION_GELU && qdq_attr_string_is(n, "approximate", "none", "tanh"))
				*out = QDQ_FUNCTION_GELU_TANH;
			return true;
		}
	return false;
}

/* outer * max(v, 0) + scale * (exp(inner * min(v, 0)) - 1): Elu, Selu, Celu */
static bool elu(lowering *l, const qdq_node *n, uint32_t v, float scale, float inner, float outer)
{
	uint32_t above, below;

	clamp(l, n, v, -INFINITY, 0);
	if (inner != 1)
		affine(l, n, last(l), filled(l, inner), filled(l, 0));
	function(l, n, last(l), QDQ_FUNCTION_EXP);
	affine(l, n, last(l), filled(l, scale), filled(l, -scale));
	below = last(l);
	clamp(l, n, v, 0, INFINITY);
	if (outer != 1)
		affine(l, n, last(l), filled(l, outer), filled(l, 0));
	above = last(l);
	return binary(l, n, QDQ_BINARY_ADD, above, below);
}

static bool hard_sigmoid(lowering *l, const qdq_node *n, uint32_t v, float alpha, float beta)
{
	return affine(l, n, v, filled(l, alpha), filled(l, beta)) && clamp(l, n, last(l), 0, 1);
}

/* v * sigmoid(alpha v) */
static bool swish(lowering *l, const qdq_node *n, uint32_t v, float alpha)
{
	if (alpha == 1)
		return function(l, n, v, QDQ_FUNCTION_SILU);
	affine(l, n, v, filled(l, alpha), filled(l, 0));
	function(l, n, last(l), QDQ_FUNCTION_SIGMOID);
	return binary(l, n, QDQ_BINARY_MUL, v, last(l));
}

static bool lower_unary(lowering *l, const qdq_node *n)
{
	qdq_function_id f;
	uint32_t v;

	if (n->n_inputs != 1 || qdq_in(n, 0) == NULL || n->outputs[0]->type != QDQ_TYPE_FLOAT ||
	    !same_shape(qdq_in(n, 0), n->outputs[0]) || !qdq_register_of(l, qdq_in(n, 0), &v))
		return false;
	if (function_of(n, &f))
		return function(l, n, v, f);
	switch (n->op->id) {
	case QDQ_OP_Identity:
		qdq_result(l, n, v);
		return true;
	case QDQ_OP_Neg:
		return affine(l, n, v, filled(l, -1), filled(l, 0));
	case QDQ_OP_LeakyRelu:
		return leaky(l, n, v, filled(l, qdq_attr_float(n, "alpha", 0.01F)));
	case QDQ_OP_HardSigmoid:
		return hard_sigmoid(l, n, v, qdq_attr_float(n, "alpha", 0.2F), qdq_attr_float(n, "beta", 0.5F));
	case QDQ_OP_HardSwish:
		return hard_sigmoid(l, n, v, 1 / 6.0F, 0.5F) && binary(l, n, QDQ_BINARY_MUL, v, last(l));
	case QDQ_OP_Swish:
		return swish(l, n, v, qdq_attr_float(n, "alpha", 1));
	case QDQ_OP_ms_QuickGelu:
		return swish(l, n, v, qdq_attr_float(n, "alpha", 1.702F));
	case QDQ_OP_Elu:
		return elu(l, n, v, qdq_attr_float(n, "alpha", 1), 1, 1);
	case QDQ_OP_Celu:
		return elu(l, n, v, qdq_attr_float(n, "alpha", 1), 1 / qdq_attr_float(n, "alpha", 1), 1);
	case QDQ_OP_Selu:
		return elu(l, n, v, qdq_attr_float(n, "alpha", 1.67326319F) * qdq_attr_float(n, "gamma", 1.05070102F),
			   1, qdq_attr_float(n, "gamma", 1.05070102F));
	default:
		return false;
	}
}

bool qdq_lower_pointwise(lowering *l, const qdq_node *n)
{
	switch (n->op->id) {
	case QDQ_OP_Relu:
	case QDQ_OP_Clip:
		return lower_clamp(l, n);
	case QDQ_OP_BatchNormalization:
		return lower_bn(l, n);
	case QDQ_OP_PRelu:
	case QDQ_OP_Pow:
		return lower_binary(l, n);
	default: {
		qdq_binary op;

		return binary_of(n, &op) ? lower_binary(l, n) : lower_unary(l, n);
	}
	}
}

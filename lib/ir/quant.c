/* SPDX-License-Identifier: Apache-2.0
 *
 * quant.c -- what a QuantizeLinear or DequantizeLinear says, and making new ones
 */
#include <float.h>
#include <math.h>

#include "ir.h"

static qdq_type type_attr(const qdq_node *n, const char *name, qdq_type absent)
{
	qdq_type type = (qdq_type)qdq_attr_int(n, name, QDQ_TYPE_NONE);

	return type == QDQ_TYPE_NONE ? absent : type;
}

static qdq_type code_type(const qdq_node *n, const qdq_value *zero)
{
	if (qdq_is_dequantizer(n))
		return qdq_in(n, 0) != NULL ? qdq_in(n, 0)->type : QDQ_TYPE_NONE;
	if (zero != NULL)
		return zero->type;
	return type_attr(n, "output_dtype", QDQ_TYPE_UINT8);
}

bool qdq_params_of(const qdq_node *n, qdq_params *out)
{
	const qdq_tensor *scale;
	const qdq_value *x;

	if (n == NULL || !(qdq_is_quantizer(n) || qdq_is_dequantizer(n)) || qdq_in(n, 0) == NULL ||
	    qdq_in(n, 1) == NULL)
		return false;
	*out = (qdq_params){.scale = qdq_in(n, 1), .zero = qdq_in(n, 2)};
	x = qdq_in(n, 0);
	out->codes = code_type(n, out->zero);
	out->real = qdq_is_quantizer(n) ? x->type : type_attr(n, "output_dtype", out->scale->type);
	out->precision = qdq_is_quantizer(n) ? type_attr(n, "precision", QDQ_TYPE_NONE) : QDQ_TYPE_NONE;
	out->block = qdq_attr_int(n, "block_size", 0);
	out->axis = qdq_attr_int(n, "axis", 1);
	if (out->axis < 0 && x->shape != NULL)
		out->axis += x->shape->rank;
	scale = qdq_value_constant(out->scale);
	out->constant = scale != NULL && (out->zero == NULL || qdq_value_constant(out->zero) != NULL);
	out->count = scale != NULL ? scale->count : 0;
	out->per_tensor = scale != NULL ? scale->count == 1 && out->block == 0
					: out->scale->shape != NULL && out->scale->shape->rank == 0;
	if (out->constant && out->zero != NULL && qdq_value_constant(out->zero)->count != out->count)
		out->constant = false; /* malformed: nothing may be concluded from it */
	if (out->constant) {
		qdq_extent scales = qdq_tensor_extent(scale);

		out->positive = scales.least > 0 && !isinf(scales.greatest);
	}
	return true;
}

/* ---- elements ---- */

double qdq_other_scale_at(const qdq_tensor *t, uint64_t c)
{
	uint16_t half;
	double wide;

	switch (t->type) {
	case QDQ_TYPE_DOUBLE:
		memcpy(&wide, (const char *)t->data + c * 8, 8);
		return wide;
	case QDQ_TYPE_FLOAT16:
		memcpy(&half, (const char *)t->data + c * 2, 2);
		return (double)qdq_f16_to_f32(half);
	case QDQ_TYPE_BFLOAT16:
		memcpy(&half, (const char *)t->data + c * 2, 2);
		return (double)qdq_bf16_to_f32(half);
	default:
		return 0;
	}
}

/* Of 8 bits, as nearly all are, without detours. */
static int64_t zero_at(const qdq_tensor *t, uint64_t c)
{
	int64_t zero = 0;

	c = t->count == 1 ? 0 : c;
	if (t->type == QDQ_TYPE_INT8)
		return ((const int8_t *)t->data)[c];
	if (t->type == QDQ_TYPE_UINT8)
		return ((const uint8_t *)t->data)[c];
	(void)qdq_tensor_int(t, c, &zero); /* 0 of what is no integer */
	return zero;
}

double qdq_params_scale(const qdq_params *p, uint64_t c)
{
	return qdq_scale_at(qdq_value_constant(p->scale), c);
}

int64_t qdq_params_zero(const qdq_params *p, uint64_t c)
{
	const qdq_tensor *t = qdq_value_constant(p->zero);

	return t == NULL ? 0 : zero_at(t, c);
}

/* As most zero points are. */
static bool all_zeros(const qdq_tensor *t)
{
	const char *bytes = t->data;

	return t->size != 0 && *bytes == 0 && memcmp(bytes, bytes + 1, (size_t)t->size - 1) == 0;
}

qdq_extent qdq_tensor_extent(const qdq_tensor *t)
{
	qdq_tensor *known = (qdq_tensor *)(uintptr_t)t;
	bool real = qdq_type_get(t->type)->is_float;
	qdq_extent e = {0, 0};
	uint64_t count;

	if (t->measured)
		return t->extent;
	count = !real && all_zeros(t) ? 0 : t->count;
	for (uint64_t c = 0; c < count; c++) {
		double x = real ? qdq_scale_at(t, c) : (double)zero_at(t, c);

		if (isnan(x)) {
			e = (qdq_extent){x, x};
			break;
		}
		e.least = c == 0 || x < e.least ? x : e.least;
		e.greatest = c == 0 || x > e.greatest ? x : e.greatest;
	}
	known->extent = e;
	known->measured = true;
	return e;
}

static qdq_extent extent_of(const qdq_value *v)
{
	const qdq_tensor *t = qdq_value_constant(v);

	return t != NULL ? qdq_tensor_extent(t) : (qdq_extent){0, 0};
}

qdq_extent qdq_params_scales(const qdq_params *p)
{
	return extent_of(p->scale);
}

qdq_extent qdq_params_zeros(const qdq_params *p)
{
	return extent_of(p->zero);
}

/* Can the zero point's elements be read by qdq_params_zero? */
static bool zero_readable(const qdq_params *p)
{
	switch (p->codes) {
	case QDQ_TYPE_INT8:
	case QDQ_TYPE_UINT8:
	case QDQ_TYPE_INT16:
	case QDQ_TYPE_UINT16:
	case QDQ_TYPE_INT32:
		return true;
	default:
		return p->zero == NULL;
	}
}

/* ---- comparing ---- */

static bool same_scale(const qdq_params *a, const qdq_params *b)
{
	const qdq_tensor *s = qdq_value_constant(a->scale);
	const qdq_tensor *t = qdq_value_constant(b->scale);

	if (a->scale == b->scale)
		return true;
	/* shape [] equals [1]: compare elements, not dimensions */
	return s != NULL && t != NULL && s->type == t->type && s->count == t->count && s->size == t->size &&
	       memcmp(s->data, t->data, (size_t)s->size) == 0;
}

bool qdq_params_equal(const qdq_params *a, const qdq_params *b)
{
	if (a->codes != b->codes || a->real != b->real || a->precision != b->precision || a->block != b->block ||
	    a->per_tensor != b->per_tensor)
		return false;
	if (!a->per_tensor && a->axis != b->axis)
		return false;
	if (!same_scale(a, b))
		return false;
	if (a->zero == b->zero)
		return true;
	if (!a->constant || !b->constant || !zero_readable(a))
		return false;
	for (uint64_t c = 0; c < a->count; c++)
		if (qdq_params_zero(a, c) != qdq_params_zero(b, c))
			return false;
	return true;
}

static float to_half(qdq_type real, float x)
{
	return real == QDQ_TYPE_FLOAT16 ? qdq_f16_to_f32(qdq_f32_to_f16(x)) : qdq_bf16_to_f32(qdq_f32_to_bf16(x));
}

static double real_of(const qdq_params *p, double scale, int64_t steps)
{
	float x = (float)steps * (float)scale;

	if (p->real == QDQ_TYPE_DOUBLE)
		return (double)steps * scale;
	return (double)(qdq_type_is_half(p->real) ? to_half(p->real, x) : x);
}

static bool rounds_to(const qdq_params *p, double y, int64_t zero, int64_t q)
{
	double least = (double)qdq_type_min(p->codes), greatest = (double)qdq_type_max(p->codes);
	double code = qdq_round_half_even(y) + (double)zero;

	code = code < least ? least : code > greatest ? greatest : code;
	return code == (double)q;
}

static bool gives(const qdq_params *p, double scale, int64_t zero, double x, int64_t q)
{
	float y = (float)x / (float)scale;

	if (qdq_type_is_half(p->precision) && p->precision != p->real)
		return false; /* a rounding of x that nobody asks for */
	if (p->real == QDQ_TYPE_DOUBLE)
		return rounds_to(p, x / scale, zero, q);
	return rounds_to(p, (double)y, zero, q) &&
	       (!qdq_type_is_half(p->real) || rounds_to(p, (double)to_half(p->real, y), zero, q));
}

double qdq_params_real(const qdq_params *p, uint64_t c, int64_t q)
{
	return real_of(p, qdq_params_scale(p, c), q - qdq_params_zero(p, c));
}

bool qdq_params_gives(const qdq_params *p, uint64_t c, double x, int64_t q)
{
	return gives(p, qdq_params_scale(p, c), qdq_params_zero(p, c), x, q);
}

/* A float32's product and quotient are off by 2^-24 of themselves: far from half a step, while they are normal numbers. */
static bool far_from_ties(const qdq_params *p)
{
	qdq_extent scales = qdq_params_scales(p);

	return !qdq_type_is_half(p->real) && !qdq_type_is_half(p->precision) && scales.least >= (double)FLT_MIN &&
	       scales.greatest <= (double)FLT_MAX / 65536;
}

bool qdq_params_round_trip(const qdq_params *p)
{
	int64_t least, greatest;
	unsigned bits = qdq_type_get(p->codes)->bits;

	if (!p->positive || bits == 0 || bits > 16 || qdq_type_get(p->codes)->is_float || !zero_readable(p))
		return false;
	if (far_from_ties(p))
		return true;
	least = qdq_type_min(p->codes);
	greatest = qdq_type_max(p->codes);
	for (uint64_t c = 0; c < p->count; c++) {
		double scale = qdq_params_scale(p, c);
		int64_t zero = qdq_params_zero(p, c);

		for (int64_t q = least; q <= greatest; q++)
			if (!gives(p, scale, zero, real_of(p, scale, q - zero), q))
				return false;
	}
	return true;
}

/* ---- making ---- */

static qdq_value *explicit_zero(qdq_graph *g, const qdq_params *p, const char *hint)
{
	qdq_model *m = g->model;
	const qdq_tensor *scale = qdq_value_constant(p->scale);
	qdq_tensor *t;

	if (p->zero != NULL || scale == NULL)
		return p->zero;
	t = qdq_tensor_new(m, p->codes, scale->rank, scale->dims);
	return qdq_graph_add_constant(g, qdq_unique_name(&m->names, qdq_format(&m->arena, "%s_zero_point", hint)), t);
}

/* `result` is what the node defines; NULL: a new value, named after hint. */
static qdq_node *insert(qdq_graph *g, qdq_node *before, qdq_op_id op, qdq_value *x, const qdq_params *p,
			const char *hint, qdq_value *result, const qdq_origin *origin)
{
	qdq_value *inputs[3] = {x, p->scale, explicit_zero(g, p, hint)};
	qdq_value *y = result != NULL ? result : qdq_value_create(g, qdq_unique_name(&g->model->names, hint));
	qdq_node *n = qdq_node_create(g, before, qdq_ops[op].domain, qdq_ops[op].name,
				      qdq_node_name_for(g->model, op, hint), inputs[2] != NULL ? 3 : 2, inputs, 1, &y);

	n->origin = origin;
	/* a per-tensor scale of one element in a tensor needs no axis; opset 13 introduced it */
	if (!p->per_tensor)
		qdq_attr_set_int(n, "axis", p->axis);
	if (p->block != 0)
		qdq_attr_set_int(n, "block_size", p->block);
	if (op == QDQ_OP_QuantizeLinear && p->precision != QDQ_TYPE_NONE)
		qdq_attr_set_int(n, "precision", p->precision);
	if (op == QDQ_OP_DequantizeLinear && p->real != p->scale->type)
		qdq_attr_set_int(n, "output_dtype", p->real); /* since opset 23; before, both types are one */
	if (result == NULL)
		qdq_value_set_type(y, op == QDQ_OP_QuantizeLinear ? p->codes : p->real, x->shape);
	return n;
}

qdq_node *qdq_quantize_insert(qdq_graph *g, qdq_node *before, qdq_value *x, const qdq_params *p, const char *hint,
			      const qdq_origin *origin)
{
	return insert(g, before, QDQ_OP_QuantizeLinear, x, p, hint, NULL, origin);
}

qdq_node *qdq_dequantize_insert(qdq_graph *g, qdq_node *before, qdq_value *q, const qdq_params *p, const char *hint,
				const qdq_origin *origin)
{
	return insert(g, before, QDQ_OP_DequantizeLinear, q, p, hint, NULL, origin);
}

qdq_node *qdq_dequantize_into(qdq_value *y, qdq_node *before, qdq_value *q, const qdq_params *p,
			      const qdq_origin *origin)
{
	return insert(y->graph, before, QDQ_OP_DequantizeLinear, q, p, y->name, y, origin);
}

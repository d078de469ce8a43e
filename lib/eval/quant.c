/* SPDX-License-Identifier: Apache-2.0
 *
 * quant.c -- QuantizeLinear and DequantizeLinear: per tensor, per axis and blocked
 *
 *	Q(x)  = saturate(round_half_even(x / scale) + zero)	a true division
 *	DQ(q) = (q - zero) * scale
 *
 * The tensor is cut into runs whose parameters are one (step 0) or walk along with the elements (step 1). Since the
 * bounds less the zero point are integers, clamping may come before rounding: then rounding is one addition and one
 * subtraction, the loops vectorize, and NaN becomes the least code, as in ONNX Runtime on x86.
 */
#include <math.h>

#include "kernel.h"

typedef struct params {
	const qdq_tensor *x;
	float *scale;
	int64_t *zero;
	int64_t count; /* of scales */
	int axis;
	int64_t block;	    /* elements of the axis that share a scale; 0: per axis or per tensor */
	qdq_type type;	    /* of the result */
	qdq_type precision; /* that the division is done in */
	bool saturate;
	void *y;
} params;

typedef void run_fn(const params *p, int64_t at, int64_t n, int64_t param, int step);

static bool is_integer(qdq_type type)
{
	return qdq_wide_of(type) == QDQ_WIDE_INT;
}

/* Scales as float and zero points as integers; checks that they fit x. */
static bool params_init(qdq_eval *e, params *p, const qdq_tensor *scale, const qdq_tensor *zero)
{
	const double *scales =
	    qdq_eval_is_real(scale) && scale->type != QDQ_TYPE_DOUBLE ? qdq_eval_doubles(e, scale) : NULL;

	if (p->x == NULL || scales == NULL || (zero != NULL && zero->count != scale->count))
		return false;
	p->count = (int64_t)scale->count;
	if (p->count != 1) {
		if (p->axis < 0 || p->axis >= p->x->rank || p->block < 0)
			return false;
		int64_t dim = p->x->dims[p->axis];
		if (p->block == 0 && (scale->rank != 1 || scale->dims[0] != dim))
			return false;
		if (p->block != 0) {
			if (scale->rank != p->x->rank)
				return false;
			for (int i = 0; i < scale->rank; i++) {
				int64_t blocks = dim == 0 ? 0 : (dim - 1) / p->block + 1;
				if (scale->dims[i] != (i == p->axis ? blocks : p->x->dims[i]))
					return false;
			}
		}
	}
	p->scale = qdq_eval_temp(e, scale->count, sizeof *p->scale);
	p->zero = qdq_eval_temp(e, scale->count, sizeof *p->zero);
	for (int64_t i = 0; i < p->count; i++)
		p->scale[i] = (float)scales[i];
	if (zero != NULL && is_integer(zero->type)) {
		const int64_t *zeros;
		int64_t n;
		if (!qdq_eval_ints(e, zero, &zeros, &n))
			return false;
		memcpy(p->zero, zeros, (size_t)n * sizeof *zeros);
	}
	return true;
}

/* Cuts x into runs. */
static void each_run(const params *p, run_fn *run)
{
	const qdq_tensor *x = p->x;

	if (p->count == 1) {
		run(p, 0, (int64_t)x->count, 0, 0);
		return;
	}
	int64_t outer = qdq_product(x->dims, 0, p->axis), dim = x->dims[p->axis];
	int64_t inner = qdq_product(x->dims, p->axis + 1, x->rank), at = 0;
	int64_t blocks = p->block == 0 || dim == 0 ? 0 : (dim - 1) / p->block + 1;
	for (int64_t o = 0; o < outer; o++) {
		if (p->block == 0 && inner == 1) {
			run(p, at, dim, 0, 1);
			at += dim;
			continue;
		}
		for (int64_t i = 0, n; i < dim; i += n) {
			n = 1;
			if (p->block == 0) {
				run(p, at, inner, i, 0);
			} else if (inner == 1) {
				n = p->block < dim - i ? p->block : dim - i;
				run(p, at, n, o * blocks + i / p->block, 0);
			} else {
				run(p, at, inner, (o * blocks + i / p->block) * inner, 1);
			}
			at += n * inner;
		}
	}
}

/* ---- QuantizeLinear ---- */

enum { BLOCK = 16 }; /* a constant number of iterations, so that compilers vectorize */

/* For |v| < 2^22: there the unit of float is at most 1/2, and at 1.5 * 2^23 it is 1. */
static inline float round_small(float v)
{
	const float magic = 0x1.8p23f;

	return (v + magic) - magic;
}

static inline int32_t code_of(float x, float scale, float low, float high, int32_t zero)
{
	float v = x / scale;

	v = v > low ? v : low;
	v = v < high ? v : high;
	return (int32_t)round_small(v) + zero;
}

static void codes_uniform(const float *x, int32_t *codes, size_t n, float scale, float low, float high, int32_t zero)
{
	size_t k = 0;

	for (; k + BLOCK <= n; k += BLOCK)
		for (size_t i = 0; i < BLOCK; i++)
			codes[k + i] = code_of(x[k + i], scale, low, high, zero);
	for (; k < n; k++)
		codes[k] = code_of(x[k], scale, low, high, zero);
}

static void store_codes(const params *p, int64_t at, const int32_t *codes, size_t n)
{
	uint8_t bytes[QDQ_CHUNK];
	qdq_chunk wide;

	if (qdq_type_get(p->type)->bits == 8) {
		size_t k = 0;
		for (; k + BLOCK <= n; k += BLOCK)
			for (size_t i = 0; i < BLOCK; i++)
				bytes[k + i] = (uint8_t)codes[k + i];
		for (; k < n; k++)
			bytes[k] = (uint8_t)codes[k];
		memcpy((uint8_t *)p->y + at, bytes, n);
		return;
	}
	for (size_t k = 0; k < n; k++)
		wide.i[k] = codes[k];
	qdq_store(&wide, p->type, p->y, at, 1, n);
}

static float in_precision(qdq_type type, float v)
{
	return type == QDQ_TYPE_FLOAT16	   ? qdq_f16_to_f32(qdq_f32_to_f16(v))
	       : type == QDQ_TYPE_BFLOAT16 ? qdq_bf16_to_f32(qdq_f32_to_bf16(v))
					   : v;
}

/* As floats; rounded to the type of the division, where that is a narrow one. */
static void load_reals(const params *p, int64_t at, size_t n, qdq_chunk *c)
{
	qdq_load(c, p->x->type, p->x->data, at, 1, n);
	qdq_convert(c, p->x->type, QDQ_TYPE_FLOAT, n);
	if (p->precision != QDQ_TYPE_FLOAT)
		for (size_t k = 0; k < n; k++)
			c->f[k] = in_precision(p->precision, c->f[k]);
}

static void quantize_run(const params *p, int64_t at, int64_t n, int64_t param, int step)
{
	float least = (float)qdq_type_min(p->type), greatest = (float)qdq_type_max(p->type);
	int32_t codes[QDQ_CHUNK];
	qdq_chunk x;

	for (int64_t i = 0; i < n; i += QDQ_CHUNK) {
		size_t m = qdq_min_size(QDQ_CHUNK, (size_t)(n - i));
		load_reals(p, at + i, m, &x);
		if (step == 0 && p->precision == QDQ_TYPE_FLOAT) {
			float zero = (float)p->zero[param];
			codes_uniform(x.f, codes, m, p->scale[param], least - zero, greatest - zero,
				      (int32_t)p->zero[param]);
		} else {
			for (size_t k = 0; k < m; k++) {
				int64_t c = param + (i + (int64_t)k) * step;
				float zero = (float)p->zero[c];
				float v = in_precision(p->precision, x.f[k] / in_precision(p->precision, p->scale[c]));
				codes[k] = code_of(v, 1, least - zero, greatest - zero, (int32_t)p->zero[c]);
			}
		}
		store_codes(p, at + i, codes, m);
	}
}

/* To float8 and float4: the conversion saturates (or not) by itself, and there is no zero point. */
static void quantize_run_float(const params *p, int64_t at, int64_t n, int64_t param, int step)
{
	qdq_chunk x;

	for (int64_t i = 0; i < n; i += QDQ_CHUNK) {
		size_t m = qdq_min_size(QDQ_CHUNK, (size_t)(n - i));
		load_reals(p, at + i, m, &x);
		for (size_t k = 0; k < m; k++) {
			float scale = p->scale[param + (i + (int64_t)k) * step];
			x.f[k] = in_precision(p->precision, x.f[k] / in_precision(p->precision, scale));
		}
		if (qdq_type_get(p->type)->bits == 8)
			for (size_t k = 0; k < m; k++)
				((uint8_t *)p->y)[at + i + (int64_t)k] = qdq_f32_to_f8(p->type, x.f[k], p->saturate);
		else
			qdq_store(&x, p->type, p->y, at + i, 1, m);
	}
}

static qdq_type type_attr(const qdq_node *n, const char *name, qdq_type absent)
{
	int64_t number = qdq_attr_int(n, name, 0);

	return number > 0 && number <= QDQ_TYPE_INT2 ? (qdq_type)number : absent;
}

static bool is_code(qdq_type type)
{
	int bits = qdq_type_get(type)->bits;

	if (type == QDQ_TYPE_BOOL || type == QDQ_TYPE_FLOAT8E8M0)
		return false;
	return qdq_type_get(type)->is_float ? bits <= 8 : bits > 0 && bits <= 16;
}

bool qdq_eval_quantize(qdq_eval *e)
{
	const qdq_tensor *x = qdq_eval_in(e, 0), *scale = qdq_eval_in(e, 1), *zero = qdq_eval_in(e, 2);
	bool ours = e->op == QDQ_OP_QuantizeLinear; /* not com.microsoft's, which has the oldest definition */
	params p = {.x = x, .block = qdq_attr_int(e->n, "block_size", 0), .precision = QDQ_TYPE_FLOAT};

	if (x == NULL || scale == NULL || x->type == QDQ_TYPE_DOUBLE || qdq_wide_of(x->type) == QDQ_WIDE_NONE)
		return false;
	qdq_eval_axis(qdq_attr_int(e->n, "axis", 1), x->rank, &p.axis);
	p.saturate = qdq_attr_int(e->n, "saturate", 1) != 0;
	p.type = zero != NULL ? zero->type : type_attr(e->n, "output_dtype", QDQ_TYPE_UINT8);
	if (ours && e->version >= 23)
		p.precision = type_attr(e->n, "precision", scale->type);
	if (p.precision != QDQ_TYPE_FLOAT16 && p.precision != QDQ_TYPE_BFLOAT16)
		p.precision = QDQ_TYPE_FLOAT;
	if (!is_code(p.type) || !params_init(e, &p, scale, zero))
		return false;
	p.y = qdq_eval_output(e, 0, p.type, x->rank, x->dims);
	if (p.y == NULL)
		return false;
	each_run(&p, is_integer(p.type) ? quantize_run : quantize_run_float);
	return true;
}

/* The range of the data, with 0 in it, over the codes of uint8. */
bool qdq_eval_dynamic_quantize(qdq_eval *e)
{
	const qdq_tensor *x = qdq_eval_in(e, 0);
	float least = 0, greatest = 0, *scale;
	uint8_t *zero;
	qdq_chunk c;

	if (x == NULL || x->type != QDQ_TYPE_FLOAT)
		return false;
	for (uint64_t i = 0; i < x->count; i += QDQ_CHUNK) {
		size_t n = qdq_min_size(QDQ_CHUNK, (size_t)(x->count - i));
		qdq_load(&c, x->type, x->data, (int64_t)i, 1, n);
		for (size_t k = 0; k < n; k++) {
			least = c.f[k] < least ? c.f[k] : least;
			greatest = c.f[k] > greatest ? c.f[k] : greatest;
		}
	}
	params p = {.x = x, .count = 1, .type = QDQ_TYPE_UINT8, .precision = QDQ_TYPE_FLOAT};
	p.y = qdq_eval_output(e, 0, p.type, x->rank, x->dims);
	scale = qdq_eval_output(e, 1, QDQ_TYPE_FLOAT, 0, NULL);
	zero = qdq_eval_output(e, 2, QDQ_TYPE_UINT8, 0, NULL);
	if (p.y == NULL || scale == NULL || zero == NULL)
		return false;
	*scale = least == greatest ? 1 : (greatest - least) / 255;
	*zero = (uint8_t)code_of(-least, *scale, 0, 255, 0);
	p.scale = scale;
	p.zero = &(int64_t){*zero};
	each_run(&p, quantize_run);
	return true;
}

/* ---- DequantizeLinear ---- */

/* The values of a run as floats, n <= QDQ_CHUNK. */
static void dequantize_chunk(const params *p, int64_t at, size_t n, int64_t param, int step, qdq_chunk *c)
{
	qdq_load(c, p->x->type, p->x->data, at, 1, n);
	if (!is_integer(p->x->type)) {
		for (size_t k = 0; k < n; k++)
			c->f[k] *= p->scale[param + (int64_t)k * step];
		return;
	}
	for (size_t k = 0; k < n; k++) {
		int64_t i = param + (int64_t)k * step;
		c->f[k] = (float)(c->i[k] - p->zero[i]) * p->scale[i];
	}
}

static void dequantize_run(const params *p, int64_t at, int64_t n, int64_t param, int step)
{
	qdq_chunk c;

	for (int64_t i = 0; i < n; i += QDQ_CHUNK) {
		size_t m = qdq_min_size(QDQ_CHUNK, (size_t)(n - i));
		dequantize_chunk(p, at + i, m, param + i * step, step, &c);
		qdq_store(&c, p->type, p->y, at + i, 1, m);
	}
}

bool qdq_eval_dequantize(qdq_eval *e)
{
	const qdq_tensor *x = qdq_eval_in(e, 0), *scale = qdq_eval_in(e, 1), *zero = qdq_eval_in(e, 2);
	params p = {.x = x, .block = qdq_attr_int(e->n, "block_size", 0)};

	if (x == NULL || scale == NULL || !(is_code(x->type) || x->type == QDQ_TYPE_INT32) ||
	    (zero != NULL && zero->type != x->type))
		return false;
	qdq_eval_axis(qdq_attr_int(e->n, "axis", 1), x->rank, &p.axis);
	p.type = type_attr(e->n, "output_dtype", scale->type);
	if (qdq_wide_of(p.type) != QDQ_WIDE_F32 || !params_init(e, &p, scale, zero))
		return false;
	p.y = qdq_eval_output(e, 0, p.type, x->rank, x->dims);
	if (p.y == NULL)
		return false;
	each_run(&p, dequantize_run);
	return true;
}

/* ---- for the quantized operators ---- */

static void dequantize_doubles(const params *p, int64_t at, int64_t n, int64_t param, int step)
{
	double *y = p->y;
	qdq_chunk c;

	for (int64_t i = 0; i < n; i += QDQ_CHUNK) {
		size_t m = qdq_min_size(QDQ_CHUNK, (size_t)(n - i));
		dequantize_chunk(p, at + i, m, param + i * step, step, &c);
		for (size_t k = 0; k < m; k++)
			y[at + i + (int64_t)k] = c.f[k];
	}
}

bool qdq_eval_dequantized(qdq_eval *e, const qdq_tensor *q, const qdq_tensor *scale, const qdq_tensor *zero, int axis,
			  const double **out)
{
	params p = {.x = q, .axis = axis};

	if (q == NULL || !is_code(q->type) || !is_integer(q->type) || !params_init(e, &p, scale, zero))
		return false;
	p.y = qdq_eval_temp(e, q->count, sizeof(double));
	each_run(&p, dequantize_doubles);
	*out = p.y;
	return true;
}

bool qdq_eval_requantize(qdq_eval *e, uint32_t i, int rank, const int64_t *dims, const double *values,
			 const qdq_tensor *scale, const qdq_tensor *zero)
{
	const qdq_value *y = qdq_out(e->n, i); /* has the codes' type where there is no zero point */
	params p = {.type = y != NULL ? y->type : QDQ_TYPE_UINT8, .precision = QDQ_TYPE_FLOAT};
	qdq_tensor x = {.type = QDQ_TYPE_FLOAT, .rank = rank, .dims = dims};
	static const float one = 1;
	const qdq_tensor unit = {.type = QDQ_TYPE_FLOAT, .count = 1, .data = &one, .size = sizeof one};

	x.count = (uint64_t)qdq_product(dims, 0, rank);
	float *reals = qdq_eval_temp(e, x.count, sizeof *reals);
	for (uint64_t k = 0; k < x.count; k++)
		reals[k] = (float)values[k];
	x.data = reals;
	p.x = &x;
	p.type = zero != NULL ? zero->type : p.type;
	scale = scale != NULL ? scale : &unit;
	if (scale->count != 1 || !is_code(p.type) || !is_integer(p.type) || !params_init(e, &p, scale, zero))
		return false;
	p.y = qdq_eval_output(e, i, p.type, rank, dims);
	if (p.y == NULL)
		return false;
	each_run(&p, quantize_run);
	return true;
}

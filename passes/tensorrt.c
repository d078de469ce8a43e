/* SPDX-License-Identifier: Apache-2.0
 *
 * tensorrt.c -- which Q and DQ TensorRT takes, and symmetric codes in the place of others
 *
 * TensorRT multiplies int8 codes whose zero point is 0. Codes q that mean (q - z) s, from low to high, become codes of
 * the scale s' = max(-low / 128, high / 127). A value between low and high was at most s / 2 from what Q -> DQ gave, and
 * is at most s' / 2 from what it gives now, so the two are at most (s + s') / 2 apart.
 */
#include <float.h>
#include <math.h>

#include "ranges.h"
#include "tensorrt.h"

static bool refuse(qdq_reason *why, qdq_reason_code code, const qdq_value *operand, const char *detail)
{
	*why = (qdq_reason){.code = code, .operand = operand->name, .detail = detail};
	return false;
}

/* As codes from -128 to 127 have them. */
static int64_t zero_as_int8(const qdq_params *p, uint64_t c)
{
	return qdq_params_zero(p, c) - (p->codes == QDQ_TYPE_UINT8 ? 128 : 0);
}

bool qdq_tensorrt_takes(const qdq_params *p, bool constant, qdq_reason *why)
{
	if (p->codes == QDQ_TYPE_INT4 || p->codes == QDQ_TYPE_FLOAT8E4M3FN)
		return true;
	if (!qdq_params_movable(p, why))
		return false;
	for (uint64_t c = 0; c < p->count; c++)
		if (zero_as_int8(p, c) != 0)
			return refuse(why, QDQ_REASON_TARGET_ZERO, p->scale, "tensorrt");
	if (!p->positive)
		return refuse(why, QDQ_REASON_SCALE_SIGN, p->scale, NULL);
	if (!p->per_tensor && !constant)
		return refuse(why, QDQ_REASON_SEVERAL_SCALES, p->scale, NULL);
	return p->codes == QDQ_TYPE_INT8 || refuse(why, QDQ_REASON_TARGET_TYPE, p->scale, "tensorrt");
}

bool qdq_symmetric_possible(const qdq_params *p)
{
	qdq_reason why;

	if (!qdq_params_movable(p, &why))
		return false;
	for (uint64_t c = 0; c < p->count; c++)
		if (!isfinite(qdq_params_scale(p, c)))
			return false;
	return p->count != 0;
}

/* ---- numbers ---- */

static double rounded(qdq_type type, double x)
{
	switch (type) {
	case QDQ_TYPE_FLOAT16:
		return (double)qdq_f16_to_f32(qdq_f32_to_f16((float)x));
	case QDQ_TYPE_BFLOAT16:
		return (double)qdq_bf16_to_f32(qdq_f32_to_bf16((float)x));
	case QDQ_TYPE_FLOAT:
		return (double)(float)x;
	default:
		return x;
	}
}

static double least_normal(qdq_type type)
{
	return type == QDQ_TYPE_FLOAT16 ? 0x1p-14 : type == QDQ_TYPE_DOUBLE ? DBL_MIN : (double)FLT_MIN;
}

/* How far a number is from one of 16 bits, in parts of it; of float32 QDQ_SLACK has that. */
static double half_unit(qdq_type type)
{
	return type == QDQ_TYPE_FLOAT16 ? 0x1p-11 : type == QDQ_TYPE_BFLOAT16 ? 0x1p-8 : 0;
}

double qdq_round_up(qdq_type type, double x)
{
	const double ulp = type == QDQ_TYPE_FLOAT16 ? 0x1p-10 : type == QDQ_TYPE_BFLOAT16 ? 0x1p-7 : 0x1p-23;
	double y;

	if (x < least_normal(type))
		return least_normal(type);
	y = rounded(type, x);
	return y >= x ? y : rounded(type, y * (1 + ulp));
}

void qdq_tensor_put(const qdq_tensor *t, uint64_t i, double x)
{
	char *at = (char *)(uintptr_t)t->data + i * (t->size / t->count);
	float f = (float)x;
	uint16_t half = t->type == QDQ_TYPE_FLOAT16 ? qdq_f32_to_f16(f) : qdq_f32_to_bf16(f);

	if (t->type == QDQ_TYPE_DOUBLE)
		memcpy(at, &x, sizeof x);
	else if (t->type == QDQ_TYPE_FLOAT)
		memcpy(at, &f, sizeof f);
	else
		memcpy(at, &half, sizeof half);
}

qdq_value *qdq_constant_number(qdq_graph *g, qdq_type type, double x, const char *hint)
{
	qdq_tensor *t = qdq_tensor_new(g->model, type, 0, NULL);

	if (x != 0)
		qdq_tensor_put(t, 0, x);
	return qdq_graph_add_constant(g, qdq_unique_name(&g->model->names, hint), t);
}

/* ---- symmetric codes ---- */

qdq_symmetric qdq_symmetric_of(const qdq_params *p)
{
	qdq_range codes = qdq_range_of_codes(p);
	qdq_symmetric s = {
	    .low = codes.low, .high = codes.high, .exact = p->per_tensor && zero_as_int8(p, 0) == 0 && p->positive};

	for (uint64_t c = 0; c < p->count; c++)
		s.step = fmax(s.step, fabs(qdq_params_scale(p, c)));
	s.scale = s.exact ? s.step : qdq_round_up(p->real, fmax(-s.low / 128, s.high / 127));
	s.slip = 4 * half_unit(p->real) * fmax(-s.low, s.high);
	s.bound = s.exact ? 0 : (s.step + s.scale) / 2 * QDQ_SLACK + s.slip;
	return s;
}

qdq_params qdq_symmetric_params(qdq_graph *g, const qdq_symmetric *s, qdq_type real, const char *hint)
{
	qdq_arena *arena = &g->model->arena;

	return (qdq_params){.codes = QDQ_TYPE_INT8,
			    .real = real,
			    .scale = qdq_constant_number(g, real, s->scale, qdq_format(arena, "%s_scale", hint)),
			    .zero = qdq_constant_number(g, QDQ_TYPE_INT8, 0, qdq_format(arena, "%s_zero_point", hint)),
			    .constant = true,
			    .per_tensor = true,
			    .axis = 1,
			    .count = 1,
			    .positive = true};
}

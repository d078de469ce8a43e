/* SPDX-License-Identifier: Apache-2.0
 *
 * functions.h -- exp, sigmoid, tanh, erf and what is made of them, the same bits on every device
 *
 * No libm is asked. Each function is a fixed order of additions, multiplications, divisions and fmas, all exactly rounded,
 * without a branch, so that any compiler that neither contracts nor reorders gives the same bits, in vectors too.
 * Divisions and square roots are those of IEEE 754. Errors, in units of the last place (test/unit/functions.c): exp 0.8,
 * sigmoid 1.9, tanh 1.4, erf 1.1, softplus 2, mish 3.5. NaN gives NaN.
 */
#ifndef QDQ_EXEC_FUNCTIONS_H
#define QDQ_EXEC_FUNCTIONS_H

#include <string.h>

#include "steps.h"

#ifdef __CUDACC__
#define QDQ_FUNCTION __device__ static inline
#else
#define QDQ_FUNCTION static inline __attribute__((always_inline))
#endif

typedef enum qdq_function_id {
	QDQ_FUNCTION_EXP,
	QDQ_FUNCTION_SIGMOID,
	QDQ_FUNCTION_SILU, /* v * sigmoid(v) */
	QDQ_FUNCTION_TANH,
	QDQ_FUNCTION_ERF,
	QDQ_FUNCTION_GELU,	/* v / 2 * (1 + erf(v / sqrt 2)) */
	QDQ_FUNCTION_GELU_TANH, /* v / 2 * (1 + tanh(sqrt(2 / pi) * (v + 0.044715 v^3))) */
	QDQ_FUNCTION_SOFTPLUS,	/* log(1 + exp v) */
	QDQ_FUNCTION_MISH,	/* v * tanh(softplus(v)) */
	QDQ_FUNCTION_SOFTSIGN,	/* v / (1 + |v|) */
	QDQ_FUNCTION_ABS,
	QDQ_FUNCTION_SQRT,
	QDQ_FUNCTION_RECIPROCAL
} qdq_function_id;

QDQ_FUNCTION uint32_t qdq_bits(float f)
{
	uint32_t bits;

	memcpy(&bits, &f, sizeof bits);
	return bits;
}

/* 2^n, n from -126 to 127; anything else for other n. */
QDQ_FUNCTION float qdq_two_to(int32_t n)
{
	uint32_t bits = ((uint32_t)n + 127) << 23;
	float f;

	memcpy(&f, &bits, sizeof f);
	return f;
}

/* v = n * ln 2 + r; exp r is 1 + r, what that loses, and a polynomial; 2^n comes in two halves, so that results may be subnormal. */
QDQ_FUNCTION float qdq_exp(float v)
{
	const float magic = 12582912.0f; /* 1.5 * 2^23: an integer's bits are the sum's lowest */
	float shifted, whole, high, r, p;
	int32_t n, half;

	v = v < -104.0f ? -104.0f : v;
	v = v > 89.0f ? 89.0f : v;
	shifted = fmaf(v, 1.44269504f, magic);
	whole = shifted - magic;
	n = (int32_t)(qdq_bits(shifted) - qdq_bits(magic));
	high = fmaf(-whole, 0.693145752f, v); /* exact */
	r = fmaf(-whole, 1.42860677e-6f, high);
	p = 1.395171508e-3f;
	p = fmaf(p, r, 8.369598538e-3f);
	p = fmaf(p, r, 4.166618735e-2f);
	p = fmaf(p, r, 1.666651219e-1f);
	p = fmaf(p, r, 0.5f);
	p = fmaf(r * r, p, fmaf(-whole, 1.42860677e-6f, high - r));
	high = 1.0f + r;
	p = high + (r - (high - 1.0f) + p);
	half = n >> 1;
	return p * qdq_two_to(half) * qdq_two_to(n - half);
}

/* Only exp of what is negative, so that nothing cancels or overflows; what 1 + e loses is put right. */
QDQ_FUNCTION float qdq_sigmoid(float v)
{
	float e = qdq_exp(-fabsf(v)), sum = 1.0f + e, lost = e - (sum - 1.0f);
	float quotient = (v < 0 ? e : 1.0f) / sum;

	return fmaf(-(quotient * lost), v < 0 ? 1.0f - quotient : quotient, quotient);
}

QDQ_FUNCTION float qdq_tanh(float v)
{
	float t = fabsf(v), s = v * v, p, large;

	p = -5.717025604e-3f;
	p = fmaf(p, s, 2.065056935e-2f);
	p = fmaf(p, s, -5.374349281e-2f);
	p = fmaf(p, s, 1.333149076e-1f);
	p = fmaf(p, s, -3.333328366e-1f);
	large = 1.0f - 2.0f / (qdq_exp(2.0f * t) + 1.0f);
	return t < 0.625f ? fmaf(v * s, p, v) : copysignf(large, v);
}

/* Near 0 a polynomial; else 1 - exp(-(t + t * p(t))). */
QDQ_FUNCTION float qdq_erf(float v)
{
	float t = fabsf(v), s = v * v, p, q;

	p = 8.538836119e-5f;
	p = fmaf(p, s, -8.181926678e-4f);
	p = fmaf(p, s, 5.204435904e-3f);
	p = fmaf(p, s, -2.686075307e-2f);
	p = fmaf(p, s, 1.128371954e-1f);
	p = fmaf(p, s, -3.761263490e-1f);
	p = fmaf(p, s, 1.283791661e-1f);
	t = t > 4.0f ? 4.0f : t;
	q = 5.600189979e-6f;
	q = fmaf(q, t, -5.363211676e-5f);
	q = fmaf(q, t, -8.635844097e-6f);
	q = fmaf(q, t, 2.817214234e-3f);
	q = fmaf(q, t, -2.249167487e-2f);
	q = fmaf(q, t, 1.050899699e-1f);
	q = fmaf(q, t, 6.357140541e-1f);
	q = fmaf(q, t, 1.285326332e-1f);
	return t < 0.9f ? fmaf(v, p, v) : copysignf(1.0f - qdq_exp(fmaf(-q, t, -t)), v);
}

/* The larger of v and 0, and log(1 + e) of e at most 1. */
QDQ_FUNCTION float qdq_softplus(float v)
{
	float e = qdq_exp(-fabsf(v)), p;

	p = 2.030179137e-3f;
	p = fmaf(p, e, -1.340721920e-2f);
	p = fmaf(p, e, 4.147756472e-2f);
	p = fmaf(p, e, -8.244097233e-2f);
	p = fmaf(p, e, 1.241838038e-1f);
	p = fmaf(p, e, -1.610566676e-1f);
	p = fmaf(p, e, 1.989074051e-1f);
	p = fmaf(p, e, -2.498726994e-1f);
	p = fmaf(p, e, 3.333255947e-1f);
	p = fmaf(p, e, -4.999998212e-1f);
	return (v > 0 ? v : 0.0f) + fmaf(e * e, p, e);
}

QDQ_FUNCTION float qdq_silu(float v)
{
	return v * qdq_sigmoid(v);
}

QDQ_FUNCTION float qdq_gelu(float v)
{
	return 0.5f * v * (1.0f + qdq_erf(v * 0.707106781f));
}

QDQ_FUNCTION float qdq_gelu_tanh(float v)
{
	return 0.5f * v * (1.0f + qdq_tanh(0.797884561f * fmaf(0.044715f * v * v, v, v)));
}

/* tanh(log(1 + e)) = e (e + 2) / (e (e + 2) + 2), where e = exp v; from 20 on it is 1. */
QDQ_FUNCTION float qdq_mish(float v)
{
	float e = qdq_exp(v > 20.0f ? 20.0f : v), n = e * (e + 2.0f);

	return v * (n / (n + 2.0f));
}

QDQ_FUNCTION float qdq_softsign(float v)
{
	return v / (1.0f + fabsf(v));
}

#endif

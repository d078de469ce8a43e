/* SPDX-License-Identifier: Apache-2.0
 *
 * steps.h -- the numbers of a fused operator behind its accumulators, the same on every device
 *
 * An anchor (a contraction, a pool, a load) gives register 0; each step reads one register and writes the next. Registers
 * are floats in a unit of their own: the value of the network is register * unit, and units are chosen so that a rounding
 * step needs no division (docs/design.md, section 10). All functions below are a fixed order of exactly
 * rounded operations (one multiplication, one addition or one fma each), so any compiler that neither contracts nor
 * reorders them gives the same bits.
 */
#ifndef QDQ_EXEC_STEPS_H
#define QDQ_EXEC_STEPS_H

#include <math.h>
#include <stdint.h>

#ifdef __CUDACC__
#define QDQ_NUMERIC __device__ static inline
#else
#define QDQ_NUMERIC static inline
#endif

typedef enum qdq_step_kind {
	QDQ_STEP_CLAMP, /* min(max(v, low), high): Relu, Clip; NaN stays NaN */
	QDQ_STEP_ROUND, /* round half even, saturate: Q, and DQ in the unit of its scale; register = code - zero point */
	QDQ_STEP_AFFINE, /* fma(v, multiplier[c], addend[c]): BatchNormalization, constants per channel */
	QDQ_STEP_ADD,	 /* fma(other, ratio, v): a residual */
	QDQ_STEP_STORE	 /* to memory: code = register + zero point, or the float itself */
} qdq_step_kind;

/* acc * (multiplier + rest) + addend, where the multiplier alone would be half a unit of float32 off. */
QDQ_NUMERIC float qdq_scale(float acc, float multiplier, float rest, float addend)
{
	return fmaf(acc, multiplier, fmaf(acc, rest, addend));
}

/* NaN stays NaN, as in ONNX. Of two zeros v's own stays, so that x86 has an instruction for each line. */
QDQ_NUMERIC float qdq_clamp(float v, float low, float high)
{
	v = low > v ? low : v;
	return high < v ? high : v;
}

/* NaN becomes low, the lowest code. */
QDQ_NUMERIC float qdq_saturate(float v, float low, float high)
{
	v = v > low ? v : low;
	return v < high ? v : high;
}

/* low and high are integers of at most 2^16: clamping first gives the same as clamping last, and leaves few enough bits
 * for the addition of 1.5 * 2^23 to round half to even at the units place. */
QDQ_NUMERIC float qdq_round_step(float v, float low, float high)
{
	const float magic = 12582912.0f;

	return (qdq_saturate(v, low, high) + magic) - magic;
}

#endif

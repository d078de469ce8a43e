/* SPDX-License-Identifier: Apache-2.0
 *
 * fake.c -- fake quantization: floats rounded to a grid, as training tools write it
 *
 *	FakeQuantize   the range low..high is cut into levels - 1 steps (OpenVINO)
 *	Quant          scale, zero point and number of bits (QONNX, Brevitas)
 *
 * Arithmetic is float32, in the order that their definitions give. NaN becomes the least code.
 */
#include <math.h>

#include "kernel.h"

enum { OPERANDS = 5 };

/* The elements of the operands that belong to one element of x. */
typedef float element_fn(const void *what, const float *v);

/* y = f(x, operands broadcast to it); inputs 0 … count - 1 as floats. */
static bool each_element(qdq_eval *e, int count, element_fn *f, const void *what)
{
	const qdq_tensor *x = qdq_eval_in(e, 0);
	int64_t strides[OPERANDS][QDQ_EVAL_RANK], index[QDQ_EVAL_RANK] = {0};
	const double *in[OPERANDS];
	double *y;

	for (int k = 0; k < count; k++) {
		const qdq_tensor *t = qdq_eval_in(e, (uint32_t)k);
		int64_t dims[QDQ_EVAL_RANK];
		int rank;

		if (!qdq_eval_is_real(x) || t == NULL || (k < 3 && !qdq_eval_is_real(t)))
			return false;
		rank = x->rank;
		memcpy(dims, x->dims, (size_t)rank * sizeof *dims);
		if (t->rank > x->rank || !qdq_broadcast_dims(t, &rank, dims) ||
		    (rank != 0 && memcmp(dims, x->dims, (size_t)rank * sizeof *dims) != 0))
			return false; /* x may not grow */
		qdq_broadcast_strides(t, rank, x->dims, strides[k]);
		in[k] = qdq_eval_doubles(e, t);
		if (in[k] == NULL)
			return false;
	}
	y = qdq_eval_new_doubles(e, x->type, x->rank, x->dims);
	if (y == NULL)
		return false;
	for (uint64_t i = 0; i < x->count; i++) {
		float v[OPERANDS];

		for (int k = 0; k < count; k++) {
			int64_t at = 0;

			for (int d = 0; d < x->rank; d++)
				at += index[d] * strides[k][d];
			v[k] = (float)in[k][at];
		}
		y[i] = (double)f(what, v);
		qdq_next_index(x->rank, index, x->dims);
	}
	return qdq_eval_put_doubles(e, 0, x->type, x->rank, x->dims, y);
}

/* ---- FakeQuantize ---- */

/* x, input low and high, output low and high. */
static float fake_quantize(const void *what, const float *v)
{
	float steps = *(const float *)what;
	float least = v[1] < v[2] ? v[1] : v[2], greatest = v[1] < v[2] ? v[2] : v[1];
	float level;

	if (!(v[0] > least))
		return v[3];
	if (v[0] > greatest)
		return v[4];
	level = (float)qdq_round_half_even((double)((v[0] - v[1]) / (v[2] - v[1]) * steps));
	return level / steps * (v[4] - v[3]) + v[3];
}

bool qdq_eval_fake_quantize(qdq_eval *e)
{
	int64_t levels = qdq_attr_int(e->n, "levels", 0);
	float steps = (float)(levels - 1);

	return levels >= 2 && levels <= 1 << 20 && each_element(e, 5, fake_quantize, &steps);
}

/* ---- Quant ---- */

typedef struct form {
	bool narrow, is_signed;
	double (*round)(double x);
} form;

/* x, scale, zero point, bits. */
static float quant(const void *what, const float *v)
{
	const form *f = what;
	float range = ldexpf(1, (int)v[3] - (f->is_signed ? 1 : 0));
	float least = f->is_signed ? -range + (f->narrow ? 1 : 0) : 0;
	float greatest = range - (f->narrow && !f->is_signed ? 2 : 1);
	float y = v[0] / v[1] + v[2];

	y = y > least ? y : least;
	y = y < greatest ? y : greatest;
	y = (float)f->round((double)y) - v[2];
	return (y == 0 ? 0 : y) * v[1]; /* no negative zero */
}

bool qdq_eval_quant(qdq_eval *e)
{
	static const struct {
		const char *name;
		double (*round)(double x);
	} modes[] = {{"ROUND", qdq_round_half_even}, {"FLOOR", floor}, {"CEIL", ceil}, {"ROUND_TO_ZERO", trunc}};
	form f = {.narrow = qdq_attr_int(e->n, "narrow", 0) != 0, .is_signed = qdq_attr_int(e->n, "signed", 1) != 0};
	double bits;

	if (qdq_eval_in(e, 3) == NULL || !qdq_eval_scalar(qdq_eval_in(e, 3), &bits) || !(bits >= 2 && bits <= 32) ||
	    bits != floor(bits))
		return false; /* 1 bit is a sign, and a definition of its own */
	for (size_t i = 0; i < QDQ_COUNTOF(modes); i++)
		if (qdq_attr_string_is(e->n, "rounding_mode", "ROUND", modes[i].name))
			f.round = modes[i].round;
	return f.round != NULL && each_element(e, 4, quant, &f);
}

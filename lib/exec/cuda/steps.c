/* SPDX-License-Identifier: Apache-2.0
 *
 * steps.c -- the steps behind a kernel's accumulators, as a list without registers
 *
 * Each step works on the one current value; what reads an earlier register goes back to the anchor and repeats the way there.
 */
#include "cuda.h"

#include <float.h>
#include <math.h>

typedef struct flattening {
	qdq_cuda_plan *c;
	const qdq_kernel *k;
	qdq_cuda_steps *to;
	bool full;
	double most; /* the current value is a number, and no larger than this; not finite: it may be none */
} flattening;

/* ---- can a value be NaN? ---- */

/* Not of codes and constants, unless these overflow. */
static double checked(double most)
{
	return most <= (double)FLT_MAX / 2 ? most : INFINITY;
}

static double largest(const float *numbers, int64_t count)
{
	double most = 0;

	for (int64_t i = 0; i < count; i++) {
		double one = fabs((double)numbers[i]);

		if (!isfinite(one))
			return INFINITY;
		most = one > most ? one : most;
	}
	return most;
}

/* What is read of a buffer, times its ratio: codes differ from their zero point by at most 255. */
static double most_read(const flattening *f, const qdq_operand *o)
{
	return f->c->p->buffers.items[o->buffer].type == QDQ_TYPE_FLOAT ? INFINITY : 255 * fabs((double)o->ratio);
}

static double most_of_anchor(const flattening *f)
{
	const qdq_kernel *k = f->k;

	switch (k->anchor) {
	case QDQ_ANCHOR_CONTRACT:
		return checked(0x1p31 * largest(k->multiplier, k->channels) + largest(k->addend, k->channels));
	case QDQ_ANCHOR_LOAD:
		return checked(most_read(f, &k->in[0]));
	case QDQ_ANCHOR_MUL:
		return checked(255 * 255 * fabs((double)k->ratio));
	default: /* windows may be empty */
		return INFINITY;
	}
}

static double most_after(const flattening *f, const qdq_cuda_step *to, const qdq_step *s)
{
	double bounds = fmax(fabs((double)to->a), fabs((double)to->b));

	switch (to->kind) {
	case QDQ_CUDA_SCALE:
		return checked(f->most * fabs((double)to->a));
	case QDQ_CUDA_CLAMP:
		return f->most < bounds || !isfinite(f->most) ? f->most : bounds;
	case QDQ_CUDA_ROUND:
		return bounds; /* NaN too becomes one of them */
	case QDQ_CUDA_AFFINE:
		return checked(f->most * largest(s->multiplier, f->k->channels) + largest(s->addend, f->k->channels));
	case QDQ_CUDA_ADD:
		return checked(f->most + most_read(f, &s->other));
	default:
		return f->most;
	}
}

/* ---- one step ---- */

static qdq_cuda_step *append(flattening *f, int32_t kind)
{
	qdq_cuda_step *s;

	if (f->to->count == QDQ_CUDA_STEPS) {
		f->full = true;
		f->to->count--;
	}
	s = &f->to->step[f->to->count++];
	*s = (qdq_cuda_step){.kind = kind};
	return s;
}

static void append_round(flattening *f, const qdq_step *s)
{
	qdq_cuda_step *last = f->to->count > 0 ? &f->to->step[f->to->count - 1] : NULL;

	/* bounds that cross would not be those of one clamp; nor would NaN become the lowest code */
	if (last != NULL && last->kind == QDQ_CUDA_CLAMP && s->before == 1 && last->a <= s->high && s->low <= last->b &&
	    isfinite(f->most)) {
		last->kind = QDQ_CUDA_ROUND;
		last->a = last->a > s->low ? last->a : s->low;
		last->b = last->b < s->high ? last->b : s->high;
		return;
	}
	last = append(f, QDQ_CUDA_ROUND);
	last->a = s->low;
	last->b = s->high;
}

static void append_store(flattening *f, const qdq_step *s, bool last_of_value)
{
	qdq_cuda_step *to = f->to->count > 0 ? &f->to->step[f->to->count - 1] : NULL;
	bool codes = f->c->p->buffers.items[s->other.buffer].type != QDQ_TYPE_FLOAT;

	if (codes && last_of_value && to != NULL && to->kind == QDQ_CUDA_ROUND) {
		to->kind = QDQ_CUDA_ROUND_STORE;
	} else {
		to = append(f, QDQ_CUDA_STORE);
		to->a = s->before;
	}
	qdq_cuda_set_place(f->c, &to->place, &s->other, f->k);
}

static void append_step(flattening *f, const qdq_step *s, bool last_of_value)
{
	qdq_cuda_step *to;
	bool chain = s->kind == QDQ_STEP_ADD && f->to->count == 1; /* that of add.cu, which always scales */

	if ((s->before != 1 || chain) && s->kind != QDQ_STEP_STORE) {
		to = append(f, QDQ_CUDA_SCALE);
		to->a = s->before;
		f->most = most_after(f, to, s);
	}
	switch (s->kind) {
	case QDQ_STEP_CLAMP:
		to = append(f, QDQ_CUDA_CLAMP);
		to->a = s->low;
		to->b = s->high;
		break;
	case QDQ_STEP_ROUND:
		append_round(f, s);
		break;
	case QDQ_STEP_AFFINE:
		to = append(f, QDQ_CUDA_AFFINE);
		qdq_cuda_per_channel(f->c, &to->multiplier, s->multiplier, f->k->channels);
		qdq_cuda_per_channel(f->c, &to->addend, s->addend, f->k->channels);
		break;
	case QDQ_STEP_ADD:
		to = append(f, QDQ_CUDA_ADD);
		to->a = s->other.ratio;
		qdq_cuda_set_place(f->c, &to->place, &s->other, f->k);
		break;
	case QDQ_STEP_STORE:
		append_store(f, s, last_of_value);
		break;
	default:
		f->full = true; /* not covered */
		return;
	}
	f->most = most_after(f, &f->to->step[f->to->count - 1], s);
}

bool qdq_cuda_covers(const qdq_kernel *k)
{
	for (uint32_t i = 0; i < k->n_steps; i++)
		if (k->steps[i].kind > QDQ_STEP_STORE || k->steps[i].other.each_image)
			return false;
	return true;
}

/* ---- all of them ---- */

/* What leads from register 0 to this one: each step reads one register, so there is one way. */
static void append_path(flattening *f, uint32_t reg)
{
	if (reg == 0)
		f->most = most_of_anchor(f);
	for (uint32_t i = 0; reg != 0 && i < f->k->n_steps; i++) {
		const qdq_step *s = &f->k->steps[i];

		if (s->kind != QDQ_STEP_STORE && s->to == reg) {
			append_path(f, s->from);
			append_step(f, s, false);
			return;
		}
	}
}

/* false: more steps than parameters have room for. */
bool qdq_cuda_flatten(qdq_cuda_plan *c, const qdq_kernel *k, qdq_cuda_steps *to)
{
	flattening f = {.c = c, .k = k, .to = to};
	uint32_t current = 0;

	to->spatial = (int32_t)k->spatial;
	to->fetched = -1;
	f.most = most_of_anchor(&f);
	for (uint32_t i = 0; i < k->n_steps && !f.full; i++) {
		const qdq_step *s = &k->steps[i];

		if (s->from != current) {
			append(&f, QDQ_CUDA_RESTART);
			append_path(&f, s->from);
		}
		append_step(&f, s, i + 1 == k->n_steps || k->steps[i + 1].from != s->from);
		current = s->kind == QDQ_STEP_STORE ? s->from : s->to;
	}
	for (int32_t i = 0; i < to->count; i++)
		to->restarts |= to->step[i].kind == QDQ_CUDA_RESTART;
	for (int32_t i = 0; i < to->count && to->fetched < 0; i++)
		if (to->step[i].kind == QDQ_CUDA_ADD && to->step[i].place.type != QDQ_CUDA_FLOAT &&
		    to->step[i].place.pitch >= 16 && to->step[i].place.channel == 0)
			to->fetched = i;
	return !f.full;
}

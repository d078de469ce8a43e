/* SPDX-License-Identifier: Apache-2.0
 *
 * units.c -- the unit of every register, and the multipliers that follow
 *
 * A register that a Q reads has that Q's scale as its unit, so that rounding needs no division; what leads there (a
 * clamp, an addition) has the same. A register that is written as a float has unit 1. Where a register has several
 * readers, the first decides and the others convert. All ratios are computed in double and rounded once.
 */
#include "lower.h"

static double unit_of(const lowering *l, uint32_t reg)
{
	for (size_t i = 0; i < l->steps.count; i++) {
		const qdq_step *s = &l->steps.items[i];

		if (s->kind == QDQ_STEP_ROUND && s->to == reg)
			return l->scales.items[i];
	}
	for (size_t i = 0; i < l->steps.count; i++)
		if (l->steps.items[i].from == reg && l->steps.items[i].kind == QDQ_STEP_STORE)
			return 1;
	for (size_t i = 0; i < l->steps.count; i++) {
		const qdq_step *s = &l->steps.items[i];

		if (s->from == reg)
			return s->kind == QDQ_STEP_ROUND ? l->scales.items[i] : unit_of(l, s->to);
	}
	return 1;
}

/* Codes have the register's unit already where the register is a rounded one. */
static qdq_operand operand(lowering *l, const known *k, double unit)
{
	qdq_operand o = {.buffer = qdq_plan_buffer(l->p, k->outer), .ratio = (float)(1 / unit)};

	if (qdq_type_is_int8(k->outer->type)) {
		o.zero = (float)qdq_quant_zero(&k->quant, 0);
		o.ratio = (float)(qdq_quant_scale(&k->quant, 0) / unit);
	} else if (unit != 1) {
		o.divisor = (float)unit; /* Q divides */
	}
	return o;
}

static void finish_anchor(lowering *l, double unit)
{
	qdq_kernel *k = &l->k;
	double scale = qdq_quant_scale(&l->main.quant, 0);
	float *multiplier, *addend;

	if (k->anchor != QDQ_ANCHOR_CONTRACT) {
		k->in[0] = operand(l, &l->main, unit);
		if (k->anchor == QDQ_ANCHOR_MUL) {
			k->in[1] = operand(l, &l->second, unit);
			k->ratio = (float)(scale * qdq_quant_scale(&l->second.quant, 0) / unit);
		}
		if (k->anchor == QDQ_ANCHOR_MAX || k->anchor == QDQ_ANCHOR_MEAN)
			k->in[0].buffer = qdq_plan_rows(l->p, l->main.outer);
		if (k->anchor == QDQ_ANCHOR_MEAN)
			k->ratio = (float)(scale / unit / (double)(k->window.kh * k->window.kw));
		return;
	}
	k->in[0].buffer = qdq_plan_rows(l->p, l->main.outer);
	k->conv.pitch = l->p->buffers.items[k->in[0].buffer].pitch;
	multiplier = qdq_array(l->p->arena, float, (uint64_t)k->channels);
	addend = qdq_array(l->p->arena, float, (uint64_t)k->channels);
	for (int64_t c = 0; c < k->channels; c++) {
		multiplier[c] = (float)(scale * qdq_quant_scale(&l->weight, (uint64_t)c) / unit);
		addend[c] = l->bias == NULL ? 0 : (float)(l->bias[c] / unit);
	}
	k->multiplier = multiplier;
	k->addend = addend;
}

static void finish_affine(lowering *l, qdq_step *s, double from, double to)
{
	float *multiplier = qdq_array(l->p->arena, float, (uint64_t)l->k.channels);
	float *addend = qdq_array(l->p->arena, float, (uint64_t)l->k.channels);

	for (int64_t c = 0; c < l->k.channels; c++) {
		multiplier[c] = (float)((double)s->multiplier[c] * from / to);
		addend[c] = (float)((double)s->addend[c] / to);
	}
	s->multiplier = multiplier;
	s->addend = addend;
}

static const known *other_of(const lowering *l, size_t step)
{
	for (size_t i = 0; i < l->others.count; i++)
		if (l->others.items[i].step == step)
			return &l->others.items[i].k;
	for (size_t i = 0; i < l->stores.count; i++)
		if (l->stores.items[i].step == step)
			return &l->stores.items[i].k;
	return NULL;
}

static void finish_step(lowering *l, size_t i)
{
	qdq_step *s = &l->steps.items[i];
	double from = l->units.items[s->from], to = l->units.items[s->to];
	const known *other = other_of(l, i);

	s->before = (float)(from / to);
	switch (s->kind) {
	case QDQ_STEP_CLAMP:
		s->low = (float)((double)s->low / to);
		s->high = (float)((double)s->high / to);
		break;
	case QDQ_STEP_AFFINE:
		finish_affine(l, s, from, to);
		s->before = 1;
		break;
	case QDQ_STEP_ADD:
		s->other = operand(l, other, to);
		if (s->other.divisor != 0)
			s->other.ratio = (float)(1 / to);
		s->other.divisor = 0;
		break;
	case QDQ_STEP_STORE:
		s->before = other->outer->type == QDQ_TYPE_FLOAT ? (float)from : 1;
		s->other.zero = (float)qdq_quant_zero(&other->quant, 0);
		break;
	case QDQ_STEP_ROUND:
		break;
	}
}

/* Codes need a register that was rounded to the unit of their scale, or codes that were loaded as they are. */
static bool stores_fit(const lowering *l)
{
	for (size_t i = 0; i < l->stores.count; i++) {
		const known *k = &l->stores.items[i].k;

		if (k->outer->type == QDQ_TYPE_FLOAT
			? k->quant.scale != NULL
			: !qdq_type_is_int8(k->outer->type) || k->quant.type != k->outer->type)
			return false;
	}
	return l->stores.count != 0;
}

bool qdq_lower_finish(lowering *l)
{
	if (!stores_fit(l))
		return false;
	for (size_t r = 0; r < l->units.count; r++)
		l->units.items[r] = unit_of(l, (uint32_t)r);
	finish_anchor(l, l->units.items[0]);
	for (size_t i = 0; i < l->steps.count; i++)
		finish_step(l, i);
	for (size_t i = 0; i < l->stores.count; i++)
		l->steps.items[l->stores.items[i].step].other.buffer =
		    qdq_plan_buffer(l->p, l->stores.items[i].k.outer);
	l->k.steps =
	    memcpy(qdq_array(l->p->arena, qdq_step, l->steps.count), l->steps.items, l->steps.count * sizeof(qdq_step));
	l->k.n_steps = (uint32_t)l->steps.count;
	l->k.n_registers = (uint32_t)l->units.count;
	*qdq_push(l->p->scratch, &l->p->kernels) = l->k;
	return true;
}

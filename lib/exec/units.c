/* SPDX-License-Identifier: Apache-2.0
 *
 * units.c -- the unit of every register, and the multipliers that follow
 *
 * A register that a Q reads has that Q's scale as its unit, so that rounding needs no division; what leads there (a
 * clamp, an addition) has the same. A register that is written as a float has unit 1. Where a register has several
 * readers, the first decides and the others convert. All ratios are computed in double and rounded once.
 */
#include "lower.h"

#define LARGE_BIAS 256.0 /* steps */

/* The steps that a register's unit depends on, counted from 1; 0: there is none. */
typedef struct concern {
	uint32_t giver;	       /* writes it */
	uint32_t first, table; /* the first that reads it; that finds entries by it */
	bool stored;
} concern;

static void note_reader(concern *of, uint32_t nth)
{
	of->first = of->first == 0 ? nth : of->first;
}

static concern *concerns_of(const lowering *l)
{
	concern *of = qdq_array(l->scratch, concern, l->units.count);

	for (uint32_t i = 0; i < l->steps.count; i++) {
		const qdq_step *s = &l->steps.items[i];

		if (s->kind == QDQ_STEP_STORE) {
			of[s->from].stored = true;
			continue;
		}
		of[s->to].giver = i + 1;
		if (s->kind == QDQ_STEP_LOAD)
			continue;
		note_reader(&of[s->from], i + 1);
		if (s->kind == QDQ_STEP_BINARY)
			note_reader(&of[s->second], i + 1);
		if (s->kind == QDQ_STEP_TABLE && of[s->from].table == 0)
			of[s->from].table = i + 1;
	}
	return of;
}

/* The unit that step `nth` wants what it reads in. */
static double unit_wanted(const lowering *l, uint32_t nth)
{
	const qdq_step *s = &l->steps.items[nth - 1];

	if (s->kind == QDQ_STEP_ROUND)
		return l->scales.items[nth - 1];
	if (s->kind == QDQ_STEP_FUNCTION ||
	    (s->kind == QDQ_STEP_BINARY && (s->binary == QDQ_BINARY_MUL || s->binary == QDQ_BINARY_DIV)))
		return 1;
	return l->units.items[s->to];
}

static double unit_of(const lowering *l, const concern *of)
{
	const qdq_step *giver = of->giver != 0 ? &l->steps.items[of->giver - 1] : NULL;

	if (giver != NULL && giver->kind == QDQ_STEP_FUNCTION)
		return 1;
	/* of a ROUND, or of a TABLE that gives codes */
	if (giver != NULL && l->scales.items[of->giver - 1] != 0)
		return l->scales.items[of->giver - 1];
	if (of->table != 0) /* entries are found by codes */
		return l->scales_in.items[of->table - 1];
	return of->stored || of->first == 0 ? 1 : unit_wanted(l, of->first);
}

/* Steps write later registers than they read, so the last comes first. */
static void set_units(lowering *l)
{
	const concern *of = concerns_of(l);

	for (size_t r = l->units.count; r-- > 0;)
		l->units.items[r] = unit_of(l, &of[r]);
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

/* Float32 rounds to the size of a bias, also where the sum nearly cancels it. What is larger than LARGE_BIAS steps goes
 * into the accumulator, which is exact, but for the rest of one of its units. */
static void move_large_biases(lowering *l, double unit, float *addend)
{
	qdq_kernel *k = &l->k;
	int32_t *codes = NULL;

	for (int64_t c = 0; l->bias != NULL && c < k->channels; c++) {
		double step = qdq_quant_scale(&l->main.quant, 0) * qdq_quant_scale(&l->weight, (uint64_t)c);
		double code = nearbyint(l->bias[c] / step);

		if (!(fabs((double)addend[c]) > LARGE_BIAS) || !(fabs(code) + qdq_lower_most(l) <= (double)INT32_MAX))
			continue;
		if (codes == NULL)
			k->bias = codes = qdq_array(l->p->arena, int32_t, (uint64_t)k->channels);
		codes[c] = (int32_t)code;
		addend[c] = (float)((l->bias[c] - code * step) / unit);
	}
}

static void finish_anchor(lowering *l, double unit)
{
	qdq_kernel *k = &l->k;
	double scale = qdq_quant_scale(&l->main.quant, 0);
	float *multiplier, *rest, *addend;

	if (k->anchor != QDQ_ANCHOR_CONTRACT) {
		k->in[0] = operand(l, &l->main, unit);
		if (k->anchor == QDQ_ANCHOR_MUL) {
			k->in[1] = operand(l, &l->second, unit);
			k->ratio = (float)(scale * qdq_quant_scale(&l->second.quant, 0) / unit);
		}
		if (k->anchor == QDQ_ANCHOR_MAX || k->anchor == QDQ_ANCHOR_MEAN)
			k->in[0].buffer = qdq_plan_rows(l->p, l->main.outer, false);
		if (k->anchor == QDQ_ANCHOR_MEAN)
			k->ratio = (float)(scale / unit / (double)(k->window.kh * k->window.kw));
		return;
	}
	k->in[0].buffer = qdq_plan_rows(l->p, l->main.outer, k->last_axis);
	k->conv.pitch = l->p->buffers.items[k->in[0].buffer].pitch;
	if (!l->p->buffers.items[k->in[0].buffer].rows)
		k->conv.pitch = k->conv.c; /* plain, and as good as rows */
	multiplier = qdq_array(l->p->arena, float, (uint64_t)k->channels);
	rest = qdq_array(l->p->arena, float, (uint64_t)k->channels);
	addend = qdq_array(l->p->arena, float, (uint64_t)k->channels);
	for (int64_t c = 0; c < k->channels; c++) {
		double exact = scale * qdq_quant_scale(&l->weight, (uint64_t)c) / unit;

		multiplier[c] = (float)exact;
		rest[c] = isfinite(multiplier[c]) ? (float)(exact - (double)multiplier[c]) : 0;
		addend[c] = l->bias == NULL ? 0 : (float)(l->bias[c] / unit);
	}
	move_large_biases(l, unit, addend);
	k->multiplier = multiplier;
	k->rest = rest;
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

static void finish_table(const lowering *l, qdq_step *s, size_t i, double to)
{
	float *entries = (float *)(uintptr_t)s->table;

	for (int c = 0; l->scales.items[i] == 0 && c < 256; c++)
		entries[c] = (float)((double)entries[c] / to);
}

static void finish_binary(const lowering *l, qdq_step *s, double from, double to)
{
	double second = l->units.items[s->second];

	s->before_second = (float)(second / to);
	if (s->binary != QDQ_BINARY_MUL && s->binary != QDQ_BINARY_DIV)
		return;
	s->before = 1;
	s->before_second = (float)(s->binary == QDQ_BINARY_MUL ? from * second / to : from / second / to);
}

/* By step: the operand that it reads or writes, or NULL. */
static const known **operands_of(const lowering *l)
{
	const known **of = qdq_array(l->scratch, const known *, l->steps.count);

	for (size_t i = 0; i < l->others.count; i++)
		of[l->others.items[i].step] = &l->others.items[i].k;
	for (size_t i = 0; i < l->stores.count; i++)
		of[l->stores.items[i].step] = &l->stores.items[i].k;
	return of;
}

static void finish_step(lowering *l, size_t i, const known *other)
{
	qdq_step *s = &l->steps.items[i];
	double from = l->units.items[s->from], to = l->units.items[s->to];

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
	case QDQ_STEP_LOAD: {
		bool each_image = s->other.each_image;

		s->other = operand(l, other, to);
		s->other.each_image = each_image;
		if (s->other.divisor != 0)
			s->other.ratio = (float)(1 / to);
		s->other.divisor = 0;
		break;
	}
	case QDQ_STEP_TABLE:
		finish_table(l, s, i, to);
		s->before = 1;
		break;
	case QDQ_STEP_BINARY:
		finish_binary(l, s, from, to);
		break;
	case QDQ_STEP_STORE:
		s->before = other->outer->type == QDQ_TYPE_FLOAT ? (float)from : 1;
		s->other.zero = (float)qdq_quant_zero(&other->quant, 0);
		break;
	case QDQ_STEP_ROUND:
	case QDQ_STEP_LEAKY:
	case QDQ_STEP_FUNCTION:
		break;
	}
}

/* ---- steps that nothing comes of ---- */

static void move_steps(other_operand *items, size_t *count, const uint32_t *now)
{
	size_t kept = 0;

	for (size_t i = 0; i < *count; i++)
		if (now[items[i].step] != UINT32_MAX) {
			items[kept] = items[i];
			items[kept++].step = now[items[i].step];
		}
	*count = kept;
}

static void drop_dead_steps(lowering *l)
{
	bool *read = qdq_array(l->scratch, bool, l->units.count);
	uint32_t *now = qdq_array(l->scratch, uint32_t, l->steps.count), kept = 0;

	for (size_t i = l->steps.count; i-- > 0;) {
		const qdq_step *s = &l->steps.items[i];

		now[i] = s->kind == QDQ_STEP_STORE || read[s->to] ? 0 : UINT32_MAX;
		if (now[i] == UINT32_MAX || s->kind == QDQ_STEP_LOAD)
			continue;
		read[s->from] = true;
		if (s->kind == QDQ_STEP_BINARY)
			read[s->second] = true;
	}
	for (size_t i = 0; i < l->steps.count; i++) {
		if (now[i] == UINT32_MAX)
			continue;
		l->steps.items[kept] = l->steps.items[i];
		l->scales.items[kept] = l->scales.items[i];
		l->scales_in.items[kept] = l->scales_in.items[i];
		now[i] = kept++;
	}
	l->steps.count = l->scales.count = l->scales_in.count = kept;
	move_steps(l->others.items, &l->others.count, now);
	move_steps(l->stores.items, &l->stores.count, now);
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
	const known **others;

	if (!stores_fit(l))
		return false;
	drop_dead_steps(l);
	set_units(l);
	others = operands_of(l);
	finish_anchor(l, l->units.items[0]);
	for (size_t i = 0; i < l->steps.count; i++)
		finish_step(l, i, others[i]);
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

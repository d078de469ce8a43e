/* SPDX-License-Identifier: Apache-2.0
 *
 * rows_x86.c -- the commonest chains of steps with AVX-512: from the accumulator to the byte in registers
 *
 * The operations are those of rows.c, in the same order, and so are the bits (steps.h).
 */
#include "rows.h"

#if defined(__x86_64__) && defined(__GNUC__)
#include <immintrin.h>

#define WIDE __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,fma")))
#define ALWAYS static inline __attribute__((always_inline))

/* [CLAMP] ROUND [ADD [CLAMP] ROUND] STORE, each on the register before it; NULL: not there */
typedef struct half {
	const qdq_step *clamp, *round;
} half;

typedef struct chain {
	half first, second;
	const qdq_step *add, *store;
} chain;

/* ---- recognizing ---- */

static bool bytes_in_rows(const qdq_row *row, const qdq_operand *o)
{
	const qdq_buffer *b = &row->buffers[o->buffer];

	return b->rows && b->type != QDQ_TYPE_FLOAT;
}

/* The next step, if it is of this kind and reads what the one before has written. */
static const qdq_step *next_step(const qdq_kernel *k, uint32_t *at, int kind)
{
	const qdq_step *s = &k->steps[*at];

	if (*at == k->n_steps || s->kind != kind || s->from != (*at == 0 ? 0 : s[-1].to))
		return NULL;
	if (s->before != 1 && kind != QDQ_STEP_ADD && kind != QDQ_STEP_STORE)
		return NULL;
	++*at;
	return s;
}

static bool half_of(const qdq_kernel *k, uint32_t *at, half *h)
{
	h->clamp = next_step(k, at, QDQ_STEP_CLAMP);
	h->round = next_step(k, at, QDQ_STEP_ROUND);
	return h->round != NULL;
}

static bool chain_of(const qdq_row *row, chain *c)
{
	const qdq_kernel *k = row->k;
	uint32_t at = 0;

	*c = (chain){.store = NULL};
	if (k->grid.sh != 0 || !half_of(k, &at, &c->first))
		return false;
	c->add = next_step(k, &at, QDQ_STEP_ADD);
	if (c->add != NULL && !(bytes_in_rows(row, &c->add->other) && half_of(k, &at, &c->second)))
		return false;
	c->store = next_step(k, &at, QDQ_STEP_STORE);
	return c->store != NULL && at == k->n_steps && bytes_in_rows(row, &c->store->other);
}

/* ---- running ---- */

/* Both instructions give their second operand where one is NaN: in qdq_clamp that is v, in qdq_saturate the bound. */
WIDE ALWAYS __m512 clamped(__m512 v, const qdq_step *s)
{
	return _mm512_min_ps(_mm512_set1_ps(s->high), _mm512_max_ps(_mm512_set1_ps(s->low), v));
}

WIDE ALWAYS __m512 saturated(__m512 v, const qdq_step *s)
{
	return _mm512_min_ps(_mm512_max_ps(v, _mm512_set1_ps(s->low)), _mm512_set1_ps(s->high));
}

WIDE ALWAYS __m512 halved(__m512 v, const half *h, const bool clamps)
{
	const __m512 magic = _mm512_set1_ps(12582912.0f);

	if (clamps)
		v = clamped(v, h->clamp);
	return _mm512_sub_ps(_mm512_add_ps(saturated(v, h->round), magic), magic);
}

WIDE ALWAYS __m512 added(__m512 v, const qdq_step *s, __m128i bytes, const bool is_signed)
{
	__m512i codes = is_signed ? _mm512_cvtepi8_epi32(bytes) : _mm512_cvtepu8_epi32(bytes);
	__m512 other = _mm512_sub_ps(_mm512_cvtepi32_ps(codes), _mm512_set1_ps(s->other.zero));

	return _mm512_fmadd_ps(other, _mm512_set1_ps(s->other.ratio), _mm512_mul_ps(v, _mm512_set1_ps(s->before)));
}

/* Where up to 16 channels of the pixels are, in the accumulators and in memory. */
typedef struct column {
	const int32_t *acc;
	int64_t acc_pitch, pixels;
	const char *other;
	char *to;
	int64_t other_pitch, to_pitch;
	__mmask16 mask;
	__m512i bias;
	__m512 multiplier, rest, addend;
} column;

WIDE ALWAYS void run_column(const chain *c, const column *m, const bool all, const bool adds, const bool is_signed,
			    const bool clamps)
{
	const __m512 zero = _mm512_set1_ps(c->store->other.zero);
	const __m512i bias = m->bias;
	const __m512 multiplier = m->multiplier, rest = m->rest, addend = m->addend;
	const int32_t *acc = m->acc;
	const char *other = m->other;
	char *to = m->to;

	for (int64_t i = 0; i < m->pixels; i++, acc += m->acc_pitch, to += m->to_pitch) {
		__m512i sum =
		    _mm512_add_epi32(all ? _mm512_loadu_si512(acc) : _mm512_maskz_loadu_epi32(m->mask, acc), bias);
		__m512 real = _mm512_cvtepi32_ps(sum);
		__m512 v = halved(_mm512_fmadd_ps(real, multiplier, _mm512_fmadd_ps(real, rest, addend)), &c->first,
				  adds ? c->first.clamp != NULL : clamps);
		__m128i bytes;

		if (adds) {
			bytes = all ? _mm_loadu_si128((const __m128i *)(const void *)other)
				    : _mm_maskz_loadu_epi8(m->mask, other);
			v = halved(added(v, c->add, bytes, is_signed), &c->second, clamps);
			other += m->other_pitch;
		}
		bytes = _mm512_cvtepi32_epi8(_mm512_cvttps_epi32(_mm512_add_ps(v, zero)));
		if (all)
			_mm_storeu_si128((__m128i *)(void *)to, bytes);
		else
			_mm_mask_storeu_epi8(to, m->mask, bytes);
	}
}

WIDE static void run_plain(const chain *c, const column *m)
{
	bool all = m->mask == 0xffff;

	if (c->first.clamp != NULL)
		run_column(c, m, false, false, false, true);
	else if (all)
		run_column(c, m, true, false, false, false);
	else
		run_column(c, m, false, false, false, false);
}

WIDE static void run_adding(const chain *c, const column *m, bool is_signed)
{
	bool clamps = c->second.clamp != NULL;

	if (is_signed && clamps)
		run_column(c, m, false, true, true, true);
	else if (is_signed)
		run_column(c, m, false, true, true, false);
	else if (clamps)
		run_column(c, m, false, true, false, true);
	else
		run_column(c, m, false, true, false, false);
}

static char *at_pixel(const qdq_row *row, const qdq_operand *o, int64_t pixel, int64_t channel)
{
	return row->data[o->buffer] + pixel * row->buffers[o->buffer].pitch + o->channel + channel;
}

WIDE bool qdq_row_tile_avx512(const qdq_row *row, const qdq_tile *t)
{
	const qdq_kernel *k = row->k;
	chain c;

	if (!chain_of(row, &c))
		return false;
	for (int64_t i = 0; i < t->channels; i += 16) {
		int64_t channel = t->channel + i;
		column m = {.acc = t->acc + i, .acc_pitch = t->pitch, .pixels = t->pixels};

		m.mask = (__mmask16)(t->channels - i >= 16 ? 0xffff : (1 << (t->channels - i)) - 1);
		m.bias = k->bias != NULL ? _mm512_maskz_loadu_epi32(m.mask, k->bias + channel) : _mm512_setzero_si512();
		m.multiplier = _mm512_maskz_loadu_ps(m.mask, k->multiplier + channel);
		m.rest = _mm512_maskz_loadu_ps(m.mask, k->rest + channel);
		m.addend = _mm512_maskz_loadu_ps(m.mask, k->addend + channel);
		m.to = at_pixel(row, &c.store->other, t->pixel, channel);
		m.to_pitch = row->buffers[c.store->other.buffer].pitch;
		if (c.add != NULL) {
			const qdq_buffer *b = &row->buffers[c.add->other.buffer];

			m.other = at_pixel(row, &c.add->other, t->pixel, channel);
			m.other_pitch = b->pitch;
			run_adding(&c, &m, b->type == QDQ_TYPE_INT8);
		} else {
			run_plain(&c, &m);
		}
	}
	return true;
}

/* ---- an image of few channels, from floats in planes to codes of 4 bytes a pixel ---- */

static bool turns_image(const qdq_row *row, chain *c)
{
	const qdq_kernel *k = row->k;
	const qdq_buffer *from = &row->buffers[k->in[0].buffer], *to;

	if (k->anchor != QDQ_ANCHOR_LOAD || from->rows || from->type != QDQ_TYPE_FLOAT || k->channels > 4 ||
	    from->dims[1] != k->channels || k->in[0].channel != 0 || !chain_of(row, c) || c->add != NULL)
		return false;
	to = &row->buffers[c->store->other.buffer];
	return to->pitch == 4 && to->channels == k->channels && c->store->other.channel == 0;
}

WIDE ALWAYS __m512 loaded(const qdq_operand *o, __m512 v)
{
	if (o->divisor != 0)
		return _mm512_div_ps(v, _mm512_set1_ps(o->divisor));
	return o->ratio != 1 ? _mm512_mul_ps(v, _mm512_set1_ps(o->ratio)) : v;
}

WIDE bool qdq_rows_image_avx512(const qdq_row *row, int64_t pixel, int64_t pixels)
{
	const qdq_kernel *k = row->k;
	int64_t count;
	chain c;

	if (!turns_image(row, &c))
		return false;
	for (int64_t p = pixel; p < pixel + pixels; p += count) {
		int64_t in_image = p % k->spatial, left = pixel + pixels - p;
		const char *from = row->data[k->in[0].buffer] + ((p - in_image) * k->channels + in_image) * 4;
		__m512i codes = _mm512_setzero_si512();
		__mmask16 mask;

		count = left < k->spatial - in_image ? left : k->spatial - in_image;
		count = count < 16 ? count : 16;
		mask = (__mmask16)((1 << count) - 1);
		for (int64_t ch = 0; ch < k->channels; ch++, from += k->spatial * 4) {
			__m512 v = halved(loaded(&k->in[0], _mm512_maskz_loadu_ps(mask, from)), &c.first,
					  c.first.clamp != NULL);
			__m512i code = _mm512_cvttps_epi32(_mm512_add_ps(v, _mm512_set1_ps(c.store->other.zero)));

			code = _mm512_and_si512(code, _mm512_set1_epi32(0xff));
			codes = _mm512_or_si512(codes, _mm512_sll_epi32(code, _mm_cvtsi32_si128((int)ch * 8)));
		}
		_mm512_mask_storeu_epi32(at_pixel(row, &c.store->other, p, 0), mask, codes);
	}
	return true;
}
#endif

/* SPDX-License-Identifier: Apache-2.0
 *
 * pack.c -- weights in the order in which the micro-kernels read them
 */
#include "kernels.h"

const char *const qdq_isa_names[QDQ_ISA_COUNT] = {"c", "avx2", "vnni"};

qdq_isa qdq_isa_best(void)
{
#if defined(__x86_64__) && defined(__GNUC__)
	if (__builtin_cpu_supports("avx512vnni") && __builtin_cpu_supports("avx512bw") &&
	    __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("fma"))
		return QDQ_ISA_VNNI;
	if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
		return QDQ_ISA_AVX2;
#endif
	return QDQ_ISA_C;
}

static int32_t zero_of(const qdq_conv *g, int64_t k)
{
	return g->zw == NULL ? 0 : g->zw[k];
}

/* VNNI multiplies s8 weights: u8 ones are moved by 128, and then no zero point may be left. */
static bool bytes_do(const qdq_conv *g)
{
	for (int64_t k = 0; k < g->k; k++)
		if (zero_of(g, k) != (g->w_signed ? 0 : 128))
			return false;
	return true;
}

/* Calls put with every weight less its zero point and its place in the packed order, in elements. */
static void each_weight(const qdq_filter *f, const qdq_conv *g, int64_t unit,
			void (*put)(void *to, int64_t at, int32_t weight), void *to)
{
	int64_t cg = g->c / g->groups, kg = g->k / g->groups, taps = g->kh * g->kw;

	for (int64_t k = 0; k < g->k; k++) {
		int64_t in_group = k % kg, block = (k / kg * f->group_channels + in_group) / QDQ_NR;

		for (int64_t t = 0; t < taps; t++) {
			for (int64_t c = 0; c < cg; c++) {
				int64_t e = t * f->tap + c;
				int64_t at =
				    ((block * (f->depth / unit) + e / unit) * QDQ_NR + in_group % QDQ_NR) * unit;

				put(to, at + e % unit, qdq_weight(g, k, c, t));
			}
		}
	}
}

static void put_wide(void *to, int64_t at, int32_t weight)
{
	((int16_t *)to)[at] = (int16_t)weight;
}

static void put_byte(void *to, int64_t at, int32_t weight)
{
	((int8_t *)to)[at] = (int8_t)weight;
}

/* The zero point of x times the sum of the weights, which every window has too much. */
static void set_start(const qdq_filter *f, const qdq_conv *g, int32_t *start)
{
	int64_t cg = g->c / g->groups, kg = g->k / g->groups;
	int32_t zx = g->zx + (g->x_signed ? 128 : 0);

	for (int64_t k = 0; k < g->k; k++) {
		int32_t sum = 0;

		for (int64_t t = 0; t < g->kh * g->kw; t++)
			for (int64_t c = 0; c < cg; c++)
				sum += qdq_weight(g, k, c, t);
		start[k / kg * f->group_channels + k % kg] = -zx * sum;
	}
}

/* Of 16 channels, unpacking gives 0 to 3 and 8 to 11 first, then the others; of each channel both taps of a pair. */
static void pack_pairs(qdq_arena *a, qdq_filter *f, const qdq_conv *g)
{
	int64_t taps = g->kh * g->kw, pairs = (taps + 1) / 2;
	int16_t *out = qdq_array(a, int16_t, (size_t)(g->k / 16 * pairs * 32));

	for (int64_t k = 0; k < g->k / 16 * 16; k++) {
		int64_t lane = k % 16 / 4 % 2 * 8 + k % 16 / 8 * 4 + k % 4;

		for (int64_t t = 0; t < taps; t++)
			out[((k / 16 * pairs + t / 2) * 16 + lane) * 2 + t % 2] = (int16_t)(qdq_weight(g, k, 0, t));
	}
	f->pairs = out;
}

static void pack_depthwise(qdq_arena *a, qdq_filter *f, const qdq_conv *g)
{
	int32_t *taps = qdq_array(a, int32_t, (size_t)(g->kh * g->kw * g->k));

	if (f->isa >= QDQ_ISA_AVX2)
		pack_pairs(a, f, g);

	for (int64_t t = 0; t < g->kh * g->kw; t++)
		for (int64_t k = 0; k < g->k; k++)
			taps[t * g->k + k] = qdq_weight(g, k, 0, t);
	f->taps = taps;
}

const qdq_filter *qdq_filter_pack(qdq_arena *a, const qdq_conv *g, qdq_isa isa)
{
	qdq_filter *f = qdq_new(a, qdq_filter);
	int64_t cg = g->c / g->groups, kg = g->k / g->groups, count;
	int32_t *start;
	void *weights;

	*f = (qdq_filter){
	    .g = *g, .isa = isa, .form = isa == QDQ_ISA_VNNI && bytes_do(g) ? QDQ_FORM_BYTES : QDQ_FORM_WIDE};
	f->g.weights = NULL;
	f->g.zw = NULL;
	if (qdq_is_depthwise(g)) {
		f->form = QDQ_FORM_DEPTHWISE;
		pack_depthwise(a, f, g);
		return f;
	}
	f->tap = g->groups == 1 ? g->pitch : (cg + 3) / 4 * 4;
	f->depth = g->kh * g->kw * f->tap;
	f->group_channels = (kg + QDQ_NR - 1) / QDQ_NR * QDQ_NR;
	count = g->groups * f->group_channels * f->depth;
	start = qdq_array(a, int32_t, (size_t)(g->groups * f->group_channels));
	weights = qdq_alloc_array(a, (size_t)count + 64, f->form == QDQ_FORM_BYTES ? 1 : 2);
	if (f->form == QDQ_FORM_BYTES) {
		each_weight(f, g, 4, put_byte, weights);
		set_start(f, g, start);
	} else {
		each_weight(f, g, 2, put_wide, weights);
	}
	f->weights = weights;
	f->start = start;
	return f;
}

int64_t qdq_filter_block(const qdq_filter *f)
{
	return f->form == QDQ_FORM_DEPTHWISE ? 16 : f->g.groups == 1 ? QDQ_NR : f->g.k / f->g.groups;
}

/* SPDX-License-Identifier: Apache-2.0
 *
 * pack.c -- weights as the kernels on the device read them
 *
 * The left operand of a product is the window: taps of `span` channels; the right one signed bytes. A weight less its zero
 * point may need more than a byte; then the window is taken several times, and the weight is the sum of its parts. Groups
 * are dense: a tile of 64 outputs has the channels of all groups that it touches, with zeros between.
 */
#include "cuda.h"

#include <stdlib.h>

enum { GROUP_TILE = 64, FEW_CHANNELS = 32 };

/* One channel is a product like any other. */
bool qdq_cuda_is_depthwise(const qdq_conv *g)
{
	return g->groups > 1 && qdq_is_depthwise(g);
}

static int32_t part_of(int32_t weight, int copy)
{
	int32_t part = 0;

	for (int i = 0; i <= copy; i++) {
		weight -= part;
		part = weight < -128 ? -128 : weight > 127 ? 127 : weight;
	}
	return part;
}

static int32_t copies_of(const qdq_conv *g)
{
	int32_t copies = 1;

	if (g->w_signed && g->zw == NULL)
		return 1;
	for (int64_t k = 0; k < g->k; k++)
		for (int64_t c = 0; c < g->c / g->groups; c++)
			for (int64_t t = 0; t < g->kh * g->kw; t++)
				while (part_of(qdq_weight(g, k, c, t), copies) != 0)
					copies++;
	return copies;
}

/* The first input channel of the tile that has output k. */
static int64_t first_channel(const qdq_conv *g, int64_t k)
{
	int64_t tile = k / GROUP_TILE * GROUP_TILE;

	return g->groups == 1 || g->pitch == 4 ? 0 : tile / (g->k / g->groups) * (g->c / g->groups) & ~INT64_C(15);
}

static int32_t span_of(const qdq_conv *g)
{
	int64_t span = g->groups == 1 || g->pitch == 4 ? g->pitch : 0;

	for (int64_t k = 0; g->groups != 1 && g->pitch != 4 && k < g->k; k++) {
		int64_t end = (k / (g->k / g->groups) + 1) * (g->c / g->groups) - first_channel(g, k);

		end = (end + 15) / 16 * 16;
		span = end > span ? end : span;
	}
	return (int32_t)span;
}

/* Taps of a window's row for few.cu. */
static int32_t padded_row(const qdq_conv *g)
{
	return (int32_t)(g->kw + 3) / 4 * 4;
}

/* 64 channels of all taps, then the next 64: what windows share is read again soon. */
int32_t qdq_cuda_window_place(const qdq_conv *g, int32_t span, int32_t t, int32_t c)
{
	int32_t taps = (int32_t)(g->kh * g->kw), kw = (int32_t)g->kw, chunk = span % 64 == 0 ? 64 : span;

	if (g->pitch == 4 && !qdq_cuda_is_depthwise(g))
		return (t / kw * padded_row(g) + t % kw) * 4 + c;
	return t / taps * taps * span + (c / chunk * taps + t % taps) * chunk + c % chunk;
}

static void pack_output(const qdq_conv *g, const qdq_cuda_filter *f, int64_t k, int8_t *out)
{
	int64_t cg = g->c / g->groups, taps = g->kh * g->kw;
	int64_t shift = k / (g->k / g->groups) * cg - first_channel(g, k);

	for (int copy = 0; copy < f->copies; copy++)
		for (int64_t c = 0; c < cg; c++) {
			for (int64_t t = 0; t < taps; t++) {
				int32_t at =
				    qdq_cuda_window_place(g, f->span, (int32_t)(copy * taps + t), (int32_t)(shift + c));

				out[at] = (int8_t)(f->copies == 1 ? qdq_weight(g, k, c, t)
								  : part_of(qdq_weight(g, k, c, t), copy));
			}
		}
}

static void pack_windows(const qdq_conv *g, const qdq_cuda_filter *f, int8_t *out)
{
	for (int64_t k = 0; k < g->k; k++)
		pack_output(g, f, k, out + k * f->depth);
}

/* few.cu: a word of a warp's 32 channels and 32 bytes of depth is for lane, block of 8 channels and half; the channels of a
 * lane's accumulators are adjacent. */
static void pack_fragments(const qdq_conv *g, const qdq_cuda_filter *f, const int8_t *windows, int8_t *out)
{
	int64_t words = f->depth * FEW_CHANNELS / 4;

	for (int64_t i = 0; i < words * ((g->k + FEW_CHANNELS - 1) / FEW_CHANNELS); i++) {
		int64_t part = i / words, step = i % words / 256, lane = i % 128 / 4, half = i % 2;
		int64_t block = i % 256 / 128 * 2 + i % 4 / 2, column = lane / 4;
		int64_t k = part * FEW_CHANNELS + column / 2 * 8 + block * 2 + column % 2;

		memset(out + i * 4, 0, 4);
		if (k < g->k)
			memcpy(out + i * 4, windows + k * f->depth + step * 32 + half * 16 + lane % 4 * 4, 4);
	}
}

static void pack_depthwise(const qdq_conv *g, const qdq_cuda_filter *f, int8_t *out)
{
	int64_t taps = g->kh * g->kw, padded = (g->k + 127) / 128 * 128;

	for (int64_t k = 0; k < g->k; k++)
		for (int64_t t = 0; t < taps * f->copies; t++)
			out[(t / 4 * padded + k) * 4 + t % 4] =
			    (int8_t)part_of(qdq_weight(g, k, 0, t % taps), (int)(t / taps));
}

struct packing {
	qdq_cuda_device *d;
	qdq_cuda_filter *f;
};

static void pack(void *arg, qdq_arena *scratch)
{
	struct packing *j = arg;
	qdq_cuda_device *d = j->d;
	qdq_cuda_filter *f = j->f;
	const qdq_conv *g = &f->g;
	bool few = g->pitch == 4;
	int64_t taps = g->kh * g->kw, unit = few ? 32 : 64;
	int64_t places = few ? g->kh * padded_row(g) : taps; /* of taps */
	bool depthwise = qdq_cuda_is_depthwise(g);
	uint64_t size;
	int8_t *bytes;

	f->copies = copies_of(g);
	f->span = span_of(g);
	if (depthwise) {
		f->depth = (int32_t)((taps * f->copies + 3) / 4);
		size = (uint64_t)f->depth * (uint64_t)((g->k + 127) / 128 * 128) * 4;
	} else {
		f->depth = (int32_t)((places * f->copies * f->span + unit - 1) / unit * unit);
		size = (uint64_t)f->depth * (uint64_t)(few ? (g->k + 63) / 64 * 64 : g->k);
	}
	f->sums = qdq_array(d->base.arena, int32_t, (uint64_t)g->k);
	f->largest = qdq_array(d->base.arena, int64_t, (uint64_t)g->k);
	for (int64_t k = 0; k < g->k; k++)
		for (int64_t c = 0; c < g->c / g->groups; c++)
			for (int64_t t = 0; t < taps; t++) {
				f->sums[k] += qdq_weight(g, k, c, t);
				f->largest[k] += abs(qdq_weight(g, k, c, t));
			}
	bytes = qdq_alloc(scratch, (size_t)size);
	memset(bytes, 0, (size_t)size);
	if (depthwise) {
		pack_depthwise(g, f, bytes);
	} else if (few) {
		int8_t *windows = qdq_alloc(scratch, (size_t)size);

		memset(windows, 0, (size_t)size);
		pack_windows(g, f, windows);
		pack_fragments(g, f, windows, bytes);
	} else {
		pack_windows(g, f, bytes);
	}
	f->weights = qdq_cuda_alloc(d, size, "weights");
	d->weights += size;
	qdq_cuda_check(d, d->driver.to_device(f->weights, bytes, (size_t)size, d->own), "copying weights", NULL);
	qdq_cuda_check(d, d->driver.stream_wait(d->own), "copying weights", NULL);
}

const qdq_cuda_filter *qdq_cuda_filter_of(qdq_cuda_device *d, const qdq_conv *g)
{
	qdq_cuda_filter *f = d->filters;

	while (f != NULL && !(f->ready && qdq_same_weights(&f->g, g)))
		f = f->next;
	if (f != NULL)
		return f;
	f = qdq_new(d->base.arena, qdq_cuda_filter);
	f->g = *g;
	f->next = d->filters; /* in the list at once, so that its memory is freed whatever happens */
	d->filters = f;
	qdq_with_scratch(d->base.ctx, pack, &(struct packing){d, f});
	f->ready = true;
	return f;
}

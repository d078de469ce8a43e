/* SPDX-License-Identifier: Apache-2.0
 *
 * tactics.c -- which tile, and in how many parts to split the window's sum
 *
 * The estimate counts waves of blocks and what a block does one after the other: a start, steps along the window, the
 * epilogue, and the meeting of splits. Numbers are microseconds, fitted to one H100.
 */
#include "cuda.h"

// clang-format off
const qdq_tile_shape qdq_tiles[QDQ_TILES] = {
	/* pixels, channels, stages, threads, blocks */
	{ 128, 128, 3, 128, 2 },
	{ 128, 128, 4, 256, 2 },
	{ 128,  64, 4, 128, 3 },
	{  64,  64, 4, 128, 4 },
	{ 128,  32, 4, 128, 4 },
	{  32,  64, 6, 128, 4 },
};
// clang-format on

int qdq_tile_shared(const qdq_tile_shape *s)
{
	return s->stages * (s->pixels + s->channels) * 64 + 3 * s->channels * 4 + s->pixels * s->channels;
}

static double estimate(const qdq_cuda_device *d, int64_t pixels, int64_t channels, int32_t depth, qdq_tactic t)
{
	const qdq_tile_shape *s = &qdq_tiles[t.tile];
	int64_t tiles = (pixels + s->pixels - 1) / s->pixels * ((channels + s->channels - 1) / s->channels);
	int64_t blocks = tiles * t.splits, steps = (depth / 64 + t.splits - 1) / t.splits;
	double each = (double)(s->pixels * s->channels) / 16384; /* of the largest tile */
	double on_one = (double)blocks / d->multiprocessors;
	double waves = on_one < 1 ? 1 : on_one;
	/* a multiprocessor's time for a step of all its blocks, and the latency of a step, which several blocks share */
	double work = waves * ((double)steps * (0.17 * each + 0.03) + 0.9 * each + 0.1);
	double rounds = (double)((blocks + d->multiprocessors * s->blocks - 1) / (d->multiprocessors * s->blocks));
	double latency = rounds * ((double)steps * 0.18 + 1.5);

	return (work > latency ? work : latency) + (t.splits > 1 ? 1.5 + 0.1 * t.splits : 0);
}

int qdq_cuda_tactics(const qdq_cuda_device *d, int64_t pixels, int64_t channels, int32_t depth, bool groups,
		     qdq_tactic *out, int most)
{
	static const int splits[] = {1, 2, 3, 4, 6, 8, 12, 16};
	double cost[64];
	int n = 0;

	for (int tile = 0; tile < QDQ_TILES; tile++) {
		if (groups && qdq_tiles[tile].channels != 64)
			continue;
		for (int i = 0; i < 8; i++) {
			qdq_tactic t = {tile, splits[i]};
			double c;
			int at = n;

			if (splits[i] > 1 && depth / 64 < 2 * splits[i])
				continue;
			c = estimate(d, pixels, channels, depth, t);
			for (; at > 0 && cost[at - 1] > c; at--) {
				if (at < most) {
					cost[at] = cost[at - 1];
					out[at] = out[at - 1];
				}
			}
			if (at < most) {
				cost[at] = c;
				out[at] = t;
				n += n < most;
			}
		}
	}
	return n;
}

/* A forced one: 1 + tile + QDQ_TILES * log2 of the splits. */
qdq_tactic qdq_cuda_tactic(const qdq_cuda_device *d, int64_t pixels, int64_t channels, int32_t depth, bool groups)
{
	qdq_tactic t;
	int forced = d->tactic - 1;

	(void)qdq_cuda_tactics(d, pixels, channels, depth, groups, &t, 1);
	if (forced < 0 || (groups && qdq_tiles[forced % QDQ_TILES].channels != 64))
		return t;
	t.tile = forced % QDQ_TILES;
	t.splits = 1 << (forced / QDQ_TILES % 5);
	while (t.splits > depth / 64)
		t.splits /= 2;
	return t;
}

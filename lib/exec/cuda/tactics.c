/* SPDX-License-Identifier: Apache-2.0
 *
 * tactics.c -- which tile, and in how many parts to split the window's sum
 *
 * The estimate is linear: a multiprocessor's first block takes a while for itself, for each step along the window and for
 * what it adds; further blocks take less, since they overlap; splits meet at the end. The numbers of each tile are
 * microseconds, least squares over the contractions of ResNet-50 and MobileNet at batches 1, 8 and 128 on one H100; other
 * devices differ by about the same factor for all.
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
	{  32,  64, 8, 128, 4 },
};
// clang-format on

int qdq_tile_shared(const qdq_tile_shape *s)
{
	return s->stages * (s->pixels + s->channels) * 64 + 3 * s->channels * 4 + s->pixels * s->channels;
}

typedef struct cost {
	double first, step, add;	  /* of the first block */
	double more, more_step, more_add; /* of each further one on the same multiprocessor */
	double meet, split;		  /* of split sums: at all, for each part */
} cost;

// clang-format off
static const cost costs[QDQ_TILES] = {
	{ 4.878, 0.983, 5.154, 3.175, 0.691, 1.622, 3.709, 0.624 },
	{ 4.259, 0.828, 3.339, 2.650, 0.753, 1.341, 3.299, 0.585 },
	{ 3.385, 0.839, 2.359, 1.471, 0.384, 0.421, 2.480, 0.453 },
	{ 2.984, 0.559, 1.920, 0.700, 0.215, 0.259, 1.957, 0.379 },
	{ 2.981, 0.717, 1.720, 0.849, 0.257, 0.256, 1.905, 0.350 },
	{ 2.660, 0.409, 1.001, 0.476, 0.155, 0.149, 1.592, 0.288 },
};
// clang-format on

static double estimate(const qdq_cuda_device *d, const qdq_contraction *c, qdq_tactic t)
{
	const qdq_tile_shape *s = &qdq_tiles[t.tile];
	const cost *k = &costs[t.tile];
	int64_t tiles = (c->pixels + s->pixels - 1) / s->pixels * ((c->channels + s->channels - 1) / s->channels);
	double steps = (double)((c->depth / 64 + t.splits - 1) / t.splits);
	double more = (double)(tiles * t.splits) / d->multiprocessors - 1, adds = c->adds ? 1 : 0;

	more = more < 0 ? 0 : more;
	return k->first + k->step * steps + k->add * adds +
	       more * (k->more + k->more_step * steps + k->more_add * adds) +
	       (t.splits > 1 ? k->meet + k->split * t.splits : 0);
}

int qdq_cuda_tactics(const qdq_cuda_device *d, const qdq_contraction *c, qdq_tactic *out, int most)
{
	static const int splits[] = {1, 2, 3, 4, 6, 8, 12, 16};
	double found[64];
	int n = 0;

	for (int tile = 0; tile < QDQ_TILES; tile++) {
		if (c->groups && qdq_tiles[tile].channels != 64)
			continue;
		for (int i = 0; i < 8; i++) {
			qdq_tactic t = {tile, splits[i]};
			double estimated;
			int at = n;

			if (splits[i] > 1 && c->depth / 64 < 2 * splits[i])
				continue;
			estimated = estimate(d, c, t);
			for (; at > 0 && found[at - 1] > estimated; at--) {
				if (at < most) {
					found[at] = found[at - 1];
					out[at] = out[at - 1];
				}
			}
			if (at < most) {
				found[at] = estimated;
				out[at] = t;
				n += n < most;
			}
		}
	}
	return n;
}

/* A forced one: 1 + tile + QDQ_TILES * log2 of the splits. */
qdq_tactic qdq_cuda_tactic(const qdq_cuda_device *d, const qdq_contraction *c)
{
	qdq_tactic t;
	int forced = d->tactic - 1;

	(void)qdq_cuda_tactics(d, c, &t, 1);
	if (forced < 0 || (c->groups && qdq_tiles[forced % QDQ_TILES].channels != 64))
		return t;
	t.tile = forced % QDQ_TILES;
	t.splits = 1 << (forced / QDQ_TILES % 5);
	while (t.splits > c->depth / 64)
		t.splits /= 2;
	return t;
}

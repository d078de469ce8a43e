/* SPDX-License-Identifier: Apache-2.0
 *
 * tactics.c -- which tile, and in how many parts to split the window's sum
 *
 * The estimate is linear: a multiprocessor's first block takes a while for itself, for each step along the window and for
 * what it adds; blocks that find room beside it take less, since they overlap, and those that come when there is none left
 * take their time again; splits meet at the end. The numbers of each tile are microseconds: least squares of relative errors
 * over the contractions of ResNet-50 and MobileNet at batches 1, 8 and 128 on one H100, then changed a little at a time while
 * what is chosen there took less. On those it takes 1 to 3 % more than the best. Other devices differ by about the same factor for all.
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
	{ 128, 128, 4, 256, 2 },
};
// clang-format on

int qdq_tile_shared(const qdq_tile_shape *s)
{
	return s->stages * (s->pixels + s->channels) * 64 + 4 * s->channels * 4 + s->pixels * s->channels;
}

typedef struct cost {
	double first, step, add;    /* of the first block */
	double beside, beside_step; /* of each further one on the same multiprocessor, while there is room */
	double later, later_step;   /* and of those that wait for it */
	double more_add;	    /* of all but the first */
	double meet, split;	    /* of split sums: at all, for each part */
} cost;

// clang-format off
static const cost costs[QDQ_TILES] = {
	{ 2.992, 0.732, 1.462, 1.491, 0.130, 1.792, 1.067, 0.778, 3.391, 0.718 },
	{ 3.032, 0.764, 0.702, 1.590, 0.210, 1.398, 0.804, 0.674, 2.773, 0.483 },
	{ 2.334, 0.716, 0.606, 0.842, 0.084, 1.099, 0.339, 0.282, 2.002, 0.447 },
	{ 2.281, 0.323, 0.182, 0.327, 0.038, 0.613, 0.290, 0.117, 1.190, 0.339 },
	{ 2.691, 0.374, 0.091, 0.426, 0.258, 0.741, 0.217, 0.159, 1.447, 0.354 },
	{ 2.310, 0.222, 0.012, 0.147, 0.043, 0.508, 0.150, 0.019, 1.045, 0.291 },
	{ 3.319, 0.545, 0.445, 2.644, 0.160, 2.580, 0.684, 0.647, 3.232, 0.498 },
};
// clang-format on

static double estimate(const qdq_cuda_device *d, const qdq_contraction *c, qdq_tactic t)
{
	const qdq_tile_shape *s = &qdq_tiles[t.tile];
	const cost *k = &costs[t.tile];
	int64_t tiles = (c->pixels + s->pixels - 1) / s->pixels * ((c->channels + s->channels - 1) / s->channels);
	double steps = (double)((c->depth / 64 + t.splits - 1) / t.splits), adds = c->adds ? 1 : 0;
	int64_t more = (tiles * t.splits + d->multiprocessors - 1) / d->multiprocessors - 1;
	int64_t beside = more < s->blocks - 1 ? more : s->blocks - 1;

	return k->first + k->step * steps + k->add * adds + (double)beside * (k->beside + k->beside_step * steps) +
	       (double)(more - beside) * (k->later + k->later_step * steps) + (double)more * k->more_add * adds +
	       (t.splits > 1 ? k->meet + k->split * t.splits : 0);
}

bool qdq_cuda_tile_fits(const qdq_cuda_device *d, const qdq_contraction *c, int tile)
{
	return (!c->groups || qdq_tiles[tile].channels == 64) &&
	       (tile != QDQ_TILE_GROUPS || (d->warp_groups && c->chain));
}

int qdq_cuda_tactics(const qdq_cuda_device *d, const qdq_contraction *c, qdq_tactic *out, int most)
{
	static const int splits[] = {1, 2, 3, 4, 6, 8, 12, 16};
	double found[64];
	int n = 0;

	for (int tile = 0; tile < QDQ_TILES; tile++) {
		if (!qdq_cuda_tile_fits(d, c, tile))
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
	if (forced < 0 || !qdq_cuda_tile_fits(d, c, forced % QDQ_TILES))
		return t;
	t.tile = forced % QDQ_TILES;
	t.splits = 1 << (forced / QDQ_TILES % 5);
	while (t.splits > c->depth / 64)
		t.splits /= 2;
	return t;
}

/* SPDX-License-Identifier: Apache-2.0
 *
 * cpu.h -- integer kernels of the CPU: exact accumulators of contractions on 8-bit codes
 *
 * Activations are NHWC codes, one byte each. A kernel computes
 *
 *      acc[p][k] = sum over r, s, c of (x[pixel of p moved by r, s][c] - zx) * (w[k][c][r][s] - zw[k])
 *
 * in int32, exactly and in any order, for a range of output pixels p and output channels k, and hands it over in tiles.
 * Outside the image x is zx, so padding adds nothing. Whoever plans has shown that no sum leaves int32.
 */
#ifndef QDQ_EXEC_CPU_H
#define QDQ_EXEC_CPU_H

#include "../../base/base.h"

/* A convolution, or a matrix product: 1 x 1 with h = w = 1 and n rows. */
typedef struct qdq_conv {
	int64_t n, h, w, c;	    /* of the input: images, rows, columns, channels of all groups */
	int64_t oh, ow, k;	    /* of the output; k channels of all groups */
	int64_t kh, kw;		    /* window */
	int64_t sh, sw;		    /* strides */
	int64_t dh, dw;		    /* dilations */
	int64_t top, left;	    /* padding; below and on the right it follows from oh and ow */
	int64_t groups;		    /* divides c and k */
	int64_t pitch;		    /* bytes from pixel to pixel of the input: c rounded up to 4 at least */
	bool x_signed, w_signed;    /* s8, else u8 */
	int32_t zx;		    /* zero point of the input */
	const uint8_t *weights;	    /* codes; see qdq_weight */
	int64_t by_k, by_c, by_tap; /* how far apart they are for an output, an input of its group, a tap */
	const int32_t *zw;	    /* k zero points of the weights; NULL: all 0 */
} qdq_conv;

/* The weight of output k for input c of its group and tap t (row-major in the window), less its zero point. */
static inline int32_t qdq_weight(const qdq_conv *g, int64_t k, int64_t c, int64_t t)
{
	uint8_t code = g->weights[k * g->by_k + c * g->by_c + t * g->by_tap];

	return (g->w_signed ? (int8_t)code : code) - (g->zw != NULL ? g->zw[k] : 0);
}

/* Has every channel a window and an output of its own? */
static inline bool qdq_is_depthwise(const qdq_conv *g)
{
	return g->groups == g->c && g->groups == g->k;
}

/* Have both the same weights, for windows of the same shape and pitch? Then they may be packed once. The same codes with
 * other zero points are other weights. */
static inline bool qdq_same_weights(const qdq_conv *a, const qdq_conv *b)
{
	bool zeros = a->zw != NULL || b->zw != NULL;

	if (a->weights != b->weights || a->c != b->c || a->k != b->k || a->kh != b->kh || a->kw != b->kw ||
	    a->groups != b->groups || a->pitch != b->pitch || a->w_signed != b->w_signed || a->by_k != b->by_k ||
	    a->by_c != b->by_c)
		return false;
	for (int64_t k = 0; zeros && k < a->k; k++)
		if ((a->zw != NULL ? a->zw[k] : 0) != (b->zw != NULL ? b->zw[k] : 0))
			return false;
	return true;
}

/* Instruction sets, each with all before it. */
typedef enum qdq_isa {
	QDQ_ISA_C,
	QDQ_ISA_AVX2,
	QDQ_ISA_VNNI,
	QDQ_ISA_COUNT
} qdq_isa;		    /* AVX2 with FMA; AVX-512 VNNI, BW, DQ, VL */
qdq_isa qdq_isa_best(void); /* that this machine has */
extern const char *const qdq_isa_names[QDQ_ISA_COUNT];

/* Weights in the order in which a kernel of one instruction set reads them. */
typedef struct qdq_filter qdq_filter;

/* A filter for geometry g, allocated in a; g's weights are copied, g itself too. n, h, w, oh, ow may change later (see
 * qdq_conv_run), the rest may not. */
const qdq_filter *qdq_filter_pack(qdq_arena *a, const qdq_conv *g, qdq_isa isa);
int64_t qdq_filter_block(const qdq_filter *f); /* ranges of channels begin at multiples of it */

/* A tile: `pixels` output pixels from the `pixel`-th on (counted through n, oh, ow), `channels` channels from `channel`
 * on; acc[i * pitch + j] belongs to pixel + i and channel + j. */
typedef struct qdq_tile {
	const int32_t *acc;
	int64_t pitch;
	int64_t pixel, pixels;
	int64_t channel, channels;
} qdq_tile;
typedef void qdq_tile_fn(void *user, const qdq_tile *t);

/* Bytes of scratch memory that one call of qdq_conv_run needs, aligned to 64. */
size_t qdq_conv_scratch(const qdq_filter *f, const qdq_conv *g);

/* Computes pixels [pixel, pixel + pixels) and channels [channel, channel + channels) and calls `use` for each tile; every
 * element of the range is in exactly one tile. g: as packed, but for n, h, w, oh, ow. x: g->n * g->h * g->w pixels; bytes
 * between c and pitch are read but do not matter. Several threads may run ranges of one filter at a time, each with
 * scratch memory of its own. */
void qdq_conv_run(const qdq_filter *f, const qdq_conv *g, const uint8_t *x, int64_t pixel, int64_t pixels,
		  int64_t channel, int64_t channels, void *scratch, qdq_tile_fn *use, void *user);

#endif

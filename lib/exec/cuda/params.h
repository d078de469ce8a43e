/* SPDX-License-Identifier: Apache-2.0
 *
 * params.h -- what the host hands to the kernels, read by C and by CUDA
 *
 * Activations are rows: pixels of adjacent 8-bit codes, `pitch` bytes apart, a multiple of 16 (4 where a pixel has at most 4
 * channels). Addresses are the device's, as integers.
 */
#ifndef QDQ_EXEC_CUDA_PARAMS_H
#define QDQ_EXEC_CUDA_PARAMS_H

#include <stdint.h>

#define QDQ_CUDA_STEPS 14 /* of one kernel at most */

/* A buffer as a kernel sees it. pitch 0: plain, [n][total][spatial]; else rows. */
typedef struct qdq_cuda_place {
	uint64_t at;
	int32_t type;	 /* QDQ_CUDA_U8, S8, FLOAT */
	int32_t pitch;	 /* bytes */
	int32_t total;	 /* of plain: channels of the tensor */
	int32_t channel; /* where this kernel's channels begin */
	int32_t limit;	 /* of a store: channels up to here may be written in whole vectors */
	float zero;
} qdq_cuda_place;

enum { QDQ_CUDA_U8, QDQ_CUDA_S8, QDQ_CUDA_FLOAT };

/* Steps as in steps.h, flattened: each works on the one current value. RESTART goes back to the anchor's. */
enum {
	QDQ_CUDA_RESTART,
	QDQ_CUDA_SCALE, /* v * a */
	QDQ_CUDA_CLAMP, /* between a and b */
	QDQ_CUDA_ROUND,
	QDQ_CUDA_AFFINE,
	QDQ_CUDA_ADD,	     /* fma(place - zero, a, v) */
	QDQ_CUDA_STORE,	     /* a float: v * a; codes: v + zero */
	QDQ_CUDA_ROUND_STORE /* both, codes */
};

typedef struct qdq_cuda_step {
	int32_t kind;
	float a, b;
	uint64_t multiplier, addend; /* float per channel, padded to 128 */
	qdq_cuda_place place;
} qdq_cuda_step;

typedef struct qdq_cuda_steps {
	int32_t count, spatial; /* spatial: pixels of an image */
	int32_t restarts;	/* are there RESTARTs? */
	int32_t fetched;	/* the ADD whose codes may be fetched ahead, as whole vectors; -1: none */
	qdq_cuda_step step[QDQ_CUDA_STEPS];
} qdq_cuda_steps;

/* 16 bytes of every window: where, from the window's first pixel, and in which row and column of the window. */
typedef struct qdq_cuda_unit {
	int32_t offset;
	int16_t dy, dx;
} qdq_cuda_unit;

/* acc[p][k] = sum over the window of x * w, from 16-byte units of channels. */
typedef struct qdq_cuda_contract {
	uint64_t x, weights; /* [k][depth], s8; depth a multiple of 64 */
	uint64_t units;	     /* qdq_cuda_unit[n_units] */
	uint64_t start;	     /* int32 per channel, padded to 128: bias, and what zero points add */
	uint64_t multiplier, rest, addend;
	uint64_t partial, counters; /* of split sums */
	uint64_t padding;	    /* 16 bytes of the zero point */
	int32_t pixels, channels, depth, n_units;
	int32_t h, w, oh, ow, sh, sw, top, left, pitch;
	int32_t image;			     /* bytes of an input image */
	int32_t group_inputs, group_outputs; /* 0: one group */
	int32_t x_signed;
	int32_t small;		/* no sum leaves 22 bits: then the conversion to float is an addition */
	int32_t pointwise;	/* every window is one pixel, and they follow each other */
	int32_t regular;	/* units need no table: taken once, all taps of 64 channels, then the next 64 */
	int32_t kh, kw, dh, dw; /* of those */
	int32_t splits, steps_each;
	int32_t columns; /* tiles of channels */
	qdq_cuda_steps steps;
} qdq_cuda_contract;

/* The same for at most 4 channels: pixels are words, and rows of a window are padded to 4 taps; depth is a multiple of 32.
 * weights: for each 32 channels and each 32 bytes of depth, 2 times 16 bytes for each lane; see few.cu. A block makes
 * tile_rows rows of `groups` times 16 outputs, and warps times 32 channels. */
typedef struct qdq_cuda_few {
	uint64_t x, weights;
	uint64_t start, multiplier, rest, addend; /* padded to 128 */
	int32_t channels, depth;
	int32_t h, w, oh, ow, kh, kw, sh, sw, dh, dw, top, left;
	int32_t x_signed, pad; /* pad: the zero point, in each byte */
	int32_t groups, tile_rows, warps;
	int32_t patch_h, patch_w;    /* what a block's windows cover */
	int32_t from_floats, inputs; /* x is [n][inputs][h][w], floats, and quantized on the way */
	float divisor, low, high, zero;
	float scale, distance; /* 1 / divisor, rounded; how near to an integer its products must be to be right */
	qdq_cuda_steps steps;
} qdq_cuda_few;

/* Depthwise: 4 taps at a time. weights: [quads][channels padded to 128] of 4 s8, one for each tap. */
typedef struct qdq_cuda_depthwise {
	uint64_t x, weights, units; /* units: 4 for each quad */
	uint64_t start, multiplier, rest, addend;
	int32_t pixels, channels, quads;
	int32_t h, w, oh, ow, sh, sw, top, left, pitch, image;
	int32_t x_signed, pad, pointwise;
	qdq_cuda_steps steps;
} qdq_cuda_depthwise;

enum { QDQ_CUDA_LOAD, QDQ_CUDA_MUL, QDQ_CUDA_MAX, QDQ_CUDA_MEAN };

typedef struct qdq_cuda_rows {
	int32_t anchor, pixels, channels;
	int32_t pixels_first; /* adjacent threads have adjacent pixels */
	qdq_cuda_place in[2];
	float ratio0, divisor, ratio;
	int32_t h, w, oh, ow, kh, kw, sh, sw, dh, dw, top, left, count_pads;
	qdq_cuda_steps steps;
} qdq_cuda_rows;

#endif

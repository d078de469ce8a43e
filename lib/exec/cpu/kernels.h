/* SPDX-License-Identifier: Apache-2.0
 *
 * kernels.h -- private to lib/exec/cpu: packed filters, panels, micro-kernels
 *
 * A convolution is a matrix product of gathered windows and weights. A panel holds the windows of some pixels, one after
 * the other, `depth` elements each: kh * kw taps of the channels of one group, each tap padded to a multiple of 4. Two
 * forms:
 *
 *      WIDE    int16, zero points already subtracted: plain C and AVX2 (pairs of products, added exactly)
 *      BYTES   u8 windows (s8 turned by 128) times s8 weights: VNNI, four products at a time; what the zero point of x adds
 *              is the same for all pixels, and is in `start`
 */
#ifndef QDQ_EXEC_KERNELS_H
#define QDQ_EXEC_KERNELS_H

#include "cpu.h"

#define QDQ_NR 32	/* channels of a block of weights */
#define QDQ_MR_BYTES 12 /* pixels that the micro-kernels take at most */
#define QDQ_MR_WIDE 4

typedef enum qdq_form { QDQ_FORM_WIDE, QDQ_FORM_BYTES, QDQ_FORM_DEPTHWISE } qdq_form;

struct qdq_filter {
	qdq_conv g; /* as packed; weights and zw are gone */
	qdq_isa isa;
	qdq_form form;
	int64_t tap, depth;	/* elements of a tap and of a window */
	int64_t group_channels; /* outputs of a group, rounded up to QDQ_NR */
	const void *weights;	/* [group][block][depth / unit][QDQ_NR][unit], unit 2 (WIDE) or 4 (BYTES) elements */
	const int32_t *start;	/* of the accumulators, by group and channel: [groups * group_channels] */
	const int16_t
	    *pairs; /* DEPTHWISE with AVX2: [k / 16][(kh * kw + 1) / 2][32], in the order of the unpack instructions */
	const int32_t *taps; /* DEPTHWISE: [kh * kw][k] weights less their zero points */
};

/* acc[i * pitch + j] for i < rows (at most MR) windows and the QDQ_NR channels of one block. */
typedef void qdq_micro(const void *panel, int64_t depth, const void *weights, const int32_t *start, int32_t *acc,
		       int64_t pitch, int64_t rows);

void qdq_micro_wide_c(const void *panel, int64_t depth, const void *weights, const int32_t *start, int32_t *acc,
		      int64_t pitch, int64_t rows);
void qdq_micro_wide_avx2(const void *panel, int64_t depth, const void *weights, const int32_t *start, int32_t *acc,
			 int64_t pitch, int64_t rows);
void qdq_micro_bytes_vnni(const void *panel, int64_t depth, const void *weights, const int32_t *start, int32_t *acc,
			  int64_t pitch, int64_t rows);

/* acc[i] = sum over the taps of (taps[t][i] - zx) * weight, for `channels` channels, a multiple of 16. taps: an even number
 * of pointers, 2 * pairs. */
void qdq_depthwise_avx2(const uint8_t *const *taps, int64_t pairs, const int16_t *weights, int64_t channels, int32_t zx,
			bool x_signed, int32_t *acc);

#endif

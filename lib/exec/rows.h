/* SPDX-License-Identifier: Apache-2.0
 *
 * rows.h -- running a kernel's steps on the CPU, some pixels of adjacent channels at a time
 */
#ifndef QDQ_EXEC_ROWS_H
#define QDQ_EXEC_ROWS_H

#include "exec.h"

#define QDQ_ROW 512 /* elements at a time: channels of one pixel, or few channels of several */

/* One kernel at work on one thread. */
typedef struct qdq_row {
	const qdq_kernel *k;
	qdq_isa isa;
	const qdq_buffer *buffers;
	char *const *data;     /* by buffer */
	float *registers;      /* k->n_registers * QDQ_ROW */
	int64_t pixel, pixels; /* pixels * count is QDQ_ROW at most */
	int64_t channel, count;
	bool plane; /* pixels of one image, of one channel */
} qdq_row;

/* The accumulators of a contraction, for the row's pixels and channels. */
void qdq_row_contract(qdq_row *row, const int32_t *acc, int64_t pitch);
/* Any other anchor: pixels [pixel, pixel + pixels), all channels. */
void qdq_rows_run(qdq_row *row, int64_t pixel, int64_t pixels);
/* rows_x86.c: the same for a whole tile and for an image of few channels; false: the steps are others than it knows. */
bool qdq_row_tile_avx512(const qdq_row *row, const qdq_tile *t);
bool qdq_rows_image_avx512(const qdq_row *row, int64_t pixel, int64_t pixels);

#endif

/* SPDX-License-Identifier: Apache-2.0
 *
 * rows.h -- running a kernel's steps on the CPU, one row (adjacent channels of one pixel) at a time
 */
#ifndef QDQ_EXEC_ROWS_H
#define QDQ_EXEC_ROWS_H

#include "exec.h"

#define QDQ_ROW 256 /* channels at a time */

/* One kernel at work on one thread. */
typedef struct qdq_row {
	const qdq_kernel *k;
	qdq_isa isa;
	const qdq_buffer *buffers;
	char *const *data; /* by buffer */
	float *registers;  /* k->n_registers * QDQ_ROW */
	int64_t pixel, channel, count;
} qdq_row;

/* The accumulators of a contraction for row->count channels. */
void qdq_row_contract(qdq_row *row, const int32_t *acc);
/* Any other anchor: pixels [pixel, pixel + pixels), all channels. */
void qdq_rows_run(qdq_row *row, int64_t pixel, int64_t pixels);

#endif

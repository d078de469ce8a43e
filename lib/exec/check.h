/* SPDX-License-Identifier: Apache-2.0
 *
 * check.h -- fused operators beside their Q/DQ nodes
 */
#ifndef QDQ_EXEC_CHECK_H
#define QDQ_EXEC_CHECK_H

#include "backend.h"

/* Kernel i has run, with buffers at data. If it has written the last of a fused operator, that also runs as its Q/DQ
 * nodes, and each element that differs is given to call->check with the rounding that caused it. Throws QDQ_EMODEL. */
void qdq_check_kernel(const qdq_plan *p, char *const *data, size_t i, const qdq_call *call);

/* run.c: a value as a plain tensor; NULL: it is absent. */
const qdq_tensor *qdq_plan_tensor(const qdq_plan *p, char *const *data, qdq_arena *a, const qdq_value *v);
/* The same of a buffer that holds v, whose memory is `data`. (run.c) */
const qdq_tensor *qdq_buffer_tensor(qdq_arena *a, const qdq_value *v, const qdq_buffer *b, char *data);

#endif

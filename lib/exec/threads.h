/* SPDX-License-Identifier: Apache-2.0
 *
 * threads.h -- a few threads that share the parts of one job
 */
#ifndef QDQ_EXEC_THREADS_H
#define QDQ_EXEC_THREADS_H

#include "../base/base.h"

typedef struct qdq_threads qdq_threads;

/* count: the caller's own thread included; at least 1. Fewer where the system gives no more. Throws QDQ_ENOMEM. */
qdq_threads *qdq_threads_start(qdq_arena *a, int count);
void qdq_threads_stop(qdq_threads *t);
int qdq_threads_count(const qdq_threads *t);

/* part(user, i, thread) for every i below parts, each once; returns when all are done. `thread` tells which of the
 * threads it is, to choose scratch memory. Parts must not throw. */
void qdq_threads_run(qdq_threads *t, int64_t parts, void (*part)(void *user, int64_t i, int thread), void *user);

#endif

/* SPDX-License-Identifier: Apache-2.0
 *
 * run.h -- executing a plan on the CPU
 */
#ifndef QDQ_EXEC_RUN_H
#define QDQ_EXEC_RUN_H

#include "../../include/qdqopt_exec.h"
#include "exec.h"
#include "threads.h"

/* Where everything is while a plan runs. */
typedef struct qdq_run_memory {
	char *arena;					    /* plan->size bytes, aligned to 64 */
	const void *const *inputs;			    /* by graph input; NULL: it has a default */
	void *const *outputs;				    /* by graph output */
	void (*check)(void *user, const qdq_difference *d); /* see qdq_session_options */
	void *user;
} qdq_run_memory;

/* Runs all kernels. Throws QDQ_EMODEL, naming the node that lib/eval refused, and QDQ_ENOMEM. */
void qdq_plan_run(const qdq_plan *p, const qdq_run_memory *memory, qdq_threads *threads);

#endif

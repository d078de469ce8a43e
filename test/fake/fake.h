/* SPDX-License-Identifier: Apache-2.0
 *
 * fake.h -- a CUDA driver without a GPU: device memory is the heap, kernels are C (kernels.c), work is done when it is
 * waited for
 *
 * What no driver would allow ends the program with a message.
 */
#ifndef QDQ_TEST_FAKE_H
#define QDQ_TEST_FAKE_H

#include <stdbool.h>

#include "../../lib/exec/cuda/driver.h"

/* The symbol `qdq_fake` of the library. */
typedef struct qdq_fake_control {
	long calls;	  /* so far */
	long fail_at;	  /* the call that fails, counted from 1; 0: none */
	bool lost;	  /* and all behind it */
	const char *only; /* counts calls of this function only; NULL: of all but those that explain errors */
	CUresult error;
	const char *failed; /* the function that failed last; NULL: none did */
	int version, devices, major;
	/* what there is */
	int contexts, modules, allocations, streams, events, graphs, executables;
	unsigned long long bytes; /* of allocations */
	long launches, splits, graph_launches;
} qdq_fake_control;

/* kernels.c */
typedef struct fake_launch {
	const char *name;
	unsigned grid[2], block, shared;
	void *params;
} fake_kernel_launch;
size_t fake_params_size(const char *name); /* 0: there is no such kernel */
void fake_run(const fake_kernel_launch *l);

/* Ends the program. */
_Noreturn void fake_fault(const char *what, const char *name);

#endif

/* SPDX-License-Identifier: Apache-2.0
 *
 * backend.h -- what a device is to a session: it makes plans ready and runs them
 */
#ifndef QDQ_EXEC_BACKEND_H
#define QDQ_EXEC_BACKEND_H

#include "../../include/qdqopt_exec.h"
#include "exec.h"

typedef struct qdq_device qdq_device;

/* One run: where inputs are and outputs go. */
typedef struct qdq_call {
	const qdq_binding *const *inputs;		    /* by graph input; NULL: it has a default */
	qdq_binding *const *outputs;			    /* by graph output; data has room for size bytes */
	void (*check)(void *user, const qdq_difference *d); /* see qdq_session_options */
	void (*profile)(void *user, const qdq_kernel_profile *k);
	int (*progress)(void *user, size_t done, size_t total);
	void *user;
} qdq_call;

/* call.c: is the kernel to run? If not, the device waits for what may be under way and cancels: throws QDQ_ECANCELLED. */
bool qdq_call_goes_on(const qdq_call *call, const qdq_plan *p, size_t kernel);
QDQ_NORETURN void qdq_call_cancel(const qdq_plan *p, size_t kernel);
/* What is known of a kernel before it runs; the time is left 0. */
qdq_kernel_profile qdq_describe_kernel(const qdq_plan *p, const qdq_kernel *k);
double qdq_microseconds(void); /* of a clock that only goes forward */

typedef struct qdq_backend {
	const char *name;
	/* Bytes from pixel to pixel of ROWS of so many channels. */
	int64_t (*pitch)(int64_t channels);
	/* Has the device the steps of this kernel? If not, a contraction is cut in two, and the CPU runs the rest. NULL: all. */
	bool (*covers)(const qdq_kernel *k);
	/* A plan made ready, in the device's arena: weights packed (once for all plans), kernels chosen. Throws QDQ_ENOMEM,
	 * QDQ_EDEVICE. */
	void *(*prepare)(qdq_device *d, const qdq_plan *p);
	/* Throws QDQ_EMODEL (lib/eval refused a node), QDQ_ENOMEM, QDQ_EDEVICE, QDQ_ECANCELLED. */
	void (*run)(qdq_device *d, void *prepared, const qdq_call *call);
	/* Fills in what a device knows: instructions, threads, device memory, kernels that ran elsewhere. */
	void (*facts)(const qdq_device *d, const void *prepared, qdq_session_facts *out);
	void (*close)(qdq_device *d);
} qdq_backend;

struct qdq_device {
	const qdq_backend *backend;
	qdq_ctx *ctx;
	qdq_arena *arena;
};

/* The CPU: instruction sets up to isa, so many threads. Throws QDQ_ENOMEM. */
qdq_device *qdq_cpu_open(qdq_ctx *ctx, qdq_arena *a, qdq_isa isa, int threads);
/* One kernel of a plan that qdq_cpu_open's device made ready, also where that plan has another device's pitches: the
 * buffers that it reads and writes are at data, by index. */
void qdq_cpu_run_kernel(qdq_device *cpu, void *prepared, char **data, size_t kernel);

/* An NVIDIA GPU, closed yet; cpu runs what has no kernel there. Then the nth is opened, for a model of so many inputs and
 * outputs; throws QDQ_EDEVICE with a message that says what is missing. close must be called either way. */
qdq_device *qdq_cuda_new(qdq_ctx *ctx, qdq_arena *a, qdq_device *cpu);
void qdq_cuda_open(qdq_device *d, int nth, const qdq_session_options *o, size_t inputs, size_t outputs);

#endif

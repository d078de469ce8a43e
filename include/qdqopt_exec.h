/* SPDX-License-Identifier: Apache-2.0
 *
 * qdqopt_exec.h -- running optimized networks (this interface may change faster than qdqopt.h)
 *
 *	qdq_session *s;
 *	qdq_binding in = {.name = "input", .type = QDQ_TYPE_FLOAT, .rank = 4, .dims = {1, 3, 224, 224},
 *			  .data = pixels, .size = sizeof pixels};
 *	qdq_binding out = {.name = "output"};
 *
 *	qdq_optimize(m, NULL);
 *	if (qdq_session_new(&s, m, NULL) == QDQ_OK && qdq_session_run(s, &in, 1, &out, 1) == QDQ_OK)
 *		use(out.data, out.size);
 *	qdq_session_free(s);
 *
 * Fused operators run in integers; their results are the same bits on every machine and with any number of threads.
 * Pointwise operators on floats run in the same kernels. Contractions of floats go through OpenBLAS where libopenblas.so.0
 * can be loaded (a note is given where it cannot), everything else through the reference evaluator, which is right but slow.
 *
 * Contractions of floats are the only results that are not the same bits on every machine. They are within the bound of
 * sums in float32 of the exact result: so many roundings as a sum has terms, each of 2^-24 of the sum of the absolute
 * values of all terms. On one machine they depend neither on the number of threads nor on the batch. OpenBLAS is called
 * from the session's own threads, never for a task that it would divide, and none of its settings is touched.
 *
 * A session belongs to the thread that its model's context belongs to; sessions of different contexts run in parallel.
 */
#ifndef QDQOPT_EXEC_H
#define QDQOPT_EXEC_H

#include "qdqopt.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct qdq_session qdq_session;

/* An element of a fused operator's output where the integers and its Q/DQ nodes, computed in float32, part, and the
 * rounding that caused it: the first Q on the element's way whose codes differ. Both had the same codes before it, so its
 * two codes are a step apart. Either `is_exact`, or the number that was to be rounded is no farther from a tie than
 * `tolerance`; what comes behind it follows and is not judged. Its strings live as long as the session. */
typedef struct qdq_difference {
	const char *node, *tensor;
	uint64_t index;	      /* of the element, row-major */
	double got, expected; /* codes, or floats */
	const char *rounding; /* the tensor that this Q gives; NULL: there is none, the floats differ by themselves */
	double rounding_got, rounding_expected; /* its codes */
	double value;	  /* what it rounded, in steps from the zero point, as the integers have it: in float32 */
	double exact;	  /* and as the meaning of the Q/DQ nodes has it: in real numbers, from the codes before it on;
			     `value` where the evaluator cannot tell. Without a rounding the float itself, else `got` */
	double tie;	  /* how far `exact` is from the nearest tie, in steps */
	int is_exact;	  /* the integers have the code that `exact` rounds to, or a float within 1e-5 of it: the nodes'
			     float32 went astray */
	double tolerance; /* how far the integers' float32 can bring it: 1e-5, or 2^-22 of the largest number on the way
			     from the codes before it, where that is more: beyond 42 steps */
	int has_accumulator; /* of a contraction: */
	int32_t accumulator; /* its exact sum, with the zero points' terms and an int32 bias */
} qdq_difference;

/* A kernel that has run. Its strings live as long as the session. */
typedef struct qdq_kernel_profile {
	const char *node,
	    *op; /* the operator that it is a part of; of a fused one what it was fused around. "": a copy of an input */
	const char *kernel; /* "contract", "depthwise", "load", "mul", "max", "mean"; "sgemm": OpenBLAS; "node": the
				  reference evaluator; cuda:
				  the function on the device, as "contract_128x64" */
	int elsewhere;	    /* cuda: it ran on the CPU, and the time includes copies there and back */
	double microseconds;
	uint64_t operations; /* two for each multiply-accumulate; 0: none, or not known */
	uint64_t bytes;	     /* that it must move at least: inputs, weights and outputs once, without padding */
} qdq_kernel_profile;

#define QDQ_SESSION_OPTIONS_VERSION 2
typedef struct qdq_session_options {
	uint32_t version;
	/* Not NULL: every fused operator also runs as its Q/DQ nodes, on the same inputs; called for each element that
	 * differs (codes: at all; floats: by more than 1e-5 of the larger of 1 and the expected value). On the CPU only. */
	void (*check)(void *user, const qdq_difference *d);
	void *user;		  /* of check, profile and progress */
	int threads;		  /* 0: one for each core */
	const char *instructions; /* "c", "avx2" or "vnni" at most; NULL: the best that there is */
	const char *device;	  /* "cpu" (also NULL), "cuda" or "cuda:N" */
	void *stream; /* cuda: a CUstream of the device's primary context; NULL: one of the session's own. With a stream
			 and only device pointers a run returns once its work is enqueued */
	int time_tactics; /* cuda: the ways to run each operator are timed, not estimated; results are the same */
	int tactic;	  /* cuda, for tests: 1 + the index of the way that is forced where it fits; 0: none */
	/* Not NULL: each kernel of a run is timed and reported once, in order; on a GPU when the run has ended, and there
	 * without a CUDA graph, so that a run takes longer. Results are the same. */
	void (*profile)(void *user, const qdq_kernel_profile *k);
	/* Not NULL: called in front of each kernel (of a CUDA graph: once, with 0 done); not 0 ends the run with
	 * QDQ_ECANCELLED. Outputs then hold anything; the session may be used again. */
	int (*progress)(void *user, size_t done, size_t total);
} qdq_session_options;

/* Prepares m, which must stay as it is while the session lives; free the session before m and its context. The
 * strings of the options are not kept. QDQ_EUSAGE, QDQ_ENOMEM, QDQ_EDEVICE (no driver, no such GPU, or a library without
 * kernels for it). */
QDQ_API qdq_status qdq_session_new(qdq_session **out, qdq_model *m, const qdq_session_options *options);
QDQ_API void qdq_session_free(qdq_session *s); /* NULL is accepted */

#define QDQ_BINDING_RANK 8

/* A tensor that goes in or comes out: dense, row-major, little-endian. */
typedef struct qdq_binding {
	const char *name;
	qdq_type type;
	int rank;
	int64_t dims[QDQ_BINDING_RANK];
	void *data;  /* of an output: NULL takes memory of the session, valid until the next run or the session's end */
	size_t size; /* bytes at data */
	int on_device; /* data is an address on the session's GPU, aligned to 16 */
} qdq_binding;

/* Runs the network once. inputs: one for each input of the model that has no default, in any order. outputs: name, and
 * data and size if wanted; the rest is filled in. Dimensions with symbols are bound by the inputs; for each set of shapes
 * a plan is made once. QDQ_EUSAGE (a missing or unknown name, a type, shape or size that does not fit), QDQ_EMODEL
 * (operators that cannot be run: the first are named), QDQ_EDEVICE, QDQ_ENOMEM, QDQ_ECANCELLED. The callbacks of a
 * session must not use it, nor its model. */
QDQ_API qdq_status qdq_session_run(qdq_session *s, const qdq_binding *inputs, size_t n_inputs, qdq_binding *outputs,
				   size_t n_outputs);

typedef struct qdq_session_facts {
	size_t kernels;	       /* of the plan that ran last */
	size_t evaluated;      /* of those: nodes that the reference evaluator runs */
	uint64_t arena;	       /* bytes for values between kernels */
	uint64_t largest_live; /* the most that live at a time: no plan needs less */
	int threads;
	const char *instructions;
	const char *device;	 /* "cpu", "cuda" */
	uint64_t device_memory;	 /* cuda: bytes that the session has allocated on the device */
	uint64_t device_weights; /* cuda: of those, packed weights and what goes with them */
	size_t elsewhere;	 /* cuda: kernels that ran on the CPU instead */
	const char *device_name; /* cuda: as the driver calls it; the session's */
	/* cuda: what the device can do at the highest clocks that the driver names; 0: not known. */
	double int8_tops; /* 10^12 operations in a second, dense */
	double memory_gbs;
} qdq_session_facts;
QDQ_API qdq_status qdq_session_get_facts(qdq_session_facts *out,
					 const qdq_session *s); /* QDQ_EUSAGE: nothing ran yet */

#ifdef __cplusplus
}
#endif

#endif

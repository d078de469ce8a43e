/* SPDX-License-Identifier: Apache-2.0
 *
 * qdqopt.h -- the stable interface of libqdqopt: load, edit, optimize, report, save
 */
#ifndef QDQOPT_H
#define QDQOPT_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define QDQ_API __attribute__((visibility("default")))
#else
#define QDQ_API
#endif

#define QDQ_VERSION_STRING "0.1.0"

/* What every function that can fail returns. Zero is success; the command line exits with the negated value. */
typedef enum qdq_status {
	QDQ_OK = 0,
	QDQ_EMODEL = -1, /* the model cannot be used: malformed, unsupported, inconsistent */
	QDQ_EUSAGE = -2, /* the call is wrong: a bad option, name or argument */
	QDQ_EFILE = -3,  /* the file system refused: not found, not readable, no space */
	QDQ_ENOMEM = -4, /* the allocator returned NULL or a limit on memory was reached */
	QDQ_EDEVICE = -5 /* a device or its driver failed */
} qdq_status;

/* Element types, with the numbers of ONNX's TensorProto.DataType. */
typedef enum qdq_type {
	QDQ_TYPE_NONE = 0, /* unknown, or not a tensor */
	QDQ_TYPE_FLOAT = 1,
	QDQ_TYPE_UINT8 = 2,
	QDQ_TYPE_INT8 = 3,
	QDQ_TYPE_UINT16 = 4,
	QDQ_TYPE_INT16 = 5,
	QDQ_TYPE_INT32 = 6,
	QDQ_TYPE_INT64 = 7,
	QDQ_TYPE_STRING = 8,
	QDQ_TYPE_BOOL = 9,
	QDQ_TYPE_FLOAT16 = 10,
	QDQ_TYPE_DOUBLE = 11,
	QDQ_TYPE_UINT32 = 12,
	QDQ_TYPE_UINT64 = 13,
	QDQ_TYPE_COMPLEX64 = 14,
	QDQ_TYPE_COMPLEX128 = 15,
	QDQ_TYPE_BFLOAT16 = 16,
	QDQ_TYPE_FLOAT8E4M3FN = 17,
	QDQ_TYPE_FLOAT8E4M3FNUZ = 18,
	QDQ_TYPE_FLOAT8E5M2 = 19,
	QDQ_TYPE_FLOAT8E5M2FNUZ = 20,
	QDQ_TYPE_UINT4 = 21,
	QDQ_TYPE_INT4 = 22,
	QDQ_TYPE_FLOAT4E2M1 = 23,
	QDQ_TYPE_FLOAT8E8M0 = 24,
	QDQ_TYPE_UINT2 = 25,
	QDQ_TYPE_INT2 = 26
} qdq_type;

typedef struct qdq_ctx qdq_ctx;     /* owns everything below; one thread at a time */
typedef struct qdq_model qdq_model; /* a loaded or built network */
typedef struct qdq_graph qdq_graph;
typedef struct qdq_node qdq_node;
typedef struct qdq_value qdq_value;
typedef struct qdq_report qdq_report;

typedef enum qdq_severity { QDQ_ERROR = 1, QDQ_WARNING = 2, QDQ_NOTE = 3 } qdq_severity;

/* One message. All strings are borrowed from the context; NULL where it does not apply. */
typedef struct qdq_diagnostic {
	qdq_severity severity;
	const char *file;    /* the model's path */
	const char *node;    /* name of the node in the user's file, or "#17" where it has none */
	const char *op;      /* its operator */
	const char *operand; /* the name of the tensor */
	const char *message; /* one line, without a full stop at its end */
} qdq_diagnostic;

/* Options of a context. All zero is the default; set version to QDQ_OPTIONS_VERSION. */
#define QDQ_OPTIONS_VERSION 1
typedef struct qdq_options {
	uint32_t version;
	/* realloc-like: new_size 0 frees, ptr NULL allocates; NULL return fails the call with QDQ_ENOMEM. */
	void *(*alloc)(void *user, void *ptr, size_t old_size, size_t new_size);
	void *alloc_user;
	/* called for each diagnostic as it is made */
	void (*log)(void *user, const qdq_diagnostic *d);
	void *log_user;
	/* limits; 0 takes the default */
	size_t max_memory;  /* bytes that the context may hold at a time */
	uint32_t max_depth; /* nesting of subgraphs and types, default 100 */
	uint32_t max_nodes; /* nodes in a model, default 100 million */
} qdq_options;

/* A new context; options NULL takes the defaults. QDQ_EUSAGE for a version it does not know, QDQ_ENOMEM. */
QDQ_API qdq_status qdq_ctx_new(qdq_ctx **out, const qdq_options *options);

#ifdef __cplusplus
}
#endif
#endif

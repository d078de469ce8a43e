/* SPDX-License-Identifier: Apache-2.0
 *
 * qdqopt.h -- the stable interface of libqdqopt: load, edit, optimize, report, save
 *
 * A complete program, built with  cc prog.c $(pkg-config --cflags --libs qdqopt):
 *
 *	#include <qdqopt.h>
 *	#include <stdio.h>
 *
 *	static void complain(void *user, const qdq_diagnostic *d)
 *	{
 *		(void)user;
 *		fprintf(stderr, "%s: %s\n", d->node != NULL ? d->node : "-", d->message);
 *	}
 *
 *	int main(void)
 *	{
 *		qdq_options options = {.version = QDQ_OPTIONS_VERSION, .log = complain};
 *		qdq_ctx *ctx;
 *		qdq_model *m;
 *		qdq_status s = qdq_ctx_new(&ctx, &options);
 *
 *		if (s != QDQ_OK)
 *			return 1;
 *		s = qdq_load_file(&m, ctx, "in.onnx");
 *		if (s == QDQ_OK)
 *			s = qdq_optimize(m, NULL);
 *		if (s == QDQ_OK)
 *			s = qdq_save_file(m, "out.onnx", NULL);
 *		qdq_ctx_free(ctx); // and the model with it
 *		return -s;
 *	}
 *
 * Conventions. Where a call makes something, the place for it comes first, called `out`; it is set to NULL or 0 where
 *the call fails, and may not be NULL unless said. What is `const` in a result is borrowed: it lives as long as the
 *model (or, of diagnostics, the context) and is never freed by the caller. What goes in is copied unless said
 *otherwise. Options may be NULL (all defaults); all-zero with `version` set is the default too.
 *
 * Errors. A call returns QDQ_OK or what kind of thing went wrong; what exactly stands in the context's diagnostics and
 * was given to the log function. Wrong use (NULL where something is needed, a node of another model, an index out of
 * range) is QDQ_EUSAGE, and leaves the model as it was. After QDQ_ENOMEM from a call that changes a model, that model
 * may only be freed: every other call refuses it with QDQ_EUSAGE. Functions that only read (those that return no
 * status) accept NULL and give NULL, 0 or QDQ_TYPE_NONE for what is not there.
 *
 * Threads. There are no globals: any number of contexts work in parallel. One context, with its models, belongs to one
 * thread at a time.
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
	QDQ_EMODEL = -1,    /* the model cannot be used: malformed, unsupported, inconsistent */
	QDQ_EUSAGE = -2,    /* the call is wrong: a bad option, name or argument */
	QDQ_EFILE = -3,	    /* the file system refused: not found, not readable, no space */
	QDQ_ENOMEM = -4,    /* the allocator returned NULL or a limit on memory was reached */
	QDQ_EDEVICE = -5,   /* a device or its driver failed */
	QDQ_ECANCELLED = -7 /* the caller's callback asked to stop; -6 is the command line's, see its exit status 6 */
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

typedef struct qdq_ctx qdq_ctx;	    /* owns everything below; one thread at a time */
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
	const char *op;	     /* its operator */
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
	size_t max_memory;  /* bytes that the context may hold at a time; 0: no limit */
	uint32_t max_depth; /* nesting of subgraphs and types, default 100 */
	uint32_t max_nodes; /* nodes in a model, default 100 million */
} qdq_options;

/* A new context; options NULL takes the defaults. QDQ_EUSAGE for a version it does not know, QDQ_ENOMEM. */
QDQ_API qdq_status qdq_ctx_new(qdq_ctx **out, const qdq_options *options);

/* Frees the context, its models, reports and diagnostics. NULL is accepted. */
QDQ_API void qdq_ctx_free(qdq_ctx *ctx);

/* Diagnostics so far, oldest first; the last one belongs to the last call that failed. */
QDQ_API size_t qdq_diagnostic_count(const qdq_ctx *ctx);
QDQ_API const qdq_diagnostic *qdq_diagnostic_get(const qdq_ctx *ctx, size_t index); /* NULL: out of range */

QDQ_API const char *qdq_version(void);			/* "0.1.0", of the library that is running */
QDQ_API const char *qdq_status_text(qdq_status status); /* "the model cannot be used" … */
QDQ_API const char *qdq_type_text(qdq_type type);	/* "float", "int8" …; "?" for NONE */

/* Where output goes: return QDQ_OK to go on; any other status ends the call, which returns it. */
typedef qdq_status qdq_write_fn(void *user, const void *data, size_t size);

/* ---- loading and saving ---------------------------------------------------------------------------------------------
 * Files are ONNX (IR versions 3 to 14, opsets 7 to 25), or ONNX's textual syntax where the name ends in .onnxtxt or
 * .txt. A model belongs to its context. */

/* Loads, infers types and shapes, checks. The file must stay unchanged as long as the model lives (it is mapped).
 * QDQ_EFILE, QDQ_EMODEL, QDQ_ENOMEM. */
QDQ_API qdq_status qdq_load_file(qdq_model **out, qdq_ctx *ctx, const char *path);

/* The same from memory, which is borrowed: it must outlive the model. `path` is for messages and says by its suffix
 * whether it is text, and by its folder where external data lies; may be NULL. */
QDQ_API qdq_status qdq_load_memory(qdq_model **out, qdq_ctx *ctx, const void *data, size_t size, const char *path);

/* An empty model of this opset (7 to 25) of ai.onnx, to build a network in. QDQ_EUSAGE, QDQ_ENOMEM. */
QDQ_API qdq_status qdq_model_new(qdq_model **out, qdq_ctx *ctx, int opset);

QDQ_API void qdq_model_free(qdq_model *m); /* with its nodes, values and reports; NULL is accepted */

typedef enum qdq_emit {
	QDQ_EMIT_FUSED = 0, /* each fused operator is a call of a model-local function that holds the user's nodes */
	QDQ_EMIT_QDQ = 1,   /* plain operators with QuantizeLinear and DequantizeLinear */
	/* the integer operators of ai.onnx and com.microsoft that ONNX Runtime runs on CPUs, and Q/DQ where there is
	 * none; for networks that were optimized for the target "ort-cpu". What differs from the Q/DQ operators by a
	 * rounding is reported: make the report, or print it, after saving */
	QDQ_EMIT_QOPERATOR = 2
} qdq_emit;

/* A caller that was compiled with version 1 (without what is marked) goes on working. */
#define QDQ_SAVE_OPTIONS_VERSION 2
typedef struct qdq_save_options {
	uint32_t version;
	qdq_emit emit;
	int consume; /* not 0: the model may be changed by saving (its fused operators dissolved), which spares a copy
		      */
	int text;    /* qdq_save_sink only, not 0: ONNX's textual syntax */
	/* since version 2 */
	int exact; /* QDQ_EMIT_QOPERATOR, not 0: only integer operators that change no result by any bit */
} qdq_save_options;

/* Writes the file beside its place and renames it: there is the old file or the whole new one. The file that the model
 * came from may be overwritten. Weights go to PATH.data where the input had external data or the file would pass 2 GB.
 * QDQ_EFILE, QDQ_EMODEL (an edited model that is not valid), QDQ_EUSAGE, QDQ_ENOMEM. */
QDQ_API qdq_status qdq_save_file(qdq_model *m, const char *path, const qdq_save_options *options);
/* The same, in pieces, to a function. */
QDQ_API qdq_status qdq_save_sink(qdq_model *m, qdq_write_fn *write, void *user, const qdq_save_options *options);

/* ---- optimizing -----------------------------------------------------------------------------------------------------
 */

/* What operators are to compute in, by the names of the user's file ('*' stands for any characters, '?' for one; "#17"
 * for node 17, the first being #0, where it has no name). FLOAT and FLOAT16: it is kept out of INT8, and its Q and DQ stay
 * around it as they are; with FLOAT16 it stands between Casts to float16 and back. INT8: rewrites within a bound that
 * bring it there run for it as with allow_bounded. */
typedef struct qdq_precision {
	const char *nodes;
	qdq_type type;
} qdq_precision;

/* A caller that was compiled with version 1 (without what is marked) goes on working. */
#define QDQ_OPTIMIZE_OPTIONS_VERSION 2
typedef struct qdq_optimize_options {
	uint32_t version;
	int exact;	    /* not 0: only rewrites that change no result by any bit */
	int allow_bounded;  /* not 0: also those that change results within a stated bound */
	const char *passes; /* names with commas between; "none"; "-name" takes one out of the pipeline; NULL: all */
	const char *target; /* "cuda" (NULL: this), "tensorrt" or "ort-cpu": whom the result is for. For
			     * ort-cpu 16-bit floats become float32, and float biases int32 as it needs them, within a
			     * stated bound, unless `exact` */
	/* called after each pass with the number of its changes; a status other than QDQ_OK ends the call */
	qdq_status (*after_pass)(void *user, const char *pass, uint64_t changes);
	void *user;
	/* since version 2 */
	const qdq_precision *precisions; /* borrowed for the call; of several that match a node the last counts */
	size_t n_precisions;
	const char *
	    float_type; /* "fp16": what stays float, and no INT8 operator takes in, computes in float16; NULL: as it is */
	int io_int8; /* not 0: inputs that are quantized at once and outputs that are dequantized last become codes; the report
		      * has their scales and zero points */
} qdq_optimize_options;

/* Moves, cancels and fuses quantization. QDQ_EUSAGE (an unknown pass or target, exact together with allow_bounded, a
 * precision that names no nodes or is of another type), QDQ_EMODEL, QDQ_ENOMEM. */
QDQ_API qdq_status qdq_optimize(qdq_model *m, const qdq_optimize_options *options);

/* The pipeline's passes, in order, then those that run only where they are named; NULL behind the last one. `title`
 * (may be NULL) gets one line about it. */
QDQ_API const char *qdq_pass_name(size_t index, const char **title);

typedef struct qdq_rule_text {
	const char *pass, *name; /* "sink_dq", "sink_dq.move": as the report's rewrites have them; all static */
	const char *exactness;	 /* "exact", "step1" or "bounded": the least that it may be */
	const char *text;	 /* one line */
	const char *match;	 /* what is matched and what it becomes, where the rule is a pattern; else NULL */
	const char *build;
} qdq_rule_text;
/* What the passes do or decline, in the order of the pipeline; QDQ_EUSAGE behind the last one. */
QDQ_API qdq_status qdq_rule_at(qdq_rule_text *out, size_t index);

/* A pass of one's own. `pass` edits m through the functions below and returns QDQ_OK; then the graph is put in order,
 * inferred and checked. What the report compares with stays the model as it was loaded. */
QDQ_API qdq_status qdq_run_own_pass(qdq_model *m, const char *name, qdq_status (*pass)(void *user, qdq_model *m),
				    void *user);

/* ---- the report -----------------------------------------------------------------------------------------------------
 */

typedef enum qdq_verdict { QDQ_VERDICT_FLOAT, QDQ_VERDICT_INT8_FLOAT, QDQ_VERDICT_INT8_INT8 } qdq_verdict;

typedef struct qdq_counts {
	uint64_t weighted, int8_int8, int8_float,
	    float_only; /* weighted operators; the last three add up to the first */
	/* of operators that are not computed at build, unused or quantization now; unknown dimensions count as 1 */
	uint64_t macs, macs_int8;   /* multiply-accumulates */
	uint64_t bytes, bytes_int8; /* of activations */
	uint64_t nodes_before, nodes_after;
	uint64_t q_before, dq_before, q_after, dq_after;
} qdq_counts;

/* One compute operator of the user's file. */
typedef struct qdq_op_report {
	const char *name, *op;
	qdq_verdict verdict;
	uint64_t macs, bytes;
	const char *fused_into; /* the fused operator that holds it, or NULL */
	/* why it is not INT8 on both sides; code NULL: nothing to say */
	const char *code, *operand, *node, *message, *fix;
} qdq_op_report;

/* Tells m's reports how far an output is from that of the network as it was, on some inputs: its signal-to-noise ratio in
 * decibels, INFINITY where not one bit differs. Said again of the same output, it replaces what was said. */
QDQ_API qdq_status qdq_report_measured(qdq_model *m, const char *output, double snr);

/* What became of every compute operator of the file as it was loaded (nodes that an edit added since are not in it), as
 * it is at this moment. What the fixes of its heaviest reasons would bring is tried, on copies of the model, which takes
 * some runs of qdq_optimize; where memory does not last for that, it is left out. The report lives until the model is freed; `output` (may be NULL) is named in the text.
 * QDQ_EMODEL (an edited model that is not valid), QDQ_EUSAGE, QDQ_ENOMEM. */
QDQ_API qdq_status qdq_report_new(const qdq_report **out, qdq_model *m, const char *output);
QDQ_API void qdq_report_get_counts(qdq_counts *out, const qdq_report *r);
QDQ_API size_t qdq_report_op_count(const qdq_report *r);
QDQ_API qdq_status qdq_report_get_op(qdq_op_report *out, const qdq_report *r, size_t index);   /* QDQ_EUSAGE */
QDQ_API qdq_status qdq_report_find(qdq_op_report *out, const qdq_report *r, const char *node); /* QDQ_EUSAGE */
/* Share of multiply-accumulates that run in INT8, 0 to 100; 100 where there are none. */
QDQ_API double qdq_report_coverage(const qdq_report *r);

typedef enum qdq_report_format { QDQ_REPORT_TEXT, QDQ_REPORT_TEXT_COLOUR, QDQ_REPORT_JSON } qdq_report_format;
QDQ_API qdq_status qdq_report_print(const qdq_report *r, qdq_report_format format, qdq_write_fn *write, void *user);
/* .txt or .json by the suffix; written beside its place and renamed. QDQ_EFILE, QDQ_EUSAGE (another suffix). */
QDQ_API qdq_status qdq_report_save(const qdq_report *r, qdq_model *m, const char *path);
/* What happened to the operators that `node` names (a name or glob), and why. QDQ_EUSAGE where none matches. */
QDQ_API qdq_status qdq_report_explain_node(const qdq_report *r, const char *node, qdq_write_fn *write, void *user);

typedef struct qdq_reason_text {
	const char *code, *message, *fix, *explanation; /* static; a %s in the message stands for the detail */
} qdq_reason_text;
/* The reasons that there are, by index or by code; QDQ_EUSAGE where there is none. */
QDQ_API qdq_status qdq_reason_at(qdq_reason_text *out, size_t index);
QDQ_API qdq_status qdq_reason_by_code(qdq_reason_text *out, const char *code);

/* ---- walking a network ----------------------------------------------------------------------------------------------
 * Reading functions; they accept NULL. A model's main graph is a list of nodes in an order in which each stands behind
 * those it reads from. */

QDQ_API const char *qdq_model_path(const qdq_model *m); /* NULL: built, or loaded without one */
QDQ_API int qdq_model_opset(const qdq_model *m);
QDQ_API size_t qdq_node_count(const qdq_model *m);
QDQ_API qdq_node *qdq_first_node(const qdq_model *m);
QDQ_API qdq_node *qdq_next_node(const qdq_node *n);
QDQ_API qdq_node *qdq_first_inner_node(const qdq_node *n); /* of a fused operator: the nodes that it holds; else NULL */
QDQ_API qdq_node *qdq_find_node(const qdq_model *m, const char *name);	 /* O(nodes) */
QDQ_API qdq_value *qdq_find_value(const qdq_model *m, const char *name); /* O(nodes) */
QDQ_API size_t qdq_input_count(const qdq_model *m);
QDQ_API qdq_value *qdq_input(const qdq_model *m, size_t index);
QDQ_API size_t qdq_output_count(const qdq_model *m);
QDQ_API qdq_value *qdq_output_value(const qdq_model *m, size_t index);

QDQ_API const char *qdq_node_name(const qdq_node *n);	/* "" where it has none */
QDQ_API const char *qdq_node_op(const qdq_node *n);	/* "Conv" */
QDQ_API const char *qdq_node_domain(const qdq_node *n); /* "" is ai.onnx */
QDQ_API size_t qdq_node_input_count(const qdq_node *n);
QDQ_API qdq_value *qdq_node_input(const qdq_node *n, size_t index); /* NULL: left out */
QDQ_API size_t qdq_node_output_count(const qdq_node *n);
QDQ_API qdq_value *qdq_node_output(const qdq_node *n, size_t index);
/* Attributes; the value `absent` (or NULL) where it is not given or of another type. */
QDQ_API int64_t qdq_node_int(const qdq_node *n, const char *name, int64_t absent);
QDQ_API float qdq_node_float(const qdq_node *n, const char *name, float absent);
QDQ_API const int64_t *qdq_node_ints(const qdq_node *n, const char *name, size_t *count);
QDQ_API const float *qdq_node_floats(const qdq_node *n, const char *name, size_t *count);
QDQ_API const char *qdq_node_string(const qdq_node *n, const char *name, size_t *length); /* not NUL-terminated */

QDQ_API const char *qdq_value_name(const qdq_value *v);
QDQ_API qdq_type qdq_value_type(const qdq_value *v);
QDQ_API int qdq_value_rank(const qdq_value *v);		      /* -1: not known */
QDQ_API int64_t qdq_value_dim(const qdq_value *v, int index); /* -1: a symbol, or out of range */
/* The name of a dimension that is a symbol; NULL: it is a number, has no name or is computed from others. */
QDQ_API const char *qdq_value_symbol(const qdq_value *v, int index);
QDQ_API qdq_node *qdq_value_producer(const qdq_value *v);	      /* NULL: an input or a constant */
QDQ_API const void *qdq_value_data(const qdq_value *v, size_t *size); /* of a constant; may be unaligned; else NULL */
/* Nodes that read v, one entry for each input that does, in any order: writes at most `room` of them (out and inputs
 * may be NULL if room is 0) and returns how many there are. Being a graph output is not counted. */
QDQ_API size_t qdq_value_readers(const qdq_value *v, qdq_node **out, uint32_t *inputs, size_t room);
QDQ_API int qdq_value_is_output(const qdq_value *v);

/* ---- building and editing -------------------------------------------------------------------------------------------
 * Names must be free; a name that is NULL or "" is made up. A model that was edited is put in order, inferred and
 * checked by the next call that needs it (qdq_optimize, qdq_save…, qdq_report_new), or at once by qdq_check. All of
 * these return QDQ_EUSAGE with a diagnostic for a wrong use, and QDQ_ENOMEM. */

QDQ_API qdq_status qdq_check(qdq_model *m); /* QDQ_EMODEL where it is not a valid network */

/* A dimension is a number >= 0 or, where symbols is given and symbols[i] is not NULL, that symbol. */
QDQ_API qdq_status qdq_add_input(qdq_value **out, qdq_model *m, const char *name, qdq_type type, int rank,
				 const int64_t *dims, const char *const *symbols);
QDQ_API qdq_status qdq_add_output(qdq_model *m, qdq_value *v);
QDQ_API qdq_status qdq_set_output(qdq_model *m, size_t index, qdq_value *v);
/* data: little-endian, dense, row-major; 4- and 2-bit types packed, low bits first; copied. No strings. */
QDQ_API qdq_status qdq_add_constant(qdq_value **out, qdq_model *m, const char *name, qdq_type type, int rank,
				    const int64_t *dims, const void *data, size_t size);
/* Behind the last node, or before `before`. NULL among the inputs leaves one out. It has n_outputs new values, named
 * after the node (rename them with qdq_rename_value). */
QDQ_API qdq_status qdq_add_node(qdq_node **out, qdq_model *m, qdq_node *before, const char *domain, const char *op,
				const char *name, size_t n_inputs, qdq_value *const *inputs, size_t n_outputs);
/* Attributes: new, or in place of the old one. */
QDQ_API qdq_status qdq_set_int(qdq_model *m, qdq_node *n, const char *name, int64_t i);
QDQ_API qdq_status qdq_set_float(qdq_model *m, qdq_node *n, const char *name, float f);
QDQ_API qdq_status qdq_set_string(qdq_model *m, qdq_node *n, const char *name, const char *s);
QDQ_API qdq_status qdq_set_ints(qdq_model *m, qdq_node *n, const char *name, const int64_t *ints, size_t count);
QDQ_API qdq_status qdq_set_floats(qdq_model *m, qdq_node *n, const char *name, const float *floats, size_t count);
QDQ_API qdq_status qdq_set_tensor(qdq_model *m, qdq_node *n, const char *name, qdq_value *constant); /* its data */
QDQ_API qdq_status qdq_remove_attribute(qdq_model *m, qdq_node *n, const char *name);

QDQ_API qdq_status qdq_set_node_input(qdq_model *m, qdq_node *n, size_t index, qdq_value *v); /* v NULL: left out */
QDQ_API qdq_status qdq_remove_node(qdq_model *m, qdq_node *n);			   /* its outputs must be unused */
QDQ_API qdq_status qdq_replace_value(qdq_model *m, qdq_value *old, qdq_value *by); /* for all readers, not as output */
QDQ_API qdq_status qdq_rename_value(qdq_model *m, qdq_value *v, const char *name);
QDQ_API qdq_status qdq_rename_node(qdq_model *m, qdq_node *n, const char *name);

/* What a Q or DQ does: code = saturate(round(x / scale) + zero point), the product back. */
#define QDQ_QUANT_VERSION 1
typedef struct qdq_quant {
	uint32_t version;
	qdq_type codes;		    /* QDQ_TYPE_INT8, QDQ_TYPE_UINT8, INT16, UINT16; DQ also INT32 */
	size_t count;		    /* scales: 1 for the whole tensor, else one for each index of `axis` */
	const float *scales;	    /* finite and > 0 */
	const int32_t *zero_points; /* count of them, within the codes; NULL: all 0 */
	int64_t axis;		    /* of more than one scale; negative counts from the end */
} qdq_quant;

/* A QuantizeLinear of v (a DequantizeLinear of codes), behind its producer. Nothing reads it yet; *out is its output.
 */
QDQ_API qdq_status qdq_add_quantize(qdq_value **out, qdq_model *m, qdq_value *v, const qdq_quant *quant);
QDQ_API qdq_status qdq_add_dequantize(qdq_value **out, qdq_model *m, qdq_value *v, const qdq_quant *quant);
/* Both, between v and all nodes that read it, or only input `index` of `reader` where that is not NULL. A graph output
 * v stays as it is. out (may be NULL) gets the DQ node. */
QDQ_API qdq_status qdq_add_qdq(qdq_node **out, qdq_model *m, qdq_value *v, const qdq_quant *quant, qdq_node *reader,
			       size_t index);
/* Takes a DQ away: what read it reads what its Q quantizes. The Q goes too if nothing else reads it. */
QDQ_API qdq_status qdq_remove_qdq(qdq_model *m, qdq_node *dq);
/* Moves a Q/DQ pair over an operator that reads it (to its output) or that it reads (to its data inputs). Refused with
 * the reason where that would change values: the operator must rearrange elements or preserve their order, the
 * parameters must pass it, and all its data inputs must have the same. out (may be NULL) gets the (first) moved DQ. */
QDQ_API qdq_status qdq_move_qdq(qdq_node **out, qdq_model *m, qdq_node *dq, qdq_node *over);

#ifdef __cplusplus
}
#endif
#endif

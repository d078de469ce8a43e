/* SPDX-License-Identifier: Apache-2.0
 *
 * report.h -- what became of every compute operator of the user's file, and why
 */
#ifndef QDQ_REPORT_H
#define QDQ_REPORT_H

#include "../rewrite/rewrite.h"

/* Counts and compute operators of the user's file: taken once, after loading and inference, before any pass. Kept as
 * m->baseline. Also counts what stands inside regions (of a fused file) and functions. */
typedef struct qdq_baseline qdq_baseline;
void qdq_baseline_take(qdq_model *m);

/* One compute operator of the user's file. Strings live in the report. */
typedef struct qdq_report_op {
	const char *name, *op;
	qdq_family family;
	qdq_verdict verdict;
	const char *const *inputs, *const *outputs; /* type names */
	size_t n_inputs, n_outputs;
	uint64_t macs, bytes;	/* multiply-accumulates; bytes of data read and written */
	const char *fused_into; /* name of the region, NULL */
	bool gone;		/* it runs no more: computed at build, unused, or a Q or DQ now */
	bool has_reason;
	const char *code, *operand, *cause, *message, *fix;
	const char *now; /* the operand by its name in the network as it is */
	bool tried;	 /* the fix, or it is known that it brings nothing: */
	uint64_t gain;	 /* multiply-accumulates that it brings into INT8, in the whole network */
} qdq_report_op;

struct qdq_report; /* lib/report/report.c; lives in the model's arena */
/* From the model as it is now and its events. `target` and `out` (may be NULL) are named in the text. */
qdq_report *qdq_report_make(qdq_model *m, const char *target, const char *out, double milliseconds);

const qdq_model *qdq_report_model(const qdq_report *r);
/* For the public interface: what qdq_counts says, and the operators in the order of the file. */
const qdq_counts *qdq_report_summary(const qdq_report *r);
const qdq_report_op *qdq_report_ops(const qdq_report *r, size_t *count);
/* The same, for whoever tries fixes: tried and gain are false and 0. */
qdq_report_op *qdq_report_ops_to_fill(qdq_report *r, size_t *count);
/* Which node of the file operator `index` of the report is. */
uint32_t qdq_baseline_origin(const qdq_model *m, size_t index);

qdq_status qdq_report_text(const qdq_report *r, qdq_write_fn *write, void *user, bool colour);
qdq_status qdq_report_json(const qdq_report *r, qdq_write_fn *write, void *user);
/* What happened to one operator and why (NODE is a name or glob); QDQ_EUSAGE where none matches. */
qdq_status qdq_report_explain(const qdq_report *r, const char *node, qdq_write_fn *write, void *user);

#endif

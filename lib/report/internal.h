/* SPDX-License-Identifier: Apache-2.0
 *
 * internal.h -- private to lib/report: the baseline, the report, and what writes them
 */
#ifndef QDQ_REPORT_INTERNAL_H
#define QDQ_REPORT_INTERNAL_H

#include "report.h"

/* A compute operator of the user's file, as it was there. A model may have a million of them: it is kept small. */
typedef struct qdq_base_op {
	const qdq_origin *origin;
	const uint8_t *types; /* qdq_type of the inputs, then of the outputs, that there were */
	uint64_t macs, bytes;
	uint32_t n_inputs, n_outputs;
	qdq_family family;
} qdq_base_op;

struct qdq_baseline {
	QDQ_VEC(qdq_base_op) ops;
	uint64_t nodes, q, dq;
	bool symbolic; /* some dimension is unknown and counted as 1 */
};

typedef struct qdq_report_region {
	const char *name, *kind;
	const char *anchor; /* its operator; NULL: nothing but Q and DQ, or what stands for them (arithmetic) */
	qdq_verdict verdict;
	bool clamps, adds, arithmetic; /* an activation, an addition behind the anchor */
	QDQ_VEC(const char *) ops;     /* names of the file's compute operators in it */
	const char **inputs, **outputs;
	size_t n_inputs, n_outputs;
	uint64_t macs, bytes;
} qdq_report_region;

struct qdq_report {
	qdq_model *m;
	const char *target, *output;
	double milliseconds;
	qdq_counts counts;
	qdq_report_op *ops;
	uint32_t *op_of; /* by the index of an origin: 1 + the index of its operator, 0: it is none */
	size_t n_origins;
	size_t n_ops;
	QDQ_VEC(qdq_report_region) regions;
	bool symbolic;
};

/* Multiply-accumulates of a node, and bytes of the activations that it reads and writes (constants are weights: not
 * counted), at the types they have. *symbolic is set where an unknown dimension was counted as 1. */
uint64_t qdq_node_macs(const qdq_node *n, bool *symbolic);
uint64_t qdq_node_bytes(const qdq_node *n, bool *symbolic);
/* Names of the types of n's operands. */
const char **qdq_type_names(qdq_arena *a, const qdq_node *n, bool outputs, size_t *count);

extern const char *const qdq_verdict_names[]; /* for people; in the JSON they have no spaces */
/* What the text says of so many rewrites of a rule: "DQ sunk"; "others" of one that it does not know. */
const char *qdq_rewrite_words(const char *rule, bool many);
/* A path without its folders; NULL of NULL. */
const char *qdq_base_name(const char *path);
/* The name of a node of the file, "#17" where it has none; in `room`, which has 16 bytes, or the origin's own. */
const char *qdq_origin_label(const qdq_origin *o, char *room);

/* ---- write.c: text into a qdq_write_fn, through a buffer; the first status that is not OK stays ---- */

typedef struct qdq_writer {
	qdq_write_fn *write;
	void *user;
	qdq_status status;
	size_t used;
	char buffer[4096];
} qdq_writer;

void qdq_put(qdq_writer *w, const char *s);
void qdq_put_real(qdq_writer *w, double x, int digits);	 /* behind the point, which is '.' in every locale */
void qdq_put_short(qdq_writer *w, double x, int digits); /* so many in all; 1e-07 where that is shorter */
void qdq_putf(qdq_writer *w, const char *format, ...) QDQ_PRINTF(2, 3);
qdq_status qdq_writer_end(qdq_writer *w); /* writes what is left */

#endif

/* SPDX-License-Identifier: Apache-2.0
 *
 * rewrite.h -- passes, the driver that runs them, and rules as data
 *
 * A pass changes one graph through lib/ir/edit.c and tells what it did (qdq_applied) and what it would have done but
 * for a reason (qdq_declined). The report is made of nothing else.
 */
#ifndef QDQ_REWRITE_H
#define QDQ_REWRITE_H

#include "../ir/ir.h"

/* ---- reasons: why something was not done (lib/report/reasons.def, data that the layers share)
 * ---------------------------------------------- */

typedef enum qdq_reason_code {
	QDQ_REASON_NONE,
#define REASON(id, ...) QDQ_REASON_##id,
#include "../report/reasons.def"
#undef REASON
	QDQ_REASON_COUNT
} qdq_reason_code;

typedef struct qdq_reason_info {
	const char *code;    /* "weight-float": stable, what `qdqopt explain` takes */
	const char *message; /* one line; a single %s stands for the detail */
	const char *fix;     /* what the user can change */
	const char *explain; /* a paragraph for `qdqopt explain CODE` */
} qdq_reason_info;
extern const qdq_reason_info qdq_reasons[QDQ_REASON_COUNT];
qdq_reason_code qdq_reason_find(const char *code); /* NONE where there is none */

/* One instance: the operand that it is about and the node of the user's file that causes it. */
typedef struct qdq_reason {
	qdq_reason_code code;
	const char *operand; /* name of a tensor, NULL */
	const char *cause;   /* name of a node of the user's file, or NULL */
	const char *detail;  /* for the message's %s, NULL */
} qdq_reason;

/* ---- passes --------------------------------------------------------------------------------------------------------
 */

/* Whom the result is for: what it can run decides what is moved, repaired and fused. */
typedef enum qdq_target {
	QDQ_TARGET_CUDA, /* our own kernels */
	QDQ_TARGET_TENSORRT,
	QDQ_TARGET_ORT_CPU, /* ONNX Runtime's CPU provider */
	QDQ_TARGETS
} qdq_target;
extern const char *const qdq_target_names[QDQ_TARGETS]; /* "cuda", "tensorrt", "ort-cpu" */
bool qdq_target_find(const char *name, qdq_target *out);

/* What operators whose name matches a glob are to compute in: FLOAT, FLOAT16 or INT8. */
typedef struct qdq_override {
	const char *glob;
	qdq_type type;
} qdq_override;

typedef struct qdq_pass_options {
	bool exact;	    /* EXACT rewrites only */
	bool allow_bounded; /* BOUNDED ones too */
	qdq_target target;
	const qdq_override *overrides; /* of several that match, the last counts */
	size_t n_overrides;
	bool io_int8; /* inputs and outputs as codes */
	bool half;    /* what stays float becomes float16 */
} qdq_pass_options;

/* What a running pass has at hand. */
typedef struct qdq_run {
	qdq_ctx *ctx;
	qdq_model *model;
	qdq_graph *graph; /* the one to work on */
	const qdq_pass_options *options;
	const struct qdq_pass *pass;
	qdq_arena scratch; /* reset after each graph */
	qdq_arena memory;  /* reset after each pass */
	void *kept;	   /* what the pass keeps there from graph to graph; NULL on the first one, the main graph */
	uint64_t changes;  /* counted by qdq_applied and qdq_changed */
} qdq_run;

typedef struct qdq_rule qdq_rule;
typedef struct qdq_pass {
	const char *name;      /* the file's name without .c, the rule prefix, the test folder */
	const char *title;     /* one line for --help and docs */
	const qdq_rule *rules; /* all that it does or declines; those that match are applied before run */
	size_t n_rules;
	void (*run)(qdq_run *r); /* NULL: rules only */
	bool untyped;		 /* what it makes has no types or shapes yet: they are inferred behind it */
} qdq_pass;

extern const char *const qdq_exactness_names[]; /* "exact", "step1", "bounded" */
/* Would this exactness be allowed now? */
static inline bool qdq_allowed(const qdq_run *r, qdq_exactness e)
{
	return e == QDQ_EXACT || (e == QDQ_STEP1 && !r->options->exact) ||
	       (e == QDQ_BOUNDED && r->options->allow_bounded && !r->options->exact);
}
/* Records a rewrite: `rule` is the name of a rule ("sink_dq.move"), origin the user's node that it is
 * about. In debug builds a name that no table has, or less exactness than it says, is an error. */
void qdq_applied(qdq_run *r, const char *rule, qdq_exactness exactness, double bound, const qdq_origin *origin);
/* A BOUNDED one: no element of the tensor `changed` is further than bound from what it was. INFINITY: no bound is known,
 * which is for what the user asks for by name alone, and for roundings that the target leaves out in any case. */
void qdq_applied_within(qdq_run *r, const char *rule, double bound, const qdq_value *changed, const qdq_origin *origin);
/* A change too small to report (renaming, reordering, dead code). */
static inline void qdq_changed(qdq_run *r)
{
	r->changes++;
}
void qdq_declined(qdq_run *r, const char *rule, const qdq_origin *origin, const qdq_reason *reason);

/* ---- the pipeline (passes/passes.def) -------------------------------------------------------------------------------
 */

#define PASS(name) extern const qdq_pass qdq_pass_##name;
#define ON_REQUEST(name) PASS(name)
#define ORDER(before, after, why)
#include "../../passes/passes.def"
#undef PASS
#undef ON_REQUEST
#undef ORDER
extern const qdq_pass *const qdq_passes[]; /* the pipeline, then those that run where they are named */
extern const size_t qdq_n_passes, qdq_n_pipeline;

typedef struct qdq_driver_options {
	qdq_pass_options pass;
	/* Names separated by commas; NULL: the whole pipeline. "none": nothing. "-name" takes one out of the pipeline.
	 */
	const char *passes;
	/* Called after each pass; may print. A status other than QDQ_OK stops the run and is thrown. */
	qdq_status (*after_pass)(void *user, const char *pass, uint64_t changes);
	void *user;
	bool verify; /* the graph is verified after every pass (always in debug builds) */
} qdq_driver_options;

/* Runs the pipeline over the model's main graph and the bodies of If, Loop and Scan, pass after pass. Throws QDQ_EUSAGE for an unknown
 * pass. Returns the number of changes. */
uint64_t qdq_run_passes(qdq_model *m, const qdq_driver_options *options);
/* One pass over one graph, as the driver does it; also for a caller's own pass. */
uint64_t qdq_run_pass(qdq_model *m, qdq_graph *g, const qdq_pass *pass, const qdq_driver_options *options);

/* ---- nested graphs (nested.c) --------------------------------------------------------------------------------------
 */

/* Do passes go into the graphs that n holds? Those of If, Loop and Scan. */
bool qdq_enters(const qdq_node *n);
typedef QDQ_VEC(qdq_graph *) qdq_graphs;
/* All of them, outer ones first. */
void qdq_nested_graphs(qdq_model *m, qdq_arena *arena, qdq_graphs *out);

typedef struct qdq_port {
	qdq_value *port, *outer;
} qdq_port;
typedef QDQ_VEC(qdq_port) qdq_ports;
/* What g captures looks like inputs of g, until it is shown again. */
void qdq_nested_hide(qdq_graph *g, qdq_arena *arena, qdq_ports *out);
void qdq_nested_show(qdq_graph *g, const qdq_ports *ports);

/* ---- rules
 * ------------------------------------------------------------------------------------------------------------ */

/* What matched. Values by the names of the pattern's variables, nodes by its captures; see rule.c for the language. */
typedef struct qdq_match qdq_match;
qdq_value *qdq_match_value(const qdq_match *m, const char *variable); /* NULL: absent optional */
qdq_node *qdq_match_node(const qdq_match *m, const char *capture);
qdq_node *qdq_match_root(const qdq_match *m);

/* A rewrite: a pattern, or without `match` what the pass's code does under this name. --list-rules and docs/passes.md
 * are made of these tables. */
struct qdq_rule {
	const char *name;  /* "PASS.WHAT" */
	const char *match; /* "(QuantizeLinear (DequantizeLinear* x s z) s z)"; NULL: the pass's run does it */
	const char *build; /* what the root's (first) output becomes; NULL: `.make` does it */
	/* true, or false with *reason filled in (code NONE: decline silently) */
	bool (*guard)(qdq_run *r, const qdq_match *m, qdq_reason *reason);
	/* does the rewriting itself, or makes values that `build` names; false: nothing was changed after all */
	bool (*make)(qdq_run *r, qdq_match *m);
	qdq_exactness exactness; /* without `match`: the least that it may be */
	const char *text;	 /* one line about it */
};
/* The rule of this name: of `pass` (may be NULL), else of any in the pipeline; NULL: there is none. */
const qdq_rule *qdq_rule_find(const qdq_pass *pass, const char *name);
/* In make: gives a variable of `build` its value. */
void qdq_match_bind(qdq_match *m, const char *variable, qdq_value *v);

/* Applies the rules until none matches any more: O(nodes), bounded, monotone. */
void qdq_rules_apply(qdq_run *r, const qdq_rule *rules, size_t n_rules);

#endif

/* SPDX-License-Identifier: Apache-2.0
 *
 * rule.h -- private to lib/rewrite: rules as they are compiled
 */
#ifndef QDQ_RULE_H
#define QDQ_RULE_H

#include "rewrite.h"

#define QDQ_RULE_TERMS 48     /* in the patterns of one rule */
#define QDQ_RULE_VARIABLES 24 /* values and captured nodes of one rule */
#define QDQ_RULE_NODES 16     /* nodes of a match */
#define QDQ_RULE_SWAPS 4      /* commutative nodes of a match: each doubles the orders that are tried */

typedef enum qdq_term_kind {
	QDQ_TERM_NODE,	   /* (Op …) */
	QDQ_TERM_VARIABLE, /* x */
	QDQ_TERM_OPTIONAL, /* x? */
	QDQ_TERM_ANY,	   /* _ */
	QDQ_TERM_REST	   /* _* */
} qdq_term_kind;

/* A term of a pattern. Children of a node follow each other through `next`. */
typedef struct qdq_term {
	qdq_term_kind kind;
	qdq_op_id op; /* of NODE; QDQ_OP_NONE: any operator of `cls` */
	qdq_class cls;
	bool shared;	    /* of NODE: may have readers outside the match */
	int8_t swap;	    /* of NODE: its bit among the commutative ones, -1: it is none */
	int8_t variable;    /* of VARIABLE and OPTIONAL, or what NODE is captured as; -1: nothing */
	int8_t child, next; /* indices of terms; -1: none */
} qdq_term;

typedef struct qdq_compiled_rule {
	const qdq_rule *rule;
	qdq_term terms[QDQ_RULE_TERMS];
	const char *variables[QDQ_RULE_VARIABLES]; /* in the rule's own text: not NUL-terminated */
	uint8_t lengths[QDQ_RULE_VARIABLES];
	int n_terms, n_variables, n_swaps;
	int n_match;	  /* terms of the match; those of the build follow */
	int match, build; /* roots; build -1: none */
	int levels;	  /* from a value that changes down to a root that this may concern, at most */
} qdq_compiled_rule;

/* Compiles one rule into `out`; throws QDQ_EUSAGE and names the rule where its text is wrong. (compile.c) */
void qdq_rule_compile(qdq_ctx *ctx, const qdq_rule *rule, qdq_compiled_rule *out);

#endif

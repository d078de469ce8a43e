/* SPDX-License-Identifier: Apache-2.0
 *
 * verdict.h -- what a fused operator reads and writes, and what that makes of the operators in it
 */
#ifndef QDQ_VERDICT_H
#define QDQ_VERDICT_H

#include "../include/qdqopt.h"
#include "moves.h"

/* A region's border, constants aside. */
typedef struct qdq_border {
	bool reads_codes; /* some 8-bit codes */
	bool reads_floats;
	bool writes_codes;
	const qdq_value *written; /* the first output that is no codes, as it is called outside; NULL: there is none */
	qdq_reason why;		  /* where it reads floats: the first of them */
} qdq_border;

void qdq_border_of(const qdq_node *region, qdq_border *out);

/* The verdict of n, which stands in the region with this border, and unless that is int8 -> int8 the reason. A contraction
 * is INT8 if contract.c says so; whatever only moves memory if the region reads codes only. */
qdq_verdict qdq_verdict_inside(const qdq_node *n, const qdq_node *region, const qdq_border *b, qdq_reason *why);

/* Why a contraction cannot run in INT8; false: it can. */
bool qdq_contract_reason(const qdq_node *n, qdq_reason *why);

/* What keeps the value v, which an operator outside regions reads as data, from being codes; false where it is codes
 * behind a DQ. */
bool qdq_input_reason(const qdq_value *v, qdq_reason *why);

#endif

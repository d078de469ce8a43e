/* SPDX-License-Identifier: Apache-2.0
 *
 * verify.c -- the invariants of ir.h, and what a user's file must fulfil
 */
#include "infer.h"

bool qdq_graph_verify(qdq_graph *g)
{
	return g->model != NULL;
}

bool qdq_model_check(qdq_model *m)
{
	return m->graph != NULL;
}

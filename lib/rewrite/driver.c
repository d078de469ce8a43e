/* SPDX-License-Identifier: Apache-2.0
 *
 * driver.c -- runs one pass, and records what passes did or declined
 */
#include "rewrite.h"

void qdq_applied(qdq_run *r, const char *rule, qdq_exactness exactness, double bound, const qdq_origin *origin)
{
	*qdq_push(&r->model->arena, &r->model->events) = (qdq_event){
		.pass = r->pass->name, .rule = rule, .exactness = exactness, .bound = bound, .node = origin};
	r->changes++;
}

void qdq_declined(qdq_run *r, const char *rule, const qdq_origin *origin, const qdq_reason *reason)
{
	qdq_arena *arena = &r->model->arena;
	const char *message = qdq_reasons[reason->code].message;
	const char *hole = strstr(message, "%s");

	if (hole != NULL)
		message = qdq_format(arena, "%.*s%s%s", (int)(hole - message), message,
				     reason->detail != NULL ? reason->detail : "it", hole + 2);
	*qdq_push(arena, &r->model->events) = (qdq_event){.declined = true,
							  .pass = r->pass->name,
							  .rule = rule,
							  .node = origin,
							  .reason = (int)reason->code,
							  .operand = reason->operand,
							  .cause = reason->cause,
							  .message = message};
}

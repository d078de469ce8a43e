/* SPDX-License-Identifier: Apache-2.0
 *
 * emit.h -- fused operators into model-local functions and back
 */
#ifndef QDQ_EMIT_H
#define QDQ_EMIT_H

#include "../ir/ir.h"

/* Before saving or printing in the mode `fused`: makes m->functions hold exactly one function (domain
 * QDQ_REGION_DOMAIN) for each region node, beside the user's own; imports the domain, raises the IR version to 8
 * (functions). Repeatable. */
void qdq_emit_fused(qdq_model *m);
/* Mode `qdq`: expands every region in place. */
void qdq_emit_qdq(qdq_model *m);
/* Mode `qoperator`: so too, then operators between DQ and Q become integer forms, with `exact` only those that change no
 * result by any bit. Adds events. */
void qdq_emit_qoperator(qdq_model *m, bool exact);
/* After loading: calls of functions of QDQ_REGION_DOMAIN become region nodes again. */
void qdq_emit_read(qdq_model *m);

#endif

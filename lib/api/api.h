/* SPDX-License-Identifier: Apache-2.0
 *
 * api.h -- what the files behind include/qdqopt.h share
 *
 * Every public call packs its arguments, and a body runs under a guard: nothing is thrown out of the library. A call
 * that changes a model goes through qdq_change, which refuses a poisoned model and poisons it when memory runs out.
 */
#ifndef QDQ_API_H
#define QDQ_API_H

#include "../emit/emit.h"
#include "../report/report.h"
#include "../rewrite/rewrite.h"

/* Runs body(arg) on m. QDQ_EUSAGE where m is NULL or poisoned. */
qdq_status qdq_change(qdq_model *m, void (*body)(void *arg), void *arg);

/* An error diagnostic about the model, then QDQ_EUSAGE is thrown. */
QDQ_NORETURN void qdq_misuse(qdq_model *m, const char *format, ...) QDQ_PRINTF(2, 3);
/* Throws QDQ_EUSAGE unless it is a live part of m. `what` names the argument. */
void qdq_expect_value(qdq_model *m, const qdq_value *v, const char *what);
void qdq_expect_node(qdq_model *m, const qdq_node *n, const char *what);

/* After edits: order, inference, checks, and the baseline of the report. Throws. Cheap where nothing was edited. */
void qdq_settle(qdq_model *m);
/* The same without the baseline, edited or not. */
void qdq_reorder_and_infer(qdq_model *m);
/* n was changed: what the file declared about its outputs may be wrong. */
void qdq_forget_declared(qdq_node *n);
/* Says that the model was edited. */
void qdq_edited(qdq_model *m);

/* ---- what_if.c ---- */

/* Tries the fixes of the heaviest reasons of r, m's report, on copies of m. Throws for want of memory. */
struct qdq_report;
void qdq_what_if(qdq_model *m, struct qdq_report *r);

/* ---- load.c ---- */

bool qdq_has_suffix(const char *path, const char *suffix);
bool qdq_is_text_path(const char *path); /* .onnxtxt or .txt */

#endif

/* SPDX-License-Identifier: Apache-2.0
 *
 * report.c -- the report as the public interface shows it
 */
#include <math.h>

#include "../onnx/onnx.h"
#include "api.h"

struct make {
	qdq_model *m;
	const char *output;
	qdq_report *report;
};

static void make(void *arg)
{
	struct make *k = arg;

	qdq_settle(k->m);
	k->report = qdq_report_make(k->m, k->m->target != NULL ? k->m->target : "cuda", k->output, k->m->milliseconds);
	qdq_what_if(k->m, k->report);
}

qdq_status qdq_report_new(const qdq_report **out, qdq_model *m, const char *output)
{
	struct make k = {.m = m, .output = output};
	qdq_status status;

	if (out == NULL)
		return QDQ_EUSAGE;
	*out = NULL;
	status = qdq_change(m, make, &k);
	if (status == QDQ_OK)
		*out = k.report;
	return status;
}

struct measured {
	qdq_model *m;
	const char *output;
	double snr;
};

static void note_measured(void *arg)
{
	const struct measured *given = arg;
	qdq_model *m = given->m;
	size_t i = 0;

	if (given->output == NULL || isnan(given->snr))
		qdq_misuse(m, "the output is NULL, or its ratio is no number");
	while (i < m->measured.count && strcmp(m->measured.items[i].output, given->output) != 0)
		i++;
	if (i == m->measured.count)
		qdq_push(&m->arena, &m->measured)->output = qdq_copy(&m->arena, given->output, strlen(given->output));
	m->measured.items[i].snr = given->snr;
}

qdq_status qdq_report_measured(qdq_model *m, const char *output, double snr)
{
	struct measured given = {m, output, snr};

	return qdq_change(m, note_measured, &given);
}

void qdq_report_get_counts(qdq_counts *out, const qdq_report *r)
{
	if (out != NULL)
		*out = r == NULL ? (qdq_counts){0} : *qdq_report_summary(r);
}

size_t qdq_report_op_count(const qdq_report *r)
{
	size_t count = 0;

	if (r != NULL)
		qdq_report_ops(r, &count);
	return count;
}

static void show(qdq_op_report *out, const qdq_report_op *op)
{
	*out = (qdq_op_report){
	    .name = op->name,
	    .op = op->op,
	    .verdict = op->verdict,
	    .macs = op->macs,
	    .bytes = op->bytes,
	    .fused_into = op->fused_into,
	};
	if (!op->has_reason)
		return;
	out->code = op->code;
	out->operand = op->operand;
	out->node = op->cause;
	out->message = op->message;
	out->fix = op->fix;
}

qdq_status qdq_report_get_op(qdq_op_report *out, const qdq_report *r, size_t index)
{
	const qdq_report_op *ops;
	size_t count;

	if (out == NULL)
		return QDQ_EUSAGE;
	*out = (qdq_op_report){0};
	if (r == NULL)
		return QDQ_EUSAGE;
	ops = qdq_report_ops(r, &count);
	if (index >= count)
		return QDQ_EUSAGE;
	show(out, &ops[index]);
	return QDQ_OK;
}

qdq_status qdq_report_find(qdq_op_report *out, const qdq_report *r, const char *node)
{
	const qdq_report_op *ops;
	size_t count;

	if (out == NULL)
		return QDQ_EUSAGE;
	*out = (qdq_op_report){0};
	if (r == NULL || node == NULL)
		return QDQ_EUSAGE;
	ops = qdq_report_ops(r, &count);
	for (size_t i = 0; i < count; i++) {
		if (strcmp(ops[i].name, node) == 0) {
			show(out, &ops[i]);
			return QDQ_OK;
		}
	}
	return QDQ_EUSAGE;
}

double qdq_report_coverage(const qdq_report *r)
{
	qdq_counts c;

	if (r == NULL)
		return 0;
	qdq_report_get_counts(&c, r);
	return c.macs == 0 ? 100 : (double)c.macs_int8 * 100 / (double)c.macs;
}

/* ---- printing ---- */

struct print {
	const qdq_report *report;
	qdq_report_format format;
	const char *node; /* to explain; NULL: the whole report */
	qdq_write_fn *write;
	void *user;
	qdq_model *m;
	const char *path;
};

static qdq_status print(void *arg, qdq_write_fn *write, void *user)
{
	const struct print *p = arg;

	switch (p->format) {
	case QDQ_REPORT_TEXT:
		return qdq_report_text(p->report, write, user, false);
	case QDQ_REPORT_TEXT_COLOUR:
		return qdq_report_text(p->report, write, user, true);
	case QDQ_REPORT_JSON:
		return qdq_report_json(p->report, write, user);
	}
	return QDQ_EUSAGE;
}

qdq_status qdq_report_print(const qdq_report *r, qdq_report_format format, qdq_write_fn *write, void *user)
{
	struct print p = {.report = r, .format = format};

	return r == NULL || write == NULL ? QDQ_EUSAGE : print(&p, write, user);
}

qdq_status qdq_report_explain_node(const qdq_report *r, const char *node, qdq_write_fn *write, void *user)
{
	return r == NULL || node == NULL || write == NULL ? QDQ_EUSAGE : qdq_report_explain(r, node, write, user);
}

static void save(void *arg)
{
	struct print *p = arg;

	if (p->report == NULL || p->path == NULL)
		qdq_misuse(p->m, "the report or its path is NULL");
	if (qdq_report_model(p->report) != p->m)
		qdq_misuse(p->m, "it is the report of another model");
	if (qdq_has_suffix(p->path, ".json"))
		p->format = QDQ_REPORT_JSON;
	else if (qdq_has_suffix(p->path, ".txt"))
		p->format = QDQ_REPORT_TEXT;
	else
		qdq_misuse(p->m, "'%s': a report is written to a file that ends in .txt or .json", p->path);
	qdq_write_whole(p->m->ctx, p->path, print, p);
}

qdq_status qdq_report_save(const qdq_report *r, qdq_model *m, const char *path)
{
	struct print p = {.report = r, .m = m, .path = path};

	return qdq_change(m, save, &p);
}

/* ---- reasons ---- */

qdq_status qdq_reason_at(qdq_reason_text *out, size_t index)
{
	const qdq_reason_info *reason;

	if (out == NULL)
		return QDQ_EUSAGE;
	*out = (qdq_reason_text){0};
	if (index >= QDQ_REASON_COUNT - 1)
		return QDQ_EUSAGE;
	reason = &qdq_reasons[index + 1];
	*out = (qdq_reason_text){reason->code, reason->message, reason->fix, reason->explain};
	return QDQ_OK;
}

qdq_status qdq_reason_by_code(qdq_reason_text *out, const char *code)
{
	qdq_reason_code found = code == NULL ? QDQ_REASON_NONE : qdq_reason_find(code);

	if (out == NULL)
		return QDQ_EUSAGE;
	*out = (qdq_reason_text){0};
	return found == QDQ_REASON_NONE ? QDQ_EUSAGE : qdq_reason_at(out, (size_t)found - 1);
}

/* SPDX-License-Identifier: Apache-2.0
 *
 * json.c -- the report for programs: names and nesting are stable (schema 1, docs/design.md)
 *
 * Written piece by piece; nothing is built up in memory. What is not UTF-8 becomes U+FFFD.
 */
#include <math.h>
#include <stdio.h>

#include "internal.h"

typedef struct json {
	qdq_writer w;
	bool comma; /* something stands before in this object or list */
} json;

/* Length of the UTF-8 character at s, 0 where it is none. */
static int utf8_length(const unsigned char *s)
{
	static const unsigned least[5] = {0, 0, 0x80, 0x800, 0x10000};
	int length = s[0] < 0x80 ? 1 : s[0] >> 5 == 6 ? 2 : s[0] >> 4 == 14 ? 3 : s[0] >> 3 == 30 ? 4 : 0;
	unsigned code = length <= 1 ? s[0] : s[0] & (0x7fu >> length);

	for (int i = 1; i < length; i++) {
		if (s[i] >> 6 != 2)
			return 0;
		code = code << 6 | (s[i] & 0x3f);
	}
	if (length > 1 && (code < least[length] || code > 0x10ffff || (code >= 0xd800 && code < 0xe000)))
		return 0;
	return length;
}

static void put_string(json *j, const char *text)
{
	const unsigned char *s = (const unsigned char *)text;
	char piece[8];

	qdq_put(&j->w, "\"");
	while (*s != '\0') {
		int length = utf8_length(s);

		if (*s == '"' || *s == '\\')
			snprintf(piece, sizeof piece, "\\%c", *s);
		else if (*s < 0x20 || *s == 0x7f)
			snprintf(piece, sizeof piece, "\\u%04x", (unsigned)*s);
		else if (length == 0)
			snprintf(piece, sizeof piece, "\\ufffd");
		else
			snprintf(piece, sizeof piece, "%.*s", length, (const char *)s);
		qdq_put(&j->w, piece);
		s += length == 0 ? 1 : length;
	}
	qdq_put(&j->w, "\"");
}

/* ---- values, with or without a key ---- */

static void begin_item(json *j, const char *key)
{
	if (j->comma)
		qdq_put(&j->w, ", ");
	j->comma = true;
	if (key != NULL) {
		put_string(j, key);
		qdq_put(&j->w, ": ");
	}
}

static void open(json *j, const char *key, const char *bracket)
{
	begin_item(j, key);
	qdq_put(&j->w, bracket);
	j->comma = false;
}

static void close(json *j, const char *bracket)
{
	qdq_put(&j->w, bracket);
	j->comma = true;
}

static void string(json *j, const char *key, const char *value)
{
	begin_item(j, key);
	if (value == NULL)
		qdq_put(&j->w, "null");
	else
		put_string(j, value);
}

static void number(json *j, const char *key, uint64_t value)
{
	begin_item(j, key);
	qdq_putf(&j->w, "%llu", (unsigned long long)value);
}

static void strings(json *j, const char *key, const char *const *items, size_t count)
{
	open(j, key, "[");
	for (size_t i = 0; i < count; i++)
		string(j, NULL, items[i]);
	close(j, "]");
}

/* An element of a long list: on its own line. */
static void open_row(json *j)
{
	if (j->comma)
		qdq_put(&j->w, ",");
	qdq_put(&j->w, "\n    {");
	j->comma = false;
}

/* ---- the parts ---- */

static void put_model(json *j, const qdq_report *r)
{
	const qdq_model *m = r->m;

	open(j, "model", "{");
	string(j, "name", qdq_base_name(m->path));
	number(j, "opset", (uint64_t)(m->opset > 0 ? m->opset : 0));
	number(j, "ir_version", (uint64_t)(m->ir_version > 0 ? m->ir_version : 0));
	string(j, "producer", m->about != NULL ? m->about->producer_name : NULL);
	close(j, "}");
}

static void put_summary(json *j, const qdq_counts *c)
{
	open(j, "summary", "{");
	number(j, "weighted", c->weighted);
	number(j, "int8_int8", c->int8_int8);
	number(j, "int8_float", c->int8_float);
	number(j, "float", c->float_only);
	number(j, "macs", c->macs);
	number(j, "macs_int8", c->macs_int8);
	number(j, "bytes", c->bytes);
	number(j, "bytes_int8", c->bytes_int8);
	number(j, "nodes_before", c->nodes_before);
	number(j, "nodes_after", c->nodes_after);
	number(j, "q_before", c->q_before);
	number(j, "dq_before", c->dq_before);
	number(j, "q_after", c->q_after);
	number(j, "dq_after", c->dq_after);
	close(j, "}");
}

static void put_reason(json *j, const qdq_report_op *op)
{
	if (!op->has_reason) {
		string(j, "reason", NULL);
		return;
	}
	open(j, "reason", "{");
	string(j, "code", op->code);
	string(j, "operand", op->operand);
	string(j, "node", op->cause);
	string(j, "message", op->message);
	string(j, "fix", op->fix);
	if (op->tried)
		number(j, "macs", op->gain);
	else
		string(j, "macs", NULL);
	close(j, "}");
}

static void put_ops(json *j, const qdq_report *r)
{
	static const char *const verdicts[] = {"float", "int8->float", "int8->int8"};

	open(j, "ops", "[");
	for (size_t i = 0; i < r->n_ops; i++) {
		const qdq_report_op *op = &r->ops[i];

		open_row(j);
		string(j, "name", op->name);
		string(j, "op", op->op);
		string(j, "verdict", verdicts[op->verdict]);
		strings(j, "inputs", op->inputs, op->n_inputs);
		strings(j, "outputs", op->outputs, op->n_outputs);
		number(j, "macs", op->macs);
		number(j, "bytes", op->bytes);
		string(j, "fused_into", op->fused_into);
		put_reason(j, op);
		close(j, "}");
	}
	close(j, "]");
}

static void put_regions(json *j, const qdq_report *r)
{
	open(j, "regions", "[");
	for (size_t i = 0; i < r->regions.count; i++) {
		const qdq_report_region *region = &r->regions.items[i];

		open_row(j);
		string(j, "name", region->name);
		string(j, "kind", region->kind);
		strings(j, "ops", region->ops.items, region->ops.count);
		strings(j, "inputs", region->inputs, region->n_inputs);
		strings(j, "outputs", region->outputs, region->n_outputs);
		number(j, "macs", region->macs);
		number(j, "bytes", region->bytes);
		close(j, "}");
	}
	close(j, "]");
}

static void put_rewrites(json *j, const qdq_report *r)
{
	char room[16];

	open(j, "rewrites", "[");
	for (size_t i = 0; i < r->m->events.count; i++) {
		const qdq_event *e = &r->m->events.items[i];

		if (e->declined)
			continue;
		open_row(j);
		string(j, "pass", e->pass);
		string(j, "rule", e->rule);
		string(j, "exactness", qdq_exactness_names[e->exactness]);
		begin_item(j, "bound");
		if (isinf(e->bound))
			qdq_put(&j->w, "null");
		else
			qdq_put_short(&j->w, e->bound, 9);
		string(j, "tensor", e->operand);
		open(j, "nodes", "[");
		for (const qdq_origin *o = e->node; o != NULL; o = o->next)
			string(j, NULL, qdq_origin_label(o, room));
		close(j, "]");
		close(j, "}");
	}
	close(j, "]");
}

static void put_declined(json *j, const qdq_report *r)
{
	char room[16];

	open(j, "declined", "[");
	for (size_t i = 0; i < r->m->events.count; i++) {
		const qdq_event *e = &r->m->events.items[i];

		if (!e->declined || strcmp(e->pass, "explain") == 0) /* those are the reasons of ops */
			continue;
		open_row(j);
		string(j, "pass", e->pass);
		string(j, "rule", e->rule);
		string(j, "code", qdq_reasons[e->reason].code);
		string(j, "node", e->node != NULL ? qdq_origin_label(e->node, room) : NULL);
		string(j, "message", e->message);
		close(j, "}");
	}
	close(j, "]");
}

static void put_io(json *j, const qdq_model *m)
{
	open(j, "io", "[");
	for (size_t i = 0; i < m->io.count; i++) {
		const qdq_io_codes *io = &m->io.items[i];

		open_row(j);
		string(j, "name", io->name);
		string(j, "direction", io->output ? "output" : "input");
		string(j, "type", qdq_type_get(io->type)->name);
		begin_item(j, "scale");
		qdq_put_short(&j->w, io->scale, 9);
		begin_item(j, "zero_point");
		qdq_putf(&j->w, "%lld", (long long)io->zero);
		close(j, "}");
	}
	close(j, "]");
}

/* Infinite ratios are no JSON: null, and `identical` tells which. */
static void put_measured(json *j, const qdq_model *m)
{
	open(j, "outputs", "[");
	for (size_t i = 0; i < m->measured.count; i++) {
		double snr = m->measured.items[i].snr;

		open_row(j);
		string(j, "name", m->measured.items[i].output);
		begin_item(j, "snr");
		if (isinf(snr))
			qdq_put(&j->w, "null");
		else
			qdq_put_real(&j->w, snr, 3);
		begin_item(j, "identical");
		qdq_put(&j->w, isinf(snr) && snr > 0 ? "true" : "false");
		close(j, "}");
	}
	close(j, "]");
}

/* Of this model: a context may have others, of other files. */
static void put_diagnostics(json *j, const qdq_model *m)
{
	const qdq_ctx *ctx = m->ctx;
	static const char *const severities[] = {"", "error", "warning", "note"};

	open(j, "diagnostics", "[");
	for (size_t i = 0; i < ctx->diagnostics.count; i++) {
		const qdq_diagnostic *d = &ctx->diagnostics.items[i];

		if (d->file != NULL && (m->path == NULL || strcmp(d->file, m->path) != 0))
			continue;
		open_row(j);
		string(j, "severity", severities[d->severity]);
		string(j, "file", d->file);
		string(j, "node", d->node);
		string(j, "op", d->op);
		string(j, "operand", d->operand);
		string(j, "message", d->message);
		close(j, "}");
	}
	close(j, "]");
}

qdq_status qdq_report_json(const qdq_report *r, qdq_write_fn *write, void *user)
{
	json j = {.w = {.write = write, .user = user}};

	qdq_put(&j.w, "{");
	number(&j, "schema", 1);
	qdq_put(&j.w, ",\n ");
	j.comma = false;
	put_model(&j, r);
	string(&j, "target", r->target);
	qdq_put(&j.w, ",\n ");
	j.comma = false;
	put_summary(&j, &r->counts);
	begin_item(&j, "unknown_dimensions");
	qdq_put(&j.w, r->symbolic ? "true" : "false");
	begin_item(&j, "milliseconds");
	qdq_put_real(&j.w, r->milliseconds, 3);
	qdq_put(&j.w, ",\n ");
	j.comma = false;
	put_ops(&j, r);
	put_regions(&j, r);
	put_rewrites(&j, r);
	put_declined(&j, r);
	put_io(&j, r->m);
	put_measured(&j, r->m);
	put_diagnostics(&j, r->m);
	qdq_put(&j.w, "}\n");
	return qdq_writer_end(&j.w);
}

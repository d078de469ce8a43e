/* SPDX-License-Identifier: Apache-2.0
 *
 * what_if.c -- how many multiply-accumulates the fix of a reason would bring into INT8, found by trying it
 *
 * The fix is made on a copy of the optimized network, its regions dissolved: the tensor that is not quantized gets a Q/DQ
 * pair with a placeholder for a scale, the weight is replaced by codes, or the option is given that the reason asks for.
 * Then the passes run, and what is INT8 more than without the fix is its gain. Only the heaviest reasons are tried: the
 * report of a network has a second or so for it, whatever its size.
 *
 * Copies live in a context of their own: what is said of a trial is about no model that anybody has, and a trial that
 * the caller's memory does not hold is one that was not made.
 */
#include <stdlib.h>

#include "../../passes/moves.h"
#include "../emit/emit.h"
#include "api.h"

#define MOST_TRIALS 16
#define MOST_NODES 400000 /* of all trials together */
#define MOST_VISITS 1024  /* from an operand back to constants, on all ways */

/* What a fix does. */
enum fix { NO_FIX, QUANTIZE, MAKE_PLAIN, ALLOW_BOUNDED, NOT_EXACT, NOT_KEPT };

static const struct {
	qdq_reason_code code;
	enum fix fix;
} fixes[] = {
    {QDQ_REASON_INPUT_FLOAT, QUANTIZE},	      {QDQ_REASON_WEIGHT_FLOAT, QUANTIZE},
    {QDQ_REASON_BOTH_FLOAT, QUANTIZE},	      {QDQ_REASON_WEIGHT_DYNAMIC, QUANTIZE},
    {QDQ_REASON_WEIGHT_ONLY, QUANTIZE},	      {QDQ_REASON_SCALE_DYNAMIC, QUANTIZE},
    {QDQ_REASON_SCALE_SIGN, QUANTIZE},	      {QDQ_REASON_TYPE_16BIT, QUANTIZE},
    {QDQ_REASON_TYPE_4BIT, QUANTIZE},	      {QDQ_REASON_TYPE_FLOAT8, QUANTIZE},
    {QDQ_REASON_TYPE_INT32, QUANTIZE},	      {QDQ_REASON_BLOCKED, QUANTIZE},
    {QDQ_REASON_INPUT_PER_CHANNEL, QUANTIZE}, {QDQ_REASON_WEIGHT_AXIS, QUANTIZE},
    {QDQ_REASON_OPERAND_FLOAT, QUANTIZE},     {QDQ_REASON_DYNAMIC_QUANTIZE, QUANTIZE},
    {QDQ_REASON_CAST_BETWEEN, QUANTIZE},      {QDQ_REASON_RANGE_UNKNOWN, QUANTIZE},
    {QDQ_REASON_TARGET_TYPE, MAKE_PLAIN},     {QDQ_REASON_TARGET_ZERO, MAKE_PLAIN},
    {QDQ_REASON_NOT_BOUNDED, ALLOW_BOUNDED},  {QDQ_REASON_NOT_EXACT, NOT_EXACT},
    {QDQ_REASON_KEPT_FLOAT, NOT_KEPT},
};

static enum fix fix_of(const qdq_report_op *op)
{
	qdq_reason_code code = qdq_reason_find(op->code);

	for (size_t i = 0; i < QDQ_COUNTOF(fixes); i++)
		if (fixes[i].code == code)
			return fixes[i].fix;
	return NO_FIX;
}

/* ---- placeholders ---- */

static qdq_value *scalar(qdq_graph *g, const char *hint, qdq_type type, float x)
{
	qdq_model *m = g->model;
	qdq_tensor *t = qdq_tensor_new(m, type, 0, NULL);
	uint16_t half = type == QDQ_TYPE_FLOAT16 ? qdq_f32_to_f16(x) : qdq_f32_to_bf16(x);

	if (type == QDQ_TYPE_FLOAT)
		memcpy((void *)(uintptr_t)t->data, &x, sizeof x);
	else if (type == QDQ_TYPE_FLOAT16 || type == QDQ_TYPE_BFLOAT16)
		memcpy((void *)(uintptr_t)t->data, &half, sizeof half);
	return qdq_graph_add_constant(g, qdq_unique_name(&m->names, hint), t);
}

static qdq_params placeholder(qdq_graph *g, qdq_type real)
{
	return (qdq_params){.codes = QDQ_TYPE_INT8,
			    .real = real,
			    .scale = scalar(g, "what_if_scale", real, 1),
			    .zero = scalar(g, "what_if_zero", QDQ_TYPE_INT8, 0),
			    .constant = true,
			    .per_tensor = true,
			    .count = 1,
			    .positive = true};
}

static bool is_float(qdq_type type)
{
	return type == QDQ_TYPE_FLOAT || type == QDQ_TYPE_FLOAT16 || type == QDQ_TYPE_BFLOAT16;
}

/* A constant, whatever was done to it. */
static bool is_weight(const qdq_value *v, int depth, int *visits)
{
	const qdq_node *n = v->def;

	if (n == NULL || depth == 0 || (*visits)++ >= MOST_VISITS)
		return n == NULL && qdq_value_constant(v) != NULL;
	for (uint32_t i = 0; i < n->n_inputs; i++)
		if (qdq_in(n, i) != NULL && !is_weight(qdq_in(n, i), depth - 1, visits))
			return false;
	return n->n_inputs != 0;
}

static void replace_weight(qdq_node *n, uint32_t index)
{
	qdq_graph *g = n->graph;
	const qdq_value *v = qdq_in(n, index);
	qdq_params p = placeholder(g, v->type);
	qdq_value *codes;

	if (!qdq_shape_known(v->shape))
		return;
	codes = qdq_graph_add_constant(g, qdq_unique_name(&g->model->names, "what_if_codes"),
				       qdq_tensor_new(g->model, QDQ_TYPE_INT8, v->shape->rank, v->shape->dim));
	qdq_use_set(&n->inputs[index], qdq_dequantize_insert(g, n, codes, &p, "what_if_weight", n->origin)->outputs[0]);
}

/* All weighted operators that read the tensor read the pair; it stands in front of the first of them. */
static void quantize_tensor(qdq_node *n, uint32_t index)
{
	qdq_graph *g = n->graph;
	qdq_value *v = qdq_in(n, index);
	qdq_params p = placeholder(g, v->type);
	qdq_node *front = v->def != NULL && v->def->graph == g ? v->def->next : g->first;
	qdq_node *q = qdq_quantize_insert(g, front, v, &p, "what_if_q", n->origin);
	qdq_node *dq = qdq_dequantize_insert(g, front, q->outputs[0], &p, "what_if_dq", n->origin);

	for (qdq_use *u = v->uses, *next; u != NULL; u = next) {
		next = u->next;
		if (u->node->op->cls == QDQ_CLASS_CONTRACT && u->node->graph == g && qdq_use_index(u) < 2)
			qdq_use_set(u, dq->outputs[0]);
	}
}

/* Symmetric int8, which every target takes. */
static bool is_plain(const qdq_params *p)
{
	for (uint64_t c = 0; p->zero != NULL && c < p->count; c++)
		if (qdq_params_zero(p, c) != 0)
			return false;
	return p->codes == QDQ_TYPE_INT8;
}

/* plain: also operands that are quantized, but otherwise. */
static void quantize_operands(qdq_node *n, bool plain)
{
	bool windows = n->op->id == QDQ_OP_Conv || n->op->id == QDQ_OP_ConvTranspose;

	for (uint32_t i = 0; i < 2; i++) {
		const qdq_value *v = qdq_in(n, i);
		qdq_reason why;
		qdq_params p;
		int visits = 0;

		if (v == NULL || !is_float(v->type) ||
		    (qdq_contract_operand(n, i, &p, &why) && (!plain || is_plain(&p))))
			continue;
		if ((windows && i == 1) || is_weight(v, 6, &visits))
			replace_weight(n, i);
		else
			quantize_tensor(n, i);
	}
}

/* ---- one trial ---- */

struct trial {
	qdq_model *m, *copy;
	qdq_ctx *ctx;		 /* the copies' */
	const qdq_report_op *op; /* NULL: nothing is fixed */
	uint32_t origin;
	qdq_driver_options options;
	uint64_t macs_int8;
	bool found;
};

static bool stands_for(const qdq_node *n, uint32_t origin)
{
	for (const qdq_origin *o = n->origin; o != NULL; o = o->next)
		if (o->index == origin)
			return true;
	return false;
}

static void make_fix(struct trial *t, qdq_node *n)
{
	switch (fix_of(t->op)) {
	case QUANTIZE:
		quantize_operands(n, false);
		break;
	case MAKE_PLAIN:
		quantize_operands(n, true);
		break;
	case ALLOW_BOUNDED:
		t->options.pass.allow_bounded = true;
		break;
	case NOT_EXACT:
		t->options.pass.exact = false;
		break;
	case NOT_KEPT: /* all of them: so much do the exceptions cost */
		for (qdq_node *k = n->graph->first; k != NULL; k = qdq_after(k))
			k->wanted = QDQ_TYPE_NONE;
		break;
	case NO_FIX:
		break;
	}
}

static void try_fix(void *arg)
{
	struct trial *t = arg;

	t->copy = qdq_model_copy(t->ctx, t->m);
	qdq_emit_qdq(t->copy);
	t->copy->events.count = 0;
	for (qdq_node *n = t->copy->graph->first, *next; n != NULL && t->op != NULL; n = next) {
		next = n->next;
		if (n->op->cls == QDQ_CLASS_CONTRACT && stands_for(n, t->origin) && !t->found) {
			t->found = true;
			make_fix(t, n);
		}
	}
	qdq_run_passes(t->copy, &t->options);
	t->macs_int8 = qdq_report_summary(qdq_report_make(t->copy, "", NULL, 0))->macs_int8;
}

/* False: it could not be tried. */
static bool run_trial(struct trial *t)
{
	qdq_status status = qdq_guard(t->ctx, try_fix, t);

	if (t->copy != NULL)
		qdq_model_destroy(t->copy);
	t->copy = NULL;
	return status == QDQ_OK && (t->op == NULL || t->found);
}

/* ---- all of them ---- */

struct candidate {
	qdq_report_op *op;
	uint32_t origin;
};

static int heaviest_first(const void *a, const void *b)
{
	const struct candidate *x = a, *y = b;

	if (x->op->macs != y->op->macs)
		return x->op->macs < y->op->macs ? 1 : -1;
	return x->origin < y->origin ? -1 : x->origin > y->origin;
}

/* Operators whose reason has the same fix as one that was tried. */
static bool same_fix(const qdq_report_op *a, const qdq_report_op *b)
{
	if (strcmp(a->code, b->code) != 0)
		return false;
	if (fix_of(a) == ALLOW_BOUNDED || fix_of(a) == NOT_EXACT || fix_of(a) == NOT_KEPT)
		return true;
	return a->now != NULL && b->now != NULL && strcmp(a->now, b->now) == 0;
}

static void try_all(struct trial *base, struct candidate *all, size_t count)
{
	size_t most = qdq_min_size(MOST_TRIALS, MOST_NODES / ((size_t)base->m->graph->n_nodes + 1));

	for (size_t i = 0; i < count && most != 0; i++) {
		struct trial t = {
		    .m = base->m, .ctx = base->ctx, .op = all[i].op, .origin = all[i].origin, .options = base->options};

		if (all[i].op->tried)
			continue;
		most--;
		if (!run_trial(&t))
			continue;
		for (size_t k = i; k < count; k++) {
			if (k != i && !same_fix(all[i].op, all[k].op))
				continue;
			all[k].op->tried = true;
			all[k].op->gain = t.macs_int8 > base->macs_int8 ? t.macs_int8 - base->macs_int8 : 0;
		}
	}
}

/* The operators of the report that are float, weighted, and have a reason that can be fixed. */
static size_t find_candidates(qdq_model *m, qdq_report *r, struct candidate *out)
{
	size_t n_ops, count = 0;
	qdq_report_op *ops = qdq_report_ops_to_fill(r, &n_ops);

	for (size_t i = 0; i < n_ops; i++) {
		ops[i].tried = ops[i].has_reason && ops[i].verdict != QDQ_VERDICT_FLOAT;
		if (!ops[i].has_reason || ops[i].macs == 0 || ops[i].tried || fix_of(&ops[i]) == NO_FIX)
			continue;
		out[count++] = (struct candidate){&ops[i], qdq_baseline_origin(m, i)};
	}
	return count;
}

void qdq_what_if(qdq_model *m, qdq_report *r)
{
	size_t count;
	struct candidate *all;
	struct trial base = {.m = m};

	qdq_report_ops(r, &count);
	all = qdq_array(&m->arena, struct candidate, count);
	count = find_candidates(m, r, all);
	if (count == 0 || m->asked == NULL)
		return;
	base.options = (qdq_driver_options){.pass = *(const qdq_pass_options *)m->asked};
	base.options.pass.n_overrides = 0; /* the marks are there */
	base.options.pass.io_int8 = false;
	qsort(all, count, sizeof *all, heaviest_first);
	if (m->graph->n_nodes > MOST_NODES || qdq_ctx_beside(&base.ctx, m->ctx) != QDQ_OK)
		return;
	if (run_trial(&base)) /* nothing in here throws to the caller */
		try_all(&base, all, count);
	qdq_ctx_beside_peak(m->ctx, base.ctx);
	qdq_ctx_free(base.ctx);
}

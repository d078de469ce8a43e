/* SPDX-License-Identifier: Apache-2.0
 *
 * precision -- what each operator computes in: what the target can do (precision.def), and what the user wants
 *
 *   q -- DQ -- Conv -- Q -- y    =>    q -- DQ -- [Conv in float] -- Q -- y     for --keep-float Conv
 *
 *   When    an operator's name matches the glob of an override; of several the last counts. It marks the operator: of one
 *           that is kept in float (float, float16) no pass takes the Q and DQ away, nothing moves over it and no INT8
 *           operator takes it in; for one that is to be INT8 the repairs run that else need --allow=bounded
 *   Keeps   every node and every value
 *   Exact   EXACT: a mark changes nothing by itself
 *   Needs   names of the user's file        Breaks  nothing
 *   After   inline_functions, read_qlinear  Before  sink_dq, repair_weights, fuse
 *   Tests   test/golden/precision/          Ref     passes/precision.def
 */
#include <stdio.h>

#include "moves.h"

/* ---- what a target can do ---- */

struct row {
	qdq_target target;
	qdq_op_id op; /* NONE: of the class */
	qdq_class cls;
	const char *inputs, *weights, *outputs;
};

static const struct row table[] = {
#define OPERATOR(id) .op = QDQ_OP_##id
#define CLASS(name) .cls = QDQ_CLASS_##name
#define PRECISION(target_, which, inputs_, weights_, outputs_, why) \
	{.target = QDQ_TARGET_##target_, which, .inputs = inputs_, .weights = weights_, .outputs = outputs_},
#include "precision.def"
#undef PRECISION
#undef CLASS
#undef OPERATOR
};

/* The next row for n on this target, behind `from`; rows of the class only where none names the operator. */
static const struct row *next_row(const qdq_node *n, qdq_target target, const struct row *from)
{
	const struct row *end = table + QDQ_COUNTOF(table);
	bool named = false;

	for (const struct row *row = table; row < end; row++)
		named = named || (row->target == target && row->op == n->op->id);
	for (const struct row *row = from == NULL ? table : from + 1; row < end; row++)
		if (row->target == target &&
		    (named ? row->op == n->op->id : row->op == QDQ_OP_NONE && row->cls == n->op->cls))
			return row;
	return NULL;
}

bool qdq_precision_listed(const qdq_node *n, qdq_target target)
{
	return next_row(n, target, NULL) != NULL;
}

/* Is "s8" (or with any zero point "s8z") among the words? */
static bool among(const char *words, const char *type, bool zeros)
{
	size_t length = strlen(type);

	for (const char *at = strstr(words, type); at != NULL; at = strstr(at + 1, type))
		if (!zeros || at[length] == 'z')
			return true;
	return false;
}

static const char *word_of(qdq_type codes)
{
	return codes == QDQ_TYPE_INT8 ? "s8" : "u8";
}

static bool refuse(qdq_reason *why, qdq_reason_code code, const qdq_value *operand, qdq_target target)
{
	*why = (qdq_reason){.code = code, .operand = operand->name, .detail = qdq_target_names[target]};
	if (operand->def != NULL)
		why->cause = qdq_node_label(operand->def);
	return false;
}

static bool takes(const qdq_node *n, uint32_t i, const char *words, qdq_target target, qdq_reason *why)
{
	qdq_params p;

	if (qdq_dequantized(qdq_in(n, i), &p) == NULL)
		return true; /* other guards are about floats */
	if (!among(words, word_of(p.codes), false))
		return refuse(why, QDQ_REASON_TARGET_TYPE, qdq_in(n, i), target);
	return among(words, word_of(p.codes), !qdq_centred(&p)) ||
	       refuse(why, QDQ_REASON_TARGET_ZERO, qdq_in(n, i), target);
}

/* The Qs that read what n computes. */
static bool writes(const qdq_node *n, const struct row *row, qdq_target target, qdq_reason *why)
{
	qdq_params in, out;
	bool alike = strcmp(row->outputs, "=") == 0;

	for (const qdq_use *u = n->outputs[0]->uses; u != NULL; u = u->next) {
		if (!qdq_is(u->node, QDQ_OP_QuantizeLinear) || qdq_use_index(u) != 0 || !qdq_params_of(u->node, &out) ||
		    !qdq_type_is_int8(out.codes))
			continue;
		if (alike ? qdq_dequantized(qdq_in(n, 0), &in) != NULL && in.codes != out.codes
			  : !among(row->outputs, word_of(out.codes), !qdq_centred(&out)))
			return refuse(why, QDQ_REASON_TARGET_OUTPUT, n->outputs[0], target);
	}
	return true;
}

static bool row_takes(const qdq_node *n, const struct row *row, qdq_target target, qdq_reason *why)
{
	bool weighted = n->op->cls == QDQ_CLASS_CONTRACT;

	for (uint32_t i = 0; i < n->n_inputs; i++) {
		if (qdq_in(n, i) == NULL || (weighted && i > 1)) /* a bias is no matter */
			continue;
		if (!takes(n, i, weighted && i == 1 ? row->weights : row->inputs, target, why))
			return false;
	}
	return writes(n, row, target, why);
}

bool qdq_precision_int8(const qdq_node *n, qdq_target target, qdq_reason *why)
{
	const struct row *row = next_row(n, target, NULL);

	if (row == NULL || qdq_out(n, 0) == NULL)
		return true;
	for (; row != NULL; row = next_row(n, target, row))
		if (row_takes(n, row, target, why))
			return true;
	return false;
}

/* ---- what the user wants ---- */

static bool origin_is(const qdq_origin *o, const char *glob)
{
	char number[16];

	snprintf(number, sizeof number, "#%u", o->index);
	return qdq_glob(glob, *o->name != '\0' ? o->name : number);
}

/* Does one of the nodes of the file that n stands for have such a name? */
static bool named(const qdq_node *n, const char *glob)
{
	for (const qdq_origin *o = n->origin; o != NULL; o = o->next)
		if (origin_is(o, glob))
			return true;
	return false;
}

static bool may_be_marked(const qdq_node *n)
{
	return n->op->cls != QDQ_CLASS_QUANT && n->op->cls != QDQ_CLASS_SHAPE && n->op->id != QDQ_OP_REGION;
}

/* Does one of the nodes of the file have such a name? */
static bool is_known(const qdq_model *m, const char *glob)
{
	for (size_t i = 0; i < m->origins.count; i++)
		if (m->origins.items[i] != NULL && origin_is(m->origins.items[i], glob))
			return true;
	return false;
}

bool qdq_wanted_alike(const qdq_run *r, const qdq_node *a, const qdq_node *b)
{
	for (size_t i = 0; i < r->options->n_overrides; i++)
		if (may_be_marked(a) &&
		    named(a, r->options->overrides[i].glob) != named(b, r->options->overrides[i].glob))
			return false;
	return a->wanted == b->wanted;
}

static void run(qdq_run *r)
{
	const qdq_pass_options *options = r->options;

	for (size_t i = 0; i < options->n_overrides; i++) {
		const qdq_override *o = &options->overrides[i];

		for (qdq_node *n = r->graph->first; n != NULL; n = qdq_after(n)) {
			if (!may_be_marked(n) || n->wanted == o->type || !named(n, o->glob))
				continue;
			n->wanted = o->type;
			qdq_applied(r, "precision.mark", QDQ_EXACT, 0, n->origin);
		}
		if (r->graph == r->model->graph && !is_known(r->model, o->glob))
			qdq_diag(r->ctx, QDQ_WARNING, &(qdq_where){.file = r->model->path},
				 "no operator is called '%s', which is to be %s", o->glob, qdq_type_text(o->type));
	}
}

static const qdq_rule rules[] = {
    {.name = "precision.mark", .exactness = QDQ_EXACT, .text = "an operator gets the precision that the user wants"},
};

const qdq_pass qdq_pass_precision = {
    "precision", "mark operators whose precision the user wants otherwise", rules, QDQ_COUNTOF(rules), run, false};

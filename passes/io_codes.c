/* SPDX-License-Identifier: Apache-2.0
 *
 * io_codes -- the network's inputs and outputs as codes, where they are quantized at once
 *
 *   x (float) -- Q -- Conv           =>   x (int8) -- Conv
 *   Conv -- Q -- DQ -- y (float)     =>   Conv -- Q -- y (int8)
 *
 *   When    the user asks for it (--io int8). Nothing but equal Qs reads an input; a DQ of one scale makes an output. What
 *           the codes mean is in the report
 *   Keeps   names and shapes of inputs and outputs; a DQ for others that read an output; inputs that are also read as
 *           floats, with a reason
 *   Exact   EXACT: whoever gives Q(x) for x gets the codes that are dequantized to y
 *   Needs   types                           Breaks  nothing
 *   After   cancel, clamp_codes             Before  fuse
 *   Tests   test/golden/io_codes/           Ref     ModelOpt direct_io_types, TensorRT strongly typed networks
 */
#include "moves.h"

static bool plain(const qdq_node *n, qdq_params *p)
{
	qdq_reason why;

	return qdq_params_of(n, p) && qdq_params_movable(p, &why) && p->per_tensor && p->positive;
}

static void record(qdq_run *r, const qdq_value *v, const qdq_params *p, bool output)
{
	*qdq_push(&r->model->arena, &r->model->io) = (qdq_io_codes){.name = v->name,
								    .output = output,
								    .type = p->codes,
								    .scale = qdq_params_scale(p, 0),
								    .zero = qdq_params_zero(p, 0)};
}

static void decline(qdq_run *r, const char *rule, const qdq_value *v, const qdq_node *n, const char *which)
{
	qdq_reason why = {.code = QDQ_REASON_IO_FLOAT, .operand = v->name, .detail = which};

	if (n != NULL)
		why.cause = qdq_node_label(n);
	qdq_declined(r, rule, n != NULL ? n->origin : NULL, &why);
}

/* Do Qs with the same parameters, and nothing else, read v? */
static bool only_quantizers(const qdq_value *v, qdq_params *p)
{
	for (const qdq_use *u = v->uses; u != NULL; u = u->next) {
		qdq_params own;

		if (!qdq_is(u->node, QDQ_OP_QuantizeLinear) || u->node->graph != v->graph || qdq_use_index(u) != 0 ||
		    u->node->outputs[0]->n_outputs != 0 || !plain(u->node, &own) ||
		    (u != v->uses && !qdq_params_equal(p, &own)))
			return false;
		*p = own;
	}
	return v->n_outputs == 0;
}

static void input_as_codes(qdq_run *r, qdq_value *v)
{
	const qdq_origin *origin;
	const qdq_use *next;
	qdq_params p;

	if (!qdq_type_is_real(v->type) || v->n_uses == 0 || v->tensor != NULL)
		return; /* not read, or with a default, which is float */
	if (!only_quantizers(v, &p)) {
		decline(r, "io_codes.input", v, v->uses->node, "input");
		return;
	}
	record(r, v, &p, false);
	origin = v->uses->node->origin;
	qdq_value_set_type(v, p.codes, v->shape);
	for (const qdq_use *u = v->uses; u != NULL; u = next) {
		qdq_node *q = u->node;

		next = u->next; /* what reads the codes comes in front of it */
		qdq_use_set(&q->inputs[0], NULL);
		qdq_value_replace_uses(q->outputs[0], v);
		qdq_node_remove(q);
	}
	qdq_applied(r, "io_codes.input", QDQ_EXACT, 0, origin);
}

/* Which output of its definer v is. */
static uint32_t output_index(const qdq_value *v)
{
	uint32_t i = 0;

	while (v->def->outputs[i] != v)
		i++;
	return i;
}

/* Does n only hand its input on? */
static bool does_nothing(const qdq_node *n)
{
	return n->op->id == QDQ_OP_Identity || (n->op->id == QDQ_OP_Cast && qdq_in(n, 0)->type == n->outputs[0]->type);
}

/* y is about to become codes: who reads it has a DQ of its own. Outputs that were only another name of y (an Identity stood
 * between the two, since both names must stay) are made by one at once. */
static void give_readers(qdq_value *y, qdq_node *dq)
{
	for (qdq_use *u = y->uses, *next; u != NULL; u = next) {
		qdq_node *n = u->node;

		next = u->next;
		if (n->graph != y->graph || !does_nothing(n) || n->outputs[0]->n_outputs == 0)
			continue;
		qdq_use_set(u, NULL);
		qdq_value_redefine(n->outputs[0], qdq_node_clone(dq, dq), 0);
		qdq_node_remove(n);
	}
	if (y->n_uses != 0)
		qdq_value_replace_uses(y, qdq_node_clone(dq, dq)->outputs[0]);
}

static void output_as_codes(qdq_run *r, qdq_value *y)
{
	qdq_node *dq = qdq_def(y, QDQ_OP_DequantizeLinear);
	qdq_value *codes = dq != NULL ? qdq_in(dq, 0) : NULL;
	const qdq_shape *shape = y->shape;
	const qdq_origin *origin;
	qdq_params p;

	if (!qdq_type_is_real(y->type))
		return;
	if (dq == NULL || !plain(dq, &p) || y->n_outputs != 1 || codes->def == NULL || codes->def->graph != y->graph ||
	    codes->n_outputs != 0) {
		decline(r, "io_codes.output", y, y->def, "output");
		return;
	}
	record(r, y, &p, true);
	give_readers(y, dq);
	origin = dq->origin;
	qdq_use_set(&dq->inputs[0], NULL);
	qdq_value_redefine(y, codes->def, output_index(codes));
	qdq_value_set_type(y, p.codes, shape);
	qdq_node_remove(dq);
	qdq_applied(r, "io_codes.output", QDQ_EXACT, 0, origin);
}

static void run(qdq_run *r)
{
	if (!r->options->io_int8 || r->graph->parent != NULL || r->graph != r->model->graph)
		return;
	for (size_t i = 0; i < r->graph->inputs.count; i++)
		input_as_codes(r, r->graph->inputs.items[i]);
	for (size_t i = 0; i < r->graph->outputs.count; i++)
		output_as_codes(r, r->graph->outputs.items[i]);
}

static const qdq_rule rules[] = {
    {.name = "io_codes.input",
     .exactness = QDQ_EXACT,
     .text = "an input that only Qs with the same parameters read is given as codes"},
    {.name = "io_codes.output", .exactness = QDQ_EXACT, .text = "an output that a DQ makes is given as codes"},
};

const qdq_pass qdq_pass_io_codes = {
    "io_codes", "inputs and outputs as codes, where the user asks for it", rules, QDQ_COUNTOF(rules), run, false};

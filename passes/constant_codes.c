/* SPDX-License-Identifier: Apache-2.0
 *
 * constant_codes -- constant codes stand in front of DQs alone
 *
 *   w (int8) -- Gather(i) -- y              =>   w -- DQ -- Gather(i) -- Q -- y
 *   q -- Concat(q, w) -- y                  =>   q -- DQ -- Concat(DQ(w)) -- Q -- y
 *   q -- Pad(5) -- y                        =>   q -- DQ -- Pad(0.5) -- Q -- y
 *   5 -- DQ -- Mul(x) -- y                  =>   Mul(x, 0.5) -- y                            a single number
 *
 *   When    an operator of class MOVE or MONO works on codes, and some of what it reads is constant; a DQ behind it (or
 *           behind moves) says what they mean: int8, zero point 0, one positive scale, as TensorRT takes them, and
 *           Q(DQ(q)) == q for every code; no Resize that interpolates. For every target but ort-cpu, whose kernels read such constants. fuse makes a
 *           region of it, and our own kernels put it on codes again (lib/exec/constants.c)
 *   Keeps   the name of y; bounds of Clip, which TensorRT reads as they are
 *   Exact   EXACT: elements are moved or chosen, never computed
 *   Needs   types                           Breaks  nothing
 *   After   cancel, views, to_u8            Before  attention, norm, fuse
 *   Tests   test/golden/constant_codes/     Ref     TensorRT: "quantized constant is only allowed before DQ"
 */
#include "outline.h"
#include "tensorrt.h"

enum { VISITS = 16 }; /* of readers, on the way to a DQ */

/* ---- from codes to floats ---- */

/* A Pad without value pads with the code 0. */
static void give_pad_value(qdq_run *r, qdq_node *n, const qdq_params *p)
{
	double real = (double)-qdq_params_zero(p, 0) * qdq_params_scale(p, 0);

	if (n->op->id != QDQ_OP_Pad || qdq_in(n, 2) != NULL || real == 0)
		return;
	if (n->n_inputs < 3)
		qdq_node_resize_inputs(n, 3);
	qdq_use_set(&n->inputs[2], qdq_constant_number(n->graph, p->real, real,
						       qdq_format(&r->scratch, "%s_value", n->outputs[0]->name)));
}

static void read_floats(qdq_run *r, qdq_node *n, const qdq_params *p)
{
	for (uint32_t i = 0; i < n->n_inputs; i++) {
		qdq_value *x = qdq_in(n, i);
		qdq_node *dq;

		if (x == NULL || !qdq_type_is_int8(x->type))
			continue;
		dq = qdq_dequantize_insert(n->graph, n, x, p, x->name, n->origin);
		qdq_use_set(&n->inputs[i], dq->outputs[0]);
		if (!qdq_op_data_input(n, i))
			qdq_fold_dequantizer(r, dq);
	}
}

/* Output i under a new name and as floats; the codes are quantized from it. */
static void quantize_output(qdq_node *n, uint32_t i, const qdq_params *p)
{
	qdq_graph *g = n->graph;
	qdq_value *y = n->outputs[i];
	qdq_value *real = qdq_value_create(g, qdq_unique_name(&g->model->names, y->name));
	qdq_node *q;

	qdq_value_set_type(real, p->real, y->shape);
	n->outputs[i] = real;
	real->def = n;
	y->def = NULL;
	q = qdq_quantize_insert(g, n->next, real, p, y->name, n->origin);
	qdq_value_redefine(y, q, 0);
}

/* A Pad gets what its code means. */
bool qdq_leaves_codes(const qdq_node *n, const qdq_params *p)
{
	return qdq_op_commutes(n, n->op->id == QDQ_OP_Pad ? 0 : qdq_params_zero(p, 0));
}

void qdq_off_codes(qdq_run *r, qdq_node *n, const qdq_params *p)
{
	give_pad_value(r, n, p);
	read_floats(r, n, p);
	for (uint32_t i = 0; i < n->n_outputs; i++)
		if (n->outputs[i] != NULL && qdq_type_is_int8(n->outputs[i]->type))
			quantize_output(n, i, p);
}

/* ---- the pass ---- */

static bool is_codes(const qdq_value *v)
{
	return v != NULL && qdq_type_is_int8(v->type);
}

/* Does n, on codes, read some that are constant? The bounds of Clip are no tensors to TensorRT. */
static bool reads_constant_codes(const qdq_node *n)
{
	bool data = false, constant = false;

	for (uint32_t i = 0; i < n->n_inputs; i++) {
		if (!is_codes(qdq_in(n, i)))
			continue;
		data = data || qdq_op_data_input(n, i);
		constant = constant || qdq_value_constant(qdq_in(n, i)) != NULL;
	}
	return data && constant;
}

static bool gives_codes(const qdq_node *n)
{
	return qdq_is_move(n) && is_codes(qdq_out(n, 0));
}

/* An operator whose result has the codes of what it reads. */
static bool hands_on(const qdq_node *n)
{
	return gives_codes(n) && !qdq_op_interpolates(n);
}

/* What a DQ behind v, or behind operators that hand its codes on, says of its codes. */
static bool meaning(const qdq_value *v, int *visits, qdq_params *p)
{
	for (const qdq_use *u = v->uses; u != NULL; u = u->next) {
		const qdq_node *n = u->node;

		if ((*visits)++ >= VISITS)
			return false;
		if (n->graph != v->graph)
			continue;
		if (qdq_is_dequantizer(n)
			? qdq_use_index(u) == 0 && qdq_params_of(n, p)
			: hands_on(n) && qdq_op_data_input(n, qdq_use_index(u)) && meaning(n->outputs[0], visits, p))
			return true;
	}
	return false;
}

/* The Q that makes codes x, which a DQ gave, for n alone: it can go, since the one behind n rounds the same. */
static qdq_node *made_for(const qdq_node *n, const qdq_value *x, const qdq_params *p)
{
	qdq_node *q = qdq_def(x, QDQ_OP_QuantizeLinear);
	qdq_params own;

	return q != NULL && q->graph == n->graph && n->op->cls == QDQ_CLASS_MOVE && qdq_only_use(x) != NULL &&
		       qdq_dequantizer(qdq_in(q, 0)) != NULL && qdq_in(q, 0)->type == p->real &&
		       qdq_params_of(q, &own) && qdq_params_equal(&own, p)
		   ? q
		   : NULL;
}

/* Is the Q behind n needed for it? */
static bool skip_quantizers(qdq_node *n, const qdq_params *p)
{
	bool skipped = false;

	for (uint32_t i = 0; i < n->n_inputs; i++) {
		qdq_node *q = is_codes(qdq_in(n, i)) && qdq_op_data_input(n, i) ? made_for(n, qdq_in(n, i), p) : NULL;

		if (q == NULL)
			continue;
		qdq_use_set(&n->inputs[i], qdq_in(q, 0));
		qdq_node_remove(q);
		skipped = true;
	}
	return skipped;
}

/* A DQ takes no codes of rank 0; where n spreads its operands, one element of rank 1 is the same. False: it is not. */
static bool give_rank(qdq_run *r, qdq_node *n)
{
	const qdq_shape *y = n->outputs[0]->shape;
	const bool spreads = n->op->axis == QDQ_AXIS_SAME || n->op->id == QDQ_OP_Expand;
	const int64_t one = 1;

	for (uint32_t i = 0; i < n->n_inputs; i++) {
		const qdq_value *x = qdq_op_data_input(n, i) ? qdq_in(n, i) : NULL;
		const qdq_tensor *t = is_codes(x) ? qdq_value_constant(x) : NULL;
		qdq_tensor *made;

		if (t == NULL || t->rank != 0)
			continue;
		if (!spreads || y == NULL || y->rank == 0)
			return false;
		made = qdq_tensor_new(r->model, t->type, 1, &one);
		memcpy((void *)(uintptr_t)made->data, t->data, 1);
		qdq_use_set(&n->inputs[i],
			    qdq_graph_add_constant(n->graph, qdq_unique_name(&r->model->names, x->name), made));
	}
	return true;
}

/* A graph output has what n gives: there is nothing to round. */
static void drop_last_pair(qdq_node *n)
{
	qdq_node *q = qdq_reader(n->outputs[0]), *dq = q != NULL ? qdq_reader(q->outputs[0]) : NULL;
	qdq_value *y = dq != NULL && qdq_is_dequantizer(dq) ? dq->outputs[0] : NULL;

	if (y == NULL || y->n_uses != 0 || y->type != n->outputs[0]->type)
		return;
	qdq_use_set(&q->inputs[0], NULL);
	qdq_value_redefine(y, n, 0);
	qdq_node_remove(dq);
	qdq_node_remove(q);
}

static void stand(qdq_run *r, qdq_node *n)
{
	qdq_reason why = {.code = QDQ_REASON_CONSTANT_CODES}, other;
	int visits = 0;
	bool known;
	qdq_params p;

	if (!qdq_takes_nearest(n, &why)) { /* of codes it makes others than of what they mean */
		qdq_declined(r, "constant_codes.pair", n->origin, &why);
		return;
	}
	known = n->n_outputs == 1 && meaning(n->outputs[0], &visits, &p);
	if (known && !qdq_tensorrt_takes(&p, false, &other))
		return; /* it is no network for TensorRT */
	if (known && !qdq_params_round_trip(&p))
		why = (qdq_reason){.code = QDQ_REASON_ROUND_TRIP, .operand = p.scale->name};
	else if (known && qdq_leaves_codes(n, &p) && give_rank(r, n)) {
		bool rounds = skip_quantizers(n, &p);

		qdq_off_codes(r, n, &p);
		if (!rounds)
			drop_last_pair(n);
		qdq_applied(r, "constant_codes.pair", QDQ_EXACT, 0, n->origin);
		return;
	}
	qdq_declined(r, "constant_codes.pair", n->origin, &why);
}

/* What it means is as good. */
static void fold_number(qdq_run *r, qdq_node *dq)
{
	const qdq_origin *origin = dq->origin;
	qdq_reason why;
	qdq_params p;

	if (!qdq_params_of(dq, &p) || !qdq_tensorrt_takes(&p, true, &why))
		return;
	if (qdq_fold_dequantizer(r, dq))
		qdq_applied(r, "constant_codes.number", QDQ_EXACT, 0, origin);
	else
		qdq_declined(r, "constant_codes.number", origin, &(qdq_reason){.code = QDQ_REASON_CONSTANT_CODES});
}

static void run(qdq_run *r)
{
	qdq_node *next;

	if (r->options->target == QDQ_TARGET_ORT_CPU || !qdq_model_has(r->model, QDQ_OP_DequantizeLinear))
		return;
	for (qdq_node *n = r->graph->first; n != NULL; n = next) {
		const qdq_tensor *t =
		    qdq_is_dequantizer(n) && is_codes(qdq_in(n, 0)) ? qdq_value_constant(qdq_in(n, 0)) : NULL;

		next = qdq_after(n);
		if (t != NULL && t->rank == 0) {
			fold_number(r, n);
		} else if (gives_codes(n) && n->op->id != QDQ_OP_Clip && reads_constant_codes(n)) {
			stand(r, n);
			next = qdq_after(n); /* a DQ may have gone */
		}
	}
}

static const qdq_rule rules[] = {
    {.name = "constant_codes.pair",
     .exactness = QDQ_EXACT,
     .text = "an operator that reads constant codes goes between DQ and Q"},
    {.name = "constant_codes.number",
     .exactness = QDQ_EXACT,
     .text = "a single number as codes becomes the float that it means"},
};

const qdq_pass qdq_pass_constant_codes = {
    "constant_codes", "constant codes in front of DQs alone", rules, QDQ_COUNTOF(rules), run, false};

/* SPDX-License-Identifier: Apache-2.0
 *
 * canonicalize -- one form for what can be written in several
 *
 *   Constant -- c                    =>   c (initializer)
 *   x -- Identity -- y               =>   x                       also Dropout as it is at inference
 *   x -- Q(s) -- q                   =>   x -- Q(s, z = 0) -- q   explicit zero points: uint8 is only Q's default
 *   com.microsoft Q, DQ              =>   ai.onnx Q, DQ           where the opset has the same operator
 *   x -- Q -- Clip(a, b) -- DQ -- y  =>   x -- Clip(DQ(a), DQ(b)) -- Q -- DQ -- y       as Brevitas narrows the codes
 *
 *   (what nobody reads, and all but one of equal operators, as in cleanup)
 *
 *   When    always; the Clip of codes only where Q gives its bounds back, and nobody else reads in between
 *   Keeps   names of graph inputs and outputs
 *   Exact   EXACT
 *   Needs   types                           Breaks  nothing
 *   After   inline_functions                Before  read_qlinear, fold
 *   Tests   test/golden/canonicalize/       Ref     ONNX operators: Constant, Dropout, QuantizeLinear
 */
#include <math.h>

#include "../lib/eval/eval.h"
#include "moves.h"

/* ---- Constant, Identity, Dropout ---- */

static void constant_to_initializer(qdq_run *r, qdq_node *n)
{
	const qdq_tensor *t = NULL;
	qdq_value *v = qdq_out(n, 0);

	if (v == NULL || v->n_outputs != 0 ||
	    qdq_eval_node(r->model, &r->model->arena, n, NULL, &t, 0) != QDQ_EVAL_OK || t == NULL)
		return;
	qdq_value_set_constant(v, t);
	qdq_node_remove(n);
	qdq_changed(r);
}

static void drop_identity(qdq_run *r, qdq_node *n)
{
	qdq_value *x = qdq_in(n, 0);
	qdq_value *y = qdq_out(n, 0);
	qdq_node *definer;

	if (x == NULL || y == NULL || x->graph != n->graph || !qdq_passes_through(n))
		return;
	if (y->n_outputs == 0) {
		qdq_value_replace_uses(y, x);
	} else {
		definer = x->def; /* who defines x defines y instead, so that the output keeps its name */
		if (definer == NULL || x->n_outputs != 0 || x->not_tensor)
			return;
		for (uint32_t i = 0; i < definer->n_outputs; i++) {
			if (definer->outputs[i] == x) {
				qdq_use_set(&n->inputs[0], NULL);
				qdq_value_redefine(y, definer, i);
				break;
			}
		}
	}
	qdq_node_remove(n);
	qdq_changed(r);
}

/* ---- quantization ---- */

/* Are all dimensions numbers? Scales need not be constants yet: arithmetic that computes them is folded later. */
static bool is_known(const qdq_shape *s)
{
	for (int32_t i = 0; s != NULL && i < s->rank; i++)
		if (s->dim[i] < 0)
			return false;
	return s != NULL;
}

/* An integer zero of the scale's shape as third operand. */
static void add_zero_point(qdq_run *r, qdq_node *n)
{
	const qdq_shape *scale = qdq_in(n, 1) != NULL ? qdq_in(n, 1)->shape : NULL;
	const char *base = *n->name != '\0' ? n->name : n->outputs[0]->name;
	qdq_model *m = r->model;
	qdq_name name;
	qdq_params p;

	if (qdq_in(n, 2) != NULL || !is_known(scale) || !qdq_params_of(n, &p) || !qdq_type_is_int8(p.codes))
		return;
	name = qdq_unique_name(&m->names, qdq_format(&r->scratch, "%s_zero_point", base));
	qdq_node_resize_inputs(n, 3);
	qdq_use_set(&n->inputs[2],
		    qdq_graph_add_constant(n->graph, name, qdq_tensor_new(m, p.codes, scale->rank, scale->dim)));
	qdq_changed(r);
}

/* com.microsoft's Q and DQ came before per-channel scales (opset 13) and 16-bit codes (21) were in ai.onnx. */
static void to_standard(qdq_run *r, qdq_node *n, qdq_op_id op)
{
	int opset = r->model->opset;
	qdq_params p;
	bool wide, half, per_tensor;

	if (!qdq_params_of(n, &p) || !is_known(p.scale->shape))
		return;
	half = p.real == QDQ_TYPE_FLOAT16 && p.scale->type == QDQ_TYPE_FLOAT16;
	if (!half && (p.real != QDQ_TYPE_FLOAT || p.scale->type != QDQ_TYPE_FLOAT))
		return;
	if (half && (opset < 19 || (op == QDQ_OP_QuantizeLinear && opset >= 23)))
		return; /* from opset 23 on ai.onnx divides in float16 */
	per_tensor = p.scale->shape->rank == 0 || (p.scale->shape->rank == 1 && p.scale->shape->dim[0] == 1);
	wide = !qdq_type_is_int8(p.codes) && p.codes != QDQ_TYPE_INT32;
	if (opset < 10 || (wide && opset < 21) || (!per_tensor && (opset < 13 || qdq_attr_find(n, "axis") == NULL)))
		return;
	qdq_node_set_op(n, op);
	if (per_tensor)
		qdq_attr_remove(n, "axis");
	add_zero_point(r, n);
	qdq_changed(r);
}

/* ---- Q -> Clip of codes -> DQ ---- */

/* The bound of the Clip in codes, and that Q gives this code back for what it stands for. */
static bool code_bound(const qdq_params *p, const qdq_value *bound, bool lower, double *code, double *real)
{
	*code = (double)(lower ? qdq_type_min(p->codes) : qdq_type_max(p->codes));
	if (bound != NULL && !qdq_value_scalar(bound, code))
		return false;
	*real = qdq_params_real(p, 0, (int64_t)*code);
	return isfinite(*real) && qdq_params_gives(p, 0, *real, (int64_t)*code);
}

static qdq_value *scalar(qdq_graph *g, const char *base, const char *what, qdq_type type, double real)
{
	qdq_model *m = g->model;
	qdq_tensor *t = qdq_tensor_new(m, type, 0, NULL);

	qdq_tensor_set_real(t, 0, real);
	return qdq_graph_add_constant(g, qdq_unique_name(&m->names, qdq_format(&m->arena, "%s_%s", base, what)), t);
}

/* Clip moves in front of Q; codes that its bounds leave untouched need none. */
static void clip_before_q(qdq_run *r, qdq_node *clip)
{
	qdq_value *x = qdq_in(clip, 0);
	qdq_value *y = qdq_out(clip, 0);
	qdq_node *q = qdq_def(x, QDQ_OP_QuantizeLinear);
	double low, high;
	double real_low, real_high;
	qdq_params p;
	qdq_value *inputs[3];
	qdq_node *made;

	if (q == NULL || y == NULL || q->graph != clip->graph || qdq_only_use(x) == NULL || !qdq_params_of(q, &p) ||
	    qdq_value_constant(qdq_in(q, 0)) != NULL || !qdq_type_is_int8(p.codes) || !p.per_tensor || !p.positive)
		return;
	if (!code_bound(&p, qdq_in(clip, 1), true, &low, &real_low) ||
	    !code_bound(&p, qdq_in(clip, 2), false, &high, &real_high))
		return;
	if (low > (double)qdq_type_min(p.codes) || high < (double)qdq_type_max(p.codes)) {
		const char *base = *clip->name != '\0' ? clip->name : y->name;

		inputs[0] = qdq_in(q, 0);
		inputs[1] = scalar(q->graph, base, "low", p.real, real_low);
		inputs[2] = scalar(q->graph, base, "high", p.real, real_high);
		made = qdq_node_insert(q->graph, q, QDQ_OP_Clip, base, 3, inputs, 1, clip->origin);
		qdq_value_set_type(made->outputs[0], p.real, x->shape);
		qdq_use_set(&q->inputs[0], made->outputs[0]);
	}
	qdq_use_set(&clip->inputs[0], NULL);
	qdq_value_redefine(y, q, 0);
	qdq_applied(r, "canonicalize.clip", QDQ_EXACT, 0, clip->origin);
	qdq_node_remove(clip);
}

/* One walk: what a node reads, its parameters too, stands before it and is in its form already. */
static void run(qdq_run *r)
{
	qdq_node *next;

	qdq_drop_dead(r); /* what nobody reads is no reader: nothing need stay for it */
	for (qdq_node *n = r->graph->first; n != NULL; n = next) {
		next = qdq_after(n);
		switch (n->op->id) {
		case QDQ_OP_Constant:
			constant_to_initializer(r, n);
			break;
		case QDQ_OP_Identity:
		case QDQ_OP_Dropout:
			drop_identity(r, n);
			break;
		case QDQ_OP_ms_QuantizeLinear:
			to_standard(r, n, QDQ_OP_QuantizeLinear);
			break;
		case QDQ_OP_ms_DequantizeLinear:
			to_standard(r, n, QDQ_OP_DequantizeLinear);
			break;
		case QDQ_OP_QuantizeLinear:
		case QDQ_OP_DequantizeLinear:
			add_zero_point(r, n);
			break;
		case QDQ_OP_Clip:
			if (r->model->opset >= 12)
				clip_before_q(r, n);
			break;
		default:
			break;
		}
	}
	qdq_merge_equal(r); /* in this form; what reads them is several readers of one tensor, not of two */
}

static const qdq_rule rules[] = {
    {.name = "canonicalize.clip",
     .exactness = QDQ_EXACT,
     .text = "a Clip of codes, in front of their DQ, becomes a Clip of what is quantized"},
};

const qdq_pass qdq_pass_canonicalize = {
    "canonicalize", "one form for what can be written in several", rules, QDQ_COUNTOF(rules), run, false};

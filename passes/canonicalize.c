/* SPDX-License-Identifier: Apache-2.0
 *
 * canonicalize -- one form for what can be written in several
 *
 *   Constant -- c                    =>   c (initializer)
 *   x -- Identity -- y               =>   x                       also Dropout as it is at inference
 *   x -- Q(s) -- q                   =>   x -- Q(s, z = 0) -- q   explicit zero points: uint8 is only Q's default
 *   com.microsoft Q, DQ              =>   ai.onnx Q, DQ           where the opset has the same operator
 *
 *   (what nobody reads, and all but one of equal operators, as in cleanup)
 *
 *   When    always
 *   Keeps   names of graph inputs and outputs
 *   Exact   EXACT
 *   Needs   types                           Breaks  nothing
 *   After   inline_functions                Before  read_qlinear, fold
 *   Tests   test/golden/canonicalize/       Ref     ONNX operators: Constant, Dropout, QuantizeLinear
 */
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
	qdq_reason why;

	if (x == NULL || y == NULL || x->graph != n->graph || !qdq_passes_through(n))
		return;
	if (qdq_holds_rounding(r, n, &why)) {
		qdq_declined(r, "canonicalize.identity", n->origin, &why);
		return;
	}
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
	if (half && r->options->exact) {
		qdq_declined(r, "canonicalize.microsoft", n->origin,
			     &(qdq_reason){.code = QDQ_REASON_HALF_ROUNDING, .operand = n->outputs[0]->name});
		return;
	}
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
	qdq_applied(r, "canonicalize.microsoft", QDQ_EXACT, 0, n->origin);
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
		default:
			break;
		}
	}
	qdq_merge_equal(r); /* in this form; what reads them is several readers of one tensor, not of two */
}

static const qdq_rule rules[] = {
    {.name = "canonicalize.identity",
     .exactness = QDQ_EXACT,
     .text = "Identity, and Dropout as it is at inference, goes (declined only)"},
    {.name = "canonicalize.microsoft",
     .exactness = QDQ_EXACT,
     .text = "Q and DQ of com.microsoft become those of ai.onnx, where the opset has the same"},
};

const qdq_pass qdq_pass_canonicalize = {
    "canonicalize", "one form for what can be written in several", rules, QDQ_COUNTOF(rules), run, false};

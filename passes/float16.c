/* SPDX-License-Identifier: Apache-2.0
 *
 * float16 -- what stays float becomes float16
 *
 *   x -- Conv -- Relu -- y    =>   x -- Cast(float16) -- Conv -- Relu -- Cast(float) -- y
 *
 *   When    the user asks for it: --float-type fp16 for every operator that stays float and that no INT8 operator's epilogue
 *           can take in (nothing it reads comes from codes), --precision NODE=fp16 for those that match. A Conv, Gemm or
 *           MatMul that stays float is one, whatever it reads
 *   Keeps   names and types of inputs and outputs; Q, DQ and what is computed between them; operators with a constant that
 *           float16 cannot hold (it would overflow, or vanish), or that have no float16 form, with a reason
 *   Exact   BOUNDED, without a bound: every result is rounded to 11 bits
 *   Needs   types                           Breaks  nothing
 *   After   hoist_q, cancel, precision      Before  attention, norm, fuse
 *   Tests   test/golden/float16/            Ref     TensorRT, strongly typed networks
 */
#include <math.h>

#include "moves.h"

#define RULE "float16.convert"

struct narrowing {
	qdq_run *run;
	qdq_map halves;		   /* float value -> the float16 value that stands for it */
	qdq_map tainted;	   /* values that come from codes */
	QDQ_VEC(qdq_node *) casts; /* back to float: those that nobody reads go */
};

/* ---- which operators ---- */

/* Has the operator a float16 form whose float operands are all of that type? */
static bool has_half_form(const qdq_node *n)
{
	switch (n->op->id) {
	case QDQ_OP_Resize: /* scales stay float */
	case QDQ_OP_Upsample:
	case QDQ_OP_Dropout:
	case QDQ_OP_Cast:
	case QDQ_OP_CastLike:
	case QDQ_OP_RoiAlign:
	case QDQ_OP_MaxRoiPool:
		return false;
	case QDQ_OP_Celu:
		return n->graph->model->opset >= 28;
	case QDQ_OP_CumSum:
		return n->graph->model->opset >= 14;
	default:
		break;
	}
	if (n->region != NULL || n->function != NULL || *n->op->domain != '\0')
		return false;
	return n->op->cls == QDQ_CLASS_CONTRACT || n->op->cls == QDQ_CLASS_POINTWISE ||
	       n->op->cls == QDQ_CLASS_REDUCE || n->op->cls == QDQ_CLASS_NORM || n->op->cls == QDQ_CLASS_MOVE ||
	       n->op->cls == QDQ_CLASS_MONO;
}

static bool is_float(const qdq_value *v)
{
	return v != NULL && v->type == QDQ_TYPE_FLOAT;
}

/* Does n compute with floats that are no constants? */
static bool computes(const qdq_node *n)
{
	for (uint32_t i = 0; i < n->n_inputs; i++)
		if (is_float(qdq_in(n, i)) && qdq_value_constant(qdq_in(n, i)) == NULL)
			return true;
	return false;
}

static bool reads_tainted(const struct narrowing *w, const qdq_node *n)
{
	for (uint32_t i = 0; i < n->n_inputs; i++)
		if (qdq_in(n, i) != NULL && qdq_map_get(&w->tainted, qdq_in(n, i)) != NULL)
			return true;
	return false;
}

static bool stays_float(const struct narrowing *w, const qdq_node *n)
{
	qdq_reason why;

	if (n->op->cls == QDQ_CLASS_CONTRACT)
		return !qdq_contract_int8(n, &why) || !qdq_precision_int8(n, w->run->options->target, &why);
	return !reads_tainted(w, n);
}

static bool is_chosen(const struct narrowing *w, const qdq_node *n)
{
	if (n->op->cls == QDQ_CLASS_QUANT || n->op->cls == QDQ_CLASS_SHAPE || n->op->id == QDQ_OP_Cast ||
	    n->wanted == QDQ_TYPE_FLOAT || !computes(n))
		return false;
	return n->wanted == QDQ_TYPE_FLOAT16 || (w->run->options->half && stays_float(w, n));
}

/* ---- constants ---- */

static float element(const qdq_tensor *t, uint64_t i)
{
	float f;

	memcpy(&f, (const char *)t->data + i * sizeof f, sizeof f); /* a file's tensors may lie anywhere */
	return f;
}

/* Nothing overflows or vanishes on the way to float16. */
static bool fits(const qdq_tensor *t)
{
	for (uint64_t i = 0; i < t->count; i++) {
		float x = element(t, i), h = qdq_f16_to_f32(qdq_f32_to_f16(x));

		if ((isinf(h) && !isinf(x)) || (h == 0 && x != 0))
			return false;
	}
	return true;
}

/* The first operand that keeps n from float16; NULL: none does. */
static const qdq_value *unfit(const struct narrowing *w, const qdq_node *n)
{
	for (uint32_t i = 0; i < n->n_inputs; i++) {
		const qdq_tensor *t = is_float(qdq_in(n, i)) ? qdq_value_constant(qdq_in(n, i)) : NULL;

		if (t != NULL && qdq_map_get(&w->halves, qdq_in(n, i)) == NULL && !fits(t))
			return qdq_in(n, i);
	}
	return NULL;
}

static qdq_value *half_constant(const struct narrowing *w, const qdq_value *v)
{
	qdq_model *m = w->run->model;
	const qdq_tensor *from = qdq_value_constant(v);
	qdq_tensor *to = qdq_tensor_new(m, QDQ_TYPE_FLOAT16, from->rank, from->dims);

	for (uint64_t i = 0; i < from->count; i++) {
		uint16_t half = qdq_f32_to_f16(element(from, i));

		memcpy((char *)(uintptr_t)to->data + i * sizeof half, &half, sizeof half);
	}
	return qdq_graph_add_constant(w->run->graph, qdq_unique_name(&m->names, v->name), to);
}

/* ---- converting ---- */

static qdq_node *insert_cast(const struct narrowing *w, qdq_node *before, qdq_value *x, qdq_type to,
			     const qdq_origin *origin)
{
	qdq_node *cast = qdq_node_insert(w->run->graph, before, QDQ_OP_Cast, x->name, 1, &x, 1, origin);

	qdq_attr_set_int(cast, "to", to);
	qdq_value_set_type(cast->outputs[0], to, x->shape);
	return cast;
}

static qdq_value *half_of(struct narrowing *w, qdq_node *n, qdq_value *v)
{
	qdq_value *half = qdq_map_get(&w->halves, v);

	if (half != NULL)
		return half;
	half = qdq_value_constant(v) != NULL ? half_constant(w, v)
					     : insert_cast(w, n, v, QDQ_TYPE_FLOAT16, n->origin)->outputs[0];
	qdq_map_set(&w->halves, v, half);
	return half;
}

/* Output i is float16 under another name; a Cast makes the old value, for whoever wants that. */
static void narrow_output(struct narrowing *w, qdq_node *n, uint32_t i, qdq_node *behind)
{
	qdq_graph *g = n->graph;
	qdq_value *v = n->outputs[i], *half = qdq_value_create(g, qdq_unique_name(&g->model->names, v->name));
	qdq_node *cast;

	qdq_value_set_type(half, QDQ_TYPE_FLOAT16, v->shape);
	n->outputs[i] = half;
	half->def = n;
	v->def = NULL;
	cast = insert_cast(w, behind, half, QDQ_TYPE_FLOAT, n->origin);
	qdq_value_redefine(v, cast, 0);
	*qdq_push(&w->run->scratch, &w->casts) = cast;
	qdq_map_set(&w->halves, v, half);
}

static void convert(struct narrowing *w, qdq_node *n, qdq_node *behind)
{
	const qdq_value *named = n->outputs[0];

	for (uint32_t i = 0; i < n->n_inputs; i++)
		if (is_float(qdq_in(n, i)))
			qdq_use_set(&n->inputs[i], half_of(w, n, qdq_in(n, i)));
	for (uint32_t i = 0; i < n->n_outputs; i++)
		if (is_float(qdq_out(n, i)))
			narrow_output(w, n, i, behind);
	qdq_applied_within(w->run, RULE, (double)INFINITY, named, n->origin);
}

/* Can it, and if not, why? */
static bool may_convert(const struct narrowing *w, const qdq_node *n)
{
	qdq_reason why = {.code = QDQ_REASON_HALF_RANGE};
	const qdq_value *operand;

	if (!has_half_form(n)) {
		why = (qdq_reason){.code = QDQ_REASON_HALF_FORM, .detail = n->op_type};
		qdq_declined(w->run, RULE, n->origin, &why);
		return false;
	}
	operand = unfit(w, n);
	if (operand == NULL)
		return true;
	why.operand = operand->name;
	qdq_declined(w->run, RULE, n->origin, &why);
	return false;
}

static bool begins_with_codes(const qdq_node *n)
{
	return n->op->id == QDQ_OP_DequantizeLinear || n->op->cls == QDQ_CLASS_CONTRACT;
}

/* Of a file that was optimized before: fused operators hold what makes its floats. */
static bool comes_from_codes(const struct narrowing *w, const qdq_node *n)
{
	for (const qdq_node *inner = n->region != NULL ? n->region->body->first : NULL; inner != NULL;
	     inner = qdq_after(inner))
		if (begins_with_codes(inner))
			return true;
	return begins_with_codes(n) || reads_tainted(w, n);
}

static void look_at(struct narrowing *w, qdq_node *n, qdq_node *behind)
{
	if (qdq_out(n, 0) == NULL)
		return;
	if (is_chosen(w, n) && may_convert(w, n)) {
		convert(w, n, behind);
		return;
	}
	for (uint32_t i = 0; i < n->n_outputs && comes_from_codes(w, n); i++)
		if (qdq_out(n, i) != NULL)
			qdq_map_set(&w->tainted, n->outputs[i], n);
}

static bool any_wanted(const qdq_graph *g)
{
	for (const qdq_node *n = g->first; n != NULL; n = qdq_after(n))
		if (n->wanted == QDQ_TYPE_FLOAT16)
			return true;
	return false;
}

static void run(qdq_run *r)
{
	struct narrowing w = {.run = r};
	qdq_node *next;

	if (r->graph != r->model->graph || (!r->options->half && !any_wanted(r->graph)))
		return;
	qdq_map_init(&w.halves, &r->scratch);
	qdq_map_init(&w.tainted, &r->scratch);
	for (qdq_node *n = r->graph->first; n != NULL; n = next) {
		next = n->next;
		look_at(&w, n, next);
	}
	for (size_t i = 0; i < w.casts.count; i++)
		if (qdq_node_unread(w.casts.items[i]))
			qdq_node_remove(w.casts.items[i]);
}

static const qdq_rule rules[] = {
    {.name = RULE,
     .exactness = QDQ_BOUNDED,
     .text = "an operator that stays float computes in float16; only where the user asks"},
};

const qdq_pass qdq_pass_float16 = {
    "float16", "float16 for what stays float, where the user asks for it", rules, QDQ_COUNTOF(rules), run, false};

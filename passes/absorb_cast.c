/* SPDX-License-Identifier: Apache-2.0
 *
 * absorb_cast -- conversions between float types next to Q and DQ become theirs
 *
 *   q -- DQ(s) -- Cast(float16) -- y   =>   q -- DQ(s') -- y      s' is s as float16; from opset 23 on DQ gives any type
 *   q -- DQ(s') -- Cast(float) -- y    =>   q -- DQ(s) -- y       where no product needs rounding to float16
 *   x -- Cast(float) -- Q(s) -- q      =>   x -- Q(s') -- q       x is float16 or bfloat16
 *   x -- Cast(float) -- Cast(float16) -- y  =>   x                x is float16
 *   b (int32) -- DQ(s) -- Cast(float16) -- y  =>   y (initializer)
 *   (the first three with scales that must be rounded, with --allow=bounded only)
 *
 *   When    8-bit codes (int32 too where DQ is narrowed); constant scales. Up to opset 22 the scale has the type of the
 *           floats, so it must be a number of that type; up to 18 there are no 16-bit floats at Q and DQ
 *   Keeps   a Cast in front of Q that narrows: it rounds; names of graph outputs; with --exact a Cast of float16 that ONNX
 *           Runtime leaves out with its rounding, where a DQ, Q or constant in its place would round (roundings.c)
 *   Exact   EXACT: the same float32 is rounded once, to the same type; Q divides in float32 as before. BOUNDED where a
 *           scale is rounded: by what that makes of the codes, and Q's codes by one
 *   Needs   types, constant scales          Breaks  nothing
 *   After   fold                            Before  sink_dq
 *   Tests   test/golden/absorb_cast/        Ref     ONNX QuantizeLinear, DequantizeLinear (19, 23)
 */
#include <math.h>

#include "../lib/eval/eval.h"
#include "moves.h"

static float in_type(qdq_type type, float x)
{
	return type == QDQ_TYPE_FLOAT16	   ? qdq_f16_to_f32(qdq_f32_to_f16(x))
	       : type == QDQ_TYPE_BFLOAT16 ? qdq_bf16_to_f32(qdq_f32_to_bf16(x))
					   : x;
}

/* Is every scale a number of this type? */
static bool scales_are(const qdq_params *p, qdq_type type)
{
	for (uint64_t c = 0; c < p->count; c++)
		if (in_type(type, (float)qdq_params_scale(p, c)) != (float)qdq_params_scale(p, c))
			return false;
	return true;
}

static qdq_value *scale_as(qdq_run *r, const qdq_params *p, qdq_type type)
{
	qdq_model *m = r->model;
	const qdq_tensor *from = qdq_value_constant(p->scale);
	qdq_tensor *to;

	if (from->type == type)
		return p->scale;
	to = qdq_tensor_new(m, type, from->rank, from->dims);
	for (uint64_t c = 0; c < p->count; c++)
		qdq_tensor_set_real(to, c, qdq_params_scale(p, c));
	return qdq_graph_add_constant(p->scale->graph, qdq_unique_name(&m->names, p->scale->name), to);
}

/* How far a code's value moves at most when the scales are rounded to this type, and the values only then; infinite
 * where a scale leaves the type. */
static double moved_by(const qdq_params *p, qdq_type type)
{
	double most = 0;

	for (uint64_t c = 0; c < p->count; c++) {
		float scale = in_type(type, (float)qdq_params_scale(p, c));
		int64_t zero = qdq_params_zero(p, c);

		if (!(scale > 0) || isinf(scale))
			return (double)INFINITY;
		for (int64_t q = qdq_type_min(p->codes); q <= qdq_type_max(p->codes); q++) {
			float was = in_type(type, (float)qdq_params_real(p, c, q));

			most = fmax(most, fabs((double)in_type(type, (float)(q - zero) * scale) - (double)was));
		}
	}
	return most;
}

/* Does rounding to the type of DQ's output change no code's value? */
static bool rounds_nothing(const qdq_params *p)
{
	qdq_params wide = *p;

	wide.real = QDQ_TYPE_FLOAT;
	for (uint64_t c = 0; c < p->count; c++)
		for (int64_t q = qdq_type_min(p->codes); q <= qdq_type_max(p->codes); q++)
			if (qdq_params_real(p, c, q) != qdq_params_real(&wide, c, q))
				return false;
	return true;
}

/* Where it may be done all the same (see run) there is nothing to say. */
static bool refuse(const qdq_run *r, qdq_reason *why, const qdq_params *p)
{
	if (!qdq_allowed(r, QDQ_BOUNDED))
		*why = (qdq_reason){.code = QDQ_REASON_CAST_BETWEEN, .operand = p->scale->name};
	return false;
}

/* --exact: ONNX Runtime would round what it does not now. */
static bool keep_rounding(qdq_reason *why, const qdq_value *half)
{
	*why = (qdq_reason){.code = QDQ_REASON_HALF_ROUNDING, .operand = half->name};
	return false;
}

/* ---- DQ -- Cast ---- */

static bool may_give(const qdq_run *r, const qdq_node *dq, const qdq_value *y, qdq_reason *why)
{
	qdq_params p;

	if (!qdq_params_of(dq, &p) || !p.constant || p.block != 0 || r->model->opset < 19)
		return false;
	if (y->type == QDQ_TYPE_FLOAT)
		return qdq_type_is_int8(p.codes) && qdq_type_is_half(p.real) && qdq_type_is_real(p.scale->type) &&
		       (rounds_nothing(&p) || refuse(r, why, &p));
	if (!qdq_type_is_half(y->type) || p.real != QDQ_TYPE_FLOAT || p.scale->type != QDQ_TYPE_FLOAT ||
	    !(qdq_type_is_int8(p.codes) || p.codes == QDQ_TYPE_INT32))
		return false;
	if (r->model->opset < 23 && !scales_are(&p, y->type))
		return p.codes != QDQ_TYPE_INT32 && refuse(r, why, &p); /* of a bias see below */
	return !qdq_cast_rounds(r, &p, y->type) || keep_rounding(why, y);
}

static bool dq_may_give(qdq_run *r, const qdq_match *match, qdq_reason *why)
{
	return may_give(r, qdq_match_node(match, "dq"), qdq_out(qdq_match_root(match), 0), why);
}

/* The DQ gives what the Cast gave, with scales of that type where they fit or have to. */
static void give(qdq_run *r, qdq_node *cast, qdq_node *dq, bool rounded)
{
	qdq_value *y = cast->outputs[0];
	qdq_value *codes = qdq_in(dq, 0);
	qdq_node *made;
	qdq_params p;

	qdq_params_of(dq, &p);
	if (rounded || scales_are(&p, y->type))
		p.scale = scale_as(r, &p, y->type);
	p.real = y->type;
	made = qdq_dequantize_insert(cast->graph, cast, codes, &p, y->name, cast->origin);
	qdq_use_set(&cast->inputs[0], NULL);
	qdq_value_redefine(y, made, 0);
	qdq_node_remove(cast);
	if (qdq_node_unread(dq))
		qdq_node_remove(dq);
}

static bool dq_gives(qdq_run *r, qdq_match *match)
{
	give(r, qdq_match_root(match), qdq_match_node(match, "dq"), false);
	return true;
}

bool qdq_give_cast(qdq_run *r, qdq_node *cast)
{
	const qdq_origin *origin = cast->origin;
	qdq_node *dq = qdq_def(qdq_in(cast, 0), QDQ_OP_DequantizeLinear);
	qdq_reason why;

	if (dq == NULL || dq->graph != cast->graph || qdq_out(cast, 0) == NULL ||
	    !may_give(r, dq, cast->outputs[0], &why))
		return false;
	give(r, cast, dq, false);
	qdq_applied(r, "absorb_cast.dq", QDQ_EXACT, 0, origin);
	return true;
}

/* ---- Cast -- Q ---- */

static bool may_take(const qdq_run *r, const qdq_node *q, const qdq_value *x, qdq_reason *why)
{
	qdq_params p;

	if (!qdq_type_is_half(x->type) || r->model->opset < 19 || !qdq_params_of(q, &p) || !p.constant ||
	    p.block != 0 || p.real != QDQ_TYPE_FLOAT || p.scale->type != QDQ_TYPE_FLOAT ||
	    p.precision != QDQ_TYPE_NONE || !qdq_type_is_int8(p.codes))
		return false;
	if (r->model->opset < 23 && !scales_are(&p, x->type))
		return refuse(r, why, &p);
	return qdq_rounded_in_front(r, x) || keep_rounding(why, x);
}

static bool q_may_take(qdq_run *r, const qdq_match *match, qdq_reason *why)
{
	return may_take(r, qdq_match_root(match), qdq_match_value(match, "x"), why);
}

static void take(qdq_run *r, qdq_node *q, qdq_node *cast)
{
	qdq_value *x = qdq_in(cast, 0);
	qdq_params p;

	qdq_params_of(q, &p);
	if (r->model->opset < 23) /* from then on the scale's type, which stays, is that of the division */
		qdq_use_set(&q->inputs[1], scale_as(r, &p, x->type));
	qdq_use_set(&q->inputs[0], x);
	if (qdq_node_unread(cast))
		qdq_node_remove(cast);
}

static bool q_takes(qdq_run *r, qdq_match *match)
{
	take(r, qdq_match_root(match), qdq_match_node(match, "cast"));
	return true;
}

bool qdq_take_cast(qdq_run *r, qdq_node *q)
{
	qdq_node *cast = qdq_def(qdq_in(q, 0), QDQ_OP_Cast);
	qdq_reason why;

	if (cast == NULL || cast->graph != q->graph || qdq_in(cast, 0) == NULL ||
	    !may_take(r, q, qdq_in(cast, 0), &why))
		return false;
	take(r, q, cast);
	qdq_applied(r, "absorb_cast.q", QDQ_EXACT, 0, q->origin);
	return true;
}

/* ---- Cast -- Cast ---- */

static bool there_and_back(qdq_run *r, const qdq_match *match, qdq_reason *why)
{
	const qdq_value *x = qdq_match_value(match, "x");
	const qdq_node *outer = qdq_match_root(match);

	return qdq_type_is_half(x->type) && qdq_in(outer, 0)->type == QDQ_TYPE_FLOAT &&
	       outer->outputs[0]->type == x->type && outer->outputs[0]->n_outputs == 0 &&
	       !qdq_holds_rounding(r, outer, why);
}

/* ---- a bias ---- */

static bool same_numbers(const qdq_tensor *a, const qdq_tensor *b)
{
	double x, y;

	for (uint64_t i = 0; i < a->count; i++)
		if (!qdq_tensor_real(a, i, &x) || !qdq_tensor_real(b, i, &y) || x != y)
			return false;
	return true;
}

/* An int32 constant, dequantized and converted: a constant of that type, which costs nothing. */
static void fold_bias(qdq_run *r, qdq_node *cast)
{
	qdq_node *dq = qdq_def(qdq_in(cast, 0), QDQ_OP_DequantizeLinear);
	qdq_value *y = cast->outputs[0];
	const qdq_origin *origin = cast->origin;
	const qdq_tensor *inputs[3] = {NULL}, *real = NULL, *bias = NULL;
	qdq_params p;

	if (dq == NULL || y == NULL || y->n_outputs != 0 || !qdq_type_is_half(y->type) || dq->n_inputs > 3 ||
	    !qdq_params_of(dq, &p) || !p.constant || p.codes != QDQ_TYPE_INT32 ||
	    qdq_value_constant(qdq_in(dq, 0)) == NULL)
		return;
	for (uint32_t i = 0; i < dq->n_inputs; i++)
		inputs[i] = qdq_value_constant(qdq_in(dq, i));
	if (qdq_eval_node(r->model, &r->scratch, dq, inputs, &real, 0) != QDQ_EVAL_OK ||
	    qdq_eval_node(r->model, &r->model->arena, cast, &real, &bias, 0) != QDQ_EVAL_OK)
		return;
	if (r->options->exact && y->type == QDQ_TYPE_FLOAT16 && !same_numbers(real, bias)) {
		qdq_reason why;

		keep_rounding(&why, y);
		qdq_declined(r, "absorb_cast.bias", origin, &why);
		return;
	}
	qdq_use_set(&cast->inputs[0], NULL);
	qdq_value_set_constant(y, bias);
	qdq_node_remove(cast);
	if (qdq_node_unread(dq))
		qdq_node_remove(dq);
	qdq_applied(r, "absorb_cast.bias", QDQ_EXACT, 0, origin);
}

/* ---- scales that have to be rounded ---- */

#define RULE "absorb_cast.scale"

/* Not even rounded: it would be 0, infinite, or another number altogether. */
static void say(qdq_run *r, const qdq_node *n, const qdq_params *p)
{
	qdq_reason why = {.code = QDQ_REASON_CAST_BETWEEN, .operand = p->scale->name};

	qdq_declined(r, RULE, n->origin, &why);
}

/* A DQ -- Cast with constant 8-bit parameters that is still there. What only leaves the network may as well stay. */
static void round_dq(qdq_run *r, qdq_node *cast)
{
	qdq_value *y = cast->outputs[0];
	qdq_node *dq = qdq_def(qdq_in(cast, 0), QDQ_OP_DequantizeLinear);
	const qdq_origin *origin = cast->origin;
	qdq_params p;
	double bound;

	if (dq == NULL || dq->graph != cast->graph || y == NULL || y->n_uses == 0 || !qdq_type_is_real(y->type) ||
	    !qdq_params_of(dq, &p) || !p.constant || p.block != 0 || !qdq_type_is_int8(p.codes) ||
	    !qdq_type_is_real(p.real) || !qdq_type_is_real(p.scale->type))
		return;
	bound = moved_by(&p, y->type);
	if (isinf(bound)) {
		say(r, cast, &p);
		return;
	}
	give(r, cast, dq, true);
	qdq_applied_within(r, RULE, bound, y, origin);
}

/* |x / scale| is 255.5 at most where it matters: does rounding the scales to this type move it by half a step at most, and
 * so the code by one? Of numbers that float16 has too few bits for it does not. */
static bool moves_one_step(const qdq_params *p, qdq_type type)
{
	for (uint64_t c = 0; c < p->count; c++) {
		double scale = qdq_params_scale(p, c), rounded = (double)in_type(type, (float)scale);

		if (!(rounded > 0) || isinf(rounded) || fabs(rounded - scale) * 255.5 > rounded / 2)
			return false;
	}
	return true;
}

static void round_q(qdq_run *r, qdq_node *q)
{
	qdq_node *cast = qdq_def(qdq_in(q, 0), QDQ_OP_Cast);
	const qdq_value *x = cast != NULL ? qdq_in(cast, 0) : NULL;
	qdq_params p;

	if (x == NULL || !qdq_type_is_half(x->type) || !qdq_params_of(q, &p) || !p.constant || p.block != 0 ||
	    p.real != QDQ_TYPE_FLOAT || p.scale->type != QDQ_TYPE_FLOAT || p.precision != QDQ_TYPE_NONE ||
	    !qdq_type_is_int8(p.codes))
		return;
	if (!moves_one_step(&p, x->type)) {
		say(r, q, &p);
		return;
	}
	take(r, q, cast);
	qdq_applied_within(r, RULE, 1, q->outputs[0], q->origin);
}

static void run(qdq_run *r)
{
	qdq_node *next;

	if (!qdq_model_has(r->model, QDQ_OP_Cast))
		return;
	for (qdq_node *n = r->graph->first; n != NULL; n = next) {
		next = qdq_after(n);
		if (n->op->id == QDQ_OP_Cast)
			fold_bias(r, n);
	}
	if (!qdq_allowed(r, QDQ_BOUNDED) || r->model->opset < 19)
		return;
	for (qdq_node *n = r->graph->first; n != NULL; n = next) {
		next = qdq_after(n);
		if (n->op->id == QDQ_OP_Cast)
			round_dq(r, n);
		else if (n->op->id == QDQ_OP_QuantizeLinear && r->model->opset < 23)
			round_q(r, n);
	}
}

static const qdq_rule rules[] = {
    {"absorb_cast.back", "(Cast (Cast* x))", "x", there_and_back, NULL, QDQ_EXACT,
     "a 16-bit float that becomes float32 and then what it was"},
    {"absorb_cast.dq", "(Cast (DequantizeLinear*:dq _ _ z?))", NULL, dq_may_give, dq_gives, QDQ_EXACT,
     "DQ gives the type that its result is converted to"},
    {"absorb_cast.q", "(QuantizeLinear (Cast*:cast x) _ z?)", NULL, q_may_take, q_takes, QDQ_EXACT,
     "Q takes the 16-bit float that was made float32 for it"},
    {.name = "absorb_cast.bias", .exactness = QDQ_EXACT, .text = "an int32 bias of float16 is a constant"},
    {.name = RULE, .exactness = QDQ_BOUNDED, .text = "the same, with scales that are no numbers of the other type"},
};

const qdq_pass qdq_pass_absorb_cast = {"absorb_cast", "conversions between float types next to Q and DQ become theirs",
				       rules,	      QDQ_COUNTOF(rules),
				       run,	      false};

/* SPDX-License-Identifier: Apache-2.0
 *
 * widen -- networks in float16 and bfloat16 in float32, for ONNX Runtime on CPUs
 *
 *   x -- Cast(float16) -- Q(s) -- DQ(s) --+-- Conv -- Cast(float) -- y    =>   x -- Q(s') -- DQ(s') --+-- Conv -- y
 *   w -- DQ(t) ---------------------------'                                    w -- DQ(t') -----------'
 *   x -- Relu -- y                                                        =>   x -- Cast -- Relu -- Cast -- y
 *
 *   When    target ort-cpu, a network with Q/DQ. There all but a few operators compute float16 in float32 anyway, between
 *           Casts, integer kernels take scales of float32 only, and bfloat16 does not run at all. Numbers of 16 bits are
 *           numbers of float32: constants and scales mean what they meant
 *   Keeps   names; types of inputs and outputs, and of what operators that the table does not know and bodies of If and
 *           Loop read: a Cast stands there; everything where --float-type fp16 was given
 *   Exact   EXACT for what moves or chooses elements. Everything else is no more rounded to 16 bits. STEP1 where that
 *           alone stands between codes of 8 bits that lie within float16: half a unit of 16 bits in front of a Q moves its
 *           code by a step at most. BOUNDED, without a bound, where operators compute with such results, or they leave
 *           the network: roundings add up, and sums may be small beside what was rounded. Without being asked all the same,
 *           but for --exact: ONNX Runtime leaves most of them out in any case
 *   Needs   types                           Breaks  nothing
 *   After   fold, read_fake                 Before  fold_bn, absorb_cast, precision, sink_dq
 *   Tests   test/golden/widen/, test/peer/qoperator.py     Ref     ONNX Runtime, insert_cast_transformer.cc
 */
#include "moves.h"

#include <math.h>

#define RULE "widen.float32"
#define CHAIN "widen.chain"
#define LARGEST_HALF 65504.0 /* of float16 */
#define DIVIDES_IN_HALVES 23 /* Q of 16-bit floats, since this opset */

struct widening {
	qdq_run *run;
	qdq_map wide; /* value of 16 bits, which stays -> the float32 value that stands for it */
	qdq_map open; /* floats that something else than Qs reads, behind what only moves or chooses elements */
	qdq_map shut; /* nodes that move or choose, none of whose results is open */
	qdq_map lost; /* values that are no more rounded as they were, or computed from such */
};

static bool is_half(const qdq_value *v)
{
	return v != NULL && !v->not_tensor && qdq_type_is_half(v->type);
}

static bool has_half(const qdq_node *n)
{
	for (uint32_t i = 0; i < n->n_inputs; i++)
		if (is_half(qdq_in(n, i)))
			return true;
	for (uint32_t i = 0; i < n->n_outputs; i++)
		if (is_half(qdq_out(n, i)))
			return true;
	return false;
}

static bool is_typed(const qdq_value *v)
{
	return v == NULL || v->type != QDQ_TYPE_NONE || v->not_tensor;
}

/* Does n compute in the type of its operands, whatever float that is? Of Casts only an attribute says another one. */
static bool follows_operands(const qdq_node *n)
{
	if (n->region != NULL || n->function != NULL || n->op->cls == QDQ_CLASS_BARRIER ||
	    n->op->cls == QDQ_CLASS_QFORM)
		return false;
	for (uint32_t i = 0; i < n->n_inputs; i++)
		if (!is_typed(qdq_in(n, i)))
			return false;
	for (uint32_t i = 0; i < n->n_outputs; i++)
		if (!is_typed(qdq_out(n, i)))
			return false;
	return true;
}

/* ---- values ---- */

static qdq_value *cast_of(const struct widening *w, qdq_node *before, qdq_value *v, qdq_type to,
			  const qdq_origin *origin)
{
	qdq_node *cast = qdq_node_insert(w->run->graph, before, QDQ_OP_Cast, v->name, 1, &v, 1, origin);

	qdq_attr_set_int(cast, "to", to);
	qdq_value_set_type(cast->outputs[0], to, v->shape);
	return cast->outputs[0];
}

static qdq_value *wide_constant(const struct widening *w, const qdq_value *v)
{
	qdq_model *m = w->run->model;
	const qdq_tensor *from = qdq_value_constant(v);
	qdq_tensor *to = qdq_tensor_new(m, QDQ_TYPE_FLOAT, from->rank, from->dims);
	double x;

	for (uint64_t i = 0; i < from->count; i++)
		if (qdq_tensor_real(from, i, &x))
			qdq_tensor_set_real(to, i, x);
	return qdq_graph_add_constant(w->run->graph, qdq_unique_name(&m->names, v->name), to);
}

/* v in float32, for n. */
static qdq_value *wide_of(struct widening *w, qdq_node *n, qdq_value *v)
{
	qdq_value *wide = qdq_map_get(&w->wide, v);

	if (wide != NULL)
		return wide;
	wide = qdq_value_constant(v) != NULL ? wide_constant(w, v) : cast_of(w, n, v, QDQ_TYPE_FLOAT, n->origin);
	qdq_map_set(&w->wide, v, wide);
	return wide;
}

/* Output i of n becomes float32. One of the network keeps name and type: a Cast makes it of another value. Who reads it in
 * another graph, or knows one type only, reads what a Cast makes, too. */
static void widen_output(struct widening *w, qdq_node *n, uint32_t i)
{
	qdq_graph *g = n->graph;
	qdq_value *v = n->outputs[i], *wide = v, *narrow = NULL;
	qdq_type type = v->type;
	qdq_use *next;

	if (v->n_outputs != 0) {
		wide = qdq_value_create(g, qdq_unique_name(&g->model->names, v->name));
		n->outputs[i] = wide;
		wide->def = n;
		v->def = NULL;
		qdq_value_redefine(v, cast_of(w, n->next, wide, type, n->origin)->def, 0);
		narrow = v;
	}
	for (qdq_use *u = v->uses; u != NULL; u = next) {
		bool follows = u->node->graph == g && follows_operands(u->node);

		next = u->next;
		if (!follows && narrow == NULL)
			narrow = cast_of(w, n->next, wide, type, n->origin);
		qdq_use_set(u, follows ? wide : narrow);
	}
	qdq_value_set_type(wide, QDQ_TYPE_FLOAT, v->shape);
}

/* ---- which roundings go ---- */

static bool is_real(const qdq_value *v)
{
	return is_half(v) || (v != NULL && v->type == QDQ_TYPE_FLOAT);
}

/* Is every number of type `from` one of type `to`, a float? */
static bool fits(qdq_type from, qdq_type to)
{
	return from == to || from == QDQ_TYPE_BOOL || qdq_type_is_int8(from) ||
	       (to == QDQ_TYPE_FLOAT && qdq_type_is_half(from));
}

/* Does n copy elements, or choose among them? */
static bool chooses(const qdq_node *n)
{
	if (n->op->id == QDQ_OP_Cast)
		return is_real(qdq_out(n, 0)) && fits(qdq_in(n, 0)->type, qdq_out(n, 0)->type);
	return n->op->cls == QDQ_CLASS_SHAPE || n->op->cls == QDQ_CLASS_MONO ||
	       (n->op->cls == QDQ_CLASS_MOVE && !qdq_op_interpolates(n));
}

/* Are half a unit of 16 bits less than a step of all codes that q gives, and are all of them reached without overflow? */
static bool is_coarse(const qdq_node *q)
{
	qdq_params p;

	if (!qdq_params_of(q, &p) || !p.constant || !qdq_type_is_int8(p.codes))
		return false;
	for (uint64_t c = 0; c < p.count; c++)
		if (!(fabs(qdq_params_scale(&p, c)) * 255 <= LARGEST_HALF))
			return false;
	return true;
}

/* Does what is read here become codes and nothing else, on its way through what chooses? */
static bool becomes_codes(const struct widening *w, const qdq_use *u)
{
	const qdq_node *n = u->node;
	uint32_t index = qdq_use_index(u);

	if (n->graph != w->run->graph)
		return false;
	if (n->op->id == QDQ_OP_QuantizeLinear)
		return index == 0 && follows_operands(n) && is_coarse(n);
	if (n->op->cls == QDQ_CLASS_SHAPE)
		return follows_operands(n);
	return qdq_map_get(&w->shut, n) != NULL && qdq_op_data_input(n, index);
}

/* Is no result of n open, which has been found out of each? */
static bool is_shut(const struct widening *w, const qdq_node *n)
{
	if (!chooses(n) || !follows_operands(n))
		return false;
	for (uint32_t i = 0; i < n->n_outputs; i++) {
		const qdq_value *y = qdq_out(n, i);

		if (y != NULL && !qdq_value_unread(y) && (!is_real(y) || qdq_map_get(&w->open, y) != NULL))
			return false;
	}
	return true;
}

/* From the last node to the first: which values are open. */
static void find_open(struct widening *w)
{
	for (qdq_node *n = w->run->graph->last; n != NULL; n = n->prev) {
		for (uint32_t i = 0; i < n->n_outputs; i++) {
			qdq_value *y = qdq_out(n, i);
			bool open = y != NULL && y->n_outputs != 0;

			for (const qdq_use *u = is_real(y) ? y->uses : NULL; u != NULL && !open; u = u->next)
				open = !becomes_codes(w, u);
			if (open)
				qdq_map_set(&w->open, y, y);
		}
		if (is_shut(w, n))
			qdq_map_set(&w->shut, n, n);
	}
}

/* Does n round to 16 bits what it computes, so that other numbers come of it in float32? */
static bool rounds(const struct widening *w, const qdq_node *n)
{
	bool gives_half = false;
	qdq_params p;

	for (uint32_t i = 0; i < n->n_outputs; i++)
		gives_half = gives_half || is_half(qdq_out(n, i));
	if (n->op->id == QDQ_OP_QuantizeLinear)
		return w->run->model->opset >= DIVIDES_IN_HALVES || qdq_attr_find(n, "precision") != NULL;
	if (n->op->id == QDQ_OP_DequantizeLinear)
		return gives_half && !(qdq_params_of(n, &p) && qdq_products_fit(&p));
	return n->op->id == QDQ_OP_Cast ? gives_half && !chooses(n) : !chooses(n);
}

static bool reads_lost(const struct widening *w, const qdq_node *n)
{
	for (uint32_t i = 0; i < n->n_inputs && n->op->cls != QDQ_CLASS_SHAPE; i++)
		if (qdq_in(n, i) != NULL && qdq_map_get(&w->lost, qdq_in(n, i)) != NULL)
			return true;
	return false;
}

/* How exact is n in float32? What it reads has been looked at. */
static qdq_exactness exactness_of(struct widening *w, const qdq_node *n)
{
	bool rounded = rounds(w, n), lost = reads_lost(w, n), open = false;

	for (uint32_t i = 0; i < n->n_outputs; i++) {
		qdq_value *y = qdq_out(n, i);

		if (y == NULL || n->op->id == QDQ_OP_QuantizeLinear)
			continue;
		open = open || qdq_map_get(&w->open, y) != NULL || !is_half(y);
		if (rounded || lost)
			qdq_map_set(&w->lost, y, y);
	}
	if (!rounded)
		return QDQ_EXACT;
	return open || lost ? QDQ_BOUNDED : QDQ_STEP1;
}

/* ---- nodes ---- */

/* A Cast between values of one type goes. Of a result of the network the name stays, if its tensor has it for itself. */
static void drop_cast(qdq_node *n)
{
	qdq_value *x = qdq_in(n, 0), *y = qdq_out(n, 0);
	qdq_node *definer;

	if (n->op->id != QDQ_OP_Cast || x == NULL || x->type != y->type)
		return;
	definer = x->def;
	if (y->n_outputs == 0) {
		qdq_value_replace_uses(y, x);
	} else {
		if (definer == NULL || x->graph != n->graph || qdq_only_use(x) == NULL)
			return;
		qdq_use_set(&n->inputs[0], NULL);
		for (uint32_t i = 0; i < definer->n_outputs; i++)
			if (definer->outputs[i] == x) {
				qdq_value_redefine(y, definer, i);
				break;
			}
	}
	qdq_node_remove(n);
}

static void drop_type(qdq_node *n, const char *attribute)
{
	int64_t type = qdq_attr_int(n, attribute, QDQ_TYPE_NONE);

	if (type == QDQ_TYPE_FLOAT16 || type == QDQ_TYPE_BFLOAT16)
		qdq_attr_remove(n, attribute);
}

static const qdq_value *first_output(const qdq_node *n)
{
	uint32_t i = 0;

	while (i + 1 < n->n_outputs && n->outputs[i] == NULL)
		i++;
	return n->outputs[i];
}

static void widen(struct widening *w, qdq_node *n)
{
	const qdq_origin *origin = n->origin;
	const qdq_value *named = first_output(n);
	bool computes = n->op->cls != QDQ_CLASS_QUANT && n->op->cls != QDQ_CLASS_SHAPE && n->op->id != QDQ_OP_Cast;
	qdq_exactness exactness = exactness_of(w, n);

	for (uint32_t i = 0; i < n->n_inputs; i++)
		if (is_half(qdq_in(n, i)))
			qdq_use_set(&n->inputs[i], wide_of(w, n, qdq_in(n, i)));
	if (n->op->cls == QDQ_CLASS_QUANT) {
		drop_type(n, "output_dtype");
		drop_type(n, "precision");
	}
	for (uint32_t i = 0; i < n->n_outputs; i++) {
		if (!is_half(qdq_out(n, i)))
			continue;
		if (n->op->id == QDQ_OP_Cast)
			qdq_attr_set_int(n, "to", QDQ_TYPE_FLOAT);
		widen_output(w, n, i);
	}
	drop_cast(n);
	if (exactness == QDQ_BOUNDED && named != NULL)
		qdq_applied_within(w->run, CHAIN, (double)INFINITY, named, origin);
	else if (computes || exactness != QDQ_EXACT)
		qdq_applied(w->run, RULE, exactness, 0, origin);
	else
		qdq_changed(w->run);
}

/* --exact: integer kernels for its products there would be, but for the type. */
static void decline(qdq_run *r)
{
	for (const qdq_node *n = r->graph->first; n != NULL; n = qdq_after(n))
		if (n->op->cls == QDQ_CLASS_CONTRACT && qdq_out(n, 0) != NULL && has_half(n))
			qdq_declined(r, RULE, n->origin,
				     &(qdq_reason){.code = QDQ_REASON_NOT_EXACT, .operand = n->outputs[0]->name});
}

static void run(qdq_run *r)
{
	struct widening w = {.run = r};
	qdq_node *next;

	if (r->options->target != QDQ_TARGET_ORT_CPU || r->options->half ||
	    !qdq_model_has_class(r->model, QDQ_CLASS_QUANT))
		return;
	if (!qdq_allowed(r, QDQ_STEP1)) {
		decline(r);
		return;
	}
	qdq_map_init(&w.wide, &r->scratch);
	qdq_map_init(&w.open, &r->scratch);
	qdq_map_init(&w.shut, &r->scratch);
	qdq_map_init(&w.lost, &r->scratch);
	find_open(&w);
	for (qdq_node *n = r->graph->first; n != NULL; n = next) {
		next = n->next;
		if (follows_operands(n) && has_half(n))
			widen(&w, n);
		else if (r->changes != 0)
			drop_cast(n); /* of a tensor that was of 16 bits */
	}
}

static const qdq_rule rules[] = {
    {.name = RULE,
     .exactness = QDQ_STEP1,
     .text = "an operator of float16 or bfloat16 computes in float32, which is what ONNX Runtime does on a CPU"},
    {.name = CHAIN,
     .exactness = QDQ_BOUNDED,
     .text = "the same, where more than a Q reads what is rounded no more: no bound is known; also without "
	     "--allow=bounded"},
};

const qdq_pass qdq_pass_widen = {"widen", "16-bit floats in float32 (target ort-cpu)", rules, QDQ_COUNTOF(rules), run,
				 false};

/* SPDX-License-Identifier: Apache-2.0
 *
 * hoist_q -- QuantizeLinear toward the inputs
 *
 *   x -- MaxPool -- Q -- y             =>   x -- Q -- MaxPool -- y
 *   a --.                                   a -- Q --.
 *   b --+-- Concat -- Q -- y           =>   b -- Q --+-- Concat -- y
 *   x -- Cast(float) -- ReduceMax -- Q -- y    =>   x -- Q -- ReduceMax -- y            x is float16 (absorb_cast)
 *   x -- DepthToSpace -- Q -- y        =>   x -- Q -- [DQ -- DepthToSpace -- Q] -- y    where codes are not legal
 *
 *   When    class MOVE or MONO, read by this Q alone (all parts of a Split by equal Qs); constant 8-bit parameters,
 *           scale > 0 for MONO; over a fork where all readers are Qs with equal parameters (they become one first); over
 *           Concat where at least one input comes from an operator that can write codes (else Concat requantizes by
 *           itself, see fuse); for TensorRT not to an input that is a single number
 *   Keeps   the name of y
 *   Exact   EXACT: Q is monotone and works on single elements
 *   Needs   shapes (per-channel axes)       Breaks  nothing
 *   After   sink_dq                         Before  cancel, fuse
 *   Tests   test/golden/hoist_q/            Ref     TensorRT developer guide, "advance Q"
 */
#include "moves.h"
#include "tensorrt.h"

/* The Qs that read a value: how many have the parameters of the first, and of these, how many give a graph output, as the
 * last one of them. */
struct readers {
	qdq_params p;
	uint32_t equal, named;
	qdq_node *of_output;
};

struct hoisting {
	qdq_run *run;
	QDQ_VEC(qdq_node *) work;
	qdq_map readers; /* by value, of those that a Q could leave */
	qdq_map parts;	 /* by node, where the Q of the first output could leave it: a struct parts */
};

/* Which outputs of a Split have been found to be quantized like the first: they stay so. */
struct parts {
	uint32_t next; /* the first that has not */
	bool several;
};

/* Each Q once, so that a fork is not gone through again and again for its readers. */
static void add_work(struct hoisting *h, qdq_node *q)
{
	const qdq_value *x = qdq_in(q, 0);
	struct readers *known;
	qdq_params p;

	if (x == NULL || x->def == NULL || !qdq_is_move(x->def) || !qdq_params_of(q, &p))
		return;
	*qdq_push(&h->run->scratch, &h->work) = q;
	known = qdq_map_get(&h->readers, x);
	if (known == NULL) {
		known = qdq_new(&h->run->scratch, struct readers);
		known->p = p;
		qdq_map_set(&h->readers, x, known);
	} else if (!qdq_params_equal(&p, &known->p)) {
		return;
	}
	known->equal++;
	if (q->outputs[0]->n_outputs != 0) {
		known->named++;
		known->of_output = q;
	}
}

/* Of equal Qs the one whose name must stay, if there is one. */
static qdq_node *keeper(const struct hoisting *h, qdq_node *q)
{
	const struct readers *known = qdq_map_get(&h->readers, qdq_in(q, 0));

	return known != NULL && known->named == 1 ? known->of_output : q;
}

/* Is what q reads read by Qs with its parameters only, and are their results no outputs of the graph? Its own may be. */
static bool alone(const struct hoisting *h, const qdq_node *q, const qdq_params *p)
{
	const qdq_value *x = qdq_in(q, 0);
	const struct readers *known = qdq_map_get(&h->readers, x);

	return x->n_outputs == 0 && known != NULL && known->equal == x->n_uses && qdq_params_equal(p, &known->p) &&
	       known->named == (q->outputs[0]->n_outputs != 0);
}

/* They become q, which is about to vanish into what defines x: nothing reads it before it is defined. */
static void merge_equals(qdq_node *q)
{
	for (qdq_use *u = qdq_in(q, 0)->uses, *next; u != NULL; u = next) {
		next = u->next;
		if (u->node != q) {
			qdq_value_replace_uses(u->node->outputs[0], q->outputs[0]);
			qdq_node_remove(u->node);
		}
	}
}

/* Could the definer of x write codes, if a Q stood behind it? */
static bool can_write_codes(const qdq_value *x)
{
	const qdq_node *n = x->def;

	return n != NULL && qdq_only_use(x) != NULL &&
	       (n->op->cls == QDQ_CLASS_CONTRACT || n->op->cls == QDQ_CLASS_POINTWISE ||
		n->op->cls == QDQ_CLASS_REDUCE || qdq_is_move(n) || n->op->id == QDQ_OP_BatchNormalization);
}

static bool any_input(const qdq_node *n, bool (*test)(const qdq_value *v))
{
	for (uint32_t i = 0; i < n->n_inputs; i++)
		if (qdq_op_data_input(n, i) && qdq_in(n, i) != NULL && test(qdq_in(n, i)))
			return true;
	return false;
}

static bool is_dequantized(const qdq_value *v)
{
	return qdq_def(v, QDQ_OP_DequantizeLinear) != NULL;
}

static bool worthwhile(const qdq_node *n, const qdq_params *p, bool on_codes);

/* Will a Q with parameters p go over the operator that defines x too? */
static bool goes_on(const qdq_value *x, const qdq_params *p)
{
	const qdq_node *n = x->def;
	qdq_params inner;
	qdq_reason why;
	bool on_codes;

	if (n == NULL || qdq_is_clamp(n) || n->n_outputs != 1 || !qdq_is_move(n) || qdq_only_use(x) == NULL ||
	    !qdq_passes_operator(n, p, false, &inner, &why))
		return false;
	on_codes = qdq_runs_on_codes(n, &inner);
	return (on_codes || qdq_params_round_trip(&inner)) && worthwhile(n, &inner, on_codes);
}

static bool worthwhile(const qdq_node *n, const qdq_params *p, bool on_codes)
{
	if (n->op->family == QDQ_FAMILY_CONCAT)
		return any_input(n, can_write_codes);
	if (any_input(n, is_dequantized))
		return false; /* DQ -- n -- Q is a unit, or sink_dq has taken it */
	if (qdq_is_clamp(n))  /* an epilogue's business, unless a move stands between it and the epilogue */
		return on_codes && goes_on(qdq_in(n, 0), p);
	return on_codes || any_input(n, can_write_codes);
}

static bool is_scalar_input(const qdq_value *v)
{
	return qdq_value_constant(v) == NULL && v->shape != NULL && v->shape->rank == 0;
}

/* A pool whose neighbour cannot write codes is better off in float on ONNX Runtime. TensorRT needs no more of those Qs that it
 * does not take, of which are those of a single number. */
static bool suits_target(const qdq_run *r, const qdq_node *n, const qdq_params *p)
{
	qdq_reason why;

	if (r->options->target == QDQ_TARGET_TENSORRT &&
	    (!qdq_tensorrt_takes(p, false, &why) || any_input(n, is_scalar_input)))
		return false;
	return r->options->target != QDQ_TARGET_ORT_CPU || n->op->family != QDQ_FAMILY_POOL ||
	       (!qdq_slow_pool(r, n, p) && any_input(n, can_write_codes));
}

static bool no_constants(const qdq_node *n)
{
	for (uint32_t i = 0; i < n->n_inputs; i++)
		if (qdq_op_data_input(n, i) && qdq_in(n, i) != NULL && qdq_in(n, i)->type != QDQ_TYPE_FLOAT &&
		    qdq_in(n, i)->type != QDQ_TYPE_FLOAT16 && qdq_in(n, i)->type != QDQ_TYPE_BFLOAT16)
			return false;
	return true;
}

/* The Q that reads output i of n, where nobody else does; NULL where there is none. */
static qdq_node *reading_q(const struct hoisting *h, const qdq_node *n, uint32_t i)
{
	const qdq_value *y = n->outputs[i];
	const qdq_use *u = y->uses;

	return u != NULL && qdq_is(u->node, QDQ_OP_QuantizeLinear) && qdq_use_index(u) == 0 ? keeper(h, u->node) : NULL;
}

/* There is a new Q behind x: if it was one of several outputs, the Q of the first may leave them now. */
static void look_again(struct hoisting *h, const qdq_value *x)
{
	bool part = x->def != NULL && x->def->outputs[0] != x && qdq_map_get(&h->parts, x->def) != NULL;
	qdq_node *first = part ? reading_q(h, x->def, 0) : NULL;

	if (first != NULL)
		*qdq_push(&h->run->scratch, &h->work) = first;
}

/* Puts a Q with parameters p on each data input of n; these are work too. An equal one that is there already is cancel's
 * business. */
static void quantize_inputs(struct hoisting *h, qdq_node *n, const qdq_params *p, bool on_codes, const qdq_node *q)
{
	for (uint32_t i = 0; i < n->n_inputs; i++) {
		qdq_value *x = qdq_op_data_input(n, i) ? qdq_in(n, i) : NULL;
		qdq_value *codes;
		qdq_node *made;
		bool constant;

		if (x == NULL)
			continue;
		made = qdq_quantize_insert(n->graph, n, x, p, x->name, q->origin);
		codes = made->outputs[0];
		constant = qdq_value_constant(x) != NULL && qdq_fold_node(h->run, made);
		if (!on_codes)
			codes = qdq_dequantize_insert(n->graph, n, codes, p, x->name, q->origin)->outputs[0];
		qdq_use_set(&n->inputs[i], codes);
		if (constant)
			continue;
		qdq_take_cast(h->run, made);
		look_again(h, qdq_in(made, 0));
		add_work(h, made);
	}
}

static bool is_live(const qdq_value *y)
{
	return y != NULL && !qdq_value_unread(y);
}

/* Split: the other parts must be quantized alike. *several: there are such parts. */
static bool others_alike(struct hoisting *h, const qdq_node *n, const qdq_params *p, bool *several)
{
	struct parts *found = qdq_map_get(&h->parts, n);

	if (found == NULL) {
		found = qdq_new(&h->run->scratch, struct parts);
		found->next = 1;
		qdq_map_set(&h->parts, n, found);
	}
	for (; found->next < n->n_outputs; found->next++) {
		qdq_params other;
		qdq_node *q;

		if (!is_live(n->outputs[found->next]))
			continue;
		q = reading_q(h, n, found->next);
		if (q == NULL || q->graph != n->graph || !qdq_params_of(q, &other) || !qdq_params_equal(p, &other) ||
		    !alone(h, q, &other))
			return false;
		found->several = true;
	}
	*several = found->several;
	return true;
}

/* What q makes of output i of n is what n makes now. */
static void write_codes(qdq_node *n, uint32_t i, qdq_node *q, qdq_type codes)
{
	const qdq_shape *shape = n->outputs[i]->shape;
	qdq_value *y = q->outputs[0];

	merge_equals(q);
	qdq_use_set(&q->inputs[0], NULL);
	qdq_value_redefine(y, n, i);
	qdq_value_set_type(y, codes, shape);
	qdq_node_remove(q);
}

/* Of codes it is nothing, whatever float16 it was there for. */
static void drop_identity(qdq_node *n)
{
	if (n->op->id != QDQ_OP_Identity || n->outputs[0]->n_outputs != 0)
		return;
	qdq_value_replace_uses(n->outputs[0], qdq_in(n, 0));
	qdq_node_remove(n);
}

static void hoist(struct hoisting *h, qdq_node *q)
{
	qdq_run *r = h->run;
	qdq_value *x = qdq_in(q, 0);
	qdq_node *n = x->def;
	qdq_params p, inner;
	qdq_reason why;
	bool on_codes, several;

	if (n->graph != q->graph || qdq_out(n, 0) != x || !qdq_params_of(q, &p) || !alone(h, q, &p) || !no_constants(n))
		return;
	if (!qdq_passes_operator(n, &p, false, &inner, &why)) {
		if (why.code != QDQ_REASON_NONE)
			qdq_declined(r, "hoist_q.move", n->origin, &why);
		return;
	}
	on_codes = qdq_runs_on_codes(n, &inner);
	if (!on_codes && !qdq_params_round_trip(&inner))
		return;
	if (!worthwhile(n, &inner, on_codes) || !suits_target(r, n, &inner) || !others_alike(h, n, &p, &several) ||
	    (several && !on_codes))
		return;
	if (qdq_rounds_for_others(r, n, &why)) {
		qdq_declined(r, "hoist_q.move", n->origin, &why);
		return;
	}
	quantize_inputs(h, n, &inner, on_codes, q);
	if (on_codes) {
		qdq_type real = x->type;

		qdq_constants_to_codes(n, &inner);
		write_codes(n, 0, q, p.codes);
		for (uint32_t i = 1; i < n->n_outputs; i++)
			if (is_live(n->outputs[i]))
				write_codes(n, i, reading_q(h, n, i), p.codes);
			else if (n->outputs[i] != NULL && n->outputs[i]->type == real)
				qdq_value_set_type(n->outputs[i], p.codes, n->outputs[i]->shape);
	}
	qdq_applied(r, on_codes ? "hoist_q.move" : "hoist_q.unit", QDQ_EXACT, 0, n->origin);
	if (on_codes)
		drop_identity(n);
}

static void run(qdq_run *r)
{
	struct hoisting h = {.run = r};

	qdq_map_init(&h.readers, &r->scratch);
	qdq_map_init(&h.parts, &r->scratch);
	for (qdq_node *n = r->graph->first; n != NULL; n = qdq_after(n))
		if (qdq_is(n, QDQ_OP_QuantizeLinear))
			add_work(&h, n);
	while (h.work.count != 0) { /* each step takes one Q over one operator, which then is on codes: it ends */
		qdq_node *q = h.work.items[--h.work.count];

		if (q->graph != NULL)
			hoist(&h, keeper(&h, q));
	}
}

static const qdq_rule rules[] = {
    {.name = "hoist_q.move",
     .exactness = QDQ_EXACT,
     .text = "Q goes over an operator that moves or chooses elements, which then works on codes"},
    {.name = "hoist_q.unit",
     .exactness = QDQ_EXACT,
     .text = "the same where codes are not legal: the operator keeps a DQ and a Q of its own"},
};

const qdq_pass qdq_pass_hoist_q = {"hoist_q", "move QuantizeLinear toward the inputs", rules, QDQ_COUNTOF(rules), run,
				   false};

/* SPDX-License-Identifier: Apache-2.0
 *
 * repair_concat -- one scale for all inputs of a Concat
 *
 *   x -- Q(s) -- DQ(s) --.                      x -- Q(u) -- DQ(u) --.
 *   y -- Q(t) -- DQ(t) --+-- Concat -- z   =>   y -- Q(u) -- DQ(u) --+-- Concat -- z
 *
 *   When    every input is a pair of one scale for the tensor, the codes have one type, and the parameters differ. The
 *           new ones reach whatever the old ones do: those with the largest range, or made for all ranges together;
 *           where Qs read the result, and they are alike and reach that far, theirs. A tensor that several Concats
 *           read ties them together
 *   Keeps   Concats whose result nobody wants as codes; codes that others read
 *   Exact   BOUNDED: half a step of the old and of the new scale, or what the old codes did not reach
 *   Needs   types                           Breaks  nothing
 *   After   fold, precision                 Before  sink_dq, hoist_q
 *   Tests   test/golden/repair_concat/      Ref     TensorRT's and ModelOpt's concat elimination
 */
#include <math.h>

#include "ranges.h"

#define RULE "repair_concat.share"

/* Codes that are to have the parameters of others, as a tree: the root stands for the group. */
struct tie {
	qdq_node *q;
	struct tie *parent, *next; /* next: in the list of all */
	qdq_params p;
	const qdq_origin *concat; /* the first Concat that ties it */
	/* of a root */
	qdq_params wanted; /* of the Qs behind; scale NULL: there are none */
	bool spoilt;	   /* those differ, or something else reads floats of a Concat that Qs read too */
	bool differ;
	qdq_range range;
	const struct tie *furthest; /* one whose codes reach all of the range; NULL: there is none */
	qdq_value *scale, *zero;    /* the new ones */
};

struct ties {
	qdq_run *run;
	qdq_map by_q;
	struct tie *first;
};

static struct tie *root_of(struct tie *t)
{
	while (t->parent != NULL) {
		if (t->parent->parent != NULL) /* long ways become short */
			t->parent = t->parent->parent;
		t = t->parent;
	}
	return t;
}

/* ---- which Concats ---- */

/* The Q behind a Concat's input: the pair is per tensor, and only DQs with equal parameters read the codes. */
static qdq_node *pair_of(const qdq_value *v, qdq_params *p)
{
	qdq_node *dq = qdq_def(v, QDQ_OP_DequantizeLinear);
	qdq_node *q = dq != NULL ? qdq_def(qdq_in(dq, 0), QDQ_OP_QuantizeLinear) : NULL;
	qdq_params other;

	if (q == NULL || q->graph != dq->graph || !qdq_plain_params(q, p) || q->outputs[0]->n_outputs != 0)
		return NULL;
	for (const qdq_use *u = q->outputs[0]->uses; u != NULL; u = u->next)
		if (!qdq_is(u->node, QDQ_OP_DequantizeLinear) || u->node->graph != q->graph || qdq_use_index(u) != 0 ||
		    !qdq_plain_params(u->node, &other) || !qdq_params_equal(p, &other))
			return NULL;
	return q;
}

static bool is_candidate(const qdq_node *n)
{
	qdq_params p, first;
	bool wanted = false;

	if (n->op->family != QDQ_FAMILY_CONCAT || n->op->cls != QDQ_CLASS_MOVE || n->n_inputs < 2 ||
	    qdq_kept_float(n) || qdq_out(n, 0) == NULL)
		return false;
	for (uint32_t i = 0; i < n->n_inputs; i++) {
		if (qdq_in(n, i) == NULL || pair_of(qdq_in(n, i), &p) == NULL || (i != 0 && p.codes != first.codes) ||
		    (i != 0 && p.real != first.real))
			return false;
		first = i == 0 ? p : first;
	}
	for (const qdq_use *u = n->outputs[0]->uses; u != NULL; u = u->next)
		wanted = wanted || u->node->op->cls == QDQ_CLASS_CONTRACT || u->node->op->cls == QDQ_CLASS_MOVE ||
			 u->node->op->family == QDQ_FAMILY_POOL || u->node->op->family == QDQ_FAMILY_ELEMENTWISE ||
			 u->node->op->id == QDQ_OP_QuantizeLinear;
	return wanted;
}

/* ---- tying ---- */

static struct tie *tie_for(struct ties *t, qdq_node *q, const qdq_origin *concat)
{
	struct tie *tie = qdq_map_get(&t->by_q, q);

	if (tie != NULL)
		return tie;
	tie = qdq_new(&t->run->scratch, struct tie);
	*tie = (struct tie){.q = q, .next = t->first, .concat = concat};
	qdq_plain_params(q, &tie->p);
	tie->range = qdq_range_of_codes(&tie->p);
	t->first = tie;
	qdq_map_set(&t->by_q, q, tie);
	return tie;
}

static void merge(struct tie *a, struct tie *b)
{
	a = root_of(a);
	b = root_of(b);
	if (a == b)
		return;
	a->differ = a->differ || b->differ || !qdq_params_equal(&a->p, &b->p);
	a->spoilt = a->spoilt || b->spoilt || a->p.codes != b->p.codes || a->p.real != b->p.real ||
		    (a->wanted.scale != NULL && b->wanted.scale != NULL && !qdq_params_equal(&a->wanted, &b->wanted));
	if (a->wanted.scale == NULL)
		a->wanted = b->wanted;
	a->range = (qdq_range){fmin(a->range.low, b->range.low), fmax(a->range.high, b->range.high)};
	b->parent = a;
}

/* What Qs behind the Concat make of it. */
static void note_readers(struct tie *root, const qdq_value *y)
{
	for (const qdq_use *u = y->uses; u != NULL; u = u->next) {
		qdq_params p;

		if (!qdq_is(u->node, QDQ_OP_QuantizeLinear) || qdq_use_index(u) != 0)
			continue;
		if (!qdq_plain_params(u->node, &p) || p.codes != root->p.codes || p.real != root->p.real ||
		    (root->wanted.scale != NULL && !qdq_params_equal(&p, &root->wanted)))
			root->spoilt = true;
		else
			root->wanted = p;
	}
}

static void tie_inputs(struct ties *t, const qdq_node *n)
{
	struct tie *first = NULL;
	qdq_params p;

	for (uint32_t i = 0; i < n->n_inputs; i++) {
		struct tie *tie = tie_for(t, pair_of(qdq_in(n, i), &p), n->origin);

		if (first != NULL)
			merge(first, tie);
		first = first != NULL ? first : tie;
	}
	note_readers(root_of(first), n->outputs[0]);
}

/* ---- the new parameters ---- */

static bool covers(qdq_range outer, qdq_range inner)
{
	return outer.low <= inner.low && outer.high >= inner.high;
}

static qdq_value *constant(struct ties *t, const struct tie *root, const char *what, qdq_tensor *tensor)
{
	const char *name = qdq_format(&t->run->scratch, "%s_shared_%s", qdq_in(root->q, 0)->name, what);

	return qdq_graph_add_constant(t->run->graph, qdq_unique_name(&t->run->model->names, name), tensor);
}

static qdq_value *make_zero(struct ties *t, const struct tie *root, int64_t zero)
{
	qdq_tensor *tensor = qdq_tensor_new(t->run->model, root->p.codes, 0, NULL);

	*(uint8_t *)(void *)(uintptr_t)tensor->data = (uint8_t)zero;
	return constant(t, root, "zero_point", tensor);
}

/* For ranges that no member has by itself: of float32 only, and nearly always with zero points. */
static bool make_params(struct ties *t, struct tie *root)
{
	double least = (double)qdq_type_min(root->p.codes), greatest = (double)qdq_type_max(root->p.codes);
	float scale = (float)((root->range.high - root->range.low) / (greatest - least) * (1 + 1e-6));
	double zero = qdq_round_half_even(least - root->range.low / (double)scale);
	qdq_tensor *tensor;

	if (root->p.real != QDQ_TYPE_FLOAT || !(scale > 0) || isinf(scale))
		return false;
	zero = zero < least ? least : zero > greatest ? greatest : zero;
	tensor = qdq_tensor_new(t->run->model, QDQ_TYPE_FLOAT, 0, NULL);
	memcpy((void *)(uintptr_t)tensor->data, &scale, sizeof scale);
	root->scale = constant(t, root, "scale", tensor);
	root->zero = make_zero(t, root, (int64_t)zero);
	return true;
}

static void take_params(struct ties *t, struct tie *root, const qdq_params *p)
{
	root->scale = p->scale;
	root->zero = p->zero != NULL ? p->zero : make_zero(t, root, 0);
}

/* False: the group stays as it is. */
static bool choose(struct ties *t, struct tie *root)
{
	if (root->spoilt || !root->differ)
		return false;
	if (root->wanted.scale != NULL) { /* else what reads it requantizes once more */
		if (!covers(qdq_range_of_codes(&root->wanted), root->range))
			return false;
		take_params(t, root, &root->wanted);
		return true;
	}
	if (root->furthest == NULL)
		return make_params(t, root);
	take_params(t, root, &root->furthest->p);
	return true;
}

static void find_furthest(struct ties *t)
{
	for (struct tie *tie = t->first; tie != NULL; tie = tie->next) {
		struct tie *root = root_of(tie);

		if (root->furthest == NULL && covers(qdq_range_of_codes(&tie->p), root->range))
			root->furthest = tie;
	}
}

/* ---- applying ---- */

static void set_params(qdq_node *n, const struct tie *root)
{
	qdq_use_set(&n->inputs[1], root->scale);
	if (n->n_inputs < 3)
		qdq_node_resize_inputs(n, 3);
	qdq_use_set(&n->inputs[2], root->zero);
}

/* The greatest change of DQ(Q(x)): two roundings, or what only the new codes reach. */
static double change_of(const struct tie *tie, const qdq_params *now)
{
	qdq_range old = qdq_range_of_codes(&tie->p), new = qdq_range_of_codes(now), x = new;
	double step = qdq_params_scale(&tie->p, 0) / 2 + qdq_params_scale(now, 0) / 2, above, below;

	if (qdq_range_of(qdq_in(tie->q, 0), &x)) {
		x.low -= qdq_params_scale(now, 0) / 2;
		x.high += qdq_params_scale(now, 0) / 2;
	}
	above = fmin(new.high, x.high) - old.high;
	below = old.low - fmax(new.low, x.low);
	step = fmax(step, fmax(old.high - new.high, new.low - old.low)); /* a new zero point is rounded */
	return fmax(step, fmax(above, below)) +
	       0x1p-22 * fmax(fabs(new.low), fabs(new.high)) * (now->real == QDQ_TYPE_FLOAT ? 1 : 0x1p13);
}

static void share(struct ties *t, struct tie *tie, const struct tie *root)
{
	qdq_params now;
	qdq_use *next;

	set_params(tie->q, root);
	if (!qdq_plain_params(tie->q, &now) || qdq_params_equal(&now, &tie->p))
		return;
	for (qdq_use *u = tie->q->outputs[0]->uses; u != NULL; u = next) {
		qdq_node *dq = u->node;

		next = u->next; /* a DQ without zero point gets new operands: u is none of them then */
		set_params(dq, root);
		qdq_applied_within(t->run, RULE, change_of(tie, &now), dq->outputs[0], tie->concat);
	}
}

static void run(qdq_run *r)
{
	struct ties t = {.run = r};

	if (!qdq_model_has(r->model, QDQ_OP_Concat) || !qdq_model_has(r->model, QDQ_OP_QuantizeLinear))
		return;
	qdq_map_init(&t.by_q, &r->scratch);
	for (const qdq_node *n = r->graph->first; n != NULL; n = qdq_after(n))
		if (qdq_bounded_for(r, n) && is_candidate(n))
			tie_inputs(&t, n);
	find_furthest(&t);
	for (struct tie *tie = t.first; tie != NULL; tie = tie->next)
		if (tie->parent == NULL && !choose(&t, tie))
			tie->scale = NULL;
	for (struct tie *tie = t.first; tie != NULL; tie = tie->next)
		if (root_of(tie)->scale != NULL)
			share(&t, tie, root_of(tie));
}

static const qdq_rule rules[] = {
    {.name = RULE,
     .exactness = QDQ_BOUNDED,
     .text = "all inputs of a Concat are quantized with the largest of their ranges"},
};

const qdq_pass qdq_pass_repair_concat = {
    "repair_concat", "quantize all inputs of a Concat alike", rules, QDQ_COUNTOF(rules), run, false};

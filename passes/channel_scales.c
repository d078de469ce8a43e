/* SPDX-License-Identifier: Apache-2.0
 *
 * channel_scales -- scales for each channel between a Conv and a depthwise one, into the weights of both
 *
 *   w -- DQ(t) --.                                           w -- DQ(t / s) --.
 *   x -----------+- Conv(b) - Relu - Q(s) - DQ(s) --+   =>   x ---------------+- Conv(b / s) - Relu - Q(1) - DQ(1) --+
 *   v -- DQ(u) -------------------------------- Conv         v -- DQ(u * s) ------------------------------------ Conv
 *
 *   When    the target is ort-cpu, whose kernels take one scale of the input and one of the result. Every reader of the
 *           codes is the DQ of a depthwise Conv; the Conv in front, with its Relu, is for this Q alone; weights are
 *           constant codes, biases constants; all new scales are normal floats
 *   Keeps   the codes, their name and zero point
 *   Exact   STEP1: the same sums are scaled in another order
 *   Needs   types, shapes                   Breaks  nothing
 *   After   to_u8                           Before  clamp_codes, fuse
 *   Tests   test/golden/channel_scales/     Ref     ONNX QLinearConv, inputs x_scale and y_scale
 */
#include <math.h>

#include "moves.h"

typedef struct channels {
	qdq_run *r;
	qdq_node *q, *conv; /* in front of it */
	qdq_params p;	    /* of q */
} channels;

static qdq_value *constant(channels *c, const qdq_value *named, qdq_tensor *t)
{
	return qdq_graph_add_constant(
	    c->r->graph, qdq_unique_name(&c->r->model->names, qdq_format(&c->r->scratch, "%s_moved", named->name)), t);
}

/* ---- does it apply? ---- */

static int64_t filters_of(const qdq_node *conv)
{
	const qdq_shape *w = qdq_in(conv, 1) != NULL ? qdq_in(conv, 1)->shape : NULL;

	return w != NULL && w->rank > 2 ? w->dim[0] : -1;
}

/* The factor of filter k is s to the power of `sign`: there are as many of them as channels, or a multiple. */
static float moved(const channels *c, const qdq_params *p, uint64_t k, uint64_t filters, int sign)
{
	double s = qdq_params_scale(&c->p, k / (filters / c->p.count));
	double own = qdq_params_scale(p, p->count == 1 ? 0 : k);

	return (float)(sign > 0 ? own * s : own / s);
}

static bool all_normal(const channels *c, const qdq_params *p, uint64_t filters, int sign)
{
	for (uint64_t k = 0; k < filters; k++)
		if (!isnormal(moved(c, p, k, filters, sign)))
			return false;
	return true;
}

/* Can the weight of this Conv take the factors? */
static bool weight_takes(const channels *c, const qdq_node *conv, int sign)
{
	int64_t filters = filters_of(conv);
	const qdq_node *dq = qdq_in(conv, 1) != NULL ? qdq_in(conv, 1)->def : NULL;
	qdq_params p;

	return filters > 0 && (uint64_t)filters % c->p.count == 0 && qdq_is(dq, QDQ_OP_DequantizeLinear) &&
	       dq->graph == conv->graph && qdq_value_constant(qdq_in(dq, 0)) != NULL && qdq_params_of(dq, &p) &&
	       p.constant && p.positive && p.block == 0 && p.real == QDQ_TYPE_FLOAT && qdq_one_zero(&p) &&
	       (p.count == 1 || (p.axis == 0 && (int64_t)p.count == filters)) &&
	       all_normal(c, &p, (uint64_t)filters, sign);
}

/* Can its bias, which is none, floats or int32 codes? */
static bool bias_takes(const channels *c)
{
	const qdq_value *v = qdq_in(c->conv, 2);
	const qdq_tensor *t = v != NULL ? qdq_value_constant(v) : NULL;
	qdq_params p;

	if (v == NULL)
		return true;
	if (t != NULL)
		return t->type == QDQ_TYPE_FLOAT && t->rank == 1 && t->count == c->p.count;
	return qdq_is(v->def, QDQ_OP_DequantizeLinear) && v->def->graph == c->conv->graph &&
	       qdq_params_of(v->def, &p) && p.codes == QDQ_TYPE_INT32 && p.constant && p.positive && p.block == 0 &&
	       p.real == QDQ_TYPE_FLOAT && (p.count == 1 || p.count == c->p.count) && qdq_one_zero(&p) &&
	       (p.zero == NULL || qdq_params_zero(&p, 0) == 0) && all_normal(c, &p, c->p.count, -1);
}

static bool same_params(const qdq_params *a, const qdq_params *b)
{
	if (a->count != b->count || a->axis != b->axis || a->codes != b->codes || a->real != b->real || !b->constant ||
	    b->block != 0 || !qdq_one_zero(b) ||
	    (a->zero != NULL ? qdq_params_zero(a, 0) : 0) != (b->zero != NULL ? qdq_params_zero(b, 0) : 0))
		return false;
	for (uint64_t i = 0; i < a->count; i++)
		if (qdq_params_scale(a, i) != qdq_params_scale(b, i))
			return false;
	return true;
}

/* Do depthwise Convs alone read what this DQ gives? */
static bool reader_takes(const channels *c, const qdq_use *u)
{
	const qdq_node *dq = u->node;
	qdq_params p;

	if (!qdq_is(dq, QDQ_OP_DequantizeLinear) || qdq_use_index(u) != 0 || dq->graph != c->r->graph ||
	    !qdq_params_of(dq, &p) || !same_params(&c->p, &p) || dq->outputs[0]->n_outputs != 0)
		return false;
	for (const qdq_use *v = dq->outputs[0]->uses; v != NULL; v = v->next)
		if (!qdq_is(v->node, QDQ_OP_Conv) || v->node->graph != dq->graph || qdq_use_index(v) != 0 ||
		    qdq_free_axis(v->node, 0) != 1 || qdq_kept_float(v->node) || !weight_takes(c, v->node, 1))
			return false;
	return true;
}

/* The Conv whose result, over Relu, q alone reads. */
static qdq_node *conv_before(const qdq_node *q)
{
	const qdq_value *v = qdq_in(q, 0);

	while (v != NULL && qdq_only_use(v) != NULL && qdq_is(v->def, QDQ_OP_Relu))
		v = qdq_in(v->def, 0);
	return v != NULL && qdq_only_use(v) != NULL && qdq_is(v->def, QDQ_OP_Conv) && v->def->graph == q->graph ? v->def
														: NULL;
}

static bool check(channels *c)
{
	qdq_reason why;

	if (!qdq_params_of(c->q, &c->p) || !qdq_params_movable(&c->p, &why) || !c->p.positive || c->p.per_tensor ||
	    c->p.axis != 1 || c->p.count == 0 || c->p.real != QDQ_TYPE_FLOAT || !qdq_one_zero(&c->p) ||
	    c->q->outputs[0]->n_outputs != 0 || c->q->outputs[0]->uses == NULL)
		return false;
	c->conv = conv_before(c->q);
	if (c->conv == NULL || qdq_kept_float(c->conv) || filters_of(c->conv) != (int64_t)c->p.count ||
	    !weight_takes(c, c->conv, -1) || !bias_takes(c))
		return false;
	for (const qdq_use *u = c->q->outputs[0]->uses; u != NULL; u = u->next)
		if (!reader_takes(c, u))
			return false;
	return true;
}

/* ---- changing ---- */

/* n's operand `index` gets a DQ of its own, with other scales. */
static void move_scales(channels *c, qdq_node *n, uint32_t index, uint64_t filters, int sign)
{
	qdq_node *old = qdq_in(n, index)->def;
	int64_t dim = (int64_t)filters;
	qdq_tensor *t = qdq_tensor_new(c->r->model, QDQ_TYPE_FLOAT, 1, &dim), *zero;
	qdq_params p;

	qdq_params_of(old, &p);
	for (uint64_t k = 0; k < filters; k++)
		qdq_tensor_set_real(t, k, (double)moved(c, &p, k, filters, sign));
	if (p.zero != NULL && p.count == 1 && p.codes != QDQ_TYPE_INT32) {
		zero = qdq_tensor_new(c->r->model, p.codes, 1, &dim);
		memset((void *)(uintptr_t)zero->data, (uint8_t)qdq_params_zero(&p, 0), (size_t)zero->size);
		p.zero = constant(c, p.zero, zero);
	}
	p.scale = constant(c, p.scale, t);
	p.per_tensor = false;
	p.count = filters;
	p.axis = 0;
	if (p.codes == QDQ_TYPE_INT32)
		p.zero = NULL;
	qdq_use_set(
	    &n->inputs[index],
	    qdq_dequantize_insert(c->r->graph, n, qdq_in(old, 0), &p, old->outputs[0]->name, old->origin)->outputs[0]);
	if (qdq_node_unread(old))
		qdq_node_remove(old);
}

static void move_bias(channels *c)
{
	qdq_value *v = qdq_in(c->conv, 2);
	const qdq_tensor *from = v != NULL ? qdq_value_constant(v) : NULL;
	qdq_tensor *t;
	double real = 0;

	if (v == NULL)
		return;
	if (from == NULL) {
		move_scales(c, c->conv, 2, c->p.count, -1);
		return;
	}
	t = qdq_tensor_new(c->r->model, QDQ_TYPE_FLOAT, from->rank, from->dims);
	for (uint64_t k = 0; k < from->count; k++) {
		qdq_tensor_real(from, k, &real);
		qdq_tensor_set_real(t, k, real / qdq_params_scale(&c->p, k));
	}
	qdq_use_set(&c->conv->inputs[2], constant(c, v, t));
}

/* A Q or DQ per tensor. */
static void one_scale(qdq_node *n, qdq_value *scale, qdq_value *zero)
{
	qdq_node_resize_inputs(n, 3);
	qdq_use_set(&n->inputs[1], scale);
	qdq_use_set(&n->inputs[2], zero);
	qdq_attr_remove(n, "axis");
}

static void change(channels *c)
{
	qdq_tensor *one = qdq_tensor_new(c->r->model, QDQ_TYPE_FLOAT, 0, NULL);
	qdq_tensor *z = qdq_tensor_new(c->r->model, c->p.codes, 0, NULL);
	qdq_value *scale, *zero;
	const qdq_use *next;

	qdq_tensor_set_real(one, 0, 1);
	*(uint8_t *)(void *)(uintptr_t)z->data = (uint8_t)(c->p.zero != NULL ? qdq_params_zero(&c->p, 0) : 0);
	scale = constant(c, c->p.scale, one);
	zero = constant(c, c->p.zero != NULL ? c->p.zero : c->p.scale, z);
	for (const qdq_use *u = c->q->outputs[0]->uses; u != NULL; u = next) {
		qdq_node *dq = u->node;

		next = u->next; /* one_scale may move the inputs of dq, and u is one */
		for (qdq_use *v = dq->outputs[0]->uses; v != NULL; v = v->next)
			move_scales(c, v->node, 1, (uint64_t)filters_of(v->node), 1);
		one_scale(dq, scale, zero);
	}
	move_scales(c, c->conv, 1, c->p.count, -1);
	move_bias(c);
	one_scale(c->q, scale, zero);
}

static void look_at(qdq_run *r, qdq_node *q)
{
	channels c = {.r = r, .q = q};
	const qdq_reason why = {.code = QDQ_REASON_NOT_EXACT, .operand = q->outputs[0]->name};

	if (!check(&c))
		return;
	if (!qdq_allowed(r, QDQ_STEP1)) {
		qdq_declined(r, "channel_scales.move", q->origin, &why);
		return;
	}
	change(&c);
	qdq_applied(r, "channel_scales.move", QDQ_STEP1, 0, q->origin);
}

static void run(qdq_run *r)
{
	if (r->options->target != QDQ_TARGET_ORT_CPU)
		return;
	for (qdq_node *n = r->graph->first; n != NULL; n = qdq_after(n))
		if (qdq_is(n, QDQ_OP_QuantizeLinear) && qdq_out(n, 0) != NULL)
			look_at(r, n);
}

static const qdq_rule rules[] = {
    {.name = "channel_scales.move",
     .exactness = QDQ_STEP1,
     .text = "the scales of each channel between two Convs become factors of their weights'"},
};

const qdq_pass qdq_pass_channel_scales = {
    "channel_scales", "one scale in front of depthwise Convs (target ort-cpu)", rules, QDQ_COUNTOF(rules), run, false};

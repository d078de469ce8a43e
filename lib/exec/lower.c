/* SPDX-License-Identifier: Apache-2.0
 *
 * lower.c -- a fused operator becomes a kernel: an anchor and the steps behind it
 *
 *      x -- DQ --.
 *      w -- DQ --+-- Conv -- Q -- DQ --.                  anchor  contract(x, w), bias
 *      b --------'                     +- Add -- Relu     steps   1 = round 0   (its pair Q, DQ)
 *      r -- DQ ------------------------'   |                      2 = 1 + r
 *                                          Q -- y                 3 = clamp 2, 4 = round 3, y = store 4
 *
 * The nodes of a region's body are read front to back; each gives its value a register. A node outside regions is its
 * own body. What does not fit is refused, and the plan lets lib/eval run the node. Units are settled at the end, from
 * the readers of each register, and then every multiplier is computed once, in double.
 */
#include "lower.h"

/* ---- values ---- */

const qdq_value *qdq_outer(const lowering *l, const qdq_value *v)
{
	if (v == NULL || l->body == NULL || v->graph != l->body)
		return v;
	for (size_t i = 0; i < l->body->inputs.count; i++)
		if (l->body->inputs.items[i] == v)
			return qdq_in(l->n, (uint32_t)i);
	return NULL; /* made inside */
}

const qdq_tensor *qdq_constant(const lowering *l, const qdq_value *v)
{
	const qdq_value *outer = qdq_outer(l, v);

	return outer == NULL ? NULL : qdq_value_constant(outer);
}

/* What a Q or DQ of 8 bits says, or false. */
bool qdq_quant_of(const lowering *l, const qdq_node *n, quant *q)
{
	const qdq_tensor *zero = qdq_constant(l, qdq_in(n, 2));
	qdq_params p;

	if (!qdq_params_of(n, &p) || p.block != 0 || (qdq_in(n, 2) != NULL && zero == NULL))
		return false;
	*q = (quant){.type = p.codes, .scale = qdq_constant(l, p.scale), .zero = zero, .axis = p.axis};
	if (q->scale == NULL || p.real != QDQ_TYPE_FLOAT)
		return false;
	for (uint64_t i = 0; i < q->scale->count; i++)
		if (!(qdq_quant_scale(q, i) > 0) || !isfinite(qdq_quant_scale(q, i)))
			return false;
	return true;
}

double qdq_quant_scale(const quant *q, uint64_t channel)
{
	double scale = 1;

	if (q->scale != NULL)
		(void)qdq_tensor_real(q->scale, q->scale->count == 1 ? 0 : channel, &scale);
	return scale;
}

int32_t qdq_quant_zero(const quant *q, uint64_t channel)
{
	int64_t zero = 0;

	if (q->zero != NULL)
		(void)qdq_tensor_int(q->zero, q->zero->count == 1 ? 0 : channel, &zero);
	return (int32_t)zero;
}

static bool one_scale(const quant *q)
{
	return (q->scale == NULL || q->scale->count == 1) && (q->zero == NULL || q->zero->count == 1);
}

const known *qdq_known_of(const lowering *l, const qdq_value *v)
{
	for (size_t i = l->known.count; i-- > 0;)
		if (l->known.items[i].v == v)
			return &l->known.items[i];
	return NULL;
}

static known *learn(lowering *l, const qdq_value *v, known_kind kind)
{
	known *k = qdq_push(l->scratch, &l->known);

	*k = (known){.v = v, .kind = kind};
	return k;
}

/* A value from outside as a source: codes as they are, or floats. */
static const known *source(lowering *l, const qdq_value *v)
{
	const known *found = qdq_known_of(l, v);
	const qdq_value *outer = qdq_outer(l, v);
	known *k;

	if (found != NULL || outer == NULL)
		return found;
	if (outer->type != QDQ_TYPE_FLOAT && outer->type != QDQ_TYPE_INT32 && !qdq_type_is_int8(outer->type))
		return NULL; /* int32: a bias */
	k = learn(l, v, KNOWN_SOURCE);
	k->outer = outer;
	k->quant.type = outer->type;
	return k;
}

/* ---- steps ---- */

static uint32_t new_register(lowering *l)
{
	*qdq_push(l->scratch, &l->units) = 0;
	return (uint32_t)l->units.count - 1;
}

static qdq_step *add_step(lowering *l, qdq_step_kind kind, uint32_t from)
{
	uint32_t to = kind == QDQ_STEP_STORE ? from : new_register(l);
	qdq_step *s = qdq_push(l->scratch, &l->steps);

	*s = (qdq_step){.kind = kind, .from = from, .to = to, .before = 1};
	*qdq_push(l->scratch, &l->scales) = 0;
	return s;
}

/* The anchor of what has none yet: register 0 is the operand itself. */
static bool load(lowering *l, const known *k)
{
	if (l->anchored || !one_scale(&k->quant) || k->outer->type == QDQ_TYPE_INT32)
		return false;
	l->anchored = true;
	l->k.anchor = QDQ_ANCHOR_LOAD;
	l->main = *k;
	(void)new_register(l);
	return true;
}

/* The register of a value that is computed here, or of a source that is loaded. */
static bool register_of(lowering *l, const qdq_value *v, uint32_t *out)
{
	const known *k = source(l, v);

	if (k == NULL)
		return false;
	if (k->kind == KNOWN_SOURCE) {
		known loaded = *k;

		if (!load(l, &loaded))
			return false;
		loaded.kind = KNOWN_REGISTER;
		loaded.reg = 0;
		if (loaded.quant.scale != NULL)
			loaded.quant = (quant){0}; /* a real number now */
		*qdq_push(l->scratch, &l->known) = loaded;
		*out = 0;
		return true;
	}
	*out = k->reg;
	return true;
}

static void result(lowering *l, const qdq_node *n, uint32_t reg)
{
	learn(l, n->outputs[0], KNOWN_REGISTER)->reg = reg;
}

/* ---- nodes ---- */

static bool lower_q(lowering *l, const qdq_node *n)
{
	quant q;
	uint32_t from;
	qdq_step *s;
	known *k;

	if (!qdq_quant_of(l, n, &q) || !qdq_type_is_int8(q.type) || !one_scale(&q) ||
	    !register_of(l, qdq_in(n, 0), &from))
		return false;
	s = add_step(l, QDQ_STEP_ROUND, from);
	s->value = n->outputs[0];
	s->low = (float)(qdq_type_min(q.type) - qdq_quant_zero(&q, 0));
	s->high = (float)(qdq_type_max(q.type) - qdq_quant_zero(&q, 0));
	l->scales.items[l->scales.count - 1] = qdq_quant_scale(&q, 0);
	k = learn(l, n->outputs[0], KNOWN_REGISTER);
	k->reg = s->to;
	k->quant = q;
	return true;
}

static bool lower_dq(lowering *l, const qdq_node *n)
{
	const known *codes = source(l, qdq_in(n, 0));
	known *k;
	quant q;

	if (codes == NULL || !qdq_quant_of(l, n, &q))
		return false;
	if (codes->kind == KNOWN_SOURCE) {
		known from = *codes;

		k = learn(l, n->outputs[0], KNOWN_SOURCE);
		k->outer = from.outer;
		k->quant = q;
		return true;
	}
	/* the other half of a pair: its register has the value already */
	if (codes->quant.scale == NULL || qdq_quant_scale(&codes->quant, 0) != qdq_quant_scale(&q, 0) ||
	    qdq_quant_zero(&codes->quant, 0) != qdq_quant_zero(&q, 0) || codes->quant.type != q.type)
		return false;
	result(l, n, codes->reg);
	return true;
}

static bool bound(const lowering *l, const qdq_node *n, uint32_t i, const char *attr, double absent, float *out)
{
	double value = absent;

	if (l->m->opset < 11)
		value = (double)qdq_attr_float(n, attr, (float)absent);
	else if (qdq_in(n, i) != NULL &&
		 (qdq_constant(l, qdq_in(n, i)) == NULL || !qdq_tensor_real(qdq_constant(l, qdq_in(n, i)), 0, &value)))
		return false;
	*out = (float)value;
	return true;
}

static bool lower_clamp(lowering *l, const qdq_node *n)
{
	float low = 0, high = INFINITY;
	uint32_t from;
	qdq_step *s;

	if (n->outputs[0]->type != QDQ_TYPE_FLOAT || !register_of(l, qdq_in(n, 0), &from))
		return false;
	if (qdq_is(n, QDQ_OP_Clip) &&
	    (!bound(l, n, 1, "min", -INFINITY, &low) || !bound(l, n, 2, "max", INFINITY, &high)))
		return false;
	s = add_step(l, QDQ_STEP_CLAMP, from);
	s->low = low;
	s->high = high;
	result(l, n, s->to);
	return true;
}

/* Does a constant that is broadcast into y differ along axis 1 only? */
static bool along_channels(const qdq_tensor *t, const qdq_value *y)
{
	for (int32_t i = 0; t->count != 1 && i < t->rank; i++)
		if (t->dims[i] != 1 && y->shape->rank - t->rank + i != 1)
			return false;
	return true;
}

/* A constant that is one number, or one for each channel, as k floats; NULL: it is neither. */
static float *per_channel(const lowering *l, const qdq_value *v)
{
	const qdq_tensor *t = qdq_constant(l, v);
	uint64_t k = (uint64_t)l->k.channels;
	float *out;

	if (t == NULL || t->type != QDQ_TYPE_FLOAT || (t->count != 1 && t->count != k))
		return NULL;
	out = qdq_array(l->p->arena, float, k);
	for (uint64_t c = 0; c < k; c++) {
		double value = 0;

		(void)qdq_tensor_real(t, t->count == 1 ? 0 : c, &value);
		out[c] = (float)value;
	}
	return out;
}

static float *filled(const lowering *l, float value)
{
	float *out = qdq_array(l->p->arena, float, (uint64_t)l->k.channels);

	for (int64_t c = 0; c < l->k.channels; c++)
		out[c] = value;
	return out;
}

static bool affine(lowering *l, const qdq_node *n, uint32_t from, const float *multiplier, const float *addend)
{
	qdq_step *s = add_step(l, QDQ_STEP_AFFINE, from);

	s->multiplier = multiplier;
	s->addend = addend;
	result(l, n, s->to);
	return true;
}

static bool same_shape(const qdq_value *a, const qdq_value *b)
{
	return a->shape != NULL && qdq_shape_equal(a->shape, b->shape);
}

/* x * y of codes: the product of differences is exact. */
static bool multiply_sources(lowering *l, const qdq_node *n, const known *a, const known *b)
{
	if (l->anchored || a->quant.scale == NULL || b->quant.scale == NULL || !one_scale(&a->quant) ||
	    !one_scale(&b->quant) || !same_shape(a->outer, n->outputs[0]) || !same_shape(b->outer, n->outputs[0]))
		return false;
	l->anchored = true;
	l->k.anchor = QDQ_ANCHOR_MUL;
	l->main = *a;
	l->second = *b;
	result(l, n, new_register(l));
	return true;
}

static bool add_other(lowering *l, const qdq_node *n, const qdq_value *v, const known *other)
{
	uint32_t from;
	known o = *other;
	qdq_step *s;

	if (o.kind != KNOWN_SOURCE || !one_scale(&o.quant) || !same_shape(o.outer, n->outputs[0]) ||
	    !same_shape(v, n->outputs[0]) || (o.quant.scale == NULL && o.outer->type != QDQ_TYPE_FLOAT) ||
	    !register_of(l, v, &from))
		return false;
	s = add_step(l, QDQ_STEP_ADD, from);
	*qdq_push(l->scratch, &l->others) = (other_operand){(uint32_t)l->steps.count - 1, o};
	result(l, n, s->to);
	return true;
}

static bool lower_binary(lowering *l, const qdq_node *n)
{
	const known *a = source(l, qdq_in(n, 0));
	known first = a != NULL ? *a : (known){.v = NULL};
	const known *b = source(l, qdq_in(n, 1));
	bool swapped = a == NULL || (b != NULL && b->kind == KNOWN_REGISTER) || qdq_constant(l, qdq_in(n, 0)) != NULL;
	const qdq_value *v = qdq_in(n, swapped ? 1 : 0), *w = qdq_in(n, swapped ? 0 : 1);
	float *numbers = per_channel(l, w);
	uint32_t from;

	if (qdq_in(n, 0) == qdq_in(n, 1))
		return false;
	if (numbers != NULL) {
		if (!along_channels(qdq_constant(l, w), n->outputs[0]) || !same_shape(v, n->outputs[0]) ||
		    !register_of(l, v, &from))
			return false;
		return qdq_is(n, QDQ_OP_Add) ? affine(l, n, from, filled(l, 1), numbers)
					     : affine(l, n, from, numbers, filled(l, 0));
	}
	if (a == NULL || b == NULL)
		return false;
	if (qdq_is(n, QDQ_OP_Add))
		return add_other(l, n, v, swapped ? &first : b);
	return first.kind == KNOWN_SOURCE && b->kind == KNOWN_SOURCE && multiply_sources(l, n, &first, b);
}

static bool lower_bn(lowering *l, const qdq_node *n)
{
	double epsilon = (double)qdq_attr_float(n, "epsilon", 1e-5f);
	float *part[5] = {NULL};
	uint32_t from;

	for (uint32_t i = 1; i < 5; i++) {
		part[i] = per_channel(l, qdq_in(n, i));
		if (part[i] == NULL || qdq_constant(l, qdq_in(n, i))->count != (uint64_t)l->k.channels)
			return false;
	}
	if (!register_of(l, qdq_in(n, 0), &from))
		return false;
	for (int64_t c = 0; c < l->k.channels; c++) {
		double scale = (double)part[1][c] / sqrt((double)part[4][c] + epsilon);

		part[2][c] = (float)((double)part[2][c] - (double)part[3][c] * scale);
		part[1][c] = (float)scale;
	}
	return affine(l, n, from, part[1], part[2]);
}

/* [N, C, 1, 1] to [N, C]: the same rows. */
static bool lower_view(lowering *l, const qdq_node *n)
{
	const known *k = source(l, qdq_in(n, 0));
	const qdq_shape *x = k == NULL || k->outer == NULL ? NULL : k->outer->shape, *y = n->outputs[0]->shape;
	uint32_t reg;

	if (k == NULL || k->kind != KNOWN_SOURCE || k->quant.scale != NULL || !qdq_type_is_int8(k->outer->type) ||
	    !qdq_shape_known(x) || y->rank != 2 || x->rank < 2 || x->dim[0] != y->dim[0] || x->dim[1] != y->dim[1])
		return false;
	for (int32_t i = 2; i < x->rank; i++)
		if (x->dim[i] != 1)
			return false;
	if (!register_of(l, qdq_in(n, 0), &reg))
		return false;
	*learn(l, n->outputs[0], KNOWN_REGISTER) =
	    (known){.v = n->outputs[0], .kind = KNOWN_REGISTER, .quant = {.type = n->outputs[0]->type}, .reg = reg};
	return true;
}

/* ---- all of them ---- */

static bool lower_node(lowering *l, qdq_node *n)
{
	if (qdq_out(n, 0) == NULL)
		return false;
	switch (n->op->id) {
	case QDQ_OP_QuantizeLinear:
	case QDQ_OP_ms_QuantizeLinear:
		return lower_q(l, n);
	case QDQ_OP_DequantizeLinear:
	case QDQ_OP_ms_DequantizeLinear:
		return lower_dq(l, n);
	case QDQ_OP_Conv:
	case QDQ_OP_Gemm:
	case QDQ_OP_MatMul:
		return qdq_lower_contraction(l, n);
	case QDQ_OP_MaxPool:
	case QDQ_OP_GlobalMaxPool:
	case QDQ_OP_AveragePool:
	case QDQ_OP_GlobalAveragePool:
	case QDQ_OP_ReduceMean:
		return qdq_lower_pool(l, n);
	case QDQ_OP_Concat:
		return qdq_lower_concat(l, n);
	case QDQ_OP_Relu:
	case QDQ_OP_Clip:
		return lower_clamp(l, n);
	case QDQ_OP_Add:
	case QDQ_OP_Mul:
		return lower_binary(l, n);
	case QDQ_OP_BatchNormalization:
		return lower_bn(l, n);
	case QDQ_OP_Flatten:
	case QDQ_OP_Reshape:
	case QDQ_OP_Squeeze:
		return lower_view(l, n);
	default:
		return false;
	}
}

/* Stores of what n computes, where it leaves the region. */
static bool store_outputs(lowering *l, const qdq_node *n)
{
	const qdq_graph *body = l->body;
	size_t ports = body != NULL ? body->outputs.count : 1;

	for (size_t i = 0; i < ports; i++) {
		const qdq_value *inner = body != NULL ? body->outputs.items[i] : n->outputs[0];
		const qdq_value *outer = qdq_out(l->n, (uint32_t)i);
		uint32_t reg;
		qdq_step *s;

		if (inner->def != n || outer == NULL)
			continue;
		if (!register_of(l, inner, &reg))
			return false;
		s = add_step(l, QDQ_STEP_STORE, reg);
		*qdq_push(l->scratch, &l->stores) = (other_operand){
		    (uint32_t)l->steps.count - 1, {.outer = outer, .quant = qdq_known_of(l, inner)->quant}};
		s->other.channel = l->channel;
	}
	return true;
}

/* A Q in front of another input of the Concat than the one that this kernel is for. */
static bool of_another_part(const lowering *l, const qdq_node *n)
{
	const qdq_use *u = qdq_out(n, 0) != NULL ? qdq_only_use(n->outputs[0]) : NULL;

	return u != NULL && qdq_is(u->node, QDQ_OP_Concat) && qdq_use_index(u) != l->part;
}

/* Others (the indices of a MaxPool) no kernel writes. */
static bool only_output(const qdq_node *n)
{
	for (uint32_t i = 1; i < n->n_outputs; i++)
		if (n->outputs[i] != NULL)
			return false;
	return true;
}

static bool lower_all(lowering *l)
{
	if (l->body == NULL)
		return only_output(l->n) && lower_node(l, l->n) && store_outputs(l, l->n);
	for (qdq_node *n = l->body->first; n != NULL; n = n->next)
		if (!of_another_part(l, n) && (!only_output(n) || !lower_node(l, n) || !store_outputs(l, n)))
			return false;
	return true;
}

/* ---- the shape of the work ---- */

/* Pixels and channels of the node's first output; every output has the same shape. */
static bool set_extent(lowering *l)
{
	const qdq_value *y = qdq_out(l->n, 0);
	int64_t spatial = 1;

	if (y == NULL || !qdq_shape_known(y->shape) || y->shape->rank < 2 || y->shape->rank > QDQ_EXEC_RANK ||
	    qdq_shape_count(y->shape, NULL) <= 0)
		return false;
	for (uint32_t i = 1; i < l->n->n_outputs; i++)
		if (l->n->outputs[i] != NULL && !qdq_shape_equal(l->n->outputs[i]->shape, y->shape))
			return false;
	for (int32_t i = 2; i < y->shape->rank; i++)
		spatial *= y->shape->dim[i];
	l->k.spatial = spatial;
	l->k.channels = y->shape->dim[1];
	l->k.pixels = y->shape->dim[0] * spatial;
	return true;
}

static bool lower_once(lowering *l)
{
	return set_extent(l) && lower_all(l) && l->anchored && qdq_lower_finish(l);
}

bool qdq_lower(qdq_plan *p, qdq_node *n)
{
	size_t kernels = p->kernels.count;
	int64_t channel = 0;
	uint32_t parts = 1;
	bool good = true;

	for (uint32_t part = 0; good && part < parts; part++) {
		lowering l = {.p = p, .m = p->m, .n = n, .scratch = p->scratch, .part = part, .channel = channel};

		l.body = n->region != NULL ? n->region->body : NULL;
		l.k.node = n;
		good = lower_once(&l);
		parts = l.parts > parts ? l.parts : parts;
		channel += l.k.channels;
	}
	if (!good)
		p->kernels.count = kernels;
	return good;
}

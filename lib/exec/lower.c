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

bool qdq_one_scale(const quant *q)
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
const known *qdq_source(lowering *l, const qdq_value *v)
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

/* ---- shapes ---- */

static bool same_image(const lowering *l, const qdq_shape *a, bool full)
{
	const qdq_shape *b = qdq_out(l->n, 0)->shape;
	int64_t spatial = 1;

	if (!qdq_shape_known(a) || a->rank < 2 || a->dim[1] != l->k.channels || a->dim[0] != b->dim[0])
		return false;
	for (int32_t i = 2; i < a->rank; i++) {
		spatial *= a->dim[i];
		if (full && a->rank == b->rank && a->dim[i] != b->dim[i])
			return false;
	}
	return spatial == (full ? l->k.spatial : 1);
}

/* Where channels are the last axis, codes must not be in rows of axis 1. */
bool qdq_is_full(const lowering *l, const qdq_value *v)
{
	if (l->k.last_axis)
		return qdq_shape_known(v->shape) && qdq_shape_equal(v->shape, qdq_out(l->n, 0)->shape) &&
		       !qdq_plan_in_rows(v);
	return same_image(l, v->shape, true);
}

bool qdq_is_each_image(const lowering *l, const qdq_value *v)
{
	return !l->k.last_axis && v->shape->rank == qdq_out(l->n, 0)->shape->rank && same_image(l, v->shape, false);
}

/* ---- steps ---- */

uint32_t qdq_new_register(lowering *l)
{
	*qdq_push(l->scratch, &l->units) = 0;
	return (uint32_t)l->units.count - 1;
}

qdq_step *qdq_add_step(lowering *l, int kind, uint32_t from)
{
	uint32_t to = kind == QDQ_STEP_STORE ? from : qdq_new_register(l);
	qdq_step *s = qdq_push(l->scratch, &l->steps);

	*s = (qdq_step){.kind = kind, .from = from, .to = to, .before = 1, .before_second = 1};
	*qdq_push(l->scratch, &l->scales) = 0;
	*qdq_push(l->scratch, &l->scales_in) = 0;
	return s;
}

/* The anchor of what has none yet: register 0 is the operand itself. */
static bool load(lowering *l, const known *k)
{
	if (l->anchored || !qdq_one_scale(&k->quant) || k->outer->type == QDQ_TYPE_INT32 || !qdq_is_full(l, k->outer))
		return false;
	l->anchored = true;
	l->k.anchor = QDQ_ANCHOR_LOAD;
	l->main = *k;
	(void)qdq_new_register(l);
	return true;
}

/* Another operand: of the result's shape, or one element for each channel of an image. */
static bool load_other(lowering *l, const known *k, uint32_t *out)
{
	qdq_step *s;

	if (!l->anchored || !qdq_one_scale(&k->quant) || k->outer->type == QDQ_TYPE_INT32 ||
	    (!qdq_is_full(l, k->outer) && !qdq_is_each_image(l, k->outer)))
		return false;
	s = qdq_add_step(l, QDQ_STEP_LOAD, 0);
	s->other.each_image = !qdq_is_full(l, k->outer);
	*qdq_push(l->scratch, &l->others) = (other_operand){(uint32_t)l->steps.count - 1, *k};
	*out = s->to;
	return true;
}

bool qdq_load_source(lowering *l, const known *k, uint32_t *out)
{
	*out = 0;
	return l->anchored ? load_other(l, k, out) : load(l, k);
}

/* The register of a value that is computed here, or of a source that is loaded. */
bool qdq_register_of(lowering *l, const qdq_value *v, uint32_t *out)
{
	const known *k = qdq_source(l, v);
	known loaded;

	if (k == NULL)
		return false;
	*out = k->reg;
	if (k->kind == KNOWN_REGISTER)
		return true;
	loaded = *k;
	if (k->kind == KNOWN_TABLE ? !qdq_load_table(l, &loaded, out) : !qdq_load_source(l, &loaded, out))
		return false;
	if (loaded.kind == KNOWN_SOURCE && loaded.quant.scale != NULL)
		loaded.quant = (quant){0}; /* a real number now */
	loaded.kind = KNOWN_REGISTER;
	loaded.reg = *out;
	*qdq_push(l->scratch, &l->known) = loaded;
	return true;
}

void qdq_result(lowering *l, const qdq_node *n, uint32_t reg)
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

	if (!qdq_quant_of(l, n, &q) || !qdq_type_is_int8(q.type) || !qdq_one_scale(&q) ||
	    !qdq_register_of(l, qdq_in(n, 0), &from))
		return false;
	s = qdq_add_step(l, QDQ_STEP_ROUND, from);
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
	const known *codes = qdq_source(l, qdq_in(n, 0));
	known *k;
	quant q;

	if (codes == NULL || codes->kind == KNOWN_TABLE || !qdq_quant_of(l, n, &q))
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
	qdq_result(l, n, codes->reg);
	return true;
}

/* [N, C, 1, 1] to [N, C]: the same rows. */
static bool lower_view(lowering *l, const qdq_node *n)
{
	const known *k = qdq_source(l, qdq_in(n, 0));
	const qdq_shape *x = k == NULL || k->outer == NULL ? NULL : k->outer->shape, *y = n->outputs[0]->shape;
	uint32_t reg;

	if (l->k.last_axis || k == NULL || k->kind != KNOWN_SOURCE || k->quant.scale != NULL ||
	    !qdq_type_is_int8(k->outer->type) || !qdq_shape_known(x) || y->rank != 2 || x->rank < 2 ||
	    x->dim[0] != y->dim[0] || x->dim[1] != y->dim[1])
		return false;
	for (int32_t i = 2; i < x->rank; i++)
		if (x->dim[i] != 1)
			return false;
	if (!qdq_register_of(l, qdq_in(n, 0), &reg))
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
	if (qdq_lower_table(l, n))
		return true;
	switch (n->op->id) {
	case QDQ_OP_QuantizeLinear:
	case QDQ_OP_ms_QuantizeLinear:
		return lower_q(l, n);
	case QDQ_OP_DequantizeLinear:
	case QDQ_OP_ms_DequantizeLinear:
		return lower_dq(l, n);
	case QDQ_OP_Conv:
	case QDQ_OP_ConvTranspose:
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
	case QDQ_OP_Flatten:
	case QDQ_OP_Reshape:
	case QDQ_OP_Squeeze:
		return lower_view(l, n);
	default:
		return qdq_lower_pointwise(l, n);
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
		if (!qdq_register_of(l, inner, &reg))
			return false;
		s = qdq_add_step(l, QDQ_STEP_STORE, reg);
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
	for (int32_t i = 2; !l->k.last_axis && i < y->shape->rank; i++)
		spatial *= y->shape->dim[i];
	l->k.spatial = spatial;
	l->k.channels = y->shape->dim[l->k.last_axis ? y->shape->rank - 1 : 1];
	l->k.pixels = qdq_shape_count(y->shape, NULL) / l->k.channels;
	return true;
}

/* A kernel of one input of a Concat knows the channels of that alone: other operands begin at their first channel. */
static bool channels_fit(const lowering *l)
{
	for (size_t i = 0; l->parts != 0 && l->k.grid.sh == 0 && i < l->steps.count; i++) {
		int kind = l->steps.items[i].kind;

		if (kind == QDQ_STEP_ADD || kind == QDQ_STEP_AFFINE || kind == QDQ_STEP_LEAKY || kind == QDQ_STEP_LOAD)
			return false;
	}
	return true;
}

/* Outputs that are in rows of axis 1 already no kernel of the last axis writes. */
static bool can_be_last(const lowering *l)
{
	const qdq_value *y = qdq_out(l->n, 0);

	for (uint32_t i = 0; i < l->n->n_outputs; i++)
		if (l->n->outputs[i] != NULL && qdq_shape_known(l->n->outputs[i]->shape) &&
		    qdq_plan_in_rows(l->n->outputs[i]))
			return false;
	return y != NULL && qdq_shape_known(y->shape) && y->shape->rank >= 3;
}

static bool lower_once(lowering *l)
{
	if (l->k.last_axis && !can_be_last(l))
		return false;
	return set_extent(l) && lower_all(l) && l->anchored && channels_fit(l) && qdq_lower_finish(l);
}

static bool lower_along(qdq_plan *p, qdq_node *n, bool last)
{
	size_t kernels = p->kernels.count;
	int64_t channel = 0;
	uint32_t parts = 1;
	bool good = true;

	for (uint32_t part = 0; good && part < parts; part++) {
		lowering l = {.p = p, .m = p->m, .n = n, .scratch = p->scratch, .part = part, .channel = channel};

		l.body = n->region != NULL ? n->region->body : NULL;
		l.k.node = n;
		l.k.last_axis = last;
		good = lower_once(&l);
		parts = l.parts > parts ? l.parts : parts;
		channel += l.k.grid.sh == 0 ? l.k.channels : 0;
	}
	if (!good)
		p->kernels.count = kernels;
	return good;
}

/* Channels are axis 1, as in images; else the last, as in what products of more than two dimensions give. */
bool qdq_lower(qdq_plan *p, qdq_node *n)
{
	return lower_along(p, n, false) || lower_along(p, n, true);
}

/* SPDX-License-Identifier: Apache-2.0
 *
 * tensorrt_activations -- Q and DQ of activations as TensorRT takes them: int8, zero point 0, one scale above 0
 *
 *   x -- Q (uint8, 128) -- DQ -- y    =>   x -- Q (int8, 0) -- DQ -- y
 *   x -- Q (uint8, z) -- DQ -- y      =>   x -- Clip -- Q (int8, 0, s') -- DQ -- y   s' = max(-low / 128, high / 127)
 *   x -- Q (s [1]) -- DQ -- y         =>   x -- Q (s) -- DQ -- y                         a scale of shape [1]: a number
 *   codes (an input) -- DQ -- y       =>   codes -- DQ -- Q (int8, 0, s') -- DQ -- y     tensorrt_float takes the first
 *
 *   When    the target is tensorrt; 8-bit codes, constant parameters. The codes mean values from low to high; what lies
 *           outside is clipped first where int8 reaches further (a Relu where low is 0) and x is not known to stay
 *           inside. A scale for each channel becomes one for all
 *   Keeps   names of nodes and floats (the codes get another name: they are others); the old Q for readers other than DQ
 *   Exact   EXACT for uint8 with zero point 128. BOUNDED else: (s + s') / 2, and s' / 2 where codes came from outside (also
 *           with 128 where Q(DQ(q)) != q); of 16-bit floats by what quotients and products are rounded, too; said of each DQ
 *   Needs   types                           Breaks  nothing
 *   After   tensorrt_lift
 *   Before  tensorrt_float, sink_dq
 *   Tests   test/golden/tensorrt_activations/
 *   Ref     TensorRT developer guide, explicit quantization
 */
#include <math.h>

#include "tensorrt.h"

#define RULE "tensorrt_activations.symmetric"
#define CLIP_HAS_INPUTS 11 /* since this opset */

/* ---- what a float is known to lie between ---- */

typedef struct range {
	double low, high;
} range;

static const range anything = {-INFINITY, INFINITY};

static const struct {
	qdq_op_id op;
	range of;
} ranges[] = {
    {QDQ_OP_Relu, {0, INFINITY}}, {QDQ_OP_Sigmoid, {0, 1}}, {QDQ_OP_HardSigmoid, {0, 1}},
    {QDQ_OP_Softmax, {0, 1}},	  {QDQ_OP_Tanh, {-1, 1}},   {QDQ_OP_Abs, {0, INFINITY}},
};

static range clip_range(const qdq_node *n)
{
	range of = anything;
	double x;

	if (qdq_in(n, 1) == NULL)
		of.low = (double)qdq_attr_float(n, "min", -INFINITY);
	else if (qdq_value_scalar(qdq_in(n, 1), &x))
		of.low = x;
	if (qdq_in(n, 2) == NULL)
		of.high = (double)qdq_attr_float(n, "max", INFINITY);
	else if (qdq_value_scalar(qdq_in(n, 2), &x))
		of.high = x;
	return of;
}

/* Resize by cubic functions reaches beyond what it reads; what lies outside may be any number. */
static bool interpolates(const qdq_node *n)
{
	return !qdq_attr_string_is(n, "mode", "nearest", "cubic") && qdq_attr_float(n, "extrapolation_value", 0) == 0;
}

/* One data input, whose elements come out again, or means of them and of zeros. */
static bool hands_on(const qdq_node *n)
{
	if (n->op->id == QDQ_OP_LpPool || n->op->id == QDQ_OP_GlobalLpPool)
		return false;
	if (n->op->id == QDQ_OP_Resize)
		return interpolates(n);
	if (n->op->family == QDQ_FAMILY_POOL)
		return true;
	return n->op->cls == QDQ_CLASS_MOVE && n->op->id != QDQ_OP_Pad && qdq_op_data_input(n, 0) &&
	       n->op->family != QDQ_FAMILY_CONCAT && n->op->id != QDQ_OP_Where && n->op->id != QDQ_OP_CenterCropPad;
}

/* The DQ of a pair Q -> DQ with equal parameters. */
static bool is_rounded(const qdq_node *n)
{
	qdq_params a, b;

	return qdq_is(n, QDQ_OP_DequantizeLinear) && qdq_params_of(n, &a) &&
	       qdq_params_of(qdq_def(qdq_in(n, 0), QDQ_OP_QuantizeLinear), &b) && qdq_params_equal(&a, &b);
}

#define DEPTH 12 /* as far back as it is worth looking */

/* What the codes of channel c mean. */
static range meant(const qdq_params *p, uint64_t c)
{
	double scale = qdq_params_scale(p, c), zero = (double)qdq_params_zero(p, c);
	double first = ((double)qdq_type_min(p->codes) - zero) * scale;
	double last = ((double)qdq_type_max(p->codes) - zero) * scale;

	return (range){fmin(first, last), fmax(first, last)};
}

static range range_of(const qdq_value *v, int depth)
{
	const qdq_node *n = v->def;
	range of;

	if (n == NULL || depth == DEPTH)
		return anything;
	if (n->op->id == QDQ_OP_Clip)
		return clip_range(n);
	for (size_t i = 0; i < QDQ_COUNTOF(ranges); i++)
		if (n->op->id == ranges[i].op)
			return ranges[i].of;
	if (is_rounded(n)) { /* that keeps the sign, not the bound */
		of = range_of(qdq_in(qdq_in(n, 0)->def, 0), depth + 1);
		return (range){of.low >= 0 ? 0 : -INFINITY, of.high <= 0 ? 0 : INFINITY};
	}
	if (!hands_on(n) || qdq_in(n, 0) == NULL)
		return anything;
	of = range_of(qdq_in(n, 0), depth + 1);
	return (range){fmin(of.low, 0), fmax(of.high, 0)};
}

/* ---- clipping ---- */

/* A bound for each channel, so that it broadcasts along the axis; one number where there is one scale. */
static qdq_value *bounds(qdq_run *r, const qdq_value *x, const qdq_params *p, bool high)
{
	int32_t rank = p->per_tensor ? 0 : x->shape->rank - (int32_t)p->axis;
	int64_t dims[16];
	qdq_tensor *t;

	for (int32_t i = 0; i < rank; i++)
		dims[i] = i == 0 ? (int64_t)p->count : 1;
	t = qdq_tensor_new(r->model, x->type, rank, dims);
	for (uint64_t c = 0; c < p->count; c++)
		qdq_tensor_put(t, c, high ? meant(p, c).high : meant(p, c).low);
	return qdq_graph_add_constant(
	    r->graph,
	    qdq_unique_name(&r->model->names, qdq_format(&r->scratch, "%s_%s", x->name, high ? "high" : "low")), t);
}

static qdq_value *insert(qdq_run *r, qdq_node *before, qdq_op_id op, qdq_value *x, qdq_value *bound,
			 const qdq_origin *origin)
{
	qdq_value *inputs[2] = {x, bound};
	qdq_node *n = qdq_node_insert(r->graph, before, op, x->name, bound == NULL ? 1 : 2, inputs, 1, origin);

	qdq_value_set_type(n->outputs[0], x->type, x->shape);
	return n->outputs[0];
}

static qdq_value *clip(qdq_run *r, qdq_node *before, qdq_value *x, const qdq_symmetric *s, const qdq_origin *origin)
{
	qdq_value *low = qdq_constant_number(r->graph, x->type, s->low, qdq_format(&r->scratch, "%s_low", x->name));
	qdq_value *high = qdq_constant_number(r->graph, x->type, s->high, qdq_format(&r->scratch, "%s_high", x->name));
	qdq_value *inputs[3] = {x, low, high};
	qdq_node *n = qdq_node_insert(r->graph, before, QDQ_OP_Clip, x->name, 3, inputs, 1, origin);

	qdq_value_set_type(n->outputs[0], x->type, x->shape);
	return n->outputs[0];
}

static bool can_clip(const qdq_run *r, const qdq_value *x, const qdq_params *p)
{
	return r->model->opset >= 8 && (p->per_tensor || (x->shape != NULL && p->axis >= 0 &&
							  p->axis < x->shape->rank && x->shape->rank <= 16));
}

/* Can x leave what the old codes mean, where the new ones reach further by more than the bound? */
static void leaves(const qdq_value *x, const qdq_params *p, const qdq_symmetric *s, bool *low, bool *high)
{
	range is = range_of(x, 0);

	*low = *high = false;
	for (uint64_t c = 0; c < p->count && !s->exact; c++) {
		range was = meant(p, c);

		*low = *low || (-128 * s->scale < was.low - s->bound && is.low < was.low);
		*high = *high || (127 * s->scale > was.high + s->bound && is.high > was.high);
	}
}

/* x, held to what the old codes mean. */
static qdq_value *clipped(qdq_run *r, const qdq_node *q, qdq_node *before, const qdq_params *p, const qdq_symmetric *s)
{
	qdq_value *x = qdq_in(q, 0);
	bool low, high;

	leaves(x, p, s, &low, &high);
	if (p->per_tensor && r->model->opset >= CLIP_HAS_INPUTS && (high || (low && s->low != 0)))
		return clip(r, before, x, s, q->origin);
	if (low && s->low == 0)
		x = insert(r, before, QDQ_OP_Relu, x, NULL, q->origin);
	else if (low)
		x = insert(r, before, QDQ_OP_Max, x, bounds(r, x, p, false), q->origin);
	if (high)
		x = insert(r, before, QDQ_OP_Min, x, bounds(r, x, p, true), q->origin);
	return x;
}

/* ---- Q and the DQs that read it ---- */

static bool is_reader(const qdq_use *u, const qdq_node *q, const qdq_params *p)
{
	qdq_params other;

	return qdq_is(u->node, QDQ_OP_DequantizeLinear) && u->node->graph == q->graph && qdq_use_index(u) == 0 &&
	       qdq_params_of(u->node, &other) && qdq_params_equal(p, &other);
}

static void set_params(qdq_node *n, const qdq_params *p)
{
	if (n->n_inputs < 3)
		qdq_node_resize_inputs(n, 3);
	qdq_use_set(&n->inputs[1], p->scale);
	qdq_use_set(&n->inputs[2], p->zero);
	qdq_attr_remove(n, "axis");
	qdq_attr_remove(n, "output_dtype");
}

/* The codes under another name, as int8. */
static qdq_value *retype(qdq_run *r, qdq_node *q, const qdq_params *p)
{
	qdq_value *codes = q->outputs[0];

	set_params(q, p);
	qdq_value_rename(codes, qdq_unique_name(&r->model->names, qdq_format(&r->scratch, "%s_int8", codes->name)));
	qdq_value_set_type(codes, p->codes, codes->shape);
	return codes;
}

/* Records that the codes of n (Q or DQ) cannot be had for TensorRT, under the name of the float that n is about. */
static void decline(qdq_run *r, const qdq_node *n, qdq_reason why)
{
	why.operand = qdq_is_dequantizer(n) ? n->outputs[0]->name : qdq_in(n, 0)->name;
	why.cause = qdq_node_label(n);
	qdq_declined(r, RULE, n->origin, &why);
}

static bool allowed(const qdq_run *r, const qdq_params *p, qdq_symmetric *s)
{
	*s = qdq_symmetric_of(p);
	return p->real == p->scale->type && (s->exact || qdq_allowed(r, QDQ_BOUNDED));
}

/* The DQs that read q with its parameters. */
static size_t readers_of(qdq_run *r, const qdq_node *q, const qdq_params *p, qdq_node ***out)
{
	const qdq_value *codes = q->outputs[0];
	size_t count = 0;

	*out = qdq_array(&r->scratch, qdq_node *, codes->n_uses);
	for (const qdq_use *u = codes->uses; u != NULL; u = u->next)
		if (is_reader(u, q, p))
			(*out)[count++] = u->node;
	return count;
}

static void convert(qdq_run *r, qdq_node *q, const qdq_params *p, qdq_reason why)
{
	qdq_value *old = q->outputs[0], *codes;
	qdq_node **readers, *before = q->next;
	size_t count = readers_of(r, q, p, &readers);
	bool alone = count == old->n_uses && old->n_outputs == 0;
	qdq_symmetric s;
	qdq_params made;

	if (!qdq_symmetric_possible(p) || !can_clip(r, qdq_in(q, 0), p) || !allowed(r, p, &s)) {
		decline(r, q, why);
		for (size_t i = 0; i < count; i++)
			decline(r, readers[i], why);
		return;
	}
	if (count == 0)
		return;
	made = qdq_symmetric_params(r->graph, &s, p->real, old->name);
	if (alone) {
		qdq_use_set(&q->inputs[0], clipped(r, q, q, p, &s));
		codes = retype(r, q, &made);
	} else {
		qdq_value *x = clipped(r, q, before, p, &s);

		codes = qdq_quantize_insert(r->graph, before, x, &made, old->name, q->origin)->outputs[0];
	}
	for (size_t i = 0; i < count; i++) {
		set_params(readers[i], &made);
		qdq_use_set(&readers[i]->inputs[0], codes);
	}
	if (s.exact)
		qdq_applied(r, RULE, QDQ_EXACT, 0, q->origin);
	for (size_t i = count; i > 0 && !s.exact; i--) /* newest first */
		qdq_applied_within(r, RULE, s.bound, readers[i - 1]->outputs[0], q->origin);
}

/* ---- codes that come from outside ---- */

/* Does the Q behind `dq` find the codes again, with the scale that is there? Products of 16 bits may be nearer to others. */
static bool finds_codes(const qdq_params *p, const qdq_symmetric *s)
{
	return s->exact && qdq_params_round_trip(p);
}

static void requantize(qdq_run *r, qdq_node *dq, const qdq_params *p, qdq_reason why)
{
	qdq_graph *g = r->graph;
	qdq_value *y = dq->outputs[0], *real;
	qdq_symmetric s;
	qdq_params made;
	qdq_node *q;

	if (y->n_uses == 0)
		return;
	if (!qdq_symmetric_possible(p) || !allowed(r, p, &s) || (!finds_codes(p, &s) && !qdq_allowed(r, QDQ_BOUNDED))) {
		decline(r, dq, why);
		return;
	}
	made = qdq_symmetric_params(g, &s, p->real, y->name);
	real = qdq_value_create(g, qdq_unique_name(&r->model->names, y->name));
	qdq_value_set_type(real, y->type, y->shape);
	dq->outputs[0] = real;
	real->def = dq;
	y->def = NULL;
	q = qdq_quantize_insert(g, dq->next, real, &made, y->name, dq->origin);
	qdq_dequantize_into(y, q->next, q->outputs[0], &made, dq->origin);
	if (finds_codes(p, &s))
		qdq_applied(r, RULE, QDQ_EXACT, 0, dq->origin);
	else
		qdq_applied_within(r, RULE, s.scale / 2 * QDQ_SLACK + s.slip, y, dq->origin);
}

/* A scale of shape [1] is one for each channel to TensorRT, and what reads the tensor then runs in float. */
static void make_scalar(qdq_run *r, qdq_node *n, const qdq_params *p)
{
	qdq_symmetric s = {0};
	qdq_params made;

	if (!p->per_tensor || !p->constant || p->codes != QDQ_TYPE_INT8 || qdq_value_constant(p->scale)->rank == 0)
		return;
	s.scale = qdq_params_scale(p, 0);
	made = qdq_symmetric_params(r->graph, &s, p->scale->type, n->outputs[0]->name);
	set_params(n, &made);
	qdq_applied(r, "tensorrt_activations.scalar", QDQ_EXACT, 0, n->origin);
}

static void visit(qdq_run *r, qdq_node *n)
{
	bool constant = qdq_in(n, 0) != NULL && qdq_value_constant(qdq_in(n, 0)) != NULL;
	qdq_params p;
	qdq_reason why = {0};

	if (!qdq_params_of(n, &p) || qdq_out(n, 0) == NULL || *n->domain != '\0')
		return;
	if (qdq_tensorrt_takes(&p, constant, &why)) {
		if (!constant)
			make_scalar(r, n, &p);
	} else if (qdq_is(n, QDQ_OP_QuantizeLinear)) {
		convert(r, n, &p, why);
	} else if (!constant && qdq_def(qdq_in(n, 0), QDQ_OP_QuantizeLinear) == NULL) {
		requantize(r, n, &p, why);
	}
}

static void run(qdq_run *r)
{
	qdq_node *next;

	if (!qdq_for_tensorrt(r) || !qdq_model_has_class(r->model, QDQ_CLASS_QUANT))
		return;
	for (qdq_node *n = r->graph->first; n != NULL; n = next) {
		next = qdq_after(n);
		visit(r, n);
	}
}

static const qdq_rule rules[] = {
    {.name = RULE,
     .exactness = QDQ_BOUNDED,
     .text = "codes of an activation become int8 with zero point 0 and one scale; exact for uint8 with zero point 128"},
    {.name = "tensorrt_activations.scalar",
     .exactness = QDQ_EXACT,
     .text = "a scale that is a tensor of one element becomes a number"},
};

const qdq_pass qdq_pass_tensorrt_activations = {
    "tensorrt_activations", "for TensorRT: activations as symmetric int8", rules, QDQ_COUNTOF(rules), run, false};

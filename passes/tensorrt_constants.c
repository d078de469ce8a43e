/* SPDX-License-Identifier: Apache-2.0
 *
 * tensorrt_constants -- constants behind a DQ as TensorRT takes them: int8 codes, zero points 0, scales above 0
 *
 *   b (int32) -- DQ -- y             =>   b' (float)
 *   w (uint8, z) -- DQ -- y          =>   w' (int8, 0) -- DQ -- y        w' = w - z, where that has 8 bits
 *   w, s < 0 -- DQ -- y              =>   -w, -s -- DQ -- y
 *   w, s = 0 -- DQ -- y              =>   0, 1 -- DQ -- y
 *   w (uint8, z) -- DQ -- Conv       =>   w' (int8, 0) -- DQ -- Conv     else: a channel that does not fit is quantized
 *                                                                        anew, each output channel with its own scale
 *
 *   When    the target is tensorrt; 8-bit codes (int32: biases) and parameters that are constants. Codes of rank 0, which
 *           TensorRT's parser does not take, become a float. A ConvTranspose gets one scale for all channels: TensorRT has
 *           no kernel for more
 *   Keeps   the name of y; the codes themselves for other readers
 *   Exact   EXACT where each element means what it meant, to the bit. STEP1 where a zero changes its sign. BOUNDED else,
 *           by how far the furthest element is from what it was
 *   Needs   types and shapes                Breaks  nothing
 *   After   fold
 *   Before  tensorrt_float, sink_dq
 *   Tests   test/golden/tensorrt_constants/
 *   Ref     TensorRT developer guide, explicit quantization
 */
#include <math.h>

#include "tensorrt.h"

/* A constant on its way. Element i belongs to channel i / stride % channels, of the old scales and of the new ones. */
struct recoding {
	qdq_node *dq;
	qdq_params old;
	const qdq_tensor *codes;
	uint64_t old_stride;
	int64_t axis; /* of the new scales, -1: one for all */
	uint64_t channels, stride;
	int64_t *least, *greatest; /* of q - z for each new channel, signs turned where the scale is below 0 */
	double *step;		   /* the greatest |scale| */
	double *scale;		   /* the new one */
	bool *kept;		   /* it is the old one, and codes only shift */
	qdq_tensor *made;
	qdq_exactness exactness;
	double bound;
};

static uint64_t stride_of(const qdq_tensor *t, int64_t axis)
{
	uint64_t stride = 1;

	for (int32_t i = (int32_t)axis + 1; axis >= 0 && i < t->rank; i++)
		stride *= (uint64_t)t->dims[i];
	return stride;
}

static uint64_t old_channel(const struct recoding *c, uint64_t i)
{
	return c->old.per_tensor ? 0 : i / c->old_stride % c->old.count;
}

static uint64_t new_channel(const struct recoding *c, uint64_t i)
{
	return c->axis < 0 ? 0 : i / c->stride % c->channels;
}

static int64_t difference(const struct recoding *c, uint64_t i)
{
	int64_t code = c->codes->type == QDQ_TYPE_INT8 ? ((const int8_t *)c->codes->data)[i]
						       : ((const uint8_t *)c->codes->data)[i];

	return code - qdq_params_zero(&c->old, old_channel(c, i));
}

/* ---- which channels get scales of their own ---- */

/* The operator for whose sake the constant is quantized, where it is one and no other reads it. */
static const qdq_use *contraction(const qdq_node *dq)
{
	const qdq_use *u = qdq_only_use(dq->outputs[0]);

	return u != NULL && u->node->op->cls == QDQ_CLASS_CONTRACT && qdq_use_index(u) < 2 ? u : NULL;
}

/* The axis of the scales, as the operator wants them. */
static int64_t given_axis(const struct recoding *c)
{
	const qdq_use *u = contraction(c->dq);

	if (c->old.per_tensor || (u != NULL && u->node->op->id == QDQ_OP_ConvTranspose))
		return -1;
	return c->old.axis;
}

/* Where one scale is too coarse: the axis along which there may be others, or -1. */
static int64_t finer_axis(const struct recoding *c)
{
	const qdq_use *u = contraction(c->dq);

	if (u == NULL || !c->old.per_tensor || c->dq->graph->model->opset < 13 ||
	    u->node->op->id == QDQ_OP_ConvTranspose)
		return -1;
	return qdq_free_axis(u->node, qdq_use_index(u));
}

static void measure(qdq_run *r, struct recoding *c)
{
	c->channels = c->axis >= 0 ? (uint64_t)c->codes->dims[c->axis] : 1;
	c->stride = stride_of(c->codes, c->axis);
	c->old_stride = stride_of(c->codes, c->old.per_tensor ? -1 : c->old.axis);
	c->least = qdq_array(&r->scratch, int64_t, c->channels);
	c->greatest = qdq_array(&r->scratch, int64_t, c->channels);
	c->step = qdq_array(&r->scratch, double, c->channels);
	c->scale = qdq_array(&r->scratch, double, c->channels);
	c->kept = qdq_array(&r->scratch, bool, c->channels);
	for (uint64_t k = 0; k < c->channels; k++)
		c->kept[k] = true;
	for (uint64_t i = 0; i < c->codes->count; i++) {
		uint64_t k = new_channel(c, i);
		double s = qdq_params_scale(&c->old, old_channel(c, i));
		int64_t d = s < 0 ? -difference(c, i) : difference(c, i);

		c->kept[k] = c->kept[k] && (c->step[k] == 0 || c->step[k] == fabs(s));
		c->step[k] = fmax(c->step[k], fabs(s));
		c->least[k] = d < c->least[k] ? d : c->least[k];
		c->greatest[k] = d > c->greatest[k] ? d : c->greatest[k];
	}
}

/* The new scale of each channel: the old one where codes need only shift. */
static void choose_scales(struct recoding *c)
{
	double *reach = c->scale;

	for (uint64_t i = 0; i < c->codes->count; i++) {
		double x = (double)difference(c, i) * qdq_params_scale(&c->old, old_channel(c, i));

		reach[new_channel(c, i)] = fmax(reach[new_channel(c, i)], x < 0 ? -x / 128 : x / 127);
	}
	for (uint64_t k = 0; k < c->channels; k++) {
		c->kept[k] = c->kept[k] && c->step[k] > 0 && c->least[k] >= -128 && c->greatest[k] <= 127;
		if (c->kept[k])
			c->scale[k] = c->step[k];
		else
			c->scale[k] = reach[k] > 0 ? qdq_round_up(c->old.real, reach[k]) : 1;
	}
}

/* ---- codes, and how far they are from what they were ---- */

static double as_real(qdq_type type, double x)
{
	if (type == QDQ_TYPE_FLOAT)
		return (double)(float)x;
	if (type == QDQ_TYPE_FLOAT16)
		return (double)qdq_f16_to_f32(qdq_f32_to_f16((float)x));
	return type == QDQ_TYPE_BFLOAT16 ? (double)qdq_bf16_to_f32(qdq_f32_to_bf16((float)x)) : x;
}

static void recode(struct recoding *c)
{
	int8_t *out = (int8_t *)(uintptr_t)c->made->data;

	c->exactness = QDQ_EXACT;
	for (uint64_t i = 0; i < c->codes->count; i++) {
		uint64_t k = new_channel(c, i);
		double s = qdq_params_scale(&c->old, old_channel(c, i));
		double q = (double)difference(c, i) * (s < 0 ? -1 : 1);
		double was, is;

		if (!c->kept[k])
			q = fmin(127, fmax(-128, qdq_round_half_even(q * fabs(s) / c->scale[k])));
		out[i] = (int8_t)q;
		was = as_real(c->old.real, (double)difference(c, i) * s);
		is = as_real(c->old.real, (double)out[i] * c->scale[k]);
		if (was != is)
			c->exactness = QDQ_BOUNDED;
		else if (signbit(was) != signbit(is) && c->exactness == QDQ_EXACT)
			c->exactness = QDQ_STEP1;
		c->bound = fmax(c->bound, fabs(was - is));
	}
}

/* ---- in the graph ---- */

static qdq_value *constant(qdq_run *r, const qdq_node *dq, const char *what, const qdq_tensor *t)
{
	const char *hint = qdq_format(&r->scratch, "%s_%s", dq->outputs[0]->name, what);

	return qdq_graph_add_constant(dq->graph, qdq_unique_name(&r->model->names, hint), t);
}

static void apply(qdq_run *r, const struct recoding *c)
{
	int64_t dims = (int64_t)c->channels;
	int32_t rank = c->axis >= 0 ? 1 : 0;
	qdq_tensor *scales = qdq_tensor_new(r->model, c->old.real, rank, &dims);
	qdq_tensor *zeros = qdq_tensor_new(r->model, QDQ_TYPE_INT8, rank, &dims);

	for (uint64_t k = 0; k < c->channels; k++)
		qdq_tensor_put(scales, k, c->scale[k]);
	qdq_node_resize_inputs(c->dq, 3);
	qdq_use_set(&c->dq->inputs[0], constant(r, c->dq, "codes", c->made));
	qdq_use_set(&c->dq->inputs[1], constant(r, c->dq, "scale", scales));
	qdq_use_set(&c->dq->inputs[2], constant(r, c->dq, "zero_point", zeros));
	if (c->axis >= 0)
		qdq_attr_set_int(c->dq, "axis", c->axis);
	else
		qdq_attr_remove(c->dq, "axis");
}

/* Has the ConvTranspose that reads this one scale? */
static bool scales_allowed(const qdq_node *dq, const qdq_params *p)
{
	const qdq_use *u = contraction(dq);

	return p->per_tensor || u == NULL || u->node->op->id != QDQ_OP_ConvTranspose;
}

static void make_symmetric(qdq_run *r, qdq_node *dq, const qdq_tensor *codes, const qdq_params *p)
{
	struct recoding c = {.dq = dq, .old = *p, .codes = codes};
	qdq_reason why = {0};

	if (qdq_tensorrt_takes(p, true, &why)) {
		if (scales_allowed(dq, p))
			return;
		why = (qdq_reason){.code = QDQ_REASON_SEVERAL_SCALES};
	}
	why.operand = dq->outputs[0]->name;
	why.cause = qdq_node_label(dq);
	if (!qdq_symmetric_possible(p) || codes->count == 0) {
		qdq_declined(r, "tensorrt_constants.symmetric", dq->origin, &why);
		return;
	}
	c.axis = given_axis(&c);
	measure(r, &c);
	choose_scales(&c);
	if (!c.kept[0] && finer_axis(&c) >= 0) {
		c.axis = finer_axis(&c);
		measure(r, &c);
		choose_scales(&c);
	}
	c.made = qdq_tensor_new(r->model, QDQ_TYPE_INT8, codes->rank, codes->dims);
	recode(&c);
	if (!qdq_allowed(r, c.exactness)) {
		qdq_declined(r, "tensorrt_constants.symmetric", dq->origin, &why);
		return;
	}
	apply(r, &c);
	if (c.exactness == QDQ_BOUNDED)
		qdq_applied_within(r, "tensorrt_constants.symmetric", c.bound * QDQ_SLACK, dq->outputs[0], dq->origin);
	else
		qdq_applied(r, "tensorrt_constants.symmetric", c.exactness, 0, dq->origin);
}

static void visit(qdq_run *r, qdq_node *dq)
{
	const qdq_origin *origin = dq->origin;
	const qdq_tensor *codes = qdq_in(dq, 0) != NULL ? qdq_value_constant(qdq_in(dq, 0)) : NULL;
	qdq_params p;

	if (codes == NULL || qdq_out(dq, 0) == NULL || !qdq_params_of(dq, &p))
		return;
	if (codes->type != QDQ_TYPE_INT32 && codes->rank != 0)
		make_symmetric(r, dq, codes, &p);
	else if (p.constant && qdq_fold_dequantizer(r, dq))
		qdq_applied(r, "tensorrt_constants.float", QDQ_EXACT, 0, origin);
}

static void run(qdq_run *r)
{
	qdq_node *next;

	if (!qdq_for_tensorrt(r) || !qdq_model_has(r->model, QDQ_OP_DequantizeLinear))
		return;
	for (qdq_node *n = r->graph->first; n != NULL; n = next) {
		next = qdq_after(n);
		if (qdq_is_dequantizer(n))
			visit(r, n);
	}
}

static const qdq_rule rules[] = {
    {.name = "tensorrt_constants.float",
     .exactness = QDQ_EXACT,
     .text = "an int32 bias, or the code of a single number, becomes the float that it means"},
    {.name = "tensorrt_constants.symmetric",
     .exactness = QDQ_BOUNDED,
     .text = "constant codes become int8 with zero points 0 and scales above 0; exact where they only shift"},
};

const qdq_pass qdq_pass_tensorrt_constants = {"tensorrt_constants",
					      "for TensorRT: constants as symmetric int8, biases as floats",
					      rules,
					      QDQ_COUNTOF(rules),
					      run,
					      false};

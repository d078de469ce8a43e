/* SPDX-License-Identifier: Apache-2.0
 *
 * conv_phases -- a transposed convolution as a convolution of all its phases and a move of codes
 *
 *   x -- DQ --.                                x -- DQ --.
 *   w -- DQ --+-- ConvTranspose -- Q -- y  =>  v -- DQ --+-- Conv -- Q -- DepthToSpace -- Slice -- y
 *   b --------'                                c --------'
 *
 *   With stride s, output row s q + r - pad is the sum over taps j of x[q - j] w[r + s j]: for each of the s phases r a
 *   convolution with a kernel of ceil(k / s) taps, upside down. The phases of both axes are channels of one convolution;
 *   taps beyond the kernel are 0.
 *
 *   When    the target is ort-cpu, which has no integer kernel for ConvTranspose. Two axes with one stride up to 64, one
 *           group, no dilation, no automatic padding; codes on both sides (contract.c), a constant weight, a constant bias
 *           or none; a Q alone reads it
 *   Keeps   the name of y and of the operator
 *   Exact   STEP1: the same products are summed in another order
 *   Needs   types                           Breaks  shapes (inferred again)
 *   After   clamp_codes                     Before  bias_codes, fuse
 *   Tests   test/golden/conv_phases/        Ref     Shi et al., Real-time super-resolution, section 3.2
 */
#include "moves.h"

#define SLICE_SINCE 10 /* that takes its numbers as inputs */
#define MOST_STRIDE 64 /* its square multiplies the channels */

typedef struct phases {
	qdq_run *r;
	qdq_node *n, *q;
	qdq_params w;
	const qdq_tensor *weight; /* [inputs, outputs, height, width] */
	int64_t stride, kernel[2], taps[2], before[2], behind[2];
} phases;

/* ---- does it apply? ---- */

static bool is_given(const qdq_node *n, const char *name)
{
	return qdq_attr_find(n, name) != NULL;
}

/* Padding as inference takes it: none beyond 31 bits. */
static bool is_padding(int64_t n)
{
	return n >= 0 && n <= INT32_MAX;
}

/* What the phases have too much at both ends goes: `behind` counts from the end. */
static bool measure(phases *p)
{
	const qdq_node *n = p->n;
	int64_t behind, more;

	p->stride = qdq_attr_int_at(n, "strides", 0, 1);
	if (qdq_attr_int(n, "group", 1) != 1 || !qdq_attr_all_are(n, "dilations", 1) ||
	    !qdq_attr_all_are(n, "strides", p->stride) || p->stride < 2 || p->stride > MOST_STRIDE ||
	    !qdq_attr_string_is(n, "auto_pad", "NOTSET", "NOTSET") || is_given(n, "output_shape"))
		return false;
	for (size_t i = 0; i < 2; i++) {
		p->kernel[i] = p->weight->dims[2 + i];
		p->taps[i] = (p->kernel[i] + p->stride - 1) / p->stride;
		p->before[i] = qdq_attr_int_at(n, "pads", i, 0);
		behind = qdq_attr_int_at(n, "pads", 2 + i, 0);
		more = qdq_attr_int_at(n, "output_padding", i, 0);
		if (!is_padding(p->before[i]) || !is_padding(behind) || !is_padding(more))
			return false;
		p->behind[i] = p->stride * p->taps[i] - p->kernel[i] + behind - more;
		if (p->behind[i] < 0)
			return false;
	}
	return true;
}

/* A list of one number for each output channel, or of one for all. */
static bool is_list(const qdq_value *v, int64_t channels)
{
	const qdq_tensor *t = qdq_value_constant(v);

	return t != NULL && (t->count == 1 || (t->rank == 1 && t->dims[0] == channels));
}

static bool bias_fits(const phases *p)
{
	const qdq_value *b = qdq_in(p->n, 2);
	const qdq_node *dq = b != NULL ? b->def : NULL;

	if (b == NULL || dq == NULL)
		return b == NULL || (qdq_value_constant(b) != NULL && b->shape->rank == 1);
	if (!qdq_is(dq, QDQ_OP_DequantizeLinear) || qdq_value_constant(qdq_in(dq, 0)) == NULL ||
	    qdq_in(dq, 0)->shape->rank != 1)
		return false;
	for (uint32_t i = 1; i < dq->n_inputs; i++)
		if (qdq_in(dq, i) != NULL && !is_list(qdq_in(dq, i), p->weight->dims[1]))
			return false;
	return true;
}

static bool check(phases *p)
{
	qdq_node *n = p->n;
	int opset = p->r->model->opset;
	const qdq_use *u = qdq_only_use(n->outputs[0]);
	qdq_params y;
	qdq_reason why;

	if (u == NULL || !qdq_is_quantizer(u->node) || qdq_use_index(u) != 0 || u->node->graph != n->graph ||
	    !qdq_contract_int8(n, &why) || !qdq_params_of(u->node, &y) || !qdq_params_movable(&y, &why) ||
	    !y.per_tensor || !qdq_params_of(qdq_in(n, 1)->def, &p->w) || !qdq_one_zero(&p->w))
		return false;
	p->q = u->node;
	p->weight = qdq_value_constant(qdq_in(qdq_in(n, 1)->def, 0));
	return p->weight != NULL && p->weight->rank == 4 && opset >= SLICE_SINCE &&
	       qdq_op_takes_codes(&qdq_ops[QDQ_OP_DepthToSpace], opset, y.codes) &&
	       qdq_op_takes_codes(&qdq_ops[QDQ_OP_Slice], opset, y.codes) && bias_fits(p) && measure(p);
}

/* ---- constants ---- */

static qdq_value *constant(phases *p, const qdq_value *from, qdq_tensor *t)
{
	const char *hint = qdq_format(&p->r->scratch, "%s_phases", from->name);

	return qdq_graph_add_constant(p->r->graph, qdq_unique_name(&p->r->model->names, hint), t);
}

/* A list of one element for each output channel, once for each phase. */
static qdq_value *repeated(phases *p, qdq_value *v)
{
	const qdq_tensor *from = qdq_value_constant(v);
	int64_t times = p->stride * p->stride, count = times * (int64_t)from->count;
	qdq_tensor *to;

	to = qdq_tensor_new(p->r->model, from->type, 1, &count);
	for (int64_t i = 0; i < times; i++)
		memcpy((char *)(uintptr_t)to->data + (uint64_t)i * from->size, from->data, (size_t)from->size);
	return constant(p, v, to);
}

/* So too with scales and zero points, but for one that is all channels'. */
static qdq_value *repeated_parameter(phases *p, qdq_value *v)
{
	return v == NULL || qdq_value_constant(v)->count == 1 ? v : repeated(p, v);
}

/* Row `phase`, tap `t` of an axis in the kernel; its length or more: it is 0. */
static int64_t place(const phases *p, size_t axis, int64_t phase, int64_t t)
{
	return phase + p->stride * (p->taps[axis] - 1 - t);
}

/* [phases * outputs, inputs, taps, taps] */
static qdq_tensor *phase_weight(const phases *p)
{
	int64_t inputs = p->weight->dims[0], outputs = p->weight->dims[1], s = p->stride;
	int64_t dims[4] = {s * s * outputs, inputs, p->taps[0], p->taps[1]};
	qdq_tensor *t = qdq_tensor_new(p->r->model, p->weight->type, 4, dims);
	const uint8_t *from = p->weight->data;
	uint8_t *to = (void *)(uintptr_t)t->data;
	uint8_t zero = (uint8_t)(p->w.zero != NULL ? qdq_params_zero(&p->w, 0) : 0);

	for (int64_t channel = 0; channel < dims[0]; channel++)
		for (int64_t i = 0; i < inputs; i++)
			for (int64_t a = 0; a < dims[2]; a++)
				for (int64_t b = 0; b < dims[3]; b++) {
					int64_t row = place(p, 0, channel / outputs / s, a);
					int64_t column = place(p, 1, channel / outputs % s, b);
					int64_t at = (i * outputs + channel % outputs) * p->kernel[0] + row;

					*to++ = row < p->kernel[0] && column < p->kernel[1]
						    ? from[at * p->kernel[1] + column]
						    : zero;
				}
	return t;
}

/* ---- changing ---- */

/* A DQ like dq, of these codes; its scales run along `axis` where there are several. */
static qdq_value *dequantize(phases *p, const qdq_node *dq, qdq_value *codes, int64_t axis)
{
	qdq_params params;

	qdq_params_of(dq, &params);
	params.scale = repeated_parameter(p, params.scale);
	params.zero = repeated_parameter(p, params.zero);
	params.axis = axis;
	return qdq_dequantize_insert(p->r->graph, p->n, codes, &params, codes->name, dq->origin)->outputs[0];
}

static void write_operands(phases *p)
{
	qdq_node *n = p->n;
	qdq_node *weight = qdq_in(n, 1)->def, *bias = qdq_in(n, 2) != NULL ? qdq_in(n, 2)->def : NULL;

	qdq_use_set(&n->inputs[1], dequantize(p, weight, constant(p, qdq_in(weight, 0), phase_weight(p)), 0));
	if (bias != NULL)
		qdq_use_set(&n->inputs[2], dequantize(p, bias, repeated(p, qdq_in(bias, 0)), 0));
	else if (qdq_in(n, 2) != NULL)
		qdq_use_set(&n->inputs[2], repeated(p, qdq_in(n, 2)));
	if (qdq_node_unread(weight))
		qdq_node_remove(weight);
	if (bias != NULL && qdq_node_unread(bias))
		qdq_node_remove(bias);
}

static void write_conv(phases *p)
{
	qdq_node *n = p->n;
	qdq_model *m = p->r->model;
	int64_t pads[4] = {p->taps[0] - 1, p->taps[1] - 1, p->taps[0] - 1, p->taps[1] - 1};
	qdq_value *sums = qdq_value_create(p->r->graph, qdq_unique_name(&m->names, n->outputs[0]->name));

	write_operands(p);
	qdq_node_set_op(n, QDQ_OP_Conv);
	qdq_attr_remove(n, "output_padding");
	qdq_attr_set_ints(n, "strides", (int64_t[]){1, 1}, 2);
	qdq_attr_set_ints(n, "kernel_shape", p->taps, 2);
	qdq_attr_set_ints(n, "pads", pads, 4);
	qdq_value_set_type(sums, QDQ_TYPE_FLOAT, NULL);
	qdq_use_set(&p->q->inputs[0], sums);
	n->outputs[0]->def = NULL;
	n->outputs[0] = sums;
	sums->def = n;
}

static qdq_value *numbers(phases *p, const int64_t *list)
{
	int64_t two = 2;
	qdq_tensor *t = qdq_tensor_new(p->r->model, QDQ_TYPE_INT64, 1, &two);

	memcpy((void *)(uintptr_t)t->data, list, 2 * sizeof *list);
	return constant(p, p->q->outputs[0], t);
}

static qdq_node *crop(phases *p, qdq_value *codes, qdq_node *before)
{
	int64_t ends[2];

	for (size_t i = 0; i < 2; i++)
		ends[i] = p->behind[i] != 0 ? -p->behind[i] : INT64_MAX;
	return qdq_node_insert(
	    p->r->graph, before, QDQ_OP_Slice, codes->name, 4,
	    (qdq_value *[]){codes, numbers(p, p->before), numbers(p, ends), numbers(p, (int64_t[]){2, 3})}, 1,
	    p->n->origin);
}

/* Between q and what it wrote. */
static void write_moves(phases *p)
{
	qdq_value *y = p->q->outputs[0];
	qdq_node *before = p->q->next, *last;
	qdq_value *codes = qdq_value_create(p->r->graph, qdq_unique_name(&p->r->model->names, y->name));

	qdq_value_set_type(codes, y->type, NULL);
	last = qdq_node_insert(p->r->graph, before, QDQ_OP_DepthToSpace, y->name, 1, (qdq_value *[]){codes}, 1,
			       p->n->origin);
	qdq_attr_set_int(last, "blocksize", p->stride);
	qdq_value_set_type(last->outputs[0], y->type, NULL);
	if (p->before[0] != 0 || p->before[1] != 0 || p->behind[0] != 0 || p->behind[1] != 0)
		last = crop(p, last->outputs[0], before);
	p->q->outputs[0] = codes;
	codes->def = p->q;
	y->def = NULL;
	qdq_value_redefine(y, last, 0);
}

static void look_at(qdq_run *r, qdq_node *n)
{
	phases p = {.r = r, .n = n};
	qdq_reason why = {.code = QDQ_REASON_NOT_EXACT, .operand = n->outputs[0]->name};

	if (!check(&p))
		return;
	if (!qdq_allowed(r, QDQ_STEP1)) {
		qdq_declined(r, "conv_phases.conv", n->origin, &why);
		return;
	}
	write_conv(&p);
	write_moves(&p);
	qdq_applied(r, "conv_phases.conv", QDQ_STEP1, 0, n->origin);
}

static void run(qdq_run *r)
{
	if (r->options->target != QDQ_TARGET_ORT_CPU || !qdq_model_has(r->model, QDQ_OP_ConvTranspose))
		return;
	for (qdq_node *n = r->graph->first; n != NULL; n = qdq_after(n))
		if (qdq_is(n, QDQ_OP_ConvTranspose) && qdq_out(n, 0) != NULL && !qdq_kept_float(n))
			look_at(r, n);
}

static const qdq_rule rules[] = {
    {.name = "conv_phases.conv",
     .exactness = QDQ_STEP1,
     .text = "ConvTranspose becomes a Conv of its phases, whose codes DepthToSpace puts in place"},
};

const qdq_pass qdq_pass_conv_phases = {
    "conv_phases", "transposed convolutions as convolutions (target ort-cpu)", rules, QDQ_COUNTOF(rules), run, true};

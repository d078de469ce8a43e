/* SPDX-License-Identifier: Apache-2.0
 *
 * bias_codes -- float biases as int32 at input scale times weight scale, for kernels that add them to the sum
 *
 *   x -- DQ(s) --.                          x -- DQ(s) --------------.
 *   w -- DQ(t) --+-- Conv -- Q -- y    =>   w -- DQ(t) --------------+-- Conv -- Q -- y
 *   b -----------'                          round(b/st) -- DQ(st) ---'
 *
 *   When    the target is ort-cpu: its integer kernels know no other bias. Conv or Gemm that can run in INT8 (contract.c),
 *           read by a Q alone; b is a constant of one number per output channel, float or int32 at another scale; the
 *           sum with it fits int32, and rounding it moves no output by more than half a step of that Q. Whoever asks
 *           for the shape of a product that is quantized asks its codes
 *   Keeps   the name of the bias
 *   Exact   BOUNDED by st/2, as a part of the target: no --allow=bounded is asked for
 *   Needs   shapes                          Breaks  nothing
 *   After   conv_phases                     Before  attention, fuse
 *   Tests   test/golden/bias_codes/         Ref     ONNX QLinearConv, input B
 */
#include <math.h>

#include "moves.h"

typedef struct bias {
	qdq_params x, w, y;
	const double *real;
	uint64_t count; /* of output channels */
	float *scales;	/* as many as w has */
	int32_t *codes;
	double bound; /* greatest change of an output */
} bias;

/* Index of the scale of channel c. */
static uint64_t at(const bias *b, uint64_t c)
{
	return b->w.count == 1 ? 0 : c;
}

/* Whoever asks for the shape of v may ask its codes: then the Q reads v alone. */
static void ask_codes(qdq_run *r, const qdq_value *v)
{
	const qdq_node *q = NULL;
	qdq_use *next;

	for (const qdq_use *u = v->uses; u != NULL; u = u->next)
		if (qdq_is_quantizer(u->node) && qdq_use_index(u) == 0 && u->node->graph == v->graph)
			q = u->node;
	for (qdq_use *u = v->uses; u != NULL && q != NULL; u = next) {
		next = u->next;
		if (u->node->op->cls != QDQ_CLASS_SHAPE || u->node->graph != v->graph)
			continue;
		qdq_use_set(u, q->outputs[0]);
		qdq_changed(r);
	}
}

/* The Q behind, if nothing else reads the result. */
static bool quantized(const qdq_node *n, qdq_params *y)
{
	const qdq_use *u = qdq_only_use(n->outputs[0]);
	qdq_reason why;

	return u != NULL && qdq_is_quantizer(u->node) && qdq_use_index(u) == 0 && qdq_params_of(u->node, y) &&
	       qdq_params_movable(y, &why) && y->positive && y->per_tensor;
}

static bool adds_plainly(const qdq_node *n)
{
	return n->op->id == QDQ_OP_Conv ||
	       (n->op->id == QDQ_OP_Gemm && qdq_attr_float(n, "alpha", 1) == 1 && qdq_attr_float(n, "beta", 1) == 1);
}

/* One constant for each output channel, as float or as int32 codes. */
static bool read_bias(qdq_run *r, const qdq_value *v, bias *b)
{
	const qdq_node *dq = v->def;
	const qdq_tensor *t = qdq_value_constant(dq != NULL ? qdq_in(dq, 0) : v);
	qdq_params p = {.count = 1};
	double *real;
	int64_t code;

	if (t == NULL || t->rank != 1 || t->count == 0 ||
	    (dq == NULL ? t->type != QDQ_TYPE_FLOAT
			: !qdq_is_dequantizer(dq) || !qdq_params_of(dq, &p) || !p.constant || p.block != 0 ||
			      p.real != QDQ_TYPE_FLOAT || !qdq_centred(&p) || (p.count != 1 && p.count != t->count)))
		return false;
	real = qdq_array(&r->scratch, double, t->count);
	for (uint64_t i = 0; i < t->count; i++) {
		if (dq == NULL ? !qdq_tensor_real(t, i, &real[i]) : !qdq_tensor_int(t, i, &code))
			return false;
		if (dq != NULL) /* as DequantizeLinear rounds */
			real[i] = (double)((float)code * (float)qdq_params_scale(&p, p.count == 1 ? 0 : i));
	}
	b->real = real;
	b->count = t->count;
	return true;
}

static bool out_of_range(const qdq_node *n, qdq_reason *why)
{
	*why = (qdq_reason){.code = QDQ_REASON_BIAS_RANGE, .operand = qdq_in(n, 2)->name};
	return false;
}

/* The codes, and whether they are good ones. */
static bool compute(qdq_run *r, const qdq_node *n, bias *b, qdq_reason *why)
{
	int64_t most = 0;

	b->codes = qdq_array(&r->scratch, int32_t, b->count);
	b->scales = qdq_array(&r->scratch, float, b->w.count);
	for (uint64_t i = 0; i < b->w.count; i++)
		b->scales[i] = (float)qdq_params_scale(&b->x, 0) * (float)qdq_params_scale(&b->w, i);
	for (uint64_t c = 0; c < b->count; c++) {
		double scale = (double)b->scales[at(b, c)];
		double code = qdq_round_half_even(b->real[c] / scale);

		if (!(scale > 0) || !isfinite(scale) || !(fabs(code) < (double)INT32_MAX))
			return out_of_range(n, why);
		b->codes[c] = (int32_t)code;
		b->bound = fmax(b->bound, fabs(b->real[c] - code * scale));
		most = (int64_t)fmax((double)most, fabs(code));
	}
	if (b->bound > qdq_params_scale(&b->y, 0) / 2 || !qdq_contract_within(n, INT32_MAX - most, why))
		return out_of_range(n, why);
	return true;
}

static void write(qdq_run *r, qdq_node *n, const bias *b)
{
	qdq_model *m = r->model;
	qdq_value *old = qdq_in(n, 2);
	int64_t channels = (int64_t)b->count, scales = (int64_t)b->w.count;
	qdq_tensor *codes = qdq_tensor_new(m, QDQ_TYPE_INT32, 1, &channels);
	qdq_tensor *scale = qdq_tensor_new(m, QDQ_TYPE_FLOAT, scales == 1 ? 0 : 1, &scales);
	qdq_params p = {.codes = QDQ_TYPE_INT32, .real = QDQ_TYPE_FLOAT, .count = b->w.count, .axis = 0};
	qdq_value *q;

	memcpy((void *)(uintptr_t)codes->data, b->codes, (size_t)codes->size);
	memcpy((void *)(uintptr_t)scale->data, b->scales, (size_t)scale->size);
	q = qdq_graph_add_constant(r->graph, qdq_unique_name(&m->names, qdq_format(&r->scratch, "%s_codes", old->name)),
				   codes);
	p.per_tensor = scales == 1;
	p.scale = qdq_graph_add_constant(
	    r->graph, qdq_unique_name(&m->names, qdq_format(&r->scratch, "%s_scale", old->name)), scale);
	qdq_use_set(&n->inputs[2], qdq_dequantize_insert(r->graph, n, q, &p, old->name, n->origin)->outputs[0]);
}

static void look_at(qdq_run *r, qdq_node *n)
{
	qdq_node *dq = qdq_in(n, 2) != NULL ? qdq_in(n, 2)->def : NULL;
	bias b = {0};
	qdq_reason why = {0};

	if (qdq_in(n, 2) == NULL || !quantized(n, &b.y) || !adds_plainly(n) || !read_bias(r, qdq_in(n, 2), &b))
		return;
	if (!qdq_contract_int8(n, &why) || !qdq_params_of(qdq_in(n, 0)->def, &b.x) ||
	    !qdq_params_of(qdq_in(n, 1)->def, &b.w) || !b.x.per_tensor || (dq != NULL && qdq_bias_scale_fits(n)))
		return;
	if ((b.w.count != 1 && b.w.count != b.count) || (b.w.count != 1 && r->model->opset < 13))
		return;
	if (r->options->exact)
		why = (qdq_reason){.code = QDQ_REASON_NOT_EXACT, .operand = qdq_in(n, 2)->name};
	if (r->options->exact || !compute(r, n, &b, &why)) {
		qdq_declined(r, "bias_codes.int32", n->origin, &why);
		return;
	}
	write(r, n, &b);
	if (dq != NULL && qdq_node_unread(dq))
		qdq_node_remove(dq);
	qdq_applied_within(r, "bias_codes.int32", b.bound, n->outputs[0], n->origin);
}

static void run(qdq_run *r)
{
	if (r->options->target != QDQ_TARGET_ORT_CPU)
		return;
	for (qdq_node *n = r->graph->first; n != NULL; n = qdq_after(n))
		if (n->op->cls == QDQ_CLASS_CONTRACT && qdq_out(n, 0) != NULL)
			ask_codes(r, n->outputs[0]);
	if (r->changes != 0 && !qdq_graph_sort(r->graph)) /* a Shape may have stood before the Q */
		qdq_fail(r->ctx, QDQ_EMODEL, &(qdq_where){.file = r->model->path}, "a shape depends on itself");
	for (qdq_node *n = r->graph->first; n != NULL; n = qdq_after(n))
		if (n->op->cls == QDQ_CLASS_CONTRACT && qdq_out(n, 0) != NULL && !qdq_kept_float(n))
			look_at(r, n);
}

static const qdq_rule rules[] = {
    {.name = "bias_codes.int32",
     .exactness = QDQ_BOUNDED,
     .text = "a float bias becomes int32 at input scale times weight scale"},
};

const qdq_pass qdq_pass_bias_codes = {
    "bias_codes", "float biases as int32 (target ort-cpu)", rules, QDQ_COUNTOF(rules), run, false};

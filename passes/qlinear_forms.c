/* SPDX-License-Identifier: Apache-2.0
 *
 * qlinear_forms.c -- integer forms as data, and what their attributes are in the float operator
 *
 * The operators of com.microsoft follow those of ai.onnx but for a few attributes: channels_last, Softmax's opset.
 */
#include <math.h>

#include "qlinear_forms.h"

static bool leave(qdq_reason *why, qdq_reason_code code, const qdq_value *operand, const char *detail)
{
	*why = (qdq_reason){.code = code, .operand = operand != NULL ? operand->name : NULL, .detail = detail};
	return false;
}

/* The axis counted from the front. False: that needs a rank that is not known, or it is out of range. */
static bool from_front(const qdq_value *x, int64_t axis, int64_t *out)
{
	*out = axis;
	if (x->shape == NULL)
		return axis >= 0;
	*out += axis < 0 ? x->shape->rank : 0;
	return *out >= 0 && *out < x->shape->rank;
}

/* ---- channels last ---- */

static bool channels_first(const qdq_node *n, qdq_reason *why)
{
	return qdq_attr_int(n, "channels_last", 0) == 0 || leave(why, QDQ_REASON_NONE, NULL, NULL);
}

static void drop_channels_last(qdq_run *r, qdq_node *n)
{
	(void)r;
	qdq_attr_remove(n, "channels_last");
}

/* ---- Gemm ---- */

/* C is optional since opset 11. */
static bool has_c(const qdq_node *n, qdq_reason *why)
{
	return qdq_in(n, 6) != NULL || n->graph->model->opset >= 11 ||
	       leave(why, QDQ_REASON_OPSET, NULL, "a Gemm without C");
}

/* ---- Softmax ---- */

/* Before opset 13 Softmax runs over all dimensions from axis on, and from 13 over axis alone: the same where the
 * dimensions behind axis are 1. */
static bool softmax_axis(const qdq_node *n, qdq_reason *why)
{
	const qdq_value *x = qdq_in(n, 0);
	int opset = n->graph->model->opset;
	int64_t axis = qdq_attr_int(n, "axis", -1);
	bool known = from_front(x, axis, &axis);

	if (opset < 11 && !known)
		return leave(why, QDQ_REASON_SHAPE_UNKNOWN, x, NULL);
	if ((opset < 13) == (qdq_attr_int(n, "opset", opset) < 13))
		return true;
	if (x->shape == NULL || !known)
		return axis == -1 || leave(why, QDQ_REASON_SHAPE_UNKNOWN, x, NULL);
	for (int64_t i = axis + 1; i < x->shape->rank; i++)
		if (x->shape->dim[i] != 1)
			return leave(why, QDQ_REASON_NONE, NULL, NULL);
	return true;
}

static void write_softmax_axis(qdq_run *r, qdq_node *n)
{
	int64_t axis = qdq_attr_int(n, "axis", -1); /* the defaults differ: it is always written */

	if (r->model->opset < 11)
		from_front(qdq_in(n, 0), axis, &axis);
	qdq_attr_remove(n, "opset");
	qdq_attr_set_int(n, "axis", axis);
}

/* ---- ReduceMean ---- */

/* Negative axes since opset 11. */
static bool reduce_axes(const qdq_node *n, qdq_reason *why)
{
	size_t count;
	const int64_t *axes = qdq_attr_ints(n, "axes", &count);
	int64_t axis;

	for (size_t i = 0; i < count && n->graph->model->opset < 11; i++)
		if (!from_front(qdq_in(n, 0), axes[i], &axis))
			return leave(why, QDQ_REASON_SHAPE_UNKNOWN, qdq_in(n, 0), NULL);
	return true;
}

/* An attribute until opset 17, then an input; none of them: all axes. */
static void write_axes(qdq_run *r, qdq_node *n)
{
	qdq_model *m = r->model;
	size_t count;
	const int64_t *axes = qdq_attr_ints(n, "axes", &count);
	int64_t *own = qdq_array(&r->scratch, int64_t, count);
	int64_t dim = (int64_t)count;
	qdq_tensor *t;

	for (size_t i = 0; i < count; i++) {
		own[i] = axes[i];
		if (m->opset < 11)
			from_front(qdq_in(n, 0), axes[i], &own[i]);
	}
	qdq_attr_remove(n, "axes");
	if (count == 0)
		return;
	if (m->opset < 18) {
		qdq_attr_set_ints(n, "axes", own, count);
		return;
	}
	t = qdq_tensor_new(m, QDQ_TYPE_INT64, 1, &dim);
	memcpy((void *)(uintptr_t)t->data, own, count * sizeof *own);
	qdq_node_resize_inputs(n, 2);
	qdq_use_set(
	    &n->inputs[1],
	    qdq_graph_add_constant(
		n->graph, qdq_unique_name(&m->names, qdq_format(&r->scratch, "%s_axes", n->outputs[0]->name)), t));
}

/* ---- writing ---- */

/* The bias counts once, and so does the product: its scale is that of the codes. */
static bool plain_gemm(const qdq_node *n)
{
	return qdq_attr_float(n, "alpha", 1) == 1 && (qdq_in(n, 2) == NULL || qdq_attr_float(n, "beta", 1) == 1);
}

static void begin_gemm(qdq_run *r, qdq_node *n)
{
	(void)r;
	qdq_attr_remove(n, "beta");
}

/* Kernels window 1 to 3 dimensions, without gaps. */
static bool dense_window(const qdq_node *n)
{
	size_t count;
	const int64_t *dilations = qdq_attr_ints(n, "dilations", &count);

	for (size_t i = 0; i < count; i++)
		if (dilations[i] != 1)
			return false;
	return true;
}

static void begin_pool(qdq_run *r, qdq_node *n)
{
	(void)r;
	qdq_attr_remove(n, "dilations");
}

/* The kernel multiplies the sum by s_x / (s_y times the pixels), and refuses to run with 256 and more or less than 2^-32. */
static bool pool_factor(const qdq_node *n)
{
	const qdq_value *v = qdq_in(n, 0);
	const qdq_use *u = qdq_only_use(n->outputs[0]);
	qdq_params x, y;
	int64_t pixels = 1;
	double factor;

	if (u == NULL || !qdq_is_quantizer(u->node) || !qdq_params_of(u->node, &y) || !y.constant || !y.positive ||
	    v == NULL || !qdq_params_of(v->def, &x) || !x.constant || v->shape == NULL)
		return false;
	for (int32_t i = 2; i < v->shape->rank; i++)
		if (v->shape->dim[i] > 0 && qdq_mul_overflow(pixels, v->shape->dim[i], &pixels))
			return false;
	factor = qdq_params_scale(&x, 0) / qdq_params_scale(&y, 0);
	return pixels < 1 << 24 && factor / (double)pixels < 256 && factor / (double)pixels > 0x1p-31;
}

/* The kernel multiplies by the whole number below 1 / scale, so that should be the quotient itself. */
static bool whole_quotient(const qdq_node *n)
{
	const qdq_use *u = qdq_only_use(n->outputs[0]);
	qdq_params p;
	float quotient;

	if (u == NULL || !qdq_is_quantizer(u->node) || !qdq_params_of(u->node, &p) || !p.constant || !p.positive)
		return false;
	quotient = 1.0F / (float)qdq_params_scale(&p, 0);
	return quotient >= 1 && quotient == floorf(quotient);
}

static void begin_softmax(qdq_run *r, qdq_node *n)
{
	qdq_attr_set_int(n, "axis", qdq_attr_int(n, "axis", r->model->opset < 13 ? 1 : -1));
	qdq_attr_set_int(n, "opset", r->model->opset);
}

/* ---- the table ---- */

#define NONE QDQ_QLINEAR_NONE
#define RULE(name) "read_qlinear." name
#define NO_BIAS .bias = NONE, .real_bias = NONE
#define UNARY .count = 1, .operands = {{0, 1, 2, 0}}, .scale = 3, .zero = 4, NO_BIAS
#define BINARY .count = 2, .operands = {{0, 1, 2, 0}, {3, 4, 5, 0}}, .scale = 6, .zero = 7, NO_BIAS
#define WRITE(name, exact) .write_rule = "write_qlinear." name, .exactness = exact
#define CONV                                                                                                     \
	.count = 2, .operands = {{0, 1, 2, 0}, {3, 4, 5, QDQ_QLINEAR_FILTER}}, .scale = 6, .zero = 7, .bias = 8, \
	.real_bias = NONE, .fits = channels_first, .finish = drop_channels_last

const qdq_qlinear_form qdq_qlinear_forms[] = {
    {QDQ_OP_QLinearConv, QDQ_OP_Conv, RULE("QLinearConv"), CONV, WRITE("QLinearConv", QDQ_STEP1)},
    {QDQ_OP_ms_QLinearConv, QDQ_OP_Conv, RULE("QLinearConv"), CONV},
    {QDQ_OP_QLinearMatMul, QDQ_OP_MatMul, RULE("QLinearMatMul"), .count = 2,
     .operands = {{0, 1, 2, 0}, {3, 4, 5, QDQ_QLINEAR_COLUMN}}, .scale = 6, .zero = 7, NO_BIAS,
     WRITE("QLinearMatMul", QDQ_STEP1), .scales = true},
    {QDQ_OP_ms_QGemm, QDQ_OP_Gemm, RULE("QGemm"), .count = 2, .operands = {{0, 1, 2, 0}, {3, 4, 5, QDQ_QLINEAR_COLUMN}},
     .scale = 7, .zero = 8, .float_output = true, .bias = 6, .real_bias = NONE, .fits = has_c,
     WRITE("QGemm", QDQ_STEP1), .writes = plain_gemm, .begin = begin_gemm},
    {QDQ_OP_ms_MatMulIntegerToFloat, QDQ_OP_MatMul, RULE("MatMulIntegerToFloat"), .count = 2,
     .operands = {{0, 2, 4, 0}, {1, 3, 5, QDQ_QLINEAR_COLUMN}}, .scale = NONE, .zero = NONE, .float_output = true,
     .bias = NONE, .real_bias = 6, WRITE("MatMulIntegerToFloat", QDQ_STEP1), .scales = true},
    {QDQ_OP_ms_QLinearAdd, QDQ_OP_Add, RULE("QLinearAdd"), BINARY, WRITE("QLinearAdd", QDQ_STEP1)},
    {QDQ_OP_ms_QLinearMul, QDQ_OP_Mul, RULE("QLinearMul"), BINARY, WRITE("QLinearMul", QDQ_STEP1), .scales = true},
    {QDQ_OP_ms_QLinearConcat, QDQ_OP_Concat, RULE("QLinearConcat"), .count = 0, .scale = 0, .zero = 1, NO_BIAS,
     WRITE("QLinearConcat", QDQ_EXACT)},
    {QDQ_OP_ms_QLinearAveragePool, QDQ_OP_AveragePool, RULE("QLinearAveragePool"), UNARY, .fits = channels_first,
     .finish = drop_channels_last, WRITE("QLinearAveragePool", QDQ_STEP1), .writes = dense_window, .begin = begin_pool},
    {QDQ_OP_ms_QLinearGlobalAveragePool, QDQ_OP_GlobalAveragePool, RULE("QLinearGlobalAveragePool"), UNARY,
     .fits = channels_first, .finish = drop_channels_last, WRITE("QLinearGlobalAveragePool", QDQ_STEP1),
     .writes = pool_factor},
    {QDQ_OP_ms_QLinearLeakyRelu, QDQ_OP_LeakyRelu, RULE("QLinearLeakyRelu"), UNARY,
     WRITE("QLinearLeakyRelu", QDQ_EXACT)},
    {QDQ_OP_ms_QLinearSigmoid, QDQ_OP_Sigmoid, RULE("QLinearSigmoid"), UNARY, WRITE("QLinearSigmoid", QDQ_STEP1)},
    {QDQ_OP_ms_QLinearSoftmax, QDQ_OP_Softmax, RULE("QLinearSoftmax"), UNARY, .fits = softmax_axis,
     .finish = write_softmax_axis, WRITE("QLinearSoftmax", QDQ_STEP1), .writes = whole_quotient,
     .begin = begin_softmax},
    {QDQ_OP_ms_QLinearWhere, QDQ_OP_Where, RULE("QLinearWhere"), .plain = 1, .count = 2,
     .operands = {{1, 2, 3, 0}, {4, 5, 6, 0}}, .scale = 7, .zero = 8, NO_BIAS, WRITE("QLinearWhere", QDQ_EXACT)},
    {QDQ_OP_ms_QLinearReduceMean, QDQ_OP_ReduceMean, RULE("QLinearReduceMean"), UNARY, .fits = reduce_axes,
     .finish = write_axes},
};

const size_t qdq_n_qlinear_forms = QDQ_COUNTOF(qdq_qlinear_forms);

const qdq_qlinear_form *qdq_qlinear_form_of(const qdq_node *n)
{
	if (n->op->cls == QDQ_CLASS_QFORM)
		for (size_t i = 0; i < qdq_n_qlinear_forms; i++)
			if (qdq_qlinear_forms[i].id == n->op->id)
				return &qdq_qlinear_forms[i];
	return NULL;
}

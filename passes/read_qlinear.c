/* SPDX-License-Identifier: Apache-2.0
 *
 * read_qlinear -- integer forms as Q/DQ around the float operator
 *
 *   x -- QLinearConv -- y            =>   x -- DQ ---- Conv -- Q -- y
 *                                         w -- DQ ----'
 *                                         b -- DQ ---'    an int32 bias, at x_scale * w_scale
 *   a, b -- QLinearAdd -- y          =>   a -- DQ -- Add -- Q -- y
 *                                         b -- DQ --'
 *   a, b -- QGemm -- y               =>   a -- DQ -- Gemm -- y             a float y where it has no scale
 *   a, b -- MatMulIntegerToFloat -- y =>  a -- DQ -- MatMul -- Add -- y    with a float bias
 *
 *   When    scales and zero points are constants; QLinear- Conv, MatMul, Add, Mul, Concat, AveragePool,
 *           GlobalAveragePool, LeakyRelu, Sigmoid, Softmax, Where, ReduceMean, and QGemm, MatMulIntegerToFloat
 *   Keeps   names of the node and of y; all attributes that the float operator has
 *   Exact   STEP1: what the form computes is defined by the integer kernel's order of rounding
 *   Needs   types; shapes (scales per channel)      Breaks  nothing
 *   After   canonicalize, fold                      Before  sink_dq
 *   Tests   test/golden/read_qlinear/               Ref     ONNX QLinearConv; ONNX Runtime, ContribOperators.md
 */
#include "qlinear_forms.h"

/* One form on its way: first everything is checked, then the graph is changed. */
typedef struct reading {
	qdq_run *r;
	qdq_node *n;
	const qdq_qlinear_form *form;
	qdq_reason why;
	qdq_type real;	/* type of the scales */
	uint32_t count; /* operands */
	qdq_params *in; /* their parameters */
	qdq_params out, bias;
	bool has_out;
	qdq_value *bias_codes; /* NULL: none */
} reading;

/* Code NONE: it is left without a word. */
static bool refuse(reading *c, qdq_reason_code code, const qdq_value *operand, const char *detail)
{
	c->why = (qdq_reason){.code = code, .operand = operand != NULL ? operand->name : NULL, .detail = detail};
	if (operand != NULL && operand->def != NULL)
		c->why.cause = qdq_node_label(operand->def);
	return false;
}

/* ---- checking ---- */

static bool imports_microsoft(const qdq_model *m)
{
	for (size_t i = 0; i < m->opsets.count; i++)
		if (strcmp(m->opsets.items[i].domain, qdq_ops[QDQ_OP_ms_DequantizeLinear].domain) == 0)
			return true;
	return false;
}

/* Is p->axis one that has p->count elements, and can the model say so? */
static bool axis_fits(reading *c, const qdq_params *p, const qdq_value *v)
{
	const qdq_model *m = c->r->model;

	if (v->shape == NULL || (p->axis >= 0 && p->axis < v->shape->rank && v->shape->dim[p->axis] < 0))
		return refuse(c, QDQ_REASON_SHAPE_UNKNOWN, v, NULL);
	if (p->axis < 0 || p->axis >= v->shape->rank || (uint64_t)v->shape->dim[p->axis] != p->count)
		return refuse(c, QDQ_REASON_NONE, NULL, NULL);
	if (m->opset < 13 && !imports_microsoft(m))
		return refuse(c, QDQ_REASON_OPSET, v, "a scale per channel");
	return true;
}

static bool can_dequantize(const qdq_model *m, qdq_type codes)
{
	unsigned bits = qdq_type_get(codes)->bits;

	return qdq_type_is_int8(codes) || (m->opset >= 21 && (bits == 8 || bits == 16));
}

/* Parameters of v, whose codes are of type `codes`; several scales belong to `axis` (-1: there may be but one). */
static bool read_params(reading *c, const qdq_value *v, qdq_type codes, qdq_value *scale, qdq_value *zero, int64_t axis,
			qdq_params *p)
{
	const qdq_tensor *s = scale != NULL ? qdq_value_constant(scale) : NULL;
	const qdq_tensor *z = zero != NULL ? qdq_value_constant(zero) : NULL;
	uint64_t zeros;

	if (scale != NULL && (s == NULL || (zero != NULL && z == NULL)))
		return refuse(c, QDQ_REASON_SCALE_DYNAMIC, s == NULL ? scale : zero, NULL);
	if (s == NULL || (z != NULL && z->type != codes) || !can_dequantize(c->r->model, codes))
		return refuse(c, QDQ_REASON_NONE, NULL, NULL);
	zeros = z != NULL ? z->count : 1;
	*p =
	    (qdq_params){.codes = codes, .real = s->type, .scale = scale, .zero = zero, .constant = true, .axis = axis};
	p->count = s->count > zeros ? s->count : zeros;
	p->per_tensor = p->count == 1;
	c->real = c->real == QDQ_TYPE_NONE ? s->type : c->real;
	if (c->real != s->type || !qdq_type_get(s->type)->is_float || (s->count != 1 && s->count != p->count) ||
	    (zeros != 1 && zeros != p->count) || s->count == 0 || zeros == 0)
		return refuse(c, QDQ_REASON_NONE, NULL, NULL);
	return p->per_tensor || axis_fits(c, p, v);
}

static int64_t axis_of(const reading *c, qdq_qlinear_axis axis, const qdq_value *v)
{
	int64_t rank = v->shape != NULL ? v->shape->rank : 0;

	switch (axis) {
	case QDQ_QLINEAR_FILTER:
		return 0;
	case QDQ_QLINEAR_COLUMN:
		if (c->form->op == QDQ_OP_Gemm && qdq_attr_int(c->n, "transB", 0) != 0)
			return 0;
		return rank < 2 ? -1 : rank - 1;
	default:
		return -1;
	}
}

static bool read_operands(reading *c)
{
	c->count = c->form->count != 0 ? c->form->count : (c->n->n_inputs - 2) / 3;
	if (c->form->count == 0 && (c->n->n_inputs < 5 || c->n->n_inputs % 3 != 2))
		return refuse(c, QDQ_REASON_NONE, NULL, NULL);
	c->in = qdq_array(&c->r->scratch, qdq_params, c->count);
	for (uint32_t i = 0; i < c->count; i++) {
		qdq_qlinear_operand o = qdq_qlinear_operand_at(c->form, i);
		qdq_value *v = qdq_in(c->n, o.codes);

		if (v == NULL)
			return refuse(c, QDQ_REASON_NONE, NULL, NULL);
		if (!read_params(c, v, v->type, qdq_in(c->n, o.scale), qdq_in(c->n, o.zero), axis_of(c, o.axis, v),
				 &c->in[i]))
			return false;
	}
	return true;
}

static bool read_output(reading *c)
{
	const qdq_value *y = c->n->outputs[0];
	qdq_value *scale = qdq_in(c->n, c->form->scale);
	qdq_value *zero = qdq_in(c->n, c->form->zero);

	c->has_out = scale != NULL || !c->form->float_output;
	if (!c->has_out)
		return true;
	return read_params(c, y, zero != NULL ? zero->type : y->type, scale, zero, -1, &c->out);
}

/* The scales of an int32 bias are made when all is well; here, where they belong. */
static bool read_bias(reading *c)
{
	qdq_value *b = qdq_in(c->n, c->form->bias);

	if (b == NULL)
		return true;
	if (b->type != QDQ_TYPE_INT32 || c->real != QDQ_TYPE_FLOAT)
		return refuse(c, QDQ_REASON_NONE, NULL, NULL);
	c->bias_codes = b;
	c->bias = (qdq_params){.codes = QDQ_TYPE_INT32, .real = c->real, .count = c->in[1].count};
	c->bias.per_tensor = c->bias.count == 1;
	c->bias.axis = b->shape != NULL ? b->shape->rank - 1 : -1;
	return c->bias.per_tensor || axis_fits(c, &c->bias, b);
}

static bool check(reading *c)
{
	int opset = c->r->model->opset;

	if (opset < 10)
		return refuse(c, QDQ_REASON_OPSET, NULL, "DequantizeLinear");
	if (!read_operands(c) || !read_output(c) || !read_bias(c))
		return false;
	if (c->real != QDQ_TYPE_FLOAT && opset < 19)
		return refuse(c, QDQ_REASON_NONE, NULL, NULL);
	return c->form->fits == NULL || c->form->fits(c->n, &c->why);
}

/* ---- changing ---- */

/* A constant as DequantizeLinear wants it: one number, or a list of `count`. */
static qdq_value *stretch(reading *c, qdq_value *v, uint64_t count)
{
	const qdq_tensor *t = v != NULL ? qdq_value_constant(v) : NULL;
	int64_t dim = (int64_t)count;
	qdq_model *m = c->r->model;
	size_t element;
	qdq_tensor *made;

	if (t == NULL || (t->count == count && t->rank <= 1))
		return v;
	made = qdq_tensor_new(m, t->type, count == 1 ? 0 : 1, &dim);
	element = (size_t)(t->size / t->count);
	for (uint64_t i = 0; i < count; i++)
		memcpy((char *)(uintptr_t)made->data + i * element,
		       (const char *)t->data + (t->count == 1 ? 0 : i * element), element);
	return qdq_graph_add_constant(c->n->graph, qdq_unique_name(&m->names, v->name), made);
}

static void settle(reading *c, qdq_params *p)
{
	p->scale = stretch(c, p->scale, p->count);
	p->zero = stretch(c, p->zero, p->count);
}

/* Until opset 12 only com.microsoft's operator has several scales. */
static qdq_value *dequantize(reading *c, qdq_value *v, const qdq_params *p)
{
	qdq_node *dq = qdq_dequantize_insert(c->n->graph, c->n, v, p, v->name, c->n->origin);

	if (!p->per_tensor && c->r->model->opset < 13)
		qdq_node_set_op(dq, QDQ_OP_ms_DequantizeLinear);
	return dq->outputs[0];
}

/* alpha * x_scale * w_scale, multiplied as floats, as integer kernels do. */
static qdq_value *bias_scale(reading *c)
{
	qdq_model *m = c->r->model;
	uint64_t count = c->bias.count;
	int64_t dim = (int64_t)count;
	float x = (float)qdq_params_scale(&c->in[0], 0);
	qdq_tensor *t = qdq_tensor_new(m, QDQ_TYPE_FLOAT, count == 1 ? 0 : 1, &dim);
	const char *name = qdq_format(&c->r->scratch, "%s_scale", c->bias_codes->name);

	if (c->form->op == QDQ_OP_Gemm)
		x *= qdq_attr_float(c->n, "alpha", 1);
	for (uint64_t i = 0; i < count; i++) {
		float product = x * (float)qdq_params_scale(&c->in[1], i);

		memcpy((char *)(uintptr_t)t->data + i * sizeof product, &product, sizeof product);
	}
	return qdq_graph_add_constant(c->n->graph, qdq_unique_name(&m->names, name), t);
}

/* n writes a new float value; the old output waits for who defines it. */
static qdq_value *detach_output(reading *c)
{
	qdq_value *y = c->n->outputs[0];
	qdq_value *real = qdq_value_create(c->n->graph, qdq_unique_name(&c->r->model->names, y->name));

	qdq_value_set_type(real, c->real, y->shape);
	c->n->outputs[0] = real;
	real->def = c->n;
	y->def = NULL;
	return y;
}

static void write_inputs(reading *c)
{
	qdq_node *n = c->n;
	uint32_t plain = c->form->plain;
	uint32_t count = plain + c->count + (c->bias_codes != NULL);
	qdq_value **inputs = qdq_array(&c->r->scratch, qdq_value *, count);

	for (uint32_t i = 0; i < plain; i++)
		inputs[i] = qdq_in(n, i);
	for (uint32_t i = 0; i < c->count; i++) {
		settle(c, &c->in[i]);
		inputs[plain + i] = dequantize(c, qdq_in(n, qdq_qlinear_operand_at(c->form, i).codes), &c->in[i]);
	}
	if (c->bias_codes != NULL) {
		c->bias.scale = bias_scale(c);
		inputs[plain + c->count] = dequantize(c, c->bias_codes, &c->bias);
	}
	qdq_node_resize_inputs(n, count);
	for (uint32_t i = 0; i < count; i++)
		qdq_use_set(&n->inputs[i], inputs[i]);
}

static void write_output(reading *c, qdq_value *real_bias)
{
	qdq_node *n = c->n;
	qdq_graph *g = n->graph;
	qdq_value *y;
	qdq_node *last;

	if (c->has_out) {
		settle(c, &c->out);
		y = detach_output(c);
		last = qdq_quantize_insert(g, n->next, n->outputs[0], &c->out, y->name, n->origin);
		qdq_value_redefine(y, last, 0);
	} else if (real_bias != NULL) {
		y = detach_output(c);
		last = qdq_node_insert(g, n->next, QDQ_OP_Add, y->name, 2, (qdq_value *[]){n->outputs[0], real_bias}, 1,
				       n->origin);
		qdq_value_redefine(y, last, 0);
	}
}

static void read_form(qdq_run *r, qdq_node *n, const qdq_qlinear_form *form)
{
	reading c = {.r = r, .n = n, .form = form};
	qdq_value *real_bias = qdq_in(n, form->real_bias);

	if (qdq_out(n, 0) == NULL)
		return;
	if (!qdq_allowed(r, QDQ_STEP1))
		refuse(&c, QDQ_REASON_NOT_EXACT, NULL, NULL);
	if (!qdq_allowed(r, QDQ_STEP1) || !check(&c)) {
		if (c.why.code != QDQ_REASON_NONE)
			qdq_declined(r, form->rule, n->origin, &c.why);
		return;
	}
	write_inputs(&c);
	qdq_node_set_op(n, form->op);
	if (form->finish != NULL)
		form->finish(r, n);
	write_output(&c, real_bias);
	qdq_applied(r, form->rule, QDQ_STEP1, 0, n->origin);
}

static void run(qdq_run *r)
{
	qdq_node *next;

	if (!qdq_model_has_class(r->model, QDQ_CLASS_QFORM))
		return;
	for (qdq_node *n = r->graph->first; n != NULL; n = next) {
		const qdq_qlinear_form *form = qdq_qlinear_form_of(n);

		next = qdq_after(n);
		if (form != NULL)
			read_form(r, n, form);
	}
}

static const qdq_rule rules[] = {
    {.name = "read_qlinear.QLinearConv", .exactness = QDQ_STEP1, .text = "QLinearConv as Q/DQ around Conv"},
    {.name = "read_qlinear.QLinearMatMul", .exactness = QDQ_STEP1, .text = "QLinearMatMul as Q/DQ around MatMul"},
    {.name = "read_qlinear.QGemm", .exactness = QDQ_STEP1, .text = "QGemm as Q/DQ around Gemm"},
    {.name = "read_qlinear.MatMulIntegerToFloat",
     .exactness = QDQ_STEP1,
     .text = "MatMulIntegerToFloat as Q/DQ around MatMul"},
    {.name = "read_qlinear.QLinearAdd", .exactness = QDQ_STEP1, .text = "QLinearAdd as Q/DQ around Add"},
    {.name = "read_qlinear.QLinearMul", .exactness = QDQ_STEP1, .text = "QLinearMul as Q/DQ around Mul"},
    {.name = "read_qlinear.QLinearConcat", .exactness = QDQ_STEP1, .text = "QLinearConcat as Q/DQ around Concat"},
    {.name = "read_qlinear.QLinearAveragePool",
     .exactness = QDQ_STEP1,
     .text = "QLinearAveragePool as Q/DQ around AveragePool"},
    {.name = "read_qlinear.QLinearGlobalAveragePool",
     .exactness = QDQ_STEP1,
     .text = "QLinearGlobalAveragePool as Q/DQ around GlobalAveragePool"},
    {.name = "read_qlinear.QLinearLeakyRelu",
     .exactness = QDQ_STEP1,
     .text = "QLinearLeakyRelu as Q/DQ around LeakyRelu"},
    {.name = "read_qlinear.QLinearSigmoid", .exactness = QDQ_STEP1, .text = "QLinearSigmoid as Q/DQ around Sigmoid"},
    {.name = "read_qlinear.QLinearSoftmax", .exactness = QDQ_STEP1, .text = "QLinearSoftmax as Q/DQ around Softmax"},
    {.name = "read_qlinear.QLinearWhere", .exactness = QDQ_STEP1, .text = "QLinearWhere as Q/DQ around Where"},
    {.name = "read_qlinear.QLinearReduceMean",
     .exactness = QDQ_STEP1,
     .text = "QLinearReduceMean as Q/DQ around ReduceMean"},
};

const qdq_pass qdq_pass_read_qlinear = {
    "read_qlinear", "integer forms as Q/DQ around the float operator", rules, QDQ_COUNTOF(rules), run, true};

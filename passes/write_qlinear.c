/* SPDX-License-Identifier: Apache-2.0
 *
 * write_qlinear -- float operators between DQ and Q as the integer forms that ONNX Runtime runs
 *
 *   x -- DQ --+-- Conv -- Q -- y            =>   x -- QLinearConv -- y
 *   w -- DQ --'
 *   a -- DQ --+-- MatMul -- Mul(c) -- Q     =>   a -- QLinearMatMul -- y     c times the scale of a
 *   b -- DQ --'
 *   a -- DQ --+-- MatMul -- Add(bias) -- y  =>   a -- MatMulIntegerToFloat -- y
 *   b -- DQ --'
 *   x -- DQ --+-- Conv -- y                 =>   x -- ConvInteger -- Cast -- Mul -- Add -- y     see integer_float.c
 *   w -- DQ --'                               and for Conv of one pixel, and for weights that become floats;
 *                                             wide_pixels.c where x has few channels; faster_forms.c for Softmax, AveragePool, DepthToSpace
 *
 *   When    asked for (--emit qoperator): it is no part of the pipeline. Every operand is dequantized with constant
 *           parameters, per tensor, or a weight per output channel; one Q with one scale alone reads the result (or the
 *           form writes floats); all codes but those of a weight have one type; an int32 bias is at the product of the
 *           scales. Products take uint8 on their left side, which is what has kernels; Softmax is written where 1 / scale
 *           of its Q is a whole number, as the kernel rounds it down to one. The product of the scales is no float that
 *           under- or overflows
 *   Keeps   names of the node and of y; everything that has no such form, as Q/DQ
 *   Exact   STEP1: integer kernels multiply by one scale where the nodes divide and multiply; Concat, LeakyRelu and
 *           Where are EXACT: tables of DQ and Q
 *   Needs   types; shapes (scales per channel)      Breaks  nothing
 *   After   explain                         Before  nothing
 *   Tests   test/golden/write_qlinear/, test/peer/qoperator.py     Ref     ONNX Runtime, ContribOperators.md
 */
#include <math.h>

#include "moves.h"
#include "qlinear_forms.h"
#include "write_qlinear.h"

/* One operator on its way: first everything is checked, then the graph is changed. */
typedef struct writing {
	qdq_run *r;
	qdq_node *n;
	const qdq_qlinear_form *form;
	uint32_t count; /* operands */
	qdq_params *in;
	qdq_value **codes;
	qdq_node *q; /* behind it; NULL: it writes floats */
	qdq_params out;
	qdq_value *bias;   /* int32 codes, NULL: none */
	qdq_node *add;	   /* of a float bias, NULL */
	qdq_node *mul;	   /* by a constant, NULL */
	double factor;	   /* which is this */
	uint32_t n_inputs; /* of the form */
} writing;

/* ---- checking ---- */

bool qdq_integer_operand(const qdq_node *n, uint32_t input, qdq_params *p, qdq_value **codes)
{
	const qdq_value *v = qdq_in(n, input);
	qdq_reason why;

	if (v == NULL || v->def == NULL || !qdq_is_dequantizer(v->def) || v->def->graph != n->graph ||
	    !qdq_params_of(v->def, p) || !qdq_params_movable(p, &why) || !p->positive || p->real != QDQ_TYPE_FLOAT ||
	    !qdq_one_zero(p))
		return false;
	*codes = qdq_in(v->def, 0);
	return true;
}

/* The axis that the columns of a product's second operand have. */
static int64_t column_axis(const qdq_node *n, const qdq_value *b)
{
	if (n->op->id == QDQ_OP_Gemm)
		return qdq_attr_int(n, "transB", 0) != 0 ? 0 : 1;
	return b->shape != NULL && b->shape->rank == 2 ? 1 : -1;
}

static bool axis_fits(const writing *c, qdq_qlinear_axis axis, const qdq_params *p, const qdq_value *codes)
{
	if (p->per_tensor)
		return true;
	if (axis == QDQ_QLINEAR_FILTER)
		return p->axis == 0;
	return axis == QDQ_QLINEAR_COLUMN && p->axis == column_axis(c->n, codes);
}

static bool check_operands(writing *c)
{
	const qdq_qlinear_form *form = c->form;
	uint32_t given = c->n->n_inputs - form->plain;

	c->count = form->count != 0 ? form->count : given;
	if (c->n->n_inputs < form->plain + c->count)
		return false;
	c->in = qdq_array(&c->r->scratch, qdq_params, c->count);
	c->codes = qdq_array(&c->r->scratch, qdq_value *, c->count);
	for (uint32_t i = 0; i < c->count; i++) {
		qdq_qlinear_axis axis = qdq_qlinear_operand_at(form, i).axis;

		if (!qdq_integer_operand(c->n, form->plain + i, &c->in[i], &c->codes[i]) ||
		    !axis_fits(c, axis, &c->in[i], c->codes[i]))
			return false;
		if (axis == QDQ_QLINEAR_PER_TENSOR && c->in[i].codes != c->in[0].codes)
			return false;
	}
	return c->n->op->cls != QDQ_CLASS_CONTRACT || c->in[0].codes == QDQ_TYPE_UINT8;
}

/* Mul or Div by one constant > 0, which the scale of an operand can take; a sum may not have been added to it. */
static bool is_factor(const qdq_node *n, const qdq_value *v, double *factor)
{
	uint32_t other = qdq_in(n, 0) == v ? 1 : 0;
	double c;

	if ((n->op->id != QDQ_OP_Mul && n->op->id != QDQ_OP_Div) || (n->op->id == QDQ_OP_Div && other == 0) ||
	    !qdq_value_scalar(qdq_in(n, other), &c) || !(c > 0) || !isfinite(c) ||
	    qdq_in(n, other)->type != QDQ_TYPE_FLOAT || qdq_in(n, other)->shape == NULL || v->shape == NULL ||
	    qdq_in(n, other)->shape->rank > v->shape->rank)
		return false;
	*factor = n->op->id == QDQ_OP_Mul ? c : 1 / c;
	return true;
}

/* Add of a constant of one number for each column. */
static bool is_real_bias(const qdq_node *n, const qdq_value *v)
{
	const qdq_value *other;

	if (n->op->id != QDQ_OP_Add)
		return false;
	other = qdq_in(n, qdq_in(n, 0) == v ? 1 : 0);
	return other != NULL && qdq_value_constant(other) != NULL && other->type == QDQ_TYPE_FLOAT &&
	       other->shape->rank == 1 && v->shape != NULL && v->shape->rank > 1 &&
	       other->shape->dim[0] == v->shape->dim[v->shape->rank - 1];
}

/* What follows, as far as the form takes it. */
static bool check_output(writing *c)
{
	const qdq_value *v = c->n->outputs[0];
	qdq_node *next = qdq_reader(v);
	double factor;
	qdq_reason why;

	if (next != NULL && c->form->scales && c->bias == NULL && is_factor(next, v, &factor) &&
	    isnormal((float)(qdq_params_scale(&c->in[0], 0) * factor))) {
		c->factor = factor;
		c->mul = next;
		v = next->outputs[0];
		next = qdq_reader(v);
	}
	if (next != NULL && c->form->real_bias != QDQ_QLINEAR_NONE && is_real_bias(next, v)) {
		c->add = next;
		return true;
	}
	if (c->form->scale == QDQ_QLINEAR_NONE)
		return true;
	if (next != NULL && qdq_is_quantizer(next) && qdq_in(next, 0) == v && qdq_params_of(next, &c->out) &&
	    qdq_params_movable(&c->out, &why) && c->out.positive && c->out.per_tensor &&
	    c->out.codes == c->in[0].codes && c->out.real == QDQ_TYPE_FLOAT) {
		c->q = next;
		return true;
	}
	return c->form->float_output;
}

/* An int32 bias at the product of the scales. */
static bool check_bias(writing *c)
{
	const qdq_value *v = c->form->bias == QDQ_QLINEAR_NONE ? NULL : qdq_in(c->n, c->form->plain + c->count);
	qdq_params p;

	if (v == NULL)
		return true;
	if (v->def == NULL || !qdq_is_dequantizer(v->def) || v->def->graph != c->n->graph ||
	    !qdq_params_of(v->def, &p) || p.codes != QDQ_TYPE_INT32 || !p.constant || !qdq_bias_scale_fits(c->n))
		return false;
	c->bias = qdq_in(v->def, 0);
	return qdq_value_constant(c->bias) != NULL && (p.zero == NULL || qdq_params_zero(&p, 0) == 0);
}

/* Does the sum, with the bias, fit the 32 bits that kernels have? */
static bool check_sum(const writing *c)
{
	const qdq_tensor *t = c->bias != NULL ? qdq_value_constant(c->bias) : NULL;
	int64_t most = 0, code;
	qdq_reason why;

	for (uint64_t i = 0; t != NULL && i < t->count; i++)
		if (qdq_tensor_int(t, i, &code))
			most = (code < 0 ? -code : code) > most ? (code < 0 ? -code : code) : most;
	return c->n->op->cls != QDQ_CLASS_CONTRACT || qdq_contract_within(c->n, INT32_MAX - most, &why);
}

bool qdq_integer_scales(const qdq_params *x, double factor, const qdq_params *w, const qdq_params *y)
{
	float left = (float)(qdq_params_scale(x, 0) * factor);

	for (uint64_t i = 0; i < w->count; i++) {
		float product = left * (float)qdq_params_scale(w, i);

		if (!isnormal(left) || !isnormal(product) ||
		    (y != NULL && !isfinite(product / (float)qdq_params_scale(y, 0))))
			return false;
	}
	return true;
}

/* Do kernels that multiply two scales get one that float32 has? */
static bool check_scales(writing *c)
{
	const qdq_params *y = c->q != NULL ? &c->out : NULL;

	if (c->n->op->cls != QDQ_CLASS_CONTRACT && c->n->op->id != QDQ_OP_Mul)
		return true;
	return qdq_integer_scales(&c->in[0], c->factor, &c->in[1], y);
}

static bool check(writing *c)
{
	if ((c->form->writes != NULL && !c->form->writes(c->n)) || !check_operands(c) || !check_bias(c) ||
	    !check_sum(c) || !check_output(c))
		return false;
	return check_scales(c);
}

/* ---- changing ---- */

qdq_value *qdq_integer_zero(qdq_run *r, const qdq_params *p)
{
	const qdq_tensor *scale = qdq_value_constant(p->scale);
	const char *hint = qdq_format(&r->scratch, "%s_zero", p->scale->name);

	if (p->zero != NULL)
		return p->zero;
	return qdq_graph_add_constant(r->graph, qdq_unique_name(&r->model->names, hint),
				      qdq_tensor_new(r->model, p->codes, scale->rank, scale->dims));
}

/* The scale times the factor. */
static qdq_value *scaled(writing *c, const qdq_params *p, double factor)
{
	const qdq_tensor *from = qdq_value_constant(p->scale);
	qdq_model *m = c->r->model;
	qdq_tensor *to;
	float product = (float)(qdq_params_scale(p, 0) * factor);

	if (factor == 1)
		return p->scale;
	to = qdq_tensor_new(m, QDQ_TYPE_FLOAT, from->rank, from->dims);
	memcpy((void *)(uintptr_t)to->data, &product, sizeof product);
	return qdq_graph_add_constant(
	    c->r->graph, qdq_unique_name(&m->names, qdq_format(&c->r->scratch, "%s_times", p->scale->name)), to);
}

/* One number as a scalar: com.microsoft's operators take no tensor of one element in its place. */
static qdq_value *scalar_of(writing *c, qdq_value *v)
{
	const qdq_tensor *t = qdq_value_constant(v);
	qdq_model *m = c->r->model;
	qdq_tensor *to;

	if (t == NULL || t->rank == 0 || t->count != 1)
		return v;
	to = qdq_tensor_new(m, t->type, 0, NULL);
	memcpy((void *)(uintptr_t)to->data, t->data, (size_t)to->size);
	return qdq_graph_add_constant(c->r->graph,
				      qdq_unique_name(&m->names, qdq_format(&c->r->scratch, "%s_scalar", v->name)), to);
}

static void put(writing *c, qdq_value **inputs, uint32_t index, qdq_value *v)
{
	if (index == QDQ_QLINEAR_NONE || v == NULL)
		return;
	inputs[index] = v;
	c->n_inputs = index >= c->n_inputs ? index + 1 : c->n_inputs;
}

static void write_inputs(writing *c)
{
	uint32_t room = 10 + c->form->plain + 3 * c->count;
	qdq_value **inputs = qdq_array(&c->r->scratch, qdq_value *, room);

	memset(inputs, 0, room * sizeof *inputs);
	for (uint32_t i = 0; i < c->form->plain; i++)
		put(c, inputs, i, qdq_in(c->n, i));
	for (uint32_t i = 0; i < c->count; i++) {
		qdq_qlinear_operand o = qdq_qlinear_operand_at(c->form, i);

		put(c, inputs, o.codes, c->codes[i]);
		put(c, inputs, o.scale, scalar_of(c, scaled(c, &c->in[i], i == 0 ? c->factor : 1)));
		put(c, inputs, o.zero, scalar_of(c, qdq_integer_zero(c->r, &c->in[i])));
	}
	put(c, inputs, c->form->bias, c->bias);
	if (c->add != NULL)
		put(c, inputs, c->form->real_bias, qdq_in(c->add, qdq_value_constant(qdq_in(c->add, 0)) ? 0 : 1));
	if (c->q != NULL) {
		put(c, inputs, c->form->scale, scalar_of(c, c->out.scale));
		put(c, inputs, c->form->zero, scalar_of(c, qdq_integer_zero(c->r, &c->out)));
	}
	qdq_node_resize_inputs(c->n, c->n_inputs);
	for (uint32_t i = 0; i < c->n_inputs; i++)
		qdq_use_set(&c->n->inputs[i], inputs[i]);
}

/* `last`, a step behind n that n does now, goes; n writes what it wrote. */
void qdq_integer_take_over(qdq_node *n, qdq_node *last)
{
	qdq_value *y = last->outputs[0];

	last->outputs[0] = NULL;
	y->def = NULL;
	qdq_node_remove(last);
	qdq_value_redefine(y, n, 0);
}

void qdq_integer_drop_unread(qdq_node *dq)
{
	if (dq != NULL && dq->graph != NULL && qdq_is_dequantizer(dq) && qdq_node_unread(dq))
		qdq_node_remove(dq);
}

static void write_form(writing *c)
{
	uint32_t before = c->n->n_inputs;
	qdq_node **feeding = qdq_array(&c->r->scratch, qdq_node *, before);

	for (uint32_t i = 0; i < before; i++)
		feeding[i] = qdq_in(c->n, i) != NULL ? qdq_in(c->n, i)->def : NULL;
	qdq_node_set_op(c->n, c->form->id);
	if (c->form->begin != NULL)
		c->form->begin(c->r, c->n);
	write_inputs(c);
	if (c->mul != NULL)
		qdq_integer_take_over(c->n, c->mul);
	if (c->add != NULL)
		qdq_integer_take_over(c->n, c->add);
	if (c->q != NULL)
		qdq_integer_take_over(c->n, c->q);
	for (uint32_t i = 0; i < before; i++)
		qdq_integer_drop_unread(feeding[i]);
	qdq_applied(c->r, c->form->write_rule, c->form->exactness, 0, c->n->origin);
}

/* ---- the walk ---- */

/* With --exact: would it be written without? */
static bool try_forms(qdq_run *r, qdq_node *n, bool *held_back)
{
	for (size_t i = 0; i < qdq_n_qlinear_forms; i++) {
		writing c = {.r = r, .n = n, .form = &qdq_qlinear_forms[i], .factor = 1};

		if (c.form->op != n->op->id || c.form->write_rule == NULL || !check(&c))
			continue;
		if (qdq_allowed(r, c.form->exactness)) {
			write_form(&c);
			return true;
		}
		*held_back = true;
	}
	return false;
}

/* Of a product of codes. */
static bool scales_fit(const qdq_node *n)
{
	const qdq_use *u = qdq_only_use(n->outputs[0]);
	qdq_params x, w, y;
	bool quantized = u != NULL && qdq_is_quantizer(u->node) && qdq_params_of(u->node, &y) && y.constant;

	return !qdq_params_of(qdq_in(n, 0)->def, &x) || !qdq_params_of(qdq_in(n, 1)->def, &w) || !x.constant ||
	       !w.constant || qdq_integer_scales(&x, 1, &w, quantized ? &y : NULL);
}

/* A product that has no form of its own, between DQ and Q. */
static void look_at_product(qdq_run *r, qdq_node *n, bool held_back)
{
	qdq_reason why = {.code = QDQ_REASON_NO_KERNEL, .operand = n->outputs[0]->name, .detail = n->op->name};
	bool said = false; /* by explain */

	if (!held_back && qdq_integer_float(r, n, &held_back))
		return;
	if (held_back) {
		why.code = QDQ_REASON_NOT_EXACT;
	} else {
		said = !qdq_contract_int8(n, &why);
		if (!said && !scales_fit(n))
			why.code = QDQ_REASON_SCALE_RANGE;
		qdq_integer_float_weight(r, n);
	}
	if (!said)
		qdq_declined(r, held_back ? "write_qlinear.exact" : "write_qlinear.product", n->origin, &why);
}

static void look_at(qdq_run *r, qdq_node *n)
{
	bool held_back = false;

	if (qdq_faster_form(r, n))
		return;
	if (try_forms(r, n, &held_back))
		qdq_wide_pixels(r, n);
	else if (n->op->cls == QDQ_CLASS_CONTRACT)
		look_at_product(r, n, held_back);
}

static bool has_microsoft(const qdq_graph *g, const char *domain)
{
	for (const qdq_node *n = g->first; n != NULL; n = qdq_after(n))
		if (n->op->id != QDQ_OP_NONE && n->op->domain != NULL && strcmp(n->op->domain, domain) == 0)
			return true;
	return false;
}

/* Where an operator of it was written. */
static void import_microsoft(qdq_run *r)
{
	const char *domain = qdq_ops[QDQ_OP_ms_QLinearAdd].domain;
	qdq_model *m = r->model;

	if (!has_microsoft(r->graph, domain))
		return;
	for (size_t i = 0; i < m->opsets.count; i++)
		if (strcmp(m->opsets.items[i].domain, domain) == 0)
			return;
	*qdq_push(&m->arena, &m->opsets) = (qdq_opset){qdq_intern(&m->names, domain), 1};
}

static void run(qdq_run *r)
{
	qdq_node *next;

	if (r->model->opset < 10)
		return;
	for (qdq_node *n = r->graph->first; n != NULL; n = next) {
		next = qdq_after(n);
		if (n->region == NULL && qdq_out(n, 0) != NULL && n->op->cls != QDQ_CLASS_QUANT && !qdq_kept_float(n))
			look_at(r, n);
		/* Qs and steps behind n may be gone */
		next = n->graph != NULL ? n->next : next;
	}
	if (r->changes != 0)
		import_microsoft(r);
}

#define FORM(id, exact, what)                                                 \
	{                                                                     \
		.name = "write_qlinear." id, .exactness = exact, .text = what \
	}

static const qdq_rule rules[] = {
    FORM("QLinearConv", QDQ_STEP1, "Conv between DQ and Q as QLinearConv"),
    FORM("wide", QDQ_EXACT, "QLinearConv of few channels with four pixels as one"),
    FORM("QLinearMatMul", QDQ_STEP1, "MatMul between DQ and Q as QLinearMatMul"),
    FORM("QGemm", QDQ_STEP1, "Gemm behind DQ as QGemm"),
    FORM("MatMulIntegerToFloat", QDQ_STEP1, "MatMul or Gemm behind DQ as MatMulIntegerToFloat"),
    FORM("ConvInteger", QDQ_STEP1, "Conv behind DQ as ConvInteger, its scales and bias in float"),
    FORM("float_weight", QDQ_EXACT, "the weight of a Conv that has no integer kernel as floats"),
    FORM("QLinearAdd", QDQ_STEP1, "Add between DQ and Q as QLinearAdd"),
    FORM("QLinearMul", QDQ_STEP1, "Mul between DQ and Q as QLinearMul"),
    FORM("QLinearConcat", QDQ_EXACT, "Concat between DQ and Q as QLinearConcat"),
    FORM("QLinearAveragePool", QDQ_STEP1, "AveragePool between DQ and Q as QLinearAveragePool"),
    FORM("QLinearGlobalAveragePool", QDQ_STEP1, "GlobalAveragePool between DQ and Q as QLinearGlobalAveragePool"),
    FORM("QLinearLeakyRelu", QDQ_EXACT, "LeakyRelu between DQ and Q as QLinearLeakyRelu"),
    FORM("QLinearSigmoid", QDQ_STEP1, "Sigmoid between DQ and Q as QLinearSigmoid"),
    FORM("QLinearSoftmax", QDQ_STEP1, "Softmax between DQ and Q as QLinearSoftmax"),
    FORM("Softmax", QDQ_STEP1, "Softmax between DQ and Q as Exp, ReduceSum and Div"),
    FORM("AveragePool", QDQ_STEP1, "AveragePool between DQ and Q as a QLinearConv of each channel"),
    FORM("DepthToSpace", QDQ_EXACT, "DepthToSpace of codes as Transposes and Reshapes, channels last"),
    FORM("QLinearWhere", QDQ_EXACT, "Where between DQ and Q as QLinearWhere"),
    FORM("exact", QDQ_EXACT, "stays Q/DQ since an integer form would round elsewhere (--exact)"),
    FORM("product", QDQ_EXACT, "a product of codes that has no integer kernel as it stands"),
};

const qdq_pass qdq_pass_write_qlinear = {"write_qlinear",
					 "operators between DQ and Q as integer forms (--emit qoperator)",
					 rules,
					 QDQ_COUNTOF(rules),
					 run,
					 true};

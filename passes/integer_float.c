/* SPDX-License-Identifier: Apache-2.0
 *
 * integer_float.c -- products of codes whose result stays float: what write_qlinear does where no Q follows
 *
 *   x -- DQ(s) --+                   x -- ConvInteger -- Cast -- Mul(st) -- Add(b) -- y
 *   w -- DQ(t) --+-- Conv -- y  =>   w'-'
 *   b -----------'
 *   a -- DQ(s) --+                   a -- MatMulIntegerToFloat(b) -- y
 *   w -- DQ(t) --+-- Gemm -- y  =>   w'-'
 *   b -----------'
 *   x -- DQ(s) --+                        x -- Transpose -- MatMulIntegerToFloat(b) -- Transpose -- y
 *   w -- DQ(t) --+-- Conv 1 x 1 -- y  =>   w'--------------'
 *   b -----------'
 *   x -- DQ(s) --+                   x -- DQ(s) --+
 *   w -- DQ(t) --+-- Conv -- y  =>   w' ----------+-- Conv -- y        where no integer kernel does it
 *
 * ConvInteger has its kernels for weights of uint8, so int8 ones become uint8, 128 higher. They are a third as fast as those of
 * uint8 by int8, which is what a product of matrices runs in; its Transposes meet those that ONNX Runtime puts around
 * QLinearConv. ConvInteger has no kernel for depthwise convolutions: those of floats are faster, and twelve times so where
 * the weight is a constant, which ONNX Runtime does not make of a DQ.
 */
#include "moves.h"
#include "write_qlinear.h"

#define SHIFT 128

typedef struct product {
	qdq_run *r;
	qdq_node *n;
	qdq_params x, w;
	qdq_value *codes, *weight;
	const float *bias; /* of output channels, NULL: none */
	uint64_t n_bias;
	qdq_node *feeding[3];
} product;

static qdq_value *constant(product *c, const char *suffix, qdq_tensor *t)
{
	const char *hint = qdq_format(&c->r->scratch, "%s_%s", c->weight->name, suffix);

	return qdq_graph_add_constant(c->r->graph, qdq_unique_name(&c->r->model->names, hint), t);
}

/* ---- the bias, as floats ---- */

static bool read_bias(product *c)
{
	const qdq_value *v = qdq_in(c->n, 2);
	const qdq_value *codes = v;
	const qdq_tensor *t;
	qdq_params p = {.count = 1};
	float *bias;

	if (v == NULL)
		return true;
	if (v->def != NULL && (!qdq_is_dequantizer(v->def) || !qdq_params_of(v->def, &p) || !p.constant ||
			       p.real != QDQ_TYPE_FLOAT || p.block != 0))
		return false;
	if (v->def != NULL)
		codes = qdq_in(v->def, 0);
	t = qdq_value_constant(codes);
	if (t == NULL || t->rank != 1 || (v->def == NULL && t->type != QDQ_TYPE_FLOAT) ||
	    (p.count != 1 && p.count != t->count))
		return false;
	bias = qdq_array(&c->r->scratch, float, t->count);
	for (uint64_t i = 0; i < t->count; i++) {
		uint64_t k = p.count == 1 ? 0 : i;
		double real;
		int64_t code;

		if (v->def == NULL && qdq_tensor_real(t, i, &real))
			bias[i] = (float)real;
		else if (v->def != NULL && qdq_tensor_int(t, i, &code))
			bias[i] = (float)(code - (p.zero != NULL ? qdq_params_zero(&p, k) : 0)) *
				  (float)qdq_params_scale(&p, k);
		else
			return false;
	}
	c->bias = bias;
	c->n_bias = t->count;
	return true;
}

/* A constant of one number for each channel, for an operand of rank 1 + `behind`. */
static qdq_value *per_channel(product *c, const char *suffix, const float *values, uint64_t count, int32_t behind)
{
	int64_t *dims = qdq_array(&c->r->scratch, int64_t, (size_t)behind + 1);
	qdq_tensor *t;

	dims[0] = (int64_t)count;
	for (int32_t i = 1; i <= behind; i++)
		dims[i] = 1;
	t = qdq_tensor_new(c->r->model, QDQ_TYPE_FLOAT, 1 + behind, dims);
	memcpy((void *)(uintptr_t)t->data, values, (size_t)t->size);
	return constant(c, suffix, t);
}

/* ---- Conv ---- */

static bool is_depthwise(const qdq_node *n, const qdq_value *weight)
{
	return qdq_attr_int(n, "group", 1) > 1 && weight->shape->dim[1] == 1;
}

static bool conv_fits(product *c)
{
	const qdq_value *y = c->n->outputs[0];

	return qdq_integer_operand(c->n, 0, &c->x, &c->codes) && qdq_integer_operand(c->n, 1, &c->w, &c->weight) &&
	       c->x.per_tensor && (c->w.per_tensor || c->w.axis == 0) && qdq_value_constant(c->weight) != NULL &&
	       c->weight->shape->rank > 2 && y->type == QDQ_TYPE_FLOAT && !is_depthwise(c->n, c->weight) &&
	       read_bias(c);
}

static qdq_value *shifted_weight(product *c, qdq_value **zero)
{
	const qdq_tensor *from = qdq_value_constant(c->weight);
	qdq_tensor *to = qdq_tensor_new(c->r->model, QDQ_TYPE_UINT8, from->rank, from->dims);
	qdq_tensor *z = qdq_tensor_new(c->r->model, QDQ_TYPE_UINT8, 0, NULL);
	int shift = c->w.codes == QDQ_TYPE_INT8 ? SHIFT : 0;
	uint8_t *codes = (void *)(uintptr_t)to->data;

	*(uint8_t *)(void *)(uintptr_t)z->data = (uint8_t)(qdq_params_zero(&c->w, 0) + shift);
	*zero = constant(c, "zero_u8", z);
	if (shift == 0)
		return c->weight;
	for (uint64_t i = 0; i < from->count; i++)
		codes[i] = (uint8_t)(((const uint8_t *)from->data)[i] ^ SHIFT);
	return constant(c, "u8", to);
}

/* The steps behind the sum; the last one writes y. */
static void scale_sum(product *c, qdq_node *conv)
{
	qdq_graph *g = c->r->graph;
	qdq_value *y = conv->outputs[0];
	const char *hint = y->name;
	int32_t behind = c->w.count == 1 ? 0 : c->weight->shape->rank - 2;
	float *scales = qdq_array(&c->r->scratch, float, c->w.count);
	qdq_value *sum = qdq_value_create(g, qdq_unique_name(&c->r->model->names, hint));
	qdq_node *before = conv->next, *last;

	for (uint64_t i = 0; i < c->w.count; i++)
		scales[i] = (float)qdq_params_scale(&c->x, 0) * (float)qdq_params_scale(&c->w, i);
	qdq_value_set_type(sum, QDQ_TYPE_INT32, y->shape);
	conv->outputs[0] = sum;
	sum->def = conv;
	y->def = NULL;
	last = qdq_node_insert(g, before, QDQ_OP_Cast, hint, 1, (qdq_value *[]){sum}, 1, conv->origin);
	qdq_attr_set_int(last, "to", QDQ_TYPE_FLOAT);
	last = qdq_node_insert(g, before, QDQ_OP_Mul, hint, 2,
			       (qdq_value *[]){last->outputs[0], per_channel(c, "scales", scales, c->w.count, behind)},
			       1, conv->origin);
	if (c->bias != NULL)
		last = qdq_node_insert(g, before, QDQ_OP_Add, hint, 2,
				       (qdq_value *[]){last->outputs[0], per_channel(c, "bias", c->bias, c->n_bias,
										     c->weight->shape->rank - 2)},
				       1, conv->origin);
	qdq_value_redefine(y, last, 0);
}

static void write_conv(product *c)
{
	qdq_node *n = c->n;
	qdq_value *zero, *weight = shifted_weight(c, &zero);

	qdq_node_set_op(n, QDQ_OP_ConvInteger);
	qdq_node_resize_inputs(n, 4);
	qdq_use_set(&n->inputs[0], c->codes);
	qdq_use_set(&n->inputs[1], weight);
	qdq_use_set(&n->inputs[2], qdq_integer_zero(c->r, &c->x));
	qdq_use_set(&n->inputs[3], zero);
	scale_sum(c, n);
}

/* ---- Conv of one pixel ---- */

/* A product of matrices for each pixel. */
static bool is_pointwise(const product *c)
{
	const qdq_shape *w = c->weight->shape;

	for (int32_t i = 2; i < w->rank; i++)
		if (w->dim[i] != 1)
			return false;
	return c->x.codes == QDQ_TYPE_UINT8 && qdq_attr_int(c->n, "group", 1) == 1 &&
	       qdq_attr_all_are(c->n, "strides", 1) && qdq_attr_all_are(c->n, "pads", 0);
}

/* The weight as MatMul has it: a column for each output, of which it has the rows now. */
static qdq_value *columns(product *c)
{
	const qdq_tensor *from = qdq_value_constant(c->weight);
	int64_t rows = from->dims[1], cols = from->dims[0];
	qdq_tensor *to = qdq_tensor_new(c->r->model, from->type, 2, (int64_t[]){rows, cols});
	uint8_t *codes = (void *)(uintptr_t)to->data;

	for (int64_t i = 0; i < rows; i++)
		for (int64_t j = 0; j < cols; j++)
			codes[i * cols + j] = ((const uint8_t *)from->data)[j * rows + i];
	return constant(c, "columns", to);
}

/* n multiplies the codes a by the matrix b. */
static void write_product(product *c, qdq_value *a, qdq_value *b)
{
	qdq_node *n = c->n;
	qdq_value *inputs[] = {
	    a,
	    b,
	    c->x.scale,
	    c->w.scale,
	    qdq_integer_zero(c->r, &c->x),
	    qdq_integer_zero(c->r, &c->w),
	    c->bias != NULL ? per_channel(c, "bias", c->bias, c->n_bias, 0) : NULL,
	};
	uint32_t count = c->bias != NULL ? 7 : 6;

	qdq_node_set_op(n, QDQ_OP_ms_MatMulIntegerToFloat);
	while (n->n_attrs != 0)
		qdq_attr_remove(n, n->attrs[0].name);
	qdq_node_resize_inputs(n, count);
	for (uint32_t i = 0; i < count; i++)
		qdq_use_set(&n->inputs[i], inputs[i]);
}

/* Channels last, or back again. */
static qdq_node *transpose(product *c, qdq_node *before, qdq_value *x, bool last)
{
	int32_t rank = c->weight->shape->rank;
	int64_t *perm = qdq_array(&c->r->scratch, int64_t, (size_t)rank);
	qdq_node *n =
	    qdq_node_insert(c->r->graph, before, QDQ_OP_Transpose, x->name, 1, (qdq_value *[]){x}, 1, c->n->origin);

	perm[0] = 0;
	for (int32_t i = 1; i < rank; i++)
		perm[i] = last ? i % (rank - 1) + 1 : (i + rank - 3) % (rank - 1) + 1;
	qdq_attr_set_ints(n, "perm", perm, (size_t)rank);
	return n;
}

static void write_pointwise(product *c)
{
	qdq_node *n = c->n;
	qdq_value *y = n->outputs[0];
	qdq_value *rows = qdq_value_create(c->r->graph, qdq_unique_name(&c->r->model->names, y->name));

	write_product(c, transpose(c, n, c->codes, true)->outputs[0], columns(c));
	qdq_value_set_type(rows, QDQ_TYPE_FLOAT, NULL);
	n->outputs[0] = rows;
	rows->def = n;
	y->def = NULL;
	qdq_value_redefine(y, transpose(c, n->next, rows, false), 0);
}

/* ---- Gemm ---- */

static bool gemm_fits(product *c)
{
	const qdq_tensor *w;

	if (!qdq_integer_operand(c->n, 0, &c->x, &c->codes) || !qdq_integer_operand(c->n, 1, &c->w, &c->weight) ||
	    !c->x.per_tensor || c->x.codes != QDQ_TYPE_UINT8 || qdq_attr_int(c->n, "transA", 0) != 0 ||
	    qdq_attr_float(c->n, "alpha", 1) != 1 || (qdq_in(c->n, 2) != NULL && qdq_attr_float(c->n, "beta", 1) != 1))
		return false;
	w = qdq_value_constant(c->weight);
	if (w == NULL || w->rank != 2 || !read_bias(c))
		return false;
	return c->bias == NULL || (int64_t)c->n_bias == w->dims[qdq_attr_int(c->n, "transB", 0) != 0 ? 0 : 1];
}

static void write_gemm(product *c)
{
	write_product(c, c->codes, qdq_attr_int(c->n, "transB", 0) != 0 ? columns(c) : c->weight);
}

/* ---- both ---- */

bool qdq_integer_float(qdq_run *r, qdq_node *n, bool *held_back)
{
	product c = {.r = r, .n = n};
	bool conv = n->op->id == QDQ_OP_Conv, pointwise;
	qdq_reason why;

	if (!qdq_contract_int8(n, &why) || !(conv ? conv_fits(&c) : n->op->id == QDQ_OP_Gemm && gemm_fits(&c)) ||
	    !qdq_integer_scales(&c.x, 1, &c.w, NULL))
		return false;
	if (!qdq_allowed(r, QDQ_STEP1)) {
		*held_back = true;
		return false;
	}
	pointwise = conv && is_pointwise(&c);
	for (uint32_t i = 0; i < 3; i++)
		c.feeding[i] = qdq_in(n, i) != NULL ? qdq_in(n, i)->def : NULL;
	if (!conv)
		write_gemm(&c);
	else if (pointwise)
		write_pointwise(&c);
	else
		write_conv(&c);
	for (uint32_t i = 0; i < 3; i++)
		qdq_integer_drop_unread(c.feeding[i]);
	qdq_applied(r, conv && !pointwise ? "write_qlinear.ConvInteger" : "write_qlinear.MatMulIntegerToFloat",
		    QDQ_STEP1, 0, n->origin);
	return true;
}

/* ---- weights of what stays float ---- */

/* Does ONNX Runtime make an integer form of n by itself? It takes one Q behind it, and codes with one scale. */
static bool is_fused_there(const qdq_node *n)
{
	const qdq_use *u = qdq_only_use(n->outputs[0]);
	const qdq_node *x = qdq_dequantizer(qdq_in(n, 0));
	qdq_params p;

	return n->op->id == QDQ_OP_Conv && u != NULL && qdq_is_quantizer(u->node) && x != NULL &&
	       qdq_params_of(x, &p) && p.per_tensor;
}

void qdq_integer_float_weight(qdq_run *r, qdq_node *n)
{
	bool done = false;

	if ((n->op->id != QDQ_OP_Conv && n->op->id != QDQ_OP_ConvTranspose) || is_fused_there(n))
		return;
	for (uint32_t i = 1; i < n->n_inputs; i++) {
		const qdq_value *v = qdq_in(n, i);

		if (v != NULL && v->type == QDQ_TYPE_FLOAT && v->def != NULL && qdq_is_dequantizer(v->def) &&
		    v->def->graph == n->graph && qdq_only_use(v) != NULL)
			done = qdq_fold_dequantizer(r, v->def) || done;
	}
	if (done)
		qdq_applied(r, "write_qlinear.float_weight", QDQ_EXACT, 0, n->origin);
}

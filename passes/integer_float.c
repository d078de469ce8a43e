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
 *
 * ConvInteger has its kernels for weights of uint8, so int8 ones become uint8, 128 higher. It has none for depthwise
 * convolutions: float ones are faster.
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

/* ---- Gemm ---- */

static bool gemm_fits(product *c)
{
	const qdq_tensor *w;

	if (!qdq_integer_operand(c->n, 0, &c->x, &c->codes) || !qdq_integer_operand(c->n, 1, &c->w, &c->weight) ||
	    !c->x.per_tensor || c->x.codes != QDQ_TYPE_UINT8 || qdq_attr_int(c->n, "transA", 0) != 0 ||
	    qdq_attr_float(c->n, "alpha", 1) != 1 || (qdq_in(c->n, 2) != NULL && qdq_attr_float(c->n, "beta", 1) != 1))
		return false;
	w = qdq_value_constant(c->weight);
	return w != NULL && w->rank == 2 && read_bias(c);
}

/* The weight as MatMul has it: a column for each output. */
static qdq_value *columns(product *c)
{
	const qdq_tensor *from = qdq_value_constant(c->weight);
	int64_t rows = from->dims[1], cols = from->dims[0];
	qdq_tensor *to;
	uint8_t *codes;

	if (qdq_attr_int(c->n, "transB", 0) == 0)
		return c->weight;
	to = qdq_tensor_new(c->r->model, from->type, 2, (int64_t[]){rows, cols});
	codes = (void *)(uintptr_t)to->data;
	for (int64_t i = 0; i < rows; i++)
		for (int64_t j = 0; j < cols; j++)
			codes[i * cols + j] = ((const uint8_t *)from->data)[j * rows + i];
	return constant(c, "columns", to);
}

static void write_gemm(product *c)
{
	qdq_node *n = c->n;
	qdq_value *weight = columns(c);
	qdq_value *inputs[] = {
	    c->codes,
	    weight,
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

/* ---- both ---- */

bool qdq_integer_float(qdq_run *r, qdq_node *n, bool *held_back)
{
	product c = {.r = r, .n = n};
	bool conv = n->op->id == QDQ_OP_Conv;
	qdq_reason why;

	if (!qdq_contract_int8(n, &why) || !(conv ? conv_fits(&c) : n->op->id == QDQ_OP_Gemm && gemm_fits(&c)))
		return false;
	if (!qdq_allowed(r, QDQ_STEP1)) {
		*held_back = true;
		return false;
	}
	for (uint32_t i = 0; i < 3; i++)
		c.feeding[i] = qdq_in(n, i) != NULL ? qdq_in(n, i)->def : NULL;
	if (conv)
		write_conv(&c);
	else
		write_gemm(&c);
	for (uint32_t i = 0; i < 3; i++)
		qdq_integer_drop_unread(c.feeding[i]);
	qdq_applied(r, conv ? "write_qlinear.ConvInteger" : "write_qlinear.MatMulIntegerToFloat", QDQ_STEP1, 0,
		    n->origin);
	return true;
}

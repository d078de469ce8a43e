/* SPDX-License-Identifier: Apache-2.0
 *
 * faster_forms.c -- what write_qlinear writes where ONNX Runtime's own integer form is slower than something else
 *
 *   x -- DQ -- Softmax -- Q -- y      =>   x -- DQ -- Exp --+-- ReduceSum --+
 *                                                            '---------- Div -- Q -- y
 *   x -- DQ -- AveragePool -- Q -- y  =>   x -- QLinearConv(1 / taps) -- y       each channel by itself
 *   x -- DepthToSpace -- y            =>   x -- Transpose -- Reshape -- Transpose -- Reshape -- Transpose -- y
 *
 * QLinearSoftmax takes four times as long as the operators in floats, and twice as long as float Softmax where the axis is
 * not the last; ONNX Runtime makes it of every Softmax between DQ and Q, so the Softmax is written in its parts. They need
 * no greatest element, since that of the codes is known. QLinearAveragePool takes three times as long as a depthwise
 * convolution. DepthToSpace moves code by code; with channels last it moves all channels of a pixel at once, and the outer
 * Transposes meet those that ONNX Runtime puts around QLinearConv.
 */
#include <math.h>

#include "moves.h"
#include "write_qlinear.h"

typedef struct between {
	qdq_run *r;
	qdq_node *n, *dq, *q;
	qdq_params x, y;
	qdq_value *codes;
} between;

/* Does n stand between one DQ and one Q with one scale each? */
static bool find(between *c)
{
	const qdq_use *u = qdq_only_use(c->n->outputs[0]);
	qdq_reason why;

	if (u == NULL || u->node->graph != c->n->graph || !qdq_is_quantizer(u->node) || qdq_use_index(u) != 0 ||
	    !qdq_integer_operand(c->n, 0, &c->x, &c->codes) || !c->x.per_tensor || !qdq_params_of(u->node, &c->y) ||
	    !qdq_params_movable(&c->y, &why) || !c->y.positive || !c->y.per_tensor || c->y.codes != c->x.codes ||
	    c->y.real != QDQ_TYPE_FLOAT)
		return false;
	c->q = u->node;
	c->dq = c->n->inputs[0].value->def;
	return true;
}

static qdq_value *constant(between *c, const char *suffix, qdq_tensor *t)
{
	const char *hint = qdq_format(&c->r->scratch, "%s_%s", c->n->outputs[0]->name, suffix);

	return qdq_graph_add_constant(c->r->graph, qdq_unique_name(&c->r->model->names, hint), t);
}

/* ---- Softmax ---- */

#define REACH 70 /* e to the power of this, a million times, is far from what float32 has not */
#define AXES_INPUT_SINCE 13

/* The DQ's zero point may be another: a number added to all elements changes nothing. 0: as it is; 1: the middle of the
 * codes; -1: neither is near enough to all codes. */
static int choose_zero(const between *c)
{
	double scale = qdq_params_scale(&c->x, 0);

	if ((double)qdq_params_reach(&c->x) * scale <= REACH)
		return 0;
	return 128 * scale <= REACH ? 1 : -1;
}

/* The axes that are summed over: all from `axis` on before opset 13. */
static bool find_axes(const between *c, int64_t *first, int64_t *end)
{
	const qdq_shape *s = qdq_in(c->n, 0)->shape;
	bool one = c->r->model->opset >= AXES_INPUT_SINCE;
	int64_t axis = qdq_attr_int(c->n, "axis", one ? -1 : 1);

	if (s == NULL)
		return false;
	*first = axis < 0 ? axis + s->rank : axis;
	*end = one ? *first + 1 : s->rank;
	return *first >= 0 && *first < s->rank;
}

static qdq_node *insert_sum(between *c, qdq_node *before, qdq_value *e, int64_t first, int64_t end)
{
	bool input = c->r->model->opset >= AXES_INPUT_SINCE;
	int64_t count = end - first;
	int64_t *axes = qdq_array(&c->r->scratch, int64_t, (size_t)count);
	qdq_value *inputs[2] = {e, NULL};
	qdq_node *sum;
	qdq_tensor *t;

	for (int64_t i = 0; i < count; i++)
		axes[i] = first + i;
	if (input) {
		t = qdq_tensor_new(c->r->model, QDQ_TYPE_INT64, 1, &count);
		memcpy((void *)(uintptr_t)t->data, axes, (size_t)t->size);
		inputs[1] = constant(c, "axes", t);
	}
	sum = qdq_node_insert(c->r->graph, before, QDQ_OP_ReduceSum, e->name, input ? 2 : 1, inputs, 1, c->n->origin);
	if (!input)
		qdq_attr_set_ints(sum, "axes", axes, (size_t)count);
	qdq_attr_set_int(sum, "keepdims", 1);
	return sum;
}

static void centre(between *c)
{
	qdq_tensor *t = qdq_tensor_new(c->r->model, c->x.codes, 0, NULL);
	qdq_params p = c->x;

	*(uint8_t *)(void *)(uintptr_t)t->data = c->x.codes == QDQ_TYPE_UINT8 ? 128 : 0;
	p.zero = constant(c, "zero", t);
	qdq_use_set(&c->n->inputs[0],
		    qdq_dequantize_insert(c->r->graph, c->n, c->codes, &p, c->codes->name, c->n->origin)->outputs[0]);
	qdq_integer_drop_unread(c->dq);
}

static bool write_softmax(between *c)
{
	qdq_node *n = c->n, *sum, *quotient;
	qdq_value *y = n->outputs[0], *e;
	int zero = choose_zero(c);
	int64_t first, end;

	if (zero < 0 || !find_axes(c, &first, &end))
		return false;
	if (zero > 0)
		centre(c);
	e = qdq_value_create(c->r->graph, qdq_unique_name(&c->r->model->names, y->name));
	qdq_value_set_type(e, QDQ_TYPE_FLOAT, y->shape);
	qdq_node_set_op(n, QDQ_OP_Exp);
	qdq_attr_remove(n, "axis");
	n->outputs[0] = e;
	e->def = n;
	y->def = NULL;
	sum = insert_sum(c, n->next, e, first, end);
	quotient = qdq_node_insert(c->r->graph, sum->next, QDQ_OP_Div, y->name, 2, (qdq_value *[]){e, sum->outputs[0]},
				   1, n->origin);
	qdq_value_redefine(y, quotient, 0);
	qdq_applied(c->r, "write_qlinear.Softmax", QDQ_STEP1, 0, n->origin);
	return true;
}

/* ---- AveragePool ---- */

#define MOST_TAPS 64

/* The taps of a mean that always has as many; 0: it is none, or not one of uint8 codes and two axes. */
static int64_t count_taps(const between *c)
{
	const qdq_shape *s = qdq_in(c->n, 0)->shape;
	size_t count;
	const int64_t *kernel = qdq_attr_ints(c->n, "kernel_shape", &count);

	if (count != 2 || s == NULL || s->rank != 4 || s->dim[1] < 1 || c->x.codes != QDQ_TYPE_UINT8 ||
	    !qdq_attr_string_is(c->n, "auto_pad", "NOTSET", "NOTSET") || qdq_attr_int(c->n, "ceil_mode", 0) != 0 ||
	    (!qdq_attr_all_are(c->n, "pads", 0) && qdq_attr_int(c->n, "count_include_pad", 0) == 0))
		return 0;
	return kernel[0] > 0 && kernel[1] > 0 && kernel[0] <= MOST_TAPS && kernel[1] <= MOST_TAPS &&
		       kernel[0] * kernel[1] <= MOST_TAPS
		   ? kernel[0] * kernel[1]
		   : 0;
}

static qdq_value *ones(between *c)
{
	size_t count;
	const int64_t *kernel = qdq_attr_ints(c->n, "kernel_shape", &count);
	int64_t dims[4] = {qdq_in(c->n, 0)->shape->dim[1], 1, kernel[0], kernel[1]};
	qdq_tensor *t = qdq_tensor_new(c->r->model, QDQ_TYPE_INT8, 4, dims);

	memset((void *)(uintptr_t)t->data, 1, (size_t)t->size);
	return constant(c, "weight", t);
}

static bool write_pool(between *c)
{
	int64_t taps = count_taps(c), channels;
	float scale = 1 / (float)taps;
	qdq_tensor *t;
	qdq_value *inputs[8];
	qdq_params w = {.count = 1, .per_tensor = true, .constant = true};

	if (taps == 0)
		return false;
	t = qdq_tensor_new(c->r->model, QDQ_TYPE_FLOAT, 0, NULL);
	memcpy((void *)(uintptr_t)t->data, &scale, sizeof scale);
	w.scale = constant(c, "scale", t);
	if (!qdq_integer_scales(&c->x, 1, &w, &c->y))
		return false;
	channels = qdq_in(c->n, 0)->shape->dim[1];
	inputs[0] = c->codes;
	inputs[1] = c->x.scale;
	inputs[2] = qdq_integer_zero(c->r, &c->x);
	inputs[3] = ones(c);
	inputs[4] = w.scale;
	inputs[5] = constant(c, "zero", qdq_tensor_new(c->r->model, QDQ_TYPE_INT8, 0, NULL));
	inputs[6] = c->y.scale;
	inputs[7] = qdq_integer_zero(c->r, &c->y);
	qdq_node_set_op(c->n, QDQ_OP_QLinearConv);
	qdq_attr_remove(c->n, "count_include_pad");
	qdq_attr_remove(c->n, "ceil_mode");
	qdq_attr_set_int(c->n, "group", channels);
	qdq_node_resize_inputs(c->n, 8);
	for (uint32_t i = 0; i < 8; i++)
		qdq_use_set(&c->n->inputs[i], inputs[i]);
	qdq_integer_take_over(c->n, c->q);
	qdq_integer_drop_unread(c->dq);
	qdq_applied(c->r, "write_qlinear.AveragePool", QDQ_STEP1, 0, c->n->origin);
	return true;
}

/* ---- DepthToSpace ---- */

static qdq_value *list(between *c, const int64_t *values, int64_t count)
{
	qdq_tensor *t = qdq_tensor_new(c->r->model, QDQ_TYPE_INT64, 1, &count);

	memcpy((void *)(uintptr_t)t->data, values, (size_t)t->size);
	return constant(c, "shape", t);
}

static qdq_value *transposed(between *c, qdq_value *x, const int64_t *perm, size_t rank)
{
	qdq_node *n = qdq_node_insert(c->r->graph, c->n, QDQ_OP_Transpose, c->n->outputs[0]->name, 1,
				      (qdq_value *[]){x}, 1, c->n->origin);

	qdq_attr_set_ints(n, "perm", perm, rank);
	return n->outputs[0];
}

static qdq_value *reshaped(between *c, qdq_value *x, const int64_t *dims, int64_t rank)
{
	return qdq_node_insert(c->r->graph, c->n, QDQ_OP_Reshape, c->n->outputs[0]->name, 2,
			       (qdq_value *[]){x, list(c, dims, rank)}, 1, c->n->origin)
	    ->outputs[0];
}

/* The last Transpose is n itself. */
static bool write_depth_to_space(between *c)
{
	qdq_node *n = c->n;
	qdq_value *x = qdq_in(n, 0);
	const qdq_shape *s = x != NULL ? x->shape : NULL;
	int64_t b = qdq_attr_int(n, "blocksize", 0), inner, height, width;
	bool columns_first = qdq_attr_string_is(n, "mode", "DCR", "CRD");

	if (s == NULL || s->rank != 4 || !qdq_type_is_int8(x->type) || b < 2 || b > INT16_MAX || s->dim[1] < b * b ||
	    (s->dim[2] < 1 && s->dim[3] < 1) || s->dim[2] > INT32_MAX || s->dim[3] > INT32_MAX)
		return false;
	inner = s->dim[1] / (b * b);
	height = s->dim[2] < 1 ? -1 : s->dim[2] * b; /* one of them may not be known */
	width = s->dim[3] < 1 ? -1 : s->dim[3] * b;
	x = transposed(c, x, (int64_t[]){0, 2, 3, 1}, 4);
	if (columns_first) {
		x = reshaped(c, x, (int64_t[]){0, 0, 0, inner, b, b}, 6);
		x = transposed(c, x, (int64_t[]){0, 1, 4, 2, 5, 3}, 6);
	} else {
		x = reshaped(c, x, (int64_t[]){0, 0, 0, b, b, inner}, 6);
		x = transposed(c, x, (int64_t[]){0, 1, 3, 2, 4, 5}, 6);
	}
	x = reshaped(c, x, (int64_t[]){0, height, width, inner}, 4);
	qdq_use_set(&n->inputs[0], x);
	qdq_node_set_op(n, QDQ_OP_Transpose);
	qdq_attr_remove(n, "blocksize");
	qdq_attr_remove(n, "mode");
	qdq_attr_set_ints(n, "perm", (int64_t[]){0, 3, 1, 2}, 4);
	qdq_applied(c->r, "write_qlinear.DepthToSpace", QDQ_EXACT, 0, n->origin);
	return true;
}

bool qdq_faster_form(qdq_run *r, qdq_node *n)
{
	between c = {.r = r, .n = n};
	bool softmax = n->op->id == QDQ_OP_Softmax;

	if (n->op->id == QDQ_OP_DepthToSpace)
		return write_depth_to_space(&c);
	if ((!softmax && n->op->id != QDQ_OP_AveragePool) || !qdq_allowed(r, QDQ_STEP1) || !find(&c))
		return false;
	return softmax ? write_softmax(&c) : write_pool(&c);
}

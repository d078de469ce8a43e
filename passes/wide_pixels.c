/* SPDX-License-Identifier: Apache-2.0
 *
 * wide_pixels.c -- the first convolution of a network with four pixels as one
 *
 *   x [N,3,H,W] -- QLinearConv -- y      =>   x -- four columns as channels: [N,12,H,W/4] -- QLinearConv -- back -- y
 *
 * ONNX Runtime gathers the window of each output row by row, with a call for a few bytes: with three channels that takes
 * twice as long as the product. Where a pixel holds four columns there are half or a quarter as many windows, and the
 * product, which multiplies by zeros now, is still faster: 1.3 to 2.2 times in all. The moves are Transposes around views, of which
 * ONNX Runtime cancels those next to the convolution. Integers, so each code is the same.
 */
#include "moves.h"
#include "write_qlinear.h"

#define WIDE 4		  /* columns in one */
#define MOST_CHANNELS 4	  /* of x */
#define LEAST_PIXELS 1024 /* of x, else the moves cost more */
#define LEAST_TAPS 3	  /* in a row of the window */

typedef struct widening {
	qdq_run *r;
	qdq_node *n; /* QLinearConv */
	const qdq_tensor *weight;
	int64_t stride, outputs;     /* of a row; in one wide pixel */
	int64_t left, right, taps;   /* wide columns beside the one in the middle, and all */
	int64_t width, result_width; /* of x and y */
	int64_t before;		     /* columns of padding */
} widening;

static bool is_plain(const qdq_node *n)
{
	return qdq_attr_string_is(n, "auto_pad", "NOTSET", "NOTSET") && qdq_attr_int(n, "group", 1) == 1 &&
	       qdq_attr_int_at(n, "dilations", 0, 1) == 1 && qdq_attr_int_at(n, "dilations", 1, 1) == 1;
}

static bool check(widening *c)
{
	const qdq_node *n = c->n;
	const qdq_shape *x = qdq_in(n, 0)->shape, *y = n->outputs[0]->shape;
	int64_t end;

	c->weight = qdq_value_constant(qdq_in(n, 3));
	if (!is_plain(n) || x == NULL || x->rank != 4 || y == NULL || y->rank != 4 || c->weight == NULL ||
	    c->weight->rank != 4 || c->weight->dims[1] > MOST_CHANNELS || c->weight->dims[1] != x->dim[1] ||
	    c->weight->dims[3] < LEAST_TAPS || x->dim[3] < 1 || x->dim[3] % WIDE != 0)
		return false;
	c->width = x->dim[3];
	c->result_width = y->dim[3];
	c->stride = qdq_attr_int_at(n, "strides", 1, 1);
	c->before = qdq_attr_int_at(n, "pads", 1, 0);
	if (c->stride < 1 || WIDE % c->stride != 0 || c->before < 0 || c->result_width * c->stride != c->width ||
	    (x->dim[2] > 0 && x->dim[2] * c->width < LEAST_PIXELS))
		return false;
	c->outputs = WIDE / c->stride;
	end = (c->outputs - 1) * c->stride + c->weight->dims[3] - 1 - c->before;
	c->left = (c->before + WIDE - 1) / WIDE;
	c->right = end > 0 ? end / WIDE : 0;
	c->taps = c->left + c->right + 1;
	return true;
}

static qdq_value *constant(widening *c, const qdq_value *named, const char *suffix, qdq_tensor *t)
{
	const char *hint = qdq_format(&c->r->scratch, "%s_%s", named->name, suffix);

	return qdq_graph_add_constant(c->r->graph, qdq_unique_name(&c->r->model->names, hint), t);
}

/* Input `index`, one number or one for each channel, for all outputs of a wide pixel. */
static void repeat(widening *c, uint32_t index)
{
	const qdq_value *v = qdq_in(c->n, index);
	const qdq_tensor *from = v != NULL ? qdq_value_constant(v) : NULL;
	int64_t dim;
	qdq_tensor *t;

	if (from == NULL || from->rank != 1 || (from->count == 1 && c->weight->dims[0] != 1))
		return;
	dim = (int64_t)from->count * c->outputs;
	t = qdq_tensor_new(c->r->model, from->type, 1, &dim);
	for (int64_t i = 0; i < c->outputs; i++)
		memcpy((char *)(uintptr_t)t->data + (uint64_t)i * from->size, from->data, (size_t)from->size);
	qdq_use_set(&c->n->inputs[index], constant(c, v, "wide", t));
}

/* Output p of a wide pixel takes its window from the columns that it begins at; the others are multiplied by zero. */
static qdq_tensor *wide_weight(widening *c)
{
	const int64_t *d = c->weight->dims;
	int64_t dims[4] = {c->outputs * d[0], WIDE * d[1], d[2], c->taps};
	qdq_tensor *t = qdq_tensor_new(c->r->model, c->weight->type, 4, dims);
	const uint8_t *from = c->weight->data;
	uint8_t *to = (void *)(uintptr_t)t->data;
	const qdq_tensor *zero = qdq_value_constant(qdq_in(c->n, 5));

	memset(to, zero != NULL && zero->count != 0 ? *(const uint8_t *)zero->data : 0, (size_t)t->size);
	for (int64_t p = 0; p < c->outputs; p++)
		for (int64_t i = 0; i < d[0] * d[1] * d[2] * d[3]; i++) {
			int64_t column = i % d[3], row = i / d[3] % d[2];
			int64_t in = i / (d[3] * d[2]) % d[1], out = i / (d[3] * d[2] * d[1]);
			int64_t at = p * c->stride + column - c->before + c->left * WIDE;
			int64_t channel = (p * d[0] + out) * dims[1] + at % WIDE * d[1] + in;

			to[(channel * d[2] + row) * c->taps + at / WIDE] = from[i];
		}
	return t;
}

/* x, channels last, with rows of other pixels: [N, channels, H, width]. Writes *last, if given. */
static qdq_value *regrouped(widening *c, qdq_node *before, qdq_value *x, int64_t width, int64_t channels,
			    qdq_node **last)
{
	const int64_t shape[4] = {0, 0, width, channels}, four = 4;
	qdq_tensor *t = qdq_tensor_new(c->r->model, QDQ_TYPE_INT64, 1, &four);
	qdq_graph *g = c->r->graph;
	qdq_node *n = qdq_node_insert(g, before, QDQ_OP_Transpose, x->name, 1, &x, 1, c->n->origin);

	memcpy((void *)(uintptr_t)t->data, shape, sizeof shape);
	qdq_attr_set_ints(n, "perm", (int64_t[]){0, 2, 3, 1}, 4);
	n = qdq_node_insert(g, before, QDQ_OP_Reshape, x->name, 2,
			    (qdq_value *[]){n->outputs[0], constant(c, x, "shape", t)}, 1, c->n->origin);
	n = qdq_node_insert(g, before, QDQ_OP_Transpose, x->name, 1, (qdq_value *[]){n->outputs[0]}, 1, c->n->origin);
	qdq_attr_set_ints(n, "perm", (int64_t[]){0, 3, 1, 2}, 4);
	*last = n;
	return n->outputs[0];
}

bool qdq_wide_pixels(qdq_run *r, qdq_node *n)
{
	widening c = {.r = r, .n = n};
	qdq_value *y = n->outputs[0], *wide;
	qdq_node *last;

	if (n->op->id != QDQ_OP_QLinearConv || !check(&c))
		return false;
	qdq_use_set(&n->inputs[3], constant(&c, qdq_in(n, 3), "wide", wide_weight(&c)));
	repeat(&c, 4);
	repeat(&c, 5);
	repeat(&c, 8);
	qdq_use_set(&n->inputs[0], regrouped(&c, n, qdq_in(n, 0), c.width / WIDE, WIDE * c.weight->dims[1], &last));
	qdq_attr_set_ints(n, "kernel_shape", (int64_t[]){c.weight->dims[2], c.taps}, 2);
	qdq_attr_set_ints(
	    n, "pads", (int64_t[]){qdq_attr_int_at(n, "pads", 0, 0), c.left, qdq_attr_int_at(n, "pads", 2, 0), c.right},
	    4);
	qdq_attr_set_ints(n, "strides", (int64_t[]){qdq_attr_int_at(n, "strides", 0, 1), 1}, 2);
	wide = qdq_value_create(r->graph, qdq_unique_name(&r->model->names, y->name));
	qdq_value_set_type(wide, y->type, NULL);
	n->outputs[0] = wide;
	wide->def = n;
	y->def = NULL;
	regrouped(&c, n->next, wide, c.result_width, c.weight->dims[0], &last);
	qdq_value_redefine(y, last, 0);
	qdq_applied(r, "write_qlinear.wide", QDQ_EXACT, 0, n->origin);
	return true;
}

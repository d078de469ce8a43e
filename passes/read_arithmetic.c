/* SPDX-License-Identifier: Apache-2.0
 *
 * read_arithmetic -- fake quantization that is written out in arithmetic, as Q/DQ
 *
 *   x -- Div(s) -- Round -- Clip(a, b) -- Mul(s) -- y                    =>   x -- Q -- Clip(a, b) -- DQ -- y
 *   x -- Div(s) -- Clip(a, b) -- Round -- Mul(s) -- y                         the Clip of codes only where they are fewer
 *   x -- Div(s) -- Round -- Add(z) -- Clip(a, b) -- Sub(z) -- Mul(s) -- y     than 8 bits have
 *   x -- Mul(k) -- Round -- Clip(a, b) -- Div(k) -- y                    =>   … with scale 1 / k
 *
 *   When    what is multiplied by is what was divided by (or its inverse); a and b are whole numbers of int8 or uint8; z is
 *           one of them; scales come from constants alone; float32. Round, Clip and Add in any order, Add before Clip
 *   Keeps   the name of y; whatever others read in between
 *   Exact   STEP1: no code moves but at ties; zeros lose their sign, and NaN becomes a code
 *   Needs   ranks                           Breaks  nothing
 *   After   canonicalize                    Before  fold
 *   Tests   test/golden/read_arithmetic/    Ref     LSQ, DoReFa and other training loops
 *
 * It runs before fold, which would compute such a weight as floats; the scale may be computed in the graph.
 */
#include <math.h>

#include "moves.h"

#define SAME_SCALE 1e-6 /* an inverse is rounded once more */
#define DEPTH 32	/* of what a scale may be computed by */
#define VISITS 1024	/* of that, on all ways */

typedef struct reading {
	qdq_run *r;
	qdq_node *root; /* the last Mul or Div */
	qdq_value *x;
	qdq_value *scale, *inverse; /* what comes last is a Mul by scale, or a Div by inverse */
	qdq_value *first;	    /* what x is divided by, or multiplied by */
	bool first_divides;
	qdq_value *zero; /* NULL: none */
	const qdq_node *clip;
	bool added, rounded;
	const qdq_node *steps[6]; /* what stands between x and the root */
	size_t n_steps;
	double low, high;
	qdq_type codes;
	int64_t axis;
	uint64_t count;
	qdq_reason why;
} reading;

/* ---- matching, from the end ---- */

static bool same(const qdq_value *a, const qdq_value *b)
{
	const qdq_tensor *s = qdq_value_constant(a), *t = qdq_value_constant(b);

	return a == b || (s != NULL && t != NULL && qdq_tensor_equal(s, t));
}

/* Is b, number for number, 1 / a? */
static bool inverse_of(const qdq_value *a, const qdq_value *b)
{
	const qdq_tensor *s = qdq_value_constant(a), *t = qdq_value_constant(b);
	double p, q;

	if (s == NULL || t == NULL || s->count != t->count || s->rank != t->rank)
		return false;
	for (uint64_t i = 0; i < s->count; i++)
		if (!qdq_tensor_real(s, i, &p) || !qdq_tensor_real(t, i, &q) || !(fabs(p * q - 1) <= SAME_SCALE))
			return false;
	return s->count != 0;
}

/* The Adds, Rounds and Clips between the scales; what is left in front of them. */
static qdq_value *match_steps(reading *c, qdq_value *v)
{
	for (;;) {
		const qdq_node *n = v != NULL ? v->def : NULL;

		if (n == NULL || n->graph != c->root->graph)
			return NULL;
		c->steps[c->n_steps] = n;
		if (n->op->id == QDQ_OP_Round && !c->rounded) {
			c->rounded = true;
			v = qdq_in(n, 0);
		} else if (n->op->id == QDQ_OP_Clip && c->clip == NULL && !c->added) {
			c->clip = n;
			v = qdq_in(n, 0);
		} else if (n->op->id == QDQ_OP_Add && c->zero != NULL && !c->added && n->n_inputs == 2 &&
			   (same(qdq_in(n, 1), c->zero) || same(qdq_in(n, 0), c->zero))) {
			c->added = true;
			v = qdq_in(n, same(qdq_in(n, 1), c->zero) ? 0 : 1);
		} else {
			return v;
		}
		c->n_steps++;
	}
}

/* Does v, divided by or multiplied with something, stand at the beginning? */
static bool match_first(reading *c, const qdq_value *v)
{
	const qdq_node *n = v != NULL ? v->def : NULL;

	if (n == NULL || n->n_inputs != 2 || (n->op->id != QDQ_OP_Div && n->op->id != QDQ_OP_Mul))
		return false;
	c->steps[c->n_steps++] = n;
	c->first_divides = n->op->id == QDQ_OP_Div;
	for (uint32_t i = 0; i < (c->first_divides ? 1U : 2U); i++) {
		c->x = qdq_in(n, i);
		c->first = qdq_in(n, 1 - i);
		if (c->first_divides == (c->scale != NULL) ? same(c->first, c->scale != NULL ? c->scale : c->inverse)
							   : c->scale != NULL && inverse_of(c->scale, c->first))
			return true;
	}
	return false;
}

/* With operand `i` of the root as the scale. */
static bool match_from(reading *c, uint32_t i)
{
	qdq_value *v = qdq_in(c->root, 1 - i);
	const qdq_node *sub = qdq_def(v, QDQ_OP_Sub);

	*c = (reading){.r = c->r, .root = c->root};
	if (c->root->op->id == QDQ_OP_Mul)
		c->scale = qdq_in(c->root, i);
	else
		c->inverse = qdq_in(c->root, i);
	if (sub != NULL && sub->n_inputs == 2) {
		c->steps[c->n_steps++] = sub;
		c->zero = qdq_in(sub, 1);
		v = qdq_in(sub, 0);
	}
	v = match_steps(c, v);
	return c->rounded && c->clip != NULL && c->added == (c->zero != NULL) && match_first(c, v);
}

static bool match(reading *c)
{
	if (c->root->n_inputs != 2 || qdq_out(c->root, 0) == NULL)
		return false;
	return match_from(c, 1) || (c->root->op->id == QDQ_OP_Mul && match_from(c, 0));
}

/* ---- checking ---- */

static bool refuse(reading *c, qdq_reason_code code, const qdq_value *operand, const char *detail)
{
	c->why = (qdq_reason){.code = code, .operand = operand != NULL ? operand->name : NULL, .detail = detail};
	return false;
}

static bool bound(const reading *c, uint32_t input, const char *attr, double *out)
{
	const qdq_attr *a = qdq_attr_find(c->clip, attr);

	if (c->r->model->opset < 11) {
		*out = a != NULL && a->type == QDQ_ATTR_FLOAT ? (double)a->u.f : NAN;
		return a != NULL;
	}
	return qdq_in(c->clip, input) != NULL && qdq_value_scalar(qdq_in(c->clip, input), out);
}

static bool find_codes(reading *c)
{
	if (!bound(c, 1, "min", &c->low) || !bound(c, 2, "max", &c->high))
		return refuse(c, QDQ_REASON_FAKE_QUANTIZE, c->x, "its bounds are not constant");
	if (c->low != rint(c->low) || c->high != rint(c->high) || !(c->low < c->high))
		return refuse(c, QDQ_REASON_FAKE_QUANTIZE, c->x, "its bounds are no whole numbers");
	c->codes = c->low >= 0 && c->high <= 255      ? QDQ_TYPE_UINT8
		   : c->low >= -128 && c->high <= 127 ? QDQ_TYPE_INT8
						      : QDQ_TYPE_NONE;
	return c->codes != QDQ_TYPE_NONE || refuse(c, QDQ_REASON_FAKE_QUANTIZE, c->x, "it has more than 8 bits");
}

static bool is_narrow(const reading *c)
{
	return c->low != (double)qdq_type_min(c->codes) || c->high != (double)qdq_type_max(c->codes);
}

/* Does v depend on constants alone? */
static bool is_static(const qdq_value *v, int depth, int *visits)
{
	const qdq_node *n = v->def;

	if (qdq_value_constant(v) != NULL)
		return true;
	if (n == NULL || depth == 0 || (*visits)++ >= VISITS || n->n_inputs == 0 || n->region != NULL ||
	    n->op->id == QDQ_OP_NONE)
		return false;
	for (uint32_t i = 0; i < n->n_inputs; i++)
		if (qdq_in(n, i) != NULL && !is_static(qdq_in(n, i), depth - 1, visits))
			return false;
	return true;
}

/* The axis of x along which the scales lie. */
static bool find_axis(reading *c)
{
	const qdq_value *s = c->scale != NULL ? c->scale : c->inverse;
	const qdq_shape *shape = s->shape, *x = c->x->shape;

	c->count = 1;
	c->axis = -1;
	if (shape == NULL || !qdq_shape_known(shape))
		return refuse(c, QDQ_REASON_SHAPE_UNKNOWN, s, NULL);
	if (shape->rank > 0 && (x == NULL || shape->rank > x->rank))
		return x == NULL && refuse(c, QDQ_REASON_SHAPE_UNKNOWN, c->x, NULL);
	for (int32_t i = 0; i < shape->rank; i++) {
		if (shape->dim[i] == 1)
			continue;
		if (c->axis >= 0)
			return refuse(c, QDQ_REASON_FAKE_QUANTIZE, c->x, "its parameters change along several axes");
		c->axis = i + x->rank - shape->rank;
		c->count = (uint64_t)shape->dim[i];
		if (x->dim[c->axis] != shape->dim[i])
			return refuse(c, QDQ_REASON_FAKE_QUANTIZE, c->x, "its parameters do not fit its input");
	}
	return c->count != 0;
}

static bool zero_fits(reading *c)
{
	const qdq_value *scale = c->scale != NULL ? c->scale : c->inverse;
	const qdq_tensor *t = qdq_value_constant(c->zero);
	double z;

	if (c->zero == NULL)
		return true;
	if (t == NULL || (t->count != 1 && !qdq_shape_equal(c->zero->shape, scale->shape)) ||
	    (t->count == 1 && t->rank > 1))
		return refuse(c, QDQ_REASON_FAKE_QUANTIZE, c->zero, "its zero point is not constant");
	for (uint64_t i = 0; i < t->count; i++)
		if (!qdq_tensor_real(t, i, &z) || z != rint(z) || z < (double)qdq_type_min(c->codes) ||
		    z > (double)qdq_type_max(c->codes))
			return refuse(c, QDQ_REASON_FAKE_QUANTIZE, c->zero, "0 is none of its levels");
	return true;
}

static bool check(reading *c)
{
	const qdq_value *s = c->scale != NULL ? c->scale : c->inverse;
	int opset = c->r->model->opset, visits = 0;

	if (c->x->type != QDQ_TYPE_FLOAT || s->type != QDQ_TYPE_FLOAT)
		return refuse(c, QDQ_REASON_FAKE_QUANTIZE, c->x, "its numbers are not float32");
	if (!is_static(s, DEPTH, &visits) || (c->scale == NULL && qdq_value_constant(s) == NULL))
		return refuse(c, QDQ_REASON_SCALE_DYNAMIC, s, NULL);
	if (!find_codes(c) || !find_axis(c) || !zero_fits(c))
		return false;
	if (opset < 10 || (c->count > 1 && opset < 13) || (is_narrow(c) && opset < 12))
		return refuse(c, QDQ_REASON_OPSET, c->x, c->count > 1 ? "a scale per channel" : "a Clip of codes");
	return qdq_allowed(c->r, QDQ_STEP1) || refuse(c, QDQ_REASON_NOT_EXACT, NULL, NULL);
}

/* ---- changing ---- */

static qdq_value *constant(reading *c, const char *what, const qdq_tensor *t)
{
	qdq_model *m = c->r->model;
	const char *base = c->root->outputs[0]->name;
	qdq_name name = qdq_unique_name(&m->names, qdq_format(&c->r->scratch, "%s_%s", base, what));

	return qdq_graph_add_constant(c->root->graph, name, t);
}

static qdq_tensor *list_of(reading *c, qdq_type type)
{
	int64_t dim = (int64_t)c->count;

	return qdq_tensor_new(c->r->model, type, c->count == 1 ? 0 : 1, &dim);
}

/* As Q wants it: one number or a list. A scale that is yet to be computed is reshaped. */
static qdq_value *plain_scale(reading *c)
{
	const qdq_tensor *s = qdq_value_constant(c->scale != NULL ? c->scale : c->inverse);
	int64_t one = 1;
	qdq_tensor *t;
	qdq_node *made;

	if (s != NULL) {
		t = list_of(c, QDQ_TYPE_FLOAT);
		for (uint64_t i = 0; i < c->count; i++) {
			double real = 1;

			qdq_tensor_real(s, i, &real);
			qdq_tensor_set_real(t, i, c->scale != NULL ? real : 1 / real);
		}
		return constant(c, "scale", t);
	}
	if (c->scale->shape->rank <= 1)
		return c->scale;
	t = qdq_tensor_new(c->r->model, QDQ_TYPE_INT64, 1, &one);
	memcpy((void *)(uintptr_t)t->data, &(int64_t){-1}, sizeof(int64_t));
	made = qdq_node_insert(c->root->graph, c->root, QDQ_OP_Reshape, c->scale->name, 2,
			       (qdq_value *[]){c->scale, constant(c, "shape", t)}, 1, c->root->origin);
	qdq_value_set_type(made->outputs[0], QDQ_TYPE_FLOAT,
			   qdq_shape_new(c->r->model, 1, &(qdq_dim){(qdq_dim)c->count}));
	return made->outputs[0];
}

static qdq_params params_of(reading *c)
{
	const qdq_tensor *zero = qdq_value_constant(c->zero);
	qdq_params p = {.codes = c->codes,
			.real = QDQ_TYPE_FLOAT,
			.per_tensor = c->count == 1,
			.axis = c->axis,
			.count = c->count,
			.scale = plain_scale(c)};
	const qdq_shape *s = p.scale->shape;
	qdq_tensor *t = qdq_tensor_new(c->r->model, c->codes, s->rank, s->dim);

	for (uint64_t i = 0; zero != NULL && i < c->count; i++) {
		double z = 0;

		qdq_tensor_real(zero, zero->count == 1 ? 0 : i, &z);
		qdq_tensor_set_real(t, i, z);
	}
	p.zero = constant(c, "zero_point", t);
	return p;
}

static qdq_value *clip_codes(reading *c, qdq_value *codes)
{
	qdq_tensor *low = qdq_tensor_new(c->r->model, c->codes, 0, NULL);
	qdq_tensor *high = qdq_tensor_new(c->r->model, c->codes, 0, NULL);
	qdq_node *made;

	qdq_tensor_set_real(low, 0, c->low);
	qdq_tensor_set_real(high, 0, c->high);
	made = qdq_node_insert(c->root->graph, c->root, QDQ_OP_Clip, c->root->outputs[0]->name, 3,
			       (qdq_value *[]){codes, constant(c, "low", low), constant(c, "high", high)}, 1,
			       c->root->origin);
	qdq_value_set_type(made->outputs[0], c->codes, codes->shape);
	return made->outputs[0];
}

static void change(reading *c)
{
	qdq_node *n = c->root;
	qdq_value *y = n->outputs[0];
	qdq_params p = params_of(c);
	qdq_value *codes;

	for (size_t i = 0; i < c->n_steps; i++)
		n->origin = qdq_origin_join(c->r->model, n->origin, c->steps[i]->origin);
	codes = qdq_quantize_insert(n->graph, n, c->x, &p, y->name, n->origin)->outputs[0];

	if (is_narrow(c))
		codes = clip_codes(c, codes);
	n->outputs[0] = NULL;
	y->def = NULL;
	qdq_dequantize_into(y, n, codes, &p, n->origin);
	qdq_node_remove(n);
}

static const qdq_rule rules[] = {
    {.name = "read_arithmetic.fake",
     .exactness = QDQ_STEP1,
     .text = "division, rounding, clipping and multiplication become Q and DQ"},
};

static void run(qdq_run *r)
{
	bool any = false;
	qdq_node *next;

	if (!qdq_model_has(r->model, QDQ_OP_Round))
		return;
	for (qdq_node *n = r->graph->first; n != NULL; n = next) {
		reading c = {.r = r, .root = n};

		next = qdq_after(n);
		if ((n->op->id != QDQ_OP_Mul && n->op->id != QDQ_OP_Div) || !match(&c))
			continue;
		if (check(&c)) {
			const qdq_origin *origin = n->origin;

			change(&c);
			qdq_applied(r, rules[0].name, QDQ_STEP1, 0, origin);
			any = true;
		} else if (c.why.code != QDQ_REASON_NONE) {
			qdq_declined(r, rules[0].name, n->origin, &c.why);
		}
	}
	if (any)
		qdq_drop_dead(r);
}

const qdq_pass qdq_pass_read_arithmetic = {
    "read_arithmetic", "fake quantization in arithmetic as Q/DQ", rules, QDQ_COUNTOF(rules), run, false};

/* SPDX-License-Identifier: Apache-2.0
 *
 * read_integer -- ConvInteger and MatMulInteger, with the arithmetic of their scales, as Q/DQ
 *
 *   xq -- ConvInteger -- Cast -- Mul(s) -- y         =>   xq -- DQ(sx) ------- Conv -- y
 *   wq ---'                                               wq -- DQ(s / sx) ----'
 *   … MatMulInteger -- Add(b) -- Cast -- Mul(s) -- y =>   … MatMul -- Add(DQ(b, s)) -- y     b is int32
 *
 *   When    zero points are constants; what the Cast to float is multiplied by is constant: one number, or one for each
 *           output channel (several Muls are one product); nobody else reads what stands in between
 *   Keeps   the name of y, attributes; a float bias stays the Add that it is
 *   Exact   STEP1: the same integers are scaled in another order of rounding
 *   Needs   types, shapes, constant scales  Breaks  nothing
 *   After   fold, read_fake                 Before  sink_dq
 *   Tests   test/golden/read_integer/       Ref     ONNX ConvInteger, MatMulInteger
 *
 * sx is what a Q or DQ of the same codes says, looked for over operators that only move them. The file knows the
 * product of both scales only; where a factor of it is sx the others are the weight's scale, else it is divided. Codes
 * that nobody says anything about get sx = 1: any split gives the same product.
 */
#include <float.h>
#include <math.h>

#include "moves.h"

#define FACTORS 4   /* that are multiplied one after the other */
#define MOVES 64    /* operators that codes are followed back over */
#define READERS 256 /* of codes, among which a DQ is looked for: each of the others looks */

typedef struct reading {
	qdq_run *r;
	qdq_node *n;
	qdq_node *add;		/* of an int32 constant; NULL: none */
	const qdq_tensor *bias; /* what it adds */
	qdq_node *cast;
	qdq_node *muls[FACTORS];
	const qdq_tensor *factors[FACTORS];
	size_t count;
	int64_t axis;	    /* of the weight, along which its scales lie */
	int64_t channels;   /* along it; -1: not known */
	uint64_t scales;    /* 1, or channels */
	qdq_value *x_scale; /* NULL: 1 is as good as any */
	qdq_reason why;
} reading;

static bool refuse(reading *c, qdq_reason_code code, const qdq_value *operand, const char *detail)
{
	c->why = (qdq_reason){.code = code, .operand = operand != NULL ? operand->name : NULL, .detail = detail};
	if (operand != NULL && operand->def != NULL)
		c->why.cause = qdq_node_label(operand->def);
	return false;
}

static bool is_conv(const reading *c)
{
	return c->n->op->id == QDQ_OP_ConvInteger;
}

/* ---- what stands behind the sum ---- */

static const qdq_tensor *other_constant(const qdq_node *n, const qdq_value *v)
{
	return n->n_inputs == 2 ? qdq_value_constant(qdq_in(n, qdq_in(n, 0) == v ? 1 : 0)) : NULL;
}

/* Does t apply to the sum as one number, or as one for each output channel? */
static bool along_channels(const reading *c, const qdq_tensor *t)
{
	const qdq_shape *y = c->n->outputs[0]->shape;
	int32_t channel;

	if (t->count == 1)
		return t->rank == 0 || (y != NULL && t->rank <= y->rank);
	if (y == NULL || t->rank > y->rank || (int64_t)t->count != c->channels)
		return false;
	channel = (is_conv(c) ? 1 : y->rank - 1) - (y->rank - t->rank);
	return channel >= 0 && (int64_t)t->count == t->dims[channel];
}

static bool find_channels(reading *c)
{
	const qdq_value *w = qdq_in(c->n, 1);
	const qdq_shape *s = w->shape;

	c->axis = is_conv(c) ? 0 : s != NULL && s->rank > 1 ? s->rank - 1 : -1;
	c->channels = s != NULL && c->axis >= 0 && c->axis < s->rank ? s->dim[c->axis] : -1;
	return true;
}

/* The Muls behind the Cast, as long as they are by constants that may be scales. */
static void find_factors(reading *c)
{
	qdq_value *v = c->cast->outputs[0];

	while (c->count < FACTORS) {
		qdq_node *mul = qdq_reader(v);
		const qdq_tensor *t = qdq_is(mul, QDQ_OP_Mul) ? other_constant(mul, v) : NULL;

		if (t == NULL || t->type != QDQ_TYPE_FLOAT || t->count == 0 || !along_channels(c, t))
			return;
		c->scales = t->count > c->scales ? t->count : c->scales;
		c->muls[c->count] = mul;
		c->factors[c->count++] = t;
		v = mul->outputs[0];
	}
}

static bool find_arithmetic(reading *c)
{
	qdq_value *v = c->n->outputs[0];
	qdq_node *next = qdq_reader(v);

	if (qdq_is(next, QDQ_OP_Add) && other_constant(next, v) != NULL) {
		c->bias = other_constant(next, v);
		if (c->bias->count == 0 || v->shape == NULL || v->shape->rank == 0 || c->channels < 0 ||
		    !along_channels(c, c->bias))
			return refuse(c, QDQ_REASON_SCALE_ARITHMETIC, next->outputs[0], "an Add of another shape");
		c->add = next;
		v = next->outputs[0];
		next = qdq_reader(v);
	}
	if (!qdq_is(next, QDQ_OP_Cast) || next->outputs[0]->type != QDQ_TYPE_FLOAT)
		return refuse(c, QDQ_REASON_SCALE_ARITHMETIC, v, "no Cast to float that alone reads the sum");
	c->cast = next;
	c->scales = 1;
	find_factors(c);
	return c->count != 0 || refuse(c, QDQ_REASON_SCALE_ARITHMETIC, next->outputs[0],
				       "no Mul by a constant, one number or one for each output channel");
}

/* ---- parameters ---- */

/* Input `index` of n: the zero point, constant or absent. */
static bool zero_known(reading *c, uint32_t index, uint64_t most)
{
	const qdq_value *zero = qdq_in(c->n, index);
	const qdq_tensor *t = qdq_value_constant(zero);

	if (zero != NULL && t == NULL)
		return refuse(c,
			      qdq_def(zero, QDQ_OP_DynamicQuantizeLinear) != NULL ? QDQ_REASON_DYNAMIC_QUANTIZE
										  : QDQ_REASON_SCALE_DYNAMIC,
			      zero, NULL);
	return t == NULL || t->count == 1 || (t->count == most && t->rank == 1) ||
	       refuse(c, QDQ_REASON_SCALE_ARITHMETIC, zero, "zero points for each row");
}

/* Codes that only moved have the scale that they had before. */
static const qdq_value *source_of(const qdq_value *codes)
{
	const qdq_node *n = codes->def;

	for (int i = 0; i < MOVES && n != NULL && qdq_is_move(n); i++) {
		if (n->n_inputs == 0 || qdq_in(n, 0) == NULL || qdq_in(n, 0)->type != codes->type)
			break;
		codes = qdq_in(n, 0);
		n = codes->def;
	}
	return codes;
}

static qdq_value *usable_scale(const qdq_node *n)
{
	qdq_params p;

	return n != NULL && qdq_params_of(n, &p) && p.constant && p.per_tensor && p.positive && p.block == 0 ? p.scale
													     : NULL;
}

/* What a Q or a DQ says about these codes. */
static qdq_value *scale_of(const qdq_value *codes)
{
	const qdq_value *v = source_of(codes);
	qdq_value *scale = usable_scale(v->def);
	int readers = 0;

	for (const qdq_use *u = v->uses; u != NULL && scale == NULL && readers++ < READERS; u = u->next)
		if (qdq_is_dequantizer(u->node) && qdq_use_index(u) == 0)
			scale = usable_scale(u->node);
	return scale;
}

static double factor(const reading *c, size_t k, uint64_t channel)
{
	double f = 0;

	qdq_tensor_real(c->factors[k], c->factors[k]->count == 1 ? 0 : channel, &f);
	return f;
}

/* What the integer sum of a channel is multiplied by; `without` leaves one factor out. */
static double product(const reading *c, uint64_t channel, size_t without)
{
	double all = 1;

	for (size_t k = 0; k < c->count; k++)
		all = k == without ? all : (double)(float)(all * factor(c, k, channel));
	return all;
}

/* The scale of the weight's channel. */
static double weight_scale(const reading *c, uint64_t channel)
{
	double x = 1;

	if (c->x_scale == NULL)
		return product(c, channel, FACTORS);
	qdq_value_scalar(c->x_scale, &x);
	for (size_t k = 0; k < c->count && c->count > 1; k++)
		if (c->factors[k]->count == 1 && factor(c, k, 0) == x)
			return product(c, channel, k);
	return (double)(float)(product(c, channel, FACTORS) / x);
}

static bool scales_fit(reading *c)
{
	for (uint64_t i = 0; i < c->scales; i++) {
		double w = fabs(weight_scale(c, i)), p = fabs(product(c, i, FACTORS));

		if (!(w >= FLT_MIN && w <= FLT_MAX && p >= FLT_MIN && p <= FLT_MAX))
			return refuse(c, QDQ_REASON_SCALE_SIGN, c->muls[0]->outputs[0], NULL);
	}
	return true;
}

static uint64_t weight_params(const reading *c)
{
	const qdq_tensor *zero = qdq_value_constant(qdq_in(c->n, 3));

	return zero != NULL && zero->count > c->scales ? zero->count : c->scales;
}

static bool check(reading *c)
{
	qdq_node *n = c->n;

	if (qdq_in(n, 0) == NULL || qdq_in(n, 1) == NULL || qdq_out(n, 0) == NULL || !find_channels(c))
		return refuse(c, QDQ_REASON_NONE, NULL, NULL);
	if (!zero_known(c, 2, 1) || !zero_known(c, 3, c->channels < 0 ? 1 : (uint64_t)c->channels) ||
	    !find_arithmetic(c))
		return false;
	c->x_scale = scale_of(qdq_in(n, 0));
	if (weight_params(c) > 1 && n->graph->model->opset < 13)
		return refuse(c, QDQ_REASON_OPSET, qdq_in(n, 1), "a scale per channel");
	return scales_fit(c);
}

bool qdq_integer_reads(const qdq_node *n, qdq_reason *why)
{
	reading c = {.n = (qdq_node *)(uintptr_t)n};
	bool good = check(&c);

	*why = c.why;
	return good;
}

/* ---- changing ---- */

static qdq_value *constant(reading *c, const qdq_value *named, const char *what, const qdq_tensor *t)
{
	qdq_model *m = c->r->model;

	return qdq_graph_add_constant(
	    c->n->graph, qdq_unique_name(&m->names, qdq_format(&c->r->scratch, "%s_%s", named->name, what)), t);
}

static qdq_tensor *list_of(reading *c, qdq_type type, uint64_t count)
{
	int64_t dim = (int64_t)count;

	return qdq_tensor_new(c->r->model, type, count == 1 ? 0 : 1, &dim);
}

/* Input `index` (a zero point, or nothing) as a list of `count`. */
static qdq_value *zeros(reading *c, uint32_t index, const qdq_value *codes, uint64_t count)
{
	const qdq_tensor *t = qdq_value_constant(qdq_in(c->n, index));
	qdq_tensor *made;

	if (t != NULL && t->count == count && t->rank == (count == 1 ? 0 : 1))
		return qdq_in(c->n, index);
	made = list_of(c, codes->type, count);
	for (uint64_t i = 0; t != NULL && i < count; i++)
		((uint8_t *)(uintptr_t)made->data)[i] = ((const uint8_t *)t->data)[t->count == 1 ? 0 : i];
	return constant(c, codes, "zero_point", made);
}

static qdq_params input_params(reading *c)
{
	const qdq_value *x = qdq_in(c->n, 0);
	qdq_params p = {.codes = x->type, .real = QDQ_TYPE_FLOAT, .constant = true, .per_tensor = true, .count = 1};
	double scale = 1;

	p.scale = c->x_scale;
	if (p.scale == NULL || p.scale->type != QDQ_TYPE_FLOAT || p.scale->shape == NULL || p.scale->shape->rank != 0) {
		qdq_tensor *t = list_of(c, QDQ_TYPE_FLOAT, 1);

		if (p.scale != NULL)
			qdq_value_scalar(p.scale, &scale);
		qdq_tensor_set_real(t, 0, scale);
		p.scale = constant(c, x, "scale", t);
	}
	p.zero = zeros(c, 2, x, 1);
	return p;
}

static qdq_params weight_params_made(reading *c)
{
	const qdq_value *w = qdq_in(c->n, 1);
	qdq_params p = {.codes = w->type, .real = QDQ_TYPE_FLOAT, .constant = true, .axis = c->axis};
	qdq_tensor *t;

	p.count = weight_params(c);
	p.per_tensor = p.count == 1;
	t = list_of(c, QDQ_TYPE_FLOAT, p.count);
	for (uint64_t i = 0; i < p.count; i++)
		qdq_tensor_set_real(t, i, weight_scale(c, i));
	p.scale = constant(c, w, "scale", t);
	p.zero = zeros(c, 3, w, p.count);
	return p;
}

/* The int32 bias, dequantized with the product of the scales. */
static qdq_value *bias(reading *c)
{
	const qdq_value *sum = c->add->outputs[0];
	uint64_t count = is_conv(c) ? (uint64_t)c->channels : c->bias->count;
	uint64_t scales = c->scales > 1 ? c->scales : 1;
	qdq_params p = {.codes = QDQ_TYPE_INT32, .real = QDQ_TYPE_FLOAT, .constant = true, .count = scales};
	int64_t dim = (int64_t)(count > scales ? count : scales);
	qdq_tensor *codes = qdq_tensor_new(c->r->model, QDQ_TYPE_INT32, 1, &dim);
	qdq_tensor *t = list_of(c, QDQ_TYPE_FLOAT, scales);

	for (uint64_t i = 0; i < codes->count; i++)
		memcpy((char *)(uintptr_t)codes->data + 4 * i,
		       (const char *)c->bias->data + 4 * (c->bias->count == 1 ? 0 : i), 4);
	for (uint64_t i = 0; i < scales; i++)
		qdq_tensor_set_real(t, i, product(c, i, FACTORS));
	p.per_tensor = scales == 1;
	p.scale = constant(c, sum, "scale", t);
	return qdq_dequantize_insert(c->n->graph, c->n, constant(c, sum, "bias", codes), &p, sum->name, c->n->origin)
	    ->outputs[0];
}

/* The Cast, the Muls and the Add go; n gives their result. */
static void take_result(reading *c)
{
	qdq_node *n = c->n;
	qdq_model *m = c->r->model;
	qdq_node *gone[FACTORS + 2] = {c->cast, c->add};
	qdq_value *sum = n->outputs[0];
	qdq_value *y = c->muls[c->count - 1]->outputs[0];

	for (size_t k = 0; k < c->count; k++)
		gone[2 + k] = c->muls[k];
	qdq_value_set_type(sum, QDQ_TYPE_FLOAT, sum->shape);
	for (size_t k = 0; k < QDQ_COUNTOF(gone); k++) {
		if (gone[k] == NULL)
			continue;
		n->origin = qdq_origin_join(m, n->origin, gone[k]->origin);
		for (uint32_t i = 0; i < gone[k]->n_inputs; i++)
			qdq_use_set(&gone[k]->inputs[i], NULL);
	}
	qdq_value_redefine(y, n, 0);
	for (size_t k = 0; k < QDQ_COUNTOF(gone); k++)
		if (gone[k] != NULL)
			qdq_node_remove(gone[k]);
}

static void change(reading *c)
{
	qdq_node *n = c->n;
	qdq_graph *g = n->graph;
	qdq_params x = input_params(c), w = weight_params_made(c);
	qdq_value *b = c->add != NULL ? bias(c) : NULL;
	qdq_value *inputs[3] = {
	    qdq_dequantize_insert(g, n, qdq_in(n, 0), &x, qdq_in(n, 0)->name, n->origin)->outputs[0],
	    qdq_dequantize_insert(g, n, qdq_in(n, 1), &w, qdq_in(n, 1)->name, n->origin)->outputs[0], b};
	bool inside = b != NULL && is_conv(c);
	bool conv = is_conv(c);

	take_result(c);
	qdq_node_resize_inputs(n, inside ? 3 : 2);
	for (uint32_t i = 0; i < n->n_inputs; i++)
		qdq_use_set(&n->inputs[i], inputs[i]);
	qdq_node_set_op(n, conv ? QDQ_OP_Conv : QDQ_OP_MatMul);
	if (b != NULL && !inside) {
		qdq_value *y = n->outputs[0];
		qdq_value *real = qdq_value_create(g, qdq_unique_name(&c->r->model->names, y->name));
		qdq_node *add;

		qdq_value_set_type(real, QDQ_TYPE_FLOAT, y->shape);
		n->outputs[0] = real;
		real->def = n;
		y->def = NULL;
		add = qdq_node_insert(g, n->next, QDQ_OP_Add, y->name, 2, (qdq_value *[]){real, b}, 1, n->origin);
		qdq_value_redefine(y, add, 0);
	}
}

static const qdq_rule rules[] = {
    {.name = "read_integer.ConvInteger",
     .exactness = QDQ_STEP1,
     .text = "ConvInteger, Cast and the Muls by its scales become Conv between DQs"},
    {.name = "read_integer.MatMulInteger",
     .exactness = QDQ_STEP1,
     .text = "MatMulInteger, Cast and the Muls by its scales become MatMul between DQs"},
};

static void read_node(qdq_run *r, qdq_node *n)
{
	reading c = {.r = r, .n = n};
	const char *rule = rules[is_conv(&c) ? 0 : 1].name;
	bool good = check(&c);

	if (good && !qdq_allowed(r, QDQ_STEP1))
		good = refuse(&c, QDQ_REASON_NOT_EXACT, NULL, NULL);
	if (!good) {
		if (c.why.code != QDQ_REASON_NONE)
			qdq_declined(r, rule, n->origin, &c.why);
		return;
	}
	change(&c);
	qdq_applied(r, rule, QDQ_STEP1, 0, n->origin);
}

static void run(qdq_run *r)
{
	qdq_node *next;

	if (!qdq_model_has(r->model, QDQ_OP_ConvInteger) && !qdq_model_has(r->model, QDQ_OP_MatMulInteger))
		return;
	for (qdq_node *n = r->graph->first; n != NULL; n = next) {
		next = n->next;
		if (qdq_is(n, QDQ_OP_ConvInteger) || qdq_is(n, QDQ_OP_MatMulInteger)) {
			read_node(r, n);
			next = n->next;
		}
	}
}

const qdq_pass qdq_pass_read_integer = {
    "read_integer", "ConvInteger and MatMulInteger as Q/DQ around the float operator", rules, QDQ_COUNTOF(rules), run,
    false};

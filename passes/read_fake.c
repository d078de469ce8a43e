/* SPDX-License-Identifier: Apache-2.0
 *
 * read_fake -- fake quantization, as training tools write it, as Q/DQ
 *
 *   x -- FakeQuantize(low, high, 256) -- y    =>   x -- Q -- DQ -- y              scale (high - low) / 255
 *   x -- Quant(s, z, 8 bits) -- y             =>   x -- Q -- DQ -- y
 *   x -- Quant(s, z, narrow) -- y             =>   x -- Clip -- Q -- DQ -- y      fewer codes: fewer bits, 255 levels
 *   w -- Quant or FakeQuantize -- y           =>   codes (initializer) -- DQ -- y
 *   b -- Quant (other than 8 bits) -- y       =>   y (initializer)
 *
 *   When    parameters are constants, one for the tensor or one for each index of one axis; float32; at most 256 levels,
 *           one of which is 0; rounding is half to even; fewer codes than 8 bits have only for a whole tensor, or constants
 *   Keeps   the name of y
 *   Exact   EXACT for Quant with zero point 0 and of constants; else STEP1: a shift in front of the rounding moves ties
 *   Needs   constant parameters, ranks      Breaks  nothing
 *   After   fold                            Before  fold_bn, absorb_cast, sink_dq
 *   Tests   test/golden/read_fake/          Ref     OpenVINO FakeQuantize; QONNX Quant
 */
#include <float.h>
#include <math.h>

#include "../lib/eval/eval.h"
#include "moves.h"

#define NEAR_LEVEL \
	1e-4 /* of a step: how far 0 may be from its level, by the float arithmetic of whoever made the range */

/* The grid: code q of channel c stands for (q - zero[c]) * scale[c]. */
typedef struct grid {
	qdq_run *r; /* NULL: only asked */
	qdq_node *n;
	qdq_reason why;
	uint64_t count; /* channels */
	int64_t axis;
	qdq_type codes;
	float *scale;
	int64_t *zero;
	int64_t least, greatest; /* codes that there are */
	qdq_exactness exactness;
	qdq_arena *arena;
} grid;

static bool refuse(grid *g, qdq_reason_code code, const qdq_value *operand, const char *detail)
{
	g->why = (qdq_reason){.code = code, .operand = operand != NULL ? operand->name : NULL, .detail = detail};
	return false;
}

static bool not_a_grid(grid *g, const char *detail)
{
	return refuse(g, QDQ_REASON_FAKE_QUANTIZE, qdq_in(g->n, 0), detail);
}

/* ---- operands, for each channel ---- */

/* Joins the channels of one operand to those found before: one number, or a list along one axis of x. */
static bool join_channels(grid *g, uint32_t index)
{
	const qdq_value *v = qdq_in(g->n, index);
	const qdq_tensor *t = qdq_value_constant(v);
	const qdq_shape *x = qdq_in(g->n, 0)->shape;
	int64_t axis = -1;

	if (t == NULL)
		return refuse(g, QDQ_REASON_SCALE_DYNAMIC, v, NULL);
	if (t->count == 1)
		return t->rank == 0 || (x != NULL && t->rank <= x->rank) ||
		       refuse(g, QDQ_REASON_SHAPE_UNKNOWN, v, NULL);
	if (x == NULL || t->count == 0)
		return refuse(g, QDQ_REASON_SHAPE_UNKNOWN, v, NULL);
	for (int32_t i = 0; i < t->rank; i++) {
		if (t->dims[i] == 1)
			continue;
		if (axis >= 0 || t->rank > x->rank)
			return not_a_grid(g, "its parameters change along several axes");
		axis = i + x->rank - t->rank;
	}
	if (g->count != 1 && (g->axis != axis || g->count != t->count))
		return not_a_grid(g, "its parameters change along several axes");
	if (axis < 0 || x->dim[axis] != (int64_t)t->count)
		return not_a_grid(g, "its parameters do not fit its input");
	g->axis = axis;
	g->count = t->count;
	return true;
}

static double operand(const grid *g, uint32_t index, uint64_t channel)
{
	const qdq_tensor *t = qdq_value_constant(qdq_in(g->n, index));
	double value = NAN;

	qdq_tensor_real(t, t->count == 1 ? 0 : channel, &value);
	return value;
}

static bool read_operands(grid *g, uint32_t first, uint32_t end)
{
	g->count = 1;
	for (uint32_t i = first; i < end; i++)
		if (qdq_in(g->n, i) == NULL)
			return refuse(g, QDQ_REASON_NONE, NULL, NULL);
	for (uint32_t i = 0; i < end; i++)
		if (qdq_in(g->n, i)->type != QDQ_TYPE_FLOAT)
			return not_a_grid(g, "its numbers are not float32");
	for (uint32_t i = first; i < end; i++)
		if (!join_channels(g, i))
			return false;
	g->scale = qdq_array(g->arena, float, g->count);
	g->zero = qdq_array(g->arena, int64_t, g->count);
	return true;
}

/* ---- FakeQuantize ---- */

/* Level of 0, and the step, of one channel. */
static bool read_range(grid *g, uint64_t c, int64_t levels)
{
	double low = operand(g, 1, c), high = operand(g, 2, c);
	double step = (high - low) / (double)(levels - 1), level = -low / step;

	if (!(step >= FLT_MIN && step <= FLT_MAX))
		return refuse(g, QDQ_REASON_SCALE_SIGN, qdq_in(g->n, 2), NULL);
	if (operand(g, 3, c) != low || operand(g, 4, c) != high)
		return not_a_grid(g, "its output has another range than its input");
	if (fabs(level - rint(level)) > NEAR_LEVEL || level < -NEAR_LEVEL || level > (double)(levels - 1) + NEAR_LEVEL)
		return not_a_grid(g, "0 is none of its levels");
	g->scale[c] = (float)step;
	g->zero[c] = (int64_t)rint(level);
	return true;
}

/* Levels 0, 1, 2 … as codes: int8 where 0 is in the middle, else uint8. */
static bool read_fake_quantize(grid *g)
{
	int64_t levels = qdq_attr_int(g->n, "levels", 0), middle = levels / 2;
	bool centred = true;

	if (levels < 2 || levels > 256)
		return not_a_grid(g, "it has more than 256 levels");
	if (!read_operands(g, 1, 5))
		return false;
	for (uint64_t c = 0; c < g->count; c++) {
		if (!read_range(g, c, levels))
			return false;
		centred = centred && g->zero[c] == middle;
	}
	g->codes = centred ? QDQ_TYPE_INT8 : QDQ_TYPE_UINT8;
	g->least = centred ? -middle : 0;
	g->greatest = g->least + levels - 1;
	for (uint64_t c = 0; c < g->count; c++)
		g->zero[c] += g->least;
	g->exactness = QDQ_STEP1;
	return true;
}

/* ---- Quant ---- */

static bool read_bits(grid *g, int *bits)
{
	double value;

	if (!qdq_value_scalar(qdq_in(g->n, 3), &value)) {
		int64_t whole;
		const qdq_tensor *t = qdq_value_constant(qdq_in(g->n, 3));

		if (t == NULL || t->count != 1 || !qdq_tensor_int(t, 0, &whole))
			return not_a_grid(g, "its number of bits is not one constant");
		value = (double)whole;
	}
	if (!(value >= 2 && value <= 8 && value == rint(value)))
		return not_a_grid(g, value < 2 ? "it has one bit" : "it has more than 8 bits");
	*bits = (int)value;
	return true;
}

static bool read_quant(grid *g)
{
	qdq_bytes mode = qdq_attr_string(g->n, "rounding_mode", "ROUND");
	bool narrow = qdq_attr_int(g->n, "narrow", 0) != 0, is_signed = qdq_attr_int(g->n, "signed", 1) != 0;
	int bits;

	if (mode.size != 5 || memcmp(mode.data, "ROUND", 5) != 0)
		return not_a_grid(g, "it does not round half to even");
	if (qdq_in(g->n, 3) == NULL || !read_operands(g, 1, 3) || !read_bits(g, &bits))
		return false;
	g->codes = is_signed ? QDQ_TYPE_INT8 : QDQ_TYPE_UINT8;
	g->least = is_signed ? -(1 << (bits - 1)) + narrow : 0;
	g->greatest = is_signed ? (1 << (bits - 1)) - 1 : (1 << bits) - 1 - narrow;
	g->exactness = QDQ_EXACT;
	for (uint64_t c = 0; c < g->count; c++) {
		double scale = operand(g, 1, c), zero = operand(g, 2, c);

		if (!(scale >= FLT_MIN && scale <= FLT_MAX))
			return refuse(g, QDQ_REASON_SCALE_SIGN, qdq_in(g->n, 1), NULL);
		if (zero != rint(zero) || zero < (double)g->least || zero > (double)g->greatest)
			return not_a_grid(g, "0 is none of its levels");
		g->scale[c] = (float)scale;
		g->zero[c] = (int64_t)zero;
		if (g->zero[c] != 0)
			g->exactness = QDQ_STEP1;
	}
	return true;
}

/* ---- both ---- */

static bool is_narrow(const grid *g)
{
	return g->least != qdq_type_min(g->codes) || g->greatest != qdq_type_max(g->codes);
}

static bool read_grid(grid *g)
{
	const qdq_value *x = qdq_in(g->n, 0);
	int opset = g->n->graph->model->opset;

	if (x == NULL || qdq_out(g->n, 0) == NULL)
		return refuse(g, QDQ_REASON_NONE, NULL, NULL);
	if (!(g->n->op->id == QDQ_OP_ov_FakeQuantize ? read_fake_quantize(g) : read_quant(g)))
		return false;
	if (opset < 10 || (g->count != 1 && opset < 13))
		return refuse(g, QDQ_REASON_OPSET, x, g->count != 1 ? "a scale per channel" : "QuantizeLinear");
	if (qdq_value_constant(x) != NULL || !is_narrow(g))
		return true;
	if (opset < 11)
		return refuse(g, QDQ_REASON_OPSET, x, "Clip with bounds that are inputs");
	return g->count == 1 || not_a_grid(g, "it leaves out codes, and has a scale for each channel");
}

bool qdq_fake_reads(const qdq_node *n, qdq_reason *why)
{
	grid g = {.n = (qdq_node *)(uintptr_t)n, .arena = &n->graph->model->arena};
	bool good = read_grid(&g);

	*why = g.why;
	return good;
}

/* ---- changing ---- */

static qdq_value *constant(grid *g, const char *what, const qdq_tensor *t)
{
	qdq_model *m = g->r->model;
	const char *base = g->n->outputs[0]->name;

	return qdq_graph_add_constant(g->n->graph,
				      qdq_unique_name(&m->names, qdq_format(&g->r->scratch, "%s_%s", base, what)), t);
}

static qdq_params params_of(grid *g)
{
	int64_t dim = (int64_t)g->count;
	qdq_tensor *scale = qdq_tensor_new(g->r->model, QDQ_TYPE_FLOAT, g->count == 1 ? 0 : 1, &dim);
	qdq_tensor *zero = qdq_tensor_new(g->r->model, g->codes, g->count == 1 ? 0 : 1, &dim);
	qdq_params p = {.codes = g->codes,
			.real = QDQ_TYPE_FLOAT,
			.constant = true,
			.per_tensor = g->count == 1,
			.axis = g->axis,
			.count = g->count,
			.positive = true};

	for (uint64_t c = 0; c < g->count; c++) {
		qdq_tensor_set_real(scale, c, (double)g->scale[c]);
		qdq_tensor_set_real(zero, c, (double)g->zero[c]);
	}
	p.scale = constant(g, "scale", scale);
	p.zero = constant(g, "zero_point", zero);
	return p;
}

/* The codes of a constant: what n makes of it lies on the grid, so any rounding finds the code again. */
static qdq_value *constant_codes(grid *g)
{
	const qdq_tensor *inputs[5] = {0}, *y = NULL;
	const qdq_tensor *x = qdq_value_constant(qdq_in(g->n, 0));
	uint64_t inner = 1;
	qdq_tensor *t;

	for (uint32_t i = 0; i < g->n->n_inputs && i < QDQ_COUNTOF(inputs); i++)
		inputs[i] = qdq_value_constant(qdq_in(g->n, i));
	if (qdq_eval_node(g->r->model, &g->r->scratch, g->n, inputs, &y, 0) != QDQ_EVAL_OK || y == NULL)
		return NULL;
	t = qdq_tensor_new(g->r->model, g->codes, x->rank, x->dims);
	for (int32_t i = (int32_t)g->axis + 1; g->count != 1 && i < x->rank; i++)
		inner *= (uint64_t)x->dims[i];
	for (uint64_t i = 0; i < t->count; i++) {
		uint64_t c = g->count == 1 ? 0 : i / inner % g->count;
		double real = 0;

		qdq_tensor_real(y, i, &real);
		if (!isfinite(real)) { /* no code says so */
			refuse(g, QDQ_REASON_NOT_FINITE, qdq_in(g->n, 0), NULL);
			return NULL;
		}
		((uint8_t *)(uintptr_t)t->data)[i] = (uint8_t)((int64_t)rint(real / (double)g->scale[c]) + g->zero[c]);
	}
	return constant(g, "codes", t);
}

static bool clip(grid *g, const qdq_params *p, qdq_value **x)
{
	static const char *const names[] = {"low", "high"};
	int64_t ends[] = {g->least, g->greatest};
	qdq_value *inputs[3] = {*x};
	qdq_node *made;

	for (int i = 0; i < 2; i++) {
		double real = qdq_params_real(p, 0, ends[i]);
		qdq_tensor *t = qdq_tensor_new(g->r->model, QDQ_TYPE_FLOAT, 0, NULL);

		if (!isfinite(real) || !qdq_params_gives(p, 0, real, ends[i]))
			return refuse(g, QDQ_REASON_ROUND_TRIP, p->scale, NULL);
		qdq_tensor_set_real(t, 0, real);
		inputs[i + 1] = constant(g, names[i], t);
	}
	made = qdq_node_insert(g->n->graph, g->n, QDQ_OP_Clip, g->n->outputs[0]->name, 3, inputs, 1, g->n->origin);
	qdq_value_set_type(made->outputs[0], QDQ_TYPE_FLOAT, (*x)->shape);
	*x = made->outputs[0];
	return true;
}

static bool change(grid *g)
{
	qdq_node *n = g->n;
	qdq_value *x = qdq_in(n, 0), *y = n->outputs[0];
	qdq_params p = params_of(g);
	qdq_value *codes;

	if (qdq_value_constant(x) != NULL)
		codes = constant_codes(g);
	else if (is_narrow(g) && !clip(g, &p, &x))
		return false;
	else
		codes = qdq_quantize_insert(n->graph, n, x, &p, y->name, n->origin)->outputs[0];
	if (codes == NULL)
		return false;
	n->outputs[0] = NULL;
	y->def = NULL;
	qdq_dequantize_into(y, n, codes, &p, n->origin);
	qdq_node_remove(n);
	return true;
}

static const qdq_rule rules[] = {
    {.name = "read_fake.FakeQuantize", .exactness = QDQ_STEP1, .text = "OpenVINO's FakeQuantize becomes Q and DQ"},
    {.name = "read_fake.Quant",
     .exactness = QDQ_EXACT,
     .text = "Quant of QONNX and Brevitas becomes Q and DQ: zero point 0, or a constant"},
    {.name = "read_fake.shifted",
     .exactness = QDQ_STEP1,
     .text = "the same of an activation with another zero point, which moves ties"},
};

static void read_node(qdq_run *r, qdq_node *n)
{
	grid g = {.r = r, .n = n, .arena = &r->scratch};
	const qdq_origin *origin = n->origin;
	bool good = read_grid(&g), range = n->op->id == QDQ_OP_ov_FakeQuantize;
	const char *rule;

	if (good && !range && qdq_value_constant(qdq_in(n, 0)) != NULL)
		g.exactness = QDQ_EXACT; /* the very levels that it computes */
	rule = rules[range ? 0 : good && g.exactness == QDQ_STEP1 ? 2 : 1].name;
	if (good && !qdq_allowed(r, g.exactness))
		good = refuse(&g, QDQ_REASON_NOT_EXACT, NULL, NULL);
	if (!good && g.why.code == QDQ_REASON_FAKE_QUANTIZE && qdq_value_constant(qdq_in(n, 0)) != NULL &&
	    qdq_fold_node(r, n))
		return; /* a bias of 16 or 32 bits, mostly: a float constant */
	if (good && change(&g))
		qdq_applied(r, rule, g.exactness, 0, origin);
	else if (g.why.code != QDQ_REASON_NONE)
		qdq_declined(r, rule, origin, &g.why);
}

static void run(qdq_run *r)
{
	qdq_node *next;

	for (qdq_node *n = r->graph->first; n != NULL; n = next) {
		next = qdq_after(n);
		if (qdq_is_fake_quantizer(n))
			read_node(r, n);
	}
}

const qdq_pass qdq_pass_read_fake = {
    "read_fake", "fake quantization of training tools as Q/DQ", rules, QDQ_COUNTOF(rules), run, false};

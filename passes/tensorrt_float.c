/* SPDX-License-Identifier: Apache-2.0
 *
 * tensorrt_float -- Q and DQ that TensorRT does not take, as the arithmetic that they stand for
 *
 *   w (codes) -- DQ -- y     =>   y (float)
 *   x -- Q -- DQ -- y        =>   x -- Div s -- Round -- Add z -- Clip -- Sub z -- Mul s -- y
 *   x -- Q -- codes          =>   x -- Div s -- Round -- Add z -- Clip -- Cast -- codes
 *   codes -- DQ -- y         =>   codes -- Cast -- Sub z -- Mul s -- y
 *
 *   When    the target is tensorrt; what the passes in front of it could not make symmetric int8. One scale, also one that
 *           is computed at run time, or one for each channel of a known rank. 16-bit floats are computed with as float32,
 *           but for the quotient from opset 23
 *   Keeps   every value, to the bit: its readers run in float, and the reason is recorded. Names of floats and of codes
 *           that others read. Operators that only know codes (QLinear*, ConvInteger …), with a reason
 *   Exact   EXACT; a NaN, of which Q makes the lowest code, stays one
 *   Needs   types and shapes                Breaks  nothing
 *   After   tensorrt_activations, tensorrt_constants
 *   Before  sink_dq, explain
 *   Tests   test/golden/tensorrt_float/
 *   Ref     ONNX QuantizeLinear
 */
#include "tensorrt.h"

#define HAS_ROUND 11	     /* since this opset */
#define DIVIDES_IN_HALVES 23 /* Q of 16-bit floats, since this opset */

/* One Q or DQ on its way: float32 numbers that broadcast along its axis. */
struct arithmetic {
	qdq_run *r;
	qdq_map *whole; /* codes of a Q that was written so: to what they are in front of the Cast */
	qdq_node *n;	/* what it replaces; new nodes come in front of it */
	qdq_params p;
	qdq_value *scale, *zero;
};

/* Constants, one for each scale, that broadcast against a tensor of x's rank. */
static qdq_value *spread(const struct arithmetic *a, const char *what, qdq_type type,
			 double (*number)(const qdq_params *p, uint64_t c))
{
	qdq_run *r = a->r;
	const qdq_value *x = qdq_in(a->n, 0);
	int32_t rank = a->p.per_tensor ? 0 : x->shape->rank - (int32_t)a->p.axis;
	int64_t *dims = qdq_array(&r->scratch, int64_t, (size_t)rank + 1);
	const char *hint = qdq_format(&r->scratch, "%s_%s", a->n->outputs[0]->name, what);
	qdq_tensor *t;

	for (int32_t i = 0; i < rank; i++)
		dims[i] = i == 0 ? (int64_t)a->p.count : 1;
	t = qdq_tensor_new(r->model, type, rank, dims);
	for (uint64_t c = 0; c < a->p.count; c++)
		qdq_tensor_put(t, c, number(&a->p, c));
	return qdq_graph_add_constant(r->graph, qdq_unique_name(&r->model->names, hint), t);
}

static double zero_number(const qdq_params *p, uint64_t c)
{
	return (double)qdq_params_zero(p, c);
}

static qdq_value *insert(const struct arithmetic *a, qdq_op_id op, qdq_value *const *inputs, uint32_t count,
			 qdq_type type)
{
	const qdq_value *named = a->n->outputs[0];
	qdq_node *n = qdq_node_insert(a->r->graph, a->n, op, named->name, count, inputs, 1, a->n->origin);

	qdq_value_set_type(n->outputs[0], type, named->shape);
	return n->outputs[0];
}

static qdq_value *step(const struct arithmetic *a, qdq_op_id op, qdq_value *x, qdq_value *by)
{
	return insert(a, op, (qdq_value *[]){x, by}, 2, x->type);
}

static qdq_value *cast(const struct arithmetic *a, qdq_value *x, qdq_type to)
{
	qdq_value *y;

	if (x->type == to)
		return x;
	y = insert(a, QDQ_OP_Cast, &x, 1, to);
	qdq_attr_set_int(y->def, "to", to);
	y->shape = x == a->p.scale || x == a->p.zero ? x->shape : y->shape;
	if (qdq_value_constant(x) != NULL)
		qdq_fold_node(a->r, y->def);
	return y;
}

/* y, which n defined, is what the last step gives. */
static void finish(const struct arithmetic *a, qdq_value *last)
{
	qdq_value *y = a->n->outputs[0];
	qdq_node *by = last->def;

	qdq_value_redefine(y, by, 0);
	qdq_node_remove(a->n);
}

/* ---- what can be written so ---- */

/* A scale that is computed at run time must be a single number. */
static bool scale_spreads(const struct arithmetic *a)
{
	const qdq_value *x = qdq_in(a->n, 0);
	const qdq_value *scale = a->p.scale;

	if (!a->p.constant)
		return scale->shape != NULL && scale->shape->rank == 0;
	return a->p.per_tensor || (x->shape != NULL && a->p.axis >= 0 && a->p.axis < x->shape->rank);
}

static bool begin(struct arithmetic *a)
{
	const qdq_run *r = a->r;
	qdq_node *n = a->n;

	if (!qdq_params_of(n, &a->p) || qdq_out(n, 0) == NULL || a->p.block != 0 ||
	    (qdq_is_quantizer(n) && r->model->opset < HAS_ROUND) || qdq_type_get(a->p.codes)->is_float)
		return false;
	if (a->p.real != a->p.scale->type || qdq_attr_find(n, "precision") != NULL ||
	    (qdq_is_dequantizer(n) && qdq_attr_find(n, "output_dtype") != NULL))
		return false;
	return (a->p.real == QDQ_TYPE_FLOAT || a->p.real == QDQ_TYPE_FLOAT16 || a->p.real == QDQ_TYPE_BFLOAT16) &&
	       scale_spreads(a);
}

static void numbers(struct arithmetic *a)
{
	double zero = 0;

	if (a->p.constant) {
		a->scale = spread(a, "scale", QDQ_TYPE_FLOAT, qdq_params_scale);
		a->zero = spread(a, "zero", QDQ_TYPE_FLOAT, zero_number);
		return;
	}
	a->scale = cast(a, a->p.scale, QDQ_TYPE_FLOAT);
	a->zero = a->p.zero != NULL && !qdq_value_scalar(a->p.zero, &zero)
		      ? cast(a, a->p.zero, QDQ_TYPE_FLOAT)
		      : qdq_constant_number(a->r->graph, QDQ_TYPE_FLOAT, zero,
					    qdq_format(&a->r->scratch, "%s_zero", a->n->outputs[0]->name));
}

/* ---- Q ---- */

static qdq_value *limit(const struct arithmetic *a, const char *what, int64_t x)
{
	return qdq_constant_number(a->r->graph, QDQ_TYPE_FLOAT, (double)x,
				   qdq_format(&a->r->scratch, "%s_%s", a->n->outputs[0]->name, what));
}

/* x / s: of 16-bit floats as this opset has it; com.microsoft's operator knows none. */
static qdq_value *quotient(const struct arithmetic *a)
{
	qdq_value *x = qdq_in(a->n, 0);

	if (a->p.real != QDQ_TYPE_FLOAT && a->r->model->opset >= DIVIDES_IN_HALVES && *a->n->domain == '\0') {
		qdq_value *scale = a->p.constant ? spread(a, "divisor", a->p.real, qdq_params_scale) : a->p.scale;

		return cast(a, step(a, QDQ_OP_Div, x, scale), QDQ_TYPE_FLOAT);
	}
	return step(a, QDQ_OP_Div, cast(a, x, QDQ_TYPE_FLOAT), a->scale);
}

/* Adding the zero point also turns -0 into 0, as codes do. */
static void write_q(struct arithmetic *a)
{
	const qdq_origin *origin = a->n->origin;
	qdq_value *inputs[3], *codes;

	numbers(a);
	codes = quotient(a);
	codes = insert(a, QDQ_OP_Round, &codes, 1, QDQ_TYPE_FLOAT);
	inputs[0] = step(a, QDQ_OP_Add, codes, a->zero);
	inputs[1] = limit(a, "least", qdq_type_min(a->p.codes));
	inputs[2] = limit(a, "greatest", qdq_type_max(a->p.codes));
	codes = insert(a, QDQ_OP_Clip, inputs, 3, QDQ_TYPE_FLOAT);
	qdq_map_set(a->whole, a->n->outputs[0], codes);
	finish(a, cast(a, codes, a->p.codes));
	qdq_applied(a->r, "tensorrt_float.round", QDQ_EXACT, 0, origin);
}

/* ---- DQ ---- */

/* Codes of a Q that was written so are whole floats already: there is no need to go through the Cast. */
static qdq_value *as_float(const struct arithmetic *a)
{
	qdq_value *whole = qdq_map_get(a->whole, qdq_in(a->n, 0));

	return whole != NULL ? whole : cast(a, qdq_in(a->n, 0), QDQ_TYPE_FLOAT);
}

static void write_dq(struct arithmetic *a)
{
	const qdq_origin *origin = a->n->origin;
	qdq_value *x;

	numbers(a);
	x = as_float(a);
	if (a->p.zero != NULL)
		x = step(a, QDQ_OP_Sub, x, a->zero);
	finish(a, cast(a, step(a, QDQ_OP_Mul, x, a->scale), a->p.real));
	qdq_applied(a->r, "tensorrt_float.dequantize", QDQ_EXACT, 0, origin);
}

/* What only moves a constant that was codes a moment ago. */
static bool moves_constant(const qdq_node *n, const qdq_map *floats)
{
	if (n->op->cls != QDQ_CLASS_MOVE || qdq_in(n, 0) == NULL || qdq_map_get(floats, qdq_in(n, 0)) == NULL)
		return false;
	for (uint32_t i = 0; i < n->n_inputs; i++)
		if (qdq_in(n, i) != NULL && qdq_value_constant(qdq_in(n, i)) == NULL)
			return false;
	return true;
}

static void fold_move(qdq_run *r, qdq_node *n, qdq_map *floats)
{
	qdq_value *y = n->outputs[0];

	if (qdq_fold_node(r, n))
		qdq_map_set(floats, y, y);
}

static void visit(qdq_run *r, qdq_node *n, qdq_map *whole, qdq_map *floats)
{
	qdq_value *y = n->outputs[0];
	const qdq_origin *origin = n->origin;
	bool constant = qdq_value_constant(qdq_in(n, 0)) != NULL;
	struct arithmetic a = {.r = r, .whole = whole, .n = n};
	qdq_params p;
	qdq_reason why = {0};

	if (!qdq_params_of(n, &p))
		return;
	if (qdq_tensorrt_takes(&p, constant, &why)) {
		const qdq_shape *shape = qdq_in(n, 0)->shape;
		bool scalar = shape != NULL && shape->rank == 0;

		if (*n->domain == '\0' && !scalar)
			return;
		why = (qdq_reason){.code = QDQ_REASON_NOT_IN_TENSORRT,
				   .detail = scalar ? "a single number as codes" : "com.microsoft's operators"};
	}
	if (qdq_is_dequantizer(n) && constant && qdq_fold_dequantizer(r, n)) {
		qdq_map_set(floats, y, y);
		qdq_applied(r, "tensorrt_float.constant", QDQ_EXACT, 0, origin);
	} else if (!begin(&a)) {
		why.cause = qdq_node_label(n);
		qdq_declined(r, qdq_is_quantizer(n) ? "tensorrt_float.round" : "tensorrt_float.dequantize", origin,
			     &why);
	} else if (qdq_is_quantizer(n)) {
		write_q(&a);
	} else {
		write_dq(&a);
	}
}

static void run(qdq_run *r)
{
	qdq_map whole, floats;
	qdq_node *next;

	if (!qdq_for_tensorrt(r))
		return;
	qdq_map_init(&whole, &r->scratch);
	qdq_map_init(&floats, &r->scratch);
	for (qdq_node *n = r->graph->first; n != NULL; n = next) {
		next = qdq_after(n);
		if (n->op->cls == QDQ_CLASS_QFORM || n->op->id == QDQ_OP_DynamicQuantizeLinear) {
			qdq_reason why = {.code = QDQ_REASON_NOT_IN_TENSORRT, .detail = n->op_type};

			qdq_declined(r, "tensorrt_float.operator", n->origin, &why);
		} else if (qdq_is_quantizer(n) || qdq_is_dequantizer(n)) {
			visit(r, n, &whole, &floats);
		} else if (moves_constant(n, &floats)) {
			fold_move(r, n, &floats);
		}
	}
}

static const qdq_rule rules[] = {
    {.name = "tensorrt_float.round", .exactness = QDQ_EXACT, .text = "a Q that TensorRT does not take rounds in float"},
    {.name = "tensorrt_float.dequantize",
     .exactness = QDQ_EXACT,
     .text = "a DQ that TensorRT does not take becomes Cast, Sub and Mul"},
    {.name = "tensorrt_float.constant",
     .exactness = QDQ_EXACT,
     .text = "constant codes that TensorRT does not take become the floats that they mean"},
    {.name = "tensorrt_float.operator",
     .exactness = QDQ_EXACT,
     .text = "operators that TensorRT does not know are named, and kept"},
};

const qdq_pass qdq_pass_tensorrt_float = {
    "tensorrt_float", "for TensorRT: other Q and DQ as float arithmetic", rules, QDQ_COUNTOF(rules), run, false};

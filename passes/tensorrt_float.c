/* SPDX-License-Identifier: Apache-2.0
 *
 * tensorrt_float -- Q and DQ that TensorRT does not take, as the arithmetic that they stand for
 *
 *   w (codes) -- DQ -- y     =>   y (float)
 *   x -- Q -- DQ -- y        =>   x -- Div s -- Round -- Add z -- Clip -- Sub z -- Mul s -- y
 *   x -- Q -- codes          =>   x -- Div s -- Round -- Add z -- Clip -- Cast -- codes
 *   codes -- DQ -- y         =>   codes -- Cast -- Sub z -- Mul s -- y
 *
 *   When    the target is tensorrt; what the passes in front of it could not make symmetric int8. Float32 scales, one of
 *           them or one for each channel of a known rank
 *   Keeps   every value, to the bit: its readers run in float, and the reason is recorded. Names of floats and of codes
 *           that others read. Operators that only know codes (QLinear*, ConvInteger …), with a reason
 *   Exact   EXACT
 *   Needs   types and shapes                Breaks  nothing
 *   After   tensorrt_activations, tensorrt_constants
 *   Before  sink_dq, explain
 *   Tests   test/golden/tensorrt_float/
 *   Ref     ONNX QuantizeLinear
 */
#include "tensorrt.h"

#define SINCE 11 /* Round */

/* One Q or DQ on its way: constants that broadcast along its axis. */
struct arithmetic {
	qdq_run *r;
	qdq_node *n; /* what it replaces; new nodes come in front of it */
	qdq_params p;
	qdq_value *scale, *zero;
};

/* Numbers, one for each scale, that broadcast against a tensor of x's rank. */
static qdq_value *spread(const struct arithmetic *a, const char *what,
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
	t = qdq_tensor_new(r->model, QDQ_TYPE_FLOAT, rank, dims);
	for (uint64_t c = 0; c < a->p.count; c++)
		qdq_tensor_put(t, c, number(&a->p, c));
	return qdq_graph_add_constant(r->graph, qdq_unique_name(&r->model->names, hint), t);
}

static double zero_number(const qdq_params *p, uint64_t c)
{
	return (double)qdq_params_zero(p, c);
}

static qdq_value *step(const struct arithmetic *a, qdq_op_id op, qdq_value *x, qdq_value *by)
{
	qdq_value *inputs[2] = {x, by};
	const qdq_value *named = a->n->outputs[0];
	qdq_node *n = qdq_node_insert(a->r->graph, a->n, op, named->name, by != NULL ? 2 : 1, inputs, 1, a->n->origin);

	qdq_value_set_type(n->outputs[0], QDQ_TYPE_FLOAT, named->shape);
	return n->outputs[0];
}

static qdq_value *cast(const struct arithmetic *a, qdq_value *x, qdq_type to)
{
	qdq_node *n = qdq_node_insert(a->r->graph, a->n, QDQ_OP_Cast, a->n->outputs[0]->name, 1, &x, 1, a->n->origin);

	qdq_attr_set_int(n, "to", to);
	qdq_value_set_type(n->outputs[0], to, a->n->outputs[0]->shape);
	return n->outputs[0];
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

static bool begin(qdq_run *r, qdq_node *n, struct arithmetic *a)
{
	const qdq_value *x = qdq_in(n, 0);

	*a = (struct arithmetic){.r = r, .n = n};
	if (!qdq_params_of(n, &a->p) || qdq_out(n, 0) == NULL || r->model->opset < SINCE || a->p.block != 0 ||
	    a->p.real != QDQ_TYPE_FLOAT || a->p.scale->type != QDQ_TYPE_FLOAT || !a->p.constant ||
	    qdq_type_get(a->p.codes)->is_float)
		return false;
	return a->p.per_tensor || (x->shape != NULL && a->p.axis >= 0 && a->p.axis < x->shape->rank);
}

static void constants(struct arithmetic *a)
{
	a->scale = spread(a, "scale", qdq_params_scale);
	a->zero = spread(a, "zero", zero_number);
}

/* ---- Q ---- */

static qdq_value *limit(const struct arithmetic *a, const char *what, int64_t x)
{
	return qdq_constant_number(a->r->graph, QDQ_TYPE_FLOAT, (double)x,
				   qdq_format(&a->r->scratch, "%s_%s", a->n->outputs[0]->name, what));
}

/* Adding the zero point also turns -0 into 0, as codes do. */
static void write_q(struct arithmetic *a)
{
	qdq_value *codes;
	qdq_value *inputs[3];
	qdq_node *clip;

	constants(a);
	codes = step(a, QDQ_OP_Div, qdq_in(a->n, 0), a->scale);
	codes = step(a, QDQ_OP_Round, codes, NULL);
	inputs[0] = step(a, QDQ_OP_Add, codes, a->zero);
	inputs[1] = limit(a, "least", qdq_type_min(a->p.codes));
	inputs[2] = limit(a, "greatest", qdq_type_max(a->p.codes));
	clip = qdq_node_insert(a->r->graph, a->n, QDQ_OP_Clip, a->n->outputs[0]->name, 3, inputs, 1, a->n->origin);
	qdq_value_set_type(clip->outputs[0], QDQ_TYPE_FLOAT, a->n->outputs[0]->shape);
	finish(a, cast(a, clip->outputs[0], a->p.codes));
	qdq_applied(a->r, "tensorrt_float.round", QDQ_EXACT, 0, clip->origin);
}

/* ---- DQ ---- */

/* What a Cast in front of the codes was made from: then there is no need to go through the codes. */
static qdq_value *as_float(const struct arithmetic *a)
{
	qdq_value *codes = qdq_in(a->n, 0);
	const qdq_node *from = qdq_def(codes, QDQ_OP_Cast);

	if (from != NULL && qdq_def(qdq_in(from, 0), QDQ_OP_Clip) != NULL && qdq_in(from, 0)->type == QDQ_TYPE_FLOAT)
		return qdq_in(from, 0);
	return cast(a, codes, QDQ_TYPE_FLOAT);
}

static void write_dq(struct arithmetic *a)
{
	const qdq_origin *origin = a->n->origin;
	qdq_value *x;

	constants(a);
	x = as_float(a);
	if (a->p.zero != NULL)
		x = step(a, QDQ_OP_Sub, x, a->zero);
	finish(a, step(a, QDQ_OP_Mul, x, a->scale));
	qdq_applied(a->r, "tensorrt_float.dequantize", QDQ_EXACT, 0, origin);
}

static void visit(qdq_run *r, qdq_node *n)
{
	const qdq_origin *origin = n->origin;
	bool constant = qdq_value_constant(qdq_in(n, 0)) != NULL;
	struct arithmetic a;
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
		qdq_applied(r, "tensorrt_float.constant", QDQ_EXACT, 0, origin);
	} else if (!begin(r, n, &a)) {
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
	qdq_node *next;

	if (!qdq_for_tensorrt(r))
		return;
	for (qdq_node *n = r->graph->first; n != NULL; n = next) {
		next = qdq_after(n);
		if (n->op->cls == QDQ_CLASS_QFORM || n->op->id == QDQ_OP_DynamicQuantizeLinear) {
			qdq_reason why = {.code = QDQ_REASON_NOT_IN_TENSORRT, .detail = n->op_type};

			qdq_declined(r, "tensorrt_float.operator", n->origin, &why);
		} else if (qdq_is_quantizer(n) || qdq_is_dequantizer(n)) {
			visit(r, n);
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

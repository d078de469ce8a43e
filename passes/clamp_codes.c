/* SPDX-License-Identifier: Apache-2.0
 *
 * clamp_codes -- Relu and Clip behind the Q that follows them, on codes, where that lets the operator before write codes
 *
 *   x -- Conv -- Relu -- Q(z) -- y      =>   x -- Conv -- Q(z) -- y                     z is the lowest code
 *   x -- Conv -- Relu -- Q(u8, z) -- y  =>   x -- Conv -- Q(u8, z) -- Clip(z, 255) -- y
 *
 *   When    the target is ort-cpu, whose kernels take one Q behind the operator and no activation; bounds are constants,
 *           the parameters one positive scale; nothing but this Q reads the clamp, nothing but the clamp reads the
 *           product (where the clamp stays). Of several clamps one after the other
 *   Keeps   the name of y
 *   Exact   EXACT: Q is monotone, so Q(clip(x, a, b)) = clip(Q(x), Q(a), Q(b))
 *   Needs   types                           Breaks  nothing
 *   After   to_u8                           Before  bias_codes, fuse
 *   Tests   test/golden/clamp_codes/        Ref     ONNX Runtime, ReluQuantFusion, ClipQuantFusion
 */
#include <math.h>

#include "moves.h"

/* A bound of Clip: an attribute before opset 11. False: it is no constant. */
static bool clip_bound(const qdq_node *n, uint32_t input, const char *name, double absent, double *out)
{
	*out = absent;
	if (n->graph->model->opset < 11)
		*out = (double)qdq_attr_float(n, name, (float)absent);
	else if (qdq_in(n, input) != NULL && !qdq_value_scalar(qdq_in(n, input), out))
		return false;
	return !isnan(*out);
}

static bool bounds_of(const qdq_node *n, double *low, double *high)
{
	if (n->op->id == QDQ_OP_Relu) {
		*low = 0;
		*high = INFINITY;
		return true;
	}
	return n->op->id == QDQ_OP_Clip && clip_bound(n, 1, "min", -INFINITY, low) &&
	       clip_bound(n, 2, "max", INFINITY, high);
}

/* Q of a bound. */
static int64_t code_of(const qdq_params *p, double real)
{
	double least = (double)qdq_type_min(p->codes), greatest = (double)qdq_type_max(p->codes);
	double q =
	    qdq_round_half_even((double)((float)real / (float)qdq_params_scale(p, 0))) + (double)qdq_params_zero(p, 0);

	return (int64_t)(q < least ? least : q > greatest ? greatest : q);
}

/* The Q that alone reads v, with one positive scale. */
static qdq_node *only_quantizer(const qdq_value *v, qdq_params *p)
{
	const qdq_use *u = qdq_only_use(v);
	qdq_reason why;

	if (u == NULL || !qdq_is(u->node, QDQ_OP_QuantizeLinear) || qdq_use_index(u) != 0 ||
	    u->node->graph != v->graph || !qdq_params_of(u->node, p) || !qdq_params_movable(p, &why) || !p->positive ||
	    !p->per_tensor || p->real != QDQ_TYPE_FLOAT)
		return NULL;
	return u->node;
}

bool qdq_could_write_codes(const qdq_value *x)
{
	const qdq_node *n = x->def;

	while (n != NULL && qdq_is_clamp(n) && qdq_only_use(x) != NULL && qdq_in(n, 0) != NULL) {
		x = qdq_in(n, 0);
		n = x->def;
	}
	return n != NULL && qdq_only_use(x) != NULL &&
	       (n->op->cls == QDQ_CLASS_CONTRACT || n->op->id == QDQ_OP_Add || n->op->id == QDQ_OP_Mul ||
		(n->op->cls == QDQ_CLASS_REDUCE && n->op->family == QDQ_FAMILY_POOL));
}

static qdq_value *code_constant(qdq_run *r, const qdq_node *n, qdq_type type, int64_t code)
{
	qdq_model *m = r->model;
	qdq_tensor *t = qdq_tensor_new(m, type, 0, NULL);
	const char *name = qdq_format(&r->scratch, "%s_code", n->outputs[0]->name);

	*(uint8_t *)(void *)(uintptr_t)t->data = (uint8_t)code;
	return qdq_graph_add_constant(r->graph, qdq_unique_name(&m->names, name), t);
}

/* n, between x and q, goes behind q as a Clip of codes, and writes what q wrote. */
static void move_behind(qdq_run *r, qdq_node *n, qdq_node *q, const qdq_params *p, int64_t low, int64_t high)
{
	qdq_model *m = r->model;
	qdq_value *y = q->outputs[0];
	qdq_value *codes = qdq_value_create(r->graph, qdq_unique_name(&m->names, y->name));
	qdq_value *bounds[2] = {
	    low > qdq_type_min(p->codes) ? code_constant(r, n, p->codes, low) : NULL,
	    high < qdq_type_max(p->codes) ? code_constant(r, n, p->codes, high) : NULL,
	};

	qdq_value_set_type(codes, p->codes, y->shape);
	qdq_use_set(&q->inputs[0], qdq_in(n, 0));
	q->outputs[0] = codes;
	codes->def = q;
	y->def = NULL;
	qdq_node_set_op(n, QDQ_OP_Clip);
	qdq_node_resize_inputs(n, bounds[1] != NULL ? 3 : 2);
	qdq_use_set(&n->inputs[0], codes);
	for (uint32_t i = 1; i < n->n_inputs; i++)
		qdq_use_set(&n->inputs[i], bounds[i - 1]);
	qdq_node_move(n, r->graph, q->next);
	qdq_value_redefine(y, n, 0);
}

static void look_at(qdq_run *r, qdq_node *n)
{
	double low, high;
	int64_t low_code, high_code;
	qdq_params p;
	qdq_node *q;

	if (!bounds_of(n, &low, &high) || qdq_in(n, 0) == NULL || qdq_in(n, 0)->type != QDQ_TYPE_FLOAT)
		return;
	q = only_quantizer(n->outputs[0], &p);
	if (q == NULL)
		return;
	low_code = code_of(&p, low);
	high_code = code_of(&p, high);
	if (low_code == qdq_type_min(p.codes) && high_code == qdq_type_max(p.codes)) {
		qdq_use_set(&q->inputs[0], qdq_in(n, 0));
		q->origin = qdq_origin_join(r->model, q->origin, n->origin);
		qdq_applied(r, "clamp_codes.absorb", QDQ_EXACT, 0, n->origin);
		qdq_node_remove(n);
	} else if (qdq_could_write_codes(qdq_in(n, 0)) &&
		   qdq_op_takes_codes(&qdq_ops[QDQ_OP_Clip], r->model->opset, p.codes)) {
		qdq_applied(r, "clamp_codes.behind", QDQ_EXACT, 0, n->origin);
		move_behind(r, n, q, &p, low_code, high_code);
	}
}

static void run(qdq_run *r)
{
	qdq_node *before;

	if (r->options->target != QDQ_TARGET_ORT_CPU)
		return;
	/* from the end: of several clamps the last goes first, and lets the others */
	for (qdq_node *n = r->graph->last; n != NULL; n = before) {
		before = n->prev;
		if (qdq_is_clamp(n) && qdq_out(n, 0) != NULL && !qdq_kept_float(n))
			look_at(r, n);
	}
}

static const qdq_rule rules[] = {
    {.name = "clamp_codes.absorb",
     .exactness = QDQ_EXACT,
     .text = "Relu or Clip goes, whose bounds the Q behind it saturates at anyway"},
    {.name = "clamp_codes.behind", .exactness = QDQ_EXACT, .text = "Relu or Clip goes behind the Q as a Clip of codes"},
};

const qdq_pass qdq_pass_clamp_codes = {
    "clamp_codes", "Relu and Clip on codes (target ort-cpu)", rules, QDQ_COUNTOF(rules), run, false};

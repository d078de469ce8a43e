/* SPDX-License-Identifier: Apache-2.0
 *
 * clip_codes -- a narrow range of codes as a Clip of what is quantized
 *
 *   x -- Q -- Clip(a, b) -- DQ -- y  =>   x -- Clip(DQ(a), DQ(b)) -- Q -- DQ -- y       as Brevitas narrows the codes
 *
 *   When    Q gives the bounds back for what they stand for; nobody else reads in between. Not where the DQ, which may stand
 *           behind moves, has other parameters: then it is not the range of this Q that was narrowed
 *   Keeps   the name of what the Clip gave
 *   Exact   EXACT
 *   Needs   constant scales                 Breaks  nothing
 *   After   fold                            Before  sink_dq
 *   Tests   test/golden/clip_codes/         Ref     ONNX QuantizeLinear, Clip
 */
#include <math.h>

#include "moves.h"

/* The bound of the Clip in codes, and that Q gives this code back for what it stands for. */
static bool code_bound(const qdq_params *p, const qdq_value *bound, bool lower, double *code, double *real)
{
	*code = (double)(lower ? qdq_type_min(p->codes) : qdq_type_max(p->codes));
	if (bound != NULL && !qdq_value_scalar(bound, code))
		return false;
	*real = qdq_params_real(p, 0, (int64_t)*code);
	return isfinite(*real) && qdq_params_gives(p, 0, *real, (int64_t)*code);
}

static qdq_value *scalar(qdq_graph *g, const char *base, const char *what, qdq_type type, double real)
{
	qdq_model *m = g->model;
	qdq_tensor *t = qdq_tensor_new(m, type, 0, NULL);

	qdq_tensor_set_real(t, 0, real);
	return qdq_graph_add_constant(g, qdq_unique_name(&m->names, qdq_format(&m->arena, "%s_%s", base, what)), t);
}

/* The DQ that input i of n goes to: n itself, one behind what moves it, or one in a fused operator. NULL: another reader. */
static qdq_node *reader(const qdq_node *n, uint32_t i, const qdq_map *dqs)
{
	if (n->region != NULL) {
		const qdq_use *u = n->region->body->inputs.items[i]->uses;

		return u != NULL && qdq_use_index(u) == 0 && qdq_is_dequantizer(u->node) ? u->node : NULL;
	}
	if (i != 0)
		return NULL;
	if (qdq_is_dequantizer(n))
		return (qdq_node *)(uintptr_t)n;
	return qdq_is_move(n) && qdq_out(n, 0) != NULL ? qdq_map_get(dqs, n->outputs[0]) : NULL;
}

/* A DQ that reads codes, by value: the first one where there are several, which mostly are copies of one. */
static void find_readers(const qdq_run *r, qdq_map *dqs)
{
	for (qdq_node *n = r->graph->last; n != NULL; n = n->prev)
		for (uint32_t i = 0; i < n->n_inputs; i++) {
			qdq_value *x = qdq_in(n, i);
			qdq_node *dq = x != NULL ? reader(n, i, dqs) : NULL;

			if (dq != NULL)
				qdq_map_set(dqs, x, dq);
		}
}

static bool means_otherwise(const qdq_map *dqs, const qdq_value *codes, const qdq_params *p)
{
	const qdq_node *dq = qdq_map_get(dqs, codes);
	qdq_params behind;

	return dq != NULL && (!qdq_params_of(dq, &behind) || !qdq_params_equal(p, &behind));
}

/* Clip moves in front of Q; codes that its bounds leave untouched need none. */
static void clip_before_q(qdq_run *r, qdq_node *clip, const qdq_map *dqs)
{
	qdq_value *x = qdq_in(clip, 0);
	qdq_value *y = qdq_out(clip, 0);
	qdq_node *q = qdq_def(x, QDQ_OP_QuantizeLinear);
	double low, high;
	double real_low, real_high;
	qdq_params p;
	qdq_value *inputs[3];
	qdq_node *made;

	if (q == NULL || y == NULL || q->graph != clip->graph || qdq_only_use(x) == NULL || !qdq_params_of(q, &p) ||
	    qdq_value_constant(qdq_in(q, 0)) != NULL || !qdq_type_is_int8(p.codes) || !p.per_tensor || !p.positive ||
	    means_otherwise(dqs, y, &p))
		return;
	if (!code_bound(&p, qdq_in(clip, 1), true, &low, &real_low) ||
	    !code_bound(&p, qdq_in(clip, 2), false, &high, &real_high))
		return;
	if (low > (double)qdq_type_min(p.codes) || high < (double)qdq_type_max(p.codes)) {
		const char *base = *clip->name != '\0' ? clip->name : y->name;

		inputs[0] = qdq_in(q, 0);
		inputs[1] = scalar(q->graph, base, "low", p.real, real_low);
		inputs[2] = scalar(q->graph, base, "high", p.real, real_high);
		made = qdq_node_insert(q->graph, q, QDQ_OP_Clip, base, 3, inputs, 1, clip->origin);
		qdq_value_set_type(made->outputs[0], p.real, x->shape);
		qdq_use_set(&q->inputs[0], made->outputs[0]);
	}
	qdq_use_set(&clip->inputs[0], NULL);
	qdq_value_redefine(y, q, 0);
	qdq_applied(r, "clip_codes.clip", QDQ_EXACT, 0, clip->origin);
	qdq_node_remove(clip);
}

static void run(qdq_run *r)
{
	qdq_node *next;
	qdq_map dqs;

	if (r->model->opset < 12 || !qdq_model_has(r->model, QDQ_OP_Clip))
		return;
	qdq_map_init(&dqs, &r->scratch);
	find_readers(r, &dqs);
	for (qdq_node *n = r->graph->first; n != NULL; n = next) {
		next = qdq_after(n);
		if (qdq_is(n, QDQ_OP_Clip))
			clip_before_q(r, n, &dqs);
	}
}

static const qdq_rule rules[] = {
    {.name = "clip_codes.clip",
     .exactness = QDQ_EXACT,
     .text = "a Clip of codes, in front of their DQ, becomes a Clip of what is quantized"},
};

const qdq_pass qdq_pass_clip_codes = {
    "clip_codes", "a narrow range of codes as a Clip of what is quantized", rules, QDQ_COUNTOF(rules), run, false};

/* SPDX-License-Identifier: Apache-2.0
 *
 * norm -- a normalization, the sum in front of it and the Q/DQ around it into one region
 *
 *   x -- DQ --.
 *   r -- DQ --+-- Add -- Q --+-- DQ -- LayerNormalization -- Q -- y        x --.           .-- y
 *                            '-- sum                                  =>   r --+-- [ … ] --+-- sum
 *
 *   x --+-- ReduceMean --.
 *       '----------------+-- Sub --+-- Pow -- ReduceMean -- Add -- Sqrt --.
 *                                  '--------------------------------------+-- Div -- Mul -- Add -- y   the same, in parts
 *
 *   When    LayerNormalization, RMSNormalization, GroupNormalization, InstanceNormalization, Softmax and their kin;
 *           LayerNorm and RMSNorm from their parts, whose inner values nobody else reads (they may be rounded). DQs in
 *           front, up to three Adds (with their roundings) that no product's epilogue will take, rows of embedding
 *           tables, Qs behind. The last sum may have other readers: it is a further output; where nothing but the result
 *           leaves, an epilogue as that of a product (epilogue.c)
 *   Keeps   every node and every name; a DQ that others read is cloned
 *   Exact   EXACT: a region is the very nodes that it replaced
 *   Needs   nothing                         Breaks  order (restored at the end)
 *   After   attention                       Before  fuse
 *   Tests   test/golden/norm/               Ref     Ba et al., Layer normalization, section 3
 */
#include <math.h>

#include "epilogue.h"

enum { MOST_SUMS = 3, VISITS = 32 };

struct norm {
	qdq_run *run;
	qdq_outline out;
	qdq_node *anchor;
	qdq_value *x, *y;
	bool constant;		 /* nothing but x and constants goes in */
	bool centered;		 /* parts: it begins as a variance does */
	const qdq_value *shared; /* a value inside that others read as well */
};

/* ---- from its parts ---- */

/* The pair Q -> DQ that alone reads v: its DQ, else NULL. Some quantizers put one between any two parts. */
static qdq_node *pair_behind(const qdq_value *v)
{
	qdq_node *q = qdq_reader(v);
	qdq_node *dq = qdq_is(q, QDQ_OP_QuantizeLinear) && qdq_in(q, 0) == v ? qdq_reader(q->outputs[0]) : NULL;

	return qdq_is(dq, QDQ_OP_DequantizeLinear) && qdq_in(dq, 0) == q->outputs[0] && qdq_is_rounding(q) &&
		       qdq_is_rounding(dq)
		   ? dq
		   : NULL;
}

static qdq_value *behind_pair(qdq_value *v)
{
	qdq_node *dq = pair_behind(v);

	return dq != NULL ? dq->outputs[0] : v;
}

/* The node that v comes from, over such a pair; NULL: none. */
static qdq_node *origin_of(const qdq_value *v)
{
	const qdq_node *dq = qdq_def(v, QDQ_OP_DequantizeLinear);
	const qdq_node *q = dq != NULL ? qdq_def(qdq_in(dq, 0), QDQ_OP_QuantizeLinear) : NULL;

	return q != NULL && pair_behind(qdq_in(q, 0)) == dq ? qdq_in(q, 0)->def : v->def;
}

static void take_pair(struct norm *k, const qdq_value *v)
{
	qdq_node *dq = pair_behind(v);

	if (dq == NULL)
		return;
	qdq_outline_take(&k->out, qdq_in(dq, 0)->def);
	qdq_outline_take(&k->out, dq);
}

/* Is v a constant near the number, as it is or dequantized? */
static bool is_number(const qdq_value *v, double number)
{
	qdq_params p;
	double given;
	int64_t code;

	if (v == NULL)
		return false;
	if (qdq_value_scalar(v, &given))
		return given == number;
	if (qdq_dequantized(v, &p) == NULL || !p.per_tensor || qdq_value_constant(qdq_in(v->def, 0)) == NULL ||
	    qdq_value_constant(qdq_in(v->def, 0))->count != 1 ||
	    !qdq_tensor_int(qdq_value_constant(qdq_in(v->def, 0)), 0, &code))
		return false;
	given = (double)(code - qdq_params_zero(&p, 0)) * qdq_params_scale(&p, 0);
	return fabs(given - number) < 1e-3 * number;
}

static qdq_value *square_of(const qdq_node *n)
{
	if (qdq_is(n, QDQ_OP_Pow) && is_number(qdq_in(n, 1), 2))
		return qdq_in(n, 0);
	if (qdq_is(n, QDQ_OP_Mul) && n->n_inputs == 2 && qdq_in(n, 0) == qdq_in(n, 1))
		return qdq_in(n, 0);
	return NULL;
}

static bool same_list(const int64_t *a, const int64_t *b, size_t count)
{
	return count == 0 || memcmp(a, b, count * sizeof *a) == 0;
}

/* Do two means keep their dimensions, and run over the same axes? */
static bool means_alike(struct norm *k, const qdq_node *a, const qdq_node *b)
{
	const int64_t *in_a = NULL, *in_b = NULL;
	size_t count_a = 0, count_b = 0;
	qdq_arena *arena = &k->run->scratch;

	if (qdq_attr_int(a, "keepdims", 1) == 0 || qdq_attr_int(b, "keepdims", 1) == 0)
		return false;
	if (qdq_in(a, 1) != NULL || qdq_in(b, 1) != NULL)
		return qdq_in(a, 1) != NULL && qdq_in(b, 1) != NULL &&
		       qdq_value_ints(qdq_in(a, 1), arena, &in_a, &count_a) &&
		       qdq_value_ints(qdq_in(b, 1), arena, &in_b, &count_b) && count_a == count_b &&
		       same_list(in_a, in_b, count_a);
	in_a = qdq_attr_ints(a, "axes", &count_a);
	in_b = qdq_attr_ints(b, "axes", &count_b);
	return count_a == count_b && same_list(in_a, in_b, count_a);
}

/* x - mean(x): the mean's node, else NULL. */
static qdq_node *centering(const qdq_node *sub)
{
	qdq_node *mean = qdq_is(sub, QDQ_OP_Sub) && qdq_in(sub, 1) != NULL ? origin_of(qdq_in(sub, 1)) : NULL;

	return qdq_is(mean, QDQ_OP_ReduceMean) && qdq_in(mean, 0) == qdq_in(sub, 0) ? mean : NULL;
}

/* The node that reads *v alone, over a pair that is taken: then *v is what it reads. Where several do, or *v is a graph
 * output, that is noted. */
static qdq_node *next_part(struct norm *k, qdq_value **v)
{
	qdq_node *n;

	take_pair(k, *v);
	*v = behind_pair(*v);
	n = qdq_reader(*v);
	if (n == NULL && k->shared == NULL && (*v)->n_uses != 0)
		k->shared = *v;
	return n != NULL && n->region == NULL && n->n_outputs == 1 && n->outputs[0] != NULL ? n : NULL;
}

/* One operand is v, the other a constant. */
static bool with_constant(const qdq_node *n, qdq_op_id op, const qdq_value *v)
{
	uint32_t other = qdq_in(n, 0) == v ? 1 : 0;

	return n->op->id == op && n->n_inputs == 2 && qdq_in(n, other) != NULL && qdq_in(n, other) != v &&
	       qdq_is_weight(qdq_in(n, other));
}

static void take_part(struct norm *k, qdq_node *n)
{
	qdq_outline_take(&k->out, n);
	for (uint32_t i = 0; i < n->n_inputs; i++)
		if (qdq_in(n, i) != k->x && qdq_in(n, i) != NULL && qdq_is_weight(qdq_in(n, i)))
			qdq_outline_take_dequantizer(&k->out, qdq_in(n, i));
}

/* 1 / v */
static bool is_inverse(const qdq_node *n, const qdq_value *v)
{
	return n->op->id == QDQ_OP_Reciprocal ||
	       (n->op->id == QDQ_OP_Div && qdq_in(n, 1) == v && is_number(qdq_in(n, 0), 1));
}

/* variance + epsilon -- Sqrt -- (Reciprocal): the last result, NULL where it is another thing. *inverse: 1 / deviation. */
static qdq_value *take_deviation(struct norm *k, qdq_node *variance, bool *inverse)
{
	qdq_value *v = variance->outputs[0];
	qdq_node *n = next_part(k, &v);

	if (n == NULL || !with_constant(n, QDQ_OP_Add, v))
		return NULL;
	take_part(k, n);
	v = n->outputs[0];
	n = next_part(k, &v);
	if (n == NULL || n->op->id != QDQ_OP_Sqrt)
		return NULL;
	take_part(k, n);
	v = n->outputs[0];
	n = next_part(k, &v);
	*inverse = n != NULL && is_inverse(n, v);
	if (!*inverse)
		return v;
	take_part(k, n);
	return n->outputs[0];
}

/* Is v the same x - mean(x) as d? Exporters write it once or twice. */
static bool same_center(const qdq_value *v, const qdq_value *d, const qdq_node *mean)
{
	return v == d || (mean != NULL && origin_of(v) != NULL && centering(origin_of(v)) == mean);
}

/* Is the mean read by nothing but x - mean(x), and that by nothing but its square and a quotient? */
static bool only_centers(const qdq_node *mean, const qdq_node *sub)
{
	const qdq_value *m = behind_pair(mean->outputs[0]), *d = behind_pair(sub->outputs[0]);

	if (m->n_outputs != 0 || d->n_outputs != 0)
		return false;
	for (const qdq_use *u = m->uses; u != NULL; u = u->next)
		if (centering(u->node) != mean)
			return false;
	for (const qdq_use *u = d->uses; u != NULL; u = u->next)
		if (square_of(u->node) != d && u->node->op->id != QDQ_OP_Div && u->node->op->id != QDQ_OP_Mul)
			return false;
	return true;
}

/* d / deviation, or d * (1 / deviation): the node, with a second x - mean(x) that it reads. */
static qdq_node *take_quotient(struct norm *k, const qdq_value *d, const qdq_node *mean, qdq_value *v, bool inverse)
{
	qdq_node *n = next_part(k, &v);
	qdq_value *other;

	if (n == NULL || n->n_inputs != 2 || n->op->id != (inverse ? QDQ_OP_Mul : QDQ_OP_Div) ||
	    (!inverse && qdq_in(n, 1) != v))
		return NULL;
	other = qdq_in(n, qdq_in(n, 1) == v ? 0 : 1);
	if (other == NULL || !same_center(other, d, mean))
		return NULL;
	if (other != d) {
		take_part(k, origin_of(other));
		take_pair(k, origin_of(other)->outputs[0]);
	}
	take_part(k, n);
	return n;
}

/* Gain and shift behind it. */
static void take_affine(struct norm *k)
{
	static const qdq_op_id steps[] = {QDQ_OP_Mul, QDQ_OP_Add};

	for (size_t i = 0; i < QDQ_COUNTOF(steps); i++) {
		const qdq_value *v = behind_pair(k->y);
		qdq_node *n = qdq_reader(v);

		if (n == NULL || n->region != NULL || !with_constant(n, steps[i], v))
			continue;
		take_pair(k, k->y);
		take_part(k, n);
		k->y = n->outputs[0];
	}
}

/* What is read beside the members, of the values inside. */
static void notice_readers(struct norm *k)
{
	for (size_t i = 0; i < k->out.nodes.count; i++) {
		const qdq_node *n = k->out.nodes.items[i];

		if (n->op->cls != QDQ_CLASS_QUANT && n->outputs[0] != k->y && !qdq_outline_holds_readers(&k->out, n) &&
		    k->shared == NULL)
			k->shared = n->outputs[0];
	}
}

/* Around the mean of squares: x, the parts and y. False: it is none. */
static bool take_parts(struct norm *k, qdq_node *variance)
{
	qdq_node *square = origin_of(variance->inputs[0].value), *sub, *mean, *quotient;
	qdq_value *d = square != NULL && square->graph == k->run->graph ? square_of(square) : NULL, *deviation;
	bool inverse;

	if (d == NULL || qdq_out(variance, 0) == NULL)
		return false;
	sub = origin_of(d);
	mean = sub != NULL ? centering(sub) : NULL;
	k->centered = mean != NULL;
	if (mean != NULL && (!means_alike(k, variance, mean) || !only_centers(mean, sub)))
		mean = NULL; /* it is x of a normalization that does not center */
	if (!means_alike(k, variance, variance))
		return false;
	k->x = mean != NULL ? qdq_in(mean, 0) : d;
	k->anchor = variance;
	k->constant = true;
	if (mean != NULL) {
		take_part(k, mean);
		take_pair(k, mean->outputs[0]);
		take_part(k, sub);
		take_pair(k, sub->outputs[0]);
	}
	take_part(k, square);
	take_pair(k, square->outputs[0]);
	take_part(k, variance);
	deviation = take_deviation(k, variance, &inverse);
	quotient = deviation != NULL ? take_quotient(k, d, mean, deviation, inverse) : NULL;
	if (quotient == NULL)
		return false;
	k->y = quotient->outputs[0];
	take_affine(k);
	notice_readers(k);
	return true;
}

/* ---- an operator ---- */

static bool constant_shape(const qdq_node *view)
{
	return qdq_in(view, 1) == NULL || qdq_value_constant(qdq_in(view, 1)) != NULL;
}

static bool is_view(const struct norm *k, const qdq_node *n)
{
	return n != NULL && n->graph == k->run->graph && n->op->axis == QDQ_AXIS_VIEW && !qdq_kept_float(n);
}

/* As exporters write GroupNormalization: groups become the channels of an InstanceNormalization, by a view (on codes, if
 * a DQ sank over it) and back. */
static void take_views(struct norm *k)
{
	qdq_node *back = qdq_reader(k->y), *in = k->x->def;
	bool codes = in != NULL && in->op->id == QDQ_OP_DequantizeLinear;

	if (codes && qdq_outline_take_dequantizer(&k->out, k->x))
		in = qdq_in(in, 0)->def;
	if (!is_view(k, in) || !is_view(k, back) || !qdq_outline_holds_readers(&k->out, in))
		return;
	qdq_outline_take(&k->out, in);
	qdq_outline_take(&k->out, back);
	k->constant = k->constant && !codes && constant_shape(in) && constant_shape(back);
	k->x = codes ? k->x : qdq_in(in, 0);
	k->y = back->outputs[0];
}

static void take_operator(struct norm *k, qdq_node *n)
{
	k->anchor = n;
	k->x = qdq_in(n, 0);
	k->y = n->outputs[0];
	k->constant = true;
	qdq_outline_take(&k->out, n);
	for (uint32_t i = 1; i < n->n_inputs; i++) {
		if (qdq_in(n, i) == NULL)
			continue;
		k->constant = k->constant && qdq_is_weight(qdq_in(n, i));
		qdq_outline_take_dequantizer(&k->out, qdq_in(n, i));
	}
	if (n->op->id == QDQ_OP_InstanceNormalization)
		take_views(k);
}

/* ---- the sum in front ---- */

/* Will fuse make what v comes from a step behind a product? Then the sum is one too. */
static bool is_epilogue(const qdq_value *v, int *visits)
{
	const qdq_node *n = v->def;
	qdq_reason why;

	if (n == NULL || n->graph != v->graph || n->region != NULL || qdq_reader(v) == NULL || (*visits)++ >= VISITS)
		return false;
	if (n->op->cls == QDQ_CLASS_CONTRACT)
		return qdq_contract_int8(n, &why);
	if (n->op->cls != QDQ_CLASS_QUANT && n->op->cls != QDQ_CLASS_POINTWISE && !qdq_is_clamp(n) &&
	    n->op->id != QDQ_OP_BatchNormalization)
		return false;
	for (uint32_t i = 0; i < (n->op->cls == QDQ_CLASS_POINTWISE ? n->n_inputs : 1); i++)
		if (qdq_in(n, i) != NULL && is_epilogue(qdq_in(n, i), visits))
			return true;
	return false;
}

static qdq_node *free_sum(const struct norm *k, const qdq_value *v)
{
	qdq_node *n = qdq_def(v, QDQ_OP_Add);
	int visits = 0;

	if (n == NULL || n->graph != k->run->graph || qdq_kept_float(n) || n->n_inputs != 2 ||
	    qdq_in(n, 0) == qdq_in(n, 1) || !qdq_type_get(v->type)->is_float)
		return NULL;
	for (uint32_t i = 0; i < 2; i++)
		if (is_epilogue(qdq_in(n, i), &visits))
			return NULL;
	return n;
}

/* The sum behind v, where a pair Q -> DQ or nothing stands between. *q: the Q, *dq: the DQ; NULL: none. */
static qdq_node *sum_behind(const struct norm *k, const qdq_value *v, qdq_node **q, qdq_node **dq)
{
	qdq_params p;

	*dq = qdq_dequantized(v, &p);
	*q = NULL;
	if (*dq == NULL)
		return free_sum(k, v);
	*q = qdq_def(qdq_in(*dq, 0), QDQ_OP_QuantizeLinear);
	if (*q == NULL || (*q)->graph != k->run->graph || !qdq_is_rounding(*q))
		return NULL;
	return free_sum(k, qdq_in(*q, 0));
}

/* The row of an embedding table that v is, as it is, dequantized, or of codes between DQ and Q (constant_codes); if nobody
 * else wants it. */
static void take_lookup(struct norm *k, const qdq_value *v)
{
	const qdq_node *dq = qdq_def(v, QDQ_OP_DequantizeLinear);
	const qdq_value *row = dq != NULL ? qdq_in(dq, 0) : v;
	qdq_node *q = qdq_def(row, QDQ_OP_QuantizeLinear);
	qdq_node *gather = qdq_def(q != NULL ? qdq_in(q, 0) : row, QDQ_OP_Gather);

	if (gather == NULL || gather->graph != k->run->graph || qdq_in(gather, 0) == NULL ||
	    !qdq_is_weight(qdq_in(gather, 0)))
		return;
	if (q == NULL ? !qdq_outline_holds_readers(&k->out, gather)
		      : qdq_reader(gather->outputs[0]) != q || qdq_reader(row) != dq || !qdq_is_rounding(q))
		return;
	if (q != NULL) {
		qdq_outline_take(&k->out, q);
		qdq_outline_take_dequantizer(&k->out, qdq_in(gather, 0));
	}
	qdq_outline_take(&k->out, gather);
}

/* Takes in the DQ that v has; false: it has one that stays, with what is in front of it. */
static bool take_value(struct norm *k, const qdq_value *v)
{
	qdq_params p;

	return qdq_outline_take_dequantizer(&k->out, v) || qdq_dequantized(v, &p) == NULL;
}

/* Sums of sums come in only where nobody else reads the inner one: else what reads it might lead back. */
static void take_operands(struct norm *k, const qdq_node *sum, int *sums)
{
	for (uint32_t i = 0; i < 2; i++) {
		const qdq_value *v = qdq_in(sum, i);
		qdq_node *q, *dq, *inner;

		if (qdq_value_constant(v) != NULL || !take_value(k, v))
			continue;
		inner = sum_behind(k, v, &q, &dq);
		take_lookup(k, v);
		if (inner == NULL || *sums == MOST_SUMS || qdq_reader(v) == NULL ||
		    (q != NULL && (qdq_reader(q->outputs[0]) == NULL || qdq_reader(inner->outputs[0]) == NULL)))
			continue;
		(*sums)++;
		if (q != NULL)
			qdq_outline_take(&k->out, q);
		qdq_outline_take(&k->out, inner);
		take_operands(k, inner, sums);
	}
}

static void take_sum(struct norm *k)
{
	qdq_node *q, *dq;
	qdq_node *sum = k->constant ? sum_behind(k, k->x, &q, &dq) : NULL;
	int sums = 1;

	if (!take_value(k, k->x))
		return;
	take_lookup(k, k->x);
	if (sum == NULL)
		return;
	if (q != NULL)
		qdq_outline_take(&k->out, q);
	qdq_outline_take(&k->out, sum);
	qdq_outline_take_quantizers(&k->out, sum->outputs[0]);
	take_operands(k, sum, &sums);
}

/* ---- what follows ---- */

/* LayerNormalization has outputs for its mean and deviation, too. */
static bool only_output(const qdq_node *n)
{
	for (uint32_t i = 1; i < n->n_outputs; i++)
		if (n->outputs[i] != NULL && !qdq_value_unread(n->outputs[i]))
			return false;
	return true;
}

/* Does everything go out through y? */
static bool one_way_out(const struct norm *k)
{
	for (size_t i = 0; i < k->out.nodes.count; i++) {
		const qdq_node *n = k->out.nodes.items[i];

		if (n != k->y->def && !qdq_is_dequantizer(n) && !qdq_outline_holds_readers(&k->out, n))
			return false;
	}
	return only_output(k->y->def);
}

/* Does a member read a float from outside that is no constant? */
static bool reads_floats(const struct norm *k)
{
	for (size_t i = 0; i < k->out.nodes.count; i++) {
		const qdq_node *n = k->out.nodes.items[i];

		for (uint32_t j = 0; j < n->n_inputs; j++) {
			const qdq_value *v = qdq_in(n, j);

			if (v != NULL && qdq_type_get(v->type)->is_float && !qdq_is_weight(v) &&
			    (v->def == NULL || !qdq_outline_has(&k->out, v->def)))
				return true;
		}
	}
	return false;
}

/* An epilogue as that of a product, where nothing else leaves the region and might come back to it (epilogue.c). */
static void take_epilogue(struct norm *k)
{
	qdq_builder b = {.run = k->run, .graph = k->run->graph};

	b.most_others = reads_floats(k) ? 0 : 1; /* an Add of codes behind a rounding is INT8 by itself */
	if (!one_way_out(k)) {
		qdq_outline_take_quantizers(&k->out, k->y);
		return;
	}
	qdq_grow(&b, k->y);
	for (size_t i = 0; i < b.members.count; i++)
		qdq_outline_take(&k->out, b.members.items[i].node);
}

/* ---- all of it ---- */

static void fuse(qdq_run *r, qdq_node *n)
{
	struct norm k = {.run = r};
	qdq_reason why = {0};
	bool whole = true;

	qdq_outline_init(&k.out, r);
	if (n->op->id != QDQ_OP_ReduceMean)
		take_operator(&k, n);
	else
		whole = take_parts(&k, n);
	if (k.shared != NULL && (whole || k.centered)) {
		why =
		    (qdq_reason){.code = QDQ_REASON_INNER_SHARED, .operand = k.shared->name, .detail = "normalization"};
		why.cause = qdq_node_label(k.shared->def);
	} else if (!whole) {
		return;
	}
	if (why.code != QDQ_REASON_NONE || qdq_outline_kept(&k.out, &why)) {
		qdq_declined(r, "norm.fuse", n->origin, &why);
		return;
	}
	take_sum(&k);
	take_epilogue(&k);
	if (k.out.nodes.count > 1)
		qdq_outline_commit(&k.out, k.anchor, "norm.fuse");
}

static bool is_anchor(const qdq_node *n)
{
	return n->region == NULL && qdq_in(n, 0) != NULL && qdq_out(n, 0) != NULL &&
	       ((n->op->cls == QDQ_CLASS_NORM && n->op->id != QDQ_OP_BatchNormalization) ||
		(n->op->id == QDQ_OP_ReduceMean && n->inputs[0].value->def != NULL));
}

static void run(qdq_run *r)
{
	QDQ_VEC(qdq_node *) found = {0};
	uint64_t before = r->changes;

	if (!qdq_model_has(r->model, QDQ_OP_DequantizeLinear) ||
	    (!qdq_model_has_class(r->model, QDQ_CLASS_NORM) && !qdq_model_has(r->model, QDQ_OP_ReduceMean)))
		return;
	for (qdq_node *n = r->graph->first; n != NULL; n = qdq_after(n))
		if (is_anchor(n))
			*qdq_push(&r->scratch, &found) = n;
	if (found.count == 0)
		return;
	qdq_graph_number(r->graph);
	for (size_t i = 0; i < found.count; i++)
		if (found.items[i]->graph == r->graph)
			fuse(r, found.items[i]);
	if (r->changes != before)
		qdq_outline_sort(r);
}

static const qdq_rule rules[] = {
    {.name = "norm.fuse", .text = "a normalization, or its parts, with the sum in front and the Q/DQ around it"},
};

const qdq_pass qdq_pass_norm = {"norm", "outline normalizations with the sum in front", rules, QDQ_COUNTOF(rules), run,
				false};

/* SPDX-License-Identifier: Apache-2.0
 *
 * check.c -- fused operators beside their Q/DQ nodes: where the two part, and what caused it
 *
 * Every output element is compared. One that differs is computed once more, alone and in plain C: its accumulator, and
 * each register behind it. The first Q on its way whose code is not that of the evaluator is the cause: before it both
 * had the same codes. What comes behind that Q follows from it and is not judged.
 */
#include "check.h"

#include "exact.h"
#include "rows.h"

#define TIE 1e-5  /* a step more or less is right so near to a tie */
#define NEAR 1e-5 /* floats are the same: by that part of themselves, or of 1 */

/* What is behind a register, back to the inputs. */
typedef struct trail {
	const qdq_step *parted; /* the first rounding whose code is another than the evaluator's; NULL: none */
	double largest;		/* number since the codes before, in this register's unit */
} trail;

typedef struct checking {
	const qdq_plan *p;
	char *const *data;
	size_t kernel;
	const qdq_call *call;
	qdq_arena *arena;
	const qdq_tensor **values; /* by id: what the Q/DQ nodes give, also inside the region */
	const qdq_tensor **exact;  /* the same in real numbers; NULL: no element has differed yet */
	/* one element alone */
	qdq_kernel alone; /* without its stores */
	const qdq_kernel *of;
	float *registers;
	trail *trails; /* by register */
} checking;

/* ---- the Q/DQ nodes ---- */

QDQ_NORETURN static void refuse(const checking *c, const qdq_node *n)
{
	qdq_where where = {.file = c->p->m->path, .node = *n->name != '\0' ? n->name : NULL, .op = n->op_type};

	qdq_fail(c->p->m->ctx, QDQ_EMODEL, &where, "the reference evaluator refuses what this operator was fused from");
}

static const qdq_tensor *evaluated(const checking *c, const qdq_value *v)
{
	return v == NULL ? NULL : c->values[v->id] != NULL ? c->values[v->id] : v->tensor;
}

/* What the kernel reads: v itself or its copy in ROWS, behind which v's own memory may hold something else already. */
static const qdq_tensor *read_tensor(const checking *c, const qdq_value *v)
{
	uint32_t index = v != NULL ? c->p->buffer_of[v->id] : 0;

	for (uint32_t i = 0; index != 0 && i < c->p->buffers.count; i++) {
		const qdq_buffer *own = &c->p->buffers.items[index - 1], *b = &c->p->buffers.items[i];

		if (own->place == QDQ_PLACE_ARENA && own->last < c->kernel && b->value == v && b->last >= c->kernel)
			return qdq_buffer_tensor(c->arena, v, b, c->data[i]);
	}
	return qdq_plan_tensor(c->p, c->data, c->arena, v);
}

static void evaluate(checking *c, const qdq_node *fused)
{
	const qdq_graph *body = fused->region->body;

	c->values = qdq_array(c->arena, const qdq_tensor *, c->p->m->n_values);
	for (uint32_t i = 0; i < body->inputs.count; i++)
		c->values[body->inputs.items[i]->id] = read_tensor(c, qdq_in(fused, i));
	for (const qdq_node *n = body->first; n != NULL; n = n->next) {
		const qdq_tensor **in = qdq_array(c->arena, const qdq_tensor *, n->n_inputs);
		const qdq_tensor **out = qdq_array(c->arena, const qdq_tensor *, n->n_outputs), *meant;

		for (uint32_t i = 0; i < n->n_inputs; i++)
			in[i] = evaluated(c, qdq_in(n, i));
		if (!qdq_constants_meant(c->p, c->arena, n, in, &meant))
			refuse(c, n);
		if (meant != NULL)
			out[0] = meant;
		else if (qdq_eval_node(c->p->m, c->arena, n, in, out, 0) != QDQ_EVAL_OK)
			refuse(c, n);
		for (uint32_t i = 0; i < n->n_outputs; i++)
			if (n->outputs[i] != NULL)
				c->values[n->outputs[i]->id] = out[i];
	}
}

/* ---- one element alone ---- */

/* Where an element comes from. */
typedef struct origin {
	const qdq_kernel *k;
	const qdq_step *store;
	int64_t pixel, channel; /* of the kernel */
	uint64_t index, whole;	/* among what the kernel computes, row-major; among what its fused operator gives */
	int64_t lane;		/* of its registers */
	int32_t accumulator;	/* of a contraction */
} origin;

/* The kernel's number of a pixel of the results; false: it is another's. */
static bool to_grid(const qdq_grid *g, int64_t *pixel)
{
	int64_t image = *pixel / (g->oh * g->ow), y = *pixel / g->ow % g->oh, x = *pixel % g->ow;

	*pixel = (image * g->h + y / g->sh) * g->w + x / g->sw;
	return y % g->sh == g->first_h && x % g->sw == g->first_w;
}

static bool find_store(const checking *c, const qdq_kernel *k, const qdq_value *v, uint64_t index, origin *out)
{
	const qdq_buffer *b = &c->p->buffers.items[c->p->buffer_of[v->id] - 1];
	int64_t all = qdq_buffer_channels(b, k->last_axis), at = (int64_t)index;
	int64_t channel = at / k->spatial % all, image = at / k->spatial / all;

	for (uint32_t s = 0; s < k->n_steps; s++) {
		const qdq_step *store = &k->steps[s];
		int64_t own = channel - store->other.channel;

		if (store->kind != QDQ_STEP_STORE || &c->p->buffers.items[store->other.buffer] != b || own < 0 ||
		    own >= k->channels)
			continue;
		*out = (origin){.k = k, .store = store, .pixel = image * k->spatial + at % k->spatial, .channel = own};
		if (k->grid.sh != 0 && !to_grid(&k->grid, &out->pixel))
			return false;
		out->index = (uint64_t)((image * k->channels + own) * k->spatial + at % k->spatial);
		out->whole = index;
		return true;
	}
	return false;
}

/* Of the kernels that a fused operator has (one for each input of a Concat), the one that wrote this element. */
static bool find_origin(const checking *c, const qdq_value *v, uint64_t index, origin *out)
{
	const qdq_node *n = c->p->kernels.items[c->kernel].node;

	for (size_t i = c->kernel + 1; i-- > 0 && c->p->kernels.items[i].node == n;)
		if (find_store(c, &c->p->kernels.items[i], v, index, out))
			return true;
	return false;
}

/* The sum that the kernels of every device compute, without the bias. */
static int32_t accumulate(const qdq_conv *g, const uint8_t *x, int64_t pixel, int64_t k)
{
	int64_t image = pixel / (g->oh * g->ow), oy = pixel / g->ow % g->oh, ox = pixel % g->ow;
	int64_t each = g->c / g->groups, first = k / (g->k / g->groups) * each;
	int32_t sum = 0;

	for (int64_t t = 0; t < g->kh * g->kw; t++) {
		int64_t row = oy * g->sh - g->top + t / g->kw * g->dh,
			column = ox * g->sw - g->left + t % g->kw * g->dw;
		const uint8_t *at = x + ((image * g->h + row) * g->w + column) * g->pitch + first;

		if (row < 0 || row >= g->h || column < 0 || column >= g->w)
			continue;
		for (int64_t c = 0; c < each; c++)
			sum += ((g->x_signed ? (int8_t)at[c] : at[c]) - g->zx) * qdq_weight(g, k, c, t);
	}
	return sum;
}

static void prepare_alone(checking *c, const qdq_kernel *k)
{
	qdq_step *steps = qdq_array(c->arena, qdq_step, k->n_steps);

	c->of = k;
	c->alone = *k;
	c->alone.steps = steps;
	c->alone.n_steps = 0;
	for (uint32_t s = 0; s < k->n_steps; s++)
		if (k->steps[s].kind != QDQ_STEP_STORE)
			steps[c->alone.n_steps++] = k->steps[s];
	c->registers = qdq_array(c->arena, float, (size_t)k->n_registers *QDQ_ROW);
	c->trails = qdq_array(c->arena, trail, k->n_registers);
}

/* Fills the registers with what the kernel had for this element. */
static void run_alone(checking *c, origin *o)
{
	const qdq_kernel *k = o->k;
	qdq_row row = {.k = &c->alone,
		       .isa = QDQ_ISA_C,
		       .buffers = c->p->buffers.items,
		       .data = c->data,
		       .pixel = o->pixel,
		       .pixels = 1,
		       .channel = o->channel,
		       .count = 1};

	if (c->of != k)
		prepare_alone(c, k);
	row.registers = c->registers;
	if (k->anchor == QDQ_ANCHOR_CONTRACT) {
		int32_t sum = accumulate(&k->conv, (const uint8_t *)c->data[k->in[0].buffer], o->pixel, o->channel);

		qdq_row_contract(&row, &sum, 1);
		o->accumulator = sum + (k->bias != NULL ? k->bias[o->channel] : 0);
		return;
	}
	c->alone.channels = o->channel + 1; /* the last that it computes, so the one that stays */
	qdq_rows_run(&row, o->pixel, 1);
	o->lane = row.plane ? 0 : o->channel % QDQ_ROW;
}

static float at_register(const checking *c, const origin *o, uint32_t reg)
{
	return c->registers[(int64_t)reg * QDQ_ROW + o->lane];
}

/* ---- the cause ---- */

/* Where the element is in the codes of a rounding: behind a Concat these are all of its result's, in front of it, as
 * everywhere else, those that the kernel computes. */
static uint64_t index_of(const origin *o, const qdq_tensor *codes)
{
	return codes->count == (uint64_t)(o->k->pixels * o->k->channels) ? o->index : o->whole;
}

/* The code that a rounding gave here, and what the evaluator has in its place. */
static bool codes_of(const checking *c, const origin *o, const qdq_step *s, int64_t *got, int64_t *expected)
{
	const qdq_tensor *t = s->value == NULL ? NULL : c->values[s->value->id];

	if (t == NULL || index_of(o, t) >= t->count || !qdq_tensor_int(t, index_of(o, t), expected))
		return false;
	*got = (int64_t)(at_register(c, o, s->to) - s->low) + qdq_type_min(t->type);
	return true;
}

static bool rounds(const qdq_step *s)
{
	return s->kind == QDQ_STEP_ROUND || (s->kind == QDQ_STEP_TABLE && s->value != NULL);
}

/* What a step that reads a register, and multiplies it by `before`, has behind it. */
static void go_on(trail *t, const trail *from, float before)
{
	if (t->parted == NULL)
		t->parted = from->parted;
	t->largest = fmax(t->largest, from->largest * fabs((double)before));
}

/* Fills the trails. Steps stand behind those that give what they read. */
static void follow(const checking *c, const origin *o)
{
	trail *trails = c->trails;
	int64_t got, expected;

	memset(trails, 0, o->k->n_registers * sizeof *trails);
	trails[0].largest = fabs((double)at_register(c, o, 0));
	if (o->k->anchor == QDQ_ANCHOR_CONTRACT)
		trails[0].largest = fmax(trails[0].largest, fabs((double)o->k->addend[o->channel]));
	for (uint32_t i = 0; i < o->k->n_steps; i++) {
		const qdq_step *s = &o->k->steps[i];
		trail *t = &trails[s->to];

		if (s->kind == QDQ_STEP_STORE)
			continue;
		if (s->kind != QDQ_STEP_LOAD)
			go_on(t, &trails[s->from], s->before);
		if (s->kind == QDQ_STEP_BINARY)
			go_on(t, &trails[s->second], s->before_second);
		if (s->kind == QDQ_STEP_LOAD || s->kind == QDQ_STEP_TABLE || rounds(s))
			t->largest = 0; /* codes are exact */
		t->largest = fmax(t->largest, fabs((double)at_register(c, o, s->to)));
		if (t->parted == NULL && rounds(s) && codes_of(c, o, s, &got, &expected) && got != expected)
			t->parted = s;
	}
}

/* How far v is from the nearest number between two codes, in steps; exact. */
static double from_tie(double v, double low, double high)
{
	double tie = floor(v) + 0.5;

	tie = tie < low + 0.5 ? low + 0.5 : tie > high - 0.5 ? high - 0.5 : tie;
	return fabs(v - tie);
}

static double rounded(double v, double low, double high)
{
	return nearbyint(v < low ? low : v > high ? high : v);
}

static const qdq_tensor *const *exact_values(checking *c)
{
	if (c->exact == NULL) {
		c->exact = qdq_array(c->arena, const qdq_tensor *, c->p->m->n_values);
		qdq_exact_values(c->p->m, c->arena, c->p->kernels.items[c->kernel].node->region->body, c->values,
				 c->exact);
	}
	return c->exact;
}

/* What a rounding's Q rounds by its meaning, from the codes before it on; false: that is not known. */
static bool exact_of(checking *c, const qdq_step *rounding, const origin *o, double *steps)
{
	const qdq_tensor *codes = c->values[rounding->value->id];

	return qdq_exact_steps(rounding->value, c->values, exact_values(c), index_of(o, codes), steps);
}

static bool near(double a, double b)
{
	return fabs(a - b) <= NEAR * fmax(1, fabs(b));
}

/* A float that differs although all codes before it are the same: is it what the nodes mean? Where terms are much larger
 * than their sum, float32 products of DQs are off by more than what is left. */
static void judge_float(checking *c, const qdq_value *v, qdq_difference *d)
{
	const qdq_tensor *exact = exact_values(c)[v->id];

	d->exact = d->got;
	d->is_exact = exact != NULL && d->index < exact->count && qdq_tensor_real(exact, d->index, &d->exact) &&
		      near(d->got, d->exact);
}

static void explain(checking *c, const qdq_value *v, qdq_difference *d)
{
	const qdq_step *s;
	bool known;
	int64_t got = 0, expected = 0;
	origin o;

	if (c->p->kernels.items[c->kernel].anchor == QDQ_ANCHOR_NODE || !find_origin(c, v, d->index, &o))
		return;
	run_alone(c, &o);
	d->has_accumulator = o.k->anchor == QDQ_ANCHOR_CONTRACT;
	d->accumulator = o.accumulator;
	follow(c, &o);
	s = c->trails[o.store->from].parted;
	d->value = (double)at_register(c, &o, o.store->from);
	if (s == NULL || !codes_of(c, &o, s, &got, &expected))
		return;
	d->rounding = s->to == o.store->from ? v->name : s->value->name != NULL ? s->value->name : "";
	d->rounding_got = (double)got;
	d->rounding_expected = (double)expected;
	d->value = (double)(at_register(c, &o, s->from) * s->before);
	known = exact_of(c, s, &o, &d->exact);
	if (!known)
		d->exact = d->value;
	d->tie = from_tie(d->exact, (double)s->low, (double)s->high);
	d->is_exact = known && rounded(d->exact, (double)s->low, (double)s->high) == (double)at_register(c, &o, s->to);
	d->tolerance = fmax(TIE, c->trails[s->from].largest * fabs((double)s->before) * 0x1p-22);
}

/* ---- comparing ---- */

static double element(const qdq_tensor *t, uint64_t i)
{
	double real = 0;
	int64_t code;

	if (qdq_tensor_int(t, i, &code))
		return (double)code;
	(void)qdq_tensor_real(t, i, &real);
	return real;
}

/* v is what n gives; inner, in its region, gives it there (NULL: n has none). */
static void compare(checking *c, const qdq_node *n, const qdq_value *v, const qdq_value *inner, const qdq_tensor *got,
		    const qdq_tensor *expected)
{
	for (uint64_t i = 0; i < got->count; i++) {
		double a = element(got, i), b = element(expected, i);
		qdq_difference d = {.node = n->name, .tensor = v->name, .index = i, .got = a, .expected = b};

		if (a == b || (isnan(a) && isnan(b)) || (got->type == QDQ_TYPE_FLOAT && near(a, b)))
			continue;
		explain(c, v, &d);
		if (d.rounding == NULL && inner != NULL && got->type == QDQ_TYPE_FLOAT)
			judge_float(c, inner, &d);
		c->call->check(c->call->user, &d);
	}
}

/* An operator of constants that a region left behind when it was split. */
static void check_moved(checking *c, const qdq_node *n)
{
	const qdq_tensor **in = qdq_array(c->arena, const qdq_tensor *, n->n_inputs + 1), *meant;

	for (uint32_t i = 0; i < n->n_inputs; i++)
		in[i] = qdq_in(n, i) != NULL ? read_tensor(c, qdq_in(n, i)) : NULL;
	if (!qdq_constants_meant(c->p, c->arena, n, in, &meant))
		refuse(c, n);
	compare(c, n, n->outputs[0], NULL, qdq_plan_tensor(c->p, c->data, c->arena, n->outputs[0]), meant);
}

/* The kernel's inputs are still there. */
static void check(void *arg, qdq_arena *a)
{
	checking *c = arg;
	const qdq_node *n = c->p->kernels.items[c->kernel].node;

	c->arena = a;
	if (n->region == NULL) {
		check_moved(c, n);
		return;
	}
	evaluate(c, n);
	for (uint32_t i = 0; i < n->n_outputs; i++) {
		const qdq_value *inner = n->region->body->outputs.items[i];

		if (n->outputs[i] != NULL)
			compare(c, n, n->outputs[i], inner, qdq_plan_tensor(c->p, c->data, a, n->outputs[i]),
				evaluated(c, inner));
	}
}

/* Does it bring codes into ROWS, and nothing else? Such a kernel has the node that made the codes. */
static bool is_copy(const qdq_plan *p, const qdq_kernel *k)
{
	return k->anchor == QDQ_ANCHOR_LOAD && k->n_steps == 1 && k->steps[0].kind == QDQ_STEP_STORE &&
	       p->buffers.items[k->in[0].buffer].value == p->buffers.items[k->steps[0].other.buffer].value;
}

/* Has kernel i written the last of what its fused operator writes? */
static bool completes_region(const qdq_plan *p, size_t i)
{
	const qdq_kernel *k = &p->kernels.items[i];

	return k->anchor != QDQ_ANCHOR_NODE && k->node != NULL && k->node->region != NULL && !is_copy(p, k) &&
	       (i + 1 == p->kernels.count || p->kernels.items[i + 1].node != k->node || is_copy(p, k + 1));
}

void qdq_check_kernel(const qdq_plan *p, char *const *data, size_t i, const qdq_call *call)
{
	checking c = {.p = p, .data = data, .kernel = i, .call = call};

	if (completes_region(p, i) || qdq_constants_has(p, p->kernels.items[i].node))
		qdq_with_scratch(p->m->ctx, check, &c);
}

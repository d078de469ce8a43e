/* SPDX-License-Identifier: Apache-2.0
 *
 * fold -- what depends on constants alone becomes a constant
 *
 *   w -- Abs -- ReduceMax -- Div -- Clip -- s           =>   s' (initializer)
 *   w -- Q(s, z) -- codes -- DQ -- Conv                 =>   codes' (initializer) -- DQ -- Conv
 *   x -- Shape -- Gather -- Concat -- shape             =>   shape' (initializer), where all dimensions are known
 *
 *   When    every input is a constant and lib/eval has the operator; results that are at most a few times as large as
 *           what they are computed from
 *   Keeps   every DequantizeLinear (a weight stays in codes), fake quantization (read_fake's), graph outputs
 *   Exact   EXACT for what is exactly rounded by definition, else STEP1 (tanh, exp, sums of floats, Q of float16)
 *   Needs   types, shapes, contents         Breaks  nothing
 *   After   canonicalize                    Before  read_qlinear, fold_bn, sink_dq
 *   Tests   test/golden/fold/               Ref     constant folding, any compiler textbook
 */
#include "../lib/eval/eval.h"
#include "moves.h"

#define GROWTH 8	     /* a result may be so many times as large as its inputs … */
#define ALWAYS (1024 * 1024) /* … or so many bytes */

/* A result: in scratch memory until somebody needs it. `borrowed`: its data is an initializer's own. */
struct folded {
	const qdq_tensor *tensor;
	bool borrowed;
};

struct folding {
	qdq_run *run;
	bool alone;	 /* one node, which a pass has moved in front of a DQ of constants */
	qdq_map results; /* struct folded of a value */
	QDQ_VEC(qdq_node *) nodes;
};

/* The data of a value, as an initializer or as a result of this pass. */
static const qdq_tensor *data_of(const struct folding *f, const qdq_value *v)
{
	const qdq_tensor *t = qdq_value_constant(v);
	const struct folded *result = t == NULL ? qdq_map_get(&f->results, v) : NULL;

	return result != NULL ? result->tensor : t;
}

/* Constants of all inputs; false where one is none. */
static bool gather(const struct folding *f, const qdq_node *n, const qdq_tensor **inputs, uint64_t *size)
{
	*size = 0;
	for (uint32_t i = 0; i < n->n_inputs; i++) {
		const qdq_value *v = qdq_in(n, i);

		inputs[i] = v != NULL ? data_of(f, v) : NULL;
		if (v != NULL && inputs[i] == NULL)
			return false;
		*size += inputs[i] != NULL ? inputs[i]->size : 0;
	}
	return n->n_inputs != 0;
}

/* 0 / 0 and the like: what comes out differs from runtime to runtime. */
static bool divides_by_zero(const qdq_node *n)
{
	qdq_params p;

	return n->op->cls == QDQ_CLASS_QUANT && qdq_params_of(n, &p) && p.constant && !p.positive;
}

static bool is_candidate(const qdq_node *n)
{
	if (n->n_inputs == 0 || qdq_is_dequantizer(n) || n->op->cls == QDQ_CLASS_QFORM || n->region != NULL ||
	    n->function != NULL || !qdq_eval_known(n) || divides_by_zero(n))
		return false;
	for (uint32_t i = 0; i < n->n_outputs; i++)
		if (n->outputs[i] != NULL && n->outputs[i]->n_outputs != 0)
			return false; /* the name of a graph output needs a node */
	return true;
}

static bool shares_data(const struct folding *f, const qdq_node *n, const qdq_tensor *t)
{
	for (uint32_t i = 0; i < n->n_inputs; i++) {
		const qdq_value *v = qdq_in(n, i);

		if (v != NULL && data_of(f, v)->data == t->data)
			return qdq_value_constant(v) != NULL ||
			       ((const struct folded *)qdq_map_get(&f->results, v))->borrowed;
	}
	return false;
}

/* The same numbers in float32. */
static const qdq_tensor *widened(qdq_run *r, const qdq_tensor *t)
{
	qdq_tensor *wide = qdq_new(&r->scratch, qdq_tensor);
	float *data;
	double x;

	if (t == NULL || t->type != QDQ_TYPE_FLOAT16)
		return t;
	data = qdq_array(&r->scratch, float, t->count);
	for (uint64_t i = 0; i < t->count; i++)
		data[i] = qdq_tensor_real(t, i, &x) ? (float)x : 0;
	*wide = *t;
	wide->type = QDQ_TYPE_FLOAT;
	wide->data = data;
	wide->size = t->count * sizeof *data;
	return wide;
}

/* Is the result rounded to float16? ONNX Runtime computes it in float32 and leaves that out for many readers. */
static bool is_rounded(qdq_run *r, const qdq_node *n, const qdq_tensor *const *inputs, const qdq_tensor *result)
{
	const qdq_tensor **wide, **outputs;
	double a, b;

	if (!r->options->exact || result == NULL || result->type != QDQ_TYPE_FLOAT16 || n->op->cls == QDQ_CLASS_MOVE ||
	    n->op->cls == QDQ_CLASS_MONO || n->op->id == QDQ_OP_Cast || qdq_only_quantized(n->outputs[0]))
		return false;
	wide = qdq_array(&r->scratch, const qdq_tensor *, n->n_inputs);
	outputs = qdq_array(&r->scratch, const qdq_tensor *, n->n_outputs);
	for (uint32_t i = 0; i < n->n_inputs; i++)
		wide[i] = widened(r, inputs[i]);
	if (qdq_eval_node(r->model, &r->scratch, n, wide, outputs, 0) != QDQ_EVAL_OK ||
	    outputs[0]->count != result->count)
		return true;
	for (uint64_t i = 0; i < result->count; i++)
		if (!qdq_tensor_real(result, i, &a) || !qdq_tensor_real(outputs[0], i, &b) || (a != b && a == a))
			return true;
	return false;
}

/* Evaluates n into scratch memory, if everything it reads is known; one tensor for each output. NULL: it cannot be. */
static const qdq_tensor **evaluate(const struct folding *f, qdq_node *n)
{
	qdq_run *r = f->run;
	const qdq_tensor *few[8];
	const qdq_tensor **inputs =
	    n->n_inputs <= QDQ_COUNTOF(few) ? few : qdq_array(&r->scratch, const qdq_tensor *, n->n_inputs);
	const qdq_tensor **outputs;
	qdq_exactness exactness;
	qdq_reason why;
	uint64_t size;

	if (!is_candidate(n) || !gather(f, n, inputs, &size))
		return NULL;
	exactness = qdq_eval_exactness(n);
	if (!qdq_allowed(r, exactness)) {
		why = (qdq_reason){.code = QDQ_REASON_NOT_EXACT};
		if (n->outputs[0] != NULL)
			why.operand = n->outputs[0]->name;
		qdq_declined(r, "fold.constant", n->origin, &why);
		return NULL;
	}
	if (!f->alone && n->outputs[0] != NULL &&
	    (qdq_holds_rounding(r, n, &why) || qdq_feeds_alone(r, n->outputs[0]))) {
		why = (qdq_reason){.code = QDQ_REASON_HALF_ROUNDING, .operand = n->outputs[0]->name};
		qdq_declined(r, "fold.constant", n->origin, &why);
		return NULL;
	}
	outputs = qdq_array(&r->scratch, const qdq_tensor *, n->n_outputs);
	if (qdq_eval_node(r->model, &r->scratch, n, inputs, outputs, size * GROWTH + ALWAYS) != QDQ_EVAL_OK)
		return NULL;
	if (is_rounded(r, n, inputs, outputs[0])) {
		why = (qdq_reason){.code = QDQ_REASON_HALF_ROUNDING, .operand = n->outputs[0]->name};
		qdq_declined(r, "fold.constant", n->origin, &why);
		return NULL;
	}
	qdq_applied(r, "fold.constant", exactness, 0, n->origin);
	return outputs;
}

static void try_fold(struct folding *f, qdq_node *n)
{
	const qdq_tensor **outputs = qdq_is_fake_quantizer(n) ? NULL : evaluate(f, n);

	if (outputs == NULL)
		return;
	for (uint32_t i = 0; i < n->n_outputs; i++) {
		struct folded *result = n->outputs[i] != NULL ? qdq_new(&f->run->scratch, struct folded) : NULL;

		if (result == NULL)
			continue;
		*result = (struct folded){outputs[i], shares_data(f, n, outputs[i])};
		qdq_map_set(&f->results, n->outputs[i], result);
	}
	*qdq_push(&f->run->scratch, &f->nodes) = n;
}

/* ---- results into the model ---- */

static const qdq_tensor *keep(qdq_model *m, const struct folded *result)
{
	const qdq_tensor *t = result->tensor;
	qdq_tensor *copy = qdq_new(&m->arena, qdq_tensor);
	int64_t *dims = qdq_array(&m->arena, int64_t, (size_t)t->rank);

	if (t->rank != 0)
		memcpy(dims, t->dims, (size_t)t->rank * sizeof *dims);
	*copy = (qdq_tensor){
	    .type = t->type, .rank = t->rank, .dims = dims, .count = t->count, .data = t->data, .size = t->size};
	if (result->borrowed) {
		copy->source = t->source;
		copy->strings = t->strings;
	} else if (t->strings != NULL) {
		qdq_bytes *strings = qdq_array(&m->arena, qdq_bytes, t->count);

		for (uint64_t i = 0; i < t->count; i++)
			strings[i] = (qdq_bytes){qdq_copy(&m->arena, t->strings[i].data, t->strings[i].size),
						 t->strings[i].size};
		copy->strings = strings;
	} else {
		copy->data = qdq_copy(&m->arena, t->data, (size_t)t->size);
	}
	return copy;
}

/* Backward, so that what only folded nodes read has no reader left when its turn comes. */
static void settle(struct folding *f)
{
	qdq_model *m = f->run->model;

	for (size_t i = f->nodes.count; i-- > 0;) {
		qdq_node *n = f->nodes.items[i];

		for (uint32_t k = 0; k < n->n_outputs; k++) {
			qdq_value *v = n->outputs[k];

			if (v != NULL && v->n_uses != 0)
				qdq_value_set_constant(v, keep(m, qdq_map_get(&f->results, v)));
		}
		qdq_node_remove(n);
	}
}

/* ---- dimensions that are all known ---- */

/* Shape -> Gather -> … on an activation whose shape is known: the contents are constants although the data is not. */
static const qdq_tensor *known_contents(qdq_model *m, const qdq_value *v)
{
	const qdq_shape *c = v->contents;
	int64_t dims[1], value;
	qdq_tensor *t;
	int64_t *data;

	if (c == NULL || v->type != QDQ_TYPE_INT64 || v->shape == NULL || v->shape->rank > 1)
		return NULL;
	for (int32_t i = 0; i < c->rank; i++)
		if (!qdq_dim_value(m, c->dim[i], &value))
			return NULL;
	dims[0] = c->rank;
	t = qdq_tensor_new(m, QDQ_TYPE_INT64, v->shape->rank, dims);
	if (t->count != (uint64_t)c->rank)
		return NULL;
	data = (int64_t *)(uintptr_t)t->data;
	for (int32_t i = 0; i < c->rank; i++)
		qdq_dim_value(m, c->dim[i], &data[i]);
	return t;
}

/* Only what somebody outside such arithmetic reads is written down. */
static bool read_by_others(const qdq_value *v)
{
	for (const qdq_use *u = v->uses; u != NULL; u = u->next)
		if (u->node->n_outputs == 0 || u->node->outputs[0] == NULL || u->node->outputs[0]->contents == NULL)
			return true;
	return false;
}

static void fold_dimensions(qdq_run *r)
{
	qdq_node *next;

	if (!qdq_model_has_class(r->model, QDQ_CLASS_SHAPE))
		return; /* all contents come from constants */
	for (qdq_node *n = r->graph->first; n != NULL; n = next) {
		qdq_value *v = n->n_outputs == 1 ? n->outputs[0] : NULL;
		const qdq_tensor *t;

		next = qdq_after(n);
		if (v == NULL || v->contents == NULL || v->n_outputs != 0 || n->region != NULL ||
		    n->op->id == QDQ_OP_NONE || !read_by_others(v))
			continue;
		t = known_contents(r->model, v);
		if (t == NULL)
			continue;
		qdq_value_set_constant(v, t);
		qdq_applied(r, "fold.dimensions", QDQ_EXACT, 0, n->origin);
		qdq_node_remove(n);
	}
}

static void run(qdq_run *r)
{
	struct folding f = {.run = r};
	uint64_t before = r->changes;

	fold_dimensions(r);
	qdq_map_init(&f.results, &r->scratch);
	for (qdq_node *n = r->graph->first; n != NULL; n = qdq_after(n))
		try_fold(&f, n);
	settle(&f);
	if (r->changes != before)
		qdq_drop_dead(r); /* the Shape behind an operator would be a float reader of its result */
}

static const qdq_rule rules[] = {
    {.name = "fold.constant",
     .exactness = QDQ_STEP1,
     .text = "an operator whose inputs are constants is computed; EXACT where it is exactly rounded by definition"},
    {.name = "fold.dimensions",
     .exactness = QDQ_EXACT,
     .text = "a tensor of dimensions that are all known becomes a constant"},
};

const qdq_pass qdq_pass_fold = {
    "fold", "compute at build what depends on constants alone", rules, QDQ_COUNTOF(rules), run, false};

/* n's outputs are initializers now, and n goes. */
static void replace(struct folding *f, qdq_node *n, const qdq_tensor **outputs)
{
	for (uint32_t i = 0; i < n->n_outputs; i++) {
		struct folded result = {outputs[i], false};

		if (n->outputs[i] == NULL)
			continue;
		result.borrowed = shares_data(f, n, outputs[i]);
		qdq_value_set_constant(n->outputs[i], keep(f->run->model, &result));
	}
	qdq_node_remove(n);
}

bool qdq_fold_node(qdq_run *r, qdq_node *n)
{
	struct folding f = {.run = r, .alone = true};
	const qdq_tensor **outputs = evaluate(&f, n);

	if (outputs != NULL)
		replace(&f, n, outputs);
	return outputs != NULL;
}

bool qdq_fold_dequantizer(qdq_run *r, qdq_node *dq)
{
	struct folding f = {.run = r, .alone = true};
	const qdq_tensor **inputs = qdq_array(&r->scratch, const qdq_tensor *, dq->n_inputs), *outputs[1];
	uint64_t size;

	if (qdq_out(dq, 0) == NULL || dq->outputs[0]->n_outputs != 0 || !gather(&f, dq, inputs, &size) ||
	    qdq_eval_node(r->model, &r->scratch, dq, inputs, outputs, size * GROWTH + ALWAYS) != QDQ_EVAL_OK)
		return false;
	replace(&f, dq, outputs);
	return true;
}

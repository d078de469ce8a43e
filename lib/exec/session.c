/* SPDX-License-Identifier: Apache-2.0
 *
 * session.c -- include/qdqopt_exec.h: plans for the shapes that come, and running them
 */
#include "../../include/qdqopt_exec.h"

#include <stdio.h>
#include <unistd.h>

#include "backend.h"

/* A plan for one set of input shapes: of a copy of the model in which these are known. */
typedef struct variant {
	struct variant *next;
	qdq_model *m;
	const qdq_plan *plan;
	void *prepared; /* by the device */
} variant;

struct qdq_session {
	qdq_ctx *ctx;
	qdq_model *m;
	qdq_arena arena;
	qdq_device *device;
	qdq_device *cpu; /* beside another device; or NULL */
	qdq_blas blas;
	variant *variants;
	const variant *last;
	qdq_call hooks; /* the caller's callbacks, and nothing else */
	void **held;	/* by graph output: memory of the session */
	size_t *held_size;
};

/* ---- making ---- */

struct making {
	qdq_session *s;
	const qdq_session_options *options;
};

static qdq_isa isa_of(qdq_ctx *ctx, const char *name)
{
	qdq_isa best = qdq_isa_best();

	for (int i = 0; name != NULL && i < QDQ_ISA_COUNT; i++)
		if (strcmp(name, qdq_isa_names[i]) == 0)
			return (qdq_isa)i < best ? (qdq_isa)i : best;
	if (name != NULL)
		qdq_fail(ctx, QDQ_EUSAGE, NULL, "'%s' is no instruction set: c, avx2 or vnni", name);
	return best;
}

/* "cpu", "cuda" or "cuda:N". */
static void open_gpu(qdq_session *s, const qdq_session_options *o)
{
	const char *name = o == NULL || o->device == NULL ? "cpu" : o->device;
	long nth = 0;

	if (strcmp(name, "cpu") == 0)
		return;
	if (strncmp(name, "cuda:", 5) == 0 && name[5] >= '0' && name[5] <= '9' && name[6] == '\0')
		nth = name[5] - '0';
	else if (strcmp(name, "cuda") != 0)
		qdq_fail(s->ctx, QDQ_EUSAGE, NULL, "'%s' is no device: cpu, cuda or cuda:N", name);
	if (s->hooks.check != NULL)
		qdq_fail(s->ctx, QDQ_EUSAGE, NULL,
			 "checking is done on the CPU, whose bytes are those of every device");
	s->cpu = s->device;
	s->device = qdq_cuda_new(s->ctx, &s->arena, s->cpu);
	qdq_cuda_open(s->device, (int)nth, o, s->m->graph->inputs.count, s->m->graph->outputs.count);
}

static void make(void *arg)
{
	struct making *j = arg;
	qdq_session *s = j->s;
	const qdq_session_options *o = j->options;
	long cores = sysconf(_SC_NPROCESSORS_ONLN);

	if (o != NULL && o->version != QDQ_SESSION_OPTIONS_VERSION)
		qdq_fail(s->ctx, QDQ_EUSAGE, NULL, "version %u of the session's options is not known", o->version);
	if (o != NULL && o->threads < 0)
		qdq_fail(s->ctx, QDQ_EUSAGE, NULL, "%d threads", o->threads);
	if (o != NULL)
		s->hooks =
		    (qdq_call){.check = o->check, .profile = o->profile, .progress = o->progress, .user = o->user};
	s->held = qdq_array(&s->arena, void *, s->m->graph->outputs.count);
	s->held_size = qdq_array(&s->arena, size_t, s->m->graph->outputs.count);
	s->device = qdq_cpu_open(s->ctx, &s->arena, isa_of(s->ctx, o != NULL ? o->instructions : NULL),
				 o != NULL && o->threads > 0 ? o->threads
				 : cores > 0		     ? (int)cores
							     : 1);
	open_gpu(s, o);
}

qdq_status qdq_session_new(qdq_session **out, qdq_model *m, const qdq_session_options *options)
{
	struct making j = {.options = options};
	qdq_status status;

	if (out == NULL)
		return QDQ_EUSAGE;
	*out = NULL;
	if (m == NULL || m->poisoned)
		return QDQ_EUSAGE;
	j.s = m->ctx->options.alloc(m->ctx->options.alloc_user, NULL, 0, sizeof *j.s);
	if (j.s == NULL)
		return QDQ_ENOMEM;
	*j.s = (qdq_session){.ctx = m->ctx, .m = m};
	qdq_arena_init(&j.s->arena, m->ctx);
	status = qdq_guard(m->ctx, make, &j);
	if (status != QDQ_OK) {
		qdq_session_free(j.s);
		return status;
	}
	*out = j.s;
	return QDQ_OK;
}

void qdq_session_free(qdq_session *s)
{
	if (s == NULL)
		return;
	if (s->device != NULL)
		s->device->backend->close(s->device);
	if (s->cpu != NULL && s->cpu != s->device)
		s->cpu->backend->close(s->cpu);
	for (variant *v = s->variants; v != NULL; v = v->next)
		if (v->m != NULL)
			qdq_model_destroy(v->m);
	for (size_t i = 0; s->held != NULL && i < s->m->graph->outputs.count; i++)
		if (s->held[i] != NULL)
			qdq_ctx_release(s->ctx, s->held[i], s->held_size[i]);
	qdq_blas_close(&s->blas);
	qdq_arena_free(&s->arena);
	s->ctx->options.alloc(s->ctx->options.alloc_user, s, sizeof *s, 0);
}

/* ---- inputs ---- */

typedef struct call {
	qdq_session *s;
	const qdq_binding *inputs;
	size_t n_inputs;
	qdq_binding *outputs;
	size_t n_outputs;
	const qdq_binding **bound; /* by graph input */
	const variant *v;
	qdq_arena *scratch;
} call;

QDQ_NORETURN static void misuse(const call *c, const char *name, const char *what)
{
	qdq_fail(c->s->ctx, QDQ_EUSAGE, &(qdq_where){.file = c->s->m->path, .operand = name}, "%s", what);
}

static const char *shape_text(const call *c, const qdq_value *v)
{
	const char *text = "";

	if (v->shape == NULL)
		return "any shape";
	for (int32_t i = 0; i < v->shape->rank; i++)
		text = qdq_format(c->scratch, "%s%s%s", text, i == 0 ? "" : ", ",
				  qdq_dim_print(c->s->m, c->scratch, v->shape->dim[i]));
	return qdq_format(c->scratch, "[%s]", text);
}

static const char *dims_text(const call *c, const qdq_binding *b)
{
	const char *text = "";

	for (int i = 0; i < b->rank; i++)
		text = qdq_format(c->scratch, "%s%s%lld", text, i == 0 ? "" : ", ", (long long)b->dims[i]);
	return qdq_format(c->scratch, "[%s]", text);
}

static void check_input(const call *c, const qdq_value *v, const qdq_binding *b)
{
	uint64_t count = 1, size = 0;
	bool fits = v->shape == NULL || v->shape->rank == b->rank;

	if (b->on_device && c->s->cpu == NULL)
		misuse(c, v->name,
		       qdq_format(c->scratch, "input '%s' is on a device, but the session is on the CPU", v->name));
	if (b->type != v->type)
		misuse(c, v->name,
		       qdq_format(c->scratch, "input '%s' must be %s, but is %s", v->name, qdq_type_get(v->type)->name,
				  qdq_type_get(b->type)->name));
	if (b->rank < 0 || b->rank > QDQ_BINDING_RANK)
		misuse(c, v->name, qdq_format(c->scratch, "input '%s' has %d dimensions", v->name, b->rank));
	for (int i = 0; i < b->rank; i++) {
		if (b->dims[i] < 0 || (b->dims[i] != 0 && count > UINT64_MAX / (uint64_t)b->dims[i]))
			misuse(c, v->name, qdq_format(c->scratch, "input '%s' has a shape that cannot be", v->name));
		count *= (uint64_t)b->dims[i];
		fits = fits && (v->shape == NULL || v->shape->dim[i] < 0 || v->shape->dim[i] == b->dims[i]);
	}
	if (!fits)
		misuse(c, v->name,
		       qdq_format(c->scratch, "input '%s' must have the shape %s, but has %s", v->name,
				  shape_text(c, v), dims_text(c, b)));
	if (!qdq_type_size(b->type, count, &size) || size != b->size || (b->data == NULL && size != 0))
		misuse(c, v->name,
		       qdq_format(c->scratch, "input '%s' needs %llu bytes, but %llu were given", v->name,
				  (unsigned long long)size, (unsigned long long)b->size));
}

static void bind_inputs(call *c)
{
	const qdq_graph *g = c->s->m->graph;

	c->bound = qdq_array(c->scratch, const qdq_binding *, g->inputs.count);
	for (size_t k = 0; k < c->n_inputs; k++) {
		const qdq_binding *b = &c->inputs[k];
		size_t i = 0;

		while (i < g->inputs.count && (b->name == NULL || strcmp(g->inputs.items[i]->name, b->name) != 0))
			i++;
		if (i == g->inputs.count)
			misuse(c, b->name,
			       qdq_format(c->scratch, "the model has no input '%s'", b->name == NULL ? "" : b->name));
		if (c->bound[i] != NULL)
			misuse(c, b->name, qdq_format(c->scratch, "input '%s' was given twice", b->name));
		check_input(c, g->inputs.items[i], b);
		c->bound[i] = b;
	}
	for (size_t i = 0; i < g->inputs.count; i++)
		if (c->bound[i] == NULL && g->inputs.items[i]->tensor == NULL)
			misuse(c, g->inputs.items[i]->name,
			       qdq_format(c->scratch, "input '%s' of type %s and shape %s is missing",
					  g->inputs.items[i]->name, qdq_type_get(g->inputs.items[i]->type)->name,
					  shape_text(c, g->inputs.items[i])));
}

/* ---- plans ---- */

/* An input that is not given has its default's shape. */
static bool has_shapes(const variant *v, const call *c)
{
	for (size_t i = 0; i < v->m->graph->inputs.count; i++) {
		const qdq_value *x = v->m->graph->inputs.items[i];
		const qdq_binding *b = c->bound[i];
		const int64_t *dims = b != NULL ? b->dims : x->tensor->dims;

		if (x->shape->rank != (b != NULL ? b->rank : x->tensor->rank))
			return false;
		for (int32_t d = 0; d < x->shape->rank; d++)
			if (x->shape->dim[d] != dims[d])
				return false;
	}
	return true;
}

static void make_variant(call *c)
{
	qdq_session *s = c->s;
	variant *v = qdq_new(&s->arena, variant);

	v->next = s->variants;
	s->variants = v;
	v->m = qdq_model_copy(s->ctx, s->m);
	for (size_t i = 0; i < v->m->graph->inputs.count; i++) {
		qdq_value *x = v->m->graph->inputs.items[i];

		if (c->bound[i] != NULL)
			x->shape = qdq_shape_new(v->m, c->bound[i]->rank, c->bound[i]->dims);
		else if (x->tensor != NULL)
			x->shape = qdq_shape_new(v->m, x->tensor->rank, x->tensor->dims);
	}
	qdq_graph_infer(v->m->graph);
	v->plan = qdq_plan_make(&s->arena, v->m, s->device->backend->pitch, s->device->backend->covers, &s->blas);
	v->prepared = s->device->backend->prepare(s->device, v->plan);
	c->v = v;
}

static void find_variant(call *c)
{
	for (const variant *v = c->s->variants; v != NULL; v = v->next) {
		if (v->prepared != NULL && has_shapes(v, c)) {
			c->v = v;
			return;
		}
	}
	make_variant(c);
}

/* ---- running ---- */

static void *held_output(qdq_session *s, size_t i, size_t size)
{
	if (s->held[i] != NULL && s->held_size[i] < size) {
		qdq_ctx_release(s->ctx, s->held[i], s->held_size[i]);
		s->held[i] = NULL;
	}
	if (s->held[i] == NULL) {
		s->held[i] = qdq_ctx_alloc(s->ctx, size);
		s->held_size[i] = size;
	}
	return s->held[i];
}

static qdq_binding *wanted(const call *c, const char *name)
{
	for (size_t k = 0; k < c->n_outputs; k++)
		if (c->outputs[k].name != NULL && strcmp(c->outputs[k].name, name) == 0)
			return &c->outputs[k];
	return NULL;
}

static qdq_binding *place_output(const call *c, size_t i)
{
	const qdq_value *v = c->v->m->graph->outputs.items[i];
	qdq_binding *b = wanted(c, v->name);
	uint64_t size = 0;

	(void)qdq_type_size(v->type, (uint64_t)qdq_shape_count(v->shape, NULL), &size);
	if (b == NULL)
		b = qdq_new(c->scratch, qdq_binding);
	if (b->on_device && c->s->cpu == NULL)
		misuse(c, v->name,
		       qdq_format(c->scratch, "output '%s' is on a device, but the session is on the CPU", v->name));
	if (b->on_device && b->data == NULL)
		misuse(c, v->name,
		       qdq_format(c->scratch, "output '%s' is to be on the device, but has no data", v->name));
	b->type = v->type;
	b->rank = v->shape->rank;
	for (int32_t d = 0; d < v->shape->rank; d++)
		b->dims[d] = v->shape->dim[d];
	if (b->data == NULL) {
		b->data = held_output(c->s, i, (size_t)size);
	} else if (b->size < size) {
		misuse(c, v->name,
		       qdq_format(c->scratch, "output '%s' needs %llu bytes, but has room for %llu", v->name,
				  (unsigned long long)size, (unsigned long long)b->size));
	}
	b->size = (size_t)size;
	return b;
}

static void run(void *arg, qdq_arena *scratch)
{
	call *c = arg;
	const qdq_graph *g = c->s->m->graph;
	qdq_binding **outputs;
	qdq_call now;

	c->scratch = scratch;
	bind_inputs(c);
	for (size_t k = 0; k < c->n_outputs; k++) {
		size_t i = 0;

		while (i < g->outputs.count &&
		       (c->outputs[k].name == NULL || strcmp(g->outputs.items[i]->name, c->outputs[k].name) != 0))
			i++;
		if (i == g->outputs.count)
			misuse(c, c->outputs[k].name, "the model has no output of this name");
	}
	find_variant(c);
	outputs = qdq_array(scratch, qdq_binding *, g->outputs.count);
	for (size_t i = 0; i < g->outputs.count; i++)
		outputs[i] = place_output(c, i);
	now = c->s->hooks;
	now.inputs = c->bound;
	now.outputs = outputs;
	c->s->device->backend->run(c->s->device, c->v->prepared, &now);
	c->s->last = c->v;
}

static void guarded(void *arg)
{
	call *c = arg;

	qdq_with_scratch(c->s->ctx, run, c);
}

qdq_status qdq_session_run(qdq_session *s, const qdq_binding *inputs, size_t n_inputs, qdq_binding *outputs,
			   size_t n_outputs)
{
	call c = {.s = s, .inputs = inputs, .n_inputs = n_inputs, .outputs = outputs, .n_outputs = n_outputs};

	if (s == NULL || (inputs == NULL && n_inputs != 0) || (outputs == NULL && n_outputs != 0))
		return QDQ_EUSAGE;
	return qdq_guard(s->ctx, guarded, &c);
}

qdq_status qdq_session_get_facts(qdq_session_facts *out, const qdq_session *s)
{
	const qdq_plan *p;

	if (out == NULL)
		return QDQ_EUSAGE;
	*out = (qdq_session_facts){0};
	if (s == NULL || s->last == NULL)
		return QDQ_EUSAGE;
	p = s->last->plan;
	out->kernels = p->kernels.count;
	for (size_t i = 0; i < p->kernels.count; i++)
		out->evaluated += p->kernels.items[i].anchor == QDQ_ANCHOR_NODE && p->kernels.items[i].product == NULL;
	out->arena = p->size;
	out->largest_live = p->largest_live;
	out->device = s->device->backend->name;
	s->device->backend->facts(s->device, s->last->prepared, out);
	return QDQ_OK;
}

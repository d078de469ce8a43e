/* SPDX-License-Identifier: Apache-2.0
 *
 * run.c -- a plan on the device: one CUDA graph, launched; or, where operators have no kernel there, one after the other
 */
#include "cuda.h"

/* It may begin before the launch before it has ended (programmatic dependent launch), where kernels wait themselves. */
static CUresult try_launch(qdq_cuda_device *d, const qdq_launch *l, CUstream stream)
{
	CUlaunchAttribute early = {.id = CUDA_ATTRIBUTE_SERIALIZATION, .value = {.on = 1}};
	CUlaunchConfig config = {.grid = {l->grid[0], l->grid[1], 1},
				 .block = {l->block, 1, 1},
				 .shared = l->shared,
				 .stream = stream,
				 .attributes = &early,
				 .n_attributes = d->waits ? 1 : 0};
	void *params[1] = {l->params};

	return d->driver.launch(&config, d->functions[l->function], params, NULL);
}

void qdq_cuda_launch(qdq_cuda_device *d, const qdq_launch *l, CUstream stream)
{
	qdq_cuda_check(d, try_launch(d, l, stream), "launching a kernel", l->k->node);
}

/* ---- addresses ---- */

static uint64_t input_address(qdq_cuda_device *d, const qdq_plan *p, const qdq_call *call, size_t i, uint64_t size)
{
	const qdq_binding *b = call->inputs[i];
	const void *data = b != NULL ? b->data : p->m->graph->inputs.items[i]->tensor->data;

	if (b != NULL && b->on_device)
		return (uint64_t)(uintptr_t)data;
	qdq_cuda_grow(d, &d->inputs[i], size, "an input");
	qdq_cuda_check(d, d->driver.to_device(d->inputs[i].at, data, (size_t)size, d->stream), "copying an input",
		       NULL);
	return d->inputs[i].at;
}

static uint64_t output_address(qdq_cuda_device *d, const qdq_call *call, size_t i, uint64_t size)
{
	if (call->outputs[i]->on_device)
		return (uint64_t)(uintptr_t)call->outputs[i]->data;
	qdq_cuda_grow(d, &d->outputs[i], size, "an output");
	return d->outputs[i].at;
}

static void set_addresses(qdq_cuda_device *d, qdq_cuda_plan *c, const qdq_call *call)
{
	qdq_cuda_grow(d, &d->arena, c->p->size + QDQ_CUDA_SLACK, "values");
	qdq_cuda_grow(d, &d->partial, c->partial_size, "split sums");
	qdq_cuda_grow(d, &d->counters, c->counters_size, "split sums");
	for (size_t i = 0; i < c->p->buffers.count; i++) {
		const qdq_buffer *b = &c->p->buffers.items[i];

		c->data[i] = b->place == QDQ_PLACE_ARENA    ? d->arena.at + b->at
			     : b->place == QDQ_PLACE_INPUT  ? input_address(d, c->p, call, b->at, b->size)
			     : b->place == QDQ_PLACE_OUTPUT ? output_address(d, call, b->at, b->size)
							    : 0;
	}
}

/* ---- graphs ---- */

static void forget_graph(qdq_cuda_device *d, qdq_graph_entry *e)
{
	if (e->exec != NULL)
		(void)d->driver.graph_exec_free(e->exec);
	e->exec = NULL;
}

/* All launches as a graph. A capture that has begun is ended, whatever happens in it. */
static CUgraph record(qdq_cuda_device *d, qdq_cuda_plan *c)
{
	const qdq_node *failed = NULL;
	CUgraph graph = NULL;
	CUresult launched = 0, ended;

	qdq_cuda_fill_slots(d, c);
	qdq_cuda_check(d, d->driver.capture_begin(d->own, CUDA_CAPTURE_RELAXED), "recording the graph", NULL);
	for (size_t i = 0; i < c->p->kernels.count && launched == 0; i++) {
		if (c->launches[i].fused)
			continue;
		launched = try_launch(d, &c->launches[i], d->own);
		failed = c->launches[i].k->node;
	}
	ended = d->driver.capture_end(d->own, &graph);
	if (launched != 0 && ended == 0 && graph != NULL)
		(void)d->driver.graph_free(graph);
	qdq_cuda_check(d, launched, "launching a kernel", failed);
	qdq_cuda_check(d, ended, "recording the graph", NULL);
	return graph;
}

/* The addresses that a graph was made for: of buffers, and of the split sums. */
static uint64_t *addresses(const qdq_cuda_device *d, const qdq_cuda_plan *c, uint64_t *to)
{
	memcpy(to, c->data, c->p->buffers.count * sizeof *to);
	to[c->p->buffers.count] = d->partial.at;
	to[c->p->buffers.count + 1] = d->counters.at;
	return to;
}

static CUgraphExec graph_of(qdq_cuda_device *d, qdq_cuda_plan *c, qdq_arena *scratch)
{
	size_t n = c->p->buffers.count + 2;
	uint64_t *now = addresses(d, c, qdq_array(scratch, uint64_t, n));
	qdq_graph_entry *e;
	CUgraph graph;
	CUresult made;

	for (int i = 0; i < QDQ_GRAPHS; i++)
		if (c->graphs[i].exec != NULL && memcmp(c->graphs[i].data, now, n * sizeof *now) == 0)
			return c->graphs[i].exec;
	e = &c->graphs[c->next_graph];
	c->next_graph = (c->next_graph + 1) % QDQ_GRAPHS;
	forget_graph(d, e);
	if (e->data == NULL)
		e->data = qdq_array(d->base.arena, uint64_t, n);
	memcpy(e->data, now, n * sizeof *now);
	graph = record(d, c);
	made = d->driver.graph_make(&e->exec, graph, 0);
	(void)d->driver.graph_free(graph);
	if (made != 0)
		e->exec = NULL;
	qdq_cuda_check(d, made, "making the graph", NULL);
	return e->exec;
}

/* ---- operators that run on the CPU ---- */

typedef struct moving {
	qdq_cuda_device *d;
	qdq_cuda_plan *c;
	const qdq_call *call;
	char **data; /* by buffer: on the CPU */
	bool to_cpu;
} moving;

/* A copy of a buffer, in the direction that is asked for. */
static void move(const moving *m, uint32_t buffer)
{
	const qdq_buffer *b = &m->c->p->buffers.items[buffer];

	if (b->place == QDQ_PLACE_CONSTANT) {
		m->data[buffer] = (char *)(uintptr_t)b->data;
		return;
	}
	if (m->c->host[buffer] == NULL)
		m->c->host[buffer] = qdq_alloc(m->d->base.arena, (size_t)b->size + 64);
	m->data[buffer] = m->c->host[buffer];
	if (b->size == 0)
		return;
	if (m->to_cpu)
		qdq_cuda_check(m->d,
			       m->d->driver.to_host(m->data[buffer], m->c->data[buffer], (size_t)b->size, m->d->stream),
			       "copying to the CPU", NULL);
	else if (b->place != QDQ_PLACE_INPUT)
		qdq_cuda_check(
		    m->d, m->d->driver.to_device(m->c->data[buffer], m->data[buffer], (size_t)b->size, m->d->stream),
		    "copying from the CPU", NULL);
}

static void move_value(const moving *m, const qdq_value *v)
{
	uint32_t index = v == NULL ? 0 : m->c->p->buffer_of[v->id];

	if (index == 0)
		return;
	if (v->is_input && v->tensor != NULL && m->c->p->buffers.items[index - 1].place == QDQ_PLACE_INPUT &&
	    m->call->inputs[m->c->p->buffers.items[index - 1].at] == NULL)
		return; /* its default */
	move(m, index - 1);
}

static void move_all(const moving *m, const qdq_kernel *k)
{
	for (uint32_t i = 0; k->anchor == QDQ_ANCHOR_NODE && i < k->node->n_inputs; i++)
		if (m->to_cpu)
			move_value(m, qdq_in(k->node, i));
	for (uint32_t i = 0; k->anchor == QDQ_ANCHOR_NODE && i < k->node->n_outputs; i++)
		move_value(m, k->node->outputs[i]);
	if (k->anchor == QDQ_ANCHOR_NODE)
		return;
	if (m->to_cpu)
		move(m, k->in[0].buffer);
	if (m->to_cpu && k->anchor == QDQ_ANCHOR_MUL)
		move(m, k->in[1].buffer);
	for (uint32_t s = 0; s < k->n_steps; s++)
		if (qdq_step_has_operand(&k->steps[s]) && (m->to_cpu || k->steps[s].kind == QDQ_STEP_STORE))
			move(m, k->steps[s].other.buffer);
}

static void run_on_cpu(moving *m, size_t i)
{
	qdq_cuda_device *d = m->d;
	const qdq_kernel *k = m->c->launches[i].k;

	m->to_cpu = true;
	move_all(m, k);
	qdq_cuda_check(d, d->driver.stream_wait(d->stream), "running", k->node);
	qdq_cpu_run_kernel(d->cpu, m->c->cpu, m->data, i);
	m->to_cpu = false;
	move_all(m, k);
}

/* Copies of inputs may be under way; the caller may free them when the run has been cancelled. */
static void ask_caller(qdq_cuda_device *d, const qdq_plan *p, const qdq_call *call, size_t kernel)
{
	if (qdq_call_goes_on(call, p, kernel))
		return;
	qdq_cuda_check(d, d->driver.stream_wait(d->stream), "running", NULL);
	qdq_call_cancel(p, kernel);
}

static void run_each(moving *m)
{
	qdq_cuda_device *d = m->d;

	qdq_cuda_fill_slots(d, m->c);
	for (size_t i = 0; i < m->c->p->kernels.count; i++) {
		ask_caller(d, m->c->p, m->call, i);
		if (m->c->launches[i].host)
			run_on_cpu(m, i);
		else if (!m->c->launches[i].fused)
			qdq_cuda_launch(d, &m->c->launches[i], d->stream);
	}
}

/* ---- profiles ---- */

static void need_marks(qdq_cuda_device *d, size_t count)
{
	CUevent *grown;

	if (d->n_marks >= count)
		return;
	grown = qdq_array(d->base.arena, CUevent, count);
	if (d->n_marks != 0)
		memcpy(grown, d->marks, d->n_marks * sizeof *grown);
	d->marks = grown;
	for (; d->n_marks < count; d->n_marks++)
		qdq_cuda_check(d, d->driver.event_new(&d->marks[d->n_marks], 0), "timing", NULL);
}

static void mark(qdq_cuda_device *d, size_t i)
{
	qdq_cuda_check(d, d->driver.event_record(d->marks[i], d->stream), "timing", NULL);
}

/* The time of what the CPU runs, with the copies and without what was enqueued before. */
static double time_on_cpu(moving *m, size_t i)
{
	qdq_cuda_device *d = m->d;
	const qdq_node *n = m->c->launches[i].k->node;
	double start;

	qdq_cuda_check(d, d->driver.stream_wait(d->stream), "running", n);
	start = qdq_microseconds();
	run_on_cpu(m, i);
	qdq_cuda_check(d, d->driver.stream_wait(d->stream), "running", n);
	return qdq_microseconds() - start;
}

static void report_profile(const moving *m, const double *on_cpu)
{
	qdq_cuda_device *d = m->d;
	const qdq_plan *p = m->c->p;

	qdq_cuda_check(d, d->driver.event_wait(d->marks[p->kernels.count]), "timing", NULL);
	for (size_t i = 0; i < p->kernels.count; i++) {
		const qdq_launch *l = &m->c->launches[i];
		qdq_kernel_profile k = qdq_describe_kernel(p, l->k);
		float ms = 0;

		k.elsewhere = l->host;
		k.microseconds = on_cpu[i];
		if (!l->host) {
			k.kernel = l->fused ? "with the next" : d->names[l->function];
			qdq_cuda_check(d, d->driver.event_elapsed(&ms, d->marks[i], d->marks[i + 1]), "timing",
				       l->k->node);
			k.microseconds = (double)ms * 1e3;
		}
		m->call->profile(m->call->user, &k);
	}
}

/* Kernel after kernel with an event behind each. */
static void run_profiled(moving *m, qdq_arena *scratch)
{
	qdq_cuda_device *d = m->d;
	size_t n = m->c->p->kernels.count;
	double *on_cpu = qdq_array(scratch, double, n);

	need_marks(d, n + 1);
	qdq_cuda_fill_slots(d, m->c);
	mark(d, 0);
	for (size_t i = 0; i < n; i++) {
		ask_caller(d, m->c->p, m->call, i);
		if (m->c->launches[i].host)
			on_cpu[i] = time_on_cpu(m, i);
		else if (!m->c->launches[i].fused)
			qdq_cuda_launch(d, &m->c->launches[i], d->stream);
		mark(d, i + 1);
	}
	report_profile(m, on_cpu);
}

/* ---- runs ---- */

/* What the caller has asked for, from where it is; true: something goes to the CPU. */
static bool deliver(qdq_cuda_device *d, const qdq_cuda_plan *c, const qdq_call *call)
{
	const qdq_graph *g = c->p->m->graph;
	bool to_cpu = false;

	for (size_t i = 0; i < g->outputs.count; i++) {
		uint32_t index = c->p->buffer_of[g->outputs.items[i]->id] - 1;
		const qdq_buffer *b = &c->p->buffers.items[index];
		qdq_binding *out = call->outputs[i];
		CUresult r = 0;

		if (b->size == 0)
			continue;
		if (b->place == QDQ_PLACE_CONSTANT && out->on_device)
			r = d->driver.to_device((uint64_t)(uintptr_t)out->data, b->data, (size_t)b->size, d->stream);
		else if (b->place == QDQ_PLACE_CONSTANT)
			memcpy(out->data, b->data, (size_t)b->size);
		else if (!out->on_device)
			r = d->driver.to_host(out->data, c->data[index], (size_t)b->size, d->stream);
		else if (c->data[index] != (uint64_t)(uintptr_t)out->data)
			r = d->driver.move((uint64_t)(uintptr_t)out->data, c->data[index], (size_t)b->size, d->stream);
		qdq_cuda_check(d, r, "copying an output", NULL);
		to_cpu = to_cpu || !out->on_device;
	}
	return to_cpu;
}

struct running {
	qdq_cuda_device *d;
	qdq_cuda_plan *c;
	const qdq_call *call;
};

static void run(void *arg, qdq_arena *scratch)
{
	struct running *r = arg;
	qdq_cuda_device *d = r->d;
	bool all_there = true;

	set_addresses(d, r->c, r->call);
	if (r->c->elsewhere != 0 || r->call->profile != NULL) {
		moving m = {.d = d, .c = r->c, .call = r->call};

		m.data = qdq_array(scratch, char *, r->c->p->buffers.count);
		if (r->call->profile != NULL)
			run_profiled(&m, scratch);
		else
			run_each(&m);
	} else if (r->c->p->kernels.count != 0) {
		ask_caller(d, r->c->p, r->call, 0);
		qdq_cuda_check(d, d->driver.graph_launch(graph_of(d, r->c, scratch), d->stream), "running", NULL);
	}
	for (size_t i = 0; i < r->c->p->m->graph->inputs.count; i++)
		all_there = all_there && r->call->inputs[i] != NULL && r->call->inputs[i]->on_device;
	if (deliver(d, r->c, r->call) || !all_there || d->stream == d->own)
		qdq_cuda_check(d, d->driver.stream_wait(d->stream), "running", NULL);
}

static void guarded(void *arg)
{
	struct running *r = arg;

	qdq_with_scratch(r->d->base.ctx, run, r);
}

void qdq_cuda_run(qdq_device *base, void *prepared, const qdq_call *call)
{
	qdq_cuda_device *d = (qdq_cuda_device *)base;
	qdq_status status;

	qdq_cuda_check(d, d->driver.context_set(d->context), "choosing the device", NULL);
	status = qdq_guard(base->ctx, guarded, &(struct running){d, prepared, call});
	if (status == QDQ_OK)
		return;
	(void)d->driver.stream_wait(d->stream); /* copies that it began use the caller's memory */
	qdq_throw(base->ctx, status);
}

/* SPDX-License-Identifier: Apache-2.0
 *
 * run.c -- executing a plan on the CPU: one kernel after the other, each shared by the threads
 */
#include "backend.h"
#include "check.h"
#include "rows.h"
#include "threads.h"

enum { PIXELS_AT_LEAST = 32, PARTS_PER_THREAD = 4, PLANES = 16 };

/* Weights that are packed already: those of the same tensor and geometry are used again. */
typedef struct packed {
	struct packed *next;
	qdq_conv g;
	const qdq_filter *filter;
} packed;

typedef struct cpu_device {
	qdq_device base;
	qdq_isa isa;
	qdq_threads *threads;
	packed *packed;
	char *memory; /* of the values */
	size_t memory_size;
} cpu_device;

/* A plan made ready. */
typedef struct cpu_plan {
	const qdq_plan *p;
	const qdq_filter **filters; /* by kernel */
	size_t scratch, registers;  /* for a thread: bytes, floats */
} cpu_plan;

typedef struct job {
	const cpu_device *d;
	const cpu_plan *ready;
	const qdq_plan *p;
	const qdq_kernel *k;
	const qdq_filter *filter;
	char **data;	/* by buffer */
	char **scratch; /* by thread */
	float **registers;
	/* how the kernel is divided */
	int64_t pixels_each, channels_each, columns;
} job;

/* ---- kernels ---- */

/* Channels at a time: fewer, and so more pixels, where planes of floats are written or read. */
static int64_t channels_at_once(const qdq_row *row)
{
	const qdq_kernel *k = row->k;

	for (uint32_t s = 0; k->spatial > 1 && s < k->n_steps; s++)
		if (qdq_step_has_operand(&k->steps[s]) && row->buffers[k->steps[s].other.buffer].type == QDQ_TYPE_FLOAT)
			return PLANES;
	return QDQ_ROW;
}

static void use_tile(void *user, const qdq_tile *t)
{
	qdq_row *row = user;
	int64_t most = channels_at_once(row);

#if defined(__x86_64__) && defined(__GNUC__)
	if (row->isa == QDQ_ISA_VNNI && qdq_row_tile_avx512(row, t))
		return;
#endif
	for (int64_t c = 0; c < t->channels; c += row->count) {
		row->channel = t->channel + c;
		row->count = t->channels - c < most ? t->channels - c : most;
		for (int64_t i = 0; i < t->pixels; i += row->pixels) {
			row->pixel = t->pixel + i;
			row->pixels = QDQ_ROW / row->count < t->pixels - i ? QDQ_ROW / row->count : t->pixels - i;
			qdq_row_contract(row, t->acc + i * t->pitch + c, t->pitch);
		}
	}
}

static void run_part(void *user, int64_t i, int thread)
{
	const job *j = user;
	const qdq_kernel *k = j->k;
	int64_t pixel = i / j->columns * j->pixels_each, channel = i % j->columns * j->channels_each;
	int64_t pixels = k->pixels - pixel < j->pixels_each ? k->pixels - pixel : j->pixels_each;
	int64_t channels = k->channels - channel < j->channels_each ? k->channels - channel : j->channels_each;
	qdq_row row = {.k = k,
		       .isa = j->d->isa,
		       .buffers = j->p->buffers.items,
		       .data = j->data,
		       .registers = j->registers[thread]};

	if (k->anchor == QDQ_ANCHOR_CONTRACT)
		qdq_conv_run(j->filter, &k->conv, (const uint8_t *)j->data[k->in[0].buffer], pixel, pixels, channel,
			     channels, j->scratch[thread], use_tile, &row);
	else
		qdq_rows_run(&row, pixel, pixels);
}

/* Parts of pixels; of channels too, where there are few pixels and each is much work. */
static void run_kernel(job *j)
{
	const qdq_kernel *k = j->k;
	qdq_threads *threads = j->d->threads;
	int64_t count = qdq_threads_count(threads), wanted = count == 1 ? 1 : count * PARTS_PER_THREAD, rows;

	j->pixels_each = (k->pixels + wanted - 1) / wanted;
	if (j->pixels_each < PIXELS_AT_LEAST)
		j->pixels_each = PIXELS_AT_LEAST;
	rows = (k->pixels + j->pixels_each - 1) / j->pixels_each;
	j->channels_each = k->channels;
	j->columns = 1;
	if (k->anchor == QDQ_ANCHOR_CONTRACT && rows < wanted) {
		int64_t block = qdq_filter_block(j->filter), each = (k->channels * rows + wanted - 1) / wanted;

		j->channels_each = (each + block - 1) / block * block;
		j->columns = (k->channels + j->channels_each - 1) / j->channels_each;
	}
	qdq_threads_run(threads, rows * j->columns, run_part, j);
}

/* ---- nodes that lib/eval runs ---- */

/* Codes in rows as a plain tensor, or back. */
static void turn(const qdq_buffer *b, char *rows, char *plain, bool to_plain)
{
	for (int64_t p = 0; p < b->pixels; p++) {
		int64_t at = p / b->spatial * b->channels * b->spatial + p % b->spatial;

		for (int64_t c = 0; c < b->channels; c++) {
			char *x = rows + p * b->pitch + c, *y = plain + at + c * b->spatial;

			*(to_plain ? y : x) = *(to_plain ? x : y);
		}
	}
}

const qdq_tensor *qdq_buffer_tensor(qdq_arena *a, const qdq_value *v, const qdq_buffer *b, char *data)
{
	qdq_tensor *t = qdq_new(a, qdq_tensor);

	/* the value's shape: another value, of another rank, may have the same buffer */
	*t = (qdq_tensor){.type = b->type,
			  .rank = v->shape->rank,
			  .dims = v->shape->dim,
			  .count = (uint64_t)qdq_shape_count(v->shape, NULL)};
	(void)qdq_type_size(b->type, t->count, &t->size);
	t->data = data;
	if (b->rows) {
		char *plain = qdq_alloc(a, (size_t)t->size);

		turn(b, data, plain, true);
		t->data = plain;
	}
	return t;
}

const qdq_tensor *qdq_plan_tensor(const qdq_plan *p, char *const *data, qdq_arena *a, const qdq_value *v)
{
	uint32_t index;

	if (v == NULL || qdq_value_constant(v) != NULL || p->buffer_of[v->id] == 0)
		return v == NULL ? NULL : v->tensor;
	index = p->buffer_of[v->id] - 1;
	if (data[index] == NULL)
		return v->tensor; /* an input with a default */
	return qdq_buffer_tensor(a, v, &p->buffers.items[index], data[index]);
}

QDQ_NORETURN static void refuse(const job *j, const qdq_node *n, const char *why)
{
	qdq_where where = {.file = j->p->m->path, .node = *n->name != '\0' ? n->name : NULL, .op = n->op_type};

	qdq_fail(j->p->m->ctx, QDQ_EMODEL, &where, "%s", why);
}

static void keep_result(const job *j, const qdq_node *n, const qdq_value *v, const qdq_tensor *t)
{
	uint32_t index = j->p->buffer_of[v->id] - 1;
	const qdq_buffer *b = &j->p->buffers.items[index];
	uint64_t size = 0, count = 1;

	for (int32_t i = 0; i < b->rank; i++)
		count *= (uint64_t)b->dims[i];
	(void)qdq_type_size(b->type, count, &size);
	if (t == NULL || t->type != b->type || t->count != count || t->size != size)
		refuse(j, n, "its result has another type or shape than was inferred");
	if (b->rows)
		turn(b, j->data[index], (char *)(uintptr_t)t->data, false);
	else if (size != 0)
		memcpy(j->data[index], t->data, size);
}

static void run_node(void *arg, qdq_arena *a)
{
	const job *j = arg;
	qdq_node *n = j->k->node;
	const qdq_tensor **in = qdq_array(a, const qdq_tensor *, n->n_inputs);
	const qdq_tensor **out = qdq_array(a, const qdq_tensor *, n->n_outputs);
	const qdq_node *failed = n;
	qdq_eval_result result;

	for (uint32_t i = 0; i < n->n_inputs; i++)
		in[i] = qdq_plan_tensor(j->p, j->data, a, qdq_in(n, i));
	result = n->region != NULL ? qdq_eval_graph(j->p->m, n->region->body, a, in, out, &failed)
				   : qdq_eval_node(j->p->m, a, n, in, out, 0);
	if (result != QDQ_EVAL_OK)
		refuse(j, failed != NULL ? failed : n,
		       "the reference evaluator refuses this operator with these operands");
	for (uint32_t i = 0; i < n->n_outputs; i++)
		if (n->outputs[i] != NULL)
			keep_result(j, n, n->outputs[i], out[i]);
}

/* ---- contractions of floats ---- */

static const float *floats_of(const job *j, const qdq_value *v)
{
	uint32_t index = v == NULL ? 0 : j->p->buffer_of[v->id];

	if (index != 0 && j->data[index - 1] != NULL)
		return (const float *)(const void *)j->data[index - 1];
	return v == NULL ? NULL : v->tensor->data; /* a constant, or an input with a default */
}

struct product_job {
	const qdq_product *product;
	qdq_product_data data;
	char **scratch;
};

static void product_part(void *user, int64_t i, int thread)
{
	const struct product_job *j = user;

	qdq_product_run(j->product, &j->data, i, (float *)(void *)j->scratch[thread]);
}

static void run_product(const job *j)
{
	const qdq_node *n = j->k->node;
	struct product_job product = {.product = j->k->product, .scratch = j->scratch};

	product.data = (qdq_product_data){
	    .a = floats_of(j, qdq_in(n, 0)), .b = floats_of(j, qdq_in(n, 1)), .add = floats_of(j, qdq_in(n, 2))};
	product.data.y = (float *)(void *)j->data[j->p->buffer_of[n->outputs[0]->id] - 1];
	qdq_threads_run(j->d->threads, qdq_product_parts(j->k->product), product_part, &product);
}

/* ---- plans ---- */

/* On the CPU what a filter begins with depends on the input's codes too. */
static bool same_filter(const qdq_conv *a, const qdq_conv *b)
{
	return qdq_same_weights(a, b) && a->x_signed == b->x_signed && a->zx == b->zx;
}

static const qdq_filter *filter_of(cpu_device *d, const qdq_conv *g)
{
	packed *p = d->packed;

	while (p != NULL && !same_filter(&p->g, g))
		p = p->next;
	if (p == NULL) {
		p = qdq_new(d->base.arena, packed);
		*p = (packed){.next = d->packed, .g = *g, .filter = qdq_filter_pack(d->base.arena, g, d->isa)};
		d->packed = p;
	}
	return p->filter;
}

static void *prepare(qdq_device *base, const qdq_plan *p)
{
	cpu_device *d = (cpu_device *)base;
	cpu_plan *ready = qdq_new(base->arena, cpu_plan);

	*ready = (cpu_plan){.p = p, .scratch = 64, .registers = 1};
	ready->filters = qdq_array(base->arena, const qdq_filter *, p->kernels.count);
	for (size_t i = 0; i < p->kernels.count; i++) {
		const qdq_kernel *k = &p->kernels.items[i];
		size_t needed;

		ready->registers = k->n_registers > ready->registers ? k->n_registers : ready->registers;
		if (k->product != NULL && qdq_product_scratch(k->product) > ready->scratch)
			ready->scratch = qdq_product_scratch(k->product);
		if (k->anchor != QDQ_ANCHOR_CONTRACT)
			continue;
		ready->filters[i] = filter_of(d, &k->conv);
		needed = qdq_conv_scratch(ready->filters[i], &k->conv);
		ready->scratch = needed > ready->scratch ? needed : ready->scratch;
	}
	return ready;
}

static char *aligned(const void *p)
{
	return (char *)(((uintptr_t)p + 63) & ~(uintptr_t)63);
}

static void place_buffers(const qdq_plan *p, char *arena, const qdq_call *call, char **data)
{
	const qdq_graph *g = p->m->graph;

	for (size_t i = 0; i < p->buffers.count; i++) {
		const qdq_buffer *b = &p->buffers.items[i];
		const void *input = b->place != QDQ_PLACE_INPUT	  ? NULL
				    : call->inputs[b->at] != NULL ? call->inputs[b->at]->data
								  : g->inputs.items[b->at]->tensor->data;

		data[i] = b->place == QDQ_PLACE_ARENA	 ? arena + b->at
			  : b->place == QDQ_PLACE_INPUT	 ? (char *)(uintptr_t)input
			  : b->place == QDQ_PLACE_OUTPUT ? call->outputs[b->at]->data
							 : (char *)(uintptr_t)b->data;
	}
}

static void give_scratch(job *j, qdq_arena *a)
{
	int threads = qdq_threads_count(j->d->threads);

	j->scratch = qdq_array(a, char *, (size_t)threads);
	j->registers = qdq_array(a, float *, (size_t)threads);
	for (int t = 0; t < threads; t++) {
		j->scratch[t] = aligned(qdq_alloc(a, j->ready->scratch + 64));
		j->registers[t] =
		    (float *)(void *)aligned(qdq_alloc(a, j->ready->registers * QDQ_ROW * sizeof(float) + 64));
	}
}

static void run_one(job *j, size_t i)
{
	j->k = &j->p->kernels.items[i];
	j->filter = j->ready->filters[i];
	if (j->k->product != NULL)
		run_product(j);
	else if (j->k->anchor == QDQ_ANCHOR_NODE)
		qdq_with_scratch(j->p->m->ctx, run_node, j);
	else
		run_kernel(j);
}

static void run_timed(job *j, size_t i, const qdq_call *call)
{
	qdq_kernel_profile k = qdq_describe_kernel(j->p, &j->p->kernels.items[i]);
	double start = qdq_microseconds();

	run_one(j, i);
	k.microseconds = qdq_microseconds() - start;
	call->profile(call->user, &k);
}

/* Outputs that no kernel writes: inputs, constants, values that stand in the list twice. */
static void copy_outputs(const job *j, const qdq_call *call)
{
	const qdq_graph *g = j->p->m->graph;

	for (size_t i = 0; i < g->outputs.count; i++) {
		uint32_t index = j->p->buffer_of[g->outputs.items[i]->id] - 1;
		const qdq_buffer *b = &j->p->buffers.items[index];

		if (j->data[index] != call->outputs[i]->data && b->size != 0)
			memcpy(call->outputs[i]->data, j->data[index], (size_t)b->size);
	}
}

struct running {
	cpu_device *d;
	const cpu_plan *ready;
	const qdq_call *call;
	char **data; /* one kernel on these */
	size_t kernel;
};

static void run_all(void *arg, qdq_arena *scratch)
{
	struct running *r = arg;
	job j = {.d = r->d, .ready = r->ready, .p = r->ready->p};

	j.data = qdq_array(scratch, char *, j.p->buffers.count);
	place_buffers(j.p, aligned(r->d->memory), r->call, j.data);
	give_scratch(&j, scratch);
	for (size_t i = 0; i < j.p->kernels.count; i++) {
		if (!qdq_call_goes_on(r->call, j.p, i))
			qdq_call_cancel(j.p, i);
		if (r->call->profile != NULL)
			run_timed(&j, i, r->call);
		else
			run_one(&j, i);
		if (r->call->check != NULL)
			qdq_check_kernel(j.p, j.data, i, r->call);
	}
	copy_outputs(&j, r->call);
}

static void grow_memory(cpu_device *d, uint64_t size)
{
	if (d->memory != NULL && d->memory_size >= size + 64)
		return;
	if (d->memory != NULL)
		qdq_ctx_release(d->base.ctx, d->memory, d->memory_size);
	d->memory = NULL;
	d->memory_size = (size_t)size + 64;
	d->memory = memset(qdq_ctx_alloc(d->base.ctx, d->memory_size), 0, d->memory_size);
}

static void run(qdq_device *base, void *prepared, const qdq_call *call)
{
	struct running r = {.d = (cpu_device *)base, .ready = prepared, .call = call};

	grow_memory(r.d, r.ready->p->size);
	qdq_with_scratch(base->ctx, run_all, &r);
}

static void run_only(void *arg, qdq_arena *scratch)
{
	struct running *r = arg;
	job j = {.d = r->d, .ready = r->ready, .p = r->ready->p, .data = r->data};

	give_scratch(&j, scratch);
	run_one(&j, r->kernel);
}

void qdq_cpu_run_kernel(qdq_device *cpu, void *prepared, char **data, size_t kernel)
{
	struct running r = {.d = (cpu_device *)cpu, .ready = prepared, .data = data, .kernel = kernel};

	qdq_with_scratch(cpu->ctx, run_only, &r);
}

/* ---- the device ---- */

static int64_t pitch(int64_t channels)
{
	return (channels + 3) / 4 * 4;
}

static void facts(const qdq_device *base, const void *prepared, qdq_session_facts *out)
{
	const cpu_device *d = (const cpu_device *)base;

	(void)prepared;
	out->threads = qdq_threads_count(d->threads);
	out->instructions = qdq_isa_names[d->isa];
}

static void close(qdq_device *base)
{
	cpu_device *d = (cpu_device *)base;

	if (d->threads != NULL)
		qdq_threads_stop(d->threads);
	if (d->memory != NULL)
		qdq_ctx_release(base->ctx, d->memory, d->memory_size);
}

static const qdq_backend cpu_backend = {
    .name = "cpu", .pitch = pitch, .prepare = prepare, .run = run, .facts = facts, .close = close};

qdq_device *qdq_cpu_open(qdq_ctx *ctx, qdq_arena *a, qdq_isa isa, int threads)
{
	cpu_device *d = qdq_new(a, cpu_device);

	*d = (cpu_device){.base = {&cpu_backend, ctx, a}, .isa = isa};
	d->threads = qdq_threads_start(a, threads);
	return &d->base;
}

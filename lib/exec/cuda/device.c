/* SPDX-License-Identifier: Apache-2.0
 *
 * device.c -- an NVIDIA GPU: opening it, its memory, its errors
 */
#include "cuda.h"

#include <stdio.h>

typedef struct named {
	const char *name;
	int image;
} named;

/* Kernels of contractions: qdq_ENDING_TILE. */
static const char *const tiles[QDQ_TILES] = {"128x128", "128x128x8", "128x64",	  "64x64",
					     "128x32",	"32x64",     "128x128x8w"};
static const named endings[QDQ_ENDINGS] = {
    [QDQ_ENDING_ANY] = {"contract", QDQ_IMAGE_CONTRACT},   [QDQ_ENDING_ROUND_S8] = {"round_s8", QDQ_IMAGE_ROUND},
    [QDQ_ENDING_ROUND_U8] = {"round_u8", QDQ_IMAGE_ROUND}, [QDQ_ENDING_ADD_S8] = {"add_s8", QDQ_IMAGE_ADD},
    [QDQ_ENDING_ADD_U8] = {"add_u8", QDQ_IMAGE_ADD},
};
static const named others[QDQ_FUNCTIONS - QDQ_FEW] = {
    {"qdq_few", QDQ_IMAGE_FEW},
    {"qdq_few_round_s8", QDQ_IMAGE_FEW},
    {"qdq_few_round_u8", QDQ_IMAGE_FEW},
    {"qdq_depthwise", QDQ_IMAGE_DEPTHWISE},
    {"qdq_depthwise_4", QDQ_IMAGE_DEPTHWISE},
    {"qdq_rows", QDQ_IMAGE_ROWS},
    {"qdq_rows_4", QDQ_IMAGE_ROWS},
    {"qdq_max_s8", QDQ_IMAGE_ROWS},
    {"qdq_max_u8", QDQ_IMAGE_ROWS},
    {"qdq_mean", QDQ_IMAGE_ROWS},
};

/* ---- errors and memory ---- */

void qdq_cuda_check(qdq_cuda_device *d, CUresult r, const char *what, const qdq_node *n)
{
	const char *name = "an unknown error", *text = "";
	qdq_where where = {.node = n != NULL && *n->name != '\0' ? n->name : NULL, .op = n != NULL ? n->op_type : NULL};

	if (r == 0)
		return;
	if (d->driver.error_name(r, &name) != 0 || name == NULL)
		name = "an unknown error";
	if (d->driver.error_text(r, &text) != 0 || text == NULL)
		text = "";
	qdq_fail(d->base.ctx, QDQ_EDEVICE, &where, "%s on the GPU: %s (%s)", what, name, text);
}

CUdeviceptr qdq_cuda_alloc(qdq_cuda_device *d, uint64_t size, const char *what)
{
	CUdeviceptr out = 0;
	CUresult r = d->driver.alloc(&out, (size_t)(size == 0 ? 16 : size));

	if (r == CUDA_OUT_OF_MEMORY)
		qdq_fail(d->base.ctx, QDQ_EDEVICE, NULL, "the GPU has no memory for %llu bytes of %s",
			 (unsigned long long)size, what);
	qdq_cuda_check(d, r, "taking memory", NULL);
	d->allocated += size;
	return out;
}

void qdq_cuda_drop(qdq_cuda_device *d, qdq_area *a)
{
	if (a->at != 0) {
		(void)d->driver.stream_wait(d->stream);
		(void)d->driver.release(a->at);
		d->allocated -= a->size;
	}
	*a = (qdq_area){0};
}

void qdq_cuda_grow(qdq_cuda_device *d, qdq_area *a, uint64_t size, const char *what)
{
	CUresult r;

	if (a->at != 0 && a->size >= size)
		return;
	qdq_cuda_drop(d, a);
	*a = (qdq_area){qdq_cuda_alloc(d, size, what), size};
	/* counters begin at 0, and no kernel sees bytes that nobody wrote; it may run on another stream */
	r = d->driver.fill(a->at, 0, (size_t)(size == 0 ? 16 : size), d->stream);
	if (r == 0)
		r = d->driver.stream_wait(d->stream);
	if (r != 0)
		qdq_cuda_drop(d, a); /* nobody takes it for cleared */
	qdq_cuda_check(d, r, "clearing memory", NULL);
}

/* ---- opening ---- */

/* Dense INT8 operations of a multiprocessor in a cycle, as NVIDIA's papers on GA100, GA102, AD102 and GH100 have them. */
static double int8_per_cycle(int capability)
{
	static const struct {
		int capability, operations;
	} known[] = {{80, 4096}, {86, 2048}, {89, 2048}, {90, 8192}};

	for (size_t i = 0; i < sizeof known / sizeof *known; i++)
		if (known[i].capability == capability)
			return known[i].operations;
	return 0;
}

/* 0 where the driver does not tell. */
static double attribute(qdq_cuda_device *d, int which)
{
	int value = 0;

	return d->driver.device_attribute(&value, which, d->device) == 0 && value > 0 ? value : 0;
}

static void find_limits(qdq_cuda_device *d, int capability)
{
	double khz = attribute(d, CUDA_DEVICE_CLOCK), memory_khz = attribute(d, CUDA_DEVICE_MEMORY_CLOCK);

	d->int8_tops = int8_per_cycle(capability) * d->multiprocessors * khz * 1e3 / 1e12;
	d->memory_gbs = 2 * memory_khz * 1e3 * attribute(d, CUDA_DEVICE_BUS) / 8 / 1e9;
}

static void open_device(qdq_cuda_device *d, int nth)
{
	int count = 0, major = 0, minor = 0, version = 0;

	qdq_cuda_check(d, d->driver.init(0), "starting the driver", NULL);
	qdq_cuda_check(d, d->driver.version(&version), "asking the driver", NULL);
	if (version < 12030)
		qdq_fail(d->base.ctx, QDQ_EDEVICE, NULL, "the CUDA driver is for CUDA %d.%d: 12.3 or later is needed",
			 version / 1000, version % 1000 / 10);
	qdq_cuda_check(d, d->driver.device_count(&count), "counting devices", NULL);
	if (nth >= count)
		qdq_fail(d->base.ctx, QDQ_EDEVICE, NULL, "there is no GPU number %d: this machine has %d", nth, count);
	qdq_cuda_check(d, d->driver.device_get(&d->device, nth), "choosing the device", NULL);
	(void)d->driver.device_name(d->name, sizeof d->name, d->device);
	qdq_cuda_check(d, d->driver.device_attribute(&major, CUDA_DEVICE_MAJOR, d->device), "asking the device", NULL);
	qdq_cuda_check(d, d->driver.device_attribute(&minor, CUDA_DEVICE_MINOR, d->device), "asking the device", NULL);
	if (major < 8)
		qdq_fail(d->base.ctx, QDQ_EDEVICE, NULL,
			 "%s has compute capability %d.%d: 8.0 (Ampere) or later is needed", d->name, major, minor);
	d->warp_groups = d->waits = major == 9;
	qdq_cuda_check(d, d->driver.device_attribute(&d->multiprocessors, CUDA_DEVICE_MULTIPROCESSORS, d->device),
		       "asking the device", NULL);
	find_limits(d, major * 10 + minor);
	qdq_cuda_check(d, d->driver.context_retain(&d->context, d->device), "opening the device", NULL);
	qdq_cuda_check(d, d->driver.context_set(d->context), "choosing the device", NULL);
}

static void load_modules(qdq_cuda_device *d)
{
	for (int i = 0; i < QDQ_IMAGE_COUNT; i++) {
		CUresult r;

		if (i == QDQ_IMAGE_GROUPS && !d->warp_groups)
			continue;
		r = d->driver.module_load(&d->modules[i], qdq_cuda_image(i));
		if (r != 0)
			d->modules[i] = NULL;
		if (r == CUDA_NO_BINARY)
			qdq_fail(d->base.ctx, QDQ_EDEVICE, NULL, "there are no kernels for this GPU in this libqdqopt");
		qdq_cuda_check(d, r, "loading kernels", NULL);
	}
}

/* Its name, its image, and how much shared memory it may ask for; 0: as any may. */
static named function_of(uint32_t i, char *name, size_t room, int *shared)
{
	const named *ending = &endings[i / QDQ_TILES % QDQ_ENDINGS];
	uint32_t tile = i % QDQ_TILES;

	if (i > QDQ_CONTRACT) {
		*shared = i <= QDQ_FEW_ROUND_U8 ? QDQ_FEW_SHARED : 0;
		return others[i - QDQ_FEW];
	}
	*shared = qdq_tile_shared(&qdq_tiles[tile]);
	snprintf(name, room, "qdq_%s_%s", ending->name, tiles[tile]);
	return (named){name, tile == QDQ_TILE_GROUPS ? QDQ_IMAGE_GROUPS : ending->image};
}

void qdq_cuda_need(qdq_cuda_device *d, const qdq_launch *l)
{
	const qdq_node *n = l->k->node;
	CUfunction f;
	char room[64];
	int shared;
	named of;

	if (d->functions[l->function] != NULL)
		return;
	of = function_of(l->function, room, sizeof room, &shared);
	qdq_cuda_check(d, d->driver.module_function(&f, d->modules[of.image], of.name), "finding a kernel", n);
	if (shared != 0)
		qdq_cuda_check(d, d->driver.function_attribute(f, CUDA_FUNCTION_SHARED, shared), "setting up a kernel",
			       n);
	d->names[l->function] = qdq_format(d->base.arena, "%s", of.name + strlen("qdq_"));
	d->functions[l->function] = f;
}

/* ---- closing ---- */

static void free_memory(qdq_cuda_device *d)
{
	qdq_cuda_drop(d, &d->arena);
	qdq_cuda_drop(d, &d->partial);
	qdq_cuda_drop(d, &d->counters);
	for (size_t i = 0; i < d->n_inputs; i++)
		qdq_cuda_drop(d, &d->inputs[i]);
	for (size_t i = 0; i < d->n_outputs; i++)
		qdq_cuda_drop(d, &d->outputs[i]);
	for (qdq_cuda_filter *f = d->filters; f != NULL; f = f->next)
		if (f->weights != 0)
			(void)d->driver.release(f->weights);
	for (qdq_cuda_plan *c = d->plans; c != NULL; c = c->next) {
		for (int i = 0; i < QDQ_GRAPHS; i++)
			if (c->graphs[i].exec != NULL)
				(void)d->driver.graph_exec_free(c->graphs[i].exec);
		if (c->blob_at != 0)
			(void)d->driver.release(c->blob_at);
	}
}

/* Errors while closing are nobody's business: after a lost device every call gives one. */
static void close(qdq_device *base)
{
	qdq_cuda_device *d = (qdq_cuda_device *)base;

	if (d->context != NULL) {
		(void)d->driver.context_set(d->context);
		if (d->stream != NULL)
			(void)d->driver.stream_wait(d->stream);
		free_memory(d);
		for (int i = 0; i < 2; i++)
			if (d->events[i] != NULL)
				(void)d->driver.event_free(d->events[i]);
		for (size_t i = 0; i < d->n_marks; i++)
			(void)d->driver.event_free(d->marks[i]);
		if (d->own != NULL)
			(void)d->driver.stream_free(d->own);
		for (int i = 0; i < QDQ_IMAGE_COUNT; i++)
			if (d->modules[i] != NULL)
				(void)d->driver.module_unload(d->modules[i]);
		(void)d->driver.context_release(d->device);
	}
	qdq_driver_close(&d->driver);
}

/* ---- the back end ---- */

/* Vectors of 16 codes; a word where a pixel has no more. */
static int64_t pitch(int64_t channels)
{
	return channels <= 4 ? 4 : (channels + 15) / 16 * 16;
}

static void facts(const qdq_device *base, const void *prepared, qdq_session_facts *out)
{
	const qdq_cuda_device *d = (const qdq_cuda_device *)base;
	const qdq_cuda_plan *c = prepared;

	d->cpu->backend->facts(d->cpu, c->cpu, out);
	out->device_memory = d->allocated;
	out->device_weights = d->weights;
	out->elsewhere = c->elsewhere;
	out->device_name = d->name;
	out->int8_tops = d->int8_tops;
	out->memory_gbs = d->memory_gbs;
}

static const qdq_backend cuda_backend = {.name = "cuda",
					 .pitch = pitch,
					 .covers = qdq_cuda_covers,
					 .prepare = qdq_cuda_prepare,
					 .run = qdq_cuda_run,
					 .facts = facts,
					 .close = close};

qdq_device *qdq_cuda_new(qdq_ctx *ctx, qdq_arena *a, qdq_device *cpu)
{
	qdq_cuda_device *d = qdq_new(a, qdq_cuda_device);

	*d = (qdq_cuda_device){.base = {&cuda_backend, ctx, a}, .cpu = cpu};
	return &d->base;
}

void qdq_cuda_open(qdq_device *base, int nth, const qdq_session_options *o, size_t inputs, size_t outputs)
{
	qdq_cuda_device *d = (qdq_cuda_device *)base;
	const char *missing;

	if (qdq_cuda_image(0) == NULL)
		qdq_fail(base->ctx, QDQ_EDEVICE, NULL, "this libqdqopt was built without nvcc and has no CUDA kernels");
	missing = qdq_driver_open(&d->driver);
	if (missing != NULL)
		qdq_fail(base->ctx, QDQ_EDEVICE, NULL, "%s", missing);
	open_device(d, nth);
	load_modules(d);
	qdq_cuda_check(d, d->driver.stream_new(&d->own, 1), "making a stream", NULL);
	d->stream = o->stream != NULL ? (CUstream)o->stream : d->own;
	d->tactic = o->tactic;
	d->time_tactics = o->time_tactics != 0;
	d->inputs = qdq_array(base->arena, qdq_area, inputs);
	d->outputs = qdq_array(base->arena, qdq_area, outputs);
	d->n_inputs = inputs;
	d->n_outputs = outputs;
}

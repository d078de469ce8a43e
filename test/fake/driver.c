/* SPDX-License-Identifier: Apache-2.0
 *
 * driver.c -- the functions of the fake driver (fake.h)
 *
 * Streams are queues: copies, launches and events wait in them until the stream, one of its events or a release of memory
 * is waited for. So a missing wait shows as a wrong byte, or as memory of the host that is used after it was freed.
 */
#include "fake.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PUBLIC __attribute__((visibility("default")))
#define DECLARE(name, symbol, arguments) PUBLIC CUresult fake_##name arguments __asm__(symbol);
QDQ_DRIVER_FUNCTIONS(DECLARE)
#undef DECLARE

extern qdq_fake_control qdq_fake PUBLIC;
qdq_fake_control qdq_fake = {.version = 12030, .devices = 1, .major = 8};

enum { INVALID_VALUE = 1, INVALID_CONTEXT = 201, NOT_FOUND = 500 };

typedef enum { COPY, FILL, LAUNCH, EVENT } op_kind;
typedef struct op {
	struct op *next;
	op_kind kind;
	char *to;
	const char *from;
	size_t size;
	unsigned char byte;
	CUevent event;
	fake_kernel_launch launch;
} op;

typedef struct memory {
	struct memory *next;
	char *at;
	size_t size;
} memory;

struct CUctx_st {
	int users;
};
struct CUfunc_st {
	CUfunction next;
	char name[64];
	int shared;
};
struct CUmod_st {
	const char *begin; /* what its kernels' names begin with, one after the other */
	CUfunction functions;
};
struct CUgraph_st {
	op *ops;
};
struct CUgraphExec_st {
	op *ops;
};
struct CUstream_st {
	CUstream next;
	op *ops;
	CUgraph capture; /* not NULL: what is enqueued goes there */
};
struct CUevent_st {
	CUstream stream; /* where it was recorded last */
	bool done;
};

static struct CUctx_st context;
static _Thread_local CUcontext current;
static memory *memories;
static CUstream streams;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

_Noreturn void fake_fault(const char *what, const char *name)
{
	fprintf(stderr, "fake driver: %s: %s\n", name, what);
	abort();
}

/* ---- calls ---- */

static CUresult enter(const char *name)
{
	pthread_mutex_lock(&lock);
	if (qdq_fake.only != NULL && strcmp(qdq_fake.only, name) != 0)
		return 0;
	qdq_fake.calls++;
	if (qdq_fake.fail_at == 0 || qdq_fake.calls < qdq_fake.fail_at ||
	    (qdq_fake.calls > qdq_fake.fail_at && !qdq_fake.lost))
		return 0;
	if (qdq_fake.failed == NULL)
		qdq_fake.failed = name;
	return qdq_fake.error;
}

static CUresult leave(CUresult r)
{
	pthread_mutex_unlock(&lock);
	return r;
}

/* As enter, for what needs a context. */
static CUresult enter_context(const char *name)
{
	CUresult r = enter(name);

	return r != 0 ? r : current == NULL || context.users == 0 ? INVALID_CONTEXT : 0;
}

static void *make(size_t size)
{
	void *made = calloc(1, size);

	if (made == NULL)
		fake_fault("no memory", "calloc");
	return made;
}

/* ---- queues ---- */

static void append(op **list, const op *o)
{
	op *made = make(sizeof *made);

	*made = *o;
	made->next = NULL;
	if (o->kind == LAUNCH) {
		size_t size = fake_params_size(o->launch.name);

		made->launch.params = make(size);
		memcpy(made->launch.params, o->launch.params, size);
	}
	while (*list != NULL)
		list = &(*list)->next;
	*list = made;
}

static void drop(op *o)
{
	if (o->kind == LAUNCH)
		free(o->launch.params);
	free(o);
}

static void drop_all(op **list)
{
	while (*list != NULL) {
		op *o = *list;

		*list = o->next;
		drop(o);
	}
}

static void perform(const op *o)
{
	if (o->kind == COPY && o->size != 0)
		memcpy(o->to, o->from, o->size);
	else if (o->kind == FILL)
		memset(o->to, o->byte, o->size);
	else if (o->kind == LAUNCH)
		fake_run(&o->launch);
	else if (o->kind == EVENT)
		o->event->done = true;
}

static void perform_all(CUstream s)
{
	while (s->ops != NULL) {
		op *o = s->ops;

		s->ops = o->next;
		perform(o);
		drop(o);
	}
}

static void check_stream(CUstream s, const char *name)
{
	for (CUstream t = streams; t != NULL; t = t->next)
		if (t == s)
			return;
	fake_fault("no such stream", name);
}

/* Into the stream, or the graph that it records. */
static CUresult enqueue(CUstream s, const op *o, const char *name)
{
	check_stream(s, name);
	append(s->capture != NULL ? &s->capture->ops : &s->ops, o);
	return 0;
}

static void check_range(CUdeviceptr p, size_t size, const char *name)
{
	const char *at = (const char *)(uintptr_t)p;

	for (const memory *m = memories; m != NULL; m = m->next)
		if (at >= m->at && at <= m->at + m->size && size <= (size_t)(m->at + m->size - at))
			return;
	if (size != 0)
		fake_fault("outside of memory", name);
}

/* ---- driver and device ---- */

CUresult fake_init(unsigned flags)
{
	return leave(enter("cuInit")) != 0 ? qdq_fake.error : (CUresult)flags;
}

CUresult fake_version(int *out)
{
	*out = qdq_fake.version;
	return leave(enter("cuDriverGetVersion"));
}

CUresult fake_error_name(CUresult r, const char **out)
{
	*out = r == CUDA_OUT_OF_MEMORY ? "CUDA_ERROR_OUT_OF_MEMORY" : "CUDA_ERROR_FAKE";
	return r == 999 ? INVALID_VALUE : 0;
}

CUresult fake_error_text(CUresult r, const char **out)
{
	*out = NULL;
	return r == 999 ? INVALID_VALUE : 0;
}

CUresult fake_device_count(int *out)
{
	*out = qdq_fake.devices;
	return leave(enter("cuDeviceGetCount"));
}

CUresult fake_device_get(CUdevice *out, int nth)
{
	*out = nth;
	return leave(enter("cuDeviceGet"));
}

CUresult fake_device_name(char *out, int size, CUdevice d)
{
	snprintf(out, (size_t)size, "fake device %d", d);
	return leave(enter("cuDeviceGetName"));
}

CUresult fake_device_attribute(int *out, int attribute, CUdevice d)
{
	*out = attribute == CUDA_DEVICE_MAJOR ? qdq_fake.major : attribute == CUDA_DEVICE_MULTIPROCESSORS ? 4 : d;
	return leave(enter("cuDeviceGetAttribute"));
}

CUresult fake_context_retain(CUcontext *out, CUdevice d)
{
	CUresult r = enter("cuDevicePrimaryCtxRetain");

	if (r == 0 && d >= 0) {
		*out = &context;
		context.users++;
		qdq_fake.contexts++;
	}
	return leave(r);
}

CUresult fake_context_release(CUdevice d)
{
	CUresult r = enter("cuDevicePrimaryCtxRelease_v2");

	if (context.users <= d)
		fake_fault("nobody has it", "cuDevicePrimaryCtxRelease_v2");
	context.users--;
	qdq_fake.contexts--;
	return leave(r);
}

CUresult fake_context_set(CUcontext c)
{
	CUresult r = enter("cuCtxSetCurrent");

	current = c;
	return leave(r);
}

/* ---- kernels ---- */

CUresult fake_module_load(CUmodule *out, const void *image)
{
	CUresult r = enter_context("cuModuleLoadData");

	if (r == 0) {
		*out = make(sizeof **out);
		(*out)->begin = image;
		qdq_fake.modules++;
	}
	return leave(r);
}

CUresult fake_module_unload(CUmodule m)
{
	CUresult r = enter_context("cuModuleUnload");

	for (CUfunction f = m->functions, next; f != NULL; f = next) {
		next = f->next;
		free(f);
	}
	free(m);
	qdq_fake.modules--;
	return leave(r);
}

static bool has(CUmodule m, const char *name)
{
	for (const char *at = m->begin; *at != '\0'; at += strcspn(at, " "), at += strspn(at, " "))
		if (strncmp(name, at, strcspn(at, " ")) == 0)
			return true;
	return false;
}

CUresult fake_module_function(CUfunction *out, CUmodule m, const char *name)
{
	CUresult r = enter_context("cuModuleGetFunction");

	if (r == 0 && (!has(m, name) || fake_params_size(name) == 0))
		r = NOT_FOUND;
	if (r == 0) {
		CUfunction f = make(sizeof *f);

		snprintf(f->name, sizeof f->name, "%s", name);
		f->shared = 48 * 1024;
		f->next = m->functions;
		m->functions = f;
		*out = f;
	}
	return leave(r);
}

CUresult fake_function_attribute(CUfunction f, int attribute, int value)
{
	CUresult r = enter_context("cuFuncSetAttribute");

	if (r == 0 && (attribute != CUDA_FUNCTION_SHARED || value > 99 * 1024)) /* what every such device has */
		r = INVALID_VALUE;
	if (r == 0)
		f->shared = value;
	return leave(r);
}

CUresult fake_launch(const CUlaunchConfig *c, CUfunction f, void **params, void **extra)
{
	CUresult r = enter_context("cuLaunchKernelEx");
	op o = {.kind = LAUNCH};

	if (r == 0 && (c->grid[0] == 0 || c->grid[1] == 0 || c->grid[1] > 65535 || c->block[0] == 0 ||
		       c->shared > (unsigned)f->shared || extra != NULL))
		r = INVALID_VALUE;
	if (r != 0)
		return leave(r);
	qdq_fake.launches++;
	qdq_fake.splits += c->grid[1] > 1;
	o.launch = (fake_kernel_launch){f->name, {c->grid[0], c->grid[1]}, c->block[0], c->shared, params[0]};
	return leave(enqueue(c->stream, &o, f->name));
}

/* ---- memory ---- */

CUresult fake_alloc(CUdeviceptr *out, size_t size)
{
	CUresult r = enter_context("cuMemAlloc_v2");
	memory *m;
	void *at;

	if (r == 0 && size == 0)
		r = INVALID_VALUE;
	if (r != 0)
		return leave(r);
	if (posix_memalign(&at, 256, size) != 0)
		return leave(CUDA_OUT_OF_MEMORY);
	memset(at, 0xa5, size);
	m = make(sizeof *m);
	*m = (memory){memories, at, size};
	memories = m;
	qdq_fake.allocations++;
	qdq_fake.bytes += size;
	*out = (CUdeviceptr)(uintptr_t)at;
	return leave(0);
}

CUresult fake_release(CUdeviceptr p)
{
	CUresult r = enter_context("cuMemFree_v2");
	memory **at = &memories, *m;

	for (CUstream s = streams; s != NULL; s = s->next)
		perform_all(s); /* releasing waits for the device */
	while (*at != NULL && (*at)->at != (char *)(uintptr_t)p)
		at = &(*at)->next;
	if (*at == NULL)
		fake_fault("no such memory", "cuMemFree_v2");
	m = *at;
	*at = m->next;
	qdq_fake.bytes -= m->size;
	free(m->at);
	free(m);
	qdq_fake.allocations--;
	return leave(r);
}

CUresult fake_to_device(CUdeviceptr to, const void *from, size_t size, CUstream s)
{
	CUresult r = enter_context("cuMemcpyHtoDAsync_v2");
	op o = {.kind = COPY, .to = (char *)(uintptr_t)to, .from = from, .size = size};

	check_range(to, size, "cuMemcpyHtoDAsync_v2");
	return leave(r != 0 ? r : enqueue(s, &o, "cuMemcpyHtoDAsync_v2"));
}

CUresult fake_to_host(void *to, CUdeviceptr from, size_t size, CUstream s)
{
	CUresult r = enter_context("cuMemcpyDtoHAsync_v2");
	op o = {.kind = COPY, .to = to, .from = (const char *)(uintptr_t)from, .size = size};

	check_range(from, size, "cuMemcpyDtoHAsync_v2");
	return leave(r != 0 ? r : enqueue(s, &o, "cuMemcpyDtoHAsync_v2"));
}

CUresult fake_move(CUdeviceptr to, CUdeviceptr from, size_t size, CUstream s)
{
	CUresult r = enter_context("cuMemcpyDtoDAsync_v2");
	op o = {.kind = COPY, .to = (char *)(uintptr_t)to, .from = (const char *)(uintptr_t)from, .size = size};

	check_range(from, size, "cuMemcpyDtoDAsync_v2");
	check_range(to, size, "cuMemcpyDtoDAsync_v2");
	return leave(r != 0 ? r : enqueue(s, &o, "cuMemcpyDtoDAsync_v2"));
}

CUresult fake_fill(CUdeviceptr to, unsigned char byte, size_t size, CUstream s)
{
	CUresult r = enter_context("cuMemsetD8Async");
	op o = {.kind = FILL, .to = (char *)(uintptr_t)to, .byte = byte, .size = size};

	check_range(to, size, "cuMemsetD8Async");
	return leave(r != 0 ? r : enqueue(s, &o, "cuMemsetD8Async"));
}

/* ---- streams and graphs ---- */

CUresult fake_stream_new(CUstream *out, unsigned flags)
{
	CUresult r = enter_context("cuStreamCreate");

	if (r == 0 && flags <= 1) {
		*out = make(sizeof **out);
		(*out)->next = streams;
		streams = *out;
		qdq_fake.streams++;
	}
	return leave(r);
}

CUresult fake_stream_free(CUstream s)
{
	CUresult r = enter_context("cuStreamDestroy_v2");
	CUstream *at = &streams;

	check_stream(s, "cuStreamDestroy_v2");
	if (s->capture != NULL)
		fake_fault("it still records", "cuStreamDestroy_v2");
	perform_all(s);
	while (*at != s)
		at = &(*at)->next;
	*at = s->next;
	free(s);
	qdq_fake.streams--;
	return leave(r);
}

/* Where it fails, all has been done: what goes wrong in a stream is told late. */
CUresult fake_stream_wait(CUstream s)
{
	CUresult r = enter_context("cuStreamSynchronize");

	check_stream(s, "cuStreamSynchronize");
	if (s->capture != NULL)
		fake_fault("it records", "cuStreamSynchronize");
	perform_all(s);
	return leave(r);
}

CUresult fake_capture_begin(CUstream s, int mode)
{
	CUresult r = enter_context("cuStreamBeginCapture_v2");

	check_stream(s, "cuStreamBeginCapture_v2");
	if (s->capture != NULL || mode != CUDA_CAPTURE_RELAXED)
		fake_fault("it records already, or not so", "cuStreamBeginCapture_v2");
	if (r == 0) {
		s->capture = make(sizeof *s->capture);
		qdq_fake.graphs++;
	}
	return leave(r);
}

CUresult fake_graph_free(CUgraph g)
{
	CUresult r = enter_context("cuGraphDestroy");

	drop_all(&g->ops);
	free(g);
	qdq_fake.graphs--;
	return leave(r);
}

/* Where it fails there is no graph, but nothing is recorded any more. */
CUresult fake_capture_end(CUstream s, CUgraph *out)
{
	CUresult r = enter_context("cuStreamEndCapture");

	check_stream(s, "cuStreamEndCapture");
	if (s->capture == NULL)
		fake_fault("it does not record", "cuStreamEndCapture");
	*out = s->capture;
	s->capture = NULL;
	if (r != 0) {
		drop_all(&(*out)->ops);
		free(*out);
		*out = NULL;
		qdq_fake.graphs--;
	}
	return leave(r);
}

CUresult fake_graph_make(CUgraphExec *out, CUgraph g, unsigned long long flags)
{
	CUresult r = enter_context("cuGraphInstantiateWithFlags");

	if (r == 0 && flags == 0) {
		*out = make(sizeof **out);
		for (const op *o = g->ops; o != NULL; o = o->next)
			append(&(*out)->ops, o);
		qdq_fake.executables++;
	}
	return leave(r);
}

CUresult fake_graph_exec_free(CUgraphExec g)
{
	CUresult r = enter_context("cuGraphExecDestroy");

	drop_all(&g->ops);
	free(g);
	qdq_fake.executables--;
	return leave(r);
}

CUresult fake_graph_launch(CUgraphExec g, CUstream s)
{
	CUresult r = enter_context("cuGraphLaunch");

	for (const op *o = g->ops; r == 0 && o != NULL; o = o->next)
		r = enqueue(s, o, "cuGraphLaunch");
	qdq_fake.graph_launches++;
	return leave(r);
}

/* ---- events ---- */

CUresult fake_event_new(CUevent *out, unsigned flags)
{
	CUresult r = enter_context("cuEventCreate");

	if (r == 0 && flags == 0) {
		*out = make(sizeof **out);
		qdq_fake.events++;
	}
	return leave(r);
}

CUresult fake_event_free(CUevent e)
{
	CUresult r = enter_context("cuEventDestroy_v2");

	for (CUstream s = streams; s != NULL; s = s->next)
		perform_all(s);
	free(e);
	qdq_fake.events--;
	return leave(r);
}

CUresult fake_event_record(CUevent e, CUstream s)
{
	CUresult r = enter_context("cuEventRecord");
	op o = {.kind = EVENT, .event = e};

	if (r == 0) {
		e->stream = s;
		e->done = false;
		r = enqueue(s, &o, "cuEventRecord");
	}
	return leave(r);
}

CUresult fake_event_wait(CUevent e)
{
	CUresult r = enter_context("cuEventSynchronize");

	while (e->stream != NULL && !e->done && e->stream->ops != NULL) {
		op *o = e->stream->ops;

		e->stream->ops = o->next;
		perform(o);
		drop(o);
	}
	return leave(r);
}

/* Any time: who is chosen by it must not matter. */
CUresult fake_event_elapsed(float *ms, CUevent from, CUevent to)
{
	static unsigned state = 1;
	CUresult r = enter_context("cuEventElapsedTime");

	if (r == 0 && (!from->done || !to->done))
		r = 600; /* not ready */
	state = state * 1664525u + 1013904223u;
	*ms = 1 + (float)(state >> 20);
	return leave(r);
}

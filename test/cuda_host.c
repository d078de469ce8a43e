/* SPDX-License-Identifier: Apache-2.0
 *
 * cuda_host.c -- the host's part of the CUDA back end, on the fake driver: run_cuda_host [--old]
 *
 * Every call of the driver fails once: the run says so, nothing stays on the device, and the session works again or the
 * device is lost for good. Then what a caller does: other batches, device pointers, a stream, two threads. --old: the
 * driver lacks functions.
 */
#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "../include/qdqopt_exec.h"
#include "../lib/exec/cuda/cuda.h"
#include "fake/fake.h"
#include "fixture.h"

enum { PIXELS = 25, INPUTS = 64 * PIXELS, MOST = 3, FAILURES = 4000 };

static int passed, failed;
static qdq_fake_control *fake;
static qdq_driver driver;
static float pixels[MOST * INPUTS];

static void verdict(bool good, const char *what, const char *why)
{
	__atomic_fetch_add(good ? &passed : &failed, 1, __ATOMIC_RELAXED);
	if (!good)
		printf("%s: %s\n", what, why);
}

/* ---- a network: three convolutions (one long, one depthwise), a residual, a pool ---- */

static void say_weights(text *t, const char *name, int k, int c, int kernel)
{
	char line[80];

	text_add(t, line,
		 (size_t)snprintf(line, sizeof line, ",\n  int8[%d,%d,%d,%d] %s = {", k, c, kernel, kernel, name));
	for (int i = 0; i < k * c * kernel * kernel; i++)
		text_add(t, line, (size_t)snprintf(line, sizeof line, "%s%d", i == 0 ? "" : ", ", i * 37 % 251 - 125));
	text_add(t, "}", 1);
}

static void say_network(text *t)
{
	static const char head[] =
	    "<ir_version: 8, opset_import: [\"\" : 17]>\ng (float[N,64,5,5] x) => (float[N,24,5,5] "
	    "y, float[N,24,1,1] z)\n<\n  float s = {0.02}, float r = {0.7}, int8 n = {3}, int8 o = {0}";
	static const char body[] =
	    "\n>\n{\n  xq = QuantizeLinear(x, s, n)\n  xd = DequantizeLinear(xq, s, n)\n"
	    "  ad = DequantizeLinear(a, s, o)\n  bd = DequantizeLinear(b, s, o)\n  cd = DequantizeLinear(c, s, o)\n"
	    "  first = Conv<pads = [1, 1, 1, 1]>(xd, ad)\n  fq = QuantizeLinear(first, r, n)\n"
	    "  fd = DequantizeLinear(fq, r, n)\n  second = Conv<pads = [1, 1, 1, 1], group = 24>(fd, bd)\n"
	    "  sq = QuantizeLinear(second, r, n)\n  sd = DequantizeLinear(sq, r, n)\n  third = Conv(sd, cd)\n"
	    "  tq = QuantizeLinear(third, r, n)\n  td = DequantizeLinear(tq, r, n)\n  sum = Add(td, fd)\n"
	    "  uq = QuantizeLinear(sum, r, n)\n  y = DequantizeLinear(uq, r, n)\n  pool = GlobalAveragePool(y)\n"
	    "  zq = QuantizeLinear(pool, r, n)\n  z = DequantizeLinear(zq, r, n)\n}\n";

	text_add(t, head, sizeof head - 1);
	say_weights(t, "a", 24, 64, 3);
	say_weights(t, "b", 24, 1, 3);
	say_weights(t, "c", 24, 24, 1);
	text_add(t, body, sizeof body - 1);
}

/* ---- a model, and one run of it ---- */

typedef struct network {
	qdq_ctx *ctx;
	qdq_model *m;
	char message[256]; /* the last diagnostic */
} network;

static void keep_message(void *user, const qdq_diagnostic *d)
{
	snprintf(user, sizeof((network *)0)->message, "%s: %s",
		 d->node != NULL ? d->node
		 : d->op != NULL ? d->op
				 : "-",
		 d->message);
}

static void load(network *n)
{
	qdq_options o = {.version = QDQ_OPTIONS_VERSION, .log = keep_message, .log_user = n->message};
	text t = {0};

	say_network(&t);
	if (qdq_ctx_new(&n->ctx, &o) != QDQ_OK ||
	    qdq_load_memory(&n->m, n->ctx, t.data, t.size, "network.onnxtxt") != QDQ_OK ||
	    qdq_optimize(n->m, NULL) != QDQ_OK) {
		printf("the network does not load: %s\n", n->message);
		exit(1);
	}
	n->message[0] = '\0';
	text_free(&t);
}

/* Inputs are memory of its own, given back after the run: nothing may read them later. */
static qdq_status run(qdq_session *s, int batch, text *out)
{
	size_t size = (size_t)batch * INPUTS * sizeof *pixels;
	qdq_binding in = {.name = "x", .type = QDQ_TYPE_FLOAT, .rank = 4, .dims = {batch, 64, 5, 5}, .size = size};
	qdq_binding y[2] = {{.name = "y"}, {.name = "z"}};
	qdq_status status;

	in.data = malloc(size);
	if (in.data == NULL)
		exit(1);
	memcpy(in.data, pixels, size);
	status = qdq_session_run(s, &in, 1, y, 2);
	free(in.data);
	for (int i = 0; status == QDQ_OK && i < 2; i++)
		text_add(out, y[i].data, y[i].size);
	return status;
}

static qdq_status run_once(network *n, const qdq_session_options *o, int batch, text *out)
{
	qdq_session *s;
	qdq_status status = qdq_session_new(&s, n->m, o);

	if (status == QDQ_OK)
		status = run(s, batch, out);
	qdq_session_free(s);
	return status;
}

static bool same_bytes(const text *a, const text *b)
{
	return a->size == b->size && memcmp(a->data, b->data, b->size) == 0;
}

static bool nothing_left(void)
{
	return fake->contexts == 0 && fake->modules == 0 && fake->allocations == 0 && fake->streams == 0 &&
	       fake->events == 0 && fake->graphs == 0 && fake->executables == 0;
}

/* ---- failures ---- */

static void fail_at(long nth, CUresult error, bool lost, const char *only)
{
	fake->calls = 0;
	fake->failed = NULL;
	fake->error = error;
	fake->lost = lost;
	fake->only = only;
	fake->fail_at = nth;
}

/* A run after the one that failed; where the device is lost it must say so. */
static void run_again(network *n, qdq_session *s, const text *expected, const char *what)
{
	text out = {0};
	qdq_status status;

	n->message[0] = '\0';
	if (!fake->lost)
		fake->fail_at = 0;
	status = run(s, 2, &out);
	if (fake->lost)
		verdict(status == QDQ_EDEVICE && n->message[0] != '\0', what, "a lost device is not told again");
	else
		verdict(status == QDQ_OK && same_bytes(&out, expected), what, "the run after a failure is wrong");
	text_free(&out);
}

/* Does the session know what it has? Empty memory is 16 bytes of the device. */
static bool knows_memory(const qdq_session *s)
{
	qdq_session_facts facts;

	return qdq_session_get_facts(&facts, s) == QDQ_OK && facts.device_memory <= fake->bytes &&
	       facts.device_memory + 4 * 16 >= fake->bytes;
}

/* The nth call fails; false: there were fewer. */
static bool one_failure(network *n, const qdq_session_options *o, const text *expected, long nth)
{
	qdq_session *s;
	text out = {0};
	char what[96];
	qdq_status status;
	bool opened, did;

	n->message[0] = '\0';
	fake->calls = 0;
	fake->fail_at = nth;
	fake->failed = NULL;
	status = qdq_session_new(&s, n->m, o);
	opened = status == QDQ_OK;
	if (opened)
		status = run(s, 2, &out);
	did = fake->failed != NULL;
	snprintf(what, sizeof what, "call %ld, %s%s", nth, did ? fake->failed : "none", fake->lost ? ", lost" : "");
	if (status == QDQ_OK)
		verdict(same_bytes(&out, expected), what, "wrong bytes");
	else
		verdict(status == QDQ_EDEVICE && n->message[0] != '\0' && did, what, "no error of the device");
	if (did && strcmp(fake->failed, "cuLaunchKernelEx") == 0)
		verdict(n->message[0] != '-', what, "the operator is not named");
	if (opened && status != QDQ_OK)
		run_again(n, s, expected, what);
	if (opened && !fake->lost)
		verdict(knows_memory(s), what, "the memory that it says it has is not what it has");
	qdq_session_free(s);
	verdict(nothing_left(), what, "something stays on the device");
	text_free(&out);
	return did;
}

static void failures(const qdq_session_options *o, CUresult error, bool lost, const char *only)
{
	network n;
	text expected = {0};
	qdq_session *s;
	bool ran;
	long nth = 1;

	load(&n);
	fail_at(0, error, lost, only);
	ran = qdq_session_new(&s, n.m, o) == QDQ_OK && run(s, 2, &expected) == QDQ_OK && knows_memory(s);
	qdq_session_free(s);
	verdict(ran && nothing_left(), "before all failures", "it does not run, or leaks");
	while (nth < FAILURES && one_failure(&n, o, &expected, nth))
		nth++;
	verdict(nth > 1 && nth < FAILURES, "failures", "none, or no end of them");
	fail_at(0, 0, false, NULL);
	text_free(&expected);
	qdq_ctx_free(n.ctx);
}

static void all_failures(void)
{
	qdq_session_options plain = {.version = QDQ_SESSION_OPTIONS_VERSION, .device = "cuda", .threads = 1};
	qdq_session_options timed = plain, split = plain;

	timed.time_tactics = 1;
	split.tactic = 1 + 3 + QDQ_TILES * 2;
	failures(&plain, 719, false, NULL);
	failures(&split, 700, true, NULL);
	failures(&plain, CUDA_OUT_OF_MEMORY, false, "cuMemAlloc_v2");
	failures(&timed, 999, false, NULL);
}

/* ---- devices that do not serve ---- */

static void refuses(const char *what)
{
	qdq_session_options o = {.version = QDQ_SESSION_OPTIONS_VERSION, .device = "cuda"};
	network n;
	qdq_session *s;
	qdq_status status;

	load(&n);
	status = qdq_session_new(&s, n.m, &o);
	verdict(status == QDQ_EDEVICE && strstr(n.message, what) != NULL, what, n.message);
	verdict(fake == NULL || nothing_left(), what, "something stays on the device");
	qdq_session_free(s);
	qdq_ctx_free(n.ctx);
}

static void unfit_devices(void)
{
	qdq_fake_control good = *fake;

	fake->version = 12020;
	refuses("for CUDA 12.2: 12.3 or later is needed");
	*fake = good;
	fake->devices = 0;
	refuses("no GPU number 0: this machine has 0");
	*fake = good;
	fake->major = 7;
	refuses("8.0 (Ampere) or later is needed");
	*fake = good;
	fail_at(2, CUDA_NO_BINARY, false, "cuModuleLoadData");
	refuses("no kernels for this GPU");
	*fake = good;
}

/* ---- what callers do ---- */

static void expect(int batch, text *out)
{
	network n;

	load(&n);
	verdict(run_once(&n, NULL, batch, out) == QDQ_OK, "the CPU", "it does not run");
	qdq_ctx_free(n.ctx);
}

static void *batches(void *arg)
{
	static const int sizes[] = {1, 3, 2, 1, 3, 3, 1, 2};
	qdq_session_options o = {.version = QDQ_SESSION_OPTIONS_VERSION, .device = "cuda", .tactic = *(int *)arg};
	network n;
	qdq_session *s;

	load(&n);
	if (qdq_session_new(&s, n.m, &o) != QDQ_OK)
		verdict(false, "batches", n.message);
	for (int i = 0; s != NULL && i < 8; i++) {
		text out = {0}, expected = {0};

		expect(sizes[i], &expected);
		verdict(run(s, sizes[i], &out) == QDQ_OK && same_bytes(&out, &expected), "batches", n.message);
		text_free(&out);
		text_free(&expected);
	}
	qdq_session_free(s);
	qdq_ctx_free(n.ctx);
	return NULL;
}

static void two_threads(void)
{
	int tactics[2] = {0, 1 + 5 + QDQ_TILES * 2};
	pthread_t threads[2];

	for (int i = 0; i < 2; i++)
		if (pthread_create(&threads[i], NULL, batches, &tactics[i]) != 0)
			exit(1);
	for (int i = 0; i < 2; i++)
		pthread_join(threads[i], NULL);
	verdict(nothing_left(), "two threads", "something stays on the device");
}

/* Three runs between two copies, all in the caller's stream, which is waited for once. */
static void in_stream(qdq_session *s, CUstream stream, const text *expected)
{
	size_t in = 2 * INPUTS * sizeof *pixels, y = 2 * 24 * PIXELS * 4, z = 2 * 24 * 4;
	CUdeviceptr at[3];
	char *out = malloc(y + z);
	qdq_binding x = {.name = "x", .type = QDQ_TYPE_FLOAT, .rank = 4, .dims = {2, 64, 5, 5}, .size = in};
	qdq_binding to[2] = {{.name = "y", .size = y, .on_device = 1}, {.name = "z", .size = z, .on_device = 1}};
	qdq_status status = QDQ_OK;

	if (out == NULL || driver.alloc(&at[0], in) != 0 || driver.alloc(&at[1], y) != 0 ||
	    driver.alloc(&at[2], z) != 0)
		exit(1);
	x.on_device = 1;
	x.data = (void *)(uintptr_t)at[0];
	to[0].data = (void *)(uintptr_t)at[1];
	to[1].data = (void *)(uintptr_t)at[2];
	(void)driver.to_device(at[0], pixels, in, stream);
	for (int i = 0; i < 3 && status == QDQ_OK; i++)
		status = qdq_session_run(s, &x, 1, to, 2);
	(void)driver.to_host(out, at[1], y, stream);
	(void)driver.to_host(out + y, at[2], z, stream);
	(void)driver.stream_wait(stream);
	verdict(status == QDQ_OK && y + z == expected->size && memcmp(out, expected->data, y + z) == 0,
		"device pointers and a stream", "other bytes");
	to[1].data = NULL;
	verdict(qdq_session_run(s, &x, 1, to, 2) == QDQ_EUSAGE, "an output on the device without data", "not refused");
	for (int i = 0; i < 3; i++)
		(void)driver.release(at[i]);
	free(out);
}

static void caller_stream(void)
{
	qdq_session_options o = {.version = QDQ_SESSION_OPTIONS_VERSION, .device = "cuda"};
	text expected = {0};
	CUcontext context;
	CUstream stream;
	network n;
	qdq_session *s;

	expect(2, &expected);
	load(&n);
	if (driver.context_retain(&context, 0) != 0 || driver.context_set(context) != 0 ||
	    driver.stream_new(&stream, 1) != 0)
		exit(1);
	o.stream = stream;
	if (qdq_session_new(&s, n.m, &o) == QDQ_OK)
		in_stream(s, stream, &expected);
	else
		verdict(false, "a stream", n.message);
	qdq_session_free(s);
	verdict(driver.stream_free(stream) == 0 && driver.context_release(0) == 0 && nothing_left(), "a stream",
		"something stays on the device");
	text_free(&expected);
	qdq_ctx_free(n.ctx);
}

int main(int argc, char **argv)
{
	const char *missing = qdq_driver_open(&driver);

	for (int i = 0; i < MOST * INPUTS; i++)
		pixels[i] = (float)(i * 7919 % 2003) / 400 - 2.5f;
	if (argc > 1 && strcmp(argv[1], "--old") == 0) {
		refuses("the CUDA driver is too old: no cuDriverGetVersion");
	} else if (missing != NULL || (fake = dlsym(driver.library, "qdq_fake")) == NULL) {
		verdict(false, "the fake driver", missing != NULL ? missing : "this is a real one");
	} else {
		unfit_devices();
		all_failures();
		caller_stream();
		two_threads();
		verdict(fake->splits != 0 && fake->graph_launches != 0, "coverage", "no split sums, or no graphs");
	}
	qdq_driver_close(&driver);
	printf("%d passed, %d failed\n", passed, failed);
	return failed != 0;
}

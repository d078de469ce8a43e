/* SPDX-License-Identifier: Apache-2.0
 *
 * exec.c -- running: run_exec [--device=cuda] FILE-OR-FOLDER…
 *
 * First a few hundred seeded random regions (convolutions of any geometry, products, pools, additions, Concat; zero points
 * and codes at their extremes), then every model of the folders. Each is optimized and run: every element of a fused
 * operator must be what its Q/DQ nodes give, or one step off; and all instruction sets and numbers of threads must give
 * the same bytes. Contractions of floats are held to the bound of float sums. With --device the CPU's bytes are compared with the device's instead, for several of its tactics.
 */
#include <stdarg.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "../lib/exec/cuda/driver.h"
#include "exec.h"

static int passed, failed;
static const char *device; /* beside the CPU; NULL: none */
static bool cancelling;	   /* messages that say so are expected */
static bool evaluated;	   /* the last run had nodes that the reference evaluator ran, which is slow */
uint64_t state;

void verdict(bool good, const char *what, const char *why)
{
	passed += good;
	failed += !good;
	if (!good)
		printf("%s: %s\n", what, why);
}

uint32_t draw(uint32_t below)
{
	state = state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
	return (uint32_t)(state >> 33) % below;
}

float draw_float(float low, float high)
{
	return low + (high - low) * (float)draw(1u << 20) / (float)(1u << 20);
}

/* ---- running one model ---- */

static void count_difference(void *user, const qdq_difference *d)
{
	check *c = user;

	c->differences++;
	if (d->rounding == NULL) {
		c->large++;
		return;
	}
	c->large += !(d->rounding_got - d->rounding_expected == 1 || d->rounding_expected - d->rounding_got == 1);
	c->far += !(d->is_exact || d->tie <= d->tolerance);
}

/* Mostly small; where devices are compared, now and then no number at all. */
static float draw_input(void)
{
	static const float odd[] = {NAN, INFINITY, -INFINITY, 3e38F, -0.0F, 1e-42F};

	if (device != NULL && draw(50) == 0)
		return odd[draw(6)];
	return draw(40) == 0 ? draw_float(-500, 500) : draw_float(-3, 3);
}

static bool fill_input(const qdq_value *v, qdq_binding *b, int64_t batch)
{
	uint64_t count = 1, size;

	*b = (qdq_binding){.name = qdq_value_name(v), .type = qdq_value_type(v), .rank = qdq_value_rank(v)};
	if (b->rank < 0 || b->rank > QDQ_BINDING_RANK)
		return false;
	for (int i = 0; i < b->rank; i++) {
		b->dims[i] = qdq_value_dim(v, i) < 0 ? batch : qdq_value_dim(v, i);
		count *= (uint64_t)b->dims[i];
	}
	if (!qdq_type_size(b->type, count, &size) || size == 0)
		return false;
	b->size = (size_t)size;
	b->data = calloc(1, b->size);
	for (uint64_t i = 0; i < count && b->data != NULL; i++) {
		if (b->type == QDQ_TYPE_FLOAT)
			((float *)b->data)[i] = draw_input();
		else if (size == count)
			((uint8_t *)b->data)[i] = (uint8_t)(b->type == QDQ_TYPE_BOOL ? draw(2) : draw(256));
		else
			((uint8_t *)b->data)[i * (size / count)] = (uint8_t)draw(2);
	}
	return b->data != NULL;
}

/* The outputs' bytes. A NaN is one as any other: which of its bits are set is nobody's promise. */
static void add_output(text *out, const qdq_binding *y)
{
	float *f = y->data;

	for (size_t i = 0; y->type == QDQ_TYPE_FLOAT && i < y->size / sizeof *f; i++)
		if (isnan(f[i]))
			f[i] = NAN;
	text_add(out, y->data, y->size);
}

/* One run; the outputs' bytes go to `out`. */
qdq_status run_with_options(qdq_model *m, const qdq_binding *in, size_t n, const qdq_session_options *o, text *out)
{
	qdq_binding y[16] = {{0}};
	size_t outputs = qdq_output_count(m);
	qdq_session_facts facts;
	qdq_session *s;
	qdq_status status = qdq_session_new(&s, m, o);

	for (size_t i = 0; i < outputs && i < 16; i++)
		y[i].name = qdq_value_name(qdq_output_value(m, i));
	if (status == QDQ_OK)
		status = qdq_session_run(s, in, n, y, outputs);
	for (size_t i = 0; status == QDQ_OK && i < outputs; i++)
		add_output(out, &y[i]);
	if (status == QDQ_OK && qdq_session_get_facts(&facts, s) == QDQ_OK)
		evaluated = facts.evaluated != 0;
	qdq_session_free(s);
	return status;
}

qdq_status run_once(qdq_model *m, const qdq_binding *in, size_t n, const char *instructions, int threads, check *c,
		    text *out)
{
	qdq_session_options o = {.version = QDQ_SESSION_OPTIONS_VERSION,
				 .check = c != NULL ? count_difference : NULL,
				 .user = c,
				 .threads = threads,
				 .instructions = instructions};

	return run_with_options(m, in, n, &o, out);
}

static bool same_bytes(const text *a, const text *b)
{
	return a->size == b->size && memcmp(a->data, b->data, b->size) == 0;
}

/* On the device: the tactic that is estimated, the fastest, and forced ones; all give the CPU's bytes. */
static void compare_devices(qdq_model *m, const qdq_binding *in, size_t n, const text *first, const char *what)
{
	enum { TILES = 7, FORCED = TILES + 1 };

	/* where the evaluator runs most of it, the ways to run the rest have been seen elsewhere */
	for (int i = 0; i < (evaluated ? 2 : FORCED + 2); i++) {
		text again = {0};
		qdq_session_options o = {.version = QDQ_SESSION_OPTIONS_VERSION, .device = device};
		qdq_status status;

		o.time_tactics = i == 1;
		o.tactic = i < 2 ? 0 : i < TILES + 2 ? i - 1 : 1 + (int)draw(TILES * 5);
		status = run_with_options(m, in, n, &o, &again);
		verdict(status == QDQ_OK && same_bytes(&again, first), what,
			qdq_format(&m->ctx->arena,
				   status == QDQ_OK ? "%s gives other bytes, tactic %d" : "%s fails, tactic %d", device,
				   o.time_tactics ? -1 : o.tactic));
		text_free(&again);
	}
}

void compare_ways(qdq_model *m, const qdq_binding *in, size_t n, const text *first, const char *what)
{
	static const char *const sets[] = {"c", "avx2", "vnni"};
	static const int threads[] = {1, 2, 7};

	for (int i = 0; i < 3; i++) {
		text again = {0};
		qdq_status status = run_once(m, in, n, sets[i], threads[(i + (int)draw(3)) % 3], NULL, &again);

		verdict(status == QDQ_OK && same_bytes(&again, first), what,
			qdq_format(&m->ctx->arena, "%s gives other bytes", sets[i]));
		text_free(&again);
	}
}

void compare_all(qdq_model *m, const qdq_binding *in, size_t n, const text *first, const char *what)
{
	(device != NULL ? compare_devices : compare_ways)(m, in, n, first, what);
}

/* ---- watching runs ---- */

typedef struct watch {
	size_t reported, asked; /* kernels of the last run */
	size_t stop;		/* cancels in front of this kernel */
	uint64_t operations, bytes;
	bool wrong; /* what was reported cannot be */
} watch;

static void count_kernel(void *user, const qdq_kernel_profile *k)
{
	watch *w = user;

	w->reported++;
	w->operations += k->operations;
	w->bytes += k->bytes;
	w->wrong = w->wrong || k->node == NULL || k->op == NULL || k->kernel == NULL || *k->kernel == '\0' ||
		   !(k->microseconds >= 0) || k->bytes == 0;
}

static int maybe_stop(void *user, size_t done, size_t total)
{
	watch *w = user;

	w->wrong = w->wrong || done != w->asked || done >= total;
	w->asked++;
	return done == w->stop;
}

static qdq_status watched_run(qdq_session *s, qdq_model *m, const qdq_binding *in, size_t n, watch *w, text *out)
{
	qdq_binding y[16] = {{0}};
	size_t outputs = qdq_output_count(m);
	qdq_status status;

	for (size_t i = 0; i < outputs; i++)
		y[i].name = qdq_value_name(qdq_output_value(m, i));
	*w = (watch){.stop = w->stop};
	status = qdq_session_run(s, in, n, y, outputs);
	for (size_t i = 0; status == QDQ_OK && i < outputs; i++)
		add_output(out, &y[i]);
	return status;
}

/* Runs that are cancelled in front of each kernel, and after each of them one that is not. */
static void cancel_runs(qdq_session *s, qdq_model *m, const qdq_binding *in, size_t n, const text *first, watch *w,
			const char *what)
{
	size_t kernels = w->asked;

	for (size_t i = 0; i < kernels; i++) {
		text out = {0};
		qdq_status status;

		w->stop = i;
		cancelling = true;
		status = watched_run(s, m, in, n, w, &out);
		cancelling = false;
		verdict(status == QDQ_ECANCELLED && w->asked == i + 1 && w->reported <= i && !w->wrong, what,
			"it is not cancelled where it should be");
		w->stop = SIZE_MAX;
		status = watched_run(s, m, in, n, w, &out);
		verdict(status == QDQ_OK && w->asked == kernels && same_bytes(&out, first), what,
			"a run after one that was cancelled gives other bytes");
		text_free(&out);
	}
}

/* With a profile and without: on a GPU that is kernel after kernel, or one graph. */
static void watch_runs(qdq_model *m, const qdq_binding *in, size_t n, const text *first, const char *what)
{
	for (int profiled = 0; profiled < 2; profiled++) {
		watch w = {.stop = SIZE_MAX};
		text out = {0};
		qdq_session_facts facts = {0};
		qdq_session *s;
		qdq_session_options o = {.version = QDQ_SESSION_OPTIONS_VERSION,
					 .user = &w,
					 .threads = 2,
					 .device = device,
					 .profile = profiled ? count_kernel : NULL,
					 .progress = maybe_stop};
		qdq_status status = qdq_session_new(&s, m, &o);

		if (status == QDQ_OK)
			status = watched_run(s, m, in, n, &w, &out);
		if (status == QDQ_OK)
			(void)qdq_session_get_facts(&facts, s);
		verdict(status == QDQ_OK && !w.wrong && same_bytes(&out, first), what, "watched, it gives other bytes");
		verdict(w.reported == (profiled ? facts.kernels : 0) && (w.asked == facts.kernels || device != NULL),
			what, "not every kernel is reported once");
		verdict(w.bytes >= (profiled ? first->size : 0), what, "less is moved than it gives");
		text_free(&out);
		if (status == QDQ_OK)
			cancel_runs(s, m, in, n, first, &w, what);
		qdq_session_free(s);
	}
}

/* Optimizes and runs m; false: it cannot be run, which is not this program's matter. */
static bool run_model(qdq_model *m, const char *what, int64_t batch, bool must)
{
	qdq_binding in[16];
	size_t n = qdq_input_count(m), filled = 0;
	check c = {0};
	text first = {0};
	qdq_status status = n > 16 || qdq_output_count(m) > 16 ? QDQ_EMODEL : qdq_optimize(m, NULL);

	while (status == QDQ_OK && filled < n && fill_input(qdq_input(m, filled), &in[filled], batch))
		filled++;
	if (status == QDQ_OK && filled == n)
		status = run_once(m, in, n, NULL, device != NULL ? 0 : 2, device != NULL ? NULL : &c, &first);
	else
		status = QDQ_EMODEL;
	if (status == QDQ_OK) {
		verdict(c.large == 0, what, "a rounding is more than one step off");
		verdict(c.far == 0, what, "a rounding is off, but not at a tie");
		compare_all(m, in, n, &first, what);
		watch_runs(m, in, n, &first, what);
	} else if (must) {
		verdict(false, what, "it does not run");
	}
	for (size_t i = 0; i < filled; i++)
		free(in[i].data);
	text_free(&first);
	return status == QDQ_OK;
}

static void quiet(void *user, const qdq_diagnostic *d)
{
	if (*(bool *)user && !cancelling)
		printf("  %s: %s\n", d->node != NULL ? d->node : "-", d->message);
}

bool run_text(const char *source, size_t size, const char *what, int64_t batch, bool must)
{
	qdq_options o = {.version = QDQ_OPTIONS_VERSION, .log = quiet, .log_user = &must};
	qdq_ctx *ctx;
	qdq_model *m;
	bool ran = false;

	if (qdq_ctx_new(&ctx, &o) != QDQ_OK)
		return false;
	if (qdq_load_memory(&m, ctx, source, size, "random.onnxtxt") == QDQ_OK)
		ran = run_model(m, what, batch, must);
	else if (must)
		verdict(false, what, "it does not load");
	qdq_ctx_free(ctx);
	return ran;
}

/* ---- random regions ---- */

void say(text *t, const char *format, ...)
{
	char line[512], *more = line;
	va_list args, again;
	int n;

	va_start(args, format);
	va_copy(again, args);
	n = vsnprintf(line, sizeof line, format, args);
	if (n >= (int)sizeof line) {
		more = malloc((size_t)n + 1);
		vsnprintf(more, (size_t)n + 1, format, again);
	}
	text_add(t, more, (size_t)n);
	if (more != line)
		free(more);
	va_end(again);
	va_end(args);
}

void say_codes(text *t, bool is_signed, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++) {
		int extreme = draw(4) == 0, v = (int)draw(256) - (is_signed ? 128 : 0);

		if (extreme)
			v = draw(2) != 0 ? (is_signed ? 127 : 255) : (is_signed ? -128 : 0);
		say(t, "%s%d", i == 0 ? "" : ", ", v);
	}
}

static void say_small_codes(text *t, int zero, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++)
		say(t, "%s%d", i == 0 ? "" : ", ", zero + (int)draw(5) - 2);
}

static void say_floats(text *t, uint32_t count, float low, float high)
{
	for (uint32_t i = 0; i < count; i++)
		say(t, "%s%.9g", i == 0 ? "" : ", ", (double)draw_float(low, high));
}

/* A scale and a zero point, named NAME_s and NAME_z. */
static void say_params(text *t, const char *name, bool is_signed, float scale)
{
	int zero = (int)draw(3) == 0 ? (int)draw(256) - (is_signed ? 128 : 0) : is_signed ? 0 : 128;

	say(t, "float %s_s = {%.9g}, %s %s_z = {%d}", name, (double)scale, is_signed ? "int8" : "uint8", name, zero);
}

geometry draw_geometry(void)
{
	geometry g = {
	    .n = 1 + draw(3), .groups = 1, .kh = 1 + draw(4), .kw = 1 + draw(4), .sh = 1 + draw(3), .sw = 1 + draw(3)};
	uint32_t kind = draw(5);

	g.dh = 1 + draw(2);
	g.dw = 1 + draw(2);
	g.c = 1 + draw(kind == 0 ? 70 : 20);
	g.k = 1 + draw(kind == 1 ? 70 : 20);
	if (kind == 2)
		g.groups = g.k = g.c; /* depthwise */
	if (kind == 3) {
		g.groups = 1 + draw(4);
		g.c *= g.groups;
		g.k *= g.groups;
	}
	if (kind == 4)
		g.kh = g.kw = g.sh = g.sw = g.dh = g.dw = 1;
	for (int i = 0; i < 4; i++)
		g.pads[i] = draw(i % 2 == 0 ? g.kh : g.kw);
	g.h = (g.kh - 1) * g.dh + 1 + draw(12);
	g.w = (g.kw - 1) * g.dw + 1 + draw(12);
	g.x_signed = draw(2) != 0;
	g.w_signed = draw(4) != 0;
	g.per_channel = draw(2) != 0;
	g.int_bias = draw(3) == 0;
	g.float_bias = !g.int_bias && draw(2) != 0;
	g.relu = draw(2) != 0;
	g.residual = draw(2) != 0 ? draw(3) : 0;
	g.pair = draw(2) != 0;
	g.to_float = draw(4) == 0;
	g.ties = draw(3) == 0;
	g.per_channel = g.per_channel && !g.ties;
	return g;
}

static void say_weights(text *t, const geometry *g)
{
	uint32_t scales = g->per_channel ? g->k : 1;

	say(t, "  %s[%u,%u,%u,%u] w = {", g->w_signed ? "int8" : "uint8", g->k, g->c / g->groups, g->kh, g->kw);
	if (g->ties)
		say_small_codes(t, g->w_signed ? 0 : 128, g->k * (g->c / g->groups) * g->kh * g->kw);
	else
		say_codes(t, g->w_signed, g->k * (g->c / g->groups) * g->kh * g->kw);
	if (g->per_channel)
		say(t, "},\n  float[%u] w_s = {", scales);
	else
		say(t, "},\n  float w_s = {");
	if (g->ties)
		say(t, "0.3");
	else
		say_floats(t, scales, 0.001f, 0.05f);
	if (g->per_channel)
		say(t, "},\n  %s[%u] w_z = {", g->w_signed ? "int8" : "uint8", scales);
	else
		say(t, "},\n  %s w_z = {", g->w_signed ? "int8" : "uint8");
	for (uint32_t i = 0; i < scales; i++)
		say(t, "%s%u", i == 0 ? "" : ", ", g->w_signed ? 0 : 128 + draw(3));
	say(t, "},\n");
}

/* x -- Q -- DQ -- Conv (-- Q -- DQ) (-- Add) (-- Relu) (-- Q -- DQ) -- y */
static void say_conv(text *t, const geometry *g)
{
	uint32_t oh = (g->h + g->pads[0] + g->pads[2] - (g->kh - 1) * g->dh - 1) / g->sh + 1;
	uint32_t ow = (g->w + g->pads[1] + g->pads[3] - (g->kw - 1) * g->dw - 1) / g->sw + 1;

	say(t, "<ir_version: 8, opset_import: [\"\" : 17]>\ng (float[%u,%u,%u,%u] x", g->n, g->c, g->h, g->w);
	if (g->residual)
		say(t, ", float[%u,%u,%u,%u] r", g->n, g->k, oh, ow);
	say(t, ") => (float[%u,%u,%u,%u] y)\n<\n  ", g->n, g->k, oh, ow);
	say_params(t, "x", g->x_signed, g->ties ? 0.1f : 0.02f);
	say(t, ", ");
	say_params(t, "p", g->x_signed, g->ties ? 0.06f : 0.37f);
	say(t, ", ");
	say_params(t, "q", draw(2) != 0, g->ties ? 0.06f : 0.41f);
	say(t, ", ");
	say_params(t, "r", g->x_signed, 0.11f);
	say(t, ",\n");
	say_weights(t, g);
	say(t, "  float[%u] b = {", g->k);
	say_floats(t, g->k, -3, 3);
	say(t,
	    "}\n>\n{\n  xq = QuantizeLinear(x, x_s, x_z)\n  xd = DequantizeLinear(xq, x_s, x_z)\n"
	    "  wd = DequantizeLinear<axis = 0>(w, w_s, w_z)\n  v0 = Conv<strides = [%u, %u], dilations = [%u, %u], "
	    "group = %u, "
	    "pads = [%u, %u, %u, %u]>(xd, wd%s)\n",
	    g->sh, g->sw, g->dh, g->dw, g->groups, g->pads[0], g->pads[1], g->pads[2], g->pads[3],
	    g->float_bias ? ", b" : "");
	say(t, g->pair ? "  v1q = QuantizeLinear(v0, p_s, p_z)\n  v1 = DequantizeLinear(v1q, p_s, p_z)\n"
		       : "  v1 = Identity(v0)\n");
	if (g->residual == 1)
		say(t,
		    "  rq = QuantizeLinear(r, r_s, r_z)\n  rd = DequantizeLinear(rq, r_s, r_z)\n  v2 = Add(v1, rd)\n");
	else
		say(t, g->residual == 2 ? "  v2 = Add(v1, r)\n" : "  v2 = Identity(v1)\n");
	say(t, g->relu ? "  v3 = Relu(v2)\n" : "  v3 = Identity(v2)\n");
	say(t, g->to_float ? "  y = Identity(v3)\n}\n"
			   : "  v4 = QuantizeLinear(v3, q_s, q_z)\n  y = DequantizeLinear(v4, q_s, q_z)\n}\n");
}

void show_failed(const text *t)
{
	if (failed == 0 || getenv("SHOW") == NULL)
		return;
	fwrite(t->data, 1, t->size, stdout);
	exit(1);
}

static void random_convs(unsigned count)
{
	for (unsigned i = 0; i < count; i++) {
		geometry g;
		text t = {0};
		char what[32];

		state = i + 1;
		g = draw_geometry();
		say_conv(&t, &g);
		snprintf(what, sizeof what, "random region %u", i);
		run_text(t.data, t.size, what, 1, true);
		show_failed(&t);
		text_free(&t);
	}
}

/* Two products that share the codes of their weights, but not the zero points. */
static void shared_codes(void)
{
	static const char source[] =
	    "<ir_version: 8, opset_import: [\"\" : 17]>\ng (float[2,4] x) => (float[2,2] y, float[2,2] z)\n<\n"
	    "  float s = {0.02}, int8 x_z = {3}, uint8 a_z = {128}, uint8 b_z = {90},\n"
	    "  uint8[4,2] w = {1, 250, 128, 90, 0, 255, 40, 200}\n>\n{\n"
	    "  xq = QuantizeLinear(x, s, x_z)\n  xd = DequantizeLinear(xq, s, x_z)\n"
	    "  a = DequantizeLinear(w, s, a_z)\n  b = DequantizeLinear(w, s, b_z)\n"
	    "  y = MatMul(xd, a)\n  z = MatMul(xd, b)\n}\n";

	state = 9;
	run_text(source, sizeof source - 1, "weights shared, zero points not", 1, true);
}

/* Codes that the network gives, and a convolution reads: they are copied, when what they were made of is gone. */
static void codes_given(void)
{
	text t = {0};

	state = 11;
	say(&t, "<ir_version: 8, opset_import: [\"\" : 17]>\n"
		"g (float[2,8,9,9] x) => (int8[2,8,9,9] aq, float[2,8,9,9] y)\n<\n"
		"  float s = {0.02}, int8 z = {0}, int8[8,8,1,1] w = {");
	say_codes(&t, true, 64);
	say(&t, "}\n>\n{\n  xq = QuantizeLinear(x, s, z)\n  xd = DequantizeLinear(xq, s, z)\n"
		"  wd = DequantizeLinear(w, s, z)\n  a = Conv(xd, wd)\n  aq = QuantizeLinear(a, s, z)\n"
		"  ad = DequantizeLinear(aq, s, z)\n  b = Conv(ad, wd)\n  bq = QuantizeLinear(b, s, z)\n"
		"  y = DequantizeLinear(bq, s, z)\n}\n");
	run_text(t.data, t.size, "codes given and read", 1, true);
	text_free(&t);
}

/* The first layer behind a float that the network makes: nothing may be stored over it before all of it is read. */
static void float_in_front(void)
{
	text t = {0};

	state = 5;
	say(&t, "<ir_version: 8, opset_import: [\"\" : 17]>\ng (float[2,3,24,24] x) => (float[2,8,23,23] y)\n<\n"
		"  float s = {0.01}, int8 z = {0}, float u = {0.05},\n  int8[8,3,3,3] w = {");
	say_codes(&t, true, 8 * 3 * 3 * 3);
	say(&t, "}\n>\n{\n  f = Sigmoid(x)\n  fq = QuantizeLinear(f, s, z)\n  fd = DequantizeLinear(fq, s, z)\n"
		"  wd = DequantizeLinear(w, s, z)\n  v = Conv<pads = [1, 1, 1, 1]>(fd, wd)\n"
		"  q = QuantizeLinear(v, u, z)\n  d = DequantizeLinear(q, u, z)\n  y = MaxPool<kernel_shape = [2, "
		"2]>(d)\n}\n");
	run_text(t.data, t.size, "a float in front of the first layer", 1, true);
	text_free(&t);
}

/* ---- memory that runs out ---- */

typedef struct budget {
	uint64_t asked, fails_at;
	size_t bytes;
} budget;

static void *allocate(void *user, void *ptr, size_t old_size, size_t new_size)
{
	budget *b = user;
	void *made;

	if (new_size == 0) {
		b->bytes -= old_size;
		free(ptr);
		return NULL;
	}
	if (++b->asked == b->fails_at)
		return NULL;
	made = realloc(ptr, new_size);
	if (made != NULL)
		b->bytes += new_size - (ptr != NULL ? old_size : 0);
	return made;
}

/* A session of a small model of its own context; the allocation that fails is one of the session's. */
static qdq_status run_with(budget *b, const char *source, size_t size, uint64_t fails_at)
{
	qdq_options o = {.version = QDQ_OPTIONS_VERSION, .alloc = allocate, .alloc_user = b};
	qdq_binding in[2] = {{0}};
	size_t filled = 0;
	text out = {0};
	qdq_ctx *ctx;
	qdq_model *m;
	qdq_status status = qdq_ctx_new(&ctx, &o);

	if (status != QDQ_OK)
		return status;
	status = qdq_load_memory(&m, ctx, source, size, "small.onnxtxt");
	if (status == QDQ_OK)
		status = qdq_optimize(m, NULL);
	while (status == QDQ_OK && filled < qdq_input_count(m) && filled < 2 &&
	       fill_input(qdq_input(m, filled), &in[filled], 2))
		filled++;
	b->fails_at = fails_at == 0 ? 0 : b->asked + fails_at;
	if (status == QDQ_OK)
		status = run_once(m, in, filled, NULL, 2, NULL, &out);
	b->fails_at = 0;
	for (size_t i = 0; i < filled; i++)
		free(in[i].data);
	text_free(&out);
	qdq_ctx_free(ctx);
	return status;
}

static void run_out_of_memory(void)
{
	qdq_status status = QDQ_ENOMEM;
	geometry g;
	text t = {0};

	state = 5;
	g = draw_geometry();
	say_conv(&t, &g);
	for (uint64_t k = 1; status == QDQ_ENOMEM && k < 10000; k++) {
		budget b = {0};

		status = run_with(&b, t.data, t.size, k);
		verdict(b.bytes == 0 && (status == QDQ_OK || status == QDQ_ENOMEM), "out of memory",
			"it leaks, or says something else");
	}
	verdict(status == QDQ_OK, "out of memory", "no run went through");
	text_free(&t);
}

/* ---- files ---- */

static void run_file(const char *path)
{
	static const int64_t batches[] = {1, 3, 8, 128};
	text source = {0};

	for (size_t i = 0; i < (device != NULL ? 4 : 2); i++) {
		qdq_options o = {.version = QDQ_OPTIONS_VERSION};
		qdq_ctx *ctx;
		qdq_model *m;

		if (i >= 2 && evaluated)
			return;
		state = 7;
		if (qdq_ctx_new(&ctx, &o) != QDQ_OK)
			return;
		if (qdq_load_file(&m, ctx, path) == QDQ_OK)
			(void)run_model(m, path, batches[i], strstr(path, "/models/") != NULL && i == 0);
		qdq_ctx_free(ctx);
	}
	text_free(&source);
}

/* The device stays open between sessions, which saves each of them a tenth of a second. */
static void keep_device(void)
{
	static qdq_driver driver;
	CUcontext context;

	if (device != NULL && qdq_driver_open(&driver) == NULL && driver.init(0) == 0)
		(void)driver.context_retain(&context, 0);
}

int main(int argc, char **argv)
{
	bool few = false;
	int first = 1;

	for (; first < argc && argv[first][0] == '-'; first++) {
		if (strncmp(argv[first], "--device=", 9) == 0)
			device = argv[first] + 9;
		few = few || strcmp(argv[first], "--few") == 0; /* under slow tools */
	}
	keep_device();
	shared_codes();
	float_in_front();
	wide_geometries();
	codes_given();
	not_numbers();
	random_convs(few ? 12 : device != NULL ? 150 : 300);
	spread_over_results();
	random_transposed(few ? 6 : device != NULL ? 40 : 100);
	random_products(few ? 4 : device != NULL ? 40 : 80);
	random_regions(few ? 12 : device != NULL ? 150 : 300);
	if (device == NULL) {
		product_of_ties(false);
		product_of_ties(true);
		cancelled_bias();
		cancelled_terms();
		ties_of_concat();
		run_out_of_memory();
		products_of_floats(few ? 20 : 200);
	}
	for (int i = first; i < argc; i++) {
		each_file(argv[i], ".onnx", run_file);
		each_file(argv[i], ".onnxtxt", run_file);
	}
	printf("%d passed, %d failed\n", passed, failed);
	return failed != 0;
}

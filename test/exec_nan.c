/* SPDX-License-Identifier: Apache-2.0
 *
 * exec_nan.c -- floats that are no numbers, and constant codes, in fused operators: each gives what the evaluator makes of its nodes
 *
 * NaN goes through everything that clamps and compares; a Q makes the lowest code of it. Beside them, constant codes with a
 * zero point that an operator moves, fills up or interpolates between DQ and Q.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "exec.h"

enum { IMAGES = 2, CHANNELS = 20, SIDE = 5, COUNT = IMAGES * CHANNELS * SIDE * SIDE };

#define OF_CONSTANTS(op)                         \
	"d = DequantizeLinear(u, s, z)  a = " op \
	"  b = QuantizeLinear(a, s, z)  e = DequantizeLinear(b, s, z)  v = Add(e, x)"

/* Of x and w, floats, codes c and constant codes k and u. */
static const char *const bodies[] = {
    "v = Relu(x)",
    "v = Clip(x, low, high)",
    "v = Clip(x, low)",
    "v = Max(x, w)",
    "v = Max(w, x)",
    "v = Min(x, w)",
    "v = Min(w, x)",
    "v = Max(x, low)",
    "v = Min(low, x)",
    "v = HardSigmoid(x)",
    "v = HardSwish(x)",
    "v = LeakyRelu(x)",
    "v = Elu(x)",
    "v = Softplus(x)",
    "v = Mish(x)",
    "a = Add(x, w)  v = Relu(a)",
    "a = Relu(x)  b = Mul(a, w)  v = Clip(b, low, high)",
    "d = DequantizeLinear(c, s, z)  a = Add(d, x)  v = Relu(a)",
    "d = DequantizeLinear(c, s, z)  e = DequantizeLinear(k, s, zero)  m = Conv(d, e)  a = Add(m, x)  v = Relu(a)",
    "d = DequantizeLinear(c, s, z)  e = DequantizeLinear(k, s, zero)  m = Conv(d, e)  a = Add(m, x)  v = Clip(a, low, "
    "high)",
    OF_CONSTANTS("CenterCropPad(d, shape)"),
    OF_CONSTANTS("Pad(d, pads)"),
    OF_CONSTANTS("Pad<mode = \"edge\">(d, pads)"),
    OF_CONSTANTS("Resize<mode = \"linear\">(d, , , shape)"),
    OF_CONSTANTS("Resize<mode = \"nearest\">(d, , , shape)"),
};

/* A fused operator that gives floats, codes, or both. */
static void say_network(text *t, const char *body, int outputs)
{
	static const char *const results[] = {"", "(y)", "(q)", "(y, q)"};
	static const char ports[] = "x, w, c, k, s, z, zero, low, high, p, n, u, shape, pads";
	bool floats = outputs & 1, codes = outputs & 2;

	say(t,
	    "<ir_version: 10, opset_import: [\"\" : 20, \"qdqopt\" : 1]>\n"
	    "g (float[%d,%d,%d,%d] x, float[%d,%d,%d,%d] w, int8[%d,%d,%d,%d] c) => (%s%s%s)\n<\n"
	    "  float s = {0.05}, int8 z = {7}, int8 zero = {0}, float low = {-0.5}, float high = {3}, float p = {0.1}, "
	    "int8 n = {-20},\n  int8[%d,%d,1,1] k = {",
	    IMAGES, CHANNELS, SIDE, SIDE, IMAGES, CHANNELS, SIDE, SIDE, IMAGES, CHANNELS, SIDE, SIDE,
	    floats ? "float[A,B,C,D] y" : "", floats && codes ? ", " : "", codes ? "int8[A,B,C,D] q" : "", CHANNELS,
	    CHANNELS);
	for (int i = 0; i < CHANNELS * CHANNELS; i++)
		say(t, "%s%d", i == 0 ? "" : ", ", (int)draw(256) - 128);
	say(t,
	    "},\n  int64[4] shape = {%d, %d, %d, %d}, int64[8] pads = {0, 0, 1, 1, 0, 0, 2, 2}, int8[%d,%d,2,2] u = {",
	    IMAGES, CHANNELS, SIDE, SIDE, IMAGES, CHANNELS);
	for (int i = 0; i < IMAGES * CHANNELS * 4; i++)
		say(t, "%s%d", i == 0 ? "" : ", ", (int)draw(256) - 128);
	say(t, "}\n>\n{\n  %s%s%s = qdqopt.QEltwise_1(%s)\n}\n", floats ? "y" : "", floats && codes ? ", " : "",
	    codes ? "q" : "", ports);
	say(t, "<domain: \"qdqopt\", opset_import: [\"\" : 20]>\nQEltwise_1 (%s) => %s\n{\n  %s\n%s%s}\n", ports,
	    results[outputs], body, floats ? "  y = Identity(v)\n" : "",
	    codes ? "  q = QuantizeLinear(v, p, n)\n" : "");
}

/* ---- inputs ---- */

static void fill(float *x, int8_t *codes)
{
	static const float odd[] = {NAN, INFINITY, -INFINITY, -0.0F, 1e30F, 1e-42F};

	for (int i = 0; i < COUNT; i++) {
		x[i] = draw(3) == 0 ? odd[draw(6)] : draw_float(-4, 4);
		codes[i] = (int8_t)((int)draw(256) - 128);
	}
}

static qdq_binding binding(const char *name, qdq_type type, void *data, size_t size)
{
	return (qdq_binding){
	    .name = name, .type = type, .rank = 4, .dims = {IMAGES, CHANNELS, SIDE, SIDE}, .data = data, .size = size};
}

/* ---- comparing ---- */

typedef struct evaluation {
	qdq_model *m;
	const qdq_binding *in;
	const qdq_tensor *outputs[2];
	qdq_arena arena;
	qdq_eval_result result;
} evaluation;

static void evaluate(void *arg)
{
	evaluation *e = arg;
	const qdq_tensor *inputs[3];

	for (int i = 0; i < 3; i++) {
		qdq_tensor *t = qdq_tensor_new(e->m, e->in[i].type, 4, e->in[i].dims);

		memcpy((void *)(uintptr_t)t->data, e->in[i].data, e->in[i].size);
		inputs[i] = t;
	}
	e->result = qdq_eval_graph(e->m, e->m->graph, &e->arena, inputs, e->outputs, NULL);
}

static bool same_number(float got, float expected)
{
	if (isnan(got) || isnan(expected))
		return isnan(got) && isnan(expected);
	return got == expected || fabsf(got - expected) <= 1e-4F * fmaxf(1, fabsf(expected));
}

/* Floats that are the same but for the last bits; codes a step apart at most, and none of them of what is no number. */
static bool same_tensor(const qdq_tensor *expected, const char *got)
{
	for (uint64_t i = 0; i < expected->count; i++) {
		int code = ((const int8_t *)expected->data)[i], by = (int8_t)got[i] - code;
		float a, b;

		if (expected->type == QDQ_TYPE_INT8) {
			if (by < -1 || by > 1 || (code == -128 && by != 0))
				return false;
			continue;
		}
		memcpy(&a, got + 4 * i, 4);
		memcpy(&b, (const char *)expected->data + 4 * i, 4);
		if (!same_number(a, b))
			return false;
	}
	return true;
}

static void compare(qdq_model *m, const qdq_binding *in, const char *what)
{
	evaluation e = {.m = m, .in = in};
	text out = {0};
	size_t at = 0;
	bool good;

	qdq_arena_init(&e.arena, m->ctx);
	good = run_once(m, in, 3, NULL, 2, NULL, &out) == QDQ_OK && qdq_guard(m->ctx, evaluate, &e) == QDQ_OK &&
	       e.result == QDQ_EVAL_OK;
	verdict(good, what, "it does not run");
	for (size_t i = 0; good && i < m->graph->outputs.count; i++) {
		verdict(same_tensor(e.outputs[i], out.data + at), what, "it gives something else than its nodes");
		at += (size_t)e.outputs[i]->size;
	}
	if (good)
		compare_all(m, in, 3, &out, what);
	qdq_arena_free(&e.arena);
	text_free(&out);
}

void not_numbers(void)
{
	float x[COUNT], w[COUNT];
	int8_t codes[COUNT];
	qdq_binding in[3] = {binding("x", QDQ_TYPE_FLOAT, x, sizeof x), binding("w", QDQ_TYPE_FLOAT, w, sizeof w),
			     binding("c", QDQ_TYPE_INT8, codes, sizeof codes)};

	for (size_t i = 0; i < 3 * sizeof bodies / sizeof *bodies; i++) {
		text t = {0};
		qdq_ctx *ctx;
		qdq_model *m;

		state = 95000 + i;
		fill(x, codes);
		fill(w, codes);
		say_network(&t, bodies[i / 3], 1 + (int)(i % 3));
		if (qdq_ctx_new(&ctx, NULL) != QDQ_OK)
			return;
		if (qdq_load_memory(&m, ctx, t.data, t.size, "nan.onnxtxt") == QDQ_OK)
			compare(m, in, bodies[i / 3]);
		else
			verdict(false, bodies[i / 3], "it does not load");
		show_failed(&t);
		qdq_ctx_free(ctx);
		text_free(&t);
	}
}

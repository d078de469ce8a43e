/* SPDX-License-Identifier: Apache-2.0
 *
 * exec_ties.c -- numbers at and near ties: on which side they are rounded, and what is said about it
 */
#include "exec.h"

enum { ROWS = 64, DEPTH = 12, COLUMNS = 24 }; /* of the products */

typedef struct ties {
	unsigned differences, wrong;
	unsigned early; /* caused by the first of two roundings */
} ties;

/* The model t, whose input is x; t is freed. */
static void run_judged(text *t, float *x, void (*judge)(void *user, const qdq_difference *d), ties *found,
		       const char *what)
{
	qdq_binding in = {.name = "x",
			  .type = QDQ_TYPE_FLOAT,
			  .rank = 2,
			  .dims = {ROWS, DEPTH},
			  .data = x,
			  .size = ROWS * DEPTH * sizeof *x};
	qdq_session_options o = {.version = QDQ_SESSION_OPTIONS_VERSION, .check = judge, .user = found};
	text out = {0};
	qdq_ctx *ctx;
	qdq_model *m;

	if (qdq_ctx_new(&ctx, NULL) != QDQ_OK) {
		verdict(false, what, "no context");
		return;
	}
	verdict(qdq_load_memory(&m, ctx, t->data, t->size, "ties.onnxtxt") == QDQ_OK &&
		    qdq_optimize(m, NULL) == QDQ_OK && run_with_options(m, &in, 1, &o, &out) == QDQ_OK,
		what, "it does not run");
	qdq_ctx_free(ctx);
	text_free(t);
	text_free(&out);
}

/* The accumulator and what follows from it are those of this element. */
static void judge_tie(void *user, const qdq_difference *d)
{
	ties *t = user;
	double value = d->value - 0.5 * d->accumulator, step = d->rounding_got - d->rounding_expected;

	t->differences++;
	if (d->rounding == NULL || !d->has_accumulator || !(value < 1e-4 && value > -1e-4) ||
	    (step != 1 && step != -1) || !(d->tie >= 0 && d->tie <= 1e-5))
		t->wrong++;
	else
		t->early += strcmp(d->rounding, d->tensor) != 0;
}

/* A product whose accumulators are halves of a step: x -- Q -- DQ -- MatMul (-- Q -- DQ) -- Q -- DQ -- y */
void product_of_ties(bool pair)
{
	text t = {0};
	float x[ROWS * DEPTH];
	ties found = {0};

	state = 3;
	say(&t,
	    "<ir_version: 8, opset_import: [\"\" : 17]>\ng (float[%d,%d] x) => (float[%d,%d] y)\n<\n"
	    "  float x_s = {0.1}, int8 x_z = {3}, float w_s = {0.3}, int8 w_z = {0}, float p_s = {0.06}, int8 p_z = "
	    "{-7},\n"
	    "  float q_s = {%s}, uint8 q_z = {120}, int8[%d,%d] w = {",
	    ROWS, DEPTH, ROWS, COLUMNS, pair ? "0.05" : "0.06", DEPTH, COLUMNS);
	for (int i = 0; i < DEPTH * COLUMNS; i++)
		say(&t, "%s%d", i == 0 ? "" : ", ", (int)draw(7) - 3);
	say(&t,
	    "}\n>\n{\n  xq = QuantizeLinear(x, x_s, x_z)\n  xd = DequantizeLinear(xq, x_s, x_z)\n"
	    "  wd = DequantizeLinear(w, w_s, w_z)\n  v = MatMul(xd, wd)\n%s"
	    "  q = QuantizeLinear(%s, q_s, q_z)\n  y = DequantizeLinear(q, q_s, q_z)\n}\n",
	    pair ? "  p = QuantizeLinear(v, p_s, p_z)\n  pd = DequantizeLinear(p, p_s, p_z)\n" : "", pair ? "pd" : "v");
	for (int i = 0; i < ROWS * DEPTH; i++)
		x[i] = 0.1f * (float)((int)draw(11) - 5);
	run_judged(&t, x, judge_tie, &found, "ties");
	verdict(found.differences != 0 && found.wrong == 0, "ties",
		"none differs, or one for another reason than its accumulator");
	verdict(pair ? found.early != 0 : found.early == 0, "ties", "another rounding is named");
}

/* ---- a bias of 9,000 steps that the sums cancel ---- */

static void judge_cancelled(void *user, const qdq_difference *d)
{
	ties *t = user;

	t->differences++;
	t->wrong += !(d->rounding != NULL && (d->is_exact || d->tie <= 1e-5));
}

/* x -- Q -- DQ -- Gemm(b) -- Q -- DQ -- y, where b is half a step and what float32 makes of it from a tie */
void cancelled_bias(void)
{
	text t = {0};
	float x[ROWS * DEPTH];
	const double cancelled = 120 * 127 * (double)0.1f * (double)0.3f;
	ties found = {0};

	state = 4;
	say(&t,
	    "<ir_version: 8, opset_import: [\"\" : 17]>\ng (float[%d,%d] x) => (float[%d,%d] y)\n<\n"
	    "  float x_s = {0.1}, int8 x_z = {0}, float w_s = {0.3}, int8 w_z = {0}, float q_s = {0.05}, uint8 q_z = "
	    "{120},\n  float[%d] b = {",
	    ROWS, DEPTH, ROWS, COLUMNS, COLUMNS);
	for (int i = 0; i < COLUMNS; i++)
		say(&t, "%s%.9g", i == 0 ? "" : ", ", (double)(float)((0.5 + i) * (double)0.05f - cancelled));
	say(&t, "},\n  int8[%d,%d] w = {", DEPTH, COLUMNS);
	for (int i = 0; i < DEPTH * COLUMNS; i++)
		say(&t, "%s%d", i == 0 ? "" : ", ", i < COLUMNS ? 127 : (int)draw(7) - 3);
	say(&t, "}\n>\n{\n  xq = QuantizeLinear(x, x_s, x_z)\n  xd = DequantizeLinear(xq, x_s, x_z)\n"
		"  wd = DequantizeLinear(w, w_s, w_z)\n  v = Gemm(xd, wd, b)\n"
		"  q = QuantizeLinear(v, q_s, q_z)\n  y = DequantizeLinear(q, q_s, q_z)\n}\n");
	for (int i = 0; i < ROWS * DEPTH; i++)
		x[i] = i % DEPTH == 0 ? 12.0f : 0.1f * (float)((int)draw(11) - 5);
	run_judged(&t, x, judge_cancelled, &found, "a cancelled bias");
	verdict(found.wrong == 0, "a cancelled bias", "it is rounded by its own size");
}

/* ---- terms that cancel each other ---- */

static void judge_float(void *user, const qdq_difference *d)
{
	ties *t = user;

	t->differences++;
	t->wrong += !(d->rounding == NULL && d->is_exact && d->has_accumulator);
}

/* x -- Q -- DQ -- MatMul -- y, where terms of 457 leave sums of 1: float32 numbers of DQs are off by more than a float
 * that is right to a hundred thousandth */
void cancelled_terms(void)
{
	text t = {0};
	float x[ROWS * DEPTH];
	ties found = {0};

	state = 6;
	say(&t,
	    "<ir_version: 8, opset_import: [\"\" : 17]>\ng (float[%d,%d] x) => (float[%d,%d] y)\n<\n"
	    "  float x_s = {0.1}, int8 x_z = {0}, float w_s = {0.3}, int8 w_z = {0}, int8[%d,%d] w = {",
	    ROWS, DEPTH, ROWS, COLUMNS, DEPTH, COLUMNS);
	for (int i = 0; i < DEPTH * COLUMNS; i++)
		say(&t, "%s%d", i == 0 ? "" : ", ", i < COLUMNS ? 127 : i < 2 * COLUMNS ? -120 : (int)draw(7) - 3);
	say(&t, "}\n>\n{\n  xq = QuantizeLinear(x, x_s, x_z)\n  xd = DequantizeLinear(xq, x_s, x_z)\n"
		"  wd = DequantizeLinear(w, w_s, w_z)\n  y = MatMul(xd, wd)\n}\n");
	for (int i = 0; i < ROWS * DEPTH; i++)
		x[i] = i % DEPTH == 0 ? 12.0f : i % DEPTH == 1 ? 12.7f : 0.1f * (float)((int)draw(3) - 1);
	run_judged(&t, x, judge_float, &found, "cancelled terms");
	verdict(found.differences != 0 && found.wrong == 0, "cancelled terms",
		"none differs, or one that is not what its codes mean");
}

/* ---- two Qs behind a Concat ---- */

/* x -- Q -- DQ --.
 * x -- Q -- DQ --+-- Concat --+-- Q -- DQ -- y     every other code of the second part is a tie for z, and the unit of the
 *                             '-- Q -- DQ -- z     kernel is y's scale, so that float32 is off by a little there */
void ties_of_concat(void)
{
	text t = {0};
	float x[ROWS * DEPTH];
	ties found = {0};

	state = 5;
	say(&t,
	    "<ir_version: 8, opset_import: [\"\" : 17]>\n"
	    "g (float[%d,%d] x) => (float[%d,%d] y, float[%d,%d] z)\n<\n"
	    "  float a_s = {0.3}, int8 a_z = {5}, float b_s = {0.00390625}, int8 b_z = {0}, float y_s = {0.01676455},\n"
	    "  uint8 y_z = {164}, float z_s = {0.0078125}, uint8 z_z = {100}\n>\n{\n",
	    ROWS, DEPTH, ROWS, 2 * DEPTH, ROWS, 2 * DEPTH);
	say(&t, "  aq = QuantizeLinear(x, a_s, a_z)\n  ad = DequantizeLinear(aq, a_s, a_z)\n"
		"  bq = QuantizeLinear(x, b_s, b_z)\n  bd = DequantizeLinear(bq, b_s, b_z)\n"
		"  v = Concat<axis = 1>(ad, bd)\n"
		"  yq = QuantizeLinear(v, y_s, y_z)\n  y = DequantizeLinear(yq, y_s, y_z)\n"
		"  zq = QuantizeLinear(v, z_s, z_z)\n  z = DequantizeLinear(zq, z_s, z_z)\n}\n");
	for (int i = 0; i < ROWS * DEPTH; i++)
		x[i] = 0.00390625f * (float)((int)draw(255) - 127);
	run_judged(&t, x, judge_cancelled, &found, "a Concat");
	verdict(found.differences != 0 && found.wrong == 0, "a Concat",
		"none differs, or one that is not at a tie of its own part");
}

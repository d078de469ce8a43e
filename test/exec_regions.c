/* SPDX-License-Identifier: Apache-2.0
 *
 * exec_regions.c -- random fused operators as a file has them: an anchor, and behind it any graph of pointwise operators
 *
 *      x --- DQ --.
 *      w --- DQ --+-- Conv --+-- Sigmoid --.                (or a load of codes or floats, or a pool)
 *                            `-------------+-- Mul -- Q -- y
 *
 * Written as functions of the domain qdqopt, so that they do not depend on what the passes fuse. Some operators no kernel
 * knows: then the region is split, and must still mean the same.
 */
#include <stdio.h>
#include <stdlib.h>

#include "exec.h"

enum { NUMBERS = 8, STEPS = 8, UNKNOWN = 5 };

typedef struct region {
	text body;
	uint32_t n, c, k, h, w;
	uint32_t values; /* v0, v1 …: of the result's shape */
	bool is_signed[4];
} region;

/* The last ones no kernel knows. */
static const char *const unary[] = {
    "Sigmoid(%s)",
    "Tanh(%s)",
    "Relu(%s)",
    "HardSigmoid<alpha = 0.2, beta = 0.4>(%s)",
    "HardSwish(%s)",
    "LeakyRelu<alpha = 0.1>(%s)",
    "LeakyRelu<alpha = 1.3>(%s)",
    "Elu<alpha = 0.8>(%s)",
    "Erf(%s)",
    "Mish(%s)",
    "Gelu(%s)",
    "Gelu<approximate = \"tanh\">(%s)",
    "Abs(%s)",
    "Neg(%s)",
    "Softplus(%s)",
    "Sin(%s)",
    "Softsign(%s)",
    "Cos(%s)",
    "Softmax<axis = 1>(%s)",
    "Transpose<perm = [0, 1, 2, 3]>(%s)",
};

/* ---- the body ---- */

static void add_unary(region *r, const char *v)
{
	uint32_t kinds = sizeof unary / sizeof *unary - (draw(3) == 0 ? 0 : UNKNOWN);
	char line[80];

	snprintf(line, sizeof line, unary[draw(kinds)], v);
	say(&r->body, "  v%u = %s\n", r->values, line);
}

static void add_binary(region *r, const char *v)
{
	static const char *const of_two[] = {"Add", "Sub", "Mul", "Max", "Min"};
	static const char *const with_number[] = {"Add", "Sub", "Mul", "Div", "PRelu"};
	uint32_t kind = draw(4);

	if (kind == 0)
		say(&r->body, "  v%u = %s(%s, v%u)\n", r->values, of_two[draw(5)], v, draw(r->values));
	else if (kind == 1)
		say(&r->body, "  v%u = %s(k%u, %s)\n", r->values, with_number[draw(3)], draw(NUMBERS), v);
	else
		say(&r->body, "  v%u = %s(%s, %c%u)\n", r->values, with_number[draw(5)], v, "kc"[draw(2)],
		    draw(NUMBERS));
}

static void add_step(region *r)
{
	char v[16];
	uint32_t q = draw(3);

	snprintf(v, sizeof v, "v%u", draw(3) == 0 ? draw(r->values) : r->values - 1);
	switch (draw(8)) {
	case 0:
	case 1:
		say(&r->body, "  p%u = QuantizeLinear(%s, q%u, z%u)\n  v%u = DequantizeLinear(p%u, q%u, z%u)\n",
		    r->values, v, q, q, r->values, r->values, q, q);
		break;
	case 2:
		say(&r->body, "  v%u = Clip(%s, low, k%u)\n", r->values, v, draw(NUMBERS));
		break;
	case 3:
	case 4:
		add_binary(r, v);
		break;
	default:
		add_unary(r, v);
	}
	r->values++;
}

/* Another tensor: of the same shape, or one number for each channel of an image; codes or floats. */
static void add_other(region *r)
{
	static const char *const names[] = {"o", "oc", "g", "gc"};
	uint32_t kind = draw(6);

	if (kind >= 4)
		return;
	if (kind < 2)
		say(&r->body, "  od = DequantizeLinear(%s, x_s, x_z)\n", names[kind]);
	say(&r->body, "  v%u = %s(v%u, %s)\n", r->values, draw(2) != 0 ? "Add" : "Mul", r->values - 1,
	    kind < 2 ? "od" : names[kind]);
	r->values++;
}

static void add_anchor(region *r, uint32_t kind)
{
	static const char *const anchors[] = {
	    "  wd = DequantizeLinear<axis = 0>(w, w_s)\n  v0 = Conv(xd, wd)\n",
	    "  v0 = Identity(xd)\n",
	    "  v0 = Relu(f)\n",
	    "  v0 = AveragePool<kernel_shape = [3, 3], pads = [1, 1, 1, 1]>(xd)\n",
	};

	if (kind == 1)
		say(&r->body, "  v0 = DequantizeLinear(x, x_s, x_z)\n");
	else if (kind == 2)
		say(&r->body, "%s", anchors[2]);
	else
		say(&r->body, "  xd = DequantizeLinear(x, x_s, x_z)\n%s", anchors[kind]);
	r->values = 1;
}

/* ---- the file ---- */

static void say_list(text *t, uint32_t count, float low, float high)
{
	for (uint32_t i = 0; i < count; i++)
		say(t, "%s%.9g", i == 0 ? "" : ", ", (double)draw_float(low, high));
	say(t, "}");
}

static void say_constants(text *t, region *r)
{
	say(t, "  float x_s = {0.03}, int8 x_z = {%d}, float low = {-2.5}, float[%u] w_s = {", (int)draw(100) - 50,
	    r->k);
	say_list(t, r->k, 0.001F, 0.01F);
	say(t, ",\n  int8[%u,%u,1,1] w = {", r->k, r->c);
	for (uint32_t i = 0; i < r->k * r->c; i++)
		say(t, "%s%d", i == 0 ? "" : ", ", (int)draw(256) - 128);
	say(t, "}");
	for (uint32_t i = 0; i < NUMBERS; i++) {
		say(t, ",\n  float k%u = {", i);
		say_list(t, 1, i < 4 ? -1 : 0.6F, 1.4F);
		say(t, ", float[%u,1,1] c%u = {", r->k, i);
		say_list(t, r->k, 0.6F, 1.4F);
	}
	for (uint32_t i = 0; i < 4; i++) {
		r->is_signed[i] = draw(2) != 0;
		say(t, ",\n  float q%u = {%.9g}, %s z%u = {%d}", i, (double)draw_float(0.01F, 0.06F),
		    r->is_signed[i] ? "int8" : "uint8", i, (int)draw(100) - (r->is_signed[i] ? 50 : 0));
	}
}

static void say_region(text *t, region *r)
{
	static const char ports[] = "x, x_s, x_z, w, w_s, f, o, oc, g, gc, low, k0, k1, k2, k3, k4, k5, k6, k7, c0, "
				    "c1, c2, c3, c4, c5, c6, c7, "
				    "q0, z0, q1, z1, q2, z2, q3, z3";
	uint32_t kind = draw(4), steps = 1 + draw(STEPS);
	bool codes = draw(4) != 0, second = draw(3) == 0;
	text head = {0};

	*r = (region){.n = 1 + draw(3), .c = 1 + draw(40), .h = 1 + draw(7), .w = 1 + draw(9)};
	r->k = kind == 0 ? 1 + draw(40) : r->c;
	say_constants(&head, r);
	add_anchor(r, kind);
	for (uint32_t i = 0; i < steps; i++) {
		if (i == steps / 2)
			add_other(r);
		add_step(r);
	}
	say(&r->body, codes ? "  y = QuantizeLinear(v%u, q3, z3)\n" : "  y = Neg(v%u)\n", r->values - 1);
	if (second)
		say(&r->body, "  z = QuantizeLinear(v%u, q3, z3)\n", draw(r->values));
	say(t,
	    "<ir_version: 10, opset_import: [\"\" : 20, \"qdqopt\" : 1]>\ng (float[%u,%u,%u,%u] xf, float[%u,%u,%u,%u] "
	    "f, "
	    "float[%u,%u,%u,%u] g, float[%u,%u,1,1] gc) => (%s[%u,%u,%u,%u] y",
	    r->n, r->c, r->h, r->w, r->n, r->k, r->h, r->w, r->n, r->k, r->h, r->w, r->n, r->k,
	    codes ? (r->is_signed[3] ? "int8" : "uint8") : "float", r->n, r->k, r->h, r->w);
	if (second)
		say(t, ", %s[%u,%u,%u,%u] z", r->is_signed[3] ? "int8" : "uint8", r->n, r->k, r->h, r->w);
	say(t,
	    ")\n<\n%.*s\n>\n{\n  x = QuantizeLinear(xf, x_s, x_z)\n  o = QuantizeLinear(g, x_s, x_z)\n"
	    "  oc = QuantizeLinear(gc, x_s, x_z)\n  y%s = qdqopt.QConv_1(%s)\n}\n",
	    (int)head.size, head.data, second ? ", z" : "", ports);
	say(t, "<domain: \"qdqopt\", opset_import: [\"\" : 20]>\nQConv_1 (%s) => (y%s)\n{\n%.*s}\n", ports,
	    second ? ", z" : "", (int)r->body.size, r->body.data);
	text_free(&head);
	text_free(&r->body);
}

/* So many networks, each of its own seed. */
static void run_random(unsigned count, unsigned seed, const char *name, void (*say_one)(text *t))
{
	for (unsigned i = 0; i < count; i++) {
		text t = {0};
		char what[48];

		state = seed + i;
		say_one(&t);
		snprintf(what, sizeof what, "%s %u", name, i);
		run_text(t.data, t.size, what, 1, true);
		show_failed(&t);
		text_free(&t);
	}
}

static void say_any_region(text *t)
{
	region r;

	say_region(t, &r);
}

void random_regions(unsigned count)
{
	run_random(count, 90000, "random fused operator", say_any_region);
}

/* What the first node gives is smaller than the result: it is spread over it by a later one. */
void spread_over_results(void)
{
	static const char *const bodies[] = {
	    "  m = ReduceMean<axes = [-1]>(x)\n  y = Sub(x, m)\n",
	    "  e = DequantizeLinear(b, s, z)\n  m = Mul(d, e)\n  y = Sub(x, m)\n",
	    "  m = GlobalAveragePool(x)\n  v = Mul(m, d)\n  y = Sub(v, x)\n",
	};

	for (size_t i = 0; i < sizeof bodies / sizeof *bodies; i++) {
		text t = {0};

		state = 91000 + (unsigned)i;
		say(&t,
		    "<ir_version: 8, opset_import: [\"\" : 17, \"qdqopt\" : 1]>\n"
		    "g (int8[2,3,8] q, int8[2,3,1] a, int8[2,3,1] b) => (float[2,3,8] y)\n"
		    "<float s = {0.03125}, int8 z = {2}>\n{\n  y = qdqopt.QEltwise_1(q, a, b, s, z)\n}\n"
		    "<domain: \"qdqopt\", opset_import: [\"\" : 17]>\nQEltwise_1 (q, a, b, s, z) => (y)\n{\n"
		    "  x = DequantizeLinear(q, s, z)\n  d = DequantizeLinear(a, s, z)\n%s}\n",
		    bodies[i]);
		run_text(t.data, t.size, "a small anchor", 1, true);
		show_failed(&t);
		text_free(&t);
	}
}

/* ---- products of three dimensions ---- */

/* x -- Q -- DQ -- MatMul -- Add -- f -- Q -- DQ -- MatMul -- Add -- Q -- DQ -- Add (of x's codes) -- y */
static void say_products(text *t)
{
	static const char *const between[] = {"Gelu(a1)", "Relu(a1)", "Sigmoid(a1)", "Identity(a1)", "Mul(a1, a1)"};
	uint32_t n = 1 + draw(3), rows = 1 + draw(20), c = draw(2) != 0 ? 16 * (1 + draw(4)) : 1 + draw(50),
		 k = 1 + draw(70);
	const char *type = draw(2) != 0 ? "int8" : "uint8";
	uint32_t k_of[2] = {k, c}, c_of[2] = {c, k};

	say(t,
	    "<ir_version: 10, opset_import: [\"\" : 20]>\ng (float[%u,%u,%u] x) => (float[%u,%u,%u] y)\n<\n  float s = "
	    "{0.03}, %s z = {%u}, float q = {0.02}",
	    n, rows, c, n, rows, c, type, draw(100));
	for (uint32_t i = 0; i < 2; i++) {
		say(t, ",\n  int8[%u,%u] w%u = {", c_of[i], k_of[i], i);
		for (uint32_t j = 0; j < c * k; j++)
			say(t, "%s%d", j == 0 ? "" : ", ", (int)draw(256) - 128);
		say(t, "}, float[%u] s%u = {", k_of[i], i);
		say_list(t, k_of[i], 0.001F, 0.01F);
		say(t, ", float[%u] b%u = {", k_of[i], i);
		say_list(t, k_of[i], -1, 1);
	}
	say(t,
	    "\n>\n{\n  xq = QuantizeLinear(x, s, z)\n  xd = DequantizeLinear(xq, s, z)\n"
	    "  d0 = DequantizeLinear<axis = 1>(w0, s0)\n  m0 = MatMul(xd, d0)\n  a1 = Add(m0, b0)\n  f = %s\n"
	    "  fq = QuantizeLinear(f, q, z)\n  fd = DequantizeLinear(fq, q, z)\n  d1 = DequantizeLinear<axis = 1>(w1, "
	    "s1)\n"
	    "  m1 = MatMul(fd, d1)\n  a2 = Add(b1, m1)\n%s  y = Add(a3, xd)\n}\n",
	    between[draw(5)],
	    draw(2) != 0 ? "  a3 = Neg(a2)\n" : "  aq = QuantizeLinear(a2, q, z)\n  a3 = DequantizeLinear(aq, q, z)\n");
}

void random_products(unsigned count)
{
	run_random(count, 70000, "product of three dimensions", say_products);
}

/* ---- transposed convolutions ---- */

static void say_transposed(text *t)
{
	geometry g = draw_geometry();
	uint32_t extra[2] = {draw(g.sh), draw(g.sw)}, scales = g.per_channel ? g.k : 1;
	bool dilated = draw(6) == 0, grouped = draw(6) == 0;

	g.groups = grouped ? g.groups : 1;
	say(t,
	    "<ir_version: 10, opset_import: [\"\" : 20]>\ng (float[%u,%u,%u,%u] x) => (float[%u,%u,Y,Z] y)\n<\n  float "
	    "s = "
	    "{0.03}, %s z = {%u}, float q = {0.2}, %s[%u,%u,%u,%u] w = {",
	    g.n, g.c, g.h, g.w, g.n, g.k, g.x_signed ? "int8" : "uint8", draw(100), g.w_signed ? "int8" : "uint8", g.c,
	    g.k / g.groups, g.kh, g.kw);
	for (uint32_t i = 0; i < g.c * (g.k / g.groups) * g.kh * g.kw; i++)
		say(t, "%s%d", i == 0 ? "" : ", ", (int)draw(256) - (g.w_signed ? 128 : 0));
	say(t, g.groups == 1 && g.per_channel ? "}, float[%u] ws = {" : "}, float ws = {", scales);
	say_list(t, g.groups == 1 ? scales : 1, 0.001F, 0.01F);
	say(t, g.groups == 1 && g.per_channel ? ", %s[%u] wz = {" : ", %s wz = {", g.w_signed ? "int8" : "uint8",
	    scales);
	for (uint32_t i = 0; i < (g.groups == 1 ? scales : 1); i++)
		say(t, "%s%u", i == 0 ? "" : ", ", g.w_signed ? 0 : 128 + draw(3));
	say(t, "}, float[%u] b = {", g.k);
	say_list(t, g.k, -1, 1);
	say(t,
	    "\n>\n{\n  xq = QuantizeLinear(x, s, z)\n  xd = DequantizeLinear(xq, s, z)\n"
	    "  wd = DequantizeLinear<axis = 1>(w, ws, wz)\n  v0 = ConvTranspose<strides = [%u, %u], dilations = [%u, "
	    "%u], "
	    "group = %u, pads = [%u, %u, %u, %u], output_padding = [%u, %u]>(xd, wd%s)\n%s"
	    "  yq = QuantizeLinear(v1, q, z)\n  y = DequantizeLinear(yq, q, z)\n}\n",
	    g.sh, g.sw, dilated ? g.dh : 1, dilated ? g.dw : 1, g.groups, g.pads[0] / 2, g.pads[1] / 2, g.pads[2] / 2,
	    g.pads[3] / 2, extra[0], extra[1], g.float_bias ? ", b" : "",
	    g.relu ? "  v1 = Relu(v0)\n" : "  v1 = Sigmoid(v0)\n");
}

void random_transposed(unsigned count)
{
	run_random(count, 50000, "transposed convolution", say_transposed);
}

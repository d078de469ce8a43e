/* SPDX-License-Identifier: Apache-2.0
 *
 * exec_products.c -- random contractions of floats beside lib/eval, which sums in double
 *
 * MatMul with broadcast batches and lists, Gemm with all its attributes, convolutions and transposed ones of any geometry.
 * Held to the bound of sums in float32: so many roundings as a sum has terms, each of 2^-24 of the sum of absolute values.
 */
#include <stdarg.h>
#include <stdlib.h>

#include "exec.h"

/* ---- drawing ---- */

typedef struct product {
	text source;
	int rank[3]; /* of the operands; 0: absent */
	int64_t dims[3][6];
	bool batched; /* the first dimension of the first operand is that of the result, and of nothing else */
	double terms; /* products in a sum, at most */
} product;

static void say_operand(text *t, const product *p, int i)
{
	say(t, "%sfloat[", i == 0 ? "" : ", ");
	for (int d = 0; d < p->rank[i]; d++)
		if (i == 0 && d == 0 && p->batched)
			say(t, "N");
		else
			say(t, "%s%lld", d == 0 ? "" : ",", (long long)p->dims[i][d]);
	say(t, "] %c", "abc"[i]);
}

static void set_dims(product *p, int i, int rank, ...)
{
	va_list args;

	va_start(args, rank);
	p->rank[i] = rank;
	for (int d = 0; d < rank; d++)
		p->dims[i][d] = va_arg(args, int);
	va_end(args);
}

static void draw_matmul(product *p)
{
	int m = 1 + (int)draw(40), k = 1 + (int)draw(600), n = 1 + (int)draw(150), batch = 1 + (int)draw(4);

	switch (draw(5)) {
	case 0:
		set_dims(p, 0, 2, m, k);
		set_dims(p, 1, 2, k, n);
		break;
	case 1:
		set_dims(p, 0, 4, batch, 1, m, k);
		set_dims(p, 1, 4, 1, 3, k, n);
		break;
	case 2:
		set_dims(p, 0, 3, batch, m, k);
		set_dims(p, 1, 2, k, n);
		break;
	case 3:
		set_dims(p, 0, 3, batch, m, k);
		set_dims(p, 1, 1, k);
		break;
	default:
		set_dims(p, 0, 1, k);
		set_dims(p, 1, 3, batch, k, n);
	}
	p->batched = p->rank[0] > 1;
	p->terms = k;
}

static void draw_gemm(product *p, text *attributes)
{
	int m = 1 + (int)draw(40), k = 1 + (int)draw(600), n = 1 + (int)draw(150);
	bool turn_a = draw(4) == 0, turn_b = draw(2) != 0;

	set_dims(p, 0, 2, turn_a ? k : m, turn_a ? m : k);
	set_dims(p, 1, 2, turn_b ? n : k, turn_b ? k : n);
	switch (draw(5)) {
	case 0:
		set_dims(p, 2, 1, n);
		break;
	case 1:
		set_dims(p, 2, 2, 1, n);
		break;
	case 2:
		set_dims(p, 2, 1, 1);
		break;
	case 3:
		set_dims(p, 2, 2, m, draw(2) != 0 ? 1 : n);
		break;
	default:
		break;
	}
	p->batched = !turn_a && !(p->rank[2] == 2 && p->dims[2][0] != 1);
	p->terms = k;
	say(attributes, "transA = %d, transB = %d, alpha = %.9g, beta = %.9g", turn_a, turn_b,
	    (double)draw_float(0.1F, 2), (double)draw_float(0.1F, 2));
}

static void draw_conv(product *p, text *attributes, bool transposed)
{
	geometry g = draw_geometry();
	int axes = draw(4) == 0 ? 1 : 2;
	uint32_t in = transposed ? g.c : g.k, each = transposed ? g.k / g.groups : g.c / g.groups;

	if (axes == 1) {
		set_dims(p, 0, 3, (int)g.n, (int)g.c, (int)g.h);
		set_dims(p, 1, 3, (int)in, (int)each, (int)g.kh);
		say(attributes, "strides = [%u], dilations = [%u], pads = [%u, %u], group = %u", g.sh, g.dh, g.pads[0],
		    g.pads[2], g.groups);
	} else {
		set_dims(p, 0, 4, (int)g.n, (int)g.c, (int)g.h, (int)g.w);
		set_dims(p, 1, 4, (int)in, (int)each, (int)g.kh, (int)g.kw);
		say(attributes, "strides = [%u, %u], dilations = [%u, %u], pads = [%u, %u, %u, %u], group = %u", g.sh,
		    g.sw, g.dh, g.dw, g.pads[0], g.pads[1], g.pads[2], g.pads[3], g.groups);
	}
	if (transposed && axes == 2 && draw(2) != 0)
		say(attributes, ", output_padding = [%u, %u]", draw(g.sh), draw(g.sw));
	if (draw(2) != 0)
		set_dims(p, 2, 1, (int)g.k);
	p->batched = true;
	p->terms = (double)(g.c * g.kh * g.kw);
}

static product draw_product(void)
{
	static const char *const names[] = {"MatMul", "Gemm", "Conv", "ConvTranspose"};
	uint32_t kind = draw(4);
	text attributes = {0};
	product p = {.batched = false};
	int rank;

	if (kind == 0)
		draw_matmul(&p);
	else if (kind == 1)
		draw_gemm(&p, &attributes);
	else
		draw_conv(&p, &attributes, kind == 3);
	say(&p.source, "<ir_version: 8, opset_import: [\"\" : 17]>\ng (");
	for (int i = 0; i < 3 && p.rank[i] != 0; i++)
		say_operand(&p.source, &p, i);
	rank = kind != 0			  ? p.rank[0]
	       : p.rank[0] == 1 || p.rank[1] == 1 ? p.rank[0] + p.rank[1] - 2
						  : (p.rank[0] > p.rank[1] ? p.rank[0] : p.rank[1]);
	say(&p.source, ") => (float[");
	for (int d = 0; d < rank; d++)
		say(&p.source, "%sY%d", d == 0 ? "" : ",", d);
	say(&p.source, "] y) { y = %s", names[kind]);
	if (attributes.size != 0)
		say(&p.source, "<%.*s>", (int)attributes.size, attributes.data);
	say(&p.source, "(a, b%s) }", p.rank[2] != 0 ? ", c" : "");
	text_free(&attributes);
	return p;
}

/* ---- running ---- */

/* What lib/eval gives: of the operands, or of their absolute values. */
static const qdq_tensor *reference(qdq_model *m, const qdq_binding *in, size_t n, bool absolute)
{
	qdq_arena *a = &m->ctx->arena;
	const qdq_tensor *given[3], *y = NULL;

	for (size_t i = 0; i < n; i++) {
		qdq_tensor *t = qdq_new(a, qdq_tensor);
		float *copy = qdq_alloc(a, in[i].size);

		for (size_t k = 0; k < in[i].size / sizeof *copy; k++)
			copy[k] = absolute ? fabsf(((const float *)in[i].data)[k]) : ((const float *)in[i].data)[k];
		*t = (qdq_tensor){.type = QDQ_TYPE_FLOAT,
				  .rank = in[i].rank,
				  .dims = in[i].dims,
				  .count = in[i].size / sizeof *copy,
				  .data = copy,
				  .size = in[i].size};
		given[i] = t;
	}
	return qdq_eval_graph(m, m->graph, a, given, &y, NULL) == QDQ_EVAL_OK ? y : NULL;
}

/* Every image alone gives the bytes that it gives among others. */
static void run_alone(qdq_model *m, const qdq_binding *in, size_t n, const text *all)
{
	int64_t images = in[0].dims[0];

	for (int64_t i = 0; i < images; i++) {
		qdq_binding one[3] = {in[0], n > 1 ? in[1] : in[0], n > 2 ? in[2] : in[0]};
		text out = {0};

		one[0].dims[0] = 1;
		one[0].size = in[0].size / (size_t)images;
		one[0].data = (char *)in[0].data + (size_t)i * one[0].size;
		verdict(run_once(m, one, n, NULL, 1, NULL, &out) == QDQ_OK && out.size == all->size / (size_t)images &&
			    memcmp(out.data, all->data + (size_t)i * out.size, out.size) == 0,
			"float contraction", "the batch changes its bits");
		text_free(&out);
	}
}

static void compare_product(qdq_model *m, const product *p)
{
	qdq_binding in[3];
	size_t n = qdq_input_count(m);
	text first = {0};
	const qdq_tensor *exact, *most;
	double worst = 0;

	for (size_t i = 0; i < n; i++) {
		in[i] =
		    (qdq_binding){.name = qdq_value_name(qdq_input(m, i)), .type = QDQ_TYPE_FLOAT, .rank = p->rank[i]};
		in[i].size = sizeof(float);
		for (int d = 0; d < p->rank[i]; d++) {
			in[i].dims[d] = p->dims[i][d];
			in[i].size *= (size_t)in[i].dims[d];
		}
		in[i].data = malloc(in[i].size);
		for (size_t k = 0; k < in[i].size / sizeof(float); k++)
			((float *)in[i].data)[k] = draw_float(-2, 2);
	}
	exact = reference(m, in, n, false);
	most = reference(m, in, n, true);
	if (exact == NULL || most == NULL || run_once(m, in, n, NULL, 2, NULL, &first) != QDQ_OK ||
	    first.size != exact->size) {
		verdict(false, "float contraction", "it does not run");
	} else {
		for (uint64_t i = 0; i < exact->count; i++) {
			double bound = (p->terms + 4) * 0x1p-24 * (double)((const float *)most->data)[i];
			double error = fabs((double)((const float *)(const void *)first.data)[i] -
					    (double)((const float *)exact->data)[i]);

			worst = fmax(worst, error / (bound + 1e-30));
		}
		verdict(worst <= 1, "float contraction", "it is beyond the bound of float sums");
		compare_ways(m, in, n, &first, "float contraction");
		if (p->batched)
			run_alone(m, in, n, &first);
	}
	for (size_t i = 0; i < n; i++)
		free(in[i].data);
	text_free(&first);
}

void products_of_floats(unsigned count)
{
	for (unsigned i = 0; i < count; i++) {
		qdq_options o = {.version = QDQ_OPTIONS_VERSION};
		qdq_ctx *ctx;
		qdq_model *m;
		product p;

		state = 4000 + i;
		p = draw_product();
		if (qdq_ctx_new(&ctx, &o) != QDQ_OK)
			return;
		if (qdq_load_memory(&m, ctx, p.source.data, p.source.size, "product.onnxtxt") == QDQ_OK)
			compare_product(m, &p);
		else
			verdict(false, "float contraction", "it does not load");
		qdq_ctx_free(ctx);
		text_free(&p.source);
	}
}

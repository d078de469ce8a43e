/* SPDX-License-Identifier: Apache-2.0
 *
 * generate.c -- large models for the benchmark: generate KIND NODES OUT.onnx
 *
 *   chain     x -- Q -- DQ -- Conv -- Relu -- Q -- DQ -- Conv -- …
 *   fork      one tensor, read by NODES / 6 arms Q -- DQ -- Conv -- Relu, added up in pairs
 *   concat    one DQ, read by 2/3 NODES arms Conv -- Relu, Relu, MaxPool, concatenated by 64: Concat -- Q -- DQ -- pool
 *   scales    one tensor, quantized with NODES / 4 different scales, each read by a MaxPool; added up
 *   residual  a deep stack of blocks Conv -- Relu -- Q -- DQ -- Conv -- Q -- DQ -- Add -- Relu -- Q -- DQ
 *
 * Writes the wire format of ONNX directly, so that a million nodes take a second. Weights are shared and small, tensors
 * float[1,4,4,4]. The graph has at least NODES nodes, and a block more at most; the same arguments give the same bytes.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- the wire format ---- */

typedef struct buffer {
	char *data;
	size_t size, room;
} buffer;

static void put(buffer *b, const void *data, size_t size)
{
	if (b->room - b->size < size) {
		b->room = (b->room + size) * 2;
		b->data = realloc(b->data, b->room);
		if (b->data == NULL) {
			fprintf(stderr, "generate: out of memory\n");
			exit(4);
		}
	}
	memcpy(b->data + b->size, data, size);
	b->size += size;
}

static void put_varint(buffer *b, uint64_t v)
{
	while (v >= 128) {
		put(b, &(char){(char)(v | 128)}, 1);
		v >>= 7;
	}
	put(b, &(char){(char)v}, 1);
}

static void put_int(buffer *b, unsigned field, uint64_t v)
{
	put_varint(b, field << 3);
	put_varint(b, v);
}

static void put_bytes(buffer *b, unsigned field, const void *data, size_t size)
{
	put_varint(b, field << 3 | 2);
	put_varint(b, size);
	put(b, data, size);
}

static void put_text(buffer *b, unsigned field, const char *s)
{
	put_bytes(b, field, s, strlen(s));
}

/* ---- the parts of a model; field numbers are those of onnx.proto ---- */

typedef struct model {
	buffer graph, scratch, inner; /* the graph; the part of it that is being made; an attribute of that */
	unsigned long nodes;
} model;

static void put_info(model *m, unsigned field, const char *name)
{
	static const char type[] =
	    "\x0a\x14\x08\x01\x12\x10\x0a\x02\x08\x01\x0a\x02\x08\x04\x0a\x02\x08\x04\x0a\x02\x08\x04";

	m->scratch.size = 0; /* float[1,4,4,4] */
	put_text(&m->scratch, 1, name);
	put_bytes(&m->scratch, 2, type, sizeof type - 1);
	put_bytes(&m->graph, field, m->scratch.data, m->scratch.size);
}

static void put_tensor(model *m, const char *name, int type, const uint64_t *dims, int rank, const void *data,
		       size_t size)
{
	m->scratch.size = 0;
	for (int i = 0; i < rank; i++)
		put_int(&m->scratch, 1, dims[i]);
	put_int(&m->scratch, 2, (uint64_t)type);
	put_text(&m->scratch, 8, name);
	put_bytes(&m->scratch, 9, data, size);
	put_bytes(&m->graph, 5, m->scratch.data, m->scratch.size);
}

static void put_ints(model *m, const char *name, int count, uint64_t value)
{
	m->inner.size = 0;
	put_text(&m->inner, 1, name);
	put_int(&m->inner, 20, 7); /* INTS */
	for (int i = 0; i < count; i++)
		put_int(&m->inner, 8, value);
	put_bytes(&m->scratch, 5, m->inner.data, m->inner.size);
}

static void put_axis(model *m, uint64_t axis)
{
	m->inner.size = 0;
	put_text(&m->inner, 1, "axis");
	put_int(&m->inner, 20, 2); /* INT */
	put_int(&m->inner, 3, axis);
	put_bytes(&m->scratch, 5, m->inner.data, m->inner.size);
}

/* The rest of a node whose inputs lie in scratch. It defines the tensor `t<number>`, which is written to out. */
static void end_node(model *m, const char *op, char out[32])
{
	char name[32];

	snprintf(name, sizeof name, "n%lu", m->nodes);
	snprintf(out, 32, "t%lu", m->nodes++);
	put_text(&m->scratch, 2, out);
	put_text(&m->scratch, 3, name);
	put_text(&m->scratch, 4, op);
	if (strcmp(op, "MaxPool") == 0)
		put_ints(m, "kernel_shape", 2, 1);
	if (strcmp(op, "Concat") == 0)
		put_axis(m, 2);
	put_bytes(&m->graph, 1, m->scratch.data, m->scratch.size);
}

/* Inputs end with NULL. */
static void put_node(model *m, const char *op, const char *a, const char *b, const char *c, char out[32])
{
	const char *inputs[3] = {a, b, c};

	m->scratch.size = 0;
	for (int i = 0; i < 3 && inputs[i] != NULL; i++)
		put_text(&m->scratch, 1, inputs[i]);
	end_node(m, op, out);
}

/* ---- pieces of networks ---- */

static void pair(model *m, const char *x, const char *scale, char out[32])
{
	char q[32];

	put_node(m, "QuantizeLinear", x, scale, "z", q);
	put_node(m, "DequantizeLinear", q, scale, "z", out);
}

static void conv(model *m, const char *x, char out[32])
{
	char w[32];

	put_node(m, "DequantizeLinear", "w", "sw", "z", w);
	put_node(m, "Conv", x, w, "b", out);
}

static void arm(model *m, const char *x, char out[32])
{
	char d[32], c[32];

	pair(m, x, "s", d);
	conv(m, d, c);
	put_node(m, "Relu", c, NULL, NULL, out);
}

static void chain(model *m, unsigned long nodes, char out[32])
{
	strcpy(out, "x");
	while (m->nodes < nodes)
		arm(m, out, out);
}

static void fork_wide(model *m, unsigned long nodes, char out[32])
{
	char one[32], two[32];

	arm(m, "x", out);
	while (m->nodes < nodes) {
		arm(m, "x", one);
		arm(m, "x", two);
		put_node(m, "Add", one, two, NULL, one);
		put_node(m, "Add", out, one, NULL, out);
	}
}

static void fork_concat(model *m, unsigned long nodes, char out[32])
{
	char arms[64][32], d[32], c[32], e[32];

	strcpy(out, "x");
	pair(m, "x", "s", d);
	while (m->nodes < nodes) {
		for (int i = 0; i < 64; i++) {
			if (i % 4 == 0)
				conv(m, d, c);
			put_node(m, i % 4 < 2 ? "Relu" : "MaxPool", i % 4 == 0 ? c : d, NULL, NULL, arms[i]);
		}
		m->scratch.size = 0;
		for (int i = 0; i < 64; i++)
			put_text(&m->scratch, 1, arms[i]);
		end_node(m, "Concat", c);
		pair(m, c, "s", e);
		put_node(m, "GlobalAveragePool", e, NULL, NULL, c);
		put_node(m, "Add", out, c, NULL, out);
	}
}

static void fork_scales(model *m, unsigned long nodes, char out[32])
{
	char d[32], name[32], p[32];
	unsigned long count = nodes / 4 + 1;

	strcpy(out, "x");
	for (unsigned long i = 0; i < count; i++) {
		float scale = 0.05f + (float)i * 1e-7f;

		snprintf(name, sizeof name, "s%lu", i);
		put_tensor(m, name, 1, NULL, 0, &scale, sizeof scale);
		pair(m, "x", name, d);
		put_node(m, "MaxPool", d, NULL, NULL, p);
		put_node(m, "Add", out, p, NULL, out);
	}
}

static void residual(model *m, unsigned long nodes, char out[32])
{
	char d[32], c[32], e[32];

	strcpy(out, "x");
	while (m->nodes < nodes) {
		pair(m, out, "s", d);
		conv(m, d, c);
		put_node(m, "Relu", c, NULL, NULL, c);
		pair(m, c, "s", e);
		conv(m, e, c);
		pair(m, c, "s", e);
		put_node(m, "Add", e, d, NULL, c);
		put_node(m, "Relu", c, NULL, NULL, out);
	}
}

static int write_model(const model *m, const char *path)
{
	buffer head = {0};
	FILE *file = fopen(path, "wb");

	if (file == NULL) {
		perror(path);
		return 3;
	}
	put_int(&head, 1, 8); /* ir_version */
	put_text(&head, 2, "generate");
	put_bytes(&head, 8, "\x10\x11", 2); /* opset 17 */
	put_varint(&head, 7 << 3 | 2);
	put_varint(&head, m->graph.size);
	if (fwrite(head.data, 1, head.size, file) != head.size ||
	    fwrite(m->graph.data, 1, m->graph.size, file) != m->graph.size || fclose(file) != 0) {
		perror(path);
		return 3;
	}
	free(head.data);
	return 0;
}

int main(int argc, char **argv)
{
	static const struct {
		const char *name;
		void (*build)(model *m, unsigned long nodes, char out[32]);
	} kinds[] = {{"chain", chain},
		     {"fork", fork_wide},
		     {"concat", fork_concat},
		     {"scales", fork_scales},
		     {"residual", residual}};
	const float s = 0.05f, sw = 0.02f, bias[] = {0.5f, 1, 1.5f, 2};
	const uint64_t dims[] = {4, 4, 1, 1};
	char out[32], name[32], weights[16];
	model m = {0};
	size_t kind = 0;
	int status;

	while (argc == 4 && kind < sizeof kinds / sizeof *kinds && strcmp(kinds[kind].name, argv[1]) != 0)
		kind++;
	if (argc != 4 || kind == sizeof kinds / sizeof *kinds) {
		fprintf(stderr, "usage: generate chain|fork|concat|scales|residual NODES OUT.onnx\n");
		return 2;
	}
	for (int i = 0; i < 16; i++)
		weights[i] = (char)(i * 7 % 19 - 9);
	kinds[kind].build(&m, strtoul(argv[2], NULL, 10), name);
	put_node(&m, "Identity", name, NULL, NULL, out);
	put_text(&m.graph, 2, "generated");
	put_tensor(&m, "s", 1, NULL, 0, &s, sizeof s);
	put_tensor(&m, "sw", 1, NULL, 0, &sw, sizeof sw);
	put_tensor(&m, "z", 3, NULL, 0, "\0", 1);
	put_tensor(&m, "w", 3, dims, 4, weights, sizeof weights);
	put_tensor(&m, "b", 1, dims, 1, bias, sizeof bias);
	put_info(&m, 11, "x");
	put_info(&m, 12, out);
	status = write_model(&m, argv[3]);
	free(m.graph.data);
	free(m.scratch.data);
	free(m.inner.data);
	return status;
}

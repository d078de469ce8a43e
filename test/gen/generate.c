/* SPDX-License-Identifier: Apache-2.0
 *
 * generate.c -- large models for the benchmark: generate KIND NODES OUT.onnx
 *
 *   chain     x -- Q -- DQ -- Conv -- Relu -- Q -- DQ -- Conv -- …
 *   fork      one tensor, read by NODES / 6 arms Q -- DQ -- Conv -- Relu, added up in pairs
 *   concat    one DQ, read by 2/3 NODES arms Conv -- Relu, Relu, MaxPool, concatenated by 64: Concat -- Q -- DQ -- pool
 *   scales    one tensor, quantized with NODES / 4 different scales, each read by a MaxPool; added up
 *   residual  a deep stack of blocks Conv -- Relu -- Q -- DQ -- Conv -- Q -- DQ -- Add -- Relu -- Q -- DQ
 *   weights   as fork, with one DQ of the weight that every Conv reads
 *   skips     NODES / 8 times Q -- DQ -- Conv -- Relu; behind them each Relu is added to a pair Q -- DQ, the last first
 *   pairs     NODES / 6 Concats of two pairs Q -- DQ whose scales differ, added up
 *   ties      NODES / 6 Concats of two pairs Q -- DQ, the second of which is the first of the next Concat
 *   concats   NODES / 3 Concats, one on the other: Concat(previous, Q -- DQ)
 *   integer   one tensor of codes, read by NODES / 5 arms MaxPool -- ConvInteger -- Cast -- Mul, added up
 *   moved     MaxPools of codes, one on the other, each read by a ConvInteger -- Cast -- Mul, added up
 *   floats    as weights, the weight in float and NODES / 4 different scales of the activation
 *   heads     NODES / 3 Softmaxes of one tensor, concatenated; as many MaxPools read the result, and are concatenated
 *   split     one tensor in NODES / 3 parts, each with a pair Q -- DQ, and one Concat of all
 *   taps      as chain, each Relu and each Q an output of the graph
 *   symbols   NODES / 2 Concats, one on the other, of what Compress gives, whose sizes nobody knows
 *   functions NODES functions, each of which calls the one before twice; the last is called
 *   ifs       NODES / 5 times If { Q -- DQ -- Conv -- Relu } else { Relu }
 *   OPERATOR  Q -- DQ, then NODES / 2 times the operator, one on the other (both inputs of one that has two), then as
 *             many with a pair behind each; "/OPERATOR" the first half on a constant
 *
 * Writes the wire format of ONNX directly, so that a million nodes take a second. Weights are shared and small, tensors
 * float[1,4,4,4]. The graph has at least NODES nodes, and a block more at most (and as many DQs of weights); the same
 * arguments give the same bytes.
 */
#include <ctype.h>
#include <stdbool.h>
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
	buffer functions;
	unsigned long nodes;
} model;

static const char tensor_type[] = /* float[1,4,4,4] */
    "\x0a\x14\x08\x01\x12\x10\x0a\x02\x08\x01\x0a\x02\x08\x04\x0a\x02\x08\x04\x0a\x02\x08\x04";
static const char float_type[] = "\x0a\x02\x08\x01";			    /* of any shape */
static const char code_type[] = "\x0a\x02\x08\x03";			    /* int8 */
static const char mask_type[] = "\x0a\x08\x08\x09\x12\x04\x0a\x02\x08\x04"; /* bool[4] */
static const char bool_type[] = "\x0a\x04\x08\x09\x12";

static void put_info(model *m, unsigned field, const char *name, const char *type, size_t size)
{
	m->scratch.size = 0;
	put_text(&m->scratch, 1, name);
	put_bytes(&m->scratch, 2, type, size);
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

static void put_attribute(model *m, const char *name, uint64_t value)
{
	m->inner.size = 0;
	put_text(&m->inner, 1, name);
	put_int(&m->inner, 20, 2); /* INT */
	put_int(&m->inner, 3, value);
	put_bytes(&m->scratch, 5, m->inner.data, m->inner.size);
}

static void put_branch(model *m, const char *name, const buffer *graph)
{
	m->inner.size = 0;
	put_text(&m->inner, 1, name);
	put_int(&m->inner, 20, 5); /* GRAPH */
	put_bytes(&m->inner, 6, graph->data, graph->size);
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
	if (strcmp(op, "MaxPool") == 0 || strcmp(op, "AveragePool") == 0)
		put_ints(m, "kernel_shape", 2, 1);
	if (strcmp(op, "Concat") == 0 || strcmp(op, "Split") == 0 || strcmp(op, "Compress") == 0)
		put_attribute(m, "axis", 2);
	if (strcmp(op, "Cast") == 0)
		put_attribute(m, "to", 1);
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

/* ---- what repairs and readers of other dialects look at ---- */

static void put_scale(model *m, unsigned long i, char name[32])
{
	float scale = 0.05f + (float)i * 1e-7f;

	snprintf(name, 32, "s%lu", i);
	put_tensor(m, name, 1, NULL, 0, &scale, sizeof scale);
}

static char (*many_names(unsigned long count))[32]
{
	char(*names)[32] = calloc(count, sizeof *names);

	if (names == NULL)
		exit(4);
	return names;
}

static void one_weight(model *m, unsigned long nodes, char out[32])
{
	char d[32], w[32];

	strcpy(out, "x");
	put_node(m, "DequantizeLinear", "w", "sw", "z", w);
	while (m->nodes < nodes) {
		pair(m, "x", "s", d);
		put_node(m, "Conv", d, w, "b", d);
		put_node(m, "Relu", d, NULL, NULL, d);
		put_node(m, "Add", out, d, NULL, out);
	}
}

static void skips(model *m, unsigned long nodes, char out[32])
{
	unsigned long count = nodes / 8 + 1;
	char(*relus)[32] = many_names(count);

	strcpy(out, "x");
	for (unsigned long i = 0; i < count; i++) {
		arm(m, out, out);
		strcpy(relus[i], out);
	}
	for (unsigned long i = count; i-- > 0;) {
		pair(m, out, "s", out);
		put_node(m, "Add", out, relus[i], NULL, out);
	}
	free(relus);
}

static void pairs(model *m, unsigned long nodes, char out[32])
{
	char a[32], b[32], name[32];

	strcpy(out, "x");
	for (unsigned long i = 0; m->nodes < nodes; i++) {
		put_scale(m, 2 * i, name);
		pair(m, "x", name, a);
		put_scale(m, 2 * i + 1, name);
		pair(m, "x", name, b);
		put_node(m, "Concat", a, b, NULL, a);
		put_node(m, "GlobalAveragePool", a, NULL, NULL, a);
		put_node(m, "Add", out, a, NULL, out);
	}
}

static void ties(model *m, unsigned long nodes, char out[32])
{
	char a[32], b[32], c[32], name[32];

	strcpy(out, "x");
	pair(m, "x", "s", a);
	for (unsigned long i = 0; m->nodes < nodes; i++) {
		put_scale(m, i, name);
		pair(m, "x", name, b);
		put_node(m, "Concat", a, b, NULL, c);
		put_node(m, "GlobalAveragePool", c, NULL, NULL, c);
		put_node(m, "Add", out, c, NULL, out);
		strcpy(a, b);
	}
}

static void concats(model *m, unsigned long nodes, char out[32])
{
	char d[32];

	pair(m, "x", "s", out);
	while (m->nodes < nodes) {
		pair(m, "x", "s", d);
		put_node(m, "Concat", out, d, NULL, out);
	}
	put_node(m, "GlobalAveragePool", out, NULL, NULL, out);
}

/* Codes that no Q with a constant scale gives. */
static void dynamic_codes(model *m, char out[32])
{
	m->scratch.size = 0;
	put_text(&m->scratch, 1, "x");
	put_text(&m->scratch, 2, "codes");
	put_text(&m->scratch, 2, "codes_scale");
	end_node(m, "DynamicQuantizeLinear", out); /* its zero point; nobody reads it */
	strcpy(out, "codes");
}

static void integer_arm(model *m, const char *codes, char sum[32])
{
	char y[32];

	put_node(m, "ConvInteger", codes, "w", NULL, y);
	put_node(m, "Cast", y, NULL, NULL, y);
	put_node(m, "Mul", y, "s", NULL, y);
	put_node(m, "Add", sum, y, NULL, sum);
}

static void integer(model *m, unsigned long nodes, char out[32])
{
	char codes[32], moved[32];

	dynamic_codes(m, codes);
	strcpy(out, "x");
	while (m->nodes < nodes) {
		put_node(m, "MaxPool", codes, NULL, NULL, moved);
		integer_arm(m, moved, out);
	}
}

static void moved(model *m, unsigned long nodes, char out[32])
{
	char codes[32];

	dynamic_codes(m, codes);
	strcpy(out, "x");
	while (m->nodes < nodes) {
		put_node(m, "MaxPool", codes, NULL, NULL, codes);
		integer_arm(m, codes, out);
	}
}

/* ---- one tensor, one operator with many ---- */

/* A Concat of `count` tensors along axis 2. */
static void concat_all(model *m, char (*names)[32], unsigned long count, char out[32])
{
	m->scratch.size = 0;
	for (unsigned long i = 0; i < count; i++)
		put_text(&m->scratch, 1, names[i]);
	end_node(m, "Concat", out);
}

static void float_weight(model *m, unsigned long nodes, char out[32])
{
	char d[32], name[32];

	strcpy(out, "x");
	for (unsigned long i = 0; m->nodes < nodes; i++) {
		put_scale(m, i, name);
		pair(m, "x", name, d);
		put_node(m, "Conv", d, "wf", NULL, d);
		put_node(m, "Add", out, d, NULL, out);
	}
}

static void heads(model *m, unsigned long nodes, char out[32])
{
	unsigned long count = nodes / 3 + 1;
	char(*names)[32] = many_names(count);
	char d[32];

	pair(m, "x", "s", d);
	for (unsigned long i = 0; i < count; i++)
		put_node(m, "Softmax", d, NULL, NULL, names[i]);
	concat_all(m, names, count, d);
	for (unsigned long i = 0; i < count; i++)
		put_node(m, "MaxPool", d, NULL, NULL, names[i]);
	concat_all(m, names, count, out);
	free(names);
}

static void split(model *m, unsigned long nodes, char out[32])
{
	unsigned long count = nodes / 3 + 1;
	char(*names)[32] = many_names(count);
	char d[32];

	m->scratch.size = 0;
	put_text(&m->scratch, 1, "x");
	for (unsigned long i = 0; i < count; i++) {
		snprintf(names[i], sizeof names[i], "part%lu", i);
		put_text(&m->scratch, 2, names[i]);
	}
	end_node(m, "Split", d);
	for (unsigned long i = 0; i < count; i++)
		pair(m, names[i], "s", names[i]);
	concat_all(m, names, count, out);
	free(names);
}

static void taps(model *m, unsigned long nodes, char out[32])
{
	char q[32], d[32];

	strcpy(out, "x");
	while (m->nodes < nodes) {
		put_node(m, "QuantizeLinear", out, "s", "z", q);
		put_node(m, "DequantizeLinear", q, "s", "z", d);
		put_info(m, 12, q, code_type, sizeof code_type - 1);
		conv(m, d, d);
		put_node(m, "Relu", d, NULL, NULL, out);
		put_info(m, 12, out, float_type, sizeof float_type - 1);
	}
}

static void symbols(model *m, unsigned long nodes, char out[32])
{
	char found[32];

	put_info(m, 11, "mask", mask_type, sizeof mask_type - 1);
	put_node(m, "Compress", "x", "mask", NULL, out);
	while (m->nodes < nodes) {
		put_node(m, "Compress", "x", "mask", NULL, found);
		put_node(m, "Concat", out, found, NULL, out);
	}
}

/* A function "f<i>" of the domain "f"; the first is a Relu, each other calls the one before twice. */
static void put_function(model *m, unsigned long i)
{
	static const char domain[] = "\x0a\x01"
				     "f\x10\x01";
	char name[32];
	buffer outer = m->graph, body;

	m->graph = (buffer){0};
	snprintf(name, sizeof name, "f%lu", i);
	put_text(&m->graph, 1, name);
	put_text(&m->graph, 4, "a");
	put_text(&m->graph, 5, "c");
	for (int call = 0; call < 2; call++) {
		snprintf(name, sizeof name, i == 0 ? "Relu" : "f%lu", i - 1);
		m->scratch.size = 0;
		put_text(&m->scratch, 1, call == 0 ? "a" : "b");
		put_text(&m->scratch, 2, call == 0 ? "b" : "c");
		put_text(&m->scratch, 4, name);
		if (i != 0)
			put_text(&m->scratch, 7, "f");
		put_bytes(&m->graph, 7, m->scratch.data, m->scratch.size);
	}
	put_bytes(&m->graph, 9, "\x10\x11", 2);
	put_bytes(&m->graph, 9, domain, sizeof domain - 1);
	put_text(&m->graph, 10, "f");
	body = m->graph;
	m->graph = outer;
	put_bytes(&m->functions, 25, body.data, body.size);
	free(body.data);
}

static void functions(model *m, unsigned long nodes, char out[32])
{
	char name[32];

	for (unsigned long i = 0; i < nodes; i++)
		put_function(m, i);
	pair(m, "x", "s", out);
	m->scratch.size = 0;
	put_text(&m->scratch, 1, out);
	put_text(&m->scratch, 2, "called");
	snprintf(name, sizeof name, "f%lu", nodes - 1);
	put_text(&m->scratch, 4, name);
	put_text(&m->scratch, 7, "f");
	put_bytes(&m->graph, 1, m->scratch.data, m->scratch.size);
	strcpy(out, "called");
}

/* ---- nested graphs ---- */

/* The rest of m->graph is a branch, whose result is y; it goes to *out, and m->graph is *outer again. */
static void end_branch(model *m, const buffer *outer, const char *y, buffer *out)
{
	put_text(&m->graph, 2, "branch");
	put_info(m, 12, y, tensor_type, sizeof tensor_type - 1);
	*out = m->graph;
	m->graph = *outer;
}

static void ifs(model *m, unsigned long nodes, char out[32])
{
	put_info(m, 11, "condition", bool_type, sizeof bool_type);
	strcpy(out, "x");
	while (m->nodes < nodes) {
		buffer outer = m->graph, yes, no;
		char y[32];

		m->graph = (buffer){0};
		arm(m, out, y);
		end_branch(m, &outer, y, &yes);
		m->graph = (buffer){0};
		put_node(m, "Relu", out, NULL, NULL, y);
		end_branch(m, &outer, y, &no);
		m->scratch.size = 0;
		put_text(&m->scratch, 1, "condition");
		put_branch(m, "then_branch", &yes);
		put_branch(m, "else_branch", &no);
		end_node(m, "If", out);
		free(yes.data);
		free(no.data);
	}
}

/* ---- one operator, again and again ---- */

static bool takes_two(const char *op)
{
	static const char *const two[] = {"Add", "Sub", "Mul", "Div", "Max", "Min", "Concat", "MatMul", "PRelu", "Pow"};

	for (size_t i = 0; i < sizeof two / sizeof *two; i++)
		if (strcmp(two[i], op) == 0)
			return true;
	return false;
}

static void tower(model *m, const char *op, unsigned long nodes, char out[32])
{
	bool two;

	if (*op == '/')
		strcpy(out, "b");
	else
		pair(m, "x", "s", out);
	op += *op == '/';
	two = takes_two(op);
	while (m->nodes < nodes / 2)
		put_node(m, op, out, two ? out : NULL, NULL, out);
	while (m->nodes < nodes) {
		put_node(m, op, out, two ? out : NULL, NULL, out);
		pair(m, out, "s", out);
	}
	put_node(m, "Add", out, "x", NULL, out);
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
	if (m->functions.size != 0)
		put_bytes(&head, 8, "\x0a\x01\x66\x10\x01", 5); /* and of the functions' domain */
	put_varint(&head, 7 << 3 | 2);
	put_varint(&head, m->graph.size);
	if (fwrite(head.data, 1, head.size, file) != head.size ||
	    fwrite(m->graph.data, 1, m->graph.size, file) != m->graph.size ||
	    fwrite(m->functions.data, 1, m->functions.size, file) != m->functions.size || fclose(file) != 0) {
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
		     {"residual", residual},
		     {"weights", one_weight},
		     {"skips", skips},
		     {"pairs", pairs},
		     {"ties", ties},
		     {"concats", concats},
		     {"integer", integer},
		     {"moved", moved},
		     {"floats", float_weight},
		     {"heads", heads},
		     {"split", split},
		     {"taps", taps},
		     {"symbols", symbols},
		     {"functions", functions},
		     {"ifs", ifs}};
	const float s = 0.05f, sw = 0.02f, bias[] = {0.5f, 1, 1.5f, 2};
	const uint64_t dims[] = {4, 4, 1, 1};
	char out[32], name[32], weights[16];
	float real[16];
	model m = {0};
	size_t kind = 0, n_kinds = sizeof kinds / sizeof *kinds;
	int status;

	while (argc == 4 && kind < n_kinds && strcmp(kinds[kind].name, argv[1]) != 0)
		kind++;
	if (argc != 4 || (kind == n_kinds && *argv[1] != '/' && !isupper((unsigned char)*argv[1]))) {
		fprintf(stderr, "usage: generate KIND NODES OUT.onnx\n");
		return 2;
	}
	for (int i = 0; i < 16; i++) {
		weights[i] = (char)(i * 7 % 19 - 9);
		real[i] = (float)(i * 7 % 19 - 9) / 8;
	}
	if (kind < n_kinds)
		kinds[kind].build(&m, strtoul(argv[2], NULL, 10), name);
	else
		tower(&m, argv[1], strtoul(argv[2], NULL, 10), name);
	put_node(&m, "Identity", name, NULL, NULL, out);
	put_text(&m.graph, 2, "generated");
	put_tensor(&m, "s", 1, NULL, 0, &s, sizeof s);
	put_tensor(&m, "sw", 1, NULL, 0, &sw, sizeof sw);
	put_tensor(&m, "z", 3, NULL, 0, "\0", 1);
	put_tensor(&m, "w", 3, dims, 4, weights, sizeof weights);
	put_tensor(&m, "wf", 1, dims, 4, real, sizeof real);
	put_tensor(&m, "b", 1, dims, 1, bias, sizeof bias);
	put_info(&m, 11, "x", tensor_type, sizeof tensor_type - 1);
	put_info(&m, 12, out, float_type, sizeof float_type - 1);
	status = write_model(&m, argv[3]);
	free(m.graph.data);
	free(m.scratch.data);
	free(m.inner.data);
	free(m.functions.data);
	return status;
}

/* SPDX-License-Identifier: Apache-2.0
 *
 * onnx_io.c -- tests of lib/onnx: what is read, what is refused and how, what is written
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../../lib/onnx/onnx.h"
#include "onnx_build.h"
#include "suites.h"

/* ---- running ---- */

typedef struct run {
	qdq_ctx *ctx;
	const void *data;
	size_t size;
	const char *path;
	qdq_model *m;
	bytes out; /* of save_sink */
	const qdq_onnx_save *options;
} run;

static run r;

static void setup(void)
{
	memset(&r, 0, sizeof r);
	ck_assert_int_eq(qdq_ctx_new(&r.ctx, NULL), QDQ_OK);
}

static void teardown(void)
{
	while (r.ctx->models != NULL)
		qdq_model_destroy(r.ctx->models);
	qdq_arena_free(&r.ctx->arena);
	ck_assert_uint_eq(r.ctx->memory, 0);
	r.ctx->options.alloc(r.ctx->options.alloc_user, r.ctx, sizeof *r.ctx, 0);
}

static void do_load(void *arg)
{
	(void)arg;
	r.m = qdq_onnx_load_memory(r.ctx, r.data, r.size, r.path);
}

static void do_load_file(void *arg)
{
	r.m = qdq_onnx_load_file(r.ctx, arg);
}

static qdq_status collect(void *user, const void *data, size_t size)
{
	(void)user;
	put_raw(&r.out, data, size);
	return QDQ_OK;
}

static void do_sink(void *arg)
{
	(void)arg;
	r.out.size = 0;
	qdq_onnx_save_sink(r.m, collect, NULL);
}

static void do_save(void *arg)
{
	qdq_onnx_save_file(r.m, arg, r.options);
}

static qdq_status load_bytes(const void *data, size_t size)
{
	r.data = data;
	r.size = size;
	return qdq_guard(r.ctx, do_load, NULL);
}

/* The message of the last error. */
static const char *complaint(void)
{
	size_t count = r.ctx->diagnostics.count;

	ck_assert_uint_ne(count, 0);
	return r.ctx->diagnostics.items[count - 1].message;
}

#define EXPECT_FAILURE(got, status, words)                                                          \
	do {                                                                                        \
		ck_assert_int_eq((got), (status));                                                  \
		ck_assert_msg(strstr(complaint(), (words)) != NULL, "message is: %s", complaint()); \
	} while (0)

static bytes model, graph, part, tensor;

/* x -> Relu -> y, and what `graph` already holds. */
static void finish_model(const bytes *tail)
{
	put_node(&graph, "Relu", "x", NULL, "y", NULL);
	put_value(&graph, 11, "x");
	put_value(&graph, 12, "y");
	put_model(&model, &graph, tail);
}

static void fresh(void)
{
	setup();
	model.size = graph.size = part.size = tensor.size = 0;
}

/* ---- the wire format ---- */

static const struct {
	const char *bytes;
	size_t size;
	const char *words;
} bad_wires[] = {
    {"", 0, "empty"},
    {"\x08", 1, "cut off"},
    {"\x80", 1, "tag is malformed"},
    {"\xff\xff\xff\xff\xff\xff", 6, "tag is malformed"},
    {"\x02\x01", 2, "number 0"},
    {"\x3a\x05\x0a", 3, "reaches beyond"},
    {"\x3a\x80", 2, "within a length"},
    {"\x3a\x80\x80\x80\x80\x80\x01", 7, "length is malformed"},
    {"\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 12, "too long"},
    {"\x0b\x0c", 2, "wire type that ONNX does not use"},
    {"\x0d\x01\x02", 3, "within a number"},
    {"\x0d\x01\x02\x03\x04", 5, "ir_version of ModelProto has the wrong wire type"},
    {"\x38\x01", 2, "graph of ModelProto has the wrong wire type"},
    {"\x0a\x01\x08", 3, "ir_version of ModelProto has the wrong wire type"},
    {"\x12\x03"
     "a\0b",
     5, "producer_name of ModelProto holds a NUL"},
    {"\x3a\x00\x3a\x00", 4, "graph of ModelProto is there twice"},
    {"\x08\x08", 2, "no graph"},
};

START_TEST(test_bad_wire)
{
	EXPECT_FAILURE(load_bytes(bad_wires[_i].bytes, bad_wires[_i].size), QDQ_EMODEL, bad_wires[_i].words);
}
END_TEST

/* If nodes within If nodes, 10,000 deep, built from the inside out. */
START_TEST(test_deep_nesting)
{
	size_t room = 1 << 20, begin = room;
	unsigned char *b = malloc(room);

	ck_assert_ptr_nonnull(b);
	for (int i = 0; i < 30000 && begin > 64; i++) { /* graph.node, node.attribute, attribute.g */
		const unsigned char tags[] = {0x32, 0x2a, 0x0a};
		bytes length = {.size = 0};

		put_varint(&length, room - begin);
		begin -= length.size;
		memcpy(b + begin, length.data, length.size);
		b[--begin] = tags[i % 3];
	}
	bytes length = {.size = 0};
	put_varint(&length, room - begin);
	begin -= length.size;
	memcpy(b + begin, length.data, length.size);
	b[--begin] = 0x3a;
	EXPECT_FAILURE(load_bytes(b + begin, room - begin), QDQ_EMODEL, "nested more than 100 deep");
	free(b);
}
END_TEST

/* Every prefix of a good file is refused, or is a good file (it ends between fields). */
START_TEST(test_truncated)
{
	int refused = 0;

	finish_model(NULL);
	for (size_t size = 0; size < model.size; size++)
		refused += load_bytes(model.data, size) == QDQ_EMODEL;
	ck_assert_int_gt(refused, (int)model.size - 4);
	ck_assert_int_eq(load_bytes(model.data, model.size), QDQ_OK);
}
END_TEST

/* Fields that nobody knows, in every kind of message, and empty strings that are there or not, come out again. */
START_TEST(test_unknown_fields)
{
	static bytes node, attribute, tail;

	put_string(&attribute, 1, "alpha");
	put_int(&attribute, 3, 7);
	put_int(&attribute, 20, 2);
	put_int(&attribute, 99, 5);
	put_string(&node, 3, "");
	put_string(&node, 4, "Relu");
	put_message(&node, 5, &attribute);
	put_string(&node, 7, "");
	put_int(&node, 1000, 1);
	put_node(&graph, NULL, "x", NULL, "a", &node);
	node.size = 0;
	put_string(&node, 3, ""); /* a node that keeps nothing but how its name is written */
	put_string(&node, 4, "Relu");
	put_node(&graph, NULL, "x", NULL, "b", &node);
	node.size = 0;
	put_string(&node, 7, "ai.onnx");
	put_node(&graph, "Relu", "a", NULL, "y", &node);
	put_string(&graph, 2, "g");
	put_int(&tensor, 1, 1);
	put_int(&tensor, 2, 1);
	put_string(&tensor, 8, "w");
	put_bytes(&tensor, 9, "abcd", 4);
	put_string(&tensor, 12, "about w");
	put_bytes(&tensor, 77, "??", 2);
	put_message(&graph, 5, &tensor);
	put_value(&graph, 11, "x");
	put_value(&graph, 12, "y");
	put_value(&graph, 13, "a");
	put_int(&graph, 200, 42);
	put_bytes(&tail, 14, "\x0a\x01k\x12\x01v", 6);
	put_int(&tail, 500, 42);
	put_model(&model, &graph, &tail);
	ck_assert_int_eq(load_bytes(model.data, model.size), QDQ_OK);
	ck_assert_int_eq(qdq_guard(r.ctx, do_sink, NULL), QDQ_OK);
	ck_assert_uint_eq(r.out.size, model.size);
	ck_assert_mem_eq(r.out.data, model.data, model.size);
	ck_assert_uint_eq(r.ctx->diagnostics.count, 0);
}
END_TEST

/* ---- tensors ---- */

#define FLOAT_DATA 4u
#define INT32_DATA 5u
#define INT64_DATA 7u
#define DOUBLE_DATA 10u
#define UINT64_DATA 11u

static const struct {
	int type;
	unsigned field;	    /* of typed storage */
	int64_t dim;	    /* elements */
	int64_t entries[4]; /* of the typed field */
	int n_entries;
	const char *raw;
	size_t size;
} forms[] = {
    {QDQ_TYPE_FLOAT, FLOAT_DATA, 2, {0x3f800000, 0x40000000}, 2, "\0\0\x80\x3f\0\0\0\x40", 8},
    {QDQ_TYPE_COMPLEX64, FLOAT_DATA, 1, {0x3f800000, 0x40000000}, 2, "\0\0\x80\x3f\0\0\0\x40", 8},
    {QDQ_TYPE_DOUBLE, DOUBLE_DATA, 1, {0x3ff0000000000000}, 1, "\0\0\0\0\0\0\xf0\x3f", 8},
    {QDQ_TYPE_COMPLEX128, DOUBLE_DATA, 1, {0, 1}, 2, "\0\0\0\0\0\0\0\0\1\0\0\0\0\0\0\0", 16},
    {QDQ_TYPE_INT64, INT64_DATA, 2, {-1, 300}, 2, "\xff\xff\xff\xff\xff\xff\xff\xff\x2c\1\0\0\0\0\0\0", 16},
    {QDQ_TYPE_UINT64, UINT64_DATA, 1, {-1}, 1, "\xff\xff\xff\xff\xff\xff\xff\xff", 8},
    {QDQ_TYPE_UINT32, UINT64_DATA, 2, {0xffffffff, 1}, 2, "\xff\xff\xff\xff\1\0\0\0", 8},
    {QDQ_TYPE_INT32, INT32_DATA, 2, {-2, 0x7fffffff}, 2, "\xfe\xff\xff\xff\xff\xff\xff\x7f", 8},
    {QDQ_TYPE_INT16, INT32_DATA, 2, {-32768, 32767}, 2, "\0\x80\xff\x7f", 4},
    {QDQ_TYPE_UINT16, INT32_DATA, 2, {0, 65535}, 2, "\0\0\xff\xff", 4},
    {QDQ_TYPE_INT8, INT32_DATA, 3, {-128, 127, 0}, 3, "\x80\x7f\0", 3},
    {QDQ_TYPE_UINT8, INT32_DATA, 3, {255, 128, 1}, 3, "\xff\x80\1", 3},
    {QDQ_TYPE_BOOL, INT32_DATA, 3, {1, 0, 1}, 3, "\1\0\1", 3},
    {QDQ_TYPE_FLOAT16, INT32_DATA, 2, {0x3c00, 0xbc00}, 2, "\0\x3c\0\xbc", 4},
    {QDQ_TYPE_BFLOAT16, INT32_DATA, 2, {0x3f80, 0xbf80}, 2, "\x80\x3f\x80\xbf", 4},
    {QDQ_TYPE_FLOAT8E4M3FN, INT32_DATA, 2, {0x38, 0xb8}, 2, "\x38\xb8", 2},
    {QDQ_TYPE_FLOAT8E4M3FNUZ, INT32_DATA, 2, {0x40, 0xc0}, 2, "\x40\xc0", 2},
    {QDQ_TYPE_FLOAT8E5M2, INT32_DATA, 2, {0x3c, 0xbc}, 2, "\x3c\xbc", 2},
    {QDQ_TYPE_FLOAT8E5M2FNUZ, INT32_DATA, 2, {0x40, 0xc0}, 2, "\x40\xc0", 2},
    {QDQ_TYPE_FLOAT8E8M0, INT32_DATA, 2, {0x7f, 0x80}, 2, "\x7f\x80", 2},
    {QDQ_TYPE_UINT4, INT32_DATA, 3, {0xfe, 0x01}, 2, "\xfe\x01", 2},
    {QDQ_TYPE_INT4, INT32_DATA, 4, {0x87, 0x21}, 2, "\x87\x21", 2},
    {QDQ_TYPE_FLOAT4E2M1, INT32_DATA, 2, {0x97}, 1, "\x97", 1},
    {QDQ_TYPE_UINT2, INT32_DATA, 5, {0xe4, 0x02}, 2, "\xe4\x02", 2},
    {QDQ_TYPE_INT2, INT32_DATA, 4, {0x1b}, 1, "\x1b", 1},
};

enum form { RAW, PACKED, UNPACKED, STREWN, N_FORMS };

/* One entry of a typed field, without its tag. */
static void put_entry(bytes *b, unsigned field, int64_t entry)
{
	if (field == FLOAT_DATA)
		put_raw(b, &(uint32_t){(uint32_t)entry}, 4);
	else if (field == DOUBLE_DATA)
		put_raw(b, &entry, 8);
	else
		put_varint(b, (uint64_t)entry);
}

static void put_form(bytes *b, int i, enum form form)
{
	unsigned field = forms[i].field;
	unsigned wire = field == FLOAT_DATA ? 5 : field == DOUBLE_DATA ? 1 : 0;

	part.size = 0;
	if (form == RAW)
		put_bytes(b, 9, forms[i].raw, forms[i].size);
	for (int e = 0; form != RAW && e < forms[i].n_entries; e++) {
		if (form == PACKED) {
			put_entry(&part, field, forms[i].entries[e]);
			continue;
		}
		put_tag(b, field, wire);
		put_entry(b, field, forms[i].entries[e]);
		if (form == STREWN)
			put_int(b, 90, e);
	}
	if (form == PACKED)
		put_message(b, field, &part);
}

START_TEST(test_tensor_forms)
{
	int i = _i / N_FORMS;
	const qdq_tensor *t;

	put_int(&tensor, 1, forms[i].dim);
	put_int(&tensor, 2, forms[i].type);
	put_form(&tensor, i, (enum form)(_i % N_FORMS));
	put_string(&tensor, 8, "w");
	put_message(&graph, 5, &tensor);
	finish_model(NULL);
	ck_assert_int_eq(load_bytes(model.data, model.size), QDQ_OK);
	ck_assert_uint_eq(r.m->graph->constants.count, 1);
	t = r.m->graph->constants.items[0]->tensor;
	ck_assert_int_eq((int)t->type, forms[i].type);
	ck_assert_uint_eq(t->count, (uint64_t)forms[i].dim);
	ck_assert_uint_eq(t->size, forms[i].size);
	ck_assert_mem_eq(t->data, forms[i].raw, forms[i].size);
	if (_i % N_FORMS == RAW) /* in place: in the file's own bytes */
		ck_assert((const unsigned char *)t->data > model.data &&
			  (const unsigned char *)t->data < model.data + model.size);
	ck_assert_int_eq(qdq_guard(r.ctx, do_sink, NULL), QDQ_OK); /* and what is written reads the same */
	ck_assert_int_eq(load_bytes(r.out.data, r.out.size), QDQ_OK);
	ck_assert(qdq_tensor_equal(t, r.m->graph->constants.items[0]->tensor));
}
END_TEST

/* A tensor that was made here, not loaded, is written raw. */
START_TEST(test_new_tensor)
{
	qdq_tensor *t;
	int64_t dims[] = {3};

	finish_model(NULL);
	ck_assert_int_eq(load_bytes(model.data, model.size), QDQ_OK);
	t = qdq_tensor_new(r.m, QDQ_TYPE_INT8, 1, dims);
	memcpy((char *)(uintptr_t)t->data, "xyz", 3);
	qdq_graph_add_constant(r.m->graph, qdq_intern(&r.m->names, "made"), t);
	ck_assert_int_eq(qdq_guard(r.ctx, do_sink, NULL), QDQ_OK);
	ck_assert_int_eq(load_bytes(r.out.data, r.out.size), QDQ_OK);
	ck_assert_uint_eq(r.m->graph->constants.count, 1);
	ck_assert_str_eq(r.m->graph->constants.items[0]->name, "made");
	ck_assert(qdq_tensor_equal(t, r.m->graph->constants.items[0]->tensor));
}
END_TEST

START_TEST(test_string_tensor)
{
	const qdq_tensor *t;

	put_int(&tensor, 1, 2);
	put_int(&tensor, 2, QDQ_TYPE_STRING);
	put_bytes(&tensor, 6, "a\0b", 3);
	put_bytes(&tensor, 6, "", 0);
	put_string(&tensor, 8, "w");
	put_message(&graph, 5, &tensor);
	finish_model(NULL);
	ck_assert_int_eq(load_bytes(model.data, model.size), QDQ_OK);
	t = r.m->graph->constants.items[0]->tensor;
	ck_assert_uint_eq(t->strings[0].size, 3);
	ck_assert_mem_eq(t->strings[0].data, "a\0b", 3);
	ck_assert_uint_eq(t->strings[1].size, 0);
}
END_TEST

static const struct {
	int64_t dims[3];
	int n_dims, type;
	unsigned field; /* of the data */
	const char *data;
	size_t size;
	const char *words;
} bad_tensors[] = {
    {{2}, 1, QDQ_TYPE_FLOAT, 9, "abcd", 4, "tensor 'w' has 4 bytes of data, but its type and shape need 8"},
    {{2}, 1, QDQ_TYPE_FLOAT, 4, "abcd", 4, "has 4 bytes of data"},
    {{1}, 1, QDQ_TYPE_FLOAT, 4, "abcde", 5, "has 5 bytes of data"},
    {{2}, 1, QDQ_TYPE_INT8, 5, "\1\2\3", 3, "has 3 bytes of data"},
    {{2}, 1, QDQ_TYPE_INT8, 5, "\1\x80", 2, "has 1 bytes of data"},
    {{1}, 1, QDQ_TYPE_INT8, 5, "\x80\2", 2, "holds 256, which is out of range for int8"},
    {{1}, 1, QDQ_TYPE_UINT32, 11, "\x80\x80\x80\x80\x10", 5, "holds 4294967296, which is no uint32"},
    {{1}, 1, QDQ_TYPE_INT8, 4, "abcd", 4, "does not go with its type"},
    {{1}, 1, QDQ_TYPE_STRING, 9, "abcd", 4, "has data that is no strings"},
    {{1}, 1, QDQ_TYPE_STRING, 77, "", 0, "has 0 strings"},
    {{-1}, 1, QDQ_TYPE_INT8, 9, "abcd", 4, "negative dimension -1"},
    {{INT64_MAX, 3}, 2, QDQ_TYPE_INT8, 9, "abcd", 4, "too large"},
    {{INT64_MAX}, 1, QDQ_TYPE_INT64, 9, "abcd", 4, "too large"},
    {{1ll << 40}, 1, QDQ_TYPE_FLOAT, 9, "abcd", 4, "has 4 bytes of data"},
    {{1ll << 40}, 1, QDQ_TYPE_INT8, 77, "", 0, "has 0 bytes of data"},
    {{1}, 1, 0, 9, "a", 1, "unknown element type 0"},
    {{1}, 1, 27, 9, "a", 1, "unknown element type 27"},
    {{1}, 1, QDQ_TYPE_INT8, 3, "\x08\x01", 2, "segments"},
};

START_TEST(test_bad_tensor)
{
	for (int i = 0; i < bad_tensors[_i].n_dims; i++)
		put_int(&tensor, 1, bad_tensors[_i].dims[i]);
	put_int(&tensor, 2, bad_tensors[_i].type);
	put_bytes(&tensor, bad_tensors[_i].field, bad_tensors[_i].data, bad_tensors[_i].size);
	put_string(&tensor, 8, "w");
	put_message(&graph, 5, &tensor);
	finish_model(NULL);
	EXPECT_FAILURE(load_bytes(model.data, model.size), QDQ_EMODEL, bad_tensors[_i].words);
	ck_assert_uint_lt(r.ctx->memory_peak, 1 << 20);
}
END_TEST

START_TEST(test_twice_stored)
{
	put_int(&tensor, 1, 1);
	put_int(&tensor, 2, QDQ_TYPE_INT8);
	put_bytes(&tensor, 5, "\1", 1);
	put_string(&tensor, 8, "w");
	put_bytes(&tensor, 9, "\1", 1);
	put_message(&graph, 5, &tensor);
	finish_model(NULL);
	EXPECT_FAILURE(load_bytes(model.data, model.size), QDQ_EMODEL, "or twice");
}
END_TEST

/* ---- graphs ---- */

/* A nested graph that copies `in` to `out`, as attribute `name`. */
static void put_branch(bytes *node, const char *name, const char *in, const char *out)
{
	static bytes branch, attribute;

	branch.size = attribute.size = 0;
	put_node(&branch, "Relu", in, NULL, out, NULL);
	put_value(&branch, 12, out);
	put_string(&attribute, 1, name);
	put_message(&attribute, 6, &branch);
	put_int(&attribute, 20, 5);
	put_message(node, 5, &attribute);
}

static void undefined(void)
{
	put_node(&graph, "Relu", "nobody", NULL, "a", NULL);
}

static void unsorted(void)
{
	put_node(&graph, "Relu", "b", NULL, "a", NULL);
	put_node(&graph, "Relu", "x", NULL, "b", NULL);
}

static void cyclic(void)
{
	put_node(&graph, "Relu", "a", NULL, "a", NULL);
}

static void twice(void)
{
	put_node(&graph, "Relu", "x", NULL, "a", NULL);
	put_node(&graph, "Relu", "x", NULL, "a", NULL);
}

static void twice_in_one(void)
{
	put_string(&part, 2, "a");
	put_node(&graph, "Split", "x", NULL, "a", &part);
}

static void input_twice(void)
{
	put_value(&graph, 11, "x");
}

static void defined_input(void)
{
	put_node(&graph, "Relu", "x", NULL, "x", NULL);
}

static void no_operator(void)
{
	put_node(&graph, NULL, "x", NULL, "a", NULL);
}

static void no_such_output(void)
{
	put_value(&graph, 12, "z");
}

static void nameless_output(void)
{
	put_value(&graph, 12, "");
}

static void nameless_initializer(void)
{
	put_int(&tensor, 2, QDQ_TYPE_INT8);
	put_bytes(&tensor, 9, "a", 1);
	put_message(&graph, 5, &tensor);
}

static void attribute_twice(void)
{
	for (int i = 0; i < 2; i++)
		put_bytes(&part, 5,
			  "\x0a\x01"
			  "a\x18\x01\xa0\x01\x02",
			  8);
	put_node(&graph, "Relu", "x", NULL, "a", &part);
}

static void attribute_type(void)
{
	put_bytes(&part, 5,
		  "\x0a\x01"
		  "a\xa0\x01\x63",
		  6);
	put_node(&graph, "Relu", "x", NULL, "a", &part);
}

static void attribute_without_graph(void)
{
	put_bytes(&part, 5,
		  "\x0a\x01"
		  "a\xa0\x01\x05",
		  6);
	put_node(&graph, "If", "x", NULL, "a", &part);
}

static void attribute_with_graph(void)
{
	put_bytes(&part, 5,
		  "\x0a\x01"
		  "a\x32\x00\xa0\x01\x0a",
		  8);
	put_node(&graph, "If", "x", NULL, "a", &part);
}

static void attribute_without_name(void)
{
	put_bytes(&part, 5, "\x18\x01", 2);
	put_node(&graph, "Relu", "x", NULL, "a", &part);
}

static void nested_shadow(void)
{
	put_branch(&part, "then_branch", "x", "x");
	put_node(&graph, "If", "x", NULL, "a", &part);
}

static void nested_undefined(void)
{
	put_branch(&part, "then_branch", "a", "b");
	put_node(&graph, "If", "x", NULL, "a", &part);
}

static void sibling_leak(void)
{
	put_branch(&part, "then_branch", "x", "inner");
	put_branch(&part, "else_branch", "inner", "other");
	put_node(&graph, "If", "x", NULL, "a", &part);
}

static const struct {
	void (*build)(void);
	const char *words, *operand, *node;
} bad_graphs[] = {
    {undefined, "read but not defined", "nobody", "#0"},
    {unsorted, "before a later node, #1, defines it", "b", "#0"},
    {cyclic, "a cycle", "a", "#0"},
    {twice, "'a' is defined twice", "a", "#1"},
    {twice_in_one, "'a' is defined twice", "a", "#0"},
    {input_twice, "'x' is defined twice", "x", NULL},
    {defined_input, "'x' is defined twice", "x", "#0"},
    {no_operator, "no operator", NULL, "#0"},
    {no_such_output, "computed by no node", "z", NULL},
    {nameless_output, "has no name", NULL, NULL},
    {nameless_initializer, "initializer has no name", NULL, NULL},
    {attribute_twice, "attribute 'a' is given twice", NULL, "#0"},
    {attribute_type, "attribute 'a' has unknown type 99", NULL, "#0"},
    {attribute_without_graph, "of type GRAPH but holds none", NULL, "#0"},
    {attribute_with_graph, "holds a graph, but its type says otherwise", NULL, "#0"},
    {attribute_without_name, "attribute has no name", NULL, "#0"},
    {nested_shadow, "'x' is defined twice", "x", "#2"},
    {nested_undefined, "by the node that defines it", "a", "#2"},
    {sibling_leak, "'inner' is read but not defined", "inner", "#3"},
};

START_TEST(test_bad_graph)
{
	const qdq_diagnostic *d;

	bad_graphs[_i].build();
	finish_model(NULL);
	EXPECT_FAILURE(load_bytes(model.data, model.size), QDQ_EMODEL, bad_graphs[_i].words);
	d = &r.ctx->diagnostics.items[r.ctx->diagnostics.count - 1];
	ck_assert_pstr_eq(d->operand, bad_graphs[_i].operand);
	ck_assert_pstr_eq(d->node, bad_graphs[_i].node);
}
END_TEST

START_TEST(test_nested_graphs)
{
	const qdq_node *n;

	put_branch(&part, "then_branch", "x", "inner"); /* the same name in sibling graphs is fine */
	put_branch(&part, "else_branch", "x", "inner");
	put_node(&graph, "If", "x", NULL, "a", &part);
	finish_model(NULL);
	ck_assert_int_eq(load_bytes(model.data, model.size), QDQ_OK);
	n = r.m->graph->first;
	ck_assert_uint_eq(n->n_attrs, 2);
	ck_assert_int_eq((int)n->attrs[0].type, QDQ_ATTR_GRAPH);
	ck_assert_ptr_eq(n->attrs[0].u.g->parent, n);
	ck_assert_uint_eq(r.m->graph->inputs.items[0]->n_uses, 4); /* If, two captures, Relu */
	ck_assert_uint_eq(r.m->origins.count, 4);
	ck_assert_uint_eq(n->attrs[0].u.g->first->origin->index, 2);
	ck_assert_uint_eq(n->attrs[1].u.g->first->origin->index, 3);
	ck_assert_int_eq(qdq_guard(r.ctx, do_sink, NULL), QDQ_OK);
	ck_assert_uint_eq(r.out.size, model.size);
	ck_assert_mem_eq(r.out.data, model.data, model.size);
}
END_TEST

/* Inputs with a default, outputs that are inputs or constants, left-out outputs. */
START_TEST(test_odd_ends)
{
	const qdq_graph *g;

	put_string(&part, 2, "");
	put_string(&part, 2, "late");
	put_node(&graph, "Split", "x", "", "a", &part);
	put_int(&tensor, 1, 2);
	put_int(&tensor, 2, QDQ_TYPE_FLOAT);
	put_string(&tensor, 8, "x");
	put_bytes(&tensor, 9, "abcdefgh", 8);
	put_message(&graph, 5, &tensor);
	tensor.size = 0;
	put_int(&tensor, 2, QDQ_TYPE_INT8);
	put_string(&tensor, 8, "c");
	put_bytes(&tensor, 9, "a", 1);
	put_message(&graph, 5, &tensor);
	put_value(&graph, 12, "x");
	put_value(&graph, 12, "c");
	finish_model(NULL);
	ck_assert_int_eq(load_bytes(model.data, model.size), QDQ_OK);
	g = r.m->graph;
	ck_assert_ptr_null(g->first->outputs[1]);
	ck_assert_ptr_null(g->first->inputs[1].value);
	ck_assert_str_eq(g->first->outputs[2]->name, "late");
	ck_assert(g->inputs.items[0]->is_input);
	ck_assert_ptr_nonnull(g->inputs.items[0]->tensor);
	ck_assert_ptr_null(qdq_value_constant(g->inputs.items[0]));
	ck_assert_uint_eq(g->inputs.items[0]->n_outputs, 1);
	ck_assert_uint_eq(g->constants.count, 1);
	ck_assert_uint_eq(g->outputs.count, 3);
	ck_assert_int_eq(qdq_guard(r.ctx, do_sink, NULL), QDQ_OK);
	ck_assert_uint_eq(r.out.size, model.size);
}
END_TEST

/* Up to IR version 3 an initializer is an input too, and yet a constant. */
START_TEST(test_old_initializers)
{
	put_int(&tensor, 1, 2);
	put_int(&tensor, 2, QDQ_TYPE_FLOAT);
	put_string(&tensor, 8, "w");
	put_bytes(&tensor, 9, "abcdefgh", 8);
	put_message(&graph, 5, &tensor);
	put_value(&graph, 11, "w");
	finish_model(NULL);
	model.data[1] = 3; /* the IR version */
	ck_assert_int_eq(load_bytes(model.data, model.size), QDQ_OK);
	ck_assert_uint_eq(r.m->graph->inputs.count, 1);
	ck_assert_uint_eq(r.m->graph->constants.count, 1);
	ck_assert_ptr_nonnull(qdq_value_constant(r.m->graph->constants.items[0]));
	ck_assert_int_eq(qdq_guard(r.ctx, do_sink, NULL), QDQ_OK);
	ck_assert_uint_eq(r.out.size, model.size); /* both inputs are listed again */
}
END_TEST

/* Types of values that are gone are not written; changed ones are. */
START_TEST(test_value_info)
{
	qdq_node *n;
	qdq_value *b;

	put_node(&graph, "Relu", "x", NULL, "a", NULL);
	put_node(&graph, "Relu", "x", NULL, "b", NULL);
	put_value(&graph, 13, "a");
	put_value(&graph, 13, "b");
	finish_model(NULL);
	ck_assert_int_eq(load_bytes(model.data, model.size), QDQ_OK);
	n = r.m->graph->first;
	b = n->next->outputs[0];
	ck_assert(b->declared);
	ck_assert_int_eq((int)b->type, QDQ_TYPE_FLOAT);
	ck_assert_int_eq(b->shape->rank, 1);
	qdq_node_remove(n);
	qdq_value_set_type(b, QDQ_TYPE_INT8, qdq_shape_new(r.m, 1, (int64_t[]){5}));
	qdq_value_rename(b, qdq_intern(&r.m->names, "renamed"));
	ck_assert_int_eq(qdq_guard(r.ctx, do_sink, NULL), QDQ_OK);
	ck_assert_int_eq(load_bytes(r.out.data, r.out.size), QDQ_OK);
	b = r.m->graph->first->outputs[0];
	ck_assert_str_eq(b->name, "renamed");
	ck_assert(b->declared);
	ck_assert_int_eq((int)b->type, QDQ_TYPE_INT8);
	ck_assert_int_eq((int)b->shape->dim[0], 5);
}
END_TEST

/* ---- functions ---- */

/* Function `name`, whose body calls `callee` of domain "f", or Relu of ai.onnx. */
static void put_function(bytes *tail, const char *name, const char *callee)
{
	static bytes function, node;
	static const unsigned char opset[] = {0x0a, 0x00, 0x10, 0x11};

	function.size = node.size = 0;
	put_string(&function, 1, name);
	put_string(&function, 4, "p");
	put_string(&function, 5, "q");
	put_string(&node, 7, callee == NULL ? "" : "f");
	put_node(&function, callee == NULL ? "Relu" : callee, "p", NULL, "q", &node);
	function.data[function.size] = 0;
	put_bytes(&function, 9, opset, sizeof opset);
	put_string(&function, 10, "f");
	/* the nodes of a function are field 7, not 1: rewrite the tag that put_node wrote */
	for (size_t i = 0; i < function.size; i++) {
		if (function.data[i] == 0x0a && i > strlen(name) + 1) {
			function.data[i] = 0x3a;
			break;
		}
	}
	put_message(tail, 25, &function);
}

START_TEST(test_functions)
{
	static bytes tail, node;
	const qdq_node *n;

	put_string(&node, 7, "f");
	put_node(&graph, "outer", "x", NULL, "a", &node);
	put_function(&tail, "outer", "inner");
	put_function(&tail, "inner", NULL);
	finish_model(&tail);
	ck_assert_int_eq(load_bytes(model.data, model.size), QDQ_OK);
	n = r.m->graph->first;
	ck_assert_uint_eq(r.m->functions.count, 2);
	ck_assert_ptr_eq(n->function, r.m->functions.items[0]);
	ck_assert_ptr_eq(n->function->body->first->function, r.m->functions.items[1]);
	ck_assert_ptr_null(r.m->functions.items[1]->body->first->function);
	ck_assert_uint_eq(r.m->origins.count, 4);
	ck_assert_uint_eq(n->function->body->first->origin->index, 2);
	ck_assert_int_eq(qdq_guard(r.ctx, do_sink, NULL), QDQ_OK);
	ck_assert_uint_eq(r.out.size, model.size);
	ck_assert_mem_eq(r.out.data, model.data, model.size);
}
END_TEST

START_TEST(test_recursion)
{
	static bytes tail;

	put_function(&tail, "a", "b");
	put_function(&tail, "b", "a");
	finish_model(&tail);
	EXPECT_FAILURE(load_bytes(model.data, model.size), QDQ_EMODEL, "in a circle");
}
END_TEST

START_TEST(test_function_twice)
{
	static bytes tail;

	put_function(&tail, "a", NULL);
	put_function(&tail, "a", NULL);
	finish_model(&tail);
	EXPECT_FAILURE(load_bytes(model.data, model.size), QDQ_EMODEL, "'a' of domain 'f' is defined twice");
}
END_TEST

START_TEST(test_versions)
{
	static const struct {
		const char *head; /* IR version and opset 13 … */
		size_t size;
		qdq_status status;
		const char *words;
	} cases[] = {
	    {"\x08\x08\x42\x02\x10\x06", 6, QDQ_OK, "opset 6 is not one of 7 to 25"},
	    {"\x08\x63\x42\x02\x10\x11", 6, QDQ_OK, "IR version 99"},
	    {"\x08\x08\x42\x02\x10\x00", 6, QDQ_EMODEL, "opset version 0"},
	    {"\x08\x08", 2, QDQ_EMODEL, "imports no opset of ai.onnx"},
	    {"\x08\x08\x42\x02\x10\x11\x42\x02\x10\x12", 10, QDQ_EMODEL, "two versions"},
	};

	for (size_t i = 0; i < QDQ_COUNTOF(cases); i++) {
		graph.size = model.size = 0;
		finish_model(NULL);
		model.size = 0;
		put_raw(&model, cases[i].head, cases[i].size);
		put_message(&model, 7, &graph);
		EXPECT_FAILURE(load_bytes(model.data, model.size), cases[i].status, cases[i].words);
	}
}
END_TEST

/* ---- files ---- */

static char folder[256], name_a[300], name_b[300], name_c[300];

static void enter_folder(void)
{
	const char *base = getenv("TMPDIR");

	fresh();
	snprintf(folder, sizeof folder, "%s/qdq-test-XXXXXX", base != NULL ? base : P_tmpdir);
	ck_assert_ptr_nonnull(mkdtemp(folder));
	snprintf(name_a, sizeof name_a, "%s/a.onnx", folder);
	snprintf(name_b, sizeof name_b, "%s/b.onnx", folder);
	snprintf(name_c, sizeof name_c, "%s/b.onnx.data", folder);
}

static void leave_folder(void)
{
	char command[400];

	teardown();
	snprintf(command, sizeof command, "rm -rf '%s'", folder);
	ck_assert_int_eq(system(command), 0);
}

static void write_file(const char *path, const void *data, size_t size)
{
	FILE *file = fopen(path, "wb");

	ck_assert_ptr_nonnull(file);
	ck_assert_uint_eq(fwrite(data, 1, size, file), size);
	fclose(file);
}

static off_t size_of(const char *path)
{
	struct stat st;

	return stat(path, &st) == 0 ? st.st_size : -1;
}

/* How many files the folder holds. */
static int count_files(void)
{
	char command[400];
	FILE *pipe;
	int count = -1;

	snprintf(command, sizeof command, "ls -A '%s' | wc -l", folder);
	pipe = popen(command, "r");
	ck_assert_ptr_nonnull(pipe);
	ck_assert_int_eq(fscanf(pipe, "%d", &count), 1);
	pclose(pipe);
	return count;
}

static void put_entry_pair(bytes *b, const char *key, const char *value)
{
	static bytes entry;

	entry.size = 0;
	put_string(&entry, 1, key);
	put_string(&entry, 2, value);
	put_message(b, 13, &entry);
}

/* a.onnx, with 4 floats at `offset` of `location`. */
static void write_external(const char *location, const char *offset, const char *length)
{
	tensor.size = graph.size = 0;
	put_int(&tensor, 1, 4);
	put_int(&tensor, 2, QDQ_TYPE_FLOAT);
	put_string(&tensor, 8, "w");
	put_entry_pair(&tensor, "location", location);
	if (offset != NULL)
		put_entry_pair(&tensor, "offset", offset);
	if (length != NULL)
		put_entry_pair(&tensor, "length", length);
	put_int(&tensor, 14, 1);
	put_message(&graph, 5, &tensor);
	finish_model(NULL);
	write_file(name_a, model.data, model.size);
}

static const struct {
	const char *location, *offset, *length;
	qdq_status status;
	const char *words;
} externals[] = {
    {"w.bin", NULL, NULL, QDQ_OK, NULL},
    {"w.bin", "16", "16", QDQ_OK, NULL},
    {"./w.bin", "16", NULL, QDQ_OK, NULL},
    {"sub/w.bin", NULL, NULL, QDQ_OK, NULL},
    {"inside", NULL, NULL, QDQ_OK, NULL},
    {"w.bin", "17", NULL, QDQ_EMODEL, "which has only 32"},
    {"w.bin", "18446744073709551615", NULL, QDQ_EMODEL, "which has only 32"},
    {"w.bin", "0", "8", QDQ_EMODEL, "has 8 bytes of data"},
    {"w.bin", "-1", NULL, QDQ_EMODEL, "offset '-1' of the external data of tensor 'w' is no number"},
    {"w.bin", "99999999999999999999", NULL, QDQ_EMODEL, "is no number"},
    {"w.bin", NULL, "1x", QDQ_EMODEL, "length '1x'"},
    {"", NULL, NULL, QDQ_EMODEL, "it is empty"},
    {"/etc/passwd", NULL, NULL, QDQ_EMODEL, "it is absolute"},
    {"../w.bin", NULL, NULL, QDQ_EMODEL, "it has '..' in it"},
    {"sub/../w.bin", NULL, NULL, QDQ_EMODEL, "it has '..' in it"},
    {"outside", NULL, NULL, QDQ_EMODEL, "leaves the model's folder through a link"},
    {"up/passwd", NULL, NULL, QDQ_EMODEL, "leaves the model's folder through a link"},
    {"missing.bin", NULL, NULL, QDQ_EFILE, "missing.bin': No such file"},
    {"sub", NULL, NULL, QDQ_EFILE, "it is a directory"},
};

START_TEST(test_external)
{
	char path[400];

	snprintf(path, sizeof path, "%s/w.bin", folder);
	write_file(path, "0123456789abcdef0123456789ABCDEF", 32);
	snprintf(path, sizeof path, "%s/sub", folder);
	ck_assert_int_eq(mkdir(path, 0777), 0);
	snprintf(path, sizeof path, "%s/sub/w.bin", folder);
	write_file(path, "0123456789abcdef", 16);
	snprintf(path, sizeof path, "%s/inside", folder);
	ck_assert_int_eq(symlink("sub/w.bin", path), 0);
	snprintf(path, sizeof path, "%s/outside", folder);
	ck_assert_int_eq(symlink("/etc/passwd", path), 0);
	snprintf(path, sizeof path, "%s/up", folder);
	ck_assert_int_eq(symlink("/etc", path), 0);
	write_external(externals[_i].location, externals[_i].offset, externals[_i].length);
	if (externals[_i].status != QDQ_OK) {
		EXPECT_FAILURE(qdq_guard(r.ctx, do_load_file, name_a), externals[_i].status, externals[_i].words);
		ck_assert_pstr_eq(r.ctx->diagnostics.items[0].operand, "w");
		return;
	}
	ck_assert_int_eq(qdq_guard(r.ctx, do_load_file, name_a), QDQ_OK);
	ck_assert(r.m->has_external);
	ck_assert(r.m->graph->constants.items[0]->tensor->external);
	ck_assert_mem_eq(r.m->graph->constants.items[0]->tensor->data, "0123456789", 10);
}
END_TEST

START_TEST(test_external_in_memory)
{
	write_external("w.bin", NULL, NULL);
	EXPECT_FAILURE(load_bytes(model.data, model.size), QDQ_EMODEL, "no folder to look in");
}
END_TEST

/* A model with three tensors of 100, 2000 and 2^20 bytes, loaded from a.onnx. */
static void load_weights(void)
{
	static const int64_t sizes[] = {100, 2000, 1 << 20};

	finish_model(NULL);
	write_file(name_a, model.data, model.size);
	ck_assert_int_eq(qdq_guard(r.ctx, do_load_file, name_a), QDQ_OK);
	for (size_t i = 0; i < QDQ_COUNTOF(sizes); i++) {
		qdq_tensor *t = qdq_tensor_new(r.m, QDQ_TYPE_INT8, 1, &sizes[i]);

		memset((char *)(uintptr_t)t->data, 'a' + (int)i, (size_t)sizes[i]);
		qdq_graph_add_constant(r.m->graph, qdq_unique_name(&r.m->names, "w"), t);
	}
}

START_TEST(test_save_external)
{
	qdq_onnx_save always = {.external = QDQ_EXTERNAL_ALWAYS}, never = {.external = QDQ_EXTERNAL_NEVER};
	qdq_model *before;

	load_weights();
	before = r.m;
	r.options = &always;
	ck_assert_int_eq(qdq_guard(r.ctx, do_save, name_b), QDQ_OK);
	ck_assert_int_lt(size_of(name_b), 1000);
	ck_assert_int_eq(size_of(name_c), 4096 + (1 << 20)); /* 2000 bytes, then a page boundary */
	ck_assert_int_eq(count_files(), 3);
	ck_assert_int_eq(qdq_guard(r.ctx, do_load_file, name_b), QDQ_OK);
	for (size_t i = 0; i < 3; i++) {
		const qdq_tensor *t = r.m->graph->constants.items[i]->tensor;

		ck_assert(qdq_tensor_equal(before->graph->constants.items[i]->tensor, t));
		ck_assert_int_eq(t->external, i > 0);
	}
	r.options = NULL; /* it came with external data, so it goes out so: but not over the file that it maps */
	EXPECT_FAILURE(qdq_guard(r.ctx, do_save, name_b), QDQ_EUSAGE, "holds the model's own external data");
	EXPECT_FAILURE(qdq_guard(r.ctx, do_save, name_c), QDQ_EUSAGE, "holds the model's own external data");
	ck_assert_int_eq(count_files(), 3);
	r.options = &never; /* over the model itself is fine */
	ck_assert_int_eq(qdq_guard(r.ctx, do_save, name_b), QDQ_OK);
	ck_assert_int_eq(qdq_guard(r.ctx, do_load_file, name_b), QDQ_OK);
	ck_assert(!r.m->has_external);
	ck_assert(qdq_tensor_equal(before->graph->constants.items[2]->tensor, r.m->graph->constants.items[2]->tensor));
}
END_TEST

START_TEST(test_save_too_large)
{
	qdq_onnx_save small = {.max_size = 100000}, never = {.external = QDQ_EXTERNAL_NEVER, .max_size = 100000};

	load_weights();
	r.options = &never;
	EXPECT_FAILURE(qdq_guard(r.ctx, do_save, name_b), QDQ_EUSAGE, "must go to external data");
	ck_assert_int_eq(count_files(), 1);
	r.options = &small;
	ck_assert_int_eq(qdq_guard(r.ctx, do_save, name_b), QDQ_OK);
	ck_assert_int_gt(size_of(name_c), 1 << 20);
}
END_TEST

/* Whatever goes wrong: a clear message, no temporary file, the old file untouched. */
START_TEST(test_save_refused)
{
	char path[400];

	load_weights();
	EXPECT_FAILURE(qdq_guard(r.ctx, do_save, folder), QDQ_EFILE, "it is a directory");
	snprintf(path, sizeof path, "%s/no/such/b.onnx", folder);
	EXPECT_FAILURE(qdq_guard(r.ctx, do_save, path), QDQ_EFILE, "No such file or directory");
	EXPECT_FAILURE(qdq_guard(r.ctx, do_save, (char[]){""}), QDQ_EFILE, "name is empty");
	if (access("/dev/full", W_OK) == 0)
		EXPECT_FAILURE(qdq_guard(r.ctx, do_save, (char[]){"/dev/full"}), QDQ_EFILE, strerror(ENOSPC));
	ck_assert_int_eq(count_files(), 1);
}
END_TEST

static qdq_status refuse_second(void *user, const void *data, size_t size)
{
	int *calls = user;

	(void)data, (void)size;
	return ++*calls == 2 ? QDQ_EDEVICE : QDQ_OK;
}

static void do_refused_sink(void *arg)
{
	qdq_onnx_save_sink(r.m, refuse_second, arg);
}

START_TEST(test_sink_refuses)
{
	int calls = 0;

	load_weights();
	ck_assert_int_eq(qdq_guard(r.ctx, do_refused_sink, &calls), QDQ_EDEVICE);
	ck_assert_int_eq(calls, 2);
}
END_TEST

/* Over an existing file, through a link, and to what is no regular file. */
START_TEST(test_save_places)
{
	struct stat st;
	char path[400];

	load_weights();
	write_file(name_b, "old", 3);
	ck_assert_int_eq(qdq_guard(r.ctx, do_save, name_b), QDQ_OK);
	ck_assert_int_gt(size_of(name_b), 1 << 20);
	snprintf(path, sizeof path, "%s/link", folder);
	write_file(name_b, "old", 3);
	ck_assert_int_eq(symlink("b.onnx", path), 0);
	ck_assert_int_eq(qdq_guard(r.ctx, do_save, path), QDQ_OK);
	ck_assert_int_eq(lstat(path, &st), 0);
	ck_assert(S_ISLNK(st.st_mode));
	ck_assert_int_gt(size_of(name_b), 1 << 20);
	ck_assert_int_eq(count_files(), 3);
	ck_assert_int_eq(qdq_guard(r.ctx, do_save, (char[]){"/dev/null"}), QDQ_OK);
	ck_assert_int_eq(stat("/dev/null", &st), 0);
	ck_assert(S_ISCHR(st.st_mode));
	ck_assert_int_eq(qdq_guard(r.ctx, do_save, name_a), QDQ_OK); /* in place: the model maps the old file */
}
END_TEST

START_TEST(test_load_refused)
{
	static const struct {
		const char *name;
		qdq_status status;
		const char *words;
	} cases[] = {
	    {"", QDQ_EFILE, "No such file"},
	    {"/dev/zero", QDQ_EFILE, "not a regular file"},
	    {"/no/such/file", QDQ_EFILE, "No such file"},
	};
	char path[400];

	for (size_t i = 0; i < QDQ_COUNTOF(cases); i++) {
		snprintf(path, sizeof path, "%s", cases[i].name);
		EXPECT_FAILURE(qdq_guard(r.ctx, do_load_file, path), cases[i].status, cases[i].words);
	}
	EXPECT_FAILURE(qdq_guard(r.ctx, do_load_file, folder), QDQ_EFILE, "it is a directory");
	ck_assert_int_eq(mkfifo(name_b, 0666), 0);
	EXPECT_FAILURE(qdq_guard(r.ctx, do_load_file, name_b), QDQ_EFILE, "not a regular file");
	write_file(name_a, "", 0);
	EXPECT_FAILURE(qdq_guard(r.ctx, do_load_file, name_a), QDQ_EMODEL, "the file is empty");
}
END_TEST

/* ---- memory ---- */

typedef struct budget {
	long left; /* allocations that still succeed */
	size_t held;
} budget;

static void *limited(void *user, void *ptr, size_t old_size, size_t new_size)
{
	budget *b = user;

	if (new_size == 0) {
		b->held -= old_size;
		free(ptr);
		return NULL;
	}
	if (b->left-- <= 0)
		return NULL;
	b->held += new_size;
	return malloc(new_size);
}

static void load_and_save(void *arg)
{
	do_load(arg);
	do_sink(arg);
	do_save(name_b);
}

/* The k-th allocation fails, for every k until nothing fails any more: always QDQ_ENOMEM, nothing is lost. */
START_TEST(test_no_memory)
{
	budget b = {.left = 0};
	qdq_options options = {.version = QDQ_OPTIONS_VERSION, .alloc = limited, .alloc_user = &b};
	qdq_onnx_save always = {.external = QDQ_EXTERNAL_ALWAYS};
	qdq_ctx *outer = r.ctx;
	qdq_status status = QDQ_ENOMEM;
	long k;

	put_branch(&part, "then_branch", "x", "inner");
	put_node(&graph, "If", "x", NULL, "a", &part);
	put_int(&tensor, 1, 2000);
	put_int(&tensor, 2, QDQ_TYPE_INT8);
	for (int i = 0; i < 2000; i++) {
		put_tag(&tensor, INT32_DATA, 0);
		put_varint(&tensor, 7);
	}
	put_string(&tensor, 8, "w");
	put_message(&graph, 5, &tensor);
	finish_model(NULL);
	r.data = model.data;
	r.size = model.size;
	r.options = &always;
	for (k = 1; status != QDQ_OK; k++) {
		b.left = k;
		if (qdq_ctx_new(&r.ctx, &options) != QDQ_OK)
			continue;
		status = qdq_guard(r.ctx, load_and_save, NULL);
		ck_assert(status == QDQ_OK || status == QDQ_ENOMEM);
		while (r.ctx->models != NULL)
			qdq_model_destroy(r.ctx->models);
		qdq_arena_free(&r.ctx->arena);
		limited(&b, r.ctx, sizeof *r.ctx, 0);
		ck_assert_uint_eq(b.held, 0);
		ck_assert_int_eq(count_files(), status == QDQ_OK ? 2 : 0);
		ck_assert_int_lt(k, 1000);
	}
	ck_assert_int_gt(k, 10);
	r.ctx = outer;
}
END_TEST

START_TEST(test_limits)
{
	put_node(&graph, "Relu", "x", NULL, "a", NULL);
	finish_model(NULL);
	r.ctx->options.max_nodes = 1;
	EXPECT_FAILURE(load_bytes(model.data, model.size), QDQ_EMODEL, "2 nodes are more than the limit of 1");
	r.ctx->options.max_nodes = 2;
	ck_assert_int_eq(load_bytes(model.data, model.size), QDQ_OK);
}
END_TEST

Suite *onnx_io_suite(void)
{
	Suite *suite = suite_create("onnx_io");
	TCase *memory = tcase_create("memory"), *files = tcase_create("files");

	tcase_add_checked_fixture(memory, fresh, teardown);
	tcase_add_loop_test(memory, test_bad_wire, 0, (int)QDQ_COUNTOF(bad_wires));
	tcase_add_test(memory, test_deep_nesting);
	tcase_add_test(memory, test_truncated);
	tcase_add_test(memory, test_unknown_fields);
	tcase_add_loop_test(memory, test_tensor_forms, 0, (int)QDQ_COUNTOF(forms) * N_FORMS);
	tcase_add_test(memory, test_new_tensor);
	tcase_add_test(memory, test_string_tensor);
	tcase_add_loop_test(memory, test_bad_tensor, 0, (int)QDQ_COUNTOF(bad_tensors));
	tcase_add_test(memory, test_twice_stored);
	tcase_add_loop_test(memory, test_bad_graph, 0, (int)QDQ_COUNTOF(bad_graphs));
	tcase_add_test(memory, test_nested_graphs);
	tcase_add_test(memory, test_odd_ends);
	tcase_add_test(memory, test_old_initializers);
	tcase_add_test(memory, test_value_info);
	tcase_add_test(memory, test_functions);
	tcase_add_test(memory, test_recursion);
	tcase_add_test(memory, test_function_twice);
	tcase_add_test(memory, test_versions);
	tcase_add_test(memory, test_limits);
	suite_add_tcase(suite, memory);
	tcase_add_checked_fixture(files, enter_folder, leave_folder);
	tcase_set_timeout(files, 60);
	tcase_add_loop_test(files, test_external, 0, (int)QDQ_COUNTOF(externals));
	tcase_add_test(files, test_external_in_memory);
	tcase_add_test(files, test_save_external);
	tcase_add_test(files, test_save_too_large);
	tcase_add_test(files, test_save_refused);
	tcase_add_test(files, test_sink_refuses);
	tcase_add_test(files, test_save_places);
	tcase_add_test(files, test_load_refused);
	tcase_add_test(files, test_no_memory);
	suite_add_tcase(suite, files);
	return suite;
}

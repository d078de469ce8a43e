/* SPDX-License-Identifier: Apache-2.0
 *
 * onnx_io.c -- tests of lib/onnx: the wire format, and tensors in every storage form
 */
#include <stdlib.h>

#include "onnx_fixture.h"
#include "suites.h"

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
	for (size_t size = 0; size < io.model.size; size++)
		refused += load_bytes(io.model.data, size) == QDQ_EMODEL;
	ck_assert_int_gt(refused, (int)io.model.size - 4);
	ck_assert_int_eq(load_bytes(io.model.data, io.model.size), QDQ_OK);
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
	put_node(&io.graph, NULL, "x", NULL, "a", &node);
	node.size = 0;
	put_string(&node, 3, ""); /* a node that keeps nothing but how its name is written */
	put_string(&node, 4, "Relu");
	put_node(&io.graph, NULL, "x", NULL, "b", &node);
	node.size = 0;
	put_string(&node, 7, "ai.onnx");
	put_node(&io.graph, "Relu", "a", NULL, "y", &node);
	put_string(&io.graph, 2, "g");
	put_int(&io.tensor, 1, 1);
	put_int(&io.tensor, 2, 1);
	put_string(&io.tensor, 8, "w");
	put_bytes(&io.tensor, 9, "abcd", 4);
	put_string(&io.tensor, 12, "about w");
	put_bytes(&io.tensor, 77, "??", 2);
	put_message(&io.graph, 5, &io.tensor);
	put_value(&io.graph, 11, "x");
	put_value(&io.graph, 12, "y");
	put_value(&io.graph, 13, "a");
	put_int(&io.graph, 200, 42);
	put_bytes(&tail, 14, "\x0a\x01k\x12\x01v", 6);
	put_int(&tail, 500, 42);
	put_model(&io.model, &io.graph, &tail);
	ck_assert_int_eq(load_bytes(io.model.data, io.model.size), QDQ_OK);
	ck_assert_int_eq(qdq_guard(io.ctx, onnx_sink, NULL), QDQ_OK);
	ck_assert_uint_eq(io.out.size, io.model.size);
	ck_assert_mem_eq(io.out.data, io.model.data, io.model.size);
	ck_assert_uint_eq(io.ctx->diagnostics.count, 0);
}
END_TEST

/* ---- tensors ---- */

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

	io.part.size = 0;
	if (form == RAW)
		put_bytes(b, 9, forms[i].raw, forms[i].size);
	for (int e = 0; form != RAW && e < forms[i].n_entries; e++) {
		if (form == PACKED) {
			put_entry(&io.part, field, forms[i].entries[e]);
			continue;
		}
		put_tag(b, field, wire);
		put_entry(b, field, forms[i].entries[e]);
		if (form == STREWN)
			put_int(b, 90, e);
	}
	if (form == PACKED)
		put_message(b, field, &io.part);
}

START_TEST(test_tensor_forms)
{
	int i = _i / N_FORMS;
	const qdq_tensor *t;

	put_int(&io.tensor, 1, forms[i].dim);
	put_int(&io.tensor, 2, forms[i].type);
	put_form(&io.tensor, i, (enum form)(_i % N_FORMS));
	put_string(&io.tensor, 8, "w");
	put_message(&io.graph, 5, &io.tensor);
	finish_model(NULL);
	ck_assert_int_eq(load_bytes(io.model.data, io.model.size), QDQ_OK);
	ck_assert_uint_eq(io.m->graph->constants.count, 1);
	t = io.m->graph->constants.items[0]->tensor;
	ck_assert_int_eq((int)t->type, forms[i].type);
	ck_assert_uint_eq(t->count, (uint64_t)forms[i].dim);
	ck_assert_uint_eq(t->size, forms[i].size);
	ck_assert_mem_eq(t->data, forms[i].raw, forms[i].size);
	if (_i % N_FORMS == RAW) /* in place: in the file's own bytes */
		ck_assert((const unsigned char *)t->data > io.model.data &&
			  (const unsigned char *)t->data < io.model.data + io.model.size);
	ck_assert_int_eq(qdq_guard(io.ctx, onnx_sink, NULL), QDQ_OK); /* and what is written reads the same */
	ck_assert_int_eq(load_bytes(io.out.data, io.out.size), QDQ_OK);
	ck_assert(qdq_tensor_equal(t, io.m->graph->constants.items[0]->tensor));
}
END_TEST

/* A tensor that was made here, not loaded, is written raw. */
START_TEST(test_new_tensor)
{
	qdq_tensor *t;
	int64_t dims[] = {3};

	finish_model(NULL);
	ck_assert_int_eq(load_bytes(io.model.data, io.model.size), QDQ_OK);
	t = qdq_tensor_new(io.m, QDQ_TYPE_INT8, 1, dims);
	memcpy((char *)(uintptr_t)t->data, "xyz", 3);
	qdq_graph_add_constant(io.m->graph, qdq_intern(&io.m->names, "made"), t);
	ck_assert_int_eq(qdq_guard(io.ctx, onnx_sink, NULL), QDQ_OK);
	ck_assert_int_eq(load_bytes(io.out.data, io.out.size), QDQ_OK);
	ck_assert_uint_eq(io.m->graph->constants.count, 1);
	ck_assert_str_eq(io.m->graph->constants.items[0]->name, "made");
	ck_assert(qdq_tensor_equal(t, io.m->graph->constants.items[0]->tensor));
}
END_TEST

START_TEST(test_string_tensor)
{
	const qdq_tensor *t;

	put_int(&io.tensor, 1, 2);
	put_int(&io.tensor, 2, QDQ_TYPE_STRING);
	put_bytes(&io.tensor, 6, "a\0b", 3);
	put_bytes(&io.tensor, 6, "", 0);
	put_string(&io.tensor, 8, "w");
	put_message(&io.graph, 5, &io.tensor);
	finish_model(NULL);
	ck_assert_int_eq(load_bytes(io.model.data, io.model.size), QDQ_OK);
	t = io.m->graph->constants.items[0]->tensor;
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
		put_int(&io.tensor, 1, bad_tensors[_i].dims[i]);
	put_int(&io.tensor, 2, bad_tensors[_i].type);
	put_bytes(&io.tensor, bad_tensors[_i].field, bad_tensors[_i].data, bad_tensors[_i].size);
	put_string(&io.tensor, 8, "w");
	put_message(&io.graph, 5, &io.tensor);
	finish_model(NULL);
	EXPECT_FAILURE(load_bytes(io.model.data, io.model.size), QDQ_EMODEL, bad_tensors[_i].words);
	ck_assert_uint_lt(io.ctx->memory_peak, 1 << 20);
}
END_TEST

START_TEST(test_twice_stored)
{
	put_int(&io.tensor, 1, 1);
	put_int(&io.tensor, 2, QDQ_TYPE_INT8);
	put_bytes(&io.tensor, 5, "\1", 1);
	put_string(&io.tensor, 8, "w");
	put_bytes(&io.tensor, 9, "\1", 1);
	put_message(&io.graph, 5, &io.tensor);
	finish_model(NULL);
	EXPECT_FAILURE(load_bytes(io.model.data, io.model.size), QDQ_EMODEL, "or twice");
}
END_TEST

START_TEST(test_limits)
{
	put_node(&io.graph, "Relu", "x", NULL, "a", NULL);
	finish_model(NULL);
	io.ctx->options.max_nodes = 1;
	EXPECT_FAILURE(load_bytes(io.model.data, io.model.size), QDQ_EMODEL, "2 nodes are more than the limit of 1");
	io.ctx->options.max_nodes = 2;
	ck_assert_int_eq(load_bytes(io.model.data, io.model.size), QDQ_OK);
}
END_TEST

Suite *onnx_io_suite(void)
{
	Suite *suite = suite_create("onnx_io");
	TCase *cases = tcase_create("all");

	tcase_add_checked_fixture(cases, onnx_setup, onnx_teardown);
	tcase_set_timeout(cases, 60);
	tcase_add_loop_test(cases, test_bad_wire, 0, (int)(QDQ_COUNTOF(bad_wires)));
	tcase_add_test(cases, test_deep_nesting);
	tcase_add_test(cases, test_truncated);
	tcase_add_test(cases, test_unknown_fields);
	tcase_add_loop_test(cases, test_tensor_forms, 0, (int)(QDQ_COUNTOF(forms) * N_FORMS));
	tcase_add_test(cases, test_new_tensor);
	tcase_add_test(cases, test_string_tensor);
	tcase_add_loop_test(cases, test_bad_tensor, 0, (int)(QDQ_COUNTOF(bad_tensors)));
	tcase_add_test(cases, test_twice_stored);
	tcase_add_test(cases, test_limits);
	suite_add_tcase(suite, cases);
	return suite;
}

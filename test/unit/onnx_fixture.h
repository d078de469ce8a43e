/* SPDX-License-Identifier: Apache-2.0
 *
 * onnx_fixture.h -- ONNX files made by hand, byte for byte, right or wrong; and what it takes to load and save them
 */
#ifndef QDQ_TEST_ONNX_FIXTURE_H
#define QDQ_TEST_ONNX_FIXTURE_H

#include <check.h>

#include "../../lib/onnx/onnx.h"

typedef struct bytes {
	unsigned char data[1 << 16];
	size_t size;
} bytes;

static inline void put_raw(bytes *b, const void *data, size_t size)
{
	if (size != 0)
		memcpy(b->data + b->size, data, size);
	b->size += size;
}

static inline void put_varint(bytes *b, uint64_t value)
{
	for (; value >= 0x80; value >>= 7)
		b->data[b->size++] = (unsigned char)(value | 0x80);
	b->data[b->size++] = (unsigned char)value;
}

static inline void put_tag(bytes *b, unsigned id, unsigned wire)
{
	put_varint(b, id << 3 | wire);
}

static inline void put_int(bytes *b, unsigned id, int64_t value)
{
	put_tag(b, id, 0);
	put_varint(b, (uint64_t)value);
}

static inline void put_bytes(bytes *b, unsigned id, const void *data, size_t size)
{
	put_tag(b, id, 2);
	put_varint(b, size);
	put_raw(b, data, size);
}

static inline void put_string(bytes *b, unsigned id, const char *s)
{
	put_bytes(b, id, s, strlen(s));
}

static inline void put_message(bytes *b, unsigned id, const bytes *message)
{
	put_bytes(b, id, message->data, message->size);
}

/* ---- what most files have ---- */

/* A NodeProto; names "" are written, NULL are not. */
static inline void put_node(bytes *graph, const char *op, const char *in1, const char *in2, const char *out,
			    const bytes *more)
{
	static bytes node;

	node.size = 0;
	if (in1 != NULL)
		put_string(&node, 1, in1);
	if (in2 != NULL)
		put_string(&node, 1, in2);
	if (out != NULL)
		put_string(&node, 2, out);
	if (op != NULL)
		put_string(&node, 4, op);
	if (more != NULL)
		put_raw(&node, more->data, more->size);
	put_message(graph, 1, &node);
}

/* Field `id` of a graph (11 input, 12 output, 13 value_info): a float tensor of shape [2]. */
static inline void put_value(bytes *graph, unsigned id, const char *name)
{
	static const unsigned char type[] = {0x0a, 0x08, 0x08, 0x01, 0x12, 0x04, 0x0a, 0x02, 0x08, 0x02};
	static bytes info;

	info.size = 0;
	put_string(&info, 1, name);
	put_bytes(&info, 2, type, sizeof type);
	put_message(graph, id, &info);
}

/* A ModelProto of IR version 8 and opset 17; `tail`: more of its fields. */
static inline void put_model(bytes *out, const bytes *graph, const bytes *tail)
{
	static const unsigned char opset[] = {0x0a, 0x00, 0x10, 0x11};

	out->size = 0;
	put_int(out, 1, 8);
	put_message(out, 7, graph);
	put_bytes(out, 8, opset, sizeof opset);
	if (tail != NULL)
		put_raw(out, tail->data, tail->size);
}

/* Payload fields of TensorProto. */
#define FLOAT_DATA 4u
#define INT32_DATA 5u
#define INT64_DATA 7u
#define DOUBLE_DATA 10u
#define UINT64_DATA 11u

/* A nested graph that copies `in` to `out`, as attribute `name`. */
static inline void put_branch(bytes *node, const char *name, const char *in, const char *out)
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

/* ---- loading and saving ---- */

extern struct onnx_fixture {
	qdq_ctx *ctx;
	const void *data; /* what onnx_load loads */
	size_t size;
	qdq_model *m; /* what was loaded last */
	const qdq_onnx_save *options;
	bytes out;			  /* of onnx_sink */
	bytes model, graph, part, tensor; /* to build with, empty at first */
} io;

void onnx_setup(void);
void onnx_teardown(void);

/* Bodies for qdq_guard. */
void onnx_load(void *unused);
void onnx_load_path(void *path);
void onnx_sink(void *unused);
void onnx_save_path(void *path);

qdq_status load_bytes(const void *data, size_t size);
/* io.graph and x -> Relu -> y as io.model; `tail`: more fields of the model, or NULL. */
void finish_model(const bytes *tail);
const char *complaint(void); /* the message of the last diagnostic */

#define EXPECT_FAILURE(got, status, words)                                                          \
	do {                                                                                        \
		ck_assert_int_eq((got), (status));                                                  \
		ck_assert_msg(strstr(complaint(), (words)) != NULL, "message is: %s", complaint()); \
	} while (0)

#endif

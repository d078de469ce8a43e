/* SPDX-License-Identifier: Apache-2.0
 *
 * eval_fixture.h -- building one node with its operands, running it, and looking at what comes out
 */
#ifndef QDQ_TEST_EVAL_FIXTURE_H
#define QDQ_TEST_EVAL_FIXTURE_H

#include <math.h>
#include <stdlib.h>

#include "../../lib/eval/eval.h"
#include "suites.h"

#define EVAL_UNUSED __attribute__((unused)) /* not each suite uses all of it */

static struct {
	qdq_ctx *ctx;
	qdq_model *m;
	qdq_node *n; /* being built */
	const qdq_tensor *in[16];
	const qdq_tensor *out[16];
	uint64_t max_bytes;
	qdq_eval_result result;
} t;

EVAL_UNUSED static void do_create(void *arg)
{
	(void)arg;
	t.m = qdq_model_create(t.ctx, "test");
}

EVAL_UNUSED static void setup(void)
{
	memset(&t, 0, sizeof t);
	ck_assert_int_eq(qdq_ctx_new(&t.ctx, NULL), QDQ_OK);
	ck_assert_int_eq(qdq_guard(t.ctx, do_create, NULL), QDQ_OK);
	t.m->opset = 21;
}

EVAL_UNUSED static void teardown(void)
{
	qdq_model_destroy(t.m);
	qdq_arena_free(&t.ctx->arena);
	ck_assert_uint_eq(t.ctx->memory, 0);
	t.ctx->options.alloc(t.ctx->options.alloc_user, t.ctx, sizeof *t.ctx, 0);
}

/* ---- building ---- */

typedef struct creation {
	qdq_op_id op;
	uint32_t n_in, n_out;
} creation;

EVAL_UNUSED static void do_node(void *arg)
{
	const creation *c = arg;
	const qdq_op_info *op = &qdq_ops[c->op];
	qdq_value *in[16] = {NULL}, *out[16];

	for (uint32_t i = 0; i < c->n_in; i++)
		if (t.in[i] != NULL) {
			in[i] = qdq_value_create(t.m->graph, qdq_unique_name(&t.m->names, "x"));
			in[i]->type = t.in[i]->type;
		}
	for (uint32_t i = 0; i < c->n_out; i++)
		out[i] = qdq_value_create(t.m->graph, qdq_unique_name(&t.m->names, "y"));
	t.n = qdq_node_create(t.m->graph, NULL, op->domain, op->name, qdq_intern(&t.m->names, ""), c->n_in, in,
			      c->n_out, out);
}

/* A node of so many outputs that reads the tensors, which a NULL ends; use `absent` for one that is left out. */
EVAL_UNUSED static const qdq_tensor absent;
EVAL_UNUSED static void node(qdq_op_id op, uint32_t n_out, const qdq_tensor *const *inputs)
{
	creation c = {.op = op, .n_out = n_out};

	for (; inputs[c.n_in] != NULL; c.n_in++)
		t.in[c.n_in] = inputs[c.n_in] == &absent ? NULL : inputs[c.n_in];
	ck_assert_int_eq(qdq_guard(t.ctx, do_node, &c), QDQ_OK);
}
#define NODE(op, n_out, ...) node(QDQ_OP_##op, n_out, (const qdq_tensor *const[]){__VA_ARGS__, NULL})

EVAL_UNUSED static void do_eval(void *arg)
{
	(void)arg;
	t.result = qdq_eval_node(t.m, &t.m->arena, t.n, t.in, t.out, t.max_bytes);
}

EVAL_UNUSED static qdq_eval_result run(void)
{
	ck_assert_int_eq(qdq_guard(t.ctx, do_eval, NULL), QDQ_OK);
	return t.result;
}

EVAL_UNUSED static void put(qdq_type type, char *data, size_t i, double v)
{
	int64_t n = (int64_t)v;
	float f = (float)v;
	uint16_t h = type == QDQ_TYPE_FLOAT16 ? qdq_f32_to_f16(f) : qdq_f32_to_bf16(f);

	switch (type) {
	case QDQ_TYPE_FLOAT:
		memcpy(data + 4 * i, &f, 4);
		break;
	case QDQ_TYPE_DOUBLE:
		memcpy(data + 8 * i, &v, 8);
		break;
	case QDQ_TYPE_FLOAT16:
	case QDQ_TYPE_BFLOAT16:
		memcpy(data + 2 * i, &h, 2);
		break;
	case QDQ_TYPE_INT64:
		memcpy(data + 8 * i, &n, 8);
		break;
	case QDQ_TYPE_INT32:
		memcpy(data + 4 * i, &(int32_t){(int32_t)n}, 4);
		break;
	case QDQ_TYPE_INT16:
	case QDQ_TYPE_UINT16:
		memcpy(data + 2 * i, &(uint16_t){(uint16_t)n}, 2);
		break;
	case QDQ_TYPE_INT4:
	case QDQ_TYPE_UINT4:
		data[i / 2] = (char)(data[i / 2] | (n & 15) << (i % 2 * 4));
		break;
	default:
		data[i] = (char)n;
		break;
	}
}

typedef struct making {
	qdq_type type;
	int rank;
	const int64_t *dims;
	qdq_tensor *made;
} making;

EVAL_UNUSED static void do_tensor(void *arg)
{
	making *m = arg;
	m->made = qdq_tensor_new(t.m, m->type, m->rank, m->dims);
}

EVAL_UNUSED static const qdq_tensor *tensor(qdq_type type, int rank, const int64_t *dims, const double *values)
{
	making m = {type, rank, dims, NULL};

	ck_assert_int_eq(qdq_guard(t.ctx, do_tensor, &m), QDQ_OK);
	char *data;
	memcpy(&data, &m.made->data, sizeof data);
	for (size_t i = 0; i < m.made->count; i++)
		put(type, data, i, values[i]);
	return m.made;
}
#define DIMS(...)                                                                    \
	(int)(sizeof((int64_t[]){__VA_ARGS__}) / sizeof(int64_t)), (const int64_t[]) \
	{                                                                            \
		__VA_ARGS__                                                          \
	}
#define SCALAR 0, NULL
#define VALUES(...)         \
	(const double[])    \
	{                   \
		__VA_ARGS__ \
	}
#define LIST(type, ...)                                                                                            \
	tensor(QDQ_TYPE_##type, 1, (const int64_t[]){(int64_t)(sizeof((double[]){__VA_ARGS__}) / sizeof(double))}, \
	       VALUES(__VA_ARGS__))
#define ONE(type, v) tensor(QDQ_TYPE_##type, 0, NULL, VALUES(v))
#define INTS(...) (const int64_t[]){__VA_ARGS__}, sizeof((int64_t[]){__VA_ARGS__}) / sizeof(int64_t)

EVAL_UNUSED static double get(const qdq_tensor *x, size_t i)
{
	const char *data = x->data;
	uint16_t h = 0;
	double v;
	float f;

	switch (x->type) {
	case QDQ_TYPE_FLOAT:
		memcpy(&f, data + 4 * i, 4);
		return f;
	case QDQ_TYPE_DOUBLE:
		memcpy(&v, data + 8 * i, 8);
		return v;
	case QDQ_TYPE_FLOAT16:
		memcpy(&h, data + 2 * i, 2);
		return qdq_f16_to_f32(h);
	case QDQ_TYPE_INT64:
		return (double)((const int64_t *)x->data)[i];
	case QDQ_TYPE_INT32:
		return ((const int32_t *)x->data)[i];
	case QDQ_TYPE_INT16:
		return ((const int16_t *)x->data)[i];
	case QDQ_TYPE_UINT16:
		return ((const uint16_t *)x->data)[i];
	case QDQ_TYPE_INT8:
		return ((const int8_t *)x->data)[i];
	case QDQ_TYPE_INT4:
		return (((data[i / 2] >> (i % 2 * 4)) & 15) ^ 8) - 8;
	default:
		return ((const uint8_t *)x->data)[i];
	}
}

EVAL_UNUSED static void expect(uint32_t i, qdq_type type, int rank, const int64_t *dims, const double *values)
{
	ck_assert_int_eq(t.result, QDQ_EVAL_OK);
	const qdq_tensor *y = t.out[i];
	ck_assert_ptr_nonnull(y);
	ck_assert_int_eq((int)y->type, (int)type);
	ck_assert_int_eq(y->rank, rank);
	for (int k = 0; k < rank; k++)
		ck_assert_int_eq(y->dims[k], dims[k]);
	for (size_t k = 0; k < y->count; k++) {
		double v = get(y, k);
		ck_assert_msg(v == values[k] || (isnan(v) && isnan(values[k])), "element %zu is %g, not %g", k, v,
			      values[k]);
	}
}
#define EXPECT(type, dims, ...)                                        \
	do {                                                           \
		run();                                                 \
		expect(0, QDQ_TYPE_##type, dims, VALUES(__VA_ARGS__)); \
	} while (0)
#define REFUSED() ck_assert_int_eq(run(), QDQ_EVAL_UNSUPPORTED)
#define ATTR_INT(name, v) qdq_attr_set_int(t.n, name, v)
#define ATTR_INTS(name, ...) qdq_attr_set_ints(t.n, name, INTS(__VA_ARGS__))

#endif

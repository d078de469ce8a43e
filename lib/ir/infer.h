/* SPDX-License-Identifier: Apache-2.0
 *
 * infer.h -- private to lib/ir: what the inference of types and shapes is made of
 *
 * One function for each token of ops.def's infer column. It reads its node's inputs and says what it knows of the
 * outputs through qdq_infer_put; it never fails, and never looks at more than its node and what that holds.
 */
#ifndef QDQ_INFER_H
#define QDQ_INFER_H

#include "ir.h"

/* ---- the notation of ops.def (ops.c) ---- */

typedef struct qdq_op_operand {
	const char *name;
	int name_length;
	const char *types; /* see ops.def; NULL: any */
	int types_length;
	char count; /* '?', '*', '+' or 0: exactly one */
} qdq_op_operand;

typedef struct qdq_op_attr {
	const char *name;
	int name_length;
	qdq_attr_type type;
	bool required;
} qdq_op_attr;

/* The next operand (attribute) that there is in this opset; false at the end. */
bool qdq_op_next_operand(const char **notation, int opset, qdq_op_operand *out);
bool qdq_op_next_attr(const char **notation, int opset, qdq_op_attr *out);

/* ---- check.c ---- */

/* Nodes of one operator look alike: what the last good one of each looked like (a hash). */
typedef struct qdq_checked {
	uint64_t last[QDQ_OP_COUNT];
} qdq_checked;

/* Operands, attributes and element types of one node; false and error diagnostics where they are wrong. */
bool qdq_node_check(qdq_checked *done, const qdq_node *n, int opset);

/* ---- the state of one inference ---- */

struct qdq_infer {
	qdq_model *m;
	const struct qdq_function *function; /* whose body it is; NULL: the main graph */
	int opset;			     /* of ai.onnx, in the model or the function */
	uint32_t depth;			     /* of nested graphs and calls */
	uint64_t budget;		     /* nodes of functions' bodies that it may still look at */
	bool is_call;	    /* the body's values belong to all calls: what is declared is not refined */
	bool declared_wins; /* a declared type stays: whether that is right is for verify.c to say */
};

/* The state for nodes of g. */
qdq_infer qdq_infer_begin(const qdq_graph *g);
/* The version of ai.onnx that the nodes of g are written in. */
int qdq_graph_opset(const qdq_graph *g);

/* A shape (or contents) under construction. */
#define QDQ_INFER_RANK 32
typedef struct qdq_dims {
	int rank; /* -1: unknown */
	qdq_dim d[QDQ_INFER_RANK];
} qdq_dims;

/* A dimension of which nothing is known: becomes what the value had there, or a fresh unknown. */
#define QDQ_DIM_ANY INT64_MIN

/* ---- reading (infer.c) ---- */

static inline qdq_type qdq_infer_type(const qdq_node *n, uint32_t i)
{
	const qdq_value *v = qdq_in(n, i);

	return v == NULL ? QDQ_TYPE_NONE : v->type;
}

static inline const qdq_shape *qdq_infer_shape(const qdq_node *n, uint32_t i)
{
	const qdq_value *v = qdq_in(n, i);

	return v == NULL ? NULL : v->shape;
}

/* A copy of the shape to work on; false, and rank -1, where it is unknown or of an absurd rank. */
bool qdq_infer_dims(const qdq_node *n, uint32_t i, qdq_dims *out);
bool qdq_infer_copy(const qdq_shape *s, qdq_dims *out);
/* Constant data of a value, seen through Constant nodes and a region's inputs; NULL: none. */
const qdq_tensor *qdq_infer_tensor(const qdq_value *v);
/* The contents of a value, taken from its constant on the first call; NULL: not known. */
const qdq_shape *qdq_infer_contents(qdq_infer *c, qdq_value *v);

typedef enum qdq_known { QDQ_ABSENT, QDQ_UNKNOWN, QDQ_KNOWN } qdq_known;
typedef struct qdq_ints {
	int count;
	int64_t at[QDQ_INFER_RANK];
} qdq_ints;
/* Integers from input i (where it is there) or else from attribute `name` (which may be NULL). */
qdq_known qdq_infer_ints(qdq_infer *c, const qdq_node *n, uint32_t i, const char *name, qdq_ints *out);
/* The same as axes of a tensor: non-negative, in range, as a mask. */
qdq_known qdq_infer_axes(qdq_infer *c, const qdq_node *n, uint32_t i, const char *name, int rank, uint32_t *mask);
/* Counts a negative axis from the end; false where it is out of range. */
bool qdq_infer_axis(int64_t axis, int rank, int *out);

/* Arithmetic in which an unknown operand gives an unknown result. */
qdq_dim qdq_infer_binary(qdq_infer *c, qdq_dim_op op, qdq_dim a, qdq_dim b);
static inline qdq_dim qdq_infer_add(qdq_infer *c, qdq_dim a, int64_t b)
{
	return b >= 0 ? qdq_infer_binary(c, QDQ_DIM_ADD, a, b) : qdq_infer_binary(c, QDQ_DIM_SUB, a, -b);
}
static inline qdq_dim qdq_infer_mul(qdq_infer *c, qdq_dim a, qdq_dim b)
{
	return qdq_infer_binary(c, QDQ_DIM_MUL, a, b);
}
static inline qdq_dim qdq_infer_div(qdq_infer *c, qdq_dim a, qdq_dim b)
{
	return qdq_infer_binary(c, QDQ_DIM_DIV, a, b);
}
/* An element of contents as a dimension: unknown where it is negative, or may be. */
qdq_dim qdq_infer_size(qdq_infer *c, qdq_dim d);
/* Broadcasting: into `to`, which starts with rank 0. */
void qdq_infer_broadcast_into(qdq_dims *to, const qdq_dims *by);

/* ---- writing (infer.c) ---- */

/* What is known of output i; QDQ_TYPE_NONE, rank -1 or NULL says nothing. */
void qdq_infer_put(qdq_infer *c, qdq_node *n, uint32_t i, qdq_type type, const qdq_dims *dims);
void qdq_infer_put_shape(qdq_infer *c, qdq_node *n, uint32_t i, qdq_type type, const qdq_shape *shape);
void qdq_infer_put_contents(qdq_infer *c, qdq_node *n, uint32_t i, const qdq_dims *contents);
/* The same for any value; n is for messages. */
void qdq_infer_settle(qdq_infer *c, const qdq_node *n, qdq_value *v, qdq_type type, const qdq_shape *shape);
void qdq_infer_settle_dims(qdq_infer *c, const qdq_node *n, qdq_value *v, qdq_type type, const qdq_dims *dims);

void qdq_infer_nodes(qdq_infer *c, qdq_graph *g);
void qdq_infer_call(qdq_infer *c, qdq_node *n); /* of a model-local function (infer_control.c) */

/* ---- contents (infer_contents.c) ---- */

/* Computes output 0's contents from the inputs', for elementwise operators and reductions on integers. */
void qdq_infer_contents_elementwise(qdq_infer *c, qdq_node *n);
void qdq_infer_contents_reduce(qdq_infer *c, qdq_node *n);
/* Output 0 holds the same elements as input 0. */
void qdq_infer_contents_same(qdq_infer *c, qdq_node *n);

qdq_infer_fn qdq_infer_region, qdq_infer_none;
#define OP(id, name, domain, versions, cls, family, axis, s8, u8, infer, ...) qdq_infer_fn qdq_infer_##infer;
#include "ops.def"
#undef OP

#endif

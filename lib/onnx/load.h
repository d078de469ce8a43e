/* SPDX-License-Identifier: Apache-2.0
 *
 * load.h -- what the files of the loader share
 */
#ifndef QDQ_ONNX_LOAD_H
#define QDQ_ONNX_LOAD_H

#include "internal.h"

/* A function while the model is loaded, and a call that its body makes. */
typedef struct qdq_callee qdq_callee;
typedef struct qdq_call qdq_call;
struct qdq_call {
	qdq_callee *callee;
	qdq_call *next;
};
struct qdq_callee {
	qdq_function *function;
	const Onnx__FunctionProto *proto;
	qdq_call *calls;
	uint64_t callers; /* calls from other functions' bodies (and its own) */
};

/* The node that is being read, and where its graph's later nodes are; the innermost graph first. */
typedef struct qdq_frame qdq_frame;
struct qdq_frame {
	qdq_frame *outer;
	const Onnx__NodeProto *proto; /* NULL: between nodes */
	uint32_t index;		      /* in the file */
	const uint8_t *at, *end;      /* the graph's fields behind this node */
	uint32_t id;		      /* field number of the nodes there */
};

typedef struct qdq_load {
	qdq_ctx *ctx;
	qdq_model *m;
	qdq_onnx_model *record;
	const char *path;   /* NULL: none */
	qdq_source *source; /* NULL: memory */
	qdq_arena scratch;
	qdq_arena node_scratch;	     /* until the next node */
	QDQ_VEC(qdq_name) bound;     /* in open graphs, innermost last */
	QDQ_VEC(qdq_value *) values; /* inputs, then outputs of the node being read */
	qdq_names keys;		     /* "domain\nname\noverload" */
	qdq_map functions;	     /* key -> qdq_callee */
	QDQ_VEC(qdq_callee *) callees;
	qdq_callee *caller; /* the function whose body is being read */
	qdq_frame *frame;
	const Onnx__NodeProto *remainders[6]; /* see load_node.c */
	bool rich;	/* some node of the file has tensors, graphs, or what the IR does not model */
	bool transient; /* the node being read is in node_scratch: copy what stays */
	size_t n_names; /* that nodes define or have */
	uint32_t next_origin;
	qdq_map externals; /* location -> qdq_source */
	uint32_t n_externals;
	uint64_t external; /* tensors with external data that has not been looked up */
} qdq_load;

/* ---- load.c ---- */

/* QDQ_EMODEL at the node that is being read. */
QDQ_NORETURN void qdq_load_fail(qdq_load *l, const char *operand, const char *format, ...) QDQ_PRINTF(3, 4);
/* A scanned piece as a message in `out`, skeleton in `scratch`. */
ProtobufCMessage *qdq_load_unpack(qdq_load *l, const qdq_wire *w, qdq_arena *scratch, qdq_arena *out);
qdq_name qdq_load_name(qdq_load *l, const char *name);
qdq_name qdq_load_domain(qdq_load *l, const char *domain); /* "ai.onnx" is "" */
/* What a name means here, NULL: nothing. The model's names have it beside them while the model is loaded. */
qdq_value *qdq_load_lookup(qdq_load *l, const char *name);
/* A name gets a meaning; throws where it has one. */
void qdq_load_bind(qdq_load *l, qdq_value *v);
qdq_value *qdq_load_define(qdq_load *l, qdq_graph *g, const char *name); /* a new value, bound */
void qdq_load_unbind(qdq_load *l, size_t mark);				 /* what was bound since bound.count was mark */
qdq_callee *qdq_load_callee(qdq_load *l, const char *domain, const char *name, const char *overload);
qdq_opset *qdq_load_opsets(qdq_load *l, size_t count, Onnx__OperatorSetIdProto *const *protos);

/* ---- load_graph.c ---- */

void qdq_load_graph(qdq_load *l, qdq_graph *g, const Onnx__GraphProto *proto);
void qdq_load_function(qdq_load *l, qdq_function *f, const Onnx__FunctionProto *proto);

const qdq_shape *qdq_load_shape(qdq_load *l, const Onnx__TensorShapeProto *proto, const char *name);

/* ---- neutral.c ---- */

const qdq_type_tree *qdq_load_tree(qdq_load *l, const Onnx__TypeProto *p, const char *label);
void qdq_load_type_attr(qdq_load *l, qdq_attr *out, const Onnx__AttributeProto *p);
void qdq_load_about(qdq_load *l, const Onnx__ModelProto *p);

/* ---- load_node.c ---- */

/* `protos`: the one token that a skeleton has for all nodes, or none. */
void qdq_load_nodes(qdq_load *l, qdq_graph *g, size_t count, Onnx__NodeProto *const *protos);
void qdq_load_attr(qdq_load *l, qdq_node *n, qdq_attr *out, const Onnx__AttributeProto *proto);

/* ---- load_tensor.c ---- */

const qdq_tensor *qdq_load_tensor(qdq_load *l, const Onnx__TensorProto *proto, const char *label);

#endif

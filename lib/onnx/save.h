/* SPDX-License-Identifier: Apache-2.0
 *
 * save.h -- what the files of the writer share
 */
#ifndef QDQ_ONNX_SAVE_H
#define QDQ_ONNX_SAVE_H

#include "internal.h"

/* One tensor in the external data file. */
typedef struct qdq_external_part {
	const qdq_tensor *tensor;
	uint64_t offset;
} qdq_external_part;

/* The file is made of fragments, each a skeleton of whole fields and the patches to it: the model's fields up to the
 * graph, the graph's nodes in some pieces, the rest of the graph, the rest of the model. */
typedef struct qdq_save {
	qdq_ctx *ctx;
	qdq_model *m;
	qdq_arena keep;	      /* fragments, payloads */
	qdq_arena scratch;    /* messages that are being packed */
	const char *location; /* of external data, as the file will say; NULL: everything goes into the model */
	QDQ_VEC(qdq_external_part) parts;
	uint64_t parts_end;
	bool tokens;	      /* set by what is made: it may hold tokens for payloads */
	unsigned char *marks; /* by value id: enum mark of save_graph.c */
	QDQ_VEC(qdq_wire) fragments;
	size_t graph_begin; /* the first fragment of the main graph */
	uint64_t graph_size, total;
} qdq_save;

/* Strings of the IR in messages: protobuf-c's structs are not const, but packing writes nothing. */
static inline char *qdq_unconst(const void *s)
{
	return (char *)(uintptr_t)s;
}
/* `now`, or the string of the old message where it says the same ("" and absent do). */
char *qdq_save_string(const char *old, const char *now);

/* ---- save_model.c ---- */

/* Fills in fragments and sizes; may be called again with another location. */
void qdq_save_build(qdq_save *s);
/* The file's bytes, front to back. */
void qdq_save_emit(const qdq_save *s,
		   void (*piece)(void *user, const void *data, size_t size, const qdq_source *source), void *user);

/* ---- save_graph.c ---- */

/* The message of a graph; `nodes` false: all but its nodes. */
Onnx__GraphProto *qdq_save_graph(qdq_save *s, qdq_graph *g, bool nodes);
Onnx__FunctionProto *qdq_save_function(qdq_save *s, const qdq_function *f);
Onnx__OperatorSetIdProto **qdq_save_opsets(qdq_save *s, const qdq_opset *opsets, size_t count, size_t old_count,
					   Onnx__OperatorSetIdProto **old);

/* ---- save_node.c ---- */

void qdq_save_node(qdq_save *s, const qdq_node *n, Onnx__NodeProto *out);
Onnx__AttributeProto *qdq_save_attr(qdq_save *s, const qdq_attr *a);
/* `name` NULL: as it was. */
Onnx__TensorProto *qdq_save_tensor(qdq_save *s, const qdq_tensor *t, const char *name);

/* ---- neutral.c ---- */

Onnx__TypeProto *qdq_save_tree(qdq_save *s, const qdq_type_tree *t);
/* What `out` does not have from an old message. */
void qdq_save_type_attr(qdq_save *s, const qdq_attr *a, Onnx__AttributeProto *out);
void qdq_save_about(const qdq_about *about, Onnx__ModelProto *out);
void qdq_save_metadata(qdq_save *s, const qdq_about *about, Onnx__ModelProto *out);

/* ---- save_type.c ---- */

Onnx__TensorShapeProto *qdq_save_shape(qdq_save *s, const qdq_shape *shape, const Onnx__TensorShapeProto *old);

/* What v is, as a message that takes over from `old` (which may be NULL) what the IR does not model. */
Onnx__ValueInfoProto *qdq_save_info(qdq_save *s, const qdq_value *v, const Onnx__ValueInfoProto *old);

#endif

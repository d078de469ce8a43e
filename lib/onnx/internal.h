/* SPDX-License-Identifier: Apache-2.0
 *
 * internal.h -- what the files of this folder share: mapped files, and what hangs on `foreign` pointers
 *
 *   qdq_model.foreign     qdq_onnx_model        qdq_value.foreign     Onnx__ValueInfoProto
 *   qdq_graph.foreign     qdq_onnx_graph        qdq_attr.foreign      Onnx__AttributeProto
 *   qdq_function.foreign  Onnx__FunctionProto   qdq_tensor.foreign    qdq_onnx_tensor
 *   qdq_node.foreign      Onnx__NodeProto
 *
 * The messages lie in the model's arena and are never changed. The writer starts from shallow copies of them.
 */
#ifndef QDQ_ONNX_INTERNAL_H
#define QDQ_ONNX_INTERNAL_H

#include "onnx.h"
#include "onnx.pb-c.h"
#include "wire.h"

/* ---- source.c: files that are read in place ---- */

typedef struct qdq_source qdq_source;
struct qdq_source {
	qdq_source *next; /* in qdq_onnx_model.sources */
	const char *path; /* as opened */
	const char *data;
	size_t size;
	int fd; /* -1: memory */
	uint64_t device, inode;
	bool external; /* holds external data */
};

/* Maps a regular file; `operand` is for the message. Unmapped with the arena. */
qdq_source *qdq_source_open(qdq_arena *a, const char *path, const qdq_where *where);
void qdq_source_close_file(qdq_source *s); /* it stays mapped */
/* The file that a tensor's `location` names, which must lie in the folder of the file `beside`. */
const char *qdq_source_resolve(qdq_arena *a, const char *beside, const char *location, const qdq_where *where);

/* ---- foreign records ---- */

typedef struct qdq_onnx_model {
	const Onnx__ModelProto *proto;
	qdq_source *sources;
} qdq_onnx_model;

/* A ValueInfoProto of the file and what the IR made of it: what has not changed is written as it was. */
typedef struct qdq_onnx_info {
	const Onnx__ValueInfoProto *proto;
	qdq_value *value; /* NULL: describes nothing in this graph */
	qdq_type type;
	const qdq_shape *shape;
} qdq_onnx_info;

typedef struct qdq_onnx_graph {
	const Onnx__GraphProto *proto; /* NULL: a function's body */
	size_t n_inputs, n_outputs, n_infos, n_tensors, n_sparse;
	qdq_onnx_info *inputs, *outputs, *infos;
	qdq_value **tensors; /* of proto->initializer[i] */
	qdq_value **sparse;  /* of proto->sparse_initializer[i] */
} qdq_onnx_graph;

typedef struct qdq_onnx_tensor {
	const qdq_tensor *owner; /* a changed copy of a tensor has this record too, but is not its owner */
	const Onnx__TensorProto *proto;
	const qdq_payload *payload; /* NULL: none in the file itself */
} qdq_onnx_tensor;

#endif

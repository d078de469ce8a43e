/* SPDX-License-Identifier: Apache-2.0
 *
 * wire.h -- the pass over protobuf's wire format that keeps what is large out of messages
 *
 *   file      … GraphProto { <1,000,000 nodes> … TensorProto { dims name raw_data <25 MB> } … } …
 *   skeleton  … GraphProto { <token>           … TensorProto { dims name raw_data <token> } … } …
 *
 * protobuf-c copies every bytes field, makes a message of every node and recurses without bound. So a file is first
 * checked: every tag, length, wire type and depth. Then it is stripped: each tensor's payload and each graph's nodes
 * are replaced by a token, and protobuf-c reads the skeleton; nodes are read one by one, from where they lie. On the
 * way out protobuf-c packs skeletons with tokens for payloads, which are put in their places as they are written.
 */
#ifndef QDQ_ONNX_WIRE_H
#define QDQ_ONNX_WIRE_H

#include <protobuf-c/protobuf-c.h>

#include "../base/base.h"

struct qdq_source;

typedef struct qdq_payload {
	const char *data;
	size_t size;
	const struct qdq_source *source; /* file that data lies in; NULL: memory */
	bool framed; /* data is whole fields of a TensorProto, tags and all, as they were loaded; else the raw bytes */
} qdq_payload;

/* What a skeleton has in raw_data: the address of a payload. */
#define QDQ_TOKEN_SIZE sizeof(void *)

/* The nodes of a graph or function that were taken out. In the skeleton there is one node in their place, with
 * nothing in it but an unknown field: the address of this. */
typedef struct qdq_nodes {
	const uint8_t *begin, *end; /* the whole inside of the graph or function */
	uint32_t id;		    /* field number of the nodes there */
	size_t count;
} qdq_nodes;

typedef enum qdq_patch_kind {
	QDQ_PATCH_LENGTH, /* of an enclosing message */
	QDQ_PATCH_REMOVE,
	QDQ_PATCH_TOKEN,   /* in the place of a payload */
	QDQ_PATCH_NODES,   /* in the place of nodes */
	QDQ_PATCH_PAYLOAD, /* in the place of a token */
} qdq_patch_kind;
typedef struct qdq_patch {
	size_t at, size; /* what it replaces */
	qdq_patch_kind kind;
	union {
		uint64_t length;
		const qdq_payload *payload;
		const qdq_nodes *nodes;
	} u;
} qdq_patch;

typedef enum qdq_wire_mode { QDQ_WIRE_CHECK, QDQ_WIRE_STRIP, QDQ_WIRE_RESTORE } qdq_wire_mode;
typedef struct qdq_wire {
	qdq_ctx *ctx;
	const char *path; /* for messages */
	qdq_wire_mode mode;
	const ProtobufCMessageDescriptor *message; /* what data is */
	const char *data;
	size_t size;
	const struct qdq_source *source; /* of data */
	qdq_arena *scratch;		 /* for patches */
	qdq_arena *keep;		 /* for payloads and node lists */
	/* results */
	QDQ_VEC(qdq_patch) patches;
	uint64_t total;	   /* size with all patches done */
	uint64_t nodes;	   /* NodeProtos seen */
	uint64_t names;	   /* names that nodes have or define */
	uint64_t external; /* TensorProtos with data_location EXTERNAL */
	bool rich;	   /* a node or attribute has fields that the IR does not model, or tensors, or graphs */
	/* while it runs */
	uint32_t depth;
	bool training;
} qdq_wire;

/* Fills in the results, whatever an earlier scan left there; throws QDQ_EMODEL. */
void qdq_wire_scan(qdq_wire *w);
/* The patched bytes in pieces, front to back; `source` is the file that a piece lies in, or NULL. */
void qdq_wire_emit(const qdq_wire *w,
		   void (*piece)(void *user, const void *data, size_t size, const struct qdq_source *source),
		   void *user);

/* One field of a message. */
typedef struct qdq_field {
	uint32_t id;
	unsigned wire;	     /* wire type */
	uint64_t value;	     /* of a varint */
	const uint8_t *data; /* of a fixed or length-prefixed field */
	size_t size;	     /* of data */
} qdq_field;

#define QDQ_WIRE_VARINT 0u
#define QDQ_WIRE_64BIT 1u
#define QDQ_WIRE_BYTES 2u
#define QDQ_WIRE_32BIT 5u

/* Reads the field at *at and moves behind it; NULL, or what is wrong with it. */
const char *qdq_wire_field(const uint8_t **at, const uint8_t *end, qdq_field *out);
/* Reads a varint; 0 where it is cut off or longer than 10 bytes, else its size. */
size_t qdq_wire_varint(const uint8_t *at, const uint8_t *end, uint64_t *out);
size_t qdq_wire_put_varint(uint8_t *out, uint64_t value); /* at most 10 bytes; returns how many */

/* Numbers of the payload fields of TensorProto. */
#define QDQ_FIELD_FLOAT_DATA 4u
#define QDQ_FIELD_INT32_DATA 5u
#define QDQ_FIELD_INT64_DATA 7u
#define QDQ_FIELD_RAW_DATA 9u
#define QDQ_FIELD_DOUBLE_DATA 10u
#define QDQ_FIELD_UINT64_DATA 11u

#endif

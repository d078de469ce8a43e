/* SPDX-License-Identifier: Apache-2.0
 *
 * wire.h -- the pass over protobuf's wire format that keeps tensor payloads out of messages
 *
 *   file      … TensorProto { dims name raw_data <25 MB> } …
 *   skeleton  … TensorProto { dims name raw_data <token> } …     what protobuf-c reads and writes
 *
 * protobuf-c copies every bytes field and recurses without bound. So a file is scanned first: every tag, length,
 * wire type and depth is checked, and each tensor's payload is replaced by a token that points to a qdq_payload. On
 * the way out protobuf-c packs a skeleton with tokens, and the same scan puts the payloads in their places.
 */
#ifndef QDQ_ONNX_WIRE_H
#define QDQ_ONNX_WIRE_H

#include "../base/base.h"

struct qdq_source;

typedef struct qdq_payload {
	const char *data;
	size_t size;
	const struct qdq_source *source; /* file that data lies in; NULL: memory */
	bool framed; /* data is whole fields of a TensorProto, tags and all, as they were loaded; else the raw bytes */
} qdq_payload;

/* A token is what a skeleton has in raw_data: the address of a payload. */
#define QDQ_TOKEN_SIZE sizeof(qdq_payload *)

typedef enum qdq_patch_kind { QDQ_PATCH_LENGTH, QDQ_PATCH_TOKEN, QDQ_PATCH_PAYLOAD, QDQ_PATCH_REMOVE } qdq_patch_kind;
typedef struct qdq_patch {
	size_t at, size; /* what it replaces */
	qdq_patch_kind kind;
	union {
		uint64_t length; /* new length of an enclosing message */
		const qdq_payload *payload;
	} u;
} qdq_patch;

typedef struct qdq_wire {
	qdq_ctx *ctx;
	const char *path; /* for messages */
	const char *data;
	size_t size;
	const struct qdq_source *source; /* of data */
	bool restore;			 /* put payloads in, instead of taking them out */
	qdq_arena *scratch;		 /* for patches */
	qdq_arena *keep;		 /* for payloads */
	/* results */
	QDQ_VEC(qdq_patch) patches;
	uint64_t total;	   /* size with all patches done */
	uint64_t nodes;	   /* NodeProtos seen */
	uint64_t external; /* TensorProtos with data_location EXTERNAL */
	uint32_t depth;
} qdq_wire;

/* Checks data as a ModelProto and fills in the results; throws QDQ_EMODEL. */
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

/* Numbers of the payload fields of TensorProto. */
#define QDQ_FIELD_FLOAT_DATA 4u
#define QDQ_FIELD_INT32_DATA 5u
#define QDQ_FIELD_INT64_DATA 7u
#define QDQ_FIELD_RAW_DATA 9u
#define QDQ_FIELD_DOUBLE_DATA 10u
#define QDQ_FIELD_UINT64_DATA 11u

#endif

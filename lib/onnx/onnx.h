/* SPDX-License-Identifier: Apache-2.0
 *
 * onnx.h -- ONNX files into the IR and back
 *
 * Every function throws (base.h): QDQ_EFILE where the file system refuses, QDQ_EMODEL where the content is wrong,
 * QDQ_EUSAGE where the output would overwrite what it must not. What the IR does not model (doc strings, metadata,
 * annotations, training info, unknown fields …) hangs on the objects' `foreign` pointers and is written again.
 */
#ifndef QDQ_ONNX_H
#define QDQ_ONNX_H

#include "../ir/ir.h"

/* Maps the file, which must stay as it is until the model is destroyed; tensors point into the mapping. */
qdq_model *qdq_onnx_load_file(qdq_ctx *ctx, const char *path);
/* `data` is borrowed and must outlive the model. `path` (may be NULL) is for messages and tells the folder of
 * external data, which is an error without it. */
qdq_model *qdq_onnx_load_memory(qdq_ctx *ctx, const void *data, size_t size, const char *path);

typedef enum qdq_onnx_external {
	QDQ_EXTERNAL_AUTO,  /* weights go to PATH.data if the model had some outside, or is too large for one file */
	QDQ_EXTERNAL_NEVER, /* an error if the model is too large for one file (2 GiB, protobuf's limit) */
	QDQ_EXTERNAL_ALWAYS
} qdq_onnx_external;

typedef struct qdq_onnx_save {
	qdq_onnx_external external;
	uint64_t max_size; /* of one file; 0: protobuf's limit */
} qdq_onnx_save;

/* Written beside its place and renamed; `options` NULL takes the defaults. Same model, same bytes. */
void qdq_onnx_save_file(qdq_model *m, const char *path, const qdq_onnx_save *options);
/* Everything in one stream; a status other than QDQ_OK that `write` returns is thrown. */
void qdq_onnx_save_sink(qdq_model *m, qdq_status (*write)(void *user, const void *data, size_t size), void *user);

/* text.c: the same in ONNX's textual syntax (ir.h). External data is looked for beside the text;
 * all data is written into the text. */
qdq_model *qdq_onnx_load_text_file(qdq_ctx *ctx, const char *path);
void qdq_onnx_save_text_file(qdq_model *m, const char *path);

/* output.c: any other file, written beside its place and renamed. Calls print(arg, write, user) with a writer into it. */
void qdq_write_whole(qdq_ctx *ctx, const char *path, qdq_status (*print)(void *arg, qdq_write_fn *write, void *user),
		     void *arg);

#endif

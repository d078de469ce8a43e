/* SPDX-License-Identifier: Apache-2.0
 *
 * output.h -- a file that is written beside its place and renamed when it is complete
 */
#ifndef QDQ_ONNX_OUTPUT_H
#define QDQ_ONNX_OUTPUT_H

#include "internal.h"

struct iovec;

typedef struct qdq_output {
	qdq_arena *arena;
	const char *path;      /* as given */
	const char *target;    /* what is replaced: path, with links followed */
	const char *temporary; /* beside target; NULL: none exists */
	bool direct;	       /* no regular file (a pipe, /dev/null): written in place */
	bool exists;
	uint32_t mode;		/* permissions of target, if it exists */
	uint64_t device, inode; /* of target, if it exists */
	int fd;			/* opened */
	bool open;
	struct iovec *pieces; /* of what is to be written next, in order */
	size_t n_pieces;
	const qdq_source *paged_in; /* the last one that was */
	char *buffer;		    /* of small pieces */
	size_t used;
} qdq_output;

/* Looks at what stands there; throws QDQ_EFILE for a directory. */
void qdq_output_prepare(qdq_output *o, qdq_arena *arena, const char *path);
bool qdq_output_is(const qdq_output *o, const qdq_source *source); /* would source be replaced? */
void qdq_output_open(qdq_output *o);
/* `source`: the mapped file that data lies in, or NULL. Data must stay until the output is closed. */
void qdq_output_write(qdq_output *o, const void *data, size_t size, const qdq_source *source);
void qdq_output_zeros(qdq_output *o, uint64_t count);
void qdq_output_close(qdq_output *o);
void qdq_output_commit(qdq_output *o);	/* gives it its name */
void qdq_output_discard(qdq_output *o); /* removes what is not committed; never throws */

#endif

/* SPDX-License-Identifier: Apache-2.0
 *
 * io.c -- standard input and output, and diagnostics on stderr
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"

qdq_status write_stream(void *stream, const void *data, size_t size)
{
	return fwrite(data, 1, size, stream) == size ? QDQ_OK : QDQ_EFILE;
}

qdq_status flush_stream(FILE *stream, const char *name)
{
	errno = 0;
	if (fflush(stream) == 0 && !ferror(stream))
		return QDQ_OK;
	fprintf(stderr, "qdqopt: cannot write %s: %s\n", name, errno != 0 ? strerror(errno) : "write error");
	return QDQ_EFILE;
}

/* file: node 'x' (Conv): error: message [operand] */
void print_diagnostic(void *quiet, const qdq_diagnostic *d)
{
	static const char *const names[] = {
	    [QDQ_ERROR] = "error",
	    [QDQ_WARNING] = "warning",
	    [QDQ_NOTE] = "note",
	};

	if (*(const bool *)quiet && d->severity != QDQ_ERROR)
		return;
	fprintf(stderr, "%s: ", d->file != NULL ? d->file : "qdqopt");
	if (d->node != NULL)
		fprintf(stderr, "node '%s'", d->node);
	if (d->op != NULL)
		fprintf(stderr, "%s(%s)", d->node != NULL ? " " : "", d->op);
	fprintf(stderr, "%s%s: %s", d->node != NULL || d->op != NULL ? ": " : "", names[d->severity], d->message);
	if (d->operand != NULL)
		fprintf(stderr, " [%s]", d->operand);
	fputc('\n', stderr);
}

bool is_dash(const char *path)
{
	return strcmp(path, "-") == 0;
}

static qdq_status read_all(FILE *stream, char **out, size_t *size)
{
	size_t room = (size_t)1 << 16;
	char *data = malloc(room), *grown;

	*size = 0;
	while (data != NULL) {
		*size += fread(data + *size, 1, room - *size, stream);
		if (*size < room)
			break;
		grown = room > SIZE_MAX / 2 ? NULL : realloc(data, room * 2);
		if (grown == NULL)
			free(data);
		data = grown;
		room *= 2;
	}
	*out = data;
	if (data == NULL) {
		fprintf(stderr, "qdqopt: error: out of memory\n");
		return QDQ_ENOMEM;
	}
	if (!ferror(stream))
		return QDQ_OK;
	fprintf(stderr, "qdqopt: cannot read standard input: %s\n", strerror(errno));
	return QDQ_EFILE;
}

/* Protobuf's first byte is the tag of ir_version or of another field: never what a text begins with. */
static bool looks_like_text(const char *data, size_t size)
{
	size_t i = 0;

	while (i < size && strchr(" \t\r\n", data[i]) != NULL && data[i] != '\0')
		i++;
	return i < size && (data[i] == '<' || data[i] == '#');
}

qdq_status load_input(qdq_model **out, qdq_ctx *ctx, const char *path, void **held)
{
	qdq_status status;
	char *data;
	size_t size;

	if (!is_dash(path))
		return qdq_load_file(out, ctx, path);
	status = read_all(stdin, &data, &size);
	*held = data;
	if (status != QDQ_OK)
		return status;
	return qdq_load_memory(out, ctx, data, size, looks_like_text(data, size) ? "stdin.onnxtxt" : NULL);
}

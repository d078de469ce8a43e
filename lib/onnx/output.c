/* SPDX-License-Identifier: Apache-2.0
 *
 * output.c -- a file that is written beside its place and renamed when it is complete
 *
 * Small pieces gather in a buffer. Large ones that lie in a mapped file go from file to file within the kernel, so
 * that weights are neither copied through the process nor paged into it.
 */
#define _GNU_SOURCE /* copy_file_range */
#include "output.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define BUFFER ((size_t)128 << 10)
#define LARGE ((size_t)64 << 10) /* pieces from here on are not buffered */
#define MOST_AT_ONCE ((size_t)1 << 30)

QDQ_NORETURN static void refuse(const qdq_output *o, const char *why)
{
	qdq_fail(o->arena->ctx, QDQ_EFILE, &(qdq_where){.file = o->path}, "cannot write '%s': %s", o->path, why);
}

void qdq_output_prepare(qdq_output *o, qdq_arena *arena, const char *path)
{
	struct stat st;
	char *resolved;

	*o = (qdq_output){.arena = arena, .path = path, .target = path};
	if (*path == '\0')
		refuse(o, "the name is empty");
	if (stat(path, &st) != 0) {
		if (errno != ENOENT)
			refuse(o, strerror(errno));
		return;
	}
	if (S_ISDIR(st.st_mode))
		refuse(o, "it is a directory");
	o->exists = true;
	o->direct = !S_ISREG(st.st_mode);
	o->device = (uint64_t)st.st_dev;
	o->inode = (uint64_t)st.st_ino;
	resolved = qdq_alloc(arena, PATH_MAX);
	if (realpath(path, resolved) != NULL)
		o->target = resolved;
}

bool qdq_output_is(const qdq_output *o, const qdq_source *source)
{
	return o->exists && o->device == source->device && o->inode == source->inode;
}

void qdq_output_open(qdq_output *o)
{
	const char *slash = strrchr(o->target, '/');
	int folder = slash == NULL ? 0 : (int)(slash - o->target + 1);

	o->buffer = qdq_alloc(o->arena, BUFFER);
	if (o->direct) {
		o->fd = open(o->target, O_WRONLY | O_CLOEXEC | O_NOCTTY);
		if (o->fd < 0)
			refuse(o, strerror(errno));
		o->open = true;
		return;
	}
	for (unsigned i = 0; i < 1000; i++) {
		const char *name = qdq_format(o->arena, "%.*s.qdqopt-%ld-%u.tmp", folder, o->target, (long)getpid(), i);

		o->fd = open(name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
		if (o->fd >= 0) {
			o->open = true;
			o->temporary = name;
			return;
		}
		if (errno != EEXIST)
			refuse(o, strerror(errno));
	}
	refuse(o, "no free name for a temporary file beside it");
}

static void write_all(qdq_output *o, const char *data, size_t size)
{
	while (size != 0) {
		ssize_t done = write(o->fd, data, size < MOST_AT_ONCE ? size : MOST_AT_ONCE);

		if (done < 0 && errno == EINTR)
			continue;
		if (done < 0)
			refuse(o, strerror(errno));
		data += done;
		size -= (size_t)done;
	}
}

static void flush(qdq_output *o)
{
	write_all(o, o->buffer, o->used);
	o->used = 0;
}

/* From file to file; returns how much of it was done before the kernel said that it cannot. */
static size_t copy_range(qdq_output *o, const qdq_source *source, size_t offset, size_t size)
{
	off_t from = (off_t)offset;
	size_t left = size;

	while (left != 0) {
		ssize_t done =
		    copy_file_range(source->fd, &from, o->fd, NULL, left < MOST_AT_ONCE ? left : MOST_AT_ONCE, 0);

		if (done < 0 && errno == EINTR)
			continue;
		if (done < 0 && (errno == ENOSPC || errno == EFBIG || errno == EDQUOT || errno == EIO))
			refuse(o, strerror(errno));
		if (done <= 0)
			break;
		left -= (size_t)done;
	}
	return size - left;
}

static bool lies_in(const qdq_source *source, const char *data, size_t size)
{
	uintptr_t first = (uintptr_t)source->data, at = (uintptr_t)data;

	return at >= first && size <= source->size && at - first <= source->size - size;
}

void qdq_output_write(qdq_output *o, const void *data, size_t size, const qdq_source *source)
{
	const char *from = data;

	if (size < LARGE) {
		if (size > BUFFER - o->used)
			flush(o);
		memcpy(o->buffer + o->used, from, size);
		o->used += size;
		return;
	}
	flush(o);
	if (source != NULL && source->fd >= 0 && lies_in(source, from, size)) {
		size_t done = copy_range(o, source, (size_t)(from - source->data), size);

		from += done;
		size -= done;
	}
	write_all(o, from, size);
}

void qdq_output_zeros(qdq_output *o, uint64_t count)
{
	static const char zeros[4096];

	for (; count > sizeof zeros; count -= sizeof zeros)
		qdq_output_write(o, zeros, sizeof zeros, NULL);
	qdq_output_write(o, zeros, (size_t)count, NULL);
}

void qdq_output_close(qdq_output *o)
{
	flush(o);
	o->open = false;
	if (close(o->fd) != 0)
		refuse(o, strerror(errno));
}

void qdq_output_commit(qdq_output *o)
{
	if (o->temporary == NULL)
		return;
	if (rename(o->temporary, o->target) != 0)
		refuse(o, strerror(errno));
	o->temporary = NULL;
}

void qdq_output_discard(qdq_output *o)
{
	if (o->open)
		close(o->fd);
	if (o->temporary != NULL)
		unlink(o->temporary);
	o->open = false;
	o->temporary = NULL;
}

/* SPDX-License-Identifier: Apache-2.0
 *
 * output.c -- a file that is written beside its place and renamed when it is complete
 *
 * Pieces are gathered and written many at a time, the small ones from a buffer, the others from where they lie: in a
 * mapped file, as a rule. A small file is paged in at once, which is the fastest way; from a large one, pieces go from
 * file to file within the kernel, so that it is not paged in at all.
 */
#define _GNU_SOURCE /* copy_file_range, renameat2 */
#include "output.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#define BUFFER ((size_t)128 << 10)
#define SMALL ((size_t)4 << 10) /* pieces of less are buffered */
#define MOST_PIECES 512
#define LARGE ((size_t)64 << 10)      /* pieces from here on may go from file to file … */
#define LARGE_FILE ((size_t)64 << 20) /* … where the file is at least so large */
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
	o->mode = (uint32_t)st.st_mode & 07777;
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
	o->pieces = qdq_array(o->arena, struct iovec, MOST_PIECES);
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
			if (o->exists)
				(void)fchmod(o->fd, (mode_t)o->mode); /* as it was, where that may be */
			o->open = true;
			o->temporary = name;
			return;
		}
		if (errno != EEXIST)
			refuse(o, strerror(errno));
	}
	refuse(o, "no free name for a temporary file beside it");
}

/* Writes what is gathered. */
static void flush(qdq_output *o)
{
	struct iovec *piece = o->pieces;
	size_t count = o->n_pieces;

	while (count != 0) {
		ssize_t done = writev(o->fd, piece, (int)count);

		if (done < 0 && errno == EINTR)
			continue;
		if (done <= 0)
			refuse(o, done < 0 ? strerror(errno) : "nothing was written");
		for (; count != 0 && (size_t)done >= piece->iov_len; piece++, count--)
			done -= (ssize_t)piece->iov_len;
		if (count != 0) {
			piece->iov_base = (char *)piece->iov_base + done;
			piece->iov_len -= (size_t)done;
		}
	}
	o->n_pieces = 0;
	o->used = 0;
}

static void gather(qdq_output *o, const char *data, size_t size)
{
	struct iovec *last;

	if (o->n_pieces == MOST_PIECES || (size < SMALL && size > BUFFER - o->used))
		flush(o);
	if (size < SMALL) {
		data = memcpy(o->buffer + o->used, data, size);
		o->used += size;
	}
	last = o->n_pieces == 0 ? NULL : &o->pieces[o->n_pieces - 1];
	if (last != NULL && (char *)last->iov_base + last->iov_len == data)
		last->iov_len += size;
	else
		o->pieces[o->n_pieces++] = (struct iovec){(void *)(uintptr_t)data, size};
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

static void page_in(qdq_output *o, const qdq_source *source)
{
	if (o->paged_in == source)
		return;
	o->paged_in = source;
#ifdef MADV_POPULATE_READ
	(void)madvise((void *)(uintptr_t)source->data, source->size, MADV_POPULATE_READ); /* else page by page */
#endif
}

void qdq_output_write(qdq_output *o, const void *data, size_t size, const qdq_source *source)
{
	const char *from = data;

	if (size >= LARGE && source != NULL && source->fd >= 0 && lies_in(source, from, size)) {
		if (source->size >= LARGE_FILE) {
			size_t done;

			flush(o);
			done = copy_range(o, source, (size_t)(from - source->data), size);
			from += done;
			size -= done;
		} else {
			page_in(o, source);
		}
	}
	for (; size > MOST_AT_ONCE; from += MOST_AT_ONCE, size -= MOST_AT_ONCE) {
		flush(o); /* one call of writev takes at most 2 GiB */
		gather(o, from, MOST_AT_ONCE);
	}
	if (size != 0)
		gather(o, from, size);
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

/* The two files change places and the old one goes: at every moment the name stands for one of them, whole. (A plain
 * rename over a file makes ext4 flush the new one first; nobody is promised a file that survives a power cut.) */
static bool exchange(const qdq_output *o)
{
#ifdef RENAME_EXCHANGE
	if (renameat2(AT_FDCWD, o->temporary, AT_FDCWD, o->target, RENAME_EXCHANGE) != 0)
		return false;
	(void)unlink(o->temporary); /* the old file */
	return true;
#else
	(void)o;
	return false;
#endif
}

void qdq_output_commit(qdq_output *o)
{
	if (o->temporary == NULL)
		return;
	if (!(o->exists && exchange(o)) && rename(o->temporary, o->target) != 0)
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

/* ---- whole files from a printer ---- */

typedef struct whole {
	qdq_output out;
	qdq_arena arena;
	const char *path;
	qdq_status (*print)(void *arg, qdq_write_fn *write, void *user);
	void *arg;
	const char *data; /* of one call of the writer */
	size_t size;
} whole;

/* What a printer hands over does not stay: it goes in pieces that are small enough to be copied. */
static void copy_pieces(void *arg)
{
	whole *w = arg;

	while (w->size != 0) {
		size_t size = w->size < SMALL ? w->size : SMALL - 1;

		gather(&w->out, w->data, size);
		w->data += size;
		w->size -= size;
	}
}

static qdq_status write_piece(void *user, const void *data, size_t size)
{
	whole *w = user;

	w->data = data;
	w->size = size;
	return qdq_guard(w->arena.ctx, copy_pieces, w);
}

static void run_whole(void *arg)
{
	whole *w = arg;
	qdq_status status;

	qdq_output_prepare(&w->out, &w->arena, w->path);
	qdq_output_open(&w->out);
	status = w->print(w->arg, write_piece, w);
	if (status != QDQ_OK)
		qdq_throw(w->arena.ctx, status);
	qdq_output_close(&w->out);
	qdq_output_commit(&w->out);
}

void qdq_write_whole(qdq_ctx *ctx, const char *path, qdq_status (*print)(void *arg, qdq_write_fn *write, void *user),
		     void *arg)
{
	whole w = {.path = path, .print = print, .arg = arg};
	qdq_status status;

	qdq_arena_init(&w.arena, ctx);
	status = qdq_guard(ctx, run_whole, &w);
	qdq_output_discard(&w.out);
	qdq_arena_free(&w.arena);
	if (status != QDQ_OK)
		qdq_throw(ctx, status);
}

/* SPDX-License-Identifier: Apache-2.0
 *
 * file.c -- reports into files: written beside their place and renamed when complete
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "api.h"

bool qdq_has_suffix(const char *path, const char *suffix)
{
	size_t n = strlen(path), k = strlen(suffix);

	return n >= k && memcmp(path + n - k, suffix, k) == 0;
}

bool qdq_is_text_path(const char *path)
{
	return path != NULL && (qdq_has_suffix(path, ".onnxtxt") || qdq_has_suffix(path, ".txt"));
}

QDQ_NORETURN static void refuse(qdq_ctx *ctx, const char *path, const char *why)
{
	qdq_fail(ctx, QDQ_EFILE, &(qdq_where){.file = path}, "cannot write '%s': %s", path, why);
}

#define BUFFER 65536

struct qdq_api_file {
	qdq_ctx *ctx;
	qdq_arena arena;
	const char *path, *target, *temporary;
	int fd, error;
	size_t used;
	char *buffer;
	qdq_status (*print)(void *arg, qdq_write_fn *write, void *user);
	void *arg;
};

static bool push_out(qdq_api_file *f, const char *data, size_t size)
{
	while (size != 0) {
		ssize_t n = write(f->fd, data, size);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0) {
			f->error = n < 0 ? errno : EIO;
			return false;
		}
		data += n;
		size -= (size_t)n;
	}
	return true;
}

static qdq_status file_write(void *user, const void *data, size_t size)
{
	qdq_api_file *f = user;

	if (size > BUFFER - f->used) {
		if (!push_out(f, f->buffer, f->used))
			return QDQ_EFILE;
		f->used = 0;
	}
	if (size >= BUFFER)
		return push_out(f, data, size) ? QDQ_OK : QDQ_EFILE;
	memcpy(f->buffer + f->used, data, size);
	f->used += size;
	return QDQ_OK;
}

static void file_open(qdq_api_file *f)
{
	long mode = -1; /* permissions of the file that is replaced */
	struct stat st;
	char *real;
	const char *slash;

	f->buffer = qdq_alloc(&f->arena, BUFFER);
	f->target = f->path;
	if (stat(f->path, &st) == 0) {
		if (S_ISDIR(st.st_mode))
			refuse(f->ctx, f->path, "it is a directory");
		if (!S_ISREG(st.st_mode)) { /* a pipe or a device has no place to be renamed to */
			f->fd = open(f->path, O_WRONLY | O_CLOEXEC | O_NOCTTY);
			if (f->fd < 0)
				refuse(f->ctx, f->path, strerror(errno));
			return;
		}
		mode = (long)(st.st_mode & 07777);
		real = qdq_alloc(&f->arena, PATH_MAX);
		if (realpath(f->path, real) != NULL)
			f->target = real;
	}
	slash = strrchr(f->target, '/');
	for (unsigned i = 0; i < 1000; i++) {
		f->temporary =
		    qdq_format(&f->arena, "%.*s.qdqopt-%ld-%u.tmp", slash == NULL ? 0 : (int)(slash - f->target + 1),
			       f->target, (long)getpid(), i);
		f->fd = open(f->temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
		if (f->fd >= 0) {
			if (mode >= 0)
				(void)fchmod(f->fd, (mode_t)mode); /* as the old one, where that may be */
			return;
		}
		if (errno != EEXIST)
			break;
	}
	f->temporary = NULL;
	refuse(f->ctx, f->path, strerror(errno));
}

static void file_run(void *arg)
{
	qdq_api_file *f = arg;
	qdq_status status;
	int fd;

	file_open(f);
	status = f->print(f->arg, file_write, f);
	if (status == QDQ_OK && !push_out(f, f->buffer, f->used))
		status = QDQ_EFILE;
	if (f->error != 0)
		refuse(f->ctx, f->path, strerror(f->error));
	if (status != QDQ_OK)
		qdq_throw(f->ctx, status);
	fd = f->fd;
	f->fd = -1;
	if (close(fd) != 0)
		refuse(f->ctx, f->path, strerror(errno));
	if (f->temporary != NULL && rename(f->temporary, f->target) != 0)
		refuse(f->ctx, f->path, strerror(errno));
	f->temporary = NULL;
}

void qdq_write_whole(qdq_ctx *ctx, const char *path, qdq_status (*print)(void *arg, qdq_write_fn *write, void *user),
		     void *arg)
{
	qdq_api_file f = {.ctx = ctx, .path = path, .fd = -1, .print = print, .arg = arg};
	qdq_status status;

	qdq_arena_init(&f.arena, ctx);
	status = qdq_guard(ctx, file_run, &f);
	if (f.fd >= 0)
		close(f.fd);
	if (f.temporary != NULL)
		unlink(f.temporary);
	qdq_arena_free(&f.arena);
	if (status != QDQ_OK)
		qdq_throw(ctx, status);
}

/* SPDX-License-Identifier: Apache-2.0
 *
 * source.c -- files that are read in place: the model itself and its external data
 */
#include "internal.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static void close_source(void *object)
{
	qdq_source *s = object;

	if (s->size != 0)
		munmap((void *)(uintptr_t)s->data, s->size);
	if (s->fd >= 0)
		close(s->fd);
	s->size = 0;
	s->fd = -1;
}

QDQ_NORETURN static void refuse(qdq_arena *a, const qdq_where *where, const char *path, const char *why)
{
	qdq_fail(a->ctx, QDQ_EFILE, where, "cannot read '%s': %s", path, why);
}

static void check_kind(qdq_arena *a, const struct stat *st, const char *path, const qdq_where *where)
{
	if (S_ISDIR(st->st_mode))
		refuse(a, where, path, "it is a directory");
	if (!S_ISREG(st->st_mode))
		refuse(a, where, path, "it is not a regular file");
	if ((uintmax_t)st->st_size > SIZE_MAX / 2)
		refuse(a, where, path, "it is too large for this machine");
}

qdq_source *qdq_source_open(qdq_arena *a, const char *path, const qdq_where *where)
{
	qdq_source *s = qdq_new(a, qdq_source);
	struct stat st;
	void *data;

	/* Looked at before it is opened: opening a pipe waits, opening a device may do anything. */
	if (stat(path, &st) != 0)
		refuse(a, where, path, strerror(errno));
	check_kind(a, &st, path, where);
	s->fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (s->fd < 0)
		refuse(a, where, path, strerror(errno));
	qdq_arena_defer(a, close_source, s);
	s->path = qdq_copy(a, path, strlen(path));
	if (fstat(s->fd, &st) != 0)
		refuse(a, where, path, strerror(errno));
	check_kind(a, &st, path, where);
	s->device = (uint64_t)st.st_dev;
	s->inode = (uint64_t)st.st_ino;
	s->data = "";
	if (st.st_size == 0)
		return s;
	data = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, s->fd, 0);
	if (data == MAP_FAILED)
		refuse(a, where, path, strerror(errno));
	s->data = data;
	s->size = (size_t)st.st_size;
	return s;
}

void qdq_source_close_file(qdq_source *s)
{
	close(s->fd);
	s->fd = -1;
}

/* ---- external data ---- */

/* May a file of this name be meant at all? What is wrong with it, or NULL. */
static const char *location_fault(const char *location)
{
	if (*location == '\0')
		return "it is empty";
	if (*location == '/')
		return "it is absolute";
	for (const char *at = location; *at != '\0';) {
		size_t length = strcspn(at, "/");

		if (length == 2 && at[0] == '.' && at[1] == '.')
			return "it has '..' in it";
		at += length + (at[length] == '/');
	}
	return NULL;
}

const char *qdq_source_resolve(qdq_arena *a, const char *beside, const char *location, const qdq_where *where)
{
	const char *fault = location_fault(location);
	const char *slash = strrchr(beside, '/');
	const char *joined;
	char *folder = qdq_alloc(a, PATH_MAX);
	char *file = qdq_alloc(a, PATH_MAX);
	size_t length;

	if (fault != NULL)
		qdq_fail(a->ctx, QDQ_EMODEL, where, "refused external data location '%s': %s", location, fault);
	if (slash == NULL)
		joined = ".";
	else
		joined = slash == beside ? "/" : qdq_copy(a, beside, (size_t)(slash - beside));
	if (realpath(joined, folder) == NULL)
		refuse(a, where, joined, strerror(errno));
	joined = qdq_format(a, "%s/%s", joined, location);
	if (realpath(joined, file) == NULL)
		refuse(a, where, joined, strerror(errno));
	length = strlen(folder);
	if (strncmp(folder, file, length) != 0 || (length > 1 && file[length] != '/'))
		qdq_fail(a->ctx, QDQ_EMODEL, where,
			 "refused external data location '%s': it leaves the model's folder through a link", location);
	return file;
}

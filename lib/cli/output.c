/* SPDX-License-Identifier: Apache-2.0
 *
 * output.c -- a file that is written beside its place and renamed when it is complete
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli.h"

/* Beside the target, with the permissions of what stands there, if something does. */
static bool open_temporary(output_file *o, bool exists, mode_t mode)
{
	const char *slash = strrchr(o->target, '/');
	size_t folder = slash == NULL ? 0 : (size_t)(slash - o->target) + 1;

	o->temporary = malloc(folder + 64);
	if (o->temporary == NULL)
		return false;
	for (unsigned i = 0; i < 1000; i++) {
		memcpy(o->temporary, o->target, folder);
		snprintf(o->temporary + folder, 64, ".qdqopt-%ld-%u.tmp", (long)getpid(), i);
		o->descriptor = open(o->temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
		if (o->descriptor >= 0) {
			if (exists)
				(void)fchmod(o->descriptor, mode); /* where that may be */
			return true;
		}
		if (errno != EEXIST)
			break;
	}
	free(o->temporary); /* another's, or none */
	o->temporary = NULL;
	return false;
}

bool open_output(output_file *o, const char *path)
{
	struct stat st;
	bool exists = stat(path, &st) == 0;

	*o = (output_file){.descriptor = -1};
	if (!exists && errno != ENOENT)
		return false;
	if (exists && S_ISDIR(st.st_mode)) {
		errno = EISDIR;
		return false;
	}
	if (exists && !S_ISREG(st.st_mode)) { /* a pipe, /dev/null: written in place */
		o->descriptor = open(path, O_WRONLY | O_CLOEXEC | O_NOCTTY);
		return o->descriptor >= 0;
	}
	o->target = exists ? realpath(path, NULL) : NULL; /* links are followed */
	if (o->target == NULL)
		o->target = strdup(path);
	return o->target != NULL && open_temporary(o, exists, exists ? st.st_mode & 07777 : 0);
}

bool write_output(output_file *o, const void *data, size_t size)
{
	const char *from = data;

	while (size != 0) {
		ssize_t done = write(o->descriptor, from, size);

		if (done < 0 && errno == EINTR)
			continue;
		if (done < 0)
			return false;
		from += done;
		size -= (size_t)done;
	}
	return true;
}

bool commit_output(output_file *o)
{
	int descriptor = o->descriptor;

	o->descriptor = -1;
	if (close(descriptor) != 0)
		return false;
	if (o->temporary != NULL && rename(o->temporary, o->target) != 0)
		return false;
	free(o->temporary);
	o->temporary = NULL;
	return true;
}

void discard_output(output_file *o)
{
	if (o->descriptor >= 0)
		(void)close(o->descriptor);
	if (o->temporary != NULL)
		(void)unlink(o->temporary);
	free(o->temporary);
	free(o->target);
	*o = (output_file){.descriptor = -1};
}

/* SPDX-License-Identifier: Apache-2.0
 *
 * folder.c -- a folder of its own for each test, and files in it
 */
#include "folder.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>

void make_folder(char *out, size_t room)
{
	const char *base = getenv("TMPDIR");

	snprintf(out, room, "%s/qdq-test-XXXXXX", base != NULL ? base : P_tmpdir);
	ck_assert_ptr_nonnull(mkdtemp(out));
}

void remove_folder(const char *folder)
{
	char command[400];

	snprintf(command, sizeof command, "rm -rf '%s'", folder);
	ck_assert_int_eq(system(command), 0);
}

void write_file(const char *path, const void *data, size_t size)
{
	FILE *file = fopen(path, "wb");

	ck_assert_ptr_nonnull(file);
	ck_assert_uint_eq(fwrite(data, 1, size, file), size);
	fclose(file);
}

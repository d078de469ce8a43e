/* SPDX-License-Identifier: Apache-2.0
 *
 * folder.h -- a folder of its own for each test, and files in it
 */
#ifndef QDQ_TEST_FOLDER_H
#define QDQ_TEST_FOLDER_H

#include <stddef.h>

void make_folder(char *out, size_t room); /* under TMPDIR; its name goes to out */
void remove_folder(const char *folder);	  /* with all that is in it */
void write_file(const char *path, const void *data, size_t size);

#endif

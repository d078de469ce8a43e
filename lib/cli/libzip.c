/* SPDX-License-Identifier: Apache-2.0
 *
 * libzip.c -- loading libzip
 */
#include "libzip.h"

#include <dlfcn.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>

/* The same functions by the number that upstream or Debian gives them. */
static const char *const NAMES[] = {"libzip.so.5", "libzip.so.4"};

static bool find_functions(void *library, libzip *out)
{
	void *found;

#define FIND(name)                            \
	found = dlsym(library, "zip_" #name); \
	if (found == NULL)                    \
		return false;                 \
	memcpy(&out->name, &found, sizeof found);
	LIBZIP_FUNCTIONS(FIND)
#undef FIND
	return true;
}

const libzip *load_libzip(void)
{
	static libzip functions;
	static bool loaded;

	for (size_t i = 0; !loaded && i < sizeof NAMES / sizeof *NAMES; i++) {
		void *library = dlopen(NAMES[i], RTLD_NOW | RTLD_LOCAL);

		loaded = library != NULL && find_functions(library, &functions);
	}
	return loaded ? &functions : NULL;
}

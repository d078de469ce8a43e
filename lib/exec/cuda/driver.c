/* SPDX-License-Identifier: Apache-2.0
 *
 * driver.c -- the CUDA driver, found when the program runs
 */
#include "driver.h"

#include <dlfcn.h>
#include <string.h>

const char *qdq_driver_open(qdq_driver *d)
{
	*d = (qdq_driver){.library = dlopen("libcuda.so.1", RTLD_NOW | RTLD_LOCAL)};
	if (d->library == NULL)
		return "there is no CUDA driver (libcuda.so.1)";
#define FIND(name, symbol, arguments)                                    \
	do {                                                             \
		void *found = dlsym(d->library, symbol);                 \
		memcpy(&d->name, &found, sizeof found);                  \
		if (found == NULL)                                       \
			return "the CUDA driver is too old: no " symbol; \
	} while (0);
	QDQ_DRIVER_FUNCTIONS(FIND)
#undef FIND
	return NULL;
}

void qdq_driver_close(qdq_driver *d)
{
	if (d->library != NULL)
		dlclose(d->library);
	d->library = NULL;
}

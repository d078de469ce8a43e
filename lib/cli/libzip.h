/* SPDX-License-Identifier: Apache-2.0
 *
 * libzip.h -- the functions of libzip that archives take, found when the first one is read or written
 *
 * libzip brings libcrypto along, and to load both takes longer than to optimize most networks.
 */
#ifndef QDQ_LIBZIP_H
#define QDQ_LIBZIP_H

#include <zip.h>

#define LIBZIP_FUNCTIONS(F)       \
	F(close)                  \
	F(discard)                \
	F(error_code_zip)         \
	F(error_fini)             \
	F(error_init)             \
	F(error_init_with_code)   \
	F(error_strerror)         \
	F(fclose)                 \
	F(file_add)               \
	F(file_get_error)         \
	F(file_set_dostime)       \
	F(fopen_index)            \
	F(fread)                  \
	F(get_error)              \
	F(get_name)               \
	F(get_num_entries)        \
	F(open)                   \
	F(open_from_source)       \
	F(source_buffer_create)   \
	F(source_buffer_fragment) \
	F(source_free)            \
	F(source_keep)            \
	F(source_open)            \
	F(source_read)            \
	F(stat_index)             \
	F(stat_init)

typedef struct libzip {
#define MEMBER(name) __typeof__(zip_##name) *name;
	LIBZIP_FUNCTIONS(MEMBER)
#undef MEMBER
} libzip;

const libzip *load_libzip(void); /* NULL: it is not installed, or lacks one of them */

#endif

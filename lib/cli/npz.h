/* SPDX-License-Identifier: Apache-2.0
 *
 * npz.h -- NumPy's files of arrays: .npy is one array, .npz a zip archive of them
 */
#ifndef QDQ_NPZ_H
#define QDQ_NPZ_H

#include <stdbool.h>

#include "qdqopt.h"

#define ARRAY_RANK 16

typedef struct array {
	char *name; /* owned, as is data */
	qdq_type type;
	int rank;
	int64_t dims[ARRAY_RANK];
	size_t size;	/* bytes */
	void *data;	/* row-major, little-endian */
	uint64_t index; /* of its entry in the archive that is read */
} array;

typedef struct arrays {
	array *items; /* by name, no two of the same */
	size_t count;
} arrays;

/* Every array of an .npz under its key, or the one of an .npy as `name`. No array may have more than max_bytes, nor all of
 * them together. QDQ_EFILE, QDQ_EMODEL (not such a file), QDQ_ENOMEM; after a message on stderr that names file and entry. */
qdq_status read_arrays(arrays *out, const char *path, const char *name, uint64_t max_bytes);
const array *find_array(const arrays *a, const char *name); /* NULL: there is none */
void free_arrays(arrays *a);

/* Written beside its place and renamed, through links and with the mode of what stood there; the same arrays give the same
 * bytes. QDQ_EFILE, QDQ_EMODEL (a type that NumPy does not have), QDQ_ENOMEM; after a message. */
qdq_status write_npz(const char *path, const array *items, size_t count);

/* ---- npy.c ---- */

#define SIZE_UNKNOWN UINT64_MAX

/* What an .npy is read from. */
typedef struct array_source {
	size_t (*read)(void *handle, void *out, size_t size); /* less than size: it ends, or cannot be read on */
	void *handle;
	uint64_t size; /* of header and data, or SIZE_UNKNOWN */
	uint64_t most; /* bytes of data that it may have */
} array_source;

/* Into *out, but for its name; out->data is the caller's to free, whatever comes. QDQ_EMODEL, QDQ_ENOMEM, with what is
 * wrong. */
qdq_status read_npy(array *out, const array_source *from, const char **wrong);
#define NPY_HEADER 512 /* bytes at most */
/* The header of an .npy; its size, 0: the type is not NumPy's. */
size_t npy_header(char *header, const array *a);

#endif

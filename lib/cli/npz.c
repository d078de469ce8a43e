/* SPDX-License-Identifier: Apache-2.0
 *
 * npz.c -- archives of arrays, through libzip
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zip.h>

#include "cli.h"
#include "npz.h"

#define LONGEST_NAME 65000 /* an archive has 16 bits for its length */
#define PIECE ((size_t)1 << 16)

static qdq_status complain(const char *path, const char *entry, const char *why, qdq_status status)
{
	fprintf(stderr, "qdqopt: error: %s: ", path);
	if (entry != NULL)
		fprintf(stderr, "entry '%s': ", entry);
	fprintf(stderr, "%s\n", why);
	return status;
}

const array *find_array(const arrays *a, const char *name)
{
	for (size_t i = 0; i < a->count; i++)
		if (strcmp(a->items[i].name, name) == 0)
			return &a->items[i];
	return NULL;
}

void free_arrays(arrays *a)
{
	for (size_t i = 0; i < a->count; i++) {
		free(a->items[i].name);
		free(a->items[i].data);
	}
	free(a->items);
	*a = (arrays){0};
}

/* Parses `data` as one more array; `name` is copied, without .npy. */
static qdq_status add_array(arrays *out, const char *path, const char *name, size_t name_length, const char *data,
			    size_t size)
{
	array *grown = realloc(out->items, (out->count + 1) * sizeof *grown), *a;
	const char *wrong;

	if (grown == NULL)
		return complain(path, NULL, "out of memory", QDQ_ENOMEM);
	out->items = grown;
	a = &grown[out->count];
	*a = (array){.name = malloc(name_length + 1)};
	if (a->name == NULL)
		return complain(path, NULL, "out of memory", QDQ_ENOMEM);
	memcpy(a->name, name, name_length);
	a->name[name_length] = '\0';
	if (find_array(out, a->name) != NULL)
		wrong = "there are two arrays of this name";
	else
		wrong = parse_npy(a, data, size);
	if (wrong == NULL) {
		out->count++;
		return QDQ_OK;
	}
	complain(path, a->name, wrong, QDQ_EMODEL);
	free(a->name);
	free(a->data);
	return QDQ_EMODEL;
}

/* ---- .npy ---- */

static qdq_status read_npy(arrays *out, const char *path, const char *name, uint64_t max_bytes)
{
	FILE *f = fopen(path, "rb");
	size_t size = 0, room = 65536, got;
	char *data = NULL, *grown;
	qdq_status status = QDQ_OK;

	if (f == NULL)
		return complain(path, NULL, strerror(errno), QDQ_EFILE);
	do {
		room *= 2;
		grown = realloc(data, room);
		if (grown == NULL || size > max_bytes) {
			status = complain(path, NULL, grown == NULL ? "out of memory" : "the array is too large",
					  QDQ_ENOMEM);
			data = grown == NULL ? data : grown;
			break;
		}
		data = grown;
		got = fread(data + size, 1, room - size, f);
		size += got;
	} while (size == room);
	if (status == QDQ_OK && ferror(f))
		status = complain(path, NULL, strerror(errno), QDQ_EFILE);
	if (status == QDQ_OK)
		status = add_array(out, path, name, strlen(name), data, size);
	fclose(f);
	free(data);
	return status;
}

/* ---- .npz ---- */

/* What the archive says of the size is not believed: no more than that is read, and the rest must be nothing. */
static qdq_status read_entry(arrays *out, const char *path, zip_t *zip, zip_uint64_t index, uint64_t *left)
{
	zip_stat_t st;
	zip_file_t *f;
	size_t n;
	char *data, more;
	zip_int64_t got;
	qdq_status status;

	zip_stat_init(&st);
	if (zip_stat_index(zip, index, 0, &st) != 0 ||
	    (st.valid & (ZIP_STAT_NAME | ZIP_STAT_SIZE)) != (ZIP_STAT_NAME | ZIP_STAT_SIZE))
		return complain(path, NULL, "an entry has no name or size", QDQ_EMODEL);
	n = strlen(st.name);
	if (n <= 4 || strcmp(st.name + n - 4, ".npy") != 0)
		return complain(path, st.name, "it is no .npy array", QDQ_EMODEL);
	if (st.size > *left)
		return complain(path, st.name, "the arrays are too large", QDQ_EMODEL);
	*left -= st.size;
	f = zip_fopen_index(zip, index, 0);
	if (f == NULL)
		return complain(path, st.name, zip_strerror(zip), QDQ_EMODEL);
	data = malloc(st.size == 0 ? 1 : (size_t)st.size);
	if (data == NULL) {
		zip_fclose(f);
		return complain(path, st.name, "out of memory", QDQ_ENOMEM);
	}
	got = zip_fread(f, data, st.size);
	if (got < 0 || (zip_uint64_t)got != st.size || zip_fread(f, &more, 1) != 0)
		status =
		    complain(path, st.name, "it is damaged, or has another size than the archive says", QDQ_EMODEL);
	else
		status = add_array(out, path, st.name, n - 4, data, (size_t)st.size);
	zip_fclose(f);
	free(data);
	return status;
}

static qdq_status read_npz(arrays *out, const char *path, uint64_t max_bytes)
{
	int code = 0;
	zip_t *zip = zip_open(path, ZIP_RDONLY, &code);
	qdq_status status = QDQ_OK;
	zip_int64_t count;

	if (zip == NULL) {
		zip_error_t error;

		zip_error_init_with_code(&error, code);
		status = complain(path, NULL, zip_error_strerror(&error),
				  code == ZIP_ER_NOENT || code == ZIP_ER_OPEN || code == ZIP_ER_READ ? QDQ_EFILE
												     : QDQ_EMODEL);
		zip_error_fini(&error);
		return status;
	}
	count = zip_get_num_entries(zip, 0);
	if (count <= 0)
		status = complain(path, NULL, "it holds no arrays", QDQ_EMODEL);
	for (zip_int64_t i = 0; status == QDQ_OK && i < count; i++)
		status = read_entry(out, path, zip, (zip_uint64_t)i, &max_bytes);
	zip_discard(zip);
	return status;
}

qdq_status read_arrays(arrays *out, const char *path, const char *name, uint64_t max_bytes)
{
	size_t n = strlen(path);
	qdq_status status;

	*out = (arrays){0};
	status = n > 4 && strcmp(path + n - 4, ".npz") == 0 ? read_npz(out, path, max_bytes)
							    : read_npy(out, path, name, max_bytes);
	if (status != QDQ_OK)
		free_arrays(out);
	return status;
}

/* ---- writing ---- */

static qdq_status refuse_zip(const char *path, const char *entry, zip_error_t *error, qdq_status status)
{
	if (zip_error_code_zip(error) == ZIP_ER_MEMORY)
		status = QDQ_ENOMEM;
	return complain(path, entry, zip_error_strerror(error), status);
}

/* Header and data stay where they are until the archive is closed. */
static qdq_status add_entry(zip_t *zip, const char *path, const array *a, char *header)
{
	size_t n = npy_header(header, a);
	zip_buffer_fragment_t parts[2] = {{(zip_uint8_t *)header, n}, {a->data, a->size}};
	zip_source_t *source;
	zip_int64_t index = -1;
	char *name;

	if (n == 0)
		return complain(path, a->name, "NumPy has no such type", QDQ_EMODEL);
	if (strlen(a->name) > LONGEST_NAME)
		return complain(path, a->name, "the name is too long for an archive", QDQ_EMODEL);
	name = malloc(strlen(a->name) + 5);
	if (name == NULL)
		return complain(path, a->name, "out of memory", QDQ_ENOMEM);
	sprintf(name, "%s.npy", a->name);
	source = zip_source_buffer_fragment(zip, parts, a->size == 0 ? 1 : 2, 0);
	if (source != NULL)
		index = zip_file_add(zip, name, source, ZIP_FL_ENC_UTF_8);
	if (source != NULL && index < 0)
		zip_source_free(source);
	free(name);
	if (index < 0 ||
	    zip_file_set_dostime(zip, (zip_uint64_t)index, 0, 0x21, 0) != 0) /* 1980-01-01, in any time zone */
		return refuse_zip(path, a->name, zip_get_error(zip), QDQ_EMODEL);
	return QDQ_OK;
}

/* The archive in memory. */
static qdq_status pack(zip_source_t *archive, const char *path, const array *items, size_t count, char *headers)
{
	zip_error_t error;
	zip_t *zip;
	qdq_status status = QDQ_OK;

	zip_error_init(&error);
	zip_source_keep(archive); /* closing takes one reference */
	zip = zip_open_from_source(archive, ZIP_CREATE | ZIP_TRUNCATE, &error);
	if (zip == NULL) {
		zip_source_free(archive);
		status = refuse_zip(path, NULL, &error, QDQ_EFILE);
		zip_error_fini(&error);
		return status;
	}
	for (size_t i = 0; status == QDQ_OK && i < count; i++)
		status = add_entry(zip, path, &items[i], headers + i * NPY_HEADER);
	if (status == QDQ_OK && zip_close(zip) == 0)
		return QDQ_OK;
	if (status == QDQ_OK)
		status = refuse_zip(path, NULL, zip_get_error(zip), QDQ_EFILE);
	zip_discard(zip);
	return status;
}

static qdq_status write_archive(const char *path, zip_source_t *archive)
{
	output_file out;
	bool good = open_output(&out, path);
	char *piece = malloc(PIECE);
	zip_int64_t n = 0;
	qdq_status status = QDQ_OK;

	if (good && (piece == NULL || zip_source_open(archive) != 0)) {
		good = false;
		errno = ENOMEM;
	}
	while (good && (n = zip_source_read(archive, piece, PIECE)) > 0)
		good = write_output(&out, piece, (size_t)n);
	if (n < 0)
		errno = ENOMEM; /* it is in memory: nothing else can go wrong */
	good = good && n == 0 && commit_output(&out);
	if (!good)
		status = complain(path, NULL, strerror(errno), errno == ENOMEM ? QDQ_ENOMEM : QDQ_EFILE);
	discard_output(&out);
	free(piece);
	return status;
}

qdq_status write_npz(const char *path, const array *items, size_t count)
{
	char *headers;
	zip_source_t *archive;
	qdq_status status;

	if (count == 0)
		return complain(path, NULL, "there are no arrays to write", QDQ_EMODEL);
	headers = calloc(count, NPY_HEADER);
	archive = zip_source_buffer_create(NULL, 0, 1, NULL);
	if (headers == NULL || archive == NULL)
		status = complain(path, NULL, "out of memory", QDQ_ENOMEM);
	else
		status = pack(archive, path, items, count, headers);
	if (status == QDQ_OK)
		status = write_archive(path, archive);
	if (archive != NULL)
		zip_source_free(archive);
	free(headers);
	return status;
}

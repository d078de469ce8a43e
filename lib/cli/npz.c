/* SPDX-License-Identifier: Apache-2.0
 *
 * npz.c -- archives of arrays, through libzip
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "cli.h"
#include "libzip.h"
#include "npz.h"

#define LONGEST_NAME 65000 /* an archive has 16 bits for its length */
#define PIECE ((size_t)1 << 16)

static const libzip *zip; /* set before the first of its functions is called */

static qdq_status complain(const char *path, const char *entry, const char *why, qdq_status status)
{
	fprintf(stderr, "qdqopt: error: %s: ", path);
	if (entry != NULL)
		fprintf(stderr, "entry '%s': ", entry);
	fprintf(stderr, "%s\n", why);
	return status;
}

static bool have_zip(const char *path)
{
	if (zip == NULL)
		zip = load_libzip();
	if (zip == NULL)
		complain(path, NULL, "archives need libzip, which cannot be loaded", QDQ_EFILE);
	return zip != NULL;
}

static qdq_status refuse_zip(const char *path, const char *entry, zip_error_t *error)
{
	qdq_status status = QDQ_EMODEL;

	switch (zip->error_code_zip(error)) {
	case ZIP_ER_MEMORY:
		status = QDQ_ENOMEM;
		break;
	case ZIP_ER_NOENT:
	case ZIP_ER_OPEN:
	case ZIP_ER_READ:
	case ZIP_ER_WRITE:
		status = QDQ_EFILE;
		break;
	default:
		break;
	}
	return complain(path, entry, zip->error_strerror(error), status);
}

static int compare_names(const void *a, const void *b)
{
	return strcmp(((const array *)a)->name, ((const array *)b)->name);
}

const array *find_array(const arrays *a, const char *name)
{
	const array wanted = {.name = (char *)(uintptr_t)name};

	return a->count == 0 ? NULL : bsearch(&wanted, a->items, a->count, sizeof wanted, compare_names);
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

/* ---- .npy ---- */

static size_t read_stream(void *file, void *out, size_t size)
{
	return fread(out, 1, size, file);
}

static qdq_status read_file(array *out, const char *path, FILE *file, uint64_t max_bytes)
{
	array_source from = {.read = read_stream, .handle = file, .size = SIZE_UNKNOWN, .most = max_bytes};
	struct stat st;
	const char *wrong;
	qdq_status status;

	if (fstat(fileno(file), &st) == 0 && S_ISREG(st.st_mode))
		from.size = (uint64_t)st.st_size;
	errno = 0;
	status = read_npy(out, &from, &wrong);
	if (ferror(file))
		return complain(path, NULL, strerror(errno), QDQ_EFILE);
	return status == QDQ_OK ? QDQ_OK : complain(path, out->name, wrong, status);
}

static qdq_status read_one(arrays *out, const char *path, const char *name, uint64_t max_bytes)
{
	FILE *file = fopen(path, "rb");
	qdq_status status;

	if (file == NULL)
		return complain(path, NULL, strerror(errno), QDQ_EFILE);
	out->items = calloc(1, sizeof *out->items);
	if (out->items != NULL)
		out->items->name = strdup(name);
	if (out->items == NULL || out->items->name == NULL) {
		status = complain(path, NULL, "out of memory", QDQ_ENOMEM);
	} else {
		out->count = 1;
		status = read_file(out->items, path, file, max_bytes);
	}
	fclose(file);
	return status;
}

/* ---- .npz ---- */

typedef struct opened {
	const char *path;
	zip_t *archive;
	zip_file_t *entry; /* that is being read */
	bool failed;	   /* in the archive, not in the array */
} opened;

static size_t read_zip(void *handle, void *out, size_t size)
{
	opened *a = handle;
	zip_int64_t got = zip->fread(a->entry, out, size);

	a->failed = a->failed || got < 0;
	return got < 0 ? 0 : (size_t)got;
}

/* What the archive says of the size is not believed: no more than that is read, and the rest must be nothing. */
static qdq_status read_entry(array *out, opened *a, uint64_t *left)
{
	array_source from = {.read = read_zip, .handle = a, .most = *left};
	zip_stat_t st;
	const char *wrong;
	qdq_status status;

	zip->stat_init(&st);
	if (zip->stat_index(a->archive, out->index, 0, &st) != 0 || (st.valid & ZIP_STAT_SIZE) == 0)
		return complain(a->path, out->name, "its size is not known", QDQ_EMODEL);
	from.size = st.size;
	a->entry = zip->fopen_index(a->archive, out->index, 0);
	if (a->entry == NULL)
		return refuse_zip(a->path, out->name, zip->get_error(a->archive));
	status = read_npy(out, &from, &wrong);
	if (a->failed)
		status = refuse_zip(a->path, out->name, zip->file_get_error(a->entry));
	else if (status != QDQ_OK)
		complain(a->path, out->name, wrong, status);
	zip->fclose(a->entry);
	*left -= status == QDQ_OK ? out->size : 0;
	return status;
}

/* The names come first: two of the same are seen before anything is read. */
static qdq_status read_names(arrays *out, const opened *a, zip_uint64_t count)
{
	out->items = calloc(count, sizeof *out->items);
	if (out->items == NULL)
		return complain(a->path, NULL, "out of memory", QDQ_ENOMEM);
	for (zip_uint64_t i = 0; i < count; i++) {
		const char *name = zip->get_name(a->archive, i, 0);
		size_t n = name == NULL ? 0 : strlen(name);

		if (name == NULL)
			return complain(a->path, NULL, "an entry has no name", QDQ_EMODEL);
		if (n <= 4 || strcmp(name + n - 4, ".npy") != 0)
			return complain(a->path, name, "it is no .npy array", QDQ_EMODEL);
		out->items[i] = (array){.name = strndup(name, n - 4), .index = i};
		if (out->items[i].name == NULL)
			return complain(a->path, NULL, "out of memory", QDQ_ENOMEM);
		out->count++;
	}
	qsort(out->items, out->count, sizeof *out->items, compare_names);
	for (size_t i = 1; i < out->count; i++)
		if (compare_names(&out->items[i - 1], &out->items[i]) == 0)
			return complain(a->path, out->items[i].name, "there are two arrays of this name", QDQ_EMODEL);
	return QDQ_OK;
}

static qdq_status read_npz(arrays *out, const char *path, uint64_t max_bytes)
{
	int code = 0;
	opened a = {.path = path};
	qdq_status status;
	zip_int64_t count;
	struct stat st;

	if (stat(path, &st) == 0 && S_ISDIR(st.st_mode))
		return complain(path, NULL, strerror(EISDIR), QDQ_EFILE);
	if (!have_zip(path))
		return QDQ_EFILE;
	a.archive = zip->open(path, ZIP_RDONLY, &code);
	if (a.archive == NULL) {
		zip_error_t error;

		zip->error_init_with_code(&error, code);
		status = refuse_zip(path, NULL, &error);
		zip->error_fini(&error);
		return status;
	}
	count = zip->get_num_entries(a.archive, 0);
	status = count <= 0 ? complain(path, NULL, "it holds no arrays", QDQ_EMODEL)
			    : read_names(out, &a, (zip_uint64_t)count);
	for (size_t i = 0; status == QDQ_OK && i < out->count; i++)
		status = read_entry(&out->items[i], &a, &max_bytes);
	zip->discard(a.archive);
	return status;
}

qdq_status read_arrays(arrays *out, const char *path, const char *name, uint64_t max_bytes)
{
	size_t n = strlen(path);
	qdq_status status;

	*out = (arrays){0};
	status = n > 4 && strcmp(path + n - 4, ".npz") == 0 ? read_npz(out, path, max_bytes)
							    : read_one(out, path, name, max_bytes);
	if (status != QDQ_OK)
		free_arrays(out);
	return status;
}

/* ---- writing ---- */

/* Header and data stay where they are until the archive is closed. */
static qdq_status add_entry(zip_t *archive, const char *path, const array *a, char *header)
{
	size_t n = npy_header(header, a);
	zip_buffer_fragment_t parts[2] = {{(zip_uint8_t *)header, n}, {a->data, a->size}};
	zip_source_t *source;
	zip_int64_t index = -1;
	char *name;

	if (n == 0) {
		char why[100];

		snprintf(why, sizeof why, "its type is %s, which NumPy does not have", qdq_type_text(a->type));
		return complain(path, a->name, why, QDQ_EMODEL);
	}
	if (strlen(a->name) > LONGEST_NAME)
		return complain(path, a->name, "the name is too long for an archive", QDQ_EMODEL);
	name = malloc(strlen(a->name) + 5);
	if (name == NULL)
		return complain(path, a->name, "out of memory", QDQ_ENOMEM);
	sprintf(name, "%s.npy", a->name);
	source = zip->source_buffer_fragment(archive, parts, a->size == 0 ? 1 : 2, 0);
	if (source != NULL)
		index = zip->file_add(archive, name, source, ZIP_FL_ENC_UTF_8);
	if (source != NULL && index < 0)
		zip->source_free(source);
	free(name);
	if (index < 0 ||
	    zip->file_set_dostime(archive, (zip_uint64_t)index, 0, 0x21, 0) != 0) /* 1980-01-01, in any time zone */
		return refuse_zip(path, a->name, zip->get_error(archive));
	return QDQ_OK;
}

/* The archive in memory. */
static qdq_status pack(zip_source_t *bytes, const char *path, const array *items, size_t count, char *headers)
{
	zip_error_t error;
	zip_t *archive;
	qdq_status status = QDQ_OK;

	zip->error_init(&error);
	zip->source_keep(bytes); /* closing takes one reference */
	archive = zip->open_from_source(bytes, ZIP_CREATE | ZIP_TRUNCATE, &error);
	if (archive == NULL) {
		zip->source_free(bytes);
		status = refuse_zip(path, NULL, &error);
		zip->error_fini(&error);
		return status;
	}
	for (size_t i = 0; status == QDQ_OK && i < count; i++)
		status = add_entry(archive, path, &items[i], headers + i * NPY_HEADER);
	if (status == QDQ_OK && zip->close(archive) == 0)
		return QDQ_OK;
	if (status == QDQ_OK)
		status = refuse_zip(path, NULL, zip->get_error(archive));
	zip->discard(archive);
	return status;
}

static qdq_status write_archive(const char *path, zip_source_t *archive)
{
	output_file out;
	bool good = open_output(&out, path);
	char *piece = malloc(PIECE);
	zip_int64_t n = 0;
	qdq_status status = QDQ_OK;

	if (good && (piece == NULL || zip->source_open(archive) != 0)) {
		good = false;
		errno = ENOMEM;
	}
	while (good && (n = zip->source_read(archive, piece, PIECE)) > 0)
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
	if (!have_zip(path))
		return QDQ_EFILE;
	headers = calloc(count, NPY_HEADER);
	archive = zip->source_buffer_create(NULL, 0, 1, NULL);
	if (headers == NULL || archive == NULL)
		status = complain(path, NULL, "out of memory", QDQ_ENOMEM);
	else
		status = pack(archive, path, items, count, headers);
	if (status == QDQ_OK)
		status = write_archive(path, archive);
	if (archive != NULL)
		zip->source_free(archive);
	free(headers);
	return status;
}

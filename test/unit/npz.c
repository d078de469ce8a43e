/* SPDX-License-Identifier: Apache-2.0
 *
 * npz.c -- NumPy's files: what is written can be read, and what cannot be read is refused
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <zip.h>

#include "../../lib/cli/npz.h"
#include "folder.h"
#include "suites.h"

#define COUNTOF(a) (sizeof(a) / sizeof((a)[0]))
#define PLENTY ((uint64_t)1 << 30)

static char folder[256], name_npz[300], name_npy[300], name_other[300];
static FILE *messages, *terminal;
static char *message;
static size_t message_size;

/* What is said goes to `message`; a sanitizer writes past it, to the descriptor. */
static void setup(void)
{
	make_folder(folder, sizeof folder);
	snprintf(name_npz, sizeof name_npz, "%s/a.npz", folder);
	snprintf(name_npy, sizeof name_npy, "%s/a.npy", folder);
	snprintf(name_other, sizeof name_other, "%s/other.npz", folder);
	messages = open_memstream(&message, &message_size);
	ck_assert_ptr_nonnull(messages);
	terminal = stderr;
	stderr = messages;
}

static void teardown(void)
{
	stderr = terminal;
	fclose(messages);
	free(message);
	remove_folder(folder);
}

static char *load_file(const char *path, size_t *size)
{
	FILE *file = fopen(path, "rb");
	char *data = malloc(1 << 20);

	ck_assert_ptr_nonnull(file);
	*size = fread(data, 1, 1 << 20, file);
	fclose(file);
	return data;
}

/* An archive of these entries, as they are. */
static void write_archive(const char *const *names, const char *const *data, const size_t *sizes, size_t count)
{
	zip_t *zip = zip_open(name_npz, ZIP_CREATE | ZIP_TRUNCATE, NULL);

	ck_assert_ptr_nonnull(zip);
	for (size_t i = 0; i < count; i++)
		ck_assert_int_ge(
		    zip_file_add(zip, names[i], zip_source_buffer(zip, data[i], sizes[i], 0), ZIP_FL_ENC_UTF_8), 0);
	ck_assert_int_eq(zip_close(zip), 0);
}

/* An .npy of this header; its size. */
static size_t make_npy(char *out, char major, char minor, const char *header, const void *data, size_t size)
{
	size_t n = strlen(header), at = major == 1 ? 10 : 12;

	memcpy(out, "\x93NUMPY", 6);
	out[6] = major;
	out[7] = minor;
	memset(out + 8, 0, at - 8);
	out[8] = (char)(n & 0xff);
	out[9] = (char)(n >> 8);
	memcpy(out + at, header, n);
	memcpy(out + at + n, data, size);
	return at + n + size;
}

static qdq_status read_npy_of(char major, char minor, const char *header, const void *data, size_t size, arrays *out)
{
	char file[8192];

	write_file(name_npy, file, make_npy(file, major, minor, header, data, size));
	rewind(messages);
	return read_arrays(out, name_npy, "x", PLENTY);
}

static bool said(const char *words)
{
	fflush(messages);
	return message != NULL && strstr(message, words) != NULL;
}

/* ---- there and back ---- */

static const struct {
	qdq_type type;
	size_t size;
} types[] = {
    {QDQ_TYPE_FLOAT, 4},  {QDQ_TYPE_DOUBLE, 8}, {QDQ_TYPE_FLOAT16, 2}, {QDQ_TYPE_INT8, 1},
    {QDQ_TYPE_INT16, 2},  {QDQ_TYPE_INT32, 4},	{QDQ_TYPE_INT64, 8},   {QDQ_TYPE_UINT8, 1},
    {QDQ_TYPE_UINT16, 2}, {QDQ_TYPE_UINT32, 4}, {QDQ_TYPE_UINT64, 8},  {QDQ_TYPE_BOOL, 1},
};

static void check_same(const array *a, const array *b)
{
	ck_assert_ptr_nonnull(b);
	ck_assert_str_eq(a->name, b->name);
	ck_assert_int_eq(a->type, b->type);
	ck_assert_int_eq(a->rank, b->rank);
	for (int d = 0; d < a->rank; d++)
		ck_assert_int_eq(a->dims[d], b->dims[d]);
	ck_assert_uint_eq(a->size, b->size);
	if (a->size != 0)
		ck_assert_mem_eq(a->data, b->data, a->size);
}

/* Every type in a rank of 0, 1, 3 and 16, and with no elements. */
START_TEST(round_trip)
{
	array items[COUNTOF(types) * 5];
	char names[COUNTOF(items)][32], data[48];
	arrays back;
	size_t n = 0;

	for (size_t i = 0; i < sizeof data; i++)
		data[i] = (char)(i % 2);
	for (size_t i = 0; i < COUNTOF(types); i++) {
		const array shapes[] = {
		    {.rank = 0, .size = 1},
		    {.rank = 1, .dims = {5}, .size = 5},
		    {.rank = 3, .dims = {1, 2, 3}, .size = 6},
		    {.rank = 16, .dims = {1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 2}, .size = 2},
		    {.rank = 2, .dims = {0, 7}, .size = 0}};

		for (size_t k = 0; k < COUNTOF(shapes); k++, n++) {
			items[n] = shapes[k];
			sprintf(names[n], "%s/%zu", k % 2 == 0 ? "plain" : "deep/er", n);
			items[n].name = names[n];
			items[n].type = types[i].type;
			items[n].size *= types[i].size;
			items[n].data = k == 4 ? NULL : data;
		}
	}
	ck_assert_int_eq(write_npz(name_npz, items, n), QDQ_OK);
	ck_assert_int_eq(read_arrays(&back, name_npz, NULL, PLENTY), QDQ_OK);
	ck_assert_uint_eq(back.count, n);
	for (size_t i = 0; i < n; i++)
		check_same(&items[i], find_array(&back, items[i].name));
	ck_assert_ptr_null(find_array(&back, "plain"));
	free_arrays(&back);
}
END_TEST

static array one_array(const char *name, float *data)
{
	return (array){
	    .name = (char *)(uintptr_t)name, .type = QDQ_TYPE_FLOAT, .rank = 1, .dims = {3}, .size = 12, .data = data};
}

START_TEST(same_bytes)
{
	float data[] = {1, 2, 3};
	array items[] = {one_array("a", data), one_array("b/c", data)};
	size_t n, m;
	char *first, *second;

	ck_assert_int_eq(write_npz(name_npz, items, 2), QDQ_OK);
	ck_assert_int_eq(write_npz(name_other, items, 2), QDQ_OK);
	first = load_file(name_npz, &n);
	second = load_file(name_other, &m);
	ck_assert_uint_eq(n, m);
	ck_assert_mem_eq(first, second, n);
	free(first);
	free(second);
}
END_TEST

START_TEST(what_cannot_be_written)
{
	float data[] = {1, 2, 3};
	array items[] = {one_array("a", data), one_array("a", data)};
	char *name = malloc(70001);

	memset(name, 'x', 70000);
	name[70000] = '\0';
	ck_assert_int_eq(write_npz(name_npz, items, 2), QDQ_EMODEL);
	items[1].name = name;
	ck_assert_int_eq(write_npz(name_npz, items, 2), QDQ_EMODEL);
	ck_assert(said("too long"));
	items[1] = one_array("b", data);
	items[1].type = QDQ_TYPE_BFLOAT16;
	ck_assert_int_eq(write_npz(name_npz, items, 2), QDQ_EMODEL);
	ck_assert(said("NumPy"));
	ck_assert_int_eq(write_npz(name_npz, items, 0), QDQ_EMODEL);
	ck_assert_int_eq(access(name_npz, F_OK), -1);
	ck_assert_int_eq(write_npz("/nowhere/at/all.npz", items, 1), QDQ_EFILE);
	ck_assert_int_eq(write_npz(folder, items, 1), QDQ_EFILE);
	free(name);
}
END_TEST

/* ---- what stands there ---- */

START_TEST(links_and_modes)
{
	float data[] = {1, 2, 3};
	array a = one_array("a", data);
	char command[800];
	struct stat st;
	arrays back;

	write_file(name_npz, "old", 3);
	ck_assert_int_eq(chmod(name_npz, 0640), 0);
	ck_assert_int_eq(symlink("a.npz", name_other), 0);
	ck_assert_int_eq(write_npz(name_other, &a, 1), QDQ_OK);
	ck_assert_int_eq(lstat(name_other, &st), 0);
	ck_assert(S_ISLNK(st.st_mode));
	ck_assert_int_eq(lstat(name_npz, &st), 0);
	ck_assert_uint_eq(st.st_mode & 07777, 0640);
	ck_assert_int_eq(read_arrays(&back, name_npz, NULL, PLENTY), QDQ_OK);
	check_same(&a, find_array(&back, "a"));
	free_arrays(&back);
	snprintf(command, sizeof command, "test $(ls -A '%s' | wc -l) = 2", folder); /* nothing is left beside them */
	ck_assert_int_eq(system(command), 0);
}
END_TEST

/* A pipe is written into, not replaced. */
START_TEST(pipes)
{
	float data[] = {1, 2, 3};
	array a = one_array("a", data);
	char command[800];
	struct stat st;
	arrays back;
	FILE *reader;

	ck_assert_int_eq(mkfifo(name_other, 0600), 0);
	snprintf(command, sizeof command, "cat '%s' > '%s'", name_other, name_npz);
	reader = popen(command, "w");
	ck_assert_ptr_nonnull(reader);
	ck_assert_int_eq(write_npz(name_other, &a, 1), QDQ_OK);
	ck_assert_int_eq(lstat(name_other, &st), 0);
	ck_assert(S_ISFIFO(st.st_mode));
	ck_assert_int_eq(pclose(reader), 0);
	ck_assert_int_eq(read_arrays(&back, name_npz, NULL, PLENTY), QDQ_OK);
	free_arrays(&back);
}
END_TEST

/* ---- the header of an .npy ---- */

#define HEADER(descr, order, shape) "{'descr': " descr ", 'fortran_order': " order ", 'shape': " shape ", }   \n"
#define PLAIN HEADER("'<f4'", "False", "(1,)")

static const struct {
	char major, minor;
	const char *header;
} good_headers[] = {
    {1, 0, PLAIN},
    {2, 0, PLAIN},
    {3, 0, PLAIN},
    {1, 0, HEADER("'<f4'", "True", "( 1 , )")},
    {1, 0, HEADER("\"=f4\"", "False", "(1, 1)")},
    {1, 0, HEADER("'>f4'", "False", "(1, 1,)")},
    {1, 0, HEADER("'|u1'", "False", "(4,)")},
    {1, 0, HEADER("'<f4'", "False", "()")},
    {1, 0, "{\"shape\": (1,), 'fortran_order':False,'descr':'<i4'}"},
};

START_TEST(headers_taken)
{
	arrays back;
	const char *header = good_headers[_i].header;

	ck_assert_int_eq(read_npy_of(good_headers[_i].major, good_headers[_i].minor, header, "\0\0\0", 4, &back),
			 QDQ_OK);
	ck_assert_uint_eq(back.count, 1);
	ck_assert_uint_eq(back.items[0].size, 4);
	free_arrays(&back);
}
END_TEST

static const struct {
	char major, minor;
	const char *header, *words;
} bad_headers[] = {
    {1, 9, PLAIN, "version"},
    {4, 0, PLAIN, "version"},
    {0, 0, PLAIN, "version"},
    {2, 1, PLAIN, "version"},
    {1, 0, "", "dictionary"},
    {1, 0, "{", "dictionary"},
    {1, 0, "{}", "lacks"},
    {1, 0, "{,}", "dictionary"},
    {1, 0, "{'descr': '<f4', 'shape': (1,), }", "lacks"},
    {1, 0, "{'descr': '<f4' 'shape': (1,), 'fortran_order': False}", "dictionary"},
    {1, 0, PLAIN "x", "behind"},
    {1, 0, "x" PLAIN, "dictionary"},
    {1, 0, HEADER("'<f4'", "False", "(1,), 'shape': (1,)"), "twice"},
    {1, 0, HEADER("'<f4'", "False", "(2,), 'shape': (1,)"), "twice"},
    {1, 0, HEADER("'<f4', 'descr': '<f4'", "False", "(1,)"), "twice"},
    {1, 0, HEADER("'<f4', 'more': 1", "False", "(1,)"), "another key"},
    {1, 0, HEADER("'<f4'", "False", "(1)"), "shape cannot be read"},
    {1, 0, HEADER("'<f4'", "False", "(1"), "shape cannot be read"},
    {1, 0, HEADER("'<f4'", "False", "(,)"), "shape cannot be read"},
    {1, 0, HEADER("'<f4'", "False", "(1 1)"), "shape cannot be read"},
    {1, 0, HEADER("'<f4'", "False", "(1,,)"), "shape cannot be read"},
    {1, 0, HEADER("'<f4'", "False", "(-1,)"), "shape cannot be read"},
    {1, 0, HEADER("'<f4'", "False", "(01,)"), "shape cannot be read"},
    {1, 0, HEADER("'<f4'", "False", "(1.,)"), "shape cannot be read"},
    {1, 0, HEADER("'<f4'", "False", "1"), "shape cannot be read"},
    {1, 0, HEADER("'<f4'", "False", "(99999999999999999999,)"), "too large"},
    {1, 0, HEADER("'<f4'", "False", "(9223372036854775807, 9)"), "too large"},
    {1, 0, HEADER("'<f4'", "False", "(0, 4611686018427387904, 4611686018427387904)"), "too large"},
    {1, 0, HEADER("'<f4'", "False", "(1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1)"), "16 dimensions"},
    {1, 0, HEADER("'<f4'", "False", "(2,)"), "another size"},
    {1, 0, HEADER("'<f4'", "False", "(0,)"), "another size"},
    {1, 0, HEADER("'<f4'", "false", "(1,)"), "fortran_order"},
    {1, 0, HEADER("'<f4'", "Falsehood", "(1,)"), "dictionary"},
    {1, 0, HEADER("'<f4'", "1", "(1,)"), "fortran_order"},
    {1, 0, HEADER("'<f4", "False", "(1,)"), "none of float"},
    {1, 0, HEADER("'<f44'", "False", "(1,)"), "none of float"},
    {1, 0, HEADER("''", "False", "(1,)"), "none of float"},
    {1, 0, HEADER("'<V2'", "False", "(2,)"), "bfloat16 is not supported"},
    {1, 0, HEADER("'|V2'", "False", "(2,)"), "bfloat16 is not supported"},
    {1, 0, HEADER("'|V1'", "False", "(4,)"), "floats of 8 bits"},
    {1, 0, HEADER("'<f1'", "False", "(4,)"), "floats of 8 bits"},
    {1, 0, HEADER("'|V16'", "False", "(1,)"), "without a type"},
    {1, 0, HEADER("'<c8'", "False", "(1,)"), "complex"},
    {1, 0, HEADER("'|O'", "False", "(1,)"), "objects"},
    {1, 0, HEADER("'<U1'", "False", "(1,)"), "strings"},
    {1, 0, HEADER("[('a', '<f4')]", "False", "(1,)"), "records"},
    {1, 0, HEADER("'|b1'", "False", "(4,)"), "bool"},
};

START_TEST(headers_refused)
{
	arrays back;
	const char *header = bad_headers[_i].header;
	qdq_status status = read_npy_of(bad_headers[_i].major, bad_headers[_i].minor, header, "\1\0\1\7", 4, &back);

	ck_assert_int_eq(status, QDQ_EMODEL);
	ck_assert_msg(said(bad_headers[_i].words), "%s: %s", header, message);
	ck_assert_msg(said(name_npy) && said("'x'"), "%s", message);
	ck_assert_uint_eq(back.count, 0);
}
END_TEST

START_TEST(short_files)
{
	char file[256];
	size_t n = make_npy(file, 1, 0, PLAIN, "abcd", 4);
	arrays back;

	for (size_t size = 0; size < n; size++) {
		write_file(name_npy, file, size);
		ck_assert_int_eq(read_arrays(&back, name_npy, "x", PLENTY), QDQ_EMODEL);
	}
	file[10] = '\0'; /* in the header */
	write_file(name_npy, file, n);
	ck_assert_int_eq(read_arrays(&back, name_npy, "x", PLENTY), QDQ_EMODEL);
}
END_TEST

/* Columns, more than are read at a time, of either order of bytes, also from where the size is not known. */
START_TEST(orders)
{
	static uint16_t data[3 * 5 * 700];
	static char file[sizeof data + 256];
	char command[800], name_pipe[300];
	size_t n;
	arrays back;
	FILE *writer;

	for (unsigned i = 0; i < 3; i++)
		for (unsigned j = 0; j < 5; j++)
			for (unsigned k = 0; k < 700; k++)
				data[(k * 5 + j) * 3 + i] = (uint16_t)((i << 14 | j << 11 | k) << (_i * 8) |
								       (i << 14 | j << 11 | k) >> (16 - _i * 8));
	n = make_npy(file, 1, 0,
		     _i == 0 ? HEADER("'<u2'", "True", "(3, 5, 700)") : HEADER("'>u2'", "True", "(3, 5, 700)"), data,
		     sizeof data);
	write_file(name_npy, file, n);
	snprintf(name_pipe, sizeof name_pipe, "%s/pipe.npy", folder);
	ck_assert_int_eq(mkfifo(name_pipe, 0600), 0);
	snprintf(command, sizeof command, "cat '%s' > '%s'", name_npy, name_pipe);
	writer = popen(command, "w");
	ck_assert_int_eq(read_arrays(&back, name_pipe, "x", PLENTY), QDQ_OK);
	ck_assert_int_eq(pclose(writer), 0);
	for (unsigned i = 0, at = 0; i < 3; i++)
		for (unsigned j = 0; j < 5; j++)
			for (unsigned k = 0; k < 700; k++, at++)
				ck_assert_uint_eq(((const uint16_t *)back.items[0].data)[at], i << 14 | j << 11 | k);
	free_arrays(&back);
}
END_TEST

/* ---- files that cannot be, and limits ---- */

START_TEST(statuses)
{
	char file[256];
	size_t n = make_npy(file, 1, 0, HEADER("'<f4'", "False", "(8,)"), "0123456789abcdef0123456789abcdef", 32);
	const char *names[] = {"x.npy"}, *data[] = {file};
	arrays back;

	ck_assert_int_eq(read_arrays(&back, name_npz, NULL, PLENTY), QDQ_EFILE);
	ck_assert_int_eq(read_arrays(&back, name_npy, "x", PLENTY), QDQ_EFILE);
	ck_assert_int_eq(mkdir(name_npz, 0777), 0);
	ck_assert_int_eq(mkdir(name_npy, 0777), 0);
	ck_assert_int_eq(read_arrays(&back, name_npz, NULL, PLENTY), QDQ_EFILE);
	ck_assert_int_eq(read_arrays(&back, name_npy, "x", PLENTY), QDQ_EFILE);
	ck_assert_int_eq(rmdir(name_npz), 0);
	ck_assert_int_eq(rmdir(name_npy), 0);
	write_file(name_npy, file, n);
	write_archive(names, data, &n, 1);
	ck_assert_int_eq(read_arrays(&back, name_npy, "x", 31), QDQ_EMODEL);
	ck_assert(said("too large"));
	ck_assert_int_eq(read_arrays(&back, name_npz, NULL, 31), QDQ_EMODEL);
	ck_assert_int_eq(read_arrays(&back, name_npy, "x", 32), QDQ_OK);
	free_arrays(&back);
	ck_assert_int_eq(read_arrays(&back, name_npz, NULL, PLENTY), QDQ_OK);
	free_arrays(&back);
}
END_TEST

/* A few bytes that unpack to a megabyte each; the limit is for all arrays together. */
START_TEST(bombs)
{
	enum { SIZE = 1 << 20 };
	char *data = calloc(1, SIZE);
	array items[] = {{.name = "a", .type = QDQ_TYPE_INT8, .rank = 1, .dims = {SIZE}, .size = SIZE, .data = data},
			 {.name = "b", .type = QDQ_TYPE_INT8, .rank = 1, .dims = {SIZE}, .size = SIZE, .data = data}};
	arrays back;

	ck_assert_int_eq(write_npz(name_npz, items, 2), QDQ_OK);
	ck_assert_int_eq(read_arrays(&back, name_npz, NULL, SIZE), QDQ_EMODEL);
	ck_assert(said("too large"));
	ck_assert_int_eq(read_arrays(&back, name_npz, NULL, 2 * SIZE + 1024), QDQ_OK);
	free_arrays(&back);
	free(data);
}
END_TEST

static long peak(void)
{
	struct rusage usage;

	getrusage(RUSAGE_SELF, &usage);
	return usage.ru_maxrss; /* KiB */
}

/* An array is in memory once while it is read. */
START_TEST(memory)
{
	enum { SIZE = 64 << 20 };
	array a = {.name = "a", .type = QDQ_TYPE_INT8, .rank = 1, .dims = {SIZE}, .size = SIZE};
	int status;
	pid_t child;

	a.data = calloc(1, SIZE);
	ck_assert_int_eq(write_npz(name_npz, &a, 1), QDQ_OK);
	free(a.data);
	child = fork(); /* its peak begins with what it holds */
	if (child == 0) {
		long before = peak();
		arrays back;

		_exit(read_arrays(&back, name_npz, NULL, PLENTY) == QDQ_OK && peak() - before < 96 << 10 ? 0 : 1);
	}
	ck_assert_int_eq(waitpid(child, &status, 0), child);
	ck_assert_int_eq(status, 0);
}
END_TEST

/* ---- archives ---- */

static double seconds(void)
{
	struct timespec t;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* A search through all the others, for each, takes longer than this by far. */
START_TEST(many_entries)
{
	enum { MOST = 40000 };
	array *items = calloc(MOST, sizeof *items);
	char(*names)[16] = calloc(MOST, sizeof *names);
	arrays back;
	double start;

	for (int i = 0; i < MOST; i++) {
		sprintf(names[i], "n%d", i);
		items[i] = (array){.name = names[i], .type = QDQ_TYPE_INT8, .size = 1, .data = names[i]};
	}
	ck_assert_int_eq(write_npz(name_npz, items, MOST), QDQ_OK);
	start = seconds();
	ck_assert_int_eq(read_arrays(&back, name_npz, NULL, PLENTY), QDQ_OK);
	for (int i = 0; i < MOST; i++)
		check_same(&items[i], find_array(&back, names[i]));
	ck_assert_double_lt(seconds() - start, 3);
	free_arrays(&back);
	free(items);
	free(names);
}
END_TEST

/* Every "b.npy" in the file becomes "a.npy". */
START_TEST(names_twice)
{
	float data[] = {1, 2, 3};
	array items[] = {one_array("a", data), one_array("b", data), one_array("c", data)};
	arrays back;
	size_t n;
	char *file;

	ck_assert_int_eq(write_npz(name_npz, items, 3), QDQ_OK);
	file = load_file(name_npz, &n);
	for (size_t i = 0; i + 5 <= n; i++)
		if (memcmp(file + i, "b.npy", 5) == 0)
			file[i] = 'a';
	write_file(name_npz, file, n);
	ck_assert_int_eq(read_arrays(&back, name_npz, NULL, PLENTY), QDQ_EMODEL);
	ck_assert(said("two arrays of this name"));
	free(file);
}
END_TEST

START_TEST(strange_entries)
{
	char file[256], zeros[256] = {0};
	size_t n = make_npy(file, 1, 0, PLAIN, "abcd", 4);
	static const char *const names[] = {"x", "x.npz", ".npy", "folder/", "x.npy"};
	const char *data[] = {file}, *wrong[] = {zeros};
	arrays back;

	for (size_t i = 0; i < 4; i++) {
		write_archive(&names[i], data, &n, 1);
		ck_assert_int_eq(read_arrays(&back, name_npz, NULL, PLENTY), QDQ_EMODEL);
		ck_assert(said("no .npy array"));
	}
	write_archive(&names[4], wrong, &n, 1);
	ck_assert_int_eq(read_arrays(&back, name_npz, NULL, PLENTY), QDQ_EMODEL);
	for (size_t size = 0; size < n; size++) {
		write_archive(&names[4], data, &size, 1);
		ck_assert_int_eq(read_arrays(&back, name_npz, NULL, PLENTY), QDQ_EMODEL);
	}
	write_archive(&names[4], data, &n, 1);
	ck_assert_int_eq(read_arrays(&back, name_npz, NULL, PLENTY), QDQ_OK);
	free_arrays(&back);
}
END_TEST

/* ---- damage ---- */

static uint32_t seed;

static size_t dice(size_t sides)
{
	seed = seed * 1664525 + 1013904223;
	return (size_t)(seed >> 8) % sides;
}

/* Arrays of which some are stored and some packed. */
static char *make_small(size_t *size)
{
	char data[300] = {0};
	array items[] = {{.name = "a", .type = QDQ_TYPE_FLOAT, .rank = 1, .dims = {75}, .size = 300, .data = data},
			 {.name = "b/c", .type = QDQ_TYPE_BOOL, .rank = 2, .dims = {3, 4}, .size = 12, .data = data},
			 {.name = "d", .type = QDQ_TYPE_INT64, .size = 8, .data = data}};
	zip_t *zip;

	ck_assert_int_eq(write_npz(name_npz, items, 3), QDQ_OK);
	zip = zip_open(name_npz, 0, NULL);
	ck_assert_ptr_nonnull(zip);
	ck_assert_int_eq(zip_set_file_compression(zip, 1, ZIP_CM_STORE, 0), 0);
	ck_assert_int_eq(zip_close(zip), 0);
	return load_file(name_npz, size);
}

static qdq_status read_back(const char *data, size_t size)
{
	arrays back;
	qdq_status status;

	write_file(name_npz, data, size);
	rewind(messages);
	status = read_arrays(&back, name_npz, NULL, 1 << 20);
	ck_assert((status == QDQ_OK) == (back.count != 0));
	ck_assert(status == QDQ_OK || ftell(messages) > 0);
	free_arrays(&back);
	return status;
}

START_TEST(truncated)
{
	size_t size;
	char *data = make_small(&size);

	ck_assert_int_eq(read_back(data, size), QDQ_OK);
	for (size_t n = 0; n < size; n++)
		ck_assert_int_eq(read_back(data, n), QDQ_EMODEL);
	free(data);
}
END_TEST

START_TEST(mutated)
{
	static const unsigned char odd[] = {0, 1, 0x7f, 0x80, 0xff};
	size_t size;
	char *data = make_small(&size), *copy = malloc(size);

	seed = (uint32_t)_i;
	for (int round = 0; round < 1000; round++) {
		memcpy(copy, data, size);
		for (size_t changes = 1 + dice(4); changes != 0; changes--) {
			size_t at = dice(size);

			copy[at] = (char)(dice(2) == 0 ? odd[dice(sizeof odd)] : dice(256));
		}
		(void)read_back(copy, size);
	}
	free(data);
	free(copy);
}
END_TEST

/* The same in an .npy, where no checksum stands before the parser. */
START_TEST(mutated_npy)
{
	static const char symbols[] = "{}(),:'\" <>|=fiub0123456789TFV\n";
	char file[256], copy[256];
	size_t n = make_npy(file, 1, 0, HEADER("'<i2'", "True", "(2, 3)"), "0123456789ab", 12);
	arrays back;

	seed = (uint32_t)_i;
	for (int round = 0; round < 1000; round++) {
		memcpy(copy, file, n);
		for (size_t changes = 1 + dice(3); changes != 0; changes--)
			copy[dice(n)] = dice(4) == 0 ? (char)dice(256) : symbols[dice(sizeof symbols)];
		write_file(name_npy, copy, n);
		rewind(messages);
		(void)read_arrays(&back, name_npy, "x", 1 << 20);
		free_arrays(&back);
	}
}
END_TEST

static void add_reading(Suite *s)
{
	TCase *t = tcase_create("reading");

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_set_timeout(t, 60);
	tcase_add_loop_test(t, headers_taken, 0, COUNTOF(good_headers));
	tcase_add_loop_test(t, headers_refused, 0, COUNTOF(bad_headers));
	tcase_add_test(t, short_files);
	tcase_add_loop_test(t, orders, 0, 2);
	tcase_add_test(t, statuses);
	tcase_add_test(t, bombs);
	tcase_add_test(t, memory);
	tcase_add_test(t, many_entries);
	tcase_add_test(t, names_twice);
	tcase_add_test(t, strange_entries);
	tcase_add_test(t, truncated);
	tcase_add_loop_test(t, mutated, 0, 4);
	tcase_add_loop_test(t, mutated_npy, 0, 4);
	suite_add_tcase(s, t);
}

Suite *npz_suite(void)
{
	Suite *s = suite_create("npz");
	TCase *t = tcase_create("writing");

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, round_trip);
	tcase_add_test(t, same_bytes);
	tcase_add_test(t, what_cannot_be_written);
	tcase_add_test(t, links_and_modes);
	tcase_add_test(t, pipes);
	suite_add_tcase(s, t);
	add_reading(s);
	return s;
}

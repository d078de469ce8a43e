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
	const char *base = getenv("TMPDIR");

	snprintf(folder, sizeof folder, "%s/qdq-test-XXXXXX", base != NULL ? base : P_tmpdir);
	ck_assert_ptr_nonnull(mkdtemp(folder));
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
	char command[400];

	stderr = terminal;
	fclose(messages);
	free(message);
	snprintf(command, sizeof command, "rm -rf '%s'", folder);
	ck_assert_int_eq(system(command), 0);
}

static void write_file(const char *path, const void *data, size_t size)
{
	FILE *file = fopen(path, "wb");

	ck_assert_ptr_nonnull(file);
	ck_assert_uint_eq(fwrite(data, 1, size, file), size);
	fclose(file);
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
	return s;
}

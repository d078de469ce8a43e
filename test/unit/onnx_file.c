/* SPDX-License-Identifier: Apache-2.0
 *
 * onnx_file.c -- tests of lib/onnx: files, external data, what may be overwritten, memory that runs out
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "onnx_fixture.h"
#include "folder.h"
#include "suites.h"

/* ---- files ---- */

static char folder[256], name_a[300], name_b[300], name_c[300];

static void enter_folder(void)
{
	onnx_setup();
	make_folder(folder, sizeof folder);
	snprintf(name_a, sizeof name_a, "%s/a.onnx", folder);
	snprintf(name_b, sizeof name_b, "%s/b.onnx", folder);
	snprintf(name_c, sizeof name_c, "%s/b.onnx.data", folder);
}

static void leave_folder(void)
{
	onnx_teardown();
	remove_folder(folder);
}

static off_t size_of(const char *path)
{
	struct stat st;

	return stat(path, &st) == 0 ? st.st_size : -1;
}

/* How many files the folder holds. */
static int count_files(void)
{
	char command[400];
	FILE *pipe;
	int count = -1;

	snprintf(command, sizeof command, "ls -A '%s' | wc -l", folder);
	pipe = popen(command, "r");
	ck_assert_ptr_nonnull(pipe);
	ck_assert_int_eq(fscanf(pipe, "%d", &count), 1);
	pclose(pipe);
	return count;
}

static void put_entry_pair(bytes *b, const char *key, const char *value)
{
	static bytes entry;

	entry.size = 0;
	put_string(&entry, 1, key);
	put_string(&entry, 2, value);
	put_message(b, 13, &entry);
}

/* a.onnx, with 4 floats at `offset` of `location`. */
static void write_external(const char *location, const char *offset, const char *length)
{
	io.tensor.size = io.graph.size = 0;
	put_int(&io.tensor, 1, 4);
	put_int(&io.tensor, 2, QDQ_TYPE_FLOAT);
	put_string(&io.tensor, 8, "w");
	put_entry_pair(&io.tensor, "location", location);
	if (offset != NULL)
		put_entry_pair(&io.tensor, "offset", offset);
	if (length != NULL)
		put_entry_pair(&io.tensor, "length", length);
	put_int(&io.tensor, 14, 1);
	put_message(&io.graph, 5, &io.tensor);
	finish_model(NULL);
	write_file(name_a, io.model.data, io.model.size);
}

static const struct {
	const char *location, *offset, *length;
	qdq_status status;
	const char *words;
} externals[] = {
    {"w.bin", NULL, NULL, QDQ_OK, NULL},
    {"w.bin", "16", "16", QDQ_OK, NULL},
    {"./w.bin", "16", NULL, QDQ_OK, NULL},
    {"sub/w.bin", NULL, NULL, QDQ_OK, NULL},
    {"inside", NULL, NULL, QDQ_OK, NULL},
    {"w.bin", "17", NULL, QDQ_EMODEL, "which has only 32"},
    {"w.bin", "18446744073709551615", NULL, QDQ_EMODEL, "which has only 32"},
    {"w.bin", "0", "8", QDQ_EMODEL, "has 8 bytes of data"},
    {"w.bin", "-1", NULL, QDQ_EMODEL, "offset '-1' of the external data of tensor 'w' is no number"},
    {"w.bin", "99999999999999999999", NULL, QDQ_EMODEL, "is no number"},
    {"w.bin", NULL, "1x", QDQ_EMODEL, "length '1x'"},
    {"", NULL, NULL, QDQ_EMODEL, "it is empty"},
    {"/etc/passwd", NULL, NULL, QDQ_EMODEL, "it is absolute"},
    {"../w.bin", NULL, NULL, QDQ_EMODEL, "it has '..' in it"},
    {"sub/../w.bin", NULL, NULL, QDQ_EMODEL, "it has '..' in it"},
    {"outside", NULL, NULL, QDQ_EMODEL, "leaves the model's folder through a link"},
    {"up/passwd", NULL, NULL, QDQ_EMODEL, "leaves the model's folder through a link"},
    {"missing.bin", NULL, NULL, QDQ_EFILE, "missing.bin': No such file"},
    {"sub", NULL, NULL, QDQ_EFILE, "it is a directory"},
};

START_TEST(test_external)
{
	char path[400];

	snprintf(path, sizeof path, "%s/w.bin", folder);
	write_file(path, "0123456789abcdef0123456789ABCDEF", 32);
	snprintf(path, sizeof path, "%s/sub", folder);
	ck_assert_int_eq(mkdir(path, 0777), 0);
	snprintf(path, sizeof path, "%s/sub/w.bin", folder);
	write_file(path, "0123456789abcdef", 16);
	snprintf(path, sizeof path, "%s/inside", folder);
	ck_assert_int_eq(symlink("sub/w.bin", path), 0);
	snprintf(path, sizeof path, "%s/outside", folder);
	ck_assert_int_eq(symlink("/etc/passwd", path), 0);
	snprintf(path, sizeof path, "%s/up", folder);
	ck_assert_int_eq(symlink("/etc", path), 0);
	write_external(externals[_i].location, externals[_i].offset, externals[_i].length);
	if (externals[_i].status != QDQ_OK) {
		EXPECT_FAILURE(qdq_guard(io.ctx, onnx_load_path, name_a), externals[_i].status, externals[_i].words);
		ck_assert_pstr_eq(io.ctx->diagnostics.items[0].operand, "w");
		return;
	}
	ck_assert_int_eq(qdq_guard(io.ctx, onnx_load_path, name_a), QDQ_OK);
	ck_assert(io.m->has_external);
	ck_assert(io.m->graph->constants.items[0]->tensor->external);
	ck_assert_mem_eq(io.m->graph->constants.items[0]->tensor->data, "0123456789", 10);
}
END_TEST

/* One file for each tensor, as some exporters write: they are not all kept open. */
START_TEST(test_many_files)
{
	for (int i = 0; i < 40; i++) {
		char path[400], file[20];

		snprintf(file, sizeof file, "w%d", i);
		snprintf(path, sizeof path, "%s/%s", folder, file);
		write_file(path, &(char){(char)i}, 1);
		io.tensor.size = 0;
		put_int(&io.tensor, 2, QDQ_TYPE_INT8);
		put_string(&io.tensor, 8, file);
		put_entry_pair(&io.tensor, "location", file);
		put_int(&io.tensor, 14, 1);
		put_message(&io.graph, 5, &io.tensor);
	}
	finish_model(NULL);
	write_file(name_a, io.model.data, io.model.size);
	ck_assert_int_eq(qdq_guard(io.ctx, onnx_load_path, name_a), QDQ_OK);
	for (int i = 0; i < 40; i++)
		ck_assert_int_eq(*(const char *)io.m->graph->constants.items[i]->tensor->data, i);
}
END_TEST

START_TEST(test_external_in_memory)
{
	write_external("w.bin", NULL, NULL);
	EXPECT_FAILURE(load_bytes(io.model.data, io.model.size), QDQ_EMODEL, "no folder to look in");
}
END_TEST

/* A model with three tensors of 100, 2000 and 2^20 bytes, loaded from a.onnx. */
static void load_weights(void)
{
	static const int64_t sizes[] = {100, 2000, 1 << 20};

	finish_model(NULL);
	write_file(name_a, io.model.data, io.model.size);
	ck_assert_int_eq(qdq_guard(io.ctx, onnx_load_path, name_a), QDQ_OK);
	for (size_t i = 0; i < QDQ_COUNTOF(sizes); i++) {
		qdq_tensor *t = qdq_tensor_new(io.m, QDQ_TYPE_INT8, 1, &sizes[i]);

		memset((char *)(uintptr_t)t->data, 'a' + (int)i, (size_t)sizes[i]);
		qdq_graph_add_constant(io.m->graph, qdq_unique_name(&io.m->names, "w"), t);
	}
}

START_TEST(test_save_external)
{
	qdq_onnx_save always = {.external = QDQ_EXTERNAL_ALWAYS}, never = {.external = QDQ_EXTERNAL_NEVER};
	qdq_model *before;

	load_weights();
	before = io.m;
	io.options = &always;
	ck_assert_int_eq(qdq_guard(io.ctx, onnx_save_path, name_b), QDQ_OK);
	ck_assert_int_lt(size_of(name_b), 1000);
	ck_assert_int_eq(size_of(name_c), 4096 + (1 << 20)); /* 2000 bytes, then a page boundary */
	ck_assert_int_eq(count_files(), 3);
	ck_assert_int_eq(qdq_guard(io.ctx, onnx_load_path, name_b), QDQ_OK);
	for (size_t i = 0; i < 3; i++) {
		const qdq_tensor *t = io.m->graph->constants.items[i]->tensor;

		ck_assert(qdq_tensor_equal(before->graph->constants.items[i]->tensor, t));
		ck_assert_int_eq(t->external, i > 0);
	}
	io.options = NULL; /* it came with external data, so it goes out so: but not over the file that it maps */
	EXPECT_FAILURE(qdq_guard(io.ctx, onnx_save_path, name_b), QDQ_EUSAGE, "holds the model's own external data");
	EXPECT_FAILURE(qdq_guard(io.ctx, onnx_save_path, name_c), QDQ_EUSAGE, "holds the model's own external data");
	ck_assert_int_eq(count_files(), 3);
	io.options = &never; /* over the model itself is fine */
	ck_assert_int_eq(qdq_guard(io.ctx, onnx_save_path, name_b), QDQ_OK);
	ck_assert_int_eq(qdq_guard(io.ctx, onnx_load_path, name_b), QDQ_OK);
	ck_assert(!io.m->has_external);
	ck_assert(qdq_tensor_equal(before->graph->constants.items[2]->tensor, io.m->graph->constants.items[2]->tensor));
}
END_TEST

START_TEST(test_save_too_large)
{
	qdq_onnx_save small = {.max_size = 100000}, never = {.external = QDQ_EXTERNAL_NEVER, .max_size = 100000};

	load_weights();
	io.options = &never;
	EXPECT_FAILURE(qdq_guard(io.ctx, onnx_save_path, name_b), QDQ_EUSAGE, "must go to external data");
	ck_assert_int_eq(count_files(), 1);
	io.options = &small;
	ck_assert_int_eq(qdq_guard(io.ctx, onnx_save_path, name_b), QDQ_OK);
	ck_assert_int_gt(size_of(name_c), 1 << 20);
}
END_TEST

/* Weights that come from a large file go into the model within the kernel. The file is a hole but for its ends. */
START_TEST(test_large_source)
{
	const off_t size = (off_t)65 << 20;
	qdq_onnx_save never = {.external = QDQ_EXTERNAL_NEVER};
	char path[400];
	const char *data;
	int fd;

	io.tensor.size = io.graph.size = 0;
	put_int(&io.tensor, 1, size - 3);
	put_int(&io.tensor, 2, QDQ_TYPE_INT8);
	put_string(&io.tensor, 8, "w");
	put_entry_pair(&io.tensor, "location", "w.bin");
	put_entry_pair(&io.tensor, "offset", "3");
	put_int(&io.tensor, 14, 1);
	put_message(&io.graph, 5, &io.tensor);
	finish_model(NULL);
	write_file(name_a, io.model.data, io.model.size);
	snprintf(path, sizeof path, "%s/w.bin", folder);
	write_file(path, "abcdef", 6);
	fd = open(path, O_WRONLY);
	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(pwrite(fd, "xyz", 3, size - 3), 3);
	close(fd);
	ck_assert_int_eq(qdq_guard(io.ctx, onnx_load_path, name_a), QDQ_OK);
	io.options = &never;
	ck_assert_int_eq(qdq_guard(io.ctx, onnx_save_path, name_b), QDQ_OK);
	ck_assert_int_gt(size_of(name_b), size);
	ck_assert_int_eq(qdq_guard(io.ctx, onnx_load_path, name_b), QDQ_OK);
	data = io.m->graph->constants.items[0]->tensor->data;
	ck_assert_uint_eq(io.m->graph->constants.items[0]->tensor->size, (uint64_t)size - 3);
	ck_assert_mem_eq(data, "def\0\0\0", 6);
	ck_assert_mem_eq(data + size - 3 - 5, "\0\0xyz", 5);
	ck_assert_uint_lt(io.ctx->memory_peak, 1 << 20); /* never through our own memory */
}
END_TEST

/* Whatever goes wrong: a clear message, no temporary file, the old file untouched. */
START_TEST(test_save_refused)
{
	char path[400];

	load_weights();
	EXPECT_FAILURE(qdq_guard(io.ctx, onnx_save_path, folder), QDQ_EFILE, "it is a directory");
	snprintf(path, sizeof path, "%s/no/such/b.onnx", folder);
	EXPECT_FAILURE(qdq_guard(io.ctx, onnx_save_path, path), QDQ_EFILE, "No such file or directory");
	EXPECT_FAILURE(qdq_guard(io.ctx, onnx_save_path, (char[]){""}), QDQ_EFILE, "name is empty");
	if (access("/dev/full", W_OK) == 0)
		EXPECT_FAILURE(qdq_guard(io.ctx, onnx_save_path, (char[]){"/dev/full"}), QDQ_EFILE, strerror(ENOSPC));
	ck_assert_int_eq(count_files(), 1);
}
END_TEST

static qdq_status refuse_second(void *user, const void *data, size_t size)
{
	int *calls = user;

	(void)data, (void)size;
	return ++*calls == 2 ? QDQ_EDEVICE : QDQ_OK;
}

static void do_refused_sink(void *arg)
{
	qdq_onnx_save_sink(io.m, refuse_second, arg);
}

START_TEST(test_sink_refuses)
{
	int calls = 0;

	load_weights();
	ck_assert_int_eq(qdq_guard(io.ctx, do_refused_sink, &calls), QDQ_EDEVICE);
	ck_assert_int_eq(calls, 2);
}
END_TEST

/* Over an existing file, through a link, and to what is no regular file. */
START_TEST(test_save_places)
{
	struct stat st;
	char path[400];

	load_weights();
	write_file(name_b, "old", 3);
	ck_assert_int_eq(qdq_guard(io.ctx, onnx_save_path, name_b), QDQ_OK);
	ck_assert_int_gt(size_of(name_b), 1 << 20);
	snprintf(path, sizeof path, "%s/link", folder);
	write_file(name_b, "old", 3);
	ck_assert_int_eq(symlink("b.onnx", path), 0);
	ck_assert_int_eq(qdq_guard(io.ctx, onnx_save_path, path), QDQ_OK);
	ck_assert_int_eq(lstat(path, &st), 0);
	ck_assert(S_ISLNK(st.st_mode));
	ck_assert_int_gt(size_of(name_b), 1 << 20);
	ck_assert_int_eq(count_files(), 3);
	ck_assert_int_eq(qdq_guard(io.ctx, onnx_save_path, (char[]){"/dev/null"}), QDQ_OK);
	ck_assert_int_eq(stat("/dev/null", &st), 0);
	ck_assert(S_ISCHR(st.st_mode));
	ck_assert_int_eq(qdq_guard(io.ctx, onnx_save_path, name_a), QDQ_OK); /* in place: the model maps the old file */
}
END_TEST

START_TEST(test_load_refused)
{
	static const struct {
		const char *name;
		qdq_status status;
		const char *words;
	} cases[] = {
	    {"", QDQ_EFILE, "No such file"},
	    {"/dev/zero", QDQ_EFILE, "not a regular file"},
	    {"/no/such/file", QDQ_EFILE, "No such file"},
	};
	char path[400];

	for (size_t i = 0; i < QDQ_COUNTOF(cases); i++) {
		snprintf(path, sizeof path, "%s", cases[i].name);
		EXPECT_FAILURE(qdq_guard(io.ctx, onnx_load_path, path), cases[i].status, cases[i].words);
	}
	EXPECT_FAILURE(qdq_guard(io.ctx, onnx_load_path, folder), QDQ_EFILE, "it is a directory");
	ck_assert_int_eq(mkfifo(name_b, 0666), 0);
	EXPECT_FAILURE(qdq_guard(io.ctx, onnx_load_path, name_b), QDQ_EFILE, "not a regular file");
	write_file(name_a, "", 0);
	EXPECT_FAILURE(qdq_guard(io.ctx, onnx_load_path, name_a), QDQ_EMODEL, "the file is empty");
}
END_TEST

/* ---- memory ---- */

typedef struct budget {
	long left; /* allocations that still succeed */
	size_t held;
} budget;

static void *limited(void *user, void *ptr, size_t old_size, size_t new_size)
{
	budget *b = user;

	if (new_size == 0) {
		b->held -= old_size;
		free(ptr);
		return NULL;
	}
	if (b->left-- <= 0)
		return NULL;
	b->held += new_size;
	return malloc(new_size);
}

static void load_and_save(void *arg)
{
	onnx_load(arg);
	onnx_sink(arg);
	onnx_save_path(name_b);
}

/* The k-th allocation fails, for every k until nothing fails any more: always QDQ_ENOMEM, nothing is lost. */
START_TEST(test_no_memory)
{
	budget b = {.left = 0};
	qdq_options options = {.version = QDQ_OPTIONS_VERSION, .alloc = limited, .alloc_user = &b};
	qdq_onnx_save always = {.external = QDQ_EXTERNAL_ALWAYS};
	qdq_ctx *outer = io.ctx;
	qdq_status status = QDQ_ENOMEM;
	long k;

	put_branch(&io.part, "then_branch", "x", "inner");
	put_node(&io.graph, "If", "x", NULL, "a", &io.part);
	put_int(&io.tensor, 1, 2000);
	put_int(&io.tensor, 2, QDQ_TYPE_INT8);
	for (int i = 0; i < 2000; i++) {
		put_tag(&io.tensor, INT32_DATA, 0);
		put_varint(&io.tensor, 7);
	}
	put_string(&io.tensor, 8, "w");
	put_message(&io.graph, 5, &io.tensor);
	finish_model(NULL);
	io.data = io.model.data;
	io.size = io.model.size;
	io.options = &always;
	for (k = 1; status != QDQ_OK; k++) {
		b.left = k;
		if (qdq_ctx_new(&io.ctx, &options) != QDQ_OK)
			continue;
		status = qdq_guard(io.ctx, load_and_save, NULL);
		ck_assert(status == QDQ_OK || status == QDQ_ENOMEM);
		while (io.ctx->models != NULL)
			qdq_model_destroy(io.ctx->models);
		qdq_arena_free(&io.ctx->arena);
		limited(&b, io.ctx, sizeof *io.ctx, 0);
		ck_assert_uint_eq(b.held, 0);
		ck_assert_int_eq(count_files(), status == QDQ_OK ? 2 : 0);
		ck_assert_int_lt(k, 1000);
	}
	ck_assert_int_gt(k, 10);
	io.ctx = outer;
}
END_TEST

Suite *onnx_file_suite(void)
{
	Suite *suite = suite_create("onnx_file");
	TCase *cases = tcase_create("all");

	tcase_add_checked_fixture(cases, enter_folder, leave_folder);
	tcase_set_timeout(cases, 60);
	tcase_add_loop_test(cases, test_external, 0, (int)(QDQ_COUNTOF(externals)));
	tcase_add_test(cases, test_many_files);
	tcase_add_test(cases, test_external_in_memory);
	tcase_add_test(cases, test_save_external);
	tcase_add_test(cases, test_save_too_large);
	tcase_add_test(cases, test_large_source);
	tcase_add_test(cases, test_save_refused);
	tcase_add_test(cases, test_sink_refuses);
	tcase_add_test(cases, test_save_places);
	tcase_add_test(cases, test_load_refused);
	tcase_add_test(cases, test_no_memory);
	suite_add_tcase(suite, cases);
	return suite;
}

/* SPDX-License-Identifier: Apache-2.0
 *
 * eval_hostile.c -- the reference evaluator on operands and attributes that no exporter would write
 */
#include "eval_fixture.h"

/* ---- hostile operands: whatever a file may say, an answer and no more ---- */

static uint32_t seed;
static int64_t dice(int64_t sides)
{
	seed = seed * 1664525 + 1013904223;
	return (int64_t)(seed >> 8) % sides;
}

static int64_t odd_int(void)
{
	static const int64_t odd[] = {0, 1, 2,	       3,	  -1,	     -2,      -3,
				      4, 7, INT64_MAX, INT64_MIN, INT32_MAX, 1 << 20, -(1 << 20)};

	return dice(4) == 0 ? odd[dice((int64_t)QDQ_COUNTOF(odd))] : dice(4);
}

static const qdq_tensor *odd_tensor(void)
{
	static const qdq_type types[] = {QDQ_TYPE_FLOAT,    QDQ_TYPE_FLOAT, QDQ_TYPE_INT64,  QDQ_TYPE_INT64,
					 QDQ_TYPE_INT8,	    QDQ_TYPE_UINT8, QDQ_TYPE_BOOL,   QDQ_TYPE_INT4,
					 QDQ_TYPE_FLOAT16,  QDQ_TYPE_INT32, QDQ_TYPE_DOUBLE, QDQ_TYPE_STRING,
					 QDQ_TYPE_COMPLEX64};
	qdq_type type = types[dice((int64_t)QDQ_COUNTOF(types))];
	making m = {.type = type, .rank = (int)dice(6)};
	int64_t dims[6];

	for (int i = 0; i < m.rank; i++)
		dims[i] = dice(12) == 0 ? 0 : 1 + dice(4);
	m.dims = dims;
	do_tensor(&m);
	char *data;
	memcpy(&data, &m.made->data, sizeof data);
	for (size_t i = 0; i < m.made->count && type != QDQ_TYPE_STRING && type != QDQ_TYPE_COMPLEX64; i++)
		put(type, data, i, type == QDQ_TYPE_INT64 ? (double)(odd_int() / 2) : (double)(dice(9) - 3));
	return m.made;
}

static void odd_attrs(void)
{
	static const char *const ints[] = {"axis",	 "group", "blocksize",	  "keepdims",	"ceil_mode",
					   "block_size", "to",	  "output_dtype", "batch_dims", "k",
					   "num_groups", "p",	  "allowzero",	  "fmod"};
	static const char *const lists[] = {"axes",	 "perm",	 "pads",	 "strides",
					    "dilations", "kernel_shape", "output_shape", "output_padding",
					    "split",	 "starts",	 "ends"};
	static const char *const strings[][2] = {{"mode", "reflect"},
						 {"mode", "linear"},
						 {"auto_pad", "SAME_LOWER"},
						 {"reduction", "mul"},
						 {"direction", "RIGHT"},
						 {"mode", "wrap"},
						 {"coordinate_transformation_mode", "tf_crop_and_resize"}};

	for (int64_t i = dice(3); i > 0; i--)
		qdq_attr_set_int(t.n, ints[dice((int64_t)QDQ_COUNTOF(ints))], odd_int());
	for (int64_t i = dice(4); i > 0; i--) {
		int64_t values[5];
		for (int k = 0; k < 5; k++)
			values[k] = odd_int();
		qdq_attr_set_ints(t.n, lists[dice((int64_t)QDQ_COUNTOF(lists))], values, (size_t)dice(6));
	}
	if (dice(3) == 0) {
		const char *const *s = strings[dice((int64_t)QDQ_COUNTOF(strings))];
		qdq_attr_set_string(t.n, s[0], s[1]);
	}
}

static void do_hostile(void *arg)
{
	static const int opsets[] = {1, 6, 9, 10, 11, 13, 18, 21, 23, 25};
	creation c = {.op = *(qdq_op_id *)arg};

	t.m->opset = opsets[dice((int64_t)QDQ_COUNTOF(opsets))];
	c.n_in = (uint32_t)dice(6);
	c.n_out = 1 + (uint32_t)dice(3);
	for (uint32_t i = 0; i < c.n_in; i++)
		t.in[i] = dice(8) == 0 ? NULL : odd_tensor();
	do_node(&c);
	odd_attrs();
	t.result = qdq_eval_node(t.m, &t.m->arena, t.n, t.in, t.out, t.max_bytes);
	for (uint32_t i = 0; t.result == QDQ_EVAL_OK && i < c.n_out; i++) {
		uint64_t size;
		ck_assert_ptr_nonnull(t.out[i]);
		ck_assert(qdq_type_size(t.out[i]->type, t.out[i]->count, &size) && size <= t.out[i]->size);
		ck_assert_uint_le(t.out[i]->size, t.max_bytes);
	}
}

START_TEST(hostile)
{
	const char *more = getenv("HOSTILE_ROUNDS"); /* for a longer search */
	int rounds = more != NULL ? atoi(more) : 300;
	int64_t done = 0;

	t.max_bytes = 1 << 16;
	seed = 1;
	for (int op = QDQ_OP_REGION + 1; op < QDQ_OP_COUNT; op++) {
		qdq_op_id id = (qdq_op_id)op;
		for (int i = 0; i < rounds; i++) {
			ck_assert_int_eq(qdq_guard(t.ctx, do_hostile, &id), QDQ_OK);
			done += t.result == QDQ_EVAL_OK;
		}
		teardown();
		uint64_t limit = t.max_bytes;
		setup();
		t.max_bytes = limit;
	}
	ck_assert_int_gt(done, 5 * rounds); /* or the operands are too odd to reach anything */
}
END_TEST

Suite *eval_hostile_suite(void)
{
	Suite *s = suite_create("eval_hostile");
	TCase *c = tcase_create("all");

	tcase_add_checked_fixture(c, setup, teardown);
	tcase_set_timeout(c, 120);
	tcase_add_test(c, hostile);
	suite_add_tcase(s, c);
	return s;
}

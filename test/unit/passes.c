/* SPDX-License-Identifier: Apache-2.0
 *
 * passes.c -- the pipeline against passes.def and the headers of the passes, and the driver that runs it
 */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>

#include "../../lib/rewrite/rewrite.h"
#include "suites.h"

/* ---- passes.def ---- */

static int place_of(const char *name)
{
	for (size_t i = 0; i < qdq_n_passes; i++)
		if (strcmp(qdq_passes[i]->name, name) == 0)
			return (int)i;
	return -1;
}

static const struct order {
	const char *before, *after, *why;
} orders[] = {
#define PASS(name)
#define ON_REQUEST(name)
#define ORDER(before, after, why) {#before, #after, why},
#include "../../passes/passes.def"
#undef PASS
#undef ON_REQUEST
#undef ORDER
};

START_TEST(test_order)
{
	for (size_t i = 0; i < sizeof orders / sizeof *orders; i++) {
		int before = place_of(orders[i].before), after = place_of(orders[i].after);

		ck_assert_msg(before >= 0 && after > before, "%s does not run before %s: %s", orders[i].before,
			      orders[i].after, orders[i].why);
		ck_assert(strlen(orders[i].why) > 10);
	}
}
END_TEST

/* The opening comment of passes/NAME.c. */
static void read_header(const char *name, char *out, size_t size)
{
	char path[256];
	FILE *file;
	size_t got;
	char *end;

	snprintf(path, sizeof path, "passes/%s.c", name);
	file = fopen(path, "r");
	ck_assert_msg(file != NULL, "%s is not there (the tests run in the project's root)", path);
	got = fread(out, 1, size - 1, file);
	fclose(file);
	out[got] = '\0';
	end = strstr(out, "*/");
	ck_assert_msg(end != NULL, "%s has no opening comment", path);
	*end = '\0';
}

/* The names behind "After" or "Before" run on that side. */
static void check_side(const char *name, const char *header, const char *label, bool behind)
{
	const char *at = strstr(header, label);
	char line[256];
	int mine = place_of(name);

	ck_assert_msg(at != NULL, "%s: the header has no %s", name, label);
	snprintf(line, sizeof line, "%.*s", (int)strcspn(at + strlen(label), "\n"), at + strlen(label));
	at = strstr(line, behind ? "Before" : "\n");
	if (at != NULL)
		line[at - line] = '\0';
	for (char *word = strtok(line, " ,*"); word != NULL; word = strtok(NULL, " ,*")) {
		int place = place_of(word);

		if (strcmp(word, "nothing") == 0)
			continue;
		ck_assert_msg(place >= 0, "%s: %s names '%s', which is no pass", name, label, word);
		ck_assert_msg(behind ? place < mine : place > mine, "%s: %s %s is not how passes.def has it", name,
			      label, word);
	}
}

START_TEST(test_headers)
{
	static const char *const fields[] = {"When",  "Keeps",	"Exact", "Needs", "Breaks",
					     "After", "Before", "Tests", "Ref"};
	const char *name = qdq_passes[_i]->name;
	char header[4096], file[64];

	read_header(name, header, sizeof header);
	snprintf(file, sizeof file, "* %s -- ", name);
	ck_assert_msg(strstr(header, file) != NULL, "%s: the header does not open with its name", name);
	ck_assert_msg(strstr(header, "=>") != NULL || strcmp(name, "explain") == 0, "%s: no picture", name);
	for (size_t i = 0; i < sizeof fields / sizeof *fields; i++)
		ck_assert_msg(strstr(header, fields[i]) != NULL, "%s: the header has no %s", name, fields[i]);
	check_side(name, header, " After ", true);
	check_side(name, header, " Before ", false);
	ck_assert(qdq_passes[_i]->title != NULL && (qdq_passes[_i]->run != NULL || qdq_passes[_i]->n_rules != 0));
}
END_TEST

/* ---- the tables of rules ---- */

START_TEST(test_rules)
{
	const qdq_pass *pass = qdq_passes[_i];
	size_t length = strlen(pass->name);

	ck_assert_msg(pass->n_rules != 0, "%s has no table of rules", pass->name);
	for (size_t i = 0; i < pass->n_rules; i++) {
		const qdq_rule *rule = &pass->rules[i];

		ck_assert_msg(rule->name != NULL, "%s: row %zu of its table is empty", pass->name, i);
		ck_assert_msg(strncmp(rule->name, pass->name, length) == 0 && rule->name[length] == '.',
			      "%s: '%s' is not called PASS.WHAT", pass->name, rule->name);
		ck_assert_msg(qdq_rule_find(pass, rule->name) == rule, "%s stands there twice", rule->name);
		ck_assert_msg(rule->text != NULL && strlen(rule->text) > 10 && strchr(rule->text, '\n') == NULL,
			      "%s: it has no line about it", rule->name);
		ck_assert(rule->match != NULL || (rule->build == NULL && rule->guard == NULL && rule->make == NULL));
	}
	ck_assert_ptr_null(qdq_rule_find(pass, pass->name));
}
END_TEST

START_TEST(test_rules_listed)
{
	size_t count = 0;
	qdq_rule_text r;

	for (size_t i = 0; i < qdq_n_passes; i++)
		for (size_t k = 0; k < qdq_passes[i]->n_rules; k++) {
			ck_assert_int_eq(qdq_rule_at(&r, count++), QDQ_OK);
			ck_assert_str_eq(r.pass, qdq_passes[i]->name);
			ck_assert_str_eq(r.name, qdq_passes[i]->rules[k].name);
			ck_assert_str_eq(r.exactness, qdq_exactness_names[qdq_passes[i]->rules[k].exactness]);
		}
	ck_assert_int_eq(qdq_rule_at(&r, count), QDQ_EUSAGE);
	ck_assert_ptr_null(r.name);
	ck_assert_int_eq(qdq_rule_at(NULL, 0), QDQ_EUSAGE);
}
END_TEST

/* ---- the driver ---- */

static const char model[] = "<ir_version: 8, opset_import: [\"\" : 17]>\n"
			    "g (float[2,3] x) => (float[2,3] y)\n"
			    "<float s = {0.5}, int8 z = {3}>\n"
			    "{ q = QuantizeLinear(x, s, z) d = DequantizeLinear(q, s, z) [relu] y = Relu(d) }";

static char ran[1024];

static qdq_status note_pass(void *user, const char *pass, uint64_t changes)
{
	(void)changes;
	strcat(strcat(ran, ran[0] != '\0' ? "," : ""), pass);
	return user != NULL && strcmp(pass, user) == 0 ? QDQ_EDEVICE : QDQ_OK;
}

static qdq_status run(const char *passes, const char *stop_at)
{
	qdq_optimize_options o = {.version = QDQ_OPTIMIZE_OPTIONS_VERSION,
				  .passes = passes,
				  .after_pass = note_pass,
				  .user = (void *)(uintptr_t)stop_at};
	qdq_ctx *ctx;
	qdq_model *m;
	qdq_status status;

	ran[0] = '\0';
	ck_assert_int_eq(qdq_ctx_new(&ctx, NULL), QDQ_OK);
	ck_assert_int_eq(qdq_load_memory(&m, ctx, model, sizeof model - 1, "m.onnxtxt"), QDQ_OK);
	status = qdq_optimize(m, &o);
	if (status == QDQ_EUSAGE)
		ck_assert(qdq_diagnostic_count(ctx) != 0);
	qdq_ctx_free(ctx);
	return status;
}

START_TEST(test_selection)
{
	char all[1024] = "", most[1024] = "";

	for (size_t i = 0; i < qdq_n_pipeline; i++) {
		strcat(strcat(all, i != 0 ? "," : ""), qdq_passes[i]->name);
		if (strcmp(qdq_passes[i]->name, "fuse") != 0 && strcmp(qdq_passes[i]->name, "fold") != 0)
			strcat(strcat(most, i != 0 ? "," : ""), qdq_passes[i]->name);
	}
	ck_assert_int_eq(run(NULL, NULL), QDQ_OK);
	ck_assert_str_eq(ran, all);
	ck_assert_int_eq(run("none", NULL), QDQ_OK);
	ck_assert_str_eq(ran, "");
	ck_assert_int_eq(run("-fuse,-fold", NULL), QDQ_OK);
	ck_assert_str_eq(ran, most);
	ck_assert_int_eq(run("cancel,sink_dq,cancel", NULL), QDQ_OK);
	ck_assert_str_eq(ran, "cancel,sink_dq,cancel");
}
END_TEST

/* Padding that no length holds: the transposed convolution stays as it is. */
START_TEST(test_enormous_padding)
{
	static const char source[] =
	    "<ir_version: 8, opset_import: [\"\" : 17]>\ng (uint8[1,2,3,2] q) => (uint8[1,3,6,4] y)\n"
	    "<float s = {0.02}, uint8 z = {120}, int8[2,3,2,2] w = {-8, -6, 10, -6, -8, 4, 7, 1, 9, 8, -2, 2, -3, 6, "
	    "6, "
	    "-3, 2, -2, 8, 9, 1, 7, 4, -8}, float t = {0.01}, int8 u = {0}>\n{\n  x = DequantizeLinear(q, s, z)\n"
	    "  f = DequantizeLinear(w, t, u)\n  c = ConvTranspose<strides = [2, 2], pads = [0, 0, %s, %s], "
	    "output_padding = [%s, 0]>(x, f)\n  y = QuantizeLinear(c, s, z)\n}\n";
	static const char *const numbers[][2] = {{"9223372036854775807", "0"},
						 {"9223372036854775807", "-1"},
						 {"0", "9223372036854775807"},
						 {"0", "-9223372036854775807"}};
	qdq_optimize_options options = {
	    .version = QDQ_OPTIMIZE_OPTIONS_VERSION, .passes = "conv_phases", .target = "ort-cpu"};
	char text[1024];
	qdq_ctx *ctx;
	qdq_model *m;
	bool found = false;

	snprintf(text, sizeof text, source, numbers[_i][0], numbers[_i][0], numbers[_i][1]);
	ck_assert_int_eq(qdq_ctx_new(&ctx, NULL), QDQ_OK);
	ck_assert_int_eq(qdq_load_memory(&m, ctx, text, strlen(text), "padding.onnxtxt"), QDQ_OK);
	ck_assert_int_eq(qdq_optimize(m, &options), QDQ_OK);
	for (const qdq_node *n = m->graph->first; n != NULL; n = n->next)
		found = found || qdq_is(n, QDQ_OP_ConvTranspose);
	ck_assert(found);
	qdq_ctx_free(ctx);
}
END_TEST

START_TEST(test_refusals)
{
	ck_assert_int_eq(run("fuse,nothing", NULL), QDQ_EUSAGE);
	ck_assert_str_eq(ran, "");
	ck_assert_int_eq(run("-nothing", NULL), QDQ_EUSAGE);
	ck_assert_int_eq(run("-fuse,fold", NULL), QDQ_EUSAGE);
	ck_assert_int_eq(run("fold,-fuse", NULL), QDQ_EUSAGE);
	ck_assert_int_eq(run(NULL, "fold"), QDQ_EDEVICE);
	ck_assert_ptr_nonnull(strstr(ran, "canonicalize"));
	ck_assert_ptr_null(strstr(ran, "sink_dq"));
}
END_TEST

Suite *passes_suite(void)
{
	Suite *s = suite_create("passes");
	TCase *c = tcase_create("all");

	tcase_add_test(c, test_order);
	tcase_add_loop_test(c, test_headers, 0, (int)qdq_n_passes);
	tcase_add_loop_test(c, test_rules, 0, (int)qdq_n_passes);
	tcase_add_test(c, test_rules_listed);
	tcase_add_test(c, test_selection);
	tcase_add_loop_test(c, test_enormous_padding, 0, 4);
	tcase_add_test(c, test_refusals);
	suite_add_tcase(s, c);
	return s;
}

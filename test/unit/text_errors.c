/* SPDX-License-Identifier: Apache-2.0
 *
 * text_errors.c -- tests of ONNX's textual syntax: what is wrong, where, and what is too much
 */
#include "suites.h"
#include "text_fixture.h"

static const struct {
	const char *text, *message;
} errors[] = {
    {"", "1:1: the text is empty"},
    {"# only a comment", "1:17: the text is empty"},
    {"<ir_version: 8, version: 7> g () => () {}", "1:17: a model has no 'version'"},
    {"<ir_version: 8.5> g () => () {}", "1:14: 8.5 is not a whole number"},
    {"<ir_version 8> g () => () {}", "1:13: expected ':' before '8'"},
    {"<ir_version: 8, opset_import: [\"\" : 0]> g () => () {}", "1:37: opset version 0 is out of range"},
    {"<ir_version: 8, opset_import: [\"\" : 17, \"ai.onnx\" : 18]> g () => () {}",
     "1:1: two versions of opset ai.onnx are imported"},
    {"<ir_version: 8, opset_import: [17]> g () => () {}", "1:32: expected a string before '17'"},
    {"<ir_version: 8>\n () => () {}", "2:2: expected the name of a graph before '('"},
    {HEADER "g () = > () {}", "2:6: expected '=>' before '='"},
    {HEADER "g (float7[2] x) => () {}", "2:4: 'float7' is not a type"},
    {HEADER "g (float6e2m3[2] x) => () {}", "2:4: 'float6e2m3' is not a type"},
    {HEADER "g (seq(what) x) => () {}", "2:8: 'what' is not a type"},
    {HEADER "g (map(seq(int8), int8) x) => () {}", "2:8: 'seq' is not an element type"},
    {HEADER "g (float[2 x) => () {}", "2:12: expected ']' before 'x'"},
    {HEADER "g (float[2] x, float[2] x) => () {}", "2:16: 'x' is defined twice"},
    {HEADER "g (float[2] \"\") => () {}", "2:13: an input, output or initializer has no name"},
    {HEADER "g (float[2] \"\xc3\x28\") => () {}", "2:13: a name or text that is not UTF-8"},
    {HEADER "g (float[2] \xc3\xbc) => () {}", "2:13: expected a name before '\xc3\xbc'"},
    {HEADER "g (float[2] x) => () {\n\"\xc3\xbc\xc3\xbc\" = Relu x }", "3:13: expected '(' before 'x'"},
    {HEADER "g (x) => () { y = Relu (x\n z = Conv(y) }", "3:2: expected ')' before 'z'"},
    {HEADER "g (x) => () {\n y = Relu(x)", "3:13: expected a node or '}' before the end of the text"},
    {HEADER "g (x) => () { y = (x) }", "2:19: expected an operator before '('"},
    {HEADER "g (x) => () { y = \"\"(x) }", "2:21: a node has no operator"},
    {HEADER "g (x) => () { [a b] y = Relu(x) }", "2:18: expected ']' before 'b'"},
    {HEADER "g (x) => () {} }", "2:16: expected the name of a function before '}'"},
    /* names */
    {HEADER "g (x) => (y) {\n y = Relu (z)\n}",
     "3:12: 'z' is read but not defined: no node, input or initializer has that name"},
    {HEADER "g (x) => (y) {\n y = Relu (z)\n\n z = Neg(x) }",
     "3:12: 'z' is read before line 5 defines it: the nodes are not sorted, or form a cycle"},
    {HEADER "g (x) => (y) {\n y = Relu (y) }", "3:12: 'y' is read by the node that defines it: a cycle"},
    {HEADER "g (x) => () { y = If <a: graph = b () => () { q = Neg(z) }> (x)\n z = Neg(y) }",
     "2:55: 'z' is read before line 3 defines it: the nodes are not sorted, or form a cycle"},
    {HEADER "g (x) => () { y = If <a: graph = b () => () { q = Neg(z) }, c: graph = d () => () { z = Neg(x) }> (x) }",
     "2:55: 'z' is read but not defined: no node, input or initializer has that name"},
    {HEADER "g (x) => () { y = If <a: graph = b () => () { q = Neg(x) }> (x) z = Neg(q) }",
     "2:73: 'q' is read but not defined: no node, input or initializer has that name"},
    {HEADER "g (x) => () { y = Relu (z) ( }",
     "2:25: 'z' is read but not defined: no node, input or initializer has that name"},
    {HEADER "g (x) => (y) {\n x = Relu (x)\n}", "3:2: 'x' is defined twice"},
    {HEADER "g (x) => (y) {\n y, y = Relu (x)\n}", "3:5: 'y' is defined twice"},
    {HEADER "g (x) => () { y = If <a: graph = b () => () { x = Neg(x) }> (x) }", "2:47: 'x' is defined twice"},
    {HEADER "g (x) => (y) {}", "2:11: output 'y' is computed by no node and is no input"},
    {HEADER "g (x) => () { y = If <a: graph = b () => (x) {}> (x) }",
     "2:43: output 'x' of a nested graph is computed outside of it"},
    {HEADER "g (x) => () { y = d.F(x) } <domain: \"d\"> F (a) => (b) { b = Neg(x) }",
     "2:65: 'x' is read but not defined: no node, input or initializer has that name"},
    /* data */
    {HEADER "g () => () <float[2] w = {1, 2, 3}> {}",
     "2:26: tensor 'w' has at least 3 elements, but its type calls for 2"},
    {HEADER "g () => () <float[2] w = {1}> {}", "2:26: tensor 'w' has 1 elements, but its type calls for 2"},
    {HEADER "g () => () <float[2] w = {}> {}", "2:26: tensor 'w' has 0 elements, but its type calls for 2"},
    {HEADER "g () => () <int4[4] w = {1, 2, 3}> {}",
     "2:25: tensor 'w' has at least 3 elements, but its type calls for 2"},
    {HEADER "g () => () <complex64 w = {1}> {}", "2:27: tensor 'w' has 1 elements, but its type calls for 2"},
    {HEADER "g () => () <float[1000000000000] w = {1}> {}",
     "2:38: tensor 'w' calls for 1000000000000 elements, which is more than the text has room for"},
    {HEADER "g () => () <float[4611686018427387904,4] w = {1}> {}", "2:46: the dimensions of a tensor are too large"},
    {HEADER "g () => () <float[-1] w = {1}> {}", "2:27: a tensor with data needs numbers as dimensions"},
    {HEADER "g () => () <float[N] w = {1}> {}", "2:26: a tensor with data needs numbers as dimensions"},
    {HEADER "g () => () <float[] w = {1}> {}", "2:25: a tensor with data needs its dimensions"},
    {HEADER "g () => () <seq(float) w = {1}> {}", "2:28: only tensors have data"},
    {HEADER "g () => () <w = {1}> {}", "2:16: 'w' has data, so it needs a type"},
    {HEADER "g () => () <int8 w = {128}> {}", "2:23: 128 is out of range for int8"},
    {HEADER "g () => () <uint8 w = {-1}> {}", "2:24: -1 is out of range for uint8"},
    {HEADER "g () => () <uint64 w = {-1}> {}", "2:25: -1 is out of range"},
    {HEADER "g () => () <int4[4] w = {1, 2, 3, 8}> {}", "2:36: 8 is out of range for int4"},
    {HEADER "g () => () <int8 w = {1.0}> {}", "2:23: 1.0 is not a whole number"},
    {HEADER "g () => () <int64 w = {9223372036854775808}> {}", "2:24: 9223372036854775808 is out of range"},
    {HEADER "g () => () <float w = {1e39}> {}", "2:24: 1e39 is out of range"},
    {HEADER "g () => () <float w = {1e}> {}", "2:24: 1e is out of range"},
    {HEADER "g () => () <float w = {+1}> {}", "2:24: expected a number before '+'"},
    {HEADER "g () => () <float w = {- 1}> {}", "2:24: expected a number before '-'"},
    {HEADER "g () => () <float w = {one}> {}", "2:24: expected a number before 'one'"},
    {HEADER "g () => () <float w = 1> {}", "2:23: expected '{' before '1'"},
    {HEADER "g () => () <string w = {1}> {}", "2:25: expected a string before '1'"},
    {HEADER "g () => () <string w = {\"abc\\\"} {}", "2:25: the string that begins here does not end"},
    {HEADER "g () => () <float w = {1}, float w = {1}> {}", "2:28: 'w' is defined twice"},
    {HEADER "g () => () <float[2] w = [\"location\": \"w\", \"offset\": \"-1\"]> {}",
     "2:54: expected a number in quotes"},
    {HEADER "g () => () <float[2] w = [\"location\": \"w\", \"length\": \"9\"]> {}",
     "2:26: tensor 'w' has 9 bytes of external data, but its type calls for 8"},
    /* attributes */
    {HEADER "g () => () { = Op <a: thing = 1> () }", "2:23: 'thing' is not an attribute's type"},
    {HEADER "g () => () { = Op <a: int = 1.5> () }",
     "2:29: attribute 'a' is to be of type int, but this is of type float"},
    {HEADER "g () => () { = Op <a = [1, 2.5]> () }",
     "2:28: attribute 'a' is to be of type int, but this is of type float"},
    {HEADER "g () => () { = Op <a: ints = 1> () }",
     "2:30: attribute 'a' is to be of type ints, but this is of type int"},
    {HEADER "g () => () { = Op <a = []> () }", "2:24: an empty list needs the type of a list, as in 'a: ints = []'"},
    {HEADER "g () => () { = Op <a: int = []> () }",
     "2:29: an empty list needs the type of a list, as in 'a: ints = []'"},
    {HEADER "g () => () { = Op <a = 1, b = 2, a = 3> () }", "2:43: attribute 'a' is given twice"},
    {HEADER "g () => () { = Op <a = 99999999999999999999> () }", "2:24: 99999999999999999999 is out of range"},
    {HEADER "g () => () { = Op <a: sparse_tensor = float[1] {1}> () }", "2:39: there is no text for sparse tensors"},
    {HEADER "g () => () { = Op <\"\" = 1> () }", "2:22: an attribute has no name"},
    {HEADER "g () => () { = Op <a = @> () }", "2:25: expected the name of a function's attribute before '>'"},
    {HEADER "g () => () { = Op <> () }", "2:20: expected an attribute's name before '>'"},
    {HEADER "g () => () { = Op <a = \x01> () }", "2:24: expected a number before byte 0x01"},
    /* models */
    {"<ir_version: 8> g () => () {\n [a] y = Relu() }",
     "2:2: the model imports no opset of ai.onnx, which operator Relu is of"},
    {HEADER "g () => () {} <domain: \"a\"> f () => () { = a.h() } <domain: \"a\"> h () => () { = a.f() }",
     "2:29: function 'f' calls itself, or is called in a circle of functions"},
    {HEADER "g () => () {} <domain: \"a\"> f () => () {} <domain: \"a\"> f () => () {}",
     "2:57: function 'f' of domain 'a' is defined twice"},
    {HEADER "g () => () {} <ir_version: 8> f () => () {}", "2:16: a function has no 'ir_version'"},
    {HEADER "g () => () {} f <a = b () => () {}> () => () {}",
     "2:35: the default of a function's attribute cannot be a graph"},
};

START_TEST(test_errors)
{
	const qdq_diagnostic *d;
	session s;

	start(&s);
	ck_assert_int_eq(parse_bytes(&s, errors[_i].text, strlen(errors[_i].text)), QDQ_EMODEL);
	ck_assert_str_eq(last_message(&s), errors[_i].message);
	d = &s.ctx->diagnostics.items[s.ctx->diagnostics.count - 1];
	ck_assert_str_eq(d->file, "model.onnxtxt");
	ck_assert_uint_eq(s.ctx->errors, 1);
	ck_assert_ptr_null(s.ctx->models);
	finish(&s);
}
END_TEST

/* The node is named, also around nested graphs. */
START_TEST(test_error_node)
{
	static const char text[] =
	    HEADER "g (x) => () { [outer] y = If <a: graph = b () => () { [inner] q = Neg(x) }, c = > (x) }";
	const qdq_diagnostic *d;
	session s;

	start(&s);
	ck_assert_int_eq(parse_bytes(&s, text, strlen(text)), QDQ_EMODEL);
	d = &s.ctx->diagnostics.items[s.ctx->diagnostics.count - 1];
	ck_assert_str_eq(d->node, "outer");
	ck_assert_str_eq(d->op, "If");
	finish(&s);
}
END_TEST

START_TEST(test_nul)
{
	static const char text[] = HEADER "g (x) => () { \"a\0b\" = Neg(x) }";
	session s;

	start(&s);
	ck_assert_int_eq(parse_bytes(&s, text, sizeof text - 1), QDQ_EMODEL);
	ck_assert_str_eq(last_message(&s), "2:15: a name or text with a NUL character");
	ck_assert_int_eq(parse_bytes(&s, HEADER "g () => () {}\0", strlen(HEADER) + 14), QDQ_EMODEL);
	ck_assert_str_eq(last_message(&s), "2:14: expected the name of a function before byte 0x00");
	finish(&s);
}
END_TEST

/* ---- limits ---- */

static void expect_deep(const char *head, const char *piece, uint32_t limit, const char *words)
{
	size_t length = strlen(piece), count = 10000;
	char *text = malloc(strlen(head) + count * length + 1);
	session s = {.fail_at = 0};

	ck_assert_ptr_nonnull(text);
	strcpy(text, head);
	for (size_t i = 0; i < count; i++)
		memcpy(text + strlen(head) + i * length, piece, length + 1 < 2 ? 1 : length);
	start_with(&s, (qdq_options){.max_depth = limit});
	ck_assert_int_eq(parse_bytes(&s, text, strlen(head) + count * length), QDQ_EMODEL);
	ck_assert_ptr_nonnull(strstr(last_message(&s), words));
	finish(&s);
	free(text);
}

START_TEST(test_depth)
{
	static const char in_range[] = HEADER "g (x) => () { y = If <a: graph = b () => () { z = Neg(x) }> (x) }";
	session s = {.fail_at = 0};

	expect_deep(HEADER "g () => () { ", "= If <a: graph = g () => () { ", 0, "deeper than the limit of 100");
	expect_deep(HEADER "g () => () { ", "= If <a = [g () => () { ", 100000, "deeper than the limit of 1000");
	expect_deep(HEADER "g (", "seq(", 0, "deeper than the limit of 100");
	start_with(&s, (qdq_options){.max_depth = 2});
	parse(&s, in_range);
	finish(&s);
	start_with(&s, (qdq_options){.max_depth = 1});
	ck_assert_int_eq(parse_bytes(&s, in_range, strlen(in_range)), QDQ_EMODEL);
	finish(&s);
	start_with(&s, (qdq_options){.max_nodes = 1});
	ck_assert_int_eq(parse_bytes(&s, in_range, strlen(in_range)), QDQ_EMODEL);
	finish(&s);
}
END_TEST

Suite *text_errors_suite(void)
{
	Suite *suite = suite_create("text_errors");
	TCase *c = tcase_create("text_errors");

	tcase_set_timeout(c, 60);
	tcase_add_loop_test(c, test_errors, 0, QDQ_COUNTOF(errors));
	tcase_add_test(c, test_error_node);
	tcase_add_test(c, test_nul);
	tcase_add_test(c, test_depth);
	suite_add_tcase(suite, c);
	return suite;
}

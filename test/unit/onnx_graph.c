/* SPDX-License-Identifier: Apache-2.0
 *
 * onnx_graph.c -- tests of lib/onnx: graphs, names, functions, versions; what is wrong with them, and how it is said
 */
#include "onnx_fixture.h"
#include "suites.h"

/* ---- graphs ---- */

static void undefined(void)
{
	put_node(&io.graph, "Relu", "nobody", NULL, "a", NULL);
}

static void unsorted(void)
{
	put_node(&io.graph, "Relu", "b", NULL, "a", NULL);
	put_node(&io.graph, "Relu", "x", NULL, "b", NULL);
}

static void cyclic(void)
{
	put_node(&io.graph, "Relu", "a", NULL, "a", NULL);
}

static void twice(void)
{
	put_node(&io.graph, "Relu", "x", NULL, "a", NULL);
	put_node(&io.graph, "Relu", "x", NULL, "a", NULL);
}

static void twice_in_one(void)
{
	put_string(&io.part, 2, "a");
	put_node(&io.graph, "Split", "x", NULL, "a", &io.part);
}

static void input_twice(void)
{
	put_value(&io.graph, 11, "x");
}

static void defined_input(void)
{
	put_node(&io.graph, "Relu", "x", NULL, "x", NULL);
}

static void no_operator(void)
{
	put_node(&io.graph, NULL, "x", NULL, "a", NULL);
}

static void no_such_output(void)
{
	put_value(&io.graph, 12, "z");
}

static void nameless_output(void)
{
	put_value(&io.graph, 12, "");
}

static void nameless_initializer(void)
{
	put_int(&io.tensor, 2, QDQ_TYPE_INT8);
	put_bytes(&io.tensor, 9, "a", 1);
	put_message(&io.graph, 5, &io.tensor);
}

static void attribute_twice(void)
{
	for (int i = 0; i < 2; i++)
		put_bytes(&io.part, 5,
			  "\x0a\x01"
			  "a\x18\x01\xa0\x01\x02",
			  8);
	put_node(&io.graph, "Relu", "x", NULL, "a", &io.part);
}

static void attribute_type(void)
{
	put_bytes(&io.part, 5,
		  "\x0a\x01"
		  "a\xa0\x01\x63",
		  6);
	put_node(&io.graph, "Relu", "x", NULL, "a", &io.part);
}

static void attribute_without_graph(void)
{
	put_bytes(&io.part, 5,
		  "\x0a\x01"
		  "a\xa0\x01\x05",
		  6);
	put_node(&io.graph, "If", "x", NULL, "a", &io.part);
}

static void attribute_with_graph(void)
{
	put_bytes(&io.part, 5,
		  "\x0a\x01"
		  "a\x32\x00\xa0\x01\x0a",
		  8);
	put_node(&io.graph, "If", "x", NULL, "a", &io.part);
}

static void attribute_without_name(void)
{
	put_bytes(&io.part, 5, "\x18\x01", 2);
	put_node(&io.graph, "Relu", "x", NULL, "a", &io.part);
}

static void nested_shadow(void)
{
	put_branch(&io.part, "then_branch", "x", "x");
	put_node(&io.graph, "If", "x", NULL, "a", &io.part);
}

static void nested_undefined(void)
{
	put_branch(&io.part, "then_branch", "a", "b");
	put_node(&io.graph, "If", "x", NULL, "a", &io.part);
}

static void sibling_leak(void)
{
	put_branch(&io.part, "then_branch", "x", "inner");
	put_branch(&io.part, "else_branch", "inner", "other");
	put_node(&io.graph, "If", "x", NULL, "a", &io.part);
}

static const struct {
	void (*build)(void);
	const char *words, *operand, *node;
} bad_graphs[] = {
    {undefined, "read but not defined", "nobody", "#0"},
    {unsorted, "before a later node, #1, defines it", "b", "#0"},
    {cyclic, "a cycle", "a", "#0"},
    {twice, "'a' is defined twice", "a", "#1"},
    {twice_in_one, "'a' is defined twice", "a", "#0"},
    {input_twice, "'x' is defined twice", "x", NULL},
    {defined_input, "'x' is defined twice", "x", "#0"},
    {no_operator, "no operator", NULL, "#0"},
    {no_such_output, "computed by no node", "z", NULL},
    {nameless_output, "has no name", NULL, NULL},
    {nameless_initializer, "initializer has no name", NULL, NULL},
    {attribute_twice, "attribute 'a' is given twice", NULL, "#0"},
    {attribute_type, "attribute 'a' has unknown type 99", NULL, "#0"},
    {attribute_without_graph, "of type GRAPH but holds none", NULL, "#0"},
    {attribute_with_graph, "holds a graph, but its type says otherwise", NULL, "#0"},
    {attribute_without_name, "attribute has no name", NULL, "#0"},
    {nested_shadow, "'x' is defined twice", "x", "#2"},
    {nested_undefined, "by the node that defines it", "a", "#2"},
    {sibling_leak, "'inner' is read but not defined", "inner", "#3"},
};

START_TEST(test_bad_graph)
{
	const qdq_diagnostic *d;

	bad_graphs[_i].build();
	finish_model(NULL);
	EXPECT_FAILURE(load_bytes(io.model.data, io.model.size), QDQ_EMODEL, bad_graphs[_i].words);
	d = &io.ctx->diagnostics.items[io.ctx->diagnostics.count - 1];
	ck_assert_pstr_eq(d->operand, bad_graphs[_i].operand);
	ck_assert_pstr_eq(d->node, bad_graphs[_i].node);
}
END_TEST

START_TEST(test_nested_graphs)
{
	const qdq_node *n;

	put_branch(&io.part, "then_branch", "x", "inner"); /* the same name in sibling graphs is fine */
	put_branch(&io.part, "else_branch", "x", "inner");
	put_node(&io.graph, "If", "x", NULL, "a", &io.part);
	finish_model(NULL);
	ck_assert_int_eq(load_bytes(io.model.data, io.model.size), QDQ_OK);
	n = io.m->graph->first;
	ck_assert_uint_eq(n->n_attrs, 2);
	ck_assert_int_eq((int)n->attrs[0].type, QDQ_ATTR_GRAPH);
	ck_assert_ptr_eq(n->attrs[0].u.g->parent, n);
	ck_assert_uint_eq(io.m->graph->inputs.items[0]->n_uses, 4); /* If, two captures, Relu */
	ck_assert_uint_eq(io.m->origins.count, 4);
	ck_assert_uint_eq(n->attrs[0].u.g->first->origin->index, 2);
	ck_assert_uint_eq(n->attrs[1].u.g->first->origin->index, 3);
	ck_assert_int_eq(qdq_guard(io.ctx, onnx_sink, NULL), QDQ_OK);
	ck_assert_uint_eq(io.out.size, io.model.size);
	ck_assert_mem_eq(io.out.data, io.model.data, io.model.size);
}
END_TEST

/* Inputs with a default, outputs that are inputs or constants, left-out outputs. */
START_TEST(test_odd_ends)
{
	const qdq_graph *g;

	put_string(&io.part, 2, "");
	put_string(&io.part, 2, "late");
	put_node(&io.graph, "Split", "x", "", "a", &io.part);
	put_int(&io.tensor, 1, 2);
	put_int(&io.tensor, 2, QDQ_TYPE_FLOAT);
	put_string(&io.tensor, 8, "x");
	put_bytes(&io.tensor, 9, "abcdefgh", 8);
	put_message(&io.graph, 5, &io.tensor);
	io.tensor.size = 0;
	put_int(&io.tensor, 2, QDQ_TYPE_INT8);
	put_string(&io.tensor, 8, "c");
	put_bytes(&io.tensor, 9, "a", 1);
	put_message(&io.graph, 5, &io.tensor);
	put_value(&io.graph, 12, "x");
	put_value(&io.graph, 12, "c");
	finish_model(NULL);
	ck_assert_int_eq(load_bytes(io.model.data, io.model.size), QDQ_OK);
	g = io.m->graph;
	ck_assert_ptr_null(g->first->outputs[1]);
	ck_assert_ptr_null(g->first->inputs[1].value);
	ck_assert_str_eq(g->first->outputs[2]->name, "late");
	ck_assert(g->inputs.items[0]->is_input);
	ck_assert_ptr_nonnull(g->inputs.items[0]->tensor);
	ck_assert_ptr_null(qdq_value_constant(g->inputs.items[0]));
	ck_assert_uint_eq(g->inputs.items[0]->n_outputs, 1);
	ck_assert_uint_eq(g->constants.count, 1);
	ck_assert_uint_eq(g->outputs.count, 3);
	ck_assert_int_eq(qdq_guard(io.ctx, onnx_sink, NULL), QDQ_OK);
	ck_assert_uint_eq(io.out.size, io.model.size);
}
END_TEST

/* Up to IR version 3 an initializer is an input too, and yet a constant. */
START_TEST(test_old_initializers)
{
	put_int(&io.tensor, 1, 2);
	put_int(&io.tensor, 2, QDQ_TYPE_FLOAT);
	put_string(&io.tensor, 8, "w");
	put_bytes(&io.tensor, 9, "abcdefgh", 8);
	put_message(&io.graph, 5, &io.tensor);
	put_value(&io.graph, 11, "w");
	finish_model(NULL);
	io.model.data[1] = 3; /* the IR version */
	ck_assert_int_eq(load_bytes(io.model.data, io.model.size), QDQ_OK);
	ck_assert_uint_eq(io.m->graph->inputs.count, 1);
	ck_assert_uint_eq(io.m->graph->constants.count, 1);
	ck_assert_ptr_nonnull(qdq_value_constant(io.m->graph->constants.items[0]));
	ck_assert_int_eq(qdq_guard(io.ctx, onnx_sink, NULL), QDQ_OK);
	ck_assert_uint_eq(io.out.size, io.model.size); /* both inputs are listed again */
}
END_TEST

/* Types of values that are gone are not written; changed ones are. */
START_TEST(test_value_info)
{
	qdq_node *n;
	qdq_value *b;

	put_node(&io.graph, "Relu", "x", NULL, "a", NULL);
	put_node(&io.graph, "Relu", "x", NULL, "b", NULL);
	put_value(&io.graph, 13, "a");
	put_value(&io.graph, 13, "b");
	finish_model(NULL);
	ck_assert_int_eq(load_bytes(io.model.data, io.model.size), QDQ_OK);
	n = io.m->graph->first;
	b = n->next->outputs[0];
	ck_assert(b->declared);
	ck_assert_int_eq((int)b->type, QDQ_TYPE_FLOAT);
	ck_assert_int_eq(b->shape->rank, 1);
	qdq_node_remove(n);
	qdq_value_set_type(b, QDQ_TYPE_INT8, qdq_shape_new(io.m, 1, (int64_t[]){5}));
	qdq_value_rename(b, qdq_intern(&io.m->names, "renamed"));
	ck_assert_int_eq(qdq_guard(io.ctx, onnx_sink, NULL), QDQ_OK);
	ck_assert_int_eq(load_bytes(io.out.data, io.out.size), QDQ_OK);
	b = io.m->graph->first->outputs[0];
	ck_assert_str_eq(b->name, "renamed");
	ck_assert(b->declared);
	ck_assert_int_eq((int)b->type, QDQ_TYPE_INT8);
	ck_assert_int_eq((int)b->shape->dim[0], 5);
}
END_TEST

/* ---- functions ---- */

/* Function `name`, whose body calls `callee` of domain "f", or Relu of ai.onnx. */
static void put_function(bytes *tail, const char *name, const char *callee)
{
	static bytes function, node;
	static const unsigned char opset[] = {0x0a, 0x00, 0x10, 0x11};

	function.size = node.size = 0;
	put_string(&function, 1, name);
	put_string(&function, 4, "p");
	put_string(&function, 5, "q");
	put_string(&node, 7, callee == NULL ? "" : "f");
	put_node(&function, callee == NULL ? "Relu" : callee, "p", NULL, "q", &node);
	function.data[function.size] = 0;
	put_bytes(&function, 9, opset, sizeof opset);
	put_string(&function, 10, "f");
	/* the nodes of a function are field 7, not 1: rewrite the tag that put_node wrote */
	for (size_t i = 0; i < function.size; i++) {
		if (function.data[i] == 0x0a && i > strlen(name) + 1) {
			function.data[i] = 0x3a;
			break;
		}
	}
	put_message(tail, 25, &function);
}

START_TEST(test_functions)
{
	static bytes tail, node;
	const qdq_node *n;

	put_string(&node, 7, "f");
	put_node(&io.graph, "outer", "x", NULL, "a", &node);
	put_function(&tail, "outer", "inner");
	put_function(&tail, "inner", NULL);
	finish_model(&tail);
	ck_assert_int_eq(load_bytes(io.model.data, io.model.size), QDQ_OK);
	n = io.m->graph->first;
	ck_assert_uint_eq(io.m->functions.count, 2);
	ck_assert_ptr_eq(n->function, io.m->functions.items[0]);
	ck_assert_ptr_eq(n->function->body->first->function, io.m->functions.items[1]);
	ck_assert_ptr_null(io.m->functions.items[1]->body->first->function);
	ck_assert_uint_eq(io.m->origins.count, 4);
	ck_assert_uint_eq(n->function->body->first->origin->index, 2);
	ck_assert_int_eq(qdq_guard(io.ctx, onnx_sink, NULL), QDQ_OK);
	ck_assert_uint_eq(io.out.size, io.model.size);
	ck_assert_mem_eq(io.out.data, io.model.data, io.model.size);
}
END_TEST

START_TEST(test_recursion)
{
	static bytes tail;

	put_function(&tail, "a", "b");
	put_function(&tail, "b", "a");
	finish_model(&tail);
	EXPECT_FAILURE(load_bytes(io.model.data, io.model.size), QDQ_EMODEL, "in a circle");
}
END_TEST

START_TEST(test_function_twice)
{
	static bytes tail;

	put_function(&tail, "a", NULL);
	put_function(&tail, "a", NULL);
	finish_model(&tail);
	EXPECT_FAILURE(load_bytes(io.model.data, io.model.size), QDQ_EMODEL, "'a' of domain 'f' is defined twice");
}
END_TEST

START_TEST(test_versions)
{
	static const struct {
		const char *head; /* IR version and opset 13 … */
		size_t size;
		qdq_status status;
		const char *words;
	} cases[] = {
	    {"\x08\x08\x42\x02\x10\x06", 6, QDQ_OK, "opset 6 is not one of 7 to 25"},
	    {"\x08\x63\x42\x02\x10\x11", 6, QDQ_OK, "IR version 99"},
	    {"\x08\x08\x42\x02\x10\x00", 6, QDQ_EMODEL, "opset version 0"},
	    {"\x08\x08", 2, QDQ_EMODEL, "imports no opset of ai.onnx"},
	    {"\x08\x08\x42\x02\x10\x11\x42\x02\x10\x12", 10, QDQ_EMODEL, "two versions"},
	};

	for (size_t i = 0; i < QDQ_COUNTOF(cases); i++) {
		io.graph.size = io.model.size = 0;
		finish_model(NULL);
		io.model.size = 0;
		put_raw(&io.model, cases[i].head, cases[i].size);
		put_message(&io.model, 7, &io.graph);
		EXPECT_FAILURE(load_bytes(io.model.data, io.model.size), cases[i].status, cases[i].words);
	}
}
END_TEST
Suite *onnx_graph_suite(void)
{
	Suite *suite = suite_create("onnx_graph");
	TCase *cases = tcase_create("all");

	tcase_add_checked_fixture(cases, onnx_setup, onnx_teardown);
	tcase_set_timeout(cases, 60);
	tcase_add_loop_test(cases, test_bad_graph, 0, (int)(QDQ_COUNTOF(bad_graphs)));
	tcase_add_test(cases, test_nested_graphs);
	tcase_add_test(cases, test_odd_ends);
	tcase_add_test(cases, test_old_initializers);
	tcase_add_test(cases, test_value_info);
	tcase_add_test(cases, test_functions);
	tcase_add_test(cases, test_recursion);
	tcase_add_test(cases, test_function_twice);
	tcase_add_test(cases, test_versions);
	suite_add_tcase(suite, cases);
	return suite;
}

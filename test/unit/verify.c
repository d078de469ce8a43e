/* SPDX-License-Identifier: Apache-2.0
 *
 * verify.c -- tests of the verifier, each breaking one invariant, and of what a file must fulfil
 */
#include "suites.h"
#include "text_fixture.h"

static void infer_body(void *arg)
{
	session *s = arg;

	qdq_graph_infer(s->m->graph);
}

#define MODEL                                                                                     \
	HEADER "g (float[N,3] x, bool c) => (float[N,3] y, float[] z) <float[3] w = {1, 2, 3}> {" \
	       " [a] p = Add(x, w) [b] q = Relu(p)"                                               \
	       " [i] z = If<then_branch: graph = t () => (float[] u) { [ti] u = Abs(q) },"        \
	       "            else_branch: graph = e () => (float[] v) { [ei] v = Neg(w) }>(c)"     \
	       " [d] y = Mul(q, p) }"

static qdq_model *sound(session *s)
{
	qdq_model *m;

	start(s);
	m = parse(s, MODEL);
	ck_assert_int_eq(qdq_guard(s->ctx, infer_body, s), QDQ_OK);
	ck_assert(qdq_graph_verify(m->graph));
	ck_assert(qdq_model_check(m));
	ck_assert_uint_eq(s->ctx->diagnostics.count, 0);
	return m;
}

static bool said(const session *s, const char *what)
{
	for (size_t i = 0; i < s->ctx->diagnostics.count; i++)
		if (strstr(s->ctx->diagnostics.items[i].message, what) != NULL)
			return true;
	return false;
}

static qdq_node *node(const qdq_model *m, const char *name)
{
	for (qdq_node *n = m->graph->first; n != NULL; n = n->next)
		if (strcmp(n->name, name) == 0)
			return n;
	ck_abort_msg("no node %s", name);
}

/* ---- one broken invariant each ---- */

static void wrong_graph_of_node(qdq_model *m)
{
	node(m, "b")->graph = qdq_graph_create(m, NULL, m->graph->name);
}

static void wrong_count_of_nodes(qdq_model *m)
{
	m->graph->n_nodes--;
}

static void wrong_last_node(qdq_model *m)
{
	m->graph->last = m->graph->first;
}

static void circular_list(qdq_model *m)
{
	m->graph->last->next = m->graph->first;
}

static void broken_back_link(qdq_model *m)
{
	node(m, "b")->prev = NULL;
}

static void use_of_another_node(qdq_model *m)
{
	node(m, "d")->inputs[0].node = node(m, "b");
}

static void use_not_listed(qdq_model *m)
{
	qdq_use *u = &node(m, "a")->inputs[0];

	u->value->uses = NULL;
	u->value->n_uses = 0;
}

static void use_count_too_small(qdq_model *m)
{
	node(m, "a")->outputs[0]->n_uses--;
}

static void use_count_too_large(qdq_model *m)
{
	node(m, "a")->outputs[0]->n_uses++;
}

static void circular_uses(qdq_model *m)
{
	qdq_value *v = node(m, "a")->outputs[0];

	v->uses->next->next = v->uses;
}

static void use_behind_the_back(qdq_model *m)
{
	node(m, "d")->inputs[1].value = m->graph->inputs.items[0];
}

static void wrong_definition(qdq_model *m)
{
	node(m, "b")->outputs[0]->def = node(m, "a");
}

static void output_that_is_input(qdq_model *m)
{
	node(m, "b")->outputs[0]->is_input = true;
}

static void defined_twice(qdq_model *m)
{
	node(m, "d")->outputs[0] = node(m, "a")->outputs[0];
}

static void wrong_graph_of_value(qdq_model *m)
{
	node(m, "b")->outputs[0]->graph = qdq_graph_create(m, NULL, m->graph->name);
}

static void used_before_definition(qdq_model *m)
{
	qdq_node_move(node(m, "b"), m->graph, node(m, "a"));
}

static void captured_before_definition(qdq_model *m)
{
	qdq_node_move(node(m, "i"), m->graph, node(m, "b"));
}

static void reads_what_nothing_defines(qdq_model *m)
{
	qdq_use_set(&node(m, "d")->inputs[0], qdq_value_create(m->graph, qdq_intern(&m->names, "nowhere")));
}

static void reads_removed_node(qdq_model *m)
{
	qdq_value *v = node(m, "b")->outputs[0], *in = node(m, "b")->inputs[0].value;
	qdq_node *n = qdq_node_insert(m->graph, node(m, "b"), QDQ_OP_Relu, "r", 1, &in, 1, NULL);
	qdq_value *dead = n->outputs[0];

	qdq_node_remove(n);
	dead->def = n;
	qdq_use_set(&node(m, "d")->inputs[0], dead);
	(void)v;
}

static void reads_from_inside(qdq_model *m)
{
	qdq_use_set(&node(m, "d")->inputs[0], node(m, "i")->attrs[0].u.g->last->outputs[0]);
}

static void wrong_count_of_outputs(qdq_model *m)
{
	m->graph->outputs.items[0]->n_outputs = 2;
}

static void output_from_outside(qdq_model *m)
{
	qdq_graph *branch = node(m, "i")->attrs[0].u.g;

	branch->outputs.items[0] = m->graph->inputs.items[0];
}

static void constant_without_data(qdq_model *m)
{
	m->graph->constants.items[0]->tensor = NULL;
}

static void input_that_is_none(qdq_model *m)
{
	m->graph->inputs.items[0]->is_input = false;
}

static void same_name_twice(qdq_model *m)
{
	qdq_value_rename(node(m, "b")->outputs[0], node(m, "a")->outputs[0]->name);
}

static void name_of_outer_value(qdq_model *m)
{
	qdq_value_rename(node(m, "i")->attrs[0].u.g->last->outputs[0], qdq_intern(&m->names, "x"));
}

static void no_name(qdq_model *m)
{
	qdq_value_rename(node(m, "b")->outputs[0], qdq_intern(&m->names, ""));
}

static void branch_of_another_node(qdq_model *m)
{
	node(m, "i")->attrs[0].u.g->parent = node(m, "a");
}

static void region_without_body(qdq_model *m)
{
	node(m, "b")->op = &qdq_ops[QDQ_OP_REGION];
}

static void wrong_type(qdq_model *m)
{
	node(m, "b")->outputs[0]->type = QDQ_TYPE_INT64;
}

static void missing_operand(qdq_model *m)
{
	qdq_use_set(&node(m, "d")->inputs[1], NULL);
}

static void bad_id(qdq_model *m)
{
	node(m, "b")->id = 1000;
}

static void bad_value_id(qdq_model *m)
{
	node(m, "b")->outputs[0]->id = 1000;
}

static const struct {
	void (*damage)(qdq_model *m);
	const char *message;
} damages[] = {
    {wrong_graph_of_node, "does not belong to"},
    {wrong_count_of_nodes, "list of nodes is broken"},
    {wrong_last_node, "counts 4 nodes"},
    {circular_list, "list of nodes is broken"},
    {broken_back_link, "list of nodes is broken"},
    {use_of_another_node, "input 0 does not know its node"},
    {use_not_listed, "not in the list of uses"},
    {use_count_too_small, "longer than its count"},
    {use_count_too_large, "but its list has"},
    {circular_uses, "longer than its count"},
    {use_behind_the_back, "not in the list of uses"},
    {wrong_definition, "output 0 does not know its node"},
    {output_that_is_input, "at the same time"},
    {defined_twice, "defined twice"},
    {wrong_graph_of_value, "does not belong to"},
    {used_before_definition, "defined behind it"},
    {captured_before_definition, "defined behind it"},
    {reads_what_nothing_defines, "nothing defines"},
    {reads_removed_node, "removed node"},
    {reads_from_inside, "does not see"},
    {wrong_count_of_outputs, "counts 2 places"},
    {output_from_outside, "output of a graph that it does not belong to"},
    {constant_without_data, "listed as a constant"},
    {input_that_is_none, "listed as an input"},
    {same_name_twice, "same scope"},
    {name_of_outer_value, "same scope"},
    {no_name, "has no name"},
    {branch_of_another_node, "does not know its node"},
    {region_without_body, "only a region holds a region"},
    {wrong_type, "must have the same type"},
    {missing_operand, "is missing"},
    {bad_id, "id that was not handed out"},
    {bad_value_id, "id that was not handed out"},
};

START_TEST(finds_damage)
{
	session s;
	qdq_model *m = sound(&s);

	damages[_i].damage(m);
	ck_assert(!qdq_graph_verify(m->graph));
	ck_assert_msg(said(&s, damages[_i].message), "said '%s' instead of '%s'", last_message(&s),
		      damages[_i].message);
	finish(&s);
}
END_TEST

/* ---- regions ---- */

static qdq_node *region_of(qdq_model *m)
{
	qdq_node *nodes[] = {node(m, "b")};

	return qdq_region_create(m->graph, nodes, 1, qdq_intern(&m->names, "r"));
}

static void body_without_node(qdq_model *m, qdq_node *region)
{
	(void)m;
	region->region->body->parent = NULL;
}

static void port_too_few(qdq_model *m, qdq_node *region)
{
	(void)m;
	region->region->body->outputs.count = 0;
}

static void anchor_outside(qdq_model *m, qdq_node *region)
{
	region->region->anchor = node(m, "a");
}

static void no_anchor(qdq_model *m, qdq_node *region)
{
	(void)m;
	region->region->anchor = NULL;
}

static void body_reads_around(qdq_model *m, qdq_node *region)
{
	qdq_use_set(&region->region->body->first->inputs[0], node(m, "a")->outputs[0]);
}

static const struct {
	void (*damage)(qdq_model *m, qdq_node *region);
	const char *message;
} region_damages[] = {
    {body_without_node, "body does not know its node"},
    {port_too_few, "but its body has"},
    {anchor_outside, "anchor is not in its body"},
    {no_anchor, "has no anchor"},
    {body_reads_around, "does not see"},
};

START_TEST(finds_damaged_regions)
{
	session s;
	qdq_model *m = sound(&s);
	qdq_node *region = region_of(m);

	ck_assert(qdq_graph_verify(m->graph));
	region_damages[_i].damage(m, region);
	ck_assert(!qdq_graph_verify(m->graph));
	ck_assert_msg(said(&s, region_damages[_i].message), "said '%s'", last_message(&s));
	finish(&s);
}
END_TEST

START_TEST(verifies_nested_graphs_alone)
{
	session s;
	qdq_model *m = sound(&s);

	ck_assert(qdq_graph_verify(node(m, "i")->attrs[0].u.g));
	finish(&s);
}
END_TEST

START_TEST(says_no_more_than_anybody_reads)
{
	session s;
	qdq_model *m = sound(&s);

	for (int i = 0; i < 300; i++) {
		qdq_value *nothing = qdq_value_create(m->graph, qdq_unique_name(&m->names, "nothing"));
		qdq_node_insert(m->graph, NULL, QDQ_OP_Relu, "r", 1, &nothing, 1, NULL);
	}
	ck_assert(!qdq_graph_verify(m->graph));
	ck_assert_uint_lt(s.ctx->diagnostics.count, 60);
	ck_assert(said(&s, "more faults"));
	finish(&s);
}
END_TEST

/* ---- files ---- */

/* Nodes that a file may not hold; x is float[1,4,8,8], q int8 of the same shape, i int32[4], f float16[4]. */
static const struct {
	const char *nodes, *message;
} wrong_files[] = {
    {"y = Conv(x, i)", "'W' is int32, but must be a floating-point type"},
    {"y = Conv(x, f)", "they must have the same type"},
    {"y = Conv(x)", "input 1, 'W', is missing"},
    {"y = Conv(x, , x)", "input 1, 'W', is missing"},
    {"y = Conv(x, x, x, x)", "has 4 inputs, but may have at most 3"},
    {"y, y2 = Conv(x, x)", "has 2 outputs, but may have at most 1"},
    {"y = Conv<group: float = 1.0>(x, x)", "attribute 'group' is a float, but must be an integer"},
    {"y = Concat(x, x)", "attribute 'axis' is missing"},
    {"y = Concat<axis: int = 1>(x, i)", "they must have the same type"},
    {"y = Add(x, i)", "they must have the same type"},
    {"y = Gather(x, x)", "'indices' is float, but must be int32 or int64"},
    {"y = And(x, x)", "must be bool"},
    {"y = Relu()", "is missing"},
    {"y = Gelu(x)", "is an operator of opset 20, but the model imports opset 17"},
    {"y = QuantizeLinear(x, i)", "the scale is int32, but must be a floating-point type"},
    {"y = DequantizeLinear(q, i)", "'x_scale' is int32"},
    {"y = DequantizeLinear(x, s)", "'x' is float, but must be a quantized type"},
    {"y = DequantizeLinear(q, s, i)", "they must have the same type"},
    {"y = QuantizeLinear<axis: int = 4>(x, s4)", "axis 4 is out of range for rank 4"},
    {"y = QuantizeLinear<axis: int = -5>(x, s4)", "axis -5 is out of range for rank 4"},
    {"y = QuantizeLinear<axis: int = 2>(x, s4)", "4 scales for dimension 2, which is 8"},
    {"y = QuantizeLinear(x, s4, z)", "1 zero points for 4 scales"},
    {"y = QuantizeLinear(x, x)", "the scale has rank 4"},
    {"z2 = Relu(x) z3 = QuantizeLinear(x, s) y = Mul(z2, z3)", "must have the same type"},
    {"y = com.microsoft.QLinearAdd(q, s, z, q, s, z)", "'C_scale', is missing"},
    {"y = com.microsoft.QLinearAdd(x, s, z, q, s, z, s, z)", "'A' is float, but must be int8 or uint8"},
    {"y = If<then_branch: graph = a () => (float p) { p = Conv(x) }, else_branch: graph = b () => (float r) { r = "
     "Relu(x) }>(c)",
     "is missing"},
};

/* And what it may. */
static const char *const right_files[] = {
    "y = Conv(x, x, )",
    "y = Clip(x, , s)",
    "y = QuantizeLinear(x, s)",
    "y = QuantizeLinear(x, s4)",
    "y = QuantizeLinear<axis: int = -3>(x, s4)",
    "y = QuantizeLinear<axis: int = 77>(x, s)",
    "y = DequantizeLinear(q, s, z)",
    "y = DequantizeLinear(i, s)",
    "y = some.other.Thing<anything: int = 1>(x, i, q)",
    "y = com.microsoft.Unknown()",
    "y, , w = LSTM(x3, x3, x3)",
    "y = Resize(x, , s4)",
    "y = Where(c, x, x)",
    "y = Pow(x, i)",
    "y = Loop<body: graph = l (int64 k, bool d, float v) => (bool e, float u) { e = Identity(d) u = Relu(v) }>(, c, x)",
};

#define FILE_HEAD                                                                                                    \
	HEADER "g (float[1,4,8,8] x, float[1,4,8] x3, int8[1,4,8,8] q, bool[1] c) => ()"                             \
	       "<int32[4] i = {0, 0, 0, 0}, float16[4] f = {0, 0, 0, 0}, float s = {1}, float[4] s4 = {1, 1, 1, 1}," \
	       " int8 z = {0}> {"

static bool check_file(session *s, const char *nodes)
{
	char text[1500];

	start(s);
	snprintf(text, sizeof text, FILE_HEAD "%s }", nodes);
	parse(s, text);
	ck_assert_int_eq(qdq_guard(s->ctx, infer_body, s), QDQ_OK);
	return qdq_model_check(s->m);
}

START_TEST(refuses_files)
{
	session s;

	ck_assert(!check_file(&s, wrong_files[_i].nodes));
	ck_assert_msg(said(&s, wrong_files[_i].message), "said '%s'", last_message(&s));
	ck_assert_ptr_nonnull(s.ctx->diagnostics.items[0].op);
	ck_assert_str_eq(s.ctx->diagnostics.items[0].file, "model.onnxtxt");
	finish(&s);
}
END_TEST

START_TEST(takes_files)
{
	session s;
	bool good = check_file(&s, right_files[_i]);

	ck_assert_msg(good, "said '%s'", good ? "" : last_message(&s));
	ck_assert(qdq_graph_verify(s.m->graph));
	finish(&s);
}
END_TEST

/* Whether the first node lies in the circle or waits for it. */
START_TEST(sorts_no_circles)
{
	session s;
	qdq_model *m = sound(&s);

	ck_assert(qdq_graph_sort(m->graph));
	qdq_use_set(&node(m, _i == 0 ? "a" : "b")->inputs[0], node(m, "d")->outputs[0]);
	ck_assert(!qdq_graph_sort(m->graph));
	finish(&s);
}
END_TEST

/* What is good once is not looked at again; what only resembles it is. */
START_TEST(looks_at_every_kind_of_node)
{
	session s;

	ck_assert(!check_file(&s, "a = Relu(x) b = Relu(a) d = Relu(b) e = Relu(c)"));
	ck_assert_uint_eq(s.ctx->errors, 2); /* its input and its output */
	finish(&s);
	ck_assert(!check_file(&s, "a = QuantizeLinear(x, s4) b = QuantizeLinear<axis: int = 1>(x, s4)"
				  " d = QuantizeLinear<axis: int = 3>(x, s4)"));
	ck_assert_uint_eq(s.ctx->errors, 1);
	finish(&s);
}
END_TEST

START_TEST(warns_of_unknown_attributes)
{
	session s;

	ck_assert(check_file(&s, "y = Relu<slope: float = 1.0>(x)"));
	ck_assert(said(&s, "attribute that opset 17 does not know"));
	finish(&s);
}
END_TEST

Suite *verify_suite(void)
{
	Suite *suite = suite_create("verify");
	TCase *c = tcase_create("invariants"), *d = tcase_create("files");

	tcase_add_loop_test(c, finds_damage, 0, QDQ_COUNTOF(damages));
	tcase_add_loop_test(c, finds_damaged_regions, 0, QDQ_COUNTOF(region_damages));
	tcase_add_test(c, verifies_nested_graphs_alone);
	tcase_add_test(c, says_no_more_than_anybody_reads);
	tcase_add_loop_test(c, sorts_no_circles, 0, 2);
	tcase_add_loop_test(d, refuses_files, 0, QDQ_COUNTOF(wrong_files));
	tcase_add_loop_test(d, takes_files, 0, QDQ_COUNTOF(right_files));
	tcase_add_test(d, looks_at_every_kind_of_node);
	tcase_add_test(d, warns_of_unknown_attributes);
	suite_add_tcase(suite, c);
	suite_add_tcase(suite, d);
	return suite;
}

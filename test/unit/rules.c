/* SPDX-License-Identifier: Apache-2.0
 *
 * rules.c -- rules as data: their language, what they match, what they build, and that they come to an end
 */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>

#include "../../lib/rewrite/rewrite.h"
#include "suites.h"

/* ---- running a table of rules over a text ---- */

static struct {
	qdq_ctx *ctx;
	qdq_model *m;
	qdq_run run;
	qdq_pass_options options;
	const qdq_rule *rules;
	size_t n_rules;
} t;

static qdq_pass test_pass = {.name = "test"};

static void setup(void)
{
	memset(&t, 0, sizeof t);
	ck_assert_int_eq(qdq_ctx_new(&t.ctx, NULL), QDQ_OK);
}

static void teardown(void)
{
	if (t.run.ctx != NULL)
		qdq_arena_free(&t.run.scratch);
	qdq_ctx_free(t.ctx);
}

static void load(const char *ports, const char *constants, const char *nodes)
{
	static char text[4000];

	snprintf(text, sizeof text, "<ir_version: 8, opset_import: [\"\" : 17]>\ng (%s)\n<%s>\n{ %s }", ports,
		 constants, nodes);
	ck_assert_msg(qdq_load_memory(&t.m, t.ctx, text, strlen(text), "m.onnxtxt") == QDQ_OK, "%s: %s", text,
		      qdq_diagnostic_get(t.ctx, qdq_diagnostic_count(t.ctx) - 1)->message);
}

static void do_apply(void *arg)
{
	(void)arg;
	qdq_rules_apply(&t.run, t.rules, t.n_rules);
}

static qdq_status apply(const qdq_rule *rules, size_t n_rules)
{
	qdq_status status;

	if (t.run.ctx == NULL)
		qdq_arena_init(&t.run.scratch, t.ctx);
	t.run.ctx = t.ctx;
	t.run.model = t.m;
	t.run.graph = t.m->graph;
	t.run.options = &t.options;
	test_pass.rules = rules;
	test_pass.n_rules = n_rules;
	t.run.pass = &test_pass;
	t.run.changes = 0;
	t.rules = rules;
	t.n_rules = n_rules;
	status = qdq_guard(t.ctx, do_apply, NULL);
	ck_assert(qdq_graph_verify(t.m->graph));
	return status;
}
#define APPLY(rules) ck_assert_int_eq(apply(rules, sizeof rules / sizeof *rules), QDQ_OK)

/* "Add(x, y) Relu(Add_0)" would be long: the operators in their order. */
static const char *operators(void)
{
	static char text[4000];

	text[0] = '\0';
	for (const qdq_node *n = t.m->graph->first; n != NULL; n = n->next)
		strcat(strcat(text, n->prev != NULL ? " " : ""), n->op_type);
	return text;
}

static size_t declined(qdq_reason_code code)
{
	size_t count = 0;

	for (size_t i = 0; i < t.m->events.count; i++)
		count += t.m->events.items[i].declined && t.m->events.items[i].reason == (int)code;
	return count;
}

/* ---- matching ---- */

static const qdq_rule double_negation[] = {{"test.neg", "(Neg (Neg x))", "x", NULL, NULL, QDQ_EXACT, NULL}};

START_TEST(test_variable)
{
	load("float[2] x) => (float[2] y", "float k = {1}", "a = Neg(x) b = Neg(a) y = Sigmoid(b)");
	APPLY(double_negation);
	ck_assert_str_eq(operators(), "Sigmoid");
	ck_assert_ptr_eq(t.m->graph->first->inputs[0].value, t.m->graph->inputs.items[0]);
	ck_assert_uint_eq(t.run.changes, 1);
	ck_assert_str_eq(t.m->events.items[0].rule, "test.neg");
}
END_TEST

/* Six in a row: what a rule leaves may match again. */
START_TEST(test_fixed_point)
{
	load("float[2] x) => (float[2] y", "float k = {1}",
	     "a = Neg(x) b = Neg(a) c = Neg(b) d = Neg(c) e = Neg(d) f = Neg(e) y = Sigmoid(f)");
	APPLY(double_negation);
	ck_assert_str_eq(operators(), "Sigmoid");
	ck_assert_uint_eq(t.run.changes, 3);
}
END_TEST

/* An inner node with other readers blocks, unless the pattern has a star. */
START_TEST(test_shared)
{
	static const qdq_rule star[] = {{"test.star", "(Neg (Neg* x))", "x", NULL, NULL, QDQ_EXACT, NULL}};

	load("float[2] x) => (float[2] y, float[2] z", "float k = {1}",
	     "a = Neg(x) b = Neg(a) y = Sigmoid(b) z = Tanh(a)");
	APPLY(double_negation);
	ck_assert_str_eq(operators(), "Neg Neg Sigmoid Tanh");
	APPLY(star);
	ck_assert_str_eq(operators(), "Neg Sigmoid Tanh");
}
END_TEST

/* A graph output keeps its name: whoever makes the variable makes it. An input or another output cannot be called so. */
START_TEST(test_output_name)
{
	load("float[2] x) => (float[2] y, float[2] z", "float k = {1}",
	     "a = Sigmoid(x) b = Neg(a) y = Neg(b) z = Tanh(a)");
	APPLY(double_negation);
	ck_assert_str_eq(operators(), "Sigmoid Tanh");
	ck_assert_str_eq(t.m->graph->first->outputs[0]->name, "y");
	ck_assert_str_eq(qdq_in(t.m->graph->last, 0)->name, "y");
	ck_assert_uint_eq(t.m->graph->outputs.items[0]->n_outputs, 1);
}
END_TEST

START_TEST(test_output_name_taken)
{
	load("float[2] x) => (float[2] y, float[2] a, float[2] z", "float k = {1}",
	     "a = Sigmoid(x) b = Neg(a) y = Neg(b) c = Neg(x) z = Neg(c)");
	APPLY(double_negation);
	ck_assert_str_eq(operators(), "Sigmoid Neg Neg Neg Neg");
	ck_assert_uint_eq(t.run.changes, 0);
	ck_assert_uint_eq(t.m->events.count, 0);
}
END_TEST

START_TEST(test_equal_constants)
{
	static const qdq_rule same[] = {{"test.same", "(Sub (Add x k) k)", "(Neg x)", NULL, NULL, QDQ_EXACT, NULL}};

	load("float[2] x) => (float[2] y, float[2] z, float[2] w", "float k = {1}, float l = {1}, float m = {2}",
	     "a = Add(x, k) y = Sub(a, l) b = Add(x, k) z = Sub(b, m) c = Add(x, k) w = Sub(c, k)");
	APPLY(same);
	ck_assert_str_eq(operators(), "Neg Add Sub Neg");
	ck_assert_str_eq(t.m->graph->outputs.items[0]->name, "y");
	ck_assert_ptr_eq(t.m->graph->outputs.items[0]->def, t.m->graph->first);
}
END_TEST

/* Both orders of each commutative node, in every combination. */
START_TEST(test_commutative)
{
	static const qdq_rule both[] = {
	    {"test.both", "(Add (Mul x (Neg y)) (Tanh z))", "(Abs x)", NULL, NULL, QDQ_EXACT, NULL}};

	load("float[2] x, float[2] y, float[2] z) => (float[2] p, float[2] q, float[2] r", "float k = {1}",
	     "a = Neg(y) b = Mul(x, a) c = Tanh(z) p = Add(b, c) "
	     "d = Neg(y) e = Mul(d, x) f = Tanh(z) q = Add(f, e) "
	     "g = Neg(y) h = Mul(g, x) i = Sigmoid(z) r = Add(i, h)");
	APPLY(both);
	ck_assert_str_eq(operators(), "Abs Abs Neg Mul Sigmoid Add");
}
END_TEST

static bool swap_move(qdq_run *r, qdq_match *match)
{
	qdq_node *move = qdq_match_node(match, "m"), *root = qdq_match_root(match);

	(void)r;
	ck_assert_ptr_null(qdq_match_node(match, "x"));
	ck_assert_ptr_null(qdq_match_value(match, "nothing"));
	ck_assert_ptr_eq(qdq_match_value(match, "x"), qdq_in(move, 0));
	qdq_use_set(&root->inputs[0], qdq_match_value(match, "x"));
	qdq_node_remove(move);
	return true;
}

static bool refuse_work(qdq_run *r, qdq_match *match)
{
	(void)r, (void)match;
	return false;
}

START_TEST(test_class_and_capture)
{
	static const qdq_rule moves[] = {
	    {"test.move", "(Relu (@MOVE:m x _*))", NULL, NULL, swap_move, QDQ_EXACT, NULL}};
	static const qdq_rule nothing[] = {{"test.nothing", "(Relu x)", NULL, NULL, refuse_work, QDQ_EXACT, NULL}};

	load("float[2,3] x, float[2,3] z) => (float[6] y, float[2,3] w", "int64[1] shape = {6}",
	     "a = Reshape(x, shape) b = Relu(a) y = Sigmoid(b) c = Tanh(z) w = Relu(c)");
	APPLY(nothing);
	ck_assert_uint_eq(t.run.changes, 0);
	APPLY(moves);
	ck_assert_str_eq(operators(), "Relu Sigmoid Tanh Relu");
}
END_TEST

/* x? may be absent; what a pattern does not name must be. */
START_TEST(test_optional)
{
	static const qdq_rule some[] = {
	    {"test.optional", "(Clip x low? high?)", "(Relu x)", NULL, NULL, QDQ_EXACT, NULL}};
	static const qdq_rule bare[] = {{"test.bare", "(Clip x)", "(Abs x)", NULL, NULL, QDQ_EXACT, NULL}};
	static const qdq_rule any[] = {{"test.any", "(Clip x _ h)", "(Neg x)", NULL, NULL, QDQ_EXACT, NULL}};

	load("float[2] x) => (float[2] p, float[2] q, float[2] r, float[2] s", "float k = {1}",
	     "p = Clip(x) q = Clip(x, k) r = Clip(x, , k) s = Clip(x, k, k)");
	APPLY(any);
	ck_assert_str_eq(operators(), "Clip Clip Clip Neg");
	APPLY(bare);
	ck_assert_str_eq(operators(), "Abs Clip Clip Neg");
	APPLY(some);
	ck_assert_str_eq(operators(), "Abs Relu Relu Neg");
}
END_TEST

/* ---- guards, exactness ---- */

static bool only_scalars(qdq_run *r, const qdq_match *match, qdq_reason *why)
{
	const qdq_value *k = qdq_match_value(match, "k");

	(void)r;
	if (k->shape != NULL && k->shape->rank == 0)
		return true;
	if (k->shape != NULL && k->shape->rank == 1)
		*why = (qdq_reason){.code = QDQ_REASON_SCALES_DIFFER, .operand = k->name};
	return false;
}

START_TEST(test_guard)
{
	static const qdq_rule guarded[] = {{"test.guard", "(Sub x k)", "(Neg x)", only_scalars, NULL, QDQ_EXACT, NULL}};

	load("float[2,2] x) => (float[2,2] p, float[2,2] q, float[2,2] r",
	     "float k = {1}, float[2] l = {1, 2}, float[1,2] m = {1, 2}", "p = Sub(x, k) q = Sub(x, l) r = Sub(x, m)");
	APPLY(guarded);
	ck_assert_str_eq(operators(), "Neg Sub Sub");
	ck_assert_uint_eq(declined(QDQ_REASON_SCALES_DIFFER), 1);
	ck_assert_uint_eq(t.m->events.count, 2);
}
END_TEST

/* A guard sees every order of the operands; it is one refusal, whatever their number. */
START_TEST(test_guard_orders)
{
	static const qdq_rule guarded[] = {{"test.order", "(Mul x k)", "(Neg x)", only_scalars, NULL, QDQ_EXACT, NULL}};

	load("float[2,2] x, float[2] v) => (float[2,2] p, float[2,2] q, float[2] r", "float k = {1}",
	     "p = Mul(x, k) q = Mul(k, x) r = Mul(v, v)");
	APPLY(guarded);
	ck_assert_str_eq(operators(), "Neg Neg Mul");
	ck_assert_uint_eq(declined(QDQ_REASON_SCALES_DIFFER), 1);
}
END_TEST

static bool only_negated(qdq_run *r, const qdq_match *match, qdq_reason *why)
{
	(void)r;
	if (qdq_def(qdq_match_value(match, "x"), QDQ_OP_Neg) != NULL)
		return true;
	*why = (qdq_reason){.code = QDQ_REASON_SCALES_DIFFER};
	return false;
}

static bool never(qdq_run *r, const qdq_match *match, qdq_reason *why)
{
	(void)r, (void)match;
	*why = (qdq_reason){.code = QDQ_REASON_ROUND_TRIP};
	return false;
}

START_TEST(test_exactness)
{
	static const qdq_rule step[] = {{"test.step", "(Neg x)", "(Abs x)", NULL, NULL, QDQ_STEP1, NULL}};
	static const qdq_rule bounded[] = {{"test.bounded", "(Tanh x)", "(Abs x)", NULL, NULL, QDQ_BOUNDED, NULL}};

	load("float[2] x) => (float[2] p, float[2] q", "float k = {1}", "p = Neg(x) q = Tanh(x)");
	t.options.exact = true;
	APPLY(step);
	ck_assert_str_eq(operators(), "Neg Tanh");
	ck_assert_uint_eq(declined(QDQ_REASON_NOT_EXACT), 1);
	t.options.exact = false;
	APPLY(bounded);
	ck_assert_uint_eq(declined(QDQ_REASON_NOT_BOUNDED), 1);
	APPLY(step);
	ck_assert_str_eq(operators(), "Abs Tanh");
	t.options.allow_bounded = true;
	APPLY(bounded);
	ck_assert_str_eq(operators(), "Abs Abs");
}
END_TEST

/* ---- building ---- */

static bool make_two(qdq_run *r, qdq_match *match)
{
	qdq_tensor *two = qdq_tensor_new(r->model, QDQ_TYPE_FLOAT, 0, NULL);
	const float value = 2;

	memcpy((void *)(uintptr_t)two->data, &value, sizeof value);
	qdq_match_bind(match, "two", qdq_graph_add_constant(r->graph, qdq_unique_name(&r->model->names, "two"), two));
	return true;
}

START_TEST(test_build)
{
	static const qdq_rule twice[] = {{"test.twice", "(Add x x)", "(Mul x two)", NULL, make_two, QDQ_EXACT, NULL}};
	static const qdq_rule nested[] = {
	    {"test.nested", "(Mul x k)", "(Abs (Neg (Sub x k)))", NULL, NULL, QDQ_EXACT, NULL}};

	load("float[2] x) => (float[2] p, float[2] q", "float k = {1}", "p = Add(x, x) q = Add(x, k)");
	APPLY(twice);
	ck_assert_str_eq(operators(), "Mul Add");
	ck_assert_int_eq(t.m->graph->outputs.items[0]->type, QDQ_TYPE_FLOAT);
	APPLY(nested);
	ck_assert_str_eq(operators(), "Sub Neg Abs Add");
	ck_assert_str_eq(t.m->graph->outputs.items[0]->name, "p");
}
END_TEST

/* An operand that the model leaves out is left out of what is built, too. */
START_TEST(test_build_optional)
{
	static const qdq_rule turn[] = {
	    {"test.turn", "(Clip x low? high?)", "(Abs (Min x low high))", NULL, NULL, QDQ_EXACT, NULL}};

	load("float[2] x) => (float[2] p, float[2] q", "float k = {1}", "p = Clip(x) q = Clip(x, , k)");
	APPLY(turn);
	ck_assert_str_eq(operators(), "Min Abs Min Abs");
	ck_assert_uint_eq(t.m->graph->first->n_inputs, 1);
	ck_assert_uint_eq(t.m->graph->last->prev->n_inputs, 3);
	ck_assert_ptr_null(qdq_in(t.m->graph->last->prev, 1));
}
END_TEST

static bool forget(qdq_run *r, qdq_match *match)
{
	(void)r, (void)match;
	return true;
}

/* A maker that does not give a name its value is told so before anything is changed. */
START_TEST(test_build_unbound)
{
	static const qdq_rule rules[] = {{"test.forgets", "(Neg x)", "(Add x two)", NULL, forget, QDQ_EXACT, NULL},
					 {"test.bare", "(Tanh x)", "two", NULL, forget, QDQ_EXACT, NULL}};

	load("float[2] x) => (float[2] p", "float k = {1}", "a = Neg(x) b = Tanh(a) p = Sigmoid(b)");
	for (size_t i = 0; i < 2; i++) {
		ck_assert_int_eq(apply(&rules[i], 1), QDQ_EUSAGE);
		ck_assert_ptr_nonnull(
		    strstr(qdq_diagnostic_get(t.ctx, qdq_diagnostic_count(t.ctx) - 1)->message, "gives two no value"));
		ck_assert_str_eq(operators(), "Neg Tanh Sigmoid");
	}
}
END_TEST

/* ---- the fixed point ---- */

/* What is built below the result may match again. */
START_TEST(test_again_built)
{
	static const qdq_rule rules[] = {{"test.nest", "(Floor x)", "(Abs (Ceil x))", NULL, NULL, QDQ_EXACT, NULL},
					 {"test.inner", "(Ceil x)", "(Tanh x)", NULL, NULL, QDQ_EXACT, NULL}};

	load("float[2] x) => (float[2] p, float[2] q, float[2] r", "float k = {1}",
	     "p = Floor(x) q = Sigmoid(x) r = Sigmoid(x)");
	APPLY(rules);
	ck_assert_str_eq(operators(), "Tanh Abs Sigmoid Sigmoid");
}
END_TEST

static bool make_ceil(qdq_run *r, qdq_match *match)
{
	qdq_node *root = qdq_match_root(match);
	qdq_value *x = qdq_match_value(match, "x"), *result = root->outputs[0];
	qdq_node *n = qdq_node_insert(r->graph, root, QDQ_OP_Ceil, "n", 1, &x, 1, root->origin);

	qdq_value_redefine(result, n, 0);
	qdq_node_remove(root);
	return true;
}

/* So may what a maker puts in the place of the root. */
START_TEST(test_again_made)
{
	static const qdq_rule rules[] = {{"test.make", "(Floor x)", NULL, NULL, make_ceil, QDQ_EXACT, NULL},
					 {"test.made", "(Ceil x)", "(Tanh x)", NULL, NULL, QDQ_EXACT, NULL}};

	load("float[2] x) => (float[2] p", "float k = {1}", "p = Floor(x)");
	APPLY(rules);
	ck_assert_str_eq(operators(), "Tanh");
	ck_assert_str_eq(t.m->graph->outputs.items[0]->name, "p");
}
END_TEST

/* A change two levels below the root of a match, when the root has been looked at. */
START_TEST(test_again_deep)
{
	static const qdq_rule rules[] = {
	    {"test.one", "(Sub x _)", "(Ceil x)", NULL, NULL, QDQ_EXACT, NULL},
	    {"test.two", "(Ceil x)", "(Neg x)", NULL, NULL, QDQ_EXACT, NULL},
	    {"test.deep", "(Abs (Tanh (Neg x)))", "(Sigmoid x)", NULL, NULL, QDQ_EXACT, NULL}};

	load("float[2] x) => (float[2] p", "float k = {1}", "a = Sub(x, k) b = Tanh(a) p = Abs(b)");
	APPLY(rules);
	ck_assert_str_eq(operators(), "Sigmoid");
}
END_TEST

/* A value that two nodes of a match read becomes the same one. */
START_TEST(test_again_same)
{
	static const qdq_rule rules[] = {{"test.one", "(Floor x)", "(Ceil x)", NULL, NULL, QDQ_EXACT, NULL},
					 {"test.two", "(Ceil x)", "x", NULL, NULL, QDQ_EXACT, NULL},
					 {"test.same", "(Sub (Tanh x) x)", "(Sigmoid x)", NULL, NULL, QDQ_EXACT, NULL}};

	load("float[2] x) => (float[2] p", "float k = {1}", "a = Floor(x) b = Tanh(a) p = Sub(b, x)");
	APPLY(rules);
	ck_assert_str_eq(operators(), "Sigmoid");
}
END_TEST

/* A reader from outside goes away: what it kept from matching matches. */
START_TEST(test_again_unshared)
{
	static const qdq_rule rules[] = {
	    {"test.pair", "(Neg (Neg x))", "x", NULL, NULL, QDQ_EXACT, NULL},
	    {"test.drop", "(Sub (Abs (Ceil x)) k)", "(Tanh k)", NULL, NULL, QDQ_EXACT, NULL}};

	load("float[2] x) => (float[2] p, float[2] q", "float k = {1}, float[2] l = {1, 2}",
	     "a = Neg(x) b = Neg(a) p = Sigmoid(b) c = Ceil(a) d = Abs(c) q = Sub(d, l)");
	APPLY(rules);
	ck_assert_str_eq(operators(), "Sigmoid Tanh");
}
END_TEST

/* What was declined and then done, or asked about twice, is not reported so. */
START_TEST(test_declined_once)
{
	static const qdq_rule rules[] = {{"test.one", "(Floor x)", "(Ceil x)", NULL, NULL, QDQ_EXACT, NULL},
					 {"test.two", "(Ceil x)", "(Neg x)", NULL, NULL, QDQ_EXACT, NULL},
					 {"test.guard", "(Tanh x)", "(Abs x)", only_negated, NULL, QDQ_EXACT, NULL},
					 {"test.never", "(Sigmoid x)", "(Abs x)", never, NULL, QDQ_EXACT, NULL}};

	load("float[2] x) => (float[2] p, float[2] q", "float k = {1}",
	     "a = Floor(x) p = Tanh(a) b = Floor(x) q = Sigmoid(b)");
	APPLY(rules);
	ck_assert_str_eq(operators(), "Neg Abs Neg Sigmoid");
	ck_assert_uint_eq(declined(QDQ_REASON_SCALES_DIFFER), 0);
	ck_assert_uint_eq(declined(QDQ_REASON_ROUND_TRIP), 1);
}
END_TEST

/* ---- ending ---- */

START_TEST(test_ping_pong)
{
	static const qdq_rule rules[] = {{"test.ping", "(Neg x)", "(Abs x)", NULL, NULL, QDQ_EXACT, NULL},
					 {"test.pong", "(Abs x)", "(Neg x)", NULL, NULL, QDQ_EXACT, NULL}};

	load("float[2] x) => (float[2] p", "float k = {1}", "p = Neg(x)");
	APPLY(rules);
	ck_assert_uint_ge(t.run.changes, 2);
	ck_assert_uint_le(t.run.changes, 64);
}
END_TEST

static void make_chain(void *arg)
{
	qdq_graph *g = t.m->graph;
	qdq_value *v = g->inputs.items[0];

	for (int i = 0; i < *(int *)arg; i++) {
		qdq_value *next = qdq_node_insert(g, g->last, QDQ_OP_Neg, "n", 1, &v, 1, NULL)->outputs[0];

		qdq_value_set_type(next, v->type, v->shape);
		v = next;
	}
	qdq_use_set(&g->last->inputs[0], v);
}

START_TEST(test_long_chain)
{
	int length = 100000;

	load("float[2] x) => (float[2] p", "float k = {1}", "p = Sigmoid(x)");
	ck_assert_int_eq(qdq_guard(t.ctx, make_chain, &length), QDQ_OK);
	APPLY(double_negation);
	ck_assert_uint_eq(t.run.changes, 50000);
	ck_assert_str_eq(operators(), "Sigmoid");
}
END_TEST

/* ---- what is no rule ---- */

static const struct {
	const char *match, *build, *message;
} wrong[] = {
    {"(Nothing x)", "x", "there is no such operator at 'Nothing x)'"},
    {"(@NOTHING x)", "x", "there is no such class"},
    {"x", "x", "a rule matches a node"},
    {"(Neg x", "x", "an operand is expected"},
    {"(Neg x))", "x", "something follows the pattern"},
    {"(Neg _* x)", "x", "something follows _*"},
    {"(Neg: x)", "x", "a name is expected"},
    {"(Neg x)", "(@MOVE x)", "a class cannot be built"},
    {"(Neg x)", "(Abs _)", "what is built needs a name"},
    {"(Neg x)", NULL, "it builds nothing"},
    {")", "x", "a pattern is expected"},
    {"(Neg X)", "x", "an operand is expected at 'X)'"},
    {"(Neg x)", "y", "nothing gives it a value at 'y'"},
    {"(Neg x)", "(Add x two)", "nothing gives it a value at 'two)'"},
    {"(Neg (Abs:m x))", "m", "the name of a node is no value at 'm'"},
    {"(Neg:x x)", "(Abs x)", "the name stands for two things at 'x)'"},
    {"(Add x (Abs:x y))", "y", "the name stands for two things at 'x y))'"},
    {"(Add (Neg:m x) (Abs:m y))", "y", "the name stands for two things at 'm y))'"},
    {"(Clip x low? high?)", "low", "it may be absent"},
    {"(Neg x)", "(Abs:m x)", "what is built has no name"},
    {"(Add (Add (Add (Add (Add a b) c) d) e) f)", "a", "too many commutative operators"},
    {"(Neg (Neg (Neg (Neg (Neg (Neg (Neg (Neg (Neg (Neg (Neg (Neg (Neg (Neg (Neg (Neg (Neg x)))))))))))))))))", "x",
     "too many nodes"},
    {"(Concat a b c d e f g h i j k l m n o p q r s t u v w x y z)", "a", "too many names"},
};

START_TEST(test_syntax)
{
	const qdq_rule rule[] = {{"test.wrong", wrong[_i].match, wrong[_i].build, NULL, NULL, QDQ_EXACT, NULL}};
	const char *message;

	load("float[2] x) => (float[2] p", "float k = {1}", "p = Neg(x)");
	ck_assert_int_eq(apply(rule, 1), QDQ_EUSAGE);
	message = qdq_diagnostic_get(t.ctx, qdq_diagnostic_count(t.ctx) - 1)->message;
	ck_assert_msg(strstr(message, wrong[_i].message) != NULL && strstr(message, "test.wrong") != NULL, "%s",
		      message);
}
END_TEST

/* ---- reasons ---- */

START_TEST(test_reasons)
{
	for (int i = QDQ_REASON_NONE + 1; i < QDQ_REASON_COUNT; i++) {
		ck_assert_int_eq(qdq_reason_find(qdq_reasons[i].code), i);
		ck_assert(strlen(qdq_reasons[i].message) > 5 && strlen(qdq_reasons[i].fix) > 3 &&
			  strlen(qdq_reasons[i].explain) > 20);
	}
	ck_assert_int_eq(qdq_reason_find("no-such-reason"), QDQ_REASON_NONE);
	ck_assert_int_ge(QDQ_REASON_COUNT - 1, 20);
}
END_TEST

Suite *rules_suite(void)
{
	Suite *s = suite_create("rules");
	TCase *c = tcase_create("all");

	tcase_add_checked_fixture(c, setup, teardown);
	tcase_set_timeout(c, 60);
	tcase_add_test(c, test_variable);
	tcase_add_test(c, test_fixed_point);
	tcase_add_test(c, test_shared);
	tcase_add_test(c, test_output_name);
	tcase_add_test(c, test_output_name_taken);
	tcase_add_test(c, test_equal_constants);
	tcase_add_test(c, test_commutative);
	tcase_add_test(c, test_class_and_capture);
	tcase_add_test(c, test_optional);
	tcase_add_test(c, test_guard);
	tcase_add_test(c, test_guard_orders);
	tcase_add_test(c, test_exactness);
	tcase_add_test(c, test_build);
	tcase_add_test(c, test_build_optional);
	tcase_add_test(c, test_build_unbound);
	tcase_add_test(c, test_again_built);
	tcase_add_test(c, test_again_made);
	tcase_add_test(c, test_again_deep);
	tcase_add_test(c, test_again_same);
	tcase_add_test(c, test_again_unshared);
	tcase_add_test(c, test_declined_once);
	tcase_add_test(c, test_ping_pong);
	tcase_add_test(c, test_long_chain);
	tcase_add_loop_test(c, test_syntax, 0, (int)(sizeof wrong / sizeof *wrong));
	tcase_add_test(c, test_reasons);
	suite_add_tcase(s, c);
	return s;
}

/* SPDX-License-Identifier: Apache-2.0
 *
 * onnx_save.c -- tests of lib/onnx: what was changed or made here is written, and reads back the same
 */
#include "onnx_fixture.h"
#include "suites.h"

/* Saves io.m and loads what was written, which becomes io.m. The old model stays. */
static void reload(void)
{
	static bytes kept;

	ck_assert_int_eq(qdq_guard(io.ctx, onnx_sink, NULL), QDQ_OK);
	kept = io.out;
	ck_assert_int_eq(load_bytes(kept.data, kept.size), QDQ_OK);
}

static qdq_name name(const char *s)
{
	return qdq_intern(&io.m->names, s);
}

static const qdq_attr *attr(const qdq_node *n, const char *wanted)
{
	const qdq_attr *a = qdq_attr_find(n, wanted);

	ck_assert_msg(a != NULL, "no attribute %s", wanted);
	return a;
}

/* ---- attributes ---- */

#define TYPE "\xa0\x01" /* the tag of AttributeProto.type */
static const struct {
	const char *bytes; /* an AttributeProto named "a" */
	size_t size;
	qdq_attr_type type;
} attributes[] = {
    {"\x0a\x01"
     "a\x15\0\0\x80\x3f" TYPE "\1",
     11, QDQ_ATTR_FLOAT},
    {"\x0a\x01"
     "a\x15\0\0\x80\x3f",
     8, QDQ_ATTR_FLOAT}, /* IR version 1 may leave the type out */
    {"\x0a\x01"
     "a\x18\x07" TYPE "\2",
     8, QDQ_ATTR_INT},
    {"\x0a\x01"
     "a\x18\x07",
     5, QDQ_ATTR_INT},
    {"\x0a\x01"
     "a" TYPE "\2",
     6, QDQ_ATTR_INT}, /* 0, left out */
    {"\x0a\x01"
     "a\x22\3x\0y" TYPE "\3",
     11, QDQ_ATTR_STRING},
    {"\x0a\x01"
     "a\x22\3x\0y",
     8, QDQ_ATTR_STRING},
    {"\x0a\x01"
     "a\x22\0" TYPE "\3",
     8, QDQ_ATTR_STRING},
    {"\x0a\x01"
     "a\x3d\0\0\x80\x3f\x3d\0\0\0\0" TYPE "\6",
     16, QDQ_ATTR_FLOATS},
    {"\x0a\x01"
     "a" TYPE "\6",
     6, QDQ_ATTR_FLOATS},
    {"\x0a\x01"
     "a\x40\1\x40\2" TYPE "\7",
     10, QDQ_ATTR_INTS},
    {"\x0a\x01"
     "a\x40\1\x40\2",
     7, QDQ_ATTR_INTS},
    {"\x0a\x01"
     "a\x4a\1x\x4a\0" TYPE "\x08",
     11, QDQ_ATTR_STRINGS},
    {"\x0a\x01"
     "a\x2a\7\x08\1\x10\3\x4a\1q" TYPE "\4",
     15, QDQ_ATTR_TENSOR},
    {"\x0a\x01"
     "a\x2a\7\x08\1\x10\3\x4a\1q",
     12, QDQ_ATTR_TENSOR},
    {"\x0a\x01"
     "a\x52\7\x08\1\x10\3\x4a\1q\x52\4\x10\x08\x32\0" TYPE "\x09",
     21, QDQ_ATTR_TENSORS},
    {"\x0a\x01"
     "a\x32\0" TYPE "\5",
     8, QDQ_ATTR_GRAPH},
    {"\x0a\x01"
     "a\x5a\0\x5a\0" TYPE "\x0a",
     10, QDQ_ATTR_GRAPHS},
    {"\x0a\x01"
     "a" TYPE "\x0b\xb2\1\0",
     9, QDQ_ATTR_SPARSE_TENSOR},
    {"\x0a\x01"
     "a" TYPE "\x0c\xba\1\0",
     9, QDQ_ATTR_SPARSE_TENSORS},
    {"\x0a\x01"
     "a\x72\2\x0a\0" TYPE "\x0d",
     10, QDQ_ATTR_TYPE_PROTO},
    {"\x0a\x01"
     "a\x7a\2\x0a\0" TYPE "\x0e",
     10, QDQ_ATTR_TYPE_PROTOS},
    {"\x0a\x01"
     "a" TYPE "\2\xaa\1\1r",
     10, QDQ_ATTR_INT}, /* a reference to a function's attribute */
    {"\x0a\x01"
     "a\x6a\1d" TYPE "\2",
     9, QDQ_ATTR_INT}, /* a doc string */
    {"\x0a\x01"
     "a",
     3, QDQ_ATTR_NONE},
};

static void load_attribute(int i)
{
	io.model.size = io.graph.size = io.part.size = 0;
	put_bytes(&io.part, 5, attributes[i].bytes, attributes[i].size);
	put_node(&io.graph, "Op", "x", NULL, "n", &io.part);
	finish_model(NULL);
	ck_assert_int_eq(load_bytes(io.model.data, io.model.size), QDQ_OK);
	ck_assert_int_eq((int)attr(io.m->graph->first, "a")->type, (int)attributes[i].type);
}

START_TEST(test_attribute_kept)
{
	load_attribute(_i);
	ck_assert_int_eq(qdq_guard(io.ctx, onnx_sink, NULL), QDQ_OK);
	ck_assert_uint_eq(io.out.size, io.model.size);
	ck_assert_mem_eq(io.out.data, io.model.data, io.model.size);
}
END_TEST

/* Whatever it was, it is an integer now, or has another name. */
START_TEST(test_attribute_changed)
{
	load_attribute(_i);
	qdq_attr_set_int(io.m->graph->first, "a", 5);
	reload();
	ck_assert_int_eq(qdq_attr_int(io.m->graph->first, "a", 0), 5);
	ck_assert_str_eq(attr(io.m->graph->first, "a")->ref, "");
	load_attribute(_i);
	io.m->graph->first->attrs[0].name = name("b");
	reload();
	ck_assert_int_eq((int)attr(io.m->graph->first, "b")->type, (int)attributes[_i].type);
}
END_TEST

static const qdq_tensor *small_tensor(char content)
{
	qdq_tensor *t = qdq_tensor_new(io.m, QDQ_TYPE_INT8, 0, NULL);

	memcpy((char *)(uintptr_t)t->data, &content, 1);
	return t;
}

START_TEST(test_attributes_made)
{
	static const float floats[] = {1.5f, -0.0f};
	const qdq_bytes strings[] = {{"a\0b", 3}, {"", 0}};
	const qdq_tensor *tensors[2];
	qdq_graph *graphs[1];
	qdq_node *n;
	const qdq_attr *a;

	finish_model(NULL);
	ck_assert_int_eq(load_bytes(io.model.data, io.model.size), QDQ_OK);
	n = io.m->graph->first;
	qdq_attr_set_float(n, "float", 0.25f);
	qdq_attr_set_ints(n, "ints", (const int64_t[]){3, -1}, 2);
	qdq_attr_set_string(n, "string", "text");
	*qdq_attr_set(n, "floats", QDQ_ATTR_FLOATS) =
	    (qdq_attr){.name = name("floats"), .type = QDQ_ATTR_FLOATS, .ref = "", .u.floats = floats, .count = 2};
	*qdq_attr_set(n, "strings", QDQ_ATTR_STRINGS) =
	    (qdq_attr){.name = name("strings"), .type = QDQ_ATTR_STRINGS, .ref = "", .u.strings = strings, .count = 2};
	tensors[0] = small_tensor('x');
	tensors[1] = small_tensor('y');
	*qdq_attr_set(n, "tensors", QDQ_ATTR_TENSORS) =
	    (qdq_attr){.name = name("tensors"), .type = QDQ_ATTR_TENSORS, .ref = "", .u.tensors = tensors, .count = 2};
	qdq_attr_set(n, "tensor", QDQ_ATTR_TENSOR)->u.t = tensors[1];
	graphs[0] = qdq_graph_create(io.m, n, name("inner"));
	*qdq_attr_set(n, "graphs", QDQ_ATTR_GRAPHS) =
	    (qdq_attr){.name = name("graphs"), .type = QDQ_ATTR_GRAPHS, .ref = "", .u.graphs = graphs, .count = 1};
	reload();
	n = io.m->graph->first;
	ck_assert_uint_eq(n->n_attrs, 8);
	ck_assert(qdq_attr_float(n, "float", 0) == 0.25f);
	ck_assert_int_eq(attr(n, "ints")->u.ints[1], -1);
	ck_assert_mem_eq(attr(n, "floats")->u.floats, floats, sizeof floats);
	a = attr(n, "strings");
	ck_assert_uint_eq(a->u.strings[0].size, 3);
	ck_assert_mem_eq(a->u.strings[0].data, "a\0b", 3);
	ck_assert_mem_eq(attr(n, "tensor")->u.t->data, "y", 1);
	ck_assert_mem_eq(attr(n, "tensors")->u.tensors[0]->data, "x", 1);
	ck_assert_str_eq(attr(n, "graphs")->u.graphs[0]->name, "inner");
}
END_TEST

/* A changed copy of a loaded tensor is written as it is now, not as the file had it. */
START_TEST(test_changed_tensor)
{
	static const int64_t dims[] = {4};
	qdq_tensor changed;
	qdq_value *w;

	put_int(&io.tensor, 1, 2);
	put_int(&io.tensor, 2, QDQ_TYPE_INT16);
	put_string(&io.tensor, 8, "w");
	put_bytes(&io.tensor, 9, "abcd", 4);
	put_message(&io.graph, 5, &io.tensor);
	finish_model(NULL);
	ck_assert_int_eq(load_bytes(io.model.data, io.model.size), QDQ_OK);
	w = io.m->graph->constants.items[0];
	changed = *w->tensor;
	changed.type = QDQ_TYPE_UINT8;
	changed.dims = dims;
	changed.count = 4;
	w->tensor = &changed;
	reload();
	w = io.m->graph->constants.items[0];
	ck_assert_int_eq((int)w->tensor->type, QDQ_TYPE_UINT8);
	ck_assert_uint_eq(w->tensor->count, 4);
	ck_assert_mem_eq(w->tensor->data, "abcd", 4);
}
END_TEST

START_TEST(test_made_strings)
{
	static const qdq_bytes strings[] = {{"a\0b", 3}, {"", 0}};
	static const int64_t dims[] = {2};
	qdq_tensor made = {.type = QDQ_TYPE_STRING, .rank = 1, .dims = dims, .count = 2, .strings = strings};

	finish_model(NULL);
	ck_assert_int_eq(load_bytes(io.model.data, io.model.size), QDQ_OK);
	qdq_graph_add_constant(io.m->graph, name("s"), &made);
	reload();
	ck_assert(qdq_tensor_equal(&made, io.m->graph->constants.items[0]->tensor));
}
END_TEST

/* ---- types ---- */

/* A value_info for "a" with this TypeProto, in a model where a node defines "a". */
static qdq_value *load_type(const char *type, size_t size)
{
	io.model.size = io.graph.size = io.part.size = 0;
	put_node(&io.graph, "Op", "x", NULL, "a", NULL);
	put_node(&io.graph, "Relu", "x", NULL, "y", NULL);
	put_value(&io.graph, 11, "x");
	put_value(&io.graph, 12, "y");
	put_string(&io.part, 1, "a");
	put_bytes(&io.part, 2, type, size);
	put_message(&io.graph, 13, &io.part);
	put_model(&io.model, &io.graph, NULL);
	ck_assert_int_eq(load_bytes(io.model.data, io.model.size), QDQ_OK);
	return io.m->graph->first->outputs[0];
}

START_TEST(test_type_kinds)
{
	static const struct {
		const char *type;
		size_t size;
		bool not_tensor;
	} kinds[] = {
	    {"\x0a\x0d\x08\1\x12\x09\x0a\2\x08\2\x0a\3\x12\1N", 15, false}, /* float[2,N] */
	    {"\x0a\2\x08\7", 4, false},					    /* int64, rank unknown */
	    {"\x0a\4\x08\1\x12\0", 6, false},				    /* a scalar */
	    {"\x0a\2\x08\x63", 4, false},				    /* an element type of the future */
	    {"\x22\6\x0a\4\x0a\2\x08\1", 8, true},			    /* seq(tensor(float)) */
	    {"\x2a\x08\x08\7\x12\4\x0a\2\x08\1", 10, true},		    /* map */
	    {"\x3a\5\x0a\1q\x12\0", 7, true},				    /* opaque */
	    {"\x42\2\x08\1", 4, true},					    /* sparse_tensor */
	    {"\x4a\6\x0a\4\x0a\2\x08\1", 8, true},			    /* optional */
	    {"\x32\1q", 3, false},					    /* nothing but a denotation */
	    {"", 0, false},
	};

	for (size_t i = 0; i < QDQ_COUNTOF(kinds); i++) {
		const qdq_value *a = load_type(kinds[i].type, kinds[i].size);

		ck_assert_int_eq(a->not_tensor, kinds[i].not_tensor);
		ck_assert_int_eq(qdq_guard(io.ctx, onnx_sink, NULL), QDQ_OK);
		ck_assert_uint_eq(io.out.size, io.model.size);
		ck_assert_mem_eq(io.out.data, io.model.data, io.model.size);
	}
}
END_TEST

START_TEST(test_type_changed)
{
	/* float[2 (denoted "d"), N, nothing], denoted "t" */
	qdq_value *a = load_type("\x0a\x12\x08\1\x12\x0e\x0a\5\x08\2\x1a\1d\x0a\3\x12\1N\x0a\0\x32\1t", 23);
	qdq_dim n = a->shape->dim[1];

	ck_assert_int_eq(a->shape->rank, 3);
	ck_assert_int_lt(n, 0);
	ck_assert_int_ne(n, a->shape->dim[2]);
	qdq_value_set_type(a, QDQ_TYPE_INT8,
			   qdq_shape_new(io.m, 3,
					 (const qdq_dim[]){a->shape->dim[0], qdq_dim_binary(io.m, QDQ_DIM_MUL, n, 3),
							   qdq_dim_unknown(io.m)}));
	reload();
	a = io.m->graph->first->outputs[0];
	ck_assert_int_eq((int)a->type, QDQ_TYPE_INT8);
	ck_assert_int_eq(a->shape->dim[0], 2);
	ck_assert_str_eq(qdq_dim_print(io.m, &io.m->arena, a->shape->dim[1]), "N*3");
	ck_assert_str_eq(qdq_dim_print(io.m, &io.m->arena, a->shape->dim[2]), "?");
	ck_assert(memchr(io.out.data, 'd', io.out.size) != NULL); /* denotations are still there */
	ck_assert(memchr(io.out.data, 't', io.out.size) != NULL);
	qdq_value_set_type(a, QDQ_TYPE_INT8, NULL);
	reload();
	a = io.m->graph->first->outputs[0];
	ck_assert_int_eq((int)a->type, QDQ_TYPE_INT8);
	ck_assert_ptr_null(a->shape);
}
END_TEST

/* ---- graphs ---- */

/* A model that nobody loaded. */
static void build_model(void *unused)
{
	qdq_value *x, *y;

	(void)unused;
	io.m = qdq_model_create(io.ctx, NULL);
	io.m->ir_version = 8;
	*qdq_push(&io.m->arena, &io.m->opsets) = (qdq_opset){name(""), 17};
	*qdq_push(&io.m->arena, &io.m->opsets) = (qdq_opset){name("com.microsoft"), 1};
	io.m->opset = 17;
	x = qdq_graph_add_input(io.m->graph, name("in"));
	qdq_value_set_type(x, QDQ_TYPE_FLOAT,
			   qdq_shape_new(io.m, 1, (const qdq_dim[]){qdq_dim_symbol(io.m, name("N"))}));
	y = qdq_value_create(io.m->graph, name("out"));
	qdq_node_create(io.m->graph, NULL, "com.microsoft", "Gelu", name("n"), 1, &x, 1, &y);
	qdq_graph_add_output(io.m->graph, y);
}

START_TEST(test_built_model)
{
	const qdq_node *n;

	ck_assert_int_eq(qdq_guard(io.ctx, build_model, NULL), QDQ_OK);
	reload();
	n = io.m->graph->first;
	ck_assert_int_eq(io.m->ir_version, 8);
	ck_assert_int_eq(io.m->opset, 17);
	ck_assert_uint_eq(io.m->opsets.count, 2);
	ck_assert_str_eq(n->op_type, "Gelu");
	ck_assert_str_eq(n->domain, "com.microsoft");
	ck_assert_str_eq(n->name, "n");
	ck_assert_ptr_eq(n->inputs[0].value, io.m->graph->inputs.items[0]);
	ck_assert_ptr_eq(n->outputs[0], io.m->graph->outputs.items[0]);
	ck_assert_str_eq(qdq_dim_print(io.m, &io.m->arena, n->inputs[0].value->shape->dim[0]), "N");
}
END_TEST

START_TEST(test_versions_changed)
{
	finish_model(NULL);
	ck_assert_int_eq(load_bytes(io.model.data, io.model.size), QDQ_OK);
	io.m->ir_version = 10;
	io.m->opsets.items[0].version = 21;
	*qdq_push(&io.m->arena, &io.m->opsets) = (qdq_opset){name("qdqopt"), 1};
	reload();
	ck_assert_int_eq(io.m->ir_version, 10);
	ck_assert_int_eq(io.m->opset, 21);
	ck_assert_uint_eq(io.m->opsets.count, 2);
	ck_assert_str_eq(io.m->opsets.items[1].domain, "qdqopt");
}
END_TEST

/* Inputs and outputs that changed places keep their own types and doc strings. */
START_TEST(test_reordered)
{
	qdq_value *first;

	put_value(&io.graph, 11, "second");
	finish_model(NULL);
	ck_assert_int_eq(load_bytes(io.model.data, io.model.size), QDQ_OK);
	first = io.m->graph->inputs.items[0];
	io.m->graph->inputs.items[0] = io.m->graph->inputs.items[1];
	io.m->graph->inputs.items[1] = first;
	qdq_graph_add_input(io.m->graph, name("third"));
	reload();
	ck_assert_uint_eq(io.m->graph->inputs.count, 3);
	ck_assert_str_eq(io.m->graph->inputs.items[0]->name, "x");
	ck_assert_str_eq(io.m->graph->inputs.items[1]->name, "second");
	ck_assert_int_eq((int)io.m->graph->inputs.items[1]->type, QDQ_TYPE_FLOAT);
	ck_assert_int_eq((int)io.m->graph->inputs.items[2]->type, QDQ_TYPE_NONE);
}
END_TEST

/* Up to IR version 3, a constant made here must be listed as an input too. */
START_TEST(test_old_constant)
{
	finish_model(NULL);
	io.model.data[1] = 3;
	ck_assert_int_eq(load_bytes(io.model.data, io.model.size), QDQ_OK);
	qdq_graph_add_constant(io.m->graph, name("made"), small_tensor('z'));
	reload();
	ck_assert_uint_eq(io.m->graph->inputs.count, 1);
	ck_assert_uint_eq(io.m->graph->constants.count, 1);
	ck_assert(io.m->graph->constants.items[0]->declared); /* by the input */
}
END_TEST

START_TEST(test_sparse_initializer)
{
	static bytes sparse;
	qdq_value *w;

	put_int(&io.tensor, 1, 1);
	put_int(&io.tensor, 2, QDQ_TYPE_FLOAT);
	put_string(&io.tensor, 8, "w");
	put_bytes(&io.tensor, 9, "abcd", 4);
	put_message(&sparse, 1, &io.tensor);
	io.tensor.size = 0;
	put_int(&io.tensor, 1, 1);
	put_int(&io.tensor, 2, QDQ_TYPE_INT64);
	put_bytes(&io.tensor, 7, "\2", 1);
	put_message(&sparse, 2, &io.tensor);
	put_int(&sparse, 3, 5);
	put_node(&io.graph, "Op", "w", NULL, "a", NULL);
	put_node(&io.graph, "Relu", "x", NULL, "y", NULL);
	put_value(&io.graph, 11, "x");
	put_value(&io.graph, 12, "y");
	put_message(&io.graph, 15, &sparse);
	put_model(&io.model, &io.graph, NULL);
	ck_assert_int_eq(load_bytes(io.model.data, io.model.size), QDQ_OK);
	w = io.m->graph->first->inputs[0].value;
	ck_assert_str_eq(w->name, "w");
	ck_assert_int_eq((int)w->type, QDQ_TYPE_FLOAT);
	ck_assert_ptr_null(w->tensor);
	ck_assert_int_eq(qdq_guard(io.ctx, onnx_sink, NULL), QDQ_OK);
	ck_assert_uint_eq(io.out.size, io.model.size);
	qdq_value_rename(w, name("renamed"));
	reload();
	ck_assert_str_eq(io.m->graph->first->inputs[0].value->name, "renamed");
}
END_TEST

/* Training information is not looked at, and comes out as it was: nodes, tensors and all. */
START_TEST(test_training_info)
{
	static bytes training, algorithm, tail;

	put_node(&algorithm, "Op", "p", NULL, "q", NULL);
	put_int(&io.tensor, 1, 4);
	put_int(&io.tensor, 2, QDQ_TYPE_INT8);
	put_string(&io.tensor, 8, "p");
	put_bytes(&io.tensor, 9, "wxyz", 4);
	put_message(&algorithm, 5, &io.tensor);
	put_message(&training, 2, &algorithm);
	put_message(&tail, 20, &training);
	finish_model(&tail);
	ck_assert_int_eq(load_bytes(io.model.data, io.model.size), QDQ_OK);
	ck_assert_uint_eq(io.m->origins.count, 1);
	ck_assert_int_eq(qdq_guard(io.ctx, onnx_sink, NULL), QDQ_OK);
	ck_assert_uint_eq(io.out.size, io.model.size);
	ck_assert_mem_eq(io.out.data, io.model.data, io.model.size);
}
END_TEST

/* ---- functions ---- */

/* A function with attributes without and with a default, made here; its body has a constant. */
static void add_function(void *unused)
{
	qdq_arena *a = &io.m->arena;
	qdq_function *f = qdq_new(a, qdq_function);
	qdq_attr plain = {.name = name("beta"), .type = QDQ_ATTR_INT, .ref = "", .u.i = 4};
	qdq_value *in[2], *out;

	(void)unused;
	f->domain = name("qdqopt");
	f->name = name("made");
	f->overload = name("");
	f->body = qdq_graph_create(io.m, NULL, f->name);
	*qdq_push(a, &f->attrs) = name("alpha");
	*qdq_push(a, &f->defaults) = plain;
	*qdq_push(a, &f->opsets) = (qdq_opset){name(""), 17};
	in[0] = qdq_graph_add_input(f->body, name("p"));
	in[1] = qdq_graph_add_constant(f->body, name("one"), small_tensor('1'));
	out = qdq_value_create(f->body, name("q"));
	out->declared = true;
	qdq_value_set_type(out, QDQ_TYPE_INT8, NULL);
	qdq_node_create(f->body, NULL, "", "Add", name(""), 2, in, 1, &out);
	qdq_graph_add_output(f->body, out);
	*qdq_push(a, &io.m->functions) = f;
	in[0] = io.m->graph->inputs.items[0];
	out = qdq_value_create(io.m->graph, name("called"));
	qdq_node_create(io.m->graph, NULL, "qdqopt", "made", name("call"), 1, in, 1, &out);
	*qdq_push(a, &io.m->opsets) = (qdq_opset){name("qdqopt"), 1};
}

START_TEST(test_made_function)
{
	const qdq_function *f;
	const qdq_node *n;

	finish_model(NULL);
	ck_assert_int_eq(load_bytes(io.model.data, io.model.size), QDQ_OK);
	ck_assert_int_eq(qdq_guard(io.ctx, add_function, NULL), QDQ_OK);
	reload();
	ck_assert_uint_eq(io.m->functions.count, 1);
	f = io.m->functions.items[0];
	ck_assert_ptr_eq(io.m->graph->last->function, f);
	ck_assert_str_eq(f->attrs.items[0], "alpha");
	ck_assert_int_eq(f->defaults.items[0].u.i, 4);
	n = f->body->first; /* functions have no initializers */
	ck_assert_str_eq(n->op_type, "Constant");
	ck_assert_mem_eq(attr(n, "value")->u.t->data, "1", 1);
	ck_assert_ptr_eq(n->next->inputs[1].value, n->outputs[0]);
	ck_assert_ptr_eq(f->body->outputs.items[0], n->next->outputs[0]);
}
END_TEST

Suite *onnx_save_suite(void)
{
	Suite *suite = suite_create("onnx_save");
	TCase *cases = tcase_create("all");

	tcase_add_checked_fixture(cases, onnx_setup, onnx_teardown);
	tcase_set_timeout(cases, 60);
	tcase_add_loop_test(cases, test_attribute_kept, 0, (int)QDQ_COUNTOF(attributes));
	tcase_add_loop_test(cases, test_attribute_changed, 0, (int)QDQ_COUNTOF(attributes));
	tcase_add_test(cases, test_attributes_made);
	tcase_add_test(cases, test_changed_tensor);
	tcase_add_test(cases, test_made_strings);
	tcase_add_test(cases, test_type_kinds);
	tcase_add_test(cases, test_type_changed);
	tcase_add_test(cases, test_built_model);
	tcase_add_test(cases, test_versions_changed);
	tcase_add_test(cases, test_reordered);
	tcase_add_test(cases, test_old_constant);
	tcase_add_test(cases, test_sparse_initializer);
	tcase_add_test(cases, test_training_info);
	tcase_add_test(cases, test_made_function);
	suite_add_tcase(suite, cases);
	return suite;
}

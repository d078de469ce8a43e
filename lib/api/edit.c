/* SPDX-License-Identifier: Apache-2.0
 *
 * edit.c -- building and editing a network from outside: what lib/ir/edit.c does, with every argument checked
 */
#include "api.h"

/* The arguments of all calls; each uses some. */
struct call {
	qdq_model *m;
	qdq_node *n;
	qdq_node *made_node;
	qdq_value *v, *w;
	qdq_value *made;
	qdq_value *const *inputs;
	const char *name, *domain, *op, *string;
	const char *const *symbols;
	qdq_type type;
	int rank;
	const int64_t *dims;
	const void *data;
	size_t size, index, count, n_outputs;
	int64_t i;
	float f;
};

#define MOST_OPERANDS 1000000 /* inputs and outputs of one node */

/* Refuses names that something has; makes one up where none is given. */
static qdq_name free_name(qdq_model *m, const char *name, const char *base)
{
	if (name == NULL || *name == '\0')
		return qdq_unique_name(&m->names, base);
	if (qdq_find_value(m, name) != NULL)
		qdq_misuse(m, "the name '%s' is taken", name);
	return qdq_intern(&m->names, name);
}

static void check_shape(const struct call *c, bool symbols)
{
	if (qdq_type_get(c->type)->bits == 0 && c->type != QDQ_TYPE_STRING)
		qdq_misuse(c->m, "there is no element type %d", (int)c->type);
	if (c->rank < 0 || c->rank > 64 || (c->rank > 0 && c->dims == NULL))
		qdq_misuse(c->m, "a rank of %d, or no dimensions", c->rank);
	for (int i = 0; i < c->rank; i++)
		if (!(symbols && c->symbols != NULL && c->symbols[i] != NULL) && c->dims[i] < 0)
			qdq_misuse(c->m, "dimension %d is negative", i);
}

/* ---- inputs, outputs, constants ---- */

static void add_input(void *arg)
{
	struct call *c = arg;
	qdq_dim dims[64];
	qdq_value *v;

	check_shape(c, true);
	for (int i = 0; i < c->rank; i++)
		dims[i] = c->symbols != NULL && c->symbols[i] != NULL
			      ? qdq_dim_symbol(c->m, qdq_intern(&c->m->names, c->symbols[i]))
			      : c->dims[i];
	v = qdq_graph_add_input(c->m->graph, free_name(c->m, c->name, "input"));
	v->declared = true;
	qdq_value_set_type(v, c->type, qdq_shape_new(c->m, c->rank, dims));
	v->said_type = v->type;
	v->said_shape = v->shape;
	qdq_edited(c->m);
	c->made = v;
}

qdq_status qdq_add_input(qdq_value **out, qdq_model *m, const char *name, qdq_type type, int rank, const int64_t *dims,
			 const char *const *symbols)
{
	struct call c = {.m = m, .name = name, .type = type, .rank = rank, .dims = dims, .symbols = symbols};
	qdq_status status = qdq_change(m, add_input, &c);

	if (out != NULL)
		*out = c.made;
	return status;
}

static void add_output(void *arg)
{
	struct call *c = arg;

	qdq_expect_value(c->m, c->v, "the output");
	if (c->v->graph != c->m->graph)
		qdq_misuse(c->m, "'%s' is inside a nested graph: it cannot be an output", c->v->name);
	if (c->v->n_outputs != 0)
		qdq_misuse(c->m, "'%s' is an output already", c->v->name);
	qdq_graph_add_output(c->m->graph, c->v);
	qdq_edited(c->m);
}

qdq_status qdq_add_output(qdq_model *m, qdq_value *v)
{
	struct call c = {.m = m, .v = v};

	return qdq_change(m, add_output, &c);
}

static void set_output(void *arg)
{
	struct call *c = arg;
	qdq_graph *g = c->m->graph;

	qdq_expect_value(c->m, c->v, "the output");
	if (c->v->graph != g)
		qdq_misuse(c->m, "'%s' is inside a nested graph: it cannot be an output", c->v->name);
	if (c->index >= g->outputs.count)
		qdq_misuse(c->m, "there is no output %zu", c->index);
	if (g->outputs.items[c->index] == c->v)
		return;
	if (c->v->n_outputs != 0)
		qdq_misuse(c->m, "'%s' is an output already", c->v->name);
	g->outputs.items[c->index]->n_outputs--;
	g->outputs.items[c->index] = c->v;
	c->v->n_outputs++;
	qdq_edited(c->m);
}

qdq_status qdq_set_output(qdq_model *m, size_t index, qdq_value *v)
{
	struct call c = {.m = m, .v = v, .index = index};

	return qdq_change(m, set_output, &c);
}

static void add_constant(void *arg)
{
	struct call *c = arg;
	int64_t count = 1;
	uint64_t size;
	qdq_tensor *t;

	check_shape(c, false);
	for (int i = 0; i < c->rank; i++)
		if (qdq_mul_overflow(count, c->dims[i], &count))
			qdq_misuse(c->m, "the dimensions of '%s' are too large", c->name == NULL ? "" : c->name);
	if (c->type == QDQ_TYPE_STRING || !qdq_type_size(c->type, (uint64_t)count, &size) || size != c->size)
		qdq_misuse(c->m, "%zu bytes of data are not what the type and shape of '%s' need", c->size,
			   c->name == NULL ? "" : c->name);
	if (c->data == NULL && c->size != 0)
		qdq_misuse(c->m, "the data is NULL");
	t = qdq_tensor_new(c->m, c->type, c->rank, c->dims);
	if (c->size != 0)
		memcpy((void *)(uintptr_t)t->data, c->data, c->size);
	c->made = qdq_graph_add_constant(c->m->graph, free_name(c->m, c->name, "constant"), t);
	qdq_edited(c->m);
}

qdq_status qdq_add_constant(qdq_value **out, qdq_model *m, const char *name, qdq_type type, int rank,
			    const int64_t *dims, const void *data, size_t size)
{
	struct call c = {
	    .m = m,
	    .name = name,
	    .type = type,
	    .rank = rank,
	    .dims = dims,
	    .data = data,
	    .size = size,
	};
	qdq_status status = qdq_change(m, add_constant, &c);

	if (out != NULL)
		*out = c.made;
	return status;
}

/* ---- nodes ---- */

static void import_domain(qdq_model *m, const char *domain)
{
	qdq_name name = qdq_intern(&m->names, domain);

	for (size_t i = 0; i < m->opsets.count; i++)
		if (m->opsets.items[i].domain == name)
			return;
	*qdq_push(&m->arena, &m->opsets) = (qdq_opset){name, 1};
}

static void add_node(void *arg)
{
	struct call *c = arg;
	qdq_model *m = c->m;
	qdq_value **outputs;
	qdq_name name;

	if (c->op == NULL || *c->op == '\0')
		qdq_misuse(m, "the operator has no name");
	if (c->count > MOST_OPERANDS || c->n_outputs == 0 || c->n_outputs > MOST_OPERANDS)
		qdq_misuse(m, "a node of %zu inputs and %zu outputs", c->count, c->n_outputs);
	if (c->n != NULL)
		qdq_expect_node(m, c->n, "the node to stand before");
	if (c->n != NULL && c->n->graph != m->graph)
		qdq_misuse(m, "'%s' stands in a nested graph", c->n->name);
	if (c->count != 0 && c->inputs == NULL)
		qdq_misuse(m, "the inputs are NULL");
	for (size_t i = 0; i < c->count; i++) {
		if (c->inputs[i] == NULL)
			continue;
		qdq_expect_value(m, c->inputs[i], "an input");
		if (c->inputs[i]->graph != m->graph)
			qdq_misuse(m, "'%s' is inside a nested graph", c->inputs[i]->name);
	}
	if (c->name != NULL && *c->name != '\0' && qdq_find_node(m, c->name) != NULL)
		qdq_misuse(m, "there is a node '%s' already", c->name);
	name = c->name == NULL || *c->name == '\0' ? qdq_unique_name(&m->names, c->op) : qdq_intern(&m->names, c->name);
	import_domain(m, c->domain == NULL ? "" : c->domain);
	outputs = qdq_array(&m->arena, qdq_value *, c->n_outputs);
	for (size_t i = 0; i < c->n_outputs; i++)
		outputs[i] =
		    qdq_value_create(m->graph, qdq_unique_name(&m->names, qdq_format(&m->arena, "%s_out", name)));
	c->made_node = qdq_node_create(m->graph, c->n, c->domain == NULL ? "" : c->domain, c->op, name,
				       (uint32_t)c->count, c->inputs, (uint32_t)c->n_outputs, outputs);
	qdq_node_infer(c->made_node);
	qdq_edited(m);
}

qdq_status qdq_add_node(qdq_node **out, qdq_model *m, qdq_node *before, const char *domain, const char *op,
			const char *name, size_t n_inputs, qdq_value *const *inputs, size_t n_outputs)
{
	struct call c = {
	    .m = m,
	    .n = before,
	    .domain = domain,
	    .op = op,
	    .name = name,
	    .count = n_inputs,
	    .inputs = inputs,
	    .n_outputs = n_outputs,
	};
	qdq_status status = qdq_change(m, add_node, &c);

	if (out != NULL)
		*out = c.made_node;
	return status;
}

/* What stands inside a fused operator is not edited. */
static void expect_plain(qdq_model *m, const qdq_graph *g, const char *name)
{
	if (g->parent != NULL && g->parent->region != NULL)
		qdq_misuse(m, "'%s' is part of a fused operator: those are not edited", name);
}

static void set_node_input(void *arg)
{
	struct call *c = arg;

	qdq_expect_node(c->m, c->n, "the node");
	if (c->v != NULL)
		qdq_expect_value(c->m, c->v, "the input");
	if (c->v != NULL && c->v->graph != c->n->graph && c->v->graph != c->m->graph)
		qdq_misuse(c->m, "'%s' is in another graph", c->v->name);
	expect_plain(c->m, c->n->graph, c->n->name);
	if (c->n->region != NULL)
		qdq_misuse(c->m, "'%s' is a fused operator: those are not edited", c->n->name);
	if (c->index >= c->n->n_inputs)
		qdq_misuse(c->m, "'%s' has no input %zu", c->n->name, c->index);
	qdq_use_set(&c->n->inputs[c->index], c->v);
	qdq_forget_declared(c->n);
	qdq_edited(c->m);
}

qdq_status qdq_set_node_input(qdq_model *m, qdq_node *n, size_t index, qdq_value *v)
{
	struct call c = {.m = m, .n = n, .index = index, .v = v};

	return qdq_change(m, set_node_input, &c);
}

static void remove_node(void *arg)
{
	struct call *c = arg;

	qdq_expect_node(c->m, c->n, "the node");
	expect_plain(c->m, c->n->graph, c->n->name);
	for (uint32_t i = 0; i < c->n->n_outputs; i++)
		if (c->n->outputs[i] != NULL && !qdq_value_unread(c->n->outputs[i]))
			qdq_misuse(c->m, "'%s' is still read, so '%s' cannot be removed", c->n->outputs[i]->name,
				   c->n->name);
	qdq_node_remove(c->n);
	qdq_edited(c->m);
}

qdq_status qdq_remove_node(qdq_model *m, qdq_node *n)
{
	struct call c = {.m = m, .n = n};

	return qdq_change(m, remove_node, &c);
}

static void rename_node(void *arg)
{
	struct call *c = arg;

	qdq_expect_node(c->m, c->n, "the node");
	expect_plain(c->m, c->n->graph, c->n->name);
	if (c->name == NULL)
		qdq_misuse(c->m, "the name is NULL");
	if (*c->name != '\0' && qdq_find_node(c->m, c->name) != NULL)
		qdq_misuse(c->m, "there is a node '%s' already", c->name);
	c->n->name = qdq_intern(&c->m->names, c->name);
}

qdq_status qdq_rename_node(qdq_model *m, qdq_node *n, const char *name)
{
	struct call c = {.m = m, .n = n, .name = name};

	return qdq_change(m, rename_node, &c);
}

/* ---- values ---- */

static void replace_value(void *arg)
{
	struct call *c = arg;

	qdq_expect_value(c->m, c->v, "the old value");
	qdq_expect_value(c->m, c->w, "the new value");
	expect_plain(c->m, c->v->graph, c->v->name);
	if (c->v->graph != c->w->graph)
		qdq_misuse(c->m, "'%s' and '%s' are in different graphs", c->v->name, c->w->name);
	qdq_value_replace_uses(c->v, c->w);
	qdq_edited(c->m);
}

qdq_status qdq_replace_value(qdq_model *m, qdq_value *old, qdq_value *by)
{
	struct call c = {.m = m, .v = old, .w = by};

	return qdq_change(m, replace_value, &c);
}

static void rename_value(void *arg)
{
	struct call *c = arg;

	qdq_expect_value(c->m, c->v, "the value");
	expect_plain(c->m, c->v->graph, c->v->name);
	if (c->name == NULL || *c->name == '\0')
		qdq_misuse(c->m, "a value needs a name");
	if (strcmp(c->v->name, c->name) != 0)
		qdq_value_rename(c->v, free_name(c->m, c->name, ""));
}

qdq_status qdq_rename_value(qdq_model *m, qdq_value *v, const char *name)
{
	struct call c = {.m = m, .v = v, .name = name};

	return qdq_change(m, rename_value, &c);
}

/* ---- attributes ---- */

static void expect_attribute(const struct call *c)
{
	qdq_expect_node(c->m, c->n, "the node");
	if (c->name == NULL || *c->name == '\0')
		qdq_misuse(c->m, "the attribute has no name");
	if (c->n->region != NULL)
		qdq_misuse(c->m, "'%s' is a fused operator: it has no attributes", c->n->name);
	expect_plain(c->m, c->n->graph, c->n->name);
}

/* Once everything is known to be right: a call that is refused leaves the model as it was. */
static void note_attribute(const struct call *c)
{
	qdq_forget_declared(c->n);
	qdq_edited(c->m);
}

static void set_int(void *arg)
{
	struct call *c = arg;

	expect_attribute(c);
	note_attribute(c);
	qdq_attr_set_int(c->n, c->name, c->i);
}

qdq_status qdq_set_int(qdq_model *m, qdq_node *n, const char *name, int64_t i)
{
	struct call c = {.m = m, .n = n, .name = name, .i = i};

	return qdq_change(m, set_int, &c);
}

static void set_float(void *arg)
{
	struct call *c = arg;

	expect_attribute(c);
	note_attribute(c);
	qdq_attr_set_float(c->n, c->name, c->f);
}

qdq_status qdq_set_float(qdq_model *m, qdq_node *n, const char *name, float f)
{
	struct call c = {.m = m, .n = n, .name = name, .f = f};

	return qdq_change(m, set_float, &c);
}

static void set_string(void *arg)
{
	struct call *c = arg;

	expect_attribute(c);
	if (c->string == NULL)
		qdq_misuse(c->m, "the string is NULL");
	note_attribute(c);
	qdq_attr_set_string(c->n, c->name, c->string);
}

qdq_status qdq_set_string(qdq_model *m, qdq_node *n, const char *name, const char *s)
{
	struct call c = {.m = m, .n = n, .name = name, .string = s};

	return qdq_change(m, set_string, &c);
}

static void set_ints(void *arg)
{
	struct call *c = arg;

	expect_attribute(c);
	if (c->count != 0 && c->dims == NULL)
		qdq_misuse(c->m, "the integers are NULL");
	note_attribute(c);
	qdq_attr_set_ints(c->n, c->name, c->dims, c->count);
}

qdq_status qdq_set_ints(qdq_model *m, qdq_node *n, const char *name, const int64_t *ints, size_t count)
{
	struct call c = {.m = m, .n = n, .name = name, .dims = ints, .count = count};

	return qdq_change(m, set_ints, &c);
}

static void set_floats(void *arg)
{
	struct call *c = arg;
	float *copy;
	qdq_attr *a;

	expect_attribute(c);
	if (c->count != 0 && c->data == NULL)
		qdq_misuse(c->m, "the floats are NULL");
	note_attribute(c);
	copy = qdq_array(&c->m->arena, float, c->count);
	if (c->count != 0)
		memcpy(copy, c->data, c->count * sizeof *copy);
	a = qdq_attr_set(c->n, c->name, QDQ_ATTR_FLOATS);
	a->u.floats = copy;
	a->count = c->count;
}

qdq_status qdq_set_floats(qdq_model *m, qdq_node *n, const char *name, const float *floats, size_t count)
{
	struct call c = {.m = m, .n = n, .name = name, .data = floats, .count = count};

	return qdq_change(m, set_floats, &c);
}

static void set_tensor(void *arg)
{
	struct call *c = arg;

	expect_attribute(c);
	qdq_expect_value(c->m, c->v, "the constant");
	if (qdq_value_constant(c->v) == NULL)
		qdq_misuse(c->m, "'%s' is no constant", c->v->name);
	note_attribute(c);
	qdq_attr_set(c->n, c->name, QDQ_ATTR_TENSOR)->u.t = c->v->tensor;
}

qdq_status qdq_set_tensor(qdq_model *m, qdq_node *n, const char *name, qdq_value *constant)
{
	struct call c = {.m = m, .n = n, .name = name, .v = constant};

	return qdq_change(m, set_tensor, &c);
}

static void remove_attribute(void *arg)
{
	struct call *c = arg;

	expect_attribute(c);
	if (qdq_attr_find(c->n, c->name) == NULL)
		qdq_misuse(c->m, "'%s' has no attribute '%s'", c->n->name, c->name);
	note_attribute(c);
	qdq_attr_remove(c->n, c->name);
}

qdq_status qdq_remove_attribute(qdq_model *m, qdq_node *n, const char *name)
{
	struct call c = {.m = m, .n = n, .name = name};

	return qdq_change(m, remove_attribute, &c);
}

/* ---- checking ---- */

static void check(void *arg)
{
	qdq_settle(arg);
}

qdq_status qdq_check(qdq_model *m)
{
	return qdq_change(m, check, m);
}

/* SPDX-License-Identifier: Apache-2.0
 *
 * graph.c -- making models, graphs, values and tensors; reading attributes and constants
 */
#include "ir.h"

/* ---- models ---- */

struct create {
	qdq_ctx *ctx;
	qdq_model *model;
	const char *path;
};

static void create_parts(void *arg)
{
	struct create *c = arg;
	qdq_model *m = c->model;

	qdq_names_init(&m->names, &m->name_memory);
	qdq_map_init(&m->dim_index, &m->arena);
	m->path = c->path == NULL ? NULL : qdq_copy(&m->arena, c->path, strlen(c->path));
	m->graph = qdq_graph_create(m, NULL, qdq_intern(&m->names, ""));
}

qdq_model *qdq_model_create(qdq_ctx *ctx, const char *path)
{
	struct create c = {.ctx = ctx, .path = path};
	qdq_status status;

	c.model = qdq_ctx_alloc(ctx, sizeof *c.model);
	memset(c.model, 0, sizeof *c.model);
	c.model->ctx = ctx;
	qdq_arena_init(&c.model->arena, ctx);
	qdq_arena_init(&c.model->node_memory, ctx);
	qdq_arena_init(&c.model->list_memory, ctx);
	qdq_arena_init(&c.model->value_memory, ctx);
	qdq_arena_init(&c.model->name_memory, ctx);
	c.model->next = ctx->models;
	ctx->models = c.model;
	status = qdq_guard(ctx, create_parts, &c);
	if (status != QDQ_OK) {
		qdq_model_destroy(c.model);
		qdq_throw(ctx, status);
	}
	return c.model;
}

void qdq_model_destroy(qdq_model *m)
{
	qdq_ctx *ctx = m->ctx;

	for (qdq_model **link = &ctx->models; *link != NULL; link = &(*link)->next) {
		if (*link == m) {
			*link = m->next;
			break;
		}
	}
	qdq_arena_free(&m->arena);
	qdq_arena_free(&m->node_memory);
	qdq_arena_free(&m->list_memory);
	qdq_arena_free(&m->value_memory);
	qdq_arena_free(&m->name_memory);
	qdq_ctx_release(ctx, m, sizeof *m);
}

/* ---- graphs and values ---- */

qdq_graph *qdq_graph_create(qdq_model *m, qdq_node *parent, qdq_name name)
{
	qdq_graph *g = qdq_new(&m->arena, qdq_graph);

	g->model = m;
	g->parent = parent;
	g->name = name;
	return g;
}

qdq_value *qdq_value_create(qdq_graph *g, qdq_name name)
{
	qdq_value *v = qdq_new(&g->model->value_memory, qdq_value);

	v->name = name;
	v->graph = g;
	v->id = g->model->n_values++;
	return v;
}

qdq_value *qdq_graph_add_input(qdq_graph *g, qdq_name name)
{
	qdq_value *v = qdq_value_create(g, name);

	v->is_input = true;
	v->place = (uint32_t)g->inputs.count;
	*qdq_push(&g->model->arena, &g->inputs) = v;
	return v;
}

qdq_value *qdq_graph_add_constant(qdq_graph *g, qdq_name name, const qdq_tensor *t)
{
	qdq_value *v = qdq_value_create(g, name);

	v->tensor = t;
	v->type = t->type;
	v->shape = qdq_shape_new(g->model, t->rank, t->dims);
	*qdq_push(&g->model->arena, &g->constants) = v;
	return v;
}

void qdq_graph_add_output(qdq_graph *g, qdq_value *v)
{
	*qdq_push(&g->model->arena, &g->outputs) = v;
	v->n_outputs++;
}

/* ---- tensors ---- */

qdq_tensor *qdq_tensor_new(qdq_model *m, qdq_type type, int32_t rank, const int64_t *dims)
{
	qdq_tensor *t = qdq_new(&m->arena, qdq_tensor);
	int64_t *copy = qdq_array(&m->arena, int64_t, (size_t)rank);
	int64_t count = 1;

	for (int32_t i = 0; i < rank; i++) {
		copy[i] = dims[i];
		if (dims[i] < 0 || qdq_mul_overflow(count, dims[i], &count))
			qdq_fail(m->ctx, QDQ_EMODEL, NULL, "a tensor's dimensions are negative or too large");
	}
	*t = (qdq_tensor){.type = type, .rank = rank, .dims = copy, .count = (uint64_t)count};
	if (!qdq_type_size(type, t->count, &t->size) || t->size > SIZE_MAX / 2)
		qdq_fail(m->ctx, QDQ_EMODEL, NULL, "a tensor is too large");
	if (type == QDQ_TYPE_STRING)
		t->strings = qdq_array(&m->arena, qdq_bytes, (size_t)count);
	else
		t->data = qdq_alloc(&m->arena, (size_t)t->size);
	return t;
}

bool qdq_tensor_equal(const qdq_tensor *a, const qdq_tensor *b)
{
	if (a == b)
		return true;
	if (a == NULL || b == NULL || a->type != b->type || a->rank != b->rank || a->count != b->count ||
	    a->size != b->size)
		return false;
	for (int32_t i = 0; i < a->rank; i++)
		if (a->dims[i] != b->dims[i])
			return false;
	if (a->type != QDQ_TYPE_STRING)
		return a->size == 0 || memcmp(a->data, b->data, (size_t)a->size) == 0;
	for (uint64_t i = 0; i < a->count; i++)
		if (a->strings[i].size != b->strings[i].size ||
		    memcmp(a->strings[i].data, b->strings[i].data, a->strings[i].size) != 0)
			return false;
	return true;
}

static bool is_port(const qdq_value *v)
{
	return v->is_input && v->graph->parent != NULL && v->graph->parent->region != NULL;
}

qdq_value *qdq_value_outer(qdq_value *v)
{
	const qdq_graph *body = v->graph;

	if (!is_port(v))
		return v;
	if (v->place < body->inputs.count && body->inputs.items[v->place] == v)
		return qdq_in(body->parent, v->place);
	for (uint32_t i = 0; i < body->inputs.count; i++)
		if (body->inputs.items[i] == v)
			return qdq_in(body->parent, i);
	return NULL;
}

const qdq_value *qdq_value_inner(const qdq_value *v)
{
	const qdq_node *n = v->def;

	for (uint32_t i = 0; n != NULL && n->region != NULL && i < n->n_outputs; i++)
		if (n->outputs[i] == v)
			return n->region->body->outputs.items[i];
	return v;
}

const qdq_tensor *qdq_value_constant(const qdq_value *v)
{
	if (v != NULL && is_port(v))
		v = qdq_value_outer((qdq_value *)(uintptr_t)v);
	return v == NULL || v->is_input ? NULL : v->tensor;
}

/* One element of any size and type that is a number. */
union number {
	float f;
	double d;
	int8_t i8;
	uint8_t u8;
	int16_t i16;
	uint16_t u16;
	int32_t i32;
	uint32_t u32;
	int64_t i64;
};

static bool real_of(qdq_type type, const union number *u, double *real)
{
	switch (type) {
	case QDQ_TYPE_FLOAT:
		*real = (double)u->f;
		return true;
	case QDQ_TYPE_DOUBLE:
		*real = u->d;
		return true;
	case QDQ_TYPE_FLOAT16:
		*real = (double)qdq_f16_to_f32(u->u16);
		return true;
	case QDQ_TYPE_BFLOAT16:
		*real = (double)qdq_bf16_to_f32(u->u16);
		return true;
	default:
		return false;
	}
}

static bool integer_of(qdq_type type, const union number *u, int64_t *integer)
{
	switch (type) {
	case QDQ_TYPE_INT8:
		*integer = u->i8;
		return true;
	case QDQ_TYPE_UINT8:
	case QDQ_TYPE_BOOL:
		*integer = u->u8;
		return true;
	case QDQ_TYPE_INT16:
		*integer = u->i16;
		return true;
	case QDQ_TYPE_UINT16:
		*integer = u->u16;
		return true;
	case QDQ_TYPE_INT32:
		*integer = u->i32;
		return true;
	case QDQ_TYPE_UINT32:
		*integer = u->u32;
		return true;
	case QDQ_TYPE_INT64:
		*integer = u->i64;
		return true;
	default:
		return false;
	}
}

/* *integer is 0 for a real number. */
static bool element(const qdq_tensor *t, uint64_t i, double *real, int64_t *integer)
{
	size_t size = qdq_type_get(t->type)->bits / 8u;
	const char *p = t->data;
	union number u;

	if (size == 0 || size > sizeof u)
		return false;
	memcpy(&u, p + i * size, size);
	*integer = 0;
	if (real_of(t->type, &u, real))
		return true;
	if (!integer_of(t->type, &u, integer))
		return false;
	*real = (double)*integer;
	return true;
}

bool qdq_value_scalar(const qdq_value *v, double *out)
{
	const qdq_tensor *t = qdq_value_constant(v);
	int64_t integer;

	return t != NULL && t->count == 1 && element(t, 0, out, &integer);
}

bool qdq_value_ints(const qdq_value *v, qdq_arena *a, const int64_t **out, size_t *count)
{
	const qdq_tensor *t = qdq_value_constant(v);
	int64_t *ints;
	double real;

	if (t == NULL || t->type == QDQ_TYPE_STRING || qdq_type_get(t->type)->is_float)
		return false;
	ints = qdq_array(a, int64_t, (size_t)t->count);
	for (uint64_t i = 0; i < t->count; i++)
		if (!element(t, i, &real, &ints[i]))
			return false;
	*out = ints;
	*count = (size_t)t->count;
	return true;
}

/* ---- attributes ---- */

const qdq_attr *qdq_attr_find(const qdq_node *n, const char *name)
{
	for (uint32_t i = 0; i < n->n_attrs; i++)
		if (strcmp(n->attrs[i].name, name) == 0)
			return &n->attrs[i];
	return NULL;
}

int64_t qdq_attr_int(const qdq_node *n, const char *name, int64_t absent)
{
	const qdq_attr *a = qdq_attr_find(n, name);

	return a != NULL && a->type == QDQ_ATTR_INT ? a->u.i : absent;
}

float qdq_attr_float(const qdq_node *n, const char *name, float absent)
{
	const qdq_attr *a = qdq_attr_find(n, name);

	return a != NULL && a->type == QDQ_ATTR_FLOAT ? a->u.f : absent;
}

const int64_t *qdq_attr_ints(const qdq_node *n, const char *name, size_t *count)
{
	const qdq_attr *a = qdq_attr_find(n, name);

	*count = a != NULL && a->type == QDQ_ATTR_INTS ? a->count : 0;
	return *count == 0 ? NULL : a->u.ints;
}

int64_t qdq_attr_int_at(const qdq_node *n, const char *name, size_t i, int64_t absent)
{
	size_t count;
	const int64_t *ints = qdq_attr_ints(n, name, &count);

	return i < count ? ints[i] : absent;
}

bool qdq_attr_all_are(const qdq_node *n, const char *name, int64_t wanted)
{
	size_t count;
	const int64_t *ints = qdq_attr_ints(n, name, &count);

	for (size_t i = 0; i < count; i++)
		if (ints[i] != wanted)
			return false;
	return true;
}

qdq_bytes qdq_attr_string(const qdq_node *n, const char *name, const char *absent)
{
	const qdq_attr *a = qdq_attr_find(n, name);

	if (a != NULL && a->type == QDQ_ATTR_STRING)
		return a->u.s;
	return (qdq_bytes){absent, absent == NULL ? 0 : strlen(absent)};
}

bool qdq_attr_string_is(const qdq_node *n, const char *name, const char *absent, const char *wanted)
{
	qdq_bytes s = qdq_attr_string(n, name, absent);

	return s.size == strlen(wanted) && memcmp(s.data, wanted, s.size) == 0;
}

/* ---- for messages ---- */

const char *qdq_file_name(const qdq_model *m, const char *name)
{
	qdq_name base = name != NULL ? qdq_name_before_number(&m->names, name, m->n_file_names) : NULL;

	return base != NULL ? base : name;
}

/* Has n a name that a pass made up, and a better one? */
static bool is_made_up(const qdq_node *n)
{
	const qdq_model *m = n->graph->model;

	return m->n_file_names != 0 && n->origin != NULL && n->name != n->origin->name &&
	       (n->op->id != QDQ_OP_REGION) && qdq_name_before_number(&m->names, n->name, m->n_file_names) != n->name;
}

/* Whoever made what n, a Cast that a pass put in, converts. */
static const qdq_node *behind_cast(const qdq_node *n)
{
	qdq_value *x = n->op->id == QDQ_OP_Cast && is_made_up(n) ? qdq_in(n, 0) : NULL;
	const qdq_value *outer = x != NULL ? qdq_value_outer(x) : NULL;

	return outer != NULL ? qdq_value_inner(outer)->def : NULL;
}

const char *qdq_node_label(const qdq_node *n)
{
	if (behind_cast(n) != NULL)
		n = behind_cast(n);
	if (*n->name != '\0' && !is_made_up(n))
		return n->name;
	if (n->origin == NULL)
		return n->n_outputs > 0 && n->outputs[0] != NULL ? n->outputs[0]->name : "";
	if (*n->origin->name != '\0')
		return n->origin->name;
	return qdq_format(&n->graph->model->ctx->arena, "#%u", n->origin->index);
}

qdq_where qdq_node_where(const qdq_node *n, const char *operand)
{
	return (qdq_where){n->graph->model->path, qdq_node_label(n), n->op_type, operand};
}

bool qdq_model_has_class(const qdq_model *m, qdq_class cls)
{
	for (int op = 0; op < QDQ_OP_COUNT; op++)
		if (m->present[op] && qdq_ops[op].cls == cls)
			return true;
	return false;
}

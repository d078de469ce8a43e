/* SPDX-License-Identifier: Apache-2.0
 *
 * infer.c -- types, shapes and contents of everything in a graph: the walk, reading inputs, settling outputs
 *
 * Nodes are visited once, front to back. What a node's function finds is merged with what the value already has: a
 * number beats a symbol, a symbol beats nothing, and the user's names of a graph output's dimensions stay.
 */
#include "infer.h"

#define CALL_BUDGET 200000 /* nodes of functions' bodies, beside the model's own number */

/* ---- reading ---- */

bool qdq_infer_copy(const qdq_shape *s, qdq_dims *out)
{
	out->rank = -1;
	if (s == NULL || s->rank > QDQ_INFER_RANK)
		return false;
	out->rank = s->rank;
	memcpy(out->d, s->dim, (size_t)s->rank * sizeof *out->d);
	return true;
}

bool qdq_infer_dims(const qdq_node *n, uint32_t i, qdq_dims *out)
{
	return qdq_infer_copy(qdq_infer_shape(n, i), out);
}

const qdq_tensor *qdq_infer_tensor(const qdq_value *v)
{
	const qdq_attr *a;

	while (v != NULL && v->is_input && v->graph->parent != NULL && qdq_is(v->graph->parent, QDQ_OP_REGION)) {
		const qdq_graph *body = v->graph;
		size_t i = 0;

		while (i < body->inputs.count && body->inputs.items[i] != v)
			i++;
		v = qdq_in(body->parent, (uint32_t)i);
	}
	if (v == NULL)
		return NULL;
	if (qdq_def(v, QDQ_OP_Constant) == NULL)
		return qdq_value_constant(v);
	a = qdq_attr_find(v->def, "value");
	return a != NULL && a->type == QDQ_ATTR_TENSOR && *a->ref == '\0' ? a->u.t : NULL;
}

/* The bytes of element i of a type of whole bytes, as the low bytes of *out. */
static bool element(const qdq_tensor *t, uint64_t i, uint64_t *out)
{
	size_t width = qdq_type_get(t->type)->bits, size = width / 8u;
	uint8_t bytes[8];

	if (width == 2 || width == 4) { /* packed, low bits first */
		if (t->data == NULL || i >= t->count || i * width / 8 >= t->size)
			return false;
		*out = (uint64_t)((const uint8_t *)t->data)[i * width / 8] >> (i * width % 8) & ((1u << width) - 1);
		return true;
	}
	if (size == 0 || size > sizeof bytes || t->data == NULL || i >= t->size / size)
		return false;
	memcpy(bytes, (const char *)t->data + i * size, size);
	*out = 0;
	for (size_t k = 0; k < size; k++)
		*out |= (uint64_t)bytes[k] << (8 * k);
	return true;
}

bool qdq_tensor_int(const qdq_tensor *t, uint64_t i, int64_t *out)
{
	const qdq_type_info *type = qdq_type_get(t->type);
	uint64_t bits;

	if (type->is_float || !element(t, i, &bits) || t->type == QDQ_TYPE_COMPLEX64)
		return false;
	if (type->is_signed && type->bits < 64 && (bits >> (type->bits - 1)) != 0)
		bits |= UINT64_MAX << type->bits;
	if (t->type == QDQ_TYPE_UINT64 && bits > INT64_MAX)
		return false;
	memcpy(out, &bits, sizeof bits);
	return true;
}

bool qdq_tensor_real(const qdq_tensor *t, uint64_t i, double *out)
{
	uint64_t bits;
	uint32_t low;
	float f;

	if (!element(t, i, &bits))
		return false;
	low = (uint32_t)bits;
	switch (t->type) {
	case QDQ_TYPE_FLOAT:
		memcpy(&f, &low, sizeof f);
		*out = (double)f;
		return true;
	case QDQ_TYPE_DOUBLE:
		memcpy(out, &bits, sizeof bits);
		return true;
	case QDQ_TYPE_FLOAT16:
		*out = (double)qdq_f16_to_f32((uint16_t)low);
		return true;
	case QDQ_TYPE_BFLOAT16:
		*out = (double)qdq_bf16_to_f32((uint16_t)low);
		return true;
	default:
		return false;
	}
}

void qdq_tensor_set_real(qdq_tensor *t, uint64_t i, double real)
{
	char *data = (char *)(uintptr_t)t->data;
	float f = (float)real;
	uint16_t half;

	switch (t->type) {
	case QDQ_TYPE_FLOAT:
		memcpy(data + i * sizeof f, &f, sizeof f);
		break;
	case QDQ_TYPE_FLOAT16:
	case QDQ_TYPE_BFLOAT16:
		half = t->type == QDQ_TYPE_FLOAT16 ? qdq_f32_to_f16(f) : qdq_f32_to_bf16(f);
		memcpy(data + i * sizeof half, &half, sizeof half);
		break;
	default: /* 8 bits */
		data[i] = (char)(int)qdq_round_half_even(real);
		break;
	}
}

/* Negative numbers too: contents write them as 0 - x. */
static qdq_dim signed_dim(qdq_infer *c, int64_t value)
{
	if (value >= 0)
		return value;
	return qdq_dim_binary(c->m, QDQ_DIM_SUB, 0, value == INT64_MIN ? INT64_MAX : -value);
}

const qdq_shape *qdq_infer_contents(qdq_infer *c, qdq_value *v)
{
	const qdq_tensor *t;
	qdq_dims d;
	int64_t value;

	if (v == NULL || v->contents != NULL)
		return v == NULL ? NULL : v->contents;
	t = v->def == NULL || qdq_is(v->def, QDQ_OP_Constant) ? qdq_infer_tensor(v) : NULL;
	if (t == NULL || t->rank > 1 || t->count > QDQ_INFER_RANK ||
	    (t->type != QDQ_TYPE_INT64 && t->type != QDQ_TYPE_INT32 && t->type != QDQ_TYPE_BOOL))
		return NULL;
	d.rank = (int)t->count;
	for (int i = 0; i < d.rank; i++) {
		if (!qdq_tensor_int(t, (uint64_t)i, &value))
			return NULL;
		d.d[i] = signed_dim(c, value);
	}
	v->contents = qdq_shape_new(c->m, d.rank, d.d);
	return v->contents;
}

qdq_known qdq_infer_ints(qdq_infer *c, const qdq_node *n, uint32_t i, const char *name, qdq_ints *out)
{
	const qdq_shape *contents;
	const qdq_attr *a;

	out->count = 0;
	if (qdq_in(n, i) != NULL) {
		contents = qdq_infer_contents(c, qdq_in(n, i));
		if (contents == NULL || contents->rank > QDQ_INFER_RANK)
			return QDQ_UNKNOWN;
		for (int k = 0; k < contents->rank; k++)
			if (!qdq_dim_value(c->m, contents->dim[k], &out->at[k]))
				return QDQ_UNKNOWN;
		out->count = contents->rank;
		return QDQ_KNOWN;
	}
	a = name == NULL ? NULL : qdq_attr_find(n, name);
	if (a == NULL)
		return QDQ_ABSENT;
	if (a->type == QDQ_ATTR_INT) {
		out->count = 1;
		out->at[0] = a->u.i;
		return QDQ_KNOWN;
	}
	if (a->type != QDQ_ATTR_INTS || a->count > QDQ_INFER_RANK)
		return QDQ_UNKNOWN;
	out->count = (int)a->count;
	if (a->count != 0)
		memcpy(out->at, a->u.ints, a->count * sizeof *out->at);
	return QDQ_KNOWN;
}

bool qdq_infer_axis(int64_t axis, int rank, int *out)
{
	if (axis < -rank || axis >= rank)
		return false;
	*out = (int)(axis < 0 ? axis + rank : axis);
	return true;
}

qdq_known qdq_infer_axes(qdq_infer *c, const qdq_node *n, uint32_t i, const char *name, int rank, uint32_t *mask)
{
	qdq_ints axes;
	qdq_known known = qdq_infer_ints(c, n, i, name, &axes);
	int axis;

	*mask = 0;
	for (int k = 0; k < axes.count; k++) {
		if (!qdq_infer_axis(axes.at[k], rank, &axis))
			return QDQ_UNKNOWN;
		*mask |= UINT32_C(1) << axis;
	}
	return known;
}

/* ---- dimensions ---- */

qdq_dim qdq_infer_binary(qdq_infer *c, qdq_dim_op op, qdq_dim a, qdq_dim b)
{
	if (a == QDQ_DIM_ANY || b == QDQ_DIM_ANY)
		return QDQ_DIM_ANY;
	return qdq_dim_binary(c->m, op, a, b);
}

/* Contents write what may be any integer as 0 - ?, which tells it from an unnamed size. */
qdq_dim qdq_infer_size(qdq_infer *c, qdq_dim d)
{
	const qdq_dim_expr *e;

	if (d >= 0 || d == QDQ_DIM_ANY)
		return d;
	e = &c->m->dims.items[~d];
	return e->op == QDQ_DIM_SUB && e->a == 0 ? QDQ_DIM_ANY : d;
}

static qdq_dim broadcast_dim(qdq_dim a, qdq_dim b)
{
	if (a == b || b == 1)
		return a;
	if (a == 1)
		return b;
	if (a >= 0 && b >= 0)
		return QDQ_DIM_ANY; /* a contradiction */
	/* one may turn out to be 1: then the other is the result, and if that is a number it is the result anyway */
	return a >= 0 ? a : b >= 0 ? b : QDQ_DIM_ANY;
}

void qdq_infer_broadcast_into(qdq_dims *to, const qdq_dims *by)
{
	if (to->rank < 0 || by->rank < 0) {
		to->rank = -1;
		return;
	}
	if (by->rank > to->rank) {
		int more = by->rank - to->rank;

		memmove(&to->d[more], &to->d[0], (size_t)to->rank * sizeof *to->d);
		for (int i = 0; i < more; i++)
			to->d[i] = 1;
		to->rank = by->rank;
	}
	for (int i = 1; i <= by->rank; i++)
		to->d[to->rank - i] = broadcast_dim(to->d[to->rank - i], by->d[by->rank - i]);
}

/* ---- settling ---- */

static void warn(qdq_infer *c, const qdq_node *n, const qdq_value *v, const qdq_shape *was, const qdq_dims *is)
{
	qdq_where where = n != NULL ? qdq_node_where(n, v->name) : (qdq_where){.file = c->m->path, .operand = v->name};

	if (was->rank != is->rank) {
		qdq_diag(c->m->ctx, QDQ_WARNING, &where, "the file says rank %d, but it is %d", (int)was->rank,
			 is->rank);
		return;
	}
	for (int i = 0; i < is->rank; i++)
		if (was->dim[i] >= 0 && is->d[i] >= 0 && was->dim[i] != is->d[i])
			qdq_diag(c->m->ctx, QDQ_WARNING, &where,
				 "the file says that dimension %d is %lld, but it is %lld", i, (long long)was->dim[i],
				 (long long)is->d[i]);
}

static bool is_anonymous(const qdq_model *m, qdq_dim d)
{
	const qdq_dim_expr *e = &m->dims.items[~d];

	return e->op == QDQ_DIM_SYMBOL && *e->symbol == '\0';
}

/* The better of what v has and what was found. */
static qdq_dim better(const qdq_model *m, const qdq_value *v, qdq_dim was, qdq_dim is)
{
	if (was == is || is == QDQ_DIM_ANY)
		return was;
	if (is >= 0)
		return is;
	if (was >= 0 || is_anonymous(m, is))
		return was;
	return v->declared && v->n_outputs != 0 && !is_anonymous(m, was) ? was : is;
}

/* `shared`, where it is not NULL, is the very shape that `is` was copied from. */
static void settle_shape(qdq_infer *c, const qdq_node *n, qdq_value *v, qdq_dims *is, const qdq_shape *shared)
{
	const qdq_shape *was = v->shape;
	bool contradicts = was != NULL && was->rank != is->rank;

	if (was != NULL && !contradicts) {
		bool same = true, moved = false;

		for (int i = 0; i < is->rank; i++) {
			qdq_dim d = better(c->m, v, was->dim[i], is->d[i]);

			contradicts = contradicts || (was->dim[i] >= 0 && is->d[i] >= 0 && was->dim[i] != is->d[i]);
			same = same && d == was->dim[i];
			moved = moved || d != is->d[i];
			is->d[i] = d;
		}
		if (same)
			return;
		if (moved)
			shared = NULL;
	}
	if (contradicts && v->declared)
		warn(c, n, v, was, is);
	for (int i = 0; i < is->rank; i++) {
		if (is->d[i] == QDQ_DIM_ANY) {
			is->d[i] = qdq_dim_unknown(c->m);
			shared = NULL;
		}
	}
	v->shape = shared != NULL ? shared : qdq_shape_new(c->m, is->rank, is->d);
}

static bool settle_type(qdq_infer *c, qdq_value *v, qdq_type type)
{
	if (v->not_tensor || (c->is_call && v->declared && v->said_type != QDQ_TYPE_NONE))
		return false;
	if (type != QDQ_TYPE_NONE && (v->type == QDQ_TYPE_NONE || !v->declared || !c->declared_wins))
		v->type = type;
	return true;
}

void qdq_infer_settle_dims(qdq_infer *c, const qdq_node *n, qdq_value *v, qdq_type type, const qdq_dims *dims)
{
	qdq_dims work;

	if (v == NULL || !settle_type(c, v, type) || dims == NULL || dims->rank < 0)
		return;
	work.rank = dims->rank;
	memcpy(work.d, dims->d, (size_t)dims->rank * sizeof *dims->d);
	settle_shape(c, n, v, &work, NULL);
}

void qdq_infer_settle(qdq_infer *c, const qdq_node *n, qdq_value *v, qdq_type type, const qdq_shape *shape)
{
	qdq_dims work;

	if (v == NULL || !settle_type(c, v, type) || shape == NULL || shape == v->shape)
		return;
	if (v->shape == NULL)
		v->shape = shape;
	else if (qdq_infer_copy(shape, &work))
		settle_shape(c, n, v, &work, shape);
}

void qdq_infer_put(qdq_infer *c, qdq_node *n, uint32_t i, qdq_type type, const qdq_dims *dims)
{
	/* most outputs have the shape of an input: share it */
	for (uint32_t k = 0; k < n->n_inputs && k < 4 && dims != NULL; k++) {
		const qdq_shape *s = qdq_infer_shape(n, k);

		if (s != NULL && s->rank == dims->rank &&
		    memcmp(s->dim, dims->d, (size_t)s->rank * sizeof *s->dim) == 0) {
			qdq_infer_put_shape(c, n, i, type, s);
			return;
		}
	}
	qdq_infer_settle_dims(c, n, qdq_out(n, i), type, dims);
}

void qdq_infer_put_shape(qdq_infer *c, qdq_node *n, uint32_t i, qdq_type type, const qdq_shape *shape)
{
	qdq_infer_settle(c, n, qdq_out(n, i), type, shape);
}

void qdq_infer_put_contents(qdq_infer *c, qdq_node *n, uint32_t i, const qdq_dims *contents)
{
	qdq_value *v = qdq_out(n, i);
	qdq_dims work;
	bool same;

	if (v == NULL || v->not_tensor || contents->rank < 0 || (v->shape != NULL && v->shape->rank > 1))
		return;
	work.rank = contents->rank;
	same = v->contents != NULL && v->contents->rank == work.rank;
	for (int k = 0; k < work.rank; k++) {
		qdq_dim d = contents->d[k];

		if (d == QDQ_DIM_ANY)
			d = v->contents != NULL && k < v->contents->rank
				? v->contents->dim[k]
				: qdq_dim_binary(c->m, QDQ_DIM_SUB, 0, qdq_dim_unknown(c->m));
		work.d[k] = d;
		same = same && d == v->contents->dim[k];
	}
	if (!same)
		v->contents = qdq_shape_new(c->m, work.rank, work.d);
}

/* ---- the walk ---- */

/* In a function's body an attribute may stand for one of the call's. */
static bool has_attr_reference(const qdq_node *n)
{
	for (uint32_t i = 0; i < n->n_attrs; i++)
		if (*n->attrs[i].ref != '\0')
			return true;
	return false;
}

static void infer_one(qdq_infer *c, qdq_node *n)
{
	if (n->function != NULL && n->region == NULL)
		qdq_infer_call(c, n);
	else if (c->function == NULL || !has_attr_reference(n))
		n->op->infer(c, n);
}

void qdq_infer_nodes(qdq_infer *c, qdq_graph *g)
{
	for (qdq_node *n = g->first; n != NULL; n = qdq_after(n))
		infer_one(c, n);
}

static const qdq_function *function_of(const qdq_graph *g)
{
	while (g->parent != NULL)
		g = g->parent->graph;
	return g->function;
}

static int opset_in(const qdq_model *m, const qdq_function *f)
{
	for (size_t i = 0; f != NULL && i < f->opsets.count; i++)
		if (*f->opsets.items[i].domain == '\0')
			return f->opsets.items[i].version > INT32_MAX ? INT32_MAX : (int)f->opsets.items[i].version;
	return m->opset;
}

int qdq_graph_opset(const qdq_graph *g)
{
	return opset_in(g->model, function_of(g));
}

qdq_infer qdq_infer_begin(const qdq_graph *g)
{
	qdq_infer c = {.m = g->model, .function = function_of(g)};

	c.opset = opset_in(c.m, c.function);
	c.budget = CALL_BUDGET + (uint64_t)c.m->graph->n_nodes;
	return c;
}

void qdq_graph_infer(qdq_graph *g)
{
	qdq_infer c = qdq_infer_begin(g);

	c.declared_wins = true;
	qdq_infer_nodes(&c, g);
}

void qdq_node_infer(qdq_node *n)
{
	qdq_infer c = qdq_infer_begin(n->graph);

	infer_one(&c, n);
}

/* ---- for developers ---- */

typedef struct dump {
	qdq_model *m;
	qdq_graph *graph;
	qdq_arena scratch;
	void (*line)(void *user, const char *text);
	void *user;
} dump;

static void dump_value(dump *d, const qdq_value *v)
{
	const char *shape = "?";

	if (v->shape != NULL) {
		shape = "[";
		for (int32_t i = 0; i < v->shape->rank; i++)
			shape = qdq_format(&d->scratch, "%s%s%s", shape, i == 0 ? "" : ",",
					   qdq_dim_print(d->m, &d->scratch, v->shape->dim[i]));
		shape = qdq_format(&d->scratch, "%s]", shape);
	}
	d->line(d->user, qdq_format(&d->scratch, "%s\t%s\t%s", v->name,
				    v->type == QDQ_TYPE_NONE ? "?" : qdq_type_get(v->type)->name, shape));
	qdq_arena_reset(&d->scratch);
}

static void dump_graph(dump *d, const qdq_graph *g)
{
	for (size_t i = 0; i < g->inputs.count; i++)
		dump_value(d, g->inputs.items[i]);
	for (size_t i = 0; i < g->constants.count; i++)
		dump_value(d, g->constants.items[i]);
	for (const qdq_node *n = g->first; n != NULL; n = qdq_after(n)) {
		for (uint32_t i = 0; i < n->n_outputs; i++)
			if (n->outputs[i] != NULL)
				dump_value(d, n->outputs[i]);
		for (uint32_t i = 0; i < n->n_attrs; i++) {
			const qdq_attr *a = &n->attrs[i];

			qdq_graph *const *graphs;
			size_t count = qdq_attr_graphs(a, &graphs);

			for (size_t j = 0; j < count; j++)
				dump_graph(d, graphs[j]);
		}
	}
}

static void run_dump(void *arg)
{
	dump *d = arg;

	dump_graph(d, d->graph);
}

void qdq_graph_dump_values(qdq_graph *g, void (*line)(void *user, const char *text), void *user)
{
	dump d = {.m = g->model, .graph = g, .line = line, .user = user};
	qdq_status status;

	qdq_arena_init(&d.scratch, g->model->ctx);
	status = qdq_guard(g->model->ctx, run_dump, &d);
	qdq_arena_free(&d.scratch);
	if (status != QDQ_OK)
		qdq_throw(g->model->ctx, status);
}

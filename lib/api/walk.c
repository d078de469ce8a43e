/* SPDX-License-Identifier: Apache-2.0
 *
 * walk.c -- reading a network; every function takes NULL for what is not there
 */
#include "api.h"

/* ---- the model ---- */

const char *qdq_model_path(const qdq_model *m)
{
	return m == NULL ? NULL : m->path;
}

int qdq_model_opset(const qdq_model *m)
{
	return m == NULL ? 0 : m->opset;
}

size_t qdq_node_count(const qdq_model *m)
{
	return m == NULL ? 0 : m->graph->n_nodes;
}

qdq_node *qdq_first_node(const qdq_model *m)
{
	return m == NULL ? NULL : m->graph->first;
}

qdq_node *qdq_next_node(const qdq_node *n)
{
	return n == NULL ? NULL : n->next;
}

qdq_node *qdq_first_inner_node(const qdq_node *n)
{
	return n == NULL || n->region == NULL ? NULL : n->region->body->first;
}

qdq_node *qdq_find_node(const qdq_model *m, const char *name)
{
	qdq_name interned = m == NULL || name == NULL ? NULL : qdq_find_name(&m->names, name);

	if (interned == NULL || *interned == '\0')
		return NULL;
	for (qdq_node *n = m->graph->first; n != NULL; n = qdq_after(n))
		if (n->name == interned)
			return n;
	return NULL;
}

static qdq_value *find_in(qdq_value *const *values, size_t count, qdq_name name)
{
	for (size_t i = 0; i < count; i++)
		if (values[i] != NULL && values[i]->name == name)
			return values[i];
	return NULL;
}

qdq_value *qdq_find_value(const qdq_model *m, const char *name)
{
	qdq_name interned = m == NULL || name == NULL ? NULL : qdq_find_name(&m->names, name);
	qdq_value *v;

	if (interned == NULL || *interned == '\0')
		return NULL;
	v = find_in(m->graph->inputs.items, m->graph->inputs.count, interned);
	for (const qdq_node *n = m->graph->first; n != NULL && v == NULL; n = qdq_after(n))
		v = find_in(n->outputs, n->n_outputs, interned);
	return v != NULL ? v : find_in(m->graph->constants.items, m->graph->constants.count, interned);
}

size_t qdq_input_count(const qdq_model *m)
{
	return m == NULL ? 0 : m->graph->inputs.count;
}

qdq_value *qdq_input(const qdq_model *m, size_t index)
{
	return index < qdq_input_count(m) ? m->graph->inputs.items[index] : NULL;
}

size_t qdq_output_count(const qdq_model *m)
{
	return m == NULL ? 0 : m->graph->outputs.count;
}

qdq_value *qdq_output_value(const qdq_model *m, size_t index)
{
	return index < qdq_output_count(m) ? m->graph->outputs.items[index] : NULL;
}

/* ---- nodes ---- */

const char *qdq_node_name(const qdq_node *n)
{
	return n == NULL ? NULL : n->name;
}

const char *qdq_node_op(const qdq_node *n)
{
	return n == NULL ? NULL : n->op_type;
}

const char *qdq_node_domain(const qdq_node *n)
{
	return n == NULL ? NULL : n->domain;
}

size_t qdq_node_input_count(const qdq_node *n)
{
	return n == NULL ? 0 : n->n_inputs;
}

qdq_value *qdq_node_input(const qdq_node *n, size_t index)
{
	return index < qdq_node_input_count(n) ? n->inputs[index].value : NULL;
}

size_t qdq_node_output_count(const qdq_node *n)
{
	return n == NULL ? 0 : n->n_outputs;
}

qdq_value *qdq_node_output(const qdq_node *n, size_t index)
{
	return index < qdq_node_output_count(n) ? n->outputs[index] : NULL;
}

static const qdq_attr *attribute(const qdq_node *n, const char *name, qdq_attr_type type)
{
	const qdq_attr *a = n == NULL || name == NULL ? NULL : qdq_attr_find(n, name);

	return a == NULL || a->type != type || *a->ref != '\0' ? NULL : a;
}

int64_t qdq_node_int(const qdq_node *n, const char *name, int64_t absent)
{
	const qdq_attr *a = attribute(n, name, QDQ_ATTR_INT);

	return a == NULL ? absent : a->u.i;
}

float qdq_node_float(const qdq_node *n, const char *name, float absent)
{
	const qdq_attr *a = attribute(n, name, QDQ_ATTR_FLOAT);

	return a == NULL ? absent : a->u.f;
}

const int64_t *qdq_node_ints(const qdq_node *n, const char *name, size_t *count)
{
	const qdq_attr *a = attribute(n, name, QDQ_ATTR_INTS);

	if (count != NULL)
		*count = a == NULL ? 0 : a->count;
	return a == NULL ? NULL : a->u.ints;
}

const float *qdq_node_floats(const qdq_node *n, const char *name, size_t *count)
{
	const qdq_attr *a = attribute(n, name, QDQ_ATTR_FLOATS);

	if (count != NULL)
		*count = a == NULL ? 0 : a->count;
	return a == NULL ? NULL : a->u.floats;
}

const char *qdq_node_string(const qdq_node *n, const char *name, size_t *length)
{
	const qdq_attr *a = attribute(n, name, QDQ_ATTR_STRING);

	if (length != NULL)
		*length = a == NULL ? 0 : a->u.s.size;
	return a == NULL ? NULL : a->u.s.data;
}

/* ---- values ---- */

const char *qdq_value_name(const qdq_value *v)
{
	return v == NULL ? NULL : v->name;
}

qdq_type qdq_value_type(const qdq_value *v)
{
	return v == NULL ? QDQ_TYPE_NONE : v->type;
}

int qdq_value_rank(const qdq_value *v)
{
	return v == NULL || v->shape == NULL ? -1 : v->shape->rank;
}

int64_t qdq_value_dim(const qdq_value *v, int index)
{
	if (index < 0 || index >= qdq_value_rank(v))
		return -1;
	return v->shape->dim[index] < 0 ? -1 : v->shape->dim[index];
}

const char *qdq_value_symbol(const qdq_value *v, int index)
{
	const qdq_dim_expr *e;

	if (index < 0 || index >= qdq_value_rank(v) || v->shape->dim[index] >= 0)
		return NULL;
	e = &v->graph->model->dims.items[~v->shape->dim[index]];
	return e->op == QDQ_DIM_SYMBOL && *e->symbol != '\0' ? e->symbol : NULL;
}

qdq_node *qdq_value_producer(const qdq_value *v)
{
	return v == NULL ? NULL : v->def;
}

const void *qdq_value_data(const qdq_value *v, size_t *size)
{
	const qdq_tensor *t = qdq_value_constant(v);

	if (size != NULL)
		*size = t == NULL || t->data == NULL ? 0 : (size_t)t->size;
	return t == NULL ? NULL : t->data;
}

size_t qdq_value_readers(const qdq_value *v, qdq_node **out, uint32_t *inputs, size_t room)
{
	size_t i = 0;

	for (const qdq_use *u = v == NULL ? NULL : v->uses; u != NULL; u = u->next, i++) {
		if (i < room && out != NULL)
			out[i] = u->node;
		if (i < room && inputs != NULL)
			inputs[i] = qdq_use_index(u);
	}
	return i;
}

int qdq_value_is_output(const qdq_value *v)
{
	return v != NULL && v->n_outputs != 0;
}

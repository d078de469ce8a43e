/* SPDX-License-Identifier: Apache-2.0
 *
 * check.c -- what a user's file must fulfil: operands, attributes, element types, parameters of Q and DQ
 *
 * Everything is read from the table's notation. Element types are held to the union of what all versions of an operator
 * allow, so no valid model is refused; what remains is decided where a pass or a runtime needs it.
 */
#include "infer.h"

typedef struct check {
	qdq_model *m;
	const qdq_node *n;
	int opset;
	bool failed, warned;
} check;

static void fault(check *k, const char *operand, const char *format, ...) QDQ_PRINTF(3, 4);

static void fault(check *k, const char *operand, const char *format, ...)
{
	qdq_where where = qdq_node_where(k->n, operand);
	va_list args;

	k->failed = true;
	va_start(args, format);
	qdq_diag(k->m->ctx, QDQ_ERROR, &where, "%s", qdq_vformat(&k->m->ctx->arena, format, args));
	va_end(args);
}

/* ---- element types ---- */

static bool in_set(char set, qdq_type t)
{
	const qdq_type_info *info = qdq_type_get(t);
	bool is_integer = !info->is_float && info->bits != 0 && t != QDQ_TYPE_BOOL && t != QDQ_TYPE_COMPLEX64 &&
			  t != QDQ_TYPE_COMPLEX128;
	bool is_wide_float = info->is_float && info->bits >= 16;

	switch (set) {
	case 'f':
		return is_wide_float;
	case 'e':
		return info->is_float;
	case 's':
		return t == QDQ_TYPE_FLOAT;
	case 'i':
		return is_integer && info->bits >= 8;
	case 'n':
		return is_wide_float || (is_integer && info->bits >= 8);
	case 'w':
		return is_wide_float || (is_integer && info->bits >= 32);
	case 'j':
		return t == QDQ_TYPE_INT32 || t == QDQ_TYPE_INT64;
	case 'l':
		return t == QDQ_TYPE_INT64;
	case 'm':
		return t == QDQ_TYPE_INT32;
	case 'u':
		return t == QDQ_TYPE_UINT8;
	case 'b':
		return t == QDQ_TYPE_BOOL;
	case 'q':
		return t == QDQ_TYPE_INT8 || t == QDQ_TYPE_UINT8;
	case 'c':
		return (is_integer && (info->bits <= 16 || t == QDQ_TYPE_INT32)) || (info->is_float && info->bits <= 8);
	default:
		return true;
	}
}

static const char *set_name(char set)
{
	switch (set) {
	case 'f':
		return "a floating-point type";
	case 'e':
		return "a floating-point type";
	case 's':
		return "float";
	case 'i':
		return "an integer type";
	case 'n':
		return "a number type";
	case 'w':
		return "a floating-point type, or integers of at least 32 bits";
	case 'j':
		return "int32 or int64";
	case 'l':
		return "int64";
	case 'm':
		return "int32";
	case 'u':
		return "uint8";
	case 'b':
		return "bool";
	case 'q':
		return "int8 or uint8";
	default:
		return "a quantized type";
	}
}

#define GROUPS 8

/* Operands of one group, and the first of them that has a type. */
typedef struct groups {
	int count;
	struct {
		char set, number;
		qdq_type type;
		const qdq_value *first;
	} at[GROUPS];
} groups;

static void check_type(check *k, groups *g, const qdq_op_operand *operand, const qdq_value *v)
{
	char set = operand->types[0], number = operand->types_length > 1 ? operand->types[1] : '1';
	int i = 0;

	if (v->type == QDQ_TYPE_NONE || v->not_tensor)
		return;
	if (!in_set(set, v->type)) {
		fault(k, v->name, "'%.*s' is %s, but must be %s", operand->name_length, operand->name,
		      qdq_type_get(v->type)->name, set_name(set));
		return;
	}
	while (i < g->count && (g->at[i].set != set || g->at[i].number != number))
		i++;
	if (i == GROUPS)
		return;
	if (i == g->count) {
		g->count++;
		g->at[i].set = set;
		g->at[i].number = number;
		g->at[i].type = v->type;
		g->at[i].first = v;
	} else if (g->at[i].type != v->type) {
		fault(k, v->name, "'%.*s' is %s, but '%s' is %s: they must have the same type", operand->name_length,
		      operand->name, qdq_type_get(v->type)->name, g->at[i].first->name,
		      qdq_type_get(g->at[i].type)->name);
	}
}

/* ---- operands ---- */

static void check_operands(check *k, groups *g, bool outputs)
{
	const qdq_node *n = k->n;
	const char *notation = outputs ? n->op->outputs : n->op->inputs, *side = outputs ? "output" : "input";
	uint32_t i = 0, count = outputs ? n->n_outputs : n->n_inputs;
	qdq_op_operand operand;

	while (qdq_op_next_operand(&notation, k->opset, &operand)) {
		bool many = operand.count == '*' || operand.count == '+',
		     wanted = operand.count == '\0' || operand.count == '+';

		do {
			const qdq_value *v = i >= count ? NULL : outputs ? n->outputs[i] : n->inputs[i].value;

			/* outputs may be left out where nobody reads them */
			if (v == NULL && wanted && (!outputs || i >= count))
				fault(k, NULL, "%s %u, '%.*s', is missing", side, i, operand.name_length, operand.name);
			if (v != NULL && operand.types != NULL)
				check_type(k, g, &operand, v);
			i++;
			wanted = false;
		} while (many && i < count);
		if (many)
			return;
	}
	if (count > i)
		fault(k, NULL, "has %u %ss, but may have at most %u in opset %d", count, side, i, k->opset);
}

/* ---- attributes ---- */

static const char *attr_type_name(qdq_attr_type t)
{
	static const char *const names[] = {"nothing", "a float",	  "an integer",	    "a string", "a tensor",
					    "a graph", "floats",	  "integers",	    "strings",	"tensors",
					    "graphs",  "a sparse tensor", "sparse tensors", "a type",	"types"};

	return (size_t)t < QDQ_COUNTOF(names) ? names[t] : "of an unknown type";
}

static const qdq_attr *find_attr(const qdq_node *n, const qdq_op_attr *wanted)
{
	for (uint32_t i = 0; i < n->n_attrs; i++)
		if (strncmp(n->attrs[i].name, wanted->name, (size_t)wanted->name_length) == 0 &&
		    n->attrs[i].name[wanted->name_length] == '\0')
			return &n->attrs[i];
	return NULL;
}

static void check_attrs(check *k)
{
	const char *notation = k->n->op->attrs;
	qdq_op_attr wanted;
	uint32_t seen = 0;

	while (qdq_op_next_attr(&notation, k->opset, &wanted)) {
		const qdq_attr *a = find_attr(k->n, &wanted);

		seen += a != NULL;
		if (a == NULL && wanted.required)
			fault(k, NULL, "attribute '%.*s' is missing", wanted.name_length, wanted.name);
		else if (a != NULL && a->type != wanted.type && *a->ref == '\0')
			fault(k, NULL, "attribute '%s' is %s, but must be %s", a->name, attr_type_name(a->type),
			      attr_type_name(wanted.type));
	}
	if (seen < k->n->n_attrs && *k->n->op->domain == '\0') {
		qdq_where where = qdq_node_where(k->n, NULL);

		k->warned = true;
		qdq_diag(k->m->ctx, QDQ_WARNING, &where, "has an attribute that opset %d does not know", k->opset);
	}
}

/* ---- Q and DQ ---- */

/* With blocks the scale has the data's shape, but for one scale per block along the axis. */
static void check_blocks(check *k, int64_t block, const qdq_value *scale, const qdq_shape *data)
{
	const qdq_shape *s = scale->shape;
	int axis;

	if (s->rank != data->rank) {
		fault(k, scale->name, "the scale has rank %d, but with block_size it must have the data's rank %d",
		      (int)s->rank, (int)data->rank);
		return;
	}
	if (!qdq_infer_axis(qdq_attr_int(k->n, "axis", 1), data->rank, &axis)) {
		fault(k, NULL, "axis %lld is out of range for rank %d", (long long)qdq_attr_int(k->n, "axis", 1),
		      (int)data->rank);
		return;
	}
	qdq_dim length = data->dim[axis], blocks = s->dim[axis];
	if (length >= 0 && blocks >= 0 && (length == 0 ? 0 : (length - 1) / block + 1) != blocks)
		fault(k, scale->name, "%lld scales along axis %d, but %lld in blocks of %lld are another number",
		      (long long)blocks, axis, (long long)length, (long long)block);
}

static void check_scales(check *k, const qdq_value *scale)
{
	const qdq_shape *data = qdq_infer_shape(k->n, 0), *s = scale->shape;
	int64_t block = qdq_attr_int(k->n, "block_size", 0), wanted = qdq_attr_int(k->n, "axis", 1);
	int axis;

	if (block < 0)
		fault(k, NULL, "block_size %lld is negative", (long long)block);
	if (s == NULL || block < 0)
		return;
	if (block == 0 && s->rank > 1) {
		fault(k, scale->name, "the scale has rank %d, but must be one number or a list", (int)s->rank);
		return;
	}
	if (data == NULL || (block == 0 && (s->rank == 0 || s->dim[0] == 1)))
		return;
	if (block != 0)
		check_blocks(k, block, scale, data);
	else if (!qdq_infer_axis(wanted, data->rank, &axis))
		fault(k, NULL, "axis %lld is out of range for rank %d", (long long)wanted, (int)data->rank);
	else if (s->dim[0] >= 0 && data->dim[axis] >= 0 && s->dim[0] != data->dim[axis])
		fault(k, scale->name, "%lld scales for dimension %d, which is %lld", (long long)s->dim[0], axis,
		      (long long)data->dim[axis]);
}

static void check_quant(check *k)
{
	const qdq_value *scale = qdq_in(k->n, 1), *zero = qdq_in(k->n, 2);

	if (scale == NULL || k->n->op->id == QDQ_OP_DynamicQuantizeLinear)
		return;
	if (scale->type != QDQ_TYPE_NONE && !qdq_type_get(scale->type)->is_float)
		fault(k, scale->name, "the scale is %s, but must be a floating-point type",
		      qdq_type_get(scale->type)->name);
	if (zero != NULL && qdq_shape_known(zero->shape) && qdq_shape_known(scale->shape) &&
	    qdq_shape_count(zero->shape, NULL) != qdq_shape_count(scale->shape, NULL))
		fault(k, zero->name, "%lld zero points for %lld scales", (long long)qdq_shape_count(zero->shape, NULL),
		      (long long)qdq_shape_count(scale->shape, NULL));
	check_scales(k, scale);
}

/* ---- nodes and graphs ---- */

static uint64_t mix(uint64_t hash, uint64_t part)
{
	hash = (hash ^ part) * UINT64_C(0x9e3779b97f4a7c15);
	return hash ^ (hash >> 29);
}

/* All that the table's notation is held against: which operands there are, their types, the attributes. */
static uint64_t signature(const qdq_node *n)
{
	uint64_t hash = mix(mix(n->n_inputs, n->n_outputs), n->n_attrs);

	for (uint32_t i = 0; i < n->n_inputs; i++) {
		const qdq_value *v = n->inputs[i].value;

		hash = mix(hash, v == NULL ? UINT64_MAX : v->not_tensor ? 0 : (uint64_t)v->type);
	}
	for (uint32_t i = 0; i < n->n_outputs; i++) {
		const qdq_value *v = n->outputs[i];

		hash = mix(hash, v == NULL ? UINT64_MAX : v->not_tensor ? 0 : (uint64_t)v->type);
	}
	for (uint32_t i = 0; i < n->n_attrs; i++)
		hash = mix(mix(mix(hash, (uintptr_t)n->attrs[i].name), (uintptr_t)n->attrs[i].ref),
			   (uint64_t)n->attrs[i].type);
	return hash == 0 ? 1 : hash;
}

/* All of a node that is not like the one before it. */
static void check_wholly(qdq_checked *done, check *k, uint64_t hash)
{
	const qdq_node *n = k->n;
	groups g = {0};

	if (qdq_op_version(n->op, k->opset) == 0) {
		int first = 1;

		while (qdq_op_version(n->op, first) == 0)
			first++;
		fault(k, NULL, "is an operator of opset %d, but the model imports opset %d", first, k->opset);
		return;
	}
	check_operands(k, &g, false);
	check_operands(k, &g, true);
	check_attrs(k);
	if (!k->failed && !k->warned)
		done->last[n->op->id] = hash;
}

bool qdq_node_check(qdq_checked *done, const qdq_node *n, int opset)
{
	check k = {.m = n->graph->model, .n = n, .opset = *n->op->domain == '\0' ? opset : 1};
	uint64_t hash;

	if (n->op->id == QDQ_OP_NONE || n->op->id == QDQ_OP_REGION || n->function != NULL)
		return true;
	hash = mix(signature(n), (uint64_t)opset);
	if (done->last[n->op->id] != hash)
		check_wholly(done, &k, hash);
	if (n->op->cls == QDQ_CLASS_QUANT && !k.failed)
		check_quant(&k);
	return !k.failed;
}

static bool check_graph(qdq_checked *done, qdq_graph *g, int opset)
{
	bool good = true;

	for (qdq_node *n = g->first; n != NULL; n = qdq_after(n)) {
		good = qdq_node_check(done, n, opset) && good;
		for (uint32_t i = 0; i < n->n_attrs; i++) {
			const qdq_attr *a = &n->attrs[i];

			qdq_graph *const *graphs;
			size_t count = qdq_attr_graphs(a, &graphs);

			for (size_t j = 0; j < count; j++)
				good = check_graph(done, graphs[j], opset) && good;
		}
	}
	return good;
}

bool qdq_model_check(qdq_model *m)
{
	qdq_checked done = {0};
	bool good = check_graph(&done, m->graph, qdq_graph_opset(m->graph));

	for (size_t i = 0; i < m->functions.count; i++) {
		qdq_graph *body = m->functions.items[i]->body;

		if (body != NULL)
			good = check_graph(&done, body, qdq_graph_opset(body)) && good;
	}
	return good;
}

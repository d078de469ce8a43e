/* SPDX-License-Identifier: Apache-2.0
 *
 * text_attr.c -- attributes in the textual syntax: name: type = value, name = [value, …], name: type = @parameter
 *
 * Without a type, the value says it: 1 is an int, 1.0 a float, "1" a string, float[2] {1, 2} a tensor, float[2] a type,
 * name (…) => (…) {…} a graph. With a type, whole numbers can be floats.
 */
#include "text.h"

static qdq_attr_type singular(qdq_attr_type type)
{
	switch (type) {
	case QDQ_ATTR_FLOATS:
	case QDQ_ATTR_INTS:
	case QDQ_ATTR_STRINGS:
	case QDQ_ATTR_TENSORS:
	case QDQ_ATTR_GRAPHS:
		return (qdq_attr_type)(type - QDQ_ATTR_FLOATS + QDQ_ATTR_FLOAT);
	case QDQ_ATTR_SPARSE_TENSORS:
		return QDQ_ATTR_SPARSE_TENSOR;
	case QDQ_ATTR_TYPE_PROTOS:
		return QDQ_ATTR_TYPE_PROTO;
	default:
		return type;
	}
}

static qdq_attr_type plural(qdq_attr_type type)
{
	if (type == QDQ_ATTR_SPARSE_TENSOR)
		return QDQ_ATTR_SPARSE_TENSORS;
	if (type == QDQ_ATTR_TYPE_PROTO)
		return QDQ_ATTR_TYPE_PROTOS;
	return (qdq_attr_type)(type - QDQ_ATTR_FLOAT + QDQ_ATTR_FLOATS);
}

/* ---- single values ---- */

static qdq_attr_type read_graph(qdq_text_reader *r, qdq_text_item *out)
{
	out->g = qdq_graph_create(r->m, NULL, NULL);
	qdq_text_read_graph(r, out->g, true);
	return QDQ_ATTR_GRAPH;
}

/* A string; or a graph with a name in quotes, as onnx prints it. */
static qdq_attr_type read_string(qdq_text_reader *r, qdq_text_item *out)
{
	const char *at = r->at;

	out->s = qdq_text_string(r);
	if (qdq_text_peek(r) != '(')
		return QDQ_ATTR_STRING;
	r->at = at;
	return read_graph(r, out);
}

/* What begins with a type: a tensor if data follows, else the type itself. */
static qdq_attr_type read_typed(qdq_text_reader *r, qdq_attr_type expected, const char *label, qdq_text_item *out)
{
	qdq_text_type type;
	int next;

	qdq_text_read_type(r, &type);
	next = qdq_text_peek(r);
	if (expected != QDQ_ATTR_TENSOR && next != '{' && next != '[' && next != '=' && next != '"' &&
	    qdq_text_peek_word(r).size == 0) {
		out->tp = qdq_text_type_tree(r, &type);
		return QDQ_ATTR_TYPE_PROTO;
	}
	(void)qdq_text_token(r); /* a tensor may have a name, which nothing needs */
	(void)qdq_text_match(r, '=');
	out->t = qdq_text_read_tensor(r, &type, label);
	return QDQ_ATTR_TENSOR;
}

static qdq_attr_type read_number(qdq_text_reader *r, qdq_attr_type expected, qdq_text_item *out)
{
	qdq_text_literal l;

	qdq_text_number(r, &l);
	if (l.kind == QDQ_LITERAL_FLOAT || expected == QDQ_ATTR_FLOAT) {
		out->f = qdq_text_float(r, &l);
		return QDQ_ATTR_FLOAT;
	}
	out->i = qdq_text_int(r, &l);
	return QDQ_ATTR_INT;
}

static qdq_attr_type read_word(qdq_text_reader *r, qdq_attr_type expected, const char *label, qdq_text_item *out)
{
	qdq_bytes word = qdq_text_peek_word(r);

	if (qdq_text_is_type_word(word.data, word.size))
		return read_typed(r, expected, label, out);
	if (qdq_text_is_float_word(word.data, word.size))
		return read_number(r, expected, out);
	return read_graph(r, out);
}

/* `expected` NONE: of any type. */
static qdq_attr_type read_value(qdq_text_reader *r, qdq_attr_type expected, const char *label, qdq_text_item *out)
{
	qdq_attr_type type;
	const char *at;
	int next = qdq_text_peek(r);

	at = r->at;
	if (expected == QDQ_ATTR_SPARSE_TENSOR)
		qdq_text_fail(r, at, "there is no text for sparse tensors");
	if (expected == QDQ_ATTR_GRAPH)
		type = read_graph(r, out);
	else if (next == '"')
		type = read_string(r, out);
	else if (qdq_text_peek_word(r).size != 0)
		type = read_word(r, expected, label, out);
	else
		type = read_number(r, expected, out);
	if (expected != QDQ_ATTR_NONE && type != expected)
		qdq_text_fail(r, at, "attribute '%s' is to be of type %s, but this is of type %s", label,
			      qdq_text_attr_types[expected], qdq_text_attr_types[type]);
	return type;
}

/* ---- lists ---- */

/* `list` in the model's arena, from one field of the items. */
#define TAKE(T, field, list)                                  \
	do {                                                  \
		T *taken = qdq_array(&r->m->arena, T, count); \
		for (size_t i = 0; i < count; i++)            \
			taken[i] = items[i].field;            \
		out->u.list = taken;                          \
	} while (0)

static void take_items(qdq_text_reader *r, qdq_attr *out, const qdq_text_item *items, size_t count)
{
	out->count = count;
	switch (out->type) {
	case QDQ_ATTR_FLOATS:
		TAKE(float, f, floats);
		break;
	case QDQ_ATTR_INTS:
		TAKE(int64_t, i, ints);
		break;
	case QDQ_ATTR_STRINGS:
		TAKE(qdq_bytes, s, strings);
		break;
	case QDQ_ATTR_TENSORS:
		TAKE(const qdq_tensor *, t, tensors);
		break;
	case QDQ_ATTR_GRAPHS:
		TAKE(qdq_graph *, g, graphs);
		break;
	case QDQ_ATTR_TYPE_PROTOS:
		TAKE(const qdq_type_tree *, tp, tps);
		break;
	default:
		break;
	}
}

static void read_list(qdq_text_reader *r, qdq_attr *out)
{
	size_t mark = r->items.count;
	qdq_attr_type each = singular(out->type);
	const char *at = r->at;

	qdq_text_expect(r, '[');
	if (!qdq_text_match(r, ']')) {
		do {
			qdq_text_item item;

			each = read_value(r, each, out->name, &item);
			*qdq_push(&r->scratch, &r->items) = item;
		} while (qdq_text_match(r, ','));
		qdq_text_expect(r, ']');
		out->type = plural(each);
	}
	if (out->type == QDQ_ATTR_NONE || singular(out->type) == out->type)
		qdq_text_fail(r, at, "an empty list needs the type of a list, as in '%s: ints = []'", out->name);
	take_items(r, out, r->items.items + mark, r->items.count - mark);
	r->items.count = mark;
}

/* ---- attributes ---- */

static qdq_attr_type read_type(qdq_text_reader *r)
{
	const char *at;
	qdq_bytes word;

	(void)qdq_text_peek(r);
	at = r->at;
	if (!qdq_text_word(r, &word))
		qdq_text_fail_expected(r, "an attribute's type");
	for (size_t i = QDQ_ATTR_NONE + 1; i < QDQ_COUNTOF(qdq_text_attr_types); i++)
		if (strlen(qdq_text_attr_types[i]) == word.size &&
		    memcmp(qdq_text_attr_types[i], word.data, word.size) == 0)
			return (qdq_attr_type)i;
	qdq_text_fail(r, at, "'%.*s' is not an attribute's type", (int)qdq_min_size(word.size, 40), word.data);
}

static void set_single(qdq_attr *out, const qdq_text_item *item)
{
	switch (out->type) {
	case QDQ_ATTR_FLOAT:
		out->u.f = item->f;
		break;
	case QDQ_ATTR_INT:
		out->u.i = item->i;
		break;
	case QDQ_ATTR_STRING:
		out->u.s = item->s;
		break;
	case QDQ_ATTR_TENSOR:
		out->u.t = item->t;
		break;
	case QDQ_ATTR_GRAPH:
		out->u.g = item->g;
		break;
	default:
		out->u.tp = item->tp;
	}
}

void qdq_text_read_attr(qdq_text_reader *r, qdq_name name)
{
	qdq_attr a = {.name = name, .ref = qdq_intern(&r->m->names, "")};
	qdq_text_item item;

	if (*name == '\0')
		qdq_text_fail(r, r->at, "an attribute has no name");
	if (qdq_text_match(r, ':'))
		a.type = read_type(r);
	qdq_text_expect(r, '=');
	if (qdq_text_peek(r) == '[') {
		read_list(r, &a);
	} else if (qdq_text_match(r, '@')) {
		a.ref = qdq_text_name(r, "the name of a function's attribute");
		if (*a.ref == '\0')
			qdq_text_fail(r, r->at, "a function's attribute has no name");
	} else {
		a.type = read_value(r, a.type, name, &item);
		set_single(&a, &item);
	}
	*qdq_push(&r->scratch, &r->attrs) = a;
}

void qdq_text_read_attrs(qdq_text_reader *r)
{
	if (!qdq_text_match(r, '<'))
		return;
	do
		qdq_text_read_attr(r, qdq_text_name(r, "an attribute's name"));
	while (qdq_text_match(r, ','));
	qdq_text_expect(r, '>');
}

static void check_twice(qdq_text_reader *r, const qdq_attr *attrs, size_t count)
{
	qdq_map seen;

	qdq_map_init(&seen, &r->scratch);
	for (size_t i = 1; i < count && count <= 16; i++)
		for (size_t j = 0; j < i; j++)
			if (attrs[i].name == attrs[j].name)
				qdq_text_fail(r, r->at, "attribute '%s' is given twice", attrs[i].name);
	for (size_t i = 0; i < count && count > 16; i++) {
		if (qdq_map_get(&seen, attrs[i].name) != NULL)
			qdq_text_fail(r, r->at, "attribute '%s' is given twice", attrs[i].name);
		qdq_map_set(&seen, attrs[i].name, r);
	}
}

qdq_attr *qdq_text_take_attrs(qdq_text_reader *r, size_t mark, uint32_t *count)
{
	size_t n = r->attrs.count - mark;
	qdq_attr *taken;

	*count = 0;
	if (n == 0)
		return NULL;
	if (n > UINT32_MAX)
		qdq_text_fail(r, r->at, "too many attributes");
	check_twice(r, r->attrs.items + mark, n);
	taken = qdq_array(&r->m->arena, qdq_attr, n);
	memcpy(taken, r->attrs.items + mark, n * sizeof *taken);
	r->attrs.count = mark;
	*count = (uint32_t)n;
	return taken;
}

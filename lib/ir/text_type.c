/* SPDX-License-Identifier: Apache-2.0
 *
 * text_type.c -- types in the textual syntax: float[1,N], seq(float[]), map(int64, string), optional(…)
 */
#include "text.h"

bool qdq_text_at_type(qdq_text_reader *r)
{
	qdq_bytes word = qdq_text_peek_word(r);

	return word.size != 0 && qdq_text_is_type_word(word.data, word.size);
}

static qdq_dim read_dim(qdq_text_reader *r)
{
	int next = qdq_text_peek(r);
	qdq_text_literal number;
	int64_t value;

	if (qdq_text_match(r, '?'))
		return qdq_dim_unknown(r->m);
	if (next == '-' || (next >= '0' && next <= '9')) {
		qdq_text_number(r, &number);
		value = qdq_text_int(r, &number);
		return value >= 0 ? value : qdq_dim_unknown(r->m);
	}
	return qdq_dim_symbol(r->m, qdq_text_name(r, "a dimension"));
}

/* [] is a tensor of unknown rank, no brackets at all a scalar. */
static const qdq_shape *read_shape(qdq_text_reader *r)
{
	size_t mark = r->dims.count;
	const qdq_shape *shape;

	if (!qdq_text_match(r, '['))
		return qdq_shape_new(r->m, 0, NULL);
	if (qdq_text_match(r, ']'))
		return NULL;
	do {
		qdq_dim d = read_dim(r);

		if (r->dims.count - mark == INT32_MAX)
			qdq_text_fail(r, r->at, "too many dimensions");
		*qdq_push(&r->scratch, &r->dims) = d;
	} while (qdq_text_match(r, ','));
	qdq_text_expect(r, ']');
	shape = qdq_shape_new(r->m, (int32_t)(r->dims.count - mark), r->dims.items + mark);
	r->dims.count = mark;
	return shape;
}

static qdq_type read_element(qdq_text_reader *r)
{
	const char *at;
	qdq_bytes word;
	qdq_type type;

	(void)qdq_text_peek(r);
	at = r->at;
	if (!qdq_text_word(r, &word))
		qdq_text_fail_expected(r, "an element type");
	type = qdq_type_find(word.data, word.size);
	if (type == QDQ_TYPE_NONE)
		qdq_text_fail(r, at, "'%.*s' is not an element type", (int)qdq_min_size(word.size, 40), word.data);
	return type;
}

static const qdq_type_tree *read_inner(qdq_text_reader *r)
{
	qdq_text_type inner;

	qdq_text_read_type(r, &inner);
	return qdq_text_type_tree(r, &inner);
}

/* a.b.c: what stands before the last comma is the domain */
static void read_opaque(qdq_text_reader *r, qdq_type_tree *out)
{
	size_t size = 0;
	char *dotted;
	const char *begin;
	qdq_bytes word;

	out->domain = out->name = qdq_intern(&r->m->names, "");
	if (qdq_text_peek(r) == ')')
		return;
	begin = r->at;
	do
		if (!qdq_text_word(r, &word))
			qdq_text_fail_expected(r, "a name");
	while (qdq_text_match(r, '.'));
	dotted = qdq_alloc(&r->scratch, (size_t)(r->at - begin));
	r->at = begin;
	do {
		(void)qdq_text_word(r, &word);
		if (size != 0)
			dotted[size++] = '.';
		memcpy(dotted + size, word.data, word.size);
		size += word.size;
	} while (qdq_text_match(r, '.'));
	out->name = qdq_intern_n(&r->m->names, dotted, size);
	if (!qdq_text_match(r, ','))
		return;
	if (!qdq_text_word(r, &word))
		qdq_text_fail_expected(r, "a name");
	out->domain = out->name;
	out->name = qdq_intern_n(&r->m->names, word.data, word.size);
}

/* What is in the parentheses behind `word`. */
static void read_tree(qdq_text_reader *r, qdq_bytes word, qdq_type_tree *out)
{
	switch (*word.data) {
	case 'm':
		out->kind = QDQ_KIND_MAP;
		out->type = read_element(r);
		qdq_text_expect(r, ',');
		out->inner = read_inner(r);
		break;
	case 's':
		if (word.size == 3) {
			out->kind = QDQ_KIND_SEQUENCE;
			out->inner = read_inner(r);
			break;
		}
		out->kind = QDQ_KIND_SPARSE;
		out->type = read_element(r);
		out->shape = read_shape(r);
		break;
	default:
		if (word.size == 6) {
			out->kind = QDQ_KIND_OPAQUE;
			read_opaque(r, out);
			break;
		}
		out->kind = QDQ_KIND_OPTIONAL;
		out->inner = read_inner(r);
	}
}

void qdq_text_read_type(qdq_text_reader *r, qdq_text_type *out)
{
	qdq_type_tree *tree;
	const char *at;
	qdq_bytes word;

	*out = (qdq_text_type){.tree = NULL};
	(void)qdq_text_peek(r);
	at = r->at;
	if (!qdq_text_word(r, &word))
		qdq_text_fail_expected(r, "a type");
	out->type = qdq_type_find(word.data, word.size);
	if (out->type != QDQ_TYPE_NONE) {
		out->shape = read_shape(r);
		return;
	}
	if (!qdq_text_is_type_word(word.data, word.size) || word.size == strlen("float6e2m3"))
		qdq_text_fail(r, at, "'%.*s' is not a type", (int)qdq_min_size(word.size, 40), word.data);
	tree = qdq_new(&r->m->arena, qdq_type_tree);
	out->tree = tree;
	qdq_text_enter(r);
	qdq_text_expect(r, '(');
	read_tree(r, word, tree);
	qdq_text_expect(r, ')');
	qdq_text_leave(r);
}

const qdq_type_tree *qdq_text_type_tree(qdq_text_reader *r, const qdq_text_type *t)
{
	qdq_type_tree *tree;

	if (t->tree != NULL)
		return t->tree;
	tree = qdq_new(&r->m->arena, qdq_type_tree);
	*tree = (qdq_type_tree){.kind = QDQ_KIND_TENSOR, .type = t->type, .shape = t->shape};
	return tree;
}

void qdq_text_declare(qdq_value *v, const qdq_text_type *t)
{
	v->declared = true;
	if (t->tree != NULL) {
		v->not_tensor = true;
		v->tree = t->tree;
		return;
	}
	if (v->type == QDQ_TYPE_NONE)
		v->type = t->type;
	if (v->shape == NULL)
		v->shape = t->shape;
	v->said_type = v->type;
	v->said_shape = v->shape;
}

/* SPDX-License-Identifier: Apache-2.0
 *
 * text_print_data.c -- types, tensors and attributes as text
 */
#include "text.h"

/* ---- types ---- */

static void put_dim(qdq_text_writer *w, qdq_dim d)
{
	const qdq_dim_expr *e;
	const char *text;

	if (d >= 0) {
		qdq_text_put_int(w, d);
		return;
	}
	e = &w->m->dims.items[~d];
	if (e->op == QDQ_DIM_SYMBOL && *e->symbol != '\0') {
		qdq_text_put_name(w, e->symbol);
		return;
	}
	text = qdq_dim_print(w->m, &w->scratch, d);
	if (strchr(text, '?') != NULL)
		qdq_text_put(w, "?", 1);
	else
		qdq_text_put_name(w, text);
}

void qdq_text_put_type(qdq_text_writer *w, qdq_type type, const qdq_shape *shape)
{
	qdq_text_puts(w, qdq_type_get(type)->name);
	if (shape != NULL && shape->rank == 0)
		return;
	qdq_text_put(w, "[", 1);
	for (int32_t i = 0; shape != NULL && i < shape->rank; i++) {
		if (i != 0)
			qdq_text_put(w, ",", 1);
		put_dim(w, shape->dim[i]);
	}
	qdq_text_put(w, "]", 1);
}

void qdq_text_put_tree(qdq_text_writer *w, const qdq_type_tree *t)
{
	size_t closing = 0;

	for (; t != NULL && t->kind != QDQ_KIND_TENSOR; t = t->inner, closing++) {
		switch (t->kind) {
		case QDQ_KIND_SEQUENCE:
			qdq_text_puts(w, "seq(");
			break;
		case QDQ_KIND_OPTIONAL:
			qdq_text_puts(w, "optional(");
			break;
		case QDQ_KIND_MAP:
			qdq_text_puts(w, "map(");
			qdq_text_puts(w, qdq_type_get(t->type)->name);
			qdq_text_put(w, ", ", 2);
			break;
		case QDQ_KIND_SPARSE:
			qdq_text_puts(w, "sparse_tensor(");
			qdq_text_put_type(w, t->type, t->shape);
			break;
		default:
			qdq_text_puts(w, "opaque(");
			if (*t->domain != '\0') {
				qdq_text_puts(w, t->domain);
				qdq_text_put(w, ", ", 2);
			}
			qdq_text_puts(w, t->name);
		}
	}
	if (t != NULL)
		qdq_text_put_type(w, t->type, t->shape);
	for (; closing != 0; closing--)
		qdq_text_put(w, ")", 1);
}

/* Is every part of it known, so that it can be read back? */
static bool complete(const qdq_type_tree *t)
{
	const qdq_type_info *none = qdq_type_get(QDQ_TYPE_NONE);

	for (; t != NULL; t = t->inner) {
		bool has_type = t->kind == QDQ_KIND_TENSOR || t->kind == QDQ_KIND_SPARSE || t->kind == QDQ_KIND_MAP;
		bool has_inner =
		    t->kind == QDQ_KIND_SEQUENCE || t->kind == QDQ_KIND_OPTIONAL || t->kind == QDQ_KIND_MAP;

		if ((has_type && qdq_type_get(t->type) == none) || has_inner != (t->inner != NULL))
			return false;
		if (t->kind != QDQ_KIND_OPAQUE)
			continue;
		for (const char *p = *t->domain != '\0' ? t->domain : t->name; *p != '\0'; p++) {
			size_t size = strcspn(p, ".");

			if (!qdq_text_is_identifier(p, size))
				return false;
			p += size - (p[size] == '\0');
		}
		if (*t->domain != '\0' && !qdq_text_is_identifier(t->name, strlen(t->name)))
			return false;
	}
	return true;
}

bool qdq_text_typed(const qdq_value *v)
{
	if (v->not_tensor)
		return v->tree != NULL && complete(v->tree);
	return qdq_value_told_type(v) != QDQ_TYPE_NONE;
}

void qdq_text_put_value(qdq_text_writer *w, const qdq_value *v)
{
	if (!qdq_text_typed(v)) {
		if (v->not_tensor || qdq_value_told_shape(v) != NULL)
			w->left_out |= QDQ_TEXT_TYPE;
		if (qdq_text_is_type_word(v->name, strlen(v->name)))
			qdq_text_put_quoted(w, v->name, strlen(v->name));
		else
			qdq_text_put_name(w, v->name);
		return;
	}
	if (v->not_tensor)
		qdq_text_put_tree(w, v->tree);
	else
		qdq_text_put_type(w, qdq_value_told_type(v), qdq_value_told_shape(v));
	qdq_text_put(w, " ", 1);
	qdq_text_put_name(w, v->name);
}

/* ---- tensors ---- */

void qdq_text_put_tensor_type(qdq_text_writer *w, const qdq_tensor *t)
{
	qdq_text_puts(w, qdq_type_get(t->type)->name);
	for (int32_t i = 0; i < t->rank; i++) {
		qdq_text_put(w, i == 0 ? "[" : ",", 1);
		qdq_text_put_int(w, t->dims[i]);
	}
	if (t->rank != 0)
		qdq_text_put(w, "]", 1);
}

static uint64_t get_little(const unsigned char *p, unsigned width)
{
	uint64_t bits = 0;

	for (unsigned i = 0; i < width; i++)
		bits |= (uint64_t)p[i] << (8 * i);
	return bits;
}

/* One number: an element, half of a complex one, or a byte of packed ones. */
static size_t spell(qdq_type type, const unsigned char *p, unsigned width, char *out)
{
	const qdq_type_info *info = qdq_type_get(type);
	uint64_t bits;
	float f;
	double d;

	switch (type) {
	case QDQ_TYPE_FLOAT:
	case QDQ_TYPE_COMPLEX64:
		memcpy(&f, p, 4);
		return qdq_text_of_float(f, out);
	case QDQ_TYPE_DOUBLE:
	case QDQ_TYPE_COMPLEX128:
		memcpy(&d, p, 8);
		return qdq_text_of_double(d, out);
	default:
		bits = get_little(p, width);
		if (info->is_float || !info->is_signed || info->bits < 8 || !(bits >> (8 * width - 1)))
			return qdq_text_of_unsigned(bits, out);
		if (width < 8)
			bits |= ~UINT64_C(0) << (8 * width);
		*out = '-';
		return 1 + qdq_text_of_unsigned(0 - bits, out + 1);
	}
}

static void put_numbers(qdq_text_writer *w, const qdq_tensor *t)
{
	bool complex = t->type == QDQ_TYPE_COMPLEX64 || t->type == QDQ_TYPE_COMPLEX128;
	unsigned bits = qdq_type_get(t->type)->bits, width = bits < 8 ? 1 : bits / (complex ? 16u : 8u);
	unsigned rest = bits < 8 ? (unsigned)(t->count % (8 / bits)) * bits : 0; /* bits used of the last byte */
	uint64_t count = t->size / width;

	for (uint64_t i = 0; i < count && !w->overflow; i++) {
		const unsigned char *p = (const unsigned char *)t->data + i * width;
		unsigned char last = (unsigned char)(rest != 0 ? *p & ((1u << rest) - 1) : *p);
		char text[40] = ", ";
		size_t size = spell(t->type, rest != 0 && i + 1 == count ? &last : p, width, text + 2);

		qdq_text_put(w, text + (i == 0 ? 2 : 0), size + (i == 0 ? 0 : 2));
	}
}

void qdq_text_put_tensor_data(qdq_text_writer *w, const qdq_tensor *t)
{
	qdq_text_put(w, "{", 1);
	if (t->type == QDQ_TYPE_STRING) {
		for (uint64_t i = 0; i < t->count && !w->overflow; i++) {
			if (i != 0)
				qdq_text_put(w, ", ", 2);
			qdq_text_put_quoted(w, t->strings[i].data, t->strings[i].size);
		}
	} else {
		put_numbers(w, t);
	}
	qdq_text_put(w, "}", 1);
}

static void put_tensor(qdq_text_writer *w, const qdq_tensor *t)
{
	qdq_text_put_tensor_type(w, t);
	qdq_text_put(w, " ", 1);
	qdq_text_put_tensor_data(w, t);
}

/* ---- attributes ---- */

static void put_float(qdq_text_writer *w, float f)
{
	char text[40];

	qdq_text_put(w, text, qdq_text_of_float(f, text));
}

/* Element i of a list; of a single value the only one. */
static void put_item(qdq_text_writer *w, const qdq_attr *a, size_t i)
{
	switch (a->type) {
	case QDQ_ATTR_FLOAT:
		put_float(w, a->u.f);
		break;
	case QDQ_ATTR_FLOATS:
		put_float(w, a->u.floats[i]);
		break;
	case QDQ_ATTR_INT:
		qdq_text_put_int(w, a->u.i);
		break;
	case QDQ_ATTR_INTS:
		qdq_text_put_int(w, a->u.ints[i]);
		break;
	case QDQ_ATTR_STRING:
		qdq_text_put_quoted(w, a->u.s.data, a->u.s.size);
		break;
	case QDQ_ATTR_STRINGS:
		qdq_text_put_quoted(w, a->u.strings[i].data, a->u.strings[i].size);
		break;
	case QDQ_ATTR_TENSOR:
		put_tensor(w, a->u.t);
		break;
	case QDQ_ATTR_TENSORS:
		put_tensor(w, a->u.tensors[i]);
		break;
	case QDQ_ATTR_GRAPH:
		qdq_text_put_graph(w, a->u.g);
		break;
	case QDQ_ATTR_GRAPHS:
		qdq_text_put_graph(w, a->u.graphs[i]);
		break;
	case QDQ_ATTR_TYPE_PROTO:
		qdq_text_put_tree(w, a->u.tp);
		break;
	case QDQ_ATTR_TYPE_PROTOS:
		qdq_text_put_tree(w, a->u.tps[i]);
		break;
	default:
		break;
	}
}

bool qdq_text_can_put_attr(qdq_text_writer *w, const qdq_attr *a)
{
	if (*a->ref != '\0')
		return true;
	switch (a->type) {
	case QDQ_ATTR_NONE:
		w->left_out |= QDQ_TEXT_EMPTY_ATTR;
		return false;
	case QDQ_ATTR_SPARSE_TENSOR:
	case QDQ_ATTR_SPARSE_TENSORS:
		w->left_out |= QDQ_TEXT_SPARSE_ATTR;
		return false;
	case QDQ_ATTR_TYPE_PROTO:
		if (a->u.tp != NULL && complete(a->u.tp))
			return true;
		w->left_out |= QDQ_TEXT_TYPE;
		return false;
	case QDQ_ATTR_TYPE_PROTOS:
		for (size_t i = 0; i < a->count; i++) {
			if (a->u.tps[i] != NULL && complete(a->u.tps[i]))
				continue;
			w->left_out |= QDQ_TEXT_TYPE;
			return false;
		}
		return true;
	default:
		return true;
	}
}

static bool is_list(qdq_attr_type type)
{
	return (type >= QDQ_ATTR_FLOATS && type <= QDQ_ATTR_GRAPHS) || type == QDQ_ATTR_TYPE_PROTOS;
}

void qdq_text_put_attr(qdq_text_writer *w, const qdq_attr *a)
{
	qdq_text_put_name(w, a->name);
	if (a->type != QDQ_ATTR_NONE) {
		qdq_text_puts(w, ": ");
		qdq_text_puts(w, qdq_text_attr_types[a->type]);
	}
	qdq_text_puts(w, " = ");
	if (*a->ref != '\0') {
		qdq_text_put(w, "@", 1);
		qdq_text_put_name(w, a->ref);
		return;
	}
	if (!is_list(a->type)) {
		put_item(w, a, 0);
		return;
	}
	qdq_text_put(w, "[", 1);
	for (size_t i = 0; i < a->count && !w->overflow; i++) {
		if (i != 0)
			qdq_text_put(w, ", ", 2);
		put_item(w, a, i);
	}
	qdq_text_put(w, "]", 1);
}

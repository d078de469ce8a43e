/* SPDX-License-Identifier: Apache-2.0
 *
 * tables.c -- what depends on one 8-bit code alone is a table of 256 entries, computed by lib/eval
 *
 *      q -- DQ --+-- Sigmoid --.
 *                `-------------+-- Mul -- Q -- y         y = table[q], exactly what the nodes give
 *
 * A table stands for any graph of pointwise operators between codes, or from codes to floats. It becomes a step when
 * somebody wants its register; clamps and roundings alone are steps of their own, which need no table.
 */
#include "lower.h"

enum { CODES = 256 };

static bool is_clamp(const qdq_node *n)
{
	return qdq_is(n, QDQ_OP_Relu) || qdq_is(n, QDQ_OP_Clip) || qdq_is(n, QDQ_OP_Identity);
}

/* All codes of a type, from the least. */
static const qdq_tensor *all_codes(const lowering *l, qdq_type type)
{
	qdq_tensor *t = qdq_new(l->scratch, qdq_tensor);
	int64_t *dims = qdq_array(l->scratch, int64_t, 1);
	uint8_t *data = qdq_alloc(l->scratch, CODES);

	dims[0] = CODES;
	for (int i = 0; i < CODES; i++)
		data[i] = (uint8_t)(qdq_type_min(type) + i);
	*t = (qdq_tensor){.type = type, .rank = 1, .dims = dims, .count = CODES, .data = data, .size = CODES};
	return t;
}

/* An operand as a function of a code; NULL: it is none, or of another code than *root. */
static const qdq_tensor *operand_table(lowering *l, const qdq_value *v, const qdq_value **root);

static const qdq_tensor *scalar(const lowering *l, const qdq_tensor *t)
{
	qdq_tensor *copy = qdq_new(l->scratch, qdq_tensor);

	if (t->count != 1)
		return NULL;
	*copy = *t;
	copy->rank = 0;
	return copy;
}

/* What n gives for each code. */
static const qdq_tensor *node_table(lowering *l, const qdq_node *n, const qdq_value **root)
{
	const qdq_tensor **in = qdq_array(l->scratch, const qdq_tensor *, n->n_inputs), *out = NULL;

	if (n->n_outputs != 1)
		return NULL;
	for (uint32_t i = 0; i < n->n_inputs; i++) {
		const qdq_value *v = qdq_in(n, i);
		const qdq_tensor *t = v == NULL ? NULL : qdq_constant(l, v);

		if (v == NULL)
			continue;
		in[i] = t != NULL ? scalar(l, t) : operand_table(l, v, root);
		if (in[i] == NULL)
			return NULL;
	}
	if (*root == NULL || qdq_eval_node(l->m, l->scratch, n, in, &out, 0) != QDQ_EVAL_OK || out->count != CODES)
		return NULL;
	return out;
}

static const qdq_tensor *operand_table(lowering *l, const qdq_value *v, const qdq_value **root)
{
	const known *k = qdq_source(l, v);

	if (k != NULL && k->kind == KNOWN_TABLE) {
		if (*root != NULL && *root != k->root)
			return NULL;
		*root = k->root;
		return k->table;
	}
	if (k == NULL || v->def == NULL || v->def->graph != l->body)
		return NULL;
	/* the DQ of codes */
	if (qdq_is_dequantizer(v->def)) {
		const qdq_value *codes = qdq_in(v->def, 0);
		const known *c = qdq_source(l, codes);
		const qdq_tensor *in[3] = {NULL}, *out = NULL;

		if (c == NULL || c->kind == KNOWN_TABLE || !qdq_type_is_int8(codes->type) || v->def->n_inputs > 3 ||
		    (*root != NULL && *root != codes) ||
		    (c->kind == KNOWN_REGISTER && !qdq_type_is_int8(c->quant.type)))
			return NULL;
		in[0] = all_codes(l, codes->type);
		for (uint32_t i = 1; i < v->def->n_inputs; i++)
			if (qdq_in(v->def, i) != NULL) {
				const qdq_tensor *t = qdq_constant(l, qdq_in(v->def, i));

				in[i] = t == NULL ? NULL : scalar(l, t);
				if (in[i] == NULL)
					return NULL;
			}
		*root = codes;
		return qdq_eval_node(l->m, l->scratch, v->def, in, &out, 0) == QDQ_EVAL_OK ? out : NULL;
	}
	return NULL;
}

/* Do steps of their own compute it as well: a clamp, a rounding, an operator with a constant? */
static bool is_plain(const lowering *l, const qdq_node *n)
{
	uint32_t operands = 0;

	if (is_clamp(n) || n->op->cls == QDQ_CLASS_QUANT)
		return true;
	for (uint32_t i = 0; i < n->n_inputs; i++)
		operands += qdq_in(n, i) != NULL && qdq_constant(l, qdq_in(n, i)) == NULL;
	return n->op->family == QDQ_FAMILY_ELEMENTWISE && operands == 1;
}

static bool reads_table(const lowering *l, const qdq_node *n)
{
	for (uint32_t i = 0; i < n->n_inputs; i++) {
		const known *k = qdq_in(n, i) != NULL ? qdq_known_of(l, qdq_in(n, i)) : NULL;

		if (k != NULL && k->kind == KNOWN_TABLE)
			return true;
	}
	return false;
}

bool qdq_lower_table(lowering *l, const qdq_node *n)
{
	const qdq_value *root = NULL;
	const qdq_tensor *table;
	quant q = {0};
	known *k;

	if (l->body == NULL || (n->op->cls != QDQ_CLASS_POINTWISE && n->op->cls != QDQ_CLASS_QUANT && !is_clamp(n) &&
				!qdq_is(n, QDQ_OP_Max) && !qdq_is(n, QDQ_OP_Min)))
		return false;
	if (is_plain(l, n) && !reads_table(l, n))
		return false;
	if (qdq_is_quantizer(n) && (!qdq_quant_of(l, n, &q) || !qdq_type_is_int8(q.type)))
		return false;
	table = node_table(l, n, &root);
	if (table == NULL || table->type != (q.scale != NULL ? q.type : QDQ_TYPE_FLOAT))
		return false;
	k = qdq_push(l->scratch, &l->known);
	*k = (known){.v = n->outputs[0], .kind = KNOWN_TABLE, .quant = q, .root = root, .table = table};
	return true;
}

bool qdq_load_table(lowering *l, known *k, uint32_t *out)
{
	known root = *qdq_source(l, k->root);
	float *entries = qdq_array(l->p->arena, float, CODES);
	uint32_t from = root.reg;
	double scale = 1, value = 0;
	int64_t code, zero = qdq_quant_zero(&k->quant, 0);
	qdq_step *s;

	if (root.kind == KNOWN_REGISTER) {
		scale = qdq_quant_scale(&root.quant, 0);
	} else {
		root.quant = (quant){.type = root.outer->type}; /* as they are */
		if (!qdq_load_source(l, &root, &from))
			return false;
	}
	for (uint64_t i = 0; i < CODES; i++) {
		if (qdq_tensor_int(k->table, i, &code))
			value = (double)(code - zero);
		else
			(void)qdq_tensor_real(k->table, i, &value);
		entries[i] = (float)value;
	}
	s = qdq_add_step(l, QDQ_STEP_TABLE, from);
	s->table = entries;
	s->first = (float)(qdq_type_min(root.quant.type) - qdq_quant_zero(&root.quant, 0));
	l->scales_in.items[l->scales_in.count - 1] = scale;
	if (k->quant.scale != NULL) {
		s->value = k->v;
		s->low = (float)(qdq_type_min(k->quant.type) - zero);
		s->high = (float)(qdq_type_max(k->quant.type) - zero);
		l->scales.items[l->scales.count - 1] = qdq_quant_scale(&k->quant, 0);
	}
	*out = s->to;
	return true;
}

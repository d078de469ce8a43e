/* SPDX-License-Identifier: Apache-2.0
 *
 * baseline.c -- what the user's file holds, before any pass: nothing that a pass does can take an operator out of it
 */
#include "internal.h"

#define DEPTH 100 /* of nested graphs */

/* ---- multiply-accumulates ---- */

/* How an operator's multiply-accumulates follow from its shapes. */
enum macs {
	MACS_NONE,
	MACS_CONV,	/* output elements times the weights of one output channel */
	MACS_TRANSPOSE, /* input elements times the weights of one input channel */
	MACS_MATMUL,	/* output elements times the last dimension of the input */
	MACS_GEMM,	/* the same, where transA may make it the first */
	MACS_NBITS	/* output elements times the attribute K */
};

static const struct {
	unsigned char how, weight; /* index of the weight among the inputs */
} macs_of[QDQ_OP_COUNT] = {
    [QDQ_OP_Conv] = {MACS_CONV, 1},
    [QDQ_OP_ConvTranspose] = {MACS_TRANSPOSE, 1},
    [QDQ_OP_ConvInteger] = {MACS_CONV, 1},
    [QDQ_OP_QLinearConv] = {MACS_CONV, 3},
    [QDQ_OP_ms_QLinearConv] = {MACS_CONV, 3},
    [QDQ_OP_ms_FusedConv] = {MACS_CONV, 1},
    [QDQ_OP_DeformConv] = {MACS_CONV, 1},
    [QDQ_OP_MatMul] = {MACS_MATMUL, 1},
    [QDQ_OP_MatMulInteger] = {MACS_MATMUL, 1},
    [QDQ_OP_QLinearMatMul] = {MACS_MATMUL, 3},
    [QDQ_OP_ms_MatMulIntegerToFloat] = {MACS_MATMUL, 1},
    [QDQ_OP_ms_DynamicQuantizeMatMul] = {MACS_MATMUL, 1},
    [QDQ_OP_ms_FusedMatMul] = {MACS_MATMUL, 1},
    [QDQ_OP_Gemm] = {MACS_GEMM, 1},
    [QDQ_OP_ms_FusedGemm] = {MACS_GEMM, 1},
    [QDQ_OP_ms_QGemm] = {MACS_GEMM, 3},
    [QDQ_OP_ms_MatMulNBits] = {MACS_NBITS, 1},
};

static uint64_t times(uint64_t a, uint64_t b)
{
	return b != 0 && a > UINT64_MAX / 4 / b ? UINT64_MAX / 4 : a * b;
}

static uint64_t elements(const qdq_value *v, bool *symbolic)
{
	bool unknown = false;
	int64_t count;

	if (v == NULL)
		return 0;
	if (v->shape == NULL) {
		*symbolic = true;
		return 1;
	}
	count = qdq_shape_count(v->shape, &unknown);
	*symbolic = *symbolic || unknown;
	return count < 0 ? 1 : (uint64_t)count;
}

static uint64_t known(qdq_dim d, bool *symbolic)
{
	if (d >= 0)
		return (uint64_t)d;
	*symbolic = true;
	return 1;
}

/* Elements of one index of the first dimension. */
static uint64_t behind_first(const qdq_value *v, bool *symbolic)
{
	uint64_t product = 1;

	if (v == NULL || v->shape == NULL) {
		*symbolic = true;
		return 1;
	}
	for (int32_t i = 1; i < v->shape->rank; i++)
		product = times(product, known(v->shape->dim[i], symbolic));
	return product;
}

static uint64_t summed(const qdq_value *v, bool first, bool *symbolic)
{
	if (v == NULL || v->shape == NULL || v->shape->rank == 0) {
		*symbolic = true;
		return 1;
	}
	return known(v->shape->dim[first ? 0 : v->shape->rank - 1], symbolic);
}

uint64_t qdq_node_macs(const qdq_node *n, bool *symbolic)
{
	const qdq_value *x = qdq_in(n, 0), *y = qdq_out(n, 0);
	const qdq_value *w = qdq_in(n, macs_of[n->op->id].weight);

	switch (macs_of[n->op->id].how) {
	case MACS_CONV:
		return times(elements(y, symbolic), behind_first(w, symbolic));
	case MACS_TRANSPOSE:
		return times(elements(x, symbolic), behind_first(w, symbolic));
	case MACS_MATMUL:
		return times(elements(y, symbolic), summed(x, false, symbolic));
	case MACS_GEMM:
		return times(elements(y, symbolic), summed(x, qdq_attr_int(n, "transA", 0) != 0, symbolic));
	case MACS_NBITS: {
		int64_t k = qdq_attr_int(n, "K", 1);

		return times(elements(y, symbolic), k > 0 ? (uint64_t)k : 1);
	}
	default:
		return 0;
	}
}

/* ---- bytes, types ---- */

static uint64_t value_bytes(const qdq_value *v, bool *symbolic)
{
	uint64_t size = 0;

	if (v == NULL || v->not_tensor || v->type == QDQ_TYPE_NONE || qdq_value_constant(v) != NULL)
		return 0;
	return qdq_type_size(v->type, elements(v, symbolic), &size) ? size : UINT64_MAX / 4;
}

/* A weight behind its DQ is a weight. */
static bool is_weight(const qdq_value *v)
{
	const qdq_value *from = v;

	for (int i = 0; i < 2 && from != NULL && from->def != NULL; i++)
		if (qdq_is_dequantizer(from->def) || qdq_is_quantizer(from->def))
			from = qdq_in(from->def, 0);
	return from != v && from != NULL && qdq_value_constant(from) != NULL;
}

uint64_t qdq_node_bytes(const qdq_node *n, bool *symbolic)
{
	uint64_t sum = 0;

	for (uint32_t i = 0; i < n->n_inputs; i++)
		if (qdq_in(n, i) != NULL && !is_weight(qdq_in(n, i)))
			sum += value_bytes(qdq_in(n, i), symbolic);
	for (uint32_t i = 0; i < n->n_outputs; i++)
		sum += value_bytes(n->outputs[i], symbolic);
	return sum;
}

const char **qdq_type_names(qdq_arena *a, const qdq_node *n, bool outputs, size_t *count)
{
	uint32_t all = outputs ? n->n_outputs : n->n_inputs;
	const char **names = qdq_array(a, const char *, all);

	*count = 0;
	for (uint32_t i = 0; i < all; i++) {
		const qdq_value *v = outputs ? n->outputs[i] : qdq_in(n, i);

		if (v != NULL)
			names[(*count)++] = v->type == QDQ_TYPE_NONE ? "?" : qdq_type_get(v->type)->name;
	}
	return names;
}

/* ---- the walk ---- */

static uint32_t put_types(uint8_t *out, const qdq_node *n, bool outputs)
{
	uint32_t count = 0;

	for (uint32_t i = 0; i < (outputs ? n->n_outputs : n->n_inputs); i++) {
		const qdq_value *v = outputs ? n->outputs[i] : qdq_in(n, i);

		if (v != NULL)
			out[count++] = (uint8_t)v->type;
	}
	return count;
}

static void take(qdq_model *m, struct qdq_baseline *b, const qdq_node *n)
{
	uint8_t *types;
	qdq_base_op *op;

	if (n->op->family == QDQ_FAMILY_NONE || n->origin == NULL)
		return;
	types = qdq_alloc(&m->arena, (size_t)n->n_inputs + n->n_outputs);
	op = qdq_push(&m->arena, &b->ops);
	*op = (qdq_base_op){.origin = n->origin, .family = n->op->family, .types = types};
	op->macs = qdq_node_macs(n, &b->symbolic);
	op->bytes = qdq_node_bytes(n, &b->symbolic);
	op->n_inputs = put_types(types, n, false);
	op->n_outputs = put_types(types + op->n_inputs, n, true);
}

static void walk(qdq_model *m, struct qdq_baseline *b, const qdq_graph *g, int depth)
{
	for (const qdq_node *n = g->first; n != NULL && depth < DEPTH; n = qdq_after(n)) {
		b->q += qdq_is_quantizer(n);
		b->dq += qdq_is_dequantizer(n);
		take(m, b, n);
		if (n->region != NULL)
			walk(m, b, n->region->body, depth + 1);
		for (uint32_t i = 0; i < n->n_attrs; i++) {
			const qdq_attr *a = &n->attrs[i];

			qdq_graph *const *graphs;
			size_t count = qdq_attr_graphs(a, &graphs);

			for (size_t j = 0; j < count; j++)
				walk(m, b, graphs[j], depth + 1);
		}
	}
}

void qdq_baseline_take(qdq_model *m)
{
	struct qdq_baseline *b = qdq_new(&m->arena, struct qdq_baseline);

	m->n_file_names = m->names.count;
	b->nodes = m->graph->n_nodes;
	b->ops.items = qdq_array(&m->arena, qdq_base_op, m->n_compute); /* so that the list need not grow */
	b->ops.capacity = m->n_compute;
	walk(m, b, m->graph, 0);
	for (size_t i = 0; i < m->functions.count; i++) {
		const qdq_graph *body = m->functions.items[i]->body;

		if (body != NULL && body->parent == NULL) /* a region's body was walked with its node */
			walk(m, b, body, 1);
	}
	m->baseline = b;
}

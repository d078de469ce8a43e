/* SPDX-License-Identifier: Apache-2.0
 *
 * eval.c -- dispatch of one node, and what every kernel needs: outputs, temporaries, integer operands
 */
#include "kernel.h"

static qdq_eval_fn *const kernels[QDQ_OP_COUNT] = {
#define OP(id, name, domain, versions, cls, family, axis, s8, u8, infer, eval, ...) [QDQ_OP_##id] = qdq_eval_##eval,
#include "../ir/ops.def"
#undef OP
};

/* How exact an operator is where its definition alone does not say EXACT. */
enum { NEVER, ALWAYS, INTEGERS, TWO, FLOAT32 };
static const uint8_t exact[QDQ_OP_COUNT] = {
    [QDQ_OP_Abs] = ALWAYS,
    [QDQ_OP_Add] = ALWAYS,
    [QDQ_OP_And] = ALWAYS,
    [QDQ_OP_ArgMax] = ALWAYS,
    [QDQ_OP_ArgMin] = ALWAYS,
    [QDQ_OP_BitShift] = ALWAYS,
    [QDQ_OP_BitwiseAnd] = ALWAYS,
    [QDQ_OP_BitwiseNot] = ALWAYS,
    [QDQ_OP_BitwiseOr] = ALWAYS,
    [QDQ_OP_BitwiseXor] = ALWAYS,
    [QDQ_OP_Cast] = ALWAYS,
    [QDQ_OP_CastLike] = ALWAYS,
    [QDQ_OP_Ceil] = ALWAYS,
    [QDQ_OP_Clip] = ALWAYS,
    [QDQ_OP_Compress] = ALWAYS,
    [QDQ_OP_Concat] = ALWAYS,
    [QDQ_OP_Constant] = ALWAYS,
    [QDQ_OP_ConstantOfShape] = ALWAYS,
    [QDQ_OP_ConvInteger] = ALWAYS,
    [QDQ_OP_CumSum] = INTEGERS,
    [QDQ_OP_DepthToSpace] = ALWAYS,
    [QDQ_OP_DequantizeLinear] = FLOAT32,
    [QDQ_OP_Div] = ALWAYS,
    [QDQ_OP_Dropout] = ALWAYS,
    [QDQ_OP_Equal] = ALWAYS,
    [QDQ_OP_Expand] = ALWAYS,
    [QDQ_OP_EyeLike] = ALWAYS,
    [QDQ_OP_Flatten] = ALWAYS,
    [QDQ_OP_Floor] = ALWAYS,
    [QDQ_OP_Gather] = ALWAYS,
    [QDQ_OP_GatherElements] = ALWAYS,
    [QDQ_OP_GatherND] = ALWAYS,
    [QDQ_OP_GlobalMaxPool] = ALWAYS,
    [QDQ_OP_Greater] = ALWAYS,
    [QDQ_OP_GreaterOrEqual] = ALWAYS,
    [QDQ_OP_Identity] = ALWAYS,
    [QDQ_OP_IsInf] = ALWAYS,
    [QDQ_OP_IsNaN] = ALWAYS,
    [QDQ_OP_LeakyRelu] = ALWAYS,
    [QDQ_OP_Less] = ALWAYS,
    [QDQ_OP_LessOrEqual] = ALWAYS,
    [QDQ_OP_MatMulInteger] = ALWAYS,
    [QDQ_OP_Max] = ALWAYS,
    [QDQ_OP_MaxPool] = ALWAYS,
    [QDQ_OP_Min] = ALWAYS,
    [QDQ_OP_Mod] = ALWAYS,
    [QDQ_OP_Mul] = ALWAYS,
    [QDQ_OP_Neg] = ALWAYS,
    [QDQ_OP_NonZero] = ALWAYS,
    [QDQ_OP_Not] = ALWAYS,
    [QDQ_OP_OneHot] = ALWAYS,
    [QDQ_OP_Or] = ALWAYS,
    [QDQ_OP_PRelu] = ALWAYS,
    [QDQ_OP_Pad] = ALWAYS,
    [QDQ_OP_QuantizeLinear] = FLOAT32,
    [QDQ_OP_Range] = INTEGERS,
    [QDQ_OP_Reciprocal] = ALWAYS,
    [QDQ_OP_ReduceL1] = INTEGERS,
    [QDQ_OP_ReduceMax] = ALWAYS,
    [QDQ_OP_ReduceMin] = ALWAYS,
    [QDQ_OP_ReduceProd] = INTEGERS,
    [QDQ_OP_ReduceSum] = INTEGERS,
    [QDQ_OP_ReduceSumSquare] = INTEGERS,
    [QDQ_OP_Relu] = ALWAYS,
    [QDQ_OP_Reshape] = ALWAYS,
    [QDQ_OP_Round] = ALWAYS,
    [QDQ_OP_Scatter] = ALWAYS,
    [QDQ_OP_ScatterElements] = INTEGERS,
    [QDQ_OP_ScatterND] = INTEGERS,
    [QDQ_OP_Shape] = ALWAYS,
    [QDQ_OP_Sign] = ALWAYS,
    [QDQ_OP_Size] = ALWAYS,
    [QDQ_OP_Slice] = ALWAYS,
    [QDQ_OP_SpaceToDepth] = ALWAYS,
    [QDQ_OP_Split] = ALWAYS,
    [QDQ_OP_Sqrt] = ALWAYS,
    [QDQ_OP_Squeeze] = ALWAYS,
    [QDQ_OP_Sub] = ALWAYS,
    [QDQ_OP_Sum] = TWO,
    [QDQ_OP_ThresholdedRelu] = ALWAYS,
    [QDQ_OP_Tile] = ALWAYS,
    [QDQ_OP_TopK] = ALWAYS,
    [QDQ_OP_ReverseSequence] = ALWAYS,
    [QDQ_OP_CenterCropPad] = ALWAYS,
    [QDQ_OP_Transpose] = ALWAYS,
    [QDQ_OP_Trilu] = ALWAYS,
    [QDQ_OP_Unsqueeze] = ALWAYS,
    [QDQ_OP_Where] = ALWAYS,
    [QDQ_OP_Xor] = ALWAYS,
    [QDQ_OP_ms_DequantizeLinear] = FLOAT32,
    [QDQ_OP_ms_QuantizeLinear] = FLOAT32,
    [QDQ_OP_brevitas_Quant] = ALWAYS,
    [QDQ_OP_qonnx_Quant] = ALWAYS,
};

static bool is_float32(const qdq_node *n, uint32_t i)
{
	return qdq_in(n, i) != NULL && qdq_in(n, i)->type == QDQ_TYPE_FLOAT;
}

qdq_exactness qdq_eval_exactness(const qdq_node *n)
{
	const qdq_value *data = qdq_in(n, 0);
	bool integers = data != NULL && data->type != QDQ_TYPE_NONE && !qdq_type_get(data->type)->is_float;
	bool yes, quantizes;

	switch (exact[n->op->id]) {
	case ALWAYS:
		yes = true;
		break;
	case INTEGERS:
		yes = integers;
		break;
	case TWO: /* of three floats the order of the additions matters */
		yes = integers || n->n_inputs <= 2;
		break;
	case FLOAT32: /* of Q both operands, of DQ the scale; and no other type asked for by an attribute */
		quantizes = n->op->id == QDQ_OP_QuantizeLinear || n->op->id == QDQ_OP_ms_QuantizeLinear;
		yes = is_float32(n, 1) && (!quantizes || is_float32(n, 0)) &&
		      qdq_attr_int(n, quantizes ? "precision" : "output_dtype", 0) == 0;
		break;
	default:
		yes = false;
		break;
	}
	return yes ? QDQ_EXACT : QDQ_STEP1;
}

bool qdq_eval_known(const qdq_node *n)
{
	return kernels[n->op->id] != NULL;
}

/* What the kernels take for granted of a tensor. */
static bool tensor_is_sound(const qdq_tensor *t)
{
	uint64_t size, count = 1;

	if (t->rank < 0 || t->rank > QDQ_EVAL_RANK || qdq_type_get(t->type) == qdq_type_get(QDQ_TYPE_NONE))
		return false;
	for (int i = 0; i < t->rank; i++) {
		if (t->dims[i] < 0)
			return false;
		count *= (uint64_t)t->dims[i];
	}
	if (count != t->count || !qdq_type_size(t->type, t->count, &size))
		return false;
	return t->count == 0 || (t->type == QDQ_TYPE_STRING ? t->strings != NULL : t->data != NULL && t->size >= size);
}

static bool is_sound(const qdq_node *n, const qdq_tensor *const *inputs)
{
	for (uint32_t i = 0; i < n->n_inputs; i++)
		if (inputs[i] != NULL && !tensor_is_sound(inputs[i]))
			return false;
	for (uint32_t i = 0; i < n->n_attrs; i++)
		if (n->attrs[i].type == QDQ_ATTR_TENSOR &&
		    (n->attrs[i].u.t == NULL || !tensor_is_sound(n->attrs[i].u.t)))
			return false;
	return true;
}

static void free_scratch(void *scratch)
{
	qdq_arena_free(scratch);
}

qdq_eval_result qdq_eval_node_in(qdq_model *m, int opset, qdq_arena *arena, const qdq_node *n,
				 const qdq_tensor *const *inputs, const qdq_tensor **outputs, uint64_t max_bytes)
{
	qdq_eval_fn *kernel = kernels[n->op->id];
	qdq_eval e = {.m = m,
		      .arena = arena,
		      .n = n,
		      .op = n->op->id,
		      .version = qdq_op_version(n->op, n->op->domain[0] == '\0' ? opset : 1),
		      .n_in = n->n_inputs,
		      .in = inputs,
		      .n_out = n->n_outputs,
		      .out = outputs,
		      .max_bytes = max_bytes};

	for (uint32_t i = 0; i < n->n_outputs; i++)
		outputs[i] = NULL;
	if (kernel == NULL || e.version == 0 || !is_sound(n, inputs))
		return QDQ_EVAL_UNSUPPORTED;
	bool done = kernel(&e);
	if (done)
		qdq_cells_pack(&e);
	if (e.scratch != NULL)
		qdq_arena_free(e.scratch);
	for (uint32_t i = 0; i < n->n_outputs; i++) {
		if (!done || n->outputs[i] == NULL)
			outputs[i] = NULL;
		else if (outputs[i] == NULL)
			done = false; /* an output that this kernel does not compute */
	}
	return done ? QDQ_EVAL_OK : e.too_big ? QDQ_EVAL_TOO_BIG : QDQ_EVAL_UNSUPPORTED;
}

qdq_eval_result qdq_eval_node(qdq_model *m, qdq_arena *arena, const qdq_node *n, const qdq_tensor *const *inputs,
			      const qdq_tensor **outputs, uint64_t max_bytes)
{
	return qdq_eval_node_in(m, m->opset, arena, n, inputs, outputs, max_bytes);
}

/* ---- operands ---- */

const qdq_tensor *qdq_eval_in(const qdq_eval *e, uint32_t i)
{
	return i < e->n_in ? e->in[i] : NULL;
}

void *qdq_eval_temp(qdq_eval *e, uint64_t count, size_t size)
{
	const size_t align = 16, room = sizeof e->small - e->small_used;

	if (count <= room / size) { /* most operands of shape arithmetic */
		char *p = e->small + e->small_used;
		e->small_used += (size_t)(count * size + align - 1) / align * align;
		return p;
	}
	if (e->scratch == NULL) { /* deferred too, for when something throws before the node is done */
		qdq_arena *scratch = qdq_new(e->arena, qdq_arena);
		qdq_arena_init(scratch, e->m->ctx);
		qdq_arena_defer(e->arena, free_scratch, scratch);
		e->scratch = scratch;
	}
	return qdq_alloc_array(e->scratch, count, size);
}

bool qdq_eval_ints(qdq_eval *e, const qdq_tensor *t, const int64_t **out, int64_t *count)
{
	if (t == NULL || qdq_wide_of(t->type) != QDQ_WIDE_INT)
		return false;
	int64_t *ints = qdq_eval_temp(e, t->count, sizeof *ints);
	qdq_chunk chunk;
	for (uint64_t i = 0; i < t->count; i += QDQ_CHUNK) {
		size_t n = qdq_min_size(QDQ_CHUNK, (size_t)(t->count - i));
		qdq_load(&chunk, t->type, t->data, (int64_t)i, 1, n);
		memcpy(ints + i, chunk.i, n * sizeof *ints);
	}
	*out = ints;
	*count = (int64_t)t->count;
	return true;
}

bool qdq_eval_scalar(const qdq_tensor *t, double *out)
{
	qdq_chunk chunk;

	if (t == NULL || t->count != 1 || qdq_wide_of(t->type) == QDQ_WIDE_NONE)
		return false;
	qdq_load(&chunk, t->type, t->data, 0, 1, 1);
	qdq_convert(&chunk, t->type, QDQ_TYPE_DOUBLE, 1);
	*out = chunk.d[0];
	return true;
}

bool qdq_eval_axis(int64_t axis, int rank, int *out)
{
	if (axis < -rank || axis >= rank)
		return false;
	*out = (int)(axis < 0 ? axis + rank : axis);
	return true;
}

bool qdq_eval_axes(qdq_eval *e, uint32_t index, int rank, bool *which, int *count)
{
	size_t given = 0;
	const int64_t *axes = qdq_attr_ints(e->n, "axes", &given);
	int64_t n_axes = (int64_t)given;

	memset(which, 0, (size_t)rank * sizeof *which);
	*count = 0;
	if (given == 0 && qdq_eval_in(e, index) != NULL && !qdq_eval_ints(e, e->in[index], &axes, &n_axes))
		return false;
	for (int64_t i = 0; i < n_axes; i++) {
		int axis;
		if (!qdq_eval_axis(axes[i], rank, &axis) || which[axis])
			return false;
		which[axis] = true;
		++*count;
	}
	return true;
}

const double *qdq_eval_doubles(qdq_eval *e, const qdq_tensor *t)
{
	if (t == NULL || qdq_wide_of(t->type) == QDQ_WIDE_NONE)
		return NULL;
	double *values = qdq_eval_temp(e, t->count, sizeof *values);
	qdq_chunk chunk;
	for (uint64_t i = 0; i < t->count; i += QDQ_CHUNK) {
		size_t n = qdq_min_size(QDQ_CHUNK, (size_t)(t->count - i));
		qdq_load(&chunk, t->type, t->data, (int64_t)i, 1, n);
		qdq_convert(&chunk, t->type, QDQ_TYPE_DOUBLE, n);
		memcpy(values + i, chunk.d, n * sizeof *values);
	}
	return values;
}

/* ---- results ---- */

static qdq_tensor *new_tensor(qdq_eval *e, uint32_t i, qdq_type type, int rank, const int64_t *dims)
{
	int64_t count = 1;

	if (rank < 0 || rank > QDQ_EVAL_RANK)
		return NULL;
	for (int d = 0; d < rank; d++)
		if (dims[d] < 0 || (dims[d] != 0 && qdq_mul_overflow(count, dims[d], &count)))
			return NULL;
	for (int d = 0; d < rank; d++)
		if (dims[d] == 0)
			count = 0;
	qdq_tensor *t = qdq_new(e->arena, qdq_tensor);
	int64_t *copy = qdq_array(e->arena, int64_t, (size_t)rank);
	if (rank > 0)
		memcpy(copy, dims, (size_t)rank * sizeof *copy);
	t->type = type;
	t->rank = rank;
	t->dims = copy;
	t->count = (uint64_t)count;
	if (i < e->n_out)
		e->out[i] = t;
	return t;
}

void *qdq_eval_output(qdq_eval *e, uint32_t i, qdq_type type, int rank, const int64_t *dims)
{
	qdq_tensor *t = new_tensor(e, i, type, rank, dims);
	uint64_t bytes;

	if (t == NULL || qdq_type_get(type) == qdq_type_get(QDQ_TYPE_NONE) || !qdq_type_size(type, t->count, &t->size))
		return NULL;
	bytes = t->size;
	if (type == QDQ_TYPE_STRING) {
		if (t->count > UINT64_MAX / sizeof *t->strings)
			return NULL;
		bytes = t->count * sizeof *t->strings;
	}
	if (e->max_bytes != 0 && bytes > e->max_bytes) {
		e->too_big = true;
		return NULL;
	}
	if (type == QDQ_TYPE_STRING) {
		qdq_bytes *strings = qdq_array(e->arena, qdq_bytes, (size_t)t->count);
		t->strings = strings;
		return strings;
	}
	void *data = qdq_alloc(e->arena, (size_t)t->size);
	t->data = data;
	return data;
}

bool qdq_eval_share(qdq_eval *e, uint32_t i, const qdq_tensor *t, int rank, const int64_t *dims)
{
	uint64_t bytes = t->type == QDQ_TYPE_STRING ? t->count * sizeof *t->strings : t->size;

	if (e->max_bytes != 0 && bytes > e->max_bytes) {
		e->too_big = true;
		return false;
	}
	qdq_tensor *shared = new_tensor(e, i, t->type, rank, dims);
	if (shared == NULL || shared->count != t->count)
		return false;
	shared->data = t->data;
	shared->size = t->size;
	shared->strings = t->strings;
	shared->source = t->source;
	shared->external = t->external;
	return true;
}

double *qdq_eval_new_doubles(qdq_eval *e, qdq_type type, int rank, const int64_t *dims)
{
	int64_t count = 1;
	uint64_t bytes;

	for (int i = 0; i < rank; i++)
		if (dims[i] < 0 || qdq_mul_overflow(count, dims[i], &count))
			return NULL;
	if (!qdq_type_size(type, (uint64_t)count, &bytes))
		return NULL;
	if (e->max_bytes != 0 && bytes > e->max_bytes) {
		e->too_big = true;
		return NULL;
	}
	return qdq_eval_temp(e, (uint64_t)count, sizeof(double));
}

bool qdq_eval_put_doubles(qdq_eval *e, uint32_t i, qdq_type type, int rank, const int64_t *dims, const double *values)
{
	void *data = qdq_eval_output(e, i, type, rank, dims);
	qdq_chunk chunk;

	if (data == NULL)
		return false;
	int64_t count = qdq_product(dims, 0, rank);
	for (int64_t at = 0; at < count; at += QDQ_CHUNK) {
		size_t n = qdq_min_size(QDQ_CHUNK, (size_t)(count - at));
		memcpy(chunk.d, values + at, n * sizeof *values);
		qdq_convert(&chunk, QDQ_TYPE_DOUBLE, type, n);
		qdq_store(&chunk, type, data, at, 1, n);
	}
	return true;
}

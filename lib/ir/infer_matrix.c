/* SPDX-License-Identifier: Apache-2.0
 *
 * infer_matrix.c -- inference of matrix products, Einsum, attention and recurrent networks
 */
#include "infer.h"

/* ---- MatMul and kin ---- */

/* Shapes as numpy's matmul. */
static void matmul(const qdq_dims *a, const qdq_dims *b, qdq_dims *out)
{
	qdq_dims x = *a, y = *b;

	out->rank = -1;
	if (x.rank < 1 || y.rank < 1)
		return;
	x.rank = x.rank > 2 ? x.rank - 2 : 0;
	y.rank = y.rank > 2 ? y.rank - 2 : 0;
	out->rank = 0;
	qdq_infer_broadcast_into(out, &x);
	qdq_infer_broadcast_into(out, &y);
	if (a->rank > 1)
		out->d[out->rank++] = a->d[a->rank - 2];
	if (b->rank > 1)
		out->d[out->rank++] = b->d[b->rank - 1];
}

static void put_matmul(qdq_infer *c, qdq_node *n, uint32_t a, uint32_t b, qdq_type type)
{
	qdq_dims x, y, out;

	qdq_infer_dims(n, a, &x);
	qdq_infer_dims(n, b, &y);
	matmul(&x, &y, &out);
	qdq_infer_put(c, n, 0, type, &out);
}

void qdq_infer_matmul(qdq_infer *c, qdq_node *n)
{
	qdq_type type = qdq_infer_type(n, 0);

	if (n->op->id == QDQ_OP_MatMulInteger)
		put_matmul(c, n, 0, 1, QDQ_TYPE_INT32);
	else if (n->op->id == QDQ_OP_QLinearMatMul)
		put_matmul(c, n, 0, 3, qdq_infer_type(n, 7) != QDQ_TYPE_NONE ? qdq_infer_type(n, 7) : type);
	else
		put_matmul(c, n, 0, 1, type != QDQ_TYPE_NONE ? type : qdq_infer_type(n, 1));
}

void qdq_infer_matmul_integer_to_float(qdq_infer *c, qdq_node *n)
{
	put_matmul(c, n, 0, 1, qdq_infer_type(n, 2));
}

void qdq_infer_dynamic_quantize_matmul(qdq_infer *c, qdq_node *n)
{
	put_matmul(c, n, 0, 1, qdq_infer_type(n, 0));
}

static void transpose_last(qdq_dims *d)
{
	qdq_dim last;

	if (d->rank < 2)
		return;
	last = d->d[d->rank - 1];
	d->d[d->rank - 1] = d->d[d->rank - 2];
	d->d[d->rank - 2] = last;
}

void qdq_infer_fused_matmul(qdq_infer *c, qdq_node *n)
{
	qdq_dims x, y, out = {.rank = -1};

	qdq_infer_dims(n, 0, &x);
	qdq_infer_dims(n, 1, &y);
	if (qdq_attr_int(n, "transBatchA", 0) == 0 && qdq_attr_int(n, "transBatchB", 0) == 0) {
		if (qdq_attr_int(n, "transA", 0) != 0)
			transpose_last(&x);
		if (qdq_attr_int(n, "transB", 0) != 0)
			transpose_last(&y);
		matmul(&x, &y, &out);
	}
	qdq_infer_put(c, n, 0, qdq_infer_type(n, 0), &out);
}

/* A's last dimension becomes N, an attribute. */
void qdq_infer_matmul_n_bits(qdq_infer *c, qdq_node *n)
{
	int64_t columns = qdq_attr_int(n, "N", -1);
	qdq_dims dims;

	if (qdq_infer_dims(n, 0, &dims) && dims.rank > 0)
		dims.d[dims.rank - 1] = columns >= 0 ? columns : QDQ_DIM_ANY;
	qdq_infer_put(c, n, 0, qdq_infer_type(n, 0), &dims);
}

static void put_gemm(qdq_infer *c, qdq_node *n, uint32_t b, qdq_type type)
{
	bool a_turned = qdq_attr_int(n, "transA", 0) != 0, b_turned = qdq_attr_int(n, "transB", 0) != 0;
	const qdq_shape *x = qdq_infer_shape(n, 0), *y = qdq_infer_shape(n, b);
	qdq_dims out = {.rank = 2};

	out.d[0] = x != NULL && x->rank == 2 ? x->dim[a_turned ? 1 : 0] : QDQ_DIM_ANY;
	out.d[1] = y != NULL && y->rank == 2 ? y->dim[b_turned ? 0 : 1] : QDQ_DIM_ANY;
	qdq_infer_put(c, n, 0, type, &out);
}

void qdq_infer_gemm(qdq_infer *c, qdq_node *n)
{
	put_gemm(c, n, 1, qdq_infer_type(n, 0) != QDQ_TYPE_NONE ? qdq_infer_type(n, 0) : qdq_infer_type(n, 1));
}

void qdq_infer_qgemm(qdq_infer *c, qdq_node *n)
{
	qdq_type type = QDQ_TYPE_FLOAT;

	if (qdq_in(n, 8) != NULL)
		type = qdq_infer_type(n, 8);
	else if (qdq_in(n, 7) != NULL)
		type = qdq_infer_type(n, 0);
	put_gemm(c, n, 3, type);
}

void qdq_infer_det(qdq_infer *c, qdq_node *n)
{
	qdq_dims dims;

	dims.rank = qdq_infer_dims(n, 0, &dims) && dims.rank >= 2 ? dims.rank - 2 : -1;
	qdq_infer_put(c, n, 0, qdq_infer_type(n, 0), &dims);
}

/* ---- Einsum ---- */

typedef struct einsum {
	qdq_dim letter[128]; /* QDQ_DIM_ANY: not seen */
	uint32_t times[128];
	qdq_dims dots; /* of all the "..." */
} einsum;

static bool is_letter(char ch)
{
	return (ch >= 'a' && ch <= 'z') || (ch >= 'A' && ch <= 'Z');
}

/* Reads one term, up to a comma or the arrow; false where it does not fit the operand. */
static bool einsum_term(einsum *e, const char **at, const char *end, const qdq_dims *in)
{
	const char *s = *at;
	int letters = 0, axis = 0;

	for (const char *p = s; p < end && *p != ',' && *p != '-'; p++)
		letters += is_letter(*p);
	for (; s < end && *s != ',' && *s != '-'; s++) {
		if (is_letter(*s)) {
			qdq_dim *d = &e->letter[(unsigned char)*s];

			if (axis >= in->rank)
				return false;
			if (*d == QDQ_DIM_ANY || *d == 1 || in->d[axis] > 1)
				*d = in->d[axis];
			e->times[(unsigned char)*s]++;
			axis++;
		} else if (*s == '.') {
			qdq_dims dots = {.rank = in->rank - letters};

			if (end - s < 3 || dots.rank < 0)
				return false;
			memcpy(dots.d, &in->d[axis], (size_t)dots.rank * sizeof *dots.d);
			qdq_infer_broadcast_into(&e->dots, &dots);
			axis += dots.rank;
			s += 2;
		} else if (*s != ' ') {
			return false;
		}
	}
	*at = s;
	return axis == in->rank;
}

static bool einsum_result(const einsum *e, const char *s, const char *end, qdq_dims *out)
{
	out->rank = 0;
	for (; s < end; s++) {
		if (out->rank == QDQ_INFER_RANK)
			return false;
		if (is_letter(*s)) {
			out->d[out->rank++] = e->letter[(unsigned char)*s];
		} else if (*s == '.') {
			if (end - s < 3 || out->rank + e->dots.rank > QDQ_INFER_RANK)
				return false;
			memcpy(&out->d[out->rank], e->dots.d, (size_t)e->dots.rank * sizeof *e->dots.d);
			out->rank += e->dots.rank;
			s += 2;
		} else if (*s != ' ') {
			return false;
		}
	}
	return true;
}

/* Without an arrow: the dots, then every letter that occurs once, in the order of the alphabet. */
static void einsum_implicit(const einsum *e, qdq_dims *out)
{
	*out = e->dots;
	for (int ch = 'A'; ch <= 'z'; ch++)
		if (e->times[ch] == 1 && out->rank < QDQ_INFER_RANK)
			out->d[out->rank++] = e->letter[ch];
}

static bool einsum_dims(const qdq_node *n, qdq_dims *out)
{
	qdq_bytes equation = qdq_attr_string(n, "equation", "");
	const char *s = equation.data, *end = s + equation.size;
	einsum e = {.dots = {.rank = 0}};
	qdq_dims in;

	for (size_t i = 0; i < QDQ_COUNTOF(e.letter); i++)
		e.letter[i] = QDQ_DIM_ANY;
	for (uint32_t i = 0; i < n->n_inputs; i++) {
		if (!qdq_infer_dims(n, i, &in) || !einsum_term(&e, &s, end, &in))
			return false;
		if (i + 1 < n->n_inputs && (s == end || *s++ != ','))
			return false;
	}
	if (s == end) {
		einsum_implicit(&e, out);
		return true;
	}
	return end - s >= 2 && s[0] == '-' && s[1] == '>' && einsum_result(&e, s + 2, end, out);
}

void qdq_infer_einsum(qdq_infer *c, qdq_node *n)
{
	qdq_dims out;

	if (!einsum_dims(n, &out))
		out.rank = -1;
	qdq_infer_put(c, n, 0, qdq_infer_type(n, 0), &out);
}

/* ---- attention ---- */

static qdq_dim dim_at(const qdq_dims *d, int i)
{
	return i < d->rank ? d->d[i] : QDQ_DIM_ANY;
}

static qdq_dim heads(const qdq_node *n, const char *name)
{
	int64_t count = qdq_attr_int(n, name, 0);

	return count > 0 ? count : QDQ_DIM_ANY;
}

/* As [batch, heads, length, size], whether the heads stand apart or not. */
static void split_heads(qdq_infer *c, qdq_dims *d, qdq_dim count)
{
	if (d->rank != 3)
		return;
	d->rank = 4;
	d->d[3] = count == QDQ_DIM_ANY ? QDQ_DIM_ANY : qdq_infer_div(c, d->d[2], count);
	d->d[2] = d->d[1];
	d->d[1] = count;
}

void qdq_infer_attention(qdq_infer *c, qdq_node *n)
{
	qdq_dims q, k, v, past, out = {.rank = 4};
	qdq_type type = qdq_infer_type(n, 0);
	qdq_dim total;
	bool flat;

	if (!qdq_infer_dims(n, 0, &q) || !qdq_infer_dims(n, 1, &k) || !qdq_infer_dims(n, 2, &v) || q.rank < 3 ||
	    q.rank > 4) {
		qdq_infer_put(c, n, 0, type, NULL);
		return;
	}
	flat = q.rank == 3;
	split_heads(c, &q, heads(n, "q_num_heads"));
	split_heads(c, &k, heads(n, "kv_num_heads"));
	split_heads(c, &v, heads(n, "kv_num_heads"));
	total = dim_at(&k, 2);
	if (qdq_in(n, 4) != NULL) {
		qdq_infer_dims(n, 4, &past);
		total = qdq_infer_binary(c, QDQ_DIM_ADD, dim_at(&past, 2), total);
	}
	out.d[0] = q.d[0];
	out.d[1] = flat ? q.d[2] : q.d[1];
	out.d[2] = flat ? qdq_infer_mul(c, q.d[1], dim_at(&v, 3)) : q.d[2];
	out.d[3] = dim_at(&v, 3);
	out.rank = flat ? 3 : 4;
	qdq_infer_put(c, n, 0, type, &out);
	k.rank = v.rank = out.rank = 4;
	k.d[2] = v.d[2] = total;
	qdq_infer_put(c, n, 1, qdq_infer_type(n, 1), &k);
	qdq_infer_put(c, n, 2, qdq_infer_type(n, 2), &v);
	out.d[0] = q.d[0];
	out.d[1] = q.d[1];
	out.d[2] = q.d[2];
	out.d[3] = total;
	qdq_infer_put(c, n, 3, type, &out);
}

/* [batch, length, heads * size]; the state is [batch, heads, key size, value size]. */
void qdq_infer_linear_attention(qdq_infer *c, qdq_node *n)
{
	qdq_dim q_heads = heads(n, "q_num_heads"), kv_heads = heads(n, "kv_num_heads");
	qdq_dims q, k, v;

	qdq_infer_dims(n, 0, &q);
	qdq_infer_dims(n, 1, &k);
	qdq_infer_dims(n, 2, &v);
	split_heads(c, &k, kv_heads);
	split_heads(c, &v, kv_heads);
	if (q.rank == 3)
		q.d[2] = qdq_infer_mul(c, q_heads, dim_at(&v, 3));
	if (k.rank == 4) {
		k.d[2] = k.d[3];
		k.d[3] = dim_at(&v, 3);
	}
	qdq_infer_put(c, n, 0, qdq_infer_type(n, 0), &q);
	qdq_infer_put(c, n, 1, qdq_in(n, 3) != NULL ? qdq_infer_type(n, 3) : qdq_infer_type(n, 0), &k);
}

/* [batch, length, hidden] times weights [hidden, q + k + v] */
void qdq_infer_ms_attention(qdq_infer *c, qdq_node *n)
{
	bool quantized = n->op->id == QDQ_OP_ms_QAttention;
	const qdq_shape *weights = qdq_infer_shape(n, 1);
	size_t count;
	const int64_t *sizes = qdq_attr_ints(n, "qkv_hidden_sizes", &count);
	qdq_dims out;

	if (qdq_infer_dims(n, 0, &out) && out.rank == 3) {
		out.d[2] = weights != NULL && weights->rank == 2 ? qdq_infer_div(c, weights->dim[1], 3) : QDQ_DIM_ANY;
		if (count == 3)
			out.d[2] = sizes[2] >= 0 ? sizes[2] : QDQ_DIM_ANY;
	} else {
		out.rank = -1;
	}
	qdq_infer_put(c, n, 0, qdq_infer_type(n, quantized ? 3 : 0), &out);
	qdq_infer_put(c, n, 1, qdq_infer_type(n, quantized ? 3 : 0), NULL);
}

/* ---- recurrent networks ---- */

static void recurrent(qdq_infer *c, qdq_node *n, uint32_t states)
{
	bool batch_first = qdq_attr_int(n, "layout", 0) != 0;
	const qdq_shape *x = qdq_infer_shape(n, 0), *recurrence = qdq_infer_shape(n, 2);
	int64_t size = qdq_attr_int(n, "hidden_size", -1);
	qdq_dim length = QDQ_DIM_ANY, batch = QDQ_DIM_ANY, hidden = size > 0 ? size : QDQ_DIM_ANY;
	qdq_dim directions = qdq_attr_string_is(n, "direction", "forward", "bidirectional") ? 2 : 1;
	qdq_dims y = {.rank = 4}, state = {.rank = 3};

	if (x != NULL && x->rank == 3) {
		length = x->dim[batch_first ? 1 : 0];
		batch = x->dim[batch_first ? 0 : 1];
	}
	if (hidden == QDQ_DIM_ANY && recurrence != NULL && recurrence->rank == 3)
		hidden = recurrence->dim[2];
	y.d[0] = batch_first ? batch : length;
	y.d[1] = batch_first ? length : directions;
	y.d[2] = batch_first ? directions : batch;
	y.d[3] = hidden;
	state.d[0] = batch_first ? batch : directions;
	state.d[1] = batch_first ? directions : batch;
	state.d[2] = hidden;
	qdq_infer_put(c, n, 0, qdq_infer_type(n, 0), &y);
	for (uint32_t i = 1; i <= states; i++)
		qdq_infer_put(c, n, i, qdq_infer_type(n, 0), &state);
}

void qdq_infer_lstm(qdq_infer *c, qdq_node *n)
{
	recurrent(c, n, 2);
}

void qdq_infer_gru(qdq_infer *c, qdq_node *n)
{
	recurrent(c, n, 1);
}

void qdq_infer_rnn(qdq_infer *c, qdq_node *n)
{
	recurrent(c, n, 1);
}

/* ---- embedding, losses, spectra ---- */

void qdq_infer_embed_layer_norm(qdq_infer *c, qdq_node *n)
{
	const qdq_shape *ids = qdq_infer_shape(n, 0), *words = qdq_infer_shape(n, 2);
	qdq_dims out = {.rank = 3}, mask = {.rank = 1};

	out.d[0] = ids != NULL && ids->rank == 2 ? ids->dim[0] : QDQ_DIM_ANY;
	out.d[1] = ids != NULL && ids->rank == 2 ? ids->dim[1] : QDQ_DIM_ANY;
	out.d[2] = words != NULL && words->rank == 2 ? words->dim[1] : QDQ_DIM_ANY;
	mask.d[0] = out.d[0];
	qdq_infer_put(c, n, 0, qdq_infer_type(n, 2), &out);
	qdq_infer_put(c, n, 1, QDQ_TYPE_INT32, &mask);
	qdq_infer_put(c, n, 2, qdq_infer_type(n, 2), &out);
}

void qdq_infer_negative_log_likelihood_loss(qdq_infer *c, qdq_node *n)
{
	qdq_dims scalar = {0};

	if (qdq_attr_string_is(n, "reduction", "mean", "none"))
		qdq_infer_put_shape(c, n, 0, qdq_infer_type(n, 0), qdq_infer_shape(n, 1));
	else
		qdq_infer_put(c, n, 0, qdq_infer_type(n, 0), &scalar);
}

void qdq_infer_softmax_cross_entropy_loss(qdq_infer *c, qdq_node *n)
{
	qdq_infer_negative_log_likelihood_loss(c, n);
	qdq_infer_put_shape(c, n, 1, qdq_infer_type(n, 0), qdq_infer_shape(n, 0));
}

static qdq_dim one_element(qdq_infer *c, qdq_node *n, uint32_t i)
{
	const qdq_shape *s = qdq_infer_contents(c, qdq_in(n, i));
	int64_t value;

	return s != NULL && s->rank == 1 && qdq_dim_value(c->m, s->dim[0], &value) ? s->dim[0] : QDQ_DIM_ANY;
}

/* n / 2 + 1: a real signal's spectrum is symmetric. */
static qdq_dim one_side(qdq_infer *c, qdq_dim length)
{
	return qdq_infer_add(c, qdq_infer_div(c, length, 2), 1);
}

void qdq_infer_dft(qdq_infer *c, qdq_node *n)
{
	bool onesided = qdq_attr_int(n, "onesided", 0) != 0, inverse = qdq_attr_int(n, "inverse", 0) != 0;
	qdq_dim axis_given = c->opset < 20 ? qdq_attr_int(n, "axis", 1) : QDQ_DIM_ANY;
	int64_t wanted;
	qdq_dims dims;
	int axis = -1;

	if (!qdq_infer_dims(n, 0, &dims) || dims.rank < 2) {
		qdq_infer_put(c, n, 0, qdq_infer_type(n, 0), NULL);
		return;
	}
	if (c->opset < 20)
		qdq_infer_axis(axis_given, dims.rank, &axis);
	else if (qdq_in(n, 2) == NULL)
		axis = dims.rank - 2;
	else if ((axis_given = one_element(c, n, 2)) != QDQ_DIM_ANY && qdq_dim_value(c->m, axis_given, &wanted))
		qdq_infer_axis(wanted, dims.rank, &axis);
	for (int i = 0; i + 1 < dims.rank; i++) {
		if (axis < 0 && (onesided || qdq_in(n, 1) != NULL))
			dims.d[i] = QDQ_DIM_ANY;
		if (i != axis)
			continue;
		if (qdq_in(n, 1) != NULL)
			dims.d[i] = one_element(c, n, 1);
		else if (onesided && inverse)
			dims.d[i] = qdq_infer_mul(c, qdq_infer_add(c, dims.d[i], -1), 2);
		if (onesided && !inverse)
			dims.d[i] = one_side(c, dims.d[i]);
	}
	/* from one side alone a real signal comes back */
	dims.d[dims.rank - 1] = onesided && inverse ? 1 : 2;
	qdq_infer_put(c, n, 0, qdq_infer_type(n, 0), &dims);
}

void qdq_infer_stft(qdq_infer *c, qdq_node *n)
{
	const qdq_shape *window = qdq_infer_shape(n, 2);
	qdq_dim step = one_element(c, n, 1), frame = one_element(c, n, 3);
	qdq_dims dims;

	if (!qdq_infer_dims(n, 0, &dims) || dims.rank < 2) {
		qdq_infer_put(c, n, 0, qdq_infer_type(n, 0), NULL);
		return;
	}
	if (frame == QDQ_DIM_ANY && window != NULL && window->rank == 1)
		frame = window->dim[0];
	qdq_dim length = dims.d[1];
	dims.rank = 4;
	dims.d[1] = step > 0
			? qdq_infer_add(c, qdq_infer_div(c, qdq_infer_binary(c, QDQ_DIM_SUB, length, frame), step), 1)
			: QDQ_DIM_ANY;
	dims.d[2] = qdq_attr_int(n, "onesided", 1) != 0 ? one_side(c, frame) : frame;
	dims.d[3] = 2;
	qdq_infer_put(c, n, 0, qdq_infer_type(n, 0), &dims);
}

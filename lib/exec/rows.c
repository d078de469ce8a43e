/* SPDX-License-Identifier: Apache-2.0
 *
 * rows.c -- running a kernel's steps on the CPU, some pixels of adjacent channels at a time
 *
 * The loops are compiled three times, for AVX-512, for AVX2 with FMA and for any machine; the operations are the same, so
 * are the bits (steps.h).
 */
#include "rows.h"

#if defined(__x86_64__) && defined(__GNUC__)
#define HAVE_FAST 1
#endif
#define ALWAYS static inline __attribute__((always_inline))

/* ---- memory ---- */

/* Where an element is and how far the next channel is, in elements. */
typedef struct place {
	char *at;
	int64_t stride;
	qdq_type type;
} place;

ALWAYS place place_of(const qdq_row *row, const qdq_operand *o, int64_t pixel)
{
	const qdq_buffer *b = &row->buffers[o->buffer];
	int64_t channel = row->channel + o->channel, spatial = row->k->spatial,
		size = b->type == QDQ_TYPE_FLOAT ? 4 : 1;

	if (row->k->grid.sh != 0)
		pixel = qdq_grid_pixel(&row->k->grid, pixel);
	if (o->each_image) {
		pixel /= spatial;
		spatial = 1;
	}
	if (b->rows)
		return (place){row->data[o->buffer] + pixel * b->pitch + channel, 1, b->type};
	return (place){
	    row->data[o->buffer] +
		((pixel / spatial * qdq_buffer_channels(b, row->k->last_axis) + channel) * spatial + pixel % spatial) *
		    size,
	    spatial, b->type};
}

ALWAYS float float_at(const place *p, int64_t i)
{
	float f;

	memcpy(&f, p->at + i * p->stride * 4, sizeof f); /* what the caller gives may lie anywhere */
	return f;
}

/* What is read or written at a time: the channels of each pixel, or the pixels of a plane. */
ALWAYS int64_t runs_of(const qdq_row *row)
{
	return row->plane ? 1 : row->pixels;
}

ALWAYS int64_t run_length(const qdq_row *row)
{
	return row->plane ? row->pixels : row->count;
}

ALWAYS place run_at(const qdq_row *row, const qdq_operand *o, int64_t r)
{
	const qdq_buffer *b = &row->buffers[o->buffer];
	place p = place_of(row, o, row->pixel + r);

	if (row->plane)
		p.stride = o->each_image ? 0 : b->rows ? b->pitch : 1;
	return p;
}

/* out[i] = element - zero, as floats; floats as they are */
ALWAYS void read_pixel(const place *p, float zero, int64_t count, float *restrict out)
{
	if (p->type == QDQ_TYPE_FLOAT && p->stride == 1) {
		memcpy(out, p->at, (size_t)count * sizeof *out);
	} else if (p->stride == 1) {
		const int8_t *s8 = (const int8_t *)p->at;
		const uint8_t *u8 = (const uint8_t *)p->at;

		if (p->type == QDQ_TYPE_INT8)
			for (int64_t i = 0; i < count; i++)
				out[i] = (float)s8[i] - zero;
		else
			for (int64_t i = 0; i < count; i++)
				out[i] = (float)u8[i] - zero;
	} else if (p->type == QDQ_TYPE_FLOAT) {
		for (int64_t i = 0; i < count; i++)
			out[i] = float_at(p, i);
	} else if (p->type == QDQ_TYPE_INT8) {
		const int8_t *from = (const int8_t *)p->at;

		for (int64_t i = 0; i < count; i++)
			out[i] = (float)from[i * p->stride] - zero;
	} else {
		const uint8_t *from = (const uint8_t *)p->at;

		for (int64_t i = 0; i < count; i++)
			out[i] = (float)from[i * p->stride] - zero;
	}
}

ALWAYS void read_row(const qdq_row *row, const qdq_operand *o, float *restrict out)
{
	int64_t runs = runs_of(row), length = run_length(row);

	for (int64_t r = 0; r < runs; r++) {
		place p = run_at(row, o, r);

		read_pixel(&p, o->zero, length, out + r * length);
	}
}

ALWAYS void write_pixel(const place *p, float zero, float before, int64_t count, const float *restrict v)
{
	uint8_t *to = (uint8_t *)p->at;
	int64_t i = 0;

	if (p->type == QDQ_TYPE_FLOAT) {
		for (; p->stride == 1 && i < count; i++) {
			float f = v[i] * before;

			memcpy(p->at + i * 4, &f, sizeof f);
		}
		for (; i < count; i++) {
			float f = v[i] * before;

			memcpy(p->at + i * p->stride * 4, &f, sizeof f);
		}
		return;
	}
	/* many channels are few vectors of bytes: 16 at a time leave the least for one at a time */
	for (; p->stride == 1 && i + 16 <= count; i += 16)
		for (int k = 0; k < 16; k++)
			to[i + k] = (uint8_t)(int32_t)(v[i + k] + zero);
	for (; i < count; i++)
		to[i * p->stride] = (uint8_t)(int32_t)(v[i] + zero);
}

/* Do several pixels of one image go to planes of floats? Then those of a channel, which are adjacent, go together. */
ALWAYS bool is_block(const qdq_row *row, const qdq_operand *o)
{
	const qdq_buffer *b = &row->buffers[o->buffer];
	int64_t spatial = row->k->spatial;

	return b->type == QDQ_TYPE_FLOAT && row->pixels > 1 && spatial > 1 && row->k->grid.sh == 0 &&
	       row->pixel / spatial == (row->pixel + row->pixels - 1) / spatial;
}

ALWAYS void write_block(const qdq_row *row, const qdq_step *s, int64_t i, const float *restrict v)
{
	place p = place_of(row, &s->other, row->pixel);
	char *to = p.at + i * p.stride * 4;

	for (int64_t r = 0; r < row->pixels; r++) {
		float f = v[r * row->count + i] * s->before;

		memcpy(to + r * 4, &f, sizeof f);
	}
}

ALWAYS void write_row(const qdq_row *row, const qdq_step *s, const float *restrict v)
{
	int64_t runs = runs_of(row), length = run_length(row);

	if (!row->plane && is_block(row, &s->other)) {
		for (int64_t i = 0; i < row->count; i++)
			write_block(row, s, i, v);
		return;
	}
	for (int64_t r = 0; r < runs; r++) {
		place p = run_at(row, &s->other, r);

		write_pixel(&p, s->other.zero, s->before, length, v + r * length);
	}
}

/* ---- steps ---- */

/* What is long is not copied into each caller. */
typedef void read_function(const qdq_row *row, const qdq_operand *o, float *restrict out);

ALWAYS void scaled(const float *from, float before, int64_t count, float *to)
{
	for (int64_t i = 0; i < count; i++)
		to[i] = from[i] * before;
}

ALWAYS void add_step(const qdq_row *row, const qdq_step *s, const float *restrict v, float *restrict to,
		     read_function *read)
{
	float other[QDQ_ROW];

	read(row, &s->other, other);
	for (int64_t i = 0; i < row->pixels * row->count; i++)
		to[i] = fmaf(other[i], s->other.ratio, v[i]);
}

ALWAYS void affine_step(const qdq_row *row, const qdq_step *s, const float *restrict v, float *restrict to)
{
	const float *multiplier = s->multiplier + row->channel, *addend = s->addend + row->channel;

	for (int64_t r = 0; row->plane && r < row->pixels; r++)
		to[r] = fmaf(v[r], *multiplier, *addend);
	for (int64_t r = 0; !row->plane && r < row->pixels; r++, v += row->count, to += row->count)
		for (int64_t i = 0; i < row->count; i++)
			to[i] = fmaf(v[i], multiplier[i], addend[i]);
}

ALWAYS void leaky_step(const qdq_row *row, const qdq_step *s, const float *restrict v, float *restrict to)
{
	const float *multiplier = s->multiplier + row->channel;

	for (int64_t r = 0; row->plane && r < row->pixels; r++)
		to[r] = v[r] < 0 ? v[r] * *multiplier : v[r];
	for (int64_t r = 0; !row->plane && r < row->pixels; r++, v += row->count, to += row->count)
		for (int64_t i = 0; i < row->count; i++)
			to[i] = v[i] < 0 ? v[i] * multiplier[i] : v[i];
}

#define FOR_ALL(expression)                           \
	do {                                          \
		for (int64_t i = 0; i < count; i++) { \
			float v = from[i];            \
                                                      \
			to[i] = expression;           \
		}                                     \
	} while (0)

ALWAYS void function_step(qdq_function_id function, const float *restrict from, int64_t count, float *restrict to)
{
	switch (function) {
	case QDQ_FUNCTION_EXP:
		FOR_ALL(qdq_exp(v));
		break;
	case QDQ_FUNCTION_SIGMOID:
		FOR_ALL(qdq_sigmoid(v));
		break;
	case QDQ_FUNCTION_SILU:
		FOR_ALL(qdq_silu(v));
		break;
	case QDQ_FUNCTION_TANH:
		FOR_ALL(qdq_tanh(v));
		break;
	case QDQ_FUNCTION_ERF:
		FOR_ALL(qdq_erf(v));
		break;
	case QDQ_FUNCTION_GELU:
		FOR_ALL(qdq_gelu(v));
		break;
	case QDQ_FUNCTION_GELU_TANH:
		FOR_ALL(qdq_gelu_tanh(v));
		break;
	case QDQ_FUNCTION_SOFTPLUS:
		FOR_ALL(qdq_softplus(v));
		break;
	case QDQ_FUNCTION_MISH:
		FOR_ALL(qdq_mish(v));
		break;
	case QDQ_FUNCTION_SOFTSIGN:
		FOR_ALL(qdq_softsign(v));
		break;
	case QDQ_FUNCTION_ABS:
		FOR_ALL(fabsf(v));
		break;
	case QDQ_FUNCTION_SQRT:
		FOR_ALL(sqrtf(v));
		break;
	case QDQ_FUNCTION_RECIPROCAL:
		FOR_ALL(1.0f / v);
		break;
	}
}

/* NaN where one of them is, as in ONNX; of two zeros a's. */
ALWAYS float larger(float a, float b)
{
	return a < b || isnan(b) ? b : a;
}

/* to may be neither of both. */
ALWAYS void binary_step(const qdq_step *s, const float *restrict a, const float *restrict b, int64_t count,
			float *restrict to)
{
	float before = s->before_second;

	switch (s->binary) {
	case QDQ_BINARY_ADD:
		for (int64_t i = 0; i < count; i++)
			to[i] = fmaf(b[i], before, a[i]);
		break;
	case QDQ_BINARY_SUB:
		for (int64_t i = 0; i < count; i++)
			to[i] = fmaf(-b[i], before, a[i]);
		break;
	case QDQ_BINARY_MUL:
		for (int64_t i = 0; i < count; i++)
			to[i] = a[i] * b[i] * before;
		break;
	case QDQ_BINARY_DIV:
		for (int64_t i = 0; i < count; i++)
			to[i] = a[i] / b[i] * before;
		break;
	case QDQ_BINARY_MAX:
		for (int64_t i = 0; i < count; i++)
			to[i] = larger(a[i], b[i] * before);
		break;
	case QDQ_BINARY_MIN:
		for (int64_t i = 0; i < count; i++)
			to[i] = -larger(-a[i], -(b[i] * before));
		break;
	}
}

ALWAYS void table_step(const qdq_step *s, const float *restrict from, int64_t count, float *restrict to)
{
	const float *table = s->table;
	int32_t first = (int32_t)s->first;

	for (int64_t i = 0; i < count; i++)
		to[i] = table[(int32_t)from[i] - first];
}

ALWAYS void load_step(const qdq_row *row, const qdq_step *s, int64_t count, float *restrict to, read_function *read)
{
	read(row, &s->other, to);
	for (int64_t i = 0; i < count; i++)
		to[i] = to[i] * s->other.ratio;
}

ALWAYS void run_step(const qdq_row *row, const qdq_step *s, read_function *read)
{
	const float *from = row->registers + s->from * QDQ_ROW;
	float *to = row->registers + s->to * QDQ_ROW, converted[QDQ_ROW];
	int64_t all = row->pixels * row->count;

	if (s->before != 1 && s->kind != QDQ_STEP_STORE && s->kind != QDQ_STEP_LOAD) {
		scaled(from, s->before, all, converted);
		from = converted;
	}
	switch (s->kind) {
	case QDQ_STEP_CLAMP:
		for (int64_t i = 0; i < all; i++)
			to[i] = qdq_clamp(from[i], s->low, s->high);
		break;
	case QDQ_STEP_ROUND:
		for (int64_t i = 0; i < all; i++)
			to[i] = qdq_round_step(from[i], s->low, s->high);
		break;
	case QDQ_STEP_AFFINE:
		affine_step(row, s, from, to);
		break;
	case QDQ_STEP_ADD:
		add_step(row, s, from, to, read);
		break;
	case QDQ_STEP_STORE:
		write_row(row, s, from);
		break;
	case QDQ_STEP_LEAKY:
		leaky_step(row, s, from, to);
		break;
	case QDQ_STEP_FUNCTION:
		function_step(s->function, from, all, to);
		break;
	case QDQ_STEP_TABLE:
		table_step(s, from, all, to);
		break;
	case QDQ_STEP_LOAD:
		load_step(row, s, all, to, read);
		break;
	case QDQ_STEP_BINARY:
		binary_step(s, from, row->registers + s->second * QDQ_ROW, all, to);
		break;
	}
}

ALWAYS void run_steps(const qdq_row *row, read_function *read)
{
	for (uint32_t s = 0; s < row->k->n_steps; s++)
		run_step(row, &row->k->steps[s], read);
}

/* ---- anchors ---- */

typedef void steps_function(const qdq_row *row);

ALWAYS void contract_row(qdq_row *row, const int32_t *acc, int64_t pitch, steps_function *steps)
{
	const qdq_kernel *k = row->k;
	const float *multiplier = k->multiplier + row->channel, *rest = k->rest + row->channel;
	const float *addend = k->addend + row->channel;
	const int32_t *bias = k->bias != NULL ? k->bias + row->channel : NULL;
	float *to = row->registers;

	for (int64_t r = 0; r < row->pixels; r++, acc += pitch, to += row->count) {
		if (bias != NULL)
			for (int64_t i = 0; i < row->count; i++)
				to[i] = qdq_scale((float)(acc[i] + bias[i]), multiplier[i], rest[i], addend[i]);
		else
			for (int64_t i = 0; i < row->count; i++)
				to[i] = qdq_scale((float)acc[i], multiplier[i], rest[i], addend[i]);
	}
	steps(row);
}

ALWAYS void load_row(qdq_row *row, read_function *read)
{
	const qdq_operand *o = &row->k->in[0];
	int64_t all = row->pixels * row->count;
	float *to = row->registers;

	read(row, o, to);
	if (o->divisor != 0)
		for (int64_t i = 0; i < all; i++)
			to[i] = to[i] / o->divisor;
	else if (o->ratio != 1)
		scaled(to, o->ratio, all, to);
}

ALWAYS void multiply_row(qdq_row *row, read_function *read)
{
	float second[QDQ_ROW], *to = row->registers;

	read(row, &row->k->in[0], to);
	read(row, &row->k->in[1], second);
	for (int64_t i = 0; i < row->pixels * row->count; i++)
		to[i] = to[i] * second[i] * row->k->ratio;
}

/* The part of a window that lies in the image, along one axis: first index and one past the last. */
static void inside(int64_t out, int64_t stride, int64_t pad, int64_t dilation, int64_t size, int64_t length,
		   int64_t *first, int64_t *last)
{
	int64_t begin = out * stride - pad;

	*first = begin < 0 ? (-begin + dilation - 1) / dilation : 0;
	*last = begin >= length ? 0 : (length - begin + dilation - 1) / dilation;
	if (*last > size)
		*last = size;
}

ALWAYS void pool_pixel(const qdq_row *row, int64_t pixel, float *to)
{
	const qdq_window *w = &row->k->window;
	const qdq_operand *o = &row->k->in[0];
	bool mean = row->k->anchor == QDQ_ANCHOR_MEAN;
	const qdq_buffer *b = &row->buffers[o->buffer];
	int64_t image = pixel / (w->oh * w->ow), oy = pixel / w->ow % w->oh, ox = pixel % w->ow;
	int64_t y0, y1, x0, x1, number;
	float element[QDQ_ROW];

	inside(oy, w->sh, w->top, w->dh, w->kh, w->h, &y0, &y1);
	inside(ox, w->sw, w->left, w->dw, w->kw, w->w, &x0, &x1);
	for (int64_t i = 0; i < row->count; i++)
		to[i] = mean ? 0 : -INFINITY;
	for (int64_t y = y0; y < y1; y++) {
		for (int64_t x = x0; x < x1; x++) {
			int64_t at =
			    (image * w->h + oy * w->sh - w->top + y * w->dh) * w->w + ox * w->sw - w->left + x * w->dw;
			place p = {row->data[o->buffer] + at * b->pitch + row->channel, 1, b->type};

			read_pixel(&p, o->zero, row->count, element);
			for (int64_t i = 0; i < row->count; i++)
				to[i] = mean ? to[i] + element[i] : (element[i] > to[i] ? element[i] : to[i]);
		}
	}
	number = (y1 - y0) * (x1 - x0);
	if (!mean) {
		scaled(to, o->ratio, row->count, to);
	} else if (w->count_pads || number == w->kh * w->kw) {
		scaled(to, row->k->ratio, row->count, to);
	} else {
		float ratio = o->ratio / (float)number;

		scaled(to, ratio, row->count, to);
	}
}

ALWAYS void any_row(qdq_row *row, read_function *read, steps_function *steps)
{
	const qdq_kernel *k = row->k;

	if (k->anchor == QDQ_ANCHOR_LOAD)
		load_row(row, read);
	else if (k->anchor == QDQ_ANCHOR_MUL)
		multiply_row(row, read);
	else
		for (int64_t r = 0; r < row->pixels; r++)
			pool_pixel(row, row->pixel + r, row->registers + r * row->count);
	steps(row);
}

/* Is some operand plain, so that pixels of a channel are adjacent there and channels of a pixel far apart? */
ALWAYS bool has_planes(const qdq_row *row)
{
	const qdq_kernel *k = row->k;
	bool plain = !row->buffers[k->in[0].buffer].rows;

	if (k->spatial == 1 || k->channels == 1 || (k->anchor != QDQ_ANCHOR_LOAD && k->anchor != QDQ_ANCHOR_MUL))
		return false;
	for (uint32_t s = 0; s < k->n_steps; s++)
		plain = plain || (qdq_step_has_operand(&k->steps[s]) && !k->steps[s].other.each_image &&
				  !row->buffers[k->steps[s].other.buffer].rows);
	return plain;
}

typedef void row_function(qdq_row *row);

/* Some pixels of an image at a time, so that what lies in rows stays in the first cache for all channels. */
ALWAYS void planes(qdq_row *row, int64_t pixel, int64_t pixels, row_function *run)
{
	int64_t spatial = row->k->spatial;

	row->count = 1;
	row->plane = true;
	for (int64_t p = pixel; p < pixel + pixels; p += row->pixels) {
		int64_t left = spatial - p % spatial;

		row->pixel = p;
		row->pixels = pixel + pixels - p < left ? pixel + pixels - p : left;
		row->pixels = row->pixels < QDQ_ROW ? row->pixels : QDQ_ROW;
		for (row->channel = 0; row->channel < row->k->channels; row->channel++)
			run(row);
	}
}

ALWAYS void any_rows(qdq_row *row, int64_t pixel, int64_t pixels, row_function *run)
{
	if (has_planes(row)) {
		planes(row, pixel, pixels, run);
		return;
	}
	for (int64_t c = 0; c < row->k->channels; c += row->count) {
		row->channel = c;
		row->count = row->k->channels - c < QDQ_ROW ? row->k->channels - c : QDQ_ROW;
		for (int64_t p = 0; p < pixels; p += row->pixels) {
			row->pixel = pixel + p;
			row->pixels = QDQ_ROW / row->count < pixels - p ? QDQ_ROW / row->count : pixels - p;
			run(row);
		}
	}
}

/* ---- one copy for each kind of machine ---- */

#define ONCE __attribute__((noinline)) static
#define COPY(name, attributes)                                                                          \
	attributes ONCE void read_##name(const qdq_row *row, const qdq_operand *o, float *restrict out) \
	{                                                                                               \
		read_row(row, o, out);                                                                  \
	}                                                                                               \
	attributes ONCE void steps_##name(const qdq_row *row)                                           \
	{                                                                                               \
		run_steps(row, read_##name);                                                            \
	}                                                                                               \
	attributes ONCE void row_##name(qdq_row *row)                                                   \
	{                                                                                               \
		any_row(row, read_##name, steps_##name);                                                \
	}                                                                                               \
	attributes static void contract_##name(qdq_row *row, const int32_t *acc, int64_t pitch)         \
	{                                                                                               \
		contract_row(row, acc, pitch, steps_##name);                                            \
	}                                                                                               \
	attributes static void rows_##name(qdq_row *row, int64_t pixel, int64_t pixels)                 \
	{                                                                                               \
		any_rows(row, pixel, pixels, row_##name);                                               \
	}

COPY(c, )
#ifdef HAVE_FAST
#ifdef __clang__
#define WIDE "" /* it decides for itself */
#else
#define WIDE ",prefer-vector-width=512"
#endif
COPY(avx2, __attribute__((target("avx2,fma"))))
COPY(avx512, __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,fma" WIDE))))
#endif

void qdq_row_contract(qdq_row *row, const int32_t *acc, int64_t pitch)
{
#ifdef HAVE_FAST
	if (row->isa == QDQ_ISA_VNNI) {
		contract_avx512(row, acc, pitch);
		return;
	}
	if (row->isa == QDQ_ISA_AVX2) {
		contract_avx2(row, acc, pitch);
		return;
	}
#endif
	contract_c(row, acc, pitch);
}

void qdq_rows_run(qdq_row *row, int64_t pixel, int64_t pixels)
{
#ifdef HAVE_FAST
	if (row->isa == QDQ_ISA_VNNI && qdq_rows_image_avx512(row, pixel, pixels))
		return;
	if (row->isa == QDQ_ISA_VNNI) {
		rows_avx512(row, pixel, pixels);
		return;
	}
	if (row->isa == QDQ_ISA_AVX2) {
		rows_avx2(row, pixel, pixels);
		return;
	}
#endif
	rows_c(row, pixel, pixels);
}

/* SPDX-License-Identifier: Apache-2.0
 *
 * kernels.c -- what the CUDA kernels compute, in C: the same operations on the same bytes, a thread's vectors one after
 * the other
 *
 * Everything is read through params.h. Accesses have the kernels' widths and must be aligned as these need it; that they
 * stay in their memory is seen by AddressSanitizer.
 */
#include "fake.h"

#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../../lib/exec/cuda/params.h"
#include "../../lib/exec/steps.h"

#define REQUIRE(condition) ((condition) ? (void)0 : fake_fault("not so: " #condition, kernel))

static const char *kernel; /* that runs */
static const float magic = 12582912.0f;

/* ---- memory ---- */

static const char *reading(uint64_t at, size_t alignment)
{
	REQUIRE(at != 0 && at % alignment == 0);
	return (const char *)(uintptr_t)at;
}

static int64_t element_of(const qdq_cuda_place *p, int spatial, int pixel, int c)
{
	c += p->channel;
	if (p->pitch != 0)
		return (int64_t)pixel * p->pitch + c;
	return (int64_t)(pixel / spatial * p->total + c) * spatial + pixel % spatial;
}

static float code_of(int32_t type, char byte)
{
	return type == QDQ_CUDA_S8 ? (float)(int8_t)byte : (float)(uint8_t)byte;
}

static bool is_vector(const qdq_cuda_place *p, int v, int c, int limit)
{
	return p->pitch % v == 0 && p->pitch != 0 && (p->channel + c) % v == 0 && c + v <= limit;
}

static void from_bytes(const qdq_cuda_place *p, uint64_t at, int v, float *out)
{
	const char *bytes = reading(at, (size_t)v);

	for (int i = 0; i < v; i++)
		out[i] = code_of(p->type, bytes[i]) - p->zero;
}

static void read_place(const qdq_cuda_place *p, int spatial, int pixel, int c, int v, int count, float *out)
{
	int64_t at = element_of(p, spatial, pixel, c), stride = p->pitch != 0 ? 1 : spatial;

	if (is_vector(p, v, c, p->pitch - p->channel)) {
		from_bytes(p, p->at + (uint64_t)at, v, out);
		return;
	}
	for (int i = 0; i < v; i++) {
		out[i] = 0;
		if (i < count)
			out[i] = p->type == QDQ_CUDA_FLOAT
				     ? ((const float *)(const void *)reading(p->at, 4))[at + i * stride]
				     : code_of(p->type, reading(p->at, 1)[at + i * stride]) - p->zero;
	}
}

static void write_codes(const qdq_cuda_place *p, int spatial, int pixel, int c, int v, int count, const float *from)
{
	int64_t at = element_of(p, spatial, pixel, c), stride = p->pitch != 0 ? 1 : spatial;
	bool whole = is_vector(p, v, c, p->limit);
	char *to = (char *)(uintptr_t)p->at;

	REQUIRE(!whole || (p->at + (uint64_t)at) % (uint64_t)v == 0);
	for (int i = 0; i < v; i++) {
		float shifted = from[i] + magic;
		uint32_t bits;

		memcpy(&bits, &shifted, sizeof bits);
		if (whole || i < count)
			to[at + i * stride] = (char)(bits + (uint32_t)(int)p->zero);
	}
}

static void write_floats(const qdq_cuda_step *s, int spatial, int pixel, int c, int v, int count, const float *from)
{
	int64_t at = element_of(&s->place, spatial, pixel, c);
	float *to = (float *)(uintptr_t)s->place.at;

	for (int i = 0; i < v; i++)
		if (i < count)
			to[at + (int64_t)i * spatial] = from[i] * s->a;
}

static void copy_numbers(void *to, uint64_t from, int c, int count)
{
	memcpy(to, reading(from, 16) + (int64_t)c * 4, (size_t)count * 4);
}

/* ---- steps ---- */

/* V channels of a pixel. */
typedef struct patch {
	int pixel, c, v, count;
	bool fetches;
	float first[16]; /* the anchor's */
} patch;

static void saturate_all(float *v, int n, float low, float high)
{
	for (int i = 0; i < n; i++)
		v[i] = fminf(fmaxf(v[i], low), high);
}

static void add(const qdq_cuda_step *s, int spatial, const patch *at, bool fetched, float *v)
{
	float other[16];

	if (fetched)
		from_bytes(&s->place, s->place.at + (uint64_t)at->pixel * (uint64_t)s->place.pitch + (uint64_t)at->c,
			   at->v, other);
	else
		read_place(&s->place, spatial, at->pixel, at->c, at->v, at->count, other);
	for (int i = 0; i < at->v; i++)
		v[i] = fmaf(other[i], s->a, v[i]);
}

static void affine(const qdq_cuda_step *s, const patch *at, float *v)
{
	float multiplier[16], addend[16];

	copy_numbers(multiplier, s->multiplier, at->c, at->v);
	copy_numbers(addend, s->addend, at->c, at->v);
	for (int i = 0; i < at->v; i++)
		v[i] = fmaf(v[i], multiplier[i], addend[i]);
}

static void one_step(const qdq_cuda_steps *steps, int n, const patch *at, float *v)
{
	const qdq_cuda_step *s = &steps->step[n];

	switch (s->kind) {
	case QDQ_CUDA_RESTART:
		REQUIRE(steps->restarts);
		memcpy(v, at->first, sizeof at->first);
		break;
	case QDQ_CUDA_SCALE:
		for (int i = 0; i < at->v; i++)
			v[i] *= s->a;
		break;
	case QDQ_CUDA_CLAMP:
		for (int i = 0; i < at->v; i++)
			v[i] = qdq_clamp(v[i], s->a, s->b);
		break;
	case QDQ_CUDA_ROUND:
		saturate_all(v, at->v, s->a, s->b);
		for (int i = 0; i < at->v; i++)
			v[i] = (v[i] + magic) - magic;
		break;
	case QDQ_CUDA_AFFINE:
		affine(s, at, v);
		break;
	case QDQ_CUDA_ADD:
		add(s, steps->spatial, at, at->fetches && n == steps->fetched, v);
		break;
	case QDQ_CUDA_STORE:
		if (s->place.type == QDQ_CUDA_FLOAT)
			write_floats(s, steps->spatial, at->pixel, at->c, at->v, at->count, v);
		else
			write_codes(&s->place, steps->spatial, at->pixel, at->c, at->v, at->count, v);
		break;
	case QDQ_CUDA_ROUND_STORE:
		saturate_all(v, at->v, s->a, s->b);
		write_codes(&s->place, steps->spatial, at->pixel, at->c, at->v, at->count, v);
		break;
	default:
		fake_fault("no such step", kernel);
	}
}

static void run_steps(const qdq_cuda_steps *steps, const patch *at)
{
	float v[16];

	REQUIRE(steps->count >= 0 && steps->count <= QDQ_CUDA_STEPS && steps->spatial > 0);
	memcpy(v, at->first, sizeof v);
	for (int n = 0; n < steps->count; n++)
		one_step(steps, n, at, v);
}

/* ---- windows ---- */

typedef struct window {
	int64_t at;
	int y, x;
} window;

#define WINDOW_OF(p, pixel)                                                                                 \
	((p)->pointwise ? (window){(int64_t)(pixel) * (p)->pitch, 0, 0}                                     \
			: window_of(pixel, (p)->oh, (p)->ow, (p)->sh, (p)->sw, (p)->top, (p)->left, (p)->w, \
				    (p)->pitch, (p)->image))

static window window_of(int pixel, int oh, int ow, int sh, int sw, int top, int left, int w, int pitch, int bytes)
{
	int image = pixel / (oh * ow), rest = pixel % (oh * ow);
	int y = rest / ow * sh - top, x = rest % ow * sw - left;

	return (window){(int64_t)image * bytes + ((int64_t)y * w + x) * pitch, y, x};
}

static bool is_inside(const window *at, const qdq_cuda_unit *u, int h, int w)
{
	return at->y + u->dy >= 0 && at->y + u->dy < h && at->x + u->dx >= 0 && at->x + u->dx < w;
}

/* Is the table of units what kernels that count them come to? */
static void check_regular(const qdq_cuda_contract *p)
{
	const qdq_cuda_unit *units = (const qdq_cuda_unit *)(const void *)reading(p->units, 8);

	REQUIRE(p->kh > 0 && p->kw > 0);
	for (int i = 0; i < p->n_units; i++) {
		int tap = i / 4 % (p->kh * p->kw), dy = tap / p->kw * p->dh, dx = tap % p->kw * p->dw;
		int offset = (dy * p->w + dx) * p->pitch + i / 4 / (p->kh * p->kw) * 64 + i % 4 * 16;

		REQUIRE(units[i].dy == dy && units[i].dx == dx && units[i].offset == offset);
	}
}

/* The window's bytes as the kernels see them: `depth` of them, in units of 16. */
static void gather(const qdq_cuda_contract *p, int pixel, int offset, char *out)
{
	window at = WINDOW_OF(p, pixel);
	const qdq_cuda_unit *units = (const qdq_cuda_unit *)(const void *)reading(p->units, 8);

	for (const qdq_cuda_unit *u = units; u < units + p->depth / 16; u++, out += 16)
		if (is_inside(&at, u, p->h, p->w))
			memcpy(out, reading(p->x + (uint64_t)(at.at + u->offset + offset), 16), 16);
		else
			memcpy(out, reading(p->padding, 16), 16);
}

static uint32_t dot(const char *x, const int8_t *w, int n, bool is_signed)
{
	uint32_t sum = 0;

	if (is_signed)
		for (int i = 0; i < n; i++)
			sum += (uint32_t)((int8_t)x[i] * w[i]);
	else
		for (int i = 0; i < n; i++)
			sum += (uint32_t)((uint8_t)x[i] * w[i]);
	return sum;
}

/* ---- contract ---- */

/* Bounds of the launch; chain: the kernel is one of those without branches. */
typedef struct tile {
	int pixels, channels, v;
	bool chain;
} tile;

/* A thread's first value of a sum; of small ones as the kernels of chains convert them. */
static float to_float(const qdq_cuda_contract *p, const tile *t, uint32_t sum)
{
	uint32_t bits = sum + 0x4b400000u;
	float f;

	if (!t->chain || !p->small)
		return (float)(int32_t)sum;
	memcpy(&f, &bits, sizeof f);
	return f - magic;
}

static void tile_pixel(const qdq_cuda_contract *p, const tile *t, int pixel, int channel, const char *x)
{
	for (int c = channel; c < channel + t->channels && c < p->channels; c += t->v) {
		patch at = {pixel, c, t->v, p->channels - c, p->steps.fetched >= 0, {0}};
		float multiplier[16], rest[16], addend[16];
		int32_t start[16];

		copy_numbers(multiplier, p->multiplier, c, t->v);
		copy_numbers(rest, p->rest, c, t->v);
		copy_numbers(addend, p->addend, c, t->v);
		copy_numbers(start, p->start, c, t->v);
		for (int i = 0; i < t->v; i++) {
			uint32_t sum = (uint32_t)start[i];

			if (c + i < p->channels)
				sum += dot(x, (const int8_t *)reading(p->weights, 16) + (int64_t)(c + i) * p->depth,
					   p->depth, p->x_signed);
			at.first[i] = qdq_scale(to_float(p, t, sum), multiplier[i], rest[i], addend[i]);
		}
		run_steps(&p->steps, &at);
	}
}

/* Every split leaves its sums; the last block of a tile sets the counter back. */
static void split(const qdq_cuda_contract *p, const tile *t, int index)
{
	size_t each = (size_t)(t->pixels * t->channels) * 4;
	int32_t *counter = (int32_t *)(uintptr_t)p->counters + index;

	if (p->splits == 1)
		return;
	memset((char *)(uintptr_t)p->partial + (size_t)index * (size_t)p->splits * each, 0x5a,
	       (size_t)p->splits * each);
	REQUIRE(*counter == 0);
	*counter = p->splits;
	*counter = 0;
}

static void run_tiles(const qdq_cuda_contract *p, const tile *t, unsigned tiles)
{
	char *x = malloc((size_t)p->depth);

	REQUIRE(x != NULL);
	for (unsigned index = 0; index < tiles; index++) {
		int pixel = (int)(index / (unsigned)p->columns) * t->pixels;
		int channel = (int)(index % (unsigned)p->columns) * t->channels, offset = 0;

		if (p->group_inputs != 0)
			offset = channel / p->group_outputs * p->group_inputs & ~15;
		split(p, t, (int)index);
		for (int i = 0; i < t->pixels && pixel + i < p->pixels; i++) {
			gather(p, pixel + i, offset, x);
			tile_pixel(p, t, pixel + i, channel, x);
		}
	}
	free(x);
}

/* ROUND_STORE in whole vectors. */
static void check_last(const qdq_cuda_step *s)
{
	REQUIRE(s->kind == QDQ_CUDA_ROUND_STORE && s->place.type != QDQ_CUDA_FLOAT);
	REQUIRE(s->place.pitch >= 16 && s->place.channel % 16 == 0 && s->place.limit % 16 == 0);
}

/* Are the steps those of the kernel's chain? */
static void check_chain(const qdq_cuda_contract *p, const char *name)
{
	const qdq_cuda_step *s = p->steps.step;
	bool adds = strncmp(name, "add", 3) == 0;

	REQUIRE(p->regular && p->x_signed == (strstr(name, "_s8") != NULL));
	check_regular(p);
	REQUIRE(p->steps.count == (adds ? 4 : 1) && (!adds || (p->steps.fetched == 2 && s[2].place.channel == 0)));
	REQUIRE(!adds || (s[0].kind == QDQ_CUDA_ROUND && s[1].kind == QDQ_CUDA_SCALE && s[2].kind == QDQ_CUDA_ADD));
	check_last(&s[adds ? 3 : 0]);
}

static void run_contract(const fake_kernel_launch *l)
{
	const qdq_cuda_contract *p = l->params;
	int warps = 4, steps = p->depth / 64;
	bool groups = l->name[strlen(l->name) - 1] == 'w';
	tile t = {0};

	REQUIRE(sscanf(strrchr(l->name, '_') + 1, "%dx%dx%d", &t.pixels, &t.channels, &warps) >= 2);
	t.chain = strncmp(l->name, "qdq_contract", 12) != 0;
	if (t.chain)
		check_chain(p, l->name + 4);
	REQUIRE(!groups || (t.chain && l->block == 256));
	t.v = groups || (t.pixels == 128 && t.channels >= 64 && warps == 4) ? 16 : 8;
	REQUIRE(p->depth % 64 == 0 && p->n_units * 16 <= p->depth && p->columns * t.channels >= p->channels);
	REQUIRE((int)l->grid[0] == (p->pixels + t.pixels - 1) / t.pixels * p->columns);
	REQUIRE((int)l->grid[1] == p->splits && (p->splits - 1) * p->steps_each < steps);
	REQUIRE(p->splits * p->steps_each >= steps && (int)l->block == warps * 32);
	REQUIRE((int)l->shared >= 2 * (t.pixels + t.channels) * 64 + 3 * t.channels * 4 + t.pixels * t.channels);
	REQUIRE(p->group_inputs == 0 || t.channels == 64);
	run_tiles(p, &t, l->grid[0]);
}

/* ---- few ---- */

/* The codes of a pixel's channels; outside the image, padding. */
static void few_pixel(const qdq_cuda_few *p, int image, int y, int x, char *codes)
{
	int64_t at = ((int64_t)image * p->h + y) * p->w + x;

	memcpy(codes, &p->pad, 4);
	if (y < 0 || y >= p->h || x < 0 || x >= p->w)
		return;
	if (!p->from_floats) {
		memcpy(codes, reading(p->x + (uint64_t)at * 4, 4), 4);
		return;
	}
	for (int c = 0; c < p->inputs; c++) {
		int64_t i = (((int64_t)image * p->inputs + c) * p->h + y) * p->w + x;
		float v = ((const float *)(const void *)reading(p->x, 4))[i];

		v = qdq_round_step(p->divisor != 0 ? v / p->divisor : v * p->scale, p->low, p->high);
		codes[c] = (char)((int)v + (int)p->zero);
	}
}

/* A weight: byte d of output k. */
static int fragment(const qdq_cuda_few *p, int k, int d)
{
	int column = k % 32 / 8 * 2 + k % 2, block = k % 8 / 2, lane = column * 4 + d % 16 / 4;
	int64_t word =
	    (int64_t)(k / 32) * p->depth * 8 + d / 32 * 256 + block / 2 * 128 + lane * 4 + block % 2 * 2 + d % 32 / 16;

	return (int8_t)reading(p->weights, 16)[word * 4 + d % 4];
}

static void few_output(const qdq_cuda_few *p, int pixel)
{
	int padded = (p->kw + 3) / 4 * 4, image = pixel / (p->oh * p->ow);
	int y0 = pixel / p->ow % p->oh * p->sh - p->top, x0 = pixel % p->ow * p->sw - p->left;
	char *codes = calloc((size_t)p->depth, 1);

	REQUIRE(codes != NULL);
	for (int d = 0; d < p->depth; d += 4) {
		int ky = d / 4 / padded % p->kh, kx = d / 4 % padded;

		if (kx < p->kw)
			few_pixel(p, image, y0 + ky * p->dh, x0 + kx * p->dw, codes + d);
	}
	for (int c = 0; c < p->channels; c += 8) {
		patch at = {pixel, c, 8, p->channels - c, false, {0}};
		float multiplier[8], rest[8], addend[8];
		uint32_t sum[8];

		copy_numbers(multiplier, p->multiplier, c, 8);
		copy_numbers(rest, p->rest, c, 8);
		copy_numbers(addend, p->addend, c, 8);
		copy_numbers(sum, p->start, c, 8);
		for (int i = 0; i < 8; i++) {
			for (int d = 0; c + i < p->channels && d < p->depth; d++)
				sum[i] += (uint32_t)((p->x_signed ? (int8_t)codes[d] : (uint8_t)codes[d]) *
						     fragment(p, c + i, d));
			at.first[i] = qdq_scale((float)(int32_t)sum[i], multiplier[i], rest[i], addend[i]);
		}
		run_steps(&p->steps, &at);
	}
	free(codes);
}

static void run_few(const fake_kernel_launch *l)
{
	const qdq_cuda_few *p = l->params;
	int tiles = ((p->oh + p->tile_rows - 1) / p->tile_rows) * ((p->ow + p->groups * 16 - 1) / (p->groups * 16));
	int images = (int)l->grid[0] / tiles;

	REQUIRE(p->depth % 32 == 0 && p->tile_rows > 0 && p->groups > 0 && (p->warps == 1 || p->warps == 2));
	REQUIRE((int)l->grid[0] == images * tiles && l->block == 128 && (int)l->grid[1] * p->warps * 32 >= p->channels);
	REQUIRE(p->patch_h == (int64_t)(p->tile_rows - 1) * p->sh + (p->kh - 1) * p->dh + 1);
	REQUIRE(p->patch_w == (int64_t)(p->groups * 16 - 1) * p->sw + (p->kw - 1) * p->dw + 1);
	REQUIRE((int)l->shared >= p->warps * 32 * (p->depth + 16) + (int64_t)p->patch_h * p->patch_w * 4);
	if (strcmp(l->name, "qdq_few") != 0) {
		REQUIRE(p->steps.count == 1 && p->x_signed == (strcmp(l->name, "qdq_few_round_s8") == 0));
		check_last(&p->steps.step[0]);
	}
	for (int pixel = 0; pixel < images * p->oh * p->ow; pixel++)
		few_output(p, pixel);
}

/* ---- depthwise ---- */

static void depthwise_pixel(const qdq_cuda_depthwise *p, int pixel, int c)
{
	window at = WINDOW_OF(p, pixel);
	const qdq_cuda_unit *units = (const qdq_cuda_unit *)(const void *)reading(p->units, 8);
	int padded = (p->channels + 127) / 128 * 128;
	float multiplier[4], rest[4], addend[4];
	uint32_t sum[4];
	patch to = {pixel, c, 4, p->channels - c, false, {0}};

	copy_numbers(multiplier, p->multiplier, c, 4);
	copy_numbers(rest, p->rest, c, 4);
	copy_numbers(addend, p->addend, c, 4);
	copy_numbers(sum, p->start, c, 4);
	for (int tap = 0; tap < p->quads * 4; tap++) {
		const char *w = reading(p->weights, 16) + ((int64_t)(tap / 4) * padded + c) * 4 + tap % 4;
		const qdq_cuda_unit *u = &units[tap];
		const char *x = (const char *)&p->pad;

		if (is_inside(&at, u, p->h, p->w))
			x = reading(p->x + (uint64_t)(at.at + u->offset + c), 4);
		for (int i = 0; i < 4; i++)
			sum[i] += (uint32_t)((p->x_signed ? (int8_t)x[i] : (uint8_t)x[i]) * (int8_t)w[i * 4]);
	}
	for (int i = 0; i < 4; i++)
		to.first[i] = qdq_scale((float)(int32_t)sum[i], multiplier[i], rest[i], addend[i]);
	run_steps(&p->steps, &to);
}

static void run_depthwise(const fake_kernel_launch *l)
{
	const qdq_cuda_depthwise *p = l->params;
	int each = strcmp(l->name, "qdq_depthwise_4") == 0 ? 4 : 1;
	int64_t threads = (int64_t)((p->pixels + each - 1) / each) * ((p->channels + 3) / 4);

	REQUIRE(l->block == 128 && l->grid[1] == 1 && (int64_t)l->grid[0] * 128 >= threads);
	for (int pixel = 0; pixel < p->pixels; pixel++)
		for (int c = 0; c < p->channels; c += 4)
			depthwise_pixel(p, pixel, c);
}

/* ---- rows ---- */

/* The sum of a window's codes, or the largest, of 4 channels; returns how many pixels it has in the image. */
static int pool_codes(const qdq_cuda_rows *p, int pixel, int c, int out[4])
{
	int image = pixel / (p->oh * p->ow), y0 = pixel / p->ow % p->oh * p->sh - p->top;
	int x0 = pixel % p->ow * p->sw - p->left, number = 0;

	for (int y = y0; y < y0 + p->kh * p->dh; y += p->dh)
		for (int x = x0; x < x0 + p->kw * p->dw; x += p->dw) {
			int64_t at = (((int64_t)image * p->h + y) * p->w + x) * p->in[0].pitch + c;
			const char *word;

			if (y < 0 || y >= p->h || x < 0 || x >= p->w)
				continue;
			word = reading(p->in[0].at + (uint64_t)at, 4);
			for (int i = 0; i < 4; i++) {
				int code = (int)code_of(p->in[0].type, word[i]);

				if (p->anchor == QDQ_CUDA_MEAN)
					out[i] += code;
				else if (number == 0 || code > out[i])
					out[i] = code;
			}
			number++;
		}
	return number;
}

static void pool(const qdq_cuda_rows *p, int pixel, int c, float *v)
{
	int codes[4] = {0}, number = pool_codes(p, pixel, c, codes);
	float ratio = p->count_pads || number == p->kh * p->kw ? p->ratio : p->ratio0 / (float)number;

	for (int i = 0; i < 4; i++) {
		if (p->anchor == QDQ_CUDA_MEAN)
			v[i] = (float)(codes[i] - number * (int)p->in[0].zero) * ratio;
		else
			v[i] = (number == 0 ? -INFINITY : (float)codes[i] - p->in[0].zero) * p->ratio0;
	}
}

static void anchor(const qdq_cuda_rows *p, int pixel, int c, float *v)
{
	float other[4];

	if (p->anchor == QDQ_CUDA_MAX || p->anchor == QDQ_CUDA_MEAN) {
		pool(p, pixel, c, v);
		return;
	}
	read_place(&p->in[0], p->steps.spatial, pixel, c, 4, p->channels - c, v);
	if (p->anchor == QDQ_CUDA_MUL)
		read_place(&p->in[1], p->steps.spatial, pixel, c, 4, p->channels - c, other);
	for (int i = 0; i < 4; i++)
		v[i] = p->anchor == QDQ_CUDA_MUL ? v[i] * other[i] * p->ratio
		       : p->divisor != 0	 ? v[i] / p->divisor
						 : v[i] * p->ratio0;
}

static bool begins(const char *name, const char *with)
{
	return strncmp(name, with, strlen(with)) == 0;
}

static void rows_pixel(const qdq_cuda_rows *p, int pixel, int c, int v)
{
	patch at = {pixel, c, v, p->channels - c, false, {0}};

	for (int i = 0; i < v; i += 4)
		anchor(p, pixel, c + i, at.first + i);
	run_steps(&p->steps, &at);
}

static void run_rows(const fake_kernel_launch *l)
{
	const qdq_cuda_rows *p = l->params;
	bool max = begins(l->name, "qdq_max"), mean = strcmp(l->name, "qdq_mean") == 0;
	int each = strcmp(l->name, "qdq_rows_4") == 0 ? 4 : 1, v = max ? 16 : 4;
	int64_t threads = (int64_t)((p->pixels + each - 1) / each) * ((p->channels + v - 1) / v);

	if (mean)
		threads = (int64_t)p->pixels * ((p->channels + 127) / 128) * 256;
	REQUIRE(l->block == (mean ? 256 : 128) && l->grid[1] == 1 && (int64_t)l->grid[0] * l->block >= threads);
	REQUIRE(!max || (p->anchor == QDQ_CUDA_MAX && p->in[0].pitch % 16 == 0));
	REQUIRE(!max || (p->in[0].type == QDQ_CUDA_S8) == (strcmp(l->name, "qdq_max_s8") == 0));
	REQUIRE(!mean || p->anchor == QDQ_CUDA_MEAN);
	for (int pixel = 0; pixel < p->pixels; pixel++)
		for (int c = 0; c < p->channels; c += v)
			rows_pixel(p, pixel, c, v);
}

/* ---- all of them ---- */

typedef struct known {
	const char *begins;
	size_t params;
	void (*run)(const fake_kernel_launch *l);
} known;

static const known kernels[] = {
    {"qdq_contract_", sizeof(qdq_cuda_contract), run_contract},
    {"qdq_round_", sizeof(qdq_cuda_contract), run_contract},
    {"qdq_add_", sizeof(qdq_cuda_contract), run_contract},
    {"qdq_few", sizeof(qdq_cuda_few), run_few},
    {"qdq_depthwise", sizeof(qdq_cuda_depthwise), run_depthwise},
    {"qdq_rows", sizeof(qdq_cuda_rows), run_rows},
    {"qdq_max_", sizeof(qdq_cuda_rows), run_rows},
    {"qdq_mean", sizeof(qdq_cuda_rows), run_rows},
};

static const known *find(const char *name)
{
	for (size_t i = 0; i < sizeof kernels / sizeof *kernels; i++)
		if (begins(name, kernels[i].begins))
			return &kernels[i];
	return NULL;
}

size_t fake_params_size(const char *name)
{
	const known *k = find(name);

	return k == NULL ? 0 : k->params;
}

void fake_run(const fake_kernel_launch *l)
{
	kernel = l->name;
	find(kernel)->run(l);
}

/* SPDX-License-Identifier: Apache-2.0
 *
 * product.c -- contractions of floats, tile by tile through OpenBLAS
 */
#include "product.h"

#include <dlfcn.h>
#include <string.h>

/* TILE_M * TILE_N * TILE_K is the greatest size of a call that OpenBLAS never divides (its GEMM_MULTITHREAD_THRESHOLD) */
enum { TILE_M = 16, TILE_N = 64, TILE_K = 256, FEW_TILES = 8, FEW_WEIGHTS = 64 };
enum { ROW_MAJOR = 101, PLAIN = 111, TURNED = 112 }; /* of cblas.h */

/* ---- the library ---- */

bool qdq_blas_open(qdq_blas *b)
{
	void *found;

	if (b->looked)
		return b->multiply != NULL;
	b->looked = true;
	/* once loaded it stays: its threads cost more to start than a small network takes to run */
	b->library = dlopen("libopenblas.so.0", RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
	if (b->library == NULL)
		return false;
	found = dlsym(b->library, "cblas_sgemm");
	memcpy(&b->multiply, &found, sizeof found);
	return b->multiply != NULL;
}

void qdq_blas_close(qdq_blas *b)
{
	if (b->library != NULL)
		dlclose(b->library);
	*b = (qdq_blas){.looked = false};
}

/* ---- memory that the caller gives may lie anywhere ---- */

static float get(const float *from, int64_t i)
{
	float f;

	memcpy(&f, (const char *)from + i * 4, sizeof f);
	return f;
}

static void put(float *to, int64_t i, float f)
{
	memcpy((char *)to + i * 4, &f, sizeof f);
}

static const float *moved(const float *from, int64_t i)
{
	return (const float *)(const void *)((const char *)from + i * 4);
}

static float *moved_to(float *to, int64_t i)
{
	return (float *)(void *)((char *)to + i * 4);
}

static int64_t least(int64_t a, int64_t b)
{
	return a < b ? a : b;
}

static int64_t tiles(int64_t length, int64_t tile)
{
	return (length + tile - 1) / tile;
}

/* c += a' b' */
static void multiply(const qdq_product *p, int turn_a, int turn_b, int64_t m, int64_t n, int64_t k, float alpha,
		     const float *a, int64_t lda, const float *b, int64_t ldb, float beta, float *c, int64_t ldc)
{
	p->multiply(ROW_MAJOR, turn_a, turn_b, (int)m, (int)n, (int)k, alpha, a, (int)lda, b, (int)ldb, beta, c,
		    (int)ldc);
}

/* ---- matrices ---- */

/* Rows [row, row + rows) of a', TILE_M in all, terms [from, from + terms): in the orientation that a has. */
static void fill_rows(const qdq_product *p, const float *a, int64_t row, int64_t rows, int64_t from, int64_t terms,
		      float *to)
{
	for (int64_t i = 0; i < TILE_M; i++)
		for (int64_t l = 0; l < terms; l++) {
			int64_t at = p->turn_a ? (from + l) * p->m + row + i : (row + i) * p->k + from + l;

			to[p->turn_a ? l * TILE_M + i : i * terms + l] = i < rows ? get(a, at) : 0;
		}
}

static void matrix_part(const qdq_product *p, const qdq_product_data *d, int64_t part, float *scratch)
{
	int64_t across = tiles(p->n, TILE_N), down = tiles(p->m, TILE_M);
	int64_t column = part % across * TILE_N, row = part / across % down * TILE_M, nth = part / across / down;
	int64_t rows = least(p->m - row, TILE_M), columns = least(p->n - column, TILE_N);
	const float *a = moved(d->a, p->a_at[nth]), *b = moved(d->b, p->b_at[nth]);
	float *tile = scratch + TILE_M * TILE_K, *y = moved_to(d->y, (nth * p->m + row) * p->n + column);

	for (int64_t i = 0; i < TILE_M * TILE_N; i++)
		tile[i] = d->add == NULL || i / TILE_N >= rows || i % TILE_N >= columns
			      ? 0
			      : p->beta * get(d->add,
					      (row + i / TILE_N) * p->add_row + (column + i % TILE_N) * p->add_column);
	for (int64_t from = 0; from < p->k; from += TILE_K) {
		int64_t terms = least(p->k - from, TILE_K), lda = p->turn_a ? p->m : p->k;
		const float *left = moved(a, p->turn_a ? from * p->m + row : row * p->k + from);

		if (rows < TILE_M) {
			fill_rows(p, a, row, rows, from, terms, scratch);
			left = scratch;
			lda = p->turn_a ? TILE_M : terms;
		}
		multiply(p, p->turn_a ? TURNED : PLAIN, p->turn_b ? TURNED : PLAIN, TILE_M, columns, terms, p->alpha,
			 left, lda, moved(b, p->turn_b ? column * p->k + from : from * p->n + column),
			 p->turn_b ? p->k : p->n, 1, tile, TILE_N);
	}
	for (int64_t i = 0; i < rows; i++)
		memcpy((char *)y + i * p->n * 4, tile + i * TILE_N, (size_t)columns * sizeof(float));
}

/* ---- convolutions ---- */

static int64_t taps_of(const qdq_conv *g)
{
	return g->kh * g->kw;
}

static bool is_pointwise(const qdq_conv *g)
{
	return taps_of(g) == 1 && g->sh == 1 && g->sw == 1 && g->top == 0 && g->left == 0 && g->oh == g->h &&
	       g->ow == g->w;
}

/* Element d (channel, row and column of the window) of the windows of `pixels` outputs from `first` on. */
static void fill_column(const qdq_conv *g, const float *x, int64_t d, int64_t first, int64_t pixels, float *to)
{
	int64_t r = d / g->kw % g->kh, s = d % g->kw;
	const float *plane = moved(x, d / taps_of(g) * g->h * g->w);

	for (int64_t j = 0; j < pixels;) {
		int64_t oy = (first + j) / g->ow, ox = (first + j) % g->ow, count = least(pixels - j, g->ow - ox);
		int64_t y = oy * g->sh - g->top + r * g->dh, at = ox * g->sw - g->left + s * g->dw;
		int64_t from = at < 0 ? least((-at + g->sw - 1) / g->sw, count) : 0;
		int64_t end = at >= g->w ? from : least((g->w - at + g->sw - 1) / g->sw, count);

		if (y < 0 || y >= g->h || end < from)
			from = end = count;
		for (int64_t i = 0; i < from; i++)
			to[j + i] = 0;
		if (g->sw == 1 && from < end)
			memcpy(to + j + from, moved(plane, y * g->w + at + from), (size_t)(end - from) * sizeof(float));
		for (int64_t i = from; g->sw != 1 && i < end; i++)
			to[j + i] = get(plane, y * g->w + at + i * g->sw);
		for (int64_t i = end; i < count; i++)
			to[j + i] = 0;
		j += count;
	}
}

/* Blocks of output channels, where there are few pixels to share. */
static int64_t blocks_of(const qdq_conv *g)
{
	return tiles(g->oh * g->ow, TILE_N) * g->n * g->groups < FEW_TILES ? tiles(g->k / g->groups, 4 * TILE_M) : 1;
}

/* y += weights * rows, without OpenBLAS: of a depthwise convolution a call takes longer than the work. */
static void add_rows(const float *weights, const float *rows, int64_t terms, int64_t pixels, float *y)
{
	float sum[TILE_N];

	memcpy(sum, y, (size_t)pixels * sizeof *sum);
	for (int64_t i = 0; i < terms; i++) {
		float weight = get(weights, i);

		for (int64_t j = 0; j < pixels; j++)
			sum[j] += weight * rows[i * TILE_N + j];
	}
	memcpy(y, sum, (size_t)pixels * sizeof *sum);
}

/* One tile of pixels of one image, some channels of one group. */
static void conv_part(const qdq_product *p, const qdq_product_data *d, int64_t part, float *scratch)
{
	const qdq_conv *g = &p->g;
	int64_t out = g->oh * g->ow, across = tiles(out, TILE_N), blocks = blocks_of(g);
	int64_t pixel = part % across * TILE_N, block = part / across % blocks,
		group = part / across / blocks % g->groups;
	int64_t image = part / across / blocks / g->groups, pixels = least(out - pixel, TILE_N);
	int64_t cg = g->c / g->groups, kg = g->k / g->groups, depth = cg * taps_of(g);
	int64_t each = blocks == 1 ? kg : 4 * TILE_M, first = block * each, end = least(first + each, kg);
	const float *x = moved(d->a, (image * g->c + group * cg) * g->h * g->w);
	float *y = moved_to(d->y, (image * g->k + group * kg) * out + pixel);
	bool few = kg * depth < FEW_WEIGHTS;

	for (int64_t k = first; k < end; k++)
		for (int64_t j = 0; j < pixels; j++)
			put(y, k * out + j, d->add == NULL ? 0 : get(d->add, group * kg + k));
	for (int64_t from = 0; from < depth; from += TILE_K) {
		int64_t terms = least(depth - from, TILE_K);
		bool direct = !few && is_pointwise(g);

		for (int64_t i = 0; !direct && i < terms; i++)
			fill_column(g, x, from + i, pixel, pixels, scratch + i * TILE_N);
		for (int64_t k = first; few && k < end; k++)
			add_rows(moved(d->b, (group * kg + k) * depth), scratch, terms, pixels, moved_to(y, k * out));
		for (int64_t k = first; !few && k < end; k += TILE_M)
			multiply(p, PLAIN, PLAIN, least(end - k, TILE_M), pixels, terms, 1,
				 moved(d->b, (group * kg + k) * depth + from), depth,
				 direct ? moved(x, from * out + pixel) : scratch, direct ? out : TILE_N, 1,
				 moved_to(y, k * out), out);
	}
}

/* ---- transposed convolutions ---- */

/* Channels of the output that are computed together. */
static int64_t transposed_block(const qdq_conv *g)
{
	int64_t fit = 4 * TILE_M / taps_of(g);

	return fit < 1 ? 1 : least(fit, g->k / g->groups);
}

/* Adds what `pixels` inputs from `first` on give at one tap to a plane of the output. */
static void scatter(const qdq_conv *g, const float *from, int64_t tap, int64_t first, int64_t pixels, float *plane)
{
	int64_t r = tap / g->kw * g->dh - g->top, s = tap % g->kw * g->dw - g->left;

	for (int64_t j = 0; j < pixels;) {
		int64_t iy = (first + j) / g->w, ix = (first + j) % g->w, end = least(pixels, j + g->w - ix);
		int64_t y = iy * g->sh + r, x = ix * g->sw + s;

		for (; j < end; j++, x += g->sw)
			if (y >= 0 && y < g->oh && x >= 0 && x < g->ow)
				put(plane, y * g->ow + x, get(plane, y * g->ow + x) + from[j]);
	}
}

/* Some channels of the output of one image, which all its pixels go to one tile after the other. */
static void transposed_part(const qdq_product *p, const qdq_product_data *d, int64_t part, float *scratch)
{
	const qdq_conv *g = &p->g;
	int64_t cg = g->c / g->groups, kg = g->k / g->groups, each = transposed_block(g), blocks = tiles(kg, each);
	int64_t first = part % blocks * each, group = part / blocks % g->groups, image = part / blocks / g->groups;
	int64_t taps = taps_of(g), in = g->h * g->w, out = g->oh * g->ow, channels = least(each, kg - first);
	int64_t rows = channels * taps, row = kg * taps; /* of the weights: one for each channel of the input */
	const float *x = moved(d->a, (image * g->c + group * cg) * in);
	const float *w = moved(d->b, group * cg * row + first * taps);
	float *y = moved_to(d->y, (image * g->k + group * kg + first) * out);

	for (int64_t i = 0; i < channels * out; i++)
		put(y, i, d->add == NULL ? 0 : get(d->add, group * kg + first + i / out));
	for (int64_t pixel = 0; pixel < in; pixel += TILE_N) {
		int64_t pixels = least(in - pixel, TILE_N);

		for (int64_t from = 0; from < cg; from += TILE_K)
			for (int64_t m = 0; m < rows; m += TILE_M)
				multiply(p, TURNED, PLAIN, least(rows - m, TILE_M), pixels, least(cg - from, TILE_K), 1,
					 moved(w, from * row + m), row, moved(x, from * in + pixel), in, from != 0,
					 scratch + m * TILE_N, TILE_N);
		for (int64_t m = 0; m < rows; m++)
			scatter(g, scratch + m * TILE_N, m % taps, pixel, pixels, moved_to(y, m / taps * out));
	}
}

/* ---- all of them ---- */

bool qdq_product_fits(const qdq_product *p)
{
	const qdq_conv *g = &p->g;
	const double most = 2147483647.0;

	if (p->kind == QDQ_PRODUCT_MATRIX)
		return (double)p->m < most && (double)p->n < most && (double)p->k < most;
	return (double)g->c * (double)taps_of(g) < most && (double)g->k * (double)taps_of(g) < most &&
	       (double)g->h * (double)g->w < most && (double)g->oh * (double)g->ow < most;
}

int64_t qdq_product_parts(const qdq_product *p)
{
	const qdq_conv *g = &p->g;

	if (p->kind == QDQ_PRODUCT_MATRIX)
		return p->count * tiles(p->m, TILE_M) * tiles(p->n, TILE_N);
	if (p->kind == QDQ_PRODUCT_CONV)
		return g->n * g->groups * blocks_of(g) * tiles(g->oh * g->ow, TILE_N);
	return g->n * g->groups * tiles(g->k / g->groups, transposed_block(g));
}

size_t qdq_product_scratch(const qdq_product *p)
{
	int64_t rows = p->kind == QDQ_PRODUCT_TRANSPOSED ? transposed_block(&p->g) * taps_of(&p->g) : TILE_K;

	if (p->kind == QDQ_PRODUCT_MATRIX)
		return (TILE_M * TILE_K + TILE_M * TILE_N) * sizeof(float);
	return (size_t)(rows * TILE_N) * sizeof(float);
}

void qdq_product_run(const qdq_product *p, const qdq_product_data *d, int64_t part, float *scratch)
{
	if (p->kind == QDQ_PRODUCT_MATRIX)
		matrix_part(p, d, part, scratch);
	else if (p->kind == QDQ_PRODUCT_CONV)
		conv_part(p, d, part, scratch);
	else
		transposed_part(p, d, part, scratch);
}

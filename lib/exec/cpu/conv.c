/* SPDX-License-Identifier: Apache-2.0
 *
 * conv.c -- convolutions: gathering windows into panels, and running the micro-kernels over them
 *
 * For a panel of pixels and a chunk of channels the accumulators stay in cache, the weights of a block are read once for
 * all pixels of the panel, and then whoever asked gets the tile.
 */
#include "kernels.h"

#define PANEL_BYTES 131072 /* a panel at most, so that it stays in the second cache with a block of weights */
#define PANEL_PIXELS 96
#define CHUNK 128	    /* channels of a tile */
#define DEPTHWISE_PIXELS 16 /* of a tile */

typedef struct work {
	const qdq_filter *f;
	const qdq_conv *g;
	const uint8_t *x;
	char *panel;
	int32_t *acc;
	qdq_tile_fn *use;
	void *user;
} work;

/* ---- panels ---- */

static int64_t element_size(const qdq_filter *f)
{
	return f->form == QDQ_FORM_BYTES ? 1 : 2;
}

static int64_t panel_pixels(const qdq_filter *f)
{
	int64_t fit = PANEL_BYTES / (f->depth * element_size(f)) / QDQ_MR_BYTES * QDQ_MR_BYTES;

	return fit < QDQ_MR_BYTES ? QDQ_MR_BYTES : fit > PANEL_PIXELS ? PANEL_PIXELS : fit;
}

/* `count` codes of the image, or NULL: of padding; `room` elements are written, the rest as zeros. */
static void put_codes(const work *w, char *to, const uint8_t *from, int64_t count, int64_t room)
{
	const qdq_conv *g = w->g;

	if (w->f->form == QDQ_FORM_BYTES) {
		uint8_t *bytes = (uint8_t *)to, flip = g->x_signed ? 0x80 : 0;

		if (from == NULL)
			memset(bytes, (uint8_t)g->zx ^ flip, (size_t)count);
		else if (flip == 0)
			memcpy(bytes, from, (size_t)count);
		else
			for (int64_t i = 0; i < count; i++)
				bytes[i] = from[i] ^ 0x80;
		if (room > count)
			memset(bytes + count, 0, (size_t)(room - count));
		return;
	}
	int16_t *wide = (int16_t *)(void *)to, zx = (int16_t)g->zx;

	for (int64_t i = 0; from != NULL && i < count; i++)
		wide[i] = (int16_t)((g->x_signed ? (int8_t)from[i] : from[i]) - zx);
	if (from == NULL)
		count = 0;
	if (room > count)
		memset(wide + count, 0, (size_t)(room - count) * 2);
}

/* The window of output pixel p for one group. */
static void gather(const work *w, char *to, int64_t p, int64_t group)
{
	const qdq_conv *g = w->g;
	int64_t image = p / (g->oh * g->ow), y0 = p / g->ow % g->oh * g->sh - g->top, x0 = p % g->ow * g->sw - g->left;
	int64_t cg = g->c / g->groups, size = element_size(w->f), row = g->kw * w->f->tap;
	bool whole = g->groups == 1 && g->dw == 1 && x0 >= 0 && x0 + g->kw <= g->w;

	for (int64_t r = 0; r < g->kh; r++, to += row * size) {
		int64_t y = y0 + r * g->dh;
		bool inside = y >= 0 && y < g->h;
		const uint8_t *line = w->x + (image * g->h + (inside ? y : 0)) * g->w * g->pitch;

		if (!inside) {
			put_codes(w, to, NULL, row, row);
			continue;
		}
		if (whole) {
			put_codes(w, to, line + x0 * g->pitch, row, row);
			continue;
		}
		for (int64_t s = 0; s < g->kw; s++) {
			int64_t x = x0 + s * g->dw;
			const uint8_t *from = x >= 0 && x < g->w ? line + x * g->pitch + group * cg : NULL;

			put_codes(w, to + s * w->f->tap * size, from, g->groups == 1 && from != NULL ? w->f->tap : cg,
				  w->f->tap);
		}
	}
}

/* ---- products ---- */

static qdq_micro *micro_of(const qdq_filter *f, int64_t *rows)
{
	*rows = f->form == QDQ_FORM_BYTES ? QDQ_MR_BYTES : QDQ_MR_WIDE;
#if defined(__x86_64__) && defined(__GNUC__)
	if (f->form == QDQ_FORM_BYTES)
		return qdq_micro_bytes_vnni;
	if (f->isa >= QDQ_ISA_AVX2)
		return qdq_micro_wide_avx2;
#endif
	return qdq_micro_wide_c;
}

/* Channels [first, first + count) of a group, for a panel that is gathered. */
static void multiply(const work *w, const char *panel, int64_t pixel, int64_t pixels, int64_t group, int64_t first,
		     int64_t count)
{
	const qdq_filter *f = w->f;
	int64_t rows, kg = w->g->k / w->g->groups, size = element_size(f);
	qdq_micro *micro = micro_of(f, &rows);

	for (int64_t chunk = first; chunk < first + count; chunk += CHUNK) {
		int64_t end = chunk + CHUNK < first + count ? chunk + CHUNK : first + count;

		for (int64_t c = chunk; c < end; c += QDQ_NR) {
			int64_t at = group * f->group_channels + c;
			const char *weights = (const char *)f->weights + at * f->depth * size;

			for (int64_t p = 0; p < pixels; p += rows)
				micro(panel + p * f->depth * size, f->depth, weights, f->start + at,
				      w->acc + p * CHUNK + (c - chunk), CHUNK, pixels - p < rows ? pixels - p : rows);
		}
		w->use(w->user, &(qdq_tile){.acc = w->acc,
					    .pitch = CHUNK,
					    .pixel = pixel,
					    .pixels = pixels,
					    .channel = group * kg + chunk,
					    .channels = end - chunk});
	}
}

/* Are the windows of adjacent pixels adjacent in memory as they are? */
static bool is_product(const qdq_conv *g)
{
	return g->groups == 1 && g->kh * g->kw == 1 && g->sh == 1 && g->sw == 1 && g->top == 0 && g->left == 0 &&
	       g->oh == g->h && g->ow == g->w;
}

/* The windows of n pixels from p on; where they are. */
static char *fill_panel(const work *w, int64_t p, int64_t n, int64_t group)
{
	int64_t size = element_size(w->f), depth = w->f->depth;

	if (is_product(w->g)) {
		const uint8_t *from = w->x + p * w->g->pitch;

		if (w->f->form == QDQ_FORM_BYTES && !w->g->x_signed)
			return (char *)(uintptr_t)from;
		put_codes(w, w->panel, from, n * depth, n * depth);
		return w->panel;
	}
	for (int64_t i = 0; i < n; i++)
		gather(w, w->panel + i * depth * size, p + i, group);
	return w->panel;
}

static void run_panels(const work *w, int64_t pixel, int64_t pixels, int64_t channel, int64_t channels)
{
	int64_t each = panel_pixels(w->f), kg = w->g->k / w->g->groups;

	for (int64_t p = pixel; p < pixel + pixels; p += each) {
		int64_t n = pixel + pixels - p < each ? pixel + pixels - p : each;

		for (int64_t k = channel; k < channel + channels;) {
			int64_t group = k / kg,
				end = (group + 1) * kg < channel + channels ? (group + 1) * kg : channel + channels;

			multiply(w, fill_panel(w, p, n, group), p, n, group, k - group * kg, end - k);
			k = end;
		}
	}
}

/* ---- depthwise ---- */

/* acc += (x - zx) * taps, for adjacent channels */
static void add_tap(const qdq_conv *g, const uint8_t *x, const int32_t *taps, int64_t count, int32_t *acc)
{
	int32_t zx = g->zx;

	if (g->x_signed)
		for (int64_t i = 0; i < count; i++)
			acc[i] += ((int8_t)x[i] - zx) * taps[i];
	else
		for (int64_t i = 0; i < count; i++)
			acc[i] += (x[i] - zx) * taps[i];
}

/* Where the taps of output pixel p are: in the image, or (NULL) in padding. */
static void find_taps(const work *w, int64_t p, const uint8_t **taps)
{
	const qdq_conv *g = w->g;
	int64_t image = p / (g->oh * g->ow), y0 = p / g->ow % g->oh * g->sh - g->top, x0 = p % g->ow * g->sw - g->left;
	bool inside = y0 >= 0 && x0 >= 0 && y0 + (g->kh - 1) * g->dh < g->h && x0 + (g->kw - 1) * g->dw < g->w;
	const uint8_t *first = inside ? w->x + ((image * g->h + y0) * g->w + x0) * g->pitch : NULL;

	for (int64_t r = 0; inside && r < g->kh; r++, first += g->dh * g->w * g->pitch)
		for (int64_t q = 0; q < g->kw; q++)
			*taps++ = first + q * g->dw * g->pitch;
	for (int64_t r = 0; !inside && r < g->kh; r++) {
		int64_t y = y0 + r * g->dh;
		const uint8_t *line = y >= 0 && y < g->h ? w->x + (image * g->h + y) * g->w * g->pitch : NULL;

		for (int64_t q = 0, x = x0; q < g->kw; q++, x += g->dw)
			*taps++ = line != NULL && x >= 0 && x < g->w ? line + x * g->pitch : NULL;
	}
}

static void depthwise_c(const work *w, const uint8_t *const *taps, int64_t channel, int64_t channels, int32_t *acc)
{
	const qdq_conv *g = w->g;

	memset(acc, 0, (size_t)channels * sizeof *acc);
	for (int64_t t = 0; t < g->kh * g->kw; t++)
		if (taps[t] != NULL)
			add_tap(g, taps[t] + channel, w->f->taps + t * g->k + channel, channels, acc);
}

/* The panel of a depthwise convolution: pointers to the taps of a pixel, the same for some channels, a row of zero points. */
static int64_t pairs_of(const qdq_conv *g)
{
	return (g->kh * g->kw + 1) / 2;
}

static size_t depthwise_panel(const qdq_conv *g)
{
	return (size_t)pairs_of(g) * 4 * sizeof(void *) + CHUNK;
}

/* Channels [channel, channel + channels) of one pixel, at most CHUNK; channel is a multiple of 16. */
static void depthwise(const work *w, const uint8_t *const *taps, int64_t channel, int64_t channels, int32_t *acc)
{
#if defined(__x86_64__) && defined(__GNUC__)
	int64_t pairs = pairs_of(w->g), whole = channels / 16 * 16;

	if (w->f->pairs != NULL && whole != 0) {
		const uint8_t **moved = (const uint8_t **)(void *)w->panel + 2 * pairs;
		const uint8_t *zeros = (const uint8_t *)(moved + 2 * pairs);

		for (int64_t t = 0; t < 2 * pairs; t++)
			moved[t] = t < w->g->kh * w->g->kw && taps[t] != NULL ? taps[t] + channel : zeros;
		qdq_depthwise_avx2(moved, pairs, w->f->pairs + channel / 16 * pairs * 32, whole, w->g->zx,
				   w->g->x_signed, acc);
		if (whole != channels)
			depthwise_c(w, taps, channel + whole, channels - whole, acc + whole);
		return;
	}
#endif
	depthwise_c(w, taps, channel, channels, acc);
}

static void run_depthwise(const work *w, int64_t pixel, int64_t pixels, int64_t channel, int64_t channels)
{
	const uint8_t **taps = (const uint8_t **)(void *)w->panel;

	memset(taps + 4 * pairs_of(w->g), w->g->zx & 0xff, CHUNK);
	for (int64_t p = pixel; p < pixel + pixels; p += DEPTHWISE_PIXELS) {
		int64_t count = pixel + pixels - p < DEPTHWISE_PIXELS ? pixel + pixels - p : DEPTHWISE_PIXELS;

		for (int64_t c = channel; c < channel + channels; c += CHUNK) {
			int64_t n = channel + channels - c < CHUNK ? channel + channels - c : CHUNK;

			for (int64_t i = 0; i < count; i++) {
				find_taps(w, p + i, taps);
				depthwise(w, taps, c, n, w->acc + i * CHUNK);
			}
			w->use(w->user, &(qdq_tile){w->acc, CHUNK, p, count, c, n});
		}
	}
}

/* ---- both ---- */

size_t qdq_conv_scratch(const qdq_filter *f, const qdq_conv *g)
{
	if (f->form == QDQ_FORM_DEPTHWISE)
		return DEPTHWISE_PIXELS * CHUNK * sizeof(int32_t) + depthwise_panel(g);
	return (size_t)(panel_pixels(f) * (f->depth * element_size(f) + CHUNK * (int64_t)sizeof(int32_t))) + 128;
}

void qdq_conv_run(const qdq_filter *f, const qdq_conv *g, const uint8_t *x, int64_t pixel, int64_t pixels,
		  int64_t channel, int64_t channels, void *scratch, qdq_tile_fn *use, void *user)
{
	work w = {.f = f, .g = g, .x = x, .acc = scratch, .use = use, .user = user};

	if (f->form == QDQ_FORM_DEPTHWISE) {
		w.panel = (char *)scratch + DEPTHWISE_PIXELS * CHUNK * sizeof(int32_t);
		run_depthwise(&w, pixel, pixels, channel, channels);
		return;
	}
	w.panel = (char *)scratch + panel_pixels(f) * CHUNK * (int64_t)sizeof(int32_t);
	run_panels(&w, pixel, pixels, channel, channels);
}

/* ---- plain C ---- */

void qdq_micro_wide_c(const void *panel, int64_t depth, const void *weights, const int32_t *start, int32_t *acc,
		      int64_t pitch, int64_t rows)
{
	const int16_t *a = panel, *b = weights;

	for (int64_t i = 0; i < rows; i++) {
		int32_t sum[QDQ_NR];

		memcpy(sum, start, sizeof sum);
		for (int64_t e = 0; e < depth; e += 2) {
			const int16_t *pair = b + e * QDQ_NR;
			int32_t first = a[i * depth + e], second = a[i * depth + e + 1];

			for (int64_t j = 0; j < QDQ_NR; j++)
				sum[j] += first * pair[2 * j] + second * pair[2 * j + 1];
		}
		memcpy(acc + i * pitch, sum, sizeof sum);
	}
}

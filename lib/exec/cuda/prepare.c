/* SPDX-License-Identifier: Apache-2.0
 *
 * prepare.c -- a plan's kernels as launches: which function, its grid and its parameters
 */
#include "cuda.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

/* ---- contractions ---- */

static void set_units(qdq_cuda_plan *c, uint64_t *at, const qdq_conv *g, int32_t copies, int32_t span, int32_t unit,
		      int32_t multiple)
{
	int32_t taps = (int32_t)(g->kh * g->kw), n = copies * taps * (span / unit);
	int32_t all = (n + multiple - 1) / multiple * multiple;
	qdq_cuda_unit *units = qdq_array(c->scratch, qdq_cuda_unit, (size_t)all);

	for (int32_t i = 0; i < copies * taps; i++) {
		int64_t dy = i % taps / g->kw * g->dh, dx = i % taps % g->kw * g->dw;

		for (int32_t channel = 0; channel < span; channel += unit)
			units[qdq_cuda_window_place(g, span, i, channel) / unit] =
			    (qdq_cuda_unit){(int32_t)((dy * g->w + dx) * g->pitch + channel), (int16_t)dy, (int16_t)dx};
	}
	for (int32_t i = n; i < all; i++)
		units[i] = (qdq_cuda_unit){units[0].offset, INT16_MIN, INT16_MIN}; /* outside of every image */
	qdq_cuda_slot(c, at, QDQ_SLOT_BLOB,
		      qdq_cuda_blob_add(c, units, (size_t)all * sizeof *units, (size_t)all * sizeof *units));
}

/* What every accumulator begins with: the bias, and what the zero point of x adds to each sum. */
static const int32_t *starts(qdq_cuda_plan *c, const qdq_kernel *k, const qdq_cuda_filter *f)
{
	int32_t *out = qdq_array(c->scratch, int32_t, (uint64_t)k->channels);

	for (int64_t i = 0; i < k->channels; i++)
		out[i] = (int32_t)((uint32_t)(k->bias != NULL ? k->bias[i] : 0) -
				   (uint32_t)k->conv.zx * (uint32_t)f->sums[i]);
	return out;
}

/* Can no sum leave 22 bits? The codes of x are at most 255 from 0, and all that a window adds is in `largest`. */
static bool sums_small(const qdq_kernel *k, const qdq_cuda_filter *f, const int32_t *start)
{
	for (int64_t i = 0; i < k->channels; i++)
		if (f->largest[i] * (k->conv.x_signed ? 128 : 255) + llabs(start[i]) >= 1 << 22)
			return false;
	return true;
}

/* For the sums of splits, and to count them. */
static void need_memory(qdq_cuda_plan *c, const qdq_launch *l)
{
	const qdq_tile_shape *s = &qdq_tiles[l->function % QDQ_TILES];
	uint64_t partial = (uint64_t)l->grid[0] * l->grid[1] * (uint64_t)(s->pixels * s->channels) * 4;

	if (l->grid[1] == 1)
		return;
	c->partial_size = partial > c->partial_size ? partial : c->partial_size;
	c->counters_size = l->grid[0] * UINT64_C(4) > c->counters_size ? l->grid[0] * UINT64_C(4) : c->counters_size;
}

void qdq_cuda_set_tactic(qdq_cuda_plan *c, qdq_launch *l, qdq_tactic t)
{
	const qdq_tile_shape *s = &qdq_tiles[t.tile];
	qdq_cuda_contract *p = l->params;

	p->columns = (p->channels + s->channels - 1) / s->channels;
	p->steps_each = (p->depth / 64 + t.splits - 1) / t.splits;
	p->splits = (p->depth / 64 + p->steps_each - 1) / p->steps_each;
	l->function = (uint32_t)l->ending * QDQ_TILES + (uint32_t)t.tile;
	l->grid[0] = (uint32_t)((p->pixels + s->pixels - 1) / s->pixels) * (uint32_t)p->columns;
	l->grid[1] = (uint32_t)p->splits;
	l->block = (uint32_t)s->threads;
	l->shared = (uint32_t)qdq_tile_shared(s);
	need_memory(c, l);
}

/* Are all vectors of 16 channels whole ones of rows? */
static bool is_whole(const qdq_cuda_place *p)
{
	return p->type != QDQ_CUDA_FLOAT && p->pitch >= 16 && p->channel % 16 == 0 && p->limit % 16 == 0;
}

/* The kernel for the chain of these steps. */
static qdq_cuda_ending ending_of(const qdq_cuda_contract *p)
{
	const qdq_cuda_steps *all = &p->steps;
	const qdq_cuda_step *s = all->step;

	if (!p->regular)
		return QDQ_ENDING_ANY;
	if (all->count == 1 && s[0].kind == QDQ_CUDA_ROUND_STORE && is_whole(&s[0].place))
		return p->x_signed ? QDQ_ENDING_ROUND_S8 : QDQ_ENDING_ROUND_U8;
	if (all->count == 4 && s[0].kind == QDQ_CUDA_ROUND && s[1].kind == QDQ_CUDA_SCALE && all->fetched == 2 &&
	    s[3].kind == QDQ_CUDA_ROUND_STORE && is_whole(&s[3].place))
		return p->x_signed ? QDQ_ENDING_ADD_S8 : QDQ_ENDING_ADD_U8;
	return QDQ_ENDING_ANY;
}

static qdq_contraction contraction_of(const qdq_cuda_contract *p, qdq_cuda_ending ending)
{
	return (qdq_contraction){
	    p->pixels, p->channels, p->depth, p->group_inputs != 0, p->steps.fetched >= 0, ending != QDQ_ENDING_ANY};
}

static const double MOST = 2147483647.0 - QDQ_CUDA_SLACK; /* kernels count in 32 bits */

/* One axis of a window: where the first tap of any output is, and how far the last one is from there. */
static bool axis_fits(int64_t out, int64_t stride, int64_t pad, int64_t kernel, int64_t dilation, int64_t length)
{
	double reach = (double)kernel * (double)dilation;

	return (double)out * (double)stride + fabs((double)pad) + reach < MOST && (double)length + reach < MOST;
}

/* Bytes of an image and of what a window covers; weights; outputs; rows and columns, those of the window in 16 bits. */
static bool fits(const qdq_conv *g)
{
	double line = (double)g->w * (double)g->pitch, side = 32768;
	double down = (double)g->kh * (double)g->dh, right = (double)g->kw * (double)g->dw;

	return axis_fits(g->oh, g->sh, g->top, g->kh, g->dh, g->h) &&
	       axis_fits(g->ow, g->sw, g->left, g->kw, g->dw, g->w) && (double)g->h * line < MOST &&
	       down * line + right * (double)g->pitch < MOST &&
	       (double)g->kh * (double)g->kw * (double)g->pitch * 4 < MOST &&
	       (double)g->n * (double)g->oh * (double)g->ow < MOST && down < side && right < side &&
	       (double)g->sh < side && (double)g->sw < side && fabs((double)g->top) < side &&
	       fabs((double)g->left) < side && g->h < 1 << 24 && g->w < 1 << 24;
}

/* The same of a pool, whose offsets in memory have 64 bits. */
static bool window_fits(const qdq_window *w)
{
	return axis_fits(w->oh, w->sh, w->top, w->kh, w->dh, w->h) &&
	       axis_fits(w->ow, w->sw, w->left, w->kw, w->dw, w->w) && (double)w->oh * (double)w->ow < MOST;
}

/* The zero point of the input in each byte. */
static int32_t padding(const qdq_conv *g)
{
	return (int32_t)((uint32_t)(g->zx & 0xff) * 0x01010101u);
}

/* The members that contractions of every kind have. */
#define SET_GEOMETRY(p, g, k)                                                                        \
	((p)->channels = (int32_t)(k)->channels, (p)->h = (int32_t)(g)->h, (p)->w = (int32_t)(g)->w, \
	 (p)->oh = (int32_t)(g)->oh, (p)->ow = (int32_t)(g)->ow, (p)->sh = (int32_t)(g)->sh,         \
	 (p)->sw = (int32_t)(g)->sw, (p)->top = (int32_t)(g)->top, (p)->left = (int32_t)(g)->left,   \
	 (p)->x_signed = (g)->x_signed)
/* and those whose channels are many */
#define SET_ROWS(p, g, k)                                                                                              \
	((p)->pixels = (int32_t)(k)->pixels, (p)->pitch = (int32_t)(g)->pitch,                                         \
	 (p)->image = (int32_t)((g)->h * (g)->w * (g)->pitch),                                                         \
	 (p)->pointwise = (g)->kh * (g)->kw == 1 && (g)->sh == 1 && (g)->sw == 1 && (g)->top == 0 && (g)->left == 0 && \
			  (g)->oh == (g)->h && (g)->ow == (g)->w)

static bool prepare_depthwise(qdq_cuda_device *d, qdq_cuda_plan *c, const qdq_kernel *k, qdq_launch *l)
{
	const qdq_cuda_filter *f = qdq_cuda_filter_of(d, &k->conv);
	qdq_cuda_depthwise *p = qdq_new(d->base.arena, qdq_cuda_depthwise);
	uint64_t words = (uint64_t)((k->channels + 3) / 4), threads = (uint64_t)k->pixels * words;
	bool many = threads > (uint64_t)d->multiprocessors * 8192;

	if (many)
		threads = (uint64_t)(k->pixels + 3) / 4 * words;
	SET_GEOMETRY(p, &k->conv, k);
	SET_ROWS(p, &k->conv, k);
	p->pad = padding(&k->conv);
	p->quads = f->depth;
	p->weights = f->weights;
	qdq_cuda_slot(c, &p->x, k->in[0].buffer, 0);
	set_units(c, &p->units, &k->conv, f->copies, 4, 4, 4);
	qdq_cuda_per_channel(c, &p->start, starts(c, k, f), k->channels);
	qdq_cuda_per_channel(c, &p->multiplier, k->multiplier, k->channels);
	qdq_cuda_per_channel(c, &p->rest, k->rest, k->channels);
	qdq_cuda_per_channel(c, &p->addend, k->addend, k->channels);
	*l = (qdq_launch){.k = k,
			  .function = many ? QDQ_DEPTHWISE_4 : QDQ_DEPTHWISE,
			  .grid = {(uint32_t)((threads + 127) / 128), 1},
			  .block = 128,
			  .params = p};
	return threads < UINT32_MAX - 128 && qdq_cuda_flatten(c, k, &p->steps);
}

static bool prepare_contract(qdq_cuda_device *d, qdq_cuda_plan *c, const qdq_kernel *k, qdq_launch *l)
{
	const qdq_conv *g = &k->conv;
	const qdq_cuda_filter *f = qdq_cuda_filter_of(d, g);
	qdq_cuda_contract *p = qdq_new(d->base.arena, qdq_cuda_contract);
	const int32_t *start = starts(c, k, f);
	qdq_contraction what;
	uint8_t outside[16];

	SET_GEOMETRY(p, g, k);
	SET_ROWS(p, g, k);
	memset(outside, g->zx & 0xff, sizeof outside);
	p->depth = f->depth;
	p->regular = f->copies == 1 && (f->span % 64 == 0 || g->kh * g->kw == 1);
	p->kh = (int32_t)g->kh;
	p->kw = (int32_t)g->kw;
	p->dh = (int32_t)g->dh;
	p->dw = (int32_t)g->dw;
	p->n_units = (int32_t)(f->copies * g->kh * g->kw * (f->span / 16));
	p->weights = f->weights;
	qdq_cuda_slot(c, &p->x, k->in[0].buffer, 0);
	set_units(c, &p->units, g, f->copies, f->span, 16, 4);
	qdq_cuda_slot(c, &p->padding, QDQ_SLOT_BLOB, qdq_cuda_blob_add(c, outside, sizeof outside, sizeof outside));
	qdq_cuda_per_channel(c, &p->start, start, k->channels);
	p->small = sums_small(k, f, start);
	qdq_cuda_per_channel(c, &p->multiplier, k->multiplier, k->channels);
	qdq_cuda_per_channel(c, &p->rest, k->rest, k->channels);
	qdq_cuda_per_channel(c, &p->addend, k->addend, k->channels);
	qdq_cuda_slot(c, &p->partial, QDQ_SLOT_PARTIAL, 0);
	qdq_cuda_slot(c, &p->counters, QDQ_SLOT_COUNTERS, 0);
	p->group_inputs = g->groups == 1 ? 0 : (int32_t)(g->c / g->groups);
	p->group_outputs = g->groups == 1 ? 0 : (int32_t)(g->k / g->groups);
	*l = (qdq_launch){.k = k, .params = p};
	/* a tile of groups reads at most span bytes behind the last pixel */
	if (!qdq_cuda_flatten(c, k, &p->steps) || (g->groups != 1 && f->span > QDQ_CUDA_SLACK))
		return false;
	l->ending = ending_of(p);
	what = contraction_of(p, l->ending);
	qdq_cuda_set_tactic(c, l, qdq_cuda_tactic(d, &what));
	return true;
}

/* ---- the first layer ---- */

/* Bytes of shared memory for tiles of so many rows and groups of 16. */
static int64_t set_few_tile(qdq_cuda_few *p, int64_t rows, int64_t groups)
{
	p->tile_rows = (int32_t)rows;
	p->groups = (int32_t)groups;
	p->patch_h = (int32_t)((rows - 1) * p->sh + (p->kh - 1) * p->dh + 1);
	p->patch_w = (int32_t)((groups * 16 - 1) * p->sw + (p->kw - 1) * p->dw + 1);
	/* and what taps behind the last row's end read, times nothing */
	return p->warps * INT64_C(32) * (p->depth + 16) + (int64_t)p->patch_h * p->patch_w * 4 + p->dw * INT64_C(16);
}

/* Tiles as large as leave every multiprocessor some blocks, since adjacent ones bring the same rows; 0: none is small
 * enough. */
static int64_t choose_few_tile(const qdq_cuda_device *d, qdq_cuda_few *p, int64_t images)
{
	static const struct {
		int rows, groups;
	} tiles[] = {{8, 8}, {8, 4}, {4, 4}, {2, 4}, {1, 4}, {1, 1}};
	int64_t in_row = (p->ow + 15) / 16, shared = 0;

	for (size_t i = 0; i < sizeof tiles / sizeof *tiles; i++) {
		int64_t columns = (in_row + tiles[i].groups - 1) / tiles[i].groups;
		int64_t groups = (in_row + columns - 1) / columns; /* as many in each */
		int64_t blocks = images * ((p->oh + tiles[i].rows - 1) / tiles[i].rows) * columns;

		shared = set_few_tile(p, tiles[i].rows < p->oh ? tiles[i].rows : p->oh, groups);
		if (shared <= QDQ_FEW_SHARED / 2 && (blocks >= 4 * d->multiprocessors || tiles[i].rows == 1))
			break;
	}
	return shared <= QDQ_FEW_SHARED ? shared : 0;
}

/* Does the kernel before k only quantize what k reads, and nobody else? */
static bool quantizes_for(const qdq_cuda_plan *c, const qdq_kernel *k)
{
	size_t i = (size_t)(k - c->p->kernels.items);
	const qdq_kernel *q = i == 0 ? NULL : k - 1;
	const qdq_buffer *from, *to;

	if (q == NULL || q->anchor != QDQ_ANCHOR_LOAD || q->n_steps != 2 || q->steps[0].kind != QDQ_STEP_ROUND ||
	    q->steps[0].before != 1 || q->steps[1].kind != QDQ_STEP_STORE || q->steps[1].from != q->steps[0].to ||
	    q->steps[1].other.buffer != k->in[0].buffer || q->steps[1].other.channel != 0)
		return false;
	from = &c->p->buffers.items[q->in[0].buffer];
	to = &c->p->buffers.items[k->in[0].buffer];
	for (uint32_t s = 0; s < k->n_steps; s++)
		if (qdq_step_has_operand(&k->steps[s]) && k->steps[s].other.buffer == k->in[0].buffer)
			return false;
	return from->type == QDQ_TYPE_FLOAT && !from->rows && from->rank == 4 && from->dims[1] == k->conv.c &&
	       from->dims[2] == k->conv.h && from->dims[3] == k->conv.w &&
	       (from->place != QDQ_PLACE_ARENA || from->last >= i) && to->place == QDQ_PLACE_ARENA &&
	       to->first == i - 1 && to->last == i;
}

static void set_division(qdq_cuda_few *p, const qdq_operand *o)
{
	p->divisor = o->divisor;
	p->scale = o->divisor == 0 ? o->ratio : 1 / o->divisor;
	p->distance = 0.5f;
	if (o->divisor == 0) { /* it is a product */
		p->distance = 1;
	} else if (!isnormal(o->divisor) || !isnormal(p->scale)) {
		p->distance = -1; /* always divided */
	}
}

static void fuse_quantization(qdq_cuda_plan *c, const qdq_kernel *k, qdq_cuda_few *p)
{
	const qdq_kernel *q = k - 1;

	c->launches[q - c->p->kernels.items].fused = true;
	p->from_floats = 1;
	set_division(p, &q->in[0]);
	p->low = q->steps[0].low;
	p->high = q->steps[0].high;
	p->zero = q->steps[1].other.zero;
	qdq_cuda_slot(c, &p->x, q->in[0].buffer, 0);
}

static bool prepare_few(qdq_cuda_device *d, qdq_cuda_plan *c, const qdq_kernel *k, qdq_launch *l)
{
	const qdq_conv *g = &k->conv;
	const qdq_cuda_filter *f = qdq_cuda_filter_of(d, g);
	qdq_cuda_few *p = qdq_new(d->base.arena, qdq_cuda_few);
	int64_t images = k->pixels / (g->oh * g->ow), shared, rows, columns;
	bool rounds;

	SET_GEOMETRY(p, g, k);
	p->pad = padding(g);
	p->kh = (int32_t)g->kh;
	p->kw = (int32_t)g->kw;
	p->dh = (int32_t)g->dh;
	p->dw = (int32_t)g->dw;
	p->inputs = (int32_t)g->c;
	p->depth = f->depth;
	p->weights = f->weights;
	p->warps = p->channels <= 32 ? 1 : 2;
	qdq_cuda_per_channel(c, &p->start, starts(c, k, f), k->channels);
	qdq_cuda_per_channel(c, &p->multiplier, k->multiplier, k->channels);
	qdq_cuda_per_channel(c, &p->rest, k->rest, k->channels);
	qdq_cuda_per_channel(c, &p->addend, k->addend, k->channels);
	shared = choose_few_tile(d, p, images);
	if (shared == 0 || !qdq_cuda_flatten(c, k, &p->steps))
		return false;
	rounds =
	    p->steps.count == 1 && p->steps.step[0].kind == QDQ_CUDA_ROUND_STORE && is_whole(&p->steps.step[0].place);
	rows = (p->oh + p->tile_rows - 1) / p->tile_rows;
	columns = (p->ow + p->groups * 16 - 1) / (p->groups * 16);
	*l = (qdq_launch){.k = k,
			  .function = !rounds	    ? QDQ_FEW
				      : p->x_signed ? QDQ_FEW_ROUND_S8
						    : QDQ_FEW_ROUND_U8,
			  .grid = {(uint32_t)(images * rows * columns),
				   (uint32_t)((p->channels + p->warps * 32 - 1) / (p->warps * 32))},
			  .block = 128,
			  .shared = (uint32_t)shared,
			  .params = p};
	if (quantizes_for(c, k))
		fuse_quantization(c, k, p);
	else
		qdq_cuda_slot(c, &p->x, k->in[0].buffer, 0);
	return true;
}

/* ---- the rest ---- */

/* The kernel of a pool, where there is one that is better than that for all rows; its blocks, or 0. */
static uint64_t choose_pool(const qdq_cuda_rows *p, qdq_launch *l)
{
	if (p->in[0].pitch % 16 != 0 || p->in[0].pitch == 0 || p->in[0].channel % 16 != 0)
		return 0;
	if (p->anchor == QDQ_CUDA_MAX) {
		l->function = p->in[0].type == QDQ_CUDA_S8 ? QDQ_MAX_S8 : QDQ_MAX_U8;
		return ((uint64_t)p->pixels * (uint64_t)((p->channels + 15) / 16) + 127) / 128;
	}
	if (p->anchor == QDQ_CUDA_MEAN && p->kh * p->kw >= 32) {
		l->function = QDQ_MEAN;
		l->block = 256;
		return (uint64_t)p->pixels * (uint64_t)((p->channels + 127) / 128);
	}
	return 0;
}

static bool is_pool(const qdq_kernel *k)
{
	return k->anchor == QDQ_ANCHOR_MAX || k->anchor == QDQ_ANCHOR_MEAN;
}

/* All but the steps. */
static qdq_cuda_rows rows_of(const qdq_kernel *k)
{
	static const int anchors[] = {[QDQ_ANCHOR_LOAD] = QDQ_CUDA_LOAD,
				      [QDQ_ANCHOR_MUL] = QDQ_CUDA_MUL,
				      [QDQ_ANCHOR_MAX] = QDQ_CUDA_MAX,
				      [QDQ_ANCHOR_MEAN] = QDQ_CUDA_MEAN};
	const qdq_window *w = &k->window;

	return (qdq_cuda_rows){.anchor = anchors[k->anchor],
			       .pixels = (int32_t)k->pixels,
			       .channels = (int32_t)k->channels,
			       .ratio0 = k->in[0].ratio,
			       .divisor = k->in[0].divisor,
			       .ratio = k->ratio,
			       .h = (int32_t)w->h,
			       .w = (int32_t)w->w,
			       .oh = (int32_t)w->oh,
			       .ow = (int32_t)w->ow,
			       .kh = (int32_t)w->kh,
			       .kw = (int32_t)w->kw,
			       .sh = (int32_t)w->sh,
			       .sw = (int32_t)w->sw,
			       .dh = (int32_t)w->dh,
			       .dw = (int32_t)w->dw,
			       .top = (int32_t)w->top,
			       .left = (int32_t)w->left,
			       .count_pads = w->count_pads};
}

/* Do adjacent threads have adjacent pixels? Those of planes are. */
static bool takes_pixels_first(const qdq_cuda_rows *p, const qdq_kernel *k)
{
	bool planes = p->in[0].pitch == 0;

	for (int32_t i = 0; i < p->steps.count; i++)
		planes = planes || (p->steps.step[i].kind >= QDQ_CUDA_STORE && p->steps.step[i].place.pitch == 0);
	return planes && k->spatial > 1;
}

static bool prepare_rows(qdq_cuda_device *d, qdq_cuda_plan *c, const qdq_kernel *k, qdq_launch *l)
{
	qdq_cuda_rows *p = qdq_new(d->base.arena, qdq_cuda_rows);
	uint64_t words = (uint64_t)((k->channels + 3) / 4), threads = (uint64_t)k->pixels * words, blocks;
	bool many = threads > (uint64_t)d->multiprocessors * 8192 && !is_pool(k);

	if (many)
		threads = (uint64_t)(k->pixels + 3) / 4 * words;
	if (threads >= UINT32_MAX - 128 || (is_pool(k) && !window_fits(&k->window)))
		return false;
	*p = rows_of(k);
	qdq_cuda_set_place(c, &p->in[0], &k->in[0], k);
	if (k->anchor == QDQ_ANCHOR_MUL)
		qdq_cuda_set_place(c, &p->in[1], &k->in[1], k);
	*l = (qdq_launch){.k = k,
			  .function = many ? QDQ_ROWS_4 : QDQ_ROWS,
			  .grid = {(uint32_t)((threads + 127) / 128), 1},
			  .block = 128,
			  .params = p};
	if (!qdq_cuda_flatten(c, k, &p->steps))
		return false;
	p->pixels_first = takes_pixels_first(p, k);
	blocks = choose_pool(p, l);
	if (blocks != 0)
		l->grid[0] = (uint32_t)blocks;
	return true;
}

/* Kernels count images (where channels are the last axis: pixels) times channels of a plain buffer in 32 bits. */
static bool counts(const qdq_cuda_plan *c, const qdq_kernel *k, uint32_t buffer)
{
	const qdq_buffer *b = &c->p->buffers.items[buffer];

	if (k->last_axis)
		return b->rows || (double)b->size < 2147483647.0;
	return b->rows || b->rank < 2 || (double)b->dims[0] * (double)b->dims[1] < 2147483647.0;
}

static bool all_count(const qdq_cuda_plan *c, const qdq_kernel *k)
{
	bool good = counts(c, k, k->in[0].buffer) && (k->anchor != QDQ_ANCHOR_MUL || counts(c, k, k->in[1].buffer));

	for (uint32_t s = 0; s < k->n_steps; s++)
		if (qdq_step_has_operand(&k->steps[s]))
			good = good && counts(c, k, k->steps[s].other.buffer);
	return good;
}

static void prepare_kernel(qdq_cuda_device *d, qdq_cuda_plan *c, size_t i)
{
	const qdq_kernel *k = &c->p->kernels.items[i];
	qdq_launch *l = &c->launches[i];
	size_t slots = c->slots.count;
	bool good;

	if (k->anchor == QDQ_ANCHOR_NODE || k->grid.sh != 0 || k->pixels >= INT32_MAX || k->channels >= INT32_MAX ||
	    !all_count(c, k))
		good = false;
	else if (k->anchor != QDQ_ANCHOR_CONTRACT)
		good = prepare_rows(d, c, k, l);
	else if (!fits(&k->conv))
		good = false;
	else if (qdq_cuda_is_depthwise(&k->conv))
		good = prepare_depthwise(d, c, k, l);
	else if (k->conv.pitch == 4)
		good = prepare_few(d, c, k, l);
	else
		good = prepare_contract(d, c, k, l);
	if (good)
		return;
	c->slots.count = slots;
	*l = (qdq_launch){.k = k, .host = true};
	c->elsewhere++;
}

/* ---- time ---- */

enum { CANDIDATES = 10, TIMED_RUNS = 5 };

/* Milliseconds of some launches after one that warms up. */
static float time_launch(qdq_cuda_device *d, const qdq_launch *l)
{
	float ms = 0;

	qdq_cuda_need(d, l);
	qdq_cuda_launch(d, l, d->own);
	qdq_cuda_check(d, d->driver.event_record(d->events[0], d->own), "timing", l->k->node);
	for (int i = 0; i < TIMED_RUNS; i++)
		qdq_cuda_launch(d, l, d->own);
	qdq_cuda_check(d, d->driver.event_record(d->events[1], d->own), "timing", l->k->node);
	qdq_cuda_check(d, d->driver.event_wait(d->events[1]), "timing", l->k->node);
	qdq_cuda_check(d, d->driver.event_elapsed(&ms, d->events[0], d->events[1]), "timing", l->k->node);
	return ms;
}

static void time_contraction(qdq_cuda_device *d, qdq_cuda_plan *c, qdq_launch *l)
{
	qdq_cuda_contract *p = l->params;
	qdq_tactic candidates[CANDIDATES], best = {0, 1};
	qdq_contraction what = contraction_of(p, l->ending);
	int n = qdq_cuda_tactics(d, &what, candidates, CANDIDATES);
	float least = 1e30f;

	for (int i = 0; i < n; i++) {
		float ms;

		qdq_cuda_set_tactic(c, l, candidates[i]);
		qdq_cuda_grow(d, &d->partial, c->partial_size, "split sums");
		qdq_cuda_grow(d, &d->counters, c->counters_size, "split sums");
		qdq_cuda_fill_slots(d, c);
		ms = time_launch(d, l);
		if (ms < least) {
			least = ms;
			best = candidates[i];
		}
	}
	qdq_cuda_set_tactic(c, l, best);
}

static bool is_tiled(const qdq_launch *l)
{
	return !l->host && !l->fused && l->function <= QDQ_CONTRACT;
}

/* On memory of the arena's size, whatever it holds: times do not depend on it, and nothing has run yet. */
static void time_all(qdq_cuda_device *d, qdq_cuda_plan *c)
{
	uint64_t most = c->p->size;

	/* a run may be under way on the caller's stream, in the same memory */
	qdq_cuda_check(d, d->driver.stream_wait(d->stream), "timing", NULL);
	for (size_t i = 0; i < c->p->buffers.count; i++)
		most = c->p->buffers.items[i].size > most ? c->p->buffers.items[i].size : most;
	qdq_cuda_grow(d, &d->arena, most + QDQ_CUDA_SLACK, "values");
	for (size_t i = 0; i < c->p->buffers.count; i++)
		c->data[i] =
		    d->arena.at + (c->p->buffers.items[i].place == QDQ_PLACE_ARENA ? c->p->buffers.items[i].at : 0);
	for (int i = 0; i < 2; i++)
		if (d->events[i] == NULL)
			qdq_cuda_check(d, d->driver.event_new(&d->events[i], 0), "timing", NULL);
	for (size_t i = 0; i < c->p->kernels.count; i++)
		if (is_tiled(&c->launches[i]))
			time_contraction(d, c, &c->launches[i]);
	/* the ways that lost may have needed much more */
	qdq_cuda_drop(d, &d->partial);
	qdq_cuda_drop(d, &d->counters);
	c->partial_size = c->counters_size = 0;
	for (size_t i = 0; i < c->p->kernels.count; i++)
		if (is_tiled(&c->launches[i]))
			need_memory(c, &c->launches[i]);
	memset(c->data, 0, c->p->buffers.count * sizeof *c->data);
}

/* ---- all of it ---- */

struct preparing {
	qdq_cuda_device *d;
	qdq_cuda_plan *c;
};

static void prepare(void *arg, qdq_arena *scratch)
{
	struct preparing *j = arg;
	qdq_cuda_device *d = j->d;
	qdq_cuda_plan *c = j->c;
	qdq_slot *slots;

	c->scratch = scratch;
	for (size_t i = 0; i < c->p->kernels.count; i++)
		prepare_kernel(d, c, i);
	qdq_cuda_add_constants(c);
	c->blob_size = c->blob.count;
	c->blob_at = qdq_cuda_alloc(d, c->blob_size, "constants");
	d->weights += c->blob_size;
	qdq_cuda_check(d, d->driver.to_device(c->blob_at, c->blob.items, c->blob.count, d->own), "copying constants",
		       NULL);
	qdq_cuda_check(d, d->driver.stream_wait(d->own), "copying constants", NULL);
	slots = qdq_array(d->base.arena, qdq_slot, c->slots.count);
	if (c->slots.count != 0)
		c->slots.items = memcpy(slots, c->slots.items, c->slots.count * sizeof *slots);
	c->blob.items = NULL;
	c->blob.count = 0;
	c->scratch = NULL;
	for (size_t i = 0; i < c->p->kernels.count; i++)
		if (!c->launches[i].host && !c->launches[i].fused)
			qdq_cuda_need(d, &c->launches[i]);
}

void *qdq_cuda_prepare(qdq_device *base, const qdq_plan *p)
{
	qdq_cuda_device *d = (qdq_cuda_device *)base;
	qdq_cuda_plan *c = qdq_new(base->arena, qdq_cuda_plan);

	qdq_cuda_check(d, d->driver.context_set(d->context), "choosing the device", NULL);
	*c = (qdq_cuda_plan){.p = p};
	c->launches = qdq_array(base->arena, qdq_launch, p->kernels.count);
	c->data = qdq_array(base->arena, uint64_t, p->buffers.count);
	c->host = qdq_array(base->arena, char *, p->buffers.count);
	c->next = d->plans; /* at once, so that its memory is freed whatever happens */
	d->plans = c;
	qdq_with_scratch(base->ctx, prepare, &(struct preparing){d, c});
	if (c->elsewhere != 0)
		c->cpu = d->cpu->backend->prepare(d->cpu, p);
	if (d->time_tactics)
		time_all(d, c);
	return c;
}

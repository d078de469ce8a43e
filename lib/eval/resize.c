/* SPDX-License-Identifier: Apache-2.0
 *
 * resize.c -- Resize and Upsample: nearest and linear
 *
 * Both treat one axis after the other. For each place of the output an axis has a coordinate in the input, computed in
 * float as runtimes do; nearest takes the element that it rounds to, linear weighs its two neighbours.
 */
#include <math.h>

#include "kernel.h"

typedef struct axis_map {
	int64_t in, out;
	float scale;
	float roi_start, roi_end;
} axis_map;

static const char *const coordinate_names[] = {"half_pixel",	     "asymmetric",	     "align_corners",
					       "pytorch_half_pixel", "tf_half_pixel_for_nn", "half_pixel_symmetric",
					       "tf_crop_and_resize"};
typedef enum coordinates { HALF_PIXEL, ASYMMETRIC, CORNERS, PYTORCH, TF_NEAREST, SYMMETRIC, CROP, UNKNOWN } coordinates;

static float coordinate(coordinates how, const axis_map *a, int64_t i)
{
	float x = (float)i, in = (float)a->in, out = (float)a->out;

	switch (how) {
	case ASYMMETRIC:
		return x / a->scale;
	case CORNERS:
		return a->out == 1 ? 0 : x * (in - 1) / (out - 1);
	case PYTORCH:
		return a->out > 1 ? (x + 0.5f) / a->scale - 0.5f : 0;
	case TF_NEAREST:
		return (x + 0.5f) / a->scale;
	case SYMMETRIC: {
		float adjustment = out / (a->scale * in), center = in / 2;
		return center * (1 - adjustment) + (x + 0.5f) / a->scale - 0.5f;
	}
	case CROP:
		if (a->out == 1)
			return 0.5f * (a->roi_start + a->roi_end) * (in - 1);
		return a->roi_start * (in - 1) + x * (a->roi_end - a->roi_start) * (in - 1) / (out - 1);
	default:
		return (x + 0.5f) / a->scale - 0.5f;
	}
}

static int64_t clamp(int64_t i, int64_t dim)
{
	return i < 0 ? 0 : i >= dim ? dim - 1 : i;
}

static float nearest(const qdq_eval *e, float x)
{
	static const char *const names[] = {"round_prefer_floor", "round_prefer_ceil", "floor", "ceil"};
	const char *absent = e->version < 11 ? "floor" : "round_prefer_floor";
	int mode = 0;

	while (mode < 3 && !qdq_attr_string_is(e->n, "nearest_mode", absent, names[mode]))
		mode++;
	switch (mode) {
	case 0:
		return ceilf(x - 0.5f);
	case 1:
		return floorf(x + 0.5f);
	case 2:
		return floorf(x);
	default:
		return ceilf(x);
	}
}

/* Which axes the lists of scales, sizes and roi are about. */
static bool resize_axes(qdq_eval *e, int rank, int *axes, int *count)
{
	size_t given = 0;
	const int64_t *list = e->version >= 18 ? qdq_attr_ints(e->n, "axes", &given) : NULL;

	*count = given == 0 ? rank : (int)given;
	if (given > (size_t)rank)
		return false;
	for (int i = 0; i < *count; i++) {
		axes[i] = i;
		if (given != 0 && !qdq_eval_axis(list[i], rank, &axes[i]))
			return false;
	}
	return true;
}

/* The list of scales, from where the operator's version has it; NULL with true: there is none. */
static bool resize_scales(qdq_eval *e, const double **scales, int count)
{
	bool upsample = e->op == QDQ_OP_Upsample;
	const qdq_tensor *t = qdq_eval_in(e, upsample || e->version < 11 ? 1 : 2);

	*scales = NULL;
	if (upsample && e->version < 9) {
		const qdq_attr *a = qdq_attr_find(e->n, "scales");
		if (a == NULL || a->type != QDQ_ATTR_FLOATS || a->count != (size_t)count)
			return false;
		double *list = qdq_eval_temp(e, a->count, sizeof *list);
		for (int i = 0; i < count; i++)
			list[i] = (double)a->u.floats[i];
		*scales = list;
		return true;
	}
	if (t == NULL || t->count == 0)
		return true;
	*scales = t->count == (uint64_t)count && t->type == QDQ_TYPE_FLOAT ? qdq_eval_doubles(e, t) : NULL;
	return *scales != NULL;
}

/* Sizes that keep the aspect ratio: one scale for all axes. */
static bool keep_aspect(const qdq_eval *e, const axis_map *map, const int *axes, int count, const int64_t *sizes,
			double *scale)
{
	bool larger = qdq_attr_string_is(e->n, "keep_aspect_ratio_policy", "stretch", "not_larger");
	bool smaller = qdq_attr_string_is(e->n, "keep_aspect_ratio_policy", "stretch", "not_smaller");

	*scale = larger ? INFINITY : 0;
	for (int i = 0; i < count; i++) {
		double own = (double)sizes[i] / (double)map[axes[i]].in;
		*scale = larger ? fmin(*scale, own) : fmax(*scale, own);
	}
	return larger || smaller;
}

/* Sizes and scales of each axis. */
static bool resize_maps(qdq_eval *e, const qdq_tensor *x, coordinates how, axis_map *map)
{
	const qdq_tensor *roi = e->op == QDQ_OP_Resize && e->version >= 11 ? qdq_eval_in(e, 1) : NULL;
	const int64_t *sizes = NULL;
	const double *scales, *crop;
	int axes[QDQ_EVAL_RANK], count;
	int64_t n_sizes = 0;

	for (int i = 0; i < x->rank; i++) {
		map[i] = (axis_map){.in = x->dims[i], .out = x->dims[i], .scale = 1, .roi_end = 1};
		if (x->dims[i] == 0)
			return false;
	}
	if (!resize_axes(e, x->rank, axes, &count) || !resize_scales(e, &scales, count))
		return false;
	if (e->version >= 11 && e->op == QDQ_OP_Resize && qdq_eval_in(e, 3) != NULL &&
	    !qdq_eval_ints(e, e->in[3], &sizes, &n_sizes))
		return false;
	if (scales == NULL && n_sizes != count)
		return false;
	crop = how == CROP && roi != NULL && roi->count == 2 * (uint64_t)count ? qdq_eval_doubles(e, roi) : NULL;
	if (how == CROP && crop == NULL)
		return false;
	double common = 0;
	bool keep = scales == NULL && keep_aspect(e, map, axes, count, sizes, &common);
	for (int i = 0; i < count; i++) {
		axis_map *a = &map[axes[i]];
		double in = (double)a->in, out;
		a->roi_start = crop != NULL ? (float)crop[i] : 0;
		a->roi_end = crop != NULL ? (float)crop[count + i] : 1;
		if (scales != NULL) {
			a->scale = (float)scales[i];
			out =
			    floor(crop != NULL ? in * (double)(a->roi_end - a->roi_start) * scales[i] : in * scales[i]);
		} else {
			out = keep ? floor(common * in + 0.5) : (double)sizes[i];
			a->scale = (float)(keep ? common : out / in);
		}
		if (!(a->scale > 0) || !(out >= 0 && out < 0x1p53))
			return false;
		a->out = (int64_t)out;
	}
	return true;
}

static bool resize_nearest(qdq_eval *e, const qdq_tensor *x, coordinates how, const axis_map *map, const int64_t *dims)
{
	int64_t *table[QDQ_EVAL_RANK], own[QDQ_EVAL_RANK];
	qdq_cells from, to, fill;

	if (!qdq_cells_out(e, 0, x->type, x->rank, dims, &to) || !qdq_cells_in(e, x, &from) ||
	    !qdq_cells_fill(e, NULL, x->type, &fill))
		return false;
	if (qdq_wide_of(x->type) != QDQ_WIDE_NONE && qdq_type_get(x->type)->bits >= 8) {
		qdq_chunk c = {.f = {qdq_attr_float(e->n, "extrapolation_value", 0)}};
		qdq_convert(&c, QDQ_TYPE_FLOAT, x->type, 1);
		qdq_store(&c, x->type, fill.data, 0, 1, 1);
	}
	if (qdq_product(dims, 0, x->rank) == 0)
		return true;
	qdq_strides(x->rank, x->dims, own);
	for (int i = 0; i < x->rank; i++) {
		table[i] = qdq_eval_temp(e, (uint64_t)dims[i], sizeof *table[i]);
		for (int64_t k = 0; k < dims[i]; k++) {
			bool same = map[i].scale == 1 && map[i].in == map[i].out && how != CROP;
			float at = same ? (float)k : coordinate(how, &map[i], k);
			bool outside = how == CROP && (at < 0 || at > (float)(map[i].in - 1));
			int64_t source = same ? k : clamp((int64_t)nearest(e, at), map[i].in);
			table[i][k] = outside ? -1 : source * own[i];
		}
	}
	qdq_copy_by_table(&to, x->rank, dims, table, &from, &fill);
	return true;
}

/* One axis of a dense tensor: out of (outer, in, inner) comes (outer, out, inner). */
static void linear_axis(const double *x, double *y, int64_t outer, int64_t inner, coordinates how, const axis_map *a,
			double outside)
{
	for (int64_t k = 0; k < a->out; k++) {
		float at = coordinate(how, a, k), last = (float)(a->in - 1);
		bool extrapolate = how == CROP && (at < 0 || at > last);
		at = at < 0 ? 0 : at > last ? last : at;
		int64_t low = (int64_t)at, high = clamp(low + 1, a->in);
		double weight = (double)at - (double)low;
		for (int64_t o = 0; o < outer; o++)
			for (int64_t i = 0; i < inner; i++) {
				double p = x[(o * a->in + low) * inner + i], q = x[(o * a->in + high) * inner + i];
				y[(o * a->out + k) * inner + i] = extrapolate ? outside : p * (1 - weight) + q * weight;
			}
	}
}

static bool resize_linear(qdq_eval *e, const qdq_tensor *x, coordinates how, const axis_map *map, const int64_t *dims)
{
	const double *values = qdq_eval_doubles(e, x);
	int64_t now[QDQ_EVAL_RANK];

	if (values == NULL || qdq_type_get(x->type)->bits == 64)
		return false;
	if (qdq_eval_output(e, UINT32_MAX, x->type, x->rank, dims) == NULL) /* is it too big? */
		return false;
	memcpy(now, x->dims, (size_t)x->rank * sizeof *now);
	for (int i = 0; i < x->rank; i++) {
		if (map[i].scale == 1 && map[i].in == map[i].out && how != CROP)
			continue;
		int64_t outer = qdq_product(now, 0, i), inner = qdq_product(now, i + 1, x->rank), count;
		if (qdq_mul_overflow(outer * inner, dims[i], &count))
			return false;
		double *y = qdq_eval_temp(e, (uint64_t)count, sizeof *y);
		linear_axis(values, y, outer, inner, how, &map[i],
			    (double)qdq_attr_float(e->n, "extrapolation_value", 0));
		now[i] = dims[i];
		values = y;
	}
	return qdq_eval_put_doubles(e, 0, x->type, x->rank, dims, values);
}

bool qdq_eval_resize(qdq_eval *e)
{
	const qdq_tensor *x = qdq_eval_in(e, 0);
	bool simple = e->op == QDQ_OP_Upsample || e->version < 11;
	bool linear = qdq_attr_string_is(e->n, "mode", "nearest", "linear") ||
		      qdq_attr_string_is(e->n, "mode", "nearest", "bilinear");
	int64_t dims[QDQ_EVAL_RANK];
	axis_map map[QDQ_EVAL_RANK];
	int how = 0;

	if (x == NULL || qdq_attr_int(e->n, "antialias", 0) != 0 || (e->op == QDQ_OP_Upsample && e->version < 7) ||
	    (!linear && !qdq_attr_string_is(e->n, "mode", "nearest", "nearest")))
		return false;
	if (simple)
		how = ASYMMETRIC;
	else
		while (how < UNKNOWN &&
		       !qdq_attr_string_is(e->n, "coordinate_transformation_mode", "half_pixel", coordinate_names[how]))
			how++;
	if (how == UNKNOWN || !resize_maps(e, x, (coordinates)how, map))
		return false;
	for (int i = 0; i < x->rank; i++)
		dims[i] = map[i].out;
	return linear ? resize_linear(e, x, (coordinates)how, map, dims)
		      : resize_nearest(e, x, (coordinates)how, map, dims);
}

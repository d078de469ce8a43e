/* SPDX-License-Identifier: Apache-2.0
 *
 * rows.cu -- everything that is not a contraction: loads (Q, DQ, additions, layouts, Concat), products, pools
 *
 * A thread has 4 channels of a pixel; of a MaxPool 16, and of a mean over many pixels a part of them.
 */
#include "device.cuh"

enum { THREADS = 128, PARTS = 8 };

struct range {
	int first, last;
};

/* The part of a window that lies in the image, along one axis. */
DEVICE range inside(int out, int stride, int pad, int dilation, int size, int length)
{
	int begin = out * stride - pad;
	int first = begin < 0 ? (-begin + dilation - 1) / dilation : 0;
	int last = begin >= length ? 0 : (length - begin + dilation - 1) / dilation;

	return {first, last < size ? last : size};
}

/* An output of a pool: its window in the image. */
struct pooled {
	int oy, ox;
	range ys, xs;
	const char *from; /* the window's first pixel, which may lie outside */

	DEVICE pooled(const qdq_cuda_rows &p, int pixel, int c)
	{
		int image = pixel / (p.oh * p.ow);

		oy = pixel / p.ow % p.oh;
		ox = pixel % p.ow;
		ys = inside(oy, p.sh, p.top, p.dh, p.kh, p.h);
		xs = inside(ox, p.sw, p.left, p.dw, p.kw, p.w);
		from = pointer<const char>(p.in[0].at) + c +
		       (((int64_t)image * p.h + oy * p.sh - p.top) * p.w + ox * p.sw - p.left) * p.in[0].pitch;
	}
	DEVICE int number() const
	{
		return max(ys.last - ys.first, 0) * max(xs.last - xs.first, 0);
	}
	DEVICE const char *tap(const qdq_cuda_rows &p, int y, int x) const
	{
		return from + ((int64_t)y * p.dh * p.w + x * p.dw) * p.in[0].pitch;
	}
};

DEVICE void add_codes(int (&sum)[4], uint32_t word, bool is_signed)
{
#pragma unroll
	for (int i = 0; i < 4; i++)
		sum[i] += is_signed ? (int)(int8_t)(word >> 8 * i) : (int)(uint8_t)(word >> 8 * i);
}

DEVICE void mean_of(const qdq_cuda_rows &p, const int (&sum)[4], int number, float (&v)[4])
{
	float ratio = p.count_pads || number == p.kh * p.kw ? p.ratio : __fdiv_rn(p.ratio0, (float)number);

#pragma unroll
	for (int i = 0; i < 4; i++)
		v[i] = __fmul_rn((float)(sum[i] - number * (int)p.in[0].zero), ratio);
}

DEVICE uint32_t larger(uint32_t a, uint32_t b, bool is_signed)
{
	return is_signed ? __vmaxs4(a, b) : __vmaxu4(a, b);
}

template <int V> DEVICE void most_of(const qdq_cuda_rows &p, const bytes<V> &most, int number, float (&v)[V])
{
#pragma unroll
	for (int i = 0; i < V; i++) {
		float code = byte_of(most.word[i / 4], i % 4, p.in[0].type == QDQ_CUDA_S8);

		v[i] = __fmul_rn(number == 0 ? -INFINITY : code - p.in[0].zero, p.ratio0);
	}
}

DEVICE void pool(const qdq_cuda_rows &p, int pixel, int c, float (&v)[4])
{
	pooled w(p, pixel, c);
	bool mean = p.anchor == QDQ_CUDA_MEAN, is_signed = p.in[0].type == QDQ_CUDA_S8;
	bytes<4> most = {{is_signed ? 0x80808080u : 0}};
	int sum[4] = {};

	for (int y = w.ys.first; y < w.ys.last; y++)
#pragma unroll 4
		for (int x = w.xs.first; x < w.xs.last; x++) {
			uint32_t word = *(const uint32_t *)w.tap(p, y, x);

			if (mean)
				add_codes(sum, word, is_signed);
			else
				most.word[0] = larger(most.word[0], word, is_signed);
		}
	if (mean)
		mean_of(p, sum, w.number(), v);
	else
		most_of<4>(p, most, w.number(), v);
}

template <bool POOLS> DEVICE void anchor(const qdq_cuda_rows &p, int pixel, int c, float (&v)[4])
{
	if (POOLS && (p.anchor == QDQ_CUDA_MAX || p.anchor == QDQ_CUDA_MEAN)) {
		pool(p, pixel, c, v);
		return;
	}
	read<4>(p.in[0], p.steps.spatial, pixel, c, p.channels - c, v);
	if (p.anchor == QDQ_CUDA_MUL) {
		float other[4];

		read<4>(p.in[1], p.steps.spatial, pixel, c, p.channels - c, other);
		for (int i = 0; i < 4; i++)
			v[i] = __fmul_rn(__fmul_rn(v[i], other[i]), p.ratio);
	} else if (p.divisor != 0) {
		for (int i = 0; i < 4; i++)
			v[i] = __fdiv_rn(v[i], p.divisor);
	} else {
		for (int i = 0; i < 4; i++)
			v[i] = __fmul_rn(v[i], p.ratio0);
	}
}

/* Pixels of a thread: some where there are many (and no pools), and then `apart`, so that adjacent threads have adjacent pixels. */
template <int R> DEVICE void rows(const qdq_cuda_rows &p)
{
	unsigned words = (unsigned)(p.channels + 3) / 4, index = blockIdx.x * THREADS + threadIdx.x;
	unsigned each = (unsigned)(p.pixels + R - 1) / R; /* threads for a word of channels */
	int pixel = (int)(p.pixels_first ? index % each : index / words);
	int c = (int)(p.pixels_first ? index / each : index % words) * 4;
	float first[R][4];

	let_next_begin();
	if (pixel >= (int)each || c >= p.channels)
		return;
	wait_for_inputs();
#pragma unroll
	for (int r = 0; r < R; r++)
		if (pixel + r * (int)each < p.pixels)
			anchor<R == 1>(p, pixel + r * (int)each, c, first[r]);
	run_steps<R, 4>(p.steps, {pixel, (int)each, p.pixels, c, p.channels, nullptr, 0}, [&](int r, float(&v)[4]) {
		for (int i = 0; i < 4; i++)
			v[i] = first[r][i];
	});
}

/* 16 channels of a MaxPool. Taps outside the image are those at its border, which are in the window too. KH 0: any size. */
template <int KH, int KW, bool SIGNED> DEVICE void max_taps(const qdq_cuda_rows &p, const pooled &w, bytes<16> &most)
{
	int kh = KH != 0 ? KH : p.kh, kw = KW != 0 ? KW : p.kw;

#pragma unroll
	for (int y = 0; y < kh; y++)
#pragma unroll
		for (int x = 0; x < kw; x++) {
			bytes<16> b = load_bytes<16>(
			    w.tap(p, min(max(y, w.ys.first), w.ys.last - 1), min(max(x, w.xs.first), w.xs.last - 1)));

			for (int i = 0; i < 4; i++)
				most.word[i] = larger(most.word[i], b.word[i], SIGNED);
		}
}

template <bool SIGNED> DEVICE void max_16(const qdq_cuda_rows &p)
{
	int vectors = (p.channels + 15) / 16, index = blockIdx.x * THREADS + threadIdx.x;
	int pixel = index / vectors, c = index % vectors * 16;
	bytes<16> most;

	let_next_begin();
	if (pixel >= p.pixels)
		return;
	pooled w(p, pixel, c);
	for (int i = 0; i < 4; i++)
		most.word[i] = SIGNED ? 0x80808080u : 0;
	wait_for_inputs();
	if (w.number() != 0 && p.kh == 3 && p.kw == 3)
		max_taps<3, 3, SIGNED>(p, w, most);
	else if (w.number() != 0)
		max_taps<0, 0, SIGNED>(p, w, most);
	run_steps<1, 16>(p.steps, {pixel, 1, p.pixels, c, p.channels, nullptr, 0},
			 [&](int, float(&v)[16]) { most_of<16>(p, most, w.number(), v); });
}

/* A mean over many pixels: a warp for every eighth of them, a lane for 4 channels. */
DEVICE void mean_parts(const qdq_cuda_rows &p)
{
	__shared__ int sums[PARTS][4][32];
	int words = (p.channels + 3) / 4, columns = (words + 31) / 32, lane = threadIdx.x % 32, part = threadIdx.x / 32;
	int pixel = blockIdx.x / columns, word = blockIdx.x % columns * 32 + lane;
	bool is_signed = p.in[0].type == QDQ_CUDA_S8;
	pooled w(p, pixel, word * 4);
	int width = w.xs.last - w.xs.first, number = w.number(), sum[4] = {};

	let_next_begin();
	wait_for_inputs();
	if (word < words)
#pragma unroll 8
		for (int i = part; i < number; i += PARTS)
			add_codes(sum, *(const uint32_t *)w.tap(p, w.ys.first + i / width, w.xs.first + i % width),
				  is_signed);
	for (int i = 0; i < 4; i++)
		sums[part][i][lane] = sum[i];
	__syncthreads();
	if (part != 0 || word >= words)
		return;
	for (int other = 1; other < PARTS; other++)
		for (int i = 0; i < 4; i++)
			sum[i] += sums[other][i][lane];
	run_steps<1, 4>(p.steps, {pixel, 1, p.pixels, word * 4, p.channels, nullptr, 0},
			[&](int, float(&v)[4]) { mean_of(p, sum, number, v); });
}

extern "C" __global__ __launch_bounds__(THREADS) void qdq_max_s8(const __grid_constant__ qdq_cuda_rows p)
{
	max_16<true>(p);
}

extern "C" __global__ __launch_bounds__(THREADS) void qdq_max_u8(const __grid_constant__ qdq_cuda_rows p)
{
	max_16<false>(p);
}

extern "C" __global__ __launch_bounds__(PARTS * 32) void qdq_mean(const __grid_constant__ qdq_cuda_rows p)
{
	mean_parts(p);
}

extern "C" __global__ __launch_bounds__(THREADS) void qdq_rows(const __grid_constant__ qdq_cuda_rows p)
{
	rows<1>(p);
}

extern "C" __global__ __launch_bounds__(THREADS) void qdq_rows_4(const __grid_constant__ qdq_cuda_rows p)
{
	rows<4>(p);
}

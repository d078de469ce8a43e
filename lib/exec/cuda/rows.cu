/* SPDX-License-Identifier: Apache-2.0
 *
 * rows.cu -- everything that is not a contraction: loads (Q, DQ, additions, layouts, Concat), products, pools
 *
 * A thread has 4 channels of a pixel.
 */
#include "device.cuh"

enum { THREADS = 128 };

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

DEVICE void pool(const qdq_cuda_rows &p, int pixel, int c, float (&v)[4])
{
	bool mean = p.anchor == QDQ_CUDA_MEAN, is_signed = p.in[0].type == QDQ_CUDA_S8;
	int image = pixel / (p.oh * p.ow), oy = pixel / p.ow % p.oh, ox = pixel % p.ow;
	range ys = inside(oy, p.sh, p.top, p.dh, p.kh, p.h), xs = inside(ox, p.sw, p.left, p.dw, p.kw, p.w);
	int number = (ys.last - ys.first) * (xs.last - xs.first), sum[4] = {};
	uint32_t most = is_signed ? 0x80808080u : 0;
	const char *from = pointer<const char>(p.in[0].at) + c +
			   (((int64_t)image * p.h + oy * p.sh - p.top) * p.w + ox * p.sw - p.left) * p.in[0].pitch;

	/* whole rows follow each other: one long row, whose loads are under way together */
	if (xs.first == 0 && xs.last == p.w && p.dh == 1 && p.dw == 1) {
		from += (int64_t)ys.first * p.w * p.in[0].pitch;
		xs.last *= ys.last - ys.first;
		ys = {0, 1};
	}
	for (int y = ys.first; y < ys.last; y++) {
		const char *line = from + ((int64_t)y * p.dh * p.w + xs.first * p.dw) * p.in[0].pitch;

#pragma unroll 8
		for (int x = xs.first; x < xs.last; x++, line += (int64_t)p.dw * p.in[0].pitch) {
			uint32_t word = *(const uint32_t *)line;

			if (mean)
				for (int i = 0; i < 4; i++)
					sum[i] += is_signed ? (int)(int8_t)(word >> 8 * i) : (int)(uint8_t)(word >> 8 * i);
			else
				most = is_signed ? __vmaxs4(most, word) : __vmaxu4(most, word);
		}
	}
	if (!mean) {
		for (int i = 0; i < 4; i++)
			v[i] = number == 0 ? -INFINITY : byte_of(most, i, is_signed) - p.in[0].zero;
		for (int i = 0; i < 4; i++)
			v[i] = __fmul_rn(v[i], p.ratio0);
		return;
	}
	float ratio = p.count_pads || number == p.kh * p.kw ? p.ratio : __fdiv_rn(p.ratio0, (float)number);

	for (int i = 0; i < 4; i++)
		v[i] = __fmul_rn((float)(sum[i] - number * (int)p.in[0].zero), ratio);
}

DEVICE void anchor(const qdq_cuda_rows &p, int pixel, int c, float (&v)[4])
{
	if (p.anchor == QDQ_CUDA_MAX || p.anchor == QDQ_CUDA_MEAN) {
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

/* Pixels of a thread: some where there are many, and then `apart`, so that adjacent threads have adjacent pixels. */
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
			anchor(p, pixel + r * (int)each, c, first[r]);
	run_steps<R, 4>(p.steps, {pixel, (int)each, p.pixels, c, p.channels, nullptr, 0}, [&](int r, float(&v)[4]) {
		for (int i = 0; i < 4; i++)
			v[i] = first[r][i];
	});
}

extern "C" __global__ __launch_bounds__(THREADS) void qdq_rows(const __grid_constant__ qdq_cuda_rows p)
{
	rows<1>(p);
}

extern "C" __global__ __launch_bounds__(THREADS) void qdq_rows_4(const __grid_constant__ qdq_cuda_rows p)
{
	rows<4>(p);
}

/* SPDX-License-Identifier: Apache-2.0
 *
 * few.cu -- convolutions of at most 4 channels, the first of most networks
 *
 * A pixel is 4 bytes, which is just what a thread holds of a row of mma.sync's left operand: it is loaded from where it
 * lies, one tap for each word, and only weights go through shared memory.
 */
#include "device.cuh"

enum { WARPS = 4, WARP_PIXELS = 16, ROWS = 2, STEP = 32 }; /* ROWS: of a thread */

/* The words of one step: 8 taps of each row. */
DEVICE void load_taps(const qdq_cuda_few &p, const window (&rows)[ROWS], const bool (&there)[ROWS], int s, uint32_t (&a)[4])
{
#pragma unroll
	for (int half = 0; half < 2; half++) {
		int tap = s * 8 + half * 4 + threadIdx.x % 4;
		bool any = tap < p.n_units;
		int2 u = __ldg(pointer<const int2>(p.units) + (any ? tap : 0));
		int dy = (int16_t)(u.y & 0xffff), dx = u.y >> 16;

#pragma unroll
		for (int r = 0; r < ROWS; r++) {
			bool inside = (unsigned)(rows[r].y + dy) < (unsigned)p.h && (unsigned)(rows[r].x + dx) < (unsigned)p.w;

			a[half * 2 + r] = (uint32_t)p.pad;
			if (any && there[r] && inside)
				a[half * 2 + r] = __ldg(pointer<const uint32_t>(p.x + rows[r].at + u.x));
		}
	}
}

/* The next step's words are under way while this one's are multiplied. */
template <int N, bool SIGNED>
DEVICE void multiply_taps(const qdq_cuda_few &p, const window (&rows)[ROWS], const bool (&there)[ROWS], const char *weights,
			  int pitch, int (&acc)[N][4])
{
	int lane = threadIdx.x % 32, g = lane / 4, t = lane % 4, steps = p.depth / STEP;
	uint32_t next[4];

	load_taps(p, rows, there, 0, next);
	for (int s = 0; s < steps; s++) {
		uint32_t a[4];

		memcpy(a, next, sizeof a);
		if (s + 1 < steps)
			load_taps(p, rows, there, s + 1, next);
#pragma unroll
		for (int j = 0; j < N; j++) {
			const char *row = weights + (j * 8 + g) * pitch + s * STEP + t * 4;
			uint32_t b0 = *(const uint32_t *)row, b1 = *(const uint32_t *)(row + 16);

			multiply<SIGNED>(acc[j], a, b0, b1);
		}
	}
}

/* 16 pixels of a warp and its channels. */
template <int N> DEVICE void some_pixels(const qdq_cuda_few &p, const char *weights, int pitch, int pixel, int c)
{
	constexpr int V = N * 2;
	int acc[N][4] = {};
	window rows[ROWS];
	bool there[ROWS];

#pragma unroll
	for (int r = 0; r < ROWS; r++) {
		there[r] = pixel + r * 8 < p.pixels;
		rows[r] = window_of(p, there[r] ? pixel + r * 8 : 0);
	}
	if (p.x_signed)
		multiply_taps<N, true>(p, rows, there, weights, pitch, acc);
	else
		multiply_taps<N, false>(p, rows, there, weights, pitch, acc);
	if (c >= p.channels)
		return;
	float multiplier[V], addend[V];
	int start[V];

	load_channels(p.multiplier, c, multiplier);
	load_channels(p.addend, c, addend);
	load_channels(p.start, c, start);
	run_steps<ROWS, V>(p.steps, {pixel, 8, p.pixels, c, p.channels, nullptr, 0}, [&](int r, float(&v)[V]) {
#pragma unroll
		for (int e = 0; e < V; e++)
			v[e] = __fmaf_rn((float)(acc[e / 2][r * 2 + e % 2] + start[e]), multiplier[e], addend[e]);
	});
}

/* N blocks of 8 channels; the permutation of channels is that of contract.cu. A block's warps go over steps_each times 64
 * pixels with the same weights. */
template <int N> DEVICE void few(const qdq_cuda_few &p)
{
	constexpr int V = N * 2;
	extern __shared__ __align__(16) char weights[];
	int pitch = p.depth + 16, channel = blockIdx.x % p.columns * N * 8;
	int pixel = (blockIdx.x / p.columns * p.steps_each * WARPS + threadIdx.x / 32) * WARP_PIXELS + threadIdx.x % 32 / 4;

	for (int i = threadIdx.x; i < N * 8 * (p.depth / 16); i += WARPS * 32) {
		int r = i / (p.depth / 16), at = i % (p.depth / 16) * 16, position = r % 8;
		int k = channel + position / 2 * V + r / 8 * 2 + position % 2;

		*(uint4 *)(weights + r * pitch + at) =
		    k < p.channels ? __ldg(pointer<const uint4>(p.weights + (uint64_t)k * p.depth + at)) : make_uint4(0, 0, 0, 0);
	}
	__syncthreads();
	let_next_begin();
	wait_for_inputs();
	for (int i = 0; i < p.steps_each; i++)
		some_pixels<N>(p, weights, pitch, pixel + i * WARPS * WARP_PIXELS, channel + threadIdx.x % 4 * V);
}

extern "C" __global__ __launch_bounds__(WARPS * 32, 3) void qdq_few_64(const __grid_constant__ qdq_cuda_few p)
{
	few<8>(p);
}

extern "C" __global__ __launch_bounds__(WARPS * 32, 6) void qdq_few_32(const __grid_constant__ qdq_cuda_few p)
{
	few<4>(p);
}

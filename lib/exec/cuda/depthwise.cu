/* SPDX-License-Identifier: Apache-2.0
 *
 * depthwise.cu -- convolutions of one channel each
 *
 * A thread has 4 channels of a pixel. It loads 4 taps, a word of 4 channels each, turns the 4 x 4 bytes, and dp4a adds the
 * products of each channel.
 */
#include "device.cuh"

enum { THREADS = 128 };

/* a.w, with a signed or not and w signed */
template <bool SIGNED> DEVICE int dot(uint32_t a, uint32_t w, int c)
{
	int d;

	if (SIGNED)
		asm("dp4a.s32.s32 %0, %1, %2, %3;" : "=r"(d) : "r"(a), "r"(w), "r"(c));
	else
		asm("dp4a.u32.s32 %0, %1, %2, %3;" : "=r"(d) : "r"(a), "r"(w), "r"(c));
	return d;
}

/* R: pixels of a thread, adjacent to each other. */
template <bool SIGNED, int R>
DEVICE void taps(const qdq_cuda_depthwise &p, const window (&rows)[R], int c, int padded, int (&acc)[R][4])
{
	for (int q = 0; q < p.quads; q++) {
		uint4 w = __ldg(pointer<const uint4>(p.weights) + ((int64_t)q * padded + c) / 4);
		uint32_t x[R][4];

#pragma unroll
		for (int i = 0; i < 4; i++) {
			int2 u = __ldg(pointer<const int2>(p.units) + q * 4 + i);
			int dy = (int16_t)(u.y & 0xffff), dx = u.y >> 16;

#pragma unroll
			for (int r = 0; r < R; r++) {
				bool inside = (unsigned)(rows[r].y + dy) < (unsigned)p.h &&
					      (unsigned)(rows[r].x + dx) < (unsigned)p.w;

				x[r][i] = (uint32_t)p.pad;
				if (inside)
					x[r][i] = __ldg(pointer<const uint32_t>(p.x + rows[r].at + u.x + c));
			}
		}
#pragma unroll
		for (int r = 0; r < R; r++) {
			uint32_t low01 = __byte_perm(x[r][0], x[r][1], 0x5140),
				 low23 = __byte_perm(x[r][2], x[r][3], 0x5140);
			uint32_t high01 = __byte_perm(x[r][0], x[r][1], 0x7362),
				 high23 = __byte_perm(x[r][2], x[r][3], 0x7362);

			acc[r][0] = dot<SIGNED>(__byte_perm(low01, low23, 0x5410), w.x, acc[r][0]);
			acc[r][1] = dot<SIGNED>(__byte_perm(low01, low23, 0x7632), w.y, acc[r][1]);
			acc[r][2] = dot<SIGNED>(__byte_perm(high01, high23, 0x5410), w.z, acc[r][2]);
			acc[r][3] = dot<SIGNED>(__byte_perm(high01, high23, 0x7632), w.w, acc[r][3]);
		}
	}
}

template <int R> DEVICE void depthwise(const qdq_cuda_depthwise &p)
{
	unsigned words = (unsigned)(p.channels + 3) / 4, index = blockIdx.x * THREADS + threadIdx.x;
	int pixel = (int)(index / words) * R, c = (int)(index % words) * 4, padded = (p.channels + 127) / 128 * 128;
	int acc[R][4] = {}, start[4];
	float multiplier[4], rest[4], addend[4];
	window rows[R];

	let_next_begin();
	if (pixel >= p.pixels)
		return;
	load_channels(p.multiplier, c, multiplier);
	load_channels(p.rest, c, rest);
	load_channels(p.addend, c, addend);
	load_channels(p.start, c, start);
#pragma unroll
	for (int r = 0; r < R; r++)
		rows[r] = window_of(p, pixel + r < p.pixels ? pixel + r : pixel);
	wait_for_inputs();
	if (p.x_signed)
		taps<true>(p, rows, c, padded, acc);
	else
		taps<false>(p, rows, c, padded, acc);
	run_steps<R, 4>(p.steps, {pixel, 1, p.pixels, c, p.channels, nullptr, 0}, [&](int r, float(&v)[4]) {
#pragma unroll
		for (int e = 0; e < 4; e++)
			v[e] = qdq_scale((float)(acc[r][e] + start[e]), multiplier[e], rest[e], addend[e]);
	});
}

extern "C" __global__ __launch_bounds__(THREADS) void qdq_depthwise(const __grid_constant__ qdq_cuda_depthwise p)
{
	depthwise<1>(p);
}

extern "C" __global__ __launch_bounds__(THREADS) void qdq_depthwise_4(const __grid_constant__ qdq_cuda_depthwise p)
{
	depthwise<4>(p);
}

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

template <bool SIGNED> DEVICE void taps(const qdq_cuda_depthwise &p, const window &row, int c, int padded, int (&acc)[4])
{
	for (int q = 0; q < p.quads; q++) {
		uint32_t x[4];
		uint4 w = __ldg(pointer<const uint4>(p.weights) + ((int64_t)q * padded + c) / 4);

#pragma unroll
		for (int i = 0; i < 4; i++) {
			int2 u = __ldg(pointer<const int2>(p.units) + q * 4 + i);
			int dy = (int16_t)(u.y & 0xffff), dx = u.y >> 16;
			bool inside = (unsigned)(row.y + dy) < (unsigned)p.h && (unsigned)(row.x + dx) < (unsigned)p.w;

			x[i] = (uint32_t)p.pad;
			if (inside)
				x[i] = __ldg(pointer<const uint32_t>(p.x + row.at + u.x + c));
		}
		uint32_t low01 = __byte_perm(x[0], x[1], 0x5140), low23 = __byte_perm(x[2], x[3], 0x5140);
		uint32_t high01 = __byte_perm(x[0], x[1], 0x7362), high23 = __byte_perm(x[2], x[3], 0x7362);

		acc[0] = dot<SIGNED>(__byte_perm(low01, low23, 0x5410), w.x, acc[0]);
		acc[1] = dot<SIGNED>(__byte_perm(low01, low23, 0x7632), w.y, acc[1]);
		acc[2] = dot<SIGNED>(__byte_perm(high01, high23, 0x5410), w.z, acc[2]);
		acc[3] = dot<SIGNED>(__byte_perm(high01, high23, 0x7632), w.w, acc[3]);
	}
}

extern "C" __global__ __launch_bounds__(THREADS) void qdq_depthwise(const __grid_constant__ qdq_cuda_depthwise p)
{
	unsigned words = (unsigned)(p.channels + 3) / 4, index = blockIdx.x * THREADS + threadIdx.x;
	int pixel = (int)(index / words), c = (int)(index % words) * 4, padded = (p.channels + 127) / 128 * 128;
	int acc[4] = {}, start[4];
	float multiplier[4], addend[4];

	if (pixel >= p.pixels)
		return;
	load_channels(p.multiplier, c, multiplier);
	load_channels(p.addend, c, addend);
	load_channels(p.start, c, start);
	window row = window_of(p, pixel);

	wait_for_inputs();
	if (p.x_signed)
		taps<true>(p, row, c, padded, acc);
	else
		taps<false>(p, row, c, padded, acc);
	let_next_begin();
	run_steps<4>(p.steps, pixel, c, p.channels, [&](float(&v)[4]) {
#pragma unroll
		for (int e = 0; e < 4; e++)
			v[e] = __fmaf_rn((float)(acc[e] + start[e]), multiplier[e], addend[e]);
	});
}

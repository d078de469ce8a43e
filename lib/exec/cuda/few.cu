/* SPDX-License-Identifier: Apache-2.0
 *
 * few.cu -- convolutions of at most 4 channels, the first of most networks
 *
 * A block makes some rows of some groups of 16 adjacent outputs. What their windows cover of the image is brought to shared
 * memory, quantized on the way if it is still floats, as pixels of 4 bytes. Such a word is just what a thread holds of a row
 * of mma.sync's left operand, so windows are never copied: each tap is read from where it lies. A window's rows are padded
 * to multiples of 4 taps, so that the taps of a load are adjacent. Weights are in shared memory in the order of fragments.
 */
#include "contract.cuh"

enum { FEW_WARPS = 4, GROUP = 16, BLOCKS_OF_8 = 4, FEW_V = BLOCKS_OF_8 * 2, FEW_STEP = 32, WARP_CHANNELS = 32 };

/* ---- what a block begins with ---- */

/* Of each warp: for every step 2 times 16 bytes for each lane, both halves of two blocks of 8 channels. */
DEVICE void copy_fragments(const qdq_cuda_few &p, uint32_t to)
{
	int size = p.warps * WARP_CHANNELS * p.depth;

	for (int i = threadIdx.x * 16; i < size; i += FEW_WARPS * 32 * 16)
		copy16(to + i, pointer<const char>(p.weights) + (int64_t)blockIdx.y * size + i, true);
	copies_end();
}

/* start, multiplier, rest and addend of the block's channels */
DEVICE void copy_few_numbers(const qdq_cuda_few &p, uint32_t *to, int channel)
{
	int n = p.warps * WARP_CHANNELS;

	for (int i = threadIdx.x; i < 4 * n; i += FEW_WARPS * 32) {
		uint64_t from = i < n ? p.start : i < 2 * n ? p.multiplier : i < 3 * n ? p.rest : p.addend;

		to[i] = __ldg(pointer<const uint32_t>(from) + channel + i % n);
	}
}

/* The steps ROUND and STORE on values / divisor. They are first multiplied by its inverse; that is exact enough unless it
 * comes near to a tie: both are wrong by 2^-24 of the value, and the quotient too. */
DEVICE uint32_t quantize(const qdq_cuda_few &p, const float (&v)[4])
{
	bool near = false;
	float rounded[4];

#pragma unroll
	for (int c = 0; c < 4; c++) {
		float clamped = fminf(fmaxf(__fmul_rn(v[c], p.scale), p.low), p.high);

		rounded[c] = __fsub_rn(__fadd_rn(clamped, 12582912.0f), 12582912.0f);
		near |= !(fabsf(__fsub_rn(clamped, rounded[c])) <= __fmaf_rn(fabsf(clamped), -0x1p-22f, p.distance));
	}
	if (near)
#pragma unroll
		for (int c = 0; c < 4; c++)
			rounded[c] = qdq_saturate(__fdiv_rn(v[c], p.divisor), p.low, p.high);
	return to_bytes<4>(rounded, p.zero).word[0];
}

enum { WORDS = 5 }; /* of a row that a thread brings at a time */

/* A row of the patch from floats; at: of its first pixel, count: pixels. Outside there is padding. */
DEVICE void quantize_row(const qdq_cuda_few &p, uint32_t *to, const float *from, int x0, bool inside)
{
	int plane = p.h * p.w;

	for (int first = threadIdx.x % 32; first < p.patch_w; first += 32 * WORDS) {
		float v[WORDS][4] = {};

#pragma unroll
		for (int i = 0; i < WORDS; i++) {
			int x = x0 + first + i * 32;

			if (inside && (unsigned)x < (unsigned)p.w)
#pragma unroll
				for (int c = 0; c < 4; c++)
					if (c < p.inputs)
						v[i][c] = __ldg(from + (int64_t)c * plane + x);
		}
#pragma unroll
		for (int i = 0; i < WORDS; i++) {
			int x = first + i * 32;

			if (x < p.patch_w)
				to[x] =
				    inside && (unsigned)(x0 + x) < (unsigned)p.w ? quantize(p, v[i]) : (uint32_t)p.pad;
		}
	}
}

DEVICE void copy_row(const qdq_cuda_few &p, uint32_t *to, const uint32_t *from, int x0, bool inside)
{
#pragma unroll 4
	for (int x = threadIdx.x % 32; x < p.patch_w; x += 32)
		to[x] = inside && (unsigned)(x0 + x) < (unsigned)p.w ? __ldg(from + x0 + x) : (uint32_t)p.pad;
}

/* The part of the image, with padding around; a warp has every fourth row. */
DEVICE void copy_patch(const qdq_cuda_few &p, uint32_t *to, int image, int y0, int x0)
{
	for (int r = threadIdx.x / 32; r < p.patch_h; r += FEW_WARPS) {
		int y = y0 + r;
		bool inside = (unsigned)y < (unsigned)p.h;

		if (p.from_floats)
			quantize_row(p, to + r * p.patch_w,
				     pointer<const float>(p.x) + ((int64_t)image * p.inputs * p.h + y) * p.w, x0,
				     inside);
		else
			copy_row(p, to + r * p.patch_w, pointer<const uint32_t>(p.x) + ((int64_t)image * p.h + y) * p.w,
				 x0, inside);
	}
}

/* ---- products ---- */

/* Where in the patch the taps of half a step begin, in bytes: 4 taps along a window's row. */
struct few_taps {
	uint32_t at = 0;
	int kx = 0, ky = 0;

	DEVICE void next(const qdq_cuda_few &p)
	{
		kx += 4;
		at += 16 * p.dw;
		if (kx < p.kw)
			return;
		kx = 0;
		ky = ky + 1 == p.kh ? 0 : ky + 1; /* the window is taken more than once where weights are wide */
		at = ky * p.dh * p.patch_w * 4;
	}
};

template <int M, bool SIGNED>
DEVICE void multiply_patch(const qdq_cuda_few &p, const uint32_t (&first)[M], uint32_t weights,
			   int (&acc)[M][BLOCKS_OF_8][4])
{
	few_taps taps;
	uint32_t second = GROUP / 2 * p.sw * 4;

	for (int s = 0; s < p.depth / FEW_STEP; s++, weights += 1024) {
		uint4 b01 = load_shared16(weights), b23 = load_shared16(weights + 512);
		uint32_t low = taps.at;
		taps.next(p);
		uint32_t high = taps.at;
		taps.next(p);

#pragma unroll
		for (int i = 0; i < M; i++) {
			uint32_t a[4] = {load_shared(first[i] + low), load_shared(first[i] + low + second),
					 load_shared(first[i] + high), load_shared(first[i] + high + second)};

			multiply<SIGNED>(acc[i][0], a, b01.x, b01.y);
			multiply<SIGNED>(acc[i][1], a, b01.z, b01.w);
			multiply<SIGNED>(acc[i][2], a, b23.x, b23.y);
			multiply<SIGNED>(acc[i][3], a, b23.z, b23.w);
		}
	}
}

/* ---- behind the sums ---- */

/* A thread's two outputs of a group: the first, and the end of the row. */
struct few_place {
	int pixel, end;
};

DEVICE void few_any(const qdq_cuda_few &p, few_place at, int c, const float *numbers, int each,
		    const int (&acc)[BLOCKS_OF_8][4])
{
	run_steps<2, FEW_V>(p.steps, {at.pixel, GROUP / 2, at.end, c, p.channels, nullptr, 0},
			    [&](int r, float(&v)[FEW_V]) {
#pragma unroll
				    for (int e = 0; e < FEW_V; e++)
					    v[e] = qdq_scale((float)acc[e / 2][r * 2 + e % 2], numbers[each + e],
							     numbers[2 * each + e], numbers[3 * each + e]);
			    });
}

/* ROUND_STORE */
DEVICE void few_round(const qdq_cuda_few &p, few_place at, int c, const float *numbers, int each,
		      const int (&acc)[BLOCKS_OF_8][4])
{
	const qdq_cuda_step &last = p.steps.step[0];
	float multiplier[FEW_V], rest[FEW_V], addend[FEW_V];

	shared_numbers((const char *)(numbers + each), multiplier);
	shared_numbers((const char *)(numbers + 2 * each), rest);
	shared_numbers((const char *)(numbers + 3 * each), addend);
#pragma unroll
	for (int r = 0; r < 2; r++) {
		int pixel = at.pixel + r * (GROUP / 2);
		float v[FEW_V];

#pragma unroll
		for (int e = 0; e < FEW_V; e++)
			v[e] = qdq_scale((float)acc[e / 2][r * 2 + e % 2], multiplier[e], rest[e], addend[e]);
		saturate_all<FEW_V>(v, last.a, last.b);
		if (pixel < at.end)
			store_bytes<FEW_V>(pointer<char>(last.place.at) + (int64_t)pixel * last.place.pitch +
					       last.place.channel + c,
					   to_bytes<FEW_V>(v, last.place.zero));
	}
}

/* ---- all of it ---- */

/* M groups at a time; numbers: of the thread's first channel, c. */
template <int M, ending END, bool SIGNED>
DEVICE void few_groups(const qdq_cuda_few &p, uint32_t patch, uint32_t weights, const float *numbers, int first, int c,
		       int image, int oy, int ox)
{
	int lane = threadIdx.x % 32, each = p.warps * WARP_CHANNELS;
	uint32_t from[M];
	few_place to[M];
	int acc[M][BLOCKS_OF_8][4], start[FEW_V];

	int row = first / p.groups, x = first % p.groups * GROUP + lane / 4;

	shared_numbers((const char *)numbers, start);
#pragma unroll
	for (int i = 0; i < M; i++) {
		bool there = row < p.tile_rows; /* the first is; others than it may be computed for nothing */
		int line = (image * p.oh + oy + row) * p.ow;

		from[i] = there ? patch + (row * p.sh * p.patch_w + x * p.sw + lane % 4 * p.dw) * 4 : from[0];
		to[i] = {line + ox + x, there && oy + row < p.oh ? line + p.ow : 0};
#pragma unroll
		for (int e = 0; e < FEW_V; e++)
			acc[i][e / 2][e % 2] = acc[i][e / 2][2 + e % 2] = start[e];
		x += GROUP;
		if (x >= p.groups * GROUP) {
			x -= p.groups * GROUP;
			row++;
		}
	}
	if (END == ANY_STEPS && p.x_signed)
		multiply_patch<M, true>(p, from, weights, acc);
	else
		multiply_patch<M, SIGNED>(p, from, weights, acc);
	if (c >= p.channels)
		return;
#pragma unroll
	for (int i = 0; i < M; i++)
		if (END == ANY_STEPS)
			few_any(p, to[i], c, numbers, each, acc[i]);
		else
			few_round(p, to[i], c, numbers, each, acc[i]);
}

template <int M, ending END, bool SIGNED> DEVICE void few(const qdq_cuda_few &p)
{
	extern __shared__ __align__(16) char memory[];
	int lane = threadIdx.x % 32, warp = threadIdx.x / 32, part = warp % p.warps,
	    channel = blockIdx.y * p.warps * WARP_CHANNELS;
	int columns = (p.ow + p.groups * GROUP - 1) / (p.groups * GROUP),
	    tiles = (p.oh + p.tile_rows - 1) / p.tile_rows;
	int image = blockIdx.x / (columns * tiles), tile = blockIdx.x % (columns * tiles);
	int oy = tile / columns * p.tile_rows, ox = tile % columns * p.groups * GROUP,
	    own = part * WARP_CHANNELS + lane % 4 * FEW_V;
	uint32_t *weights = (uint32_t *)memory, *numbers = weights + p.warps * p.depth * WARP_CHANNELS / 4;
	uint32_t *patch = numbers + 4 * p.warps * WARP_CHANNELS;

	let_next_begin();
	copy_fragments(p, shared_address(weights));
	copy_few_numbers(p, numbers, channel);
	wait_for_inputs();
	copy_patch(p, patch, image, oy * p.sh - p.top, ox * p.sw - p.left);
	copies_wait<0>();
	__syncthreads();
	for (int first = warp / p.warps * M; first < p.groups * p.tile_rows; first += FEW_WARPS / p.warps * M)
		few_groups<M, END, SIGNED>(p, shared_address(patch),
					   shared_address(weights) + part * p.depth * WARP_CHANNELS + lane * 16,
					   (const float *)numbers + own, first, channel + own, image, oy, ox);
}

extern "C" __global__ __launch_bounds__(FEW_WARPS * 32, 4) void qdq_few(const __grid_constant__ qdq_cuda_few p)
{
	few<1, ANY_STEPS, false>(p); /* chooses the sign itself */
}

extern "C" __global__ __launch_bounds__(FEW_WARPS * 32, 4) void qdq_few_round_s8(const __grid_constant__ qdq_cuda_few p)
{
	few<4, ROUNDS, true>(p);
}

extern "C" __global__ __launch_bounds__(FEW_WARPS * 32, 4) void qdq_few_round_u8(const __grid_constant__ qdq_cuda_few p)
{
	few<4, ROUNDS, false>(p);
}

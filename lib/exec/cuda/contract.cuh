/* SPDX-License-Identifier: Apache-2.0
 *
 * contract.cuh -- convolutions and products on the tensor cores of every architecture from sm_80 on
 *
 * Implicit GEMM: pixels x channels, a tile for each block, 64 bytes of the window at a time through a ring of shared memory
 * (cp.async), 16 x 8 x 32 products (mma.sync). In a warp's tile the channels are permuted when weights are copied, so that
 * a thread's accumulators of a pixel are adjacent channels: it loads and stores them as one vector. Sums that are split
 * along the window meet in int32, in any order, so they are exact; the block that comes last finishes them.
 *
 * What follows the sums is one of three: any steps (contract.cu), or the two chains that nearly all regions end with,
 * without branches: ROUND_STORE (round.cu), and ROUND, SCALE, ADD, ROUND_STORE of a residual (add.cu).
 */
#ifndef QDQ_EXEC_CUDA_CONTRACT_CUH
#define QDQ_EXEC_CUDA_CONTRACT_CUH

#include "device.cuh"

enum { STEP = 64, CHUNKS = STEP / 16 }; /* bytes of the window at a time */

/* AT_ONCE: steps between two barriers; RING: stages of the ring. */
template <int BM, int BN, int WM, int WN, int RING, int TOGETHER> struct tile {
	static constexpr int WARPS_M = BM / WM, WARPS_N = BN / WN, THREADS = WARPS_M * WARPS_N * 32;
	static constexpr int ROWS = THREADS / CHUNKS; /* rows that all threads copy at a time */
	static constexpr int A = BM / ROWS, B = (BN + ROWS - 1) / ROWS;
	static constexpr int M = WM / 16, N = WN / 8, V = WN / 4; /* V: adjacent channels of a thread */
	static constexpr int PART = V > 16 ? 16 : V;		  /* as one vector */
	static constexpr bool GROUPS = WN == 128;		  /* warp groups multiply: wgmma */
	static constexpr int STAGE = (BM + BN) * STEP, STAGES = RING, AT_ONCE = TOGETHER, AHEAD = STAGES - AT_ONCE;
	/* behind the ring: numbers per channel, then what each thread fetches for itself */
	static constexpr int NUMBERS = STAGES * STAGE, FETCHED = NUMBERS + 4 * BN * 4, SHARED = FETCHED + BM * BN;
};

/* Row r's chunk c in shared memory: no two of 8 rows share banks. It is what wgmma calls a swizzle of 64 bytes. */
DEVICE uint32_t swizzled(int r, int c)
{
	return (uint32_t)(r * STEP + ((c ^ (r >> 1 & 3)) << 4));
}

/* 16 bytes of every window: where, from the window's first pixel, and in which row and column of the window. */
struct unit {
	int offset, dy, dx;
};

/* A thread's units, one for each step; behind the last they lie outside every image. Where the window is taken once, 64
 * channels of each tap at a time, they are counted: what changes is the same for all threads. */
template <bool TABLE> struct walker {
	const qdq_cuda_contract &p;
	int step, kx, ky, dy, dx, offset; /* of the next */

	DEVICE walker(const qdq_cuda_contract &params, int first)
	    : p(params), step(first), kx(0), ky(0), dy(0), dx(0), offset(0)
	{
		if (first == 0)
			return;
		kx = first % p.kw;
		ky = first / p.kw % p.kh;
		dy = ky * p.dh;
		dx = kx * p.dw;
		offset = first / (p.kw * p.kh) * STEP + (dy * p.w + dx) * p.pitch;
	}

	DEVICE void count()
	{
		step++;
		dx += p.dw;
		offset += p.dw * p.pitch;
		if (++kx < p.kw)
			return;
		kx = 0;
		dx = 0;
		dy += p.dh;
		offset += (p.dh * p.w - p.kw * p.dw) * p.pitch;
		if (++ky < p.kh)
			return;
		ky = 0;
		dy = 0;
		offset += STEP - p.kh * p.dh * p.w * p.pitch;
	}

	DEVICE unit next(bool)
	{
		int chunk = threadIdx.x % CHUNKS;
		unit now = {offset + chunk * 16, step * CHUNKS + chunk < p.n_units ? dy : INT16_MIN, dx};

		count();
		return now;
	}
};

/* They are read from a table, one step ahead. */
template <> struct walker<true> {
	const int2 *from;
	int2 ahead;

	DEVICE walker(const qdq_cuda_contract &p, int first)
	    : from(pointer<const int2>(p.units) + first * CHUNKS + threadIdx.x % CHUNKS), ahead(__ldg(from))
	{
	}

	DEVICE unit next(bool more)
	{
		unit now = {ahead.x, (int16_t)(ahead.y & 0xffff), ahead.y >> 16};

		from += CHUNKS;
		if (more)
			ahead = __ldg(from);
		return now;
	}
};

template <typename T> struct loader {
	const qdq_cuda_contract &p;
	window rows[T::A];
	bool there[T::A];
	const char *weights[T::B];
	bool is_channel[T::B];
	int chunk, row, group_offset;
	uint32_t
	    own; /* where the thread's first row is in a tile; the others are ROWS apart, which swizzles the same */

	DEVICE loader(const qdq_cuda_contract &params, int pixel, int channel, int bn)
	    : p(params), chunk(threadIdx.x % CHUNKS), row(threadIdx.x / CHUNKS), group_offset(0)
	{
		own = swizzled(row, chunk);
		if (p.group_inputs != 0)
			group_offset = channel / p.group_outputs * p.group_inputs & ~15;
#pragma unroll
		for (int i = 0; i < T::A; i++) {
			int at = pixel + row + i * T::ROWS;

			there[i] = at < p.pixels;
			rows[i] = window_of(p, there[i] ? at : 0);
		}
#pragma unroll
		for (int i = 0; i < T::B; i++) {
			unsigned r = row + i * T::ROWS, in_warp = r % (T::N * 8), position = in_warp % 8;
			int k = channel + (int)(r - in_warp + position / 2 * T::V + in_warp / 8 * 2 + position % 2);

			is_channel[i] = r < (unsigned)bn && k < p.channels;
			weights[i] =
			    pointer<const char>(p.weights) + (is_channel[i] ? (int64_t)k * p.depth : 0) + chunk * 16;
		}
	}

	DEVICE void copy_weights(uint32_t to, int step, int bn) const
	{
#pragma unroll
		for (int i = 0; i < T::B; i++) {
			int r = row + i * T::ROWS;

			if (T::B * T::ROWS == bn || r < bn)
				copy16(to + own + i * T::ROWS * STEP, weights[i] + step * STEP, is_channel[i]);
		}
	}

	/* Outside the image there is padding, 16 bytes of it in memory. */
	DEVICE void copy_windows(uint32_t to, unit u) const
	{
		const char *x = pointer<const char>(p.x) + u.offset + group_offset;

#pragma unroll
		for (int i = 0; i < T::A; i++) {
			bool inside = there[i] && (unsigned)(rows[i].y + u.dy) < (unsigned)p.h &&
				      (unsigned)(rows[i].x + u.dx) < (unsigned)p.w;

			copy16(to + own + i * T::ROWS * STEP, inside ? x + rows[i].at : pointer<const char>(p.padding),
			       true);
		}
	}
};

/* Where a lane's rows of both operands are in a stage, for both halves of a step. Blocks of 16 rows swizzle the same. */
struct places {
	uint32_t a[STEP / 32], b[STEP / 32];
};

template <typename T> DEVICE places places_of(int warp_m, int warp_n)
{
	int lane = threadIdx.x % 32;
	places at;

#pragma unroll
	for (int k = 0; k < STEP / 32; k++) {
		at.a[k] = warp_m * T::M * 16 * STEP + swizzled(lane % 16, k * 2 + lane / 16);
		at.b[k] = warp_n * T::N * 8 * STEP + swizzled(lane % 8 + lane / 16 * 8, k * 2 + lane / 8 % 2);
	}
	return at;
}

template <typename T, bool SIGNED>
DEVICE void multiply_step(uint32_t a_at, uint32_t b_at, const places &at, int (&acc)[T::M][T::N][4])
{
#pragma unroll
	for (int k = 0; k < STEP / 32; k++) {
		uint32_t a[T::M][4], b[T::N / 2][4];

#pragma unroll
		for (int i = 0; i < T::M; i++)
			load_matrices(a[i], a_at + at.a[k] + i * 16 * STEP);
#pragma unroll
		for (int j = 0; j < T::N / 2; j++)
			load_matrices(b[j], b_at + at.b[k] + j * 16 * STEP);
#pragma unroll
		for (int i = 0; i < T::M; i++)
#pragma unroll
			for (int j = 0; j < T::N; j++)
				multiply<SIGNED>(acc[i][j], a[i], b[j / 2][j % 2 * 2], b[j / 2][j % 2 * 2 + 1]);
	}
}

/* The ring of stages: some steps are multiplied while those behind them are under way. */
template <typename T, int BM, int BN, bool SIGNED, bool TABLE>
DEVICE void multiply_all(const loader<T> &load, walker<TABLE> &units, uint32_t shared, const places &at, int first,
			 int steps, int (&acc)[T::M][T::N][4])
{
	uint32_t stage = shared, next = shared + T::AHEAD * T::STAGE, end = shared + T::STAGES * T::STAGE;

	for (int s = 0; s < steps; s += T::AT_ONCE) {
		copies_wait<T::AHEAD / T::AT_ONCE - 1>();
		__syncthreads();
#pragma unroll
		for (int u = 0; u < T::AT_ONCE; u++) {
			if (s + u + T::AHEAD < steps) {
				load.copy_weights(next + BM * STEP, first + s + u + T::AHEAD, BN);
				load.copy_windows(next, units.next(s + u + T::AHEAD + 1 < steps));
			}
			next = next + T::STAGE == end ? shared : next + T::STAGE;
		}
		copies_end();
#pragma unroll
		for (int u = 0; u < T::AT_ONCE; u++) {
			if (s + u < steps)
				multiply_step<T, SIGNED>(stage, stage + BM * STEP, at, acc);
			stage = stage + T::STAGE == end ? shared : stage + T::STAGE;
		}
	}
}

/* The same by warp groups, of 64 pixels and all channels each, whose operands stay in shared memory: while the tensor cores
 * work, the next step's copies begin. */
template <typename T, int BM, int BN, bool SIGNED>
DEVICE void multiply_groups(const loader<T> &load, walker<false> &units, uint32_t shared, int first, int steps,
			    int (&acc)[T::M][T::N][4])
{
	uint32_t stage = shared, next = shared + T::AHEAD * T::STAGE, end = shared + T::STAGES * T::STAGE;
	uint32_t own = threadIdx.x / 128 * 64 * STEP;

	for (int s = 0; s < steps; s++) {
		copies_wait<T::AHEAD - 1>();
		show_to_tensor_cores();
		__syncthreads();
		products_begin(acc[0]);
#pragma unroll
		for (int k = 0; k < STEP / 32; k++)
			multiply_group<SIGNED>(acc[0], operand(stage + own) + k * 2,
					       operand(stage + BM * STEP) + k * 2);
		products_end();
		if (s + T::AHEAD < steps) {
			load.copy_weights(next + BM * STEP, first + s + T::AHEAD, BN);
			load.copy_windows(next, units.next(true));
		}
		copies_end();
		products_wait(acc[0]);
		stage = stage + T::STAGE == end ? shared : stage + T::STAGE;
		next = next + T::STAGE == end ? shared : next + T::STAGE;
	}
}

/* Adds what other blocks have summed; false: this block is not the last. */
template <typename T> DEVICE bool gather_splits(const qdq_cuda_contract &p, int tile_index, int (&acc)[T::M][T::N][4])
{
	__shared__ int order;
	int4 *partial =
	    pointer<int4>(p.partial) + (int64_t)tile_index * p.splits * T::M * T::N * T::THREADS + threadIdx.x;
	int mine = blockIdx.y;

#pragma unroll
	for (int i = 0; i < T::M * T::N; i++) {
		const int(&c)[4] = acc[i / T::N][i % T::N];

		__stcg(&partial[(mine * T::M * T::N + i) * T::THREADS], make_int4(c[0], c[1], c[2], c[3]));
	}
	__syncthreads(); /* then one thread's fences are everybody's */
	if (threadIdx.x == 0) {
		__threadfence();
		order = atomicAdd(pointer<int>(p.counters) + tile_index, 1);
		__threadfence();
	}
	__syncthreads();
	if (order != p.splits - 1)
		return false;
	if (threadIdx.x == 0)
		pointer<int>(p.counters)[tile_index] = 0;
#pragma unroll(T::M *T::N <= 8 ? 4 : 1)
	for (int s = 0; s < p.splits; s++) {
		if (s == mine)
			continue;
#pragma unroll
		for (int i = 0; i < T::M * T::N; i++) {
			int4 c = __ldcg(&partial[(s * T::M * T::N + i) * T::THREADS]);
			int(&to)[4] = acc[i / T::N][i % T::N];

			to[0] += c.x, to[1] += c.y, to[2] += c.z, to[3] += c.w;
		}
	}
	return true;
}

/* The channels' numbers, to shared memory. */
template <typename T, int BN> DEVICE void copy_numbers(const qdq_cuda_contract &p, uint32_t shared, int channel)
{
	for (int i = threadIdx.x; i < BN; i += T::THREADS) {
		uint64_t from = i < BN / 4 ? p.multiplier : i < BN / 2 ? p.rest : i < 3 * BN / 4 ? p.addend : p.start;

		copy16(shared + T::NUMBERS + i * 16, pointer<const char>(from) + channel * 4 + i % (BN / 4) * 16, true);
	}
}

/* What this thread adds to its own pixels and channels; nobody else reads it. */
template <typename T> DEVICE void fetch(const qdq_cuda_contract &p, uint32_t shared, int pixel, int c)
{
	const qdq_cuda_place &place = p.steps.step[p.steps.fetched].place;

#pragma unroll
	for (int i = 0; i < T::M * 2; i++) {
		int at = pixel + i * 8 + threadIdx.x % 32 / 4;

#pragma unroll
		for (int e = 0; e < T::V; e += T::PART)
			if (at < p.pixels && c + e < p.channels)
				copy_vector<T::PART>(shared + T::FETCHED + (i * T::THREADS + threadIdx.x) * T::V + e,
						     pointer<const char>(place.at) + (int64_t)at * place.pitch + c + e);
	}
}

template <int N, typename T> DEVICE void shared_numbers(const char *from, T (&out)[N])
{
#pragma unroll
	for (int i = 0; i < N; i += 4) {
		uint4 q = *(const uint4 *)(from + i * 4);

		memcpy(&out[i], &q, 16);
	}
}

/* What the sums begin with. MAGIC: of small ones also 1.5 * 2^23 as a float, whose lowest bits they then are. */
template <typename T, int BN, bool MAGIC>
DEVICE void begin(const qdq_cuda_contract &p, const char *memory, int own, int (&acc)[T::M][T::N][4])
{
	int start[T::V];

	shared_numbers(memory + T::NUMBERS + (3 * BN + own) * 4, start);
#pragma unroll
	for (int i = 0; i < T::M; i++)
#pragma unroll
		for (int e = 0; e < T::V; e++)
			acc[i][e / 2][e % 2] = acc[i][e / 2][2 + e % 2] =
			    blockIdx.y != 0 ? 0 : start[e] + (MAGIC && p.small ? 0x4b400000 : 0);
}

/* ---- behind the sums ---- */

/* Where a thread is: its first pixel and channel, and where the channel's numbers are in the tile. */
struct corner {
	int pixel, c, own;
};

template <typename T, int BN>
DEVICE void run_any_steps(const qdq_cuda_contract &p, const char *memory, corner at, const int (&acc)[T::M][T::N][4])
{
	bool fetched = p.steps.fetched >= 0;
	uint32_t rest = shared_address(memory + T::NUMBERS + (BN + at.own) * 4);
	float multiplier[T::V], addend[T::V];

	shared_numbers(memory + T::NUMBERS + at.own * 4, multiplier);
	shared_numbers(memory + T::NUMBERS + (2 * BN + at.own) * 4, addend);
	patch of = {at.pixel,	      8,
		    p.pixels,	      at.c,
		    p.channels,	      fetched ? memory + T::FETCHED + threadIdx.x * T::V : nullptr,
		    T::THREADS * T::V};

	run_steps<T::M * 2, T::V>(p.steps, of, [&](int r, float(&v)[T::V]) {
#pragma unroll
		for (int e = 0; e < T::V; e++) /* the rest is read anew: registers are few */
			v[e] = qdq_scale((float)acc[r / 2][e / 2][r % 2 * 2 + e % 2], multiplier[e],
					 __uint_as_float(load_shared(rest + e * 4)), addend[e]);
	});
}

/* Each sum becomes the bits of itself as a float. */
template <typename T> DEVICE void convert(bool small, int (&acc)[T::M][T::N][4])
{
	int *sums = &acc[0][0][0];

	if (small)
#pragma unroll
		for (int i = 0; i < T::M * T::N * 4; i++)
			sums[i] = __float_as_int(__fadd_rn(__int_as_float(sums[i]), -12582912.0f));
	else
#pragma unroll
		for (int i = 0; i < T::M * T::N * 4; i++)
			sums[i] = __float_as_int((float)sums[i]);
}

/* The steps ROUND, SCALE and ADD of a pixel, whose residual's codes are at `codes`. */
template <int V> DEVICE void add_residual(const qdq_cuda_step *s, const char *codes, float (&v)[V])
{
	bool is_signed = s[2].place.type == QDQ_CUDA_S8;
	uint32_t flip = is_signed ? 0x80808080u : 0;			   /* then all are unsigned */
	float zero = 8388608.0f + (is_signed ? 128 : 0) + s[2].place.zero; /* 2^23, whose lowest bits a code becomes */
	bytes<V> b = load_bytes<V>(codes);

	saturate_all<V>(v, s[0].a, s[0].b);
#pragma unroll
	for (int i = 0; i < V; i++) {
		uint32_t code = __byte_perm(b.word[i / 4] ^ flip, 0x4b000000u, 0x7440 + i % 4);
		float rounded = __fsub_rn(__fadd_rn(v[i], 12582912.0f), 12582912.0f);

		v[i] = __fmaf_rn(__fsub_rn(__uint_as_float(code), zero), s[2].a, __fmul_rn(rounded, s[1].a));
	}
}

/* The two chains, for PART of the thread's channels from `part` on; the last step, ROUND_STORE, writes whole vectors. */
template <typename T, int BN, bool ADDS>
DEVICE void run_part(const qdq_cuda_contract &p, const char *memory, corner at, int part,
		     const int (&acc)[T::M][T::N][4])
{
	const qdq_cuda_step &last = p.steps.step[ADDS ? 3 : 0];
	char *to =
	    pointer<char>(last.place.at) + (int64_t)at.pixel * last.place.pitch + last.place.channel + at.c + part;
	float multiplier[T::PART], rest[T::PART], addend[T::PART];

	shared_numbers(memory + T::NUMBERS + (at.own + part) * 4, multiplier);
	shared_numbers(memory + T::NUMBERS + (BN + at.own + part) * 4, rest);
	shared_numbers(memory + T::NUMBERS + (2 * BN + at.own + part) * 4, addend);
#pragma unroll
	for (int r = 0; r < T::M * 2; r++, to += 8 * last.place.pitch) {
		float v[T::PART];

		if (at.pixel + r * 8 >= p.pixels)
			break;
#pragma unroll
		for (int e = 0; e < T::PART; e++)
			v[e] = qdq_scale(__int_as_float(acc[r / 2][(part + e) / 2][r % 2 * 2 + e % 2]), multiplier[e],
					 rest[e], addend[e]);
		if (ADDS)
			add_residual<T::PART>(p.steps.step,
					      memory + T::FETCHED + (r * T::THREADS + threadIdx.x) * T::V + part, v);
		saturate_all<T::PART>(v, last.a, last.b);
		store_bytes<T::PART>(to, to_bytes<T::PART>(v, last.place.zero));
	}
}

template <typename T, int BN, bool ADDS>
DEVICE void run_chain(const qdq_cuda_contract &p, const char *memory, corner at, int (&acc)[T::M][T::N][4])
{
	convert<T>(p.small, acc);
#pragma unroll
	for (int part = 0; part < T::V; part += T::PART)
		if (at.c + part < p.channels)
			run_part<T, BN, ADDS>(p, memory, at, part, acc);
}

/* ---- all of it ---- */

enum ending { ANY_STEPS, ROUNDS, ADDS };

/* The stages that a block begins with: weights and numbers before the kernel before has ended, then windows. */
template <typename T, int BM, int BN, ending END>
DEVICE void fill(const loader<T> &load, walker<END == ANY_STEPS> &units, const qdq_cuda_contract &p, uint32_t shared,
		 int channel, int first, int steps, corner at)
{
	unit of[T::AHEAD];

	copy_numbers<T, BN>(p, shared, channel);
#pragma unroll
	for (int s = 0; s < T::AHEAD; s++)
		if (s < steps) {
			of[s] = units.next(s + 1 < steps);
			load.copy_weights(shared + s * T::STAGE + BM * STEP, first + s, BN);
		}
	wait_for_inputs();
	if (END == ADDS || (END == ANY_STEPS && p.steps.fetched >= 0))
		fetch<T>(p, shared, at.pixel - threadIdx.x % 32 / 4, at.c);
#pragma unroll
	for (int s = 0; s < T::AHEAD; s++) {
		if (s < steps)
			load.copy_windows(shared + s * T::STAGE, of[s]);
		if (s % T::AT_ONCE == T::AT_ONCE - 1)
			copies_end();
	}
}

template <int BM, int BN, int WM, int WN, int STAGES, int AT_ONCE, ending END, bool SIGNED>
DEVICE void contract(const qdq_cuda_contract &p)
{
	using T = tile<BM, BN, WM, WN, STAGES, AT_ONCE>;
	extern __shared__ __align__(1024) char memory[];
	uint32_t shared = shared_address(memory);
	int tile_index = blockIdx.x, row = (int)(blockIdx.x / (unsigned)p.columns);
	int pixel = row * BM, channel = (tile_index - row * p.columns) * BN;
	int first = blockIdx.y * p.steps_each, steps = p.depth / STEP - first;
	int warp = threadIdx.x / 32, warp_m = warp % T::WARPS_M, warp_n = warp / T::WARPS_M;
	int own = warp_n * WN + threadIdx.x % 4 * T::V;
	corner at = {pixel + warp_m * WM + (int)threadIdx.x % 32 / 4, channel + own, own};
	int acc[T::M][T::N][4];
	loader<T> load(p, pixel, channel, BN);
	walker<END == ANY_STEPS> units(p, first);

	let_next_begin();
	if (steps > p.steps_each)
		steps = p.steps_each;
	fill<T, BM, BN, END>(load, units, p, shared, channel, first, steps, at);
	copies_wait<T::AHEAD / T::AT_ONCE - 1>();
	__syncthreads();
	begin<T, BN, END != ANY_STEPS>(p, memory, own, acc);
	if constexpr (T::GROUPS)
		multiply_groups<T, BM, BN, SIGNED>(load, units, shared, first, steps, acc);
	else if (END == ANY_STEPS && p.x_signed)
		multiply_all<T, BM, BN, true>(load, units, shared, places_of<T>(warp_m, warp_n), first, steps, acc);
	else
		multiply_all<T, BM, BN, SIGNED>(load, units, shared, places_of<T>(warp_m, warp_n), first, steps, acc);
	copies_wait<0>();
	if (p.splits > 1 && !gather_splits<T>(p, tile_index, acc))
		return;
	if (at.c >= p.channels)
		return;
	if constexpr (END == ANY_STEPS)
		run_any_steps<T, BN>(p, memory, at, acc);
	else
		run_chain<T, BN, END == ADDS>(p, memory, at, acc);
}

#define TILE(NAME, BM, BN, WM, WN, STAGES, AT_ONCE, BLOCKS, END, SIGNED)                                             \
	extern "C" __global__ __launch_bounds__(BM / WM * (BN / WN) * 32,                                            \
						BLOCKS) void qdq_##NAME(const __grid_constant__ qdq_cuda_contract p) \
	{                                                                                                            \
		contract<BM, BN, WM, WN, STAGES, AT_ONCE, END, SIGNED>(p);                                           \
	}

/* The tiles that there are; tactics.c knows the same list. */
#define TILES(PREFIX, END, SIGNED)                                       \
	TILE(PREFIX##_128x128, 128, 128, 64, 64, 3, 1, 2, END, SIGNED)   \
	TILE(PREFIX##_128x128x8, 128, 128, 64, 32, 4, 1, 2, END, SIGNED) \
	TILE(PREFIX##_128x64, 128, 64, 32, 64, 4, 1, 3, END, SIGNED)     \
	TILE(PREFIX##_64x64, 64, 64, 32, 32, 4, 1, 4, END, SIGNED)       \
	TILE(PREFIX##_128x32, 128, 32, 32, 32, 4, 1, 4, END, SIGNED)     \
	TILE(PREFIX##_32x64, 32, 64, 16, 32, 8, 2, 4, END, SIGNED)

#endif

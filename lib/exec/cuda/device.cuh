/* SPDX-License-Identifier: Apache-2.0
 *
 * device.cuh -- the instructions that CUDA C has no name for, and the steps behind every kernel's accumulators
 */
#ifndef QDQ_EXEC_CUDA_DEVICE_CUH
#define QDQ_EXEC_CUDA_DEVICE_CUH

#include "../steps.h"
#include "params.h"

#define DEVICE __device__ __forceinline__

/* ---- instructions ---- */

DEVICE uint32_t shared_address(const void *p)
{
	return (uint32_t)__cvta_generic_to_shared(p);
}

/* V bytes to shared memory. */
template <int V> DEVICE void copy_vector(uint32_t to, const void *from)
{
	if constexpr (V == 16)
		asm volatile("cp.async.cg.shared.global [%0], [%1], 16;" ::"r"(to), "l"(from));
	else
		asm volatile("cp.async.ca.shared.global [%0], [%1], %2;" ::"r"(to), "l"(from), "n"(V));
}

/* 16 bytes to shared memory; zeros where `there` is false; through the first cache: windows overlap. */
DEVICE void copy16(uint32_t to, const void *from, bool there)
{
	asm volatile("cp.async.ca.shared.global [%0], [%1], 16, %2;" ::"r"(to), "l"(from), "r"(there ? 16 : 0));
}

DEVICE void copies_end()
{
	asm volatile("cp.async.commit_group;");
}

template <int LEFT> DEVICE void copies_wait()
{
	asm volatile("cp.async.wait_group %0;" ::"n"(LEFT) : "memory");
}

DEVICE uint32_t load_shared(uint32_t at)
{
	uint32_t word;

	asm volatile("ld.shared.b32 %0, [%1];" : "=r"(word) : "r"(at) : "memory");
	return word;
}

DEVICE uint4 load_shared16(uint32_t at)
{
	uint4 q;

	asm volatile("ld.shared.v4.b32 {%0, %1, %2, %3}, [%4];"
		     : "=r"(q.x), "=r"(q.y), "=r"(q.z), "=r"(q.w)
		     : "r"(at)
		     : "memory");
	return q;
}

DEVICE void load_matrices(uint32_t (&r)[4], uint32_t at)
{
	asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
		     : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
		     : "r"(at)
		     : "memory");
}

/* c += a (16 x 32, s8 or u8) * b (32 x 8, s8) */
template <bool SIGNED> DEVICE void multiply(int (&c)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1)
{
	if (SIGNED)
		asm volatile(
		    "mma.sync.aligned.m16n8k32.row.col.s32.s8.s8.s32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
		    "{%0, %1, %2, %3};"
		    : "+r"(c[0]), "+r"(c[1]), "+r"(c[2]), "+r"(c[3])
		    : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
	else
		asm volatile(
		    "mma.sync.aligned.m16n8k32.row.col.s32.u8.s8.s32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
		    "{%0, %1, %2, %3};"
		    : "+r"(c[0]), "+r"(c[1]), "+r"(c[2]), "+r"(c[3])
		    : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}

/* ---- warp groups (sm_90a) ---- */

#define QDQ_SUMS_4(c, i) "+r"(c[i][0]), "+r"(c[i][1]), "+r"(c[i][2]), "+r"(c[i][3])
#define QDQ_SUMS_16(c, i) QDQ_SUMS_4(c, i), QDQ_SUMS_4(c, i + 1), QDQ_SUMS_4(c, i + 2), QDQ_SUMS_4(c, i + 3)
#define QDQ_SUMS(c) QDQ_SUMS_16(c, 0), QDQ_SUMS_16(c, 4), QDQ_SUMS_16(c, 8), QDQ_SUMS_16(c, 12)

/* Describes rows of 64 bytes, swizzled, to wgmma; 32 bytes further along the rows is 2 more. */
DEVICE uint64_t operand(uint32_t shared)
{
	const uint64_t eight_rows = 8 * 64 / 16, swizzle_64 = 2;

	return (shared & 0x3ffff) >> 4 | UINT64_C(1) << 16 | eight_rows << 32 | swizzle_64 << 62;
}

#if defined(__CUDA_ARCH_FEAT_SM90_ALL)
/* What this thread has copied to shared memory, the tensor cores may read. */
DEVICE void show_to_tensor_cores()
{
	asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
}

DEVICE void products_begin(int (&c)[16][4])
{
	asm volatile("wgmma.fence.sync.aligned;" : QDQ_SUMS(c) : : "memory");
}

DEVICE void products_end()
{
	asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory");
}

DEVICE void products_wait(int (&c)[16][4])
{
	asm volatile("wgmma.wait_group.sync.aligned 0;" : QDQ_SUMS(c) : : "memory");
}

#define QDQ_MULTIPLY_GROUP(type, c, a, b)                                        \
	asm volatile("wgmma.mma_async.sync.aligned.m64n128k32.s32." type ".s8 {" \
		     "%0, %1, %2, %3, %4, %5, %6, %7, "                          \
		     "%8, %9, %10, %11, %12, %13, %14, %15, "                    \
		     "%16, %17, %18, %19, %20, %21, %22, %23, "                  \
		     "%24, %25, %26, %27, %28, %29, %30, %31, "                  \
		     "%32, %33, %34, %35, %36, %37, %38, %39, "                  \
		     "%40, %41, %42, %43, %44, %45, %46, %47, "                  \
		     "%48, %49, %50, %51, %52, %53, %54, %55, "                  \
		     "%56, %57, %58, %59, %60, %61, %62, %63}, "                 \
		     "%64, %65, 1;"                                              \
		     : QDQ_SUMS(c)                                               \
		     : "l"(a), "l"(b))

/* c += a (64 x 32, s8 or u8) * b (32 x 128, s8) */
template <bool SIGNED> DEVICE void multiply_group(int (&c)[16][4], uint64_t a, uint64_t b)
{
	if (SIGNED)
		QDQ_MULTIPLY_GROUP("s8", c, a, b);
	else
		QDQ_MULTIPLY_GROUP("u8", c, a, b);
}
#endif

/* Programmatic dependent launch: what the kernel before has written may be read after wait_for_inputs. */
DEVICE void wait_for_inputs()
{
#if __CUDA_ARCH__ >= 900
	asm volatile("griddepcontrol.wait;" ::: "memory");
#endif
}

DEVICE void let_next_begin()
{
#if __CUDA_ARCH__ >= 900
	asm volatile("griddepcontrol.launch_dependents;");
#endif
}

/* ---- memory ---- */

template <typename T> DEVICE T *pointer(uint64_t at)
{
	return reinterpret_cast<T *>(at);
}

/* Where channel c of a pixel is, in elements of a plain buffer or bytes of rows. */
DEVICE int64_t element_of(const qdq_cuda_place &p, int spatial, int pixel, int c)
{
	c += p.channel;
	if (p.pitch != 0)
		return (int64_t)pixel * p.pitch + c;
	return (int64_t)(pixel / spatial * p.total + c) * spatial + pixel % spatial;
}

DEVICE float code_at(const qdq_cuda_place &p, int64_t i)
{
	return p.type == QDQ_CUDA_S8 ? (float)pointer<const int8_t>(p.at)[i] : (float)pointer<const uint8_t>(p.at)[i];
}

DEVICE float byte_of(uint32_t word, int i, bool is_signed)
{
	return is_signed ? (float)(int8_t)(word >> (8 * i)) : (float)(uint8_t)(word >> (8 * i));
}

template <int V> struct bytes { /* V codes, 4 in a word */
	uint32_t word[V / 4];
};

template <int V> DEVICE bytes<V> load_bytes(const void *at)
{
	bytes<V> r;

	if constexpr (V == 16) {
		uint4 q = *static_cast<const uint4 *>(at);

		r.word[0] = q.x, r.word[1] = q.y, r.word[2] = q.z, r.word[3] = q.w;
	} else if constexpr (V == 8) {
		uint2 q = *static_cast<const uint2 *>(at);

		r.word[0] = q.x, r.word[1] = q.y;
	} else {
		r.word[0] = *static_cast<const uint32_t *>(at);
	}
	return r;
}

template <int V> DEVICE void store_bytes(void *at, const bytes<V> &b)
{
	if constexpr (V == 16)
		*static_cast<uint4 *>(at) = make_uint4(b.word[0], b.word[1], b.word[2], b.word[3]);
	else if constexpr (V == 8)
		*static_cast<uint2 *>(at) = make_uint2(b.word[0], b.word[1]);
	else
		*static_cast<uint32_t *>(at) = b.word[0];
}

template <int V> DEVICE void from_bytes(const qdq_cuda_place &p, const bytes<V> &b, float (&out)[V])
{
#pragma unroll
	for (int i = 0; i < V; i++)
		out[i] = byte_of(b.word[i / 4], i % 4, p.type == QDQ_CUDA_S8) - p.zero;
}

/* May V channels from c on be one vector? */
template <int V> DEVICE bool is_vector(const qdq_cuda_place &p, int c, int limit)
{
	return p.pitch % V == 0 && p.pitch != 0 && (p.channel + c) % V == 0 && c + V <= limit;
}

/* out[i] = element - zero of V channels from c on, of which `count` are there; floats as they are. */
template <int V> DEVICE void read(const qdq_cuda_place &p, int spatial, int pixel, int c, int count, float (&out)[V])
{
	int64_t at = element_of(p, spatial, pixel, c);

	if (is_vector<V>(p, c, p.pitch - p.channel)) {
		from_bytes<V>(p, load_bytes<V>(pointer<const char>(p.at) + at), out);
		return;
	}
	int64_t stride = p.pitch != 0 ? 1 : spatial;

#pragma unroll
	for (int i = 0; i < V; i++) {
		out[i] = 0;
		if (i < count)
			out[i] = p.type == QDQ_CUDA_FLOAT ? pointer<const float>(p.at)[at + i * stride]
							  : code_at(p, at + i * stride) - p.zero;
	}
}

template <int V>
DEVICE void write_codes(const qdq_cuda_place &p, int spatial, int pixel, int c, int count, const bytes<V> &b)
{
	int64_t at = element_of(p, spatial, pixel, c);
	int64_t stride = p.pitch != 0 ? 1 : spatial;
	char *to = pointer<char>(p.at);

	if (is_vector<V>(p, c, p.limit)) {
		store_bytes<V>(to + at, b);
		return;
	}
#pragma unroll
	for (int i = 0; i < V; i++)
		if (i < count)
			to[at + i * stride] = (char)(b.word[i / 4] >> (8 * (i % 4)));
}

/* ---- steps ---- */

/* v holds integers of at most 16 bits: the low bytes of (v + zero). */
template <int V> DEVICE bytes<V> to_bytes(const float (&v)[V], float zero)
{
	const float magic = 12582912.0f; /* 1.5 * 2^23: an integer's bits are the sum's lowest */
	bytes<V> r;

#pragma unroll
	for (int i = 0; i < V; i += 4) {
		uint32_t low = __byte_perm(__float_as_uint(__fadd_rn(v[i], magic)),
					   __float_as_uint(__fadd_rn(v[i + 1], magic)), 0x0040);
		uint32_t high = __byte_perm(__float_as_uint(__fadd_rn(v[i + 2], magic)),
					    __float_as_uint(__fadd_rn(v[i + 3], magic)), 0x0040);

		r.word[i / 4] = __byte_perm(low, high, 0x5410);
	}
	if (zero != 0) {
		uint32_t z = (uint32_t)((int)zero & 0xff) * 0x01010101u;

#pragma unroll
		for (int i = 0; i < V / 4; i++)
			r.word[i] = __vadd4(r.word[i], z);
	}
	return r;
}

/* NaN becomes low, as in qdq_saturate; what is rounded afterwards does not tell one zero from the other. */
template <int V> DEVICE void saturate_all(float (&v)[V], float low, float high)
{
#pragma unroll
	for (int i = 0; i < V; i++)
		v[i] = fminf(fmaxf(v[i], low), high);
}

template <int V>
DEVICE void store(const qdq_cuda_step &s, int spatial, int pixel, int c, int count, const float (&v)[V])
{
	if (s.place.type != QDQ_CUDA_FLOAT) {
		write_codes<V>(s.place, spatial, pixel, c, count, to_bytes<V>(v, s.place.zero));
		return;
	}
	int64_t at = element_of(s.place, spatial, pixel, c);

#pragma unroll
	for (int i = 0; i < V; i++)
		if (i < count)
			pointer<float>(s.place.at)[at + (int64_t)i * spatial] = __fmul_rn(v[i], s.a);
}

/* What a thread has: V channels from c on, of R pixels, `apart` from each other. */
struct patch {
	int pixel, apart, pixels; /* pixels: of the tensor */
	int c, channels;
	const char
	    *fetched; /* the codes of the ADD that were fetched, V of each pixel, fetched_apart bytes apart; or NULL */
	int fetched_apart;

	DEVICE int at(int r) const
	{
		return pixel + r * apart;
	}
	DEVICE bool there(int r) const
	{
		return pixel + r * apart < pixels;
	}
};

template <int R, int V>
DEVICE void add(const qdq_cuda_step &s, int spatial, const patch &at, bool fetched, float (&v)[R][V])
{
#pragma unroll
	for (int r = 0; r < R; r++) {
		float other[V];

		if (!at.there(r))
			continue;
		if (fetched)
			from_bytes<V>(s.place, load_bytes<V>(at.fetched + r * at.fetched_apart), other);
		else
			read<V>(s.place, spatial, at.at(r), at.c, at.channels - at.c, other);
#pragma unroll
		for (int i = 0; i < V; i++)
			v[r][i] = __fmaf_rn(other[i], s.a, v[r][i]);
	}
}

template <int V> DEVICE void affine(const qdq_cuda_step &s, int c, float (&v)[V])
{
#pragma unroll
	for (int i = 0; i < V; i++)
		v[i] =
		    __fmaf_rn(v[i], pointer<const float>(s.multiplier)[c + i], pointer<const float>(s.addend)[c + i]);
}

/* Runs the steps; start(r, v) gives the anchor's values of pixel r. Where steps go back to them, RESTARTS is true. */
template <int R, int V, bool RESTARTS, typename START>
DEVICE void run_steps_of(const qdq_cuda_steps &steps, const patch &at, START start)
{
	int spatial = steps.spatial;
	float v[R][V];

#define EACH for (int r = 0; r < R; r++)
#define EACH_OF for (int i = 0; i < V; i++)
#pragma unroll
	EACH start(r, v[r]);
	for (int n = 0; n < steps.count; n++) {
		const qdq_cuda_step &s = steps.step[n];

		switch (s.kind) {
		case QDQ_CUDA_RESTART:
			if (RESTARTS)
#pragma unroll
				EACH start(r, v[r]);
			break;
		case QDQ_CUDA_SCALE:
#pragma unroll
			EACH EACH_OF v[r][i] = __fmul_rn(v[r][i], s.a);
			break;
		case QDQ_CUDA_CLAMP:
#pragma unroll
			EACH EACH_OF v[r][i] = qdq_clamp(v[r][i], s.a, s.b);
			break;
		case QDQ_CUDA_ROUND:
#pragma unroll
			EACH
			{
				saturate_all<V>(v[r], s.a, s.b);
				EACH_OF v[r][i] = __fsub_rn(__fadd_rn(v[r][i], 12582912.0f), 12582912.0f);
			}
			break;
		case QDQ_CUDA_AFFINE:
#pragma unroll
			EACH affine<V>(s, at.c, v[r]);
			break;
		case QDQ_CUDA_ADD:
			add<R, V>(s, spatial, at, at.fetched != nullptr && n == steps.fetched, v);
			break;
		case QDQ_CUDA_STORE:
#pragma unroll
			EACH if (at.there(r)) store<V>(s, spatial, at.at(r), at.c, at.channels - at.c, v[r]);
			break;
		default: /* ROUND_STORE */
#pragma unroll
			EACH
			{
				saturate_all<V>(v[r], s.a, s.b);
				if (at.there(r))
					write_codes<V>(s.place, spatial, at.at(r), at.c, at.channels - at.c,
						       to_bytes<V>(v[r], s.place.zero));
			}
			break;
		}
	}
#undef EACH
#undef EACH_OF
}

/* All pixels at a time, so that a step is looked up once for all; one after the other where accumulators must stay. */
template <int R, int V, typename START> DEVICE void run_steps(const qdq_cuda_steps &steps, const patch &at, START start)
{
	if (!steps.restarts) {
		run_steps_of<R, V, false>(steps, at, start);
		return;
	}
#pragma unroll
	for (int one = 0; one < R; one++) {
		patch single = at;

		single.pixel = at.at(one);
		single.fetched = at.fetched == nullptr ? nullptr : at.fetched + one * at.fetched_apart;
		if (at.there(one))
			run_steps_of<1, V, true>(steps, single, [&](int, float(&v)[V]) { start(one, v); });
	}
}

/* N numbers per channel, from c on. */
template <int N, typename T> DEVICE void load_channels(uint64_t from, int c, T (&out)[N])
{
#pragma unroll
	for (int i = 0; i < N; i += 4) {
		uint4 q = __ldg(pointer<const uint4>(from + (uint64_t)(c + i) * 4));

		memcpy(&out[i], &q, 16);
	}
}

/* The window's first byte of an output pixel, and its row and column in the image. */
struct window {
	int64_t at;
	int y, x;
};

template <typename P> DEVICE window window_of(const P &p, int pixel)
{
	if (p.pointwise)
		return {(int64_t)pixel * p.pitch, 0, 0};
	int image = (int)((unsigned)pixel / (unsigned)(p.oh * p.ow)), rest = pixel - image * (p.oh * p.ow);
	int row = (int)((unsigned)rest / (unsigned)p.ow), y = row * p.sh - p.top,
	    x = (rest - row * p.ow) * p.sw - p.left;

	return {(int64_t)image * p.image + ((int64_t)y * p.w + x) * p.pitch, y, x};
}

#endif

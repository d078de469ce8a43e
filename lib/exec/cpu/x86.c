/* SPDX-License-Identifier: Apache-2.0
 *
 * x86.c -- micro-kernels for AVX2 and for AVX-512 VNNI
 *
 * Both are exact: pmaddwd adds two products of 16-bit numbers in 32 bits, vpdpbusd four products of u8 and s8.
 */
#include "kernels.h"

#if defined(__x86_64__) && defined(__GNUC__)
#include <immintrin.h>

#define AVX2 __attribute__((target("avx2")))
#define VNNI __attribute__((target("avx512f,avx512bw,avx512vl,avx512vnni")))
#define UNROLLED static inline __attribute__((always_inline))

/* ---- AVX2: 4 windows by 16 channels at a time ---- */

AVX2 UNROLLED void wide_rows(const int rows, const int16_t *a, int64_t depth, const int16_t *b, const int32_t *start,
			     int32_t *acc, int64_t pitch)
{
	__m256i sum[QDQ_MR_WIDE][2];

	for (int i = 0; i < rows; i++)
		for (int j = 0; j < 2; j++)
			sum[i][j] = _mm256_loadu_si256((const __m256i *)(const void *)(start + 8 * j));
	for (int64_t e = 0; e < depth; e += 2) {
		__m256i w0 = _mm256_loadu_si256((const __m256i *)(const void *)(b + e * QDQ_NR));
		__m256i w1 = _mm256_loadu_si256((const __m256i *)(const void *)(b + e * QDQ_NR + 16));

		for (int i = 0; i < rows; i++) {
			int32_t pair;
			__m256i x;

			memcpy(&pair, a + i * depth + e, sizeof pair);
			x = _mm256_set1_epi32(pair);
			sum[i][0] = _mm256_add_epi32(sum[i][0], _mm256_madd_epi16(x, w0));
			sum[i][1] = _mm256_add_epi32(sum[i][1], _mm256_madd_epi16(x, w1));
		}
	}
	for (int i = 0; i < rows; i++)
		for (int j = 0; j < 2; j++)
			_mm256_storeu_si256((__m256i *)(void *)(acc + i * pitch + 8 * j), sum[i][j]);
}

AVX2 void qdq_micro_wide_avx2(const void *panel, int64_t depth, const void *weights, const int32_t *start, int32_t *acc,
			      int64_t pitch, int64_t rows)
{
	const int16_t *a = panel;

	for (int half = 0; half < 2; half++) {
		const int16_t *b = (const int16_t *)weights + 32 * half;

		if (rows == QDQ_MR_WIDE)
			wide_rows(QDQ_MR_WIDE, a, depth, b, start + 16 * half, acc + 16 * half, pitch);
		else
			for (int64_t i = 0; i < rows; i++)
				wide_rows(1, a + i * depth, depth, b, start + 16 * half, acc + i * pitch + 16 * half,
					  pitch);
	}
}

/* ---- AVX2: depthwise, two taps and 16 channels at a time ---- */

AVX2 UNROLLED __m256i codes16(const uint8_t *from, __m256i zx, bool is_signed)
{
	__m128i bytes = _mm_loadu_si128((const __m128i *)(const void *)from);

	return _mm256_sub_epi16(is_signed ? _mm256_cvtepi8_epi16(bytes) : _mm256_cvtepu8_epi16(bytes), zx);
}

AVX2 UNROLLED void depthwise(const uint8_t *const *taps, int64_t pairs, const int16_t *weights, int64_t channels,
			     __m256i zx, const bool is_signed, int32_t *acc)
{
	for (int64_t c = 0; c < channels; c += 16) {
		__m256i low = _mm256_setzero_si256(), high = low;

		for (int64_t p = 0; p < pairs; p++, weights += 32) {
			__m256i a = codes16(taps[2 * p] + c, zx, is_signed),
				b = codes16(taps[2 * p + 1] + c, zx, is_signed);
			__m256i w0 = _mm256_loadu_si256((const __m256i *)(const void *)weights);
			__m256i w1 = _mm256_loadu_si256((const __m256i *)(const void *)(weights + 16));

			low = _mm256_add_epi32(low, _mm256_madd_epi16(_mm256_unpacklo_epi16(a, b), w0));
			high = _mm256_add_epi32(high, _mm256_madd_epi16(_mm256_unpackhi_epi16(a, b), w1));
		}
		_mm256_storeu_si256((__m256i *)(void *)(acc + c), _mm256_permute2x128_si256(low, high, 0x20));
		_mm256_storeu_si256((__m256i *)(void *)(acc + c + 8), _mm256_permute2x128_si256(low, high, 0x31));
	}
}

AVX2 void qdq_depthwise_avx2(const uint8_t *const *taps, int64_t pairs, const int16_t *weights, int64_t channels,
			     int32_t zx, bool x_signed, int32_t *acc)
{
	if (x_signed)
		depthwise(taps, pairs, weights, channels, _mm256_set1_epi16((int16_t)zx), true, acc);
	else
		depthwise(taps, pairs, weights, channels, _mm256_set1_epi16((int16_t)zx), false, acc);
}

/* ---- VNNI: 12 windows by 32 channels at a time ---- */

VNNI UNROLLED void byte_rows(const int rows, const uint8_t *a, int64_t depth, const int8_t *b, const int32_t *start,
			     int32_t *acc, int64_t pitch)
{
	__m512i sum[QDQ_MR_BYTES][2];

#pragma GCC unroll 12
	for (int i = 0; i < rows; i++) {
		sum[i][0] = _mm512_loadu_si512(start);
		sum[i][1] = _mm512_loadu_si512(start + 16);
	}
	for (int64_t e = 0; e < depth; e += 4) {
		__m512i w0 = _mm512_loadu_si512(b + e * QDQ_NR), w1 = _mm512_loadu_si512(b + e * QDQ_NR + 64);

#pragma GCC unroll 12
		for (int i = 0; i < rows; i++) {
			int32_t four;
			__m512i x;

			memcpy(&four, a + i * depth + e, sizeof four);
			x = _mm512_set1_epi32(four);
			sum[i][0] = _mm512_dpbusd_epi32(sum[i][0], x, w0);
			sum[i][1] = _mm512_dpbusd_epi32(sum[i][1], x, w1);
		}
	}
#pragma GCC unroll 12
	for (int i = 0; i < rows; i++) {
		_mm512_storeu_si512(acc + i * pitch, sum[i][0]);
		_mm512_storeu_si512(acc + i * pitch + 16, sum[i][1]);
	}
}

VNNI void qdq_micro_bytes_vnni(const void *panel, int64_t depth, const void *weights, const int32_t *start,
			       int32_t *acc, int64_t pitch, int64_t rows)
{
	const uint8_t *a = panel;

	if (rows == QDQ_MR_BYTES) {
		byte_rows(QDQ_MR_BYTES, a, depth, weights, start, acc, pitch);
		return;
	}
	for (; rows >= 4; rows -= 4, a += 4 * depth, acc += 4 * pitch)
		byte_rows(4, a, depth, weights, start, acc, pitch);
	for (; rows > 0; rows--, a += depth, acc += pitch)
		byte_rows(1, a, depth, weights, start, acc, pitch);
}
#endif

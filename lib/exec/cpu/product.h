/* SPDX-License-Identifier: Apache-2.0
 *
 * product.h -- contractions of floats: Conv, ConvTranspose, Gemm and MatMul through OpenBLAS
 *
 * The library is looked for when a plan first holds such an operator, with dlopen, so that nothing else waits for it. Every
 * call of sgemm is for one tile of fixed size: at most 16 x 64 results, of at most 256 products each. That is as fast
 * as one large call on one thread, and below the size from which OpenBLAS spreads a call over threads of its
 * own. So no setting of OpenBLAS is touched, its number of threads does not matter, the tiles can be shared among ours, and
 * the bits of a result depend neither on threads nor on the batch: tiles do not reach over images, and rows that a tile
 * lacks are filled up with zeros.
 */
#ifndef QDQ_EXEC_PRODUCT_H
#define QDQ_EXEC_PRODUCT_H

#include "cpu.h"

/* cblas_sgemm */
typedef void qdq_sgemm(int order, int turn_a, int turn_b, int m, int n, int k, float alpha, const float *a, int lda,
		       const float *b, int ldb, float beta, float *c, int ldc);

typedef struct qdq_blas {
	bool looked;
	void *library;
	qdq_sgemm *multiply; /* NULL: there is none */
} qdq_blas;

bool qdq_blas_open(qdq_blas *b); /* the first call looks for it */
void qdq_blas_close(qdq_blas *b);

typedef enum qdq_product_kind { QDQ_PRODUCT_MATRIX, QDQ_PRODUCT_CONV, QDQ_PRODUCT_TRANSPOSED } qdq_product_kind;

typedef struct qdq_product {
	qdq_product_kind kind;
	qdq_sgemm *multiply;
	/* MATRIX: y = alpha * a' b' + beta * add, `count` times */
	int64_t count, m, k, n;
	const int64_t *a_at, *b_at; /* where the factors of each begin, in elements */
	bool turn_a, turn_b;
	float alpha, beta;
	int64_t add_row, add_column; /* how far the elements of `add` are apart; 0: the same for all */
	/* CONV, TRANSPOSED: the geometry; codes and weights are not used. TRANSPOSED: as ONNX has it, oh and ow are of the
	 * (larger) output and the window moves over it */
	qdq_conv g;
} qdq_product;

/* Where the operands are, dense as ONNX has them, of any alignment; add (the bias of a convolution) may be NULL. */
typedef struct qdq_product_data {
	const float *a, *b, *add;
	float *y;
} qdq_product_data;

bool qdq_product_fits(const qdq_product *p); /* sgemm counts in int */
int64_t qdq_product_parts(const qdq_product *p);
size_t qdq_product_scratch(const qdq_product *p); /* bytes for a thread */
void qdq_product_run(const qdq_product *p, const qdq_product_data *d, int64_t part, float *scratch);

#endif

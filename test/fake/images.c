/* SPDX-License-Identifier: Apache-2.0
 *
 * images.c -- in place of the compiled kernels: texts that only the fake driver knows
 */
#include "../../lib/exec/cuda/images.h"

const void *qdq_cuda_image(int i)
{
	static const char *const images[QDQ_IMAGE_COUNT] = {"qdq_contract",
							    "qdq_round",
							    "qdq_add",
							    "qdq_round qdq_add",
							    "qdq_few",
							    "qdq_depthwise",
							    "qdq_rows qdq_max qdq_mean"};

	return images[i];
}

/* SPDX-License-Identifier: Apache-2.0
 *
 * images.h -- the compiled kernels: one fat binary for each .cu file, with machine code for several architectures and PTX
 */
#ifndef QDQ_EXEC_CUDA_IMAGES_H
#define QDQ_EXEC_CUDA_IMAGES_H

enum {
	QDQ_IMAGE_CONTRACT,
	QDQ_IMAGE_ROUND,
	QDQ_IMAGE_ADD,
	QDQ_IMAGE_GROUPS, /* for sm_90a only */
	QDQ_IMAGE_FEW,
	QDQ_IMAGE_DEPTHWISE,
	QDQ_IMAGE_ROWS,
	QDQ_IMAGE_COUNT
};

/* NULL: the library was built without nvcc. */
const void *qdq_cuda_image(int i);

#endif

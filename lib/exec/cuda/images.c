/* SPDX-License-Identifier: Apache-2.0
 *
 * images.c -- the compiled kernels, from $(BUILD)/cuda where nvcc was there
 */
#include "images.h"

#ifdef QDQ_CUDA_IMAGES
#define IMAGE(name)                                                                                        \
	__asm__(".section .rodata\n.balign 64\nqdq_image_" #name ":\n.incbin \"" QDQ_CUDA_IMAGES "/" #name \
		".fatbin\"\nqdq_image_end_" #name ":\n.byte 0\n.previous\n");                              \
	extern const char qdq_image_##name[] __attribute__((visibility("hidden")));                        \
	extern const char qdq_image_end_##name[] __attribute__((visibility("hidden")));
IMAGE(contract)
IMAGE(round)
IMAGE(add)
IMAGE(groups)
IMAGE(few)
IMAGE(depthwise)
IMAGE(rows)

static const char *const images[QDQ_IMAGE_COUNT] = {qdq_image_contract, qdq_image_round, qdq_image_add,
						    qdq_image_groups,	qdq_image_few,	 qdq_image_depthwise,
						    qdq_image_rows};

const void *qdq_cuda_image(int i)
{
	return images[i];
}
#else
const void *qdq_cuda_image(int i)
{
	(void)i;
	return (void *)0;
}
#endif

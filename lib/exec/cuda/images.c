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
IMAGE(few)
IMAGE(depthwise)
IMAGE(rows)

static const struct {
	const char *begin, *end;
} images[QDQ_IMAGE_COUNT] = {{qdq_image_contract, qdq_image_end_contract},
			     {qdq_image_few, qdq_image_end_few},
			     {qdq_image_depthwise, qdq_image_end_depthwise},
			     {qdq_image_rows, qdq_image_end_rows}};

const void *qdq_cuda_image(int i)
{
	return images[i].begin;
}

size_t qdq_cuda_image_size(int i)
{
	return (size_t)(images[i].end - images[i].begin);
}
#else
const void *qdq_cuda_image(int i)
{
	(void)i;
	return NULL;
}

size_t qdq_cuda_image_size(int i)
{
	(void)i;
	return 0;
}
#endif

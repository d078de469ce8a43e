/* SPDX-License-Identifier: Apache-2.0
 *
 * infer_rest.c -- operators whose rule says nothing yet
 */
#include "infer.h"

void qdq_infer_affine_grid(qdq_infer *c, qdq_node *n)
{
	(void)c;
	(void)n;
}

void qdq_infer_arg_reduce(qdq_infer *c, qdq_node *n)
{
	(void)c;
	(void)n;
}

void qdq_infer_attention(qdq_infer *c, qdq_node *n)
{
	(void)c;
	(void)n;
}

void qdq_infer_batch_norm(qdq_infer *c, qdq_node *n)
{
	(void)c;
	(void)n;
}

void qdq_infer_bit_cast(qdq_infer *c, qdq_node *n)
{
	(void)c;
	(void)n;
}

void qdq_infer_broadcast(qdq_infer *c, qdq_node *n)
{
	(void)c;
	(void)n;
}

void qdq_infer_broadcast_bool(qdq_infer *c, qdq_node *n)
{
	(void)c;
	(void)n;
}

void qdq_infer_cast(qdq_infer *c, qdq_node *n)
{
	(void)c;
	(void)n;
}

void qdq_infer_cast_like(qdq_infer *c, qdq_node *n)
{
	(void)c;
	(void)n;
}

void qdq_infer_center_crop_pad(qdq_infer *c, qdq_node *n)
{
	(void)c;
	(void)n;
}

void qdq_infer_col2_im(qdq_infer *c, qdq_node *n)
{
	(void)c;
	(void)n;
}

void qdq_infer_compress(qdq_infer *c, qdq_node *n)
{
	(void)c;
	(void)n;
}

void qdq_infer_concat(qdq_infer *c, qdq_node *n)
{
	(void)c;
	(void)n;
}

void qdq_infer_constant(qdq_infer *c, qdq_node *n)
{
	(void)c;
	(void)n;
}

void qdq_infer_constant_of_shape(qdq_infer *c, qdq_node *n)
{
	(void)c;
	(void)n;
}

void qdq_infer_conv(qdq_infer *c, qdq_node *n)
{
	(void)c;
	(void)n;
}

void qdq_infer_conv_transpose(qdq_infer *c, qdq_node *n)
{
	(void)c;
	(void)n;
}

void qdq_infer_deform_conv(qdq_infer *c, qdq_node *n)
{
	(void)c;
	(void)n;
}

void qdq_infer_depth_to_space(qdq_infer *c, qdq_node *n)
{
	(void)c;
	(void)n;
}

void qdq_infer_dequantize(qdq_infer *c, qdq_node *n)
{
	(void)c;
	(void)n;
}

void qdq_infer_det(qdq_infer *c, qdq_node *n)
{
	(void)c;
	(void)n;
}

void qdq_infer_dft(qdq_infer *c, qdq_node *n)
{
	(void)c;
	(void)n;
}

void qdq_infer_dropout(qdq_infer *c, qdq_node *n)
{
	(void)c;
	(void)n;
}

void qdq_infer_dynamic_quantize(qdq_infer *c, qdq_node *n)
{
	(void)c;
	(void)n;
}

void qdq_infer_einsum(qdq_infer *c, qdq_node *n)
{
	(void)c;
	(void)n;
}

void qdq_infer_expand(qdq_infer *c, qdq_node *n)
{
	(void)c;
	(void)n;
}

void qdq_infer_eye_like(qdq_infer *c, qdq_node *n)
{
	(void)c;
	(void)n;
}

void qdq_infer_flatten(qdq_infer *c, qdq_node *n)
{
	(void)c;
	(void)n;
}

void qdq_infer_gather(qdq_infer *c, qdq_node *n)
{
	(void)c;
	(void)n;
}

void qdq_infer_gather_elements(qdq_infer *c, qdq_node *n)
{
	(void)c;
	(void)n;
}

void qdq_infer_gather_nd(qdq_infer *c, qdq_node *n)
{
	(void)c;
	(void)n;
}

void qdq_infer_gemm(qdq_infer *c, qdq_node *n)
{
	(void)c;
	(void)n;
}

void qdq_infer_global_pool(qdq_infer *c, qdq_node *n)
{
	(void)c;
	(void)n;
}

void qdq_infer_grid_sample(qdq_infer *c, qdq_node *n)
{
	(void)c;
	(void)n;
}

void qdq_infer_gru(qdq_infer *c, qdq_node *n)
{
	(void)c;
	(void)n;
}

void qdq_infer_lstm(qdq_infer *c, qdq_node *n)
{
	(void)c;
	(void)n;
}

void qdq_infer_matmul(qdq_infer *c, qdq_node *n)
{
	(void)c;
	(void)n;
}

void qdq_infer_matmul_integer_to_float(qdq_infer *c, qdq_node *n)
{
	(void)c;
	(void)n;
}

void qdq_infer_max_roi_pool(qdq_infer *c, qdq_node *n)
{
	(void)c;
	(void)n;
}

void qdq_infer_max_unpool(qdq_infer *c, qdq_node *n)
{
	(void)c;
	(void)n;
}

void qdq_infer_negative_log_likelihood_loss(qdq_infer *c, qdq_node *n)
{
	(void)c;
	(void)n;
}

void qdq_infer_non_max_suppression(qdq_infer *c, qdq_node *n)
{
	(void)c;
	(void)n;
}

void qdq_infer_non_zero(qdq_infer *c, qdq_node *n)
{
	(void)c;
	(void)n;
}

void qdq_infer_one_hot(qdq_infer *c, qdq_node *n)
{
	(void)c;
	(void)n;
}

void qdq_infer_pad(qdq_infer *c, qdq_node *n)
{
	(void)c;
	(void)n;
}

void qdq_infer_pool(qdq_infer *c, qdq_node *n)
{
	(void)c;
	(void)n;
}

void qdq_infer_qgemm(qdq_infer *c, qdq_node *n)
{
	(void)c;
	(void)n;
}

void qdq_infer_qlinear_binary(qdq_infer *c, qdq_node *n)
{
	(void)c;
	(void)n;
}

void qdq_infer_qlinear_concat(qdq_infer *c, qdq_node *n)
{
	(void)c;
	(void)n;
}

void qdq_infer_qlinear_global_pool(qdq_infer *c, qdq_node *n)
{
	(void)c;
	(void)n;
}

void qdq_infer_qlinear_pool(qdq_infer *c, qdq_node *n)
{
	(void)c;
	(void)n;
}

void qdq_infer_qlinear_where(qdq_infer *c, qdq_node *n)
{
	(void)c;
	(void)n;
}

void qdq_infer_quantize(qdq_infer *c, qdq_node *n)
{
	(void)c;
	(void)n;
}

void qdq_infer_random_normal(qdq_infer *c, qdq_node *n)
{
	(void)c;
	(void)n;
}

void qdq_infer_random_normal_like(qdq_infer *c, qdq_node *n)
{
	(void)c;
	(void)n;
}

void qdq_infer_random_uniform(qdq_infer *c, qdq_node *n)
{
	(void)c;
	(void)n;
}

void qdq_infer_random_uniform_like(qdq_infer *c, qdq_node *n)
{
	(void)c;
	(void)n;
}

void qdq_infer_range(qdq_infer *c, qdq_node *n)
{
	(void)c;
	(void)n;
}

void qdq_infer_reduce(qdq_infer *c, qdq_node *n)
{
	(void)c;
	(void)n;
}

void qdq_infer_reshape(qdq_infer *c, qdq_node *n)
{
	(void)c;
	(void)n;
}

void qdq_infer_resize(qdq_infer *c, qdq_node *n)
{
	(void)c;
	(void)n;
}

void qdq_infer_rnn(qdq_infer *c, qdq_node *n)
{
	(void)c;
	(void)n;
}

void qdq_infer_roi_align(qdq_infer *c, qdq_node *n)
{
	(void)c;
	(void)n;
}

void qdq_infer_same(qdq_infer *c, qdq_node *n)
{
	(void)c;
	(void)n;
}

void qdq_infer_same_bool(qdq_infer *c, qdq_node *n)
{
	(void)c;
	(void)n;
}

void qdq_infer_shape_of(qdq_infer *c, qdq_node *n)
{
	(void)c;
	(void)n;
}

void qdq_infer_size_of(qdq_infer *c, qdq_node *n)
{
	(void)c;
	(void)n;
}

void qdq_infer_slice(qdq_infer *c, qdq_node *n)
{
	(void)c;
	(void)n;
}

void qdq_infer_softmax_cross_entropy_loss(qdq_infer *c, qdq_node *n)
{
	(void)c;
	(void)n;
}

void qdq_infer_space_to_depth(qdq_infer *c, qdq_node *n)
{
	(void)c;
	(void)n;
}

void qdq_infer_split(qdq_infer *c, qdq_node *n)
{
	(void)c;
	(void)n;
}

void qdq_infer_squeeze(qdq_infer *c, qdq_node *n)
{
	(void)c;
	(void)n;
}

void qdq_infer_stft(qdq_infer *c, qdq_node *n)
{
	(void)c;
	(void)n;
}

void qdq_infer_tile(qdq_infer *c, qdq_node *n)
{
	(void)c;
	(void)n;
}

void qdq_infer_top_k(qdq_infer *c, qdq_node *n)
{
	(void)c;
	(void)n;
}

void qdq_infer_transpose(qdq_infer *c, qdq_node *n)
{
	(void)c;
	(void)n;
}

void qdq_infer_unique(qdq_infer *c, qdq_node *n)
{
	(void)c;
	(void)n;
}

void qdq_infer_unsqueeze(qdq_infer *c, qdq_node *n)
{
	(void)c;
	(void)n;
}

void qdq_infer_upsample(qdq_infer *c, qdq_node *n)
{
	(void)c;
	(void)n;
}

void qdq_infer_where(qdq_infer *c, qdq_node *n)
{
	(void)c;
	(void)n;
}

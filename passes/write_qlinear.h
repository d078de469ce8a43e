/* SPDX-License-Identifier: Apache-2.0
 *
 * write_qlinear.h -- what write_qlinear.c, integer_float.c and faster_forms.c share
 */
#ifndef QDQ_WRITE_QLINEAR_H
#define QDQ_WRITE_QLINEAR_H

#include "../lib/rewrite/rewrite.h"

/* Is input `input` of n dequantized with constant 8-bit parameters, scales > 0 and one zero point? */
bool qdq_integer_operand(const qdq_node *n, uint32_t input, qdq_params *p, qdq_value **codes);
/* Is the product of the scales, times `factor`, a float of full precision, and over the scale of y (NULL: none) finite? */
bool qdq_integer_scales(const qdq_params *x, double factor, const qdq_params *w, const qdq_params *y);
/* The zero point, made where there is none. */
qdq_value *qdq_integer_zero(qdq_run *r, const qdq_params *p);
/* `last`, which read what n writes, goes; n writes what it wrote. */
void qdq_integer_take_over(qdq_node *n, qdq_node *last);
/* dq goes if nothing reads it. NULL, gone already or something else: nothing. */
void qdq_integer_drop_unread(qdq_node *dq);

/* A Conv or Gemm of codes as an integer product whose result stays float. False: nothing was changed; *held_back: only
 * since it must be exact. (integer_float.c) */
bool qdq_integer_float(qdq_run *r, qdq_node *n, bool *held_back);
/* A weight and a bias behind DQs of their own become floats: n is a Conv that stays float. (integer_float.c) */
void qdq_integer_float_weight(qdq_run *r, qdq_node *n);
/* Softmax and AveragePool between DQ and Q, DepthToSpace of codes, where ONNX Runtime is faster with other operators. False: nothing was changed.
 * (faster_forms.c) */
bool qdq_faster_form(qdq_run *r, qdq_node *n);
/* A QLinearConv of few channels with four pixels as one. False: nothing was changed. (wide_pixels.c) */
bool qdq_wide_pixels(qdq_run *r, qdq_node *n);

#endif

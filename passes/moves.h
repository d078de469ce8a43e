/* SPDX-License-Identifier: Apache-2.0
 *
 * moves.h -- what the passes that move Q and DQ share: when a quantization may pass an operator
 */
#ifndef QDQ_MOVES_H
#define QDQ_MOVES_H

#include "../lib/rewrite/rewrite.h"

/* May quantization with parameters `p` pass operator n (class MOVE or MONO), toward its output or its input? Writes
 * the parameters on the other side (a per-channel axis is remapped) to *out; else says why not. The proof is in
 * docs/design.md, "What commutes". */
bool qdq_passes_operator(const qdq_node *n, const qdq_params *p, bool toward_output, qdq_params *out, qdq_reason *why);

/* Does n copy elements, other than a Resize or Upsample that interpolates? Else why not. */
bool qdq_takes_nearest(const qdq_node *n, qdq_reason *why);

/* Can n itself run on codes with parameters p in this model, so that only its types change? Relu needs zero point 0,
 * Pad and Clip codes for their constants. */
bool qdq_runs_on_codes(const qdq_node *n, const qdq_params *p);

/* ---- roundings.c: with --exact, where ONNX Runtime rounds to float16 ---- */

/* Are all products of a DQ with parameters p, of 8 bits and constant, numbers of the type that it gives? */
bool qdq_products_fit(const qdq_params *p);
/* Are products of a DQ with parameters p rounded, and must they be where they are? */
bool qdq_rounds_in_place(const qdq_run *r, const qdq_params *p);
/* Would products of a DQ be rounded, and not where a Cast makes float16 (`to`) of them? */
bool qdq_cast_rounds(const qdq_run *r, const qdq_params *p, qdq_type to);
/* Is x, which a Cast makes float32, surely rounded to its type in front of that? */
bool qdq_rounded_in_front(const qdq_run *r, const qdq_value *x);
/* Is v all that nodes give to a DQ for which this holds? With nothing but constants it rounds. */
bool qdq_feeds_alone(const qdq_run *r, const qdq_value *v);
/* Could n, which computes nothing, be why one of its neighbours rounds? Then why not to drop it. */
bool qdq_holds_rounding(const qdq_run *r, const qdq_node *n, qdq_reason *why);
/* Would a Q in front of n make what n reads round for other readers as well? */
bool qdq_rounds_for_others(const qdq_run *r, const qdq_node *n, qdq_reason *why);

/* Would readers of n and of its equal round otherwise if both read one of them? */
bool qdq_rounds_apart(const qdq_run *r, const qdq_node *n);
/* Would a copy of `dq` for one of its readers round its products, or round no more? */
bool qdq_rounds_by_order(const qdq_run *r, const qdq_node *dq);
/* Does nothing but Q read v, and it is no output? */
bool qdq_only_quantized(const qdq_value *v);

/* ONNX Runtime's pools of codes are fast next to its integer products, which networks in float16 (with --exact they stay
 * that) have none of: is n a pool that is better off in float there? */
bool qdq_slow_pool(const qdq_run *r, const qdq_node *n, const qdq_params *p);

/* Turns the constants of Clip and Pad (bounds, padding value) into codes; nothing for other operators. Call it when the
 * data inputs have been set to codes. */
void qdq_constants_to_codes(qdq_node *n, const qdq_params *p);

/* Does n, which works on codes with parameters p, the same between DQs and Qs? (passes/constant_codes.c) */
bool qdq_leaves_codes(const qdq_node *n, const qdq_params *p);
/* n, for which that holds, works in float between DQs and Qs with parameters p; constants that
 * are no data (the value of Pad) become the floats that they mean. (passes/constant_codes.c) */
void qdq_off_codes(qdq_run *r, qdq_node *n, const qdq_params *p);

/* A DQ that has moved up to a Cast between float types takes it in, and a Q likewise, where that is exact. Nothing is said
 * of a Cast that stays. (passes/absorb_cast.c) */
bool qdq_give_cast(qdq_run *r, qdq_node *cast);
bool qdq_take_cast(qdq_run *r, qdq_node *q);

/* Identity, or a Dropout that only hands its input on (not in training). */
bool qdq_passes_through(const qdq_node *n);

/* Leaves a MOVE operator each element in its place? (passes/identities.c) */
bool qdq_moves_nothing(qdq_run *r, const qdq_node *n);

/* Does a view read another view that it could skip, since nobody else reads it? (passes/identities.c) */
bool qdq_view_of_view(qdq_run *r, const qdq_node *n);
void qdq_skip_view(qdq_node *n);

/* The node that alone reads v, in v's graph; NULL: none, several, or v is a graph output. */
qdq_node *qdq_reader(const qdq_value *v);

/* Elementwise and of class MONO: Relu, Clip. */
bool qdq_is_clamp(const qdq_node *n);

/* 8-bit, constant, not blocked: what moves and fuses at all. */
bool qdq_params_movable(const qdq_params *p, qdq_reason *why);

/* One zero point for all channels? Of constant parameters. */
bool qdq_one_zero(const qdq_params *p);
/* Is it 0 in all channels? */
bool qdq_centred(const qdq_params *p);

/* Is v a DequantizeLinear's output with movable parameters? Its node, else NULL. */
qdq_node *qdq_dequantized(const qdq_value *v, qdq_params *p);

/* May n run in INT8 for this target, with the codes that it reads and those that Qs make of its result? True where the
 * table has no row for it. What it asks of floats is nothing. (passes/precision.c) */
bool qdq_precision_int8(const qdq_node *n, qdq_target target, qdq_reason *why);
/* Does the user want the same of both, by their names? (passes/precision.c) */
bool qdq_wanted_alike(const qdq_run *r, const qdq_node *a, const qdq_node *b);
/* Has the table a row for n? Else it has no INT8 form of its own. */
bool qdq_precision_listed(const qdq_node *n, qdq_target target);

/* Can this contraction run in INT8: codes behind all data inputs, scales that can leave the sum, a sum that fits 32
 * bits? (passes/contract.c) */
bool qdq_contract_int8(const qdq_node *n, qdq_reason *why);
/* The same with another limit for the sum: some of the 32 bits are for a bias. */
bool qdq_contract_within(const qdq_node *n, int64_t limit, qdq_reason *why);

/* Is operand `index` (0 or 1) dequantized as an integer product needs it? Its parameters, or why not. (passes/contract.c)
 */
bool qdq_contract_operand(const qdq_node *n, uint32_t index, qdq_params *p, qdq_reason *why);

/* The axis of operand `index` along which its scales may change, since it is not summed over; -1: none. */
int64_t qdq_free_axis(const qdq_node *n, uint32_t index);

/* Greatest |q - zero point| of any code. */
int64_t qdq_params_reach(const qdq_params *p);

/* Has the int32 bias of a contraction that can run in INT8 the scale input scale times weight scale? True where its
 * bias is no int32 constant. (passes/contract.c) */
bool qdq_bias_scale_fits(const qdq_node *n);

/* Can this ConvInteger or MatMulInteger be read as Q/DQ around the float operator? Else why not.
 * (passes/read_integer.c) */
bool qdq_integer_reads(const qdq_node *n, qdq_reason *why);

/* Can this fake quantization be read as Q/DQ of 8 bits? Else why not. (passes/read_fake.c) */
bool qdq_fake_reads(const qdq_node *n, qdq_reason *why);

/* Why v is no dequantized tensor, by what defines it; without operand and cause. */
void qdq_float_reason(const qdq_value *v, qdq_reason *why);

/* Has the operator that defines x, but for clamps in between, a form that writes codes, and is x for one reader alone?
 * (passes/clamp_codes.c) */
bool qdq_could_write_codes(const qdq_value *x);

/* Evaluates n, all of whose inputs are constants, at once: its outputs become initializers and n goes. False: it stays.
 * (passes/fold.c) */
bool qdq_fold_node(qdq_run *r, qdq_node *n);

/* Nodes that nothing reads go; of equal operators with equal inputs one stays. (passes/cleanup.c) */
void qdq_drop_dead(qdq_run *r);
void qdq_merge_equal(qdq_run *r);

/* The same for the DQ of constant codes that nobody is to multiply: an int32 bias, a weight that stays float. The caller
 * reports it. (passes/fold.c) */
bool qdq_fold_dequantizer(qdq_run *r, qdq_node *dq);

#endif

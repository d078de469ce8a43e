/* SPDX-License-Identifier: Apache-2.0
 *
 * exec.h -- what the files of run_exec share
 */
#ifndef QDQ_TEST_EXEC_H
#define QDQ_TEST_EXEC_H

#include <math.h>

#include "../include/qdqopt_exec.h"
#include "fixture.h"

void verdict(bool good, const char *what, const char *why);

/* ---- random numbers; the same state gives the same ones ---- */

extern uint64_t state;
uint32_t draw(uint32_t below);
float draw_float(float low, float high);

/* ---- text of a model ---- */

void say(text *t, const char *format, ...) __attribute__((format(printf, 2, 3)));
void say_codes(text *t, bool is_signed, uint32_t count); /* many of them extremes */

typedef struct geometry {
	uint32_t n, c, h, w, k, kh, kw, sh, sw, dh, dw, pads[4], groups;
	bool x_signed, w_signed, per_channel, int_bias, float_bias, relu, pair, to_float;
	uint32_t residual; /* 0: none, 1: codes, 2: floats */
	bool ties;	   /* every other accumulator lies between two codes */
} geometry;

geometry draw_geometry(void);

/* ---- running ---- */

typedef struct check {
	unsigned differences, large, far; /* elements; of those, by more than a step, not at a tie */
} check;

/* One run; the outputs' bytes go to `out`. */
qdq_status run_once(qdq_model *m, const qdq_binding *in, size_t n, const char *instructions, int threads, check *c,
		    text *out);
/* The same with other options. */
qdq_status run_with_options(qdq_model *m, const qdq_binding *in, size_t n, const qdq_session_options *o, text *out);
/* All instruction sets and numbers of threads give the bytes of `first`. */
void compare_ways(qdq_model *m, const qdq_binding *in, size_t n, const text *first, const char *what);
/* The same; where there is another device beside the CPU, that device instead. */
void compare_all(qdq_model *m, const qdq_binding *in, size_t n, const text *first, const char *what);

/* Optimizes a model and runs it in every way; must: it is a failure where that cannot be. */
bool run_text(const char *source, size_t size, const char *what, int64_t batch, bool must);
/* With SHOW set: prints what failed, and ends. */
void show_failed(const text *t);

/* exec_regions.c: random fused operators, and products of three dimensions */
void random_regions(unsigned count);
void spread_over_results(void);
void random_products(unsigned count);
void random_transposed(unsigned count);
/* exec_wide.c: windows and groups beyond what kernels of a GPU count with */
void wide_geometries(void);
/* exec_nan.c: floats that are no numbers, against the evaluator */
void not_numbers(void);
/* exec_ties.c: with two roundings, or one */
void product_of_ties(bool pair);
void cancelled_bias(void);
void cancelled_terms(void);
void ties_of_concat(void);
/* exec_products.c: random contractions of floats */
void products_of_floats(unsigned count);

#endif

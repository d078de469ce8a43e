/* SPDX-License-Identifier: Apache-2.0
 *
 * fixture.h -- what the test programs of this folder share: files, texts, and running a graph on seeded inputs
 */
#ifndef QDQ_TEST_FIXTURE_H
#define QDQ_TEST_FIXTURE_H

#include "../lib/eval/eval.h"

/* A growing buffer; always NUL-terminated. */
typedef struct text {
	char *data;
	size_t size, room;
} text;

void text_add(text *t, const void *data, size_t size);
qdq_status text_write(void *user, const void *data, size_t size); /* a qdq_write_fn; user is a text */
void text_free(text *t);
bool read_file(const char *path, text *out);

/* Calls visit with every file below `folder` that ends in `suffix`, in the order of their names. */
void each_file(const char *folder, const char *suffix, void (*visit)(const char *path));

/* The model as text, fused operators as functions; false: it could not be saved. */
bool print_model(qdq_model *m, text *out);

/* Runs both main graphs on inputs number `round`: extremes, ties of the network's scales, the floats next to them, whole
 * steps, saturation, zeros, NaN and infinities, then seeded random ones. Outputs must have the same bits (a NaN is a NaN)
 * or, where exact is false, a signal-to-noise ratio of 35 dB. NULL: they do; else what is wrong. */
#define INPUT_ROUNDS 12
const char *same_results(qdq_model *a, qdq_model *b, unsigned round, bool exact);
/* The same, but elements of float outputs may be `within` apart. ROUNDING: as same_results that is not exact. */
#define ROUNDING (-1.0)
const char *results_within(qdq_model *a, qdq_model *b, unsigned round, double within);

#endif

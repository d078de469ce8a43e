/* SPDX-License-Identifier: Apache-2.0
 *
 * timing.h -- what the programs that measure share
 */
#ifndef QDQ_TEST_TIMING_H
#define QDQ_TEST_TIMING_H

#include <time.h>

/* Milliseconds of a clock that only goes forward. */
static inline double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

/* For qsort of doubles. */
static inline int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

#endif

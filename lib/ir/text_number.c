/* SPDX-License-Identifier: Apache-2.0
 *
 * text_number.c -- numbers in decimal: read correctly rounded, written as short as reads back
 *
 * Most numbers take a fast way through double arithmetic that is provably right: an integer below 2^53 and a power of
 * ten up to 10^22 are exact, so their product or quotient is correctly rounded, and rounding it again to float can
 * only go wrong where it lies exactly between two floats. The others take the C library's way, with digits that need
 * no decimal point, so that the locale does not matter.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "text.h"

#define MOST_DIGITS 800 /* no double needs more to be told from its neighbours */
#define EXACT_POWER 22

static const double powers[EXACT_POWER + 1] = {1e0,  1e1,  1e2,	 1e3,  1e4,  1e5,  1e6,	 1e7,  1e8,  1e9,  1e10, 1e11,
					       1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};

/* ---- reading ---- */

/* 0.d1d2d3… without leading zeros: value = digits * 10^exponent */
typedef struct decimal {
	char digits[MOST_DIGITS + 1];
	size_t count;
	int64_t exponent;
	uint64_t integer; /* of the first 19 digits */
} decimal;

static void add_digit(decimal *d, char c, bool behind_point)
{
	if (behind_point)
		d->exponent--;
	if (d->count == 0 && c == '0')
		return;
	if (d->count < 19)
		d->integer = d->integer * 10 + (uint64_t)(c - '0');
	if (d->count < MOST_DIGITS) {
		d->digits[d->count++] = c;
		return;
	}
	d->exponent++;
	if (c != '0') /* what is cut off matters only by being there */
		d->digits[MOST_DIGITS - 1] |= 1;
}

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static bool scan(decimal *d, const char *s, size_t size)
{
	const char *end = s + size;
	bool point = false, negative = false;
	int64_t exponent = 0;

	d->count = 0;
	d->exponent = 0;
	d->integer = 0;
	if (s == end || !is_digit(*s))
		return false;
	for (; s < end && (is_digit(*s) || (*s == '.' && !point)); s++) {
		if (*s == '.')
			point = true;
		else
			add_digit(d, *s, point);
	}
	if (s < end && (*s == 'e' || *s == 'E')) {
		if (++s < end && (*s == '-' || *s == '+'))
			negative = *s++ == '-';
		if (s == end)
			return false;
		for (; s < end && is_digit(*s); s++)
			if (exponent < 100000000000)
				exponent = exponent * 10 + (*s - '0');
		d->exponent += negative ? -exponent : exponent;
	}
	return s == end;
}

/* The nearest double, where it can be had by one rounding. */
static bool fast(const decimal *d, double *out)
{
	if (d->count > 19 || d->integer > (UINT64_C(1) << 53) || d->exponent < -EXACT_POWER ||
	    d->exponent > EXACT_POWER)
		return false;
	if (d->exponent < 0)
		*out = (double)d->integer / powers[-d->exponent];
	else
		*out = (double)d->integer * powers[d->exponent];
	return true;
}

/* Is d exactly between two floats, or where floats are not normal? */
static bool float_unsure(double d)
{
	uint64_t bits;

	memcpy(&bits, &d, sizeof bits);
	return (bits & 0x1fffffff) == 0x10000000 || (d != 0 && d < 0x1p-125) || d > 0x1p127;
}

/* Digits and exponent, which the C library reads the same in every locale. */
static void spell(const decimal *d, char *out, size_t room)
{
	int64_t exponent = d->exponent < -99999 ? -99999 : d->exponent > 99999 ? 99999 : d->exponent;

	snprintf(out, room, "%.*se%d", (int)d->count, d->digits, (int)exponent);
}

bool qdq_text_to_double(const char *s, size_t size, double *out)
{
	char spelled[MOST_DIGITS + 16];
	decimal d;

	if (!scan(&d, s, size))
		return false;
	if (d.count == 0) {
		*out = 0;
		return true;
	}
	if (fast(&d, out))
		return true;
	spell(&d, spelled, sizeof spelled);
	*out = strtod(spelled, NULL);
	return !isinf(*out);
}

bool qdq_text_to_float(const char *s, size_t size, float *out)
{
	char spelled[MOST_DIGITS + 16];
	decimal d;
	double wide;

	if (!scan(&d, s, size))
		return false;
	if (d.count == 0) {
		*out = 0;
		return true;
	}
	if (fast(&d, &wide) && !float_unsure(wide)) {
		*out = (float)wide;
		return true;
	}
	spell(&d, spelled, sizeof spelled);
	*out = strtof(spelled, NULL);
	return !isinf(*out);
}

/* ---- writing ---- */

/* value = d1.d2d3… * 10^exponent */
typedef struct shortest {
	char digits[20];
	int count, exponent;
} shortest;

static void trim(shortest *s)
{
	while (s->count > 1 && s->digits[s->count - 1] == '0')
		s->count--;
}

static void set_digits(shortest *s, uint64_t integer, int power)
{
	char reversed[20];
	int count = 0;

	for (; integer != 0; integer /= 10)
		reversed[count++] = (char)('0' + integer % 10);
	for (int i = 0; i < count; i++)
		s->digits[i] = reversed[count - 1 - i];
	s->count = count;
	s->exponent = count - 1 - power;
	trim(s);
}

/* Tries as many digits of a float as `power`, of ten, leaves of it as an integer. */
static bool try_float(shortest *s, float f, int power, bool *unsure)
{
	double scaled, back;
	uint64_t integer;

	*unsure = power < -EXACT_POWER || power > EXACT_POWER;
	if (*unsure)
		return false;
	scaled = power >= 0 ? (double)f * powers[power] : (double)f / powers[-power];
	integer = (uint64_t)(scaled + 0.5);
	back = power >= 0 ? (double)integer / powers[power] : (double)integer * powers[-power];
	*unsure = float_unsure(back);
	if (*unsure || (float)back != f)
		return false;
	set_digits(s, integer, power);
	return true;
}

static bool fast_float(shortest *s, float f)
{
	int binary, decimal_exponent;
	bool unsure = false;

	(void)frexpf(f, &binary);
	decimal_exponent = (binary * 1233) >> 12; /* of f, or one more */
	if (decimal_exponent > EXACT_POWER - 1 || decimal_exponent < -EXACT_POWER + 8)
		return false;
	if ((double)f < (decimal_exponent >= 0 ? powers[decimal_exponent] : 1 / powers[-decimal_exponent]))
		decimal_exponent--;
	for (int precision = 6; precision <= 9 && !unsure; precision++)
		if (try_float(s, f, precision - 1 - decimal_exponent, &unsure))
			return true;
	return false;
}

/* By the C library: takes apart what %e prints, whatever it puts for a decimal point. */
static void slow_digits(shortest *s, double value, int precision)
{
	char text[64];
	const char *p = text;

	snprintf(text, sizeof text, "%.*e", precision - 1, value);
	for (s->count = 0; *p != 'e'; p++)
		if (is_digit(*p))
			s->digits[s->count++] = *p;
	s->exponent = atoi(p + 1);
	trim(s);
}

static bool reads_back(const shortest *s, double value, bool single)
{
	char text[64];

	snprintf(text, sizeof text, "%.*se%d", s->count, s->digits, s->exponent - s->count + 1);
	return single ? strtof(text, NULL) == (float)value : strtod(text, NULL) == value;
}

static size_t put_exponent(char *out, int exponent)
{
	size_t size = 0;
	int magnitude = exponent < 0 ? -exponent : exponent;

	out[size++] = 'e';
	out[size++] = exponent < 0 ? '-' : '+';
	if (magnitude >= 100)
		out[size++] = (char)('0' + magnitude / 100);
	out[size++] = (char)('0' + magnitude / 10 % 10);
	out[size++] = (char)('0' + magnitude % 10);
	return size;
}

/* Plain or with exponent, whichever is shorter. */
static size_t layout(const shortest *s, char *out)
{
	int count = s->count, exponent = s->exponent, magnitude = exponent < 0 ? -exponent : exponent;
	int plain = exponent >= count - 1 ? exponent + 1 : exponent >= 0 ? count + 1 : count + 1 - exponent;
	int scientific = count + (count > 1) + (magnitude >= 100 ? 5 : 4);
	size_t size = 0;

	if (scientific < plain) {
		out[size++] = s->digits[0];
		if (count > 1) {
			out[size++] = '.';
			memcpy(out + size, s->digits + 1, (size_t)count - 1);
			size += (size_t)count - 1;
		}
		return size + put_exponent(out + size, exponent);
	}
	if (exponent < 0) {
		out[size++] = '0';
		out[size++] = '.';
		for (int i = 1; i < magnitude; i++)
			out[size++] = '0';
	}
	for (int i = 0; i < count || i <= exponent; i++) {
		if (i == exponent + 1 && exponent >= 0)
			out[size++] = '.';
		out[size++] = i < count ? s->digits[i] : '0';
	}
	return size;
}

static size_t put_real(double value, bool single, char *out)
{
	bool negative = signbit(value) != 0;
	double magnitude = fabs(value);
	shortest s;
	size_t size = 0;

	if (negative)
		out[size++] = '-';
	if (isnan(value) || isinf(value)) {
		memcpy(out + size, isnan(value) ? "nan" : "inf", 3);
		return size + 3;
	}
	if (magnitude == 0) {
		out[size++] = '0';
		return size;
	}
	if (!single || !fast_float(&s, (float)magnitude)) {
		/* So many digits survive in every normal number, and zeros at their end are taken off. */
		int most = single ? 9 : 17, precision = single ? 6 : 15;

		if (magnitude < (single ? 0x1p-126 : 0x1p-1022))
			precision = 1;
		for (; precision <= most; precision++) {
			slow_digits(&s, magnitude, precision);
			if (reads_back(&s, magnitude, single))
				break;
		}
	}
	return size + layout(&s, out + size);
}

size_t qdq_text_of_float(float f, char *out)
{
	return put_real((double)f, true, out);
}

size_t qdq_text_of_double(double d, char *out)
{
	return put_real(d, false, out);
}

size_t qdq_text_of_unsigned(uint64_t u, char *out)
{
	char reversed[20];
	size_t count = 0;

	do
		reversed[count++] = (char)('0' + u % 10);
	while ((u /= 10) != 0);
	for (size_t i = 0; i < count; i++)
		out[i] = reversed[count - 1 - i];
	return count;
}

size_t qdq_text_of_int(int64_t i, char *out)
{
	if (i >= 0)
		return qdq_text_of_unsigned((uint64_t)i, out);
	*out = '-';
	return 1 + qdq_text_of_unsigned(0 - (uint64_t)i, out + 1);
}

/* SPDX-License-Identifier: Apache-2.0
 *
 * write.c -- text into a qdq_write_fn, through a buffer
 */
#include <stdio.h>

#include "internal.h"

static void flush(qdq_writer *w)
{
	if (w->status == QDQ_OK && w->used != 0)
		w->status = w->write(w->user, w->buffer, w->used);
	w->used = 0;
}

void qdq_put(qdq_writer *w, const char *s)
{
	size_t left = strlen(s);

	while (left != 0) {
		size_t part = qdq_min_size(left, sizeof w->buffer - w->used);

		memcpy(w->buffer + w->used, s, part);
		w->used += part;
		s += part;
		left -= part;
		if (w->used == sizeof w->buffer)
			flush(w);
	}
}

/* For short texts: what passes 1,000 characters is cut. Names go through qdq_put. */
void qdq_putf(qdq_writer *w, const char *format, ...)
{
	char text[1000];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof text, format, args);
	va_end(args);
	qdq_put(w, text);
}

static void put_number(qdq_writer *w, char *text)
{
	for (char *c = text; *c != '\0'; c++)
		if (*c == ',')
			*c = '.';
	qdq_put(w, text);
}

void qdq_put_real(qdq_writer *w, double x, int digits)
{
	char text[400];

	snprintf(text, sizeof text, "%.*f", digits, x);
	put_number(w, text);
}

void qdq_put_short(qdq_writer *w, double x, int digits)
{
	char text[64];

	snprintf(text, sizeof text, "%.*g", digits, x);
	put_number(w, text);
}

const char *const qdq_verdict_names[] = {
    [QDQ_VERDICT_FLOAT] = "float",
    [QDQ_VERDICT_INT8_FLOAT] = "int8 -> float",
    [QDQ_VERDICT_INT8_INT8] = "int8 -> int8",
};

const char *qdq_base_name(const char *path)
{
	const char *slash = path == NULL ? NULL : strrchr(path, '/');

	return slash != NULL ? slash + 1 : path;
}

const char *qdq_origin_label(const qdq_origin *o, char *room)
{
	if (*o->name != '\0')
		return o->name;
	snprintf(room, 16, "#%u", o->index);
	return room;
}

qdq_status qdq_writer_end(qdq_writer *w)
{
	flush(w);
	return w->status;
}

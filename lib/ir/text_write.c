/* SPDX-License-Identifier: Apache-2.0
 *
 * text_write.c -- the buffer that text is written through, and its smallest pieces
 *
 * A list is first tried on one line. The buffer always has room for such a line, so a trial that fails is taken back by
 * setting the buffer's end.
 */
#include "text.h"

#define BUFFER ((size_t)1 << 16)

void qdq_text_flush(qdq_text_writer *w)
{
	if (w->status == QDQ_OK && w->used != 0)
		w->status = w->write(w->user, w->buffer, w->used);
	w->used = 0;
}

void qdq_text_put(qdq_text_writer *w, const char *s, size_t size)
{
	if (w->overflow)
		return;
	w->column += size;
	if (w->trial && w->column > QDQ_TEXT_WIDTH) {
		w->overflow = true;
		return;
	}
	if (w->buffer == NULL)
		w->buffer = qdq_alloc(&w->scratch, BUFFER);
	while (size > BUFFER - w->used) {
		size_t part = BUFFER - w->used;

		memcpy(w->buffer + w->used, s, part);
		w->used = BUFFER;
		s += part;
		size -= part;
		qdq_text_flush(w);
	}
	memcpy(w->buffer + w->used, s, size);
	w->used += size;
}

void qdq_text_puts(qdq_text_writer *w, const char *s)
{
	qdq_text_put(w, s, strlen(s));
}

void qdq_text_put_int(qdq_text_writer *w, int64_t i)
{
	char digits[32];

	qdq_text_put(w, digits, qdq_text_of_int(i, digits));
}

void qdq_text_put_quoted(qdq_text_writer *w, const char *s, size_t size)
{
	size_t done = 0;

	qdq_text_put(w, "\"", 1);
	for (size_t i = 0; i < size; i++) {
		if (s[i] != '"' && s[i] != '\\')
			continue;
		qdq_text_put(w, s + done, i - done);
		qdq_text_put(w, "\\", 1);
		done = i;
	}
	if (size != done)
		qdq_text_put(w, s + done, size - done);
	qdq_text_put(w, "\"", 1);
}

void qdq_text_put_name(qdq_text_writer *w, const char *s)
{
	size_t size = strlen(s);

	if (qdq_text_is_identifier(s, size))
		qdq_text_put(w, s, size);
	else
		qdq_text_put_quoted(w, s, size);
}

void qdq_text_put_line(qdq_text_writer *w)
{
	static const char blanks[] = "                                ";

	qdq_text_put(w, "\n", 1);
	w->column = 0;
	for (size_t left = 2 * w->indent; left != 0;) {
		size_t part = qdq_min_size(left, sizeof blanks - 1);

		qdq_text_put(w, blanks, part);
		left -= part;
	}
}

void qdq_text_try_begin(qdq_text_writer *w, size_t *mark, size_t *column)
{
	if (BUFFER - w->used < 2 * QDQ_TEXT_WIDTH)
		qdq_text_flush(w);
	*mark = w->used;
	*column = w->column;
	w->trial = true;
}

bool qdq_text_try_end(qdq_text_writer *w, size_t mark, size_t column)
{
	bool fits = !w->overflow;

	w->trial = w->overflow = false;
	if (!fits) {
		w->used = mark;
		w->column = column;
	}
	return fits;
}

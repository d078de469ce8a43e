/* SPDX-License-Identifier: Apache-2.0
 *
 * text_words.c -- what reading and writing the textual syntax agree on: identifiers and words with a meaning
 */
#include "text.h"

const char *const qdq_text_attr_types[15] = {
    [QDQ_ATTR_NONE] = "undefined",
    [QDQ_ATTR_FLOAT] = "float",
    [QDQ_ATTR_INT] = "int",
    [QDQ_ATTR_STRING] = "string",
    [QDQ_ATTR_TENSOR] = "tensor",
    [QDQ_ATTR_GRAPH] = "graph",
    [QDQ_ATTR_FLOATS] = "floats",
    [QDQ_ATTR_INTS] = "ints",
    [QDQ_ATTR_STRINGS] = "strings",
    [QDQ_ATTR_TENSORS] = "tensors",
    [QDQ_ATTR_GRAPHS] = "graphs",
    [QDQ_ATTR_SPARSE_TENSOR] = "sparse_tensor",
    [QDQ_ATTR_SPARSE_TENSORS] = "sparse_tensors",
    [QDQ_ATTR_TYPE_PROTO] = "type_proto",
    [QDQ_ATTR_TYPE_PROTOS] = "type_protos",
};

bool qdq_text_is_identifier(const char *s, size_t size)
{
	for (size_t i = 0; i < size; i++) {
		char c = s[i];
		bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';

		if (!letter && (i == 0 || c < '0' || c > '9'))
			return false;
	}
	return size != 0;
}

static bool is_word(const char *s, size_t size, const char *const *words, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (strlen(words[i]) == size && memcmp(words[i], s, size) == 0)
			return true;
	return false;
}

bool qdq_text_is_type_word(const char *s, size_t size)
{
	static const char *const words[] = {"seq",    "map",	    "optional",	 "sparse_tensor",
					    "opaque", "float6e2m3", "float6e3m2"};

	return qdq_type_find(s, size) != QDQ_TYPE_NONE || is_word(s, size, words, QDQ_COUNTOF(words));
}

bool qdq_text_is_float_word(const char *s, size_t size)
{
	static const char *const words[] = {"inf", "infinity", "nan"};
	char lower[8];

	if (size > sizeof lower)
		return false;
	for (size_t i = 0; i < size; i++)
		lower[i] = s[i] >= 'A' && s[i] <= 'Z' ? (char)(s[i] - 'A' + 'a') : s[i];
	return is_word(lower, size, words, QDQ_COUNTOF(words));
}

size_t qdq_text_utf8(const char *s, size_t size)
{
	unsigned char c = (unsigned char)*s;
	size_t length = c < 0x80 ? 1 : c < 0xc2 ? 0 : c < 0xe0 ? 2 : c < 0xf0 ? 3 : c < 0xf5 ? 4 : 0;

	if (length > size)
		return 0;
	for (size_t i = 1; i < length; i++)
		if ((s[i] & 0xc0) != 0x80)
			return 0;
	if (length > 2) { /* no longer than need be, no surrogates, nothing beyond U+10FFFF */
		unsigned char next = (unsigned char)s[1];

		if ((c == 0xe0 && next < 0xa0) || (c == 0xed && next > 0x9f) || (c == 0xf0 && next < 0x90) ||
		    (c == 0xf4 && next > 0x8f))
			return 0;
	}
	return length;
}

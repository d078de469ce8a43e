/* SPDX-License-Identifier: Apache-2.0
 *
 * inputs.c -- what a network runs on: arrays of files, and random ones
 */
#include <stdlib.h>
#include <string.h>

#include "cli.h"

#define LARGEST_INPUT ((uint64_t)8 << 30) /* bytes of one file of inputs, unpacked; of one random input */

/* ---- files ---- */

/* NAME=FILE.npy, or FILE.npz with the names as keys */
qdq_status read_inputs(given_inputs *out, const arguments *a)
{
	*out = (given_inputs){.arguments = a, .state = a->seed};
	for (int i = 0; i < a->n_inputs; i++) {
		const char *word = a->inputs[i], *equals = strrchr(word, '=');
		size_t n = strlen(word);
		bool npz = n > 4 && strcmp(word + n - 4, ".npz") == 0;
		char *name = NULL;
		qdq_status status;

		if (!npz) {
			name = strdup(word);
			if (name == NULL)
				return QDQ_ENOMEM;
			name[equals - word] = '\0'; /* arguments.c has seen it */
		}
		status = read_arrays(&out->files[i], npz ? word : equals + 1, name, LARGEST_INPUT);
		free(name);
		if (status != QDQ_OK)
			return status;
	}
	return QDQ_OK;
}

static bool has_input(const qdq_model *m, const char *name)
{
	for (size_t v = 0; v < qdq_input_count(m); v++)
		if (strcmp(qdq_value_name(qdq_input(m, v)), name) == 0)
			return true;
	return false;
}

/* A misspelt key would be lost in silence. */
qdq_status check_inputs(const given_inputs *g, const qdq_model *m, const qdq_model *other)
{
	for (int i = 0; i < g->arguments->n_inputs; i++) {
		for (size_t k = 0; k < g->files[i].count; k++) {
			const char *name = g->files[i].items[k].name;

			if (has_input(m, name) || has_input(other, name))
				continue;
			fprintf(stderr, "qdqopt: error: %s: the model has no input '%s'\n", g->arguments->inputs[i],
				name);
			return QDQ_EUSAGE;
		}
	}
	return QDQ_OK;
}

static const array *find_given(const given_inputs *g, const char *name)
{
	for (int i = 0; i < g->arguments->n_inputs; i++) {
		const array *a = find_array(&g->files[i], name);

		if (a != NULL)
			return a;
	}
	return find_array(&g->made, name);
}

/* ---- the batch ---- */

/* Is the dimension a symbol that is the first dimension of an input? */
static bool is_batch(const qdq_model *m, const qdq_value *v, int index)
{
	const char *symbol = qdq_value_symbol(v, index);

	if (qdq_value_dim(v, index) >= 0)
		return false;
	for (size_t i = 0; symbol != NULL && i < qdq_input_count(m); i++) {
		const char *first = qdq_value_symbol(qdq_input(m, i), 0);

		if (first != NULL && strcmp(first, symbol) == 0)
			return true;
	}
	return index == 0;
}

/* Where no input has a batch that may be chosen, it must be the one that is wanted. */
static qdq_status check_batch(const qdq_model *m, int64_t batch)
{
	const qdq_value *other = NULL;

	for (size_t i = 0; i < qdq_input_count(m); i++) {
		const qdq_value *v = qdq_input(m, i);

		if (qdq_value_rank(v) > 0 && is_batch(m, v, 0))
			return QDQ_OK;
		if (other == NULL && qdq_value_dim(v, 0) != batch)
			other = v;
	}
	if (other == NULL)
		return QDQ_OK;
	if (qdq_value_rank(other) > 0)
		fprintf(stderr, "qdqopt: error: --batch %lld: input '%s' has the fixed batch %lld\n", (long long)batch,
			qdq_value_name(other), (long long)qdq_value_dim(other, 0));
	else
		fprintf(stderr, "qdqopt: error: --batch %lld: input '%s' has no batch\n", (long long)batch,
			qdq_value_name(other));
	return QDQ_EUSAGE;
}

/* An array of a file must have the batch that is wanted. */
static qdq_status check_array_batch(const qdq_model *m, const qdq_value *v, const array *a, int64_t batch)
{
	for (int i = 0; i < a->rank; i++) {
		if (!is_batch(m, v, i) || i >= qdq_value_rank(v) || a->dims[i] == batch)
			continue;
		fprintf(stderr, "qdqopt: error: --batch %lld: the array for input '%s' has the batch %lld\n",
			(long long)batch, qdq_value_name(v), (long long)a->dims[i]);
		return QDQ_EUSAGE;
	}
	return QDQ_OK;
}

/* ---- random inputs ---- */

static uint64_t next_random(uint64_t *state)
{
	uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);

	z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
	return z ^ (z >> 31);
}

/* Floats from -1 to 1, bytes of any value, other integers 0 or 1. */
static void fill(array *out, size_t count, size_t size, uint64_t *state)
{
	for (size_t i = 0; i < count; i++) {
		uint64_t r = next_random(state);

		if (out->type == QDQ_TYPE_FLOAT)
			((float *)out->data)[i] = (float)((double)(r >> 40) / 8388608.0 - 1);
		else if (out->type == QDQ_TYPE_INT8 || out->type == QDQ_TYPE_UINT8)
			((unsigned char *)out->data)[i] = (unsigned char)(r >> 56);
		else
			((unsigned char *)out->data)[i * size] = (unsigned char)(r >> 63);
	}
}

static qdq_status refuse(const qdq_value *v, const char *what)
{
	fprintf(stderr, "qdqopt: error: input '%s' %s: it cannot be random\n", qdq_value_name(v), what);
	return QDQ_EMODEL;
}

/* One more array in g->made; a symbol counts as 1, that of the batch as --batch says. */
static qdq_status make_random(given_inputs *g, const qdq_model *m, const qdq_value *v)
{
	array a = {.type = qdq_value_type(v), .rank = qdq_value_rank(v)}, *grown;
	size_t count = 1, size;

	if (a.rank < 0 || a.rank > QDQ_BINDING_RANK)
		return refuse(v, "has no known shape");
	size = a.type == QDQ_TYPE_FLOAT || a.type == QDQ_TYPE_INT32 ? 4 : a.type == QDQ_TYPE_INT64 ? 8 : 1;
	if (size == 1 && a.type != QDQ_TYPE_INT8 && a.type != QDQ_TYPE_UINT8 && a.type != QDQ_TYPE_BOOL) {
		fprintf(stderr, "qdqopt: error: input '%s' is %s: it cannot be random\n", qdq_value_name(v),
			qdq_type_text(a.type));
		return QDQ_EMODEL;
	}
	for (int i = 0; i < a.rank; i++) {
		int64_t d = qdq_value_dim(v, i);

		a.dims[i] = d >= 0 ? d : is_batch(m, v, i) && g->arguments->batch != 0 ? g->arguments->batch : 1;
		if (a.dims[i] != 0 && count > LARGEST_INPUT / size / (uint64_t)a.dims[i])
			return refuse(v, "is too large");
		count *= (size_t)a.dims[i];
	}
	grown = realloc(g->made.items, (g->made.count + 1) * sizeof *grown);
	if (grown == NULL)
		return QDQ_ENOMEM;
	g->made.items = grown;
	a.size = count * size;
	a.data = calloc(count == 0 ? 1 : count, size);
	a.name = strdup(qdq_value_name(v));
	grown[g->made.count++] = a;
	if (a.data == NULL || a.name == NULL)
		return QDQ_ENOMEM;
	fill(&a, count, size, &g->state);
	return QDQ_OK;
}

/* ---- both ---- */

static qdq_status bind_input(qdq_binding *out, size_t *count, given_inputs *g, const qdq_model *m, const qdq_value *v)
{
	const array *a = find_given(g, qdq_value_name(v));
	qdq_status status = QDQ_OK;

	if (a == NULL && g->arguments->random) {
		status = make_random(g, m, v);
		if (status == QDQ_OK)
			a = &g->made.items[g->made.count - 1];
	} else if (a != NULL && g->arguments->batch != 0) {
		status = check_array_batch(m, v, a, g->arguments->batch);
	}
	if (a == NULL || status != QDQ_OK)
		return status; /* it has a default, or the session says that it is missing */
	*out = (qdq_binding){.name = qdq_value_name(v), .type = a->type, .rank = a->rank};
	for (int d = 0; d < a->rank && d < QDQ_BINDING_RANK; d++)
		out->dims[d] = a->dims[d];
	out->data = a->data;
	out->size = a->size;
	++*count;
	return QDQ_OK;
}

qdq_status bind_inputs(qdq_binding **out, size_t *count, given_inputs *g, const qdq_model *m)
{
	qdq_status status = QDQ_OK;

	*count = 0;
	*out = calloc(qdq_input_count(m) + 1, sizeof **out);
	if (*out == NULL)
		return QDQ_ENOMEM;
	if (g->arguments->batch != 0)
		status = check_batch(m, g->arguments->batch);
	for (size_t i = 0; status == QDQ_OK && i < qdq_input_count(m); i++)
		status = bind_input(&(*out)[*count], count, g, m, qdq_input(m, i));
	return status;
}

void free_inputs(given_inputs *g)
{
	for (int i = 0; g->arguments != NULL && i < g->arguments->n_inputs; i++)
		free_arrays(&g->files[i]);
	free_arrays(&g->made);
}

/* SPDX-License-Identifier: Apache-2.0
 *
 * fixture.c -- what the test programs of this folder share
 */
#include "fixture.h"

#include <dirent.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

void text_add(text *t, const void *data, size_t size)
{
	if (t->size + size + 1 > t->room) {
		t->room = 2 * (t->room + size + 1);
		t->data = realloc(t->data, t->room);
		if (t->data == NULL)
			exit(2);
	}
	if (size != 0)
		memcpy(t->data + t->size, data, size);
	t->size += size;
	t->data[t->size] = '\0';
}

qdq_status text_write(void *user, const void *data, size_t size)
{
	text_add(user, data, size);
	return QDQ_OK;
}

void text_free(text *t)
{
	free(t->data);
	*t = (text){0};
}

bool read_file(const char *path, text *out)
{
	FILE *file = fopen(path, "rb");
	char buffer[65536];
	size_t n;

	*out = (text){0};
	text_add(out, "", 0);
	if (file == NULL)
		return false;
	while ((n = fread(buffer, 1, sizeof buffer, file)) != 0)
		text_add(out, buffer, n);
	fclose(file);
	return true;
}

void each_file(const char *folder, const char *suffix, void (*visit)(const char *path))
{
	struct dirent **entries;
	int count = scandir(folder, &entries, NULL, alphasort);

	for (int i = 0; i < count; i++) {
		const char *name = entries[i]->d_name;
		char path[4096];
		struct stat st;

		snprintf(path, sizeof path, "%s/%s", folder, name);
		if (name[0] != '.' && stat(path, &st) == 0) {
			if (S_ISDIR(st.st_mode))
				each_file(path, suffix, visit);
			else if (strlen(name) > strlen(suffix) &&
				 strcmp(name + strlen(name) - strlen(suffix), suffix) == 0)
				visit(path);
		}
		free(entries[i]);
	}
	if (count >= 0)
		free(entries);
}

bool print_model(qdq_model *m, text *out)
{
	const qdq_save_options options = {.version = QDQ_SAVE_OPTIONS_VERSION, .text = 1};

	*out = (text){0};
	text_add(out, "", 0);
	return qdq_save_sink(m, text_write, out, &options) == QDQ_OK;
}

/* ---- running --------------------------------------------------------------------------------------------------------
 */

static uint32_t next_random(uint32_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 17;
	*state ^= *state << 5;
	return *state;
}

/* Floats of all sizes and signs; extremes in the first rounds. NaN is left out: which one comes out is nobody's. */
static float some_float(unsigned round, uint64_t i, uint32_t *state)
{
	static const float extremes[] = {0.0F,	 -0.0F,	  1.0F, -1.0F, 0.5F,   -0.5F,  1.5F, 2.5F,
					 127.5F, -128.5F, 1e9F, -1e9F, 255.5F, 1e-30F, 3.0F, -0.25F};
	const float wide[] = {0.1F, 1.0F, 10.0F, 1000.0F};
	uint32_t word = next_random(state);

	if (round < 2)
		return extremes[(i * (1 + 6 * round)) % 16];
	return ((float)(word >> 8) / 8388608.0F - 1.0F) * wide[round % 4];
}

static qdq_tensor *some_input(qdq_model *m, const qdq_value *v, unsigned round, uint32_t *state)
{
	int64_t dims[16];
	int32_t rank = v->shape != NULL && v->shape->rank <= 16 ? v->shape->rank : 0;
	qdq_tensor *t;

	for (int32_t d = 0; d < rank; d++)
		if (!qdq_dim_value(m, v->shape->dim[d], &dims[d]))
			dims[d] = 2;
	t = qdq_tensor_new(m, v->type, rank, dims);
	for (uint64_t i = 0; i < t->size && t->data != NULL; i++)
		((uint8_t *)(uintptr_t)t->data)[i] = round == 0	   ? (uint8_t)(i % 2 != 0 ? 127 : 128)
						     : v->type > 5 ? (uint8_t)(i % 8 == 0 ? next_random(state) % 2 : 0)
								   : (uint8_t)next_random(state);
	for (uint64_t i = 0; v->type == QDQ_TYPE_FLOAT && i < t->count; i++) {
		float f = some_float(round, i, state);

		memcpy((char *)(uintptr_t)t->data + 4 * i, &f, 4);
	}
	for (uint64_t i = 0; (v->type == QDQ_TYPE_FLOAT16 || v->type == QDQ_TYPE_BFLOAT16) && i < t->count; i++) {
		uint16_t half = (uint16_t)((next_random(state) & 0x83FFU) | 0x3800U); /* magnitudes from 0.5 to 1 */

		memcpy((char *)(uintptr_t)t->data + 2 * i, &half, 2);
	}
	return t;
}

typedef struct attempt {
	qdq_model *m, *types; /* inputs take their shapes from `types` */
	unsigned round;
	const qdq_tensor **outputs;
	qdq_arena arena;
	qdq_eval_result result;
} attempt;

static void evaluate(void *arg)
{
	attempt *a = arg;
	const qdq_graph *g = a->types->graph;
	uint32_t state = 2463534242U + a->round;
	const qdq_tensor **inputs = qdq_alloc(&a->m->arena, (g->inputs.count + 1) * sizeof *inputs);

	a->outputs = qdq_alloc(&a->m->arena, (g->outputs.count + 1) * sizeof *a->outputs);
	for (size_t i = 0; i < g->inputs.count; i++)
		inputs[i] = some_input(a->m, g->inputs.items[i], a->round, &state);
	a->result = qdq_eval_graph(a->m, a->m->graph, &a->arena, inputs, a->outputs, NULL);
}

/* within: how far elements may be apart, 0: not one bit, ROUNDING: 35 dB. */
static const char *compare(const qdq_tensor *x, const qdq_tensor *y, double within)
{
	double signal = 0, noise = 0, greatest = 0, furthest = 0;

	if (x == NULL || y == NULL)
		return "an output is missing";
	if (x->type != y->type || x->size != y->size)
		return "an output has another type or shape";
	if (x->size == 0 || memcmp(x->data, y->data, x->size) == 0)
		return NULL;
	if (within == 0)
		return "the bits of an output differ";
	if (within > 0 && x->type != QDQ_TYPE_FLOAT)
		return "an output differs that is not float, so no bound tells by how much it may";
	for (uint64_t i = 0; i < x->count; i++) {
		double a = ((const int8_t *)x->data)[i], b = ((const int8_t *)y->data)[i];

		if (x->type == QDQ_TYPE_FLOAT) {
			float p, q;

			memcpy(&p, (const char *)x->data + 4 * i, 4);
			memcpy(&q, (const char *)y->data + 4 * i, 4);
			a = p, b = q;
		} else if (x->type == QDQ_TYPE_UINT8) {
			a = ((const uint8_t *)x->data)[i], b = ((const uint8_t *)y->data)[i];
		} else if (x->type != QDQ_TYPE_INT8) {
			return "an output differs";
		}
		signal += a * a;
		noise += (a - b) * (a - b);
		greatest = fmax(greatest, fabs(a));
		furthest = fmax(furthest, fabs(a - b));
	}
	if (within > 0) /* and what float32 rounds */
		return furthest <= within + 1e-6 * greatest ? NULL : "an output is further away than the stated bound";
	return noise * pow(10, 3.5) <= signal ? NULL : "an output differs by more than rounding (35 dB)";
}

const char *same_results(qdq_model *a, qdq_model *b, unsigned round, bool exact)
{
	return results_within(a, b, round, exact ? 0 : ROUNDING);
}

const char *results_within(qdq_model *a, qdq_model *b, unsigned round, double within)
{
	attempt first = {.m = a, .types = a, .round = round}, second = {.m = b, .types = a, .round = round};
	const char *wrong = NULL;

	qdq_arena_init(&first.arena, a->ctx);
	qdq_arena_init(&second.arena, b->ctx);
	if (qdq_guard(a->ctx, evaluate, &first) != QDQ_OK || first.result != QDQ_EVAL_OK)
		wrong = "the evaluator cannot run the original";
	else if (qdq_guard(b->ctx, evaluate, &second) != QDQ_OK || second.result != QDQ_EVAL_OK)
		wrong = "the evaluator cannot run the result";
	else if (a->graph->outputs.count != b->graph->outputs.count)
		wrong = "the number of outputs changed";
	for (size_t i = 0; wrong == NULL && i < a->graph->outputs.count; i++)
		wrong = compare(first.outputs[i], second.outputs[i], within);
	qdq_arena_free(&first.arena);
	qdq_arena_free(&second.arena);
	return wrong;
}

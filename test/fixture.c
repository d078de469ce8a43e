/* SPDX-License-Identifier: Apache-2.0
 *
 * fixture.c -- what the test programs of this folder share
 */
#include "fixture.h"

#include <dirent.h>
#include <float.h>
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

/* What float inputs are made of. */
enum { EXTREMES, MORE_EXTREMES, TIES, NEAR_TIES, GRID, SATURATION, ZEROS, NOT_FINITE, RANDOM };

/* What a network's inputs depend on: the scales of its Q and DQ, and whether something in it compares. */
typedef struct facts {
	float scales[64];
	size_t count;
	bool compares; /* then Q may have moved over it, and NaN is neither more nor less than anything */
} facts;

static void collect_facts(const qdq_graph *g, facts *out)
{
	for (const qdq_node *n = g->first; n != NULL; n = n->next) {
		qdq_params p;

		if (n->region != NULL)
			collect_facts(n->region->body, out);
		out->compares = out->compares || n->op->cls == QDQ_CLASS_MONO;
		if (!qdq_params_of(n, &p) || qdq_value_constant(p.scale) == NULL)
			continue;
		for (uint64_t c = 0; c < p.count && out->count < QDQ_COUNTOF(out->scales); c++)
			out->scales[out->count++] = (float)qdq_params_scale(&p, c);
	}
	if (out->count == 0)
		out->scales[out->count++] = 0.5F;
}

/* Something that a Q of scale s has to decide: halves of a step, the floats next to them, whole steps, the ends. */
static float on_scale(unsigned round, float s, uint32_t word)
{
	float k = (float)(int)(word % 301) - 150;

	switch (round) {
	case TIES:
		return (k + 0.5F) * s;
	case NEAR_TIES:
		return nextafterf((k + 0.5F) * s, word & 1024 ? INFINITY : -INFINITY);
	case GRID:
		return k * s;
	default:
		return (word & 1024 ? 1.0F : -1.0F) * s * (float)(127 + word % 3 + (word & 2048 ? 128 : 0)) *
		       (word & 4096 ? 1 : 0.99609375F);
	}
}

static float some_float(unsigned round, uint64_t i, const facts *f, uint32_t *state)
{
	static const float extremes[] = {0.0F,	 -0.0F,	  1.0F, -1.0F, 0.5F,   -0.5F,  1.5F, 2.5F,
					 127.5F, -128.5F, 1e9F, -1e9F, 255.5F, 1e-30F, 3.0F, -0.25F};
	static const float odd[] = {NAN, INFINITY, -INFINITY, FLT_MAX, -FLT_MAX, FLT_TRUE_MIN, 1.0F, -0.0F};
	const float wide[] = {0.1F, 1.0F, 10.0F, 1000.0F};
	uint32_t word = next_random(state);

	switch (round) {
	case EXTREMES:
	case MORE_EXTREMES:
		return extremes[(i * (1 + 6 * round)) % 16];
	case TIES:
	case NEAR_TIES:
	case GRID:
	case SATURATION:
		return on_scale(round, f->scales[(word >> 16) % f->count], word);
	case ZEROS:
		return word & 1 ? 0.0F : -0.0F;
	case NOT_FINITE:
		return i % 3 == 0 ? odd[(word >> 8) % 7 + f->compares] : (float)(word >> 8) / 8388608.0F - 1.0F;
	default:
		return ((float)(word >> 8) / 8388608.0F - 1.0F) * wide[round % 4];
	}
}

/* Of integers and everything else: the ends, zeros, or any. */
static uint8_t some_byte(qdq_type type, unsigned round, uint64_t i, uint32_t *state)
{
	if (round == EXTREMES)
		return (uint8_t)(i % 2 != 0 ? 127 : 128);
	if (round == ZEROS)
		return 0;
	if (type > QDQ_TYPE_INT16)
		return (uint8_t)(i % 8 == 0 ? next_random(state) % 2 : 0);
	return (uint8_t)next_random(state);
}

static qdq_tensor *some_input(qdq_model *m, const qdq_value *v, unsigned round, const facts *f, uint32_t *state)
{
	int64_t dims[16];
	int32_t rank = v->shape != NULL && v->shape->rank <= 16 ? v->shape->rank : 0;
	qdq_tensor *t;

	for (int32_t d = 0; d < rank; d++)
		if (!qdq_dim_value(m, v->shape->dim[d], &dims[d]))
			dims[d] = 2;
	t = qdq_tensor_new(m, v->type, rank, dims);
	for (uint64_t i = 0; i < t->size && t->data != NULL; i++)
		((uint8_t *)(uintptr_t)t->data)[i] = some_byte(v->type, round, i, state);
	for (uint64_t i = 0; v->type == QDQ_TYPE_FLOAT && i < t->count; i++) {
		float number = some_float(round, i, f, state);

		memcpy((char *)(uintptr_t)t->data + 4 * i, &number, 4);
	}
	for (uint64_t i = 0; (v->type == QDQ_TYPE_FLOAT16 || v->type == QDQ_TYPE_BFLOAT16) && i < t->count; i++) {
		uint16_t half = (uint16_t)((next_random(state) & 0x83FFU) | 0x3800U); /* magnitudes from 0.5 to 1 */

		memcpy((char *)(uintptr_t)t->data + 2 * i, &half, 2);
	}
	return t;
}

typedef struct attempt {
	qdq_model *m, *types; /* inputs take their shapes from `types` */
	bool compares;	      /* something in one of the two networks does */
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
	facts f = {.count = 0};

	collect_facts(g, &f);
	f.compares = f.compares || a->compares;
	a->outputs = qdq_alloc(&a->m->arena, (g->outputs.count + 1) * sizeof *a->outputs);
	for (size_t i = 0; i < g->inputs.count; i++)
		inputs[i] = some_input(a->m, g->inputs.items[i], a->round, &f, &state);
	a->result = qdq_eval_graph(a->m, a->m->graph, &a->arena, inputs, a->outputs, NULL);
}

/* Floats with the same bits, but for which NaN it is. */
static bool same_floats(const qdq_tensor *x, const qdq_tensor *y)
{
	for (uint64_t i = 0; i < x->count; i++) {
		float p, q;

		memcpy(&p, (const char *)x->data + 4 * i, 4);
		memcpy(&q, (const char *)y->data + 4 * i, 4);
		if (memcmp(&p, &q, sizeof p) != 0 && !(isnan(p) && isnan(q)))
			return false;
	}
	return true;
}

/* within: how far elements may be apart, 0: not one bit, ROUNDING: 35 dB. */
static const char *compare(const qdq_tensor *x, const qdq_tensor *y, double within)
{
	double signal = 0, noise = 0, greatest = 0, furthest = 0;

	if (x == NULL || y == NULL)
		return "an output is missing";
	if (x->type != y->type || x->size != y->size)
		return "an output has another type or shape";
	if (x->size == 0 || memcmp(x->data, y->data, x->size) == 0 || (x->type == QDQ_TYPE_FLOAT && same_floats(x, y)))
		return NULL;
	if (within == 0)
		return "the bits of an output differ";
	if (within > 0 && !qdq_type_get(x->type)->is_float)
		return "an output differs that is not float, so no bound tells by how much it may";
	for (uint64_t i = 0; i < x->count; i++) {
		double a = ((const int8_t *)x->data)[i], b = ((const int8_t *)y->data)[i];

		if (x->type == QDQ_TYPE_FLOAT) {
			float p, q;

			memcpy(&p, (const char *)x->data + 4 * i, 4);
			memcpy(&q, (const char *)y->data + 4 * i, 4);
			a = p, b = q;
		} else if (x->type == QDQ_TYPE_FLOAT16 || x->type == QDQ_TYPE_BFLOAT16) {
			qdq_tensor_real(x, i, &a);
			qdq_tensor_real(y, i, &b);
		} else if (x->type == QDQ_TYPE_UINT8) {
			a = ((const uint8_t *)x->data)[i], b = ((const uint8_t *)y->data)[i];
		} else if (x->type != QDQ_TYPE_INT8) {
			return "an output differs";
		}
		if (!isfinite(a) || !isfinite(b))
			continue; /* roundings are of numbers */
		signal += a * a;
		noise += (a - b) * (a - b);
		greatest = fmax(greatest, fabs(a));
		furthest = fmax(furthest, fabs(a - b));
	}
	if (within > 0) /* and what float32 rounds */
		return furthest <= within + 1e-6 * greatest ? NULL : "an output is further away than the stated bound";
	return furthest <= 1e-6 || noise * pow(10, 3.5) <= signal ? NULL
								  : "an output differs by more than rounding (35 dB)";
}

const char *same_results(qdq_model *a, qdq_model *b, unsigned round, bool exact)
{
	return results_within(a, b, round, exact ? 0 : ROUNDING);
}

const char *results_within(qdq_model *a, qdq_model *b, unsigned round, double within)
{
	attempt first = {.m = a, .types = a, .round = round}, second = {.m = b, .types = a, .round = round};
	const char *wrong = NULL;
	facts f = {.count = 0};

	collect_facts(b->graph, &f);
	first.compares = second.compares = f.compares;

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

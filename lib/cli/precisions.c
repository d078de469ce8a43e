/* SPDX-License-Identifier: Apache-2.0
 *
 * precisions.c -- --keep-float, --precision and --precision-file: what operators are to compute in
 *
 * A file is a JSON object: { "GLOB": "int8" | "fp16" | "fp32", … }, in the order in which its members stand.
 */
#include <cjson/cJSON.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"

static bool type_of(qdq_type *out, const char *word)
{
	static const struct {
		const char *word;
		qdq_type type;
	} types[] = {{"int8", QDQ_TYPE_INT8}, {"fp16", QDQ_TYPE_FLOAT16}, {"fp32", QDQ_TYPE_FLOAT}};

	for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
		if (strcmp(types[i].word, word) == 0) {
			*out = types[i].type;
			return true;
		}
	}
	return false;
}

static bool add_precision(arguments *a, const char *nodes, size_t length, qdq_type type)
{
	qdq_precision *grown = realloc(a->precisions, (a->n_precisions + 1) * sizeof *grown);
	char *copy = malloc(length + 1);

	if (grown != NULL)
		a->precisions = grown;
	if (grown == NULL || copy == NULL) {
		free(copy);
		fprintf(stderr, "qdqopt: out of memory\n");
		a->failed = QDQ_ENOMEM;
		return false;
	}
	memcpy(copy, nodes, length);
	copy[length] = '\0';
	a->precisions[a->n_precisions++] = (qdq_precision){copy, type};
	return true;
}

bool set_precision(arguments *a, const char *value)
{
	const char *equals = strrchr(value, '=');
	qdq_type type;

	if (equals == NULL || equals == value || !type_of(&type, equals + 1)) {
		fprintf(stderr, "qdqopt: --precision: '%s' is not NODE=int8, NODE=fp16 or NODE=fp32\n", value);
		return false;
	}
	return add_precision(a, value, (size_t)(equals - value), type);
}

bool set_keep_float(arguments *a, const char *value)
{
	if (*value == '\0') {
		fprintf(stderr, "qdqopt: --keep-float: '' is no name or glob\n");
		return false;
	}
	return add_precision(a, value, strlen(value), QDQ_TYPE_FLOAT);
}

/* ---- the file ---- */

static char *read_text(const char *path)
{
	FILE *file = fopen(path, "rb");
	size_t used = 0, room = 4096, got = 0;
	char *text = file != NULL ? malloc(room + 1) : NULL;

	while (text != NULL && (got = fread(text + used, 1, room - used, file)) != 0) {
		char *grown = text;

		used += got;
		if (used == room)
			grown = realloc(text, (room *= 2) + 1);
		if (grown == NULL)
			free(text);
		text = grown;
	}
	if (text != NULL)
		text[used] = '\0';
	if (file == NULL || ferror(file)) {
		free(text);
		text = NULL;
	}
	if (file != NULL)
		fclose(file);
	return text;
}

static bool take_members(arguments *a, const char *path, const cJSON *object)
{
	const cJSON *member;

	if (!cJSON_IsObject(object)) {
		fprintf(stderr, "qdqopt: --precision-file: %s is no JSON object of names and int8, fp16 or fp32\n",
			path);
		return false;
	}
	cJSON_ArrayForEach(member, object)
	{
		qdq_type type;

		if (!cJSON_IsString(member) || !type_of(&type, member->valuestring) || *member->string == '\0') {
			fprintf(stderr,
				"qdqopt: --precision-file: %s: the member '%s' is not \"int8\", \"fp16\" or \"fp32\"\n",
				path, member->string);
			return false;
		}
		if (!add_precision(a, member->string, strlen(member->string), type))
			return false;
	}
	return true;
}

bool set_precision_file(arguments *a, const char *value)
{
	char *text = read_text(value);
	cJSON *object = text != NULL ? cJSON_Parse(text) : NULL;
	bool good;

	if (text == NULL) {
		fprintf(stderr, "qdqopt: --precision-file: %s cannot be read\n", value);
		a->failed = QDQ_EFILE;
		return false;
	}
	good = take_members(a, value, object);
	cJSON_Delete(object);
	free(text);
	return good;
}

void free_precisions(arguments *a)
{
	for (size_t i = 0; i < a->n_precisions; i++)
		free((char *)(uintptr_t)a->precisions[i].nodes);
	free(a->precisions);
}

qdq_optimize_options optimize_options(const arguments *a)
{
	return (qdq_optimize_options){
	    .version = QDQ_OPTIMIZE_OPTIONS_VERSION,
	    .exact = a->exact,
	    .allow_bounded = a->bounded,
	    .passes = a->passes,
	    .target = a->target,
	    .precisions = a->precisions,
	    .n_precisions = a->n_precisions,
	    .float_type = a->float_type,
	    .io_int8 = a->io_int8,
	};
}

/* SPDX-License-Identifier: Apache-2.0
 *
 * profile.c -- the times of kernels over some runs: as a table, and as a file with the fields of trtexec's --exportProfile
 */
#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"

struct layer {
	char *name; /* that no other layer has */
	const char *op, *kernel;
	bool elsewhere;
	uint64_t operations, bytes;
	double ms[MOST_PROFILED]; /* by run */
	double median;
};

/* ---- taking times ---- */

static const char *plain_name(const qdq_kernel_profile *k)
{
	return *k->node != '\0' ? k->node : *k->op != '\0' ? k->op : "copy of an input";
}

/* The operator's name; " (2)" and so on for its further kernels. */
static char *unique_name(const profile *p, const char *name)
{
	size_t size = strlen(name) + 24;
	char *out = malloc(size);

	if (out == NULL)
		return NULL;
	snprintf(out, size, "%s", name);
	for (size_t again = 2, i = 0; i < p->count; i++) {
		if (strcmp(p->layers[i].name, out) != 0)
			continue;
		snprintf(out, size, "%s (%zu)", name, again++);
		i = SIZE_MAX; /* from the first on */
	}
	return out;
}

static bool add_layer(profile *p, const qdq_kernel_profile *k)
{
	layer *grown = realloc(p->layers, (p->count + 1) * sizeof *grown);

	if (grown == NULL)
		return false;
	p->layers = grown;
	grown[p->count] = (layer){.name = unique_name(p, plain_name(k)),
				  .op = k->op,
				  .kernel = k->kernel,
				  .elsewhere = k->elsewhere != 0,
				  .operations = k->operations,
				  .bytes = k->bytes};
	if (grown[p->count].name == NULL)
		return false;
	p->count++;
	return true;
}

void take_kernel(profile *p, const qdq_kernel_profile *k)
{
	if (p->failed || p->runs == 0 || p->runs > MOST_PROFILED)
		return;
	if (p->at == p->count && !add_layer(p, k)) {
		p->failed = true;
		return;
	}
	p->layers[p->at++].ms[p->runs - 1] = k->microseconds / 1e3;
}

void begin_profiled_run(profile *p)
{
	p->runs++;
	p->at = 0;
}

void free_profile(profile *p)
{
	for (size_t i = 0; i < p->count; i++)
		free(p->layers[i].name);
	free(p->layers);
	*p = (profile){0};
}

/* ---- figures ---- */

int compare_times(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

double median_time(const double *sorted, size_t count)
{
	return count == 0 ? 0 : (sorted[(count - 1) / 2] + sorted[count / 2]) / 2;
}

static double sum_of(const layer *l, size_t runs)
{
	double sum = 0;

	for (size_t i = 0; i < runs; i++)
		sum += l->ms[i];
	return sum;
}

static void find_medians(profile *p)
{
	for (size_t i = 0; i < p->count; i++) {
		double sorted[MOST_PROFILED];

		memcpy(sorted, p->layers[i].ms, sizeof sorted);
		qsort(sorted, p->runs, sizeof *sorted, compare_times);
		p->layers[i].median = median_time(sorted, p->runs);
	}
}

/* ---- the table ---- */

static int by_time(const void *a, const void *b)
{
	const layer *const *x = a, *const *y = b;

	return ((*x)->median < (*y)->median) - ((*x)->median > (*y)->median);
}

/* "-" where there is nothing to divide. */
static void print_rate(uint64_t amount, double ms, double unit)
{
	if (amount == 0 || ms <= 0)
		printf("%9s", "-");
	else
		printf(" %8.2f", (double)amount / (ms * 1e-3) / unit);
}

static void print_layer(const layer *l, double total, double unit)
{
	printf("%9.4f %6.2f %%", l->median, total > 0 ? 100 * l->median / total : 0);
	print_rate(l->operations, l->median, unit);
	print_rate(l->bytes, l->median, 1e9);
	printf("  %-18s %s%s%s%s\n", l->kernel, l->op, *l->op != '\0' ? " " : "", l->name,
	       l->elsewhere ? " (on the CPU, with copies)" : "");
}

static void print_limits(const qdq_session_facts *f)
{
	if (strcmp(f->device, "cuda") != 0)
		return;
	printf("limits of %s at its highest clocks: ", f->device_name);
	if (f->int8_tops > 0)
		printf("%.0f TOPS (INT8, dense), ", f->int8_tops);
	else
		printf("unknown TOPS, ");
	if (f->memory_gbs > 0)
		printf("%.0f GB/s\n", f->memory_gbs);
	else
		printf("unknown GB/s\n");
}

qdq_status print_profile(profile *p, const qdq_session_facts *f)
{
	bool cuda = strcmp(f->device, "cuda") == 0;
	const layer **sorted = malloc((p->count + 1) * sizeof *sorted);
	double total = 0, unit = cuda ? 1e12 : 1e9;

	if (sorted == NULL)
		return QDQ_ENOMEM;
	find_medians(p);
	for (size_t i = 0; i < p->count; i++) {
		sorted[i] = &p->layers[i];
		total += p->layers[i].median;
	}
	qsort(sorted, p->count, sizeof(const layer *), by_time);
	printf("\n%zu kernels, medians of %zu profiled runs, %.4g ms together\n", p->count, p->runs, total);
	print_limits(f);
	printf("%9s %8s%9s%9s  %-18s %s\n", "ms", "share", cuda ? "TOPS" : "GOPS", "GB/s", "kernel", "operator");
	for (size_t i = 0; i < p->count; i++)
		print_layer(sorted[i], total, unit);
	free(sorted);
	return QDQ_OK;
}

/* ---- the file ---- */

/* Length of the UTF-8 character at s, 0 where it is none. */
static int utf8_length(const unsigned char *s)
{
	int length = s[0] < 0x80 ? 1 : s[0] >= 0xf0 ? 4 : s[0] >= 0xe0 ? 3 : 2;
	unsigned code = length == 1 ? s[0] : s[0] & (0x7fu >> length);

	if ((s[0] >= 0x80 && s[0] < 0xc2) || s[0] > 0xf4)
		return 0;
	for (int i = 1; i < length; i++) {
		if ((s[i] & 0xc0) != 0x80)
			return 0;
		code = code << 6 | (s[i] & 0x3fu);
	}
	if ((length == 3 && code < 0x800) || (length == 4 && code < 0x10000) || code > 0x10ffff ||
	    (code >= 0xd800 && code <= 0xdfff))
		return 0;
	return length;
}

static bool put(output_file *out, const char *format, ...) __attribute__((format(printf, 2, 3)));

static bool put(output_file *out, const char *format, ...)
{
	char line[256];
	va_list args;
	int n;

	va_start(args, format);
	n = vsnprintf(line, sizeof line, format, args);
	va_end(args);
	return write_output(out, line, (size_t)n);
}

/* What is not UTF-8 becomes U+FFFD. */
static bool put_string(output_file *out, const char *text)
{
	bool good = write_output(out, "\"", 1);

	while (good && *text != '\0') {
		int length = utf8_length((const unsigned char *)text);

		if (length == 0)
			good = put(out, "\\ufffd");
		else if (*text == '"' || *text == '\\')
			good = put(out, "\\%c", *text);
		else if ((unsigned char)*text < 0x20)
			good = put(out, "\\u%04x", (unsigned)*text);
		else
			good = write_output(out, text, (size_t)length);
		text += length == 0 ? 1 : length;
	}
	return good && write_output(out, "\"", 1);
}

static bool put_layers(output_file *out, const profile *p)
{
	double total = 0;
	bool good = put(out, "[\n  { \"count\" : %zu }\n", p->runs);

	for (size_t i = 0; i < p->count; i++)
		total += sum_of(&p->layers[i], p->runs);
	for (size_t i = 0; good && i < p->count; i++) {
		const layer *l = &p->layers[i];
		double sum = sum_of(l, p->runs);

		good = put(out, ", { \"name\" : ") && put_string(out, l->name) &&
		       put(out,
			   ", \"timeMs\" : %.6g, \"averageMs\" : %.6g, \"medianMs\" : %.6g, \"percentage\" : %.6g }\n",
			   sum, sum / (double)p->runs, l->median, total > 0 ? 100 * sum / total : 0);
	}
	return good && put(out, "]\n");
}

qdq_status write_profile(profile *p, const char *path)
{
	output_file out;
	bool good = open_output(&out, path);
	int wrong;

	find_medians(p);
	good = good && put_layers(&out, p) && commit_output(&out);
	wrong = errno;
	discard_output(&out);
	if (good)
		return QDQ_OK;
	fprintf(stderr, "qdqopt: error: cannot write %s: %s\n", path, strerror(wrong));
	return wrong == ENOMEM ? QDQ_ENOMEM : QDQ_EFILE;
}

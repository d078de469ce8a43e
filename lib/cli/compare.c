/* SPDX-License-Identifier: Apache-2.0
 *
 * compare.c -- qdqopt compare: two networks on the same inputs, or one and arrays, and how far their tensors are apart
 *
 * With --layers what the nodes of A give is made an output of both networks, where B has a tensor of this name.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"

#define LARGEST_ARRAYS ((uint64_t)8 << 30) /* bytes of B.npz, unpacked */
#define NOTICEABLE 60.0			   /* dB: where it is less, a tensor differs */

typedef struct side {
	qdq_model *model; /* NULL: arrays stand for it */
	void *held;
	qdq_session *session;
	qdq_binding *inputs;
	size_t n_inputs;
	array *tensors; /* names and data are the model's, the session's or the file's; sorted by name */
	size_t count;
} side;

typedef struct job {
	const arguments *arguments;
	qdq_ctx *ctx;
	given_inputs given;
	side a, b;
	arrays expected;      /* B.npz */
	const char **outputs; /* of A as it was loaded */
	size_t n_outputs;
} job;

/* ---- tensors ---- */

static int by_name(const void *a, const void *b)
{
	return strcmp(((const array *)a)->name, ((const array *)b)->name);
}

static const array *find(const side *s, const char *name)
{
	array key = {.name = (char *)(uintptr_t)name};

	return s->count == 0 ? NULL : bsearch(&key, s->tensors, s->count, sizeof key, by_name);
}

static void print_shape(const array *t)
{
	printf("%s[", qdq_type_text(t->type));
	for (int d = 0; d < t->rank; d++)
		printf("%s%lld", d == 0 ? "" : ",", (long long)t->dims[d]);
	printf("]");
}

static uint64_t elements(const array *t)
{
	uint64_t count = 1;

	for (int d = 0; d < t->rank; d++)
		count *= (uint64_t)t->dims[d];
	return count;
}

static bool same_shape(const array *a, const array *b)
{
	return a->rank == b->rank && memcmp(a->dims, b->dims, (size_t)a->rank * sizeof *a->dims) == 0;
}

static bool is_float(qdq_type type)
{
	return type == QDQ_TYPE_FLOAT || type == QDQ_TYPE_DOUBLE || type == QDQ_TYPE_FLOAT16 ||
	       type == QDQ_TYPE_BFLOAT16;
}

static bool is_number(qdq_type type)
{
	return is_float(type) || (type >= QDQ_TYPE_UINT8 && type <= QDQ_TYPE_INT64) || type == QDQ_TYPE_BOOL ||
	       type == QDQ_TYPE_UINT32 || type == QDQ_TYPE_UINT64;
}

static double half(uint16_t bits)
{
	int exponent = bits >> 10 & 31;
	double fraction = (double)(bits & 1023), size;

	if (exponent == 31)
		size = fraction == 0 ? (double)INFINITY : (double)NAN;
	else
		size = exponent == 0 ? ldexp(fraction, -24) : ldexp(fraction + 1024, exponent - 25);
	return (bits & 0x8000) != 0 ? -size : size;
}

static double brain(uint16_t bits)
{
	uint32_t wide = (uint32_t)bits << 16;
	float f;

	memcpy(&f, &wide, sizeof f);
	return (double)f;
}

#define READ(C) (memcpy(&u.C, p + i * sizeof u.C, sizeof u.C), (double)u.C)

static double element(const array *t, uint64_t i)
{
	const char *p = t->data;
	union {
		float f;
		double d;
		int8_t i8;
		int16_t i16;
		int32_t i32;
		int64_t i64;
		uint8_t u8;
		uint16_t u16;
		uint32_t u32;
		uint64_t u64;
	} u;

	switch (t->type) {
	case QDQ_TYPE_FLOAT:
		return READ(f);
	case QDQ_TYPE_DOUBLE:
		return READ(d);
	case QDQ_TYPE_FLOAT16:
		(void)READ(u16);
		return half(u.u16);
	case QDQ_TYPE_BFLOAT16:
		(void)READ(u16);
		return brain(u.u16);
	case QDQ_TYPE_INT8:
		return READ(i8);
	case QDQ_TYPE_INT16:
		return READ(i16);
	case QDQ_TYPE_INT32:
		return READ(i32);
	case QDQ_TYPE_INT64:
		return READ(i64);
	case QDQ_TYPE_UINT16:
		return READ(u16);
	case QDQ_TYPE_UINT32:
		return READ(u32);
	case QDQ_TYPE_UINT64:
		return READ(u64);
	default:
		return READ(u8); /* also bool */
	}
}

/* ---- how far two tensors are apart ---- */

typedef struct distance {
	double largest, mean, snr, cosine;
	uint64_t rows, agree; /* of those that have a largest element */
} distance;

/* A NaN or an infinity on one side alone is infinitely far; the same on both sides is no difference. */
static distance measure(const array *a, const array *b)
{
	distance d = {0};
	double noise = 0, power_a = 0, power_b = 0, product = 0;
	uint64_t count = elements(a);

	for (uint64_t i = 0; i < count; i++) {
		double x = element(a, i), y = element(b, i), by = fabs(x - y);

		if (!isfinite(x) || !isfinite(y)) {
			if (x == y || (isnan(x) && isnan(y)))
				continue;
			by = (double)INFINITY;
		}
		d.largest = by > d.largest ? by : d.largest;
		d.mean += by;
		noise += by * by;
		power_a += x * x;
		power_b += y * y;
		product += x * y;
	}
	d.mean = count == 0 ? 0 : d.mean / (double)count;
	if (d.largest == 0) {
		d.snr = (double)INFINITY;
		d.cosine = 1;
	} else {
		d.snr = isinf(d.largest) ? -(double)INFINITY : 10 * log10(power_b / noise);
		d.cosine = power_a == 0 || power_b == 0 ? 0 : product / (sqrt(power_a) * sqrt(power_b));
	}
	return d;
}

static array as_array(const qdq_binding *b)
{
	array t = {
	    .name = (char *)(uintptr_t)b->name, .type = b->type, .rank = b->rank, .size = b->size, .data = b->data};

	for (int d = 0; d < b->rank && d < ARRAY_RANK; d++)
		t.dims[d] = b->dims[d];
	return t;
}

bool signal_to_noise(double *out, const qdq_binding *changed, const qdq_binding *original)
{
	array a = as_array(changed), b = as_array(original);

	if (!same_shape(&a, &b) || a.type != b.type || !is_number(a.type))
		return false;
	*out = measure(&a, &b).snr;
	return true;
}

static uint64_t top(const array *t, uint64_t from, uint64_t count)
{
	uint64_t best = 0;

	for (uint64_t i = 1; i < count; i++)
		if (element(t, from + i) > element(t, from + best) || isnan(element(t, from + best)))
			best = isnan(element(t, from + i)) ? best : i;
	return best;
}

static void count_rows(distance *d, const array *a, const array *b)
{
	uint64_t width = a->rank == 0 ? 1 : (uint64_t)a->dims[a->rank - 1], count = elements(a);

	d->rows = width == 0 ? 0 : count / width;
	for (uint64_t r = 0; r < d->rows; r++)
		d->agree += top(a, r * width, width) == top(b, r * width, width);
}

/* ---- the two sides ---- */

static bool is_npz(const char *path)
{
	size_t n = strlen(path);

	return n > 4 && strcmp(path + n - 4, ".npz") == 0;
}

static qdq_status list_outputs(job *j)
{
	j->n_outputs = qdq_output_count(j->a.model);
	j->outputs = calloc(j->n_outputs + 1, sizeof *j->outputs);
	for (size_t i = 0; j->outputs != NULL && i < j->n_outputs; i++)
		j->outputs[i] = qdq_value_name(qdq_output_value(j->a.model, i));
	return j->outputs == NULL ? QDQ_ENOMEM : QDQ_OK;
}

static bool is_output(const job *j, const char *name)
{
	for (size_t i = 0; i < j->n_outputs; i++)
		if (strcmp(j->outputs[i], name) == 0)
			return true;
	return false;
}

/* What a node gives, and can be an output whose elements are numbers. */
static bool can_watch(const qdq_value *v)
{
	if (v == NULL || !is_number(qdq_value_type(v)) || qdq_value_rank(v) < 0 || qdq_value_rank(v) > QDQ_BINDING_RANK)
		return false;
	return qdq_value_producer(v) != NULL;
}

/* A misspelt key would be lost in silence. */
static qdq_status check_expected(const job *j)
{
	for (size_t i = 0; i < j->expected.count; i++) {
		const char *name = j->expected.items[i].name;

		if (is_output(j, name) || (j->arguments->layers && can_watch(qdq_find_value(j->a.model, name))))
			continue;
		fprintf(stderr, "qdqopt: error: %s: %s has no %s '%s'\n", j->arguments->words[1],
			j->arguments->words[0], j->arguments->layers ? "tensor" : "output", name);
		return QDQ_EUSAGE;
	}
	return QDQ_OK;
}

static qdq_status load(job *j)
{
	const arguments *a = j->arguments;
	qdq_status status;

	if (is_dash(a->words[0]) && is_dash(a->words[1])) {
		fprintf(stderr, "qdqopt: A and B cannot both be standard input\n");
		return QDQ_EUSAGE;
	}
	if (is_npz(a->words[0])) {
		fprintf(stderr, "qdqopt: error: %s: A must be a model; only B may be arrays\n", a->words[0]);
		return QDQ_EUSAGE;
	}
	status = load_input(&j->a.model, j->ctx, a->words[0], &j->a.held);
	if (status == QDQ_OK)
		status = list_outputs(j);
	if (status != QDQ_OK)
		return status;
	if (!is_npz(a->words[1]))
		return load_input(&j->b.model, j->ctx, a->words[1], &j->b.held);
	status = read_arrays(&j->expected, a->words[1], NULL, LARGEST_ARRAYS);
	return status == QDQ_OK ? check_expected(j) : status;
}

/* Codes of one kind are not those of another, nor floats, though they may have the name. */
static bool same_kind(qdq_type a, qdq_type b)
{
	return a == b || (is_float(a) && is_float(b));
}

static qdq_status expose(qdq_model *m, qdq_value *v)
{
	return qdq_value_is_output(v) ? QDQ_OK : qdq_add_output(m, v);
}

typedef struct named {
	const char *name;
	qdq_value *v;
} named;

static int by_value_name(const void *a, const void *b)
{
	return strcmp(((const named *)a)->name, ((const named *)b)->name);
}

/* The values that m's nodes give, sorted by name. */
static named *list_values(const qdq_model *m, size_t *count)
{
	size_t room = 0;
	named *out;

	*count = 0;
	for (const qdq_node *n = qdq_first_node(m); n != NULL; n = qdq_next_node(n))
		room += qdq_node_output_count(n);
	out = calloc(room + 1, sizeof *out);
	for (const qdq_node *n = qdq_first_node(m); out != NULL && n != NULL; n = qdq_next_node(n))
		for (size_t i = 0; i < qdq_node_output_count(n); i++)
			if (can_watch(qdq_node_output(n, i)))
				out[(*count)++] = (named){qdq_value_name(qdq_node_output(n, i)), qdq_node_output(n, i)};
	if (out != NULL)
		qsort(out, *count, sizeof *out, by_value_name);
	return out;
}

/* Makes outputs of what both have. */
static qdq_status expose_layers(job *j)
{
	size_t n_a, n_b;
	named *a = list_values(j->a.model, &n_a), *b = list_values(j->b.model, &n_b);
	qdq_status status = a == NULL || b == NULL ? QDQ_ENOMEM : QDQ_OK;

	for (size_t i = 0; status == QDQ_OK && i < n_a; i++) {
		named *other = bsearch(&a[i], b, n_b, sizeof *b, by_value_name);

		if (j->b.model == NULL ? find_array(&j->expected, a[i].name) == NULL
				       : other == NULL || !same_kind(qdq_value_type(a[i].v), qdq_value_type(other->v)))
			continue;
		status = expose(j->a.model, a[i].v);
		if (status == QDQ_OK && other != NULL)
			status = expose(j->b.model, other->v);
	}
	free(a);
	free(b);
	return status;
}

static qdq_status check_model(const side *s)
{
	return s->model == NULL ? QDQ_OK : qdq_check(s->model);
}

/* ---- running ---- */

static qdq_status keep_outputs(side *s, const qdq_binding *outputs, size_t count)
{
	s->tensors = calloc(count + 1, sizeof *s->tensors);
	if (s->tensors == NULL)
		return QDQ_ENOMEM;
	for (size_t i = 0; i < count; i++) {
		const qdq_binding *o = &outputs[i];
		array *t = &s->tensors[s->count];

		if (o->type == QDQ_TYPE_NONE)
			continue; /* it stands in the list twice */
		*t = as_array(o);
		s->count++;
	}
	qsort(s->tensors, s->count, sizeof *s->tensors, by_name);
	return QDQ_OK;
}

static qdq_status run_side(job *j, side *s)
{
	qdq_session_options options = {
	    .version = QDQ_SESSION_OPTIONS_VERSION, .threads = j->arguments->threads, .device = j->arguments->device};
	size_t count = qdq_output_count(s->model);
	qdq_binding *outputs = calloc(count + 1, sizeof *outputs);
	qdq_status status = outputs == NULL ? QDQ_ENOMEM : bind_inputs(&s->inputs, &s->n_inputs, &j->given, s->model);

	for (size_t i = 0; outputs != NULL && i < count; i++)
		outputs[i].name = qdq_value_name(qdq_output_value(s->model, i));
	if (status == QDQ_OK)
		status = qdq_session_new(&s->session, s->model, &options);
	if (status == QDQ_OK)
		status = qdq_session_run(s->session, s->inputs, s->n_inputs, outputs, count);
	if (status == QDQ_OK)
		status = keep_outputs(s, outputs, count);
	free(outputs);
	return status;
}

static qdq_status run_both(job *j)
{
	qdq_status status = run_side(j, &j->a);

	if (status != QDQ_OK || j->b.model != NULL)
		return status == QDQ_OK ? run_side(j, &j->b) : status;
	j->b.tensors = calloc(j->expected.count + 1, sizeof *j->b.tensors);
	if (j->b.tensors == NULL)
		return QDQ_ENOMEM;
	j->b.count = j->expected.count;
	if (j->b.count != 0)
		memcpy(j->b.tensors, j->expected.items, j->b.count * sizeof *j->b.tensors);
	qsort(j->b.tensors, j->b.count, sizeof *j->b.tensors, by_name);
	return QDQ_OK;
}

/* ---- printing ---- */

static void print_shapes(const array *a, const array *b)
{
	print_shape(a);
	printf(" against ");
	print_shape(b);
	printf("\n");
}

static void print_output(const array *a, const array *b)
{
	distance d;

	printf("%s: ", a->name);
	if (!same_shape(a, b) || !is_number(a->type) || !is_number(b->type)) {
		printf("not comparable, ");
		print_shapes(a, b);
		return;
	}
	d = measure(a, b);
	count_rows(&d, a, b);
	printf("max %.6g, mean %.6g, SNR %.2f dB, cosine %.9g", d.largest, d.mean, d.snr, d.cosine);
	if (a->rank == 1)
		printf(", top-1 %s\n", d.agree == d.rows ? "the same" : "another");
	else if (a->rank > 1)
		printf(", top-1 the same in %llu of %llu rows\n", (unsigned long long)d.agree,
		       (unsigned long long)d.rows);
	else
		printf("\n");
}

static qdq_status print_outputs(const job *j)
{
	size_t compared = 0;

	for (size_t i = 0; i < j->n_outputs; i++)
		compared += find(&j->b, j->outputs[i]) != NULL;
	if (compared == 0 && !(j->b.model == NULL && j->arguments->layers)) {
		fprintf(stderr, "qdqopt: error: %s has no output that has the name of one of %s\n",
			j->arguments->words[1], j->arguments->words[0]);
		return QDQ_EUSAGE;
	}
	for (size_t i = 0; i < j->n_outputs; i++) {
		const array *a = find(&j->a, j->outputs[i]), *b = find(&j->b, j->outputs[i]);

		if (b == NULL)
			printf("%s: not in %s\n", j->outputs[i], j->arguments->words[1]);
		else
			print_output(a, b);
	}
	return QDQ_OK;
}

typedef struct layers {
	size_t compared, different;
	const char *tensor;
	const qdq_node *node;
} layers;

static void print_layer(layers *l, const array *a, const array *b, const qdq_node *n)
{
	bool fits = same_shape(a, b) && is_number(b->type);
	distance d = {0};

	if (fits)
		d = measure(a, b);
	l->compared++;
	if (fits && d.snr >= NOTICEABLE)
		return;
	if (l->different++ == 0) {
		l->tensor = a->name;
		l->node = n;
		printf("\n%12s  %9s  %11s  tensor\n", "max", "SNR", "cosine");
	}
	if (fits) {
		printf("%12.6g  %6.2f dB  %11.8f  %s\n", d.largest, d.snr, d.cosine, a->name);
	} else {
		printf("%s: not comparable, ", a->name);
		print_shapes(a, b);
	}
}

/* In the order in which A computes them. */
static void print_layers(const job *j)
{
	layers l = {0};

	for (const qdq_node *n = qdq_first_node(j->a.model); n != NULL; n = qdq_next_node(n)) {
		for (size_t i = 0; i < qdq_node_output_count(n); i++) {
			const char *name = qdq_value_name(qdq_node_output(n, i));
			const array *a = name == NULL ? NULL : find(&j->a, name),
				    *b = a == NULL ? NULL : find(&j->b, name);

			if (b != NULL && is_number(a->type) && (j->b.model == NULL || same_kind(a->type, b->type)))
				print_layer(&l, a, b, n);
		}
	}
	if (l.compared == 0)
		printf("no tensors of the same name and type to compare\n");
	else if (l.tensor == NULL)
		printf("none of %zu tensors differs\n", l.compared);
	else
		printf("%zu of %zu tensors differ, first '%s' of %s '%s'\n", l.different, l.compared, l.tensor,
		       qdq_node_op(l.node), qdq_node_name(l.node));
}

/* ---- the command ---- */

static qdq_status compare(job *j)
{
	const arguments *a = j->arguments;
	qdq_status status = load(j);

	if (status == QDQ_OK)
		status = read_inputs(&j->given, a);
	if (status == QDQ_OK)
		status = check_inputs(&j->given, j->a.model, j->b.model);
	if (status == QDQ_OK && a->layers)
		status = expose_layers(j);
	if (status == QDQ_OK)
		status = check_model(&j->a);
	if (status == QDQ_OK)
		status = check_model(&j->b);
	if (status == QDQ_OK)
		status = run_both(j);
	if (status == QDQ_OK)
		status = print_outputs(j);
	if (status == QDQ_OK && a->layers)
		print_layers(j);
	return status == QDQ_OK ? flush_stream(stdout, "standard output") : status;
}

static void free_side(side *s)
{
	qdq_session_free(s->session);
	free(s->inputs);
	free(s->tensors);
}

int run_compare(const arguments *a)
{
	job j = {.arguments = a};
	bool quiet = a->quiet;
	qdq_options options = {.version = QDQ_OPTIONS_VERSION, .log = print_diagnostic, .log_user = &quiet};
	qdq_status status = qdq_ctx_new(&j.ctx, &options);

	if (status == QDQ_OK)
		status = compare(&j);
	if (status == QDQ_ENOMEM)
		fprintf(stderr, "qdqopt: error: out of memory\n");
	free_side(&j.a);
	free_side(&j.b);
	free_inputs(&j.given);
	free_arrays(&j.expected);
	free(j.outputs);
	qdq_ctx_free(j.ctx);
	free(j.a.held);
	free(j.b.held);
	return -status;
}

/* SPDX-License-Identifier: Apache-2.0
 *
 * properties.c -- what holds for every model, whatever is in it: run_properties FOLDER…
 *
 * Loading what was saved, and parsing what was printed, gives the same model. Optimizing twice is optimizing once, also
 * with a fused file between. The passes one by one are the pipeline. Passes in any order, exact ones only, give a graph
 * that is valid, can be saved, and computes the same bits; the last is tried where the evaluator is fast enough.
 * Of a golden graph (test/golden) what stands above its mark is the model.
 */
#include <stdio.h>
#include <time.h>

#include "../lib/rewrite/rewrite.h"
#include "fixture.h"

#define MARK "# ==>\n"
#define ORDERS 20
#define ROUNDS 4	    /* different inputs */
#define FEW_MACS 2000000    /* above, every fifth order is run */
#define MOST_MACS 100000000 /* above, none */
#define MOST_SECONDS 10.0   /* for comparing a model with itself on all of them */

static unsigned passed, failed, not_run;

typedef struct subject {
	const char *path;
	text file;
	bool is_text;
	qdq_ctx *ctx;
} subject;

static bool check(const subject *s, bool good, const char *what, const char *detail)
{
	if (good)
		passed++;
	else
		failed++;
	if (!good)
		printf("FAILED %s: %s%s%s\n", s->path, what, detail != NULL ? ": " : "", detail != NULL ? detail : "");
	return good;
}

/* The last message of the context, for a call that failed. */
static const char *said(const subject *s)
{
	size_t count = qdq_diagnostic_count(s->ctx);

	return count != 0 ? qdq_diagnostic_get(s->ctx, count - 1)->message : NULL;
}

/* The second text is freed. */
static void check_same(const subject *s, const text *one, text *other, const char *what)
{
	const char *p = one->data, *q = other->data;
	size_t same = 0, line = 0;

	while (same < one->size && same < other->size && p[same] == q[same])
		if (p[same++] == '\n')
			line = same;
	if (!check(s, same == one->size && same == other->size, what, "they differ") && s->is_text)
		printf("  one   %.*s\n  other %.*s\n", (int)strcspn(p + line, "\n"), p + line,
		       (int)strcspn(q + line, "\n"), q + line);
	text_free(other);
}

static qdq_model *load(const subject *s)
{
	qdq_model *m;
	qdq_status status = s->is_text ? qdq_load_memory(&m, s->ctx, s->file.data, s->file.size, s->path)
				       : qdq_load_file(&m, s->ctx, s->path);

	if (status != QDQ_OK)
		check(s, false, "loading", said(s));
	return m;
}

static bool optimize_for(const subject *s, qdq_model *m, const char *passes, bool exact, const char *target)
{
	const qdq_optimize_options options = {
	    .version = QDQ_OPTIMIZE_OPTIONS_VERSION, .passes = passes, .exact = exact, .target = target};

	return qdq_optimize(m, &options) == QDQ_OK || check(s, false, "optimizing", passes != NULL ? passes : said(s));
}

static bool optimize(const subject *s, qdq_model *m, const char *passes, bool exact)
{
	return optimize_for(s, m, passes, exact, NULL);
}

static bool save(const subject *s, qdq_model *m, qdq_emit emit, bool consume, text *out)
{
	const qdq_save_options options = {.version = QDQ_SAVE_OPTIONS_VERSION, .emit = emit, .consume = consume};

	*out = (text){0};
	text_add(out, "", 0);
	return qdq_save_sink(m, text_write, out, &options) == QDQ_OK || check(s, false, "saving", said(s));
}

static bool print(const subject *s, qdq_model *m, text *out)
{
	return print_model(m, out) || check(s, false, "printing", said(s));
}

/* The model that `bytes` holds (in the text form if its path says so), which are kept. */
static qdq_model *reload(const subject *s, const text *bytes, const char *path)
{
	qdq_model *m;

	if (qdq_load_memory(&m, s->ctx, bytes->data, bytes->size, path) != QDQ_OK)
		check(s, false, "loading what was written", said(s));
	return m;
}

/* ---- load and save, print and parse ---------------------------------------------------------------------------------
 */

static void saved(const subject *s, const text *printed, const text *bytes)
{
	qdq_model *m = reload(s, bytes, "saved.onnx");
	text again;

	if (m != NULL && print(s, m, &again))
		check_same(s, printed, &again, "load and save");
	if (m != NULL && save(s, m, QDQ_EMIT_FUSED, false, &again))
		check_same(s, bytes, &again, "save, load and save again");
	qdq_model_free(m);
}

static void parsed(const subject *s, const text *printed)
{
	qdq_model *m = reload(s, printed, "printed.onnxtxt");
	text again;

	if (m != NULL && print(s, m, &again))
		check_same(s, printed, &again, "print and parse");
	qdq_model_free(m);
}

static void round_trips(const subject *s, qdq_model *m)
{
	text printed, bytes;

	if (print(s, m, &printed))
		parsed(s, &printed);
	if (save(s, m, QDQ_EMIT_FUSED, false, &bytes))
		saved(s, &printed, &bytes);
	text_free(&printed);
	text_free(&bytes);
}

static void untouched(const subject *s)
{
	qdq_model *m = load(s);

	if (m != NULL && optimize(s, m, "none", false))
		round_trips(s, m);
	qdq_model_free(m);
}

/* ---- optimizing twice -----------------------------------------------------------------------------------------------
 */

/* once: the text of the optimized model m. */
static void twice(const subject *s, qdq_model *m, const text *once)
{
	text bytes, again;
	qdq_model *fused = save(s, m, QDQ_EMIT_FUSED, false, &bytes) ? reload(s, &bytes, "fused.onnx") : NULL;

	if (fused != NULL && optimize(s, fused, NULL, false) && print(s, fused, &again))
		check_same(s, once, &again, "optimize, save, load, optimize");
	if (optimize(s, m, NULL, false) && print(s, m, &again))
		check_same(s, once, &again, "optimize twice");
	qdq_model_free(fused);
	text_free(&bytes);
}

static void one_by_one(const subject *s, const text *once)
{
	qdq_model *m = load(s);
	text single;

	for (size_t i = 0; m != NULL && i < qdq_n_pipeline; i++)
		if (!optimize(s, m, qdq_passes[i]->name, false))
			break;
	if (m != NULL && print(s, m, &single))
		check_same(s, once, &single, "the passes one by one are the pipeline");
	qdq_model_free(m);
}

/* A copy is written where the model is to stay. The model is used up. */
static void consumed(const subject *s, qdq_model *m)
{
	text kept, same;

	if (save(s, m, QDQ_EMIT_QDQ, false, &kept) && save(s, m, QDQ_EMIT_QDQ, true, &same))
		check_same(s, &kept, &same, "saving a copy and saving the model");
	text_free(&kept);
}

static void optimized(const subject *s)
{
	qdq_model *m = load(s);
	text once;

	if (m != NULL && optimize(s, m, NULL, false) && print(s, m, &once)) {
		round_trips(s, m);
		twice(s, m, &once);
		one_by_one(s, &once);
		consumed(s, m);
		text_free(&once);
	}
	qdq_model_free(m);
}

/* ---- random orders --------------------------------------------------------------------------------------------------
 */

static uint32_t next_random(uint32_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 17;
	*state ^= *state << 5;
	return *state;
}

/* Even numbers: each pass once; odd ones: as many, drawn. */
static void some_order(uint32_t number, char *out, size_t room)
{
	uint32_t state = 0x9E3779B9U * (number + 1);
	size_t order[64], n = qdq_min_size(qdq_n_passes, 64), used = 0;

	for (size_t i = 0; i < n; i++)
		order[i] = i;
	for (size_t i = n - 1; i > 0; i--) {
		size_t j = next_random(&state) % (i + 1), held = order[i];

		order[i] = order[j];
		order[j] = number % 2 != 0 ? order[i] : held;
	}
	for (size_t i = 0; i < n && used < room; i++)
		used +=
		    (size_t)snprintf(out + used, room - used, "%s%s", i != 0 ? "," : "", qdq_passes[order[i]]->name);
}

/* All modes can be written and read, and what was read is run on inputs number `round`: it is what the user gets. */
static const char *results(const subject *s, qdq_model *original, qdq_model *m, int round)
{
	const char *wrong = NULL;

	for (int emit = QDQ_EMIT_FUSED; emit <= QDQ_EMIT_QOPERATOR && wrong == NULL; emit++) {
		const qdq_save_options options = {
		    .version = QDQ_SAVE_OPTIONS_VERSION, .emit = (qdq_emit)emit, .exact = 1};
		text bytes = {0};
		qdq_model *again = NULL;

		if (qdq_save_sink(m, text_write, &bytes, &options) != QDQ_OK)
			wrong = "saving failed";
		else if (qdq_load_memory(&again, s->ctx, bytes.data, bytes.size, "saved.onnx") != QDQ_OK)
			wrong = "what was saved cannot be loaded";
		else if (round >= 0)
			wrong = same_results(original, again, (unsigned)round, true);
		qdq_model_free(again);
		text_free(&bytes);
	}
	return wrong;
}

static bool only_exact(const qdq_model *m)
{
	for (size_t i = 0; i < m->events.count; i++)
		if (!m->events.items[i].declined && m->events.items[i].exactness != QDQ_EXACT)
			return false;
	return true;
}

/* Every third order is for another target. round: of inputs; negative: it is not run. */
static void random_order(const subject *s, qdq_model *original, uint32_t number, int round)
{
	char passes[1024], detail[2048];
	const char *wrong;
	qdq_model *m = load(s);

	some_order(number, passes, sizeof passes);
	if (m == NULL || !optimize_for(s, m, passes, true, number % 3 == 1 ? "ort-cpu" : NULL)) {
		qdq_model_free(m);
		return;
	}
	if (!qdq_graph_verify(m->graph))
		wrong = "the graph is not valid";
	else if (!only_exact(m))
		wrong = "a rewrite is not exact";
	else
		wrong = results(s, original, m, round);
	snprintf(detail, sizeof detail, "%s, after %s; last message: %s", wrong != NULL ? wrong : "", passes,
		 said(s) != NULL ? said(s) : "none");
	check(s, wrong == NULL, "passes in another order", detail);
	qdq_model_free(m);
}

/* Why it is not run; NULL: it can be, after every so many orders. A model that differs from itself draws random
 * numbers. */
static const char *not_runnable(const subject *s, qdq_model *original, uint32_t *every)
{
	qdq_model *other = load(s);
	const qdq_report *report;
	qdq_counts counts;
	const char *why = "loading failed";
	clock_t begun = clock();

	if (other != NULL && qdq_report_new(&report, other, NULL) == QDQ_OK) {
		qdq_report_get_counts(&counts, report);
		*every = counts.macs > FEW_MACS ? 5 : 1;
		why = counts.macs > MOST_MACS ? "more than 100 million multiply-accumulates" : NULL;
	}
	for (unsigned round = 0; round < ROUNDS && why == NULL; round++)
		why = same_results(original, other, round, true);
	if (why == NULL && (double)(clock() - begun) > MOST_SECONDS * CLOCKS_PER_SEC)
		why = "the evaluator is too slow for it";
	qdq_model_free(other);
	return why;
}

static void random_orders(const subject *s)
{
	qdq_model *original = load(s);
	const char *why;
	uint32_t every = 1;

	if (original == NULL)
		return;
	why = not_runnable(s, original, &every);
	if (why != NULL) {
		printf("not run: %s: %s\n", s->path, why);
		not_run++;
	}
	for (uint32_t i = 0; i < ORDERS; i++)
		random_order(s, original, i, why == NULL && i % every == 0 ? (int)(i / every % ROUNDS) : -1);
	qdq_model_free(original);
}

/* ---- models ---------------------------------------------------------------------------------------------------------
 */

static void visit(const char *path)
{
	subject s = {.path = path, .is_text = strcmp(strrchr(path, '.'), ".onnxtxt") == 0};
	char *mark;

	if (qdq_ctx_new(&s.ctx, NULL) != QDQ_OK || !check(&s, read_file(path, &s.file), "reading", NULL))
		return;
	mark = s.is_text ? strstr(s.file.data, MARK) : NULL;
	if (mark != NULL) {
		*mark = '\0';
		s.file.size = (size_t)(mark - s.file.data);
	}
	untouched(&s);
	optimized(&s);
	random_orders(&s);
	qdq_ctx_free(s.ctx);
	text_free(&s.file);
}

int main(int argc, char **argv)
{
	for (int i = 1; i < argc; i++) {
		each_file(argv[i], ".onnx", visit);
		each_file(argv[i], ".onnxtxt", visit);
	}
	if (not_run != 0)
		printf("%u models are not run by the evaluator (see above); all else is tried with them too\n",
		       not_run);
	printf("%u passed, %u failed\n", passed, failed + (passed + failed == 0));
	return failed != 0 || passed == 0;
}

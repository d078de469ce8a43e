/* SPDX-License-Identifier: Apache-2.0
 *
 * driver.c -- runs passes, and records what they did or declined
 *
 * A pass gives what it makes types and shapes, or says that it does not: then they are inferred behind it, so that the
 * next one sees them. In debug builds the graph is verified after each. A pass's scratch memory lives as long as it runs.
 */
#include "rewrite.h"

const qdq_pass *const qdq_passes[] = {
#define PASS(name) &qdq_pass_##name,
#define ON_REQUEST(name) PASS(name)
#define ORDER(before, after, why)
#include "../../passes/passes.def"
#undef PASS
#undef ON_REQUEST
#undef ORDER
};
const size_t qdq_n_passes = QDQ_COUNTOF(qdq_passes);
const size_t qdq_n_pipeline = 0
#define PASS(name) +1
#define ON_REQUEST(name)
#define ORDER(before, after, why)
#include "../../passes/passes.def"
#undef PASS
#undef ON_REQUEST
#undef ORDER
    ;

const char *const qdq_target_names[QDQ_TARGETS] = {
    [QDQ_TARGET_CUDA] = "cuda",
    [QDQ_TARGET_TENSORRT] = "tensorrt",
    [QDQ_TARGET_ORT_CPU] = "ort-cpu",
};

bool qdq_target_find(const char *name, qdq_target *out)
{
	for (int t = 0; t < QDQ_TARGETS; t++) {
		if (strcmp(qdq_target_names[t], name) == 0) {
			*out = (qdq_target)t;
			return true;
		}
	}
	return false;
}

#ifdef NDEBUG
#define ALWAYS_VERIFY false
#else
#define ALWAYS_VERIFY true
#endif

/* ---- one pass ---- */

static void verify(qdq_run *r)
{
	if (!qdq_graph_verify(r->graph))
		qdq_fail(r->ctx, QDQ_EMODEL, &(qdq_where){.file = r->model->path},
			 "the graph is not valid after pass %s", r->pass->name);
}

/* Runs pass on r->graph; r->scratch is the caller's to free. */
static uint64_t run_on_graph(qdq_run *r, const qdq_pass *pass)
{
	r->pass = pass;
	r->changes = 0;
	if (pass->n_rules != 0)
		qdq_rules_apply(r, pass->rules, pass->n_rules);
	if (pass->run != NULL)
		pass->run(r);
	if (r->changes != 0 && pass->untyped)
		qdq_graph_infer(r->graph);
	qdq_arena_reset(&r->scratch);
	return r->changes;
}

/* Memory for the bodies of If, Loop and Scan while a pass runs: what there are, and what one of them captures. */
struct nested_memory {
	qdq_arena graphs, ports;
};

/* The same on those bodies. */
static uint64_t run_on_nested(qdq_run *r, const qdq_pass *pass, struct nested_memory *memory)
{
	qdq_graph *main_graph = r->graph;
	qdq_graphs graphs = {0};
	uint64_t changes = 0;

	qdq_nested_graphs(r->model, &memory->graphs, &graphs);
	for (size_t i = 0; i < graphs.count; i++) {
		qdq_ports ports = {0};

		r->graph = graphs.items[i];
		qdq_nested_hide(r->graph, &memory->ports, &ports);
		changes += run_on_graph(r, pass);
		qdq_nested_show(r->graph, &ports);
		qdq_arena_reset(&memory->ports);
	}
	qdq_arena_reset(&memory->graphs);
	r->graph = main_graph;
	return changes;
}

/* nested NULL: bodies stay as they are. */
static uint64_t run_pass(qdq_run *r, const qdq_pass *pass, const qdq_driver_options *options,
			 struct nested_memory *nested)
{
	uint64_t changes;
	qdq_status status;

	r->kept = NULL;
	changes = run_on_graph(r, pass);
	if (nested != NULL)
		changes += run_on_nested(r, pass, nested);
	qdq_arena_reset(&r->memory);
	if (options->verify || ALWAYS_VERIFY)
		verify(r);
	if (options->after_pass != NULL) {
		status = options->after_pass(options->user, pass->name, changes);
		if (status != QDQ_OK)
			qdq_throw(r->ctx, status);
	}
	return changes;
}

/* ---- which passes ---- */

typedef QDQ_VEC(const qdq_pass *) pass_list;

static const qdq_pass *find_pass(qdq_model *m, const char *name, size_t length)
{
	for (size_t i = 0; i < qdq_n_passes; i++)
		if (strlen(qdq_passes[i]->name) == length && memcmp(qdq_passes[i]->name, name, length) == 0)
			return qdq_passes[i];
	qdq_fail(m->ctx, QDQ_EUSAGE, NULL, "there is no pass '%.*s' (see --help)", (int)length, name);
}

static void drop_pass(pass_list *list, const qdq_pass *pass)
{
	size_t kept = 0;

	for (size_t i = 0; i < list->count; i++)
		if (list->items[i] != pass)
			list->items[kept++] = list->items[i];
	list->count = kept;
}

/* "a,b": these, in this order. "-a,-b": the pipeline without them. "none": nothing. NULL: the pipeline. */
static void choose(qdq_model *m, qdq_arena *arena, const char *text, pass_list *out)
{
	bool without = text == NULL || *text == '-';

	if (text != NULL && strcmp(text, "none") == 0)
		return;
	for (size_t i = 0; without && i < qdq_n_pipeline; i++)
		*qdq_push(arena, out) = qdq_passes[i];
	while (text != NULL && *text != '\0') {
		size_t length = strcspn(text, ",");
		bool minus = *text == '-';

		if (minus != without)
			qdq_fail(m->ctx, QDQ_EUSAGE, NULL,
				 "a list of passes names those to run or, with '-', those to leave out; not both");
		if (minus)
			drop_pass(out, find_pass(m, text + 1, length - 1));
		else
			*qdq_push(arena, out) = find_pass(m, text, length);
		text += length;
		text += *text == ',';
	}
}

/* ---- the interface ---- */

/* Body of a run under its own guard, so that scratch memory goes whatever happens. */
struct running {
	qdq_run run;
	qdq_arena lists;
	struct nested_memory nested;
	const qdq_pass *one; /* NULL: what options->passes says */
	const qdq_driver_options *options;
	uint64_t changes;
};

/* A node all of whose outputs are left out computes nothing; no pass need think of it. */
static void drop_mute(qdq_graph *g)
{
	qdq_node *next;

	for (qdq_node *n = g->first; n != NULL; n = next) {
		bool mute = n->op->id != QDQ_OP_NONE;

		next = qdq_after(n);
		for (uint32_t i = 0; i < n->n_outputs; i++)
			mute = mute && n->outputs[i] == NULL;
		if (mute)
			qdq_node_remove(n);
	}
}

static void drop_all_mute(struct running *w)
{
	qdq_graphs nested = {0};

	drop_mute(w->run.graph);
	if (w->one == NULL)
		qdq_nested_graphs(w->run.model, &w->lists, &nested);
	for (size_t i = 0; i < nested.count; i++)
		drop_mute(nested.items[i]);
}

static void run_all(void *arg)
{
	struct running *w = arg;
	pass_list list = {0};

	if (w->one != NULL)
		*qdq_push(&w->lists, &list) = w->one;
	else
		choose(w->run.model, &w->lists, w->options->passes, &list);
	if (list.count != 0 && w->run.model->n_mute != 0)
		drop_all_mute(w);
	for (size_t i = 0; i < list.count; i++)
		w->changes += run_pass(&w->run, list.items[i], w->options, w->one == NULL ? &w->nested : NULL);
}

static uint64_t run_guarded(qdq_model *m, qdq_graph *g, const qdq_pass *one, const qdq_driver_options *options)
{
	struct running w = {.one = one, .options = options};
	qdq_status status;

	w.run = (qdq_run){.ctx = m->ctx, .model = m, .graph = g, .options = &options->pass};
	qdq_arena_init(&w.run.scratch, m->ctx);
	qdq_arena_init(&w.run.memory, m->ctx);
	qdq_arena_init(&w.lists, m->ctx);
	qdq_arena_init(&w.nested.graphs, m->ctx);
	qdq_arena_init(&w.nested.ports, m->ctx);
	status = qdq_guard(m->ctx, run_all, &w);
	qdq_arena_free(&w.run.scratch);
	qdq_arena_free(&w.run.memory);
	qdq_arena_free(&w.lists);
	qdq_arena_free(&w.nested.graphs);
	qdq_arena_free(&w.nested.ports);
	if (status != QDQ_OK)
		qdq_throw(m->ctx, status);
	return w.changes;
}

uint64_t qdq_run_passes(qdq_model *m, const qdq_driver_options *options)
{
	return run_guarded(m, m->graph, NULL, options);
}

uint64_t qdq_run_pass(qdq_model *m, qdq_graph *g, const qdq_pass *pass, const qdq_driver_options *options)
{
	return run_guarded(m, g, pass, options);
}

/* ---- events ---- */

const char *const qdq_exactness_names[] = {[QDQ_EXACT] = "exact", [QDQ_STEP1] = "step1", [QDQ_BOUNDED] = "bounded"};

static const qdq_rule *find_in(const qdq_pass *pass, const char *name)
{
	for (size_t i = 0; i < pass->n_rules; i++)
		if (pass->rules[i].name != NULL && strcmp(pass->rules[i].name, name) == 0)
			return &pass->rules[i];
	return NULL;
}

const qdq_rule *qdq_rule_find(const qdq_pass *pass, const char *name)
{
	const qdq_rule *rule = pass != NULL ? find_in(pass, name) : NULL;

	for (size_t i = 0; i < qdq_n_passes && rule == NULL; i++)
		rule = find_in(qdq_passes[i], name);
	return rule;
}

/* Events are about rules that the pass lists, so that --list-rules lacks none. */
static void check_rule(const qdq_run *r, const char *name, qdq_exactness exactness)
{
	const qdq_rule *rule = qdq_rule_find(r->pass, name);

	if (rule == NULL)
		qdq_fail(r->ctx, QDQ_EUSAGE, NULL, "no pass lists rule '%s', which %s applies", name, r->pass->name);
	if (exactness > rule->exactness)
		qdq_fail(r->ctx, QDQ_EUSAGE, NULL, "rule %s is less exact than the table says", name);
}

void qdq_applied(qdq_run *r, const char *rule, qdq_exactness exactness, double bound, const qdq_origin *origin)
{
	if (ALWAYS_VERIFY)
		check_rule(r, rule, exactness);
	*qdq_push(&r->model->arena, &r->model->events) =
	    (qdq_event){.pass = r->pass->name, .rule = rule, .exactness = exactness, .bound = bound, .node = origin};
	r->changes++;
}

void qdq_applied_within(qdq_run *r, const char *rule, double bound, const qdq_value *changed, const qdq_origin *origin)
{
	qdq_applied(r, rule, QDQ_BOUNDED, bound, origin);
	r->model->events.items[r->model->events.count - 1].operand = changed->name;
}

void qdq_declined(qdq_run *r, const char *rule, const qdq_origin *origin, const qdq_reason *reason)
{
	qdq_arena *arena = &r->model->arena;
	const char *message = qdq_reasons[reason->code].message;
	const char *hole = strstr(message, "%s");

	if (ALWAYS_VERIFY)
		check_rule(r, rule, QDQ_EXACT);
	if (hole != NULL)
		message = qdq_format(arena, "%.*s%s%s", (int)(hole - message), message,
				     reason->detail != NULL ? reason->detail : "it", hole + 2);
	*qdq_push(arena, &r->model->events) = (qdq_event){.declined = true,
							  .pass = r->pass->name,
							  .rule = rule,
							  .node = origin,
							  .reason = (int)reason->code,
							  .operand = reason->operand,
							  .cause = reason->cause,
							  .message = message};
}

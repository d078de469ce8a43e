/* SPDX-License-Identifier: Apache-2.0
 *
 * optimize.c -- running the pipeline, and passes of the caller's own
 */
#include <time.h>

#include "api.h"

struct optimize {
	qdq_model *m;
	qdq_optimize_options options;
	qdq_override *overrides;
};

static double now(void)
{
	struct timespec t;

	return clock_gettime(CLOCK_MONOTONIC, &t) == 0 ? (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6 : 0;
}

/* Names and types, copied: events and marks outlive the call. */
static void check_precisions(struct optimize *o)
{
	const qdq_optimize_options *given = &o->options;

	if (given->n_precisions != 0 && given->precisions == NULL)
		qdq_misuse(o->m, "there are %zu precisions, but the list is NULL", given->n_precisions);
	o->overrides = qdq_array(&o->m->arena, qdq_override, given->n_precisions);
	for (size_t i = 0; i < given->n_precisions; i++) {
		const qdq_precision *p = &given->precisions[i];

		if (p->nodes == NULL || *p->nodes == '\0')
			qdq_misuse(o->m, "precision %zu names no nodes", i);
		if (p->type != QDQ_TYPE_FLOAT && p->type != QDQ_TYPE_FLOAT16 && p->type != QDQ_TYPE_INT8)
			qdq_misuse(o->m, "'%s' cannot be %s: there are float, float16 and int8", p->nodes,
				   qdq_type_text(p->type));
		o->overrides[i] = (qdq_override){qdq_copy(&o->m->arena, p->nodes, strlen(p->nodes)), p->type};
	}
}

static void optimize(void *arg)
{
	struct optimize *o = arg;
	const qdq_optimize_options *given = &o->options;
	qdq_target target = QDQ_TARGET_CUDA;
	double start = now();
	qdq_pass_options *asked;

	if (given->version == 0 || given->version > QDQ_OPTIMIZE_OPTIONS_VERSION)
		qdq_misuse(o->m, "qdq_optimize_options has version %u, this library knows 1 to %d", given->version,
			   QDQ_OPTIMIZE_OPTIONS_VERSION);
	if (given->target != NULL && !qdq_target_find(given->target, &target))
		qdq_misuse(o->m, "unknown target '%s': there are cuda, tensorrt and ort-cpu", given->target);
	if (given->float_type != NULL && strcmp(given->float_type, "fp16") != 0)
		qdq_misuse(o->m, "unknown float type '%s': there is fp16", given->float_type);
	if (given->exact && given->float_type != NULL)
		qdq_misuse(o->m, "exact and a float type exclude each other");
	if (given->exact && given->allow_bounded)
		qdq_misuse(o->m, "exact and allow_bounded exclude each other");
	check_precisions(o);
	qdq_settle(o->m);
	asked = qdq_new(&o->m->arena, qdq_pass_options);
	o->m->target = qdq_target_names[target];
	*asked = (qdq_pass_options){.exact = given->exact != 0,
				    .allow_bounded = given->allow_bounded != 0,
				    .target = target,
				    .overrides = o->overrides,
				    .n_overrides = given->n_precisions,
				    .io_int8 = given->io_int8 != 0,
				    .half = given->float_type != NULL};
	qdq_run_passes(
	    o->m, &(qdq_driver_options){
		      .pass = *asked, .passes = given->passes, .after_pass = given->after_pass, .user = given->user});
	o->m->asked = given->passes == NULL ? asked : NULL;
	o->m->milliseconds += now() - start;
}

qdq_status qdq_optimize(qdq_model *m, const qdq_optimize_options *options)
{
	struct optimize o = {.m = m, .options = {.version = QDQ_OPTIMIZE_OPTIONS_VERSION}};

	if (options != NULL && options->version == 1) /* shorter: what came later stays as by default */
		memcpy(&o.options, options, offsetof(qdq_optimize_options, precisions));
	else if (options != NULL && options->version == QDQ_OPTIMIZE_OPTIONS_VERSION)
		o.options = *options;
	else if (options != NULL) /* it may be shorter: nothing behind the version is looked at */
		o.options.version = options->version;
	return qdq_change(m, optimize, &o);
}

const char *qdq_pass_name(size_t index, const char **title)
{
	const qdq_pass *pass = index < qdq_n_passes ? qdq_passes[index] : NULL;

	if (title != NULL)
		*title = pass == NULL ? NULL : pass->title;
	return pass == NULL ? NULL : pass->name;
}

qdq_status qdq_rule_at(qdq_rule_text *out, size_t index)
{
	if (out == NULL)
		return QDQ_EUSAGE;
	*out = (qdq_rule_text){0};
	for (size_t i = 0; i < qdq_n_passes; i++) {
		const qdq_pass *pass = qdq_passes[i];
		const qdq_rule *rule = index < pass->n_rules ? &pass->rules[index] : NULL;

		if (rule != NULL) {
			*out = (qdq_rule_text){pass->name, rule->name,	qdq_exactness_names[rule->exactness],
					       rule->text, rule->match, rule->build};
			return QDQ_OK;
		}
		index -= pass->n_rules;
	}
	return QDQ_EUSAGE;
}

/* ---- a pass of the caller's ---- */

struct own_pass {
	qdq_model *m;
	const char *name;
	qdq_status (*pass)(void *user, qdq_model *m);
	void *user;
};

static void reorder(void *arg)
{
	qdq_reorder_and_infer(arg);
}

static void run_own(void *arg)
{
	struct own_pass *o = arg;
	qdq_model *m = o->m;
	struct qdq_baseline *baseline;
	qdq_status status;

	if (o->pass == NULL)
		qdq_misuse(m, "the pass '%s' is NULL", o->name != NULL ? o->name : "");
	qdq_settle(m);
	baseline = m->baseline;
	status = o->pass(o->user, m);
	if (status == QDQ_OK && m->poisoned)
		status = QDQ_ENOMEM;
	if (status == QDQ_OK)
		status = qdq_guard(m->ctx, reorder, m);
	m->baseline = baseline; /* whatever became of the pass */
	if (status != QDQ_OK)
		qdq_throw(m->ctx, status);
}

qdq_status qdq_run_own_pass(qdq_model *m, const char *name, qdq_status (*pass)(void *user, qdq_model *m), void *user)
{
	struct own_pass o = {m, name, pass, user};

	return qdq_change(m, run_own, &o);
}

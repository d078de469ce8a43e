/* SPDX-License-Identifier: Apache-2.0
 *
 * load.c -- from bytes to a model: scan, skeleton, messages, and what stands at a model's top
 *
 * The skeleton (wire.h) is unpacked into the model's arena, where its messages stay as the `foreign` part of what is
 * made of them. protobuf-c then recurses no deeper than the scan allowed.
 */
#include "load.h"

#include <inttypes.h>

/* ---- errors ---- */

void qdq_load_fail(qdq_load *l, const char *operand, const char *format, ...)
{
	qdq_where where = {.file = l->path, .operand = operand};
	const char *message;
	va_list args;

	va_start(args, format);
	message = qdq_vformat(&l->scratch, format, args);
	va_end(args);
	if (l->frame != NULL && l->frame->proto != NULL) {
		const Onnx__NodeProto *proto = l->frame->proto;

		where.op = proto->op_type;
		where.node = proto->name != NULL && *proto->name != '\0'
				 ? proto->name
				 : qdq_format(&l->scratch, "#%" PRIu32, l->frame->index);
	}
	qdq_fail(l->ctx, QDQ_EMODEL, &where, "%s", message);
}

/* ---- names ---- */

qdq_name qdq_load_name(qdq_load *l, const char *name)
{
	return qdq_intern(&l->m->names, name);
}

qdq_name qdq_load_domain(qdq_load *l, const char *domain)
{
	return qdq_intern(&l->m->names, domain != NULL && strcmp(domain, "ai.onnx") == 0 ? "" : domain);
}

qdq_value *qdq_load_lookup(qdq_load *l, const char *name)
{
	qdq_name interned;

	return *qdq_intern_word(&l->m->names, name, &interned);
}

static void bind_word(qdq_load *l, void **word, qdq_name name, qdq_value *v)
{
	*word = v;
	*qdq_push(&l->scratch, &l->bound) = name;
}

void qdq_load_bind(qdq_load *l, qdq_value *v)
{
	qdq_name name;
	void **word = qdq_intern_word(&l->m->names, v->name, &name);

	if (*word != NULL)
		qdq_load_fail(l, name, "'%s' is defined twice", name);
	bind_word(l, word, name, v);
}

qdq_value *qdq_load_define(qdq_load *l, qdq_graph *g, const char *name)
{
	qdq_name interned;
	void **word = qdq_intern_word(&l->m->names, name, &interned);

	if (*word != NULL)
		qdq_load_fail(l, interned, "'%s' is defined twice", interned);
	bind_word(l, word, interned, qdq_value_create(g, interned));
	return *word;
}

void qdq_load_unbind(qdq_load *l, size_t mark)
{
	qdq_name name;

	while (l->bound.count > mark)
		*qdq_intern_word(&l->m->names, l->bound.items[--l->bound.count], &name) = NULL;
}

/* ---- functions ---- */

static qdq_name function_key(qdq_load *l, const char *domain, const char *name, const char *overload)
{
	return qdq_intern(&l->keys, qdq_format(&l->scratch, "%s\n%s\n%s", domain, name, overload));
}

qdq_callee *qdq_load_callee(qdq_load *l, const char *domain, const char *name, const char *overload)
{
	return l->callees.count == 0 ? NULL : qdq_map_get(&l->functions, function_key(l, domain, name, overload));
}

qdq_opset *qdq_load_opsets(qdq_load *l, size_t count, Onnx__OperatorSetIdProto *const *protos)
{
	qdq_opset *opsets = qdq_array(&l->m->arena, qdq_opset, count);

	for (size_t i = 0; i < count; i++) {
		opsets[i] = (qdq_opset){qdq_load_domain(l, protos[i]->domain), protos[i]->version};
		if (opsets[i].version < 1)
			qdq_load_fail(l, NULL, "opset version %" PRId64 " of domain '%s' is less than 1",
				      opsets[i].version, *opsets[i].domain == '\0' ? "ai.onnx" : opsets[i].domain);
	}
	return opsets;
}

static void declare_functions(qdq_load *l, const Onnx__ModelProto *proto)
{
	qdq_model *m = l->m;

	for (size_t i = 0; i < proto->n_functions; i++) {
		const Onnx__FunctionProto *p = proto->functions[i];
		qdq_function *f = qdq_new(&m->arena, qdq_function);
		qdq_callee *callee = qdq_new(&l->scratch, qdq_callee);
		qdq_name key;

		f->domain = qdq_load_domain(l, p->domain);
		f->name = qdq_load_name(l, p->name);
		f->overload = qdq_load_name(l, p->overload);
		f->body = qdq_graph_create(m, NULL, f->name);
		f->body->function = f;
		f->foreign = p;
		if (*f->name == '\0')
			qdq_load_fail(l, NULL, "a function has no name");
		key = function_key(l, f->domain, f->name, f->overload);
		if (qdq_map_get(&l->functions, key) != NULL)
			qdq_load_fail(l, f->name, "function '%s' of domain '%s' is defined twice", f->name, f->domain);
		callee->function = f;
		callee->proto = p;
		qdq_map_set(&l->functions, key, callee);
		*qdq_push(&l->scratch, &l->callees) = callee;
		*qdq_push(&m->arena, &m->functions) = f;
	}
}

/* Functions must not call each other in a circle: take away what nobody calls until nothing is left. */
static void check_recursion(qdq_load *l)
{
	QDQ_VEC(qdq_callee *) ready = {0};
	size_t taken = 0;

	for (size_t i = 0; i < l->callees.count; i++)
		if (l->callees.items[i]->callers == 0)
			*qdq_push(&l->scratch, &ready) = l->callees.items[i];
	for (; taken < ready.count; taken++)
		for (qdq_call *c = ready.items[taken]->calls; c != NULL; c = c->next)
			if (--c->callee->callers == 0)
				*qdq_push(&l->scratch, &ready) = c->callee;
	for (size_t i = 0; i < l->callees.count && taken < l->callees.count; i++)
		if (l->callees.items[i]->callers != 0)
			qdq_load_fail(l, l->callees.items[i]->function->name,
				      "function '%s' calls itself, or is called in a circle of functions",
				      l->callees.items[i]->function->name);
}

/* ---- the model ---- */

static void check_versions(qdq_load *l, const Onnx__ModelProto *proto)
{
	qdq_model *m = l->m;
	const qdq_where where = {.file = l->path};

	m->ir_version = proto->ir_version;
	if (proto->ir_version < 3 || proto->ir_version > 14)
		qdq_diag(l->ctx, QDQ_WARNING, &where,
			 "IR version %" PRId64 " is not one of 3 to 14: read as if it were", proto->ir_version);
	m->opsets.items = qdq_load_opsets(l, proto->n_opset_import, proto->opset_import);
	m->opsets.count = m->opsets.capacity = proto->n_opset_import;
	for (size_t i = 0; i < m->opsets.count; i++) {
		const qdq_opset *o = &m->opsets.items[i];

		if (*o->domain != '\0')
			continue;
		if (m->opset != 0 && m->opset != o->version)
			qdq_load_fail(l, NULL, "two versions of opset ai.onnx are imported");
		if (o->version > INT32_MAX)
			qdq_load_fail(l, NULL, "opset version %" PRId64 " is out of range", o->version);
		m->opset = (int)o->version;
	}
	if (m->opset == 0 && proto->ir_version < 3)
		m->opset = 1;
	if (m->opset != 0 && (m->opset < 7 || m->opset > 25))
		qdq_diag(l->ctx, QDQ_WARNING, &where, "opset %d is not one of 7 to 25: read as if it were", m->opset);
}

static void convert(qdq_load *l, const Onnx__ModelProto *proto)
{
	qdq_model *m = l->m;

	if (proto->graph == NULL)
		qdq_load_fail(l, NULL, "the model has no graph (not an ONNX file?)");
	check_versions(l, proto);
	qdq_load_about(l, proto);
	declare_functions(l, proto);
	qdq_load_graph(l, m->graph, proto->graph);
	qdq_forget_words(&m->names); /* functions see nothing of it */
	l->bound.count = 0;
	for (size_t i = 0; i < l->callees.count; i++) {
		l->caller = l->callees.items[i];
		qdq_load_function(l, l->caller->function, l->caller->proto);
	}
	m->origins.count = l->next_origin;
	check_recursion(l);
}

/* ---- bytes ---- */

static void *arena_alloc(void *arena, size_t size)
{
	return qdq_alloc(arena, size);
}

static void arena_release(void *arena, void *p)
{
	(void)arena, (void)p;
}

static void append(void *user, const void *data, size_t size, const qdq_source *source)
{
	char **end = user;

	(void)source;
	memcpy(*end, data, size);
	*end += size;
}

ProtobufCMessage *qdq_load_unpack(qdq_load *l, const qdq_wire *w, qdq_arena *scratch, qdq_arena *out)
{
	ProtobufCAllocator allocator = {arena_alloc, arena_release, out};
	const char *data = w->data;
	ProtobufCMessage *message;

	if (w->patches.count != 0) {
		char *skeleton = qdq_alloc(scratch, (size_t)w->total);
		char *end = skeleton;

		qdq_wire_emit(w, append, &end);
		data = skeleton;
	}
	message = protobuf_c_message_unpack(w->message, &allocator, (size_t)w->total, (const uint8_t *)data);
	if (message == NULL)
		qdq_load_fail(l, NULL, "not a valid ONNX file: protobuf-c cannot read a %s", w->message->short_name);
	return message;
}

/* Checks all of the file and makes room for what will come; then unpacks it without nodes and payloads. */
static const Onnx__ModelProto *unpack(qdq_load *l, const char *data, size_t size)
{
	qdq_model *m = l->m;
	qdq_wire w = {.ctx = l->ctx,
		      .path = l->path,
		      .message = &onnx__model_proto__descriptor,
		      .data = data,
		      .size = size,
		      .source = l->source,
		      .scratch = &l->scratch,
		      .keep = &m->arena};
	const Onnx__ModelProto *proto;

	qdq_wire_scan(&w);
	if (w.nodes > l->ctx->options.max_nodes)
		qdq_load_fail(l, NULL, "%" PRIu64 " nodes are more than the limit of %" PRIu32, w.nodes,
			      l->ctx->options.max_nodes);
	l->external = w.external;
	l->rich = w.rich;
	l->n_names = (size_t)w.names;
	m->origins.items = qdq_array(&m->arena, const qdq_origin *, (size_t)w.nodes);
	m->origins.capacity = (size_t)w.nodes;
	qdq_names_reserve(&m->names, l->n_names);
	w.mode = QDQ_WIRE_STRIP;
	qdq_wire_scan(&w);
	proto = (const Onnx__ModelProto *)qdq_load_unpack(l, &w, &l->scratch, &m->arena);
	qdq_arena_reset(&l->scratch);
	return proto;
}

typedef struct job {
	qdq_load l;
	const char *path, *data;
	size_t size;
	bool in_memory;
} job;

static void run(void *arg)
{
	job *j = arg;
	qdq_load *l = &j->l;
	qdq_model *m = l->m;
	const Onnx__ModelProto *proto;

	l->record = qdq_new(&m->arena, qdq_onnx_model);
	m->foreign = l->record;
	l->path = m->path;
	if (!j->in_memory) {
		l->source = qdq_source_open(&m->arena, j->path, &(qdq_where){.file = j->path});
		l->record->sources = l->source;
		j->data = l->source->data;
		j->size = l->source->size;
	}
	if (j->size == 0)
		qdq_load_fail(l, NULL, "the file is empty");
	proto = unpack(l, j->data, j->size);
	l->record->proto = proto;
	qdq_map_init(&l->functions, &l->scratch);
	qdq_map_init(&l->externals, &l->scratch);
	qdq_names_init(&l->keys, &l->scratch);
	(void)qdq_push(&l->scratch, &l->values); /* so that it is never NULL */
	convert(l, proto);
	if (l->external != 0)
		qdq_diag(l->ctx, QDQ_WARNING, &(qdq_where){.file = l->path},
			 "%" PRIu64
			 " tensors of sparse initializers, attributes or training information have external data, "
			 "which stays where it is",
			 l->external);
}

static qdq_model *load(qdq_ctx *ctx, job *j)
{
	qdq_status status;

	j->l.ctx = ctx;
	j->l.m = qdq_model_create(ctx, j->path);
	qdq_arena_init(&j->l.scratch, ctx);
	qdq_arena_init(&j->l.node_scratch, ctx);
	status = qdq_guard(ctx, run, j);
	qdq_arena_free(&j->l.scratch);
	qdq_arena_free(&j->l.node_scratch);
	if (status != QDQ_OK) {
		qdq_model_destroy(j->l.m);
		qdq_throw(ctx, status);
	}
	return j->l.m;
}

qdq_model *qdq_onnx_load_file(qdq_ctx *ctx, const char *path)
{
	job j = {.path = path};

	return load(ctx, &j);
}

qdq_model *qdq_onnx_load_memory(qdq_ctx *ctx, const void *data, size_t size, const char *path)
{
	job j = {.path = path, .data = data, .size = size, .in_memory = true};

	return load(ctx, &j);
}

/* SPDX-License-Identifier: Apache-2.0
 *
 * text_model.c -- models in the textual syntax: <ir_version: 8, opset_import: ["" : 17]> graph function*
 */
#include <inttypes.h>

#include "text.h"

/* ---- what stands in <…> before graphs and functions ---- */

static int64_t read_int(qdq_text_reader *r)
{
	qdq_text_literal l;

	qdq_text_number(r, &l);
	return qdq_text_int(r, &l);
}

static void read_opset(qdq_text_reader *r, qdq_opset *out)
{
	const char *domain = qdq_text_proper_string(r), *at;

	qdq_text_expect(r, ':');
	(void)qdq_text_peek(r);
	at = r->at;
	*out = (qdq_opset){qdq_intern(&r->m->names, strcmp(domain, "ai.onnx") == 0 ? "" : domain), read_int(r)};
	if (out->version < 1 || out->version > INT32_MAX)
		qdq_text_fail(r, at, "opset version %" PRId64 " is out of range", out->version);
}

#define READ_OPSETS(r, list)                                           \
	do {                                                           \
		qdq_text_expect(r, '[');                               \
		if (qdq_text_match(r, ']'))                            \
			break;                                         \
		do                                                     \
			read_opset(r, qdq_push(&(r)->m->arena, list)); \
		while (qdq_text_match(r, ','));                        \
		qdq_text_expect(r, ']');                               \
	} while (0)

static void read_metadata(qdq_text_reader *r, qdq_about *about)
{
	typedef const char *pair[2];
	QDQ_VEC(pair) pairs = {0};

	qdq_text_expect(r, '[');
	if (qdq_text_match(r, ']'))
		return;
	do {
		pair *p = qdq_push(&r->m->arena, &pairs);

		(*p)[0] = qdq_text_proper_string(r);
		qdq_text_expect(r, ':');
		(*p)[1] = qdq_text_proper_string(r);
	} while (qdq_text_match(r, ','));
	qdq_text_expect(r, ']');
	about->metadata = pairs.items;
	about->n_metadata = pairs.count;
}

static bool is(qdq_bytes word, const char *s)
{
	return word.size == strlen(s) && memcmp(word.data, s, word.size) == 0;
}

static qdq_bytes read_key(qdq_text_reader *r, const char **at)
{
	qdq_bytes key;

	(void)qdq_text_peek(r);
	*at = r->at;
	if (!qdq_text_word(r, &key))
		qdq_text_fail_expected(r, "a key, such as ir_version");
	qdq_text_expect(r, ':');
	return key;
}

static void read_model_entry(qdq_text_reader *r, qdq_about *about)
{
	const char *at;
	qdq_bytes key = read_key(r, &at);

	if (is(key, "ir_version")) {
		r->m->ir_version = read_int(r);
	} else if (is(key, "opset_import")) {
		READ_OPSETS(r, &r->m->opsets);
	} else if (is(key, "producer_name")) {
		about->producer_name = qdq_text_proper_string(r);
	} else if (is(key, "producer_version")) {
		about->producer_version = qdq_text_proper_string(r);
	} else if (is(key, "domain")) {
		about->domain = qdq_text_proper_string(r);
	} else if (is(key, "model_version")) {
		int64_t *version = qdq_new(&r->m->arena, int64_t);

		*version = read_int(r);
		about->model_version = version;
	} else if (is(key, "doc_string")) {
		about->doc_string = qdq_text_proper_string(r);
	} else if (is(key, "metadata_props")) {
		read_metadata(r, about);
	} else {
		qdq_text_fail(r, at, "a model has no '%.*s'", (int)qdq_min_size(key.size, 40), key.data);
	}
}

static void check_versions(qdq_text_reader *r, const char *at)
{
	qdq_model *m = r->m;
	const qdq_where where = {.file = m->path};

	if (m->ir_version < 3 || m->ir_version > 14)
		qdq_diag(r->ctx, QDQ_WARNING, &where,
			 "IR version %" PRId64 " is not one of 3 to 14: read as if it were", m->ir_version);
	for (size_t i = 0; i < m->opsets.count; i++) {
		const qdq_opset *o = &m->opsets.items[i];

		if (*o->domain != '\0')
			continue;
		if (m->opset != 0 && m->opset != o->version)
			qdq_text_fail(r, at, "two versions of opset ai.onnx are imported");
		m->opset = (int)o->version;
	}
	if (m->opset == 0 && m->ir_version < 3)
		m->opset = 1;
	if (m->opset != 0 && (m->opset < 7 || m->opset > 25))
		qdq_diag(r->ctx, QDQ_WARNING, &where, "opset %d is not one of 7 to 25: read as if it were", m->opset);
}

static void read_header(qdq_text_reader *r)
{
	qdq_about about = {0};
	static const qdq_about nothing;
	const char *at = r->at;

	if (qdq_text_match(r, '<')) {
		do
			read_model_entry(r, &about);
		while (qdq_text_match(r, ','));
		qdq_text_expect(r, '>');
	}
	check_versions(r, at);
	if (memcmp(&about, &nothing, sizeof about) != 0) {
		qdq_about *kept = qdq_new(&r->m->arena, qdq_about);

		*kept = about;
		r->m->about = kept;
	}
}

/* ---- functions ---- */

static void read_function_entry(qdq_text_reader *r, qdq_function *f)
{
	const char *at;
	qdq_bytes key = read_key(r, &at);

	if (is(key, "opset_import")) {
		READ_OPSETS(r, &f->opsets);
	} else if (is(key, "doc_string")) {
		f->doc_string = qdq_text_proper_string(r);
	} else if (is(key, "domain")) {
		const char *domain = qdq_text_proper_string(r);

		f->domain = qdq_intern(&r->m->names, strcmp(domain, "ai.onnx") == 0 ? "" : domain);
	} else if (is(key, "overload")) {
		f->overload = qdq_intern(&r->m->names, qdq_text_proper_string(r));
	} else {
		qdq_text_fail(r, at, "a function has no '%.*s'", (int)qdq_min_size(key.size, 40), key.data);
	}
}

/* <a, b: float = 1.0> */
static void read_parameters(qdq_text_reader *r, qdq_function *f)
{
	size_t mark = r->attrs.count;
	uint32_t count;

	if (!qdq_text_match(r, '<'))
		return;
	do {
		qdq_name name = qdq_text_name(r, "the name of an attribute");
		int next = qdq_text_peek(r);
		const qdq_attr *a;

		if (next != ':' && next != '=') {
			*qdq_push(&r->m->arena, &f->attrs) = name;
			continue;
		}
		qdq_text_read_attr(r, name);
		a = &r->attrs.items[r->attrs.count - 1];
		if (a->type == QDQ_ATTR_GRAPH || a->type == QDQ_ATTR_GRAPHS)
			qdq_text_fail(r, r->at, "the default of a function's attribute cannot be a graph");
	} while (qdq_text_match(r, ','));
	qdq_text_expect(r, '>');
	f->defaults.items = qdq_text_take_attrs(r, mark, &count);
	f->defaults.count = f->defaults.capacity = count;
}

static void read_function_inputs(qdq_text_reader *r, qdq_graph *g)
{
	qdq_text_type type;
	bool typed;

	qdq_text_expect(r, '(');
	if (qdq_text_match(r, ')'))
		return;
	do {
		const char *at;
		qdq_value *v;

		(void)qdq_text_peek(r);
		at = r->at;
		v = qdq_graph_add_input(g, qdq_text_read_info(r, &type, &typed));
		if (typed)
			qdq_text_declare(v, &type);
		qdq_text_bind(r, v, at, 0);
	} while (qdq_text_match(r, ','));
	qdq_text_expect(r, ')');
}

static void read_function_outputs(qdq_text_reader *r, qdq_graph *g)
{
	bool typed;

	qdq_text_expect_arrow(r);
	qdq_text_expect(r, '(');
	if (qdq_text_match(r, ')'))
		return;
	do {
		qdq_text_output o;

		(void)qdq_text_peek(r);
		o.at = r->at;
		o.name = qdq_text_read_info(r, &o.type, &typed);
		if (typed)
			qdq_text_declare_name(r, g, o.name, &o.type);
		*qdq_push(&r->scratch, &r->outputs) = o;
	} while (qdq_text_match(r, ','));
	qdq_text_expect(r, ')');
}

static void read_function_types(qdq_text_reader *r, qdq_graph *g)
{
	qdq_text_type type;
	bool typed;

	if (!qdq_text_match(r, '<') || qdq_text_match(r, '>'))
		return;
	do {
		qdq_name name = qdq_text_read_info(r, &type, &typed);

		if (typed)
			qdq_text_declare_name(r, g, name, &type);
	} while (qdq_text_match(r, ','));
	qdq_text_expect(r, '>');
}

static void read_function(qdq_text_reader *r)
{
	qdq_function *f = qdq_new(&r->m->arena, qdq_function);
	size_t mark = r->outputs.count;
	qdq_text_scope scope;

	f->domain = f->overload = qdq_intern(&r->m->names, "");
	if (qdq_text_match(r, '<')) {
		do
			read_function_entry(r, f);
		while (qdq_text_match(r, ','));
		qdq_text_expect(r, '>');
	}
	(void)qdq_text_peek(r);
	*qdq_push(&r->scratch, &r->function_names) = r->at;
	f->name = qdq_text_name(r, "the name of a function");
	if (*f->name == '\0')
		qdq_text_fail(r, r->at, "a function has no name");
	f->body = qdq_graph_create(r->m, NULL, f->name);
	f->body->function = f;
	read_parameters(r, f);
	scope = qdq_text_open(r);
	read_function_inputs(r, f->body);
	read_function_outputs(r, f->body);
	read_function_types(r, f->body);
	qdq_text_read_nodes(r, f->body);
	qdq_text_resolve_outputs(r, f->body, mark);
	for (size_t i = 0; i < f->body->outputs.count; i++) /* what has no type here is typed by each call */
		f->body->outputs.items[i]->declared = f->body->outputs.items[i]->said_type != QDQ_TYPE_NONE;
	qdq_text_close(r, &scope, true);
	*qdq_push(&r->m->arena, &r->m->functions) = f;
}

/* ---- models ---- */

static void read_model(qdq_text_reader *r)
{
	if (r->end - r->at >= 3 && memcmp(r->at, "\xef\xbb\xbf", 3) == 0)
		r->at += 3; /* what some editors put before UTF-8 */
	if (qdq_text_peek(r) < 0)
		qdq_text_fail(r, r->at, "the text is empty");
	read_header(r);
	qdq_text_read_graph(r, r->m->graph, false);
	qdq_forget_words(&r->m->names); /* functions see nothing of it */
	r->bound.count = 0;
	r->in_function = true;
	while (qdq_text_peek(r) >= 0)
		read_function(r);
	qdq_text_link(r);
}

static void run(void *arg)
{
	qdq_text_reader *r = arg;

	r->token_room = 256;
	r->token = qdq_alloc(&r->scratch, r->token_room);
	qdq_map_init(&r->infos, &r->scratch);
	(void)qdq_push(&r->scratch, &r->values); /* so that none of these is ever NULL */
	(void)qdq_push(&r->scratch, &r->items);
	(void)qdq_push(&r->scratch, &r->attrs);
	r->values.count = r->items.count = r->attrs.count = 0;
	read_model(r);
}

qdq_model *qdq_text_parse_with(qdq_ctx *ctx, const char *source, size_t size, const char *path,
			       void (*fetch)(void *user, qdq_model *m, qdq_tensor *t, const qdq_text_external *e),
			       void *user)
{
	qdq_text_reader reader = {.ctx = ctx, .fetch = fetch, .fetch_user = user};
	qdq_text_reader *r = &reader;
	qdq_status status;

	if (size == 0)
		source = "";
	r->begin = r->at = source;
	r->end = source + size;
	r->m = qdq_model_create(ctx, path);
	qdq_arena_init(&r->scratch, ctx);
	status = qdq_guard(ctx, run, r);
	qdq_arena_free(&r->scratch);
	if (status != QDQ_OK) {
		qdq_model_destroy(r->m);
		qdq_throw(ctx, status);
	}
	return r->m;
}

qdq_model *qdq_text_parse(qdq_ctx *ctx, const char *source, size_t size, const char *path)
{
	return qdq_text_parse_with(ctx, source, size, path, NULL, NULL);
}

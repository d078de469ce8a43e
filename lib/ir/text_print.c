/* SPDX-License-Identifier: Apache-2.0
 *
 * text_print.c -- models as text: header, graphs, nodes, functions
 *
 * One node a line; lists of inputs and outputs, and of initializers and types, on one line if they fit. What the syntax
 * cannot say is left out, and noted for the warning at the end.
 */
#include <stdio.h>

#include "text.h"

/* ---- nodes ---- */

/* a.b.Operator where both are made of identifiers; else with what is not in quotes. */
static void put_operator(qdq_text_writer *w, const qdq_node *n)
{
	const char *p = n->domain;
	bool plain = true;

	while (plain && *p != '\0') {
		size_t size = strcspn(p, ".");

		plain = qdq_text_is_identifier(p, size) && strcmp(p + size, ".") != 0;
		p += size + (p[size] == '.');
	}
	if (plain)
		qdq_text_puts(w, n->domain);
	else
		qdq_text_put_quoted(w, n->domain, strlen(n->domain));
	if (*n->domain != '\0')
		qdq_text_put(w, ".", 1);
	qdq_text_put_name(w, n->op_type);
	if (*n->overload != '\0') {
		qdq_text_put(w, ":", 1);
		qdq_text_put_name(w, n->overload);
	}
}

static void put_attrs(qdq_text_writer *w, const qdq_node *n)
{
	const char *before = " <";

	for (uint32_t i = 0; i < n->n_attrs; i++) {
		if (!qdq_text_can_put_attr(w, &n->attrs[i]))
			continue;
		qdq_text_puts(w, before);
		before = ", ";
		qdq_text_put_attr(w, &n->attrs[i]);
	}
	if (n->region != NULL &&
	    n->function == NULL) { /* a fused operator that has not become a function: for developers' eyes */
		const qdq_attr body = {.name = "body", .type = QDQ_ATTR_GRAPH, .ref = "", .u.g = n->region->body};

		qdq_text_puts(w, before);
		before = ", ";
		qdq_text_put_attr(w, &body);
	}
	if (*before == ',')
		qdq_text_put(w, "> ", 2);
}

static void put_inputs(qdq_text_writer *w, const qdq_node *n)
{
	qdq_text_put(w, "(", 1);
	for (uint32_t i = 0; i < n->n_inputs; i++) {
		const qdq_value *v = n->inputs[i].value;

		if (i != 0)
			qdq_text_put(w, ", ", 2);
		qdq_text_put_name(w, v == NULL ? "" : v->name);
		if (v != NULL && v->def == NULL && !v->is_input && v->tensor == NULL)
			w->left_out |= QDQ_TEXT_SPARSE_VALUE;
	}
	qdq_text_put(w, ")", 1);
}

static void put_node(qdq_text_writer *w, const qdq_node *n)
{
	qdq_text_put_line(w);
	if (*n->name != '\0') {
		qdq_text_put(w, "[", 1);
		qdq_text_put_name(w, n->name);
		qdq_text_put(w, "] ", 2);
	}
	for (uint32_t i = 0; i < n->n_outputs; i++) {
		if (i != 0)
			qdq_text_put(w, ", ", 2);
		qdq_text_put_name(w, n->outputs[i] == NULL ? "" : n->outputs[i]->name);
	}
	qdq_text_puts(w, n->n_outputs == 0 ? "= " : " = ");
	put_operator(w, n);
	put_attrs(w, n);
	put_inputs(w, n);
}

/* A function has no initializers. */
static void put_constant(qdq_text_writer *w, const qdq_value *v)
{
	const qdq_attr value = {.name = "value", .type = QDQ_ATTR_TENSOR, .ref = "", .u.t = v->tensor};

	qdq_text_put_line(w);
	qdq_text_put_name(w, v->name);
	qdq_text_puts(w, " = Constant <");
	qdq_text_put_attr(w, &value);
	qdq_text_puts(w, "> ()");
}

static void put_nodes(qdq_text_writer *w, const qdq_graph *g, bool is_function)
{
	qdq_text_put(w, "{", 1);
	w->indent++;
	for (size_t i = 0; is_function && i < g->constants.count; i++)
		put_constant(w, g->constants.items[i]);
	for (const qdq_node *n = g->first; n != NULL && w->status == QDQ_OK; n = qdq_after(n))
		put_node(w, n);
	w->indent--;
	qdq_text_put_line(w);
	qdq_text_put(w, "}", 1);
}

/* ---- lists ---- */

/* Items of a list, one after the other on a line, or each on one of its own. */
typedef struct list {
	qdq_text_writer *w;
	const char *open, *close;
	bool wide;
	size_t count;
} list;

static void begin_item(list *l)
{
	if (l->count++ == 0)
		qdq_text_puts(l->w, l->open);
	else
		qdq_text_put(l->w, ",", 1);
	if (l->wide) {
		l->w->indent += l->count == 1;
		qdq_text_put_line(l->w);
	} else if (l->count > 1) {
		qdq_text_put(l->w, " ", 1);
	}
}

static void end_list(list *l)
{
	if (l->wide && l->count != 0) {
		l->w->indent--;
		qdq_text_put_line(l->w);
	}
	if (l->count != 0)
		qdq_text_puts(l->w, l->close);
}

/* ---- graphs ---- */

/* May v's data stand beside its type among the inputs? Else it comes later, as an initializer of that name. */
static bool same_type(const qdq_value *v)
{
	const qdq_tensor *t = v->tensor;

	if (v->not_tensor || v->type != t->type || v->shape == NULL || v->shape->rank != t->rank)
		return false;
	for (int32_t i = 0; i < t->rank; i++)
		if (v->shape->dim[i] != t->dims[i])
			return false;
	return true;
}

static void put_initializer(qdq_text_writer *w, const qdq_value *v)
{
	qdq_text_put_tensor_type(w, v->tensor);
	qdq_text_put(w, " ", 1);
	qdq_text_put_name(w, v->name);
	qdq_text_puts(w, " = ");
	qdq_text_put_tensor_data(w, v->tensor);
}

static void put_inputs_and_outputs(qdq_text_writer *w, const qdq_graph *g, bool wide)
{
	list inputs = {w, "", "", wide, 0}, outputs = {w, "", "", wide, 0};

	qdq_text_put(w, "(", 1);
	for (size_t i = 0; i < g->inputs.count && !w->overflow; i++) {
		const qdq_value *v = g->inputs.items[i];

		begin_item(&inputs);
		if (v->tensor != NULL && same_type(v))
			put_initializer(w, v);
		else
			qdq_text_put_value(w, v);
	}
	/* Up to IR version 3 initializers are inputs too. */
	for (size_t i = 0; w->m->ir_version <= 3 && i < g->constants.count && !w->overflow; i++) {
		begin_item(&inputs);
		put_initializer(w, g->constants.items[i]);
	}
	end_list(&inputs);
	qdq_text_puts(w, ") => (");
	for (size_t i = 0; i < g->outputs.count && !w->overflow; i++) {
		begin_item(&outputs);
		qdq_text_put_value(w, g->outputs.items[i]);
	}
	end_list(&outputs);
	qdq_text_put(w, ")", 1);
}

static void put_types(qdq_text_writer *w, const qdq_graph *g, list *l)
{
	for (const qdq_node *n = g->first; n != NULL; n = qdq_after(n)) {
		for (uint32_t i = 0; i < n->n_outputs && !w->overflow; i++) {
			const qdq_value *v = n->outputs[i];

			if (v == NULL || v->n_outputs != 0 || !(v->declared || v->not_tensor) || !qdq_text_typed(v))
				continue;
			begin_item(l);
			qdq_text_put_value(w, v);
		}
		if (w->overflow)
			break;
	}
}

static void put_list(qdq_text_writer *w, const qdq_graph *g, bool wide, list *l)
{
	*l = (list){w, "<", ">", wide, 0};
	for (size_t i = 0; i < g->inputs.count && !w->overflow; i++) {
		const qdq_value *v = g->inputs.items[i];

		if (v->tensor == NULL || same_type(v))
			continue;
		begin_item(l);
		put_initializer(w, v);
	}
	for (size_t i = 0; w->m->ir_version > 3 && i < g->constants.count && !w->overflow; i++) {
		begin_item(l);
		put_initializer(w, g->constants.items[i]);
	}
	put_types(w, g, l);
	end_list(l);
}

/* A nested graph's name must be an identifier that onnx takes for no type and no number. */
static void put_nested_name(qdq_text_writer *w, const char *name)
{
	size_t size = strlen(name), letters = strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ");
	bool number = qdq_text_is_float_word(name, letters) && letters != 0;
	bool taken = number || qdq_text_is_type_word(name, size) || size == 0 || (*name >= '0' && *name <= '9');

	if (!taken && qdq_text_is_identifier(name, size)) {
		qdq_text_put(w, name, size);
		return;
	}
	if (size != 0)
		w->left_out |= QDQ_TEXT_GRAPH_NAME;
	if (taken)
		qdq_text_put(w, "_", 1);
	for (size_t i = 0; i < size; i++) {
		bool fits = qdq_text_is_identifier(name + i, 1) || (name[i] >= '0' && name[i] <= '9');

		qdq_text_put(w, fits ? name + i : "_", 1);
	}
}

void qdq_text_put_graph(qdq_text_writer *w, const qdq_graph *g)
{
	size_t mark, column;
	list l;

	if (g->parent != NULL)
		put_nested_name(w, g->name);
	else
		qdq_text_put_name(w, g->name);
	qdq_text_put(w, " ", 1);
	qdq_text_try_begin(w, &mark, &column);
	put_inputs_and_outputs(w, g, false);
	if (!qdq_text_try_end(w, mark, column))
		put_inputs_and_outputs(w, g, true);
	if (g->parent != NULL)
		w->indent++;
	/* The list on a line of its own, if there is any. */
	qdq_text_try_begin(w, &mark, &column);
	qdq_text_put_line(w);
	put_list(w, g, false, &l);
	if (!qdq_text_try_end(w, mark, column)) {
		qdq_text_put_line(w);
		put_list(w, g, true, &l);
	} else if (l.count == 0) {
		w->used = mark;
		w->column = column;
	}
	if (g->parent != NULL)
		w->indent--;
	if (l.count == 0 && g->parent != NULL)
		qdq_text_put(w, " ", 1);
	else
		qdq_text_put_line(w);
	put_nodes(w, g, false);
}

/* ---- functions ---- */

static void put_opsets(qdq_text_writer *w, const qdq_opset *opsets, size_t count)
{
	qdq_text_puts(w, "opset_import: [");
	for (size_t i = 0; i < count; i++) {
		if (i != 0)
			qdq_text_puts(w, ", ");
		qdq_text_put_quoted(w, opsets[i].domain, strlen(opsets[i].domain));
		qdq_text_puts(w, " : ");
		qdq_text_put_int(w, opsets[i].version);
	}
	qdq_text_put(w, "]", 1);
}

static void put_entry(list *l, const char *key, const char *value)
{
	if (value == NULL)
		return;
	begin_item(l);
	qdq_text_puts(l->w, key);
	qdq_text_puts(l->w, ": ");
	qdq_text_put_quoted(l->w, value, strlen(value));
}

static void put_parameters(qdq_text_writer *w, const qdq_function *f)
{
	list l = {w, "<", "> ", false, 0};

	for (size_t i = 0; i < f->attrs.count; i++) {
		begin_item(&l);
		qdq_text_put_name(w, f->attrs.items[i]);
	}
	for (size_t i = 0; i < f->defaults.count; i++) {
		if (!qdq_text_can_put_attr(w, &f->defaults.items[i]))
			continue;
		begin_item(&l);
		qdq_text_put_attr(w, &f->defaults.items[i]);
	}
	end_list(&l);
}

/* Types of inputs and outputs are optional: only what the file declared. */
static void put_ports(qdq_text_writer *w, qdq_value *const *values, size_t count)
{
	list l = {w, "", "", false, 0};

	qdq_text_put(w, "(", 1);
	for (size_t i = 0; i < count; i++) {
		qdq_value bare = {.name = values[i]->name};

		begin_item(&l);
		qdq_text_put_value(w, values[i]->declared || values[i]->not_tensor ? values[i] : &bare);
	}
	qdq_text_put(w, ")", 1);
}

static void put_function_types(qdq_text_writer *w, const qdq_graph *g)
{
	list l = {w, "<", ">", false, 0};
	size_t mark, column;

	qdq_text_try_begin(w, &mark, &column);
	qdq_text_put_line(w);
	put_types(w, g, &l);
	end_list(&l);
	if (!qdq_text_try_end(w, mark, column)) {
		l = (list){w, "<", ">", true, 0};
		qdq_text_put_line(w);
		put_types(w, g, &l);
		end_list(&l);
	} else if (l.count == 0) {
		w->used = mark;
		w->column = column;
	}
}

static void put_function(qdq_text_writer *w, const qdq_function *f)
{
	const qdq_graph *g = f->body;
	list header = {w, "<", ">", false, 0};

	qdq_text_put_line(w);
	qdq_text_put_line(w);
	put_entry(&header, "domain", f->domain);
	put_entry(&header, "overload", *f->overload == '\0' ? NULL : f->overload);
	begin_item(&header);
	put_opsets(w, f->opsets.items, f->opsets.count);
	put_entry(&header, "doc_string", f->doc_string);
	end_list(&header);
	qdq_text_put_line(w);
	qdq_text_put_name(w, f->name);
	qdq_text_put(w, " ", 1);
	put_parameters(w, f);
	put_ports(w, g->inputs.items, g->inputs.count);
	qdq_text_puts(w, " => ");
	put_ports(w, g->outputs.items, g->outputs.count);
	/* Files have types in functions since IR version 10; what a region became is to be the same in both forms. */
	if (w->m->ir_version >= 10 || strcmp(f->domain, QDQ_REGION_DOMAIN) != 0)
		put_function_types(w, g);
	qdq_text_put_line(w);
	put_nodes(w, g, true);
}

/* ---- models ---- */

static void put_metadata(qdq_text_writer *w, const qdq_about *about)
{
	qdq_text_puts(w, "metadata_props: [");
	for (size_t i = 0; i < about->n_metadata; i++) {
		if (i != 0)
			qdq_text_put(w, ", ", 2);
		for (int j = 0; j < 2; j++) {
			const char *s = about->metadata[i][j] == NULL ? "" : about->metadata[i][j];

			qdq_text_put_quoted(w, s, strlen(s));
			if (j == 0)
				qdq_text_put(w, ": ", 2);
		}
	}
	qdq_text_put(w, "]", 1);
}

static void put_header(qdq_text_writer *w, bool wide)
{
	const qdq_model *m = w->m;
	const qdq_about *about = m->about;
	list l = {w, "<", ">", wide, 0};

	begin_item(&l);
	qdq_text_puts(w, "ir_version: ");
	qdq_text_put_int(w, m->ir_version);
	begin_item(&l);
	put_opsets(w, m->opsets.items, m->opsets.count);
	if (about != NULL) {
		put_entry(&l, "producer_name", about->producer_name);
		put_entry(&l, "producer_version", about->producer_version);
		put_entry(&l, "domain", about->domain);
		if (about->model_version != NULL) {
			begin_item(&l);
			qdq_text_puts(w, "model_version: ");
			qdq_text_put_int(w, *about->model_version);
		}
		put_entry(&l, "doc_string", about->doc_string);
		if (about->n_metadata != 0) {
			begin_item(&l);
			put_metadata(w, about);
		}
	}
	end_list(&l);
}

static void warn(qdq_text_writer *w)
{
	const char *const kinds[] = {"sparse tensors of attributes", "sparse initializers", "attributes without value",
				     "names of nested graphs that are not identifiers", "types that are not complete"};
	const char *beyond = w->m->about == NULL ? NULL : w->m->about->beyond;
	const char *what = beyond == NULL || *beyond == '\0' ? NULL : beyond;

	for (size_t i = 0; i < QDQ_COUNTOF(kinds); i++)
		if (w->left_out & 1u << i)
			what = what == NULL ? kinds[i] : qdq_format(&w->scratch, "%s, %s", what, kinds[i]);
	if (what != NULL)
		qdq_diag(w->m->ctx, QDQ_WARNING, &(qdq_where){.file = w->m->path},
			 "left out of the text, which has no way to say it: %s", what);
}

static void run(void *arg)
{
	qdq_text_writer *w = arg;
	size_t mark, column;

	qdq_text_put(w, "", 0); /* makes the buffer */
	qdq_text_try_begin(w, &mark, &column);
	put_header(w, false);
	if (!qdq_text_try_end(w, mark, column))
		put_header(w, true);
	qdq_text_put_line(w);
	qdq_text_put_graph(w, w->m->graph);
	for (size_t i = 0; i < w->m->functions.count; i++)
		put_function(w, w->m->functions.items[i]);
	qdq_text_put_line(w);
	qdq_text_flush(w);
	if (w->status == QDQ_OK)
		warn(w);
}

qdq_status qdq_text_print(qdq_model *m, qdq_status (*write)(void *user, const void *data, size_t size), void *user)
{
	qdq_text_writer w = {.m = m, .write = write, .user = user};
	qdq_status status;

	qdq_arena_init(&w.scratch, m->ctx);
	status = qdq_guard(m->ctx, run, &w);
	qdq_arena_free(&w.scratch);
	if (status != QDQ_OK)
		qdq_throw(m->ctx, status);
	return w.status;
}

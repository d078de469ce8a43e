/* SPDX-License-Identifier: Apache-2.0
 *
 * plan.c -- buffers, their layouts and their places; the kernels in order
 *
 * Codes between kernels are ROWS; floats, and what the caller gives and gets, are PLAIN. A value lives from the kernel
 * that writes it to the last one that reads it, and memory.c finds its place in the arena.
 */
#include "exec.h"

#include <stdio.h>

#include "memory.h"

#define ALIGNMENT 64u

/* ---- buffers ---- */

static bool is_graph_output(const qdq_value *v)
{
	return v->n_outputs != 0;
}

static void set_shape(qdq_plan *p, qdq_buffer *b, const qdq_value *v)
{
	uint64_t count = 1;

	b->type = v->type;
	b->rank = v->shape->rank;
	for (int32_t i = 0; i < b->rank; i++) {
		b->dims[i] = v->shape->dim[i];
		count *= (uint64_t)b->dims[i];
	}
	if (!qdq_type_size(b->type, count, &b->size))
		qdq_fail(p->m->ctx, QDQ_EMODEL, &(qdq_where){.file = p->m->path, .operand = v->name},
			 "'%s' is too large", v->name);
}

static void set_rows(const qdq_plan *p, qdq_buffer *b, bool last_axis)
{
	int64_t count = 1;

	b->rows = true;
	b->last_axis = last_axis;
	b->channels = qdq_buffer_channels(b, last_axis);
	b->pitch = p->pitch(b->channels);
	b->spatial = 1;
	for (int32_t i = 0; i < b->rank; i++)
		count *= b->dims[i];
	for (int32_t i = 2; !last_axis && i < b->rank; i++)
		b->spatial *= b->dims[i];
	b->pixels = count / b->channels;
	b->size = (uint64_t)(b->pixels * b->pitch);
}

/* A place in the list; what a graph gives and gets is where the caller has it. */
static uint32_t index_in(const qdq_value *v, qdq_value *const *items, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (items[i] == v)
			return (uint32_t)i;
	return UINT32_MAX;
}

static void set_place(qdq_plan *p, qdq_buffer *b, const qdq_value *v)
{
	const qdq_graph *g = p->m->graph;
	const qdq_tensor *t = qdq_value_constant(v);
	uint32_t input = v->is_input ? index_in(v, g->inputs.items, g->inputs.count) : UINT32_MAX;

	if (t != NULL) {
		b->place = QDQ_PLACE_CONSTANT;
		b->data = t->data;
	} else if (input != UINT32_MAX) {
		b->place = QDQ_PLACE_INPUT;
		b->at = input;
	} else if (is_graph_output(v)) {
		b->place = QDQ_PLACE_OUTPUT;
		b->at = index_in(v, g->outputs.items, g->outputs.count);
	}
}

void qdq_plan_grow(qdq_plan *p)
{
	uint32_t *grown;

	if (p->n_buffer_of >= p->m->n_values)
		return;
	grown = qdq_array(p->scratch, uint32_t, 2 * p->m->n_values);
	if (p->n_buffer_of != 0)
		memcpy(grown, p->buffer_of, p->n_buffer_of * sizeof *grown);
	p->buffer_of = grown;
	p->n_buffer_of = 2 * p->m->n_values;
}

/* What has three dimensions is a list of vectors, as products of transformers want it, unless an image operator made it. */
bool qdq_plan_in_rows(const qdq_value *v)
{
	const qdq_node *anchor = v->def != NULL && v->def->region != NULL ? v->def->region->anchor : v->def;
	bool image = anchor != NULL && (qdq_is(anchor, QDQ_OP_Conv) || qdq_is(anchor, QDQ_OP_ConvTranspose) ||
					anchor->op->family == QDQ_FAMILY_POOL);

	return qdq_type_is_int8(v->type) && v->shape->rank >= 2 && (v->shape->rank != 3 || image) &&
	       qdq_value_constant(v) == NULL && !v->is_input && v->n_outputs == 0;
}

uint32_t qdq_plan_buffer(qdq_plan *p, const qdq_value *v)
{
	qdq_buffer b = {.value = v, .first = UINT32_MAX};

	if (p->buffer_of[v->id] != 0)
		return p->buffer_of[v->id] - 1;
	set_shape(p, &b, v);
	set_place(p, &b, v);
	if (qdq_plan_in_rows(v))
		set_rows(p, &b, false);
	*qdq_push(p->scratch, &p->buffers) = b;
	p->buffer_of[v->id] = (uint32_t)p->buffers.count;
	return (uint32_t)p->buffers.count - 1;
}

/* A kernel that copies codes as they are, from PLAIN to ROWS. */
static void add_copy(qdq_plan *p, uint32_t from, uint32_t to, qdq_node *node)
{
	const qdq_buffer *b = &p->buffers.items[to];
	qdq_step *store = qdq_new(p->arena, qdq_step);

	*store = (qdq_step){.kind = QDQ_STEP_STORE, .before = 1, .other = {.buffer = to}};
	*qdq_push(p->scratch, &p->kernels) = (qdq_kernel){.anchor = QDQ_ANCHOR_LOAD,
							  .node = node,
							  .pixels = b->pixels,
							  .channels = b->channels,
							  .spatial = b->spatial,
							  .last_axis = b->last_axis,
							  .in = {{.buffer = from, .ratio = 1}},
							  .steps = store,
							  .n_steps = 1,
							  .n_registers = 1};
}

/* Is a plain buffer as good as ROWS of its last axis? */
static bool is_as_rows(const qdq_plan *p, const qdq_buffer *b)
{
	int64_t channels = b->dims[b->rank - 1];

	return b->place == QDQ_PLACE_ARENA && p->pitch(channels) == channels;
}

uint32_t qdq_plan_rows(qdq_plan *p, const qdq_value *v, bool last_axis)
{
	uint32_t plain = qdq_plan_buffer(p, v), made;
	qdq_buffer b = p->buffers.items[plain];

	if (last_axis ? !b.rows && is_as_rows(p, &b) : b.rows)
		return plain;
	for (made = 0; made < p->buffers.count; made++)
		if (p->buffers.items[made].rows && p->buffers.items[made].value == v &&
		    p->buffers.items[made].last_axis == last_axis)
			return made;
	b.place = QDQ_PLACE_ARENA;
	b.first = UINT32_MAX;
	set_rows(p, &b, last_axis);
	*qdq_push(p->scratch, &p->buffers) = b;
	add_copy(p, plain, made, v->def);
	return made;
}

/* ---- nodes that lib/eval runs ---- */

static bool eval_covers(const qdq_node *n)
{
	if (n->region == NULL)
		return qdq_eval_known(n);
	for (const qdq_node *inner = n->region->body->first; inner != NULL; inner = inner->next)
		if (!qdq_eval_known(inner))
			return false;
	return true;
}

static bool has_shape(const qdq_value *v)
{
	return v == NULL ||
	       (!v->not_tensor && v->type != QDQ_TYPE_NONE && v->type != QDQ_TYPE_STRING && qdq_shape_known(v->shape) &&
		v->shape->rank <= QDQ_EXEC_RANK && qdq_shape_count(v->shape, NULL) > 0);
}

static bool shapes_known(const qdq_node *n)
{
	for (uint32_t i = 0; i < n->n_outputs; i++)
		if (!has_shape(n->outputs[i]))
			return false;
	for (uint32_t i = 0; i < n->n_inputs; i++)
		if (qdq_in(n, i) != NULL && qdq_value_constant(qdq_in(n, i)) == NULL && !has_shape(qdq_in(n, i)))
			return false;
	return true;
}

/* Without OpenBLAS lib/eval does it, which is said once. */
static const qdq_product *product_of(qdq_plan *p, const qdq_node *n)
{
	bool looked = p->blas->looked;
	qdq_product *made, product = {.multiply = NULL};

	if (!qdq_lower_product(p, n, &product))
		return NULL;
	if (!qdq_blas_open(p->blas)) {
		if (!looked)
			qdq_diag(p->m->ctx, QDQ_NOTE,
				 &(qdq_where){.file = p->m->path, .node = n->name, .op = n->op_type},
				 "there is no OpenBLAS (libopenblas.so.0): contractions of floats are slow");
		return NULL;
	}
	made = qdq_new(p->arena, qdq_product);
	*made = product;
	made->multiply = p->blas->multiply;
	return made;
}

static void add_node(qdq_plan *p, qdq_node *n)
{
	for (uint32_t i = 0; i < n->n_inputs; i++)
		if (qdq_in(n, i) != NULL && qdq_value_constant(qdq_in(n, i)) == NULL)
			(void)qdq_plan_buffer(p, qdq_in(n, i));
	for (uint32_t i = 0; i < n->n_outputs; i++)
		if (n->outputs[i] != NULL)
			(void)qdq_plan_buffer(p, n->outputs[i]);
	*qdq_push(p->scratch, &p->kernels) =
	    (qdq_kernel){.anchor = QDQ_ANCHOR_NODE, .node = n, .product = product_of(p, n)};
}

/* ---- all of them ---- */

enum { NAMED = 5 }; /* nodes that a refusal names */

static void refuse(qdq_plan *p, const qdq_node *n, int nth)
{
	qdq_where where = {.file = p->m->path, .node = *n->name != '\0' ? n->name : NULL, .op = n->op_type};

	if (nth < NAMED)
		qdq_diag(p->m->ctx, QDQ_ERROR, &where, "%s",
			 shapes_known(n) ? "there is no kernel for this operator"
					 : "the shape of an operand is not known before it runs");
}

/* Are the shapes inside a region known too, so that its nodes can stand alone? */
static bool can_be_split(const qdq_node *n)
{
	if (n->region == NULL)
		return false;
	for (const qdq_node *inner = n->region->body->first; inner != NULL; inner = inner->next)
		if (inner->n_outputs == 0 || !shapes_known(inner))
			return false;
	return true;
}

static void add_all(qdq_plan *p)
{
	int refused = 0;

	for (qdq_node *n = p->m->graph->first, *next; n != NULL; n = next) {
		size_t kernels = p->kernels.count;

		next = n->next;
		qdq_constants_onto_codes(p, n);
		if (!shapes_known(n) || n->n_outputs == 0)
			refuse(p, n, refused++);
		else if (refused != 0 || qdq_fold_weights(p, n) || qdq_lower(p, n))
			qdq_cut_kernels(p, kernels);
		else if (can_be_split(n))
			next = qdq_split(p, n);
		else if (eval_covers(n))
			add_node(p, n);
		else
			refuse(p, n, refused++);
	}
	/* outputs that no node makes: inputs and constants */
	for (size_t i = 0; refused == 0 && i < p->m->graph->outputs.count; i++)
		if (has_shape(p->m->graph->outputs.items[i]))
			(void)qdq_plan_buffer(p, p->m->graph->outputs.items[i]);
		else
			qdq_fail(p->m->ctx, QDQ_EMODEL,
				 &(qdq_where){.file = p->m->path, .operand = p->m->graph->outputs.items[i]->name},
				 "the shape of output '%s' is not known", p->m->graph->outputs.items[i]->name);
	if (refused != 0)
		qdq_fail(p->m->ctx, QDQ_EMODEL, &(qdq_where){.file = p->m->path}, "%d operators cannot be run",
			 refused);
}

/* ---- copies that need not be ---- */

/* Does k only give the codes of one buffer to another one of the same layout (Flatten of 1 x 1 images)? */
static bool is_copy(const qdq_plan *p, const qdq_kernel *k)
{
	const qdq_buffer *from = &p->buffers.items[k->in[0].buffer], *to;
	const qdq_operand *store;

	if (k->anchor != QDQ_ANCHOR_LOAD || k->n_steps != 1 || k->steps[0].kind != QDQ_STEP_STORE)
		return false;
	store = &k->steps[0].other;
	to = &p->buffers.items[store->buffer];
	return from->rows && to->rows && from->place == QDQ_PLACE_ARENA && to->place == QDQ_PLACE_ARENA &&
	       from->type == to->type && from->last_axis == to->last_axis && from->channels == to->channels &&
	       from->pixels == to->pixels && to->channels == k->channels && k->in[0].ratio == 1 &&
	       k->in[0].divisor == 0 && k->in[0].zero == store->zero && k->steps[0].before == 1;
}

/* Buffers that copies would fill are those that they would be filled from. */
static void drop_copies(qdq_plan *p)
{
	uint32_t *same = qdq_array(p->scratch, uint32_t, p->buffers.count);
	size_t kept = 0;

	for (uint32_t i = 0; i < p->buffers.count; i++)
		same[i] = i;
	for (size_t i = 0; i < p->kernels.count; i++) {
		qdq_kernel k = p->kernels.items[i];

		k.in[0].buffer = same[k.in[0].buffer];
		k.in[1].buffer = same[k.in[1].buffer];
		if (is_copy(p, &k)) {
			same[k.steps[0].other.buffer] = k.in[0].buffer;
			continue;
		}
		for (uint32_t s = 0; s < k.n_steps; s++)
			k.steps[s].other.buffer = same[k.steps[s].other.buffer];
		p->kernels.items[kept++] = k;
	}
	p->kernels.count = kept;
	for (size_t i = 0; i < p->m->n_values; i++)
		if (p->buffer_of[i] != 0)
			p->buffer_of[i] = same[p->buffer_of[i] - 1] + 1;
}

static void touch(qdq_plan *p, uint32_t buffer, uint32_t kernel)
{
	qdq_buffer *b = &p->buffers.items[buffer];

	if (b->first == UINT32_MAX)
		b->first = kernel;
	b->last = kernel;
}

static void touch_node(qdq_plan *p, const qdq_node *n, uint32_t kernel)
{
	for (uint32_t i = 0; i < n->n_inputs; i++)
		if (qdq_in(n, i) != NULL && p->buffer_of[qdq_in(n, i)->id] != 0)
			touch(p, p->buffer_of[qdq_in(n, i)->id] - 1, kernel);
	for (uint32_t i = 0; i < n->n_outputs; i++)
		if (n->outputs[i] != NULL)
			touch(p, p->buffer_of[n->outputs[i]->id] - 1, kernel);
}

static void set_lives(qdq_plan *p)
{
	for (uint32_t i = 0; i < p->kernels.count; i++) {
		const qdq_kernel *k = &p->kernels.items[i];

		if (k->anchor == QDQ_ANCHOR_NODE) {
			touch_node(p, k->node, i);
			continue;
		}
		touch(p, k->in[0].buffer, i);
		if (k->anchor == QDQ_ANCHOR_MUL)
			touch(p, k->in[1].buffer, i);
		for (uint32_t s = 0; s < k->n_steps; s++)
			if (qdq_step_has_operand(&k->steps[s]))
				touch(p, k->steps[s].other.buffer, i);
	}
}

static void set_memory(qdq_plan *p)
{
	qdq_piece *pieces = qdq_array(p->scratch, qdq_piece, p->buffers.count);

	for (size_t i = 0; i < p->buffers.count; i++) {
		const qdq_buffer *b = &p->buffers.items[i];

		if (b->place == QDQ_PLACE_ARENA && b->first != UINT32_MAX)
			pieces[i] = (qdq_piece){.size = b->size, .first = b->first, .last = b->last};
	}
	p->largest_live = qdq_largest_live(pieces, p->buffers.count, ALIGNMENT, p->scratch);
	p->size = qdq_plan_memory(pieces, p->buffers.count, ALIGNMENT, p->scratch);
	for (size_t i = 0; i < p->buffers.count; i++)
		if (p->buffers.items[i].place == QDQ_PLACE_ARENA)
			p->buffers.items[i].at = pieces[i].offset;
}

struct making {
	qdq_plan *p;
};

static void make(void *arg, qdq_arena *scratch)
{
	qdq_plan *p = ((struct making *)arg)->p;
	qdq_buffer *buffers;
	qdq_kernel *kernels;

	p->scratch = scratch;
	qdq_plan_grow(p);
	add_all(p);
	drop_copies(p);
	set_lives(p);
	set_memory(p);
	buffers = qdq_array(p->arena, qdq_buffer, p->buffers.count);
	kernels = qdq_array(p->arena, qdq_kernel, p->kernels.count);
	if (p->buffers.count != 0)
		p->buffers.items = memcpy(buffers, p->buffers.items, p->buffers.count * sizeof *buffers);
	if (p->kernels.count != 0)
		p->kernels.items = memcpy(kernels, p->kernels.items, p->kernels.count * sizeof *kernels);
	p->buffer_of =
	    memcpy(qdq_array(p->arena, uint32_t, p->m->n_values), p->buffer_of, p->m->n_values * sizeof *p->buffer_of);
	p->scratch = NULL;
}

qdq_plan *qdq_plan_make(qdq_arena *a, qdq_model *m, int64_t (*pitch)(int64_t channels),
			bool (*covers)(const qdq_kernel *k), qdq_blas *blas)
{
	struct making job = {qdq_new(a, qdq_plan)};

	*job.p = (qdq_plan){.m = m, .arena = a, .pitch = pitch, .covers = covers, .blas = blas};
	qdq_with_scratch(m->ctx, make, &job);
	return job.p;
}

/* SPDX-License-Identifier: Apache-2.0
 *
 * call.c -- what a run tells its caller: how far it is, and what each kernel is and has to do
 */
#include <time.h>

#include "backend.h"

bool qdq_call_goes_on(const qdq_call *call, const qdq_plan *p, size_t kernel)
{
	return call->progress == NULL || call->progress(call->user, kernel, p->kernels.count) == 0;
}

void qdq_call_cancel(const qdq_plan *p, size_t kernel)
{
	const qdq_node *n = p->kernels.items[kernel].node;
	qdq_where where = {.file = p->m->path,
			   .node = n != NULL && *n->name != '\0' ? n->name : NULL,
			   .op = n != NULL ? n->op_type : NULL};

	qdq_fail(p->m->ctx, QDQ_ECANCELLED, &where, "the run was cancelled before kernel %zu of %zu", kernel + 1,
		 p->kernels.count);
}

double qdq_microseconds(void)
{
	struct timespec t;

	return clock_gettime(CLOCK_MONOTONIC, &t) == 0 ? (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3 : 0;
}

/* ---- bytes ---- */

static uint64_t bytes_of(qdq_type type, uint64_t count)
{
	uint64_t size = 0;

	(void)qdq_type_size(type, count, &size);
	return size;
}

/* At most so many elements of a buffer, without what pads its rows. */
static uint64_t some_bytes(const qdq_plan *p, uint32_t buffer, uint64_t most)
{
	const qdq_buffer *b = &p->buffers.items[buffer];
	uint64_t count = 1;

	for (int32_t i = 0; i < b->rank; i++)
		count *= (uint64_t)b->dims[i];
	return bytes_of(b->type, count < most ? count : most);
}

static uint64_t value_bytes(const qdq_plan *p, const qdq_value *v)
{
	if (v == NULL)
		return 0;
	if (p->buffer_of[v->id] != 0)
		return some_bytes(p, p->buffer_of[v->id] - 1, UINT64_MAX);
	return v->tensor != NULL ? v->tensor->size : 0;
}

/* Operators that read no more of their first input than they write. */
static bool reads_part(const qdq_node *n)
{
	return qdq_is(n, QDQ_OP_Gather) || qdq_is(n, QDQ_OP_GatherElements) || qdq_is(n, QDQ_OP_GatherND) ||
	       qdq_is(n, QDQ_OP_Slice);
}

static bool read_before(const qdq_node *n, uint32_t input)
{
	for (uint32_t i = 0; i < input; i++)
		if (qdq_in(n, i) == qdq_in(n, input))
			return true;
	return false;
}

static uint64_t node_bytes(const qdq_plan *p, const qdq_node *n)
{
	uint64_t sum = 0, written = 0;

	for (uint32_t i = 0; i < n->n_outputs; i++)
		written += value_bytes(p, n->outputs[i]);
	for (uint32_t i = 0; i < n->n_inputs; i++) {
		uint64_t size = read_before(n, i) ? 0 : value_bytes(p, qdq_in(n, i));

		sum += i == 0 && reads_part(n) && size > written ? written : size;
	}
	return sum + written;
}

static uint64_t least(int64_t a, int64_t b)
{
	return (uint64_t)(a < b ? a : b);
}

/* Windows that are smaller than their strides do not see all of the input. */
static uint64_t conv_bytes(const qdq_plan *p, const qdq_kernel *k)
{
	const qdq_conv *g = &k->conv;
	uint64_t seen = (uint64_t)(g->n * g->c) * least(g->h, g->oh * g->kh) * least(g->w, g->ow * g->kw);
	uint64_t constants =
	    (uint64_t)(k->bias != NULL) + (k->multiplier != NULL) + (k->rest != NULL) + (k->addend != NULL);

	return some_bytes(p, k->in[0].buffer, seen) + (uint64_t)(g->k * (g->c / g->groups) * g->kh * g->kw) +
	       constants * 4 * (uint64_t)g->k;
}

static uint64_t kernel_bytes(const qdq_plan *p, const qdq_kernel *k)
{
	uint64_t elements = (uint64_t)(k->pixels * k->channels), sum;

	if (k->anchor == QDQ_ANCHOR_NODE)
		return node_bytes(p, k->node);
	sum = k->anchor == QDQ_ANCHOR_CONTRACT ? conv_bytes(p, k) : some_bytes(p, k->in[0].buffer, UINT64_MAX);
	if (k->anchor == QDQ_ANCHOR_MUL && k->in[1].buffer != k->in[0].buffer)
		sum += some_bytes(p, k->in[1].buffer, UINT64_MAX);
	for (uint32_t s = 0; s < k->n_steps; s++)
		if (qdq_step_has_operand(&k->steps[s]) &&
		    (k->steps[s].kind == QDQ_STEP_STORE || k->steps[s].other.buffer != k->in[0].buffer))
			sum += some_bytes(p, k->steps[s].other.buffer, elements);
	return sum;
}

/* ---- operations ---- */

static int64_t count_of(const qdq_value *v)
{
	return v == NULL || v->shape == NULL ? 0 : qdq_shape_count(v->shape, NULL);
}

/* Multiply-accumulates of the products that lib/eval runs; 0 for everything else. */
static uint64_t node_macs(const qdq_node *n)
{
	const qdq_value *x = qdq_in(n, 0), *w = qdq_in(n, 1), *y = n->n_outputs != 0 ? n->outputs[0] : NULL;
	bool turned = qdq_attr_int(n, "transA", 0) != 0;
	int64_t each = 0;

	if (x == NULL || w == NULL || y == NULL || x->shape == NULL || w->shape == NULL || x->shape->rank == 0 ||
	    w->shape->rank == 0)
		return 0;
	if (qdq_is(n, QDQ_OP_Conv) && w->shape->dim[0] > 0)
		each = count_of(w) / w->shape->dim[0];
	else if (qdq_is(n, QDQ_OP_Gemm))
		each = x->shape->dim[turned ? 0 : x->shape->rank - 1];
	else if (qdq_is(n, QDQ_OP_MatMul))
		each = x->shape->dim[x->shape->rank - 1];
	else if (qdq_is(n, QDQ_OP_ConvTranspose) && w->shape->dim[0] > 0)
		return (uint64_t)(count_of(x) * (count_of(w) / w->shape->dim[0]));
	return each > 0 ? (uint64_t)(count_of(y) * each) : 0;
}

static uint64_t region_macs(const qdq_node *n)
{
	uint64_t sum = 0;

	if (n->region == NULL)
		return node_macs(n);
	for (const qdq_node *i = n->region->body->first; i != NULL; i = i->next)
		sum += node_macs(i);
	return sum;
}

static uint64_t kernel_macs(const qdq_kernel *k)
{
	const qdq_conv *g = &k->conv;

	if (k->anchor == QDQ_ANCHOR_NODE)
		return region_macs(k->node);
	if (k->anchor != QDQ_ANCHOR_CONTRACT)
		return 0;
	return (uint64_t)(k->pixels * g->k * (g->c / g->groups) * g->kh * g->kw);
}

/* Of a fused operator: what it was fused around. */
static const char *operator_of(const qdq_node *n)
{
	if (n == NULL)
		return "";
	if (n->region == NULL)
		return n->op_type;
	return n->region->anchor != NULL ? n->region->anchor->op_type : "QuantizeLinear";
}

qdq_kernel_profile qdq_describe_kernel(const qdq_plan *p, const qdq_kernel *k)
{
	static const char *const names[] = {
	    [QDQ_ANCHOR_NODE] = "node", [QDQ_ANCHOR_CONTRACT] = "contract", [QDQ_ANCHOR_LOAD] = "load",
	    [QDQ_ANCHOR_MUL] = "mul",	[QDQ_ANCHOR_MAX] = "max",	    [QDQ_ANCHOR_MEAN] = "mean"};
	bool depthwise = k->anchor == QDQ_ANCHOR_CONTRACT && k->conv.groups > 1 && qdq_is_depthwise(&k->conv);

	return (qdq_kernel_profile){.node = k->node != NULL ? k->node->name : "",
				    .op = operator_of(k->node),
				    .kernel = depthwise		   ? "depthwise"
					      : k->product != NULL ? "sgemm"
								   : names[k->anchor],
				    .operations = 2 * kernel_macs(k),
				    .bytes = kernel_bytes(p, k)};
}

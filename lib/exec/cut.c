/* SPDX-License-Identifier: Apache-2.0
 *
 * cut.c -- a contraction whose steps a device has not becomes two kernels: one for the device, the rest for the CPU
 *
 *      contract, ROUND, TABLE, STORE   =>   contract, ROUND, store the register   load the register, TABLE, STORE
 *
 * Between the two the register itself lies in memory, as it is, so that both together give the bits of the whole.
 */
#include "exec.h"

/* The first n steps alone: has the device them? Then it has fewer, too. */
static bool covers(const qdq_plan *p, const qdq_kernel *k, uint32_t n)
{
	qdq_kernel prefix = *k;

	prefix.n_steps = n;
	return p->covers(&prefix);
}

static uint32_t most_covered(const qdq_plan *p, const qdq_kernel *k)
{
	uint32_t good = 0, bad = k->n_steps;

	while (good + 1 < bad) {
		uint32_t n = good + (bad - good) / 2;

		if (covers(p, k, n))
			good = n;
		else
			bad = n;
	}
	return good;
}

/* By register: one more than the last step that reads it. */
static uint32_t *last_readers(const qdq_plan *p, const qdq_kernel *k)
{
	uint32_t *last = qdq_array(p->scratch, uint32_t, k->n_registers);

	for (uint32_t i = 0; i < k->n_steps; i++) {
		const qdq_step *s = &k->steps[i];

		if (s->kind == QDQ_STEP_LOAD)
			continue;
		last[s->from] = i + 1;
		if (s->kind == QDQ_STEP_BINARY)
			last[s->second] = i + 1;
	}
	return last;
}

/* How many steps the first kernel can have, and the register that it ends with: the only one that the others read. */
static uint32_t longest_prefix(const qdq_plan *p, const qdq_kernel *k, uint32_t *reg)
{
	uint32_t best = 0, most = most_covered(p, k), *last = last_readers(p, k);
	uint32_t open = last[0] != 0; /* registers that are read later */

	*reg = 0;
	for (uint32_t i = 0; i < most; i++) {
		const qdq_step *s = &k->steps[i];
		uint32_t end = s->kind == QDQ_STEP_STORE ? s->from : s->to;

		if (s->kind != QDQ_STEP_LOAD)
			open -= last[s->from] == i + 1;
		if (s->kind == QDQ_STEP_BINARY && s->second != s->from)
			open -= last[s->second] == i + 1;
		if (s->kind != QDQ_STEP_STORE)
			open += last[s->to] != 0;
		if (open == (last[end] > i + 1)) {
			best = i + 1;
			*reg = end;
		}
	}
	return best;
}

/* Floats as ONNX has them, of the shape that the kernel computes. */
static uint32_t new_buffer(qdq_plan *p, const qdq_kernel *k)
{
	qdq_buffer b = {
	    .type = QDQ_TYPE_FLOAT, .rank = k->spatial == 1 ? 2 : 3, .place = QDQ_PLACE_ARENA, .first = UINT32_MAX};

	b.dims[0] = k->pixels / k->spatial;
	b.dims[1] = k->channels;
	b.dims[2] = k->spatial;
	b.size = (uint64_t)(k->pixels * k->channels) * sizeof(float);
	*qdq_push(p->scratch, &p->buffers) = b;
	return (uint32_t)p->buffers.count - 1;
}

static void cut(qdq_plan *p, size_t nth)
{
	qdq_kernel first = p->kernels.items[nth], second = first;
	uint32_t reg, n = longest_prefix(p, &first, &reg), buffer = new_buffer(p, &first);
	qdq_step *steps = qdq_array(p->arena, qdq_step, n + 1),
		 *rest = qdq_array(p->arena, qdq_step, first.n_steps - n);

	if (n != 0)
		memcpy(steps, first.steps, n * sizeof *steps);
	steps[n] = (qdq_step){.kind = QDQ_STEP_STORE, .from = reg, .to = reg, .before = 1, .other = {.buffer = buffer}};
	memcpy(rest, first.steps + n, (first.n_steps - n) * sizeof *rest);
	for (uint32_t i = 0; i < first.n_steps - n; i++) {
		qdq_step *s = &rest[i];

		/* it has the number 0 now, which nothing else behind it has */
		s->from = s->from == reg ? 0 : s->from;
		s->second = s->second == reg ? 0 : s->second;
		s->to = s->to == reg ? 0 : s->to;
	}
	second = (qdq_kernel){.anchor = QDQ_ANCHOR_LOAD,
			      .node = first.node,
			      .pixels = first.pixels,
			      .channels = first.channels,
			      .spatial = first.spatial,
			      .last_axis = first.last_axis,
			      .in = {{.buffer = buffer, .ratio = 1}},
			      .steps = rest,
			      .n_steps = first.n_steps - n,
			      .n_registers = first.n_registers};
	first.steps = steps;
	first.n_steps = n + 1;
	p->kernels.items[nth] = first;
	(void)qdq_push(p->scratch, &p->kernels);
	for (size_t i = p->kernels.count - 1; i > nth + 1; i--)
		p->kernels.items[i] = p->kernels.items[i - 1];
	p->kernels.items[nth + 1] = second;
}

void qdq_cut_kernels(qdq_plan *p, size_t n)
{
	for (; p->covers != NULL && n < p->kernels.count; n++)
		if (p->kernels.items[n].anchor == QDQ_ANCHOR_CONTRACT && p->kernels.items[n].grid.sh == 0 &&
		    !p->covers(&p->kernels.items[n]))
			cut(p, n++);
}

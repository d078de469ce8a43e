/* SPDX-License-Identifier: Apache-2.0
 *
 * cut.c -- a contraction whose steps a device has not becomes two kernels: one for the device, the rest for the CPU
 *
 *      contract, ROUND, TABLE, STORE   =>   contract, ROUND, store the register   load the register, TABLE, STORE
 *
 * Between the two the register itself lies in memory, as it is, so that both together give the bits of the whole.
 */
#include "exec.h"

/* Is register r, and no other, read by the steps from the nth on? */
static bool only_reads(const qdq_kernel *k, uint32_t n, uint32_t r)
{
	for (uint32_t i = n; i < k->n_steps; i++) {
		const qdq_step *s = &k->steps[i];
		uint32_t read[2] = {s->from, s->kind == QDQ_STEP_BINARY ? s->second : s->from};

		for (int j = 0; s->kind != QDQ_STEP_LOAD && j < 2; j++) {
			bool behind = false;

			for (uint32_t m = n; m < i; m++)
				behind |= k->steps[m].kind != QDQ_STEP_STORE && k->steps[m].to == read[j];
			if (!behind && read[j] != r)
				return false;
		}
	}
	return true;
}

/* How many steps the first kernel can have, and the register that it ends with. */
static uint32_t longest_prefix(const qdq_plan *p, const qdq_kernel *k, uint32_t *reg)
{
	uint32_t best = 0;

	*reg = 0;
	for (uint32_t n = 1; n < k->n_steps; n++) {
		const qdq_step *s = &k->steps[n - 1];
		qdq_kernel prefix = *k;
		uint32_t last = s->kind == QDQ_STEP_STORE ? s->from : s->to;

		prefix.n_steps = n;
		if (p->covers(&prefix) && only_reads(k, n, last)) {
			best = n;
			*reg = last;
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

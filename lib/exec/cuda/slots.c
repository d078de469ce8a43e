/* SPDX-License-Identifier: Apache-2.0
 *
 * slots.c -- addresses in kernels' parameters: not known yet, or other ones from run to run
 *
 * Constants lie in one block of a plan; slots remember where the addresses of everything else belong.
 */
#include "cuda.h"

uint64_t qdq_cuda_blob_add(qdq_cuda_plan *c, const void *data, size_t size, size_t room)
{
	uint64_t at;

	while (c->blob.count % 16 != 0)
		*qdq_push(c->scratch, &c->blob) = 0;
	at = c->blob.count;
	for (size_t i = 0; i < room; i++)
		*qdq_push(c->scratch, &c->blob) = i < size ? ((const char *)data)[i] : 0;
	return at;
}

void qdq_cuda_slot(qdq_cuda_plan *c, uint64_t *at, uint32_t buffer, uint64_t offset)
{
	*qdq_push(c->scratch, &c->slots) = (qdq_slot){at, buffer, offset};
}

/* Four bytes for each channel, and zeros for those that a tile has beside them. */
void qdq_cuda_per_channel(qdq_cuda_plan *c, uint64_t *at, const void *data, int64_t channels)
{
	size_t padded = (size_t)(channels + 127) / 128 * 128 * 4;

	qdq_cuda_slot(c, at, QDQ_SLOT_BLOB, qdq_cuda_blob_add(c, data, (size_t)channels * 4, padded));
}

void qdq_cuda_set_place(qdq_cuda_plan *c, qdq_cuda_place *to, const qdq_operand *o, const qdq_kernel *k)
{
	const qdq_buffer *b = &c->p->buffers.items[o->buffer];

	to->type = b->type == QDQ_TYPE_FLOAT ? QDQ_CUDA_FLOAT : b->type == QDQ_TYPE_INT8 ? QDQ_CUDA_S8 : QDQ_CUDA_U8;
	to->pitch = b->rows ? (int32_t)b->pitch : 0;
	to->total = (int32_t)qdq_buffer_channels(b, k->last_axis);
	to->channel = (int32_t)o->channel;
	to->limit = (int32_t)(b->rows && b->channels == k->channels ? b->pitch : k->channels);
	to->zero = o->zero;
	qdq_cuda_slot(c, &to->at, o->buffer, 0);
}

/* Constants that kernels read as they are. */
void qdq_cuda_add_constants(qdq_cuda_plan *c)
{
	for (size_t i = 0, n = c->slots.count; i < n; i++) {
		qdq_slot *s = &c->slots.items[i];
		const qdq_buffer *b = s->buffer < c->p->buffers.count ? &c->p->buffers.items[s->buffer] : NULL;

		if (b == NULL || b->place != QDQ_PLACE_CONSTANT)
			continue;
		s->offset = qdq_cuda_blob_add(c, b->data, (size_t)b->size, (size_t)b->size);
		s->buffer = QDQ_SLOT_BLOB;
	}
}

void qdq_cuda_fill_slots(qdq_cuda_device *d, qdq_cuda_plan *c)
{
	for (size_t i = 0; i < c->slots.count; i++) {
		const qdq_slot *s = &c->slots.items[i];

		*s->at = (s->buffer == QDQ_SLOT_BLOB	   ? c->blob_at
			  : s->buffer == QDQ_SLOT_PARTIAL  ? d->partial.at
			  : s->buffer == QDQ_SLOT_COUNTERS ? d->counters.at
							   : c->data[s->buffer]) +
			 s->offset;
	}
}

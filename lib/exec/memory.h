#include "../base/base.h"
typedef struct qdq_piece {
	uint64_t size;
	uint32_t first, last;
	uint64_t offset;
} qdq_piece;
uint64_t qdq_plan_memory(qdq_piece *pieces, size_t count, uint64_t alignment, qdq_arena *scratch);
uint64_t qdq_largest_live(const qdq_piece *pieces, size_t count, uint64_t alignment, qdq_arena *scratch);

/* SPDX-License-Identifier: Apache-2.0
 *
 * fuzz_opt.c -- any bytes, as a file or as text: what loads is optimized, reported and saved in all modes
 *
 *   fuzz_opt test/fuzz/corpus/opt -max_len=65536        the first byte says text or binary, --exact or not, the mode
 */
#include <stdlib.h>

#include "../../include/qdqopt.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static qdq_status swallow(void *user, const void *data, size_t size)
{
	(void)user, (void)data, (void)size;
	return QDQ_OK;
}

/* What was accepted once must go through to the end. */
static void optimize(qdq_ctx *ctx, const uint8_t *data, size_t size, int flags)
{
	const qdq_optimize_options options = {
	    .version = QDQ_OPTIMIZE_OPTIONS_VERSION, .exact = flags & 2, .target = (flags & 8) != 0 ? "ort-cpu" : NULL};
	const qdq_save_options save = {.version = QDQ_SAVE_OPTIONS_VERSION,
				       .emit = (flags & 12) == 12 ? QDQ_EMIT_QOPERATOR
					       : (flags & 4) != 0 ? QDQ_EMIT_QDQ
								  : QDQ_EMIT_FUSED,
				       .exact = flags & 2};
	const qdq_report *report;
	qdq_model *m;

	if (qdq_load_memory(&m, ctx, data, size, (flags & 1) != 0 ? "fuzz.onnxtxt" : "fuzz.onnx") != QDQ_OK)
		return;
	if (qdq_optimize(m, &options) != QDQ_OK)
		return; /* a graph that inference refutes */
	if (qdq_report_new(&report, m, NULL) != QDQ_OK)
		abort();
	if (qdq_report_print(report, QDQ_REPORT_TEXT, swallow, NULL) != QDQ_OK ||
	    qdq_report_print(report, QDQ_REPORT_JSON, swallow, NULL) != QDQ_OK)
		abort();
	if (qdq_save_sink(m, swallow, NULL, &save) != QDQ_OK)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const qdq_options options = {.version = QDQ_OPTIONS_VERSION, .max_memory = ((size_t)256 << 20)};
	qdq_ctx *ctx;

	if (size == 0 || qdq_ctx_new(&ctx, &options) != QDQ_OK)
		return 0;
	optimize(ctx, data + 1, size - 1, data[0]);
	qdq_ctx_free(ctx);
	return 0;
}

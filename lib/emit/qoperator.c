/* SPDX-License-Identifier: Apache-2.0
 *
 * qoperator.c -- regions as the integer operators that ONNX Runtime runs
 *
 * Regions are dissolved, and what they were made of is written form by form (passes/write_qlinear.c): a region of one
 * kernel there is one integer operator, others are several, and what has no form stays as its Q/DQ nodes. So whatever
 * regions come to hold, the file means the same. Bodies of If, Loop and Scan are written like the network. What a body
 * alone read of the network, such as a DQ, may be unread then, and forms of one input repeat its Transpose: cleanup runs
 * once more.
 */
#include "../rewrite/rewrite.h"
#include "emit.h"

void qdq_emit_qoperator(qdq_model *m, bool exact)
{
	const qdq_driver_options options = {
	    .pass = {.exact = exact, .target = QDQ_TARGET_ORT_CPU},
	    .passes = "write_qlinear,cleanup",
	};

	qdq_emit_qdq(m);
	qdq_run_passes(m, &options);
}

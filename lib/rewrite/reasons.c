/* SPDX-License-Identifier: Apache-2.0
 *
 * reasons.c -- the table of reasons, from lib/report/reasons.def
 */
#include "rewrite.h"

const qdq_reason_info qdq_reasons[QDQ_REASON_COUNT] = {
    [QDQ_REASON_NONE] = {"", "", "", ""},
#define REASON(id, code, message, fix, explanation) [QDQ_REASON_##id] = {code, message, fix, explanation},
#include "../report/reasons.def"
#undef REASON
};

qdq_reason_code qdq_reason_find(const char *code)
{
	for (int i = QDQ_REASON_NONE + 1; i < QDQ_REASON_COUNT; i++)
		if (strcmp(qdq_reasons[i].code, code) == 0)
			return (qdq_reason_code)i;
	return QDQ_REASON_NONE;
}

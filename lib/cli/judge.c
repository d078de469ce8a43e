/* SPDX-License-Identifier: Apache-2.0
 *
 * judge.c -- qdqopt IN OUT --input FILE: the network runs before and after it is optimized, and the report tells how far its
 * outputs are apart
 */
#include <stdlib.h>

#include "cli.h"

static qdq_status run(judge *j, qdq_model *m, int which, qdq_binding **outputs)
{
	qdq_session_options options = {.version = QDQ_SESSION_OPTIONS_VERSION};
	qdq_status status;

	*outputs = calloc(j->n_outputs + 1, sizeof **outputs);
	if (*outputs == NULL)
		return QDQ_ENOMEM;
	for (size_t i = 0; i < j->n_outputs; i++)
		(*outputs)[i].name = qdq_value_name(qdq_output_value(m, i));
	status = qdq_session_new(&j->sessions[which], m, &options);
	return status == QDQ_OK ? qdq_session_run(j->sessions[which], j->inputs, j->n_inputs, *outputs, j->n_outputs)
				: status;
}

qdq_status judge_before(judge *j, const arguments *a, qdq_model *m)
{
	qdq_status status;

	*j = (judge){.arguments = a};
	if (a->n_inputs == 0 && !a->random)
		return QDQ_OK;
	j->n_outputs = qdq_output_count(m);
	status = read_inputs(&j->given, a);
	if (status == QDQ_OK)
		status = check_inputs(&j->given, m, NULL);
	if (status == QDQ_OK)
		status = bind_inputs(&j->inputs, &j->n_inputs, &j->given, m);
	return status == QDQ_OK ? run(j, m, 0, &j->before) : status;
}

qdq_status judge_after(judge *j, qdq_model *m)
{
	qdq_status status = j->before == NULL ? QDQ_OK : run(j, m, 1, &j->after);

	for (size_t i = 0; j->after != NULL && status == QDQ_OK && i < j->n_outputs; i++) {
		double snr;

		if (signal_to_noise(&snr, &j->after[i], &j->before[i]))
			status = qdq_report_measured(m, j->before[i].name, snr);
	}
	return status;
}

void free_judge(judge *j)
{
	qdq_session_free(j->sessions[0]);
	qdq_session_free(j->sessions[1]);
	free(j->inputs);
	free(j->before);
	free(j->after);
	free_inputs(&j->given);
}

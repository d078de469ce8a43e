/* SPDX-License-Identifier: Apache-2.0
 *
 * main.c -- runs every suite; CK_FORK=no runs them in one process
 */
#include <stdlib.h>

#include "suites.h"

int main(void)
{
	Suite *(*const suites[])(void) = {
	    api_suite,	      contract_suite, dims_suite,	 eval_suite, eval_hostile_suite, exec_suite,
	    functions_suite,  infer_suite,    infer_rules_suite, npz_suite,  numbers_suite,	 onnx_file_suite,
	    onnx_graph_suite, onnx_io_suite,  onnx_save_suite,	 ops_suite,  origins_suite,	 passes_suite,
	    quant_suite,      rules_suite,    report_suite,	 text_suite, text_errors_suite,	 verify_suite,
	};
	SRunner *runner = srunner_create(NULL);
	int failed;

	for (size_t i = 0; i < sizeof suites / sizeof *suites; i++)
		srunner_add_suite(runner, suites[i]());
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

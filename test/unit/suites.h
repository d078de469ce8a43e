/* SPDX-License-Identifier: Apache-2.0
 *
 * suites.h -- the unit tests: one suite for each file of this folder
 */
#ifndef QDQ_TEST_SUITES_H
#define QDQ_TEST_SUITES_H

#include <check.h>

Suite *api_suite(void);
Suite *contract_suite(void);
Suite *dims_suite(void);
Suite *eval_suite(void);
Suite *eval_hostile_suite(void);
Suite *exec_suite(void);
Suite *functions_suite(void);
Suite *infer_suite(void);
Suite *infer_rules_suite(void);
Suite *npz_suite(void);
Suite *numbers_suite(void);
Suite *onnx_file_suite(void);
Suite *onnx_graph_suite(void);
Suite *onnx_io_suite(void);
Suite *onnx_save_suite(void);
Suite *ops_suite(void);
Suite *origins_suite(void);
Suite *passes_suite(void);
Suite *quant_suite(void);
Suite *rules_suite(void);
Suite *report_suite(void);
Suite *text_suite(void);
Suite *text_errors_suite(void);
Suite *verify_suite(void);

#endif

/* SPDX-License-Identifier: Apache-2.0
 *
 * main.c -- qdqopt, the command line
 */
#include "cli.h"

static int run_command(const arguments *a)
{
	switch (a->command) {
	case COMMAND_HELP:
		return -flush_stream(stdout, "standard output");
	case COMMAND_VERSION:
		printf("qdqopt %s\n", qdq_version());
		return -flush_stream(stdout, "standard output");
	case COMMAND_EXPLAIN:
		return run_explain(a);
	case COMMAND_RUN:
		return run_network(a);
	case COMMAND_COMPARE:
		return run_compare(a);
	case COMMAND_BENCH:
		return run_bench(a);
	default:
		return run_optimize(a);
	}
}

int main(int argc, char **argv)
{
	arguments a;
	int status = parse_arguments(&a, argc, argv) ? run_command(&a) : -QDQ_EUSAGE;

	if (a.failed != QDQ_OK)
		status = -a.failed;
	free_precisions(&a);
	return status;
}

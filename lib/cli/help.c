/* SPDX-License-Identifier: Apache-2.0
 *
 * help.c -- the help texts, and guessing what a mistyped word was meant to be
 */
#include <stdlib.h>
#include <string.h>

#include "cli.h"

static const char *const texts[] = {
    [COMMAND_OPTIMIZE] =
	"usage: qdqopt IN OUT [options]        optimize a quantized ONNX model\n"
	"       qdqopt inspect IN [options]    the report alone; nothing else is written\n"
	"       qdqopt explain CODE            what a reason in the report means\n"
	"       qdqopt explain IN NODE         what happened to an operator (a name or glob), and why\n"
	"       qdqopt run IN [options]        optimize and run it once (qdqopt run --help)\n"
	"       qdqopt bench IN [options]      optimize and time it (qdqopt bench --help)\n"
	"       qdqopt compare A B [options]   run two networks and say how they differ (qdqopt compare --help)\n"
	"\n"
	"IN and OUT are ONNX files (.onnxtxt or .txt: ONNX's textual syntax); - is standard input or output.\n"
	"\n"
	"  --report[=FILE]         print what became of every operator; FILE ends in .txt or .json\n"
	"  --emit MODE             fused: operators as functions (the default); qdq: plain Q/DQ; qoperator: the\n"
	"                          integer operators of ONNX Runtime on CPUs (target ort-cpu)\n"
	"  --exact                 only rewrites that change no bit of any result\n"
	"  --allow=bounded         also rewrites that change results within a stated bound\n"
	"  --input NAME=FILE.npy, --input FILE.npz, --random SEED   with --report: run it before and after, and tell "
	"how\n"
	"                          far the outputs are apart\n"
	"  --float-type fp16       what stays float computes in float16, with Casts at the borders\n"
	"  --io int8               inputs and outputs as codes, where a Q alone reads them or a DQ makes them; the "
	"report\n"
	"                          has their scales\n"
	"  --require-int8 PERCENT  exit with 6 where fewer multiply-accumulates run in INT8\n"
	"  --target TARGET         cuda (the default), tensorrt or ort-cpu: whom the result is for\n"
	"  --keep-float NODE       a name or glob: these operators stay in float, with the Q and DQ around them; may "
	"be "
	"repeated\n"
	"  --precision NODE=TYPE   int8, fp16 or fp32: what they are to compute in; the last that matches counts\n"
	"  --precision-file FILE   a JSON object of such: {\"/head/*\": \"fp32\"}\n"
	"  --passes LIST           names with commas between; none; -NAME leaves one out (see below)\n"
	"  --print-after PASS      print the network to stderr after that pass\n"
	"  --quiet                 errors only\n"
	"  --list-rules            every rewrite of the passes: its name, exactness and what it does\n"
	"  --help, --version\n"
	"\n"
	"NODE is a name or a glob ('*', '?'); #17 is node 17 of the file (the first is #0), where it has no name.\n",
    [COMMAND_INSPECT] =
	"usage: qdqopt inspect IN [--report=FILE] [options]\n"
	"\n"
	"Optimizes IN in memory and prints the report. Nothing is written, but FILE where it is given\n"
	"(.txt or .json; then nothing is printed).\n"
	"\n"
	"  --exact, --allow=bounded, --target TARGET, --keep-float NODE, --precision NODE=TYPE, --precision-file "
	"FILE,\n"
	"  --float-type fp16, --io int8, --passes LIST, --print-after PASS, --input FILE, --random SEED,\n"
	"  --require-int8 PERCENT, --quiet    as for qdqopt IN OUT\n",
    [COMMAND_EXPLAIN] =
	"usage: qdqopt explain CODE       what a reason means, as `weight-float`\n"
	"       qdqopt explain IN NODE    what happened to the operators that NODE (a name or glob) names\n"
	"\n"
	"  --exact, --allow=bounded, --target TARGET, --keep-float NODE, --precision NODE=TYPE, --precision-file "
	"FILE,\n"
	"  --float-type fp16, --passes LIST, --quiet    as for qdqopt IN OUT\n"
	"\n"
	"Reasons:\n",
    [COMMAND_RUN] =
	"usage: qdqopt run IN [options]    optimizes IN and runs it once; fused operators run in integers\n"
	"\n"
	"  --input NAME=FILE.npy    an input; --input FILE.npz: inputs, by the names of the arrays\n"
	"  --random SEED            random numbers for every input that is not given; symbols count as 1\n"
	"  --batch N                with --random: of this batch, N for the symbols of first dimensions, wherever they "
	"are\n"
	"  --output OUT.npz         the outputs, by their names\n"
	"  --check                  run each fused operator as its Q/DQ nodes too, and list where the two differ (on "
	"the\n"
	"                           CPU; the first 100; the exit status does not tell)\n"
	"  --device cpu|cuda|cuda:N where; the bytes are the same on all. What has no kernel on a GPU runs on the CPU\n"
	"  --time-tactics           cuda: time the ways to run each operator instead of estimating\n"
	"  --profile FILE.json      the time of each kernel, in the fields of trtexec's --exportProfile\n"
	"  --threads N              as many as there are cores, if not given; the results do not depend on it\n"
	"  --instructions c|avx2|vnni   use no more than these; the results do not depend on it\n"
	"  --exact, --allow=bounded, --target TARGET, --keep-float NODE, --precision NODE=TYPE, --precision-file "
	"FILE,\n"
	"  --float-type fp16, --passes LIST    as for qdqopt IN OUT\n"
	"  --quiet                  no warnings, facts and ranges of outputs; what --check finds is printed all the "
	"same\n",
    [COMMAND_BENCH] =
	"usage: qdqopt bench IN [options]    optimizes IN and times it; inputs are random if none are given\n"
	"\n"
	"Prints the median, other figures and the throughput of timed runs, then the time of each kernel, from a few "
	"runs "
	"more\n"
	"that are profiled: its median, its share, operations (2 for each multiply-accumulate) and least bytes a "
	"second. On "
	"a\n"
	"GPU inputs and outputs are in host memory, so that runs include copying them; what is profiled runs without a "
	"CUDA\n"
	"graph, kernel after kernel.\n"
	"\n"
	"  --warmup MS              runs that are not timed (200)\n"
	"  --duration S             timed runs, for so long (3)\n"
	"  --iterations N           timed runs, so many at least (10)\n"
	"  --batch N                random inputs of this batch: N for the symbols of first dimensions, wherever they "
	"are\n"
	"  --profile FILE.json      the time of each kernel, in the fields of trtexec's --exportProfile\n"
	"  --input, --random SEED, --device, --time-tactics, --threads, --instructions    as for qdqopt run\n"
	"  --exact, --allow=bounded, --target TARGET, --keep-float NODE, --precision NODE=TYPE, --precision-file "
	"FILE,\n"
	"  --float-type fp16, --passes LIST    as for qdqopt IN OUT\n"
	"  --quiet                  no progress bar and no facts; the figures are printed all the same\n",
    [COMMAND_COMPARE] =
	"usage: qdqopt compare A B [options]    runs two networks, as they are, on the same inputs\n"
	"       qdqopt compare A B.npz [options]    the same with arrays in place of B, by the names of A's tensors\n"
	"\n"
	"For each output of A: the largest and the mean absolute difference, the signal-to-noise ratio (B is the "
	"signal),\n"
	"the cosine, and in how many rows (along the last axis) the largest element is the same.\n"
	"\n"
	"  --input NAME=FILE.npy    an input; --input FILE.npz: inputs, by the names of the arrays\n"
	"  --random SEED            random numbers for every input that is not given; symbols count as 1\n"
	"  --layers                 also what is between the operators, by name: each tensor that differs (below 60 "
	"dB), and\n"
	"                           the first that does\n"
	"  --device cpu|cuda|cuda:N where both run, as for qdqopt run; also with --layers\n"
	"  --threads N              as many as there are cores, if not given; the results do not depend on it\n"
	"  --quiet                  no warnings; the results are printed all the same\n"
	"\n"
	"Exit status: 0 they ran, whatever the differences; 1 a model cannot be used; 2 wrong usage; 3 file system;\n"
	"4 memory; 5 device.\n",
};

static void print_passes(void)
{
	const char *title;

	printf("\nPasses, in order:\n");
	for (size_t i = 0; qdq_pass_name(i, &title) != NULL; i++)
		printf("  %-20s %s\n", qdq_pass_name(i, NULL), title == NULL ? "" : title);
	printf("\nExit status: 0 done; 1 the model cannot be used; 2 wrong usage; 3 file system; 4 memory; 5 device;\n"
	       "6 done, but --require-int8 is not met.\n");
}

void print_help(command c)
{
	qdq_reason_text r;

	fputs(texts[c], stdout);
	if (c == COMMAND_OPTIMIZE)
		print_passes();
	for (size_t i = 0; c == COMMAND_EXPLAIN && qdq_reason_at(&r, i) == QDQ_OK; i++)
		printf("  %s\n", r.code);
}

void print_rules(void)
{
	const char *pass = "", *title = NULL;
	qdq_rule_text r;

	for (size_t i = 0; qdq_rule_at(&r, i) == QDQ_OK; i++) {
		if (strcmp(pass, r.pass) != 0) {
			pass = r.pass;
			for (size_t k = 0; strcmp(qdq_pass_name(k, &title), pass) != 0;)
				k++;
			printf("%s%s: %s\n", i != 0 ? "\n" : "", pass, title);
		}
		printf("  %-38s %-8s %s\n", r.name, r.exactness, r.text);
		if (r.match != NULL)
			printf("  %-38s          %s  =>  %s\n", "", r.match,
			       r.build != NULL ? r.build : "(by its code)");
	}
}

/* Edit distance of two short words, capped at their lengths. */
static size_t distance(const char *a, const char *b)
{
	size_t row[64];
	size_t n = strlen(b);

	if (n >= 63)
		return n;
	for (size_t j = 0; j <= n; j++)
		row[j] = j;
	for (size_t i = 1; a[i - 1] != '\0'; i++) {
		size_t diagonal = row[0];

		row[0] = i;
		for (size_t j = 1; j <= n; j++) {
			size_t replace = diagonal + (a[i - 1] != b[j - 1]);
			size_t other = (row[j] < row[j - 1] ? row[j] : row[j - 1]) + 1;

			diagonal = row[j];
			row[j] = replace < other ? replace : other;
		}
	}
	return row[n];
}

void suggest(const char *given, const char *const *words, size_t count)
{
	const char *best = NULL;
	size_t least = strlen(given) / 3 + 2;

	for (size_t i = 0; i < count; i++) {
		size_t d = distance(given, words[i]);

		if (d < least) {
			least = d;
			best = words[i];
		}
	}
	if (best != NULL)
		fprintf(stderr, " (did you mean %s?)", best);
	fprintf(stderr, "\n");
}

/* SPDX-License-Identifier: Apache-2.0
 *
 * arguments.c -- the words of the command line, by one table of options
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"

typedef enum takes { TAKES_NOTHING, TAKES_VALUE, MAY_TAKE_VALUE } takes;

#define OPTIMIZE (1u << COMMAND_OPTIMIZE)
#define INSPECT (1u << COMMAND_INSPECT)
#define EXPLAIN (1u << COMMAND_EXPLAIN)
#define RUN (1u << COMMAND_RUN)
#define COMPARE (1u << COMMAND_COMPARE)
#define BENCH (1u << COMMAND_BENCH)
#define REWRITING (OPTIMIZE | INSPECT | EXPLAIN | RUN | BENCH)
#define ALL (REWRITING | COMPARE)

typedef struct option {
	const char *name;
	takes takes;
	unsigned commands;
	bool (*set)(arguments *a, const char *value); /* false: the value is wrong, a message was printed */
} option;

static bool wrong(const char *name, const char *value, const char *expected)
{
	fprintf(stderr, "qdqopt: %s: '%s' is not %s\n", name, value, expected);
	return false;
}

static bool set_report(arguments *a, const char *value)
{
	size_t n = value == NULL ? 0 : strlen(value);

	a->report = true;
	a->report_file = value;
	if (value == NULL || (n > 4 && strcmp(value + n - 4, ".txt") == 0) ||
	    (n > 5 && strcmp(value + n - 5, ".json") == 0))
		return true;
	return wrong("--report", value, "a file whose name ends in .txt or .json, the formats that there are");
}

static bool set_emit(arguments *a, const char *value)
{
	static const char *const names[] = {
	    [QDQ_EMIT_FUSED] = "fused", [QDQ_EMIT_QDQ] = "qdq", [QDQ_EMIT_QOPERATOR] = "qoperator"};

	for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
		a->emit = (qdq_emit)i;
		if (strcmp(value, names[i]) == 0)
			return true;
	}
	return wrong("--emit", value, "fused, qdq or qoperator");
}

static bool set_exact(arguments *a, const char *value)
{
	(void)value;
	a->exact = true;
	return true;
}

static bool set_allow(arguments *a, const char *value)
{
	a->bounded = true;
	return strcmp(value, "bounded") == 0 || wrong("--allow", value, "bounded");
}

static bool set_require(arguments *a, const char *value)
{
	char *end;

	a->require = strtod(value, &end);
	if (end != value && *end == '%')
		end++;
	return (end != value && *end == '\0' && a->require >= 0 && a->require <= 100) ||
	       wrong("--require-int8", value, "a percentage from 0 to 100");
}

static bool set_target(arguments *a, const char *value)
{
	a->target = value;
	return strcmp(value, "cuda") == 0 || strcmp(value, "tensorrt") == 0 || strcmp(value, "ort-cpu") == 0 ||
	       wrong("--target", value, "cuda, tensorrt or ort-cpu");
}

static bool set_io(arguments *a, const char *value)
{
	a->io_int8 = true;
	return strcmp(value, "int8") == 0 || wrong("--io", value, "int8");
}

static bool set_float_type(arguments *a, const char *value)
{
	a->float_type = value;
	return strcmp(value, "fp16") == 0 || wrong("--float-type", value, "fp16");
}

static bool set_passes(arguments *a, const char *value)
{
	a->passes = value;
	return true;
}

static bool set_print_after(arguments *a, const char *value)
{
	a->print_after = value;
	for (size_t i = 0; qdq_pass_name(i, NULL) != NULL; i++)
		if (strcmp(value, qdq_pass_name(i, NULL)) == 0)
			return true;
	return wrong("--print-after", value, "a pass; qdqopt --help lists them");
}

static bool set_quiet(arguments *a, const char *value)
{
	(void)value;
	a->quiet = true;
	return true;
}

static bool set_input(arguments *a, const char *value)
{
	const char *equals = strrchr(value, '=');
	size_t n = strlen(value);
	bool npz = n > 4 && strcmp(value + n - 4, ".npz") == 0;
	bool npy = n > 4 && strcmp(value + n - 4, ".npy") == 0 && equals != NULL && equals != value;

	if (!npz && !npy)
		return wrong("--input", value, "NAME=FILE.npy or FILE.npz");
	if (a->n_inputs == MOST_INPUTS)
		return wrong("--input", value, "one of at most 64");
	a->inputs[a->n_inputs++] = value;
	return true;
}

static bool set_random(arguments *a, const char *value)
{
	char *end;

	a->random = true;
	a->seed = strtoull(value, &end, 10);
	return (*value >= '0' && *value <= '9' && *end == '\0') || wrong("--random", value, "a number, the seed");
}

static bool set_check(arguments *a, const char *value)
{
	(void)value;
	a->check = true;
	return true;
}

static bool set_layers(arguments *a, const char *value)
{
	(void)value;
	a->layers = true;
	return true;
}

static bool set_output(arguments *a, const char *value)
{
	size_t n = strlen(value);

	a->output = value;
	return (n > 4 && strcmp(value + n - 4, ".npz") == 0) ||
	       wrong("--output", value, "a file whose name ends in .npz");
}

static bool set_device(arguments *a, const char *value)
{
	bool nth = strncmp(value, "cuda:", 5) == 0 && value[5] >= '0' && value[5] <= '9' && value[6] == '\0';

	a->device = value;
	return strcmp(value, "cpu") == 0 || strcmp(value, "cuda") == 0 || nth ||
	       wrong("--device", value, "cpu, cuda or cuda:N");
}

static bool set_time_tactics(arguments *a, const char *value)
{
	(void)value;
	a->time_tactics = true;
	return true;
}

static bool set_threads(arguments *a, const char *value)
{
	char *end;
	long threads = strtol(value, &end, 10);

	a->threads = threads > 0 && threads <= 256 ? (int)threads : 0;
	return (a->threads != 0 && *end == '\0') || wrong("--threads", value, "a number from 1 to 256");
}

static bool set_instructions(arguments *a, const char *value)
{
	a->instructions = value;
	return strcmp(value, "c") == 0 || strcmp(value, "avx2") == 0 || strcmp(value, "vnni") == 0 ||
	       wrong("--instructions", value, "c, avx2 or vnni");
}

static bool set_batch(arguments *a, const char *value)
{
	char *end;

	errno = 0;
	a->batch = strtoll(value, &end, 10);
	return (*value >= '1' && *value <= '9' && *end == '\0' && errno == 0) ||
	       wrong("--batch", value, "a number, 1 at least");
}

static bool set_profile(arguments *a, const char *value)
{
	size_t n = strlen(value);

	a->profile = value;
	return (n > 5 && strcmp(value + n - 5, ".json") == 0) ||
	       wrong("--profile", value, "a file whose name ends in .json");
}

/* A number that is not negative. */
static bool set_time(double *out, const char *name, const char *value, double most, const char *expected)
{
	char *end;

	*out = strtod(value, &end);
	return (((*value >= '0' && *value <= '9') || *value == '.') && end != value && *end == '\0' && *out >= 0 &&
		*out <= most) ||
	       wrong(name, value, expected);
}

static bool set_warmup(arguments *a, const char *value)
{
	return set_time(&a->warmup, "--warmup", value, 3.6e6, "a number of milliseconds, an hour at most");
}

static bool set_duration(arguments *a, const char *value)
{
	return set_time(&a->duration, "--duration", value, 86400, "a number of seconds, a day at most");
}

static bool set_iterations(arguments *a, const char *value)
{
	char *end;
	long n = strtol(value, &end, 10);

	a->iterations = n > 0 && n <= 10000000 ? (int)n : 0;
	return (a->iterations != 0 && *value >= '1' && *value <= '9' && *end == '\0') ||
	       wrong("--iterations", value, "a number from 1 to 10000000");
}

static const option options[] = {
    {"--report", MAY_TAKE_VALUE, OPTIMIZE | INSPECT, set_report},
    {"--emit", TAKES_VALUE, OPTIMIZE, set_emit},
    {"--exact", TAKES_NOTHING, REWRITING, set_exact},
    {"--allow", TAKES_VALUE, REWRITING, set_allow},
    {"--require-int8", TAKES_VALUE, OPTIMIZE | INSPECT, set_require},
    {"--target", TAKES_VALUE, REWRITING, set_target},
    {"--float-type", TAKES_VALUE, REWRITING, set_float_type},
    {"--io", TAKES_VALUE, OPTIMIZE | INSPECT, set_io},
    {"--keep-float", TAKES_VALUE, REWRITING, set_keep_float},
    {"--precision", TAKES_VALUE, REWRITING, set_precision},
    {"--precision-file", TAKES_VALUE, REWRITING, set_precision_file},
    {"--passes", TAKES_VALUE, REWRITING, set_passes},
    {"--print-after", TAKES_VALUE, OPTIMIZE | INSPECT, set_print_after},
    {"--quiet", TAKES_NOTHING, ALL, set_quiet},
    {"--input", TAKES_VALUE, OPTIMIZE | INSPECT | RUN | COMPARE | BENCH, set_input},
    {"--random", TAKES_VALUE, OPTIMIZE | INSPECT | RUN | COMPARE | BENCH, set_random},
    {"--output", TAKES_VALUE, RUN, set_output},
    {"--check", TAKES_NOTHING, RUN, set_check},
    {"--layers", TAKES_NOTHING, COMPARE, set_layers},
    {"--device", TAKES_VALUE, RUN | COMPARE | BENCH, set_device},
    {"--time-tactics", TAKES_NOTHING, RUN | BENCH, set_time_tactics},
    {"--threads", TAKES_VALUE, RUN | COMPARE | BENCH, set_threads},
    {"--instructions", TAKES_VALUE, RUN | BENCH, set_instructions},
    {"--batch", TAKES_VALUE, RUN | BENCH, set_batch},
    {"--profile", TAKES_VALUE, RUN | BENCH, set_profile},
    {"--warmup", TAKES_VALUE, BENCH, set_warmup},
    {"--duration", TAKES_VALUE, BENCH, set_duration},
    {"--iterations", TAKES_VALUE, BENCH, set_iterations},
    {"--help", TAKES_NOTHING, ALL, NULL},
    {"--version", TAKES_NOTHING, ALL, NULL},
    {"--list-rules", TAKES_NOTHING, ALL, NULL},
};
#define N_OPTIONS (sizeof options / sizeof *options)

static bool unknown_option(const char *word)
{
	const char *names[N_OPTIONS];

	for (size_t i = 0; i < N_OPTIONS; i++)
		names[i] = options[i].name;
	fprintf(stderr, "qdqopt: unknown option %s", word);
	suggest(word, names, N_OPTIONS);
	return false;
}

/* The option at argv[*i], which starts with "--"; *i goes to its last word. */
static bool take_option(arguments *a, int argc, char **argv, int *i)
{
	const char *word = argv[*i], *equals = strchr(word, '=');
	size_t length = equals == NULL ? strlen(word) : (size_t)(equals - word);
	const char *value = equals == NULL ? NULL : equals + 1;

	for (size_t k = 0; k < N_OPTIONS; k++) {
		const option *o = &options[k];

		if (strlen(o->name) != length || memcmp(o->name, word, length) != 0)
			continue;
		if ((o->commands & 1u << a->command) == 0) {
			fprintf(stderr, "qdqopt: %s has no place in this command; see --help\n", o->name);
			return false;
		}
		if (o->takes == TAKES_NOTHING && value != NULL) {
			fprintf(stderr, "qdqopt: %s takes no value\n", o->name);
			return false;
		}
		if (o->takes == TAKES_VALUE && value == NULL) {
			if (*i + 1 == argc) {
				fprintf(stderr, "qdqopt: %s needs a value\n", o->name);
				return false;
			}
			value = argv[++*i];
		}
		return o->set(a, value);
	}
	return unknown_option(word);
}

static bool check_words(arguments *a)
{
	static const int least[] = {[COMMAND_OPTIMIZE] = 2, [COMMAND_INSPECT] = 1, [COMMAND_EXPLAIN] = 1,
				    [COMMAND_RUN] = 1,	    [COMMAND_COMPARE] = 2, [COMMAND_BENCH] = 1};

	if (a->n_words < least[a->command]) {
		fprintf(stderr, "qdqopt: %s is missing; see qdqopt --help\n",
			a->command == COMMAND_EXPLAIN			   ? "the CODE, or IN NODE"
			: a->command == COMMAND_COMPARE			   ? "A.onnx or B"
			: a->command == COMMAND_OPTIMIZE && a->n_words > 0 ? "OUT"
									   : "IN");
		return false;
	}
	if (a->exact && a->bounded) {
		fprintf(stderr, "qdqopt: --exact and --allow=bounded exclude each other\n");
		return false;
	}
	if (a->exact && a->float_type != NULL) {
		fprintf(stderr, "qdqopt: --exact and --float-type exclude each other\n");
		return false;
	}
	if (a->io_int8 && (a->n_inputs != 0 || a->random)) {
		fprintf(stderr, "qdqopt: --io int8 changes the inputs that --input and --random are for\n");
		return false;
	}
	if (a->command == COMMAND_OPTIMIZE && (a->n_inputs != 0 || a->random) && !a->report) {
		fprintf(stderr, "qdqopt: --input and --random measure for the report: they want --report\n");
		return false;
	}
	if (a->emit == QDQ_EMIT_QOPERATOR && a->target == NULL)
		a->target = "ort-cpu";
	if (a->emit == QDQ_EMIT_QOPERATOR && strcmp(a->target, "ort-cpu") != 0) {
		fprintf(stderr, "qdqopt: --emit qoperator is for --target ort-cpu\n");
		return false;
	}
	return true;
}

/* --help, --version and --list-rules win over everything else on the line. */
static bool wants_words(arguments *a, int argc, char **argv)
{
	for (int i = 1; i < argc; i++) {
		if (strcmp(argv[i], "--") == 0)
			break;
		if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0) {
			print_help(a->command);
			a->command = COMMAND_HELP;
			return true;
		}
		if (strcmp(argv[i], "--version") == 0) {
			a->command = COMMAND_VERSION;
			return true;
		}
		if (strcmp(argv[i], "--list-rules") == 0) {
			print_rules();
			a->command = COMMAND_HELP;
			return true;
		}
	}
	return false;
}

bool parse_arguments(arguments *out, int argc, char **argv)
{
	static const struct {
		const char *name;
		command command;
		int most;
	} commands[] = {{"inspect", COMMAND_INSPECT, 1},
			{"explain", COMMAND_EXPLAIN, 2},
			{"run", COMMAND_RUN, 1},
			{"compare", COMMAND_COMPARE, 2},
			{"bench", COMMAND_BENCH, 1}};
	bool only_words = false;
	int first = 1, most = 2;

	*out = (arguments){.require = -1, .warmup = 200, .duration = 3, .iterations = 10};
	for (size_t i = 0; argc > 1 && i < sizeof commands / sizeof *commands; i++) {
		if (strcmp(argv[1], commands[i].name) == 0) {
			out->command = commands[i].command;
			most = commands[i].most;
			first = 2;
		}
	}
	if (wants_words(out, argc, argv))
		return true;
	for (int i = first; i < argc; i++) {
		const char *word = argv[i];

		if (!only_words && strcmp(word, "--") == 0) {
			only_words = true;
		} else if (!only_words && word[0] == '-' && word[1] != '\0') {
			if (word[1] != '-')
				return unknown_option(word);
			if (!take_option(out, argc, argv, &i))
				return false;
		} else if (out->n_words == most) {
			fprintf(stderr, "qdqopt: unexpected word '%s'; see qdqopt --help\n", word);
			return false;
		} else {
			out->words[out->n_words++] = word;
		}
	}
	if (out->command == COMMAND_BENCH && out->n_inputs == 0)
		out->random = true; /* of the seed 0, if none was given */
	return check_words(out);
}

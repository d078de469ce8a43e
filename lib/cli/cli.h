/* SPDX-License-Identifier: Apache-2.0
 *
 * cli.h -- what the files of the command line share; it knows the headers in include and nothing else of the library
 */
#ifndef QDQ_CLI_H
#define QDQ_CLI_H

#include <stdbool.h>
#include <stdio.h>

#include "npz.h"
#include "qdqopt.h"
#include "qdqopt_exec.h"

#define EXIT_COVERAGE 6 /* done, but --require-int8 is not met */

typedef enum command {
	COMMAND_OPTIMIZE,
	COMMAND_INSPECT,
	COMMAND_EXPLAIN,
	COMMAND_RUN,
	COMMAND_COMPARE,
	COMMAND_BENCH,
	COMMAND_HELP,
	COMMAND_VERSION
} command;

enum { MOST_INPUTS = 64 }; /* --input on one line */

typedef struct arguments {
	command command;
	const char *words[2]; /* positional: IN OUT, IN, A B, or CODE | IN NODE */
	int n_words;
	bool report;		 /* --report was given */
	const char *report_file; /* NULL: to the terminal */
	qdq_emit emit;
	bool exact, bounded, io_int8, quiet;
	const char *passes, *target, *print_after, *float_type;
	qdq_precision *precisions;
	size_t n_precisions;
	double require;			 /* percent; negative: not given */
	const char *inputs[MOST_INPUTS]; /* NAME=FILE.npy or FILE.npz */
	int n_inputs;
	bool check;  /* --check */
	bool layers; /* --layers */
	bool random; /* --random was given */
	uint64_t seed;
	const char *output, *instructions, *device;
	bool time_tactics;
	int threads;	     /* 0: as many as there are cores */
	int64_t batch;	     /* 0: not given */
	const char *profile; /* NULL: no file */
	double warmup;	     /* milliseconds */
	double duration;     /* seconds */
	int iterations;
	qdq_status failed; /* where words could not be taken for another reason than wrong usage */
} arguments;

/* arguments.c: false after a message on stderr. */
bool parse_arguments(arguments *out, int argc, char **argv);
/* precisions.c: setters of options, as in arguments.c; what all optimizing commands say to the library */
bool set_precision(arguments *a, const char *value);
bool set_keep_float(arguments *a, const char *value);
bool set_precision_file(arguments *a, const char *value);
void free_precisions(arguments *a);
qdq_optimize_options optimize_options(const arguments *a);
/* help.c */
void print_help(command c);
void print_rules(void);
/* Prints "did you mean" for the nearest of the options (words), if one is near. */
void suggest(const char *given, const char *const *words, size_t count);

/* io.c */
qdq_status write_stream(void *stream, const void *data, size_t size); /* a qdq_write_fn of a FILE */
void print_diagnostic(void *quiet, const qdq_diagnostic *d);	      /* a log function; *(bool *)quiet: errors only */
bool is_dash(const char *path);
/* A file, or stdin for "-": its bytes are kept in *held, to be freed behind the context. */
qdq_status load_input(qdq_model **out, qdq_ctx *ctx, const char *path, void **held);
/* Finishes what was printed to a stream; QDQ_EFILE with a message where that failed. */
qdq_status flush_stream(FILE *stream, const char *name);

/* output.c: a file that is written beside its place and renamed when it is complete. Links are followed, and what stood
 * there gives its permissions; a pipe or a device is written in place. */
typedef struct output_file {
	char *target, *temporary; /* NULL: written in place */
	int descriptor;
} output_file;

/* These say in errno why they return false. */
bool open_output(output_file *o, const char *path);
bool write_output(output_file *o, const void *data, size_t size);
bool commit_output(output_file *o);  /* gives it its name */
void discard_output(output_file *o); /* after any of the others: removes what is not committed */

/* memory.c: an allocator for qdq_options, of one context at a time */
void *alloc_ahead(void *user, void *p, size_t old_size, size_t new_size);

/* inputs.c: what --input and --random give to one network, or the same to two */
typedef struct given_inputs {
	const arguments *arguments;
	arrays files[MOST_INPUTS];
	arrays made;	/* random ones */
	uint64_t state; /* of the random numbers */
} given_inputs;
/* Messages are on stderr where these fail. */
qdq_status read_inputs(given_inputs *out, const arguments *a);
/* Every array must be an input of m or of other (which may be NULL). */
qdq_status check_inputs(const given_inputs *g, const qdq_model *m, const qdq_model *other);
/* The inputs that are given, and random ones if wanted; free *out. Data is g's, names are m's. */
qdq_status bind_inputs(qdq_binding **out, size_t *count, given_inputs *g, const qdq_model *m);
void free_inputs(given_inputs *g);

/* network.c: what run and bench run */
typedef struct network {
	const arguments *arguments;
	qdq_ctx *ctx;
	qdq_model *model;
	qdq_session *session;
	void *held;
	given_inputs given;
	qdq_binding *inputs, *outputs;
	size_t n_inputs, n_outputs;
	bool quiet;
} network;

/* Loads, binds inputs, optimizes. free_network comes last, whatever this returns. */
qdq_status load_network(network *n, const arguments *a);
/* A session as the arguments want it, with these callbacks, in place of the one before. */
qdq_status open_session(network *n, qdq_session_options callbacks);
qdq_status run_session(network *n);
void print_facts(const network *n); /* on stderr, unless --quiet */
void free_network(network *n);

/* profile.c */
enum { MOST_PROFILED = 10 }; /* runs */
typedef struct layer layer;
typedef struct profile {
	layer *layers; /* by kernel */
	size_t count, at, runs;
	bool failed; /* out of memory */
} profile;
void begin_profiled_run(profile *p);
void take_kernel(profile *p, const qdq_kernel_profile *k); /* ignored before the first run was begun */
qdq_status write_profile(profile *p, const char *path);	   /* after a message where it fails */
qdq_status print_profile(profile *p, const qdq_session_facts *f);
void free_profile(profile *p);
int compare_times(const void *a, const void *b); /* for qsort of doubles */
double median_time(const double *sorted, size_t count);

/* compare.c: in decibels; false where the two are no numbers of one type and shape. */
bool signal_to_noise(double *out, const qdq_binding *changed, const qdq_binding *original);

/* judge.c: a network before and after it is optimized, on the inputs that are given */
typedef struct judge {
	const arguments *arguments;
	given_inputs given;
	qdq_binding *inputs, *before, *after;
	size_t n_inputs, n_outputs;
	qdq_session *sessions[2];
} judge;
/* Runs m as it was loaded. */
qdq_status judge_before(judge *j, const arguments *a, qdq_model *m);
/* Runs it as it is now, and tells its reports how far the outputs are apart. */
qdq_status judge_after(judge *j, qdq_model *m);
void free_judge(judge *j);

/* optimize.c, explain.c: exit status */
int run_optimize(const arguments *a); /* also inspect */
int run_explain(const arguments *a);
int run_network(const arguments *a); /* run.c */
int run_compare(const arguments *a); /* compare.c */
int run_bench(const arguments *a);   /* bench.c */

#endif

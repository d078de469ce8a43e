/* SPDX-License-Identifier: Apache-2.0
 *
 * text.h -- what the files of the textual syntax share
 *
 * The language is that of ONNX's docs/Syntax.md and of the parser of onnx 1.23. What that parser takes is read, and
 * what is written it reads back. Where its syntax has no place for what a model can hold, this is done:
 *
 *   written as                                   read also
 *   4- and 2-bit tensors: packed bytes, as       one number for each element
 *     TensorProto.int32_data has them
 *   float16, bfloat16, float8, float4: codes
 *   complex: real and imaginary parts in turn
 *   "a-b".Op, "my op", Op:"x y" and "k-1" = 2:   the same (an extension: onnx has quotes only for names of values,
 *     quotes round what is no identifier         nodes, graphs, functions and dimensions)
 *   a nested graph's name, where it is no        any quoted name: onnx writes it so, but reads a string
 *     identifier: with _ for what does not fit
 *   tensors = [..], graphs = [..] and            the same (onnx drops such lists when it reads them)
 *     type_protos = [..]
 *   NaN of any payload: nan or -nan
 *
 * Left out, with a warning: sparse tensors in attributes and as initializers, and what qdq_about.beyond names.
 */
#ifndef QDQ_IR_TEXT_H
#define QDQ_IR_TEXT_H

#include "ir.h"

#define QDQ_TEXT_WIDTH 120 /* of a list that is written on one line */

/* ---- text_number.c ---- */

/* Digits, with an optional point and exponent; no sign. False where the value is too large, and for what is no number.
 */
bool qdq_text_to_double(const char *s, size_t size, double *out);
bool qdq_text_to_float(const char *s, size_t size, float *out);
/* The shortest form that reads back as the same number; at most 32 bytes. */
size_t qdq_text_of_float(float f, char *out);
size_t qdq_text_of_double(double d, char *out);
size_t qdq_text_of_int(int64_t i, char *out);
size_t qdq_text_of_unsigned(uint64_t u, char *out);

/* ---- text_words.c ---- */

extern const char *const qdq_text_attr_types[15]; /* by qdq_attr_type; "undefined" for NONE */
bool qdq_text_is_identifier(const char *s, size_t size);
bool qdq_text_is_type_word(const char *s, size_t size);	 /* does a type begin with it? */
bool qdq_text_is_float_word(const char *s, size_t size); /* inf, infinity, nan */
/* Bytes of the UTF-8 character at s; 0 where it is none. */
size_t qdq_text_utf8(const char *s, size_t size);

/* ---- reading: text_lex.c ---- */

/* A name that a node reads and nothing has defined yet: the rest of the text is read to say whether it is defined
 * later. */
typedef struct qdq_text_missing {
	qdq_name name; /* NULL: nothing is missing */
	const char *at;
	uint32_t depth;	 /* of the innermost graph that saw it and is still open */
	uint32_t number; /* of the node that reads it */
	const char *node, *op;
} qdq_text_missing;

/* A type that a graph's list declares for a value that is not there yet. */
typedef struct qdq_text_info {
	qdq_name name;
	qdq_value *value;
	struct qdq_text_info *outer; /* what an outer graph declares for the name */
} qdq_text_info;

typedef struct qdq_text_type {
	const qdq_type_tree *tree; /* NULL: a tensor, or nothing is said */
	qdq_type type;
	const qdq_shape *shape;
} qdq_text_type;

/* An output of a node or a graph, until the value is there. */
typedef struct qdq_text_output {
	qdq_name name;
	const char *at;
	qdq_text_type type;
} qdq_text_output;

/* An element of an attribute's list. */
typedef union qdq_text_item {
	float f;
	int64_t i;
	qdq_bytes s;
	const qdq_tensor *t;
	qdq_graph *g;
	const qdq_type_tree *tp;
} qdq_text_item;

/* A node of ai.onnx in a model that does not import it: a function must be meant. */
typedef struct qdq_text_homeless {
	const qdq_node *node;
	const char *at;
} qdq_text_homeless;

typedef struct qdq_text_reader {
	qdq_ctx *ctx;
	qdq_model *m;
	const char *begin, *at, *end;
	void (*fetch)(void *user, qdq_model *m, qdq_tensor *t, const qdq_text_external *e);
	void *fetch_user;
	qdq_arena scratch;
	char *token; /* the name read last, NUL-terminated */
	size_t token_room;
	uint32_t depth;	       /* of graphs and types */
	uint32_t graph_depth;  /* of graphs */
	uint32_t n_nodes;      /* begun */
	const char *node, *op; /* being read, for messages */
	qdq_value *nothing;    /* stands in for what is missing */
	qdq_text_missing missing;
	qdq_map infos; /* name -> qdq_text_info */
	bool in_function;
	/* stacks: each graph and node works above the mark it found */
	QDQ_VEC(qdq_name) bound;
	QDQ_VEC(qdq_text_info *) declared;
	QDQ_VEC(qdq_text_output) outputs;
	QDQ_VEC(qdq_value *) values;
	QDQ_VEC(qdq_attr) attrs;
	QDQ_VEC(qdq_text_item) items;
	QDQ_VEC(qdq_dim) dims;
	QDQ_VEC(qdq_text_homeless) homeless;
	QDQ_VEC(const char *) function_names; /* where each stands */
} qdq_text_reader;

typedef struct qdq_text_literal {
	enum { QDQ_LITERAL_NONE, QDQ_LITERAL_INT, QDQ_LITERAL_FLOAT, QDQ_LITERAL_STRING } kind;
	const char *at;
	size_t size;
	qdq_bytes string;
} qdq_text_literal;

/* QDQ_EMODEL; the message begins with line and column of `at`. */
QDQ_NORETURN void qdq_text_fail(qdq_text_reader *r, const char *at, const char *format, ...) QDQ_PRINTF(3, 4);
QDQ_NORETURN void qdq_text_fail_expected(qdq_text_reader *r, const char *what); /* "expected WHAT before 'Conv'" */
void qdq_text_settle(qdq_text_reader *r);					/* fails if anything is missing */

int qdq_text_peek(qdq_text_reader *r); /* the next character behind blanks and comments; -1 at the end */
bool qdq_text_match(qdq_text_reader *r, char c);
void qdq_text_expect(qdq_text_reader *r, char c);
void qdq_text_expect_arrow(qdq_text_reader *r);
bool qdq_text_word(qdq_text_reader *r, qdq_bytes *out); /* an identifier; false where there is none */
qdq_bytes qdq_text_peek_word(qdq_text_reader *r);	/* size 0: none */
qdq_bytes qdq_text_string(qdq_text_reader *r); /* what stands in quotes, any bytes; lives as long as the model */
const char *qdq_text_proper_string(qdq_text_reader *r); /* the same, but UTF-8 without NUL */
/* An identifier or a string, into r->token; false where there is neither. Valid until the next one. */
bool qdq_text_token(qdq_text_reader *r);
qdq_name qdq_text_name(qdq_text_reader *r, const char *what);	 /* the same, interned; `what` for the message */
void qdq_text_number(qdq_text_reader *r, qdq_text_literal *out); /* fails where there is none */
int64_t qdq_text_int(qdq_text_reader *r, const qdq_text_literal *l);
uint64_t qdq_text_unsigned(qdq_text_reader *r, const qdq_text_literal *l);
float qdq_text_float(qdq_text_reader *r, const qdq_text_literal *l);
double qdq_text_double(qdq_text_reader *r, const qdq_text_literal *l);
void qdq_text_enter(qdq_text_reader *r); /* one level deeper; fails at the limit */
void qdq_text_leave(qdq_text_reader *r);

/* ---- reading: text_type.c, text_tensor.c ---- */

bool qdq_text_at_type(qdq_text_reader *r);
void qdq_text_read_type(qdq_text_reader *r, qdq_text_type *out);
const qdq_type_tree *qdq_text_type_tree(qdq_text_reader *r, const qdq_text_type *t);
/* What a declaration says, where nothing is known yet. */
void qdq_text_declare(qdq_value *v, const qdq_text_type *t);
/* The data behind the type (and name, and =) of a tensor; `label` for messages. */
const qdq_tensor *qdq_text_read_tensor(qdq_text_reader *r, const qdq_text_type *type, const char *label);

/* ---- reading: text_attr.c ---- */

/* Pushes the attributes of <…>, if there are any, to r->attrs. Graphs in them have no parent yet. */
void qdq_text_read_attrs(qdq_text_reader *r);
/* `name` has been read; pushes the rest of an attribute. */
void qdq_text_read_attr(qdq_text_reader *r, qdq_name name);
/* What is on the stack above `mark`, in the model's arena; takes it off. */
qdq_attr *qdq_text_take_attrs(qdq_text_reader *r, size_t mark, uint32_t *count);

/* ---- reading: text_scope.c ---- */

typedef struct qdq_text_scope {
	size_t bound, declared; /* marks */
} qdq_text_scope;

qdq_text_scope qdq_text_open(qdq_text_reader *r); /* a graph begins */
void qdq_text_close(qdq_text_reader *r, const qdq_text_scope *scope, bool forget);
/* The value that r->token names here; NULL for the empty name. */
qdq_value *qdq_text_resolve(qdq_text_reader *r, const char *at, uint32_t node_number);
qdq_value *qdq_text_lookup(qdq_text_reader *r, qdq_name name); /* NULL: none */
void qdq_text_bind(qdq_text_reader *r, qdq_value *v, const char *at, uint32_t node_number);
/* A new value of g, which has the type that g declared for it. */
qdq_value *qdq_text_define(qdq_text_reader *r, qdq_graph *g, qdq_name name);
/* A type for a name of g that is there or is to come. */
void qdq_text_declare_name(qdq_text_reader *r, qdq_graph *g, qdq_name name, const qdq_text_type *type);
/* The outputs of g that stand on the stack above `mark`. */
void qdq_text_resolve_outputs(qdq_text_reader *r, qdq_graph *g, size_t mark);

/* ---- reading: text_graph.c, text_node.c ---- */

void qdq_text_read_graph(qdq_text_reader *r, qdq_graph *g, bool nested); /* from its name on */
/* `type name`, or the name alone; *typed says which. */
qdq_name qdq_text_read_info(qdq_text_reader *r, qdq_text_type *type, bool *typed);
void qdq_text_read_nodes(qdq_text_reader *r, qdq_graph *g);

/* ---- reading: text_model.c, text_link.c ---- */

void qdq_text_read_functions(qdq_text_reader *r);
/* Once all is read: calls find their functions, nodes get their origins. */
void qdq_text_link(qdq_text_reader *r);

/* ---- writing: text_write.c, text_print.c, text_print_data.c ---- */

enum { /* what is left out */
       QDQ_TEXT_SPARSE_ATTR = 1,
       QDQ_TEXT_SPARSE_VALUE = 2,
       QDQ_TEXT_EMPTY_ATTR = 4,
       QDQ_TEXT_GRAPH_NAME = 8,
       QDQ_TEXT_TYPE = 16
};

typedef struct qdq_text_writer {
	qdq_model *m;
	qdq_status (*write)(void *user, const void *data, size_t size);
	void *user;
	qdq_status status;
	qdq_arena scratch;
	char *buffer;
	size_t used;
	size_t column, indent;
	bool trial, overflow; /* one line is tried, and was too short */
	unsigned left_out;
} qdq_text_writer;

void qdq_text_put(qdq_text_writer *w, const char *s, size_t size);
void qdq_text_puts(qdq_text_writer *w, const char *s);
void qdq_text_put_int(qdq_text_writer *w, int64_t i);
void qdq_text_put_quoted(qdq_text_writer *w, const char *s, size_t size);
void qdq_text_put_name(qdq_text_writer *w, const char *s); /* quoted where it must be */
void qdq_text_put_line(qdq_text_writer *w);		   /* a new one, indented */
void qdq_text_flush(qdq_text_writer *w);
/* A list in one line, if it fits: print it between these two; where try_end returns false it was too long, nothing of
 * it is left, and it is to be printed over several. */
void qdq_text_try_begin(qdq_text_writer *w, size_t *mark, size_t *column);
bool qdq_text_try_end(qdq_text_writer *w, size_t mark, size_t column);

void qdq_text_put_type(qdq_text_writer *w, qdq_type type, const qdq_shape *shape);
void qdq_text_put_tree(qdq_text_writer *w, const qdq_type_tree *t);
void qdq_text_put_tensor_type(qdq_text_writer *w, const qdq_tensor *t);
void qdq_text_put_tensor_data(qdq_text_writer *w, const qdq_tensor *t); /* {1, 2} */
bool qdq_text_can_put_attr(qdq_text_writer *w, const qdq_attr *a);	/* false: noted as left out */
void qdq_text_put_attr(qdq_text_writer *w, const qdq_attr *a);
void qdq_text_put_graph(qdq_text_writer *w, const qdq_graph *g);
/* `type name` of a value, or the name alone. */
void qdq_text_put_value(qdq_text_writer *w, const qdq_value *v);
bool qdq_text_typed(const qdq_value *v); /* is there a type to write? */

#endif

/* SPDX-License-Identifier: Apache-2.0
 *
 * ir.h -- the network in memory: values with uses, nodes in topological order, regions
 *
 * Everything lives in the model's arena. Names are interned in the model: compare pointers. A value is defined
 * once, by a node, as a graph input or as a constant; it knows every use of it, also those in nested graphs
 * (captures of If, Loop, Scan). The lists below are read freely; they are changed only through edit.c.
 */
#ifndef QDQ_IR_H
#define QDQ_IR_H

#include "../base/base.h"

/* ---- dimensions and shapes (dims.c) -----------------------------------------------------------------------------
 * A dimension >= 0 is known. A negative one is the index (~dim) of an expression in the model's table: a symbol
 * ("N"), or a product, sum or quotient of dimensions. Expressions are hash-consed and simplified as they are made,
 * so two dimensions are equal exactly if their numbers are ("not known to be equal" otherwise). */
typedef int64_t qdq_dim;
typedef struct qdq_shape {
	int32_t rank;
	qdq_dim dim[];
} qdq_shape;

typedef enum qdq_dim_op {
	QDQ_DIM_SYMBOL,
	QDQ_DIM_MUL,
	QDQ_DIM_ADD,
	QDQ_DIM_DIV, /* floor */
	QDQ_DIM_MOD,
	QDQ_DIM_SUB /* also how a negative element of a value's contents is written: 0 - 1 */
} qdq_dim_op;
typedef struct qdq_dim_expr {
	qdq_dim_op op;
	qdq_name symbol; /* of SYMBOL; "" for one that is only known to be some number */
	qdq_dim a, b;
} qdq_dim_expr;

qdq_dim qdq_dim_symbol(qdq_model *m, qdq_name symbol);
qdq_dim qdq_dim_unknown(qdq_model *m); /* a fresh one, equal only to itself */
qdq_dim qdq_dim_binary(qdq_model *m, qdq_dim_op op, qdq_dim a, qdq_dim b);
/* Is d a number? Also the negative ones that only contents have. */
bool qdq_dim_value(const qdq_model *m, qdq_dim d, int64_t *out);
const char *qdq_dim_print(qdq_model *m, qdq_arena *a, qdq_dim d); /* "8", "N", "N*196", "?" */
const qdq_shape *qdq_shape_new(qdq_model *m, int32_t rank, const qdq_dim *dims);
bool qdq_shape_equal(const qdq_shape *a, const qdq_shape *b); /* false where one is NULL */
/* Number of elements; a symbolic dimension counts as 1 and sets *symbolic (which may be NULL). Saturates. */
int64_t qdq_shape_count(const qdq_shape *s, bool *symbolic);
bool qdq_shape_known(const qdq_shape *s); /* not NULL and no symbols */

/* ---- tensors ------------------------------------------------------------------------------------------------------
 * Constant data, immutable and shared. `data` points into a mapped file or the model's arena: little-endian,
 * dense, row-major; 4- and 2-bit types packed low bits first; bool one byte. Strings are `strings`, data NULL. */
typedef struct qdq_bytes {
	const char *data;
	size_t size;
} qdq_bytes;

/* Least and greatest of some numbers; both NaN where one is. */
typedef struct qdq_extent {
	double least, greatest;
} qdq_extent;

typedef struct qdq_tensor {
	qdq_type type;
	int32_t rank;
	const int64_t *dims;
	uint64_t count; /* elements */
	const void *data;
	uint64_t size; /* bytes at data */
	const qdq_bytes *strings;
	const struct qdq_source *source; /* lib/onnx's: the file that data lies in, NULL: memory */
	bool external;			 /* came from external data */
	bool measured;			 /* extent is known (see qdq_tensor_extent) */
	qdq_extent extent;
	const void *foreign; /* lib/onnx's: doc string, unknown fields */
} qdq_tensor;

/* ---- types that are not a tensor's ---------------------------------------------------------------------------------
 */

typedef enum qdq_kind {
	QDQ_KIND_TENSOR,
	QDQ_KIND_SEQUENCE,
	QDQ_KIND_MAP,
	QDQ_KIND_OPTIONAL,
	QDQ_KIND_SPARSE,
	QDQ_KIND_OPAQUE
} qdq_kind;

/* A type in full: of a value that is not a tensor, and of an attribute that is a type. */
typedef struct qdq_type_tree {
	qdq_kind kind;
	qdq_type type;			   /* element of TENSOR and SPARSE, key of MAP */
	const qdq_shape *shape;		   /* of TENSOR and SPARSE; NULL: rank unknown */
	const struct qdq_type_tree *inner; /* of SEQUENCE and OPTIONAL; value of MAP */
	qdq_name domain, name;		   /* of OPAQUE */
} qdq_type_tree;

/* ---- operators (ops.def, ops.c) ------------------------------------------------------------------------------------
 */

typedef enum qdq_class {
	QDQ_CLASS_BARRIER,   /* nothing moves through it; also every operator that the table does not know */
	QDQ_CLASS_MOVE,	     /* selects or rearranges elements of its data input(s) */
	QDQ_CLASS_MONO,	     /* order preserving: of elements it compares, it gives one back */
	QDQ_CLASS_CONTRACT,  /* multiplies and accumulates: Conv, ConvTranspose, Gemm, MatMul */
	QDQ_CLASS_POINTWISE, /* each output element depends on one element of each input (broadcast) */
	QDQ_CLASS_REDUCE,    /* sums or means over axes or windows */
	QDQ_CLASS_NORM,	     /* normalizations and softmax */
	QDQ_CLASS_QUANT,     /* between floats and codes */
	QDQ_CLASS_QFORM,     /* integer forms: QLinearConv, ConvInteger … */
	QDQ_CLASS_SHAPE	     /* reads no data: Shape, Size */
} qdq_class;

/* What the report calls the operator; NONE is not listed there. */
typedef enum qdq_family {
	QDQ_FAMILY_NONE,
	QDQ_FAMILY_WEIGHTED,
	QDQ_FAMILY_POOL,
	QDQ_FAMILY_ELEMENTWISE,
	QDQ_FAMILY_ACTIVATION,
	QDQ_FAMILY_NORM,
	QDQ_FAMILY_CONCAT
} qdq_family;

/* How a per-channel axis of the data input goes through a MOVE or MONO operator. */
typedef enum qdq_axis_rule {
	QDQ_AXIS_NONE,	    /* it does not */
	QDQ_AXIS_SAME,	    /* same axis, whole: elementwise, Identity */
	QDQ_AXIS_PERM,	    /* Transpose: through perm */
	QDQ_AXIS_VIEW,	    /* Reshape, Flatten, Squeeze, Unsqueeze: where the dimension survives in place */
	QDQ_AXIS_UNTOUCHED, /* same axis, if the operator leaves that dimension as it is: Slice, Pad, Tile, Concat … */
	QDQ_AXIS_CHANNEL    /* pools and Resize: axes 0 and 1 */
} qdq_axis_rule;

typedef enum qdq_op_id {
	QDQ_OP_NONE,   /* not in the table */
	QDQ_OP_REGION, /* a fused operator: node->region says what it does */
#define OP(id, ...) QDQ_OP_##id,
#include "ops.def"
#undef OP
	QDQ_OP_COUNT
} qdq_op_id;

typedef enum qdq_attr_type { /* numbers of AttributeProto.AttributeType */
			     QDQ_ATTR_NONE = 0,
			     QDQ_ATTR_FLOAT = 1,
			     QDQ_ATTR_INT = 2,
			     QDQ_ATTR_STRING = 3,
			     QDQ_ATTR_TENSOR = 4,
			     QDQ_ATTR_GRAPH = 5,
			     QDQ_ATTR_FLOATS = 6,
			     QDQ_ATTR_INTS = 7,
			     QDQ_ATTR_STRINGS = 8,
			     QDQ_ATTR_TENSORS = 9,
			     QDQ_ATTR_GRAPHS = 10,
			     QDQ_ATTR_SPARSE_TENSOR = 11,
			     QDQ_ATTR_SPARSE_TENSORS = 12,
			     QDQ_ATTR_TYPE_PROTO = 13,
			     QDQ_ATTR_TYPE_PROTOS = 14
} qdq_attr_type;

typedef struct qdq_op_info qdq_op_info;
typedef struct qdq_attr qdq_attr;
/* Fills in the types and shapes of n's outputs from its inputs; see infer.h. Never fails: what it cannot say stays
 * unknown. */
typedef struct qdq_infer qdq_infer;
typedef void qdq_infer_fn(qdq_infer *c, qdq_node *n);

struct qdq_op_info {
	qdq_op_id id;
	const char *name;
	const char *domain;   /* "" is ai.onnx */
	const char *versions; /* opset versions at which its definition changed: "1 6 11 13" */
	const char *inputs;   /* "X:f W:f B:f?": see ops.def */
	const char *outputs;  /* same notation */
	const char *attrs;    /* "group:i=1 pads:is axis:i=1@13-": see ops.def */
	qdq_class cls;
	qdq_family family;
	qdq_axis_rule axis;
	uint8_t s8_since,
	    u8_since; /* opset from which it takes (and runtimes run it on) int8, uint8 as data; 0 never */
	qdq_infer_fn *infer;
};

extern const qdq_op_info qdq_ops[QDQ_OP_COUNT];
/* Never NULL: the row of QDQ_OP_NONE for what the table does not know. */
const qdq_op_info *qdq_op_find(const char *domain, const char *name);
/* The version of the operator's definition that a model of this opset uses; 0 where it is older than the operator. */
int qdq_op_version(const qdq_op_info *op, int opset);
/* Least and greatest number of inputs (outputs) in an opset. */
void qdq_op_arity(const qdq_op_info *op, int opset, bool outputs, int *least, int *greatest);
/* May this operator take codes of this type as its data, in this opset? */
bool qdq_op_takes_codes(const qdq_op_info *op, int opset, qdq_type codes);
/* Is input `index` data that a Q/DQ may move through (not an index, shape, bound or pad value)? Of MOVE and MONO. */
bool qdq_op_data_input(const qdq_node *n, uint32_t index);
/* Does n, a Resize or Upsample, compute new values, or fill in some of its own? False: it copies, or is none. */
bool qdq_op_interpolates(const qdq_node *n);
/* Does n, of class MOVE or MONO and as it stands, the same on codes with this zero point as on what they mean? Not where
 * it interpolates, nor where it puts in a 0 (a Pad without value, the clamp of a Relu) that is another code. */
bool qdq_op_commutes(const qdq_node *n, int64_t zero);

/* ---- values, uses, nodes, graphs --------------------------------------------------------------------------------- */

typedef struct qdq_use qdq_use;
struct qdq_use {
	qdq_value *value; /* NULL: an absent optional input */
	qdq_node *node;
	qdq_use *prev, *next; /* in value->uses */
};

struct qdq_value {
	qdq_name name;
	qdq_graph *graph;   /* where it is defined */
	qdq_node *def;	    /* NULL: graph input or constant */
	qdq_use *uses;	    /* newest first */
	uint32_t n_uses;    /* without graph outputs */
	uint32_t n_outputs; /* how many times it is listed in graph->outputs */
	uint32_t id;	    /* dense in the model, for side tables */
	uint32_t place;	    /* in graph->inputs, of an input (a hint: see qdq_value_outer) */
	qdq_type type;	    /* element type; NONE: unknown or not a tensor */
	bool is_input;	    /* listed in graph->inputs */
	bool not_tensor;    /* sequence, map, optional …: see tree */
	bool declared;	    /* the user's file has an entry for it (input, output, value_info), which says: */
	qdq_type said_type; /* NONE: nothing */
	const qdq_shape *said_shape;
	const qdq_shape *shape;	   /* NULL: rank unknown */
	const qdq_tensor *tensor;  /* constant data, or the default of a graph input */
	const qdq_shape *contents; /* of an integer tensor of rank <= 1: its elements as dimensions, where known */
	const qdq_type_tree *tree; /* of a value that is not a tensor; NULL: not declared */
	const void *foreign;	   /* lib/onnx's ValueInfoProto */
};

struct qdq_attr {
	qdq_name name;
	qdq_attr_type type;
	qdq_name ref; /* ref_attr_name of a function's body; "" elsewhere */
	union {
		float f;
		int64_t i;
		qdq_bytes s;
		const qdq_tensor *t;
		qdq_graph *g;
		const float *floats;
		const int64_t *ints;
		const qdq_bytes *strings;
		const qdq_tensor *const *tensors;
		qdq_graph **graphs;
		const qdq_type_tree *tp; /* NULL: not known */
		const qdq_type_tree *const *tps;
	} u;
	size_t count;	     /* of the plural forms */
	const void *foreign; /* lib/onnx's: doc string, sparse tensors, unknown fields */
};

/* Where a node came from in the user's file. A node made by a rewrite takes the origin of what it replaces. */
typedef struct qdq_origin {
	uint32_t index; /* in the file's graph, in file order; nested graphs continue the count */
	qdq_name name;	/* may be "" */
	qdq_name op_type;
	const struct qdq_origin *next; /* a node that stands for several */
} qdq_origin;

typedef enum qdq_region_kind {
	QDQ_REGION_CONV, /* Conv and ConvTranspose */
	QDQ_REGION_GEMM,
	QDQ_REGION_MATMUL,
	QDQ_REGION_POOL,    /* and every other reduction */
	QDQ_REGION_ELTWISE, /* pointwise operators of any number of tensors */
	QDQ_REGION_LUT,	    /* pointwise operators from one 8-bit tensor to one: a table of 256 codes */
	QDQ_REGION_CONCAT,
	QDQ_REGION_MOVE,       /* DQ, a MOVE or MONO operator that is not legal on codes, Q */
	QDQ_REGION_REQUANTIZE, /* nothing but Q and DQ */
	QDQ_REGION_NORM,       /* a normalization, also from its parts, with the sum in front of it */
	QDQ_REGION_ATTENTION,  /* two contractions with a Softmax between, and how heads are split and joined */
	QDQ_REGION_KINDS
} qdq_region_kind;

/* A fused operator keeps the very nodes it replaced, as a graph: body->inputs[i] stands for the node's input i,
 * body->outputs[i] for its output i. The body has no constants of its own: they are inputs. */
typedef struct qdq_region {
	qdq_region_kind kind;
	qdq_graph *body;
	qdq_node *anchor; /* the contraction, pool, Add …; NULL for REQUANTIZE */
} qdq_region;

struct qdq_node {
	qdq_graph *graph; /* NULL once removed */
	qdq_node *prev, *next;
	const qdq_op_info *op;
	qdq_name name, op_type, domain, overload;
	uint32_t id;	/* dense in the model, for side tables */
	uint32_t place; /* in its graph, from 1, where qdq_graph_number has been called; 0 of nodes made since */
	uint32_t n_inputs, n_outputs, n_attrs;
	qdq_use *inputs;
	qdq_value **outputs; /* NULL element: an output that is left out */
	qdq_attr *attrs;
	qdq_region *region;		     /* of QDQ_OP_REGION */
	const struct qdq_function *function; /* of a call of a model-local function */
	const qdq_origin *origin;
	qdq_type wanted;     /* what the user wants it to compute in: FLOAT, FLOAT16, INT8; NONE: nothing was said */
	const void *foreign; /* lib/onnx's NodeProto: doc string, metadata, unknown fields */
};

struct qdq_graph {
	qdq_model *model;
	qdq_node *parent; /* the node that holds it as attribute or region; NULL: main graph or function */
	const struct qdq_function *function; /* whose body it is; NULL: none */
	qdq_name name;
	qdq_node *first, *last;
	uint32_t n_nodes;
	QDQ_VEC(qdq_value *) inputs;
	QDQ_VEC(qdq_value *) outputs;
	QDQ_VEC(qdq_value *) constants; /* initializers in file order; may hold dead ones until clean-up */
	const void *foreign;		/* lib/onnx's GraphProto */
};

typedef struct qdq_opset {
	qdq_name domain; /* "" is ai.onnx */
	int64_t version;
} qdq_opset;

/* A model-local function. Its attributes without and with default. */
typedef struct qdq_function {
	qdq_name domain, name, overload;
	qdq_graph *body;
	QDQ_VEC(qdq_name) attrs;
	QDQ_VEC(qdq_attr) defaults;
	QDQ_VEC(qdq_opset) opsets;
	const char *doc_string; /* NULL: none */
	const void *foreign;
} qdq_function;

/* What a file says about itself; no pass reads it. NULL: not said. */
typedef struct qdq_about {
	const char *producer_name, *producer_version, *domain, *doc_string;
	const int64_t *model_version;
	const char *(*metadata)[2]; /* keys and values */
	size_t n_metadata;
	const char *beyond; /* what the file has that only its own format can hold: "training information" */
} qdq_about;

/* Exactness of a rewrite: see docs/design.md. */
typedef enum qdq_exactness { QDQ_EXACT, QDQ_STEP1, QDQ_BOUNDED } qdq_exactness;

/* What a pass did, or declined to do; the report is made from these. Strings are static or in the model's arena. */
typedef struct qdq_event {
	bool declined;
	const char *pass, *rule;
	qdq_exactness exactness;
	double bound;		/* of BOUNDED: greatest change of an element of `operand`, in its own unit */
	const qdq_origin *node; /* the user's node that it is about */
	int reason;		/* qdq_reason_code of lib/report/reasons.def, of a declined one */
	const char *operand;	/* the tensor that it is about, or NULL */
	const char *cause;	/* the user's node (or tensor) that causes it */
	const char *message;
} qdq_event;

/* An input or output of the network that is codes now, and what they mean. */
typedef struct qdq_io_codes {
	qdq_name name;
	bool output;
	qdq_type type;
	double scale;
	int64_t zero;
} qdq_io_codes;

/* How far an output is from that of the network as it was, on inputs of the caller's. */
typedef struct qdq_measured {
	const char *output;
	double snr; /* decibels; infinite: not one bit differs */
} qdq_measured;

struct qdq_model {
	qdq_ctx *ctx;
	qdq_model *next; /* in ctx->models */
	qdq_arena arena;
	/* Each kind by itself: walks and look-ups touch few pages, and read memory in its order. */
	qdq_arena node_memory, list_memory, value_memory, name_memory; /* lists: inputs and outputs of nodes */
	qdq_names names;
	const char *path; /* for messages */
	qdq_graph *graph;
	int64_t ir_version;
	QDQ_VEC(qdq_opset) opsets;
	int opset; /* of ai.onnx */
	QDQ_VEC(qdq_function *) functions;
	QDQ_VEC(qdq_dim_expr) dims;
	qdq_map dim_index;
	uint32_t n_nodes, n_values;	     /* ids handed out */
	uint32_t n_regions;		     /* numbers handed out to fused operators */
	uint32_t n_compute;		     /* nodes that there have been of operators that the report lists */
	uint32_t n_mute;		     /* nodes that were made without any output */
	bool present[QDQ_OP_COUNT];	     /* operators that there have been: a pass can tell that it has no work */
	QDQ_VEC(const qdq_origin *) origins; /* every node of the user's file, by index */
	QDQ_VEC(qdq_event) events;
	QDQ_VEC(qdq_measured) measured;
	QDQ_VEC(qdq_io_codes) io;
	const qdq_about *about;	       /* NULL: nothing */
	struct qdq_baseline *baseline; /* lib/report's: the counts of the user's file */
	size_t n_file_names;	       /* so many of the names are the user's file's; 0: that is not known */
	bool has_external;
	bool poisoned;	     /* a call failed half-way for want of memory: it can only be freed */
	double milliseconds; /* that optimizing took, for the report */
	const char *target;  /* of the last optimization; NULL: none */
	const void *asked;   /* lib/api's: the qdq_pass_options of the last run of the whole pipeline; NULL: none */
	const void *foreign; /* lib/onnx's ModelProto */
	/* Of a copy: its values, by the ids of the model that the foreign records speak of. NULL: this is no copy. */
	qdq_value **twins;
	uint32_t n_twins;
};

/* ---- graph.c: making and reading ------------------------------------------------------------------------------- */

qdq_model *qdq_model_create(qdq_ctx *ctx, const char *path); /* throws; empty main graph, opset 0 */
void qdq_model_destroy(qdq_model *m);
qdq_graph *qdq_graph_create(qdq_model *m, qdq_node *parent, qdq_name name);
/* A new value in g without definition: give it one with qdq_node_create, or make it an input. */
qdq_value *qdq_value_create(qdq_graph *g, qdq_name name);
qdq_value *qdq_graph_add_input(qdq_graph *g, qdq_name name);
qdq_value *qdq_graph_add_constant(qdq_graph *g, qdq_name name, const qdq_tensor *t);
void qdq_graph_add_output(qdq_graph *g, qdq_value *v);
qdq_tensor *qdq_tensor_new(qdq_model *m, qdq_type type, int32_t rank, const int64_t *dims); /* data zeroed, writable */
bool qdq_tensor_equal(const qdq_tensor *a, const qdq_tensor *b);			    /* type, shape and bytes */

/* What a port of a region stands for outside (NULL: nothing); v itself where it is no input port. */
qdq_value *qdq_value_outer(qdq_value *v);
/* What computes v inside the region that has it as output; v itself where none has. */
const qdq_value *qdq_value_inner(const qdq_value *v);
/* The data of a value that is a constant; NULL where it is none (a graph input with a default is none). An input port of
 * a region is what it stands for. */
const qdq_tensor *qdq_value_constant(const qdq_value *v);
/* Element i of a tensor of any integer or any real type; false where it is of another, or has no such element. */
bool qdq_tensor_int(const qdq_tensor *t, uint64_t i, int64_t *out);
bool qdq_tensor_real(const qdq_tensor *t, uint64_t i, double *out);
/* Element i of a new tensor of float32, 16-bit float or 8-bit integers; rounded to the type. */
void qdq_tensor_set_real(qdq_tensor *t, uint64_t i, double real);
/* The only element of a constant, as a double; false where it is not one element or not a number. */
bool qdq_value_scalar(const qdq_value *v, double *out);
/* Elements of a constant of any integer type; false where it is none. Array in arena. */
bool qdq_value_ints(const qdq_value *v, qdq_arena *a, const int64_t **out, size_t *count);

/*
 * The node behind n in its graph, for walks. What lies a little further in memory comes soon, mostly; without the hint
 * each step waits for memory in a graph that exceeds the caches.
 */
static inline qdq_node *qdq_after(const qdq_node *n)
{
#if defined(__GNUC__)
	__builtin_prefetch((const char *)n + 32 * sizeof *n);
#endif
	return n->next;
}
static inline qdq_value *qdq_in(const qdq_node *n, uint32_t i) /* NULL: absent */
{
	return i < n->n_inputs ? n->inputs[i].value : NULL;
}
static inline qdq_value *qdq_out(const qdq_node *n, uint32_t i)
{
	return i < n->n_outputs ? n->outputs[i] : NULL;
}
static inline bool qdq_is(const qdq_node *n, qdq_op_id id)
{
	return n != NULL && n->op->id == id;
}
/* Does it move, copy or order elements? */
static inline bool qdq_is_move(const qdq_node *n)
{
	return n->op->cls == QDQ_CLASS_MOVE || n->op->cls == QDQ_CLASS_MONO;
}
/* Of ai.onnx or com.microsoft. */
static inline bool qdq_is_quantizer(const qdq_node *n)
{
	return n->op->id == QDQ_OP_QuantizeLinear || n->op->id == QDQ_OP_ms_QuantizeLinear;
}
static inline bool qdq_is_dequantizer(const qdq_node *n)
{
	return n->op->id == QDQ_OP_DequantizeLinear || n->op->id == QDQ_OP_ms_DequantizeLinear;
}
/* Rounds floats to a grid, as training tools write it (passes/read_fake.c). */
static inline bool qdq_is_fake_quantizer(const qdq_node *n)
{
	return n != NULL && (n->op->id == QDQ_OP_ov_FakeQuantize || n->op->id == QDQ_OP_qonnx_Quant ||
			     n->op->id == QDQ_OP_brevitas_Quant);
}
/* Nothing reads v, and it is no graph output. */
static inline bool qdq_value_unread(const qdq_value *v)
{
	return v->n_uses == 0 && v->n_outputs == 0;
}
/* No output of n is read. */
static inline bool qdq_node_unread(const qdq_node *n)
{
	for (uint32_t i = 0; i < n->n_outputs; i++)
		if (n->outputs[i] != NULL && !qdq_value_unread(n->outputs[i]))
			return false;
	return true;
}
static inline uint32_t qdq_use_index(const qdq_use *u)
{
	return (uint32_t)(u - u->node->inputs);
}
/* What a file is to say about v: what it said before, except for the element type of values that are codes now. */
static inline qdq_type qdq_value_told_type(const qdq_value *v)
{
	return v->declared && v->said_type == QDQ_TYPE_NONE ? QDQ_TYPE_NONE : v->type;
}
static inline const qdq_shape *qdq_value_told_shape(const qdq_value *v)
{
	return v->declared ? v->said_shape : v->shape;
}
/* Has the user excepted n from INT8? */
static inline bool qdq_kept_float(const qdq_node *n)
{
	return n->wanted == QDQ_TYPE_FLOAT || n->wanted == QDQ_TYPE_FLOAT16;
}
/* The node that defines v, if it is of this operator. */
static inline qdq_node *qdq_def(const qdq_value *v, qdq_op_id id)
{
	return v != NULL && qdq_is(v->def, id) ? v->def : NULL;
}
/* The one use of a value that is read once and is no graph output; else NULL. */
static inline qdq_use *qdq_only_use(const qdq_value *v)
{
	return v->n_uses == 1 && v->n_outputs == 0 ? v->uses : NULL;
}

/* The DequantizeLinear that defines v, of ai.onnx or of com.microsoft: what the opset's own cannot say (scales per
 * channel before opset 13, 16 bits before 21). */
static inline qdq_node *qdq_dequantizer(const qdq_value *v)
{
	return v != NULL && v->def != NULL && qdq_is_dequantizer(v->def) ? v->def : NULL;
}

/* The graphs that an attribute holds; none where it only names a parameter of a function. */
static inline size_t qdq_attr_graphs(const qdq_attr *a, qdq_graph *const **out)
{
	*out = NULL;
	if (a->type == QDQ_ATTR_GRAPH && a->u.g != NULL) {
		*out = &a->u.g;
		return 1;
	}
	if (a->type != QDQ_ATTR_GRAPHS)
		return 0;
	*out = a->u.graphs;
	return a->count;
}

const qdq_attr *qdq_attr_find(const qdq_node *n, const char *name); /* NULL: not given */
int64_t qdq_attr_int(const qdq_node *n, const char *name, int64_t absent);
float qdq_attr_float(const qdq_node *n, const char *name, float absent);
/* Borrowed; count 0 and NULL where it is not given. */
const int64_t *qdq_attr_ints(const qdq_node *n, const char *name, size_t *count);
/* Element i of such a list; absent where it has none. */
int64_t qdq_attr_int_at(const qdq_node *n, const char *name, size_t i, int64_t absent);
/* Are all of them `wanted`? Also where there are none. */
bool qdq_attr_all_are(const qdq_node *n, const char *name, int64_t wanted);
qdq_bytes qdq_attr_string(const qdq_node *n, const char *name, const char *absent);
bool qdq_attr_string_is(const qdq_node *n, const char *name, const char *absent, const char *wanted);

/* The value of m that a foreign record means by v; NULL where a copy has none. */
static inline qdq_value *qdq_value_here(const qdq_model *m, qdq_value *v)
{
	if (m->twins == NULL || v == NULL)
		return v;
	return v->id < m->n_twins ? m->twins[v->id] : NULL;
}

/* Has the model had any operator of this class (of this kind)? False: there is none. */
bool qdq_model_has_class(const qdq_model *m, qdq_class cls);
static inline bool qdq_model_has(const qdq_model *m, qdq_op_id op)
{
	return m->present[op];
}

/* The name of the user's file that this one is, or that qdq_unique_name made it of; itself where there is none. */
const char *qdq_file_name(const qdq_model *m, const char *name);
/* A name for messages: the node's, or that of the user's node that it stands for, or "#17" by its place in the file. */
const char *qdq_node_label(const qdq_node *n);
qdq_where qdq_node_where(const qdq_node *n, const char *operand);

/* copy.c: everything anew but tensors, strings and foreign messages, which are borrowed: m must outlive the copy. */
qdq_model *qdq_model_copy(qdq_ctx *ctx, qdq_model *m);

/* ---- edit.c: the only way to change a graph ---------------------------------------------------------------------- */

/* Where new nodes go: before `before`, or at the end where that is NULL. */
qdq_node *qdq_node_create(qdq_graph *g, qdq_node *before, const char *domain, const char *op_type, qdq_name name,
			  uint32_t n_inputs, qdq_value *const *inputs, uint32_t n_outputs, qdq_value *const *outputs);
/* For the table's operators: outputs are new values named after `name_hint` (made unique). */
qdq_node *qdq_node_insert(qdq_graph *g, qdq_node *before, qdq_op_id op, const char *name_hint, uint32_t n_inputs,
			  qdq_value *const *inputs, uint32_t n_outputs, const qdq_origin *origin);
/* The unique name that such a node gets: HINT_Operator. */
qdq_name qdq_node_name_for(qdq_model *m, qdq_op_id op, const char *hint);
/* A copy before `before`, NAME__2, with the same inputs and attributes, new outputs V__2 and the same origin. */
qdq_node *qdq_node_clone(qdq_node *n, qdq_node *before);
void qdq_node_remove(qdq_node *n);				 /* its outputs must be unused; its inputs lose a use */
void qdq_node_move(qdq_node *n, qdq_graph *g, qdq_node *before); /* also from graph to graph; its outputs go along */
void qdq_node_set_op(qdq_node *n, qdq_op_id op); /* another operator with the same operands and attributes */
void qdq_node_resize_inputs(qdq_node *n, uint32_t n_inputs);
void qdq_use_set(qdq_use *u, qdq_value *v);		    /* v may be NULL */
void qdq_value_replace(qdq_value *old, qdq_value *by);	    /* all uses, and graph outputs: see below */
void qdq_value_replace_uses(qdq_value *old, qdq_value *by); /* all uses, not the graph outputs */
/* Makes `n` (its output `i`) the definer of v instead of whatever defined it; the old output of n goes away. The way
 * to keep a name: graph outputs must keep theirs. */
void qdq_value_redefine(qdq_value *v, qdq_node *n, uint32_t i);
/* v, whatever defined it, becomes an initializer of its graph. */
void qdq_value_set_constant(qdq_value *v, const qdq_tensor *t);
/* Other data for v, which is an initializer. */
void qdq_constant_set(qdq_value *v, const qdq_tensor *t);
/* Initializers that nothing reads (and that are no graph inputs) go. */
void qdq_graph_drop_constants(qdq_graph *g);
void qdq_value_rename(qdq_value *v, qdq_name name);
qdq_attr *qdq_attr_set(qdq_node *n, const char *name, qdq_attr_type type); /* new or overwritten; fill in u */
void qdq_attr_set_int(qdq_node *n, const char *name, int64_t i);
void qdq_attr_set_float(qdq_node *n, const char *name, float f);
void qdq_attr_set_ints(qdq_node *n, const char *name, const int64_t *ints, size_t count);
void qdq_attr_set_string(qdq_node *n, const char *name, const char *s);
void qdq_attr_remove(qdq_node *n, const char *name);
void qdq_value_set_type(qdq_value *v, qdq_type type, const qdq_shape *shape);
/* The origin of n and of m together. */
const qdq_origin *qdq_origin_join(qdq_model *m, const qdq_origin *a, const qdq_origin *b);

/* Puts nodes in topological order, keeping the order there is where possible. False: there is a cycle. O(n + uses). */
bool qdq_graph_sort(qdq_graph *g);
/* Gives each node of g its place, until the next qdq_graph_sort. */
void qdq_graph_number(qdq_graph *g);

/* ---- region.c ---------------------------------------------------------------------------------------------------- */

/* Outlines `nodes` (of one graph, in order, convex) into a region node named `name`. What they read from outside
 * becomes inputs (each value once), what is read outside (or is a graph output) becomes outputs. Its kind and anchor are
 * what its nodes say. */
qdq_node *qdq_region_create(qdq_graph *g, qdq_node *const *nodes, size_t count, qdq_name name);
/* The inverse: the body's nodes go back before the region node, which is removed. */
void qdq_region_expand(qdq_node *region);
/* The kind that a body has by its nodes, and its anchor; the body must know its node, which has its inputs. */
qdq_region_kind qdq_region_classify(const qdq_graph *body, qdq_node **anchor);
/* Could n be the anchor of a region rather than `other`? Contractions come first, then norms, then pools and Concat, pointwise
 * operators, moves; NULL and Q and DQ come last. */
bool qdq_region_outranks(const qdq_node *n, const qdq_node *other);
/* Does each element of n's output depend on one element of each input, which may be broadcast: class POINTWISE, Relu,
 * Clip, Max, Min, and BatchNormalization? */
bool qdq_is_pointwise(const qdq_node *n);
extern const char *const qdq_region_kind_names[QDQ_REGION_KINDS]; /* "conv", "gemm" … */
#define QDQ_REGION_DOMAIN "qdqopt" /* of the functions that stand for regions in a file */

/* ---- verify.c, infer.c ---------------------------------------------------------------------------------------------
 */

/* Checks every invariant of this header; false and error diagnostics where one is broken. */
bool qdq_graph_verify(qdq_graph *g);
/* What a user's file must fulfil once it is loaded and inferred: arity, attributes, element types, parameters of Q and
 * DQ. False and error diagnostics for a file that cannot be used. */
bool qdq_model_check(qdq_model *m);
/* Types, shapes and contents of everything in the graph (and nested graphs), front to back. */
void qdq_graph_infer(qdq_graph *g);
void qdq_node_infer(qdq_node *n);
/* For developers and tests: a line "name TAB type TAB shape" for each value of the graph and its nested graphs;
 * a type or shape that is not known is "?". */
void qdq_graph_dump_values(qdq_graph *g, void (*line)(void *user, const char *text), void *user);

/* ---- quant.c: what a Q or DQ node says ------------------------------------------------------------------------- */

/* Parameters of a QuantizeLinear or DequantizeLinear (ai.onnx or com.microsoft). */
typedef struct qdq_params {
	qdq_type codes;		 /* type of the quantized side */
	qdq_type real;		 /* type of the float side */
	qdq_type precision;	 /* that a Q asks to be divided in; NONE: it does not say */
	qdq_value *scale, *zero; /* zero NULL: absent (0) */
	bool constant;		 /* scale and zero point are constants */
	bool per_tensor;	 /* one scale */
	int64_t axis;		 /* of a per-channel one, non-negative where the rank is known */
	int64_t block;		 /* block_size; 0 none */
	uint64_t count;		 /* scales */
	bool positive;		 /* every scale is finite and > 0 (only if constant) */
} qdq_params;

bool qdq_params_of(const qdq_node *n, qdq_params *out); /* false: n is no Q or DQ */
/* Same codes, scale, zero point and axis (an absent zero point equals 0; shape [] equals [1]). */
bool qdq_params_equal(const qdq_params *a, const qdq_params *b);
/* Element c of a tensor of scales, and the only one whatever c is. */
double qdq_other_scale_at(const qdq_tensor *t, uint64_t c);
static inline double qdq_scale_at(const qdq_tensor *t, uint64_t c)
{
	uint64_t i = t->count == 1 ? 0 : c;
	float x;

	if (t->type != QDQ_TYPE_FLOAT)
		return qdq_other_scale_at(t, i);
	memcpy(&x, (const char *)t->data + i * sizeof x, sizeof x);
	return (double)x;
}
/* Scale and zero point of channel c, as the operators see them. */
double qdq_params_scale(const qdq_params *p, uint64_t c);
int64_t qdq_params_zero(const qdq_params *p, uint64_t c);
/* Of the elements of a tensor that scales or zero points may be (else of zeros). Passes ask again and again, so it is
 * found once: what a scale or zero point holds never changes. */
qdq_extent qdq_tensor_extent(const qdq_tensor *t);
qdq_extent qdq_params_scales(const qdq_params *p);
qdq_extent qdq_params_zeros(const qdq_params *p);
/* What DQ makes of code q in channel c: a float, rounded to the type of the float side. */
double qdq_params_real(const qdq_params *p, uint64_t c, int64_t q);
/* Does Q make code q of x? Of a 16-bit float both when the quotient is rounded to its type, as the specification says,
 * and when it is kept in float32, as some runtimes do. */
bool qdq_params_gives(const qdq_params *p, uint64_t c, double x, int64_t q);
/* Q(DQ(q)) == q for every code q, decided by trying them all (8 bits and less; 16 bits too). */
bool qdq_params_round_trip(const qdq_params *p);
static inline bool qdq_type_is_int8(qdq_type t)
{
	return t == QDQ_TYPE_INT8 || t == QDQ_TYPE_UINT8;
}
static inline bool qdq_type_is_half(qdq_type t)
{
	return t == QDQ_TYPE_FLOAT16 || t == QDQ_TYPE_BFLOAT16;
}
/* What Q reads and DQ gives. */
static inline bool qdq_type_is_real(qdq_type t)
{
	return t == QDQ_TYPE_FLOAT || qdq_type_is_half(t);
}
/* QuantizeLinear (DequantizeLinear) with the parameters of p, before `before`; its output is named after hint. An
 * explicit zero point of type p->codes is always written. */
qdq_node *qdq_quantize_insert(qdq_graph *g, qdq_node *before, qdq_value *x, const qdq_params *p, const char *hint,
			      const qdq_origin *origin);
qdq_node *qdq_dequantize_insert(qdq_graph *g, qdq_node *before, qdq_value *q, const qdq_params *p, const char *hint,
				const qdq_origin *origin);
/* The same, which defines y: a value that nothing defines any more. */
qdq_node *qdq_dequantize_into(qdq_value *y, qdq_node *before, qdq_value *q, const qdq_params *p,
			      const qdq_origin *origin);

/* ---- text.c: ONNX's textual syntax
 * --------------------------------------------------------------------------------------- */

/* `source` must outlive the model. Throws with line and column in the message. */
qdq_model *qdq_text_parse(qdq_ctx *ctx, const char *source, size_t size, const char *path);

/* A tensor of a text whose data lies in another file. */
typedef struct qdq_text_external {
	const char *location;
	uint64_t offset, length; /* length is what the tensor needs */
	const char *name;	 /* of the tensor, for messages */
} qdq_text_external;
/* As qdq_text_parse; `fetch` gives a tensor its data (and source). Without it external data is an error. */
qdq_model *qdq_text_parse_with(qdq_ctx *ctx, const char *source, size_t size, const char *path,
			       void (*fetch)(void *user, qdq_model *m, qdq_tensor *t, const qdq_text_external *e),
			       void *user);

/* write(user, data, size) is called with pieces of the text; returns the first status that it returns other than
 * QDQ_OK. What the syntax cannot say is left out, and one warning says what that was. */
qdq_status qdq_text_print(qdq_model *m, qdq_status (*write)(void *user, const void *data, size_t size), void *user);

#endif

/* SPDX-License-Identifier: Apache-2.0
 *
 * cuda.h -- private to the files of the CUDA back end: device.c, prepare.c, slots.c, steps.c, pack.c, tactics.c,
 * run.c
 */
#ifndef QDQ_EXEC_CUDA_CUDA_H
#define QDQ_EXEC_CUDA_CUDA_H

#include "../backend.h"
#include "driver.h"
#include "images.h"
#include "params.h"

#define QDQ_FEW_SHARED 98304 /* bytes of shared memory for few.cu at most: there are 99 KB on sm_86 and 89 */
#define QDQ_CUDA_SLACK 65536 /* bytes behind the arena: tiles of grouped channels read past the last pixel */

/* ---- functions on the device ---- */

#define QDQ_TILES 7	  /* of contractions: pixels x channels; tactics.c lists them */
#define QDQ_TILE_GROUPS 6 /* the one of warp groups: compute capability 9.0, and chains only */
/* What follows their sums: any steps, or a chain that has a kernel of its own. */
typedef enum qdq_cuda_ending {
	QDQ_ENDING_ANY,
	QDQ_ENDING_ROUND_S8,
	QDQ_ENDING_ROUND_U8,
	QDQ_ENDING_ADD_S8,
	QDQ_ENDING_ADD_U8,
	QDQ_ENDINGS
} qdq_cuda_ending;

typedef enum qdq_cuda_function {
	QDQ_CONTRACT = QDQ_TILES * QDQ_ENDINGS - 1, /* the last of them: ending * QDQ_TILES + tile */
	QDQ_FEW,
	QDQ_FEW_ROUND_S8,
	QDQ_FEW_ROUND_U8,
	QDQ_DEPTHWISE,
	QDQ_DEPTHWISE_4, /* 4 pixels a thread */
	QDQ_ROWS,
	QDQ_ROWS_4, /* 4 pixels a thread */
	QDQ_MAX_S8, /* 16 channels a thread */
	QDQ_MAX_U8,
	QDQ_MEAN, /* over many pixels */
	QDQ_FUNCTIONS
} qdq_cuda_function;

typedef struct qdq_tile_shape {
	int pixels, channels, stages, threads, blocks; /* blocks: that fit on a multiprocessor */
} qdq_tile_shape;
extern const qdq_tile_shape qdq_tiles[QDQ_TILES];
int qdq_tile_shared(const qdq_tile_shape *s); /* bytes of shared memory */

/* ---- weights ---- */

/* Packed for a kind of kernel; on the device, shared by all plans. */
typedef struct qdq_cuda_filter {
	struct qdq_cuda_filter *next;
	bool ready; /* false: packing failed */
	qdq_conv g; /* as packed */
	CUdeviceptr weights;
	int64_t *largest; /* by output: all weights less zero points, without signs, added */
	int32_t *sums;	  /* by output: all weights less zero points, added */
	int32_t depth;	  /* bytes of an output's weights; of depthwise: quads */
	int32_t copies;	  /* bytes that a weight needs: 1, or more where zero points make it wide */
	int32_t span;	  /* channels of a tap */
} qdq_cuda_filter;

/* ---- plans ---- */

typedef struct qdq_slot { /* an address in a kernel's parameters that is filled in later */
	uint64_t *at;
	uint32_t buffer; /* index, or QDQ_SLOT_BLOB, PARTIAL, COUNTERS */
	uint64_t offset;
} qdq_slot;
enum { QDQ_SLOT_BLOB = 0x7ffffff0, QDQ_SLOT_PARTIAL, QDQ_SLOT_COUNTERS };

typedef struct qdq_launch {
	const qdq_kernel *k;
	bool host;		/* runs on the CPU */
	bool fused;		/* the next kernel does it as well */
	qdq_cuda_ending ending; /* of a contraction */
	uint32_t function;	/* QDQ_FEW, ..., or a contraction's */
	uint32_t grid[2];
	uint32_t block, shared;
	void *params;
} qdq_launch;

typedef struct qdq_graph_entry { /* a CUDA graph for one set of addresses */
	CUgraphExec exec;
	uint64_t *data;
} qdq_graph_entry;
enum { QDQ_GRAPHS = 4 };

typedef struct qdq_cuda_plan {
	const qdq_plan *p;
	struct qdq_cuda_plan *next;
	qdq_launch *launches; /* by kernel */
	void *cpu;	      /* as the CPU has made it ready; NULL: nothing runs there */
	size_t elsewhere;
	qdq_arena *scratch;
	QDQ_VEC(qdq_slot) slots;
	QDQ_VEC(char) blob; /* constants: until they are on the device */
	CUdeviceptr blob_at;
	uint64_t blob_size, partial_size, counters_size;
	uint64_t *data; /* by buffer: where it is now */
	char **host;	/* by buffer: a copy for kernels that run on the CPU */
	qdq_graph_entry graphs[QDQ_GRAPHS];
	int next_graph;
} qdq_cuda_plan;

typedef struct qdq_area { /* device memory that grows */
	CUdeviceptr at;
	uint64_t size;
} qdq_area;

typedef struct qdq_cuda_device {
	qdq_device base;
	qdq_driver driver;
	CUdevice device;
	CUcontext context;
	CUmodule modules[QDQ_IMAGE_COUNT];
	CUfunction functions[QDQ_FUNCTIONS]; /* NULL: not needed yet */
	const char *names[QDQ_FUNCTIONS];    /* of theirs, without qdq_ */
	CUstream own, stream;		     /* stream: the caller's, or own */
	CUevent events[2];		     /* to time tactics; NULL: not yet */
	CUevent *marks;			     /* between the kernels of a run that is profiled */
	size_t n_marks;
	qdq_device *cpu;
	qdq_cuda_filter *filters;
	qdq_cuda_plan *plans;
	qdq_area arena, partial, counters;
	qdq_area *inputs, *outputs; /* for what the caller has in host memory */
	size_t n_inputs, n_outputs;
	uint64_t allocated, weights; /* bytes */
	char name[128];
	double int8_tops, memory_gbs; /* 0: not known */
	int multiprocessors, tactic;
	bool time_tactics;
	bool warp_groups; /* it has them */
	bool waits;	  /* its kernels say where they need the one before: those of sm_90a, not those from PTX */
} qdq_cuda_device;

/* device.c: throws where the driver refused; `what` and the node's name go into the message. */
void qdq_cuda_check(qdq_cuda_device *d, CUresult r, const char *what, const qdq_node *n);
CUdeviceptr qdq_cuda_alloc(qdq_cuda_device *d, uint64_t size, const char *what);
void qdq_cuda_drop(qdq_cuda_device *d, qdq_area *a); /* gives it back, if there is any */
void qdq_cuda_grow(qdq_cuda_device *d, qdq_area *a, uint64_t size, const char *what);

/* Loads the kernel of a launch, if it is not yet: the driver takes its time for each. Throws QDQ_EDEVICE. */
void qdq_cuda_need(qdq_cuda_device *d, const qdq_launch *l);

/* pack.c */
bool qdq_cuda_is_depthwise(const qdq_conv *g);
/* Where channel c of tap t, counted through the copies, is in an output's weights. */
int32_t qdq_cuda_window_place(const qdq_conv *g, int32_t span, int32_t t, int32_t c);
const qdq_cuda_filter *qdq_cuda_filter_of(qdq_cuda_device *d, const qdq_conv *g);

/* tactics.c: a tile and a number of splits for a contraction. */
typedef struct qdq_tactic {
	int tile, splits;
} qdq_tactic;
typedef struct qdq_contraction {
	int64_t pixels, channels;
	int32_t depth;	   /* bytes of a window */
	bool groups, adds; /* adds: there is a residual */
	bool chain;	   /* its steps have kernels of their own */
} qdq_contraction;
qdq_tactic qdq_cuda_tactic(const qdq_cuda_device *d, const qdq_contraction *c);
/* The candidates of a contraction, best guess first; at most `most`. */
int qdq_cuda_tactics(const qdq_cuda_device *d, const qdq_contraction *c, qdq_tactic *out, int most);

bool qdq_cuda_tile_fits(const qdq_cuda_device *d, const qdq_contraction *c, int tile);

/* slots.c */
uint64_t qdq_cuda_blob_add(qdq_cuda_plan *c, const void *data, size_t size, size_t room); /* its offset */
void qdq_cuda_slot(qdq_cuda_plan *c, uint64_t *at, uint32_t buffer, uint64_t offset);
/* Four bytes for each channel, and zeros for those that a tile has beside them. */
void qdq_cuda_per_channel(qdq_cuda_plan *c, uint64_t *at, const void *data, int64_t channels);
void qdq_cuda_set_place(qdq_cuda_plan *c, qdq_cuda_place *to, const qdq_operand *o, const qdq_kernel *k);
void qdq_cuda_add_constants(qdq_cuda_plan *c); /* those that kernels read as they are */
void qdq_cuda_fill_slots(qdq_cuda_device *d, qdq_cuda_plan *c);

/* steps.c */
bool qdq_cuda_covers(const qdq_kernel *k); /* are its steps some that kernels know? */
bool qdq_cuda_flatten(qdq_cuda_plan *c, const qdq_kernel *k, qdq_cuda_steps *to); /* false: there is no room for all */

/* prepare.c */
void *qdq_cuda_prepare(qdq_device *base, const qdq_plan *p);
void qdq_cuda_set_tactic(qdq_cuda_plan *c, qdq_launch *l, qdq_tactic t);

/* run.c */
void qdq_cuda_run(qdq_device *base, void *prepared, const qdq_call *call);
void qdq_cuda_launch(qdq_cuda_device *d, const qdq_launch *l, CUstream stream);

#endif

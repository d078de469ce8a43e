/* SPDX-License-Identifier: Apache-2.0
 *
 * driver.h -- the CUDA driver, found when the program runs
 *
 * Only libcuda.so.1 is needed, and only by who asks for a GPU. The types are those of the driver's interface, declared here
 * so that the library builds without CUDA.
 */
#ifndef QDQ_EXEC_CUDA_DRIVER_H
#define QDQ_EXEC_CUDA_DRIVER_H

#include <stddef.h>
#include <stdint.h>

typedef int CUresult; /* 0: success */
typedef int CUdevice;
typedef unsigned long long CUdeviceptr;
typedef struct CUctx_st *CUcontext;
typedef struct CUmod_st *CUmodule;
typedef struct CUfunc_st *CUfunction;
typedef struct CUstream_st *CUstream;
typedef struct CUevent_st *CUevent;
typedef struct CUgraph_st *CUgraph;
typedef struct CUgraphExec_st *CUgraphExec;

enum { CUDA_OUT_OF_MEMORY = 2, CUDA_NO_BINARY = 209 };

typedef struct CUlaunchAttribute {
	int id;
	char pad[4];
	union {
		char bytes[64];
		int on;
	} value;
} CUlaunchAttribute;

typedef struct CUlaunchConfig {
	unsigned grid[3], block[3], shared;
	CUstream stream;
	CUlaunchAttribute *attributes;
	unsigned n_attributes;
} CUlaunchConfig;

enum {
	CUDA_ATTRIBUTE_SERIALIZATION = 6, /* of a launch: programmatic stream serialization */
	CUDA_DEVICE_CLOCK = 13,		  /* kHz */
	CUDA_DEVICE_MULTIPROCESSORS = 16,
	CUDA_DEVICE_MEMORY_CLOCK = 36, /* kHz */
	CUDA_DEVICE_BUS = 37,	       /* bits */
	CUDA_DEVICE_MAJOR = 75,
	CUDA_DEVICE_MINOR = 76,
	CUDA_FUNCTION_SHARED = 8, /* dynamic shared memory at most */
	CUDA_CAPTURE_RELAXED = 2
};

/* name in struct qdq_driver, symbol, arguments */
// clang-format off
#define QDQ_DRIVER_FUNCTIONS(X) \
	X(init, "cuInit", (unsigned flags)) \
	X(version, "cuDriverGetVersion", (int *out)) \
	X(error_name, "cuGetErrorName", (CUresult r, const char **out)) \
	X(error_text, "cuGetErrorString", (CUresult r, const char **out)) \
	X(device_count, "cuDeviceGetCount", (int *out)) \
	X(device_get, "cuDeviceGet", (CUdevice *out, int nth)) \
	X(device_name, "cuDeviceGetName", (char *out, int size, CUdevice d)) \
	X(device_attribute, "cuDeviceGetAttribute", (int *out, int attribute, CUdevice d)) \
	X(context_retain, "cuDevicePrimaryCtxRetain", (CUcontext *out, CUdevice d)) \
	X(context_release, "cuDevicePrimaryCtxRelease_v2", (CUdevice d)) \
	X(context_set, "cuCtxSetCurrent", (CUcontext c)) \
	X(module_load, "cuModuleLoadData", (CUmodule *out, const void *image)) \
	X(module_unload, "cuModuleUnload", (CUmodule m)) \
	X(module_function, "cuModuleGetFunction", (CUfunction *out, CUmodule m, const char *name)) \
	X(function_attribute, "cuFuncSetAttribute", (CUfunction f, int attribute, int value)) \
	X(alloc, "cuMemAlloc_v2", (CUdeviceptr *out, size_t size)) \
	X(release, "cuMemFree_v2", (CUdeviceptr p)) \
	X(to_device, "cuMemcpyHtoDAsync_v2", (CUdeviceptr to, const void *from, size_t size, CUstream s)) \
	X(to_host, "cuMemcpyDtoHAsync_v2", (void *to, CUdeviceptr from, size_t size, CUstream s)) \
	X(move, "cuMemcpyDtoDAsync_v2", (CUdeviceptr to, CUdeviceptr from, size_t size, CUstream s)) \
	X(fill, "cuMemsetD8Async", (CUdeviceptr to, unsigned char byte, size_t size, CUstream s)) \
	X(stream_new, "cuStreamCreate", (CUstream *out, unsigned flags)) \
	X(stream_free, "cuStreamDestroy_v2", (CUstream s)) \
	X(stream_wait, "cuStreamSynchronize", (CUstream s)) \
	X(capture_begin, "cuStreamBeginCapture_v2", (CUstream s, int mode)) \
	X(capture_end, "cuStreamEndCapture", (CUstream s, CUgraph *out)) \
	X(graph_make, "cuGraphInstantiateWithFlags", (CUgraphExec *out, CUgraph g, unsigned long long flags)) \
	X(graph_free, "cuGraphDestroy", (CUgraph g)) \
	X(graph_exec_free, "cuGraphExecDestroy", (CUgraphExec g)) \
	X(graph_launch, "cuGraphLaunch", (CUgraphExec g, CUstream s)) \
	X(launch, "cuLaunchKernelEx", (const CUlaunchConfig *c, CUfunction f, void **params, void **extra)) \
	X(event_new, "cuEventCreate", (CUevent *out, unsigned flags)) \
	X(event_free, "cuEventDestroy_v2", (CUevent e)) \
	X(event_record, "cuEventRecord", (CUevent e, CUstream s)) \
	X(event_wait, "cuEventSynchronize", (CUevent e)) \
	X(event_elapsed, "cuEventElapsedTime", (float *ms, CUevent from, CUevent to))
// clang-format on

typedef struct qdq_driver {
	void *library;
#define MEMBER(name, symbol, arguments) CUresult(*name) arguments;
	QDQ_DRIVER_FUNCTIONS(MEMBER)
#undef MEMBER
} qdq_driver;

/* Finds the driver. NULL, or what is missing. */
const char *qdq_driver_open(qdq_driver *d);
void qdq_driver_close(qdq_driver *d);

#endif

# SPDX-License-Identifier: Apache-2.0
#
# 07_ctypes.py -- the library from Python, without anything to install: LIB is the path of libqdqopt.so
"""usage: LIB=build/libqdqopt.so python3 07_ctypes.py MODEL"""
import ctypes as c
import os
import sys

lib = c.CDLL(os.environ.get("LIB", "libqdqopt.so.0"))


class Op(c.Structure):  # qdq_op_report
    _fields_ = [
        ("name", c.c_char_p),
        ("op", c.c_char_p),
        ("verdict", c.c_int),
        ("macs", c.c_uint64),
        ("bytes", c.c_uint64),
        ("fused_into", c.c_char_p),
        ("code", c.c_char_p),
        ("operand", c.c_char_p),
        ("node", c.c_char_p),
        ("message", c.c_char_p),
        ("fix", c.c_char_p),
    ]


lib.qdq_version.restype = c.c_char_p
lib.qdq_status_text.restype = c.c_char_p
lib.qdq_load_file.argtypes = [c.POINTER(c.c_void_p), c.c_void_p, c.c_char_p]
lib.qdq_optimize.argtypes = [c.c_void_p, c.c_void_p]
lib.qdq_report_new.argtypes = [c.POINTER(c.c_void_p), c.c_void_p, c.c_char_p]
lib.qdq_report_op_count.argtypes = [c.c_void_p]
lib.qdq_report_op_count.restype = c.c_size_t
lib.qdq_report_get_op.argtypes = [c.POINTER(Op), c.c_void_p, c.c_size_t]
lib.qdq_report_coverage.argtypes = [c.c_void_p]
lib.qdq_report_coverage.restype = c.c_double
lib.qdq_ctx_new.argtypes = [c.POINTER(c.c_void_p), c.c_void_p]
lib.qdq_ctx_free.argtypes = [c.c_void_p]


def check(status):
    if status != 0:
        sys.exit(lib.qdq_status_text(status).decode())


def main(path):
    ctx, model, report, op = c.c_void_p(), c.c_void_p(), c.c_void_p(), Op()
    check(lib.qdq_ctx_new(c.byref(ctx), None))
    try:
        check(lib.qdq_load_file(c.byref(model), ctx, path.encode()))
        check(lib.qdq_optimize(model, None))
        check(lib.qdq_report_new(c.byref(report), model, None))
        print(f"qdqopt {lib.qdq_version().decode()}: {lib.qdq_report_coverage(report):.1f} % in INT8")
        for i in range(lib.qdq_report_op_count(report)):
            check(lib.qdq_report_get_op(c.byref(op), report, i))
            print(f"  {op.op.decode():20} {['float', 'int8->float', 'int8->int8'][op.verdict]:12} {op.name.decode()}")
    finally:
        lib.qdq_ctx_free(ctx)


if len(sys.argv) != 2:
    sys.exit(__doc__)
main(sys.argv[1])

# SPDX-License-Identifier: Apache-2.0
#
# tensorrt.py -- what --target tensorrt writes: only what TensorRT's parser takes, and in ONNX Runtime the original's values
#
# Every model of MODELS, as Q/DQ and as fused functions (which are inlined to be looked at). Without --allow=bounded the
# results are the original's bits wherever the report lists EXACT rewrites alone. With it the end outputs' signal to noise
# is printed, and at least 20 dB; that each bounded rewrite keeps its bound is the business of bounded.py.
import os
import tempfile

import numpy as np
import onnx
import onnx.inliner
from onnx import numpy_helper

from common import check, feeds_of, finish, identical, models, optimize, run, snr

MODES = (("qdq", []), ("qdq", ["--exact"]), ("qdq", ["--allow=bounded"]), ("fused", ["--allow=bounded"]))
LEAST_SNR = 20
FLOAT16 = ("res_tiny.modelopt_fp16",)  # runtimes differ in the order of its sums


# ---- what TensorRT takes ----

def bad_quantizer(node, constants, weights):
    """Why TensorRT would not take this Q or DQ; None where it does."""
    scale = constants.get(node.input[1])
    zero = constants.get(node.input[2]) if len(node.input) > 2 else None
    if scale is None or zero is None:
        return "its scale or zero point is no constant"
    if zero.dtype != np.int8 or np.any(zero != 0):
        return "its zero point is %s %s" % (zero.dtype, zero.flatten()[:3])
    if not np.all(np.isfinite(scale)) or not np.all(scale > 0):
        return "its scale is %s" % scale.flatten()[:3]
    if scale.size > 1 and node.input[0] not in weights:
        return "an activation has %d scales" % scale.size
    if node.op_type == "DequantizeLinear" and node.input[0] in constants and constants[node.input[0]].ndim == 0:
        return "it dequantizes a single number"
    return None


def violations(model):
    """Everything in the file that TensorRT's parser or builder would refuse, as far as this pipeline is to see to it."""
    constants = {i.name: numpy_helper.to_array(i) for i in model.graph.initializer}
    weights = set(constants) | {n.output[0] for n in model.graph.node if n.input and n.input[0] in constants}
    codes = {n for n, c in constants.items() if c.dtype in (np.int8, np.uint8)}
    found = []
    for node in model.graph.node:
        label = "%s '%s'" % (node.op_type, node.name)
        quantizer = node.op_type in ("QuantizeLinear", "DequantizeLinear")
        if node.domain not in ("", "ai.onnx"):
            found.append("%s is of %s" % (label, node.domain))
        elif quantizer:
            why = bad_quantizer(node, constants, weights)
            found += ["%s: %s" % (label, why)] if why else []
        elif "Integer" in node.op_type or "QLinear" in node.op_type or "Quantize" in node.op_type:
            found.append(label)
        for i, name in enumerate(node.input):
            if name in codes and not (quantizer and i in (0, 2)) and node.op_type != "Clip":
                found.append("%s reads constant codes '%s'" % (label, name))
    return found


# ---- one model ----

def try_mode(name, path, folder, emit, options, expected, feeds):
    what = "%s: --emit %s %s" % (name, emit, " ".join(options))
    out = os.path.join(folder, "out.onnx")
    report = optimize(what, path, out, "--target=tensorrt", "--emit=" + emit, *options)
    if report is None:
        return
    kept = {d["node"] for d in report["declined"] if d["code"] == "not-in-tensorrt"}
    found = violations(onnx.inliner.inline_local_functions(onnx.load(out)))
    if kept:  # integer forms that --exact does not read: said, and that is all
        check("--exact" in options, "%s: operators that TensorRT does not know are left: %s" % (what, sorted(kept)[:3]))
    else:
        check(not found, "%s: TensorRT does not take %s" % (what, "; ".join(found[:3])))
    got = run(out, feeds)
    ratio = snr(expected, got)
    least = {r["exactness"] for r in report["rewrites"]}
    if name not in FLOAT16 and not least & {"step1", "bounded"}:
        check(identical(expected, got), "%s: not the original's bits (SNR %.1f dB)" % (what, ratio))
    else:
        check(ratio >= (LEAST_SNR if "bounded" in least else 35), "%s: SNR %.1f dB" % (what, ratio))
    if emit == "qdq":
        print("    %-24s %-16s %5.1f dB, %d of %d weighted operators INT8" % (
            name, " ".join(options) or "by default", ratio,
            report["summary"]["int8_int8"] + report["summary"]["int8_float"], report["summary"]["weighted"]), flush=True)


def main():
    for name, path in models():
        feeds = feeds_of(path)
        expected = run(path, feeds)
        with tempfile.TemporaryDirectory() as folder:
            for emit, options in MODES:
                try_mode(name, path, folder, emit, options, expected, feeds)
    finish()


main()

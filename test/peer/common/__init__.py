# SPDX-License-Identifier: Apache-2.0
#
# common -- what the tests here share: counting, the models and their inputs, the tool, ONNX Runtime
import glob
import json
import math
import os
import subprocess
import sys
from collections import Counter

import numpy as np
import onnx
import onnxruntime as ort

QDQOPT = os.environ.get("QDQOPT", "build/qdqopt")
MODELS = os.environ.get("MODELS", "../shared/models")
ALL_OFF = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
COUNTS = {True: 0, False: 0}


def check(good, what):
    """Counts one test; whether it is good."""
    COUNTS[bool(good)] += 1
    if not good:
        print("FAILED %s" % what, flush=True)
    return good


def finish():
    """The last line, and the end; no test at all is a failure too."""
    print("%d passed, %d failed" % (COUNTS[True], COUNTS[False]))
    sys.exit(COUNTS[False] != 0 or COUNTS[True] == 0)


# ---- models ----


def models():
    """(name, path) of each model, or of those that the command line names."""
    paths = sorted(glob.glob(os.path.join(MODELS, "**", "*.onnx"), recursive=True))
    if len(paths) < 16:
        print("%d of 16 models: MODELS=%s does not have the others" % (len(paths), MODELS))
        paths = paths or sorted(glob.glob("test/models/*.onnx"))
    named = [(os.path.basename(path)[: -len(".onnx")], path) for path in paths]
    return [(name, path) for name, path in named if not sys.argv[1:] or name in sys.argv[1:]]


def reference_feeds(path):
    """The inputs that lie beside a model; None: there are none."""
    reference = path[: -len(".onnx")] + ".ref.npz"
    if not os.path.exists(reference):
        return None
    with np.load(reference) as data:
        return {k[len("in_"):]: data[k] for k in data.files if k.startswith("in_")}


def feeds_of(path):
    """The reference inputs, else digits where the model reads such, else seeded random ones."""
    feeds, random = reference_feeds(path), np.random.default_rng(1)
    if feeds is not None:
        return feeds
    feeds, digits = {}, os.path.join(os.path.dirname(path), "digits_test.npz")
    for i in onnx.load(path, load_external_data=False).graph.input:
        dims = [d.dim_value or 2 for d in i.type.tensor_type.shape.dim]
        dtype = onnx.helper.tensor_dtype_to_np_dtype(i.type.tensor_type.elem_type)
        if os.path.exists(digits) and os.path.basename(path).startswith("digits"):
            feeds[i.name] = np.load(digits)["image"][: dims[0]].astype(dtype).reshape([-1] + dims[1:])
        elif np.issubdtype(dtype, np.integer):
            feeds[i.name] = random.integers(0, 2, dims).astype(dtype)
        else:
            feeds[i.name] = random.standard_normal(dims).astype(dtype)
    return feeds


# ---- running ----


def tool(*arguments, timeout=600):
    return subprocess.run([QDQOPT, *arguments], capture_output=True, text=True, timeout=timeout)


def optimize(what, source, out, *options):
    """The report; None, and a failure, where the tool refuses."""
    report = out + ".json"
    done = tool(source, out, "--quiet", "--report=" + report, *options)
    if not check(done.returncode == 0, "%s: exit status %d: %s" % (what, done.returncode, done.stderr.strip()[:300])):
        return None
    with open(report, encoding="utf-8") as file:
        return json.load(file)


def session(model, level=ALL_OFF, threads=2, save=None):
    """ONNX Runtime, of a file or a ModelProto."""
    options = ort.SessionOptions()
    options.graph_optimization_level = level
    options.log_severity_level = 4
    options.intra_op_num_threads = threads
    if save is not None:
        options.optimized_model_filepath = save
    source = model if isinstance(model, str) else model.SerializeToString()
    return ort.InferenceSession(source, options, providers=["CPUExecutionProvider"])


def run(model, feeds):
    return session(model).run(None, feeds)


def snr(expected, got):
    """Signal to noise of lists of outputs, in dB."""
    signal = sum(float(np.sum(np.square(x, dtype=np.float64))) for x in expected)
    noise = sum(float(np.sum(np.square(x.astype(np.float64) - y))) for x, y in zip(expected, got))
    return math.inf if noise == 0 else 10 * math.log10(max(signal, 1e-300) / noise)


def identical(a, b):
    return len(a) == len(b) and all(x.dtype == y.dtype and x.shape == y.shape and x.tobytes() == y.tobytes()
                                    for x, y in zip(a, b))


# ---- what runs in integers ----

INTEGER = {"QLinearConv", "ConvInteger", "QLinearMatMul", "QGemm", "MatMulIntegerToFloat", "MatMulInteger"}
FLOAT = {"Conv", "ConvTranspose", "Gemm", "MatMul", "FusedConv", "FusedGemm", "FusedMatMul"}
MOVES = {"Transpose", "Reshape", "Flatten", "Squeeze", "Unsqueeze", "Identity", "MaxPool", "Slice", "Split", "Concat"}


def kernels(path, folder):
    """Weighted operators that ONNX Runtime runs in integers, and all of them."""
    saved = os.path.join(folder, "optimized.onnx")
    session(path, ort.GraphOptimizationLevel.ORT_ENABLE_EXTENDED, save=saved)
    count = Counter(n.op_type for n in onnx.load(saved).graph.node)
    integer = sum(count[op] for op in INTEGER)
    return integer, integer + sum(count[op] for op in FLOAT)


def with_codes(path):
    """Weighted operators that have Q/DQ on all data inputs, over operators that only move, or are integer forms."""
    nodes = onnx.load(path, load_external_data=False).graph.node
    by_output = {o: n for n in nodes for o in n.output}

    def is_dequantized(name):
        n = by_output.get(name)
        while n is not None and n.op_type in MOVES:
            n = by_output.get(n.input[0])
        return n is not None and n.op_type == "DequantizeLinear"

    return sum(n.op_type in INTEGER or (n.op_type in FLOAT and all(is_dequantized(i) for i in n.input[:2]))
               for n in nodes)

# SPDX-License-Identifier: Apache-2.0
#
# dialects.py -- what other tools write means here what it means there
#
# A network in float16 gets verdict by verdict what its float32 twin gets, and --exact changes no bit of it (by the
# evaluator: ONNX Runtime computes float16 in float32 on a CPU and drops conversions between neighbours, so what it
# rounds depends on who stands beside whom). Seeded models of what else there is are rewritten and run in ONNX Runtime, its
# own optimizations off: with --exact every bit is the same, else floats differ by rounding, codes by a step.
import json
import os
import subprocess
import sys
import tempfile

import numpy as np
import onnx
import onnxruntime as ort
from onnx import TensorProto, helper, numpy_helper

from eval import Driver, bits

QDQOPT = os.environ.get("QDQOPT", "build/qdqopt")
MODELS = os.environ.get("MODELS", "../shared/models")
TWINS = [("exporters/res_tiny.modelopt", "exporters/res_tiny.modelopt_fp16")]

passed = failed = 0


def check(good, what):
    global passed, failed
    passed, failed = passed + bool(good), failed + (not good)
    if not good:
        print("FAILED %s" % what, flush=True)
    return good


def optimize(source, out, *arguments):
    """The report; None where it failed."""
    report = out + ".json"
    done = subprocess.run([QDQOPT, source, out, "--quiet", "--report=" + report, *arguments], capture_output=True,
                          text=True, timeout=300)
    if not check(done.returncode == 0, "%s: %s" % (source, done.stderr.strip()[:300])):
        return None
    with open(report) as f:
        return json.load(f)


# ---- float16 ----

def verdicts(report):
    return {op["name"]: (op["op"], op["verdict"], (op["reason"] or {}).get("code"), op["fused_into"])
            for op in report["ops"]}


def regions(report):
    return {r["name"]: (r["kind"], sorted(r["ops"])) for r in report["regions"]}


def twins(folder):
    for first, second in TWINS:
        paths = [os.path.join(MODELS, name + ".onnx") for name in (first, second)]
        if not all(map(os.path.exists, paths)):
            print("%s is not there" % second)
            continue
        for arguments in ([], ["--exact"], ["--target", "tensorrt"], ["--target", "ort-cpu"]):
            a, b = [optimize(p, os.path.join(folder, "out.onnx"), *arguments) for p in paths]
            if a is None or b is None:
                continue
            what = "%s %s" % (second, " ".join(arguments))
            mine, other = verdicts(b), verdicts(a)
            check(mine == other, "%s: other verdicts: %s" %
                  (what, [(k, other.get(k), mine.get(k)) for k in {**mine, **other} if mine.get(k) != other.get(k)][:3]))
            check(regions(a) == regions(b), "%s: other fused operators" % what)
        unchanged(paths[1], folder)


def unchanged(path, folder):
    data = np.load(path[: -len(".onnx")] + ".ref.npz")
    inputs = [data[name] for name in data.files if name.startswith("in_")]
    driver = Driver(folder)
    answer, before = driver.run(path, inputs)
    check(answer == "ok", "%s: the evaluator says %s" % (path, answer))
    for emit in ("fused", "qdq"):
        out = os.path.join(folder, "out.onnx")
        if optimize(path, out, "--exact", "--emit", emit) is None:
            continue
        answer, after = driver.run(out, inputs)
        check(answer == "ok" and [bits(x) for x in before] == [bits(x) for x in after],
              "%s: --exact --emit %s changes bits (%s)" % (path, emit, answer))
    driver.close()


# ---- graphs that are made here ----

rng = np.random.default_rng(11)


def session(path):
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    return ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])


class Graph:
    """Nodes, constants and inputs, as they come."""

    def __init__(self, opset):
        self.opset, self.nodes, self.constants, self.inputs, self.feeds = opset, [], [], [], {}

    def input(self, array, name="x"):
        kind = helper.np_dtype_to_tensor_dtype(array.dtype)
        self.inputs.append(helper.make_tensor_value_info(name, kind, array.shape))
        self.feeds[name] = array
        return name

    def constant(self, array):
        name = "c%d" % len(self.constants)
        self.constants.append(numpy_helper.from_array(np.asarray(array), name))
        return name

    def add(self, op, *inputs, domain="", outputs=1, **attributes):
        names = ["t%d_%d" % (len(self.nodes), i) for i in range(outputs)]
        self.nodes.append(helper.make_node(op, list(inputs), names, name="n%d" % len(self.nodes), domain=domain,
                                           **attributes))
        return names[0] if outputs == 1 else names

    def save(self, path, *outputs):
        opsets = [helper.make_opsetid("", self.opset), helper.make_opsetid("com.microsoft", 1)]
        graph = helper.make_graph(self.nodes, "g", self.inputs, [helper.make_empty_tensor_value_info(o) for o in outputs],
                                  self.constants)
        model = helper.make_model(graph, opset_imports=opsets, ir_version=8 if self.opset < 21 else 10)
        onnx.save(onnx.shape_inference.infer_shapes(model), path)


def floats(*shape, scale=1.0):
    return (rng.standard_normal(shape) * scale).astype(np.float32)


def codes(dtype, *shape):
    info = np.iinfo(dtype)
    return rng.integers(info.min, info.max + 1, shape).astype(dtype)


def scales(*shape):
    return rng.uniform(0.005, 0.05, shape).astype(np.float32)


def zero_of(dtype, near=None):
    low = 100 if dtype == np.uint8 else -20
    return np.array(rng.integers(low, low + 40) if near is None else near, dtype)


def coarse(a, b, step):
    """Integers: at most `step` apart; floats: rounding."""
    if a.shape != b.shape or a.dtype != b.dtype:
        return False
    if a.dtype.kind == "f":
        return np.allclose(a, b, rtol=1e-5, atol=1e-5 * float(np.abs(a).max()))
    return int(np.abs(a.astype(int) - b.astype(int)).max()) <= step


def compare(what, graph, outputs, gone, folder, step=1):
    """Optimized and original agree; none of the operators `gone` is left without --exact."""
    source, out = os.path.join(folder, "in.onnx"), os.path.join(folder, "out.onnx")
    graph.save(source, *outputs)
    before = session(source).run(None, graph.feeds)
    for arguments in ([], ["--exact"], ["--emit", "qdq"], ["--emit", "qdq", "--exact"]):
        name = "%s %s" % (what, " ".join(arguments))
        report = optimize(source, out, *arguments)
        if report is None:
            continue
        exact = all(r["exactness"].lower() == "exact" for r in report["rewrites"])
        check(exact or "--exact" not in arguments, "%s: not all is exact" % name)
        after = session(out).run(None, graph.feeds)
        if exact:
            check([bits(a) for a in before] == [bits(b) for b in after], "%s: bits differ" % name)
        else:
            check(all(coarse(a, b, step) for a, b in zip(before, after)), "%s: results differ: %s" %
                  (name, [np.abs(a.astype(float) - b.astype(float)).max() for a, b in zip(before, after)]))
        left = {n.op_type for n in onnx.load(out).graph.node}
        left |= {n.op_type for f in onnx.load(out).functions for n in f.node}
        check("--exact" in arguments or not left & gone, "%s: %s is left" % (name, sorted(left & gone)))


# ---- ConvInteger, MatMulInteger ----

def integer_product(turn, folder):
    dtype, other = [(np.uint8, np.int8), (np.uint8, np.uint8), (np.int8, np.int8)][turn % 3]
    conv, many = turn % 2 == 0, rng.integers(2)
    if conv and dtype == np.int8:
        dtype = np.uint8  # ONNX Runtime has no kernel
    g = Graph([10, 13, 17, 21][turn % 4] if not many else [13, 17][turn % 2])
    x = g.input(floats(1, 4, 6, 5) if conv else floats(2, 5, 8))
    sx, zx = scales(), zero_of(dtype)
    q = g.add("QuantizeLinear", x, g.constant(sx), g.constant(zx))
    w = codes(other, 6, 2, 3, 3) if conv else codes(other, 8, 6)
    zw = zero_of(other, 0 if other == np.int8 else 128)
    operands = [q, g.constant(w), g.constant(zx), g.constant(zw)]
    if conv:
        y = g.add("ConvInteger", *operands, group=2, pads=[1, 0, 1, 1], strides=[1, 2])
    else:
        y = g.add("MatMulInteger", *operands)
    per_channel = ((6, 1, 1) if conv else (6,)) if many else ()
    if rng.integers(2):
        y = g.add("Add", y, g.constant(rng.integers(-5000, 5000, (1, 6, 1, 1) if conv else (6,)).astype(np.int32)))
    y = g.add("Cast", y, to=TensorProto.FLOAT)
    sw = scales(*per_channel)
    if turn % 3 == 0:
        y = g.add("Mul", y, g.constant((sx * sw).astype(np.float32)))
    elif turn % 3 == 1:
        y = g.add("Mul", y, g.add("Mul", g.constant(sx), g.constant(sw)))
    else:
        y = g.add("Mul", g.add("Mul", g.constant(sx), y), g.constant(sw))
    if rng.integers(2):
        y = g.add("Add", y, g.constant(floats(*((6, 1, 1) if conv else (6,)))))
    outputs = [y]
    if rng.integers(2):
        outputs = [g.add("QuantizeLinear", g.add("Relu", y), g.constant(np.float32(0.5)), g.constant(np.uint8(3)))]
        g.opset = max(g.opset, 10)
    compare("integer product %d" % turn, g, outputs, {"ConvInteger", "MatMulInteger"}, folder)


def main():
    with tempfile.TemporaryDirectory() as folder:
        twins(folder)
        for turn in range(36):
            integer_product(turn, folder)
    print("%d passed, %d failed" % (passed, failed))
    return failed != 0 or passed == 0


sys.exit(main())

#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The reference evaluator against its peers.

1. ONNX's node tests: those that the installed onnx package generates, and those of Debian's libonnx-testdata where
   that is installed; every one whose operators all have a kernel.
2. Random models against ONNX Runtime without optimizations: bit for bit for the operators that are exactly rounded by
   definition, within a stated tolerance for the others.
3. The models of MODELS: whole, against their references, and node by node against ONNX Runtime.

EVALRUN is the driver (test/tools/evalrun.c). The last line is "N passed, N failed".
"""
import glob
import os
import re
import sys
import tempfile
import warnings

import numpy as np
import onnx
import onnx.helper as oh
from onnx import TensorProto, numpy_helper

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "tools"))
from evaluator import Driver, pack  # noqa: E402
from random_models import *  # noqa: E402

warnings.filterwarnings("ignore")
HERE = os.path.dirname(os.path.abspath(__file__))
OPS_DEF = os.path.join(HERE, "../../lib/ir/ops.def")
VERBOSE = "-v" in sys.argv


def bits(x):
    """A tensor's type, shape and bytes; all NaN are one, and so are both zeros."""
    t = x if isinstance(x, TensorProto) else numpy_helper.from_array(np.asarray(x))
    a = numpy_helper.to_array(t)
    if a.dtype.kind == "f":
        a = np.where(np.isnan(a), np.nan, a) + np.zeros((), a.dtype)
    return t.data_type, tuple(t.dims), list(t.string_data) if t.data_type == TensorProto.STRING else a.tobytes()


def as_double(x):
    a = numpy_helper.to_array(x) if isinstance(x, TensorProto) else np.asarray(x)
    return a.astype(np.complex128 if a.dtype.kind == "c" else np.float64)


# Two units in the last place: what several rounded steps in another order may come to.
UNITS = {TensorProto.FLOAT16: 2.0**-9, TensorProto.BFLOAT16: 2.0**-6}


INTEGERS = {TensorProto.INT32, TensorProto.UINT32, TensorProto.INT64, TensorProto.UINT64, TensorProto.INT8,
            TensorProto.UINT8, TensorProto.INT16, TensorProto.UINT16, TensorProto.BOOL}


def differs(ours, theirs, rtol, atol):
    """None, or in words how they differ. rtol None: every bit."""
    a, b = bits(ours), bits(theirs)
    if rtol is not None:
        rtol = max(rtol, UNITS.get(a[0], 0))
    if a[:2] != b[:2]:
        return "type and shape %s, expected %s" % (a[:2], b[:2])
    if a[2] == b[2]:
        return None
    if a[0] == TensorProto.STRING:
        return "strings differ"
    p, q = as_double(ours), as_double(theirs)
    if rtol is None and a[0] in INTEGERS:
        return "%d of %d differ" % ((numpy_helper.to_array(ours) != np.asarray(theirs)).sum(), p.size)
    if rtol is not None and np.allclose(p, q, rtol=rtol, atol=atol, equal_nan=True):
        return None
    wrong = ~((p == q) | (np.isnan(p) & np.isnan(q)))
    if not wrong.any():
        return None
    at = tuple(np.argwhere(wrong)[0]) if p.ndim else ()
    return "%d of %d differ, first at %s: %r, expected %r" % (wrong.sum(), p.size, list(map(int, at)), p[at], q[at])


def kernels():
    """(domain, operator) of all that have one."""
    rows = re.findall(r'^OP\((\w+), "(\w+)", "([\w.]*)", "[^"]*", .*, (\w+),$', open(OPS_DEF).read(), re.M)
    assert len(rows) > 100
    return {(domain, name) for _, name, domain, kernel in rows if kernel != "none"}


KNOWN = kernels() | {("", "If"), ("", "Loop")}


def operators(graph, out):
    for n in graph.node:
        out.add((n.domain if n.domain != "ai.onnx" else "", n.op_type))
        for a in n.attribute:
            if a.HasField("g"):
                operators(a.g, out)
            for g in a.graphs:
                operators(g, out)
    return out


class Score:
    def __init__(self):
        self.passed = self.failed = 0
        self.skipped = {}
        self.declined = {}

    def count(self, name, problem):
        if problem is None:
            self.passed += 1
        else:
            self.failed += 1
            print("FAIL %s: %s" % (name, problem))


# ---- node tests ------------------------------------------------------------------------------------------------------

# What a kernel may decline: nothing here is needed to fold constants or to judge a rewrite.
MAY_DECLINE = [
    (r"^test_cast.*(STRING|string)", "numbers as text"),
    (r"^test_(identity|if|loop|optional).*(opt|seq)|^test_loop16|^test_range_.*loop|sequence", "sequences and optionals"),
    (r"^test_(dropout|training_dropout|batchnorm).*(mask|train|training)|^test_training_dropout|_training_mode", "training"),
    (r"^test_resize.*(cubic|antialias)|^test_upsample_cubic", "Resize: cubic, antialias"),
]
FLOOR = {"onnx": 1000, "libonnx-testdata": 500}  # fewer would mean that something else is tested than we think


def may_decline(name):
    return any(re.search(pattern, name) for pattern, _ in MAY_DECLINE)


def node_cases():
    from onnx.backend.test.case.node import collect_testcases

    for case in collect_testcases(None):
        for data in case.data_sets or []:
            yield "onnx", case.name, case.model, data[0], data[1], case.rtol, case.atol


def load_value(path, model_input):
    with open(path, "rb") as f:
        data = f.read()
    kind = model_input.type.WhichOneof("value")
    return TensorProto.FromString(data) if kind == "tensor_type" else None


def packaged_cases():
    for path in sorted(glob.glob("/usr/share/libonnx-testdata/data/node/*/model.onnx")):
        folder = os.path.dirname(path)
        model = onnx.load(path)
        sets = []
        for kind, values in (("input", model.graph.input), ("output", model.graph.output)):
            files = [os.path.join(folder, "test_data_set_0", "%s_%d.pb" % (kind, i)) for i in range(len(values))]
            sets.append([load_value(p, v) if os.path.exists(p) else None for p, v in zip(files, values)])
        declared(sets[0], model.graph.input)
        declared(sets[1], model.graph.output)
        yield "libonnx-testdata", os.path.basename(folder), model, sets[0], sets[1], 1e-3, 1e-7


# Expected results that runtimes and we do not share.
KNOWN_WRONG = {
    # the length of the result as a fraction; ONNX Runtime rounds it down as its shape is
    "test_resize_downsample_scales_linear_align_corners",
}


def declared(values, infos):
    """The package stores bfloat16 as uint16: what the model declares counts."""
    for t, info in zip(values, infos):
        if isinstance(t, TensorProto) and t.data_type != info.type.tensor_type.elem_type:
            t.raw_data = numpy_helper.to_array(t).tobytes()
            t.ClearField("int32_data")
            t.data_type = info.type.tensor_type.elem_type
    return values


def is_tensor(v):
    return v is None or isinstance(v, (np.ndarray, np.generic, TensorProto, float, int, bool))


def node_tests(driver, score):
    seen = {}
    for origin, cases in (("onnx", node_cases), ("libonnx-testdata", packaged_cases)):
        for _, name, model, inputs, outputs, rtol, atol in cases():
            missing = operators(model.graph, set()) - KNOWN - {(f.domain, f.name) for f in model.functions}
            if missing:
                score.skipped[sorted(missing)[0][1]] = score.skipped.get(sorted(missing)[0][1], 0) + 1
                continue
            if not all(is_tensor(v) for v in list(inputs) + list(outputs)) or any(v is None for v in outputs):
                score.skipped["no tensor"] = score.skipped.get("no tensor", 0) + 1
                continue
            if name in KNOWN_WRONG:
                continue
            answer, results = driver.run(model, inputs)
            problem = None
            if answer != "ok":
                if answer.startswith("unsupported") and may_decline(name):
                    score.declined[name] = answer
                    continue
                problem = answer
            for k, (ours, theirs) in enumerate(zip(results, outputs)):
                if problem is None and ours is None:
                    problem = "output %d is missing" % k
                elif problem is None:
                    problem = differs(ours, theirs, rtol, atol)
            score.count("%s %s" % (origin, name), problem)
            seen[origin] = seen.get(origin, 0) + 1
    for origin, count in seen.items():
        if count < FLOOR[origin]:
            score.count(origin, "only %d node tests" % count)
        print("%s: %d node tests run" % (origin, count))


# ---- random models against ONNX Runtime ------------------------------------------------------------------------------

def random_tests(driver, score):
    refused = {}
    for generate in (arithmetic, casts, movement, reductions, functions, contractions, quantization, microsoft,
                     calls):
        before = score.passed + score.failed
        for i, (name, (model, fed), tolerance) in enumerate(generate(Random(7))):
            try:
                expected = Peer().run(model, fed)
            except Exception as e:  # a type that ONNX Runtime has no kernel for
                refused.setdefault(name.split()[0], str(e).strip().split("\n")[0][:110])
                continue
            rtol, atol = tolerance if tolerance is not None else (None, 0)
            answer, results = driver.run(model, fed)
            problem = None if answer == "ok" else answer
            for ours, theirs in zip(results, expected):
                problem = problem or differs(ours, theirs, rtol, atol)
            score.count("%s %d: %s" % (generate.__name__, i, name), problem)
        print("%s: %d random models run" % (generate.__name__, score.passed + score.failed - before))
    if VERBOSE:
        for name, why in sorted(refused.items()):
            print("  ONNX Runtime refuses %s: %s" % (name, why))


# ---- whole models against their references ----------------------------------------------------------------------------

# A rounding that falls the other way at a tie goes on through a quantized network, so this is only a ratio of energies,
# in dB; what each node does is held to more, below.
LEAST_DB = 30


def reference_tests(driver, score):
    folder = os.environ.get("MODELS", os.path.join(HERE, "../../../shared/models"))
    models = sorted(glob.glob(os.path.join(folder, "*.onnx")) + glob.glob(os.path.join(folder, "exporters/*.onnx")))
    if not models:
        print("skipped: no models at MODELS=%s" % folder)
    for path in models:
        reference = path[: -len(".onnx")] + ".ref.npz"
        if not os.path.exists(reference):
            continue
        data = np.load(reference)
        model = onnx.load(path, load_external_data=False)
        default = {t.name for t in model.graph.initializer}
        inputs = [data["in_" + v.name] if "in_" + v.name in data else None for v in model.graph.input]
        assert all(x is not None or v.name in default for x, v in zip(inputs, model.graph.input))
        answer, results = driver.run(path, inputs)
        problem = None if answer == "ok" else answer
        worst = np.inf
        for v, ours in zip(model.graph.output, results):
            expected = data["out_" + v.name].astype(np.float64)
            error = np.square(as_double(ours) - expected).sum()
            worst = min(worst, 10 * np.log10(np.square(expected).sum() / error) if error > 0 else np.inf)
        if problem is None and worst < LEAST_DB:
            problem = "%.1f dB" % worst
        print("%s: %.1f dB" % (os.path.basename(path), worst))
        score.count(os.path.basename(path), problem)


EXACT_NODES = {"QuantizeLinear", "DequantizeLinear", "Add", "Sub", "Mul", "Div", "Relu", "Clip", "Concat", "Reshape",
               "Transpose", "Slice", "Split", "Gather", "MaxPool", "Shape", "Unsqueeze", "Squeeze", "Cast", "Flatten",
               "Where", "Expand", "Equal", "ConstantOfShape", "Constant", "Identity", "Abs", "ReduceMax", "Sqrt", "Pad"}


def node_by_node(driver, score):
    """Every node of the models on the very inputs that it has in ONNX Runtime: no error of a node hides in another's."""
    folder = os.environ.get("MODELS", os.path.join(HERE, "../../../shared/models"))
    for path in sorted(glob.glob(os.path.join(folder, "*.onnx")) + glob.glob(os.path.join(folder, "exporters/*.onnx"))):
        reference = path[: -len(".onnx")] + ".ref.npz"
        if not os.path.exists(reference) or "fp16" in path:  # there ONNX Runtime puts casts of its own between nodes
            continue
        data, model = np.load(reference), onnx.load(path)
        values = {t.name: t for t in model.graph.initializer}
        fed = []
        for v in model.graph.input:
            if "in_" + v.name in data:
                values[v.name] = t = numpy_helper.from_array(data["in_" + v.name], v.name)
                fed.append(t)
        open_model = onnx.ModelProto.FromString(model.SerializeToString())
        names = [o for n in model.graph.node for o in n.output if o]
        del open_model.graph.output[:]
        open_model.graph.output.extend(oh.make_empty_tensor_value_info(name) for name in names)
        for name, array in zip(names, Peer().run(open_model, fed)):
            values[name] = numpy_helper.from_array(np.asarray(array), name)
        problems, count = [], 0
        for n in model.graph.node:
            used = list(dict.fromkeys(i for i in n.input if i))
            graph = oh.make_graph([n], "g", [oh.make_tensor_value_info(i, values[i].data_type, list(values[i].dims))
                                             for i in used], [oh.make_empty_tensor_value_info(o) for o in n.output if o])
            answer, results = driver.run(oh.make_model(graph, opset_imports=model.opset_import, ir_version=10,
                                                       functions=model.functions), [values[i] for i in used])
            count += 1
            problem = None if answer == "ok" else answer
            for ours, name in zip(results, [o for o in n.output if o]):
                theirs = values[name]
                if n.op_type in EXACT_NODES:
                    problem = problem or differs(ours, theirs, None, 0)
                elif n.op_type.startswith("QLinear"):
                    problem = problem or differs(ours, theirs, 0, 1)
                else:
                    greatest = np.abs(as_double(theirs)).max(initial=0)
                    problem = problem or differs(ours, theirs, 1e-5, 1e-5 * greatest)
            if problem:
                problems.append("%s %s: %s" % (n.op_type, n.output[0], problem))
        score.count("%s, %d of %d nodes" % (os.path.basename(path), len(problems), count),
                    "; ".join(problems[:3]) if problems else None)
        print("%s: %d nodes one by one" % (os.path.basename(path), count))


def main():
    score = Score()
    with tempfile.TemporaryDirectory() as folder:
        driver = Driver(folder)
        if "--no-node" not in sys.argv:
            node_tests(driver, score)
        if "--no-random" not in sys.argv:
            random_tests(driver, score)
        reference_tests(driver, score)
        node_by_node(driver, score)
        driver.close()
    print("skipped, no kernel: " + ", ".join("%s %d" % s for s in sorted(score.skipped.items())))
    print("declined: %d" % len(score.declined))
    if VERBOSE:
        for name, answer in score.declined.items():
            print("  %s: %s" % (name, answer))
    print("%d passed, %d failed" % (score.passed, score.failed))
    sys.exit(score.failed != 0)


if __name__ == "__main__":
    main()

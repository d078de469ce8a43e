# SPDX-License-Identifier: Apache-2.0
#
# qoperator.py -- ONNX Runtime as a judge of --emit qoperator and --target ort-cpu
#
# Every model of MODELS: how many weighted operators ONNX Runtime then runs in integers; each operator by itself, fed
# with what the Q/DQ operators of the same file give, against what they give next; --exact, bit by bit; and read back.
# Then seeded single operators, where the exact forms must not differ at all, and bodies of If and Loop.
import json
import os
import tempfile
from collections import Counter

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from common import INTEGER, check, feeds_of, finish, identical, kernels, models, session, snr, tool

MS = "com.microsoft"
# weighted operators in integer kernels, of how many; the others have no kernel, or floats on one side
FLOORS = {
    "resnet50.trt": (54, 54),
    "mobilenet_v2.u8": (53, 53),
    "efficientnet_b0.s8": (82, 82),
    "yolo_n.trt": (47, 47),
    "unet.s8": (14, 14),  # an AveragePool is one
    "bert_tiny.trt": (16, 16),
    "vit_tiny.trt": (33, 33),
    "digits_qat_relu": (7, 7),
    "mbv3.nncf": (27, 54),
    "res_tiny.modelopt": (12, 12),
    "res_tiny.pt2e": (12, 12),
    "res_tiny.qoperator": (12, 12),
    "res_tiny.modelopt_fp16": (12, 12),
}
FLOAT16 = ("res_tiny.modelopt_fp16",)

rng = np.random.default_rng(11)


def write(what, source, out, *options):
    done = tool(source, out, "--quiet", *options)
    return check(done.returncode == 0, "%s: exit status %d: %s" % (what, done.returncode, done.stderr[:300]))


# ---- each operator by itself ----

def values_of(model, feeds):
    """Every tensor of a network."""
    tapped = onnx.ModelProto()
    tapped.CopyFrom(model)
    names = [o for n in model.graph.node for o in n.output if o]
    del tapped.graph.output[:]
    tapped.graph.output.extend(helper.make_empty_tensor_value_info(n) for n in names)
    return dict(zip(names, session(tapped).run(names, feeds)), **feeds)


def apart(model, values):
    """The network cut wherever `values` has a tensor: readers get that one, what is computed is called NAME#."""
    out = onnx.ModelProto()
    out.CopyFrom(model)
    results, read = [], set()
    for node in out.graph.node:
        read.update(i for i in node.input if i in values)
        for i, name in enumerate(node.output):
            if name in values:
                node.output[i] = name + "#"
                results.append(name)
    del out.graph.input[:], out.graph.output[:], out.graph.value_info[:]
    out.graph.input.extend(
        helper.make_tensor_value_info(i, helper.np_dtype_to_tensor_dtype(values[i].dtype), values[i].shape)
        for i in sorted(read))
    out.graph.output.extend(helper.make_empty_tensor_value_info(r + "#") for r in results)
    got = session(out).run([r + "#" for r in results], {i: values[i] for i in read})
    return dict(zip(results, got))


def each_operator(name, path, folder):
    """Codes at most one step apart, floats by their rounding; with --exact the same bits."""
    plain, integer = os.path.join(folder, "plain.onnx"), os.path.join(folder, "integer.onnx")
    for exact in ([], ["--exact"]):
        if not write(name, path, plain, "--emit=qdq", "--target=ort-cpu", *exact) or \
                not write(name, path, integer, "--emit=qoperator", *exact):
            return
        values = values_of(onnx.load(plain), feeds_of(path))
        got = apart(onnx.load(integer), values)
        if exact and name in FLOAT16:  # where it is cut, ONNX Runtime rounds: that is another network, on both sides
            values = apart(onnx.load(plain), values)
        codes = differ = 0
        for tensor, result in got.items():
            wanted = values[tensor]
            if exact:
                check(identical([wanted], [result]), "%s: --exact: '%s' differs" % (name, tensor))
            elif wanted.dtype in (np.uint8, np.int8):
                steps = np.abs(wanted.astype(int) - result.astype(int))
                codes, differ = codes + steps.size, differ + int((steps != 0).sum())
                check(steps.max(initial=0) <= 1, "%s: '%s' is %d steps off" % (name, tensor, steps.max(initial=0)))
            elif wanted.dtype == np.float32:
                far = np.abs(wanted - result).max(initial=0)
                check(far <= 1e-5 * np.abs(wanted).max(initial=0), "%s: '%s' is %g off" % (name, tensor, far))
            elif wanted.dtype != np.float16:
                check(identical([wanted], [result]), "%s: '%s' differs" % (name, tensor))
        if not exact:
            print("    %d tensors; %d of %d codes are one step off" % (len(got), differ, codes), flush=True)


def each_region(name, path, folder):
    """In float32 instead of float16: of the same codes the next ones, at most one step apart."""
    half, integer = os.path.join(folder, "half.onnx"), os.path.join(folder, "integer.onnx")
    if not write(name, path, half, "--emit=qdq", "--target=ort-cpu", "--passes=-widen") or \
            not write(name, path, integer, "--emit=qoperator"):
        return
    values = values_of(onnx.load(half), feeds_of(path))
    values = {k: v for k, v in values.items() if v.dtype in (np.uint8, np.int8) or k in feeds_of(path)}
    got = apart(onnx.load(integer), values)
    steps = {t: np.abs(values[t].astype(int) - result.astype(int)) for t, result in got.items()}
    for tensor, far in steps.items():
        check(far.max(initial=0) <= 1, "%s: in float32 '%s' is %d steps off" % (name, tensor, far.max(initial=0)))
    check(len(steps) >= 12, "%s: only %d tensors are compared with those of float16" % (name, len(steps)))
    print("    without roundings to float16 %d of %d codes are one step off" %
          (sum(int(s.sum()) for s in steps.values()), sum(s.size for s in steps.values())), flush=True)


# ---- models ----

def one_model(name, path, folder):
    out, back, report = (os.path.join(folder, f) for f in ("out.onnx", "back.onnx", "report.json"))
    feeds = feeds_of(path)
    original = session(path).run(None, feeds)
    if not write(name, path, out, "--emit=qoperator", "--report=" + report):
        return
    onnx.checker.check_model(onnx.load(out))
    before, after = kernels(path, folder), kernels(out, folder)
    print("    integer kernels: %d of %d before, %d of %d after" % (before + after), flush=True)
    check(after[0] >= before[0], "%s: %d integer kernels, %d without us" % (name, after[0], before[0]))
    if name in FLOORS:
        check(after == FLOORS[name], "%s: %s integer kernels, promised %s" % (name, after, FLOORS[name]))
    result = session(out).run(None, feeds)
    check(snr(original, result) >= 20, "%s: SNR %.1f dB" % (name, snr(original, result)))
    rewrites = json.load(open(report))["rewrites"]
    forms = Counter(n.op_type for n in onnx.load(out).graph.node)
    told = sum(r["rule"].startswith("write_qlinear.") for r in rewrites)
    check(told >= sum(forms[op] for op in INTEGER) - before[0], "%s: %d forms are reported" % (name, told))
    each_operator(name, path, folder)
    if name in FLOAT16:
        each_region(name, path, folder)
    for mode in (["--emit=qoperator"], ["--emit=qdq", "--target=ort-cpu"]):
        if write(name, path, out, "--exact", *mode):
            exact = session(out).run(None, feeds)
            check(identical(original, exact),
                  "%s: %s --exact: SNR %.1f dB" % (name, mode, snr(original, exact)))
    if write(name, path, out, "--target=ort-cpu") and write(name, out, back, "--target=ort-cpu"):
        check(open(out, "rb").read() == open(back, "rb").read(), "%s: optimizing its own output again changes it" % name)
    if write(name, path, out, "--emit=qoperator") and write(name, out, back, "--report=" + report):
        summary = json.load(open(report))["summary"]
        check(summary["int8_int8"] + summary["int8_float"] >= after[0],
              "%s: of %d integer operators %d are read back" %
              (name, after[0], summary["int8_int8"] + summary["int8_float"]))


# ---- single operators ----

class Unit:
    """DQ, one operator, Q: 256 codes through seeded scales."""

    def __init__(self, dtype):
        self.dtype, self.nodes, self.constants, self.inputs, self.feeds = dtype, [], [], [], {}

    def params(self, name):
        info = np.iinfo(self.dtype)
        scale = np.float32(np.exp(rng.uniform(-6, 1)))
        self.constants += [numpy_helper.from_array(scale, name + "_s"),
                           numpy_helper.from_array(self.dtype(rng.integers(info.min, info.max + 1)), name + "_z")]
        return [name + "_s", name + "_z"]

    def operand(self, name, shape, codes=None):
        info = np.iinfo(self.dtype)
        if codes is None:
            codes = rng.integers(info.min, info.max + 1, shape)
        self.feeds[name] = np.asarray(codes).reshape(shape).astype(self.dtype)
        self.inputs.append(helper.make_tensor_value_info(
            name, helper.np_dtype_to_tensor_dtype(np.dtype(self.dtype)), shape))
        self.nodes.append(helper.make_node("DequantizeLinear", [name] + self.params(name), [name + "_f"]))
        return name + "_f"

    def every_code(self, name):
        info = np.iinfo(self.dtype)
        return self.operand(name, [256], np.arange(info.min, info.max + 1))

    def finish(self, op, inputs, shape, scale=None, **attributes):
        self.nodes.append(helper.make_node(op, inputs, ["f"], **attributes))
        self.nodes.append(helper.make_node("QuantizeLinear", ["f"] + self.params("y"), ["y"]))
        if scale is not None:
            self.constants[-2] = numpy_helper.from_array(np.float32(scale), "y_s")
        kind = helper.np_dtype_to_tensor_dtype(np.dtype(self.dtype))
        graph = helper.make_graph(self.nodes, "g", self.inputs, [helper.make_tensor_value_info("y", kind, shape)],
                                  self.constants)
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def leaky_relu(u):
    return u.finish("LeakyRelu", [u.every_code("x")], [256], alpha=float(rng.uniform(0, 1)))


def sigmoid(u):
    return u.finish("Sigmoid", [u.every_code("x")], [256])


def concat(u):
    return u.finish("Concat", [u.every_code("a"), u.every_code("b")], [512], axis=0)


def where(u):
    u.inputs.append(helper.make_tensor_value_info("p", TensorProto.BOOL, [256]))
    u.feeds["p"] = rng.integers(0, 2, 256).astype(bool)
    return u.finish("Where", ["p", u.every_code("a"), u.every_code("b")], [256])


def binary(op):
    def make(u):
        return u.finish(op, [u.operand("a", [64, 64]), u.operand("b", [64])], [64, 64])
    return make


def average_pool(u):
    x = u.operand("x", [1, 3, 9, 9])
    return u.finish("AveragePool", [x], [1, 3, 5, 5], kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1],
                    count_include_pad=int(rng.integers(2)))


def global_average_pool(u):
    return u.finish("GlobalAveragePool", [u.operand("x", [2, 3, 7, 9])], [2, 3, 1, 1])


def softmax(u):
    return u.finish("Softmax", [u.operand("x", [4, 6, 50])], [4, 6, 50], 1 / rng.choice([16, 127, 256, 4096]),
                    axis=int(rng.choice([1, 2, -1])))


EXACT = [leaky_relu, concat, where]
ROUNDED = [sigmoid, binary("Add"), binary("Mul"), average_pool, global_average_pool, softmax]


PARTS = ["DequantizeLinear", "Exp", "ReduceSum", "Div", "QuantizeLinear"]


def form_of(model, dtype):
    """What the operator between DQ and Q is written as: its QLinear form, if there is no faster one."""
    node, scale = model.graph.node[-2], numpy_helper.to_array(model.graph.initializer[0])
    codes = np.abs(np.array([0, 255]) - int(numpy_helper.to_array(model.graph.initializer[1])) -
                   (128 if dtype is np.int8 else 0)).max()
    if node.op_type == "Softmax" and min(codes, 128) * scale <= 70:
        return PARTS
    whole = any(a.name == "count_include_pad" and a.i for a in node.attribute)
    return ["QLinearConv" if node.op_type == "AveragePool" and whole and dtype is np.uint8 else
            "QLinear" + node.op_type]


def single(make, exact, dtype, folder):
    unit = Unit(dtype)
    model = make(unit)
    source, out = os.path.join(folder, "unit.onnx"), os.path.join(folder, "out.onnx")
    onnx.save(model, source)
    op = model.graph.node[-2].op_type
    if not write(op, source, out, "--emit=qoperator", *(["--exact"] if exact else [])):
        return
    written = onnx.load(out)
    got = [n.op_type for n in written.graph.node]
    if not check(got == form_of(model, dtype), "%s is written as %s, not %s" % (op, got, form_of(model, dtype))):
        return
    wanted, got = session(model).run(None, unit.feeds)[0], session(written).run(None, unit.feeds)[0]
    steps = np.abs(wanted.astype(int) - got.astype(int)).max()
    check(steps <= (0 if exact else 1), "%s of %s: %d steps off" % (op, dtype.__name__, steps))


# ---- bodies of If and Loop ----

def ops_of(graph):
    """Of all nodes, those of bodies too."""
    for node in graph.node:
        yield node.op_type
        for a in node.attribute:
            if a.type == onnx.AttributeProto.GRAPH:
                yield from ops_of(a.g)


def body(name, nodes, inputs, outputs):
    return helper.make_graph(nodes, name, inputs, [helper.make_empty_tensor_value_info(o) for o in outputs])


def convolution(prefix, x, kernel, y):
    """DQ, Conv, Q; the result of the Conv is prefix_c."""
    w, pads = prefix + "_w", [kernel // 2] * 4
    nodes = [helper.make_node("DequantizeLinear", [w, "t", "u"], [prefix + "_wf"], axis=0),
             helper.make_node("Conv", [x, prefix + "_wf"], [prefix + "_c"], pads=pads),
             helper.make_node("QuantizeLinear", [prefix + "_c", "s", "z"], [y])]
    return nodes, numpy_helper.from_array(rng.integers(-127, 128, (4, 4, kernel, kernel)).astype(np.int8), w)


def nested_model():
    """An If of a Conv with Q and one without, or a QLinearAdd; then a Loop that convolves again and again."""
    three, w3 = convolution("three", "xf", 3, "three_q")
    one, w1 = convolution("one", "xf", 1, "unused")
    again, wl = convolution("again", "again_f", 3, "again_q")
    dq = lambda codes, real: helper.make_node("DequantizeLinear", [codes, "s", "z"], [real])
    then = body("then", three + one[:2] + [dq("three_q", "three_f"), helper.make_node("Sigmoid", ["one_c"], ["g"]),
                helper.make_node("Mul", ["g", "three_f"], ["m"]),
                helper.make_node("QuantizeLinear", ["m", "s", "z"], ["yes"])], [], ["yes"])
    other = body("else", [dq("x", "xe"), helper.make_node("Add", ["xe", "xe"], ["sum"]),
                          helper.make_node("QuantizeLinear", ["sum", "s", "z"], ["no"])], [], ["no"])
    tensor = helper.make_tensor_value_info
    loop = body("loop", [dq("state", "again_f")] + again + [helper.make_node("Identity", ["go"], ["go_on"])],
                [tensor("i", TensorProto.INT64, []), tensor("go", TensorProto.BOOL, []),
                 tensor("state", TensorProto.UINT8, [1, 4, 6, 6])], ["go_on", "again_q"])
    nodes = [dq("x", "xf"), helper.make_node("If", ["k"], ["y"], then_branch=then, else_branch=other),
             helper.make_node("Loop", ["count", "", "y"], ["o"], body=loop)]
    graph = helper.make_graph(
        nodes, "nested", [tensor("k", TensorProto.BOOL, []), tensor("x", TensorProto.UINT8, [1, 4, 6, 6])],
        [tensor("o", TensorProto.UINT8, [1, 4, 6, 6])],
        [w3, w1, wl, numpy_helper.from_array(np.float32(0.02), "s"), numpy_helper.from_array(np.uint8(117), "z"),
         numpy_helper.from_array(rng.uniform(0.001, 0.003, 4).astype(np.float32), "t"),
         numpy_helper.from_array(np.zeros(4, np.int8), "u"), numpy_helper.from_array(np.int64(2), "count")])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def nested(folder):
    model = nested_model()
    source, out = os.path.join(folder, "nested.onnx"), os.path.join(folder, "out.onnx")
    onnx.save(model, source)
    if not write("nested", source, out, "--emit=qoperator"):
        return
    count = Counter(ops_of(onnx.load(out).graph))
    check(count["QLinearConv"] == 2 and count["MatMulIntegerToFloat"] == 1 and count["QLinearAdd"] == 1 and
          count["Conv"] == 0, "bodies are written as %s" % dict(count))
    check(write("nested", source, out + "e", "--emit=qoperator", "--exact"), "nested: --exact")
    for turn in range(8):
        feeds = {"k": np.array(turn % 2, bool), "x": rng.integers(0, 256, (1, 4, 6, 6)).astype(np.uint8)}
        wanted = session(model).run(None, feeds)
        steps = np.abs(wanted[0].astype(int) - session(out).run(None, feeds)[0]).max()
        check(steps <= 2, "nested: %d steps off" % steps)  # the last Conv reads codes that may be one step off
        check(identical(wanted, session(out + "e").run(None, feeds)), "nested: --exact differs")


def main():
    for name, path in models():
        print(name, flush=True)
        with tempfile.TemporaryDirectory() as folder:
            one_model(name, path, folder)
    with tempfile.TemporaryDirectory() as folder:
        for makers, exact in ((EXACT, True), (ROUNDED, False)):
            for make in makers:
                for turn in range(24):
                    single(make, exact, [np.uint8, np.int8][turn % 2], folder)
        nested(folder)
    finish()


main()

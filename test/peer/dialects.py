# SPDX-License-Identifier: Apache-2.0
#
# dialects.py -- what other tools write means here what it means there
#
# A network in float16 gets verdict by verdict what its float32 twin gets, and --exact changes no bit of it, in the
# evaluator and in ONNX Runtime. That computes float16 in float32 on a CPU and drops conversions between neighbours, so
# what it rounds depends on who stands beside whom: with --exact a few verdicts are others for that. Seeded models of
# what else there is are rewritten and run in ONNX Runtime, its own optimizations off: with --exact every bit is the
# same, else floats differ by rounding, codes by a step.
import os
import tempfile

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from onnx.reference import ReferenceEvaluator
from onnx.reference.op_run import OpRun

from common import MODELS, check, feeds_of, finish, optimize, session, snr
from eval import Driver, bits

TWINS = [("exporters/res_tiny.modelopt", "exporters/res_tiny.modelopt_fp16")]

# What may get another verdict in float16 with --exact (passes/roundings.c); None: whatever stands behind a weight
ROUNDED = {
    "exporters/res_tiny.modelopt_fp16": {"/f/Gemm"},  # behind a Flatten of a DQ, and so is:
    "exporters/mbv3.nncf": {"/classifier/classifier.0/Gemm", "/classifier/classifier.1/HardSwish"},
    "exporters/cnn.brevitas": None,  # its weights stand behind a Clip of codes
    "digits_qat_relu": None,  # its scales are computed in float16
}


# ---- float16 ----

def verdicts(report):
    return {op["name"]: (op["op"], op["verdict"], (op["reason"] or {}).get("code"), op["fused_into"])
            for op in report["ops"]}


def compare_verdicts(name, what, wanted, got, exact):
    """Both as verdicts() gives them, or a part of it."""
    differ = {k for k in {**wanted, **got} if wanted.get(k) != got.get(k)}
    may = ROUNDED.get(name, set()) if exact else set()
    check(may is None or differ <= may, "%s: other verdicts: %s" %
          (what, [(k, wanted.get(k), got.get(k)) for k in sorted(differ)][:3]))


def regions(report):
    return {r["name"]: (r["kind"], sorted(r["ops"])) for r in report["regions"]}


def twins(folder):
    for first, second in TWINS:
        paths = [os.path.join(MODELS, name + ".onnx") for name in (first, second)]
        if not all(map(os.path.exists, paths)):
            print("%s is not there" % second)
            continue
        for arguments in ([], ["--exact"], ["--target", "tensorrt"], ["--target", "ort-cpu"]):
            a, b = [optimize(p, p, os.path.join(folder, "out.onnx"), *arguments) for p in paths]
            if a is None or b is None:
                continue
            what = "%s %s" % (second, " ".join(arguments))
            mine, other = verdicts(b), verdicts(a)
            exact = "--exact" in arguments  # there the Flatten is a fused operator
            compare_verdicts(second, what, other, mine, exact)
            check(exact or regions(a) == regions(b), "%s: other fused operators" % what)
        unchanged(paths[1], folder)
        unchanged_in_runtime(paths[1], folder, feeds_of(paths[1]))


def unchanged(path, folder, inputs=None):
    if inputs is None:
        data = np.load(path[: -len(".onnx")] + ".ref.npz")
        inputs = [data[name] for name in data.files if name.startswith("in_")]
    driver = Driver(folder)
    answer, before = driver.run(path, inputs)
    check(answer == "ok", "%s: the evaluator says %s" % (path, answer))
    for emit in ("fused", "qdq"):
        out = os.path.join(folder, "out.onnx")
        if optimize(path, path, out, "--exact", "--emit", emit) is None:
            continue
        answer, after = driver.run(out, inputs)
        check(answer == "ok" and [bits(x) for x in before] == [bits(x) for x in after],
              "%s: --exact --emit %s changes bits (%s)" % (path, emit, answer))
    driver.close()


def unchanged_in_runtime(path, folder, feeds):
    """ONNX Runtime gives the same bits; False: it does not run the original."""
    out = os.path.join(folder, "out.onnx")
    try:
        before = session(path).run(None, feeds)
    except Exception:  # its refusal is no finding: Reduce operators of another opset
        return False
    for mode in (["--emit=fused"], ["--emit=qdq"], ["--emit=qoperator"], ["--emit=qdq", "--target=ort-cpu"]):
        if optimize(path, path, out, "--exact", *mode) is not None:
            after = session(out).run(None, feeds)
            check([bits(x) for x in before] == [bits(x) for x in after],
                  "%s: --exact %s changes bits in ONNX Runtime" % (path, " ".join(mode)))
    return True


def widened(path, folder, inputs):
    """For ONNX Runtime's CPU it becomes float32, which also runs where it was bfloat16: near to what the evaluator says."""
    out = os.path.join(folder, "out.onnx")
    driver = Driver(folder)
    answer, before = driver.run(path, inputs)
    driver.close()
    if not check(answer == "ok", "%s: the evaluator says %s" % (path, answer)):
        return
    feeds = dict(zip([i.name for i in onnx.load(path).graph.input], inputs))
    for mode in (["--emit=qoperator"], ["--emit=qdq", "--target=ort-cpu"]):
        if optimize(path, path, out, *mode) is not None:
            ratio = snr([numpy_helper.to_array(t) for t in before], session(out).run(None, feeds))
            check(ratio >= 20, "%s %s: SNR %.1f dB" % (path, " ".join(mode), ratio))


HALVES = ["mobilenet_v2.u8", "unet.s8", "bert_tiny.trt", "digits_qat_relu", "exporters/cnn.brevitas", "exporters/mbv3.nncf"]
RUN = ["mobilenet_v2.u8", "exporters/cnn.brevitas", "exporters/mbv3.nncf"]
EVALUATED = ["digits_qat_relu", "exporters/cnn.brevitas"]
KEEP = {("Resize", 1), ("Resize", 2), ("Upsample", 1)}  # operands that are float32 whatever the data is


def raised(model, opset):
    for imported in model.opset_import:
        if imported.domain == "":
            imported.version = max(imported.version, opset)
    model.ir_version = max(model.ir_version, 11 if opset >= 23 else 9)
    return model


def halved(model, kind):
    """The network in float16 or bfloat16, with Casts at its inputs and outputs: ModelOpt's way."""
    graph = model.graph
    kept = {n.input[i] for n in graph.node for i in range(len(n.input)) if (n.op_type, i) in KEEP}

    def convert(t):
        if t.data_type == TensorProto.FLOAT and t.name not in kept:
            a = numpy_helper.to_array(t)
            with np.errstate(over="ignore"):
                t.CopyFrom(numpy_helper.from_array(a.astype(np.float16), t.name) if kind == TensorProto.FLOAT16 else
                           helper.make_tensor(t.name, kind, a.shape, a.flatten().tolist()))

    for t in graph.initializer:
        convert(t)
    for n in graph.node:
        for a in n.attribute:
            if a.HasField("t") and n.output[0] not in kept:
                convert(a.t)
            if n.op_type == "Cast" and a.name == "to" and a.i == TensorProto.FLOAT:
                a.i = kind
    first, last = [], []
    for v in list(graph.input) + list(graph.output):
        if v.type.tensor_type.elem_type != TensorProto.FLOAT:
            continue
        name = v.name + "_half"
        for n in graph.node:
            for names in (n.input, n.output):
                for i, old in enumerate(names):
                    names[i] = name if old == v.name else old
        if v in graph.input:
            first.append(helper.make_node("Cast", [v.name], [name], to=kind, name=name))
        else:
            last.append(helper.make_node("Cast", [name], [v.name], to=TensorProto.FLOAT, name=name))
    nodes = first + list(graph.node) + last
    del graph.node[:], graph.value_info[:]
    graph.node.extend(nodes)
    return model


def with_casts(model, kind):
    """The same, but for float32 scales with Casts around Q and DQ: what mixed precision training exports."""
    graph = model.graph
    around = [n for n in graph.node if n.op_type in ("QuantizeLinear", "DequantizeLinear")]
    scale_names = {n.input[1] for n in around}
    held = {t.name: t.SerializeToString() for t in graph.initializer if t.name in scale_names}
    if scale_names - set(held):
        return None  # computed in the graph, in float16 then
    halved(model, kind)
    for t in graph.initializer:
        if t.name in held:
            t.ParseFromString(held[t.name])
    nodes = []
    for n in graph.node:
        if n.op_type == "QuantizeLinear":
            nodes.append(helper.make_node("Cast", [n.input[0]], [n.output[0] + "_float"], to=TensorProto.FLOAT))
            n.input[0] = n.output[0] + "_float"
        nodes.append(n)
        if n.op_type == "DequantizeLinear":
            nodes.append(helper.make_node("Cast", [n.output[0] + "_float"], [n.output[0]], to=kind))
            n.output[0] += "_float"
    copies = [onnx.NodeProto.FromString(n.SerializeToString()) for n in nodes]
    del graph.node[:]
    graph.node.extend(copies)
    return model


def mixed(name, path, folder):
    """They get the verdicts of float32 where a DQ may give another type (opset 23), or scales may be rounded. With --exact they
    do not: ONNX Runtime leaves out the Casts and their roundings, which a DQ of float16 would not; there no bit changes."""
    base, half, out = [os.path.join(folder, f) for f in ("base.onnx", "half.onnx", "out.onnx")]
    for opset, arguments in ((19, ["--allow=bounded"]), (23, []), (23, ["--exact"])):
        model = with_casts(raised(onnx.load(path), opset), TensorProto.FLOAT16)
        if model is None:
            return
        onnx.save(raised(onnx.load(path), opset), base)
        onnx.save(model, half)
        if "--exact" in arguments:
            unchanged_in_runtime(half, folder, feeds_of(path))
            continue
        a, b = optimize(base, base, out, *arguments), optimize(half, half, out, *arguments)
        if a is None or b is None:
            continue
        a, b = [{k: v[:3] for k, v in verdicts(r).items()} for r in (a, b)]
        compare_verdicts(name, "%s with Casts, opset %d %s" % (name, opset, arguments), a, b, False)
        reference = path[: -len(".onnx")] + ".ref.npz"
        if name in RUN and os.path.exists(reference):
            data = np.load(reference)
            feeds = {n[3:]: data[n] for n in data.files if n.startswith("in_")}
            before, after = [session(p).run(None, feeds)[0].astype(float) for p in (half, out)]
            noise = np.sum((before - after) ** 2)
            check(np.sum(before**2) >= 10**2.5 * noise, "%s with Casts, opset %d %s: SNR %.1f dB" %
                  (name, opset, arguments, 10 * np.log10(np.sum(before**2) / noise)))


def halves(folder):
    """Networks made float16 or bfloat16 get verdict by verdict what they got in float32."""
    out = os.path.join(folder, "out.onnx")
    base, half = os.path.join(folder, "base.onnx"), os.path.join(folder, "half.onnx")
    for name in HALVES:
        path = os.path.join(MODELS, name + ".onnx")
        if not os.path.exists(path):
            print("%s is not there" % name)
            continue
        for kind, opset in ((TensorProto.FLOAT16, 19), (TensorProto.BFLOAT16, 19), (TensorProto.FLOAT16, 23)):
            what = "%s as type %d, opset %d" % (name, kind, opset)
            onnx.save(raised(onnx.load(path), opset), base)
            onnx.save(halved(raised(onnx.load(path), opset), kind), half)
            for arguments in ([], ["--exact"]):
                a, b = optimize(base, base, out, *arguments), optimize(half, half, out, *arguments)
                if a is None or b is None:
                    continue
                a, b = [{k: v[:3] for k, v in verdicts(r).items()} for r in (a, b)]
                exact = "--exact" in arguments and kind == TensorProto.FLOAT16
                compare_verdicts(name, "%s %s" % (what, arguments), a, b, exact)
            if kind == TensorProto.FLOAT16 and opset == 19:
                run = unchanged_in_runtime(half, folder, feeds_of(path))
                check(run or name == "digits_qat_relu", "%s: ONNX Runtime does not run it" % what)
                mixed(name, path, folder)
            if name in EVALUATED:
                shape = [d.dim_value or 2 for d in onnx.load(path).graph.input[0].type.tensor_type.shape.dim]
                unchanged(half, folder, [floats(*shape)])
                widened(half, folder, [floats(*shape)])


# ---- graphs that are made here ----

rng = np.random.default_rng(11)
ORT_LACKS = {"FakeQuantize", "Quant"}
MS = "com.microsoft"


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
        domains = {n.domain for n in self.nodes} - {""}
        opsets = [helper.make_opsetid("", self.opset)] + [helper.make_opsetid(d, 1) for d in sorted(domains)]
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


def declare(path, results):
    """Types and shapes of the outputs, where inference does not know an operator."""
    model = onnx.load(path)
    for output, a in zip(model.graph.output, results):
        output.CopyFrom(helper.make_tensor_value_info(output.name, helper.np_dtype_to_tensor_dtype(a.dtype), a.shape))
    onnx.save(model, path)


def compare(what, graph, outputs, gone, folder, step=1, run=lambda path, feeds: session(path).run(None, feeds),
            exact_bits=True):
    """Optimized and original agree; none of the operators `gone` is left without --exact. `run` runs the original."""
    source, out = os.path.join(folder, "in.onnx"), os.path.join(folder, "out.onnx")
    graph.save(source, *outputs)
    before = run(source, graph.feeds)
    declare(source, before)
    for arguments in ([], ["--exact"], ["--emit", "qdq"], ["--emit", "qdq", "--exact"], ["--emit", "qoperator"],
                      ["--emit", "qoperator", "--exact"], ["--target", "ort-cpu", "--emit", "qdq"]):
        name = "%s %s" % (what, " ".join(arguments))
        report = optimize(source, source, out, *arguments)
        if report is None:
            continue
        exact = all(r["exactness"].lower() == "exact" for r in report["rewrites"])
        check(exact or "--exact" not in arguments, "%s: not all is exact" % name)
        onnx.checker.check_model(onnx.load(out))
        left = {n.op_type for n in onnx.load(out).graph.node}
        left |= {n.op_type for f in onnx.load(out).functions for n in f.node}
        # qoperator writes integer forms itself
        check("--exact" in arguments or "qoperator" in arguments or not left & gone,
              "%s: %s is left" % (name, sorted(left & gone)))
        if left & ORT_LACKS:
            continue
        after = session(out).run(None, graph.feeds)
        if exact and exact_bits and not gone & ORT_LACKS:
            check([bits(a) for a in before] == [bits(b) for b in after], "%s: bits differ" % name)
        else:
            check(all(coarse(a, b, step) for a, b in zip(before, after)), "%s: results differ: %s" %
                  (name, [np.abs(a.astype(float) - b.astype(float)).max() for a, b in zip(before, after)]))


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


# ---- com.microsoft ----

def microsoft(turn, folder):
    """Q and DQ of com.microsoft, in opsets that have the same and in those that have not."""
    opset = [11, 12, 13, 17, 21][turn % 5]
    dtype, real = [(np.uint8, np.float32), (np.int8, np.float32), (np.uint16, np.float32),
                   (np.uint8, np.float16)][turn % 4]
    many = opset < 13 or turn % 2
    g = Graph(opset)
    x = g.input(floats(1, 4, 6, 5))
    if real == np.float16:
        x = g.add("Cast", x, to=TensorProto.FLOAT16)
    sx, zx = g.constant(scales().astype(real)), g.constant(np.array(3, dtype))
    d = g.add("DequantizeLinear", g.add("QuantizeLinear", x, sx, zx, domain=MS), sx, zx, domain=MS)
    sw = scales(6) if many else scales()
    w = g.add("DequantizeLinear", g.constant(codes(np.int8, 6, 4, 3, 3)), g.constant(sw.astype(real)),
              g.constant(np.zeros(sw.shape, np.int8)), domain=MS, **({"axis": 0} if many else {}))
    y = g.add("Relu", g.add("Conv", d, w))
    sy, zy = g.constant(np.array(0.25, real)), g.constant(np.array(0, dtype))
    y = g.add("QuantizeLinear", y, sy, zy, domain=MS)
    if real == np.float16:  # what ONNX Runtime rounds there depends on who stands beside whom
        return compare("com.microsoft %d" % turn, g, [y], set(), folder, exact_bits=False)
    compare("com.microsoft %d" % turn, g, [y], set(), folder)
    source = os.path.join(folder, "in.onnx")
    report = optimize(source, source, os.path.join(folder, "out.onnx"))
    conv = next(op for op in report["ops"] if op["op"] == "Conv")
    wanted = ("float", "16-bit-codes") if dtype == np.uint16 else ("int8->int8", None)
    got = (conv["verdict"], (conv["reason"] or {}).get("code"))
    check(got == wanted, "com.microsoft %d, opset %d: the Conv is %s" % (turn, opset, got))


# ---- arithmetic ----

def written_out(g, x, s, zero, low, high, form):
    """Fake quantization as training loops write it."""
    s_name = g.constant(s)
    low, high = g.constant(np.float32(low)), g.constant(np.float32(high))
    if form == 3:
        y = g.add("Mul", x, g.constant((1 / s).astype(np.float32)))
    else:
        y = g.add("Div", x, s_name)
    z = g.constant(np.float32(zero)) if zero else None
    if z and form == 1:
        y = g.add("Round", g.add("Add", y, z))
    elif z:
        y = g.add("Add", g.add("Round", y), z)
    if form == 2 and not z:
        y = g.add("Round", g.add("Clip", y, low, high))
    else:
        y = g.add("Clip", y if z else g.add("Round", y), low, high)
    return g.add("Mul", g.add("Sub", y, z) if z else y, s_name)


def arithmetic(turn, folder):
    g = Graph([13, 17, 21][turn % 3])
    x = g.input(floats(1, 4, 6, 5))
    low, high = [(-128, 127), (0, 255), (-8, 7), (-127, 127)][turn % 4]
    zero = [0, 3][rng.integers(2)]
    a = written_out(g, x, scales(), zero, low, high, turn % 5 % 4)
    w = g.constant(floats(6, 4, 3, 3))
    b = written_out(g, w, scales(*[(), (6, 1, 1, 1)][rng.integers(2)]), 0, -127, 127, rng.integers(3))
    y = g.add("Relu", g.add("Conv", a, b))
    y = g.add("QuantizeLinear", y, g.constant(np.float32(0.3)), g.constant(np.uint8(0)))
    # where a tie moves a code, what is computed from it moves by no more than a step of this size
    compare("arithmetic %d" % turn, g, [y], {"Round"}, folder)
    source = os.path.join(folder, "in.onnx")
    report = optimize(source, source, os.path.join(folder, "out.onnx"))
    conv = next(op for op in report["ops"] if op["op"] == "Conv")
    check(conv["verdict"] == "int8->int8", "arithmetic %d: the Conv is %s" % (turn, conv))


# ---- fake quantization ----

class FakeQuantize(OpRun):
    op_domain = "org.openvinotoolkit"

    def _run(self, x, low, high, out_low, out_high, levels=None):
        level = np.rint((x - low) / (high - low) * np.float32(levels - 1))
        y = level / np.float32(levels - 1) * (out_high - out_low) + out_low
        return (np.where(x <= low, out_low, np.where(x > high, out_high, y)).astype(np.float32),)


class Quant(OpRun):
    op_domain = "qonnx.custom_op.general"

    def _run(self, x, scale, zero, bits_, narrow=0, rounding_mode="ROUND", signed=1):
        bits_ = int(bits_)
        least = -(2 ** (bits_ - 1)) + narrow if signed else 0
        greatest = 2 ** (bits_ - 1) - 1 if signed else 2**bits_ - 1 - narrow
        rounding = {"ROUND": np.rint, "FLOOR": np.floor, "CEIL": np.ceil, "ROUND_TO_ZERO": np.trunc}[rounding_mode]
        y = rounding(np.clip(x / scale + zero, np.float32(least), np.float32(greatest)))
        return (((y - zero) * scale).astype(np.float32),)


class BrevitasQuant(Quant):
    op_domain = "onnx.brevitas"


BrevitasQuant.__name__ = "Quant"


def reference(path, feeds):
    return ReferenceEvaluator(onnx.load(path), new_ops=[FakeQuantize, Quant, BrevitasQuant]).run(None, feeds)


def ranged(g, x, levels, step, zero):
    """FakeQuantize whose level `zero` is 0."""
    low = (-step * zero).astype(np.float32)
    high = (low + step * (levels - 1)).astype(np.float32)
    low, high = g.constant(low), g.constant(high)
    return g.add("FakeQuantize", x, low, high, low, high, domain="org.openvinotoolkit", levels=levels)


def quant(g, x, scale, zero, bits_, turn, **attributes):
    domain = ["qonnx.custom_op.general", "onnx.brevitas"][turn % 2]
    return g.add("Quant", x, g.constant(scale), g.constant(np.float32(zero)), g.constant(np.float32(bits_)),
                 domain=domain, **attributes)


def fake(turn, folder):
    g = Graph([13, 17, 21][turn % 3])
    x = g.input(floats(1, 4, 6, 5))
    many = [(), (6, 1, 1, 1)][rng.integers(2)]
    w = g.constant(floats(6, 4, 3, 3))
    kind = turn % 4
    if kind == 0:
        a = ranged(g, x, 256, scales(), [np.float32(128), np.float32(0), np.float32(57)][rng.integers(3)])
        b = ranged(g, w, int(rng.choice([255, 256])), scales(*many), np.float32(127))
    elif kind == 1:
        a = ranged(g, x, int(rng.choice([255, 16])), scales(1), np.float32(7))
        b = ranged(g, w, 255, scales(*many), np.float32(127))
    else:
        signed, narrow = int(rng.integers(2)), int(rng.integers(2))
        zero = 0 if signed else rng.integers(2) * 9
        a = quant(g, x, scales(), zero, rng.choice([8, 4]), turn, signed=signed, narrow=narrow)
        b = quant(g, w, scales(*many), 0, rng.choice([8, 6]), turn, narrow=int(rng.integers(2)))
    y = g.add("Relu", g.add("Conv", a, b))
    y = quant(g, y, np.float32(0.3), 0, 8, turn, signed=0) if kind % 2 else ranged(g, y, 256, np.float32(0.3), np.float32(0))
    # the level of the last one is what is compared: one step is 0.3
    levels = g.add("Cast", g.add("Round", g.add("Div", y, g.constant(np.float32(0.3)))), to=TensorProto.INT32)
    compare("fake quantization %d" % turn, g, [levels], {"FakeQuantize", "Quant"}, folder, run=reference)


def fake_nodes(folder):
    """The evaluator and the definitions above, node by node."""
    driver = Driver(folder)
    for turn in range(40):
        g = Graph(17)
        x = g.input(np.concatenate([floats(50, scale=3), rng.integers(-300, 300, 50) * np.float32(0.05)]).reshape(2, 50)
                    .astype(np.float32))
        if turn % 2:
            y = ranged(g, x, int(rng.choice([2, 16, 255, 256, 1000])), scales(*[(), (2, 1)][turn // 2 % 2]),
                       np.float32(rng.integers(0, 9)))
        else:
            y = quant(g, x, scales(*[(), (2, 1)][turn // 2 % 2]), rng.integers(-3, 3) / 2, rng.integers(2, 12), turn // 4,
                      signed=int(rng.integers(2)), narrow=int(rng.integers(2)),
                      rounding_mode=str(rng.choice(["ROUND", "FLOOR", "CEIL", "ROUND_TO_ZERO"])))
        path = os.path.join(folder, "in.onnx")
        g.save(path, y)
        answer, got = driver.run(path, list(g.feeds.values()))
        wanted = reference(path, g.feeds)
        check(answer == "ok" and [bits(a) for a in got] == [bits(a) for a in wanted],
              "the evaluator's %s: %s" % (g.nodes[0].op_type, answer))
    driver.close()


# ---- codes that are not of 8 bits ----

CARRIED = {"INT16": (21, "16-bit-codes"), "UINT16": (21, "16-bit-codes"), "INT4": (21, "4-bit-codes"),
           "UINT4": (21, "4-bit-codes"), "INT2": (25, "4-bit-codes"), "UINT2": (25, "4-bit-codes"),
           "FLOAT8E4M3FN": (19, "float8-codes"), "FLOAT8E5M2": (19, "float8-codes"),
           "FLOAT8E4M3FNUZ": (19, "float8-codes"), "FLOAT8E5M2FNUZ": (19, "float8-codes"),
           "FLOAT4E2M1": (23, "float8-codes"), "INT8": (21, "blocked-scales")}
IR = {19: 9, 21: 10, 23: 11, 25: 13}


def carried(name, on_weight, blocked, folder):
    """x - Q - DQ - MatMul, codes of this type on one side: nothing changes, and the MatMul says why."""
    opset, code = CARRIED[name]
    kind = getattr(TensorProto, name)
    if blocked and opset < 21 or name == "INT8" and not (blocked and on_weight):
        return
    x_kind, w_kind = (TensorProto.INT8, kind) if on_weight else (kind, TensorProto.INT8)
    blocked_w = blocked and on_weight
    dims = [2, 4] if blocked_w else [4]
    constants = [helper.make_tensor("sx", TensorProto.FLOAT, [], [0.1]), helper.make_tensor("zx", x_kind, [], [0]),
                 helper.make_tensor("w", w_kind, [8, 4], rng.integers(0, 2, 32).tolist()),
                 helper.make_tensor("sw", TensorProto.FLOAT, dims, scales(int(np.prod(dims))).tolist()),
                 helper.make_tensor("zw", w_kind, dims, [0] * int(np.prod(dims)))]
    along = {"axis": 0, "block_size": 4} if blocked_w else {"axis": 1}
    nodes = [helper.make_node("QuantizeLinear", ["x", "sx", "zx"], ["q"]),
             helper.make_node("DequantizeLinear", ["q", "sx", "zx"], ["d"]),
             helper.make_node("DequantizeLinear", ["w", "sw", "zw"], ["v"], **along),
             helper.make_node("MatMul", ["d", "v"], ["y"], name="product")]
    graph = helper.make_graph(nodes, "g", [helper.make_tensor_value_info("x", TensorProto.FLOAT, [3, 8])],
                              [helper.make_tensor_value_info("y", TensorProto.FLOAT, [3, 4])], constants)
    source, out = os.path.join(folder, "in.onnx"), os.path.join(folder, "out.onnx")
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=IR[opset]), source)
    for arguments in ([], ["--exact"]):
        what = "%s %s %s %s" % (name, "weight" if on_weight else "input", "blocked" if blocked else "", arguments)
        report = optimize(source, source, out, *arguments)
        if report is None:
            continue
        product = next(op for op in report["ops"] if op["name"] == "product")
        check(product["verdict"] == "float" and product["reason"]["code"] == code, "%s: %s" % (what, product))
        others = [r for r in report["rewrites"] if r["pass"] != "fuse"]  # as it stands, it may be a fused operator
        check(not others, "%s: %s" % (what, others))
        if name == "FLOAT4E2M1":
            continue  # ONNX Runtime has no kernel
        feeds = {"x": floats(3, 8)}
        check(bits(session(source).run(None, feeds)[0]) == bits(session(out).run(None, feeds)[0]),
              "%s: bits differ" % what)


def main():
    with tempfile.TemporaryDirectory() as folder:
        twins(folder)
        halves(folder)
        for turn in range(36):
            integer_product(turn, folder)
        for turn in range(20):
            microsoft(turn, folder)
        for turn in range(40):
            arithmetic(turn, folder)
        for name in CARRIED:
            for on_weight in (False, True):
                for blocked in (False, True):
                    carried(name, on_weight, blocked, folder)
        fake_nodes(folder)
        for turn in range(40):
            fake(turn, folder)
    finish()


main()

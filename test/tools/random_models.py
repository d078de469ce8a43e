# SPDX-License-Identifier: Apache-2.0
#
# random_models.py -- seeded models of one operator each, for test/peer/eval.py
import numpy as np
import onnx
import onnx.helper as oh
import onnxruntime as ort
from onnx import TensorProto, numpy_helper

# ---- random models against ONNX Runtime ------------------------------------------------------------------------------

NP = {
    "float": np.float32, "double": np.float64, "float16": np.float16, "int8": np.int8, "uint8": np.uint8,
    "int16": np.int16, "uint16": np.uint16, "int32": np.int32, "uint32": np.uint32, "int64": np.int64,
    "uint64": np.uint64, "bool": np.bool_,
}
NUMBER = {name: getattr(TensorProto, name.upper()) for name in (
    "float", "double", "float16", "bfloat16", "int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64",
    "bool", "int4", "uint4", "float8e4m3fn", "float8e5m2", "float8e4m3fnuz", "float8e5m2fnuz")}
EXACT = None  # as a tolerance
CLOSE = (3e-6, 1e-6)  # a few units of float32
SUMS = (2e-5, 2e-5)  # sums of hundreds of products, which ONNX Runtime adds in float


class Random:
    """Cases: name, model, inputs, tolerance. Everything comes from one seed."""

    def __init__(self, seed):
        self.rng = np.random.default_rng(seed)

    def values(self, kind, shape, special=False, small=False):
        rng = self.rng
        if kind == "bool":
            return rng.integers(0, 2, shape).astype(bool)
        dtype = NP[kind]
        if np.dtype(dtype).kind != "f":
            info = np.iinfo(dtype)
            low, high = (max(info.min, -9), min(info.max, 9)) if small else (info.min, info.max)
            return rng.integers(low, high, shape, dtype=dtype, endpoint=True)
        x = (rng.standard_normal(shape) * 10.0 ** rng.integers(-3, 3, shape)).astype(dtype)
        if special and x.size:
            odd = np.array([0, -0.0, np.inf, -np.inf, np.nan, 0.5, -0.5, 1.5, 2.5, np.finfo(dtype).max,
                            np.finfo(dtype).tiny, np.finfo(dtype).smallest_subnormal], dtype)
            at = rng.random(x.shape) < 0.2
            x = np.where(at, odd[rng.integers(0, len(odd), x.shape)], x).astype(dtype)
        return x

    def shape(self, rank=None, most=5):
        rank = int(self.rng.integers(0, 5)) if rank is None else rank
        return tuple(int(d) for d in self.rng.integers(1, most + 1, rank))

    def broadcastable(self, shape):
        keep = self.rng.integers(0, len(shape) + 1)
        return tuple(d if self.rng.random() < 0.7 else 1 for d in shape[len(shape) - keep:])

    def model(self, op, inputs, version, domain="", outputs=1, constants=(), **attrs):
        """inputs: arrays (None: absent) or TensorProtos; those at `constants` become initializers."""
        protos = [None if x is None else x if isinstance(x, TensorProto) else numpy_helper.from_array(np.asarray(x))
                  for x in inputs]
        names = ["" if t is None else "x%d" % i for i, t in enumerate(protos)]
        values, fed = [], []
        initializers = []
        for i, t in enumerate(protos):
            if t is None:
                continue
            t = TensorProto.FromString(t.SerializeToString())
            t.name = names[i]
            if i in constants:
                initializers.append(t)
            else:
                values.append(oh.make_tensor_value_info(names[i], t.data_type, list(t.dims)))
                fed.append(t)
        node = oh.make_node(op, names, ["y%d" % i for i in range(outputs)], domain=domain, **attrs)
        graph = oh.make_graph([node], "g", values, [oh.make_empty_tensor_value_info("y%d" % i) for i in range(outputs)],
                              initializers)
        imports = [oh.make_opsetid("", version)] + ([oh.make_opsetid(domain, 1)] if domain else [])
        return oh.make_model(graph, opset_imports=imports, ir_version=10), fed


def widen(model, to):
    """The output cast to a type that numpy has."""
    model.graph.node.append(oh.make_node("Cast", ["y0"], ["z"], to=to))
    model.graph.output[0].name = "z"


class Peer:
    """ONNX Runtime, its optimizations off."""

    def __init__(self):
        self.options = ort.SessionOptions()
        self.options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
        self.options.log_severity_level = 4
        self.options.intra_op_num_threads = 1

    def run(self, model, fed):
        data = model if isinstance(model, str) else model.SerializeToString()
        session = ort.InferenceSession(data, self.options, providers=["CPUExecutionProvider"])
        feeds = {}
        for t in fed:
            a = numpy_helper.to_array(t)
            native = a.dtype in (np.dtype(d) for d in NP.values())
            feeds[t.name] = a if native else ort.OrtValue.ortvalue_from_numpy_with_onnx_type(
                numpy_helper.to_array(TensorProto(data_type=TensorProto.UINT8, dims=t.dims, raw_data=t.raw_data)),
                t.data_type)
        results = session.run_with_ort_values(None, {
            k: v if isinstance(v, ort.OrtValue) else ort.OrtValue.ortvalue_from_numpy(v) for k, v in feeds.items()})
        return [v.numpy() for v in results]


def arithmetic(r):
    """Exactly rounded operators of one and two inputs."""
    for op in ("Add", "Sub", "Mul", "Div"):
        for kind in ("float", "double", "float16", "int32", "int64", "uint8", "int8"):
            for _ in range(6):
                shape = r.shape()
                a, b = r.values(kind, shape, special=True), r.values(kind, r.broadcastable(shape), special=True)
                if op == "Div" and np.dtype(NP[kind]).kind != "f":
                    b = np.where((b == 0) | (b == -1 if b.dtype.kind == "i" else False), 3, b).astype(NP[kind])
                pair = (a, b) if r.rng.random() < 0.5 or op == "Div" else (b, a)
                yield "%s %s" % (op, kind), r.model(op, pair, 14), EXACT
    for op, kinds in (("Abs", "float double int8 int32 int64 uint8"), ("Neg", "float double int8 int32 int64"),
                      ("Sqrt", "float double"), ("Reciprocal", "float double"), ("Floor", "float double"),
                      ("Ceil", "float double"), ("Round", "float double float16"), ("Sign", "float int8 uint8 int64"),
                      ("Relu", "float double int32 int8"), ("IsNaN", "float double float16"),
                      ("IsInf", "float double"), ("Not", "bool"), ("LeakyRelu", "float"), ("ThresholdedRelu", "float"),
                      ("BitwiseNot", "uint8 int16 int64")):
        for kind in kinds.split():
            for _ in range(6):
                x = r.values(kind, r.shape(most=20), special=True)
                yield "%s %s" % (op, kind), r.model(op, [x], 21), EXACT
    for op, kinds in (("Max", "float double int32 int64 uint32 uint64 float16"),
                      ("Min", "float double int32 int64 uint32 uint64 float16"), ("Sum", "float double")):
        for kind in kinds.split():
            for _ in range(6):
                shape = r.shape()
                xs = [r.values(kind, r.broadcastable(shape), special=True) for _ in range(r.rng.integers(1, 3))]
                yield "%s %s" % (op, kind), r.model(op, [r.values(kind, shape, special=True)] + xs, 13), EXACT
    for op in ("Equal", "Less", "Greater", "LessOrEqual", "GreaterOrEqual"):
        for kind in ("float", "double", "int32", "int64", "uint8"):
            shape = r.shape()
            a = r.values(kind, shape, special=True, small=True)
            b = r.values(kind, r.broadcastable(shape), special=True, small=True)
            yield "%s %s" % (op, kind), r.model(op, [a, b], 19), EXACT
    for op in ("And", "Or", "Xor"):
        shape = r.shape()
        yield op, r.model(op, [r.values("bool", shape), r.values("bool", r.broadcastable(shape))], 17), EXACT
    for op in ("BitwiseAnd", "BitwiseOr", "BitwiseXor"):
        for kind in ("uint8", "int16", "int64"):
            shape = r.shape()
            yield op, r.model(op, [r.values(kind, shape), r.values(kind, r.broadcastable(shape))], 18), EXACT
    for kind in ("int32", "int64", "uint8", "int8"):
        for fmod in (0, 1):
            shape = r.shape()
            b = r.values(kind, r.broadcastable(shape))
            b = np.where((b == 0) | (b == -1 if b.dtype.kind == "i" else False), 3, b).astype(NP[kind])
            yield "Mod %s" % kind, r.model("Mod", [r.values(kind, shape), b], 13, fmod=fmod), EXACT
    for direction in ("LEFT", "RIGHT"):
        for kind in ("uint8", "uint32", "uint64"):
            x, width = r.values(kind, r.shape()), np.dtype(NP[kind]).itemsize * 8
            by = r.rng.integers(0, width, x.shape).astype(NP[kind])
            yield "BitShift", r.model("BitShift", [x, by], 11, direction=direction), EXACT
    for kind in ("float", "double", "int8", "uint8", "int32", "int64", "uint64", "float16"):
        for _ in range(4):
            low, high = sorted(r.values(kind, (2,), small=True))
            bounds = [low if r.rng.random() < 0.8 else None, high if r.rng.random() < 0.8 else None]
            yield "Clip %s" % kind, r.model("Clip", [r.values(kind, r.shape())] + bounds, 13), EXACT
    for kind in ("float", "int64", "uint8", "int32", "double"):
        for _ in range(4):
            shape = r.shape()
            yield "Where %s" % kind, r.model("Where", [r.values("bool", r.broadcastable(shape)), r.values(kind, shape),
                                                       r.values(kind, r.broadcastable(shape))], 16), EXACT
    shape = r.shape(3)
    yield "PRelu", r.model("PRelu", [r.values("float", shape), r.values("float", r.broadcastable(shape))], 16), EXACT


def casts(r):
    kinds = list(NP)
    for a in kinds:
        for b in kinds:
            x = r.values(a, (257,), special=False)
            if x.dtype.kind == "f" and np.dtype(NP[b]).kind in "iu":
                info = np.iinfo(NP[b])
                x = np.clip(x, max(info.min, -60000), min(info.max, 60000)).astype(x.dtype)
            yield "Cast %s to %s" % (a, b), r.model("Cast", [x], 13, to=NUMBER[b]), EXACT
    # what no type can hold: as x86 does
    wild = np.array([1e3, -1e3, 3e5, -3e5, 3e9, -3e9, 5e9, 1e19, -1e19, 1e30, np.inf, -np.inf, np.nan], np.float32)
    for b in ("int32", "int64", "bool"):
        for a in ("float", "double"):
            yield "Cast wild %s to %s" % (a, b), r.model("Cast", [wild.astype(NP[a])], 13, to=NUMBER[b]), EXACT
    for b in ("float8e4m3fn", "float8e5m2", "float8e4m3fnuz", "float8e5m2fnuz", "bfloat16"):
        for saturate in (0, 1):
            x = np.concatenate([r.values("float", (500,), special=True), wild])
            model, fed = r.model("Cast", [x], 19, to=NUMBER[b], saturate=saturate)
            widen(model, TensorProto.FLOAT)
            yield "Cast float to %s, saturate %d" % (b, saturate), (model, fed), EXACT


def movement(r):
    for kind in ("float", "int8", "uint8", "int64", "bool", "double", "int32"):
        x = r.values(kind, r.shape(4))
        axis = int(r.rng.integers(-4, 4))
        yield "Transpose", r.model("Transpose", [x], 13, perm=[int(p) for p in r.rng.permutation(4)]), EXACT
        starts, ends = r.rng.integers(-7, 7, (2, 3))
        steps = r.rng.choice([-3, -2, -1, 1, 2, 3], 3)
        axes = r.rng.permutation(4)[:3]
        yield "Slice", r.model("Slice", [x, starts, ends, axes, steps], 13), EXACT
        far = np.array([np.iinfo(np.int64).min, np.iinfo(np.int64).max])
        yield "Slice far", r.model("Slice", [x, far[[0, 1]], far[[1, 0]], np.array([0, 1]), np.array([1, -1])], 13), EXACT
        other = list(x.shape)
        other[axis] = 3
        yield "Concat", r.model("Concat", [x, r.values(kind, other), x], 13, axis=axis), EXACT
        yield "Tile", r.model("Tile", [x, r.rng.integers(1, 4, 4)], 13), EXACT
        yield "Expand", r.model("Expand", [x[:1, :, :1], np.array([2, 3, 1, 4, 1])], 13), EXACT
        yield "Gather", r.model("Gather", [x, r.rng.integers(-x.shape[axis], x.shape[axis], (2, 3))], 13, axis=axis), EXACT
        index = r.rng.integers(-x.shape[axis], x.shape[axis], x.shape)
        yield "GatherElements", r.model("GatherElements", [x, index], 13, axis=axis), EXACT
        tuples = np.stack([r.rng.integers(-d, d, 5) for d in x.shape[:2]], 1)
        yield "GatherND", r.model("GatherND", [x, tuples], 13), EXACT
        updates = r.values(kind, (5,) + x.shape[2:])
        once = np.unique(np.where(tuples < 0, tuples + x.shape[:2], tuples), axis=0)
        yield "ScatterND", r.model("ScatterND", [x, once, updates[: len(once)]], 16), EXACT
        order = np.argsort(r.rng.random(x.shape), axis)
        yield "ScatterElements", r.model("ScatterElements", [x, order, r.values(kind, x.shape)], 16, axis=axis), EXACT
        yield "Compress", r.model("Compress", [x, r.values("bool", (x.shape[axis],))], 11, axis=axis), EXACT
        yield "Flatten", r.model("Flatten", [x], 13, axis=int(r.rng.integers(0, 5))), EXACT
        yield "Reshape", r.model("Reshape", [x, np.array([0, -1, x.shape[3]])], 13), EXACT
        yield "Unsqueeze", r.model("Unsqueeze", [x, np.array([0, -1])], 13), EXACT
        yield "Squeeze", r.model("Squeeze", [x[:, :1, :, :1], np.array([1, -1])], 13), EXACT
        parts = np.array([1, x.shape[axis] - 1])
        yield "Split", r.model("Split", [x, parts], 13, outputs=2, constants=(1,), axis=axis), EXACT
        if kind != "bool":
            yield "NonZero", r.model("NonZero", [x], 13), EXACT
            for mode in ("constant", "reflect", "edge", "wrap"):
                y = r.values(kind, r.shape(3) + (4,))
                pads = r.rng.integers(0, np.array(y.shape), (2, 4)).reshape(-1)
                value = r.values(kind, ()) if mode == "constant" else None
                yield "Pad %s" % mode, r.model("Pad", [y, pads, value], 19, mode=mode), EXACT
            crop = r.rng.integers(-2, 3, 8)
            yield "Pad crop", r.model("Pad", [r.values(kind, (5, 5, 5, 5)), crop], 13), EXACT
        for upper in (0, 1):
            if kind in ("float", "double", "int64", "bool"):
                yield "Trilu", r.model("Trilu", [x, np.int64(r.rng.integers(-3, 4))], 14, upper=upper), EXACT
    for kind in ("float", "int64", "int32"):
        for largest in (0, 1):
            axis = int(r.rng.integers(-3, 3))
            yield "TopK", r.model("TopK", [r.values(kind, (6, 7, 8), small=True), np.array([4])], 11, outputs=2, axis=axis,
                                  largest=largest), EXACT
    for batch in (0, 1):
        x = r.values("int8", (4, 4, 3))
        yield "ReverseSequence", r.model("ReverseSequence", [x, np.array([0, 1, 3, 4])], 10, batch_axis=batch,
                                         time_axis=1 - batch), EXACT
    yield "DynamicQuantizeLinear", r.model("DynamicQuantizeLinear", [r.values("float", (50,))], 11, outputs=3), EXACT
    for kind in ("float", "uint8"):
        x = r.values(kind, (2, 16, 4, 6))
        for mode in ("DCR", "CRD"):
            yield "DepthToSpace", r.model("DepthToSpace", [x], 13, blocksize=2, mode=mode), EXACT
    yield "SpaceToDepth", r.model("SpaceToDepth", [r.values("float", (2, 3, 4, 6))], 13, blocksize=2), EXACT
    for mode in ("half_pixel", "asymmetric", "align_corners", "pytorch_half_pixel", "half_pixel_symmetric"):
        x = r.values("float", (1, 2, 7, 5))
        for near in ("floor", "ceil", "round_prefer_floor", "round_prefer_ceil"):
            sizes = np.array([1, 2, int(r.rng.integers(1, 20)), int(r.rng.integers(1, 20))])
            yield "Resize %s %s" % (mode, near), r.model("Resize", [x, None, None, sizes], 19, mode="nearest",
                                                         coordinate_transformation_mode=mode, nearest_mode=near), EXACT
        scales = np.array([1, 1, 2, 1.7], np.float32)
        yield "Resize %s linear" % mode, r.model("Resize", [x, None, scales], 19, mode="linear",
                                                 coordinate_transformation_mode=mode), (1e-4, 1e-4)


def reductions(r):
    for op in ("ReduceSum", "ReduceMean", "ReduceMax", "ReduceMin", "ReduceProd", "ReduceL1", "ReduceL2",
               "ReduceSumSquare", "ReduceLogSum", "ReduceLogSumExp"):
        for kind in ("float", "double", "int32", "int64", "int8", "uint8"):
            narrow = kind in ("int8", "uint8")
            if (narrow and op not in ("ReduceMax", "ReduceMin")) or (kind[0] == "i" and op[6:9] in ("Log", "L2", "Mea")):
                continue
            for _ in range(4):
                x = r.values(kind, r.shape(4, 6), small=not narrow)
                if op == "ReduceLogSum":
                    x = np.abs(x) + NP[kind](1)
                if x.dtype.kind == "f":
                    x = np.clip(x, -8, 8)
                axes = r.rng.permutation(4)[: r.rng.integers(1, 5)] - 4
                exact = kind not in ("float", "double") or op in ("ReduceMax", "ReduceMin")
                yield "%s %s" % (op, kind), r.model(op, [x, axes], 20 if op in ("ReduceMax", "ReduceMin") else 18,
                                                    keepdims=int(r.rng.integers(0, 2))), EXACT if exact else SUMS
    for op in ("ArgMax", "ArgMin"):
        for kind in ("float", "int32", "int8", "uint8"):
            x = r.values(kind, r.shape(3, 8), small=True)
            yield op, r.model(op, [x], 13, axis=int(r.rng.integers(-3, 3)), keepdims=int(r.rng.integers(0, 2)),
                              select_last_index=int(r.rng.integers(0, 2))), EXACT
    for kind in ("float", "int32", "int64"):
        yield "CumSum", r.model("CumSum", [r.values(kind, (3, 4, 5), small=True), np.int64(1)], 14,
                                exclusive=int(r.rng.integers(0, 2)), reverse=int(r.rng.integers(0, 2))), \
            SUMS if kind == "float" else EXACT


def functions(r):
    """Close, not exact."""
    domain = {"Log": (0.01, 50), "Acosh": (1, 50), "Asin": (-1, 1), "Acos": (-1, 1), "Atanh": (-0.9, 0.9)}
    for op in ("Exp", "Log", "Sin", "Cos", "Tan", "Asin", "Acos", "Atan", "Sinh", "Cosh", "Tanh", "Asinh", "Acosh",
               "Atanh", "Erf", "Sigmoid", "Softplus", "Softsign", "Elu", "Celu", "Selu", "Mish", "HardSigmoid",
               "HardSwish", "Gelu", "Shrink"):
        low, high = domain.get(op, (-5, 5))
        x = r.rng.uniform(low, high, (3, 50)).astype(np.float32)
        yield op, r.model(op, [x], 20), (1e-5, 2e-6)
    yield "Gelu tanh", r.model("Gelu", [x], 20, approximate="tanh"), (1e-4, 2e-6)
    yield "Pow", r.model("Pow", [np.abs(x), r.values("float", (50,))[:50] % 3], 15), (1e-5, 1e-6)
    yield "Pow int", r.model("Pow", [r.values("int64", (50,), small=True), np.array([3])], 15), EXACT
    for op in ("Softmax", "LogSoftmax"):
        for axis in (0, 1, -1):
            yield op, r.model(op, [r.values("float", (3, 4, 5)) % 9], 13, axis=axis), (1e-5, 1e-5)
        yield op, r.model(op, [r.values("float", (3, 4, 5)) % 9], 11, axis=1), (1e-5, 1e-5)
    x = r.values("float", (2, 6, 4, 5)) % 5
    c = [r.rng.uniform(0.5, 2, 6).astype(np.float32) for _ in range(4)]
    yield "BatchNormalization", r.model("BatchNormalization", [x] + c, 15), SUMS
    yield "InstanceNormalization", r.model("InstanceNormalization", [x] + c[:2], 6), (1e-4, 1e-4)
    yield "LayerNormalization", r.model("LayerNormalization", [x, x[0, 0, 0] + 1, x[0, 0, 1]], 17), (1e-4, 1e-4)
    yield "Mean", r.model("Mean", [x, x[:, :1], x[0]], 13), CLOSE


def contractions(r):
    for _ in range(30):
        rank = int(r.rng.integers(1, 4))
        group = int(r.rng.integers(1, 4))
        kernel = r.shape(rank, 3)
        x = r.rng.standard_normal((2, 2 * group) + tuple(int(d) for d in r.rng.integers(5, 10, rank))).astype(np.float32)
        w = r.rng.standard_normal((3 * group, 2) + kernel).astype(np.float32)
        bias = r.rng.standard_normal(3 * group).astype(np.float32)
        attrs = dict(group=group, strides=r.shape(rank, 2))
        if r.rng.random() < 0.3:
            attrs["auto_pad"] = str(r.rng.choice(["SAME_UPPER", "SAME_LOWER", "VALID"]))
        else:
            attrs["pads"] = [int(p) for p in r.rng.integers(0, 2, 2 * rank)]
            attrs["dilations"] = r.shape(rank, 2)
        yield "Conv %s" % attrs, r.model("Conv", [x, w, bias], 11, **attrs), SUMS
        if rank < 3:
            w = r.rng.standard_normal((2 * group, 3) + kernel).astype(np.float32)
            attrs.pop("auto_pad", None)
            yield "ConvTranspose %s" % attrs, r.model("ConvTranspose", [x, w, bias], 11, **attrs), SUMS
        if rank < 3:
            x8 = r.values("uint8", x.shape)
            w8 = r.values(str(r.rng.choice(["uint8", "int8"])), (3 * group, 2) + kernel)
            attrs.pop("auto_pad", None)
            zeros = [r.values("uint8", ()), w8.dtype.type(3)]
            yield "ConvInteger %s" % attrs, r.model("ConvInteger", [x8, w8] + zeros, 10, **attrs), EXACT
            scales = r.rng.uniform(0.001, 0.002, 3 * group).astype(np.float32)
            yield "QLinearConv %s" % attrs, r.model(
                "QLinearConv", [x8, np.float32(0.1), zeros[0], w8, scales, np.zeros(3 * group, w8.dtype),
                                np.float32(0.3), np.uint8(100), r.values("int32", (3 * group,), small=True)],
                10, constants=(1, 2, 4, 5, 6, 7), **attrs), (0, 1)
    for _ in range(15):
        m, k, n = (int(d) for d in r.rng.integers(1, 9, 3))
        batch = r.shape(int(r.rng.integers(0, 3)), 3)
        a = r.rng.standard_normal(batch + (m, k)).astype(np.float32)
        b = r.rng.standard_normal(r.broadcastable(batch) + (k, n)).astype(np.float32)
        yield "MatMul", r.model("MatMul", [a, b], 13), SUMS
        ta, tb = (int(t) for t in r.rng.integers(0, 2, 2))
        a, b = a.reshape(-1, m, k)[0], b.reshape(-1, k, n)[0]
        c = r.rng.standard_normal(r.broadcastable((m, n))).astype(np.float32)
        yield "Gemm", r.model("Gemm", [a.T if ta else a, b.T if tb else b, c], 13, transA=ta, transB=tb, alpha=0.7,
                              beta=1.3), SUMS
        a8, b8 = r.values("uint8", (m, k)), r.values("int8", (k, n))
        yield "MatMulInteger", r.model("MatMulInteger", [a8, b8, np.uint8(7), np.int8(-3)], 10), EXACT
        yield "QLinearMatMul", r.model("QLinearMatMul", [a8, np.float32(0.02), np.uint8(7), b8, np.float32(0.01),
                                                         np.int8(0), np.float32(0.05), np.uint8(9)], 10), (0, 1)
    for _ in range(20):
        rank = int(r.rng.integers(1, 4))
        x = r.values("float", (2, 3) + tuple(int(d) for d in r.rng.integers(4, 9, rank)))
        kernel = tuple(int(d) for d in r.rng.integers(2, 4, rank))
        attrs = dict(kernel_shape=kernel, strides=r.shape(rank, 3), ceil_mode=int(r.rng.integers(0, 2)))
        attrs["pads"] = [int(p) for p in r.rng.integers(0, 2, 2 * rank)]
        yield "AveragePool %s" % attrs, r.model("AveragePool", [x], 19, count_include_pad=int(r.rng.integers(0, 2)),
                                                **attrs), SUMS
        attrs["dilations"] = r.shape(rank, 2)
        yield "MaxPool %s" % attrs, r.model("MaxPool", [x], 12, outputs=int(r.rng.integers(1, 3)), **attrs), EXACT
        attrs.pop("pads")
        x8 = r.values("uint8", (1, 2, 9, 9))
        yield "MaxPool uint8", r.model("MaxPool", [x8], 12, kernel_shape=(3, 2), strides=(2, 1)), EXACT
    x = r.values("float", (2, 3, 5, 7)) % 100
    yield "GlobalAveragePool", r.model("GlobalAveragePool", [x], 1), SUMS
    yield "GlobalMaxPool", r.model("GlobalMaxPool", [x], 1), EXACT
    yield "LpPool", r.model("LpPool", [x], 18, kernel_shape=(2, 2), p=2), SUMS


def codes(kind, values):
    """Integers as a TensorProto of any integer type, packed ones too."""
    return oh.make_tensor("t", NUMBER[kind], values.shape, values.reshape(-1).tolist())


RANGE = {"uint8": (0, 255), "int8": (-128, 127), "uint16": (0, 65535), "int16": (-32768, 32767), "uint4": (0, 15),
         "int4": (-8, 7), "int32": (-2**31, 2**31 - 1)}


def quantization(r):
    for opset in (10, 13, 17, 19, 21, 23):
        for kind in RANGE:
            if opset < 21 and kind in ("uint16", "int16", "uint4", "int4") or (opset == 10 and kind == "int32"):
                continue
            for form in ("tensor", "axis", "block", "none"):
                if form == "axis" and opset < 13 or form == "block" and opset < 21:
                    continue
                yield from quantization_pair(r, opset, kind, form)


def quantization_pair(r, opset, kind, form):
    low, high = RANGE[kind]
    shape = r.shape(3, 6)
    axis = int(r.rng.integers(0, 3))
    attrs = {"axis": axis} if form in ("axis", "block") else {}
    params = {"axis": (shape[axis],)}.get(form, ())
    if form == "block":
        shape = shape[:axis] + (7,) + shape[axis + 1:]
        params = shape[:axis] + (3,) + shape[axis + 1:]
        attrs["block_size"] = 3
    halves = ("float", "float16") if opset >= 19 else ("float",)
    for real in halves:
        scale = r.rng.uniform(0.01, 0.3, params).astype(NP[real])
        zero = r.rng.integers(low, high, params, endpoint=True)
        zeros = None if form == "none" or kind == "int32" else codes(kind, zero)
        q = codes(kind, r.rng.integers(low, high, shape, endpoint=True))
        if kind == "int32" or form != "none" or kind in ("uint8", "int8"):
            yield "DequantizeLinear-%d %s %s %s" % (opset, kind, form, real), \
                r.model("DequantizeLinear", [q, scale, zeros], opset, constants=(0, 1, 2), **attrs), EXACT
        if kind == "int32" or (form == "none" and kind != "uint8"):
            continue
        x = r.values(real, shape)
        spread = scale if form != "block" else np.repeat(scale, 3, axis)[
            tuple(slice(0, d) for d in shape)]
        if form == "axis":
            spread = scale.reshape([-1 if i == axis else 1 for i in range(3)])
        ties = (r.rng.integers(-300, 300, shape) + 0.5).astype(np.float32) * spread
        x = np.where(r.rng.random(shape) < 0.4, ties, x).astype(NP[real])
        if real == "float16":
            x = np.clip(x, -60000, 60000).astype(np.float16)
        model, fed = r.model("QuantizeLinear", [x, scale, zeros], opset, constants=(1, 2), **attrs)
        if kind in ("int4", "uint4"):  # numpy has no such type
            widen(model, TensorProto.INT8)
        yield "QuantizeLinear-%d %s %s %s" % (opset, kind, form, real), (model, fed), EXACT
        if form == "tensor" and real == "float" and kind in ("int8", "uint8", "int16", "uint16"):
            odd = np.tile(np.array([np.nan, np.inf, -np.inf, 1e30, -1e30, 3.4e38], np.float32), 7)
            yield "QuantizeLinear-%d %s odd" % (opset, kind), \
                r.model("QuantizeLinear", [odd, scale, zeros], opset, constants=(1, 2)), EXACT


def microsoft(r):
    ms = "com.microsoft"
    for kind in ("uint8", "int8"):
        t = NP[kind]
        a, b = r.values(kind, (2, 3, 4, 5)), r.values(kind, (3, 1, 5))
        p = [np.float32(0.11), t(5)], [np.float32(0.07), t(3)], [np.float32(0.19), t(9)]
        for op in ("QLinearAdd", "QLinearMul"):
            yield op, r.model(op, [a] + p[0] + [b] + p[1] + p[2], 13, domain=ms), (0, 1)
        for op in ("QLinearLeakyRelu", "QLinearSigmoid"):
            yield op, r.model(op, [a] + p[0] + p[2], 13, domain=ms, constants=(1, 2, 3, 4)), (0, 1)
        yield "QLinearGlobalAveragePool", r.model("QLinearGlobalAveragePool", [a] + p[0] + p[2], 13, domain=ms), (0, 1)
        yield "QLinearAveragePool", r.model("QLinearAveragePool", [a] + p[0] + p[2], 13, domain=ms, kernel_shape=(2, 2),
                                            pads=(1, 1, 0, 0)), (0, 1)
        yield "QLinearConcat", r.model("QLinearConcat", p[2] + [a] + p[0] + [a] + p[1], 13, domain=ms, axis=1,
                                       constants=(0, 1, 3, 4, 6, 7)), (0, 1)
        x, w = r.values(kind, (4, 6)), r.values("int8", (6, 3))
        bias = r.values("int32", (3,), small=True)
        for out in (True, False):
            yield "QGemm", r.model("QGemm", [x, np.float32(0.02), t(3), w, np.float32(0.01), np.int8(0), bias] +
                                   ([np.float32(0.05), t(1)] if out else []), 13, domain=ms,
                                   constants=(1, 2, 3, 4, 5, 6, 7, 8)), (1e-5, 1)
        real = r.values("float", (3, 7)) % 20
        yield "ms QuantizeLinear", r.model("QuantizeLinear", [real, np.float32(0.1), t(3)], 13, domain=ms), EXACT
        yield "ms DequantizeLinear", r.model("DequantizeLinear", [x, np.float32(0.1), t(3)], 13, domain=ms), EXACT
        for keep in (0, 1):
            yield "QLinearReduceMean", r.model("QLinearReduceMean", [a] + p[0] + p[2], 13, domain=ms, axes=[1, -1],
                                               keepdims=keep), (0, 1)
        yield "QLinearWhere", r.model("QLinearWhere", [r.values("bool", (3, 4, 1)), a] + p[0] + [b] + p[1] + p[2], 13,
                                      domain=ms, constants=(2, 3, 5, 6, 7, 8)), (0, 1)
        for axis in (1, -1):
            yield "QLinearSoftmax", r.model("QLinearSoftmax", [a] + p[0] + [np.float32(1 / 256), t(0)], 13, domain=ms,
                                            axis=axis, opset=13, constants=(1, 2, 3, 4)), (0, 1)
    yield "ms Gelu", r.model("Gelu", [real], 13, domain=ms), (1e-5, 1e-6)
    yield "ms QuickGelu", r.model("QuickGelu", [real], 13, domain=ms), (1e-5, 1e-6)


def calls(r):
    """Model-local functions: attributes that refer to the call's, defaults, attributes left out, calls of calls."""
    leaky = oh.make_node("LeakyRelu", ["a"], ["b"])
    leaky.attribute.append(onnx.AttributeProto(name="alpha", ref_attr_name="slope", type=onnx.AttributeProto.FLOAT))
    celu = oh.make_node("ThresholdedRelu", ["b"], ["c"])
    celu.attribute.append(onnx.AttributeProto(name="alpha", ref_attr_name="least", type=onnx.AttributeProto.FLOAT))
    inner = oh.make_function("f", "inner", ["a"], ["c"], [leaky, celu], [oh.make_opsetid("", 17)], ["slope"],
                             [oh.make_attribute("least", 0.25)])
    for given in ({}, {"slope": 0.5}, {"slope": 2.0, "least": -3.0}):
        call = oh.make_node("inner", ["p"], ["q"], domain="f", **given)
        twice = oh.make_node("inner", ["q"], ["s"], domain="f", slope=4.0)
        outer = oh.make_function("f", "outer", ["p"], ["s"], [call, twice],
                                 [oh.make_opsetid("", 17), oh.make_opsetid("f", 1)])
        x = numpy_helper.from_array(r.values("float", (40,)), "x0")
        graph = oh.make_graph([oh.make_node("outer", ["x0"], ["y0"], domain="f"),
                               oh.make_node("outer", ["y0"], ["y1"], domain="f")], "g",
                              [oh.make_tensor_value_info("x0", 1, [40])],
                              [oh.make_tensor_value_info("y0", 1, [40]), oh.make_tensor_value_info("y1", 1, [40])])
        yield "calls %s" % given, (oh.make_model(graph, functions=[inner, outer], ir_version=8, opset_imports=[
            oh.make_opsetid("", 17), oh.make_opsetid("f", 1)]), [x]), EXACT

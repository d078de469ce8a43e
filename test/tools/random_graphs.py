# SPDX-License-Identifier: Apache-2.0
#
# random_graphs.py -- seeded networks of mixed operators with Q/DQ in odd places, for test/peer/graphs.py
#
# A graph grows by one block at a time out of the values that it has so far, so forks and residual arms come by
# themselves. Half of the scales are powers of two: then accumulators lie on ties, as often as not. Everything depends
# on the seed alone. Tensors are tiny; the batch is 1 to 3, as a number or as a symbol.
import random
from dataclasses import dataclass, replace

import numpy as np
import onnx
import onnx.helper as oh
from onnx import TensorProto, numpy_helper

import random_blocks
import random_odd

MS = "com.microsoft"
BATCHES = [1, 2, 2, 2, 3]
CODES = {"s8": TensorProto.INT8, "u8": TensorProto.UINT8, "s16": TensorProto.INT16, "u16": TensorProto.UINT16,
         "s4": TensorProto.INT4, "u4": TensorProto.UINT4, "s32": TensorProto.INT32}
KINDS = dict(CODES, f=TensorProto.FLOAT, i64=TensorProto.INT64, b=TensorProto.BOOL)
NUMPY = {"s8": np.int8, "u8": np.uint8, "s16": np.int16, "u16": np.uint16, "s32": np.int32, "f": np.float32,
         "i64": np.int64, "b": np.bool_}
RANGE = {"s8": (-128, 127), "u8": (0, 255), "s16": (-32768, 32767), "u16": (0, 65535), "s4": (-8, 7), "u4": (0, 15),
         "s32": (-2**31, 2**31 - 1)}
WIDE = ("s16", "u16")
OPSETS = [10, 11, 12] + [13] * 3 + [14, 15, 16] + [17] * 4 + [18, 19, 20] + [21] * 4 + [22, 23, 24, 25]


@dataclass(frozen=True)
class Value:
    name: str
    shape: tuple
    kind: str = "f"
    size: float = 1.0  # about how large its numbers are
    batch: bool = False  # its first dimension is the symbol
    scale: float = 0.0  # of the DQ that gives it


@dataclass(frozen=True)
class Params:
    """What a Q or DQ does: arrays, the operands that hold them, and the axis where there are several scales."""
    kind: str
    scale: np.ndarray
    zero: np.ndarray
    operands: tuple
    axis: int = None
    domain: str = ""


class Graph:
    def __init__(self, seed):
        self.seed = seed
        self.rng = random.Random(seed)
        self.numbers = np.random.default_rng(seed)
        self.opset = self.rng.choice(OPSETS)
        self.symbolic = self.rng.random() < 0.3
        self.size = self.rng.choice(BATCHES)
        self.fakes, self.halves = self.chance(0.08), self.chance(0.03)
        self.inner = None  # the nodes of a body that is being written
        self.nodes, self.initializers, self.inputs, self.outputs = [], [], [], []
        self.values, self.functions, self.bits, self.defaults = [], [], {}, {}
        self.domains = {""}
        self.forms = self.chance(0.15)
        self.named = self.chance(0.8)
        self.odd = 6 if self.chance(0.3) else 1  # how often what is rare comes
        self.count, self.last, self.taken = 0, [], set()

    # ---- chance ----

    def chance(self, p):
        return self.rng.random() < p

    def pick(self, wanted, old=0.35):
        """One of the values that `wanted` takes, mostly one of the last."""
        found = [v for v in self.values if wanted(v)]
        if not found:
            return None
        return self.rng.choice(found) if self.chance(old) else self.rng.choice(found[-3:])

    def floats(self, rank=None, least=1):
        return self.pick(lambda v: v.kind == "f" and (rank is None or len(v.shape) == rank) and len(v.shape) >= least)

    # ---- values ----

    def name(self, stem):
        self.count += 1
        if self.last and self.chance(0.03 * self.odd):  # names that the library makes itself, mostly of another one
            taken = self.rng.choice(["QConv_1", "QEltwise_1", "Requantize_2", "%s__2", "%s.fused", "%s.fused.in0", "%s.fused.out0", "%s_scale",
                                     "%s_zero_point", "%s_QuantizeLinear", "%s_DequantizeLinear", "%s_code1", "%s_codes"])
            taken = taken % self.rng.choice(self.last) if "%" in taken else taken
            if taken not in self.taken:
                self.taken.add(taken)
                return taken
        made = "%s%s%d" % (stem, self.rng.choice(["_", "/", "."]), self.count)
        self.last.append(made)
        return made

    def constant(self, array, stem="c", kind=None):
        """An initializer, a Constant node, or an initializer behind an Identity; or one that the caller may replace."""
        tensor = numpy_helper.from_array(np.asarray(array)) if kind is None else \
            oh.make_tensor("", CODES[kind], np.shape(array), np.asarray(array).reshape(-1).tolist())
        tensor.name = self.name(stem)
        way = self.rng.random()
        if way < 0.06:
            self.nodes.append(oh.make_node("Constant", [], [tensor.name], value=tensor))
            return tensor.name
        self.initializers.append(tensor)
        if way < 0.08 and kind is None:
            return self.node("Identity", [tensor.name])[0]
        if way > 1 - 0.004 * self.odd and kind is None and self.inner is None and stem not in ("i", "scales"):
            self.inputs.append(oh.make_tensor_value_info(tensor.name, tensor.data_type, list(tensor.dims)))
            self.defaults[tensor.name] = np.asarray(array)
        return tensor.name

    def input(self, shape, kind="f", batch=None, scale=None):
        batch = self.symbolic if batch is None else batch
        name = self.name("x")
        dims = (["N"] if batch else [shape[0]]) + list(shape[1:]) if shape else []
        self.inputs.append(oh.make_tensor_value_info(name, KINDS[kind], dims))
        v = Value(name, tuple(shape), kind, 1.0, batch)
        self.bits[name] = (v, scale)
        return v

    def node(self, op, inputs, outputs=1, domain="", **attrs):
        names = [self.name(op.lower()[:6]) for _ in range(outputs)]
        while inputs and inputs[-1] == "":
            inputs = inputs[:-1]
        label = "/%s_%d" % (op, self.count) if self.named or self.chance(0.3) else ""
        if label and self.chance(0.02 * self.odd):
            label = self.name(label)
        made = oh.make_node(op, inputs, names, label, domain=domain, **attrs)
        (self.nodes if self.inner is None else self.inner).append(made)
        self.domains.add(domain)
        return names

    def add(self, v):
        self.values.append(v)
        return v

    def result(self, op, inputs, like, shape=None, size=None, domain="", **attrs):
        """One more value: what `op` gives."""
        name = self.node(op, inputs, 1, domain, **attrs)[0]
        shape = like.shape if shape is None else tuple(shape)
        return self.add(replace(like, name=name, shape=shape, size=like.size if size is None else size, scale=0.0))

    # ---- quantization ----

    def step(self, size, kind):
        low, high = RANGE[kind]
        wanted = size * self.rng.choice([0.7, 1, 2, 3, 4]) / ((high - low) / 2)
        if self.chance(0.5):
            return float(2.0 ** round(np.log2(max(wanted, 1e-30))))
        return float(np.float32(wanted * self.rng.uniform(0.7, 1.4)))

    def codes(self, weight):
        if weight:
            return self.rng.choices(["s8", "u8", "s4", "u4"], [0.8, 0.15, 0.03, 0.02] if self.opset >= 21 else [8, 2, 0, 0])[0]
        return self.rng.choices(["s8", "u8", "s16", "u16"], [0.5, 0.45, 0.02, 0.03])[0]

    def zero_points(self, kind, count, weight):
        low, high = RANGE[kind]
        way = self.rng.random()
        if way < (0.75 if weight else 0.45):
            return np.full(count, 128 if kind == "u8" and self.chance(0.7) else 0)
        if way < 0.9:
            return self.numbers.integers(low, high + 1, count if self.chance(0.5) else 1) * np.ones(count, int)
        return np.full(count, self.rng.choice([low, high, 1, -1 if low < 0 else 3]))

    def params(self, v, weight=False, axis=None):
        """Parameters that fit v, mostly; along `axis` several scales, sometimes along another one."""
        kind = self.codes(weight)
        domain = MS if self.opset < 21 and kind in WIDE or self.chance(0.04) and kind not in ("s4", "u4") else ""
        if axis is not None and self.opset >= 13 and domain == "" and self.chance(0.04 * self.odd):
            axis = self.rng.randrange(len(v.shape))
        if axis is not None and v.batch and axis == 0:
            axis = None
        count = v.shape[axis] if axis is not None and self.opset >= 13 else 1
        scale = np.array([self.step(v.size, kind) for _ in range(count)], np.float32)
        odd = self.rng.random()
        if odd < 0.015 * self.odd:
            scale[self.rng.randrange(count)] *= -1
        elif odd < 0.03 * self.odd:
            scale *= np.float32(self.rng.choice([1e-3, 50.0]))
        zero = self.zero_points(kind, count, weight)
        if axis is None or self.opset < 13:
            axis = None
            shape = () if self.chance(0.85) else (1,)
            scale, zero = scale.reshape(shape), zero.reshape(shape)
        return Params(kind, scale, zero, self.operands(kind, scale, zero, weight), axis, domain)

    def operands(self, kind, scale, zero, weight):
        """Names of the scale and the zero point; rarely something that is no constant."""
        way = self.rng.random()
        if way < 0.02 and not weight:
            s = self.input(scale.shape, scale=scale, batch=False).name
        elif way < 0.05:
            factor = np.float32(0.5)
            s = self.node("Mul", [self.constant(scale / factor, "s"), self.constant(factor)])[0]
        elif way < 0.06:
            s = self.node("Abs", [self.constant(-np.abs(scale), "s")])[0] if np.all(scale > 0) else self.constant(scale, "s")
        else:
            s = self.constant(scale, "s")
        absent = kind == "u8" and not zero.any() and self.chance(0.5)
        z = "" if absent else self.constant(zero if kind in ("s4", "u4") else zero.astype(NUMPY[kind]), "z",
                                            kind if kind in ("s4", "u4") else None)
        return s, z

    def again(self, p):
        """The same operands, or other initializers with the same numbers."""
        return p if self.chance(0.6) else replace(p, operands=self.operands(p.kind, p.scale, p.zero, False))

    def quantize(self, v, p):
        attrs = {} if p.axis is None else {"axis": p.axis - len(v.shape) if self.chance(0.2) else p.axis}
        name = self.node("QuantizeLinear", [v.name, *p.operands], domain=p.domain, **attrs)[0]
        return self.add(Value(name, v.shape, p.kind, 1.0, v.batch))

    def dequantize(self, q, p, size=1.0):
        attrs = {} if p.axis is None else {"axis": p.axis}
        name = self.node("DequantizeLinear", [q.name, *p.operands], domain=p.domain, **attrs)[0]
        return self.add(Value(name, q.shape, "f", size, q.batch, float(p.scale.reshape(-1)[0])))

    def pair(self, v, axis=None):
        """Q and DQ behind v, in one of the forms that they come in."""
        p = self.params(v, axis=axis)
        if p.kind == "u4":
            return v
        q = self.quantize(v, p)
        way = self.rng.random()
        if way < 0.1:  # two pairs
            d = self.dequantize(q, self.again(p), v.size)
            other = p if self.chance(0.5) else self.params(v)
            return self.dequantize(self.quantize(d, other), other, v.size)
        if way < 0.14:  # several DQs of one Q
            self.dequantize(q, self.again(p), v.size)
        elif way < 0.17 and p.kind in ("s8", "u8"):  # read by another scale
            other = replace(self.params(v), kind=p.kind)
            return self.dequantize(q, replace(p, operands=(self.constant(other.scale.reshape(-1)[:1].reshape(())),
                                                           p.operands[1])), v.size) if p.axis is None else \
                self.dequantize(q, p, v.size)
        return self.dequantize(q, self.again(p), v.size)

    def activation(self, v):
        """What a weighted operator reads: mostly dequantized codes."""
        if v.scale or self.chance(0.2):
            return v
        return self.pair(v, axis=1 if len(v.shape) > 1 and self.chance(0.04 * self.odd) else None)

    def settle(self, v):
        """Behind an operator: nothing, or Q and DQ."""
        axis = self.rng.randrange(1, len(v.shape)) if len(v.shape) > 1 and self.chance(0.03 * self.odd) else None
        return self.pair(v, axis) if self.chance(0.55) else v

    def weight(self, shape, axis, size=None):
        """A constant operand, mostly quantized; its value's scale is the first of its scales."""
        fan = max(1, int(np.prod(shape)) // max(1, shape[axis] if shape else 1))
        size = size or 1.0 / np.sqrt(fan)
        numbers = (self.numbers.standard_normal(shape) * size).astype(np.float32)
        v = Value("", tuple(shape), "f", size)
        if self.chance(0.15):
            return replace(v, name=self.constant(numbers, "w"))
        p = self.params(v, True, axis if self.chance(0.6) else None)
        if p.axis is None:
            scale, zero = p.scale.reshape(()), p.zero.reshape(())
        else:
            at = [1] * len(shape)
            at[p.axis] = -1
            scale, zero = p.scale.reshape(at), p.zero.reshape(at)
        if self.chance(0.3) and p.kind not in ("s4", "u4"):
            q = replace(v, name=self.node("QuantizeLinear", [self.constant(numbers, "w"), *p.operands], domain=p.domain,
                                          **({} if p.axis is None else {"axis": p.axis}))[0])
        else:
            codes = np.clip(np.rint(numbers / scale) + zero, *RANGE[p.kind])
            four = p.kind in ("s4", "u4")
            q = replace(v, name=self.constant(codes.astype(int if four else NUMPY[p.kind]), "w", p.kind if four else None))
        name = self.node("DequantizeLinear", [q.name, *p.operands], domain=p.domain,
                         **({} if p.axis is None else {"axis": p.axis}))[0]
        return replace(v, name=name, scale=float(p.scale.reshape(-1)[0]))

    def bias(self, channels, x, w):
        """A bias of one number for each channel: none, float, or int32 codes with the right scale or a wrong one."""
        way = self.rng.random()
        if way < 0.35:
            return ""
        numbers = (self.numbers.standard_normal(channels) * 0.5).astype(np.float32)
        if way < 0.6 or not (x.scale and w.scale):
            return self.constant(numbers, "b")
        scale = np.float32(x.scale) * np.float32(w.scale) * np.float32(1 if self.chance(0.7) else self.rng.choice([0.5, 3]))
        codes = np.clip(np.rint(numbers / scale), -2**30, 2**30).astype(np.int32)
        zero = [self.constant(np.int32(0))] if self.chance(0.3) else []
        return self.node("DequantizeLinear", [self.constant(codes, "b"), self.constant(scale, "s"), *zero])[0]

    # ---- the whole ----

    def grow(self):
        image = self.chance(0.65)
        for _ in range(self.rng.choice([1, 1, 2])):
            if image:
                shape = (self.size, self.rng.choice([1, 2, 3, 4, 6, 8]), *self.rng.choice([(4, 4), (5, 6), (7, 3), (8, 8)]))
            else:
                shape = (self.size, self.rng.choice([3, 4, 6, 8]), self.rng.choice([4, 6, 8])) if self.chance(0.6) else \
                    (self.size, self.rng.choice([4, 7, 12]))
            if self.chance(0.1):
                kind = self.rng.choice(["s8", "u8"])
                v = self.input(shape, kind)
                p = self.params(replace(v, size=1.0))
                while p.kind != kind or p.axis is not None:
                    p = self.params(v)
                self.add(v)
                self.dequantize(v, p)
            else:
                v = self.add(self.input(shape))
                if self.chance(0.6):
                    self.pair(v)
        for _ in range(self.rng.randint(2, 9)):
            random_blocks.grow(self, random_odd.BLOCKS if self.chance(0.3) else random_blocks.BLOCKS)

    def finish(self):
        """Outputs: what nothing reads, and some taps in the middle."""
        read = {i for n in self.nodes for i in n.input}
        for n in self.nodes:
            for a in n.attribute:
                read.update(i for m in a.g.node for i in m.input)
        ends = [v for v in self.values if v.name not in read and v.name not in self.bits]
        rest = [v for v in self.values if v.name in read and v.name not in self.bits]
        chosen = ends[-8:] + self.rng.sample(rest, min(len(rest), self.rng.choice([0, 0, 1, 2])))
        for v in chosen:
            self.outputs.append(oh.make_tensor_value_info(
                v.name, KINDS[v.kind], [None] * len(v.shape) if self.chance(0.3) or self.symbolic else list(v.shape)))

    def model(self):
        self.grow()
        self.finish()
        self.domains.discard("")
        imports = [oh.make_opsetid("", self.opset)] + [oh.make_opsetid(d, 1) for d in sorted(self.domains)]
        graph = oh.make_graph(self.nodes, "random", self.inputs, self.outputs, self.initializers)
        return oh.make_model(graph, opset_imports=imports, ir_version=8 if self.opset < 19 else 10 if self.opset < 24 else 12,
                             functions=self.functions, producer_name="random_graphs")

    def feeds(self, number):
        """Inputs: plain numbers, or (number 1) ties, saturation, zeros."""
        rng = np.random.default_rng((self.seed, number))
        out = {}
        for name, (v, scale) in self.bits.items():
            if scale is not None:
                out[name] = scale
            elif v.kind == "b":
                out[name] = rng.integers(0, 2, v.shape).astype(bool)
            elif v.kind != "f":
                out[name] = rng.integers(*RANGE[v.kind], v.shape, endpoint=True).astype(NUMPY[v.kind])
            elif number == 0:
                out[name] = rng.standard_normal(v.shape).astype(np.float32)
            else:
                x = rng.integers(-40, 40, v.shape) * np.float32(2.0 ** -rng.integers(2, 9))
                odd = np.array([0, -0.0, 0.5, 1000, -1000, 3e4, 1e-20], np.float32)
                out[name] = np.where(rng.random(v.shape) < 0.15, odd[rng.integers(0, len(odd), v.shape)], x).astype(np.float32)
        for name, array in self.defaults.items():  # an initializer that the caller replaces the second time
            if number == 1:
                out[name] = np.asarray(array * np.float32(2) if array.dtype == np.float32 else np.flip(array), array.dtype)
        return out


def to_half(model, kind):
    """The same network in float16 (or bfloat16), scales and all; None: it holds what has no such form."""
    plain = {"Resize": (1, 2), "If": (), "Loop": ()}  # operands that stay float32
    kept = {n.input[i] for n in model.graph.node for i in plain.get(n.op_type, ()) if i < len(n.input)}
    if is_mixed(model) or any(n.op_type in ("If", "Loop", "Scan") or n.domain not in ("", MS) or n.op_type.startswith("QLinear") or n.op_type == "QGemm" or
           n.op_type == "DynamicQuantizeLinear" for n in model.graph.node):
        return None
    half = onnx.ModelProto.FromString(model.SerializeToString())
    tensors = [t for t in half.graph.initializer if t.name not in kept]
    for n in half.graph.node:
        if n.op_type == "Cast":
            n.attribute[0].i = kind
        tensors += [a.t for a in n.attribute if a.name == "value" and n.output[0] not in kept]
    for t in tensors:
        if t.data_type == TensorProto.FLOAT:
            t.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(t).astype(oh.tensor_dtype_to_np_dtype(kind)), t.name))
    for v in [*half.graph.input, *half.graph.output]:
        if v.type.tensor_type.elem_type == TensorProto.FLOAT:
            v.type.tensor_type.elem_type = kind
    for o in half.opset_import:
        o.version = max(o.version, 19) if o.domain == "" else o.version
    half.ir_version = max(half.ir_version, 9)
    return half


def to_float32(model):
    """A network with 16-bit floats in float32, scales and all: nothing is rounded in between."""
    halves = (TensorProto.FLOAT16, TensorProto.BFLOAT16)
    wide = onnx.ModelProto.FromString(model.SerializeToString())

    def widen(graph):
        tensors = list(graph.initializer)
        for n in graph.node:
            for a in list(n.attribute):
                if a.name in ("to", "output_dtype", "precision", "dtype") and a.i in halves:
                    a.i = TensorProto.FLOAT
                if a.type == onnx.AttributeProto.TENSOR:
                    tensors.append(a.t)
                if a.type == onnx.AttributeProto.GRAPH:
                    widen(a.g)
        for t in tensors:
            if t.data_type in halves:
                t.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(t).astype(np.float32), t.name))
        for v in [*graph.input, *graph.output, *graph.value_info]:
            if v.type.tensor_type.elem_type in halves:
                v.type.tensor_type.elem_type = TensorProto.FLOAT

    widen(wide.graph)
    return wide


def has_bfloat16(model):
    kinds = [i.type.tensor_type.elem_type for i in model.graph.input] + [t.data_type for t in model.graph.initializer]
    return TensorProto.BFLOAT16 in kinds + [a.i for n in model.graph.node for a in n.attribute if a.name == "to"]


def is_mixed(model):
    """Does it hold float16 beside float32?"""
    return any(n.op_type == "Cast" and n.attribute[0].i == TensorProto.FLOAT16 for n in model.graph.node)


def make(seed):
    """The graph of a seed: its model, and a function that gives inputs by number."""
    g = Graph(seed)
    model = g.model()
    return model, g.feeds


if __name__ == "__main__":
    import sys
    onnx.save(make(int(sys.argv[1]))[0], sys.argv[2])

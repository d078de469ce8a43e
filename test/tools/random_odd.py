# SPDX-License-Identifier: Apache-2.0
#
# random_odd.py -- more blocks for random graphs (see random_blocks.py): what is seldom, but there
#
# Fake quantization of training tools, blocked and 4-bit and 8-bit float codes, other forms of products and convolutions,
# constants that two operators share, loops whose bodies hold Q and DQ, and operators that only few networks have.
from dataclasses import replace

import numpy as np
import onnx.helper as oh
from onnx import TensorProto

from random_blocks import i64, window

OPENVINO, QONNX = "org.openvinotoolkit", "qonnx.custom_op.general"


# ---- other quantization ----------------------------------------------------------------------------------------------


def fake(g):
    """FakeQuantize or Quant, on an activation."""
    if not g.fakes or g.opset < 11:
        return None
    return fake_of(g, g.floats())


def fake_of(g, v, axis=None):
    if g.chance(0.5):
        signed = g.chance(0.6)
        bits = g.rng.choice([8, 8, 8, 4])
        low, high = (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if signed else (0, 2**bits - 1)
        shape = [v.shape[axis] if i == axis else 1 for i in range(len(v.shape))] if axis is not None else []
        scale = np.asarray([g.step(v.size, "s8" if bits == 8 else "s4") for _ in range(int(np.prod(shape)))], np.float32).reshape(shape)
        zero = np.float32(0 if g.chance(0.7) else g.rng.randint(low, high))
        return g.result("Quant", [v.name, g.constant(scale), g.constant(np.full(shape, zero, np.float32)), g.constant(np.float32(bits))], v,
                        domain=QONNX, signed=int(signed), narrow=int(g.chance(0.3)), rounding_mode="ROUND")
    levels = g.rng.choice([256, 256, 255, 16])
    step = g.step(v.size, "s8")
    zero = g.rng.choice([0, 128, 127, g.rng.randrange(levels), -3])
    low, high = np.float32(-zero * step), np.float32((levels - 1 - zero) * step)
    ends = [g.constant(low), g.constant(high)]
    other = ends if g.chance(0.9) else [g.constant(np.float32(low * 2)), g.constant(np.float32(high * 2))]
    return g.result("FakeQuantize", [v.name, *ends, *other], v, domain=OPENVINO, levels=levels)


def arithmetic_fake(g):
    """The same, written out: Div, Round, Clip, Mul."""
    v = g.floats()
    if g.opset < 11:
        return None
    kind = g.rng.choice(["s8", "u8"])
    low, high = {"s8": (-128, 127), "u8": (0, 255)}[kind]
    if g.chance(0.2):
        low += 1
    s = np.float32(g.step(v.size, kind))
    zero = 0 if g.chance(0.6) else g.rng.randint(low, high)
    step = g.constant(s)
    y = g.result("Div", [v.name, step], v) if g.chance(0.7) else g.result("Mul", [v.name, g.constant(np.float32(1 / s))], v)
    shift = zero and g.chance(0.5)
    y = g.result("Round", [y.name], y)
    if shift:
        y = g.result("Add", [y.name, g.constant(np.float32(zero))], y)
    y = g.result("Clip", [y.name, g.constant(np.float32(low)), g.constant(np.float32(high))], y)
    if shift:
        y = g.result("Sub", [y.name, g.constant(np.float32(zero))], y)
    return g.result("Mul", [y.name, step if g.chance(0.7) else g.constant(s)], v)


def blocked(g):
    """A weight, or an activation, with a scale for each block; codes of 4 or 8 bits."""
    if g.opset < 21:
        return None
    v = g.pick(lambda v: v.kind == "f" and len(v.shape) >= 2 and v.shape[-1] % 2 == 0)
    if v is None:
        return None
    kind, size = g.rng.choice(["s8", "u8", "s4", "u4"]), 2
    low, high = {"s8": (-128, 127), "u8": (0, 255), "s4": (-8, 7), "u4": (0, 15)}[kind]
    held = TensorProto.INT4 if kind == "s4" else TensorProto.UINT4 if kind == "u4" else None

    def operands(shape, axis):
        blocks = [(d + size - 1) // size if i == axis else d for i, d in enumerate(shape)]
        scale = g.numbers.uniform(0.01, 0.05, blocks).astype(np.float32)
        zero = np.full(blocks, 0 if low < 0 else (high + 1) // 2)
        return g.constant(scale, "s"), codes(zero)

    def codes(array):
        if held is not None:
            return g.constant(array, "w", kind)
        return g.constant(array.astype(np.int8 if low < 0 else np.uint8), "w")

    if g.chance(0.6):
        out = g.rng.choice([2, 4, 6])
        s, z = operands((v.shape[-1], out), 0)
        w = g.node("DequantizeLinear", [codes(g.numbers.integers(low, high + 1, (v.shape[-1], out))), s, z], axis=0, block_size=size)[0]
        return g.result("MatMul", [g.activation(v).name, w], v, (*v.shape[:-1], out), 1.0)
    if v.batch:
        return None
    s, z = operands(v.shape, len(v.shape) - 1)
    q = g.node("QuantizeLinear", [v.name, s, z], axis=-1, block_size=size)[0]
    return g.result("DequantizeLinear", [q, s, z], v, axis=-1, block_size=size)


def small_codes(g):
    """A pair of 4 bits or float8."""
    if g.opset < 21:
        return None
    v = g.floats()
    if g.chance(0.5):
        kind = g.rng.choice(["s4", "u4"])
        z = g.constant(np.asarray(0 if kind == "s4" else 7), "z", kind)
        s = g.constant(np.float32(g.step(v.size, kind)), "s")
    else:
        z = g.name("z")
        g.initializers.append(oh.make_tensor(z, g.rng.choice([TensorProto.FLOAT8E4M3FN, TensorProto.FLOAT8E5M2]), [], [0.0]))
        s = g.constant(np.float32(g.rng.choice([0.5, 0.25, 0.1])), "s")
    q = g.node("QuantizeLinear", [v.name, s, z])[0]
    return g.result("DequantizeLinear", [q, s, z], v)


# ---- products in other forms -----------------------------------------------------------------------------------------


def conv_1d(g):
    """Of three dimensions, or of five behind an Unsqueeze."""
    x = g.floats(3)
    if x is None:
        return None
    x = g.activation(x)
    out, (k, stride, begin, end, size) = g.rng.choice([1, 2, 4]), window(g, x.shape[2])
    w = g.weight((out, x.shape[1], k), 0)
    return g.result("Conv", [x.name, w.name, g.bias(out, x, w)], x, (x.shape[0], out, size), 1.0, strides=[stride], pads=[begin, end])


def conv_3d(g):
    x = g.floats(5)
    if x is None or int(np.prod(x.shape)) > 1500:
        return None
    x = g.activation(x)
    out = g.rng.choice([1, 2, 3])
    kernel = [g.rng.choice([k for k in (1, 2, 3) if k <= d]) for d in x.shape[2:]]
    w = g.weight((out, x.shape[1], *kernel), 0)
    return g.result("Conv", [x.name, w.name, g.bias(out, x, w)], x,
                    (x.shape[0], out, *(d - k + 1 for d, k in zip(x.shape[2:], kernel))), 1.0)


def auto_pad(g):
    x = g.floats(4)
    if x is None or min(x.shape[2:]) < 3:
        return None
    x = g.activation(x)
    mode, stride = g.rng.choice(["SAME_UPPER", "SAME_LOWER", "VALID"]), g.rng.choice([1, 2])
    size = [-(-d // stride) if mode != "VALID" else (d - 2) // stride + (1 if (d - 2) % stride == 0 and stride > 1 else 0 if stride > 1 else 0)
            for d in x.shape[2:]]
    size = [(d - 3) // stride + 1 if mode == "VALID" else s for d, s in zip(x.shape[2:], size)]
    if g.chance(0.3):
        return g.result(g.rng.choice(["MaxPool", "AveragePool"]), [x.name], x, (*x.shape[:2], *size), kernel_shape=[3, 3],
                        strides=[stride, stride], auto_pad=mode)
    out = g.rng.choice([1, 3, 4])
    w = g.weight((out, x.shape[1], 3, 3), 0)
    return g.result("Conv", [x.name, w.name, g.bias(out, x, w)], x, (x.shape[0], out, *size), 1.0, strides=[stride, stride],
                    auto_pad=mode)


def padded_conv(g):
    """Pad, with zeros or another value, right in front of a Conv or a pool."""
    x = g.floats(4)
    if x is None or max(x.shape[2:]) > 9 or g.opset < 11:
        return None
    x = g.activation(x)
    pads = [0, 0, g.rng.randint(0, 2), g.rng.randint(0, 2), 0, 0, g.rng.randint(0, 2), g.rng.randint(0, 2)]
    given = [] if g.chance(0.6) else [g.constant(np.float32(g.rng.choice([0, 0, 0.5])))]
    shape = (*x.shape[:2], x.shape[2] + pads[2] + pads[6], x.shape[3] + pads[3] + pads[7])
    y = g.result("Pad", [x.name, i64(g, pads), *given], x, shape)
    if g.chance(0.3):
        y = g.settle(y)
    h, w = window(g, shape[2]), window(g, shape[3])
    if g.chance(0.2):
        return g.result("MaxPool", [y.name], y, (*shape[:2], shape[2] - 1, shape[3] - 1), kernel_shape=[2, 2]) if min(shape[2:]) > 1 else None
    out = g.rng.choice([1, 2, 4])
    weight = g.weight((out, shape[1], h[0], w[0]), 0)
    return g.result("Conv", [y.name, weight.name, g.bias(out, y, weight)], y, (shape[0], out, h[4], w[4]), 1.0, strides=[h[1], w[1]],
                    pads=[h[2], w[2], h[3], w[3]])


def conv_transpose(g):
    """With groups, pads, dilations, or rows of its own at the end."""
    x = g.floats(4)
    if x is None or max(x.shape[2:]) > 8:
        return None
    x = g.activation(x)
    group = g.rng.choice([1, 1, 2 if x.shape[1] % 2 == 0 else 1, x.shape[1]])
    out, kernel, stride = g.rng.choice([1, 2]), g.rng.choice([2, 3]), g.rng.choice([1, 2, 3])
    dilation = g.rng.choice([1, 1, 2])
    reach = dilation * (kernel - 1) + 1
    pads = [g.rng.randint(0, min(1, reach - 1)) for _ in range(4)]
    more = [g.rng.randint(0, max(stride, dilation) - 1) if stride > 1 else 0 for _ in range(2)]
    size = [(d - 1) * stride + reach - pads[i] - pads[i + 2] + more[i] for i, d in enumerate(x.shape[2:])]
    if min(size) < 1:
        return None
    w = g.weight((x.shape[1], out, kernel, kernel), 1)
    attrs = {"output_padding": more} if any(more) else {}
    return g.result("ConvTranspose", [x.name, w.name, g.bias(out * group, x, w)], x, (x.shape[0], out * group, *size), 1.0, group=group,
                    strides=[stride] * 2, pads=pads, dilations=[dilation] * 2, **attrs)


def two_of_one_weight(g):
    """One weight, with its DQ, for two products."""
    x = g.floats(2)
    if x is None:
        return None
    w = g.weight((x.shape[1], x.shape[1]), 1)
    a, b = g.activation(x), g.activation(x)
    bias = g.bias(x.shape[1], a, w)
    y = g.settle(g.result("Gemm", [a.name, w.name, bias or (g.constant(np.zeros(x.shape[1], np.float32)) if g.opset < 11 else "")], x, size=1.0))
    z = g.result("MatMul", [y.name if g.chance(0.5) else b.name, w.name], x, size=1.0)
    return g.result("Add", [y.name, z.name], y)


def gemm(g):
    """C of other shapes, transA, alpha and beta; or a constant at the left of a MatMul."""
    x = g.floats(2)
    if x is None:
        return None
    x = g.activation(x)
    out, rows = g.rng.choice([1, 3, 4]), x.shape[0]
    if g.chance(0.4) and not x.batch:
        w = g.weight((out, rows), 0)
        return g.result("MatMul", [w.name, x.name], replace(x, batch=False), (out, x.shape[1]), 1.0)
    w = g.weight((x.shape[1], out), 1)
    if x.batch:
        rows = 1
    c = g.constant(g.numbers.standard_normal(g.rng.choice([(), (1,), (out,), (1, out), (rows, out), (rows, 1)])).astype(np.float32), "b")
    attrs = {"alpha": g.rng.choice([1.0, 0.5, 0.3]), "beta": g.rng.choice([1.0, 0.25])} if g.chance(0.4) else {}
    if g.chance(0.3) and not x.batch:
        t = g.settle(g.result("Transpose", [x.name], x, x.shape[::-1], perm=[1, 0]))
        return g.result("Gemm", [t.name, w.name, c], x, (x.shape[0], out), 1.0, transA=1, **attrs)
    return g.result("Gemm", [x.name, w.name, c], x, (x.shape[0], out), 1.0, **attrs)


def moved_weight(g):
    """A weight that is transposed, reshaped or sliced behind its DQ."""
    x = g.floats(least=2)
    if x is None:
        return None
    x = g.activation(x)
    out, width = g.rng.choice([2, 4]), x.shape[-1]
    way = g.rng.choice(["transpose", "reshape", "slice", "squeeze"])
    if way == "transpose":
        w = g.node("Transpose", [g.weight((out, width), 0).name], perm=[1, 0])[0]
    elif way == "reshape":
        w = g.node("Reshape", [g.weight((width * out,), 0).name, i64(g, [width, out])])[0]
    elif way == "slice":
        w = g.node("Slice", [g.weight((width, out + 1), 1).name, i64(g, [0]), i64(g, [out]), i64(g, [1])])[0]
    elif g.opset >= 13:
        w = g.node("Squeeze", [g.weight((1, width, out), 2).name, i64(g, [0])])[0]
    else:
        return None
    return g.result("MatMul", [x.name, w], x, (*x.shape[:-1], out), 1.0)


def batched_weight(g):
    """MatMul with a weight of three dimensions."""
    x = g.pick(lambda v: v.kind == "f" and len(v.shape) == 3 and not v.batch)
    if x is None:
        return None
    x = g.activation(x)
    out = g.rng.choice([1, 2, 4])
    w = g.weight((g.rng.choice([1, x.shape[0]]), x.shape[2], out), 2)
    return g.result("MatMul", [x.name, w.name], x, (*x.shape[:2], out), 1.0)


# ---- other operators -------------------------------------------------------------------------------------------------


def rare(g):
    v = g.floats(least=2)
    axis = g.rng.randrange(1, len(v.shape))
    way = g.rng.choice(["LogSoftmax", "ThresholdedRelu", "Celu", "Softsign", "Sin", "Cos", "Ceil", "Sign", "Log", "Trilu", "CumSum",
                        "GatherElements", "ReduceSum", "ReduceMin", "ReduceL2", "LpNormalization", "IsNaN", "Mean", "Equal",
                        "Hardmax", "Atan", "MaxPool indices", "LRN", "Einsum", "ReverseSequence"])
    if {"Trilu": 14, "Celu": 12, "CumSum": 11, "GatherElements": 11, "Einsum": 12}.get(way, 0) > g.opset:
        return None
    if way == "Trilu":
        return g.result("Trilu", [v.name], v, upper=int(g.chance(0.5)))
    if way == "CumSum":
        return g.result("CumSum", [v.name, g.constant(np.array(axis, np.int64))], v, size=v.size * 3)
    if way == "GatherElements":
        if v.batch:
            return None
        index = g.numbers.integers(0, v.shape[axis], v.shape)
        return g.result("GatherElements", [v.name, i64(g, index)], v, axis=axis)
    if way in ("ReduceSum", "ReduceMin", "ReduceL2"):
        shape = [1 if i == axis else d for i, d in enumerate(v.shape)]
        newer = 13 if way == "ReduceSum" else 18
        if g.opset >= newer:
            return g.result(way, [v.name, i64(g, [axis])], v, shape, keepdims=1)
        return g.result(way, [v.name], v, shape, axes=[axis], keepdims=1)
    if way == "LpNormalization":
        return g.result(way, [v.name], v, size=1.0, axis=axis, p=2)
    if way in ("LogSoftmax", "Hardmax"):
        return g.result(way, [v.name], v, axis=len(v.shape) - 1)
    if way == "Log":
        return g.result("Log", [g.result("Add", [g.result("Abs", [v.name], v).name, g.constant(np.float32(0.5))], v).name], v)
    if way == "IsNaN":
        mask = g.node("IsNaN", [v.name])[0]
        return g.result("Where", [mask, g.constant(np.float32(0)), v.name], v)
    if way == "Equal":
        mask = g.node("Equal", [v.name, g.constant(np.float32(0))])[0] if g.opset >= 11 else None
        return mask and g.result("Where", [mask, g.constant(np.float32(1)), v.name], v)
    if way == "Mean":
        return g.result("Mean", [v.name, v.name, g.activation(v).name], v)
    if way == "MaxPool indices":
        if len(v.shape) != 4 or min(v.shape[2:]) < 2:
            return None
        shape = (*v.shape[:2], v.shape[2] - 1, v.shape[3] - 1)
        names = g.node("MaxPool", [v.name], 2, kernel_shape=[2, 2])
        g.add(replace(v, name=names[1], shape=shape, kind="i64", scale=0.0))
        return g.add(replace(v, name=names[0], shape=shape, scale=0.0))
    if way == "LRN":
        return g.add(replace(v, name=g.node("LRN", [v.name], size=3)[0], scale=0.0)) if len(v.shape) == 4 else None
    if way == "Einsum":
        if len(v.shape) != 3:
            return None
        return g.result("Einsum", [v.name, g.weight((v.shape[2], 3), 1).name], v, (*v.shape[:2], 3), 1.0, equation="bld,de->ble")
    if way == "ReverseSequence":
        if v.batch:
            return None
        return g.result("ReverseSequence", [v.name, i64(g, [v.shape[1]] * v.shape[0])], v, batch_axis=0, time_axis=1)
    return g.result(way, [v.name], v)


def half_way(g):
    """Through float16 and back, with an operator there."""
    if g.opset < 19 or not g.halves or g.inner is not None:
        return None
    v = g.floats()
    h = g.node("Cast", [v.name], to=TensorProto.FLOAT16)[0]
    if g.chance(0.3):
        h = g.node(g.rng.choice(["Relu", "Neg", "Identity"]), [h])[0]
    return g.result("Cast", [h], v, to=TensorProto.FLOAT)


# ---- bodies ----------------------------------------------------------------------------------------------------------


def inside(g, fill):
    """The nodes and initializers that `fill` writes, as those of a body; and what it returns."""
    kept, known, before = g.initializers, list(g.values), g.inner
    g.inner, g.initializers = [], []
    end = fill()
    nodes, constants = g.inner, g.initializers
    g.inner, g.initializers, g.values = before, kept, known
    return nodes, constants, end


def step(g, v, other):
    """One step of a body: a product or a pointwise operator, with Q and DQ."""
    if len(v.shape) == 2 and g.chance(0.5):
        x = g.activation(v)
        w = g.weight((v.shape[1], v.shape[1]), 1)
        return g.settle(g.result("MatMul", [x.name, w.name], v, size=1.0))
    if len(v.shape) == 4 and g.chance(0.5):
        x = g.activation(v)
        w = g.weight((v.shape[1], v.shape[1], 1, 1), 0)
        return g.settle(g.result("Conv", [x.name, w.name, g.bias(v.shape[1], x, w)], v, size=1.0))
    y = g.result(g.rng.choice(["Tanh", "Relu", "Neg"]), [v.name], v)
    y = g.settle(g.result("Add", [y.name, other.name], y))
    return g.result("Transpose", [y.name], y, perm=list(range(len(y.shape)))) if g.chance(0.2) else y


def loop(g):
    """A Loop whose body quantizes its state and captures a tensor, which may be dequantized outside."""
    v = g.floats()
    if g.inner is not None or g.opset < 13 or v.batch:
        return None
    captured = g.pick(lambda w: w.kind == "f" and w.shape == v.shape and not w.batch, 0.9) or v
    state, i, go = (g.name(stem) for stem in ("state", "i", "go"))

    def fill():
        end = step(g, replace(v, name=state, scale=0.0), captured)
        return end, g.node("Identity", [go])[0]

    nodes, constants, (end, more) = inside(g, fill)
    shape = list(v.shape)
    body = oh.make_graph(nodes, "body", [oh.make_tensor_value_info(i, TensorProto.INT64, []),
                                         oh.make_tensor_value_info(go, TensorProto.BOOL, []),
                                         oh.make_tensor_value_info(state, TensorProto.FLOAT, shape)],
                         [oh.make_tensor_value_info(more, TensorProto.BOOL, []),
                          oh.make_tensor_value_info(end.name, TensorProto.FLOAT, shape)], constants)
    return g.result("Loop", [g.constant(np.array(g.rng.randint(1, 3), np.int64)), g.constant(np.array(True)), v.name], v, body=body)


def scan(g):
    """A Scan over the first dimension, with a step at each element."""
    v = g.pick(lambda v: v.kind == "f" and len(v.shape) in (2, 3) and not v.batch)
    if v is None or g.inner is not None or g.opset < 13:
        return None
    element = g.name("element")
    one = replace(v, name=element, shape=v.shape[1:], scale=0.0)

    def fill():
        y = g.result("Relu", [element], one)
        return g.settle(g.activation(y) if g.chance(0.5) else y)

    nodes, constants, end = inside(g, fill)
    if not nodes:
        return None
    body = oh.make_graph(nodes, "body", [oh.make_tensor_value_info(element, TensorProto.FLOAT, list(v.shape[1:]))],
                         [oh.make_tensor_value_info(end.name, TensorProto.FLOAT, list(v.shape[1:]))], constants)
    return g.result("Scan", [v.name], v, num_scan_inputs=1, body=body)


def nested(g):
    """An If in an If; the inner one captures what the outer one computes and what the network does."""
    v = g.floats()
    if g.inner is not None or g.opset < 13 or v.batch:
        return None
    condition = g.input((), "b", batch=False).name
    dq = g.pair(v)
    info = lambda e: [oh.make_tensor_value_info(e.name, TensorProto.FLOAT, list(v.shape))]

    def outer():
        x = step(g, v, dq)
        bodies = [inside(g, lambda: step(g, x, dq)) for _ in range(2)]
        graphs = [oh.make_graph(n, "inner", [], info(e), c) for n, c, e in bodies]
        return g.result("If", [condition], v, then_branch=graphs[0], else_branch=graphs[1])

    bodies = [inside(g, outer), inside(g, lambda: step(g, dq, v))]
    graphs = [oh.make_graph(n, "outer", [], info(e), c) for n, c, e in bodies]
    return g.result("If", [condition], v, then_branch=graphs[0], else_branch=graphs[1])


BLOCKS = [(fake, 30), (arithmetic_fake, 1), (blocked, 2), (small_codes, 1), (conv_1d, 2), (conv_3d, 2), (auto_pad, 2), (padded_conv, 3),
          (conv_transpose, 3), (two_of_one_weight, 2), (gemm, 3), (moved_weight, 2), (batched_weight, 2), (rare, 4), (half_way, 20),
          (loop, 1), (scan, 1), (nested, 1)]

# SPDX-License-Identifier: Apache-2.0
#
# random_blocks.py -- the operators that random graphs grow by: each block takes values of a Graph and adds its results
#
# A block returns what it made last, or None where the graph has nothing that it could take; then another one is tried.
from dataclasses import replace

import numpy as np
import onnx.helper as oh
from onnx import TensorProto, numpy_helper

MS = "com.microsoft"


def i64(g, numbers):
    return g.constant(np.array(numbers, np.int64), "i")


def window(g, size, dilation=1):
    """Kernel, stride and pads of one spatial dimension, and what becomes of its size."""
    kernel = g.rng.choice([k for k in (1, 1, 2, 3, 3, 5) if dilation * (k - 1) + 1 <= size + 1])
    reach = dilation * (kernel - 1) + 1
    stride = g.rng.choice([1, 1, 1, 2])
    begin, end = (g.rng.randint(0, (kernel - 1)) if kernel > 1 else 0 for _ in range(2))
    while size + begin + end < reach:
        end += 1
    return kernel, stride, begin, end, (size + begin + end - reach) // stride + 1


# ---- weighted operators ----------------------------------------------------------------------------------------------


def conv(g):
    x = g.floats(4)
    if x is None:
        return None
    x = g.activation(x)
    channels = x.shape[1]
    group = g.rng.choice([1, 1, channels, 2 if channels % 2 == 0 else 1])
    out = group * g.rng.choice([1, 2, 3]) if group > 1 else g.rng.choice([1, 2, 4, 5, 8])
    dilation = g.rng.choice([1, 1, 1, 2])
    h, w = window(g, x.shape[2], dilation), window(g, x.shape[3], dilation)
    weight = g.weight((out, channels // group, h[0], w[0]), 0)
    attrs = {"kernel_shape": [h[0], w[0]]} if g.chance(0.7) else {}
    if dilation > 1:
        attrs["dilations"] = [dilation, dilation]
    return g.result("Conv", [x.name, weight.name, g.bias(out, x, weight)], x, (x.shape[0], out, h[4], w[4]), 1.0, group=group,
                    strides=[h[1], w[1]], pads=[h[2], w[2], h[3], w[3]], **attrs)


def conv_transpose(g):
    x = g.floats(4)
    if x is None or max(x.shape[2:]) > 9:
        return None
    x = g.activation(x)
    out = g.rng.choice([1, 2, 3, 4])
    kernel, stride = g.rng.choice([(2, 2), (1, 1), (3, 1), (3, 2)])
    weight = g.weight((x.shape[1], out, kernel, kernel), 1)
    size = [(d - 1) * stride + kernel for d in x.shape[2:]]
    return g.result("ConvTranspose", [x.name, weight.name, g.bias(out, x, weight)], x, (x.shape[0], out, *size), 1.0,
                    strides=[stride, stride])


def gemm(g):
    x = g.floats(2)
    if x is None:
        return None
    x = g.activation(x)
    out, trans = g.rng.choice([1, 3, 4, 8]), g.chance(0.6)
    weight = g.weight((out, x.shape[1]) if trans else (x.shape[1], out), 0 if trans else 1)
    bias = g.bias(out, x, weight) or ("" if g.opset >= 11 else g.constant(np.zeros(out, np.float32), "b"))
    attrs = {"alpha": 0.5, "beta": 2.0} if g.chance(0.05) else {}
    return g.result("Gemm", [x.name, weight.name, bias], x, (x.shape[0], out), 1.0, transB=int(trans), **attrs)


def matmul(g):
    x = g.floats(least=2)
    if x is None:
        return None
    x = g.activation(x)
    out = g.rng.choice([1, 3, 4, 8])
    weight = g.weight((x.shape[-1], out), 1)
    y = g.result("MatMul", [x.name, weight.name], x, (*x.shape[:-1], out), 1.0)
    if g.chance(0.5):
        b = g.constant(g.numbers.standard_normal(out).astype(np.float32), "b")
        y = g.result("Add", [y.name, b] if g.chance(0.5) else [b, y.name], y)
    return y


def product(g):
    """MatMul of two activations: x and its own transpose, or another value that fits."""
    x = g.floats(3)
    if x is None:
        return None
    y = g.result("Transpose", [x.name], x, (x.shape[0], x.shape[2], x.shape[1]), perm=[0, 2, 1])
    a, b = g.activation(x), g.activation(y)
    if g.chance(0.4):
        b = g.settle(b)
    return g.result("MatMul", [a.name, b.name], x, (x.shape[0], x.shape[1], x.shape[1]), x.size**2 * np.sqrt(x.shape[2]))


def attention(g):
    """softmax(q k^T / s + mask) v, with two heads, as exporters write it."""
    x = g.pick(lambda v: v.kind == "f" and len(v.shape) == 3 and v.shape[2] % 2 == 0 and v.shape[2] >= 4)
    if x is None:
        return None
    length, width = x.shape[1:]
    x = g.activation(x)
    parts = []
    for i in range(3):
        w = g.weight((width, width), 1)
        y = g.settle(g.result("MatMul", [x.name, w.name], x, size=1.0))
        y = g.result("Reshape", [y.name, i64(g, [0, length, 2, width // 2])], y, (y.shape[0], length, 2, width // 2))
        perm, shape = ([0, 2, 3, 1], (2, width // 2, length)) if i == 1 else ([0, 2, 1, 3], (2, length, width // 2))
        parts.append(g.settle(g.result("Transpose", [y.name], y, (y.shape[0], *shape), perm=perm)))
    q, k, v = parts
    s = g.result("MatMul", [q.name, k.name], q, (q.shape[0], 2, length, length), 2.0)
    if g.chance(0.7):
        s = g.result(*g.rng.choice([("Mul", 0.5), ("Div", 2.0), ("Div", 1.7)])[:1],
                     [s.name, g.constant(np.float32(g.rng.choice([0.5, 0.7])))], s)
    if g.chance(0.4):
        mask = np.triu(np.full((length, length), -10, np.float32), 1)
        s = g.result("Add", [s.name, g.constant(mask, "mask")], s)
    s = softmax_of(g, g.settle(s))
    y = g.result("MatMul", [g.settle(s).name, v.name], v, (v.shape[0], 2, length, width // 2), 1.0)
    y = g.result("Transpose", [y.name], y, (y.shape[0], length, 2, width // 2), perm=[0, 2, 1, 3])
    return g.result("Reshape", [y.name, i64(g, [0, length, width])], y, (y.shape[0], length, width))


# ---- pointwise -------------------------------------------------------------------------------------------------------


def fused_heads(g):
    """One product for queries, keys and values, split by Gather or Split; the scale stands in front."""
    x = g.pick(lambda v: v.kind == "f" and len(v.shape) == 3 and v.shape[2] % 2 == 0 and v.shape[2] >= 4)
    if x is None:
        return None
    n, length, width = x.shape
    x = g.activation(x)
    w = g.weight((width, 3 * width), 1)
    y = g.settle(g.result("MatMul", [x.name, w.name], x, (n, length, 3 * width), 1.0))
    y = g.result("Reshape", [y.name, i64(g, [0, length, 3, 2, width // 2])], y, (n, length, 3, 2, width // 2))
    y = g.result("Transpose", [y.name], y, (3, n, 2, length, width // 2), perm=[2, 0, 3, 1, 4])
    if x.batch:
        y = replace(y, batch=False)
    parts = [g.result("Gather", [y.name, g.constant(np.array(i, np.int64))], replace(y, batch=x.batch), (n, 2, length, width // 2),
                      axis=0) for i in range(3)]
    q, k, v = parts
    q = g.settle(g.result("Mul", [q.name, g.constant(np.float32(0.5))], q) if g.chance(0.6) else q)
    k = g.settle(g.result("Transpose", [k.name], k, (n, 2, width // 2, length), perm=[0, 1, 3, 2]))
    s = softmax_of(g, g.settle(g.result("MatMul", [q.name, k.name], q, (n, 2, length, length), 2.0)))
    y = g.settle(g.result("MatMul", [g.settle(s).name, g.settle(v).name], v, size=1.0))
    y = g.result("Transpose", [y.name], y, (n, length, 2, width // 2), perm=[0, 2, 1, 3])
    return g.result("Reshape", [y.name, i64(g, [0, length, width])], y, (n, length, width))


def clip(g):
    v = g.floats()
    low, high = g.rng.choice([(0.0, 6.0), (-1.0, 1.0), (0.0, None), (None, 0.5), (0.03, 0.7), (-0.5, float(g.step(1.0, "s8")) * 64)])
    if g.opset < 11:
        return g.result("Clip", [v.name], v, **{k: b for k, b in (("min", low), ("max", high)) if b is not None})
    return g.result("Clip", [v.name] + ["" if b is None else g.constant(np.float32(b)) for b in (low, high)], v)


def activation(g):
    """One function of one value, by its operator or by its parts."""
    v = g.floats()
    half = lambda: g.constant(np.float32(0.5))
    way = g.rng.choice(["Relu"] * 5 + ["LeakyRelu", "Sigmoid", "Tanh", "Elu", "HardSigmoid", "silu", "silu", "gelu", "gelu tanh",
                                       "hardswish", "Gelu", "HardSwish", "Mish", "PRelu", "Abs", "Neg", "Sqrt", "Exp", "Erf",
                                       "Softplus", "Round", "Floor", "Pow", "Reciprocal", "Selu", "hardswish parts"])
    if way == "silu":
        s = g.result("Sigmoid", [v.name], v, size=0.5)
        s = g.settle(s) if g.chance(0.2) else s
        return g.result("Mul", [v.name, s.name] if g.chance(0.7) else [s.name, v.name], v)
    if way == "gelu":
        e = g.result("Erf", [g.result("Div", [v.name, g.constant(np.float32(1.4142135))], v).name], v)
        e = g.result("Add", [e.name, g.constant(np.float32(1))], e)
        e = g.result("Mul", [v.name, e.name], v)
        return g.result("Mul", [e.name, half()], v)
    if way == "gelu tanh":
        c = g.result("Mul", [g.result("Mul", [v.name, v.name], v).name, v.name], v)
        c = g.result("Mul", [c.name, g.constant(np.float32(0.044715))], v)
        c = g.result("Tanh", [g.result("Mul", [g.result("Add", [v.name, c.name], v).name, g.constant(np.float32(0.7978846))], v).name], v)
        c = g.result("Add", [c.name, g.constant(np.float32(1))], v)
        return g.result("Mul", [g.result("Mul", [v.name, half()], v).name, c.name], v)
    if way == "hardswish parts":
        s = g.result("HardSigmoid", [v.name], v, size=1, alpha=1 / 6, beta=0.5)
        return g.result("Mul", [v.name, s.name], v)
    if way == "hardswish" and g.opset >= 11:
        s = g.result("Add", [v.name, g.constant(np.float32(3))], v)
        s = g.result("Clip", [s.name, g.constant(np.float32(0)), g.constant(np.float32(6))], s)
        s = g.result("Mul", [v.name, s.name], v)
        return g.result("Div", [s.name, g.constant(np.float32(6))], v)
    if way == "PRelu":
        slope = np.full((v.shape[1], 1, 1) if len(v.shape) == 4 else (1,), 0.25, np.float32)
        return g.result("PRelu", [v.name, g.constant(slope)], v)
    if way == "Pow":
        return g.result("Pow", [v.name, g.constant(np.float32(2))], v)
    newest = {"Gelu": 20, "HardSwish": 14, "Mish": 18, "Round": 11, "hardswish": 99}
    if way in ("Sqrt", "Reciprocal"):
        v = g.result("Abs", [v.name], v)
        v = g.result("Add", [v.name, g.constant(np.float32(0.5))], v)
    if newest.get(way, 0) > g.opset:
        way = "Relu"
    attrs = {"alpha": g.rng.choice([0.1, 0.25, 0.01])} if way == "LeakyRelu" and g.chance(0.7) else {}
    return g.result(way, [v.name], v, **attrs)


def with_constant(g):
    v = g.floats()
    op = g.rng.choice(["Add", "Mul", "Sub", "Div", "Mul", "Max", "Min"])
    shape = g.rng.choice([(), (1,), (v.shape[1], *[1] * (len(v.shape) - 2)) if len(v.shape) > 1 else (1,), v.shape[-1:]])
    c = np.abs(g.numbers.standard_normal(shape)) + 0.25
    c = np.asarray(2.0 ** np.rint(np.log2(c)) if g.chance(0.4) else c).astype(np.float32)
    if v.batch and len(v.shape) == 1 and np.prod(shape) != 1:
        return None
    name = g.weight(shape, 0, 1.0).name if shape and g.chance(0.3) else g.constant(c)
    pair = [v.name, name] if op == "Div" or g.chance(0.8) else [name, v.name]
    return g.result(op, pair, v)


def with_other(g):
    """Two activations: a residual Add, a gate, and so on."""
    a = g.floats()
    b = g.pick(lambda v: v.kind == "f" and v.name != a.name and v.batch == a.batch and (
        v.shape == a.shape or len(v.shape) == len(a.shape) == 4 and v.shape[:2] == a.shape[:2] and v.shape[2:] == (1, 1)), 0.9)
    if b is None:
        b = a if g.chance(0.3) else g.result("Relu", [a.name], a)
    a, b = (g.activation(v) if g.chance(0.5) else v for v in (a, b))
    op = g.rng.choice(["Add"] * 5 + ["Mul", "Mul", "Sub", "Max", "Sum", "Min"])
    pair = [a.name, b.name] if g.chance(0.5) else [b.name, a.name]
    return g.result(op, pair, a, size=a.size * 1.4)


def where(g):
    a = g.floats()
    b = g.pick(lambda v: v.kind == "f" and v.shape == a.shape and v.batch == a.batch)
    if g.chance(0.5):
        mask = g.constant(g.numbers.integers(0, 2, a.shape[-1:]).astype(bool), "mask")
    else:
        mask = g.node("Greater", [a.name, g.constant(np.float32(0))])[0]
    other = b.name if b.name != a.name else g.constant(np.float32(-0.5))
    return g.result("Where", [mask, a.name, other] if g.chance(0.5) else [mask, other, a.name], a)


# ---- pools, norms ----------------------------------------------------------------------------------------------------


def pool(g):
    on_codes = g.opset >= 12 and g.chance(0.2)
    x = g.pick(lambda v: len(v.shape) == 4 and v.kind in (("s8", "u8") if on_codes else ("f",)))
    if x is None:
        return None
    op = "MaxPool" if on_codes else g.rng.choice(["MaxPool", "MaxPool", "AveragePool", "GlobalAveragePool", "GlobalMaxPool", "mean",
                                                  "max", "mean all"])
    if op.startswith("Global"):
        return g.result(op, [x.name], x, (*x.shape[:2], 1, 1))
    if op in ("mean", "max", "mean all"):
        axes, keep = ([1, 2, 3] if op == "mean all" else [2, 3] if g.chance(0.7) else [-1]), int(g.chance(0.7))
        shape = [1 if i in axes or i - 4 in axes else d for i, d in enumerate(x.shape)]
        if not keep:
            shape = [d for i, d in enumerate(x.shape) if not (i in axes or i - 4 in axes)]
        name, newer = ("ReduceMax", 18) if op == "max" else ("ReduceMean", 18)
        if g.opset >= newer:
            return g.result(name, [x.name, i64(g, axes)], x, shape, keepdims=keep)
        return g.result(name, [x.name], x, shape, axes=axes, keepdims=keep)
    h, w = window(g, x.shape[2]), window(g, x.shape[3])
    if g.chance(0.5) or any(a[0] <= max(a[2:4]) for a in (h, w)):
        h, w = ((k, s, 0, 0, (d - k) // s + 1) for (k, s, *_), d in zip((h, w), x.shape[2:]))
        if h[4] < 1 or w[4] < 1:
            return None
    attrs = {"count_include_pad": 1} if op == "AveragePool" and g.chance(0.4) else {}
    return g.result(op, [x.name], x, (*x.shape[:2], h[4], w[4]), kernel_shape=[h[0], w[0]], strides=[h[1], w[1]],
                    pads=[h[2], w[2], h[3], w[3]], **attrs)


def softmax_of(g, v):
    return g.result("Softmax", [v.name], v, size=1.0, **({"axis": -1} if g.opset >= 13 or g.chance(0.5) else {"axis": len(v.shape) - 1}))


def softmax(g):
    return softmax_of(g, g.floats(least=2))


def layer_norm(g):
    v = g.floats(least=2)
    width = v.shape[-1]
    gamma, beta = (g.constant(g.numbers.standard_normal(width).astype(np.float32)) for _ in range(2))
    if g.opset >= 17 and g.chance(0.7):
        return g.result("LayerNormalization", [v.name, gamma, beta] if g.chance(0.8) else [v.name, gamma], v, size=1.0, axis=-1)
    mean = (lambda x: g.result("ReduceMean", [x.name, i64(g, [-1])], x, (*x.shape[:-1], 1))) if g.opset >= 18 else \
        (lambda x: g.result("ReduceMean", [x.name], x, (*x.shape[:-1], 1), axes=[-1]))
    d = g.result("Sub", [v.name, mean(v).name], v)
    s = mean(g.result("Pow", [d.name, g.constant(np.float32(2))], d))
    s = g.result("Sqrt", [g.result("Add", [s.name, g.constant(np.float32(1e-5))], s).name], s)
    y = g.result("Div", [d.name, s.name], d, size=1.0)
    y = g.result("Mul", [y.name, gamma], y)
    return g.result("Add", [y.name, beta], y)


def batch_norm(g):
    v = g.floats(4)
    if v is None:
        return None
    channels = v.shape[1]
    plain = g.chance(0.25)  # what fold_bn takes: powers of two and no shift
    scale = 2.0 ** g.numbers.integers(-2, 3, channels) if plain else g.numbers.standard_normal(channels)
    shift, mean = (np.zeros(channels) if plain else g.numbers.standard_normal(channels) for _ in range(2))
    variance = np.ones(channels) if plain else np.abs(g.numbers.standard_normal(channels)) + 0.1
    return g.result("BatchNormalization", [v.name] + [g.constant(a.astype(np.float32)) for a in (scale, shift, mean, variance)], v,
                    size=1.0, epsilon=0.0 if plain else 1e-5)


def group_norm(g):
    """GroupNorm by its parts, as torch writes it."""
    v = g.floats(4)
    if v is None or v.shape[1] % 2 or v.shape[2] * v.shape[3] < 2:
        return None
    n, c, h, w = v.shape
    ones, none, scale, shift = (g.constant(a.astype(np.float32)) for a in (
        np.ones(2), np.zeros(2), g.numbers.standard_normal((c, 1, 1)), g.numbers.standard_normal((c, 1, 1))))
    y = g.result("Reshape", [v.name, i64(g, [0, 2, -1])], v, (n, 2, c // 2 * h * w))
    y = g.result("InstanceNormalization", [y.name, ones, none], y, size=1.0)
    y = g.result("Reshape", [y.name, i64(g, [-1 if v.batch else n, c, h, w])], y, v.shape)
    y = g.result("Mul", [y.name, scale], y)
    return g.result("Add", [y.name, shift], y)


def instance_norm(g):
    v = g.floats(4)
    if v is None or v.shape[2] * v.shape[3] < 2:
        return None
    ones = [g.constant(a.astype(np.float32)) for a in (np.ones(v.shape[1]), np.zeros(v.shape[1]))]
    return g.result("InstanceNormalization", [v.name, *ones], v, size=1.0)


# ---- what only moves -------------------------------------------------------------------------------------------------


def movable(g, rank=None, least=1):
    return g.pick(lambda v: v.kind in (("f", "s8", "u8") if g.opset >= 13 and g.chance(0.3) else ("f",)) and
                  (rank is None or len(v.shape) == rank) and len(v.shape) >= least)


def transpose(g):
    v = movable(g, least=2)
    rest = list(range(1, len(v.shape)))
    g.rng.shuffle(rest)
    perm = [0, *rest]
    if not v.batch and g.chance(0.15):
        g.rng.shuffle(perm)
    return g.result("Transpose", [v.name], v, [v.shape[p] for p in perm], perm=perm)


def reshape(g):
    v = movable(g, least=2)
    inner = int(np.prod(v.shape[1:]))
    way = g.rng.choice(["flatten", "Flatten", "split", "join", "shape"])
    if way == "Flatten":
        return g.result("Flatten", [v.name], v, (v.shape[0], inner))
    if way == "flatten" or len(v.shape) == 2 and way == "join":
        shape = (v.shape[0], inner)
        return g.result("Reshape", [v.name, i64(g, g.rng.choice([[0, -1], [-1, inner], [0, inner]]))], v, shape)
    if way == "join":
        shape = (v.shape[0], v.shape[1], inner // v.shape[1])
        return g.result("Reshape", [v.name, i64(g, [0, 0, -1])], v, shape)
    if way == "split" and v.shape[1] % 2 == 0:
        shape = (v.shape[0], 2, v.shape[1] // 2, *v.shape[2:])
        return g.result("Reshape", [v.name, i64(g, [-1, *shape[1:]])], v, shape)
    # as exporters write it with a dynamic batch: [Shape(x)[0], -1]
    s = g.node("Shape", [v.name])[0]
    n = g.node("Gather", [s, i64(g, [0])], axis=0)[0]
    s = g.node("Concat", [n, i64(g, [-1])], axis=0)[0]
    return g.result("Reshape", [v.name, s], v, (v.shape[0], inner))


def shuffle(g):
    """ShuffleNet's channel shuffle."""
    v = movable(g, 4)
    if v is None or v.shape[1] % 2 != 0:
        return None
    n, c, h, w = v.shape
    first = -1 if v.batch else n
    y = g.result("Reshape", [v.name, i64(g, [first, 2, c // 2, h, w])], v, (n, 2, c // 2, h, w))
    y = g.result("Transpose", [y.name], y, (n, c // 2, 2, h, w), perm=[0, 2, 1, 3, 4])
    return g.result("Reshape", [y.name, i64(g, [first, c, h, w])], y, v.shape)


def ranks(g):
    """Unsqueeze, and maybe back."""
    v = movable(g)
    axis = g.rng.randint(0 if not v.batch else 1, len(v.shape))
    if len(v.shape) > 4:
        return None
    shape = [*v.shape[:axis], 1, *v.shape[axis:]]
    if g.opset >= 13:
        y = g.result("Unsqueeze", [v.name, i64(g, [axis])], v, shape)
        return g.result("Squeeze", [g.settle(y).name, i64(g, [axis])], y, v.shape) if g.chance(0.6) and y.kind == "f" else y
    y = g.result("Unsqueeze", [v.name], v, shape, axes=[axis])
    return g.result("Squeeze", [y.name], y, v.shape, axes=[axis]) if g.chance(0.6) else y


def cut(g):
    """Slice or Gather along an axis that is not the batch."""
    v = movable(g, least=2)
    axis = g.rng.randrange(1, len(v.shape))
    size = v.shape[axis]
    shape = list(v.shape)
    if g.chance(0.5):
        index = [g.rng.randrange(-size if g.opset >= 11 else 0, size) for _ in range(g.rng.randint(1, 3))]
        shape[axis] = len(index)
        if g.chance(0.2):
            shape.pop(axis)
            return g.result("Gather", [v.name, g.constant(np.array(index[0], np.int64))], v, shape, axis=axis)
        return g.result("Gather", [v.name, i64(g, index)], v, shape, axis=axis)
    begin = g.rng.randrange(size)
    end = g.rng.randint(begin + 1, size)
    step = g.rng.choice([1, 1, 2])
    shape[axis] = (end - begin + step - 1) // step
    return g.result("Slice", [v.name] + [i64(g, [n]) for n in (begin, end, axis, step)], v, shape)


def split(g):
    """Parts, some of which are used, and maybe a Concat of them all."""
    v = movable(g, least=2)
    axis = g.rng.randrange(1, len(v.shape))
    size = v.shape[axis]
    if size < 2:
        return None
    first = size // 2 if size % 2 == 0 else g.rng.randrange(1, size)
    parts = [first, size - first]
    if g.opset >= 13:
        names = g.node("Split", [v.name, i64(g, parts)], 2, axis=axis)
    else:
        names = g.node("Split", [v.name], 2, axis=axis, split=parts)
    shapes = [tuple(p if i == axis else d for i, d in enumerate(v.shape)) for p in parts]
    made = [g.add(replace(v, name=n, shape=s, scale=0.0)) for n, s in zip(names, shapes)]
    if g.chance(0.5):
        return made[-1]
    a, b = ((g.settle(m) if m.kind == "f" else m) for m in made)
    return g.result("Concat", [b.name, a.name], v, axis=axis)


def concat(g):
    a = movable(g, least=2)
    axis = g.rng.randrange(1, len(a.shape))
    fits = lambda v: v.kind == a.kind and v.batch == a.batch and len(v.shape) == len(a.shape) and \
        all(d == e for i, (d, e) in enumerate(zip(v.shape, a.shape)) if i != axis)
    parts = [a] + [g.pick(fits, 0.8) for _ in range(g.rng.choice([1, 1, 2]))]
    if sum(p.shape[axis] for p in parts) > 40:
        return None
    if a.kind == "f":
        parts = [g.activation(p) if g.chance(0.6) else p for p in parts]
    shape = list(a.shape)
    shape[axis] = sum(p.shape[axis] for p in parts)
    names = [p.name for p in parts]
    if a.kind == "f" and not a.batch and g.chance(0.1):
        extra = [1 if i == axis else d for i, d in enumerate(a.shape)]
        names.append(g.constant(g.numbers.standard_normal(extra).astype(np.float32)))
        shape[axis] += 1
    return g.result("Concat", names, a, shape, axis=axis - len(shape) if g.chance(0.2) and g.opset >= 11 else axis)


def pad(g):
    v = movable(g, 4)
    if v is None or max(v.shape) > 12:
        return None
    pads = [0, 0, g.rng.randint(0, 2), g.rng.randint(0, 2), 0, 0, g.rng.randint(0, 2), g.rng.randint(0, 1)]
    shape = (*v.shape[:2], v.shape[2] + pads[2] + pads[6], v.shape[3] + pads[3] + pads[7])
    value = g.rng.choice([0, 0, 0, 1])
    mode = g.rng.choice(["constant", "constant", "edge", "reflect"])
    if mode == "reflect" and any(p >= d for p, d in zip(pads, v.shape * 2)) or v.kind != "f":
        mode = "constant"
    if g.opset < 11:
        return g.result("Pad", [v.name], v, shape, pads=pads, mode=mode, **({"value": float(value)} if mode == "constant" else {}))
    given = mode == "constant" and g.chance(0.6)
    kind = {"f": np.float32, "s8": np.int8, "u8": np.uint8}[v.kind]
    return g.result("Pad", [v.name, i64(g, pads), g.constant(kind(value)) if given else ""], v, shape, mode=mode)


def resize(g):
    v = g.floats(4)
    if v is None or max(v.shape[2:]) > 6:
        return None
    mode = g.rng.choice(["nearest", "nearest", "linear"])
    scales = g.constant(np.array([1, 1, 2, 2], np.float32), "scales")
    shape = (*v.shape[:2], 2 * v.shape[2], 2 * v.shape[3])
    if g.opset < 11:
        return g.result("Resize", [v.name, scales], v, shape, mode=mode)
    attrs = {"coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"} if mode == "nearest" and g.chance(0.7) else {}
    roi = "" if g.opset >= 13 else g.constant(np.zeros(0, np.float32))
    return g.result("Resize", [v.name, roi, scales], v, shape, mode=mode, **attrs)


def space(g):
    v = g.floats(4)
    if v is None:
        return None
    n, c, h, w = v.shape
    if c % 4 == 0 and g.chance(0.5):
        mode = {"mode": g.rng.choice(["DCR", "CRD"])} if g.opset >= 11 else {}
        return g.result("DepthToSpace", [v.name], v, (n, c // 4, 2 * h, 2 * w), blocksize=2, **mode)
    if h % 2 or w % 2 or c > 4:
        return None
    return g.result("SpaceToDepth", [v.name], v, (n, 4 * c, h // 2, w // 2), blocksize=2)


def choose(g):
    """TopK or ArgMax."""
    v = g.floats(least=2)
    if g.chance(0.5):
        name = g.node("ArgMax", [v.name], axis=-1, keepdims=1)[0]
        return g.add(replace(v, name=name, shape=(*v.shape[:-1], 1), kind="i64", scale=0.0))
    k = g.rng.randint(1, v.shape[-1])
    names = g.node("TopK", [v.name, i64(g, [k])], 2, axis=-1)
    if g.chance(0.3):
        g.add(replace(v, name=names[1], shape=(*v.shape[:-1], k), kind="i64", scale=0.0))
    return g.add(replace(v, name=names[0], shape=(*v.shape[:-1], k), scale=0.0))


def expand(g):
    v = movable(g, least=2)
    if len(v.shape) > 4 or v.shape[-1] != 1:
        return None
    shape = (*v.shape[:-1], 3)
    if g.chance(0.5):
        return g.result("Expand", [v.name, i64(g, [1] * (len(shape) - 1) + [3])], v, shape)
    return g.result("Tile", [v.name, i64(g, [1] * (len(shape) - 1) + [3])], v, shape)


def nothing(g):
    v = g.floats()
    if g.chance(0.3) and g.opset >= 12:
        return g.result("Dropout", [v.name], v)
    if g.chance(0.3):
        return g.result("Cast", [v.name], v, to=TensorProto.FLOAT)
    return g.result("Identity", [v.name], v)


def gate(g):
    """Squeeze and excitation."""
    x = g.floats(4)
    if x is None:
        return None
    c = x.shape[1]
    s = g.settle(g.result("GlobalAveragePool", [x.name], x, (x.shape[0], c, 1, 1)))
    w = g.weight((c, c, 1, 1), 0)
    s = g.result("Conv", [s.name, w.name, g.bias(c, s, w)], s, size=1.0)
    s = g.settle(g.result(g.rng.choice(["Sigmoid", "HardSigmoid"]), [s.name], s, size=0.5))
    return g.result("Mul", [x.name, s.name] if g.chance(0.5) else [s.name, x.name], x)


# ---- control flow, functions -----------------------------------------------------------------------------------------


def branch(g):
    """An If whose bodies capture a value: the branch quantizes it, or hands it on."""
    v = g.floats()
    if g.inner is not None or g.opset < 11:
        return None
    condition = g.input((), "b", batch=False).name if g.chance(0.5) else g.constant(np.array(g.chance(0.5)), "k")
    p = g.params(v)
    bodies = []
    kept, known = g.initializers, list(g.values)
    for way in ("then", "else"):
        g.inner, g.initializers = [], []
        if len(v.shape) == 4 and g.chance(0.5):
            x = g.activation(v)
            w = g.weight((v.shape[1], v.shape[1], 1, 1), 0)
            end = g.settle(g.result("Conv", [x.name, w.name, g.bias(v.shape[1], x, w)], x, size=1.0))
        elif g.chance(0.5):
            end = g.result("Relu", [v.name], v)
        elif p.kind in ("s8", "u8") and g.chance(0.7):
            end = g.dequantize(g.quantize(v, p), p)
        else:
            end = g.result("Neg", [v.name], v)
        out = oh.make_tensor_value_info(end.name, TensorProto.FLOAT, [None] * len(v.shape))
        bodies.append(oh.make_graph(g.inner, way, [], [out], g.initializers))
        g.inner = None
    g.initializers, g.values = kept, known
    return g.result("If", [condition], v, then_branch=bodies[0], else_branch=bodies[1])


def loop(g):
    """A Loop of two or three rounds over a value, which captures another one."""
    v = g.floats()
    if g.inner is not None or g.opset < 13 or v.batch:
        return None
    kept, known = g.initializers, list(g.values)
    g.inner, g.initializers = [], []
    state, i, go = (g.name(stem) for stem in ("state", "i", "go"))
    inside = replace(v, name=state)
    end = g.result("Add", [g.result("Tanh", [state], inside).name, v.name], inside)
    cond = g.node("Identity", [go])[0]
    body = oh.make_graph(g.inner, "body", [oh.make_tensor_value_info(i, TensorProto.INT64, []),
                                           oh.make_tensor_value_info(go, TensorProto.BOOL, []),
                                           oh.make_tensor_value_info(state, TensorProto.FLOAT, list(v.shape))],
                         [oh.make_tensor_value_info(cond, TensorProto.BOOL, []),
                          oh.make_tensor_value_info(end.name, TensorProto.FLOAT, list(v.shape))], g.initializers)
    g.inner, g.initializers, g.values = None, kept, known
    return g.result("Loop", [g.constant(np.array(g.rng.randint(1, 3), np.int64)), g.constant(np.array(True)), v.name], v, body=body)


def function(g):
    """A call, or two, of the user's own function, which holds Q and DQ."""
    v = g.floats()
    if g.opset < 15 or g.inner is not None or g.symbolic:
        return None
    p = g.params(v)
    if p.axis is not None or p.kind not in ("s8", "u8") or p.domain or not p.operands[1]:
        return None
    name = "block%d" % len(g.functions)
    nodes = [oh.make_node("QuantizeLinear", ["a", "s", "z"], ["q"], "quantize"),
             oh.make_node("DequantizeLinear", ["q", "s", "z"], ["d"], "dequantize"),
             oh.make_node(g.rng.choice(["Relu", "Sigmoid", "Neg"]), ["d"], ["y"], "last")]
    g.functions.append(oh.make_function("my.blocks", name, ["a", "s", "z"], ["y"], nodes, [oh.make_opsetid("", g.opset)]))
    for _ in range(g.rng.choice([1, 2])):
        v = g.result(name, [v.name, *p.operands], v, domain="my.blocks")
    return v


# ---- integer forms ---------------------------------------------------------------------------------------------------


def codes_of(g, rank=None, kind=None):
    """Codes with known parameters: (value, parameters)."""
    v = g.floats(rank)
    if v is None:
        return None
    for _ in range(20):
        p = g.params(v)
        if p.axis is None and p.domain == "" and p.kind in ((kind,) if kind else ("s8", "u8")) and \
                p.scale.shape == () and p.operands[1] != "" and not np.any(p.scale < 0) and p.operands[0] not in g.bits:
            return g.quantize(v, p), p
    return None


def form(g):
    """An integer form of ONNX or ONNX Runtime, and a DQ behind it."""
    if not g.forms:
        return None
    way = g.rng.choice(["conv", "matmul", "add", "add", "table", "pool", "gemm", "integer", "conv integer", "dynamic", "concat",
                        "softmax", "where", "to float", "average"])
    got = codes_of(g, {"conv": 4, "pool": 4, "gemm": 2, "matmul": 2, "integer": 2, "conv integer": 4, "to float": 2, "average": 4}.get(way),
                   "u8" if way == "conv integer" else None)
    if got is None:
        return None
    x, p = got
    out = None
    for _ in range(20):
        out = g.params(replace(x, size=1.0))
        if out.kind == p.kind and out.axis is None and out.scale.shape == () and out.operands[1] and not np.any(out.scale < 0) and \
                out.operands[0] not in g.bits:
            break
    else:
        return None
    xs = [x.name, *p.operands]
    fan = x.shape[1] if len(x.shape) > 1 else 1
    ws = lambda shape: [g.constant(np.clip(g.numbers.integers(-60, 61, shape), -128, 127).astype(np.int8), "w"),
                        g.constant(np.float32(0.02 / np.sqrt(fan)), "s"), g.constant(np.int8(0), "z")]
    shape, domain, attrs = x.shape, MS, {}
    if way == "conv":
        op, inputs, domain, shape = "QLinearConv", xs + ws((3, fan, 1, 1)) + [*out.operands], "", (x.shape[0], 3, *x.shape[2:])
        if g.chance(0.5):
            inputs.append(g.constant(g.numbers.integers(-500, 500, 3).astype(np.int32), "b"))
    elif way == "softmax":
        op, inputs, attrs = "QLinearSoftmax", xs + [*out.operands], {"axis": -1, "opset": g.opset}
    elif way == "where":
        mask = g.constant(g.numbers.integers(0, 2, x.shape[-1:]).astype(bool), "mask")
        held = {i.name for i in g.initializers} - set(g.defaults)
        if not {*p.operands, *out.operands} <= held:  # ONNX Runtime 1.32 would not survive making a session of it
            return None
        op, inputs = "QLinearWhere", [mask] + xs + xs + [*out.operands]
    elif way == "average":
        if min(x.shape[2:]) < 2:
            return None
        op, inputs, attrs = "QLinearAveragePool", xs + [*out.operands], {"kernel_shape": [2, 2]}
        shape = (*x.shape[:2], x.shape[2] - 1, x.shape[3] - 1)
    elif way == "to float":
        a = xs if p.kind == "u8" else None
        w = ws((fan, 3))
        if a is None:
            return None
        inputs = [a[0], w[0], a[1], w[1], a[2], w[2]] + ([g.constant(g.numbers.standard_normal(3).astype(np.float32))] if g.chance(0.5) else [])
        return g.result("MatMulIntegerToFloat", inputs, replace(x, kind="f"), (x.shape[0], 3), 1.0, MS)
    elif way == "conv integer":
        w = ws((3, fan, 1, 1))[0] if g.chance(0.5) else g.constant(g.numbers.integers(70, 190, (3, fan, 1, 1)).astype(np.uint8), "w")
        acc = g.node("ConvInteger", [x.name, w, p.operands[1]])[0]
        real = g.node("Cast", [acc], to=TensorProto.FLOAT)[0]
        scale = g.numbers.uniform(0.005, 0.02, (3, 1, 1) if g.chance(0.5) else ()).astype(np.float32)
        y = g.result("Mul", [real, g.constant(scale)], replace(x, kind="f"), (x.shape[0], 3, *x.shape[2:]), 1.0)
        if g.chance(0.5):
            y = g.result("Add", [y.name, g.constant(g.numbers.standard_normal((3, 1, 1)).astype(np.float32))], y)
        return y
    elif way == "matmul":
        op, inputs, domain, shape = "QLinearMatMul", xs + ws((fan, 3)) + [*out.operands], "", (x.shape[0], 3)
    elif way == "add":
        op, inputs = g.rng.choice(["QLinearAdd", "QLinearMul"]), xs + xs + [*out.operands]
    elif way == "table":
        op, inputs = g.rng.choice(["QLinearSigmoid", "QLinearLeakyRelu"]), xs + [*out.operands]
    elif way == "pool":
        op, inputs, shape = "QLinearGlobalAveragePool", xs + [*out.operands], (*x.shape[:2], 1, 1)
    elif way == "gemm":
        bias = g.constant(g.numbers.integers(-500, 500, 3).astype(np.int32), "b") if g.chance(0.6) else ""
        op, inputs, shape = "QGemm", xs + ws((fan, 3)) + [bias] + [*out.operands], (x.shape[0], 3)
    elif way == "concat":
        op, inputs, attrs = "QLinearConcat", [*out.operands] + xs + xs, {"axis": len(x.shape) - 1}
        shape = (*x.shape[:-1], 2 * x.shape[-1])
    elif way == "integer":
        acc = g.node("MatMulInteger", [x.name, ws((fan, 3))[0], p.operands[1]])[0]
        real = g.node("Cast", [acc], to=TensorProto.FLOAT)[0]
        return g.result("Mul", [real, g.constant(np.float32(0.01))], replace(x, kind="f"), (x.shape[0], 3), 1.0)
    else:
        v = g.floats()
        if g.opset < 11:
            return None
        q, s, z = g.node("DynamicQuantizeLinear", [v.name], 3)
        return g.result("DequantizeLinear", [q, s, z], v)
    y = g.result(op, inputs, x, shape, domain=domain, **attrs)
    return g.dequantize(y, out)


# ---- which ------------------------------------------------------------------------------------------------------------

BLOCKS = [(conv, 14), (conv_transpose, 2), (gemm, 5), (matmul, 6), (product, 2), (attention, 2), (fused_heads, 1), (clip, 3), (activation, 9),
          (with_constant, 5), (with_other, 8), (where, 1), (pool, 6), (softmax, 1), (layer_norm, 2), (batch_norm, 2),
          (instance_norm, 1), (group_norm, 1), (transpose, 3), (reshape, 4), (shuffle, 1), (ranks, 2), (cut, 3), (split, 3), (concat, 5), (pad, 3),
          (resize, 2), (space, 1), (choose, 1), (expand, 1), (nothing, 2), (gate, 1), (branch, 1), (loop, 1), (function, 2), (form, 25)]


def grow(g, blocks):
    """One block, whichever fits; behind it Q and DQ, or not."""
    for _ in range(20):
        block = g.rng.choices([b for b, _ in blocks], [w for _, w in blocks])[0]
        made = block(g)
        if made is not None:
            break
    else:
        return
    if made.kind == "f" and int(np.prod(made.shape)) < 4000:
        g.settle(made)

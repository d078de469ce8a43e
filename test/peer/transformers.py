# SPDX-License-Identifier: Apache-2.0
#
# transformers.py -- transformers as exporters write them: every attention and normalization is one fused operator
#
# Small networks of two layers, in the ways that heads, scales, masks, norms and activations are written, with a fixed and
# with a dynamic batch, quantized by ONNX Runtime: everything (a Q/DQ pair behind each operator), or MatMul alone. Each is
# optimized with --exact: all products INT8, no more nodes than promised, no Q or DQ by itself but at inputs and outputs,
# the original's bits in ONNX Runtime, and optimizing the result again changes nothing.
import logging
import os
import tempfile
from collections import Counter

import numpy as np
import onnx
import onnx.helper as oh
import onnx.numpy_helper
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

from common import check, finish, optimize, session, tool

BATCH, LENGTH, WIDTH, HEADS = 2, 6, 32, 4
HEAD = WIDTH // HEADS
LAYERS = 2


class Graph:
    """Nodes one after the other; each returns the name of its result."""

    def __init__(self, dynamic):
        self.nodes, self.constants, self.dynamic = [], [], dynamic
        self.random = np.random.default_rng(1)

    def constant(self, value, dtype=np.float32):
        name = "c%d" % len(self.constants)
        self.constants.append(onnx.numpy_helper.from_array(np.asarray(value, dtype), name))
        return name

    def shape(self, *dims):
        return self.constant(dims, np.int64)

    def op(self, kind, *inputs, results=1, **attributes):
        names = ["v%d_%d" % (len(self.nodes), i) for i in range(results)]
        self.nodes.append(oh.make_node(kind, list(inputs), names, name="/%s_%d" % (kind, len(self.nodes)), **attributes))
        return names[0] if results == 1 else names

    def numbers(self, *shape):
        return self.constant(self.random.standard_normal(shape))

    def linear(self, x, inputs, outputs):
        weight = self.constant(self.random.standard_normal((inputs, outputs)) / np.sqrt(inputs))
        return self.op("Add", self.op("MatMul", x, weight), self.numbers(outputs))

    def reshape(self, x, *tail):
        """To the batch and length of x and `tail`: as torch exports view(x.size(0), x.size(1), ...)."""
        if not self.dynamic:
            return self.op("Reshape", x, self.shape(0, 0, *tail))
        shape = self.op("Shape", x)
        dims = [self.op("Unsqueeze", self.op("Gather", shape, self.constant(i, np.int64)), self.shape(0)) for i in (0, 1)]
        return self.op("Reshape", x, self.op("Concat", *dims, self.shape(*tail), axis=0))

    def split_heads(self, x, perm=(0, 2, 1, 3)):
        return self.op("Transpose", self.reshape(x, HEADS, HEAD), perm=perm)

    def join_heads(self, x):
        return self.reshape(self.op("Transpose", x, perm=(0, 2, 1, 3)), WIDTH)


# ---- attentions ----


def bert(g, x):
    q, k, v = (g.linear(x, WIDTH, WIDTH) for _ in range(3))
    q, k, v = g.split_heads(q), g.split_heads(k, (0, 2, 3, 1)), g.split_heads(v)
    scores = g.op("Div", g.op("MatMul", q, k), g.constant(np.sqrt(HEAD)))
    mask = g.constant(np.where(np.arange(LENGTH) < LENGTH - 1, 0, -100).reshape(1, 1, 1, LENGTH))
    p = g.op("Softmax", g.op("Add", scores, mask), axis=-1)
    return g.linear(g.join_heads(g.op("MatMul", p, v)), WIDTH, WIDTH)


def torch_sdpa(g, x):
    """The square root of the scale on both sides, k turned by a Transpose of its own."""
    q, k, v = (g.split_heads(g.linear(x, WIDTH, WIDTH)) for _ in range(3))
    scale = g.constant(HEAD**-0.25)
    k = g.op("Transpose", k, perm=(0, 1, 3, 2))
    p = g.op("Softmax", g.op("MatMul", g.op("Mul", q, scale), g.op("Mul", k, scale)), axis=-1)
    return g.linear(g.join_heads(g.op("MatMul", p, v)), WIDTH, WIDTH)


def gpt2(g, x):
    """One product for q, k and v, and a causal mask by Where."""
    q, k, v = g.op("Split", g.linear(x, WIDTH, 3 * WIDTH), g.shape(WIDTH, WIDTH, WIDTH), results=3, axis=2)
    q, k, v = g.split_heads(q), g.split_heads(k, (0, 2, 3, 1)), g.split_heads(v)
    scores = g.op("Div", g.op("MatMul", q, k), g.constant(np.sqrt(HEAD)))
    causal = g.constant(np.tril(np.ones((1, 1, LENGTH, LENGTH))), bool)
    p = g.op("Softmax", g.op("Where", causal, scores, g.constant(-100)), axis=-1)
    return g.linear(g.join_heads(g.op("MatMul", p, v)), WIDTH, WIDTH)


def timm(g, x):
    """q, k and v by three Gathers of one Transpose."""
    qkv = g.op("Reshape", g.linear(x, WIDTH, 3 * WIDTH), g.shape(0, LENGTH, 3, HEADS, HEAD))
    qkv = g.op("Transpose", qkv, perm=(2, 0, 3, 1, 4))
    q, k, v = (g.op("Gather", qkv, g.constant(i, np.int64), axis=0) for i in range(3))
    q = g.op("Mul", q, g.constant(HEAD**-0.5))
    p = g.op("Softmax", g.op("MatMul", q, g.op("Transpose", k, perm=(0, 1, 3, 2))), axis=-1)
    return g.linear(g.join_heads(g.op("MatMul", p, v)), WIDTH, WIDTH)


def llama(g, x):
    """Rotary embeddings of q and k, and two heads to each pair of keys and values."""
    table = g.random.standard_normal((2, 1, 1, LENGTH, HEAD))
    cos, sin = g.constant(table[0]), g.constant(table[1])

    def rotated(t):
        axis, half = g.shape(3), g.shape(HEAD // 2)
        a = g.op("Slice", t, g.shape(0), half, axis)
        b = g.op("Slice", t, half, g.shape(2**31), axis)
        turned = g.op("Concat", g.op("Neg", b), a, axis=-1)
        return g.op("Add", g.op("Mul", t, cos), g.op("Mul", turned, sin))

    def narrow():
        half = g.linear(x, WIDTH, WIDTH // 2)
        return g.op("Transpose", g.reshape(half, HEADS // 2, HEAD), perm=(0, 2, 1, 3))

    def repeated(t):
        t = g.op("Expand", g.op("Unsqueeze", t, g.shape(2)), g.shape(1, 1, 2, 1, 1))
        return g.op("Reshape", t, g.shape(0, HEADS, LENGTH, HEAD))

    q = rotated(g.split_heads(g.linear(x, WIDTH, WIDTH)))
    k, v = repeated(rotated(narrow())), repeated(narrow())
    scores = g.op("Mul", g.op("MatMul", q, g.op("Transpose", k, perm=(0, 1, 3, 2))), g.constant(HEAD**-0.5))
    mask = g.constant(np.triu(np.full((1, 1, LENGTH, LENGTH), -100), 1))
    p = g.op("Softmax", g.op("Add", scores, mask), axis=-1)
    return g.linear(g.join_heads(g.op("MatMul", p, v)), WIDTH, WIDTH)


# ---- normalizations and activations ----


def layer_norm(g, x):
    return g.op("LayerNormalization", x, g.numbers(WIDTH), g.numbers(WIDTH), axis=-1)


def layer_norm_parts(g, x):
    d = g.op("Sub", x, g.op("ReduceMean", x, axes=[-1]))
    variance = g.op("ReduceMean", g.op("Pow", d, g.constant(2)), axes=[-1])
    q = g.op("Div", d, g.op("Sqrt", g.op("Add", variance, g.constant(1e-3))))
    return g.op("Add", g.op("Mul", q, g.numbers(WIDTH)), g.numbers(WIDTH))


def rms_norm_parts(g, x):
    mean = g.op("ReduceMean", g.op("Pow", x, g.constant(2)), axes=[-1])
    inverse = g.op("Div", g.constant(1), g.op("Sqrt", g.op("Add", mean, g.constant(1e-3))))
    return g.op("Mul", g.numbers(WIDTH), g.op("Mul", x, inverse))


def gelu(g, x):
    erf = g.op("Erf", g.op("Div", x, g.constant(np.sqrt(2))))
    return g.op("Mul", g.op("Mul", x, g.op("Add", erf, g.constant(1))), g.constant(0.5))


def gelu_tanh(g, x):
    cube = g.op("Mul", g.op("Mul", x, x), x)
    inner = g.op("Mul", g.op("Add", x, g.op("Mul", cube, g.constant(0.044715))), g.constant(np.sqrt(2 / np.pi)))
    return g.op("Mul", g.op("Mul", x, g.constant(0.5)), g.op("Add", g.op("Tanh", inner), g.constant(1)))


def silu(g, x):
    return g.op("Mul", x, g.op("Sigmoid", x))


# ---- networks ----


def block_before(g, x, attention, norm, activation):
    x = g.op("Add", x, attention(g, norm(g, x)))
    inner = activation(g, g.linear(norm(g, x), WIDTH, 2 * WIDTH))
    return g.op("Add", x, g.linear(inner, 2 * WIDTH, WIDTH))


def block_behind(g, x, attention, norm, activation):
    x = norm(g, g.op("Add", x, attention(g, x)))
    inner = activation(g, g.linear(x, WIDTH, 2 * WIDTH))
    return norm(g, g.op("Add", x, g.linear(inner, 2 * WIDTH, WIDTH)))


# name: (block, attention, norm, activation, products of a layer, fused operators of a layer)
NETWORKS = {
    "bert": (block_behind, bert, layer_norm, gelu, 8, 9),
    "bert_parts": (block_behind, bert, layer_norm_parts, gelu_tanh, 8, 9),
    "sdpa": (block_before, torch_sdpa, layer_norm, gelu, 8, 9),
    "sdpa_rms": (block_before, torch_sdpa, rms_norm_parts, silu, 8, 9),
    "gpt2": (block_before, gpt2, layer_norm, gelu_tanh, 6, 7),
    "llama": (block_before, llama, rms_norm_parts, silu, 8, 9),
    "timm": (block_before, timm, layer_norm_parts, gelu, 6, 7),
}


def network(name, dynamic):
    block, attention, norm, activation, _, _ = NETWORKS[name]
    g = Graph(dynamic)
    x = "x"
    for _ in range(LAYERS):
        x = block(g, x, attention, norm, activation)
    shape = ["N", LENGTH, WIDTH] if dynamic else [BATCH, LENGTH, WIDTH]
    values = [oh.make_tensor_value_info(v, onnx.TensorProto.FLOAT, shape) for v in ("x", x)]
    graph = oh.make_graph(g.nodes, name, values[:1], values[1:], g.constants)
    return oh.make_model(graph, opset_imports=[oh.make_opsetid("", 17)], ir_version=8)


class Batches(CalibrationDataReader):
    def __init__(self):
        self.left = [{"x": np.random.default_rng(i).standard_normal((BATCH, LENGTH, WIDTH)).astype(np.float32)}
                     for i in range(3)]

    def get_next(self):
        return self.left.pop() if self.left else None


def quantize(model, path, everything):
    options = {"ActivationSymmetric": True, "WeightSymmetric": True, "QuantizeBias": False}
    quantize_static(model, path, Batches(), quant_format=QuantFormat.QDQ, activation_type=QuantType.QInt8,
                    weight_type=QuantType.QInt8, per_channel=True, extra_options=options,
                    op_types_to_quantize=None if everything else ["MatMul"])


def run(path):
    feed = np.random.default_rng(9).standard_normal((BATCH, LENGTH, WIDTH)).astype(np.float32)
    return session(path).run(None, {"x": feed})[0]


def alone(model):
    """Q and DQ at the top level that touch neither the input nor the output."""
    inside = [n for n in model.graph.node if n.op_type in ("QuantizeLinear", "DequantizeLinear")]
    outputs = {o.name for o in model.graph.output}
    return [n.name for n in inside if n.input[0] != "x" and n.output[0] not in outputs]


def judge(what, path, folder, products, fused):
    out, again = os.path.join(folder, "o.onnx"), os.path.join(folder, "again.onnx")
    report = optimize(what, path, out, "--exact")
    if report is None:
        return
    summary = report["summary"]
    model = onnx.load(out)
    kinds = Counter(n.op_type.split("_")[0] for n in model.graph.node)
    int8 = summary["int8_int8"] + summary["int8_float"]
    check(int8 == summary["weighted"] == LAYERS * products,
          "%s: %d of %d products are INT8" % (what, int8, summary["weighted"]))
    check(kinds["QAttention"] == LAYERS, "%s: %d attentions: %s" % (what, kinds["QAttention"], dict(kinds)))
    # beside the fused operators: a Q of the input, a DQ of the output
    check(summary["nodes_after"] <= LAYERS * fused + 2, "%s: %d nodes: %s" % (what, summary["nodes_after"], dict(kinds)))
    check(not alone(model), "%s: stand-alone %s" % (what, ", ".join(alone(model)[:5])))
    check(run(path).tobytes() == run(out).tobytes(), "%s: other results" % what)
    done = tool(out, again, "--exact", "--quiet")
    with open(out, "rb") as a, open(again, "rb") as b:
        check(done.returncode == 0 and a.read() == b.read(), "%s: optimizing its own output again changes it" % what)


def main():
    logging.disable(logging.WARNING)  # the quantizer's advice
    with tempfile.TemporaryDirectory() as folder:
        real, path = os.path.join(folder, "float.onnx"), os.path.join(folder, "quantized.onnx")
        for name, (_, _, _, _, products, fused) in NETWORKS.items():
            for dynamic in (False, True):
                onnx.save(network(name, dynamic), real)
                for everything in (False, True):
                    quantize(real, path, everything)
                    judge("%s, %s batch, %s quantized" % (name, "dynamic" if dynamic else "fixed",
                                                          "everything" if everything else "MatMul"),
                          path, folder, products, fused)
    finish()


main()

# SPDX-License-Identifier: Apache-2.0
#
# qlinear.py -- integer forms read back as Q/DQ, against ONNX Runtime's integer kernels
#
# Seeded models of one operator each are rewritten by the pass read_qlinear; both run in ONNX Runtime with its own
# optimizations off. Codes may differ by one step, floats by rounding. The golden graphs are run the same way.
import glob
import os
import tempfile

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from common import check, finish, session, tool

MS = "com.microsoft"
NO_KERNEL = {"QLinearReduceMean"}  # has a schema in ONNX Runtime, but no kernel for the CPU
DIES = "leaky_relu.onnxtxt"  # ONNX Runtime does not survive its absent zero points
NAMES = {np.uint8: TensorProto.UINT8, np.int8: TensorProto.INT8, np.bool_: TensorProto.BOOL}

ONE = [(), (1,)]  # the shapes of one number, where both are allowed

rng = np.random.default_rng(7)


class Model:
    """Inputs, constants and one node."""

    def __init__(self, dtype, opset):
        self.dtype, self.opset = dtype, opset
        self.inputs, self.constants, self.operands = [], [], []

    def input(self, *shape, dtype=None):
        name = "in%d" % len(self.inputs)
        self.inputs.append(helper.make_tensor_value_info(name, NAMES[dtype or self.dtype], shape))
        self.operands.append(name)

    def constant(self, array):
        name = "c%d" % len(self.constants)
        self.constants.append(numpy_helper.from_array(np.asarray(array), name))
        self.operands.append(name)

    def absent(self):
        self.operands.append("")

    def scale(self, value=None, shape=()):
        self.constant(np.float32(rng.uniform(0.01, 0.05, shape) if value is None else np.full(shape, value)))

    def zero(self, dtype=None, value=None, shape=()):
        dtype = dtype or self.dtype
        low = 100 if dtype == np.uint8 else -20
        self.constant(np.full(shape, rng.integers(low, low + 40) if value is None else value).astype(dtype))

    def quantized(self, *shape, one=()):
        """An input with its scale and zero point."""
        self.input(*shape)
        self.scale(shape=one)
        self.zero(shape=one)

    def weight(self, *shape, channels, dtype):
        info = np.iinfo(dtype)
        self.constant(rng.integers(info.min, info.max + 1, shape).astype(dtype))
        self.scale(shape=(channels,) if channels > 1 else ())
        self.zero(dtype, 0 if dtype == np.int8 else 128, (channels,) if channels > 1 else ())

    def result(self, scale=None, zero=None):
        self.scale(scale)
        self.zero(value=zero)

    def build(self, op, domain="", real=False, **attributes):
        while self.operands[-1] == "":
            self.operands.pop()
        kind = TensorProto.FLOAT if real else NAMES[self.dtype]
        node = helper.make_node(op, self.operands, ["y"], name="it", domain=domain, **attributes)
        graph = helper.make_graph([node], "g", self.inputs, [helper.make_tensor_value_info("y", kind, None)],
                                  self.constants)
        opsets = [helper.make_opsetid("", self.opset), helper.make_opsetid(MS, 1)]
        return helper.make_model(graph, opset_imports=opsets, ir_version=8)


def conv(m, w, domain=""):
    channels, group = int(rng.choice([1, 6])), int(rng.choice([1, 2]))
    m.quantized(2, 4, 7, 6, one=ONE[rng.integers(2)])
    m.weight(6, 4 // group, 3, 3, channels=channels, dtype=w)
    m.result(4.0)
    if rng.integers(2):
        m.constant(rng.integers(-2000, 2000, 6).astype(np.int32))
    padding = [{"pads": [1, 0, 1, 1]}, {"auto_pad": "SAME_LOWER"}, {}][rng.integers(3)]
    return m.build("QLinearConv", domain, group=group, strides=[2, 1], **padding)


def ms_conv(m, w):
    return conv(m, w, MS)


def matmul(m, w):
    batch = [(), (3,)][rng.integers(2)]
    m.quantized(*batch, 5, 8, one=ONE[rng.integers(2)])
    m.weight(8, 4, channels=int(rng.choice([1, 4])), dtype=w)
    m.result(3.0)
    return m.build("QLinearMatMul")


def gemm(m, w):
    a, b = rng.integers(2, size=2)
    m.quantized(*((8, 5) if a else (5, 8)))
    m.weight(*((4, 8) if b else (8, 4)), channels=int(rng.choice([1, 4])), dtype=w)
    if rng.integers(2):
        m.constant(rng.integers(-9000, 9000, [(4,), (1, 4), (5, 4)][rng.integers(3)]).astype(np.int32))
    else:
        m.absent()
    real = bool(rng.integers(2))
    if not real:
        m.result(3.0)
    return m.build("QGemm", MS, real, transA=int(a), transB=int(b), alpha=float(rng.choice([1.0, 0.5])))


def to_float(m, w):
    m.input(3, 5, 8)
    m.constant(rng.integers(-127, 128, (8, 4)).astype(np.int8))
    channels = [(), (4,)][rng.integers(2)]
    m.scale()
    m.scale(shape=channels)
    m.zero() if rng.integers(2) else m.absent()
    m.zero(np.int8, 0, channels) if rng.integers(2) else m.absent()
    if rng.integers(2):
        m.constant(rng.standard_normal(4).astype(np.float32))
    return m.build("MatMulIntegerToFloat", MS, True)


def binary(op, scale):
    def make(m, w):
        m.quantized(2, 3, 4)
        m.input(*[(3, 4), (2, 1, 4), (2, 3, 4)][rng.integers(3)])
        m.scale()
        m.zero()
        m.result(scale)
        return m.build(op, MS)
    return make


def concat(m, w):
    m.result()
    for extent in (3, 1, 2):
        m.quantized(2, extent, 4)
    return m.build("QLinearConcat", MS, axis=int(rng.choice([1, -2])))


def average_pool(m, w):
    m.quantized(1, 3, 7, 7)
    m.result()
    return m.build("QLinearAveragePool", MS, kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1],
                   count_include_pad=int(rng.integers(2)), ceil_mode=int(rng.integers(2)))


def unary(op, shape, scale=None, zero=None, **attributes):
    def make(m, w):
        m.quantized(*shape)
        m.result(scale, zero if m.dtype == np.uint8 else (zero if zero is None else zero - 128))
        return m.build(op, MS, **attributes)
    return make


def softmax(m, w):
    m.quantized(2, 6, 4)
    m.result(1 / 256, 0 if m.dtype == np.uint8 else -128)
    return m.build("QLinearSoftmax", MS, opset=m.opset, axis=int(rng.choice([1, 2] + [-1, -2] * (m.opset > 10))))


def where(m, w):
    m.input(2, 3, dtype=np.bool_)
    m.quantized(2, 3)
    m.quantized(3)
    m.result()
    return m.build("QLinearWhere", MS)


FORMS = [conv, ms_conv, matmul, gemm, to_float, binary("QLinearAdd", 0.1), binary("QLinearMul", 0.05), concat,
         average_pool, unary("QLinearGlobalAveragePool", (1, 3, 5, 5)),
         unary("QLinearLeakyRelu", (2, 9), alpha=0.2), unary("QLinearSigmoid", (2, 9), 1 / 256, 0), softmax, where]


def inputs_of(model):
    feeds = {}
    constants = {i.name for i in model.graph.initializer}
    for i in model.graph.input:
        if i.name in constants:
            continue
        dtype = helper.tensor_dtype_to_np_dtype(i.type.tensor_type.elem_type)
        shape = [d.dim_value for d in i.type.tensor_type.shape.dim]
        if dtype == np.bool_:
            feeds[i.name] = rng.integers(0, 2, shape).astype(dtype)
        else:
            info = np.iinfo(dtype)
            feeds[i.name] = rng.integers(info.min, info.max + 1, shape).astype(dtype)
    return feeds


def close(a, b):
    if a.shape != b.shape or a.dtype != b.dtype:
        return False
    if a.dtype == np.float32:
        return np.allclose(a, b, rtol=1e-5, atol=1e-5 * float(np.abs(a).max()))
    return int(np.abs(a.astype(int) - b.astype(int)).max()) <= 1


def compare(what, source, folder):
    """The model in `source` and what read_qlinear makes of it."""
    original, result = os.path.join(folder, "original.onnx"), os.path.join(folder, "result.onnx")
    for out, passes in ((original, "none"), (result, "fold,read_qlinear")):
        done = tool(source, out, "--emit", "qdq", "--passes", passes, "--quiet")
        if not check(done.returncode == 0, "%s: %s" % (what, done.stderr)):
            return
    left = {n.op_type for n in onnx.load(original).graph.node}
    kept = [n.op_type for n in onnx.load(result).graph.node if n.op_type in left and "Q" in n.op_type]
    if not check(not kept, "%s: %s is still there" % (what, kept)):
        return
    onnx.checker.check_model(onnx.load(result), full_check=True)
    if left & NO_KERNEL:
        return
    first, second = session(original), session(result)
    for _ in range(3):
        feeds = inputs_of(onnx.load(original))
        a, b = first.run(None, feeds)[0], second.run(None, feeds)[0]
        if not check(close(a, b), "%s: the results differ\n%s\n%s" % (what, a, b)):
            return


def main():
    with tempfile.TemporaryDirectory() as folder:
        for make in FORMS:
            for turn in range(12):
                dtype, w = [(np.uint8, np.int8), (np.int8, np.int8), (np.uint8, np.uint8)][turn % 3]
                opset = [17, 13, 12, 21][turn % 4]
                model = make(Model(dtype, opset), w)
                source = os.path.join(folder, "it.onnx")
                onnx.save(model, source)
                shape = session(source).run(None, inputs_of(model))[0].shape
                kind = model.graph.output[0].type.tensor_type.elem_type
                model.graph.output[0].CopyFrom(helper.make_tensor_value_info("y", kind, shape))
                onnx.save(model, source)
                compare("%s opset %d %s" % (model.graph.node[0].op_type, opset, dtype.__name__), source, folder)
        for path in sorted(glob.glob("test/golden/read_qlinear/*.onnxtxt")):
            if not os.path.basename(path).startswith(("not_", DIES)):
                source = os.path.join(folder, "it.onnxtxt")
                with open(path) as golden, open(source, "w") as text:
                    text.write(golden.read().split("# ==>")[0])
                compare(path, source, folder)
    finish()


main()

# SPDX-License-Identifier: Apache-2.0
#
# fakes.py -- fake quantization of training tools by ONNX's own operators, for runtimes that have neither
#
# In the order of operations of OpenVINO's and QONNX's definitions, all in float32.
import numpy as np
import onnx
import onnx.helper as oh
from onnx import numpy_helper

OPENVINO, QONNX = "org.openvinotoolkit", "qonnx.custom_op.general"
OURS = {("FakeQuantize", OPENVINO), ("Quant", QONNX)}


class Writer:
    """Nodes in place of one."""

    def __init__(self, node):
        self.stem, self.nodes, self.last = node.output[0] + ".fake", [], node.output[0]

    def number(self, x):
        return self("Constant", value=numpy_helper.from_array(np.float32(x)))

    def __call__(self, op, *inputs, to=None, **attributes):
        name = to or "%s.%d" % (self.stem, len(self.nodes))
        self.nodes.append(oh.make_node(op, list(inputs), [name], **attributes))
        return name


def fake_quantize(w, node, attributes):
    x, low, high, least, greatest = node.input
    steps = w.number(attributes["levels"] - 1)
    level = w("Round", w("Mul", w("Div", w("Sub", x, low), w("Sub", high, low)), steps))
    y = w("Add", w("Mul", w("Div", level, steps), w("Sub", greatest, least)), least)
    below, above = w("Greater", x, w("Min", low, high)), w("Greater", x, w("Max", low, high))
    y = w("Where", above, greatest, y)
    w("Where", below, y, least, to=w.last)


def quant(w, node, attributes):
    x, scale, zero, bits = node.input
    signed, narrow = attributes.get("signed", 1), attributes.get("narrow", 0)
    span = w("Pow", w.number(2), w("Sub", bits, w.number(signed)))
    low = w("Add", w("Neg", span), w.number(narrow)) if signed else w.number(0)
    high = w("Sub", span, w.number(2 if narrow and not signed else 1))
    y = w("Add", w("Div", x, scale), zero)
    y = w("Where", w("Greater", y, low), y, low)
    y = w("Where", w("Less", y, high), y, high)
    y = w("Sub", w("Round", y), zero)
    w("Mul", w("Add", y, w.number(0)), scale, to=w.last)  # no negative zero


def expand(nodes):
    made = []
    for node in nodes:
        if (node.op_type, node.domain) in OURS:
            w = Writer(node)
            (quant if node.op_type == "Quant" else fake_quantize)(w, node, {a.name: oh.get_attribute_value(a) for a in node.attribute})
            made += w.nodes
        else:
            for a in node.attribute:
                if a.HasField("g"):
                    replace(a.g.node)
            made.append(onnx.NodeProto.FromString(node.SerializeToString()))
    return made


def replace(nodes):
    made = expand(nodes)
    del nodes[:]
    nodes.extend(made)


def without(model):
    """The model, with operators of ONNX instead; it may be bytes."""
    data = model if isinstance(model, bytes) else model.SerializeToString()
    if OPENVINO.encode() not in data and QONNX.encode() not in data:
        return data
    model = onnx.load_model_from_string(data)
    replace(model.graph.node)
    for f in model.functions:
        replace(f.node)
    return model.SerializeToString()

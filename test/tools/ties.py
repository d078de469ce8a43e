# SPDX-License-Identifier: Apache-2.0
#
# ties.py -- networks in ONNX Runtime, and what small changes in front of their operators make of the outputs
#
# For test/peer/graphs.py, whose header says why.
import numpy as np
import onnx
import onnx.helper as oh
import onnxruntime as ort

import fakes
import shrink_graph

JUMPS = {"QuantizeLinear", "DynamicQuantizeLinear", "Round", "Floor", "Ceil", "Sign", "Mod", "ThresholdedRelu", "Shrink",
         "ArgMax", "ArgMin", "Hardmax", "TopK", "Greater", "GreaterOrEqual", "Less", "LessOrEqual", "Equal",
         "InstanceNormalization", "LayerNormalization", "Sub", "ReduceMean"}  # the last ones make small errors large
HANDS_ON = {"Relu", "Clip", "Transpose", "Reshape", "Flatten", "Squeeze", "Unsqueeze", "Identity"}
FLOATS = {"float16", "bfloat16", "float32", "float64"}
MOVED = 1e-5
SMALLEST = 2.0**-14  # below that numbers of float16 lie no denser
ROUNDS = 32


def session(model):
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 4
    options.intra_op_num_threads = 1
    options.add_session_config_entry("session.disable_prepacking", "1")  # else constants are added up in another order
    return ort.InferenceSession(fakes.without(model), options, providers=["CPUExecutionProvider"])


def run(model, feeds):
    return session(model).run(None, feeds)


def floats(model, names, feeds):
    """The values of those of the tensors that are float32, by name."""
    probe = shrink_graph.with_outputs(model, map(oh.make_empty_tensor_value_info, names))
    s = session(probe)
    wanted = [o.name for o in s.get_outputs() if o.type == "tensor(float)"]
    given = {i.name for i in s.get_inputs()} | {i.name for i in s.get_overridable_initializers()}
    return dict(zip(wanted, s.run(wanted, {k: v for k, v in feeds.items() if k in given}))) if wanted else {}


def computed(model, names, given, feeds):
    """The values of the tensors `names` where those in `given` are what it says."""
    alone = shrink_graph.fed(model, names, given)
    read = {i.name for i in alone.graph.input}
    return run(alone, {k: v for k, v in {**feeds, **given}.items() if k in read})


def same(a, b):
    if a.dtype != b.dtype or a.shape != b.shape:
        return False
    if a.tobytes() == b.tobytes():
        return True
    if a.dtype.name == "bfloat16":
        a, b = a.astype(np.float32), b.astype(np.float32)
    if a.dtype.kind != "f":
        return False
    bits = np.uint32 if a.dtype == np.float32 else np.uint16 if a.dtype == np.float16 else np.uint64
    return bool(np.all((a.view(bits) == b.view(bits)) | (np.isnan(a) & np.isnan(b))))


def first_difference(names, a, b):
    """Of two lists of outputs; None: they have the same bits."""
    for name, x, y in zip(names, a, b):
        if not same(x, y):
            if x.shape != y.shape or x.dtype != y.dtype:
                return "output '%s' is %s %s, not %s %s" % (name, y.dtype, y.shape, x.dtype, x.shape)
            with np.errstate(all="ignore"):
                at = np.flatnonzero(x.reshape(-1) != y.reshape(-1))
            at = at[0] if len(at) else 0
            return "output '%s'[%d] is %r, not %r" % (name, at, y.reshape(-1)[at], x.reshape(-1)[at])
    return None if len(a) == len(b) else "%d outputs, not %d" % (len(b), len(a))


def in_front(model, n):
    """Of a MaxPool that says where it found what it gives: the operator behind which numbers are only handed on to it; those that are
    equal there (a Relu makes zeros of many) stay so. None: they are codes."""
    made = {o: m for m in model.graph.node for o in m.output}
    while made.get(n.input[0]) is not None and made[n.input[0]].op_type in HANDS_ON:
        n = made[n.input[0]]
    return None if n.input[0] in made and made[n.input[0]].op_type == "DequantizeLinear" else n


def jumps(model):
    found = [n for n in model.graph.node if n.op_type in JUMPS or n.op_type.startswith("QLinear")]
    places = [in_front(model, n) for n in model.graph.node if n.op_type == "MaxPool" and len(n.output) > 1]
    return found + [n for n in places if n is not None]


def holds_softmax(data):
    return b"QLinearSoftmax" in data


def a_step(model, n, integer):
    """QLinearSoftmax of ONNX Runtime is off by a step not only at ties: the step of a Q behind a Softmax, else 0."""
    made = {o: m for m in model.graph.node for o in m.output}
    before = made.get(n.input[0]) if integer and n.op_type in ("QuantizeLinear", "Round") else None
    if before is not None and n.op_type == "Round" and before.op_type == "Div":  # a Q that is written out
        return 1.0 if before.input[0] in made and made[before.input[0]].op_type == "Softmax" else 0.0
    if before is None or before.op_type != "Softmax" or len(n.input) < 2:
        return 0.0
    scales = [i for i in model.graph.initializer if i.name == n.input[1]]
    return float(np.max(onnx.numpy_helper.to_array(scales[0]))) if scales else 0.0


def places(model, n):
    """Which inputs of an operator are moved: its data; of one of codes the scales that are no constants, in their place."""
    if not n.op_type.startswith("QLinear"):
        return [0] if n.input and n.input[0] else []
    constant = {i.name for i in model.graph.initializer} - {i.name for i in model.graph.input}
    return [k for k, name in enumerate(n.input) if name and name not in constant]


def movable(model, feeds, integer, everywhere=False):
    """The model with an addend in front of each jump (or each operator), as inputs; and their shapes and sizes."""
    found = model.graph.node if everywhere else jumps(model)
    names = list(dict.fromkeys(n.input[k] for n in found for k in places(model, n)))
    values = floats(model, names, feeds) if names else {}
    moved, addends = shrink_graph.copy(model), {}
    nodes = []
    for i, n in enumerate(moved.graph.node):
        for k in places(model, n) if n in found else []:
            if n.input[k] not in values:
                continue
            v, addend = values[n.input[k]], "addend.%d.%d" % (i, k)
            finite = np.abs(v[np.isfinite(v)])
            least = max(a_step(model, n, integer) / MOVED, SMALLEST if everywhere else 0.0)
            addends[addend] = (v.shape, max(float(finite.max()) if finite.size else 0.0, least))
            moved.graph.input.append(oh.make_tensor_value_info(addend, 1, v.shape))
            nodes.append(oh.make_node("Add", [n.input[k], addend], [addend + ".sum"]))
            n.input[k] = addend + ".sum"
        nodes.append(n)
    nodes = [onnx.NodeProto.FromString(n.SerializeToString()) for n in nodes]
    moved.graph.node.clear()
    moved.graph.node.extend(nodes)
    return moved, addends


def written_out(model):
    """QLinearSoftmax, which a scale that comes from outside keeps, as the Q/DQ that it stands for: a step of it can be moved then."""
    plain, nodes = shrink_graph.copy(model), []
    new = next(o.version for o in model.opset_import if o.domain in ("", "ai.onnx")) >= 13
    for n in plain.graph.node:
        attributes = {a.name: a.i for a in n.attribute}
        if n.op_type != "QLinearSoftmax" or new != (attributes["opset"] >= 13):
            nodes.append(n)
            continue
        x, y = n.output[0] + ".float", n.output[0] + ".softmax"
        nodes += [oh.make_node("DequantizeLinear", n.input[:3], [x]), oh.make_node("Softmax", [x], [y], axis=attributes.get("axis", -1)),
                  oh.make_node("QuantizeLinear", [y, *n.input[3:]], n.output)]
    nodes = [onnx.NodeProto.FromString(n.SerializeToString()) for n in nodes]
    plain.graph.node.clear()
    plain.graph.node.extend(nodes)
    return plain


INSIDE = ("inside.turn", "inside.apart", "inside.alike", "inside.top")  # numbers that bodies are moved by


def moved_in_place(x, y):
    """Nodes that make y of x where no shape is known: each element moved by itself and all of them alike, as far as INSIDE says, times
    the tensor's largest number. What that makes no number of stays."""
    turn, apart, alike, top = INSIDE
    made = lambda op, inputs, out, **attributes: oh.make_node(op, inputs, [y + out], **attributes)
    return [made("Abs", [x], ".size"), made("ReduceMax", [y + ".size"], ".largest", keepdims=0), made("Min", [y + ".largest", top], ".far"),
            made("Mul", [x, turn], ".turned"), made("Sin", [y + ".turned"], ".noise"), made("Mul", [y + ".noise", apart], ".apart"),
            made("Add", [y + ".apart", alike], ".both"), made("Mul", [y + ".both", y + ".far"], ".addend"), made("Add", [x, y + ".addend"], ".sum"),
            made("IsNaN", [y + ".sum"], ".none"), made("Where", [y + ".none", x, y + ".sum"], "")]


def move_inside(graph, scales=frozenset(), inside=False):
    """Moves what stands in front of Qs in bodies of If, Loop and Scan; says whether there are any."""
    scales = scales | {i.name for i in graph.initializer if i.data_type == onnx.TensorProto.FLOAT}
    found, nodes = False, []
    for n in graph.node:
        for a in n.attribute:
            found = (a.type == onnx.AttributeProto.GRAPH and move_inside(a.g, scales, True)) or found
        if inside and n.op_type == "QuantizeLinear" and n.input[1] in scales:
            nodes += moved_in_place(n.input[0], n.output[0] + ".moved")
            n.input[0] = n.output[0] + ".moved"
            found = True
        nodes.append(n)
    nodes = [onnx.NodeProto.FromString(n.SerializeToString()) for n in nodes]
    graph.node.clear()
    graph.node.extend(nodes)
    return found


class Ranges:
    """What moving numbers at jumps makes of a model's outputs, with these inputs."""

    def __init__(self, model, feeds, integer, most, everywhere):
        plain = written_out(model)
        moved, self.addends = movable(plain, feeds, integer, everywhere)
        self.inside = move_inside(moved.graph)
        if self.inside:
            moved.graph.input.extend(oh.make_tensor_value_info(name, 1, ()) for name in INSIDE)
        self.wide = integer and any(a_step(plain, n, True) for n in plain.graph.node)  # sums of many codes that are off by a step
        self.session, self.feeds, self.most, self.model = session(moved), feeds, most, model
        self.rng, self.rounds, self.low = np.random.default_rng(1), 0, None

    def go_on(self, rounds):
        while self.rounds < rounds:
            size = 0 if self.rounds == 0 else self.most * (1 if self.rounds % 2 else 0.1)
            # mostly each number by itself; sometimes all of a tensor alike, since a kernel rounds all ties in one direction
            apart = self.rounds % 4 < 3
            noise = {}
            for name, (shape, far) in self.addends.items():
                sign = self.rng.integers(-1, 2, shape if apart else ())
                noise[name] = np.full(shape, sign * size * far, np.float32)
            if self.inside:
                far = self.rng.choice((-size, size))
                numbers = self.rng.uniform(1e3, 1e5), far * apart, far * (not apart), 1e30
                noise.update((name, np.array(x, np.float32)) for name, x in zip(INSIDE, numbers))
            out = self.session.run(None, {**self.feeds, **noise})
            self.low = out if self.low is None else [np.fmin(a, b) for a, b in zip(self.low, out)]
            self.high = out if self.rounds == 0 else [np.fmax(a, b) for a, b in zip(self.high, out)]
            self.rounds += 1

    def outside(self, names, got):
        """Is `got` within? None: it is; else what is not."""
        self.go_on(ROUNDS)
        difference = beyond(self.low, self.high, names, got, self.most, self.wide)
        if difference is not None and (self.addends or self.inside):
            self.go_on(8 * ROUNDS)
            difference = beyond(self.low, self.high, names, got, self.most, self.wide)
        return difference


def beyond(low, high, names, got, most, wide):
    """The first output that is not between what was found; None: all are."""
    for name, a, b, x in zip(names, low, high, got):
        if x.shape != a.shape or x.dtype != a.dtype:
            return "output '%s' is %s %s, not %s %s" % (name, x.dtype, x.shape, a.dtype, a.shape)
        if x.dtype.kind == "f":
            with np.errstate(all="ignore"):
                finite = np.abs(b[np.isfinite(b)])
                slack = 2 * most * (finite.max() if finite.size else 0) + 1e-6 + 2 * (b - a)
                bad = ~((x >= a - slack) & (x <= b + slack)) & np.isfinite(a) & np.isfinite(b)
        else:
            more = (b.astype(np.int64) - a) * wide
            bad = (x < a - more) | (x > b + more)
            if x.dtype == np.int64:  # the one of some elements that is the largest: indices lie in no order
                bad = (bad & (a == b)) | (x < 0) | (x > np.max(b, initial=0))
        if np.any(bad):
            at = np.flatnonzero(bad)[0]
            return "output '%s'[%d] is %r, ties allow %r to %r" % (name, at, x.reshape(-1)[at], a.reshape(-1)[at], b.reshape(-1)[at])
    return None

# SPDX-License-Identifier: Apache-2.0
#
# verdicts.py -- does the report say of a file what stands in it?
#
# complaint(report, original, written, types): the report as read from JSON, the network before, the one that was written,
# and the types ("tensor(int8)") of the tensors of its main graph. None where all is as it is said.
from collections import Counter

WEIGHTED = {"Conv", "ConvTranspose", "Gemm", "MatMul"}
LISTED = WEIGHTED | {"MaxPool", "AveragePool", "GlobalAveragePool", "GlobalMaxPool", "ReduceMean", "Add", "Mul", "Sub", "Div",
                     "Relu", "Sigmoid", "Tanh", "LeakyRelu", "Clip", "Softmax", "LayerNormalization", "InstanceNormalization",
                     "BatchNormalization", "Concat", "Elu", "HardSigmoid", "HardSwish", "PRelu", "Erf", "Gelu"}
MOVES = {"Reshape", "Transpose", "Gather", "Split", "Slice", "Squeeze", "Unsqueeze", "Expand", "Flatten", "Identity", "Concat", "Tile", "Pad",
         "Relu", "Clip"}
CODES = ("tensor(int8)", "tensor(uint8)")


def graphs(graph):
    """The graph and all bodies in it."""
    yield graph
    for n in graph.node:
        for a in n.attribute:
            if a.HasField("g"):
                yield from graphs(a.g)


class File:
    """A written network: who makes what, in the main graph and in functions."""

    def __init__(self, model, types):
        self.model, self.types = model, types
        self.functions = {f.name: f for f in model.functions if f.domain == "qdqopt"}
        self.constants = {i.name for i in model.graph.initializer}
        self.inside = {(f.domain, f.name) for f in model.functions}
        self.everywhere = [n for g in graphs(model.graph) for n in g.node]
        self.named = {n.name: n for n in self.everywhere if n.name}
        self.top = {n.name for n in model.graph.node}
        self.made = {o: n for n in model.graph.node for o in n.output if o}

    def body(self, call):
        """(makers inside, what each port stands for) of a call's function."""
        f = self.functions[call.op_type]
        return {o: n for n in f.node for o in n.output if o}, dict(zip(f.input, call.input)), f

    def type_of(self, name, made, ports):
        """Of a tensor inside a function, where it can be told."""
        if made is self.made:
            return self.types.get(name)
        while name in made or name in ports:
            if name in ports:
                return self.types.get(ports[name])
            n = made[name]
            if n.op_type == "QuantizeLinear":
                name = n.input[2] if len(n.input) > 2 and n.input[2] else None
                if name is None:
                    return "tensor(uint8)"
            elif n.op_type in MOVES or n.op_type == "MaxPool":
                name = n.input[0]
            else:
                return None
        return self.types.get(name)

    def dequantized(self, name, made, ports):
        """Does the tensor come from 8-bit codes, over nothing but moves?"""
        for _ in range(100):
            n = made.get(name)
            if n is None:
                outer = ports.get(name)
                if outer is None:
                    return False
                name, made, ports = outer, self.made, {}
            elif n.op_type == "DequantizeLinear":
                return self.type_of(n.input[0], made, ports) in CODES
            elif n.op_type in MOVES or n.op_type == "MaxPool":
                name = n.input[0]
            elif n.op_type in ("Cast", "Mul", "Div", "Add", "Sub", "Neg", "Where"):  # what an attention holds in front of its products
                return None
            else:
                return False
        return False


def of_region(op, file, regions):
    """An operator that went into a region of the main graph."""
    call = file.named[op["fused_into"]]
    made, ports, f = file.body(call)
    node = next((n for n in f.node if n.name == op["name"]), None)
    region = regions[op["fused_into"]]
    if node is not None and op["name"] not in region["ops"]:
        return "is not among the operators of its region"
    written = {file.types.get(o) for o in call.output if o}
    if op["verdict"] == "int8->int8" and region["kind"] != "attention" and not written <= set(CODES):
        return "is int8->int8, but its region writes %s" % ", ".join(sorted(map(str, written)))
    if node is not None and op["op"] in WEIGHTED and node.op_type == op["op"]:
        return of_contraction(op, file, node, made, ports)
    if op["verdict"] != "float" and op["op"] not in WEIGHTED and region["kind"] not in ("attention", "conv", "gemm", "matmul", "norm"):
        scales = {i for n in f.node if n.op_type.endswith("quantizeLinear") or n.op_type.endswith("QuantizeLinear") for i in n.input[1:2]}
        floats = [o for i, o in ports.items() if o not in file.constants and i not in scales and file.types.get(o) == "tensor(float)"]
        if floats:
            return "is %s, but its region reads '%s'" % (op["verdict"], floats[0])
    return None


def of_contraction(op, file, node, made, ports):
    come = [file.dequantized(i, made, ports) for i in node.input[:2]]
    if op["verdict"] != "float" and False in come:
        return "is %s, but input %d is no dequantized code" % (op["verdict"], come.index(False))
    if op["verdict"] == "float" and op["reason"]["code"] in ("input-float", "weight-float") and come == [True, True] and \
            all(i in made and made[i].op_type == "DequantizeLinear" for i in node.input[:2]):
        return "is float for '%s', but reads codes" % op["reason"]["code"]
    return None


def of_node(op, file):
    """An operator that went into no region."""
    n = file.named.get(op["name"])
    if n is None or op["name"] not in file.top or n.op_type != op["op"]:
        return None
    if op["op"] in WEIGHTED:
        return of_contraction(op, file, n, file.made, {})
    if op["verdict"] == "int8->int8" and n.domain == "" and (file.types.get(n.input[0]) not in CODES or file.types.get(n.output[0]) not in CODES):
        return "is int8->int8, but goes from %s to %s" % (file.types.get(n.input[0]), file.types.get(n.output[0]))
    return None


def quantizers(file, kind):
    """Q or DQ that stand alone: also in regions of nothing else."""
    count = 0
    for n in file.everywhere:
        f = file.functions.get(n.op_type) if n.domain == "qdqopt" else None
        alone = [n] if f is None else f.node if all(m.op_type in ("QuantizeLinear", "DequantizeLinear") for m in f.node) else []
        count += sum(m.op_type == kind for m in alone)
    return count


def complaint(report, original, written, types, fused):
    file, summary = File(written, types), report["summary"]
    regions = {r["name"]: r for r in report["regions"]}
    seen = Counter(op["name"] for op in report["ops"])
    listed = Counter(n.name for g in graphs(original.graph) for n in g.node if n.op_type in LISTED and n.domain == "" and n.name)
    for name, count in listed.items():
        if seen[name] != count:
            return "'%s' is listed %d times, not %d" % (name, seen[name], count)
    if summary["int8_int8"] + summary["int8_float"] + summary["float"] != summary["weighted"]:
        return "the summary does not add up"
    if fused:
        for what, count in (("nodes_after", len(written.graph.node)), ("q_after", quantizers(file, "QuantizeLinear")),
                            ("dq_after", quantizers(file, "DequantizeLinear"))):
            if summary[what] != count:
                return "%s is %d, not %d" % (what, summary[what], count)
        calls = {n.name for n in file.everywhere if n.domain == "qdqopt"}
        if calls != set(regions):
            return "regions differ from the calls: %s" % sorted(calls ^ set(regions))
    for op in report["ops"]:
        if seen[op["name"]] != 1:
            continue
        found = None
        if fused and op["fused_into"] is not None:
            if op["fused_into"] not in regions:
                return "'%s' went into '%s', which is not there" % (op["name"], op["fused_into"])
            found = of_region(op, file, regions) if op["fused_into"] in file.top else None
        elif op["fused_into"] is None or op["op"] in WEIGHTED:
            found = of_node(op, file)
        if found:
            return "'%s' (%s) %s" % (op["name"], op["op"], found)
    return None

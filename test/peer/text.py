# SPDX-License-Identifier: Apache-2.0
#
# text.py -- ONNX's textual syntax, against onnx's own parser and printer
#
# For every model of MODELS and of Debian's libonnx-testdata, and for models made here of everything that the syntax has:
#   write    `qdqopt --passes=none IN.onnx OUT.onnxtxt`, read by onnx.parser, is the model that went in
#   back     `qdqopt --passes=none OUT.onnxtxt BACK.onnx` is it too, and its text is the same once more
#   read     what onnx.printer makes of the model, read by qdqopt, is the model again
# Compared are structure, names, attributes, types, values of tensors, opsets and what the file says about itself; not
# doc strings, metadata of nodes, names of tensors in attributes and what the syntax has no words for.
import glob
import os
import subprocess
import sys
import tempfile

import numpy as np
import onnx
import onnx.parser
import onnx.printer
from onnx import AttributeProto, TensorProto, helper, numpy_helper

QDQOPT = os.environ.get("QDQOPT", "build/qdqopt")
MODELS = os.environ.get("MODELS", "../shared/models")


def testdata():
    listed = subprocess.run(["dpkg", "-L", "libonnx-testdata"], capture_output=True, text=True)
    return sorted(p for p in listed.stdout.split("\n") if p.endswith(".onnx"))


# ---- a model as plain data, without what the syntax cannot say ----


PACKED = {TensorProto.INT4: 4, TensorProto.UINT4: 4, TensorProto.FLOAT4E2M1: 4, TensorProto.INT2: 2, TensorProto.UINT2: 2}
TYPED = {1: "float_data", 11: "double_data", 14: "float_data", 15: "double_data", 7: "int64_data", 12: "uint64_data",
         13: "uint64_data"}
WIDTH = {2: 1, 3: 1, 4: 2, 5: 2, 6: 4, 9: 1, 10: 2, 12: 4, 13: 8, 16: 2}


def tensor_bytes(t, folder):
    if t.data_type == TensorProto.STRING:
        return tuple(t.string_data)
    if t.data_location == TensorProto.EXTERNAL:
        onnx.external_data_helper.load_external_data_for_tensor(t, folder)
    if t.HasField("raw_data"):
        data = t.raw_data
    elif t.data_type in (1, 14):
        data = np.array(t.float_data, np.float32).tobytes()
    elif t.data_type in (11, 15):
        data = np.array(t.double_data, np.float64).tobytes()
    elif t.data_type == 7:
        data = np.array(t.int64_data, np.int64).tobytes()
    elif t.data_type in (12, 13):
        data = np.array(t.uint64_data, np.uint64).astype(np.uint32 if t.data_type == 12 else np.uint64).tobytes()
    else:
        width = WIDTH.get(t.data_type, 1)
        data = b"".join((i & (256**width - 1)).to_bytes(width, "little") for i in t.int32_data)
    data = bytearray(data)
    bits = PACKED.get(t.data_type)
    count = int(np.prod(t.dims, dtype=np.int64)) if len(t.dims) else 1
    if bits and data and count * bits % 8:
        data[-1] &= (1 << count * bits % 8) - 1
    if t.data_type in (1, 14):  # every NaN is the same to the syntax, but for its sign
        a = np.frombuffer(bytes(data), np.uint32).copy()
        nan = (a & 0x7FFFFFFF) > 0x7F800000
        a[nan] = (a[nan] & 0x80000000) | 0x7FC00000
        data = a.tobytes()
    return bytes(data)


def plain_tensor(t, folder):
    return ("tensor", t.data_type, tuple(t.dims), tensor_bytes(t, folder))


def plain_dim(d):
    which = d.WhichOneof("value")
    if which == "dim_value":
        return d.dim_value if d.dim_value >= 0 else "?"
    return (d.dim_param if which == "dim_param" else "") or "?"


def plain_type(t):
    which = t.WhichOneof("value")
    if which in ("tensor_type", "sparse_tensor_type"):
        t = getattr(t, which)
        if t.elem_type == 0:
            return None
        return (which, t.elem_type, tuple(map(plain_dim, t.shape.dim)) if t.HasField("shape") else None)
    if which == "sequence_type":
        return ("seq", plain_type(t.sequence_type.elem_type))
    if which == "optional_type":
        return ("optional", plain_type(t.optional_type.elem_type))
    if which == "map_type":
        return ("map", t.map_type.key_type, plain_type(t.map_type.value_type))
    if which == "opaque_type":
        return ("opaque", t.opaque_type.domain, t.opaque_type.name)
    return None


def plain_attr(a, folder):
    kinds = {AttributeProto.FLOAT: lambda: ("f", np.float32(a.f).tobytes()),
             AttributeProto.INT: lambda: a.i,
             AttributeProto.STRING: lambda: a.s,
             AttributeProto.TENSOR: lambda: plain_tensor(a.t, folder),
             AttributeProto.GRAPH: lambda: plain_graph(a.g, folder, nested=True),
             AttributeProto.TYPE_PROTO: lambda: plain_type(a.tp),
             AttributeProto.FLOATS: lambda: ("fs", np.array(a.floats, np.float32).tobytes()),
             AttributeProto.INTS: lambda: tuple(a.ints),
             AttributeProto.STRINGS: lambda: tuple(a.strings)}
    if a.ref_attr_name:
        return (a.name, a.type, "@" + a.ref_attr_name)
    return (a.name, a.type, kinds[a.type]() if a.type in kinds else "not compared")


def domain(d):
    return "" if d == "ai.onnx" else d


def plain_node(n, folder):
    attrs = tuple(plain_attr(a, folder) for a in n.attribute
                  if a.type not in (AttributeProto.UNDEFINED, AttributeProto.SPARSE_TENSOR,
                                    AttributeProto.SPARSE_TENSORS))
    return (n.name, domain(n.domain), n.op_type, n.overload, tuple(n.input), tuple(n.output), attrs)


def plain_graph(g, folder, nested=False, ir_version=8):
    data = {t.name: plain_tensor(t, folder) for t in g.initializer}
    inputs = [(v.name, plain_type(v.type)) for v in g.input]
    if ir_version <= 3:  # the order of initializers among the inputs is not kept, nor what their entries say
        inputs = [i for i in inputs if i[0] not in data] + sorted(data)
    known = {v.name for v in g.input} | {v.name for v in g.output} | set(data)
    made = {name for n in g.node for name in n.output}
    infos = {v.name: plain_type(v.type) for v in g.value_info if v.name not in known and v.name in made}
    return (None if nested else g.name, tuple(inputs), tuple((v.name, plain_type(v.type)) for v in g.output),
            tuple(sorted(data.items())), tuple(sorted((k, v) for k, v in infos.items() if v is not None)),
            tuple(plain_node(n, folder) for n in g.node))


def plain_function(f, folder):
    made = {name for n in f.node for name in n.output} | set(f.input)
    return (domain(f.domain), f.name, f.overload, tuple(f.input), tuple(f.output), tuple(f.attribute),
            tuple(plain_attr(a, folder) for a in f.attribute_proto),
            tuple((domain(o.domain), o.version) for o in f.opset_import),
            tuple(sorted((v.name, plain_type(v.type)) for v in f.value_info if v.name in made)),
            tuple(plain_node(n, folder) for n in f.node))


def plain_model(m, folder):
    about = (m.ir_version, m.producer_name, m.producer_version, m.domain, m.model_version, m.doc_string,
             tuple((p.key, p.value) for p in m.metadata_props))
    return (about, tuple((domain(o.domain), o.version) for o in m.opset_import),
            plain_graph(m.graph, folder, ir_version=m.ir_version),
            tuple(plain_function(f, folder) for f in m.functions))


def difference(a, b, path=""):
    """Where two plain models differ first; None if nowhere."""
    if isinstance(a, tuple) and isinstance(b, tuple):
        if len(a) != len(b):
            return f"{path}: {len(a)} and {len(b)} items"
        for i, (x, y) in enumerate(zip(a, b)):
            found = difference(x, y, f"{path}/{x[0] if isinstance(x, tuple) and x and isinstance(x[0], str) else i}")
            if found:
                return found
        return None
    return None if a == b else f"{path}: {str(a)[:80]} and {str(b)[:80]}"


# ---- what the syntax cannot say ----


def walk(message):
    yield message
    for field, value in message.ListFields():
        if field.message_type is not None:
            for item in value if field.is_repeated else [value]:
                yield from walk(item)


def unsayable(m):
    """A reason why onnx's parser cannot have the whole model."""
    for x in walk(m):
        if isinstance(x, onnx.SparseTensorProto):
            return "sparse tensors"
        if isinstance(x, TensorProto) and x.data_type > 26:
            return "element types that qdqopt does not know"
        if isinstance(x, AttributeProto) and (x.tensors or x.graphs or x.type_protos):
            return "lists that onnx.parser drops"
    return None


def printer_fault(m):
    """A reason why onnx's printer loses something of the model."""
    for x in walk(m):
        if isinstance(x, TensorProto):
            if x.data_type in PACKED or x.data_type in (14, 15) or x.data_type > 23:
                return "tensors that onnx.printer leaves out"
            if x.data_location == TensorProto.EXTERNAL:
                return "external data"
            if x.data_type == TensorProto.STRING and not x.string_data:
                return "empty tensors of strings that onnx.printer breaks off"
        if isinstance(x, AttributeProto) and x.type == AttributeProto.STRINGS and not x.strings:
            return "empty lists of strings that onnx.printer breaks off"
        if isinstance(x, onnx.FunctionProto) and (x.attribute_proto or x.value_info):
            return "defaults and types of functions that onnx.printer leaves out"
    return None


# ---- the test ----


def qdqopt(source, target):
    run = subprocess.run([QDQOPT, "--passes=none", source, target, "--quiet"], capture_output=True, text=True)
    if run.returncode != 0:
        return f"exit {run.returncode}: {run.stderr.strip()[:300]}"
    return None


def check(path, folder, counts):
    """Faults of one model."""
    text, back, again = (os.path.join(folder, n) for n in ("a.onnxtxt", "b.onnx", "c.onnxtxt"))
    with open(path, "rb") as file:
        model = onnx.ModelProto.FromString(file.read())
    wanted = plain_model(model, os.path.dirname(path))
    sparse = unsayable(model)
    fault = qdqopt(path, text)
    if fault:
        return "write: " + fault
    if sparse == "sparse tensors":
        counts["skipped"] += 1
        return None
    if not sparse:
        with open(text) as file:
            parsed = onnx.parser.parse_model(file.read())
        fault = difference(wanted, plain_model(parsed, ""))
        if fault:
            return "onnx.parser: " + fault
    fault = qdqopt(text, back) or qdqopt(text, again)
    if fault:
        return "back: " + fault
    with open(back, "rb") as file:
        fault = difference(wanted, plain_model(onnx.ModelProto.FromString(file.read()), ""))
    if fault:
        return "back: " + fault
    with open(text, "rb") as one, open(again, "rb") as two:
        if one.read() != two.read():
            return "back: its text is another"
    if printer_fault(model):
        counts["not printed"] += 1
        return None
    with open(text, "w") as file:
        file.write(onnx.printer.to_text(model))
    fault = qdqopt(text, back)
    if fault:
        return "read: " + fault
    with open(back, "rb") as file:
        fault = difference(wanted, plain_model(onnx.ModelProto.FromString(file.read()), ""))
    return "read: " + fault if fault else None


# ---- models made of everything ----


def tensor_of(type, dims, rng):
    count = int(np.prod(dims, dtype=np.int64))
    if type == TensorProto.STRING:
        return helper.make_tensor("", type, dims, ["\"\\\n\u00fc" + "x" * i for i in range(count)])
    t = TensorProto(data_type=type, dims=dims)
    bits = PACKED.get(type) or {14: 64, 15: 128, 1: 32, 11: 64, 7: 64}.get(type) or 8 * WIDTH.get(type, 1)
    data = rng.bytes((count * bits + 7) // 8)
    if type == TensorProto.BOOL:
        data = bytes(b & 1 for b in data)
    t.raw_data = data
    if bits < 8 and count * bits % 8:
        t.raw_data = data[:-1] + bytes([data[-1] & (1 << count * bits % 8) - 1])
    return t


def model_of_types():
    rng = np.random.default_rng(1)
    tensors, nodes = [], []
    for type in range(1, 27):
        for k, dims in enumerate([(), (1,), (0,), (2, 3), (5,), (7, 1, 3), (3, 0, 2)]):
            t = tensor_of(type, dims, rng)
            t.name = f"t{type}/{k}"
            tensors.append(t)
            nodes.append(helper.make_node("Identity", [t.name], [f"y{type}.{k}"], name=f"node {type} \"{k}\""))
    special = np.array([0, -0.0, np.inf, -np.inf, np.nan, 1e-45, 3.4028235e38, 0.1, 1 / 3, 1e10, 123456789, 1e-10],
                       np.float32)
    tensors.append(numpy_helper.from_array(special, "special"))
    tensors.append(numpy_helper.from_array(np.array([5e-324, -1.7976931348623157e308, 0.1, 2 / 3]), "doubles"))
    nodes.append(helper.make_node("Identity", ["special"], ["a b"]))
    graph = helper.make_graph(nodes, "types of/tensors", [], [helper.make_tensor_value_info("a b", 1, [12])], tensors)
    return helper.make_model(graph, ir_version=11, opset_imports=[helper.make_opsetid("", 24)], producer_name="q\"\\")


def model_of_attributes():
    rng = np.random.default_rng(2)
    attributes = dict(f=1.0, g=-0.0, h=1e-7, i=5, j=-(2**63), s="a\\\"b\nc", fs=[1.0, 2.5, float("inf")], is_=[1, -2],
                      ss=["x", "\u00fc", ""], t=tensor_of(1, (2,), rng), tp=helper.make_tensor_type_proto(1, ["N", 2]))
    node = helper.make_node("All", ["x", "", "y"], ["z", "", "w"], name="all", domain="my.domain", **attributes)
    node.attribute.extend([AttributeProto(name="e", type=AttributeProto.INTS),
                           AttributeProto(name="es", type=AttributeProto.FLOATS),
                           AttributeProto(name="nan", type=AttributeProto.FLOAT, f=float("nan"))])
    many = helper.make_node("Many", ["float"], ["onnx::Conv_1", "seq"], domain="d", overload="o2")
    inputs = [helper.make_tensor_value_info("x", 1, ["N", None, 3, "a*b"]), helper.make_tensor_value_info("y", 7, []),
              helper.make_tensor_value_info("float", 9, None), helper.make_empty_tensor_value_info("untyped"),
              helper.make_empty_tensor_value_info("int8"),
              helper.make_sparse_tensor_value_info("sp", 1, [2, "M"]),
              helper.make_tensor_sequence_value_info("sq", 1, ["N"])]
    m = onnx.ValueInfoProto(name="mp")
    m.type.map_type.key_type = 7
    m.type.map_type.value_type.CopyFrom(helper.make_optional_type_proto(
        helper.make_sequence_type_proto(helper.make_tensor_type_proto(8, None))))
    o = onnx.ValueInfoProto(name="op")
    o.type.opaque_type.domain = "a.b"
    o.type.opaque_type.name = "c"
    body = helper.make_graph([helper.make_node("Identity", ["x"], ["inner"])], "then_body", [],
                             [helper.make_tensor_value_info("inner", 1, None)])
    other = helper.make_graph([helper.make_node("Add", ["x", "k"], ["sum"], name="add")], "else/body", [],
                              [helper.make_tensor_value_info("sum", 1, None)],
                              [numpy_helper.from_array(np.ones(1, np.float32), "k")])
    branch = helper.make_node("If", ["float"], ["if"], then_branch=body, else_branch=other)
    graph = helper.make_graph([node, many, branch], "g", inputs + [m, o], [helper.make_tensor_value_info("z", 1, None)],
                              value_info=[helper.make_tensor_value_info("w", 10, [4, "N"]),
                                          helper.make_tensor_sequence_value_info("seq", 1, None)])
    call = helper.make_function("d", "Many", ["a"], ["b", "c"],
                                [helper.make_node("Cast", ["a"], ["b"]), helper.make_node("Neg", ["a"], ["c"])],
                                [helper.make_opsetid("", 18)], ["to", "x"],
                                [helper.make_attribute("alpha", 2.0), helper.make_attribute("k", [1, 2])],
                                overload="o2", value_info=[helper.make_tensor_value_info("b", 1, ["N"])])
    ref = AttributeProto(name="to", ref_attr_name="to", type=AttributeProto.INT)
    call.node[0].attribute.append(ref)
    model = helper.make_model(graph, ir_version=10, functions=[call], producer_name="p", producer_version="1", domain="d",
                              opset_imports=[helper.make_opsetid("", 18), helper.make_opsetid("my.domain", 1),
                                             helper.make_opsetid("d", 2)], model_version=7, doc_string="says\nwhat")
    helper.set_model_props(model, {"key": "value", "k\"2": ""})
    return model


def model_of_old_inputs():
    weight = numpy_helper.from_array(np.arange(6, dtype=np.float32).reshape(2, 3), "w")
    graph = helper.make_graph([helper.make_node("MatMul", ["x", "w"], ["y"])], "old",
                              [helper.make_tensor_value_info("x", 1, ["N", 2]),
                               helper.make_tensor_value_info("w", 1, [2, 3])],
                              [helper.make_tensor_value_info("y", 1, ["N", 3])], [weight])
    return helper.make_model(graph, ir_version=3, opset_imports=[helper.make_opsetid("", 8)])


def model_of_defaults():
    weight = numpy_helper.from_array(np.arange(6, dtype=np.float32).reshape(2, 3), "w")
    loose = numpy_helper.from_array(np.arange(3, dtype=np.int64), "loose")
    graph = helper.make_graph([helper.make_node("MatMul", ["x", "w"], ["y"])], "new",
                              [helper.make_tensor_value_info("w", 1, [2, 3]), helper.make_tensor_value_info("x", 1, ["N", 2]),
                               helper.make_tensor_value_info("loose", 7, ["K"])],
                              [helper.make_tensor_value_info("y", 1, ["N", 3])], [weight, loose])
    return helper.make_model(graph, ir_version=8, opset_imports=[helper.make_opsetid("", 13)])


def main():
    paths = sorted(glob.glob(os.path.join(MODELS, "**", "*.onnx"), recursive=True))
    if not paths:
        print(f"no models in {MODELS!r}")
    with tempfile.TemporaryDirectory() as folder:
        made = []
        for make in (model_of_types, model_of_attributes, model_of_old_inputs, model_of_defaults):
            made.append(os.path.join(folder, make.__name__ + ".onnx"))
            onnx.save(make(), made[-1])
        passed = failed = 0
        counts = {"skipped": 0, "not printed": 0}
        for path in made + paths + testdata():
            try:
                fault = check(path, folder, counts)
            except (onnx.parser.ParseError, ValueError, IndexError) as e:
                fault = f"{type(e).__name__}: {str(e)[:300]}"
            if fault is None:
                passed += 1
            else:
                failed += 1
                print(f"{path}: {fault}")
    print(f"{counts['skipped']} with sparse tensors only written, {counts['not printed']} that onnx.printer cannot print")
    print(f"{passed} passed, {failed} failed")
    return failed != 0 or passed == 0


sys.exit(main())

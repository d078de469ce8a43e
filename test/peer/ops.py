# SPDX-License-Identifier: Apache-2.0
#
# ops.py -- the operator table agrees with onnx.defs, and with what ONNX Runtime runs on codes
#
# lib/ir/ops.def is read as text. For every ai.onnx operator in it and every version of the operator: versions, names
# and kinds of inputs and outputs, element types, attributes with type, default and whether they are required. For
# every MOVE and MONO operator and every opset from 7 to 25: where the columns s8 and u8 say that it takes codes,
# ONNX Runtime (optimizations off) runs it on them and gives what the float operator gives; where they say it does not
# (yet), ONNX Runtime refuses, so the table holds nothing back. docs/ops.md must be what the table says.
import os
import re
import sys

import numpy as np
import onnx
import onnxruntime as ort
from onnx import TensorProto, defs, helper

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../tools"))
import ops_doc

HERE = os.path.dirname(os.path.abspath(__file__))
TABLE = os.path.join(HERE, "../../lib/ir/ops.def")
OPSETS = range(7, 26)
LEAST_OPERATORS = 120
Option = defs.OpSchema.FormalParameterOption

# ---- the table ----

FIELDS = "id name domain versions cls family axis s8 u8 infer eval inputs outputs attrs".split()


def read_table():
    with open(TABLE, encoding="utf-8") as file:
        text = file.read()
    rows = [dict(zip(FIELDS, m.groups())) for m in ops_doc.ROW.finditer(text)]
    if len(rows) != len(re.findall(r"^OP\(", text, re.M)):
        sys.exit("ops.def has rows that this test cannot read")
    return rows


def applies(span, version):
    """Does "@a-b" hold for this version?"""
    if not span:
        return True
    low, high = span[1:].split("-")
    return (not low or version >= int(low)) and (not high or version <= int(high))


def operands(notation, version):
    """[(name, types, kind)] in this version."""
    out = []
    for word in notation.split():
        name, types, kind, span = re.fullmatch(r"([^:?*+@]+)(?::(\w+))?([?*+]?)(@[\d-]+)?", word).groups()
        if applies(span, version):
            out.append((name, types, kind))
    return out


def attributes(notation, version):
    """name -> (type, default or None, required) in this version."""
    out = {}
    for word in notation.split():
        name, kind, bang, default, span = re.fullmatch(r"(\w+):([a-z]+)(!?)(?:=([^@]*))?(@[\d-]+)?", word).groups()
        if applies(span, version):
            out[name] = (kind, default, bool(bang))
    return out


# ---- part 1: onnx.defs ----

FLOATS = {"float", "float16", "bfloat16", "double"}
INTEGERS = {"int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"}
SMALL = {"float8e4m3fn", "float8e4m3fnuz", "float8e5m2", "float8e5m2fnuz", "float8e8m0", "float4e2m1", "float6e2m3",
         "float6e3m2"}
SETS = {
    "f": FLOATS, "e": FLOATS | SMALL, "s": {"float"}, "i": INTEGERS, "n": FLOATS | INTEGERS,
    "w": FLOATS | {"int32", "int64", "uint32", "uint64"}, "j": {"int32", "int64"}, "l": {"int64"}, "m": {"int32"},
    "u": {"uint8"}, "b": {"bool"}, "q": {"int8", "uint8"},
    "c": SMALL | {"int2", "uint2", "int4", "uint4", "int8", "uint8", "int16", "uint16", "int32"},
}
ATTR_TYPES = {1: "f", 2: "i", 3: "s", 4: "t", 5: "g", 6: "fs", 7: "is", 8: "ss", 9: "ts", 10: "gs", 11: "sp", 13: "tp"}


def allowed(schema, parameter):
    """Names of the tensor types that a parameter may have."""
    types = next((c.allowed_type_strs for c in schema.type_constraints if c.type_param_str == parameter.type_str),
                 [parameter.type_str])
    return {m.group(1) for t in types for m in [re.fullmatch(r"tensor\((\w+)\)", t)] if m}


def kind_of(schema, parameter, index, least):
    if parameter.option == Option.Optional:
        return "?"
    if parameter.option == Option.Variadic:
        return "+" if least > index else "*"
    return ""


def newest_name(schemas, field, index):
    names = [getattr(s, field)[index].name for s in schemas if index < len(getattr(s, field))]
    return set(names)


def in_use(schemas, schema):
    """Is this version one of opset 7 and later? Element types are held to those alone."""
    return all(not schema.since_version < s.since_version <= OPSETS[0] for s in schemas)


def check_operands(schemas, schema, row, field, fault):
    mine = operands(row[field], schema.since_version)
    theirs = getattr(schema, field)
    least = schema.min_input if field == "inputs" else schema.min_output
    if len(mine) != len(theirs):
        fault("%s are %s, ONNX has %s" % (field, [m[0] for m in mine], [t.name for t in theirs]))
        return {}
    groups = {}
    for index, ((name, types, kind), parameter) in enumerate(zip(mine, theirs)):
        if name not in newest_name(schemas, field, index):
            fault("%s %d is called '%s', ONNX calls it '%s'" % (field, index, name, parameter.name))
        if kind != kind_of(schema, parameter, index, least):
            fault("'%s' is '%s', ONNX says '%s'" % (name, kind, kind_of(schema, parameter, index, least)))
        if not in_use(schemas, schema):
            continue
        mixed = parameter.option == Option.Variadic and not parameter.is_homogeneous
        if types is None:
            if not mixed:
                fault("'%s' has no types" % name)
            continue
        if types[0] != "a" and not allowed(schema, parameter) <= SETS[types[0]]:
            fault("'%s' does not allow %s" % (name, sorted(allowed(schema, parameter) - SETS[types[0]])))
        if len(SETS.get(types[0], ())) != 1:
            groups.setdefault(types, []).append((name, parameter.type_str))
    return groups


def check_tightness(schemas, row, fault):
    """The smallest set that holds all versions, and the same types where every version wants the same."""
    used = [s for s in schemas if in_use(schemas, s)]
    tokens = {}
    for field in ("inputs", "outputs"):
        for index in range(max((len(getattr(s, field)) for s in used), default=0)):
            union, strings, token = set(), [], None
            for schema in used:
                theirs, mine = getattr(schema, field), operands(row[field], schema.since_version)
                strings.append(theirs[index].type_str if index < len(theirs) else None)
                if index < len(theirs) and index < len(mine):
                    token = mine[index][1] or token
                    union |= allowed(schema, theirs[index])
            mixed = any(index < len(getattr(s, field)) and not getattr(s, field)[index].is_homogeneous for s in used)
            if token is None or mixed:
                continue
            least = min((len(v) for v in SETS.values() if union <= v), default=None)
            if (least is None) != (token[0] == "a") or (least is not None and len(SETS[token[0]]) != least):
                fault("%s %d has the types '%s', but may be %s" % (field, index, token, sorted(union)))
            if len(SETS.get(token[0], ())) != 1:
                tokens.setdefault(tuple(strings), set()).add(token)
    for strings, found in tokens.items():
        if len(found) > 1:
            fault("%s are the same types in ONNX: %s" % (sorted(found), strings[-1]))


def check_attributes(schema, row, fault):
    mine = attributes(row["attrs"], schema.since_version)
    if set(mine) != set(schema.attributes):
        fault("attributes %s, ONNX has %s" % (sorted(mine), sorted(schema.attributes)))
        return
    for name, theirs in schema.attributes.items():
        kind, default, required = mine[name]
        if kind != ATTR_TYPES[int(theirs.type.value)]:
            fault("attribute '%s' has type %s, ONNX says %s" % (name, kind, theirs.type))
        if required != theirs.required:
            fault("attribute '%s': required or not is another thing in ONNX" % name)
        value = None if theirs.default_value.type == 0 else helper.get_attribute_value(theirs.default_value)
        if not same_default(default, value):
            fault("attribute '%s' has default %s, ONNX says %s" % (name, default, value))


def same_default(mine, theirs):
    if mine is None or theirs is None:
        return mine is None and theirs is None
    if isinstance(theirs, bytes):
        return mine == theirs.decode()
    if isinstance(theirs, float):
        return np.float32(mine) == np.float32(theirs)
    if isinstance(theirs, list):
        items = [t.decode() if isinstance(t, bytes) else str(t) for t in theirs]
        return mine == "[" + ",".join(items) + "]"
    return mine == str(theirs)


def check_schemas(rows):
    """Counts (passed, failed): one for each version of each operator, and one for each row's list of versions."""
    history = {}
    for schema in defs.get_all_schemas_with_history():
        if schema.domain == "":
            history.setdefault(schema.name, []).append(schema)
    passed = failed = 0
    for row in rows:
        if row["domain"]:
            continue
        faults = []
        schemas = sorted(history.get(row["name"], []), key=lambda s: s.since_version)
        if [s.since_version for s in schemas] != [int(v) for v in row["versions"].split()]:
            faults.append("%s: versions %s, ONNX has %s" %
                          (row["name"], row["versions"], [s.since_version for s in schemas]))
        tight = []
        check_tightness(schemas, row, tight.append)
        faults += ["%s: %s" % (row["name"], f) for f in tight]
        for schema in schemas:
            found = []
            groups = {}
            for field in ("inputs", "outputs"):
                for key, members in check_operands(schemas, schema, row, field, found.append).items():
                    groups.setdefault(key, []).extend(members)
            check_attributes(schema, row, found.append)
            for key, members in groups.items():
                if len({t for _, t in members}) > 1:
                    found.append("operands %s share the types '%s', but not in ONNX" % (members, key))
            faults += ["%s-%d: %s" % (row["name"], schema.since_version, f) for f in found]
            passed += not found
            failed += bool(found)
        for fault in faults:
            print(fault)
        passed += not faults
        failed += bool(faults)
    return passed, failed


def check_microsoft(rows):
    """The rows of com.microsoft against ONNX Runtime's own list of schemas; counts (passed, failed)."""
    try:
        from onnxruntime.capi.onnxruntime_pybind11_state import get_all_operator_schema
    except ImportError:
        print("skipped: this ONNX Runtime does not list its schemas")
        return 0, 0
    schemas = {s.name: s for s in get_all_operator_schema() if s.domain == "com.microsoft"}
    passed = failed = 0
    for row in rows:
        if row["domain"] != "com.microsoft":
            continue
        faults = []
        schema = schemas.get(row["name"])
        if schema is None:
            faults.append("ONNX Runtime has no such operator")
        else:
            for field in ("inputs", "outputs"):
                check_microsoft_operands(schema, row, field, faults.append)
            mine = attributes(row["attrs"], 1)
            if set(mine) != set(schema.attributes):
                faults.append("attributes %s, ONNX Runtime has %s" % (sorted(mine), sorted(schema.attributes)))
            for name in set(mine) & set(schema.attributes):
                theirs = schema.attributes[name]
                if mine[name][0] != MICROSOFT_TYPES[theirs.type.name] or mine[name][2] != theirs.required:
                    faults.append("attribute '%s' is %s, ONNX Runtime says %s, required: %s" %
                                  (name, mine[name], theirs.type.name, theirs.required))
        for fault in faults:
            print("com.microsoft.%s: %s" % (row["name"], fault))
        passed += not faults
        failed += bool(faults)
    return passed, failed


MICROSOFT_TYPES = {"FLOAT": "f", "INT": "i", "STRING": "s", "TENSOR": "t", "GRAPH": "g", "FLOATS": "fs", "INTS": "is",
                   "STRINGS": "ss", "TENSORS": "ts", "GRAPHS": "gs"}


def check_microsoft_operands(schema, row, field, fault):
    mine, theirs = operands(row[field], 1), getattr(schema, field)
    least = schema.min_input if field == "inputs" else schema.min_output
    kinds = {"Single": "", "Optional": "?", "Variadic": "+"}
    if len(mine) != len(theirs):
        fault("%s are %s, ONNX Runtime has %s" % (field, [m[0] for m in mine], [t.name for t in theirs]))
        return
    groups = {}
    for index, ((name, types, kind), parameter) in enumerate(zip(mine, theirs)):
        wanted = kinds[parameter.option.name]
        wanted = "*" if wanted == "+" and least <= index else wanted
        if name != parameter.name or kind != wanted:
            fault("%s %d is '%s%s', ONNX Runtime says '%s%s'" % (field, index, name, kind, parameter.name, wanted))
        if types is None:
            continue
        if types[0] != "a" and not allowed_microsoft(schema, parameter) <= SETS[types[0]]:
            fault("'%s' does not allow %s" % (name, sorted(allowed_microsoft(schema, parameter) - SETS[types[0]])))
        if len(SETS.get(types[0], ())) != 1:
            groups.setdefault(types, set()).add(parameter.typeStr)
    for types, strings in groups.items():
        if len(strings) > 1:
            fault("%s share the types '%s', but not in ONNX Runtime: %s" % (field, types, sorted(strings)))


def allowed_microsoft(schema, parameter):
    types = next((c.allowed_type_strs for c in schema.type_constraints if c.type_param_str == parameter.typeStr),
                 [parameter.typeStr])
    return {m.group(1) for t in types for m in [re.fullmatch(r"tensor\((\w+)\)", t)] if m}


# ---- part 2: ONNX Runtime on codes ----

def const(values, kind=np.int64):
    return np.array(values, kind)


def data(*shape):
    return ("data",) + shape


def by_opset(opset, since, inputs, attrs):
    """Parameters that became inputs in opset `since`: [(attribute name, value)] in order."""
    if opset >= since:
        return [const(v) for _, v in inputs], dict(attrs)
    return [], {**attrs, **dict(inputs)}


def forms(op, v):
    """One-node models of the operator in opset v: lists of (inputs, attributes, number of outputs)."""
    x = data(2, 4, 6, 6)
    simple = {
        "Identity": [([x], {}, 1)],
        "Flatten": [([x], {"axis": 2}, 1)],
        "Transpose": [([x], {"perm": [0, 2, 3, 1]}, 1), ([data(3, 5)], {}, 1)],
        "Reshape": [([x, const([0, -1, 6])], {}, 1)],
        "Concat": [([x, x, x], {"axis": 1}, 1)],
        "Gather": [([x, const([3, 0])], {"axis": 1}, 1), ([x, const(1)], {"axis": 2}, 1)],
        "GatherElements": [([data(3, 3), const([[1, 2, 0], [2, 0, 0]])], {"axis": 0}, 1)],
        "GatherND": [([data(2, 2), const([[0, 0], [1, 1]])], {}, 1)],
        "Tile": [([x, const([1, 2, 1, 3])], {}, 1)],
        "Expand": [([data(3, 1), const([2, 1, 6])], {}, 1)],
        "DepthToSpace": [([x], {"blocksize": 2}, 1)] + ([([x], {"blocksize": 2, "mode": "CRD"}, 1)] if v >= 11 else []),
        "SpaceToDepth": [([x], {"blocksize": 2}, 1)],
        "ReverseSequence": [([data(4, 3, 2), const([1, 2, 4])], {"time_axis": 0, "batch_axis": 1}, 1)],
        "Compress": [([x, np.array([False, True, True])], {"axis": 1}, 1), ([x, np.array([True, False])], {}, 1)],
        "Where": [([np.array([[True, False, True]]), data(2, 3), data(2, 3)], {}, 1)],
        "CenterCropPad": [([x, const([4, 8])], {"axes": [2, 3]}, 1)],
        "Relu": [([x], {}, 1)],
        "Max": [([x, x], {}, 1), ([x, data(6), x], {}, 1)],
        "Min": [([x, x], {}, 1), ([x, data(6), x], {}, 1)],
        "GlobalMaxPool": [([x], {}, 1)],
        "ArgMax": [([x], {"axis": 1}, 1), ([x], {"axis": 3, "keepdims": 0}, 1)],
        "ArgMin": [([x], {"axis": 1}, 1), ([x], {"axis": 3, "keepdims": 0}, 1)],
        "MaxPool": [([x], {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [1, 1, 1, 1]}, 1),
                    ([data(2, 4, 9)], {"kernel_shape": [2]}, 1), ([data(1, 2, 4, 4, 4)], {"kernel_shape": [2, 2, 2]}, 1)]
                   + ([([x], {"kernel_shape": [2, 2], "ceil_mode": 1, "dilations": [2, 2]}, 1)] if v >= 10 else [])
                   + [([x], {"kernel_shape": [2, 2]}, 2)],
    }
    if op in simple:
        return simple[op]
    if op == "Dropout":
        return [([x], {}, 1)]
    if op in ("Squeeze", "Unsqueeze"):
        inputs, attrs = by_opset(v, 13, [("axes", [1])], {})
        return [([data(2, 1, 3)] + inputs, attrs, 1)]
    if op == "Split":
        inputs, attrs = by_opset(v, 13, [("split", [1, 3])], {"axis": 1})
        return [([x] + inputs, attrs, 2)]
    if op == "Slice":
        inputs, attrs = by_opset(v, 10, [("starts", [1, 0]), ("ends", [3, -1]), ("axes", [1, 2])], {})
        stepped = [([x, const([5]), const([0]), const([3]), const([-2])], {}, 1)] if v >= 10 else []
        return [([x] + inputs, attrs, 1)] + stepped
    if op in ("ReduceMax", "ReduceMin"):
        inputs, attrs = by_opset(v, 18, [("axes", [2, 3])], {"keepdims": 1})
        return [([x] + inputs, attrs, 1), ([x], {"keepdims": 0}, 1)]
    if op == "Pad":
        out = []
        for mode in ["constant", "reflect", "edge"] + (["wrap"] if v >= 19 else []):
            inputs, attrs = by_opset(v, 11, [("pads", [0, 0, 1, 2, 0, 0, 2, 1])], {"mode": mode})
            out.append(([x] + inputs, attrs, 1))
        return out + ([([x, const([0, 0, 1, 2, 0, 0, 2, 1]), ("value", 7)], {}, 1)] if v >= 11 else [])
    if op == "Clip":
        if v < 11:
            return [([x], {"min": -20.0, "max": 30.0}, 1)]
        return [([x, ("value", 5), ("value", 30)], {}, 1), ([x, ("value", 5)], {}, 1), ([x], {}, 1)]
    if op == "TopK":
        return [([x, const([2])], {"axis": 1}, 2)] if v >= 10 else [([x], {"axis": 1, "k": 2}, 2)]
    if op == "Upsample":
        if v < 9:
            return [([x], {"scales": [1.0, 1.0, 2.0, 2.0], "mode": "nearest"}, 1)]
        return [([x, const([1, 1, 2, 2], np.float32)], {"mode": "nearest"}, 1)] if v < 10 else []
    if op == "Resize":
        scales = const([1, 1, 2, 2], np.float32)
        if v < 11:
            return [([x, scales], {"mode": "nearest"}, 1)]
        return [([x, const([], np.float32), scales], {"mode": "nearest", "coordinate_transformation_mode": c,
                                                      "nearest_mode": m}, 1)
                for c, m in (("asymmetric", "floor"), ("half_pixel", "round_prefer_floor"))]
    return None


ELEMENT = {np.dtype(np.int8): TensorProto.INT8, np.dtype(np.uint8): TensorProto.UINT8,
           np.dtype(np.float32): TensorProto.FLOAT, np.dtype(np.int64): TensorProto.INT64,
           np.dtype(bool): TensorProto.BOOL}


def build(op, opset, form, kind):
    """The model with data of this numpy type, all other inputs as initializers, and the names of its data inputs."""
    inputs, attrs, n_outputs = form
    names, graph_inputs, constants = [], [], []
    for index, value in enumerate(inputs):
        name = "i%d" % index
        names.append(name)
        if isinstance(value, tuple) and value[0] == "data":
            graph_inputs.append(helper.make_tensor_value_info(name, ELEMENT[np.dtype(kind)], value[1:]))
            continue
        array = np.array(value[1], kind) if isinstance(value, tuple) else value
        constants.append(onnx.numpy_helper.from_array(array, name))
    outputs = ["o%d" % i for i in range(n_outputs)]
    node = helper.make_node(op, names, outputs, **attrs)
    graph = helper.make_graph([node], "g", graph_inputs,
                              [helper.make_value_info(o, onnx.TypeProto()) for o in outputs], constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)])
    model.ir_version = 10
    return onnx.shape_inference.infer_shapes(model)


def execute(model, feeds):
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 4
    session = ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return session.run(None, feeds)


def runs_on(op, opset, form, kind):
    """None if ONNX Runtime runs it on codes and gives what it gives on floats; else what is wrong."""
    rng = np.random.default_rng(opset)
    low, high = (-128, 128) if kind == np.int8 else (0, 256)
    feeds = {}
    for index, value in enumerate(form[0]):
        if isinstance(value, tuple) and value[0] == "data":
            feeds["i%d" % index] = rng.integers(low, high, value[1:]).astype(kind)
    try:
        got = execute(build(op, opset, form, kind), feeds)
    except Exception as error:
        return "refused: " + str(error).split("\n")[0][:120]
    wanted = execute(build(op, opset, form, np.float32), {n: a.astype(np.float32) for n, a in feeds.items()})
    for a, b in zip(got, wanted):
        if a.shape != b.shape or not np.array_equal(a.astype(np.float64), b.astype(np.float64)):
            return "gives something else than on floats"
    return None


def check_codes(rows):
    passed = failed = 0
    for row in rows:
        if row["domain"] or row["cls"] not in ("MOVE", "MONO"):
            continue
        first = int(row["versions"].split()[0])
        for column, kind in (("s8", np.int8), ("u8", np.uint8)):
            since = int(row[column])
            for opset in OPSETS:
                if opset < first or (row["name"] == "Upsample" and opset > 9):
                    continue
                answers = [runs_on(row["name"], opset, f, kind) for f in forms(row["name"], opset)]
                legal = since != 0 and opset >= since
                wrong = any(answers) if legal else not any(answers)
                passed += not wrong
                failed += wrong
                if wrong:
                    print("%s-%d %s: the table says %s, ONNX Runtime: %s" %
                          (row["name"], opset, column, "legal" if legal else "not", answers))
    return passed, failed


def main():
    rows = read_table()
    count = sum(1 for r in rows if not r["domain"])
    passed, failed = check_schemas(rows)
    if count < LEAST_OPERATORS:
        print("only %d operators of ai.onnx" % count)
        failed += 1
    print("%d operators of ai.onnx, %d others" % (count, len(rows) - count))
    with open(os.path.join(HERE, "../../docs/ops.md"), encoding="utf-8") as file:
        stale = file.read() != ops_doc.render(ops_doc.read(TABLE))
    passed += not stale
    failed += stale
    if stale:
        print("docs/ops.md is not what ops.def says: `make docs/ops.md`")
    for more in (check_microsoft(rows), check_codes(rows)):
        passed, failed = passed + more[0], failed + more[1]
    print("%d passed, %d failed" % (passed, failed))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())

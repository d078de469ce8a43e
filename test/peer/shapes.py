# SPDX-License-Identifier: Apache-2.0
#
# shapes.py -- types and shapes agree with onnx.shape_inference, or say more
#
# For every model of MODELS, of Debian's libonnx-testdata and of ONNX's own node tests: once as it is and once without
# value_info and without the shapes of its outputs, so that nothing can be copied from what the file declares. Each
# value's type must be ONNX's, each dimension that ONNX knows must be the same number, and where ONNX has a name of the
# file for it ("N") a number or an expression must stand. Values of nested graphs count. What comes, directly or not,
# from an operator that ops.def does not hold (or from a sequence) may be unknown, but not wrong.
import glob
import os
import re
import subprocess
import sys
import tempfile
import warnings

import onnx
from onnx import shape_inference

DUMPVALUES = os.environ.get("DUMPVALUES", "build/test/tools/dumpvalues")
MODELS = os.environ.get("MODELS", "../shared/models")
TYPES = {v: k.lower() for k, v in onnx.TensorProto.DataType.items()}


def testdata():
    listed = subprocess.run(["dpkg", "-L", "libonnx-testdata"], capture_output=True, text=True)
    return sorted(p for p in listed.stdout.split("\n") if p.endswith(".onnx"))


def node_tests():
    """ONNX's own node tests of the newest release, as (name, model)."""
    try:
        from onnx.backend.test.case.node import collect_testcases
        warnings.simplefilter("ignore")
        cases = collect_testcases(None)
    except Exception as error:
        print("skipped: ONNX's node tests cannot be collected:", error)
        return []
    return [(case.name, case.model) for case in cases if case.model is not None]


def graphs(graph):
    yield graph
    for node in graph.node:
        for attribute in node.attribute:
            for nested in [attribute.g] if attribute.HasField("g") else attribute.graphs:
                yield from graphs(nested)


def strip(model):
    """Nothing declared but the inputs; an output keeps its type alone."""
    for graph in graphs(model.graph):
        del graph.value_info[:]
        for output in graph.output:
            if output.type.HasField("tensor_type"):
                output.type.tensor_type.ClearField("shape")


def table():
    """The operators of ops.def, as (domain, name)."""
    path = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../lib/ir/ops.def")
    with open(path) as file:
        return {(d, n) for n, d in re.findall(r'^OP\(\w+, "(\w+)", "([\w.]*)"', file.read(), re.M)}


TABLE = table()


def beyond(model):
    """Names of values that depend on an operator outside of the table."""
    out = set()
    for graph in graphs(model.graph):
        for info in list(graph.input) + list(graph.value_info) + list(graph.output):
            if info.type.WhichOneof("value") not in (None, "tensor_type"):
                out.add(info.name)
        for node in graph.node:
            domain = "" if node.domain == "ai.onnx" else node.domain
            nested = [g for a in node.attribute for g in ([a.g] if a.HasField("g") else a.graphs)]
            names = {n.op_type for g in nested for h in graphs(g) for n in h.node}
            read = set(node.input) | {i for g in nested for h in graphs(g) for n in h.node for i in n.input}
            if (domain, node.op_type) not in TABLE or read & out or any(("", n) not in TABLE for n in names):
                out.update(node.output)
                out.update(i.name for g in nested for i in g.input)
    return out


def known(model):
    """name -> [(type, dims or None)] of what ONNX knows."""
    out = {}
    for graph in graphs(model.graph):
        defined = {o for n in graph.node for o in n.output} | {i.name for i in graph.input}
        for info in list(graph.input) + list(graph.value_info) + list(graph.output):
            if not info.type.HasField("tensor_type") or info.name not in defined:
                continue
            tensor = info.type.tensor_type
            dims = None
            if tensor.HasField("shape"):
                dims = [d.dim_value if d.HasField("dim_value") else d.dim_param for d in tensor.shape.dim]
            out.setdefault(info.name, []).append((TYPES.get(tensor.elem_type), dims))
    return out


def ours(path):
    run = subprocess.run([DUMPVALUES, path], capture_output=True, text=True)
    if run.returncode != 0:
        raise RuntimeError(run.stderr.strip() or "exit %d" % run.returncode)
    out = {}
    for line in run.stdout.split("\n"):
        fields = line.split("\t")
        if len(fields) != 3:
            continue
        name, kind, shape = fields
        out.setdefault(name, []).append((kind, None if shape == "?" else [d for d in shape[1:-1].split(",") if d]))
    return out


def difference(theirs, mine, names, lenient):
    """What is wrong with one value; None if nothing. `names` are the file's own dimension names."""
    kind, dims = theirs
    my_kind, my_dims = mine
    if lenient and my_kind == "?":
        return None
    if kind not in (None, "undefined") and my_kind != kind:
        return "type %s, ONNX says %s" % (my_kind, kind)
    if dims is None or (lenient and my_dims is None):
        return None
    if my_dims is None or len(my_dims) != len(dims):
        return "shape %s, ONNX says %s" % (my_dims, dims)
    for mine_at, theirs_at in zip(my_dims, dims):
        if lenient and mine_at == "?":
            continue
        if isinstance(theirs_at, int) and theirs_at >= 0 and mine_at != str(theirs_at):
            return "shape %s, ONNX says %s" % (my_dims, dims)
        if theirs_at in names and mine_at == "?":
            return "shape %s, ONNX says %s" % (my_dims, dims)
    return None


def input_names(model):
    return {d.dim_param for i in model.graph.input for d in i.type.tensor_type.shape.dim if d.dim_param}


def faults(label, model, path):
    """Lines that say what is wrong; None where ONNX itself refuses the model."""
    names = input_names(model)
    try:
        inferred = shape_inference.infer_shapes(model, strict_mode=True, data_prop=True)
    except Exception:
        try:
            inferred = shape_inference.infer_shapes(model, data_prop=True)
        except Exception:
            return None
    try:
        mine = ours(path)
    except RuntimeError as error:
        return ["%s: %s" % (label, error)]
    found = []
    uncertain = beyond(model)
    for name, entries in known(inferred).items():
        for entry in entries:
            answers = [difference(entry, m, names, name in uncertain) for m in mine.get(name, [])]
            if answers and None in answers:
                continue
            found.append("%s: '%s': %s" % (label, name, answers[0] if answers else "is missing"))
    return found


def main():
    models = [(os.path.relpath(p, MODELS), p) for p in sorted(glob.glob(MODELS + "/**/*.onnx", recursive=True))]
    if not models:
        print("skipped: no models in '%s'" % MODELS)
    data = testdata()
    if not data:
        print("skipped: libonnx-testdata is not installed")
    models += [("/".join(p.split("/")[-3:-1]), p) for p in data]
    passed = failed = refused = 0
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "model.onnx")
        for label, source in models + node_tests():
            model = onnx.load(source) if isinstance(source, str) else source
            for form in ("", " (stripped)"):
                if form:
                    strip(model)
                with open(path, "wb") as file:
                    file.write(model.SerializeToString())
                found = faults(label + form, model, path)
                if found is None:
                    refused += 1
                elif found:
                    failed += 1
                    print("\n".join(found[:4]))
                else:
                    passed += 1
    print("%d models that ONNX cannot infer" % refused)
    print("%d passed, %d failed" % (passed, failed))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())

# SPDX-License-Identifier: Apache-2.0
#
# shrink_graph.py -- a failing network made small: outputs go, and what feeds a tensor is cut off where an input does as well
import numpy as np
import onnx
import onnx.helper as oh


def inner_reads(node):
    names = set()
    for a in node.attribute:
        for n in a.g.node:
            names.update(n.input)
            names.update(inner_reads(n))
        names.update(o.name for o in a.g.output)
    return names


def reads(node):
    return set(node.input) | inner_reads(node)


def prune(model):
    """Without nodes, constants, inputs and functions that nothing needs."""
    graph = model.graph
    wanted = {o.name for o in graph.output}
    kept = []
    for node in reversed(graph.node):
        if wanted & set(node.output):
            kept.append(node)
            wanted |= reads(node)
    called = {(n.domain, n.op_type) for n in kept}
    for field, items in (("node", kept[::-1]), ("initializer", [i for i in graph.initializer if i.name in wanted]),
                         ("input", [i for i in graph.input if i.name in wanted])):
        items = [type(i).FromString(i.SerializeToString()) for i in items]
        getattr(graph, field).clear()
        getattr(graph, field).extend(items)
    functions = [onnx.FunctionProto.FromString(f.SerializeToString()) for f in model.functions if (f.domain, f.name) in called]
    model.functions.clear()
    model.functions.extend(functions)
    return model


def copy(model):
    return onnx.ModelProto.FromString(model.SerializeToString())


def with_outputs(model, outputs):
    small = copy(model)
    small.graph.output.clear()
    small.graph.output.extend(outputs)
    return prune(small)


def cut(model, name, value):
    """The tensor `name` is an input now, with what it was as its value."""
    small = copy(model)
    for node in small.graph.node:
        for i, o in enumerate(node.output):
            if o == name:
                node.output[i] = name + "_was"
    small.graph.input.append(oh.make_tensor_value_info(name, oh.np_dtype_to_tensor_dtype(value.dtype), list(value.shape)))
    return prune(small)


def dequantized(model, name, old):
    """What DQs make of Qs of this tensor, but for those whose names are in `old`."""
    codes = {n.output[0] for n in model.graph.node if n.op_type == "QuantizeLinear" and n.input[0] == name}
    return [n.output[0] for n in model.graph.node if n.op_type == "DequantizeLinear" and n.input[0] in codes and n.output[0] not in old]


def nearest(made, name, known):
    """Of the tensors `known`, those that `name` is computed from without others of them in between."""
    found, seen, work = set(), set(), list(reads(made[name]))
    while work:
        i = work.pop()
        if i in seen:
            continue
        seen.add(i)
        if i in known:
            found.add(i)
        elif i in made:
            work += reads(made[i])
    return found


def fed(model, names, values):
    """What computes the tensors `names` alone, with the tensors `values` as inputs."""
    small = copy(model)
    for node in small.graph.node:
        for i, o in enumerate(node.output):
            if o in values:
                node.output[i] = o + "_was"
    kept = [type(i).FromString(i.SerializeToString()) for i in small.graph.input if i.name not in values]
    small.graph.input.clear()
    small.graph.input.extend(kept + [oh.make_tensor_value_info(n, oh.np_dtype_to_tensor_dtype(v.dtype), list(v.shape)) for n, v in values.items()])
    small.graph.output.clear()
    small.graph.output.extend(map(oh.make_empty_tensor_value_info, names))
    return prune(small)


def shrink(model, feeds, run, fails, budget=400):
    """A smaller (model, feeds) for which `fails` still holds; `run` gives the values of named tensors."""
    values = [o.name for o in model.graph.output]
    tried = 0
    changed = True
    while changed and tried < budget:
        changed = False
        inner = [o for n in model.graph.node for o in n.output if o]
        known = {}
        for name in inner:
            probe = with_outputs(model, [oh.make_empty_tensor_value_info(name)])
            try:
                known[name] = [run(probe, f)[0] for f in feeds]
            except Exception:  # what cannot be fetched is not cut
                continue
        candidates = [with_outputs(model, [o]) for o in model.graph.output] if len(model.graph.output) > 1 else []
        candidates += [with_outputs(model, [oh.make_tensor_value_info(n, oh.np_dtype_to_tensor_dtype(v[0].dtype), list(v[0].shape))])
                       for n, v in known.items() if n not in values]
        candidates = [(c, None) for c in candidates]
        candidates += [(cut(model, n, v[0]), (n, v)) for n, v in reversed(known.items()) if n not in {o.name for o in model.graph.output}]
        for small, added in candidates:
            if len(small.graph.node) >= len(model.graph.node) and not (len(small.graph.output) < len(model.graph.output)):
                continue
            tried += 1
            needed = {i.name for i in small.graph.input}
            given = [{k: v for k, v in f.items() if k in needed} for f in feeds]
            if added is not None:
                for f, v in zip(given, added[1]):
                    f[added[0]] = np.asarray(v)
            if fails(small, given):
                model, feeds, changed = small, given, True
                break
    return model, feeds

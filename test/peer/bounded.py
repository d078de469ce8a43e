# SPDX-License-Identifier: Apache-2.0
#
# bounded.py -- each bounded rewrite alone, in ONNX Runtime: what it changes stays within the bound that the report states
#
# A rewrite's report names the tensor that it changes. What computes this tensor in the rewritten network is cut out, up
# to tensors that the original has too; it is fed with the original's values of these, and its result is compared with
# the original's tensor. So nothing is tested but the one rewrite, on inputs as they come in the network.
import os
import sys
import tempfile

import numpy as np
import onnx
from onnx import helper, numpy_helper

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../tools"))
import shrink_graph
from common import check, finish, models, optimize, reference_feeds, session

FOR_ORT_CPU = "canonicalize,fold,read_qlinear,sink_dq,to_u8,clamp_codes,bias_codes"
BEFORE = "canonicalize,fold,read_qlinear,read_fake,read_integer,fold_bn,precision"
REPAIRS = BEFORE + ",repair_pairs,repair_concat,sink_dq,repair_inputs,repair_weights"
# what the rewrites for TensorRT begin with, and the rewrites
FOR_TENSORRT = ["--target=tensorrt", "--allow=bounded"]
BEFORE_TENSORRT = "canonicalize,fold,clip_codes,read_qlinear,read_fake,read_integer,fold_bn,absorb_cast,tensorrt_lift"
TENSORRT = BEFORE_TENSORRT + ",tensorrt_activations,tensorrt_constants"


def tensors(model, feeds, names):
    """The values that these tensors have."""
    tapped = onnx.ModelProto()
    tapped.CopyFrom(model)
    constants = {i.name: numpy_helper.to_array(i) for i in model.graph.initializer}
    values = {n: feeds[n] if n in feeds else constants[n] for n in names if n in feeds or n in constants}
    wanted = sorted(set(names) - set(values))
    del tapped.graph.output[:]
    tapped.graph.output.extend(helper.make_empty_tensor_value_info(n) for n in wanted)
    for done, result in zip(wanted, session(tapped).run(wanted, feeds) if wanted else []):
        values[done] = result
    return values


def cut_out(model, tensor, known):
    """The nodes that compute `tensor`, back to known tensors; these, and the initializers that they read."""
    producers = {o: n for n in model.graph.node for o in n.output if o}
    initializers = {i.name: i for i in model.graph.initializer}
    nodes, inputs, constants, todo, seen = [], set(), {}, [tensor], set()
    while todo:
        name = todo.pop()
        if name in seen or not name:
            continue
        seen.add(name)
        if name in initializers:
            constants[name] = initializers[name]
        elif name != tensor and name in known and not (
                name in producers and producers[name].op_type == "QuantizeLinear"):  # its scale may be another
            inputs.add(name)
        elif name in producers:
            nodes.append(producers[name])
            todo.extend(producers[name].input)
    order = {id(n): i for i, n in enumerate(model.graph.node)}
    unique = {id(n): n for n in nodes}
    return sorted(unique.values(), key=lambda n: order[id(n)]), sorted(inputs), constants


def quantized(model, tensor):
    """The tensor whose Q the DQ reads that makes this one."""
    dq = next(n for n in model.graph.node if tensor in n.output)
    return next(n for n in model.graph.node if dq.input[0] in n.output).input[0]


def one_rewrite(name, original, rewritten, rewrite, feeds):
    tensor = target = rewrite["tensor"]
    if rewrite["pass"] == "repair_inputs":  # what is read in place of the tensor
        old = {o for n in original.graph.node for o in n.output}
        target = next(iter(shrink_graph.dequantized(rewritten, tensor, old)), None)
    elif not any(tensor in n.output for n in rewritten.graph.node):  # a pair that is gone without a trace
        target = quantized(original, tensor)
    known = {o for n in original.graph.node for o in n.output} | {i.name for i in original.graph.input}
    nodes, inputs, constants = cut_out(rewritten, target, known)
    before = tensors(original, feeds, inputs + [tensor])
    graph = helper.make_graph(
        nodes, "alone",
        [helper.make_tensor_value_info(i, helper.np_dtype_to_tensor_dtype(before[i].dtype), before[i].shape)
         for i in inputs],
        [helper.make_empty_tensor_value_info(target)], list(constants.values()))
    alone = helper.make_model(graph, opset_imports=rewritten.opset_import, ir_version=rewritten.ir_version)
    after = session(alone).run([target], {i: before[i] for i in inputs})[0].astype(np.float64)
    expected = before[tensor].astype(np.float64)
    furthest = float(np.max(np.abs(after - expected), initial=0))
    noise = (1e-3 if before[tensor].dtype == np.float16 else 2e-6) * float(np.max(np.abs(expected), initial=0))
    check(furthest <= rewrite["bound"] + noise, "%s: %s: '%s' is %g away, stated is %g" %
          (name, rewrite["rule"], tensor, furthest, rewrite["bound"]))
    return furthest / rewrite["bound"] if rewrite["bound"] else 0


def float_weights(model):
    """The model with every weight (not bias) as the float constant that its codes mean; how many there were."""
    out = onnx.ModelProto()
    out.CopyFrom(model)
    constants = {i.name: numpy_helper.to_array(i) for i in out.graph.initializer}
    dq = {n.output[0]: n for n in out.graph.node if n.op_type == "DequantizeLinear"}
    changed = 0
    for node in out.graph.node:
        if node.op_type not in ("Conv", "ConvTranspose", "Gemm", "MatMul") or node.input[1] not in dq:
            continue
        source = dq[node.input[1]]
        if not all(i in constants for i in source.input):
            continue
        codes, scale = constants[source.input[0]].astype(np.float32), constants[source.input[1]].astype(np.float32)
        zero = constants[source.input[2]].astype(np.float32) if len(source.input) > 2 else np.float32(0)
        axis = next((a.i for a in source.attribute if a.name == "axis"), 1)
        shape = [1] * codes.ndim
        if scale.size > 1:
            shape[axis] = scale.size
            scale, zero = scale.reshape(shape), np.broadcast_to(zero, scale.size).reshape(shape)
        # half a step of an odd pattern, so that the codes are not just found again
        value = ((codes - zero) * scale + scale * np.float32(0.3) * np.sign(codes)).astype(np.float32)
        out.graph.initializer.append(numpy_helper.from_array(value, node.input[1] + "_float"))
        node.input[1] += "_float"
        changed += 1
    return out, changed


def float_arms(model):
    """The model with every residual as the float tensor that its pair quantizes, and inputs of products behind pools and
    Softmax without their pairs; how many there were."""
    out = onnx.ModelProto()
    out.CopyFrom(model)
    producers = {o: n for n in out.graph.node for o in n.output if o}
    readers = {}
    for node in out.graph.node:
        for i in node.input:
            readers.setdefault(i, []).append(node.op_type)
    changed = 0
    for node in out.graph.node:
        for k, name in enumerate(node.input[:2] if node.op_type in ("Add", "Conv", "Gemm", "MatMul") else []):
            dq = producers.get(name)
            q = producers.get(dq.input[0]) if dq is not None and dq.op_type == "DequantizeLinear" else None
            if q is None or q.op_type != "QuantizeLinear" or q.input[0] not in producers:
                continue
            behind = producers[q.input[0]].op_type
            if node.op_type == "Add" and behind == "Relu" and len(readers[name]) + len(readers[q.input[0]]) > 2 or \
                    node.op_type != "Add" and behind in ("Softmax", "GlobalAveragePool", "AveragePool"):
                node.input[k] = q.input[0]
                changed += 1
    return out, changed


def rewrite_all(name, model, folder, arguments):
    source, out = os.path.join(folder, "in.onnx"), os.path.join(folder, "out.onnx")
    onnx.save(model, source)
    report = optimize(name, source, out, "--emit=qdq", *arguments)
    return (None, None) if report is None else (onnx.load(out), report)


def try_model(name, model, feeds, folder, arguments=(), at_least=0, most=12, before=BEFORE, passes=REPAIRS):
    # integer forms have no floats to compare
    original, _ = rewrite_all(name, model, folder, ["--passes=" + before, *arguments])
    rewritten, report = rewrite_all(name, model, folder, ["--passes=" + passes, *arguments])
    if original is None or rewritten is None:
        return
    found = [r for r in report["rewrites"] if r["exactness"] == "bounded"]
    check(len(found) >= at_least, "%s: %d bounded rewrites, expected %d" % (name, len(found), at_least))
    step = max(1, len(found) // most)
    tightest = max([one_rewrite(name, original, rewritten, r, feeds) for r in found[::step]], default=0)
    print("    %-28s %3d bounded rewrites, the largest change is %.2f of its bound" % (name, len(found), tightest))


def main():
    for name, path in models():
        feeds = reference_feeds(path)
        if feeds is None:
            continue
        model = onnx.load(path)
        with tempfile.TemporaryDirectory() as folder:
            try_model(name, model, feeds, folder)
            try_model(name + ", int32 biases", model, feeds, folder, ["--target=ort-cpu"], passes=FOR_ORT_CPU)
            for target in ("cuda", "tensorrt"):
                try_model("%s for %s" % (name, target), model, feeds, folder, ["--allow=bounded", "--target=" + target])
            try_model(name + ", symmetric", model, feeds, folder, FOR_TENSORRT, most=40, before=BEFORE_TENSORRT, passes=TENSORRT)
            bare, count = float_weights(model)
            if count != 0:
                try_model(name + ", float weights", bare, feeds, folder, at_least=count)
            bare, count = float_arms(model)
            if count != 0:
                try_model("%s, %d arms float" % (name, count), bare, feeds, folder, ["--allow=bounded"], at_least=1)
    finish()


main()

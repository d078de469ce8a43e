# SPDX-License-Identifier: Apache-2.0
#
# models.py -- the promises about real models: what is INT8, how many nodes are left, and that the results stay
#
# Every model of MODELS is optimized in both emit modes, with --exact and without. The files must pass onnx.checker and
# give in ONNX Runtime, with its own optimizations off, what the original gives there in the same run.
import os
import tempfile
from collections import Counter

import onnx

from common import check, feeds_of, finish, identical, models, optimize, run, snr, tool

REGION_DOMAIN = "qdqopt"

# model: (weighted operators that read INT8, all of them, nodes at the top level at most)
PROMISES = {
    "resnet50.trt": (54, 54, 58),
    "mobilenet_v2.u8": (53, 53, 56),
    "efficientnet_b0.s8": (82, 82, 117),
    "yolo_n.trt": (47, 47, 62),
    "unet.s8": (13, 13, 19),
    "digits_qat_relu": (7, 7, 10),
    "bert_tiny.trt": (16, 16, 23),
    "vit_tiny.trt": (33, 33, 42),
    "res_tiny.pt2e": (12, 12, 16),
    "res_tiny.qoperator": (12, 12, 16),
    "cnn.brevitas": (4, 4, 7),
    "res_tiny.modelopt": (12, 12, 16),  # the weight of its Gemm is completed
    "res_tiny.modelopt_fp16": (12, 12, 17),
    "mbv3.nncf": (36, 54, 75),  # 34 Conv and both Gemms: the first one has its codes behind a Flatten
}
FLOAT16 = ("res_tiny.modelopt_fp16",)
# But at inputs and outputs of the network; regions of nothing but Q and DQ count too. In float16 a Cast stands between.
NO_QDQ_LEFT = tuple(name for name in PROMISES if name not in FLOAT16)


def graphs_of(graph):
    yield graph
    for node in graph.node:
        for attribute in node.attribute:
            for inner in ([attribute.g] if attribute.HasField("g") else []) + list(attribute.graphs):
                yield from graphs_of(inner)


def repeated_names(model):
    """Names of nodes and values that stand twice in the file, functions' insides included."""
    nodes, values = Counter(), Counter()
    for graph in graphs_of(model.graph):
        # an initializer may also be listed as an input: one value
        values.update({i.name for i in graph.input} | {i.name for i in graph.initializer})
        nodes.update(n.name for n in graph.node if n.name)
        values.update(o for n in graph.node for o in n.output if o)
    for function in model.functions:
        if function.domain != REGION_DOMAIN:
            continue
        nodes.update(n.name for n in function.node if n.name)
        values.update(o for n in function.node for o in n.output if o)
        values.update(function.input)
    calls = Counter(n.op_type for n in model.graph.node if n.domain == REGION_DOMAIN)
    return [name for counts in (nodes, values, calls) for name, times in counts.items() if times > 1]


def standalone_qdq(model):
    """Top-level Q and DQ, and regions of nothing else, that do not touch the network's inputs and outputs."""
    bodies = {f.name: {n.op_type for n in f.node} for f in model.functions if f.domain == REGION_DOMAIN}
    inputs = {i.name for i in model.graph.input}
    outputs = {o.name for o in model.graph.output}
    found = []
    for node in model.graph.node:
        kinds = bodies.get(node.op_type, set()) if node.domain == REGION_DOMAIN else {node.op_type}
        if kinds <= {"QuantizeLinear", "DequantizeLinear"} and kinds and not (
                inputs & set(node.input[:1]) or outputs & set(node.output)):
            found.append(node.name or node.output[0])
    return found


def check_report(name, report, model):
    summary = report["summary"]
    int8 = summary["int8_int8"] + summary["int8_float"]
    print("    %d of %d weighted operators INT8, %d -> %d nodes" %
          (int8, summary["weighted"], summary["nodes_before"], summary["nodes_after"]), flush=True)
    check(int8 + summary["float"] == summary["weighted"], "%s: verdicts do not add up" % name)
    names = [op["name"] for op in report["ops"]]
    check(len(names) == len(set(names)), "%s: an operator is listed twice" % name)
    for op in report["ops"]:
        if op["verdict"] != "int8->int8":
            reason = op["reason"]
            if not check(reason is not None and reason["code"] and reason["message"] and reason["fix"],
                         "%s: no reason for %s" % (name, op["name"])):
                break
    check(len(model.graph.node) == summary["nodes_after"], "%s: nodes_after is %d, the file has %d" %
          (name, summary["nodes_after"], len(model.graph.node)))
    if name in PROMISES:
        int8_floor, weighted, nodes = PROMISES[name]
        check(summary["weighted"] == weighted, "%s: %d weighted operators, not %d" % (name, summary["weighted"], weighted))
        check(int8 == int8_floor if int8_floor < weighted else int8 >= int8_floor,
              "%s: INT8 verdicts %d of %d, promised %d" % (name, int8, weighted, int8_floor))
        if nodes is not None:
            check(len(model.graph.node) <= nodes, "%s: %d nodes, promised %d" % (name, len(model.graph.node), nodes))
    if name == "yolo_n.trt":
        outside = [op["name"] for op in report["ops"] if op["op"] == "Sigmoid" and "Conv" not in (op["fused_into"] or "")]
        check(not outside, "%s: Sigmoids outside a Conv: %s" % (name, outside[:5]))
    if name in NO_QDQ_LEFT:
        left = standalone_qdq(model)
        check(not left, "%s: stand-alone Q/DQ: %s" % (name, ", ".join(left[:5])))


def same_results(name, what, original, path, feeds, exact):
    try:
        got = run(path, feeds)
    except Exception as error:  # whatever ONNX Runtime throws is its refusal of the file
        check(False, "%s: ONNX Runtime refuses %s: %s" % (name, what, str(error).split("\n")[0]))
        return
    ratio = snr(original, got)
    if exact:
        check(identical(original, got), "%s: %s is not bit-identical (SNR %.1f dB)" % (name, what, ratio))
    else:
        check(ratio >= 35, "%s: %s: SNR %.1f dB" % (name, what, ratio))


def check_target(name, path, folder, target, original, feeds):
    """Placements of a target, with --exact."""
    what, out = "qdq --target %s --exact" % target, os.path.join(folder, "out.onnx")
    if optimize("%s: %s" % (name, what), path, out, "--emit", "qdq", "--target", target, "--exact") is not None:
        same_results(name, what, original, out, feeds, True)


def check_mode(name, path, folder, emit, exact, original, feeds):
    what = emit + (" --exact" if exact else "")
    out = os.path.join(folder, "out.onnx")
    report = optimize("%s: %s" % (name, what), path, out, "--emit", emit, *(["--exact"] if exact else []))
    if report is None:
        return
    try:
        onnx.checker.check_model(out, full_check=True)
        check(True, "")
    except Exception as error:  # the checker's and the inference's own kinds
        check(False, "%s: %s: onnx.checker: %s" % (name, what, str(error).strip()[:300]))
    model = onnx.load(out)
    # without --exact, ONNX Runtime may round to float16 at other places
    unchanged = exact or (name not in FLOAT16 and all(r["exactness"].lower() == "exact" for r in report["rewrites"]))
    same_results(name, what, original, out, feeds, unchanged)
    if emit != "fused":
        return
    twice = repeated_names(model)
    check(not twice, "%s: %s: names that stand twice: %s" % (name, what, ", ".join(twice[:5])))
    if not exact:
        check_report(name, report, model)
    again = os.path.join(folder, "again.onnx")
    done = tool(out, again, "--quiet", *(["--exact"] if exact else []))
    check(done.returncode == 0 and open(out, "rb").read() == open(again, "rb").read(),
          "%s: %s: optimizing its own output again changes it %s" % (name, what, done.stderr.strip()[:200]))


def main():
    for name, path in models():
        print(name, flush=True)
        feeds = feeds_of(path)
        original = run(path, feeds)
        with tempfile.TemporaryDirectory() as folder:
            for emit in ("fused", "qdq"):
                for exact in (True, False):
                    check_mode(name, path, folder, emit, exact, original, feeds)
            for target in ("tensorrt", "ort-cpu"):
                check_target(name, path, folder, target, original, feeds)
    finish()


main()

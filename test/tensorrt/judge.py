# SPDX-License-Identifier: Apache-2.0
#
# judge.py -- NVIDIA's compiler on what --target tensorrt writes: it takes every model, what the report calls INT8 is an
# INT8 kernel, and there are no more kernels than for the original. Of the models that it takes as they come it also takes
# what is written without a target, with no more kernels
#
# usage: judge.py [--table] [MODEL.onnx]...      without models: those of MODELS, else test/models, and golden graphs
#
# --table prints the rows of docs/tensorrt.md. Three kinds of operators are not looked at one by one, since the compiler
# makes of them what it likes: ConvTranspose (it has no INT8 kernel at all), depthwise Conv, and MatMuls of two activations.
import glob
import json
import os
import subprocess
import sys
import tempfile

import onnx

import compiler

QDQOPT = os.environ.get("QDQOPT", "build/qdqopt")
MODELS = os.environ.get("MODELS", "../shared/models")
WEIGHTED = ("Conv", "Gemm", "MatMul", "QLinearConv", "QLinearMatMul", "QGemm", "ConvInteger", "MatMulInteger")
TARGET = "--target=tensorrt"
MODES = (("qdq", [TARGET, "--allow=bounded"]), ("fused", [TARGET, "--allow=bounded"]), ("qdq", [TARGET]))

NOT_TAKEN = (
    # uint8 codes that something else than Q and DQ makes or reads cannot be anything else
    "test/golden/tensorrt_lift/not_several_readers.onnxtxt", "test/golden/tensorrt_lift/not_resize_linear.onnxtxt",
    "test/golden/tensorrt_float/codes_of_a_cast.onnxtxt",
    # it has no CenterCropPad
    "test/golden/tensorrt_lift/crop.onnxtxt", "test/golden/tensorrt_lift/not_crop_with_zero_point.onnxtxt",
    "test/golden/tensorrt_lift/not_crop_with_zero_point_int8.onnxtxt",
    # without --target tensorrt they stay what they are
    "test/golden/constant_codes/not_number_zero_point.onnxtxt", "test/golden/constant_codes/not_zero_point.onnxtxt")

passed = failed = 0


def check(good, what):
    global passed, failed
    if good:
        passed += 1
    else:
        failed += 1
        print("FAILED %s" % what, flush=True)
    return good


def optimize(path, folder, emit, options):
    """What is written of the model, and the report."""
    out, report = os.path.join(folder, "out.onnx"), os.path.join(folder, "report.json")
    done = subprocess.run([QDQOPT, path, out, "--emit=" + emit, "--quiet", "--report=" + report, *options],
                          capture_output=True, text=True, timeout=300)
    if not check(done.returncode == 0, "%s: exit status %d: %s" % (path, done.returncode, done.stderr[:200])):
        return None, None
    return out, json.load(open(report))


def is_quantized(model):
    """Are there Q or DQ, or integer forms, that a TensorRT user would want as INT8?"""
    return any("Quantize" in n.op_type or "QLinear" in n.op_type or n.op_type.startswith("Q") for n in model.graph.node)


def own_way(model):
    """Names of the operators that the compiler is left alone with."""
    shapes = {i.name: list(i.dims) for i in model.graph.initializer}
    producers = {o: n for n in model.graph.node for o in n.output}

    def constant(value):
        while value in producers and producers[value].op_type in ("QuantizeLinear", "DequantizeLinear", "Constant",
                                                                  "Transpose"):
            if producers[value].op_type == "Constant":
                return True
            value = producers[value].input[0]
        return value in shapes

    def channels(node):
        value = node.input[1]
        while value in producers and producers[value].input:
            value = producers[value].input[0]
        return shapes.get(value, [0, 0])[1]

    names = set()
    for node in model.graph.node:
        group = next((a.i for a in node.attribute if a.name == "group"), 1)
        if node.op_type == "ConvTranspose" or (node.op_type == "Conv" and group > 1 and channels(node) == 1) or (
                node.op_type == "MatMul" and not constant(node.input[0]) and not constant(node.input[1])):
            names.add(node.name)
    return names


def disagreements(report, verdict, aside):
    """Operators of which we say INT8 and the compiler does not; and how many it agreed on."""
    wrong, right = [], 0
    for op in report["ops"]:
        if op["op"] not in WEIGHTED or op["verdict"] == "float" or op["name"] in aside:
            continue
        kernel = verdict.of(op["name"])
        if kernel is None or not kernel.inputs or kernel.inputs[0] != "Int8":
            wrong.append((op["name"], kernel))
        else:
            right += 1
    return wrong, right


def show(verdict):
    return "refused" if verdict.refusal else str(verdict.count())


def try_mode(name, path, folder, emit, options, original, aside, quantized):
    what = "%s: --emit %s %s" % (name, emit, " ".join(options))
    out, report = optimize(path, folder, emit, options)
    if out is None:
        return None, None
    verdict = compiler.build(out)
    if not check(verdict.refusal is None, "%s: refused: %s" % (what, verdict.refusal)):
        return verdict, report
    wrong, right = disagreements(report, verdict, aside)
    check(not wrong, "%s: %d are called INT8 and are no INT8 kernels: %s" %
          (what, len(wrong), ", ".join("%s (%s)" % (n, k.kind + " of " + "+".join(k.inputs) if k else "no kernel")
                                       for n, k in wrong[:4])))
    summary = report["summary"]
    if quantized and "--allow=bounded" in options:
        check(right > 0 or summary["int8_int8"] + summary["int8_float"] == 0, "%s: no kernel was compared" % what)
    if "--allow=bounded" in options:
        no_more(what, verdict, original)
    return verdict, report


def no_more(what, verdict, original):
    if original.refusal is None:
        check(verdict.count() <= original.count(), "%s: %d kernels, of the original %d" %
              (what, verdict.count(), original.count()))


def try_plain(name, path, folder, emit, original):
    """Without a target; where it does not take the original, it need not take this."""
    if original.refusal is not None:
        return "-"
    what = "%s: --emit %s without target" % (name, emit)
    out, _ = optimize(path, folder, emit, [])
    if out is None:
        return "-"
    verdict = compiler.build(out)
    if check(verdict.refusal is None, "%s: refused: %s" % (what, verdict.refusal)):
        no_more(what, verdict, original)
    return show(verdict)


def try_model(path, table):
    name = os.path.basename(path)[: -len(".onnx")]
    model = onnx.load(path)
    quantized = is_quantized(model)
    original, aside = compiler.build(path), own_way(model)
    results = []
    with tempfile.TemporaryDirectory() as folder:
        for emit, options in MODES:
            results.append(try_mode(name, path, folder, emit, options, original, aside, quantized))
        plain = [try_plain(name, path, folder, emit, original) for emit in ("fused", "qdq")]
    summaries = [report["summary"] if report else {} for _, report in results]
    if table:
        kinds = results[0][0].kinds() if results[0][0] is not None else {}
        int8 = sum(k.inputs[:1] == ["Int8"] for k in results[0][0].kernels if k.kind in ("correlation", "gemm"))
        print("| %s | %s | %s | %s | %s | %s | %d of %d | %d of %d |" %
              (name, show(original), show(results[0][0]), show(results[1][0]), show(results[2][0]), plain[0],
               summaries[0]["int8_int8"] + summaries[0]["int8_float"], summaries[0]["weighted"], int8,
               kinds["correlation"] + kinds["gemm"] + kinds["deconv"] + kinds["runtime_fusion"]), flush=True)
    else:
        print("    %-28s kernels: original %s, written %s, fused %s, without target %s" %
              (name, show(original), show(results[0][0]), show(results[1][0]), plain[0]), flush=True)


def try_golden(path, options, left):
    """A golden graph, whole pipeline: taken, unless the report says what was left by one of these rules."""
    with open(path, encoding="utf-8") as file:
        text = file.read().split("# ==>")[0]
    with tempfile.TemporaryDirectory() as folder:
        source = os.path.join(folder, "in.onnxtxt")
        with open(source, "w", encoding="utf-8") as file:
            file.writelines(line + "\n" for line in text.split("\n") if not line.startswith("#"))
        out, report = optimize(source, folder, "qdq", options)
        if out is None or any(d["rule"].startswith(left) for d in report["declined"]):
            return
        verdict = compiler.build(out)
        check(verdict.refusal is None or path in NOT_TAKEN, "%s: refused: %s" % (path, verdict.refusal))


def main():
    arguments = [a for a in sys.argv[1:] if not a.startswith("--")]
    paths = arguments or sorted(glob.glob(os.path.join(MODELS, "**", "*.onnx"), recursive=True))
    if not arguments and len(paths) < 16:
        print("%d of 16 models: MODELS=%s does not have the others" % (len(paths), MODELS))
        paths = paths or sorted(glob.glob("test/models/*.onnx"))
    for path in paths:
        try_model(path, "--table" in sys.argv)
    for path in [] if arguments else sorted(glob.glob("test/golden/tensorrt_*/*.onnxtxt")):
        try_golden(path, [TARGET, "--allow=bounded"], "tensorrt_float.")
    for path in [] if arguments else sorted(glob.glob("test/golden/constant_codes/*.onnxtxt")):
        try_golden(path, [], "constant_codes.")
    check(passed != 0, "there is no model to try")
    print("%d passed, %d failed" % (passed, failed))
    sys.exit(failed != 0)


main()

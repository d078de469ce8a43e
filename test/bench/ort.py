# SPDX-License-Identifier: Apache-2.0
#
# ort.py -- how long ONNX Runtime takes for what we write, beside what it takes for the original
#
# All its optimizations on both sides (ENABLE_ALL), batch 1, sessions in one process whose runs take turns, so what else
# the machine does falls on both sides. Times are the least of all turns, which it disturbs least, and ratios those of them.
#
#   python test/bench/ort.py [--seconds S] [--threads N] [--json FILE] [MODEL...]        environment: QDQOPT, MODELS
import argparse
import glob
import json
import os
import subprocess
import sys
import tempfile
import time

import numpy as np
import onnx
import onnxruntime as ort

QDQOPT = os.environ.get("QDQOPT", "build/qdqopt")
MODELS = os.environ.get("MODELS") or "../shared/models"
MODES = {"qoperator": ["--emit=qoperator"], "qdq": ["--emit=qdq", "--target=ort-cpu"]}
NOT_FUSED = ("resnet50.trt", "efficientnet_b0.s8", "yolo_n.trt", "vit_tiny.trt", "bert_tiny.trt")  # by itself
SLOWER, FASTER = 1 / 1.05, 1.3


def session(path, threads):
    options = ort.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    return ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def feeds_of(path):
    reference = path[: -len(".onnx")] + ".ref.npz"
    inputs = onnx.load(path, load_external_data=False).graph.input
    if os.path.exists(reference):
        data = np.load(reference)
        return {i.name: data["in_" + i.name] for i in inputs if "in_" + i.name in data}
    return {i.name: np.random.default_rng(1).standard_normal(
        [d.dim_value or 1 for d in i.type.tensor_type.shape.dim]).astype(np.float32) for i in inputs}


def is_quantized(path):
    return any("Quant" in n.op_type or n.op_type.startswith("QLinear")
               for n in onnx.load(path, load_external_data=False).graph.node)


def turns_of(sessions, feeds, seconds):
    """Seconds of each session in each turn; so many turns, 20 to 1000, as take this long."""
    times = [[] for _ in sessions]
    begun = time.perf_counter()
    while len(times[0]) < 22 or (time.perf_counter() - begun < seconds and len(times[0]) < 1002):
        for s, t in zip(sessions, times):
            before = time.perf_counter()
            s.run(None, feeds)
            t.append(time.perf_counter() - before)
    return [t[2:] for t in times]  # the first two warm up


def compare(path, folder, seconds, threads):
    """Milliseconds of the original and, for each mode, milliseconds and how many times faster."""
    paths = [path]
    for mode, options in MODES.items():
        paths.append(os.path.join(folder, mode + ".onnx"))
        subprocess.run([QDQOPT, path, paths[-1], "--quiet", *options], check=True)
    times = turns_of([session(p, threads) for p in paths], feeds_of(path), seconds)
    ms = [min(t) * 1e3 for t in times]
    row = dict(ms=ms[0])
    for mode, ours in zip(MODES, ms[1:]):
        row[mode] = dict(ms=ours, times=ms[0] / ours)
    return row


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, default=4)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--json", metavar="FILE")
    parser.add_argument("models", nargs="*")
    options = parser.parse_args()
    paths = [p for p in sorted(glob.glob(os.path.join(MODELS, "**", "*.onnx"), recursive=True)) if is_quantized(p)]
    rows, missed = [], []
    print("ONNX Runtime %s, %d thread(s), all optimizations on both sides, load %.1f before, %g s of turns each" %
          (ort.__version__, options.threads, os.getloadavg()[0], options.seconds))
    print("%-21s %9s | %9s %7s | %9s %7s   %s" % ("model", "as it is", "qoperator", "times", "qdq", "times", "floor"))
    for path in paths:
        name = os.path.basename(path)[: -len(".onnx")]
        if options.models and name not in options.models:
            continue
        with tempfile.TemporaryDirectory() as folder:
            row = compare(path, folder, options.seconds, options.threads)
        limit = FASTER if name in NOT_FUSED else SLOWER
        met = min(row[mode]["times"] for mode in MODES) >= limit
        rows.append(dict(model=name, threads=options.threads, limit=limit, met=met, **row))
        print("%-21s %9.2f | %9.2f %7.2f | %9.2f %7.2f   %.2f: %s" %
              (name, row["ms"], row["qoperator"]["ms"], row["qoperator"]["times"], row["qdq"]["ms"],
               row["qdq"]["times"], limit, "met" if met else "MISSED"), flush=True)
        missed += [] if met else [name]
    print("\nfloors: %d met, %d missed%s" % (len(rows) - len(missed), len(missed), "".join("\n  " + m for m in missed)))
    if options.json:
        with open(options.json, "w") as file:
            json.dump(rows, file, indent=1)
    return not rows


sys.exit(main())

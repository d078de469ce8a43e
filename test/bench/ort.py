# SPDX-License-Identifier: Apache-2.0
#
# ort.py -- how long ONNX Runtime takes for what we write, beside what it takes for the original
#
# All its optimizations on both sides (ENABLE_ALL), sessions in one process whose runs take turns, so what else the
# machine does falls on both sides. A session's turn begins when the threads of the one before sleep, with a run that is
# not counted. Times are the least of all turns, which the machine disturbs least, and ratios those of them.
# Where the batch is a symbol there is a row for each of BATCHES, else one for the batch that the file has.
#
# The floor of a row: nothing is slower than the original (by more than 5 %); and where ONNX Runtime by itself runs in
# integers fewer than half of the weighted operators that have Q/DQ on all data inputs, --emit qoperator is FASTER times
# as fast.
#
#   python test/bench/ort.py [--seconds S] [--threads N,N] [--json FILE] [MODEL...]      environment: QDQOPT, MODELS
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

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "peer"))
from common import MODELS, QDQOPT, kernels, reference_feeds, with_codes  # noqa: E402

MODES = {"qoperator": ["--emit=qoperator"], "qdq": ["--emit=qdq", "--target=ort-cpu"]}
BATCHES = (1, 32)
SLOWER, FASTER = 1 / 1.05, 1.3
ROUNDS = 4  # with sessions made anew: where their threads come to lie can halve their speed as long as they live
LEAST, MOST = 2, 1000  # turns of a round
SPIN = 0.005  # seconds in which threads that ran the session before still look for work, on the cores of the next one


def session(path, threads):
    options = ort.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    return ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def batches_of(path):
    """None: what the file says."""
    symbolic = all(i.type.tensor_type.shape.dim and i.type.tensor_type.shape.dim[0].dim_param
                   for i in onnx.load(path, load_external_data=False).graph.input)
    return BATCHES if symbolic else (None,)


def feeds_of(path, batch):
    """The reference inputs, repeated or cut to the batch, else random ones."""
    feeds, random = reference_feeds(path), np.random.default_rng(1)
    if feeds is None:
        feeds = {i.name: random.standard_normal([d.dim_value or 1 for d in i.type.tensor_type.shape.dim]).astype(
            np.float32) for i in onnx.load(path, load_external_data=False).graph.input}
    return feeds if batch is None else {k: np.resize(v, (batch,) + v.shape[1:]) for k, v in feeds.items()}


def is_quantized(path):
    return any("Quant" in n.op_type or n.op_type.startswith("QLinear")
               for n in onnx.load(path, load_external_data=False).graph.node)


def turns_of(sessions, feeds, seconds):
    """Seconds of each session in each turn, of as many turns as take this long."""
    times = [[] for _ in sessions]
    for s in sessions * 2:  # warm up
        s.run(None, feeds)
    begun = time.perf_counter()
    while len(times[0]) < LEAST or (time.perf_counter() - begun < seconds and len(times[0]) < MOST):
        for s, t in zip(sessions, times):
            time.sleep(SPIN)
            s.run(None, feeds)
            before = time.perf_counter()
            s.run(None, feeds)
            t.append(time.perf_counter() - before)
    return times


def compare(paths, feeds, seconds, threads):
    """Milliseconds of the original and, for each mode, milliseconds and how many times as fast."""
    rounds = [turns_of([session(p, threads) for p in paths], feeds, seconds / ROUNDS) for _ in range(ROUNDS)]
    ms = [min(map(min, times)) * 1e3 for times in zip(*rounds)]
    row = dict(ms=ms[0], turns=sum(len(times[0]) for times in rounds))
    for mode, ours in zip(MODES, ms[1:]):
        row[mode] = dict(ms=ours, times=ms[0] / ours)
    return row


def written(path, folder):
    """The original and what each mode makes of it."""
    paths = [path]
    for mode, options in MODES.items():
        paths.append(os.path.join(folder, mode + ".onnx"))
        subprocess.run([QDQOPT, path, paths[-1], "--quiet", *options], check=True)
    return paths


def model_rows(path, options):
    """A row for each number of threads and each batch."""
    with tempfile.TemporaryDirectory() as folder:
        paths = written(path, folder)
        before, after, quantized = kernels(path, folder)[0], kernels(paths[1], folder)[0], with_codes(path)
        limit = FASTER if 2 * before < quantized else SLOWER
        for threads in options.threads:
            for batch in batches_of(path):
                row = compare(paths, feeds_of(path, batch), options.seconds, threads)
                met = row["qoperator"]["times"] >= limit and row["qdq"]["times"] >= SLOWER
                yield dict(model=os.path.basename(path)[: -len(".onnx")], threads=threads, batch=batch,
                           quantized=quantized, before=before, after=after, limit=limit, met=met, **row)


def print_row(row):
    print("%-22s %2d %4s | %3d %3d %3d | %9.2f | %9.2f %6.2f | %9.2f %6.2f   %.2f: %s" %
          (row["model"], row["threads"], row["batch"] or "", row["quantized"], row["before"], row["after"], row["ms"],
           row["qoperator"]["ms"], row["qoperator"]["times"], row["qdq"]["ms"], row["qdq"]["times"], row["limit"],
           "met" if row["met"] else "MISSED"), flush=True)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, default=4)
    parser.add_argument("--threads", type=lambda text: [int(n) for n in text.split(",")], default=[1, 2])
    parser.add_argument("--json", metavar="FILE")
    parser.add_argument("models", nargs="*")
    options = parser.parse_args()
    paths = [p for p in sorted(glob.glob(os.path.join(MODELS, "**", "*.onnx"), recursive=True)) if is_quantized(p)]
    rows = []
    print("ONNX Runtime %s, all optimizations on both sides, load %.1f before, %g s of turns each" %
          (ort.__version__, os.getloadavg()[0], options.seconds))
    print("integer kernels: of operators with Q/DQ on all data inputs, those by itself, those of what we write")
    print("%-22s %2s %4s | %11s | %9s | %9s %6s | %9s %6s   %s" %
          ("model", "th", "n", "integer", "as it is", "qoperator", "times", "qdq", "times", "floor"))
    for path in paths:
        if options.models and os.path.basename(path)[: -len(".onnx")] not in options.models:
            continue
        for row in model_rows(path, options):
            print_row(row)
            rows.append(row)
    missed = ["%s, %d threads, batch %s" % (r["model"], r["threads"], r["batch"] or "of the file")
              for r in rows if not r["met"]]
    print("\nfloors: %d met, %d missed%s; load %.1f behind" %
          (len(rows) - len(missed), len(missed), "".join("\n  " + m for m in missed), os.getloadavg()[0]))
    if options.json:
        with open(options.json, "w") as file:
            json.dump(rows, file, indent=1)
    return not rows


sys.exit(main())

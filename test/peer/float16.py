# SPDX-License-Identifier: Apache-2.0
#
# float16.py -- --float-type fp16: networks keep their inputs and outputs, and nearly their results, in ONNX Runtime
import glob
import json
import math
import os
import subprocess
import sys
import tempfile

import numpy as np
import onnx
import onnxruntime as ort

QDQOPT = os.environ.get("QDQOPT", "build/qdqopt")
MODELS = os.environ.get("MODELS", "../shared/models")
LEAST = 40  # dB: float16 has 11 bits, and codes at ties fall to either side

passed = failed = 0


def check(good, what):
    global passed, failed
    if good:
        passed += 1
    else:
        failed += 1
        print("FAILED %s" % what, flush=True)
    return good


def run(path, feeds):
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 3
    options.intra_op_num_threads = 2
    return ort.InferenceSession(path, options, providers=["CPUExecutionProvider"]).run(None, feeds)


def snr(a, b):
    noise = sum(float(np.sum((x.astype(np.float64) - y) ** 2)) for x, y in zip(a, b))
    signal = sum(float(np.sum(x.astype(np.float64) ** 2)) for x in a)
    return math.inf if noise == 0 else 10 * math.log10(signal / noise)


def one(name, path, feeds, folder):
    out, report = os.path.join(folder, "out.onnx"), os.path.join(folder, "r.json")
    done = subprocess.run([QDQOPT, path, out, "--emit=qdq", "--float-type", "fp16", "--quiet", "--report=" + report],
                          capture_output=True, text=True, timeout=300)
    if not check(done.returncode == 0, "%s: exit status %d: %s" % (name, done.returncode, done.stderr[:200])):
        return 0
    converted = [r for r in json.load(open(report))["rewrites"] if r["rule"] == "float16.convert"]
    onnx.checker.check_model(out, full_check=True)
    before, after = run(path, feeds), run(out, feeds)
    check(all(x.dtype == y.dtype and x.shape == y.shape for x, y in zip(before, after)), "%s: an output has another type" % name)
    ratio = snr(before, after)
    check(ratio >= LEAST, "%s: SNR %.1f dB, %d operators in float16" % (name, ratio, len(converted)))
    print("    %-22s %4d operators in float16, SNR %.1f dB" % (name, len(converted), ratio), flush=True)
    return len(converted)


def main():
    paths = sorted(glob.glob(os.path.join(MODELS, "**", "*.onnx"), recursive=True)) or sorted(glob.glob("test/models/*.onnx"))
    for path in paths:
        name, reference = os.path.basename(path)[: -len(".onnx")], path[: -len(".onnx")] + ".ref.npz"
        if not os.path.exists(reference) or "fp16" in name or (sys.argv[1:] and name not in sys.argv[1:]):
            continue
        data = np.load(reference)
        with tempfile.TemporaryDirectory() as folder:
            one(name, path, {k[3:]: data[k] for k in data.files if k.startswith("in_")}, folder)
    print("%d passed, %d failed" % (passed, failed))
    sys.exit(failed != 0 or passed == 0)


main()

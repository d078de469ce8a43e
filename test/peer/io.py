# SPDX-License-Identifier: Apache-2.0
#
# io.py -- --io int8: whoever quantizes the inputs as the report says, and dequantizes the outputs, gets the same results
import glob
import json
import os
import subprocess
import sys
import tempfile

import numpy as np
import onnxruntime as ort

QDQOPT = os.environ.get("QDQOPT", "build/qdqopt")
MODELS = os.environ.get("MODELS", "../shared/models")
LIMITS = {"int8": (-128, 127, np.int8), "uint8": (0, 255, np.uint8)}

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
    session = ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    names = [o.name for o in session.get_outputs()]
    return dict(zip(names, session.run(names, feeds)))


def one(name, path, feeds, folder):
    out, report = os.path.join(folder, "out.onnx"), os.path.join(folder, "r.json")
    done = subprocess.run([QDQOPT, path, out, "--exact", "--io", "int8", "--quiet", "--report=" + report],
                          capture_output=True, text=True, timeout=300)
    if not check(done.returncode == 0, "%s: exit status %d: %s" % (name, done.returncode, done.stderr[:200])):
        return 0
    said = {i["name"]: i for i in json.load(open(report))["io"]}
    expected = run(path, feeds)
    for key in [k for k in feeds if k in said]:
        io = said[key]
        low, high, kind = LIMITS[io["type"]]
        feeds[key] = np.clip(np.rint(feeds[key] / np.float32(io["scale"])) + io["zero_point"], low, high).astype(kind)
    got = run(out, feeds)
    for key, value in got.items():
        if key in said:
            io = said[key]
            check(value.dtype == LIMITS[io["type"]][2], "%s: %s is %s" % (name, key, value.dtype))
            value = ((value.astype(np.int32) - io["zero_point"]).astype(np.float32) * np.float32(io["scale"]))
        check(value.tobytes() == expected[key].tobytes(), "%s: output %s differs" % (name, key))
    return len(said)


def main():
    paths = sorted(glob.glob(os.path.join(MODELS, "**", "*.onnx"), recursive=True)) or sorted(glob.glob("test/models/*.onnx"))
    total = 0
    for path in paths:
        name, reference = os.path.basename(path)[: -len(".onnx")], path[: -len(".onnx")] + ".ref.npz"
        if not os.path.exists(reference) or "fp16" in name:
            continue
        data = np.load(reference)
        with tempfile.TemporaryDirectory() as folder:
            total += one(name, path, {k[3:]: data[k] for k in data.files if k.startswith("in_")}, folder)
    check(total >= 2, "only %d inputs and outputs became codes" % total)
    print("%d passed, %d failed" % (passed, failed))
    sys.exit(failed != 0)


main()

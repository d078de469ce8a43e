# SPDX-License-Identifier: Apache-2.0
#
# dialects.py -- what other tools write means here what it means there
#
# A network in float16 gets verdict by verdict what its float32 twin gets, and --exact changes no bit of it (by the
# evaluator: ONNX Runtime computes float16 in float32 on a CPU and drops conversions between neighbours, so what it
# rounds depends on who stands beside whom).
import json
import os
import subprocess
import sys
import tempfile

import numpy as np

from eval import Driver, bits

QDQOPT = os.environ.get("QDQOPT", "build/qdqopt")
MODELS = os.environ.get("MODELS", "../shared/models")
TWINS = [("exporters/res_tiny.modelopt", "exporters/res_tiny.modelopt_fp16")]

passed = failed = 0


def check(good, what):
    global passed, failed
    passed, failed = passed + bool(good), failed + (not good)
    if not good:
        print("FAILED %s" % what, flush=True)
    return good


def optimize(source, out, *arguments):
    """The report; None where it failed."""
    report = out + ".json"
    done = subprocess.run([QDQOPT, source, out, "--quiet", "--report=" + report, *arguments], capture_output=True,
                          text=True, timeout=300)
    if not check(done.returncode == 0, "%s: %s" % (source, done.stderr.strip()[:300])):
        return None
    with open(report) as f:
        return json.load(f)


# ---- float16 ----

def verdicts(report):
    return {op["name"]: (op["op"], op["verdict"], (op["reason"] or {}).get("code"), op["fused_into"])
            for op in report["ops"]}


def regions(report):
    return {r["name"]: (r["kind"], sorted(r["ops"])) for r in report["regions"]}


def twins(folder):
    for first, second in TWINS:
        paths = [os.path.join(MODELS, name + ".onnx") for name in (first, second)]
        if not all(map(os.path.exists, paths)):
            print("%s is not there" % second)
            continue
        for arguments in ([], ["--exact"], ["--target", "tensorrt"], ["--target", "ort-cpu"]):
            a, b = [optimize(p, os.path.join(folder, "out.onnx"), *arguments) for p in paths]
            if a is None or b is None:
                continue
            what = "%s %s" % (second, " ".join(arguments))
            mine, other = verdicts(b), verdicts(a)
            check(mine == other, "%s: other verdicts: %s" %
                  (what, [(k, other.get(k), mine.get(k)) for k in {**mine, **other} if mine.get(k) != other.get(k)][:3]))
            check(regions(a) == regions(b), "%s: other fused operators" % what)
        unchanged(paths[1], folder)


def unchanged(path, folder):
    data = np.load(path[: -len(".onnx")] + ".ref.npz")
    inputs = [data[name] for name in data.files if name.startswith("in_")]
    driver = Driver(folder)
    answer, before = driver.run(path, inputs)
    check(answer == "ok", "%s: the evaluator says %s" % (path, answer))
    for emit in ("fused", "qdq"):
        out = os.path.join(folder, "out.onnx")
        if optimize(path, out, "--exact", "--emit", emit) is None:
            continue
        answer, after = driver.run(out, inputs)
        check(answer == "ok" and [bits(x) for x in before] == [bits(x) for x in after],
              "%s: --exact --emit %s changes bits (%s)" % (path, emit, answer))
    driver.close()


def main():
    with tempfile.TemporaryDirectory() as folder:
        twins(folder)
    print("%d passed, %d failed" % (passed, failed))
    return failed != 0 or passed == 0


sys.exit(main())

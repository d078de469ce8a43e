# SPDX-License-Identifier: Apache-2.0
#
# float16.py -- --float-type fp16: networks keep their inputs and outputs, and nearly their results, in ONNX Runtime
import os
import tempfile

import onnx

from common import check, finish, models, optimize, reference_feeds, run, snr

LEAST = 40  # dB: float16 has 11 bits, and codes at ties fall to either side


def one(name, path, feeds, folder):
    out = os.path.join(folder, "out.onnx")
    report = optimize(name, path, out, "--emit=qdq", "--float-type", "fp16")
    if report is None:
        return
    converted = [r for r in report["rewrites"] if r["rule"] == "float16.convert"]
    onnx.checker.check_model(out, full_check=True)
    before, after = run(path, feeds), run(out, feeds)
    check(all(x.dtype == y.dtype and x.shape == y.shape for x, y in zip(before, after)), "%s: an output has another type" % name)
    ratio = snr(before, after)
    check(ratio >= LEAST, "%s: SNR %.1f dB, %d operators in float16" % (name, ratio, len(converted)))
    print("    %-22s %4d operators in float16, SNR %.1f dB" % (name, len(converted), ratio), flush=True)


def main():
    for name, path in models():
        feeds = reference_feeds(path)
        if feeds is None or "fp16" in name:
            continue
        with tempfile.TemporaryDirectory() as folder:
            one(name, path, feeds, folder)
    finish()


main()

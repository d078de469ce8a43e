# SPDX-License-Identifier: Apache-2.0
#
# io.py -- --io int8: whoever quantizes the inputs as the report says, and dequantizes the outputs, gets the same results
import os
import tempfile

import numpy as np

from common import check, finish, models, optimize, reference_feeds, session

LIMITS = {"int8": (-128, 127, np.int8), "uint8": (0, 255, np.uint8)}


def by_name(path, feeds):
    it = session(path)
    return dict(zip([o.name for o in it.get_outputs()], it.run(None, feeds)))


def one(name, path, feeds, folder):
    out = os.path.join(folder, "out.onnx")
    report = optimize(name, path, out, "--exact", "--io", "int8")
    if report is None:
        return 0
    said = {i["name"]: i for i in report["io"]}
    expected = by_name(path, feeds)
    for key in [k for k in feeds if k in said]:
        io = said[key]
        low, high, kind = LIMITS[io["type"]]
        feeds[key] = np.clip(np.rint(feeds[key] / np.float32(io["scale"])) + io["zero_point"], low, high).astype(kind)
    got = by_name(out, feeds)
    for key, value in got.items():
        if key in said:
            io = said[key]
            check(value.dtype == LIMITS[io["type"]][2], "%s: %s is %s" % (name, key, value.dtype))
            value = ((value.astype(np.int32) - io["zero_point"]).astype(np.float32) * np.float32(io["scale"]))
        check(value.tobytes() == expected[key].tobytes(), "%s: output %s differs" % (name, key))
    return len(said)


def main():
    total = 0
    for name, path in models():
        feeds = reference_feeds(path)
        if feeds is None or "fp16" in name:
            continue
        with tempfile.TemporaryDirectory() as folder:
            total += one(name, path, feeds, folder)
    check(total >= 2, "only %d inputs and outputs became codes" % total)
    finish()


main()

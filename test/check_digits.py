#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""check_digits.py FOLDER -- the digits of a bundle on the GPU: how many get their label, and are the bytes the CPU's?"""
import os
import subprocess
import sys
import tempfile

try:
    import numpy as np
except ImportError:
    print("digits: no numpy: skipped")
    sys.exit(0)

FOLDER = sys.argv[1]
TEST = os.path.join(FOLDER, "digits_test.npz")
MODEL = os.path.join(FOLDER, "models", "digits_qat_relu.onnx")
TOOL = os.path.join(FOLDER, "qdqopt")

if not os.path.exists(TEST) or not os.path.exists(MODEL):
    print("digits: not in the bundle: skipped")
    sys.exit(0)
with np.load(TEST) as f:
    images, labels = f["image"].astype(np.float32), f["label"]
# the tool says what the input is called where it is missing
name = subprocess.run([TOOL, "run", MODEL], capture_output=True, text=True, check=False).stderr.split("input '", 1)[1].split("'", 1)[0]
outputs = {}
with tempfile.TemporaryDirectory() as folder:
    given, made = os.path.join(folder, "in.npz"), os.path.join(folder, "out.npz")
    np.savez(given, **{name: images})
    for device in ("cpu", "cuda"):
        subprocess.run([TOOL, "run", MODEL, "--input", given, "--output", made, "--device", device, "--quiet"], check=True)
        with np.load(made) as f:
            outputs[device] = f[f.files[0]]
right = int((outputs["cuda"].argmax(1) == labels).sum())
same = outputs["cuda"].tobytes() == outputs["cpu"].tobytes()
print("digits: %d of %d on the GPU, %s bytes as on the CPU" % (right, len(labels), "the same" if same else "OTHER"))
sys.exit(right != len(labels) or not same)

# SPDX-License-Identifier: Apache-2.0
#
# mutate.py -- damaged files end in a clear message
#
# Real models, cut off, with flipped bits, with stretches removed, doubled or overwritten. The tool must say what is
# wrong and exit with 1 (or 3), or write a file that protobuf reads. Best run on a tool that is built with sanitizers.
# MUTATIONS=N sets how many (default 600); the same N gives the same mutations.
import glob
import os
import random
import subprocess
import sys
import tempfile

import onnx

QDQOPT = os.environ.get("QDQOPT", "build/qdqopt")
MODELS = os.environ.get("MODELS", "../shared/models")
COUNT = int(os.environ.get("MUTATIONS", "600"))
LARGEST = 2_000_000


def flip(data, rng):
    for _ in range(rng.choice([1, 1, 1, 4, 32])):
        at = rng.randrange(len(data))
        data[at] ^= 1 << rng.randrange(8)


def truncate(data, rng):
    del data[rng.randrange(len(data)):]


def remove(data, rng):
    at = rng.randrange(len(data))
    del data[at:at + rng.choice([1, 2, 10, 1000])]


def double(data, rng):
    at = rng.randrange(len(data))
    data[at:at] = data[at:at + rng.choice([1, 10, 100, 10000])]


def overwrite(data, rng):
    at = rng.randrange(len(data))
    length = rng.choice([1, 2, 5, 9])
    data[at:at + length] = bytes(rng.choice([0x00, 0x7F, 0x80, 0xFF]) for _ in range(length))


def near_end(data, rng):
    """Structure is at the end of most files, weights are in the middle."""
    at = max(0, len(data) - rng.randrange(1, 3000))
    data[at] = rng.randrange(256)


MUTATIONS = [flip, truncate, remove, double, overwrite, near_end]


def fault(data, folder):
    """What is wrong with how the tool takes this file; None if nothing."""
    path, out = os.path.join(folder, "in.onnx"), os.path.join(folder, "out.onnx")
    with open(path, "wb") as file:
        file.write(data)
    if os.path.exists(out):
        os.remove(out)
    try:
        run = subprocess.run([QDQOPT, "--passes=none", path, out, "--quiet"], capture_output=True, timeout=60)
    except subprocess.TimeoutExpired:
        return "takes longer than a minute"
    stderr = run.stderr.decode(errors="replace")
    if "Sanitizer" in stderr or "runtime error" in stderr:
        return stderr
    if run.returncode == 0:
        try:
            with open(out, "rb") as file:
                onnx.ModelProto.FromString(file.read())
        except Exception as error:  # whatever protobuf throws
            try:
                onnx.ModelProto.FromString(bytes(data))
            except Exception:
                return None  # the input was no better: bytes that are no UTF-8 in a name
            return "the output cannot be read: %s" % error
        return None
    if run.returncode not in (1, 3):
        return "exit status %d: %s" % (run.returncode, stderr)
    if not stderr.strip():
        return "no message"
    if os.listdir(folder) != ["in.onnx"]:
        return "left behind: %s" % os.listdir(folder)
    return None


def main():
    models = sorted(glob.glob(os.path.join(MODELS, "**", "*.onnx"), recursive=True))
    models = [path for path in models if os.path.getsize(path) <= LARGEST]
    if not models:
        print("skipped: no models in MODELS=%s" % MODELS)
        print("0 passed, 0 failed")
        return 0
    rng = random.Random(1)
    refused = failed = 0
    with tempfile.TemporaryDirectory() as folder:
        for i in range(COUNT):
            path = models[i % len(models)]
            mutation = rng.choice(MUTATIONS)
            with open(path, "rb") as file:
                data = bytearray(file.read())
            mutation(data, rng)
            why = fault(data, folder)
            refused += not os.path.exists(os.path.join(folder, "out.onnx"))
            if why is not None:
                failed += 1
                print("mutation %d, %s of %s: %s" % (i, mutation.__name__, path, why))
    print("%d of %d files were refused" % (refused, COUNT))
    print("%d passed, %d failed" % (COUNT - failed, failed))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())

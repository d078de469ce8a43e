# SPDX-License-Identifier: Apache-2.0
#
# roundtrip.py -- a model that no pass touches comes out as it went in
#
# `qdqopt --passes=none IN OUT --quiet` for every model of MODELS and of Debian's libonnx-testdata; then both are
# compared as protobuf messages, field by field, after bringing the storage form of tensors (raw, typed, external)
# into one. Unknown fields and the presence of empty fields count.
import glob
import os
import subprocess
import sys
import tempfile

import onnx
from onnx import numpy_helper

QDQOPT = os.environ.get("QDQOPT", "build/qdqopt")
MODELS = os.environ.get("MODELS", "../shared/models")


def testdata():
    listed = subprocess.run(["dpkg", "-L", "libonnx-testdata"], capture_output=True, text=True)
    return sorted(p for p in listed.stdout.split("\n") if p.endswith(".onnx"))


PAYLOAD = ("raw_data", "float_data", "int32_data", "int64_data", "double_data", "uint64_data", "external_data",
           "data_location")


def normalize_tensor(t, folder):
    """Everything that says how the elements are stored becomes raw bytes; what cannot be read stays as it is."""
    if t.data_type in (onnx.TensorProto.STRING, onnx.TensorProto.UNDEFINED):
        return
    data = numpy_helper.to_array(t, folder).tobytes()
    for field in PAYLOAD:
        t.ClearField(field)
    t.raw_data = data


def normalize(message, folder):
    """Walks every message below; protobuf's reflection finds the tensors wherever they are."""
    if isinstance(message, onnx.TensorProto):
        normalize_tensor(message, folder)
        return
    for field, value in message.ListFields():
        if field.message_type is None:
            continue
        for item in value if field.is_repeated else [value]:
            normalize(item, folder)


def read(path):
    with open(path, "rb") as file:
        return onnx.ModelProto.FromString(file.read())


def fault(path, out):
    """What went wrong with this model; None if nothing."""
    run = subprocess.run([QDQOPT, "--passes=none", path, out, "--quiet"], capture_output=True, text=True)
    if run.returncode != 0:
        return "exit status %d: %s" % (run.returncode, run.stderr.strip())
    before, after = read(path), read(out)
    if before.SerializeToString(deterministic=True) == after.SerializeToString(deterministic=True):
        return None
    normalize(before, os.path.dirname(path))
    normalize(after, os.path.dirname(out))
    if before.SerializeToString(deterministic=True) != after.SerializeToString(deterministic=True):
        return "the output differs from the input"
    return None


def main():
    models = sorted(glob.glob(os.path.join(MODELS, "**", "*.onnx"), recursive=True))
    if not models:
        print("skipped: no models in MODELS=%s" % MODELS)
    models += testdata()
    if not any(path.startswith("/usr") for path in models):
        print("skipped: libonnx-testdata is not installed")
    failed = 0
    with tempfile.TemporaryDirectory() as folder:
        for path in models:
            why = fault(path, os.path.join(folder, "out.onnx"))
            if why is not None:
                failed += 1
                print("%s: %s" % (path, why))
    print("%d passed, %d failed" % (len(models) - failed, failed))
    return 1 if failed or not models else 0


if __name__ == "__main__":
    sys.exit(main())

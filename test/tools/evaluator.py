# SPDX-License-Identifier: Apache-2.0
#
# evaluator.py -- the reference evaluator (test/tools/evalrun.c) as something to call
import os
import struct
import subprocess

import numpy as np
from onnx import TensorProto, numpy_helper

EVALRUN = os.environ.get("EVALRUN", "build/test/tools/evalrun")


class Driver:
    """One evalrun process that is given job after job, and started again should it die."""

    def __init__(self, folder):
        self.folder = folder
        self.process = None

    def start(self):
        self.process = subprocess.Popen([EVALRUN], stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def run(self, model, inputs):
        """Answer and outputs, arrays; inputs are arrays in the order of the graph's inputs, None: absent."""
        if self.process is None or self.process.poll() is not None:
            self.start()
        paths = [os.path.join(self.folder, name) for name in ("model.onnx", "in.bin", "out.bin")]
        if isinstance(model, str):
            paths[0] = model
        else:
            with open(paths[0], "wb") as f:
                f.write(model.SerializeToString())
        with open(paths[1], "wb") as f:
            for x in inputs:
                f.write(pack(x))
        self.process.stdin.write(("\t".join(paths) + "\n").encode())
        try:
            self.process.stdin.flush()
            answer = self.process.stdout.readline().decode().strip()
        except BrokenPipeError:
            answer = ""
        if not answer:
            return "died with status %s" % self.process.wait(), []
        if answer != "ok":
            return answer, []
        with open(paths[2], "rb") as f:
            return answer, unpack(f.read())

    def close(self):
        if self.process is not None:
            self.process.stdin.close()
            self.process.wait()


def pack(x):
    if x is None:
        return struct.pack("<i", 0)
    t = x if isinstance(x, TensorProto) else numpy_helper.from_array(np.asarray(x))
    if t.data_type == TensorProto.STRING:
        data = b"".join(struct.pack("<Q", len(s)) + s for s in t.string_data)
    else:
        if not t.HasField("raw_data"):
            t = numpy_helper.from_array(numpy_helper.to_array(t))
        data = t.raw_data
    return struct.pack("<ii%dqQ" % len(t.dims), t.data_type, len(t.dims), *t.dims, len(data)) + data


def unpack(data):
    at, tensors = 0, []
    while at < len(data):
        kind, at = struct.unpack_from("<i", data, at)[0], at + 4
        if kind == 0:
            tensors.append(None)
            continue
        rank, at = struct.unpack_from("<i", data, at)[0], at + 4
        dims, at = struct.unpack_from("<%dq" % rank, data, at), at + 8 * rank
        size, at = struct.unpack_from("<Q", data, at)[0], at + 8
        t = TensorProto(data_type=kind, dims=dims)
        if kind == TensorProto.STRING:
            for _ in range(int(np.prod(dims))):
                length, at = struct.unpack_from("<Q", data, at)[0], at + 8
                t.string_data.append(data[at : at + length])
                at += length
        else:
            t.raw_data = data[at : at + size]
            at += size
        tensors.append(t)
    return tensors

# SPDX-License-Identifier: Apache-2.0
#
# compiler.py -- asks NVIDIA's compiler (TensorRT for RTX, ahead of time, no GPU) what it makes of an ONNX file
#
# build(path) gives a Verdict: what it refused the file for, or the kernels of the plan. Kernels are read from what the
# builder logs, since an engine can be inspected only where it can be loaded, which takes a GPU.
import collections
import re

import tensorrt_rtx_libs  # noqa: F401 (loads the libraries)
import tensorrt_rtx_bindings as trt

BATCH = 8  # what a dimension that is not known counts as
IDLE = ("wait", "signal")  # between streams: nothing is computed

Kernel = collections.namedtuple("Kernel", "kind name inputs outputs layers")


class Verdict:
    """What the compiler says of one file: `refusal` is None where it takes it."""

    def __init__(self, refusal, kernels=()):
        self.refusal = refusal
        self.kernels = list(kernels)

    def count(self):
        return len(self.kernels)

    def kinds(self):
        return collections.Counter(k.kind for k in self.kernels)

    def of(self, node):
        """The kernel that multiplies for this node of the file; None where the node's work is in some other one."""
        for kernel in self.kernels:
            if kernel.kind not in IDLE + ("kgen",) and node in (kernel.name, *kernel.layers):
                return kernel
        return None


class Log(trt.ILogger):
    def __init__(self):
        trt.ILogger.__init__(self)
        self.lines = []

    def log(self, severity, message):
        self.lines.append((severity, message))


def types(line, key):
    """The data types listed under one of a kernel's keys, in order."""
    start = line.find(key + ": [")
    if start < 0:
        return []
    depth = 0
    for end in range(start + len(key) + 2, len(line)):
        depth += (line[end] == "[") - (line[end] == "]")
        if depth == 0:
            return re.findall(r"Datatype: (\w+)", line[start:end])
    return []


def kernels_of(log):
    for _, message in log.lines:
        for line in message.split("\n"):
            found = re.match(r"Name: (.*?), LayerType: (\w+)", line)
            if found:
                layers = re.findall(r"\[ONNX Layer: ([^\x1f]*)\](?:\x1f|$|,)", line[line.find("Metadata: "):])
                # what stands in a function is called NAME | CALL (FUNCTION)
                yield Kernel(found.group(2), re.sub(r"_myl\d+_\d+$", "", found.group(1)), types(line, "Inputs"),
                             types(line, "Outputs"), [l.split(" | ")[0] for l in layers])


def one_line(text):
    return " ".join(text.split())[:300]


def build(path):
    log = Log()
    builder = trt.Builder(log)
    network = builder.create_network(0)
    parser = trt.OnnxParser(network, log)
    with open(path, "rb") as file:
        if not parser.parse(file.read()):
            return Verdict("parser: " + one_line(parser.get_error(0).desc()))
    config = builder.create_builder_config()
    config.num_compute_capabilities = 1
    config.set_compute_capability(trt.ComputeCapability.SM86, 0)
    config.profiling_verbosity = trt.ProfilingVerbosity.DETAILED
    inputs = [network.get_input(i) for i in range(network.num_inputs)]
    if any(-1 in tuple(t.shape) for t in inputs):
        profile = builder.create_optimization_profile()
        for t in inputs:
            shape = tuple(BATCH if d == -1 else d for d in t.shape)
            profile.set_shape(t.name, shape, shape, shape)
        config.add_optimization_profile(profile)
    if builder.build_serialized_network(network, config) is None:
        bad = (trt.ILogger.Severity.ERROR, trt.ILogger.Severity.INTERNAL_ERROR)
        return Verdict("builder: " + one_line("; ".join(m for s, m in log.lines if s in bad)))
    return Verdict(None, kernels_of(log))

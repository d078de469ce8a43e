#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""gpu.py -- networks on a GPU beside PyTorch in fp16 (channels_last, one CUDA graph), in the same run.

gpu.py FOLDER: the folder has the program `gpu` and models. Medians; data on the device.
"""
import os
import subprocess
import sys

FOLDER = sys.argv[1] if len(sys.argv) > 1 else "build/gpu"
# model, batch, floor: images per second at least, or milliseconds at most
FLOORS = [("resnet50.trt", 1, "ms", 0.30), ("resnet50.trt", 8, None, None), ("resnet50.trt", 32, None, None),
          ("resnet50.trt", 128, "img/s", 35000), ("mobilenet_v2.u8", 1, "ms", 0.25), ("mobilenet_v2.u8", 8, None, None),
          ("mobilenet_v2.u8", 32, None, None), ("mobilenet_v2.u8", 128, "img/s", 45000)]


def ask(what):
    """What nvidia-smi says of the GPU; nothing where there is none."""
    try:
        return subprocess.run(["nvidia-smi", "--query-gpu=" + what, "--format=csv,noheader"], capture_output=True, text=True,
                              check=False).stdout.strip()
    except FileNotFoundError:
        return ""


def torch_ms(name, batch):
    try:
        import torch
        import torchvision
    except ImportError:
        return None
    net = getattr(torchvision.models, name)(weights=None).cuda().half().eval().to(memory_format=torch.channels_last)
    x = torch.randn(batch, 3, 224, 224, device="cuda", dtype=torch.half).to(memory_format=torch.channels_last)
    with torch.no_grad():
        side = torch.cuda.Stream()
        with torch.cuda.stream(side):
            for _ in range(3):
                net(x)
        torch.cuda.synchronize()
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            net(x)
    times = []
    for _ in range(13):
        begin, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        begin.record()
        for _ in range(10):
            graph.replay()
        end.record()
        torch.cuda.synchronize()
        times.append(begin.elapsed_time(end) / 10)
    return sorted(times[3:])[5]


def main():
    missed = 0
    clocks = ask("name,driver_version,clocks.sm,clocks.mem")
    print(clocks or "no GPU: skipped")
    if not clocks:
        return
    print("%-16s %5s %9s %9s %9s %9s %9s %9s %8s %8s" % ("model", "batch", "ms", "timed ms", "img/s", "waited ms", "fp16 ms",
                                                       "times", "first ms", "memory x"))
    for model, batch, unit, floor in FLOORS:
        def ours(timed):
            words = subprocess.run([os.path.join(FOLDER, "gpu"), os.path.join(FOLDER, "models", model + ".onnx"), str(batch),
                                    "15", timed], capture_output=True, text=True, check=True).stdout.split()
            return [float(word) for word in words]
        guessed, timed = ours("0"), ours("1")
        ms = min(guessed[0], timed[0])
        peer = torch_ms(model.split(".")[0], batch)
        value = batch / ms * 1e3 if unit == "img/s" else ms
        met = unit is None or (value >= floor if unit == "img/s" else value <= floor)
        missed += not met
        verdict = "" if unit is None else "%g %s: %s" % (floor, unit, "met" if met else "MISSED")
        print("%-16s %5d %9.4f %9.4f %9.0f %9.4f %9s %9s %8.0f %8.2f  %s" %
              (model, batch, guessed[0], timed[0], batch / ms * 1e3, guessed[1], "%.3f" % peer if peer else "-",
               "%.1f" % (peer / ms) if peer else "-", guessed[2], guessed[4],
               verdict), flush=True)
    print("clocks after:", ask("clocks.sm,clocks.mem,power.draw"))
    print("floors missed: %d" % missed)


main()

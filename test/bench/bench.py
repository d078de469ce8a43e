# SPDX-License-Identifier: Apache-2.0
#
# bench.py -- time and memory of the tool, beside cp and ONNX Runtime measured in the same run
#
# Whole processes, medians of interleaved runs, file cache warm, no fsync. ONNX Runtime's offline optimization is timed
# inside a Python process that has it imported already (creating the session and writing the model), as is fair to it;
# its peak memory is that of the process. Each floor stands beside its figure; the last lines count them.
#
#   python test/bench/bench.py [--runs N] [--json FILE]      environment: QDQOPT, GENERATE, MODELS
import argparse
import ctypes
import json
import math
import os
import re
import resource
import statistics
import subprocess
import sys
import tempfile
import time

SESSION = os.environ.get("SESSION", "build/test/bench/session")
QDQOPT = os.environ.get("QDQOPT", "build/qdqopt")
GENERATE = os.environ.get("GENERATE", "build/test/run_generate")
MODELS = os.environ.get("MODELS") or "../shared/models"
SEVEN = ("resnet50.trt", "mobilenet_v2.u8", "efficientnet_b0.s8", "yolo_n.trt", "unet.s8", "bert_tiny.trt", "vit_tiny.trt")
SIZES = (10**4, 10**5, 10**6)
KINDS = ("chain", "fork", "concat", "scales", "residual", "weights", "skips", "pairs", "ties", "integer", "functions", "ifs")
MEGA = 1 << 20
MEMORY = 8 << 30  # what a process may have

PEER = """
import sys, time
import onnxruntime as ort
path, out, seconds = sys.argv[1:4]
options = ort.SessionOptions()
options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
options.log_severity_level = 4
options.intra_op_num_threads = 2
options.optimized_model_filepath = out
before = time.perf_counter()
ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
after = time.perf_counter()
with open(seconds, "w") as file:
    file.write(repr(after - before))
"""


QUIET = [(os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0)]


class Failed(Exception):
    pass


def check(arguments, status):
    if status != 0:
        raise Failed("%s: exit status %d" % (" ".join(arguments), os.waitstatus_to_exitcode(status)))


def run(arguments):
    """Wall time of one process, in seconds."""
    before = time.perf_counter()
    pid = os.posix_spawnp(arguments[0], arguments, os.environ, file_actions=QUIET)
    _, status, _ = os.wait4(pid, 0)
    seconds = time.perf_counter() - before
    check(arguments, status)
    return seconds


def peak(arguments):
    """Peak memory of one process, in bytes.

    The kernel counts what a process held before it called exec: of one that Python starts, Python's own memory. So a
    shell starts it, which is small, and leaves it to this process, which takes orphans in (see main).
    """
    shell = os.posix_spawn("/bin/sh", ["sh", "-c", '"$@" &', "sh", *arguments], os.environ, file_actions=QUIET)
    while True:
        pid, status, usage = os.wait4(-1, 0)
        if pid != shell:
            check(arguments, status)
            return usage.ru_maxrss * 1024


def peer(path, out, note, measure=run):
    """ONNX Runtime: seconds as it notes them, or what else measure gives."""
    figure = measure([sys.executable, "-c", PEER, path, out, note])
    if measure is not run:
        return figure
    with open(note) as file:
        return float(file.read())


def optimizing(path, out):
    """Milliseconds between loading and writing, as the report has them."""
    text = subprocess.run([QDQOPT, path, out, "--report"], capture_output=True, text=True, check=True).stdout
    return float(re.search(r"target \w+, ([0-9.]+) ms", text).group(1))


class Floors:
    def __init__(self):
        self.list = []

    def check(self, what, value, limit):
        """'met' or 'MISSED': value is at most limit."""
        self.list.append(dict(floor=what, value=value if value < math.inf else None, limit=limit, met=value <= limit))
        return "met" if value <= limit else "MISSED"


def measure(path, folder, runs):
    """Medians of interleaved runs: milliseconds of the tool, cp, ONNX Runtime, and of optimizing alone; peak memory."""
    out, copy, other, note = (os.path.join(folder, name) for name in ("out.onnx", "copy.onnx", "other.onnx", "seconds"))
    rounds = []
    for _ in range(runs + 1):
        rounds.append((run([QDQOPT, path, out, "--quiet"]) * 1e3, run(["cp", "--reflink=never", path, copy]) * 1e3,
                       peer(path, other, note) * 1e3, optimizing(path, out)))
    return [statistics.median(times) for times in zip(*rounds[1:])] + [  # the first round warms up
        max(peak([QDQOPT, path, out, "--quiet"]) for _ in range(3)), peer(path, other, note, peak)]


def real_models(folder, runs, floors):
    rows, skipped = [], []
    print("%-19s %6s | %7s %7s %6s | %6s %5s | %7s %6s | %6s %6s %7s" %
          ("", "file", "qdqopt", "optim.", "floor", "cp", "", "ORT", "times", "peak", "/ file", "ORT's"))
    print("%-19s %6s | %7s %7s %6s | %6s %5s | %7s %6s | %6s %6s %7s" %
          ("model", "MB", "ms", "ms", "5 ms", "ms", "x cp", "ms", "ours", "MB", "floor", "MB"))
    for name in SEVEN:
        path = os.path.join(MODELS, name + ".onnx")
        if not os.path.exists(path):
            skipped.append(name)
            continue
        size = os.path.getsize(path)
        us, cp, ort, alone, memory, their_memory = measure(path, folder, runs)
        limit = 3.2 * size + (0 if name == "resnet50.trt" else 16 * MEGA)
        rows.append(dict(name=name, size=size, ms=us, optimizing_ms=alone, cp_ms=cp, ort_ms=ort, peak=memory,
                         ort_peak=their_memory))
        print("%-19s %6.1f | %7.2f %7.2f %6s | %6.2f %5.2f | %7.1f %6.1f | %6.1f %6s %7.1f" %
              (name, size / MEGA, us, alone, floors.check(name + ": ms of optimizing", alone, 5), cp, us / cp, ort, ort / us,
               memory / MEGA, floors.check(name + ": peak memory", memory, limit), their_memory / MEGA), flush=True)
    for name in skipped:
        print("%-19s skipped: MODELS=%s does not have it" % (name, MODELS))
    if rows:
        mean = math.exp(statistics.fmean(math.log(row["ms"] / row["ort_ms"]) for row in rows))
        print("\nof ONNX Runtime's time (geometric mean): 1/%.1f, floor 1/6: %s" %
              (1 / mean, floors.check("of ONNX Runtime's time", mean, 1 / 6)))
    for row in rows:
        if row["name"] == "resnet50.trt":
            ratio, memory = row["ms"] / row["cp_ms"], row["peak"] / row["size"]
            print("resnet50.trt: %.2f times cp, floor 1.8: %s; peak %.2f times the file, floor 3.2: %s" %
                  (ratio, floors.check("resnet50.trt: times cp", ratio, 1.8), memory, "met" if memory <= 3.2 else "MISSED"))
    return rows


PEER_RUN = """
import statistics, sys, time
import numpy as np
import onnxruntime as ort
best = None
for level in (ort.GraphOptimizationLevel.ORT_DISABLE_ALL, ort.GraphOptimizationLevel.ORT_ENABLE_ALL):
    options = ort.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads, options.inter_op_num_threads = int(sys.argv[2]), 1
    options.graph_optimization_level = level
    session = ort.InferenceSession(sys.argv[1], options, providers=["CPUExecutionProvider"])
    x = {i.name: np.zeros([d if isinstance(d, int) else 1 for d in i.shape], np.float32) for i in session.get_inputs()}
    for array in x.values():
        array.reshape(-1)[::3] = 1
    times = []
    for _ in range(int(sys.argv[3]) + 1):
        before = time.perf_counter()
        session.run(None, x)
        times.append(time.perf_counter() - before)
    best = min(best or 1e9, statistics.median(times[1:]))
print(best * 1e3)
"""
RUNNING = (("resnet50.trt", 0.8), ("mobilenet_v2.u8", 1.5))  # and at most so many times ONNX Runtime's time


def running(runs, floors):
    """A run at batch 1 beside the faster of ONNX Runtime's two ways, processes taking turns."""
    rows = []
    print("\n%-18s %7s %9s %9s %8s %9s %14s" % ("running, batch 1", "threads", "qdqopt ms", "ORT ms", "times", "first ms",
                                               "arena / live"))
    for name, limit in RUNNING:
        path = os.path.join(MODELS, name + ".onnx")
        for threads in ("1", "2") if os.path.exists(path) else ():
            ours, peers = [], []
            for _ in range(3):
                words = subprocess.run([SESSION, path, threads, str(2 * runs)], capture_output=True, text=True, check=True).stdout
                ours.append([float(word) for word in words.split()])
                peers.append(float(subprocess.run([sys.executable, "-c", PEER_RUN, path, threads, str(runs)],
                                                  capture_output=True, text=True, check=True).stdout))
            ms, first, arena, live = (statistics.median(values) for values in zip(*ours))
            peer_ms = statistics.median(peers)
            print("%-18s %7s %9.2f %9.2f %8.2f %9.0f %14.2f   %.1f x: %s, 500 ms: %s, 1.15 x: %s" %
                  (name, threads, ms, peer_ms, ms / peer_ms, first, arena / live, limit,
                   floors.check("%s, %s threads: times ONNX Runtime" % (name, threads), ms / peer_ms, limit),
                   floors.check("%s, %s threads: first result" % (name, threads), first, 500),
                   floors.check("%s: arena" % name, arena / live, 1.15)), flush=True)
            rows.append(dict(model=name, threads=int(threads), ms=ms, peer_ms=peer_ms, first_ms=first, arena=arena, live=live))
    return rows


def sized(kind, folder, runs):
    """What the tool needs for one kind of graph: interleaved runs of all sizes, least and median, and its peak memory.

    Growth is judged by the least time, which is nearest to what the program itself needs: a machine that must first
    find pages for a gigabyte adds to the large runs only, and not the same each time.
    """
    out = os.path.join(folder, "out.onnx")
    commands, times, rows = {}, {nodes: [] for nodes in SIZES}, []
    for nodes in SIZES:
        path = os.path.join(folder, "generated-%d.onnx" % nodes)
        run([GENERATE, kind, str(nodes), path])
        commands[nodes] = [QDQOPT, path, out, "--quiet"]
    for _ in range(runs + 1):
        for nodes in SIZES:
            try:
                times[nodes].append(run(commands[nodes]))
            except Failed as failed:
                print("%-10s %8d failed: %s" % (kind, nodes, failed))
                times[nodes].append(math.inf)
    for nodes in SIZES:
        measured = times[nodes][1:]  # the first round warms up
        rows.append(dict(kind=kind, nodes=nodes, size=os.path.getsize(commands[nodes][1]), seconds=min(measured),
                         median=statistics.median(measured),
                         peak=peak(commands[nodes]) if max(measured) < math.inf else math.inf))
    return rows


def generated(folder, runs, floors):
    rows = []
    print("\n%-10s %8s %8s %9s %8s %9s %8s %7s" %
          ("graph", "nodes", "file MB", "least s", "x before", "median s", "peak MB", "/ file"))
    for kind in KINDS:
        before = math.inf
        for row in sized(kind, folder, max(5, runs // 2)):
            growth = row["seconds"] / before if before < math.inf else math.inf
            print("%-10s %8d %8.1f %9.3f %8s %9.3f %8.0f %7.1f" %
                  (kind, row["nodes"], row["size"] / MEGA, row["seconds"], "" if before == math.inf else "%.1f" % growth,
                   row["median"], row["peak"] / MEGA, row["peak"] / row["size"]), end="")
            if row["nodes"] == SIZES[-1]:
                print("  12 x: %s, 6 s: %s" % (floors.check(kind + ": times 10^5", growth, 12),
                                               floors.check(kind + ": seconds", row["median"], 6)), end="")
            print(flush=True)
            before = row["seconds"]
            rows.append(row)
    return rows


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--runs", type=int, default=15)
    parser.add_argument("--json", metavar="FILE")
    options = parser.parse_args()
    floors = Floors()
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)  # PR_SET_CHILD_SUBREAPER, for peak()
    with open("/proc/cpuinfo") as info:
        cpu = re.search(r"model name\s*: (.*)", info.read())
    cpu = cpu.group(1) if cpu else "unknown processor"
    load = os.getloadavg()[0]
    print("%s, %s, %d cores, load %.1f before, %d runs\n" % (time.strftime("%Y-%m-%d"), cpu, os.cpu_count(), load, options.runs))
    with tempfile.TemporaryDirectory() as folder:
        models = real_models(folder, options.runs, floors)
        runs = running(options.runs, floors)
        graphs = generated(folder, options.runs, floors)
    missed = [floor["floor"] for floor in floors.list if not floor["met"]]
    print("\nfloors: %d met, %d missed%s" % (len(floors.list) - len(missed), len(missed), "".join("\n  " + m for m in missed)))
    if options.json:
        with open(options.json, "w") as file:
            json.dump(dict(date=time.strftime("%Y-%m-%d"), cpu=cpu, cores=os.cpu_count(), load=load, runs=options.runs,
                           models=models, running=runs, generated=graphs, floors=floors.list), file, indent=1)


main()

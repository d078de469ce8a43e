# SPDX-License-Identifier: Apache-2.0
#
# bench.py -- time and memory of the tool, beside cp and ONNX Runtime measured in the same run
#
# Whole processes, medians of interleaved runs, file cache warm, no fsync. ONNX Runtime's offline optimization is timed
# inside a Python process that has it imported already (creating the session and writing the model), as is fair to it.
#
#   python test/bench/bench.py [--runs N] [--json FILE]      environment: QDQOPT, GENERATE, MODELS
import argparse
import json
import math
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time

QDQOPT = os.environ.get("QDQOPT", "build/qdqopt")
GENERATE = os.environ.get("GENERATE", "build/test/run_generate")
MODELS = os.environ.get("MODELS", "../shared/models")
SEVEN = ("resnet50.trt", "mobilenet_v2.u8", "efficientnet_b0.s8", "yolo_n.trt", "unet.s8", "bert_tiny.trt", "vit_tiny.trt")
KINDS = ("chain", "fork", "scales", "residual")
MEGA = 1 << 20

PEER = """
import os, sys, time
import onnxruntime as ort
path, out = sys.argv[1:3]
options = ort.SessionOptions()
options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
options.log_severity_level = 4
options.intra_op_num_threads = 2
options.optimized_model_filepath = out
before = time.perf_counter()
ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
print(time.perf_counter() - before)
"""


def run(arguments):
    """Wall time in seconds and peak memory in bytes of one process."""
    before = time.perf_counter()
    quiet = [(os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0)]
    pid = os.posix_spawnp(arguments[0], arguments, os.environ, file_actions=quiet)
    _, status, usage = os.wait4(pid, 0)
    seconds = time.perf_counter() - before
    if status != 0:
        sys.exit("%s: exit status %d" % (" ".join(arguments), os.waitstatus_to_exitcode(status)))
    return seconds, usage.ru_maxrss * 1024


def peer(path, out):
    done = subprocess.run([sys.executable, "-c", PEER, path, out], capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit("ONNX Runtime: " + done.stderr[-300:])
    return float(done.stdout.split()[-1])


def optimizing(path, out):
    """Milliseconds between loading and writing, as the report has them."""
    text = subprocess.run([QDQOPT, path, out, "--report"], capture_output=True, text=True, check=True).stdout
    return float(re.search(r"target \w+, ([0-9.]+) ms", text).group(1))


def verdict(good):
    return "met" if good else "MISSED"


def real_models(folder, runs, result):
    ratios, out = [], os.path.join(folder, "out.onnx")
    print("%-20s %8s %9s %9s %8s %8s %9s %8s %s" %
          ("model", "MB", "qdqopt ms", "alone ms", "cp ms", "x cp", "ORT ms", "ORT/us", "peak / file"))
    for name in SEVEN:
        path = os.path.join(MODELS, name + ".onnx")
        if not os.path.exists(path):
            print("%-20s skipped: MODELS=%s does not have it" % (name, MODELS))
            continue
        size = os.path.getsize(path)
        ours, copies, theirs, alone = [], [], [], []
        run([QDQOPT, path, out, "--quiet"])
        for _ in range(runs):
            ours.append(run([QDQOPT, path, out, "--quiet"]))
            copies.append(run(["cp", "--reflink=never", path, os.path.join(folder, "copy.onnx")])[0])
            alone.append(optimizing(path, out))
        for _ in range(max(3, runs // 3)):
            theirs.append(peer(path, os.path.join(folder, "ort.onnx")))
        us, cp, ort = (statistics.median(x) for x in ([t for t, _ in ours], copies, theirs))
        peak = max(memory for _, memory in ours)
        ratios.append(ort / us)
        limit = 3.2 * size + (0 if name == "resnet50.trt" else 16 * MEGA)
        row = dict(name=name, size=size, ms=us * 1e3, alone_ms=statistics.median(alone), cp_ms=cp * 1e3, ort_ms=ort * 1e3,
                   peak=peak)
        result["models"].append(row)
        print("%-20s %8.1f %9.2f %9.2f %8.2f %8.2f %9.1f %8.1f %.2f (memory %s, optimizing %s%s)" %
              (name, size / MEGA, us * 1e3, row["alone_ms"], cp * 1e3, us / cp, ort * 1e3, ort / us, peak / size,
               verdict(peak <= limit), verdict(row["alone_ms"] <= 5),
               ", 1.8x cp " + verdict(us <= 1.8 * cp) if name == "resnet50.trt" else ""))
    if ratios:
        mean = math.exp(sum(map(math.log, ratios)) / len(ratios))
        result["geometric_mean_of_ort"] = mean
        print("\ngeometric mean: 1/%.1f of ONNX Runtime's offline optimization (floor 1/6: %s)\n" % (mean, verdict(mean >= 6)))


def generated(folder, runs, result):
    path, out = os.path.join(folder, "generated.onnx"), os.path.join(folder, "out.onnx")
    print("%-10s %9s %9s %9s %9s %9s" % ("kind", "nodes", "seconds", "x before", "MB", "bytes/node"))
    for kind in KINDS:
        before = None
        for nodes in (10**4, 10**5, 10**6):
            subprocess.run([GENERATE, kind, str(nodes), path], check=True)
            times = []
            for i in range(max(3, runs // 3) + 1):
                seconds, memory = run([QDQOPT, path, out, "--quiet"])
                if i != 0:  # the first one warms up
                    times.append(seconds)
            seconds = statistics.median(times)
            growth = "" if before is None else "%9.1f" % (seconds / before)
            remark = ""
            if nodes == 10**6:
                remark = "   at most 12x: %s, at most 6 s: %s" % (verdict(seconds <= 12 * before), verdict(seconds <= 6))
            print("%-10s %9d %9.3f %9s %9.0f %9.0f%s" %
                  (kind, nodes, seconds, growth, memory / MEGA, memory / nodes, remark), flush=True)
            result["generated"].append(dict(kind=kind, nodes=nodes, seconds=seconds, peak=memory))
            before = seconds


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--runs", type=int, default=15)
    parser.add_argument("--json")
    options = parser.parse_args()
    result = dict(models=[], generated=[])
    with open("/proc/cpuinfo") as info:
        cpu = re.search(r"model name\s*: (.*)", info.read())
    print("%s, %s, %d cores, %d runs\n" % (time.strftime("%Y-%m-%d"), cpu.group(1) if cpu else "?", os.cpu_count(), options.runs))
    with tempfile.TemporaryDirectory() as folder:
        real_models(folder, options.runs, result)
        generated(folder, options.runs, result)
    if options.json:
        with open(options.json, "w") as file:
            json.dump(result, file, indent=1)


main()

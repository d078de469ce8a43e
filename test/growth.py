# SPDX-License-Identifier: Apache-2.0
#
# growth.py -- a graph four times as large takes four times the work, and no more of the stack
#
# Each shape of test/gen/generate.c in two sizes, through the tool as test/tools/work.c counts it: basic blocks entered
# and lines of memory set or copied, so that the machine and its load do not matter. What grows with the square of the
# nodes shows in graphs of a few thousand. The stack is so small that a frame for each node of a chain does not fit.
#
#   python3 test/growth.py [KIND …]        environment: WORKING (the tool), GENERATE
import os
import resource
import subprocess
import sys
import tempfile

TOOL = os.environ.get("WORKING", "build/counted/test/run_work")
GENERATE = os.environ.get("GENERATE", "build/test/run_generate")
SMALL, TIMES = 2000, 4
MOST = 1.1 * TIMES  # hash tables double, and depend on where memory lies
STACK = 256 << 10
SECONDS = 120  # for what never ends
KINDS = ("chain fork concat scales residual weights skips pairs ties concats integer moved floats heads split taps "
         "symbols functions ifs Relu Sigmoid Softmax MaxPool Transpose Identity Cast Add Mul Max MatMul Concat "
         "/Relu /Sigmoid /Add").split()
OPTIONS = ([], ["--exact", "--emit=qdq", "--report"], ["--target=tensorrt", "--allow=bounded"],
           ["--target=ort-cpu", "--allow=bounded", "--emit=qoperator"], ["--float-type=fp16", "--io=int8"])


def small_stack():
    resource.setrlimit(resource.RLIMIT_STACK, (STACK, STACK))


def work(folder, path, options):
    """The count, or what went wrong."""
    note = os.path.join(folder, "work")
    try:
        done = subprocess.run([TOOL, path, os.path.join(folder, "out.onnx"), "--quiet", *options], capture_output=True,
                              text=True, timeout=SECONDS, preexec_fn=small_stack, env=dict(os.environ, WORK=note))
    except subprocess.TimeoutExpired:
        return "no end after %d s" % SECONDS
    if done.returncode < 0:
        return "signal %d: the stack?" % -done.returncode
    if done.returncode > 0:
        return "exit status %d: %s" % (done.returncode, done.stderr.strip()[-200:])
    with open(note) as file:
        return int(file.read())


def main():
    passed = failed = 0
    with tempfile.TemporaryDirectory() as folder:
        for kind in sys.argv[1:] or KINDS:
            paths = []
            for nodes in (SMALL, SMALL * TIMES):
                paths.append(os.path.join(folder, "%d.onnx" % nodes))
                subprocess.run([GENERATE, kind, str(nodes), paths[-1]], check=True)
            for options in OPTIONS:
                counts = [work(folder, path, options) for path in paths]
                wrong = [count for count in counts if isinstance(count, str)]
                if not wrong and counts[1] > MOST * counts[0]:
                    wrong.append("%d nodes take %.2f times the work of %d" % (SMALL * TIMES, counts[1] / counts[0], SMALL))
                passed += not wrong
                failed += bool(wrong)
                if wrong:
                    print("FAILED %s %s: %s" % (kind, " ".join(options), wrong[0]))
    print("%d passed, %d failed" % (passed, failed))
    return failed != 0


sys.exit(main())

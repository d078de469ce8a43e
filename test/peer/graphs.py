# SPDX-License-Identifier: Apache-2.0
#
# graphs.py -- random networks (test/tools/random_graphs.py): optimized and original agree in ONNX Runtime
#
#   graphs.py [--seed FIRST] [--graphs COUNT] [--one SEED]        also from SEED and GRAPHS in the environment
#
# Each graph is optimized with --exact and without, as functions and as plain Q/DQ, and by its number for other targets, as
# integer operators, with --allow=bounded or --keep-float. What is written must load in ONNX Runtime, pass
# onnx.checker, and give the original's bits where --exact was given or the report lists nothing but exact rewrites (a
# NaN is a NaN, whatever its bits). Optimizing a written fused file again changes nothing; one of plain Q/DQ may change
# (what was a region is nodes again), but not in what it computes.
#
# Where a rewrite is within a step at ties, and for `qdqopt run`, whose sums and functions have other roundings than
# ONNX Runtime's, there is no bound that could be written down for the end of a network: a code that falls to the other
# side of a tie goes on as whatever follows makes of it. So it is measured: what stands in front of each Q (and of each
# other operator that jumps) is moved by up to 1e-5 of the tensor's largest number, at random, many times, and
# outputs must lie within what comes out. A code that is wrong by a step, but not at a tie, is outside.
#
# Each fifth graph is also looked at in float16, with --exact: in the reference evaluator, and in ONNX Runtime, which rounds
# to float16 where its kernels happen to (passes/roundings.c).
#
# Rewrites within a bound (a float weight becomes codes) are looked at in stages: what the passes in front of the first
# one make must agree with the original, and what is written with what stands behind the last one, both as above; between
# the two, a tensor that one of them changes may differ by the bound that the report states.
import argparse
import glob
import itertools
import json
import multiprocessing
import os
import re
import subprocess
import sys
import tempfile
import traceback
from collections import Counter

import numpy as np
import onnx
import onnx.helper as oh
import onnxruntime as ort

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "../tools"))
import evaluator
import random_graphs
import shrink_graph

QDQOPT = os.environ.get("QDQOPT", "build/qdqopt")
KEEP = os.environ.get("KEEP", "build/random")  # where failing graphs go
JUMPS = {"QuantizeLinear", "ArgMax", "TopK", "Round", "Floor", "Greater", "DynamicQuantizeLinear",
         "InstanceNormalization", "LayerNormalization", "Sub", "ReduceMean"}  # the last ones make small errors large
MOVED = 1e-5
ROUNDS = 32


def session(model):
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 4
    options.intra_op_num_threads = 1
    options.add_session_config_entry("session.disable_prepacking", "1")  # else constants are added up in another order
    return ort.InferenceSession(model if isinstance(model, (str, bytes)) else model.SerializeToString(), options,
                                providers=["CPUExecutionProvider"])


def run(model, feeds):
    return session(model).run(None, feeds)


def same(a, b):
    if a.dtype != b.dtype or a.shape != b.shape:
        return False
    if a.tobytes() == b.tobytes():
        return True
    if a.dtype.kind != "f":
        return False
    bits = np.uint32 if a.dtype == np.float32 else np.uint16 if a.dtype == np.float16 else np.uint64
    return bool(np.all((a.view(bits) == b.view(bits)) | (np.isnan(a) & np.isnan(b))))


def first_difference(names, a, b):
    """Of two lists of outputs; None: they have the same bits."""
    for name, x, y in zip(names, a, b):
        if not same(x, y):
            if x.shape != y.shape or x.dtype != y.dtype:
                return "output '%s' is %s %s, not %s %s" % (name, y.dtype, y.shape, x.dtype, x.shape)
            with np.errstate(all="ignore"):
                at = np.flatnonzero(x.reshape(-1) != y.reshape(-1))
            at = at[0] if len(at) else 0
            return "output '%s'[%d] is %r, not %r" % (name, at, y.reshape(-1)[at], x.reshape(-1)[at])
    return None if len(a) == len(b) else "%d outputs, not %d" % (len(b), len(a))


# ---- what a tie may do -----------------------------------------------------------------------------------------------


def jumps(model):
    return [n for n in model.graph.node if n.op_type in JUMPS or n.op_type.startswith("QLinear")]


def a_step(model, n, integer):
    """QLinearSoftmax of ONNX Runtime is off by a step not only at ties: the step of a Q behind a Softmax, else 0."""
    made = {o: m for m in model.graph.node for o in m.output}
    if not integer or n.op_type != "QuantizeLinear" or n.input[0] not in made or made[n.input[0]].op_type != "Softmax":
        return 0.0
    scales = [i for i in model.graph.initializer if i.name == n.input[1]]
    return float(np.max(onnx.numpy_helper.to_array(scales[0]))) if scales else 0.0


def movable(model, feeds, integer):
    """The model with an addend in front of each jump, as inputs; and their shapes and sizes."""
    names = list(dict.fromkeys(n.input[0] for n in jumps(model)))
    probe = shrink_graph.copy(model)
    probe.graph.output.clear()
    probe.graph.output.extend(oh.make_empty_tensor_value_info(n) for n in names)
    values = dict(zip(names, run(probe, feeds))) if names else {}
    moved, addends = shrink_graph.copy(model), {}
    nodes = []
    for i, n in enumerate(moved.graph.node):
        if n in jumps(model) and values[n.input[0]].dtype == np.float32:
            v, addend = values[n.input[0]], "addend.%d" % i
            finite = np.abs(v[np.isfinite(v)])
            addends[addend] = (v.shape, max(float(finite.max()) if finite.size else 0.0, a_step(model, n, integer) / MOVED))
            moved.graph.input.append(oh.make_tensor_value_info(addend, 1, v.shape))
            nodes.append(oh.make_node("Add", [n.input[0], addend], [addend + ".sum"]))
            n.input[0] = addend + ".sum"
        nodes.append(n)
    nodes = [onnx.NodeProto.FromString(n.SerializeToString()) for n in nodes]
    moved.graph.node.clear()
    moved.graph.node.extend(nodes)
    return moved, addends


def outside(model, feeds, names, got, integer=False):
    """Is `got` within what moving numbers at jumps makes of the model's outputs? None: it is; else what is not."""
    moved, addends = movable(model, feeds, integer)
    wide = integer and any(a_step(model, n, True) for n in model.graph.node)  # sums of many codes that are off by a step
    s = session(moved)
    rng = np.random.default_rng(1)
    low = high = None
    for number in range(ROUNDS):
        size = 0 if number == 0 else MOVED * (1 if number % 2 else 0.1)
        noise = {k: np.asarray(rng.integers(-1, 2, shape) * size * most, np.float32) for k, (shape, most) in addends.items()}
        out = s.run(None, {**feeds, **noise})
        low = out if low is None else [np.fmin(a, b) for a, b in zip(low, out)]
        high = out if high is None else [np.fmax(a, b) for a, b in zip(high, out)]
    for name, a, b, x in zip(names, low, high, got):
        if x.shape != a.shape or x.dtype != a.dtype:
            return "output '%s' is %s %s, not %s %s" % (name, x.dtype, x.shape, a.dtype, a.shape)
        if x.dtype.kind == "f":
            with np.errstate(all="ignore"):
                finite = np.abs(b[np.isfinite(b)])
                slack = 2e-5 * (finite.max() if finite.size else 0) + 1e-6 + 2 * (b - a)
                bad = ~((x >= a - slack) & (x <= b + slack)) & np.isfinite(a) & np.isfinite(b)
        else:
            more = (b.astype(np.int64) - a) * wide
            bad = (x < a - more) | (x > b + more)
        if np.any(bad):
            at = np.flatnonzero(bad)[0]
            return "output '%s'[%d] is %r, ties allow %r to %r" % (name, at, x.reshape(-1)[at], a.reshape(-1)[at], b.reshape(-1)[at])
    return None


# ---- one graph -------------------------------------------------------------------------------------------------------


class Judge:
    """Optimizes and compares in a folder of its own."""

    def __init__(self, folder, number=None):
        self.folder = folder
        self.number = number  # which of the modes that not every graph is put through; None: all of them
        self.counts = Counter()
        self.passes = re.findall(r"^(\w+): ", subprocess.run([QDQOPT, "--list-rules"], capture_output=True, text=True).stdout, re.M)

    def path(self, name):
        return os.path.join(self.folder, name)

    def tool(self, *arguments):
        return subprocess.run([QDQOPT, *arguments], capture_output=True, text=True, timeout=120)

    def optimize(self, given, out, *options):
        """The written bytes, or None and the complaint."""
        try:
            done = self.tool(self.path(given), self.path(out), "--quiet", "--report=" + self.path("report.json"), *options)
        except subprocess.TimeoutExpired:
            return None, "it takes more than two minutes"
        if done.returncode != 0:
            return None, "exit status %d: %s" % (done.returncode, done.stderr.strip()[-300:])
        with open(self.path(out), "rb") as file:
            return file.read(), None

    def meets_nan(self, feeds):
        """Is there a NaN in the original? What a comparison or a Q makes of one is nobody's promise."""
        model = onnx.load(self.path("in.onnx"))
        names = [o for n in model.graph.node for o in n.output if o]
        values = run(shrink_graph.with_outputs(model, [oh.make_empty_tensor_value_info(n) for n in names]), feeds)
        return any(v.dtype == np.float32 and np.isnan(v).any() for v in values)

    def rewrites(self):
        with open(self.path("report.json")) as file:
            report = json.load(file)
        for op in report["ops"]:
            if op["verdict"] != "int8->int8" and not op["reason"]:
                return None, "no reason for '%s'" % op["name"]
        return report["rewrites"], None

    def compare(self, data, what, exact, names, feeds, wanted):
        try:
            onnx.checker.check_model(data)
            s = session(data)
        except Exception as error:  # the checker's and ONNX Runtime's own kinds
            return "%s: refused: %s" % (what, str(error).strip()[:300])
        for number, (f, w) in enumerate(zip(feeds, wanted)):
            try:
                got = s.run(None, f)
            except Exception as error:
                return "%s: inputs %d: it fails: %s" % (what, number, str(error).strip()[:300])
            difference = first_difference(names, w, got)
            if difference is not None and not exact:
                difference = outside(self.as_run if self.loose else self.reference, f, names, w, self.loose) or outside(self.reference, f, names, got, "qoperator" in what)
                self.counts["within ties"] += difference is None
            if difference is not None and self.meets_nan(f):
                self.counts["differ where NaN is compared or rounded"] += 1
            elif difference is not None:
                return "%s: inputs %d: %s" % (what, number, difference)
        return None

    def held(self, parts, bounded, feeds):
        """A complaint where a tensor is further from what it was than its rewrite says. Only tensors that no other one of
        them comes before: the others have other inputs than they had."""
        before, behind = (onnx.load_model_from_string(p) for p in parts)
        made = [{o: n for n in m.graph.node for o in n.output} for m in (before, behind)]
        there = set(made[0]) & set(made[1])
        bounds = Counter()
        for r in bounded:
            bounds[r["tensor"]] += r["bound"]
        codes = {made[0][t].input[0] for t in bounds if t in made[0] and made[0][t].op_type == "DequantizeLinear"}
        names = set(bounds) | {o for m in made for o, n in m.items() if n.op_type == "DequantizeLinear" and n.input[0] in codes}
        for r in bounded:
            if r["tensor"] not in there or any(shrink_graph.above(m, r["tensor"]) & names for m in made):
                self.counts["bounds not looked at"] += 1
                continue
            probes = [shrink_graph.with_outputs(m, [oh.make_empty_tensor_value_info(r["tensor"])]) for m in (before, behind)]
            for f in feeds:
                f = [{k: v for k, v in f.items() if k in {i.name for i in p.graph.input}} for p in probes]
                x, y = (run(p, g)[0].astype(np.float64) for p, g in zip(probes, f))
                if x.shape != y.shape or x.size and np.max(np.abs(x - y)) > bounds[r["tensor"]] + 2e-6 * np.max(np.abs(x)):
                    return "%s: '%s' changes by more than %g" % (r["rule"], r["tensor"], bounds[r["tensor"]])
            self.counts["bounds held"] += 1
        return None

    def stages(self, data, what, strict, rewrites, options, names, feeds, wanted):
        """A complaint where some rewrites are within a bound."""
        bounded = [r for r in rewrites if r["exactness"] == "bounded"]
        at = [self.passes.index(r["pass"]) for r in bounded]
        exact = lambda passes: all(r["exactness"] == "exact" for r in rewrites if r["pass"] in passes)
        kept, parts = self.reference, []
        for passes in (self.passes[:min(at)], self.passes[:max(at) + 1]):
            part, complaint = self.optimize("in.onnx", "part.onnx", "--emit", "qdq", "--passes", ",".join(passes) or "none", *options)
            if part is None:
                return "%s: --passes: %s" % (what, complaint)
            parts.append(part)
        self.reference = onnx.load_model_from_string(parts[0])
        complaint = self.compare(parts[0], what + ", in front", exact(self.passes[:min(at)]), names, feeds, wanted)
        self.reference = kept
        if complaint:
            return complaint
        complaint = self.held(parts, bounded, feeds)
        if complaint:
            return "%s: %s" % (what, complaint)
        s = session(parts[1])
        return self.compare(data, what + ", behind", strict and exact(self.passes[max(at):]), names, feeds, [s.run(None, f) for f in feeds])

    def mode(self, emit, options, seen, names, feeds, wanted):
        """Complaints about one emit mode."""
        what = " ".join([emit, *options[1:]])
        data, complaint = self.optimize("in.onnx", "out.onnx", "--emit", emit, *options)
        if data is None:
            yield what, "%s: %s" % (what, complaint)
            return
        rewrites, complaint = self.rewrites()
        if complaint:
            yield "reason", "%s: %s" % (what, complaint)
            return
        if emit == "qdq":
            self.reference = onnx.load_model_from_string(data)
        if emit == "qdq" and options == ["--target", "cuda"]:
            self.as_run = self.reference
        strict = "--exact" in options or emit != "qoperator" and all(r["exactness"] != "step1" for r in rewrites)
        bounded = any(r["exactness"] == "bounded" for r in rewrites)
        self.counts["bounded" if bounded else "exact" if strict else "not exact"] += 1
        if data in seen:
            return
        seen.add(data)
        if bounded and "--exact" not in options:
            complaint = self.stages(data, what, emit != "qoperator", rewrites, options, names, feeds, wanted)
        else:
            complaint = self.compare(data, what, strict, names, feeds, wanted)
        if complaint:
            yield what, complaint
        again, complaint = self.optimize("out.onnx", "again.onnx", "--emit", emit, *options)
        if again is None or emit == "fused" and again != data:
            yield what + " again", "%s: optimizing its output again %s" % (what, complaint or "changes it")
        elif again != data and strict and not bounded and all(r["exactness"] == "exact" for r in self.rewrites()[0]):
            # plain nodes may be moved further, as Q that stood for regions
            complaint = self.compare(again, what + ", again", True, names, feeds, wanted)
            if complaint:
                yield what + " again", complaint

    def modes_of(self, names, feeds, wanted):
        """Every graph for our own kernels, with --exact and without; of the rest what its number says, or all."""
        seen = set()
        exact, bounded, cuda, ort = ["--exact"], ["--allow=bounded"], ("qdq", "fused"), ("qdq", "qoperator")
        keep = ["--exact", "--keep-float", self.named]
        runs = [("cuda", cuda, exact), ("cuda", cuda, [])]
        rest = [[("ort-cpu", ort, exact), ("ort-cpu", ort, [])],
                [("cuda", cuda, bounded)] + ([("cuda", cuda, keep)] if self.named else []),
                [("tensorrt", ("qdq",), exact), ("tensorrt", ("qdq",), []), ("tensorrt", ("qdq",), bounded)],
                [("ort-cpu", ort, bounded)]]
        for target, emits, options in runs + (sum(rest, []) if self.number is None else rest[self.number % 4]):
            for emit in emits:  # plain Q/DQ comes first: it is the reference of what is written otherwise
                yield from self.mode(emit, ["--target", target, *options], seen, names, feeds, wanted)

    def exec(self, names, feeds, wanted):
        """qdqopt run, beside ONNX Runtime."""
        np.savez(self.path("in.npz"), **feeds)
        done = self.tool("run", self.path("in.onnx"), "--input", self.path("in.npz"), "--output", self.path("out.npz"), "--quiet",
                         "--threads", "1", "--check")
        if "there is no kernel for this operator" in done.stderr:
            self.counts["not run: " + "".join(sorted(set(re.findall(r"\((\w+)\): error: there is no kernel", done.stderr))))] += 1
            return None
        if done.returncode != 0:
            return "run: exit status %d: %s" % (done.returncode, done.stderr.strip()[-300:])
        if ", 0 not at a tie" not in done.stdout:
            return "run --check: " + done.stdout.strip().split("\n")[-1]
        with np.load(self.path("out.npz")) as arrays:
            got = [arrays[n] for n in names]
        if first_difference(names, wanted, got) is None:
            return None
        self.counts["run within ties"] += 1
        complaint = outside(self.as_run, feeds, names, got, self.loose)
        return complaint and "run: " + complaint

    def judge(self, model, feeds):
        """Complaints (kind, text); None: ONNX Runtime does not run the original."""
        self.reference = self.as_run = None
        try:
            s = session(model)
            wanted = [s.run(None, f) for f in feeds]
        except Exception:  # its refusal of a graph is no finding
            return None
        with open(self.path("in.onnx"), "wb") as file:
            file.write(model.SerializeToString())
        names = [o.name for o in model.graph.output]
        self.loose = any(n.op_type == "QLinearSoftmax" for n in model.graph.node)
        labels = [n.name for n in model.graph.node if n.name]
        self.named = labels[len(labels) // 2] if labels else None
        found = list(self.modes_of(names, feeds, wanted))
        if self.as_run is not None:
            complaint = self.exec(names, feeds[0], wanted[0])
            if complaint:
                found.append(("run", complaint))
        return found


    def judge_half(self, model, feeds):
        """The same in float16, with --exact: in the reference evaluator, and in ONNX Runtime where that runs it."""
        driver = evaluator.Driver(self.folder)
        defaults = {i.name: onnx.numpy_helper.to_array(i) for i in model.graph.initializer}
        narrow = lambda x: x.astype(np.float16) if x.dtype == np.float32 else x
        named = [{name: narrow(x) for name, x in f.items()} for f in feeds]
        try:
            peers = [session(model).run(None, f) for f in named]
        except Exception:  # its refusal of a graph is no finding
            peers = None
        feeds = [[narrow(f[i.name]) if i.name in f else defaults[i.name] for i in model.graph.input] for f in feeds]
        given = [driver.run(model, f) for f in feeds]
        names = [o.name for o in model.graph.output]
        found = []
        if any(answer != "ok" for answer, _ in given):
            driver.close()
            return None
        with open(self.path("in.onnx"), "wb") as file:
            file.write(model.SerializeToString())
        for emit in ("qdq", "fused"):
            what = "float16 %s --exact" % emit
            data, complaint = self.optimize("in.onnx", "out.onnx", "--emit", emit, "--exact")
            if data is None:
                found.append((what, "%s: %s" % (what, complaint)))
                continue
            again, complaint = self.optimize("out.onnx", "again.onnx", "--emit", emit, "--exact")
            if emit == "fused" and again != data:
                found.append((what, "%s: optimizing its output again %s" % (what, complaint or "changes it")))
            for f, wanted in zip(named, peers or []):
                difference = first_difference(names, wanted, session(onnx.load(self.path("out.onnx"))).run(None, f))
                if difference:
                    found.append((what, "%s in ONNX Runtime: %s" % (what, difference)))
                    break
            for f, (_, wanted) in zip(feeds, given):
                answer, got = driver.run(self.path("out.onnx"), f)
                difference = answer if answer != "ok" else first_difference(
                    names, *([onnx.numpy_helper.to_array(t) for t in ts] for ts in (wanted, got)))
                if difference:
                    found.append((what, "%s: %s" % (what, difference)))
                    break
            self.counts["float16"] += 1
        driver.close()
        return found


def keep(judge, seed, model, kind, feeds):
    """The failing graph, and a small one that fails in the same way, as text."""
    os.makedirs(KEEP, exist_ok=True)

    def fails(small, given):
        found = judge.judge(small, given)
        return bool(found) and any(k == kind for k, _ in found)

    small, given = (model, feeds) if kind.startswith("float16") else shrink_graph.shrink(model, feeds, run, fails)
    for name, m in (("%d.onnx" % seed, model), ("%d.small.onnx" % seed, small)):
        onnx.save(m, os.path.join(KEEP, name))
        judge.tool(os.path.join(KEEP, name), os.path.join(KEEP, name + "txt"), "--passes", "none", "--emit", "qdq", "--quiet")
    np.savez(os.path.join(KEEP, "%d.small.npz" % seed), **given[0])
    return os.path.join(KEEP, "%d.small.onnxtxt" % seed), len(small.graph.node)


def one(seed):
    """What is wrong with the graph of a seed, as lines; and counts."""
    try:
        return look_at(seed)
    except Exception:  # whatever it is, it belongs to this graph
        return ["seed %d: %s" % (seed, traceback.format_exc())], Counter()


def look_at(seed):
    with tempfile.TemporaryDirectory() as folder:
        judge = Judge(folder, seed)
        model, inputs = random_graphs.make(seed)
        feeds = [inputs(0), inputs(1)]
        found = judge.judge(model, feeds)
        half = random_graphs.to_half(model) if seed % 5 == 0 else None
        if half is not None and not found:
            found, model = judge.judge_half(half, feeds), half
        counts = judge.counts.copy()
        lines = []
        if found is None:
            counts["refused by ONNX Runtime"] += 1
        elif found:
            path, nodes = keep(judge, seed, model, found[0][0], feeds)
            lines = ["seed %d: %s" % (seed, text) for _, text in found] + ["  %d nodes: %s" % (nodes, path)]
        return lines, counts


def feeds_of(model, number):
    """Inputs for a graph that was kept as a file."""
    rng, feeds = np.random.default_rng(number), {}
    given = {i.name for i in model.graph.initializer}
    for i in model.graph.input:
        tensor = i.type.tensor_type
        shape, dtype = [d.dim_value or 2 for d in tensor.shape.dim], oh.tensor_dtype_to_np_dtype(tensor.elem_type)
        if i.name in given:
            continue
        if np.issubdtype(dtype, np.floating):
            feeds[i.name] = (rng.standard_normal(shape) if number == 0 else rng.integers(-40, 40, shape) / 64).astype(dtype)
        else:
            low, high = (0, 1) if dtype == np.bool_ else (np.iinfo(dtype).min, np.iinfo(dtype).max)
            feeds[i.name] = rng.integers(low, high, shape, endpoint=True).astype(dtype)
    return feeds


def kept(path):
    """The same for a graph of test/random, which went wrong once."""
    with tempfile.TemporaryDirectory() as folder:
        judge = Judge(folder)
        done = judge.tool(path, judge.path("kept.onnx"), "--passes", "none", "--emit", "qdq", "--quiet")
        if done.returncode != 0:
            return ["%s: %s" % (path, done.stderr.strip())], Counter()
        model = onnx.load(judge.path("kept.onnx"))
        found = judge.judge(model, [feeds_of(model, n) for n in (0, 1)])
        lines = ["%s: ONNX Runtime refuses it" % path] if found is None else ["%s: %s" % (path, text) for _, text in found]
        return lines, judge.counts


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=int(os.environ.get("SEED") or 1))
    parser.add_argument("--graphs", type=int, default=int(os.environ.get("GRAPHS") or 2000))
    parser.add_argument("--one", type=int)
    a = parser.parse_args()
    seeds = [a.one] if a.one is not None else range(a.seed, a.seed + a.graphs)
    counts, failed = Counter(), 0
    files = [] if a.one is not None else sorted(glob.glob(os.path.join(os.path.relpath(HERE), "../random/*.onnxtxt")))
    with multiprocessing.Pool() as pool:
        for lines, more in itertools.chain(pool.imap(kept, files), pool.imap(one, seeds, chunksize=4)):
            counts.update(more)
            failed += bool(lines)
            if lines:
                print("FAILED " + "\n".join(lines), flush=True)
    print(", ".join("%d %s" % (n, what) for what, n in sorted(counts.items())))
    passed = len(files) + len(seeds) - failed - counts["refused by ONNX Runtime"]
    if counts["refused by ONNX Runtime"] > 0.03 * len(seeds):
        print("FAILED: ONNX Runtime refuses more than 3 % of the graphs")
        failed += 1
    print("%d passed, %d failed" % (passed, failed))
    sys.exit(failed != 0)


if __name__ == "__main__":
    main()

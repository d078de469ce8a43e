# SPDX-License-Identifier: Apache-2.0
#
# graphs.py -- random networks (test/tools/random_graphs.py): optimized and original agree in ONNX Runtime
#
#   graphs.py [--seed FIRST] [--graphs COUNT] [--one SEED] [--jobs COUNT]     also from SEED and GRAPHS in the environment
#
# Each graph is optimized with --exact and without, as functions and as plain Q/DQ, and by its number for other targets, as
# integer operators, with --allow=bounded, --keep-float, --precision, --float-type fp16, --io int8 or a pass left out. What is
# written must load in ONNX Runtime, pass onnx.checker, and give the original's bits where --exact was given or the report
# lists nothing but exact rewrites (a NaN is a NaN, whatever its bits). Optimizing a written fused file again changes
# nothing; one of plain Q/DQ may change (what was a region is nodes again), but not in what it computes. The report must
# say of the file what stands in it (test/tools/verdicts.py). ONNX Runtime lacks fake quantization: it gets ONNX's own
# operators in its place (test/tools/fakes.py).
#
# Where a rewrite is within a step at ties, and for `qdqopt run`, whose sums and functions have other roundings than
# ONNX Runtime's, there is no bound that could be written down for the end of a network: a code that falls to the other
# side of a tie goes on as whatever follows makes of it. So it is measured: what stands in front of each Q (and of each
# other operator that jumps) is moved by up to 1e-5 of the tensor's largest number, at random, many times (in bodies in
# front of Qs alone), and outputs must lie within what comes out. A code that is wrong by a step, but not at a tie, is outside.
#
# What --float-type fp16 may do is measured likewise: everything in front of every operator is moved by 2^-8.
#
# Each fifth graph is also looked at in float16 or bfloat16, for every target, and those that hold float16 beside float32: in
# the reference evaluator, and with --exact for our own kernels in ONNX Runtime, which rounds to float16 where its kernels
# happen to (passes/roundings.c). For ONNX Runtime's CPU such networks become float32 (passes/widen.c). Chains of operators
# then lack more than one rounding, so neither the original nor what is written may be further from the same network in
# float32 (to_float32 in random_graphs.py) than half a unit of the 16-bit type, 2^-11 or 2^-8 of the tensor's largest number,
# makes of it in front of every operator. Passes within a bound are left out there: float32 networks are for these.
#
# Rewrites within a bound (a float weight becomes codes) are looked at in stages: what the passes in front of the first pass
# with such rewrites make must agree with the original, what stands in front of the next one with what the first one made,
# and what is written with what the last one made, all as above; of each such pass, every tensor that it changes is computed
# from the nearest tensors that are there on both sides, and may differ by the bounds that the report states; with those
# tensors as they were, no output changes.
import argparse
import functools
import glob
import itertools
import json
import multiprocessing
import os
import re
import sys
import tempfile
import traceback
from collections import Counter

import numpy as np
import onnx
import onnx.helper as oh
from onnx import TensorProto

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "../tools"))
import evaluator
import optimizer
import random_graphs
import shrink_graph
import verdicts
from ties import FLOATS, MOVED, Ranges, computed, first_difference, floats, holds_softmax, run, session

FOLDER = tempfile.gettempdir()  # where processes have theirs
KEEP = os.environ.get("KEEP", "build/random")  # where failing graphs go


def codes_of(x, scale, zero, kind):
    """As ONNX's QuantizeLinear."""
    with np.errstate(all="ignore"):
        y = np.rint(x / scale).astype(np.float64) + zero
    low, high = np.iinfo(kind).min, np.iinfo(kind).max
    return np.clip(np.where(np.isnan(y), low, y), low, high).astype(kind)


# ---- one graph -------------------------------------------------------------------------------------------------------


@functools.cache
def place(folder):
    """The tool, and its passes, for a process that works in this folder."""
    tool = optimizer.Optimizer(folder)
    return tool, re.findall(r"^(\w+): ", tool.run("--list-rules").stdout, re.M)


class Judge:
    """Optimizes and compares, in this process's folder."""

    def __init__(self, number=None):
        folder = os.path.join(FOLDER, str(os.getpid()))
        os.makedirs(folder, exist_ok=True)
        self.folder = folder
        self.number = number  # which of the modes that not every graph is put through; None: all of them
        self.counts = Counter()
        self.optimizer, self.passes = place(folder)
        self.ranges = {}

    def path(self, name):
        return os.path.join(self.folder, name)

    def tool(self, *arguments):
        return self.optimizer.run(*arguments)

    def optimize(self, given, out, *options):
        """The written bytes, or None and the complaint."""
        done = self.tool(self.path(given), self.path(out), "--quiet", "--report=" + self.path("report.json"), *options)
        if done.returncode != 0:
            return None, "exit status %d: %s" % (done.returncode, done.stderr.strip()[-300:])
        with open(self.path(out), "rb") as file:
            return file.read(), None

    def all_floats(self, feeds):
        """What the original computes."""
        return floats(self.original, [o for n in self.original.graph.node for o in n.output if o], feeds).values()

    def meets_nan(self, feeds):
        """Is there a NaN in the original? What a comparison or a Q makes of one is nobody's promise."""
        return any(np.isnan(v).any() for v in self.all_floats(feeds))

    def outside(self, model, feeds, names, got, integer=False, most=MOVED, everywhere=False):
        """Is `got` within what ties may do to the model's outputs? None: it is."""
        key = id(model), id(feeds), integer, most, everywhere
        if key not in self.ranges or self.ranges[key].model is not model or self.ranges[key].feeds is not feeds:
            self.ranges[key] = Ranges(model, feeds, integer, most, everywhere)
        return self.ranges[key].outside(names, got)

    def report(self):
        with open(self.path("report.json")) as file:
            return json.load(file)

    def misreported(self, report, data, emit):
        """What the report says, beside the file."""
        for op in report["ops"]:
            if op["verdict"] != "int8->int8" and not op["reason"]:
                return "no reason for '%s'" % op["name"]
        if emit == "qoperator":
            return None
        written = onnx.load_model_from_string(data)
        try:
            known = [o for n in written.graph.node for o in n.output if o] + [i.name for i in written.graph.initializer]
            types = {o.name: o.type for o in session(shrink_graph.with_outputs(written, map(oh.make_empty_tensor_value_info, known))).get_outputs()}
            types.update((i.name, "tensor(%s)" % onnx.TensorProto.DataType.Name(i.type.tensor_type.elem_type).lower()) for i in written.graph.input)
        except Exception:  # compare says so
            return None
        self.counts["verdicts"] += len(report["ops"])
        return verdicts.complaint(report, self.original, written, types, emit == "fused")

    def compare(self, data, what, exact, names, feeds, wanted, peer=None, loose=False):
        """A complaint where `data` does not give what is wanted: of the original, or by `peer`, Q/DQ that mean the same."""
        if peer is None:  # QLinearSoftmax of the original is held to Q/DQ, whatever a target makes of them
            peer, loose = self.as_read if self.loose else self.reference, self.loose
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
                difference = self.outside(peer, f, names, w, loose) or self.outside(peer, f, names, got, holds_softmax(data))
                self.counts["within ties"] += difference is None
            if difference is not None and self.meets_nan(f):
                self.counts["differ where NaN is compared or rounded"] += 1
            elif difference is not None:
                return "%s: inputs %d: %s" % (what, number, difference)
        return None

    def held(self, before, behind, bounded, feeds):
        """A complaint where a tensor is further from what it was than the rewrites of a pass say: computed, in the network behind it,
        from the nearest floats that both networks have, with the values that these have in the one before."""
        made = [{o: n for n in m.graph.node for o in n.output} for m in (before, behind)]
        bounds, targets = Counter(), {}
        for r in bounded:
            tensor, inserted = r["tensor"], r["pass"] == "repair_inputs"  # new DQs are read in place of the tensor, each within its bound
            bounds[tensor] = max(bounds[tensor], r["bound"]) if inserted else bounds[tensor] + r["bound"]
            targets[tensor] = shrink_graph.dequantized(behind, tensor, made[0]) if inserted else [tensor]
        there = {t for t in bounds if t in made[0] and targets[t] and targets[t][0] in made[1]}
        self.counts["bounds not looked at"] += len(set(bounds) - there)
        if not there:
            return None
        given = {i.name for i in before.graph.input}
        both = [n for n in made[0] if n in made[1]] + [i.name for i in behind.graph.input if i.name in given]
        for f in feeds:
            values = floats(before, [n for n in both if n not in given], f)
            values.update((n, x) for n, x in f.items() if x.dtype == np.float32)
            now = {**values, **{target: values[t] for t in there & set(values) for target in targets[t]}}
            for tensor, target in [(t, target) for t in there & set(values) for target in targets[t]]:
                near = {n: now[n] for n in shrink_graph.nearest(made[1], target, set(now) - {target})}
                gone = (set(bounds) - there) & shrink_graph.nearest(made[0], tensor, set(values) | set(bounds) - {tensor})
                if gone:
                    self.counts["bounds not looked at"] += 1  # behind one that is not found again
                    continue
                y = computed(behind, [target], near, f)[0].astype(np.float64)
                x = values[tensor].astype(np.float64)
                if x.shape != y.shape or x.size and np.max(np.abs(x - y)) > bounds[tensor] + 2e-6 * np.max(np.abs(x)):
                    return "'%s' changes by %g, more than %g" % (tensor, np.max(np.abs(x - y)) if x.shape == y.shape else 0, bounds[tensor])
                self.counts["bounds held"] += 1
            if set(bounds) <= there & set(values):
                complaint = self.unnamed(before, behind, {target: now[target] for t in bounds for target in targets[t]}, f)
                if complaint:
                    return complaint
        return None

    def unnamed(self, before, behind, named, feeds):
        """A complaint where outputs change although all tensors that the rewrites name are given as they were."""
        names = [o.name for o in behind.graph.output if o.name not in named]
        if not names:
            return None
        difference = first_difference(names, session(before).run(names, feeds), computed(behind, names, named, feeds))
        self.counts["nothing else changed"] += difference is None
        return difference and "%s, and no rewrite names it" % difference

    def stages(self, data, what, strict, rewrites, options, names, feeds, wanted):
        """A complaint where some rewrites are within a bound: each pass that has such ones alone, and what stands between them."""
        bounded = [r for r in rewrites if r["exactness"] == "bounded"]
        exact = lambda passes: all(r["exactness"] == "exact" for r in rewrites if r["pass"] in passes)
        left_out = [o.removeprefix("--passes=-") for o in options if o.startswith("--passes")]
        options = [o for o in options if not o.startswith("--passes")]
        first, loose = 0, self.loose
        for at in sorted({self.passes.index(r["pass"]) for r in bounded}):
            name, parts = self.passes[at], []
            for end in at, at + 1:
                passes = [p for p in self.passes[:end] if p not in left_out]
                part, complaint = self.optimize("in.onnx", "part.onnx", "--emit", "qdq", "--passes", ",".join(passes) or "none", *options)
                if part is None:
                    return "%s: --passes: %s" % (what, complaint)
                parts.append(part)
            before, behind = map(onnx.load_model_from_string, parts)
            complaint = self.compare(parts[0], "%s, in front of %s" % (what, name), exact(self.passes[first:at]), names, feeds, wanted,
                                     before, loose)
            if complaint:
                return complaint
            complaint = self.held(before, behind, [r for r in bounded if r["pass"] == name], [f for f in feeds if not self.meets_nan(f)])
            if complaint:
                return "%s: %s: %s" % (what, name, complaint)
            s = session(behind)
            wanted, first, loose = [s.run(None, f) for f in feeds], at + 1, holds_softmax(parts[1])
        return self.compare(data, what + ", behind", strict and exact(self.passes[first:]), names, feeds, wanted,
                            self.reference, loose)

    def mode(self, emit, options, seen, names, feeds, wanted):
        """Complaints about one emit mode."""
        what = " ".join([emit, *options[1:]])
        data, complaint = self.optimize("in.onnx", "out.onnx", "--emit", emit, *options)
        if data is None:
            yield what, "%s: %s" % (what, complaint)
            return
        report = self.report()
        rewrites = report["rewrites"]
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
        complaint = self.misreported(report, data, emit)
        if complaint:
            yield what + " report", "%s: report: %s" % (what, complaint)
        if bounded and "--exact" not in options:
            complaint = self.stages(data, what, emit != "qoperator", rewrites, options, names, feeds, wanted)
        else:
            complaint = self.compare(data, what, strict, names, feeds, wanted)
        if complaint:
            yield what, complaint
        if "=int8" in what or "--keep-float" in options:
            if self.named.encode() not in data or any(r["pass"] == "read_arithmetic" for r in rewrites):
                return  # what the options name is another operator now, or part of one: the second time they name less
        again, complaint = self.optimize("out.onnx", "again.onnx", "--emit", emit, *options)
        if again is None or emit == "fused" and options[1] != "ort-cpu" and again != data:
            yield what + " again", "%s: optimizing its output again %s" % (what, complaint or "changes it")
        elif again != data and all(r["exactness"] == "exact" for r in self.report()["rewrites"]):
            # plain nodes may be moved further, as Q that stood for regions; for ONNX Runtime regions are dissolved first
            s = session(data)
            complaint = self.compare(again, what + ", again", True, names, feeds, [s.run(None, f) for f in feeds])
            if complaint:
                yield what + " again", complaint

    def modes_of(self, names, feeds, wanted):
        """Every graph for our own kernels, with --exact and without; of the rest what its number says, or all."""
        seen = set()
        exact, bounded, cuda, ort = ["--exact"], ["--allow=bounded"], ("qdq", "fused"), ("qdq", "qoperator")
        keep = ["--keep-float", self.named]
        runs = [("cuda", cuda, exact), ("cuda", cuda, [])]
        without = ["--passes=-" + self.passes[(self.number or 0) % len(self.passes)]]
        rest = [[("ort-cpu", ort, exact), ("ort-cpu", ort, [])],
                [("cuda", cuda, bounded), ("cuda", cuda, [*exact, *keep])],
                [("tensorrt", ("qdq",), exact), ("tensorrt", ("qdq",), []), ("tensorrt", ("qdq",), bounded)],
                [("ort-cpu", ort, bounded), ("ort-cpu", ("qdq", "fused"), exact)],
                [("cuda", cuda, keep), ("cuda", cuda, ["--precision", "%s=int8" % self.named])],
                [("cuda", cuda, [*exact, *without]), ("cuda", cuda, without), ("tensorrt", ("qdq", "fused"), [])]]
        for target, emits, options in runs + (sum(rest, []) if self.number is None else rest[self.number % len(rest)]):
            for emit in emits:  # plain Q/DQ comes first: it is the reference of what is written otherwise
                if self.named or not set(options) & {"--keep-float", "--precision"}:
                    yield from self.mode(emit, ["--target", target, *options], seen, names, feeds, wanted)
        if self.number is None or self.number % 3 == 0:
            yield from self.as_codes(names, feeds, wanted)
        if self.number is None or self.number % 6 == 1:
            yield from self.in_half(names, feeds)

    def as_codes(self, names, feeds, wanted):
        """--io int8: whoever quantizes inputs and dequantizes outputs as the report says has the same bits."""
        targets = ("cuda", "tensorrt", "ort-cpu")
        for target in targets if self.number is None else [targets[self.number // 3 % 3]]:
            what = "--io int8 " + target
            data, complaint = self.optimize("in.onnx", "out.onnx", "--emit", "fused", "--exact", "--io", "int8", "--target", target)
            if data is None:
                yield what, "%s: %s" % (what, complaint)
                continue
            said = {i["name"]: (np.float32(i["scale"]), i["zero_point"], np.dtype(i["type"])) for i in self.report()["io"]}
            self.counts["inputs and outputs as codes"] += len(said)
            given = [{k: codes_of(x, *said[k]) if k in said else x for k, x in f.items()} for f in feeds]
            try:
                s = session(data)
                got = [s.run(None, f) for f in given]
            except Exception as error:
                yield what, "%s: refused: %s" % (what, str(error).strip()[:300])
                continue
            for f, w, g in zip(feeds, wanted, got):
                g = [((x.astype(np.int32) - said[n][1]).astype(np.float32) * said[n][0]) if n in said else x for n, x in zip(names, g)]
                difference = first_difference(names, w, g)
                if difference and not self.meets_nan(f):
                    yield what, "%s: %s" % (what, difference)
                    break
            again, complaint = self.optimize("out.onnx", "again.onnx", "--emit", "fused", "--exact", "--io", "int8", "--target", target)
            if again is None or target != "ort-cpu" and again != data:
                yield what + " again", "%s: optimizing its output again %s" % (what, complaint or "changes it")
            elif again != data:
                s = session(again)
                complaint = next(filter(None, (first_difference(names, g, s.run(None, f)) for f, g in zip(given, got))), None)
                if complaint:
                    yield what + " again", "%s, again: %s" % (what, complaint)

    def in_half(self, names, feeds):
        """--float-type fp16: as far from the network as its roundings move it, were they in front of every operator."""
        named = [["--precision", "%s=fp16" % self.named]] if self.named else []
        small = [f for f in feeds if self.largest(f) <= 100 and not self.meets_nan(f)]
        self.counts["too large for float16"] += len(feeds) - len(small)
        for options in [["--float-type", "fp16"], *named]:
            what = " ".join(options)
            for emit in ("qdq", "fused"):
                data, complaint = self.optimize("in.onnx", "out.onnx", "--emit", emit, *options)
                if data is None:
                    yield what, "%s %s: %s" % (emit, what, complaint)
                    break
                report = self.report()
                self.counts["in float16"] += sum(r["rule"] == "float16.convert" for r in report["rewrites"])
                complaint = self.misreported(report, data, emit)
                if complaint:
                    yield what + " report", "%s %s: report: %s" % (emit, what, complaint)
                try:
                    onnx.checker.check_model(data)
                    s = session(data)
                    got = [s.run(None, f) for f in small]
                except Exception as error:
                    yield what, "%s %s: refused: %s" % (emit, what, str(error).strip()[:300])
                    break
                for f, g in zip(small, got):
                    complaint = self.outside(self.as_run, f, names, g, self.loose, 2.0**-8, True)
                    if complaint:
                        yield what, "%s %s: %s" % (emit, what, complaint)
                    self.counts["float16 within"] += not complaint
                # the Casts that it wrote may go into Q and DQ the second time, since that is done before they are written
                self.optimize("out.onnx", "again.onnx", "--emit", emit, *options)
                second, _ = self.optimize("again.onnx", "again2.onnx", "--emit", emit, *options)
                third, complaint = self.optimize("again2.onnx", "again.onnx", "--emit", emit, *options)
                if third is None or emit == "fused" and second != third:
                    yield what + " again", "%s %s: optimizing its output again and again %s" % (emit, what, complaint or "changes it")

    def largest(self, feeds):
        """The largest number that the original computes."""
        return max([0.0] + [float(np.max(np.abs(v), initial=0)) for v in self.all_floats(feeds)])

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
        unexplained = [line for line in done.stdout.split("\n") if line.endswith("nothing was rounded otherwise)")]
        if unexplained:
            return "run --check: " + unexplained[0]
        with np.load(self.path("out.npz")) as arrays:
            got = [arrays[n] for n in names]
        if first_difference(names, wanted, got) is None:
            return None
        self.counts["run within ties"] += 1
        complaint = self.outside(self.as_run, feeds, names, got, self.loose)
        return complaint and "run: " + complaint

    def judge(self, model, feeds):
        """Complaints (kind, text); None: ONNX Runtime does not run the original."""
        self.reference = self.as_run = self.as_read = None
        self.original = model
        try:
            s = session(model)
            wanted = [s.run(None, f) for f in feeds]
        except Exception:  # its refusal of a graph is no finding
            return None
        with open(self.path("in.onnx"), "wb") as file:
            file.write(model.SerializeToString())
        names = [o.name for o in model.graph.output]
        self.loose = holds_softmax(model.SerializeToString())
        if self.loose:
            passes = self.passes[:self.passes.index("read_qlinear") + 1]
            data, complaint = self.optimize("in.onnx", "read.onnx", "--emit", "qdq", "--passes", ",".join(passes))
            if data is None:
                return [("read_qlinear", complaint)]
            self.as_read = onnx.load_model_from_string(data)
        labels = [n.name for n in model.graph.node if n.name]
        self.named = labels[len(labels) // 2] if labels else None
        found = list(self.modes_of(names, feeds, wanted))
        if self.as_run is not None:
            complaint = self.exec(names, feeds[0], wanted[0])
            if complaint:
                found.append(("run", complaint))
        return found


    def widened(self, names, feeds, wanted):
        """Float32 inside, for ONNX Runtime's CPU: it runs, and its outputs are of the types that they were, and about as large."""
        what = "float16 qoperator"
        data, complaint = self.without_bounds("--emit", "qoperator")
        if data is None:
            return [(what, "%s: %s" % (what, complaint))]
        got = session(onnx.load(self.path("out.onnx"))).run(None, feeds)
        complaint = next(("output '%s' is %s %s, not %s %s" % (name, y.dtype, y.shape, x.dtype, x.shape)
                          for name, x, y in zip(names, wanted, got) if x.dtype != y.dtype or x.shape != y.shape), None) or \
            self.beyond_16_bits(names, feeds, wanted, got, True)
        return [(what, "%s: %s" % (what, complaint))] if complaint else []

    def beyond_16_bits(self, names, feeds, wanted, got, integer=False):
        """Are both within what roundings to the network's 16-bit type may do to it in float32? None: they are."""
        if any(n.op_type.startswith(("QLinear", "QGemm")) for n in self.original.graph.node):
            self.counts["float16 not compared: integer forms"] += 1  # these round inside, where nothing can be moved
            return None
        if self.wide is None:
            self.wide = random_graphs.to_float32(self.original)
        wide = {n: x.astype(np.float32) if x.dtype.name in FLOATS else x for n, x in feeds.items()}
        key = tuple(x.tobytes() for x in wide.values())
        feeds = self.wide_feeds.setdefault(key, wide)
        try:
            values = floats(self.wide, [o for n in self.wide.graph.node for o in n.output if o], feeds).values()
        except Exception:  # its refusal is no finding
            self.counts["float16 not compared: refused in float32"] += 1
            return None
        if any(np.isnan(v).any() or np.max(np.abs(v), initial=0) > 10000 for v in values):
            self.counts["float16 not compared: too large"] += 1
            return None
        most = 2.0**-8 if random_graphs.has_bfloat16(self.original) else 2.0**-11
        for outputs in (wanted, got):
            outputs = [x.astype(np.float32) if x.dtype.name in FLOATS else x for x in outputs]
            complaint = self.outside(self.wide, feeds, names, outputs, integer, most, True)
            if complaint:
                return complaint
        self.counts["float16 within roundings"] += 1
        return None

    def judge_half(self, model, feeds):
        """Networks with 16-bit floats, whatever is exact: in the reference evaluator, and with --exact in ONNX Runtime where that
        runs it."""
        driver = evaluator.Driver(self.folder)
        defaults = {i.name: onnx.numpy_helper.to_array(i) for i in model.graph.initializer}
        types = {i.name: oh.tensor_dtype_to_np_dtype(i.type.tensor_type.elem_type) for i in model.graph.input}
        named = [{n: x.astype(types[n]) for n, x in f.items()} for f in feeds]
        try:
            peers = [session(model).run(None, f) for f in named]
        except Exception:  # its refusal of a graph is no finding
            peers = None
        self.original, self.wide, self.wide_feeds = model, None, {}
        feeds = [[f[n] if n in f else defaults[n] for n in types] for f in named]
        given = [driver.run(model, f) for f in feeds]
        names = [o.name for o in model.graph.output]
        found = []
        if any(answer != "ok" for answer, _ in given):
            driver.close()
            return None
        with open(self.path("in.onnx"), "wb") as file:
            file.write(model.SerializeToString())
        more = [["--target", "tensorrt", "--exact"], ["--target", "ort-cpu", "--exact"], ["--target", "cuda"], ["--target", "tensorrt"],
                ["--target", "ort-cpu"]]
        for options in [["--target", "cuda", "--exact"], more[(self.number or 0) // 5 % len(more)]]:
            for emit in ("qdq", "fused"):
                what = " ".join(["float16", emit, *options[1:]])
                complaint = self.half_mode(driver, emit, options, names, feeds, given, list(zip(named, peers or [])))
                if complaint:
                    found.append((what, "%s: %s" % (what, complaint)))
                self.counts["float16"] += 1
        driver.close()
        if peers is not None and not found:
            found += self.widened(names, named[0], peers[0])
        return found

    def without_bounds(self, *options):
        """in.onnx optimized without the passes that did something within a bound: float32 networks are for these."""
        data, complaint = self.optimize("in.onnx", "out.onnx", *options)
        bounded = {r["pass"] for r in self.report()["rewrites"] if r["bound"]} if data is not None else None
        if bounded:
            return self.optimize("in.onnx", "out.onnx", *options, "--passes=" + ",".join("-" + p for p in sorted(bounded)))
        return data, complaint

    def half_meets_nan(self, driver, feeds):
        """The same of a network with 16-bit floats, in the reference evaluator; a Q whose scale is 0 divides 0 by 0."""
        probe = shrink_graph.copy(self.original)
        known = {o.name for o in probe.graph.output}
        probe.graph.output.extend(oh.make_empty_tensor_value_info(o) for n in probe.graph.node for o in n.output if o and o not in known)
        answer, values = driver.run(probe, feeds)
        if answer != "ok":
            return False
        known = {i.name: onnx.numpy_helper.to_array(i) for i in probe.graph.initializer}
        known.update(zip((i.name for i in probe.graph.input), feeds))
        known.update((o.name, onnx.numpy_helper.to_array(v)) for o, v in zip(probe.graph.output, values) if v is not None)
        zeros = any(np.any(known[n.input[1]] == 0) for n in probe.graph.node
                    if n.op_type == "QuantizeLinear" and n.input[1] in known)
        return zeros or any(np.isnan(v.astype(np.float32)).any() for v in known.values() if v.dtype.name in FLOATS)

    def half_mode(self, driver, emit, options, names, feeds, given, peers):
        if options == ["--target", "ort-cpu"]:
            data, complaint = self.without_bounds("--emit", emit, *options)
        else:
            data, complaint = self.optimize("in.onnx", "out.onnx", "--emit", emit, *options)
        if data is None:
            return complaint
        exact = all(r["exactness"] == "exact" for r in self.report()["rewrites"])
        if not exact and "--exact" in options:
            return "it is not exact"
        if not exact and options[1] != "ort-cpu":
            return None
        again, complaint = self.optimize("out.onnx", "again.onnx", "--emit", emit, *options)
        settled = again == data
        if again is not None and (options[1] == "tensorrt" or "--exact" in options):
            # arithmetic in place of Q and DQ: what --exact kept behind them can be folded; so can what it kept for the sake of a
            # rounding that is inside of a region now
            settled = self.optimize("again.onnx", "again2.onnx", "--emit", emit, *options)[0] == again
        if again is None or emit == "fused" and options[1] != "ort-cpu" and not settled:
            return "optimizing its output again %s" % (complaint or "changes it")
        inputs = [i.name for i in self.original.graph.input]
        same = again == data or options == ["--target", "ort-cpu"]  # without passes within a bound only the first time
        files = ["out.onnx"] if same else ["out.onnx", "again.onnx"]
        for (f, (_, wanted)), file in itertools.product(zip(feeds, given), files):
            answer, got = driver.run(self.path(file), f)
            if answer != "ok":
                return answer
            wanted, got = (list(map(onnx.numpy_helper.to_array, ts)) for ts in (wanted, got))
            difference = first_difference(names, wanted, got)
            if difference and not exact:
                difference = self.beyond_16_bits(names, dict(zip(inputs, f)), wanted, got)
            if difference and self.half_meets_nan(driver, f):
                self.counts["differ where NaN is compared or rounded"] += 1
            elif difference:
                return difference
        for f, wanted in peers if options == ["--target", "cuda", "--exact"] else []:  # the others write what ONNX Runtime rounds otherwise
            difference = first_difference(names, wanted, session(data).run(None, f))
            if difference:
                return "in ONNX Runtime: " + difference
        return None


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


def settle(folder):
    """For each process of the pool."""
    global FOLDER
    FOLDER = folder


def one(seed):
    """What is wrong with the graph of a seed, as lines; and counts."""
    try:
        return look_at(seed)
    except Exception:  # whatever it is, it belongs to this graph
        return ["seed %d: %s" % (seed, traceback.format_exc())], Counter()


def look_at(seed):
    judge = Judge(seed)
    model, inputs = random_graphs.make(seed)
    feeds = [inputs(0), inputs(1)]
    mixed = random_graphs.is_mixed(model)
    found = judge.judge_half(model, feeds) if mixed else judge.judge(model, feeds)
    half = random_graphs.to_half(model, TensorProto.BFLOAT16 if seed % 20 == 10 else TensorProto.FLOAT16) if seed % 5 == 0 else None
    if half is not None and not found:
        found, model = judge.judge_half(half, feeds), half
    counts = judge.counts.copy()
    lines = []
    if found is None:
        counts["refused by the evaluator" if mixed else "refused by ONNX Runtime"] += 1
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
    judge = Judge()
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
    parser.add_argument("--jobs", type=int, help="processes; as many as there are processors, without it")
    a = parser.parse_args()
    seeds = [a.one] if a.one is not None else range(a.seed, a.seed + a.graphs)
    counts, failed = Counter(), 0
    files = [] if a.one is not None else sorted(glob.glob(os.path.join(os.path.relpath(HERE), "../random/*.onnxtxt")))
    with tempfile.TemporaryDirectory() as folder, multiprocessing.Pool(a.jobs, settle, [folder]) as pool:
        for lines, more in itertools.chain(pool.imap(kept, files), pool.imap(one, seeds, chunksize=4)):
            counts.update(more)
            failed += bool(lines)
            if lines:
                print("FAILED " + "\n".join(lines), flush=True)
    print(", ".join("%d %s" % (n, what) for what, n in sorted(counts.items())))
    passed = len(files) + len(seeds) - failed - counts["refused by ONNX Runtime"] - counts["refused by the evaluator"]
    if counts["refused by ONNX Runtime"] > 0.03 * len(seeds):
        print("FAILED: ONNX Runtime refuses more than 3 % of the graphs")
        failed += 1
    print("%d passed, %d failed" % (passed, failed))
    sys.exit(failed != 0)


if __name__ == "__main__":
    main()

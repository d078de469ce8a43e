# SPDX-License-Identifier: Apache-2.0
#
# run.py -- running real models on the CPU: against their reference files, in batches, with bad inputs
import glob
import io
import json
import os
import re
import subprocess
import tempfile
import zipfile

import numpy as np
import onnx
import onnx.numpy_helper

from common import MODELS, QDQOPT, check, finish, snr, tool

DYNAMIC = ("resnet50.trt", "mobilenet_v2.u8", "digits_qat_relu")  # whose batch is a symbol
# models with an operator that neither a kernel nor the reference evaluator has
REFUSED = ()
# models whose shapes are known only after constants are folded: they do not run as they are
NEEDS_FOLDING = ("bert_tiny.trt",)


def run(model, inputs, folder, *options):
    """Outputs by name, or None and the complaint."""
    given, out = os.path.join(folder, "in.npz"), os.path.join(folder, "out.npz")
    np.savez(given, **inputs)
    done = tool("run", model, "--input", given, "--output", out, "--quiet", *options)
    if done.returncode != 0:
        return None, "exit status %d: %s" % (done.returncode, done.stderr.strip()[-300:])
    with np.load(out) as arrays:
        return {k: arrays[k] for k in arrays.files}, None


def check_meaning(path, name, given):
    """Every rounding is at most a step off, and that only where the exact number is within 1e-5 of a tie."""
    done = tool("run", path, *given, "--check")
    check(done.returncode == 0 and ", 0 by more than a step, 0 not at a tie" in done.stdout,
          "%s %s --check: %s" % (name, given[0], done.stdout[-300:]))
    farthest = re.search(r"0 not at a tie(?: \((.*) from one at most\))?$", done.stdout, re.M)
    check(farthest and float(farthest[1] or 0) <= 1e-5, "%s %s --check: %s" % (name, given, done.stdout[-300:]))


def check_reference(path, folder):
    name = os.path.basename(path)[:-len(".onnx")]
    with np.load(path[:-len(".onnx")] + ".ref.npz") as f:
        inputs = {k[3:]: f[k] for k in f.files if k.startswith("in_")}
        expected = {k[4:]: f[k] for k in f.files if k.startswith("out_")}
    got, wrong = run(path, inputs, folder)
    if name in REFUSED:
        check(got is None and "no kernel" in wrong, "%s: it should be refused by the names of its operators" % name)
        return
    if not check(got is not None, "%s: %s" % (name, wrong)):
        return
    for k, y in expected.items():
        if not check(k in got and got[k].shape == y.shape and got[k].dtype == y.dtype, "%s: output %s" % (name, k)):
            continue
        check(snr([y], [got[k]]) >= 30, "%s: output %s: %.1f dB" % (name, k, snr([y], [got[k]])))
        if y.ndim == 2:
            check((got[k].argmax(1) == y.argmax(1)).all(), "%s: output %s: another top-1" % (name, k))
    check_meaning(path, name, ("--input", os.path.join(folder, "in.npz")))
    if name in ("resnet50.trt", "mobilenet_v2.u8"):
        for seed in "1234":
            check_meaning(path, name, ("--random", seed))
    for options in (("--threads", "1", "--instructions", "c"), ("--threads", "3", "--instructions", "avx2")):
        again, wrong = run(path, inputs, folder, *options)
        check(again is not None and all(np.array_equal(again[k], got[k]) for k in got), "%s: %s gives others" % (name, options))
    if name in DYNAMIC:
        (key, x), = inputs.items()
        other = np.flip(x, -1)
        many, wrong = run(path, {key: np.concatenate([x, other, x])}, folder)
        if check(many is not None, "%s: batch 3: %s" % (name, wrong)):
            for k in got:
                check(np.array_equal(many[k][:1], got[k]) and np.array_equal(many[k][2:], got[k]),
                      "%s: an image gives the same alone and in a batch" % name)


def check_digits(folder):
    test = os.path.join(MODELS, "digits_test.npz")
    if not os.path.exists(test):
        return
    with np.load(test) as f:
        images, labels = f["image"].astype(np.float32), f["label"]
    model = os.path.join(MODELS, "digits_qat_relu.onnx")
    name = "input"
    got, wrong = run(model, {name: images}, folder)
    if got is None and "no input" in wrong:  # whatever the exporter called it
        listed = tool("run", model).stderr
        name = listed.split("input '", 1)[1].split("'", 1)[0]
        got, wrong = run(model, {name: images}, folder)
    if check(got is not None, "digits: %s" % wrong):
        right = int((next(iter(got.values())).argmax(1) == labels).sum())
        check(right == len(labels), "digits: %d of %d" % (right, len(labels)))


# ---- bad inputs ----


def npy(array, **changes):
    file = io.BytesIO()
    np.save(file, array)
    data = file.getvalue()
    for old, new in changes.get("replace", ()):
        assert old in data
        data = data.replace(old, new)
    return data


def bad_archives():
    x = np.zeros((1, 3, 4, 4), np.float32)
    good = npy(x)

    def archive(*entries, method=zipfile.ZIP_STORED):
        file = io.BytesIO()
        with zipfile.ZipFile(file, "w", method) as z:
            for name, data in entries:
                z.writestr(name, data)
        return file.getvalue()

    whole = archive(("input.npy", good))
    return {
        "empty file": b"",
        "no archive": b"PK\x03\x04 not really",
        "no entries": archive(),
        "truncated": whole[:len(whole) // 2],
        "no array": archive(("input.npy", b"hello")),
        "no npy": archive(("input.txt", good)),
        "twice": archive(("input.npy", good), ("./input.npy", good)),
        "short data": archive(("input.npy", good[:-1])),
        "long data": archive(("input.npy", good + b"x")),
        "absurd shape": archive(("input.npy", npy(x, replace=[(b"(1, 3, 4, 4)", b"(9223372036854775807, 9)")]))),
        "negative shape": archive(("input.npy", npy(x, replace=[(b"(1, 3, 4, 4)", b"(-1, 3, 4, 4)")]))),
        "no order": archive(("input.npy", npy(x, replace=[(b"False", b"false")]))),
        "absurd next to nothing": archive(("input.npy", npy(np.zeros((0, 3, 4, 4), np.float32), replace=[
            (b"(0, 3, 4, 4)", b"(0, 4611686018427387904, 4611686018427387904)")]))),
        "records": archive(("input.npy", npy(x, replace=[(b"'<f4'", b"[('a', '<f4')]")]))),
        "objects": archive(("input.npy", npy(x, replace=[(b"'<f4'", b"'|O'")]))),
        "bfloat16": archive(("input.npy", npy(x.astype(np.float16).view("V2")))),
        "bomb": archive(("input.npy", npy(np.zeros(1 << 26, np.uint8))), method=zipfile.ZIP_DEFLATED),
        "wrong type": archive(("input.npy", npy(x.astype(np.float64)))),
        "wrong shape": archive(("input.npy", npy(x[:, :2]))),
        "wrong name": archive(("inputs.npy", good)),
    }


def check_bad(folder):
    model = os.path.join(folder, "bad.onnxtxt")
    with open(model, "w") as f:
        f.write('<ir_version: 8, opset_import: ["" : 17]>\n'
                "g (float[N,3,4,4] input) => (float[N,3,4,4] output) { output = Relu(input) }\n")
    cases = bad_archives()
    for what, data in cases.items():
        path, out = os.path.join(folder, "bad.npz"), os.path.join(folder, "none.npz")
        with open(path, "wb") as f:
            f.write(data)
        done = tool("run", model, "--input", path, "--output", out)
        check(done.returncode in (1, 2, 3) and done.stderr.strip() and not os.path.exists(out),
              "bad input '%s': exit status %d, %s" % (what, done.returncode, done.stderr))
    os.mkdir(os.path.join(folder, "folder.npz"))
    with open(os.path.join(folder, "huge.npy"), "wb") as f:  # 16 GiB, none of them on the disk
        np.lib.format.write_array_header_1_0(f, {"descr": "<f4", "fortran_order": False, "shape": (1 << 32,)})
        f.truncate(f.tell() + (16 << 30))
    for words, status in ((("--input", os.path.join(folder, "missing.npz")), 3), (("--input", folder + "/x.npz/"), 2),
                          (("--input", "input=%s/huge.npy" % folder), 1), (("--input", "%s/folder.npz" % folder), 3),
                          (("--random", "x"), 2), (("--threads", "0"), 2), (("--device", "tpu"), 2), ((), 2),
                          (("--device", "cuda:x"), 2), (("--random", "1", "--device", "cuda:9"), 5)):
        done = tool("run", model, *words)
        check(done.returncode == status and done.stderr.strip(), "%s: exit status %d" % (words, done.returncode))


def check_places(folder):
    """What stands where the outputs go: links and permissions stay, a pipe is written into."""
    model, out = os.path.join(folder, "bad.onnxtxt"), os.path.join(folder, "there.npz")
    link = os.path.join(folder, "link.npz")
    with open(out, "wb"):
        pass
    os.chmod(out, 0o640)
    os.symlink("there.npz", link)

    def write(place):
        words = [QDQOPT, "run", model, "--random", "1", "--output", place, "--quiet"]
        return subprocess.run(words, capture_output=True)

    done = write(link)
    check(done.returncode == 0 and os.path.islink(link) and os.stat(out).st_mode & 0o777 == 0o640, "through a link")
    with np.load(out) as f:
        check(f.files == ["output"], "what came through a link")
    os.symlink("/dev/stdout", os.path.join(folder, "pipe.npz"))
    done = write(os.path.join(folder, "pipe.npz"))
    check(done.returncode == 0 and done.stdout.startswith(b"PK"), "into a pipe")
    check(not [f for f in os.listdir(folder) if f.endswith(".tmp")], "temporary files are left")


def check_arrays(folder):
    """What NumPy writes, in any order of bytes and of elements."""
    model = os.path.join(folder, "good.onnxtxt")
    with open(model, "w") as f:
        f.write('<ir_version: 8, opset_import: ["" : 17]>\n'
                "g (float[2,3,4,5] x) => (float[5,4,3,2] y) { y = Transpose(x) }\n")
    x = np.arange(120, dtype=np.float32).reshape(2, 3, 4, 5)
    for what, array in (("plain", x), ("Fortran", np.asfortranarray(x)), ("big-endian", x.astype(">f4"))):
        got, wrong = run(model, {"x": array}, folder)
        check(got is not None and np.array_equal(got["y"], x.T), "%s array: %s" % (what, wrong))
        path, out = os.path.join(folder, "x.npy"), os.path.join(folder, "y.npz")
        np.save(path, array)
        done = subprocess.run([QDQOPT, "run", model, "--input", "x=" + path, "--output", out, "--quiet"])
        with np.load(out) as y:
            check(done.returncode == 0 and np.array_equal(y["y"], x.T), "%s .npy" % what)


def check_broadcast(folder):
    """An operand that is broadcast, on either side."""
    model = os.path.join(folder, "add.onnxtxt")
    x, b = np.arange(24000, dtype=np.float32).reshape(2, 3, 4000), np.arange(4000, dtype=np.float32)
    for nodes in ("y = Add(b, x)", "y = Add(x, b)", "y = Mul(b, x)", "y = Mul(x, b)"):
        with open(model, "w") as f:
            f.write('<ir_version: 8, opset_import: ["" : 17]>\n'
                    "g (float[4000] b, float[2,3,4000] x) => (float[2,3,4000] y) { %s }\n" % nodes)
        got, wrong = run(model, {"x": x, "b": b}, folder)
        check(got is not None and np.array_equal(got["y"], x + b if "Add" in nodes else x * b), "%s: %s" % (nodes, wrong))


def check_nan(folder):
    """What compares and clamps hands NaN on, as ONNX Runtime and NumPy do."""
    model = os.path.join(folder, "nan.onnxtxt")
    odd = [np.nan, np.inf, -np.inf, -0.0, 0, -1, 2, 9]
    x, w = (a.astype(np.float32).ravel() for a in np.meshgrid(odd, odd))
    for node, expected in (("Relu(x)", np.maximum(x, 0)), ("Clip(x, low, high)", np.clip(x, -0.5, 3)), ("Max(x, w)", np.maximum(x, w)),
                           ("Min(x, w)", np.minimum(x, w)), ("Max(low, x)", np.maximum(x, -0.5)), ("Min(x, high)", np.minimum(x, 3)),
                           ("Max(x, none)", np.maximum(x, np.nan)), ("Min(none, x)", np.minimum(x, np.nan))):
        with open(model, "w") as f:
            f.write('<ir_version: 8, opset_import: ["" : 17]>\ng (float[64,1] x, float[64,1] w) => (float[64,1] y)\n'
                    "<float low = {-0.5}, float high = {3}, float none = {nan}> { y = %s }\n" % node)
        got, wrong = run(model, {"x": x.reshape(64, 1), "w": w.reshape(64, 1)}, folder)
        check(got is not None and np.array_equal(got["y"].ravel(), expected, equal_nan=True), "NaN in %s: %s" % (node, wrong))


# ---- qdqopt compare ----


def compare(*words, status=0):
    """What it prints; an empty text where the exit status is another."""
    done = tool("compare", *words)
    good = done.returncode == status and (status == 0 or done.stderr.strip())
    check(good, "compare %s: exit status %d, not %d: %s" % (words, done.returncode, status, done.stderr[-300:]))
    return done.stdout if good and status == 0 else ""


def figures(text, name):
    """Of a line: max, mean, SNR, cosine, rows that agree, rows."""
    number = r"(-?[0-9.]+(?:e[-+]?[0-9]+)?|-?inf|-?nan)"
    found = re.search("^%s: max %s, mean %s, SNR %s dB, cosine %s(?:, top-1 the same in ([0-9]+) of ([0-9]+) rows)?" %
                      (re.escape(name), number, number, number, number), text, re.M)
    return [float(x) for x in found.groups() if x is not None] if found else []


def expected_figures(a, b):
    x, y = a.astype(np.float64), b.astype(np.float64)
    by = np.abs(x - y)
    cosine = (x * y).sum() / np.sqrt((x * x).sum() * (y * y).sum())
    same = a.argmax(-1) == b.argmax(-1)
    return [by.max(), by.mean(), snr([y], [a]), cosine, same.sum(), same.size]


def check_compare_reference(path, folder):
    """The figures that NumPy gets from the same arrays; the outputs against themselves; the model against itself."""
    name = os.path.basename(path)
    with np.load(path[:-len(".onnx")] + ".ref.npz") as f:
        inputs = {k[3:]: f[k] for k in f.files if k.startswith("in_")}
        expected = {k[4:]: f[k] for k in f.files if k.startswith("out_")}
    given, out = os.path.join(folder, "c_in.npz"), os.path.join(folder, "c_out.npz")
    np.savez(given, **inputs)
    np.savez(out, **expected)
    got, wrong = run(path, inputs, folder, "--passes", "none")
    if not check(got is not None, "compare: %s: %s" % (name, wrong)):
        return
    text = compare(path, out, "--input", given)
    for k, y in expected.items():
        here, there = figures(text, k), expected_figures(got[k], y)
        check(len(here) == (6 if y.ndim > 1 else 4) and np.allclose(here, there[:len(here)], rtol=1e-4, atol=0.006),
              "compare: %s: output %s: %s, NumPy has %s" % (name, k, here, there))
        check(here[:1] and np.isclose(here[0], there[0], rtol=1e-5, atol=0), "compare: %s: output %s: max" % (name, k))
    text = compare(path, path, "--input", given, "--layers")
    check(all(figures(text, k)[:4] == [0, 0, np.inf, 1] for k in expected) and re.search("^none of [0-9]+ tensors differs$", text, re.M),
          "compare: %s against itself: %s" % (name, text[-300:]))
    plain = compare(path, path, "--input", given, "--threads", "1")
    check(plain and text.startswith(plain), "compare: %s: one thread" % name)


def check_layers(folder):
    """One weight in the middle changed: what its convolution gives is the first to part."""
    path, changed = "test/models/cnn.brevitas.onnx", os.path.join(folder, "changed.onnx")
    m = onnx.load(path)
    constants = {t.name: t for t in m.graph.initializer}
    makers = {o: n for n in m.graph.node for o in n.output}
    convolutions = [n for n in m.graph.node if n.op_type == "Conv"]
    conv = convolutions[1]
    # the first tensor of the graph's order that depends on the weight
    weight, chain = conv.input[1], [conv.output[0]]
    while weight in makers:
        chain.append(weight)
        weight = makers[weight].input[0]
    if weight in makers or weight not in constants:
        check(False, "cnn.brevitas: the weight of '%s' is no initializer" % conv.name)
        return
    array = onnx.numpy_helper.to_array(constants[weight]).copy()
    array.reshape(-1)[:array.size // 2] *= -1
    constants[weight].CopyFrom(onnx.numpy_helper.from_array(array, weight))
    onnx.save(m, changed)
    text = compare(path, changed, "--random", "7", "--layers")
    last = text.strip().splitlines()[-1:]
    check(last and re.match("[0-9]+ of [0-9]+ tensors differ, first '%s' of " % re.escape(chain[-1]), last[0]),
          "compare --layers: %s, not '%s'" % (last, chain[-1]))
    check(re.search(r" %s$" % re.escape(conv.output[0]), text, re.M) and not re.search(r" %s$" % re.escape(convolutions[0].output[0]), text, re.M),
          "compare --layers: the table: %s" % text[:500])
    fused = [os.path.join(folder, f) for f in ("a.onnx", "b.onnx")]
    for source, f in zip((path, changed), fused):
        subprocess.run([QDQOPT, source, f, "--quiet"], check=True)
    text = compare(*fused, "--random", "7", "--layers")
    check(re.search("^[1-9][0-9]* of [0-9]+ tensors differ, first '.*' of QConv", text, re.M), "compare --layers, fused: %s" % text[-300:])
    text = compare(path, fused[0], "--random", "7", "--layers")
    check(re.search("^none of [1-9][0-9]* tensors differs", text, re.M), "compare --layers, before and after: %s" % text[-300:])


GRAPH = '<ir_version: 8, opset_import: ["" : 17]>\ng (float[N,3] x) => (%s) { %s }\n'


def check_compare_words(folder):
    def write(name, outputs, nodes):
        path = os.path.join(folder, name + ".onnxtxt")
        with open(path, "w") as f:
            f.write(GRAPH % (outputs, nodes))
        return path

    def arrays(name, **items):
        path = os.path.join(folder, name + ".npz")
        np.savez(path, **items)
        return path

    a = write("a", "float[N,3] y, float[N,3] z", "t = Relu(x) y = Abs(t) z = Neg(x)")
    other = write("other", "float[N,3] w", "w = Abs(x)")
    shape = write("shape", "float[M] y, float[N,3] v", "k = Constant<value_ints = [-1]>() y = Reshape(x, k) v = Abs(x)")
    wide = os.path.join(folder, "wide.onnxtxt")
    with open(wide, "w") as f:
        f.write((GRAPH % ("double[N,3] y", "y = Abs(x)")).replace("(float[N,3] x)", "(double[N,3] x)"))
    x = np.array([[1, -2, 3], [4, 5, -6]], np.float32)
    given = arrays("given", x=x)
    y = np.maximum(x, 0)
    text = compare(a, arrays("b1", y=y[:, ::-1]), "--input", given)
    check(figures(text, "y")[4:] == [1, 2] and "z: not in" in text, "top-1 of rows: %s" % text)
    text = compare(a, arrays("b3", y=np.array([[0, 1, 3], [2, 5, 0]], np.float32)), "--input", given)  # the least are others
    check(figures(text, "y")[4:] == [2, 2] and figures(text, "y")[:2] == [2, 0.666667], "top-1, mean: %s" % text)
    for what, value, expected in (("a NaN", np.nan, [np.inf, np.inf, -np.inf]), ("an infinity", np.inf, [np.inf, np.inf, -np.inf]),
                                  ("nothing else", 1, [0, 0, np.inf])):
        one = y.copy()
        one[0, 0] = value
        text = compare(a, arrays("b2", y=one), "--input", given)
        check(figures(text, "y")[:3] == expected, "%s: %s" % (what, text))
    nan = arrays("nan", x=np.full((2, 3), np.nan, np.float32))
    check(figures(compare(a, a, "--input", nan), "z")[:3] == [0, 0, np.inf], "NaN on both sides")
    text = compare(a, arrays("zero", y=0 * y), "--input", given)
    check(figures(text, "y")[2:4] == [-np.inf, 0], "against zeros: %s" % text)
    for dtype in (np.float64, np.float16, np.int8, np.int64, np.uint16):
        check(figures(compare(a, arrays("typed", y=y.astype(dtype)), "--input", given), "y")[:1] == [0], "%s" % dtype)
    text = compare(a, arrays("middle", t=y + 1), "--input", given, "--layers")
    check("1 of 1 tensors differ, first 't' of Relu" in text, "an array of the middle: %s" % text)
    check("y: not comparable, float[2,3] against float[6]" in compare(a, shape, "--input", given), "another shape")
    check("y: not comparable" in compare(a, arrays("less", y=y[:1]), "--input", given), "another shape of an array")
    empty = arrays("empty", x=np.zeros((0, 3), np.float32))
    compare_status = subprocess.run([QDQOPT, "compare", a, a, "--input", empty], capture_output=True).returncode
    check(compare_status in (0, 1, 2), "nothing: exit status %d" % compare_status)
    check(compare(a, a, "--random", "3") == compare(a, a, "--random", "3", "--quiet"), "--quiet")
    check(compare(a, a, "--random", "3") == compare(a, a, "--random", "3", "--device", "cpu"), "--device cpu")
    done = tool("compare", a, a, "--random", "3", "--layers", "--device", "cuda:9")
    check(done.returncode == 5 and done.stderr.strip() and not done.stdout, "a device that is not there: %d, %s" % (done.returncode, done.stderr))
    bad = os.path.join(folder, "bad.onnx")
    with open(bad, "wb") as f:
        f.write(b"\x08\x08\xff\xff\xff")
    for words, status in (((), 2), ((a,), 2), ((a, a, a), 2), ((a, a), 2), (("-", "-"), 2), ((given, a), 2), ((a, other, "--random", "1"), 2),
                          ((a, arrays("typo", yy=y), "--input", given), 2), ((a, arrays("t", t=y), "--input", given), 2),
                          ((a, arrays("x", x=y), "--input", given, "--layers"), 2), ((a, wide, "--random", "1"), 2),
                          ((a, a, "--input", arrays("wrong", q=x)), 2), ((a, a, "--random", "1", "--check"), 2),
                          ((a, a, "--random", "1", "--passes", "none"), 2), ((a, a, "--layers=1"), 2), ((a, a, "--random", "1", "--device", "tpu"), 2), ((a, a, "--random", "1", "--threads", "0"), 2),
                          ((a, os.path.join(folder, "missing.onnx")), 3), ((os.path.join(folder, "missing.onnx"), a), 3),
                          ((a, os.path.join(folder, "missing.npz")), 3), ((a, bad), 1), ((bad, a), 1)):
        compare(*words, status=status)
    for what, data in bad_archives().items():
        path = os.path.join(folder, "hostile.npz")
        with open(path, "wb") as f:
            f.write(data)
        done = tool("compare", a, path, "--input", given)
        check(done.returncode in (1, 2, 3) and "hostile.npz" in done.stderr, "B.npz '%s': %d, %s" % (what, done.returncode, done.stderr))
    huge = os.path.join(folder, "huge.onnxtxt")
    with open(huge, "w") as f:
        f.write((GRAPH % ("float[4611686018427387904,8] y", "y = Abs(x)")).replace("N,3", "4611686018427387904,8"))
    compare(huge, huge, "--random", "1", status=1)


# ---- bench, profiles, batches ----


def check_profile(path, runs, what):
    with open(path) as f:
        profile = json.load(f)
    layers = profile[1:]
    if not check(profile[0] == {"count": runs} and layers, "%s: %s" % (what, profile[:1])):
        return []
    check(all(set(x) == {"name", "timeMs", "averageMs", "medianMs", "percentage"} for x in layers), "%s: its fields" % what)
    names = [x["name"] for x in layers]
    check(len(set(names)) == len(names), "%s: a name stands twice" % what)
    total = sum(x["timeMs"] for x in layers)
    check(abs(sum(x["percentage"] for x in layers) - 100) < 0.01, "%s: percentages" % what)
    check(all(abs(x["averageMs"] * runs - x["timeMs"]) <= 1e-4 * x["timeMs"] and
              abs(x["percentage"] * total - 100 * x["timeMs"]) <= 1e-3 * total for x in layers), "%s: sums" % what)
    check(runs > 1 or all(x["medianMs"] == x["timeMs"] for x in layers), "%s: the median of one run" % what)
    return names


def check_bench(folder):
    model, fixed = "test/models/digits_qat_relu.onnx", "test/models/res_tiny.pt2e.onnx"
    once, often = os.path.join(folder, "once.json"), os.path.join(folder, "often.json")
    short = ("--duration", "0.01", "--warmup", "0")
    done = tool("run", model, "--random", "1", "--profile", once)
    check(done.returncode == 0, "run --profile: %s" % done.stderr)
    names = check_profile(once, 1, "run --profile")
    check("9 kernels" in done.stderr and len(names) == 9 and "/f/Gemm.fused" in names, "run --profile: %s" % names)
    done = tool("bench", model, *short, "--profile", often, "--iterations", "30", "--batch", "4")
    check(done.returncode == 0 and re.match(r"median [0-9.e-]+ ms\nmin ", done.stdout), "bench: %s%s" % (done.stdout, done.stderr))
    figures = re.search(r"min (\S+) ms, mean (\S+) ms, p90 (\S+) ms, p95 (\S+) ms, p99 (\S+) ms, max (\S+) ms, (\d+) runs", done.stdout)
    if check(figures, "bench: %s" % done.stdout):
        least, mean, p90, p95, p99, most = map(float, figures.groups()[:6])
        check(least <= p90 <= p95 <= p99 <= most and least <= mean <= most and int(figures[7]) >= 30, "bench: %s" % figures[0])
    rates = re.search(r"throughput (\S+) inferences/s, (\S+) images/s \(batch 4\)", done.stdout)
    check(rates and np.isclose(4 * float(rates[1]), float(rates[2]), rtol=1e-4), "bench: throughput: %s" % done.stdout)
    with open(often) as f:
        runs = json.load(f)[0]["count"]
    check(3 <= runs <= 10 and check_profile(often, runs, "bench --profile") == names, "bench --profile: other kernels")
    listed = [float(x) for x in re.findall(r"^ *([0-9.]+) +[0-9.]+ %", done.stdout, re.M)]
    check(len(listed) == 9 and listed == sorted(listed, reverse=True), "bench: the table: %s" % done.stdout)
    check("Conv /r1/a/Conv.fused" in done.stdout and "[" not in done.stderr, "bench: operators, and no bar without a terminal")
    check(tool("bench", model, *short, "--quiet").stderr == "", "bench --quiet")
    check("logits: float[5,10]" in tool("run", model, "--random", "1", "--batch", "5").stdout, "run --batch")
    check(tool("run", fixed, "--random", "1", "--batch", "1").returncode == 0, "--batch that is the fixed one")
    wrong = tool("bench", fixed, "--batch", "2")
    check(wrong.returncode == 2 and "input 'input' has the fixed batch 1" in wrong.stderr, "a fixed batch: %s" % wrong.stderr)
    given = os.path.join(folder, "three.npz")
    np.savez(given, image=np.zeros((3, 1, 8, 8), np.float32))
    check(tool("bench", model, *short, "--input", given, "--batch", "3").returncode == 0, "bench --input --batch")
    wrong = tool("run", model, "--input", given, "--batch", "2")
    check(wrong.returncode == 2 and "has the batch 3" in wrong.stderr, "another batch in a file: %s" % wrong.stderr)
    check_shared_symbols(folder)
    check_bench_words(folder, model)


def check_shared_symbols(folder):
    path = os.path.join(folder, "symbols.onnxtxt")
    with open(path, "w") as f:
        f.write('<ir_version: 8, opset_import: ["" : 17]>\n'
                'g (float[N,M] x, float[M,N] y) => (float[N,N] z) {\n  ["a\\"b\\\\c"] z = MatMul(x, y)\n}\n')
    profile = os.path.join(folder, "symbols.json")
    done = tool("run", path, "--random", "1", "--batch", "6", "--profile", profile)
    if check(done.returncode == 0, "symbols: %s" % done.stderr):
        check("z: float[6,6]" in done.stdout, "symbols: %s" % done.stdout)
        check(check_profile(profile, 1, "symbols") == ['a"b\\c'], "symbols: names")
    with open(path, "w") as f:
        f.write('<ir_version: 8, opset_import: ["" : 17]>\n'
                'g (float[16,4] w, float[N,16] x) => (float[N,4] y) {\n  y = MatMul(x, w)\n}\n')
    done = tool("bench", path, "--batch", "8", "--duration", "0", "--warmup", "0")
    check(done.returncode == 0 and "inferences/s\n" in done.stdout and "images/s" not in done.stdout, "no batch: %s%s" % (done.stdout, done.stderr))


def check_bench_words(folder, model):
    kept = os.path.join(folder, "kept.json")
    with open(kept, "w") as f:
        f.write("kept")
    for words, status in (((), 2), (("--batch", "0"), 2), (("--batch", "x"), 2), (("--batch", "-1"), 2), (("--batch", "99999999999999999999"), 2),
                          (("--batch", "9000000000000000000"), 1), (("--warmup", "-1"), 2), (("--warmup", "nan"), 2), (("--duration", "1s"), 2),
                          (("--duration", "inf"), 2), (("--iterations", "0"), 2), (("--iterations", "1.5"), 2), (("--profile", "p.txt"), 2),
                          (("--profile", os.path.join(folder, "no", "p.json")), 3), (("--check", ), 2), (("--output", "o.npz"), 2),
                          (("--device", "gpu"), 2), (("--random", "1", "--input", "typo"), 2), (("--profile", kept, "--batch", "0"), 2)):
        done = tool("bench", *((model, "--duration", "0", "--warmup", "0") if words else ()), *words)
        check(done.returncode == status and "qdqopt: " in done.stderr, "bench %s: %d, %s" % (words, done.returncode, done.stderr))
    with open(kept) as f:
        check(f.read() == "kept", "a profile is written though the run failed")
    for option in ("--warmup", "--duration", "--iterations"):
        check(tool("run", model, "--random", "1", option, "1").returncode == 2, "run %s" % option)
    check(tool("bench", os.path.join(folder, "missing.onnx")).returncode == 3, "bench of a missing file")


def main():
    paths = [p for p in sorted(glob.glob(MODELS + "/*.onnx") + glob.glob(MODELS + "/exporters/*.onnx"))
             if os.path.exists(p[:-len(".onnx")] + ".ref.npz")]
    with tempfile.TemporaryDirectory() as folder:
        for path in paths:
            check_reference(path, folder)
            if os.path.basename(path)[:-len(".onnx")] not in NEEDS_FOLDING:
                check_compare_reference(path, folder)
        check_digits(folder)
        check_arrays(folder)
        check_broadcast(folder)
        check_nan(folder)
        check_bad(folder)
        check_places(folder)
        check_layers(folder)
        check_compare_words(folder)
        check_bench(folder)
    finish()


main()

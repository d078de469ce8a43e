# SPDX-License-Identifier: Apache-2.0
#
# run.py -- running real models on the CPU: against their reference files, in batches, with bad inputs
import glob
import io
import os
import subprocess
import sys
import tempfile
import zipfile

import numpy as np

QDQOPT = os.environ.get("QDQOPT", "build/qdqopt")
MODELS = os.environ.get("MODELS", "../shared/models")
DYNAMIC = ("resnet50.trt", "mobilenet_v2.u8", "digits_qat_relu")  # whose batch is a symbol
# models with an operator that neither a kernel nor the reference evaluator has
REFUSED = ()

passed = failed = 0


def check(good, what):
    global passed, failed
    if good:
        passed += 1
    else:
        failed += 1
        print("FAILED %s" % what, flush=True)
    return good


def run(model, inputs, folder, *options):
    """Outputs by name, or None and the complaint."""
    given, out = os.path.join(folder, "in.npz"), os.path.join(folder, "out.npz")
    np.savez(given, **inputs)
    done = subprocess.run([QDQOPT, "run", model, "--input", given, "--output", out, "--quiet", *options], capture_output=True,
                          text=True, timeout=600)
    if done.returncode != 0:
        return None, "exit status %d: %s" % (done.returncode, done.stderr.strip()[-300:])
    with np.load(out) as arrays:
        return {k: arrays[k] for k in arrays.files}, None


def snr(got, expected):
    noise = ((got.astype(np.float64) - expected)**2).sum()
    return np.inf if noise == 0 else 10 * np.log10((expected.astype(np.float64)**2).sum() / noise)


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
        check(snr(got[k], y) >= 30, "%s: output %s: %.1f dB" % (name, k, snr(got[k], y)))
        if y.ndim == 2:
            check((got[k].argmax(1) == y.argmax(1)).all(), "%s: output %s: another top-1" % (name, k))
    if sum(x.size for x in inputs.values()) < 50000:  # the evaluator takes its time
        given = os.path.join(folder, "in.npz")
        done = subprocess.run([QDQOPT, "run", path, "--input", given, "--check"], capture_output=True, text=True)
        check(done.returncode == 0 and ", 0 by more than a step" in done.stdout, "%s --check: %s" % (name, done.stdout[-300:]))
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
        listed = subprocess.run([QDQOPT, "run", model], capture_output=True, text=True).stderr
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
        done = subprocess.run([QDQOPT, "run", model, "--input", path, "--output", out], capture_output=True, text=True)
        check(done.returncode in (1, 2, 3) and done.stderr.strip() and not os.path.exists(out),
              "bad input '%s': exit status %d, %s" % (what, done.returncode, done.stderr))
    os.mkdir(os.path.join(folder, "folder.npz"))
    with open(os.path.join(folder, "huge.npy"), "wb") as f:  # 16 GiB, none of them on the disk
        np.lib.format.write_array_header_1_0(f, {"descr": "<f4", "fortran_order": False, "shape": (1 << 32,)})
        f.truncate(f.tell() + (16 << 30))
    for words, status in ((("--input", os.path.join(folder, "missing.npz")), 3), (("--input", folder + "/x.npz/"), 2),
                          (("--input", "input=%s/huge.npy" % folder), 1), (("--input", "%s/folder.npz" % folder), 3),
                          (("--random", "x"), 2), (("--threads", "0"), 2), (("--device", "tpu"), 2), ((), 2)):
        done = subprocess.run([QDQOPT, "run", model, *words], capture_output=True, text=True)
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


def main():
    paths = [p for p in sorted(glob.glob(MODELS + "/*.onnx") + glob.glob(MODELS + "/exporters/*.onnx"))
             if os.path.exists(p[:-len(".onnx")] + ".ref.npz")]
    with tempfile.TemporaryDirectory() as folder:
        for path in paths:
            check_reference(path, folder)
        check_digits(folder)
        check_arrays(folder)
        check_bad(folder)
        check_places(folder)
    print("%d passed, %d failed" % (passed, failed))
    return failed != 0


sys.exit(main())

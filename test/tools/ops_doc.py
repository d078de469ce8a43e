# SPDX-License-Identifier: Apache-2.0
#
# ops_doc.py -- prints docs/ops.md from lib/ir/ops.def; test/peer/ops.py compares the two
import os
import re

TABLE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../lib/ir/ops.def")
ROW = re.compile(r'^OP\((\w+), "(\w+)", "([\w.]*)", "([\d ]+)", (\w+), (\w+), (\w+), (\d+), (\d+), (\w+), (\w+),\n'
                 r'   "(.*)", "(.*)",\n   "(.*)"\)$', re.M)

INTRO = """# Operators

Made from `lib/ir/ops.def` by `make docs/ops.md`. An operator that is not listed is kept as it is and reported; nothing moves
through it.

- **Versions**: the opsets in which its definition changed.
- **Class**: what the rewrites may do. Q and DQ move through *move* (selects or rearranges elements) and *mono* (of the
  elements that it compares, it gives one back) operators; *contract* multiplies and accumulates; *pointwise*, *reduce* and
  *norm* compute in floats; *quant* stands between floats and codes; *qform* computes on codes; *shape* reads no data;
  nothing passes a *barrier*.
- **Axis**: how a per-channel axis goes through a *move* or *mono* operator: it stays the *same*; *perm* follows the
  transposition; in a *view* it survives where its dimension stays whole; *untouched* where the operator leaves its dimension
  as it is; *channel* for axes 0 and 1 only; - not at all.
- **int8**, **uint8**: the opset from which ONNX Runtime's CPU kernels take such codes as data; - never.
- **Reported as**: how the report lists it.
- **Folded**: whether constants are computed through it.
"""


def read(path=TABLE):
    with open(path, encoding="utf-8") as file:
        return [m.groups() for m in ROW.finditer(file.read())]


def render(rows):
    out = [INTRO]
    for domain in dict.fromkeys(r[2] for r in rows):
        chosen = [r for r in rows if r[2] == domain]
        out.append("## %s: %d operator%s\n" % (domain or "ai.onnx", len(chosen), "s" if len(chosen) != 1 else ""))
        out.append("| operator | versions | class | axis | int8 | uint8 | reported as | folded |")
        out.append("|---|---|---|---|---|---|---|---|")
        for _, name, _, versions, cls, family, axis, s8, u8, _, kernel, _, _, _ in chosen:
            def dash(value, absent):
                return "-" if value == absent else value.lower()
            out.append("| %s | %s | %s | %s | %s | %s | %s | %s |" %
                       (name, versions, cls.lower(), dash(axis, "NONE"), dash(s8, "0"), dash(u8, "0"),
                        dash(family, "NONE"), "-" if kernel == "none" else "yes"))
        out.append("")
    return "\n".join(out)


if __name__ == "__main__":
    print(render(read()), end="")

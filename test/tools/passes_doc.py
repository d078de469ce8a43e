# SPDX-License-Identifier: Apache-2.0
#
# passes_doc.py QDQOPT -- prints docs/passes.md from the headers of passes/*.c, passes.def and `QDQOPT --list-rules`;
# test/peer/docs.py compares the two
import os
import re
import subprocess
import sys

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")
FIELDS = ("When", "Keeps", "Exact", "Needs", "Breaks", "After", "Before", "Tests", "Ref")
FIELD = re.compile(r"(?:^ {2,}|  +)(%s) +" % "|".join(FIELDS))
RULE = re.compile(r"^  (\S+) +(exact|step1|bounded) +(.*)$")

INTRO = """# Passes

What is done to a network, in this order; `--passes` takes some or leaves some out, `--print-after PASS` shows the network
behind one. Made from the headers of `passes/*.c`, from `passes/passes.def` and `qdqopt --list-rules` by `make docs/passes.md`.

A rule is `exact` (no bit of any result changes), `step1` (a code moves by at most one step, at ties; not with `--exact`) or
`bounded` (within a bound, or none that is known, which the report states; only with `--allow=bounded`, but for those that
say otherwise). Where the table says `step1`, single rewrites may be exact: the report tells of each. Pictures: what stands left of `=>` becomes what stands right of it."""


def read(path):
    with open(os.path.join(ROOT, path), encoding="utf-8") as file:
        return file.read()


def header(name):
    """Title, picture and fields of a pass's opening comment."""
    lines = [line[2:].rstrip() for line in read("passes/%s.c" % name).split("*/")[0].split("\n")[1:]]
    title = re.match(r" %s -- (.*)" % name, lines[1]).group(1)
    picture, fields, last = [], {}, None
    for line in lines[2:]:
        found = list(FIELD.finditer(line)) if last or FIELD.match(line) else []
        if found and found[0].start() == 0:
            ends = [m.start() for m in found[1:]] + [len(line)]
            for m, end in zip(found, ends):
                last = m.group(1)
                fields[last] = line[m.end():end].strip()
        elif last:
            fields[last] += " " + line.strip()
        else:
            picture.append(line)
    assert set(fields) == set(FIELDS), (name, set(FIELDS) - set(fields))
    return title, "\n".join(picture).strip("\n"), {k: v.strip() for k, v in fields.items()}


def rules_of(qdqopt):
    """The passes in order, each with its title and rules: (name, exactness, text, pattern)."""
    passes = []
    for line in subprocess.run([qdqopt, "--list-rules"], capture_output=True, text=True, check=True).stdout.split("\n"):
        rule = RULE.match(line)
        if rule:
            passes[-1][2].append([*rule.groups(), None])
        elif line.startswith("  "):
            passes[-1][2][-1][3] = line.strip()
        elif line:
            name, title = line.split(": ", 1)
            passes.append((name, title, []))
    return passes


def code(text):
    return re.sub(r"(^|[ (,])((?:test|docs)/[\w./]*\w/?)", r"\1`\2`", text)


def render(qdqopt):
    passes = rules_of(qdqopt)
    out = [INTRO, "\n| pass | |\n|---|---|"]
    out += ["| [%s](#%s) | %s |" % (name, name, title) for name, title, _ in passes]
    for name, _, rules in passes:
        title, picture, fields = header(name)
        out.append("\n## %s\n\n%s.\n\n```\n%s\n```\n" % (name, title[0].upper() + title[1:], picture))
        out += ["- %s: %s" % (field, code(fields[field])) for field in FIELDS]
        out.append("\n| rule | | what it does |\n|---|---|---|")
        for rule, exactness, text, pattern in rules:
            out.append("| `%s` | %s | %s%s |" % (rule, exactness, text.replace("|", "\\|"),
                                               "<br>`%s`" % pattern if pattern else ""))
    order = re.findall(r'^ORDER\((\w+), (\w+), "(.*)"\)', read("passes/passes.def"), re.M)
    out.append("\n## Why this order\n\n| | before | because |\n|---|---|---|")
    out += ["| %s | %s | %s |" % row for row in order]
    return "\n".join(out) + "\n"


if __name__ == "__main__":
    sys.stdout.write(render(sys.argv[1]))

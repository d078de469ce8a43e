# SPDX-License-Identifier: Apache-2.0
#
# reasons_doc.py -- prints docs/reasons.md from lib/report/reasons.def; test/peer/docs.py compares the two
import os
import re
import sys

TABLE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "lib", "report", "reasons.def")
STRING = r'"((?:[^"\\\\]|\\\\.)*)"'
ROW = re.compile(r"REASON\(\w+,\s*" + r",\s*".join([STRING] * 4) + r"\)")

INTRO = """# Reasons

Why an operator is not INT8 on both sides, or a rewrite was not made. `qdqopt explain CODE` prints the same.
Made from lib/report/reasons.def by `make docs/reasons.md`.
"""


def render():
    with open(TABLE, encoding="utf-8") as file:
        text = file.read()
    rows = sorted(ROW.findall(text))
    assert len(rows) == len(re.findall(r"^REASON\(", text, re.M)), "a row of reasons.def was not understood"
    return INTRO + "".join("\n## %s\n\n*%s.* %s\n\nFix: %s.\n" % (code, message.replace("%s", "…"), explanation, fix)
                           for code, message, fix, explanation in rows)


if __name__ == "__main__":
    sys.stdout.write(render())

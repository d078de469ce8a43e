# SPDX-License-Identifier: Apache-2.0
#
# reasons_doc.py -- lib/report/reasons.def as a page for people: docs/reasons.md
import os
import re

here = os.path.dirname(os.path.abspath(__file__))
text = open(os.path.join(here, "..", "..", "lib", "report", "reasons.def")).read()
string = r'"((?:[^"\\\\]|\\\\.)*)"'
row = re.compile(r"REASON\(\w+,\s*" + r",\s*".join([string] * 4) + r"\)")
rows = sorted(row.findall(text))
assert len(rows) == len(re.findall(r"^REASON\(", text, re.M)), "a row of reasons.def was not understood"

print("# Reasons\n")
print("Why an operator is not INT8 on both sides, or a rewrite was not made. `qdqopt explain CODE` prints the same.")
print("Made from lib/report/reasons.def by `make docs/reasons.md`.")
for code, message, fix, explanation in rows:
    print("\n## %s\n\n*%s.* %s\n\nFix: %s." % (code, message.replace("%s", "…"), explanation, fix))

# SPDX-License-Identifier: Apache-2.0
#
# docs.py -- pages that are made from tables are what the tables say: docs/reasons.md, docs/passes.md (docs/ops.md: ops.py)
import os
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "../tools"))
import passes_doc
import reasons_doc

QDQOPT = os.environ.get("QDQOPT", "build/qdqopt")


def main():
    failed = 0
    pages = {"docs/reasons.md": reasons_doc.render(), "docs/passes.md": passes_doc.render(QDQOPT)}
    for path, wanted in pages.items():
        with open(os.path.join(HERE, "../..", path), encoding="utf-8") as file:
            if file.read() != wanted:
                print("%s is not what the tables say: `make %s`" % (path, path))
                failed += 1
    print("%d passed, %d failed" % (len(pages) - failed, failed))
    sys.exit(failed != 0)


main()

# SPDX-License-Identifier: Apache-2.0
#
# view.py MODEL.onnx... -- the kernels that NVIDIA's compiler makes of a model: kind, name, types of inputs and outputs
import sys

import compiler

for path in sys.argv[1:]:
    verdict = compiler.build(path)
    if verdict.refusal:
        print("%s: refused: %s" % (path, verdict.refusal))
        continue
    print("%s: %d kernels: %s" % (path, verdict.count(), ", ".join("%d %s" % (n, k) for k, n in verdict.kinds().most_common())))
    for kernel in verdict.kernels:
        print("%-12s %-72s %s -> %s" % (kernel.kind, kernel.name[:72], "+".join(kernel.inputs), "+".join(kernel.outputs)))

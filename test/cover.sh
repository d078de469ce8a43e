#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# cover.sh GCOVR BUILD FLOOR -- prints the line coverage of the four parts that have a floor, and holds them to it
passed=0 failed=0
for part in lib/ir lib/rewrite lib/onnx passes; do
	percent=$("$1" --root . --object-directory "$2" --filter "$part/" --gcov-ignore-errors=all --txt-metric line "$2" 2>/dev/null |
		sed -n 's/^TOTAL.* \([0-9]*\)%.*/\1/p')
	echo "lines covered in $part: ${percent:-0} % (floor $3 %)"
	if [ "${percent:-0}" -ge "$3" ]; then passed=$((passed + 1)); else failed=$((failed + 1)); fi
done
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]

#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# cover.sh BUILD FLOOR -- prints the line coverage of the four parts that have a floor, and holds them to it
passed=0 failed=0
for part in lib/ir lib/rewrite lib/onnx passes; do
	gcov -n "$1/$part"/*.gcda 2>/dev/null | awk -v part="$part" '
		/^File / { wanted = index($0, "\047" part "/") && /\.c\047$/; name = $2 }
		/^Lines executed:/ && wanted {
			split($0, f, /[:% ]+/); lines = $NF; hit = f[3] * lines / 100
			all += lines; done += hit; wanted = 0
			if (f[3] < 90) printf "  %5.1f %% of %4d lines: %s\n", f[3], lines, name
		}
		END { printf "%d lines of %d\n", done + 0.5, all }' >"$1/covered"
	sed '$d' "$1/covered"
	percent=$(tail -n 1 "$1/covered" | awk '{ printf "%d", $4 ? $1 * 100 / $4 : 0 }')
	echo "lines covered in $part: $percent % (floor $2 %)"
	if [ "$percent" -ge "$2" ]; then passed=$((passed + 1)); else failed=$((failed + 1)); fi
done
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]

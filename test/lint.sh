#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# lint.sh -- layout, direction of includes, length of files, and no warning from either compiler
passed=0 failed=0
verdict() { # STATUS WHAT
	if [ "$1" -eq 0 ]; then passed=$((passed + 1)); else failed=$((failed + 1)) && echo "lint: $2"; fi
}

files=$(ls include/*.h lib/*/*.[ch] lib/*/*/*.[ch] passes/*.[ch] test/*.c test/*/*.[ch] examples/*.c 2>/dev/null)
if command -v clang-format >/dev/null; then
	clang-format --dry-run -Werror $files
	verdict $? "clang-format would change files"
else
	echo "lint: skipped layout, clang-format is not installed"
fi
test/check_includes
verdict $? "an include goes up"
long=$(wc -l $files test/peer/*.py test/peer/common/*.py Makefile | awk '$2 != "total" && $1 > 800')
[ -z "$long" ]
verdict $? "longer than 800 lines: $long"
for f in $files; do
	head -n 1 "$f" | grep -q 'SPDX-License-Identifier: Apache-2.0' || { echo "$f: no licence line" && false; } || missing=1
done
verdict ${missing:-0} "files without a licence line"
warnings() { # COMPILER FOLDER VARIABLES...: none, or its build fails
	compiler=$1 folder=$2
	shift 2
	if command -v "$compiler" >/dev/null; then
		${MAKE:-make} --no-print-directory -s $jobs BUILD="$folder" CC="$compiler" WERROR=-Werror "$@" all
		verdict $? "warnings of $compiler"
	else
		echo "lint: skipped warnings of $compiler, which is not installed"
	fi
}
case $MAKEFLAGS in *jobserver*) jobs= ;; *) jobs=-j2 ;; esac
warnings gcc "${GCC_BUILD:-build/lint-gcc}"
warnings "${CLANG:-clang}" build/lint-clang DEBUG=1 OPT="-O0 -DNDEBUG" # its warnings come before it optimizes
echo "$passed passed, $failed failed"
[ $failed -eq 0 ]

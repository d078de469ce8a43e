#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# examples.sh -- what a user meets: the examples, C++, Python, an installed tree, and the command line on bad input
#
# Takes BUILD (the build folder), CC, CXX, PYTHON and MAKE from the environment. The last line counts the checks.
BUILD=${BUILD:-build} CC=${CC:-cc} CXX=${CXX:-c++} PYTHON=${PYTHON:-python3} MAKE=${MAKE:-make}
BUILD=$(realpath "$BUILD")
qdqopt=$BUILD/qdqopt
cnn=$PWD/test/models/cnn.brevitas.onnx residual=$PWD/test/models/res_tiny.pt2e.onnx
[ -x "$qdqopt" ] || { echo "$qdqopt: not built" && exit 1; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
passed=0 failed=0

verdict() { # STATUS WHAT
	if [ "$1" -eq 0 ]; then
		passed=$((passed + 1))
	else
		failed=$((failed + 1))
		echo "FAILED $2"
		head -n 5 "$work/out" "$work/err" 2>/dev/null
	fi
}
try() { # WHAT COMMAND…: it succeeds; what it says is kept in out and err
	what=$1
	shift
	"$@" >"$work/out" 2>"$work/err"
	verdict $? "$what"
}
says() { # PATTERN: a line of what the last command printed
	grep -Eq -- "$1" "$work/out"
	verdict $? "$what: no line '$1'"
}
complains() { # PATTERN: a line of what it printed to stderr
	grep -Eq -- "$1" "$work/err"
	verdict $? "$what: no message '$1'"
}
exits() { # STATUSES WHAT COMMAND…: with one of them ("1|3"), within 20 s; where it is not 0 or 6, with a message
	statuses=$1 what=$2
	shift 2
	timeout 20 "$@" >"$work/out" 2>"$work/err"
	status=$?
	case "|$statuses|" in
	*"|$status|"*) [ $status -eq 0 ] || [ $status -eq 6 ] || [ -s "$work/err" ] ;;
	*) false ;;
	esac
	verdict $? "$what: exit status $status, not $statuses"
}
same() { # WHAT A B
	cmp -s "$2" "$3"
	verdict $? "$1"
}
nothing() { # WHAT TEXT
	echo "$2" >"$work/out"
	[ -z "$2" ]
	verdict $? "$1"
}

examples() {
	try "examples build" $MAKE --no-print-directory -s BUILD="$BUILD" CC="$CC" examples
	try "01_load" "$BUILD/examples/01_load" "$cnn"
	says '^32 nodes, opset 17$'
	says '^Conv +/a/Conv -> /a/Conv_output_0 float\[1,16,32,32\]$'
	exits 3 "01_load without a file" "$BUILD/examples/01_load" "$work/missing.onnx"
	exits 1 "01_load of something else" "$BUILD/examples/01_load" Makefile
	try "02_optimize" "$BUILD/examples/02_optimize" "$cnn" "$work/fused.onnx"
	says '^7 nodes at the top level$'
	try "01_load of what 02_optimize wrote" "$BUILD/examples/01_load" "$work/fused.onnx"
	says '^7 nodes, opset 17$'
	says '^QConv'
	try "03_reasons" "$BUILD/examples/03_reasons" "$cnn"
	says "^Gemm '/f/Gemm' is int8 -> float: .* \(output-float\); fix: "
	says '^100\.0 % of the multiply-accumulates run in INT8$'
	try "04_build" "$BUILD/examples/04_build"
	says '^with Q/DQ around it: conv is int8 -> int8$'
	cat >"$work/identity.onnxtxt" <<-'END'
		<ir_version: 8, opset_import: ["" : 17]>
		g (float[2] x) => (float[2] z) {
		  y = Identity (x)
		  z = Relu (y)
		}
	END
	try "05_own_pass" "$BUILD/examples/05_own_pass" "$work/identity.onnxtxt"
	says '^1 Identity nodes dropped, 1 nodes left$'
	try "06_own_report" "$BUILD/examples/06_own_report" "$cnn"
	says '^name,operator,verdict,macs,fused_into,reason$'
	says '^/a/Conv,Conv,int8->int8,442368,/a/Conv\.[^,]*,$'
	try "07_ctypes" env LIB="$BUILD/libqdqopt.so" "$PYTHON" examples/07_ctypes.py "$cnn"
	says "^qdqopt $version: 100\.0 % in INT8$"
	says '^  Conv +int8->int8 +/a/Conv$'
	exits 1 "07_ctypes without a file" env LIB="$BUILD/libqdqopt.so" "$PYTHON" examples/07_ctypes.py "$work/missing"
}

# The program at the top of the header, as it stands there.
manual_program() {
	sed -n '/A complete program/,/Conventions\./s/^ \*	//p' include/qdqopt.h >"$work/prog.c"
	cp "$cnn" "$work/in.onnx"
	try "the manual's program compiles" $CC -std=c11 -Wall -Wextra -Werror -o "$work/prog" "$work/prog.c" $*
	try "the manual's program runs" env -C "$work" LD_LIBRARY_PATH="$tree/usr/lib" ./prog
	try "the manual's program wrote a model" "$qdqopt" inspect "$work/out.onnx"
	rm -f "$work/in.onnx"
	exits 3 "the manual's program without its input" env -C "$work" LD_LIBRARY_PATH="$tree/usr/lib" ./prog
	complains 'in\.onnx'
}

cplusplus() {
	cat >"$work/prog.cpp" <<-'END'
		#include <cstdio>
		#include <qdqopt.h>

		static qdq_status count(void *user, const void *, std::size_t size)
		{
			*static_cast<std::size_t *>(user) += size;
			return QDQ_OK;
		}

		int main()
		{
			qdq_options options = {};
			options.version = QDQ_OPTIONS_VERSION;
			qdq_ctx *ctx = nullptr;
			qdq_model *m = nullptr;
			if (qdq_ctx_new(&ctx, &options) != QDQ_OK || qdq_model_new(&m, ctx, 17) != QDQ_OK)
				return 1;
			const int64_t dims[] = {2, 3};
			qdq_value *x = nullptr;
			qdq_node *n = nullptr;
			std::size_t size = 0;
			qdq_status s = qdq_add_input(&x, m, "x", QDQ_TYPE_FLOAT, 2, dims, nullptr);
			if (s == QDQ_OK)
				s = qdq_add_node(&n, m, nullptr, "", "Relu", "relu", 1, &x, 1);
			if (s == QDQ_OK)
				s = qdq_add_output(m, qdq_node_output(n, 0));
			if (s == QDQ_OK)
				s = qdq_save_sink(m, count, &size, nullptr);
			std::printf("%s: %d bytes\n", qdq_status_text(s), size > 0);
			qdq_ctx_free(ctx);
			return -s;
		}
	END
	for std in c++11 c++20; do
		try "C++ ($std) compiles" "$CXX" -std=$std -Wall -Wextra -Wpedantic -Werror -Iinclude -o "$work/cpp" \
			"$work/prog.cpp" -L"$BUILD" -lqdqopt
		try "C++ ($std) runs" env LD_LIBRARY_PATH="$BUILD" "$work/cpp"
		says '^success: 1 bytes$'
	done
}

installed() {
	tree=$work/tree
	try "install" $MAKE --no-print-directory -s BUILD="$BUILD" CC="$CC" install DESTDIR="$tree" PREFIX=/usr
	for file in bin/qdqopt include/qdqopt.h include/qdqopt_exec.h lib/libqdqopt.a lib/libqdqopt.so lib/libqdqopt.so.0 \
		"lib/libqdqopt.so.$version" lib/pkgconfig/qdqopt.pc share/man/man1/qdqopt.1; do
		try "installed $file" test -s "$tree/usr/$file"
	done
	nothing "the tree names no build folder" "$(grep -rIl -e "$tree" -e "$BUILD" "$tree/usr/lib/pkgconfig" "$tree/usr/share")"
	try "the installed tool" "$tree/usr/bin/qdqopt" --version
	says "^qdqopt $version$"
	export PKG_CONFIG_PATH="$tree/usr/lib/pkgconfig" PKG_CONFIG_SYSROOT_DIR="$tree"
	export PKG_CONFIG_ALLOW_SYSTEM_CFLAGS=1 PKG_CONFIG_ALLOW_SYSTEM_LIBS=1
	try "pkg-config" pkg-config --cflags --libs qdqopt
	says '-I.*/usr/include.* -lqdqopt'
	flags=$(cat "$work/out")
	try "pkg-config's version" pkg-config --exact-version="$version" qdqopt
	manual_program $flags
	unset PKG_CONFIG_PATH PKG_CONFIG_SYSROOT_DIR PKG_CONFIG_ALLOW_SYSTEM_CFLAGS PKG_CONFIG_ALLOW_SYSTEM_LIBS
	try "the manual's program, static" $CC -std=c11 -o "$work/static" "$work/prog.c" -I"$tree/usr/include" \
		"$tree/usr/lib/libqdqopt.a" -lprotobuf-c -lm
}

library() {
	so=$BUILD/libqdqopt.so
	nm -D --defined-only "$so" | awk '{ print $3 }' | sort >"$work/exported"
	sed -n 's/^QDQ_API \([^(]*[ *]\)\(qdq_[a-z0-9_]*\)(.*/\2/p' include/*.h | sort >"$work/declared"
	nothing "exported and declared symbols differ" "$(comm -3 "$work/exported" "$work/declared")"
	try "there are such symbols" test "$(wc -l <"$work/exported")" -gt 60
	nothing "the library ends or prints" "$(nm -D --undefined-only "$so" | awk '{ print $2 }' |
		grep -E '^(abort|exit|_exit|printf|fprintf|puts|putchar|fputs|perror|stdout|stderr|__assert_fail)(@|$)')"
	nothing "the library has writable globals" "$(size -A "$BUILD/libqdqopt.a" |
		awk '/ex / { file = $1 } /^\.(data|bss|tdata|tbss)/ && !/^\.data\.rel\.ro/ && $2 > 0 { print file, $1, $2 }')"
	try "soname" sh -c "readelf -d '$so' | grep -q 'SONAME.*\[libqdqopt\.so\.${version%%.*}\]'"
}

words() { # help, version, wrong words
	exits 0 "--version" "$qdqopt" --version
	says "^qdqopt $version$"
	exits 0 "--list-rules" "$qdqopt" --list-rules
	says '^  cancel\.pair '
	for command in "" inspect explain run compare; do
		exits 0 "--help $command" "$qdqopt" $command --help
		says '^usage: qdqopt'
	done
	exits 0 "--help" "$qdqopt" --help
	options=$(grep -Eo -- '--[a-z0-9-]+' "$work/out" | sort -u)
	passes=$(sed -n '/^Passes/,/^Exit/s/^  \([a-z0-9_]*\) .*/\1/p' "$work/out")
	for option in $options; do
		sed 's/\\-/-/g' docs/qdqopt.1 | grep -q -- "$option"
		verdict $? "the man page does not know $option"
	done
	for option in $("$qdqopt" compare --help | grep -Eo -- '--[a-z0-9-]+' | sort -u); do
		sed 's/\\-/-/g' docs/qdqopt.1 | grep -q -- "$option"
		verdict $? "the man page does not know $option"
	done
	try "--help lists passes" test "$(echo "$passes" | wc -w)" -eq "$(grep -Ec '^(PASS|ON_REQUEST)[(]' passes/passes.def)"
	exits 2 "no words" "$qdqopt"
	exits 2 "no OUT" "$qdqopt" "$cnn"
	complains 'OUT is missing'
	exits 2 "a word too many" "$qdqopt" "$cnn" "$work/o.onnx" more
	exits 2 "an unknown option" "$qdqopt" "$cnn" "$work/o.onnx" --exakt
	complains 'did you mean --exact'
	exits 2 "an unknown pass" "$qdqopt" "$cnn" "$work/o.onnx" --passes fuse,nothing_like_it
	complains 'nothing_like_it'
	exits 2 "an unknown pass to print after" "$qdqopt" "$cnn" "$work/o.onnx" --print-after nothing_like_it
	exits 2 "an unknown emit mode" "$qdqopt" "$cnn" "$work/o.onnx" --emit=both
	exits 2 "integer operators for another target" "$qdqopt" "$cnn" "$work/o.onnx" --emit=qoperator --target=cuda
	exits 2 "an unknown target" "$qdqopt" "$cnn" "$work/o.onnx" --target=abacus
	exits 2 "a report of another kind" "$qdqopt" "$cnn" "$work/o.onnx" --report=o.pdf
	exits 2 "a percentage above 100" "$qdqopt" "$cnn" "$work/o.onnx" --require-int8 101
	exits 2 "a precision of no type" "$qdqopt" "$cnn" "$work/o.onnx" --precision "/f/Gemm"
	exits 2 "a precision of another type" "$qdqopt" "$cnn" "$work/o.onnx" --precision "/f/Gemm=int4"
	exits 2 "nothing to keep" "$qdqopt" "$cnn" "$work/o.onnx" --keep-float=
	exits 3 "a file of precisions that is missing" "$qdqopt" "$cnn" "$work/o.onnx" --precision-file "$work/missing.json"
	echo '["/f/Gemm"]' >"$work/list.json"
	exits 2 "a file of precisions that is a list" "$qdqopt" "$cnn" "$work/o.onnx" --precision-file "$work/list.json"
	echo '{"*": "int8", "/f/Gemm": 8}' >"$work/number.json"
	exits 2 "a file of precisions with a number" "$qdqopt" "$cnn" "$work/o.onnx" --precision-file "$work/number.json"
	exits 2 "exact and bounded" "$qdqopt" "$cnn" "$work/o.onnx" --exact --allow=bounded
	exits 2 "a value for --quiet" "$qdqopt" "$cnn" "$work/o.onnx" --quiet=yes
	exits 2 "an option without its value" "$qdqopt" "$cnn" "$work/o.onnx" --emit
	exits 2 "an unknown reason" "$qdqopt" explain wait-float
	complains 'did you mean weight-float'
	exits 2 "an unknown node" "$qdqopt" explain "$cnn" nobody
	exits 0 "a reason" "$qdqopt" explain weight-float
	exits 0 "a node" "$qdqopt" explain "$cnn" /f/Gemm
	says 'output-float'
	try "nothing was written" test ! -e "$work/o.onnx"
}

results() { # what goes well
	exits 0 "optimize" "$qdqopt" "$cnn" "$work/a.onnx" --quiet
	nothing "--quiet is not quiet" "$(cat "$work/out" "$work/err")"
	exits 0 "--report" "$qdqopt" "$cnn" "$work/b.onnx" --report
	head -n 2 "$work/out" | grep -q '^INT8: 4 of 4 weighted operators, 100 %'
	verdict $? "the report does not begin with the coverage"
	same "the same twice" "$work/a.onnx" "$work/b.onnx"
	exits 2 "a float type that there is not" "$qdqopt" inspect "$cnn" --float-type bf16
	exits 2 "exact and float16" "$qdqopt" inspect "$cnn" --float-type fp16 --exact
	exits 2 "--io of another type" "$qdqopt" inspect "$cnn" --io float
	exits 2 "inputs without a report" "$qdqopt" "$cnn" "$work/random.onnx" --random 1
	exits 2 "--io and inputs" "$qdqopt" inspect "$cnn" --io int8 --random 1
	exits 0 "--io" "$qdqopt" "$residual" "$work/io.onnx" --io int8 --report
	says '^Input input is int8: scale [0-9.e-]+, zero point -?[0-9]+$'
	exits 0 "outputs before and after" "$qdqopt" inspect "$residual" --allow=bounded --random 1
	says '^Outputs beside those of the network as it was: output SNR [0-9.]* dB$'
	exits 0 "outputs that stay" "$qdqopt" inspect "$cnn" --passes none --random 1
	says '^Outputs beside those of the network as it was: output identical$'
	exits 3 "inputs that are missing" "$qdqopt" inspect "$cnn" --input "$work/missing.npz"
	echo '{"*": "int8", "/f/*": "fp32"}' >"$work/precisions.json"
	exits 0 "--precision-file" "$qdqopt" inspect "$cnn" --precision-file "$work/precisions.json"
	says '^INT8: 3 of 4 weighted'
	says 'kept-float'
	exits 0 "--keep-float, then --precision" "$qdqopt" inspect "$cnn" --keep-float '*' --precision '/f/*=int8'
	says '^INT8: 1 of 4 weighted'
	exits 0 "--keep-float of nobody" "$qdqopt" inspect "$cnn" --keep-float nobody
	complains "no operator is called 'nobody'"
	exits 0 "--report=FILE" "$qdqopt" "$cnn" "$work/b.onnx" --report="$work/r.json"
	try "the report is JSON" "$PYTHON" -c 'import json, sys; json.load(open(sys.argv[1]))' "$work/r.json"
	exits 0 "standard input" sh -c "'$qdqopt' - '$work/b.onnx' <'$cnn'"
	same "from standard input" "$work/a.onnx" "$work/b.onnx"
	exits 0 "standard output" sh -c "'$qdqopt' '$cnn' - >'$work/b.onnx'"
	same "to standard output" "$work/a.onnx" "$work/b.onnx"
	exits 0 "both, and a report" sh -c "'$qdqopt' - - --report <'$cnn' >'$work/b.onnx'"
	same "the report is not in the output" "$work/a.onnx" "$work/b.onnx"
	complains '%'
	cp "$cnn" "$work/b.onnx"
	exits 0 "onto itself" "$qdqopt" "$work/b.onnx" "$work/b.onnx"
	same "onto itself, the same" "$work/a.onnx" "$work/b.onnx"
	exits 0 "text" "$qdqopt" "$cnn" "$work/a.onnxtxt"
	exits 0 "text from standard input" sh -c "'$qdqopt' - '$work/b.onnxtxt' <'$work/a.onnxtxt'"
	same "text of text" "$work/a.onnxtxt" "$work/b.onnxtxt"
	exits 0 "--require-int8, met" "$qdqopt" "$cnn" "$work/a.onnx" --require-int8 100
	rm -f "$work/a.onnx"
	cat >"$work/float.onnxtxt" <<-'END'
		<ir_version: 8, opset_import: ["" : 17]>
		g (float[2,2] x, float[2,2] w) => (float[2,2] y) { ["product"] y = MatMul (x, w) }
	END
	exits 6 "--require-int8, not met" "$qdqopt" "$work/float.onnxtxt" "$work/a.onnx" --require-int8 0.5
	try "--require-int8 writes all the same" test -s "$work/a.onnx"
	exits 6 "inspect --require-int8" "$qdqopt" inspect "$work/float.onnxtxt" --require-int8=100
	says "MatMul 'product'"
}

outputs() { # nothing is left half-written
	echo old >"$work/old.onnx"
	cp "$work/old.onnx" "$work/old"
	exits 3 "no such folder" "$qdqopt" "$cnn" "$work/none/o.onnx"
	exits 3 "the output is a folder" "$qdqopt" "$cnn" "$work"
	exits 3 "no room" sh -c "trap '' XFSZ; ulimit -f 1; exec '$qdqopt' '$residual' '$work/old.onnx'"
	same "the old file stays" "$work/old" "$work/old.onnx"
	exits 3 "no room on a device" "$qdqopt" "$cnn" /dev/full
	exits 3 "no room on standard output" sh -c "'$qdqopt' '$cnn' - >/dev/full"
	exits 3 "no room for the report" sh -c "'$qdqopt' inspect '$cnn' >/dev/full"
	exits 3 "no folder for the report" "$qdqopt" "$cnn" "$work/o.onnx" --report="$work/none/r.txt"
	head -c 5000 "$cnn" >"$work/cut.onnx"
	exits 1 "a bad input" "$qdqopt" "$work/cut.onnx" "$work/old.onnx"
	same "the old file stays where the input is bad" "$work/old" "$work/old.onnx"
	nothing "temporary files are left" "$(find "$work" . -maxdepth 1 -name '*.tmp')"
}

refused() { # STATUSES WHAT FILE: refused, and the message names the file
	exits "$1" "$2" "$qdqopt" inspect "$3"
	complains "$(basename "$3")"
}

inputs() {
	refused 3 "no file" "$work/missing.onnx"
	refused '1|3' "a folder" "$work"
	refused '1|3' "a device without data" /dev/null
	refused '1|3' "a device without end" /dev/zero
	: >"$work/empty.onnx"
	refused '1|3' "an empty file" "$work/empty.onnx"
	: >"$work/empty.onnxtxt"
	refused 1 "an empty text" "$work/empty.onnxtxt"
	for cut in 1 2 10 100 1000 6000 12000; do
		head -c $cut "$cnn" >"$work/cut.onnx"
		refused 1 "cut to $cut bytes" "$work/cut.onnx"
	done
	for cut in 20 60 200; do
		head -c $cut "$work/a.onnxtxt" >"$work/cut.onnxtxt"
		refused 1 "text cut to $cut bytes" "$work/cut.onnxtxt"
	done
	size=$(wc -c <"$cnn")
	for i in $(seq 1 40); do
		cp "$cnn" "$work/flip.onnx"
		printf '\377' | dd of="$work/flip.onnx" bs=1 seek=$((i * 7919 % size)) conv=notrunc 2>/dev/null
		exits '0|1' "byte $((i * 7919 % size)) is wrong" "$qdqopt" "$work/flip.onnx" "$work/o.onnx"
	done
}

bad_graph() { # WHAT GRAPH: everything behind the header
	printf '<ir_version: 8, opset_import: ["" : 17]>\n%s\n' "$2" >"$work/bad.onnxtxt"
	refused 1 "$1" "$work/bad.onnxtxt"
}

graphs() {
	bad_graph "a cycle" 'g (float[2] x) => (float[2] a) { a = Add (x, b) b = Relu (a) }'
	bad_graph "two of a name" 'g (float[2] x) => (float[2] a) { a = Relu (x) a = Abs (x) }'
	bad_graph "nobody defines it" 'g (float[2] x) => (float[2] a) { a = Relu (b) }'
	bad_graph "a wrong type" 'g (string[2] x) => (string[2] a) { a = Relu (x) }'
	bad_graph "too many operands" 'g (float[2] x) => (float[2] a) { a = Relu (x, x) }'
	bad_graph "a negative dimension" 'g (float[2] x) => (float[2] a) <float[-2] w = {1, 2}> { a = Add (x, w) }'
	bad_graph "a tensor without end" 'g (float[2] x) => (float[2] a)
		<float[4294967296,4294967296,4294967296] w = {1}> { a = Add (x, w) }'
	bad_graph "a tensor with too few elements" 'g (float[2] x) => (float[2] a) <float[3] w = {1}> { a = Add (x, w) }'
	awk 'BEGIN {
		print "<ir_version: 8, opset_import: [\"\" : 17]>\ng (bool c, float[2] x) => (float[2] y) {"
		for (i = 0; i < 10000; i++) print "y = If (c) <then_branch = g () => (float[2] y) {"
	}' >"$work/deep.onnxtxt"
	refused 1 "10,000 graphs in each other" "$work/deep.onnxtxt"
	nested_types >"$work/types.onnxtxt"
	refused 1 "10,000 types in each other" "$work/types.onnxtxt"
}
nested_types() {
	printf '<ir_version: 8, opset_import: ["" : 17]>\ng ('
	awk 'BEGIN { for (i = 0; i < 10000; i++) printf "seq("; printf "float"; for (i = 0; i < 10000; i++) printf ")" }'
	printf ' x) => (float[2] a) { a = Relu (x) }\n'
}

# A model whose weight lies in sub/w.bin, and the same with other places of the same length.
external() {
	mkdir -p "$work/model/sub" "$work/elsewhere"
	printf '\0\0\200\077\0\0\0\100' >"$work/model/sub/w.bin"
	cp "$work/model/sub/w.bin" "$work/xw.bin"
	cp "$work/model/sub/w.bin" "$work/elsewhere/w.bin"
	ln -s ../elsewhere "$work/model/out"
	for place in sub/w.bin none/w.bn ../xw.bin /etc/pass out/w.bin; do
		printf '<ir_version: 8, opset_import: ["" : 17]>
			g (float[2] x) => (float[2] y) <float[2] w = ["location": "%s", "offset": "0", "length": "8"]>
			{ y = Add (x, w) }\n' "$place" >"$work/model/m.onnxtxt"
		case $place in
		sub/*)
			exits 0 "external data" "$qdqopt" "$work/model/m.onnxtxt" "$work/model/m.onnx"
			exits 0 "external data of a binary file" "$qdqopt" inspect "$work/model/m.onnx"
			;;
		none/*) refused '1|3' "no external file" "$work/model/m.onnxtxt" ;;
		/*) refused 1 "an absolute place" "$work/model/m.onnxtxt" ;;
		..*) refused 1 "a place above" "$work/model/m.onnxtxt" ;;
		out/*) refused 1 "a place behind a link that leaves the folder" "$work/model/m.onnxtxt" ;;
		esac
	done
	: >"$work/model/sub/w.bin"
	sed 's|out/w.bin|sub/w.bin|' "$work/model/m.onnxtxt" >"$work/model/n.onnxtxt"
	refused '1|3' "an external file that is too short" "$work/model/n.onnxtxt"
}

version=$(sed -n 's/.*QDQ_VERSION_STRING "\(.*\)"/\1/p' include/qdqopt.h)
examples
cplusplus
installed
library
words
results
outputs
inputs
graphs
external
echo "$passed passed, $failed failed"
[ $failed -eq 0 ]

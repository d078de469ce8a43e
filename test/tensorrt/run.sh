#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# run.sh VENV [ARGUMENT]... -- judge.py with NVIDIA's compiler from PyPI (95 MB), in a virtual environment of its own; where
# pip cannot get it, that is said, and nothing fails
venv=$1
shift
version=1.7.1.116
packages="tensorrt-rtx-cu13-libs==$version tensorrt-rtx-cu13-bindings==$version onnx numpy"

if [ ! -e "$venv/ready" ]; then
	rm -rf "$venv"
	if ! { python3 -m venv "$venv" && "$venv/bin/python" -m pip install --quiet --disable-pip-version-check \
		--retries 1 --timeout 20 $packages && touch "$venv/ready"; } >"$venv.log" 2>&1; then
		echo "skipped: $(grep . "$venv.log" | tail -n 1)"
		echo "0 passed, 0 failed"
		exit 0
	fi
fi
exec "$venv/bin/python" "$(dirname "$0")/judge.py" "$@"

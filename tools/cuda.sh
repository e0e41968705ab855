#!/usr/bin/env bash
# Compile tamis._cuda on a machine that needs no GPU, check its machine code, and import it.
# usage: tools/cuda.sh PYTHON (the .venv's, which holds the build tools)
# nvcc: that of CUDACXX or PATH; without one, NVIDIA's packages from the package index.
set -euo pipefail
python=$1
work=$PWD/build/cuda
tools=$work/tools
bin=$(dirname "$python")
mkdir -p "$work"
pip=(-m pip --disable-pip-version-check --quiet --no-input)

packages=(nvidia-cuda-cuobjdump nvidia-cuda-nvdisasm)
if ! command -v "${CUDACXX:-nvcc}" >/dev/null; then
  packages+=(nvidia-cuda-nvcc nvidia-cuda-crt nvidia-nvvm nvidia-cuda-cccl nvidia-cuda-runtime)
fi
if ! cmp -s <(printf '%s\n' "${packages[@]}" && cat constraints.txt) "$tools/.installed"; then
  echo "installing ${packages[*]}"
  rm -rf "$tools"
  "$python" "${pip[@]}" install --no-deps -c constraints.txt --target "$tools" "${packages[@]}"
  { printf '%s\n' "${packages[@]}" && cat constraints.txt; } >"$tools/.installed"
fi
nvidia=$(echo "$tools"/nvidia/cu*)
if [ -x "$nvidia/bin/nvcc" ]; then
  export CUDACXX=$nvidia/bin/nvcc
fi

echo "compiling tamis._cuda with ${CUDACXX:-$(command -v nvcc)}"
export PATH=$bin:$PATH
cmake -G Ninja -S . -B "$work/cmake" -DTAMIS_CUDA=ON -DTAMIS_WERROR=ON \
  -Dpybind11_DIR="$("$python" -m pybind11 --cmakedir)" -DPython_EXECUTABLE="$python" \
  >"$work/configured" || { cat "$work/configured"; exit 1; }
cmake --build "$work/cmake" --target _cuda
module=$(echo "$work"/cmake/_cuda.*.so)

echo 'checking the machine code'
"$python" tools/cuda_check.py "$module" --cuobjdump "$nvidia/bin/cuobjdump"
TAMIS_CUDA_MODULE=$module "$python" -m pytest tests/packaging/test_cuda_build.py

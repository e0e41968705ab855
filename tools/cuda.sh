#!/usr/bin/env bash
# Compile tamis._cuda on a machine that needs no GPU, check its machine code, and import it.
# usage: tools/cuda.sh PYTHON (the .venv's, which holds the build tools)
# nvcc: that of CUDACXX or PATH; without one, NVIDIA's packages from the package index.
set -euo pipefail
python=$1
source tools/cuda_module.sh

get_cuda_tools
compile_cuda "$PWD/build/cuda/cmake"

echo 'checking the machine code'
"$python" tools/cuda_check.py "$module" --cuobjdump "$cuobjdump"
TAMIS_CUDA_MODULE=$module "$python" -m pytest tests/packaging/test_cuda_build.py

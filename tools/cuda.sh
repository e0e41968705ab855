#!/usr/bin/env bash
# Compile tamis._cuda on a machine that needs no GPU, check its machine code, import it, and execute
# its PTX.
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

# The module as nvcc builds it, PTX and inline assembly included, over tests/ptx/machine.
echo 'executing the PTX'
execute() {
  TAMIS_CUDA_AS_BUILT=$1 "$python" -m pytest -n logical --maxprocesses 4 --dist loadfile \
    --no-loadscope-reorder "${@:2}"
}
device=tests/kernels/test_device
execute 80 tests/cuda/test_bindings.py "$device"{,_batch,_check,_lorentz,_stream}.py
execute 90 tests/cuda/test_bindings.py "$device"{,_batch,_check,_lorentz,_mainloop,_stream}.py
execute 90-wgmma "$device"{,_batch,_stream}.py

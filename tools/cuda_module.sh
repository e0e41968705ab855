# What tools/cuda.sh and tools/wheel.sh share, to be sourced: NVIDIA's tools, and tamis._cuda.
# $python: the .venv's, which holds the build tools. A function fails with 1, after a sentence.
pip=(-m pip --disable-pip-version-check --quiet --no-input)

# Sets cuobjdump. nvcc: that of CUDACXX or PATH; without one, NVIDIA's packages from the package
# index, and CUDACXX names it from then on.
get_cuda_tools() {
  local tools=$PWD/build/cuda/tools packages=(nvidia-cuda-cuobjdump nvidia-cuda-nvdisasm)
  if ! command -v "${CUDACXX:-nvcc}" >/dev/null; then
    packages+=(nvidia-cuda-nvcc nvidia-cuda-crt nvidia-nvvm nvidia-cuda-cccl nvidia-cuda-runtime)
  fi
  if ! cmp -s <(printf '%s\n' "${packages[@]}" && cat constraints.txt) "$tools/.installed"; then
    echo "installing ${packages[*]}"
    rm -rf "$tools"
    "$python" "${pip[@]}" install --no-deps -c constraints.txt --target "$tools" "${packages[@]}" \
      || return 1
    { printf '%s\n' "${packages[@]}" && cat constraints.txt; } >"$tools/.installed"
  fi
  local nvidia
  nvidia=$(echo "$tools"/nvidia/cu*)
  cuobjdump=$nvidia/bin/cuobjdump
  if [ -x "$nvidia/bin/nvcc" ]; then
    export CUDACXX=$nvidia/bin/nvcc
  fi
}

# compile_cuda FOLDER [OPTION...]: sets module. Options are CMake's.
compile_cuda() {
  local folder=$1 path=$PATH
  shift
  echo "compiling tamis._cuda with ${CUDACXX:-$(command -v nvcc)}"
  export PATH=${python%/*}:$path  # cmake and ninja
  mkdir -p "$folder"
  rm -f "$folder"/_cuda.*.so
  cmake -G Ninja -S . -B "$folder" -DTAMIS_CUDA=ON -DTAMIS_WERROR=ON \
    -Dpybind11_DIR="$("$python" -m pybind11 --cmakedir)" -DPython_EXECUTABLE="$python" "$@" \
    >"$folder/configured" || { cat "$folder/configured"; return 1; }
  cmake --build "$folder" --target _cuda || return 1
  export PATH=$path
  module=$(echo "$folder"/_cuda.*.so)
}

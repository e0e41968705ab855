#!/usr/bin/env bash
# One command for a machine with a GPU: build, test, sanitize, measure.
#
#   bench/gpu_check.sh OUT              everything lands in OUT; ends within 8 minutes
#   bench/gpu_check.sh --rehearse OUT   toy sizes on the emulated device, in the Python of PYTHON
#
# Needs nvcc, cmake, ninja, and a Python with numpy, pybind11, scikit-build-core, torch, and cupy;
# no network, no pytest, none of tamis' other dependencies. A part that fails does not stop the
# others; the exit code is 1 where one failed. A missed bar is no failure.
#
# PYTHON is the interpreter (default: python3), SECONDS_IN_ALL what it may take (default: 465).
set -uo pipefail
rehearse=
if [ "${1:-}" = --rehearse ]; then
  rehearse=--rehearse
  shift
fi
if [ $# -ne 1 ]; then
  echo 'usage: bench/gpu_check.sh [--rehearse] OUT' >&2
  exit 2
fi
mkdir -p "$1" || exit 2
out=$(cd "$1" && pwd)
cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit 2
root=$PWD
python=${PYTHON:-python3}
in_all=${SECONDS_IN_ALL:-465}
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
site=$scratch/site
PATH=$PATH:/usr/local/cuda/bin  # its tools are often not in PATH
export PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 PIP_DISABLE_PIP_VERSION_CHECK=1
exec </dev/null
SECONDS=0
: >"$scratch/status"
failed=0

say() { printf '%s\n' "$*" >&2; }

# part NAME LIMIT LOG COMMAND...: runs it for at most LIMIT seconds (of 465), or what is left for all.
# A command that ends with 77 has found that there is nothing for it to do here.
part() {
  local name=$1 limit=$(($2 * in_all / 465)) log=$out/$3 begin=$SECONDS left=$((in_all - SECONDS)) code
  shift 3
  if [ "$left" -lt "$limit" ]; then limit=$left; fi
  if [ "$limit" -lt 5 ]; then
    record "$name" 'not run' 0 'out of time'
    return 1
  fi
  say "--- $name"
  timeout --kill-after=5 "$limit" "$@" >"$scratch/said" 2>&1
  code=$?
  { printf '=== %s\n' "$name" && cat "$scratch/said"; } >>"$log"
  case $code in
    0) record "$name" ok $((SECONDS - begin)) "$(tail -1 "$scratch/said" | clipped)" ;;
    77) record "$name" 'not run' $((SECONDS - begin)) "$(tail -1 "$scratch/said" | clipped)" ;;
    124 | 137) record "$name" FAILED $((SECONDS - begin)) "stopped after $limit s" ;;
    *)
      record "$name" FAILED $((SECONDS - begin)) \
        "exit code $code, see ${log##*/}: $(grep -m1 -E 'FAILED|[Ee]rror' "$scratch/said" | clipped)"
      ;;
  esac
  return "$code"
}

# What fits into a cell.
clipped() { tr '|\t' '  ' | cut -c1-160; }

record() {
  printf '%s\t%s\t%s\t%s\n' "$1" "$2" "$3" "$4" >>"$scratch/status"
  if [ "$2" = FAILED ]; then failed=1; fi
}

facts() {
  uname -sr
  nproc
  nvidia-smi
  nvidia-smi --query-gpu=name,clocks.sm,clocks.max.sm,power.limit --format=csv
  nvcc --version
  cmake --version
  ninja --version
  "$python" --version
  timeout 20 "$python" -m pip list
}

# By pip; where that fails (no scikit-build-core, say) by cmake itself.
build() {
  if "$python" -m pip install --no-index --no-build-isolation --no-deps --no-compile --quiet \
    --config-settings=cmake.define.TAMIS_CUDA=ON --target "$site" .; then
    return 0
  fi
  echo 'pip could not build it: cmake does'
  rm -rf "$site"
  local pybind
  pybind=$("$python" -m pybind11 --cmakedir) || pybind=$(borrow_pybind) || return 1
  cmake -S . -B "$scratch/build" -G Ninja -DCMAKE_BUILD_TYPE=Release -DTAMIS_CUDA=ON \
    -Dpybind11_DIR="$pybind" -DPython_EXECUTABLE="$(command -v "$python")" &&
    cmake --build "$scratch/build" &&
    cmake --install "$scratch/build" --prefix "$site" &&
    tar -C python --exclude=tamis/recipes --exclude='*.so' -cf - tamis | tar -C "$site" -xf - &&
    mkdir "$site/tamis-0.dist-info" &&
    printf 'Metadata-Version: 2.1\nName: tamis\nVersion: %s\n' \
      "$(sed -n 's/^version = "\([^"]*\)".*/\1/p' pyproject.toml)" >"$site/tamis-0.dist-info/METADATA"
}

# A package of pybind11 for cmake, from the headers inside torch. (No here-document: functions that
# have one cannot be exported.)
borrow_pybind() {
  local headers
  headers=$("$python" -c 'import os, torch; print(os.path.dirname(torch.__file__) + "/include")') &&
    [ -f "$headers/pybind11/pybind11.h" ] && mkdir -p "$scratch/pybind" &&
    printf '%s\n' 'function(pybind11_add_module name kind extras)' \
      '  Python_add_library(${name} MODULE WITH_SOABI ${ARGN})' \
      "  target_include_directories(\${name} SYSTEM PRIVATE \"$headers\")" \
      'endfunction()' >"$scratch/pybind/pybind11Config.cmake" && echo "$scratch/pybind"
}

# The machine code of the matrix kernels, where there is a disassembler.
machine_code() { "$python" tools/cuda_check.py "$site"/tamis/_cuda*.so; }

what_it_says() {
  "$python" -c 'import json, tamis
known = tamis.info()
print(json.dumps(known, indent=1))
print("CUDA:", known["cuda"]["reason"] or "available", *known["cuda"]["architectures"])'
}

# sanitize TOOL: 0 where it ran and found nothing. Refused calls are no finding: tamis checks its own,
# and libraries try some that a driver may not have. Imports may take longer than it waits by itself.
sanitize() {
  compute-sanitizer --tool "$1" --error-exitcode 9 --print-limit 20 --report-api-errors no \
    --launch-timeout 0 "$python" bench/gpu_bits.py --small $rehearse
}

# What they say of a fault; it counts where they were stopped behind it, too.
findings='Invalid|Error: |Barrier error|Race reported|Misaligned|Out-of-range|Illegal'

# sanitizers LIMIT MAINLOOP TOOL...: side by side, for at most LIMIT seconds (of 465). What they
# could not end, and had found no fault in, is "not run".
sanitizers() {
  local tool pids=() limit=$(($1 * in_all / 465)) mainloop=$2 code name note verdict log finding
  local begin=$SECONDS left=$((in_all - SECONDS - 5))
  shift 2
  if [ "$left" -lt "$limit" ]; then limit=$left; fi
  if ! command -v compute-sanitizer >/dev/null || [ "$limit" -lt 15 ]; then
    note='out of time'
    if [ "$limit" -ge 15 ]; then note='compute-sanitizer is not installed'; fi
    for tool in "$@"; do record "$tool, $mainloop" 'not run' 0 "$note"; done
    return
  fi
  say "--- $*, side by side, $mainloop"
  for tool in "$@"; do
    TAMIS_CUDA_MAINLOOP=$mainloop timeout --kill-after=5 "$limit" bash -c "sanitize $tool" \
      >"$scratch/$tool.log" 2>&1 &
    pids+=($!)
  done
  for tool in "$@"; do
    wait "${pids[0]}"
    code=$?
    pids=("${pids[@]:1}")
    name="$tool, $mainloop" log=$scratch/$tool.log
    { printf '=== %s\n' "$name" && cat "$log"; } >>"$out/sanitizers.log"
    verdict=ok note=$(grep -E 'SUMMARY' "$log" | tail -1 | sed 's/^=* *//')
    finding=$(grep -m1 -E "^=+ +($findings)" "$log" | sed 's/^=* *//' | clipped)
    if grep -qiE 'device not supported|failed to initialize' "$log" &&
      ! grep -q 'every bit is as on the CPU' "$log"; then
      verdict='not run' note='compute-sanitizer does not work on this machine'
    elif [ -n "$finding" ]; then
      verdict=FAILED note="see sanitizers.log: $finding; $note"
    elif [ "$code" -eq 124 ] || [ "$code" -eq 137 ]; then
      verdict='not run' note="not through after $limit s"
    elif [ "$code" -ne 0 ] || [ -z "$note" ]; then
      verdict=FAILED note="exit code $code, see sanitizers.log; $note"
    fi
    record "$name" "$verdict" $((SECONDS - begin)) "$note"
  done
}

# benchmark: what comes behind it gets a minute, where there is one
benchmark() {
  local seconds=$((in_all - SECONDS - 68 * in_all / 465)) most=$((240 * in_all / 465))
  if [ "$seconds" -lt $((100 * in_all / 465)) ]; then seconds=$((in_all - SECONDS - 8)); fi
  if [ "$seconds" -gt "$most" ]; then seconds=$most; fi
  if [ "$seconds" -le 20 ]; then
    record benchmark 'not run' 0 'out of time'
    return
  fi
  part benchmark 250 gpu.log \
    "$python" bench/gpu.py --out "$out" --seconds "$seconds" $rehearse
}

gpu_tests() {
  if [ -z "$rehearse" ] && "$python" -c 'import pytest' 2>/dev/null; then
    part "GPU tests, $1" "$2" tests.log env TAMIS_CUDA_MAINLOOP="$1" bash -c tests
  else
    record "GPU tests, $1" 'not run' 0 'pytest is not there, or a rehearsal; "bits" has their cases'
  fi
}

# 0 where tests passed; that all were skipped is a failure on a machine with a GPU
tests() {
  set -o pipefail
  "$python" -m pytest -q -W default -p no:cacheprovider --noconftest -o addopts= \
    --import-mode=importlib tests/kernels/test_gpu.py | tee "$scratch/pytest" || return
  grep -q ' passed' "$scratch/pytest" || { echo 'FAILED: no test ran' && return 1; }
}

export root python site scratch rehearse
export -f facts build borrow_pybind machine_code what_it_says sanitize tests

say "writing to $out"
facts >"$out/machine.txt" 2>&1
if [ -n "$rehearse" ]; then
  export PYTHONPATH="$root${PYTHONPATH:+:$PYTHONPATH}"
  record build 'not run' 0 'a rehearsal'
else
  part build 220 build.log bash -c build || say 'the build failed; nothing else can run'
  # A package named tests that came with some library would hide the folder.
  mkdir -p "$scratch/first/tests"
  printf '__path__ = ["%s/tests"]\n' "$root" >"$scratch/first/tests/__init__.py"
  export PYTHONPATH="$site:$scratch/first:$root:$root/tests${PYTHONPATH:+:$PYTHONPATH}"
  if command -v cuobjdump >/dev/null; then
    part 'machine code' 30 build.log bash -c machine_code
  fi
fi
if [ "$failed" -eq 0 ] || compgen -G "$site/tamis/_cuda*.so" >/dev/null; then
  part 'tamis.info()' 60 tests.log bash -c what_it_says
  part 'bits as on the CPU, mma' 60 tests.log \
    env TAMIS_CUDA_MAINLOOP=mma "$python" bench/gpu_bits.py $rehearse
  part 'bits as on the CPU, wgmma' 60 tests.log \
    env TAMIS_CUDA_MAINLOOP=wgmma "$python" bench/gpu_bits.py $rehearse
  wgmma=$?
  benchmark
  sanitizers 55 mma memcheck racecheck synccheck
  if [ "$wgmma" -ne 77 ]; then
    sanitizers 45 wgmma memcheck synccheck
  fi
  gpu_tests mma 75
  if [ "$wgmma" -eq 0 ]; then
    gpu_tests wgmma 75
  fi
fi

{
  printf '| part | verdict | seconds | note |\n| --- | --- | --- | --- |\n'
  sed 's/\t/ | /g; s/^/| /; s/$/ |/' "$scratch/status"
  if [ -f "$out/gpu.md" ]; then printf '\n' && cat "$out/gpu.md"; fi
  printf '\n%s after %s s; everything is in %s\n' \
    "$([ "$failed" -eq 0 ] && echo 'nothing failed' || echo 'SOMETHING FAILED')" "$SECONDS" "$out"
} | tee "$out/summary.md"
exit "$failed"

#!/usr/bin/env python3
"""Check the machine code of tamis._cuda: no register spill and tensor cores in the matrix kernels.

    tools/cuda_check.py MODULE.so [--cuobjdump PATH]

Every matrix kernel must be there for every architecture, must keep no local memory (a spill, or an
array that did not fit into registers), and must multiply by HMMA, load by LDSM and copy by LDGSTS.
This is the code of mma.sync, ldmatrix and cp.async, in sm_90a too; HGMMA, the instruction of wgmma,
is to be asked of sm_90a once there is a mainloop that uses it. cuobjdump and nvdisasm come with
CUDA, or from the PyPI packages nvidia-cuda-cuobjdump and nvidia-cuda-nvdisasm.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

MATRIX_KERNELS = ("find_candidates", "look")  # of assign.cu and max_cosine.cu
NEEDED = ("HMMA", "LDSM", "LDGSTS")
SPILLS = ("STL", "LDL")
MACHINE_CODE = ("sm_80", "sm_90a")
INTERMEDIATE = ("sm_80",)  # what -lptx says for compute_80

_ARCHITECTURE = re.compile(r"^arch = (\w+)$")
_FUNCTION = re.compile(r"^\s*Function : (\S+)$")
_INSTRUCTION = re.compile(r"^\s+/\*[0-9a-f]+\*/\s+(?:@!?U?P\w+ )?([A-Z][A-Z0-9_]*)")
_RESOURCES = re.compile(r"^ Function (\S+):$")
_STACK = re.compile(r"\bSTACK:(\d+)")


class Kernel(NamedTuple):
    """One kernel for one architecture; its name is mangled."""

    architecture: str
    name: str


def instructions(listing: Iterable[str]) -> dict[Kernel, Counter[str]]:
    """How often each kernel has each instruction, from `cuobjdump -sass`."""
    found: dict[Kernel, Counter[str]] = {}
    architecture, counts = "", Counter[str]()
    for line in listing:
        if match := _INSTRUCTION.match(line):
            counts[match[1]] += 1
        elif match := _FUNCTION.match(line):
            counts = found.setdefault(Kernel(architecture, match[1]), Counter())
        elif match := _ARCHITECTURE.match(line.strip()):
            architecture = match[1]
    return found


def stacks(listing: Iterable[str]) -> dict[Kernel, int]:
    """Bytes of each kernel's stack, from `cuobjdump -res-usage`."""
    found: dict[Kernel, int] = {}
    architecture = name = ""
    for line in listing:
        if match := _RESOURCES.match(line):
            name = match[1]
        elif match := _STACK.search(line):
            found[Kernel(architecture, name)] = int(match[1])
        elif match := _ARCHITECTURE.match(line.strip()):
            architecture = match[1]
    return found


def name_of(kernel: Kernel) -> str:
    """The name without its namespaces and types: the last that comes after its own length."""
    rest, name = kernel.name.removeprefix("_Z").removeprefix("N"), ""
    while match := re.match(r"\d+", rest):
        begin, size = match.end(), int(match[0])
        name, rest = rest[begin : begin + size], rest[begin + size :]
    return name


def faults(
    code: dict[Kernel, Counter[str]], stack: dict[Kernel, int], intermediate: Iterable[str]
) -> list[str]:
    """What is wrong, in sentences."""
    said = [f"there is no PTX for {name}" for name in INTERMEDIATE if name not in set(intermediate)]
    for architecture in MACHINE_CODE:
        present = [kernel for kernel in code if kernel.architecture == architecture]
        for name in MATRIX_KERNELS:
            named = [kernel for kernel in present if name_of(kernel) == name]
            if not named:
                said.append(f"{architecture} has no kernel {name}")
            said += [
                f"{name} has no {needed} for {architecture}: {kernel.name}"
                for kernel in named
                for needed in NEEDED
                if not code[kernel][needed]
            ]
    for kernel, counts in code.items():
        if counts["HMMA"] or name_of(kernel) in MATRIX_KERNELS:
            spilled = sum(counts[word] for word in SPILLS)
            if spilled or stack.get(kernel, 0):
                said.append(
                    f"a matrix kernel for {kernel.architecture} keeps {stack.get(kernel, 0)} bytes "
                    f"of stack and has {spilled} local loads and stores: {kernel.name}"
                )
    return said


def dump(cuobjdump: str, option: str, module: Path) -> list[str]:
    """The lines that cuobjdump prints; it finds nvdisasm beside itself."""
    folder = str(Path(cuobjdump).resolve().parent)
    done = subprocess.run(
        [cuobjdump, option, str(module)],
        env=os.environ | {"PATH": f"{folder}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        sys.exit(f"cuobjdump {option} failed: {done.stderr.strip()}")
    return done.stdout.splitlines()


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("module", type=Path)
    parser.add_argument("--cuobjdump", default="cuobjdump")
    given = parser.parse_args()
    cuobjdump = shutil.which(given.cuobjdump)
    if cuobjdump is None:
        sys.exit(f"{given.cuobjdump} was not found; pip install nvidia-cuda-cuobjdump")
    code = instructions(dump(cuobjdump, "-sass", given.module))
    stack = stacks(dump(cuobjdump, "-res-usage", given.module))
    ptx = re.findall(r"\.(sm_\w+)\.ptx", "\n".join(dump(cuobjdump, "-lptx", given.module)))
    for kernel, counts in code.items():
        if counts["HMMA"]:
            print(
                f"{kernel.architecture} {name_of(kernel)}: {sum(counts.values())} instructions, "
                + ", ".join(f"{counts[word]} {word}" for word in (*NEEDED, *SPILLS))
                + f", {stack.get(kernel, 0)} bytes of stack"
            )
    said = faults(code, stack, ptx)
    if said:
        sys.exit("\n".join(said))


if __name__ == "__main__":
    main()

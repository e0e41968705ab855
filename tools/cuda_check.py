#!/usr/bin/env python3
"""Check the machine code of tamis._cuda: no register spill and tensor cores in the matrix kernels.

    tools/cuda_check.py MODULE.so [--cuobjdump PATH]

Every matrix kernel must be there for its architectures, must keep no local memory (a spill, or an
array that did not fit into registers), and must have the instructions that it was written for:
HMMA, LDSM and LDGSTS are mma.sync, ldmatrix and cp.async, for every architecture; HGMMA and UTMALDG
are wgmma and TMA, for sm_90a alone. There, arrivals and waits (WARPGROUP) must be no more than
products: ptxas may let each product wait for the one before. cuobjdump and nvdisasm come with CUDA,
or from the PyPI packages nvidia-cuda-cuobjdump and nvidia-cuda-nvdisasm.
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

SPILLS = ("STL", "LDL")
MACHINE_CODE = ("sm_80", "sm_90a")
INTERMEDIATE = ("sm_80",)  # what -lptx says for compute_80

_ARCHITECTURE = re.compile(r"^arch = (\w+)$")
_FUNCTION = re.compile(r"^\s*Function : (\S+)$")
_INSTRUCTION = re.compile(r"^\s+/\*[0-9a-f]+\*/\s+(?:@!?U?P\w+ )?([A-Z][A-Z0-9_]*)")
_RESOURCES = re.compile(r"^ Function (\S+):$")
_STACK = re.compile(r"\bSTACK:(\d+)")


class Mainloop(NamedTuple):
    """The kernels of find_candidates.cu and look.cu that have it, and what it is made of."""

    kernels: tuple[str, ...]
    architectures: tuple[str, ...]
    product: str
    needed: tuple[str, ...]


MMA = Mainloop(("find_by_mma", "look_by_mma"), MACHINE_CODE, "HMMA", ("HMMA", "LDSM", "LDGSTS"))
WGMMA = Mainloop(("find_by_wgmma", "look_by_wgmma"), ("sm_90a",), "HGMMA", ("HGMMA", "UTMALDG"))
MAINLOOPS = (MMA, WGMMA)


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


def is_matrix_kernel(kernel: Kernel, counts: Counter[str]) -> bool:
    """Whether it multiplies on tensor cores, or should."""
    named = any(
        name_of(kernel) in mainloop.kernels and kernel.architecture in mainloop.architectures
        for mainloop in MAINLOOPS
    )
    return named or any(counts[mainloop.product] for mainloop in MAINLOOPS)


def missing(mainloop: Mainloop, architecture: str, code: dict[Kernel, Counter[str]]) -> list[str]:
    """Kernels, and instructions of kernels, that are not in the code of an architecture."""
    said = []
    for name in mainloop.kernels:
        named = [kernel for kernel in code if name_of(kernel) == name]
        if not named:
            said.append(f"{architecture} has no kernel {name}")
        said += [
            f"{name} has no {needed} for {architecture}: {kernel.name}"
            for kernel in named
            for needed in mainloop.needed
            if not code[kernel][needed]
        ]
    return said


def faults(
    code: dict[Kernel, Counter[str]], stack: dict[Kernel, int], intermediate: Iterable[str]
) -> list[str]:
    """What is wrong, in sentences."""
    said = [f"there is no PTX for {name}" for name in INTERMEDIATE if name not in set(intermediate)]
    for mainloop in MAINLOOPS:
        for architecture in mainloop.architectures:
            present = {kernel: n for kernel, n in code.items() if kernel[0] == architecture}
            said += missing(mainloop, architecture, present)
    for kernel, counts in code.items():
        spilled = sum(counts[word] for word in SPILLS)
        if (spilled or stack.get(kernel, 0)) and is_matrix_kernel(kernel, counts):
            said.append(
                f"a matrix kernel for {kernel.architecture} keeps {stack.get(kernel, 0)} bytes "
                f"of stack and has {spilled} local loads and stores: {kernel.name}"
            )
        if counts["WARPGROUP"] > counts["HGMMA"]:  # an arrival and a wait for each
            said.append(
                f"{name_of(kernel)} waits {counts['WARPGROUP']} times for {counts['HGMMA']} "
                f"products: {kernel.name}"
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
        if is_matrix_kernel(kernel, counts):
            words = WGMMA.needed if counts["HGMMA"] else MMA.needed
            print(
                f"{kernel.architecture} {name_of(kernel)}: {sum(counts.values())} instructions, "
                + ", ".join(f"{counts[word]} {word}" for word in (*words, *SPILLS))
                + f", {stack.get(kernel, 0)} bytes of stack"
            )
    said = faults(code, stack, ptx)
    if said:
        sys.exit("\n".join(said))


if __name__ == "__main__":
    main()

"""The cases of the GPU tests in plain Python, for a machine without pytest.

    python bench/gpu_bits.py            # torch, cupy, and host arrays that are streamed
    python bench/gpu_bits.py --small    # for sanitizers: one dimension, memory of its own
    python bench/gpu_bits.py --rehearse # the emulated device

Every result must have the bits of the CPU's. Ends with exit code 1 where one has not, 77 where the
GPU is none that could have the mainloop that TAMIS_CUDA_MAINLOOP asks for.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
if __name__ == "__main__":
    sys.path[0] = str(ROOT)
sys.path.append(str(ROOT / "tests"))

import numpy as np  # noqa: E402

DIMS: tuple[int, ...] = (5, 64, 257, 768)
SMALL_DIMS: tuple[int, ...] = (72,)
SMALL_CASES = {
    *("canonical float32", "assign near-ties", "assign far rows", "assign top"),
    *("kmeans raw False", "kmeans True", "max_cosine earlier", "max_cosine copies"),
    "max_cosine other",
}

WGMMA = 90  # the compute capability that has it
NOT_RUN = 77

Give = Callable[[Any], Any]


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit code: 0, or 1 where a bit differs, a call fails, or nothing could be called."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--small", action="store_true", help="what a sanitizer gets through")
    parser.add_argument("--rehearse", action="store_true", help="on the emulated device")
    options = parser.parse_args(arguments)
    from bench.gpu_lab import trust_the_gpu

    places = dict(_places(options))
    if not places:
        print("FAILED: neither torch nor cupy is installed")
        return 1
    trust_the_gpu()
    if (code := _choose_mainloop()) != 0:
        return code
    failures = 0
    dims = SMALL_DIMS if options.small or options.rehearse else DIMS
    for name, give in places.items():
        if not options.rehearse or (give is not None and not options.small):  # it takes seconds
            failures += _self_check(name, give, times=1 if options.small or options.rehearse else 2)
        failures += sum(_same_bits(name, give, d, few=options.small) for d in dims)
    print(f"{failures} of the calls failed" if failures else "every bit is as on the CPU")
    return 1 if failures else 0


def _choose_mainloop() -> int:
    """0 where GPU 0 has the mainloop that the environment asks for; else the exit code."""
    from bench.gpu_lab import use_the_wanted_mainloop
    from tamis import _native

    try:
        use_the_wanted_mainloop()
    except RuntimeError as error:
        can = _native.cuda().device(0)["capability"] == WGMMA
        print(f"{'FAILED' if can else 'not run'}: {error}")
        return 1 if can else NOT_RUN
    return 0


def _places(options: argparse.Namespace) -> Iterator[tuple[str, Give | None]]:
    """What arrays are made by; None: they stay on the host and are streamed."""
    if options.rehearse:
        from bench.gpu_rehearsal import ToyLab

        yield "rehearsal", ToyLab().give
        if not options.small:
            yield "host", None
        return
    if options.small:  # every array has an allocation of its own, so that its end is seen
        os.environ["PYTORCH_NO_CUDA_MEMORY_CACHING"] = "1"
    if _is_installed("cupy"):
        import cupy

        if options.small:
            cupy.cuda.set_allocator(None)
        yield "cupy", cupy.asarray
        if not options.small:
            yield "host", None
    if _is_installed("torch") and not (options.small and _is_installed("cupy")):
        import torch

        yield "torch", lambda x: torch.from_numpy(np.ascontiguousarray(x)).to("cuda")


def _self_check(name: str, give: Give | None, *, times: int) -> int:
    """The first time loads the kernels."""
    from tamis.cuda import self_check
    from tamis.cuda.device import open_device

    try:
        device = open_device(0, None if give is None else give(np.ones((1, 8), np.float16)))
        took, why = [], None
        for _ in range(times):
            begin = time.perf_counter()
            why = why or self_check.difference(device)
            took.append((time.perf_counter() - begin) * 1e3)
    except Exception as error:  # noqa: BLE001 - the other places go on
        print(f"FAILED: {name}, self-check: {type(error).__name__}: {error}")
        return 1
    if why is not None:
        print(f"FAILED: {name}, self-check: {why}")
        return 1
    print(f"{name}: self-check passed in {', then '.join(f'{ms:.1f} ms' for ms in took)}")
    return 0


def _same_bits(name: str, give: Give | None, d: int, *, few: bool) -> int:
    """How many of the cases failed."""
    from tests.kernels.device_cases import every_case

    import tamis
    from bits import assert_same_bits

    failures = calls = 0
    for case in every_case(d):
        if (give is None and case.call is tamis.canonical) or (
            few and case.name not in SMALL_CASES
        ):
            continue
        calls += 1
        where = {"device": "cuda"} if give is None else {}
        try:
            expected = case.call(*case.arrays, **case.options)
            arrays = case.arrays if give is None else tuple(map(give, case.arrays))
            assert_same_bits(_here(case.call(*arrays, **case.options, **where)), expected)
        except Exception as error:  # noqa: BLE001 - the other cases go on
            failures += 1
            print(f"FAILED: {name}, d = {d}, {case.name}: {type(error).__name__}: {error}")
    print(f"{name}, d = {d}: {calls - failures} of {calls} calls are as on the CPU", flush=True)
    return failures


def _here(found: Any) -> Any:
    if isinstance(found, tuple):
        return tuple(map(_here, found))
    if type(found).__module__.startswith("torch"):
        return found.cpu().numpy()
    if type(found).__module__.startswith("cupy"):
        return found.get()
    return getattr(found, "values", found)


def _is_installed(name: str) -> bool:
    return importlib.util.find_spec(name) is not None


if __name__ == "__main__":
    sys.exit(main())

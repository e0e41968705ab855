"""The CUDA kernels compiled for a CPU, every thread a fiber, and called by ctypes."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from tests.cuda.compiled import EMULATION, ROOT, compiled

# Answered by emulation/sanitizer.cpp and access.cpp: the sanitizers' own libraries are not linked.
CHECKS = [
    "-fsanitize=thread",
    "-fsanitize=alignment,bounds,shift-exponent,signed-integer-overflow,integer-divide-by-zero",
    "-fno-sanitize-recover=all",
]
SETTINGS = {  # of emulation/block.h
    "seed": 0,
    "host_threads": 1,
    "sms": 4,
    "sum_order": 0,
    "truncate": 0,
    "races": 1,
    "capability": 90,
}
GUARD = 256
GUARD_BYTE = 0xFB
POISON = 0xFF  # NaN in every float format, -1 in every integer
LARGE = 0x7E  # a large number in every float format, and a positive one in every integer


def build() -> Path:
    """The compiled library, every file with the flags of its own."""
    kernels = [*(ROOT / "cpp/src/cuda").glob("*.cu"), *(ROOT / "cpp/src/cuda").glob("*.cpp")]
    emulation = [*EMULATION.glob("*.cpp")]
    checked = [*kernels, *(path for path in emulation if path.stem.startswith("exports_"))]
    flags = {path: ["-O1", *CHECKS] if path in checked else ["-O2"] for path in kernels + emulation}
    return compiled("libtamis_emulation.so", flags, "-Wl,--no-undefined")


@dataclass
class Library:
    """The compiled library, and the device memory that tests allocated."""

    path: Path
    shares_by_warps: bool = False
    poison: int = POISON  # of what nobody has written
    _settings: dict[str, int] = field(default_factory=dict)
    _allocated: list[npt.NDArray[np.uint8]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._native = ctypes.CDLL(str(self.path))

    def call(self, name: str, *arguments: Any) -> None:
        """Call an exported function; RuntimeError with its sentence where it fails.

        Arrays (C-contiguous) go as pointers, None as null, int as int64_t, float as double.
        """
        function = getattr(self._native, name)
        function.restype = ctypes.c_char_p
        sentence = function(*map(_argument, arguments))
        if sentence is not None:
            raise RuntimeError(sentence.decode())
        self.check()

    @contextmanager
    def configured(self, **changes: int) -> Iterator[None]:
        """Change some of SETTINGS."""
        before = self._settings
        self._configure({**before, **changes})
        try:
            yield
        finally:
            self._configure(before)

    def _configure(self, settings: dict[str, int]) -> None:
        unknown = settings.keys() - SETTINGS
        assert not unknown, f"the emulation has no {unknown}"
        self.call("emulation_configure", *map(int, (SETTINGS | settings).values()))
        self._settings = settings

    def empty(self, shape: int | tuple[int, ...], dtype: npt.DTypeLike) -> npt.NDArray[Any]:
        """Device memory with guard zones around it, 256-byte aligned, poisoned."""
        shape = (shape,) if isinstance(shape, int) else shape
        size = int(np.prod(shape)) * np.dtype(dtype).itemsize
        memory = np.full(size + 3 * GUARD, GUARD_BYTE, np.uint8)
        start = GUARD + -(memory.ctypes.data + GUARD) % GUARD
        memory = memory[start - GUARD : start + size + GUARD]
        memory[GUARD : GUARD + size] = self.poison
        self._allocated.append(memory)
        inside = memory[GUARD : GUARD + size].view(dtype).reshape(shape)
        if size:  # NumPy lets an empty slice point elsewhere
            self.call("emulation_add_memory", inside, size)
        return inside

    def array(self, values: npt.ArrayLike) -> npt.NDArray[Any]:
        """Device memory with these values."""
        values = np.asarray(values)
        memory = self.empty(values.shape, values.dtype)
        memory[...] = values
        return memory

    def check(self) -> None:
        """Assert that nobody wrote beside an array of `empty` or `array`."""
        for memory in self._allocated:
            for zone in (memory[:GUARD], memory[-GUARD:]):
                assert (zone == GUARD_BYTE).all(), (
                    f"a kernel wrote beside an array of {len(memory) - 2 * GUARD} bytes"
                )

    def forget(self) -> None:
        """Forget all device memory: nobody checks it any more."""
        self._allocated.clear()
        self.call("emulation_forget_memory")


def _argument(value: Any) -> Any:
    if value is None:
        return ctypes.c_void_p(None)
    if isinstance(value, np.ndarray):
        assert value.flags.c_contiguous, "an array is not C-contiguous"
        return ctypes.c_void_p(value.ctypes.data)
    if isinstance(value, int | np.integer):
        return ctypes.c_int64(int(value))
    return ctypes.c_double(value)

"""The only importer of the compiled modules."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

import tamis._cpu as cpu

__all__ = ["CUDA_ABSENT", "bits", "check_device", "cpu", "facts", "halves"]

CUDA_ABSENT = "this build of tamis has no CUDA module"
"""Why work cannot run on a GPU."""


def bits(rows: npt.NDArray[np.float16]) -> npt.NDArray[np.uint16]:
    """float16 as the uint16 view that crosses the binding."""
    return rows.view(np.uint16)


def halves(words: npt.NDArray[np.uint16]) -> npt.NDArray[np.float16]:
    """The float16 numbers that came back as uint16."""
    return words.view(np.float16)


def check_device(device: str | None) -> None:
    """Accept None, "auto" and "cpu"; say why another device cannot be used.

    Raises:
        RuntimeError: "cuda" was asked for.
        ValueError: there is no such device.
    """
    if device in (None, "auto", "cpu"):
        return
    if isinstance(device, str) and device.split(":")[0] == "cuda":
        raise RuntimeError(f'device="{device}" cannot be used: {CUDA_ABSENT}; use device="cpu"')
    raise ValueError(f'device must be None, "auto", "cpu" or "cuda", got {device!r}')


def facts() -> dict[str, Any]:
    """What the kernels will use: level, levels, threads."""
    return {"level": cpu.level(), "levels": cpu.levels(), "threads": cpu.thread_count()}

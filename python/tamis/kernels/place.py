"""Where the float64 kernels run that filters call: filters never see a device."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import numpy.typing as npt

from tamis._array import cuda_of, cuda_ordinal
from tamis._native import ordinal_of

LEAST_WORK = 1 << 30
"""Multiply-adds from which a call is worth its way to a GPU."""

_ordinal: ContextVar[int | None] = ContextVar("tamis_ordinal", default=None)


@contextmanager
def running_on(device: str | None) -> Iterator[None]:
    """Run the kernels of `tamis.kernels.exact` and `kmeans.updates` on a device.

    Small calls stay on the CPU, which changes no bit. None and "auto" are the CPU, too.

    Raises:
        RuntimeError: the GPU cannot be used, or differs from the CPU.
        MissingExtraError: cupy is not installed.

    Example:
        >>> with running_on("cpu"):
        ...     ordinal(1 << 40) is None
        True
    """
    chosen = ordinal_of(device)
    if chosen is not None:
        from tamis.cuda.device import open_device

        open_device(chosen)
    token = _ordinal.set(chosen)
    try:
        yield
    finally:
        _ordinal.reset(token)


def ordinal(multiply_adds: int) -> int | None:
    """The GPU for a call of this much work, or None for the CPU."""
    return _ordinal.get() if multiply_adds >= LEAST_WORK else None


def device_of(device: str | None, x: Any) -> str:
    """The device on which a call with an array runs, as `running_on` takes it.

    Raises:
        ValueError, RuntimeError: as `tamis._array.cuda_of`.
    """
    place = cuda_of(device, x=x)
    return "cpu" if place is None else f"cuda:{place}"


def mapped(x: Any, function: Callable[[npt.NDArray[Any]], npt.NDArray[Any]]) -> Any:
    """A NumPy function of an array, where the array is."""
    place = cuda_ordinal(x)
    if place is None:
        return function(x)
    from tamis.cuda.device import open_device

    device = open_device(place, x)
    return device.given(device.upload(function(device.host(x))))


def on_host(x: Any) -> Any:
    """A host copy of an array on a GPU; anything else as it is."""
    place = cuda_ordinal(x)
    if place is None:
        return x
    from tamis.cuda.device import open_device

    return open_device(place, x).host(x)

"""How a GPU multiplies rows by columns: what was asked for."""

from __future__ import annotations

import os

VARIABLE = "TAMIS_CUDA_MAINLOOP"
MAINLOOPS = ("mma", "wgmma")
DEFAULT = "mma"
"""wgmma needs a GPU of compute capability 9.0; no card has run it yet, so it is for who asks."""


def wanted() -> str:
    """The mainloop that the environment asks for.

    Raises:
        ValueError: there is no such mainloop.

    Example:
        >>> wanted() in MAINLOOPS
        True
    """
    name = os.environ.get(VARIABLE) or DEFAULT
    if name not in MAINLOOPS:
        raise ValueError(f'{VARIABLE} must be "mma" or "wgmma", got {name!r}')
    return name

"""Sample pools: images, texts and metadata, row by row, from the layouts that people have."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tamis.data.samples.pool import SamplePool, open_samples
    from tamis.data.samples.source import Sample, SampleFile, Side

__all__ = ["Sample", "SampleFile", "SamplePool", "Side", "open_samples"]

_OF_POOL = ("SamplePool", "open_samples")


def __getattr__(name: str) -> Any:
    # Imported on first use, because the readers import pyarrow.
    if name in __all__:
        home = "pool" if name in _OF_POOL else "source"
        return getattr(import_module(f"tamis.data.samples.{home}"), name)
    raise AttributeError(f"module 'tamis.data.samples' has no attribute {name!r}")

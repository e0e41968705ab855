"""Pools of embeddings and of samples in the layouts that people have; ids; subsets."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tamis.data.ids import Ids
    from tamis.data.pool import Pool, Unit, open_pool
    from tamis.data.samples import SamplePool, open_samples
    from tamis.data.subset import read_subset, write_subset

__all__ = [
    "Ids",
    "Pool",
    "SamplePool",
    "Unit",
    "open_pool",
    "open_samples",
    "read_subset",
    "write_subset",
]

_HOMES = {
    "Ids": "ids",
    "SamplePool": "samples",
    "open_samples": "samples",
    "read_subset": "subset",
    "write_subset": "subset",
}


def __getattr__(name: str) -> Any:
    # Imported on first use, because the readers import pyarrow.
    if name in __all__:
        return getattr(import_module(f"tamis.data.{_HOMES.get(name, 'pool')}"), name)
    raise AttributeError(f"module 'tamis.data' has no attribute {name!r}")

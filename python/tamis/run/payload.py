"""What a file of a run can be made from."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias, Union

import numpy as np

from tamis.run import atomic

if TYPE_CHECKING:
    import pyarrow as pa

Payload: TypeAlias = Union[
    bytes, str, np.ndarray, "pa.Table", Mapping[str, Any], Callable[[atomic.AtomicFile], None]
]
"""Bytes, text, an array (`.npy`), a Table (`.parquet`), a mapping (`.json`), or a function that
writes into the open file."""


def write_payload(path: Path, payload: Payload) -> atomic.Written:
    """Write one file atomically. Raises RunError."""
    if isinstance(payload, bytes):
        return atomic.write_bytes(path, payload)
    if isinstance(payload, str):
        return atomic.write_bytes(path, payload.encode())
    if isinstance(payload, np.ndarray):
        return atomic.write_npy(path, payload)
    if isinstance(payload, Mapping):
        return atomic.write_json(path, payload)
    if callable(payload):
        with atomic.replacing(path) as file:
            payload(file)
        return file.written
    return atomic.write_parquet(path, payload)

"""Equality to the bit: what the tests ask of every result, instead of a tolerance."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
import numpy.typing as npt


def assert_same_bits(actual: Any, expected: Any, case: object = "") -> None:
    """Assert that two arrays, or two tuples of arrays, have the same dtypes, shapes and bits."""
    if isinstance(expected, tuple):
        assert len(actual) == len(expected), f"{case}: {len(actual)} arrays, not {len(expected)}"
        for number, (one, other) in enumerate(zip(actual, expected, strict=True)):
            assert_same_bits(one, other, f"{case} output {number}")
        return
    actual, expected = np.asarray(actual), np.asarray(expected)
    assert actual.dtype == expected.dtype, f"{case}: dtype {actual.dtype}, not {expected.dtype}"
    assert actual.shape == expected.shape, f"{case}: shape {actual.shape}, not {expected.shape}"
    if actual.tobytes() == expected.tobytes():
        return
    differs = np.argwhere(_words(actual) != _words(expected))
    at = tuple(int(i) for i in differs[0])
    raise AssertionError(
        f"{case}: {len(differs)} of {actual.size} values differ, first at {at}: "
        f"{actual[at]!r}, not {expected[at]!r}"
    )


def sha256(*arrays: Any) -> str:
    """Return one hash of the dtypes, shapes and bytes of arrays."""
    digest = hashlib.sha256()
    for array in map(np.asarray, arrays):
        digest.update(f"{array.dtype.str}{array.shape}".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()


def _words(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    return np.ascontiguousarray(array).view(f"u{array.dtype.itemsize}")

"""Floats as fractions, rounded by the definition of IEEE 754."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
from tests.ptx.library import Array

ROUND: dict[str, Callable[[Fraction], int]] = {
    "rn": round,
    "rm": math.floor,
    "rp": math.ceil,
}


@dataclass(frozen=True)
class Format:
    """Of `digits` binary digits, the multiples of 2**least, below 2**most."""

    name: str
    digits: int
    least: int
    most: int

    def rounded(self, number: Fraction, mode: str = "rn") -> float:
        """The number that is next by a mode of rounding. Zero has the sign of a positive one."""
        if number == 0:
            return 0.0
        size, sign = abs(number), 1.0 if number > 0 else -1.0
        exponent = size.numerator.bit_length() - size.denominator.bit_length()
        exponent -= size < Fraction(2) ** exponent
        step = Fraction(2) ** max(exponent - self.digits + 1, self.least)
        if mode == "rz":
            mode = "rm" if number > 0 else "rp"
        whole = ROUND[mode](number / step)
        largest = Fraction(2) ** self.most - Fraction(2) ** (self.most - self.digits)
        if abs(whole) * step > largest:
            stops = mode == ("rm" if number > 0 else "rp")
            return sign * (float(largest) if stops else math.inf)
        return sign * float(abs(whole) * step)


HALF = Format("f16", 11, -24, 16)
SINGLE = Format("f32", 24, -149, 128)
DOUBLE = Format("f64", 53, -1074, 1024)
FORMATS = {form.name: form for form in (HALF, SINGLE, DOUBLE)}
TYPES: dict[str, Any] = {"f16": np.float16, "f32": np.float32, "f64": np.float64}


def awkward(name: str) -> Array:
    """Zeros, subnormal numbers, the largest, infinities, a NaN, and what lies next to one."""
    form, dtype = FORMATS[name], TYPES[name]
    least, one = 2.0**form.least, 1.0
    step = 2.0 ** (1 - form.digits)
    normal = 2.0 ** (form.least + form.digits - 1)
    largest = (2 - step) * 2.0 ** (form.most - 1)
    sizes = [0.0, least, 3 * least, normal - least, normal, normal + least, step, one - step / 2]
    sizes += [one, one + step, 1.5, 2.5, 3.0, 1 / 3, 1e3, largest / 2, largest, math.inf]
    return np.array([sign * size for size in sizes for sign in (1, -1)] + [math.nan], dtype)


def scattered(name: str, n: int, seed: int = 0) -> Array:
    """Numbers of all sizes, subnormal ones too, next to 1 more often."""
    rng = np.random.default_rng(seed)
    dtype = TYPES[name]
    bits = rng.integers(0, 256, (n, np.dtype(dtype).itemsize), np.uint8).view(dtype).ravel()
    return np.where(rng.integers(0, 2, n) == 0, bits, rng.standard_normal(n).astype(dtype))


def assert_same(found: Array, expected: Array) -> None:
    """Bit by bit, except that any NaN is as good as another."""
    found, expected = np.asarray(found), np.asarray(expected)
    assert found.dtype == expected.dtype
    unsigned = f"u{found.itemsize}"
    alike = (found.view(unsigned) == expected.view(unsigned)) | (
        np.isnan(found) & np.isnan(expected)
    )
    places = np.flatnonzero(~alike)
    assert not len(places), [(int(i), found[i], expected[i]) for i in places[:5]]

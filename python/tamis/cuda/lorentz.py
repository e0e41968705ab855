"""`tamis.lorentz` on a GPU: within 1e-6 of the CPU's values, the same bits on one GPU."""

from __future__ import annotations

from typing import Any

import numpy as np

from tamis.cuda.device import Array, Device, open_device
from tamis.kernels.lorentz_rows import (
    Kind,
    Radii,
    check_width,
    kind_code,
    same_columns,
    same_rows,
)


def radii(ordinal: int, x: Any, curvature: float, kind: Kind) -> Radii:
    """`tamis.lorentz.radii` of rows on a GPU."""
    code = kind_code(kind, curvature)
    device = open_device(ordinal, x)
    found = radii_of(device, points(device, x, "x", kind), code, curvature)
    return Radii(*map(device.given, found))


def paired(
    ordinal: int,
    pair: tuple[Any, Any],
    measure: int,
    curvature: float,
    kind: Kind,
    min_radius: float,
    names: tuple[str, str],
) -> Any:
    """A measure of every row of the first with its row of the second."""
    code = kind_code(kind, curvature)
    device = open_device(ordinal, pair[0])
    x, y = (points(device, side, name, kind) for side, name in zip(pair, names, strict=True))
    same_columns(x.shape, y.shape, names)
    same_rows(x.shape, y.shape, names)
    x, y = of_one_dtype(device, x, y)
    return device.given(paired_of(device, x, y, code, curvature, measure, min_radius))


def points(device: Device, x: Any, name: str, kind: Kind) -> Array:
    """Rows as the kernels read them: themselves, or bfloat16 as float32."""
    rows = device.matrix(x, name)
    check_width(rows.shape, kind, name)
    return device.to_float32(rows) if rows.dtype == "bfloat16" else rows


def of_one_dtype(device: Device, x: Array, y: Array) -> tuple[Array, Array]:
    """Rows of float16, float32 or float64 in the wider dtype of the two, which is exact."""
    if x.dtype == y.dtype:
        return x, y
    dtype = np.result_type(x.dtype, y.dtype)

    def as_dtype(array: Array) -> Array:
        if array.dtype == dtype:
            return array
        if dtype == np.float32:
            return device.to_float32(array)
        return device.upload(device.download(array).astype(dtype))  # rare: by way of the host

    return as_dtype(x), as_dtype(y)


def radii_of(device: Device, x: Array, code: int, curvature: float) -> tuple[Array, Array, Array]:
    """(radius, norm, state) of every row."""
    shape = (len(x),)
    radius, norm = device.empty(shape, "float64"), device.empty(shape, "float64")
    state = device.empty(shape, "uint8")
    if len(x):
        device.module.lorentz_radii(
            *(x.address, x.dtype, *x.shape, code, float(curvature)),
            *(radius.address, norm.address, state.address),
            **device.on,
        )
    return radius, norm, state


def paired_of(
    device: Device,
    x: Array,
    y: Array,
    code: int,
    curvature: float,
    measure: int,
    min_radius: float,
) -> Array:
    """A measure of pairs, float64."""
    values = device.empty((len(x),), "float64")
    if len(x):
        device.module.lorentz_paired(
            *(x.address, y.address, x.dtype, *x.shape, code, float(curvature)),
            *(measure, float(min_radius), values.address),
            **device.on,
        )
    return values

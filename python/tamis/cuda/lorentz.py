"""`tamis.lorentz` on a GPU: within 1e-6 of the CPU's values, the same bits on one GPU."""

from __future__ import annotations

from typing import Any

import numpy as np

from tamis.cuda.device import Array, Device, open_device
from tamis.kernels.lorentz_rows import (
    Float64,
    Kind,
    Radii,
    check_width,
    kind_code,
    same_columns,
    same_rows,
)
from tamis.kernels.lorentz_specificity import Specificity, statistics, usable


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
    all_pairs: bool = False,
) -> Any:
    """A measure of every row of the first with its row, or with all rows, of the second."""
    code = kind_code(kind, curvature)
    device = open_device(ordinal, pair[0])
    x, y = (points(device, side, name, kind) for side, name in zip(pair, names, strict=True))
    same_columns(x.shape, y.shape, names)
    if not all_pairs:
        same_rows(x.shape, y.shape, names)
    x, y = of_one_dtype(device, x, y)
    of = all_pairs_of if all_pairs else paired_of
    return device.given(of(device, x, y, code, curvature, measure, min_radius))


def specificity(
    ordinal: int,
    rows: Any,
    references: Any,
    rows_are_apexes: bool,
    curvature: float,
    kind: Kind,
    min_radius: float,
) -> Specificity:
    """`tamis.lorentz.specificity` of rows on a GPU; eight words a row come to the host and back."""
    code = kind_code(kind, curvature)
    device = open_device(ordinal, rows)
    x = points(device, rows, "rows", kind)
    y = points(device, references, "references", kind)
    same_columns(x.shape, y.shape, ("rows", "references"))
    reference_state = radii_of(device, y, code, curvature)[2]
    state = radii_of(device, x, code, curvature)[2]
    seen = device.download(reference_state)
    count = usable(seen)
    x, y = of_one_dtype(device, x, y)
    sums, redone = specificity_of(device, x, y, code, curvature, rows_are_apexes, min_radius)
    found = statistics(sums, count, device.download(state), seen, redone)

    def there(values: Float64) -> Any:
        return device.given(device.upload(values))

    return Specificity(
        mean=there(found.mean),
        standard_error=there(found.standard_error),
        entailed=there(found.entailed),
        clamped_mean=there(found.clamped_mean),
        state=device.given(state),
        reference_state=device.given(reference_state),
        redone=redone,
    )


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


def all_pairs_of(
    device: Device,
    x: Array,
    y: Array,
    code: int,
    curvature: float,
    measure: int,
    min_radius: float,
) -> Array:
    """A measure of every row of x with every row of y, float32 (n, m)."""
    values = device.empty((len(x), len(y)), "float32")
    if len(x) and len(y):
        device.module.lorentz_all_pairs(
            *(x.address, len(x), y.address, len(y), x.dtype, x.shape[1], code, float(curvature)),
            *(measure, float(min_radius), values.address),
            **device.on,
        )
    return values


def specificity_of(
    device: Device,
    x: Array,
    y: Array,
    code: int,
    curvature: float,
    rows_are_apexes: bool,
    min_radius: float,
) -> tuple[Float64, int]:
    """Sums over the references y for every row of x, float64 (4, n), and how many were redone."""
    sums = [device.empty((len(x),), dtype) for dtype in (*["float64"] * 3, "int64")]
    redone = device.zeros((1,), "int64")
    if len(x):
        module = device.module
        rows = (x.address, len(x), y.address, len(y), x.dtype, x.shape[1])
        problem = (*rows, code, float(curvature))
        work = device.work(module.lorentz_specificity_work_bytes(*problem, device=device.ordinal))
        module.lorentz_specificity(
            *(*problem, rows_are_apexes, float(min_radius)),
            *(*(part.address for part in sums), redone.address, work.address, work.n_bytes),
            **device.on,
        )
    totals = np.stack([device.download(part).astype(np.float64) for part in sums])
    return totals, int(device.download(redone)[0])

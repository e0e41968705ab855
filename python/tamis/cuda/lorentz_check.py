"""The part of the self-check whose values are no hash: `tamis.lorentz` within 1e-6 of the CPU's.

The points have what such kernels may get wrong: coincident and nearly coincident pairs, points on
one ray, the origin on either side, radii from 1e-6 to beyond the largest, a NaN.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from tamis._native import cpu
from tamis.cuda.device import Array, Device
from tamis.cuda.lorentz import paired_of, radii_of, specificity_of
from tamis.kernels.lorentz_rows import crossing

TOLERANCE = 1e-6
"""In radians, and relative for all else."""
DTYPES = ("float16", "float32", "float64")
_CURVATURE, _MIN_RADIUS, _TANGENT = 0.7, 0.1, 0
_MEASURES = 4
_SCORED = 24
_PAIRED = (0.0, 0.0, 0.0, 0.0, 0.0, TOLERANCE, TOLERANCE)
"""Of radius, norm, state, inner product, distance, angle, energy."""
_MEANS = (TOLERANCE, TOLERANCE, TOLERANCE, 1.0)
"""Of the means of e, e^2 / 2 pi, max(e, 0), and of the count of e <= 0, where one e may be 0."""
_ABSOLUTE = (*_PAIRED, *_MEANS, *_MEANS)

Results = tuple[npt.NDArray[Any], ...]


def make_points(raw: npt.NDArray[np.float32]) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    """Apexes and points, float64, from rows of any length."""
    v = np.nan_to_num(raw.astype(np.float64))
    v[:, -1] += 1  # no row is zero
    v /= np.linalg.norm(v, axis=1, keepdims=True)
    n = len(v)
    x = v * np.geomspace(1e-6, 12, n)[:, None]
    y = np.roll(v, 7, axis=0) * np.geomspace(9, 0.02, n)[:, None]
    y[:20] = x[:20]
    y[20:40] = x[20:40] * (1 + 1e-3)  # distinct in float16 or coincident
    y[40:60] = x[40:60] * np.linspace(0.5, 2, 20)[:, None]
    x[60], y[61], x[62], y[62], x[63, 0], y[64, -1] = 0, 0, 0, 0, np.nan, np.inf
    return x, y


def on_cpu(raw: npt.NDArray[np.float32]) -> Results:
    """What the CPU gives."""
    found: list[npt.NDArray[Any]] = []
    for dtype in DTYPES:
        x, y = (crossing(side.astype(dtype)) for side in make_points(raw))
        found += cpu.lorentz_radii(x, _TANGENT, _CURVATURE)
        for measure in range(_MEASURES):
            found.append(cpu.lorentz_paired(x, y, _TANGENT, _CURVATURE, measure, _MIN_RADIUS))
        for rows_are_apexes in (False, True):
            *sums, _ = cpu.lorentz_specificity(
                x[:_SCORED], y, _TANGENT, _CURVATURE, rows_are_apexes, _MIN_RADIUS
            )
            found += _means(sums, len(y))
    return tuple(found)


def on_gpu(device: Device, raw: npt.NDArray[np.float32]) -> Results:
    """What a GPU gives."""
    found: list[npt.NDArray[Any]] = []
    for dtype in DTYPES:
        x, y = (device.upload(side.astype(dtype)) for side in make_points(raw))
        results: list[Array] = [*radii_of(device, x, _TANGENT, _CURVATURE)]
        results += (
            paired_of(device, x, y, _TANGENT, _CURVATURE, measure, _MIN_RADIUS)
            for measure in range(_MEASURES)
        )
        found += map(device.download, results)
        for rows_are_apexes in (False, True):
            rows = x.part(slice(0, _SCORED))
            sums, _ = specificity_of(
                device, rows, y, _TANGENT, _CURVATURE, rows_are_apexes, _MIN_RADIUS
            )
            found += _means(sums, len(y))
    return tuple(found)


def near(found: Results, expected: Results) -> bool:
    """Whether values agree, and NaN is where it should be."""
    return all(
        np.allclose(one, other, rtol=TOLERANCE, atol=atol, equal_nan=True)
        for one, other, atol in zip(found, expected, _ABSOLUTE * len(DTYPES), strict=True)
    )


def _means(sums: Any, count: int) -> list[npt.NDArray[Any]]:
    mean, square, clamped = (np.asarray(part) / count for part in sums[:3])
    return [mean, square / (2 * np.pi), clamped, np.asarray(sums[3])]

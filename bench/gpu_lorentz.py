"""The Lorentz rows of the GPU table: pairs at the speed of memory, means on the matrix units.

Points are canonical float16 rows as tangent vectors, at a radius of 0.5. Values are no bits of the
CPU's: they are to be within 1e-6 of them.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from bench.check import sample_rows
from bench.gpu_lab import Lab
from bench.gpu_result import Row
from tamis import lorentz
from tamis.cuda.device import open_device
from tamis.cuda.lorentz import paired_of
from tamis.kernels.lorentz_rows import kind_code

CURVATURE = 0.25
MIN_RADIUS = 0.1
DISTANCE = 1
SAMPLE = 256
TOLERANCE = 1e-6
CALL_S = 0.5


class Means:
    """The kernels of specificity, ready to be queued."""

    def __init__(self, rows: Any, references: Any) -> None:
        self.device = open_device(0, rows)
        self.x, self.y = self.device.matrix(rows), self.device.matrix(references)
        n, d = self.x.shape
        self._problem = (self.x.address, n, self.y.address, len(self.y), "float16", d)
        self._problem += (kind_code("tangent", CURVATURE), CURVATURE)
        module, ordinal = self.device.module, self.device.ordinal
        self._work = self.device.work(
            module.lorentz_specificity_work_bytes(*self._problem, device=ordinal)
        )
        self.sums = [self.device.empty((n,), kind) for kind in (*["float64"] * 3, "int64")]
        self.redone = self.device.zeros((1,), "int64")

    def run(self) -> None:
        """Queue them; pairs that are redone are added up."""
        self.device.module.lorentz_specificity(
            *(*self._problem, False, MIN_RADIUS, *(part.address for part in self.sums)),
            *(self.redone.address, self._work.address, self._work.n_bytes),
            **self.device.on,
        )


def paired(lab: Lab, row: Row, n: int, d: int, seconds: float) -> None:
    """Fill a row with the distances of n pairs. Floor: 4 n d bytes read, 8 n written."""
    x, y = lab.unit_rows(n, d, 1), lab.unit_rows(n, d, 2)
    row.about = f"distances of {n} pairs of {d} float16 numbers"
    device = open_device(0, x)
    left, right, code = device.matrix(x), device.matrix(y), kind_code("tangent", CURVATURE)
    lab.forget_peak()

    def run() -> Any:
        return paired_of(device, left, right, code, CURVATURE, DISTANCE, MIN_RADIUS)

    found = device.download(run())
    row.peak_bytes = lab.peak_bytes()
    row.times_ms = lab.milliseconds(run, seconds)
    row.extra["tb_s"] = (4 * d + 8) * n / (row.ms or np.inf) / 1e9
    some = sample_rows(n, SAMPLE)
    here = [device.download(device.take(side, some)) for side in (left, right)]
    _compare(row, found[some], lorentz.distance(*here, curvature=CURVATURE))
    call = lab.milliseconds(lambda: lorentz.distance(x, y, curvature=CURVATURE), CALL_S)
    row.call_ms = float(np.median(call))


def specificity(lab: Lab, row: Row, n: int, m: int, d: int, seconds: float) -> None:
    """Fill a row with the mean energies of n rows and m references. Floor: 2 n m d operations."""
    rows, references = lab.unit_rows(n, d, 1), lab.unit_rows(m, d, 2)
    row.about = f"means over {m} references of {n} rows of {d} float16 numbers"
    row.flops = 2.0 * n * m * d
    lab.forget_peak()
    work = Means(rows, references)
    row.peak_bytes = lab.peak_bytes()
    device = work.device
    work.run()
    row.rescored_per_row = int(device.download(work.redone)[0]) / n
    row.times_ms = lab.milliseconds(work.run, seconds)
    some = sample_rows(n, SAMPLE)
    here, seen = device.download(device.take(work.x, some)), device.download(work.y)
    expected = lorentz.specificity(here, seen, curvature=CURVATURE)
    _compare(row, device.download(work.sums[0])[some] / m, expected.mean)
    call = lab.milliseconds(
        lambda: lorentz.specificity(rows, references, curvature=CURVATURE), CALL_S
    )
    row.call_ms = float(np.median(call))


def _compare(row: Row, found: Any, expected: Any) -> None:
    error = np.abs(found - expected)
    row.checked, row.mismatches = len(error), int((~(error <= TOLERANCE)).sum())
    row.extra["largest_error"] = float(error.max(initial=0.0))

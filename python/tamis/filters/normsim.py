"""NormSim: how similar a row is to the rows of a target set, as a p-norm of its dots with them.

NormSim_p(i) = ||F_target f_i||_p, with p = 2 or infinity (Y. Wang et al., NeurIPS 2024, arXiv
2405.19547). Rows and target are canonical; dots are not divided by norms.

p = infinity is the largest dot, found exactly by the kernel of :func:`tamis.assign` and rounded to
float32 last; a large negative dot does not count, for it is no similarity. p = 2 is sqrt(f G f)
with the dim x dim Gram matrix G of the target. G is summed from blocks whose sums are exact, and
rounded to a grid on which its products with canonical rows are exact too, so it does not matter how
the matrix products are blocked or threaded. The rounding moves the square of NormSim_2 by at most
dim x 2^-28 times the largest row norm of G.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tamis.errors import PoolError
from tamis.kernels.exact import assign64
from tamis.score.pairs import joined_inputs
from tamis.score.rows import PoolRows
from tamis.score.scorer import Scorer, Scores

if TYPE_CHECKING:
    from tamis.data.ids import Ids
    from tamis.data.pool import Pool
    from tamis.data.unit import Unit
    from tamis.run.directory import RunDirectory
    from tamis.run.inputs import InputFile
    from tamis.run.parts import Part
    from tamis.run.progress import Progress

Rows = npt.NDArray[np.float16]
Float64 = npt.NDArray[np.float64]
Norm = Literal["2", "inf"]

_READ_ROWS = 1 << 14
_GRAM_ROWS = 1 << 10
_EXACT_ENERGY = 16.0  # products are multiples of 2^-48, so float64 sums below 32 are exact
_GRID_BITS = 29  # 53 less the 24 bits behind the point of a float16


class NormSim(Scorer):
    """Similarity of every row to a target set.

    Memory: p = inf holds the target, 2 bytes x rows x dim, and what the kernel packs of it; p = 2
    holds the Gram matrix, 8 bytes x dim x dim, and reads the target in blocks.

    Args:
        rows: embeddings, (n, dim); usually of the images.
        target: embeddings of the target set, (m, dim), made by the same model.
        p: "2" or "inf".
        name: of the score and of its column.

    Raises:
        PoolError: the target has another dim, or a row of it is zero, NaN or infinite.
        ValueError: another p.

    Example:
        >>> from tamis.data.pool import open_pool
        >>> from tamis.score.job import run_scorer
        >>> np.save("rows.npy", np.array([[1.0, 0.0], [0.6, 0.8]]))
        >>> np.save("target.npy", np.array([[0.0, 1.0], [0.0, 1.0]]))
        >>> scorer = NormSim(open_pool("rows.npy"), open_pool("target.npy"), p="2")
        >>> found = run_scorer(scorer, "run")
        >>> found["min"], round(found["max"], 3)
        (0.0, 1.131)
    """

    def __init__(self, rows: Pool, target: Pool, p: Norm = "inf", name: str | None = None) -> None:
        if p not in ("2", "inf"):
            raise ValueError(f"expected p of 2 or inf, got {p}")
        if rows.dim != target.dim:
            raise PoolError(
                f"the target {target.path} has {target.dim} dimensions, the rows of {rows.path} "
                f"have {rows.dim}; both must come from one model"
            )
        self.p = p
        self.rows = PoolRows(rows, "row")
        self.target = PoolRows(target, "target")
        self._name = name or f"normsim_{p}"
        self._gram: Float64 | None = None
        self._targets: Rows | None = None

    @property
    def name(self) -> str:
        return self._name

    @property
    def schema(self) -> pa.Schema:
        return pa.schema([(self._name, pa.float32())])

    def recipe(self) -> dict[str, Any]:
        pool, target = self.rows.pool, self.target.pool
        return {
            "method": "normsim",
            "p": self.p,
            "embedding": pool.embedding,
            "target": target.embedding,
        }

    def inputs(self) -> list[InputFile]:
        return joined_inputs({"rows": self.rows.pool, "target": self.target.pool})

    def ids(self) -> Ids:
        return self.rows.pool.ids()

    def units(self, rows_per_unit: int) -> Sequence[Unit]:
        return self.rows.pool.units(rows_per_unit)

    def prepare(self, run: RunDirectory, part: Part | None, progress: Progress) -> bool:
        pool = self.target.pool
        with progress.stage("target", pool.n_rows, "rows") as advance:
            sums = Gram(pool.dim)
            targets = np.empty((pool.n_rows if self.p == "inf" else 0, pool.dim), np.float16)
            for start in range(0, pool.n_rows, _READ_ROWS):
                rows = self._target_rows(start, min(start + _READ_ROWS, pool.n_rows))
                if self.p == "2":
                    sums.add(rows)
                else:
                    targets[start : start + len(rows)] = rows
                advance(len(rows))
        if self.p == "2":
            self._gram = on_grid(sums.total)
        else:
            self._targets = targets
        return True

    def score(self, unit: Unit) -> Scores:
        start = unit.first_row
        rows, reasons = self.rows.read(start, start + unit.n_rows)
        if self._targets is not None:
            values = assign64(rows, self._targets)[1]
        elif self._gram is not None:
            values = quadratic_norm(rows, self._gram)
        else:
            raise ValueError("expected prepare() before score()")
        return Scores({self._name: values.astype(np.float32)}, reasons)

    def _target_rows(self, start: int, stop: int) -> Rows:
        rows, reasons = self.target.read(start, stop)
        for row, reason in reasons.items():
            path, in_file = self.target.pool.locate(start + row)
            raise PoolError(
                f"{path} row {in_file}: {reason}; a target must have usable rows only, remove it"
            )
        return rows


class Gram:
    """The sum of f f^T over canonical rows, float64 (dim, dim), the same on every machine."""

    def __init__(self, dim: int) -> None:
        self.total = np.zeros((dim, dim))

    def add(self, rows: Rows) -> None:
        """Add the rows, in blocks whose own sum is exact; the cut depends on the rows alone."""
        for start in range(0, len(rows), _GRAM_ROWS):
            self._add(rows[start : start + _GRAM_ROWS].astype(np.float64))

    def _add(self, block: Float64) -> None:
        # No partial sum of products of two columns exceeds the larger of their energies.
        if len(block) > 1 and np.square(block).sum(axis=0).max() > _EXACT_ENERGY:
            self._add(block[: len(block) // 2])
            self._add(block[len(block) // 2 :])
        else:
            self.total += block.T @ block


def on_grid(gram: Float64) -> Float64:
    """Round a Gram matrix so that its products with canonical rows are exact in float64."""
    largest = float(np.sqrt(np.square(gram).sum(axis=1).max()))
    step = np.ldexp(1.0, int(np.frexp(largest)[1]) + 1 - _GRID_BITS)
    return np.asarray(np.rint(gram / step) * step)


def quadratic_norm(rows: Rows, gram: Float64) -> Float64:
    """Return sqrt(f G f) for every canonical row, float64 (n,)."""
    found = np.empty(len(rows))
    for start in range(0, len(rows), _GRAM_ROWS):
        wide = rows[start : start + _GRAM_ROWS].astype(np.float64)
        products = wide @ gram
        np.multiply(products, wide, out=products)
        found[start : start + len(wide)] = products.sum(axis=1)
    return np.sqrt(np.maximum(found, 0))

"""The memory plan: how many rows may be held at once, for a stated budget.

What must be held for every row of the pool (id, label, scores, order) and every cluster (centroid,
its sum) comes first; what is left is spent on rows, in the stage that runs. The plan bounds memory
and nothing else: rows per unit and per batch never change a result. The one number that would,
how many rows k-means is trained on, is only bounded here, and left to the recipe.
"""

from __future__ import annotations

from dataclasses import dataclass

from tamis.errors import RunError

# Resident once the interpreter, NumPy and pyarrow are loaded, about 105 MB, and the buffers of the
# kernels and of the parquet writer.
BASE_BYTES = 160 << 20
# For each row of the pool, beside its id: scores, orders, clusters and the explanation, as seen at
# the peak of a run of narrow rows; for each probe its cluster and its place among the probers.
ROW_BYTES = 160
PROBE_BYTES = 20
# For each element of a centroid: float16, its float64 sum, and a float32 tile for the kernel.
CENTROID_ELEMENT_BYTES = 14
# For each element of a row: as read (float64 at worst) and canonical, while a unit is made.
UNIT_ELEMENT_BYTES = 10
# For each element of a row in a batch or a training set: float16, and the kernel's packed copy.
BATCH_ELEMENT_BYTES = 6

USUAL_ROWS_PER_UNIT = 1 << 16
LEAST_ROWS_PER_UNIT = 1 << 10
LEAST_ROWS_PER_BATCH = 1 << 12


@dataclass(frozen=True)
class MemoryPlan:
    """How many rows each stage may hold.

    Attributes:
        rows_per_unit: rows read, made canonical and stored at a time; a power of two.
        rows_per_batch: rows of clusters compared at a time; a larger cluster is taken in tiles.
        max_train_rows: the most rows that k-means can be trained on; nothing but ids is held then.
        held_bytes: what is held throughout, in bytes.
        budget_bytes: the budget.
    """

    rows_per_unit: int
    rows_per_batch: int
    max_train_rows: int
    held_bytes: int
    budget_bytes: int

    @classmethod
    def of(
        cls,
        n_rows: int,
        dim: int,
        n_clusters: int,
        budget_bytes: int,
        *,
        id_bytes: int = 16,
        n_probes: int = 0,
    ) -> MemoryPlan:
        """Plan for a pool.

        Args:
            n_rows, dim: shape of the pool.
            n_clusters: clusters of k-means.
            budget_bytes: the most memory to use, in bytes.
            id_bytes: bytes per id: 16 for uids, 8 for integers, 8 plus its length for text.
            n_probes: next-nearest clusters that every row is compared with.

        Raises:
            RunError: the budget cannot hold what is held throughout and the least of rows.

        Example:
            >>> plan = MemoryPlan.of(10_000_000, 512, 2_000, budget_bytes=3_000_000_000)
            >>> plan.rows_per_unit, plan.max_train_rows >= 256 * 2_000
            (65536, True)
        """
        centroids = n_clusters * dim * CENTROID_ELEMENT_BYTES
        in_training = BASE_BYTES + n_rows * id_bytes + centroids
        held = in_training + n_rows * (ROW_BYTES + n_probes * PROBE_BYTES)
        least_unit = min(LEAST_ROWS_PER_UNIT, n_rows)
        least_batch = min(max(LEAST_ROWS_PER_BATCH, n_clusters), n_rows)
        least = max(least_unit * UNIT_ELEMENT_BYTES, least_batch * BATCH_ELEMENT_BYTES) * dim
        if held + least > budget_bytes:
            raise RunError(
                f"{n_rows:,} rows of {dim} in {n_clusters:,} clusters need at least "
                f"{_gigabytes(held + least)} GB of memory, the budget is "
                f"{_gigabytes(budget_bytes, up=False)} GB; raise --memory or lower --clusters"
            )
        left = budget_bytes - held
        rows_per_unit = USUAL_ROWS_PER_UNIT
        while min(rows_per_unit, n_rows) * dim * UNIT_ELEMENT_BYTES > left:
            rows_per_unit //= 2
        rows_per_batch = min(left // (BATCH_ELEMENT_BYTES * dim), n_rows)
        train = min((budget_bytes - in_training) // (BATCH_ELEMENT_BYTES * dim), n_rows)
        return cls(rows_per_unit, rows_per_batch, train, held, budget_bytes)


def _gigabytes(n_bytes: int, *, up: bool = True) -> str:
    """Return hundredths of 10^9 bytes, rounded so that the text never promises too little."""
    return f"{(n_bytes + (10**7 - 1 if up else 0)) // 10**7 / 100:.2f}"

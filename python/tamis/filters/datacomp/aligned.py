"""Embeddings must belong to the samples that they stand beside."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tamis.errors import PoolError

if TYPE_CHECKING:
    from tamis.data.ids import Ids
    from tamis.data.pool import Pool
    from tamis.data.samples import SamplePool


def require_aligned(samples: SamplePool, embeddings: Pool) -> None:
    """Check that row i of the embeddings belongs to row i of the samples.

    Raises:
        PoolError: other rows, or another order; names the first that differs.
    """
    if embeddings.n_rows != samples.n_rows:
        raise PoolError(
            f"{embeddings.path} has {embeddings.n_rows:,} embeddings for the {samples.n_rows:,} "
            f"rows of {samples.path}; they must be of the same rows, in the same order"
        )
    left, right = samples.ids(), embeddings.ids()
    if left.kind == "row" or right.kind == "row":  # nothing but the order to go by
        return
    row = _first_difference(left, right)
    if row is not None:
        raise PoolError(
            f"row {row} is {left[row]} in {samples.path} and {right[row]} in {embeddings.path}; "
            "they must hold the same rows in the same order"
        )


def _first_difference(left: Ids, right: Ids) -> int | None:
    if left.kind == right.kind and left.kind != "string":
        differs = left.values != right.values
        differs = differs.any(axis=1) if differs.ndim == 2 else differs
        return int(differs.argmax()) if differs.any() else None
    import pyarrow as pa
    import pyarrow.compute as pc

    texts = (ids.to_arrow().cast(pa.large_string()) for ids in (left, right))
    row = pc.index(pc.equal(*texts), False).as_py()
    return None if row < 0 else int(row)

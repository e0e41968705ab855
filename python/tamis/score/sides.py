"""The two sides of a pair, as rows of embeddings: stored in the pool, or made by an embed step."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from tamis.errors import RunError
from tamis.run.pool_link import pool_of

if TYPE_CHECKING:
    from tamis.data.pool import Pool
    from tamis.data.samples.source import Side

FOLDERS: dict[Side, str] = {"image": "img_emb", "text": "text_emb"}
"""clip-retrieval's, and the embed step's, folder of a side."""


def noted_pool(pool: str | None, run: Path) -> str:
    """Return the pool that was named, else the one that the run has noted.

    Raises:
        RunError: neither is there.
    """
    known = pool or pool_of(run)
    if known is None:
        raise RunError(f"expected a pool: no command has noted one in {run}")
    return known


def open_side(
    side: Side,
    run: Path,
    *,
    pool: str | None = None,
    embedding: str | None = None,
    step: str | None = None,
    ids: str | None = None,
) -> Pool:
    """Open the embeddings of one side.

    Args:
        side: "image" or "text".
        run: the run directory.
        pool: the pool; None for the one that the run has noted.
        embedding: npz key, parquet column or folder in the pool; None where there is only one, or
            where the pool has clip-retrieval's folder.
        step: the embed step RUN/embeddings/STEP instead.
        ids: the metadata column of the ids.

    Raises:
        ValueError: both `embedding` and `step`.
        PoolError, RunError: the embeddings are not there, or their step has not ended.
    """
    from tamis.data.pool import open_pool
    from tamis.run.directory import RunDirectory
    from tamis.run.status import require_ended

    if step is None:
        place = noted_pool(pool, run)
        require_ended(place)
        folder = FOLDERS[side]
        usual = folder if embedding is None and Path(place, folder).is_dir() else None
        return open_pool(place, embedding=embedding or usual, ids=ids)
    if embedding is not None:
        raise ValueError(f"expected {side} or embeddings, not both: --{side} or --embeddings")
    folder_of_step = run / "embeddings" / step
    RunDirectory.read(folder_of_step)  # refuses one that has not ended
    return open_pool(folder_of_step, embedding=FOLDERS[side], ids=ids)

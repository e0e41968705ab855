"""What a path holds, as tamis understands it: samples, embeddings, ids, and what is odd."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from tamis.data.layouts import embedding_names
from tamis.data.pool import Pool, open_pool
from tamis.data.remote import Place, RemotePath, place_of
from tamis.data.samples.layouts import NoSamplesError
from tamis.data.samples.pool import SamplePool, open_samples
from tamis.errors import PoolError


@dataclass(frozen=True)
class SamplesFound:
    """Samples: how they were recognised, and what they have."""

    kind: str
    summary: str
    rows: int
    shards: int
    sides: list[str]
    columns: dict[str, str]


@dataclass(frozen=True)
class EmbeddingFound:
    """One array of embeddings; `name` is what --embedding takes, None where there is one only."""

    kind: str
    name: str | None
    rows: int
    dim: int
    dtype: str


@dataclass(frozen=True)
class IdsFound:
    """The ids of the rows; `kind` as in :class:`tamis.data.ids.Ids`, `example` that of row 0."""

    kind: str
    example: str | int


@dataclass(frozen=True)
class Inspection:
    """What :func:`inspect_pool` found.

    Attributes:
        path: what was inspected.
        samples: None where there are none.
        embeddings: all that can be read, each by its name.
        ids: None where they cannot be read; a problem says why.
        problems: what is odd, a sentence each.
    """

    path: str
    samples: SamplesFound | None
    embeddings: list[EmbeddingFound]
    ids: IdsFound | None
    problems: list[str] = field(default_factory=list)

    def as_dict(self) -> dict[str, Any]:
        """Return it as JSON can hold it."""
        return asdict(self)


def inspect_pool(
    path: Path | RemotePath | str,
    *,
    image: str | None = None,
    text: str | None = None,
    ids: str | None = None,
) -> Inspection:
    """Say how tamis understands a pool; ids and metadata of all rows are read, images are not.

    Args:
        path: a file, a folder, or the URL of one.
        image, text, ids: columns; see :func:`tamis.data.samples.open_samples`.

    Raises:
        PoolError: it holds neither samples nor embeddings that can be read.

    Example:
        >>> import tempfile
        >>> import numpy as np
        >>> folder = Path(tempfile.mkdtemp())
        >>> np.save(folder / "rows.npy", np.eye(4, 8, dtype=np.float16))
        >>> found = inspect_pool(folder)
        >>> found.samples, found.embeddings[0].dim, found.ids.kind
        (None, 8, 'row')
    """
    place = place_of(path)
    problems: list[str] = []
    samples: SamplePool | None = None
    refusal: PoolError | None = None
    try:
        samples = open_samples(place, image=image, text=text, ids=ids)
    except PoolError as error:
        refusal = error
    pools = _embedding_pools(place, ids, problems)
    if samples is None and not pools:
        told = [] if isinstance(refusal, NoSamplesError) and problems else [str(refusal)]
        raise PoolError("; ".join(dict.fromkeys([*told, *problems])))
    if refusal is not None and not isinstance(refusal, NoSamplesError):
        problems.insert(0, str(refusal))
    if samples is not None:
        problems += samples.problems()
        problems += _disagreements(samples, pools)
    return Inspection(
        path=str(place),
        samples=None if samples is None else _samples_found(samples, problems),
        embeddings=[_embedding_found(pool) for pool in pools],
        ids=_ids_found(samples if samples is not None else pools[0], problems),
        problems=list(dict.fromkeys(problems)),
    )


def _embedding_pools(place: Place, ids: str | None, problems: list[str]) -> list[Pool]:
    pools = []
    try:
        names = embedding_names(place)
    except PoolError as error:
        problems.append(str(error))
        return []
    for name in names:
        try:
            pools.append(open_pool(place, embedding=name, ids=ids))
        except PoolError as error:
            problems.append(str(error))
    return pools


def _samples_found(pool: SamplePool, problems: list[str]) -> SamplesFound:
    columns = {}
    try:
        first = next(unit for unit in pool.units(1) if unit.n_rows)
        table = pool.read_columns(pool.columns, first)
        columns = {column.name: str(column.type) for column in table.schema}
    except PoolError as error:
        problems.append(str(error))
    return SamplesFound(
        pool.kind, pool.describe(), pool.n_rows, len(pool.files), sorted(pool.sides), columns
    )


def _embedding_found(pool: Pool) -> EmbeddingFound:
    return EmbeddingFound(pool.kind, pool.embedding, pool.n_rows, pool.dim, str(pool.dtype))


def _ids_found(pool: SamplePool | Pool, problems: list[str]) -> IdsFound | None:
    try:
        ids = pool.ids()
    except PoolError as error:
        problems.append(str(error))
        return None
    return IdsFound(ids.kind, ids[0])


def _disagreements(samples: SamplePool, pools: list[Pool]) -> list[str]:
    """Where samples and embeddings are not of the same rows."""
    found = []
    for pool in pools:
        if pool.n_rows != samples.n_rows:
            source = pool.embedding or pool.kind
            found.append(
                f"{source} has {pool.n_rows:,} rows of embeddings, but there are "
                f"{samples.n_rows:,} samples; rows are matched by id"
            )
    return found

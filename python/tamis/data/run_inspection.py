"""What a run directory holds: its pool, its steps and how far they are, its tables."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tamis.data.ids import UID_DTYPE
from tamis.data.layouts import CLIP_FOLDERS
from tamis.data.metadata import MetadataFile
from tamis.data.npy_file import NpyFile
from tamis.data.pool import open_pool
from tamis.errors import PoolError, RunError
from tamis.run.manifest import MANIFEST, POOL_LINK
from tamis.run.pool_link import pool_of
from tamis.run.status import RunStatus

# The steps that have folders of their own; "." is the run itself.
_STEPS = (".", "embeddings/*", "scores/*")
_TABLES = ("*.parquet", "scores/*.parquet", "scores/*/*.parquet", "embeddings/*/*.parquet")


@dataclass(frozen=True)
class StepFound:
    """One step: its folder in the run, whether it ended, and its units that are done by stage."""

    path: str
    complete: bool
    units: dict[str, int]
    recipe: dict[str, Any]


@dataclass(frozen=True)
class TableFound:
    """One table or list of ids: its path in the run, its rows, its columns with types."""

    path: str
    rows: int
    columns: dict[str, str]


@dataclass(frozen=True)
class RunInspection:
    """What :func:`inspect_run` found.

    Attributes:
        path: the run.
        pool: the path or URL of its pool, None where no command has noted one.
        steps: in order of their paths.
        embeddings: one line for each array that an embed step made.
        tables: parquet tables and subsets, in order of their paths.
        problems: what is odd, a sentence each.
    """

    path: str
    pool: str | None
    steps: list[StepFound]
    embeddings: list[str]
    tables: list[TableFound]
    problems: list[str]

    def as_dict(self) -> dict[str, Any]:
        """Return it as JSON can hold it."""
        return asdict(self)


def is_run(path: Path) -> bool:
    """Return whether a folder is a run directory, rather than a pool or one step's folder."""
    try:
        if any((path / folder).is_dir() for folder in CLIP_FOLDERS) or any(path.glob("*.tar")):
            return False  # an embed step is a pool of embeddings, new shards are a pool of tars
        return any((path / name).is_file() for name in (MANIFEST, POOL_LINK))
    except OSError:
        return False  # who reads it says why that fails


def inspect_run(path: Path | str) -> RunInspection:
    """Say what a run directory holds; headers, footers and manifests are read.

    Raises:
        RunError: it is no run directory, or its record of the pool is damaged.

    Example:
        >>> inspect_run("nothing here")
        Traceback (most recent call last):
        tamis.errors.RunError: nothing here is no run directory: expected manifest.json or pool.json
    """
    path = Path(path)
    if not is_run(path):
        raise RunError(f"{path} is no run directory: expected {MANIFEST} or {POOL_LINK}")
    problems: list[str] = []
    return RunInspection(
        str(path),
        pool_of(path),
        list(_steps(path, problems)),
        list(_embeddings(path, problems)),
        list(_tables(path, problems)),
        problems,
    )


def _steps(path: Path, problems: list[str]) -> Iterator[StepFound]:
    for folder in _matching(path, *_STEPS):
        try:
            status = RunStatus.of(folder)
        except RunError as error:
            problems.append(str(error))
            continue
        if status.started:
            name = folder.relative_to(path).as_posix()
            yield StepFound(name, status.complete, status.units, status.recipe)


def _embeddings(path: Path, problems: list[str]) -> Iterator[str]:
    for folder in _matching(path, "embeddings/*"):
        for name in CLIP_FOLDERS:
            if (folder / name).is_dir():
                try:
                    pool = open_pool(folder, embedding=name)
                    yield f"{folder.relative_to(path).as_posix()}: {pool.describe()}"
                except PoolError as error:
                    problems.append(str(error))


def _tables(path: Path, problems: list[str]) -> Iterator[TableFound]:
    for file in _matching(path, *_TABLES):
        try:
            table = MetadataFile.open(file)
        except PoolError as error:
            problems.append(str(error))
            continue
        columns = {column.name: str(column.type) for column in table.schema}
        yield TableFound(file.relative_to(path).as_posix(), table.n_rows, columns)
    for file in _matching(path, "*.npy"):
        try:
            ids = NpyFile.open(file)
        except PoolError as error:
            problems.append(str(error))
            continue
        if ids.dtype == UID_DTYPE and len(ids.shape) == 1:
            yield TableFound(file.relative_to(path).as_posix(), ids.shape[0], {"uid": "u8,u8"})


def _matching(path: Path, *patterns: str) -> list[Path]:
    found = {path} if "." in patterns else set()
    for pattern in patterns:
        if pattern != ".":
            found |= {match for match in path.glob(pattern) if not match.name.startswith(".")}
    return sorted(found)

"""The parquet files behind one score table: a single file, or a folder of them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from tamis.data.column import ParquetColumn, common_type, kind_of
from tamis.data.dependence import Comparable, dependence_of
from tamis.data.ids import Ids
from tamis.data.ids_digest import METADATA_KEY
from tamis.data.listing import files_ending, natural_key
from tamis.data.metadata import UID_COLUMN, MetadataFile
from tamis.data.parquet_file import open_parquet
from tamis.data.remote import Place, name_inside, place_of
from tamis.data.uid import parse_uids, uid_fault
from tamis.errors import PoolError, RunError

SCORES = "scores"
SCORES_FILE = "scores.parquet"
ENDING = ".parquet"
_RUN_MARKS = ("manifest.json", "pool.json")


class NoIdsError(PoolError):
    """A table has no column of ids."""


@dataclass(frozen=True)
class ScoreFiles:
    """Files with one id column and some columns, their rows one after the other.

    Attributes:
        name: what `table.column` calls the table.
        path: what was given.
        paths, files: in row order.
        schema: of the first file.
        id_column: the column of ids.
        digest: over the ids in row order, where the one file has it; see `tamis.data.ids_digest`.
        depends: what the scores depend on, where a file says it; see `tamis.data.dependence`.
        strict: whether ids must be DataComp's uids.
    """

    name: str
    path: Place
    paths: list[Place] = field(repr=False)
    files: list[MetadataFile] = field(repr=False)
    schema: pa.Schema = field(repr=False)
    id_column: str
    digest: str | None
    strict: bool
    depends: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def open(
        cls, path: Place, *, name: str | None = None, ids: str | None = None, strict: bool = True
    ) -> ScoreFiles:
        """Read the footers. Raises PoolError.

        Args:
            path: a file, or a folder of them.
            name: of the table; None for that of the file or folder.
            ids: the column of ids; None for uid, id, key or image_path, the first that is there.
            strict: whether a column `uid` must hold DataComp's uids. That of a table with a digest
                may hold any ids: tamis wrote it.
        """
        paths = parquet_files(path)
        files = [MetadataFile.open(file) for file in paths]
        id_column = files[0].id_column(ids)
        if id_column is None:
            raise NoIdsError(
                f"{files[0].path}: expected a column uid, id or key, it has "
                f"{', '.join(files[0].schema.names)}"
            )
        digest = None
        if len(files) == 1:
            found = (open_parquet(paths[0]).schema_arrow.metadata or {}).get(METADATA_KEY)
            digest = None if found is None else found.decode("ascii", "replace")
        return cls(
            name or _table_name(path),
            path,
            paths,
            files,
            files[0].schema,
            id_column,
            digest,
            strict and id_column == UID_COLUMN and digest is None,
            _common_dependence(files, id_column),
        )

    @property
    def n_rows(self) -> int:
        """Rows of all files."""
        return sum(file.n_rows for file in self.files)

    @property
    def columns(self) -> list[str]:
        """Names of the columns, those of the first file."""
        return [str(name) for name in self.schema.names]

    def column(self, name: str) -> ParquetColumn:
        """Return one column. Raises PoolError where a file lacks it."""
        for file in self.files:
            if name not in file.schema.names:
                raise PoolError(
                    f"{file.path}: expected a column {name!r} as in {self.files[0].path.name}, it "
                    f"has {', '.join(file.schema.names)}"
                )
        types = [file.schema.field(name).type for file in self.files]
        common = common_type(types)
        if common is None:
            other = next(
                n for n, arrow in enumerate(types) if common_type([types[0], arrow]) is None
            )
            raise PoolError(
                f"{self.paths[other]}: column {name!r} holds {types[other]}, but {types[0]} in "
                f"{self.paths[0].name}"
            )
        return ParquetColumn(self.paths, [file.n_rows for file in self.files], name, common)

    def ids(self) -> IdColumn:
        """Return a reader of the ids."""
        return IdColumn(self.column(self.id_column), self)


class IdColumn:
    """Ids by row number."""

    def __init__(self, column: ParquetColumn, table: ScoreFiles) -> None:
        self._column = column
        self._table = table

    def read(self, start: int, stop: int, rows: Iterable[int] | None = None) -> Ids:
        """Return the ids of rows start .. stop - 1, or of some of them, counted from `start`.

        Raises:
            PoolError: an id is missing, or is no uid in a column of uids; names file and row.
        """
        array = self._column.read_arrow(start, stop)
        if rows is not None:
            array = array.take(pa.array(rows, pa.int64()))
        if array.null_count:
            raise PoolError(f"{self._place(start, stop)}: an id is missing")
        try:
            ids = Ids.of(array)
        except (PoolError, TypeError) as error:
            raise PoolError(f"{self._place(start, stop)}: {error}") from error
        if self._table.strict and ids.kind == "string" and len(ids):
            _, bad = parse_uids(ids.values)
            raise PoolError(f"{self._place(start, stop)}: {uid_fault(str(ids[bad]))}")
        return ids

    def _place(self, start: int, stop: int) -> str:
        return (
            f"{self._table.path}: column {self._table.id_column!r}, rows {start:,} to {stop - 1:,}"
        )


def is_run(path: Place) -> bool:
    """Return whether `path` is a run directory: a manifest, a link to a pool, or scores inside."""
    return (path / SCORES).is_dir() or any((path / mark).is_file() for mark in _RUN_MARKS)


def tables_at(path: ScoreFiles | Place | str, *, required: bool = True) -> list[ScoreFiles]:
    """Open a run's tables, or the one table that is there. Raises what the two raise."""
    if isinstance(path, ScoreFiles):
        return [path]
    place = place_of(path)
    return run_tables(place, required=required) if is_run(place) else [ScoreFiles.open(place)]


def run_tables(run: Place, *, required: bool = True) -> list[ScoreFiles]:
    """Open the score tables of a run, sorted by name.

    Raises:
        RunError: it has none, but is `required` to.
        PoolError: one cannot be read.
    """
    folder = run / SCORES
    entries: list[Place] = [*folder.iterdir()] if folder.is_dir() else []
    tables = []
    unfinished = []
    for entry in sorted(entries, key=lambda entry: entry.name):
        if entry.name.startswith("."):
            continue
        if entry.is_dir():
            if (entry / SCORES_FILE).exists():
                tables.append(ScoreFiles.open(entry / SCORES_FILE, name=entry.name, strict=False))
            else:
                unfinished.append(entry.name)
        elif entry.suffix == ".parquet":
            tables.append(ScoreFiles.open(entry, strict=False))
    if not tables and required:
        waiting = f" ({', '.join(unfinished)} not finished)" if unfinished else ""
        raise RunError(
            f"{run} holds no score table yet{waiting}; run tamis score or tamis dedup with "
            f"--out {run}"
        )
    return tables


def parquet_files(path: Place) -> list[Place]:
    """Return the file, or all `.parquet` files under a folder in natural order.

    Of a DataComp pool, whose folder `metadata` holds them beside other things, only those.

    Raises:
        PoolError: there is none.
    """
    if path.is_file():
        return [path]
    if not path.is_dir():
        raise PoolError(f"{path} does not exist")
    folder = path
    if not files_ending(path, ENDING) and (path / "metadata").is_dir():
        folder = path / "metadata" if files_ending(path / "metadata", ENDING) else path
    files = {name_inside(file, path): file for file in _walk(folder)}
    if not files:
        raise PoolError(f"{path}: expected a folder with {ENDING} files, it has none")
    return [files[name] for name in sorted(files, key=natural_key)]


def require_comparable(tables: Iterable[ScoreFiles]) -> None:
    """Raise PoolError where tables have scores of one name that depend on different things."""
    known: dict[str, Comparable] = {}
    for table in tables:
        for name in _scores(table.schema, table.id_column) if table.depends else ():
            known.setdefault(name, Comparable(name)).add(table.path, table.depends)


def _common_dependence(files: list[MetadataFile], id_column: str) -> dict[str, Any]:
    """What the scores of all files depend on. Raises PoolError where they differ."""
    scores = _scores(files[0].schema, id_column)
    known = Comparable(scores[0] if scores else id_column)
    found: dict[str, Any] = {}
    for file in files:
        depends = dependence_of(file.path, file.schema)
        known.add(file.path, depends)
        found |= {what: told for what, told in depends.items() if found.get(what) is None}
    return found


def _scores(schema: pa.Schema, id_column: str) -> list[str]:
    """The columns of numbers or bools."""
    kinds = {part.name: kind_of(part.type) for part in schema if part.name != id_column}
    return [name for name, kind in kinds.items() if kind in ("number", "set")]


def _walk(folder: Place) -> Iterator[Place]:
    yield from files_ending(folder, ENDING)
    for entry in folder.iterdir():
        if entry.is_dir() and not entry.name.startswith("."):
            yield from _walk(entry)


def _table_name(path: Place) -> str:
    if path.name == SCORES_FILE:
        return path.resolve().parent.name
    return path.stem if path.is_file() else path.resolve().name

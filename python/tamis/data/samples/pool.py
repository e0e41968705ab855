"""Sample pools: images, texts and metadata columns, row by row, with the ids that name the rows.

Opening a pool reads what decides its rows (headers, footers, member lists) and no image. Samples
are read unit by unit, so memory is bounded by the unit.
"""

from __future__ import annotations

import bisect
from collections.abc import Iterable, Sequence
from functools import cached_property, reduce
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tamis.data.agreement import require_distinct
from tamis.data.ids import Ids
from tamis.data.limits import Limits
from tamis.data.remote import Place, RemotePath, place_of
from tamis.data.samples.folder import FolderSamples
from tamis.data.samples.layouts import SampleLayout
from tamis.data.samples.recognise import recognise
from tamis.data.samples.source import Sample, SampleFile, Side
from tamis.data.unit import Unit, cut_units
from tamis.errors import PoolError

if TYPE_CHECKING:
    import pyarrow as pa

    from tamis.run.inputs import InputFile

ROW_NUMBERS = "row"
_KEY = "key"
_SIDES: tuple[Side, ...] = ("image", "text")
# Where rows have keys of their own, rather than columns of which one may be a key.
_KEYED = ("webdataset", "images")


class SamplePool:
    """Samples and ids of n rows; made by :func:`open_samples`. It pickles.

    Attributes:
        path: what was opened.
        kind: "webdataset", "datacomp", "clip-retrieval", "parquet", "images" or "text".
        files: the readers of its files, in row order.
        n_rows: samples, those that cannot be used included.
        sides: what its samples have: images, texts, both; neither where there are only columns.
    """

    def __init__(self, path: Place, layout: SampleLayout, id_column: str | None) -> None:
        self.path = path
        self.kind = layout.kind
        self.files: list[SampleFile] = list(layout.files)
        self._root = layout.root
        self._starts = [0, *accumulate(file.n_rows for file in self.files)]
        self.n_rows = self._starts[-1]
        if self.n_rows == 0:
            raise PoolError(f"the pool {path} holds no samples")
        self.sides: frozenset[Side] = frozenset().union(*(file.sides for file in self.files))
        self._id_column = id_column
        self._layout = layout
        self._ids: Ids | None = None

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_ids": None}

    @cached_property
    def columns(self) -> list[str]:
        """Names of the metadata columns that every file has.

        Where tars have no table beside them, this reads the json of every sample.
        """
        return _common_columns(self.files)

    def describe(self) -> str:
        """Return one line that says how the pool was understood."""
        count = len(self.files)
        has = " and ".join(f"{side}s" for side in _SIDES if side in self.sides)
        joined = f", {self._layout.joined}" if self._layout.joined else ""
        return (
            f"{self.kind} pool: {count} file{'s' * (count != 1)}, {self.n_rows:,} rows with "
            f"{has or 'neither images nor texts'}{joined}"
        )

    def units(self, rows_per_unit: int) -> list[Unit]:
        """Cut the pool into units of at most `rows_per_unit` rows, none across two files."""
        return cut_units([file.n_rows for file in self.files], rows_per_unit)

    def read(self, unit: Unit, sides: Iterable[Side] | None = None) -> list[Sample]:
        """Return the unit's samples; a damaged one comes with a fault, its neighbours whole.

        Args:
            unit: one of :meth:`units`.
            sides: what to read; None reads all that the pool has.

        Raises:
            PoolError: the pool has no such side, or a file is damaged or has changed.
        """
        wanted = self.sides if sides is None else frozenset(sides)
        for side in _SIDES:
            if side in wanted and side not in self.sides:
                has = " and ".join(f"{name}s" for name in _SIDES if name in self.sides)
                raise PoolError(f"{self.path} has no {side}s, only {has or 'metadata columns'}")
        return self.files[unit.file].read(unit.start, unit.stop, wanted)

    def read_columns(self, names: Sequence[str], unit: Unit) -> pa.Table:
        """Return metadata columns of the unit's rows, as the files hold them.

        Raises:
            PoolError: a file has no such column; the text lists those there are.
        """
        return self.files[unit.file].read_columns(names, unit.start, unit.stop)

    def keys(self, unit: Unit) -> list[str]:
        """Return the webdataset key, path or row number of each row of the unit."""
        return list(self.files[unit.file].keys()[unit.start : unit.stop])

    def ids(self) -> Ids:
        """Return the ids of all rows, read once and kept (16 bytes a row for uids).

        Uids where the pool has them, else the keys of tars and image folders, else row numbers.

        Raises:
            PoolError: a missing or repeated id, or one of another kind; names file and row.
        """
        if self._ids is None:
            ids = self._read_ids()
            require_distinct(
                ids, self.locate, "; name a column of other ids, or row for row numbers"
            )
            self._ids = ids
        return self._ids

    def read_ids(self, unit: Unit) -> Ids:
        """Return the unit's ids, a slice of :meth:`ids`."""
        return self.ids().slice(unit.first_row, unit.first_row + unit.n_rows)

    def locate(self, row: int) -> tuple[Place, int]:
        """Return (file, row in the file) of a row of the pool."""
        if not 0 <= row < self.n_rows:
            raise IndexError(f"expected a row below {self.n_rows}, got {row}")
        index = bisect.bisect_right(self._starts, row) - 1
        file = self.files[index]
        if isinstance(file, FolderSamples):
            return file.place(row - self._starts[index]), 0
        return self._root / file.name, row - self._starts[index]

    def file_name(self, unit: Unit) -> str:
        """Return the unit's file as a path inside the pool, parts separated by "/"."""
        return self.files[unit.file].name

    def inputs(self) -> list[InputFile]:
        """Return every file that the pool reads, each once.

        Raises:
            PoolError: a file has gone since the pool was opened.
        """
        try:
            found = {item.path: item for file in self.files for item in file.inputs()}
        except OSError as error:
            raise PoolError(f"cannot read {error.filename}: {error.strerror}") from error
        return list(found.values())

    def problems(self) -> list[str]:
        """Return what is odd about the pool, a sentence each; reads ids, so it may take a while."""
        found = list(self._layout.problems())
        try:
            self.ids()
        except PoolError as error:
            found.append(str(error))
        empty = [file.name for file in self.files if file.n_rows == 0]
        if empty:
            found.append(
                f"{len(empty)} of {len(self.files)} files hold no rows, such as {empty[0]}"
            )
        return found

    def _read_ids(self) -> Ids:
        filled = [file for file in self.files if file.n_rows]
        if self._id_column == ROW_NUMBERS:
            if self.kind not in _KEYED and ROW_NUMBERS in self.columns:
                raise PoolError(
                    f"{self.path}: ids={ROW_NUMBERS!r} means row numbers, but there is a column "
                    f"of that name; rename the column"
                )
            return Ids.rows(self.n_rows)
        if self._id_column == _KEY and self.kind in _KEYED:
            return self._key_ids(filled)
        parts = [file.ids(self._id_column) for file in filled]
        known = [part for part in parts if part is not None]
        if len(known) < len(parts) and known:
            without = filled[[part is None for part in parts].index(True)]
            having = filled[[part is not None for part in parts].index(True)]
            raise PoolError(
                f"{self.path}: {having.name} has ids but {without.name} has none; name a column "
                "that all files have"
            )
        try:
            if known:
                return Ids.concat(known)
            if self.kind in _KEYED:
                return self._key_ids(filled)
        except PoolError as error:
            raise PoolError(f"{self.path}: {error}") from error
        return Ids.rows(self.n_rows)

    @staticmethod
    def _key_ids(files: Sequence[SampleFile]) -> Ids:
        return Ids.concat([Ids.of(list(file.keys()), kind="string") for file in files])


def open_samples(
    path: Path | RemotePath | str,
    *,
    image: str | None = None,
    text: str | None = None,
    ids: str | None = None,
    limits: Limits | None = None,
) -> SamplePool:
    """Open a pool of samples.

    Args:
        path: a file, a folder, or the URL of one; :mod:`tamis.data.samples.recognise` lists the
            layouts.
        image: the column of a table that holds images or their paths; None takes the one there is
            of image, image_path, path.
        text: the column of texts; None takes the one there is of text, caption, TEXT.
        ids: the column of the ids, integers or text; "key" takes the keys of tars and image
            folders, "row" numbers the rows. None takes uids, else keys, else what
            :func:`tamis.data.open_pool` takes.
        limits: caps on what is read from untrusted files.

    Raises:
        PoolError: one sentence that names the file, what was expected and what is there.

    Example:
        >>> import tempfile
        >>> folder = Path(tempfile.mkdtemp())
        >>> _ = (folder / "docs.jsonl").write_text('{"text": "one"}\\n{"text": "two"}\\n')
        >>> pool = open_samples(folder)
        >>> pool.describe()
        'text pool: 1 file, 2 rows with texts'
        >>> [sample.text for unit in pool.units(rows_per_unit=1) for sample in pool.read(unit)]
        ['one', 'two']
    """
    place = place_of(path)
    layout = recognise(place, image=image, text=text, limits=limits or Limits())
    return SamplePool(place, layout, ids)


def _common_columns(files: Sequence[SampleFile]) -> list[str]:
    filled = [file for file in files if file.n_rows]
    shared = reduce(lambda left, right: left & right, (set(file.columns) for file in filled))
    return [name for name in filled[0].columns if name in shared]

"""Captions that were made elsewhere: columns of the pool, members of its tars, other tables.

A caption that is no usable text (not UTF-8, a NUL, too long) is left out; a row without any other
gets that as its reason.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

from tamis.data.id_index import IdIndex
from tamis.data.ids import is_text
from tamis.data.limits import Limits
from tamis.data.remote import RemotePath, place_of
from tamis.data.samples.joined import JoinedSamples
from tamis.data.samples.tar_file import TarShard
from tamis.data.samples.tar_source import read_ranges, reading
from tamis.data.samples.texts import TEXT_TOO_LONG, checked_text
from tamis.data.score_file import ScoreFiles
from tamis.embed.encoder import short_name
from tamis.errors import PoolError
from tamis.filters.sieve.caption_store import ShuffledColumn, positions_of
from tamis.filters.sieve.caption_table import CAPTIONS
from tamis.filters.sieve.captioner import NOT_GIVEN, RowCaptions
from tamis.run.inputs import InputFile

if TYPE_CHECKING:
    from tamis.data.samples import SampleFile, SamplePool
    from tamis.data.unit import Unit

MEMBER_SUFFIX = "caption.txt"
COLUMNS = (CAPTIONS, "all_generated_caption_list", "caption")
"""Looked for in this order; the second is what SIEVE's own program calls it."""


class CaptionColumn:
    """A metadata column of the pool: lists of texts, or one text for each row.

    Args:
        column: its name.
        limits: `text_bytes` caps a caption.
    """

    def __init__(self, column: str, limits: Limits = Limits()) -> None:  # noqa: B008 - frozen
        self.name = short_name("column", column)
        self._column = column
        self._limits = limits

    def recipe(self) -> dict[str, Any]:
        """See :class:`tamis.filters.sieve.captioner.GivenCaptions`."""
        return {"model": f"given: column {self._column}"}

    def inputs(self) -> list[InputFile]:
        """See :class:`tamis.filters.sieve.captioner.GivenCaptions`."""
        return []

    def read(self, pool: SamplePool, unit: Unit) -> RowCaptions:
        """See :class:`tamis.filters.sieve.captioner.GivenCaptions`. Raises PoolError."""
        column = pool.read_columns([self._column], unit).column(0)
        where = f"{pool.path}: column {self._column!r}"
        return _rows(_listed(_one_chunk(column), where), self._limits)


class CaptionMembers:
    """Members `KEY.caption.txt` of the pool's tars, a caption a line; blank lines are none.

    Args:
        suffix: what follows the key and a dot.
        limits: `text_bytes` caps a member.
    """

    def __init__(
        self,
        suffix: str = MEMBER_SUFFIX,
        limits: Limits = Limits(),  # noqa: B008 - frozen
    ) -> None:
        self._suffix = suffix.lower().lstrip(".")
        usual = self._suffix == MEMBER_SUFFIX
        self.name = "members" if usual else short_name("members", self._suffix)
        self._limits = limits

    def recipe(self) -> dict[str, Any]:
        """See :class:`tamis.filters.sieve.captioner.GivenCaptions`."""
        return {"model": f"given: members .{self._suffix}"}

    def inputs(self) -> list[InputFile]:
        """See :class:`tamis.filters.sieve.captioner.GivenCaptions`."""
        return []

    def read(self, pool: SamplePool, unit: Unit) -> RowCaptions:
        """See :class:`tamis.filters.sieve.captioner.GivenCaptions`. Raises PoolError."""
        shard = _shard(pool.files[unit.file], str(pool.path))
        index = shard.index()
        lists: list[list[str]] = [[] for _ in range(unit.n_rows)]
        reasons: dict[int, str] = {}
        wanted = []
        for place, row in enumerate(range(unit.start, unit.stop)):
            found = [member for member in index.members(row) if member[0] == self._suffix]
            if row in index.faults or not found:
                reasons[place] = index.faults.get(row, NOT_GIVEN)
            elif found[0][2] > self._limits.text_bytes:
                reasons[place] = TEXT_TOO_LONG
            else:
                wanted.append((found[0][1], found[0][2], place))
        wanted.sort()
        with reading(shard.place) as read_at:
            contents = read_ranges(shard.place, [member[:2] for member in wanted], read_at)
            for (_, _, place), content in zip(wanted, contents, strict=True):
                lists[place], reason = _usable(bytes(content).splitlines(), self._limits)
                if reason is not None:
                    reasons[place] = reason
        return RowCaptions(lists, reasons)


class CaptionTable:
    """A column of a parquet file, or of a folder of them, whose rows are found by id.

    The ids are in a column uid, id or key. Where their order is not the pool's, the column is held
    in memory.

    Args:
        path: the file or folder; a path or a URL.
        column: its name; None takes the first there is of captions, all_generated_caption_list and
            caption.
        limits: `text_bytes` caps a caption.

    Raises:
        PoolError: it cannot be read, has no such column, or an id twice.
    """

    def __init__(
        self,
        path: Path | RemotePath | str,
        column: str | None = None,
        limits: Limits = Limits(),  # noqa: B008 - frozen
    ) -> None:
        self._files = ScoreFiles.open(place_of(path), strict=False)
        self._column = column or _column_of(self._files)
        self.name = short_name("parquet", self._files.name)
        self._limits = limits
        # Tells of a wrong type before anything is made.
        _listed(pa.array([], self._files.column(self._column).arrow), self._where)
        self._index: IdIndex | None = None
        self._rows: ShuffledColumn | None = None

    @property
    def _where(self) -> str:
        return f"{self._files.path}: column {self._column!r}"

    def recipe(self) -> dict[str, Any]:
        """See :class:`tamis.filters.sieve.captioner.GivenCaptions`."""
        return {"model": f"given: parquet column {self._column}"}

    def inputs(self) -> list[InputFile]:
        """See :class:`tamis.filters.sieve.captioner.GivenCaptions`."""
        path = self._files.path
        root = path if path.is_dir() else path.parent
        found = [InputFile.at(file, root) for file in self._files.paths]
        return [replace(file, path=f"given captions/{file.path}") for file in found]

    def read(self, pool: SamplePool, unit: Unit) -> RowCaptions:
        """See :class:`tamis.filters.sieve.captioner.GivenCaptions`. Raises PoolError."""
        if self._index is None or self._rows is None:
            ids = self._files.ids().read(0, self._files.n_rows)
            self._index = IdIndex(ids)
            if len(self._index) < len(ids):
                raise PoolError(
                    f"{self._files.path}: id {self._index.ids[int(self._index.counts.argmax())]!r} "
                    "is there more than once; expected one row for each id"
                )
            self._rows = ShuffledColumn(self._files.column(self._column), self._files.n_rows)
        positions = positions_of(self._index, pool.read_ids(unit))
        return _rows(_listed(self._rows.take(positions), self._where), self._limits)


def _column_of(files: ScoreFiles) -> str:
    found = [name for name in COLUMNS if name in files.columns]
    if not found:
        raise PoolError(
            f"{files.path}: expected a column {', '.join(COLUMNS)}, it has "
            f"{', '.join(files.columns)}; name the column of captions"
        )
    return found[0]


def _shard(file: SampleFile, pool: str) -> TarShard:
    while isinstance(file, JoinedSamples):
        file = file.samples
    if not isinstance(file, TarShard):
        raise PoolError(f"{pool}: members are looked for in tars, {file.name} is none")
    return file


def _listed(column: pa.Array, where: str) -> pa.Array:
    """A column as lists. Raises PoolError for one of another type."""
    kind = column.type
    if pa.types.is_dictionary(kind):
        column, kind = column.cast(kind.value_type), kind.value_type
    is_list = (pa.types.is_list(kind) or pa.types.is_large_list(kind)) and (
        is_text(kind.value_type) or pa.types.is_null(kind.value_type)
    )
    if not (is_list or is_text(kind) or pa.types.is_null(kind)):
        raise PoolError(f"{where} holds {kind}; expected text or lists of text")
    if is_list or pa.types.is_null(kind):
        return column
    offsets = pa.array(range(len(column) + 1), pa.int64())
    return pa.LargeListArray.from_arrays(offsets, column)


def _rows(lists: pa.Array, limits: Limits) -> RowCaptions:
    """Captions of lists, none of which a damaged neighbour can hurt."""
    found: list[list[str]] = []
    reasons: dict[int, str] = {}
    # As bytes: what is no UTF-8 is a fault of one caption, and not of the column.
    for place, raw in enumerate(_as_bytes(lists)):
        captions, reason = _usable(raw, limits)
        if reason is not None:
            reasons[place] = reason
        found.append(captions)
    return RowCaptions(found, reasons)


def _as_bytes(lists: pa.Array) -> list[list[bytes]]:
    if pa.types.is_null(lists.type):
        return [[] for _ in range(len(lists))]
    raw = lists.flatten().cast(pa.large_binary()).to_pylist()
    lengths = pc.list_value_length(lists).fill_null(0).to_pylist()
    rows = []
    start = 0
    for length in lengths:
        rows.append([text for text in raw[start : start + length] if text is not None])
        start += length
    return rows


def _usable(raw: Iterable[bytes], limits: Limits) -> tuple[list[str], str | None]:
    """The captions that are text and not blank, and why there is none."""
    captions = []
    fault = None
    for content in raw:
        text, reason = checked_text(content, limits)
        if text is None:
            fault = fault or reason
        elif text.strip():
            captions.append(text)
    return captions, None if captions else fault or NOT_GIVEN


def _one_chunk(column: pa.ChunkedArray) -> pa.Array:
    chunks: Sequence[pa.Array] = column.chunks
    return pa.concat_arrays(chunks) if chunks else pa.array([], column.type)

"""Samples in JSON lines: one object a line, one field of it the text, the others columns."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from tamis.data.ids import Ids, is_text
from tamis.data.limits import Limits
from tamis.data.metadata import ID_COLUMNS, UID_COLUMN
from tamis.data.remote import Place, name_inside
from tamis.data.samples.columns import TEXT_NAMES
from tamis.data.samples.image_files import IMAGE_MISSING
from tamis.data.samples.keys import RowNumbers
from tamis.data.samples.line_file import LineFile
from tamis.data.samples.source import Sample, Side
from tamis.data.samples.texts import TEXT_NO_STRING, TEXT_TOO_LONG, checked_text
from tamis.data.uid import UID_DIGITS
from tamis.errors import PoolError
from tamis.run.inputs import InputFile

NOT_JSON = "line is not a JSON object"
_ROWS_PER_READ = 1 << 12
_HEAD_ROWS = 16
# A character may take six bytes in JSON (\u0041), and other fields stand beside the text.
_LINE_BYTES_PER_TEXT_BYTE = 8


@dataclass
class LineSamples:
    """The samples of one `.jsonl` file, plain or compressed.

    Attributes:
        lines: the file.
        root: the pool's folder.
        text: the field that holds the text.
        columns: the fields of the first lines that are objects, at most 16.
        limits: caps on texts.
    """

    lines: LineFile
    root: Place
    text: str
    columns: list[str]
    limits: Limits
    sides: frozenset[Side] = field(default=frozenset(("text",)), init=False)

    @classmethod
    def open(cls, path: Place, root: Place, text: str | None, limits: Limits) -> LineSamples:
        """Count the lines and look at the first object.

        Raises:
            PoolError: unreadable, no JSON lines, or no text field, or several.
        """
        cap = limits.text_bytes * _LINE_BYTES_PER_TEXT_BYTE
        lines = LineFile.open(path, cap)
        head = lines.read(0, min(lines.n_lines, _HEAD_ROWS))
        lines.close()
        objects = [item for item in map(_parsed, head) if item is not None]
        if head and not objects:
            raise PoolError(
                f"{path}: expected JSON lines, one object a line, but its first {len(head)} lines "
                "hold none"
            )
        fields = dict.fromkeys(name for item in objects for name in item)
        columns = [name for name in fields if _without_surrogates(name) is not None]
        return cls(lines, root, _text_field(columns, text, path), columns, limits)

    @property
    def name(self) -> str:
        """Path inside the pool."""
        return name_inside(self.lines.path, self.root)

    @property
    def n_rows(self) -> int:
        """Lines that are not blank."""
        return self.lines.n_lines

    def ids(self, column: str | None) -> Ids | None:
        """Ids from a field: the one asked for, else the first there is of uid, id, key.

        Among text ids, a line without one, such as a damaged line, gets an id made of the names of
        file and row, so that it counts as a row like any other.

        Raises:
            PoolError: a line without an id among integers, or what is no id; names the row.
        """
        name = column or next((name for name in ID_COLUMNS if name in self.columns), None)
        if name is None:
            return None
        parts = []
        for start in range(0, self.n_rows, _ROWS_PER_READ):
            stop = min(start + _ROWS_PER_READ, self.n_rows)
            values = self.read_columns([name], start, stop).column(0)
            try:
                completed = self._completed(values, name, start)
                parts.append(Ids.of(completed, kind="uid32" if name == UID_COLUMN else None))
            except (PoolError, TypeError) as error:
                raise PoolError(
                    f"{self.lines.path}: field {name!r}, rows from {start}: {error}"
                ) from error
        return Ids.concat(parts)

    def keys(self) -> Sequence[str]:
        """Row numbers."""
        return RowNumbers(self.n_rows)

    def read(self, start: int, stop: int, sides: frozenset[Side]) -> list[Sample]:
        """Samples start .. stop - 1."""
        samples = []
        for row, line in enumerate(self.lines.read(start, stop), start):
            faults: dict[Side, str] = {"image": IMAGE_MISSING} if "image" in sides else {}
            text = None
            if "text" in sides:
                text, fault = self._text(line)
                faults |= {} if fault is None else {"text": fault}
            samples.append(Sample(str(row), None, text, faults))
        return samples

    def read_columns(self, names: Sequence[str], start: int, stop: int) -> pa.Table:
        """Fields of rows start .. stop - 1; null where a line has none."""
        for name in names:
            if name not in self.columns:
                raise PoolError(
                    f"{self.lines.path}: expected a field {name!r}, its first lines have "
                    f"{', '.join(self.columns) or '(none)'}"
                )
        objects = [_parsed(line) or {} for line in self.lines.read(start, stop)]
        arrays = []
        for name in names:
            values = [_without_surrogates(item.get(name)) for item in objects]
            try:
                arrays.append(pa.array(values))
            except (pa.ArrowException, OverflowError) as error:
                raise PoolError(
                    f"{self.lines.path}: field {name!r} holds values of several types in rows "
                    f"{start} to {stop - 1} ({error})"
                ) from error
        return pa.Table.from_arrays(arrays, names=list(names))

    def inputs(self) -> list[InputFile]:
        """The file."""
        return [InputFile.at(self.lines.path, self.root)]

    def _completed(self, values: pa.ChunkedArray, name: str, start: int) -> pa.ChunkedArray:
        """Fill in the ids that are missing."""
        if not values.null_count:
            return values
        cells = values.to_pylist()
        missing = [row for row, cell in enumerate(cells) if cell is None]
        if not (is_text(values.type) or pa.types.is_null(values.type)):
            raise PoolError(f"row {start + missing[0]} has no id; ids=row numbers the rows")
        for row in missing:
            named = hashlib.sha256(f"{self.name}/{start + row}".encode()).hexdigest()
            cells[row] = named[:UID_DIGITS]
        return pa.chunked_array([cells], pa.large_string())

    def _text(self, line: bytes | None) -> tuple[str | None, str | None]:
        if line is None:
            return None, TEXT_TOO_LONG
        item = _parsed(line)
        if item is None:
            return None, NOT_JSON
        value = item.get(self.text)
        if value is not None and not isinstance(value, str):
            return None, TEXT_NO_STRING
        return checked_text(value, self.limits)


def _parsed(line: bytes | None) -> dict[str, Any] | None:
    if line is None:
        return None
    try:
        item = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return item if isinstance(item, dict) else None


def _without_surrogates(value: Any) -> Any:
    """Text that Arrow cannot hold becomes null, alone or inside; whatever else there is, stays."""
    if isinstance(value, str | dict | list):
        text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        try:
            text.encode()
        except UnicodeEncodeError:
            return None
    return value


def _text_field(columns: list[str], asked: str | None, path: Place) -> str:
    if asked is not None and asked not in columns and columns:
        raise PoolError(f"{path}: expected a field {asked!r}, it has {', '.join(columns)}")
    if asked is not None:
        return asked
    found = [name for name in TEXT_NAMES if name in columns]
    if columns and len(found) != 1:
        raise PoolError(
            f"{path}: expected one field of {', '.join(TEXT_NAMES)}, its first lines have "
            f"{', '.join(columns)}; name the text with text="
        )
    return found[0] if found else TEXT_NAMES[0]

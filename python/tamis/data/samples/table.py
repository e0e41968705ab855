"""Samples in a parquet table: texts, images inside it or named by path, metadata columns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import pyarrow as pa
import pyarrow.compute as pc

from tamis.data.ids import Ids, is_text
from tamis.data.image import TOO_LARGE
from tamis.data.limits import Limits
from tamis.data.metadata import MetadataFile
from tamis.data.remote import Place, name_inside
from tamis.data.samples.columns import SampleColumns
from tamis.data.samples.image_files import IMAGE_MISSING, ImageFiles
from tamis.data.samples.keys import RowNumbers, TextKeys
from tamis.data.samples.source import Sample, Side
from tamis.data.samples.table_rows import TableRows
from tamis.data.samples.texts import TEXT_MISSING, checked_text
from tamis.errors import PoolError
from tamis.run.inputs import InputFile

# A cell may be of any size, and a small file may unpack to large cells.
_IMAGES_PER_BATCH = 64
_TEXTS_PER_BATCH = 256
_ROWS_PER_BATCH = 1 << 12
_KEY = "key"


@dataclass
class TableSamples:
    """The samples of one parquet file.

    Attributes:
        table: the file.
        root: the pool's folder.
        chosen: its text and image columns.
        limits: caps on texts and images.
    """

    table: MetadataFile
    root: Place
    chosen: SampleColumns
    limits: Limits
    _rows: dict[tuple[str, ...], TableRows] = field(default_factory=dict, repr=False)
    _keys: Sequence[str] | None = field(default=None, repr=False)

    @property
    def name(self) -> str:
        """Path inside the pool."""
        return name_inside(self.table.path, self.root)

    @property
    def n_rows(self) -> int:
        """Rows of the table."""
        return self.table.n_rows

    @property
    def sides(self) -> frozenset[Side]:
        """What has a column."""
        sides: list[Side] = []
        if self.chosen.image is not None:
            sides.append("image")
        if self.chosen.text is not None:
            sides.append("text")
        return frozenset(sides)

    @property
    def columns(self) -> list[str]:
        """All columns but one that holds encoded images."""
        inside = self.chosen.image if self.chosen.form != "path" else None
        return [name for name in self.table.schema.names if name != inside]

    def ids(self, column: str | None) -> Ids | None:
        """Ids from a column; see :meth:`MetadataFile.id_column` for which."""
        name = self.table.id_column(column)
        return None if name is None else self.table.read_ids(name)

    def keys(self) -> Sequence[str]:
        """The column "key", else the images' paths, else row numbers."""
        if self._keys is None:
            name = self._key_column
            if name is None:
                self._keys = RowNumbers(self.n_rows)
            else:
                column = self._take([name], 0, self.n_rows).column(0)
                texts = [_as_key(row, cell) for row, cell in enumerate(_bytes(column))]
                self._keys = TextKeys(pa.array(texts, pa.large_string()))
        return self._keys

    def read(self, start: int, stop: int, sides: frozenset[Side]) -> list[Sample]:
        """Samples start .. stop - 1."""
        chosen = self.chosen
        key = self._key_column
        wanted = [
            key,
            chosen.text if "text" in sides else None,
            chosen.image if "image" in sides else None,
        ]
        names = {name for name in wanted if name is not None}
        if not names:
            return [Sample(str(row), faults=_absent(sides)) for row in range(start, stop)]
        table = self._take(sorted(names), start, stop)
        nothing = [None] * (stop - start)
        texts = _bytes(table.column(chosen.text)) if chosen.text in names else nothing
        contents, paths = self._images(table) if chosen.image in names else (nothing, nothing)
        keys = _bytes(table.column(key)) if key is not None else nothing
        samples = []
        for row, raw, content, path, cell in zip(
            range(start, stop), texts, contents, paths, keys, strict=True
        ):
            faults: dict[Side, str] = {}
            text = image = None
            if "text" in sides:
                text, fault = checked_text(raw, self.limits)
                faults |= {} if fault is None else {"text": fault}
            if "image" in sides:
                image, fault = self._image(content, path)
                faults |= {} if fault is None else {"image": fault}
            samples.append(Sample(_as_key(row, cell), image, text, faults))
        return samples

    def read_columns(self, names: Sequence[str], start: int, stop: int) -> pa.Table:
        """Columns of rows start .. stop - 1."""
        for name in names:
            if name not in self.columns:
                raise PoolError(
                    f"{self.table.path}: expected a column {name!r}, it has "
                    f"{', '.join(self.columns) or '(none)'}"
                )
        if not names:
            return pa.table({})
        return self._take(sorted(set(names)), start, stop).select(list(names))

    def inputs(self) -> list[InputFile]:
        """The table; images that it names by path are not recorded one by one."""
        return [InputFile.at(self.table.path, self.root)]

    @property
    def _key_column(self) -> str | None:
        for name in (_KEY, self.chosen.image if self.chosen.form == "path" else None):
            if name in self.table.schema.names and is_text(self.table.schema.field(name).type):
                return name
        return None

    def _take(self, names: list[str], start: int, stop: int) -> pa.Table:
        rows = self._rows.get(tuple(names))
        if rows is None:
            batch = _ROWS_PER_BATCH
            if self.chosen.form != "path" and self.chosen.image in names:
                batch = _IMAGES_PER_BATCH
            elif self.chosen.text in names:
                batch = _TEXTS_PER_BATCH
            rows = self._rows[tuple(names)] = TableRows(self.table.path, names, batch)
        return rows.read(start, stop)

    def _images(self, table: pa.Table) -> tuple[list[bytes | None], list[bytes | None]]:
        """The contents and the paths in the image column."""
        column = table.column(self.chosen.image)
        if self.chosen.form == "struct":
            return _bytes(pc.struct_field(column, "bytes")), _bytes(pc.struct_field(column, "path"))
        cells = _bytes(column)
        nothing: list[bytes | None] = [None] * len(column)
        return (nothing, cells) if self.chosen.form == "path" else (cells, nothing)

    def _image(self, content: bytes | None, path: bytes | None) -> tuple[bytes | None, str | None]:
        if content is not None:
            too_large = len(content) > self.limits.member_bytes
            return (None, TOO_LARGE) if too_large else (content, None)
        named = None if path is None else path.decode("utf-8", "surrogateescape")
        return ImageFiles(self.root, self.table.path.parent, self.limits).read(named)


def _bytes(column: pa.ChunkedArray) -> list[bytes | None]:
    """The cells as bytes: Arrow does not look whether what it calls text is UTF-8."""
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    return list(column.cast(pa.large_binary()).to_pylist())


def _as_key(row: int, cell: bytes | None) -> str:
    return str(row) if cell is None else cell.decode("utf-8", "replace")


def _absent(sides: frozenset[Side]) -> dict[Side, str]:
    reasons: dict[Side, str] = {"image": IMAGE_MISSING, "text": TEXT_MISSING}
    return {side: reasons[side] for side in sides}

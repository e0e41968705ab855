"""Tables that a step makes unit by unit and joins at the end."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq

from tamis.errors import RunError
from tamis.run import atomic

if TYPE_CHECKING:
    from tamis.data.unit import Unit


@dataclass(frozen=True)
class UnitTables:
    """One parquet per unit in a folder of the step, and one for all of them.

    Attributes:
        folder: of the units' files, relative to the step.
        group_rows: rows of a row group of the joined table, whatever the units were.
    """

    folder: str
    group_rows: int

    def file(self, unit: Unit) -> str:
        """The unit's file, relative to the step."""
        return f"{self.folder}/{unit.name}.parquet"

    def read(
        self, step: Path, units: Sequence[Unit], columns: list[str] | None = None
    ) -> Iterator[pa.Table]:
        """Yield the table of one unit after the other; None: all columns.

        Raises:
            RunError: a file is missing or damaged.
        """
        for unit in units:
            path = step / self.file(unit)
            try:
                with pq.ParquetFile(path, pre_buffer=False) as file:
                    table = file.read(columns=columns, use_threads=False)
            except (OSError, pa.ArrowException) as error:
                raise RunError(f"cannot read {path}: {error}; remove it and run again") from error
            if len(table) != unit.n_rows:
                raise RunError(
                    f"{path}: expected {unit.n_rows} rows, it has {len(table)}; remove it"
                )
            yield table

    def grouped(
        self, step: Path, units: Sequence[Unit], columns: list[str] | None = None
    ) -> Iterator[pa.Table]:
        """Yield the lines of all units in tables of `group_rows`; holds one and a unit at a time.

        Raises:
            RunError: a file is missing or damaged.
        """
        return _regrouped(self.read(step, units, columns), self.group_rows)

    def joined(
        self, step: Path, units: Sequence[Unit], schema: pa.Schema
    ) -> Callable[[atomic.AtomicFile], None]:
        """Writes the lines of all units as one table; holds a row group and a unit at a time."""

        def write(file: atomic.AtomicFile) -> None:
            with atomic.parquet_writer(file, schema) as writer:
                for table in self.grouped(step, units):
                    writer.write_table(table.cast(schema), row_group_size=self.group_rows)

        return write


def _regrouped(tables: Iterator[pa.Table], rows: int) -> Iterator[pa.Table]:
    """Cut a stream of tables into tables of `rows` rows in one chunk; only the last is shorter."""
    held: list[pa.Table] = []
    n_held = 0
    for table in tables:
        held.append(table)
        n_held += len(table)
        while n_held >= rows:
            whole = pa.concat_tables(held)
            yield whole.slice(0, rows).combine_chunks()
            held, n_held = [whole.slice(rows)], n_held - rows
    if n_held:
        yield pa.concat_tables(held).combine_chunks()

"""Units: contiguous rows of one file, the grain of work, resume and quarantine."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Unit:
    """A contiguous run of rows inside one file: the grain of work, resume and quarantine.

    Attributes:
        name: stable for one pool and one `rows_per_unit`, e.g. "00002-00001".
        file: the embedding file's position in `Pool.files`.
        start, stop: rows of the file, stop exclusive.
        first_row: the pool's row number of `start`.
    """

    name: str
    file: int
    start: int
    stop: int
    first_row: int

    @property
    def n_rows(self) -> int:
        """Rows of the unit."""
        return self.stop - self.start


def cut_units(rows_per_file: Sequence[int], rows_per_unit: int) -> list[Unit]:
    """Cut files into units of at most `rows_per_unit` rows, none across two files.

    Example:
        >>> [(unit.name, unit.first_row, unit.n_rows) for unit in cut_units([3, 2], 2)]
        [('00000-00000', 0, 2), ('00000-00001', 2, 1), ('00001-00000', 3, 2)]
    """
    if rows_per_unit < 1:
        raise ValueError(f"expected rows_per_unit >= 1, got {rows_per_unit}")
    units = []
    first_row = 0
    for file, n_rows in enumerate(rows_per_file):
        for start in range(0, n_rows, rows_per_unit):
            stop = min(start + rows_per_unit, n_rows)
            name = f"{file:05d}-{start // rows_per_unit:05d}"
            units.append(Unit(name, file, start, stop, first_row + start))
        first_row += n_rows
    return units

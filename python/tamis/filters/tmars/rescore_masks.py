"""Where a score reads its masks: a table of masks, or the units of a detect step as they are made.

A process that works on a part of a pool can score what it has detected before all parts are joined.
"""

from __future__ import annotations

from bisect import bisect_right
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from tamis.errors import RunError
from tamis.filters.tmars.detect import STAGE
from tamis.filters.tmars.made import MaskColumns
from tamis.filters.tmars.masks import COLUMNS, UNITS, Mask
from tamis.run.manifest import load_manifest

if TYPE_CHECKING:
    import pyarrow as pa

    from tamis.data.samples import SamplePool
    from tamis.data.unit import Unit
    from tamis.run.inputs import InputFile


class MaskSource(Protocol):
    """Masks by the rows of a pool; :func:`tamis.filters.tmars.masks_reader.open_masks` gives one.

    The file names among its inputs begin with `masks/`.
    """

    def read(self, start: int, stop: int) -> list[Mask]:
        """The masks of the pool's rows start .. stop - 1."""
        ...

    def recipe(self) -> dict[str, Any]:
        """What made them, as JSON can hold it."""
        ...

    def inputs(self) -> list[InputFile]:
        """The files that are read, apart from those that the recipe and the pool make certain."""
        ...


class DetectedMasks(MaskSource):
    """The units of a detect step, whether it has ended or not.

    Args:
        step: its folder, RUN/masks/NAME.
        pool: what it detects in.

    Raises:
        RunError: the folder holds no detect step.
    """

    def __init__(self, step: Path, pool: SamplePool) -> None:
        manifest = load_manifest(step)
        if manifest is None or manifest["recipe"].get("step") != STAGE:
            raise RunError(f"expected the masks of a detect step in {step}")
        self._step = step
        self._recipe: dict[str, Any] = manifest["recipe"]
        self._units = pool.units(int(manifest["plan"]["rows_per_unit"]))
        self._firsts = [unit.first_row for unit in self._units]
        self._columns = MaskColumns({name: name for name in COLUMNS.names}, trusted=True)
        self._kept: tuple[Unit, pa.Table] | None = None

    def read(self, start: int, stop: int) -> list[Mask]:
        """See :class:`MaskSource`. Raises RunError where a unit has not been detected yet."""
        found: list[Mask] = []
        for unit in self._units[max(bisect_right(self._firsts, start) - 1, 0) :]:
            if unit.first_row >= stop:
                break
            first = max(start - unit.first_row, 0)
            n_rows = min(stop - unit.first_row, unit.n_rows) - first
            if n_rows > 0:
                found += self._columns.masks(self._table(unit).slice(first, n_rows))
        return found

    def recipe(self) -> dict[str, Any]:
        """That of the detect step."""
        return {"masks": self._recipe}

    def inputs(self) -> list[InputFile]:
        """None: the pool and the recipe decide what the masks are."""
        return []

    def _table(self, unit: Unit) -> pa.Table:
        if self._kept is None or self._kept[0] != unit:
            if not (self._step / UNITS.file(unit)).exists():
                raise RunError(
                    f"the masks of rows {unit.first_row:,} to {unit.first_row + unit.n_rows - 1:,} "
                    f"are not in {self._step} yet; give every --part the same --rows-per-unit, or "
                    "let all parts detect before one scores"
                )
            self._kept = unit, next(UNITS.read(self._step, [unit]))
        return self._kept[1]

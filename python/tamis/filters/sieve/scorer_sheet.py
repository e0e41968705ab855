"""What the scorer saw in some rows, on a contact sheet."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from tamis.data.ids_digest import ids_digest
from tamis.data.score_file import ScoreFiles
from tamis.errors import RunError
from tamis.report.choice import Order, choose_rows, named_rows, read_row
from tamis.report.sheet import Sheet, picture_cell
from tamis.run.directory import RunDirectory
from tamis.score.job import SCORES, step_folder
from tamis.score.table import REASON

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tamis.data.samples import SamplePool

COLUMNS = ("image", "alt-text", "closest caption", "scores")


class SieveRows:
    """The rows of a score step that has ended, with the samples they are about.

    Args:
        run: the run directory.
        samples: its pool.
        name: of the scores.

    Attributes:
        recipe: of the step; `captioner` and `encoder` say what made the numbers.

    Raises:
        RunError: the step has not ended, is no SIEVE, or is about other rows than the pool's.
    """

    def __init__(self, run: Path | str, samples: SamplePool, name: str = "sieve") -> None:
        folder = step_folder(run, name)
        self.recipe = RunDirectory.read(folder).recipe
        if self.recipe.get("method") != "sieve":
            raise RunError(f"{folder} holds no scores of SIEVE")
        self._samples = samples
        self._table = ScoreFiles.open(folder / SCORES, strict=False)
        self._name = name
        if self._table.digest != ids_digest(samples.ids()):
            raise RunError(
                f"{folder} is about other rows than {samples.path}, or names them by other ids"
            )

    def choose(self, n_rows: int, *, order: Order = "random", seed: int = 0) -> npt.NDArray[Any]:
        """Return int64 row numbers; see :func:`tamis.report.choice.choose_rows`."""
        scores = self._table.column(self._name).read_arrow(0, self._table.n_rows)
        return choose_rows(np.asarray(scores, np.float32), n_rows, order=order, seed=seed)

    def named(self, ids: Sequence[str]) -> npt.NDArray[Any]:
        """Return the row numbers of ids given as text. Raises PoolError for an unknown one."""
        return named_rows(self._samples.ids(), ids)

    def sheet(self, rows: Sequence[int] | npt.NDArray[Any], **options: Any) -> Sheet:
        """Draw rows: image, alt-text, the caption that wins, scores.

        Args:
            rows: row numbers, in the order in which they are drawn.
            options: of :class:`tamis.report.sheet.Sheet`.
        """
        sheet = Sheet(COLUMNS, **options)
        for row in map(int, rows):
            sample = read_row(self._samples, row)
            said = {name: self._value(name, row) for name in self._columns}
            sheet.add(
                [
                    picture_cell(sample),
                    sample.text if sample.text is not None else f"({sample.faults.get('text')})",
                    said[f"{self._name}_caption"] or "(none)",
                    self._scores(row, said),
                ]
            )
        return sheet

    @property
    def _columns(self) -> list[str]:
        return [name for name in self._table.columns if name != self._table.id_column]

    def _value(self, name: str, row: int) -> Any:
        return self._table.column(name).read_arrow(row, row + 1)[0].as_py()

    def _scores(self, row: int, said: dict[str, Any]) -> list[str]:
        told = [str(self._samples.ids()[row])]
        for name, value in said.items():
            if isinstance(value, float):
                told.append(f"{name.removeprefix(self._name + '_')} {value:.3f}")
        if said[REASON] is not None:
            told.append(said[REASON])
        return told

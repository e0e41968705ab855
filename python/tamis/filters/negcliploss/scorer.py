"""s-CLIPLoss of a pool on disk, batch by batch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tamis.errors import RunError
from tamis.filters.clip import cosines
from tamis.filters.negcliploss.batches import Batches
from tamis.filters.negcliploss.loss import batch_penalty, check_settings
from tamis.run.parts import part_of
from tamis.score.pairs import PairedPool
from tamis.score.scorer import Scorer, Scores

if TYPE_CHECKING:
    from tamis.data.ids import Ids
    from tamis.data.pool import Pool
    from tamis.data.unit import Unit
    from tamis.run.directory import RunDirectory
    from tamis.run.inputs import InputFile
    from tamis.run.parts import Part
    from tamis.run.progress import Progress

_READ = "read"
_BATCH = "batch"


class NegClipLoss(Scorer):
    """The score of :func:`tamis.filters.negcliploss.neg_clip_loss` for a pool of any size.

    First every row is read once, to know which are usable; then each batch is a unit of its own
    (its rows gathered from the pool), shared among parts; then the means over the repetitions are
    taken. A part cannot do the last step, which needs the batches of all parts.

    Memory: about 60 bytes a row; one batch of both sides, 4 bytes x batch_size x dim; its sums.
    Disk: 8 bytes x repetitions a row, in the step's folder.

    Args:
        images, texts: embeddings of the same rows, (n, dim).
        temperature, batch_size, repetitions, seed: as for `neg_clip_loss`.
        name: of the score and of its column.

    Raises:
        PoolError: the two sides do not belong together.
        ValueError: a setting out of range.

    Example:
        >>> from tamis.data.pool import open_pool
        >>> from tamis.score.job import run_scorer
        >>> np.save("rows.npy", np.eye(5, 8))
        >>> rows = open_pool("rows.npy")
        >>> scorer = NegClipLoss(rows, rows, temperature=0.5, batch_size=2, repetitions=3)
        >>> round(run_scorer(scorer, "run")["mean"], 4)  # 1 - 0.5 ln(e^2 + 1)
        -0.0635
    """

    def __init__(
        self,
        images: Pool,
        texts: Pool,
        *,
        temperature: float = 0.01,
        batch_size: int = 32768,
        repetitions: int = 10,
        seed: int = 0,
        name: str = "negcliploss",
    ) -> None:
        check_settings(temperature, batch_size, repetitions)
        self.pairs = PairedPool(images, texts)
        self.temperature = temperature
        self.batch_size = batch_size
        self.repetitions = repetitions
        self.seed = seed
        self._name = name
        self._penalty: npt.NDArray[np.float64] | None = None

    @property
    def name(self) -> str:
        return self._name

    @property
    def schema(self) -> pa.Schema:
        return pa.schema([(self._name, pa.float32())])

    def recipe(self) -> dict[str, Any]:
        return {
            "method": "negcliploss",
            **self.pairs.embeddings(),
            "temperature": self.temperature,
            "batch_size": self.batch_size,
            "repetitions": self.repetitions,
            "seed": self.seed,
        }

    def inputs(self) -> list[InputFile]:
        return self.pairs.inputs()

    def ids(self) -> Ids:
        return self.pairs.ids()

    def units(self, rows_per_unit: int) -> Sequence[Unit]:
        return self.pairs.units(rows_per_unit)

    def prepare(self, run: RunDirectory, part: Part | None, progress: Progress) -> bool:
        usable = self._usable(run, part, progress)
        batches = Batches(np.flatnonzero(usable), len(usable), self.batch_size, self.seed)
        self._do_batches(run, batches, part, progress)
        if part is not None:
            return False
        self._penalty = np.full(len(usable), np.nan)
        self._penalty[batches.rows] = self._mean(run, batches)
        return True

    def score(self, unit: Unit) -> Scores:
        if self._penalty is None:
            raise RunError("expected prepare() before score()")
        pairs = self.pairs.read(unit)
        penalty = self._penalty[unit.first_row : unit.first_row + unit.n_rows]
        score = (cosines(pairs) - penalty).astype(np.float32)
        return Scores({self._name: score}, pairs.reasons)

    def _usable(
        self, run: RunDirectory, part: Part | None, progress: Progress
    ) -> npt.NDArray[np.bool_]:
        """Which rows have two good sides. A part reads all, and commits its share."""
        units = self.units(run.plan["rows_per_unit"])
        mine = {unit.name for unit in part_of(units, part)}
        found = []
        with progress.stage("reading", self.pairs.n_rows, "rows") as advance:
            for unit in units:
                name = f"usable/{unit.name}.npy"
                if run.done(_READ, unit.name):
                    usable = np.load(run.path / name, allow_pickle=False)
                else:
                    usable = np.zeros(unit.n_rows, np.bool_)
                    usable[self.pairs.read(unit).usable] = True
                    if unit.name in mine:
                        run.commit(_READ, unit.name, {name: usable})
                found.append(usable)
                advance(unit.n_rows)
        return np.concatenate(found)

    def _do_batches(
        self, run: RunDirectory, batches: Batches, part: Part | None, progress: Progress
    ) -> None:
        work = [(r, b) for r in range(self.repetitions) for b in range(batches.count)]
        mine = part_of(work, part)
        n_rows = sum(batches.n_own(batch) for _, batch in mine)
        with progress.stage("batches", n_rows, "rows") as advance:
            for repetition, batch in mine:
                unit = _unit(repetition, batch)
                if not run.done(_BATCH, unit):
                    rows = batches.rows_of(repetition, batch)
                    penalty = batch_penalty(
                        self.pairs.images.take(rows), self.pairs.texts.take(rows), self.temperature
                    )
                    own = penalty[batches.n_filling(batch) :]
                    run.commit(_BATCH, unit, {_file(unit): own})
                advance(batches.n_own(batch))

    def _mean(self, run: RunDirectory, batches: Batches) -> npt.NDArray[np.float64]:
        """The mean penalty of every usable row, summed in the order of the repetitions."""
        total = np.zeros(len(batches.rows))
        for repetition in range(self.repetitions):
            for batch in range(batches.count):
                penalty = np.load(run.path / _file(_unit(repetition, batch)), allow_pickle=False)
                total[batches.own_places(repetition, batch)] += penalty
        return total / self.repetitions


def _unit(repetition: int, batch: int) -> str:
    return f"{repetition:03d}-{batch:06d}"


def _file(unit: str) -> str:
    repetition, _, batch = unit.partition("-")
    return f"batches/{repetition}/{batch}.npy"

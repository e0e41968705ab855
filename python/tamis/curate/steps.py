"""The steps of a curation: each says what it would do, and does what is missing of it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from tamis.curate.recipe import DedupStep, EmbedStep, SelectStep
from tamis.curate.scorers import Options, Place
from tamis.errors import PoolError
from tamis.run.pool_link import remember_pool
from tamis.run.status import RunStatus, require_recipe

if TYPE_CHECKING:
    from tamis.data.samples import SamplePool
    from tamis.run.progress import Progress


@dataclass(frozen=True)
class Outlook:
    """What a step would do.

    Attributes:
        step: its name, such as "embed b32".
        what: in a few words.
        rows: of the pool; None where that is not known before another step has ended.
        units: the grains of work; None as for rows.
        done: units that are done.
        complete: whether nothing is left to do.
        memory_bytes: the budget, or the most that is held; None where the encoder decides.
    """

    step: str
    what: str
    rows: int | None
    units: int | None
    done: int
    complete: bool
    memory_bytes: int | None


class Step(Protocol):
    """One step of a curation."""

    @property
    def name(self) -> str:
        """Its name, such as "embed b32"."""

    def outlook(self) -> Outlook:
        """What it would do; reads headers, writes nothing. Raises what `run` would at once."""

    def run(self, progress: Progress) -> dict[str, Any]:
        """Do what is missing; returns the step's summary."""


class PoolInfo:
    """The pool as far as the steps before any work need to know it."""

    def __init__(self, place: Place, image: str | None, text: str | None) -> None:
        self.place = place
        self.columns = {"ids": place.ids, "image": image, "text": text}

    @cached_property
    def samples(self) -> SamplePool:
        """The pool's samples. Raises PoolError where it has none."""
        from tamis.data.samples import open_samples

        columns = self.columns
        return open_samples(
            self.place.pool, image=columns["image"], text=columns["text"], ids=columns["ids"]
        )

    def rows(self) -> int | None:
        """Rows; None where only an embedding's name would tell."""
        try:
            return self.samples.n_rows
        except PoolError:
            return None

    def units(self, rows_per_unit: int) -> int | None:
        """Units of at most so many rows."""
        return None if self.rows() is None else len(self.samples.units(rows_per_unit))


@dataclass(frozen=True)
class Embed:
    """`[embed.NAME]`."""

    title: str
    step: EmbedStep
    pool: PoolInfo
    device: str
    workers: int

    @property
    def name(self) -> str:
        """Its name."""
        return f"embed {self.title}"

    def outlook(self) -> Outlook:
        """What it would do."""
        from tamis.embed.job import chosen_sides, step_folder
        from tamis.embed.models import sides_of

        samples = self.pool.samples
        sides = chosen_sides(samples.sides, sides_of(self.step.model), self.step.sides)
        status = RunStatus.of(step_folder(self.pool.place.run, self.title))
        return Outlook(
            self.name,
            f"{' and '.join(sorted(sides))} by {self.step.model}",
            samples.n_rows,
            len(samples.units(self.step.rows_per_unit)),
            status.units.get("embed", 0),
            status.complete,
            None,
        )

    def run(self, progress: Progress) -> dict[str, Any]:
        """Do what is missing."""
        from tamis.embed.job import run_embed
        from tamis.embed.models import open_encoder

        step = self.step
        weights = None if step.weights is None else self.pool.place.file(step.weights)
        encoder = open_encoder(
            step.model,
            weights=weights,
            device=self.device,
            precision=step.precision,
            long=step.long,
        )
        return run_embed(
            self.pool.samples,
            self.pool.place.run,
            encoder,
            name=self.title,
            sides=step.sides,
            columns=self.pool.columns,
            batch_size=step.batch_size,
            rows_per_unit=step.rows_per_unit,
            workers=self.workers,
            flip=step.flip,
            progress=progress,
            max_bad_fraction=step.max_bad_fraction,
        )


@dataclass(frozen=True)
class Score:
    """`[score.NAME]`."""

    title: str
    scorer: str
    options: Options
    pool: PoolInfo

    @property
    def name(self) -> str:
        """Its name."""
        return f"score {self.title}"

    def outlook(self) -> Outlook:
        """What it would do; a missing asset or another recipe than the step's is told now."""
        from tamis.embed.job import step_folder as embed_folder
        from tamis.score.job import ROWS_PER_UNIT, recipe_of, step_folder

        place = self.pool.place
        folder = step_folder(place.run, self.title)
        status = RunStatus.of(folder)
        if all(RunStatus.of(embed_folder(place.run, made)).complete for made in self.options.needs):
            scorer = self.options.make(self.title, place)
            if status.started:
                require_recipe(folder, recipe_of(scorer))
        given = self.options.model_dump(exclude_unset=True, mode="json")
        named = ", ".join(f"{key}={value}" for key, value in given.items())
        return Outlook(
            self.name,
            f"{self.scorer}({named})",
            self.pool.rows(),
            self.pool.units(ROWS_PER_UNIT),
            status.units.get("score", 0),
            status.complete,
            None,
        )

    def run(self, progress: Progress) -> dict[str, Any]:
        """Do what is missing."""
        from tamis.score.job import run_scorer

        place = self.pool.place
        scorer = self.options.make(self.title, place)
        return run_scorer(scorer, place.run, pool=place.pool, progress=progress)


@dataclass(frozen=True)
class Dedup:
    """`[dedup]`."""

    step: DedupStep
    pool: PoolInfo
    memory_bytes: int

    name = "dedup"

    def outlook(self) -> Outlook:
        """What it would do."""
        from tamis.filters.semdedup.job import outline

        place = self.pool.place
        status = RunStatus.of(place.run)
        if self.step.embeddings is not None and not Path(self._rows).is_dir():
            rows, what, units = self.pool.rows(), f"of {self.step.embeddings}", None
        else:
            plan = outline(self._rows, self._recipe, memory_bytes=self.memory_bytes)
            rows = plan.pool.n_rows
            what = f"{plan.pool.dim} numbers a row, {plan.clusters.n_clusters:,} clusters"
            units = len(plan.pool.units(plan.memory.rows_per_unit))
        done = status.units.get("embed", 0)
        return Outlook(
            self.name,
            f"SemDeDup, {what}",
            rows,
            units,
            done if units is None else min(done, units),
            status.complete,
            self.memory_bytes,
        )

    def run(self, progress: Progress) -> dict[str, Any]:
        """Do what is missing."""
        from tamis.filters.semdedup.job import run_job

        return run_job(
            self._rows,
            self.pool.place.run,
            self._recipe,
            memory_bytes=self.memory_bytes,
            progress=progress,
        )

    @property
    def _rows(self) -> str:
        """The pool, or the embed step."""
        place = self.pool.place
        made = self.step.embeddings
        return place.pool if made is None else str(place.run / "embeddings" / made)

    @property
    def _recipe(self) -> Any:
        recipe = self.step.recipe()
        if recipe.ids is None and self.step.embeddings is None:
            recipe = recipe.model_copy(update={"ids": self.pool.place.ids})
        return recipe


@dataclass(frozen=True)
class Select:
    """`[select]`."""

    step: SelectStep
    pool: PoolInfo
    has_tables: bool
    file_stem: str

    name = "select"

    def outlook(self) -> Outlook:
        """What it would do."""
        self.step.check()
        return Outlook(self.name, self.step.expression, self.pool.rows(), None, 0, False, 1 << 30)

    def run(self, progress: Progress) -> dict[str, Any]:
        """Select anew: that takes seconds."""
        from tamis.data.score_file import ScoreFiles
        from tamis.data.score_table import ScoreTables
        from tamis.data.subset import subset_name
        from tamis.select import select

        place = self.pool.place
        remember_pool(place.run, place.pool)
        metadata = place.metadata(required=not self.has_tables)
        further = [] if metadata is None else [metadata]
        further += [ScoreFiles.open(place.file(path)) for path in self.step.scores]
        rows = further.pop(0) if further and not self.has_tables else place.run
        tables = ScoreTables.open(rows, further)
        usual = Path(subset_name(tables.ids.read(0, 1).kind)).suffix
        name = self.step.subset or f"{self.file_stem}{usual}"
        with progress.stage("selecting", tables.n_rows, "rows") as advance:
            selected = select(
                tables, self.step.expression, out=place.run / name, folder=place.folder
            )
            advance(tables.n_rows)
        return {**selected.report, "subset_file": str(selected.out)}

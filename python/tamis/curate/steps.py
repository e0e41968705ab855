"""The steps of a curation: each says what it would do, and does what is missing of it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from tamis.curate.options import Options
from tamis.curate.place import Place
from tamis.curate.recipe import DedupStep, EmbedStep, SelectStep
from tamis.run.pool_link import remember_pool
from tamis.run.progress import Progress, Quiet
from tamis.run.status import RunStatus, require_recipe


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


@dataclass(frozen=True)
class Embed:
    """`[embed.NAME]`."""

    title: str
    step: EmbedStep
    place: Place

    @property
    def name(self) -> str:
        """Its name."""
        return f"embed {self.title}"

    def outlook(self) -> Outlook:
        """What it would do."""
        from tamis.embed.job import chosen_sides, step_folder
        from tamis.embed.models import sides_of

        samples = self.place.samples
        sides = chosen_sides(samples.sides, sides_of(self.step.model), self.step.sides)
        status = RunStatus.of(step_folder(self.place.run, self.title))
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
        weights = None if step.weights is None else self.place.file(step.weights)
        encoder = open_encoder(
            step.model,
            weights=weights,
            device=self.place.device,
            precision=step.precision,
            long=step.long,
        )
        return run_embed(
            self.place.samples,
            self.place.run,
            encoder,
            name=self.title,
            sides=step.sides,
            columns=self.place.columns,
            batch_size=step.batch_size,
            rows_per_unit=step.rows_per_unit,
            workers=self.place.workers,
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
    place: Place

    @property
    def name(self) -> str:
        """Its name."""
        return f"score {self.title}"

    def outlook(self) -> Outlook:
        """What it would do; a missing asset or another recipe than the step's is told now."""
        from tamis.embed.job import step_folder as embed_folder
        from tamis.score.job import ROWS_PER_UNIT, recipe_of, step_folder

        place = self.place
        folder = step_folder(place.run, self.title)
        status = RunStatus.of(folder)
        needed = [embed_folder(place.run, made) for made in self.options.needs]
        if self.options.is_light and all(RunStatus.of(step).complete for step in needed):
            scorer = self.options.make(self.title, place, Quiet())
            if status.started:
                require_recipe(folder, recipe_of(scorer))
        given = self.options.model_dump(exclude_unset=True, mode="json")
        named = ", ".join(f"{key}={value}" for key, value in given.items())
        return Outlook(
            self.name,
            f"{self.scorer}({named})",
            self.place.rows(),
            self.place.units(ROWS_PER_UNIT),
            status.units.get("score", 0),
            status.complete,
            None,
        )

    def run(self, progress: Progress) -> dict[str, Any]:
        """Do what is missing."""
        from tamis.score.job import run_scorer

        place = self.place
        scorer = self.options.make(self.title, place, progress)
        return run_scorer(scorer, place.run, pool=place.pool, progress=progress)


@dataclass(frozen=True)
class Dedup:
    """`[dedup]`."""

    step: DedupStep
    place: Place
    memory_bytes: int

    name = "dedup"

    def outlook(self) -> Outlook:
        """What it would do."""
        from tamis.filters.semdedup.job import outline

        place = self.place
        status = RunStatus.of(place.run)
        if self.step.embeddings is not None and not Path(self._rows).is_dir():
            rows, what, units = self.place.rows(), f"of {self.step.embeddings}", None
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
            self.place.run,
            self._recipe,
            memory_bytes=self.memory_bytes,
            progress=progress,
        )

    @property
    def _rows(self) -> str:
        """The pool, or the embed step."""
        place = self.place
        made = self.step.embeddings
        return place.pool if made is None else str(place.run / "embeddings" / made)

    @property
    def _recipe(self) -> Any:
        recipe = self.step.recipe()
        if recipe.ids is None and self.step.embeddings is None:
            recipe = recipe.model_copy(update={"ids": self.place.ids})
        return recipe


@dataclass(frozen=True)
class Select:
    """`[select]`."""

    step: SelectStep
    place: Place
    has_tables: bool
    file_stem: str

    name = "select"

    def outlook(self) -> Outlook:
        """What it would do."""
        self.step.check()
        return Outlook(self.name, self.step.expression, self.place.rows(), None, 0, False, 1 << 30)

    def run(self, progress: Progress) -> dict[str, Any]:
        """Select anew: that takes seconds."""
        from tamis.data.score_file import ScoreFiles
        from tamis.data.score_table import ScoreTables
        from tamis.data.subset import subset_name
        from tamis.select import select

        place = self.place
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

"""A curation: the steps of a recipe in order, each doing what is missing of it."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from tamis.curate.optional import IfInstalled
from tamis.curate.options import Options
from tamis.curate.place import Place
from tamis.curate.recipe import CurateRecipe, ScoreStep
from tamis.curate.scorers import SCORERS
from tamis.curate.steps import Dedup, Embed, Outlook, Score, Select, Step
from tamis.errors import RunError
from tamis.run.progress import Progress, Quiet

DEFAULT_MEMORY = 3_000_000_000
MOST_WORKERS = 16


def plan_steps(
    recipe: CurateRecipe,
    run: Path | str,
    *,
    pool: str | None = None,
    folder: Path | str = ".",
    memory_bytes: int = DEFAULT_MEMORY,
    device: str = "auto",
    workers: int | None = None,
) -> list[Step]:
    """Return the steps of a recipe, in the order in which they run.

    Args:
        recipe: from :meth:`CurateRecipe.read`.
        run: the run directory.
        pool: path or URL; the recipe's own by default.
        folder: what paths in the recipe are relative to.
        memory_bytes: the budget of the deduplication.
        device: of the encoders, "auto", "cpu" or "cuda".
        workers: processes that decode images; by default none on a CPU.

    Raises:
        RunError: no pool, an unknown scorer or option, embeddings that no step makes, or two steps
            that would write the same subset.
    """
    named = pool or recipe.pool
    if named is None:
        raise RunError("the recipe names no pool: add --pool")
    if workers is None:
        workers = 0 if device == "cpu" or not _has_gpu() else _processors()
    place = Place(
        named,
        Path(run),
        Path(folder),
        ids=recipe.ids,
        image=recipe.image,
        text=recipe.text,
        device=device,
        workers=workers,
    )
    steps: list[Step] = [Embed(title, step, place) for title, step in recipe.embed.items()]
    steps += _scores(recipe, place)
    if recipe.dedup is not None:
        made = recipe.dedup.embeddings
        _require_made("dedup", set() if made is None else {made}, recipe)
        steps.append(Dedup(recipe.dedup, place, memory_bytes))
    if recipe.select is not None:
        has_tables = bool(recipe.score) or recipe.dedup is not None
        recipe.select.check()
        # The deduplication writes a subset of its own where it is given a threshold.
        shared = recipe.dedup is not None and recipe.dedup.decides
        if shared and (recipe.select.subset or "").partition(".")[0] == "subset":
            raise RunError(
                f"[select]: {recipe.select.subset} is the deduplication's own; choose another name"
            )
        stem = "selection" if shared else "subset"
        steps.append(Select(recipe.select, place, has_tables, stem))
    if not steps:
        raise RunError("the recipe has no step: expected [embed.NAME], [score.NAME], [dedup] ...")
    return steps


def curate(
    steps: list[Step],
    *,
    progress: Progress | None = None,
    ended: Callable[[Step, dict[str, Any]], None] | None = None,
) -> dict[str, dict[str, Any]]:
    """Run steps in order; what an earlier call has done is not done again.

    Args:
        steps: from :func:`plan_steps`.
        progress: shows the stages.
        ended: told of every step that has ended, with its summary.

    Returns:
        The summary of every step, by its name.

    Raises:
        TamisError, ValueError: one sentence each; what was done before is kept.
    """
    progress = progress or Quiet()
    summaries = {}
    for step in steps:
        summaries[step.name] = step.run(progress)
        if ended is not None:
            ended(step, summaries[step.name])
    return summaries


def outlooks(steps: list[Step]) -> list[Outlook]:
    """What every step would do; nothing is written."""
    return [step.outlook() for step in steps]


def _scores(recipe: CurateRecipe, place: Place) -> list[Step]:
    """The `[score.NAME]` steps, those that read the tables of others last."""
    early: list[Step] = []
    late: list[Step] = []
    for title, step in recipe.score.items():
        scorer, options = _options(title, step)
        _require_made(f"score.{title}", options.needs, recipe)
        score = Score(title, scorer, options, place)
        group = late if options.reads_tables else early
        group.append(IfInstalled(score) if step.optional else score)
    return early + late


def _options(title: str, step: ScoreStep) -> tuple[str, Options]:
    scorer = step.scorer or title
    if scorer not in SCORERS:
        raise RunError(
            f"[score.{title}]: expected a scorer of {', '.join(SCORERS)}, got {scorer!r}; "
            f'name it: scorer = "clip"'
        )
    try:
        return scorer, SCORERS[scorer](**step.options)
    except ValidationError as error:
        problems = [
            f"{'.'.join(map(str, problem['loc']))}: {problem['msg']}" for problem in error.errors()
        ]
        raise RunError(f"[score.{title}]: {'; '.join(problems)}") from None


def _require_made(where: str, needed: set[str], recipe: CurateRecipe) -> None:
    missing = sorted(needed - recipe.embed.keys())
    if missing:
        raise RunError(
            f"[{where}]: no step makes the embeddings {missing[0]!r}: add [embed.{missing[0]}]"
        )


def _has_gpu() -> bool:
    return Path("/proc/driver/nvidia").exists()


def _processors() -> int:
    return min(MOST_WORKERS, len(os.sched_getaffinity(0)))

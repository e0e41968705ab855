"""From a run to its HYPE scorer: the sides, the reference and the given terms opened."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from tamis.errors import PoolError, RunError
from tamis.filters.hype.reference import FILE
from tamis.filters.hype.reference_build import reference_of_run
from tamis.filters.hype.reference_file import open_reference
from tamis.filters.hype.scorer import Hype
from tamis.filters.hype.terms import check_weights, terms_of
from tamis.filters.hype.terms_given import find_column, tables_beside
from tamis.kernels.lorentz_rows import check_mode, check_radius

if TYPE_CHECKING:
    from tamis.data.remote import Place
    from tamis.data.score_file import ScoreFiles
    from tamis.filters.hype.points import Points
    from tamis.filters.hype.sides import Only, Sides
    from tamis.filters.hype.terms_given import GivenColumn
    from tamis.lorentz import Mode


def open_hype(
    run: Path,
    sides: Callable[..., Sides],
    *,
    pool: str | None = None,
    only: Only | None = None,
    reference: Path | None = None,
    reference_rows: int | None = None,
    reference_seed: int | None = None,
    clip: str | None = None,
    imagenet: str | None = None,
    metadata: Callable[[], ScoreFiles | None] = lambda: None,
    scores: Sequence[Place | str] = (),
    weights: Mapping[str, float] | None = None,
    mode: Mode = "stable",
    min_radius: float = 0.1,
    clamp: bool = False,
    name: str = "hype",
) -> Hype:
    """Open the scorer of a run; build the run's reference where it has none.

    Args:
        run: the run directory.
        sides: :func:`tamis.filters.hype.sides.open_sides`, all but `only` given.
        pool: its path or URL, which the run remembers; None where the run knows it.
        only: score this side alone. The other is opened only to build a reference.
        reference: a file of `tamis reference`; None for RUN/reference.safetensors.
        reference_rows, reference_seed: of the run's reference. None: those of the one that is
            there, or where it is built 10,000 rows and seed 0.
        clip, imagenet: COLUMN or TABLE.COLUMN of the terms that other methods made.
        metadata: opens the pool's parquet files, in which these are looked for too.
        scores: more parquet files or folders in which they are looked for.
        weights, mode, min_radius, clamp, name: of :class:`tamis.filters.hype.scorer.Hype`.

    Raises:
        ValueError: a setting out of range, or the rows of a reference that is given.
        ChangedError: the run's reference was made of other points or rows, or with another seed.
        PoolError, RunError: one sentence.
    """
    if reference is not None and (reference_rows is not None or reference_seed is not None):
        raise ValueError(
            "expected a reference file, or the rows and the seed of one to build, not both"
        )
    asked = {"clip": clip, "imagenet": imagenet}
    names = {term: column for term, column in asked.items() if column is not None}
    if scores and not names:
        raise ValueError("expected a clip or imagenet column where more scores are given")
    check_mode(mode)
    check_radius(min_radius)
    check_weights(weights, terms_of([only] if only else ["image", "text"], names))

    made = reference is None and not (run / FILE).exists()
    images, texts = _both(sides, only) if made and only else sides(only=only)
    given = _given(names, images or texts, lambda: tables_beside(run, name, metadata(), scores))
    if reference is None:
        against = reference_of_run(run, images, texts, reference_rows, reference_seed, pool=pool)
    else:
        against = open_reference(reference)
    return Hype(
        None if only == "text" else images,
        None if only == "image" else texts,
        against,
        mode=mode,
        min_radius=min_radius,
        clamp=clamp,
        weights=weights,
        given=given,
        name=name,
    )


def _both(sides: Callable[..., Sides], only: Only) -> Sides:
    """Open the side that is scored, and the other, which only a reference to be built needs."""
    sides(only=only)  # what is wrong with it is told as that
    try:
        return sides(only=None)
    except (PoolError, RunError, ValueError) as error:
        raise PoolError(
            f"to build a reference both sides are needed (--reference names one), but {error}"
        ) from error


def _given(
    names: Mapping[str, str], points: Points | None, tables: Callable[[], list[ScoreFiles]]
) -> dict[str, GivenColumn]:
    if not names or points is None:
        return {}
    ids, opened = points.ids(), tables()
    return {term: find_column(column, opened, ids) for term, column in names.items()}

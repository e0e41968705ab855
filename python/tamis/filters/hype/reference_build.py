"""Make a reference of a pool's own rows, and keep one for a run."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from tamis.errors import ChangedError, PoolError
from tamis.filters.hype.reference import FILE, ROWS, Reference
from tamis.filters.hype.reference_file import open_reference, save_reference
from tamis.filters.hype.reference_sample import sample_points
from tamis.filters.hype.space import Space
from tamis.run import atomic
from tamis.run.lock import starting
from tamis.run.pool_link import pool_of, remember_pool
from tamis.run.recipe import recipe_changes

if TYPE_CHECKING:
    from tamis.filters.hype.points import Points

MOST_NUMBERS: Final = 1 << 30
"""Of a reference: 4 GiB as float32, which scoring holds in memory."""


def build_reference(
    images: Points | None,
    texts: Points | None,
    *,
    rows: int = ROWS,
    seed: int = 0,
    pool: str | None = None,
) -> Reference:
    """Make a reference of rows that are usable on every side that is given.

    These are the rows with the smallest keys of purpose REFERENCE (:mod:`tamis.kernels.sample`), in
    the order of their keys, so the first k points are the reference of k rows. The choice does not
    depend on how the pool is cut into files.

    Args:
        images, texts: the points, row-aligned; None leaves a side out.
        rows: how many; all usable ones where there are fewer.
        seed: any integer.
        pool: the pool's path or URL, for the manifest.

    Raises:
        PoolError: the two sides do not belong together, or no row is usable.
        ValueError: no side, fewer than 1 row, or more rows than a reference may have.
    """
    sides = _given(images, texts)
    if rows < 1:
        raise ValueError(f"expected at least 1 reference row, got {rows}")
    space = _space(images, texts)
    numbers = len(sides) * space.dim * min(rows, next(iter(sides.values())).n_rows)
    if numbers > MOST_NUMBERS:
        raise ValueError(
            f"expected a reference of at most {MOST_NUMBERS:,} numbers, got {numbers:,}; ask for "
            "fewer rows"
        )
    found = sample_points(list(sides.values()), rows, seed)
    if not len(found.rows):
        told = "; ".join(f"{why}: {count:,}" for why, count in found.reasons.items())
        raise PoolError(f"expected a usable row for the reference, got none ({told})")
    points = dict(zip(sides, found.points, strict=True))
    return Reference(
        space,
        img=points.get("image"),
        txt=points.get("text"),
        img_rows=found.rows if "image" in sides else None,
        txt_rows=found.rows if "text" in sides else None,
        rows=rows,
        seed=seed,
        source={"pool": pool, "passed_over": found.reasons, **_origin(sides)},
    )


def reference_of_run(
    run: Path | str,
    images: Points | None,
    texts: Points | None,
    rows: int | None = None,
    seed: int | None = None,
    *,
    pool: str | None = None,
) -> Reference:
    """Open RUN/reference.safetensors, or build it where it is missing.

    Processes that do so at once get the same file: one builds, the others wait for it.

    Args:
        run: the run directory; created where it is missing.
        images, texts: the points. A reference that has a side more is as good; where one side is
            given, so is one of the other alone, against which that side is measured.
        rows, seed: as for :func:`build_reference`. None: those of the reference that is there, be
            it imported, or where it is built 10,000 rows and seed 0.
        pool: the pool as the command was given it, which the run remembers; None where it knows it.

    Raises:
        ChangedError: the reference that is there was made of other points or rows or with another
            seed than was asked for; names the differences.
        PoolError, RunError: one sentence.
    """
    folder = Path(run)
    if pool is not None:
        remember_pool(folder, pool)
    atomic.make_folder(folder)
    path = folder / FILE
    if not path.exists():
        with starting(folder):
            if not path.exists():
                place = pool_of(folder)
                count = ROWS if rows is None else rows
                made = build_reference(images, texts, rows=count, seed=seed or 0, pool=place)
                save_reference(made, path)
                return made
    reference = open_reference(path)
    choice = {"rows": rows, "seed": seed}
    asked: dict[str, Any] = {name: value for name, value in choice.items() if value is not None}
    if asked or reference.rows is not None:
        space = _space(images, texts).recipe()
        if None in (space["model"], reference.space.model):  # taken for the same, as everywhere
            space["model"] = reference.space.model
        origin = _origin(_given(images, texts))
        if images is None or texts is None:
            origin = {name: told for name, told in origin.items() if name in reference.source}
        _require_asked(path, reference, {**asked, "space": space, **origin})
    return reference


def _require_asked(path: Path, reference: Reference, asked: Mapping[str, Any]) -> None:
    told = {**reference.source, **reference.manifest()}
    changes = recipe_changes({name: told.get(name) for name in asked}, asked)
    if changes:
        comparable = not any(change.startswith("space.") for change in changes)
        use = "name it with --reference to use it as it is, or " if comparable else ""
        raise ChangedError(
            f"{path} is another reference than was asked for ({'; '.join(changes)}); {use}"
            "remove it to have another one built"
        )


def _given(images: Points | None, texts: Points | None) -> dict[str, Points]:
    given = {"image": images, "text": texts}
    sides = {side: points for side, points in given.items() if points is not None}
    if not sides:
        raise ValueError("expected the points of images, of texts, or of both")
    return sides


def _space(images: Points | None, texts: Points | None) -> Space:
    from tamis.filters.hype.points import PointPairs

    if images is not None and texts is not None:
        return PointPairs(images, texts).space
    (points,) = _given(images, texts).values()
    return points.space


def _origin(sides: Mapping[str, Points]) -> dict[str, Any]:
    """What rows are chosen among: their number, their ids, and the embeddings of each side."""
    from tamis.data.ids_digest import ids_digest

    first = next(iter(sides.values()))
    return {
        "n_rows": first.n_rows,
        "ids": ids_digest(first.ids()),
        **{side: _embeddings(points) for side, points in sides.items()},
    }


def _embeddings(points: Points) -> dict[str, Any]:
    from tamis.filters.hype.frozen import encoder_of

    adapter = points.adapter
    return {
        "step": Path(str(points.pool.path)).name if encoder_of(points.pool) else None,
        "embedding": points.pool.embedding,
        "adapter": None if adapter is None else adapter.model,
    }

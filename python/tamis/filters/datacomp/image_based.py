"""DataComp's image-based rule: images near ImageNet's, by the clusters of the pool.

A row stays iff the caption rule (:mod:`tamis.filters.datacomp.caption`) holds and the centroid of
the largest inner product with its CLIP L/14 image embedding is also that of at least one ImageNet
train image (DataComp, baselines/apply_filter.py). No GPU is needed.

The published code compares float32 products on a GPU, and which of two equal ones wins is left to
it; here the rows are canonical, the products exact, and ties go to the lowest number.

| missing | here | DataComp's code |
|---|---|---|
| caption is null | not scored, with the reason | stops with an exception |
| embedding is zero, NaN or infinite | not scored, with the reason | any centroid |

`image_based_intersect_clip_score` is this rule and a CLIP score above a threshold. Its fraction is
taken over the whole pool, before this rule: as an expression, `image_based & top(SCORE, 0.3)`, with
ties as DataComp breaks them; not "the top 30 % within image_based".
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tamis.data.asset import AssetError, asset
from tamis.filters.datacomp.aligned import require_aligned
from tamis.filters.datacomp.caption import Caption
from tamis.filters.datacomp.centroids import Centroids, read_numbers, target_numbers
from tamis.filters.datacomp.rule import check_columns, nullable, read_metadata
from tamis.score.rows import PoolRows
from tamis.score.scorer import Scorer, Scores

if TYPE_CHECKING:
    from tamis.data.ids import Ids
    from tamis.data.language import Language
    from tamis.data.pool import Pool
    from tamis.data.remote import Place
    from tamis.data.samples import SamplePool
    from tamis.data.unit import Unit
    from tamis.run.directory import RunDirectory
    from tamis.run.inputs import InputFile
    from tamis.run.parts import Part
    from tamis.run.progress import Progress

NAME = "image_based"
TARGETS = "target_centroids.npy"
_STAGE = ("targets", "numbers")


class ImageBased(Scorer):
    """The image-based rule, as a scorer.

    Args:
        samples: the captions.
        embeddings: CLIP L/14 image embeddings of the same rows, in the same order.
        language: what decides on the language.
        centroids: path of the centroids, `.npy` (k, d).
        imagenet: embeddings of the ImageNet train images (or of another target set);
        targets: or path of the numbers of the centroids that they are nearest to.
        text: the metadata column of the captions.
        name: of the score, and in front of its columns.

    Raises:
        AssetError: a file is absent or not what was expected; both or none of imagenet and targets.
        PoolError: rows that do not belong together.

    Columns: image_based; and why: image_based_caption, image_based_target (the centroid is a
    target's), image_based_centroid (its number).

    Example:
        >>> from tamis.data.language import open_language
        >>> from tamis.data.pool import open_pool
        >>> from tamis.data.samples import open_samples
        >>> lines = ['{"text": "a red kite", "lang": "en"}'] * 2
        >>> _ = Path("pool.jsonl").write_text("\\n".join(lines))
        >>> for name in ("rows", "centroids", "imagenet"):
        ...     np.save(f"{name}.npy", np.eye(2, 4)[name == "imagenet" :])
        >>> scorer = ImageBased(
        ...     open_samples("pool.jsonl"),
        ...     open_pool("rows.npy"),
        ...     language=open_language("column:lang"),
        ...     centroids="centroids.npy",
        ...     imagenet=open_pool("imagenet.npy"),
        ... )
        >>> scorer.score(scorer.units(100)[0]).columns["image_based"].to_pylist()
        [False, True]
    """

    def __init__(
        self,
        samples: SamplePool,
        embeddings: Pool,
        *,
        language: Language,
        centroids: Path | str,
        imagenet: Pool | None = None,
        targets: Path | str | None = None,
        text: str = "text",
        name: str = NAME,
    ) -> None:
        if (imagenet is None) == (targets is None):
            raise AssetError(
                "expected either embeddings of ImageNet's train images or the numbers of the "
                f"centroids that they are nearest to, got {'none' if targets is None else 'both'}"
            )
        self._name = name
        self.samples = samples
        self.embeddings = embeddings
        self.caption = Caption(language, text)
        self.centroids = Centroids(centroids)
        self._rows = PoolRows(embeddings, "image")
        self._imagenet = imagenet
        self._targets = None if targets is None else Path(targets)
        self._is_target: np.ndarray | None = None
        check_columns(samples, self.caption)
        if embeddings.dim != self.centroids.shape[1]:
            raise AssetError(
                f"{self.centroids.path}: expected centroids of dim {embeddings.dim}, as the "
                f"embeddings of {embeddings.path} have, got {self.centroids.shape[1]}"
            )

    @property
    def name(self) -> str:
        """The name given."""
        return self._name

    @property
    def schema(self) -> pa.Schema:
        """The columns, all bool but the centroid's number, int32."""
        kinds = [pa.bool_(), pa.bool_(), pa.bool_(), pa.int32()]
        return pa.schema(list(zip(self._columns(), kinds, strict=True)))

    def recipe(self) -> dict[str, Any]:
        """The caption rule's choices and which embeddings; the assets are inputs."""
        source = "embeddings" if self._targets is None else "numbers"
        embedding = self.embeddings.embedding
        return {**self.caption.recipe(), "embedding": embedding, "targets": source}

    def inputs(self) -> list[InputFile]:
        """The samples', the embeddings', and the assets' files."""
        files = self.samples.inputs()
        known = {file.location for file in files}
        files += _inside("embeddings", self.embeddings.inputs(), known)
        files += [*self.caption.inputs(), self.centroids.input]
        if self._targets is not None:
            files.append(asset(self._targets, "targets", expected="the target centroids' numbers"))
        if self._imagenet is not None:
            files += _inside("imagenet", self._imagenet.inputs(), set())
        return files

    def ids(self) -> Ids:
        """The samples' ids."""
        return self.samples.ids()

    def units(self, rows_per_unit: int) -> Sequence[Unit]:
        """The samples' units."""
        return self.samples.units(rows_per_unit)

    def prepare(self, run: RunDirectory, part: Part | None, progress: Progress) -> bool:
        """Find the target centroids; every part may, with the same result."""
        require_aligned(self.samples, self.embeddings)
        if not run.done(*_STAGE):
            run.commit(*_STAGE, {TARGETS: self.target_numbers(progress)})
        self._is_target = self._mask(read_numbers(run.path / TARGETS, self.centroids.shape[0]))
        return True

    def target_numbers(self, progress: Progress | None = None) -> np.ndarray:
        """Return int64, ascending: the centroids of the target set."""
        if self._imagenet is not None:
            return target_numbers(self.centroids, self._imagenet, progress)
        assert self._targets is not None
        return read_numbers(self._targets, self.centroids.shape[0])

    def score(self, unit: Unit) -> Scores:
        """Judge the unit's rows."""
        if self._is_target is None:
            self._is_target = self._mask(self.target_numbers())
        verdict = self.caption.judge(read_metadata(self.samples, self.caption, unit))
        rows, unusable = self._rows.read(unit.first_row, unit.first_row + unit.n_rows)
        usable = np.ones(unit.n_rows, np.bool_)
        usable[list(unusable)] = False
        nearest = np.zeros(unit.n_rows, np.int32)
        nearest[usable] = self.centroids.nearest(rows[usable])
        target = self._is_target[nearest]
        caption = verdict.columns["caption"]
        kept = target & np.asarray(pc.fill_null(caption, False))
        reasons = {**unusable, **verdict.reasons}
        columns = (
            nullable(kept, reasons, pa.bool_()),
            caption,
            nullable(target, unusable, pa.bool_()),
            nullable(nearest, unusable, pa.int32()),
        )
        return Scores(dict(zip(self._columns(), columns, strict=True)), reasons)

    def _columns(self) -> list[str]:
        return [self._name, *(f"{self._name}_{what}" for what in ("caption", "target", "centroid"))]

    def _mask(self, numbers: np.ndarray) -> np.ndarray:
        mask = np.zeros(self.centroids.shape[0], np.bool_)
        mask[numbers] = True
        return mask


def _inside(role: str, files: list[InputFile], known: set[Place]) -> list[InputFile]:
    """The files under a name that tells them from the samples'; without those known already."""
    return [
        replace(file, path=f"{role}/{file.path}") for file in files if file.location not in known
    ]

"""The options of HYPE's scorer."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from tamis.curate.options import Options
from tamis.curate.place import Place

if TYPE_CHECKING:
    from tamis.run.progress import Progress
    from tamis.score.scorer import Scorer

DEMO = "demo"


class HypeOptions(Options):
    """`tamis score hype`; the run's reference is built first, where none is named."""

    image: str | None = None
    text: str | None = None
    embeddings: str | None = None
    text_embeddings: str | None = None
    adapter: str | None = None
    curvature: float | None = Field(default=None, gt=0)
    kind: Literal["tangent", "space", "lorentz", "poincare"] = "tangent"
    model: str | None = None
    reference: Path | None = None
    reference_rows: int | None = Field(default=None, ge=1)
    reference_seed: int | None = None
    only: Literal["image", "text"] | None = None
    clip: str | None = None
    imagenet: str | None = None
    scores: list[str] = Field(default_factory=list)
    weights: dict[str, float] = Field(default_factory=dict)
    mode: Literal["stable", "paper"] = "stable"
    min_radius: float = Field(default=0.1, gt=0)
    clamp: bool = False

    @property
    def needs(self) -> set[str]:
        return {step for step in (self.embeddings, self.text_embeddings) if step is not None}

    @property
    def reads_tables(self) -> bool:
        """Terms of other methods may be in their tables."""
        return self.clip is not None or self.imagenet is not None

    @property
    def is_light(self) -> bool:
        """No reference is built and no table of an earlier step is looked for."""
        return self.reference is not None and not self.reads_tables

    def make(self, name: str, place: Place, progress: Progress) -> Scorer:
        """The scorer."""
        from tamis.filters.hype.scorer_open import open_hype
        from tamis.filters.hype.sides import open_sides

        return open_hype(
            place.run,
            partial(
                open_sides,
                place.run,
                pool=place.pool,
                image=self.image,
                text=self.text,
                embeddings=self.embeddings,
                text_embeddings=self.text_embeddings,
                adapter=self._adapter(place),
                curvature=self.curvature,
                kind=self.kind,
                model=self.model,
                ids=place.ids,
            ),
            pool=place.pool,
            only=self.only,
            reference=None if self.reference is None else place.file(self.reference),
            reference_rows=self.reference_rows,
            reference_seed=self.reference_seed,
            clip=self.clip,
            imagenet=self.imagenet,
            metadata=lambda: place.metadata(required=False),
            scores=[place.named(path) for path in self.scores],
            weights=self.weights,
            mode=self.mode,
            min_radius=self.min_radius,
            clamp=self.clamp,
            name=name,
        )

    def _adapter(self, place: Place) -> Path | str | None:
        if self.adapter in (None, DEMO):
            return self.adapter
        return place.file(Path(self.adapter))

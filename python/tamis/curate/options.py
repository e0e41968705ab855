"""What the options of a scorer in a recipe have in common."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict

from tamis.curate.place import Place

if TYPE_CHECKING:
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
    def reads_tables(self) -> bool:
        """Whether columns of other score steps are looked for: it comes after those that do not."""
        return False

    @property
    def is_light(self) -> bool:
        """Whether the scorer is made from headers alone, so that a plan may make it."""
        return True

    def make(self, name: str, place: Place, progress: Progress) -> Scorer:
        """The scorer, after what must be done before it."""
        raise NotImplementedError

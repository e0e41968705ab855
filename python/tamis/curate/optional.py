"""A step that is left out where a package that it needs is not installed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tamis.curate.steps import Outlook, Step
from tamis.errors import MissingExtraError
from tamis.run.progress import Progress


@dataclass(frozen=True)
class IfInstalled:
    """Another step, of a recipe that says `optional = true`."""

    step: Step

    @property
    def name(self) -> str:
        """The step's name."""
        return self.step.name

    def outlook(self) -> Outlook:
        """What the step would do, or the sentence why it is left out."""
        try:
            return self.step.outlook()
        except MissingExtraError as error:
            return Outlook(self.name, f"left out: {error}", None, None, 0, False, None)

    def run(self, progress: Progress) -> dict[str, Any]:
        """Do the step; where a package is missing, return that sentence as `skipped`."""
        try:
            return self.step.run(progress)
        except MissingExtraError as error:
            return {"skipped": str(error)}

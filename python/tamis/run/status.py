"""How far a run or a step is, seen from outside: no lock is taken and nothing is written."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tamis.data.remote import RemotePath, place_of
from tamis.errors import RunError
from tamis.run.directory import JOURNALS
from tamis.run.journal import read_records
from tamis.run.manifest import load_manifest, require_unchanged
from tamis.run.recipe import plain


@dataclass(frozen=True)
class RunStatus:
    """The state of a run directory.

    Attributes:
        started: whether a manifest is there.
        complete: whether it ended.
        recipe: what it was started with; empty where it was not.
        units: stage -> units that are recorded as done.

    Example:
        >>> RunStatus.of("nothing here")
        RunStatus(started=False, complete=False, recipe={}, units={})
    """

    started: bool
    complete: bool
    recipe: dict[str, Any]
    units: dict[str, int]

    @classmethod
    def of(cls, path: Path | str) -> RunStatus:
        """Read the manifest and the journals of the run at `path`.

        Raises:
            RunError: a manifest that this tamis did not write.
        """
        path = Path(path)
        manifest = load_manifest(path)
        if manifest is None:
            return cls(False, False, {}, {})
        done = {(stage, unit) for stage, units in manifest["units"].items() for unit in units}
        for journal in path.glob(JOURNALS):
            done |= {(record["stage"], record["unit"]) for record in read_records(journal)}
        units: dict[str, int] = {}
        for stage, _ in sorted(done):
            units[stage] = units.get(stage, 0) + 1
        return cls(True, manifest["status"] == "complete", manifest["recipe"], units)


def require_ended(pool: Path | RemotePath | str) -> None:
    """Raise RunError where a pool is an embed step that has not ended: rows of it are missing.

    Example:
        >>> require_ended("nothing here")
    """
    path = place_of(pool)
    try:
        manifest = load_manifest(path) if isinstance(path, Path) else None
    except RunError:
        return  # somebody else's file of that name
    if manifest is not None and manifest["status"] != "complete":
        raise RunError(f"the run {path} has not ended; continue it with its own command first")


def require_recipe(path: Path | str, recipe: Mapping[str, Any]) -> None:
    """Raise ChangedError where the run at `path` was started with another recipe.

    No input is read, so a changed input is not noticed before the run itself is opened.

    Example:
        >>> require_recipe("nothing here", {"eps": 0.1})
    """
    manifest = load_manifest(Path(path))
    if manifest is not None:
        require_unchanged(Path(path), manifest, {**manifest, "recipe": plain(recipe)})

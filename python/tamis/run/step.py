"""The steps of a run: each a run directory of its own, inside."""

from __future__ import annotations

from pathlib import Path


def folder_of_step(run: Path | str, kind: str, name: str) -> Path:
    """Return RUN/KIND/NAME.

    Args:
        run: the run directory.
        kind: "embeddings", "masks", "captions" or "scores".
        name: of the step.

    Raises:
        ValueError: a name that leads elsewhere.

    Example:
        >>> folder_of_step("run", "masks", "text").as_posix()
        'run/masks/text'
        >>> folder_of_step("run", "masks", "../text")
        Traceback (most recent call last):
        ValueError: expected a plain name for the masks, got '../text'
    """
    if name.startswith(".") or not name or set(name) & set("/\\\0"):
        raise ValueError(f"expected a plain name for the {kind}, got {name!r}")
    return Path(run) / kind / name

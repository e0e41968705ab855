"""The recipes that come with tamis, found by name."""

from __future__ import annotations

from pathlib import Path

from tamis.errors import RunError

FOLDER = Path(__file__).resolve().parents[1] / "recipes"


def shipped() -> dict[str, Path]:
    """Return name -> file of the recipes in the installed package."""
    return {path.stem: path for path in sorted(FOLDER.glob("*.toml"))}


def find_recipe(recipe: Path | str) -> tuple[Path, Path]:
    """Return (file, folder): the recipe, and what its relative paths are relative to.

    Args:
        recipe: a file, whose folder counts, or the name of a shipped recipe, for which the current
            folder does.

    Raises:
        RunError: neither; lists the names.
    """
    path = Path(recipe)
    if path.exists():
        return path, path.parent
    known = shipped()
    if str(recipe) in known:
        return known[str(recipe)], Path()
    names = f"; the recipes that come with tamis are {', '.join(known)}" if known else ""
    raise RunError(f"there is no recipe {recipe}{names}")

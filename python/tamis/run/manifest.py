"""`manifest.json`: what a run was started with, and, once it is complete, every file it wrote."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import tamis
from tamis.errors import ChangedError, RunError
from tamis.run.atomic import TEMPORARY_SUFFIX
from tamis.run.inputs import InputFile, input_changes, input_records
from tamis.run.lock import LOCK_NAME
from tamis.run.recipe import config_hash, plain, recipe_changes

MANIFEST = "manifest.json"
LOG = "log.jsonl"
POOL_LINK = "pool.json"
_FORMAT = 1
_SHOWN_CHANGES = 10


def new_manifest(
    recipe: Mapping[str, Any], inputs: Iterable[InputFile], plan: Mapping[str, Any] | None
) -> dict[str, Any]:
    """Return the manifest of a run that starts now; `inputs` are read for their fingerprints."""
    return {
        "format": _FORMAT,
        "tamis": getattr(tamis, "__version__", "unknown"),
        "config_hash": config_hash(recipe),
        "recipe": plain(recipe),
        "plan": plain(plan or {}),
        "inputs": input_records(inputs),
        "status": "running",
        "units": {},
    }


def load_manifest(path: Path) -> dict[str, Any] | None:
    """Return the manifest of the run at `path`, None where there is none. Raises RunError."""
    try:
        content = (path / MANIFEST).read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise RunError(f"cannot read {path / MANIFEST}: {error.strerror or error}") from error
    try:
        manifest: dict[str, Any] = json.loads(content)
        known = manifest["format"] == _FORMAT and manifest.keys() >= {"recipe", "plan", "units"}
    except (ValueError, TypeError, KeyError, RecursionError):
        known = False
    if not known:
        raise RunError(f"{path / MANIFEST} was not written by this tamis; choose another --out")
    return manifest


def require_run_or_empty(path: Path) -> None:
    """Raise RunError when the folder holds something else than a run; never writes.

    The steps of a run, and the note of its pool, may be there before the run itself begins.
    """
    names = os.listdir(path)
    foreign = sorted(
        name
        for name in names
        if not name.startswith(LOCK_NAME) and name != LOG and TEMPORARY_SUFFIX not in name
    )
    if foreign and not {MANIFEST, POOL_LINK} & set(names):
        raise RunError(
            f"{path} is neither empty nor a tamis run (it holds {foreign[0]!r} and no {MANIFEST}); "
            "choose another --out"
        )


def require_unchanged(path: Path, old: Mapping[str, Any], new: Mapping[str, Any]) -> None:
    """Raise ChangedError, with the differences, unless the manifests start the same run."""
    version = [f"tamis: {old['tamis']} -> {new['tamis']}"] if old["tamis"] != new["tamis"] else []
    told = []
    for what, changes in (
        ("version", version),
        ("recipe", recipe_changes(old["recipe"], new["recipe"])),
        ("input", input_changes(old["inputs"], new["inputs"])),
    ):
        if changes:
            shown = "; ".join(changes[:_SHOWN_CHANGES])
            more = f"; and {len(changes) - _SHOWN_CHANGES} more" * (len(changes) > _SHOWN_CHANGES)
            told.append(f"another {what} ({shown}{more})")
    if told:
        raise ChangedError(
            f"{path} was started with {' and '.join(told)}; restore it to continue, or choose "
            "another --out"
        )

"""The files of a folder, in the one order that decides the order of a pool's rows.

Runs of digits compare as numbers: `img_emb_2.npy` comes before `img_emb_10.npy`, padded or not.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar, cast

from tamis.data.remote import Place
from tamis.errors import PoolError

AnyPlace = TypeVar("AnyPlace", bound=Place)

_DIGITS = re.compile(r"([0-9]+)")


def natural_key(name: str) -> tuple[tuple[tuple[int, int, str], ...], str]:
    """Return a sort key by which runs of digits compare as numbers; equal ones by their text.

    Example:
        >>> sorted(["a10", "a9", "a09"], key=natural_key)
        ['a09', 'a9', 'a10']
    """
    parts = (
        (0, int(part), "") if index % 2 else (1, 0, part)
        for index, part in enumerate(_DIGITS.split(name))
    )
    return tuple(part for part in parts if part != (1, 0, "")), name


def files_ending(folder: AnyPlace, ending: str) -> list[AnyPlace]:
    """Return the files of `folder` (not of its subfolders) whose names end so, in natural order.

    Names that start with a dot are left out. A link to nothing is a file: who opens it says so,
    while leaving it out would lose its rows without a word.

    Raises:
        PoolError: the folder cannot be listed.
    """
    try:
        names = [
            entry.name
            for entry in folder.iterdir()
            if entry.name.endswith(ending) and not entry.name.startswith(".") and _is_file(entry)
        ]
    except OSError as error:
        raise PoolError(f"cannot list {folder}: {error.strerror or error}") from error
    return [cast(AnyPlace, folder / name) for name in sorted(names, key=natural_key)]


def _is_file(entry: Place) -> bool:
    return entry.is_file() or (
        isinstance(entry, Path) and entry.is_symlink() and not entry.exists()
    )


def by_number(files: Sequence[AnyPlace], stem: str) -> dict[int, AnyPlace]:
    """Return number -> file for files named `{stem}_{number}.{suffix}`, padded or not.

    Raises:
        PoolError: a name without number, or two files of one number.
    """
    numbered: dict[int, AnyPlace] = {}
    pattern = re.compile(rf"{re.escape(stem)}_([0-9]+)")
    for file in files:
        match = pattern.fullmatch(file.name.split(".")[0])
        if match is None:
            raise PoolError(f"{file}: expected a name like {stem}_0{file.suffix}")
        number = int(match[1])
        if number in numbered:
            raise PoolError(
                f"{numbered[number]} and {file.name} have the same number; remove one of them"
            )
        numbered[number] = file
    return dict(sorted(numbered.items()))

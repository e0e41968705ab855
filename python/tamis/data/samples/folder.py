"""A plain folder of images, with or without a `.txt` beside each, subfolders included."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from tamis.data.limits import Limits
from tamis.data.listing import natural_key
from tamis.data.remote import Place
from tamis.data.samples.image_files import read_capped, read_image
from tamis.data.samples.keys import PathKeys, path_key
from tamis.data.samples.source import Sample, Side
from tamis.data.samples.texts import TEXT_MISSING, TEXT_TOO_LONG, checked_text
from tamis.errors import PoolError
from tamis.run.inputs import InputFile, InputFolder

if TYPE_CHECKING:
    import pyarrow as pa

    from tamis.data.ids import Ids

IMAGE_ENDINGS = (
    ".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".ppm",
)  # fmt: skip
_TEXT_ENDING = ".txt"
_DEPTH = 64


@dataclass
class FolderSamples:
    """The images of a folder and its subfolders, in natural order of their paths.

    The key of a row is the image's path without its ending. Names that start with a dot are left
    out, folders too. Links to files are followed, links to folders are not, and what is neither
    file nor folder is passed over.

    Attributes:
        root: the folder.
        paths: the images, relative to it.
        texts: position in `paths` -> the text beside it, relative too.
        limits: caps on images and texts.
        orphans: texts without an image.
        passed_over: links to folders, links to nothing, pipes and devices.
    """

    root: Place
    paths: list[str]
    texts: dict[int, str]
    limits: Limits
    orphans: list[str] = field(default_factory=list)
    passed_over: list[str] = field(default_factory=list)

    @classmethod
    def open(cls, root: Place, limits: Limits) -> FolderSamples:
        """List the folder. Raises PoolError where two images have one key."""
        try:
            passed_over: list[str] = []
            found = list(list_files(root, passed_over))
        except OSError as error:
            raise PoolError(f"cannot list {root}: {error.strerror or error}") from error
        paths = sorted((path for path in found if is_image(path)), key=natural_key)
        rows: dict[str, int] = {}
        for row, path in enumerate(paths):
            key = path_key(path)
            if key in rows:
                raise PoolError(
                    f"{root}: {paths[rows[key]]} and {path} have the same key {key!r}; rename "
                    "one of them"
                )
            rows[key] = row
        texts: dict[int, str] = {}
        orphans = []
        for path in found:
            if path.lower().endswith(_TEXT_ENDING):
                row_of_text = rows.get(path_key(path))
                if row_of_text is None:
                    orphans.append(path)
                elif row_of_text in texts:
                    raise PoolError(
                        f"{root}: {texts[row_of_text]} and {path} are both the text of "
                        f"{paths[row_of_text]}; remove one of them"
                    )
                else:
                    texts[row_of_text] = path
        orphans.sort(key=natural_key)
        passed_over.sort(key=natural_key)
        return cls(root, paths, texts, limits, orphans, passed_over)

    @property
    def name(self) -> str:
        """The folder itself."""
        return "."

    @property
    def n_rows(self) -> int:
        """Images."""
        return len(self.paths)

    @property
    def sides(self) -> frozenset[Side]:
        """Images, and texts where any has one."""
        return frozenset(("image", "text") if self.texts else ("image",))

    @property
    def columns(self) -> list[str]:
        """None."""
        return []

    def ids(self, column: str | None) -> Ids | None:
        """None: its ids are its keys."""
        if column is not None:
            raise PoolError(f"{self.root}: a folder of images has no columns, so no {column!r}")
        return None

    def keys(self) -> Sequence[str]:
        """The paths without their endings."""
        return PathKeys(self.paths)

    def place(self, row: int) -> Place:
        """Return where a row's image is."""
        return self.root / self.paths[row]

    def read(self, start: int, stop: int, sides: frozenset[Side]) -> list[Sample]:
        """Samples start .. stop - 1."""
        return [self._read(row, sides) for row in range(start, stop)]

    def read_columns(self, names: Sequence[str], start: int, stop: int) -> pa.Table:
        """Nothing: there are no columns."""
        import pyarrow as pa

        if names:
            raise PoolError(f"{self.root}: a folder of images has no columns, so no {names[0]!r}")
        return pa.table({})

    def inputs(self) -> list[InputFile]:
        """One record for the whole folder."""
        files = sorted([*self.paths, *self.texts.values()])
        return [InputFolder.of(self.root, files)]

    def _read(self, row: int, sides: frozenset[Side]) -> Sample:
        faults: dict[Side, str] = {}
        image = text = None
        if "image" in sides:
            image, fault = read_image(self.place(row), self.limits)
            if fault is not None:
                faults["image"] = fault
        if "text" in sides:
            text, fault = self._text(row)
            if fault is not None:
                faults["text"] = fault
        return Sample(path_key(self.paths[row]), image, text, faults)

    def _text(self, row: int) -> tuple[str | None, str | None]:
        if row not in self.texts:
            return None, TEXT_MISSING
        content, fault = read_capped(self.root / self.texts[row], self.limits.text_bytes)
        if content is None:
            return None, TEXT_TOO_LONG if fault is None else fault.replace("image", "text")
        return checked_text(content, self.limits)


def is_image(name: str) -> bool:
    """Return whether a file is an image by its ending."""
    return name.lower().endswith(IMAGE_ENDINGS)


def list_files(root: Place, passed_over: list[str] | None = None) -> Iterator[str]:
    """Yield the files below `root`, as relative paths, hidden ones left out.

    Args:
        root: the folder.
        passed_over: takes the paths of links to folders, links to nothing, pipes and devices.

    Raises:
        OSError: a folder cannot be listed.
    """
    pending: list[tuple[str, Place]] = [("", root)]
    while pending:
        prefix, folder = pending.pop()
        if prefix.count("/") > _DEPTH:
            raise OSError(None, f"more than {_DEPTH} folders inside each other", str(folder))
        for name, kind in _entries(folder):
            if name.startswith("."):
                continue
            if kind == "file":
                yield prefix + name
            elif kind == "folder":
                pending.append((f"{prefix}{name}/", folder / name))
            elif passed_over is not None:
                passed_over.append(prefix + name)


def _entries(folder: Place) -> Iterator[tuple[str, Literal["file", "folder", "other"]]]:
    """What lies in a folder; a link to a folder is neither."""
    if isinstance(folder, Path):
        with os.scandir(folder) as entries:
            for entry in entries:
                if _is_file(entry):
                    yield entry.name, "file"
                else:
                    folder_itself = entry.is_dir(follow_symlinks=False)
                    yield entry.name, "folder" if folder_itself else "other"
    else:
        for place in folder.iterdir():
            yield place.name, "folder" if place.is_dir() else "file"


def _is_file(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_file()
    except OSError:  # a link to itself, or into a folder without permission
        return False

"""The layouts that samples come in, told apart by their files and columns alone.

| kind           | files                                                                           |
|----------------|---------------------------------------------------------------------------------|
| webdataset     | `X.tar`, alone or in a folder or its `shards/`; `X.parquet` and `X_stats.json`  |
|                | of img2dataset beside; joined by uid with the tables in a `metadata/` folder    |
| datacomp       | `X.parquet` with a column uid, and `X.npz` beside or the sizes of the images,   |
|                | in the folder or in its `metadata/`: texts and columns, no images               |
| clip-retrieval | `metadata/metadata_N.parquet` beside `img_emb` or `text_emb`                    |
| parquet        | tables with images, or paths of images, in a column                             |
| images         | a folder of images, subfolders included, with or without a `.txt` beside each   |
| text           | tables without images, or `.jsonl` (`.json`, `.ndjson`), plain or `.gz`,        |
|                | `.zst`, `.bz2`, `.xz`                                                           |

What could be read in two ways is an error that names both and how to choose, never a guess.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import NoReturn

from tamis.data.layouts import CLIP_FOLDERS, pool_files
from tamis.data.limits import Limits
from tamis.data.listing import files_ending
from tamis.data.remote import Place
from tamis.data.samples.folder import is_image, list_files
from tamis.data.samples.layouts import (
    Asked,
    NoSamplesError,
    SampleLayout,
    open_clip_retrieval,
    open_images,
    open_lines,
    open_tables,
    open_tars,
)
from tamis.errors import PoolError
from tamis.run.manifest import LOG, MANIFEST

_WITHOUT_COLUMNS = ("webdataset", "images")
_PACKED = r"(\.(gz|zst|bz2|xz))"
_LINES = re.compile(rf"\.((jsonl|ndjson){_PACKED}?|json{_PACKED})$")
_FILES = re.compile(rf"\.(tar|parquet)$|{_LINES.pattern}")
# What people mean as samples, and what is not read: compressed tars, endings in capitals.
_MEANT = re.compile(rf"\.((tar|parquet|jsonl|ndjson){_PACKED}?|tgz)$", re.IGNORECASE)
_SHOWN = 3
# Plain .json is often something else, so it counts where nothing else is there.
_PLAIN_JSON = re.compile(r"(?<!_stats)\.json$")


def recognise(path: Place, *, image: str | None, text: str | None, limits: Limits) -> SampleLayout:
    """Tell which layout `path` has and open its files.

    Args:
        path: a file or a folder.
        image, text: columns of a table; None where only one is possible.
        limits: caps for untrusted content.

    Raises:
        PoolError: no layout fits, or more than one does, or files are missing or damaged.
    """
    asked = Asked(image, text, limits)
    try:
        if path.is_dir():
            return _recognise_folder(path, asked)
        if path.is_file():  # opening a pipe would wait
            return _recognise_file(path, asked)
        exists = path.exists()
    except OSError as error:
        raise PoolError(f"cannot read {path}: {error.strerror or error}") from error
    what = "is neither a file nor a folder; copy it to a file" if exists else "does not exist"
    raise PoolError(f"the pool {path} {what}")


def holds_samples(path: Place) -> bool:
    """Return whether a folder holds tars, JSON lines or images, its subfolders' images included."""
    try:
        files = files_ending(path, "")
        return (
            any(file.suffix == ".tar" or _LINES.search(file.name) for file in files)
            or bool(_files_in(path / "shards", ".tar"))
            or any(map(is_image, list_files(path)))
        )
    except OSError:
        return False


def _recognise_file(path: Place, asked: Asked) -> SampleLayout:
    if path.suffix == ".tar":
        return open_tars([path], path.parent, [], asked)
    if path.suffix == ".parquet":
        return open_tables([path], path.parent, asked)
    if _LINES.search(path.name) or _PLAIN_JSON.search(path.name):
        return open_lines([path], path.parent, asked)
    if path.suffix in (".npy", ".npz"):
        raise NoSamplesError(
            f"{path} holds embeddings, not samples; open it with tamis.data.open_pool"
        )
    raise PoolError(
        f"{path}: expected a .tar, .parquet or .jsonl file of samples (.jsonl also as .gz, .zst, "
        ".bz2 or .xz), or a folder"
    )


def _recognise_folder(path: Place, asked: Asked) -> SampleLayout:
    names = files_ending(path, "")
    found = _candidates(path, names, asked)
    objects = [file for file in names if _PLAIN_JSON.search(file.name)]
    if objects and not found:
        found["text"] = lambda: open_lines(objects, path, asked)
    if asked.columns:
        # Only tables have columns to choose from.
        found = {
            kind: read for kind, read in found.items() if kind not in _WITHOUT_COLUMNS
        } or found
    if len(found) > 1:
        settled = "parquet" in found and any(kind in _WITHOUT_COLUMNS for kind in found)
        columns = ", or a column of the tables with text= or image=" * settled
        raise PoolError(
            f"{path} could be read as {' or '.join(found)}; name the subfolder or file to read"
            + columns
        )
    if not found:
        _refuse(path, names)
    layout = next(iter(found.values()))()
    if "webdataset" in found and not any(file.suffix == ".tar" for file in names):
        names = _files_in(path / "shards", "")
    not_read = _not_read(names)
    if not_read:
        layout.notes.append(f"not read: {not_read}")
    return layout


def _not_read(files: list[Place]) -> str:
    """Name the files that look like samples but have an ending that is not read; "" for none."""
    names = [
        file.name for file in files if _MEANT.search(file.name) and not _FILES.search(file.name)
    ]
    if not names:
        return ""
    more = f" and {len(names) - _SHOWN:,} more" * (len(names) > _SHOWN)
    shown = ", ".join(names[:_SHOWN])
    return f"{shown}{more} (endings are in lower case, and tars are not compressed)"


def _candidates(
    path: Place, files: list[Place], asked: Asked
) -> dict[str, Callable[[], SampleLayout]]:
    """Every way to read a folder, by kind."""
    tables = pool_files([file for file in files if file.suffix == ".parquet"])
    tars = [file for file in files if file.suffix == ".tar"]
    own = {LOG} if any(file.name == MANIFEST for file in files) else set()
    lines = [file for file in files if _LINES.search(file.name) and file.name not in own]
    inner = _files_in(path / "metadata", ".parquet")
    beside = {tar.stem for tar in tars}
    if not tars:
        tars = _files_in(path / "shards", ".tar")
    loose = [table for table in tables if table.stem not in beside]
    found: dict[str, Callable[[], SampleLayout]] = {}
    clip = any((path / name).is_dir() for name in CLIP_FOLDERS)
    if tars:
        found["webdataset"] = lambda: open_tars(tars, path, [] if clip else inner, asked)
    if clip and inner:
        found["clip-retrieval"] = lambda: open_clip_retrieval(path, inner, asked)
    elif inner and not tars:
        found["datacomp"] = lambda: open_tables(inner, path, asked)
    if loose:
        found["parquet"] = lambda: open_tables(tables, path, asked)
    if lines:
        found["text"] = lambda: open_lines(lines, path, asked)
    named = bool(loose) and _names_images(loose[0], asked)
    if not named and any(map(is_image, list_files(path))):
        found["images"] = lambda: open_images(path, asked)
    return found


def _names_images(table: Place, asked: Asked) -> bool:
    return asked.columns or open_tables([table], table.parent, asked).kind == "parquet"


def _files_in(folder: Place, ending: str) -> list[Place]:
    return files_ending(folder, ending) if folder.is_dir() else []


def _refuse(path: Place, files: list[Place]) -> NoReturn:
    arrays = any(file.suffix in (".npy", ".npz") for file in files)
    if arrays or any((path / name).is_dir() for name in CLIP_FOLDERS):
        raise NoSamplesError(
            f"{path} holds embeddings, not samples; open it with tamis.data.open_pool, or name a "
            "folder of images, texts or their metadata"
        )
    deeper = (name for name in list_files(path) if _FILES.search(name) and "/" in name)
    inner = next(deeper, None)
    hint = "" if inner is None else f"; {path / inner.rpartition('/')[0]} holds some"
    not_read = _not_read(files)
    if not_read:
        hint = f"; not read: {not_read}"
    raise PoolError(
        f"{path} holds no samples: expected .tar, .parquet or .jsonl files, images, or the "
        f"folders shards or metadata of a DataComp pool{hint}"
    )

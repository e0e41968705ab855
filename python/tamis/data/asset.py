"""Assets: files that tamis needs, cannot ship, and takes by path."""

from __future__ import annotations

from pathlib import Path

from tamis.errors import TamisError
from tamis.run.inputs import InputFile


class AssetError(TamisError, ValueError):
    """A model, a word list or another given file is absent or not what was expected."""


def asset(path: Path | str, role: str, *, expected: str) -> InputFile:
    """Describe a given file as an input of a run.

    Args:
        path: the file.
        role: what it is to the run, a word; the run knows the file as "role/name", wherever it is.
        expected: what the file should be, for the message.

    Raises:
        AssetError: there is no such file; the text says what was expected there.

    Example:
        >>> asset("no/lid.176.bin", "language", expected="fastText's language model lid.176.bin")
        Traceback (most recent call last):
        tamis.data.asset.AssetError: expected fastText's language model lid.176.bin at \
no/lid.176.bin, but there is no such file
    """
    path = Path(path)
    if not path.is_file():
        what = "that is a folder" if path.is_dir() else "there is no such file"
        raise AssetError(f"expected {expected} at {path}, but {what}")
    status = path.stat()
    return InputFile(f"{role}/{path.name}", path, status.st_size, status.st_mtime_ns)

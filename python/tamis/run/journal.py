"""An append-only list of JSON records that survives a kill at any byte.

A record counts once its line is whole and fsynced. A torn last line, left by a kill or a full disk,
is cut off when the journal is opened again, so what it stood for is simply done once more.
"""

from __future__ import annotations

import contextlib
import json
import os
import threading
from pathlib import Path
from typing import Any

from tamis.errors import RunError
from tamis.run import atomic


class Journal:
    """The records of `path`, which is created with the first one.

    Args:
        path: the journal's file; a torn tail is cut off.

    Attributes:
        records: the whole records found when the journal was opened, oldest first.

    Raises:
        RunError: the file cannot be read or written.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._mutex = threading.Lock()
        try:
            content = path.read_bytes() if path.exists() else b""
            self.records, self._size = _whole(content)
            if self._size < len(content):
                os.truncate(path, self._size)
        except OSError as error:
            raise atomic.write_failure(path, error) from error

    def append(self, record: dict[str, Any]) -> None:
        """Add one record durably; safe to call from several threads.

        Raises:
            RunError: the record could not be written; the journal is as it was before.
        """
        line = json.dumps(record, sort_keys=True, allow_nan=False).encode() + b"\n"
        with self._mutex:
            try:
                self._append(line)
            except OSError as error:
                with contextlib.suppress(OSError):
                    os.truncate(self.path, self._size)
                raise atomic.write_failure(self.path, error) from error
            self._size += len(line)

    def remove(self) -> None:
        """Delete the file; its records live on elsewhere by now."""
        self.path.unlink(missing_ok=True)
        atomic.sync_folder(self.path.parent)
        self._size = 0

    def _append(self, line: bytes) -> None:
        created = not self.path.exists()
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
        descriptor = os.open(self.path, flags, 0o666)
        try:
            view = memoryview(line)
            while view:
                view = view[atomic._write(descriptor, view) :]
            atomic._fsync(descriptor)
        finally:
            os.close(descriptor)
        if created:
            atomic.sync_folder(self.path.parent)


def read_records(path: Path) -> list[dict[str, Any]]:
    """Return the whole records of a journal that another process may be writing."""
    try:
        return _whole(path.read_bytes())[0]
    except OSError as error:
        raise RunError(f"cannot read {path}: {error.strerror or error}") from error


def _whole(content: bytes) -> tuple[list[dict[str, Any]], int]:
    """Return the records up to the first torn line, and their size in bytes."""
    records = []
    size = 0
    for line in content.splitlines(keepends=True):
        record = _parse(line)
        if record is None:
            break
        records.append(record)
        size += len(line)
    return records, size


def _parse(line: bytes) -> dict[str, Any] | None:
    if not line.endswith(b"\n"):
        return None
    try:
        record = json.loads(line)
    except ValueError:
        return None
    return record if isinstance(record, dict) else None

"""The run directory: what is done is on disk, whole, and recorded; everything else is done again.

The protocol, for every unit of work of every stage:

1. its files are written atomically (:mod:`tamis.run.atomic`);
2. only then one fsynced line in `units.jsonl` records the unit, with size and sha256 of its files;
3. when the run is complete, the records are merged into `manifest.json` and `units.jsonl` is gone.

A run that is killed at any moment continues with the same command and, as every unit's files depend
on the recipe, the inputs and the stored plan alone, ends byte-identical (`log.jsonl` and the lock
apart). A changed recipe, input or version of tamis is refused with the differences.
"""

from __future__ import annotations

import hashlib
import json
import os
import socket
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from types import TracebackType
from typing import Any

from tamis.errors import RunError
from tamis.run import atomic
from tamis.run.inputs import InputFile
from tamis.run.journal import Journal, read_records
from tamis.run.lock import LOCK_NAME, RunLock, starting
from tamis.run.manifest import (
    LOG,
    MANIFEST,
    POOL_LINK,
    load_manifest,
    new_manifest,
    require_run_or_empty,
    require_unchanged,
)
from tamis.run.parts import Part, check_part
from tamis.run.payload import Payload, write_payload
from tamis.run.peak import peak_memory_bytes
from tamis.run.recipe import to_toml

CONFIG = "config.toml"
JOURNALS = "units*.jsonl"

__all__ = ["Payload", "RunDirectory"]


class RunDirectory:
    """A run on disk; open one with :meth:`open` (locked, writable) or :meth:`read` (read-only).

    Attributes:
        path: the folder.
        recipe: what the run was started with, all that can change its result.
        plan: how the work was cut into units when the run was started; a resumed run keeps it,
            whatever memory it has now.
        resumed: whether an earlier process had started this run.

    Example:
        >>> import tempfile
        >>> import numpy as np
        >>> folder = Path(tempfile.mkdtemp()) / "run"
        >>> with RunDirectory.open(folder, {"eps": 0.1}, inputs=[]) as run:
        ...     if not run.done("embed", "00000"):
        ...         run.commit("embed", "00000", {"embeddings/00000.npy": np.zeros((2, 3), "f2")})
        ...     run.finish()
        >>> RunDirectory.read(folder).complete
        True
    """

    def __init__(
        self,
        path: Path,
        manifest: dict[str, Any],
        lock: RunLock | None,
        part: Part | None = None,
    ) -> None:
        self.path = path
        self.recipe: dict[str, Any] = manifest["recipe"]
        self.plan: dict[str, Any] = manifest["plan"]
        self.resumed = True
        self._manifest = manifest
        self._lock = lock
        self._units: dict[tuple[str, str], dict[str, Any]] = {
            (stage, unit): record["files"]
            for stage, units in manifest["units"].items()
            for unit, record in units.items()
        }
        self._part = part
        self._journal: Journal | None = None
        if lock is not None:
            for journal in sorted(path.glob(JOURNALS)):
                for record in read_records(journal):
                    self._units[record["stage"], record["unit"]] = record["files"]
            self._journal = Journal(path / _journal_name(part))

    @classmethod
    def open(
        cls,
        path: Path | str,
        recipe: Mapping[str, Any],
        inputs: Iterable[InputFile],
        *,
        plan: Mapping[str, Any] | None = None,
        settings: Mapping[str, Any] | None = None,
        part: Part | None = None,
    ) -> RunDirectory:
        """Create the run, or continue it where an earlier process stopped.

        Args:
            path: the folder; created with its parents. An existing one must be empty or a run.
            recipe: everything that can change the result, as JSON can hold it.
            inputs: the files that the run reads, e.g. `Pool.inputs()`.
            plan: how the work is cut into units; only a new run takes it.
            settings: threads, memory and the like, which change no result; only logged.
            part: (i, n) to share the run with the other parts of a job array: each has a lock and a
                journal of its own and does the units of :func:`tamis.run.parts.part_of`; a process
                without a part joins what they did.

        Raises:
            LockedError: another process works on this run, or on this part of it.
            ChangedError: recipe, inputs or tamis' version differ from the run's; names what.
            RunError: the folder is not a run, is damaged, or cannot be written.
        """
        path = Path(path)
        if part is not None:
            check_part(part)
        atomic.make_folder(path)
        require_run_or_empty(path)
        lock = RunLock(path, part)
        try:
            if part is None:  # another part may be writing
                # The steps inside, and the note of the pool, are not under this lock.
                atomic.remove_temporaries(path, apart=LOCK_NAME, spared=POOL_LINK)
            manifest = load_manifest(path)
            fresh = new_manifest(recipe, inputs, plan)
            if manifest is None:
                with starting(path):  # of parts that begin together, one decides on the plan
                    manifest = load_manifest(path)
                    if manifest is None:
                        atomic.write_json(path / MANIFEST, fresh)
            if manifest is not None:
                require_unchanged(path, manifest, fresh)
            run = cls(path, manifest or fresh, lock, part)
            run.resumed = manifest is not None
            _write_if_different(path / CONFIG, to_toml(run.recipe).encode())
            run.log("open", resumed=run.resumed, settings=dict(settings or {}), **_machine())
        except BaseException:
            lock.release()
            raise
        return run

    @classmethod
    def read(cls, path: Path | str) -> RunDirectory:
        """Open a complete run for reading; takes no lock and writes nothing.

        Raises:
            RunError: the folder is not a run, or the run has not ended yet.
        """
        path = Path(path)
        manifest = load_manifest(path)
        if manifest is None:
            raise RunError(f"{path} is not a tamis run: it holds no {MANIFEST}")
        if manifest["status"] != "complete":
            raise RunError(f"the run {path} has not ended; continue it with its own command first")
        return cls(path, manifest, None)

    @property
    def complete(self) -> bool:
        """Whether :meth:`finish` has been reached, in this process or an earlier one."""
        return bool(self._manifest["status"] == "complete")

    def done(self, stage: str, unit: str) -> bool:
        """Return whether the unit is recorded and all its files have their recorded size."""
        files = self._units.get((stage, unit))
        return files is not None and all(
            _size(self.path / name) == file["size"] for name, file in files.items()
        )

    def commit(self, stage: str, unit: str, files: Mapping[str, Payload]) -> None:
        """Write the unit's files atomically, then record the unit as done.

        Args:
            stage: e.g. "embed".
            unit: a name that is the same in every process that works on this run.
            files: relative path -> content: bytes, text, an array (`.npy`), a pyarrow Table
                (`.parquet`), a mapping (`.json`), or a function that writes into an open file.

        Raises:
            RunError: a file cannot be written, or the run is open for reading only.
            ValueError: a path that leads out of the run.
        """
        if self._journal is None:
            raise RunError(f"the run {self.path} is open for reading only")
        written = {}
        for name, payload in sorted(files.items()):
            target = self._inside(name)
            atomic.make_folder(target.parent)
            result = write_payload(target, payload)
            written[name] = {"size": result.size, "sha256": result.sha256}
        self._journal.append({"stage": stage, "unit": unit, "files": written})
        self._units[stage, unit] = written

    def finish(self) -> None:
        """Merge all records into `manifest.json` and mark the run as complete.

        A part only notes in the log that it has ended.

        Raises:
            RunError: a recorded file is missing or has another size.
        """
        if self._journal is None:
            raise RunError(f"the run {self.path} is open for reading only")
        if self._part is not None:
            self.log("part complete", part=list(self._part))
            return
        for stage, unit in self._units:
            if not self.done(stage, unit):
                raise RunError(
                    f"files of unit {unit} of stage {stage} in {self.path} were removed or changed "
                    "during the run; run the same command again"
                )
        units: dict[str, dict[str, Any]] = {}
        for (stage, unit), files in sorted(self._units.items()):
            units.setdefault(stage, {})[unit] = {"status": "done", "files": files}
        self._manifest = {**self._manifest, "status": "complete", "units": units}
        _write_if_different(self.path / MANIFEST, atomic.json_bytes(self._manifest))
        self._journal.remove()
        for leftover in [*self.path.glob(JOURNALS), *self.path.glob(f"{LOCK_NAME}.*")]:
            leftover.unlink(missing_ok=True)
        atomic.remove_temporaries(self.path, apart=LOCK_NAME)
        self.log("complete")

    def verify(self) -> list[str]:
        """Read every recorded file; return the relative paths whose sha256 differs, sorted."""
        return sorted(
            name
            for files in self._units.values()
            for name, file in files.items()
            if _sha256(self.path / name) != file["sha256"]
        )

    def log(self, event: str, **fields: Any) -> None:
        """Append time, process, peak memory and `fields` to `log.jsonl`.

        The log is the one file, with the lock, that differs between two runs of one recipe.
        """
        record = {
            "event": event,
            "time": datetime.now(UTC).isoformat(timespec="milliseconds"),
            "pid": os.getpid(),
            "peak_memory_bytes": peak_memory_bytes(),
            **fields,
        }
        path = self.path / LOG
        try:
            with open(path, "a", encoding="utf-8") as file:
                file.write(json.dumps(record) + "\n")
        except OSError as error:
            raise atomic.write_failure(path, error) from error

    def close(self) -> None:
        """Release the lock; doing so twice is harmless."""
        if self._lock is not None:
            self._lock.release()

    def __enter__(self) -> RunDirectory:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _inside(self, name: str) -> Path:
        parts = PurePosixPath(name).parts
        if not parts or parts[0] == "/" or ".." in parts:
            raise ValueError(f"expected a path inside the run, got {name!r}")
        return self.path.joinpath(*parts)


def _journal_name(part: Part | None) -> str:
    return "units.jsonl" if part is None else f"units.{part[0]}-{part[1]}.jsonl"


def _write_if_different(path: Path, content: bytes) -> None:
    if not path.exists() or path.read_bytes() != content:
        atomic.write_bytes(path, content)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return -1


def _sha256(path: Path) -> str:
    try:
        with open(path, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return ""


def _machine() -> dict[str, Any]:
    return {"host": socket.gethostname(), "cpus": os.cpu_count()}

"""One process per run directory, or one per part: locks that the kernel releases with their holder.

The lock is `flock` on `RUN/.lock`: exclusive for the whole run; the parts of a job array share it,
and each holds `RUN/.lock.I-N` alone. A lock is gone the moment its process is, killed or not, so
there is no stale lock to remove by hand; the text inside only tells people who holds it. Network
file systems without `flock` answer with an error, never with a silent second holder.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import socket
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType

from tamis.errors import LockedError
from tamis.run.atomic import write_failure
from tamis.run.parts import Part

LOCK_NAME = ".lock"


class RunLock:
    """A lock on a run directory, held from construction to :meth:`release`.

    Args:
        run: the run directory; it must exist.
        part: None for the whole run, which excludes every other process; (i, n) excludes the whole
            and the same part.

    Raises:
        LockedError: another process (or another object of this one) holds the lock; the text names
            its process id and host.
        RunError: the lock file cannot be created.

    Example:
        >>> import tempfile
        >>> with RunLock(Path(tempfile.mkdtemp())) as lock:
        ...     lock.held
        True
        >>> lock.held
        False
    """

    def __init__(self, run: Path, part: Part | None = None) -> None:
        self._descriptors: list[int] = []
        try:
            if part is None:
                self._take(run, LOCK_NAME, fcntl.LOCK_EX)
            else:
                self._take(run, LOCK_NAME, fcntl.LOCK_SH)
                self._take(run, f"{LOCK_NAME}.{part[0]}-{part[1]}", fcntl.LOCK_EX)
        except BaseException:
            self.release()
            raise

    def _take(self, run: Path, name: str, kind: int) -> None:
        path = run / name
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        except OSError as error:
            raise write_failure(path, error) from error
        self._descriptors.append(descriptor)
        try:
            fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = _describe(os.pread(descriptor, 4096, 0))
            raise LockedError(
                f"{run} is in use by {holder}; wait for it to end, stop it, or choose another --out"
            ) from None
        except OSError as error:
            raise write_failure(path, error) from error
        _sign(descriptor)

    @property
    def held(self) -> bool:
        """Whether the lock is still held by this object."""
        return bool(self._descriptors)

    def release(self) -> None:
        """Give the lock back; doing so twice is harmless."""
        while self._descriptors:
            os.close(self._descriptors.pop())

    def __enter__(self) -> RunLock:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.release()


@contextlib.contextmanager
def starting(run: Path) -> Iterator[None]:
    """Hold off every other part that starts the run; waits for one that does.

    Raises:
        RunError: the lock file cannot be created.
    """
    path = run / f"{LOCK_NAME}.start"
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)
    except OSError as error:
        raise write_failure(path, error) from error


def _sign(descriptor: int) -> None:
    holder = {
        "pid": os.getpid(),
        "host": socket.gethostname(),
        "since": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    # A full disk must not stop a run that only reads; the lock itself is already held.
    with contextlib.suppress(OSError):
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, json.dumps(holder).encode(), 0)


def _describe(text: bytes) -> str:
    try:
        holder = json.loads(text)
        return f"process {holder['pid']} on {holder['host']} since {holder['since']}"
    except (ValueError, TypeError, KeyError):
        return "another process"

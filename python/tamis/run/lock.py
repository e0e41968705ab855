"""One process per run directory: an advisory lock that the kernel releases with its holder.

The lock is `flock` on `RUN/.lock`. It is gone the moment its process is, killed or not, so there is
no stale lock to remove by hand; the text inside only tells people who holds it. Network file
systems without `flock` answer with an error, never with a silent second holder.
"""

from __future__ import annotations

import fcntl
import json
import os
import socket
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType

from tamis.errors import LockedError
from tamis.run.atomic import write_failure

LOCK_NAME = ".lock"


class RunLock:
    """An exclusive lock on a run directory, held from construction to :meth:`release`.

    Args:
        run: the run directory; it must exist.

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

    def __init__(self, run: Path) -> None:
        path = run / LOCK_NAME
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        except OSError as error:
            raise write_failure(path, error) from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = _describe(os.pread(descriptor, 4096, 0))
            os.close(descriptor)
            raise LockedError(
                f"{run} is in use by {holder}; wait for it to end, stop it, or choose another --out"
            ) from None
        except OSError as error:
            os.close(descriptor)
            raise write_failure(path, error) from error
        self._descriptor = descriptor
        self._sign()

    @property
    def held(self) -> bool:
        """Whether the lock is still held by this object."""
        return self._descriptor >= 0

    def release(self) -> None:
        """Give the lock back; doing so twice is harmless."""
        if self.held:
            descriptor, self._descriptor = self._descriptor, -1
            os.close(descriptor)

    def __enter__(self) -> RunLock:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.release()

    def _sign(self) -> None:
        holder = {
            "pid": os.getpid(),
            "host": socket.gethostname(),
            "since": datetime.now(UTC).isoformat(timespec="seconds"),
        }
        try:
            os.ftruncate(self._descriptor, 0)
            os.pwrite(self._descriptor, json.dumps(holder).encode(), 0)
        except OSError:
            # A full disk must not stop a run that only reads; the lock itself is already held.
            pass


def _describe(text: bytes) -> str:
    try:
        holder = json.loads(text)
        return f"process {holder['pid']} on {holder['host']} since {holder['since']}"
    except (ValueError, TypeError, KeyError):
        return "another process"

"""An open remote file as Python's own streams are, and its errors as OSErrors."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tamis.errors import MissingExtraError, TamisError

_EXTRAS = {"http": "http", "https": "http", "s3": "s3", "s3a": "s3", "gs": "gs", "gcs": "gs"}


class RemoteFile(io.RawIOBase):
    """A file of fsspec's as a raw stream; each read fetches what it asks for.

    Args:
        url: for messages.
        inner: the file, which can seek and has a size.
    """

    def __init__(self, url: str, inner: Any) -> None:
        self._url = url
        self._inner = inner
        self._size = int(inner.size)
        self._position = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._size}[whence]
        if base + offset < 0:
            raise OSError(22, "seek before the start", self._url)
        self._position = base + offset
        return self._position

    def readinto(self, buffer: Any) -> int:
        view = memoryview(buffer).cast("B")
        wanted = min(len(view), self._size - self._position)
        if wanted <= 0:
            return 0
        with os_errors(self._url):
            self._inner.seek(self._position)
            data = self._inner.read(wanted)
        view[: len(data)] = data
        self._position += len(data)
        return len(data)

    def close(self) -> None:
        if not self.closed:
            self._inner.close()
        super().close()


@contextmanager
def os_errors(url: str) -> Iterator[None]:
    """Turn whatever a file system raises into an OSError that names the URL."""
    try:
        yield
    except TamisError:
        raise
    except FileNotFoundError as error:
        if (failure := _web_failure(error)) is not None:
            raise OSError(None, failure, url) from error
        raise FileNotFoundError(2, "there is no such file", url) from None
    except ImportError as error:
        scheme = url.partition("://")[0]
        extra = _EXTRAS.get(scheme)
        remedy = "" if extra is None else f': pip install "tamis[{extra}]"'
        raise MissingExtraError(f"{error}{remedy}") from None
    except OSError as error:
        raise OSError(error.errno, error.strerror or str(error) or type(error).__name__, url) from (
            error
        )
    except Exception as error:
        cause = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise OSError(None, cause, url) from error


def _web_failure(error: FileNotFoundError) -> str | None:
    """What fsspec hides: a server that cannot be reached or refuses is "not found" to it too."""
    cause = error.__cause__
    if cause is None or not type(cause).__module__.startswith("aiohttp"):
        return None
    status = getattr(cause, "status", None)
    if status in (404, 410):
        return None
    return str(cause) if status is None else f"the server answers {status}"

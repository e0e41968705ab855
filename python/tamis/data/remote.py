"""Where a pool lies: a path on this machine, or the URL of an object store or a web server.

Readers take a :data:`Place` and use the part of `pathlib` that :class:`RemotePath` offers too, so
one reader serves both. URLs go through fsspec (`s3://`, `gs://`, `https://`, `memory://`, ...); a
read fetches the range asked for, and nothing is copied to this machine's disk. Whatever a file
system raises becomes an OSError, as it is for local files.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO, Literal, TypeAlias, cast

from tamis.data.remote_file import RemoteFile, os_errors
from tamis.errors import require

Place: TypeAlias = "Path | RemotePath"

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+)://")
# A Path made of a URL has lost one of its two slashes.
_FOLDED = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):/(?!/)")
_BUFFER_BYTES = 1 << 18
_WEB = ("http", "https")
# On the web a folder is a page with links; asking whether a large file is one would fetch it.
_FILE_ENDINGS = re.compile(
    r"\.(npy|npz|parquet|tar|jsonl|ndjson|json|txt|gz|zst|bz2|xz|jpe?g|png|webp|gif|bmp|tiff?)$",
    re.IGNORECASE,
)


def place_of(path: Path | RemotePath | str) -> Place:
    """Return a Path for a local path or `file://` URL, a RemotePath for any other URL.

    Example:
        >>> place_of("s3://bucket/pool/")
        RemotePath('s3://bucket/pool')
        >>> place_of("pools/small").name
        'small'
    """
    if isinstance(path, RemotePath):
        return path
    text = str(path)
    folded = _FOLDED.match(text) if isinstance(path, Path) else None
    if folded is not None and not path.exists():  # type: ignore[union-attr]
        text = f"{folded[1]}://{text[folded.end() :]}"
    scheme = _SCHEME.match(text)
    if scheme is None:
        return Path(path)
    if scheme[1].lower() == "file":
        return Path(text[scheme.end() :])
    return RemotePath(text.rstrip("/"))


def name_inside(place: Place, root: Place) -> str:
    """Return the path of `place` inside the folder `root`, parts separated by "/".

    Raises:
        ValueError: it is not inside.
    """
    if isinstance(place, RemotePath):
        return place.relative_to(root).as_posix()
    return place.relative_to(str(root)).as_posix()


@dataclass(frozen=True)
class Status:
    """Size (bytes) of a remote file; its modification time is not asked for."""

    st_size: int
    st_mtime_ns: int = 0


@dataclass(frozen=True, repr=False)
class RemotePath:
    """A URL with the part of pathlib's interface that readers need. It pickles.

    Attributes:
        url: without a slash at the end.
    """

    url: str
    _kind: Literal["file", "directory"] | None = field(default=None, compare=False)

    def __str__(self) -> str:
        return self.url

    def __repr__(self) -> str:
        return f"RemotePath({self.url!r})"

    @property
    def name(self) -> str:
        """The part after the last slash."""
        return self.url.rpartition("/")[2]

    @property
    def stem(self) -> str:
        """The name without its last suffix."""
        return PurePosixPath(self.name).stem

    @property
    def suffix(self) -> str:
        """The name's last suffix, with its dot."""
        return PurePosixPath(self.name).suffix

    @property
    def parent(self) -> RemotePath:
        """The folder that holds it."""
        return RemotePath(self.url.rpartition("/")[0])

    def __truediv__(self, name: str | PurePosixPath) -> RemotePath:
        return RemotePath(f"{self.url}/{str(name).strip('/')}")

    def with_name(self, name: str) -> RemotePath:
        """Return the URL of another file in the same folder."""
        return self.parent / name

    def with_suffix(self, suffix: str) -> RemotePath:
        """Return the URL with another last suffix."""
        return self.with_name(self.stem + suffix)

    def relative_to(self, root: Place) -> PurePosixPath:
        """Return the path inside the folder `root`. Raises ValueError where it is not inside."""
        if self.url == str(root):
            return PurePosixPath()
        inside = f"{root}/"
        if not self.url.startswith(inside):
            raise ValueError(f"{self.url!r} is not in {str(root)!r}")
        return PurePosixPath(self.url[len(inside) :])

    def resolve(self) -> RemotePath:
        """Return itself: a URL is absolute."""
        return self

    def exists(self) -> bool:
        """Whether it is a file or a folder. Raises OSError where that cannot be told."""
        return self.is_file() or self.is_dir()

    def is_file(self) -> bool:
        """Whether it is a file. Raises OSError where that cannot be told."""
        if self._kind is not None:
            return self._kind == "file"
        if self._on_web and not _FILE_ENDINGS.search(self.name) and self.is_dir():
            return False
        try:
            return bool(self._info()["type"] == "file")
        except FileNotFoundError:
            return False

    def is_dir(self) -> bool:
        """Whether it is a folder that holds something. Raises OSError where that is unknown."""
        if self._kind is not None:
            return self._kind == "directory"
        if self._on_web:
            if _FILE_ENDINGS.search(self.name):
                return False
            try:
                return next(self.iterdir(), None) is not None
            except FileNotFoundError:
                return False
        with self._explained() as (system, path):
            return bool(system.isdir(str(path)))

    def iterdir(self) -> Iterator[RemotePath]:
        """Yield what lies directly inside. Raises OSError."""
        with self._explained() as (system, path):
            entries = system.ls(f"{path}/" if self._on_web else path, detail=True)
        base = str(path).rstrip("/") + "/"
        names = set()
        for entry in entries:
            located = str(entry["name"])
            name = located[len(base) :] if located.startswith(base) else located.rpartition("/")[2]
            name = name.rstrip("/")
            # A web page may link anywhere: only what is in the folder itself is its content.
            if name in ("", ".", "..") or re.search(r"[/?#]", name) or name in names:
                continue
            names.add(name)
            folder = entry["type"] == "directory"
            yield RemotePath(f"{self.url}/{name}", "directory" if folder else "file")

    def stat(self) -> Status:
        """Return the size. Raises OSError."""
        size = self._info().get("size")
        if size is None:
            raise OSError(None, "the server does not tell the size", self.url)
        return Status(int(size))

    def open(self, mode: str = "rb", buffering: int = -1) -> BinaryIO:
        """Open for reading; the file can seek, and fetches what is read.

        Args:
            mode: "rb".
            buffering: 0 fetches exactly what each read asks for, in one request each; else bytes
                fetched ahead, -1 for 256 KiB.

        Raises:
            OSError: there is no such file, or it cannot be read in parts.
        """
        if mode != "rb":
            raise ValueError(f"expected mode 'rb', got {mode!r}")
        with self._explained() as (system, path):
            inner = system.open(path, "rb", cache_type="none")
        if not inner.seekable() or getattr(inner, "size", None) is None:
            inner.close()
            raise OSError(None, "the server serves no parts of files; copy the pool", self.url)
        raw = RemoteFile(self.url, inner)
        if buffering == 0:
            return cast(BinaryIO, raw)
        size = buffering if buffering > 1 else _BUFFER_BYTES
        return cast(BinaryIO, io.BufferedReader(raw, size))

    @property
    def _on_web(self) -> bool:
        return self.url.partition("://")[0].lower() in _WEB

    def _info(self) -> dict[str, Any]:
        with self._explained() as (system, path):
            info: dict[str, Any] = system.info(path)
            return info

    @contextmanager
    def _explained(self) -> Iterator[tuple[Any, Any]]:
        with os_errors(self.url):
            yield require("fsspec.core", extra="http").url_to_fs(self.url)

"""One img2dataset or webdataset tar as a file of samples.

| side  | member                                                                    |
|-------|---------------------------------------------------------------------------|
| image | the first there is of jpg, jpeg, png, webp, gif, bmp, tif, tiff           |
| text  | txt, else the "caption" of the json                                       |

Members are read where they lie; nothing is extracted, and no other member is ever decoded.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence

import pyarrow as pa

from tamis.data.ids import Ids
from tamis.data.image import EMPTY, TOO_LARGE
from tamis.data.limits import Limits
from tamis.data.remote import Place, RemotePath
from tamis.data.samples.image_files import IMAGE_MISSING
from tamis.data.samples.source import Sample, Side
from tamis.data.samples.tar_index import IMAGE_SUFFIXES, JSON_SUFFIX, TEXT_SUFFIX, TarIndex
from tamis.data.samples.tar_json import CAPTION, objects, parse_object
from tamis.data.samples.tar_metadata import TarMetadata
from tamis.data.samples.tar_source import Tar, index_of, read_ranges, reading
from tamis.data.samples.texts import TEXT_MISSING, TEXT_TOO_LONG, checked_text
from tamis.errors import PoolError
from tamis.run.inputs import InputFile

_STATS_BYTES = 1 << 24


class TarShard:
    """The samples of one tar; a `SampleFile`. Open one with :meth:`open`.

    It holds no file open, and pickles. The index of members is made anew when it is needed and is
    no longer among the latest; that of a remote tar is kept.

    Attributes:
        place: the tar.
        faults: sample -> why it cannot be used, whatever its members.

    Example:
        >>> import io, tarfile, tempfile
        >>> from pathlib import Path
        >>> path = Path(tempfile.mkdtemp()) / "00000.tar"
        >>> with tarfile.open(path, "w") as tar:
        ...     for name, data in {"0.jpg": b"(jpeg)", "0.txt": b"a kite"}.items():
        ...         member = tarfile.TarInfo(name)
        ...         member.size = len(data)
        ...         tar.addfile(member, io.BytesIO(data))
        >>> shard = TarShard.open(path)
        >>> shard.n_rows, sorted(shard.sides), shard.problems()
        (1, ['image', 'text'], [])
        >>> shard.read(0, 1, shard.sides)
        [Sample(key='0', image=b'(jpeg)', text='a kite', faults={})]
    """

    def __init__(
        self, tar: Tar, name: str, root: Place, parquet: Place | None, stats: Place | None
    ) -> None:
        self.place = tar.place
        self._tar = tar
        self._name = name
        self._root = root
        self._parquet = parquet
        self._stats = stats
        self._metadata = TarMetadata(tar, name, parquet)
        index = index_of(tar)
        self._kept = index if isinstance(tar.place, RemotePath) else None
        self._n_rows = index.n_rows
        self.faults = dict(index.faults)
        self._sides = self._find_sides(index)

    @classmethod
    def open(
        cls,
        place: Place,
        root: Place | None = None,
        *,
        parquet: Place | None = None,
        stats: Place | None = None,
        limits: Limits = Limits(),  # noqa: B008 - frozen
    ) -> TarShard:
        """Index a tar by its headers.

        Args:
            place: the tar, plain, not compressed.
            root: the pool's folder, from which names are given; by default the tar's.
            parquet: img2dataset's table beside the tar.
            stats: its `_stats.json`.
            limits: caps on members, images, texts and json.

        Raises:
            PoolError: it cannot be read, is no tar, is compressed, has more members than allowed,
                two members of one name, one key twice, or a key that holds a dot.
        """
        root = place.parent if root is None else root
        name = place.relative_to(root).as_posix()  # type: ignore[arg-type]
        return cls(Tar.at(place, limits), name, root, parquet, stats)

    @property
    def name(self) -> str:
        """Path inside the pool, parts separated by "/"."""
        return self._name

    @property
    def n_rows(self) -> int:
        """Samples, those that cannot be used included."""
        return self._n_rows

    @property
    def sides(self) -> frozenset[Side]:
        """What at least one of its samples has."""
        return self._sides

    @property
    def columns(self) -> Sequence[str]:
        """Names of the metadata columns; without a parquet, every json is read for them."""
        return self._metadata.columns

    def index(self) -> TarIndex:
        """Return where the members lie. Raises PoolError where the tar has changed."""
        if self._kept is not None:
            return self._kept
        index = index_of(self._tar)
        if index.n_rows != self._n_rows:
            raise PoolError(f"{self.place} has changed since it was opened")
        return index

    def keys(self) -> Sequence[str]:
        """The webdataset key of every sample."""
        keys: list[str] = self.index().keys.to_pylist()
        return keys

    def ids(self, column: str | None) -> Ids | None:
        """Ids of all samples from a metadata column, by default "uid"; see `TarMetadata.ids`."""
        return self._metadata.ids(column)

    def read(self, start: int, stop: int, sides: frozenset[Side]) -> list[Sample]:
        """Samples start .. stop - 1; a damaged one comes with a fault, its neighbours whole.

        Raises:
            PoolError: the file cannot be read, or has become shorter.
        """
        index = self.index()
        keys = index.keys.slice(start, stop - start).to_pylist()
        samples = []
        wanted: list[tuple[int, Side, str, int, int]] = []
        for row, key in zip(range(start, stop), keys, strict=True):
            faults: dict[Side, str] = {}
            if row in index.faults:
                faults = dict.fromkeys(sorted(sides), index.faults[row])
            else:
                members = {suffix: (at, size) for suffix, at, size in index.members(row)}
                for side in sorted(sides):
                    choice = _choose(side, members, self._tar.limits)
                    if isinstance(choice, str):
                        faults[side] = choice
                    else:
                        wanted.append((row - start, side, *choice))
            samples.append((key, faults))
        contents: list[dict[Side, bytes | str]] = [{} for _ in samples]
        wanted.sort(key=lambda member: member[3])
        with reading(self.place) as read_at:
            ranges = [(at, size) for *_, at, size in wanted]
            for (position, side, suffix, _, _), data in zip(
                wanted, read_ranges(self.place, ranges, read_at), strict=True
            ):
                content, fault = _content(side, suffix, bytes(data), self._tar.limits)
                if fault is not None:
                    samples[position][1][side] = fault
                elif content is not None:
                    contents[position][side] = content
        return [
            Sample(key, content.get("image"), content.get("text"), faults)  # type: ignore[arg-type]
            for (key, faults), content in zip(samples, contents, strict=True)
        ]

    def read_columns(self, names: Sequence[str], start: int, stop: int) -> pa.Table:
        """Metadata columns of samples start .. stop - 1. Raises PoolError for an unknown name."""
        return self._metadata.read(names, start, stop)

    def inputs(self) -> list[InputFile]:
        """The tar, its parquet and its stats. Raises PoolError where one has gone."""
        places = [place for place in (self.place, self._parquet, self._stats) if place is not None]
        try:
            return [InputFile.at(place, self._root) for place in places]
        except OSError as error:
            raise PoolError(f"cannot read {error.filename}: {error.strerror or error}") from error

    def problems(self) -> list[str]:
        """Return what is wrong with the tar, one sentence each; the metadata is read."""
        index = self.index()
        lines = list(index.problems)
        for fault, count in Counter(index.faults.values()).items():
            rows = [row for row, reason in index.faults.items() if reason == fault]
            shown = ", ".join(index.keys[row].as_py() for row in sorted(rows)[:5])
            lines.append(f"{count:,} samples: {fault}: {shown}" + ", ..." * (count > 5))
        without = self._metadata.without_uid()
        if without:
            lines.append(f"{without:,} samples have no valid uid, so an id is made of their key")
        lines += self._metadata.problems() + self._stats_problems()
        return [f"{self.name}: {line}" for line in lines]

    def _stats_problems(self) -> list[str]:
        if self._stats is None:
            return []
        with reading(self._stats) as read_at:
            content = read_at(0, _STATS_BYTES)
        try:
            successes = json.loads(content)["successes"]
        except (ValueError, TypeError, KeyError, RecursionError):
            return [f"{self._stats.name} states no number of successes"]
        if successes == self.n_rows:
            return []
        return [f"{self._stats.name} states {successes} successes, the tar has {self.n_rows}"]

    def _find_sides(self, index: TarIndex) -> frozenset[Side]:
        sides: set[Side] = set()
        if any(suffix in index.suffix_names for suffix in IMAGE_SUFFIXES):
            sides.add("image")
        if TEXT_SUFFIX in index.suffix_names or any(
            value is not None and CAPTION in value for _, value in objects(self._tar)
        ):
            sides.add("text")
        return frozenset(sides)


def _choose(
    side: Side, members: dict[str, tuple[int, int]], limits: Limits
) -> tuple[str, int, int] | str:
    """Return (suffix, offset, bytes) of the member that has the side, or why there is none."""
    suffixes = IMAGE_SUFFIXES if side == "image" else (TEXT_SUFFIX, JSON_SUFFIX)
    suffix = next((suffix for suffix in suffixes if suffix in members), None)
    if suffix is None:
        return IMAGE_MISSING if side == "image" else TEXT_MISSING
    offset, size = members[suffix]
    if side == "image":
        if size == 0 or size > limits.member_bytes:
            return EMPTY if size == 0 else TOO_LARGE
    elif size > (limits.text_bytes if suffix == TEXT_SUFFIX else limits.json_bytes):
        return TEXT_TOO_LONG
    return suffix, offset, size


def _content(
    side: Side, suffix: str, data: bytes, limits: Limits
) -> tuple[bytes | str | None, str | None]:
    """Return (the side, None) or (None, why it cannot be used)."""
    if side == "image":
        return data, None
    if suffix == TEXT_SUFFIX:
        return checked_text(data, limits)
    caption = (parse_object(data, limits) or {}).get(CAPTION)
    return checked_text(caption if isinstance(caption, str) else None, limits)

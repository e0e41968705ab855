"""Which samples a tar holds and where their members lie.

Grouping follows the webdataset convention: the key is the path up to the first dot of the base
name, the rest is the suffix, in lower case; consecutive members of one key are a sample.

Where bytes of the tar were lost, the samples on both sides are *touched*. A touched sample that
lacks a suffix which more than half of the samples have is damaged; so is one with a member that the
file cuts off. All other samples are whole.

A key must hold no dot: `4.5.jpg` and `4.6.jpg` would be one sample "4". A suffix may: `1.seg.png`.
They are told apart by what comes before a suffix's last dot, the stem: one that names a kind of
member comes again in other samples.
"""

from __future__ import annotations

from array import array
from dataclasses import dataclass
from itertools import groupby

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tamis.errors import PoolError

IMAGE_SUFFIXES = ("jpg", "jpeg", "png", "webp", "gif", "bmp", "tif", "tiff")
TEXT_SUFFIX = "txt"
JSON_SUFFIX = "json"

FAULT_DAMAGED = "sample is damaged: the tar is damaged there"
FAULT_PATH = "sample has a key that leads out of its folder"
FAULT_KEY = "sample has a key that is no valid text"


@dataclass(frozen=True, eq=False)
class TarIndex:
    """The n samples and m members of a tar, in the order of the file.

    Attributes:
        keys: large_string (n,).
        starts: int64 (n + 1,); the members of sample i are starts[i] .. starts[i + 1] - 1.
        offsets, sizes: int64 (m,), bytes of a member's data.
        suffixes: int32 (m,), into `suffix_names`.
        suffix_names: every suffix there is, in lower case.
        faults: sample -> why it cannot be used, whatever its members.
        problems: what was passed over or lost, one sentence each.
    """

    keys: pa.LargeStringArray
    starts: np.ndarray
    offsets: np.ndarray
    sizes: np.ndarray
    suffixes: np.ndarray
    suffix_names: tuple[str, ...]
    faults: dict[int, str]
    problems: tuple[str, ...]

    @property
    def n_rows(self) -> int:
        """Samples, those that cannot be used included."""
        return len(self.starts) - 1

    def members(self, row: int) -> list[tuple[str, int, int]]:
        """Return (suffix, offset, bytes) of each member of a sample."""
        part = slice(int(self.starts[row]), int(self.starts[row + 1]))
        codes = self.suffixes[part].tolist()
        names = [self.suffix_names[code] for code in codes]
        return list(zip(names, self.offsets[part].tolist(), self.sizes[part].tolist(), strict=True))


class Grouping:
    """Members, one after the other, into samples.

    Args:
        name: of the tar, for messages.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._key: bytes | None = None
        self._keys = bytearray()
        self._key_ends = array("q", [0])
        self._starts = array("q")
        self._offsets = array("q")
        self._sizes = array("q")
        self._codes = array("i")
        self._code_of: dict[bytes, int] = {}
        self._suffix_names: dict[str, int] = {}
        self._codes_here: set[int] = set()
        self._touched: set[int] = set()
        self._faults: dict[int, str] = {}

    def add(
        self, name: bytes, offset: int, size: int, *, whole: bool = True, fault: str | None = None
    ) -> bool:
        """Add a member; return False, and do nothing, where its name gives no key and suffix.

        Args:
            name: path inside the tar.
            offset, size: of its data in the file, bytes.
            whole: False: it is not there, but its sample is.
            fault: why its sample cannot be used.

        Raises:
            PoolError: the sample has a member with this suffix.
        """
        if name.startswith(b"__") and name.partition(b"/")[0].endswith(b"__"):
            return False
        slash = name.rfind(b"/")
        dot = name.find(b".", slash + 1)
        if dot <= slash + 1:
            return False
        key = name[:dot]
        if key != self._key:
            self._begin(key)
        suffix = name[dot + 1 :]
        code = self._code_of.get(suffix)
        if code is None:
            text = suffix.decode(errors="backslashreplace").lower()
            code = self._suffix_names.setdefault(text, len(self._suffix_names))
            self._code_of[suffix] = code
        if code in self._codes_here:
            raise PoolError(
                f"{self._name}: sample {shown(key)} has two members {shown(name[dot:].lower())}; "
                "remove one, or give the samples different keys"
            )
        if fault is not None or not whole:
            self._faults.setdefault(len(self._starts) - 1, fault or FAULT_DAMAGED)
        if whole:
            self._codes_here.add(code)
            self._codes.append(code)
            self._offsets.append(offset)
            self._sizes.append(size)
        return True

    def touch(self) -> None:
        """Note that bytes beside the latest sample were lost."""
        if self._starts:
            self._touched.add(len(self._starts) - 1)

    def index(self, problems: tuple[str, ...]) -> TarIndex:
        """Return what was added.

        Raises:
            PoolError: a key comes twice, or holds a dot; names it.
        """
        self._starts.append(len(self._offsets))
        index = TarIndex(
            keys=self._texts(),
            starts=np.array(self._starts, np.int64),
            offsets=np.array(self._offsets, np.int64),
            sizes=np.array(self._sizes, np.int64),
            suffixes=np.array(self._codes, np.int32),
            suffix_names=tuple(self._suffix_names),
            faults=self._faults,
            problems=problems,
        )
        _require_each_key_once(index, self._name)
        _require_no_dot_in_keys(index, self._name)
        self._mark_damaged(index)
        return index

    def _begin(self, key: bytes) -> None:
        row = len(self._starts)
        self._key = key
        self._keys += key
        self._key_ends.append(len(self._keys))
        self._starts.append(len(self._offsets))
        self._codes_here.clear()
        if key.startswith(b"/") or (b".." in key and b".." in key.split(b"/")):
            self._faults[row] = FAULT_PATH
        elif b"\0" in key:
            self._faults[row] = FAULT_KEY

    def _texts(self) -> pa.LargeStringArray:
        ends = pa.py_buffer(np.array(self._key_ends, np.int64))
        n_rows = len(self._key_ends) - 1
        keys = pa.LargeBinaryArray.from_buffers(
            pa.large_binary(), n_rows, [None, ends, pa.py_buffer(bytes(self._keys))]
        )
        try:
            return keys.cast(pa.large_string())
        except pa.ArrowInvalid:
            texts = []
            for row, key in enumerate(keys.to_pylist()):
                try:
                    texts.append(key.decode())
                except UnicodeDecodeError:
                    self._faults[row] = FAULT_KEY
                    texts.append(key.decode(errors="backslashreplace"))
            return pa.array(texts, pa.large_string())

    def _mark_damaged(self, index: TarIndex) -> None:
        n_rows_with = np.bincount(index.suffixes, minlength=len(index.suffix_names))
        common = set(np.flatnonzero(2 * n_rows_with > index.n_rows).tolist())
        for row in self._touched:
            here = index.suffixes[index.starts[row] : index.starts[row + 1]].tolist()
            if not common <= set(here):
                self._faults.setdefault(row, FAULT_DAMAGED)


def shown(text: bytes) -> str:
    """Return a name as a message can show it."""
    decoded = text.decode(errors="backslashreplace")
    return repr(decoded if len(decoded) <= 80 else decoded[:77] + "...")


def _require_each_key_once(index: TarIndex, name: str) -> None:
    if len(index.keys.unique()) == index.n_rows:
        return
    counts = pc.value_counts(index.keys)
    key = counts.field("values")[pc.index(pc.greater(counts.field("counts"), 1), True).as_py()]
    raise PoolError(
        f"{name}: the members of sample {key.as_py()!r} are not side by side, or two samples have "
        "that key; sort the tar by name, or give the samples different keys"
    )


def _require_no_dot_in_keys(index: TarIndex, name: str) -> None:
    plain = np.array([_is_side(suffix) for suffix in index.suffix_names], bool)
    stems = [
        suffix.rpartition(".") if _is_side(suffix.rpartition(".")[2]) else ("", "", "")
        for suffix in index.suffix_names
    ]
    dotted = np.array([bool(stem) for stem, _, _ in stems], bool)
    if not dotted.any():
        return
    members = np.flatnonzero(dotted[index.suffixes])
    rows = np.searchsorted(index.starts, members, side="right") - 1
    if not plain.any():
        _refuse_dot(index, name, int(members[0]), int(rows[0]))
    if index.n_rows < 2:
        return
    numbers: dict[str, int] = {}
    numbered = np.array([numbers.setdefault(stem, len(numbers)) for stem, _, _ in stems])
    stem_of = numbered[index.suffixes[members]]
    pairs = np.unique(np.stack([stem_of, rows]), axis=1)
    lone = (np.bincount(pairs[0], minlength=len(numbers)) == 1)[stem_of]
    suspects = zip(rows[lone].tolist(), members[lone].tolist(), strict=True)
    for row, group in groupby(suspects, key=lambda suspect: suspect[0]):
        here = index.suffixes[index.starts[row] : index.starts[row + 1]]
        has_plain = plain[here].any()
        kinds: dict[str, set[bool]] = {}
        for code in here.tolist():
            stem, _, last = stems[code]
            kinds.setdefault(stem, set()).add(_is_image(last))
        for _, member in group:
            # A sample of its own: an image and its text, or no plain member beside it.
            stem = stems[int(index.suffixes[member])][0]
            if len(kinds[stem]) == 2 or not has_plain:
                _refuse_dot(index, name, member, row)


def _refuse_dot(index: TarIndex, name: str, member: int, row: int) -> None:
    key, suffix = index.keys[row].as_py(), index.suffix_names[int(index.suffixes[member])]
    raise PoolError(
        f"{name}: the member {f'{key}.{suffix}'!r} would have the key {key!r} and the suffix "
        f"{suffix!r}: a key ends at the first dot, so it must hold none; rename the members"
    )


def _is_image(suffix: str) -> bool:
    return suffix in IMAGE_SUFFIXES


def _is_side(suffix: str) -> bool:
    return _is_image(suffix) or suffix in (TEXT_SUFFIX, JSON_SUFFIX)

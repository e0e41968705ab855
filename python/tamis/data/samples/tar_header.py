"""The 512-byte headers of tar files: POSIX ustar and pax, GNU, and the older v7.

Nothing is believed that the checksum does not confirm. Numbers are strict: octal digits, padded by
spaces and NULs, or GNU's base 256; a negative one is no number.
"""

from __future__ import annotations

from typing import NamedTuple
from zlib import adler32

BLOCK = 512
ZEROS = bytes(BLOCK)

REGULAR = b"0\x007"
"""Types of plain files: new, v7 and contiguous."""
LONG_NAME, LONG_LINK, PAX, PAX_GLOBAL, SPARSE = b"LKxgS"
EXTENDED = bytes((LONG_NAME, LONG_LINK, PAX, PAX_GLOBAL, ord("X")))
DIRECTORY = ord("5")
WITHOUT_DATA = {
    ord("1"): "a hard link",
    ord("2"): "a symbolic link",
    ord("3"): "a device",
    ord("4"): "a device",
    DIRECTORY: "a folder",
    ord("6"): "a pipe",
}
"""Types that no data follow, whatever size they state."""

_ADLER = 65521
_SPACES = 8 * ord(" ")


class Header(NamedTuple):
    """What a header says of a member.

    Attributes:
        kind: the type flag.
        size: bytes of data that follow, without the padding to whole blocks.
        name: path inside the archive.
    """

    kind: int
    size: int
    name: bytes


def parse_header(block: bytes) -> Header | None:
    """Return what a block says, None where it is no header or a damaged one.

    Example:
        >>> import tarfile
        >>> member = tarfile.TarInfo("000000001.jpg")
        >>> member.size = 1394
        >>> parse_header(member.tobuf(tarfile.USTAR_FORMAT))
        Header(kind=48, size=1394, name=b'000000001.jpg')
        >>> parse_header(bytes(512)) is None
        True
    """
    stated = _octal(block[148:156])
    if not stated or len(block) != BLOCK or not _sums_to(block, stated):
        return None
    size = _number(block[124:136])
    if size is None:
        return None
    kind = block[156]
    name = block[:100].partition(b"\0")[0]
    if block[345] and kind != SPARSE and kind not in EXTENDED:
        name = block[345:500].partition(b"\0")[0] + b"/" + name
    if kind == 0 and name.endswith(b"/"):
        kind = DIRECTORY  # as v7 wrote them
    return Header(kind, size, name)


def name_may_be_cut(block: bytes) -> bool:
    """Return whether the name may be what fits of one that an extended header holds in full."""
    return b"\0" not in block[:100] or b"?" in block[:100]


def parse_pax(data: bytes) -> dict[bytes, bytes] | None:
    """Return the records of a pax header, None where it is damaged.

    Example:
        >>> parse_pax(b"14 path=a.jpg\\n10 size=7\\n")
        {b'path': b'a.jpg', b'size': b'7'}
    """
    records = {}
    end = len(data.rstrip(b"\0"))
    start = 0
    while start < end:
        length, space, _ = data[start : start + 20].partition(b" ")
        if not space or not length.isdigit():
            return None
        stop = start + int(length)
        key, equals, value = data[start + len(length) + 1 : stop - 1].partition(b"=")
        if not equals or stop > len(data) or data[stop - 1 : stop] != b"\n":
            return None
        records[key] = value
        start = stop
    return records


def decimal(text: bytes) -> int | None:
    """Return the number that a pax record holds, None where it is none."""
    return int(text) if text.isdigit() and len(text) <= 19 else None


def _sums_to(block: bytes, stated: int) -> bool:
    # The low half of an Adler-32 is 1 + the sum of the bytes: the fastest sum of bytes there is.
    # The field of the checksum itself counts as spaces.
    others = stated - _SPACES
    checksum = block[148:156]
    if (1 + others + sum(checksum)) % _ADLER == adler32(block) & 0xFFFF:
        return True
    # Some old writers summed signed bytes.
    signed = sum(byte - 256 if byte > 127 else byte for byte in block[:148] + block[156:])
    return signed == others


def _octal(field: bytes) -> int | None:
    digits = field.partition(b"\0")[0].strip(b" ")
    if not digits.isdigit():
        return None if digits else 0
    try:
        return int(digits, 8)
    except ValueError:
        return None


def _number(field: bytes) -> int | None:
    if field[0] == 0x80:
        return int.from_bytes(field[1:], "big")
    return None if field[0] > 0x80 else _octal(field)

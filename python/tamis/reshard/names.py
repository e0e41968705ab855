"""What the members of the new shards are called, and their headers.

A sample's key is DataComp's: `{uid}-{j}` for copy j, from 0, also where there is one copy only. Ids
that are no uids may hold characters that a key must not (a dot ends it, a slash makes a folder):
all but ASCII letters, digits, "_" and "-" are written as %XX, two hexadecimal digits for each byte.
"""

from __future__ import annotations

import string
import tarfile

_PLAIN = frozenset((string.ascii_letters + string.digits + "_-").encode())
_TEMPLATE = tarfile.TarInfo("").tobuf(tarfile.USTAR_FORMAT)
_BEFORE_SIZE, _AFTER_SIZE = _TEMPLATE[100:124], _TEMPLATE[136:148]
_AFTER_CHECKSUM = _TEMPLATE[156:]
_CHECKSUM_OF_REST = sum(_BEFORE_SIZE + _AFTER_SIZE + _AFTER_CHECKSUM) + 8 * ord(" ")
_LONGEST_NAME = 100
_LARGEST_SIZE = 8**11 - 1


def key_of(uid: str | int, copy: int) -> str:
    """Return the key of one copy of a sample.

    Example:
        >>> key_of("0123456789abcdef0123456789abcdef", 0), key_of("shop/7.5", 1)
        ('0123456789abcdef0123456789abcdef-0', 'shop%2F7%2E5-1')
    """
    text = str(uid)
    if not (text.isascii() and text.isalnum()):
        text = "".join(
            chr(byte) if byte in _PLAIN else f"%{byte:02X}" for byte in text.encode("utf-8")
        )
    return f"{text}-{copy}"


def member_header(name: str, size: int) -> bytes:
    """Return the header of a plain file: mode 0644, no owner, no time, so that bytes do not vary.

    A name above 100 bytes, or one that is not ASCII, takes a pax header before it.

    Example:
        >>> len(member_header("0-0.jpg", 1394)), len(member_header("0" * 200, 0))
        (512, 1536)
    """
    encoded = name.encode()
    if len(encoded) > _LONGEST_NAME or not name.isascii() or size > _LARGEST_SIZE:
        member = tarfile.TarInfo(name)
        member.size = size
        return member.tobuf(tarfile.PAX_FORMAT, "utf-8", "strict")
    digits = b"%011o\0" % size
    checksum = _CHECKSUM_OF_REST + sum(encoded) + sum(digits)
    return b"".join(
        (
            encoded.ljust(_LONGEST_NAME, b"\0"),
            _BEFORE_SIZE,
            digits,
            _AFTER_SIZE,
            b"%06o\0 " % checksum,
            _AFTER_CHECKSUM,
        )
    )

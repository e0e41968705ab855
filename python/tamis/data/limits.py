"""How much of an untrusted file is believed before it is read."""

from __future__ import annotations

from dataclasses import dataclass, fields


@dataclass(frozen=True)
class Limits:
    """Caps that are checked before anything of that size is read or decoded.

    What exceeds a cap becomes a quarantined row with a reason, or, for a whole file, a PoolError.

    Attributes:
        member_bytes: of one image, caption or json inside an archive; 512 MiB.
        pixels: width x height of one image; 89,478,485, from which on Pillow warns of a bomb.
        text_bytes: of one caption in UTF-8; 1 MiB.
        json_bytes: of one json beside an image; 16 MiB.
        members: of one tar, all kinds; 50 million. Indexing takes about 60 bytes for each.

    Raises:
        ValueError: a cap below 1.

    Example:
        >>> Limits(text_bytes=1000).text_bytes, Limits().member_bytes
        (1000, 536870912)
    """

    member_bytes: int = 512 << 20
    pixels: int = 89_478_485
    text_bytes: int = 1 << 20
    json_bytes: int = 16 << 20
    members: int = 50_000_000

    def __post_init__(self) -> None:
        for cap in fields(self):
            if getattr(self, cap.name) < 1:
                raise ValueError(f"expected {cap.name} >= 1, got {getattr(self, cap.name)}")

"""Parts: one step shared among the processes of a job array, every n-th unit to each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias, TypeVar

Part: TypeAlias = tuple[int, int]
"""(i, n): the i-th of n parts, from 1."""

_T = TypeVar("_T")


def check_part(part: Part) -> None:
    """Raise ValueError unless 1 <= i <= n."""
    i, n = part
    if not 1 <= i <= n:
        raise ValueError(f"expected a part I/N with 1 <= I <= N, such as 2/8, got {i}/{n}")


def parse_part(text: str) -> Part:
    """Return (i, n) of "i/n".

    Raises:
        ValueError: not two whole numbers with 1 <= i <= n.

    Example:
        >>> parse_part("2/8")
        (2, 8)
    """
    i, slash, n = text.partition("/")
    if not (slash and i.isascii() and i.isdigit() and n.isascii() and n.isdigit()):
        raise ValueError(f"expected a part I/N with 1 <= I <= N, such as 2/8, got {text}")
    part = int(i), int(n)
    check_part(part)
    return part


def part_of(units: Sequence[_T], part: Part | None) -> list[_T]:
    """Return the units of a part, every n-th from the i-th on; all of them for None.

    Example:
        >>> part_of("abcdefg", (2, 3)), part_of("ab", None)
        (['b', 'e'], ['a', 'b'])
    """
    if part is None:
        return list(units)
    check_part(part)
    return list(units[part[0] - 1 :: part[1]])

"""Which drawings make the pool, and which pairs outside it fit the linear map."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence

from .source import Drawing, families

POOL_SIZE = 1030
MIN_COPY_FAMILIES = 130
MAX_FAMILY = 24
"""One source family has 118 members; a tenth of the pool would be one picture."""

SERIES = (
    "computer/buttons",
    "people/smilies",
    "recreation/games/chess",
    "shapes/jigsaw",
    "signs_and_symbols/flags/semaphore",
)
"""Folders taken whole: one drawing in many colours, faces, pieces, or positions."""

MAX_TEXT_REPEATS = 5
"""Texts that occur more often are boilerplate, and say nothing about the image."""


def choose_pool(drawings: Sequence[Drawing]) -> list[Drawing]:
    """Chooses `POOL_SIZE` drawings; byte-equal families come whole, up to `MAX_FAMILY` members.

    First the folders in `SERIES`, texts outside ASCII and families of more than `MAX_FAMILY`,
    then families with copies until there are `MIN_COPY_FAMILIES`, then families of any size,
    each in the order of a hash of the first path. The result is in the order of another hash.
    """
    ordered = sorted(families(drawings), key=lambda family: _hash("family", family[0].path))
    wanted = [f for f in ordered if len(f) > MAX_FAMILY or any(map(_is_wanted, f))]
    copies = [f for f in ordered if len(f) > 1]
    chosen: list[Drawing] = []
    taken: set[str] = set()
    n_copy_families = 0

    def take(family: Sequence[Drawing]) -> None:
        nonlocal n_copy_families
        members = family[:MAX_FAMILY]
        if family[0].sha256 in taken or len(chosen) + len(members) > POOL_SIZE:
            return
        taken.add(family[0].sha256)
        chosen.extend(members)
        n_copy_families += len(members) > 1

    for family in wanted:
        take(family)
    for family in copies:
        if n_copy_families < MIN_COPY_FAMILIES:
            take(family)
    for family in ordered:
        take(family)
    return sorted(chosen, key=lambda drawing: _hash("row", drawing.path))


def choose_fit(
    drawings: Sequence[Drawing], pool: Sequence[Drawing]
) -> tuple[list[Drawing], list[Drawing]]:
    """Chooses pairs to fit the map and pairs held out to judge it; none has an image of the pool.

    One drawing per byte-equal family, no boilerplate text. Equal texts fall on the same side.
    """
    in_pool = {drawing.sha256 for drawing in pool}
    repeats = Counter(drawing.text for drawing in drawings)
    fit: list[Drawing] = []
    held_out: list[Drawing] = []
    for family in families(drawings):
        drawing = family[0]
        if drawing.sha256 not in in_pool and repeats[drawing.text] <= MAX_TEXT_REPEATS:
            side = held_out if int(_hash("side", drawing.text)[:8], 16) % 100 < 15 else fit
            side.append(drawing)
    return fit, held_out


def _is_wanted(drawing: Drawing) -> bool:
    return drawing.path.rsplit("/", 1)[0] in SERIES or not drawing.text.isascii()


def _hash(purpose: str, text: str) -> str:
    return hashlib.sha256(f"{purpose}:{text}".encode()).hexdigest()

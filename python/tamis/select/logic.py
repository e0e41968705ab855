"""Yes, no, or unknown: what a selection says of each row.

A row without the value that a filter asks for is unknown, and unknown is not kept, under `~`
neither: `~(x > 0.5)` keeps the rows with x <= 0.5, not those without x. `&` and `|` follow Kleene:
no & unknown = no, yes | unknown = yes.

A set says yes or no; a bag (a list of uids) also says how often. Of two bags, `&` takes the smaller
and `|` the larger number. A set counts as once under `|`, and under `&` leaves the bag's number.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tamis.data.column import Mask


@dataclass(frozen=True)
class Verdict:
    """What is said of some rows.

    Attributes:
        yes, no: bool (n,), never both; neither is unknown.
        times: uint32 (n,), how often a bag holds each row, 0 where not yes; None for a set.
    """

    yes: Mask
    no: Mask
    times: NDArray[np.uint32] | None = None

    @classmethod
    def of(cls, yes: Mask, known: Mask | None = None) -> Verdict:
        """Return yes where both are true, no where only `known` is."""
        if known is None:
            return cls(yes, ~yes)
        return cls(yes & known, ~yes & known)

    def __and__(self, other: Verdict) -> Verdict:
        yes = self.yes & other.yes
        times = None
        if self.times is not None and other.times is not None:
            times = np.minimum(self.times, other.times)
        elif self.times is not None:
            times = np.where(yes, self.times, np.uint32(0))
        elif other.times is not None:
            times = np.where(yes, other.times, np.uint32(0))
        return Verdict(yes, self.no | other.no, times)

    def __or__(self, other: Verdict) -> Verdict:
        yes = self.yes | other.yes
        times = None
        if self.times is not None or other.times is not None:
            times = np.maximum(self.how_often(), other.how_often())
        return Verdict(yes, self.no & other.no, times)

    def __invert__(self) -> Verdict:
        return Verdict(self.no, self.yes)

    def how_often(self) -> NDArray[np.uint32]:
        """Return uint32 (n,): how often each row is kept."""
        return self.times if self.times is not None else self.yes.astype(np.uint32)

"""What depends on different things is refused, whichever file came before."""

from __future__ import annotations

from pathlib import Path

import pytest

from tamis.data.dependence import Comparable
from tamis.errors import PoolError


def test_a_file_is_compared_with_all_before_it() -> None:
    hype = Comparable("hype")
    hype.add(Path("a"), {"reference": "12", "model": None})
    hype.add(Path("b"), {"model": "m"})
    hype.add(Path("c"), {})
    with pytest.raises(PoolError, match=r"d: .* another reference \(34\) than in a \(12\)"):
        hype.add(Path("d"), {"reference": "34", "model": "m"})
    with pytest.raises(PoolError, match=r"e: .* another model \(n\) than in b \(m\)"):
        hype.add(Path("e"), {"reference": "12", "model": "n"})

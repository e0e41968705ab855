"""What a selection says of itself: counts, thresholds and overlaps, as JSON can hold them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from tamis.select.evaluate import Term
from tamis.select.logic import Verdict
from tamis.select.scan import Block


class Tally:
    """Counts what the terms and the whole selection say, block by block."""

    def __init__(self, terms: Sequence[Term]) -> None:
        self.terms = terms
        self.rows = 0
        self.kept_rows = 0
        self.kept = 0
        self.unknown = 0
        self._unknown = np.zeros(len(terms), np.int64)
        self._both = np.zeros((len(terms), len(terms)), np.int64)
        self._with_kept = np.zeros(len(terms), np.int64)

    def add(self, block: Block, verdict: Verdict) -> None:
        """Count one block, of at most 2^24 rows."""
        self.rows += block.n_rows
        n_yes = int(verdict.yes.sum())
        self.kept_rows += n_yes
        self.kept += n_yes if verdict.times is None else int(verdict.times.sum(dtype=np.int64))
        self.unknown += block.n_rows - n_yes - int(verdict.no.sum())
        # Sums of zeros and ones below 2^24 are exact in float32.
        yes = np.empty((len(self.terms), block.n_rows), np.float32)
        for number, term in enumerate(self.terms):
            said = term.rows.at(block)
            unknown = ~(said.yes | said.no)
            yes[number] = said.yes
            if term.base is not None:
                base = term.base.at(block).yes
                yes[number] *= base
                unknown &= base
            self._unknown[number] += int(unknown.sum())
        self._both += (yes @ yes.T).astype(np.int64)
        self._with_kept += (yes @ verdict.yes.astype(np.float32)).astype(np.int64)

    def as_json(self) -> dict[str, Any]:
        """Return the counts and facts."""
        return {
            "rows": self.rows,
            "kept": self.kept,
            "kept_rows": self.kept_rows,
            "without_score": self.unknown,
            "terms": [self._term(number) for number in range(len(self.terms))],
            "overlap": self._both.tolist(),
        }

    def _term(self, number: int) -> dict[str, Any]:
        term = self.terms[number]
        facts = {name: _plain(value) for name, value in term.facts.items()}
        return {
            "term": term.text,
            "within": term.within,
            "rows": int(self._both[number, number]),
            "kept": int(self._with_kept[number]),
            "without_score": int(self._unknown[number]),
            **facts,
        }


def _plain(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "inf" if value > 0 else "-inf"
    return value

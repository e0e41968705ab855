"""Captions as Python text, and the counts that the rules compare.

Three counts that differ, each used by some rule:

| count | of | "a\\u00a0b" | "a\\nb" | " " |
|---|---|---|---|---|
| :func:`words` | runs between Unicode white space, as str.split() | 2 | 2 | 0 |
| :func:`tokens` | fastText's tokens: runs between ASCII white space, and each newline | 1 | 3 | 0 |
| characters, len() | code points | 3 | 3 | 1 |
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import pyarrow as pa

from tamis.data.ids import is_text
from tamis.errors import PoolError

if TYPE_CHECKING:
    from tamis.data.samples.source import Sample

Reasons: TypeAlias = dict[int, str]
"""Row -> why it cannot be scored."""


@dataclass(frozen=True)
class Captions:
    """The captions of n rows, or the values of another text column.

    Attributes:
        texts: n texts, "" where a row has none.
        reasons: the rows without text, and why.
    """

    texts: list[str]
    reasons: Reasons = field(default_factory=dict)

    @classmethod
    def of(cls, column: pa.Array | pa.ChunkedArray, name: str = "text") -> Captions:
        """Take a text column; null, and bytes that are no UTF-8, are rows without text.

        Raises:
            PoolError: the column does not hold text.

        Example:
            >>> Captions.of(pa.array(["a cat", None]))
            Captions(texts=['a cat', ''], reasons={1: 'text is null'})
        """
        kind = column.type
        kind = kind.value_type if pa.types.is_dictionary(kind) else kind
        if not (is_text(kind) or pa.types.is_null(kind)):
            raise PoolError(f"expected column {name!r} to hold text, got {kind}; name another one")
        try:
            values = column.to_pylist()
        except UnicodeDecodeError:
            return cls._decoded(column.cast(pa.large_binary()).to_pylist(), name)
        if column.null_count == 0:
            return cls(values)
        reasons = {row: f"{name} is null" for row, value in enumerate(values) if value is None}
        return cls([value or "" for value in values], reasons)

    @classmethod
    def of_samples(cls, samples: Iterable[Sample]) -> Captions:
        """Take the texts of samples; the others keep the reason that came with them."""
        captions = cls([])
        for row, sample in enumerate(samples):
            if sample.text is None:
                captions.reasons[row] = sample.faults.get("text", "text is missing")
            captions.texts.append(sample.text or "")
        return captions

    @classmethod
    def _decoded(cls, values: Iterable[bytes | None], name: str) -> Captions:
        captions = cls([])
        for row, value in enumerate(values):
            text = ""
            if value is None:
                captions.reasons[row] = f"{name} is null"
            else:
                try:
                    text = value.decode("utf-8")
                except UnicodeDecodeError:
                    captions.reasons[row] = f"{name} is not valid UTF-8"
            captions.texts.append(text)
        return captions

    def __len__(self) -> int:
        return len(self.texts)

    def count(self, measure: Callable[[str], int]) -> np.ndarray:
        """Return int32 (n,): the measure of each text."""
        return np.fromiter(map(measure, self.texts), np.int32, len(self.texts))

    def present(self) -> np.ndarray:
        """Return bool (n,): the rows that have a text."""
        present = np.ones(len(self.texts), np.bool_)
        present[list(self.reasons)] = False
        return present


def words(text: str) -> int:
    """Count words as the basic rule does.

    Example:
        >>> words("two\\u2003words\\n")
        2
    """
    return len(text.split())


def tokens(text: str) -> int:
    """Count fastText's tokens, without fastText.

    Its tokenizer reads bytes, ends a token at space, tab, vertical tab, form feed, carriage return,
    newline and NUL, and makes every newline a token of its own; other Unicode white space is part
    of a token (fastText 0.9, Dictionary::readWord).

    Example:
        >>> tokens("a cat"), tokens("cat\\n"), tokens("a\\u00a0cat"), tokens("a\\0cat")
        (2, 2, 1, 2)
    """
    line = text.encode()
    return len(line.replace(b"\0", b" ").split()) + line.count(b"\n")

"""The basic rule of DataComp: English, a real caption, an image that is neither small nor a strip.

A row stays iff its language is "en", it has more than 2 words and more than 5 characters, the
smaller side of the original image has at least 200 pixels, and the larger side is at most 3 times
the smaller one (DataComp, baselines/apply_filter.py).

Words are what str.split() gives (Unicode white space), characters are code points. The ratio is the
float64 quotient of the two integers.

| missing | here | DataComp's code |
|---|---|---|
| caption is null | not scored, with the reason | stops with an exception |
| width or height is null or NaN | not scored, with the reason | drops the row |
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pyarrow as pa

from tamis.filters.datacomp.captions import words
from tamis.filters.datacomp.numeric import numbers
from tamis.filters.datacomp.rule import Metadata, is_english, language_columns, nullable, spoken
from tamis.score.scorer import Scores

if TYPE_CHECKING:
    from tamis.data.language import Language
    from tamis.run.inputs import InputFile

MORE_WORDS_THAN = 2
MORE_CHARACTERS_THAN = 5
SMALLEST_SIDE = 200
LARGEST_RATIO = 3.0
_INT32 = np.iinfo(np.int32)


@dataclass(frozen=True)
class Basic:
    """The basic rule.

    Args:
        language: what decides on the language.
        text, width, height: metadata columns; DataComp's names by default.

    Columns: basic; and why: basic_language, basic_words, basic_characters, basic_size (smaller
    side, pixels, cut to int32), basic_aspect (larger side / smaller side, rounded to float32; the
    verdict is not).

    Example:
        >>> from tamis.data.language import open_language
        >>> rows = Metadata.of({
        ...     "lang": ["en", "en"], "text": ["a red kite", "a red kite"],
        ...     "original_width": [600, 601], "original_height": [200, 200],
        ... })
        >>> Basic(open_language("column:lang")).judge(rows).columns["basic"].to_pylist()
        [True, False]
    """

    language: Language
    text: str = "text"
    width: str = "original_width"
    height: str = "original_height"

    name: ClassVar[str] = "basic"
    schema: ClassVar[pa.Schema] = pa.schema(
        {
            "basic": pa.bool_(),
            "basic_language": pa.string(),
            "basic_words": pa.int32(),
            "basic_characters": pa.int32(),
            "basic_size": pa.int32(),
            "basic_aspect": pa.float32(),
        }
    )

    @property
    def reads(self) -> list[str]:
        """Width, height, and the language where a column has it."""
        return [self.width, self.height, *language_columns(self.language)]

    def recipe(self) -> dict[str, Any]:
        """Who decides on the language, and the columns."""
        columns = {"text": self.text, "width": self.width, "height": self.height}
        return {"language": self.language.name, "columns": columns}

    def inputs(self) -> list[InputFile]:
        """The language model."""
        return self.language.inputs()

    def judge(self, rows: Metadata) -> Scores:
        """Judge the rows."""
        captions = rows.captions
        languages = spoken(self.language, rows)
        n_words, n_characters = captions.count(words), captions.count(len)
        no_size: dict[int, str] = {}
        width = numbers(rows.columns[self.width], self.width, no_size)
        height = numbers(rows.columns[self.height], self.height, no_size)
        smaller, larger = np.minimum(width, height), np.maximum(width, height)
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            ratio = larger / smaller
            aspect = ratio.astype(np.float32)
        caption = (n_words > MORE_WORDS_THAN) & (n_characters > MORE_CHARACTERS_THAN)
        image = (smaller >= SMALLEST_SIDE) & (ratio <= LARGEST_RATIO)
        reasons = {**no_size, **languages.reasons, **captions.reasons}
        size = np.clip(smaller, _INT32.min, _INT32.max).astype(np.int32)
        return Scores(
            {
                "basic": nullable(is_english(languages) & caption & image, reasons, pa.bool_()),
                "basic_language": nullable(languages.texts, languages.reasons, pa.string()),
                "basic_words": nullable(n_words, captions.reasons, pa.int32()),
                "basic_characters": nullable(n_characters, captions.reasons, pa.int32()),
                "basic_size": nullable(size, no_size, pa.int32()),
                "basic_aspect": nullable(aspect, no_size, pa.float32()),
            },
            reasons,
        )

"""DataComp's reproduction of LAION-2B: CLIP B/32 score at least 0.28, and English.

The comparison happens in the dtype of the score column, as NumPy compares an array with a Python
number. For DataComp's float32 columns the threshold is therefore float32(0.28), which lies above
0.28; a float64 copy of the same scores gives the same rows for this threshold, though not for every
threshold.

The published rule asks gcld3 for the language, which does not build everywhere; a column that has
the language, or another model, is named in the recipe.

| missing | here | DataComp's code |
|---|---|---|
| score is null or NaN | not scored, with the reason | drops the row |
| caption is null | not scored, with the reason | stops with an exception |
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import pyarrow as pa

from tamis.filters.datacomp.numeric import numbers
from tamis.filters.datacomp.rule import Metadata, is_english, language_columns, nullable, spoken
from tamis.score.scorer import Scores

if TYPE_CHECKING:
    from tamis.data.language import Language
    from tamis.run.inputs import InputFile

THRESHOLD = 0.28


@dataclass(frozen=True)
class Laion2b:
    """The LAION-2B rule.

    Args:
        language: what decides on the language; a column needs no captions.
        caption: the metadata column of the captions.
        score: the metadata column of the CLIP B/32 score.

    Columns: laion2b; and why: laion2b_language. The score is a column of the pool.

    Example:
        >>> from tamis.data.language import open_language
        >>> scores = pa.array([0.28, 0.2799999], pa.float32())
        >>> rows = Metadata.of({"lang": ["en", "en"], "clip_b32_similarity_score": scores})
        >>> Laion2b(open_language("column:lang")).judge(rows).columns["laion2b"].to_pylist()
        [True, False]
    """

    language: Language
    caption: str = "text"
    score: str = "clip_b32_similarity_score"

    name: ClassVar[str] = "laion2b"
    schema: ClassVar[pa.Schema] = pa.schema(
        {"laion2b": pa.bool_(), "laion2b_language": pa.string()}
    )

    @property
    def text(self) -> str | None:
        """The captions, unless a column has the language."""
        return self.caption if self.language.column is None else None

    @property
    def reads(self) -> list[str]:
        """The score, and the language where a column has it."""
        return [self.score, *language_columns(self.language)]

    def recipe(self) -> dict[str, Any]:
        """Who decides on the language, and the columns."""
        columns = {"text": self.text, "score": self.score}
        return {"language": self.language.name, "columns": columns}

    def inputs(self) -> list[InputFile]:
        """The language model."""
        return self.language.inputs()

    def judge(self, rows: Metadata) -> Scores:
        """Judge the rows."""
        languages = spoken(self.language, rows)
        no_score: dict[int, str] = {}
        kept = numbers(rows.columns[self.score], self.score, no_score) >= THRESHOLD
        reasons = {**no_score, **languages.reasons}
        return Scores(
            {
                "laion2b": nullable(kept & is_english(languages), reasons, pa.bool_()),
                "laion2b_language": nullable(languages.texts, languages.reasons, pa.string()),
            },
            reasons,
        )

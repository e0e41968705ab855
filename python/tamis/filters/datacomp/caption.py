"""The caption rule of DataComp's image-based baseline; it is not the caption part of `basic`.

A row stays iff its language is "en", it has more than 1 fastText token and more than 5 characters
(DataComp, baselines/apply_filter.py). fastText's tokens are counted without fastText; see
:func:`tamis.filters.datacomp.captions.tokens`, and note that a newline counts as a token.

A null caption is not scored, with the reason; DataComp's code stops with an exception.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import pyarrow as pa

from tamis.filters.datacomp.captions import tokens
from tamis.filters.datacomp.rule import Metadata, is_english, language_columns, nullable, spoken
from tamis.score.scorer import Scores

if TYPE_CHECKING:
    from tamis.data.language import Language
    from tamis.run.inputs import InputFile

MORE_TOKENS_THAN = 1
MORE_CHARACTERS_THAN = 5


@dataclass(frozen=True)
class Caption:
    """The caption rule.

    Args:
        language: what decides on the language.
        text: the metadata column of the captions.

    Columns: caption; and why: caption_language, caption_tokens, caption_characters.

    Example:
        >>> from tamis.data.language import open_language
        >>> rows = Metadata.of({"lang": ["en"] * 3, "text": ["kite no", "kiteflyer", "kites\\n"]})
        >>> Caption(open_language("column:lang")).judge(rows).columns["caption"].to_pylist()
        [True, False, True]
    """

    language: Language
    text: str = "text"

    name: ClassVar[str] = "caption"
    schema: ClassVar[pa.Schema] = pa.schema(
        {
            "caption": pa.bool_(),
            "caption_language": pa.string(),
            "caption_tokens": pa.int32(),
            "caption_characters": pa.int32(),
        }
    )

    @property
    def reads(self) -> list[str]:
        """The language where a column has it."""
        return language_columns(self.language)

    def recipe(self) -> dict[str, Any]:
        """Who decides on the language, and the column."""
        return {"language": self.language.name, "columns": {"text": self.text}}

    def inputs(self) -> list[InputFile]:
        """The language model."""
        return self.language.inputs()

    def judge(self, rows: Metadata) -> Scores:
        """Judge the rows."""
        captions = rows.captions
        languages = spoken(self.language, rows)
        n_tokens, n_characters = captions.count(tokens), captions.count(len)
        kept = (n_tokens > MORE_TOKENS_THAN) & (n_characters > MORE_CHARACTERS_THAN)
        reasons = {**languages.reasons, **captions.reasons}
        return Scores(
            {
                "caption": nullable(kept & is_english(languages), reasons, pa.bool_()),
                "caption_language": nullable(languages.texts, languages.reasons, pa.string()),
                "caption_tokens": nullable(n_tokens, captions.reasons, pa.int32()),
                "caption_characters": nullable(n_characters, captions.reasons, pa.int32()),
            },
            reasons,
        )

"""DataComp's text-based rule: English, and a word of the caption names an ImageNet-21k class.

A row stays iff its language is "en" and, of the tokens between white space (str.split()), at least
one has a first WordNet synset whose offset is in the list of ImageNet-21k's WordNet ids (DataComp,
baselines/apply_filter.py). Punctuation stays on its token: "dog," is no dog. Offsets are compared
without their part of speech, as the published code does: a verb's offset that equals a listed
noun's counts.

A null caption is not scored, with the reason; DataComp's code stops with an exception.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pyarrow as pa

from tamis.data.asset import asset
from tamis.filters.datacomp.rule import Metadata, is_english, language_columns, nullable, spoken
from tamis.filters.datacomp.wordnet import WordNet, read_wnids
from tamis.score.scorer import Scores

if TYPE_CHECKING:
    from collections.abc import Callable

    from tamis.data.language import Language
    from tamis.run.inputs import InputFile

_CACHED_WORDS = 1 << 18


@dataclass(frozen=True)
class TextBased:
    """The text-based rule.

    Args:
        language: what decides on the language.
        wordnet: path of WordNet 3.0; see :mod:`tamis.filters.datacomp.wordnet`.
        wnids: path of the list of ImageNet-21k's WordNet ids, one on a line.
        text: the metadata column of the captions.

    Raises:
        AssetError: a file is absent or not what was expected.

    Columns: text_based; and why: text_based_language, text_based_word (the first token that names a
    class, null where none does).

    Example:
        >>> import tempfile
        >>> from tamis.data.language import open_language
        >>> folder = Path(tempfile.mkdtemp())
        >>> for part in ("noun", "verb", "adj", "adv"):
        ...     _ = (folder / f"index.{part}").write_text("")
        ...     _ = (folder / f"{part}.exc").write_text("")
        >>> _ = (folder / "index.noun").write_text("dog n 1 0 1 1 02084071\\n")
        >>> _ = (folder / "wnids.txt").write_text("n02084071\\n")
        >>> rule = TextBased(open_language("column:lang"), folder, folder / "wnids.txt")
        >>> rows = Metadata.of({"text": ["two dogs", "a cat"], "lang": ["en", "en"]})
        >>> rule.judge(rows).columns["text_based_word"].to_pylist()
        ['dogs', None]
    """

    language: Language
    wordnet: Path | str
    wnids: Path | str
    text: str = "text"
    _names_class: Callable[[str], bool] = field(init=False, repr=False, compare=False)
    _wordnet: WordNet = field(init=False, repr=False, compare=False)

    name: ClassVar[str] = "text_based"
    schema: ClassVar[pa.Schema] = pa.schema(
        {
            "text_based": pa.bool_(),
            "text_based_language": pa.string(),
            "text_based_word": pa.string(),
        }
    )

    def __post_init__(self) -> None:
        classes = read_wnids(self.wnids)
        wordnet = WordNet(self.wordnet)

        @lru_cache(_CACHED_WORDS)
        def names_class(word: str) -> bool:
            return wordnet.first_synset(word) in classes

        object.__setattr__(self, "_wordnet", wordnet)
        object.__setattr__(self, "_names_class", names_class)

    @property
    def reads(self) -> list[str]:
        """The language where a column has it."""
        return language_columns(self.language)

    def recipe(self) -> dict[str, Any]:
        """Who decides on the language, and the column; WordNet and the ids are inputs."""
        return {"language": self.language.name, "columns": {"text": self.text}}

    def inputs(self) -> list[InputFile]:
        """The language model, WordNet, the list of ids."""
        wnids = asset(self.wnids, "wnids", expected="the list of ImageNet-21k's WordNet ids")
        return [*self.language.inputs(), *self._wordnet.inputs(), wnids]

    def judge(self, rows: Metadata) -> Scores:
        """Judge the rows."""
        captions = rows.captions
        languages = spoken(self.language, rows)
        found = [self.class_word(text) for text in captions.texts]
        has_class = np.fromiter((word is not None for word in found), np.bool_, len(found))
        reasons = {**languages.reasons, **captions.reasons}
        return Scores(
            {
                "text_based": nullable(has_class & is_english(languages), reasons, pa.bool_()),
                "text_based_language": nullable(languages.texts, languages.reasons, pa.string()),
                "text_based_word": pa.array(found, pa.string()),
            },
            reasons,
        )

    def class_word(self, text: str) -> str | None:
        """Return the first token of a caption that names a class, None where none does."""
        return next((word for word in text.split() if self._names_class(word)), None)

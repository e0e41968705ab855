"""A rule judges rows by their captions and metadata; one scorer serves all rules."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import pyarrow as pa

from tamis.errors import PoolError
from tamis.filters.datacomp.captions import Captions, Reasons
from tamis.score.scorer import Scorer, Scores

if TYPE_CHECKING:
    from tamis.data.ids import Ids
    from tamis.data.language import Language
    from tamis.data.samples import SamplePool
    from tamis.data.unit import Unit
    from tamis.run.inputs import InputFile


@dataclass(frozen=True)
class Metadata:
    """What a rule sees of n rows.

    Attributes:
        captions: the captions; empty where the rule needs none.
        columns: the metadata columns that the rule reads, by name.
    """

    captions: Captions
    columns: Mapping[str, pa.ChunkedArray]

    @classmethod
    def of(cls, columns: Mapping[str, Any], text: str = "text") -> Metadata:
        """Take columns from a table, or from a mapping of arrays and lists; `text` is optional."""
        chunked = {name: _chunked(columns[name]) for name in _names(columns)}
        captions = Captions.of(chunked[text], text) if text in chunked else Captions([])
        return cls(captions, chunked)


class Rule(Protocol):
    """Judges rows, each by itself.

    Attributes:
        name: of the score table and of its main column, True where the rule keeps the row.
        schema: the columns it gives, the main one first.
        text: the metadata column of the captions; None where the rule needs no captions.
        reads: the other metadata columns it needs.
    """

    @property
    def name(self) -> str: ...

    @property
    def schema(self) -> pa.Schema: ...

    @property
    def text(self) -> str | None: ...

    @property
    def reads(self) -> Sequence[str]: ...

    def recipe(self) -> dict[str, Any]:
        """All that can change a verdict, as JSON can hold it."""

    def inputs(self) -> list[InputFile]:
        """The files it needs beside the pool."""

    def judge(self, rows: Metadata) -> Scores:
        """Judge the rows; a reason where something is missing."""


class RuleScorer(Scorer):
    """A rule over the metadata of a sample pool, as a scorer.

    Args:
        pool: the samples.
        rule: what judges them.
        name: of the score and, instead of the rule's, in front of its columns; None for the rule's.

    Raises:
        PoolError: the pool has no column that the rule needs; the text lists those there are.

    Example:
        >>> from pathlib import Path
        >>> from tamis.data.language import open_language
        >>> from tamis.data.samples import open_samples
        >>> from tamis.filters.datacomp import Caption
        >>> from tamis.score.job import run_scorer
        >>> _ = Path("pool.jsonl").write_text('{"text": "a red kite", "lang": "en"}')
        >>> rule = Caption(open_language("column:lang"))
        >>> run_scorer(RuleScorer(open_samples("pool.jsonl"), rule), "run")["scored"]
        1
    """

    def __init__(self, pool: SamplePool, rule: Rule, name: str | None = None) -> None:
        self.pool = pool
        self.rule = rule
        self._name = name or rule.name
        check_columns(pool, rule)

    @property
    def name(self) -> str:
        """The name given, or the rule's."""
        return self._name

    @property
    def schema(self) -> pa.Schema:
        """The rule's columns."""
        names = renamed(self.rule.schema.names, self.rule.name, self._name)
        return pa.schema(list(zip(names, self.rule.schema.types, strict=True)))

    def recipe(self) -> dict[str, Any]:
        """The rule's choices."""
        return self.rule.recipe()

    def inputs(self) -> list[InputFile]:
        """The pool's files and the rule's."""
        return [*self.pool.inputs(), *self.rule.inputs()]

    def ids(self) -> Ids:
        """The pool's ids."""
        return self.pool.ids()

    def units(self, rows_per_unit: int) -> Sequence[Unit]:
        """The pool's units."""
        return self.pool.units(rows_per_unit)

    def score(self, unit: Unit) -> Scores:
        """Judge the unit's rows."""
        scores = self.rule.judge(read_metadata(self.pool, self.rule, unit))
        names = renamed(scores.columns, self.rule.name, self._name)
        columns = dict(zip(names, scores.columns.values(), strict=True))
        return Scores(columns, scores.reasons)


def renamed(columns: Iterable[str], old: str, new: str) -> list[str]:
    """Return the names of columns of a score of another name.

    Example:
        >>> renamed(["basic", "basic_words"], "basic", "mine")
        ['mine', 'mine_words']
    """
    return [new + name.removeprefix(old) for name in columns]


def check_columns(pool: SamplePool, rule: Rule) -> None:
    """Raise PoolError unless the pool has what the rule reads."""
    missing = [name for name in rule.reads if name not in pool.columns]
    if rule.text is not None and rule.text not in pool.columns and "text" not in pool.sides:
        missing.append(rule.text)
    if missing:
        raise PoolError(
            f"{pool.path}: {rule.name} needs the column{'s' * (len(missing) > 1)} "
            f"{', '.join(missing)}, the pool has {', '.join(pool.columns) or 'none'}; "
            "name the pool's own"
        )


def read_metadata(pool: SamplePool, rule: Rule, unit: Unit) -> Metadata:
    """Read what the rule needs of a unit.

    Captions come from the metadata column, as they are stored, or else from the samples.
    """
    stored = rule.text is not None and rule.text in pool.columns
    # A column can serve twice, as the caption and the language, say.
    names = list(dict.fromkeys([*rule.reads, *([rule.text or ""] if stored else [])]))
    columns = pool.read_columns(names, unit) if names else {}
    if rule.text is None or stored:
        return Metadata.of(columns, rule.text or "")
    captions = Captions.of_samples(pool.read(unit, {"text"}))
    return Metadata(captions, Metadata.of(columns, "").columns)


def spoken(language: Language, rows: Metadata) -> Captions:
    """Return the language of each row; rows without one keep their reason."""
    if language.column is None:
        return Captions(language.predict(rows.captions.texts), dict(rows.captions.reasons))
    return Captions.of(rows.columns[language.column], language.column)


def language_columns(language: Language) -> list[str]:
    """The metadata columns that the language comes from."""
    return [] if language.column is None else [language.column]


def is_english(languages: Captions) -> np.ndarray:
    """Return bool (n,): the rows whose language is "en"."""
    return np.fromiter((code == "en" for code in languages.texts), np.bool_, len(languages))


def nullable(values: Any, reasons: Reasons, kind: pa.DataType) -> pa.Array:
    """Return an arrow array that is null in the rows that have a reason.

    Example:
        >>> nullable(np.array([True, False]), {1: "text is null"}, pa.bool_()).to_pylist()
        [True, None]
    """
    mask = np.zeros(len(values), np.bool_)
    mask[list(reasons)] = True
    return pa.array(values, type=kind, mask=mask, from_pandas=False)


def _chunked(values: Any) -> pa.ChunkedArray:
    if isinstance(values, pa.ChunkedArray):
        return values
    return pa.chunked_array([values if isinstance(values, pa.Array) else pa.array(values)])


def _names(columns: Any) -> list[str]:
    return list(columns.column_names if isinstance(columns, pa.Table) else columns)

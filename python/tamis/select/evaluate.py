"""From a checked tree to sets that can be asked block by block.

A part that needs to know something of all rows (a cut, a mean) goes over them when it is built, its
own parts first; after that every part answers for one block at a time. What is to the left of a
`within` sees the rows to the right of it, and only those.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tamis.data.column import Column as StoredColumn
from tamis.data.id_index import IdIndex
from tamis.errors import PoolError
from tamis.filters.semdedup.select import threshold_of
from tamis.select import measures
from tamis.select.check import Checker
from tamis.select.errors import ExpressionError
from tamis.select.extremes import choose_extremes
from tamis.select.id_list import as_kind, read_id_list
from tamis.select.logic import Verdict
from tamis.select.scan import Block, Numbers, Rows, Scan
from tamis.select.sets import (
    Combined,
    Compared,
    Every,
    FlagColumn,
    Listed,
    NotAbove,
    Remembered,
    Scored,
    TextCompared,
)
from tamis.select.tree import Binary, Call, Column, Expression, Flag, Number, Text, Unary
from tamis.select.tree import Numbers as NumberList

_MIRRORED = {"<": ">", "<=": ">=", ">": "<", ">=": "<=", "==": "==", "!=": "!="}


@dataclass(frozen=True)
class Term:
    """A set that is not made of other sets, for the report.

    Attributes:
        text: how it is written.
        within: of whose rows it is told; None for all.
        rows: the set.
        base: the set behind `within`.
        facts: what is known of it beside its rows.
    """

    text: str
    within: str | None
    rows: Rows
    base: Rows | None
    facts: dict[str, Any] = field(default_factory=dict)


class Evaluator:
    """Builds the sets of one expression.

    Attributes:
        terms: the sets that are not made of other sets, from left to right.
        lists: the lists of ids that were read.
    """

    def __init__(self, checker: Checker, scan: Scan, folder: Path = Path()) -> None:
        self.terms: list[Term] = []
        self.lists: list[dict[str, Any]] = []
        self._checker = checker
        self._scan = scan
        self._folder = folder
        self._base_text: str | None = None

    def rows(self, node: Expression, base: Rows | None = None) -> Rows:
        """Build a set."""
        if isinstance(node, Unary):
            return Remembered(Combined(lambda a: ~a, (self.rows(node.operand, base),)))
        if isinstance(node, Binary) and node.operator == "within":
            return self._within(node, base)
        if isinstance(node, Binary) and node.operator in _COMBINE:
            parts = (self.rows(node.left, base), self.rows(node.right, base))
            return Remembered(Combined(_COMBINE[node.operator], parts))
        rows, facts = self._term(node, base)
        remembered = Remembered(rows)
        self.terms.append(Term(str(node), self._base_text, remembered, base, facts))
        return remembered

    def numbers(self, node: Expression, base: Rows | None) -> Numbers:
        """Build a part that is a number for every row."""
        if isinstance(node, Number):
            return measures.Constant(float(node.value))
        if isinstance(node, Column):
            return measures.Stored(self._column(node))
        if isinstance(node, Unary):
            return measures.Computed(lambda a: -a, (self.numbers(node.operand, base),))
        if isinstance(node, Binary):
            sides = (self.numbers(node.left, base), self.numbers(node.right, base))
            return measures.Computed(measures.ARITHMETIC[node.operator], sides)
        assert isinstance(node, Call)
        operands = tuple(self.numbers(part, base) for part in node.arguments)
        if node.function == "fuse":
            return measures.fused(operands, _weights(node))
        return _SCALES[node.function](operands[0], base, self._scan)

    def _within(self, node: Binary, base: Rows | None) -> Rows:
        # Terms are told from left to right, but the right side must be built first.
        before, outer = self.terms, self._base_text
        self.terms = []
        right = self.rows(node.right, base)
        right_terms, self.terms = self.terms, []
        self._base_text = str(node.right) if outer is None else f"{node.right} within {outer}"
        left = self.rows(node.left, _Inside(right, base))
        self.terms = [*before, *self.terms, *right_terms]
        self._base_text = outer
        return Remembered(Combined(_COMBINE["&"], (left, right)))

    def _term(self, node: Expression, base: Rows | None) -> tuple[Rows, dict[str, Any]]:
        if isinstance(node, Column):
            return FlagColumn(self._column(node)), {}
        if isinstance(node, Binary):
            return self._comparison(node, base), {}
        assert isinstance(node, Call)
        if node.function in ("top", "bottom"):
            return self._extremes(node, base)
        if node.function == "semdedup":
            threshold = threshold_of(float(_keyword(node, "eps")))
            column = Column("semdedup", span=node.span)
            kept = NotAbove(measures.Stored(self._column(column)), threshold)
            return kept, {"threshold": float(threshold)}
        if node.function == "uids":
            return self._listed(node)
        if node.function == "scored":
            part = node.arguments[0]
            if isinstance(part, Column):
                return Scored(self._column(part)), {}
            return Scored(self.numbers(part, base)), {}
        return Every(), {}

    def _comparison(self, node: Binary, base: Rows | None) -> Rows:
        left, right, relation = node.left, node.right, node.operator
        if isinstance(left, Number | Text | Flag):
            left, right, relation = right, left, _MIRRORED[relation]
        kind = self._checker.kind(left)
        if kind == "number":
            literal = right.value if isinstance(right, Number) else self.numbers(right, base)
            return Compared(self.numbers(left, base), relation, literal)
        if kind == "text":
            assert isinstance(left, Column)
            other = right.value if isinstance(right, Text) else self._column(right)
            return TextCompared(self._column(left), other, relation == "==")
        assert isinstance(right, Flag)
        rows = self.rows(left, base)
        return rows if right.value == (relation == "==") else Combined(lambda a: ~a, (rows,))

    def _extremes(self, node: Call, base: Rows | None) -> tuple[Rows, dict[str, Any]]:
        x, amount = node.arguments
        assert isinstance(amount, Number)
        chosen = choose_extremes(
            self.numbers(x, base),
            amount.value,
            base=base,
            scan=self._scan,
            largest=node.function == "top",
            ties=_keyword(node, "ties", "exact"),
        )
        return chosen, chosen.facts()

    def _listed(self, node: Call) -> tuple[Rows, dict[str, Any]]:
        path = node.arguments[0]
        assert isinstance(path, Text)
        try:
            ids = as_kind(read_id_list(self._folder / path.value), self._scan.tables.ids.read(0, 1))
        except PoolError as error:
            span = path.span or (0, len(self._checker.text))
            raise ExpressionError(str(error), self._checker.text, span) from error
        listed = Listed(IdIndex(ids), self._scan)
        facts = {"listed": len(ids), "different": len(listed.index), "absent": listed.n_absent}
        self.lists.append({"path": path.value, **facts})
        return listed, facts

    def _column(self, node: Expression) -> StoredColumn:
        assert isinstance(node, Column)
        return self._scan.tables.column(node.name, self._checker.table_of(node))


@dataclass(frozen=True)
class _Inside:
    """The rows that a `within` leaves, seen from the rows that an outer one leaves."""

    rows: Rows
    base: Rows | None

    def at(self, block: Block) -> Verdict:
        verdict = self.rows.at(block)
        return verdict if self.base is None else verdict & self.base.at(block)


def _difference(one: Verdict, other: Verdict) -> Verdict:
    return one & ~other


_COMBINE: dict[str, Callable[..., Verdict]] = {
    "&": lambda one, other: one & other,
    "|": lambda one, other: one | other,
    "-": _difference,
}

_SCALES: dict[str, Callable[[Numbers, Rows | None, Scan], Numbers]] = {
    "minmax": measures.minmax,
    "zscore": measures.zscore,
    "rank": lambda x, base, scan: measures.rank(x, base, scan, share=False),
    "quantile": lambda x, base, scan: measures.rank(x, base, scan, share=True),
}


def _keyword(node: Call, name: str, default: Any = None) -> Any:
    value = dict(node.keywords).get(name)
    return default if value is None else value.value  # type: ignore[attr-defined]


def _weights(node: Call) -> list[float] | None:
    value = dict(node.keywords).get("weights")
    if value is None:
        return None
    assert isinstance(value, NumberList)
    return [float(part.value) for part in value.values if isinstance(part, Number)]

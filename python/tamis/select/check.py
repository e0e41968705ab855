"""What kind of thing each part of an expression is: found, or refused, before any row is read."""

from __future__ import annotations

import difflib
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

from tamis.select.errors import ExpressionError, Span
from tamis.select.tree import (
    COMPARISONS,
    Binary,
    Call,
    Column,
    Expression,
    Flag,
    Number,
    Numbers,
    Text,
    Unary,
)

if TYPE_CHECKING:
    from tamis.data.score_table import ScoreTables

Kind: TypeAlias = Literal["number", "set", "text", "flag"]
TIES = ("exact", "datacomp")
_SHOWN_NAMES = 30
_KINDS = {
    "number": "numbers",
    "set": "a set of rows",
    "text": "texts",
    "flag": "true or false",
}


@dataclass(frozen=True)
class _Signature:
    """What a function takes: kinds of the arguments, names of the keywords, and what it gives."""

    arguments: tuple[str, ...]
    gives: Kind
    keywords: tuple[str, ...] = ()
    example: str = ""


_ONE_NUMBER = ("number",)
_FUNCTIONS = {
    "top": _Signature(("number", "amount"), "set", ("ties",), "top(clip, 0.3)"),
    "bottom": _Signature(("number", "amount"), "set", ("ties",), "bottom(loss, 1000)"),
    "semdedup": _Signature((), "set", ("eps",), "semdedup(eps=0.03)"),
    "uids": _Signature(("path",), "set", (), 'uids("subset.npy")'),
    "scored": _Signature(("any",), "set", (), "scored(clip)"),
    "all": _Signature((), "set", (), "all()"),
    "minmax": _Signature(_ONE_NUMBER, "number", (), "minmax(clip)"),
    "zscore": _Signature(_ONE_NUMBER, "number", (), "zscore(clip)"),
    "rank": _Signature(_ONE_NUMBER, "number", (), "rank(clip)"),
    "quantile": _Signature(_ONE_NUMBER, "number", (), "quantile(clip)"),
    "fuse": _Signature(
        ("numbers",), "number", ("weights",), "fuse(minmax(a), minmax(b), weights=[0.5, 0.5])"
    ),
}


class Checker:
    """Checks one expression against the columns of some tables."""

    def __init__(self, text: str, tables: ScoreTables) -> None:
        self.text = text
        self._tables = tables
        self._names = tables.names()

    def check(self, tree: Expression) -> None:
        """Check a whole expression, which must be a set of rows.

        Raises:
            ExpressionError: it is not, or a part does not fit; points at the part.
        """
        self._expect(tree, "set", "a selection is")

    def kind(self, node: Expression) -> Kind:
        """Return the kind of a part whose own parts fit."""
        if isinstance(node, Number):
            return "number"
        if isinstance(node, Text):
            if any("\ud800" <= character <= "\udfff" for character in node.value):
                raise self._error("no column holds half a surrogate pair", node)
            return "text"
        if isinstance(node, Flag):
            return "flag"
        if isinstance(node, Column):
            return self._column(node)
        if isinstance(node, Unary):
            wanted: Kind = "set" if node.operator == "~" else "number"
            self._expect(node.operand, wanted, f"{node.operator} takes")
            return wanted
        if isinstance(node, Binary):
            return self._binary(node)
        if isinstance(node, Call):
            return self._call(node)
        raise self._error("a list stands only behind weights=", node)

    def table_of(self, node: Column) -> str:
        """Return the table of a column that was checked."""
        return node.table if node.table is not None else self._names[node.name][0]

    def _column(self, node: Column) -> Kind:
        holders = self._names.get(node.name, [])
        if node.table is not None:
            if node.table in holders:
                return self._tables.kind(node.name, node.table)
            told = f"table {node.table!r} has no column {node.name!r}"
        elif len(holders) == 1:
            return self._tables.kind(node.name, holders[0])
        elif holders:
            ways = " or ".join(str(Column(node.name, holder)) for holder in holders)
            raise self._error(
                f"{len(holders)} tables have a column {node.name!r}: write {ways}", node
            )
        else:
            told = f"no column is called {node.name!r}"
        near = difflib.get_close_matches(node.name, self._names, 1)
        hint = f"; did you mean {Column(near[0])}?" if near and not holders else ""
        every = sorted(str(Column(name)) for name in self._names)
        more = ", ..." if len(every) > _SHOWN_NAMES else ""
        listed = ", ".join(every[:_SHOWN_NAMES]) + more
        raise self._error(f"{told}{hint} (the columns are {listed or 'none'})", node)

    def _binary(self, node: Binary) -> Kind:
        operator = node.operator
        if operator in ("&", "|", "within"):
            for side in (node.left, node.right):
                self._expect(side, "set", f"{operator} takes")
            return "set"
        left, right = self.kind(node.left), self.kind(node.right)
        if operator in COMPARISONS:
            return self._comparison(node, left, right)
        if operator == "-" and left == right == "set":
            return "set"
        if operator == "-" and {left, right} == {"set", "number"}:
            raise self._error(
                f"- takes two sets or two numbers, got {_KINDS[left]} and then "
                f"{self._told(node.right, right)}; comparisons beside - stand in parentheses",
                node.right,
            )
        for side, kind in ((node.left, left), (node.right, right)):
            if kind != "number":
                raise self._error(f"{operator} takes numbers, got {self._told(side, kind)}", side)
        return "number"

    def _comparison(self, node: Binary, left: Kind, right: Kind) -> Kind:
        kinds = {left, right}
        equality = node.operator in ("==", "!=")
        if kinds == {"number"}:
            return "set"
        if equality and kinds in ({"text"}, {"set", "flag"}):
            constant = isinstance(node.left, Text) and isinstance(node.right, Text)
            if not constant:
                return "set"
            raise self._error("compare a column with a text, not two texts", node)
        for side, kind in ((node.left, left), (node.right, right)):
            if kind in ("set", "text", "flag") and not equality:
                raise self._error(
                    f"{node.operator} compares numbers, got {self._told(side, kind)}"
                    f"{_parentheses(side, kind)}",
                    side,
                )
        raise self._error(
            f"{node.operator} compares two numbers, two texts or a set with true or false, got "
            f"{_KINDS[left]} and {_KINDS[right]}",
            node,
        )

    def _call(self, node: Call) -> Kind:
        signature = _FUNCTIONS.get(node.function)
        if signature is None:
            near = difflib.get_close_matches(node.function, _FUNCTIONS, 1)
            hint = f"; did you mean {near[0]}?" if near else ""
            raise self._error(
                f"no function is called {node.function!r}{hint} (the functions are "
                f"{', '.join(sorted(_FUNCTIONS))})",
                node,
            )
        for name, value in node.keywords:
            if name not in signature.keywords:
                takes = ", ".join(signature.keywords) or "none"
                raise self._error(
                    f"{node.function} has no {name}=; its keywords: {takes} (example: "
                    f"{signature.example})",
                    value,
                )
        wanted = signature.arguments
        if wanted == ("numbers",):
            wanted = _ONE_NUMBER * max(1, len(node.arguments))
        if len(node.arguments) != len(wanted):
            raise self._error(
                f"{node.function} takes {len(wanted)} argument{'s' * (len(wanted) != 1)} before "
                f"its keywords, got {len(node.arguments)} (example: {signature.example})",
                node,
            )
        for what, argument in zip(wanted, node.arguments, strict=True):
            _ARGUMENTS[what](self, node.function, argument)
        for name, value in node.keywords:
            _KEYWORDS[name](self, node, value)
        if node.function == "semdedup":
            self._semdedup(node)
        return signature.gives

    def _semdedup(self, node: Call) -> None:
        if not node.keywords:
            raise self._error("semdedup needs eps, as in semdedup(eps=0.03)", node)
        kind = self._column(Column("semdedup", span=node.span))
        if kind != "number":
            raise self._error(f"expected numbers in the column semdedup, got {_KINDS[kind]}", node)

    def _number_argument(self, function: str, node: Expression) -> None:
        self._expect(node, "number", f"{function} takes")

    def _any_argument(self, function: str, node: Expression) -> None:
        if not isinstance(node, Column):
            self._expect(node, "number", f"{function} takes a column or")
        self.kind(node)

    def _path_argument(self, function: str, node: Expression) -> None:
        if not isinstance(node, Text):
            raise self._error(
                f'{function} takes the path of a file in quotes, as in {function}("x.npy")', node
            )

    def _amount_argument(self, function: str, node: Expression) -> None:
        if not isinstance(node, Number):
            raise self._error(
                f"{function} takes a fraction such as 0.3 or a number of rows such as 1000", node
            )
        if isinstance(node.value, int) and node.value < 1:
            raise self._error(f"{function} takes a number of rows from 1, got {node}", node)
        if isinstance(node.value, float) and not 0.0 < node.value <= 1.0:
            rows = f"; rows are written {int(node.value)}" if node.value > 1.0 else ""
            raise self._error(f"{function} takes a fraction in (0, 1], got {node}{rows}", node)

    def _ties(self, call: Call, node: Expression) -> None:
        if not isinstance(node, Text) or node.value not in TIES:
            raise self._error('ties is "exact" or "datacomp"', node)

    def _eps(self, call: Call, node: Expression) -> None:
        if not isinstance(node, Number) or not 0 <= node.value <= 2:
            raise self._error(f"eps is a number in [0, 2], got {node}", node)

    def _weights(self, call: Call, node: Expression) -> None:
        if not isinstance(node, Numbers):
            raise self._error("weights is a list of numbers, as in weights=[0.5, 0.5]", node)
        for value in node.values:
            if not isinstance(value, Number):
                raise self._error("expected a number in weights", value)
        if len(node.values) != len(call.arguments):
            raise self._error(
                f"expected {len(call.arguments)} weights, one for each argument, got "
                f"{len(node.values)}",
                node,
            )

    def _expect(self, node: Expression, wanted: Kind, what: str) -> None:
        kind = self.kind(node)
        if kind == wanted:
            return
        if wanted == "set" and kind == "number":
            hint = f"; compare it, as in {node} > 0.5" if node.strength >= 6 else "; compare it"
        elif wanted == "number" and kind == "set":
            hint = _parentheses(node, kind)
        else:
            hint = ""
        raise self._error(f"{what} {_KINDS[wanted]}, got {self._told(node, kind)}{hint}", node)

    def _told(self, node: Expression, kind: Kind) -> str:
        if isinstance(node, Column):
            bools = "bools, " if kind == "set" else ""
            return f"column {node.name!r}, which holds {bools}{_KINDS[kind]}"
        return _KINDS[kind]

    def _error(self, problem: str, node: Expression) -> ExpressionError:
        span: Span = node.span if node.span is not None else (0, len(self.text))
        return ExpressionError(problem, self.text, span)


def _parentheses(node: Expression, kind: Kind) -> str:
    is_comparison = isinstance(node, Binary) and node.operator in COMPARISONS
    return "; put parentheses around the comparison" if kind == "set" and is_comparison else ""


_Argument: TypeAlias = Callable[[Checker, str, Expression], None]
_Keyword: TypeAlias = Callable[[Checker, Call, Expression], None]
_ARGUMENTS: dict[str, _Argument] = {
    "number": Checker._number_argument,
    "any": Checker._any_argument,
    "path": Checker._path_argument,
    "amount": Checker._amount_argument,
}
_KEYWORDS: dict[str, _Keyword] = {
    "ties": Checker._ties,
    "eps": Checker._eps,
    "weights": Checker._weights,
}

"""What an expression is: a tree, built by the parser or with Python's operators.

Both ways give the same tree, and its text (`str`) parses to the same tree again.
"""

from __future__ import annotations

import json
import math
import numbers
import re
from dataclasses import dataclass, field, fields
from typing import Any, TypeAlias

from tamis.select.errors import Span

# Binding strength, weakest first; `str` writes no parentheses that the grammar does not need.
STRENGTH = {"within": 1, "|": 2, "&": 3, "+": 5, "-": 5, "*": 6, "/": 6}
COMPARISONS = ("<=", ">=", "==", "!=", "<", ">")
STRENGTH.update(dict.fromkeys(COMPARISONS, 4))
_UNARY_STRENGTH = 7
_ATOM_STRENGTH = 8
INSTEAD = {"and": "&", "or": "|", "not": "~", "AND": "&", "OR": "|", "NOT": "~"}
RESERVED = ("within", "true", "false", "True", "False", *INSTEAD)
MAX_DEPTH = 150  # far below Python's own limit on nested calls
_PLAIN_NAME = re.compile(r"[^\W\d]\w*")

Amount: TypeAlias = int | float


@dataclass(frozen=True, eq=False)
class Expression:
    """A part of an expression; `==` and the other operators build a larger one.

    Example:
        >>> from tamis.select import col
        >>> str(col("clip_l14").top(0.3) & ~(col("language") != "en"))
        'top(clip_l14, 0.3) & ~(language != "en")'
    """

    span: Span | None = field(default=None, kw_only=True, repr=False)

    def __and__(self, other: Expression) -> Expression:
        return binary("&", self, other)

    def __or__(self, other: Expression) -> Expression:
        return binary("|", self, other)

    def __invert__(self) -> Expression:
        return unary("~", self)

    def __neg__(self) -> Expression:
        return unary("-", self)

    def __add__(self, other: Any) -> Expression:
        return binary("+", self, other)

    def __radd__(self, other: Any) -> Expression:
        return binary("+", other, self)

    def __sub__(self, other: Any) -> Expression:
        return binary("-", self, other)

    def __rsub__(self, other: Any) -> Expression:
        return binary("-", other, self)

    def __mul__(self, other: Any) -> Expression:
        return binary("*", self, other)

    def __rmul__(self, other: Any) -> Expression:
        return binary("*", other, self)

    def __truediv__(self, other: Any) -> Expression:
        return binary("/", self, other)

    def __rtruediv__(self, other: Any) -> Expression:
        return binary("/", other, self)

    def __lt__(self, other: Any) -> Expression:
        return binary("<", self, other)

    def __le__(self, other: Any) -> Expression:
        return binary("<=", self, other)

    def __gt__(self, other: Any) -> Expression:
        return binary(">", self, other)

    def __ge__(self, other: Any) -> Expression:
        return binary(">=", self, other)

    def __eq__(self, other: Any) -> Expression:  # type: ignore[override]
        return binary("==", self, other)

    def __ne__(self, other: Any) -> Expression:  # type: ignore[override]
        return binary("!=", self, other)

    __hash__ = object.__hash__

    def __bool__(self) -> bool:
        raise TypeError(
            f"{self} has no truth value; use & | ~ for and, or, not, with parentheses around "
            "comparisons"
        )

    def within(self, base: Expression) -> Expression:
        """Return this, seen from the rows of `base` only: fractions are of those rows."""
        return binary("within", self, base)

    def top(self, amount: Amount, *, ties: str | None = None) -> Expression:
        """Return the rows with the largest values; see :func:`tamis.select.top`."""
        return call("top", self, amount, ties=ties)

    def bottom(self, amount: Amount, *, ties: str | None = None) -> Expression:
        """Return the rows with the smallest values; see :func:`tamis.select.top`."""
        return call("bottom", self, amount, ties=ties)

    def same_as(self, other: Expression) -> bool:
        """Return whether both are the same tree.

        Example:
            >>> from tamis.select import col, parse
            >>> parse("a > 1").same_as(col("a") > 1), parse("a > 1").same_as(col("a") > 1.0)
            (True, False)
        """
        return type(self) is type(other) and all(
            _same(getattr(self, part.name), getattr(other, part.name))
            for part in fields(self)
            if part.name != "span"
        )

    @property
    def strength(self) -> int:
        """How strongly the outermost operator binds."""
        return _ATOM_STRENGTH


@dataclass(frozen=True, eq=False)
class Number(Expression):
    """A number; whether it is written as a whole number matters to `top`."""

    value: int | float

    def __str__(self) -> str:
        return repr(self.value)

    @property
    def strength(self) -> int:
        return _UNARY_STRENGTH if str(self).startswith("-") else _ATOM_STRENGTH


@dataclass(frozen=True, eq=False)
class Text(Expression):
    """A string."""

    value: str

    def __str__(self) -> str:
        return json.dumps(self.value, ensure_ascii=False)


@dataclass(frozen=True, eq=False)
class Flag(Expression):
    """`true` or `false`."""

    value: bool

    def __str__(self) -> str:
        return "true" if self.value else "false"


@dataclass(frozen=True, eq=False)
class Column(Expression):
    """A column, `table.name` where more than one table has the name."""

    name: str
    table: str | None = None

    def __str__(self) -> str:
        name = _quoted_name(self.name)
        return name if self.table is None else f"{_quoted_name(self.table)}.{name}"


@dataclass(frozen=True, eq=False)
class Numbers(Expression):
    """A list of numbers, which only keywords take."""

    values: tuple[Expression, ...]

    def __str__(self) -> str:
        return f"[{', '.join(map(str, self.values))}]"


@dataclass(frozen=True, eq=False)
class Call(Expression):
    """A function of the language with its arguments."""

    function: str
    arguments: tuple[Expression, ...] = ()
    keywords: tuple[tuple[str, Expression], ...] = ()

    def __str__(self) -> str:
        named = [f"{name}={value}" for name, value in self.keywords]
        return f"{self.function}({', '.join([*map(str, self.arguments), *named])})"


@dataclass(frozen=True, eq=False)
class Unary(Expression):
    """`~ set` or `- number`."""

    operator: str
    operand: Expression

    def __str__(self) -> str:
        return f"{self.operator}{_enclosed(self.operand, _UNARY_STRENGTH)}"

    @property
    def strength(self) -> int:
        return _UNARY_STRENGTH


@dataclass(frozen=True, eq=False)
class Binary(Expression):
    """Two expressions and what stands between them."""

    operator: str
    left: Expression
    right: Expression

    def __str__(self) -> str:
        # All associate to the left; comparisons do not chain.
        left = self.strength + (self.operator in COMPARISONS)
        return (
            f"{_enclosed(self.left, left)} {self.operator} "
            f"{_enclosed(self.right, self.strength + 1)}"
        )

    @property
    def strength(self) -> int:
        return STRENGTH[self.operator]


def as_expression(value: Any) -> Expression:
    """Take a Python value as a part of an expression.

    Raises:
        TypeError: it is neither an expression, a number, a text nor a bool.
        ValueError: it is a number that is not finite.
    """
    if isinstance(value, Expression):
        return value
    if isinstance(value, str):
        return Text(value)
    if type(value).__name__ in ("bool", "bool_"):
        return Flag(bool(value))
    if isinstance(value, numbers.Integral):
        return Number(int(value))
    if isinstance(value, numbers.Real):
        # A float32 is meant as it prints: 0.3, not 0.30000001192092896.
        number = float(str(value))
        if not math.isfinite(number):
            raise ValueError(f"expected a finite number, got {value}")
        return Number(number)
    raise TypeError(
        f"expected an expression, a number, a text or a bool, got {type(value).__name__}"
    )


def unary(operator: str, operand: Any, span: Span | None = None) -> Expression:
    """Return `operator operand`; the minus of a number becomes part of the number."""
    operand = as_expression(operand)
    if operator == "-" and isinstance(operand, Number):
        return Number(-operand.value, span=span)
    return Unary(operator, operand, span=span)


def binary(operator: str, left: Any, right: Any, span: Span | None = None) -> Expression:
    """Return `left operator right`."""
    return Binary(operator, as_expression(left), as_expression(right), span=span)


def call(function: str, *arguments: Any, **keywords: Any) -> Expression:
    """Return `function(arguments, keywords)`; keywords that are None are left out."""
    named = tuple((name, _keyword(value)) for name, value in keywords.items() if value is not None)
    return Call(function, tuple(map(as_expression, arguments)), named)


def _keyword(value: Any) -> Expression:
    if isinstance(value, list | tuple):
        return Numbers(tuple(map(as_expression, value)))
    return as_expression(value)


def _enclosed(part: Expression, strength: int) -> str:
    return str(part) if part.strength >= strength else f"({part})"


def _quoted_name(name: str) -> str:
    if _PLAIN_NAME.fullmatch(name) and name not in RESERVED:
        return name
    return "`" + name.replace("`", "``") + "`"


def _same(one: Any, other: Any) -> bool:
    if isinstance(one, Expression):
        return one.same_as(other)
    if isinstance(one, tuple):
        return (
            isinstance(other, tuple)
            and len(one) == len(other)
            and all(_same(a, b) for a, b in zip(one, other, strict=True))
        )
    # 1 and 1.0 mean different amounts, 0.0 and -0.0 print differently.
    return type(one) is type(other) and repr(one) == repr(other)

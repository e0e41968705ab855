"""Errors that point at the place in an expression."""

from __future__ import annotations

from typing import TypeAlias

from tamis.errors import TamisError

Span: TypeAlias = tuple[int, int]
_WIDTH = 76


class ExpressionError(TamisError, ValueError):
    """An expression cannot be understood, or does not fit the columns.

    Attributes:
        problem: one sentence, what was expected and what came.
        text: the expression.
        span: first character of the place, and the one behind it, from 0.

    Example:
        >>> print(ExpressionError("expected a number, got a set", "top(basic, 0.3)", (4, 9)))
        expected a number, got a set (character 5)
          top(basic, 0.3)
              ^^^^^
    """

    def __init__(self, problem: str, text: str, span: Span) -> None:
        self.problem = problem
        self.text = text
        self.span = span
        super().__init__(problem)

    def __str__(self) -> str:
        start, stop = self.span
        first = self.text.rfind("\n", 0, start) + 1
        last = self.text.find("\n", start)
        line = self.text[first : last if last >= 0 else len(self.text)]
        column, length = start - first, max(1, min(stop, first + len(line)) - start)
        # Of a long line only the part around the place is shown.
        left = max(0, column - _WIDTH // 2) if len(line) > _WIDTH else 0
        shown = "".join(c if c.isprintable() else " " for c in line[left : left + _WIDTH])
        carets = "^" * max(1, min(length, len(shown) - (column - left)))
        return (
            f"{self.problem} (character {start + 1})\n  {shown}\n  {' ' * (column - left)}{carets}"
        )

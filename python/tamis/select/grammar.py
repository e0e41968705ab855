"""From text to a tree.

From the weakest to the strongest: `within`, `|`, `&`, comparisons (they do not chain), `+ -`,
`* /`, `~` and the sign. `-` between sets is the difference. Names with other characters than
letters, digits and `_` stand in backquotes; a column that two tables have is `table.column`.
"""

from __future__ import annotations

import json
from functools import cache
from typing import Any

from tamis.select.errors import ExpressionError, Span
from tamis.select.tree import (
    INSTEAD,
    MAX_DEPTH,
    Binary,
    Call,
    Column,
    Expression,
    Flag,
    Number,
    Numbers,
    Text,
    binary,
    unary,
)

MAX_CHARACTERS = 100_000
_TOO_DEEP = (
    f"expected at most {MAX_DEPTH} levels of nesting; put parentheses around the halves of a long "
    "chain, or keep a part in a file and name it with uids()"
)

GRAMMAR = r"""
?start: within
?within: union | within WITHIN union      -> binary
?union: part | union "|" part             -> union
?part: comparison | part "&" comparison   -> part
?comparison: sum | sum COMPARISON sum     -> binary
?sum: product | sum PLUS product          -> binary
    | sum MINUS product                   -> binary
?product: factor | product SCALE factor   -> binary
?factor: atom | SIGN_NOT factor           -> unary
    | MINUS factor                        -> unary
?atom: NUMBER -> number
    | TEXT -> text
    | FLAG -> flag
    | call
    | column
    | "(" within ")" -> enclosed
call: NAME "(" [_arguments] ")"
_arguments: argument ("," argument)*
?argument: within | NAME "=" value        -> keyword
?value: within | "[" within ("," within)* "]" -> numbers
column: name ["." name]
name: NAME | BACKQUOTED

WITHIN.2: /within\b/
FLAG.2: /(true|false|True|False)\b/
COMPARISON: "<=" | ">=" | "==" | "!=" | "<" | ">"
PLUS: "+"
MINUS: "-"
SCALE: "*" | "/"
SIGN_NOT: "~"
NAME: /[^\W\d]\w*/
BACKQUOTED: /`([^`]|``)+`/
NUMBER: /(\d[\d_]*\.?\d*|\.\d+)([eE][+-]?\d+)?/
TEXT: /"([^"\\]|\\.)*"/s | /'([^'\\]|\\.)*'/s
%ignore /\s+/
"""


def parse(text: str) -> Expression:
    """Parse an expression.

    Raises:
        ExpressionError: the text is not one; points at the character.

    Example:
        >>> tree = parse("top(clip_l14, 0.3) & ~basic")
        >>> print(tree)
        top(clip_l14, 0.3) & ~basic
        >>> parse("top(clip_l14, 0.3")
        Traceback (most recent call last):
        tamis.select.errors.ExpressionError: expected "," or ")", the expression ends (character 18)
          top(clip_l14, 0.3
                           ^
    """
    import lark

    if len(text) > MAX_CHARACTERS:
        raise ExpressionError(
            f"expected an expression of at most {MAX_CHARACTERS:,} characters, got {len(text):,}; "
            "put lists of rows into a file and name it with uids()",
            text,
            (0, 1),
        )
    if not text.strip():
        raise ExpressionError(
            "expected an expression such as top(clip_l14, 0.3), got nothing", text, (0, 0)
        )
    try:
        return _build(_parser().parse(text), text)
    except lark.UnexpectedCharacters as error:
        raise _character_error(text, error.pos_in_stream or 0) from None
    except lark.UnexpectedToken as error:
        raise _token_error(text, error.token, error.accepts or error.expected) from None


def text_of(expression: Expression | str) -> str:
    """Return the text of an expression.

    Raises:
        ExpressionError: it is a tree far deeper than MAX_DEPTH.
    """
    try:
        return str(expression)
    except RecursionError:
        raise ExpressionError(_TOO_DEEP, "", (0, 0)) from None


@cache
def _parser() -> Any:
    from lark import Lark

    return Lark(GRAMMAR, parser="lalr", propagate_positions=True)


def _build(top: Any, text: str) -> Expression:
    """Return the tree of a parse tree, without recursion into chains of any length."""
    built: dict[int, Any] = {}
    depth: dict[int, int] = {}
    pending = [(top, False)]
    while pending:
        node, ready = pending.pop()
        if not hasattr(node, "children"):
            continue
        if not ready:
            pending.append((node, True))
            pending.extend((child, False) for child in node.children)
            continue
        depth[id(node)] = 1 + max((depth.get(id(child), 0) for child in node.children), default=0)
        span = (node.meta.start_pos, node.meta.end_pos)
        if depth[id(node)] > MAX_DEPTH:
            raise ExpressionError(_TOO_DEEP, text, span)
        parts = [built.get(id(child), child) for child in node.children]
        built[id(node)] = _MAKE[node.data](parts, span, text)
    result: Expression = built[id(top)]
    return result


def _number(parts: list[Any], span: Span, text: str) -> Expression:
    digits = str(parts[0])
    if digits.isascii() and digits.replace("_", "").isdigit() and len(digits) < 20:
        return Number(int(digits.replace("_", "")), span=span)
    try:
        value = float(digits)
    except ValueError:
        value = float("inf")
    if value in (float("inf"), float("-inf")):
        raise ExpressionError("expected a number that float64 can hold", text, span)
    return Number(value, span=span)


def _text(parts: list[Any], span: Span, text: str) -> Expression:
    quoted = str(parts[0])
    inner = quoted[1:-1]
    if quoted[0] == "'":
        inner = inner.replace("\\'", "'").replace('"', '\\"')
    try:
        return Text(json.loads(f'"{inner}"', strict=False), span=span)
    except ValueError:
        raise ExpressionError(
            "expected the escapes of JSON in a text (a backslash is written \\\\)", text, span
        ) from None


def _name(parts: list[Any], span: Span, text: str) -> str:
    name = str(parts[0])
    return name[1:-1].replace("``", "`") if name.startswith("`") else name


def _column(parts: list[Any], span: Span, text: str) -> Expression:
    names = [part for part in parts if part is not None]
    if len(names) == 1 and names[0] in INSTEAD and text[span[0]] != "`":
        raise ExpressionError(f"write {INSTEAD[names[0]]} for {names[0]}", text, span)
    return Column(names[-1], names[0] if len(names) > 1 else None, span=span)


def _call(parts: list[Any], span: Span, text: str) -> Expression:
    function, *given = parts
    arguments: list[Expression] = []
    keywords: list[tuple[str, Expression]] = []
    for part in given:
        if isinstance(part, tuple):
            if part[0] in dict(keywords):
                raise ExpressionError(f"{part[0]} is given twice", text, part[1].span or span)
            keywords.append(part)
        elif part is not None:
            if keywords:
                raise ExpressionError(
                    "expected arguments with names behind those without", text, part.span or span
                )
            arguments.append(part)
    return Call(str(function), tuple(arguments), tuple(keywords), span=span)


_MAKE: dict[str, Any] = {
    "number": _number,
    "text": _text,
    "flag": lambda parts, span, text: Flag(str(parts[0]).lower() == "true", span=span),
    "name": _name,
    "column": _column,
    "call": _call,
    "keyword": lambda parts, span, text: (str(parts[0]), parts[1]),
    "numbers": lambda parts, span, text: Numbers(tuple(parts), span=span),
    "enclosed": lambda parts, span, text: parts[0],
    "unary": lambda parts, span, text: unary(str(parts[0]), parts[1], span),
    "binary": lambda parts, span, text: binary(str(parts[1]), parts[0], parts[2], span),
    "union": lambda parts, span, text: Binary("|", *parts, span=span),
    "part": lambda parts, span, text: Binary("&", *parts, span=span),
}

_MEANING = {
    "NUMBER": "a number",
    "TEXT": "a text",
    "NAME": "a name",
    "COMMA": '","',
    "RPAR": '")"',
    "RSQB": '"]"',
    "EQUAL": '"="',
}
_OPERAND = {"NUMBER", "NAME", "LPAR"}


def _character_error(text: str, position: int) -> ExpressionError:
    character = text[position]
    span = (position, position + 1)
    if character in "\"'`":
        return ExpressionError(f"expected a closing {character}", text, (position, len(text)))
    if character == "!":
        return ExpressionError("write ~ for not, != for unequal", text, span)
    return ExpressionError(f"expected an expression, got {character!r}", text, span)


def _token_error(text: str, token: Any, accepted: set[str]) -> ExpressionError:
    if token.type == "$END":
        return ExpressionError(
            f"expected {_expected(accepted)}, the expression ends", text, (len(text), len(text))
        )
    span = (token.start_pos, token.end_pos)
    word = str(token)
    for name, place in ((word, span), _word_before(text, span[0])):
        if name in INSTEAD:
            return ExpressionError(f"write {INSTEAD[name]} for {name}", text, place)
    if token.type == "COMPARISON" and "AMPERSAND" not in accepted and "VBAR" in accepted:
        return _chain_error(text, span)
    if token.type == "COMPARISON" and not accepted >= _OPERAND:
        return _chain_error(text, span)
    if token.type == "EQUAL":
        return ExpressionError("write == to compare", text, span)
    return ExpressionError(f"expected {_expected(accepted)}, got {word!r}", text, span)


def _word_before(text: str, position: int) -> tuple[str, Span]:
    stop = len(text[:position].rstrip())
    word = text[:stop].split()[-1:]
    return (word[0], (stop - len(word[0]), stop)) if word else ("", (0, 0))


def _chain_error(text: str, span: Span) -> ExpressionError:
    return ExpressionError(
        "comparisons do not chain: write 0.2 <= x & x < 0.3, or (x > 1) - (y > 1)", text, span
    )


def _expected(accepted: set[str]) -> str:
    if accepted >= _OPERAND:
        return "a column, a function or a number"
    told = [_MEANING[name] for name in ("COMMA", "RPAR", "RSQB", "EQUAL") if name in accepted]
    if not told and accepted & {"NAME", "NUMBER", "TEXT"}:
        told = [_MEANING[name] for name in ("NAME", "NUMBER", "TEXT") if name in accepted]
    return " or ".join(told) or "an operator or the end"

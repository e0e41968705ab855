"""Selection: an expression over score columns and sets of rows gives a subset.

    from tamis.select import col, select, semdedup

    select("run", col("clip_l14").top(0.3) & semdedup(eps=0.03), out="subset.npy")

The text "top(clip_l14, 0.3) & semdedup(eps=0.03)" builds the same tree.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tamis.data.score_table import ScoreTables
    from tamis.select.errors import ExpressionError
    from tamis.select.functions import (
        bottom,
        col,
        everything,
        fuse,
        minmax,
        quantile,
        rank,
        scored,
        semdedup,
        top,
        uids,
        zscore,
    )
    from tamis.select.grammar import parse
    from tamis.select.selection import Selected, select
    from tamis.select.tree import Expression

_FUNCTIONS = (
    "bottom",
    "col",
    "everything",
    "fuse",
    "minmax",
    "quantile",
    "rank",
    "scored",
    "semdedup",
    "top",
    "uids",
    "zscore",
)
_HOMES = {
    **dict.fromkeys(_FUNCTIONS, "tamis.select.functions"),
    "Expression": "tamis.select.tree",
    "ExpressionError": "tamis.select.errors",
    "ScoreTables": "tamis.data.score_table",
    "Selected": "tamis.select.selection",
    "parse": "tamis.select.grammar",
    "select": "tamis.select.selection",
}
__all__ = [
    "Expression",
    "ExpressionError",
    "ScoreTables",
    "Selected",
    "bottom",
    "col",
    "everything",
    "fuse",
    "minmax",
    "parse",
    "quantile",
    "rank",
    "scored",
    "select",
    "semdedup",
    "top",
    "uids",
    "zscore",
]


def __getattr__(name: str) -> Any:
    # Imported on first use, because the readers of tables import pyarrow.
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'tamis.select' has no attribute {name!r}")

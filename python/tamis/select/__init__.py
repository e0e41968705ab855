r"""Selection: an expression over score columns and sets of rows gives a subset.

    from tamis.select import col, select, semdedup

    select("run", col("clip_l14").top(0.3) & semdedup(eps=0.03), out="subset.npy")

The text "top(clip_l14, 0.3) & semdedup(eps=0.03)" builds the same tree.

| written | is |
|---|---|
| `clip`, `table.clip`, `` `odd name` `` | a column; of bools: a set of rows |
| `x >= 0.28`, `lang == "en"`, `ok == false` | a set; numbers are compared in the column's type |
| `top(x, 0.3)`, `top(x, 1000)`, `bottom(...)` | a set: a fraction or a number of rows |
| `top(x, 0.3, ties="datacomp")` | n + 1 rows and all ties, as DataComp's baselines |
| `semdedup(eps=0.03)` | a set: what SemDeDup keeps |
| `uids("file.npy")` | the rows that a file lists, as often as it does |
| `scored(x)`, `all()` | the rows with a value; all rows |
| `a & b`, `a \| b`, `~a`, `a - b` | and, or, not, and `a & ~b`: who is in b at all goes |
| `a within b` | a, seen from the rows of b only, and b |
| `minmax(x)`, `zscore(x)`, `rank(x)`, `quantile(x)` | numbers on a common scale |
| `fuse(x, y, weights=[0.7, 0.3])`, `x + 2 * y` | sums, in float64 |

From the weakest to the strongest: `within`, `|`, `&`, comparisons, `+ -`, `* /`, `~` and the sign.
A row without a value is neither in a set nor in its complement: NaN passes no filter, under `~`
neither. Repeats: `a & b` of two lists takes the smaller and `a | b` the larger number; a set that
filters a list leaves its numbers.
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

"""The functions of the language, as Python sees them."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

from tamis.select.tree import Amount, Column, Expression, call


def col(name: str, table: str | None = None) -> Expression:
    """Return a column: numbers, texts, or, where it holds bools, a set of rows.

    Args:
        name: of the column.
        table: of the score table, where more than one has the name.

    Example:
        >>> str(col("clip_l14") >= 0.28), str(col("odd name", "clip"))
        ('clip_l14 >= 0.28', 'clip.`odd name`')
    """
    return Column(name, table)


def top(x: Expression, amount: Amount, *, ties: str | None = None) -> Expression:
    """Return the rows with the largest values of `x`.

    Args:
        x: numbers.
        amount: a float is a fraction in (0, 1] of all rows, those without a value included, the
            exact product rounded down; an int is a number of rows. Rows without a value never come
            in, so fewer are kept where fewer have one.
        ties: "exact" (default) keeps exactly that many, of equal values those with the lowest ids.
            "datacomp" is the rule of DataComp's baselines: n = int(rows * fraction) in float64, the
            threshold is element n, from 0, of the descending order, and all rows >= threshold are
            kept, n + 1 and their ties. (Where fewer than n + 1 rows have a value, that threshold is
            NaN and nothing is kept. 1.0, which fails there, keeps all that have a value.)

    Example:
        >>> str(top(col("clip"), 0.3)), str(top(col("clip"), 1000, ties="datacomp"))
        ('top(clip, 0.3)', 'top(clip, 1000, ties="datacomp")')
    """
    return call("top", x, amount, ties=ties)


def bottom(x: Expression, amount: Amount, *, ties: str | None = None) -> Expression:
    """Return the rows with the smallest values of `x`; arguments as for :func:`top`.

    Example:
        >>> str(bottom(col("loss"), 0.5) & ~col("basic"))
        'bottom(loss, 0.5) & ~basic'
    """
    return call("bottom", x, amount, ties=ties)


def semdedup(*, eps: float) -> Expression:
    """Return the rows that SemDeDup keeps: not float32(cosine) > float32(1 - eps).

    Reads the column `semdedup` that `tamis dedup` writes; rows in quarantine are not kept.

    Example:
        >>> str(semdedup(eps=0.03))
        'semdedup(eps=0.03)'
    """
    return call("semdedup", eps=eps)


def uids(path: str | os.PathLike[str]) -> Expression:
    """Return the rows that a file lists, as often as it lists them.

    Args:
        path: `.npy` of dtype "u8,u8" (DataComp's subset), `.txt` with one id per line, or
            `.parquet` with a column `uid`, `id` or `key`.

    Example:
        >>> str(uids("dfn.npy"))
        'uids("dfn.npy")'
    """
    return call("uids", os.fspath(path))


def fuse(*x: Expression, weights: Sequence[float] | None = None) -> Expression:
    """Return the weighted sum of numbers, summed in float64 from left to right.

    Args:
        x: one or more; a row without a value of one of them has no sum.
        weights: one for each, of any sum; equal ones that sum to 1 by default.

    Example:
        >>> str(fuse(minmax(col("cap")), minmax(col("clip")), weights=[0.5, 0.5]))
        'fuse(minmax(cap), minmax(clip), weights=[0.5, 0.5])'
    """
    return call("fuse", *x, weights=None if weights is None else list(weights))


def minmax(x: Expression) -> Expression:
    """Return (x - min) / (max - min) in float64, over the finite values; 0 where all are equal.

    -inf becomes 0 and inf becomes 1. One extreme value rescales all others; `quantile` is immune.

    Example:
        >>> from tamis.select import ScoreTables, select
        >>> tables = ScoreTables.of(["a", "b", "c"], {"x": [10.0, 15.0, 20.0]})
        >>> select(tables, minmax(col("x")) == 0.5).ids.to_list()
        ['b']
    """
    return call("minmax", x)


def zscore(x: Expression) -> Expression:
    """Return (x - mean) / standard deviation over the finite values; 0 where all are equal.

    Computed in float64; the deviation is that of the rows themselves (n in the denominator).

    Example:
        >>> from tamis.select import ScoreTables, select
        >>> tables = ScoreTables.of(["a", "b", "c"], {"x": [1.0, 1.0, 4.0]})
        >>> select(tables, zscore(col("x")) > 1).ids.to_list()
        ['c']
    """
    return call("zscore", x)


def rank(x: Expression) -> Expression:
    """Return the place in ascending order, from 1; equal values share the mean of their places.

    Example:
        >>> from tamis.select import ScoreTables, select
        >>> tables = ScoreTables.of(["a", "b", "c"], {"x": [1.0, 1.0, 4.0]})
        >>> select(tables, rank(col("x")) == 1.5).ids.to_list()
        ['a', 'b']
    """
    return call("rank", x)


def quantile(x: Expression) -> Expression:
    """Return (rank - 0.5) / rows with a value, in (0, 1).

    Example:
        >>> str(fuse(quantile(col("a")), quantile(col("b"))).top(0.2))
        'top(fuse(quantile(a), quantile(b)), 0.2)'
    """
    return call("quantile", x)


def scored(x: Expression) -> Expression:
    """Return the rows that have a value, `~scored(x)` those that have none.

    Example:
        >>> str((col("clip") >= 0.28) | ~scored(col("clip")))
        'clip >= 0.28 | ~scored(clip)'
    """
    return call("scored", x)


def everything() -> Expression:
    """Return all rows, `all()` in the language.

    Example:
        >>> str(everything() - uids("benchmark.txt"))
        'all() - uids("benchmark.txt")'
    """
    return call("all")


__all__: list[str] = [name for name, value in dict(globals()).items() if callable(value)]
del Any

"""Selecting: an expression and score tables in, the ids of rows and a report out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from tamis.data.ids import Ids
from tamis.data.remote import Place
from tamis.data.score_join import BLOCK_ROWS
from tamis.data.score_table import DEFAULT_MEMORY_BYTES, ScoreTables
from tamis.data.subset import subset_content
from tamis.run import atomic
from tamis.select.check import Checker
from tamis.select.evaluate import Evaluator
from tamis.select.export import MetadataExport
from tamis.select.grammar import parse, text_of
from tamis.select.report import Tally
from tamis.select.scan import Block, Rows, Scan
from tamis.select.subset_file import write_ids
from tamis.select.tree import Expression

REPORT_SUFFIX = ".json"


@dataclass(frozen=True)
class Selected:
    """What an expression selected.

    Attributes:
        report: expression, rows, kept (with repeats), kept_rows, without_score, terms (rows and
            kept of each, threshold, ...), overlap (rows of each two terms), inputs.
        out: the subset that was written.
    """

    report: dict[str, Any] = field(repr=False)
    out: Path | None
    _scan: Scan = field(repr=False)
    _kept: list[_KeptBlock] = field(repr=False)

    def __len__(self) -> int:
        return int(self.report["kept"])

    @cached_property
    def rows(self) -> np.ndarray:
        """int64: numbers of the kept rows, ascending, as often as each is kept."""
        parts = [np.empty(0, np.int64)]
        parts += [kept.block.start + kept.places() for kept in self._kept]
        return np.concatenate(parts)

    @cached_property
    def ids(self) -> Ids:
        """The ids of :attr:`rows`; they are read when they are asked for."""
        return Ids.concat(list(self.id_parts()))

    def id_parts(self) -> Iterator[Ids]:
        """Return the ids of :attr:`rows` in parts, the first of them empty."""
        yield self._scan.tables.ids.read(0, 1).take([])  # says of which kind they are
        for kept in self._kept:
            yield self._scan.ids(kept.block, kept.places())


@dataclass(frozen=True)
class _KeptBlock:
    """The kept rows of a block, one bit for each, and how often, if not once."""

    block: Block
    bits: np.ndarray
    times: np.ndarray | None

    def places(self) -> np.ndarray:
        places = np.flatnonzero(np.unpackbits(self.bits, count=self.block.n_rows))
        return places if self.times is None else np.repeat(places, self.times)


def select(
    source: ScoreTables | Place | str,
    expression: Expression | str,
    *,
    scores: Sequence[Place | str] = (),
    out: Path | str | None = None,
    export_metadata: Path | str | None = None,
    metadata: Place | str | None = None,
    folder: Path | str = ".",
    memory_bytes: int = DEFAULT_MEMORY_BYTES,
    block_rows: int = BLOCK_ROWS,
) -> Selected:
    """Select rows.

    Args:
        source: a run directory, a parquet file or folder of them (DataComp's metadata), as a path
            or URL, or tables that are open already. Its rows are those that are selected from.
        expression: text, or a tree built with :func:`tamis.select.col`.
        scores: more score tables, parquet files or folders keyed by id.
        out: the subset to write: .npy (DataComp's format, uids only) or .parquet; the report goes
            beside it, with ".json" added to the name. None writes neither.
        export_metadata: a folder for the kept rows of the metadata; see
            :class:`tamis.select.export.MetadataExport`.
        metadata: the parquet file or folder to export from; None means the source, or the pool of
            the run.
        folder: what relative paths in the expression are relative to.
        memory_bytes: how much may be kept of columns that are read more than once, and held while
            the subset is sorted. What comes on top: about 100 bytes for each row of a block and
            term; one bit for each row for the result, and for each `top` with ties; 4 bytes for
            each kept row where there are repeats. Not bounded are `rank` and `quantile` (16 bytes
            for each row), tables that must be joined by id (8 for each row, and 24 and the used
            columns for each row of the table), lists of uids (24 for each) and ids that are text.
        block_rows: rows looked at together, a multiple of 1024; changes no result.

    Raises:
        ExpressionError: the expression is not one, or does not fit the columns.
        PoolError: a table or a list of ids is not readable or does not fit.
        RunError: the run has no scores, or a file cannot be written.

    Example:
        >>> from tamis.select import col
        >>> tables = ScoreTables.of(["a", "b", "c"], {"clip": [0.3, 0.1, None]})
        >>> chosen = select(tables, ~(col("clip") > 0.2))
        >>> chosen.ids.to_list(), chosen.report["without_score"]
        (['b'], 1)
    """
    tables = source
    if not isinstance(tables, ScoreTables):
        tables = ScoreTables.open(tables, scores, memory_bytes=memory_bytes)
    elif scores:
        raise ValueError(
            "give scores to ScoreTables.open, not to select, with tables that are open"
        )
    text = text_of(expression)
    tree = parse(text)
    checker = Checker(text, tables)
    checker.check(tree)
    if out is not None:
        subset_content(tables.ids.read(0, 1), Path(out).name)  # refuses a name that cannot be
    export = None
    if export_metadata is not None:
        export = MetadataExport.plan(source, export_metadata, metadata)

    scan = Scan(tables, block_rows)
    evaluator = Evaluator(checker, scan, Path(folder))
    rows = evaluator.rows(tree)
    selected = _collect(rows, evaluator, scan, text, None if out is None else Path(out))
    if export is not None:
        selected.report["metadata"] = export.write(selected.ids)
    if selected.out is not None:
        written, n_different = write_ids(
            selected.out, len(selected), selected.id_parts, tables.memory_bytes
        )
        selected.report["subset"] = {
            "file": selected.out.name,
            "sha256": written.sha256,
            "different_ids": n_different,
        }
        atomic.write_json(f"{out}{REPORT_SUFFIX}", selected.report)
    return selected


def _collect(rows: Rows, evaluator: Evaluator, scan: Scan, text: str, out: Path | None) -> Selected:
    tally = Tally(evaluator.terms)
    kept = []
    for block in scan.blocks():
        verdict = rows.at(block)
        tally.add(block, verdict)
        if verdict.yes.any():
            times = None if verdict.times is None else verdict.times[verdict.yes]
            kept.append(_KeptBlock(block.bare(), np.packbits(verdict.yes), times))
    report = {
        "expression": text,
        **tally.as_json(),
        "inputs": scan.tables.inputs(),
        "lists": evaluator.lists,
    }
    return Selected(report, out, scan, kept)

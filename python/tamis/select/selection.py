"""Selecting: an expression and score tables in, the ids of rows and a report out."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from tamis.data.ids import Ids
from tamis.data.score_join import BLOCK_ROWS
from tamis.data.score_table import DEFAULT_MEMORY_BYTES, ScoreTables
from tamis.data.subset import subset_content, write_subset
from tamis.run import atomic
from tamis.select.check import Checker
from tamis.select.evaluate import Evaluator
from tamis.select.export import MetadataExport
from tamis.select.grammar import parse
from tamis.select.logic import Verdict
from tamis.select.report import Tally
from tamis.select.scan import Block, Rows, Scan
from tamis.select.tree import Expression

REPORT_SUFFIX = ".json"


@dataclass(frozen=True)
class Selected:
    """What an expression selected.

    Attributes:
        ids: of the kept rows in row order, as often as each is kept.
        report: expression, rows, kept (with repeats), kept_rows, without_score, terms (rows and
            kept of each, threshold, ...), overlap (rows of each two terms), inputs.
        out: the subset that was written.
    """

    ids: Ids
    report: dict[str, Any] = field(repr=False)
    out: Path | None
    _kept: list[tuple[int, int, np.ndarray]] = field(repr=False)
    _times: list[np.ndarray | None] = field(repr=False)

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def rows(self) -> np.ndarray:
        """int64: numbers of the kept rows, as often as each is kept."""
        parts = [np.empty(0, np.int64)]
        for (start, count, bits), times in zip(self._kept, self._times, strict=True):
            places = np.flatnonzero(np.unpackbits(bits, count=count))
            parts.append(start + (places if times is None else np.repeat(places, times)))
        return np.concatenate(parts)


def select(
    source: ScoreTables | Path | str,
    expression: Expression | str,
    *,
    scores: Sequence[Path | str] = (),
    out: Path | str | None = None,
    export_metadata: Path | str | None = None,
    metadata: Path | str | None = None,
    memory_bytes: int = DEFAULT_MEMORY_BYTES,
    block_rows: int = BLOCK_ROWS,
) -> Selected:
    """Select rows.

    Args:
        source: a run directory, a parquet file or folder of them (DataComp's metadata), or tables
            that are open already. Its rows are the rows that are selected from.
        expression: text, or a tree built with :func:`tamis.select.col`.
        scores: more score tables, parquet files or folders keyed by id.
        out: the subset to write: .npy (DataComp's format, uids only) or .parquet; the report goes
            beside it, with ".json" added to the name. None writes neither.
        export_metadata: a folder for the kept rows of the metadata; see
            :class:`tamis.select.export.MetadataExport`.
        metadata: the parquet file or folder to export from; None means the source, or the pool of
            the run.
        memory_bytes: how much may be kept of columns that are read more than once. Beside it the
            blocks need about 100 bytes for each row of a block and term, ties one bit for each row,
            the result 16 bytes for each kept uid (32 more while it is sorted), `rank` and
            `quantile` 16 bytes for each row, a table that must be joined by id 24 for each of its
            rows and 8 for each row, a list of uids 24 for each uid.
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
    text = str(expression)
    tree = parse(text)
    checker = Checker(text, tables)
    checker.check(tree)
    if out is not None:
        subset_content(tables.ids.read(0, 1), Path(out).name)  # refuses a name that cannot be
    export = None
    if export_metadata is not None:
        export = MetadataExport.plan(source, export_metadata, metadata)

    scan = Scan(tables, block_rows)
    evaluator = Evaluator(checker, scan)
    rows = evaluator.rows(tree)
    selected = _collect(rows, evaluator, scan, text, None if out is None else Path(out))
    if export is not None:
        selected.report["metadata"] = export.write(selected.ids)
    if out is not None:
        write_subset(out, selected.ids)
        selected.report["subset"] = {
            "file": Path(out).name,
            "sha256": _sha256(Path(out)),
        }
        atomic.write_json(f"{out}{REPORT_SUFFIX}", selected.report)
    return selected


def _collect(rows: Rows, evaluator: Evaluator, scan: Scan, text: str, out: Path | None) -> Selected:
    tally = Tally(evaluator.terms)
    tables = scan.tables
    parts = [tables.ids.read(0, 1).take([])]  # says of which kind the ids are where none is kept
    kept: list[tuple[int, int, np.ndarray]] = []
    times: list[np.ndarray | None] = []
    for block in scan.blocks():
        verdict = rows.at(block)
        tally.add(block, verdict)
        _take(block, verdict, scan, parts, kept, times)
    report = {
        "expression": text,
        **tally.as_json(),
        "inputs": tables.inputs(),
        "lists": evaluator.lists,
    }
    return Selected(Ids.concat(parts), report, out, kept, times)


def _take(
    block: Block,
    verdict: Verdict,
    scan: Scan,
    parts: list[Ids],
    kept: list[tuple[int, int, np.ndarray]],
    times: list[np.ndarray | None],
) -> None:
    places = np.flatnonzero(verdict.yes)
    if not len(places):
        return
    often = None if verdict.times is None else verdict.times[places]
    taken = places if often is None else np.repeat(places, often)
    parts.append(scan.ids(block, taken))
    kept.append((block.start, block.n_rows, np.packbits(verdict.yes)))
    times.append(often)


def _sha256(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()

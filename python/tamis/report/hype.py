"""What HYPE calls specific: the images and texts at both ends of its scores, drawn with them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from tamis.data.id_index import IdIndex
from tamis.data.ids_digest import ids_digest
from tamis.data.score_file import ScoreFiles
from tamis.errors import PoolError, RunError
from tamis.filters.hype.reference import AGAINST, SIDES
from tamis.filters.hype.terms import TERMS
from tamis.report.choice import Order, choose_rows, named_rows, read_row
from tamis.report.sheet import Cell, Sheet, picture_cell
from tamis.run.directory import RunDirectory
from tamis.score.job import SCORES, step_folder
from tamis.score.table import REASON

if TYPE_CHECKING:
    from tamis.data.ids import Ids
    from tamis.data.samples import Sample, SamplePool
    from tamis.data.samples.source import Side

Rows = npt.NDArray[np.int64]
HEADINGS = ("image", "scores and text")
_SIDES: tuple[Side, ...] = ("image", "text")
_ENDS: dict[str, Literal["lowest", "highest"]] = {"most": "highest", "least": "lowest"}


@dataclass(frozen=True)
class Group:
    """The rows at one end of a specificity.

    Attributes:
        side: whose specificity, "image" or "text".
        end: "most" or "least".
        rows: int64 (n,), row numbers of the score table, the extreme one first.
        alike: int64 (n,), of each, how many other rows have the very same specificity: copies of
            the image or text, as a rule.
        scores: float32 (n,), the specificity, in radians.
    """

    side: Side
    end: str
    rows: Rows
    alike: Rows
    scores: npt.NDArray[np.float32]

    @property
    def title(self) -> str:
        """What is written above it."""
        return f"{self.side}s, {self.end} specific"


class HypeRun:
    """A HYPE score that has ended, with the samples that it is about.

    Args:
        run: the run directory.
        samples: images, texts or both, found by id; they may lie elsewhere than the embeddings.
        name: of the score.

    Attributes:
        recipe: of the score.
        n_rows: rows of its table.

    Raises:
        RunError: there is no such score, or it has not ended, or is none of HYPE.
        PoolError: the samples have ids of another kind.
    """

    def __init__(self, run: Path | str, samples: SamplePool, name: str = "hype") -> None:
        folder = step_folder(run, name)
        self.recipe = RunDirectory.read(folder).recipe
        if self.recipe.get("method") != "hype":
            raise RunError(f"expected a score of tamis score hype in {folder}")
        self._name = name
        self._samples = samples
        self._table = ScoreFiles.open(folder / SCORES, strict=False)
        self.n_rows = self._table.n_rows
        self._places = self._join()

    @property
    def reference(self) -> str:
        """What the rows were measured against, in a few words."""
        found = self.recipe["reference"]
        used = [AGAINST[side] for side in self._specificities()]
        counts = [f"{found['count'][tensor]:,} {SIDES[tensor]}s" for tensor in used]
        return f"{' and '.join(counts)}, reference {found['digest'][:12]}"

    def groups(self, n_rows: int) -> list[Group]:
        """The most and the least specific images and texts, as far as the score has them.

        Of rows with the same specificity only the first is taken, so that a picture with many
        copies does not fill a group.

        Args:
            n_rows: of all groups together; each gets its share, at least one.
        """
        scored = self._specificities()
        each = max(1, n_rows // (len(_ENDS) * (len(scored) or 1)))
        groups = []
        for side, name in scored.items():
            scores = self._column(name)
            for end, order in _ENDS.items():
                rows, alike = distinct_extremes(scores, each, order)
                groups.append(Group(side, end, rows, alike, scores[rows]))
        return groups

    def choose(self, n_rows: int, *, order: Order, seed: int = 0) -> Rows:
        """Return row numbers by the score itself; see :func:`tamis.report.choice.choose_rows`."""
        return choose_rows(self._column(self._name), n_rows, order=order, seed=seed)

    def named(self, ids: Sequence[str]) -> Rows:
        """Return the row numbers of ids given as text. Raises PoolError for an unknown one."""
        return named_rows(self._ids(), ids)

    def sheet_of_groups(self, groups: Sequence[Group], **options: Any) -> Sheet:
        """Draw groups, each in columns of its own, the extreme row on top.

        Args:
            groups: what :meth:`groups` returned.
            options: of :class:`tamis.report.sheet.Sheet`.
        """
        headings = [heading for group in groups for heading in self._headings(group)]
        sheet = Sheet(headings, **_sized(options))
        for rank in range(max((len(group.rows) for group in groups), default=0)):
            sheet.add([cell for group in groups for cell in self._cells_of(group, rank)])
        return sheet

    def sheet(self, rows: Iterable[int] | Rows, **options: Any) -> Sheet:
        """Draw rows: image, scores and text.

        Args:
            rows: row numbers, in the order in which they are drawn.
            options: of :class:`tamis.report.sheet.Sheet`.
        """
        sheet = Sheet(HEADINGS if self._has("image") else HEADINGS[1:], **_sized(options))
        for row in map(int, rows):
            sample = self._sample(row)
            picture = [picture_cell(sample)] if self._has("image") else []
            sheet.add([*picture, [*self._told(row), *_text(sample)]])
        return sheet

    def _specificities(self) -> dict[Side, str]:
        """The columns that the score has, by whose specificity they hold."""
        columns = {side: f"{self._name}_{side}_specificity" for side in _SIDES}
        return {side: name for side, name in columns.items() if name in self._table.columns}

    def _headings(self, group: Group) -> list[str]:
        if not self._has("image"):
            return [group.title]
        second = HEADINGS[1] if group.side == "image" else HEADINGS[0]
        return [group.title, second]

    def _cells_of(self, group: Group, rank: int) -> list[Cell]:
        if rank >= len(group.rows):
            return [""] * len(self._headings(group))
        row, alike = int(group.rows[rank]), int(group.alike[rank])
        sample = self._sample(row)
        told = self._told(row, first=f"{group.side}_specificity")
        if alike:
            told.insert(-1, f"{alike:,} other row{'s' * (alike > 1)} alike")
        cells: list[Cell] = [[*told, *_text(sample)]]
        if self._has("image"):
            cells.insert(0 if group.side == "image" else 1, picture_cell(sample))
        return cells

    def _told(self, row: int, first: str = "") -> list[str]:
        """The terms of the score, one of them `first`, why one is missing, and the id."""
        terms = sorted(("", *TERMS), key=lambda term: term != first)
        told = []
        for term in terms:
            column = f"{self._name}_{term}" if term else self._name
            value = self._value(column, row) if column in self._table.columns else None
            if value is not None and not np.isnan(value):
                told.append(f"{term.replace('_', ' ') or column} {value:.3f}")
        reason = self._value(REASON, row)
        told += [] if reason is None else [reason]
        return [*told, str(self._ids(row, row + 1)[0])]

    def _sample(self, row: int) -> Sample | None:
        place = row if self._places is None else self._place(row)
        return None if place is None else read_row(self._samples, place)

    def _place(self, row: int) -> int | None:
        assert self._places is not None
        found = int(self._places.find(self._ids(row, row + 1))[0])
        return None if found < 0 else int(self._places.rows[found])

    def _join(self) -> IdIndex | None:
        """Where the samples are, by id; None where they are the table's rows, in its order."""
        ids = self._samples.ids()
        if self._table.digest == ids_digest(ids):
            return None
        index = IdIndex(ids)
        if index.find(self._ids(0, 1))[0] < 0 and not (index.find(self._ids()) >= 0).any():
            raise PoolError(
                f"{self._samples.path} has no row of {self._table.path}: its first id is "
                f"{ids[0]!r}, that of the scores {self._ids(0, 1)[0]!r}; name the pool that holds "
                "the samples, or the column of their ids"
            )
        return index

    def _has(self, side: Side) -> bool:
        return side in self._samples.sides

    def _ids(self, start: int = 0, stop: int | None = None) -> Ids:
        return self._table.ids().read(start, self.n_rows if stop is None else stop)

    def _column(self, name: str) -> npt.NDArray[np.float32]:
        return np.asarray(self._table.column(name).read_arrow(0, self.n_rows), np.float32)

    def _value(self, name: str, row: int) -> Any:
        return self._table.column(name).read_arrow(row, row + 1)[0].as_py()


def distinct_extremes(
    scores: npt.NDArray[np.floating], n_rows: int, order: Literal["lowest", "highest"]
) -> tuple[Rows, Rows]:
    """Return int64 (n,), int64 (n,): the rows with the extreme scores, and how many are alike.

    Args:
        scores: (n,), NaN where a row has none; such rows are left out.
        n_rows: the most rows that are taken; of rows with the same score the first.
        order: which end; its most extreme row comes first.

    Example:
        >>> distinct_extremes(np.array([0.3, 0.1, np.nan, 0.3, 0.2]), 2, "highest")
        (array([0, 4]), array([1, 0]))
    """
    scored = np.flatnonzero(~np.isnan(scores))
    _, first, counts = np.unique(scores[scored], return_index=True, return_counts=True)
    taken = slice(0, n_rows) if order == "lowest" else slice(None, -n_rows - 1, -1)
    return scored[first[taken]], counts[taken] - 1


def _text(sample: Sample | None) -> list[str]:
    return [] if sample is None or sample.text is None else [sample.text]


def _sized(options: dict[str, Any]) -> dict[str, Any]:
    """Smaller letters beside smaller pictures."""
    return {"text_size": min(max(options.get("side", 192) // 11, 9), 13), **options}

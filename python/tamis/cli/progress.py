"""Progress bars on stderr."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.progress import Task as RichTask
from rich.text import Text

from tamis.run.progress import Advance


class _Rate(TextColumn):
    def __init__(self) -> None:
        super().__init__("")

    def render(self, task: RichTask) -> Text:
        speed = task.finished_speed or task.speed
        return Text("" if speed is None else f"{speed:,.0f} {task.fields['unit']}/s")


class Bars:
    """One bar for each stage, with its rate and the time that remains."""

    def __init__(self) -> None:
        self._progress = Progress(
            TextColumn("{task.description:>9}"),
            BarColumn(bar_width=32),
            TextColumn("{task.completed:,.0f}/{task.total:,.0f} {task.fields[unit]}"),
            _Rate(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=Console(stderr=True),
        )

    def __enter__(self) -> Bars:
        return self

    def __exit__(self, *_: object) -> None:
        if self._progress.tasks:
            self._progress.stop()

    @contextmanager
    def stage(self, name: str, total: int, unit: str) -> Iterator[Advance]:
        """A bar of `total` steps."""
        self._progress.start()  # not before there is something to show; again is harmless
        task = self._progress.add_task(name, total=total, unit=unit)
        yield lambda steps: self._progress.advance(task, steps)
        self._progress.refresh()

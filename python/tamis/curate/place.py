"""Where the steps of a curation find what they read."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from tamis.data.samples.source import Side
from tamis.errors import PoolError

if TYPE_CHECKING:
    from tamis.data.pool import Pool
    from tamis.data.samples import SamplePool
    from tamis.data.score_file import ScoreFiles


@dataclass(frozen=True)
class Place:
    """Where the steps of a curation find what they read, and with what they work.

    Attributes:
        pool: path or URL.
        run: the run directory.
        folder: paths in a recipe are relative to this one.
        ids, image, text: columns of the pool, as for `tamis embed`.
        device: of networks: "auto", "cpu" or "cuda".
        workers: processes that decode images.
    """

    pool: str
    run: Path
    folder: Path = Path()
    ids: str | None = None
    image: str | None = None
    text: str | None = None
    device: str = "auto"
    workers: int = 0

    @property
    def columns(self) -> dict[str, str | None]:
        """The columns by what they hold."""
        return {"ids": self.ids, "image": self.image, "text": self.text}

    @cached_property
    def samples(self) -> SamplePool:
        """The pool's images, texts and metadata. Raises PoolError where it has none."""
        from tamis.data.samples import open_samples

        return open_samples(self.pool, image=self.image, text=self.text, ids=self.ids)

    def rows(self) -> int | None:
        """Rows; None where only an embedding's name would tell."""
        try:
            return self.samples.n_rows
        except PoolError:
            return None

    def units(self, rows_per_unit: int) -> int | None:
        """Units of at most so many rows."""
        return None if self.rows() is None else len(self.samples.units(rows_per_unit))

    def side(self, side: Side, embedding: str | None, step: str | None) -> Pool:
        """The embeddings of one side."""
        from tamis.score.sides import open_side

        return open_side(
            side, self.run, pool=self.pool, embedding=embedding, step=step, ids=self.ids
        )

    def metadata(self, *, required: bool) -> ScoreFiles | None:
        """The pool's parquet files, whose columns an expression may use.

        Args:
            required: whether they must have ids; else None stands for those without, to which no
                score can be joined.

        Raises:
            PoolError: one cannot be read, or required ids are not there.
        """
        from tamis.data.score_file import NoIdsError, ScoreFiles

        path = Path(self.pool)
        places = (path, path / "metadata")
        found = [path] if path.is_file() and path.suffix == ".parquet" else []
        found += [folder for folder in places if any(folder.glob("*.parquet"))]
        if "://" in self.pool or not found:
            return None
        try:
            return ScoreFiles.open(found[0], ids=self.ids)
        except NoIdsError:
            if required:
                raise
            return None

    def file(self, path: Path) -> Path:
        """A file that the recipe names."""
        return self.folder / path

    def named(self, path: str) -> str:
        """A file, folder or URL that the recipe names."""
        return path if "://" in path else str(self.folder / path)

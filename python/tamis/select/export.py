"""The kept rows of metadata files, unchanged: people filter before they download."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from tamis.data.id_index import IdIndex
from tamis.data.ids import Ids
from tamis.data.parquet_file import open_parquet, parquet_errors
from tamis.data.remote import Place, RemotePath, name_inside, place_of
from tamis.data.score_file import ScoreFiles, is_run
from tamis.data.score_table import ScoreTables
from tamis.errors import PoolError
from tamis.run import atomic
from tamis.run.pool_link import pool_of

_BATCH_ROWS = 1 << 16


@dataclass(frozen=True)
class MetadataExport:
    """Writes, for every metadata file, a file of the same name with its kept rows.

    All columns, types and the order of rows stay; a row that is kept more than once is written
    once, for it is downloaded once (the subset holds how often). A file of which nothing is kept is
    written empty, so that the folder is whole.

    Attributes:
        source: the metadata.
        target: the folder to write.
    """

    source: ScoreFiles
    target: Path

    @classmethod
    def plan(
        cls, selected_from: ScoreTables | Place | str, target: Path | str, metadata: Any = None
    ) -> MetadataExport:
        """Find the metadata, before anything is selected.

        Raises:
            PoolError: there is none, or the target is the metadata itself or holds other files.
        """
        path = _metadata_path(selected_from) if metadata is None else place_of(metadata)
        source = ScoreFiles.open(path)
        target = Path(target)
        targets = {file: target / _relative(source, file) for file in source.paths}
        if any(file.resolve() == own.resolve() for file, own in targets.items()):
            raise PoolError(f"{target} holds the metadata itself; choose another folder")
        others = sorted(set(target.rglob("*.parquet")) - set(targets.values()))
        if others:
            raise PoolError(
                f"{target} holds other files, such as {others[0]}; choose another folder"
            )
        return cls(source, target)

    def write(self, ids: Ids) -> dict[str, Any]:
        """Write the rows of `ids`.

        Returns:
            path and rows of what was written, as JSON can hold it.

        Raises:
            PoolError: an id is not in the metadata; the files that were written are whole.
        """
        index = IdIndex(ids)
        found = np.zeros(len(index), bool)
        n_rows = 0
        for file in self.source.paths:
            target = self.target / _relative(self.source, file)
            atomic.make_folder(target.parent)
            n_rows += self._write_file(file, target, index, found)
        if not found.all():
            missing = index.ids[int(np.flatnonzero(~found)[0])]
            raise PoolError(
                f"{self.source.path}: {int((~found).sum()):,} of the {len(index):,} kept ids are "
                f"not there, such as {missing!r}; name the metadata that has them"
            )
        return {"path": str(self.target), "rows": n_rows, "files": len(self.source.paths)}

    def _write_file(self, path: Place, target: Path, index: IdIndex, found: np.ndarray) -> int:
        n_rows = 0
        file = open_parquet(path)
        column = file.schema_arrow.get_field_index(self.source.id_column)
        with (
            atomic.replacing_parquet(target, file.schema_arrow) as (writer, _),
            parquet_errors(path),
        ):
            for batch in file.iter_batches(_BATCH_ROWS, use_threads=False):
                places = index.find(_ids(batch.column(column), path))
                found[places[places >= 0]] = True
                kept = batch.filter(pa.array(places >= 0))
                n_rows += len(kept)
                if len(kept):
                    writer.write_batch(kept)
        return n_rows


def _ids(column: pa.Array, path: Place) -> Ids:
    try:
        return Ids.of(column)
    except (PoolError, TypeError) as error:
        raise PoolError(f"{path}: {error}") from error


def _relative(source: ScoreFiles, path: Place) -> str:
    return name_inside(path, source.path) if path != source.path else path.name


def _metadata_path(selected_from: ScoreTables | Place | str) -> Place:
    if isinstance(selected_from, ScoreTables):
        base = selected_from.base
        if base is None:
            raise PoolError("these tables are in memory; name the metadata to export from")
        return base.path
    path = place_of(selected_from)
    if not is_run(path):
        return path
    pool = None if isinstance(path, RemotePath) else pool_of(path)
    if pool is None:
        raise PoolError(f"{path} does not know its pool; name the metadata to export from")
    return place_of(pool)

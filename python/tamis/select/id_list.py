"""Lists of ids in files: subsets, uid lists of others, benchmarks to leave out."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa

from tamis.data.ids import Ids
from tamis.data.metadata import MetadataFile
from tamis.data.subset import read_subset
from tamis.errors import PoolError


def read_id_list(path: Path | str) -> Ids:
    """Read a list of ids; its repeats are kept.

    Args:
        path: `.npy` of dtype "u8,u8", `.txt` with one id per line (empty lines are skipped), or
            `.parquet` with a column `uid`, `id`, `key` or `image_path`.

    Raises:
        PoolError: there is no such file, or it holds something else.

    Example:
        >>> _ = Path("ids.txt").write_text("b\\na\\nb\\n")
        >>> read_id_list("ids.txt").to_list()
        ['b', 'a', 'b']
    """
    path = Path(path)
    if not path.is_file():
        raise PoolError(f"{path}: expected a file with ids, but there is none")
    if path.name.endswith(".npy"):
        return read_subset(path)
    if path.name.endswith(".parquet"):
        file = MetadataFile.open(path)
        column = file.id_column(None)
        if column is None:
            raise PoolError(
                f"{path}: expected a column uid, id or key, it has {', '.join(file.schema.names)}"
            )
        return file.read_ids(column, strict_uids=False)
    if not path.name.endswith(".txt"):
        raise PoolError(f"{path}: expected a list of ids that ends in .npy, .txt or .parquet")
    return _read_lines(path)


def _read_lines(path: Path) -> Ids:
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise PoolError(f"cannot read {path}: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise PoolError(f"{path}: expected UTF-8 text, byte {error.start} is not") from None
    lines = [line for line in (line.strip() for line in text.split("\n")) if line]
    return Ids.of(pa.array(lines, pa.large_string()))


def as_kind(ids: Ids, example: Ids) -> Ids:
    """Return ids as integers where those of the pool are, and text lists nothing but integers.

    Example:
        >>> as_kind(Ids.of(["3", "1"]), Ids.rows(4)).to_list()
        [3, 1]
    """
    if ids.kind not in ("string", "uid32") or example.kind not in ("int64", "row"):
        return ids
    try:
        return Ids.of(ids.to_arrow().cast(pa.int64()))
    except pa.ArrowInvalid:
        return ids

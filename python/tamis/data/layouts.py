"""The layouts that pools come in, told apart by their files alone.

| kind           | files                                                                           |
|----------------|---------------------------------------------------------------------------------|
| npy            | one `X.npy`, or a folder of them; ids, if any, row by row in `X.ids.npy` beside |
| parquet        | one `X.parquet`, or a folder of them, with an embedding column                  |
| clip-retrieval | `img_emb/img_emb_N.npy` (or `text_emb`) and `metadata/metadata_N.parquet`       |
| datacomp       | `X.parquet` and `X.npz` side by side, in the folder or in its `metadata/`       |

What could be read in two ways is an error that names both, never a guess.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from tamis.data.listing import by_number, files_ending
from tamis.data.metadata import MetadataFile
from tamis.data.npy_file import NpyFile, check_embeddings
from tamis.data.npz_file import CompressedMember, npz_keys, open_member
from tamis.data.parquet_file import ParquetEmbeddings, embedding_columns
from tamis.data.remote import Place
from tamis.errors import PoolError

Embeddings: TypeAlias = NpyFile | CompressedMember | ParquetEmbeddings
IDS_ENDING = ".ids.npy"
CLIP_FOLDERS = ("img_emb", "text_emb")
_SAMPLES = "holds samples, not embeddings; `tamis embed` makes embeddings of them"
# What a step of tamis writes beside the rows that it makes.
_OWN_FILES = ("quarantine.parquet", "sample_ids.npy")


@dataclass(frozen=True)
class Part:
    """The rows of one embedding file, with what is row-aligned beside it.

    Attributes:
        embeddings: the rows.
        metadata: a parquet table of as many rows, or None.
        ids: an array of as many ids, or None.
    """

    embeddings: Embeddings
    metadata: MetadataFile | None = None
    ids: NpyFile | None = None

    @property
    def n_rows(self) -> int:
        """Rows, from the header."""
        return self.embeddings.shape[0]

    @property
    def files(self) -> list[Place]:
        """The part's files, the embeddings first."""
        paths = [self.embeddings.path]
        for beside in (self.metadata, self.ids):
            if beside is not None and beside.path not in paths:
                paths.append(beside.path)
        return paths


@dataclass(frozen=True)
class Layout:
    """A recognised pool: its kind, its parts in row order, and the name of what was read."""

    kind: str
    parts: list[Part]
    embedding: str | None


def recognise(path: Place, embedding: str | None) -> Layout:
    """Tell which layout `path` has and open its headers.

    Args:
        path: a file or a folder.
        embedding: the npz key, parquet column or clip-retrieval folder to read; None where only
            one is possible.

    Raises:
        PoolError: no layout fits, or more than one does, or files are missing or damaged.
    """
    try:
        is_folder, exists = path.is_dir(), path.exists()
    except OSError as error:
        raise PoolError(f"cannot read {path}: {error.strerror or error}") from error
    if not exists:
        raise PoolError(f"the pool {path} does not exist")
    if not (is_folder or path.is_file()):  # opening a pipe would wait
        raise PoolError(f"the pool {path} is neither a file nor a folder; copy it to a file")
    layout = _recognise_folder(path, embedding) if is_folder else _recognise_file(path, embedding)
    for part in layout.parts:
        _require_equal_rows(part)
    return layout


def embedding_names(path: Place) -> list[str | None]:
    """Return what `recognise` can be asked for; None where a layout has one array without a name.

    Raises:
        PoolError: a file that the names stand in cannot be read.
    """
    if not path.is_dir():
        archive = path.with_suffix(".npz")
        if path.exists() and not path.is_file():  # a pipe
            return []
        if path.suffix in (".npz", ".parquet") and archive.exists():
            return list(npz_keys(archive))
        if path.suffix == ".parquet":
            return list(embedding_columns(MetadataFile.open(path).schema))
        return [None] if path.suffix == ".npy" else []
    clip = [name for name in CLIP_FOLDERS if (path / name).is_dir()]
    inner = path / "metadata"
    folders = [path, inner] if inner.is_dir() and not clip else [path]
    for folder in folders:
        archives = files_ending(folder, ".npz")
        tables = pool_files(files_ending(folder, ".parquet"))
        if archives:
            return [*clip, *npz_keys(archives[0])]
        if tables:
            return [*clip, *embedding_columns(MetadataFile.open(tables[0]).schema)]
    return [*clip, *([None] if pool_files(files_ending(path, ".npy")) else [])]


def _recognise_file(path: Place, embedding: str | None) -> Layout:
    if path.name.endswith(".npy"):
        return _npy([path], embedding)
    if path.suffix == ".npz" or (path.suffix == ".parquet" and path.with_suffix(".npz").exists()):
        return _datacomp([path.with_suffix(".parquet")], [path.with_suffix(".npz")], embedding)
    if path.suffix == ".parquet":
        return _parquet([path], embedding)
    if path.suffix == ".tar":
        raise PoolError(f"{path} {_SAMPLES}")
    raise PoolError(f"{path}: expected a .npy, .parquet or .npz file, or a folder of them")


def _recognise_folder(path: Place, embedding: str | None) -> Layout:
    clip = [name for name in CLIP_FOLDERS if (path / name).is_dir()]
    parquets = pool_files(files_ending(path, ".parquet"))
    archives, arrays = files_ending(path, ".npz"), pool_files(files_ending(path, ".npy"))
    inner = path / "metadata"
    found: dict[str, Callable[[], Layout]] = {}
    if clip:
        found["clip-retrieval"] = lambda: _clip_retrieval(path, clip, embedding)
    elif not (parquets or archives) and inner.is_dir():
        parquets, archives = files_ending(inner, ".parquet"), files_ending(inner, ".npz")
    if archives:
        found["datacomp"] = lambda: _datacomp(parquets, archives, embedding)
    elif parquets:
        found["parquet"] = lambda: _parquet(parquets, embedding)
    if arrays:
        found["npy"] = lambda: _npy(arrays, embedding)
    if len(found) > 1:
        raise PoolError(
            f"{path} could be read as {' or '.join(found)}; keep one of them in the folder, "
            "or name the subfolder or file to read"
        )
    if not found:
        _refuse_samples(path)
        raise PoolError(
            f"{path} holds no pool: expected .npy files, .parquet files, pairs of .parquet and "
            ".npz, or the folders img_emb and metadata of clip-retrieval"
        )
    return next(iter(found.values()))()


def pool_files(files: Sequence[Place]) -> list[Place]:
    """Return the files that may be a pool's own; tamis' lists of bad rows and of ids are not."""
    return [file for file in files if file.name not in _OWN_FILES]


def _refuse_samples(path: Place) -> None:
    """Raise PoolError where the folder holds tars, JSON lines or images."""
    from tamis.data.samples.recognise import holds_samples

    if holds_samples(path):
        raise PoolError(f"{path} {_SAMPLES}")


def _npy(files: list[Place], embedding: str | None) -> Layout:
    if embedding is not None:
        raise PoolError(
            f"expected no embedding name for a pool of .npy files, got {embedding!r}: "
            "each file is one array"
        )
    ids = {file.name: file for file in files if file.name.endswith(IDS_ENDING)}
    parts = []
    for file in files:
        if file.name in ids:
            continue
        beside = file.with_name(file.name.removesuffix(".npy") + IDS_ENDING)
        ids.pop(beside.name, None)
        parts.append(Part(_embeddings(file), ids=NpyFile.open(beside) if beside.exists() else None))
    if ids:
        orphan = next(iter(ids.values()))
        raise PoolError(f"{orphan} has no embeddings: {_owner(orphan)} does not exist")
    without = [part for part in parts if part.ids is None]
    if 0 < len(without) < len(parts):
        raise PoolError(
            f"{without[0].embeddings.path} has no ids beside it ({IDS_ENDING}), other files have; "
            "give ids to all files or to none"
        )
    return Layout("npy", parts, None)


def _parquet(files: list[Place], embedding: str | None) -> Layout:
    tables = [MetadataFile.open(file) for file in files]
    if embedding is None:
        columns = embedding_columns(tables[0].schema)
        if not columns:
            raise PoolError(
                f"{files[0]}: expected a column of embeddings (lists of half, float or double), "
                f"it has {', '.join(tables[0].schema.names)}; a DataComp pool needs "
                f"{files[0].stem}.npz beside it"
            )
        embedding = _only(columns, f"{files[0]} has several columns of embeddings")
    parts = [Part(ParquetEmbeddings.open(table.path, embedding), table) for table in tables]
    return Layout("parquet", parts, embedding)


def _clip_retrieval(path: Place, folders: list[str], embedding: str | None) -> Layout:
    if embedding is None:
        embedding = _only(folders, f"{path} has embeddings of several kinds")
    elif embedding not in folders:
        raise PoolError(f"{path}: expected one of {', '.join(folders)}, got {embedding!r}")
    if not (path / "metadata").is_dir():
        raise PoolError(
            f"{path / 'metadata'} does not exist; to use row numbers as ids, "
            f"name {path / embedding} as the pool"
        )
    arrays = by_number(files_ending(path / embedding, ".npy"), embedding)
    tables = by_number(files_ending(path / "metadata", ".parquet"), "metadata")
    for number in sorted(arrays.keys() ^ tables.keys()):
        have = arrays.get(number) or tables[number]
        lacking = f"metadata/metadata_{number}.parquet" if number in arrays else f"{embedding} file"
        raise PoolError(f"{have} has no partner: the {lacking} of number {number} does not exist")
    if not arrays:
        raise PoolError(f"{path / embedding} holds no {embedding}_N.npy")
    parts = [Part(_embeddings(file), MetadataFile.open(tables[n])) for n, file in arrays.items()]
    return Layout("clip-retrieval", parts, embedding)


def _datacomp(parquets: list[Place], archives: list[Place], embedding: str | None) -> Layout:
    stems = {file.stem: file for file in parquets if file.exists()}
    for archive in archives:
        if archive.stem not in stems:
            raise PoolError(f"{archive} has no {archive.stem}.parquet beside it")
    paired = {archive.stem for archive in archives if archive.exists()}
    for stem, file in stems.items():
        if stem not in paired:
            raise PoolError(f"{file} has no {stem}.npz beside it, which holds its embeddings")
    if embedding is None:
        embedding = _only(npz_keys(archives[0]), f"{archives[0]} has several arrays")
    parts = []
    for archive in archives:
        member = open_member(archive, embedding)
        check_embeddings(member.header, member.name)
        parts.append(Part(member, MetadataFile.open(stems[archive.stem])))
    return Layout("datacomp", parts, embedding)


def _embeddings(path: Place) -> NpyFile:
    file = NpyFile.open(path)
    check_embeddings(file.header, file.name)
    return file


def _only(names: list[str], several: str) -> str:
    if len(names) != 1:
        raise PoolError(
            f"{several}: {', '.join(names) or '(none)'}; choose one (--embedding; of two "
            "sides --image and --text, or --image-embedding and --text-embedding)"
        )
    return names[0]


def _owner(ids: Place) -> str:
    return ids.name.removesuffix(IDS_ENDING) + ".npy"


def _require_equal_rows(part: Part) -> None:
    beside = part.metadata
    counts = [] if beside is None else [(beside.path, beside.n_rows)]
    if part.ids is not None:
        if len(part.ids.shape) != 1:
            raise PoolError(f"{part.ids.path}: expected one dimension, got {part.ids.shape}")
        counts.append((part.ids.path, part.ids.shape[0]))
    for path, n_rows in counts:
        if n_rows != part.n_rows:
            raise PoolError(
                f"{part.embeddings.name} has {part.n_rows} rows but {path} has {n_rows}; "
                "they must be row-aligned"
            )

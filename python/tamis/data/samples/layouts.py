"""Opening the files of each layout of samples; which one a folder has is told elsewhere."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from tamis.data.limits import Limits
from tamis.data.listing import by_number, files_ending
from tamis.data.metadata import UID_COLUMN, MetadataFile
from tamis.data.remote import Place
from tamis.data.samples.columns import SampleColumns, sample_columns
from tamis.data.samples.folder import FolderSamples
from tamis.data.samples.joined import JoinedSamples, UidIndex
from tamis.data.samples.lines import LineSamples
from tamis.data.samples.source import SampleFile
from tamis.data.samples.table import TableSamples
from tamis.errors import PoolError

_SIZE_COLUMN = "original_width"
_SHOWN = 3


class NoSamplesError(PoolError):
    """There are embeddings or other tables, but no samples."""


@dataclass(frozen=True)
class Asked:
    """What the caller asked for: columns, and caps."""

    image: str | None
    text: str | None
    limits: Limits

    @property
    def columns(self) -> bool:
        """Whether a column was named."""
        return self.image is not None or self.text is not None


@dataclass
class SampleLayout:
    """A recognised pool.

    Attributes:
        kind: see :mod:`tamis.data.samples.recognise`.
        root: the folder that the files' names start from.
        files: in row order.
        index: the metadata that tars are joined with, or None.
        notes: what is odd about the listing, a sentence each.
    """

    kind: str
    root: Place
    files: Sequence[SampleFile]
    index: UidIndex | None = None
    notes: list[str] = field(default_factory=list)

    @property
    def joined(self) -> str:
        """How the files were joined with metadata, in a few words; "" where they were not."""
        if self.index is None:
            return ""
        return f"joined by uid with {self.index.n_rows:,} rows of metadata"

    def problems(self) -> list[str]:
        """What is odd about the files, a sentence each; may read metadata of all rows."""
        found = list(self.notes)
        for file in self.files:
            inner = file.samples if isinstance(file, JoinedSamples) else file
            found += getattr(inner, "problems", list)()
        if self.index is not None:
            found += self._join_problems(self.index)
        return found

    def _join_problems(self, index: UidIndex) -> list[str]:
        told = []
        joined = 0
        for file in self.files:
            if not isinstance(file, JoinedSamples):
                continue
            try:
                lost = (file.rows < 0).nonzero()[0]
            except PoolError as error:
                told.append(str(error))
                continue
            joined += file.n_rows - len(lost)
            if len(lost):
                keys = ", ".join(file.keys()[row] for row in lost[:_SHOWN].tolist())
                told.append(f"{file.name}: {len(lost):,} samples have no row of metadata: {keys}")
        if joined < index.n_rows:
            told.append(f"{index.n_rows - joined:,} rows of metadata have no sample in the tars")
        return told


def open_tars(
    tars: Sequence[Place], root: Place, metadata: Sequence[Place], asked: Asked
) -> SampleLayout:
    """Tars with img2dataset's files beside them, and DataComp's metadata tables, if any."""
    from tamis.data.samples.tar_file import TarShard

    _refuse_columns(tars[0], "webdataset", asked)
    folder = tars[0].parent
    tables = {file.stem: file for file in files_ending(folder, ".parquet")}
    stats = {file.name: file for file in files_ending(folder, "_stats.json")}
    files: list[SampleFile] = [
        TarShard.open(
            tar,
            root,
            parquet=tables.get(tar.stem),
            stats=stats.get(f"{tar.stem}_stats.json"),
            limits=asked.limits,
        )
        for tar in tars
    ]
    if not metadata:
        return SampleLayout("webdataset", root, files)
    index = UidIndex([MetadataFile.open(file) for file in metadata], root)
    for table in index.tables:
        if UID_COLUMN not in table.schema.names:
            raise PoolError(
                f"{table.path} has no column {UID_COLUMN} to join the tars with; name {folder} to "
                "leave the metadata out"
            )
    return SampleLayout("webdataset", root, [JoinedSamples(file, index) for file in files], index)


def open_tables(files: Sequence[Place], root: Place, asked: Asked) -> SampleLayout:
    """Parquet tables of DataComp's metadata, of images, or of texts."""
    tables = [MetadataFile.open(file) for file in files]
    names = tables[0].schema.names
    archives = {file.stem for file in files_ending(files[0].parent, ".npz")}
    datacomp = UID_COLUMN in names and (
        _SIZE_COLUMN in names or all(file.stem in archives for file in files)
    )
    chosen = _chosen(tables, asked, images=not datacomp)
    if not chosen.names and not datacomp:
        raise NoSamplesError(
            f"{files[0]}: expected a column of texts or images, it has {', '.join(names)}; name "
            "it with text= or image=, or open embeddings with tamis.data.open_pool"
        )
    if datacomp and chosen.image is None:
        kind = "datacomp"
    else:
        kind = "parquet" if chosen.image is not None else "text"
    return SampleLayout(kind, root, _table_samples(tables, root, chosen, asked))


def open_clip_retrieval(root: Place, files: Sequence[Place], asked: Asked) -> SampleLayout:
    """The tables of a clip-retrieval folder, in the order of their numbers, padded or not."""
    numbered = by_number(files, "metadata")
    tables = [MetadataFile.open(file) for file in numbered.values()]
    chosen = _chosen(tables, asked, images=False)
    return SampleLayout("clip-retrieval", root, _table_samples(tables, root, chosen, asked))


def open_images(root: Place, asked: Asked) -> SampleLayout:
    """A folder of images."""
    _refuse_columns(root, "images", asked)
    samples = FolderSamples.open(root, asked.limits)
    notes = []
    if samples.orphans:
        shown = ", ".join(samples.orphans[:_SHOWN])
        notes.append(f"{len(samples.orphans):,} texts have no image beside them: {shown}")
    without = samples.n_rows - len(samples.texts)
    if samples.texts and without:
        notes.append(f"{without:,} of {samples.n_rows:,} images have no text beside them")
    if samples.passed_over:
        shown = ", ".join(samples.passed_over[:_SHOWN])
        notes.append(
            f"{len(samples.passed_over):,} links to folders or to nothing, pipes or devices are "
            f"passed over: {shown}"
        )
    return SampleLayout("images", root, [samples], notes=notes)


def open_lines(files: Sequence[Place], root: Place, asked: Asked) -> SampleLayout:
    """JSON lines."""
    if asked.image is not None:
        raise PoolError(f"{files[0]}: JSON lines hold texts only, so no image {asked.image!r}")
    opened = [LineSamples.open(file, root, asked.text, asked.limits) for file in files]
    return SampleLayout("text", root, opened)


def _table_samples(
    tables: list[MetadataFile], root: Place, chosen: SampleColumns, asked: Asked
) -> list[SampleFile]:
    return [TableSamples(table, root, chosen, asked.limits) for table in tables]


def _chosen(tables: list[MetadataFile], asked: Asked, *, images: bool) -> SampleColumns:
    """The columns of the first table, which the others must have too."""
    first, *others = tables
    chosen = sample_columns(
        first.schema, str(first.path), text=asked.text, image=asked.image, images=images
    )
    for table in others:
        same = sample_columns(
            table.schema, str(table.path), text=chosen.text, image=chosen.image, images=images
        )
        if same != chosen:
            raise PoolError(
                f"{table.path} has {same.describe()}, {first.path} has {chosen.describe()}; name "
                "the columns with text= and image="
            )
    return chosen


def _refuse_columns(path: Place, kind: str, asked: Asked) -> None:
    if asked.columns:
        name = "image" if asked.image is not None else "text"
        raise PoolError(
            f"{path} was recognised as {kind}, which has no columns to choose; leave {name}= out"
        )

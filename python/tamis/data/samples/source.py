"""What a sample is, and what the reader of one file of samples has to offer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, Protocol, TypeAlias

if TYPE_CHECKING:
    import pyarrow as pa

    from tamis.data.ids import Ids
    from tamis.run.inputs import InputFile

Side: TypeAlias = Literal["image", "text"]


@dataclass(frozen=True)
class Sample:
    """One row of a sample pool.

    Attributes:
        key: the webdataset key, the path of the image, or the row's number.
        image: the encoded image as it is stored, not decoded; None where there is none.
        text: the caption or document; None where there is none.
        faults: why a side that was asked for is None, in a few words for the quarantine.
    """

    key: str
    image: bytes | None = None
    text: str | None = None
    faults: Mapping[Side, str] = field(default_factory=dict)


class SampleFile(Protocol):
    """The samples of one file (a tar, a parquet, a folder), numbered from 0.

    The number of rows, the keys and the ids are known once it is open; images and texts are read
    when asked for.
    """

    @property
    def name(self) -> str:
        """Path inside the pool, parts separated by "/"."""

    @property
    def n_rows(self) -> int:
        """Samples, those that cannot be used included."""

    @property
    def sides(self) -> frozenset[Side]:
        """What its samples have: images, texts or both."""

    @property
    def columns(self) -> Sequence[str]:
        """Names of the metadata columns."""

    def ids(self, column: str | None) -> Ids | None:
        """Ids of all rows from a metadata column; None where no column is named and none fits."""

    def keys(self) -> Sequence[str]:
        """The key of every row."""

    def read(self, start: int, stop: int, sides: frozenset[Side]) -> list[Sample]:
        """Samples start .. stop - 1; a damaged one comes with a fault, its neighbours whole."""

    def read_columns(self, names: Sequence[str], start: int, stop: int) -> pa.Table:
        """Metadata columns of rows start .. stop - 1. Raises PoolError for an unknown name."""

    def inputs(self) -> list[InputFile]:
        """The files behind it."""

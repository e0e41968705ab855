"""What a captioner is: images in, captions out; or captions that were made elsewhere."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

from tamis.embed.encoder import PrepareImage

if TYPE_CHECKING:
    from tamis.data.ids import Ids
    from tamis.data.samples import SamplePool
    from tamis.data.unit import Unit
    from tamis.run.inputs import InputFile

RowKeys: TypeAlias = npt.NDArray[np.uint64]
"""One number for each row, see `row_keys`; (n,)."""

NOTHING = "captioner returned nothing"
NOT_GIVEN = "no captions for this row"


@dataclass(frozen=True)
class RowCaptions:
    """The captions of some rows.

    Attributes:
        lists: the captions of each row, in their order; none where there is a reason.
        reasons: row, counted from the first of these -> why it has no caption.
    """

    lists: Sequence[Sequence[str]]
    reasons: Mapping[int, str] = field(default_factory=dict)


class Captioner(Protocol):
    """Describes images.

    The captions of a row depend on its own image and its own key alone: on no other row of the
    batch, and on no number of threads, workers or rows at a time.
    """

    @property
    def name(self) -> str:
        """Short, fit for a folder; the captions are called so unless another name is given."""

    @property
    def prepare_image(self) -> PrepareImage:
        """Makes what `caption` takes; it pickles, and runs in worker processes."""

    def recipe(self) -> dict[str, Any]:
        """All that can change a caption, as JSON can hold it: model, weights, seed, versions."""

    def caption(self, images: npt.NDArray[Any], keys: RowKeys, count: int) -> list[list[str]]:
        """Describe prepared images.

        Args:
            images: (n, ...), as `prepare_image` makes them.
            keys: (n,), what random choices of a row are keyed by.
            count: captions wanted for each image.

        Returns:
            For each image at most `count` captions, possibly none.
        """


class GivenCaptions(Protocol):
    """Captions that were made elsewhere."""

    @property
    def name(self) -> str:
        """See :class:`Captioner`."""

    def recipe(self) -> dict[str, Any]:
        """See :class:`Captioner`."""

    def inputs(self) -> list[InputFile]:
        """The files that are read, the pool's own apart."""

    def read(self, pool: SamplePool, unit: Unit) -> RowCaptions:
        """Return the captions of a unit's rows; a row with none has a reason."""


def row_keys(ids: Ids) -> RowKeys:
    """Return a key for each row: the first 8 bytes, little-endian, of BLAKE2b over the id as text.

    Example:
        >>> from tamis.data.ids import Ids
        >>> row_keys(Ids.of(["a", "b"])).tolist() == row_keys(Ids.of(["b", "a"])).tolist()[::-1]
        True
    """
    digests = [hashlib.blake2b(str(row).encode(), digest_size=8).digest() for row in ids.to_list()]
    return np.frombuffer(b"".join(digests), "<u8").astype(np.uint64)

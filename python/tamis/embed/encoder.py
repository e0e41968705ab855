"""What an encoder is: images and texts in, rows out."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

from tamis.data.samples.source import Side

if TYPE_CHECKING:
    from PIL.Image import Image

Tokens: TypeAlias = npt.NDArray[np.int64]
"""Token numbers of one text, or of one piece of a long one; (length,), without padding."""

PrepareImage: TypeAlias = "Callable[[Image], npt.NDArray[Any]]"
"""An RGB image, upright, 8 bits a channel, to an array whose shape and dtype are always the same.

It runs in worker processes, so it pickles, and it holds no weights.
"""


def short_name(kind: str, model: str) -> str:
    """Return a name for an encoder that is fit for a folder.

    Example:
        >>> short_name("open_clip", "ViT-B-32/openai")
        'open_clip-ViT-B-32-openai'
    """
    return re.sub(r"[^A-Za-z0-9._]+", "-", f"{kind}-{model}").strip("-.")


class Encoder(Protocol):
    """Turns images, texts or both into rows.

    A row depends on its own image or text alone: on the values of no other row of its batch, and on
    no number of threads, workers or batches before it.
    """

    @property
    def name(self) -> str:
        """Short, fit for a folder; the embeddings are called so unless another name is given."""

    @property
    def dims(self) -> Mapping[Side, int]:
        """Length of a row for every side that can be encoded."""

    @property
    def curvature(self) -> float | None:
        """c > 0 of the hyperbolic space whose tangent vectors at the origin the rows are.

        None for all other rows. Tangent vectors are stored as they are, others normalised.
        """

    @property
    def prepare_image(self) -> PrepareImage | None:
        """Makes what `encode_images` takes; None where images cannot be encoded."""

    @property
    def buckets(self) -> Sequence[int]:
        """The lengths, ascending, that texts are padded to; no text has more tokens than the last.

        Fixed lengths, not those of the longest text at hand, so that a row does not depend on the
        texts that it shares a batch with.
        """

    def recipe(self) -> dict[str, Any]:
        """All that can change a row, as JSON can hold it: model, weights, precision, versions.

        "curvature" is in it where there is one.
        """

    def encode_images(self, batch: npt.NDArray[Any]) -> npt.NDArray[np.floating[Any]]:
        """Encode prepared images, (n, ...), to rows, float32 or float64 (n, dims["image"])."""

    def prepare_texts(self, texts: Sequence[str]) -> list[list[Tokens]]:
        """Return the pieces of every text: mostly one, none where a text has no tokens.

        The row of a text is the mean of its pieces' rows.
        """

    def encode_texts(self, tokens: Tokens, lengths: Tokens) -> npt.NDArray[np.floating[Any]]:
        """Encode texts to rows, float32 or float64 (n, dims["text"]).

        Args:
            tokens: (n, L), L one of `buckets`; zeros behind the end of a text.
            lengths: (n,), the number of tokens of each text, at least 1.
        """

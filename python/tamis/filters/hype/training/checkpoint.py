"""Where a training stands, as the bytes of a safetensors file."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from tamis.errors import RunError

Tensors = dict[str, npt.NDArray[Any]]
_KEY = "tamis"
_WHAT = "adapter checkpoint 1"


@dataclass(frozen=True)
class Checkpoint:
    """All that a training needs to go on as if nothing had happened.

    Attributes:
        tensors: parameters, moments of the optimiser and what was best so far.
        told: everything that is no tensor, as JSON can hold it.
    """

    tensors: Tensors
    told: dict[str, Any]

    def to_bytes(self) -> bytes:
        """Return the content of a file."""
        from safetensors.numpy import save

        text = json.dumps({"what": _WHAT, **self.told}, sort_keys=True, allow_nan=False)
        whole = {name: np.array(tensor, order="C") for name, tensor in self.tensors.items()}
        return bytes(save(whole, {_KEY: text}))

    @classmethod
    def of(cls, content: bytes, expected: Mapping[str, npt.NDArray[Any]], place: str) -> Checkpoint:
        """Read what `to_bytes` made.

        Args:
            content: of the file.
            expected: name -> a tensor of the shape and type that must be there; tensors of other
                names may be there too.
            place: for the sentence of an error.

        Raises:
            RunError: it is something else.
        """
        from safetensors import SafetensorError
        from safetensors.numpy import load

        try:
            size = int.from_bytes(content[:8], "little")
            told = json.loads(json.loads(content[8 : 8 + size])["__metadata__"][_KEY])
            tensors: Tensors = load(content)
            alike = told.pop("what") == _WHAT and all(
                tensors[name].shape == tensor.shape and tensors[name].dtype == tensor.dtype
                for name, tensor in expected.items()
            )
        except (SafetensorError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise _damaged(place) from error
        if not alike:
            raise _damaged(place)
        return cls(tensors, told)


def _damaged(place: str) -> RunError:
    return RunError(f"{place} is damaged; remove it, and the training begins anew")

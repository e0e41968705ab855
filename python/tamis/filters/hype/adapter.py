"""Adapters: two linear maps that take frozen embeddings to tangent vectors of one space.

A file is safetensors: `image.weight` (D, d_image) and `text.weight` (D, d_text) float16;
`image.scale`, `text.scale`, `curvature` and `logit_scale` float64 of shape (); and, under the
metadata key "tamis", JSON that says what it was trained on, and how.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tamis.data.samples.source import Side
from tamis.errors import PoolError
from tamis.filters.hype.adapter_file import adapter_bytes, read_adapter
from tamis.filters.hype.space import Space, check_curvature
from tamis.run import atomic

DEMO = "demo"
LARGEST_WEIGHT = 16.0
"""Of the norm of a row of a weight: what keeps the sums of a projection exact."""
LARGEST_SCALE = 2.0**64
"""And 2^-64 is the smallest: float32 then neither over- nor underflows, see `Adapter.project`."""
_DEMO_FILE = "demo_adapter.safetensors"
_SIDES: tuple[Side, Side] = ("image", "text")
_LARGEST_ROW = 1 + 2.0**-9
_BLOCK_NUMBERS = 1 << 20
"""Float64 numbers of a block of rows, and of what is made of it: 8 MiB each."""
_IDENTITY = ("weights", "prompt", "max_tokens", "long")
"""What of an encoder's recipe makes it another encoder; versions and devices do not."""


@dataclass(frozen=True, eq=False)
class Adapter:
    """Linear maps, scales and a curvature: tangent = scale * (weight @ row).

    Attributes:
        weights: side -> float16 (D, d), finite, no row longer than 16.
        scales: side -> a number from 2^-64 to 2^64 (not its logarithm).
        curvature: c > 0.
        logit_scale: the logarithm of what multiplies -distance in the training's logits.
        origins: side -> what it was trained on: "embedding" (a name), "dim", and "encoder", the
            recipe of an embed step, or None.
        training: how it was trained, as JSON can hold it.
        note: for people.

    Raises:
        ValueError: an attribute is not as above.

    Example:
        >>> eye = np.eye(2, 3, dtype=np.float16)
        >>> adapter = Adapter({"image": eye, "text": eye}, {"image": 0.5, "text": 1.0}, 0.1, 2.6)
        >>> adapter.project(np.array([[0.6, 0.0, 0.8]], np.float16), "image")
        array([[0.30004883, 0.        ]], dtype=float32)
    """

    weights: Mapping[Side, npt.NDArray[np.float16]]
    scales: Mapping[Side, float]
    curvature: float
    logit_scale: float
    origins: Mapping[Side, Mapping[str, Any]] = field(default_factory=dict)
    training: Mapping[str, Any] = field(default_factory=dict)
    note: str = ""

    def __post_init__(self) -> None:
        for side in _SIDES:
            _check_weight(self.weights[side], f"{side}.weight")
            _check_scale(self.scales[side], f"{side}.scale")
        image, text = (self.weights[side].shape for side in _SIDES)
        if image[0] != text[0]:
            raise ValueError(
                f"expected maps into one space, got image.weight {image} and text.weight {text}"
            )
        check_curvature(self.curvature)
        if not math.isfinite(self.logit_scale):
            raise ValueError(f"expected a finite logit_scale, got {self.logit_scale}")

    @property
    def dims(self) -> dict[Side, int]:
        """Length of the embeddings of each side."""
        return {side: self.weights[side].shape[1] for side in _SIDES}

    @cached_property
    def model(self) -> str:
        """ "sha256:" and 64 hex digits over names, types, shapes and values of all tensors."""
        digest = hashlib.sha256()
        for name, tensor in sorted(self._tensors().items()):
            digest.update(f"{name} {tensor.dtype} {tensor.shape}\n".encode())
            digest.update(tensor.tobytes())
        return f"sha256:{digest.hexdigest()}"

    @property
    def space(self) -> Space:
        """The space of the tangent vectors."""
        return Space(self.weights["image"].shape[0], self.curvature, model=self.model)

    def project(self, rows: npt.NDArray[np.float16], side: Side) -> npt.NDArray[np.float32]:
        """Return the tangent vectors of canonical rows, the same bits on every machine.

        The sum of products is exact in float64, whatever its order. Products of float16 numbers
        are multiples of 2^-48. By Cauchy and Schwarz the products of a row sum, in absolute values
        and so in any part and any order, to at most |weight row| |row| <= 16 (1 + 2^-9) < 2^5, and
        float64 holds every multiple of 2^-48 below 2^5. Only the scale and the end round: once in
        float64, once to float32. Neither over- nor underflows, for what is not zero has at least
        2^-48 * 2^-64, and at most 2^5 * 2^64.

        Args:
            rows: float16 (n, d), canonical; rows of zeros become zeros.
            side: which map.

        Returns:
            float32 (n, D); some 30 MiB are taken beside it, and once both weights as float64.

        Raises:
            ValueError: another dtype or shape, or a row that is not canonical.
        """
        dim = self.dims[side]
        if rows.dtype != np.float16 or rows.ndim != 2 or rows.shape[1] != dim:
            raise ValueError(
                f"expected canonical {side} rows, float16 (n, {dim}), got {rows.dtype} {rows.shape}"
            )
        weight = self._transposed[side]
        found = np.empty((len(rows), weight.shape[1]), np.float32)
        step = max(1, _BLOCK_NUMBERS // max(weight.shape))
        for start in range(0, len(rows), step):
            block = rows[start : start + step].astype(np.float64)
            squares = np.einsum("ij,ij->i", block, block)
            if not (squares <= _LARGEST_ROW**2).all():
                raise ValueError(f"expected canonical {side} rows, got one longer than 1")
            # Adding zero: where all products are -0, their order could decide the sum's sign.
            found[start : start + step] = (block @ weight + 0.0) * self.scales[side]
        return found

    def require_origin(self, side: Side, origin: Mapping[str, Any]) -> None:
        """Check that embeddings are of the kind that the adapter was trained on.

        Args:
            side: of the embeddings.
            origin: what they are, see the attribute `origins`; of a pool's column, whose "encoder"
                is None, only the dimensions can be checked.

        Raises:
            PoolError: other dimensions, or another encoder.
        """
        if origin["dim"] != self.dims[side]:
            raise PoolError(
                f"the adapter takes {side} embeddings of {self.dims[side]} dimensions, these have "
                f"{origin['dim']}; name the embeddings that it was trained on"
            )
        known, given = self.origins.get(side, {}).get("encoder"), origin["encoder"]
        if not (isinstance(known, Mapping) and isinstance(given, Mapping)):
            return
        if _identity(known) != _identity(given):
            raise PoolError(
                f"the adapter was trained on {side} embeddings of {_named(known)}, these are of "
                f"{_named(given)}; name the embeddings that it was trained on, or train another"
            )

    @classmethod
    def load(cls, source: str | Path) -> Adapter:
        """Read an adapter.

        Args:
            source: a file, or "demo": the stand-in that comes with tamis (a file of that name in
                the working directory is "./demo").

        Raises:
            PoolError: no such file, or not an adapter that this version reads.

        Example:
            >>> eye = np.eye(2, 3, dtype=np.float16)
            >>> both = {"image": eye, "text": eye}, {"image": 0.5, "text": 1.0}
            >>> Adapter(*both, curvature=0.1, logit_scale=2.6).save("adapter.safetensors")
            >>> Adapter.load("adapter.safetensors").space.dim
            2
        """
        path = Path(source)
        if source == DEMO:
            path = Path(str(files(__package__) / _DEMO_FILE))
        tensors, told = read_adapter(path)
        try:
            return cls(
                {side: tensors[f"{side}.weight"] for side in _SIDES},
                {side: float(tensors[f"{side}.scale"]) for side in _SIDES},
                float(tensors["curvature"]),
                float(tensors["logit_scale"]),
                {side: told[side] for side in _SIDES},
                told["training"],
                told["note"],
            )
        except ValueError as error:
            raise PoolError(f"{path} is no adapter that can be used: {error}") from error

    def save(self, path: str | Path) -> None:
        """Write the adapter, whole or not at all; its bytes depend on its content alone.

        Raises:
            RunError: the file cannot be written.
        """
        atomic.write_bytes(path, self.to_bytes())

    def to_bytes(self) -> bytes:
        """Return the content of the file."""
        told: dict[str, Any] = {side: dict(self.origins.get(side, {})) for side in _SIDES}
        told |= {"training": dict(self.training), "note": self.note}
        return adapter_bytes(self._tensors(), told)

    @cached_property
    def _transposed(self) -> dict[Side, npt.NDArray[np.float64]]:
        return {side: self.weights[side].T.astype(np.float64) for side in _SIDES}

    def _tensors(self) -> dict[str, npt.NDArray[Any]]:
        numbers = {"curvature": self.curvature, "logit_scale": self.logit_scale}
        numbers |= {f"{side}.scale": self.scales[side] for side in _SIDES}
        weights = {f"{side}.weight": self.weights[side] for side in _SIDES}
        return {name: np.array(value, np.float64) for name, value in numbers.items()} | {
            name: np.ascontiguousarray(weight) for name, weight in weights.items()
        }


def _check_weight(weight: npt.NDArray[np.float16], name: str) -> None:
    if weight.dtype != np.float16 or weight.ndim != 2 or not weight.size:
        raise ValueError(
            f"expected {name} to be float16 (D, dim), got {weight.dtype} {weight.shape}"
        )
    exact = weight.astype(np.float64)
    longest = math.sqrt(np.einsum("ij,ij->i", exact, exact).max())
    if not np.isfinite(longest):
        raise ValueError(f"{name} holds NaN or an infinite value")
    if longest > LARGEST_WEIGHT:
        raise ValueError(
            f"expected rows of {name} no longer than {LARGEST_WEIGHT:g}, got {longest:.4g}"
        )


def _check_scale(scale: float, name: str) -> None:
    if not 1 / LARGEST_SCALE <= scale <= LARGEST_SCALE:
        raise ValueError(f"expected {name} from 2^-64 to 2^64, got {scale}")


def _identity(encoder: Mapping[str, Any]) -> dict[str, Any]:
    known = {key: encoder[key] for key in _IDENTITY if key in encoder}
    return known if "weights" in known else dict(encoder)


def _named(encoder: Mapping[str, Any]) -> str:
    return f"{encoder.get('model')!s:.80} ({encoder.get('weights')!s:.12})"

"""What is learned: two linear maps, two scales, a temperature and the curvature."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from tamis.data.samples.source import Side
from tamis.filters.hype.adapter import LARGEST_WEIGHT, Adapter
from tamis.filters.hype.training.objective import Polar, contrastive_loss, entailment_loss, polar
from tamis.filters.hype.training.options import Options
from tamis.kernels import sample

SIDES: tuple[Side, Side] = ("image", "text")
INITIAL_TEMPERATURE = 1 / 0.07
HIGHEST_TEMPERATURE = 100.0
CURVATURE_RANGE = 10.0

Tensor = Any


class Heads:
    """The parameters of an adapter in training.

    A row of length 1 enters as gain times itself, and the weights start with rows of length near 1,
    uniform and from counter-based keys. (MERU's features have a length near sqrt(d); frozen rows
    that enter so are soon learned by heart.) Products are float32, all that follows them float64.

    Args:
        dims: side -> length of an embedding.
        options: of the training.
        device: "cpu" or "cuda".

    Attributes:
        parameters: name -> tensor; those that are learned require a gradient.
    """

    def __init__(self, dims: Mapping[Side, int], options: Options, device: str) -> None:
        import torch

        dim = options.dim_for(dims["image"])
        self._gain = options.gain
        self._curvature_init = options.curvature_init
        numbers = {f"log_scale.{side}": -0.5 * math.log(dim) for side in SIDES}
        numbers["log_curvature"] = math.log(options.curvature_init)
        numbers["log_temperature"] = math.log(INITIAL_TEMPERATURE)
        self.parameters: dict[str, Tensor] = {
            f"weight.{side}": torch.from_numpy(
                _initial_weight(dim, dims[side], options.seed, place)
            ).to(device)
            for place, side in enumerate(SIDES)
        } | {
            name: torch.tensor(value, dtype=torch.float64, device=device)
            for name, value in numbers.items()
        }
        for name, parameter in self.parameters.items():
            fixed = name == "log_curvature" and options.fixed_curvature
            parameter.requires_grad_(not fixed)

    def polar(self, rows: Tensor, side: Side) -> Polar:
        """Return the tangent vectors of canonical float16 rows (n, d) as directions and radii."""
        features = rows.float() * self._gain
        projected = features @ self.parameters[f"weight.{side}"].T
        vectors = projected.double() * self.parameters[f"log_scale.{side}"].exp()
        return polar(vectors, self.curvature)

    @property
    def curvature(self) -> Tensor:
        """c, a tensor of shape ()."""
        return self.parameters["log_curvature"].exp()

    def losses(self, images: Tensor, texts: Tensor) -> tuple[Tensor, Tensor]:
        """Return the contrastive and the entailment loss of a batch of canonical rows."""
        seen, told = self.polar(images, "image"), self.polar(texts, "text")
        temperature = self.parameters["log_temperature"]
        contrastive = contrastive_loss(seen, told, self.curvature, temperature)
        return contrastive, entailment_loss(seen, told)

    def clamp(self) -> None:
        """Put the scalars back into their ranges, as MERU does at every step."""
        import torch

        around, reach = math.log(self._curvature_init), math.log(CURVATURE_RANGE)
        with torch.no_grad():
            for side in SIDES:
                self.parameters[f"log_scale.{side}"].clamp_(max=0.0)
            self.parameters["log_curvature"].clamp_(around - reach, around + reach)
            self.parameters["log_temperature"].clamp_(max=math.log(HIGHEST_TEMPERATURE))

    def adapter(self) -> Adapter:
        """Return the adapter that a file would hold now: weights rounded to float16.

        Raises:
            ValueError: a parameter is not finite.
        """
        values = {name: tensor.detach().cpu().numpy() for name, tensor in self.parameters.items()}
        weights: dict[Side, npt.NDArray[np.float16]] = {}
        scales: dict[Side, float] = {}
        for side in SIDES:
            weight = values[f"weight.{side}"].astype(np.float64)
            # Powers of two between weight and scale: no row is longer than a file may hold.
            longest = float(np.sqrt(np.square(weight).sum(axis=1)).max())
            halvings = max(0, math.ceil(math.log2(max(longest, 1.0) * 1.01 / LARGEST_WEIGHT)))
            weights[side] = (weight * 2.0**-halvings).astype(np.float16)
            alpha = math.exp(values[f"log_scale.{side}"])
            scales[side] = alpha * self._gain * 2.0**halvings
        curvature = math.exp(values["log_curvature"])
        return Adapter(weights, scales, curvature, float(values["log_temperature"]))


def _initial_weight(dim: int, width: int, seed: int, place: int) -> npt.NDArray[np.float32]:
    """Uniform numbers of variance 1 / width, (dim, width)."""
    index = np.arange(dim * width, dtype=np.int64).reshape(dim, width) * len(SIDES) + place
    bits = sample.keys(seed, sample.INIT, index) >> np.uint64(40)
    centred = (bits.astype(np.float64) + 0.5) * 2.0**-23 - 1
    return (centred * math.sqrt(3 / width)).astype(np.float32)

"""Hyperbolic geometry in the Lorentz model: the kernels behind HYPE's scores.

Every function takes rows of a declared `kind` ("tangent" vectors at the origin by default) and a
`curvature` c > 0, and works on NumPy arrays, memory maps and torch tensors in host memory. The
stable forms are the default; mode="paper" repeats the published formulas with their clamps. Results
do not depend on threads or blocks; instruction sets agree within 1e-6 rad.

Radii, apertures, paired measures and specificity work on arrays on a GPU, too, within 1e-6 of the
CPU's values.

Example:
    >>> from tamis import lorentz
    >>> lorentz.distance([[0.3, 0.4]], [[0.3, 0.4]], curvature=0.5)
    array([0.])
"""

from tamis.kernels.lorentz import (
    distance,
    entailment,
    exterior_angle,
    half_aperture,
    inner,
)
from tamis.kernels.lorentz_maps import lift, log_map
from tamis.kernels.lorentz_rows import LARGEST_RADIUS, STATES, Kind, Mode, Radii, radii
from tamis.kernels.lorentz_specificity import Specificity, specificity

__all__ = [
    "LARGEST_RADIUS",
    "STATES",
    "Kind",
    "Mode",
    "Radii",
    "Specificity",
    "distance",
    "entailment",
    "exterior_angle",
    "half_aperture",
    "inner",
    "lift",
    "log_map",
    "radii",
    "specificity",
]

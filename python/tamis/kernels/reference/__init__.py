"""Every kernel again in slow, obvious float64 NumPy: what the compiled ones must equal to the bit.

Nothing here shares code with the compiled kernels. Arrays are handled whole, so keep the inputs
small.

Why plain NumPy can be an exact oracle: a product of two float16 numbers is a multiple of 2^-48 and
needs 22 bits, and every partial sum of the products of two canonical rows is below 2, so it fits
the 53 bits of a float64. Sums of such products therefore never round, in any order, with or without
FMA, and a BLAS matmul in float64 returns the exact dot product. The same holds for sums of float16
rows. Where a value does round (norms of sums, dots with centroids that are not float16) the order
of the operations is part of the definition and is spelled out.
"""

from tamis.kernels.reference.assignment import assign, assign64
from tamis.kernels.reference.clustering import KMeansResult, kmeans
from tamis.kernels.reference.cosine import (
    cosines,
    max_cosine,
    max_cosine64,
    paired_cosine64,
    pairs_above,
)
from tamis.kernels.reference.rows import canonical, checked_rows, scaled_rows
from tamis.kernels.reference.rules import components, greedy_keep

__all__ = [
    "KMeansResult",
    "assign",
    "assign64",
    "canonical",
    "checked_rows",
    "components",
    "cosines",
    "greedy_keep",
    "kmeans",
    "max_cosine",
    "max_cosine64",
    "paired_cosine64",
    "pairs_above",
    "scaled_rows",
]

"""tamis: turn a noisy pool of pairs, texts or embeddings into the subset worth training on."""

from tamis import lorentz
from tamis._info import info, version
from tamis.filters.semdedup import SemDeDup
from tamis.kernels.assign import assign
from tamis.kernels.canonical import canonical
from tamis.kernels.kmeans import KMeansResult, kmeans
from tamis.kernels.kmeans_estimator import KMeans
from tamis.kernels.max_cosine import max_cosine, pairs_above

__version__ = version()

__all__ = [
    "KMeans",
    "KMeansResult",
    "SemDeDup",
    "__version__",
    "assign",
    "canonical",
    "info",
    "kmeans",
    "lorentz",
    "max_cosine",
    "pairs_above",
]

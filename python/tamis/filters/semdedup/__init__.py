"""SemDeDup (arXiv 2303.09540): remove near-copies inside the clusters of a pool of embeddings.

The method is a chain of small stages over a `source.RowSource`, shared by `tamis.SemDeDup` and the
command line: clusters -> order -> layout -> score -> select (or rules) -> explain, recall.
"""

from tamis.filters.semdedup.estimator import SemDeDup

__all__ = ["SemDeDup"]
